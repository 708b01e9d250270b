"""Contrasts between protocols: how much better one does than another, and how surely."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from ..doses import chance
from ..errors import FigureError
from . import panels, style

if TYPE_CHECKING:
    from ..decisions import Contrast


NUMBERS = ["mean", "low", "high", "p_positive"]
ROW, LINE = 0.16, 0.12
"""Height of a contrast in a figure of its own, and what each line of its label adds, inches."""

TEXTS = ("Mean [{prob}]", "P(> 0)", "Below {delta}, the smallest difference that matters")


def contrasts(
    found: "Contrast | Iterable[Contrast] | pd.DataFrame",
    *,
    delta: float | None = None,
    ax: Axes | None = None,
    prob: float = 0.95,
    labels: Mapping[str, str] | None = None,
) -> Axes:
    """Draw differences of effect between protocols with their intervals, and P(the difference is above zero) beside them.

    Parameters
    ----------
    found : Contrast, list of Contrast, or DataFrame
        A DataFrame has one row per contrast: label ("10 Hz against 1 Hz"); mean, low, high of the difference (effect units);
        p_positive; optional group, as a column or as the name of the index. attrs, all optional: "effect_label", "delta", "held"
        (words below the figure), "warning" (printed in red). For a Contrast any object will do that has table(prob), which returns
        such a DataFrame, draws (whose attrs may have an "effect_label"), delta and fit_warning.
    delta : float, optional
        The smallest difference that matters (effect units), shown as a grey band from -delta to delta; by default that of `found`,
        if it is one for all.
    ax : Axes, optional
        Drawn on instead of a new figure; the texts stand right of them.
    prob : float, probability of the intervals, named in the heading
    labels : dict, optional
        Other words for "effect", the label of any row, or any other text of the figure, by that text.

    Returns
    -------
    Axes; its vertical unit is a contrast, counted downwards from 0.

    Raises
    ------
    FigureError for missing columns or numbers, intervals that do not enclose their mean, a negative delta, or nothing to draw.
    """
    level, own, table = style.percent(prob), ax is None, found if isinstance(found, pd.DataFrame) else _tabled(found, prob)
    rows, delta = _checked(table), table.attrs.get("delta") if delta is None else delta
    if delta is not None and not (np.isfinite(delta) and delta >= 0):
        raise FigureError(f"delta = {delta}: the smallest difference that matters is 0 or more")
    words = {label: label for label in rows.label} | {"effect": f"Difference in {table.attrs.get('effect_label', 'effect')}"}
    words = style.relabelled(words, labels, (*TEXTS, *panels.said_of(table)), level)
    names = [style.wrap(words[label], 190) for label in rows.label]
    y = np.arange(len(rows))
    with style.house(own):
        if ax is None:
            height = 0.9 + len(rows) * (ROW + LINE * (1 + max(name.count("\n") for name in names)))
            ax = plt.subplots(figsize=(style.DOUBLE, height), layout="constrained")[1]
        ax.set(ylim=(len(rows) - 0.4, -0.6), xlabel=words["effect"])
        ax.set_xlim(*style.limits(rows[["low", "high"]], [-delta, delta] if delta else []))
        if delta:
            ax.axvspan(-delta, delta, color=style.BAND, linewidth=0, zorder=0, label="_delta")
        ax.axvline(0, color=style.GREY, linewidth=0.6, zorder=1, label="_zero")
        ax.hlines(y, rows.low, rows.high, color=style.BLUE, linewidth=1.2, zorder=3, label="_interval")
        ax.plot(rows["mean"], y, "o", color=style.BLUE, markersize=4, zorder=4, label="_mean")
        ax.set_yticks(y, names, fontsize=style.SMALL, parse_math=False)
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
        _write(ax, rows, words)
        band = style.filled(words[TEXTS[2]], delta=style.number(delta)) if delta else ""
        if band or table.attrs.get("held"):
            handles = [Patch(facecolor=style.BAND, label=band)] * bool(band)
            style.legend([ax], own, handles, words.get(table.attrs.get("held"), ""), 1)
        if warning := table.attrs.get("warning"):
            style.warn_above(ax, words[warning], own)
    return ax


def _tabled(found, prob: float) -> pd.DataFrame:
    """The table of one or several contrasts, with what is common to them in attrs."""
    found = found if isinstance(found, list | tuple) else [found]
    if not found:
        raise FigureError("there are no contrasts to draw")
    if wrong := [each for each in found if not hasattr(each, "table")]:
        raise FigureError(f"contrasts, or a DataFrame of them, are drawn, not {wrong[0]!r}")
    table, deltas = pd.concat([each.table(prob) for each in found]), {each.delta for each in found}
    table.attrs = {
        "warning": "; ".join(dict.fromkeys(each.fit_warning for each in found if each.fit_warning)),
        "effect_label": found[0].draws.attrs.get("effect_label", "effect"),
        "delta": deltas.pop() if len(deltas) == 1 else None,
    }
    return table


def _checked(table: pd.DataFrame) -> pd.DataFrame:
    """A copy with numbers as floats and labels as str; every fault of every row in one FigureError."""
    if missing := [name for name in ["label", *NUMBERS] if name not in table]:
        raise FigureError(f"the table of contrasts lacks the columns {missing}")
    if table.empty:
        raise FigureError("the table of contrasts has no rows")
    rows = (table.reset_index() if table.index.name == "group" else table).reset_index(drop=True)
    rows = rows.astype(dict.fromkeys(NUMBERS, float) | {"label": str})
    if "group" in rows:
        rows["label"] = rows["group"].map(lambda group: f"{group}: " if group else "") + rows["label"]
    faults = {
        "mean, low, high or p_positive is missing": ~np.isfinite(rows[NUMBERS]).all(axis=1),
        "low, high do not enclose mean": (rows["mean"] < rows.low) | (rows["mean"] > rows.high),
        "p_positive is no probability": (rows.p_positive < 0) | (rows.p_positive > 1),
    }
    if found := [f"{list(rows.label[bad])}: {fault}" for fault, bad in faults.items() if bad.any()]:
        raise FigureError("\n  - ".join(["contrasts that cannot be drawn:", *found]))
    return rows


def _write(ax, rows: pd.DataFrame, words: dict[str, str]) -> None:
    """Estimate and probability right of the Axes, in columns under their headings."""
    texts = [style.estimate(*row) for row in rows[["low", "high", "mean"]].to_numpy()]
    wide = max(style.text_width(text) for text in texts) + 8
    for column, heading, at in ((texts, words["Mean [{prob}]"], wide), (rows.p_positive.map(chance), words["P(> 0)"], wide + 40)):
        look: style.Look = {
            "xycoords": ("axes fraction", "data"),
            "textcoords": "offset points",
            "annotation_clip": False,
            "ha": "right",
        }
        for y, text in enumerate(column):
            ax.annotate(text, (1, y), (at, 0), va="center", fontsize=style.SMALL, **look)
        ax.annotate(heading, (1, -0.6), (at, 2), va="bottom", fontsize=style.SMALL, fontweight="bold", **look)
