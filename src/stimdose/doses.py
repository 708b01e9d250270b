"""Printed numbers, and dose cells: a number, an interval (12-15), or an open end (>=21, <5)."""

import datetime
import math
import re

_NUMBER = r"((?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)"
_SIGNED = re.compile(rf"[+-]?{_NUMBER}", re.ASCII | re.IGNORECASE)
_RANGE = re.compile(rf"{_NUMBER}\s*(?:[-\u2010-\u2014]|to)\s*{_NUMBER}", re.ASCII | re.IGNORECASE)
_AT_LEAST = re.compile(rf"(?:\u2265|>=?)\s*{_NUMBER}|{_NUMBER}\s*\+", re.ASCII | re.IGNORECASE)
_AT_MOST = re.compile(rf"(?:\u2264|<=?)\s*{_NUMBER}", re.ASCII | re.IGNORECASE)
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_NUMERIC_DATE = r"\d{4}-\d\d?-\d\d?.*|\d\d?([/.])\d\d?\1\d{4}"
_DATE = re.compile(rf"\d+\W{_MONTH}(?:\W\d+)?|{_MONTH}\W\d+|{_NUMERIC_DATE}", re.IGNORECASE)

IS_DATE = "is a date: a spreadsheet turned what was typed, such as 10-20, into one; enter it as text"


def is_date(cell: object) -> bool:
    """Whether a cell is a date, or reads like one that a spreadsheet has written (15-Dec, 2024-12-15)."""
    return isinstance(cell, datetime.date) or bool(_DATE.fullmatch(str(cell)))


def parse_number(cell: object) -> float:
    """The number of a cell, whose minus may be U+2212. Raises ValueError, with the rule that the cell breaks."""
    if is_date(cell):
        raise ValueError(IS_DATE)
    text = str(cell).strip().replace("\u2212", "-")
    value = float(text) if _SIGNED.fullmatch(text) else float("nan")
    if abs(value) < float("inf"):
        return value
    raise ValueError("is not a number")


def parse_dose(cell: object) -> tuple[float, float]:
    """Lower and upper bound of a printed dose; equal for a number, infinite for an open upper end, 0 for an open lower one.

    Raises ValueError, with the rule that the cell breaks, if it is none of these.
    """
    if is_date(cell):
        raise ValueError(IS_DATE)
    text = str(cell).strip().replace("\u2212", "-")
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
        raise ValueError("is not a dose: write a number, an interval such as 12-15, or an open end such as >=21 or <5")
    return low, high


def dose_text(low: float, high: float) -> str:
    """A printed dose in words: 10, 12–15, ≥21 or <5; empty where nothing is printed (NaN)."""
    if low == high:
        return f"{low:g}"
    if math.isnan(low):
        return ""
    return f"≥{low:g}" if math.isinf(high) else f"<{high:g}" if low == 0 else f"{low:g}–{high:g}"
