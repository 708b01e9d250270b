"""Small linear algebra for numba: dot products over contiguous lines, Cholesky factors, logarithms of products."""

import numba
import numpy as np

from .machine import kept

compiled = kept(numba.njit(cache=True, error_model="numpy", fastmath={"reassoc", "contract"}))
"""Division by zero gives inf or NaN and no error, so that a sampler sees a divergence. Sums may be reordered, so that they are
vectorised; NaN and inf keep their meaning."""

inlined = kept(numba.njit(cache=True, error_model="numpy", fastmath={"reassoc", "contract"}, inline="always"))
"""For large functions with one caller: they are compiled as a part of it, and not once by themselves and again in it."""

CHUNK = 512
"""Numbers of a line that are worked on at once, so that a chunk of every line stays in the cache."""


@compiled
def dot(a, b):
    total = 0.0
    for i in range(len(a)):
        total += a[i] * b[i]
    return total


@compiled
def copy(a, out):
    """out[:] = a, which numba does not vectorise."""
    for i in range(len(out)):
        out[i] = a[i]


@compiled
def fill(value, out):
    for i in range(len(out)):
        out[i] = value


@compiled
def add(weight, a, out):
    """Add weight * a to `out`; many weights are 0: prior means, known coefficients, groups that share no study."""
    if weight != 0:
        for i in range(len(out)):
            out[i] += weight * a[i]


@compiled
def add_products(lines, first, last, begin, gram):
    """Add inner products of lines j >= `begin` with lines k <= j, over positions first to last, to the lower triangle `gram`."""
    for a in range(first, last, CHUNK):
        b = min(a + CHUNK, last)
        for j in range(begin, len(gram)):
            own = lines[j, a:b]
            for k in range(j + 1):
                gram[j, k] += dot(own, lines[k, a:b])


@compiled
def log_product(values):
    """Sum of logarithms, with few logarithms; NaN where a value is negative."""
    total, product = 0.0, 1.0
    for value in values:
        product *= value
        if not 1e-100 < product < 1e100:
            total += np.log(product)
            product = 1.0
    return total + np.log(product)


@compiled
def cholesky(A):
    """Lower Cholesky factor; NaN, and no error, where A is not positive definite, so that a sampler sees a divergence."""
    n = len(A)
    L = np.zeros((n, n))
    for i in range(n):
        for j in range(i):
            L[i, j] = (A[i, j] - dot(L[i, :j], L[j, :j])) / L[j, j]
        rest = A[i, i] - dot(L[i, :i], L[i, :i])
        L[i, i] = np.sqrt(rest) if rest > 0 else np.nan
    return L


@compiled
def lower_inverse(L):
    """Inverse of a lower triangular matrix."""
    n = len(L)
    inverse = np.zeros((n, n))
    for i in range(n):
        row = inverse[i, : i + 1]
        row[i] = 1.0
        for k in range(i):
            add(-L[i, k], inverse[k, : k + 1], row[: k + 1])
        for k in range(i + 1):
            row[k] /= L[i, i]
    return inverse


@compiled
def square(L):
    """L'L (n, n) of a lower triangular L."""
    n = len(L)
    found = np.zeros((n, n))
    for k in range(n):
        for i in range(k + 1):
            add(L[k, i], L[k, : i + 1], found[i, : i + 1])
    for i in range(n):
        for j in range(i):
            found[j, i] = found[i, j]
    return found


@compiled
def solve_upper(L, b):
    """Solve L' x = b."""
    x = b.copy()
    for i in range(len(x) - 1, -1, -1):
        x[i] /= L[i, i]
        for k in range(i):
            x[k] -= L[i, k] * x[i]
    return x


@compiled
def invert_each(C):
    """C (q, q, studies), symmetric positive definite matrices, become their inverses; returns their determinants (studies,)."""
    q, _, studies = C.shape
    determinant = np.ones(studies)
    for k in range(q):
        for s in range(studies):
            pivot = C[k, k, s]
            determinant[s] *= pivot if pivot > 0 else np.nan
            C[k, k, s] = 1 / pivot
        for j in range(q):
            if j != k:
                for s in range(studies):
                    C[k, j, s] *= C[k, k, s]
        for i in range(q):
            for j in range(q):
                if i != k and j != k:
                    for s in range(studies):
                        C[i, j, s] -= C[i, k, s] * C[k, j, s]
        for i in range(q):
            if i != k:
                for s in range(studies):
                    C[i, k, s] *= -C[k, k, s]
    return determinant


@compiled
def cholesky_each(C):
    """C (q, q, studies), symmetric positive definite matrices, hold their Cholesky factors in their lower triangles."""
    q = len(C)
    for k in range(q):
        C[k, k] = np.sqrt(C[k, k])
        for i in range(k + 1, q):
            C[i, k] /= C[k, k]
            for j in range(k + 1, i + 1):
                C[i, j] -= C[i, k] * C[j, k]
