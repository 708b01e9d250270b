"""Did the sampler converge? For the parameters, and for every optimum derived from them."""

import warnings
from dataclasses import dataclass

import arviz as az
import numpy as np
import pandas as pd
import xarray as xr

RHAT_MAX = 1.01
ESS_MIN = 400


@dataclass(frozen=True)
class Diagnosis:
    """Convergence of a fit.

    table: R-hat and effective sample sizes by quantity. divergences: their number after tuning. failing: quantities with R-hat
        > 1.01 or ESS < 400 (Vehtari et al. 2021).
    """

    table: pd.DataFrame
    divergences: int
    draws: int

    @property
    def failing(self) -> tuple[str, ...]:
        bad = (self.table["r_hat"] > RHAT_MAX) | (self.table[["ess_bulk", "ess_tail"]].min(axis=1) < ESS_MIN)
        return tuple(self.table.index[bad])

    @property
    def converged(self) -> bool:
        return not self.failing

    @property
    def message(self) -> str:
        """The verdict in words, with the remedy where there is one."""
        worst = self.table["r_hat"].max()
        ess = self.table[["ess_bulk", "ess_tail"]].min(axis=1).min()
        divergent = f" {self.divergences} of {self.draws} draws diverged." if self.divergences else ""
        if self.converged:
            return f"converged: R-hat at most {worst:.3f}, effective sample size at least {ess:.0f}.{divergent}"
        names = ", ".join(self.failing[:4]) + (" and others" if len(self.failing) > 4 else "")
        return (
            f"did not converge: {names} (R-hat up to {worst:.3f}, effective sample size down to {ess:.0f}).{divergent} "
            "Sample longer (draws=4000, tune=2000), or with target_accept=0.99; if that does not help, the table cannot tell these parameters "
            "apart: use a simpler shape or a tighter prior"
        )


def diagnose(quantities: xr.Dataset, divergences: int) -> Diagnosis:
    """Diagnose draws (chain, draw, ...) of some quantities. Constant ones (an optimum always at one edge) pass, NaN fails."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=RuntimeWarning)  # of constant quantities
        found = {
            "r_hat": az.rhat(quantities),
            "ess_bulk": az.ess(quantities, method="bulk"),
            "ess_tail": az.ess(quantities, method="tail"),
        }
    over = ("chain", "draw")
    table = pd.DataFrame({name: _flat(values) for name, values in found.items()}, columns=list(found))
    constant = pd.Series(_flat(quantities.max(over, skipna=False) == quantities.min(over, skipna=False)), dtype=bool)
    broken = ~np.isfinite(pd.Series(_flat(quantities.sum(over, skipna=False)), dtype=float))
    table.loc[broken] = [np.inf, 0.0, 0.0]
    return Diagnosis(table[~constant], divergences, quantities.sizes["chain"] * quantities.sizes["draw"])


def r_hats(draws: xr.DataArray) -> np.ndarray:
    """R-hat of every element of draws (chain, draw, elements), NaN where they are constant."""
    with np.errstate(invalid="ignore"):
        return np.where(draws.std(("chain", "draw")) > 1e-9 * draws.mean(("chain", "draw")), az.rhat(draws), np.nan)


def _flat(dataset: xr.Dataset) -> dict[str, float]:
    """One number per element, labelled name[level]."""
    flat = {}
    for name, values in dataset.items():
        for index in np.ndindex(values.shape):
            label = ", ".join(
                str(values[dim].values[k]) if dim in values.coords else str(k) for dim, k in zip(values.dims, index, strict=True)
            )
            flat[f"{name}[{label}]" if label else str(name)] = float(values.values[index])
    return flat
