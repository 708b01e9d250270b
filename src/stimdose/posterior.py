"""From draws of what was sampled to draws of everything: coefficients, groups, studies, replicates; and the same from the prior."""

import numpy as np
from scipy.stats import norm

from . import integrate
from .model import Model
from .predictor import (
    coefficients,
    gaussian_coefficients,
    linear_system,
    mean_effect,
    prior_constants,
    sampled_priors,
    study_effects,
    terms,
)
from .rows import Rows

CHUNK = 20_000_000
"""Numbers held at once while coefficients are drawn; bounds memory at any number of rows and draws."""


def draw_coefficients(
    model: Model, rows: Rows, sampled: dict[str, np.ndarray], rng: np.random.Generator
) -> tuple[dict, np.ndarray]:
    """Draw every integrated coefficient and study effect from its exact conditional, given draws of the sampled parameters.

    sampled: (draws, ...) by posterior variable name. Returns the drawn variables by name, and log p(y_s | draw) (draws,
        studies) with the effects of study s integrated out.
    """
    draws = len(next(iter(sampled.values())))
    chunk = max(1, CHUNK // (len(rows.effect) * (4 + 2 * len(model.priors()))))
    parts = [_draw_chunk(model, rows, _slice(sampled, slice(k, k + chunk)), rng) for k in range(0, draws, chunk)]
    drawn = {name: np.concatenate([part[0][name] for part in parts]) for name in parts[0][0]}
    return drawn, np.concatenate([part[1] for part in parts])


def _slice(values: dict, which: slice) -> dict:
    return {name: value[which] for name, value in values.items()}


def _draw_chunk(model: Model, rows: Rows, sampled: dict, rng: np.random.Generator) -> tuple[dict, np.ndarray]:
    draws, n = len(next(iter(sampled.values()))), len(rows.effect)
    values = sampled | {name: np.full(draws, value) for name, value in prior_constants(model).items()}
    found = terms(model, rows, rows.points, values)
    system = linear_system(found, rows, values)
    study = study_effects(model, rows)
    place = {coefficient.name: k for k, coefficient in enumerate(system) if coefficient.group is None} | {None: -1}
    X = np.stack([np.broadcast_to(part.column, (draws, n)) for part in system], axis=-1)
    mean, sd = (
        np.stack([np.broadcast_to(value, draws) for value in side], axis=-1)
        for side in ([c.mean for c in system], [c.sd for c in system])
    )
    beta, u, log_likelihood = integrate.draw(
        rows.effect[None],
        X,
        np.ascontiguousarray(mean, float),
        np.ascontiguousarray(sd, float),
        np.stack([values[spread] for _, spread in study.values()], axis=-1),
        np.array([place[column_of] for column_of, _ in study.values()]),
        rows.variance[None],
        values["within_study"] ** 2 if rows.has_within_study else np.zeros(draws),
        rows.start,
        np.empty(0),
        np.zeros(len(rows.start), int),
        rng.standard_normal((draws, len(system))),
        rng.standard_normal((draws, len(rows.studies), len(study))),
    )
    drawn = coefficients(found, system, beta)
    drawn |= {name: u[:, :, k] for k, name in enumerate(study)}
    return {name: value for name, value in drawn.items() if name not in sampled}, log_likelihood


def fitted(model: Model, rows: Rows, values: dict) -> np.ndarray:
    """Mean effect (draws, rows) of every row in its own study."""
    found = terms(model, rows, rows.points, values)
    columns = {term.name: term.column for term in found}
    total = mean_effect(found, values)
    for name, (column_of, _) in study_effects(model, rows).items():
        total = total + values[name][:, rows.study] * (1.0 if column_of is None else columns[column_of])
    return total


def true_effects(model: Model, rows: Rows, values: dict, rng: np.random.Generator) -> np.ndarray:
    """Draws (draws, rows) of the effect that each row estimates: `fitted` plus its within-study deviation, from its exact
    conditional."""
    mean = fitted(model, rows, values)
    if not rows.has_within_study:
        return mean
    within = values["within_study"][:, None] ** 2
    share = within / (within + rows.variance)
    return mean + share * (rows.effect - mean) + np.sqrt(share * rows.variance) * rng.standard_normal(mean.shape)


def replicate(model: Model, rows: Rows, values: dict, rng: np.random.Generator) -> np.ndarray:
    """Replicated effects (draws, rows): new rows of the same studies, with the sampling errors of the table."""
    mean = fitted(model, rows, values)
    within = values["within_study"][:, None] ** 2 if rows.has_within_study else 0.0
    return mean + np.sqrt(within + rows.variance) * rng.standard_normal(mean.shape)


def draw_prior(model: Model, rows: Rows, draws: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draws (draws, ...) of every parameter from its prior, by posterior variable name; no study effects."""
    priors = sampled_priors(model, rows) | gaussian_coefficients(model)
    values = {name: prior.distribution.rvs(size=draws, random_state=rng) for name, prior in priors.items()}

    def by_group(name: str, by: str, is_log: bool = False) -> None:
        z = rng.standard_normal((draws, len(rows.levels[by]))) * values[f"{name}_between_{by}"][:, None]
        values[f"{name}_by_{by}"] = values[name][:, None] * np.exp(z) if is_log else values[name][:, None] + z

    if model.intercept and model.intercept.by:
        by_group("intercept", model.intercept.by)
    for dose in model.dose:
        for name in (*dose.basis.coefficients, *dose.basis.nonlinear) if dose.by else ():
            by_group(f"{dose.column}_{name}", dose.by, name in dose.basis.nonlinear)
        if len(rows.points.doses[dose.column].uncertain):
            values[f"{dose.column}_true"] = _prior_true_doses(
                dose.prior("true"), rows.points.doses[dose.column].log_bounds, draws, rng
            )
    for moderator in model.moderator:
        if not moderator.is_numeric:
            name = moderator.column
            values[f"{name}_effect"] = values[f"between_{name}"][:, None] * rng.standard_normal((draws, len(rows.levels[name])))
    return values


def _prior_true_doses(prior, log_bounds: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    mu, sigma = prior.parameters["mu"], prior.parameters["sigma"]
    low, high = norm.cdf((log_bounds.T - mu) / sigma)
    inside = norm.ppf(low + (high - low) * rng.uniform(size=(draws, len(low))))
    return np.exp(np.clip(mu + sigma * inside, *log_bounds.T))
