"""Axes with one line per study or row: as high as they need, named as far as names fit."""

import matplotlib.pyplot as plt
import numpy as np

from . import style

ROW, LEAST, MOST = 0.15, 1.0, 6.5
"""Height of a line, and of the Axes at least and at most, inches."""
NAMED = 42
"""With more lines, only remarkable ones are named."""
LONGEST = 34
"""Longer names are cut, characters."""


def height_of(count: int) -> float:
    """Height of Axes with so many lines, inches."""
    return min(MOST, max(LEAST, ROW * (count + 1)))


def row_axes(count: int):
    """Axes of a new figure with so many lines."""
    size = (0.7 * style.DOUBLE, height_of(count) + 1.0)
    return plt.subplots(figsize=size, layout="constrained")[1]


def name_rows(ax, names, odd, counted: str) -> None:
    """Limits and names of lines from 0 downwards: of all, or of the odd ones if these are many, and then how many there are, in the
    words `counted`."""
    count = len(names)
    ax.set_ylim(count - 0.4, -0.6)
    shown = [k for k, is_odd in enumerate(odd) if is_odd or count <= NAMED]
    texts = [_cut(str(name)) for k, name in enumerate(names) if k in set(shown)]
    points = ax.get_window_extent().height * 72 / ax.figure.dpi / max(1, count)
    size = min(style.SMALL, max(4.5, points)) if len(shown) == count else style.SMALL
    places = shown
    if len(shown) < count:
        ax.set_ylabel(style.filled(counted, count=count))
    if len(shown) < count and len(shown) > 1:  # so that names of neighbours do not overlap
        places = style.apart(np.array(shown, float), [1.2 * style.SMALL / points] * len(shown))
    ax.set_yticks(places, texts, fontsize=size, parse_math=False)
    ax.tick_params(axis="y", length=0)
    for label, k in zip(ax.get_yticklabels(), shown, strict=True):
        label.set_color(style.RED if list(odd)[k] else "black")
    ax.spines["left"].set_visible(False)


def _cut(text: str) -> str:
    """The beginning and the end of a name: what tells studies apart may stand in either."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 14].rstrip()}…{text[-12:].lstrip()}"
