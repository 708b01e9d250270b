"""The class of a transcranial protocol, by which reviews group trials: what its modality and its frequency say."""

import re
from functools import cache

import numpy as np
import pandas as pd

from .audit import Ledger
from .protocol import is_patterned

COLUMN = "protocol_class"
LOW_HZ, HIGH_HZ = 1.0, 5.0
"""By convention low frequency is at most the one, high frequency at least the other; between them trials are not classed."""
PATTERNS = {"iTBS": r"itbs|intermittent", "cTBS": r"ctbs|continuous", "QPS": "qps|quadripulse"}
NAMES = {"low": r"\blf(?=\b|r?tms)|low[\s-]*freq", "high": r"\bhf(?=\b|r?tms)|high[\s-]*freq"}
UNNAMED = "bursts of which modality names no pattern, or several; state iTBS, cTBS, QPS or other"


def fill_classes(table: pd.DataFrame, ledger: Ledger) -> None:
    """Fill the empty cells of `protocol_class`, with a line in the audit for each, and for each that cannot be told; printed classes
    stay, and are noted where modality and frequency say another. Rows that are not transcranial have none."""
    if "modality" not in table:
        return
    frequency = table.get("frequency_hz", pd.Series(np.nan, table.index))
    low, high = (frequency.fillna(table.get(f"frequency_hz_{end}", np.nan)) for end in ("low", "high"))
    found = [
        class_of(modality, *bounds) if isinstance(modality, str) else ("", "")
        for modality, *bounds in zip(table["modality"], low, high, strict=True)
    ]
    told, why = (pd.Series(part, table.index, dtype=object) for part in zip(*found, strict=True))
    printed = table.get(COLUMN, pd.Series(None, table.index, dtype=object))
    fill = printed.isna() & (told != "")
    if fill.any():
        table[COLUMN] = printed.where(~fill, told)
    used = ["modality", "frequency_hz"]
    ledger.add(fill, COLUMN, told, why, printed=used)
    ledger.add(printed.isna() & (told == "") & (why != ""), COLUMN, "left empty", why, printed=used)
    differ = (told != "") & printed.notna() & ~printed.isin(["combined", "other"]) & (printed != told)
    ledger.add(differ, COLUMN, printed, "kept as printed, where modality and frequency say another", printed=[*used, COLUMN])


@cache
def class_of(modality: str, low: float, high: float) -> tuple[str, str]:
    """The class of a protocol of this modality and frequency (bounds in Hz, NaN where nothing is printed), "" if it cannot be told, and
    how it was told or why not ("" where there is nothing to say).

    "combined" is only what `modality` itself says, by naming low and high frequency.
    """
    words = modality.lower()
    is_pattern = is_patterned(modality)
    if re.search("pms|peripheral", words) or not (is_pattern or re.search("tms|transcranial magnetic", words)):
        return "", ""
    named = [name for name, pattern in (PATTERNS if is_pattern else NAMES).items() if re.search(pattern, words)]
    if is_pattern:
        return (named[0], "named in modality") if len(named) == 1 else ("", UNNAMED)
    if len(named) == 2:
        return "combined", "low and high frequency in one row, by its modality"
    if np.isnan(low):
        return (named[0], "named in modality") if named else ("", "")
    by_frequency = "low" if high <= LOW_HZ else "high" if low >= HIGH_HZ else ""
    if not by_frequency:
        return "", f"the frequency is not at most {LOW_HZ:g} Hz nor at least {HIGH_HZ:g} Hz"
    if named and named[0] != by_frequency:
        return "", f"modality says {named[0]} frequency, and the frequency is {by_frequency}"
    limit = f"at most {LOW_HZ:g} Hz" if by_frequency == "low" else f"at least {HIGH_HZ:g} Hz"
    return by_frequency, f"frequency_hz is {limit}"
