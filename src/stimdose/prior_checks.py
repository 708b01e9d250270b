"""What the priors allow before any effect is seen: dose-response curves and effects, on the scale of the outcome."""

import json
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from .arguments import FIT, MODEL, POSITIVE, TRIALS, Rule, checked
from .columns import STANDARDISED_MEASURES
from .curves import curve
from .diagnosis import Diagnosis
from .errors import StimdoseError
from .model import Model
from .posterior import draw_prior, reported_effects
from .predictive import replicated
from .results import PRIOR_DRAWS, dataset
from .rows import Missing, prepare, rows_of
from .sampling import Fit
from .scales import scale_of
from .trials import Trials

LIMIT_SD = 3.0
"""An effect of more standard deviations of the outcome than this is implausible: the average patient treated would do better than 99.9 % of
the controls."""


def plausible_limit(model: Model, trials: Trials) -> tuple[float, str]:
    """The largest plausible size of an effect (effect units), and the rule in words: LIMIT_SD standard deviations of the outcome; for
    differences in units of one known scale no more than its whole range."""
    limit, why = LIMIT_SD * (model.outcome_sd or 1.0), f"{LIMIT_SD:g} standard deviations of the outcome"
    table, is_latent = trials.table, model.likelihood == "ordinal"
    standardised = is_latent or "points_per_unit" in table or bool(set(table["measure"]) & set(STANDARDISED_MEASURES))
    if standardised or "outcome" not in table:
        return limit, why
    found = {scale_of(name) for name in table["outcome"].unique()}
    scale = found.pop() if len(found) == 1 else None
    if scale and np.isfinite(scale.high - scale.low) and scale.high - scale.low < limit:
        return scale.high - scale.low, f"the range of the {scale.title}"
    return limit, why


_SOURCE = Rule(
    lambda value: (
        FIT.holds(value) or (isinstance(value, tuple) and len(value) == 2 and MODEL.holds(value[0]) and TRIALS.holds(value[1]))
    ),
    f"{FIT.words}, or a model with its trials, (model, trials)",
)


@checked(source=_SOURCE, limit=POSITIVE.or_none())
def prior_curves(
    source: Fit | tuple[Model, Trials], column: str, *, limit: float | None = None, missing: Missing = "error", **asked: Any
) -> xr.DataArray:
    """Dose-response curves that the priors allow, on the scale of the effect.

    source: a fit; or (model, trials), of which nothing is sampled. limit: the largest plausible size of an effect (effect units), by
        default three standard deviations of the outcome or, for differences on one known scale, its whole range if that is less.
    missing: of (model, trials), as in `fit`. asked: by, kind, over, grid, at, size, as in `curve`.

    Returns a DataArray (chain, draw, <column>[, <by>]) as `curve` does, with the coordinate `implausible` (chain, draw[, <by>]): whether
    the curve exceeds the limit anywhere between its first and last dose. attrs also: limit, limit_words, and share_implausible, the share
    of such curves (of all groups).

    Raises StimdoseError, ModelError or TrialsError as `curve` and `fit` do.
    """
    if limit is not None and not (limit > 0 and np.isfinite(limit)):
        raise StimdoseError(f"limit is the largest plausible size of an effect, above 0, not {limit}")
    fit = _with_prior(source, missing)
    found = curve(fit, column, group="prior", **asked)
    own, words = plausible_limit(fit.model, fit.trials)
    limit, words = (own, words) if limit is None else (float(limit), "as stated")
    implausible = (abs(found) > limit).any(column)
    found = found.assign_coords(implausible=implausible)
    found.attrs.pop("warning", None)  # of the posterior; draws of the prior are independent
    found.attrs |= {"limit": limit, "limit_words": words, "share_implausible": float(implausible.mean())}
    return found


@checked(source=_SOURCE)
def prior_effects(source: Fit | tuple[Model, Trials], *, prob: float = 0.95, missing: Missing = "error") -> pd.DataFrame:
    """Prior predictive effects by row: what the priors let these trials report, with their sampling errors, before any has reported.

    Columns: row, study, effect (as reported), low, high (interval of probability `prob`), p_higher (P(replicated > reported)), and
    p_implausible, P(the replicated effect is beyond the limit of `prior_curves`). Arguments as there.
    """
    fit = _with_prior(source, missing)
    rows, values = fit.rows, fit.values("prior")
    draws = replicated(fit.model, rows, values, np.random.default_rng([int(fit.tree.attrs["seed"]), 9]))
    low, high = np.quantile(draws, [(1 - prob) / 2, (1 + prob) / 2], axis=0)
    effect, _ = reported_effects(rows, values)
    return pd.DataFrame(
        {
            "row": rows.labels,
            "study": rows.studies[rows.study],
            "effect": effect,
            "low": low,
            "high": high,
            "p_higher": (draws > effect).mean(axis=0),
            "p_implausible": (abs(draws) > plausible_limit(fit.model, fit.trials)[0]).mean(axis=0),
        }
    )


def _with_prior(source: Fit | tuple[Model, Trials], missing: Missing) -> Fit:
    """The fit; or one that holds nothing but draws of the prior."""
    if isinstance(source, Fit):
        return source
    if not (isinstance(source, tuple) and list(map(type, source)) == [Model, Trials]):
        raise StimdoseError("prior curves are those of a fit, or of (model, trials)")
    model, trials = prepare(*source, missing)
    rows, seed = rows_of(model, trials, missing == "impute"), 0
    draws = draw_prior(model, rows, PRIOR_DRAWS, np.random.default_rng(seed))
    prior = dataset(model, rows, draws, (1, PRIOR_DRAWS))
    tree = xr.DataTree.from_dict({"prior": prior, "posterior": prior})  # no effect has been seen
    tree.attrs = {"seed": seed, "settings": json.dumps({"missing": missing})}
    nothing = Diagnosis(pd.DataFrame(columns=["r_hat", "ess_bulk", "ess_tail"], dtype=float), 0, 0)
    return Fit(model, trials, tree, nothing)
