"""Effect sizes and sampling variances from what papers print. All functions take scalars or arrays."""

import numpy as np
from scipy.special import gammaln
from scipy.stats import norm


def hedges_correction(degrees_of_freedom):
    """Exact small-sample correction J(m) = Gamma(m/2) / (sqrt(m/2) Gamma((m-1)/2)) of a standardised difference (Hedges 1981)."""
    m = np.asarray(degrees_of_freedom, float)
    return np.exp(gammaln(m / 2) - gammaln((m - 1) / 2)) / np.sqrt(m / 2)


def standardised_mean_difference(mean_1, sd_1, n_1, mean_2, sd_2, n_2):
    """Hedges g of group 1 minus group 2, and its large-sample variance 1/n1 + 1/n2 + g^2 / (2 (n1 + n2)).

    The standard deviation is pooled over the two groups. Hedges 1981; variance as in Hedges and Olkin 1985, with g in place of d.
    """
    m = n_1 + n_2 - 2
    pooled_sd = np.sqrt(((n_1 - 1) * sd_1**2 + (n_2 - 1) * sd_2**2) / m)
    g = hedges_correction(m) * (mean_1 - mean_2) / pooled_sd
    return g, 1 / n_1 + 1 / n_2 + g**2 / (2 * (n_1 + n_2))


def mean_difference(mean_1, sd_1, n_1, mean_2, sd_2, n_2):
    """Mean of group 1 minus mean of group 2, and its variance sd1^2/n1 + sd2^2/n2 (variances not pooled)."""
    return mean_1 - mean_2, sd_1**2 / n_1 + sd_2**2 / n_2


def se_from_interval(low, high, level=0.95):
    """Standard error behind a symmetric normal confidence interval of the given level."""
    return (high - low) / (2 * norm.ppf((1 + np.asarray(level, float)) / 2))


def interval_from_se(effect, se, level=0.95):
    """Normal confidence limits (low, high) of an effect."""
    half = norm.ppf((1 + level) / 2) * np.asarray(se)
    return effect - half, effect + half
