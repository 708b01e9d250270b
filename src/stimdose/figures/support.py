"""Which combinations of doses trials tried."""

from collections.abc import Mapping
from itertools import combinations
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from ..columns import axis_label
from ..errors import FigureError
from . import style

if TYPE_CHECKING:
    from ..dose_space import Support


SIDE = 1.6
"""Of a panel in a figure of its own, inches."""
BUBBLE: style.Look = {"markerfacecolor": style.tint(0.45), "markeredgecolor": style.BLUE, "markeredgewidth": 0.5}
TEXTS = ("Trials (area: rows)", "Most pulses possible, at the highest of the third dose", "{rows} row", "{rows} rows")
LIMIT: style.Look = {"color": style.RED, "linewidth": 0.8, "linestyle": ":"}


def support(
    found: "Support",
    doses: pd.DataFrame,
    *,
    duty_limit: bool = False,
    ax: np.ndarray | None = None,
    labels: Mapping[str, str] | None = None,
) -> np.ndarray:
    """Draw, for every two doses, where the trials are (log axes), with r of the log doses and the number of rows.

    Parameters
    ----------
    found : Support
        Or any object with correlation and rows (DataFrames dose x dose: r of the log doses, rows that print both) and
        fit_warning.
    doses : DataFrame
        One row per trial, one column for each dose in found (others are ignored); NaN where no number is printed. Zeros have no
        place on a log axis and are left out, as they are of r.
    duty_limit : bool
        Mark, where pulses_per_session stands against frequency_hz or session_min, the most pulses possible: without a pause (pulses
        = Hz x 60 x minutes), at the highest of the third dose.
    ax : array of Axes (doses - 1, doses - 1), optional
        Drawn on instead of a new figure; those above the diagonal stay as they are.
    labels : dict, optional
        Other words for any dose, or any other text of the figure, by that text.

    Returns
    -------
    Array of Axes (doses - 1, doses - 1): the first dose but the last across, the second dose on downwards. Those above the diagonal
    are no part of a new figure.

    Raises
    ------
    FigureError for fewer than two doses, and for doses that the DataFrame lacks or never has.
    """
    names, own = list(found.correlation.columns), ax is None
    words = style.relabelled({name: axis_label(name) for name in names}, labels, (*TEXTS, found.fit_warning))
    if len(names) < 2:
        raise FigureError("which combinations trials tried is a question about two doses or more")
    if missing := [name for name in names if name not in doses]:
        raise FigureError(f"doses lack the columns {missing}")
    values = doses[names].astype(float)
    values = values.where((values > 0) & np.isfinite(values))
    if empty := [name for name in names if values[name].isna().all()]:
        raise FigureError(f"no row has a number above 0 of {empty}")
    size = len(names) - 1
    with style.house(own):
        axes = _new_axes(size) if own else style.given_axes(ax, size**2).reshape(size, size)
        for column, row in combinations(range(len(names)), 2):
            first, second, each = names[column], names[row], axes[row - 1, column]
            for which, name in (("x", first), ("y", second)):
                style.dose_axis(each, *style.padded(values[name].to_numpy(), True), True, which)
            _draw(each, values[[first, second]].dropna())
            r = found.correlation.loc[first, second]
            text = f"r = {style.number(r, 2) if np.isfinite(r) else '?'} ({style.rows_of(found.rows.loc[first, second], words)})"
            each.set_title(text, fontsize=style.SMALL, parse_math=False)
            width = min(100.0, 0.9 * each.get_window_extent().width * 72 / each.figure.dpi)
            each.set(xlabel=style.wrap(words[first], width), ylabel=style.wrap(words[second], 100))
            if duty_limit:
                _limit(each, first, second, values)
            if own and row < size:
                each.set_xlabel("")
                each.tick_params(labelbottom=False)
            if own and column > 0:
                each.set_ylabel("")
                each.tick_params(labelleft=False)
        handles = [Line2D([], [], linestyle="none", marker="o", markersize=5, label=words[TEXTS[0]], **BUBBLE)]
        if duty_limit:
            handles.append(Line2D([], [], **LIMIT, label=words[TEXTS[1]]))
        style.legend([axes[-1, -1]], own, handles, "", 2 if size > 1 else 1)
        if found.fit_warning:
            style.warn_above(axes[0, 0], words[found.fit_warning], own)
    return axes


def _draw(ax, pairs: pd.DataFrame) -> None:
    """One bubble for each place, its area proportional to the rows there."""
    places = pairs.value_counts()
    x, y = (places.index.get_level_values(level) for level in (0, 1))
    look: style.Look = {
        "facecolor": BUBBLE["markerfacecolor"],
        "edgecolor": BUBBLE["markeredgecolor"],
        "linewidth": 0.5,
        "alpha": 0.8,
    }
    ax.scatter(x, y, 10 * places.to_numpy(), clip_on=False, zorder=3, label="_trials", **look)


def _limit(ax, first: str, second: str, values: pd.DataFrame) -> None:
    """The line of uninterrupted stimulation in a panel of pulses against frequency or minutes."""
    rate = {"frequency_hz": "session_min", "session_min": "frequency_hz"}
    other = next((name for name in (first, second) if name in rate), None)
    if other is None or "pulses_per_session" not in (first, second):
        return
    if rate[other] not in values:
        raise FigureError(f"the duty-cycle limit needs {rate[other]!r} among the doses")
    ends = np.array(ax.get_xlim() if other == first else ax.get_ylim())
    pulses = 60 * values[rate[other]].max() * ends
    ax.plot(
        *((ends, pulses) if other == first else (pulses, ends)), **LIMIT, scalex=False, scaley=False, zorder=2, label="_limit"
    )


def _new_axes(size: int) -> np.ndarray:
    width = min(style.DOUBLE, max(style.SINGLE, SIDE * size + 0.8))
    height = width * (0.85 if size > 1 else 0.95) + 0.3
    axes = plt.subplots(size, size, figsize=(width, height), squeeze=False, layout="constrained")[1]
    for row in range(size):
        for column in range(row + 1, size):
            axes[row, column].remove()
    return axes
