"""What follows from draws of dose-response curves: best doses, effective doses, probabilities and losses by dose.

All functions take draws (chain, draw, dose[, group]), as `curve` gives them, whose attribute `dose` names the dose.
"""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from .arguments import checked
from .diagnosis import Diagnosis, diagnose
from .grid import best_dose

DRAWS = ("chain", "draw")


def group_of(curves: xr.DataArray) -> str | None:
    """The group dimension of curves, or of what is derived from them; None where there is none."""
    return next((str(dim) for dim in curves.dims if dim not in (*DRAWS, curves.attrs.get("dose"))), None)


@checked
def interval(draws: xr.DataArray, prob: float) -> xr.DataArray:
    """Equal-tailed interval of draws (chain, draw[, group]), dimension `bound` (low, high)."""
    found = draws.quantile([(1 - prob) / 2, (1 + prob) / 2], DRAWS).rename(quantile="bound")
    return found.assign_coords(bound=["low", "high"]).assign_attrs(prob=prob)


def best_of(curves: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    """The best dose of every curve and the effect there (chain, draw[, group])."""
    column, by = curves.attrs["dose"], group_of(curves)
    curves = curves.transpose(*DRAWS, column, *([by] if by else []))
    stacked = curves.values.reshape(curves.sizes["chain"] * curves.sizes["draw"], curves.sizes[column], -1)
    like = curves.isel({column: 0}, drop=True)
    dose, value = (like.copy(data=found.reshape(like.shape)) for found in best_dose(curves[column].values, stacked))
    return dose, value


def near_best(curves: xr.DataArray, delta: float) -> xr.DataArray:
    """P(the effect at a dose is within delta of the best), by dose."""
    return (curves >= curves.max(curves.attrs["dose"]) - delta).mean(DRAWS).assign_attrs(delta=delta)


@checked
def effective_dose(curves: xr.DataArray, share: float) -> xr.DataArray:
    """Lowest dose that reaches `share` of the gain from the low end of the range to the best dose; NaN in draws without any
    gain, because their best dose is the low end."""
    column = curves.attrs["dose"]
    first, best = curves.isel({column: 0}, drop=True), curves.max(column)
    level: Any = np.minimum(first + share * (best - first), best)  # a DataArray, as these are
    return first_dose_reaching(curves, level).where(best > first)


def first_dose_reaching(curves: xr.DataArray, level: xr.DataArray | float) -> xr.DataArray:
    """Lowest dose with an effect of at least `level`, linear between the doses of the curves; NaN in draws where none has."""
    column = curves.attrs["dose"]
    level = level + xr.zeros_like(curves.isel({column: 0}, drop=True))
    y = curves.transpose(*level.dims, column).values
    x, target = curves[column].values, level.values
    reached = y >= target[..., None]
    k = reached.argmax(-1)
    before = np.maximum(k - 1, 0)
    y0, y1 = (np.take_along_axis(y, i[..., None], -1)[..., 0] for i in (before, k))
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(k > 0, (target - y0) / (y1 - y0), 0.0)
    return level.copy(data=np.where(reached.any(-1), x[before] + share * (x[k] - x[before]), np.nan))


@checked
def net_of(curves: xr.DataArray, cost: float) -> xr.DataArray:
    """Net benefit: the effect less `cost` (effect units per unit of dose) times the dose."""
    dose = curves.attrs["dose"]
    label = f"{curves.attrs.get('effect_label', 'effect')}, less {cost_in_words(curves, cost)}"
    net = (curves - cost * curves[dose]).transpose(*curves.dims)
    return net.assign_attrs(curves.attrs | {"cost": cost, "effect_label": label})


def cost_in_words(curves: xr.DataArray, cost: float) -> str:
    """0.01 per minute."""
    return f"{cost:g} per {(curves.attrs.get('unit') or curves.attrs['dose']).removesuffix('s')}"


def expected_loss(curves: xr.DataArray) -> xr.DataArray:
    """What choosing a dose is expected to forgo: E[effect of the best dose - effect of this one], by dose."""
    return (curves.max(curves.attrs["dose"]) - curves).mean(DRAWS)


def diagnosed(quantities: xr.Dataset, divergences: int) -> Diagnosis:
    """R-hat and ESS of derived quantities (chain, draw[, group]), labelled name[group].

    A quantity that some draws lack (no dose reaches the benefit) is judged in two lines: whether it exists, `name[group] exists`, and its
    values in the draws that have it, as many of every chain; these only if most draws have it, or they stand for little.
    """
    parts = {}
    for name, draws in quantities.items():
        by = group_of(draws)
        for group in draws[by].values if by else [None]:
            label, values = (f"{name}[{group}]", draws.sel({by: group})) if by else (str(name), draws)
            values = values.transpose(*DRAWS).values
            exists = np.isfinite(values)
            if not exists.all():
                parts[f"{label} exists"] = exists.astype(float)
                shortest = exists.sum(axis=1).min()
                values = np.stack([chain[there][:shortest] for chain, there in zip(values, exists, strict=True)])
            if exists.mean() >= 0.5 and values.size:
                parts[label] = values
    tables = [diagnose(xr.Dataset({label: (DRAWS, values)}), divergences).table for label, values in parts.items()]
    return Diagnosis(pd.concat(tables), divergences, quantities.sizes["chain"] * quantities.sizes["draw"])
