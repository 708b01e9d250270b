"""Study effects of several outcomes, or of other levels of a column, which correlate: u_s ~ N(0, D R D).

D holds the standard deviations of the K levels, and R one correlation rho of every two (HCS of metafor; of two levels no restriction):

    R = (1 - rho) I + rho J        R^(1/2) = own I + shared J

so that u_s = D R^(1/2) z with K independent standard normals z, and no level comes first. A row of level k has D_k R^(1/2)[k] in the
K columns of Z. The formulas are written for floats, NumPy, PyTensor and numba.
"""

import numpy as np


def lowest_correlation(levels: int) -> float:
    """R is positive definite for correlations above this."""
    return -1 / (levels - 1)


def half(correlation, levels):
    """own and shared of R^(1/2)."""
    own = (1 - correlation) ** 0.5
    return own, ((1 + (levels - 1) * correlation) ** 0.5 - own) / levels


def half_slopes(correlation, levels):
    """Derivatives of `half` with respect to the correlation."""
    own = -0.5 * (1 - correlation) ** -0.5
    return own, (0.5 * (levels - 1) * (1 + (levels - 1) * correlation) ** -0.5 - own) / levels


def columns(spread, level: np.ndarray, correlation, levels: int) -> list:
    """The columns (..., points) of Z, one for each of z, at points of some levels (points,); spread (..., points), correlation (...)."""
    own, shared = half(correlation[..., None], levels)
    return [spread * (own * (level == k) + shared) for k in range(levels)]


def effects(normals, spreads, correlation):
    """u (..., studies, levels) of z (..., studies, levels); spreads (..., levels), correlation (...)."""
    own, shared = half(correlation[..., None, None], normals.shape[-1])
    return spreads[..., None, :] * (own * normals + shared * normals.sum(axis=-1)[..., None])
