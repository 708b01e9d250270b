"""Whether trials come out as the model predicts."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.lines import Line2D

from . import style
from .study_rows import height_of, name_rows

if TYPE_CHECKING:
    from ..checks import Check


ALPHA = 0.05
TEXTS = (
    "Reported",
    "Mean predicted from the other studies",
    "{prob} interval of the prediction",
    "Outlying study",
    "{count} rows",
)


def checks(
    found: "Check", *, ax: np.ndarray | None = None, prob: float = 0.95, labels: Mapping[str, str] | None = None
) -> np.ndarray:
    """Draw what every row reports against what the other studies predict of it, and how often studies lie how high in that (PIT).

    Parameters
    ----------
    found : Check
        Or any object with tables, a dict of DataFrames: rows (study, effect, predicted, low, high), studies (index study: p_adjusted)
        and pit (pit, ecdf, low, high: the share of studies up to each PIT value, and the simultaneous band around it), fit_warning and
        effect_label.
    ax : two Axes, optional
        Drawn on instead of a new figure: rows, PIT.
    prob : float, probability of the intervals that `found` has, named in the legend
    labels : dict, optional
        Other words for "effect", "pit", "ecdf", or any other text of the figure, by that text.

    Returns
    -------
    Array of two Axes. In the first the vertical unit is a row, sorted by what is predicted, counted downwards from 0. With more rows
    than fit on a page only those of outlying studies (adjusted p < 0.05), in red, are named, and the label counts the rows.

    Raises
    ------
    ValueError for tables without rows, or other than two Axes.
    """
    own, level = ax is None, style.percent(prob)
    rows, pit, studies = (found.tables[name] for name in ("rows", "pit", "studies"))
    if rows.empty:
        raise ValueError("there are no rows to draw")
    outlying = set(studies.index[studies["p_adjusted"] < ALPHA].astype(str))
    rows = rows.sort_values(["predicted", "study"], kind="stable", ignore_index=True)
    odd = rows["study"].astype(str).isin(outlying)
    words = {"effect": getattr(found, "effect_label", "Effect"), "pit": "PIT of the study", "ecdf": "Share of studies"}
    words = style.relabelled(words, labels, (*TEXTS, found.fit_warning), level)
    with style.house(own):
        if own:
            size = (style.DOUBLE, max(2.4, height_of(len(rows))) + 0.8)
            axes = plt.subplots(1, 2, figsize=size, width_ratios=(2, 1), layout="constrained")[1]
        else:
            axes = style.given_axes(ax, 2)
        left, right = axes
        left.axvline(0, color=style.GREY, linewidth=0.6, zorder=1, label="_zero")
        left.set_xlim(*style.limits(rows[["low", "high"]], rows["effect"], reach=2.0))
        width = min(1.2, 72 * height_of(len(rows)) / len(rows) / 3)
        left.hlines(rows.index, rows["low"], rows["high"], color=style.tint(0.45), linewidth=width, zorder=2, label="_interval")
        left.plot(rows["predicted"], rows.index, "|", color=style.BLUE, markersize=4, zorder=3, label="_predicted")
        for is_odd, color in ((False, "black"), (True, style.RED)):
            part = rows[odd == is_odd]
            marker, label = (style.ODD, "_odd") if is_odd else ("o", "_reported")
            left.plot(part["effect"], part.index, marker, color=color, markersize=2.8, zorder=4, label=label)
        name_rows(left, rows["study"], odd, words["{count} rows"])
        left.set_xlabel(words["effect"])
        _draw_pit(right, pit)
        right.set(xlabel=words["pit"], ylabel=words["ecdf"], xlim=(0, 1), ylim=(0, 1), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
        right.set_box_aspect(1)
        right.set_anchor("N")
        handles = [
            Line2D([], [], linestyle="none", marker="o", markersize=2.8, color="black", label=words["Reported"]),
            Line2D([], [], linestyle="none", marker="|", markersize=5, color=style.BLUE, label=words[TEXTS[1]]),
            Line2D([], [], color=style.tint(0.45), linewidth=1.2, label=words[TEXTS[2]]),
        ]
        if odd.any():
            look: style.Look = {"linestyle": "none", "marker": style.ODD, "markersize": 2.8, "color": style.RED}
            handles.append(Line2D([], [], **look, label=words["Outlying study"]))
        style.legend(axes, own, handles, "", 4)
        if found.fit_warning:
            style.warn_above(left, words[found.fit_warning], own)
    return axes


def _draw_pit(ax, pit) -> None:
    """The share of studies up to each PIT value as a staircase, and the band in which it stays if the model is right."""
    ax.fill_between(pit["pit"], pit["low"], pit["high"], color=style.BAND, linewidth=0, step="post", zorder=0, label="_band")
    ax.plot([0, 1], [0, 1], color=style.GREY, linewidth=0.6, linestyle=":", zorder=1, label="_uniform")
    ax.step(pit["pit"], pit["ecdf"], where="post", color=style.BLUE, linewidth=1.2, zorder=3, label="_ecdf")
