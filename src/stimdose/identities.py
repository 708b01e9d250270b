"""What the printed doses of a table imply about its empty cells, and where they contradict each other.

Pulses = Hz x on-time, total pulses = pulses x sessions, the lengths of trains and pauses make the session, and pulses run at most all
of it. Nothing printed is ever changed.
"""

from collections.abc import Callable
from functools import partial, reduce
from operator import or_
from typing import NamedTuple

import numpy as np
import pandas as pd

from .errors import StimdoseError
from .protocol import AXES, COLUMNS, WHOLE, Patterned, frequency, is_patterned, session_length, standard_pattern, whole_trains

TOLERANCE = 0.05
"""Printed values may differ from an identity by this share, and by the rounding of print, before they contradict it."""


class Implied(NamedTuple):
    """Value of an empty cell: row position from 0, the identity it follows from, and what was assumed ("" if nothing)."""

    position: int
    column: str
    value: float
    formula: str
    assumption: str


class Contradiction(NamedTuple):
    """Printed cells of one row, position from 0, that cannot all be right."""

    position: int
    columns: tuple[str, ...]
    message: str


class Rule(NamedTuple):
    """`column` follows from `sources`, in "all" rows, those of single pulses ("plain"), or of one unbroken train ("continuous")."""

    column: str
    sources: tuple[str, ...]
    formula: str
    solve: Callable
    kind: str = "all"


def _product(whole: str, a: str, b: str, kind: str = "all") -> list[Rule]:
    quotients = [Rule(x, (whole, y), f"{whole} / {y}", np.divide, kind) for x, y in ((a, b), (b, a))]
    return [Rule(whole, (a, b), f"{a} × {b}", np.multiply, kind), *quotients]


def _session(column: str, solve: Callable, formula: str) -> Rule:
    members = ("session_min", "train_s", "intertrain_s", "trains")
    return Rule(column, tuple(name for name in members if name != column), formula, solve)


RULES = [
    *_product("on_time_s", "train_s", "trains"),
    *_product("pulses_per_session", "frequency_hz", "on_time_s", "plain"),
    *_product("total_pulses", "pulses_per_session", "sessions"),
    _session("session_min", lambda *x: session_length(*x) / 60, "(trains × train_s + (trains − 1) × intertrain_s) / 60"),
    _session("trains", lambda m, t, i: whole_trains(60 * m, t, i), "whole trains of train_s, intertrain_s apart, in session_min"),
    _session("train_s", lambda m, i, n: (60 * m - (n - 1) * i) / n, "(60 × session_min − (trains − 1) × intertrain_s) / trains"),
    _session("intertrain_s", lambda m, t, n: (60 * m - n * t) / (n - 1), "(60 × session_min − trains × train_s) / (trains − 1)"),
    Rule("session_min", ("on_time_s",), "on_time_s / 60, one unbroken train", lambda on_time: on_time / 60, "continuous"),
    Rule("on_time_s", ("session_min",), "60 × session_min, one unbroken train", lambda minutes: 60 * minutes, "continuous"),
]
IDENTITIES = [rule for rule in RULES if rule.solve is np.multiply or rule.column == "session_min"]
AT_LEAST = [
    Rule("session_min", ("on_time_s",), "the least, on_time_s / 60 at a duty cycle of 1,", lambda on_time: on_time / 60),
    Rule("on_time_s", ("train_s",), "the least, one train_s,", np.positive),
    Rule("total_pulses", ("pulses_per_session",), "the least, one pulses_per_session,", np.positive),
]
MEAN_RATE = Rule("frequency_hz", COLUMNS[1:3], "pulses_per_session / (60 × session_min)", lambda pulses, m: pulses / (60 * m))
BIT = {name: 1 << j for j, name in enumerate(COLUMNS)}
ASSUMED = 1 << len(COLUMNS)


class _Doses:
    """The doses of a table, filled by rules. The bits of `rests` say on which printed columns, or assumption, a value rests."""

    def __init__(self, table: pd.DataFrame):
        faults: list[str] = []

        def read(name: str) -> np.ndarray:
            cells = table.get(name, pd.Series(np.nan, table.index))
            numbers = pd.to_numeric(cells, errors="coerce").to_numpy(float, na_value=np.nan, copy=True)
            fine = cells.isna().to_numpy() | ((numbers >= 0) & (np.isfinite(numbers) | name.endswith("_high")))
            faults.extend(f"{name} = {cells.iloc[i]} at position {i}" for i in np.flatnonzero(~fine))
            return numbers

        self.values, low, high = ({name: read(name + end) for name in COLUMNS} for end in ("", "_low", "_high"))
        if faults:
            raise StimdoseError("printed doses are finite numbers, 0 or more; correct or empty these cells: " + "; ".join(faults))
        self.printed = {name: ~np.isnan(value) for name, value in self.values.items()}
        self.low = {n: np.where(self.printed[n], self.values[n], np.nan_to_num(low[n])) for n in COLUMNS}
        self.high = {n: np.where(self.printed[n], self.values[n], np.where(np.isnan(high[n]), np.inf, high[n])) for n in COLUMNS}
        self.rests = {name: self.printed[name] * bit for name, bit in BIT.items()}
        modality = table.get("modality", pd.Series("", table.index)).astype(object)
        self.modality = modality.where(modality.notna(), "").astype(str).str.strip().to_numpy(object)
        self.plain = np.array([not is_patterned(name) for name in self.modality], bool)
        self.assumption = np.where(self.modality == "", "no modality is printed: trains of single pulses", "").astype(object)
        self.filled: list[tuple[str, np.ndarray, str]] = []

    def solve(self, rule: Rule) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Value by a rule, on what it rests, and the rows that the rule is for."""
        rows, sources = np.full(len(self.plain), True), rule.sources
        if rule.kind == "continuous":
            rows = (self.values["trains"] == 1) | (self.values["intertrain_s"] == 0)
            sources = (*sources, "trains", "intertrain_s")
        rests = reduce(or_, (self.rests[name] for name in sources), np.zeros(len(rows), int))
        if rule.kind == "plain":
            rows, rests = self.plain, rests | ASSUMED * (self.modality == "")
        with np.errstate(all="ignore"):
            return np.full(len(rows), rule.solve(*(self.values[name] for name in rule.sources)), float), rests, rows

    @np.errstate(all="ignore")
    def fill(self, rule: Rule, only: np.ndarray | bool = True, assumed: int = 0) -> bool:
        """Write what a rule gives into empty cells, where it can be: finite, above 0 (a pause 0 or more), counts whole."""
        (value, rests, rows), column = self.solve(rule), rule.column
        value[np.abs(value) < 1e-9] = 0
        if column in ("trains", "sessions"):
            value = np.where(np.abs(value - np.round(value)) > WHOLE, np.nan, np.round(value))
        possible = np.isfinite(value) & ((value > 0) | ((value == 0) & (column == "intertrain_s")))
        new = only & rows & possible & np.isnan(self.values[column])
        self.values[column][new], self.rests[column][new] = value[new], rests[new] | assumed
        self.filled.append((column, new, f"{column} = {rule.formula}"))
        return bool(new.any())

    def close(self) -> "_Doses":
        """Apply the identities until nothing new follows, each time the first that gives something: session lengths, least exact, last."""
        while any(self.fill(rule) for rule in RULES):
            pass
        return self

    def assume_standards(self, axis: str) -> None:
        """Fill iTBS, cTBS and QPS by their standard patterns; lengths only where no other train or pause is printed."""
        for name in set(self.modality):
            if not (known := standard_pattern(name)):
                continue
            rows = standard = self.modality == name
            self.assumption[rows], pattern = known
            timing = (pattern.train_s, pattern.interval_s, pattern.trains, pattern.on_time_s)
            for column, value in zip(("train_s", "intertrain_s", "trains", "on_time_s"), timing, strict=True):
                standard = standard & (~self.printed[column] | (self.values[column] == value))
            for rule in _lengths(pattern):
                self.fill(rule, standard, ASSUMED)
            undosed = np.isnan(self.values["pulses_per_session"]) & np.isnan(self.values["session_min"])
            rule = Rule("frequency_hz", (), f"{axis} frequency of the standard pattern", partial(frequency, pattern, axis))
            self.fill(rule, rows & (undosed | (axis != "mean")), ASSUMED)
        if axis == "mean":
            self.fill(MEAN_RATE, ~self.plain)
        self.close()


def _lengths(pattern: Patterned) -> list[Rule]:
    """Minutes from pulses, by as many trains as they need; pulses from minutes, too coarse to count trains, of whole sessions only."""
    cycle = pattern.session_s + pattern.interval_s
    minutes = lambda pulses: (pulses / pattern.pulses * cycle - pattern.interval_s) / 60

    def pulses(minutes):
        sessions = (60 * minutes + pattern.interval_s) / cycle
        whole = np.maximum(np.round(sessions), 1)
        return np.where(np.abs(sessions / whole - 1) <= TOLERANCE + _rounding(minutes), whole * pattern.pulses, np.nan)

    return [
        Rule("session_min", ("pulses_per_session",), "time of so many pulses in the standard pattern", minutes),
        Rule("pulses_per_session", ("session_min",), "pulses in so many minutes of the standard pattern", pulses),
    ]


def _rounding(x: np.ndarray) -> np.ndarray:
    """Half a unit of the last printed digit after the point, relative to x; 0 beyond six digits."""
    return np.max([np.where(np.round(x, digits) == x, 10.0**-digits, 0) for digits in range(7)], axis=0) / 2 / x


def implied(table: pd.DataFrame, tbs_frequency: str = "burst") -> list[Implied]:
    """What the printed cells of each row imply for its empty ones, by row; the table itself is never changed.

    Identities (single pulses for the second): on_time_s = train_s × trains; pulses_per_session = frequency_hz × on_time_s;
    60 session_min = trains × train_s + (trains − 1) × intertrain_s, and = on_time_s where trains is 1 or intertrain_s 0;
    total_pulses = pulses_per_session × sessions. Each is solved for one missing member, until nothing new follows. iTBS, cTBS and
    QPS (QPS-50: 50 ms) get frequency_hz on the axis `tbs_frequency`, and pulses and minutes from each other, by the standard
    pattern that `assumption` names. A printed interval (`<dose>_low`, `<dose>_high`) is filled only by a value inside it. Rows
    with contradictions imply nothing until they are mended. Raises StimdoseError that lists every cell which is no dose.
    """
    sound = np.full(len(table), True)
    sound[[fault.position for fault in contradictions(table, tbs_frequency=tbs_frequency)]] = False
    doses, found = _Doses(table).close(), []
    doses.assume_standards(tbs_frequency)
    for column, new, formula in doses.filled:
        value, assumed = doses.values[column], doses.rests[column] & ASSUMED
        for i in np.flatnonzero(new & sound & (value >= doses.low[column]) & (value <= doses.high[column])):
            found.append(Implied(int(i), column, float(value[i]), formula, doses.assumption[i] if assumed[i] else ""))
    return sorted(found, key=lambda cell: (cell.position, COLUMNS.index(cell.column)))


def contradictions(table: pd.DataFrame, tolerance: float = TOLERANCE, tbs_frequency: str = "burst") -> list[Contradiction]:
    """Rows whose printed cells break an identity of `implied`, or cannot be: a duty cycle above 1, a train longer than the on-time,
    fewer pulses in all sessions than in one, a value outside its interval, a frequency of bursts on another axis.

    Two values agree if the larger is at most 1 + tolerance + rounding times the smaller; rounding is half the last printed digit of
    session_min and on_time_s, where these are involved (20 min: 0.5 / 20). A session may count the pause after its last train.
    Raises StimdoseError as `implied` does.
    """
    frequency("iTBS", tbs_frequency)  # is it an axis?
    if not 0 <= tolerance < np.inf:
        raise StimdoseError(f"the tolerance is a share such as 0.05, not {tolerance!r}")
    doses = _Doses(table).close()
    values = doses.values
    found: list[list[Contradiction]] = [[] for _ in range(len(table))]

    def report(bad: np.ndarray, rests: np.ndarray, message: str | Callable[[int], str]) -> None:
        for i in map(int, np.flatnonzero(bad)):
            columns = tuple(name for name, bit in BIT.items() if rests[i] & bit)
            if not any(set(columns) <= set(fault.columns) for fault in found[i]):  # one fault, one report
                found[i].append(Contradiction(i, columns, message if isinstance(message, str) else message(i)))

    @np.errstate(all="ignore")
    def compare(column: str, rests: np.ndarray, rows: np.ndarray | bool, low: np.ndarray, high: np.ndarray, what: str) -> None:
        value, allowed = values[column], 1 + tolerance
        for length in ("session_min", "on_time_s"):
            allowed = allowed + np.where((rests & BIT[length] > 0) & doses.printed[length], _rounding(values[length]), 0)
        limits = lambda i: " to ".join(f"{limit:.4g}" for limit in dict.fromkeys((low[i], high[i])) if limit < np.inf)
        bad = rows & (np.maximum(low / value, value / high) > allowed)
        report(bad, rests, lambda i: f"{column} is {value[i]:.4g}, but {what} is {limits(i)}")

    for rule in (*IDENTITIES, *AT_LEAST):
        low, rests, rows = doses.solve(rule)
        last_pause = values["intertrain_s"] / 60 if "intertrain_s" in rule.sources else 0
        high = np.where(rule in AT_LEAST, np.inf, low + last_pause)
        compare(rule.column, rests | doses.rests[rule.column], rows, low, high, rule.formula)
    for name, bit in BIT.items():
        compare(name, doses.rests[name] | bit, True, doses.low[name], doses.high[name], "its printed interval")
    for name in filter(standard_pattern, set(doses.modality)):
        hertz: dict[str, float] = {axis: frequency(name, axis) for axis in AXES}
        near: dict[str, np.ndarray] = {axis: np.abs(values["frequency_hz"] / hertz[axis] - 1) <= tolerance for axis in AXES}
        for axis in AXES:
            text = f"frequency_hz is {hertz[axis]:g}, the {axis} frequency of {name}, but the axis is {tbs_frequency}"
            bad = (doses.modality == name) & near[axis] & ~near[tbs_frequency]
            text += f": {hertz[tbs_frequency]:g} Hz"
            report(bad, doses.rests["frequency_hz"], text)
    return [fault for row in found for fault in row]
