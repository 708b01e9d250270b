"""Excel files as lines of cells: values as they are stored, formulas never evaluated; no more of a file is unpacked than a table needs."""

import itertools
import re
import warnings
import zipfile
from pathlib import Path

from .errors import TrialsError

MOST_CELLS, MOST_ROWS, MOST_MIB = 5_000_000, 2**20, 256
"""Cells that are read, empty ones among them; rows of a sheet; size of an unpacked file. A file of some kilobytes can claim thousands of
times as much."""


class Broken(str):
    """A cell that cannot be read, as text, with the rule it breaks; it becomes a fault of its row."""

    rule: str

    def __new__(cls, text: object, rule: str) -> "Broken":
        cell = super().__new__(cls, text)
        cell.rule = rule
        return cell


class Percent(float):
    """A number that a spreadsheet shows as a percentage: stored 0.9, shown 90%."""


def read_workbook(path: Path, sheet: int | str) -> list[tuple[int, list]]:
    """The lines of a sheet, each with its number. Raises TrialsError where there is no such sheet or it is too large, and whatever openpyxl
    raises for a file that is none of Excel."""
    import openpyxl

    with path.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about formats and drop-down lists, which hold no data
        with zipfile.ZipFile(file) as parts:
            if sum(part.file_size for part in parts.infolist()) > MOST_MIB * 2**20:
                raise TrialsError(
                    f"{path} cannot be read as a table: unpacked it is larger than {MOST_MIB} MiB; save it as CSV", []
                )
        book = openpyxl.load_workbook(file, data_only=True, read_only=True)
        names = [page.title for page in book.worksheets]
        if sheet not in names and sheet not in range(len(names)):
            raise TrialsError(f"{path} has no sheet {sheet!r}; there are {', '.join(names)}", [])
        page = book[sheet if isinstance(sheet, str) else names[sheet]]
        with zipfile.ZipFile(file) as parts:
            content = parts.read(page._worksheet_path)
        pages = [page]
        if re.search(rb"<(?:\w+:)?f\b", content):
            pages.append(openpyxl.load_workbook(file, read_only=True)[page.title])
        for one in pages:
            one.reset_dimensions()  # some programs write wrong ones
        lines = _lines(path, *(one.iter_rows() for one in pages))
    _break_merged(path, lines, re.findall(rb"<(?:\w+:)?mergeCell\b[^>]*?\bref=[\"']([^\"']*)", content))
    return list(enumerate(lines, start=1))


def _lines(path: Path, stored, formulas=None) -> list[list]:
    """Rows of values. formulas: the same rows with formulas in the place of their values."""
    lines, size = list[list](), 0
    for cells, others in zip(stored, itertools.repeat(()) if formulas is None else formulas, strict=formulas is not None):
        size += len(cells)
        if size > MOST_CELLS or len(lines) == MOST_ROWS:
            remedy = "delete all rows below the table and all columns beside it, or save it as CSV"
            raise TrialsError(
                f"{path} cannot be read as a table: it has more than {MOST_CELLS:,} cells or {MOST_ROWS:,} rows; {remedy}", []
            )
        line = [_stored(*pair) for pair in itertools.zip_longest(cells, others)]
        while line and line[-1] is None:
            del line[-1]
        lines.append(line)
    return lines


def _stored(cell, formula) -> object:
    """The stored value of a cell; `formula`, where there is one, is the same cell with its formula as its value."""
    if cell.data_type == "e":
        return Broken(cell.value, "is an error of the spreadsheet: mend its formula, or empty the cell")
    if cell.value is None and cell.data_type != "str" and formula is not None and formula.data_type == "f":
        rule = "holds a formula without a stored value: open and save the file in the spreadsheet, or paste values"
        return Broken(getattr(formula.value, "text", formula.value), rule)
    if isinstance(cell.value, (int, float)) and not isinstance(cell.value, bool) and "%" in cell.number_format:
        return Percent(cell.value)
    return cell.value


def _break_merged(path: Path, lines: list[list], ranges: list[bytes]) -> None:
    """Whether the one value of merged cells is meant for each of them cannot be known."""
    from openpyxl.utils import range_boundaries

    width, size = max(map(len, lines), default=0), 0
    for merged in map(bytes.decode, ranges):
        left, top, right, bottom = range_boundaries(merged)
        rows, columns = range(top, min(bottom, len(lines)) + 1), range(left, min(right, width) + 1)
        if top > len(lines) or left > len(lines[top - 1]) or lines[top - 1][left - 1] is None:
            continue
        if (size := size + len(rows) * len(columns)) > MOST_CELLS:
            raise TrialsError(f"{path} cannot be read as a table: {merged} is merged; unmerge it, and fill in each cell", [])
        rule = f"lies under the merged cells {merged}: unmerge them, and fill in each cell"
        for row, column in itertools.product(rows, columns):
            if (row, column) != (top, left):
                lines[row - 1] += [None] * (column - len(lines[row - 1]))
                lines[row - 1][column - 1] = Broken("", rule)
