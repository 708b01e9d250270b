"""Sampling errors, correlated within a study or not, and the gradients with respect to their variances.

V_ij = C_ij sqrt(variance_i variance_j) within a study. C_s, the correlation matrix of study s, lies row by row in the flat vector
`correlation` at block[s] to block[s + 1], block (studies + 1,); an empty range is the identity: rows that are independent given
the study. A block of m rows costs O(m^3).

`within` (rows,) is a variance of each row beside that, or empty: none. A row without a sampling error (a participant) has that alone.
"""

import numpy as np

from .algebra import CHUNK, add, compiled, dot, fill


@compiled
def with_block(block):
    """The studies whose rows are not independent."""
    found, count = np.empty(len(block), np.int64), 0
    for s in range(len(block) - 1 if block[-1] > block[0] else 0):
        if block[s + 1] > block[s]:
            found[count] = s
            count += 1
    return found[:count]


@compiled
def block_of(values, s, start, block):
    """View (m, m) of the block of study s in a flat vector; (0, 0) if it has none."""
    m = start[s + 1] - start[s] if block[s + 1] > block[s] else 0
    return values[block[s] : block[s + 1]].reshape(m, m)


@compiled
def decorrelate(variance, within, start, correlation, block):
    """L, stored as `correlation` is, and v (rows,) of V + diag(within) = L diag(v) L', L unit lower triangular; NaN where that is not
    positive definite."""
    extra = within if len(within) else np.zeros(len(variance))
    L, v = correlation.copy(), variance + extra
    for s in with_block(block):
        L_s, first = block_of(L, s, start, block), start[s]
        for i in range(len(L_s)):
            v[first + i] = L_s[i, i] * variance[first + i] + extra[first + i]
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
    V + diag(within); `dvariance` (m,) takes the one with respect to the variances, 0 where a variance is."""
    m = len(gradient)
    for _ in range(2):  # L'^-1 gradient L^-1, by rows
        for i in range(m):
            solve_block_transposed(L, gradient[i])
        for i in range(m):
            for k in range(i):
                gradient[i, k], gradient[k, i] = gradient[k, i], gradient[i, k]
    for i in range(m):
        dvariance[i] = 0.0
        for k in range(m if variance[i] > 0 else 0):
            dvariance[i] += gradient[i, k] * C[i, k] * np.sqrt(variance[k] / variance[i])


@compiled
def block_gradients(F, alpha, T, Z, C_inverse, root, s, L, variance, start, correlation, block, dvariance, dwithin):
    """`variance_gradients` of a study whose errors are correlated: replaces its part of `dvariance` and `dwithin`."""
    first, last = start[s], start[s + 1]
    p, q, m = len(T), len(Z), last - first
    gradient, part = np.empty((m, m)), np.zeros((p, m))
    for j in range(p):
        for k in range(j + 1):
            add(T[j, k], F[k, first:last], part[j])
    for i in range(m):
        for n in range(m):
            rest = 1.0 if i == n else 0.0  # W^-1/2 K^-1 W^-1/2
            for j in range(p):
                rest -= part[j, i] * part[j, n]
            for k in range(q):
                for l in range(q):
                    rest -= root[first + i] * Z[k, first + i] * C_inverse[k, l, s] * Z[l, first + n] * root[first + n]
            gradient[i, n] = 0.5 * (alpha[first + i] * alpha[first + n] - root[first + i] * rest * root[first + n])
    correlated = block_of(L, s, start, block), block_of(correlation, s, start, block)
    error_gradients(gradient, *correlated, variance[first:last], dvariance[first:last])
    for i in range(m):
        dwithin[first + i] = gradient[i, i]


@compiled
def variance_gradients(F, alpha, T, Z, C_inverse, root, study, L, variance, start, correlation, block):
    """Gradients with respect to variance and within (rows,); D A^-1 D = T'T, everything else in standardised form.

    The diagonal of K^-1 is W (1 - W^1/2 Z C^-1 Z'W^1/2 - F'D A^-1 D F).
    """
    n, p, q = len(root), len(T), len(Z)
    rest, part = np.ones(n), np.empty(CHUNK)
    for k in range(q):
        for m in range(q):
            for i in range(n):
                rest[i] -= root[i] ** 2 * Z[k, i] * Z[m, i] * C_inverse[k, m, study[i]]
    for a in range(0, n, CHUNK):
        b = min(a + CHUNK, n)
        for j in range(p):
            fill(0.0, part)
            for k in range(j + 1):
                add(T[j, k], F[k, a:b], part[: b - a])
            for i in range(a, b):
                rest[i] -= part[i - a] ** 2
    dvariance = rest
    for i in range(n):
        dvariance[i] = 0.5 * (alpha[i] ** 2 - root[i] ** 2 * rest[i])
    dwithin = dvariance.copy()
    for s in with_block(block):
        block_gradients(F, alpha, T, Z, C_inverse, root, s, L, variance, start, correlation, block, dvariance, dwithin)
    return dvariance, dwithin
