"""From draws of what was sampled to draws of everything: coefficients, groups, studies, replicates; and the same from the prior."""

import numpy as np
from scipy.special import gammaincinv, ndtr, ndtri

from . import ordinal
from .heterogeneity import row_variance, scaled_effects, study_dims, study_effects, study_part, study_spread, weight_prior
from .latents import LEAST_SPREAD, Imputation, Latents
from .model import Model
from .predictor import (
    coefficients,
    gaussian_coefficients,
    grouped_parameters,
    linear_system,
    mean_effect,
    prior_constants,
    sampled_priors,
    study_system,
    terms,
)
from .rows import Rows
from .selection import PROBABILITY, log_selection, published_effects

CHUNK = 20_000_000
"""Numbers held at once while coefficients are drawn; bounds memory at any number of rows and draws."""


def draw_coefficients(
    model: Model, rows: Rows, sampled: dict[str, np.ndarray], rng: np.random.Generator
) -> tuple[dict, np.ndarray]:
    """Draw every integrated coefficient and study effect from its exact conditional, given draws of the sampled parameters.

    sampled: (draws, ...) by posterior variable name. Returns the drawn variables by name, and log p(y_s | draw) (draws,
        studies) with the effects of study s integrated out.
    """
    if model.selection:
        return _draw_selected(model, rows, sampled, rng)
    if rows.scores:
        return {}, ordinal.log_likelihood(model, rows, sampled)
    draws = len(next(iter(sampled.values())))
    chunk = max(1, CHUNK // (len(rows.effect) * (4 + 2 * len(model.priors()))))
    parts = [_draw_chunk(model, rows, _slice(sampled, slice(k, k + chunk)), rng) for k in range(0, draws, chunk)]
    drawn = {name: np.concatenate([part[0][name] for part in parts]) for name in parts[0][0]}
    return drawn, np.concatenate([part[1] for part in parts])


def _draw_selected(model: Model, rows: Rows, values: dict, rng: np.random.Generator) -> tuple[dict, np.ndarray]:
    """`draw_coefficients` where the coefficients were sampled, and each study has one row."""
    mean, between = mean_effect(terms(model, rows, rows.points, values), values), study_spread(model, rows, values) ** 2
    variance, residual = rows.variance + between, rows.effect - mean
    drawn = _study_effect_of(residual, rows.variance, between, rng)
    normal = -0.5 * (residual**2 / variance + np.log(2 * np.pi * variance))
    selected = log_selection(rows.effect, rows.variance, mean, np.sqrt(variance), values[PROBABILITY][:, None])
    return {"study_effect": drawn}, normal + selected


def _study_effect_of(residual: np.ndarray, variance: np.ndarray, between: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Study effects (draws, rows), of variance `between`, given residual = study effect + sampling error."""
    share = between / (variance + between)
    return share * residual + np.sqrt(share * variance) * rng.standard_normal(residual.shape)


def _slice(values: dict, which: slice) -> dict:
    return {name: value[which] for name, value in values.items()}


def _draw_chunk(model: Model, rows: Rows, sampled: dict, rng: np.random.Generator) -> tuple[dict, np.ndarray]:
    from .conditionals import draw

    draws, n = len(next(iter(sampled.values()))), len(rows.effect)
    values = sampled | {name: np.full(draws, value) for name, value in prior_constants(model, rows).items()}
    found = terms(model, rows, rows.points, values)
    system = linear_system(found, rows, values)
    of_levels, spreads, factor = study_system(model, rows, values)
    whole = system + of_levels
    place = {coefficient.name: k for k, coefficient in enumerate(whole) if coefficient.group is None} | {None: -1}
    X = np.stack([np.broadcast_to(part.column, (draws, n)) for part in whole], axis=-1)
    mean, sd = (
        np.stack([np.broadcast_to(value, draws) for value in side], axis=-1)
        for side in ([c.mean for c in whole], [c.sd for c in whole])
    )
    effect, variance, jacobian = observed(rows, values)
    spread, slopes = np.stack(list(spreads.values()), axis=-1), np.array([place[column_of] for column_of in spreads])
    errors = (variance, _row_variance(rows, values, draws), rows.start, rows.correlation, rows.block)
    beta, u, log_likelihood = draw(
        effect,
        X,
        np.ascontiguousarray(mean, float),
        np.ascontiguousarray(sd, float),
        spread,
        slopes,
        np.empty((draws, 0)) if factor is None else factor,
        *errors,
        rng.standard_normal((draws, len(whole))),
        rng.standard_normal((draws, len(rows.studies), len(spreads))),
    )
    if model.study_effects == "student-t":
        residual = np.ascontiguousarray(effect - (X @ beta[:, :, None])[:, :, 0])
        log_likelihood = _over_weights(model, rows, values, (residual, X[:, :, slopes[1:]], spread, errors))
    drawn = coefficients(found, system, beta)
    own = max(1, len(of_levels))  # effects of the level of a study; those of slopes come after them
    drawn |= {name: u[:, :, own + k - 1] for k, name in enumerate(study_effects(model, rows))}
    if of_levels:
        drawn |= scaled_effects(model, rows, {"study_effect": u[:, :, :own]}, values)
    log_likelihood = log_likelihood + np.add.reduceat(jacobian, rows.start[:-1], axis=1)
    return {name: value for name, value in drawn.items() if name not in sampled}, log_likelihood


WEIGHTS = 32
"""Points at which the weight of a study is integrated out, evenly spaced in its logarithm: exact to 1e-6 from three degrees of freedom."""


def _over_weights(model: Model, rows: Rows, values: dict, given: tuple) -> np.ndarray:
    """log p(y_s | coefficients) (draws, studies) with the weight of study s integrated out too, from residuals (draws, rows), columns of
    the slopes (draws, rows, q - 1), spreads (draws, q), and the sampling errors."""
    from .conditionals import draw

    residual, columns, spread, errors = given
    draws, q = spread.shape
    shape, rate = weight_prior(model)
    low, high = np.log(gammaincinv(shape, [1e-8, 1 - 1e-12]) / rate)
    log_weight = np.linspace(low, high, WEIGHTS)
    log_prior = shape * log_weight - rate * np.exp(log_weight)
    log_prior -= np.logaddexp.reduce(log_prior)
    none, slopes, total = np.zeros((draws, q - 1)), np.arange(-1, q - 1), np.full((draws, len(rows.studies)), -np.inf)
    normals = np.zeros((draws, q - 1)), np.zeros((draws, len(rows.studies), q))
    for at, share in zip(np.exp(log_weight), log_prior, strict=True):
        factor = study_spread(model, rows, values | {"study_weight": np.full((draws, len(rows.studies)), at)})
        total = np.logaddexp(total, share + draw(residual, columns, none, none, spread, slopes, factor, *errors, *normals)[2])
    return total


def observed(rows: Rows, values: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Effect and variance of every row, and the log Jacobian of the effect: (1, rows) where all are printed, else (draws, rows)."""
    if not rows.unknowns:
        return rows.effect[None], rows.variance[None], np.zeros((1, len(rows.effect)))
    effect, variance, jacobian = rows.unknowns.complete(values, rows.effect, rows.variance)
    return np.ascontiguousarray(effect), np.ascontiguousarray(variance), jacobian


def reported_effects(rows: Rows, values: dict) -> tuple[np.ndarray, np.ndarray]:
    """Effect (rows,) and standard error of every row as reported, not as the likelihood takes it at the mean effect; where an SD or r
    is drawn, the means, with its uncertainty in the standard error by the law of total variance. Of a participant, by how much people
    differ, the median `residual_sd`."""
    effect, variance, _ = observed(rows, values)
    reported = rows.table["variance_reported"].to_numpy(float)
    drawn = variance.mean(axis=0) + effect.var(axis=0)
    return effect.mean(axis=0), np.sqrt(np.where(np.isnan(reported), drawn, reported) + between_people(rows, values))


def shown_effects(model: Model, rows: Rows, values: dict) -> tuple[np.ndarray, np.ndarray]:
    """Effect (rows,) and standard error of every row on the scale of the curve: `reported_effects`; of an ordinal model the latent benefit."""
    if not rows.scores:
        return reported_effects(rows, values)
    mean, variance = ordinal.latent_moments(rows, fitted(model, rows, values), values["cutpoint"])
    return mean.mean(axis=0), np.sqrt(variance.mean(axis=0) + mean.var(axis=0))


def between_people(rows: Rows, values: dict) -> np.ndarray:
    """Variance (rows,) of people at the median `residual_sd`; 0 in rows that are not people."""
    return rows.is_participant * (np.median(values["residual_sd"]) ** 2 if "residual_sd" in values else 0.0)


def fitted(model: Model, rows: Rows, values: dict) -> np.ndarray:
    """Mean effect (draws, rows) of every row in its own study."""
    found = terms(model, rows, rows.points, values)
    columns = {term.name: term.column for term in found}
    return mean_effect(found, values) + study_part(model, rows, columns, values)


def true_effects(model: Model, rows: Rows, values: dict, rng: np.random.Generator) -> np.ndarray:
    """Draws (draws, rows) of the effect that each row estimates: `fitted` plus its within-study deviation, from its exact
    conditional. A participant's is that of people like them in their study."""
    from .conditionals import within_deviations

    mean = fitted(model, rows, values)
    if not rows.has_within_study:
        return mean
    effect, variance, _, *links = _errors(rows, values)
    within = np.ascontiguousarray(values["within_study"] ** 2)
    deviations = within_deviations(effect - mean, variance + rows.is_participant, within, *links, rng.standard_normal(mean.shape))
    return mean + np.where(rows.is_participant, 0.0, deviations)


def replicate(model: Model, rows: Rows, values: dict, rng: np.random.Generator) -> np.ndarray:
    """Replicated effects (draws, rows): new rows of the same studies, with the sampling errors of the table; of an ordinal model changes of
    score."""
    from .conditionals import sampling_errors

    mean = fitted(model, rows, values)
    if model.selection:
        return published_effects(rows.variance, mean, values[PROBABILITY][:, None], rng)
    if rows.scores:
        return ordinal.replicated(rows, mean, values["cutpoint"], rng)
    _, *errors = _errors(rows, values)
    return mean + sampling_errors(*errors, rng.standard_normal(mean.shape))


def new_study_effects(model: Model, rows: Rows, values: dict, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draws (draws, studies), of levels (draws, studies, levels), of the effects of new studies in the place of those of the table, by
    posterior variable name."""
    if model.study_effects == "student-t":
        shape, rate = weight_prior(model)
        values = values | {"study_weight": rng.gamma(shape, 1 / rate, (len(values["between_study"]), len(rows.studies)))}
    return draw_study_effects(model, rows, values, rng)


def draw_study_effects(model: Model, rows: Rows, values: dict, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """`new_study_effects` of studies with given weights. With selection, of studies that are published: their effects lie higher, so one is
    drawn given an effect that was."""
    if model.selection:
        mean, between = mean_effect(terms(model, rows, rows.points, values), values), study_spread(model, rows, values) ** 2
        effect = published_effects(rows.variance, mean, values[PROBABILITY][:, None], rng, between)
        return {"study_effect": _study_effect_of(effect - mean, rows.variance, between, rng)}
    draws, levels = len(next(iter(values.values()))), rows.levels | {"study": rows.studies}
    normals = {
        name: rng.standard_normal((draws, *(len(levels[dim]) for dim in dims))) for name, dims in study_dims(model, rows).items()
    }
    return scaled_effects(model, rows, normals, values)


def _errors(rows: Rows, values: dict) -> tuple:
    """Effect and variance of the rows, variance beside that of sampling (draws, rows), and how sampling errors are linked (see
    `integrate`)."""
    effect, variance, _ = observed(rows, values)
    within = _row_variance(rows, values, len(next(iter(values.values()))))
    return effect, variance, within, rows.start, rows.correlation, rows.block


def _row_variance(rows: Rows, values: dict, draws: int) -> np.ndarray:
    return np.ascontiguousarray(np.broadcast_to(row_variance(rows, values), (draws, len(rows.effect))))


def draw_prior(model: Model, rows: Rows, draws: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draws (draws, ...) of every parameter from its prior, by posterior variable name; no study effects.

    Missing doses, and what is typical of a modality, are drawn from what is known of them before any effect is seen.
    """
    priors = sampled_priors(model, rows) | gaussian_coefficients(model)
    values = {name: prior.distribution.rvs(size=draws, random_state=rng) for name, prior in priors.items()}

    for grouped in grouped_parameters(model):
        z = rng.standard_normal((draws, len(rows.levels[grouped.group]))) * values[grouped.spread][:, None]
        population = values[grouped.name][:, None]
        values[grouped.variable] = population * np.exp(z) if grouped.is_factor else population + z
    for dose in model.doses:
        if len(rows.points.doses[dose.column].uncertain) and not rows.imputation:
            values[f"{dose.column}_true"] = _prior_true_doses(
                dose.prior("true"), rows.points.doses[dose.column].log_bounds, draws, rng
            )
    for moderator in model.moderator:
        if not moderator.is_numeric:
            name = moderator.column
            values[f"{name}_effect"] = values[f"between_{name}"][:, None] * rng.standard_normal((draws, len(rows.levels[name])))
    if model.study_effects == "student-t":
        shape, rate = weight_prior(model)
        values["study_weight"] = rng.gamma(shape, 1 / rate, (draws, len(rows.studies)))
    values |= {"cutpoint": ordinal.draw_cutpoints(rows.scores, draws, rng)} if rows.scores else {}
    values |= _prior_imputed(rows.imputation, draws, rng) if rows.imputation else {}
    return values | (rows.unknowns.draw_prior(draws, rng) if rows.unknowns else {})


def _prior_true_doses(prior, log_bounds: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    mu, sigma = prior.parameters["mu"], prior.parameters["sigma"]
    low, high = ndtr((log_bounds.T - mu) / sigma)
    inside = ndtri(low + (high - low) * rng.uniform(size=(draws, len(low))))
    return np.exp(np.clip(mu + sigma * inside, *log_bounds.T))


def _prior_imputed(imputation: Imputation, draws: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draws of missing doses given the printed doses, their own intervals and bounds, but no effect; what bounds one dose is not
    allowed to inform the others."""
    found, latents = {}, np.zeros((draws, 0))
    for part in imputation.parts:
        name, levels = part.column, len(imputation.levels)
        found[f"{name}_spread"], log_typical = _prior_typical(part, levels, draws, rng)
        found[f"{name}_typical"] = np.exp(log_typical)
        spread = np.hypot(found[f"{name}_spread"], LEAST_SPREAD)[:, None]
        mean, (low, high) = log_typical[:, part.group], part.ends(latents)
        below, above = ndtr((low - mean) / spread), ndtr((high - mean) / spread)
        drawn = mean + spread * ndtri(below + (above - below) * rng.uniform(size=mean.shape))
        latents = np.column_stack([latents, np.clip(drawn, low, high)])
    return found | {f"{column}_true": np.exp(doses.of(latents)) for column, doses in imputation.doses.items() if len(doses.rows)}


def _prior_typical(part: Latents, levels: int, draws: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draws of the spread (draws,) and the log typical doses (draws, levels) given the printed doses: exact given the spread, which
    is drawn from a grid over its prior."""
    mu, sigma = part.prior.parameters["mu"], part.prior.parameters["sigma"]
    groups = [part.observed[part.observed_group == level] for level in range(levels)]
    grid = part.spread.distribution.ppf((np.arange(2000) + 0.5) / 2000)
    variance = grid**2 + LEAST_SPREAD**2
    log_weight = np.zeros(len(grid))
    for seen in filter(len, groups):
        log_weight -= 0.5 * (((seen - seen.mean()) ** 2).sum() / variance + (len(seen) - 1) * np.log(variance))
        total = sigma**2 + variance / len(seen)
        log_weight -= 0.5 * ((seen.mean() - mu) ** 2 / total + np.log(total))
    weight = np.exp(log_weight - log_weight.max())
    spread = rng.choice(grid, draws, p=weight / weight.sum())
    precision = (spread**2 + LEAST_SPREAD**2) ** -1
    typical = np.empty((draws, levels))
    for level, seen in enumerate(groups):
        total = sigma**-2 + len(seen) * precision
        typical[:, level] = (mu * sigma**-2 + seen.sum() * precision) / total + rng.standard_normal(draws) / np.sqrt(total)
    return spread, typical
