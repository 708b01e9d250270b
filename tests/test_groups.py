"""Groups that differ in the place of their peak, crossed groups, and products of two doses, against known truths."""

import warnings

import numpy as np
import pandas as pd
import pytest
from conftest import make_table

import stimdose as sd
from stimdose.verdicts import verdicts

FREQUENCIES = np.array([0.5, 1, 3, 5, 10, 20, 50])


def bell(frequency, peak, width=0.6):
    return np.exp(-0.5 * (np.log(frequency / peak) / width) ** 2)


def table(mean, studies: int, seed: int, **columns) -> pd.DataFrame:
    """Trials of one row: effect = mean(row) + a study's own + error; each column drawn from its values."""
    rng = np.random.default_rng(seed)
    drawn = pd.DataFrame({name: rng.choice(values, studies) for name, values in columns.items()})
    se = rng.uniform(0.12, 0.25, studies)
    effect = mean(drawn) + rng.normal(0, 0.1, studies) + rng.normal(0, se)
    own = {"study": [f"T{k:03d}" for k in range(studies)], "effect": effect, "se": se}
    return drawn.assign(**own, direction="higher", measure="SMD", comparator="sham", design="parallel")


@pytest.fixture(scope="module")
def hemispheres() -> sd.Trials:
    """1 Hz works over the unaffected hemisphere, 10 Hz over the affected one."""
    mean = lambda t: 0.7 * bell(t["frequency_hz"], np.where(t["hemisphere"] == "affected", 10.0, 1.5))
    return sd.read_trials(table(mean, 60, 5, frequency_hz=FREQUENCIES, hemisphere=["affected", "unaffected"]))


@pytest.fixture(scope="module")
def by_hemisphere(hemispheres) -> sd.Fit:
    return sd.fit(sd.load_model("frequency-by-hemisphere"), hemispheres, seed=2, progress=False)


def test_two_hemispheres_have_two_best_frequencies(by_hemisphere):
    best = sd.optimum(by_hemisphere, "frequency_hz", by="hemisphere")
    line = best.table().loc["affected"]
    assert line["verdict"] == "identified"
    assert line["low"] < 10 < line["high"] < 20
    low = best.table().loc["unaffected"]
    assert low["low"] <= 1.5 < low["high"] < 6
    assert low["verdict"] != "did not converge"


def test_a_single_bell_with_an_added_shift_by_hemisphere_finds_neither(hemispheres):
    model = sd.load_model("frequency-by-hemisphere")
    single = model.replace(dose=(sd.Dose(column="frequency_hz", shape="bell", priors={"peak": model.dose[0].priors["peak"]}),))
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", sd.ConvergenceWarning
        )  # two peaks, between which chains rarely move, are an honest answer, too
        fit = sd.fit(single, hemispheres, seed=2, progress=False)
    assert sd.optimum(fit, "frequency_hz").verdict in ("not identified", "did not converge")


def test_curves_by_a_column_are_averages_of_those_of_its_combinations():
    trials = sd.read_trials(make_table(30))
    model = sd.Model(
        name="crossed",
        intercept=sd.Intercept(by="phase*site"),
        dose=[sd.Dose(column="sessions", shape="linear", by="phase*site")],
    )
    fit = sd.fit(model, trials, seed=1, progress=False)
    cells = sd.curve(fit, "sessions", by="phase:site", size=5)
    assert cells["phase:site"].values.tolist() == [f"{a}, {b}" for a in fit.rows.levels["phase"] for b in fit.rows.levels["site"]]
    values = fit.values()
    by_hand = (
        sum(values[f"intercept_by_{g}"][:, k] for g, k in (("phase", 1), ("site", 0), ("phase:site", 2)))
        - 2 * values["intercept"]
    )
    slope = (
        sum(values[f"sessions_slope_by_{g}"][:, k] for g, k in (("phase", 1), ("site", 0), ("phase:site", 2)))
        - 2 * values["sessions_slope"]
    )
    found = cells.sel({"phase:site": cells["phase:site"].values[2]}).values.reshape(-1, 5)
    np.testing.assert_allclose(found, by_hand[:, None] + slope[:, None] * cells["sessions"].values / 10, rtol=1e-10)
    share = fit.rows.table["site"].value_counts(normalize=True)
    by_phase = sd.curve(fit, "sessions", by="phase", size=5)
    for k, phase in enumerate(by_phase["phase"].values):
        mixed = sum(share[site] * cells.isel({"phase:site": 2 * k + j}).values for j, site in enumerate(fit.rows.levels["site"]))
        np.testing.assert_allclose(by_phase.sel(phase=phase).values, mixed, rtol=1e-10)


def test_a_combination_that_no_trial_has_is_predicted_with_the_spread_between_combinations():
    rows = make_table(40)
    rows = rows[~((rows["phase"] == "acute") & (rows["site"] == "nerve"))]
    model = sd.Model(name="crossed", intercept=sd.Intercept(by="phase*site"), dose=[sd.Dose(column="sessions", shape="linear")])
    fit = sd.fit(model, sd.read_trials(rows), seed=1, progress=False)
    values, levels = fit.values(), fit.rows.levels["phase:site"]
    unseen = values["intercept_by_phase:site"][:, levels.index("acute, nerve")] - values["intercept"]
    z = unseen / values["intercept_between_phase:site"]
    assert abs(z.mean()) < 4 / np.sqrt(1000)
    assert abs((z**2).mean() - 1) < 4 * np.sqrt(2 / 1000)


def test_a_product_is_nothing_without_either_dose_and_is_recovered():
    sessions = [1.0, 2, 5, 10, 15, 20, 30]
    mean = lambda t: 1.2 * bell(t["frequency_hz"], 8) * t["sessions"] / (6 + t["sessions"])
    trials = sd.read_trials(table(mean, 80, 3, frequency_hz=FREQUENCIES, sessions=sessions))
    dose = sd.Dose(column="frequency_hz", shape="bell", times=sd.Dose(column="sessions", shape="emax"))
    fit = sd.fit(sd.Model(name="product", dose=[dose]), trials, seed=4, progress=False)
    summary = fit.summary()
    for name, truth in {
        "frequency_hz_amplitude": 1.2,
        "frequency_hz_peak": 8.0,
        "frequency_hz_width": 0.6,
        "sessions_ed50": 6.0,
    }.items():
        assert summary.loc[name, "low"] < truth < summary.loc[name, "high"], name
    assert "sessions_maximum" not in summary.index
    nothing = sd.curve(fit, "sessions", grid=np.array([0.0, 10.0]))
    assert (nothing.sel(sessions=0) == 0).all()
    more = sd.optimum(fit, "frequency_hz", at={"sessions": 20}).value - sd.optimum(fit, "frequency_hz", at={"sessions": 2}).value
    assert (more > 0).mean() > 0.99


@pytest.mark.slow
def test_two_groups_share_as_much_as_the_prior_of_their_spread_says(by_hemisphere):
    found = sd.vary_spread(by_hemisphere, "frequency_hz", factors=(0.2, 1.0), seed=1)
    assert found.index.names == ["factor", "group"]
    assert found["converged"].all()
    apart = lambda factor: np.log(found.loc[(factor, "affected"), "best_dose"] / found.loc[(factor, "unaffected"), "best_dose"])
    assert apart(0.2) < apart(1.0) - 0.02
    own = sd.optimum(by_hemisphere, "frequency_hz", by="hemisphere").table()
    assert found.loc[(1.0, "affected"), "best_dose"] == pytest.approx(own.loc["affected", "best_dose"], rel=0.1)


def test_spreads_that_are_not_there_cannot_be_varied(bell_fit, by_hemisphere):
    with pytest.raises(sd.StimdoseError, match="does not vary over groups"):
        sd.vary_spread(bell_fit, "frequency_hz")
    with pytest.raises(sd.StimdoseError, match="positive numbers, not 0"):
        sd.vary_spread(by_hemisphere, "frequency_hz", factors=(0, 1))


@pytest.fixture(scope="module")
def inert_minutes() -> sd.Fit:
    """A product where only frequency works."""
    mean = lambda t: 0.1 + 0.8 * bell(t["frequency_hz"], 8)
    trials = sd.read_trials(table(mean, 40, 11, frequency_hz=FREQUENCIES, session_min=[8.0, 12, 16, 20, 25]))
    dose = sd.Dose(column="frequency_hz", shape="bell", times=sd.Dose(column="session_min", shape="linear"))
    return sd.fit(sd.Model(name="product", intercept=sd.Intercept(), dose=[dose]), trials, seed=1, progress=False)


def test_a_product_does_not_say_that_more_is_better(inert_minutes):
    """It is nothing at zero minutes, and so it must rise with them because frequency works."""
    fit = inert_minutes
    best = sd.optimum(fit, "session_min")
    assert best.verdict == "not identified"
    assert "more is better as soon as treatment works; freed of that" in best.explanation
    assert verdicts(best.curves, best.delta) == {"": "still rising"}
    contrast = sd.contrast(fit, {"session_min": 25}, {"session_min": 8})
    assert "more is better as soon as treatment works; the columns free_" in contrast.explanation
    line = contrast.table().iloc[0]
    assert line["low"] > 0 > line["free_low"]
    assert set(fit.more_is_better()["dose"]) == {"frequency_hz", "session_min"}
    joint = sd.joint_optimum(fit, "frequency_hz", "session_min")
    assert "still rising in session_min" not in joint.verdict
    with pytest.raises(sd.StimdoseError, match="held at a number, not at 'a'"):
        joint.given({"session_min": "a"})
