"""design: what one more trial would add to the answer on the best dose."""

from collections.abc import Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import xarray as xr

from . import effects
from .caveats import fit_warning
from .curves import curve
from .derived import best_of
from .dose_space import confounders
from .doses import short
from .errors import StimdoseError, nearest
from .grid import NewStudy, base_levels, curve_draws, held_values, observed_range
from .heterogeneity import study_size
from .importance import PARETO_K_MAX, smoothed_weights, systematic
from .optima import default_delta, optimum
from .sampling import Fit, batch
from .settings import checked_seed
from .trials import Trials
from .verdicts import judge

RESAMPLED = 1000
"""Draws of which the verdict on a reweighted posterior is given."""
GRID = 201
NEW = "new trial (simulated)"

Method = Literal["auto", "reweight", "refit"]


@dataclass(frozen=True)
class Design:
    """What one more trial is expected to add to the best dose.

    table: one line per candidate. dose, n (people per arm; NaN where se was stated), se of its effect; width, the expected width of the
        equal-tailed interval of the best dose (dose units), its ratio to `present_width` (NaN if that is 0), and ratio_error, the
        Monte Carlo standard error of that; p_identified, the probability that the verdict is then "identified", and p_error, its
        standard error; reweighted and refitted, the shares of simulations by method; pareto_k, the largest among those that were
        reweighted; unconverged, the number of refits that did not converge, which are kept in.
    simulations: Dataset (candidate, simulation) of effect (of the new trial), mean and sd (of the logarithm of the best dose), width,
        identified, pareto_k and refitted.
    present_verdict, present_width: without a new trial. held: what the new trial and the best dose are of, besides the dose. prob: of
        the interval. fit_warning: set if the fit did not converge. remarks: what a reader must know.
    """

    table: pd.DataFrame
    simulations: xr.Dataset
    present_verdict: str
    present_width: float
    held: dict
    prob: float
    seed: int
    fit_warning: str
    remarks: tuple[str, ...]

    @property
    def explanation(self) -> str:
        """The present verdict, what each candidate would make of it, and remarks."""
        lines = [self.fit_warning] * bool(self.fit_warning)
        lines.append(f"Now: {self.present_verdict}; the interval of the best dose is {short(self.present_width)} wide.")
        for line in self.table.itertuples():
            size = f"se {short(line.se)}" if np.isnan(line.n) else f"{line.n:.0f} people in each arm"
            change = "" if np.isnan(line.ratio) else f", {line.ratio:.2f} (se {line.ratio_error:.2f}) times what it is"
            lines.append(
                f"One trial at {short(line.dose)} ({size}): expected width {short(line.width)}{change}; "
                f"identified with probability {line.p_identified:.2f}."
            )
        return "\n".join([*lines, *(remark if remark.endswith(".") else f"{remark}." for remark in self.remarks)])


def design(
    fit: Fit,
    column: str,
    doses: float | Iterable[float],
    *,
    n: int | Iterable[int] | None = None,
    se: float | Iterable[float] | None = None,
    at: Mapping | None = None,
    over: tuple[float, float] | None = None,
    delta: float | None = None,
    prob: float = 0.95,
    simulations: int = 200,
    method: Method = "auto",
    seed: int | None = None,
    folder: str | Path | None = None,
    executor: Executor | None = None,
) -> Design:
    """Simulate one new trial at each dose, and see what the best dose would then be known to be.

    The effect of a new study is drawn at that dose given a draw of the posterior, with sampling error; the posterior is updated with
    it, and the interval and the verdict of the best dose are taken again. Candidates share their random numbers, so that differences between
    them are known better than each.

    doses: candidates (dose units), combined with each n or se. n: people per arm of a standardised mean difference, whose variance is
        2/n + d^2/(4n) at the mean effect d there; for other measures state se, the standard error of the new effect.
    at: what the new trial, and the best dose that is asked about, are of: a level of every grouping of the model must be named; other doses
        and moderators are the usual ones if not named. over, delta: as of `optimum`; the range reaches at least to every candidate.
    method: "reweight" gives draws of the fit weights by what they say of the new effect (Pareto-smoothed); "refit" fits again; "auto" fits
        again only where the Pareto k of the weights is above 0.7. folder, executor: for refits, as of `batch`.

    Raises StimdoseError with all that is wrong with what was asked.
    """
    candidates, at = _checked(fit, column, doses, n, se, at, prob, simulations, method), dict(at or {})
    seed, delta = checked_seed(seed), default_delta(fit.model, fit.trials) if delta is None else delta
    held = held_values(fit.model, fit.rows, column, None, at)
    low, high = over or observed_range(fit.rows, column)
    over = (min(low, candidates["dose"].min()), max(high, candidates["dose"].max()))
    now = optimum(fit, column, at=at, over=over, delta=delta, size=GRID)
    groups = [group for group in ("posterior", "freed") if group in fit.tree]
    curves = {group: curve(fit, column, at=at, over=over, size=GRID, group=group) for group in ("prior", *groups)}
    best, present = (
        best_of(curves["posterior"])[0].values.ravel(),
        _spread_of(now.draws["best_dose"].values.ravel(), None, prob)["width"],
    )
    rivals, rng = confounders(fit, column), np.random.default_rng([seed, 7])
    picked, error = rng.integers(len(best), size=simulations), rng.standard_normal(simulations)
    found = {
        name: np.full((len(candidates), simulations), np.nan)
        for name in ("effect", "mean", "sd", "width", "identified", "pareto_k")
    }
    found["refitted"] = np.zeros((len(candidates), simulations), bool)
    requests, unconverged = {}, np.zeros(len(candidates), int)
    for c, (dose, _, stated_se) in enumerate(candidates[["dose", "n", "se"]].itertuples(index=False)):
        new = {group: _new_study(fit, group, column, dose, held) for group in groups}
        if np.isnan(stated_se):
            people = candidates.loc[c, "n"]
            stated_se = candidates.loc[c, "se"] = np.sqrt(effects.smd_variance(new["posterior"][0].mean(), people, people))
        mean, variance = new["posterior"]
        found["effect"][c] = mean[picked] + np.sqrt(variance[picked] + stated_se**2) * error
        weights, k = zip(*(_weights(*new[group], found["effect"][c], stated_se) for group in groups), strict=True)
        found["pareto_k"][c] = np.max(k, axis=0)
        seen = [min(now.curves.attrs["observed"][0], dose), max(now.curves.attrs["observed"][1], dose)]
        for s in range(simulations):
            if method == "refit" or (method == "auto" and not found["pareto_k"][c, s] <= PARETO_K_MAX):
                trials = _with_trial(fit, {column: dose} | held, found["effect"][c, s], stated_se)
                requests[c, s] = fit.request(trials=trials, seed=seed + s)
                continue
            for name, value in _spread_of(best, weights[0][s], prob).items():
                found[name][c, s] = value
            drawn = [
                _resampled(curves[group], own[s]).assign_attrs(observed=seen) for group, own in zip(groups, weights, strict=True)
            ]
            verdicts, _ = judge(drawn[0], delta, curves["prior"], drawn[1] if len(drawn) > 1 else None, rivals)
            found["identified"][c, s] = verdicts[""] == "identified"
    for (c, s), refit in zip(requests, batch(requests.values(), folder=folder, executor=executor, progress=False), strict=True):
        then = optimum(refit, column, at=at, over=over, delta=delta, size=GRID)
        for name, value in _spread_of(then.draws["best_dose"].values.ravel(), None, prob).items():
            found[name][c, s] = value
        found["identified"][c, s], found["refitted"][c, s] = then.verdict == "identified", True
        found["pareto_k"][c, s] = np.nan
        unconverged[c] += not refit.diagnosis.converged
    table = _summary(candidates, found, present).assign(unconverged=unconverged)
    parts = {name: (("candidate", "simulation"), values) for name, values in found.items()}
    return Design(table, xr.Dataset(parts), now.verdict, present, held, prob, seed, fit_warning(fit), tuple(now.remarks))


def _checked(fit: Fit, column: str, doses, n, se, at, prob: float, simulations: int, method: str) -> pd.DataFrame:
    """The candidates: dose, n, se (NaN where it follows from n). Raises StimdoseError with all that is wrong."""
    faults: list[str] = []
    if (n is None) == (se is None):
        faults.append("state either n, the people per arm, or se, the standard error of the new effect")
    if n is not None and fit.trials.measure != "SMD":
        faults.append(
            f"n tells the error of standardised mean differences only, and the effects are {fit.trials.measure}: state se"
        )
    lists = {"doses": doses, "n" if se is None else "se": n if se is None else se}
    for name, given in lists.items():
        lists[name] = values = [given] if isinstance(given, Real) else list(given) if isinstance(given, Iterable) else [given]
        lowest = 2 if name == "n" else 0
        if not values or not all(
            isinstance(v, Real) and lowest <= float(v) < np.inf and (float(v) > 0 or name == "doses") for v in values
        ):
            faults.append(f"{name}: one or more {'whole numbers from 2' if name == 'n' else 'numbers above 0'}, not {given!r}")
    if fit.model.selection:
        faults.append("a new trial would be published or not, which no fit with selection tells: fit the model without it")
    if fit.rows.scores:
        faults.append(
            "a new trial would report a mean, which an ordinal fit does not predict: fit the model with likelihood = 'normal'"
        )
    known = base_levels(fit.rows)
    if unnamed := [f"{name} ({', '.join(fit.rows.levels[name])})" for name in known if name not in (at or {})]:
        faults.append(f"a new trial is of one group: name in `at` a level of {'; '.join(unnamed)}")
    if not 0 < prob < 1:
        faults.append(f"prob lies between 0 and 1, not {prob!r}")
    if not (isinstance(simulations, int) and simulations >= 2):
        faults.append(f"simulations are a whole number from 2, not {simulations!r}")
    if method not in ("auto", "reweight", "refit"):
        faults.append(
            f"method is 'auto', 'reweight' or 'refit', not {method!r}{nearest(str(method), ('auto', 'reweight', 'refit'))}"
        )
    if faults:
        raise StimdoseError("\n  - ".join(["this design cannot be judged:", *faults]))
    pairs = [(float(dose), float(size)) for dose in lists["doses"] for size in lists["n" if se is None else "se"]]
    found = pd.DataFrame(pairs, columns=["dose", "n" if se is None else "se"])
    return found.reindex(columns=["dose", "n", "se"])


def _new_study(fit: Fit, group: str, column: str, dose: float, held: dict) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance (draws,) of the true effects of new studies at a dose."""
    model, rows, values = fit.group_model(group), fit.rows, fit.values(group)

    def at_dose(new_study: NewStudy | None = None) -> np.ndarray:
        return curve_draws(model, rows, values, column, np.array([dose]), None, held, new_study)[:, 0, 0]

    mean = at_dose()
    away = np.eye(1 + study_size(model, rows))[..., None, None]  # one standard deviation in one of its effects
    return mean, sum((at_dose(NewStudy(one, seed=0)) - mean) ** 2 for one in away)


def _weights(mean: np.ndarray, variance: np.ndarray, effect: np.ndarray, se: float) -> tuple[np.ndarray, np.ndarray]:
    """Weights (simulations, draws) of draws given the effect of one more study, N(mean, variance + se^2), smoothed, and their Pareto
    k (simulations,)."""
    total = variance + se**2
    log_density = -0.5 * ((effect[:, None] - mean) ** 2 / total + np.log(total))
    log_weights, k = zip(*map(smoothed_weights, log_density), strict=True)
    return np.exp(log_weights), np.array(k)


def _spread_of(draws: np.ndarray, weights: np.ndarray | None, prob: float) -> dict[str, float]:
    """Mean and standard deviation of the logarithm of draws, and the width of their equal-tailed interval."""
    low, high = np.quantile(draws, [(1 - prob) / 2, (1 + prob) / 2], weights=weights, method="inverted_cdf")
    with np.errstate(divide="ignore"):
        logs = np.log(draws)
    mean = np.average(logs, weights=weights)
    return {"mean": mean, "sd": np.sqrt(np.average((logs - mean) ** 2, weights=weights)), "width": float(high - low)}


def _resampled(curves: xr.DataArray, weights: np.ndarray) -> xr.DataArray:
    """Curves (chain, draw, dose) by weight (chains x draws,), as one chain; systematic, so that nothing is left to chance."""
    column = curves.attrs["dose"]
    values = curves.transpose("chain", "draw", column).values.reshape(-1, curves.sizes[column])
    picked = values[systematic(weights, RESAMPLED)]
    return xr.DataArray(picked[None], {column: curves[column].values}, ("chain", "draw", column), attrs=curves.attrs)


def _with_trial(fit: Fit, named: dict, effect: float, se: float) -> Trials:
    """The trials of a fit and one more, which is like the first in everything that is not named."""
    table = fit.trials.table
    new = table.iloc[[0]].copy()
    sign = -1.0 if new["direction"].iloc[0] == "lower" else 1.0
    cells = named | {"study": NEW, "row": NEW, "effect": effect, "effect_reported": sign * effect}
    cells |= {"variance": se**2, "variance_reported": se**2}
    cells |= {name: np.nan for dose in fit.model.doses for name in (f"{dose.column}_low", f"{dose.column}_high")}
    cells |= dict.fromkeys(("sample", "control_group", "lacks"))
    for name in set(cells) & set(table):
        new[name] = pd.Series([cells[name]], new.index, dtype=object)
    joined = {name: [*table[name], new[name].iloc[0]] for name in table}
    found = pd.DataFrame({name: pd.Series(values, dtype=_dtype(table[name], values[-1])) for name, values in joined.items()})
    return Trials(found, fit.trials.dropped, fit.trials.conversions, (*fit.trials.remarks, "with one simulated trial"))


def _dtype(column: pd.Series, added):
    """The type of a column with one more cell; words in place of numbers make it one of objects."""
    return object if isinstance(added, str) or added is None else column.dtype


def _summary(candidates: pd.DataFrame, found: dict[str, np.ndarray], present: float) -> pd.DataFrame:
    size = found["width"].shape[1]
    p, ratio = found["identified"].mean(axis=1), found["width"] / (present or np.nan)
    k = np.where(found["refitted"], -np.inf, found["pareto_k"]).max(axis=1)
    return candidates.assign(
        width=found["width"].mean(axis=1),
        ratio=ratio.mean(axis=1),
        ratio_error=ratio.std(axis=1, ddof=1) / np.sqrt(size),
        p_identified=p,
        p_error=np.sqrt(p * (1 - p) / size),
        reweighted=1 - found["refitted"].mean(axis=1),
        refitted=found["refitted"].mean(axis=1),
        pareto_k=np.where(np.isfinite(k), k, np.nan),
    )
