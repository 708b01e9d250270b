"""Dose cells as printed: a number, an interval (12-15), or an open end (>=21, <5)."""

import datetime
import re

_NUMBER = r"(\d+(?:\.\d*)?|\.\d+)"
_RANGE = re.compile(rf"^{_NUMBER}\s*(?:-|\u2013|\u2014|to)\s*{_NUMBER}$", re.IGNORECASE)
_AT_LEAST = re.compile(rf"^(?:\u2265|>=?)\s*{_NUMBER}$|^{_NUMBER}\s*\+$")
_AT_MOST = re.compile(rf"^(?:\u2264|<=?)\s*{_NUMBER}$")


def parse_dose(cell: object) -> tuple[float, float]:
    """Lower and upper bound of a printed dose; equal for a number, infinite for an open upper end, 0 for an open lower one.

    Raises ValueError, with the rule that the cell breaks, if it is none of these.
    """
    if isinstance(cell, datetime.date):
        raise ValueError("is a date: a spreadsheet turned a cell such as 10-20 into one; type it as text ('10-20)")
    text = str(cell).strip()
    if match := _RANGE.match(text):
        low, high = float(match[1]), float(match[2])
        if low >= high:
            raise ValueError("is an interval whose ends are not in order")
        return low, high
    if match := _AT_LEAST.match(text):
        return float(match[1] or match[2]), float("inf")
    if match := _AT_MOST.match(text):
        if float(match[1]) == 0:
            raise ValueError("is an interval that holds no dose")
        return 0.0, float(match[1])
    try:
        value = float(text)
    except ValueError:
        raise ValueError("is not a dose: write a number, an interval such as 12-15, or an open end such as >=21 or <5") from None
    if value != value or value in (float("inf"), float("-inf")):
        raise ValueError("is not a finite number")
    return value, value
