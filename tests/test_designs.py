"""What one more trial would add: against closed forms, the formulas of the model, and refits."""

from dataclasses import replace

import numpy as np
import pytest

import stimdose as sd
from stimdose import designs
from stimdose.diagnosis import Diagnosis

AT = {"phase": "acute", "site": "nerve"}


def test_reweighted_draws_are_the_posterior_with_one_more_effect():
    """Normal prior and likelihood: 1 / variance adds up."""
    draws, between, se = 0.5 * np.random.default_rng(1).standard_normal(200_000), 0.3, 0.4
    effects = np.array([-0.6, 0.0, 0.9])
    weights, k = designs._weights(draws, np.full(len(draws), between**2), effects, se)
    precision = [1 / 0.5**2, 1 / (between**2 + se**2)]
    np.testing.assert_allclose(weights @ draws, effects * precision[1] / sum(precision), atol=0.01)
    for weight in weights:
        assert designs._spread_of(np.exp(draws), weight, 0.95)["sd"] == pytest.approx(1 / np.sqrt(sum(precision)), rel=0.02)
    assert k.max() < 0.7


def test_a_new_study_varies_as_the_model_says(bell_fit):
    held = designs.held_values(bell_fit.model, bell_fit.rows, "frequency_hz", None, AT | {"sessions": 15})
    mean, variance = designs._new_study(bell_fit, "posterior", "frequency_hz", 20.0, held)
    v = bell_fit.values()
    bell = np.exp(-0.5 * (np.log(20 / v["frequency_hz_peak"]) / v["frequency_hz_width"]) ** 2)
    gain = np.log2(1 + 15 / bell_fit.model.dose[1].basis.reference)
    nerve = bell_fit.rows.levels["site"].index("nerve")
    expected = v["intercept_by_phase"][:, 0] + v["frequency_hz_amplitude"] * bell + v["sessions_slope_by_phase"][:, 0] * gain
    np.testing.assert_allclose(mean, expected + v["site_effect"][:, nerve], rtol=1e-8)
    slopes = (v["frequency_hz_amplitude_between_study"] * bell) ** 2 + (v["sessions_slope_between_study"] * gain) ** 2
    np.testing.assert_allclose(variance, v["between_study"] ** 2 + v["within_study"] ** 2 + slopes, rtol=1e-8)


def test_a_trial_that_says_nothing_changes_nothing(bell_fit):
    found = sd.design(bell_fit, "frequency_hz", [5, 12], se=[1e6, 1.0, 0.01], at=AT, simulations=40, seed=2)
    table = found.table.set_index(["se", "dose"])
    best = sd.optimum(bell_fit, "frequency_hz", at=AT, size=designs.GRID)
    rank = 1 / best.draws["best_dose"].size  # rounding of the weights may take an end one draw further out or in
    narrow, wide = (float(np.ptp(best.interval(0.95 + step).values)) / found.present_width for step in (-2 * rank, 2 * rank))
    assert ((narrow <= table.loc[1e6, "ratio"]) & (table.loc[1e6, "ratio"] <= wide)).all()
    assert wide - narrow < 0.02
    assert found.present_verdict == best.verdict
    assert found.explanation.startswith(f"Now: {best.verdict}; ")
    assert "One trial at 12 (se 0.01): expected width" in found.explanation
    assert found.present_width == pytest.approx(float(np.ptp(best.interval(0.95).values)), rel=0.02)
    assert (table.loc[1e6, "p_identified"] == (best.verdict == "identified")).all()
    assert (table["reweighted"] + table["refitted"] == 1).all()
    widths = found.simulations["width"].values
    np.testing.assert_allclose(found.table["width"], widths.mean(axis=1))
    np.testing.assert_allclose(found.table["ratio_error"], widths.std(axis=1, ddof=1) / found.present_width / np.sqrt(40))


@pytest.mark.slow
def test_what_is_expected_of_a_trial_keeps_the_law_of_total_variance(bell_fit):
    """On average a trial moves the best dose nowhere, and takes from its variance what the means of its posteriors vary by."""
    found = sd.design(bell_fit, "frequency_hz", [5, 20], se=0.05, at=AT, simulations=400, seed=2, method="reweight").simulations
    now = np.log(sd.optimum(bell_fit, "frequency_hz", at=AT, size=designs.GRID).draws["best_dose"])
    mean, sd_of_best = found["mean"].values, found["sd"].values
    law = sd_of_best**2 + (mean - float(now.mean())) ** 2
    for simulated, expected in ((mean, float(now.mean())), (law, float(now.var()))):
        error = simulated.std(axis=1, ddof=1) / np.sqrt(simulated.shape[1])
        assert (abs(simulated.mean(axis=1) - expected) < 4 * error).all()
    assert (np.mean(sd_of_best**2, axis=1) < float(now.var())).all()


def test_the_error_of_the_new_effect_follows_from_the_people(bell_fit):
    found = sd.design(bell_fit, "frequency_hz", 12, n=[20, 80], at=AT, simulations=5, seed=2, method="reweight")
    held = designs.held_values(bell_fit.model, bell_fit.rows, "frequency_hz", None, AT)
    d = designs._new_study(bell_fit, "posterior", "frequency_hz", 12.0, held)[0].mean()
    n = np.array([20, 80])
    np.testing.assert_allclose(found.table["se"], np.sqrt(2 / n + d**2 / (4 * n)))
    again = sd.design(bell_fit, "frequency_hz", 12, n=[20, 80], at=AT, simulations=5, seed=2, method="reweight")
    assert again.simulations.equals(found.simulations)


@pytest.mark.filterwarnings("ignore::stimdose.ConvergenceWarning")  # refits are short: their rows are the question
def test_a_refit_has_the_new_trial(bell_fit):
    trials = designs._with_trial(bell_fit, AT | {"frequency_hz": 12.0, "sessions": 15.0}, 0.9, 0.2)
    table = trials.table
    assert len(table) == 31
    new = table.iloc[-1]
    assert (new["effect"], new["variance"], new["frequency_hz"], new["phase"]) == (0.9, pytest.approx(0.04), 12, "acute")
    assert table["study"].nunique() == 21
    assert table["frequency_hz"].dtype == float
    assert table.iloc[:-1]["effect"].tolist() == bell_fit.trials.table["effect"].tolist()
    found = sd.design(bell_fit, "frequency_hz", 12, se=0.2, at=AT, simulations=2, seed=2, method="refit")
    assert found.table[["refitted", "reweighted"]].iloc[0].tolist() == [1, 0]
    assert np.isfinite(found.simulations["width"]).all()


def test_an_anchored_model_must_keep_its_verdict_with_a_free_intercept(strata_fit):
    found = sd.design(strata_fit, "sessions", [5, 60], n=50, at={"phase": "acute"}, simulations=10, seed=1, method="reweight")
    assert (found.table["p_identified"] == 0).all()  # a slope has no best dose inside the range
    assert np.isfinite(found.table["pareto_k"]).all()
    assert found.table["ratio"].isna().all() == (found.present_width == 0)


def test_the_warning_of_the_fit_is_carried(bell_fit):
    table = bell_fit.diagnosis.table.assign(r_hat=1.5)
    bad = replace(bell_fit, diagnosis=Diagnosis(table, 0, bell_fit.diagnosis.draws))
    found = sd.design(bad, "frequency_hz", 12, se=0.2, at=AT, simulations=2, seed=2, method="reweight")
    assert "did not converge" in found.fit_warning


def test_all_that_is_wrong_is_said_at_once(bell_fit):
    with pytest.raises(sd.StimdoseError) as error:
        sd.design(bell_fit, "frequency_hz", [-1], at={"phase": "acute"}, prob=2, simulations=0, method="refitt")
    for part in ("either n", "doses: ", "a level of site (", "prob", "simulations", "(did you mean 'refit'?)"):
        assert part in str(error.value)
    with pytest.raises(sd.StimdoseError, match="no dose 'frequency'"):
        sd.design(bell_fit, "frequency", [5], n=20, at=AT)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::stimdose.ConvergenceWarning")  # refits are short: results count those that fail
def test_reweighting_and_refitting_agree(bell_fit):
    how = {"se": 0.15, "at": AT, "simulations": 40, "seed": 3}
    weighed, fitted = (
        sd.design(bell_fit, "frequency_hz", 20, method=method, **how).simulations for method in ("reweight", "refit")
    )
    now = sd.optimum(bell_fit, "frequency_hz", at=AT, size=designs.GRID)
    shared = float(np.log(now.draws["best_dose"]).std()) / np.sqrt(now.diagnosis.table.loc["best_dose", "ess_bulk"])
    difference = (weighed["mean"] - fitted["mean"]).values.ravel()  # all weighed ones have the Monte Carlo error of the one fit
    assert abs(difference.mean()) < 4 * np.hypot(difference.std(ddof=1) / np.sqrt(40), shared)
    assert np.corrcoef(weighed["mean"].values.ravel(), fitted["mean"].values.ravel())[0, 1] > 0.5
