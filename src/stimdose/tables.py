"""Raw tables: files and frames become cells of text that know their row; cells become numbers, with every fault noted."""

import csv
import datetime
import io
import re
import unicodedata
import warnings
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd

from .columns import COLUMNS, RESERVED
from .doses import parse_dose, parse_number
from .errors import Problem, TrialsError

MISSING_WORDS = ("", "NA", "N/A", "NaN", "nan", "<NA>", "NaT")
SEPARATORS = {";": "semicolons", "\t": "tabs"}


def read_table(source: str | Path | pd.DataFrame, sheet: int | str = 0, decimal: str = ".") -> pd.DataFrame:
    """The table as cells: text, dates, None where empty. Column `row` comes first: line of the file, or index label.

    Raises TrialsError if the source cannot be read as a table.
    """
    if isinstance(source, pd.DataFrame):
        header, records = list(source.columns), list(zip(source.index, source.itertuples(index=False, name=None), strict=False))
    else:
        header, records = _read_file(Path(source), sheet)
    records = [(row, [cell_of(value) for value in values]) for row, values in records]
    records = [(row, cells) for row, cells in records if any(cell is not None for cell in cells)]
    names = _names(header, [cells for _, cells in records])
    if problems := _faults_of_form(names, records):
        raise TrialsError("the table cannot be read:", problems)
    columns = {name: [cells[k] if k < len(cells) else None for _, cells in records] for k, name in enumerate(names) if name}
    table = pd.DataFrame(columns, dtype=object)
    table.insert(0, "row", pd.Series([row for row, _ in records], dtype=object))
    return table


def _names(header, rows: list[list]) -> list[str]:
    """Names of the columns; one without a name is unnamed_<position>, or empty where no row has anything in it."""
    names = ["" if cell_of(name) is None else " ".join(str(cell_of(name)).split()) for name in header]
    used = [any(k < len(cells) and cells[k] is not None for cells in rows) for k in range(len(names))]
    return [name or (f"unnamed_{k + 1}" if used[k] else "") for k, name in enumerate(names)]


def _faults_of_form(names: list[str], records: list[tuple[object, list]]) -> list[Problem]:
    twice = {name: "this column stands more than once" for name in names if name and names.count(name) > 1}
    ours = {
        name: "stimdose adds a column of this name; rename yours, or read the table as extracted"
        for name in names
        if name in RESERVED
    }
    wide = [(row, len(cells)) for row, cells in records if any(cell is not None for cell in cells[len(names) :])]
    return [
        *([] if records else [Problem(None, "", "", "", "it has no rows")]),
        *[Problem(None, "", name, "", rule) for name, rule in (twice | ours).items()],
        *[
            Problem(row, "", "", "", f"has {width} cells, and the header {len(names)}: quote cells that hold commas")
            for row, width in wide
        ],
    ]


def _read_file(path: Path, sheet: int | str) -> tuple[list, list[tuple[int, list]]]:
    """Header, and the lines below it that are not empty, each with its number in the file."""
    if not path.is_file():
        raise TrialsError(f"{path} is a folder, not a table" if path.is_dir() else f"there is no file {path}", [])
    if path.suffix.lower() in (".xls", ".xlsb", ".ods"):
        raise TrialsError(f"{path} cannot be read as a table: save it as .xlsx or as CSV", [])
    try:
        lines = _read_excel(path, sheet) if path.suffix.lower() in (".xlsx", ".xlsm") else _read_csv(path)
    except TrialsError:
        raise
    except UnicodeDecodeError:
        raise TrialsError(
            f"{path} cannot be read as a table: it is not UTF-8 text; save it as 'CSV UTF-8' or .xlsx", []
        ) from None
    except Exception as error:  # the readers raise many kinds; each means that this is not a table
        raise TrialsError(f"{path} cannot be read as a table: {error}", []) from None
    lines = [(number, cells) for number, cells in lines if any(cell_of(cell) is not None for cell in cells)]
    return (lines[0][1], lines[1:]) if lines else ([], [])


def _read_csv(path: Path) -> list[tuple[int, list]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        text = file.read()
    top = text.lstrip().partition("\n")[0]
    for separator, word in SEPARATORS.items():
        if separator in top and "," not in top:
            raise TrialsError(f"{path} cannot be read as a table: its cells are separated by {word}; save it with commas", [])
    if "\0" in text:
        raise TrialsError(f"{path} cannot be read as a table: it is not text", [])
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    lines, number = [], 1
    try:
        for cells in reader:
            lines.append((number, cells))
            number = reader.line_num + 1
    except csv.Error as error:
        raise TrialsError(f"{path} cannot be read as a table: line {number}: {error}", []) from None
    return lines


def _read_excel(path: Path, sheet: int | str) -> list[tuple[int, list]]:
    with path.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about formats and drop-down lists, which hold no data
        book = openpyxl.load_workbook(file, data_only=True)
    names = [page.title for page in book.worksheets]
    if sheet not in names and sheet not in range(len(names)):
        raise TrialsError(f"{path} has no sheet {sheet!r}; there are {', '.join(names)}", [])
    page = book[sheet] if sheet in names else book.worksheets[sheet]
    return [(number, list(cells)) for number, cells in enumerate(page.iter_rows(min_row=1, min_col=1, values_only=True), start=1)]


def cell_of(value: object) -> object:
    """A cell as text, alike for a CSV file, a spreadsheet and a frame; None if empty; a date stays one."""
    if isinstance(value, np.datetime64):
        value = pd.Timestamp(value)
    elif isinstance(value, (np.number, np.bool_)):
        value = value.item()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)  # a frame with gaps makes 2019 a 2019.0
    if isinstance(value, (datetime.date, datetime.time)) and value is not pd.NaT:
        return value
    text = unicodedata.normalize("NFC", str(value)).strip()
    return None if value is None or text in MISSING_WORDS else text


class Faults:
    """Collects the faults of one table, each with the position of its row (-1 for the whole table)."""

    def __init__(self, cells: pd.DataFrame):
        self.cells, self.problems, self.positions = cells, [], []

    def add(self, where, column: str, rule: str) -> None:
        """A fault in `column` in every row where the boolean array `where` is true."""
        for k in np.flatnonzero(np.asarray(where, bool)):
            row, study = self.cells["row"].iloc[k], self._text(k, "study")
            self.problems.append(Problem(row, study, column, self._text(k, column), rule))
            self.positions.append(int(k))

    def add_column(self, column: str, rule: str) -> None:
        """A fault of a whole column."""
        self.problems.append(Problem(None, "", column, "", rule))
        self.positions.append(-1)

    def rows(self, columns=None) -> np.ndarray:
        """Whether each row has a fault, or has one in any of `columns`; a fault of a whole column is one in every row."""
        found = np.zeros(len(self.cells), bool)
        for k, problem in zip(self.positions, self.problems, strict=True):
            if columns is None or problem.column in columns:
                found[slice(None) if k < 0 else k] = True
        return found

    def sorted(self) -> list[Problem]:
        """The problems by row, those of the whole table first."""
        return [self.problems[k] for k in np.argsort(self.positions, kind="stable")]

    def _text(self, k: int, column: str) -> str:
        value = self.cells[column].iloc[k] if column in self.cells else None
        return "" if pd.isna(value) else str(value)


def numbers(cells: pd.DataFrame, name: str, faults: Faults) -> pd.Series:
    """A numeric column as floats, NaN where empty or faulty."""
    values, _ = _parsed(cells, name, lambda cell: (parse_number(cell),) * 2, faults)
    return values


def doses(cells: pd.DataFrame, name: str, faults: Faults) -> tuple[pd.Series, pd.Series]:
    """Lower and upper bounds of a dose column, equal where a number is printed, NaN where empty or faulty."""
    return _parsed(cells, name, parse_dose, faults)


def _parsed(cells: pd.DataFrame, name: str, parse, faults: Faults) -> tuple[pd.Series, pd.Series]:
    bounds = np.full((2, len(cells)), np.nan)
    for k, cell in enumerate(cells[name]):
        if cell is not None:
            try:
                bounds[:, k] = parse(cell)
            except ValueError as error:
                faults.add(np.arange(len(cells)) == k, name, str(error))
    low, high = (pd.Series(ends, cells.index) for ends in bounds)
    wrong = _out_of_range(low.where(low == high), name, faults)
    return low.mask(wrong), high.mask(wrong)


def _out_of_range(values: pd.Series, name: str, faults: Faults) -> pd.Series:
    column = COLUMNS[name]
    low, high = -np.inf if column.low is None else column.low, np.inf if column.high is None else column.high
    below = values <= low if column.open_low else values < low
    faults.add(below, name, f"must be {'above' if column.open_low else 'at least'} {low:g}")
    faults.add(values >= high, name, f"must be below {high:g}")
    return below | (values >= high)


def words(cells: pd.DataFrame, name: str, faults: Faults) -> pd.Series:
    """A column of words; a closed vocabulary is matched regardless of case."""
    levels = {level.lower(): level for level in COLUMNS[name].levels}
    found = [None if cell is None else " ".join(str(cell).split()) for cell in cells[name]]
    if levels:
        found = [None if cell is None else levels.get(cell.lower()) for cell in found]
        unknown = [cell is not None and level is None for cell, level in zip(cells[name], found, strict=True)]
        faults.add(unknown, name, f"is not one of {', '.join(levels.values())}")
    return pd.Series(found, cells.index, dtype=object)


def typed(cells: pd.DataFrame, faults: Faults) -> pd.DataFrame:
    """The cells as numbers, intervals of doses and words, as the vocabulary has it."""
    table = {"row": cells["row"]}
    for name in cells.columns.drop("row"):
        column = COLUMNS.get(name)
        if column is None:
            table[name] = _passed_through(cells[name])
        elif column.kind == "dose":
            low, high = doses(cells, name, faults)
            table[name] = low.where(low == high)
            if (low < high).any():
                table |= {f"{name}_low": low.where(low < high), f"{name}_high": high.where(low < high)}
        else:
            table[name] = (numbers if column.is_numeric else words)(cells, name, faults)
    return pd.DataFrame(table)


def _passed_through(cells: pd.Series) -> pd.Series:
    """Numbers where every cell is one, otherwise text. Labels such as 007, or of 16 digits, would not survive as numbers."""
    text = cells.map(lambda cell: None if cell is None else str(cell)).astype(object)
    values = pd.to_numeric(text, errors="coerce")
    is_number = text.notna().any() and np.isfinite(values[text.notna()]).all()
    return values if is_number and not text.str.contains(r"^[+-]?(?:0\d|\d{16})", na=False).any() else text


def last_digit(cells: pd.DataFrame, *names: str) -> pd.Series:
    """One unit of the last decimal printed in each row, the finest among the columns `names`; 1 where they are empty."""
    digits = pd.Series(0, cells.index)
    for name in names:
        if name in cells:
            digits = np.maximum(digits, cells[name].map(_decimals))
    return 10.0**-digits


def _decimals(cell: object) -> int:
    found = re.fullmatch(r".*?(?:\.(\d*))?(?:e([+-]?\d+))?", str(cell), re.IGNORECASE)
    return min(max(len(found[1] or "") - int(found[2] or 0), 0), 300) if found else 0
