"""Effect sizes and sampling variances from what papers print.

Every effect comes as (effect, variance), group 1 (active) minus group 2 (control), or after minus before. All functions take
scalars or arrays, row by row; a pandas Series stays one. Means and SDs are in units of the outcome, n counts people, r is the
correlation of two measurements of the same people. Ranges are not checked: a missing number, or one for which a formula is not
defined, gives NaN in its row and leaves the others alone. ValueError is raised for an unknown option only.
"""

from typing import Any

import numpy as np
from scipy.special import gammaln, stdtrit

type Numbers = Any
"""A number, or an array or Series of numbers, row by row."""


def _positive(x: Numbers) -> Numbers:
    """x where it is above zero, else NaN."""
    return x * np.where(np.asarray(x) > 0, 1.0, np.nan)


# Variances of one arm, the terms that comparisons with a shared control have in common


def mean_variance(sd: Numbers, n: Numbers) -> Numbers:
    """Sampling variance sd^2 / n of a mean, in squared units of the outcome."""
    return sd**2 / n


def log_mean_variance(mean: Numbers, sd: Numbers, n: Numbers) -> Numbers:
    """Sampling variance sd^2 / (n mean^2) of the logarithm of a mean; NaN unless the mean is above zero.

    Delta method: Hedges, Gurevitch and Curtis 1999.
    """
    return mean_variance(sd / _positive(mean), n)


def log_odds_variance(events: Numbers, n: Numbers) -> Numbers:
    """Sampling variance 1/events + 1/(n - events) of log odds (Woolf 1955); NaN where a cell is zero: correct the cells first."""
    return 1 / _positive(events) + 1 / _positive(n - events)


def log_risk_variance(events: Numbers, n: Numbers) -> Numbers:
    """Sampling variance 1/events - 1/n of a log risk (Katz and colleagues 1978); NaN without events: correct the cells first."""
    return 1 / _positive(events) - 1 / n


def difference(effect_1: Numbers, variance_1: Numbers, effect_2: Numbers, variance_2: Numbers) -> tuple[Numbers, Numbers]:
    """Effect 1 minus effect 2 of independent groups, and the sum of their variances.

    With a within-group change of each arm (`mean_change`, `standardised_mean_change`, `log_ratio_of_means_change`) this is the
    difference between groups in change. With the changes standardised by the baseline SD of each arm it is the estimator of
    Becker 1988, d_ppc1 in Morris 2008; Morris prefers d_ppc2, with one baseline SD pooled over the arms.
    """
    return effect_1 - effect_2, variance_1 + variance_2


# Two groups, continuous outcome


def mean_difference(
    mean_1: Numbers, sd_1: Numbers, n_1: Numbers, mean_2: Numbers, sd_2: Numbers, n_2: Numbers
) -> tuple[Numbers, Numbers]:
    """Mean of group 1 minus mean of group 2, and its variance sd1^2/n1 + sd2^2/n2 (variances not pooled)."""
    return difference(mean_1, mean_variance(sd_1, n_1), mean_2, mean_variance(sd_2, n_2))


def hedges_correction(degrees_of_freedom: Numbers) -> Numbers:
    """Exact small-sample correction J(m) = Gamma(m/2) / (sqrt(m/2) Gamma((m-1)/2)) of a standardised difference (Hedges 1981).

    NaN unless m is above 1: with fewer people the expected value of a standardised difference does not exist.
    """
    m = np.asarray(degrees_of_freedom, float)
    m = np.where(m > 1, m, np.nan)
    return np.exp(gammaln(m / 2) - gammaln((m - 1) / 2)) / np.sqrt(m / 2)


def pooled_sd(sd_1: Numbers, n_1: Numbers, sd_2: Numbers, n_2: Numbers) -> Numbers:
    """SD within groups, sqrt(((n1 - 1) sd1^2 + (n2 - 1) sd2^2) / (n1 + n2 - 2))."""
    return np.sqrt(((n_1 - 1) * sd_1**2 + (n_2 - 1) * sd_2**2) / (n_1 + n_2 - 2))


def smd_variance(effect: Numbers, n_1: Numbers, n_2: Numbers) -> Numbers:
    """Large-sample variance 1/n1 + 1/n2 + effect^2 / (2 (n1 + n2)) of a standardised mean difference, at any effect.

    Hedges and Olkin 1985. The effect may be the estimate of the trial, or one known from elsewhere.
    """
    return 1 / n_1 + 1 / n_2 + effect**2 / (2 * (n_1 + n_2))


def standardised_mean_difference(
    mean_1: Numbers, sd_1: Numbers, n_1: Numbers, mean_2: Numbers, sd_2: Numbers, n_2: Numbers, variance: str = "large-sample"
) -> tuple[Numbers, Numbers]:
    """Hedges g = J(m) (mean1 - mean2) / pooled SD with m = n1 + n2 - 2, in standard deviations, and its variance:

    - "large-sample": `smd_variance` at g (Hedges and Olkin 1985);
    - "unbiased": 1/n1 + 1/n2 + (1 - (m - 2) / (m J(m)^2)) g^2 (Hedges 1983), from m = 2;
    - "average": `smd_variance` at the mean of all the g's given, weighted by n1 + n2. Imprecise trials then do not gain or lose
      weight by the chance in their own g; meant for rows that estimate much the same effect.

    These are LS, UB and AV of metafor. ValueError: another name.
    """
    m = n_1 + n_2 - 2
    correction = hedges_correction(m)
    g = correction * (mean_1 - mean_2) / pooled_sd(sd_1, n_1, sd_2, n_2)
    if variance == "large-sample":
        return g, smd_variance(g, n_1, n_2)
    if variance == "unbiased":
        return g, 1 / n_1 + 1 / n_2 + (1 - (m - 2) / (m * correction**2)) * g**2
    if variance == "average":
        known = np.asarray(np.isfinite(g))
        weights = np.broadcast_to(n_1 + n_2, known.shape)[known]
        average = np.average(np.asarray(g)[known], weights=weights) if known.any() else np.nan
        return g, smd_variance(average + 0 * g, n_1, n_2)
    raise ValueError(f"variance must be 'large-sample', 'unbiased' or 'average', not {variance!r}")


def log_ratio_of_means(
    mean_1: Numbers, sd_1: Numbers, n_1: Numbers, mean_2: Numbers, sd_2: Numbers, n_2: Numbers
) -> tuple[Numbers, Numbers]:
    """log(mean1 / mean2), and its variance sd1^2/(n1 mean1^2) + sd2^2/(n2 mean2^2); NaN unless both means are above zero.

    Hedges, Gurevitch and Curtis 1999: first order, without the small-sample terms of Lajeunesse 2015 that metafor adds since
    its version 5.
    """
    return difference(
        np.log(_positive(mean_1)),
        log_mean_variance(mean_1, sd_1, n_1),
        np.log(_positive(mean_2)),
        log_mean_variance(mean_2, sd_2, n_2),
    )


# Two groups, counts of events


def continuity_corrected(
    events_1: Numbers, n_1: Numbers, events_2: Numbers, n_2: Numbers
) -> tuple[Numbers, Numbers, Numbers, Numbers]:
    """(events1, n1, events2, n2) with 0.5 added to all four cells of a row in which any cell is zero, and to no other row.

    The cells are events and people without one, so each n of such a row grows by 1. Gart and Zweifel 1967.
    """
    zero = [np.asarray(cell) == 0 for cell in (events_1, n_1 - events_1, events_2, n_2 - events_2)]
    half = 0.5 * np.any(np.broadcast_arrays(*zero), axis=0)
    return events_1 + half, n_1 + 2 * half, events_2 + half, n_2 + 2 * half


def log_odds_ratio(events_1: Numbers, n_1: Numbers, events_2: Numbers, n_2: Numbers) -> tuple[Numbers, Numbers]:
    """log of (odds of an event in group 1 / odds in group 2), and the sum of 1/cell over the four cells (Woolf 1955).

    Rows with a zero cell go through `continuity_corrected`. So do rows in which neither arm, or everybody, has an event: their
    result reflects the 0.5 and the sizes of the arms alone, with a variance near 4. Cochrane Handbook 10.4.4.1 leaves such
    trials out; this is for the caller to do.
    """
    events_1, n_1, events_2, n_2 = continuity_corrected(events_1, n_1, events_2, n_2)
    return difference(
        np.log(_positive(events_1)) - np.log(_positive(n_1 - events_1)),
        log_odds_variance(events_1, n_1),
        np.log(_positive(events_2)) - np.log(_positive(n_2 - events_2)),
        log_odds_variance(events_2, n_2),
    )


def log_risk_ratio(events_1: Numbers, n_1: Numbers, events_2: Numbers, n_2: Numbers) -> tuple[Numbers, Numbers]:
    """log of (risk of an event in group 1 / risk in group 2), and its variance 1/events1 - 1/n1 + 1/events2 - 1/n2.

    Katz and colleagues 1978. Rows with a zero cell go through `continuity_corrected`. So do rows in which nobody has an event
    (a variance near 4: leave such trials out, Cochrane Handbook 10.4.4.1) and rows in which everybody has one (a ratio near 1
    with a very small variance, which overstates what was learnt).
    """
    events_1, n_1, events_2, n_2 = continuity_corrected(events_1, n_1, events_2, n_2)
    return difference(
        np.log(_positive(events_1) / n_1),
        log_risk_variance(events_1, n_1),
        np.log(_positive(events_2) / n_2),
        log_risk_variance(events_2, n_2),
    )


# One group, before and after


def change_sd(sd_before: Numbers, sd_after: Numbers, r: Numbers) -> Numbers:
    """SD of the change, sqrt(sd_before^2 + sd_after^2 - 2 r sd_before sd_after) (Cochrane Handbook 6.5.2.8)."""
    # the same sum, written so that it cannot round below zero at r = 1
    return np.sqrt((sd_after - sd_before) ** 2 + 2 * (1 - r) * sd_before * sd_after)


def change_correlation(sd_before: Numbers, sd_after: Numbers, sd_change: Numbers) -> Numbers:
    """Correlation behind three printed SDs, (sd_before^2 + sd_after^2 - sd_change^2) / (2 sd_before sd_after).

    Cochrane Handbook 6.5.2.8. Outside -1 to 1 the three SDs cannot belong together.
    """
    return (sd_before**2 + sd_after**2 - sd_change**2) / (2 * sd_before * sd_after)


def mean_change(
    mean_before: Numbers, sd_before: Numbers, mean_after: Numbers, sd_after: Numbers, n: Numbers, r: Numbers
) -> tuple[Numbers, Numbers]:
    """mean_after - mean_before in units of the outcome, and its variance change_sd^2 / n.

    MC of metafor, which takes the measurement after as its group 1.
    """
    return mean_after - mean_before, mean_variance(change_sd(sd_before, sd_after, r), n)


def standardised_change(change: Numbers, sd: Numbers, n: Numbers, r: Numbers | None = None) -> tuple[Numbers, Numbers]:
    """g = J(n - 1) change / sd from a printed mean change, in standard deviations, and its large-sample variance.

    Without r, sd is the SD of the change and the variance 1/n + g^2/(2n) (Gibbons, Hedeker and Davis 1993). With r, sd is the
    SD at baseline and the variance 2 (1 - r)/n + g^2/(2n) (Becker 1988). Both take the corrected g where the papers have the
    true effect, as metafor does; Gibbons and colleagues also give an exact variance, which is not used.
    """
    g = hedges_correction(n - 1) * change / sd
    return g, (1 if r is None else 2 * (1 - r)) / n + g**2 / (2 * n)


def standardised_mean_change(
    mean_before: Numbers,
    sd_before: Numbers,
    mean_after: Numbers,
    sd_after: Numbers,
    n: Numbers,
    r: Numbers,
    standardiser: str = "change",
) -> tuple[Numbers, Numbers]:
    """`standardised_change` of mean_after - mean_before, in SDs of the change ("change") or SDs at baseline ("baseline").

    r belongs to the sample: with one borrowed from elsewhere SMCC carries its error in the effect too, SMCR in the variance only.
    SMCC and SMCR of metafor, whose sd1 is the SD after in the first and the SD before in the second. Only the second is on the
    scale of a standardised mean difference between groups (Morris and DeShon 2002). ValueError: another standardiser.
    """
    if standardiser == "change":
        return standardised_change(mean_after - mean_before, change_sd(sd_before, sd_after, r), n)
    if standardiser == "baseline":
        return standardised_change(mean_after - mean_before, sd_before, n, r)
    raise ValueError(f"standardiser must be 'change' or 'baseline', not {standardiser!r}")


def log_ratio_of_means_change(
    mean_before: Numbers, sd_before: Numbers, mean_after: Numbers, sd_after: Numbers, n: Numbers, r: Numbers
) -> tuple[Numbers, Numbers]:
    """log(mean_after / mean_before), and its variance (b^2 + a^2 - 2 r b a) / n with b, a = sd / mean before and after.

    Lajeunesse 2011, first order; ROMC of metafor before its version 5. NaN unless both means are above zero.
    """
    before, after = _positive(mean_before), _positive(mean_after)
    return np.log(after / before), mean_variance(change_sd(sd_before / before, sd_after / after, r), n)


# Crossover: the same n people under both conditions


def paired_difference(
    mean_1: Numbers, sd_1: Numbers, mean_2: Numbers, sd_2: Numbers, n: Numbers, r: Numbers
) -> tuple[Numbers, Numbers]:
    """mean_1 - mean_2 of the same n people, and its variance (sd1^2 + sd2^2 - 2 r sd1 sd2) / n.

    Cochrane Handbook 23.2.7 (16.4.6 in version 5.1). No allowance for an effect of the period.
    """
    return mean_change(mean_2, sd_2, mean_1, sd_1, n, r)


def standardised_paired_difference(
    mean_1: Numbers, sd_1: Numbers, mean_2: Numbers, sd_2: Numbers, n: Numbers, r: Numbers
) -> tuple[Numbers, Numbers]:
    """d = (mean_1 - mean_2) / sqrt((sd1^2 + sd2^2) / 2) of the same n people, and its variance (1/n + d^2/(2n)) 2 (1 - r).

    Exactly as in Cochrane Handbook 23.2.7 (16.4.6 in version 5.1), hence without a small-sample correction. The second term,
    d^2 (1 - r)/n, is disputed (Kitchenham and Madeyski 2020): the delta method gives d^2 (1 + r^2)/(4n), which is smaller for
    r below 0.65 and larger above. At d = 1.2 and r = 0.9 the variance of samples is 2.5 times the one returned here.
    """
    d = (mean_1 - mean_2) / np.sqrt((sd_1**2 + sd_2**2) / 2)
    return d, (1 / n + d**2 / (2 * n)) * 2 * (1 - r)


# Clusters, intervals


def design_effect(cluster_size: Numbers, icc: Numbers) -> Numbers:
    """How many times larger clusters make a variance, 1 + (cluster_size - 1) icc.

    cluster_size is the mean number of people in a cluster, icc their intracluster correlation. Cochrane Handbook 23.1.4.
    """
    return 1 + (cluster_size - 1) * icc


def effective_n(n: Numbers, cluster_size: Numbers, icc: Numbers) -> Numbers:
    """People that carry the same information without clustering, n / `design_effect`. Events shrink by the same factor.

    Cochrane Handbook 23.1.4.
    """
    return n / design_effect(cluster_size, icc)


def critical_value(outside: Numbers, degrees_of_freedom: Numbers = np.inf) -> Numbers:
    """The number that |t| exceeds with probability `outside`; of the normal distribution unless degrees of freedom are given."""
    above, m = np.asarray(outside, float) / 2, np.asarray(degrees_of_freedom, float)
    return np.where((above == 0) & (m > 0), np.inf, 0 - stdtrit(m, above))[()]  # stdtrit has the wrong sign at 0


def se_from_interval(low: Numbers, high: Numbers, level: Numbers = 0.95, degrees_of_freedom: Numbers = np.inf) -> Numbers:
    """Standard error (high - low) / (2 critical value) behind a symmetric confidence interval of the given level.

    Normal, or t with the degrees of freedom given (Cochrane Handbook 6.3.1 and 6.5.2.3).
    """
    return (high - low) / (2 * critical_value(1 - np.asarray(level, float), degrees_of_freedom))


def interval_from_se(effect: Numbers, se: Numbers, level: Numbers = 0.95) -> tuple[Numbers, Numbers]:
    """Normal confidence limits (low, high) of an effect."""
    half = critical_value(1 - np.asarray(level, float)) * np.asarray(se)
    return effect - half, effect + half
