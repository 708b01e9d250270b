"""What fits say of the estimand, side by side: the best dose with its verdict, and the effect at reference doses."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import xarray as xr

from .chains import convergence
from .curves import curve
from .errors import StimdoseError
from .grid import observed_range, usual_dose
from .optima import Optimum, optimum
from .sampling import Fit

Z = 1.959964
SIZE = 201
"""Doses of each curve; the best dose is refined between them."""
SHARES = (0.1, 0.9)
"""Reference doses are these quantiles of the doses in the table, and the usual dose between them."""


@dataclass(frozen=True)
class Estimand:
    """What one fit says of one dose.

    optimum: the best dose as a posterior, with its verdict. at_doses: draws of the mean effect (chain, draw, dose[, group]) at the
        reference doses, effect units.
    """

    optimum: Optimum
    at_doses: xr.DataArray

    @property
    def curves(self) -> xr.DataArray:
        """Draws of the curve (chain, draw, dose[, group])."""
        return self.optimum.curves

    @property
    def is_log(self) -> bool:
        """Whether changes of the best dose are of its logarithm."""
        return float(self.curves[self.optimum.column].min()) > 0

    @cached_property
    def log_best(self) -> xr.DataArray:
        """Draws of the logarithm of the best dose; of the dose itself where the range starts at 0."""
        return self.optimum.dose.copy(data=np.log(self.optimum.dose)) if self.is_log else self.optimum.dose


def reference_doses(fit: Fit, column: str) -> np.ndarray:
    """Doses (3 or fewer,) at which effects are compared: the 10 % and 90 % quantiles of the doses in the table, and the usual dose."""
    printed = fit.rows.table[column].to_numpy(float)
    printed = printed[np.isfinite(printed)]
    ends = np.quantile(printed, SHARES) if len(printed) else observed_range(fit.rows, column)
    return np.unique([*ends, np.clip(usual_dose(fit.rows, column), *ends)])


def estimands(
    fit: Fit, doses: Mapping[str, np.ndarray], *, delta: float | None = None, at: Mapping | None = None
) -> dict[str, Estimand]:
    """What a fit says of each dose that it has, by the groups that its tables show. doses: the reference doses by column; at: what else is
    held, as of `curve`."""
    found = {}
    for column in (dose.column for dose in fit.model.doses if dose.column in doses):
        by = fit.model.shown_by(column)
        at_doses = curve(fit, column, by=by, grid=np.asarray(doses[column], float), at=at)
        found[column] = Estimand(optimum(fit, column, by=by, delta=delta, size=SIZE, at=at), at_doses)
    return found


def doses_of(fits: Mapping[str, Fit], stated: Mapping | None = None) -> dict[str, np.ndarray]:
    """Reference doses by column, of all doses that any fit has: those that are stated, else of the first fit that has the dose.

    Raises StimdoseError for doses that no fit has.
    """
    found = {}
    for fit in fits.values():
        for dose in fit.model.doses:
            if dose.column not in found:
                found[dose.column] = reference_doses(fit, dose.column)
    stated = dict(stated or {})
    if unknown := [name for name in stated if name not in found]:
        raise StimdoseError(f"no model has a dose {unknown[0]!r}; there are {', '.join(found) or 'none'}")
    return found | {name: np.atleast_1d(values) for name, values in stated.items()}


def best_table(of: Mapping[str, dict[str, Estimand]], label: str, prob: float = 0.95) -> pd.DataFrame:
    """The verdict on the best dose and its posterior: one line per fit, dose and group; `label` names what the fits differ in."""
    shown = ["verdict", "best_dose", "low", "high", "effect_at_best", "effect_low", "effect_high"]
    records = [
        {label: name, "dose": column, "group": group, **line}
        for name, own in of.items()
        for column, estimand in own.items()
        for group, line in estimand.optimum.table(prob)[shown].iterrows()
    ]
    return pd.DataFrame(records, columns=[label, "dose", "group", *shown]).set_index([label, "dose", "group"])


def effects_table(of: Mapping[str, dict[str, Estimand]], label: str, prob: float = 0.95) -> pd.DataFrame:
    """The mean effect at the reference doses with its equal-tailed interval: one line per fit, dose, group and reference dose."""
    records = []
    for name, own in of.items():
        for column, estimand in own.items():
            for group, draws in by_group(estimand.at_doses):
                for at in draws[column].values:
                    values = draws.sel({column: at}).values.ravel()
                    low, high = np.quantile(values, [(1 - prob) / 2, (1 + prob) / 2])
                    records.append((name, column, group, float(at), values.mean(), low, high, values.std()))
    names = [label, "dose", "group", "at", "effect", "low", "high", "sd"]
    return pd.DataFrame(records, columns=names).set_index(names[:4])


def change_table(of: Mapping[str, dict[str, Estimand]], reference: str, label: str) -> pd.DataFrame:
    """How far the posterior mean of each quantity is from that of the reference: one line per fit, dose, group and quantity.

    Quantities: "log best dose" ("best dose" where the range starts at 0), and "effect at <dose>". change, with low and high: its 95 %
    interval given the Monte Carlo error of both fits, which is the only error it has; in_sd: the change in posterior standard deviations
    of the reference (infinite where those do not vary, as of a best dose that is always at the end of the range).
    """
    records = []
    for name, own in of.items():
        for column, estimand in own.items():
            base = of[reference][column]
            best = "log best dose" if base.is_log else "best dose"
            quantities = [(*pair, best) for pair in _pairs(estimand.log_best, base.log_best)]
            for at in base.at_doses[column].values:
                cut = (each.at_doses.sel({column: at}) for each in (estimand, base))
                quantities += [(*pair, f"effect at {at:g}") for pair in _pairs(*cut)]
            for group, draws, before, quantity in quantities:
                change = draws.mean() - before.mean()
                is_same = np.array_equal(draws, before)
                error = 0.0 if is_same else np.hypot(monte_carlo_error(draws), monte_carlo_error(before))
                records.append(
                    (name, column, group, quantity, change, change - Z * error, change + Z * error, in_sd(draws, before))
                )
    names = [label, "dose", "group", "quantity", "change", "low", "high", "in_sd"]
    return pd.DataFrame(records, columns=names).set_index(names[:4])


def in_sd(draws: np.ndarray, before: np.ndarray) -> float:
    """The change of the mean in standard deviations of the draws before; infinite where these do not vary and the mean does."""
    change, scale = draws.mean() - before.mean(), before.std()
    rounding = 1e-9 * max(1.0, abs(before.mean()))
    if abs(change) <= rounding:
        return 0.0
    return float(change / scale if scale > rounding else np.copysign(np.inf, change))


def by_group(draws: xr.DataArray) -> list[tuple[str, xr.DataArray]]:
    """Draws of each group with its name; all of them under "" where there are no groups."""
    group = next((dim for dim in draws.dims if dim not in ("chain", "draw", draws.attrs.get("dose"))), None)
    return [("", draws)] if group is None else [(str(name), draws.sel({group: name})) for name in draws[group].values]


def _pairs(draws: xr.DataArray, base: xr.DataArray) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Draws (chain, draw) of two fits by group."""
    both = zip(by_group(draws), by_group(base), strict=True)
    return [
        (group, own.transpose("chain", "draw").values, other.transpose("chain", "draw").values)
        for (group, own), (_, other) in both
    ]


def monte_carlo_error(draws: np.ndarray) -> float:
    """Standard error of the mean of draws (chain, draw)."""
    if np.ptp(draws) == 0:
        return 0.0
    return float(draws.std(ddof=1) / np.sqrt(convergence(draws[None])["ess_bulk"][0]))
