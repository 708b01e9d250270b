"""The mean effect as a list of terms. One definition serves the likelihood (PyTensor), posterior draws and curves (NumPy).

`values` maps posterior variable names, and the constants `<name>_prior_mu`, `<name>_prior_sigma` of Gaussian coefficients, to
PyTensor variables or to arrays of draws (draws, ...) with group dimensions last.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from . import outcomes
from .heterogeneity import _slopes, level_columns, row_levels, spread_at, study_dims, study_effects, study_spread
from .model import Model
from .parts import Dose
from .priors import Prior
from .rows import DosePoints, Points, Rows


@dataclass(frozen=True)
class Grouping:
    """How a coefficient varies over groups: the grouping ("phase", or "phase:site"), the group of each point (points,), the posterior
    variable of the coefficients by group (..., groups), and the one of their standard deviation."""

    name: str
    index: np.ndarray
    variable: str
    spread: str


@dataclass(frozen=True)
class Term:
    """A coefficient, which may vary over groups, times a column.

    column: (..., points). name: posterior variable of the population coefficient; None for a moderator of words, which has
    deviations only. is_gaussian: the population coefficient has a normal prior and can be integrated out, with the deviations of
    groups; else it is positive, and groups differ by a factor.
    """

    column: Any
    name: str | None
    is_gaussian: bool = True
    groupings: tuple[Grouping, ...] = ()

    def contribution(self, values: dict):
        """Contribution to the mean effect (..., points), given the coefficients."""
        if not self.is_gaussian:
            return varying(self.name, {grouping.name: grouping.index for grouping in self.groupings}, values) * self.column
        by_group = [values[grouping.variable][..., grouping.index] for grouping in self.groupings]
        if len(by_group) == 1:
            return by_group[0] * self.column
        population = values[self.name][..., None]
        return (population + sum(own - population for own in by_group)) * self.column


def sampled_priors(model: Model, rows: Rows, integrate: bool = True) -> dict[str, Prior]:
    """Priors of the population parameters that are sampled for this table, by name, without what is by group or by row."""
    imputed = {part.column for part in rows.imputation.parts} if rows.imputation else set()
    unused = {f"{dose.column}_true" for dose in model.doses}
    unused |= {f"{column}_true" for column in imputed}
    unused |= {f"{dose.column}_spread" for dose in model.doses if dose.column not in imputed}
    unused |= set() if rows.has_within_study else {"within_study"}
    unused |= set() if rows.has_levels else {"between_study_correlation"}
    unused |= {f"{name}_between_study" for column, name in _slopes(model) if column not in rows.slopes}
    unused |= set(gaussian_coefficients(model)) if integrate else set()
    return {name: prior for name, prior in all_priors(model, rows).items() if name not in unused}


def all_priors(model: Model, rows: Rows) -> dict[str, Prior]:
    """Every prior by name: those of the model, of columns through which its missing doses are imputed, and of whatever else the table
    brings."""
    found = model.priors() | (model.residual_prior() if "residual_sd" in row_levels(rows) else {})
    if rows.has_levels and (levels := len(rows.levels[model.between_study_by])) > 2:
        name = "between_study_correlation"
        found[name] = found[name].above(outcomes.lowest_correlation(levels))
    return found | (rows.imputation.priors() if rows.imputation else {}) | (rows.unknowns.priors() if rows.unknowns else {})


def gaussian_coefficients(model: Model) -> dict[str, Prior]:
    """Population coefficients with a normal prior, by posterior variable name."""
    names = {"intercept"} | {f"{d.column}_{c}" for d in model.dose for c in d.coefficients}
    names |= {f"{m.column}_effect" for m in model.moderator} | {"small_study_effect"}
    return {name: prior for name, prior in model.priors().items() if name in names and prior.is_gaussian}


def prior_constants(model: Model, rows: Rows) -> dict[str, float]:
    """The parameters of every prior as `<name>_prior_<parameter>`."""
    priors = all_priors(model, rows)
    return {f"{name}_prior_{key}": value for name, prior in priors.items() for key, value in prior.parameters.items()}


def variable_dims(model: Model, rows: Rows) -> dict[str, tuple[str, ...]]:
    """Every posterior variable of a fit with its dimensions besides chain and draw, population parameters first."""
    dims: dict[str, tuple[str, ...]] = dict.fromkeys(sampled_priors(model, rows, integrate=False), ())
    if rows.imputation:
        dims |= {f"{part.column}_typical": ("modality",) for part in rows.imputation.parts}
    dims |= {grouped.variable: (grouped.group,) for grouped in grouped_parameters(model)}
    for dose in model.doses:
        if len(rows.points.doses[dose.column].uncertain):
            dims[f"{dose.column}_true"] = (f"{dose.column}_true_row",)
    dims |= {f"{m.column}_effect": (m.column,) for m in model.moderator if not m.is_numeric}
    if rows.unknowns and len(rows.unknowns.sd_rows):
        dims["sd_true"] = ("sd_true_row",)
    if model.study_effects == "student-t":
        dims["study_weight"] = ("study",)
    if rows.scores:
        dims["cutpoint"] = ("score_step",)
    return dims | study_dims(model, rows)


class Grouped(NamedTuple):
    """A parameter that varies over groups: its posterior variable in the population, the grouping, whether groups differ by a factor (or
    by a difference), and the posterior variable of the standard deviation between them."""

    name: str
    group: str
    is_factor: bool
    spread: str

    @property
    def variable(self) -> str:
        """Posterior variable by group."""
        return f"{self.name}_by_{self.group}"


def grouped_parameters(model: Model) -> list[Grouped]:
    """Every parameter that varies over groups."""
    found, level = [], model.intercept
    if level:
        found += [Grouped("intercept", group, level.prior.is_positive, f"intercept_between_{group}") for group in level.groups]
    for part in model.dose:
        for name, group in [(name, group) for group in part.groups for name in part.coefficients]:
            spread = f"{part.column}_{part.spread(name, group)}"
            found.append(Grouped(f"{part.column}_{name}", group, part.prior(name).is_positive, spread))
    if by := model.between_study_by:
        found.append(Grouped("between_study", by, True, f"between_study_between_{by}"))
    for dose in model.doses:
        pairs = [(f"{dose.column}_{name}", group) for group in dose.nonlinear_groups for name in dose.nonlinear]
        found += [Grouped(name, group, True, f"{name}_between_{group}") for name, group in pairs]
    return found


def row_coords(rows: Rows) -> dict[str, list]:
    """Labels of the rows along the dimension `<name>_row` of whatever is unknown by row; of an ordinal model also `score_step`, the
    levels, from the best, that each cutpoint lies between."""
    found = {f"{column}_true_row": list(rows.labels[points.uncertain]) for column, points in rows.points.doses.items()}
    found |= {"score_step": [f"{a}|{b}" for a, b in pairwise(rows.scores.labels)]} if rows.scores else {}
    return found | ({"sd_true_row": list(rows.labels[rows.unknowns.sd_rows])} if rows.unknowns else {})


def array_library(*arrays):
    """numpy, or pytensor.tensor if any of the arrays is symbolic."""
    if any(type(array).__module__.startswith("pytensor") for array in arrays):
        import pytensor.tensor as pt

        return pt
    return np


def terms(model: Model, rows: Rows, points: Points, values: dict) -> list[Term]:
    """The terms of the mean effect at `points`; non-linear parameters come from `values`."""
    ones, grouped = np.ones(points.size), grouped_parameters(model)
    found = []
    if model.intercept:
        found.append(_term("intercept", ones, model.intercept.prior.is_gaussian, grouped, points))
    for dose in model.dose:
        own = dose_columns(dose, points, values)
        other = dose_columns(dose.times, points, values) if dose.times else []
        for name, (j, k) in dose.columns.items():
            column = own[j] if k is None else other[k] if j is None else own[j] * other[k]
            found.append(_term(f"{dose.column}_{name}", column, dose.prior(name).is_gaussian, grouped, points))
    for moderator in model.moderator:
        if moderator.is_numeric:
            found.append(Term(points.moderators[moderator.column], f"{moderator.column}_effect", moderator.prior.is_gaussian))
        else:
            name = moderator.column
            found.append(Term(ones, None, True, (Grouping(name, points.groups[name], f"{name}_effect", f"between_{name}"),)))
    if model.small_study:
        found.append(Term(points.small_study * ones, "small_study_effect", model.priors()["small_study_effect"].is_gaussian))
    return found


def _term(name: str, column, is_gaussian: bool, grouped: list[Grouped], points: Points) -> Term:
    own = [one for one in grouped if one.name == name]
    groupings = [Grouping(one.group, points.groups[one.group], one.variable, one.spread) for one in own]
    return Term(column, name, is_gaussian, tuple(groupings))


def dose_columns(dose: Dose, points: Points, values: dict) -> list:
    """The basis columns (..., rows) of a dose: evaluated at its points, then averaged over strata and put in the order of the
    rows."""
    at = points.doses[dose.column]
    parts = [at.values]
    if len(at.uncertain):
        true = values[f"{dose.column}_true"]
        parts = [np.broadcast_to(at.values, (*true.shape[:-1], len(at.values)))] if array_library(true) is np else parts
        parts.append(true)
    if len(at.nodes):
        lead = parts[-1].shape[:-1] if array_library(*parts) is np else ()
        parts.append(np.broadcast_to(at.nodes, (*lead, len(at.nodes))))
    x = parts[0] if len(parts) == 1 else array_library(*parts).concatenate(parts, axis=-1)
    groups = {group: points.groups[group][at.row_of_point] for group in dose.nonlinear_groups}
    nonlinear = {name: varying(f"{dose.column}_{name}", groups, values) for name in dose.nonlinear}
    return [_rows(column, at) for column in dose.basis.columns(x, **nonlinear, **dose.fixed)]


def varying(name: str, groups: dict[str, np.ndarray], values: dict):
    """A positive parameter (..., points): that of the population, times what the groups of each point differ by."""
    by_group = [values[f"{name}_by_{group}"][..., index] for group, index in groups.items()]
    if len(by_group) == 1:
        return by_group[0]
    population = found = values[name][..., None]
    for own in by_group:
        found = found * (own / population)
    return found


def _rows(column, points: DosePoints):
    if points.order is None:
        return column
    if len(points.nodes):
        single = len(points.row_of_point) - len(points.nodes)
        strata = column[..., single:] @ points.average
        column = array_library(column).concatenate([column[..., :single], strata], axis=-1)
    return column[..., points.order]


@dataclass(frozen=True)
class Coefficient:
    """One coefficient of y = X beta + ...: its column (..., rows), and the mean and standard deviation of beta (0 where it is
    sampled).

    name: posterior variable of a population coefficient, or of the coefficients by group, with `group` the group's number. Of a positive
    coefficient that varies over groups, `name` is that of the population, and `group` the number of the combination of groups; its
    population column has the coefficient 0, and is there for what varies by study.
    """

    column: Any
    mean: Any
    sd: Any
    name: str
    group: int | None = None


def linear_system(found: list[Term], rows: Rows, values: dict) -> list[Coefficient]:
    """The coefficients of X: for every term its population coefficient, then the deviations of the groups of each grouping."""
    system = []
    for term in found:
        if term.groupings and not term.is_gaussian:
            combinations, of_row = combined([grouping.index for grouping in term.groupings])
            levels = {grouping.name: combinations[:, k] for k, grouping in enumerate(term.groupings)}
            means = varying(term.name, levels, values)
            system.append(Coefficient(term.column, 0.0, 0.0, term.name))
            system += [
                Coefficient(term.column * (of_row == k), means[..., k], 0.0, term.name, k) for k in range(len(combinations))
            ]
            continue
        if term.name is not None:
            mean, sd = (
                (values[f"{term.name}_prior_mu"], values[f"{term.name}_prior_sigma"])
                if term.is_gaussian
                else (values[term.name], 0.0)
            )
            system.append(Coefficient(term.column, mean, sd, term.name))
        for grouping in term.groupings:
            for group in range(len(rows.levels[grouping.name])):
                column = term.column * (grouping.index == group)
                system.append(Coefficient(column, 0.0, values[grouping.spread], grouping.variable, group))
    return system


def combined(indices: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The combinations of groups (combinations, groupings) that rows have, and the one of each row, given their groups (rows,)."""
    found, of_row = np.unique(np.column_stack(indices), axis=0, return_inverse=True)
    return found, of_row.ravel()


def study_system(model: Model, rows: Rows, values: dict) -> tuple[list[Coefficient], dict[str | None, Any], Any]:
    """What the kernel is told of the effects of studies (see `integrate`): further columns of X, those of levels, with the coefficient 0; the
    spread of every effect by the column that it multiplies, None for ones; and, where studies differ in the first, their `study_spread` as
    a factor (..., studies) on 1, else None."""
    slopes = {of: values[own] for of, own in study_effects(model, rows).values() if of}
    one = values["between_study"] ** 0
    if rows.has_levels:
        spread = spread_at(model, rows.points.groups, rows.study, values)
        own = level_columns(model, rows, rows.points.groups, spread, values)
        system = [Coefficient(column, 0.0, 0.0, f"study_effect_{k}") for k, column in enumerate(own)]
        return system, {part.name: one for part in system} | slopes, None
    if model.studies_share_a_spread:
        return [], {None: values["between_study"]} | slopes, None
    return [], {None: one} | slopes, study_spread(model, rows, values)


def coefficients(found: list[Term], system: list[Coefficient], beta: np.ndarray) -> dict[str, np.ndarray]:
    """Posterior variables from draws beta (draws, p) of the coefficients of `linear_system`; group totals, not deviations."""
    drawn = {coefficient.name: beta[:, k] for k, coefficient in enumerate(system) if coefficient.group is None}
    for term in found:
        for grouping in term.groupings if term.is_gaussian else ():
            deviations = beta[:, [k for k, coefficient in enumerate(system) if coefficient.name == grouping.variable]]
            drawn[grouping.variable] = deviations if term.name is None else drawn[term.name][:, None] + deviations
    return drawn


def mean_effect(found: list[Term], values: dict):
    """The mean effect (..., points), given all coefficients."""
    return sum(term.contribution(values) for term in found)
