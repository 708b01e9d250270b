"""How probable each dose is to be good enough."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ..columns import axis_label
from ..doses import short
from ..errors import FigureError
from . import panels, style

if TYPE_CHECKING:
    from ..optima import Optimum


MARK = style.tint(0.45)
TEXTS = ("Doses with a probability of {prob} or more", "no dose", "{doses} with gaps", panels.NONE_NAMED)


def near_best(
    best: "Optimum",
    *,
    chance: xr.DataArray | None = None,
    at_least: float = 0.5,
    ax: np.ndarray | Axes | None = None,
    labels: Mapping[str, str] | None = None,
) -> Any:
    """Draw P(the effect at a dose is within delta of the best) by dose, with the doses where it is at least 0.5, and the verdict.

    Under a verdict that tells of no best dose, and where the fit did not converge, no doses are marked as near it.

    Parameters
    ----------
    best : Optimum
        Or any object with curves (draws, as for `dose_response`), near_best() (probabilities (<dose>[, <group>])), delta,
        verdicts ({group: words}, or {"": words}) and fit_warning.
    chance : DataArray (<dose>[, <group>]), optional
        Drawn in place of best.near_best(), on the doses of best.curves: best.p_benefit(0.3), say, whose attrs["threshold"] names
        the axis.
    at_least : float
        Doses with at least this probability are marked.
    ax : Axes, or one Axes per group, optional
        Drawn on instead of a new figure.
    labels : dict, optional
        Other words for "dose", "chance", any group, or any other text of the figure, by that text.

    Returns
    -------
    Axes, or a flat array of Axes (one per group) if the curves have groups.

    Raises
    ------
    FigureError for probabilities outside 0 to 1, or on other doses or groups than the curves.
    """
    level, own, curve, log = style.percent(at_least), ax is None, best.curves, panels.is_log(best.curves)
    (dose, group), names = panels.dims_of(curve), panels.groups_of(curve)
    marked = [chance is not None or panels.is_named(best, name, panels.TELLING) for name in names]
    if chance is None:
        chance, label = best.near_best(), f"P(within {style.number(best.delta)} of the best)"
    else:
        label = f"P(effect > {style.number(chance.attrs['threshold'])})" if "threshold" in chance.attrs else "Probability"
    words = {"dose": axis_label(dose), "chance": label} | {name: name for name in names if group}
    texts = (*panels.TEXTS, *panels.VERDICT, *TEXTS, *panels.said_of(curve), *best.verdicts.values(), best.fit_warning)
    words = style.relabelled(words, labels, texts, level)
    chance = _checked(chance, curve, dose, group)
    parts = panels.panels_of(curve)
    with style.house(own):
        count = len(parts)
        axes = style.panel_axes(count, 2.7, style.in_a_row(count)) if own else style.given_axes(ax, count)
        for index, (each, panel) in enumerate(zip(axes, parts, strict=True)):
            panels.frame(each, style.padded(panel.doses, log), (0.0, 1.2), log, zero=False)
            panels.draw_mean(each, panel._replace(mean=chance[:, index]))
            text = _mark(each, panel.doses, chance[:, index], at_least, words) if marked[index] else words[panels.NONE_NAMED]
            each.annotate(text, (0.5, 1), (0, -2), "axes fraction", "offset points", ha="center", va="top", fontsize=style.SMALL)
            each.set(xlabel=words["dose"], ylabel=words["chance"], yticks=[0, 0.25, 0.5, 0.75, 1])
            panels.verdict_above(each, best, panel, names[index], words)
        handles = [Line2D([], [], color=MARK, linewidth=4, label=words["Doses with a probability of {prob} or more"])] * any(
            marked
        )
        if handles := handles + panels.untried(words, parts):
            style.legend(axes, own, handles, words.get(curve.attrs.get("held"), ""), 1)
        if warning := best.fit_warning or curve.attrs.get("warning"):
            style.warn_above(axes[0], words[warning], own)
    return axes[0] if group is None else axes


def _checked(chance, curve, dose: str, group: str | None) -> np.ndarray:
    """Probabilities (dose, group)."""
    dims = [dose, *([group] if group else [])]
    if set(chance.dims) != set(dims) or any(not np.array_equal(chance[dim].values, curve[dim].values) for dim in dims):
        raise FigureError(f"probabilities need the dims {dims} with the doses and groups of the curves; got {chance.dims}")
    values = chance.transpose(*dims).values.astype(float).reshape(chance.sizes[dose], -1)
    if not ((values >= 0) & (values <= 1)).all():
        raise FigureError("probabilities lie between 0 and 1")
    return values


def _mark(ax, doses: np.ndarray, chance: np.ndarray, at_least: float, words: dict[str, str]) -> str:
    """Doses whose probability is high enough, as bars at the foot, and in words."""
    ax.axhline(at_least, color=style.GREY, linewidth=0.6, linestyle=":", zorder=2, label="_at least")
    stretches = [doses[part][[0, -1]] for part, enough in panels.runs(chance >= at_least) if enough]
    for stretch in stretches:
        ax.plot(stretch, [0.03, 0.03], color=MARK, linewidth=4, solid_capstyle="round", zorder=2, label="_enough")
    ranges = [short(low) if low == high else f"{short(low)}–{short(high)}" for low, high in stretches]
    if len(ranges) > 2:
        ranges = [style.filled(words["{doses} with gaps"], doses=f"{short(stretches[0][0])}–{short(stretches[-1][1])}")]
    return f"≥ {style.percent(at_least)}: {', '.join(ranges) or words['no dose']}"
