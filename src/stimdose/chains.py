"""R-hat and effective sample sizes of many quantities at once, as arviz defines them one by one (Vehtari et al. 2021).

All functions take draws (quantities, chains, draws) and return (quantities,): NaN where a draw is NaN or chains are shorter than SHORTEST.
They are written out here because arviz is slow to import, and slow when it is called quantity by quantity.
"""

import numpy as np
from scipy.special import ndtri

TAILS = (1 - 0.89, 0.89)
"""The quantiles that `arviz.ess` takes for the tails, unless told otherwise."""
SHORTEST = 4


@np.errstate(divide="ignore", invalid="ignore")  # of constants and infinities
def convergence(draws: np.ndarray) -> dict[str, np.ndarray]:
    """r_hat, ess_bulk (of the centre) and ess_tail (of the lower or the upper of the TAILS, whichever is smaller)."""
    if draws.shape[2] < SHORTEST:
        return {name: np.full(len(draws), np.nan) for name in ("r_hat", "ess_bulk", "ess_tail")}
    halves = _halves(draws)
    scores = _normal_scores(halves)
    tails = [_ess(_halves(draws <= end).astype(float)) for end in np.quantile(draws, TAILS, axis=(1, 2), keepdims=True)]
    found = {"r_hat": _r_hat(halves, scores), "ess_bulk": _ess(scores), "ess_tail": np.minimum(*tails)}
    unknown = np.isnan(draws).any(axis=(1, 2))
    return {name: np.where(unknown, np.nan, values) for name, values in found.items()}


def _r_hat(halves: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """NaN for a single chain, and for constants."""
    folded = np.abs(halves - np.median(halves, axis=(1, 2), keepdims=True))
    bulk, tail = _spread_ratio(scores), _spread_ratio(_normal_scores(folded))
    return np.where(halves.shape[1] > 2, np.where(tail > bulk, tail, bulk), np.nan)


def _halves(draws: np.ndarray) -> np.ndarray:
    """Every chain as two; the middle draw of an odd number is left out."""
    half = draws.shape[2] // 2
    return np.concatenate([draws[..., :half], draws[..., -half:]], axis=1)


def _normal_scores(draws: np.ndarray) -> np.ndarray:
    """Normal quantiles of the ranks over all chains; ties share their mean rank."""
    flat = draws.reshape(len(draws), -1)
    order = flat.argsort(axis=1)
    ordered = np.take_along_axis(flat, order, axis=1)
    is_first = np.ones(flat.shape, bool)
    is_first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    first = np.append(np.flatnonzero(is_first), flat.size)  # of every run of ties, counted over all quantities
    ranks = np.repeat((first[:-1] + first[1:] + 1) / 2, np.diff(first)).reshape(flat.shape)
    ranks -= flat.shape[1] * np.arange(len(flat))[:, None]
    scores = np.empty(flat.shape)
    np.put_along_axis(scores, order, ndtri((ranks - 0.375) / (flat.shape[1] + 0.25)), axis=1)
    return scores.reshape(draws.shape)


def _spread_ratio(draws: np.ndarray) -> np.ndarray:
    """Standard deviation over all chains to that within chains."""
    n = draws.shape[2]
    between, within = n * draws.mean(axis=2).var(axis=1, ddof=1), draws.var(axis=2, ddof=1).mean(axis=1)
    return np.sqrt((between / within + n - 1) / n)


def _ess(draws: np.ndarray) -> np.ndarray:
    """Draws over the autocorrelation time, by Geyer's initial monotone sequence; all draws where they are constant."""
    _, chains, n = draws.shape
    centred = draws - draws.mean(axis=2, keepdims=True)
    length = 1 << (2 * n - 1).bit_length()
    power = (np.abs(np.fft.rfft(centred, length)) ** 2).mean(axis=1)
    autocovariance = np.fft.irfft(power, length)[:, :n] / n  # mean of the chains
    within = autocovariance[:, :1] * n / (n - 1)
    total = autocovariance[:, :1] + (draws.mean(axis=2).var(axis=1, ddof=1)[:, None] if chains > 1 else 0)
    correlation = 1 - (within - autocovariance) / total
    correlation[:, 0] = 1
    even = correlation[:, 0 : n - n % 2 : 2]
    pairs = even + correlation[:, 1::2]
    last = max(0, (n - 3) // 2)
    stops = pairs[:, : last + 1] <= 0
    end = np.where(stops.any(axis=1), stops.argmax(axis=1), last)  # the first pair that is left out
    summed = np.where(np.arange(pairs.shape[1]) < end[:, None], np.minimum.accumulate(pairs, axis=1), 0).sum(axis=1)
    row = np.arange(len(draws))
    rest = np.where((pairs[row, end] >= 0) | (even[row, end] > 0), even[row, end], 0)
    time = np.maximum(2 * summed + rest - 1, 1 / np.log10(chains * n))
    is_constant = np.ptp(draws, axis=(1, 2)) < np.finfo(float).resolution
    return np.where(is_constant, chains * n, chains * n / time)
