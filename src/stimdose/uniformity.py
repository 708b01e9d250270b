"""Are ranks uniform? Simultaneous bands of their ECDF (Säilynoja, Bürkner and Vehtari 2022), and what the same ranks say of coverage.

Ranks are positions between 0 and 1 (simulations, quantities): (rank + a uniform number) / (draws + 1), uniform where all is well.
The bands of arviz_stats 1.3 (`ecdf_utils`) leave out the upper tail of every sample without a value below 1 / size: 6.3 % of
uniform samples left its 95 % band.
"""

from functools import cache

import numpy as np

SIMULATED = 20_000
"""Uniform samples from which the null distribution is taken."""


def points_of(size: int) -> np.ndarray:
    """Where the ECDF of a sample of this size is judged."""
    return np.arange(1, size) / size


def ecdf(positions: np.ndarray) -> np.ndarray:
    """ECDF (points, quantities) of positions (simulations, quantities)."""
    return (positions <= points_of(len(positions))[:, None, None]).mean(axis=1)


def band(size: int, prob: float) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper limits (points,) that hold the whole ECDF of a uniform sample with probability `prob`."""
    from scipy.stats import binom

    tail, binomial = np.quantile(_null(size), 1 - prob) / 2, binom(size, points_of(size))
    return binomial.ppf(tail) / size, binomial.isf(tail) / size


def p_values(positions: np.ndarray) -> np.ndarray:
    """P value (quantities,) of the ECDF of each sample: below 1 - prob where it leaves `band(size, prob)`."""
    size = len(positions)
    counts = np.rint(ecdf(positions) * size).astype(int)
    below = np.searchsorted(_null(size), _smallest_tail(counts.T) * (1 + 1e-9))
    return (below + 1) / (SIMULATED + 1)


@cache
def _null(size: int) -> np.ndarray:
    """Sorted: `_smallest_tail` of uniform samples."""
    cells = np.random.default_rng(0).multinomial(size, np.full(size, 1 / size), SIMULATED)
    return np.sort(_smallest_tail(cells.cumsum(axis=1)[:, :-1]))


def _smallest_tail(counts: np.ndarray) -> np.ndarray:
    """Smallest of the two-sided binomial p values of counts (samples, points) at or below each point."""
    from scipy.stats import binom

    size = counts.shape[1] + 1
    lower = binom.cdf(np.arange(size + 1), size, points_of(size)[:, None])  # (points, counts)
    upper = np.column_stack([np.ones(size - 1), 1 - lower[:, :-1]])
    return 2 * np.minimum(lower, upper)[np.arange(size - 1), counts].min(axis=1, initial=1.0)


def holm(p: np.ndarray) -> np.ndarray:
    """P values (quantities,) adjusted for their number, however they depend on each other (Holm 1979, Scand J Stat 6:65)."""
    order = np.argsort(p, kind="stable")
    found = np.empty(len(p))
    found[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    return found


def coverage(positions: np.ndarray, prob: float) -> np.ndarray:
    """Share of samples (simulations, quantities) inside the central interval of probability `prob`, and its exact binomial 95 %
    interval (Clopper and Pearson 1934), (3, quantities)."""
    from scipy.special import betaincinv

    size, counts = len(positions), (np.abs(positions - 0.5) <= prob / 2).sum(axis=0)
    low = np.where(counts > 0, betaincinv(np.maximum(counts, 1), size - counts + 1, 0.025), 0.0)
    high = np.where(counts < size, betaincinv(counts + 1, np.maximum(size - counts, 1), 0.975), 1.0)
    return np.array([counts / size, low, high])
