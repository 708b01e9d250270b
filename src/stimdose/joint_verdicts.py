"""The verdict on draws of a surface over two doses: do they tell a best combination, and is the answer the trials' own?"""

import numpy as np
import xarray as xr

from .dose_space import Confounder
from .surfaces import argmax_counts, best_cells, best_doses, flat
from .verdicts import CERTAINTY, FORM, PRIOR

WORDS = {
    "did not converge": "the chains disagree about the best doses, or their draws are too few; sample longer before reading anything below",
    "identified": "the best combination lies among those tried: the effect there exceeds all at their border by more than {delta:g}",
    "still rising": "the effect rises with {dose} over what was tried and is best at the upper end; the best dose may lie beyond",
    "still falling": "the effect falls with {dose} over what was tried and is best at the lower end",
    "confounded": "these trials cannot tell whether it is {dose} or a dose that goes with it across trials",
    "flat": "no combination in the range differs from the best by more than {delta:g}",
    "not identified": "these trials do not tell which combination is best",
}


def judge(
    surface: xr.DataArray,
    delta: float,
    prior: xr.DataArray,
    freed: xr.DataArray | None,
    rivals: dict[str, tuple[Confounder, ...]],
) -> tuple[tuple[str, ...], list[str]]:
    """The verdicts of `verdicts` that are the trials' own, and remarks on why others were held back.

    surface, prior, freed: draws (chain, draw, first, second) from the posterior, from the prior, and from a fit of the freed model
    (`Model.freed`), where that is another. rivals: doses that go with each of the two across trials.
    """
    found, by_prior = verdicts(surface, delta), verdicts(prior, delta)
    free = found if freed is None else verdicts(freed, delta)
    from_prior = [word for word in found if word in by_prior and word != "not identified"]
    from_form = [word for word in found if word not in (*free, *from_prior, "not identified")]
    kept = [word for word in found if word not in from_prior + from_form]
    judged = dict.fromkeys(said for word in kept for said in _confounded(word, rivals))
    held_back = [(PRIOR, from_prior), (FORM, from_form)]
    remarks = [f"{why} ({', '.join(words)})" for why, words in held_back if words]
    return tuple(judged) or ("not identified",), remarks


def verdicts(surface: xr.DataArray, delta: float) -> tuple[str, ...]:
    """The verdict on the draws themselves; one for each dose where the effect still rises or falls."""
    tried = tried_region(surface)
    if tried.sum() < 2:
        return ("not identified",)
    values, (doses, best) = flat(surface), best_doses(surface)
    is_tried, best = tried[best_cells(values)], best.values.ravel()
    if (is_tried & (best - values[:, border(tried)].max(axis=1) > delta)).mean() >= CERTAINTY:
        return ("identified",)
    found = []
    for axis, (name, dose) in enumerate(doses.items()):
        grid = surface[name].values
        low, high = _tried_ends(tried, axis, argmax_counts(surface).sum(axis=axis))
        rise = values[(slice(None), *high)] - values[(slice(None), *low)]
        if (rise > delta).mean() >= CERTAINTY and (dose == grid[-1]).mean() >= 0.5:
            found.append(f"still rising in {name}")
        if (rise < -delta).mean() >= CERTAINTY and (dose == grid[0]).mean() >= 0.5:
            found.append(f"still falling in {name}")
    if not found and (best - values.min(axis=(1, 2)) <= delta).mean() >= CERTAINTY:
        found.append("flat")
    return tuple(found) or ("not identified",)


def tried_region(surface: xr.DataArray) -> np.ndarray:
    """The points of the grid (first, second) that trials visited, and those between visited points along either dose: a gap between
    trials is bridged as it is for one dose, and what they surround on one side only is not."""
    visited = surface["visited"].transpose(*surface.attrs["doses"]).values
    return visited | _between(visited, 0) | _between(visited, 1)


def _between(visited: np.ndarray, axis: int) -> np.ndarray:
    above = np.logical_or.accumulate(visited, axis)
    below = np.flip(np.logical_or.accumulate(np.flip(visited, axis), axis), axis)
    return above & below


def border(tried: np.ndarray) -> np.ndarray:
    """The tried points beside one that was not tried, and all points on an edge of the rectangle."""
    from scipy.ndimage import binary_erosion

    edge = np.ones_like(tried)
    edge[1:-1, 1:-1] = False
    return edge | (tried & ~binary_erosion(tried))


def _tried_ends(tried: np.ndarray, axis: int, best_other: np.ndarray) -> tuple[tuple[int, int], tuple[int, int]]:
    """The first and the last tried point along one dose: with the other at its median best dose, or at the nearest one along which
    trials spread at least half as far as along any. best_other: counts of the best dose of the other."""
    lines = tried if axis == 1 else tried.T
    first, last = lines.argmax(axis=1), lines.shape[1] - 1 - lines[:, ::-1].argmax(axis=1)
    spread = np.where(lines.any(axis=1), last - first, -1)
    wide = np.flatnonzero(spread >= max(spread.max() / 2, 0))
    middle = np.searchsorted(np.cumsum(best_other), best_other.sum() / 2)
    line = wide[abs(wide - middle).argmin()]
    ends = [(int(line), int(end[line])) for end in (first, last)]
    first, second = ends if axis == 1 else (end[::-1] for end in ends)
    return first, second


def _confounded(word: str, rivals: dict[str, tuple[Confounder, ...]]) -> list[str]:
    """The verdict, or what becomes of it where a dose that goes with one of these is not in the model."""
    open_doses = [name for name, found in rivals.items() if not all(rival.in_model for rival in found)]
    if word == "identified" and open_doses:
        return [f"confounded in {name}" for name in open_doses]
    dose = word.partition(" in ")[2]
    return [f"confounded in {dose}"] if dose in open_doses else [word]
