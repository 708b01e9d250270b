"""The audit trail: one line for everything that was computed, assumed or filled in on the way from the table to the likelihood."""

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

    def __init__(self, cells: pd.DataFrame):
        self.cells, self.lines = cells, []

    def add(self, where, column: str, computed, formula: str, *, printed=(), assumption: str = "", source: str = "") -> None:
        """A conversion in every row where the boolean array `where` is true.

        computed, formula and assumption: one for all rows, or a Series of the table. printed: the columns that were used.
        """
        for k in np.flatnonzero(np.asarray(where, bool)):
            value, how, condition = (
                item.iloc[k] if isinstance(item, pd.Series) else item for item in (computed, formula, assumption)
            )
            self.add_row(k, column, value, how, printed=printed, assumption=condition, source=source)

    def add_row(self, k: int, column: str, computed, formula: str, *, printed=(), assumption: str = "", source: str = "") -> None:
        """A conversion in the row at position `k`."""
        line = (column, self._printed(k, printed), computed, formula, assumption, source)
        self.lines.append(Conversion(self.cells["row"].iloc[k], self._text(k, "study"), *line))

    def _printed(self, k: int, columns) -> str:
        texts = [(name, self._text(k, name)) for name in columns]
        return ", ".join(f"{name} = {text}" for name, text in texts if text)

    def _text(self, k: int, column: str) -> str:
        value = self.cells[column].iloc[k] if column in self.cells else None
        return "" if value is None or value is pd.NaT else str(value)


def summary(lines: tuple[Conversion, ...]) -> list[str]:
    """The conversions in words, one sentence for each kind, with the number of rows."""
    kinds: dict[tuple[str, str, str], list] = {}
    for line in lines:
        kinds.setdefault((line.column, line.formula, line.assumption), []).append(line)
    found = []
    for (column, formula, assumption), members in kinds.items():
        condition = f" ({assumption})" if assumption else ""
        found.append(f"{column}: {formula}{condition}: {len(members)} {'row' if len(members) == 1 else 'rows'}")
    return found


def as_table(lines: tuple[Conversion, ...]) -> pd.DataFrame:
    """The conversions as a table, one line each, columns as the fields of `Conversion`."""
    return pd.DataFrame(list(lines), columns=list(Conversion._fields))
