"""The effect over two doses at once as labelled arrays, and the best combination of every draw."""

from typing import Any

import numpy as np
import xarray as xr

from . import arguments
from .arguments import checked
from .columns import COLUMNS
from .curves import Kind, effect_label, held_in_words
from .dose_space import visited
from .errors import StimdoseError
from .grid import NewStudy, best_dose, curve_draws, dose_grid, held_values, observed_range
from .results import stacked
from .sampling import Fit

LARGEST = 200e6
"""Bytes that the draws of a surface may take; of more, every k-th draw of each chain is kept."""


RULES = {
    "first": arguments.WORD,
    "second": arguments.WORD,
    "over": arguments.RANGE.of_doses().or_none(),
    "grid": arguments.GRID.of_doses().or_none(),
}
"""Of arguments of surfaces."""


@checked(**RULES, size=arguments.SIZES)
def surface(
    fit: Fit,
    first: str,
    second: str,
    *,
    over: dict[str, tuple[float, float]] | None = None,
    grid: dict[str, np.ndarray] | None = None,
    at: dict | None = None,
    kind: Kind = "mean",
    group: str = "posterior",
    size: tuple[int, int] = (41, 41),
) -> xr.DataArray:
    """Draws of the effect over two doses.

    over: the range of each dose, by default the observed one; or `grid`, the doses themselves (dose units). at: what other doses,
        moderators and groups are held at, so at={"phase": "acute"} gives the surface of that group. Other arguments as for `curve`.

    Returns a DataArray (chain, draw, <first>, <second>) in effect units (positive = benefit), with the coordinate `visited`
        (<first>, <second>): whether any trial (of the groups in `at`) was within a factor of 1.5 of these doses and the doses in
        `at`. attrs: doses, units, kind, held, log_axes, effect_label, every (only every k-th draw of each chain is kept, so that
        the surface stays below 200 MB), and `warning` where the fit did not converge.

    Raises StimdoseError for a dose, group or level that the model does not have.
    """
    if first == second:
        raise StimdoseError(f"a surface has two doses, not {first!r} twice")
    if group not in fit.tree:
        raise StimdoseError(f"the fit has no draws called {group!r}")
    over, grid, at = over or {}, grid or {}, at or {}
    if unknown := sorted({*over, *grid} - {first, second}):
        raise StimdoseError(f"ranges and grids are of {first} and {second}, not of {', '.join(unknown)}")
    if along := sorted(name for name, value in at.items() if np.ndim(value)):
        raise StimdoseError(f"a surface holds {', '.join(along)} at one value, not along a path")
    model, rows = fit.group_model(group), fit.rows
    held_values(model, rows, second, None, at)
    held = held_values(model, rows, first, None, at)
    axes = {}
    for name, count in zip((first, second), size, strict=True):
        low, high = map(float, over.get(name, observed_range(rows, name)))
        axes[name] = np.asarray(grid[name], float) if name in grid else dose_grid(low, high, count)
    mesh = dict(zip(axes, np.meshgrid(*axes.values(), indexing="ij"), strict=True))

    source = fit.tree[group].to_dataset()
    every = int(np.ceil(source.sizes["chain"] * source.sizes["draw"] * mesh[first].size * 8 / LARGEST))
    source = source.isel(draw=slice(None, None, every))
    values, seed = stacked(source), [int(fit.tree.attrs["seed"]), 4]
    new_study = NewStudy.drawn(model, rows, len(values["between_study"]), seed) if kind == "new study" else None
    points = {name: doses.ravel() for name, doses in mesh.items()}
    draws = curve_draws(model, rows, values, first, points[first], None, held | {second: points[second]}, new_study)

    levels = {name: level for name, level in at.items() if name in rows.levels}
    stated = {dose.column: np.asarray(at[dose.column]) for dose in model.doses if dose.column in at}
    coords: dict = {"chain": source["chain"].values, "draw": source["draw"].values, **axes}
    coords["visited"] = ((first, second), visited(fit.trials.subset(**levels), mesh | stated))
    attrs = {
        "doses": [first, second],
        "units": [COLUMNS[name].unit if name in COLUMNS else "" for name in axes],
        "kind": kind,
        "held": held_in_words({name: value for name, value in held.items() if name != second}, {}),
        "log_axes": [int(values[0] > 0 and values[-1] / values[0] >= 5) for values in axes.values()],
        "effect_label": effect_label(fit),
        "every": every,
    }
    if not fit.diagnosis.converged:
        attrs["warning"] = "did not converge"
    shape = (source.sizes["chain"], source.sizes["draw"], *mesh[first].shape)
    return xr.DataArray(draws.reshape(shape), coords, ("chain", "draw", first, second), f"effect of {first} and {second}", attrs)


def best_doses(surface: xr.DataArray) -> tuple[xr.Dataset, xr.DataArray]:
    """The best combination of every draw as a Dataset (chain, draw) of both doses, and the effect there (chain, draw).

    Refined between doses of the grid by a parabola along each dose; a maximum on an edge of the rectangle stays there.
    """
    first, second = surface.attrs["doses"]
    values, like = flat(surface), surface.isel({first: 0, second: 0}, drop=True)
    draw, (i, j) = np.arange(len(values)), best_cells(values)
    one, height_one = best_dose(surface[first].values, values[draw, :, j][..., None])
    other, height_other = best_dose(surface[second].values, values[draw, i][..., None])
    height = height_one + height_other - values[draw, i, j][:, None]
    doses, value = {first: one, second: other}, like.copy(data=height.reshape(like.shape)).rename("effect at best")
    return xr.Dataset({name: like.copy(data=dose.reshape(like.shape)) for name, dose in doses.items()}), value


def argmax_counts(surface: xr.DataArray) -> np.ndarray:
    """Number of draws whose best combination is each point of the grid (first, second)."""
    values = flat(surface)
    counts = np.zeros(values.shape[1:])
    np.add.at(counts, best_cells(values), 1)
    return counts


def smoothed(counts: np.ndarray) -> np.ndarray:
    """Counts on a grid, smoothed by a normal kernel with bandwidth sd * n^(-1/6), on an edge n^(-1/5) (Scott 1992, Multivariate
    Density Estimation), where n and sd are of the counts that are smoothed together.

    Interior, edges and corners are smoothed apart, because what lies on an edge means "here or beyond". The sum does not change.
    """
    found = counts.copy()
    middle, ends = slice(1, -1), (0, -1)
    parts: list[Any] = [(middle, middle), *((end, middle) for end in ends), *((middle, end) for end in ends)]
    for part in parts:
        found[part] = _smoothed(counts[part])
    return found


def _smoothed(counts: np.ndarray) -> np.ndarray:
    from scipy.ndimage import gaussian_filter1d

    total, found = counts.sum(), counts
    for axis in range(counts.ndim) if total > 0 else ():
        share = counts.sum(axis=tuple(other for other in range(counts.ndim) if other != axis)) / total
        step = np.arange(len(share))
        sd = np.sqrt(share @ (step - share @ step) ** 2)
        if sd > 0:
            found = gaussian_filter1d(found, sd * total ** (-1 / (counts.ndim + 4)), axis, mode="reflect")
    return found


def is_additive(surface: xr.DataArray) -> bool:
    """Whether in every draw the effect is a sum of one part for each dose."""
    values = flat(surface)
    rest = values - values[:, :1] - values[:, :, :1] + values[:, :1, :1]
    return bool(np.abs(rest).max() <= 1e-9 * np.abs(values).max())


def flat(surface: xr.DataArray) -> np.ndarray:
    """Draws (draws, first, second), chains one after the other."""
    values = surface.transpose("chain", "draw", *surface.attrs["doses"]).values
    return values.reshape(-1, *values.shape[2:])


def best_cells(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where on the grid every draw (draws, first, second) is highest."""
    first, second = np.unravel_index(values.reshape(len(values), -1).argmax(axis=1), values.shape[1:])
    return first, second
