"""Simulation-based calibration: how far the ECDF of ranks is from that of uniform ones."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from . import panels, style

if TYPE_CHECKING:
    from ..calibration import Calibration


COLUMNS, HEIGHT, REST = 3, 1.05, 0.9
"""Panels in a row of a figure of its own, the height of each, and that of verdict and legend, inches."""
TEXTS = ("Ranks", "{prob} of uniform ranks stay inside, each quantity by itself")


def calibration(
    found: "Calibration", *, prob: float = 0.95, ax: np.ndarray | None = None, labels: Mapping[str, str] | None = None
) -> np.ndarray:
    """Draw, for every quantity, the ECDF of its ranks less that of uniform ranks, with the simultaneous band of uniform ones.

    A line that is above zero on the left has too many small ranks: the posterior lies too high. A line that starts above and ends below
    zero has too many at both ends: the posterior is too narrow; the other way round it is too wide. Titles of quantities that are not
    uniform, all quantities together, are red and bold.

    Parameters
    ----------
    found : Calibration
        Or any object with ecdf(prob) (Dataset: difference (position, quantity), low and high (position,)), table (DataFrame by
        quantity with p_adjusted), verdict (words) and fit_warning.
    prob : float, probability of the band, of each quantity by itself
    ax : array of Axes, one per quantity, optional
        Drawn on instead of a new figure.
    labels : dict, optional
        Other words for "rank", "difference", any quantity, or any other text of the figure, by that text.

    Returns
    -------
    A flat array of Axes, one per quantity.

    Raises
    ------
    ValueError where table and ecdf are of different quantities.
    """
    level, own, curves = style.percent(prob), ax is None, found.ecdf(prob)
    names = [str(name) for name in curves["quantity"].values]
    if list(found.table.index) != names:
        raise ValueError("the table and the ECDFs are of different quantities")
    words = {name: name for name in names} | {"rank": "Rank of the truth (0 to 1)", "difference": "ECDF less uniform"}
    words = style.relabelled(words, labels, (*TEXTS, *panels.VERDICT[:1], found.verdict, found.fit_warning), level)
    at = np.concatenate([[0.0], curves["position"].values, [1.0]])
    low, high = (np.pad(curves[name].values, 1) for name in ("low", "high"))
    difference = np.pad(curves["difference"].transpose("quantity", "position").values, ((0, 0), (1, 1)))
    reach = 1.08 * max(np.abs(difference).max(), high.max(), -low.min())
    with style.house(own):
        height = HEIGHT + REST / -(-len(names) // COLUMNS)
        axes = style.panel_axes(len(names), height, min(COLUMNS, len(names))) if own else style.given_axes(ax, len(names))
        for each, name, line in zip(axes, names, difference, strict=True):
            is_wrong = found.table.loc[name, "p_adjusted"] < 1 - prob
            each.fill_between(at, low, high, color=style.BAND, linewidth=0, zorder=0, label="_band")
            each.axhline(0, color=style.GREY, linewidth=0.6, zorder=1, label="_zero")
            each.plot(at, line, color=style.RED if is_wrong else style.BLUE, linewidth=1.0, zorder=3, label="_difference")
            each.set(xlim=(0, 1), ylim=(-reach, reach), xlabel=words["rank"], ylabel="" if own else words["difference"])
            each.xaxis.set_major_locator(MaxNLocator(2))
            each.yaxis.set_major_locator(MaxNLocator(3))
            look: style.Look = {"color": style.RED, "fontweight": "bold"} if is_wrong else {}
            each.set_title(_in_lines(each, words[name]), fontsize=style.SMALL, parse_math=False, **look)
        handles = [
            Line2D([], [], color=style.BLUE, linewidth=1.0, label=words["Ranks"]),
            Patch(facecolor=style.BAND, label=words[TEXTS[1]]),
        ]
        style.legend([axes[-1]], own, handles, "", 2)
        if own:
            figure = axes[0].figure
            figure.supylabel(words["difference"], fontsize=style.HOUSE["axes.labelsize"])
            verdict = style.filled(words[panels.VERDICT[0]], verdict=words[found.verdict])
            said = [words[text] for text in [found.fit_warning] if text] + [verdict]
            lines = [style.wrap(text, 72 * figure.get_figwidth() - 20) for text in said]
            color = "black" if found.verdict == "calibrated" and not found.fit_warning else style.RED
            figure.suptitle("\n".join(lines), x=0.01, ha="left", fontsize=style.SMALL, fontweight="bold", color=color)
        elif found.fit_warning:
            style.warn_above(axes[0], words[found.fit_warning], own)
    return axes


def _in_lines(ax, name: str) -> str:
    """A name that is wider than its panel in two lines, broken after the sign nearest the middle."""
    if style.text_width(name) < ax.get_window_extent().width * 72 / ax.figure.dpi:
        return name
    breaks = [place.end() for place in re.finditer(r"[ _]|(?=\[)", name)] or [len(name) // 2]
    middle = min(breaks, key=lambda place: abs(place - len(name) / 2))
    return f"{name[:middle]}\n{name[middle:]}"
