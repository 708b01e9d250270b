"""The effect over two doses, where trials were, and where its best combination lies."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from ..columns import axis_label
from ..errors import FigureError
from . import panels, style

if TYPE_CHECKING:
    from ..joint_optima import JointOptimum


WIDTH = 5.0
"""Of a figure of its own, inches: one and a half columns."""
COLOURS = mpl.colormaps["viridis"]
FADE: style.Look = {"facecolor": (1, 1, 1, 0.5), "edgecolor": style.GREY, "linewidth": 0}
HATCH = "///"
REGION: style.Look = {"color": style.ORANGE, "linewidth": 1.6}
RIDGE: style.Look = {"color": "black", "linewidth": 1.2, "linestyle": (0, (4, 2))}
TEXTS = (
    "No trial near these doses",
    "Trials ({rows})",
    "Trials ({rows}; {missing} more with a dose missing)",
    "{rows} row",
    "{rows} rows",
    "{prob} region of the largest effect",
    "Best {second} for each {first}",
    "{verdict} in {dose}",
)
TRIALS: style.Look = {"markerfacecolor": "black", "markeredgecolor": "white", "markeredgewidth": 0.5, "markersize": 4}


def surface(
    surface: xr.DataArray,
    optimum: "JointOptimum | None" = None,
    *,
    points: pd.DataFrame | None = None,
    ax: Axes | None = None,
    prob: float = 0.95,
    labels: Mapping[str, str] | None = None,
) -> Axes:
    """Draw the mean effect over two doses as filled contours; hatched and faint where no trial was near.

    The best second dose for each first one is drawn where the verdict is "identified", and nowhere else.

    Parameters
    ----------
    surface : DataArray (chain, draw, <first>, <second>)
        Draws of the mean effect. attrs: "doses" ([first, second]: horizontal and vertical axis); optional "log_axes" ([0 or 1, 0
        or 1]), "effect_label", "held" (words), "warning" (printed in red). An optional boolean coordinate "visited"
        (<first>, <second>) says where trials were near.
    optimum : JointOptimum, optional
        Or any object with region(prob) (boolean DataArray (<first>, <second>): the joint region of the best doses), ridge(first)
        (draws (chain, draw, <first>) of the best second dose for each first one), verdict (the title) and fit_warning.
    points : DataFrame, optional
        One row per trial, with a column of each dose; where one of the two is missing the row has no place, and the legend counts
        it.
    ax : Axes, optional
        Drawn on instead of a new figure.
    prob : float, probability of the joint region
    labels : dict, optional
        Other words for either dose, "effect", or any other text of the figure, by that text.

    Returns
    -------
    Axes

    Raises
    ------
    FigureError for dimensions that do not fit, doses not above 0 on a log axis, or numbers that are not finite.
    """
    level, own, (first, second), logs = style.percent(prob), ax is None, _doses(surface), surface.attrs.get("log_axes", [0, 0])
    words = {first: axis_label(first), second: axis_label(second), "effect": surface.attrs.get("effect_label", "Effect")}
    verdicts = [part.partition(" in ")[0] for part in getattr(optimum, "verdict", "").split(", ")]
    texts = (*TEXTS, panels.VERDICT[0], *verdicts, getattr(optimum, "fit_warning", ""), *panels.said_of(surface))
    words = style.relabelled(words, labels, texts, level)
    x, y, mean = surface[first].values, surface[second].values, surface.mean(("chain", "draw")).transpose(first, second).values.T
    places = None if points is None else _places(points, first, second, logs)
    with style.house(own):
        if ax is None:
            ax = plt.subplots(figsize=(WIDTH, 4.2), layout="constrained")[1]
        for axis, doses in enumerate((x, y)):
            every = doses if places is None else np.concatenate([doses, places[:, axis]])
            style.dose_axis(ax, np.nanmin(every), np.nanmax(every), logs[axis], "xy"[axis])
        ax.set(xlabel=words[first], ylabel=words[second])
        _draw_effect(ax, x, y, mean, words["effect"])
        handles: list[Artist] = []
        if "visited" in surface.coords and not surface["visited"].all():
            _fade(ax, x, y, ~surface["visited"].transpose(first, second).values.T)
            handles.append(Patch(**FADE, hatch=HATCH, label=words["No trial near these doses"]))
        if places is not None:
            shown = places[np.isfinite(places).all(axis=1)]
            ax.plot(*shown.T, "o", **TRIALS, zorder=6, clip_on=False, label="_trials")
            label = words[TEXTS[1] if len(shown) == len(places) else TEXTS[2]]
            label = style.filled(label, rows=style.rows_of(len(shown), words), missing=len(places) - len(shown))
            handles.append(Line2D([], [], linestyle="none", marker="o", **TRIALS, label=label))
        if optimum is not None:
            is_named = optimum.verdict == "identified" and not optimum.fit_warning
            _draw_best(ax, surface, optimum, prob, is_named)
            handles.append(Line2D([], [], **REGION, label=words["{prob} region of the largest effect"]))
            if is_named:
                ridge = {"first": _plain(words[first]), "second": _plain(words[second])}
                handles.append(Line2D([], [], **RIDGE, label=style.filled(words["Best {second} for each {first}"], **ridge)))
            style.verdict_above(ax, "", _in_words(optimum.verdict, words), words)
        style.legend([ax], own, handles, words.get(surface.attrs.get("held"), ""), 2)
        if warning := getattr(optimum, "fit_warning", "") or surface.attrs.get("warning"):
            style.warn_above(ax, words[warning], own)
    return ax


def _in_words(verdict: str, words: dict[str, str]) -> str:
    """A verdict with the words of the axes in place of the names of doses."""
    parts = [part.partition(" in ") for part in verdict.split(", ")]
    lower = lambda text: text[:1].lower() + text[1:]
    one = lambda verdict, dose: style.filled(words["{verdict} in {dose}"], verdict=words[verdict], dose=lower(words[dose]))
    return ", ".join(one(part, dose) if dose else words[part] for part, _, dose in parts)


def _plain(label: str) -> str:
    """A label without its unit, for the middle of a sentence."""
    return label[0].lower() + label[1:].partition(" (")[0]


def _doses(surface) -> list[str]:
    doses, logs = list(surface.attrs.get("doses", [])), surface.attrs.get("log_axes", [0, 0])
    if len(doses) != 2 or set(surface.dims) != {"chain", "draw", *doses}:
        raise FigureError(
            f"a surface needs dims (chain, draw, <first>, <second>) and attrs['doses']; got {surface.dims} and {doses}"
        )
    if not np.isfinite(surface).all():
        raise FigureError("draws of a surface must be finite numbers")
    for dose, log in zip(doses, logs, strict=True):
        if log and float(surface[dose].min()) <= 0:
            raise FigureError(f"a log axis has no dose 0: start the grid of {dose!r} above zero, or set attrs['log_axes'] to 0")
    return doses


def _places(points, first: str, second: str, logs) -> np.ndarray:
    """Both doses of every trial (trial, 2), NaN where one is missing."""
    if missing := [name for name in (first, second) if name not in points]:
        raise FigureError(f"points lack the columns {missing}")
    places = points[[first, second]].astype(float).to_numpy()
    if ((places <= 0) & np.asarray(logs, bool)).any():
        raise FigureError("a log axis has no dose 0, and points have one")
    return places


def _draw_effect(ax, x: np.ndarray, y: np.ndarray, mean: np.ndarray, label: str) -> None:
    """Filled contours at round effects, with their numbers, and a colour bar. mean: shape (y, x)."""
    levels = MaxNLocator(9, steps=[1, 2, 2.5, 5, 10]).tick_values(mean.min(), mean.max())
    filled = ax.contourf(x, y, mean, levels, cmap=COLOURS, zorder=1)
    lines = ax.contour(x, y, mean, levels, colors="white", linewidths=0.5, zorder=2)
    for text in ax.clabel(lines, fmt=style.number, fontsize=style.SMALL - 0.5):
        text.set(zorder=3.5, path_effects=[withStroke(linewidth=1.5, foreground=style.GREY)])
    bar = ax.figure.colorbar(filled, ax=ax, label=label, format=lambda value, _: style.number(value), pad=0.02)
    bar.outline.set_linewidth(0.6)


def _fade(ax, x: np.ndarray, y: np.ndarray, mask: np.ndarray) -> None:
    """Faint and hatched where the mask (y, x) is true."""
    faded = ax.contourf(x, y, mask.astype(float), [0.5, 1.5], colors=[FADE["facecolor"]], hatches=[HATCH], zorder=3)
    faded.set(edgecolor=style.GREY, linewidth=0, hatch_linewidth=0.5, label="_not visited")


def _draw_best(ax, surface, optimum, prob: float, is_named: bool) -> None:
    """The joint region as an outline, closed along the edges of the grid, and the ridge if it may name a best dose."""
    first, second = surface.attrs["doses"]
    region, ridge = optimum.region(prob).transpose(second, first), optimum.ridge(first).median(("chain", "draw"))
    if any(not np.array_equal(found[dose].values, surface[dose].values) for found in (region, ridge) for dose in found.dims):
        raise FigureError("the region and the ridge of the optimum need the grid of the surface")
    x, y = (np.pad(surface[dose].values, 1, mode="edge") for dose in (first, second))
    outline = ax.contour(x, y, np.pad(region.values.astype(float), 1), [0.5], colors=REGION["color"], zorder=4)
    outline.set(linewidth=REGION["linewidth"], clip_on=False, label="_region")
    if is_named:
        ax.plot(surface[first].values, ridge.values, **RIDGE, clip_on=False, zorder=5, label="_ridge")
