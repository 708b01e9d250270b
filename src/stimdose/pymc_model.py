"""Model + Trials -> a plain pm.Model. The whole statistical model on one screen.

    effect_i ~ Normal(mean_i + study effects, variance_i + spread_i^2)      mean_i = sum of the terms of `predictor`

spread_i is `within_study`, or `residual_sd` where the row is a participant, whose variance of sampling is 0.

With integrate=True (the default) coefficients with normal priors, group deviations and study effects are integrated out exactly
(`integrate`), and only non-linear parameters, scales, positive coefficients and uncertain doses are sampled. With
integrate=False everything is explicit, for `pm.do`, graphs, and for checking one form against the other. With `selection` the
coefficients are explicit, and the effects of studies are integrated out (see `selection`). An ordinal model is always explicit: the
effect is a latent one, and what is observed is the level of the score (see `ordinal`).
"""

from itertools import pairwise
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from scipy.special import ndtri

from .heterogeneity import row_variance, scaled_effects, study_dims, study_part, study_spread, weight_prior
from .latents import LEAST_SPREAD, Imputation
from .model import Model
from .op import integrated_normal
from .ordinal import ends, log_probability
from .predictor import (
    grouped_parameters,
    linear_system,
    mean_effect,
    prior_constants,
    row_coords,
    sampled_priors,
    study_system,
    terms,
)
from .rows import DosePoints, Missing, Rows, prepare, rows_of
from .selection import PROBABILITY, log_selection
from .trials import Trials
from .unknowns import Unknowns


def build(
    model: Model, trials: Trials, *, integrate: bool = True, missing: Missing = "error", allow_mixed: tuple[str, ...] = ()
) -> pm.Model:
    """The model as a pm.Model, observations and prior constants as pm.Data. A model of selection, or an ordinal one, is never integrated.

    Raises ModelError or TrialsError where model and table do not fit.
    """
    model, trials = prepare(model, trials, missing, allow_mixed)
    return build_rows(model, rows_of(model, trials, missing == "impute"), integrate=integrate)


def build_rows(model: Model, rows: Rows, *, integrate: bool = True) -> pm.Model:
    """`build` from arrays that are ready."""
    integrate = integrate and not model.is_explicit
    coords = {**rows.levels, "study": list(rows.studies), "row": list(rows.labels)}
    coords |= row_coords(rows)
    coords |= {"modality": rows.imputation.levels} if rows.imputation else {}
    with pm.Model(coords=coords) as built:
        numbers = prior_constants(model, rows)
        data = pm.Data("prior_constants", np.array(list(numbers.values())))
        values = _parameters(model, rows, {name: data[k] for k, name in enumerate(numbers)}, integrate)
        found = terms(model, rows, rows.points, values)
        system = linear_system(found, rows, values)
        effect, variance = (pm.Data(name, getattr(rows, name), dims="row") for name in ("effect", "variance"))
        if rows.unknowns:
            values |= _unknowns(rows.unknowns, values)
            effect, variance, jacobian = rows.unknowns.complete(values, effect, variance)
            pm.Potential("log_jacobian", jacobian.sum())
        within = row_variance(rows, values)
        if integrate:
            pm.Potential("log_likelihood", _integrated(model, rows, system, values, effect, variance, within))
        else:
            mean = mean_effect(found, values)
            columns = {coefficient.name: coefficient.column for coefficient in system if coefficient.group is None}
            if model.selection:
                within = study_spread(model, rows, values) ** 2  # one row for each study
                log_weight = log_selection(rows.effect, rows.variance, mean, pt.sqrt(variance + within), values[PROBABILITY])
                pm.Potential("log_selection", log_weight.sum())
            else:
                normals = {name: pm.Normal(f"{name}_z", 0, 1, dims=dims) for name, dims in study_dims(model, rows).items()}
                mean = mean + study_part(model, rows, columns, scaled_effects(model, rows, normals, values))
            if rows.scores:
                _observe_levels(rows, mean)
            else:
                _observe(rows, mean, effect, variance, within)
    return built


def _observe_levels(rows: Rows, mean) -> None:
    """The ordinal likelihood; the prior of ordered cutpoints is that of standard normals, times a constant."""
    category, inner = rows.scores.category(rows.effect), len(rows.scores.levels) - 1
    start = ndtri((1 + np.arange(inner)) / (1 + inner))
    cutpoint = pm.Normal("cutpoint", 0, 1, dims="score_step", transform=pm.distributions.transforms.ordered, initval=start)
    low, high = ends(cutpoint, category)
    pm.Potential("score_observed", log_probability(low + mean, high + mean).sum())


def _observe(rows: Rows, mean, effect, variance, within) -> None:
    """The likelihood of the explicit form; with covariances one dense normal for all rows, for checking small tables."""
    if not len(rows.correlation):
        if rows.unknowns:
            pm.Potential("effect_observed", pm.logp(pm.Normal.dist(mean, pt.sqrt(variance + within)), effect).sum())
        else:
            pm.Normal("effect_observed", mean, pt.sqrt(variance + within), observed=effect, dims="row")
        return
    correlation = np.eye(len(rows.effect))
    for (first, last), (begin, end) in zip(pairwise(rows.start), pairwise(rows.block), strict=True):
        if end > begin:
            correlation[first:last, first:last] = rows.correlation[begin:end].reshape(last - first, last - first)
    se = pt.sqrt(variance)
    covariance = correlation * se[:, None] * se + pt.diag(pt.as_tensor(within))
    pm.Potential("effect_observed", pm.logp(pm.MvNormal.dist(mean, cov=covariance), effect))


def _unknowns(unknowns: Unknowns, values: dict) -> dict:
    """Standard deviations that are not printed, around the typical one of their outcome (see `unknowns`)."""
    if not len(unknowns.sd_rows):
        return {}
    spread = values["sd_spread"]
    pm.Potential("sd_density", unknowns.log_density(spread))
    typical, own = (
        pm.Normal("sd_typical_z", 0, 1, shape=len(unknowns.count)),
        pm.Normal("sd_z", 0, 1, shape=len(unknowns.sd_rows)),
    )
    return {"sd_true": pm.Deterministic("sd_true", pt.exp(unknowns.log_sd(spread, typical, own)), dims="sd_true_row")}


def _integrated(model: Model, rows: Rows, system, values: dict, effect, variance, within):
    """The marginal likelihood; columns that no parameter moves come first, so that the kernel need not differentiate them."""
    of_levels, spreads, factor = study_system(model, rows, values)
    system = system + of_levels
    order = sorted(range(len(system)), key=lambda k: not isinstance(system[k].column, np.ndarray))
    fixed = [system[k].column for k in order if isinstance(system[k].column, np.ndarray)]
    moving = [system[k].column for k in order[len(fixed) :]]
    place = {system[k].name: position for position, k in enumerate(order) if system[k].group is None} | {None: -1}
    outputs: Any = integrated_normal(
        effect,
        np.column_stack(fixed) if fixed else np.empty((len(rows.effect), 0)),
        pt.stack(moving, axis=-1) if moving else np.empty((len(rows.effect), 0)),
        pt.stack([pt.as_tensor(system[k].mean, dtype="float64") for k in order]),
        pt.stack([pt.as_tensor(system[k].sd, dtype="float64") for k in order]),
        pt.stack(list(spreads.values())),
        np.array([place[column_of] for column_of in spreads]),
        np.empty(0) if factor is None else factor,
        variance,
        pt.as_tensor(within, dtype="float64"),
        rows.start,
        rows.correlation,
        rows.block,
    )
    return outputs[0]


def _parameters(model: Model, rows: Rows, constants: dict, integrate: bool) -> dict:
    """What the terms need: sampled variables, parameters by group, uncertain doses, and the constants of the priors."""
    values = dict(constants)
    for name, prior in sampled_priors(model, rows, integrate).items():
        values[name] = prior.variable(name, {key: constants[f"{name}_prior_{key}"] for key in prior.parameters})
    for grouped in grouped_parameters(model):
        if grouped.is_factor or not integrate:
            deviation = values[grouped.spread] * pm.Normal(f"{grouped.variable}_z", 0, 1, dims=grouped.group)
            population = values[grouped.name]
            own = population * pt.exp(deviation) if grouped.is_factor else population + deviation
            values[grouped.variable] = pm.Deterministic(grouped.variable, own, dims=grouped.group)
    if model.study_effects == "student-t":
        values["study_weight"] = pm.Gamma("study_weight", *np.array(weight_prior(model)), dims="study")
    for column in [] if integrate else [moderator.column for moderator in model.moderator if not moderator.is_numeric]:
        deviation = values[f"between_{column}"] * pm.Normal(f"{column}_effect_z", 0, 1, dims=column)
        values[f"{column}_effect"] = pm.Deterministic(f"{column}_effect", deviation, dims=column)
    if rows.imputation:
        return values | _imputed_doses(rows.imputation, values)
    for dose in model.doses:
        points = rows.points.doses[dose.column]
        if len(points.uncertain):
            values[f"{dose.column}_true"] = _uncertain_dose(f"{dose.column}_true", points, constants)
    return values


def _uncertain_dose(name: str, points: DosePoints, constants: dict):
    """Doses printed as intervals: the log-normal prior times the indicator of the interval, on the log scale."""
    low, high = points.log_bounds.T
    log_dose = low + (high - low) * pm.Uniform(f"{name}_position", 0, 1, shape=len(low))
    distance = (log_dose - constants[f"{name}_prior_mu"]) / constants[f"{name}_prior_sigma"]
    pm.Potential(f"{name}_prior", -0.5 * (distance**2).sum())
    return pm.Deterministic(name, pt.exp(log_dose), dims=f"{name}_row")


def _imputed_doses(imputation: Imputation, values: dict) -> dict:
    """Typical doses by modality, latents around them, and the missing doses that these give (see `latents`)."""
    found, latents = {}, pt.zeros(0)
    for part in imputation.parts:
        name, prior = part.column, {key: values[f"{part.column}_true_prior_{key}"] for key in part.prior.parameters}
        typical = pm.LogNormal(f"{name}_typical", **prior, dims="modality")
        spread = pt.sqrt(values[f"{name}_spread"] ** 2 + LEAST_SPREAD**2)
        bounded = len(part.group) - part.free
        z = pm.Normal(f"{name}_missing_z", 0, 1, shape=part.free) if part.free else np.zeros(0)
        low, high = (end[part.free :] for end in part.ends(latents))
        inside = pm.Uniform(f"{name}_position", 0, 1, shape=bounded) if bounded else np.zeros(0)
        free = pt.log(typical)[part.group[: part.free]] + spread * z
        within = low + (high - low) * inside
        resembling = pt.concatenate([part.observed, within])
        group = np.concatenate([part.observed_group, part.group[part.free :]])
        distance = (resembling - pt.log(typical)[group]) / spread
        density = -0.5 * (distance**2).sum() - len(group) * pt.log(spread)
        pm.Potential(f"{name}_density", density + pt.log(high - low).sum())
        latents = pt.concatenate([latents, free, within])
    for column, doses in imputation.doses.items():
        if len(doses.rows):
            found[f"{column}_true"] = pm.Deterministic(f"{column}_true", pt.exp(doses.of(latents)), dims=f"{column}_true_row")
    return found
