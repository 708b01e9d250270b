"""Trials from a known truth, on the design of real ones: their rows, doses, groups, variances and correlations."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
import xarray as xr

from .errors import Problem, StimdoseError, TrialsError, nearest
from .heterogeneity import study_effects
from .model import Model
from .posterior import draw_prior, draw_study_effects, replicate
from .predictor import all_priors, grouped_parameters, row_coords, variable_dims
from .results import dataset
from .rows import Missing, Rows, prepare, rows_of
from .settings import checked_seed
from .trials import Trials, mixable


@dataclass(frozen=True)
class SimulatedTrials:
    """Trials whose effects are drawn from a model.

    trials: the design with simulated effects, as its remarks say; doses, groups and variances are those of the design, and so are
        whatever else its table prints. truth: Dataset of the parameters that the effects were drawn from, by posterior variable
        name, with the effects of every study. model: as it was used. seed.
    """

    trials: Trials
    truth: xr.Dataset
    model: Model
    seed: int


def simulate_trials(
    model: Model,
    trials: Trials,
    truth: Mapping | xr.Dataset | None = None,
    *,
    seed: int | None = None,
    missing: Missing = "error",
    allow_mixed: str | tuple[str, ...] = (),
) -> SimulatedTrials:
    """Draw the effects of all rows from the model, on the design of `trials`.

    truth: a number for every parameter by posterior variable name; for what varies over groups a dict by level, or an array in the
        order of the levels: {"frequency_hz_peak": 16, "intercept_by_phase": {"acute": 0.3, "chronic": 0.1}, ...}. What decides
        nothing once the groups are stated (the population value, the spread between groups) may be left out. What is of a single
        study or row, its effect or a dose that is not printed, is drawn if it is not stated. None draws everything from the prior.
    missing, allow_mixed: as of `fit`.

    Raises StimdoseError with all that is wrong with the truth; ModelError or TrialsError where model and table do not fit, and where
    rows lack the SD or correlation that their effect depends on.
    """
    seed, allow_mixed = checked_seed(seed), mixable(allow_mixed)
    model, trials = prepare(model, trials, missing, allow_mixed)
    rows, rng = design_of(model, trials, missing), np.random.default_rng(seed)
    values = prior_truth(model, rows, rng)
    if truth is not None:
        stated, dims = _stated(model, rows, truth), variable_dims(model, rows)
        local = {name: value for name, value in values.items() if name in dims and _is_local(name, dims[name])}
        local = {name: value for name, value in local.items() if name not in study_effects(model, rows)}
        values = with_study_effects(model, rows, local | stated, rng)
    source = "drawn from its prior" if truth is None else "stated"
    remark = f"synthetic: the effects are simulated from the model {model.name!r}, the truth {source}, seed {seed}"
    effects = in_table_order(trials, replicate(model, rows, values, rng)[0])
    found = dataset(model, rows, values, (1, 1)).isel(chain=0, draw=0, drop=True)
    return SimulatedTrials(trials.with_effects(effects, remark), found, model, seed)


def design_of(model: Model, trials: Trials, missing: Missing) -> Rows:
    """The rows of `prepare`d trials whose effects are to be simulated. Raises TrialsError for rows whose effect cannot be."""
    rows = rows_of(model, trials, missing == "impute")
    if rows.unknowns:
        lacking = rows.table.iloc[rows.unknowns.rows]
        rule = "an effect that depends on what the row lacks cannot be simulated: state it, or leave the row out"
        problems = [
            Problem(row, study, what, "", rule)
            for row, study, what in zip(lacking["row"], lacking["study"], lacking["lacks"], strict=True)
        ]
        raise TrialsError("these rows are no design for simulated effects:", problems)
    return rows


def prior_truth(model: Model, rows: Rows, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """One draw (1, ...) from the prior of everything that effects depend on, those of the studies among it."""
    return with_study_effects(model, rows, draw_prior(model, rows, 1, rng), rng)


def with_study_effects(model: Model, rows: Rows, values: dict, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Values (1, ...) with effects of all studies drawn, but for those that are there."""
    return draw_study_effects(model, rows, values, rng) | values


def in_table_order(trials: Trials, effects: np.ndarray) -> np.ndarray:
    """Effects (rows,) of rows sorted by study, in the order of the table."""
    found = np.empty(len(effects))
    found[np.argsort(pd.factorize(trials.table["study"])[0], kind="stable")] = effects
    return found


def _is_local(name: str, dims: tuple[str, ...]) -> bool:
    """Whether a variable is of single studies or rows."""
    return bool({"study", f"{name}_row"} & set(dims))


def _decides_nothing(model: Model, rows: Rows) -> set[str]:
    """Parameters on which no effect depends once what is by group, or by row, is stated."""
    grouped = grouped_parameters(model)
    found = {one.spread for one in grouped} | {f"between_{m.column}" for m in model.moderator if not m.is_numeric}
    found |= {one.name for one in grouped if sum(other.name == one.name for other in grouped) == 1}
    columns = [part.column for part in rows.imputation.parts] if rows.imputation else []
    return found | {f"{column}_{name}" for column in columns for name in ("typical", "spread")}


def _stated(model: Model, rows: Rows, truth: Mapping) -> dict[str, np.ndarray]:
    """Values (1, ...) of a stated truth. Raises StimdoseError with all that is wrong with it."""
    if not isinstance(truth, Mapping):
        raise StimdoseError(f"a truth is a dict of numbers by posterior variable name, not {truth!r}")
    dims, found = variable_dims(model, rows), {}
    needed = [name for name in dims if not _is_local(name, dims[name]) and name not in _decides_nothing(model, rows)]
    faults = [f"there is no parameter {name!r}{nearest(str(name), dims)}" for name in truth if name not in dims]
    faults += [f"{name} is missing" for name in needed if name not in truth]
    labels = rows.levels | row_coords(rows) | {"study": list(rows.studies)}
    labels |= {"modality": list(rows.imputation.levels)} if rows.imputation else {}
    for name in dims:
        if name in truth:
            try:
                of = [labels[dim] for dim in dims[name]]
                levels = [", ".join(map(str, cell)) for cell in product(*of)] if of else None
                given = np.ravel(truth[name]) if len(of) > 1 else truth[name]
                found[name] = _numbers(given, levels, _lowest(model, rows, name)).reshape(1, *map(len, of))
            except ValueError as error:
                faults.append(f"{name} {error}")
    if "cutpoint" in found and (np.diff(found["cutpoint"]) <= 0).any():
        faults.append("cutpoint must rise from level to level")
    if faults:
        raise StimdoseError(
            "\n  - ".join(["this truth is not one of the model and its table:", *faults, f"it takes {', '.join(needed)}"])
        )
    return found


def _lowest(model: Model, rows: Rows, name: str) -> float:
    """What a parameter must exceed: 0 where it is positive (0 itself will do for a standard deviation)."""
    population = next((one.name for one in grouped_parameters(model) if one.variable == name), name)
    prior = all_priors(model, rows).get(population)
    if name.endswith(("_true", "_typical")) or (prior and prior.family == "lognormal"):
        return np.nextafter(0, 1)
    return 0.0 if prior and prior.is_positive else -np.inf


def _numbers(given, levels: list[str] | None, lowest: float) -> np.ndarray:
    """The number, or those of the levels in their order. Raises ValueError for anything else."""
    if isinstance(given, xr.DataArray) and given.ndim == 1:
        given = given.to_series().to_dict()
    if levels is not None and isinstance(given, Mapping):
        given = {str(level): value for level, value in given.items()}
        if unknown := [level for level in given if level not in levels]:
            raise ValueError(f"has no level {unknown[0]!r}{nearest(unknown[0], levels)}; it has {', '.join(levels)}")
        if absent := [level for level in levels if level not in given]:
            raise ValueError(f"lacks {', '.join(absent)}")
        given = [given[level] for level in levels]
    wanted = (
        "a number" if levels is None else f"{len(levels)} numbers, of {', '.join(levels[:6])}{', ...' if len(levels) > 6 else ''}"
    )
    try:
        values = np.asarray(given, float)
    except (TypeError, ValueError):
        raise ValueError(f"is {wanted}, not {given!r}") from None
    if values.shape != (() if levels is None else (len(levels),)) or not np.isfinite(values).all():
        raise ValueError(f"is {wanted}, not {given!r}")
    if (values < lowest).any():
        raise ValueError(f"is {'positive' if lowest > 0 else '0 or more'}, not {values.min():g}")
    return values
