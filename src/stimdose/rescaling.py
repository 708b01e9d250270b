"""Answers of fits whose effects are in units of several outcomes, back in points of one."""

from dataclasses import replace

import xarray as xr

from .errors import StimdoseError, nearest
from .optima import Optimum
from .sampling import Fit
from .scales import scale_of


def in_points[Answer: (xr.DataArray, Optimum)](fit: Fit, answer: Answer, outcome: str) -> Answer:
    """An answer of a fit of `Trials.in_units` in points of one outcome: every effect times the points of its unit.

    answer: draws of an effect (a DataArray, as `curve` gives), or an `Optimum`, whose delta and benefit are turned too. A verdict
    does not depend on the unit, and doses have another. outcome: one that the table names.

    A curve is common to the outcomes of the table: in points it says what this one gains if they gain alike.

    Raises StimdoseError if the effects of the fit are not in such units, or no row has this outcome.
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
        curves = _times(answer.curves, points, label)
        draws = answer.draws.assign(effect_at_best=answer.value * points)
        benefit = None if answer.benefit is None else answer.benefit * points
        return replace(answer, draws=draws, curves=curves, delta=answer.delta * points, benefit=benefit)
    if isinstance(answer, xr.DataArray):
        return _times(answer, points, label)
    raise StimdoseError(f"an answer is draws of an effect (a DataArray) or an Optimum, not a {type(answer).__name__}")


def _times(draws: xr.DataArray, points: float, label: str) -> xr.DataArray:
    return (draws * points).assign_attrs(draws.attrs | {"effect_label": label})
