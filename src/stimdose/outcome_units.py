"""Effects of several outcomes in one unit: so many points of each, as its minimal important difference."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from .audit import STATED, Conversion
from .columns import RAW_MEASURES
from .errors import Problem, TrialsError, nearest
from .scales import Difference, Scale, scale_of

EFFECTS = ("effect", "effect_reported", "effect_r0", "effect_sd1")
VARIANCES = ("variance", "variance_reported", "variance_r0", "variance_r_slope", "variance_sd1")
"""What a table holds in points, and in points squared."""
IMPORTANT = "minimal important differences"


def in_units(
    table: pd.DataFrame, units: Mapping[str, float], called: str, sources: Mapping[str, str] | None = None
) -> tuple[pd.DataFrame, list[Conversion]]:
    """A table of `Trials` with effects in units of so many points, by outcome or its scale, and a line of the audit for each row.

    sources: where the points of an outcome were published. Raises TrialsError that names every row without a unit.
    """
    _require_by_outcome("units", units)
    outcomes = table["outcome"] if "outcome" in table else pd.Series(None, table.index, dtype=object)
    found = {name: _entry(name, units) for name in outcomes.dropna().unique()}
    stated = ", ".join(map(repr, units)) or "none"
    problems = [
        Problem(
            row, study, "outcome", f"{outcome}", f"has no unit among {stated}: state its points{nearest(outcome, units, 0.8)}"
        )
        if pd.notna(outcome)
        else Problem(row, study, "outcome", "", "is empty, and has no unit")
        for row, study, outcome in zip(table["row"], table["study"], outcomes, strict=True)
        if pd.isna(outcome) or found[outcome] is None
    ]
    problems += [
        Problem(row, study, "measure", measure or "", "is not in points of the outcome; choose rows of MD or MC with subset()")
        for row, study, measure in zip(table["row"], table["study"], table["measure"], strict=True)
        if measure not in RAW_MEASURES
    ]
    problems += [
        Problem(None, "", "outcome", name, f"its unit is a number of points above 0, not {value!r}")
        for name, value in found.items()
        if value is not None and not _is_positive(value)
    ]
    if "points_per_unit" in table:
        problems.append(
            Problem(None, "", "effect", "", f"is in {table['effect_unit'].iloc[0]} already; start from the trials as read")
        )
    if problems:
        raise TrialsError("these effects cannot be put in units of points of their outcomes:", problems)
    points = outcomes.map(found).to_numpy(float)
    scaled = {name: table[name] / points for name in EFFECTS if name in table}
    scaled |= {name: table[name] / points**2 for name in VARIANCES if name in table}
    lines = [
        Conversion(
            row,
            study,
            "effect, variance",
            f"outcome = {outcome}" if np.isnan(effect) else f"effect = {effect:.10g}, outcome = {outcome}",
            effect / unit,
            f"effect / {unit:g}, variance / {unit:g}²: in {called}, of {unit:g} points of {outcome}",
            STATED,
            (sources or {}).get(outcome, ""),
        )
        for row, study, effect, outcome, unit in zip(table["row"], table["study"], table["effect"], outcomes, points, strict=True)
    ]
    return table.assign(**scaled, points_per_unit=points, effect_unit=called), lines


def important_differences(outcomes: pd.Series, choices: Mapping[str, float | str]) -> tuple[dict[str, float], dict[str, str]]:
    """The minimal important difference of each outcome, in points, and where those that were not stated are published.

    choices: by outcome or its scale a number of points, or words of the population or the source of one that is published (`scales`).
    An outcome without a choice has the one number that is published, if it is one. Raises TrialsError that lists what there is.
    """
    _require_by_outcome("choices", choices)
    points, sources, problems, names = {}, {}, [], outcomes.dropna().unique()
    unused = choices.keys() - {*names, *(scale.name for scale in map(scale_of, names) if scale)}
    for name in names:
        choice, scale = _entry(name, choices), scale_of(name)
        if choice is not None and not isinstance(choice, str):
            points[name] = choice
            continue
        if choice is None and (meant := nearest(name, unused)):  # or a published one would stand in for the one stated
            problems.append(Problem(None, "", "outcome", name, f"is not among the choices{meant}"))
            continue
        published = scale.differences if scale else ()
        fits = [
            one
            for one in published
            if choice is None or choice.casefold() in f"{one.source} {one.doi} {one.population}".casefold()
        ]
        if len(fits) == 1 and fits[0].low == fits[0].high:
            points[name], sources[name] = fits[0].low, _in_words(fits[0])
        else:
            problems.append(Problem(None, "", "outcome", name, _what_there_is(scale, published, choice, fits)))
    if problems:
        raise TrialsError("state which minimal important difference is meant:", problems)
    return points, sources


def _require_by_outcome(name: str, given) -> None:
    if not isinstance(given, Mapping):
        raise TrialsError(f"{name} is a dict by outcome, such as {{'FMA-UE': 12, 'MAS': 1}}, not {given!r}", [])


def _entry(outcome: str, entries: Mapping):
    """What is given for an outcome by its name, or else by the name of its scale."""
    scale = scale_of(outcome)
    return entries.get(outcome, entries.get(scale.name) if scale else None)


def _is_positive(value: Any) -> bool:
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool) and bool(0 < value < np.inf)


def _what_there_is(scale: Scale | None, published: tuple[Difference, ...], choice: str | None, fits: list[Difference]) -> str:
    if scale is None:
        return "is no scale that is known here: state a number of points"
    if not published:
        return f"no difference of its own is known for {scale.name}: state a number of points"
    if len(fits) == 1:
        return f"a range is published, not a number: {_in_words(fits[0])}; state a number of points"
    start = "" if choice is None else f"{choice!r} is {'several' if fits else 'none'} of them; "
    listed = "; ".join(_in_words(one) for one in published)
    return f"{start}state a number of points, or words that name the one meant, if that is a single number, of: {listed}"


def _in_words(one: Difference) -> str:
    size = f"{one.low:g}" if one.low == one.high else f"{one.low:g} to {one.high:g}"
    return f"{size} ({one.population}; {one.source}{f'; {one.note}' if one.note else ''})"
