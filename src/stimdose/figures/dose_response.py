"""The dose-response figure: posterior mean curve, its interval, the interval of a new study, and the trials."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes

from ..columns import axis_label
from ..errors import FigureError
from . import panels, style


def dose_response(
    curve: xr.DataArray,
    *,
    new_study: xr.DataArray | None = None,
    points: pd.DataFrame | None = None,
    ax: np.ndarray | Axes | None = None,
    prob: float = 0.95,
    labels: Mapping[str, str] | None = None,
) -> Any:
    """Draw a dose-response curve with its uncertainty and the trials behind it; dashed and faint beyond the observed doses.

    Parameters
    ----------
    curve : DataArray (chain, draw, <dose>) or (chain, draw, <dose>, <group>)
        Draws of the mean effect. attrs: "dose" (name of the dose dimension), "observed" ([low, high], dose units); optional
        "observed_by_group" ({group: [low, high]}, or that as JSON; a group not in it has no observed dose), "effect_label",
        "held" (words), "log_axis" (0 or 1), "warning" (printed in red). An optional boolean coordinate "visited" along the dose
        (and the group) says whether any trial came near; where it is False the dose counts as beyond the observed ones.
    new_study : DataArray like curve, optional
        Draws of the effect in a new study.
    points : DataFrame, optional
        One row per trial or stratum: dose, effect, se, the group column if the curve has one, and dose_low, dose_high where
        the dose is an interval (NaN otherwise; 0 or inf for an open end).
    ax : Axes, or one Axes per group, optional
        Drawn on instead of a new figure.
    prob : float, probability of the central intervals
    labels : dict, optional
        Other words for "dose", "effect", any group, or any other text of the figure, by that text.

    Returns
    -------
    Axes, or a flat array of Axes (one per group) if the curve has groups.

    Raises
    ------
    FigureError naming what does not fit: dimensions, groups, doses on a log axis, missing numbers, number of Axes.
    """
    level, own, (dose, group), log = style.percent(prob), ax is None, panels.dims_of(curve, new_study), panels.is_log(curve)
    if curve.attrs.get("kind", "mean") != "mean":
        raise FigureError(f"curve is of kind {curve.attrs['kind']!r}: pass the mean as curve, draws of a new study as new_study")
    words = {"dose": axis_label(dose), "effect": curve.attrs.get("effect_label", "Effect")}
    words |= {name: name for name in panels.groups_of(curve) if group}
    words = style.relabelled(words, labels, (*panels.TEXTS, *panels.said_of(curve)), level)
    points = panels.checked_points(points, curve)
    parts = panels.panels_of(curve, new_study, points, prob)
    with style.house(own):
        count = len(parts)
        axes = style.panel_axes(count, 2.9 if count == 1 else 2.6, style.in_a_row(count)) if own else style.given_axes(ax, count)
        x_limits, y_limits = panels.dose_limits(parts, points, log), panels.effect_limits(parts)
        for each, panel in zip(axes, parts, strict=True):
            panels.frame(each, x_limits, y_limits, log)
            panels.draw(each, panel, None if points is None else points.se.min())
            each.set(xlabel=words["dose"], ylabel=words["effect"])
            each.set_title(panels.heading(panel, words), parse_math=False)
        handles = panels.handles(words, parts)
        style.legend(axes, own, handles, words.get(curve.attrs.get("held"), ""), 2 if len(axes) == 1 else 4)
        if warning := curve.attrs.get("warning"):
            style.warn_above(axes[0], words[warning], own)
    return axes[0] if group is None else axes
