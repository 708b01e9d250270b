"""Posterior (or prior) dose-response curves as labelled arrays."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd
import xarray as xr

from . import arguments
from .arguments import checked
from .columns import COLUMNS, axis_label
from .dose_space import visited
from .doses import short
from .errors import StimdoseError, nearest
from .grid import NewStudy, curve_draws, dose_grid, held_values, observed_range
from .model import Model
from .posterior import shown_effects
from .predictor import grouped_parameters
from .rows import Rows, pairs
from .sampling import Fit

Kind = Literal["mean", "new study"]
NEW_GROUP = "new group"
"""Level of a group that no trial is of."""


def effect_label(fit: Fit) -> str:
    """Axis label of the effect: the measure, and which way is benefit."""
    return f"{effect_unit(fit)} (positive = benefit)"


def effect_unit(fit: Fit) -> str:
    """What effects are in: the measure; standard deviations of the latent scale of an ordinal fit."""
    return "SD of the latent scale" if fit.rows.scores else fit.trials.measure


@checked
def curve(
    fit: Fit,
    column: str,
    *,
    by: str | None = None,
    kind: Kind = "mean",
    over: tuple[float, float] | None = None,
    grid: np.ndarray | None = None,
    at: Mapping | None = None,
    group: str = "posterior",
    size: int = 201,
    new_group: bool = False,
) -> xr.DataArray:
    """Draws of the effect along one dose.

    by: a group column of the model, for a curve in each of its groups; groups that are neither named here nor held are averaged
        over the rows of the table.
    kind: "mean" is the average effect over studies; "new study" adds what a study not seen would differ by (its intercept and
        slopes, and the within-study level).
    over: range of doses, by default the observed one; or `grid`, the doses themselves (dose units).
    group: the draws used: "posterior", "prior", or "freed" (of a fit of the freed model, `Model.freed`, where that is another).
    at: what other doses, moderators and groups are held at; by default the usual (median) dose and the mean. Or a `protocol_path`,
        along which other doses move with this one: it brings the doses of the curve, and those that the model lacks are left out.
    new_group: adds the level "new group" to those of `by`: a group not seen, which differs from the population as groups do, by
        N(0, spread^2) in every coefficient and in the logarithm of every non-linear parameter, drawn with the seed of the fit.

    Returns a DataArray (chain, draw, <column>[, <by>]) in effect units (positive = benefit). Its coordinate `visited` (<column>) says
    whether a trial was near that dose and the other doses in `at`, all at once (see the function `visited`). attrs: dose, unit,
    kind, held, observed, log_axis, effect_label, `remarks` of a path and on moderators held beyond those of the trials, `outcome` if it
    is held, and `warning` where the fit did not converge.

    Raises StimdoseError for a dose, group or level that the model does not have.
    """
    if group not in fit.tree:
        raise StimdoseError(f"the fit has no draws called {group!r}")
    if new_group and by is None:
        raise StimdoseError("a new group is one of those that `by` names: state by")
    rows, model, values = fit.rows, fit.group_model(group), fit.values(group)
    path = at.attrs if isinstance(at, xr.Dataset) else {}
    at, along = _held(model, column, at)
    held = held_values(model, rows, column, by, at)
    observed = observed_range(rows, column)
    if along is not None:
        if over is not None or grid is not None:
            raise StimdoseError(f"a path brings its own doses of {column}: leave out over and grid")
        grid = along
    low, high = observed if over is None else map(float, over)
    grid = dose_grid(low, high, size) if grid is None else np.asarray(grid, float)
    doses = {column: grid} | {name: at[name] for name in at if name in [dose.column for dose in model.doses]}
    if wrong := [name for name, value in doses.items() if np.shape(value) not in ((), grid.shape)]:
        raise StimdoseError(f"{', '.join(wrong)} must be a number, or as many as the {len(grid)} doses of {column}")
    seed = int(fit.tree.attrs["seed"])
    if new_group:
        rows, values = _with_new_group(model, rows, values, by, np.random.default_rng([seed, 5]))
    new_study = NewStudy.drawn(model, rows, len(values["between_study"]), [seed, 4]) if kind == "new study" else None
    draws = curve_draws(model, rows, values, column, grid, by, held, new_study)
    source = fit.tree[group]
    coords: dict = {"chain": source["chain"].values, "draw": source["draw"].values, column: grid} | (
        {by: rows.levels[by]} if by else {}
    )
    coords["visited"] = (column, visited(fit, doses))
    shape = (source.sizes["chain"], source.sizes["draw"], len(grid)) + ((len(rows.levels[by]),) if by else ())
    attrs = {
        "dose": column,
        "unit": COLUMNS[column].unit if column in COLUMNS else "",
        "kind": kind,
        "held": held_in_words(held, path),
        "observed": list(observed),
        "log_axis": int(min(grid[0], observed[0]) > 0 and grid[-1] / grid[0] >= 5),
        "effect_label": effect_label(fit),
    }
    if by:
        attrs["observed_by_group"] = json.dumps(
            _observed_by_group(fit, column, by) | ({NEW_GROUP: list(observed)} if new_group else {})
        )
    if remarks := [*path.get("remarks", "").splitlines(), *_beyond(rows, held)]:
        attrs["remarks"] = "\n".join(remarks)
    if "outcome" in at:
        attrs["outcome"] = at["outcome"]
    if not fit.diagnosis.converged:
        attrs["warning"] = "did not converge"
    return xr.DataArray(
        draws.reshape(shape), coords, ("chain", "draw", column) + ((by,) if by else ()), f"effect of {column}", attrs
    )


@checked
def points(fit: Fit, column: str, *, by: str | None = None) -> pd.DataFrame:
    """What the trials reported along one dose: dose, dose_low, dose_high (NaN unless printed as an interval), effect, se, study
    and group. A dose that is not printed stands at its posterior median and 95 % interval, and is marked in `imputed`.

    Effects are as reported, aligned to benefit; they are not adjusted for the other doses. Of an ordinal fit they are latent, what the
    level of each participant tells of them: posterior mean and standard deviation.

    Raises StimdoseError for a dose that the model does not have, or a column that the table does not have.
    """
    table, doses = fit.rows.table, [dose.column for dose in fit.model.doses]
    if column not in doses:
        raise StimdoseError(f"the model has no dose {column!r}{nearest(column, doses)}; it has {', '.join(doses) or 'none'}")
    if by is not None and by not in table:
        raise StimdoseError(f"the table has no column {by!r}{nearest(by, table.columns)}")
    seen = _doses(fit, column)
    dose, low, high = (seen[name] for name in ("dose", "dose_low", "dose_high"))
    effect, se = shown_effects(fit.model, fit.rows, fit.values())
    frame = pd.DataFrame(
        {
            "study": table["study"],
            "dose": dose,
            "dose_low": low,
            "dose_high": high,
            "effect": effect,
            "se": se,
            "imputed": dose.isna(),
        }
    )
    believed = fit.dose_quantiles(column) if frame["imputed"].any() else np.empty((3, len(frame)))
    for name, values in zip(("dose_low", "dose", "dose_high"), believed, strict=True):
        frame[name] = frame[name].where(~frame["imputed"], values)
    return frame.assign(**{by: table[by].astype(str)}) if by else frame


def _doses(fit: Fit, column: str) -> pd.DataFrame:
    """dose, the middle of an interval, NaN where nothing is printed; dose_low and dose_high, NaN unless printed as an interval."""
    table = fit.rows.table
    low, high = (
        table[f"{column}_{end}"].to_numpy(float) if f"{column}_{end}" in table else np.full(len(table), np.nan)
        for end in ("low", "high")
    )
    middle = np.where(np.isinf(high), low, np.where(low > 0, np.sqrt(low * high), high / 2))
    return pd.DataFrame({"dose": table[column].where(table[column].notna(), middle), "dose_low": low, "dose_high": high})


@checked(draws=arguments.CURVE)
def band(draws: xr.DataArray, prob: float = 0.95) -> pd.DataFrame:
    """Mean and equal-tailed interval of a curve, one line per dose and group."""
    over = ("chain", "draw")
    low, high = (draws.quantile(q, over) for q in ((1 - prob) / 2, (1 + prob) / 2))
    parts = {"mean": draws.mean(over), "low": low.drop_vars("quantile"), "high": high.drop_vars("quantile")}
    return xr.Dataset(parts).drop_vars("visited", errors="ignore").to_dataframe().reset_index()


def _held(model: Model, column: str, at: Mapping | None) -> tuple[dict, np.ndarray | None]:
    """What is held, by name, and the doses of the path if it is one; doses of a path that the model lacks are left out."""
    if not isinstance(at, xr.Dataset):
        held = {} if at is None else dict(at)
        return held, held.pop(column, None) if np.ndim(held.get(column)) else None
    if at.attrs.get("dose") != column:
        raise StimdoseError(f"this path moves {at.attrs.get('dose')}, not {column}")
    lacking = set(at.attrs["doses"]) - {dose.column for dose in model.doses}
    held = {name: value.values if value.ndim else value.item() for name, value in at.data_vars.items() if name not in lacking}
    return held, at[column].values


def _beyond(rows: Rows, held: dict) -> list[str]:
    """A remark on each moderator that is held where no row of the table is."""
    ends = {name: (rows.table[name].min(), rows.table[name].max()) for name in rows.scales}
    return [
        f"{name} is held at {short(held[name])}, beyond the {short(low)} to {short(high)} of the trials"
        for name, (low, high) in ends.items()
        if not low <= held[name] <= high
    ]


def _with_new_group(model: Model, rows: Rows, values: dict, by: str, rng: np.random.Generator) -> tuple[Rows, dict]:
    """Rows and draws with one more level of `by`, whose deviations from the population are drawn anew in every draw; so are those of
    its combinations with others."""
    if ":" in by:
        raise StimdoseError(f"a new group is one of a column, not of the combinations {by}")
    if NEW_GROUP in rows.levels[by]:
        raise StimdoseError(f"{by} has a level called {NEW_GROUP!r}: rename it")
    levels = rows.levels | {by: [*rows.levels[by], NEW_GROUP]}
    for name in (name for name in levels if ":" in name and by in name.split(":")):
        first, second = name.split(":")
        levels[name] = pairs(levels[first], levels[second])
    values = dict(values)

    def extend(name: str, group: str, spread: str, around) -> None:
        columns = group.split(":")
        sizes = [len(rows.levels[column]) for column in columns]
        sizes[columns.index(by)] = 1
        z = rng.standard_normal((len(values[spread]), *sizes))
        drawn = around(values[spread].reshape(-1, *[1] * len(sizes)) * z)
        old = values[name].reshape(-1, *(len(rows.levels[column]) for column in columns))
        values[name] = np.concatenate([old, drawn], axis=1 + columns.index(by)).reshape(len(z), -1)

    for grouped in grouped_parameters(model):
        if by in (columns := grouped.group.split(":")):
            population = values[grouped.name].reshape(-1, *[1] * len(columns))
            around = (lambda d, at=population: at * np.exp(d)) if grouped.is_factor else (lambda d, at=population: at + d)
            extend(grouped.variable, grouped.group, grouped.spread, around)
    if by in [moderator.column for moderator in model.moderator]:
        extend(f"{by}_effect", by, f"between_{by}", lambda d: d)
    return replace(rows, levels=levels), values


def held_in_words(held: dict, path: Mapping) -> str:
    words = [path["held"]] if path else []
    for name, value in held.items():
        if value is not None and name not in path.get("doses", ()):
            label, _, unit = axis_label(name).partition(" (")
            amount = value if isinstance(value, str) else f"{value:,.4g} {unit.rstrip(')')}" if np.ndim(value) == 0 else "follows"
            words.append(f"{label.lower()} {amount.strip()}")
    averaged = [axis_label(name).lower() for name, value in held.items() if value is None]
    return ", ".join(words + [f"averaged over {' and '.join(averaged)}"] * bool(averaged))


def _observed_by_group(fit: Fit, column: str, by: str) -> dict[str, list[float]]:
    found = {}
    seen = _doses(fit, column).assign(**{by: fit.rows.table[by].astype(str)})
    for level, part in seen[seen["dose"].notna()].groupby(by):
        values = part[["dose", "dose_low", "dose_high"]].to_numpy().ravel()
        values = values[np.isfinite(values) & (values > 0) | (values == part["dose"].min())]
        found[str(level)] = [float(values.min()), float(values.max())]
    return found
