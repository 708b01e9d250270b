"""Raw tables: files and frames become cells of text, with the row each came from; cells become numbers, with every fault noted."""

from pathlib import Path

import numpy as np
import pandas as pd

from .columns import COLUMNS
from .doses import parse_dose
from .errors import Problem, TrialsError

MISSING_WORDS = ("", "NA", "N/A", "NaN", "nan", "None", "<NA>")


def read_table(source: str | Path | pd.DataFrame, sheet: int | str = 0) -> pd.DataFrame:
    """The table as text cells (None where empty), column `row` first: line of the file, or label of the frame's index.

    Raises TrialsError if the file cannot be read as a table.
    """
    if isinstance(source, pd.DataFrame):
        raw, rows = source, list(source.index)
    else:
        raw = _read_file(Path(source), sheet)
        rows = range(2, len(raw) + 2)
    names = [str(name).strip() for name in raw.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise TrialsError("the table cannot be read:", [Problem(None, "", name, "", "this column stands more than once") for name in twice])
    cells = pd.DataFrame({name: [_cell(value) for value in raw.iloc[:, k]] for k, name in enumerate(names) if name != "row"}, dtype=object)
    cells.insert(0, "row", pd.Series(list(rows), dtype=object))
    empty = cells.drop(columns="row").isna().all(axis=1)
    if empty.all():
        raise TrialsError("the table cannot be read:", [Problem(None, "", "", "", "it has no rows")])
    return cells[~empty].reset_index(drop=True)


def _read_file(path: Path, sheet: int | str) -> pd.DataFrame:
    try:
        if path.suffix.lower() in (".xlsx", ".xlsm"):
            raw = pd.read_excel(path, sheet_name=sheet, dtype=object)
        else:
            raw = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", skip_blank_lines=False)
    except FileNotFoundError:
        raise TrialsError(f"there is no file {path}", []) from None
    except Exception as error:  # the readers raise many kinds; each means that this is not a table
        raise TrialsError(f"{path} cannot be read as a table: {error}", []) from None
    if len(raw.columns) == 1 and ";" in str(raw.columns[0]):
        raise TrialsError(f"{path} has one column: it is separated by semicolons; save it with commas", [])
    return raw


def _cell(value: object) -> object:
    if value is None or value is pd.NaT or (isinstance(value, float) and np.isnan(value)):
        return None
    if isinstance(value, (bool, np.bool_)):
        return str(value)
    if isinstance(value, (int, float, np.integer, np.floating)):
        return repr(value.item() if isinstance(value, np.generic) else value)
    if hasattr(value, "isoformat"):
        return value
    text = str(value).strip()
    return None if text in MISSING_WORDS else text


class Faults:
    """Collects the faults of one table."""

    def __init__(self, cells: pd.DataFrame):
        self.cells, self.problems = cells, []

    def add(self, where, column: str, rule: str) -> None:
        """A fault in `column` in every row where the boolean array `where` is true."""
        for k in np.flatnonzero(np.asarray(where, bool)):
            value = self.cells[column].iloc[k] if column in self.cells else None
            self.problems.append(Problem(self.cells["row"].iloc[k], str(self.cells["study"].iloc[k] or ""), column, "" if value is None else str(value), rule))


def numbers(cells: pd.DataFrame, name: str, faults: Faults) -> pd.Series:
    """A numeric column as floats, NaN where empty or faulty."""
    values = pd.to_numeric(cells[name], errors="coerce").astype(float)
    given = cells[name].notna()
    faults.add(given & ~np.isfinite(values), name, "is not a number")
    values = values.where(np.isfinite(values))
    _check_range(values, values, name, faults)
    return values


def doses(cells: pd.DataFrame, name: str, faults: Faults) -> tuple[pd.Series, pd.Series]:
    """Lower and upper bounds of a dose column, equal where a number is printed, NaN where empty or faulty."""
    low, high = (pd.Series(np.nan, cells.index, dtype=float) for _ in range(2))
    for k, cell in cells[name].items():
        if cell is None:
            continue
        try:
            low[k], high[k] = parse_dose(cell)
        except ValueError as error:
            faults.add(cells.index == k, name, str(error))
    _check_range(low.where(low == high), high, name, faults)
    return low, high


def _check_range(low: pd.Series, high: pd.Series, name: str, faults: Faults) -> None:
    column = COLUMNS[name]
    if column.low is not None and np.isfinite(column.low):
        below = (low <= column.low) if column.open_low else (low < column.low)
        faults.add(below, name, f"must be {'above' if column.open_low else 'at least'} {column.low:g}")
    if column.high is not None:
        faults.add(high >= column.high, name, f"must be below {column.high:g}")


def words(cells: pd.DataFrame, name: str, faults: Faults) -> pd.Series:
    """A column of words; a closed vocabulary is matched regardless of case."""
    levels = {level.lower(): level for level in COLUMNS[name].levels}
    if not levels:
        return cells[name].map(lambda cell: None if cell is None else str(cell)).astype(object)
    found = cells[name].map(lambda cell: None if cell is None else levels.get(str(cell).lower()))
    faults.add(cells[name].notna() & found.isna(), name, f"is not one of {', '.join(levels.values())}")
    return found.where(found.notna(), None).astype(object)
