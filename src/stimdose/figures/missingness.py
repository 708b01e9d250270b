"""Which fields each study reports: the gaps of a table at a glance."""

import re
from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch

from ..columns import axis_label
from ..errors import FigureError
from . import style
from .study_rows import height_of, name_rows

YES, NO = style.tint(0.75), (0.93, 0.93, 0.93)
"""Dark and light in grey too."""
COLUMN, MOST = 0.13, 50
"""Width of a field (inches), and how many fit on a page."""
RULED = 60
"""More studies have no lines between them."""
TEXTS = (
    "Reported",
    "Not reported",
    "{count} studies",
    "{count} field that no study reports is left out",
    "{count} fields that no study reports are left out",
)


def missingness(reported: pd.DataFrame, *, ax: Axes | None = None, labels: Mapping[str, str] | None = None) -> Axes:
    """Draw which fields each study reports, with the number of studies that report it above each field.

    Parameters
    ----------
    reported : DataFrame of bool, studies x fields
        As `completeness.reported` returns it. Fields that no study reports are left out, and the legend counts them.
    ax : Axes, optional
        Drawn on instead of a new figure.
    labels : dict, optional
        Other words for any field, or any other text of the figure, by that text.

    Returns
    -------
    Axes; its horizontal unit is a field, its vertical unit a study, counted downwards from 0. With more studies than fit on a page none is
    named, and the label counts them.

    Raises
    ------
    FigureError for a table without studies, with cells that are not True or False, where no study reports anything, and for more fields
    than fit on a page.
    """
    own, names = ax is None, [str(name) for name in reported]
    words = style.relabelled({name: _label(name) for name in names}, labels, TEXTS)
    cells = _checked(reported)
    shown = cells.any(axis=0)
    cells, fields, silent = cells[:, shown], [name for name, some in zip(names, shown, strict=True) if some], int((~shown).sum())
    if not 0 < len(fields) <= MOST:
        raise FigureError(f"{len(fields)} fields that studies report are drawn of 1 to {MOST}: choose columns of the table")
    with style.house(own):
        if ax is None:
            ax = _new_axes(len(cells), len(fields), reported.index)
        look: style.Look = {"cmap": ListedColormap([NO, YES]), "vmin": 0, "vmax": 1, "zorder": 1, "label": "_cells"}
        ax.pcolormesh(np.arange(-0.5, len(fields)), np.arange(-0.5, len(cells)), cells.astype(float), **look)
        ax.vlines(np.arange(len(fields) - 1) + 0.5, -0.5, len(cells) - 0.5, color="white", linewidth=0.8, zorder=2)
        if len(cells) <= RULED:
            ax.hlines(np.arange(len(cells) - 1) + 0.5, -0.5, len(fields) - 0.5, color="white", linewidth=0.8, zorder=2)
        name_rows(ax, reported.index, np.zeros(len(cells), bool), words["{count} studies"])
        ax.set_xlim(-0.6, len(fields) - 0.4)
        ax.set_xticks(range(len(fields)), [words[name] for name in fields], rotation=90, fontsize=style.SMALL, parse_math=False)
        ax.tick_params(axis="x", length=0, pad=2)
        ax.spines["bottom"].set_visible(False)
        for place, count in enumerate(cells.sum(axis=0)):
            where: style.Look = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "annotation_clip": False}
            ax.annotate(f"{count}", (place, 1), (0, 2), **where, ha="center", va="bottom", rotation=90, fontsize=style.SMALL - 1)
        handles = [Patch(facecolor=color, label=words[text]) for color, text in zip((YES, NO), TEXTS, strict=False)]
        left_out = style.filled(words[TEXTS[3] if silent == 1 else TEXTS[4]], count=silent) if silent else ""
        style.legend([ax], own, handles, left_out, 2)
    return ax


def _label(field: str) -> str:
    """The words of a field, short ones that are abbreviations as they are written."""
    return re.sub(
        r"\b(Ci|Sd|Se|Icc|P|N)\b", lambda word: word[0].lower() if len(word[0]) == 1 else word[0].upper(), axis_label(field)
    )


def _checked(reported) -> np.ndarray:
    """The cells (studies, fields)."""
    cells = reported.to_numpy()
    if not cells.size:
        raise FigureError("the table of what studies report has no cells")
    if not np.isin(cells, [True, False]).all():
        raise FigureError("whether a field is reported is True or False in every cell")
    return cells.astype(bool)


def _new_axes(studies: int, fields: int, names):
    """Wide enough for the fields beside the names of the studies, which are left out where there are many."""
    width = min(style.DOUBLE, max(style.SINGLE, 2.0 + COLUMN * fields))
    return plt.subplots(figsize=(width, height_of(studies) + 2.1), layout="constrained")[1]
