"""Did the sampler converge? For the parameters, and for every optimum derived from them."""

import itertools
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from .chains import convergence

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
    labels, draws = elements(quantities)
    table = pd.DataFrame(convergence(draws), labels)
    table[~np.isfinite(draws.sum(axis=(1, 2)))] = [np.inf, 0.0, 0.0]
    is_constant = draws.max(axis=(1, 2)) == draws.min(axis=(1, 2))
    return Diagnosis(table[~is_constant], divergences, quantities.sizes["chain"] * quantities.sizes["draw"])


def r_hats(draws: xr.DataArray) -> np.ndarray:
    """R-hat of every element of draws (chain, draw, elements), NaN where they are constant."""
    values = np.moveaxis(draws.values, -1, 0)
    return np.where(values.std(axis=(1, 2)) > 1e-9 * values.mean(axis=(1, 2)), convergence(values)["r_hat"], np.nan)


def elements(dataset: xr.Dataset) -> tuple[list[str], np.ndarray]:
    """The scalars of a dataset, labelled name[level], and their draws (scalars, chain, draw)."""
    shape, labels = (dataset.sizes["chain"], dataset.sizes["draw"]), []
    parts = [np.empty((0, *shape))]
    for name, values in dataset.items():
        values = values.transpose(..., "chain", "draw")
        levels = [dataset[dim].values for dim in values.dims[:-2]]  # their numbers where a dimension has no labels
        labels += [f"{name}[{', '.join(map(str, level))}]" if level else str(name) for level in itertools.product(*levels)]
        parts.append(values.values.reshape(-1, *shape))
    return labels, np.concatenate(parts)
