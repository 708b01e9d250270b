"""The best dose as a posterior, under the curve that it comes from, led by its verdict."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from ..columns import axis_label
from ..doses import short
from ..errors import FigureError
from . import panels, style

if TYPE_CHECKING:
    from ..optima import Optimum


STEPS = 30
"""Of the histogram over the range of doses."""
BEST, END = style.tint(0.6), style.tint(0.9)
TEXTS = (
    "Largest effect: posterior",
    "Largest at an end of the range",
    "Largest effect: prior",
    "Median, {prob} interval",
    "Probability of the\nlargest effect",
    "Best dose {dose}",
    panels.NONE_NAMED,
)


def optimum(
    best: "Optimum",
    *,
    points: pd.DataFrame | None = None,
    ax: np.ndarray | None = None,
    prob: float = 0.95,
    labels: Mapping[str, str] | None = None,
) -> np.ndarray:
    """Draw the curve and, below it, how probable it is that the effect is largest at each dose; one column of two panels per group.

    Draws whose best dose is an end of the range are bars beside the range and never smeared into it. The posterior stands
    beside the prior, in the same steps. The verdict is the title; only an identified dose is marked and named.

    Parameters
    ----------
    best : Optimum
        Or any object with curves (draws, as for `dose_response`), dose and prior_dose (draws (chain, draw[, group]) of the
        best dose), verdicts ({group: words}, or {"": words}) and fit_warning.
    points : DataFrame, optional
        The trials, as for `dose_response`.
    ax : array of Axes (2, group), optional
        Drawn on instead of a new figure.
    prob : float, probability of the central intervals
    labels : dict, optional
        Other words for "dose", "effect", any group, or any other text of the figure, by that text.

    Returns
    -------
    Array of Axes (2, group): curves above, best doses below. Without groups its second length is 1.

    Raises
    ------
    FigureError for what `dose_response` refuses, and for draws of a best dose that are missing or outside the range.
    """
    level, own, curve, log = style.percent(prob), ax is None, best.curves, panels.is_log(best.curves)
    (dose, group), names = panels.dims_of(curve), panels.groups_of(curve)
    words = {"dose": axis_label(dose), "effect": curve.attrs.get("effect_label", "Effect")}
    texts = (*panels.TEXTS, *panels.VERDICT, *TEXTS, *panels.said_of(curve), *best.verdicts.values(), best.fit_warning)
    words = style.relabelled(words | {name: name for name in names if group}, labels, texts, level)
    points = panels.checked_points(points, curve)
    parts = panels.panels_of(curve, None, points, prob)
    named = [panels.is_named(best, name) for name in names]
    edges = _edges(parts[0].doses, log)
    posterior, prior = ([_shares(draws, edges) for draws in _draws(each, group, edges)] for each in (best.dose, best.prior_dose))
    highest = max(shares.max() for shares in posterior + prior)
    ticks = MaxNLocator(3, steps=[1, 2, 5, 10]).tick_values(0, highest)
    with style.house(own):
        axes = _new_axes(len(parts)) if own else style.given_axes(ax, 2 * len(parts)).reshape(2, -1)
        x_limits, y_limits = panels.dose_limits(parts, points, log), panels.effect_limits(parts)
        x_limits = min(x_limits[0], edges[0]), max(x_limits[1], edges[-1])
        for index, (above, below) in enumerate(axes.T):
            panel = parts[index]
            for each, limits in ((above, y_limits), (below, (0.0, 1.4 * highest))):
                panels.frame(each, x_limits, limits, log, zero=each is above)
            panels.draw(above, panel, None if points is None else points.se.min())
            height = 0.8 * above.get_window_extent().height * 72 / above.figure.dpi
            above.set_ylabel(style.wrap(words["effect"], height))
            panels.verdict_above(above, best, panel, names[index], words)
            _draw_shares(below, edges, posterior[index], prior[index])
            if named[index]:
                _draw_interval(below, _draws(best.dose, group, edges)[index], prob, words)
            else:
                below.set_title(words[panels.NONE_NAMED], fontsize=style.SMALL, color=style.GREY)
            below.set(xlabel=words["dose"], ylabel=words["Probability of the\nlargest effect"])
            below.set_yticks(ticks[ticks <= 1.05 * highest])
        handles = panels.handles(words, parts)
        handles += _handles(words, any(shares[[0, -1]].any() for shares in posterior), any(named))
        style.legend([axes[0, -1]], own, handles, words.get(curve.attrs.get("held"), ""), 2 if len(parts) == 1 else 4)
        if warning := best.fit_warning or curve.attrs.get("warning"):
            style.warn_above(axes[0, 0], words[warning], own)
    return axes


def _edges(doses: np.ndarray, log: bool) -> np.ndarray:
    """Limits of the steps of the histogram, even on the axis; the first and the last step lie beside the range, for its ends."""
    low, high = np.log(doses[[0, -1]]) if log else doses[[0, -1]]
    edges = low + (high - low) / STEPS * np.arange(-1, STEPS + 2)
    edges = np.exp(edges) if log else edges
    edges[[1, -2]] = doses[[0, -1]]
    return edges


def _draws(dose, group: str | None, edges: np.ndarray) -> list[np.ndarray]:
    """Draws of the best dose, one array per group."""
    if dose.isnull().any() or (dose < edges[1]).any() or (dose > edges[-2]).any():
        raise FigureError(
            f"draws of the best dose must lie within the range of the curve, {short(edges[1])} to {short(edges[-2])}"
        )
    dims = ["chain", "draw", *([group] if group else [])]
    return list(dose.transpose(*dims).values.reshape(dose.sizes["chain"] * dose.sizes["draw"], -1).T)


def _shares(draws: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Share of the draws at the low end of the range, in each step between, and at the high end."""
    low, high = edges[[1, -2]]
    inside = draws[(draws > low) & (draws < high)]
    return np.array([(draws == low).sum(), *np.histogram(inside, edges[1:-1])[0], (draws == high).sum()]) / len(draws)


def _draw_shares(ax, edges: np.ndarray, posterior: np.ndarray, prior: np.ndarray) -> None:
    inner, ends = slice(1, -1), [0, -1]
    widths = np.diff(edges)
    ax.bar(edges[1:-2], posterior[inner], widths[inner], align="edge", color=BEST, linewidth=0, label="_posterior")
    ax.bar(edges[[0, -2]], posterior[ends], widths[ends], align="edge", color=END, linewidth=0, label="_end")
    for shares, borders in ((prior[:1], edges[:2]), (prior[inner], edges[1:-1]), (prior[-1:], edges[-2:])):
        ax.stairs(shares, borders, color=style.GREY, linewidth=0.8, zorder=3, label="_prior")
    for end, x, side, inwards in ((0, edges[0], "left", 3), (-1, edges[-1], "right", 0)):
        if posterior[end] >= 0.01:
            look: style.Look = {"ha": side, "va": "bottom", "fontsize": style.SMALL - 0.5, "color": style.BLUE, "zorder": 4}
            above = max(posterior[end], prior[end])
            ax.annotate(f"{100 * posterior[end]:.0f} %", (x, above), (inwards, 1), textcoords="offset points", **look)


def _draw_interval(ax, draws: np.ndarray, prob: float, words: dict[str, str]) -> None:
    """Median and interval of the best dose near the top, and as numbers above it."""
    low, middle, high = np.quantile(draws, [(1 - prob) / 2, 0.5, (1 + prob) / 2])
    y = 0.92 * ax.get_ylim()[1]
    ax.hlines(y, low, high, color=style.BLUE, linewidth=1.2, zorder=4, label="_interval")
    ax.plot(middle, y, "o", color=style.BLUE, markersize=4, zorder=5, label="_median", clip_on=False)
    text = style.filled(words["Best dose {dose}"], dose=f"{short(middle)} [{short(low)}, {short(high)}]")
    ax.set_title(text, fontsize=style.SMALL, color=style.BLUE, parse_math=False)


def _handles(words: dict[str, str], has_ends: bool, is_named: bool) -> list:
    return [
        Patch(facecolor=BEST, label=words["Largest effect: posterior"]),
        *[Patch(facecolor=END, label=words["Largest at an end of the range"])] * has_ends,
        Line2D([], [], color=style.GREY, linewidth=0.8, label=words["Largest effect: prior"]),
        *[Line2D([], [], color=style.BLUE, linewidth=1.2, marker="o", markersize=4, label=words["Median, {prob} interval"])]
        * is_named,
    ]


def _new_axes(count: int) -> np.ndarray:
    """Pairs of panels (2, count), up to four pairs in a row, or else three; numbers and labels of effects only at the left."""
    columns = style.in_a_row(count)
    rows = -(-count // columns)
    size = (style.SINGLE if count == 1 else style.DOUBLE, (4.8 if count == 1 else 4.1) * rows)
    look: style.Look = {"figsize": size, "height_ratios": [1.6, 1] * rows, "squeeze": False, "layout": "constrained"}
    axes = plt.subplots(2 * rows, columns, **look)[1]
    for row in axes:
        for ax in row[1:]:
            ax.yaxis.label.set_visible(False)
            ax.tick_params(labelleft=False)
    for ax in axes[::2].flat:
        ax.tick_params(labelbottom=False)
    pairs = axes.reshape(rows, 2, columns).transpose(1, 0, 2).reshape(2, -1)
    for ax in pairs[:, count:].flat:
        ax.remove()
    return pairs[:, :count]
