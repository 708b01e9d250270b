"""The funnel plot: effects against their standard errors, with contours of significance; or what is left of them after the dose."""

import re
from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from ..errors import FigureError
from . import panels, style

LEVELS, GREYS = (0.1, 0.05, 0.01), ("1.0", "0.72", "0.84", "0.95")
"""Two-sided p values, and the greys above, between and below them (1 is white)."""
SAMPLING: style.Look = {"color": style.GREY, "linewidth": 0.9, "linestyle": ":"}
SPREAD: style.Look = {"color": style.GREY, "linewidth": 0.9, "linestyle": panels.DASHES}
EXPECTED: style.Look = {"color": style.BLUE, "linewidth": 1.2}
TRIALS: style.Look = {"markerfacecolor": panels.FACE, "markeredgecolor": panels.EDGE, "markeredgewidth": 0.5, "markersize": 4}
TEXTS = (
    "p > 0.1",
    "p = 0.05 to 0.1",
    "p = 0.01 to 0.05",
    "p < 0.01",
    "Mean expected at their doses",
    "{prob} limits of sampling error",
    "{prob} limits, trials differing as estimated",
    "Trials ({rows})",
    "{rows} row",
    "{rows} rows",
)


def funnel(
    table: pd.DataFrame,
    *,
    of: str = "effect",
    ax: Axes | None = None,
    prob: float = 0.95,
    labels: Mapping[str, str] | None = None,
) -> Axes:
    """Draw effects against their standard errors, over contours of two-sided significance, or their residuals after dose.

    Contours tell whether what is missing would have been insignificant, as it is where significance decides what is published (Peters et
    al. 2008, J Clin Epidemiol 61:991-996); they say nothing of residuals, which have limits around zero instead: an effect that
    depends on the dose makes a funnel of effects lopsided by itself.

    Parameters
    ----------
    table : DataFrame, one row per trial or row of the table, as `residuals` returns it
        effect and se (effect units), se above 0. Optional: expected (effect units), of which the mean is a vertical line among effects;
        residual and spread (SD of what trials differ by, effect units), which residuals need. attrs, both optional:
        "effect_label", "warning" (printed in red).
    of : "effect" or "residual"
    ax : Axes, optional
        Drawn on instead of a new figure.
    prob : float, probability of the limits of residuals
    labels : dict, optional
        Other words for "x" (effect or residual), "se" (the axes), or any other text of the figure, by that text.

    Returns
    -------
    Axes; standard errors grow downwards. Rows beyond its sides are arrowheads at them.

    Raises
    ------
    FigureError for missing columns or numbers, and for any other `of`.
    """
    level, own = style.percent(prob), ax is None
    rows, label = _checked(table, of), table.attrs.get("effect_label", "Effect")
    unit, x = re.split(r" \(|, ", label)[0], rows[of].to_numpy()
    words = {
        "x": label if of == "effect" else f"Effect less that expected at its dose ({unit})",
        "se": f"Standard error ({unit})",
    }
    words = style.relabelled(words, labels, (*TEXTS, *panels.said_of(table)), level)
    top = 1.08 * rows["se"].max()
    with style.house(own):
        if ax is None:
            ax = plt.subplots(figsize=(style.SINGLE, 3.5), layout="constrained")[1]
        reach = [2.0 * top, -2.0 * top] if of == "residual" else [0.0]
        ax.set(ylim=(top, 0), xlabel=words["x"], ylabel=words["se"])
        ax.set_xlim(*style.limits([*np.quantile(x, [0.05, 0.95]), *reach], x))
        handles = _draw_contours(ax, top, words) if of == "effect" else _draw_limits(ax, top, rows, prob, words)
        ax.axvline(0, color=style.GREY, linewidth=0.6, zorder=2, label="_zero")
        if of == "effect" and "expected" in rows:
            ax.axvline(rows["expected"].mean(), **EXPECTED, zorder=2.5, label="_expected")
            handles.append(Line2D([], [], **EXPECTED, label=words["Mean expected at their doses"]))
        _draw_trials(ax, x, rows["se"].to_numpy())
        trials = style.filled(words["Trials ({rows})"], rows=style.rows_of(len(rows), words))
        handles.insert(0, Line2D([], [], linestyle="none", marker="o", **TRIALS, label=trials))
        ax.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
        style.legend([ax], own, handles, "", 2 if of == "effect" else 1)
        if warning := table.attrs.get("warning"):
            style.warn_above(ax, words[warning], own)
    return ax


def _checked(table: pd.DataFrame, of: str) -> pd.DataFrame:
    """The numbers that are drawn as floats; every fault in one FigureError."""
    if of not in ("effect", "residual"):
        raise FigureError(f"of = {of!r}: a funnel is of 'effect' or of 'residual'")
    needed = ["effect", "se"] if of == "effect" else ["residual", "se", "spread"]
    if missing := [name for name in needed if name not in table]:
        raise FigureError(f"the table of a funnel lacks the columns {missing}")
    if table.empty:
        raise FigureError("the table of a funnel has no rows")
    rows = table[[*needed, *(name for name in ("expected",) if name in table)]].astype(float)
    faults = {"a number is missing": ~np.isfinite(rows).all(axis=1), "se is not positive": rows["se"] <= 0}
    if found := [f"rows {list(rows.index[bad])}: {fault}" for fault, bad in faults.items() if bad.any()]:
        raise FigureError("\n  - ".join(["a funnel that cannot be drawn:", *found]))
    return rows


def _draw_contours(ax, top: float, words: dict[str, str]) -> list:
    """Wedges around zero, the widest first, each over the one before; the handles of a legend."""
    from scipy.stats import norm

    ax.axvspan(*ax.get_xlim(), color=GREYS[-1], linewidth=0, zorder=0, label="_significant")
    for p, grey in zip(LEVELS[::-1], GREYS[-2::-1], strict=True):
        reach = norm.isf(p / 2) * top
        ax.fill([0, reach, -reach], [0, top, top], color=grey, linewidth=0, zorder=0.5, label=f"_p {p}")
    look: style.Look = {"edgecolor": style.GREY, "linewidth": 0.4}
    return [Patch(facecolor=grey, **look, label=words[text]) for grey, text in zip(GREYS, TEXTS, strict=False)]


def _draw_limits(ax, top: float, rows: pd.DataFrame, prob: float, words: dict[str, str]) -> list:
    """Limits around zero of what sampling error leaves, and of that with the differences between trials (root mean square of rows)."""
    from scipy.stats import norm

    z, spread, se = norm.isf((1 - prob) / 2), np.sqrt((rows["spread"] ** 2).mean()), np.linspace(0, top, 101)
    for sign in (-1, 1):
        ax.plot(sign * z * se, se, **SAMPLING, zorder=2, label="_sampling")
        ax.plot(sign * z * np.hypot(se, spread), se, **SPREAD, zorder=2, label="_spread")
    return [Line2D([], [], **SAMPLING, label=words[TEXTS[5]]), Line2D([], [], **SPREAD, label=words[TEXTS[6]])]


def _draw_trials(ax, x: np.ndarray, se: np.ndarray) -> None:
    left, right = ax.get_xlim()
    seen = (x >= left) & (x <= right)
    ax.plot(x[seen], se[seen], "o", **TRIALS, zorder=4, label="_trials")
    style.arrowheads(ax, "<", left, se[x < left], "black")
    style.arrowheads(ax, ">", right, se[x > right], "black")
