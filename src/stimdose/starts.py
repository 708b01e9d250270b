"""Where chains start if a posterior may have several peaks: at these, in proportion to their mass.

NUTS does not cross from one peak to another. A bell that fits the trials may have a rival far below it (a trough at an edge) in which a
chain would stay for ever, and R-hat tells of it without a remedy. So peaks are looked for from many draws of the prior, and
weighed by Laplace's approximation. Where several have a share of the mass, chains start in all of these, and R-hat says whether they met.
"""

from collections.abc import Callable

import numpy as np

SEARCHES, FEW_SEARCHES, MANY_ROWS, ITERATIONS = 16, 4, 10_000, 100
"""Starting points of the search, fewer with many rows, and steps of each."""
STEEP = 0.1
"""Slope (log density) at which a place counts as a peak."""
SAME = 0.1
"""Peaks whose log masses differ by less are one: two searches ended in it, or it is mirrored by the sign of a standard deviation."""
TRIES = 20
"""Draws around a peak until one is possible."""
LEAST_CURVATURE = 0.1
"""Of the negative log density, in directions in which it is flat, or bends the wrong way."""


def around_peaks(density: Callable, begin: np.ndarray) -> Callable[[int], np.ndarray]:
    """A function from a seed to a start (d,): a draw from Laplace's approximation of a peak, which is drawn by its mass.

    density: from a position (d,) to its log density and gradient. begin: where the searches start (searches, d).
    """
    from scipy.optimize import minimize

    def downhill(position: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = density(position)
        return (-value, -gradient) if np.isfinite(value) and np.isfinite(gradient).all() else (1e300, np.zeros(len(position)))

    found = [
        minimize(downhill, start, jac=True, method="BFGS", options={"maxiter": ITERATIONS, "gtol": STEEP}) for start in begin
    ]
    tops = [_laplace(downhill, search.x, search.fun) for search in found]
    log_mass = np.array([top[0] for top in tops])
    order = np.argsort(-log_mass)
    distinct = order[np.diff(log_mass[order], prepend=np.inf) < -SAME]
    share = np.exp(log_mass[distinct] - log_mass[distinct[0]])

    def start(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        _, center, directions = tops[rng.choice(distinct, p=share / share.sum())]
        for _ in range(TRIES):
            jumped = center + directions @ rng.standard_normal(len(center))
            if np.isfinite(density(jumped)[0]):
                return jumped
        return center

    return start


def _laplace(downhill: Callable, center: np.ndarray, height: float) -> tuple[float, np.ndarray, np.ndarray]:
    """Log mass of a peak, its place (d,), and a factor (d, d) of its covariance."""
    steps = 1e-4 * np.eye(len(center))
    hessian = np.stack([(downhill(center + step)[1] - downhill(center - step)[1]) / 2e-4 for step in steps])
    curvature, vectors = np.linalg.eigh((hessian + hessian.T) / 2)
    curvature = np.maximum(curvature, LEAST_CURVATURE)
    return -height - 0.5 * np.log(curvature).sum(), center, vectors / np.sqrt(curvature)
