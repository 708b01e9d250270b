"""Curves and optima: laws on a real fit, and verdicts on draws whose answer is known."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import stimdose as sd
from stimdose.grid import best_dose, dose_grid
from stimdose.verdicts import verdict as verdict_of


def test_a_curve_is_the_formula_written_by_hand(bell_fit):
    grid = np.array([2.0, 12.0, 40.0])
    curve = sd.curve(bell_fit, "frequency_hz", grid=grid, at={"phase": "acute", "site": "nerve", "sessions": 15.0})
    p = bell_fit.tree["posterior"]
    bell = np.exp(-0.5 * ((np.log(curve["frequency_hz"]) - np.log(p["frequency_hz_peak"])) / p["frequency_hz_width"]) ** 2)
    gain = p["sessions_slope_by_phase"].sel(phase="acute") * np.log2(1 + 15 / 10)
    expected = (
        p["intercept_by_phase"].sel(phase="acute")
        + p["site_effect"].sel(site="nerve")
        + gain
        + p["frequency_hz_amplitude"] * bell
    )
    assert curve.dims == ("chain", "draw", "frequency_hz")
    np.testing.assert_allclose(curve.values, expected.transpose(*curve.dims).values, atol=1e-8)  # shapes.TINY


def test_groups_that_are_not_held_are_averaged_over_the_rows(bell_fit):
    grid = np.array([5.0, 20.0])
    parts = sd.curve(bell_fit, "sessions", grid=grid, by="phase")
    share = bell_fit.trials.table["phase"].value_counts(normalize=True)
    site = bell_fit.trials.table.groupby(["phase", "site"]).size()
    assert len(site) == 6
    whole = sd.curve(bell_fit, "sessions", grid=grid)
    joint = sum(
        n / site.sum() * sd.curve(bell_fit, "sessions", grid=grid, at={"phase": phase, "site": place}).values
        for (phase, place), n in site.items()
    )
    np.testing.assert_allclose(whole.values, joint)
    np.testing.assert_allclose(
        whole.values, sum(parts.sel(phase=level).values * weight for level, weight in share.items()), atol=0.02
    )


def test_a_new_study_has_the_same_mean_and_a_wider_band(bell_fit):
    mean, new = (sd.curve(bell_fit, "frequency_hz", kind=kind) for kind in ("mean", "new study"))
    over = ("chain", "draw")
    assert float(abs(mean.mean(over) - new.mean(over)).max()) < 0.03
    p = bell_fit.tree["posterior"]
    at_low = (
        p["between_study"] ** 2 + p["within_study"] ** 2 + (p["sessions_slope_between_study"] ** 2) * np.log2(1 + 10 / 10) ** 2
    ).mean()
    assert float(new.var(over)[0] - mean.var(over)[0]) == pytest.approx(float(at_low), rel=0.25)


def test_curves_carry_what_a_figure_must_say(bell_fit):
    curve = sd.curve(bell_fit, "frequency_hz", by="phase")
    assert curve.attrs["unit"] == "Hz"
    assert curve.attrs["observed"] == [1.0, 50.0]
    assert "sessions 10" in curve.attrs["held"]
    assert "site" in curve.attrs["held"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"column": "minutes"}, "no dose 'minutes'"),
        ({"column": "sessions", "by": "sex"}, "no groups 'sex'"),
        ({"column": "sessions", "at": {"phase": "old"}}, "no level 'old'"),
        ({"column": "sessions", "at": {"sessions": 3}}, "cannot hold"),
        ({"column": "sessions", "over": (20, 5)}, "low < high"),
        ({"column": "sessions", "over": (5, float("nan"))}, "low < high"),
        ({"column": "sessions", "kind": "median"}, "kind"),
        ({"column": "sessions", "grid": []}, "increasing doses"),
        ({"column": "sessions", "grid": [5, -1]}, "increasing doses"),
        ({"column": "sessions", "group": "nope"}, "no draws"),
        ({"column": "frequency_hz", "at": {"sessions": -5}}, "cannot be held"),
        ({"column": "frequency_hz", "at": {"sessions": "ten"}}, "cannot be held"),
        ({"column": "sessions", "at": {"frequency_hz": float("inf")}}, "cannot be held"),
    ],
)
def test_questions_the_model_cannot_answer(bell_fit, arguments, words):
    with pytest.raises(sd.StimdoseError, match=words):
        sd.curve(bell_fit, **arguments)


@pytest.mark.parametrize(("low", "high"), [(1, 50), (0, 30), (5, 20), (300, 6000)])
def test_the_vertex_of_a_parabola_is_found_between_grid_points(low, high):
    rng = np.random.default_rng(0)
    peak, height = rng.uniform(low + 0.1 * (high - low), high - 0.1 * (high - low), 200), rng.normal(size=200)
    grid = dose_grid(low, high, 61)
    curves = height[:, None] - 3 * ((grid - peak[:, None]) / (high - low)) ** 2
    dose, value = best_dose(grid, curves[..., None])
    np.testing.assert_allclose(dose[:, 0], peak, rtol=1e-9)
    np.testing.assert_allclose(value[:, 0], height, atol=1e-12)


def draws_of(function, size=2000, seed=0) -> tuple[xr.DataArray, xr.DataArray, xr.DataArray]:
    """Curves function(grid, rng) as labelled draws, with their best doses."""
    rng, grid = np.random.default_rng(seed), dose_grid(1, 50, 101)
    curves = np.stack([function(grid, rng) for _ in range(size)]).reshape(4, size // 4, -1)
    curve = xr.DataArray(curves, {"frequency_hz": grid}, ("chain", "draw", "frequency_hz"), attrs={"dose": "frequency_hz"})
    found = [xr.DataArray(v.reshape(4, -1), dims=("chain", "draw")) for v in best_dose(grid, curves.reshape(size, -1, 1))]
    return curve, *found


@pytest.mark.parametrize(
    ("function", "verdict"),
    [
        (lambda x, r: r.normal(0.6, 0.1) * np.exp(-0.5 * (np.log(x / 12) / 0.5) ** 2), "identified"),
        (lambda x, r: r.normal(0.6, 0.1) * x / (10 + x), "still rising"),
        (lambda x, r: -r.normal(0.6, 0.1) * x / (10 + x), "still falling"),
        (lambda x, r: r.normal(0, 1) + r.normal(0, 0.01) * np.log(x), "flat"),
        (lambda x, r: r.normal(0, 0.3) * np.log(x), "not identified"),
        (lambda x, r: r.normal(0.15, 0.2) * np.exp(-0.5 * (np.log(x / 12) / 0.5) ** 2), "not identified"),
        (lambda x, r: 0.1 * (1 + 1e-9 * r.normal()) * x / 50, "flat"),
    ],
)
def test_verdicts_on_known_draws(function, verdict):
    assert verdict_of(*draws_of(function), 0.1, [1, 50]) == verdict


def test_adding_a_constant_or_reversing_the_dose_turns_the_verdict_as_it_must():
    curve, dose, value = draws_of(lambda x, r: r.normal(0.6, 0.1) * x / (10 + x))
    assert verdict_of(curve + 5, dose, value + 5, 0.1, [1, 50]) == "still rising"
    grid = curve["frequency_hz"].values
    turned = curve.copy(data=curve.values[:, :, ::-1])
    best = xr.full_like(dose, grid[0])
    assert verdict_of(turned, best, value, 0.1, [1, 50]) == "still falling"


@pytest.mark.parametrize(
    ("observed", "verdict"), [([1, 50], "identified"), ([1, 9], "not identified"), ([20, 50], "not identified")]
)
def test_a_peak_beyond_the_doses_that_were_tried_is_not_identified(observed, verdict):
    curve, dose, value = draws_of(lambda x, r: r.normal(0.9, 0.05) * np.exp(-0.5 * (np.log(x / 14) / 0.5) ** 2))
    found = verdict_of(curve, dose, value, 0.1, observed)
    assert found == verdict


def test_a_verdict_that_the_prior_alone_gives_is_held_back(bell_fit):
    """Within a hair's breadth no model sees a difference, with or without trials."""
    best = sd.optimum(bell_fit, "sessions", over=(10, 10.2))
    assert best.verdict == "not identified"
    assert "prior alone" in best.explanation


def test_differences_between_groups_do_not_pass_for_a_dose_response():
    """Effects that are flat within each phase, at levels of 1, 0.5 and 0.1: the anchored curves rise, and the verdict must not."""
    rng = np.random.default_rng(4)
    phases = np.array(["acute", "subacute", "chronic"])[np.arange(45) % 3]
    levels = {"acute": 1.0, "subacute": 0.5, "chronic": 0.1}
    table = pd.DataFrame(
        {"study": [f"T{k}" for k in range(45)], "phase": phases, "sessions": rng.choice([5.0, 10, 15, 20, 30], 45), "se": 0.15}
    )
    table["effect"] = table["phase"].map(levels) + rng.normal(0, 0.15, 45)
    trials = sd.read_trials(table, direction="higher", measure="SMD", comparator="sham", design="parallel")
    fit = sd.fit(sd.load_model("sessions-by-phase"), trials, seed=1)
    assert set(sd.optimum(fit, "sessions", by="phase").verdicts.values()) == {"not identified"}
    contrast = fit.more_is_better()
    assert ((contrast["low"] < 0) & (contrast["high"] > 0)).all()
    assert "intercept_between_phase" not in fit.tree["posterior"]
    assert "intercept_by_phase" in fit.tree["freed"]


def test_optimum_of_a_fit(bell_fit):
    best = sd.optimum(bell_fit, "frequency_hz")
    peak = bell_fit.tree["posterior"]["frequency_hz_peak"]
    inside = (peak > 1) & (peak < 50)
    np.testing.assert_allclose(best.dose.where(inside, peak), peak, rtol=1e-3)
    assert best.verdict == "identified"
    assert best.explanation.startswith("identified")
    low, high = best.interval(0.9).values
    assert ((best.dose >= low) & (best.dose <= high)).mean() == pytest.approx(0.9, abs=0.01)
    near = best.near_best()
    assert near.max() <= 1
    assert near.sel(frequency_hz=12, method="nearest") > near.sel(frequency_hz=1, method="nearest")
    table = best.table()
    assert table.columns[0] == "verdict"
    assert table.loc["", "prior_low"] < table.loc["", "low"] < 12 < table.loc["", "high"] < table.loc["", "prior_high"]
    assert 0 < table.loc["", "contraction"] <= 1


def test_the_optimum_does_not_depend_on_what_is_held_in_an_additive_model(bell_fit):
    held = sd.optimum(bell_fit, "frequency_hz", at={"sessions": 20.0, "phase": "chronic"})
    np.testing.assert_allclose(held.dose, sd.optimum(bell_fit, "frequency_hz").dose, rtol=1e-6)


def test_effective_doses_against_the_curves_they_come_from(bell_fit):
    best = sd.optimum(bell_fit, "frequency_hz", size=801)
    x, curves = best.curves["frequency_hz"].values, best.curves.values.reshape(-1, 801)
    for draw in (0, 1234, 3999):
        y = curves[draw]
        target = y[0] + 0.5 * (y.max() - y[0])
        ed50 = best.effective_dose(0.5).values.ravel()[draw]
        assert np.interp(ed50, x, y) == pytest.approx(target, abs=1e-6) or np.isnan(ed50)
        assert not (y[x < ed50] >= target + 1e-9).any()
    level = float(np.median(curves.max(axis=1)))
    reached = best.minimal_effective_dose(level)
    assert float(np.isfinite(reached).mean()) == pytest.approx((curves.max(axis=1) >= level).mean())
    with pytest.raises(sd.StimdoseError, match="share"):
        best.effective_dose(1.5)


def test_a_new_study_has_an_optimum_only_if_the_shape_varies_by_study(bell_fit):
    assert bell_fit.rows.slopes
    assert sd.optimum(bell_fit, "frequency_hz", kind="new study").verdict
    plain = sd.Fit(
        bell_fit.model.replace(dose=[d.model_copy(update={"by_study": False}) for d in bell_fit.model.dose]),
        bell_fit.trials,
        bell_fit.tree,
        bell_fit.diagnosis,
    )
    with pytest.raises(sd.StimdoseError, match="does not vary by study"):
        sd.optimum(plain, "frequency_hz", kind="new study")


def test_an_anchored_rise_is_no_proof_that_more_is_better(strata_fit):
    best = sd.optimum(strata_fit, "sessions", by="phase")
    assert set(best.verdicts.values()) == {"not identified"}
    assert "free intercept" in best.explanation
    contrast = strata_fit.more_is_better().set_index("group")
    assert (contrast["low"] < 0).all()
    assert (contrast["high"] > 0).all()
    assert contrast.loc["acute", ["from", "to"]].tolist() == [5, 20]


def test_delta_must_be_stated_for_effects_in_points(bell_fit):
    table = bell_fit.trials.table.assign(measure="MD")
    points = sd.Fit(bell_fit.model, sd.Trials(table), bell_fit.tree, bell_fit.diagnosis)
    with pytest.raises(sd.StimdoseError, match="state delta"):
        sd.optimum(points, "frequency_hz")
    with pytest.raises(sd.StimdoseError, match="positive"):
        sd.optimum(bell_fit, "frequency_hz", delta=0)


def test_an_unconverged_fit_says_so_wherever_it_is_used(bell_fit):
    from stimdose.diagnosis import diagnose

    rng = np.random.default_rng(0)
    apart = xr.Dataset({"x": (("chain", "draw"), rng.normal(size=(4, 500)) + np.arange(4)[:, None])})
    bad = sd.Fit(bell_fit.model, bell_fit.trials, bell_fit.tree, diagnose(apart, 3))
    assert not bad.diagnosis.converged
    assert "x" in bad.diagnosis.message
    assert "3 of 2000 draws diverged" in bad.diagnosis.message
    assert "did not converge" in sd.optimum(bad, "frequency_hz").explanation
    assert sd.curve(bad, "frequency_hz").attrs["warning"]
    assert sd.study_effects(bad).attrs["warning"]


def test_a_quantity_that_is_not_a_number_does_not_pass_for_constant():
    from stimdose.diagnosis import diagnose

    x = np.random.default_rng(0).normal(size=(4, 500))
    x[1, 7] = np.nan
    found = diagnose(xr.Dataset({"x": (("chain", "draw"), x), "edge": (("chain", "draw"), np.ones((4, 500)))}), 0)
    assert found.failing == ("x",)


def test_a_best_dose_on_which_chains_disagree_has_that_as_its_verdict(bell_fit):
    tree = bell_fit.tree.copy(deep=True)
    posterior = tree["posterior"].to_dataset()
    posterior["frequency_hz_peak"] = posterior["frequency_hz_peak"] * (1 + 0.5 * (posterior["chain"] == 2))
    tree["posterior"] = xr.DataTree(posterior)
    assert (
        sd.optimum(sd.Fit(bell_fit.model, bell_fit.trials, tree, bell_fit.diagnosis), "frequency_hz").verdict
        == "did not converge"
    )
