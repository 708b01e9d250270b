"""calibrate: simulation-based calibration of a model on the design of a table (Talts et al. 2018).

Where prior, density, sampler and everything derived from the draws agree, the rank of a true value among draws of its posterior is
uniform, for any function of parameters and data. Functions of the parameters alone do not see a posterior that takes too little from
the data; the joint log-likelihood does (Modrák et al. 2023).
"""

import hashlib
import json
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from . import batches, covariance, uniformity
from .diagnosis import diagnose
from .engine import sample
from .errors import FitError, StimdoseError, nearest
from .grid import best_dose, curve_draws, dose_grid, held_values, observed_range
from .heterogeneity import row_variance, spread_at, study_columns, study_spread
from .model import Model
from .posterior import draw_coefficients, replicate
from .predictor import mean_effect, terms
from .results import complete, dataset, population, stacked
from .rows import Missing, Rows, prepare
from .selection import PROBABILITY, log_selection
from .settings import checked_seed, checked_settings, sources, version
from .simulation import design_of, prior_truth
from .trials import Trials, mixable

RANKED = 99
"""Draws of each fit among which the truth is ranked, evenly spaced over all of them."""
RHAT_MAX, ESS_MIN = 1.05, 2 * RANKED
"""What a fit must reach, for RANKED draws that are nearly independent."""
SETTINGS = {"draws": 700, "tune": 200, "chains": 2, "cores": None, "target_accept": 0.85, "most_draws": 3200, "integrate": True}
"""Of the fits; draws are doubled up to most_draws until a fit reaches what it must."""
LEVEL = 0.05
"""Of the verdict, over all quantities together."""
JOINT = "log-likelihood"


@dataclass(frozen=True)
class Calibration:
    """Ranks of true values among draws of their posteriors.

    model, trials: what was calibrated; of the trials only the design counts. ranks: Dataset by simulation and quantity: `rank` of the
        truth among 99 draws (0 to 99, ties at random), `position` (the rank plus a uniform number, over 100: uniform where all is
        well), `truth`, `mean` and `sd` of the posterior; and by simulation `r_hat` and `ess` (the worst of all quantities),
        `divergences`, `draws`. settings: of the fits. seed.
    """

    model: Model
    trials: Trials
    ranks: xr.Dataset
    seed: int
    settings: dict

    @cached_property
    def table(self) -> pd.DataFrame:
        """One line per quantity: `p` of the ECDF of its ranks (below 0.05 where it leaves the 95 % simultaneous band), `p_adjusted`
        over all quantities (Holm), `deviation` (the largest of the ECDF, positive where ranks are too small: the posterior lies too
        high), coverage of the central 50 and 95 % intervals with exact binomial 95 % intervals, and `contraction` (median over the
        simulations of 1 - posterior variance / variance of the truths; NaN for the log-likelihood)."""
        position = self.ranks["position"].transpose("simulation", "quantity").values
        p, difference = uniformity.p_values(position), self.ecdf()["difference"].values
        largest = np.abs(difference).argmax(axis=0)
        found = {"p": p, "p_adjusted": uniformity.holm(p), "outside": p < LEVEL}
        found["deviation"] = difference[largest, np.arange(len(p))]
        for prob in (50, 95):
            share, low, high = uniformity.coverage(position, prob / 100)
            found |= {f"coverage_{prob}": share, f"coverage_{prob}_low": low, f"coverage_{prob}_high": high}
        with np.errstate(divide="ignore", invalid="ignore"):
            left = (self.ranks["sd"] ** 2 / self.ranks["truth"].var("simulation", ddof=1)).median("simulation").values
        names = [str(name) for name in self.ranks["quantity"].values]
        found["contraction"] = np.where(np.isfinite(left) & (np.array(names) != JOINT), 1 - left, np.nan)
        return pd.DataFrame(found, pd.Index(names, name="quantity"))

    def ecdf(self, prob: float = 0.95) -> xr.Dataset:
        """ECDF of the positions less their expectation, `difference` (position, quantity), and the simultaneous band of each quantity
        by itself, `low` and `high` (position,)."""
        position = self.ranks["position"].transpose("simulation", "quantity").values
        points, (low, high) = uniformity.points_of(len(position)), uniformity.band(len(position), prob)
        parts: dict = {"difference": (("position", "quantity"), uniformity.ecdf(position) - points[:, None])}
        parts |= {"low": ("position", low - points), "high": ("position", high - points)}
        coords = {"position": points, "quantity": self.ranks["quantity"].values}
        return xr.Dataset(parts, coords, {"prob": prob, "simulations": len(position)})

    @property
    def failed(self) -> int:
        """How many fits did not reach R-hat <= 1.05 and an effective sample size of 198; they are among the ranks."""
        return int((~_is_enough(self.ranks["r_hat"], self.ranks["ess"])).sum())

    @property
    def fit_warning(self) -> str:
        """Set if fits did not converge."""
        total = self.ranks.sizes["simulation"]
        limits = f"R-hat > {RHAT_MAX:g} or effective sample size < {ESS_MIN}"
        return f"Warning: {self.failed} of {total} fits did not converge ({limits}); they are kept in." if self.failed else ""

    @property
    def verdict(self) -> str:
        """ "calibrated", or "not calibrated: " with the quantities whose ranks are not uniform, at 5 % over all quantities."""
        wrong = self.table.index[self.table["p_adjusted"] < LEVEL]
        return f"not calibrated: {', '.join(wrong)}" if len(wrong) else "calibrated"

    @property
    def explanation(self) -> str:
        """The verdict in sentences, with what so many simulations can see."""
        table, band = self.table, self.ecdf()
        size, reach = self.ranks.sizes["simulation"], float(np.maximum(band["high"], -band["low"]).max())
        lines = [f"{self.verdict}.", f"{size} simulations of {self.model.name} on {self.trials!r}."]
        lines.append(
            f"Smallest p of {len(table)} quantities after Holm's correction: {table['p_adjusted'].min():.2g} ({table['p_adjusted'].idxmin()}). "
            f"So many simulations show an ECDF of ranks that is off by {reach:.2f} or more, not by less."
        )
        return "\n".join([self.fit_warning] * bool(self.fit_warning) + lines)


def calibrate(
    model: Model,
    trials: Trials,
    *,
    simulations: int = 200,
    seed: int | None = None,
    missing: Missing = "error",
    allow_mixed: str | tuple[str, ...] = (),
    folder: str | Path | None = None,
    executor: Executor | None = None,
    progress: bool = True,
    **settings: Any,
) -> Calibration:
    """Simulation-based calibration of a model on a design: truths from the prior, effects from the model, a fit to each.

    trials: their doses, groups, variances and correlations are the design; their effects do not matter. What is ranked: every
        population parameter, the best dose over the observed range and the effect there, of every dose and group, and the joint
        log-likelihood of all effects, those of studies integrated out.
    missing, allow_mixed: as of `fit`. folder, executor, progress: as of `batch`; a folder keeps what is done. settings: draws, tune,
        chains, cores, target_accept, most_draws and integrate of the fits. The same seed gives the same ranks.

    An anchored model is not fitted a second time with a free intercept here: ranks are those of the model as it stands.

    Raises ModelError or TrialsError where model and table do not fit; StimdoseError where truths cannot be drawn exactly, because missing
    doses are bounded by what is printed; BatchError, with everything that finished, if fits failed.
    """
    if not isinstance(simulations, int) or simulations < 10:
        raise FitError(f"simulations are a whole number from 10, not {simulations!r}")
    if unknown := [name for name in settings if name not in SETTINGS]:
        raise FitError(
            f"a calibration has no setting {unknown[0]!r}{nearest(unknown[0], SETTINGS)}; it has {', '.join(SETTINGS)}"
        )
    allow_mixed = mixable(allow_mixed)
    settings, seed = checked_settings(SETTINGS | settings), checked_seed(seed)
    if settings["draws"] * settings["chains"] < RANKED:
        raise FitError(f"a truth is ranked among {RANKED} draws: {settings['chains']} chains of {settings['draws']} have fewer")
    model, trials = prepare(model, trials, missing, allow_mixed)
    _check_prior(design_of(model, trials, missing))
    tasks = [_Simulation(model, trials, missing, seed, number, settings) for number in range(simulations)]
    found = batches.run(
        partial(_Simulation.run, cores=None if executor is None else 1),
        tasks,
        folder=folder,
        executor=executor,
        progress=progress,
        save=_save,
        load=_load,
        suffix=".json",
    )
    return Calibration(model, trials, _joined(list(found)), seed, settings)


def _check_prior(rows: Rows) -> None:
    """Raises StimdoseError where the prior of missing doses is not drawn exactly (see `posterior.draw_prior`)."""
    for part in rows.imputation.parts if rows.imputation else ():
        if part.free < len(part.group):
            raise StimdoseError(
                f"what is known of {part.column} before any effect is seen cannot be drawn exactly, because the table bounds it "
                "(an interval, or other doses of the row): print numbers there, or leave these rows out with missing='drop'"
            )


@dataclass(frozen=True)
class _Simulation:
    """A task of the batch: one truth, its effects, and the fit to these."""

    model: Model
    trials: Trials
    missing: Missing
    seed: int
    number: int
    settings: dict

    @property
    def label(self) -> str:
        return f"{self.model.name}, seed {self.seed}, simulation {self.number}"

    @property
    def key(self) -> str:
        settings = {name: value for name, value in self.settings.items() if name != "cores"}
        versions = [sources(), *(version(name) for name in ("nutpie", "numba", "numpy"))]
        parts = [self.model.to_toml(), self.trials.fingerprint, self.missing, self.seed, self.number, settings, versions]
        return hashlib.sha256(json.dumps(["calibration", *parts], sort_keys=True).encode()).hexdigest()

    def run(self, cores: int | None = None) -> dict:
        """Ranks and what else `Calibration.ranks` holds, as lists by quantity and numbers."""
        rng = np.random.default_rng([self.seed, self.number])
        model, design = self.model, design_of(self.model, self.trials, self.missing)
        truth = prior_truth(model, design, rng)
        rows = replace(design, effect=replicate(model, design, truth, rng)[0])
        settings = self.settings | ({"cores": cores} if cores else {})
        while True:
            sampled, statistics = sample(model, rows, int(rng.integers(2**31)), settings, False)
            shape = statistics["diverging"].shape
            values = stacked(complete(model, rows, sampled, shape, rng)[0])
            draws = quantities(model, rows, values)
            checks = {name: (("chain", "draw"), part.reshape(shape)) for name, part in draws.items()}
            table = diagnose(xr.Dataset(checks), 0).table
            r_hat, ess = float(table["r_hat"].max()), float(table[["ess_bulk", "ess_tail"]].min(axis=None))
            if _is_enough(r_hat, ess) or settings["draws"] >= settings["most_draws"]:
                break
            settings = settings | {"draws": 2 * settings["draws"], "tune": 2 * settings["tune"]}
        thinned = np.linspace(0, shape[0] * shape[1] - 1, RANKED).round().astype(int)
        parts = {name: part[thinned] for name, part in draws.items()}
        parts[JOINT] = log_likelihood(model, rows, {name: value[thinned] for name, value in values.items()})
        true = quantities(model, rows, truth) | {JOINT: log_likelihood(model, rows, truth)}
        ranks = [_rank(true[name][0], part, rng) for name, part in parts.items()]
        return {
            "quantity": list(parts),
            "rank": ranks,
            "position": ((np.array(ranks) + rng.uniform(size=len(ranks))) / (RANKED + 1)).tolist(),
            "truth": [float(true[name][0]) for name in parts],
            "mean": [float(draws.get(name, part).mean()) for name, part in parts.items()],
            "sd": [float(draws.get(name, part).std()) for name, part in parts.items()],
            "r_hat": r_hat,
            "ess": ess,
            "divergences": int(statistics["diverging"].sum()),
            "draws": shape[0] * shape[1],
        }


def _is_enough(r_hat, ess):
    return (r_hat <= RHAT_MAX) & (ess >= ESS_MIN)


def _rank(truth: float, draws: np.ndarray, rng: np.random.Generator) -> int:
    """How many draws lie below the truth; those that equal it, as best doses at an edge do, count by chance."""
    ties = np.isclose(draws, truth, rtol=1e-12, atol=0)
    return int((draws[~ties] < truth).sum() + rng.integers(ties.sum() + 1))


def quantities(model: Model, rows: Rows, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What is ranked but for the log-likelihood, (draws,) by name: population parameters, the best dose of every dose and group over the
    observed range, and the effect there."""
    found: dict = {}
    for name, draws in population(dataset(model, rows, values, (1, len(values["between_study"]))), model).items():
        found |= _by_level(str(name), draws.values[0], [draws[dim].values for dim in draws.dims[2:]])
    for dose in model.doses:
        low, high = observed_range(rows, dose.column)
        grid, by = dose_grid(low, high, 101), model.shown_by(dose.column)
        curves = curve_draws(model, rows, values, dose.column, grid, by, held_values(model, rows, dose.column, by, {}))
        for name, part in zip((f"best {dose.column}", f"effect at best {dose.column}"), best_dose(grid, curves), strict=True):
            found |= _by_level(name, part if by else part[:, 0], [rows.levels[by]] if by else [])
    return found


def _by_level(name: str, draws: np.ndarray, levels: list) -> dict[str, np.ndarray]:
    return {f"{name}[{level}]": draws[:, k] for k, level in enumerate(levels[0])} if levels else {name: draws}


def log_likelihood(model: Model, rows: Rows, values: dict[str, np.ndarray]) -> np.ndarray:
    """Log density (draws,) of all effects given every parameter, the effects of studies integrated out: a dense normal for each study,
    by no code that the sampler uses; of an ordinal model, whose levels have no such density, as the fit has it."""
    if rows.scores:
        return draw_coefficients(model, rows, values, np.random.default_rng(0))[1].sum(axis=1)
    found = terms(model, rows, rows.points, values)
    columns = {term.name: term.column for term in found}
    residual = rows.effect - mean_effect(found, values)
    sampling = covariance.matrix(rows.table)
    within = np.broadcast_to(row_variance(rows, values), residual.shape)
    total, spread = np.zeros(len(residual)), spread_at(model, rows.points.groups, rows.study, values)
    by_study = study_columns(model, rows, rows.points.groups, spread, columns, values)
    for s in range(len(rows.studies)):
        own = slice(rows.start[s], rows.start[s + 1])
        r = residual[:, own]
        matrix = sampling[own, own] + within[:, None, own] * np.eye(r.shape[1])
        for column in by_study:
            z = column[:, own]
            matrix = matrix + z[:, :, None] * z[:, None, :]
        square = (r * np.linalg.solve(matrix, r[..., None])[..., 0]).sum(axis=1)
        total -= 0.5 * (square + np.linalg.slogdet(matrix)[1] + r.shape[1] * np.log(2 * np.pi))
    if model.selection:
        sd = np.sqrt(rows.variance + study_spread(model, rows, values) ** 2)
        total += log_selection(rows.effect, rows.variance, rows.effect - residual, sd, values[PROBABILITY][:, None]).sum(axis=1)
    return total


def _save(found: dict, path: Path) -> None:
    path.write_text(json.dumps(found), encoding="utf-8")


def _load(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def _joined(found: list[dict]) -> xr.Dataset:
    """The results of all simulations."""
    both, one = ("rank", "position", "truth", "mean", "sd"), ("r_hat", "ess", "divergences", "draws")
    parts: dict = {name: (("simulation", "quantity"), np.array([each[name] for each in found])) for name in both}
    parts |= {name: ("simulation", np.array([each[name] for each in found])) for name in one}
    return xr.Dataset(parts, {"simulation": np.arange(len(found)), "quantity": found[0]["quantity"]})
