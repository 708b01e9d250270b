"""Doses that a trial does not print, and how they are tied to what it does print.

The log dose of a cell is a printed part and a sum of latents. A latent belongs to an arm and is shared by its rows. Where
pulses x sessions = total leaves one number open, that number is the latent, so that the identity holds in every draw.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from .columns import level_order
from .model import Model
from .protocol import is_patterned
from .trials import Trials

PULSES, SESSIONS, TOTAL = PRODUCT = ("pulses_per_session", "sessions", "total_pulses")
"""pulses per session x sessions = total pulses."""
DUTY = ("frequency_hz", "session_min", PULSES)
"""pulses per session <= frequency x 60 x minutes: the coil is on for no longer than the session."""
Latent = tuple[str, int]
"""A column and an arm."""


@dataclass(frozen=True)
class Sum:
    """A printed number and latents with their signs, all logarithms of doses."""

    printed: float
    latents: dict[Latent, float]

    def plus(self, sign: float, other: "Sum") -> "Sum":
        """The sum with `sign` times another."""
        latents = dict(self.latents)
        for latent, its_sign in other.latents.items():
            latents[latent] = latents.get(latent, 0.0) + sign * its_sign
        return Sum(self.printed + sign * other.printed, {latent: value for latent, value in latents.items() if value})


class Cells:
    """The dose cells of a table, with what an arm prints in one row known in all of its rows.

    bounds: lowest and highest dose (2, rows) by column, NaN where nothing is printed. key: who shares the dose (rows,) by column.
    learnable: columns in which some row prints a number.
    """

    def __init__(self, model: Model, trials: Trials):
        self.table, size = trials.table, len(trials)
        self.arm = _arms(self.table)
        self.stratum = (self.table["design"] == "stratum").to_numpy()
        columns = dict.fromkeys([*(dose.column for dose in model.doses), *PRODUCT, *DUTY])
        self.bounds, self.key = {}, {}
        for column in columns:
            ends = trials.bounds(column) if column in self.table else np.full((2, size), np.nan)
            self.bounds[column], self.key[column] = _by_arm(np.array(ends, float), self.arm)
        self.learnable = {c for c in columns if len(self.printed(c)[0])}

    def is_unknown(self, column: str, row: int) -> bool:
        """Whether a cell holds no number; the interval of a stratum is a spread over its trials, and no unknown."""
        low, high = self.bounds[column][:, row]
        return low != high and not self.stratum[row]

    def _log(self, column: str, row: int) -> float | None:
        low, high = self.bounds[column][:, row]
        return float(np.log(low)) if low == high and low > 0 else None

    def _latent(self, column: str, row: int) -> Sum:
        return Sum(0.0, {(column, int(self.key[column][row])): 1.0})

    def _from_others(self, column: str, row: int) -> list[Sum]:
        """The two terms of a member of the product in the others: printed numbers, or latents."""
        signs = {other: 1.0 if column == TOTAL or other == TOTAL else -1.0 for other in PRODUCT if other != column}
        terms = []
        for other, sign in signs.items():
            log = self._log(other, row)
            terms.append(Sum(0.0, {}).plus(sign, self._latent(other, row) if log is None else Sum(log, {})))
        return terms

    def sum_of(self, column: str, wanted: list[str], row: int) -> Sum:
        """The log dose of a cell: through the other members of the product if that leaves less open, else a latent of its own."""
        own = self._latent(column, row)
        if column not in PRODUCT:
            return own
        others = [name for name in PRODUCT if name != column]
        terms = self._from_others(column, row)
        unknown = [name for name, term in zip(others, terms, strict=True) if term.latents]
        if column == TOTAL:
            through = len(unknown) == 1 or any(name in wanted for name in unknown)
        else:  # of a printed total, sessions is the latent where the model has both components
            through = TOTAL not in unknown and not (column == SESSIONS and PULSES in wanted)
        if through and all(name in wanted or name in self.learnable for name in unknown):
            return terms[0].plus(1.0, terms[1])
        return own

    def limits(self, sums: dict[str, Sum], row: int) -> list[Sum]:
        """What is printed of a row, as sums that are at most 0."""
        implied = {column: self._implied(column, sums, row) for column in PRODUCT if column not in sums}
        found = []
        for column, log_dose in (sums | {column: log_dose for column, log_dose in implied.items() if log_dose}).items():
            low, high = self.bounds[column][:, row]
            if low < high:
                found += [Sum(np.log(low), {}).plus(-1.0, log_dose)] if low > 0 else []
                found += [log_dose.plus(-1.0, Sum(np.log(high), {}))] if np.isfinite(high) else []
        return [limit for limit in (*found, self._duty(sums, row)) if limit and limit.latents]

    def _implied(self, column: str, sums: dict[str, Sum], row: int) -> Sum | None:
        """A member of the product, itself no dose of the model, whose others are known or have latents."""
        others = [name for name in PRODUCT if name != column]
        if not all(name in sums or self._log(name, row) is not None for name in others):
            return None
        one, other = (sums.get(name) or Sum(self._log(name, row), {}) for name in others)
        if column == TOTAL:
            return one.plus(1.0, other)
        return other.plus(-1.0, one)  # the total comes last

    def _duty(self, sums: dict[str, Sum], row: int) -> Sum | None:
        if "modality" in self.table and is_patterned(str(self.table["modality"].iloc[row])):
            return None
        total = Sum(-np.log(60.0), {})
        for column in DUTY:
            loosest = self.bounds[column][0 if column == PULSES else 1, row]
            if column in sums:
                term = sums[column]
            elif 0 < loosest < np.inf:
                term = Sum(float(np.log(loosest)), {})
            else:
                return None
            total = total.plus(1.0 if column == PULSES else -1.0, term)
        return total

    def printed(self, column: str) -> tuple[np.ndarray, np.ndarray]:
        """Log doses that arms print as a number, once each, and the row of each; a dose of 0 is no stimulation."""
        low, high = self.bounds[column]
        known = np.flatnonzero((low == high) & (low > 0))
        first = pd.DataFrame({"key": self.key[column][known], "dose": low[known]}).drop_duplicates().index
        return np.log(low[known[first]]), known[first]

    def modalities(self) -> tuple[list[str], np.ndarray]:
        """The modalities of the table, and the number of each row's (rows,)."""
        words = self.table["modality"] if "modality" in self.table else pd.Series(["all"] * len(self.table))
        words = words.where(words.notna(), "not stated").map(str)
        levels = level_order("modality", words)
        return levels, words.map(levels.index).to_numpy()

    def row_of(self, latent: Latent) -> int:
        """The first row of a latent's arm."""
        column, key = latent
        return int(np.flatnonzero(self.key[column] == key)[0])


def _arms(table: pd.DataFrame) -> np.ndarray:
    """Number of the arm of each row (rows,): rows of a study with the same sample and arm are one, a row without either is its
    own."""
    names = [name for name in ("sample", "arm") if name in table]
    named = table[names].notna().any(axis=1).to_numpy() if names else np.zeros(len(table), bool)
    key = table[["study", *names]].assign(row=np.where(named, -1, np.arange(len(table))))
    return key.groupby(list(key), dropna=False, sort=False).ngroup().to_numpy()


def _by_arm(bounds: np.ndarray, arm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bounds (2, rows) with what another row of the arm prints, and who shares a dose (rows,); rows of an arm that print different
    doses share nothing."""
    frame = pd.DataFrame({"arm": arm, "low": bounds[0], "high": bounds[1]})
    printed = frame.dropna().drop_duplicates()
    differ = frame["arm"].isin(printed["arm"][printed["arm"].duplicated()])
    key = np.where(differ, arm.max() + 1 + np.arange(len(arm)), arm)
    return frame.groupby(key)[["low", "high"]].transform("first").to_numpy(copy=True).T, key
