"""Raw tables: files and frames become cells of text that know their row; cells become numbers, with every fault noted."""

import csv
import datetime
import io
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pandas as pd

from .columns import COLUMNS, RESERVED
from .doses import is_number, parse_dose, parse_number, parse_p, serial_trap, with_decimal_point
from .errors import Problem, TrialsError
from .workbooks import Broken, Percent, read_workbook

MISSING_WORDS = ("", "NA", "N/A", "NaN", "nan", "<NA>", "NaT")
SEPARATORS = ",;\t"
INVISIBLE = dict.fromkeys(map(ord, "\u200b\u200e\u200f\u2060\ufeff\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"))
"""Spaces without width and marks of direction: two names that differ in these look the same, or stand in another order than they are read."""
CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff]")
"""Characters that are none of text: files and figures cannot hold some of them, and terminals obey others."""

LARGEST_SMALL_DOSE = 400
"""A dose column whose usual range ends below this does not hold tens of thousands: there, these are dates."""


def read_table(source: str | Path | pd.DataFrame, sheet: int | str = 0, decimal: str = ".") -> pd.DataFrame:
    """The table as cells: text, dates, None where empty. Column `row` comes first: line of the file, or index label (where
    labels repeat, the position from 0).

    source: a DataFrame; an Excel file (hidden rows and columns are read like the others, formulas by their stored value); or text
        separated by commas, semicolons or tabs, in UTF-8, or in UTF-16 with its mark.
    sheet: name or number of the sheet of an Excel file.
    decimal: the decimal mark of numbers that are text, "." or ","; with "," they come out with a decimal point. Numbers of a
        DataFrame or an Excel file that are numbers need none. Thousands are never guessed.

    Raises TrialsError if the source cannot be read as a table. A single cell that cannot be read is `Broken`.
    """
    if decimal not in (".", ","):
        raise TrialsError(f"decimal is '.' or ',', not {decimal!r}", [])
    if not isinstance(source, (str, Path, pd.DataFrame)):
        raise TrialsError(f"a table is a file or a DataFrame, not {type(source).__name__}", [])
    if isinstance(source, pd.DataFrame):
        if source.columns.nlevels > 1:
            raise TrialsError("the table cannot be read: its columns have several levels; give each a single name", [])
        labels = source.index if source.index.map(str).is_unique else range(len(source))
        header, lines = list(source.columns), list(zip(labels, source.itertuples(index=False, name=None), strict=False))
    else:
        header, lines = _read_file(Path(source), sheet)
    lines = [(row, cells) for row, cells in lines if not _is_blank(cells)]
    header = [cell_of(name) for name in header]
    names = _names(header, [cells for _, cells in lines])
    if problems := _faults_of_form(header, names, lines):
        raise TrialsError("the table cannot be read:", problems)
    columns = {"row": pd.Series([row for row, _ in lines], dtype=object)}
    for k, name in enumerate(names):
        if name:
            values = [cells[k] if k < len(cells) else None for _, cells in lines]
            columns[name] = pd.Series(_column(values, name, decimal), dtype=object)
    return pd.DataFrame(columns)


def _is_blank(cells) -> bool:
    return all(cell_of(cell) is None for cell in cells)


def _names(header: list, lines: list) -> list[str]:
    """Names of the columns; one without a name is unnamed_<position>, or empty where no row has anything in it."""
    names = ["" if name is None else " ".join(str(name).split()) for name in header]
    return [
        name or ("" if _is_blank(cells[k] for cells in lines if k < len(cells)) else f"unnamed_{k + 1}")
        for k, name in enumerate(names)
    ]


def _faults_of_form(header: list, names: list[str], lines: list) -> list[Problem]:
    rules = {name: "this column stands more than once" for name, times in Counter(names).items() if name and times > 1}
    ours = "stimdose adds a column of this name; rename yours, or read the table as extracted"
    rules |= dict.fromkeys((name for name in names if name in RESERVED), ours)
    rules |= {name: cell.rule for name, cell in zip(names, header, strict=True) if isinstance(cell, Broken)}
    wide = [(row, len(cells)) for row, cells in lines if not _is_blank(cells[len(names) :])]
    remedy = "quote cells that hold the separator, and name every column"
    return [
        *([] if lines else [Problem(None, "", "", "", "it has no rows")]),
        *[Problem(None, "", name, "", rule) for name, rule in rules.items()],
        *[Problem(row, "", "", "", f"has {width} cells, and the header {len(names)}: {remedy}") for row, width in wide],
    ]


def _column(values: list, name: str, decimal: str) -> list:
    """The cells of a column, its numbers with decimal points."""
    column = COLUMNS.get(name)
    if decimal == ",":
        printed = [value for value in values if isinstance(value, str) and cell_of(value) is not None]
        if name == "p_value":  # also in words, such as p = 0,03
            values = [re.sub(r"(?<![\d.,])(\d*),(\d+)(?![\d.,])", r"\1.\2", v) if isinstance(v, str) else v for v in values]
        elif column.is_numeric if column else all(map(is_number, printed)):
            values = [_with_decimal_point(value) for value in values]
    if column and column.unit.startswith("%"):
        values = [_broken_percent(value) if isinstance(value, Percent) else value for value in values]
    return [cell_of(value) for value in values]


def _broken_percent(value: Percent) -> Broken:
    rule = f"is stored as {value:g} and shown as a percentage: enter the number without the percent sign"
    return Broken(f"{100 * value:g}%", rule)


def _with_decimal_point(value: object) -> object:
    text = cell_of(value)
    if not isinstance(text, str) or not isinstance(value, str) or isinstance(value, Broken):
        return value
    try:
        return with_decimal_point(text)
    except ValueError as error:
        return Broken(text, str(error))


def _read_file(path: Path, sheet: int | str) -> tuple[list, list[tuple[int, list]]]:
    """Header, and the lines below it, each with its number in the file."""
    if not os.path.isfile(path):  # and not Path.is_file, which some names break
        raise TrialsError(f"{path} is a folder, not a table" if os.path.isdir(path) else f"there is no file {path}", [])
    if path.suffix.lower() in (".xls", ".xlsb", ".ods"):
        raise TrialsError(f"{path} cannot be read as a table: save it as .xlsx or as CSV", [])
    try:
        lines = read_workbook(path, sheet) if path.suffix.lower() in (".xlsx", ".xlsm") else _read_text(path)
    except TrialsError:
        raise
    except Exception as error:  # the readers raise many kinds; each means that this is not a table
        raise TrialsError(f"{path} cannot be read as a table: {error}", []) from None
    first = next((k for k, (_, cells) in enumerate(lines) if not _is_blank(cells)), None)
    return ([], []) if first is None else (lines[first][1], lines[first + 1 :])


def _read_text(path: Path) -> list[tuple[int, list]]:
    text = _decoded(path)
    declared = re.match(rf'"?sep=([{SEPARATORS}])"?(?=[\r\n])', text, re.IGNORECASE)  # as Excel writes and reads it
    if declared:
        text = text[declared.end() :]  # its line end stays, and counts
    separator = declared[1] if declared else max(SEPARATORS, key=lambda mark: _fit_of_header(text, mark))
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=separator)
    lines, number = [], 1
    try:
        for cells in reader:
            lines.append((number, cells))
            number = reader.line_num + 1
    except csv.Error as error:
        hint = "; a quote is not closed" if "unexpected end of data" in str(error) else ""
        raise TrialsError(f"{path} cannot be read as a table: line {number}: {error}{hint}", []) from None
    return lines


def _decoded(path: Path) -> str:
    content = path.read_bytes()
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line, byte = len(re.findall(rb"\r\n?|\n", content[: error.start])) + 1, content[error.start]
        kind = f"line {line} is not UTF-8 text (byte 0x{byte:02x})" if encoding == "utf-8-sig" else "it is not UTF-16 text"
        raise TrialsError(f"{path} cannot be read as a table: {kind}; save it as 'CSV UTF-8' or .xlsx", []) from None
    if "\0" in text:
        raise TrialsError(f"{path} cannot be read as a table: it is not text", [])
    return text


def _fit_of_header(text: str, separator: str) -> tuple[int, int]:
    """How many columns of the vocabulary, and how many cells, the header has when cut at this separator."""
    try:
        reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=separator)
        header = next((cells for cells in reader if not _is_blank(cells)), [])
    except csv.Error:
        return 0, 0
    return sum(str(cell_of(name)) in COLUMNS for name in header), len(header)


def cell_of(value: object) -> object:
    """A cell as text, alike for a CSV file, a spreadsheet and a frame; None if empty; a date stays one."""
    if isinstance(value, Broken):
        return value
    if isinstance(value, (np.datetime64, np.timedelta64)):
        value = pd.Timestamp(value) if isinstance(value, np.datetime64) else pd.Timedelta(value)
    elif isinstance(value, (np.number, np.bool_)):
        value = value.item()
    if isinstance(value, Collection) and not isinstance(value, str):
        return Broken(value, f"is a {type(value).__name__}: a cell holds text, a number or a date")
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)  # a frame with gaps makes 2019 a 2019.0
    if isinstance(value, (datetime.date, datetime.time)) and value is not pd.NaT:
        return value
    text = unicodedata.normalize("NFC", str(value).translate(INVISIBLE)).strip()
    if odd := CONTROL.search(text):
        return Broken(CONTROL.sub("\ufffd", text), f"holds the control character U+{ord(odd[0]):04X}: delete it")
    return None if value is None or text in MISSING_WORDS else text


class Faults:
    """Collects the faults of one table, each with the position of its row (-1 for the whole table)."""

    def __init__(self, cells: pd.DataFrame):
        self.cells = cells
        self.problems: list[Problem] = []
        self.positions: list[int] = []

    def add(self, where, column: str, rule: str) -> None:
        """A fault in `column` in every row where the boolean array `where` is true."""
        for k in np.flatnonzero(np.asarray(where, bool)):
            self.add_cell(int(k), column, rule)

    def add_cell(self, k: int, column: str, rule: str) -> None:
        """A fault in `column` in the row at position k."""
        self.problems.append(Problem(self.cells["row"].iloc[k], self._text(k, "study"), column, self._text(k, column), rule))
        self.positions.append(k)

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
    values = pd.Series(_parsed(cells, name, parse_number, faults), cells.index, dtype=float)
    return values.mask(_out_of_range(values, name, faults))


def doses(cells: pd.DataFrame, name: str, faults: Faults) -> tuple[pd.Series, pd.Series]:
    """Lower and upper bounds of a dose column, equal where a number is printed, NaN where empty or faulty."""
    bounds = [(np.nan, np.nan) if ends is None else ends for ends in _parsed(cells, name, parse_dose, faults)]
    low, high = (pd.Series(ends, cells.index, dtype=float) for ends in zip(*bounds, strict=True))
    wrong = _out_of_range(low.where(low == high), name, faults)
    return low.mask(wrong), high.mask(wrong)


def words(cells: pd.DataFrame, name: str, faults: Faults) -> pd.Series:
    """A column of words; a closed vocabulary is matched regardless of case."""
    levels = {level.lower(): level for level in COLUMNS[name].levels}

    def parse(cell: object) -> str:
        word = " ".join(str(cell).split())
        if levels and word.lower() not in levels:
            raise ValueError(f"is not one of {', '.join(levels.values())}")
        return levels.get(word.lower(), word)

    return pd.Series(_parsed(cells, name, parse, faults), cells.index, dtype=object)


def _parsed(cells: pd.DataFrame, name: str, parse, faults: Faults) -> list:
    """Each cell of a column parsed; None where it is empty or faulty."""
    found = [None] * len(cells)
    for k, cell in enumerate(cells[name]):
        try:
            if isinstance(cell, Broken):
                raise ValueError(cell.rule)
            found[k] = None if cell is None else parse(cell)
        except ValueError as error:
            faults.add_cell(k, name, str(error))
    return found


def _out_of_range(values: pd.Series, name: str, faults: Faults) -> pd.Series:
    column = COLUMNS[name]
    low, high = -np.inf if column.low is None else column.low, np.inf if column.high is None else column.high
    below = values <= low if column.open_low else values < low
    faults.add(below, name, f"must be {'above' if column.open_low else 'at least'} {low:g}")
    faults.add(values >= high, name, f"must be below {high:g}")
    wrong = below | (values >= high)
    if column.usual and column.usual[1] <= LARGEST_SMALL_DOSE:
        for k in np.flatnonzero((values > LARGEST_SMALL_DOSE) & ~wrong):
            if rule := serial_trap(values.iloc[k]):
                faults.add_cell(int(k), name, rule)
                wrong.iloc[k] = True
    return wrong


def typed(cells: pd.DataFrame, faults: Faults) -> pd.DataFrame:
    """The cells as numbers, intervals of doses and words, as the vocabulary has it."""
    table = {"row": cells["row"]}
    for name in cells.columns.drop("row"):
        column = COLUMNS.get(name)
        if column is None:
            table[name] = _passed_through(cells, name, faults)
        elif column.kind == "dose":
            low, high = doses(cells, name, faults)
            table[name] = low.where(low == high)
            if (low < high).any():
                table |= {f"{name}_low": low.where(low < high), f"{name}_high": high.where(low < high)}
        else:
            if name == "p_value":  # stays text, because a bound such as <0.05 is one, but must be readable
                _parsed(cells, name, parse_p, faults)
            table[name] = (numbers if column.is_numeric else words)(cells, name, faults)
    return pd.DataFrame(table)


def _passed_through(cells: pd.DataFrame, name: str, faults: Faults) -> pd.Series:
    """Numbers where every cell is one, otherwise text. Labels such as 007, or of 16 digits, would not survive as numbers."""
    text = pd.Series(_parsed(cells, name, str, faults), cells.index, dtype=object)
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
