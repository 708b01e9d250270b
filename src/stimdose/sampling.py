"""fit: sample the posterior of a model given trials. Fit: the only expensive thing, and so the only thing saved."""

import json
import os
import platform
import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import arviz as az
import numpy as np
import pandas as pd
import xarray as xr

from .diagnosis import Diagnosis, diagnose, r_hats
from .doses import dose_text
from .errors import ConvergenceWarning, FitError, ModelError
from .grid import best_dose, curve_draws, dose_grid, held_values, observed_range
from .model import Model, as_table, model_from_toml
from .posterior import draw_coefficients, draw_prior, replicate
from .predictor import all_priors, row_coords, study_effects, variable_dims
from .rows import Missing, Rows, left_to_model, prepare, rows_of
from .storage import read_tree, write_tree
from .trials import Trials

PRIOR_DRAWS = 1000
VERSIONS = ("stimdose", "pymc", "pytensor", "nutpie", "numba", "arviz", "numpy", "scipy", "pandas", "xarray")


@dataclass(frozen=True)
class Fit:
    """A fitted model.

    trials: the rows that were used. tree: DataTree with posterior, prior, posterior_predictive, log_likelihood (by study),
        observed_data, constant_data, sample_stats and, for anchored models, free_intercept. diagnosis: whether it converged.
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
        return _stacked(self.tree[group].to_dataset())

    def summary(self, prob: float = 0.95) -> pd.DataFrame:
        """Mean, sd, equal-tailed interval of probability `prob`, ESS and R-hat of every parameter that is not of a single
        study."""
        posterior = _population(self.tree["posterior"].to_dataset())
        table = az.summary(posterior, ci_prob=prob, ci_kind="eti", round_to="none")
        low, high = (name for name in table.columns if name.startswith("eti"))
        table = table.rename(columns={low: "low", high: "high"})
        return table[["mean", "sd", "low", "high", "ess_bulk", "ess_tail", "r_hat"]].astype(float)

    def prior_table(self) -> pd.DataFrame:
        """The priors of the parameters that this fit has, each with its reason."""
        used = set(self.tree["posterior"].data_vars)
        used |= {name.replace("_typical", "_true") for name in used if name.endswith("_typical")}
        return as_table({name: prior for name, prior in all_priors(self.model, self.rows).items() if name in used})

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
            dose.column: (f"{dose.column}_true", self.rows.points.doses[dose.column].uncertain) for dose in self.model.dose
        }
        unknown |= {"sd": ("sd_true", self.rows.unknowns.sd_rows)} if self.rows.unknowns else {}
        for column, (name, rows) in unknown.items():
            bounds = np.array(Trials(table).bounds(column)) if column != "sd" else np.full((2, len(table)), np.nan)
            r_hat = r_hats(self.tree["posterior"][name]) if len(rows) else []
            for k, row in enumerate(rows):
                add(row, column, dose_text(*bounds[:, row]), posterior[name][:, k], prior[name][:, k], r_hat[k])
        if self.rows.unknowns and len(self.rows.unknowns.r_rows):
            (r_hat,) = r_hats(self.tree["posterior"]["pre_post_r"].expand_dims("row", axis=-1))
            add(None, "pre_post_r", "", posterior["pre_post_r"], prior["pre_post_r"], r_hat, scale=np.asarray)
        names = ["row", "study", "column", "printed", "median", "low", "high", "prior_low", "prior_high", "contraction", "r_hat"]
        return pd.DataFrame(records, columns=names)

    def group_model(self, group: str) -> Model:
        """The model whose parameters a group of the tree holds: that of `free_intercept` has an intercept more."""
        return self.model.with_free_intercept() if group == "free_intercept" else self.model

    def more_is_better(self, prob: float = 0.95) -> pd.DataFrame | None:
        """For an anchored model: the effect of the highest observed dose less that of the lowest, from a fit with a free
        intercept.

        An anchored slope asks whether treatment works; this asks whether more is better. One line per dose and group of the
        model; None where the model has an intercept.
        """
        if "free_intercept" not in self.tree:
            return None
        model, rows, values, records = self.group_model("free_intercept"), self.rows, self.values("free_intercept"), []
        for dose in model.dose:
            low, high = observed_range(rows, dose.column)
            held = held_values(model, rows, dose.column, dose.by, {})
            ends = curve_draws(model, rows, values, dose.column, np.array([low, high]), dose.by, held)
            for k, group in enumerate(rows.levels[dose.by] if dose.by else [""]):
                difference = ends[:, 1, k] - ends[:, 0, k]
                interval = np.quantile(difference, [(1 - prob) / 2, (1 + prob) / 2])
                records.append((dose.column, group, low, high, difference.mean(), *interval, (difference > 0).mean()))
        names = ["dose", "group", "from", "to", "difference", "low", "high", "probability_positive"]
        return pd.DataFrame(records, columns=names)

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
    target_accept: float = 0.95,
    integrate: bool = True,
    missing: Missing = "error",
    allow_mixed: str | tuple[str, ...] = (),
    progress: bool = True,
) -> Fit:
    """Sample the posterior with nutpie (NUTS).

    missing: what becomes of rows that lack what the model needs: "error", "drop", or "impute", which makes missing doses, standard
        deviations and correlations of before and after parameters (see `Fit.imputed`); groups and moderators cannot be missing.
    allow_mixed: kinds (measure, comparator, design, score, outcome) that may differ between rows. integrate=False samples every
        coefficient and study effect, for checking. The same seed gives the same draws.

    Raises ModelError or TrialsError where model and table do not fit; warns with ConvergenceWarning, once, where the chains
    disagree.
    """
    import nutpie

    from .pymc_model import compiled_constants

    allow_mixed = (allow_mixed,) if isinstance(allow_mixed, str) else tuple(allow_mixed)
    used = prepare(model, trials, missing, allow_mixed)
    rows = rows_of(model, used, missing == "impute")
    read = tuple(line for line in used.conversions if line.computed != "posterior")
    used = replace(used, conversions=(*read, *left_to_model(rows)))
    seed = int(np.random.SeedSequence().entropy % 2**31) if seed is None else int(seed)
    if seed < 0:
        raise FitError(f"the seed is a number from 0, not {seed}")
    settings = {
        "draws": draws,
        "tune": tune,
        "chains": chains,
        "cores": cores or min(chains, os.cpu_count() or 1),
        "target_accept": target_accept,
    }
    compiled = _compile(model, rows, integrate)
    raw = nutpie.sample(compiled, seed=seed, progress_bar=progress, **settings)
    posterior, log_likelihood = _complete(model, rows, raw, integrate, np.random.default_rng([seed, 1]))
    tree = _tree(model, rows, posterior, log_likelihood, raw, np.random.default_rng([seed, 2]))
    if model.is_anchored:
        free = model.with_free_intercept()
        if integrate:
            compiled = compiled.with_data(
                prior_constants=np.array(list(compiled_constants(model, rows, free_intercept=True).values()))
            )
        else:
            compiled = _compile(free, rows, integrate)
        raw_free = nutpie.sample(compiled, seed=seed + 1, progress_bar=False, **settings)
        tree["free_intercept"] = _free_tree(free, rows, raw_free, integrate, np.random.default_rng([seed, 3]))
    tree.attrs |= {
        "model": model.to_toml(),
        "trials_sha256": used.fingerprint,
        "seed": seed,
        "settings": json.dumps(settings | {"integrate": integrate, "missing": missing, "allow_mixed": list(allow_mixed)}),
        "versions": json.dumps({name: version(name) for name in VERSIONS} | {"python": platform.python_version()}),
    }
    found = Fit(model, used, tree, _diagnose(model, rows, tree))
    if not found.diagnosis.converged:
        warnings.warn(f"{model.name}: {found.diagnosis.message}", ConvergenceWarning, stacklevel=2)
    return found


def load_fit(path: str | Path) -> Fit:
    """Read a saved fit. Raises FitError if the file is not one."""
    tree, trials = read_tree(path)
    try:
        model = model_from_toml(tree.attrs["model"])
        return Fit(model, trials, tree, _diagnose(model, _rows_of(model, trials, tree), tree))
    except (KeyError, ModelError) as error:
        raise FitError(f"{path} does not hold what its model needs: {error}") from None


def _rows_of(model: Model, trials: Trials, tree: xr.DataTree) -> Rows:
    return rows_of(model, trials, json.loads(tree.attrs["settings"])["missing"] == "impute")


def _compile(model: Model, rows: Rows, integrate: bool):
    import nutpie

    from .pymc_model import build_rows

    start = "prior" if _may_have_modes(model) else "support_point"
    return nutpie.compile_pymc_model(build_rows(model, rows, integrate=integrate), default_initialization_strategy=start)


def _free_tree(model: Model, rows: Rows, raw: xr.DataTree, integrate: bool, rng: np.random.Generator) -> xr.DataTree:
    posterior = _population(_complete(model, rows, raw, integrate, rng)[0])
    return xr.DataTree(posterior.assign_attrs(divergences=int(raw["sample_stats"]["diverging"].sum())))


def _may_have_modes(model: Model) -> bool:
    """A bell that may be a trough has several modes: its chains start from draws of the prior."""
    return any(dose.shape == "bell" and dose.prior("amplitude").is_gaussian for dose in model.dose)


def _complete(
    model: Model, rows: Rows, raw: xr.DataTree, integrate: bool, rng: np.random.Generator
) -> tuple[xr.Dataset, np.ndarray]:
    """The posterior by public names, with everything that was integrated out drawn; log-likelihood (chain, draw, study)."""
    sampled = raw["posterior"].to_dataset()
    shape = sampled.sizes["chain"], sampled.sizes["draw"]
    values = _stacked(sampled)
    effects = study_effects(model, rows)
    if not integrate:
        values |= {name: values[spread][:, None] * values[f"{name}_z"] for name, (_, spread) in effects.items()}
    dims = variable_dims(model, rows)
    values = {name: value for name, value in values.items() if name in dims}
    drawn, log_likelihood = draw_coefficients(model, rows, values, rng)
    return _dataset(model, rows, values | drawn, shape), log_likelihood.reshape(*shape, -1)


def _dataset(model: Model, rows: Rows, values: dict, shape: tuple[int, int]) -> xr.Dataset:
    coords = dict(rows.levels) | {"study": list(rows.studies), "chain": np.arange(shape[0]), "draw": np.arange(shape[1])}
    coords |= row_coords(rows)
    coords |= {"modality": rows.imputation.levels} if rows.imputation else {}
    variables = {
        name: (("chain", "draw", *dims), values[name].reshape(*shape, *values[name].shape[1:]))
        for name, dims in variable_dims(model, rows).items()
        if name in values
    }
    used = {dim for dims, _ in variables.values() for dim in dims}
    return xr.Dataset(variables, {name: level for name, level in coords.items() if name in used})


def _tree(
    model: Model, rows: Rows, posterior: xr.Dataset, log_likelihood: np.ndarray, raw: xr.DataTree, rng: np.random.Generator
) -> xr.DataTree:
    shape = posterior.sizes["chain"], posterior.sizes["draw"]
    prior = draw_prior(model, rows, PRIOR_DRAWS, rng)
    row = {"row": list(rows.labels)}
    groups = {
        "posterior": posterior,
        "prior": _dataset(model, rows, prior, (1, PRIOR_DRAWS)),
        "posterior_predictive": xr.Dataset(
            {"effect": (("chain", "draw", "row"), replicate(model, rows, _stacked(posterior), rng).reshape(*shape, -1))}, row
        ),
        "log_likelihood": xr.Dataset({"effect": (("chain", "draw", "study"), log_likelihood)}, {"study": list(rows.studies)}),
        "observed_data": xr.Dataset({"effect": ("row", rows.effect)}, row),
        "constant_data": xr.Dataset(
            {"variance": ("row", rows.variance), "row_study": ("row", rows.studies[rows.study].astype(str))}, row
        ),
        "sample_stats": raw["sample_stats"].to_dataset()[["diverging", "depth", "step_size", "energy", "logp"]],
    }
    return xr.DataTree.from_dict(groups)


def _diagnose(model: Model, rows: Rows, tree: xr.DataTree) -> Diagnosis:
    """Diagnose the population parameters, and the best dose over the observed range of every dose column and group."""
    quantities = _quantities(model, rows, tree["posterior"].to_dataset())
    if "free_intercept" in tree:
        free = _quantities(model.with_free_intercept(), rows, tree["free_intercept"].to_dataset())
        quantities = quantities.merge(free.rename({name: f"{name} (free intercept)" for name in free.data_vars}))
    divergences = int(tree["sample_stats"]["diverging"].sum())
    if "free_intercept" in tree:
        divergences += int(tree["free_intercept"].attrs["divergences"])
    return diagnose(quantities, divergences)


def _quantities(model: Model, rows: Rows, posterior: xr.Dataset) -> xr.Dataset:
    quantities = _population(posterior)
    shape, values = (posterior.sizes["chain"], posterior.sizes["draw"]), _stacked(posterior)
    for dose in model.dose:
        low, high = observed_range(rows, dose.column)
        if low < high:
            grid = dose_grid(low, high, 101)
            curves = curve_draws(
                model, rows, values, dose.column, grid, dose.by, held_values(model, rows, dose.column, dose.by, {})
            )
            best = best_dose(grid, curves)[0].reshape(*shape, *([-1] if dose.by else []))
            quantities[f"best {dose.column}"] = (("chain", "draw", dose.by) if dose.by else ("chain", "draw"), best)
    return quantities


def _stacked(draws: xr.Dataset) -> dict[str, np.ndarray]:
    """Arrays (draws, ...), chains one after the other."""
    return {str(name): np.asarray(v, float).reshape(-1, *v.shape[2:]) for name, v in draws.items()}


def _population(posterior: xr.Dataset) -> xr.Dataset:
    return posterior[[name for name, v in posterior.items() if not {"study", f"{name}_row"} & set(v.dims)]]
