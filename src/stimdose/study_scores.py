"""How well fits predict the studies left out: elpd by study, effective parameters, and differences with their standard errors."""

from typing import Literal

import numpy as np
import pandas as pd

from .importance import PARETO_K_MAX
from .leave_one_out import SAMPLED, leave_one_study_out
from .sampling import Fit

CLEAR_DIFFERENCE, CLEAR_ERRORS = 4.0, 2.0
"""A difference in elpd that is smaller, or within so many standard errors, says nothing (Sivula et al. 2025, Bayesian Analysis)."""


def study_scores(fit: Fit, exact: Literal["auto"] | bool = "auto") -> pd.DataFrame:
    """By study: elpd, the log predictive density of the study left out; p_loo, the effective parameters it accounts for; pareto_k; and method,
    as `leave_one_study_out` gives them."""
    table = leave_one_study_out(fit, exact).table[["elpd", "p_loo", "pareto_k", "method"]]
    return table.set_axis(table.index.astype(str)).rename_axis("study").sort_index()


def total(by_study: np.ndarray) -> tuple[float, float]:
    """Sum over studies (studies,) and its standard error, sqrt(n var) (Vehtari et al. 2017, Stat Comput 27:1413)."""
    return float(by_study.sum()), float(np.sqrt(len(by_study)) * by_study.std(ddof=1)) if len(by_study) > 1 else np.nan


def is_clear(difference: float, error: float) -> bool:
    """Whether a difference in elpd tells two models apart."""
    return abs(difference) >= CLEAR_DIFFERENCE and abs(difference) >= CLEAR_ERRORS * error


def score_table(scores: dict[str, pd.DataFrame], label: str, reference: str | None = None) -> pd.DataFrame:
    """One line per fit: elpd and se; difference to the reference (by default the highest elpd), with its se; p_loo, the effective number of
    parameters; pareto_k_max, of studies that were not left out by a refit; unreliable, the number of these with k above 0.7; studies."""
    reference = reference or max(scores, key=lambda name: scores[name]["elpd"].sum())
    records = []
    for name, table in scores.items():
        elpd, se = total(table["elpd"].to_numpy())
        difference, difference_se = total((table["elpd"] - scores[reference]["elpd"]).to_numpy())
        k = table["pareto_k"].where(table["method"] == SAMPLED)
        rest = (table["p_loo"].sum(), k.max(), int((k > PARETO_K_MAX).sum()), len(table))
        records.append((name, elpd, se, difference, difference_se, *rest))
    names = [label, "elpd", "elpd_se", "difference", "difference_se", "p_loo", "pareto_k_max", "unreliable", "studies"]
    return pd.DataFrame(records, columns=names).set_index(label)


def unreliable(table: pd.DataFrame) -> list[str]:
    """A remark for each line of `score_table` whose elpd is approximate at best."""
    return [
        f"{name}: Pareto k is above {PARETO_K_MAX} in {line['unreliable']:.0f} of {line['studies']:.0f} studies, so that its elpd, "
        "and differences to it, may be off"
        for name, line in table.iterrows()
        if line["unreliable"]
    ]
