"""The normal likelihood with every Gaussian part integrated out, its gradient, and exact draws of what was integrated.

    y = X beta + Z u + w + e      beta_j ~ N(mean_j, sd_j^2)      u_s ~ N(0, diag(spread^2)) for each study s
                                  w ~ N(0, within I)              e_s ~ N(0, V_s), V_ij = C_ij sqrt(variance_i variance_j)

A column of X (rows, p) whose coefficient is known, or sampled elsewhere, has sd 0. Z is a choice of columns of X (`slopes`, -1
for a column of ones). Rows are sorted by study; start (studies + 1,) marks where each begins. C_s, the correlation matrix of the
sampling errors of study s, lies row by row in the flat vector `correlation` at block[s] to block[s + 1], block (studies + 1,);
an empty range is the identity: rows that are independent given the study.

The work is done in the standardised form L^-1 (y - X mean) = H b + Z u + error, b and u standard normal, the errors independent
with variances v: V + within I = L diag(v) L' with L unit lower triangular, block by block, H = L^-1 X sd, Z = L^-1 Z spread. As
|L| = 1, densities of y and of L^-1 y are the same. With B = diag(v) + blockdiag(Z_s Z_s'), the covariance is K = B + H H'. B is
inverted study by study (q x q systems) and K by Woodbury's identity (one p x p system): O(rows p^2) time, O(rows p) memory,
never a rows x rows matrix, and O(m^3) for a block of m rows. Gradients follow from d log N / dK = (alpha alpha' - K^-1) / 2 with
alpha = K^-1 y.
"""

import numba
import numpy as np

LOG_2PI = float(np.log(2 * np.pi))

compiled = numba.njit(cache=True, error_model="numpy")
"""Division by zero gives inf or NaN and no error, so that a sampler sees a divergence."""


@compiled
def cholesky(A):
    """Lower Cholesky factor; NaN, and no error, where A is not positive definite, so that a sampler sees a divergence."""
    n = A.shape[0]
    L = np.zeros((n, n))
    for i in range(n):
        for j in range(i + 1):
            total = A[i, j]
            for k in range(j):
                total -= L[i, k] * L[j, k]
            if i == j:
                L[i, i] = np.sqrt(total) if total > 0 else np.nan
            else:
                L[i, j] = total / L[j, j]
    return L


@compiled
def solve_lower(L, b):
    x = b.copy()
    for i in range(len(x)):
        for k in range(i):
            x[i] -= L[i, k] * x[k]
        x[i] /= L[i, i]
    return x


@compiled
def solve_upper(L, b):
    """Solve L' x = b."""
    x = b.copy()
    for i in range(len(x) - 1, -1, -1):
        for k in range(i + 1, len(x)):
            x[i] -= L[k, i] * x[k]
        x[i] /= L[i, i]
    return x


@compiled
def inverse(L):
    """Inverse of L L'."""
    n = L.shape[0]
    X, identity = np.empty((n, n)), np.eye(n)
    for j in range(n):
        X[:, j] = solve_upper(L, solve_lower(L, identity[j]))
    return X


@compiled
def with_block(block):
    """The studies whose rows are not independent."""
    return np.flatnonzero(block[1:] > block[:-1])


@compiled
def block_of(values, s, start, block):
    """View (m, m) of the block of study s in a flat vector; (0, 0) if it has none."""
    m = start[s + 1] - start[s] if block[s + 1] > block[s] else 0
    return values[block[s] : block[s + 1]].reshape(m, m)


@compiled
def decorrelate(variance, within, start, correlation, block):
    """L, stored as `correlation` is, and v (rows,) of V + within I = L diag(v) L'; NaN where that is not positive definite."""
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
def solve_block(L, X):
    """X (m, columns) becomes L^-1 X; L unit lower triangular."""
    for i in range(len(L)):
        for j in range(i):
            for k in range(X.shape[1]):
                X[i, k] -= L[i, j] * X[j, k]


@compiled
def solve_block_transposed(L, X):
    """X (m, columns) becomes L'^-1 X."""
    for i in range(len(L) - 1, -1, -1):
        for j in range(i):
            for k in range(X.shape[1]):
                X[j, k] -= L[i, j] * X[i, k]


@compiled
def study_solver(Z, v, first, last):
    """C^-1 = (I + Z'V^-1 Z)^-1 of one study, and log |B_s|."""
    q = Z.shape[1]
    C = np.eye(q)
    logdet = 0.0
    for i in range(first, last):
        logdet += np.log(v[i])
        for j in range(q):
            for k in range(q):
                C[j, k] += Z[i, j] * Z[i, k] / v[i]
    if q == 1:
        logdet += np.log(C[0, 0])
        C[0, 0] = 1 / C[0, 0]
        return C, logdet
    L = cholesky(C)
    logdet += 2 * np.log(np.diag(L)).sum()
    return inverse(L), logdet


@compiled
def solve_study(R, Z, v, C_inverse, first, last, out, gram):
    """Of one study, write B_s^-1 R = V^-1 (R - Z G) to `out` and add R'B_s^-1 R to `gram` (lower triangle); G = C^-1 Z'V^-1 R.

    R (rows, columns). R'B_s^-1 R is formed as (R - Z G)'V^-1 (R - Z G) + G'G: rounding in G enters squared, so that tiny
    variances do no harm. Returns G, the mean of the study's effects for each column.
    """
    q, columns = Z.shape[1], R.shape[1]
    ZR = np.zeros((q, columns))
    for i in range(first, last):
        for j in range(q):
            weight = Z[i, j] / v[i]
            for k in range(columns):
                ZR[j, k] += weight * R[i, k]
    G = np.zeros((q, columns))
    for j in range(q):
        for m in range(q):
            for k in range(columns):
                G[j, k] += C_inverse[j, m] * ZR[m, k]
    for i in range(first, last):
        for k in range(columns):
            rest = R[i, k]
            for j in range(q):
                rest -= Z[i, j] * G[j, k]
            out[i, k] = rest / v[i]
        for k in range(columns):
            for m in range(k + 1):
                gram[k, m] += out[i, k] * out[i, m] * v[i]
    for j in range(q):
        for k in range(columns):
            for m in range(k + 1):
                gram[k, m] += G[j, k] * G[j, m]
    return G


@compiled
def factor(y, H, Z, v, start):
    """B^-1 [H, y], the C^-1 of every study, log |B|, the Cholesky factor of A = I + H'B^-1 H, and the mean of b given y."""
    n, p = H.shape
    q, studies = Z.shape[1], len(start) - 1
    R = np.empty((n, p + 1))
    R[:, :p] = H
    R[:, p] = y
    BR, C_inverses, logdet, gram = np.empty((n, p + 1)), np.empty((studies, q, q)), 0.0, np.zeros((p + 1, p + 1))
    for s in range(studies):
        C_inverses[s], logdet_s = study_solver(Z, v, start[s], start[s + 1])
        logdet += logdet_s
        solve_study(R, Z, v, C_inverses[s], start[s], start[s + 1], BR, gram)
    L = cholesky(np.eye(p) + gram[:p, :p])
    mean = solve_upper(L, solve_lower(L, gram[p, :p]))
    return BR, C_inverses, logdet, L, mean


@compiled
def log_density(y, H, Z, v, start, block):
    """log N(y; 0, K), standardised form, and its gradients with respect to y (rows,), H (rows, p), Z (rows, q), v (rows,), and
    the covariance of the errors (flat, as `correlation`) of every study with a block."""
    n, p = H.shape
    q = Z.shape[1]
    BR, C_inverses, logdet, L, mean = factor(y, H, Z, v, start)
    A_inverse = inverse(L)
    residual, solved, square = (y - H @ mean).reshape(n, 1), np.empty((n, 1)), np.zeros((1, 1))
    # H'alpha is the mean of b and Z_s'alpha that of u_s: taken as such, because sums of 1/v terms lose their digits
    u_means = np.empty((len(start) - 1, q))
    for s in range(len(start) - 1):
        u_means[s] = solve_study(residual, Z, v, C_inverses[s], start[s], start[s + 1], solved, square)[:, 0]
    quadratic = square[0, 0] + mean @ mean
    alpha = solved[:, 0].copy()
    logdet += 2 * np.log(np.diag(L)).sum()

    dH, dZ, dv, dV = np.empty((n, p)), np.empty((n, q)), np.empty(n), np.empty(block[-1])
    KH, BZ = np.zeros((n, p)), np.zeros((n, q))
    for i in range(n):
        for j in range(p):
            for k in range(p):
                KH[i, j] += BR[i, k] * A_inverse[k, j]
            dH[i, j] = alpha[i] * mean[j] - KH[i, j]
    for s in range(len(start) - 1):
        BHZ = np.zeros((p, q))
        first, last = start[s], start[s + 1]
        for i in range(first, last):
            for j in range(q):
                for k in range(p):
                    BHZ[k, j] += BR[i, k] * Z[i, j]
        for i in range(first, last):
            diagonal = 1 / v[i]
            for j in range(q):
                # B_s^-1 Z_s = V^-1 Z C^-1, because V^-1 Z (I - C^-1 Z'V^-1 Z) = V^-1 Z C^-1
                for k in range(q):
                    BZ[i, j] += Z[i, k] * C_inverses[s, k, j]
                BZ[i, j] /= v[i]
                diagonal -= BZ[i, j] * Z[i, j] / v[i]
                KZ = BZ[i, j]
                for k in range(p):
                    KZ -= KH[i, k] * BHZ[k, j]
                dZ[i, j] = alpha[i] * u_means[s, j] - KZ
            for k in range(p):
                diagonal -= KH[i, k] * BR[i, k]
            dv[i] = 0.5 * (alpha[i] ** 2 - diagonal)
    for s in with_block(block):
        dV_s, first = block_of(dV, s, start, block), start[s]
        for i in range(len(dV_s)):
            dV_s[i, i] = dv[first + i]
            for k in range(i):
                K_inverse = 0.0
                for j in range(q):
                    K_inverse -= BZ[first + i, j] * Z[first + k, j] / v[first + k]
                for j in range(p):
                    K_inverse -= KH[first + i, j] * BR[first + k, j]
                dV_s[i, k] = dV_s[k, i] = 0.5 * (alpha[first + i] * alpha[first + k] - K_inverse)
    return -0.5 * (quadratic + logdet + n * LOG_2PI), -alpha, dH, dZ, dv, dV


@compiled
def standardise(y, X, mean, sd, spread, slopes, variance, within, start, correlation, block):
    """L^-1 (y - X mean), H and Z of the standardised form, L and v."""
    n, p = X.shape
    q = len(slopes)
    residual, H, Z = np.empty(n), np.empty((n, p)), np.empty((n, q))
    for i in range(n):
        residual[i] = y[i]
        for j in range(p):
            residual[i] -= X[i, j] * mean[j]
            H[i, j] = X[i, j] * sd[j]
        for k in range(q):
            Z[i, k] = spread[k] * (1.0 if slopes[k] < 0 else X[i, slopes[k]])
    L, v = decorrelate(variance, within, start, correlation, block)
    for s in with_block(block):
        for columns in (residual.reshape(n, 1), H, Z):
            solve_block(block_of(L, s, start, block), columns[start[s] : start[s + 1]])
    return residual, H, Z, L, v


@compiled
def error_gradients(dv, dV, L, variance, start, correlation, block):
    """Gradients with respect to `variance` (rows,) and `within`, from those with respect to v and to the covariance of the
    standardised errors, which are overwritten."""
    dvariance = dv.copy()
    for s in with_block(block):
        L_s, C, first = block_of(L, s, start, block), block_of(correlation, s, start, block), start[s]
        G = block_of(dV, s, start, block)
        solve_block_transposed(L_s, G)
        G = np.ascontiguousarray(G.T)
        solve_block_transposed(L_s, G)
        for i in range(len(G)):
            dv[first + i] = G[i, i]
            dvariance[first + i] = 0.0
            for k in range(len(G)):
                dvariance[first + i] += G[i, k] * C[i, k] * np.sqrt(variance[first + k] / variance[first + i])
    return dvariance, dv.sum()


@compiled
def log_marginal(y, fixed, moving, mean, sd, spread, slopes, variance, within, start, correlation, block):
    """log p(y) with beta and u integrated out, X = [fixed, moving], and its gradients.

    y, variance (rows,); fixed (rows, p1), moving (rows, p2); mean, sd (p1 + p2,); spread, slopes (q,); within a variance; start,
    block (studies + 1,); correlation flat. Gradients with respect to y, moving, mean, sd, spread, variance and within.
    """
    n, p1 = fixed.shape
    p2, q = moving.shape[1], len(slopes)
    p = p1 + p2
    X = np.hstack((fixed, moving))
    residual, H, Z, L, v = standardise(y, X, mean, sd, spread, slopes, variance, within, start, correlation, block)
    logp, dresidual, dH, dZ, dv, dV = log_density(residual, H, Z, v, start, block)
    for s in with_block(block):
        for gradient in (dresidual.reshape(n, 1), dH, dZ):
            solve_block_transposed(block_of(L, s, start, block), gradient[start[s] : start[s + 1]])
    dvariance, dwithin = error_gradients(dv, dV, L, variance, start, correlation, block)
    dmoving, dmean, dsd, dspread = np.empty((n, p2)), np.zeros(p), np.zeros(p), np.zeros(q)
    for i in range(n):
        for j in range(p):
            dmean[j] -= dresidual[i] * X[i, j]
            dsd[j] += dH[i, j] * X[i, j]
        for j in range(p2):
            dmoving[i, j] = dH[i, p1 + j] * sd[p1 + j] - dresidual[i] * mean[p1 + j]
        for k in range(q):
            dspread[k] += dZ[i, k] * (1.0 if slopes[k] < 0 else X[i, slopes[k]])
            if slopes[k] >= p1:
                dmoving[i, slopes[k] - p1] += dZ[i, k] * spread[k]
    return logp, dresidual, dmoving, dmean, dsd, dspread, dvariance, dwithin


@compiled
def draw(y, X, mean, sd, spread, slopes, variance, within, start, correlation, block, normal_b, normal_u):
    """Draw beta | y and u | beta, y from their exact conditionals, for every posterior draw.

    y, variance (draws, rows), or (1, rows) if all draws share them; X (draws, rows, p); mean, sd (draws, p); spread (draws, q);
    within (draws,); normal_b (draws, p) and normal_u (draws, studies, q) standard normals. Returns beta (draws, p), u (draws,
    studies, q) in effect units, and log p(y_s | beta) (draws, studies), each study's u integrated out.
    """
    draws, n, p = X.shape
    q, studies = len(slopes), len(start) - 1
    beta, u, log_likelihood = np.empty((draws, p)), np.empty((draws, studies, q)), np.empty((draws, studies))
    for d in range(draws):
        own = (mean[d], sd[d], spread[d], slopes, variance[d % len(variance)], within[d])
        residual, H, Z, _, v = standardise(y[d % len(y)], X[d], *own, start, correlation, block)
        _, _, _, L, b_mean = factor(residual, H, Z, v, start)
        b = b_mean + solve_upper(L, normal_b[d])
        beta[d] = mean[d] + sd[d] * b
        R, solved = (residual - H @ b).reshape(n, 1), np.empty((n, 1))
        for s in range(studies):
            first, last = start[s], start[s + 1]
            C_inverse, logdet_s = study_solver(Z, v, first, last)
            square = np.zeros((1, 1))
            u_mean = solve_study(R, Z, v, C_inverse, first, last, solved, square)[:, 0]
            u[d, s] = spread[d] * (u_mean + cholesky(C_inverse) @ normal_u[d, s])
            log_likelihood[d, s] = -0.5 * (square[0, 0] + logdet_s + (last - first) * LOG_2PI)
    return beta, u, log_likelihood


@compiled
def sampling_errors(variance, within, start, correlation, block, normal):
    """Draws (draws, rows) of w + e ~ N(0, V + within I).

    variance (draws, rows), or (1, rows) if all draws share it; within (draws,); normal (draws, rows) standard normals.
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

    residual (draws, rows); the others as in `sampling_errors`.
    """
    deviations = np.empty(normal.shape)
    for d in range(len(normal)):
        t, variance_d = within[d], variance[d % len(variance)]
        share = t / (t + variance_d)
        deviations[d] = share * residual[d] + np.sqrt(share * variance_d) * normal[d]
        L, v = decorrelate(variance_d, t, start, correlation, block)
        root, root_v = decorrelate(variance_d, 0.0, start, correlation, block)
        for s in with_block(block):
            rows = slice(start[s], start[s + 1])
            L_s = block_of(L, s, start, block)
            mean = t * residual[d, rows].copy().reshape(-1, 1)
            solve_block(L_s, mean)
            mean[:, 0] /= v[rows]
            solve_block_transposed(L_s, mean)
            # t I - t^2 (t I + V)^-1 = t F (t I + F'F)^-1 F' with V = F F': nothing is subtracted
            F = block_of(root, s, start, block) * np.sqrt(root_v[rows])
            Q = cholesky(t * np.eye(len(F)) + F.T @ F)
            deviations[d, rows] = mean[:, 0] + np.sqrt(t) * (F @ solve_upper(Q, normal[d, rows]))
    return deviations


@compiled
def statistics_of(y, fixed, variance, start):
    return np.empty(0)


@compiled
def log_marginal_t(y, fixed, moving, mean, sd, spread, slopes, variance, within, start, correlation, block, statistics, by_row):
    logp, dy, dmoving, dmean, dsd, dspread, dvariance, dwithin = log_marginal(
        y,
        np.ascontiguousarray(fixed.T),
        np.ascontiguousarray(moving.T),
        mean,
        sd,
        spread,
        slopes,
        variance,
        within,
        start,
        correlation,
        block,
    )
    return logp, dy, np.ascontiguousarray(dmoving.T), dmean, dsd, dspread, dvariance, dwithin
