"""A fit under other priors, from the draws of one that is there: importance sampling with the exact ratio of the densities."""

import json
from dataclasses import dataclass

import numpy as np

from .importance import PARETO_K_MAX, smoothed_weights, systematic
from .log_densities import Density
from .model import OF_TABLES, Model
from .priors import Prior
from .results import complete, diagnose_tree, tree_of
from .rows import rows_of
from .sampling import Fit


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
    return model.priors() | {name: prior for name in OF_TABLES if (prior := getattr(model, name))}


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
    log_weights, pareto_k = smoothed_weights(new.at(places) - old.at(places))
    weights = np.exp(log_weights)
    ess = 1 / float((weights**2).sum())
    if not pareto_k < PARETO_K_MAX:
        return Reweighted(None, pareto_k, ess, f"Pareto k is {pareto_k:.2f}, above {PARETO_K_MAX}")
    rng = np.random.default_rng([seed, 6])
    chosen = systematic(weights, len(weights))
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
