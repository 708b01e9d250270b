"""Answers of fits whose effects are in units of several outcomes, back in points of one."""

from dataclasses import replace

import xarray as xr

from .errors import StimdoseError, nearest
from .optima import Optimum
from .sampling import Fit
from .scales import scale_of

COLUMN = "outcome"


def in_points[Answer: (xr.DataArray, Optimum)](fit: Fit, answer: Answer, outcome: str) -> Answer:
    """An answer of a fit of `Trials.in_units` in points of one outcome: every effect times the points of its unit.

    answer: draws of an effect (a DataArray, as `curve` gives), or an `Optimum`, whose delta and benefit are turned too. A verdict
    does not depend on the unit, and doses have another. outcome: one that the table names.

    A curve is common to the outcomes of the table: in points it says what this one gains if they gain alike. Of an answer by outcome,
    only that of this one is left: the others are not in its points.

    Raises StimdoseError if the effects of the fit are not in such units, if no row has this outcome, or if the answer is of others.
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
        curves, draws, prior = (_of(outcome, each) for each in (answer.curves, answer.draws, answer.prior_dose))
        draws = draws.assign(effect_at_best=draws["effect_at_best"] * points)
        benefit = None if answer.benefit is None else answer.benefit * points
        verdicts = {outcome: answer.verdicts[outcome]} if answer.by == COLUMN else answer.verdicts
        return replace(
            answer,
            draws=draws,
            curves=_times(curves, points, label),
            prior_dose=prior,
            delta=answer.delta * points,
            benefit=benefit,
            verdicts=verdicts,
        )
    if isinstance(answer, xr.DataArray):
        return _times(_of(outcome, answer), points, label)
    drawn = " (its draws are one)" if hasattr(answer, "draws") else ""
    raise StimdoseError(f"an answer is draws of an effect (a DataArray) or an Optimum, not a {type(answer).__name__}{drawn}")


def _of[Draws: (xr.DataArray, xr.Dataset)](outcome: str, draws: Draws) -> Draws:
    """What draws by outcome say of this one; draws that know no outcome as they are. Raises StimdoseError where they are of others."""
    if COLUMN not in draws.coords:
        return draws
    known = [str(name) for name in draws[COLUMN].values.reshape(-1)]
    if outcome not in known:
        raise StimdoseError(f"this answer is of {', '.join(known)}, not of {outcome}")
    return draws.sel({COLUMN: [outcome]}) if COLUMN in draws.dims else draws


def _times(draws: xr.DataArray, points: float, label: str) -> xr.DataArray:
    return (draws * points).assign_attrs(draws.attrs | {"effect_label": label})
