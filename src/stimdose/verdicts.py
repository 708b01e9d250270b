"""The verdict on draws of a dose-response curve: do they tell a best dose, and is the answer the trials' own?"""

import json

import numpy as np
import xarray as xr

from .doses import short
from .grid import best_dose

CERTAINTY = 0.9
"""Probability from which a verdict is given."""

WORDS = {
    "did not converge": "the chains disagree about the best dose; sample longer before reading anything below",
    "identified": "the best dose lies inside the range: the curve there exceeds both ends by more than {delta:g}",
    "still rising": "the effect rises over the range and is best at its upper end; the best dose may lie beyond what was tried",
    "still falling": "the effect falls over the range and is best at its lower end",
    "flat": "no dose in the range differs from the best by more than {delta:g}",
    "not identified": "these trials do not tell which dose is best",
}
ANCHOR = (
    "The curve is tied to zero at dose zero, so it rises as soon as treatment works; "
    "with a free intercept these trials do not show that more is better"
)
PRIOR = "The prior alone, without these trials, gives the same verdict, so it is not theirs"


def group_of(curves: xr.DataArray) -> str | None:
    """The group dimension of draws (chain, draw, dose[, group]), or None."""
    return next((str(dim) for dim in curves.dims if dim not in ("chain", "draw", curves.attrs["dose"])), None)


def split(*draws: xr.DataArray, by: str | None) -> dict[str, list[xr.DataArray]]:
    """The same draws by group; all of them under "" where there are no groups."""
    if by is None:
        return {"": list(draws)}
    return {str(level): [part.sel({by: level}) for part in draws] for level in draws[0][by].values}


def best_of(curves: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    """The best dose of every curve and the effect there (chain, draw[, group])."""
    column, by = curves.attrs["dose"], group_of(curves)
    curves = curves.transpose("chain", "draw", column, *([by] if by else []))
    stacked = curves.values.reshape(curves.sizes["chain"] * curves.sizes["draw"], curves.sizes[column], -1)
    like = curves.isel({column: 0}, drop=True)
    return tuple(like.copy(data=found.reshape(like.shape)) for found in best_dose(curves[column].values, stacked))


def judge(
    curves: xr.DataArray, delta: float, prior: xr.DataArray, free_intercept: xr.DataArray | None, failing: set[str]
) -> tuple[dict[str, str], list[str]]:
    """The verdict of every group, and the remarks that explain why one was held back.

    curves, prior, free_intercept: draws (chain, draw, dose[, group]) from the posterior, from the prior, and of an anchored model
    with a free intercept. failing: groups whose best dose did not converge.
    """
    found, remarks = verdicts(curves, delta), []
    for why, others in [(PRIOR, prior)] + [(ANCHOR, free_intercept)] * (free_intercept is not None):
        other = verdicts(others, delta)
        same_is_bad = why is PRIOR
        held_back = [g for g, verdict in found.items() if verdict != "not identified" and (verdict == other[g]) == same_is_bad]
        found |= dict.fromkeys(held_back, "not identified")
        remarks += [why + _named(held_back)] if held_back else []
    return found | {group: "did not converge" for group in found if group in failing}, remarks


def verdicts(curves: xr.DataArray, delta: float) -> dict[str, str]:
    """The verdict on the draws themselves, by group."""
    seen = observed(curves)
    parts = split(curves, *best_of(curves), by=group_of(curves))
    return {group: verdict(*part, delta, seen[group]) for group, part in parts.items()}


def verdict(curves: xr.DataArray, dose: xr.DataArray, best: xr.DataArray, delta: float, observed: list[float]) -> str:
    """The verdict on draws of one curve; differences count only between doses that were tried."""
    column = curves.attrs["dose"]
    x = curves[column].values
    tried = np.flatnonzero((x >= observed[0] * (1 - 1e-9)) & (x <= observed[1] * (1 + 1e-9)))
    if len(tried) < 2:
        return "not identified"
    low, high = (curves.isel({column: k}, drop=True) for k in tried[[0, -1]])
    ends = curves.isel({column: sorted({0, tried[0], tried[-1], len(x) - 1})}).max(column)
    is_tried = (dose >= x[tried[0]]) & (dose <= x[tried[-1]])
    if (is_tried & (best - ends > delta)).mean() >= CERTAINTY:
        return "identified"
    if (high - low > delta).mean() >= CERTAINTY and (dose == x[-1]).mean() >= 0.5:
        return "still rising"
    if (low - high > delta).mean() >= CERTAINTY and (dose == x[0]).mean() >= 0.5:
        return "still falling"
    if (best - curves.min(column) <= delta).mean() >= CERTAINTY:
        return "flat"
    return "not identified"


def observed(curves: xr.DataArray) -> dict[str, list[float]]:
    """Lowest and highest dose that the trials tried, by group."""
    return json.loads(curves.attrs["observed_by_group"]) if group_of(curves) else {"": curves.attrs["observed"]}


def beyond(curves: xr.DataArray) -> list[str]:
    """Remarks where the range reaches beyond the doses that the trials (of a group) tried."""
    first, last = curves[curves.attrs["dose"]].values[[0, -1]]
    return [
        f"{group + ': ' if group else ''}the trials tried {short(low)} to {short(high)}, "
        f"and the range searched is {short(first)} to {short(last)}"
        for group, (low, high) in observed(curves).items()
        if first < low * (1 - 1e-9) or last > high * (1 + 1e-9)
    ]


def _named(groups: list[str]) -> str:
    return f" ({', '.join(groups)})" if any(groups) else ""
