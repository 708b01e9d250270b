"""`marginal_likelihood`: p(trials | model), by quadrature where little is sampled, else by bridge sampling."""

from dataclasses import dataclass

import numpy as np

from .chains import convergence
from .errors import StimdoseError
from .log_densities import Density
from .sampling import Fit

MOST_DIMENSIONS = 3
"""Up to so many sampled parameters the integral is a sum over a grid."""
ERROR_MAX = 0.1
"""Relative Monte Carlo error of a marginal likelihood above which it is refused."""
MOST_NODES = 400_000
NEGLIGIBLE = 1e-9
"""Of the highest density: where a grid may end."""


@dataclass(frozen=True)
class MarginalLikelihood:
    """log: log p(trials | model), NaN where it is refused. error: its standard error, which is the relative error of the marginal likelihood
    itself. method: "quadrature" or "bridge sampling". refused: why there is no number, or ""."""

    log: float
    error: float
    method: str
    refused: str = ""


def marginal_likelihood(fit: Fit) -> MarginalLikelihood:
    """log p(trials | model) of a fit, everything Gaussian integrated out exactly.

    What is left, theta, is integrated over a grid (trapezoid rule, whose error is the difference to every second node) if it has 3
    dimensions or fewer; else by bridge sampling with a normal proposal fitted to the first half of the draws (Meng and Wong 1996, Statistica
    Sinica 6:831; Gronau et al. 2017, J Math Psychol 81:80), whose relative error is that of Fruehwirth-Schnatter (2004). No number is given
    where that exceeds 0.1, or where the fit did not converge.

    Raises StimdoseError where a density of the trials is not what was sampled: doses as intervals or missing, standard deviations or
    correlations that are not printed, a fit of the explicit form.
    """
    require_density(fit)
    density = Density.of(fit.model, fit.rows)
    if not fit.diagnosis.converged:
        return MarginalLikelihood(np.nan, np.nan, "", "the fit did not converge")
    positions = fit.tree["sample_stats"]["position"].to_numpy()
    places = density.places(positions.reshape(-1, positions.shape[-1])).reshape(positions.shape)
    if density.size <= MOST_DIMENSIONS:
        log, error = quadrature(density.at, places.reshape(-1, density.size))
        return judged(log, error, "quadrature")
    rng = np.random.default_rng([int(fit.tree.attrs["seed"]), 8])
    return judged(*bridge(density.at, places, rng), "bridge sampling")


def judged(log: float, error: float, method: str) -> MarginalLikelihood:
    """The number, or why there is none."""
    if np.isfinite(log) and error <= ERROR_MAX:
        return MarginalLikelihood(log, error, method)
    return MarginalLikelihood(np.nan, error, method, f"the relative error of {method} is {error:.2f}, above {ERROR_MAX}")


def require_density(fit: Fit) -> None:
    """Raises StimdoseError where what was sampled does not give the density of the trials."""
    faults = []
    if "position" not in fit.tree["sample_stats"]:
        faults.append("it was sampled with everything explicit")
    if uncertain := [name for name, points in fit.rows.points.doses.items() if len(points.uncertain)]:
        faults.append(
            f"doses are intervals or missing ({', '.join(uncertain)}), and their own density is a part of what was sampled"
        )
    if fit.rows.unknowns:
        faults.append("standard deviations or correlations are not printed")
    if faults:
        raise StimdoseError(f"{fit.model.name} has no marginal likelihood that could be compared: {'; '.join(faults)}")


def quadrature(log_density, draws: np.ndarray) -> tuple[float, float]:
    """Log of the integral of exp(log_density) over R^d, d <= 3, and its relative error, from draws (draws, d) that say where it is.

    log_density: places (n, d) -> (n,). The grid is aligned with the draws' principal axes, wide enough that the density at its faces is
    negligible, and twice as fine until the sum agrees with that of every second node to 1e-6, or nodes are too many.
    """
    center, d = draws.mean(axis=0), draws.shape[1]
    factor = np.linalg.cholesky(np.atleast_2d(np.cov(draws.T)) + 1e-12 * np.eye(d))
    seen = np.linalg.solve(factor, (draws - center).T).T
    low, high = np.floor(seen.min(axis=0) - 2), np.ceil(seen.max(axis=0) + 2)
    step = 0.5
    while True:
        axes = [np.arange(a, b + step / 2, step) for a, b in zip(low, high, strict=True)]
        shape = tuple(map(len, axes))
        if np.prod(shape) > MOST_NODES:
            return np.nan, np.inf
        nodes = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, d)
        values = log_density(center + nodes @ factor.T).reshape(shape)
        top = values.max()
        grid = np.exp(values - top)
        faces = [np.take(grid, end, axis=k).max() for k in range(d) for end in (0, -1)]
        if max(faces) > NEGLIGIBLE:
            grow = np.array(faces).reshape(d, 2) > NEGLIGIBLE
            low, high = (
                low - np.where(grow[:, 0], np.ceil((high - low) / 4), 0),
                high + np.where(grow[:, 1], np.ceil((high - low) / 4), 0),
            )
            continue
        fine, coarse = grid.sum(), 2**d * grid[(slice(None, None, 2),) * d].sum()
        error = abs(coarse / fine - 1)
        if error < 1e-6 or np.prod(2 * np.array(shape)) > MOST_NODES:
            return float(top + np.log(fine) + d * np.log(step) + np.log(np.diag(factor)).sum()), float(error)
        step /= 2


def bridge(log_density, draws: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """Log of the integral of exp(log_density), and its relative error, by bridge sampling from draws (chain, draw, d) of it.

    The first half of each chain gives a normal distribution, the second is bridged to as many draws from that.
    """
    half, d = draws.shape[1] // 2, draws.shape[2]
    first, second = draws[:, :half].reshape(-1, d), draws[:, half : 2 * half]
    center, factor = first.mean(axis=0), np.linalg.cholesky(np.cov(first.T) + 1e-12 * np.eye(d))
    own = second.reshape(-1, d)
    proposed = center + rng.standard_normal(own.shape) @ factor.T

    def log_normal(places: np.ndarray) -> np.ndarray:
        scaled = np.linalg.solve(factor, (places - center).T)
        return -0.5 * (scaled**2).sum(axis=0) - np.log(np.diag(factor)).sum() - 0.5 * d * np.log(2 * np.pi)

    ratio, ratio_proposed = (log_density(each) - log_normal(each) for each in (own, proposed))
    shift = np.median(ratio)
    ratio, ratio_proposed = ratio - shift, ratio_proposed - shift
    chains = lambda values: values.reshape(1, *second.shape[:2])
    n, effective = len(own), convergence(chains(ratio))["ess_bulk"][0]
    share = effective / (effective + n)  # of the posterior among all draws
    log_r = 0.0
    for _ in range(1000):
        above = np.exp(ratio_proposed - np.logaddexp(np.log(share) + ratio_proposed, np.log1p(-share) + log_r))
        below = np.exp(-np.logaddexp(np.log(share) + ratio, np.log1p(-share) + log_r))
        before, log_r = log_r, float(np.log(above.mean()) - np.log(below.mean()))
        if abs(log_r - before) < 1e-10:
            break
    ess = max(1.0, convergence(chains(below))["ess_bulk"][0])
    variance = above.var() / above.mean() ** 2 / n + below.var() / below.mean() ** 2 / ess
    return float(log_r + shift), float(np.sqrt(variance))
