"""Answers of fits whose effects are in units of several outcomes, back in points of one."""

from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from .errors import StimdoseError, nearest
from .optima import Optimum
from .sampling import Fit
from .scales import scale_of


def in_points[Answer: (xr.DataArray, Optimum)](fit: Fit, answer: Answer, outcome: str) -> Answer:
    """An answer of a fit of `Trials.in_units` in points of one outcome: every effect times the points of its unit.

    answer: draws of an effect (a DataArray, as `curve` gives), or an `Optimum`, whose delta and benefit are turned too. A verdict
    does not depend on the unit, and doses have another. outcome: one that the table names.

    A curve that is common to the outcomes of the table says in points what this one gains if they gain alike. Of an answer by outcome, the
    one of this outcome is kept, still with its dimension.

    Raises StimdoseError if the effects of the fit are not in such units, if no row has this outcome, or if the answer is of another.
    """
    table = fit.trials.table
    if "points_per_unit" not in table:
        raise StimdoseError(f"the effects of this fit are {fit.trials.measure}, not in units that Trials.in_units made")
    rows = table["outcome"] == outcome
    if not rows.any():
        known = table["outcome"].unique()
        raise StimdoseError(f"the table has no outcome {outcome!r}{nearest(outcome, known)}; it has {', '.join(known)}")
    points, scale = float(table.loc[rows, "points_per_unit"].iloc[0]), scale_of(outcome)
    label = f"{outcome}, {scale.unit if scale else 'points'} (positive = benefit)"
    if isinstance(answer, Optimum):
        curves, draws = _times(_of(answer.curves, outcome), points, label), _of(answer.draws, outcome)
        draws = draws.assign(effect_at_best=draws["effect_at_best"] * points)
        benefit = None if answer.benefit is None else answer.benefit * points
        verdicts = {outcome: answer.verdicts[outcome]} if answer.by == "outcome" else answer.verdicts
        own: dict[str, Any] = {
            "draws": draws,
            "curves": curves,
            "prior_dose": _of(answer.prior_dose, outcome),
            "verdicts": verdicts,
        }
        return replace(answer, **own, delta=answer.delta * points, benefit=benefit)
    if isinstance(answer, xr.DataArray):
        return _times(_of(answer, outcome), points, label)
    drawn = " (its draws are one)" if hasattr(answer, "draws") else ""
    raise StimdoseError(f"an answer is draws of an effect (a DataArray) or an Optimum, not a {type(answer).__name__}{drawn}")


def _of[Draws: (xr.DataArray, xr.Dataset)](draws: Draws, outcome: str) -> Draws:
    """Draws of an answer without those of other outcomes."""
    if draws.attrs.get("outcome", outcome) != outcome:
        raise StimdoseError(f"this answer is of {draws.attrs['outcome']}, and cannot be in points of {outcome}")
    for name in map(str, draws.dims):
        if name != "outcome" and "outcome" in name.split(":"):
            raise StimdoseError(f"this answer is by {name}: hold the outcome, with at = {{'outcome': {outcome!r}}}")
    if "outcome" not in draws.coords:
        return draws
    if outcome not in (known := np.atleast_1d(draws["outcome"].values)):
        raise StimdoseError(f"this answer is of {', '.join(known)}, and cannot be in points of {outcome}")
    return draws.sel(outcome=[outcome]) if "outcome" in draws.dims else draws


def _times(draws: xr.DataArray, points: float, label: str) -> xr.DataArray:
    return (draws * points).assign_attrs(draws.attrs | {"effect_label": label})
