"""What all figures share: house style, colours, limits, dose axes, warnings, saving."""

import os
import textwrap
import warnings
from collections.abc import Iterable, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure, FigureBase
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.text import Text
from matplotlib.textpath import TextToPath
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from ..errors import FigureError, StimdoseWarning

type Look = dict[str, Any]
"""How something is drawn: keywords of matplotlib."""
PAPER = Path(__file__).with_name("paper.mplstyle")
"""The house style as a file of matplotlib."""
HOUSE = mpl.rc_params_from_file(PAPER, use_default_template=False)
SAVED = {name: value for name, value in HOUSE.items() if name.startswith(("savefig.", "pdf.", "ps.", "svg."))}
"""What counts when a figure is saved, whatever the style it was drawn in."""

SINGLE, DOUBLE = 3.5, 7.2
"""Widths of one and of two journal columns, inches."""

BAND = (0.92, 0.92, 0.92)
"""Of differences that do not matter."""
PALETTE = tuple(HOUSE["axes.prop_cycle"].by_key()["color"])
"""Of curves in one Axes."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""Of the same curves, so that they can be told apart in grey."""
BLUE, ORANGE, GREY, RED = PALETTE[0], PALETTE[1], "#4D4D4D", "#B2182B"
ODD = "D"
"""Marker of what is red: red is not seen by all, nor in grey."""
SMALL = HOUSE["legend.fontsize"]
"""Font size of legends, table columns and notes, points."""

FALLBACKS = (
    *(
        "Noto Sans CJK SC",
        "Noto Sans CJK JP",
        "Source Han Sans SC",
        "PingFang SC",
        "Hiragino Sans GB",
        "Microsoft YaHei",
        "SimHei",
    ),
    *("WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Arial Unicode MS", "Droid Sans Fallback"),
)
"""Fonts that names of studies in Chinese, Japanese or Korean are written in, where they are installed."""


@contextmanager
def house(new_figure: bool):
    """Context in which a figure is drawn: the house style for a new one, the caller's own for given Axes."""
    with mpl.rc_context(HOUSE) if new_figure else nullcontext(), _no_word_on_glyphs():
        yield
        if new_figure:
            _fall_back(plt.gcf())


def _families() -> list[str]:
    """Families of fonts in which a figure can be written: the first that has a character draws it."""
    installed = {font.name for font in fontManager.ttflist}
    return ["sans-serif", *(name for name in FALLBACKS if name in installed)]


def _lacking(text: str, families: list[str]) -> set[str]:
    """Characters of a text that none of the families has."""
    fonts = [get_font(findfont(FontProperties(family=[name]))) for name in families]
    return {char for char in text if ord(char) > 127 and not any(font.get_char_index(ord(char)) for font in fonts)}


def _fall_back(figure) -> None:
    """Write texts that the usual font lacks in others that are installed; one warning names the characters that none has."""
    families, boxes = _families(), set()
    for text in figure.findobj(Text):
        if not text.get_text().isascii() and _lacking(text.get_text(), families[:1]):
            text.set_fontfamily(families)
            boxes |= _lacking(text.get_text(), families)
    if boxes:
        warnings.warn(
            f"no font that matplotlib knows has {''.join(sorted(boxes))}, drawn as boxes: install one, such as Noto Sans CJK, "
            f"and delete the list of fonts in {mpl.get_cachedir()}",
            StimdoseWarning,
            stacklevel=5,
        )


@contextmanager
def _no_word_on_glyphs():
    """Context without matplotlib's warnings of single glyphs."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)  # `_fall_back` names what no font has
        yield


def number(value: float, digits: int | None = None) -> str:
    """A plain number with a true minus sign: fixed decimals, or as short as it goes (20,000 and 0.5, never 2e4)."""
    text = f"{value:,.10g}" if digits is None else f"{value:.{digits}f}"
    if digits is not None and float(text) == 0:
        text = text.lstrip("-")
    return text.replace("-", "\N{MINUS SIGN}")


def estimate(low: float, high: float, mean: float | None = None) -> str:
    """An interval, after its mean if there is one: 0.32 [0.10, 0.55]."""
    limits = f"[{number(low, 2)}, {number(high, 2)}]"
    return limits if mean is None else f"{number(mean, 2)} {limits}"


def percent(prob: float) -> str:
    """0.95 as "95 %"; FigureError unless 0 < prob < 1."""
    if not 0 < prob < 1:
        raise FigureError(f"prob = {prob}: the probability of an interval lies between 0 and 1, such as 0.95")
    return f"{100 * prob:.10g} %"


def limits(core, extra, reach: float = 0.5, pad: float = 0.05) -> tuple[float, float]:
    """Axis limits around all of `core` and zero, and around the values of `extra` that lie no further out than `reach` spans.

    So that no outlier squashes what the figure is about. Both are arrays of any shape, in axis units.
    """
    core = np.append(np.ravel(core), 0.0)
    low, high = core.min(), core.max()
    span = (high - low) or 1.0
    extra = np.ravel(extra)
    near = extra[(extra >= low - reach * span) & (extra <= high + reach * span)]
    low, high = min([low, *near]), max([high, *near])
    margin = pad * ((high - low) or 1.0)
    return float(low - margin), float(high + margin)


def text_width(text: str, size: float = SMALL, weight: str = "normal") -> float:
    """Width of one line of text in points."""
    families = ["sans-serif"] if text.isascii() or not _lacking(text, ["sans-serif"]) else _families()
    look = FontProperties(family=families, size=size, weight=weight)
    width, _, _ = TextToPath().get_text_width_height_descent(text, look, ismath=False)
    return width


def log_ticks(low: float, high: float, points: float, which: str = "x") -> np.ndarray:
    """Doses to mark on a log axis of so many points: 1, 2, 5, 10, 20, ...; fewer where labels would touch, others on a short axis."""

    def fit(ticks: np.ndarray) -> bool:
        at = points * np.log(ticks / low) / np.log(high / low)
        sizes = np.array([text_width(number(tick)) if which == "x" else SMALL for tick in ticks])
        return bool(np.all(np.diff(at) > (sizes[1:] + sizes[:-1]) / 2 + 4))

    decades = 10.0 ** np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    steps = ((1, 2, 5), (1, 3), (1,), (1, 2, 3, 5), (1, 1.5, 2, 3, 4, 5, 6, 8))
    inside = decades[(decades >= low) & (decades <= high)]
    fewer = [decades, decades[::2], inside[:: max(len(inside) - 1, 1)]]
    tried = [(np.outer(decades, each).ravel(), 3) for each in steps] + [(each, 2) for each in fewer]
    for ticks, least in tried:
        ticks = ticks[(ticks >= low) & (ticks <= high)]
        if len(ticks) >= least and fit(ticks):
            return ticks
    for count in (4, 3, 2, 1):
        ticks = np.asarray(MaxNLocator(count, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high))
        ticks = ticks[(ticks >= low) & (ticks <= high)]
        if fit(ticks):
            return ticks
    return ticks[:1]


def padded(doses: np.ndarray, log: bool) -> tuple[float, float]:
    """Limits of an axis a little beyond all doses that it can show."""
    doses = doses[np.isfinite(doses) & ((doses > 0) | (not log))]
    low, high = (np.log(doses.min()), np.log(doses.max())) if log else (doses.min(), doses.max())
    pad = 0.03 * ((high - low) or 1.0)
    return (np.exp(low - pad), np.exp(high + pad)) if log else (low - pad, high + pad)


def dose_axis(ax, low: float, high: float, log: bool, which: str = "x") -> None:
    """Limits and plainly numbered ticks of a dose axis ("x" or "y"), in dose units."""
    axis, box = getattr(ax, f"{which}axis"), ax.get_window_extent()
    if log:
        getattr(ax, f"set_{which}scale")("log")
        points = (box.width if which == "x" else box.height) * 72 / ax.figure.dpi
        axis.set_major_locator(FixedLocator(list(log_ticks(low, high, points, which))))
    else:
        axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10], min_n_ticks=4))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(lambda value, _: number(value))
    getattr(ax, f"set_{which}lim")(low, high)


def in_a_row(count: int) -> int:
    """How many panels stand in a row: up to four, or else three."""
    return count if count <= 4 else 3


def panel_axes(count: int, height: float, columns: int) -> np.ndarray:
    """Axes (count,) of a new figure, so many columns in a row of `height` inches.

    They share their axes; numbers and labels stand only at the left and at the bottom.
    """
    rows = -(-count // columns)
    size = (SINGLE if count == 1 else DOUBLE, height * rows)
    axes = plt.subplots(rows, columns, figsize=size, sharex=True, sharey=True, squeeze=False, layout="constrained")[1]
    for index, ax in enumerate(axes.flat):
        ax.yaxis.label.set_visible(index % columns == 0)
        ax.xaxis.label.set_visible(index + columns >= count)
        ax.tick_params(labelbottom=index + columns >= count)
        if index >= count:
            ax.remove()
    return axes.ravel()[:count]


def given_axes(ax, count: int) -> np.ndarray:
    """The caller's Axes, shape (count,); FigureError if they are more or fewer."""
    if np.size(ax) != count:
        raise FigureError(f"this figure needs {count} Axes, got {np.size(ax)}")
    return np.ravel(ax)


def relabelled(words: Mapping, labels: Mapping | None, texts: Iterable[str] = (), prob: str = "") -> dict[str, str]:
    """The texts of a figure by name, with the caller's in place of some. FigureError for one that the figure does not have.

    words: the default by name. texts: those that are named by themselves, with numbers left open as "{rows}"; of these "{prob}", an
    interval's probability in words, is filled in here. Empty ones are left out.
    """
    known = {text: text for text in texts if text} | dict(words)
    if unknown := set(labels or ()) - set(known):
        raise FigureError(f"labels for {sorted(unknown)}: the texts of this figure are {sorted(known)}")
    return {name: str(text).replace("{prob}", prob) for name, text in (known | dict(labels or {})).items()}


def filled(text: str, **numbers) -> str:
    """A text with its open places "{name}" filled in."""
    for name, number in numbers.items():
        text = text.replace(f"{{{name}}}", str(number))
    return text


def rows_of(count: int, words: dict[str, str]) -> str:
    """3 rows, 1 row."""
    return filled(words["{rows} row" if count == 1 else "{rows} rows"], rows=count)


def legend(axes, own: bool, handles: list, title: str, columns: int) -> None:
    """Below our own figure, inside the last of the caller's Axes; its title says what is held fixed."""
    look: Look = {"handles": handles, "fontsize": SMALL, "handlelength": 1.4, "columnspacing": 1.2}
    if title:
        look |= {"title": wrap(title, 72 * axes[0].figure.get_figwidth() - 20), "title_fontsize": SMALL}
    if own:
        axes[0].figure.legend(loc="outside lower center", ncols=columns, **look)
    else:
        axes[-1].legend(loc="best", frameon=True, framealpha=0.8, edgecolor="none", **look)


def arrowheads(ax, marker: str, x, y, color: str = GREY) -> None:
    """Small heads ("<" or ">") at x, y in axis units: what they end goes on beyond the axis."""
    x, y = np.broadcast_arrays(x, y)
    if y.size:  # an empty, unclipped line would count as a point at the corner of the figure in its layout
        ax.plot(x, y, marker=marker, markersize=3, color=color, linestyle="none", clip_on=False, zorder=4, label="_beyond")


def draw_caps(ax, at, low, high, color) -> None:
    """Small strokes at the ends of intervals, which show those of no length too."""
    at, low, high = (np.atleast_1d(each) for each in (at, low, high))
    ends: Look = {
        "marker": "|",
        "linestyle": "none",
        "markersize": 4,
        "color": color,
        "clip_on": False,
        "zorder": 3,
        "label": "_cap",
    }
    ax.plot(np.concatenate([low, high]), np.concatenate([at, at]), **ends)


def edge_marks(ax, x, y) -> list[float]:
    """Mark points beyond the y limits by a triangle at the edge with its value; side by side where they fit, else stacked.

    x, y: shape (point,), axis units. Returns the height at which each point is marked.
    """
    (bottom, top), box = ax.get_ylim(), ax.get_window_extent()
    to_points, heights, taken = 72 / ax.figure.dpi, [], set[tuple]()
    for dose, value in zip(x, y, strict=True):
        text, above = number(value, 1), value > top
        start, width = (ax.transData.transform((dose, bottom))[0] - box.x0) * to_points, text_width(text) + 8
        side = 1 if start + width < box.width * to_points else -1
        cells = {int(step // 4) for step in start + side * np.arange(-4, width)}
        row = next(row for row in range(len(y)) if not taken & {(above, row, cell) for cell in cells})
        taken |= {(above, row, cell) for cell in cells}
        inset = (8 + 11 * row) / (box.height * to_points) * (top - bottom)
        heights.append(top - inset if above else bottom + inset)
        ax.plot(dose, heights[-1], "^" if above else "v", markersize=4, color=GREY, zorder=6, label="_outlier")
        look: Look = {"ha": "left" if side == 1 else "right", "va": "bottom", "fontsize": SMALL - 0.5, "color": GREY, "zorder": 6}
        ax.annotate(text, (dose, heights[-1]), (4 * side, 1), textcoords="offset points", **look)
    return heights


def wrap(text: str, points: float) -> str:
    """Text whose lines are broken into some about `points` wide at the small size."""
    return "\n".join(textwrap.fill(line, max(20, int(points / text_width("n")))) for line in text.split("\n"))


def apart(heights: np.ndarray, sizes) -> np.ndarray:
    """Heights (label,) of labels of the given sizes, moved as little as needed so that none overlap and none change places."""
    from scipy.optimize import isotonic_regression

    order, sizes = np.argsort(heights, kind="stable"), np.asarray(sizes, float)
    middles = np.cumsum(sizes[order]) - sizes[order] / 2  # of a stack without gaps
    placed = np.empty(len(order))
    placed[order] = isotonic_regression(heights[order] - middles).x + middles
    return placed


def entitle(ax, text: str, **look) -> None:
    """A title of plain text, broken into lines as wide as the Axes."""
    width = ax.get_window_extent().width * 72 / ax.figure.dpi
    ax.set_title(wrap(text, width * (0.85 if look.get("fontweight") == "bold" else 1)), parse_math=False, **look)


def verdict_above(ax, heading: str, verdict: str, words: dict[str, str], note: str = "") -> None:
    """The verdict on an optimum as the title, after the group it is on; in red where the chains disagree about it."""
    color, said = RED if verdict.startswith("did not converge") else "black", words.get(verdict, verdict) + note
    text = f"{heading}:\n{said}" if heading else filled(words["Verdict: {verdict}"], verdict=said)
    entitle(ax, text, fontweight="bold", color=color)


def warn_above(ax, text: str, own: bool, y: float | None = None) -> None:
    """Print a warning in red, bold and wrapped: across the top of our own figure (at y, if given), which grows with it; above the
    caller's Axes."""
    look: Look = {"color": RED, "fontsize": SMALL, "fontweight": "bold", "ha": "left"}
    if own:
        text = wrap(text, 72 * ax.figure.get_figwidth() - 20)
        ax.figure.set_figheight(ax.figure.get_figheight() + 1.2 * SMALL / 72 * (1 + len(text.split("\n"))))
        ax.figure.suptitle(text, x=0.01, y=y, va="top", **look)
    else:
        text, above = wrap(text, ax.get_window_extent().width * 72 / ax.figure.dpi), (0, 16 if ax.get_title() else 4)
        ax.annotate(text, (0, 1), above, xycoords="axes fraction", textcoords="offset points", va="bottom", **look)


def tint(strength: float, color: str = BLUE) -> tuple[float, float, float]:
    """The colour mixed with white (strength 0 to 1): opaque, so that bands look alike wherever they overlap."""
    red, green, blue = (1 - strength * (1 - part) for part in to_rgb(color))
    return red, green, blue


def _from_the_start(figure) -> None:
    """Axes back where they stood before any layout: each starts from the last, and would differ from it in the last digits."""
    for ax in figure.axes if figure.get_layout_engine() else ():
        if ax.get_in_layout() and ax.get_subplotspec():
            ax.set_subplotspec(ax.get_subplotspec())


def save(figure: Figure | Axes | np.ndarray, path: str | Path, formats: Iterable[str] = ("pdf", "png")) -> list[Path]:
    """Save a figure for a journal: 300 dpi, embedded TrueType fonts, no margins. The same figure gives the same bytes.

    Parameters
    ----------
    figure : Figure, Axes or array of Axes
    path : file name without suffix, in a folder that exists
    formats : suffixes without dot, such as "pdf", "png", "svg"

    Returns
    -------
    list of Path, one per format. An existing file is replaced only once the new one is complete.

    Raises
    ------
    FileNotFoundError if the folder does not exist; FigureError for an unknown format (nothing is then written).
    """
    path = Path(path)
    figure = (figure if isinstance(figure, FigureBase) else np.ravel(np.asarray(figure))[0]).get_figure(root=True)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot save figure {path.name!r}: folder {path.parent} does not exist; create it first")
    formats = [formats] if isinstance(formats, str) else list(formats)
    known = figure.canvas.get_supported_filetypes()
    if unknown := [name for name in formats if name not in known]:
        raise FigureError(f"cannot save figure as {', '.join(unknown)}; known formats: {', '.join(sorted(known))}")
    saved = []
    for name in formats:
        target = path.with_name(f"{path.name}.{name}")
        unfinished = target.with_name(f".{target.name}.{os.getpid()}")
        undated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(name)  # same figure, same bytes
        try:
            _from_the_start(figure)
            with mpl.rc_context(SAVED), _no_word_on_glyphs():
                figure.savefig(unfinished, format=name, metadata=undated)
            os.replace(unfinished, target)
        finally:
            unfinished.unlink(missing_ok=True)
        saved.append(target)
    return saved
