"""The mean effect along one dose, from draws of the parameters: what curves, optima and their diagnosis are made of."""

from typing import NamedTuple

import numpy as np

from .errors import StimdoseError
from .heterogeneity import new_study_columns, study_size
from .model import Model
from .predictor import mean_effect, terms
from .rows import DosePoints, Points, Rows, combination


def observed_range(rows: Rows, column: str) -> tuple[float, float]:
    """Lowest and highest dose that any row names; open ends count with the end that is printed."""
    points = rows.points.doses[column]
    printed = rows.table[column].to_numpy(float)
    bounds = [printed[np.isfinite(printed)]]
    for end in ("low", "high"):
        if f"{column}_{end}" in rows.table:
            values = rows.table[f"{column}_{end}"].to_numpy(float)
            bounds.append(values[np.isfinite(values) & (values > 0)])
    found = np.concatenate(bounds)
    if not len(found) and rows.imputation:  # nothing is printed, and the prior was stated
        (prior,) = (part.prior for part in rows.imputation.parts if part.column == column)
        return float(prior.distribution.ppf(0.025)), float(prior.distribution.ppf(0.975))
    return (float(found.min()), float(found.max())) if len(found) else (float(points.values.min()), float(points.values.max()))


def usual_dose(rows: Rows, column: str) -> float:
    """Median dose of the rows that print one; an interval counts with its geometric middle."""
    points = rows.points.doses[column]
    values = points.values.copy()
    values[points.uncertain] = np.exp(points.log_bounds.mean(axis=1))
    for row in np.setdiff1d(points.row_of_node, np.flatnonzero(rows.table[column].notna())):
        values[row] = np.median(points.nodes[points.row_of_node == row])
    if np.isnan(values).all():  # nothing is printed, and the prior was stated
        return float(np.sqrt(np.prod(observed_range(rows, column))))
    return float(np.nanmedian(values))


def held_values(model: Model, rows: Rows, column: str, by: str | None, at: dict) -> dict:
    """What everything but `column` is held at: the values in `at`, else usual doses, mean moderators, and None for groups,
    which are averaged over the rows of the table. A dose in `at` may be an array, one value for each dose of the curve.

    Raises StimdoseError for names the model does not have and levels the table does not have.
    """
    doses, numeric = [d.column for d in model.doses], list(rows.scales)
    if column not in doses:
        raise StimdoseError(f"the model has no dose {column!r}; it has {', '.join(doses) or 'none'}")
    if by is not None and by not in rows.levels:
        raise StimdoseError(f"the model has no groups {by!r}; it has {', '.join(rows.levels) or 'none'}")
    can_be_held = [
        name for name in (*doses, *numeric, *base_levels(rows)) if name != column and name not in (by or "").split(":")
    ]
    for name, value in at.items():
        if name not in can_be_held:
            raise StimdoseError(f"cannot hold {name!r}; what can be held is {', '.join(can_be_held) or 'nothing'}")
        if name in rows.levels and value not in rows.levels[name]:
            raise StimdoseError(f"{name} has no level {value!r}; it has {', '.join(rows.levels[name])}")
        if name not in rows.levels:
            numbers = np.asarray(value)
            is_number = numbers.dtype.kind in "iuf" and numbers.ndim <= (name in doses) and np.isfinite(numbers).all()
            if not (is_number and (name in numeric or (numbers >= 0).all())):
                raise StimdoseError(f"{name} cannot be held at {value!r}")
    held = {name: at.get(name, usual_dose(rows, name)) for name in doses if name != column}
    held |= {name: at.get(name, rows.scales[name][0]) for name in numeric}
    held |= {name: at.get(name) for name in base_levels(rows) if name in can_be_held}
    return held | ({"study": "infinitely large"} if model.small_study else {})


def base_levels(rows: Rows) -> dict[str, str]:
    """The first level of every column of groups; combinations of two follow from their columns."""
    return {name: levels[0] for name, levels in rows.levels.items() if ":" not in name}


def check_domain(model: Model, doses: dict[str, np.ndarray]) -> None:
    """Raise StimdoseError where a shape has no value at a dose that is asked for."""
    problems = []
    for dose in model.doses:
        (low, high), asked = dose.basis.domain, np.asarray(doses[dose.column])
        if asked.min() < low or asked.max() > high:
            problems.append(
                f"the {dose.shape} of {dose.column} has values between {low:.3g} and {high:.3g} only, not at all of those asked for"
            )
    if problems:
        raise StimdoseError("; ".join(problems))


def _mixes(rows: Rows, by: str | None, held: dict) -> list[tuple[dict[str, int], float]]:
    """The combinations of groups to average over, as level numbers, and their share of the rows."""
    moving = by.split(":") if by else []
    fixed = {name: rows.levels[name].index(held[name]) for name in base_levels(rows) if held.get(name) is not None}
    free = [name for name in base_levels(rows) if name not in moving and name not in fixed]
    combinations, counts = np.unique(
        np.column_stack([rows.points.groups[name] for name in free] or [np.zeros(1)]), axis=0, return_counts=True
    )
    return [
        (fixed | dict(zip(free, map(int, levels), strict=False)), n / counts.sum())
        for levels, n in zip(combinations, counts, strict=True)
    ]


def _group_numbers(rows: Rows, by: str | None, levels: dict[str, int], numbers: np.ndarray) -> dict[str, np.ndarray]:
    """The level of every grouping at every point: of `by` as in `numbers` (points,), of other columns as in `levels`."""
    found = {name: np.full(len(numbers), level) for name, level in levels.items()}
    if by:
        parts = by.split(":")
        split = [numbers] if len(parts) == 1 else np.divmod(numbers, len(rows.levels[parts[1]]))
        found |= dict(zip(parts, split, strict=True))
    for name in (name for name in rows.levels if ":" in name):
        first, second = name.split(":")
        found[name] = combination(found[first], found[second], len(rows.levels[second]))
    return found


class NewStudy(NamedTuple):
    """A study that is not in the table, the same one at all doses and in all groups: standard normals (1 + effects by study, draws or 1, 1)
    of each of its effects and, last, of what differs within it; and the seed of its weight where study effects are Student-t."""

    normals: np.ndarray
    seed: int

    @classmethod
    def drawn(cls, model: Model, rows: Rows, draws: int, seed: list[int]) -> "NewStudy":
        rng = np.random.default_rng(seed)
        return cls(rng.standard_normal((1 + study_size(model, rows), draws, 1)), int(rng.integers(2**63)))


def curve_draws(
    model: Model,
    rows: Rows,
    values: dict,
    column: str,
    grid: np.ndarray,
    by: str | None,
    held: dict,
    new_study: NewStudy | None = None,
) -> np.ndarray:
    """Draws (draws, grid, groups) of the mean effect, or of the effect in a new study. Held doses are numbers, or arrays along the
    grid."""
    groups, draws = len(rows.levels[by]) if by else 1, len(values["between_study"])
    size = len(grid) * groups
    doses = {
        d.column: DosePoints(
            np.repeat(np.broadcast_to(grid if d.column == column else held[d.column], len(grid)), groups).astype(float)
        )
        for d in model.doses
    }
    moderators = {name: np.full(size, (held[name] - center) / per) for name, (center, per) in rows.scales.items()}
    check_domain(model, {name: points.values for name, points in doses.items()})
    total = np.zeros((draws, size))
    for levels, share in _mixes(rows, by, held):
        index = _group_numbers(rows, by, levels, np.tile(np.arange(groups), len(grid)))
        found = terms(model, rows, Points(size, doses, index, moderators), values)
        total += share * mean_effect(found, values)
        if new_study:
            columns, level = {term.name: term.column for term in found}, np.random.default_rng(new_study.seed)
            for normal, own in zip(
                new_study.normals, new_study_columns(model, rows, index, columns, values, level), strict=False
            ):
                total += share * own * normal
    if new_study and rows.has_within_study:
        total += values["within_study"][:, None] * new_study.normals[-1]
    return total.reshape(draws, len(grid), groups)


def dose_grid(low: float, high: float, size: int) -> np.ndarray:
    """A grid from low to high: evenly spaced in the logarithm where the range spans a factor of five or more, else evenly."""
    if low > 0 and high / low >= 5:
        return np.geomspace(low, high, size)
    return np.linspace(low, high, size)


def best_dose(grid: np.ndarray, curves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Dose of the highest point and its height (draws, groups), refined by a parabola through the three points around it.

    grid (grid,), curves (draws, grid, groups). A maximum at an end of the grid stays there.
    """
    k = curves.argmax(axis=1)
    inside = np.clip(k, 1, len(grid) - 2)
    around = np.stack([np.take_along_axis(curves, (inside + step)[:, None], axis=1)[:, 0] for step in (-1, 0, 1)])
    x = np.stack([grid[inside + step] for step in (-1, 0, 1)])
    slope_1, slope_2 = (around[1] - around[0]) / (x[1] - x[0]), (around[2] - around[1]) / (x[2] - x[1])
    bend = (slope_2 - slope_1) / (x[2] - x[0])
    with np.errstate(divide="ignore", invalid="ignore"):
        vertex = (x[0] + x[1]) / 2 - slope_1 / (2 * bend)
        height = around[1] + slope_1 * (vertex - x[1]) + bend * (vertex - x[0]) * (vertex - x[1])
    use = (k > 0) & (k < len(grid) - 1) & (bend < 0) & (vertex > x[0]) & (vertex < x[2])
    return np.where(use, vertex, grid[k]), np.where(use, height, np.take_along_axis(curves, k[:, None], axis=1)[:, 0])
