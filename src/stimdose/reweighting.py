"""A fit under other priors, from the draws of one that is there: importance sampling with the exact ratio of the densities."""

import json
from dataclasses import dataclass

import numpy as np

from .log_densities import Density
from .model import Model
from .priors import Prior
from .results import complete, diagnose_tree, tree_of
from .rows import rows_of
from .sampling import Fit

PARETO_K_MAX = 0.7
"""Above this, importance weights are not to be trusted (Vehtari et al. 2024, J Mach Learn Res 25:72)."""


@dataclass(frozen=True)
class Reweighted:
    """A fit under other priors from draws that are there, or why there is none.

    fit: None where the weights cannot be trusted. pareto_k: of the weights; ess: how many equally weighted draws they are worth, (sum
        of weights)^2 / sum of squares; both NaN where no weights exist. reason: why a refit is needed, or "".
    """

    fit: Fit | None
    pareto_k: float = np.nan
    ess: float = np.nan
    reason: str = ""


def changed_priors(model: Model, other: Model) -> list[str]:
    """Names of the priors that are not the same distribution in two models, those of only one of them included."""
    mine, its = ({name: (prior.family, prior.parameters) for name, prior in _priors(each).items()} for each in (model, other))
    return [name for name in dict.fromkeys((*mine, *its)) if mine.get(name) != its.get(name)]


def _priors(model: Model) -> dict[str, Prior]:
    return model.priors() | {name: prior for name in ("pre_post_r", "sd_spread") if (prior := getattr(model, name))}


def reweighted(fit: Fit, model: Model, seed: int) -> Reweighted:
    """The fit of `model`, which differs from that of `fit` in its priors only, by importance sampling.

    What was sampled, theta, is weighted by p_new(y, theta) / p_old(y, theta), where every coefficient with a normal prior is integrated
    out under its own prior; the weights are Pareto-smoothed (Vehtari et al. 2024). Draws are then chosen in proportion to their weights
    (systematically, so that copies of one stand side by side and count once in R-hat and ESS), and all that is Gaussian is drawn
    anew from its conditional under the new priors. The fit is given only if k < 0.7 and its draws pass the diagnosis of every fit.
    """
    if reason := _obstacle(fit, model):
        return Reweighted(None, reason=reason)
    rows = rows_of(model, fit.trials, json.loads(fit.tree.attrs["settings"])["missing"] == "impute")
    old, new = Density.of(fit.model, fit.rows), Density.of(model, rows)
    if {name: place.shape for name, place in old.layout.sampled.items()} != {
        name: place.shape for name, place in new.layout.sampled.items()
    }:
        return Reweighted(None, reason="another set of parameters is sampled")
    positions = fit.tree["sample_stats"]["position"].to_numpy()
    shape = positions.shape[:2]
    places = old.places(positions.reshape(-1, positions.shape[-1]))
    weights, pareto_k = smoothed_weights((new.at(places) - old.at(places)).reshape(shape))
    ess = 1 / float((weights**2).sum())
    if not pareto_k < PARETO_K_MAX:
        return Reweighted(None, pareto_k, ess, f"Pareto k is {pareto_k:.2f}, above {PARETO_K_MAX}")
    rng = np.random.default_rng([seed, 6])
    chosen = systematic(weights, rng)
    found = _fit_at(fit, model, rows, new, places[chosen], chosen, shape, rng)
    if not found.diagnosis.converged:
        return Reweighted(None, pareto_k, ess, f"the weighted draws, worth {ess:.0f}, do not pass the diagnosis of a fit")
    return Reweighted(found, pareto_k, ess)


def _obstacle(fit: Fit, model: Model) -> str:
    """Why draws of a fit cannot be weighted, before any weight is computed; "" if they can."""
    if not fit.diagnosis.converged:
        return "the reference did not converge"
    if model.is_anchored:
        return "an anchored model is also fitted with a free intercept, of which no positions are kept"
    if "position" not in fit.tree["sample_stats"]:
        return "the reference was sampled with everything explicit"
    if moved := [name for name in changed_priors(fit.model, model) if name.endswith("_true")]:
        return f"the prior of doses moves the doses themselves ({', '.join(moved)})"
    return ""


def smoothed_weights(log_ratio: np.ndarray) -> tuple[np.ndarray, float]:
    """Pareto-smoothed importance weights (draws,), which sum to 1, and k, of log ratios (chain, draw) of the densities."""
    import arviz as az  # noqa: F401  (adds the accessor)
    import xarray as xr

    log_ratio = np.where(np.isfinite(log_ratio), log_ratio, -1e10)
    if np.ptp(log_ratio) < 1e-12:
        return np.full(log_ratio.size, 1 / log_ratio.size), -np.inf
    log_weights, k = xr.DataArray(-log_ratio, dims=("chain", "draw")).azstats.psislw(dim=("chain", "draw"))
    weights = np.exp(log_weights.values.ravel())
    return weights / weights.sum(), float(k)


def systematic(weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """As many numbers of draws (draws,) as there are weights, in order: every draw within one of its weight's share."""
    ends = np.cumsum(weights)
    found = np.searchsorted(ends / ends[-1], (np.arange(len(weights)) + rng.uniform()) / len(weights), side="right")
    return np.minimum(found, len(weights) - 1)


def _fit_at(fit: Fit, model: Model, rows, density: Density, places, chosen, shape, rng: np.random.Generator) -> Fit:
    """The fit whose draws are at places (draws, d), which were the draws `chosen` of another fit."""
    from .nuts import natural_values

    positions = density.positions(places)
    values = natural_values(density.program, density.layout, positions)
    posterior, log_likelihood = complete(model, rows, values, shape, rng)
    diverging = fit.tree["sample_stats"]["diverging"].to_numpy().ravel()[chosen].reshape(shape)
    statistics = {"diverging": diverging, "position": positions.reshape(*shape, -1)}
    tree = tree_of(model, rows, posterior, log_likelihood, statistics, rng)
    tree.attrs = fit.tree.attrs | {"model": model.to_toml(), "reweighted": 1}
    return Fit(model, fit.trials, tree, diagnose_tree(model, rows, tree))
