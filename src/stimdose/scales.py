"""Outcome scales: how papers name them, their range, which way is better, and published minimal important differences."""

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Difference:
    """A minimal (clinically) important difference, `low` to `high` in units of the scale; equal where one number is published.

    source: first author, journal and year. note: the method where it is not an anchor; "quoted" where the number was read in
    secondary literature only.
    """

    low: float
    high: float
    population: str
    source: str
    doi: str
    note: str = ""


@dataclass(frozen=True)
class Scale:
    """An outcome scale. `direction` is the score that is better, as in the column of that name.

    by_joint: the scale is scored joint by joint, so that papers add one to its name (MAS elbow flexors).
    """

    name: str
    title: str
    direction: str
    low: float
    high: float
    unit: str
    aliases: tuple[str, ...] = ()
    differences: tuple[Difference, ...] = ()
    by_joint: bool = False
    note: str = ""


def _read() -> dict[str, Scale]:
    entries = tomllib.loads(Path(__file__).with_name("scales.toml").read_text(encoding="utf-8"))["scale"]
    for entry in entries:
        entry["aliases"] = tuple(entry["aliases"])
        entry["differences"] = tuple(Difference(**difference) for difference in entry.get("differences", ()))
    return {entry["name"]: Scale(**entry) for entry in entries}


SCALES = _read()
"""The known scales by name, from scales.toml."""

JOINT_WORDS = frozenset(
    "shoulder elbow forearm wrist hand finger fingers thumb hip knee ankle flexor flexors extensor extensors adductor adductors plantar "
    "plantarflexor plantarflexors upper lower limb extremity muscle muscles mean total score mcp pip gastrocnemius soleus ordinal".split()
)


def _words(name: object) -> list[str]:
    """Words of a name, without a range in brackets such as (0-10)."""
    return re.findall(r"[^\W_]+", re.sub(r"\(\d.*?\)", " ", str(name)).lower())


_BY_KEY = {"".join(_words(alias)): scale for scale in SCALES.values() for alias in (scale.name, *scale.aliases)}


def scale_of(name: object) -> Scale | None:
    """The scale that papers call `name`, or None. Case, spaces, hyphens and a range in brackets do not matter.

    Only whole names match: a gain, a rate or a subscale of a scale is another quantity.
    """
    words = _words(name)
    if scale := _BY_KEY.get("".join(words)):
        return scale
    end = len(words)
    while end and words[end - 1] in JOINT_WORDS:
        end -= 1
    scale = _BY_KEY.get("".join(words[:end]))
    return scale if scale and scale.by_joint else None


def directions(outcomes: Iterable) -> list[str | None]:
    """Which score is better, "higher" or "lower", on the scale of each outcome; None where the scale is not known.

    A table that states another direction may be right: its signs may have been turned, or the name mean another scale.
    """
    outcomes = list(outcomes)
    found = {name: scale.direction if (scale := scale_of(name)) else None for name in dict.fromkeys(outcomes)}
    return [found[name] for name in outcomes]
