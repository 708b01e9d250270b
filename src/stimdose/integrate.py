"""The normal likelihood with every Gaussian part integrated out, its gradient, and exact draws of what was integrated.

    y = X beta + Z u + e      beta_j ~ N(mean_j, sd_j^2)      u_s ~ N(0, diag(spread^2)) for each study s      e ~ N(0, diag(v) +
    within I)

A column of X (rows, p) whose coefficient is known, or sampled elsewhere, has sd 0. Z is a choice of columns of X (`slopes`, -1
for a column of ones). The work is done in the standardised form y - X mean = H b + Z u + e with H = X sd, Z = Z spread, b and u
standard normal, v including `within`. With B = diag(v) + blockdiag(Z_s Z_s'), the covariance is K = B + H H'. B is inverted
study by study (q x q systems) and K by Woodbury's identity (one p x p system): O(rows p^2) time, O(rows p) memory, never a rows
x rows matrix. Gradients follow from d log N / dK = (alpha alpha' - K^-1) / 2 with alpha = K^-1 y. Rows are sorted by study;
start (studies + 1,) marks where each begins.
"""

import numba
import numpy as np

LOG_2PI = float(np.log(2 * np.pi))


@numba.njit(cache=True)
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


@numba.njit(cache=True)
def solve_lower(L, b):
    x = b.copy()
    for i in range(len(x)):
        for k in range(i):
            x[i] -= L[i, k] * x[k]
        x[i] /= L[i, i]
    return x


@numba.njit(cache=True)
def solve_upper(L, b):
    """Solve L' x = b."""
    x = b.copy()
    for i in range(len(x) - 1, -1, -1):
        for k in range(i + 1, len(x)):
            x[i] -= L[k, i] * x[k]
        x[i] /= L[i, i]
    return x


@numba.njit(cache=True)
def inverse(L):
    """Inverse of L L'."""
    n = L.shape[0]
    X = np.zeros((n, n))
    for j in range(n):
        e = np.zeros(n)
        e[j] = 1.0
        X[:, j] = solve_upper(L, solve_lower(L, e))
    return X


@numba.njit(cache=True)
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
    for j in range(q):
        logdet += 2 * np.log(L[j, j])
    return inverse(L), logdet


@numba.njit(cache=True)
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


@numba.njit(cache=True)
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


@numba.njit(cache=True)
def log_density(y, H, Z, v, start):
    """log N(y; 0, K), standardised form, and its gradients with respect to y (rows,), H (rows, p), Z (rows, q) and v (rows,)."""
    n, p = H.shape
    q = Z.shape[1]
    BR, C_inverses, logdet, L, mean = factor(y, H, Z, v, start)
    A_inverse = inverse(L)
    residual, solved, square = np.empty((n, 1)), np.empty((n, 1)), np.zeros((1, 1))
    for i in range(n):
        residual[i, 0] = y[i]
        for j in range(p):
            residual[i, 0] -= H[i, j] * mean[j]
    # H'alpha is the mean of b and Z_s'alpha that of u_s: taken as such, because sums of 1/v terms lose their digits
    u_means = np.empty((len(start) - 1, q))
    for s in range(len(start) - 1):
        u_means[s] = solve_study(residual, Z, v, C_inverses[s], start[s], start[s + 1], solved, square)[:, 0]
    quadratic = square[0, 0] + mean @ mean
    alpha = solved[:, 0].copy()
    for j in range(p):
        logdet += 2 * np.log(L[j, j])

    dH, dZ, dv = np.empty((n, p)), np.empty((n, q)), np.empty(n)
    KH = np.zeros((n, p))
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
                BZ = 0.0
                for k in range(q):
                    BZ += Z[i, k] * C_inverses[s, k, j]
                BZ /= v[i]
                diagonal -= BZ * Z[i, j] / v[i]
                KZ = BZ
                for k in range(p):
                    KZ -= KH[i, k] * BHZ[k, j]
                dZ[i, j] = alpha[i] * u_means[s, j] - KZ
            for k in range(p):
                diagonal -= KH[i, k] * BR[i, k]
            dv[i] = 0.5 * (alpha[i] ** 2 - diagonal)
    return -0.5 * (quadratic + logdet + n * LOG_2PI), -alpha, dH, dZ, dv


@numba.njit(cache=True)
def standardise(y, X, mean, sd, spread, slopes, variance, within):
    """y - X mean, H, Z and v of the standardised form."""
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
    return residual, H, Z, variance + within


@numba.njit(cache=True)
def log_marginal(y, fixed, moving, mean, sd, spread, slopes, variance, within, start):
    """log p(y) with beta and u integrated out, X = [fixed, moving], and its gradients.

    y, variance (rows,); fixed (rows, p1), moving (rows, p2); mean, sd (p1 + p2,); spread, slopes (q,); within a variance; start
    (studies + 1,). Gradients with respect to y, moving, mean, sd, spread and within.
    """
    n, p1 = fixed.shape
    p2, q = moving.shape[1], len(slopes)
    p = p1 + p2
    X = np.empty((n, p))
    X[:, :p1] = fixed
    X[:, p1:] = moving
    residual, H, Z, v = standardise(y, X, mean, sd, spread, slopes, variance, within)
    logp, dresidual, dH, dZ, dv = log_density(residual, H, Z, v, start)
    dmoving, dmean, dsd, dspread, dwithin = np.empty((n, p2)), np.zeros(p), np.zeros(p), np.zeros(q), 0.0
    for i in range(n):
        dwithin += dv[i]
        for j in range(p):
            dmean[j] -= dresidual[i] * X[i, j]
            dsd[j] += dH[i, j] * X[i, j]
        for j in range(p2):
            dmoving[i, j] = dH[i, p1 + j] * sd[p1 + j] - dresidual[i] * mean[p1 + j]
        for k in range(q):
            dspread[k] += dZ[i, k] * (1.0 if slopes[k] < 0 else X[i, slopes[k]])
            if slopes[k] >= p1:
                dmoving[i, slopes[k] - p1] += dZ[i, k] * spread[k]
    return logp, dresidual, dmoving, dmean, dsd, dspread, dwithin


@numba.njit(cache=True)
def draw(y, X, mean, sd, spread, slopes, variance, within, start, normal_b, normal_u):
    """Draw beta | y and u | beta, y from their exact conditionals, for every posterior draw.

    y, variance (rows,); X (draws, rows, p); mean, sd (draws, p); spread (draws, q); within (draws,); normal_b (draws, p) and
    normal_u (draws, studies, q) standard normals. Returns beta (draws, p), u (draws, studies, q) in effect units, and log p(y_s
    | beta) (draws, studies), each study's u integrated out.
    """
    draws, n, p = X.shape
    q, studies = len(slopes), len(start) - 1
    beta, u, log_likelihood = np.empty((draws, p)), np.empty((draws, studies, q)), np.empty((draws, studies))
    for d in range(draws):
        residual, H, Z, v = standardise(y, X[d], mean[d], sd[d], spread[d], slopes, variance, within[d])
        _, _, _, L, b_mean = factor(residual, H, Z, v, start)
        b = b_mean + solve_upper(L, normal_b[d])
        beta[d] = mean[d] + sd[d] * b
        R, solved = np.empty((n, 1)), np.empty((n, 1))
        for i in range(n):
            R[i, 0] = residual[i]
            for j in range(p):
                R[i, 0] -= H[i, j] * b[j]
        for s in range(studies):
            first, last = start[s], start[s + 1]
            C_inverse, logdet_s = study_solver(Z, v, first, last)
            square = np.zeros((1, 1))
            u_mean = solve_study(R, Z, v, C_inverse, first, last, solved, square)[:, 0]
            u[d, s] = spread[d] * (u_mean + cholesky(C_inverse) @ normal_u[d, s])
            log_likelihood[d, s] = -0.5 * (square[0, 0] + logdet_s + (last - first) * LOG_2PI)
    return beta, u, log_likelihood
