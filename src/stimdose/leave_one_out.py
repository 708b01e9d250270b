"""`leave_one_study_out`: how well a fit predicts each study from the others, and what the posterior is without it."""

from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr

from .arguments import checked
from .caveats import fit_warning
from .chains import convergence
from .errors import FitError, StimdoseError
from .importance import PARETO_K_MAX, smoothed_weights
from .left_out import log_predictive
from .posterior import draw_prior
from .predictor import grouped_parameters
from .rows import prepare
from .sampling import Fit, Request, batch

SAMPLED, REFITTED = "importance sampling", "refit"
"""How the elpd of a study was computed."""


@dataclass(frozen=True)
class LeaveOneOut:
    """How well a fit predicts each study from the others.

    table: one line per study: elpd, the log predictive density of its effects given the other studies; p_loo, how much higher that is
        given the study too; pareto_k; method ("importance sampling" or "refit"); rows.
    weights: (study, chain, draw), each study's sum to 1: with them the draws of the fit are those of the posterior without it, as far as its
        pareto_k allows. refits: by study, of those that were left out exactly. remarks: what a reader must know. warning: that the fit did not
        converge, or "".
    """

    table: pd.DataFrame
    weights: xr.DataArray
    refits: dict[str, Fit]
    remarks: tuple[str, ...]
    warning: str

    @property
    def elpd(self) -> float:
        """Sum of the elpd of all studies."""
        return float(self.table["elpd"].sum())

    @property
    def se(self) -> float:
        """Standard error of `elpd` over studies."""
        return float(np.sqrt(len(self.table)) * self.table["elpd"].std(ddof=1))

    @property
    def p_loo(self) -> float:
        """Effective number of parameters of the population; effects of studies are no parameters here."""
        return float(self.table["p_loo"].sum())

    @property
    def unreliable(self) -> pd.Index:
        """Studies whose pareto_k is above 0.7 and that were not refitted."""
        return self.table.index[(self.table["method"] == SAMPLED) & ~(self.table["pareto_k"] <= PARETO_K_MAX)]

    def elpd_data(self) -> Any:
        """The same as ELPDData of arviz, for `arviz.compare`; pareto_k of a refitted study is 0, as arviz has it."""
        from arviz_stats.utils import ELPDDataLOO

        by_study = lambda values: xr.DataArray(np.asarray(values), {"study": self.table.index.to_numpy()}, "study")
        is_refit = self.table["method"] == REFITTED
        return ELPDDataLOO(
            elpd=self.elpd,
            se=self.se,
            p=self.p_loo,
            n_samples=self.weights.sizes["chain"] * self.weights.sizes["draw"],
            n_data_points=len(self.table),
            scale="log",
            warning=len(self.unreliable) > 0,
            good_k=PARETO_K_MAX,
            elpd_i=by_study(self.table["elpd"]),
            pareto_k=by_study(self.table["pareto_k"].mask(is_refit, 0.0)),
        )


@checked
def leave_one_study_out(
    fit: Fit,
    exact: Literal["auto"] | bool = "auto",
    *,
    folder: str | Path | None = None,
    executor: Executor | None = None,
    progress: bool = False,
) -> LeaveOneOut:
    """Predict every study from the others.

    Per draw of what is sampled, the density of a study given the others is exact (`left_out`): coefficients, deviations of groups and study
    effects are integrated out, and so is what is unknown in that study alone, as a dose of which it prints an interval (one such number by
    quadrature, several by 128 quasi-random points). Draws are then weighted by Pareto-smoothed importance sampling (Vehtari et al. 2017,
    Stat Comput 27:1413; of `arviz_stats`).

    exact: "auto" refits without each study whose Pareto k is above 0.7, True without every study, False never. folder, executor, progress: of
    these refits, as in `batch`. What a study prints of doses and standard deviations still informs those that others do not
    print; only a refit leaves that out too.

    Raises StimdoseError for a fit of a single study, BatchError if refits failed.
    """
    if exact not in ("auto", True, False):
        raise FitError(f'exact is "auto", True or False, not {exact!r}')
    names = [str(study) for study in fit.rows.studies]
    if len(names) < 2:
        raise StimdoseError(f"there is no study but {names[0]}: nothing would be left to predict it from")
    without, within = log_predictive(fit.model, fit.rows, fit.values())
    log_weights, pareto_k = _smoothed(fit, without)
    elpd = np.logaddexp.reduce(log_weights + without)
    high = ~(pareto_k <= PARETO_K_MAX)  # NaN too
    wanted = np.flatnonzero({"auto": high, True: np.ones(len(names), bool), False: np.zeros(len(names), bool)}[exact])
    requests, refused = _requests(fit, wanted)
    found = batch(requests.values(), folder=folder, executor=executor, progress=progress) if requests else []
    refits = dict(zip(requests, found, strict=True))
    for s, refit in refits.items():
        density, _ = log_predictive(fit.model, fit.rows, on_all_rows(fit, refit, np.random.default_rng(s)), [s])
        elpd[s] = np.logaddexp.reduce(density[:, 0]) - np.log(len(density))
    table = pd.DataFrame(
        {
            "elpd": elpd,
            "p_loo": np.logaddexp.reduce(within) - np.log(len(within)) - elpd,
            "pareto_k": pareto_k,
            "method": [REFITTED if s in refits else SAMPLED for s in range(len(names))],
            "rows": np.diff(fit.rows.start),
        },
        index=pd.Index(names, name="study"),
    )
    posterior = fit.tree["posterior"]
    shape = posterior.sizes["chain"], posterior.sizes["draw"]
    coords = {"study": names, "chain": posterior["chain"].values, "draw": posterior["draw"].values}
    weights = xr.DataArray(np.exp(log_weights).T.reshape(-1, *shape), coords, ("study", "chain", "draw"))
    by_name = {names[s]: refit for s, refit in refits.items()}
    return LeaveOneOut(table, weights, by_name, tuple(_remarks(table, by_name) + refused), fit_warning(fit))


def _smoothed(fit: Fit, log_density: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Normalised log weights (draws, studies) that leave studies out, and Pareto k (studies,)."""
    chains = fit.tree["posterior"].sizes["chain"]
    ess = convergence(log_density.T.reshape(log_density.shape[1], chains, -1))["ess_bulk"]
    shares = np.nan_to_num(ess / len(log_density), nan=1.0)
    log_weights, pareto_k = zip(*map(smoothed_weights, -log_density.T, shares), strict=True)
    return np.column_stack(log_weights), np.array(pareto_k)


def _requests(fit: Fit, studies: np.ndarray) -> tuple[dict[int, Request], list[str]]:
    """Refits by the number of the study that is left out, moderators on the scale of all studies; and which cannot be made."""
    scales = fit.rows.scales
    moderators = tuple(
        part.model_copy(update=dict(zip(("center", "per"), scales[part.column], strict=True))) if part.column in scales else part
        for part in fit.model.moderator
    )
    model, found, refused = fit.model.replace(moderator=moderators), {}, []
    for s in studies:
        name = fit.rows.studies[s]
        request = fit.request(trials=fit.trials.without_study(name), seed=int(s))
        try:
            prepare(model, request.trials, request.settings["missing"], tuple(request.settings["allow_mixed"]))
        except StimdoseError as error:
            refused.append(f"{name}: the model cannot be fitted without it, so its elpd is only approximate ({error})")
        else:
            found[int(s)] = replace(request, model=model)
    return found, refused


def on_all_rows(fit: Fit, refit: Fit, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draws (draws, ...) of a refit without a study, in the shape of those of the fit. What a refit does not know, because only that study has
    it, comes from its prior: a group, a level of heterogeneity, an unknown dose."""
    posterior, prior = refit.tree["posterior"].to_dataset(), fit.tree["prior"].to_dataset()
    draws = posterior.sizes["chain"] * posterior.sizes["draw"]
    found = draw_prior(fit.model, fit.rows, draws, rng)
    for name in found:
        if name in posterior:
            dims = posterior[name].dims[2:]
            own = posterior[name].reindex({dim: prior[dim] for dim in dims}).to_numpy()
            own = own.reshape(draws, *own.shape[2:])
            found[name] = np.where(np.isnan(own), found[name], own)
    for grouped in grouped_parameters(fit.model):  # a group that the refit lacks is one of the refit's population
        if grouped.is_factor:
            levels = [level in refit.rows.levels[grouped.group] for level in fit.rows.levels[grouped.group]]
            factor = np.exp(found[grouped.spread][:, None] * rng.standard_normal((draws, len(levels))))
            found[grouped.variable] = np.where(levels, found[grouped.variable], found[grouped.name][:, None] * factor)
    return found


def _remarks(table: pd.DataFrame, refits: dict[str, Fit]) -> list[str]:
    high = ~(table["pareto_k"] <= PARETO_K_MAX)
    named = lambda which: ", ".join(f"{study} ({k:.2f})" for study, k in table.loc[which, "pareto_k"].items())
    found, is_refit = [], table["method"] == REFITTED
    if (high & is_refit).any():
        found.append(f"Pareto k is above {PARETO_K_MAX} for {named(high & is_refit)}: the model was fitted again without each")
    if (high & ~is_refit).any():
        found.append(
            f"Pareto k is above {PARETO_K_MAX} for {named(high & ~is_refit)}, which weigh so much that leaving them out was only approximated: "
            'their elpd may be off (exact="auto" fits again without each)'
        )
    lost = [study for study, refit in refits.items() if not refit.diagnosis.converged]
    return found + ([f"The fits without {', '.join(lost)} did not converge: their elpd is not to be trusted"] if lost else [])
