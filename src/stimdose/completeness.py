"""What trials report: by field of the vocabulary and item of a checklist, and by study."""

import numpy as np
import pandas as pd

from .audit import STATED
from .columns import COLUMNS
from .trials import Trials

GROUPS = ("estimand", "effect", "arm", "dose", "protocol", "moderator", "reporting", "risk of bias")
COMPUTED = ("effect", "variance")
"""Not counted: once a table is read, what was computed stands where nothing was printed."""

_GROUP = {name: column.kind for name, column in COLUMNS.items() if name not in COMPUTED} | {"p_value": "effect"}
FIELDS = tuple(name for group in GROUPS for name in _GROUP if _GROUP[name] == group)

ALTERNATIVES = ("effect", "arm")
"""Groups whose fields are several ways to print the same: no study needs all of them."""


def reported_rows(trials: Trials) -> pd.DataFrame:
    """Whether each field is printed in each row (rows x FIELDS). An interval of a dose counts; what was computed does not."""
    table = trials.table
    found = table.reindex(columns=list(FIELDS)).notna()
    for dose in [name for name in FIELDS if f"{name}_low" in table]:
        found[dose] |= table[f"{dose}_low"].notna()
    rows = table["row"].map(str)
    computed = {
        (str(line.row), line.column)
        for line in trials.conversions
        if line.assumption != STATED and f"{line.column} = " not in line.printed
    }
    for field in {column for _, column in computed} & set(FIELDS):
        found[field] &= np.array([(row, field) not in computed for row in rows])
    return found


def reported(trials: Trials) -> pd.DataFrame:
    """Whether each field is printed in any row of each study (studies x FIELDS)."""
    return reported_rows(trials).groupby(trials.table["study"], sort=False).any()


def completeness(trials: Trials) -> pd.DataFrame:
    """How many studies and rows report each field: one line per field, with its group and checklist item.

    share: of the studies.
    """
    rows, studies = reported_rows(trials), reported(trials)
    return pd.DataFrame(
        {
            "group": [_GROUP[name] for name in FIELDS],
            "field": FIELDS,
            "item": [COLUMNS[name].item for name in FIELDS],
            "studies": studies.sum().to_numpy(),
            "rows": rows.sum().to_numpy(),
            "share": studies.mean().to_numpy(),
        }
    )


def summary(trials: Trials) -> list[str]:
    """The same in a few lines: each group with the number of studies that report its fields, then the fields nobody reports."""
    table = completeness(trials)
    some, none = table[table["studies"] > 0], table[(table["studies"] == 0) & ~table["group"].isin(ALTERNATIVES)]
    lines = [f"Reported, of {trials.table['study'].nunique()} studies:"]
    for group, fields in some.groupby("group", sort=False):
        lines.append(
            f"  {group}: " + ", ".join(f"{field} {n}" for field, n in zip(fields["field"], fields["studies"], strict=True))
        )
    return [*lines, *([f"Reported by no study: {', '.join(none['field'])}"] if len(none) else [])]
