"""Contrasts between protocols: how much better one does than another, and how surely."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.patches import Patch

from . import style

NUMBERS = ["mean", "low", "high", "p_positive"]
ROW, LINE = 0.16, 0.12
"""Height of a contrast in a figure of its own, and what each line of its label adds, inches."""


def contrasts(table, *, delta=None, ax=None, prob=0.95, labels=None):
    """Draw differences of effect between protocols with their intervals, and P(the difference is above zero) beside them.

    Parameters
    ----------
    table : DataFrame, one row per contrast
        label ("10 Hz against 1 Hz"); mean, low, high of the difference (effect units); p_positive. attrs, all optional:
        "effect_label", "held" (words below the figure), "warning" (printed in red).
    delta : float, optional
        The smallest difference that matters (effect units): a grey band from -delta to delta.
    ax : Axes, optional
        Drawn on instead of a new figure; the texts stand right of them.
    prob : float, probability of the intervals, named in the heading
    labels : dict, optional
        Other words for "effect", or for the label of any row.

    Returns
    -------
    Axes; its vertical unit is a contrast, counted downwards from 0.

    Raises
    ------
    ValueError for missing columns or numbers, intervals that do not enclose their mean, or a delta that is not positive.
    """
    level, own, rows = style.percent(prob), ax is None, _checked(table)
    if delta is not None and not (np.isfinite(delta) and delta > 0):
        raise ValueError(f"delta = {delta}: the smallest difference that matters is a positive number")
    words = {label: label for label in rows.label} | {"effect": f"Difference in {table.attrs.get('effect_label', 'effect')}"}
    words = style.relabelled(words, labels)
    names = [style.wrap(words[label], 190) for label in rows.label]
    y = np.arange(len(rows))
    with style.house(own):
        if own:
            height = 0.9 + len(rows) * (ROW + LINE * (1 + max(name.count("\n") for name in names)))
            ax = plt.subplots(figsize=(style.DOUBLE, height), layout="constrained")[1]
        ax.set(ylim=(len(rows) - 0.4, -0.6), xlabel=words["effect"])
        ax.set_xlim(*style.limits(rows[["low", "high"]], [] if delta is None else [-delta, delta]))
        if delta is not None:
            ax.axvspan(-delta, delta, color=style.BAND, linewidth=0, zorder=0, label="_delta")
        ax.axvline(0, color=style.GREY, linewidth=0.6, zorder=1, label="_zero")
        ax.hlines(y, rows.low, rows.high, color=style.BLUE, linewidth=1.2, zorder=3, label="_interval")
        ax.plot(rows["mean"], y, "o", color=style.BLUE, markersize=4, zorder=4, label="_mean")
        ax.set_yticks(y, names, fontsize=style.SMALL, parse_math=False)
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
        _write(ax, rows, level)
        band = (
            []
            if delta is None
            else [Patch(facecolor=style.BAND, label=f"Below {style.number(delta)}, the smallest difference that matters")]
        )
        if band or table.attrs.get("held"):
            style.legend([ax], own, band, table.attrs.get("held", ""), 2)
        if warning := table.attrs.get("warning"):
            style.warn_above(ax, warning, own)
    return ax


def _checked(table: pd.DataFrame) -> pd.DataFrame:
    """A copy with numbers as floats and labels as str; every fault of every row in one ValueError."""
    if missing := [name for name in ["label", *NUMBERS] if name not in table]:
        raise ValueError(f"the table of contrasts lacks the columns {missing}")
    if table.empty:
        raise ValueError("the table of contrasts has no rows")
    rows = table.astype(dict.fromkeys(NUMBERS, float) | {"label": str}).reset_index(drop=True)
    faults = {
        "mean, low, high or p_positive is missing": ~np.isfinite(rows[NUMBERS]).all(axis=1),
        "low, high do not enclose mean": (rows["mean"] < rows.low) | (rows["mean"] > rows.high),
        "p_positive is no probability": (rows.p_positive < 0) | (rows.p_positive > 1),
    }
    if found := [f"{list(rows.label[bad])}: {fault}" for fault, bad in faults.items() if bad.any()]:
        raise ValueError("\n  - ".join(["contrasts that cannot be drawn:", *found]))
    return rows


def _write(ax, rows: pd.DataFrame, level: str) -> None:
    """Estimate and probability right of the Axes, in columns under their headings."""
    texts = [style.estimate(*row) for row in rows[["low", "high", "mean"]].to_numpy()]
    wide = max(style.text_width(text) for text in texts) + 8
    for column, heading, at in ((texts, f"Mean [{level}]", wide), (rows.p_positive.map(style.chance), "P(> 0)", wide + 40)):
        look = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "annotation_clip": False, "ha": "right"}
        for y, text in enumerate(column):
            ax.annotate(text, (1, y), (at, 0), va="center", fontsize=style.SMALL, **look)
        ax.annotate(heading, (1, -0.6), (at, 2), va="bottom", fontsize=style.SMALL, fontweight="bold", **look)
