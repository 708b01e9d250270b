"""The audit trail: one line for everything that was computed, assumed or filled in on the way from the table to the likelihood."""

import itertools
import re
from typing import NamedTuple

import numpy as np
import pandas as pd

STATED = "stated for the whole table"


class Conversion(NamedTuple):
    """One line of the audit.

    row, study: where. column: what was filled or computed. printed: the cells it came from, as printed. computed: what came out.
    formula, assumption and source: how, on what condition, and where it is published.
    """

    row: object
    study: str
    column: str
    printed: str
    computed: object
    formula: str
    assumption: str = ""
    source: str = ""


class Ledger:
    """Collects the conversions of one table of cells."""

    def __init__(self, cells: pd.DataFrame) -> None:
        self.cells = cells
        self.lines: list[Conversion] = []
        self._read: dict[str, list] = {}  # columns of cells as lists: a frame gives single cells slowly

    def add(self, where, column: str, computed, formula: str, *, printed=(), assumption: str = "", source: str = "") -> None:
        """A conversion in every row where the boolean array `where` is true.

        computed, formula and assumption: one for all rows, or a Series of the table. printed: the columns that were used. Whoever
        fills `column` of the cells does so before.
        """
        self._read.pop(column, None)
        rows = np.flatnonzero(np.asarray(where, bool))
        each = [
            item.iloc[rows].tolist() if isinstance(item, pd.Series) else itertools.repeat(item, len(rows))
            for item in (computed, formula, assumption)
        ]
        for k, value, how, condition in zip(rows.tolist(), *each, strict=True):
            self.add_row(k, column, value, how, printed=printed, assumption=condition, source=source)

    def add_row(self, k: int, column: str, computed, formula: str, *, printed=(), assumption: str = "", source: str = "") -> None:
        """A conversion in the row at position `k`."""
        texts = [(name, self._text(k, name)) for name in printed]
        used = ", ".join(f"{name} = {text}" for name, text in texts if text)
        self.lines.append(
            Conversion(self._column("row")[k], self._text(k, "study"), column, used, computed, formula, assumption, source)
        )

    def _text(self, k: int, column: str) -> str:
        value = self._column(column)[k] if column in self.cells else None
        return "" if value is None or value is pd.NaT else str(value)

    def _column(self, name: str) -> list:
        if name not in self._read:
            self._read[name] = self.cells[name].tolist()
        return self._read[name]


_DEGREES = re.compile(r"(?<=\bt with )[\d.]+(?= degrees of freedom)")


def summary(lines: tuple[Conversion, ...]) -> list[str]:
    """The conversions in words, one sentence for each kind, with the number of rows."""
    kinds: dict[tuple[str, str, str], list] = {}
    for line in lines:
        assumption = _DEGREES.sub("its", line.assumption)  # of each row its own: one kind all the same
        kinds.setdefault((line.column, line.formula, assumption), []).append(line)
    found = []
    for (column, formula, assumption), members in kinds.items():
        condition = f" ({assumption})" if assumption else ""
        found.append(f"{column}: {formula}{condition}: {len(members)} {'row' if len(members) == 1 else 'rows'}")
    return found


def as_table(lines: tuple[Conversion, ...]) -> pd.DataFrame:
    """The conversions as a table, one line each, columns as the fields of `Conversion`."""
    return pd.DataFrame(list(lines), columns=list(Conversion._fields))
