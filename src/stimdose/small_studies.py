"""How small a study is: the term of PET and PEESE (Stanley and Doucouliagos 2014, Res Synth Methods 5:60).

    effect = ... + small_study_effect * x        x = s / s_ref (PET) or (s / s_ref)^2 (PEESE)

s is what the standard error is but for the effect: sqrt(1/n1 + 1/n2) of a standardised effect, because its printed standard error grows
with the effect itself, and unrelated trials then seem to be related (Pustejovsky and Rodgers 2019, Res Synth Methods 10:57); of
any other measure the standard error, in units of `outcome_sd`. s_ref is that of a trial with 20 people in each arm, so the coefficient
is what such a trial finds beyond an infinitely large one, in effect units.
"""

import numpy as np
import pandas as pd

from . import effects
from .columns import STANDARDISED_MEASURES
from .errors import Problem, TrialsError
from .model import Model

PEOPLE = 20
"""In each arm of the trial that the coefficient is stated for."""


def smallness(model: Model, table: pd.DataFrame, variance: np.ndarray) -> np.ndarray:
    """x (rows,) of a checked table; variance (rows,) of its effects."""
    standardised = table["measure"].isin(STANDARDISED_MEASURES).to_numpy()
    scale = (model.outcome_sd or 1.0) ** 2
    square = np.where(standardised, by_sizes(table), variance / scale) * PEOPLE / 2
    return square if model.small_study == "peese" else np.sqrt(square)


def by_sizes(table: pd.DataFrame) -> np.ndarray:
    """1/n1 + 1/n2 (rows,), or 1/n where the same people are in both conditions; n is people / (1 + (cluster size - 1) icc)."""
    active, control, size, icc = (
        table[name].to_numpy(float) if name in table else np.full(len(table), np.nan)
        for name in ("n_active", "n_control", "cluster_size", "icc")
    )
    same_people = table["design"].isin(["within-group", "crossover"]).to_numpy()
    with np.errstate(divide="ignore"):
        return (1 / active + np.where(same_people, 0.0, 1 / control)) * np.nan_to_num(effects.design_effect(size, icc), nan=1.0)


def check_sizes(table: pd.DataFrame) -> None:
    """Raises TrialsError that lists the rows of standardised effects without the sizes of their arms."""
    lacks = table["measure"].isin(STANDARDISED_MEASURES).to_numpy() & ~np.isfinite(by_sizes(table))
    problems = []
    for _, row in table[lacks].iterrows():
        names = ["n_active"] if row["design"] in ("within-group", "crossover") else ["n_active", "n_control"]
        problems += [
            Problem(row["row"], row["study"], name, "", "is empty: small_study needs it")
            for name in names
            if not row.get(name, np.nan) > 0
        ]
    if problems:
        raise TrialsError(
            "small-study effects of standardised effects are told by the sizes of the arms; fill these in, or leave small_study out:",
            problems,
        )
