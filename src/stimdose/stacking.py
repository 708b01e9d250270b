"""Stacking: the weights of the mixture of models that predicts studies left out best, and draws of a mixture."""

import numpy as np
import pandas as pd
import xarray as xr

from .errors import StimdoseError
from .sampling import Fit

NOTHING = 1e-6
"""A weight that is smaller comes from rounding."""


def require_same_data(fits: dict[str, Fit], done: str = "averaged") -> None:
    """Raises StimdoseError unless the fits have the same rows, effects and sampling errors, and as many chains; done: what is then refused."""
    (first, reference), *others = fits.items()
    data, problems = _data(reference), []
    for name, fit in others:
        found = _data(fit)
        if len(found) != len(data):
            problems.append(f"{name} has {len(found)} rows, {first} has {len(data)}")
            continue
        if (found["study"] != data["study"]).any():
            problems.append(f"{name} and {first} have rows of different studies")
            continue
        for what in ("effect", "variance"):
            if changed := int((~np.isclose(found[what], data[what], rtol=1e-9, atol=0)).sum()):
                problems.append(f"{name} differs from {first} in the {what} of {changed} rows")
        if not np.array_equal(np.sort(fit.rows.correlation), np.sort(reference.rows.correlation)):
            problems.append(f"{name} differs from {first} in the correlations of sampling errors")
        if fit.model.likelihood != reference.model.likelihood:
            problems.append(
                f"{name} is {fit.model.likelihood} and {first} {reference.model.likelihood}: densities of changes, or levels"
            )
        if fit.tree["posterior"].sizes["chain"] != reference.tree["posterior"].sizes["chain"]:
            problems.append(f"{name} has another number of chains than {first}")
    if problems:
        lead = f"only models of the same rows, effects and variances can be {done} (read the table once, with the same rows dropped):"
        raise StimdoseError("\n  - ".join([lead, *problems]))


def _data(fit: Fit) -> pd.DataFrame:
    """What a fit explains, in an order that does not depend on that of the table; 0 where it is itself unknown."""
    rows = fit.rows
    unknown = np.zeros(len(rows.effect), bool)
    if rows.unknowns:
        unknown[np.concatenate([rows.unknowns.r_rows, rows.unknowns.sd_rows])] = True
    effect, variance = (np.where(unknown, 0.0, values) for values in (rows.effect, rows.variance))
    found = pd.DataFrame({"study": rows.studies[rows.study].astype(str), "effect": effect, "variance": variance})
    return found.sort_values(["study", "effect", "variance"], ignore_index=True)


def stacking_weights(elpd: np.ndarray) -> np.ndarray:
    """The weights (models,) that maximise  sum_studies log sum_models weight * exp(elpd)  for log predictive densities elpd (studies,
    models) of left-out studies: stacking of predictive distributions (Yao et al. 2018, Bayesian Analysis 13:917)."""
    from scipy.optimize import minimize

    density = np.exp(elpd - elpd.max(axis=1, keepdims=True))  # a factor by study changes nothing, but all could be 0 without it
    models = elpd.shape[1]
    found = minimize(
        lambda w: -np.log(density @ w).mean(),
        np.full(models, 1 / models),
        jac=lambda w: -(density / (density @ w)[:, None]).mean(axis=0),
        bounds=[(0, 1)] * models,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": np.ones_like},
        options={"ftol": 1e-12, "maxiter": 1000},
    )
    weights = np.where(found.x > NOTHING, found.x, 0.0)
    return weights / weights.sum()


def mixture(parts: list[xr.DataArray], weights: np.ndarray) -> xr.DataArray:
    """Draws of a mixture, of draws (chain, draw, ...) that differ in `draw` only: in every chain the number of draws of each part is its
    weight's share to within one, they are evenly spaced in its chain, and they alternate. As many as no part need give twice, and no more
    than the longest has."""
    sizes = [part.sizes["draw"] for part in parts]
    size = min([max(sizes), *(int(n / w) for n, w in zip(sizes, weights, strict=True) if w > 0)])
    counts = np.diff(np.round(np.cumsum([0.0, *weights]) * size).astype(int))
    taken = [
        part.isel(draw=((np.arange(count) + 0.5) * part.sizes["draw"] / count).astype(int))
        for part, count in zip(parts, counts, strict=True)
        if count
    ]
    turn = np.concatenate([(np.arange(count) + 0.5) / count for count in counts if count])
    mixed = xr.concat(taken, "draw", coords="minimal", compat="override").isel(draw=np.argsort(turn, kind="stable"))
    return mixed.assign_coords(draw=np.arange(len(turn))).transpose(*parts[0].dims)
