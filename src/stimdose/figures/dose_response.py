"""The dose-response figure: posterior mean curve, its interval, the interval of a new study, and the trials."""

import json
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ..columns import axis_label
from . import style

BUBBLE = 90.0
"""Area of the most precise trial, square points."""
INTERVAL, NEW_STUDY = 0.45, 0.18
"""Strength of the bands."""
FACE, EDGE = (0.3, 0.3, 0.3, 0.4), (0.0, 0.0, 0.0, 0.7)


class Panel(NamedTuple):
    """What one Axes shows. doses, mean: shape (dose,); interval, new_study: shape (2, dose); observed: dose range or None."""

    group: str | None
    doses: np.ndarray
    mean: np.ndarray
    interval: np.ndarray
    new_study: np.ndarray | None
    observed: tuple[float, float] | None
    points: pd.DataFrame | None

    def parts(self) -> list[tuple[slice, bool]]:
        """Runs of doses inside (True) and outside the observed range; neighbours share the last dose inside."""
        low, high = (np.inf, -np.inf) if self.observed is None else self.observed
        inside = np.flatnonzero((self.doses >= low) & (self.doses <= high))
        if not len(inside):
            return [(slice(0, None), False)]
        first, last = inside[0], inside[-1]
        parts = [(slice(0, first + 1), False), (slice(first, last + 1), True), (slice(last, None), False)]
        return [(part, seen) for part, seen in parts if seen or len(self.doses[part]) > 1]


def dose_response(curve, *, new_study=None, points=None, ax=None, prob=0.95, labels=None):
    """Draw a dose-response curve with its uncertainty and the trials behind it; dashed and faint beyond the observed doses.

    Parameters
    ----------
    curve : DataArray (chain, draw, <dose>) or (chain, draw, <dose>, <group>)
        Draws of the mean effect. attrs: "dose" (name of the dose dimension), "observed" ([low, high], dose units); optional
        "observed_by_group" ({group: [low, high]}, or that as JSON; a group not in it has no observed dose), "effect_label",
        "held" (words), "log_axis" (0 or 1), "warning" (printed in red).
    new_study : DataArray like curve, optional
        Draws of the effect in a new study.
    points : DataFrame, optional
        One row per trial or stratum: dose, effect, se, the group column if the curve has one, and dose_low, dose_high where
        the dose is an interval (NaN otherwise; 0 or inf for an open end).
    ax : Axes, or one Axes per group, optional
        Drawn on instead of a new figure.
    prob : float, probability of the central intervals
    labels : dict, optional
        Other words for "dose", "effect" or any group.

    Returns
    -------
    Axes, or a flat array of Axes (one per group) if the curve has groups.

    Raises
    ------
    ValueError naming what does not fit: dimensions, groups, doses on a log axis, missing numbers, number of Axes.
    """
    level, own, (dose, group) = style.percent(prob), ax is None, _dims(curve, new_study)
    log, words = (
        bool(curve.attrs.get("log_axis", 0)),
        {"dose": axis_label(dose), "effect": curve.attrs.get("effect_label", "Effect")},
    )
    names = [None] if group is None else [str(name) for name in curve[group].values]
    words |= {name: name for name in names if group}
    if unknown := set(labels or ()) - set(words):
        raise ValueError(f"labels for {sorted(unknown)}: the texts of this figure are {sorted(words)}")
    if log and float(curve[dose].min()) <= 0:
        raise ValueError(f"a log axis has no dose 0: start the grid of {dose!r} above zero, or set attrs['log_axis'] = 0")
    points = None if points is None else _checked(points, group, names, log)
    panels = _panels(curve, new_study, points, group, names, (1 - prob) / 2)
    if not own and np.size(ax) != len(panels):
        raise ValueError(f"this curve needs {len(panels)} Axes, got {np.size(ax)}")
    with style.house(own):
        axes = _new_axes(len(panels)) if own else np.ravel(ax)
        x_limits, y_limits = _dose_limits(panels[0].doses, points, log), _effect_limits(panels)
        for each, panel in zip(axes, panels, strict=True):
            style.dose_axis(each, *x_limits, log)
            each.set_ylim(*y_limits)
            _draw(each, panel)
            if points is not None:
                _draw_points(each, panel.points, BUBBLE * points.se.min() / panel.points.se)
            _name(each, panel, words | dict(labels or {}))
        _legend(axes, own, level, new_study is not None, points is not None, curve.attrs.get("held", ""))
        if warning := curve.attrs.get("warning"):
            style.warn_above(axes[0], warning, own)
    return axes[0] if group is None else axes


def _dims(curve, new_study) -> tuple[str, str | None]:
    dose = curve.attrs.get("dose")
    others = [dim for dim in curve.dims if dim not in ("chain", "draw", dose)]
    if not {"chain", "draw", dose} <= set(curve.dims) or len(others) > 1:
        raise ValueError(f"curve needs dims (chain, draw, <dose>[, <group>]) and attrs['dose']; got {curve.dims} and {dose!r}")
    if curve.attrs.get("kind", "mean") != "mean":
        raise ValueError(f"curve is of kind {curve.attrs['kind']!r}: pass the mean as curve, draws of a new study as new_study")
    for dim in () if new_study is None else (dose, *others):
        if dim not in new_study.dims or not np.array_equal(new_study[dim].values, curve[dim].values):
            raise ValueError(f"new_study and curve differ in {dim!r}: compute both on the same grid")
    if not all(np.isfinite(draws).all() for draws in (curve, new_study) if draws is not None):
        raise ValueError("draws of a curve must be finite numbers")
    return dose, others[0] if others else None


def _checked(points: pd.DataFrame, group: str | None, names: list, log: bool) -> pd.DataFrame:
    """The points with numbers as floats; every fault of every row in one ValueError."""
    needed = ["dose", "effect", "se", *([group] if group else [])]
    if missing := [name for name in needed if name not in points]:
        raise ValueError(f"points lack the columns {missing}")
    rows = points.reindex(columns=[*needed, "dose_low", "dose_high"])
    rows = rows.astype({name: float for name in rows if name != group})
    exact, enclosed = rows[["dose_low", "dose_high"]].isna().all(axis=1), rows.dose.between(rows.dose_low, rows.dose_high)
    faults = {
        "dose, effect or se is missing": ~np.isfinite(rows[["dose", "effect", "se"]]).all(axis=1),
        "se is not positive": rows.se <= 0,
        "a log axis has no dose 0": log & (rows.dose <= 0),
        "dose_low and dose_high do not enclose dose": ~exact & ~enclosed,
    }
    if group:
        rows[group] = rows[group].astype(object).where(rows[group].notna(), "").astype(str)
        for value in sorted(set(rows[group]) - set(names)):
            faults[f"{group} {value!r} is not a group of the curve ({', '.join(names)})"] = rows[group] == value
    if found := [f"rows {list(rows.index[bad])}: {fault}" for fault, bad in faults.items() if bad.any()]:
        raise ValueError("\n  - ".join(["points that cannot be drawn:", *found]))
    return rows.reset_index(drop=True)


def _panels(curve, new_study, points, group: str | None, names: list, tail: float) -> list[Panel]:
    dose, ranges = curve.attrs["dose"], curve.attrs.get("observed_by_group") if group else None
    ranges = json.loads(ranges) if isinstance(ranges, str) else ranges

    def interval(draws):
        return draws.quantile([tail, 1 - tail], dim=("chain", "draw")).transpose("quantile", dose).values

    panels = []
    for index, name in enumerate(names):
        own, new = (each if not group or each is None else each.isel({group: index}) for each in (curve, new_study))
        seen = {str(key): pair for key, pair in ranges.items()}.get(name) if ranges else curve.attrs["observed"]
        rows = points if points is None or not group else points[points[group] == name]
        mean, new = own.mean(("chain", "draw")).values, None if new is None else interval(new)
        panels.append(Panel(name, own[dose].values.astype(float), mean, interval(own), new, seen, rows))
    return panels


def _dose_limits(doses: np.ndarray, points: pd.DataFrame | None, log: bool) -> tuple[float, float]:
    """A little beyond every dose; open ends of interval doses lie on the limits."""
    if points is not None:
        doses = np.concatenate([doses, points[["dose", "dose_low", "dose_high"]].to_numpy().ravel()])
    doses = doses[np.isfinite(doses) & ((doses > 0) | (not log))]
    low, high = (np.log(doses.min()), np.log(doses.max())) if log else (doses.min(), doses.max())
    pad = 0.03 * ((high - low) or 1.0)
    return (np.exp(low - pad), np.exp(high + pad)) if log else (low - pad, high + pad)


def _effect_limits(panels: list[Panel]) -> tuple[float, float]:
    """Set by mean curves and bands over observed doses; bands beyond and trials widen them by half a span at most."""
    core, extra = [panel.mean for panel in panels], [np.zeros(0)]
    for panel in panels:
        bands = panel.interval if panel.new_study is None else np.vstack([panel.interval, panel.new_study])
        for part, seen in panel.parts():
            (core if seen else extra).append(bands[:, part].ravel())
        extra += [] if panel.points is None else [panel.points.effect.to_numpy()]
    return style.limits(np.concatenate(core), np.concatenate(extra))


def _new_axes(count: int) -> np.ndarray:
    """Panels side by side, up to four in a row; numbers and labels only at the left and at the bottom."""
    columns = count if count <= 4 else 3
    rows = -(-count // columns)
    size = (style.SINGLE if count == 1 else style.DOUBLE, (2.9 if count == 1 else 2.6) * rows)
    axes = plt.subplots(rows, columns, figsize=size, sharex=True, sharey=True, squeeze=False, layout="constrained")[1]
    for index, ax in enumerate(axes.flat):
        ax.yaxis.label.set_visible(index % columns == 0)
        ax.xaxis.label.set_visible(index + columns >= count)
        ax.tick_params(labelbottom=index + columns >= count)
        if index >= count:
            ax.remove()
    return axes.ravel()[:count]


def _draw(ax, panel: Panel) -> None:
    """Bands, mean and zero line. Labels that start with "_" name the artists and stay out of any legend."""
    for part, seen in panel.parts():
        doses, fade = panel.doses[part], 1.0 if seen else 0.5
        for label, band, strength in (("_new study", panel.new_study, NEW_STUDY), ("_interval", panel.interval, INTERVAL)):
            if band is not None:
                ax.fill_between(doses, *band[:, part], color=style.tint(strength * fade), linewidth=0, label=label)
        dashes = "-" if seen else (0, (4, 2))
        ax.plot(doses, panel.mean[part], color=style.BLUE, linestyle=dashes, linewidth=1.4, zorder=3, label="_mean")
    ax.axhline(0, color=style.GREY, linewidth=0.6, zorder=2.5, label="_zero")


def _draw_points(ax, rows: pd.DataFrame, areas: pd.Series) -> None:
    """Trials as bubbles (areas: square points), interval doses as bars; effects beyond the limits as marks at the edge."""
    (left, right), shown = ax.get_xlim(), rows.effect.between(*ax.get_ylim())
    left = max(left, 0.0)  # no dose is below zero, even where the axis starts a little earlier
    heights = rows.effect.where(shown)
    heights[~shown] = style.edge_marks(ax, rows.dose[~shown], rows.effect[~shown])
    bars = rows.dose_low.notna()
    low, high = rows.dose_low[bars].clip(lower=left), rows.dose_high[bars].clip(upper=right)
    ax.hlines(heights[bars], low, high, color=style.GREY, linewidth=0.8, zorder=4, label="_dose")
    style.arrowheads(ax, "<", left, heights[rows.dose_low <= 0])
    style.arrowheads(ax, ">", right, heights[np.isinf(rows.dose_high)])
    look = {"facecolor": FACE, "edgecolor": EDGE, "linewidth": 0.5, "zorder": 5, "clip_on": False}
    ax.scatter(rows.dose[shown], rows.effect[shown], areas[shown], label="_trials", **look)


def _name(ax, panel: Panel, words: dict[str, str]) -> None:
    ax.set(xlabel=words["dose"], ylabel=words["effect"])
    if panel.group is not None:
        count = "" if panel.points is None else f" ({len(panel.points)} row{'s' * (len(panel.points) != 1)})"
        ax.set_title(words[panel.group] + count, parse_math=False)


def _legend(axes, own: bool, level: str, has_new: bool, has_points: bool, held: str) -> None:
    """Below our own figure, inside the last of the caller's Axes; its title says what is held fixed."""
    handles = [
        Line2D([], [], color=style.BLUE, linewidth=1.4, label="Mean effect"),
        Patch(facecolor=style.tint(INTERVAL), label=f"{level} interval of the mean"),
    ]
    if has_new:
        handles.append(Patch(facecolor=style.tint(NEW_STUDY), label=f"{level} interval of a new study"))
    if has_points:
        bubble = {"markerfacecolor": FACE, "markeredgecolor": EDGE, "markeredgewidth": 0.5}
        handles.append(Line2D([], [], linestyle="none", marker="o", markersize=5, label="Trials (area: precision)", **bubble))
    look = {"handles": handles, "fontsize": style.SMALL, "handlelength": 1.4, "columnspacing": 1.2}
    if held:
        look |= {"title": style.wrap(held, 72 * axes[0].figure.get_figwidth() - 20), "title_fontsize": style.SMALL}
    if own:
        axes[0].figure.legend(loc="outside lower center", ncols=2 if len(axes) == 1 else 4, **look)
    else:
        axes[-1].legend(loc="best", frameon=True, framealpha=0.8, edgecolor="none", **look)
