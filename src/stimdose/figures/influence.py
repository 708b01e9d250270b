"""What leaving out each study changes."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ..columns import axis_label
from . import style
from .study_rows import name_rows, row_axes

if TYPE_CHECKING:
    from ..checks import Check


TEXTS = (
    "Influential",
    "Within one standard deviation",
    "With all trials",
    "{group}, with all trials",
    "{count} studies",
)


def influence(
    found: "Check",
    *,
    dose: str | None = None,
    group: str | None = None,
    ax: Axes | None = None,
    labels: Mapping[str, str] | None = None,
) -> Axes:
    """Draw the mean effect, or the best dose, without each study, sorted; studies that are influential or decide a verdict in red.

    Medians of a best dose are marked only where it is identified, with all trials or without some study; intervals always.

    Parameters
    ----------
    found : Check
        Or any object with tables, a dict of DataFrames: studies (index study: mean_change, in posterior standard deviations),
        left_out (study, dose, group, best_dose, low, high, verdict, verdict_all, changes, change) and optima
        (index dose, group: best_dose, with all trials); and fit_warning.
    dose : str, optional
        Of which the best is drawn (dose units, median and interval), under the verdict with all trials; verdicts that change stand beside
        their study. By default the change of the mean effect.
    group : str, optional
        Needed where the best dose is one by group.
    ax : Axes, optional
        Drawn on instead of a new figure.
    labels : dict, optional
        Other words for "x", or any other text of the figure, by that text.

    Returns
    -------
    Axes; its vertical unit is a study, counted downwards from 0. With more studies than fit on a page only those in red are named.

    Raises
    ------
    ValueError for a dose or group that the tables do not have.
    """
    own, table = ax is None, _of_mean(found) if dose is None else _of_dose(found, dose, group)
    table = table.sort_values("x", kind="stable").reset_index(drop=True)
    shift = "Change of the mean effect without the study\n(posterior standard deviations)"
    label = "" if dose is None else axis_label(dose)
    words = {"x": shift if dose is None else f"{label} with the largest effect, without the study"}
    is_named = dose is None or bool(table[["verdict", "verdict_all"]].eq("identified").any(axis=None))
    verdicts = [] if dose is None else [*table["verdict"], *table["verdict_all"]]
    words = style.relabelled(words | {group: group for group in [group] if group}, labels, (*TEXTS, *verdicts, found.fit_warning))
    with style.house(own):
        if ax is None:
            ax = row_axes(len(table))
        is_log = dose is not None and table["low"].min() > 0 and table["high"].max() >= 5 * table["low"].min()
        if dose is None:
            ax.axvspan(-1, 1, color=style.BAND, linewidth=0, zorder=0, label="_band")
            ax.axvline(0, color=style.GREY, linewidth=0.6, zorder=1, label="_all")
            ax.set_xlim(*style.limits(np.append(table["x"], [-1.1, 1.1]), []))
        else:
            style.dose_axis(ax, *style.padded(table[["low", "high"]].to_numpy().ravel(), is_log), is_log)
            if is_named:
                at = found.tables["optima"].loc[(dose, group or ""), "best_dose"]
                ax.axvline(at, color=style.GREY, linewidth=0.6, zorder=1, label="_all")
            look: style.Look = {"color": style.tint(0.45), "linewidth": 1.0, "zorder": 2, "label": "_interval"}
            ax.hlines(table.index, table["low"], table["high"], **look)
            style.draw_caps(ax, table.index, table["low"], table["high"], style.tint(0.45))
        for is_odd, color in ((False, style.BLUE), (True, style.RED)):
            part = table[table["odd"] == is_odd]
            marker, label = (style.ODD, "_odd") if is_odd else ("o", "_study")
            if is_named:
                ax.plot(part["x"], part.index, marker, color=color, markersize=3.5, zorder=3, label=label)
        name_rows(ax, table["study"], table["odd"], words["{count} studies"])
        ax.set_xlabel(words["x"])
        if dose is not None:
            heading = style.filled(words["{group}, with all trials"], group=words[group]) if group else words["With all trials"]
            style.verdict_above(ax, heading, table["verdict_all"].iloc[0], words)
            _write_changes(ax, table, words)
        handles: list[Artist] = [
            Line2D([], [], linestyle="none", marker=style.ODD, markersize=3.5, color=style.RED, label=words["Influential"])
        ]
        if dose is None:
            handles.append(Patch(facecolor=style.BAND, label=words["Within one standard deviation"]))
        if handles := handles if is_named and table["odd"].any() else handles[1:]:
            style.legend([ax], own, handles, "", 2)
        if found.fit_warning:
            style.warn_above(ax, words[found.fit_warning], own)
    return ax


def _of_mean(found) -> pd.DataFrame:
    studies = found.tables["studies"]
    change = studies["mean_change"].to_numpy(float)
    return pd.DataFrame({"study": studies.index.astype(str), "x": change, "odd": abs(change) > 1})


def _of_dose(found, dose: str, group: str | None) -> pd.DataFrame:
    table = found.tables["left_out"]
    part = table[table["dose"] == dose] if "dose" in table else table
    if part.empty:
        raise ValueError(f"no best dose of {dose!r} was left out of; the table has {sorted(set(table.get('dose', ())))}")
    groups = list(part["group"].unique())
    if (group or "") not in groups:
        raise ValueError(f"state the group of {dose}: one of {groups}")
    part = part[part["group"] == (group or "")]
    odd = part["changes"].astype(bool) | (part["change"].abs() > 1)
    return part.assign(study=part["study"].astype(str), x=part["best_dose"], odd=odd)


def _write_changes(ax, table: pd.DataFrame, words: dict[str, str]) -> None:
    """Verdicts that differ without a study, right of the Axes."""
    for line in table[table["changes"].astype(bool)].itertuples():
        look: style.Look = {
            "xycoords": ("axes fraction", "data"),
            "textcoords": "offset points",
            "annotation_clip": False,
            "va": "center",
        }
        ax.annotate(words[line.verdict], (1, line.Index), (4, 0), fontsize=style.SMALL, color=style.RED, **look)
