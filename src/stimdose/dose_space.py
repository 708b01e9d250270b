"""Which doses trials tried together: what goes with what, and so what a table cannot tell apart."""

from dataclasses import dataclass

import numpy as np

from .columns import DOSES
from .errors import StimdoseError, nearest
from .sampling import Fit

CORRELATED = 0.6
"""|r| of two log doses from which they are rivals. Collinearity distorts estimates from |r| 0.5 to 0.7 on (Dormann et al. 2013,
Ecography 36:27-46, doi 10.1111/j.1600-0587.2012.07348.x)."""
FEWEST_ROWS = 10
"""Of two unrelated doses, r over fewer rows than this reaches CORRELATED more than one time in fifteen."""
SAME = (
    {"sessions", "treatment_days", "therapy_hours", "total_pulses"},
    {"pulses_per_session", "total_pulses"},
    {"intensity_percent_rmt", "intensity_percent_mso"},
)
"""Doses that measure one thing by definition, so that one is no rival explanation of the other: the length of the course, in
sessions, days, hours or all pulses; total pulses, which are pulses per session times sessions; intensity on its two scales."""


@dataclass(frozen=True)
class Confounder:
    """A dose whose logarithm goes with that of another: r over so many rows that print both as numbers above 0."""

    column: str
    r: float
    rows: int
    in_model: bool


def confounders(fit: Fit, column: str) -> tuple[Confounder, ...]:
    """The rivals of a dose, strongest first: doses of the table, in the model or not, with |r| of the log doses >= 0.6 over at least
    10 rows. What measures the same by definition (SAME) is none, nor are total pulses beside the pulses per session they are made of.

    Raises StimdoseError if neither the table nor the model has the dose.
    """
    table, own = fit.trials.table, [dose.column for dose in fit.model.dose]
    known = [name for name in dict.fromkeys((*own, *DOSES)) if name in table]
    if column not in (*known, *own):
        raise StimdoseError(f"there is no dose {column!r}{nearest(column, known)}; there are {', '.join(known) or 'none'}")
    logs = {name: _logs(table[name]) for name in known}
    found = []
    for name in known if column in logs else ():
        if name != column and not same_thing(column, name):
            r, rows = correlation(logs[column], logs[name])
            if rows >= FEWEST_ROWS and abs(r) >= CORRELATED:
                found.append(Confounder(name, r, rows, name in own))
    if "pulses_per_session" in [rival.column for rival in found]:
        found = [rival for rival in found if rival.column != "total_pulses" or rival.in_model]
    return tuple(sorted(found, key=lambda rival: -abs(rival.r)))


def same_thing(one: str, other: str) -> bool:
    """Whether two doses measure the same thing by definition."""
    return any({one, other} <= names for names in SAME)


def correlation(one: np.ndarray, other: np.ndarray) -> tuple[float, int]:
    """r of two columns (rows,) over the rows where both are finite, NaN where one does not vary; and the number of these rows."""
    both = np.isfinite(one) & np.isfinite(other)
    pair = np.stack([one[both], other[both]])
    if not both.any() or (np.ptp(pair, axis=1) < 1e-9).any():
        return np.nan, int(both.sum())
    return float(np.corrcoef(pair)[0, 1]), int(both.sum())


def _logs(doses) -> np.ndarray:
    """Log doses (rows,), NaN where no number above 0 is printed."""
    values = doses.to_numpy(float)
    return np.log(np.where(values > 0, values, np.nan))
