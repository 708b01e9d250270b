"""Effects of several outcomes in one unit, and back in points."""

import arviz as az
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import stimdose as sd
from stimdose.optima import default_delta, optimum_of
from stimdose.outcome_units import EFFECTS, VARIANCES
from stimdose.prior_checks import plausible_limit

BASE = {"measure": "MD", "comparator": "sham", "design": "parallel"}
UNITS = {"FMA-UE": 12, "MAS": 1}


def read(*rows: dict, **constants) -> sd.Trials:
    return sd.read_trials(pd.DataFrame([BASE | row for row in rows], dtype=object), **constants)


def two_outcomes(points: float = 1.0) -> sd.Trials:
    """Two trials on FMA-UE and one on MAS; `points`: how many points of FMA-UE stand where one stood."""
    return read(
        {"study": "A", "outcome": "FMA-UE", "direction": "higher", "effect": 6 * points, "se": 2 * points},
        {"study": "B", "outcome": "FMA-UE", "direction": "higher", "effect": -3 * points, "se": 4 * points},
        {"study": "C", "outcome": "MAS", "direction": "lower", "effect": -0.5, "se": 0.25},
    )


def test_effects_are_divided_by_points_and_variances_by_their_square():
    trials = two_outcomes().in_units(UNITS)
    assert trials.table["effect"].tolist() == [0.5, -0.25, 0.5]
    np.testing.assert_allclose(trials.table["variance"], [(2 / 12) ** 2, (4 / 12) ** 2, 0.25**2])
    assert trials.measure == "MD in stated units"
    assert trials.table["se"].tolist() == [2, 4, 0.25]  # as printed


def test_the_audit_has_a_line_for_each_row():
    trials = two_outcomes()
    lines = trials.in_units(UNITS).audit().iloc[len(trials.audit()) :]
    assert lines["study"].tolist() == ["A", "B", "C"]
    assert lines["computed"].tolist() == [0.5, -0.25, 0.5]
    assert lines["printed"].tolist()[0] == "effect = 6, outcome = FMA-UE"
    assert lines["formula"].str.contains(r"12 points of FMA-UE").tolist() == [True, True, False]


def test_points_of_another_size_change_nothing():
    """A scale of ten times as many points, with ten times as many to the unit, is the same table."""
    own, other = two_outcomes().in_units(UNITS), two_outcomes(10).in_units(UNITS | {"FMA-UE": 120})
    for name in ("effect", "variance", "effect_reported", "variance_reported"):
        np.testing.assert_allclose(own.table[name].astype(float), other.table[name].astype(float), rtol=1e-14)


def test_several_outcomes_mix_once_they_are_in_one_unit():
    trials = two_outcomes()
    assert "outcome" in trials.mixtures()
    with pytest.raises(sd.TrialsError, match=r"put their points on one scale with in_units\(\)"):
        trials.require_one_estimand()
    trials.in_units(UNITS).require_one_estimand()
    mixed = read(
        {"study": "A", "outcome": "FMA-UE", "direction": "higher", "effect": 6, "se": 2},
        {"study": "B", "outcome": "FMA-UE", "direction": "higher", "effect": 6, "se": 2, "measure": "MC", "comparator": "none"}
        | {"design": "within-group"},
    ).in_units(UNITS)
    assert mixed.measure == "MC in stated units+MD in stated units"
    assert "measure" in mixed.mixtures()


def test_a_unit_of_the_scale_serves_all_its_names_and_one_of_the_outcome_comes_first():
    rows = [
        {"study": study, "outcome": outcome, "direction": "lower", "effect": -1.0, "se": 0.5}
        for study, outcome in (("A", "MAS elbow flexors"), ("B", "Modified Ashworth Scale"), ("C", "MAS wrist"))
    ]
    found = read(*rows).in_units({"MAS": 2, "MAS wrist": 4}).table
    assert found["effect"].tolist() == [0.5, 0.5, 0.25]
    assert found["points_per_unit"].tolist() == [2, 2, 4]


def test_everything_that_has_no_unit_is_named():
    trials = read(
        {"study": "A", "outcome": "FMA-UE", "direction": "higher", "effect": 6, "se": 2},
        {"study": "B", "outcome": "FMA-EU", "direction": "higher", "effect": 6, "se": 2},
        {"study": "C", "outcome": None, "direction": "higher", "effect": 6, "se": 2},
        {"study": "D", "outcome": "MAS", "direction": "lower", "effect": -0.5, "se": 0.2, "measure": "SMD"},
    )
    with pytest.raises(sd.TrialsError) as caught:
        trials.in_units({"FMA-UE": 0, "MAS": 1})
    assert [(problem.study, problem.column) for problem in caught.value.problems] == [
        ("B", "outcome"),
        ("C", "outcome"),
        ("D", "measure"),
        ("", "outcome"),
    ]
    assert "did you mean 'FMA-UE'?" in str(caught.value)
    assert "has no unit among 'FMA-UE', 'MAS'" in str(caught.value)
    assert "subset()" in str(caught.value)
    assert "above 0" in str(caught.value)


@pytest.mark.parametrize("unit", [0, -1, np.nan, np.inf, "12", True])
def test_a_unit_is_a_number_of_points(unit):
    with pytest.raises(sd.TrialsError, match="a number of points above 0"):
        two_outcomes().in_units({"FMA-UE": unit, "MAS": 1})


def test_units_are_put_in_once():
    with pytest.raises(sd.TrialsError, match="in stated units already"):
        two_outcomes().in_units(UNITS).in_units(UNITS)


def test_what_was_not_printed_is_put_in_units_too():
    """Where r is missing, variance = variance_r0 - variance_r_slope r; where the SD is, effect_sd1 and variance_sd1 SD^2: all of them
    scale as effects and variances do, at any r and SD."""
    arms = {"n_active": 12, "n_control": 10, "mean_active": 30, "mean_control": 24, "direction": "higher", "outcome": "FMA-UE"}
    before = {"baseline_mean_active": 20, "baseline_mean_control": 20, "baseline_sd_active": 8, "baseline_sd_control": 7}
    trials = read(
        {"study": "no r", "score": "change", "sd_active": 9, "sd_control": 9} | arms | before,
        {"study": "no sd", "score": "final"} | arms,
        missing="keep",
    )
    assert trials.table["lacks"].tolist() == ["r", "sd"]
    found = trials.in_units({"FMA-UE": 5}).table
    for names, factor in ((EFFECTS, 5.0), (VARIANCES, 25.0)):
        for name in names:
            np.testing.assert_allclose(found[name].astype(float) * factor, trials.table[name].astype(float), err_msg=name)
    assert found["effect_r_slope"].equals(trials.table["effect_r_slope"])


def test_a_difference_that_is_named_or_stated():
    trials = two_outcomes()
    found = trials.in_minimal_important_differences({"FMA-UE": "Hiragami", "MAS": 0.5})
    assert found.table["points_per_unit"].tolist() == [12.4, 12.4, 0.5]
    assert found.measure == "MD in minimal important differences"
    sources = found.audit().query("column == 'effect, variance'")["source"].tolist()
    assert (
        sources[0]
        == sources[1]
        == "12.4 (subacute stroke, moderate to severe hemiparesis; Hiragami, J Phys Ther Sci 2019; 14 people)"
    )
    assert sources[2] == ""
    assert trials.in_units({"FMA-UE": 12.4, "MAS": 0.5}).table["effect"].equals(found.table["effect"])


def test_the_only_difference_that_is_published_needs_no_choice():
    trials = read({"study": "A", "outcome": "LE-FMA", "direction": "higher", "effect": 3, "se": 1})
    found = trials.in_minimal_important_differences()
    assert found.table["effect"].item() == 0.5
    assert found.audit()["source"].iloc[-1].startswith("6 (chronic stroke; Pandian")


def test_a_misspelt_choice_is_no_reason_for_another_difference():
    trials = read({"study": "A", "outcome": "FMA-LE", "direction": "higher", "effect": 3, "se": 1})
    with pytest.raises(sd.TrialsError, match=r"not among the choices .did you mean 'FMA_LE'"):
        trials.in_minimal_important_differences({"FMA_LE": 4})
    assert len(trials.in_minimal_important_differences({"MAS": 1})) == 1  # of a table that has more outcomes


@pytest.mark.parametrize("given", [["FMA-UE"], 12])
def test_units_and_choices_are_by_outcome(given):
    with pytest.raises(sd.TrialsError, match="units is a dict by outcome"):
        two_outcomes().in_units(given)
    with pytest.raises(sd.TrialsError, match="choices is a dict by outcome"):
        two_outcomes().in_minimal_important_differences(given)


def test_an_open_choice_lists_what_is_published():
    """Several, a range, none, a scale that is not known, a word that several or none have: never one of them by itself."""
    rows = [
        {"study": name, "outcome": name, "direction": "higher", "effect": 3, "se": 1}
        for name in ("FMA-UE", "VAS", "MBI", "grip", "ARAT", "BI", "WMFT-FAS")
    ]
    with pytest.raises(sd.TrialsError) as caught:
        read(*rows).in_minimal_important_differences({"ARAT": "Lang", "WMFT-FAS": "Cicero", "BI": 20})
    rules = {problem.value: problem.rule for problem in caught.value.problems}
    assert set(rules) == {"FMA-UE", "VAS", "MBI", "grip", "ARAT", "WMFT-FAS"}
    for published in sd.scales.SCALES["FMA-UE"].differences:
        assert published.source in rules["FMA-UE"]
        assert published.population in rules["FMA-UE"]
    assert "a range is published, not a number: 12 to 39" in rules["VAS"]
    assert "no difference of its own is known for MBI" in rules["MBI"]
    assert "no scale that is known" in rules["grip"]
    assert "'Lang' is several of them" in rules["ARAT"]
    assert "'Cicero' is none of them" in rules["WMFT-FAS"]


def test_the_range_of_a_scale_is_no_limit_in_other_units():
    model = sd.Model(name="pooled", intercept=sd.Intercept(), outcome_sd=30.0)
    trials = two_outcomes().subset(outcome="FMA-UE")
    assert plausible_limit(model, trials)[0] == 66
    assert plausible_limit(model.replace(outcome_sd=2.5), trials.in_units(UNITS))[0] == 7.5


# Fits -------------------------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def fits() -> tuple[sd.Fit, sd.Fit]:
    """One table in points, and in units of five points with an outcome_sd of a fifth."""
    rng = np.random.default_rng(2)
    sessions = np.tile([5, 10, 15, 20], 4)
    effects = 8 * np.log2(1 + sessions / 10) + rng.normal(0, 1.5, 16)
    trials = read(
        *(
            {"study": f"S{k}", "outcome": "FMA-UE", "direction": "higher", "effect": effect, "se": 1.5, "sessions": number}
            for k, (effect, number) in enumerate(zip(effects, sessions, strict=True))
        )
    )
    model = sd.Model(
        name="sessions", outcome_sd=10.0, intercept=sd.Intercept(), dose=[sd.Dose(column="sessions", shape="log-linear")]
    )
    same = {"seed": 5, "progress": False}
    return sd.fit(model, trials, **same), sd.fit(model.replace(outcome_sd=2.0), trials.in_units({"FMA-UE": 5}), **same)


def test_a_fit_in_units_is_the_fit_in_points(fits):
    """Priors are in outcome_sd, so that the posterior scales with the unit: back in points it is the same, within Monte Carlo error."""
    points, units = fits
    own, back = sd.curve(points, "sessions"), sd.in_points(units, sd.curve(units, "sessions"), "FMA-UE")
    for at in own["sessions"].values[::50]:
        one, other = (draws.sel(sessions=at).values for draws in (own, back))
        for method, of in (("mean", np.mean), ("sd", np.std)):
            error = np.hypot(az.mcse(one, method=method), az.mcse(other, method=method))
            assert abs(of(one) - of(other)) < 4 * error
    best, found = sd.optimum(points, "sessions", delta=1.0), sd.optimum(units, "sessions", delta=0.2)
    assert best.verdict == found.verdict == "still rising"
    assert sd.in_points(units, found, "FMA-UE").explanation == best.explanation


def test_answers_in_points_are_those_in_units_times_the_points(fits):
    fit = fits[1]
    curve, best = sd.curve(fit, "sessions"), sd.optimum(fit, "sessions", delta=0.2, benefit=0.4)
    back, found = sd.in_points(fit, curve, "FMA-UE"), sd.in_points(fit, best, "FMA-UE")
    np.testing.assert_array_equal(back, 5 * curve)
    assert curve.attrs["effect_label"] == "MD in stated units (positive = benefit)"
    assert back.attrs == curve.attrs | {"effect_label": "FMA-UE, points (positive = benefit)"}
    assert found.curves.attrs["effect_label"] == back.attrs["effect_label"]
    assert (found.delta, found.benefit) == (1.0, 2.0)
    expected = best.table()
    expected[["effect_at_best", "effect_low", "effect_high"]] *= 5
    pd.testing.assert_frame_equal(found.table(), expected)
    xr.testing.assert_allclose(found.near_best(), best.near_best())
    xr.testing.assert_allclose(found.expected_loss(), 5 * best.expected_loss())
    xr.testing.assert_allclose(found.minimal_effective_dose(2.0), best.minimal_effective_dose(0.4))


def test_a_fit_in_units_needs_what_matters_to_be_stated(fits):
    with pytest.raises(sd.StimdoseError, match="state delta, the smallest difference in MD in stated units"):
        sd.optimum(fits[1], "sessions")


def test_what_a_tenth_of_a_standard_deviation_is_in_stated_units():
    """No default: whether it matters is not a question of its size in standard deviations. But the number is known."""
    model = sd.Model(name="pooled", intercept=sd.Intercept(), outcome_sd=2.5)
    with pytest.raises(sd.StimdoseError, match=r"0\.1 standard deviations are 0\.25 here, by outcome_sd"):
        default_delta(model, two_outcomes().in_units(UNITS))


def test_points_of_what(fits):
    points, units = fits
    with pytest.raises(sd.StimdoseError, match="not in units"):
        sd.in_points(points, sd.curve(points, "sessions"), "FMA-UE")
    with pytest.raises(sd.StimdoseError, match=r"no outcome 'FMA-EU'.*did you mean 'FMA-UE'"):
        sd.in_points(units, sd.curve(units, "sessions"), "FMA-EU")
    with pytest.raises(sd.StimdoseError, match="not a DataFrame"):
        sd.in_points(units, pd.DataFrame(), "FMA-UE")


def test_answers_by_outcome_are_in_points_of_their_own(fits):
    """An effect on the MAS times the points of the FMA-UE would be in points of neither."""
    curve = sd.curve(fits[1], "sessions", grid=np.array([5.0, 10, 20]))
    both = xr.concat([curve, 2 * curve], pd.Index(["FMA-UE", "MAS"], name="outcome"))
    both = both.transpose("chain", "draw", "sessions", "outcome").assign_attrs(
        curve.attrs | {"observed_by_group": '{"FMA-UE": [5, 20], "MAS": [5, 20]}'}
    )
    back = sd.in_points(fits[1], both, "FMA-UE")
    assert back["outcome"].values.tolist() == ["FMA-UE"]
    np.testing.assert_array_equal(back.sel(outcome="FMA-UE"), 5 * curve)
    for other in (both.sel(outcome="MAS"), both.sel(outcome=["MAS"])):
        with pytest.raises(sd.StimdoseError, match="of MAS, and cannot be in points of FMA-UE"):
            sd.in_points(fits[1], other, "FMA-UE")
    with pytest.raises(sd.StimdoseError, match="of MAS, and cannot be in points of FMA-UE"):
        sd.in_points(fits[1], curve.assign_attrs(outcome="MAS"), "FMA-UE")
    with pytest.raises(sd.StimdoseError, match="by outcome:phase: hold the outcome"):
        sd.in_points(fits[1], both.rename(outcome="outcome:phase"), "FMA-UE")
    best = sd.in_points(fits[1], optimum_of(both, both, delta=0.2), "FMA-UE")
    alone = sd.in_points(fits[1], optimum_of(both.sel(outcome=["FMA-UE"]), both.sel(outcome=["FMA-UE"]), delta=0.2), "FMA-UE")
    pd.testing.assert_frame_equal(best.table(), alone.table())
    assert best.verdicts == alone.verdicts


def test_units_outlast_a_saved_fit(fits, tmp_path):
    loaded = sd.load_fit(fits[1].save(tmp_path / "fit.nc"))
    assert loaded.trials.measure == "MD in stated units"
    curve = sd.curve(loaded, "sessions")
    xr.testing.assert_identical(sd.in_points(loaded, curve, "FMA-UE"), sd.in_points(fits[1], curve, "FMA-UE"))


def test_simulated_effects_in_units_leave_scores_in_points():
    children = sd.load_dataset("synthetic_cp_spasticity").subset(design="participant").in_units({"MAS": 0.5})
    same = children.with_effects(children.table["effect"])
    np.testing.assert_allclose(same.table["score_after"], children.table["score_after"], atol=1e-12)
