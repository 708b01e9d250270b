"""The best dose under several sets of priors, each with its verdict."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ..columns import axis_label
from ..doses import short
from . import panels, style

if TYPE_CHECKING:
    from ..model_comparison import ModelComparison
    from ..prior_comparison import PriorComparison


ROW = 0.24
"""Height of a set in a figure of its own, inches."""
TEXTS = (
    "Posterior: {prob} interval",
    "Median, of an identified dose",
    "Prior: {prob} interval",
    "Best dose [{prob}]",
    "Verdict",
)


def prior_optima(
    found: "PriorComparison | ModelComparison",
    column: str | None = None,
    *,
    ax: Axes | None = None,
    prob: float = 0.95,
    labels: Mapping[str, str] | None = None,
) -> Axes:
    """Draw the dose of the largest effect under every set of priors: intervals of its posterior and prior, and the verdict beside them.

    Median and interval are printed, and the median marked, where the verdict is "identified", and nowhere else.

    Parameters
    ----------
    found : PriorComparison, or ModelComparison
        Or any object with optima ({set: {dose: Optimum}}) and fit_warning; of an Optimum: dose, prior_dose, curves and verdicts.
    column : str, optional
        The dose, by default the first.
    ax : Axes, optional
        Drawn on instead of a new figure; the texts stand right of them.
    prob : float, probability of the central intervals
    labels : dict, optional
        Other words for "dose", any set or group, or any other text of the figure, by that text.

    Returns
    -------
    Axes; its vertical unit is a line, counted downwards from 0: the sets of the first group, then those of the next.

    Raises
    ------
    ValueError for a dose that nothing has.
    """
    own, level, tails = ax is None, style.percent(prob), [(1 - prob) / 2, 0.5, (1 + prob) / 2]
    column = column or next((name for optima in found.optima.values() for name in optima), None)
    optima = {name: own_optima[column] for name, own_optima in found.optima.items() if column in own_optima}
    if not optima:
        raise ValueError(f"there is no best dose of {column!r}")
    curve = next(iter(optima.values())).curves
    groups = list(dict.fromkeys(group for best in optima.values() for group in best.verdicts))
    words = {name: name for name in [*optima, *filter(None, groups)]}
    words |= {"dose": f"{axis_label(column)} with the largest effect"}
    verdicts = [verdict for best in optima.values() for verdict in best.verdicts.values()]
    words = style.relabelled(words, labels, (*TEXTS, *verdicts, *panels.said_of(curve), found.fit_warning), level)
    lines = [(group, name, best) for group in groups for name, best in optima.items() if group in best.verdicts]
    y = np.array([k + groups.index(group) * bool(group) + bool(group) for k, (group, _, _) in enumerate(lines)], float)
    with style.house(own):
        if ax is None:
            ax = plt.subplots(figsize=(style.DOUBLE, 1.1 + ROW * (y[-1] + 1)), layout="constrained")[1]
        ends = np.concatenate([best.curves[column].values[[0, -1]] for best in optima.values()])
        ax.set_ylim(y[-1] + 0.7, -0.7)
        style.dose_axis(ax, *style.padded(ends, panels.is_log(curve)), panels.is_log(curve))
        ax.set_xlabel(words["dose"])
        texts = []
        for at, (group, _, best) in zip(y, lines, strict=True):
            low, middle, high = np.quantile(_draws(best.dose, group), tails)
            before = np.quantile(_draws(best.prior_dose, group), tails)
            ax.hlines(at + 0.22, before[0], before[2], color=style.GREY, linewidth=0.7, alpha=0.6, label="_prior")
            ax.hlines(at, low, high, color=style.BLUE, linewidth=1.4, zorder=3, label="_interval")
            style.draw_caps(ax, at, low, high, style.BLUE)
            numbers = "–"
            if panels.is_named(best, group):
                ax.plot(middle, at, "o", color=style.BLUE, markersize=4, zorder=4, clip_on=False, label="_median")
                numbers = f"{short(middle)} [{short(low)}, {short(high)}]"
            texts.append((numbers, best.verdicts[group]))
        _write(ax, y, texts, words)
        ax.set_yticks(y, [words[name] for _, name, _ in lines], fontsize=style.SMALL, parse_math=False)
        for group in filter(None, groups):
            first = next(at for at, line in zip(y, lines, strict=True) if line[0] == group)
            look: style.Look = {
                "textcoords": "offset points",
                "fontsize": style.SMALL,
                "fontweight": "bold",
                "ha": "right",
                "va": "center",
            }
            ax.annotate(words[group], (0, first - 1), (-3, 0), ("axes fraction", "data"), annotation_clip=False, **look)
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
        style.legend(
            [ax],
            own,
            _handles(words, any(panels.is_named(best, group) for group, _, best in lines)),
            words.get(curve.attrs.get("held"), ""),
            2,
        )
        if found.fit_warning:
            style.warn_above(ax, words[found.fit_warning], own)
    return ax


def _draws(dose, group: str) -> np.ndarray:
    by = next((dim for dim in dose.dims if dim not in ("chain", "draw")), None)
    return (dose.sel({by: group}) if by else dose).values.ravel()


def _write(ax, y: np.ndarray, texts: list[tuple[str, str]], words: dict[str, str]) -> None:
    """Numbers and verdict right of the Axes, in columns under their headings."""
    first = words["Best dose [{prob}]"]
    wide = max(style.text_width(first, weight="bold"), *(style.text_width(text) for text, _ in texts)) + 10
    look: style.Look = {
        "xycoords": ("axes fraction", "data"),
        "textcoords": "offset points",
        "annotation_clip": False,
        "fontsize": style.SMALL,
    }
    for at, (numbers, verdict) in zip(y, texts, strict=True):
        color = style.RED if verdict == "did not converge" else "black"
        ax.annotate(numbers, (1, at), (8, 0), va="center", **look)
        ax.annotate(words[verdict], (1, at), (8 + wide, 0), va="center", color=color, **look)
    for heading, left in ((first, 8), (words["Verdict"], 8 + wide)):
        ax.annotate(heading, (1, -0.7), (left, 2), va="bottom", fontweight="bold", **look)


def _handles(words: dict[str, str], is_named: bool) -> list:
    interval, median, prior = (words[text] for text in TEXTS[:3])
    return [
        Line2D([], [], color=style.BLUE, linewidth=1.4, label=interval),
        *[Line2D([], [], color=style.BLUE, linestyle="none", marker="o", markersize=4, label=median)] * is_named,
        Line2D([], [], color=style.GREY, linewidth=0.7, alpha=0.6, label=prior),
    ]
