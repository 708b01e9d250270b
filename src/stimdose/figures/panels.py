"""Curves on Axes: what every figure with a dose-response curve shares."""

import json
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ..errors import FigureError
from . import style

BUBBLE = 90.0
"""Area of the most precise trial, square points."""
INTERVAL, NEW_STUDY = 0.45, 0.18
"""Strength of the bands."""
FACE, EDGE = (0.3, 0.3, 0.3, 0.4), (0.0, 0.0, 0.0, 0.7)
MARKS = 3
"""Markers on each of several curves."""
DASHES = (0, (4, 2))
"""Of curves beyond the doses that trials tried."""
TEXTS = (
    "Mean effect",
    "{prob} interval of the mean",
    "{prob} interval of a new study",
    "Trials (area: precision)",
    "No trial near these doses",
    "{rows} row",
    "{rows} rows",
)
"""Of legends and headings."""
VERDICT = ("Verdict: {verdict}", "(without the cost)")
"""Of titles."""
NONE_NAMED = "No best dose is identified"
"""Where a best dose would be named."""
TELLING = ("identified", "flat")
"""Verdicts beside which doses near the best may be marked: beside others that would read as advice."""


class Panel(NamedTuple):
    """What one Axes shows. doses, mean, seen (whether trials tried the dose): shape (dose,); interval, new_study: (2, dose)."""

    group: str | None
    doses: np.ndarray
    mean: np.ndarray
    interval: np.ndarray
    new_study: np.ndarray | None
    seen: np.ndarray
    points: pd.DataFrame | None


def dims_of(curve, new_study=None) -> tuple[str, str | None]:
    """Dose and group dimension of a curve. FigureError if it, or the draws of a new study beside it, cannot be drawn."""
    dose = curve.attrs.get("dose")
    others = [dim for dim in curve.dims if dim not in ("chain", "draw", dose)]
    if not {"chain", "draw", dose} <= set(curve.dims) or len(others) > 1:
        raise FigureError(f"curve needs dims (chain, draw, <dose>[, <group>]) and attrs['dose']; got {curve.dims} and {dose!r}")
    for dim in () if new_study is None else (dose, *others):
        if dim not in new_study.dims or not np.array_equal(new_study[dim].values, curve[dim].values):
            raise FigureError(f"new_study and curve differ in {dim!r}: compute both on the same grid")
    if not all(np.isfinite(draws).all() for draws in (curve, new_study) if draws is not None):
        raise FigureError("draws of a curve must be finite numbers")
    if is_log(curve) and float(curve[dose].min()) <= 0:
        raise FigureError(f"a log axis has no dose 0: start the grid of {dose!r} above zero, or set attrs['log_axis'] = 0")
    return dose, others[0] if others else None


def is_log(curve) -> bool:
    """Whether the doses of a curve stand on a log axis."""
    return bool(curve.attrs.get("log_axis", 0))


def said_of(curve) -> list[str]:
    """What a curve says of itself: what is held, and a warning."""
    return [curve.attrs[name] for name in ("held", "warning") if curve.attrs.get(name)]


def groups_of(curve) -> list[str | None]:
    """The groups of a curve as text; [None] if it has none."""
    group = dims_of(curve)[1]
    return [None] if group is None else [str(name) for name in curve[group].values]


def panels_of(curve, new_study=None, points: pd.DataFrame | None = None, prob: float = 0.95) -> list[Panel]:
    """One panel per group; points as `checked_points` returns them."""
    (dose, group), tails = dims_of(curve, new_study), [(1 - prob) / 2, (1 + prob) / 2]

    def interval(draws):
        return draws.quantile(tails, dim=("chain", "draw")).transpose("quantile", dose).values

    panels = []
    for index, name in enumerate(groups_of(curve)):
        own, new = (each if not group or each is None else each.isel({group: index}) for each in (curve, new_study))
        rows = points if points is None or not group else points[points[group] == name]
        mean, new = own.mean(("chain", "draw")).values, None if new is None else interval(new)
        panels.append(Panel(name, own[dose].values.astype(float), mean, interval(own), new, seen_doses(own, name), rows))
    return panels


def seen_doses(curve, group: str | None) -> np.ndarray:
    """Whether trials tried each dose of the curve of one group: within the observed range and, where that is known, visited."""
    ranges = curve.attrs.get("observed_by_group") if group is not None else None
    ranges = json.loads(ranges) if isinstance(ranges, str) else ranges
    seen = {str(key): pair for key, pair in ranges.items()}.get(group) if ranges else curve.attrs["observed"]
    low, high = (np.inf, -np.inf) if seen is None else seen
    doses = curve[curve.attrs["dose"]].values
    return (doses >= low) & (doses <= high) & (curve["visited"].values if "visited" in curve.coords else True)


def runs(seen: np.ndarray) -> list[tuple[slice, bool]]:
    """Stretches of doses seen and not seen in turn; one that is not reaches to the nearest dose seen on either side."""
    ends = [0, *(np.flatnonzero(np.diff(seen)) + 1), len(seen)]
    return [
        (slice(first, end) if seen[first] else slice(max(first - 1, 0), end + 1), bool(seen[first]))
        for first, end in pairwise(ends)
    ]


def checked_points(points: pd.DataFrame | None, curve) -> pd.DataFrame | None:
    """The points with numbers as floats; every fault of every row in one FigureError."""
    if points is None:
        return None
    group, names = dims_of(curve)[1], groups_of(curve)
    needed = ["dose", "effect", "se", *([group] if group else [])]
    if missing := [name for name in needed if name not in points]:
        raise FigureError(f"points lack the columns {missing}")
    rows = points.reindex(columns=[*needed, "dose_low", "dose_high"])
    rows = rows.astype({name: float for name in rows if name != group})
    exact, enclosed = rows[["dose_low", "dose_high"]].isna().all(axis=1), rows.dose.between(rows.dose_low, rows.dose_high)
    faults = {
        "dose, effect or se is missing": ~np.isfinite(rows[["dose", "effect", "se"]]).all(axis=1),
        "se is not positive": rows.se <= 0,
        "a log axis has no dose 0": is_log(curve) & (rows.dose <= 0),
        "dose_low and dose_high do not enclose dose": ~exact & ~enclosed,
    }
    if group:
        rows[group] = rows[group].astype(object).where(rows[group].notna(), "").astype(str)
        for value in sorted(set(rows[group]) - set(names)):
            faults[f"{group} {value!r} is not a group of the curve ({', '.join(names)})"] = rows[group] == value
    if found := [f"rows {list(rows.index[bad])}: {fault}" for fault, bad in faults.items() if bad.any()]:
        raise FigureError("\n  - ".join(["points that cannot be drawn:", *found]))
    return rows.reset_index(drop=True)


def dose_limits(panels: list[Panel], points: pd.DataFrame | None, log: bool) -> tuple[float, float]:
    """A little beyond every dose; open ends of interval doses lie on the limits."""
    doses = [panel.doses for panel in panels]
    if points is not None:
        doses.append(points[["dose", "dose_low", "dose_high"]].to_numpy().ravel())
    return style.padded(np.concatenate(doses), log)


def effect_limits(panels: list[Panel]) -> tuple[float, float]:
    """Set by mean curves and bands over observed doses; bands beyond and trials widen them by half a span at most."""
    core, extra = [panel.mean for panel in panels], [np.zeros(0)]
    for panel in panels:
        bands = panel.interval if panel.new_study is None else np.vstack([panel.interval, panel.new_study])
        for part, seen in runs(panel.seen):
            (core if seen else extra).append(bands[:, part].ravel())
        extra += [] if panel.points is None else [panel.points.effect.to_numpy()]
    return style.limits(np.concatenate(core), np.concatenate(extra))


def mean_limits(panels: list[Panel]) -> tuple[float, float]:
    """Set by mean curves; trials widen them by half a span at most."""
    effects = [panel.points.effect.to_numpy() for panel in panels if panel.points is not None]
    return style.limits(np.concatenate([panel.mean for panel in panels]), np.concatenate([np.zeros(0), *effects]))


def frame(ax, x_limits, y_limits, log: bool, zero: bool = True) -> None:
    """Axes of doses and effects, with a line at no effect."""
    style.dose_axis(ax, x_limits[0], x_limits[1], log)
    ax.set_ylim(*y_limits)
    if zero:
        ax.axhline(0, color=style.GREY, linewidth=0.6, zorder=2.5, label="_zero")


def draw(ax, panel: Panel, best_se: float | None = None) -> None:
    """Bands, mean and points of a panel; best_se: of the most precise of all trials in the figure.

    Labels that start with "_" name the artists and stay out of any legend.
    """
    for part, seen in runs(panel.seen):
        doses, fade = panel.doses[part], 1.0 if seen else 0.5
        for label, band, strength in (("_new study", panel.new_study, NEW_STUDY), ("_interval", panel.interval, INTERVAL)):
            if band is not None:
                ax.fill_between(doses, *band[:, part], color=style.tint(strength * fade), linewidth=0, label=label)
    draw_mean(ax, panel)
    if panel.points is not None:
        draw_points(ax, panel.points, best_se)


def draw_mean(ax, panel: Panel, color: str = style.BLUE) -> None:
    """The mean curve, dashed beyond the doses that trials tried."""
    for part, seen in runs(panel.seen):
        look: style.Look = {"color": color, "linestyle": "-" if seen else DASHES, "linewidth": 1.4, "zorder": 3, "label": "_mean"}
        ax.plot(panel.doses[part], panel.mean[part], **look)


def draw_marks(ax, panel: Panel, color: str, marker: str, place: int, of: int) -> None:
    """Markers at the end of a mean curve and along it, the first of `of` curves at other doses than the next: to tell them apart in grey."""
    x = np.log(panel.doses) if ax.get_xscale() == "log" else panel.doses
    at = np.append(x[0] + np.ptp(x) * (np.arange(MARKS) + (place + 0.5) / of) / (MARKS + 0.5), x[-1])
    look: style.Look = {
        "color": color,
        "marker": marker,
        "markersize": 4.5,
        "markeredgecolor": "white",
        "markeredgewidth": 0.5,
        "label": "_mark",
    }
    ax.plot(np.interp(at, x, panel.doses), np.interp(at, x, panel.mean), linestyle="none", zorder=6, clip_on=False, **look)


def draw_points(ax, rows: pd.DataFrame, best_se: float) -> None:
    """Trials as bubbles (area: precision), interval doses as bars; effects beyond the limits as marks at the edge."""
    (left, right), shown, areas = ax.get_xlim(), rows.effect.between(*ax.get_ylim()), BUBBLE * best_se / rows.se
    left = max(left, 0.0)  # no dose is below zero, even where the axis starts a little earlier
    heights = rows.effect.where(shown)
    heights[~shown] = style.edge_marks(ax, rows.dose[~shown], rows.effect[~shown])
    bars = rows.dose_low.notna()
    low, high = rows.dose_low[bars].clip(lower=left), rows.dose_high[bars].clip(upper=right)
    ax.hlines(heights[bars], low, high, color=style.GREY, linewidth=0.8, zorder=4, label="_dose")
    style.arrowheads(ax, "<", left, heights[rows.dose_low <= 0])
    style.arrowheads(ax, ">", right, heights[np.isinf(rows.dose_high)])
    look: style.Look = {"facecolor": FACE, "edgecolor": EDGE, "linewidth": 0.5, "zorder": 5, "clip_on": False}
    ax.scatter(rows.dose[shown], rows.effect[shown], areas[shown], label="_trials", **look)


def heading(panel: Panel, words: dict[str, str]) -> str:
    """The group and its number of rows; empty without groups."""
    if panel.group is None:
        return ""
    count = "" if panel.points is None else f" ({style.rows_of(len(panel.points), words)})"
    return words[panel.group] + count


def verdict_above(ax, best, panel: Panel, group: str | None, words: dict[str, str]) -> None:
    """The verdict on the best dose of a group as the title; where curves are net of a cost, it is on the effect without it."""
    note = f" {words['(without the cost)']}" if best.curves.attrs.get("cost") else ""
    style.verdict_above(ax, heading(panel, words), best.verdicts[group or ""], words, note)


def is_named(best, group: str | None, among: tuple[str, ...] = ("identified",)) -> bool:
    """Whether a figure may name the best dose of a group, or another answer: only under these verdicts, of a fit that converged."""
    return best.verdicts[group or ""] in among and not best.fit_warning


def handles(words: dict[str, str], panels: list[Panel], color: str = style.BLUE) -> list:
    """What a legend says of the curves in some panels; color: of the mean curve."""
    found = [
        Line2D([], [], color=color, linewidth=1.4, label=words["Mean effect"]),
        Patch(facecolor=style.tint(INTERVAL), label=words["{prob} interval of the mean"]),
    ]
    if any(panel.new_study is not None for panel in panels):
        found.append(Patch(facecolor=style.tint(NEW_STUDY), label=words["{prob} interval of a new study"]))
    found += untried(words, panels, color)
    if any(panel.points is not None for panel in panels):
        bubble: style.Look = {"markerfacecolor": FACE, "markeredgecolor": EDGE, "markeredgewidth": 0.5}
        found.append(
            Line2D([], [], linestyle="none", marker="o", markersize=5, label=words["Trials (area: precision)"], **bubble)
        )
    return found


def untried(words: dict[str, str], panels: list[Panel], color: str = style.BLUE) -> list:
    """What a legend says of dashes, if there are any in some panels."""
    look: style.Look = {
        "color": color,
        "linewidth": 1.4,
        "linestyle": (0, (2, 1)),
    }  # shorter than in the figure: a handle has room for two
    has = not all(panel.seen.all() for panel in panels)
    return [Line2D([], [], **look, label=words["No trial near these doses"])] * has
