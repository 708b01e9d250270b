"""Rows that are people, not trials: scores before and after of one participant, with the centre (or trial) as `study`.

    effect = score_after - score_before, positive = benefit        variance = 0

There is no sampling error: what people differ by is a parameter of the model, `residual_sd`. The mean of such rows is what a row of an
arm estimates by its mean change within the group, so that both inform one curve.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from .arms import column, given
from .audit import STATED, Ledger
from .columns import COLUMNS, PARTICIPANT
from .errors import ModelError
from .scales import scale_of
from .tables import Faults

SCORES = ("score_before", "score_after")
MOST_LEVELS, DECIMALS = 20, 9
"""Of an ordinal scale; scores that agree to so many decimals are one level."""
FILLED = {"measure": "MC", "comparator": "none"}
"""What a participant's row means, and need not say."""
OF_GROUPS = tuple(
    name
    for name, known in COLUMNS.items()
    if known.kind in ("effect", "arm", "spread") or name in ("p_value", "sample", "control_group", "cluster_size", "icc", "score")
)
"""Columns that say nothing of one person."""


def are_participants(designs: pd.Series) -> pd.Series:
    """Whether each cell says that its row is a participant."""
    return designs.astype(str).str.strip().str.lower().eq(PARTICIPANT)


def fill_estimand(cells: pd.DataFrame, ledger: Ledger) -> None:
    """Write the measure and the comparator of participants into their empty cells."""
    if "design" not in cells:
        return
    people = are_participants(cells["design"])
    for name, value in FILLED.items() if people.any() else ():
        if name not in cells:
            cells[name] = pd.Series([None] * len(cells), cells.index, dtype=object)
        empty = people & cells[name].isna()
        cells[name] = cells[name].where(~empty, value)
        ledger.add(empty, name, value, "of a participant: the change of one person", assumption=STATED)


def fill_changes(table: pd.DataFrame, cells: pd.DataFrame, faults: Faults, ledger: Ledger) -> None:
    """Fill effect and variance of the rows that are participants, and note what is wrong with them."""
    people = table["design"].eq(PARTICIPANT)
    before, after = (column(table, name) for name in SCORES)
    for name in SCORES:
        rule = f"is the score of one person: state design {PARTICIPANT!r}, or give the means and SDs of the arms"
        faults.add(given(cells, name) & ~people & table["design"].notna(), name, rule)
    if not people.any():
        return
    for name, other in (SCORES, SCORES[::-1]):
        faults.add(people & given(cells, name) & ~given(cells, other), other, f"is empty, and {name} is not: a change needs both")
    for name in OF_GROUPS:
        faults.add(people & given(cells, name), name, "is of a group: leave it empty in the row of a participant")
    for name, value in FILLED.items():
        faults.add(people & table[name].notna() & table[name].ne(value), name, f"is {value!r} for a participant, or empty")
    _check_range(table, people, faults)

    change, sign = (after - before)[people], table["direction"].map({"higher": 1.0, "lower": -1.0}).astype(float)
    for name, value in (
        ("effect_reported", change),
        ("effect", sign * change + 0.0),
        ("variance_reported", 0.0),
        ("variance", 0.0),
    ):
        table.loc[people, name] = value
    formula = "score_after - score_before, as benefit; no sampling error: people differ by `residual_sd`"
    ledger.add(people & table["effect"].notna(), "effect", table["effect"], formula, printed=[*SCORES, "direction"])
    empty = people & ~given(cells, SCORES[0]) & ~given(cells, SCORES[1])
    if empty.any():
        lacks = table["lacks"] if "lacks" in table else pd.Series(None, table.index, dtype=object)
        table["lacks"] = lacks.mask(empty, "is empty: give score_before and score_after of the participant")


def _check_range(table: pd.DataFrame, people: pd.Series, faults: Faults) -> None:
    """Scores outside the range of a known scale."""
    outcomes = table["outcome"][people].dropna().unique() if "outcome" in table else ()
    for name, scale in ((name, scale) for name in outcomes if (scale := scale_of(name))):
        for score in (score for score in SCORES if score in table):
            outside = people & table["outcome"].eq(name) & ~table[score].between(scale.low, scale.high) & table[score].notna()
            faults.add(outside, score, f"is outside the range of {scale.name}, {scale.low:g} to {scale.high:g}")


def check_people(table: pd.DataFrame) -> None:
    """Raises ModelError that names participants with several rows, which are not independent."""
    if "participant" not in table:
        return
    named = table[table["design"].eq(PARTICIPANT) & table["participant"].notna()]
    twice = named[named.duplicated(["study", "participant"])]
    if len(twice):
        who = [f"{name} ({study})" for study, name in twice[["study", "participant"]].drop_duplicates().to_numpy()]
        raise ModelError(
            f"rows of one participant are not independent, and a fit takes one of each; {', '.join(who[:5])} "
            f"{'and others have' if len(who) > 5 else 'have'} several: choose an outcome or a time point with subset()"
        )


@dataclass(frozen=True)
class Scores:
    """The levels of a score after treatment, from the best, and what changes to them mean.

    levels: (levels,) scores. before: (rows,), of the people. sign: 1 where a higher score is better, -1 where a lower one is.
    """

    levels: np.ndarray
    before: np.ndarray
    sign: float

    def category(self, change: np.ndarray) -> np.ndarray:
        """The number of the level (rows,) that a change (rows,), positive = benefit, leads to; 0 is the best."""
        after = self.before + self.sign * change
        return np.abs(after[:, None] - self.levels).argmin(axis=1)

    def change(self, category: np.ndarray) -> np.ndarray:
        """The change (..., rows), positive = benefit, to the levels of these numbers."""
        return self.sign * (self.levels[category] - self.before)

    @property
    def labels(self) -> list[str]:
        """The levels as text, from the best."""
        return [f"{level:g}" for level in self.levels]


def check_only_people(table: pd.DataFrame) -> None:
    """Raises ModelError where an ordinal model meets rows that are not people: of these it needs more than a score that is empty."""
    if not table["design"].eq(PARTICIPANT).all():
        raise ModelError(f"an ordinal model is of the scores of participants: {_not_people(table)}")


def _not_people(table: pd.DataFrame) -> str:
    return (
        f"{table['design'].ne(PARTICIPANT).sum()} of {len(table)} rows are not participants, and a mean says nothing of levels: leave them "
        "out (subset(design='participant'), or --where design=participant), or use likelihood = 'normal'"
    )


def score_levels(table: pd.DataFrame, stated: Sequence[float] | None) -> tuple[float, ...]:
    """The levels of the scores of participants, ascending: the stated ones, else all that are seen before or after.

    Raises ModelError, with all that is wrong, for a table that is not one of such scores.
    """
    seen, problems = np.zeros(0), []
    if "points_per_unit" in table:
        problems.append(f"effects are in {table['effect_unit'].iloc[0]}, which levels are not; start from the trials as read")
    if not table["design"].eq(PARTICIPANT).all():
        problems.append(_not_people(table))
    else:
        seen = np.unique(np.round(table[list(SCORES)].to_numpy(float), DECIMALS))
        if table["direction"].nunique() > 1:
            problems.append("a higher score is better in some rows, and a lower one in others")
        if stated and (unknown := [f"{score:g}" for score in seen if not np.isclose(score, stated).any()]):
            levels = ", ".join(f"{level:g}" for level in sorted(stated))
            problems.append(f"scores {', '.join(unknown)} are not among score_levels, which are {levels}")
        if not stated and not 2 <= len(seen) <= MOST_LEVELS:
            problems.append(f"there are {len(seen)} different scores: an ordinal model takes 2 to {MOST_LEVELS} levels")
    if problems:
        raise ModelError("\n  - ".join(["an ordinal model is of the scores of participants, on one scale:", *problems]))
    return tuple(stated or map(float, seen))


def scores_of(table: pd.DataFrame, levels: Sequence[float]) -> Scores:
    """Scores of a table that `score_levels` has passed."""
    higher = table["direction"].iloc[0] == "higher"
    ordered = np.array(sorted(levels, reverse=higher))
    return Scores(ordered, np.round(table["score_before"].to_numpy(float), DECIMALS), 1.0 if higher else -1.0)
