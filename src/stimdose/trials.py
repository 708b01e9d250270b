"""Trials: a checked table of effects, aligned so that positive is benefit, with doses as numbers or intervals."""

import difflib
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from . import effects
from .columns import COLUMNS, CONTROLS_INACTIVE, DOSES, PHASE_LIMITS_DAYS, RAW_MEASURES
from .errors import Problem, TrialsError
from .tables import Faults, cell_of, last_digit, read_table, typed

Missing = Literal["error", "drop", "keep"]
REQUIRED = tuple(name for name, column in COLUMNS.items() if column.required)
KEY = ("study", "outcome", "arm", "timepoint", "control_group", "sample", "modality", "site", "phase", *DOSES)
"""Two rows that agree in all of these are the same row twice."""

ARMS = tuple(name for name, column in COLUMNS.items() if column.kind == "arm")
SOURCES = {"effect": ("effect", *ARMS), "variance": ("se", "variance", "ci_low", "ci_high", "ci_level", *ARMS)}
"""Columns from which these two follow: a fault there is reported once, not as an empty cell as well."""
RULES = {
    "effect": "is empty: give it, or mean, SD and n of both arms (measure SMD or MD, design parallel or crossover)",
    "variance": "is empty: give se, variance, or ci_low and ci_high; or SD and n of both arms with their means",
}
MIXABLE = ("measure", "comparator", "design", "score", "outcome")

SE_TOLERANCE = 0.1
"""Two versions of a standard error may differ by this share, and by the rounding of print, before they contradict each other."""
EFFECT_TOLERANCE = 0.25
"""An effect may differ by this many standard errors, and by rounding, from its arm means and the middle of its interval."""


@dataclass(frozen=True)
class Trials:
    """A checked table.

    table: one line per row. `effect` (positive = benefit) with `variance`; `effect_reported`, and all other columns, as printed.
        A dose is a number, or NaN with an interval in `<dose>_low`, `<dose>_high` (0 and infinity for open ends).
    dropped: what was left out, and why. notes: what was computed, derived or noticed.
    """

    table: pd.DataFrame
    dropped: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        left_out = len({(str(problem.row), problem.study) for problem in self.dropped})
        more = f", {_rows(left_out)} dropped" if left_out else ""
        studies = _count(self.table["study"].nunique(), "study", "studies")
        return f"<Trials: {_rows(len(self))} of {studies}{more}>"

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the table, numbers to 15 digits."""
        return hashlib.sha256(self.table.to_csv(index=False, float_format="%.15g").encode()).hexdigest()

    @property
    def measure(self) -> str:
        """The effect measure, or several joined by +."""
        return "+".join(sorted(self.table["measure"].dropna().unique()))

    def bounds(self, dose: str) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper bounds (rows,) of a dose: equal where a number is printed, NaN where nothing is."""
        values = self.table[dose].to_numpy(float)
        if f"{dose}_low" not in self.table:
            return values, values
        low, high = (self.table[f"{dose}_{end}"].to_numpy(float) for end in ("low", "high"))
        return np.where(np.isnan(values), low, values), np.where(np.isnan(values), high, values)

    def gaps(self, columns: tuple[str, ...] = ()) -> list[Problem]:
        """Every empty cell among what a fit needs: the required columns, effect and variance, and `columns`."""
        return _gaps(self, columns).problems

    def complete(self, columns: tuple[str, ...] = (), missing: Missing = "error") -> "Trials":
        """The trials with nothing missing among `columns`; missing="drop" leaves incomplete rows out, and says which.

        Raises TrialsError that lists the empty cells.
        """
        if missing not in ("error", "drop"):
            raise TrialsError(f"missing is 'error' or 'drop', not {missing!r}", [])
        gaps = _gaps(self, columns)
        if not gaps.problems:
            return self
        if -1 in gaps.positions:
            raise TrialsError("the table lacks what this needs:", gaps.sorted())
        if missing == "error":
            cells = _count(len(gaps.problems), "cell that this needs is", "cells that this needs are")
            raise TrialsError(f"{cells} empty; fill in what is missing, or leave rows out with missing='drop':", gaps.sorted())
        kept = self.table[~gaps.rows()].reset_index(drop=True)
        if kept.empty:
            raise TrialsError("no row is complete:", gaps.sorted())
        return Trials(kept, (*self.dropped, *gaps.sorted()), self.notes)

    def subset(self, **levels) -> "Trials":
        """Rows whose column holds the given value, or one of a list of values: trials.subset(phase=["acute", "subacute"])."""
        keep = np.ones(len(self.table), bool)
        for name, wanted in levels.items():
            if name not in self.table:
                raise TrialsError(f"the table has no column {name!r}{_nearest(name, self.table)}", [])
            wanted = list(wanted) if isinstance(wanted, (list, tuple, set)) else [wanted]
            if pd.api.types.is_numeric_dtype(self.table[name]):
                wanted = pd.to_numeric(pd.Series(wanted, dtype=object), errors="coerce").dropna().tolist()
            keep &= self.table[name].isin(wanted).to_numpy()
        if not levels:
            return self
        if not keep.any():
            raise TrialsError(f"no row has {levels}", [])
        return Trials(self.table[keep].reset_index(drop=True), self.dropped, (*self.notes, f"subset: {levels}"))

    def mixtures(self) -> dict[str, list[str]]:
        """What differs among rows that one fit should not mix: by kind (one of MIXABLE), the values found.

        The outcome counts only for effects in its units.
        """
        raw = self.table["measure"].isin(RAW_MEASURES)
        found = {
            "measure": self.table["measure"],
            "comparator": self.table["comparator"].replace(dict.fromkeys(CONTROLS_INACTIVE, "sham or add-on")),
            "design": self.table["design"].replace("crossover", "parallel"),
            "score": self.table["score"] if "score" in self.table else pd.Series(dtype=object),
            "outcome": self.table.loc[raw, "outcome"] if "outcome" in self.table else pd.Series(dtype=object),
        }
        return {kind: sorted(values.dropna().unique()) for kind, values in found.items() if values.dropna().nunique() > 1}

    def require_one_estimand(self, allow_mixed: str | tuple[str, ...] = ()) -> None:
        """Raise TrialsError if rows differ in measure, comparator, design or score, or raw effects in outcome.

        allow_mixed: kinds that may differ.
        """
        allow_mixed = (allow_mixed,) if isinstance(allow_mixed, str) else allow_mixed
        unknown = set(allow_mixed) - set(MIXABLE)
        if unknown:
            raise TrialsError(f"allow_mixed takes {', '.join(MIXABLE)}, not {', '.join(sorted(unknown))}", [])
        problems = []
        for kind, values in self.mixtures().items():
            if kind not in allow_mixed:
                rule = f"rows with {', '.join(values)} in one fit; choose with subset(), or state allow_mixed={[kind]}"
                problems.append(Problem(None, "", kind, "", rule))
        if problems:
            raise TrialsError("the table mixes effects that do not mean the same:", problems)


def read_trials(
    source: str | Path | pd.DataFrame, *, missing: Missing = "error", sheet: int | str = 0, **constants: str
) -> Trials:
    """Read and check a trials table.

    source: a CSV or Excel file, or a DataFrame; columns as in `columns.COLUMNS`, others pass through.
    missing: what becomes of rows without an effect, a variance or a required cell: "error", "drop" (they are named in `dropped`)
        or "keep" (they stay, and `gaps()` lists them). Empty doses always stay; the fit that needs them decides.
    constants: values for columns that are the same in every row, such as direction="higher"; they fill empty cells only.

    Raises TrialsError with every fault of the table.
    """
    if missing not in ("error", "drop", "keep"):
        raise TrialsError(f"missing is 'error', 'drop' or 'keep', not {missing!r}", [])
    cells = read_table(source, sheet)
    notes = [*_fill(cells, constants), *_names_to_doubt(cells)]
    faults = Faults(cells)
    _check_columns(cells, faults, required=("study",) if missing == "keep" else REQUIRED)
    table = typed(cells, faults)
    notes += _derive_phase(table)
    notes += _effects(table, cells, faults)
    _check_duplicates(table, faults)
    has_control = table["design"].isin(["parallel", "crossover"])
    faults.add((table["comparator"] == "none") & has_control, "comparator", "is 'none', but the design has a control")
    compared = table["comparator"].notna() & (table["comparator"] != "none")
    faults.add(compared & (table["design"] == "within-group"), "comparator", "must be 'none' for a change within a group")
    trials = Trials(table, notes=tuple(notes))
    if missing == "error":
        _gaps(trials, faults=faults)
    if faults.problems:
        hint = " (a column that is the same in every row can be given as an argument)" if -1 in faults.positions else ""
        raise TrialsError(f"the trials table has {_count(len(faults.problems), 'fault', 'faults')}{hint}:", faults.sorted())
    return trials.complete(missing="drop") if missing == "drop" else trials


def _gaps(trials: Trials, columns: tuple[str, ...] = (), faults: Faults | None = None) -> Faults:
    """Empty cells among what a fit needs, added to `faults` unless a fault noted there explains them."""
    table = trials.table
    faults = faults or Faults(table)
    explained = {name: faults.rows(SOURCES.get(name, (name,))) for name in (*REQUIRED, "effect", "variance", *columns)}
    use_arms = faults.rows(("measure", "design", "score")) & (_has_arms(table, "") | _has_arms(table, "change_"))
    explained |= {name: explained[name] | use_arms for name in SOURCES}
    for name in explained:
        if name not in table:
            faults.add_column(name, "the table has no such column")
            continue
        values = pd.Series(trials.bounds(name)[0]) if f"{name}_low" in table else table[name]
        if name == "effect" and "effect_reported" in table:
            values = table["effect_reported"]  # without a direction there is no sign, and it is the direction that is missing
        faults.add(values.isna().to_numpy() & ~explained[name], name, RULES.get(name, "is empty"))
    return faults


def _fill(cells: pd.DataFrame, constants: dict[str, object]) -> list[str]:
    """Write the constants into the empty cells of their columns."""
    notes = []
    for name, value in constants.items():
        if name not in COLUMNS:
            raise TrialsError(f"{name!r} is not a column of the vocabulary{_nearest(name, COLUMNS)}", [])
        if cell_of(value) is None:
            raise TrialsError(f"{name} is given as an argument, and is empty", [])
        empty = cells[name].isna() if name in cells else np.full(len(cells), True)
        filled = [cell_of(value) if is_empty else cell for is_empty, cell in zip(empty, cells.get(name, empty), strict=True)]
        cells[name] = pd.Series(filled, cells.index, dtype=object)
        notes.append(f"{name} = {value!r} filled in where it was empty, as asked: {_rows(int(sum(empty)))}")
    return notes


def _check_columns(cells: pd.DataFrame, faults: Faults, required: tuple[str, ...]) -> None:
    """Note the required columns that are missing, and add every missing column of REQUIRED, empty."""
    for name in REQUIRED:
        if name not in cells:
            if name in required:
                faults.add_column(name, f"the column is missing{_nearest(name, cells)}: {COLUMNS[name].meaning}")
            cells[name] = pd.Series([None] * len(cells), cells.index, dtype=object)


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _rows(number: int) -> str:
    return _count(number, "row", "rows")


def _nearest(name: str, known) -> str:
    close = difflib.get_close_matches(name, [str(item) for item in known], n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _names_to_doubt(cells: pd.DataFrame) -> list[str]:
    notes = []
    for name in cells.columns.difference([*COLUMNS, "row"], sort=False):
        close = difflib.get_close_matches(name, [known for known in COLUMNS if known not in cells], n=1, cutoff=0.85)
        if close:
            notes.append(f"column {name!r} is not in the vocabulary and passes through unchecked; did you mean {close[0]!r}?")
    return notes


def _derive_phase(table: pd.DataFrame) -> list[str]:
    if "days_since_stroke" not in table:
        return []
    acute, subacute = PHASE_LIMITS_DAYS
    days = table["days_since_stroke"]
    derived = pd.cut(days, [-1, acute, subacute, np.inf], right=False, labels=["acute", "subacute", "chronic"]).astype(object)
    if "phase" not in table:
        table["phase"] = None
    fill = table["phase"].isna() & derived.notna()
    differ = table["phase"].isin(["acute", "subacute", "chronic"]) & derived.notna() & (table["phase"] != derived)
    table["phase"] = table["phase"].where(~fill, derived)
    limits = f"(acute before day {acute:g}, subacute before day {subacute:g})"
    kept = "phase kept as printed, where days_since_stroke would give another"
    return _note(fill, f"phase cut from days_since_stroke {limits}") + _note(differ, f"{kept} {limits}")


def _note(where, text: str) -> list[str]:
    return [f"{text}: {_rows(int(where.sum()))}"] if where.any() else []


def _effects(table: pd.DataFrame, cells: pd.DataFrame, faults: Faults) -> list[str]:
    """Fill effect and variance from whatever the row prints, check that the printed versions agree, and align to benefit."""
    effect, se = _column(table, "effect"), _printed_se(table, cells, faults)
    with np.errstate(all="ignore"):  # what overflows is a fault below
        arms_effect, arms_variance, rounding = _from_arms(table, cells, faults)
        rounding += last_digit(cells, "effect") / 2
        contradicts = (effect - arms_effect).abs() > EFFECT_TOLERANCE * np.sqrt(arms_variance) + rounding
        faults.add(contradicts, "effect", "contradicts the effect computed from the arm means; keep one of the two")
        reported = effect.where(effect.notna(), arms_effect)
        variance = (se**2).where(se.notna(), arms_variance)
    faults.add(np.isinf(reported) & effect.isna(), "effect", "computed from the arm means, is infinite")
    faults.add(np.isinf(variance) | (variance == 0), "variance", "comes out as 0 or infinite")

    sign = table["direction"].map({"higher": 1.0, "lower": -1.0}).astype(float)
    table["effect_reported"], table["effect"], table["variance"] = reported, sign * reported, variance
    from_arms = se.isna() & arms_variance.notna()
    return [
        *_note(effect.isna() & arms_effect.notna(), "effect computed from arm means and SDs (SMD as Hedges g)"),
        *_note(from_arms, "variance computed from arm sizes and SDs"),
        *_note(
            from_arms & (table["design"] == "crossover"),
            "variance of a crossover taken as that of separate groups, so likely too large",
        ),
        *_note((sign < 0) & reported.notna(), "sign turned, because a lower score is better: positive is benefit"),
    ]


def _column(table: pd.DataFrame, name: str) -> pd.Series:
    return table[name] if name in table else pd.Series(np.nan, table.index, dtype=float)


def _given(cells: pd.DataFrame, name: str) -> pd.Series:
    return cells[name].notna() if name in cells else pd.Series(False, cells.index)


def _printed_se(table: pd.DataFrame, cells: pd.DataFrame, faults: Faults) -> pd.Series:
    """The standard error from se, variance or interval, the first that is there; a fault where these, or the effect, disagree."""
    effect, low, high, variance = (_column(table, name) for name in ("effect", "ci_low", "ci_high", "variance"))
    level = _column(table, "ci_level").where(_given(cells, "ci_level"), 0.95)
    digit = last_digit(cells, "effect", "ci_low", "ci_high")
    from_interval = effects.se_from_interval(low, high, level).where(low < high)

    faults.add(_given(cells, "ci_low") != _given(cells, "ci_high"), "ci_low", "a confidence interval needs both ends")
    faults.add(low >= high, "ci_low", "the lower confidence limit is not below the upper one")
    faults.add((low < high) & ((effect < low) | (effect > high)), "effect", "lies outside its confidence interval")
    off_centre = (effect - (low + high) / 2).abs() > EFFECT_TOLERANCE * from_interval + digit
    ratios = "is far from the middle of its confidence interval (ratios enter as logarithms)"
    faults.add(off_centre & effect.between(low, high), "effect", ratios)

    least_variance = (variance - last_digit(cells, "variance") / 2).clip(lower=0)
    versions = {
        "se": (_column(table, "se"), last_digit(cells, "se") / 2),
        "variance": (np.sqrt(variance), np.sqrt(variance) - np.sqrt(least_variance)),
        "ci_low": (from_interval, effects.se_from_interval(0, digit, level)),
    }
    se, rounding = (pd.Series(np.nan, table.index, dtype=float) for _ in range(2))
    for name, (candidate, its_rounding) in versions.items():
        contradicts = (candidate - se).abs() > SE_TOLERANCE * se + rounding + its_rounding
        what = "the confidence interval " if name == "ci_low" else ""
        faults.add(contradicts, name, f"{what}contradicts the standard error or variance printed in the same row")
        se, rounding = se.where(se.notna(), candidate), rounding.where(se.notna(), its_rounding)
    return se


def _from_arms(table: pd.DataFrame, cells: pd.DataFrame, faults: Faults) -> tuple[pd.Series, pd.Series, pd.Series]:
    """Effect and variance from arm summaries, and how far rounding of the means may move the effect; NaN in rows without them."""
    effect, variance, rounding = (pd.Series(np.nan, table.index, dtype=float) for _ in range(3))
    score = table["score"] if "score" in table else pd.Series(None, table.index, dtype=object)
    controlled = table["design"].isin(["parallel", "crossover"])
    whole = {prefix: controlled & _has_arms(table, prefix) for prefix in ("", "change_")}
    faults.add(whole[""] & whole["change_"] & score.isna(), "score", "state change or final: the row gives arm means of both")
    for prefix, kind in (("", "final"), ("change_", "change")):
        for measure, formula in (("SMD", effects.standardised_mean_difference), ("MD", effects.mean_difference)):
            use = whole[prefix] & (score.isna() | (score == kind)) & (table["measure"] == measure)
            for size in ("n_active", "n_control"):
                lonely = use & (_column(table, size) < 2)
                faults.add(lonely, size, "an arm of fewer than two people has no standard deviation")
                use &= ~lonely
            if use.any():
                mean, *others = (table.loc[use, name] for name in _summaries(prefix))
                digit = last_digit(cells, f"{prefix}mean_active", f"{prefix}mean_control")[use]
                effect[use], variance[use] = formula(mean, *others)
                rounding[use] = formula(mean + digit, *others)[0] - effect[use]
    return effect, variance, rounding


def _summaries(prefix: str) -> list[str]:
    return [name for arm in ("active", "control") for name in (f"{prefix}mean_{arm}", f"{prefix}sd_{arm}", f"n_{arm}")]


def _has_arms(table: pd.DataFrame, prefix: str) -> pd.Series:
    return table.reindex(columns=_summaries(prefix)).notna().all(axis=1)


def _check_duplicates(table: pd.DataFrame, faults: Faults) -> None:
    bounds = [f"{name}_{end}" for name in DOSES for end in ("low", "high")]
    key = [name for name in (*KEY, *bounds) if name in table]
    read = table[table["study"].notna() & ~faults.rows(key)]
    first = {}
    for k, group in read.groupby(key, dropna=False, sort=False).ngroup().items():
        if group in first:
            same = f"repeats row {table['row'][first[group]]}: same study, outcome, arm, time point and doses"
            faults.add(table.index == k, "study", f"{same}; tell them apart with `arm` or `outcome`")
        first.setdefault(group, k)
