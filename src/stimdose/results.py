"""From draws of what was sampled to the tree of a fit, and its diagnosis."""

import numpy as np
import xarray as xr

from .diagnosis import Diagnosis, diagnose
from .grid import base_levels, best_dose, curve_draws, dose_grid, observed_range, usual_dose
from .model import Model
from .posterior import draw_coefficients, draw_prior, replicate
from .predictor import row_coords, variable_dims
from .rows import Rows

PRIOR_DRAWS = 1000
REPLICATED, FEWEST = 5_000_000, 100
"""A fit holds at most so many replicated effects: of a large table every k-th draw of each chain, but no fewer than these."""


def complete(
    model: Model, rows: Rows, values: dict[str, np.ndarray], shape: tuple[int, int], rng: np.random.Generator
) -> tuple[xr.Dataset, np.ndarray]:
    """The posterior by public names, with everything that was integrated out drawn, and the log-likelihood (chain, draw, study).

    values: draws (draws, ...) of what was sampled, chains one after the other; shape: number of chains and of draws in each.
    """
    dims = variable_dims(model, rows)
    values = {name: value for name, value in values.items() if name in dims}
    drawn, log_likelihood = draw_coefficients(model, rows, values, rng)
    return dataset(model, rows, values | drawn, shape), log_likelihood.reshape(*shape, -1)


def dataset(model: Model, rows: Rows, values: dict, shape: tuple[int, int]) -> xr.Dataset:
    """Draws (draws, ...) with the dimensions of a fit."""
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


def tree_of(
    model: Model,
    rows: Rows,
    posterior: xr.Dataset,
    log_likelihood: np.ndarray,
    statistics: dict[str, np.ndarray],
    rng: np.random.Generator,
) -> xr.DataTree:
    """The groups of a fit. statistics: of the sampler, (chain, draw) or (chain, draw, parameter), by name."""
    dims = ("chain", "draw", "parameter")
    prior = draw_prior(model, rows, PRIOR_DRAWS, rng)
    row = {"row": list(rows.labels)}
    chains, draws = (posterior.sizes[name] for name in dims[:2])
    every = max(1, min(-(-len(rows.effect) * chains * draws // REPLICATED), draws // FEWEST))
    kept = posterior.isel(draw=slice(None, None, every))
    replicated = replicate(model, rows, stacked(kept), rng).reshape(kept.sizes["chain"], kept.sizes["draw"], -1)
    groups = {
        "posterior": posterior,
        "prior": dataset(model, rows, prior, (1, PRIOR_DRAWS)),
        "posterior_predictive": xr.Dataset({"effect": ((*dims[:2], "row"), replicated)}, row | {"draw": kept["draw"]}),
        "log_likelihood": xr.Dataset({"effect": (("chain", "draw", "study"), log_likelihood)}, {"study": list(rows.studies)}),
        "observed_data": xr.Dataset({"effect": ("row", rows.effect)}, row),
        "constant_data": xr.Dataset(
            {"variance": ("row", rows.variance), "row_study": ("row", rows.studies[rows.study].astype(str))}, row
        ),
        "sample_stats": xr.Dataset(
            {name: (dims[: value.ndim], value) for name, value in statistics.items()}, posterior[[]].coords
        ),
    }
    return xr.DataTree.from_dict(groups)


def diagnose_tree(model: Model, rows: Rows, tree: xr.DataTree) -> Diagnosis:
    """Diagnose the population parameters, and the best dose over the observed range of every dose column and group."""
    quantities = _quantities(model, rows, tree["posterior"].to_dataset())
    divergences = int(tree["sample_stats"]["diverging"].sum())
    if "freed" in tree:
        free = _quantities(model.freed(), rows, tree["freed"].to_dataset())
        quantities = quantities.merge(free.rename({name: f"{name} (freed)" for name in free.data_vars}))
        divergences += int(tree["freed"].attrs["divergences"])
    return diagnose(quantities, divergences)


def _quantities(model: Model, rows: Rows, posterior: xr.Dataset) -> xr.Dataset:
    quantities = population(posterior, model)
    shape, values = (posterior.sizes["chain"], posterior.sizes["draw"]), stacked(posterior)
    held = {name: center for name, (center, _) in rows.scales.items()} | base_levels(rows)
    for dose in model.doses:
        part = next(part for part in model.dose if dose in part.factors)
        low, high = observed_range(rows, dose.column)
        if low < high:
            grid, by = dose_grid(low, high, 101), model.shown_by(dose.column)
            # the best dose is where its own effect is highest: what is added does not move it
            alone = model.model_copy(update={"intercept": None, "dose": (part,), "moderator": ()})
            at = held | {other.column: usual_dose(rows, other.column) for other in part.factors}
            curves = curve_draws(alone, rows, values, dose.column, grid, by, at)
            best = best_dose(grid, curves)[0].reshape(*shape, *([-1] if by else []))
            quantities[f"best {dose.column}"] = (("chain", "draw", by) if by else ("chain", "draw"), best)
    return quantities


def stacked(draws: xr.Dataset) -> dict[str, np.ndarray]:
    """Arrays (draws, ...), chains one after the other."""
    return {str(name): np.asarray(v, float).reshape(-1, *v.shape[2:]) for name, v in draws.items()}


def population(posterior: xr.Dataset, model: Model | None = None) -> xr.Dataset:
    """What is not of a single study or row; with a model, without coefficients that mean nothing by themselves (waves)."""
    waves = (
        [f"{part.column}_{name}" for part in model.dose if not part.basis.named for name in part.coefficients] if model else []
    )
    waves += [f"{name}_by_{group}" for part in (model.dose if waves else ()) for group in part.groups for name in waves]
    kept = [name for name, v in posterior.items() if not {"study", f"{name}_row"} & set(v.dims)]
    return posterior[[name for name in kept if name not in waves]]
