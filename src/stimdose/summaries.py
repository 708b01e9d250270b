"""Means and standard deviations from what papers print in their place.

All functions take scalars or arrays, row by row; a pandas Series stays one. NaN stands for a number that is not given, and what
cannot be had from the rest of its row is NaN. A number that is given and cannot be right raises ValueError, whatever its row.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from .effects import Numbers, critical_value, se_from_interval


def _refuse(wrong: Numbers, rule: str) -> None:
    if np.any(wrong):
        raise ValueError(rule)


# From standard errors, intervals and tests


def sd_from_se(se: Numbers, n: Numbers) -> Numbers:
    """SD = se sqrt(n) of a group from the standard error of its mean (Cochrane Handbook 6.5.2.2).

    ValueError: se below zero, n not above zero.
    """
    _refuse(se < 0, "a standard error must not be negative")
    _refuse(n <= 0, "n must be above zero")
    return se * np.sqrt(n)


def sd_from_interval(low: Numbers, high: Numbers, n: Numbers, level: Numbers = 0.95, distribution: str = "t") -> Numbers:
    """SD = sqrt(n) (high - low) / (2 critical value) of a group from a confidence interval of its mean.

    The critical value is that of t with n - 1 degrees of freedom, or of the normal distribution (distribution="normal"), which
    papers with large groups often use. Cochrane Handbook 6.5.2.2.
    ValueError: high below low, level not between 0 and 1, n below 2 with t, another distribution.
    """
    _refuse(high < low, "the upper limit of an interval must not be below its lower limit")
    _refuse((level <= 0) | (level >= 1), "level must be between 0 and 1, such as 0.95")
    if distribution not in ("t", "normal"):
        raise ValueError(f"distribution must be 't' or 'normal', not {distribution!r}")
    if distribution == "t":
        _refuse(n < 2, "n must be at least 2")
    return sd_from_se(se_from_interval(low, high, level, n - 1 if distribution == "t" else np.inf), n)


def se_from_t(effect: Numbers, t: Numbers) -> Numbers:
    """Standard error |effect / t| behind an effect and its t (or z) statistic (Cochrane Handbook 6.5.2.3).

    The sign of t is ignored, because papers differ in what they subtract from what. ValueError: effect or t is zero, which
    leaves the standard error open.
    """
    _refuse((effect == 0) | (t == 0), "no standard error follows from an effect or a t of zero")
    return abs(effect / t)


def se_from_p(effect: Numbers, p: Numbers, degrees_of_freedom: Numbers = np.inf) -> Numbers:
    """Standard error |effect| / critical value behind an effect and its two-sided p value.

    The critical value is that of t with the degrees of freedom given (n1 + n2 - 2 for two groups), else of the normal
    distribution. Cochrane Handbook 6.5.2.3. ValueError: effect is zero, p not between 0 and 1.
    """
    _refuse((p <= 0) | (p >= 1), "p must be between 0 and 1, both excluded")
    return se_from_t(effect, critical_value(p, degrees_of_freedom))


def pooled_sd_from_se(se: Numbers, n_1: Numbers, n_2: Numbers) -> Numbers:
    """SD = se / sqrt(1/n1 + 1/n2), common to two groups, from the standard error of their difference in means.

    Cochrane Handbook 6.5.2.3. ValueError: se below zero, n not above zero.
    """
    _refuse(se < 0, "a standard error must not be negative")
    _refuse((n_1 <= 0) | (n_2 <= 0), "n must be above zero")
    return se / np.sqrt(1 / n_1 + 1 / n_2)


# From medians, quartiles and ranges

RANGE, QUARTILES, FIVE = "median and range", "median and quartiles", "five numbers"
"""The scenarios C1, C3 and C2 of Wan and colleagues 2014."""

MEANS = {
    "luo": lambda n: {
        RANGE: (4 / (4 + n**0.75), 0),
        QUARTILES: (0, 0.7 + 0.39 / n),
        FIVE: (2.2 / (2.2 + n**0.75), 0.7 - 0.72 / n**0.55),
    },
    "wan": lambda n: {RANGE: (1 / 2, 0), QUARTILES: (0, 2 / 3), FIVE: (1 / 4, 1 / 2)},
    "hozo": lambda n: dict.fromkeys((RANGE, FIVE), (np.where(n <= 25, 1 / 2, 0 * n), 0)),
}
"""Weights of mid-range and mid-quartile in the mean; the median has the rest."""

SDS = {
    "wan": lambda n: {RANGE: (1, 0), QUARTILES: (0, 1), FIVE: (1 / 2, 1 / 2)},
    "shi": lambda n: {RANGE: (1, 0), QUARTILES: (0, 1), FIVE: (1 / (1 + 0.07 * n**0.6), 1 - 1 / (1 + 0.07 * n**0.6))},
}
"""Weights of the SD from the range and the SD from the quartiles."""


def scenario(
    median: Numbers, q1: Numbers = np.nan, q3: Numbers = np.nan, minimum: Numbers = np.nan, maximum: Numbers = np.nan
) -> Numbers:
    """Which numbers there are to estimate from, by row: "five numbers", "median and range", "median and quartiles", or "".

    The fullest that is complete: half a range or one quartile does not count. An array of str of the shape of the arguments, or one str.
    """
    given = {
        name: ~np.isnan(np.asarray(x, float))
        for name, x in {"median": median, "q1": q1, "q3": q3, "minimum": minimum, "maximum": maximum}.items()
    }
    quartiles = given["median"] & given["q1"] & given["q3"]
    ends = given["median"] & given["minimum"] & given["maximum"]
    return np.select([quartiles & ends, ends, quartiles], [FIVE, RANGE, QUARTILES], "")[()]


def mean_from_quantiles(
    n: Numbers,
    median: Numbers,
    q1: Numbers = np.nan,
    q3: Numbers = np.nan,
    minimum: Numbers = np.nan,
    maximum: Numbers = np.nan,
    method: str = "luo",
) -> Numbers:
    """Mean of a group of n, in units of the outcome, from its median and its quartiles, its range, or both.

    With a = minimum, b = maximum, and the numbers of each row as `scenario` says:

    - "luo" (Luo, Wan, Liu and Tong 2018): w (a+b)/2 + v (q1+q3)/2 + (1 - w - v) median, with
      w = 4/(4 + n^0.75) from a range, v = 0.7 + 0.39/n from quartiles, or w = 2.2/(2.2 + n^0.75) and v = 0.7 - 0.72/n^0.55
      from five numbers: of all such sums the one nearest to the mean of a normal sample;
    - "wan" (Wan, Wang, Liu and Tong 2014): (a + 2 median + b)/4, (q1 + median + q3)/3, (a + 2 q1 + 2 median + 2 q3 + b)/8,
      the first by Hozo and the last by Bland;
    - "hozo" (Hozo, Djulbegovic and Hozo 2005): (a + 2 median + b)/4 for n up to 25, the median above; NaN without a range.

    All assume a distribution that is close to normal; papers print medians where it is not. They were derived for n = 5, 9,
    13, ... and are in use for any n. ValueError: numbers out of order, n below 2, another method.
    """
    known = _checked(n, median, q1, q3, minimum, maximum, method, MEANS)
    on_ends, on_quartiles = _weights(known, MEANS[method](np.asarray(n, float)))
    return (
        median
        + on_ends * _or_zero((minimum + maximum) / 2 - median, on_ends)
        + on_quartiles * _or_zero((q1 + q3) / 2 - median, on_quartiles)
    )


def sd_from_quantiles(
    n: Numbers,
    median: Numbers,
    q1: Numbers = np.nan,
    q3: Numbers = np.nan,
    minimum: Numbers = np.nan,
    maximum: Numbers = np.nan,
    method: str = "wan",
) -> Numbers:
    """SD of a group of n, in units of the outcome, from the numbers that `mean_from_quantiles` takes.

    With a = minimum, b = maximum, z the normal quantile, and the numbers of each row as `scenario` says:

    - "wan" (Wan, Wang, Liu and Tong 2014): (b - a) / (2 z((n - 0.375)/(n + 0.25))) from a range,
      (q3 - q1) / (2 z((0.75 n - 0.125)/(n + 0.25))) from quartiles, the mean of the two from five numbers;
    - "shi" (Shi and colleagues 2020): the same, with weight 1/(1 + 0.07 n^0.6) for the SD from the range in place of 1/2;
    - "hozo" (Hozo, Djulbegovic and Hozo 2005): sqrt(((a - 2 median + b)^2/4 + (b - a)^2) / 12) for n up to 15, (b - a)/4 for n
      up to 70, (b - a)/6 above; NaN without a range.

    A row needs its median, even where the formula does not, because a range alone says nothing of skewness. Assumptions and
    ValueError as for `mean_from_quantiles`.
    """
    known = _checked(n, median, q1, q3, minimum, maximum, method, [*SDS, "hozo"])
    # zero in every row, NaN where there is no median; makes a Series of the result if the median is one
    zero = 0 * median
    size = np.asarray(n, float)
    if method == "hozo":
        width = maximum - minimum
        small = np.sqrt(((minimum - 2 * median + maximum) ** 2 / 4 + width**2) / 12)
        return zero + np.select([size <= 15, size <= 70, size > 70], [small, width / 4, width / 6], np.nan)
    on_ends, on_quartiles = _weights(known, SDS[method](size))
    from_ends = (maximum - minimum) / _normal_width((size - 0.375) / (size + 0.25))
    from_quartiles = (q3 - q1) / _normal_width((0.75 * size - 0.125) / (size + 0.25))
    return zero + on_ends * _or_zero(from_ends, on_ends) + on_quartiles * _or_zero(from_quartiles, on_quartiles)


def _checked(
    n: Numbers, median: Numbers, q1: Numbers, q3: Numbers, minimum: Numbers, maximum: Numbers, method: str, methods: Iterable[str]
) -> Numbers:
    """The scenario of each row, once the arguments are found to be possible."""
    if method not in methods:
        raise ValueError(f"method must be one of {', '.join(map(repr, methods))}, not {method!r}")
    _refuse(n < 2, "n must be at least 2")
    numbers = np.stack(np.broadcast_arrays(*(np.asarray(x, float) for x in (minimum, q1, median, q3, maximum))))
    # fmax passes over what is not given
    _refuse(numbers[1:] < np.fmax.accumulate(numbers)[:-1], "minimum, q1, median, q3 and maximum must be in this order")
    return scenario(median, q1, q3, minimum, maximum)


def _weights(known: Numbers, by_scenario: dict[str, tuple]) -> Iterator[np.ndarray]:
    """The two weights of each row, NaN where the method has none for its scenario."""
    rows = [np.asarray(known) == name for name in by_scenario]
    return (np.select(rows, weights, np.nan) for weights in zip(*by_scenario.values(), strict=True))


def _or_zero(x: Numbers, weight: Numbers) -> Numbers:
    """x, or zero where its weight is zero, so that a number not given does not make the sum NaN."""
    return np.where(weight == 0, 0, x)


def _normal_width(below: Numbers) -> Numbers:
    """Distance, in SDs, between a normal quantile with probability `below` and its mirror image."""
    return 2 * critical_value(2 * (1 - below))
