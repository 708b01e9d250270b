"""Means and SDs from other numbers: against metafor and worked examples, inverses, laws, and samples from normals."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from stimdose import summaries

ORACLES = Path(__file__).parent / "oracles" / "effects"
QUANTILES = pd.read_csv(ORACLES / "quantiles.csv")
COLUMNS = {"q1": "q1", "q3": "q3", "minimum": "min", "maximum": "max"}
METHODS = {"mean": {"luo": "luo_wan", "wan": "wan", "hozo": "hozo"}, "sd": {"wan": "wan", "shi": "shi", "hozo": "hozo"}}
ESTIMATORS = {"mean": summaries.mean_from_quantiles, "sd": summaries.sd_from_quantiles}
CASES = [(what, method) for what, methods in METHODS.items() for method in methods]
quick = settings(max_examples=100, deadline=None, derandomize=True)

spreads = st.floats(0.1, 50)
sizes = st.integers(2, 500)
five = st.lists(st.floats(-100, 100), min_size=5, max_size=5).map(sorted)


def numbers(table):
    return {name: table[column] for name, column in COLUMNS.items()}


# From standard errors, intervals and tests


def test_the_p_value_of_the_cochrane_handbook():
    """7.7.3.3 in version 5.1: difference 3.8, p = 0.008, 25 and 22 people, hence t = 2.78, se = 1.37, SD = 4.69."""
    se = summaries.se_from_p(3.8, 0.008, 45)
    assert se == pytest.approx(1.37, abs=5e-3)
    assert se == pytest.approx(summaries.se_from_t(-3.8, 2.78), rel=2e-3)
    assert summaries.pooled_sd_from_se(1.37, 25, 22) == pytest.approx(4.69, abs=5e-3)


def test_a_normal_p_value():
    assert summaries.se_from_p(-1.959963984540054, 0.05) == pytest.approx(1, rel=1e-12)
    np.testing.assert_allclose(summaries.se_from_p(2.0, 0.05, np.array([10, np.inf])), [2 / 2.2281388519649, 2 / 1.9599639845400])


@pytest.mark.parametrize(("n", "sd"), [(25, 14.535598094673643), (100, 30.238628871721371)])
def test_sd_from_an_interval_against_r(n, sd):
    """sqrt(n) * 12 / (2 * qt(0.975, n - 1)) in R."""
    assert summaries.sd_from_interval(44, 56, n) == pytest.approx(sd, rel=1e-12)


def test_an_interval_of_the_normal_distribution():
    assert summaries.sd_from_interval(-3.29, 3.29, 16, level=0.9, distribution="normal") == pytest.approx(8, rel=1e-3)
    t, normal = (summaries.sd_from_interval(1.0, 3.0, 10, distribution=d) for d in ("t", "normal"))
    assert t / normal == pytest.approx(1.959964 / 2.262157, rel=1e-6)


@quick
@given(spreads, sizes, st.floats(0.5, 0.999), st.sampled_from(["t", "normal"]))
def test_an_interval_and_its_sd_are_inverse(sd, n, level, distribution):
    se = sd / math.sqrt(n)
    frozen = stats.t(n - 1, 3, se) if distribution == "t" else stats.norm(3, se)
    found = summaries.sd_from_interval(*frozen.interval(level), n, level, distribution)
    assert found == pytest.approx(sd, rel=1e-9)
    assert summaries.sd_from_se(se, n) == pytest.approx(sd, rel=1e-12)


@quick
@given(st.floats(0.01, 50), st.booleans(), st.floats(1e-12, 0.999), st.integers(1, 500))
def test_a_p_value_and_its_standard_error_are_inverse(size, negative, p, df):
    effect = -size if negative else size
    assert 2 * stats.t.sf(size / summaries.se_from_p(effect, p, df), df) == pytest.approx(p, rel=1e-6)
    assert 2 * stats.norm.sf(size / summaries.se_from_p(effect, p)) == pytest.approx(p, rel=1e-9)


@quick
@given(spreads, sizes, sizes)
def test_a_pooled_sd_gives_its_standard_error(sd, n_1, n_2):
    assert summaries.pooled_sd_from_se(math.sqrt(sd**2 / n_1 + sd**2 / n_2), n_1, n_2) == pytest.approx(sd, rel=1e-12)


# From medians, quartiles and ranges


@pytest.mark.parametrize(("what", "method"), CASES)
def test_estimates_agree_with_metafor(what, method):
    expected = QUANTILES[f"{what}_{METHODS[what][method]}"].copy()
    if method == "hozo":
        # metafor has no Hozo estimate from five numbers; here the range is taken from them
        expected[QUANTILES["case"] == 3] = expected[QUANTILES["case"] == 1].to_numpy()
    elif method == "shi":
        expected = expected.fillna(QUANTILES["sd_wan"])
    found = ESTIMATORS[what](QUANTILES["n"], QUANTILES["median"], **numbers(QUANTILES), method=method)
    assert len(found) == 33
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_the_example_of_metafors_manual():
    """Help page of conv.fivenum: printed means and SDs of three groups of 20, and one without quantiles."""
    nan = np.nan
    table = pd.DataFrame({"min": [2, nan, 2, nan], "q1": [nan, 4, 4, nan], "q3": [nan, 10, 10, nan], "max": [14, nan, 14, nan]})
    median = pd.Series([6, 6, 6, nan])
    mean = summaries.mean_from_quantiles(20, median, **numbers(table))
    np.testing.assert_allclose(mean, [6.594468, 6.719500, 6.938841, nan], atol=5e-7)
    sd = summaries.sd_from_quantiles(20, median, **numbers(table), method="shi")
    np.testing.assert_allclose(sd, [3.211576, 4.787076, 3.679435, nan], atol=5e-7)


def test_the_example_of_metablue():
    """Help page of Wan.std in the R package metaBLUE: minimum 1, median 4, maximum 10 of 30."""
    assert summaries.sd_from_quantiles(30, 4, minimum=1, maximum=10) == pytest.approx(2.205578, abs=5e-7)


@pytest.mark.parametrize(("n", "width"), [(5, 2.326), (10, 3.078), (20, 3.735), (30, 4.086), (40, 4.322), (50, 4.498)])
def test_the_width_of_a_range_is_near_its_expectation(n, width):
    """Table 1 of Wan and colleagues 2014: the expected range of n standard normals, which the formula approximates."""
    assert summaries.sd_from_quantiles(n, 0, minimum=-width / 2, maximum=width / 2) == pytest.approx(1, rel=0.02)


def test_scenarios_are_named_by_row():
    nan = np.nan
    found = summaries.scenario(
        median=np.array([5, 5, 5, 5, nan, 5, 5]),
        q1=np.array([3, nan, 3, 3, 3, nan, 3]),
        q3=np.array([7, nan, 7, 7, 7, nan, nan]),
        minimum=np.array([1, 1, nan, 1, 1, nan, 1]),
        maximum=np.array([9, 9, nan, nan, 9, nan, 9]),
    )
    assert list(found) == [
        *("five numbers", "median and range", "median and quartiles", "median and quartiles"),
        *("", "", "median and range"),
    ]
    assert summaries.scenario(5, minimum=1, maximum=9) == "median and range"
    assert summaries.scenario(5) == ""


@pytest.mark.parametrize(("what", "method"), CASES)
def test_rows_do_not_touch_each_other_and_series_stay_series(what, method):
    table = QUANTILES.assign(label=[f"row {k}" for k in range(len(QUANTILES))]).set_index("label")
    table.loc["row 3", "median"] = np.nan
    together = ESTIMATORS[what](table["n"], table["median"], **numbers(table), method=method)
    assert list(together.index) == list(table.index)
    for label, row in table.iterrows():
        alone = ESTIMATORS[what](row["n"], row["median"], **numbers(row), method=method)
        assert np.isscalar(alone)
        np.testing.assert_equal(alone, together[label])
    assert np.isnan(together["row 3"])
    assert together.isna().sum() == (12 if method == "hozo" else 1)


@pytest.mark.parametrize(("what", "method"), CASES)
@quick
@given(
    st.integers(5, 500), five, st.sampled_from([("q1", "q3"), ("minimum", "maximum"), (*COLUMNS,)]), spreads, st.floats(-99, 99)
)
def test_units_origin_and_reflection(what, method, n, values, names, unit, origin):
    minimum, q1, median, q3, maximum = values
    given_ = {"q1": q1, "q3": q3, "minimum": minimum, "maximum": maximum}
    mirrored = {"q1": -q3, "q3": -q1, "minimum": -maximum, "maximum": -minimum}
    estimate = ESTIMATORS[what]
    plain = estimate(n, median, **{name: given_[name] for name in names}, method=method)
    moved = estimate(n, median * unit + origin, **{name: given_[name] * unit + origin for name in names}, method=method)
    turned = estimate(n, -median, **{name: mirrored[name] for name in names}, method=method)
    close = {"rel": 1e-9, "abs": 1e-8, "nan_ok": True}
    if what == "mean":
        assert moved == pytest.approx(plain * unit + origin, **close)
        assert turned == pytest.approx(-plain, **close)
        assert np.isnan(plain) or minimum - 1e-9 <= plain <= maximum + 1e-9
    else:
        assert moved == pytest.approx(plain * unit, **close)
        assert turned == pytest.approx(plain, **close)
        assert np.isnan(plain) or plain >= 0


@pytest.fixture(scope="module", params=[9, 29, 101])
def samples(request):
    """Five numbers of 60,000 samples of n = 4 Q + 1 from a normal with mean 10 and SD 3, as order statistics; their means."""
    n = request.param
    values = np.sort(np.random.default_rng(n).normal(10, 3, (60_000, n)), axis=1)
    quarter = (n - 1) // 4
    names = ("minimum", "q1", "median", "q3", "maximum")
    return n, dict(zip(names, values[:, ::quarter].T, strict=True)), values.mean(1)


SCENARIOS = {"range": ("minimum", "maximum"), "quartiles": ("q1", "q3"), "five numbers": (*COLUMNS,)}


@pytest.mark.parametrize("names", SCENARIOS.values(), ids=SCENARIOS)
def test_means_of_normal_samples_are_unbiased_and_luo_is_nearest(samples, names):
    n, values, truth = samples
    chosen = {name: values[name] for name in ("median", *names)}
    error = {}
    for method in METHODS["mean"]:
        mean = summaries.mean_from_quantiles(n, **chosen, method=method)
        if method == "hozo" and names == SCENARIOS["quartiles"]:
            assert np.isnan(mean).all()
            continue
        assert abs(mean.mean() - 10) < 4 * mean.std() / math.sqrt(len(mean))
        error[method] = np.mean((mean - truth) ** 2)
    assert min(error.values()) >= error["luo"] * 0.98


@pytest.mark.parametrize("method", ["wan", "shi"])
@pytest.mark.parametrize("names", SCENARIOS.values(), ids=SCENARIOS)
def test_sds_of_normal_samples_are_nearly_unbiased(samples, names, method):
    """Within 4 %: Wan and colleagues approximate the expected order statistics."""
    n, values, _ = samples
    sd = summaries.sd_from_quantiles(n, **{name: values[name] for name in ("median", *names)}, method=method)
    assert sd.mean() == pytest.approx(3, rel=0.04)


# What is refused


@pytest.mark.parametrize(
    ("call", "rule"),
    [
        (lambda: summaries.sd_from_se(np.array([1.0, -1.0]), 10), "standard error must not be negative"),
        (lambda: summaries.sd_from_se(1.0, 0), "n must be above zero"),
        (lambda: summaries.sd_from_interval(3.0, 1.0, 10), "upper limit"),
        (lambda: summaries.sd_from_interval(1.0, 3.0, 10, level=95), "level must be between 0 and 1"),
        (lambda: summaries.sd_from_interval(1.0, 3.0, 1), "at least 2"),
        (lambda: summaries.sd_from_interval(1.0, 3.0, 9, distribution="z"), "'t' or 'normal', not 'z'"),
        (lambda: summaries.se_from_t(np.array([1.0, 1.0]), np.array([2.0, 0.0])), "an effect or a t of zero"),
        (lambda: summaries.se_from_p(0, 0.5), "an effect or a t of zero"),
        (lambda: summaries.se_from_p(1.0, np.array([0.5, 1.0])), "p must be between 0 and 1"),
        (lambda: summaries.se_from_p(1.0, 0), "p must be between 0 and 1"),
        (lambda: summaries.pooled_sd_from_se(-1, 10, 10), "standard error must not be negative"),
        (lambda: summaries.pooled_sd_from_se(1, 10, 0), "n must be above zero"),
        (lambda: summaries.mean_from_quantiles(10, 5.0, 3.0, 7.0, method="bland"), "'luo', 'wan', 'hozo', not 'bland'"),
        (lambda: summaries.sd_from_quantiles(10, 5.0, 3.0, 7.0, method="luo"), "'wan', 'shi', 'hozo', not 'luo'"),
        (lambda: summaries.mean_from_quantiles(1, 5.0, 3.0, 7.0), "n must be at least 2"),
        (lambda: summaries.mean_from_quantiles(10, 8.0, 3.0, 7.0), "in this order"),
        (lambda: summaries.sd_from_quantiles(10, np.array([5.0, 5.0]), minimum=np.array([1.0, 6.0])), "in this order"),
        # the numbers between the two that are out of order are not given
        (lambda: summaries.sd_from_quantiles(10, np.nan, minimum=6.0, maximum=3.0), "in this order"),
    ],
)
def test_impossible_numbers_are_refused(call, rule):
    with pytest.raises(ValueError, match=rule):
        call()


def test_gaps_pass():
    gap = np.array([np.nan, 2.0])
    for found in (
        summaries.sd_from_se(gap, 10),
        summaries.sd_from_interval(gap, 3.0, 10),
        summaries.sd_from_interval(1.0, 3.0, gap),
        summaries.se_from_t(1.0, gap),
        summaries.se_from_p(1.0, gap / 10),
        summaries.se_from_p(1.0, 0.1, gap),
        summaries.pooled_sd_from_se(gap, 10, 10),
        summaries.sd_from_quantiles(gap, 5.0, 3.0, 7.0),
        summaries.mean_from_quantiles(gap, 5.0, 3.0, 7.0),
        summaries.mean_from_quantiles(gap, 5.0, minimum=3.0, maximum=7.0, method="hozo"),
    ):
        assert list(np.isnan(found)) == [True, False]
