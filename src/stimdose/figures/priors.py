"""Prior against posterior of every parameter: what the trials added."""

from collections.abc import Mapping, Sequence
from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ..columns import COLUMNS, axis_label
from ..errors import FigureError
from . import style

COLUMNS_SHOWN, HEIGHT, MOST = 3, 1.3, 24
"""Panels in a row, height of each (inches), and how many fit on a page."""
DOSE_LIKE = ("peak", "ed50", "scale", "plateau")
"""Parameters of shapes that are doses: on a log axis."""
REACH = 4.0
"""How far beyond the posterior, in spans of it, an axis follows the prior."""
SMOOTH = (1.6, 1.0)
"""Of prior and posterior: priors are smooth, and a fit keeps few draws of them."""
PRIOR: style.Look = {"color": style.GREY, "linewidth": 1.0, "linestyle": (0, (4, 2))}
POSTERIOR: style.Look = {"color": style.BLUE, "linewidth": 1.2}
TEXTS = ("Prior", "Posterior", "Density")


def priors(
    prior: xr.Dataset,
    posterior: xr.Dataset,
    *,
    names: Sequence[str] | None = None,
    units: Mapping[str, str] | None = None,
    warning: str = "",
    ax: np.ndarray | None = None,
    labels: Mapping[str, str] | None = None,
) -> np.ndarray:
    """Draw the prior and posterior density of every parameter; parameters that are doses on a log axis.

    Densities are kernel estimates from the draws (`density`). An axis covers the posterior, and the prior as far as four times the
    posterior's width beyond it.

    Parameters
    ----------
    prior, posterior : Dataset (chain, draw[, <group>])
        Draws by parameter, as in `fit.tree["prior"]` and `fit.tree["posterior"]`; of each group a panel.
    names : list of str, optional
        Parameters to draw; by default those that both have.
    units : dict, optional
        Unit of any parameter, for its axis; those of doses are known.
    warning : str
        Printed in red: of a fit that did not converge.
    ax : array of Axes, one per panel, optional
        Drawn on instead of a new figure.
    labels : dict, optional
        Other words for any parameter (of a group: "intercept_by_phase[acute]"), or any other text of the figure, by that text.

    Returns
    -------
    Flat array of Axes.

    Raises
    ------
    FigureError for parameters that one of the two lacks, for more than fit on a page, and for draws that are not finite or do not vary.
    """
    own, before, after = ax is None, *_draws(prior, posterior, names)
    words = {name: _label(name, (units or {}).get(name.partition("[")[0])) for name in after}
    words = style.relabelled(words, labels, (*TEXTS, warning))
    with style.house(own):
        axes = _new_axes(len(after)) if own else style.given_axes(ax, len(after))
        for each, name in zip(axes, after, strict=True):
            log, scaled = _is_dose(name), (before[name], after[name])
            scaled = [np.log(draws) for draws in scaled] if log else scaled
            is_positive = not log and min(draws.min() for draws in scaled) >= 0
            low, high = _range(scaled[0], scaled[1], is_positive)
            each.set(xlabel=style.wrap(words[name], 1.1 * each.get_window_extent().width * 72 / each.figure.dpi))
            if log:
                style.dose_axis(each, np.exp(low), np.exp(high), log)
            at = np.linspace(low, high, 301)
            x = np.exp(at) if log else at
            prior_heights, heights = (
                density(draws, at, is_positive, smooth) for draws, smooth in zip(scaled, SMOOTH, strict=True)
            )
            each.fill_between(x, 0, heights, color=style.tint(0.35), linewidth=0, zorder=1, label="_area")
            each.plot(x, prior_heights, **PRIOR, zorder=3, label="_prior")
            each.plot(x, heights, **POSTERIOR, zorder=3, label="_posterior")
            each.set(xlim=x[[0, -1]], yticks=[])
            each.set_ylim(bottom=0)
            each.spines["left"].set_visible(False)
        if own:
            axes[0].figure.supylabel(words["Density"], fontsize=style.HOUSE["axes.labelsize"])
        handles = [
            Line2D([], [], **PRIOR, label=words["Prior"]),
            Patch(facecolor=style.tint(0.35), edgecolor=style.BLUE, linewidth=1.2, label=words["Posterior"]),
        ]
        style.legend([axes[-1]], own, handles, "", 2)
        if warning:
            style.warn_above(axes[0], words[warning], own)
    return axes


def density(draws: np.ndarray, at: np.ndarray, is_positive: bool = False, smooth: float = 1.0) -> np.ndarray:
    """Density (at,) of draws (draw,): Gaussian kernels of `smooth` times Silverman's robust bandwidth, reflected at zero if none can be
    below it (Silverman 1986, Density Estimation, sections 3.4.2 and 2.10)."""
    quartiles = np.quantile(draws, [0.25, 0.75])
    width = smooth * 0.9 * min(draws.std(), np.ptp(quartiles) / 1.34) * len(draws) ** -0.2
    near = draws[(draws > at[0] - 5 * width) & (draws < at[-1] + 5 * width)]
    points = np.concatenate([near, -near]) if is_positive else near
    return np.exp(-0.5 * ((at[:, None] - points) / width) ** 2).sum(axis=1) / (len(draws) * width * np.sqrt(2 * np.pi))


def _draws(prior, posterior, names) -> tuple[dict, dict]:
    """Draws (draw,) by panel, of the prior and of the posterior; every fault in one FigureError."""
    common = [name for name in posterior.data_vars if name in prior]
    names = common if names is None else list(names)
    if missing := [name for name in names if name not in common]:
        raise FigureError(f"prior or posterior lack {missing}; both have {common}")
    before, after = _by_panel(prior, names), _by_panel(posterior, names)
    if set(before) != set(after):
        raise FigureError(f"prior and posterior are of different groups: {sorted(set(before) ^ set(after))}")
    if faulty := [name for name in after if any(not np.isfinite(d[name]).all() or np.ptp(d[name]) == 0 for d in (before, after))]:
        raise FigureError(f"draws of parameters must be finite numbers that vary: {faulty}")
    if wrong := [name for name in after if _is_dose(name) and min(before[name].min(), after[name].min()) <= 0]:
        raise FigureError(f"doses are above zero, and draws of {wrong} are not")
    if not 0 < len(after) <= MOST:
        raise FigureError(f"{len(after)} parameters are drawn of 1 to {MOST}: choose some by names")
    return before, after


def _by_panel(draws, names: list[str]) -> dict[str, np.ndarray]:
    """Draws (draw,) of every parameter, or of every group of it."""
    found = {}
    for name in names:
        groups = [dim for dim in draws[name].dims if dim not in ("chain", "draw")]
        for levels in product(*(draws[name][dim].values for dim in groups)):
            key = f"{name}[{', '.join(map(str, levels))}]" if groups else name
            found[key] = draws[name].sel(dict(zip(groups, levels, strict=True))).values.ravel()
    return found


def _is_dose(name: str) -> bool:
    return any(name.partition("[")[0] in (f"{column}_{parameter}" for parameter in DOSE_LIKE) for column in COLUMNS)


def _label(name: str, unit: str | None) -> str:
    """frequency_hz_peak[acute] as "Frequency: peak, acute (Hz)"; what is no dose with the unit that is given."""
    parameter, _, level = name.partition("[")
    column = max((column for column in COLUMNS if parameter.startswith(f"{column}_")), key=len, default="")
    text, of = axis_label(column).partition(" (")[::2] if column else ("", "")
    if column:
        what = parameter.removeprefix(f"{column}_").replace("_", " ")
        unit = unit or ((of.rstrip(")") or COLUMNS[column].unit) if _is_dose(parameter) else None)
        text = f"{text}: {what}"
    else:
        text = parameter.replace("_", " ").capitalize()
    return text + (f", {level.rstrip(']')}" if level else "") + (f" ({unit})" if unit else "")


def _range(prior: np.ndarray, posterior: np.ndarray, is_positive: bool) -> tuple[float, float]:
    low, high = np.quantile(posterior, [0.001, 0.999])
    ends, span = np.quantile(prior, [0.01, 0.99]), high - low
    low, high = max(min(low, ends[0]), low - REACH * span), min(max(high, ends[1]), high + REACH * span)
    return (0.0 if is_positive and low < 0.3 * (high - low) else low), high


def _new_axes(count: int) -> np.ndarray:
    columns = min(count, COLUMNS_SHOWN)
    rows = -(-count // columns)
    size = (style.SINGLE if count == 1 else style.DOUBLE, HEIGHT * rows + 0.5)
    axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")[1].ravel()
    for ax in axes[count:]:
        ax.remove()
    return axes[:count]
