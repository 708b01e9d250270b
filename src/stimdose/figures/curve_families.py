"""Several curves of one dose beside each other: one for each shape, prior or model."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes

from ..columns import axis_label
from ..errors import FigureError
from . import panels, style


def curve_families(
    curves: Mapping[str, xr.DataArray],
    *,
    points: pd.DataFrame | None = None,
    together: bool = False,
    ax: np.ndarray | Axes | None = None,
    prob: float = 0.95,
    labels: Mapping[str, str] | None = None,
) -> np.ndarray:
    """Draw several curves in small multiples on the same axes, or their means together; dashed beyond the doses that trials tried.

    Parameters
    ----------
    curves : dict of DataArray, by name
        Each as for `dose_response`; all of the same dose, effect and groups.
    points : DataFrame, optional
        The trials, as for `dose_response`; the same in every panel.
    together : bool
        Means of all curves in one Axes per group, named at their right end; at most 7.
    ax : Axes, optional
        Drawn on instead of a new figure: one per curve and group, all groups of the first curve first; together, one per group.
    prob : float, probability of the central intervals
    labels : dict, optional
        Other words for "dose", "effect", any curve or group, or any other text of the figure, by that text.

    Returns
    -------
    Flat array of Axes, in that order.

    Raises
    ------
    FigureError for curves that cannot be drawn, differ in dose, effect or groups, or are too many to be told apart.
    """
    curves = {str(name): curve for name, curve in curves.items()}
    level, own, first, log = style.percent(prob), ax is None, *_alike(curves)
    if together and len(curves) > len(style.PALETTE):
        raise FigureError(f"{len(curves)} curves in one Axes cannot be told apart: draw at most {len(style.PALETTE)} together")
    (dose, group), names = panels.dims_of(first), panels.groups_of(first)
    words = {name: name for name in [*curves, *(names if group else [])]}
    words |= {"dose": axis_label(dose), "effect": first.attrs.get("effect_label", "Effect")}
    said = [text for curve in curves.values() for text in panels.said_of(curve)]
    words = style.relabelled(words, labels, (*panels.TEXTS, *said), level)
    points = panels.checked_points(points, first)
    families = [panels.panels_of(curve, None, points, prob) for curve in curves.values()]
    parts = [panel for family in families for panel in family]
    shown = list(zip(*families, strict=True)) if together else [(panel,) for panel in parts]
    with style.house(own):
        columns = len(names) if group and not together else None
        axes = _new_axes(len(shown), columns) if own else style.given_axes(ax, len(shown))
        x_limits = panels.dose_limits(parts, points, log)
        y_limits = panels.mean_limits(parts) if together else panels.effect_limits(parts)
        for index, (each, (panel, *_)) in enumerate(zip(axes, shown, strict=True)):
            panels.frame(each, x_limits, y_limits, log)
            each.set(xlabel=words["dose"], ylabel=words["effect"])
            heading, best_se = panels.heading(panel, words), None if points is None else points.se.min()
            if together:
                _draw_means(each, shown[index], best_se)
            else:
                panels.draw(each, panel, best_se)
                name = words[list(curves)[index // len(names)]]
                heading = f"{name}, {heading}" if heading else name
            style.entitle(each, heading)
        handles = panels.handles(words, parts, style.GREY if together else style.BLUE)
        if together:
            del handles[1]  # no intervals are drawn
        held, warnings = (
            {words[name]: words[curve.attrs[key]] for name, curve in curves.items() if curve.attrs.get(key)}
            for key in ("held", "warning")
        )
        is_common = len(held) == len(curves) and len(set(held.values())) == 1
        style.legend(axes, own, handles, next(iter(held.values())) if is_common else _listed(held), 2 if len(axes) == 1 else 4)
        if warnings:
            style.warn_above(axes[0], _listed(warnings), own)
        for each, together_shown in zip(axes, shown if together else (), strict=False):
            _name_ends(each, together_shown, [words[name] for name in curves], own)
    return axes


def _alike(curves: dict) -> tuple:
    """The first curve, and whether doses stand on a log axis."""
    if not curves:
        raise FigureError("there are no curves to draw")
    traits = {
        str(name): (*panels.dims_of(curve), panels.groups_of(curve), curve.attrs.get("effect_label", "Effect"))
        for name, curve in curves.items()
    }
    first = next(iter(traits.values()))
    for place, what in enumerate(("dose", "group column", "groups", "effect")):
        if any(each[place] != first[place] for each in traits.values()):
            found = "; ".join(f"{name}: {each[place]}" for name, each in traits.items())
            raise FigureError(f"curves side by side need the same {what}: {found}")
    return next(iter(curves.values())), all(panels.is_log(curve) for curve in curves.values())


def _new_axes(count: int, columns: int | None) -> np.ndarray:
    columns = columns or (count if count <= 4 else 4 if count > 9 else 3)
    return style.panel_axes(count, 2.9 if count <= columns else 2.0, columns)


def _listed(texts: dict[str, str]) -> str:
    return "; ".join(f"{name}: {text}" for name, text in texts.items())


def _draw_means(ax, shown: tuple[panels.Panel, ...], best_se: float | None) -> None:
    """The means of all curves of a group, each in its colour and with its marker, and its trials."""
    if shown[0].points is not None:
        panels.draw_points(ax, shown[0].points, best_se)
    for place, (panel, color, marker) in enumerate(zip(shown, style.PALETTE, style.MARKERS, strict=False)):
        panels.draw_mean(ax, panel, color)
        panels.draw_marks(ax, panel, color, marker, place, len(shown))


def _name_ends(ax, shown: tuple[panels.Panel, ...], names: list[str], own: bool) -> None:
    """The name of each curve right of its end, in its colour; names that would overlap are moved apart, with a line to the curve."""
    if own:
        ax.figure.draw_without_rendering()  # heights of the Axes are known once the figure is laid out
    ends = np.array([(panel.doses[-1], panel.mean[-1]) for panel in shown])
    heights, texts = ax.transData.transform(ends)[:, 1] * 72 / ax.figure.dpi, [style.wrap(name, 90) for name in names]
    placed = style.apart(heights, [style.SMALL * 1.25 * (text.count("\n") + 1) for text in texts])
    for end, text, color, up in zip(ends, texts, style.PALETTE, placed - heights, strict=False):
        line = {"arrowstyle": "-", "color": color, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 0, "relpos": (0, 0.5)}
        look: style.Look = {
            "color": color,
            "fontsize": style.SMALL,
            "va": "center",
            "parse_math": False,
            "annotation_clip": False,
        }
        ax.annotate(text, end, (14, up), textcoords="offset points", arrowprops=line, **look)
