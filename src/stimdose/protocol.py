"""Stimulation protocols: what follows from trains and bursts.

A pulse lasts its period, a burst likewise: 5 s at 10 Hz are 50 pulses, 2 s at 5 bursts a second are 10 bursts. A session runs from
the start of the first train to the end of the last; the pause after that is no part of it.
"""

import re
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Any, Literal

import numpy as np

from .errors import StimdoseError

AXES: tuple[Literal["burst", "carrier", "mean"], ...] = ("burst", "carrier", "mean")
COLUMNS = tuple("frequency_hz pulses_per_session session_min sessions total_pulses train_s intertrain_s trains on_time_s".split())
WHOLE = 0.02  # a computed number of trains or sessions this close to a whole one is whole: printed minutes are rounded


def session_length(train_s: Any, interval_s: Any, trains: Any) -> Any:
    """Seconds of a session: trains x train_s + (trains - 1) x interval_s."""
    return trains * train_s + (trains - 1) * interval_s


def whole_trains(session_s: Any, train_s: Any, interval_s: Any) -> Any:
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

    def __post_init__(self) -> None:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        faults = [f"{n} = {x} is not above 0" for n, x in values.items() if n != "interval_s" and not 0 < x < np.inf]
        faults += [f"{n} = {values[n]} is not whole" for n in ("trains", "pulses_per_burst") if values.get(n, 1) % 1]
        faults += [] if 0 <= self.interval_s < np.inf else [f"interval_s = {self.interval_s} is not 0 or more"]
        if not faults and self.pulses > self.frequency_hz * self.on_time_s * (1 + 1e-9):
            faults = ["a burst lasts longer than the time to the next"]
        if faults:
            raise StimdoseError(f"no such {type(self).__name__} can be given; correct: {'; '.join(faults)}")

    @classmethod
    def lasting(cls, minutes: float, **train: Any) -> "Rtms":
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
def standard_pattern(modality: str) -> tuple[str, Patterned] | None:
    """Description and protocol of iTBS, cTBS, iTBS-1200 (so many pulses), QPS (5 ms) and QPS-50 (so many ms, 1.5 to 1250 as in Hamada
    2008); None for every other modality."""
    name = re.sub(r"[\s\-_()]+", " ", modality.lower()).strip()
    if match := re.fullmatch(
        r"(itbs|intermittent (?:tbs|theta burst)|ctbs|continuous (?:tbs|theta burst))(?: stimulation)?(?: (600|1200|1800))?", name
    ):
        pulses = int(match[2] or 600)
        if name.startswith("i"):
            protocol, label = iTBS(pulses // 30), "iTBS (Huang 2005)"
        else:
            protocol, label = cTBS(pulses / 15), "cTBS (Huang 2005)"
    elif (match := re.fullmatch(r"qps ?(\d+(?:\.\d+)?)?", name)) and 1.5 <= float(match[1] or 5) <= 1250:
        protocol, label = QPS(float(match[1] or 5)), f"QPS-{match[1] or 5} (Hamada 2008)"
    else:
        return None
    return f"standard {label}: {protocol.pulses:g} pulses in {protocol.session_s:g} s", protocol


def is_patterned(modality: str) -> bool:
    """Whether pulses come in bursts, so that the stated frequency need not be that of the pulses."""
    return bool(re.search("tbs|theta|qps|quadripulse", modality.lower()))


def is_unnamed_pattern(modality: str) -> bool:
    """Whether pulses come in bursts whose pattern is not one of the standard ones."""
    return is_patterned(modality) and standard_pattern(modality) is None


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
        if not (standard := standard_pattern(protocol)):
            raise StimdoseError(f"{protocol!r} has no standard pattern, as iTBS, cTBS and QPS have: give the protocol itself")
        protocol = standard[1]
    burst = getattr(protocol, "burst_frequency_hz", protocol.frequency_hz)
    return {"burst": burst, "carrier": protocol.frequency_hz, "mean": protocol.mean_rate_hz}[axis]
