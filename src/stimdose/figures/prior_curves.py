"""Prior and posterior curves under several sets of priors."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.patches import Patch

from ..columns import axis_label
from . import panels, style

if TYPE_CHECKING:
    from ..prior_comparison import PriorComparison


PRIOR = (0.88, 0.88, 0.88)
"""Colour of the prior's band."""
REACH = 0.75
"""How far beyond the posterior, in spans of it, an axis follows the prior."""
TEXTS = ("{prob} interval of the prior",)


def prior_curves(
    found: "PriorComparison",
    column: str | None = None,
    *,
    points: pd.DataFrame | None = None,
    ax: np.ndarray | None = None,
    prob: float = 0.95,
    labels: Mapping[str, str] | None = None,
) -> np.ndarray:
    """Draw the posterior curve of every set of priors over what the priors alone allow: one row per set, one column per group.

    Parameters
    ----------
    found : PriorComparison
        Or any object with curves and prior_curves ({set: {dose: draws}}, as for `dose_response`) and fit_warning.
    column : str, optional
        The dose, by default the first.
    points : DataFrame, optional
        The trials, as for `dose_response`.
    ax : array of Axes (set, group), optional
        Drawn on instead of a new figure.
    prob : float, probability of the central intervals
    labels : dict, optional
        Other words for "dose", "effect", any set or group, or any other text of the figure, by that text.

    Returns
    -------
    Array of Axes (set, group); without groups, the sets stand in rows of up to four: (1, set).

    Raises
    ------
    ValueError for a dose that the sets do not have, and for curves that `dose_response` refuses.
    """
    sets, own, level = list(found.curves), ax is None, style.percent(prob)
    column = column or next(iter(found.curves[sets[0]]), None)
    if lacking := [name for name in sets if column not in found.curves[name]]:
        raise ValueError(f"there are no curves of {column!r} under {', '.join(lacking)}")
    curves, priors = ({name: by_dose[name][column] for name in sets} for by_dose in (found.curves, found.prior_curves))
    first = curves[sets[0]]
    (dose, group), names, log = panels.dims_of(first), panels.groups_of(first), panels.is_log(first)
    words = {name: name for name in [*sets, *(names if group else [])]}
    words |= {"dose": axis_label(dose), "effect": first.attrs.get("effect_label", "Effect")}
    words = style.relabelled(words, labels, (*panels.TEXTS, *TEXTS, *panels.said_of(first), found.fit_warning), level)
    points = panels.checked_points(points, first)
    posterior = [panels.panels_of(curves[name], None, points, prob) for name in sets]
    prior = [panels.panels_of(priors[name], None, None, prob) for name in sets]
    every = [panel for row in posterior for panel in row]
    bands = [panel.interval for row in prior for panel in row]
    best_se = None if points is None else points.se.min()
    with style.house(own):
        axes = _new_axes(len(sets), len(names)) if own else style.given_axes(ax, len(every)).reshape(len(sets), -1)
        x_limits = panels.dose_limits(every, points, log)
        y_limits = style.limits(panels.effect_limits(every), np.concatenate([np.ravel(band) for band in bands]), REACH)
        flat = zip(axes.ravel(), [(name, k) for name in range(len(sets)) for k in range(len(names))], strict=True)
        for each, (row, k) in flat:
            panels.frame(each, x_limits, y_limits, log)
            before = prior[row][k]
            each.fill_between(before.doses, *before.interval, color=PRIOR, linewidth=0, zorder=0, label="_prior")
            panels.draw(each, posterior[row][k], best_se)
            each.set(xlabel=words["dose"], ylabel=words["effect"])
            style.entitle(each, ", ".join(words[name] for name in (sets[row], names[k]) if name))
        handles = panels.handles(words, every)
        handles.append(Patch(facecolor=PRIOR, label=words[TEXTS[0]]))
        style.legend([axes.ravel()[0]], own, handles, words.get(first.attrs.get("held"), ""), 4 if axes.shape[1] > 1 else 2)
        if found.fit_warning:
            style.warn_above(axes.ravel()[0], words[found.fit_warning], own)
    return axes


def _new_axes(sets: int, groups: int) -> np.ndarray:
    """Axes (set, group) of a new figure, or (1, set) where there are no groups; numbers and labels only at the left and at the bottom."""
    if groups == 1:
        return style.panel_axes(sets, 2.6, style.in_a_row(sets)).reshape(1, -1)
    size = (style.DOUBLE, 1.9 * sets + 0.4)
    axes = plt.subplots(sets, groups, figsize=size, sharex=True, sharey=True, squeeze=False, layout="constrained")[1]
    for (row, k), each in np.ndenumerate(axes):
        each.yaxis.label.set_visible(k == 0)
        each.xaxis.label.set_visible(row == sets - 1)
        each.tick_params(labelbottom=row == sets - 1)
    return axes
