"""How the answer moves with a number that had to be assumed."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from .audit import STATED
from .errors import StimdoseError
from .model import Model
from .optima import optimum
from .reading import read_trials
from .sampling import fit


def sensitivity(
    model: Model,
    source: str | Path | pd.DataFrame,
    column: str,
    values: Iterable[float],
    *,
    prob: float = 0.95,
    reading: dict | None = None,
    **settings,
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
