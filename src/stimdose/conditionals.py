"""Exact draws of what `integrate` integrates out, from their conditional normals (numba)."""

import numpy as np

from .algebra import add, cholesky, cholesky_each, compiled, log_product, solve_upper
from .blocks import block_of, decorrelate, solve_block, solve_block_transposed, with_block
from .integrate import LOG_2PI, products, solve, standardised, study_of, whiten


@compiled
def draw(y, X, mean, sd, spread, slopes, factor, variance, within, start, correlation, block, normal_b, normal_u):
    """Draw beta | y and u | beta, y from their exact conditionals, for every posterior draw.

    y, variance (draws, rows), or (1, rows) if all draws share them; X (draws, rows, p); mean, sd (draws, p); spread (draws, q);
    factor (draws, studies) on the first spread, or (draws, 0): all 1; within (draws, rows) or (draws, 0); normal_b (draws, p) and
    normal_u (draws, studies, q) standard normals. Returns beta (draws, p), u (draws, studies, q) in effect units, and log p(y_s |
    beta) (draws, studies), each study's u integrated out.
    """
    draws, n, p = X.shape
    q, studies, study, none = len(slopes), len(start) - 1, study_of(start), np.empty((0, n))
    beta, u, log_likelihood = np.empty((draws, p)), np.empty((draws, studies, q)), np.empty((draws, studies))
    for d in range(draws):
        own = (mean[d], slopes, factor[d], variance[d % len(variance)], within[d], start, correlation, block)
        F, Z, root, _ = standardised(y[d % len(y)], np.ascontiguousarray(X[d].T), none, *own)
        C_inverse, determinant, _ = whiten(F, Z, root, spread[d], study)
        _, L, b, _ = solve(products(F, q, studies)[0], sd[d])
        b += solve_upper(L, normal_b[d])
        beta[d] = mean[d] + sd[d] * b
        f = F[p]
        for j in range(p):
            add(-sd[d, j] * b[j], F[j], f)
        cholesky_each(C_inverse)
        for s in range(studies):
            first, last = start[s], start[s + 1]
            square = 0.0
            for i in range(first, last):
                square += f[i] ** 2
            for k in range(q):
                effect = f[n + k * studies + s]
                square += effect**2
                for m in range(k + 1):
                    effect += C_inverse[k, m, s] * normal_u[d, s, m]
                u[d, s, k] = spread[d, k] * effect
            if factor.shape[1]:
                u[d, s, 0] *= factor[d, s]
            logdet = np.log(determinant[s]) - 2 * log_product(root[first:last])
            log_likelihood[d, s] = -0.5 * (square + logdet + (last - first) * LOG_2PI)
    return beta, u, log_likelihood


@compiled
def sampling_errors(variance, within, start, correlation, block, normal):
    """Draws (draws, rows) of w + e ~ N(0, V + diag(within)).

    variance (draws, rows), or (1, rows) if all draws share it; within (draws, rows) or (draws, 0); normal (draws, rows) standard
    normals.
    """
    errors = np.empty(normal.shape)
    for d in range(len(normal)):
        L, v = decorrelate(variance[d % len(variance)], within[d], start, correlation, block)
        errors[d] = np.sqrt(v) * normal[d]
        for s in with_block(block):
            own = errors[d, start[s] : start[s + 1]]
            own[:] = block_of(L, s, start, block) @ own
    return errors


@compiled
def within_deviations(residual, variance, within, start, correlation, block, normal):
    """Draws (draws, rows) of w given residual = w + e, w ~ N(0, within I) and e ~ N(0, V), from their exact conditional.

    residual (draws, rows); within (draws,); the others as in `sampling_errors`.
    """
    deviations, none = np.empty(normal.shape), np.empty(0)
    for d in range(len(normal)):
        t, variance_d = within[d], variance[d % len(variance)]
        share = t / (t + variance_d)
        deviations[d] = share * residual[d] + np.sqrt(share * variance_d) * normal[d]
        L, v = decorrelate(variance_d, np.full(len(variance_d), t), start, correlation, block)
        root, root_v = decorrelate(variance_d, none, start, correlation, block)
        for s in with_block(block):
            rows = slice(start[s], start[s + 1])
            L_s = block_of(L, s, start, block)
            mean = t * residual[d, rows]
            solve_block(L_s, mean)
            mean /= v[rows]
            solve_block_transposed(L_s, mean)
            # t I - t^2 (t I + V)^-1 = t F (t I + F'F)^-1 F' with V = F F': nothing is subtracted
            F = block_of(root, s, start, block) * np.sqrt(root_v[rows])
            Q = cholesky(t * np.eye(len(F)) + F.T @ F)
            deviations[d, rows] = mean + np.sqrt(t) * (F @ solve_upper(Q, normal[d, rows]))
    return deviations
