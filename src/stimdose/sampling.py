"""fit: sample the posterior of a model given trials. Fit: the only expensive thing, and so the only thing saved."""

import hashlib
import json
import platform
import warnings
from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from . import batches
from .batches import Results
from .diagnosis import Diagnosis, r_hats
from .doses import dose_text
from .engine import sample
from .errors import ConvergenceWarning, FitError, nearest
from .grid import curve_draws, held_values, observed_range
from .model import Model, as_table
from .predictor import all_priors
from .priors import Prior
from .results import complete, diagnose_tree, population, stacked, tree_of
from .rows import Missing, Rows, left_to_model, prepare, rows_of
from .settings import REFIT, checked_seed, checked_settings, sources, version
from .specs import model_from_toml
from .storage import check_arrays, read_tree, write_arrays, write_tree
from .trials import Trials, mixable

APART = 1.1
"""R-hat of chains that are in different places: what was known of another posterior did not help."""
VERSIONS = ("stimdose", "pymc", "pytensor", "nutpie", "numba", "arviz", "numpy", "scipy", "pandas", "xarray")


@dataclass(frozen=True)
class Fit:
    """A fitted model.

    trials: the rows that were used. tree: DataTree with posterior, prior, posterior_predictive, log_likelihood (by study),
        observed_data, constant_data, sample_stats and, where the form of the model makes more look better, freed (see `Model.freed`).
    diagnosis: whether it converged.
    """

    model: Model
    trials: Trials
    tree: xr.DataTree
    diagnosis: Diagnosis

    @cached_property
    def rows(self) -> Rows:
        """The arrays of the likelihood."""
        return _rows_of(self.model, self.trials, self.tree)

    def values(self, group: str = "posterior") -> dict[str, np.ndarray]:
        """Draws (draws, ...) of every variable of a group, chains one after the other."""
        return stacked(self.tree[group].to_dataset())

    def summary(self, prob: float = 0.95) -> pd.DataFrame:
        """Mean, sd, equal-tailed interval of probability `prob`, ESS and R-hat of every parameter that is not of a single
        study."""
        import arviz as az

        posterior = population(self.tree["posterior"].to_dataset(), self.model)
        table = az.summary(posterior, ci_prob=prob, ci_kind="eti", round_to="none")
        low, high = (name for name in table.columns if name.startswith("eti"))
        table = table.rename(columns={low: "low", high: "high"})
        return table[["mean", "sd", "low", "high", "ess_bulk", "ess_tail", "r_hat"]].astype(float)

    def prior_table(self) -> pd.DataFrame:
        """The priors of the parameters that this fit has, each with its reason."""
        used = set(self.tree["posterior"].data_vars)
        used |= {name.replace("_typical", "_true") for name in used if name.endswith("_typical")}
        priors = all_priors(self.model, self.rows) | self.model.cutpoint_prior()
        return as_table({name: prior for name, prior in priors.items() if name in used})

    def dose_quantiles(self, column: str, prob: float = 0.95) -> np.ndarray:
        """Low, median and high (3, rows) of the posterior of every row's dose (dose units), rows sorted by study as in `rows`;
        all the same where a number is printed."""
        points = self.rows.points.doses[column]
        found = np.repeat(points.values[None], 3, axis=0)
        if len(points.uncertain):
            draws = self.values()[f"{column}_true"]
            found[:, points.uncertain] = np.quantile(draws, [(1 - prob) / 2, 0.5, (1 + prob) / 2], axis=0)
        return found

    def imputed(self, prob: float = 0.95) -> pd.DataFrame:
        """What the fit believes of everything that is not printed as a number: doses, standard deviations, the correlation r.

        One line per row and column; r is one number for all rows that lack it. Columns: row, study, column, printed (the
            interval, or empty), median, low, high (equal-tailed interval of probability `prob`), prior_low, prior_high (the same
            before any effect is seen), contraction (1 - the variance, of the logarithm or of r itself, over what it was before any
            effect was seen: near 0 the effects say nothing about it, below 0 they leave it on either side of a peak), and r_hat,
            NaN for what follows exactly from what is printed.
        """
        posterior, prior, table, records = self.values(), self.values("prior"), self.rows.table, []
        ends = [(1 - prob) / 2, (1 + prob) / 2]

        def add(row: int | None, column: str, printed: str, draws, before, r_hat: float, scale=np.log) -> None:
            cells = (None, "") if row is None else [table[name].iloc[row] for name in ("row", "study")]
            low, median, high = np.quantile(draws, [ends[0], 0.5, ends[1]])
            contraction = 1 - scale(draws).var() / scale(before).var() if before.var() > 0 else np.nan
            records.append((*cells, column, printed, median, low, high, *np.quantile(before, ends), contraction, r_hat))

        unknown = {
            dose.column: (f"{dose.column}_true", self.rows.points.doses[dose.column].uncertain) for dose in self.model.doses
        }
        unknown |= {"sd": ("sd_true", self.rows.unknowns.sd_rows)} if self.rows.unknowns else {}
        for column, (name, rows) in unknown.items():
            bounds = np.array(Trials(table).bounds(column)) if column != "sd" else np.full((2, len(table)), np.nan)
            r_hat = r_hats(self.tree["posterior"].to_dataset()[name]) if len(rows) else np.empty(0)
            for k, row in enumerate(rows):
                add(row, column, dose_text(*bounds[:, row]), posterior[name][:, k], prior[name][:, k], r_hat[k])
        if self.rows.unknowns and len(self.rows.unknowns.r_rows):
            (r_hat,) = r_hats(self.tree["posterior"]["pre_post_r"].expand_dims("row", axis=-1))
            add(None, "pre_post_r", "", posterior["pre_post_r"], prior["pre_post_r"], r_hat, scale=np.asarray)
        names = ["row", "study", "column", "printed", "median", "low", "high", "prior_low", "prior_high", "contraction", "r_hat"]
        return pd.DataFrame(records, columns=names)

    def group_model(self, group: str) -> Model:
        """The model whose parameters a group of the tree holds: `Model.freed` for that group."""
        return self.model.freed() if group == "freed" else self.model

    def more_is_better(self, prob: float = 0.95) -> pd.DataFrame | None:
        """The effect of the highest observed dose less that of the lowest, from a fit of the freed model (`Model.freed`).

        The slope of an anchored model, or of a product, asks whether treatment works; this asks whether more is better. One line per
        dose and group of the model. None where nothing was to be freed.
        """
        if "freed" not in self.tree:
            return None
        model, rows, values, records = self.group_model("freed"), self.rows, self.values("freed"), []
        for dose in model.doses:
            low, high = observed_range(rows, dose.column)
            by = model.shown_by(dose.column)
            held = held_values(model, rows, dose.column, by, {})
            ends = curve_draws(model, rows, values, dose.column, np.array([low, high]), by, held)
            for k, group in enumerate(rows.levels[by] if by else [""]):
                difference = ends[:, 1, k] - ends[:, 0, k]
                interval = np.quantile(difference, [(1 - prob) / 2, (1 + prob) / 2])
                records.append((dose.column, group, low, high, difference.mean(), *interval, (difference > 0).mean()))
        names = ["dose", "group", "from", "to", "difference", "low", "high", "probability_positive"]
        return pd.DataFrame(records, columns=names)

    def request(
        self,
        *,
        priors: dict[str, Prior] | None = None,
        trials: Trials | None = None,
        effects: np.ndarray | None = None,
        seed: int | None = None,
        **settings: Any,
    ) -> "Request":
        """What `refit` does, to be done in a `batch`. Arguments as of `refit`."""
        if trials is not None and effects is not None:
            raise FitError("a refit takes other trials or other effects, not both")
        if unknown := [name for name in settings if name not in REFIT]:
            raise FitError(f"a refit has no setting {unknown[0]!r}{nearest(unknown[0], REFIT)}; it has {', '.join(REFIT)}")
        if not isinstance(priors, dict | None):
            raise FitError(f"priors are a dict of `Prior` by posterior variable name, not {priors!r}")
        if not isinstance(trials, Trials | None):
            raise FitError(f"trials are those of `read_trials`, not a {type(trials).__name__}")
        own = json.loads(self.tree.attrs["settings"])
        model = self.model.with_priors(priors) if priors else self.model
        is_prepared = trials is None
        if trials is None:
            trials = self.trials if effects is None else self.trials.with_effects(self._in_table_order(effects))
        settings = checked_settings(own | REFIT | settings)
        return Request(model, trials, checked_seed(seed), settings, self._geometry, is_prepared)

    def refit(self, **changes: Any) -> "Fit":
        """The same model fitted again, with something changed. Nothing is compiled, and the sampler starts from what this fit knows of
        the posterior, so a short tuning is enough; the draws are exact whatever it starts from.

        priors: other priors, by posterior variable name (see `Model.with_priors`). trials: other rows; or effects: other effects
            (rows,), as simulated ones: an array in the order of `trials.table`, or a DataArray along `row`, as a draw of the tree's
            `posterior_predictive`, whose rows are sorted by study. seed; draws, tune, chains, cores, target_accept as in `fit`;
            until the chains agree, draws and tune are doubled, up to `most_draws`, and target_accept is 0.9 at least.

        Raises FitError, ModelError or TrialsError where these do not fit; warns with ConvergenceWarning as `fit` does.
        """
        return _with_warning(self.request(**changes).run())

    def _in_table_order(self, effects):
        """Effects (rows,) in the order of the table; those of the tree are labelled, and sorted by study."""
        if not isinstance(effects, xr.DataArray) or effects.dims != ("row",):
            return effects
        if [str(label) for label in effects["row"].values] != self.rows.labels.tolist():
            raise FitError("these effects are of other rows than those of the fit")
        found = np.empty(len(effects))
        found[np.argsort(pd.factorize(self.trials.table["study"])[0], kind="stable")] = effects.values
        return found

    @cached_property
    def _geometry(self):
        """What refits start from; None after a fit of the explicit form."""
        if "position" not in self.tree["sample_stats"]:
            return None
        from .encoding import encode
        from .nuts import Geometry

        positions = self.tree["sample_stats"]["position"].to_numpy()
        return Geometry.of(encode(self.model, self.rows)[0], positions.reshape(-1, positions.shape[-1]))

    def save(self, path: str | Path) -> Path:
        """Write the fit to one netCDF file: either the whole new file or, if anything fails, what was there before."""
        return write_tree(path, self.tree, self.trials)


def fit(
    model: Model,
    trials: Trials,
    *,
    seed: int | None = None,
    draws: int = 1000,
    tune: int = 1000,
    chains: int = 4,
    cores: int | None = None,
    target_accept: float = 0.9,
    integrate: bool = True,
    missing: Missing = "error",
    allow_mixed: str | tuple[str, ...] = (),
    progress: bool = True,
) -> Fit:
    """Sample the posterior with nutpie (NUTS).

    missing: what becomes of rows that lack what the model needs: "error", "drop", or "impute", which makes missing doses, standard
        deviations and correlations of before and after parameters (see `Fit.imputed`); groups and moderators cannot be missing.
    allow_mixed: kinds (measure, comparator, design, score, outcome) that may differ between rows. integrate=False samples every
        coefficient and study effect in PyMC, for checking; a model with `selection`, or an ordinal one, is always sampled in PyMC.
        The same seed gives the same draws.

    Raises ModelError or TrialsError where model and table do not fit; warns with ConvergenceWarning, once, where the chains
    disagree.
    """
    allow_mixed = mixable(allow_mixed)
    settings = {
        "draws": draws,
        "tune": tune,
        "chains": chains,
        "cores": cores,
        "target_accept": target_accept,
        "integrate": integrate and not model.is_explicit,
        "missing": missing,
        "allow_mixed": list(allow_mixed),
    }
    settings = checked_settings(settings)
    model, trials = prepare(model, trials, missing, allow_mixed)
    return _with_warning(Request(model, trials, checked_seed(seed), settings).run(progress))


@dataclass(frozen=True)
class Request:
    """A fit to be made: from `Fit.request`, for a `batch`.

    trials: as given, if not `is_prepared` for the model: rows that do not fit it fail when the fit is made.
    settings: those of `fit`; of a refit also `most_draws`, up to which the draws are doubled until the
    chains agree. geometry: of the posterior of a fit that is like it (see `nuts`), or None.
    """

    model: Model
    trials: Trials
    seed: int
    settings: dict
    geometry: Any = None
    is_prepared: bool = True

    @property
    def label(self) -> str:
        remarks = f", {self.trials.remarks[-1]}" if self.trials.remarks else ""
        return f"{self.model.name}, seed {self.seed}{remarks}"

    @cached_property
    def key(self) -> str:
        """SHA-256 of everything that the fit depends on, this package's sources included; how many cores make it does not matter."""
        settings = {name: value for name, value in self.settings.items() if name != "cores"}
        versions = [sources(), *(version(name) for name in ("nutpie", "numba", "numpy"))]
        notes = [str(line) for line in (*self.trials.remarks, *self.trials.dropped, *self.trials.conversions)]
        parts = [self.model.to_toml(), self.trials.fingerprint, notes, self.seed, settings, versions]
        found = hashlib.sha256(json.dumps(parts, sort_keys=True).encode())
        for array in (self.geometry.center, self.geometry.factor) if self.geometry else ():
            found.update(array.tobytes())
        return found.hexdigest()

    def run(self, progress: bool = False, cores: int | None = None) -> Fit:
        """The fit. Does not warn where it did not converge: its `diagnosis` says so."""
        settings, model, trials = self.settings | ({"cores": cores} if cores else {}), self.model, self.trials
        if not self.is_prepared:
            model, trials = prepare(model, trials, settings["missing"], tuple(settings["allow_mixed"]))
        geometry = self.geometry
        while True:
            found = _fit(model, trials, self.seed, settings, progress, geometry)
            if found.diagnosis.converged or settings["draws"] >= settings.get("most_draws", 0):
                return found
            careful = {"tune": 2 * settings["tune"], "target_accept": max(settings["target_accept"], 0.9)}
            settings = settings | careful | {"draws": 2 * settings["draws"]}
            if found.diagnosis.table["r_hat"].max() > APART:
                geometry = None


def _fit(model: Model, trials: Trials, seed: int, settings: dict, progress: bool, geometry=None) -> Fit:
    rows = rows_of(model, trials, settings["missing"] == "impute")
    read = tuple(line for line in trials.conversions if line.computed != "posterior")
    trials = replace(trials, conversions=(*read, *left_to_model(rows)))
    values, statistics = sample(model, rows, seed, settings, progress, geometry)
    shape = statistics["diverging"].shape
    posterior, log_likelihood = complete(model, rows, values, shape, np.random.default_rng([seed, 1]))
    tree = tree_of(model, rows, posterior, log_likelihood, statistics, np.random.default_rng([seed, 2]))
    if (free := model.freed()) != model:
        values, statistics = sample(free, rows, seed + 1, settings, False)
        posterior = population(complete(free, rows, values, shape, np.random.default_rng([seed, 3]))[0])
        tree["freed"] = xr.DataTree(posterior.assign_attrs(divergences=int(statistics["diverging"].sum())))
    tree.attrs |= {
        "model": model.to_toml(),
        "trials_sha256": trials.fingerprint,
        "seed": seed,
        "settings": json.dumps(settings),
        "versions": json.dumps({name: version(name) for name in VERSIONS} | {"python": platform.python_version()}),
    }
    return Fit(model, trials, tree, diagnose_tree(model, rows, tree))


def _with_warning(fit: Fit) -> Fit:
    if not fit.diagnosis.converged:
        warnings.warn(f"{fit.model.name}: {fit.diagnosis.message}", ConvergenceWarning, stacklevel=3)
    return fit


def batch(
    requests: Iterable[Request], *, folder: str | Path | None = None, executor: Executor | None = None, progress: bool = True
) -> Results:
    """Many fits: prior grids, leave-one-study-out, simulated tables. Returns fits in the order of the requests.

    requests: from `Fit.request`. folder: keeps every finished fit under the hash of all that it depends on, so that a batch that was
        killed and is started again does only what is missing; fits are then loaded when they are asked for. executor: any
        `concurrent.futures.Executor`, as `batches.pool(2)` or that of a Dask client; each fit then takes one core. Without one, fits
        are made in this process, one after the other. progress: a line with the time left.

    Does not warn where a fit did not converge: its `diagnosis` says so. Raises BatchError, with everything that finished, if fits
    failed, and FitError if the folder cannot be written to.
    """
    requests = list(requests) if isinstance(requests, Iterable) else [requests]
    if wrong := [request for request in requests if not isinstance(request, Request)]:
        raise FitError(f"a batch takes a list of what `Fit.request` gives, not a {type(wrong[0]).__name__}")
    run_one = partial(Request.run, cores=None if executor is None else 1)
    return batches.run(
        run_one,
        requests,
        folder=folder,
        executor=executor,
        progress=progress,
        save=_save_arrays,
        load=load_fit,
        suffix=".npz",
        check=check_arrays,
    )


def _save_arrays(fit: Fit, path: Path) -> None:
    write_arrays(path, fit.tree, fit.trials)


def load_fit(path: str | Path) -> Fit:
    """Read a saved fit. Raises FitError if the file is not one."""
    tree, trials = read_tree(path)
    try:
        model = model_from_toml(tree.attrs["model"])
        _check_draws(tree.children["posterior"])
        return Fit(model, trials, tree, diagnose_tree(model, _rows_of(model, trials, tree), tree))
    except Exception as error:  # whatever names, dimensions and types that are not those of a fit lead to
        raise FitError(f"{path} does not hold what its model needs: {error}") from error


def _check_draws(posterior: xr.DataTree) -> None:
    """Raise ValueError for what cannot be draws."""
    for name, draws in posterior.data_vars.items():
        if draws.dims[:2] != ("chain", "draw") or draws.dtype.kind != "f" or not np.isfinite(draws.to_numpy()).all():
            raise ValueError(f"{name} are not draws")


def _rows_of(model: Model, trials: Trials, tree: xr.DataTree) -> Rows:
    return rows_of(model, trials, json.loads(tree.attrs["settings"])["missing"] == "impute")
