"""How models predict studies left out: by study, and in pairs."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.artist import Artist
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from . import style

if TYPE_CHECKING:
    from ..model_comparison import ModelComparison


CLEAR = 4.0
"""A difference in elpd that is smaller says nothing."""
MOST_NAMES = 45
"""More studies than this are not named."""
TEXTS = (
    "Difference in elpd to {model}",
    "Difference in elpd, first less second",
    "Sum, with 2 standard errors",
    "Below 4: says nothing",
    "{first} less {second}",
    "{count} studies",
)


def comparison(found: "ModelComparison", *, ax: np.ndarray | None = None, labels: Mapping[str, str] | None = None) -> np.ndarray:
    """Draw differences in elpd: of every study against the model with the highest sum, and of every two models with standard errors.

    Parameters
    ----------
    found : ModelComparison
        Or any object with by_study (DataFrame: studies x models), pairs (DataFrame by first and second model: difference, se, verdict)
        and fit_warning.
    ax : two Axes, optional
        Drawn on instead of a new figure; the texts stand right of the second.
    labels : dict, optional
        Other words for any model, or any other text of the figure, by that text.

    Returns
    -------
    Two Axes: by study, in the order of the differences; in pairs, in the order given.

    Raises
    ------
    ValueError for more models than can be told apart, or fewer than two.
    """
    by_study, pairs, own = found.by_study, found.pairs, ax is None
    if not 2 <= by_study.shape[1] <= len(style.PALETTE):
        raise ValueError(f"a comparison shows 2 to {len(style.PALETTE)} models, got {by_study.shape[1]}")
    texts = (*TEXTS, *pairs["verdict"], found.fit_warning)
    words = style.relabelled({str(name): str(name) for name in by_study}, labels, texts)
    reference = by_study.sum().idxmax()
    others = [name for name in by_study if name != reference]
    differences = by_study[others].sub(by_study[reference], axis=0)
    differences = differences.iloc[np.argsort(differences.mean(axis=1).to_numpy(), kind="stable")]
    with style.house(own):
        axes = _new_axes(len(differences), len(pairs)) if own else style.given_axes(ax, 2)
        _draw_studies(axes[0], differences, words)
        axes[0].set_xlabel(style.filled(words[TEXTS[0]], model=words[str(reference)]))
        _draw_pairs(axes[1], pairs, words)
        handles: list[Artist] = [
            Line2D([], [], linestyle="none", marker=marker, markersize=4, color=color, label=words[str(name)])
            for name, color, marker in zip(others, style.PALETTE, style.MARKERS, strict=False)
        ]
        handles.append(
            Line2D([], [], color=style.BLUE, linewidth=1.4, marker="s", markersize=4, label=words["Sum, with 2 standard errors"])
        )
        handles.append(Patch(facecolor=style.BAND, label=words["Below 4: says nothing"]))
        style.legend([axes[1]] if not own else axes, own, handles, "", 4)
        if found.fit_warning:
            style.warn_above(axes[0], words[found.fit_warning], own)
    return axes


def _new_axes(studies: int, pairs: int) -> np.ndarray:
    height = 1.2 + max(0.13 * min(studies, MOST_NAMES), 0.3 * pairs, 1.2)
    return plt.subplots(1, 2, figsize=(style.DOUBLE, height), width_ratios=[1.1, 1], layout="constrained")[1]


def _draw_studies(ax, differences, words: dict[str, str]) -> None:
    y = np.arange(len(differences))
    ax.axvline(0, color=style.GREY, linewidth=0.6, zorder=1, label="_zero")
    for (name, values), color, marker in zip(differences.items(), style.PALETTE, style.MARKERS, strict=False):
        ax.plot(values, y, marker, color=color, markersize=3.5, alpha=0.85, zorder=3, label=f"_{words[str(name)]}")
    ax.set_ylim(-1, len(y))
    if len(y) <= MOST_NAMES:
        ax.set_yticks(y, differences.index, fontsize=style.SMALL - 0.5, parse_math=False)
        ax.grid(axis="y", color=style.BAND, linewidth=0.5, zorder=0)
    else:
        ax.set_yticks([])
        ax.set_ylabel(style.filled(words["{count} studies"], count=len(y)))
    ax.tick_params(axis="y", length=0)


def _draw_pairs(ax, pairs, words: dict[str, str]) -> None:
    y, ends = np.arange(len(pairs)), 2 * pairs["se"].to_numpy()
    middle = pairs["difference"].to_numpy()
    ax.axvspan(-CLEAR, CLEAR, color=style.BAND, linewidth=0, zorder=0, label="_clear")
    ax.axvline(0, color=style.GREY, linewidth=0.6, zorder=1, label="_zero")
    ax.hlines(y, middle - ends, middle + ends, color=style.BLUE, linewidth=1.4, zorder=3, label="_interval")
    ax.plot(middle, y, "s", color=style.BLUE, markersize=4, zorder=4, label="_difference")
    ax.set_xlim(*style.limits([middle - ends, middle + ends], [-1.1 * CLEAR, 1.1 * CLEAR], reach=10))
    ax.set(ylim=(len(y) - 0.4, -0.6), yticks=[], xlabel=words["Difference in elpd, first less second"])
    look: style.Look = {
        "textcoords": "offset points",
        "va": "bottom",
        "fontsize": style.SMALL,
        "zorder": 5,
        "annotation_clip": False,
    }
    for at, ((first, second), line) in zip(y, pairs.iterrows(), strict=True):
        numbers = f"{style.number(line['difference'], 1)} ({style.number(line['se'], 1)})"
        pair = style.filled(words["{first} less {second}"], first=words[str(first)], second=words[str(second)])
        text = style.wrap(f"{pair}: {numbers}, {words[line['verdict']]}", 210)
        ax.annotate(text, (0.02, at), (0, 4), xycoords=("axes fraction", "data"), **look)
    ax.spines["left"].set_visible(False)
