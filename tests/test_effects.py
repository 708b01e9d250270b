"""Effect sizes: against metafor's escalc, closed forms, and the laws any of them must keep."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stimdose as sd
from stimdose import effects

ORACLES = Path(__file__).parent / "oracles" / "effects"
EXPECTED = json.loads((ORACLES / "expected.json").read_text(encoding="utf-8"))
FORMULAS = {"SMD": effects.standardised_mean_difference, "MD": effects.mean_difference}
INPUTS = ("m1i", "sd1i", "n1i", "m2i", "sd2i", "n2i")
ARMS = ("mean_active", "sd_active", "n_active", "mean_control", "sd_control", "n_control")
quick = settings(max_examples=100, deadline=None, derandomize=True)

means = st.floats(-100, 100)
spreads = st.floats(0.1, 50)
sizes = st.integers(2, 500)


def oracle_cases():
    """(label, measure, arm summaries (6, rows), effects, variances) as metafor gives them."""
    for name, columns in {
        "escalc_hand": None,
        "gibson2002": {"SMD": ("yi", "vi")},
        "normand1999_stroke_los": {"SMD": ("yi_smd", "vi_smd"), "MD": ("yi", "vi")},
    }.items():
        with (ORACLES / f"{name}.csv").open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["m1i"]]
        arms = np.array([[float(row[key]) for row in rows] for key in INPUTS])
        for measure in ("SMD", "MD") if columns is None else columns:
            if columns is None:
                answer = EXPECTED[name][measure]["effect"], EXPECTED[name][measure]["variance"]
            else:
                answer = [[float(row[column]) for row in rows] for column in columns[measure]]
            yield pytest.param(measure, arms, *answer, id=f"{name}-{measure}")


CASES = list(oracle_cases())


@pytest.mark.parametrize(("measure", "arms", "effect", "variance"), CASES)
def test_formulas_agree_with_metafor(measure, arms, effect, variance):
    found = FORMULAS[measure](*arms)
    np.testing.assert_allclose(found[0], effect, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(found[1], variance, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(("measure", "arms", "effect", "variance"), CASES)
@pytest.mark.parametrize("prefix", ["", "change_"])
def test_a_table_of_arm_means_agrees_with_metafor(measure, arms, effect, variance, prefix):
    names = [name if name.startswith("n_") else prefix + name for name in ARMS]
    table = pd.DataFrame(dict(zip(names, arms, strict=True))).assign(study=[f"Study {k}" for k in range(arms.shape[1])])
    constants = {"direction": "lower", "measure": measure, "comparator": "sham", "design": "parallel"}
    trials = sd.read_trials(table, **constants)
    np.testing.assert_allclose(trials.table["effect_reported"], effect, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(trials.table["effect"], -np.asarray(effect), rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(trials.table["variance"], variance, rtol=1e-8, atol=1e-10)


def test_the_oracles_hold_as_many_trials_as_they_should():
    assert [case.values[1].shape[1] for case in CASES] == [3, 3, 13, 9, 9]


@pytest.mark.parametrize(
    ("degrees_of_freedom", "value"),
    [(2, 1 / math.sqrt(math.pi)), (3, math.sqrt(math.pi / 6)), (4, math.sqrt(2 / math.pi)), (5, 0.75 * math.sqrt(math.pi / 2.5))],
)
def test_hedges_correction_in_closed_form(degrees_of_freedom, value):
    assert effects.hedges_correction(degrees_of_freedom) == pytest.approx(value, rel=1e-14)


def test_hedges_correction_is_near_its_usual_approximation():
    m = np.arange(10, 1000)
    np.testing.assert_allclose(effects.hedges_correction(m), 1 - 3 / (4 * m - 1), rtol=0, atol=3.4e-4)
    assert np.all(np.diff(effects.hedges_correction(m)) > 0)


@pytest.mark.parametrize(("level", "z"), [(0.90, 1.6448536269514722), (0.95, 1.959963984540054), (0.99, 2.5758293035489004)])
def test_normal_quantiles_of_intervals(level, z):
    low, high = effects.interval_from_se(0.3, 0.2, level)
    assert (low, high) == pytest.approx((0.3 - z * 0.2, 0.3 + z * 0.2), rel=1e-12)
    assert effects.se_from_interval(low, high, level) == pytest.approx(0.2, rel=1e-12)


def test_levels_may_differ_by_row():
    se = effects.se_from_interval(np.zeros(2), np.full(2, 2.0), np.array([0.9, 0.95]))
    np.testing.assert_allclose(se, [1 / 1.6448536269514722, 1 / 1.959963984540054], rtol=1e-12)


@pytest.mark.parametrize("formula", FORMULAS.values(), ids=FORMULAS)
@quick
@given(means, spreads, sizes, means, spreads, sizes)
def test_exchanging_the_arms_turns_the_sign_only(formula, m1, s1, n1, m2, s2, n2):
    effect, variance = formula(m1, s1, n1, m2, s2, n2)
    turned, same = formula(m2, s2, n2, m1, s1, n1)
    assert turned == pytest.approx(-effect, rel=1e-12, abs=1e-15)
    assert same == pytest.approx(variance, rel=1e-12)
    assert variance > 0


@quick
@given(means, spreads, sizes, means, spreads, sizes, st.floats(0.01, 100), st.floats(-1000, 1000))
def test_units_and_origin_of_the_scale(m1, s1, n1, m2, s2, n2, unit, origin):
    rescaled = (m1 * unit + origin, s1 * unit, n1, m2 * unit + origin, s2 * unit, n2)
    # adding an origin costs the difference of the means its last digits
    lost = 1e-11 * (1 + abs(origin) / unit)
    g, g_variance = effects.standardised_mean_difference(m1, s1, n1, m2, s2, n2)
    same_g, same_variance = effects.standardised_mean_difference(*rescaled)
    assert same_g == pytest.approx(g, rel=1e-9, abs=10 * lost)
    assert same_variance == pytest.approx(g_variance, rel=1e-6)
    md, md_variance = effects.mean_difference(m1, s1, n1, m2, s2, n2)
    scaled_md, scaled_variance = effects.mean_difference(*rescaled)
    assert scaled_md == pytest.approx(md * unit, rel=1e-9, abs=10 * lost * unit)
    assert scaled_variance == pytest.approx(md_variance * unit**2, rel=1e-12)


def test_the_mean_of_g_over_samples_is_the_true_difference():
    """Hedges g is unbiased where Cohen d is not: 8 people an arm, true difference 0.8."""
    rng = np.random.default_rng(20)
    active, control = rng.normal(0.8, 1, (200_000, 8)), rng.normal(0, 1, (200_000, 8))
    g, _ = effects.standardised_mean_difference(
        active.mean(1), active.std(1, ddof=1), 8, control.mean(1), control.std(1, ddof=1), 8
    )
    standard_error = g.std() / math.sqrt(len(g))
    assert abs(g.mean() - 0.8) < 4 * standard_error
    assert abs(g.mean() / effects.hedges_correction(14) - 0.8) > 20 * standard_error
