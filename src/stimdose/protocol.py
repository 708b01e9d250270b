"""Stimulation protocols: what follows from trains and bursts, and what the printed doses of a table imply about its empty cells.

A pulse lasts its period, a burst likewise: 5 s at 10 Hz are 50 pulses, 2 s at 5 bursts a second are 10 bursts. A session runs from
the start of the first train to the end of the last; the pause after that is no part of it.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cache, partial, reduce
from operator import or_
from typing import NamedTuple

import numpy as np
import pandas as pd

from .errors import StimdoseError

AXES = ("burst", "carrier", "mean")
COLUMNS = tuple("frequency_hz pulses_per_session session_min sessions total_pulses train_s intertrain_s trains on_time_s".split())
TOLERANCE = 0.05
WHOLE = 0.02  # a computed number of trains or sessions this close to a whole one is whole: printed minutes are rounded


def session_length(train_s, interval_s, trains):
    """Seconds of a session: trains x train_s + (trains - 1) x interval_s."""
    return trains * train_s + (trains - 1) * interval_s


def whole_trains(session_s, train_s, interval_s):
    """Trains that fit in a session; the same number whether or not session_s counts the pause after the last train."""
    return np.floor((session_s + interval_s) / (train_s + interval_s) + WHOLE)


@dataclass(frozen=True, kw_only=True)
class Rtms:
    """`trains` of `train_s` seconds, `interval_s` seconds apart, of single pulses at `frequency_hz`. One train is continuous.

    Raises StimdoseError that lists every impossible value, as all protocols do.
    """

    frequency_hz: float
    train_s: float
    interval_s: float = 0.0
    trains: int = 1

    def __post_init__(self):
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        faults = [f"{n} = {x} is not above 0" for n, x in values.items() if n != "interval_s" and not 0 < x < np.inf]
        faults += [f"{n} = {values[n]} is not whole" for n in ("trains", "pulses_per_burst") if values.get(n, 1) % 1]
        faults += [] if 0 <= self.interval_s < np.inf else [f"interval_s = {self.interval_s} is not 0 or more"]
        if not faults and self.pulses > self.frequency_hz * self.on_time_s * (1 + 1e-9):
            faults = ["a burst lasts longer than the time to the next"]
        if faults:
            raise StimdoseError(f"no such {type(self).__name__} can be given; correct: {'; '.join(faults)}")

    @classmethod
    def lasting(cls, minutes: float, **train) -> "Rtms":
        """As many whole trains as fit: Rpms.lasting(20, frequency_hz=20, train_s=3, interval_s=2) is 3 s on, 2 s off for 20 min."""
        one = cls(**train)
        return replace(one, trains=int(whole_trains(60 * minutes, one.train_s, one.interval_s)))

    @property
    def pulses(self) -> float:
        """Pulses in a session: frequency_hz x on_time_s."""
        return self.frequency_hz * self.on_time_s

    @property
    def on_time_s(self) -> float:
        """Seconds of a session in which trains run: trains x train_s."""
        return self.trains * self.train_s

    @property
    def session_s(self) -> float:
        """Seconds from the start of the first train to the end of the last."""
        return session_length(self.train_s, self.interval_s, self.trains)

    @property
    def session_min(self) -> float:
        """Minutes from the start of the first train to the end of the last."""
        return self.session_s / 60

    @property
    def duty_cycle(self) -> float:
        """Share of the session in which trains run: on_time_s / session_s."""
        return self.on_time_s / self.session_s

    @property
    def mean_rate_hz(self) -> float:
        """Pulses per second of the whole session: pulses / session_s."""
        return self.pulses / self.session_s

    def total_pulses(self, sessions: int) -> float:
        """Pulses over the whole treatment: pulses x sessions."""
        return self.pulses * sessions


class Rpms(Rtms):
    """On-off cycles of peripheral stimulation: `train_s` seconds on, `interval_s` seconds off, as in `Rtms`."""


@dataclass(frozen=True, kw_only=True)
class Patterned(Rtms):
    """Trains of bursts: `pulses_per_burst` at `frequency_hz`, the carrier, `burst_frequency_hz` times a second, as in `Rtms`."""

    pulses_per_burst: int
    burst_frequency_hz: float

    @property
    def pulses(self) -> float:
        """Pulses in a session: pulses_per_burst x burst_frequency_hz x on_time_s."""
        return self.pulses_per_burst * self.burst_frequency_hz * self.on_time_s


def iTBS(trains: int = 20) -> Patterned:
    """Intermittent theta burst: bursts as in `cTBS`, 2 s on, 8 s off; 600 pulses in 192 s. Huang et al. 2005, Neuron 45:201-206."""
    return Patterned(frequency_hz=50, pulses_per_burst=3, burst_frequency_hz=5, train_s=2, interval_s=8, trains=trains)


def cTBS(train_s: float = 40) -> Patterned:
    """Continuous theta burst: 3 pulses at 50 Hz, 5 times a second; 600 pulses in 40 s. Huang et al. 2005, Neuron 45:201-206."""
    return Patterned(frequency_hz=50, pulses_per_burst=3, burst_frequency_hz=5, train_s=train_s)


def QPS(interval_ms: float = 5, minutes: float = 30) -> Patterned:
    """Quadripulse: 4 pulses `interval_ms` apart, every 5 s; 1440 pulses in 30 min. Hamada et al. 2008, J Physiol 586:3927-3947."""
    carrier = 1000 / (interval_ms or np.nan)
    return Patterned(frequency_hz=carrier, pulses_per_burst=4, burst_frequency_hz=0.2, train_s=60 * minutes)


@cache
def _standard(modality: str) -> tuple[str, Patterned] | None:
    """Description and protocol of iTBS, cTBS, QPS (5 ms) and QPS-50 (so many ms); None for every other modality."""
    name = modality.strip().lower()
    if name in ("itbs", "ctbs"):
        protocol, label = (iTBS(), "iTBS (Huang 2005)") if name == "itbs" else (cTBS(), "cTBS (Huang 2005)")
    elif match := re.fullmatch(r"qps[- ]?(\d+(?:\.\d+)?)?", name):
        protocol, label = QPS(float(match[1] or 5)), f"QPS-{match[1] or 5} (Hamada 2008)"
    else:
        return None
    return f"standard {label}: {protocol.pulses:g} pulses in {protocol.session_s:g} s", protocol


def frequency(protocol: Rtms | str, axis: str = "burst") -> float:
    """Frequency (Hz) at which a protocol, or the standard pattern of a modality, enters a frequency axis. The axis is a choice:

    "burst": bursts per second (TBS 5, QPS 0.2); the train frequency of single pulses. The default: the theta rhythm is what TBS is
        built on (Huang 2005), and its 5 Hz compare with 5 Hz trains in how often the cortex is addressed.
    "carrier": pulses per second while pulses run (TBS 50, QPS-5 200). It makes TBS the highest frequency of a table.
    "mean": pulses per second of the whole session, pauses included (iTBS 3.1, cTBS 15, QPS 0.8): a density, for every protocol.

    Raises StimdoseError for an unknown axis and for a modality without a standard pattern.
    """
    if axis not in AXES:
        raise StimdoseError(f"the frequency of bursts is one of {', '.join(AXES)}, not {axis!r}")
    if isinstance(protocol, str):
        if not _standard(protocol):
            raise StimdoseError(f"{protocol!r} has no standard pattern, as iTBS, cTBS and QPS have: give the protocol itself")
        protocol = _standard(protocol)[1]
    burst = getattr(protocol, "burst_frequency_hz", protocol.frequency_hz)
    return {"burst": burst, "carrier": protocol.frequency_hz, "mean": protocol.mean_rate_hz}[axis]


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
        faults = []

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
        self.plain = np.array([not re.search("tbs|theta|qps|quadripulse", name.lower()) for name in self.modality], bool)
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
        for name in filter(_standard, set(self.modality)):
            rows = standard = self.modality == name
            self.assumption[rows], pattern = _standard(name)
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
    values, found = doses.values, [[] for _ in range(len(table))]

    def report(bad: np.ndarray, rests: np.ndarray, message: Callable[[int], str]) -> None:
        for i in np.flatnonzero(bad):
            columns = tuple(name for name, bit in BIT.items() if rests[i] & bit)
            if not any(set(columns) <= set(fault.columns) for fault in found[i]):  # one fault, one report
                found[i].append(Contradiction(int(i), columns, message(i)))

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
    for name in filter(_standard, set(doses.modality)):
        hertz = {axis: frequency(_standard(name)[1], axis) for axis in AXES}
        near = {axis: np.abs(values["frequency_hz"] / hertz[axis] - 1) <= tolerance for axis in AXES}
        for axis in AXES:
            text = f"frequency_hz is {hertz[axis]:g}, the {axis} frequency of {name}, but the axis is {tbs_frequency}"
            bad = (doses.modality == name) & near[axis] & ~near[tbs_frequency]
            report(bad, doses.rests["frequency_hz"], lambda i, text=text, own=hertz[tbs_frequency]: f"{text}: {own:g} Hz")
    return [fault for row in found for fault in row]


def bounds(table: pd.DataFrame) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Lower and upper bounds (rows,) that a duty cycle of at most 1 sets to empty cells: pulses ≤ Hz × 60 × minutes.

    For frequency_hz, pulses_per_session and session_min; 0 and infinity where nothing is implied, in printed cells, and for bursts.
    Of a printed interval the end counts that is safe. Raises StimdoseError as `implied` does.
    """
    doses = _Doses(table)
    hertz, pulses, minutes = COLUMNS[:3]
    free = {name: doses.plain & ~doses.printed[name] for name in (hertz, pulses, minutes)}
    with np.errstate(all="ignore"):
        least = {hertz: doses.low[pulses] / 60 / doses.high[minutes], minutes: doses.low[pulses] / 60 / doses.high[hertz]}
        most = doses.high[hertz] * 60 * doses.high[minutes]
    limits = {name: (np.where(free[name] & (low < np.inf), low, 0), np.full(len(low), np.inf)) for name, low in least.items()}
    return limits | {pulses: (np.zeros(len(most)), np.where(free[pulses] & (most >= 0), most, np.inf))}
