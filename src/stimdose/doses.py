"""Printed numbers, and dose cells: a number, an interval (12-15), or an open end (>=21, <5)."""

import datetime
import math
import re
from typing import Any

_NUMBER = r"((?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?)"
_SIGNED = re.compile(rf"[+-]?{_NUMBER}", re.ASCII | re.IGNORECASE)
_RANGE = re.compile(rf"{_NUMBER}\s*(?:[-\u2010-\u2014]|to)\s*{_NUMBER}", re.ASCII | re.IGNORECASE)
_AT_LEAST = re.compile(rf"(?:\u2265|>=?)\s*{_NUMBER}|{_NUMBER}\s*\+", re.ASCII | re.IGNORECASE)
_AT_MOST = re.compile(rf"(?:\u2264|<=?)\s*{_NUMBER}", re.ASCII | re.IGNORECASE)
_BETWEEN_GRADES = re.compile(r"1\s*[+\uff0b]")
"""As the Modified Ashworth Scale writes its grade between 1 and 2."""
_NUMBERS, _DOSES = (_SIGNED,), (_SIGNED, _RANGE, _AT_LEAST, _AT_MOST)

_THOUSANDS = re.compile(r"(?<![\d.,])[1-9]\d{0,2}(?:[,'\u2019 ]\d{3})+(?!\d)", re.ASCII)
_SWAP = str.maketrans(",.", ".,")
_MORE_THAN_A_NUMBER = re.compile(
    r"[-+<>=~\u2264\u2265\s]*\d[\d\s.,'\u2019\u2010-\u2014-]*[^\W\d_]|.*\d\s*[%\u2030\u00b0]", re.DOTALL
)

_MONTHS = {  # as spreadsheets write them, in several languages; not the Italian set and mag, which start other words
    name: number
    for number, names in enumerate(
        "jan ene gen,feb fev fév,mar mär mrz mrt,apr avr abr,may mai mei,jun juin giu,jul juil lug,aug aoû aou ago,"
        "sep,oct okt ott,nov,dec dez déc dic".split(","),
        start=1,
    )
    for name in names.split()
}
_MONTH = rf"(?P<month>{'|'.join(sorted(_MONTHS, key=len, reverse=True))})[^\W\d_]*\.?"
_DATES = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?P<day>\d\d?)\.?[\W_]{_MONTH}(?:[\W_](?P<year>\d{{2,4}}))?",
        rf"{_MONTH}[\W_](?P<day>\d{{1,4}})",
        r"(?P<year>\d{4})-(?P<month>\d\d?)-(?P<day>\d\d?)(?:[T ].*)?",
        r"(?P<month>\d\d?)([/.])(?P<day>\d\d?)\2(?P<year>\d{4})",
    )
]
_FIRST_SERIAL, _LAST_SERIAL = 40000, 50000
"""Day numbers of a spreadsheet for July 2009 and November 2036: what is typed in these years turns into these."""


def parse_number(cell: object) -> float:
    """The number of a cell, whose minus may be U+2212. Raises ValueError, with the rule that the cell breaks."""
    text = _plain(cell)
    value = float(text) if _SIGNED.fullmatch(text) else float("nan")
    if abs(value) < float("inf"):
        return value
    raise ValueError(_what_is_wrong(cell, _NUMBERS) or "is not a number")


def parse_p(cell: object) -> float:
    """A p value between 0 and 1, as "0.03", "p = .03" or "0.03*"; NaN for what bounds it ("<0.05", "0.000", "ns") and for words.

    Raises ValueError, with the rule that the cell breaks, for a number that is no p value.
    """
    text = re.sub(r"^p\s*(?==|<|>|\u2264|\u2265|\d|\.)", "", _plain(cell).rstrip("*\u2020\u2021"), flags=re.IGNORECASE)
    text = text.strip().removeprefix("=").strip()
    if not _SIGNED.fullmatch(text) and re.search(r"[<>\u2264\u2265]|[^\W\d_]", text):
        return float("nan")
    value = parse_number(text)
    if not 0 <= value <= 1:
        raise ValueError("is not a p value: it lies outside 0 to 1")
    return value if 0 < value < 1 else float("nan")


def parse_dose(cell: object) -> tuple[float, float]:
    """Lower and upper bound of a printed dose; equal for a number, infinite for an open upper end, 0 for an open lower one.

    Raises ValueError, with the rule that the cell breaks, if it is none of these.
    """
    text = _plain(cell)
    if match := _RANGE.fullmatch(text):
        low, high = float(match[1]), float(match[2])
        if low >= high:
            raise ValueError("is an interval whose ends are not in order")
    elif match := _AT_LEAST.fullmatch(text):
        low, high = float(match[1] or match[2]), float("inf")
        if low == 0:
            raise ValueError("is an interval that holds every dose; leave the cell empty")
    elif match := _AT_MOST.fullmatch(text):
        low, high = 0.0, float(match[1])
        if high == 0:
            raise ValueError("is an interval that holds no dose")
    elif _SIGNED.fullmatch(text):
        low = high = parse_number(text)
    else:
        general = "is not a dose: write a number, an interval such as 12-15, or an open end such as >=21 or <5"
        raise ValueError(_what_is_wrong(cell, _DOSES) or general)
    return low, high


def with_decimal_point(text: str) -> str:
    """A number or dose printed with decimal commas, as one with decimal points, digit for digit; other text as it is.

    Raises ValueError, with the rule that the cell breaks, if it has a point, or a comma that is none of decimals.
    """
    swapped = _plain(text).translate(_SWAP)
    if _date(text) is None and (rule := _fault_of_marks(swapped, _DOSES, decimal=",")):
        raise ValueError(rule)
    return swapped if _is_one_of(swapped, _DOSES) else text


def is_number(text: str) -> bool:
    """Whether a cell is a number, with a decimal point or a decimal comma."""
    return _is_one_of(_plain(text).replace(",", "."), _NUMBERS)


def serial_trap(value: float) -> str | None:
    """The rule that a dose breaks which is the number of a date; None for other numbers."""
    if not (value.is_integer() and _FIRST_SERIAL <= value <= _LAST_SERIAL):
        return None
    date = datetime.date(1899, 12, 30) + datetime.timedelta(days=int(value))
    typed = _typed(date.day, date.month, date.year, _DOSES)
    return f"is likely a date, {date}, as a spreadsheet stores it, made of what was typed{typed}; enter it as text"


def _plain(cell: object) -> str:
    """One kind of space and of minus."""
    return " ".join(str(cell).split()).replace("\u2212", "-")


def _is_one_of(text: str, kinds) -> bool:
    return any(kind.fullmatch(text) for kind in kinds)


def _date(cell: object) -> tuple[int, int, int | None] | None:
    """Day, month and year (None if not printed) of a date, or of text as a spreadsheet writes one (15-Dec, 2024-12-15)."""
    if isinstance(cell, datetime.date):
        return cell.day, cell.month, cell.year
    match = next(filter(None, (pattern.fullmatch(_plain(cell)) for pattern in _DATES)), None)
    if match is None:
        return None
    found: dict[str, Any] = {"year": None} | match.groupdict()
    month = _MONTHS.get(found["month"].lower()) or int(found["month"])
    return int(found["day"]) % 100, month, found["year"] and int(found["year"])  # Dec-2015 as Dec-15


def _typed(day: int, month: int, year: int | None, kinds) -> str:
    """What a spreadsheet may have made this date of: an interval such as 10-20 or a number such as 7.5."""
    of_month = [(month, year % 100)] if year is not None and day == 1 else []  # 12-15 becomes December 2015
    intervals = [(low, high) for low, high in [*of_month, (min(day, month), max(day, month))] if low < high]
    decimals = [(whole, part) for whole, part in [*of_month, (day, month)] if kinds is _NUMBERS or part < 10]
    typed = [f"{low}-{high}" for low, high in intervals if kinds is _DOSES] + [f"{whole}.{part}" for whole, part in decimals]
    return f", probably {' or '.join(typed)}" if typed else ""


def _what_is_wrong(cell: object, kinds) -> str | None:
    """The rule broken by a cell that is none of `kinds`, where it can be named; kinds: _NUMBERS or _DOSES."""
    text = _plain(cell)
    if text.startswith("="):
        return "is a formula, and formulas are not evaluated: enter its value"
    if kinds is _NUMBERS and _BETWEEN_GRADES.fullmatch(text):
        return "is not a number: the grade 1+, which lies between 1 and 2, is entered as 1.5"
    if date := _date(cell):
        return f"is a date: a spreadsheet turned what was typed{_typed(*date, kinds)}, into one; enter it as text"
    if rule := _fault_of_marks(text, kinds):
        return rule
    if not _is_one_of(text, kinds) and _MORE_THAN_A_NUMBER.match(text):
        return "is not a number alone: write it without words, in the unit of the column"
    return None


def _fault_of_marks(text: str, kinds, decimal: str = ".") -> str | None:
    """The rule broken by commas, or by separators of thousands; decimal="," says that points and commas of `text` are swapped."""
    whole = _THOUSANDS.sub(lambda match: re.sub(r"\D", "", match[0]), text)
    of_thousands = whole != text and _is_one_of(whole, kinds)
    of_decimals = "," in text and _is_one_of(text.replace(",", "."), kinds)
    as_whole, as_decimals = whole, text.replace(",", ".")
    if decimal == ",":
        as_whole, as_decimals = as_whole.translate(_SWAP), as_decimals.translate(_SWAP)
    mark, remedy = ("comma", "or read the table with decimal=','") if decimal == "." else ("point", "as in the rest of the table")
    if of_thousands and of_decimals:
        return f"has a {mark} that may be of thousands or of decimals: write {as_whole} or {as_decimals}"
    if of_thousands:
        return f"has a separator of thousands: write {as_whole}"
    return f"has a decimal {mark}: write {as_decimals}, {remedy}" if of_decimals else None


def short(value: float) -> str:
    """A number to three significant digits, without exponents for the sizes that doses have."""
    return f"{value:.0f}" if 1000 <= abs(value) < 1e7 else f"{value:.3g}"


def chance(p: float) -> str:
    """A probability with two decimals; none is printed as certain."""
    return "< 0.01" if p < 0.005 else "> 0.99" if p >= 0.995 else f"{p:.2f}"


def chance_of(what: str, p: float) -> str:
    """P(what) = 0.97, or > 0.99."""
    return f"P({what}) {chance(p) if chance(p)[0] in '<>' else f'= {chance(p)}'}"


def dose_text(low: float, high: float) -> str:
    """A printed dose in words: 10, 12–15, ≥21 or <5; empty where nothing is printed (NaN)."""
    if low == high:
        return f"{low:g}"
    if math.isnan(low):
        return ""
    return f"≥{low:g}" if math.isinf(high) else f"<{high:g}" if low == 0 else f"{low:g}–{high:g}"
