"""How well fits predict the studies left out: elpd by study, effective parameters, and differences with their standard errors."""

import numpy as np
import pandas as pd

from .sampling import Fit
from .stacking import leave_one_study_out

PARETO_K_MAX = 0.7
"""Above this the importance sampling of a left-out study is not to be trusted (Vehtari et al. 2024, J Mach Learn Res 25:72)."""
CLEAR_DIFFERENCE, CLEAR_ERRORS = 4.0, 2.0
"""A difference in elpd that is smaller, or within so many standard errors, says nothing (Sivula et al. 2025, Bayesian Analysis)."""


def study_scores(fit: Fit, exact: str | bool = "auto") -> pd.DataFrame:
    """By study: elpd, the log predictive density of the study left out; p_loo, the effective parameters it accounts for; pareto_k."""
    found = leave_one_study_out(fit)
    likelihood = fit.tree["log_likelihood"]["effect"].values
    likelihood = likelihood.reshape(-1, likelihood.shape[-1])
    full = np.logaddexp.reduce(likelihood, axis=0) - np.log(len(likelihood))
    elpd = found.elpd_i.values
    table = pd.DataFrame(
        {"elpd": elpd, "p_loo": full - elpd, "pareto_k": found.pareto_k.values}, index=fit.rows.studies.astype(str)
    )
    return table.rename_axis("study").sort_index()


def total(by_study: np.ndarray) -> tuple[float, float]:
    """Sum over studies (studies,) and its standard error, sqrt(n var) (Vehtari et al. 2017, Stat Comput 27:1413)."""
    return float(by_study.sum()), float(np.sqrt(len(by_study)) * by_study.std(ddof=1)) if len(by_study) > 1 else np.nan


def is_clear(difference: float, error: float) -> bool:
    """Whether a difference in elpd tells two models apart."""
    return abs(difference) >= CLEAR_DIFFERENCE and abs(difference) >= CLEAR_ERRORS * error


def score_table(scores: dict[str, pd.DataFrame], label: str, reference: str | None = None) -> pd.DataFrame:
    """One line per fit: elpd and se; difference to the reference (by default the highest elpd), with its se; p_loo, the effective number of
    parameters; pareto_k_max; unreliable, the number of studies with k above 0.7; studies."""
    reference = reference or max(scores, key=lambda name: scores[name]["elpd"].sum())
    records = []
    for name, table in scores.items():
        elpd, se = total(table["elpd"].to_numpy())
        difference, difference_se = total((table["elpd"] - scores[reference]["elpd"]).to_numpy())
        k = table["pareto_k"]
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
