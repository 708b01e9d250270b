"""The verdict on draws of a dose-response curve: do they tell a best dose, and is the answer the trials' own?"""

import json
from collections.abc import Set

import numpy as np
import xarray as xr

from .derived import best_of, group_of
from .dose_space import Confounder
from .doses import short

CERTAINTY = 0.9
"""Probability from which a verdict is given."""

WORDS = {
    "did not converge": "the chains disagree about the best dose, or their draws are too few; sample longer before reading anything below",
    "identified": "the best dose lies inside the range: the curve there exceeds both ends by more than {delta:g}",
    "still rising": "the effect rises over the range and is best at its upper end; the best dose may lie beyond what was tried",
    "still falling": "the effect falls over the range and is best at its lower end",
    "confounded": "these trials cannot tell whether it is this dose or one that goes with it across trials",
    "flat": "no dose in the range differs from the best by more than {delta:g}",
    "not identified": "these trials do not tell which dose is best",
}
MOVES = ("identified", "still rising", "still falling")
"""Verdicts that see an effect of the dose, which may be that of another."""

TIED = "The model is tied to no effect at dose zero, so more is better as soon as treatment works"
FORM = f"{TIED}; freed of that (by a free intercept, or a factor that may also fall), the trials do not give this verdict"
PRIOR = "The prior alone, without these trials, gives the same verdict, so it is not theirs"


def split(*draws: xr.DataArray, by: str | None) -> dict[str, list[xr.DataArray]]:
    """The same draws by group; all of them under "" where there are no groups."""
    if by is None:
        return {"": list(draws)}
    return {str(level): [part.sel({by: level}) for part in draws] for level in draws[0][by].values}


def judge(
    curves: xr.DataArray,
    delta: float,
    prior: xr.DataArray,
    freed: xr.DataArray | None = None,
    rivals: tuple[Confounder, ...] = (),
    failing: Set[str] = frozenset(),
) -> tuple[dict[str, str], list[str]]:
    """The verdict of every group, and remarks on why one was held back.

    curves, prior, freed: draws (chain, draw, dose[, group]) from the posterior, from the prior, and from a fit of the freed model
    (`Model.freed`), where that is another. rivals: doses that go with this one across trials. failing: groups whose best dose did not converge.
    """
    found, by_prior = verdicts(curves, delta), verdicts(prior, delta)
    free = found if freed is None else verdicts(freed, delta)
    return weigh(found, by_prior, free, rivals, failing)


def weigh(
    found: dict[str, str],
    by_prior: dict[str, str],
    free: dict[str, str],
    rivals: tuple[Confounder, ...] = (),
    failing: Set[str] = frozenset(),
) -> tuple[dict[str, str], list[str]]:
    """`judge`, from the verdicts on the draws themselves: those found, those of the prior, and those of the freed model (the ones found,
    where there is none)."""
    from_prior = [group for group, word in found.items() if word == by_prior[group] != "not identified"]
    from_form = [group for group, word in found.items() if word != free[group] and word != "not identified"]
    is_confounded = not all(rival.in_model for rival in rivals)
    judged = {}
    for group, word in found.items():
        if group in failing:
            word = "did not converge"
        elif group in from_prior + from_form:
            word = "not identified"
        elif is_confounded and word in MOVES:
            word = "confounded"
        judged[group] = word
    held_back = [(PRIOR, from_prior), (FORM, [group for group in from_form if group not in from_prior])]
    return judged, [why + (f" ({', '.join(groups)})" if any(groups) else "") for why, groups in held_back if groups]


def verdicts(curves: xr.DataArray, delta: float, certainty: float = CERTAINTY) -> dict[str, str]:
    """The verdict on the draws themselves, by group. certainty: the probability from which one is given."""
    seen = observed(curves)
    parts = split(curves, *best_of(curves), by=group_of(curves))
    return {group: verdict(curve, dose, best, delta, seen[group], certainty) for group, (curve, dose, best) in parts.items()}


def verdict(
    curves: xr.DataArray,
    dose: xr.DataArray,
    best: xr.DataArray,
    delta: float,
    observed: list[float],
    certainty: float = CERTAINTY,
) -> str:
    """The verdict on draws of one curve; differences count only between doses that were tried."""
    column = curves.attrs["dose"]
    x = curves[column].values
    tried = np.flatnonzero((x >= observed[0] * (1 - 1e-9)) & (x <= observed[1] * (1 + 1e-9)))
    if len(tried) < 2:
        return "not identified"
    low, high = (curves.isel({column: k}, drop=True) for k in tried[[0, -1]])
    ends = curves.isel({column: sorted({0, tried[0], tried[-1], len(x) - 1})}).max(column)
    is_tried = (dose >= x[tried[0]]) & (dose <= x[tried[-1]])
    if (is_tried & (best - ends > delta)).mean() >= certainty:
        return "identified"
    if (high - low > delta).mean() >= certainty and (dose == x[-1]).mean() >= 0.5:
        return "still rising"
    if (low - high > delta).mean() >= certainty and (dose == x[0]).mean() >= 0.5:
        return "still falling"
    if (best - curves.min(column) <= delta).mean() >= certainty:
        return "flat"
    return "not identified"


def observed(curves: xr.DataArray) -> dict[str, list[float]]:
    """Lowest and highest dose that the trials tried, by group; those of all trials for a group in which none prints a dose."""
    everywhere, by = [float(dose) for dose in curves.attrs["observed"]], group_of(curves)
    if by is None:
        return {"": everywhere}
    return {str(group): json.loads(curves.attrs["observed_by_group"]).get(str(group), everywhere) for group in curves[by].values}


def beyond(curves: xr.DataArray) -> list[str]:
    """Remarks where the range reaches beyond the doses that the trials (of a group) tried."""
    first, last = curves[curves.attrs["dose"]].values[[0, -1]]
    return [
        f"{f'{group}: the' if group else 'The'} trials tried {short(low)} to {short(high)}, "
        f"and the range searched is {short(first)} to {short(last)}"
        for group, (low, high) in observed(curves).items()
        if first < low * (1 - 1e-9) or last > high * (1 + 1e-9)
    ]
