"""The forest plot: what each row of the table reports, and what the model makes of it."""

import textwrap
from collections.abc import Mapping
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Polygon, Rectangle
from matplotlib.ticker import MaxNLocator

from ..errors import FigureError
from . import style

REPORTED, SHRUNKEN = ["effect", "low", "high"], ["shrunken", "shrunken_low", "shrunken_high"]
ROW, GAP, NARROWEST = 14.5, 10.0, 110.0
"""Height of a row, space between columns and width of the narrowest plot, points."""
LONGEST = {"label": 40, "dose": 24}
"""Characters of the longest texts; the rest becomes an ellipsis."""
SQUARES = (4.0, 42.0)
"""Least and largest area of the squares, square points; in between, the area is proportional to the weight 1/se²."""
TEXTS = (
    "Study",
    "■ Reported\n[95 % CI]",
    "● Shrunken\n[{prob}]",
    "Pooled effect",
    "New study, {prob} interval",
    "not stated",
)
RULE = -0.75
"""Height of the rule below the headings of the columns. Heights are in rows, downwards, with the first row at 0."""


class Line(NamedTuple):
    """A line of text: its height, the text of each column it has, its weight."""

    y: float
    texts: dict[str, str]
    weight: str = "normal"

    def width(self, column: str) -> float:
        """Points."""
        return max(style.text_width(part, weight=self.weight) for part in self.texts.get(column, "").split("\n"))


def forest(table: pd.DataFrame, *, ax: Axes | None = None, prob: float = 0.95, labels: Mapping[str, str] | None = None) -> Axes:
    """Draw reported effects as squares, posterior (shrunken) estimates as dots just below, the pooled effect as a diamond.

    Parameters
    ----------
    table : DataFrame, one row per table row
        label; effect, low, high (as reported, with 95 % confidence limits); shrunken, shrunken_low, shrunken_high (posterior
        of the row's true effect), all in units of the effect. Optional: group (heading above its rows) and dose (text).
        attrs, all optional: "pooled" {label, mean, low, high}, "prediction" {low, high} (of a new study), "by_group" ({group: {"pooled":
        ..., "prediction": ...}}, drawn below the rows of the group), "effect_label", "dose_label", "prob" (of the posterior
        intervals), "directions" (words for effects below and above zero), "warning" (printed in red).
    ax : Axes, optional
        Drawn on instead of a new figure. The text columns take their space from its sides; a row needs 0.2 inches.
    prob : float
        Probability of the posterior intervals, named in the heading; table.attrs["prob"], if there, comes first.
    labels : dict, optional
        Other words for "effect", "dose" (the axis, the column), any group, or any other text of the figure, by that text.

    Returns
    -------
    Axes between the text columns; its vertical unit is a row.

    Raises
    ------
    FigureError for missing columns or numbers, limits that do not enclose their estimate, or Axes too narrow for the text.
    """
    attrs, own = table.attrs, ax is None
    words = _words(table, labels, style.percent(attrs.get("prob", prob)))
    rows, lines, summary = _placed(_checked(table), attrs, words)
    end = max(each["y"] for each in [rows.iloc[-1], *summary])
    overall = _summary(attrs, words, end + 1.5)
    summary, bottom = summary + overall, max([end, *(each["y"] for each in overall)]) + 0.75
    heading = _heading(rows, words)
    top = RULE - 0.3 - 0.62 * max(text.count("\n") + 1 for text in heading.texts.values())
    with style.house(own):
        room = 72 * (style.DOUBLE if ax is None else ax.get_position().width * ax.figure.bbox.width / ax.figure.dpi)
        lines = _fitted([heading, *lines, *(_line(each) for each in summary)], room)
        ends = _ends(lines)
        width = room - ends["label"] - ends["shrunken"]
        ax = _new_axes(ends["label"], width, bottom - top, attrs) if ax is None else _narrowed(ax, ends["label"], width)
        core = [
            *rows[SHRUNKEN].quantile([0.1, 0.9]).to_numpy().ravel(),
            *(each[end] for each in summary for end in ("low", "high")),
        ]
        ax.set(xlim=style.limits(core, rows[REPORTED + SHRUNKEN]), ylim=(bottom, top))
        _write(ax, lines, ends)
        for y in [RULE, *(each["y"] - 0.75 for each in overall[:1])]:
            across = [-ends["label"] / width, 1 + ends["shrunken"] / width]
            ax.plot(across, [y, y], color="black", linewidth=0.6, transform=ax.get_yaxis_transform(), clip_on=False)
        _draw_rows(ax, rows)
        _draw_summary(ax, summary)
        _finish(ax, attrs, words, bottom)
        if warning := attrs.get("warning"):
            style.warn_above(ax, words[warning], own, y=0.998)
    return ax


def _words(table: pd.DataFrame, labels: Mapping | None, level: str) -> dict[str, str]:
    attrs = table.attrs
    said = [attrs.get("warning"), *attrs.get("directions", ()), *(str(name) for name in table.get("group", pd.Series()).dropna())]
    said += [each["pooled"].get("label") for each in [attrs, *attrs.get("by_group", {}).values()] if each.get("pooled")]
    words = {"effect": attrs.get("effect_label", "Effect"), "dose": attrs.get("dose_label", "Dose")}
    return style.relabelled(words, labels, (*TEXTS, *said), level)


def _checked(table: pd.DataFrame) -> pd.DataFrame:
    """A copy with numbers as floats and texts as str; every fault of every row in one FigureError."""
    if missing := [name for name in ["label", *REPORTED, *SHRUNKEN] if name not in table]:
        raise FigureError(f"the table of a forest plot lacks the columns {missing}")
    rows = table.astype(dict.fromkeys(REPORTED + SHRUNKEN, float)).reset_index(drop=True)
    if rows.empty:
        raise FigureError("the table of a forest plot has no rows")
    faults: dict = {}
    for middle, low, high in (REPORTED, SHRUNKEN):
        missing = ~np.isfinite(rows[[middle, low, high]]).all(axis=1)
        enclosed = rows[middle].between(rows[low], rows[high]) & (rows[low] < rows[high])
        faults |= {
            f"{middle}, {low} or {high} is missing": missing,
            f"{low}, {high} do not enclose {middle}": ~missing & ~enclosed,
        }
    if found := [f"{list(rows.label[bad])}: {fault}" for fault, bad in faults.items() if bad.any()]:
        raise FigureError("\n  - ".join(["a forest plot cannot be drawn:", *found]))
    for name, empty in (("label", "?"), ("dose", ""), ("group", "not stated")):
        if name in rows:
            rows[name] = rows[name].astype(object).where(rows[name].notna(), empty).astype(str)
    return rows


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def _placed(rows: pd.DataFrame, attrs: dict, words: dict[str, str]) -> tuple[pd.DataFrame, list[Line], list[dict]]:
    """The rows by group with their heights `y`, their text with that of the group headings, and what sums up each group."""
    lines, parts, summary, y = list[Line](), [], list[dict](), 0.0
    for name, part in rows.groupby("group", sort=False) if "group" in rows else [(None, rows)]:
        if name is not None:
            lines.append(Line(y, {"label": words[name]}, "bold"))
            y += 1
        parts.append(part.assign(y=y + np.arange(len(part))))
        for row in parts[-1].itertuples():
            texts = {column: _cut(getattr(row, column, ""), most) for column, most in LONGEST.items()}
            texts["label"] = ("" if name is None else "  ") + texts["label"]
            texts["reported"] = style.estimate(row.low, row.high, row.effect)
            texts["shrunken"] = style.estimate(row.shrunken_low, row.shrunken_high, row.shrunken)
            lines.append(Line(row.y, texts))
        y += len(part)
        own = _summary(attrs.get("by_group", {}).get(name, {}), words, y, "  ")
        summary, y = summary + own, y + len(own) + 0.5 * bool(own)
    return pd.concat(parts, ignore_index=True), lines, summary


def _summary(attrs: dict, words: dict[str, str], y: float, indent: str = "") -> list[dict]:
    """Pooled effect and interval of a new study, as far as attrs has them, from height y downwards."""
    labels = {"pooled": "Pooled effect", "prediction": "New study, {prob} interval"}
    known = [{"label": label, **attrs[name]} for name, label in labels.items() if attrs.get(name)]
    return [each | {"label": indent + words[each["label"]], "y": y + place} for place, each in enumerate(known)]


def _line(summary: dict) -> Line:
    texts = {"label": summary["label"], "shrunken": style.estimate(summary["low"], summary["high"], summary.get("mean"))}
    return Line(summary["y"], texts, "bold")


def _heading(rows: pd.DataFrame, words: dict[str, str]) -> Line:
    texts = dict(zip(("label", "reported", "shrunken"), (words[text] for text in TEXTS[:3]), strict=True))
    if "dose" in rows:
        texts["dose"] = textwrap.fill(words["dose"], 16)
    return Line(RULE, texts, "bold")


def _widths(lines: list[Line]) -> list[float]:
    """Widths of the columns label, dose, reported and shrunken, points."""
    return [max(line.width(column) for line in lines) for column in ("label", "dose", "reported", "shrunken")]


def _fitted(lines: list[Line], room: float) -> list[Line]:
    """Labels cut, with an ellipsis, to what the other columns and the plot leave of the room (points)."""
    room -= sum(_widths(lines)[1:]) + 4 * GAP + NARROWEST
    if room < 50:
        raise FigureError(f"the text of this forest plot needs Axes {(50 - room) / 72:.1f} inches wider")
    fitted = []
    for line in lines:
        while line.width("label") > room:
            line = line._replace(texts=line.texts | {"label": line.texts["label"][:-2].rstrip() + "…"})
        fitted.append(line)
    return fitted


def _ends(lines: list[Line]) -> dict[str, float]:
    """Points from the plot to the left end of the columns left of it, and to the right end of those right of it."""
    label, dose, reported, shrunken = _widths(lines)
    dose += GAP if dose else 0
    return {"label": label + GAP + dose, "dose": dose, "reported": GAP + reported, "shrunken": 2 * GAP + reported + shrunken}


def _new_axes(left: float, width: float, height: float, attrs: dict):
    """Axes of `width` points and `height` rows in a figure two columns wide, with room for a warning and the axis labels."""
    lines = style.wrap(attrs["warning"], 72 * style.DOUBLE - 20).count("\n") + 1 if attrs.get("warning") else 0
    above, below = 4 + 10 * lines, 46 if attrs.get("directions") else 32
    total = above + height * ROW + below
    figure = plt.figure(figsize=(style.DOUBLE, total / 72))
    return figure.add_axes((left / 72 / style.DOUBLE, below / total, width / 72 / style.DOUBLE, height * ROW / total))


def _narrowed(ax, left: float, width: float):
    box, inch = ax.get_position(), 1 / (72 * ax.figure.get_figwidth())
    ax.set_position((box.x0 + left * inch, box.y0, width * inch, box.height))
    return ax


def _write(ax, lines: list[Line], ends: dict[str, float]) -> None:
    colors = {"reported": style.GREY, "shrunken": style.BLUE}
    frame = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "annotation_clip": False}
    for line in lines:
        above = line.y == RULE
        for column, text in line.texts.items():
            side, at = ("right", (1, line.y)) if column in colors else ("left", (0, line.y))
            offset = (ends[column] if side == "right" else -ends[column], 2 if above else 0)
            look: style.Look = {
                "parse_math": False,
                "ha": side,
                "va": "bottom" if above else "center_baseline",
                "weight": line.weight,
                "size": style.SMALL,
            }
            ax.annotate(text, at, offset, **frame, **look, color=colors.get(column, "black") if above else "black")


def _draw_rows(ax, rows: pd.DataFrame) -> None:
    """Reported effects above, shrunken ones below the middle of the row; arrowheads where an interval leaves the axis."""
    (left, right), weight = ax.get_xlim(), (rows.high - rows.low) ** -2.0
    areas = (SQUARES[1] * weight / weight.max()).clip(lower=SQUARES[0])
    for names, y, color, marker, size in (
        (REPORTED, rows.y - 0.17, style.GREY, "s", areas),
        (SHRUNKEN, rows.y + 0.25, style.BLUE, "o", np.full(len(rows), 11.0)),
    ):
        middle, low, high = (rows[name] for name in names)
        ax.hlines(y, low.clip(left, right), high.clip(left, right), color=color, linewidth=0.9, label=f"_{names[0]} interval")
        style.arrowheads(ax, "<", left, y[low < left], color)
        style.arrowheads(ax, ">", right, y[high > right], color)
        seen = middle.between(left, right)
        ax.scatter(middle[seen], y[seen], size[seen], color=color, marker=marker, linewidth=0, zorder=3, label=f"_{names[0]}")


def _draw_summary(ax, summary: list[dict]) -> None:
    """A diamond for what has a mean, a bar for what is an interval only."""
    for each in summary:
        low, high, y = each["low"], each["high"], each["y"]
        if "mean" in each:
            mean = each["mean"]
            corners = [(low, y), (mean, y - 0.32), (high, y), (mean, y + 0.32)]
            ax.add_patch(Polygon(corners, facecolor=style.BLUE, zorder=3, label="_pooled"))
        else:
            ax.add_patch(Rectangle((low, y - 0.15), high - low, 0.3, facecolor=style.tint(0.45), zorder=3, label="_prediction"))


def _finish(ax, attrs: dict, words: dict[str, str], bottom: float) -> None:
    ax.vlines(0, RULE, bottom, color=style.GREY, linewidth=0.6, zorder=1, label="_zero")
    ax.yaxis.set_visible(False)
    ax.spines[["left", "top", "right"]].set_visible(False)
    ax.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    ax.tick_params(labelsize=style.SMALL)
    if directions := attrs.get("directions"):
        for text, x, side in ((f"← {words[directions[0]]}", -6, "right"), (f"{words[directions[1]]} →", 6, "left")):
            look: style.Look = {"textcoords": "offset points", "annotation_clip": False, "ha": side, "size": style.SMALL}
            ax.annotate(text, (0, bottom), (x, -21), **look)
    ax.set_xlabel(words["effect"], labelpad=14 if directions else 4)
