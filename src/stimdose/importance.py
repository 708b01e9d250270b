"""Importance sampling: weights that make draws of one density stand for another, smoothed, and draws taken by their weights."""

import numpy as np

PARETO_K_MAX = 0.7
"""Up to this Pareto k, weighted draws are to be trusted (Vehtari et al. 2024, JMLR 25:72)."""
NOTHING = 1e-12
"""Log ratios that differ by less come from rounding."""


def smoothed_weights(log_ratio: np.ndarray, r_eff: float = 1.0) -> tuple[np.ndarray, float]:
    """Log weights (draws,), whose weights sum to 1, and Pareto k, of the log ratios (draws,) of the density wanted to the one that was
    sampled. Where all ratios are equal, so are the weights, and k is -inf. r_eff: effective sample size per draw."""
    from arviz_stats.base import array_stats

    log_ratio = np.where(np.isfinite(log_ratio), log_ratio, -1e10)
    if np.ptp(log_ratio) < NOTHING:
        return np.full(len(log_ratio), -np.log(len(log_ratio))), -np.inf
    log_weights, k = array_stats.psislw(-log_ratio, r_eff=r_eff)  # it takes the log-likelihood of what is left out
    log_weights = np.asarray(log_weights)
    return log_weights - np.logaddexp.reduce(log_weights), float(k)


def systematic(weights: np.ndarray, size: int) -> np.ndarray:
    """Numbers (size,) of draws, in their order, each as often as its weight says to within one."""
    share = np.cumsum(weights)
    return np.searchsorted(share / share[-1], (np.arange(size) + 0.5) / size)
