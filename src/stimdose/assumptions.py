"""How the answer moves with a number that had to be assumed."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from .audit import STATED
from .errors import StimdoseError
from .model import Model
from .optima import optimum
from .predictor import grouped_parameters
from .reading import read_trials
from .sampling import Fit, batch, fit


def sensitivity(
    model: Model,
    source: str | Path | pd.DataFrame,
    column: str,
    values: Iterable[float],
    *,
    prob: float = 0.95,
    reading: dict | None = None,
    **settings: Any,
) -> pd.DataFrame:
    """Fit the model once for each value of an assumption, such as column="pre_post_r", values=[0.3, 0.5, 0.7, 0.9].

    source: a table as `read_trials` takes it. column: a column of the vocabulary; each value fills its empty cells, printed ones stay.
    reading: further arguments of `read_trials`; settings: of `fit`.

    Returns one line per value and quantity: `column`, rows (in which the value was used), quantity (a parameter, or
        `best <dose>`, with `group`), mean, low, high (interval of probability `prob`), verdict (of best doses), converged.
    Raises StimdoseError where no row lacks the column.
    """
    records = []
    for value in values:
        trials = read_trials(source, **{**(reading or {}), column: value})
        used = sum(line.column == column and line.assumption == STATED for line in trials.conversions)
        if not used:
            raise StimdoseError(f"every row prints {column}: nothing was assumed that could be varied")
        found = fit(model, trials, progress=False, **settings)
        start = {column: value, "rows": used}
        end = {"converged": found.diagnosis.converged}
        for name, line in found.summary(prob).iterrows():
            records.append(start | {"quantity": name, "group": ""} | dict(line[["mean", "low", "high"]]) | {"verdict": ""} | end)
        for dose in found.model.doses:
            best = optimum(found, dose.column, by=found.model.shown_by(dose.column))
            for group, line in best.table(prob).iterrows():
                numbers = {"mean": line["best_dose"], "low": line["low"], "high": line["high"], "verdict": line["verdict"]}
                records.append(start | {"quantity": f"best {dose.column}", "group": group} | numbers | end)
    return pd.DataFrame(records)


def vary_spread(
    fit: Fit,
    column: str,
    by: str | None = None,
    *,
    factors: tuple[float, ...] = (1 / 3, 1.0, 3.0),
    prob: float = 0.95,
    delta: float | None = None,
    seed: int | None = None,
    **settings: Any,
) -> pd.DataFrame:
    """The best dose by group where the priors of all spreads between groups are made narrower and wider.

    Two or three groups cannot tell how far groups differ, so these priors decide how much they share: a verdict that changes with them
    is theirs. by: a grouping of the model, by default the one that its tables show. settings: of `Fit.refit`.

    Returns one line per factor (of the standard deviations of the priors) and group: verdict, best_dose, its equal-tailed interval of
        probability `prob` as low and high, effect_at_best, and whether the fit converged.

    Raises StimdoseError where the dose has no groups.
    """
    by = by or fit.model.shown_by(column)
    own = fit.model.replace(outcome_sd=1.0).priors()  # in units of outcome_sd, as `with_priors` takes them
    spreads = {grouped.spread: own[grouped.spread] for grouped in grouped_parameters(fit.model)}
    if by is None or not any(name.startswith(f"{column}_") for name in spreads):
        raise StimdoseError(f"the effect of {column} does not vary over groups in this model")
    if wrong := [factor for factor in factors if not 0 < factor < float("inf")]:
        raise StimdoseError(f"factors are positive numbers, not {wrong[0]!r}")
    scaled = [{name: prior.scaled(factor) for name, prior in spreads.items()} for factor in factors]
    fits = batch([fit.request(priors=priors, seed=seed, **settings) for priors in scaled], progress=False)
    tables = []
    for factor, found in zip(factors, fits, strict=True):
        lines = optimum(found, column, by=by, delta=delta).table(prob)[["verdict", "best_dose", "low", "high", "effect_at_best"]]
        tables.append(lines.reset_index().assign(factor=factor, converged=found.diagnosis.converged))
    return pd.concat(tables, ignore_index=True).set_index(["factor", "group"])
