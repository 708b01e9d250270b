"""Sampling errors that are correlated within a study: V = C_ij sqrt(variance_i variance_j), block by block.

C_s, the correlation matrix of study s, lies row by row in the flat vector `correlation` at block[s] to block[s + 1], block
(studies + 1,); an empty range is the identity: rows that are independent given the study. A block of m rows costs O(m^3).
"""

import numpy as np

from .algebra import compiled, dot


@compiled
def with_block(block):
    """The studies whose rows are not independent."""
    return np.flatnonzero(block[1:] > block[:-1]) if block[-1] > block[0] else np.empty(0, np.int64)


@compiled
def block_of(values, s, start, block):
    """View (m, m) of the block of study s in a flat vector; (0, 0) if it has none."""
    m = start[s + 1] - start[s] if block[s + 1] > block[s] else 0
    return values[block[s] : block[s + 1]].reshape(m, m)


@compiled
def decorrelate(variance, within, start, correlation, block):
    """L, stored as `correlation` is, and v (rows,) of V + within I = L diag(v) L', L unit lower triangular; NaN where that is not
    positive definite."""
    L, v = correlation.copy(), variance + within
    for s in with_block(block):
        L_s, first = block_of(L, s, start, block), start[s]
        for i in range(len(L_s)):
            v[first + i] = L_s[i, i] * variance[first + i] + within
            for j in range(i):
                total = L_s[i, j] * np.sqrt(variance[first + i]) * np.sqrt(variance[first + j])
                for k in range(j):
                    total -= L_s[i, k] * L_s[j, k] * v[first + k]
                L_s[i, j] = total / v[first + j]
                v[first + i] -= L_s[i, j] * total
                L_s[j, i] = 0.0
            L_s[i, i] = 1.0
            if not v[first + i] > 0:
                v[first + i] = np.nan
    return L, v


@compiled
def solve_block(L, x):
    """x (m,) becomes L^-1 x; L unit lower triangular."""
    for i in range(len(x)):
        x[i] -= dot(L[i, :i], x[:i])


@compiled
def solve_block_transposed(L, x):
    """x (m,) becomes L'^-1 x."""
    for i in range(len(x) - 1, -1, -1):
        for j in range(i):
            x[j] -= L[i, j] * x[i]


@compiled
def standardise(lines, L, start, block):
    """Every line (rows,) of `lines` becomes L^-1 line; lines may be longer than there are rows."""
    for s in with_block(block):
        for line in lines:
            solve_block(block_of(L, s, start, block), line[start[s] : start[s + 1]])


@compiled
def push_back(lines, L, start, block):
    """Gradients with respect to standardised lines become those with respect to the lines: L'^-1 line."""
    for s in with_block(block):
        for line in lines:
            solve_block_transposed(block_of(L, s, start, block), line[start[s] : start[s + 1]])


@compiled
def error_gradients(gradient, L, C, variance, dvariance):
    """Of one block: `gradient` (m, m), with respect to the covariance of the standardised errors, becomes that with respect to
    V + within I; `dvariance` (m,) takes the one with respect to the variances."""
    m = len(gradient)
    for _ in range(2):  # L'^-1 gradient L^-1, by rows
        for i in range(m):
            solve_block_transposed(L, gradient[i])
        gradient[:] = gradient.T.copy()
    for i in range(m):
        dvariance[i] = 0.0
        for k in range(m):
            dvariance[i] += gradient[i, k] * C[i, k] * np.sqrt(variance[k] / variance[i])
