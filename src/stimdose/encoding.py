"""Model + Rows -> the `program` that the compiled log density reads, and where in it everything stands."""

from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from .heterogeneity import row_levels, study_effects, weight_prior
from .integrate import statistics_of
from .latents import Imputation
from .model import Model
from .parts import Dose
from .predictor import combined, grouped_parameters, linear_system, prior_constants, sampled_priors, terms
from .program import (
    FAMILIES,
    Intervals,
    Levels,
    Likelihood,
    Missing,
    Moving,
    Program,
    Sampled,
    Unprinted,
)
from .rows import DosePoints, Rows
from .shapes import SHAPES
from .unknowns import Unknowns

NOWHERE = -1
"""Stands for a register, a group or a dose that is not there."""


class Register(int):
    """The number of a register, where a plain number is a constant."""


@dataclass(frozen=True)
class Layout:
    """Where the sampled variables stand.

    sampled: registers (...) of the variables that are sampled, by name, their shape included; grouped: of parameters by group.
    log_doses: by posterior variable name, the numbers of its doses among the uncertain ones.
    """

    sampled: dict[str, np.ndarray]
    grouped: dict[str, np.ndarray]
    log_doses: dict[str, np.ndarray]


class _Registers:
    """Hands out registers: of all sampled variables first, then of parameters by group, then of constants.

    combined: of every parameter that varies by a factor, its registers in the combinations of groups that there are.
    """

    def __init__(self):
        self.priors: list[tuple[int, float, float, float]] = []
        self.products: list[tuple[int, int, int]] = []
        self.constants: list[float] = []
        self.sampled: dict[str, np.ndarray] = {}
        self.grouped: dict[str, np.ndarray] = {}
        self.combined: dict[str, np.ndarray] = {}

    def sample(
        self, name: str, family: str, first: float = 0.0, second: float = 1.0, third: float = 0.0, *, size: int | None = None
    ) -> np.ndarray:
        """Registers (size,) of a sampled variable, or its one register ()."""
        begin = len(self.priors)
        self.priors += [(FAMILIES.index(family), first, second, third)] * (1 if size is None else size)
        self.sampled[name] = np.array(begin) if size is None else np.arange(begin, begin + size)
        return self.sampled[name]

    def group(self, bases: np.ndarray, spread: Any, normals: np.ndarray) -> np.ndarray:
        """Registers of parameters by group, base * exp(spread * normal)."""
        begin = len(self.priors) + len(self.products)
        self.products += [(base, spread, normal) for base, normal in zip(bases, normals, strict=True)]
        return np.arange(begin, begin + len(normals))

    def of(self, value) -> int:
        """The register of a value that is one, or else of a constant."""
        if isinstance(value, Register):
            return value
        self.constants.append(float(value))
        return len(self.priors) + len(self.products) + len(self.constants) - 1


def encode(model: Model, rows: Rows) -> tuple[Program, Layout]:
    """The program of a model and a table."""
    registers, signed = _Registers(), _signed(model, rows)
    for name, prior in sampled_priors(model, rows).items():
        family = prior.family.replace("half", "folded ") if name in signed else prior.family
        family += " above" if prior.lower is not None else ""
        registers.sample(name, family, *prior.parameters.values())
    by_group = [(grouped.name, grouped.group) for grouped in grouped_parameters(model) if grouped.is_factor]
    for name, by in by_group:
        registers.sample(f"{name}_by_{by}_z", "normal", size=len(rows.levels[by]))
    uncertain = {f"{c}_true": len(points.uncertain) for c, points in rows.points.doses.items() if len(points.uncertain)}
    intervals, missing = _no_intervals(), _nothing_missing()
    if rows.imputation and rows.imputation.parts:
        missing = _missing(rows.imputation, registers, [name.removesuffix("_true") for name in uncertain])
    elif uncertain:
        intervals = _intervals(model, rows, registers, uncertain)
    unprinted = _unprinted(rows.unknowns, registers)
    if model.study_effects == "student-t":
        registers.sample("study_weight", "gamma", *weight_prior(model), size=len(rows.studies))
    for name, by in by_group:
        spread, normals = registers.sampled[f"{name}_between_{by}"], registers.sampled[f"{name}_by_{by}_z"]
        registers.grouped[f"{name}_by_{by}"] = registers.group(np.full(len(normals), registers.sampled[name]), spread, normals)

    for name in dict.fromkeys(name for name, _ in by_group):
        registers.combined[name] = _combined(name, [by for other, by in by_group if other == name], rows, registers)

    ends = list(accumulate(uncertain.values(), initial=0))
    log_doses = {name: np.arange(*pair) for name, pair in zip(uncertain, pairwise(ends), strict=True)}
    likelihood, moving, levels = _likelihood(model, rows, registers, log_doses)
    family, *parameters = (np.array(part) for part in zip(*registers.priors, strict=True))
    sampled = Sampled(
        family,
        *(part.astype(float) for part in parameters),
        np.array(registers.products, int).reshape(-1, 3),
        np.array(registers.constants),
    )
    program = Program(*map(_contiguous, (sampled, likelihood, moving, levels, intervals, missing, unprinted)))
    return program, Layout(registers.sampled, registers.grouped, log_doses)


def _contiguous(part):
    """The arrays as compiled code reads them, which sees addresses only."""
    return type(part)(*(np.ascontiguousarray(array, float if array.dtype.kind == "f" else np.int64) for array in part))


def _signed(model: Model, rows: Rows) -> set[str]:
    """Standard deviations that are sampled with a sign, of whatever has many levels: studies, rows, doses.

    Those of two or three groups are not: where the groups differ, their density has a wall beside zero, which takes small steps. Nor is
    that of studies where it is the base of those of groups.
    """
    by_group = {grouped.spread for grouped in grouped_parameters(model) if grouped.is_factor}
    imputed = {f"{part.column}_spread" for part in rows.imputation.parts} if rows.imputation else set()
    signed = {"within_study", *by_group, *imputed, *(spread for _, spread in study_effects(model, rows).values())}
    return signed - ({"between_study"} if model.between_study_by else set())


def _likelihood(model: Model, rows: Rows, registers: _Registers, log_doses: dict) -> tuple[Likelihood, Moving, Levels]:
    """The arguments of the likelihood; columns that no parameter moves come first."""
    values = {name: np.ones_like(place, float) for name, place in (registers.sampled | registers.grouped).items()}
    values |= {name: np.ones(len(place)) for name, place in log_doses.items()}
    slots = {
        name: Register(place) for name, place in registers.sampled.items() if place.shape == () and name not in registers.combined
    }
    system = linear_system(terms(model, rows, rows.points, values), rows, values | prior_constants(model, rows) | slots)
    moves = lambda dose: dose.nonlinear or len(rows.points.doses[dose.column].uncertain)
    doses = [dose for part in model.dose if any(map(moves, part.factors)) for dose in part.factors]
    source = _sources(model, [dose.column for dose in doses])
    by_factor = lambda coefficient: coefficient.group is not None and coefficient.name in registers.combined
    mean_of = lambda c: registers.combined[c.name][c.group] if by_factor(c) else registers.of(c.mean)
    order = sorted(range(len(system)), key=lambda k: system[k].name in source)
    fixed = [system[k].column for k in order if system[k].name not in source]
    moving = [system[k] for k in order[len(fixed) :]]
    place = {system[k].name: position for position, k in enumerate(order) if system[k].group is None} | {None: NOWHERE}
    study, numbers, by = study_effects(model, rows), np.empty(0, int), model.between_study_by
    slopes = [place[column_of] for column_of, _ in study.values()]
    spread: list[Any] = [slots.get(name) for _, name in study.values()]
    own_spread, levels, of_levels = numbers, Levels(numbers, numbers, numbers), []
    if rows.has_levels:
        levels = Levels(
            rows.points.groups[by],
            registers.grouped[f"between_study_by_{by}"],
            registers.sampled["between_study_correlation"].reshape(1),
        )
        of_levels = [registers.of(0.0)] * len(levels.spread)
        slopes[:1], spread[:1] = len(order) + np.arange(len(of_levels)), [registers.of(1.0)] * len(of_levels)
    elif by:
        spread[0] = registers.of(1.0)
        own_spread = registers.grouped[f"between_study_by_{by}"][rows.points.groups[by][rows.start[:-1]]]
    of_rows = row_levels(rows)
    within = np.full(len(rows.effect) if of_rows else 0, registers.of(0.0))
    for name, of in of_rows.items():
        within[of > 0] = slots[name]
    likelihood = Likelihood(
        effect=rows.effect,
        variance=rows.variance,
        fixed=np.array(fixed, float).reshape(len(fixed), len(rows.effect)),
        mean=np.array([mean_of(system[k]) for k in order] + of_levels),
        sd=np.array([registers.of(system[k].sd) for k in order] + of_levels),
        spread=np.array(spread),
        within=within,
        slopes=np.array(slopes),
        own_spread=own_spread,
        weight=registers.sampled.get("study_weight", numbers),
        start=rows.start,
        correlation=rows.correlation,
        block=rows.block,
        statistics=np.empty(0),
    )
    is_static = not (rows.unknowns or of_rows or len(rows.correlation)) and len(spread) == 1
    if is_static:
        likelihood = likelihood._replace(statistics=statistics_of(rows.effect, likelihood.fixed, rows.variance, rows.start))
    row_group, columns = np.full((len(moving), len(rows.effect)), NOWHERE), np.empty((len(moving), 5), int)
    for k, coefficient in enumerate(moving):
        place, groups = source[coefficient.name]
        columns[k] = *place, NOWHERE if coefficient.group is None else coefficient.group
        if coefficient.group is not None:
            index = [rows.points.groups[name] for name in groups]
            row_group[k] = combined(index)[1] if by_factor(coefficient) else index[0]
    return likelihood, _moving(doses, rows, registers, log_doses, columns, row_group), levels


def _sources(model: Model, doses: list[str]) -> dict[str, tuple[tuple[int | None, ...], tuple[str, ...]]]:
    """Of every coefficient whose column moves, by posterior variable: dose and column, the same of the dose that multiplies it, and the
    groupings over which it varies."""
    found: dict[str, tuple[tuple[int | None, ...], tuple[str, ...]]] = {}
    for part in (part for part in model.dose if part.column in doses):
        own, other = doses.index(part.column), doses.index(part.times.column) if part.times else NOWHERE
        for name, (j, k) in part.columns.items():
            place = (other, k, NOWHERE, NOWHERE) if j is None else (own, j, *((NOWHERE, NOWHERE) if k is None else (other, k)))
            found[f"{part.column}_{name}"] = place, part.groups
            found |= {f"{part.column}_{name}_by_{group}": (place, (group,)) for group in part.groups}
    return found


def _moving(
    doses: list[Dose], rows: Rows, registers: _Registers, log_doses: dict, columns: np.ndarray, row_group: np.ndarray
) -> Moving:
    parts = [_points(dose, rows, registers, log_doses) for dose in doses]
    join = lambda k, empty: np.concatenate([empty, *(part[k] for part in parts)])
    ends = lambda sizes: np.array([0, *accumulate(sizes)])
    constants = [dose.basis.constants for dose in doses]
    before = ends(part[5].max() + 1 for part in parts)
    most = max((part[4].shape[1] for part in parts), default=0)
    places = [np.pad(part[4], ((0, 0), (0, most - part[4].shape[1])), constant_values=NOWHERE) for part in parts]
    return Moving(
        shape=np.array([list(SHAPES).index(dose.shape) for dose in doses], int),
        columns_of=np.array([len(dose.basis.coefficients) for dose in doses], int),
        parameters=np.array([len(dose.basis.nonlinear) for dose in doses], int),
        constants=np.concatenate([np.empty(0), *constants]),
        first_constant=ends(map(len, constants)),
        first=ends(len(part[0]) for part in parts),
        x=join(0, np.empty(0)),
        weight=join(1, np.empty(0)),
        entry=np.concatenate([np.empty(0, int), *(part[2] + k for part, k in zip(parts, before, strict=False))]),
        log_dose=join(3, np.empty(0, int)),
        registers=np.concatenate([np.empty((0, most), int), *places]),
        entries=before[-1:],
        row_entry=np.array([part[5] + k for part, k in zip(parts, before, strict=False)], int).reshape(-1, len(rows.effect)),
        columns=columns,
        row_group=row_group,
    )


def _points(dose: Dose, rows: Rows, registers: _Registers, log_doses: dict) -> tuple:
    """x, weight, entry, uncertain dose and registers of every point of a dose, and the entry of each row.

    Printed doses that occur in several rows (of one combination of groups) are one point.
    """
    points, column = rows.points.doses[dose.column], dose.column
    group = combined([rows.points.groups[name] for name in dose.nonlinear_groups] or [np.zeros(len(rows.effect), int)])[1]
    strata = np.unique(points.row_of_node)
    printed = np.setdiff1d(np.arange(len(rows.effect)), np.concatenate([points.uncertain, strata]))
    pairs, inverse = np.unique(np.column_stack([points.values[printed], group[printed]]), axis=0, return_inverse=True)
    uncertain, nodes = len(points.uncertain), len(points.nodes)
    row_entry = np.empty(len(rows.effect), int)
    row_entry[printed] = inverse.ravel()
    row_entry[points.uncertain] = len(pairs) + np.arange(uncertain)
    row_entry[strata] = len(pairs) + uncertain + np.arange(len(strata))

    x = dose.basis.scaled(np.concatenate([pairs[:, 0], np.full(uncertain, dose.reference), points.nodes]))
    weight = np.concatenate([np.ones(len(pairs) + uncertain), points.average.sum(axis=1)])
    entry = np.concatenate([np.arange(len(pairs) + uncertain), row_entry[points.row_of_node]])
    number = np.concatenate(
        [np.full(len(pairs), NOWHERE), log_doses.get(f"{column}_true", np.empty(0, int)), np.full(nodes, NOWHERE)]
    )
    point_group = np.concatenate([pairs[:, 1].astype(int), group[points.uncertain], group[points.row_of_node]])
    places = np.empty((len(x), len(dose.basis.nonlinear)), int)
    for k, name in enumerate(dose.basis.nonlinear):
        if name in dose.fixed:
            places[:, k] = registers.of(dose.fixed[name])
        else:
            variable = f"{column}_{name}"
            places[:, k] = registers.combined[variable][point_group] if dose.nonlinear_groups else registers.sampled[variable]
    return x, weight, entry, number, places, row_entry


def _combined(name: str, groups: list[str], rows: Rows, registers: _Registers) -> np.ndarray:
    """The register of a parameter in every combination of groups."""
    combinations, _ = combined([rows.points.groups[by] for by in groups])
    found = registers.grouped[f"{name}_by_{groups[0]}"][combinations[:, 0]]
    for k, by in enumerate(groups[1:], 1):
        normals = registers.sampled[f"{name}_by_{by}_z"][combinations[:, k]]
        found = registers.group(found, registers.sampled[f"{name}_between_{by}"], normals)
    return found


def _intervals(model: Model, rows: Rows, registers: _Registers, uncertain: dict[str, int]) -> Intervals:
    found = [_no_intervals()]
    for dose in model.doses:
        points: DosePoints = rows.points.doses[dose.column]
        if size := uncertain.get(f"{dose.column}_true"):
            place = registers.sample(f"{dose.column}_true_position", "position", size=size)
            mu, sigma = (np.full(size, dose.prior("true").parameters[name]) for name in ("mu", "sigma"))
            found.append(Intervals(place, *points.log_bounds.T, mu, sigma))
    return Intervals(*(np.concatenate(part) for part in zip(*found, strict=True)))


def _no_intervals() -> Intervals:
    return Intervals(np.empty(0, int), *np.empty((4, 0)))


def _missing(imputation: Imputation, registers: _Registers, columns: list[str]) -> Missing:
    """columns: those of the model with missing doses, in the order of the uncertain doses."""
    size, before = len(imputation.doses[columns[0]].weights.T), 0
    typical, spread, own, bounded = (np.empty(size, int) for _ in range(4))
    low, high, limits, observed = np.empty(size), np.empty(size), [], []
    for part in imputation.parts:
        name, here = part.column, slice(before, before + len(part.group))
        levels = registers.sample(f"{name}_typical", "lognormal", *part.prior.parameters.values(), size=len(imputation.levels))
        bounded[here] = np.arange(len(part.group)) >= part.free
        typical[here], spread[here] = levels[part.group], registers.sampled[f"{name}_spread"]
        z = registers.sample(f"{name}_missing_z", "normal", size=part.free)
        position = registers.sample(f"{name}_position", "position", size=len(part.group) - part.free)
        own[here] = np.concatenate([z, position])
        low[here], high[here] = part.log_bounds.T
        for is_low, hit in ((1, part.is_lowest), (0, part.is_highest)):
            for latent, limit in np.argwhere(hit):
                limits.append((before + latent, is_low, part.limit[limit], part.weights[limit]))
        spreads = np.full(len(part.observed), registers.sampled[f"{name}_spread"])
        observed.append((part.observed, levels[part.observed_group], spreads))
        before = here.stop
    weights = np.zeros((len(limits), size))
    for line, (*_, signs) in zip(weights, limits, strict=True):
        line[: len(signs)] = signs
    return Missing(
        typical,
        spread,
        own,
        bounded,
        low,
        high,
        np.array([limit[0] for limit in limits], int),
        np.array([limit[1] for limit in limits], int),
        np.array([limit[2] for limit in limits], float),
        weights,
        *(np.concatenate(part) for part in zip(*observed, strict=True)),
        np.concatenate([imputation.doses[column].printed for column in columns]),
        np.concatenate([imputation.doses[column].weights for column in columns]),
    )


def _nothing_missing() -> Missing:
    numbers, floats, table = np.empty(0, int), np.empty(0), np.empty((0, 0))
    return Missing(*[numbers] * 4, floats, floats, numbers, numbers, floats, table, floats, numbers, numbers, floats, table)


def _unprinted(unknowns: Unknowns | None, registers: _Registers) -> Unprinted:
    numbers, floats = np.empty(0, int), np.empty(0)
    found = Unprinted(
        numbers, numbers, np.empty((0, 4)), numbers, floats, floats, floats, numbers, numbers, numbers, np.empty((0, 2))
    )
    if unknowns and len(unknowns.r_rows):
        names = ("effect_r0", "effect_r_slope", "variance_r0", "variance_r_slope")
        table = np.column_stack([getattr(unknowns, name) for name in names])
        found = found._replace(r=registers.sampled["pre_post_r"].reshape(1), r_rows=unknowns.r_rows, r_coefficients=table)
    if unknowns and len(unknowns.sd_rows):
        typical = registers.sample("sd_typical_z", "normal", size=len(unknowns.count))
        own = registers.sample("sd_z", "normal", size=len(unknowns.sd_rows))
        found = found._replace(
            sd=np.array([registers.sampled["sd_spread"], typical[0], own[0]], int),
            center=unknowns.center,
            count=unknowns.count.astype(float),
            printed=np.array([unknowns.squares, unknowns.count.sum() - len(unknowns.count)]),
            sd_rows=unknowns.sd_rows,
            sd_group=unknowns.sd_group,
            is_raw=unknowns.is_raw.astype(int),
            sd_coefficients=np.column_stack([unknowns.effect_sd1, unknowns.variance_sd1]),
        )
    return found
