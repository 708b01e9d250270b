"""The normal likelihood with every Gaussian part integrated out, and its gradient.

    y = X beta + Z u + w + e      beta_j ~ N(mean_j, sd_j^2)      u_s ~ N(0, diag(spread^2)) for each study s
                                  w ~ N(0, diag(within))          e_s ~ N(0, V_s), see `blocks`

The first effect of a study may have a spread of its own, factor_s spread_1: its column of Z is then factor_s in place of ones.

X = [fixed, moving] is stored one line a column: fixed (p1, rows) are columns that no parameter moves, moving (p2, rows) the
others. A column whose coefficient is known, or sampled elsewhere, has sd 0. Z is a choice of columns of X (`slopes`, -1 for a
column of ones). Rows are sorted by study; start (studies + 1,) marks where each begins.

The covariance is K = B + X D^2 X', D = diag(sd), and B, which is block-diagonal by study. Every column c of X and the residual
r = y - X mean becomes a *line* F_c with F_c'F_d = c'B^-1 d, so that inner products with B^-1 are sums of squares: with sampling
variances 1e8 times smaller than the heterogeneity, differences would lose their digits. In `whiten` the line is

    F_c = [W^1/2 (c - Z G_c), G_c]      G_c = C^-1 Z'W c      C_s = I + Z_s'W Z_s      W = diag(1 / v)

(rows, then the q effects of every study), v the variances of the errors, decorrelated if they have a block. With A = I + D F F' D
and b = A^-1 D F F_r, the mean of standardised beta, f = F_r - sum_j sd_j b_j F_j carries all residuals: r'K^-1 r = f'f + b'b and
alpha = K^-1 r = W^1/2 f. Gradients follow from d log N / dK = (alpha alpha' - K^-1) / 2. Time is O(rows p^2), memory O(rows p).

If all studies have one effect of ones (q = 1) and y and the variances are constant, `whiten_static` takes the other root of B^-1,

    F_c = [W^1/2 (c - mean_s c), (w_s / C_s)^1/2 mean_s c]      w_s, mean_s: sum of weights and weighted mean of study s

of which the first part knows no parameter: for fixed columns and y it is computed once, by `statistics_of`.
"""

import numpy as np

from .algebra import (
    add,
    add_products,
    cholesky,
    compiled,
    copy,
    dot,
    fill,
    inlined,
    invert_each,
    log_product,
    lower_inverse,
    square,
)
from .blocks import decorrelate, push_back, standardise, variance_gradients

LOG_2PI = float(np.log(2 * np.pi))


@compiled
def study_of(start):
    """Study (rows,) of every row."""
    study = np.empty(start[-1], np.int64)
    for s in range(len(start) - 1):
        for i in range(start[s], start[s + 1]):
            study[i] = s
    return study


@compiled
def add_by_study(a, b, study, out):
    """Add sum of a * b over the rows of each study to `out` (studies,)."""
    for i in range(len(study)):
        out[study[i]] += a[i] * b[i]


@compiled
def whiten(lines, Z, root, spread, study):
    """Turn columns, in the rows of `lines` (columns, rows + q studies), into F; Z (q, rows) becomes Z spread. root = v^-1/2.

    Returns C^-1 (q, q, studies), |C| (studies,), and the gradient of sum log |C| / 2 with respect to spread (q,).
    """
    q, n = Z.shape
    studies = (lines.shape[1] - n) // q
    weighted, sums, P, C = np.empty((q, n)), np.empty((q, studies)), np.zeros((q, q, studies)), np.zeros((q, q, studies))
    for k in range(q):
        for i in range(n):
            weighted[k, i] = root[i] ** 2 * Z[k, i]
        C[k, k] = 1.0
        for m in range(q):
            add_by_study(weighted[k], Z[m], study, P[k, m])
            add(spread[k] * spread[m], P[k, m], C[k, m])
    determinant, dspread = invert_each(C), np.zeros(q)
    for k in range(q):
        for m in range(q):
            dspread[k] += spread[m] * dot(P[k, m], C[m, k])
        for i in range(n):
            weighted[k, i] *= spread[k]
            Z[k, i] *= spread[k]
    for line in lines:
        for k in range(q):
            fill(0.0, sums[k])
            add_by_study(weighted[k], line, study, sums[k])
        for k in range(q):
            effects = line[n + k * studies : n + (k + 1) * studies]
            fill(0.0, effects)
            for m in range(q):
                for s in range(studies):
                    effects[s] += C[k, m, s] * sums[m, s]
            for i in range(n):
                line[i] -= Z[k, i] * effects[study[i]]
        for i in range(n):
            line[i] *= root[i]
    return C, determinant, dspread


@compiled
def standardised(y, fixed, moving, mean, slopes, factor, variance, within, start, correlation, block):
    """Columns of X and, last, y - X mean, in the rows of lines (p + 1, rows + q studies) that `whiten` completes; Z (q, rows)
    unscaled; root weights (rows,); all decorrelated; and L of the blocks."""
    n, p1, p2, q, studies = len(y), len(fixed), len(moving), len(slopes), len(start) - 1
    p = p1 + p2
    lines, Z = np.empty((p + 1, n + q * studies)), np.ones((q, n))
    for s in range(len(factor)):
        fill(factor[s], Z[0, start[s] : start[s + 1]])
    for j in range(p):
        copy(fixed[j] if j < p1 else moving[j - p1], lines[j, :n])
    copy(y, lines[p, :n])
    for j in range(p):
        add(-mean[j], lines[j, :n], lines[p, :n])
    for k in range(q):
        if slopes[k] >= 0:
            copy(lines[slopes[k], :n], Z[k])
    L, v = decorrelate(variance, within, start, correlation, block)
    standardise(lines, L, start, block)
    standardise(Z, L, start, block)
    return lines, Z, 1 / np.sqrt(v), L


@compiled
def products(F, q, studies):
    """F F' and, of each effect of the studies alone, (q, p + 1, p + 1); lower triangles."""
    p, n = len(F) - 1, F.shape[1] - q * studies
    gram, effects = np.zeros((p + 1, p + 1)), np.zeros((q, p + 1, p + 1))
    add_products(F, 0, n, 0, gram)
    for k in range(q):
        add_products(F, n + k * studies, n + (k + 1) * studies, 0, effects[k])
        gram += effects[k]
    return gram, effects


@compiled
def solve(gram, sd):
    """T (p, p) with D A^-1 D = T'T, the Cholesky factor of A, b (p,), and log |A|, from the lower triangle of F F'."""
    p = len(sd)
    A, b, logdet = np.eye(p), np.zeros(p), 0.0
    for j in range(p):
        for k in range(j + 1):
            A[j, k] += sd[j] * gram[j, k] * sd[k]
    L = cholesky(A)
    root = lower_inverse(L)
    T = root * sd
    for j in range(p):
        add(dot(T[j, : j + 1], gram[p, : j + 1]), root[j, : j + 1], b[: j + 1])
        logdet += 2 * np.log(L[j, j])
    return T, L, b, logdet


@compiled
def centre(column, root, total, study, line):
    """Write W^1/2 (column - mean_s) and total^1/2 mean_s to `line` (rows + studies,); total (studies,): sum of weights root^2."""
    n = len(root)
    means = line[n:]
    fill(0.0, means)
    for i in range(n):
        means[study[i]] += root[i] ** 2 * column[i]
    for s in range(len(means)):
        means[s] /= total[s]
    for i in range(n):
        line[i] = root[i] * (column[i] - means[study[i]])
    for s in range(len(means)):
        means[s] *= np.sqrt(total[s])


@compiled
def statistics_of(y, fixed, variance, start):
    """What `log_marginal` need not compute again as long as y, fixed and variance stay, flat; see `sections` for what it holds."""
    p1, n = fixed.shape
    studies, study = len(start) - 1, study_of(start)
    statistics = np.empty(n + studies + (p1 + 1) * (n + studies + p1 + 1) + 1)
    root, total, lines, triangle = sections(statistics, p1, n, studies)
    root[:], total[:] = 1 / np.sqrt(variance), 0.0
    add_by_study(root, root, study, total)
    for j in range(p1):
        centre(fixed[j], root, total, study, lines[j])
    centre(y, root, total, study, lines[p1])
    rest = lines[:, :n].copy()
    triangle[:] = 0.0
    for j in range(p1 + 1):
        triangle[j, j] = np.sqrt(dot(rest[j], rest[j]))
        if triangle[j, j] > 0:
            rest[j] /= triangle[j, j]
        for k in range(j + 1, p1 + 1):
            triangle[k, j] = dot(rest[j], rest[k])
            add(-triangle[k, j], rest[j], rest[k])
    statistics[-1] = log_product(root)
    return statistics


@compiled
def sections(statistics, p1, n, studies):
    """Views of `statistics`: root weights (rows,), sums of weights (studies,), centred lines of fixed columns and y (p1 + 1, rows +
    studies), and the triangle (p1 + 1, p1 + 1) whose lines have the same inner products as the rows of those. The last number
    is the sum of log root."""
    a, b, c = n, n + studies, n + studies + (p1 + 1) * (n + studies)
    lines, triangle = statistics[b:c].reshape(p1 + 1, n + studies), statistics[c:-1].reshape(p1 + 1, p1 + 1)
    return statistics[:a], statistics[a:b], lines, triangle


@compiled
def whiten_static(moving, mean, spread, factor, study, statistics, p1, studies):
    """F (p + 1, m + studies), the residual last; F F' and, of the studies' effects alone, (1, p + 1, p + 1), lower triangles; |C|
    (studies,); the gradient of sum log |C| / 2 with respect to spread; root (rows,). By study, what turns the last part of a line
    into the study's effect, and into K^-1 (over root^2). m = rows, or p1 + 1 where no column moves and the triangle will do."""
    p2, n = moving.shape
    p = p1 + p2
    root, total, lines, triangle = sections(statistics, p1, n, studies)
    m = n if p2 else p1 + 1
    F, gram, effects = np.empty((p + 1, m + studies)), np.zeros((p + 1, p + 1)), np.zeros((1, p + 1, p + 1))
    for j in range(p1 + 1):
        line = F[j if j < p1 else p]
        copy(lines[j, :n] if p2 else triangle[j], line[:m])
        copy(lines[j, n:], line[m:])
    for j in range(p2):
        centre(moving[j], root, total, study, F[p1 + j])
    for j in range(p):
        add(-mean[j], F[j], F[p])
    for j in range(p1):
        for k in range(j + 1):
            gram[j, k] = dot(triangle[j], triangle[k])
    add_products(F, 0, m, p1, gram)
    relative = factor if len(factor) else np.ones(studies)
    own = spread[0] * relative
    determinant = 1 + own**2 * total
    shrink = 1 / np.sqrt(determinant)
    scale = own * np.sqrt(total) * shrink
    scaled = np.empty((p + 1, studies))
    for j in range(p + 1):
        for s in range(studies):
            F[j, m + s] *= shrink[s]
            scaled[j, s] = scale[s] * F[j, m + s]
    add_products(F, m, m + studies, 0, gram)
    add_products(scaled, 0, studies, 0, effects[0])
    dspread = np.array([spread[0] * (relative**2 * (total / determinant)).sum()])
    return F, gram, effects, determinant, dspread, root, scale, shrink / np.sqrt(total)


@compiled
def factor_gradient(F, T, scale, effect, C_inverse, factor):
    """Gradient with respect to factor (studies,): what study s adds to that with respect to log spread, over factor_s. C_inverse
    (studies,): that of the first effect."""
    p, studies = len(T), len(factor)
    first = F.shape[1] - len(scale)
    found, part = np.zeros(studies), np.empty(studies)
    for j in range(p):
        fill(0.0, part)
        for k in range(j + 1):
            add(T[j, k], F[k, first : first + studies], part)
        for s in range(studies):
            found[s] += (part[s] * scale[s]) ** 2
    for s in range(studies):
        found[s] = (effect[s] ** 2 + found[s] - (1 - C_inverse[s])) / factor[s]
    return found


@compiled
def add_slope_gradient(k, F, alpha, effect, M, Z, C_inverse, root, spread, study, dcolumn):
    """Add the gradient with respect to a moving column that is slope k, d Z = alpha effect' - K^-1 Z, to dcolumn (rows,)."""
    q, n = Z.shape
    p, studies = len(M), C_inverse.shape[2]
    dZ, shared = np.zeros(n), np.empty(studies)
    for m in range(q):
        for i in range(n):
            dZ[i] -= root[i] * Z[m, i] * C_inverse[m, k, study[i]]
    for j in range(p):
        fill(0.0, shared)
        for m in range(p):
            add(M[j, m], F[m, n + k * studies : n + (k + 1) * studies], shared)
        for i in range(n):
            dZ[i] += F[j, i] * shared[study[i]]
    for i in range(n):
        dcolumn[i] += spread[k] * (alpha[i] * effect[study[i]] + root[i] * dZ[i])


@compiled
def to_rows(line, root, study, back, out):
    """Write K^-1 c, from the line that f is for c = r, to `out` (rows,)."""
    n = len(root)
    for i in range(n):
        out[i] = root[i] * line[i]
    if len(back):
        for i in range(n):
            out[i] += root[i] ** 2 * back[study[i]] * line[n + study[i]]


@inlined
def log_marginal(
    y, fixed, moving, mean, sd, spread, slopes, factor, variance, within, start, correlation, block, statistics, by_row
):
    """log p(y) with beta and u integrated out, and its gradients with respect to y, moving, mean, sd, spread, factor, variance and
    within.

    y, variance (rows,); fixed (p1, rows); moving (p2, rows); mean, sd (p1 + p2,); spread, slopes (q,); factor (studies,) on the
    first spread, whose slope is -1, or empty: all 1; within (rows,) a variance of each row beside that of sampling, or empty:
    none; start, block (studies + 1,); correlation flat. `by_row`: whether gradients with respect to y and variance are wanted,
    else they are empty. `statistics`: empty, or `statistics_of(y, fixed, variance, start)` where there is no block, slopes =
    [-1], no within, and not by_row.
    """
    p1, p2, q, studies, study = len(fixed), len(moving), len(slopes), len(start) - 1, study_of(start)
    p = p1 + p2
    static = len(statistics) > 0
    if static:
        F, gram, effects, determinant, half, root, scale, back = whiten_static(
            moving, mean, spread, factor, study, statistics, p1, studies
        )
        Z, C_inverse, L, log_root = np.empty((0, 0)), np.empty((0, 0, 0)), correlation, statistics[-1]
    else:
        F, Z, root, L = standardised(y, fixed, moving, mean, slopes, factor, variance, within, start, correlation, block)
        C_inverse, determinant, half = whiten(F, Z, root, spread, study)
        gram, effects = products(F, q, studies)
        scale, back, log_root = np.ones(q * studies), np.empty(0), log_product(root)
    T, _, b, logdet = solve(gram, sd)
    M, f, n_effects = square(T), F[p], q * studies
    for j in range(p):
        add(-sd[j] * b[j], F[j], f)
    logdet += log_product(determinant) - 2 * log_root
    logp = -0.5 * (dot(f, f) + dot(b, b) + logdet + len(y) * LOG_2PI)

    dmean, dsd, dspread = np.empty(p), np.zeros(p), np.zeros(q)
    for j in range(p):
        dmean[j] = dot(F[j], f)
        if sd[j] != 0:
            dsd[j] = dmean[j] * b[j]
            for k in range(p):
                dsd[j] -= (gram[j, k] if k < j else gram[k, j]) * M[j, k] / sd[j]
    effect = f[len(f) - n_effects :] * scale
    for k in range(q):
        if spread[k] != 0:
            own = effect[k * studies : (k + 1) * studies]
            dspread[k] = dot(own, own)
            for j in range(p):
                for m in range(j + 1):
                    dspread[k] += (1 if m == j else 2) * M[j, m] * effects[k, j, m]
            dspread[k] = dspread[k] / spread[k] - half[k]

    dfactor = factor_gradient(F, T, scale, effect, 1 / determinant if static else C_inverse[0, 0], factor)
    dy, dvariance, dmoving, dwithin = np.empty(0), np.empty(0), np.empty((p2, len(y))), np.empty(0)
    if static and p2 == 0:
        return logp, dy, dmoving, dmean, dsd, dspread, dfactor, dvariance, dwithin
    alpha, line = np.empty(len(y)), np.empty(F.shape[1])
    to_rows(f, root, study, back, alpha)
    for j in range(p1, p):
        shift = mean[j] + sd[j] * b[j]
        if sd[j] == 0:
            fill(0.0, dmoving[j - p1])
            add(shift, alpha, dmoving[j - p1])
        else:
            fill(0.0, line)
            add(shift, f, line)
            for k in range(p):
                add(-M[j, k], F[k], line)
            to_rows(line, root, study, back, dmoving[j - p1])
    for k in range(q):
        if slopes[k] >= p1:
            own = effect[k * studies : (k + 1) * studies]
            add_slope_gradient(k, F, alpha, own, M, Z, C_inverse, root, spread, study, dmoving[slopes[k] - p1])
    if by_row or len(within):
        dvariance, dwithin = variance_gradients(F, alpha, T, Z, C_inverse, root, study, L, variance, start, correlation, block)
    if len(within) == 0:
        dwithin = np.empty(0)
    push_back(dmoving, L, start, block)
    if by_row:
        push_back(alpha.reshape(1, -1), L, start, block)
        return logp, -alpha, dmoving, dmean, dsd, dspread, dfactor, dvariance, dwithin
    return logp, dy, dmoving, dmean, dsd, dspread, dfactor, np.empty(0), dwithin
