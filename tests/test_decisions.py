"""Decisions: what follows from draws of curves whose answers are known, and contrasts of protocols."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.optimize import brentq
from scipy.stats import chi2, norm

import stimdose as sd
from stimdose.derived import best_of, diagnosed, effective_dose, expected_loss, first_dose_reaching
from stimdose.diagnosis import diagnose
from stimdose.dose_space import Confounder
from stimdose.optima import optimum_of

GRID = np.linspace(0, 40, 401)
RIVAL = Confounder("pulses_per_session", 0.8, 30, False)


def as_curves(function, draws=2000, seed=0, grid=GRID, groups=None) -> xr.DataArray:
    """Curves function(dose (grid,), rng) as labelled draws in four chains."""
    rng, shape = np.random.default_rng(seed), (4, draws // 4, len(grid))
    coords, dims = {"frequency_hz": grid}, ("chain", "draw", "frequency_hz")
    attrs = {"dose": "frequency_hz", "unit": "Hz", "observed": [float(grid[0]), float(grid[-1])]}
    parts = [np.stack([function(grid, rng) for _ in range(draws)]).reshape(shape) for _ in groups or [""]]
    if groups is None:
        return xr.DataArray(parts[0], coords, dims, attrs=attrs)
    return xr.DataArray(
        np.stack(parts, -1), coords | {"phase": groups}, (*dims, "phase"), attrs=attrs | {"observed_by_group": "{}"}
    )


def bump(x, rng):
    return rng.normal(0.8, 0.1) * np.exp(-0.5 * ((x - rng.normal(15, 2)) / 6) ** 2)


def rise(x, rng):
    return rng.normal(0.8, 0.1) * x / (10 + x)


def level(x, rng):
    return rng.normal(0.4, 0.3) + rng.normal(0, 0.01) * x / 40


def anything(x, rng):
    return rng.normal(0, 1) * x / 40 + rng.normal(0, 1) * (x / 40) ** 2


PRIOR = as_curves(anything, 1000, seed=9)


def test_the_best_dose_of_a_quadratic_has_its_exact_distribution():
    """P(best <= t) = P(b1 + 2 b2 t <= 0), a normal probability where b2 < 0; what lies outside the range is its ends."""
    mean, covariance = np.array([0.05, -0.001]), np.array([[1.6e-4, -1.5e-6], [-1.5e-6, 2.5e-8]])
    draws = np.random.default_rng(1).multivariate_normal(mean, covariance, 8000)
    assert (draws[:, 1] < 0).all()
    grid = GRID[GRID <= 30]  # a ninth of the best doses lies beyond
    curves = (draws[:, :1] * grid + draws[:, 1:] * grid**2).reshape(4, 2000, -1)
    curves = xr.DataArray(curves, {"frequency_hz": grid}, ("chain", "draw", "frequency_hz"), attrs=PRIOR.attrs)
    assert_distributed(optimum_of(curves, PRIOR[..., : len(grid)], delta=0.1).dose.values.ravel(), mean, covariance, 30)


def assert_distributed(best: np.ndarray, mean: np.ndarray, covariance: np.ndarray, high: float) -> None:
    """Numbers of best doses between exact quantiles (those at an end of the range in the outer ones), jointly."""

    def below(dose):
        at = np.array([1, 2 * dose])
        return norm.cdf(-(at @ mean) / np.sqrt(at @ covariance @ at))

    shares = [share for share in np.linspace(0.05, 0.95, 19) if below(0) < share - 0.01 and share + 0.01 < below(high)]
    inner = [brentq(lambda dose, share=share: below(dose) - share, 0, high) for share in shares]
    expected = len(best) * np.diff([0, *shares, 1])
    counts = np.histogram(best, [-1, *inner, high + 1])[0]
    assert ((counts - expected) ** 2 / expected).sum() < chi2.ppf(norm.cdf(4), len(expected) - 1)


def test_a_fit_without_heterogeneity_gives_the_exact_distribution_of_the_best_dose():
    rng, n = np.random.default_rng(5), 40
    x = rng.uniform(1, 40, n) / 10
    effect = 0.5 * x - 0.1 * x**2 + rng.normal(0, 0.3, n)
    design = np.column_stack([x, x**2]) / 0.3
    covariance = np.linalg.inv(design.T @ design)
    mean = covariance @ design.T @ (effect / 0.3)
    table = pd.DataFrame({"study": [f"S{k}" for k in range(n)], "effect": effect, "se": 0.3, "sessions": 10 * x})
    trials = sd.read_trials(table, direction="higher", measure="SMD", comparator="sham", design="parallel")
    none = sd.Prior("halfnormal", sigma=1e-4, why="none")
    shape = sd.Dose(column="sessions", shape="quadratic", reference=10)
    flat = sd.Prior("normal", mu=0.0, sigma=1000.0, why="flat")
    dose = sd.Dose(column="sessions", shape="quadratic", reference=10, priors=dict.fromkeys(shape.basis.coefficients, flat))
    fit = sd.fit(sd.Model(name="flat", dose=[dose], between_study=none), trials, seed=2, progress=False)
    best = sd.optimum(fit, "sessions", over=(0, 40), size=801)
    assert_distributed(best.dose.values.ravel() / 10, mean, covariance, 4)


@pytest.mark.parametrize(
    ("function", "rivals", "verdict"),
    [
        (bump, (), "identified"),
        (bump, (RIVAL,), "confounded"),
        (bump, (Confounder("sessions", 0.7, 30, True),), "identified"),
        (rise, (), "still rising"),
        (rise, (RIVAL,), "confounded"),
        (lambda x, rng: -rise(x, rng), (), "still falling"),
        (lambda x, rng: -rise(x, rng), (RIVAL,), "confounded"),
        (level, (), "flat"),
        (level, (RIVAL,), "flat"),
        (anything, (RIVAL,), "not identified"),
    ],
)
def test_verdicts_of_known_truths(function, rivals, verdict):
    best = optimum_of(as_curves(function), PRIOR, delta=0.1, rivals=rivals)
    assert best.verdict == verdict
    assert best.explanation.startswith(verdict)


def test_every_dose_of_a_flat_truth_is_near_the_best():
    best = optimum_of(as_curves(level), PRIOR, delta=0.1)
    assert best.near_best_range(0.95).loc[""].tolist() == [0, 40]


def test_what_the_prior_gives_or_the_anchor_makes_is_not_identified_even_beside_a_rival():
    curves = as_curves(bump)
    assert optimum_of(curves, as_curves(bump, seed=3), delta=0.1, rivals=(RIVAL,)).verdict == "not identified"
    anchored = optimum_of(as_curves(rise), PRIOR, delta=0.1, freed=as_curves(anything))
    assert anchored.verdict == "not identified"
    assert "free intercept" in anchored.explanation
    assert optimum_of(as_curves(rise), PRIOR, delta=0.1, freed=as_curves(rise, seed=3)).verdict == "still rising"


def test_chains_that_disagree_come_before_everything():
    curves = as_curves(bump)
    apart = curves.copy(data=np.stack([np.roll(chain, 40 * k, axis=-1) for k, chain in enumerate(curves.values)]))
    best = optimum_of(apart, as_curves(bump, seed=3), delta=0.1, rivals=(RIVAL,))
    assert best.verdict == "did not converge"
    assert "best_dose" in best.table().loc["", "unconverged"]


def test_units_of_dose_and_effect_and_a_shift_change_nothing_else():
    curves, prior = as_curves(bump), PRIOR
    other = lambda c: (
        (5 + 7 * c).assign_coords(frequency_hz=c["frequency_hz"] / 1000).assign_attrs(c.attrs | {"observed": [0, 0.04]})
    )
    one = optimum_of(curves, prior, delta=0.1, benefit=0.3)
    two = optimum_of(other(curves), other(prior), delta=0.7, benefit=5 + 7 * 0.3)
    assert one.verdict == two.verdict
    for name in one.draws:
        expected = one.draws[name] * 7 + 5 if name == "effect_at_best" else one.draws[name] / 1000
        np.testing.assert_allclose(two.draws[name], expected, rtol=1e-8)
    np.testing.assert_allclose(two.near_best(), one.near_best(), atol=2 / 2000)
    np.testing.assert_allclose(two.expected_loss(), 7 * one.expected_loss(), atol=1e-9)
    np.testing.assert_allclose(two.p_benefit(5 + 0.7), one.p_benefit(0.1), atol=2 / 2000)


def test_the_order_of_groups_does_not_matter():
    curves, prior = as_curves(bump, groups=["acute", "chronic"]), as_curves(anything, groups=["acute", "chronic"])
    one, two = (optimum_of(c, p, delta=0.1, benefit=0.3) for c, p in ((curves, prior), (curves[..., ::-1], prior[..., ::-1])))
    pd.testing.assert_frame_equal(one.table().loc[["chronic", "acute"]], two.table())


def test_effective_doses_are_those_of_the_stated_range_and_not_of_the_doses_beyond(bell_fit):
    best = sd.optimum(bell_fit, "frequency_hz", over=(2, 30), size=601)
    wide = sd.curve(bell_fit, "frequency_hz", grid=np.concatenate([best.curves["frequency_hz"].values, [40.0, 60, 100]]))
    inside = wide.isel(frequency_hz=slice(601))
    np.testing.assert_allclose(effective_dose(inside, 0.5), best.draws["ed50"])
    rising = as_curves(rise)
    ed50 = effective_dose(rising, 0.5)  # of x/(10 + x) over 0 to 40: half of 0.8 is reached at 20/3
    np.testing.assert_allclose(ed50, 20 / 3, rtol=1e-4)
    np.testing.assert_allclose(effective_dose(rising.isel(frequency_hz=slice(201)), 0.5), 5, rtol=1e-4)  # over 0 to 20: at 5


def test_benefits_and_losses_against_loops_over_the_draws():
    curves = as_curves(bump, 200)
    best = optimum_of(curves, PRIOR, delta=0.1, benefit=0.5)
    flat = curves.values.reshape(200, -1)
    k = [0, 120, 150, 400]
    assert best.p_benefit(0.5)[k].values.tolist() == [np.mean([draw[i] > 0.5 for draw in flat]) for i in k]
    np.testing.assert_allclose(best.expected_loss()[k], [np.mean([max(draw) - draw[i] for draw in flat]) for i in k])
    for draw, dose in zip(flat, best.draws["minimal_effective_dose"].values.ravel(), strict=True):
        reached = GRID[draw >= 0.5]
        assert np.isnan(dose) if not len(reached) else reached[0] - 0.1 <= dose <= reached[0]


def test_a_cost_moves_the_optimum_as_far_as_it_must():
    """Effect b x - c x^2 at a cost of k: the best dose is (b - k) / 2c, and choosing x loses c (x - best)^2."""
    c, k = 0.001, 0.01
    curves = as_curves(lambda x, rng: rng.normal(0.05, 0.005) * x - c * x**2)
    b = (curves.sel(frequency_hz=10) + c * 100) / 10
    plain, net = (optimum_of(curves, PRIOR, delta=0.01, cost=cost) for cost in (0, k))
    np.testing.assert_allclose(plain.dose, b / (2 * c), rtol=1e-6)
    np.testing.assert_allclose(net.dose, (b - k) / (2 * c), rtol=1e-6)
    loss = net.expected_loss()
    expected = (c * (loss["frequency_hz"] - net.dose) ** 2).mean(("chain", "draw"))
    np.testing.assert_allclose(loss, expected, atol=c * 0.05**2)  # the best of the grid is up to half a step off
    assert GRID[loss.values.argmin()] == pytest.approx(float(net.dose.mean()), abs=0.1)
    assert "net of a cost of 0.01 per Hz" in net.explanation
    assert "less 0.01 per Hz" in net.curves.attrs["effect_label"]
    for cost in (-1, np.nan, np.inf):
        with pytest.raises(sd.StimdoseError, match="cost"):
            optimum_of(curves, PRIOR, delta=0.1, cost=cost)


def test_each_derived_quantity_has_its_convergence():
    """The best dose agrees between chains; the dose that reaches 0.5 does not: three chains seldom do."""
    curves = as_curves(bump)
    lower = curves - 0.5 * xr.DataArray([0, 1, 1, 1], dims="chain")
    best = optimum_of(lower.assign_attrs(curves.attrs).transpose(*curves.dims), PRIOR, delta=0.1, benefit=0.5)
    assert set(best.diagnosis.table.index) == {"best_dose", "effect_at_best", "ed50", "ed90", "minimal_effective_dose exists"}
    assert set(best.diagnosis.failing) == {"effect_at_best", "minimal_effective_dose exists"}
    assert best.verdict == "identified"
    assert "minimal_effective_dose" in best.explanation
    assert best.minimal_effective_dose(0.5).attrs["warning"] == "did not converge"
    assert "warning" not in best.effective_dose(0.5).attrs
    assert best.table().loc["", "unconverged"] == "effect_at_best, minimal_effective_dose"


@pytest.mark.parametrize("differ", ["existence", "value"])
def test_quantities_that_do_not_always_exist_converge_only_if_both_parts_do(differ):
    rng = np.random.default_rng(0)
    values, missing = rng.normal(size=(4, 1000)), rng.random((4, 1000)) < 0.4
    diagnose = lambda v, m: diagnosed(xr.Dataset({"med": (("chain", "draw"), np.where(m, np.nan, v))}), 0)
    assert diagnose(values, missing).converged
    apart = np.arange(4)[:, None] / 4
    bad = diagnose(values + apart, missing) if differ == "value" else diagnose(values, rng.random((4, 1000)) < 0.2 + apart)
    assert bad.failing == ("med" if differ == "value" else "med exists",)
    assert diagnose(values, np.ones((4, 1000), bool)).converged


def test_the_minimal_effective_dose_that_most_draws_lack_is_no_number():
    curves = as_curves(lambda x, rng: rng.choice([0.2, 0.8], p=[0.7, 0.3]) * x / 40)
    table = optimum_of(curves, PRIOR, delta=0.1, benefit=0.4).table()
    assert np.isnan(table.loc["", "minimal_effective_dose"])
    assert table.loc["", "p_benefit"] == pytest.approx(0.3, abs=0.05)
    assert optimum_of(curves, PRIOR, delta=0.1, benefit=0.1).table().loc["", "p_benefit"] == 1
    assert float(first_dose_reaching(curves, 0.1).max()) == pytest.approx(20)
    assert float(expected_loss(curves)[-1]) == 0
    assert (best_of(curves)[0] == 40).all()


# fits


def with_table(fit, **columns) -> sd.Fit:
    return sd.Fit(fit.model, sd.Trials(fit.trials.table.assign(**columns)), fit.tree, fit.diagnosis)


def test_a_dose_that_goes_with_one_of_the_model_and_is_not_in_it_confounds(bell_fit):
    noise = np.exp(np.random.default_rng(0).normal(0, 0.5, len(bell_fit.trials)))
    tied = with_table(bell_fit, pulses_per_session=100 * bell_fit.trials.table["frequency_hz"] * noise)
    best = sd.optimum(tied, "frequency_hz")
    assert best.verdict == "confounded"
    assert "pulses_per_session goes with frequency_hz across trials (r = 0.9" in best.explanation
    assert f"{len(bell_fit.trials)} rows" in best.explanation
    assert "add it to the model" in best.explanation
    assert sd.optimum(with_table(bell_fit, pulses_per_session=1000 * noise), "frequency_hz").verdict == "identified"


def test_few_groups_and_groups_of_one_study_say_so(bell_fit):
    best = sd.optimum(bell_fit, "sessions", by="phase")
    assert "3 groups" in best.explanation
    assert "sessions_slope_between_phase" in best.explanation
    assert "one study" not in best.explanation
    assert "do not differ in it" in sd.optimum(bell_fit, "frequency_hz", by="phase").explanation
    assert "groups" not in sd.optimum(bell_fit, "sessions").explanation
    phases, studies = (bell_fit.trials.table[name] for name in ("phase", "study"))
    lone = phases.where((phases != "acute") | (studies == "Trial 00"), "chronic")
    assert (
        "acute: one study; its curve leans on the other groups"
        in sd.optimum(with_table(bell_fit, phase=lone), "sessions", by="phase").explanation
    )


def test_a_group_not_seen_has_an_optimum_that_says_so(bell_fit):
    best = sd.optimum(bell_fit, "sessions", by="phase", new_group=True)
    assert list(best.verdicts) == ["acute", "subacute", "chronic", "new group"]
    assert "new group: no study; its curve is predicted from the other groups" in best.explanation
    assert "one study" not in best.explanation


def test_what_a_path_leaves_out_is_said_with_its_optimum(bell_fit):
    path = sd.protocol_path(bell_fit, "frequency_hz", fixed={"session_min": 20}, over=(2, 30), duty=0.5)
    best = sd.optimum(bell_fit, "frequency_hz", at=path)
    assert path.attrs["remarks"]
    assert all(line in best.remarks for line in path.attrs["remarks"].splitlines())


def test_a_contrast_is_the_difference_of_the_formula(bell_fit):
    found = sd.contrast(bell_fit, {"frequency_hz": 10, "phase": "acute"}, {"frequency_hz": 1, "phase": "chronic"})
    p = bell_fit.tree["posterior"]
    bell = lambda x: np.exp(-0.5 * ((np.log(x) - np.log(p["frequency_hz_peak"])) / p["frequency_hz_width"]) ** 2)
    slope, intercept, usual = p["sessions_slope_by_phase"], p["intercept_by_phase"], 10
    assert found.held == {"sessions": usual, "site": None}
    site = bell_fit.trials.table.groupby("phase")["site"].value_counts(normalize=True)
    sites = bell_fit.trials.table["site"].value_counts(normalize=True)
    assert len(site) == 6
    assert set(sites.index) == {"nerve", "muscle"}  # averaged over the same rows in both: it cancels
    by_phase = (intercept + slope * np.log2(1 + usual / 10)).sel(phase=["acute", "chronic"]).values
    expected = p["frequency_hz_amplitude"] * (bell(10) - bell(1)) + by_phase[..., 0] - by_phase[..., 1]
    np.testing.assert_allclose(found.draws, expected, atol=1e-6)
    line = found.table(0.9).loc[""]
    assert line["p_positive"] == pytest.approx(float((expected > 0).mean()), abs=1e-3)
    assert 0 < line["contraction"] < 1
    assert line["p_above_delta"] == pytest.approx(float((expected > 0.1).mean()), abs=1e-3)
    assert line["low"] == pytest.approx(float(expected.quantile(0.05)), abs=1e-6)
    assert found.interval(0.9).values[0] == line["low"]
    assert found.explanation.startswith("frequency_hz 10, phase acute against frequency_hz 1, phase chronic: ")


def test_a_contrast_turns_its_sign_with_the_protocols_and_has_one_per_group(bell_fit):
    few, many = {"sessions": 5, "frequency_hz": 10}, {"sessions": 20, "frequency_hz": 10}
    one, two = sd.contrast(bell_fit, many, few, by="phase"), sd.contrast(bell_fit, few, many, by="phase")
    np.testing.assert_allclose(one.draws, -two.draws)
    slope = bell_fit.tree["posterior"]["sessions_slope_by_phase"] * (np.log2(3) - np.log2(1.5))
    np.testing.assert_allclose(one.draws, slope.transpose(*one.draws.dims), atol=1e-8)
    assert one.table().index.tolist() == list(bell_fit.rows.levels["phase"])
    assert "prior of the spread" in one.explanation


def test_a_new_study_keeps_what_its_own_protocols_differ_by(bell_fit):
    few, many = {"sessions": 5}, {"sessions": 20}
    mean, new = (sd.contrast(bell_fit, many, few, kind=kind).draws for kind in ("mean", "new study"))
    p = bell_fit.tree["posterior"]
    slopes = p["sessions_slope_between_study"] * (np.log2(3) - np.log2(1.5))
    added = (new - mean) / np.sqrt(slopes**2 + 2 * p["within_study"] ** 2)
    assert abs(float(added.mean())) < 4 / np.sqrt(added.size)
    assert float((added**2).mean()) == pytest.approx(1, abs=4 * np.sqrt(2 / added.size))


def test_an_anchored_contrast_stands_beside_that_with_a_free_intercept(strata_fit):
    found = sd.contrast(strata_fit, {"sessions": 20}, {"sessions": 5}, by="phase")
    line = strata_fit.more_is_better().set_index("group").loc["acute"]
    assert (line["from"], line["to"]) == (5, 20)
    table = found.table()
    assert table.loc["acute", "free_mean"] == pytest.approx(line["difference"])
    assert table.loc["acute", "free_low"] == pytest.approx(line["low"])
    assert (table["low"] > table["free_low"]).all()
    assert "free intercept" in found.explanation
    none = sd.contrast(strata_fit, {"sessions": 10}, {"sessions": 0})
    assert "No trial" not in none.explanation


def test_protocols_that_nobody_tried_are_named(bell_fit):
    assert "No trial was near" not in sd.contrast(bell_fit, {"frequency_hz": 10}, {"frequency_hz": 1}).explanation
    assert "No trial was near frequency_hz 200" in sd.contrast(bell_fit, {"frequency_hz": 200}, {"frequency_hz": 1}).explanation
    table = bell_fit.trials.table
    other = ~((table["phase"] == "acute") & (table["frequency_hz"] == 50))
    kept = sd.Fit(bell_fit.model, sd.Trials(table[other]), bell_fit.tree, bell_fit.diagnosis)
    found = sd.contrast(kept, {"frequency_hz": 60}, {"frequency_hz": 10}, by="phase").explanation
    assert "No trial of acute was near frequency_hz 60" in found


@pytest.mark.parametrize(
    ("first", "second", "by", "words"),
    [
        ({"minutes": 3}, {"minutes": 4}, None, ["no 'minutes'", "frequency_hz, sessions, phase, site"]),
        ({"sessions": 3, "phase": "acute"}, {"sessions": 4}, None, ["only the first names phase"]),
        (
            {"sessions": -3, "phase": "old"},
            {"sessions": np.nan, "phase": "acute"},
            None,
            ["sessions cannot be -3", "be nan", "no level 'old'"],
        ),
        ({"sessions": 3, "phase": "acute"}, {"sessions": 4, "phase": "acute"}, "phase", ["cannot be held too"]),
        ({"sessions": 3}, {"sessions": 3}, None, ["the same"]),
        ({"sessions": 3}, {"sessions": 4}, "sex", ["no groups 'sex'"]),
        ({}, {}, None, ["a protocol is a dict"]),
        ("10 Hz", "1 Hz", None, ["a protocol is a dict"]),
    ],
)
def test_protocols_that_cannot_be_compared(bell_fit, first, second, by, words):
    with pytest.raises(sd.StimdoseError) as error:
        sd.contrast(bell_fit, first, second, by=by)
    assert all(word in str(error.value) for word in words)


def test_a_contrast_of_an_unconverged_fit_says_so(bell_fit):
    apart = np.random.default_rng(0).normal(size=(4, 500)) + np.arange(4)[:, None]
    bad = sd.Fit(bell_fit.model, bell_fit.trials, bell_fit.tree, diagnose(xr.Dataset({"x": (("chain", "draw"), apart)}), 0))
    assert sd.contrast(bad, {"sessions": 20}, {"sessions": 5}).explanation.startswith("Warning: the fit did not converge")
