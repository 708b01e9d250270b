"""What a prior did to a posterior: overlap of the two, conflict with the data, and power-scaling sensitivity."""

import warnings

import numpy as np
import pandas as pd
import xarray as xr

from .posterior import between_people, new_study_effects, replicate, reported_effects
from .predictor import gaussian_coefficients, sampled_priors
from .priors import Prior
from .sampling import Fit

TAILS = np.array([0.0005, 0.002, 0.005, 0.01, 0.02])
STEPS = np.sort([*np.linspace(0, 1, 26), *TAILS, *(1 - TAILS)])
"""Ends of the steps of posterior probability over which the overlap is summed."""
TAIL = 0.01
"""A statistic of the data further out than this in the prior predictive distribution is in conflict with the prior."""
COLUMNS = ["observed", "prior_low", "prior_high", "p", "conflict"]
SENSITIVE = 0.05
"""A change of the posterior under power-scaling that counts (Kallioinen et al. 2024)."""


def population_priors(fit: Fit) -> dict[str, Prior]:
    """Priors of the parameters of the population that a fit has, by posterior variable name."""
    found = sampled_priors(fit.model, fit.rows) | gaussian_coefficients(fit.model)
    return {
        name: prior for name, prior in found.items() if name in fit.tree["posterior"] and not fit.tree["posterior"][name].dims[2:]
    }


def overlap(fit: Fit) -> pd.Series:
    """Overlap of prior and posterior of every parameter of the population: the area under the lower of the two densities, 0 to 1.

    The range of the posterior's draws is cut at quantiles, so that each step holds 4 % of the posterior, and less in the tails; the overlap
    counts the prior's exact share of a step where it is less. Near 1 the trials say nothing of the parameter; above 0.35 little (Garrett
    and Zeger 2000, Biometrics 56:1055).
    """
    values, found = fit.values(), {}
    for name, prior in population_priors(fit).items():
        ends = prior.distribution.cdf(np.quantile(values[name], STEPS))
        found[name] = float(np.minimum(np.diff(ends), np.diff(STEPS)).sum())
    return pd.Series(found, name="overlap", dtype=float).rename_axis("parameter")


def conflict(fit: Fit, seed: int = 0) -> pd.DataFrame:
    """Whether the prior expected data like these: the tails of statistics in the prior predictive distribution (Evans and Moshonov 2006,
    Bayesian Analysis 1:893).

    One line per statistic: observed; prior_low and prior_high, its 95 % interval for data simulated from the prior; p, the probability of
    data as far out or further, on either side; conflict, whether p < 0.01. Statistics, all weighted by precision, those of an ordinal fit
    alike: the mean effect, the spread of the effects around it (standard deviation), and for each dose that every row prints as a number
    the slope of the effects over log(1 + dose / median dose).
    """
    rows, rng = fit.rows, np.random.default_rng([seed, 7])
    values = fit.values("prior")
    values |= new_study_effects(fit.model, rows, values, rng)
    simulated = _statistics(fit, replicate(fit.model, rows, values, rng))
    observed = _statistics(fit, reported_effects(rows, fit.values())[0][None])
    records = []
    for name, draws in simulated.items():
        seen = float(observed[name][0])
        tail = min((draws <= seen).mean(), (draws >= seen).mean())
        p = min(1.0, 2 * float(tail))
        records.append((name, seen, *np.quantile(draws, [0.025, 0.975]), p, p < TAIL))
    return pd.DataFrame(records, columns=["statistic", *COLUMNS]).set_index("statistic")


def in_tails(fit: Fit, reference: Fit) -> pd.DataFrame:
    """Whether what the trials say under the reference lies in the tails of the priors of a fit (Box 1980, J R Stat Soc A 143:383).

    One line per parameter of the population that both have: observed, the posterior median of the reference; prior_low and prior_high, the
    95 % interval of the prior; p, the prior probability of values as far out or further, on either side (of half-normals and
    half-Cauchys, whose mode is 0, above); conflict, whether p < 0.01.
    """
    values, records = reference.values(), []
    for name, prior in population_priors(fit).items():
        if name in values and values[name].ndim == 1:
            seen, of = float(np.median(values[name])), prior.distribution
            below = float(of.cdf(seen))
            p = 1 - below if prior.family.startswith("half") else 2 * min(below, 1 - below)
            records.append((name, seen, *of.ppf([0.025, 0.975]), p, p < TAIL))
    return pd.DataFrame(records, columns=["statistic", *COLUMNS]).set_index("statistic")


def _statistics(fit: Fit, effects: np.ndarray) -> dict[str, np.ndarray]:
    """Statistics (draws,) of effects (draws, rows)."""
    variance = fit.rows.variance + between_people(fit.rows, fit.values())
    weight = np.ones(len(variance)) if fit.rows.unknowns or fit.rows.scores else 1 / variance
    weight = weight / weight.sum()
    mean = effects @ weight
    centred = effects - mean[:, None]
    found = {"mean effect": mean}
    if len(weight) > 1:
        found["spread of effects"] = np.sqrt(centred**2 @ weight)
    for dose in fit.model.doses:
        x = fit.rows.table[dose.column].to_numpy(float)
        if np.isfinite(x).all() and np.ptp(x) > 0:
            x = np.log1p(x / np.median(x)) if np.median(x) > 0 else x
            x = x - x @ weight
            found[f"slope of {dose.column}"] = centred @ (weight * x) / (weight @ x**2)
    return found


def power_scaling(fit: Fit, quantities: dict[str, xr.DataArray] | None = None) -> pd.DataFrame:
    """How the posterior moves if the prior of the population's parameters, or the likelihood, counts a little more or less (its density to
    the power 0.99 or 1.01): `arviz.psense` (Kallioinen et al. 2024, Stat Comput 34:57).

    Only priors of the population are scaled: the distributions of groups and studies are a part of what is learnt. quantities: draws
    (chain, draw[, group]) of what else to diagnose, such as the best dose.

    One line per quantity: prior, likelihood (cumulative Jensen-Shannon distance per doubling; above 0.05 counts), and diagnosis.
    """
    import arviz as az

    posterior, priors = fit.tree["posterior"].to_dataset(), population_priors(fit)
    log_prior = {name: (("chain", "draw"), log_density(prior, posterior[name].values)) for name, prior in priors.items()}
    shown = posterior[list(priors)].merge(
        {name: draws.drop_vars(set(draws.coords) - set(draws.dims)) for name, draws in (quantities or {}).items()}
    )
    coords = {name: posterior[name].values for name in ("chain", "draw")}
    groups = {
        "posterior": shown,
        "log_prior": xr.Dataset(log_prior, coords),
        "log_likelihood": fit.tree["log_likelihood"].to_dataset(),
    }
    tree = xr.DataTree.from_dict(groups)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*(tail draws|Pareto)", UserWarning)  # of few draws, of which the fit itself warns
        found = {name: az.psense(tree, group=name) for name in ("prior", "likelihood")}
    records = []
    for name in shown:
        scales = {group: values[name] for group, values in found.items()}
        for level in scales["prior"][dims[0]].values if (dims := scales["prior"].dims) else [None]:
            pair = [float(each if level is None else each.sel({dims[0]: level})) for each in scales.values()]
            records.append((name if level is None else f"{name}[{level}]", *pair, _diagnosis(*pair)))
    return pd.DataFrame(records, columns=["quantity", "prior", "likelihood", "diagnosis"]).set_index("quantity")


def _diagnosis(prior: float, likelihood: float) -> str:
    if prior < SENSITIVE:
        return ""
    return "prior and data both count" if likelihood >= SENSITIVE else "the prior decides"


def log_density(prior: Prior, values: np.ndarray) -> np.ndarray:
    """Log density of a prior, at values of any shape."""
    with np.errstate(divide="ignore"):
        return np.log(prior.distribution.pdf(values))
