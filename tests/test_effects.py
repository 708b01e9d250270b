"""Effect sizes: against metafor's escalc, closed forms, and the laws any of them must keep."""

import csv
import json
import math
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import stimdose as sd
from stimdose import effects

ORACLES = Path(__file__).parent / "oracles" / "effects"
EXPECTED = json.loads((ORACLES / "expected.json").read_text(encoding="utf-8"))
FORMULAS = {"SMD": effects.standardised_mean_difference, "MD": effects.mean_difference}
VARIANTS = {
    "SMD UB": partial(effects.standardised_mean_difference, variance="unbiased"),
    "SMD AV": partial(effects.standardised_mean_difference, variance="average"),
    "ROM": effects.log_ratio_of_means,
}
CHANGES = {
    "MC": effects.mean_change,
    "SMCC": effects.standardised_mean_change,
    "SMCR": partial(effects.standardised_mean_change, standardiser="baseline"),
    "ROMC": effects.log_ratio_of_means_change,
}
COUNTS = {"log_or": effects.log_odds_ratio, "log_rr": effects.log_risk_ratio}
INPUTS = ("m1i", "sd1i", "n1i", "m2i", "sd2i", "n2i")
ARMS = ("mean_active", "sd_active", "n_active", "mean_control", "sd_control", "n_control")
quick = settings(max_examples=100, deadline=None, derandomize=True)

means = st.floats(-100, 100)
spreads = st.floats(0.1, 50)
sizes = st.integers(2, 500)
three_or_more = st.integers(3, 500)  # what the correction of a standardised change needs
levels = st.floats(0.5, 100)
correlations = st.floats(-1, 1)


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
    np.testing.assert_allclose(trials.table["variance_reported"], variance, rtol=1e-8, atol=1e-10)
    printed = sd.read_trials(table, **constants, smd_variance="printed")
    np.testing.assert_allclose(printed.table["variance"], variance, rtol=1e-8, atol=1e-10)
    if measure == "SMD":
        *_, average = effects.standardised_mean_difference(*arms, variance="average")
        np.testing.assert_allclose(trials.table["variance"], average, rtol=1e-8, atol=1e-10)


@pytest.fixture(scope="module")
def hand():
    return pd.read_csv(ORACLES / "escalc_hand.csv")


@pytest.mark.parametrize("measure", VARIANTS)
def test_other_measures_of_two_groups_agree_with_metafor(measure, hand):
    effect, variance = VARIANTS[measure](*(hand[column] for column in INPUTS))
    np.testing.assert_allclose(effect, EXPECTED["escalc_hand"][measure]["effect"], rtol=1e-12)
    np.testing.assert_allclose(variance, EXPECTED["escalc_hand"][measure]["variance"], rtol=1e-12)


@pytest.mark.parametrize("measure", CHANGES)
def test_changes_agree_with_metafor(measure, hand):
    """metafor takes m1 - m2, so its m1 is the mean after; but its sd1 is the SD that SMCR divides by, so the one before."""
    sd_after, sd_before = ("sd2i", "sd1i") if measure == "SMCR" else ("sd1i", "sd2i")
    columns = ("m2i", sd_before, "m1i", sd_after, "n1i", "ri")
    effect, variance = CHANGES[measure](*(hand[column] for column in columns))
    np.testing.assert_allclose(effect, EXPECTED["escalc_hand"][measure]["effect"], rtol=1e-12)
    np.testing.assert_allclose(variance, EXPECTED["escalc_hand"][measure]["variance"], rtol=1e-12)


@pytest.mark.parametrize("measure", COUNTS)
def test_counts_agree_with_metafor(measure):
    """Trials of BCG and of asthma education, and every kind of zero cell."""
    table = pd.read_csv(ORACLES / "counts.csv")
    assert len(table) == 25
    effect, variance = COUNTS[measure](table["events_1"], table["n_1"], table["events_2"], table["n_2"])
    np.testing.assert_allclose(effect, table[measure], rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(variance, table[f"variance_{measure}"], rtol=1e-12)


def test_the_trials_of_morris_2008():
    case = EXPECTED["morris2008"]
    active, control = (
        effects.standardised_mean_change(
            **{name: np.array(values) for name, values in case[arm].items()}, r=np.array(case["r"]), standardiser="baseline"
        )
        for arm in ("active", "control")
    )
    effect, variance = effects.difference(*active, *control)
    np.testing.assert_allclose(effect, case["effect"], rtol=1e-12)
    np.testing.assert_allclose(variance, case["variance"], rtol=1e-12)


def test_the_oracles_hold_as_many_trials_as_they_should():
    assert [case.values[1].shape[1] for case in CASES] == [3, 3, 13, 9, 9]


@pytest.mark.parametrize(
    ("degrees_of_freedom", "value"),
    [(2, 1 / math.sqrt(math.pi)), (3, math.sqrt(math.pi / 6)), (4, math.sqrt(2 / math.pi)), (5, 0.75 * math.sqrt(math.pi / 2.5))],
)
def test_hedges_correction_in_closed_form(degrees_of_freedom, value):
    assert effects.hedges_correction(degrees_of_freedom) == pytest.approx(value, rel=1e-14)


def test_there_is_no_correction_for_one_degree_of_freedom():
    assert np.isnan(effects.hedges_correction([-1, 0, 0.5, 1])).all()
    assert effects.hedges_correction(2) == pytest.approx(math.sqrt(1 / math.pi), rel=1e-12)


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


# Worked examples


def test_the_crossover_trial_of_the_cochrane_handbook():
    """16.4.6.4 in version 5.1: ten people, 7.0 (2.38) against 6.5 (2.21), correlation 0.68."""
    difference, variance = effects.paired_difference(7.0, 2.38, 6.5, 2.21, 10, 0.68)
    assert (difference, math.sqrt(variance)) == pytest.approx((0.5, 0.583), abs=5e-4)
    d, variance = effects.standardised_paired_difference(7.0, 2.38, 6.5, 2.21, 10, 0.68)
    assert (d, math.sqrt(variance)) == pytest.approx((0.218, 0.256), abs=5e-4)


def test_the_cluster_trial_of_the_cochrane_handbook():
    """16.3.6 in version 5.1: 63/295 against 84/330, design effect 1.576 = 1 + (29.8 - 1) 0.02."""
    effect, variance = effects.log_odds_ratio(63, 295, 84, 330)
    assert np.exp([effect, *effects.interval_from_se(effect, math.sqrt(variance))]) == pytest.approx(
        [0.795, 0.548, 1.154], abs=6e-4
    )
    shrunk = [effects.effective_n(x, 29.8, 0.02) for x in (63, 295, 84, 330)]
    assert shrunk == pytest.approx([x / 1.576 for x in (63, 295, 84, 330)], rel=1e-12)
    same, larger = effects.log_odds_ratio(*shrunk)
    assert same == pytest.approx(effect, rel=1e-12)
    assert math.sqrt(larger) == pytest.approx(0.24, abs=5e-3)
    assert larger == pytest.approx(1.576 * variance, rel=1e-12)


def test_the_correlations_of_the_cochrane_handbook():
    """16.1.3.2 in version 5.1: SDs before, after and of the change of two arms, and an SD from their mean correlation."""
    found = effects.change_correlation(np.array([6.4, 7.0]), np.array([7.1, 6.9]), np.array([4.5, 4.2]))
    np.testing.assert_allclose(found, [0.78, 0.82], atol=5e-3)
    assert effects.change_sd(6.4, 7.1, 0.80) == pytest.approx(4.32, abs=5e-3)


def test_a_zero_cell_worked_by_hand():
    """0 of 10 against 4 of 12 becomes the cells 0.5, 10.5, 4.5, 8.5; the row beside it has no zero and stays."""
    rows = np.array([0, 3]), np.array([10, 10]), np.array([4, 4]), np.array([12, 12])
    np.testing.assert_array_equal(effects.continuity_corrected(*rows), [[0.5, 3], [11, 10], [4.5, 4], [13, 12]])
    effect, variance = effects.log_odds_ratio(*rows)
    np.testing.assert_allclose(effect, np.log([0.5 * 8.5 / (10.5 * 4.5), 3 * 8 / (7 * 4)]))
    np.testing.assert_allclose(variance, [2 + 2 / 21 + 2 / 9 + 2 / 17, 1 / 3 + 1 / 7 + 1 / 4 + 1 / 8])
    effect, variance = effects.log_risk_ratio(*rows)
    np.testing.assert_allclose(effect, np.log([(0.5 / 11) / (4.5 / 13), 0.9]))
    np.testing.assert_allclose(variance, [2 - 1 / 11 + 2 / 9 - 1 / 13, 1 / 3 - 1 / 10 + 1 / 4 - 1 / 12])


# Laws


@quick
@given(spreads, sizes, st.integers(0, 500), spreads, sizes, st.integers(0, 500))
def test_variances_of_comparisons_are_sums_over_the_arms(s1, n1, e1, s2, n2, e2):
    """What a shared control contributes is the arm variance, and nothing of the other arm is in it."""
    e1, e2 = min(e1, n1), min(e2, n2)
    a, b, c, d = effects.continuity_corrected(e1, n1, e2, n2)
    for (_, variance), arms in (
        (effects.mean_difference(5.0, s1, n1, 3.0, s2, n2), (effects.mean_variance(s1, n1), effects.mean_variance(s2, n2))),
        (
            effects.log_ratio_of_means(5.0, s1, n1, 3.0, s2, n2),
            (effects.log_mean_variance(5.0, s1, n1), effects.log_mean_variance(3.0, s2, n2)),
        ),
        (effects.log_odds_ratio(e1, n1, e2, n2), (effects.log_odds_variance(a, b), effects.log_odds_variance(c, d))),
        (effects.log_risk_ratio(e1, n1, e2, n2), (effects.log_risk_variance(a, b), effects.log_risk_variance(c, d))),
    ):
        assert variance == pytest.approx(sum(arms), rel=1e-12)
        assert min(arms) > 0


@quick
@given(sizes, sizes, st.data())
def test_counts_of_events_and_of_their_absence(n1, n2, data):
    """Exchanging arms turns the sign of both ratios; counting the people without an event turns that of the odds ratio."""
    e1, e2 = data.draw(st.integers(0, n1)), data.draw(st.integers(0, n2))
    for formula in COUNTS.values():
        effect, variance = formula(e1, n1, e2, n2)
        assert formula(e2, n2, e1, n1) == pytest.approx((-effect, variance), rel=1e-12, abs=1e-12)
    effect, variance = effects.log_odds_ratio(e1, n1, e2, n2)
    assert effects.log_odds_ratio(n1 - e1, n1, n2 - e2, n2) == pytest.approx((-effect, variance), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("formula", [CHANGES[name] for name in ("MC", "SMCC", "ROMC")], ids=["MC", "SMCC", "ROMC"])
@quick
@given(levels, spreads, levels, spreads, three_or_more, st.floats(-1, 0.99))
def test_going_back_in_time_turns_the_sign_only(formula, m1, s1, m2, s2, n, r):
    effect, variance = formula(m1, s1, m2, s2, n, r)
    assert formula(m2, s2, m1, s1, n, r) == pytest.approx((-effect, variance), rel=1e-9, abs=1e-12)


@quick
@given(levels, spreads, levels, spreads, three_or_more, st.floats(-1, 0.99), st.floats(0.01, 100))
def test_units_of_a_change(m1, s1, m2, s2, n, r, unit):
    scaled = (m1 * unit, s1 * unit, m2 * unit, s2 * unit, n, r)
    for name in ("SMCC", "SMCR", "ROMC"):
        plain = CHANGES[name](m1, s1, m2, s2, n, r)
        assert CHANGES[name](*scaled) == pytest.approx(plain, rel=1e-9, abs=1e-9), name
    effect, variance = effects.mean_change(m1, s1, m2, s2, n, r)
    assert effects.mean_change(*scaled) == pytest.approx((effect * unit, variance * unit**2), rel=1e-9, abs=1e-9)


@quick
@given(spreads, spreads, correlations)
def test_sd_and_correlation_of_a_change_are_inverse(before, after, r):
    change = effects.change_sd(before, after, r)
    assert abs(before - after) * (1 - 1e-12) <= change <= (before + after) * (1 + 1e-12)
    # the smaller SD carries r, and loses digits where the larger one is much larger
    lost = 1e-14 * max(before / after, after / before)
    assert effects.change_correlation(before, after, change) == pytest.approx(r, abs=10 * lost)


def test_a_score_that_rises_has_a_positive_change():
    for formula in CHANGES.values():
        assert formula(4.0, 2.0, 6.0, 2.0, 20, 0.5)[0] > 0
    assert effects.paired_difference(6.0, 2.0, 4.0, 2.0, 20, 0.5)[0] == 2


def test_a_printed_change_gives_what_the_two_means_give():
    before_after = (10.0, 3.0, 13.0, 4.0, 25, 0.6)
    printed = effects.standardised_change(3.0, math.sqrt(9 + 16 - 2 * 0.6 * 12), 25)
    assert printed == pytest.approx(effects.standardised_mean_change(*before_after), rel=1e-12)
    at_baseline = effects.standardised_change(3.0, 3.0, 25, r=0.6)
    assert at_baseline == pytest.approx(effects.standardised_mean_change(*before_after, standardiser="baseline"), rel=1e-12)


def test_identical_clusters_count_as_one_person_each():
    assert effects.effective_n(60, 20, 1) == 3
    assert effects.effective_n(60, 20, 0) == 60
    assert effects.effective_n(60, 1, 0.4) == 60


def test_the_average_variance_is_that_of_one_common_effect():
    means, n = np.array([1.0, 3.0, np.nan]), np.array([10, 30, 20])
    g, variance = effects.standardised_mean_difference(means, 2.0, n, 0.0, 2.0, n, variance="average")
    common = (g[0] * 20 + g[1] * 60) / 80
    np.testing.assert_allclose(variance, [*(2 / n[:2] + common**2 / (4 * n[:2])), np.nan])
    _, own = effects.standardised_mean_difference(means, 2.0, n, 0.0, 2.0, n)
    assert own[0] < variance[0]
    assert variance[1] < own[1]
    _, none = effects.standardised_mean_difference(means[2:], 2.0, n[2:], 0.0, 2.0, n[2:], variance="average")
    assert np.isnan(none).all()


def test_series_stay_series_and_gaps_stay_in_their_rows():
    index = ["a", "b", "c"]
    ones, gap = pd.Series([1.0, 2.0, 3.0], index), pd.Series([4.0, np.nan, -2.0], index)
    size, events = pd.Series([10, 12, 20], index), pd.Series([0, 3, 20], index)
    arms = (gap, ones, size, ones, ones, size)
    results = {
        "MD": (effects.mean_difference(*arms), [False, True, False]),
        "SMD": (effects.standardised_mean_difference(*arms), [False, True, False]),
        "UB": (VARIANTS["SMD UB"](*arms), [False, True, False]),
        "AV": (VARIANTS["SMD AV"](*arms), [False, True, False]),
        "ROM": (effects.log_ratio_of_means(*arms), [False, True, True]),
        **{f: (CHANGES[f](ones, ones, gap, ones, size, 0.5), [False, True, f == "ROMC"]) for f in CHANGES},
        **{f: (COUNTS[f](events, size, events, size), [False] * 3) for f in COUNTS},
        "crossover": (effects.standardised_paired_difference(gap, ones, ones, ones, size, 0.5), [False, True, False]),
    }
    for name, ((effect, variance), missing) in results.items():
        assert list(effect.index) == list(variance.index) == index, name
        assert list(effect.isna()) == missing, name
    # a variance may be known where the effect is not, never the other way round
    assert list(results["ROM"][0][1].isna()) == [False, True, True]


def test_cells_of_zero_have_no_variance_until_corrected():
    assert np.isnan(effects.log_odds_variance(np.array([0, 7]), np.array([5, 7]))).all()
    assert np.isnan(effects.log_risk_variance(0, 5))
    assert effects.log_risk_variance(5, 5) == 0


def test_unknown_options_are_named():
    with pytest.raises(ValueError, match="'large-sample', 'unbiased' or 'average', not 'LS'"):
        effects.standardised_mean_difference(1.0, 1.0, 9, 0.0, 1.0, 9, variance="LS")
    with pytest.raises(ValueError, match="'change' or 'baseline', not 'pre'"):
        effects.standardised_mean_change(1.0, 1.0, 2.0, 1.0, 9, 0.5, standardiser="pre")


def test_critical_values_are_those_of_scipy_stats():
    outside = np.array([0, 1e-12, 0.001, 0.05, 0.3, 1, 1.7, 2, -0.1, 2.1, np.nan])
    for degrees_of_freedom in (1, 2.5, 24, 1e5, np.inf, 0, np.nan):
        expected = stats.t.isf(outside / 2, degrees_of_freedom)
        np.testing.assert_array_equal(effects.critical_value(outside, degrees_of_freedom), expected)
    assert not np.signbit(
        effects.critical_value(1.0, 5)
    )  # an effect with p = 1 has an infinite standard error, not minus infinity


def test_intervals_of_small_groups_use_t():
    """2.0639 is the value that Cochrane Handbook 6.5.2.2 gives for 25 people."""
    assert effects.critical_value(0.05, 24) == pytest.approx(2.0639, abs=5e-5)
    assert effects.se_from_interval(-2.0639, 2.0639, 0.95, 24) == pytest.approx(1, abs=5e-5)
    np.testing.assert_allclose(effects.critical_value(0.05, np.array([24, np.inf])), [2.0639, 1.95996], atol=5e-5)


# What the variances claim, against samples


def test_the_unbiased_variance_has_the_true_variance_as_its_mean():
    """5 people an arm, true difference 1.5: a size at which the large-sample variance of g is 13 % too low."""
    rng = np.random.default_rng(5)
    active, control = rng.normal(1.5, 1, (400_000, 5)), rng.normal(0, 1, (400_000, 5))
    arms = (active.mean(1), active.std(1, ddof=1), 5, control.mean(1), control.std(1, ddof=1), 5)
    g, variance = effects.standardised_mean_difference(*arms, variance="unbiased")
    squares = (g - g.mean()) ** 2
    standard_error = (squares - variance).std() / math.sqrt(len(g))
    assert abs(squares.mean() - variance.mean()) < 4 * standard_error
    _, large_sample = effects.standardised_mean_difference(*arms)
    assert large_sample.mean() < 0.9 * squares.mean()


@pytest.fixture(scope="module")
def pairs():
    """Means, SDs, size and correlation of 40,000 samples of 50 people who rise by 1.2 SDs, true correlation 0.9."""
    rng = np.random.default_rng(8)
    before, own = rng.normal(size=(2, 40_000, 50))
    after = 1.2 + 0.9 * before + math.sqrt(1 - 0.9**2) * own
    sds = before.std(1, ddof=1), after.std(1, ddof=1)
    covariance = ((before - before.mean(1, keepdims=True)) * after).sum(1) / 49
    return 10 + before.mean(1), sds[0], 10 + after.mean(1), sds[1], 50, covariance / (sds[0] * sds[1])


@pytest.mark.parametrize(
    ("measure", "truth"), {"MC": 1.2, "SMCC": 1.2 / math.sqrt(0.2), "SMCR": 1.2, "ROMC": math.log(1.12)}.items()
)
def test_variances_of_changes_are_those_of_samples(pairs, measure, truth):
    effect, variance = CHANGES[measure](*pairs)
    bias = 2e-4 if measure == "ROMC" else 0  # the second-order term that the measure leaves out
    assert effect.mean() == pytest.approx(truth, abs=4 * effect.std() / math.sqrt(len(effect)) + bias)
    assert variance.mean() == pytest.approx(effect.var(), rel=0.06)


def test_the_crossover_variance_of_the_handbook_is_small_at_high_correlations(pairs):
    """The delta method, d^2 (1 + r^2)/(4n), has it right; see the docstring."""
    before, sd_before, after, sd_after, n, r = pairs
    d, variance = effects.standardised_paired_difference(after, sd_after, before, sd_before, n, r)
    assert 2 * (1 - 0.9) / n + d.mean() ** 2 * (1 + 0.9**2) / (4 * n) == pytest.approx(d.var(), rel=0.05)
    assert variance.mean() < 0.5 * d.var()
