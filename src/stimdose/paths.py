"""Frequency, session length and pulses as physics ties them: pulses = Hz x 60 x minutes x duty cycle, which is at most 1.

Along a path one of the three moves, and what is not fixed follows, so that every point is a protocol that could be given.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from .arguments import checked, is_number, whole_from
from .curves import Kind
from .dose_space import ends_of, trials_of
from .doses import short
from .errors import StimdoseError, nearest
from .grid import dose_grid, usual_dose
from .identities import TOLERANCE
from .missing import DUTY as TIED
from .missing import PULSES
from .optima import Optimum, optimum
from .protocol import is_patterned
from .sampling import Fit
from .trials import Trials, rows_in_words

DUTY_CYCLE = "duty_cycle"
USUAL = "all else as usual"
OUTSIDE = 0.1
"""Probability of a best dose at which no trial was near, from which a reader is told."""


@checked(size=whole_from(2))
def protocol_path(
    source: Fit | Trials,
    column: str,
    *,
    fixed: str | Sequence[str] | Mapping[str, float],
    over: tuple[float, float] | None = None,
    size: int = 201,
    duty: float | None = None,
) -> xr.Dataset:
    """Protocols along which one of frequency_hz, session_min and pulses_per_session moves: for `curve(fit, column, at=path)`, and for
    `optimum` likewise. Hold other things as well with `path.assign(phase="chronic")`.

    fixed: one of the other two, at its usual (median) dose or a stated one ({"session_min": 20}); the third follows at a constant duty
        cycle. Or both others: the duty cycle follows, and doses at which it would be above 1 are cut off, which `remarks` say.
    over: range of `column`, by default the doses above 0 that rows name. duty: the duty cycle, by default the median of what the rows
        imply that print all three; those of bursts (theta burst, quadripulse), whose pulses are more than Hz x seconds, say nothing.

    Returns a Dataset along `column` with the other two doses (dose units), and `duty_cycle` as a coordinate. attrs: dose, doses,
    held (in words), remarks (lines). pulses_per_session = frequency_hz x 60 x session_min x duty_cycle everywhere.

    Raises StimdoseError where a path cannot be made, and says what to state.
    """
    held_at = _checked(column, fixed, duty)
    doses: dict[str, Any] = {name: _usual(source, name) if dose is None else float(dose) for name, dose in held_at.items()}
    free = [name for name in (*TIED, DUTY_CYCLE) if name != column and name not in doses]
    remarks = []
    if len(free) == 2:
        if duty is None:
            duty, remark = _usual_duty(trials_of(source))
            remarks.append(remark)
        doses[DUTY_CYCLE] = float(duty)
        free.remove(DUTY_CYCLE)
    (follower,) = free
    low, high = _range(source, column, over)
    if follower == DUTY_CYCLE:
        limit = _solved(column, doses | {DUTY_CYCLE: 1.0})
        is_cut, side = (limit < high, "above") if column == PULSES else (limit > low, "below")
        if is_cut:
            low, high = (low, limit) if column == PULSES else (limit, high)
            remarks.append(f"Doses of {column} {side} {short(limit)} would need a duty cycle above 1 and are left out")
        if not low < high:
            raise StimdoseError(f"no dose of {column} is possible with {_in_words(doses)}: the duty cycle would be above 1")
    grid = dose_grid(low, high, size)
    doses[follower] = _solved(follower, doses | {column: grid})
    if follower == DUTY_CYCLE:
        doses[follower] = np.minimum(doses[follower], 1.0)  # the end of the grid may miss the limit by a rounding error
    elif isinstance(source, Fit):
        remarks += _lacking(source, column, follower)
    held = ", ".join(f"{name} fixed at {short(doses[name])}" for name in held_at)
    how = "duty follows" if follower == DUTY_CYCLE else f"{follower} follows (duty {short(doses[DUTY_CYCLE])})"
    variables = {name: (column, value) if np.ndim(value) else value for name, value in doses.items()}
    return xr.Dataset(
        {name: variables[name] for name in TIED if name != column},
        {column: grid, DUTY_CYCLE: variables[DUTY_CYCLE]},
        {
            "dose": column,
            "doses": [name for name in TIED if name != column],
            "held": f"{held}, {how}",
            "remarks": "\n".join(remarks),
        },
    )


@dataclass(frozen=True)
class OptimaByPath:
    """Best doses along several paths: `optima` by path, and the `paths` (None where nothing follows)."""

    column: str
    optima: dict[str, Optimum]
    paths: dict[str, xr.Dataset | None]

    @property
    def explanation(self) -> str:
        """The verdicts in sentences, path by path."""
        return "\n".join(f"{name} ({best.curves.attrs['held']}):\n{best.explanation}" for name, best in self.optima.items())

    def table(self, prob: float = 0.95) -> pd.DataFrame:
        """One line per path and group, led by the verdict, as `Optimum.table`; `held` says in words what moves along."""
        tables = {name: best.table(prob).assign(held=best.curves.attrs["held"]) for name, best in self.optima.items()}
        return pd.concat(tables, names=["path", "group"])


@checked(size=whole_from(3))
def optima_by_path(
    fit: Fit,
    column: str,
    *,
    by: str | None = None,
    over: tuple[float, float] | None = None,
    delta: float | None = None,
    benefit: float | None = None,
    cost: float = 0.0,
    at: Mapping | None = None,
    kind: Kind = "mean",
    size: int = 401,
    duty: float | None = None,
) -> OptimaByPath:
    """The best dose of one of frequency_hz, session_min and pulses_per_session with each of the other two fixed, while the third
    follows, and with all else as usual. At fixed pulses a higher frequency means a shorter session; in a fixed session, more pulses.

    at: what else is held, and doses to fix the other two at in place of their usual ones. duty: as for `protocol_path`; other
    arguments as for `optimum`. With all else as usual, what no duty cycle up to 1 allows is left out if the model has all three.

    Raises StimdoseError as `protocol_path` and `optimum` do.
    """
    at = dict(at or {})
    own = [dose.column for dose in fit.model.doses]
    _check_column(column)
    if column in at:
        raise StimdoseError(f"cannot hold {column!r}: it is the dose that moves")
    others = {name: at.pop(name, None) for name in TIED if name != column}
    path = lambda fixed, duty: protocol_path(fit, column, fixed=fixed, over=over, size=size, duty=duty).assign(at)
    paths: dict[str, xr.Dataset | None] = {f"{name} fixed": path({name: dose}, duty) for name, dose in reversed(others.items())}
    paths[USUAL] = path(others, None) if all(name in own for name in others) else None
    stated = at | {name: dose for name, dose in others.items() if dose is not None and name in own}
    optima = {}
    for name, along in paths.items():
        where: dict[str, Any] = {"over": over, "at": stated} if along is None else {"at": along}
        found = optimum(fit, column, by=by, delta=delta, benefit=benefit, cost=cost, kind=kind, size=size, **where)
        remarks = () if along is None else along.attrs["remarks"].splitlines()
        optima[name] = replace(found, remarks=(*found.remarks, *remarks, *_unvisited(found)))
    return OptimaByPath(column, optima, paths)


def _unvisited(best: Optimum) -> list[str]:
    """Remarks on best doses at which no trial was near the doses of the path."""
    near = best.curves["visited"].sel({best.column: best.dose}, method="nearest")
    outside = 1 - near.mean(("chain", "draw"))
    groups = outside[best.by].values if best.by else [""]
    return [
        (f"{group}: with" if group else "With")
        + f" probability {share:.2f} the best dose lies where no trial was near these doses together"
        for group, share in zip(groups, np.atleast_1d(outside.values), strict=True)
        if share > OUTSIDE
    ]


def _solved(name: str, doses: Mapping) -> Any:
    """The one of the three doses and the duty cycle that follows from the others: pulses = Hz x 60 x minutes x duty cycle."""
    product = 60.0
    for factor in (*TIED, DUTY_CYCLE):
        product = product * doses[factor] if factor not in (name, PULSES) else product
    return product if name == PULSES else doses[PULSES] / product


def _usual_duty(trials: Trials) -> tuple[float, str]:
    """Median duty cycle of the rows that print all three doses, and a remark that says so."""
    table = trials.table
    numbers = table.reindex(columns=list(TIED)).astype(float)
    complete = (numbers > 0).all(axis=1)
    bursts = table["modality"].fillna("").astype(str).map(is_patterned) if "modality" in table else complete & False
    found = numbers[complete & ~bursts]
    if found.empty:
        raise StimdoseError(
            f"no row prints {', '.join(TIED)} as numbers (bursts apart), which a duty cycle follows from: "
            "state duty, the share of a session in which pulses run, such as duty=0.5"
        )
    implied = _solved(DUTY_CYCLE, found)
    duty = float(implied.median())
    if duty > 1 + TOLERANCE:
        raise StimdoseError(f"the rows imply a duty cycle of {short(duty)}, more than 1: correct them, or state duty")
    spread = f"from {short(implied.min())} to {short(implied.max())}"
    return min(duty, 1.0), f"The duty cycle {short(duty)} is the median of {rows_in_words(len(found))}, {spread}"


def _usual(source: Fit | Trials, name: str) -> float:
    """Usual dose: as of any curve if the model has it, else the median of the rows, intervals with their geometric middle."""
    if isinstance(source, Fit) and name in [dose.column for dose in source.model.doses]:
        return usual_dose(source.rows, name)
    trials = trials_of(source)
    middle = np.sqrt(np.prod(ends_of(trials, name), axis=0)) if name in trials.table else np.empty(0)
    if not (middle > 0).any():
        raise StimdoseError(f"no row prints {name}: state the dose to fix it at, such as fixed={{{name!r}: 20}}")
    return float(np.median(middle[middle > 0]))


def _range(source: Fit | Trials, column: str, over: tuple[float, float] | None) -> tuple[float, float]:
    trials = trials_of(source)
    if over is None:
        ends = ends_of(trials, column) if column in trials.table else np.empty(0)
        if not (ends > 0).any():
            raise StimdoseError(f"no row prints {column}: state `over`, its lowest and highest dose")
        over = ends[ends > 0].min(), ends[ends > 0].max()
    low, high = map(float, over)
    if not 0 < low < high < np.inf:
        raise StimdoseError(f"a path goes over two doses of {column} above 0, low < high, not {low:g} to {high:g}: state `over`")
    return low, high


def _checked(column: str, fixed, duty: float | None) -> dict[str, float | None]:
    """What is fixed, by name, with the dose if one is stated. Raises StimdoseError that lists all faults."""
    _check_column(column)
    if not isinstance(fixed, str | list | tuple | Mapping):
        raise StimdoseError(f"what is fixed is a dose, several, or doses by name, such as {{'session_min': 20}}, not {fixed!r}")
    names = [fixed] if isinstance(fixed, str) else list(fixed)
    found = dict(fixed) if isinstance(fixed, Mapping) else dict.fromkeys(names)
    others = [name for name in TIED if name != column]
    faults = [f"{name!r} cannot be fixed{nearest(str(name), others)}" for name in names if name not in others]
    faults += [] if names else ["nothing is fixed"]
    faults += [f"{n} cannot be fixed at {x!r}" for n, x in found.items() if x is not None and not _is_dose(x)]
    if duty is not None and not (_is_dose(duty) and duty <= 1):
        faults.append(f"a duty cycle is a share above 0, at most 1, not {duty!r}")
    if duty is not None and len(set(names)) > 1:
        faults.append("with both others fixed the duty cycle follows: leave duty out")
    if faults:
        raise StimdoseError(f"no path of {column}: {'; '.join(faults)}. Fix {others[0]}, {others[1]}, or both")
    return found


def _check_column(column: str) -> None:
    if column not in TIED:
        raise StimdoseError(f"a path moves {', '.join(TIED)}, not {column!r}{nearest(column, TIED)}")


def _is_dose(value) -> bool:
    return is_number(value) and value > 0


def _lacking(fit: Fit, column: str, follower: str) -> list[str]:
    """Remarks on doses that move along and that the model does not have."""
    own = [dose.column for dose in fit.model.doses]
    if follower in own:
        return []
    words = f"The model has no {follower}: it books what {follower} does as {column}"
    return [words if any(name in own for name in TIED if name != column) else f"{words}, and all paths are one curve"]


def _in_words(doses: Mapping) -> str:
    return " and ".join(f"{name} {short(value)}" for name, value in doses.items())
