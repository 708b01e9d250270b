"""Model + Rows -> the `program` that the compiled log density reads, and where in it everything stands."""

from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np

from .integrate import statistics_of
from .latents import Imputation
from .model import Dose, Model
from .predictor import linear_system, prior_constants, sampled_priors, study_effects, terms
from .program import (
    FAMILIES,
    MOST_PARAMETERS,
    Intervals,
    Likelihood,
    Missing,
    Moving,
    Program,
    Sampled,
    Unprinted,
)
from .rows import DosePoints, Rows
from .shapes import SHAPES, TINY
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
    """Hands out registers: of all sampled variables first, then of parameters by group, then of constants."""

    def __init__(self):
        self.priors: list[tuple[int, float, float]] = []
        self.products: list[tuple[int, int, int]] = []
        self.constants: list[float] = []
        self.sampled: dict[str, np.ndarray] = {}
        self.grouped: dict[str, np.ndarray] = {}

    def sample(self, name: str, family: str, first: float = 0.0, second: float = 1.0, size: int | None = None) -> np.ndarray:
        """Registers (size,) of a sampled variable, or its one register ()."""
        begin = len(self.priors)
        self.priors += [(FAMILIES.index(family), first, second)] * (1 if size is None else size)
        self.sampled[name] = np.array(begin) if size is None else np.arange(begin, begin + size)
        return self.sampled[name]

    def group(self, name: str, population: int, spread: int, normals: np.ndarray) -> None:
        begin = len(self.priors) + len(self.products)
        self.products += [(population, spread, normal) for normal in normals]
        self.grouped[name] = np.arange(begin, begin + len(normals))

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
        registers.sample(name, family, *prior.parameters.values())
    by_group = [(f"{dose.column}_{name}", dose.by) for dose in model.dose if dose.by for name in dose.basis.nonlinear]
    for name, by in by_group:
        registers.sample(f"{name}_by_{by}_z", "normal", size=len(rows.levels[by]))
    uncertain = {f"{c}_true": len(points.uncertain) for c, points in rows.points.doses.items() if len(points.uncertain)}
    intervals, missing = _no_intervals(), _nothing_missing()
    if rows.imputation and rows.imputation.parts:
        missing = _missing(rows.imputation, registers, [name.removesuffix("_true") for name in uncertain])
    elif uncertain:
        intervals = _intervals(model, rows, registers, uncertain)
    unprinted = _unprinted(rows.unknowns, registers)
    for name, by in by_group:
        places = registers.sampled[name], registers.sampled[f"{name}_between_{by}"], registers.sampled[f"{name}_by_{by}_z"]
        registers.group(f"{name}_by_{by}", *places)

    ends = list(accumulate(uncertain.values(), initial=0))
    log_doses = {name: np.arange(*pair) for name, pair in zip(uncertain, pairwise(ends), strict=True)}
    likelihood, moving = _likelihood(model, rows, registers, log_doses)
    family, first, second = (np.array(part) for part in zip(*registers.priors, strict=True))
    sampled = Sampled(
        family,
        first.astype(float),
        second.astype(float),
        np.array(registers.products, int).reshape(-1, 3),
        np.array(registers.constants),
    )
    program = Program(*map(_contiguous, (sampled, likelihood, moving, intervals, missing, unprinted)))
    return program, Layout(registers.sampled, registers.grouped, log_doses)


def _contiguous(part):
    """The arrays as compiled code reads them, which sees addresses only."""
    return type(part)(*(np.ascontiguousarray(array, float if array.dtype.kind == "f" else np.int64) for array in part))


def _signed(model: Model, rows: Rows) -> set[str]:
    """Standard deviations that are sampled with a sign, of whatever has many levels: studies, rows, doses.

    Those of two or three groups are not: where the groups differ, their density has a wall beside zero, which takes small steps.
    """
    by_group = {f"{d.column}_{name}_between_{d.by}" for d in model.dose if d.by for name in d.basis.nonlinear}
    imputed = {f"{part.column}_spread" for part in rows.imputation.parts} if rows.imputation else set()
    return {"within_study", *by_group, *imputed, *(spread for _, spread in study_effects(model, rows).values())}


def _likelihood(model: Model, rows: Rows, registers: _Registers, log_doses: dict) -> tuple[Likelihood, Moving]:
    """The arguments of the likelihood; columns that no parameter moves come first."""
    values = {name: np.ones_like(place, float) for name, place in (registers.sampled | registers.grouped).items()}
    values |= {name: np.ones(len(place)) for name, place in log_doses.items()}
    slots = {name: Register(place) for name, place in registers.sampled.items() if place.shape == ()}
    system = linear_system(terms(model, rows, rows.points, values), rows, prior_constants(model, rows) | slots)
    doses = [dose for dose in model.dose if dose.basis.nonlinear or len(rows.points.doses[dose.column].uncertain)]
    source = {f"{d.column}_{name}": (k, j) for k, d in enumerate(doses) for j, name in enumerate(d.basis.coefficients)}
    source |= {f"{name}_by_{doses[k].by}": (k, j) for name, (k, j) in source.items()}
    order = sorted(range(len(system)), key=lambda k: system[k].name in source)
    fixed = [system[k].column for k in order if system[k].name not in source]
    moving = [system[k] for k in order[len(fixed) :]]
    place = {system[k].name: position for position, k in enumerate(order) if system[k].group is None} | {None: NOWHERE}
    study = study_effects(model, rows)
    likelihood = Likelihood(
        effect=rows.effect,
        variance=rows.variance,
        fixed=np.array(fixed, float).reshape(len(fixed), len(rows.effect)),
        mean=np.array([registers.of(system[k].mean) for k in order]),
        sd=np.array([registers.of(system[k].sd) for k in order]),
        spread=np.array([slots[spread] for _, spread in study.values()]),
        within=np.array([slots["within_study"]] if rows.has_within_study else [], int),
        slopes=np.array([place[column_of] for column_of, _ in study.values()]),
        start=rows.start,
        correlation=rows.correlation,
        block=rows.block,
        statistics=np.empty(0),
    )
    is_static = not (rows.unknowns or rows.has_within_study or len(rows.correlation)) and len(study) == 1
    if is_static:
        likelihood = likelihood._replace(statistics=statistics_of(rows.effect, likelihood.fixed, rows.variance, rows.start))
    columns = [(*source[c.name], NOWHERE if c.group is None else c.group) for c in moving]
    return likelihood, _moving(doses, rows, registers, log_doses, np.array(columns, int).reshape(-1, 3))


def _moving(doses: list[Dose], rows: Rows, registers: _Registers, log_doses: dict, columns: np.ndarray) -> Moving:
    n, parts = len(rows.effect), [_points(dose, rows, registers, log_doses) for dose in doses]
    join = lambda k, empty: np.concatenate([empty, *(part[k] for part in parts)])
    groups = [rows.points.groups[dose.by] if dose.by else np.full(n, NOWHERE) for dose in doses]
    return Moving(
        shape=np.array([list(SHAPES).index(dose.shape) for dose in doses], int),
        reference=np.array([dose.reference for dose in doses], float),
        first=np.array([0, *accumulate(len(part[0]) for part in parts)]),
        x=join(0, np.empty(0)),
        weight=join(1, np.empty(0)),
        entry=join(2, np.empty(0, int)),
        log_dose=join(3, np.empty(0, int)),
        registers=join(4, np.empty((0, MOST_PARAMETERS), int)),
        size=np.array([part[5].max() + 1 for part in parts], int),
        row_entry=np.array([part[5] for part in parts], int).reshape(-1, n),
        columns=columns,
        row_group=np.array([groups[d] if group >= 0 else np.full(n, NOWHERE) for d, _, group in columns], int).reshape(-1, n),
    )


def _points(dose: Dose, rows: Rows, registers: _Registers, log_doses: dict) -> tuple:
    """x, weight, entry, uncertain dose and registers of every point of a dose, and the entry of each row.

    Printed doses that occur in several rows (of one group) are one point.
    """
    points, column = rows.points.doses[dose.column], dose.column
    group = rows.points.groups[dose.by] if dose.by else np.zeros(len(rows.effect), int)
    strata = np.unique(points.row_of_node)
    printed = np.setdiff1d(np.arange(len(rows.effect)), np.concatenate([points.uncertain, strata]))
    pairs, inverse = np.unique(np.column_stack([points.values[printed], group[printed]]), axis=0, return_inverse=True)
    uncertain, nodes = len(points.uncertain), len(points.nodes)
    row_entry = np.empty(len(rows.effect), int)
    row_entry[printed] = inverse.ravel()
    row_entry[points.uncertain] = len(pairs) + np.arange(uncertain)
    row_entry[strata] = len(pairs) + uncertain + np.arange(len(strata))

    doses = np.concatenate([pairs[:, 0], np.full(uncertain, dose.reference), points.nodes])
    x = np.log(doses / dose.reference + TINY) if dose.basis.on_log_scale else doses / dose.reference
    weight = np.concatenate([np.ones(len(pairs) + uncertain), points.average.sum(axis=1)])
    entry = np.concatenate([np.arange(len(pairs) + uncertain), row_entry[points.row_of_node]])
    number = np.concatenate(
        [np.full(len(pairs), NOWHERE), log_doses.get(f"{column}_true", np.empty(0, int)), np.full(nodes, NOWHERE)]
    )
    point_group = np.concatenate([pairs[:, 1].astype(int), group[points.uncertain], group[points.row_of_node]])
    places = np.full((len(x), MOST_PARAMETERS), NOWHERE)
    for k, name in enumerate(dose.basis.nonlinear):
        own = (
            registers.grouped[f"{column}_{name}_by_{dose.by}"][point_group] if dose.by else registers.sampled[f"{column}_{name}"]
        )
        places[:, k] = own
    return x, weight, entry, number, places, row_entry


def _intervals(model: Model, rows: Rows, registers: _Registers, uncertain: dict[str, int]) -> Intervals:
    found = [_no_intervals()]
    for dose in model.dose:
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
