"""The dose slope within trials beside the slope across trials."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ..columns import COLUMNS
from ..doses import chance, short
from ..errors import FigureError
from . import panels, style

if TYPE_CHECKING:
    from ..ecology import WithinAcross


HEIGHT = 0.75
"""Of the highest density; rows are 1 apart."""
DELTA: style.Look = {"color": "black", "linewidth": 0.8, "linestyle": ":"}
COLOURS = {"within": style.BLUE, "across": style.ORANGE, "difference": style.GREY}
TEXTS = ("Median, {prob} interval", "±{delta}, the smallest difference that matters")


def within_across(
    slopes: "WithinAcross", *, ax: Axes | None = None, prob: float = 0.95, labels: Mapping[str, str] | None = None
) -> Axes:
    """Draw the posterior densities of the slope within trials, the slope across trials, and their difference.

    Parameters
    ----------
    slopes : WithinAcross
        Or any object with draws (Dataset (chain, draw) of within, across and difference, effect units per reference dose; attrs,
        optional: effect_unit), p_differ, delta (the smallest difference that matters), verdict (words), column and reference (of the
        dose), studies and several (how many there are, and how many have several doses).
    ax : Axes, optional
        Drawn on instead of a new figure.
    prob : float, probability of the intervals
    labels : dict, optional
        Other words for "effect", "within", "across", "difference", or any other text of the figure, by that text.

    Returns
    -------
    Axes; its vertical unit is a density, counted downwards from 0.

    Raises
    ------
    FigureError for draws that are missing, not finite or all the same.
    """
    level, own, draws = style.percent(prob), ax is None, slopes.draws
    if missing := [name for name in COLOURS if name not in draws]:
        raise FigureError(f"the draws of slopes lack {missing}")
    values = {name: draws[name].values.ravel() for name in COLOURS}
    if not all(np.isfinite(each).all() and np.ptp(each) > 0 for each in values.values()):
        raise FigureError("draws of slopes must be finite numbers that vary")
    unit = COLUMNS[slopes.column].unit if slopes.column in COLUMNS else slopes.column
    effect = draws.attrs.get("effect_unit")
    words = {
        "effect": f"Effect of {short(slopes.reference)} {unit}" + (f" ({effect})" if effect else ""),
        "within": f"Within trials\n({slopes.several} of {slopes.studies} studies)",
        "across": f"Across trials\n({slopes.studies} studies)",
        "difference": f"Difference\n(P({_side(draws)} zero) {chance(slopes.p_differ)})",
    }
    words = style.relabelled(words, labels, (*TEXTS, *panels.VERDICT[:1], slopes.verdict), level)
    core = np.concatenate([np.quantile(each, [0.001, 0.999]) for each in values.values()])
    with style.house(own):
        if ax is None:
            ax = plt.subplots(figsize=(style.SINGLE, 2.9), layout="constrained")[1]
        ax.set(xlim=style.limits(core, [-slopes.delta, slopes.delta]), ylim=(2.4, -1.0), xlabel=words["effect"])
        ax.axvline(0, color=style.GREY, linewidth=0.6, zorder=1, label="_zero")
        ax.vlines([-slopes.delta, slopes.delta], 2 - HEIGHT, 2, **DELTA, zorder=2.5, label="_delta")
        for row, (name, color) in enumerate(COLOURS.items()):
            _draw(ax, row, values[name], prob, color)
        ax.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
        ax.set_yticks(range(len(COLOURS)), [words[name] for name in COLOURS], fontsize=style.SMALL, parse_math=False)
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
        style.verdict_above(ax, "", slopes.verdict, words)
        handles = [
            Line2D([], [], color=style.GREY, linewidth=1.2, marker="o", markersize=4, label=words[TEXTS[0]]),
            Line2D([], [], **DELTA, label=style.filled(words[TEXTS[1]], delta=style.number(slopes.delta))),
        ]
        style.legend([ax], own, handles, "", 1)
    return ax


def _side(draws) -> str:
    """Where the difference lies with the probability that the object states."""
    return "above" if (draws["difference"] > 0).mean() >= 0.5 else "below"


def _draw(ax, row: int, draws: np.ndarray, prob: float, color: str) -> None:
    """Density above the line of the row, its peak at HEIGHT; median and interval on the line."""
    from scipy.stats import gaussian_kde

    low, middle, high = np.quantile(draws, [(1 - prob) / 2, 0.5, (1 + prob) / 2])
    left, right = ax.get_xlim()
    at = np.linspace(left, right, 301)
    density = gaussian_kde(draws)(at)
    shape = row - HEIGHT * density / density.max()
    ax.fill_between(at, row, shape, color=style.tint(0.35, color), linewidth=0, zorder=2, label="_density")
    ax.hlines(row, low, high, color=color, linewidth=1.2, zorder=3, label="_interval")
    ax.plot(middle, row, "o", color=color, markersize=4, zorder=4, label="_median")
