"""Trials from a known truth: the effects have the mean and covariance that the truth gives them, and a bad truth is refused."""

import numpy as np
import pandas as pd
import pytest
from conftest import make_table

import stimdose as sd

TRUTH = {
    "intercept_by_phase": {"chronic": 0.1, "acute": 0.4, "subacute": 0.2},
    "frequency_hz_amplitude": 0.8,
    "frequency_hz_peak": 12.0,
    "frequency_hz_width": 0.6,
    "sessions_slope_by_phase": [0.3, 0.2, 0.1],
    "site_effect": {"nerve": 0.1, "muscle": -0.1},
    "between_study": 0.0,
    "within_study": 0.0,
    "frequency_hz_amplitude_between_study": 0.0,
    "sessions_slope_between_study": 0.0,
}


def expected(table: pd.DataFrame) -> np.ndarray:
    """The mean effect of every row under TRUTH, from the formulas."""
    phase = {"acute": (0.4, 0.3), "subacute": (0.2, 0.2), "chronic": (0.1, 0.1)}
    level, slope = (table["phase"].map({name: pair[k] for name, pair in phase.items()}).to_numpy() for k in (0, 1))
    bell = 0.8 * np.exp(-0.5 * (np.log(table["frequency_hz"] / 12) / 0.6) ** 2)
    return level + bell + slope * np.log2(1 + table["sessions"] / 10) + table["site"].map({"nerve": 0.1, "muscle": -0.1})


def many(model, trials, truth, count=100) -> np.ndarray:
    return np.stack([sd.simulate_trials(model, trials, truth, seed=k).trials.table["effect"] for k in range(count)])


@pytest.fixture(scope="module")
def shuffled() -> sd.Trials:
    return sd.read_trials(make_table().sample(frac=1, random_state=1))


def test_effects_have_the_mean_and_the_sampling_errors_of_their_rows(bell_model, shuffled):
    drawn, mean, se = many(bell_model, shuffled, TRUTH), expected(shuffled.table), np.sqrt(shuffled.table["variance"].to_numpy())
    z = (drawn.mean(axis=0) - mean) / (se / np.sqrt(len(drawn)))
    assert np.abs(z).max() < 4
    assert np.abs(z).mean() < 1.2
    ratio = drawn.std(axis=0, ddof=1) / se
    assert np.abs(ratio - 1).max() < 4.5 / np.sqrt(2 * len(drawn))
    correlation = np.corrcoef(drawn.T) - np.eye(len(se))
    assert np.abs(correlation).max() < 5 / np.sqrt(len(drawn))


def test_rows_of_a_study_share_its_effect(bell_model, shuffled):
    table = shuffled.table
    drawn = many(bell_model, shuffled, TRUTH | {"between_study": 2.0, "within_study": 1.0})
    same = (table["study"].to_numpy()[:, None] == table["study"].to_numpy()) * 1.0
    covariance = 4.0 * same + np.diag(1.0 + table["variance"])
    error = np.sqrt((covariance**2 + np.outer(np.diag(covariance), np.diag(covariance))) / len(drawn))
    assert np.abs((np.cov(drawn.T) - covariance) / error).max() < 4.5


def test_the_design_stays_and_the_table_says_what_it_is(bell_model, trials):
    found = sd.simulate_trials(bell_model, trials, TRUTH, seed=3)
    changed = {"effect", "effect_reported"}
    pd.testing.assert_frame_equal(found.trials.table.drop(columns=changed), trials.table.drop(columns=changed))
    assert any(note.startswith("synthetic: the effects are simulated from the model 'test bell'") for note in found.trials.notes)
    assert found.truth["intercept_by_phase"].sel(phase="chronic") == 0.1
    assert found.truth["study_effect"].sizes == {"study": 20}
    assert "intercept" not in found.truth
    again, other = (sd.simulate_trials(bell_model, trials, TRUTH, seed=seed) for seed in (3, 4))
    assert found.trials.fingerprint == again.trials.fingerprint != other.trials.fingerprint


def test_lower_is_better_keeps_its_sign():
    table = make_table()
    trials = sd.read_trials(table.assign(direction="lower", effect=-table["effect"]))
    found = sd.simulate_trials(
        sd.load_model("pooled"), trials, {"intercept": 5.0, "between_study": 0.1, "within_study": 0.1}, seed=1
    )
    assert (found.trials.table["effect"] > 0).all()
    assert (found.trials.table["effect_reported"] < 0).all()


def test_truths_from_the_prior_have_its_spread(bell_model, trials):
    truths = [sd.simulate_trials(bell_model, trials, seed=k).truth for k in range(60)]
    peak = np.log([float(truth["frequency_hz_peak"]) for truth in truths])
    prior = bell_model.priors()["frequency_hz_peak"].parameters
    assert abs(peak.mean() - prior["mu"]) < 4 * prior["sigma"] / np.sqrt(60)
    assert peak.std() == pytest.approx(prior["sigma"], rel=4 / np.sqrt(2 * 60))


def test_a_truth_of_another_simulation_or_of_a_fit_is_a_truth(bell_model, trials, bell_fit):
    first = sd.simulate_trials(bell_model, trials, seed=5)
    again = sd.simulate_trials(bell_model, trials, first.truth, seed=6)
    assert again.truth.equals(first.truth)
    assert again.trials.fingerprint != first.trials.fingerprint
    draw = bell_fit.tree["posterior"].to_dataset().isel(chain=0, draw=7)
    assert float(sd.simulate_trials(bell_model, trials, draw, seed=1).truth["between_study"]) == float(draw["between_study"])


def test_all_that_is_wrong_with_a_truth_is_said_at_once(bell_model, trials):
    wrong = TRUTH | {"between_study": -1, "intercept_by_phase": {"acut": 1}, "site_effect": 3, "frequency_hz_width": "wide"}
    del wrong["frequency_hz_peak"]
    with pytest.raises(sd.StimdoseError) as error:
        sd.simulate_trials(bell_model, trials, wrong | {"frequency_hz_peek": 12})
    for part in (
        "no parameter 'frequency_hz_peek' (did you mean 'frequency_hz_peak'?)",
        "frequency_hz_peak is missing",
        "between_study is 0 or more, not -1",
        "intercept_by_phase has no level 'acut' (did you mean 'acute'?)",
        "site_effect is 2 numbers, of",
        "frequency_hz_width is a number, not 'wide'",
    ):
        assert part in str(error.value)
    with pytest.raises(sd.StimdoseError, match="frequency_hz_width is positive, not 0"):
        sd.simulate_trials(bell_model, trials, TRUTH | {"frequency_hz_width": 0})
    with pytest.raises(sd.StimdoseError, match="lacks subacute, chronic"):
        sd.simulate_trials(bell_model, trials, TRUTH | {"intercept_by_phase": {"acute": 1}})
    with pytest.raises(sd.StimdoseError, match="a dict of numbers"):
        sd.simulate_trials(bell_model, trials, 3)


def test_doses_that_are_not_printed_are_drawn_or_stated():
    table = make_table().assign(modality="rTMS")
    table["sessions"] = table["sessions"].where(np.arange(len(table)) % 3 != 0)
    trials = sd.read_trials(table, missing="keep")
    model = sd.Model(name="sessions", intercept=sd.Intercept(), dose=[sd.Dose(column="sessions", shape="linear", by_study=False)])
    truth = {"intercept": 0.0, "sessions_slope": 1000.0, "between_study": 0.0, "within_study": 0.0}
    found = sd.simulate_trials(model, trials, truth, seed=1, missing="impute")
    doses = table["sessions"].fillna(
        dict(zip(found.truth["sessions_true_row"].values.astype(int), found.truth["sessions_true"].values, strict=True))
    )
    reference = model.dose[0].basis.reference
    np.testing.assert_allclose(found.trials.table["effect"], 1000 * doses / reference, atol=2)
