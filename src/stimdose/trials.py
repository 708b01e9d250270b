"""Trials: a checked table of effects, aligned so that positive is benefit, with doses as numbers or intervals."""

import difflib
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from . import effects
from .columns import COLUMNS, CONTROLS_INACTIVE, DOSES, PHASE_LIMITS_DAYS
from .errors import Problem, TrialsError
from .tables import Faults, doses, numbers, read_table, words

Missing = Literal["error", "drop", "keep"]
REQUIRED = tuple(name for name, column in COLUMNS.items() if column.required)
KEY = ("study", "outcome", "arm", "timepoint", "control_group", "sample", "modality", "site", "phase", *DOSES)
"""Two rows that agree in all of these are the same row twice."""

SE_TOLERANCE = 0.1
"""Two printed versions of a standard error may differ by this share (rounding) before they contradict each other."""
EFFECT_TOLERANCE = 0.25
"""A printed effect may differ from its arm means, and from the middle of its interval, by this many standard errors."""


@dataclass(frozen=True)
class Trials:
    """A checked table.

    table: one line per row. `effect` (positive = benefit) with `variance`; `effect_reported` with the printed sign; a dose is a
        number in its column, or NaN there and an interval in `<dose>_low`, `<dose>_high` (0 and infinity for open ends).
    dropped: what was left out, and why. notes: what was computed, derived or noticed.
    """

    table: pd.DataFrame
    dropped: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        more = f", {len(self.dropped)} cells dropped" if self.dropped else ""
        return f"<Trials: {len(self)} rows of {self.table['study'].nunique()} studies{more}>"

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
        faults = Faults(self.table)
        for name in (*REQUIRED, "effect", "variance", *columns):
            if name not in self.table:
                faults.problems.append(Problem(None, "", name, "", "the table has no such column"))
                continue
            empty = np.isnan(self.bounds(name)[0]) if f"{name}_low" in self.table else self.table[name].isna()
            faults.add(empty, name, "is empty")
        return faults.problems

    def complete(self, columns: tuple[str, ...] = (), missing: Missing = "error") -> "Trials":
        """The trials with nothing missing among `columns`; missing="drop" leaves incomplete rows out, and says which.

        Raises TrialsError that lists the empty cells.
        """
        problems = self.gaps(columns)
        if not problems:
            return self
        if missing != "drop" or any(problem.row is None for problem in problems):
            raise TrialsError(f"{len(problems)} cells that this needs are empty; fill them, or leave those rows out with missing='drop':", problems)
        kept = self.table[~self.table["row"].isin([problem.row for problem in problems])].reset_index(drop=True)
        if kept.empty:
            raise TrialsError("no row is complete:", problems)
        return Trials(kept, (*self.dropped, *problems), self.notes)

    def subset(self, **levels) -> "Trials":
        """Rows whose column holds the given value, or one of a list of values: trials.subset(phase=["acute", "subacute"])."""
        keep = np.ones(len(self.table), bool)
        for name, wanted in levels.items():
            if name not in self.table:
                raise TrialsError(f"the table has no column {name!r}{_nearest(name, self.table)}", [])
            keep &= self.table[name].isin(wanted if isinstance(wanted, (list, tuple, set)) else [wanted]).to_numpy()
        if not keep.any():
            raise TrialsError(f"no row has {levels}", [])
        return Trials(self.table[keep].reset_index(drop=True), self.dropped, (*self.notes, f"subset: {levels}"))

    def mixtures(self) -> dict[str, list[str]]:
        """What differs among rows that one fit should not mix: by kind (measure, comparator, design, score), the values found."""
        found = {
            "measure": self.table["measure"],
            "comparator": self.table["comparator"].replace(dict.fromkeys(CONTROLS_INACTIVE, "sham or add-on")),
            "design": self.table["design"].replace("crossover", "parallel"),
            "score": self.table["score"] if "score" in self.table else pd.Series(dtype=object),
        }
        return {kind: sorted(values.dropna().unique()) for kind, values in found.items() if values.dropna().nunique() > 1}

    def require_one_estimand(self, allow_mixed: tuple[str, ...] = ()) -> None:
        """Raise TrialsError if rows differ in measure, comparator, design or score, except in the kinds named in `allow_mixed`."""
        unknown = set(allow_mixed) - {"measure", "comparator", "design", "score"}
        if unknown:
            raise TrialsError(f"allow_mixed takes measure, comparator, design and score, not {', '.join(sorted(unknown))}", [])
        problems = [
            Problem(None, "", kind, "", f"rows with {', '.join(values)} in one fit; choose with subset(), or state allow_mixed={[kind]}")
            for kind, values in self.mixtures().items()
            if kind not in allow_mixed
        ]
        if problems:
            raise TrialsError("the table mixes effects that do not mean the same:", problems)


def read_trials(source: str | Path | pd.DataFrame, *, missing: Missing = "error", sheet: int | str = 0, **constants: str) -> Trials:
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
    for name, value in constants.items():
        if name not in COLUMNS:
            raise TrialsError(f"{name!r} is not a column of the vocabulary{_nearest(name, COLUMNS)}", [])
        cells[name] = cells[name].where(cells[name].notna(), str(value)) if name in cells else str(value)
    absent = [Problem(None, "", name, "", f"the column is missing: {COLUMNS[name].meaning}") for name in REQUIRED if name not in cells]
    if any(problem.column == "study" for problem in absent) or (absent and missing == "error"):
        raise TrialsError("the table lacks columns (a column that is the same in every row can be given as an argument):", absent)
    for problem in absent:
        cells[problem.column] = None

    faults, notes = Faults(cells), _names_to_doubt(cells)
    table = _typed(cells, faults)
    notes += _derive_phase(table)
    notes += _effects(table, faults)
    _check_duplicates(table, faults)
    faults.add((table["comparator"] == "none") & table["design"].isin(["parallel", "crossover"]), "comparator", "is 'none', but the design has a control")
    faults.add(table["comparator"].notna() & (table["comparator"] != "none") & (table["design"] == "within-group"), "comparator", "must be 'none' for a change within a group")
    trials = Trials(table, notes=tuple(notes))
    problems = faults.problems + (trials.gaps() if missing == "error" else [])
    if problems:
        count = f"{len(problems)} fault{'s' if len(problems) > 1 else ''}"
        raise TrialsError(f"the trials table has {count}:", sorted(problems, key=lambda problem: _place(problem.row, table)))
    return trials.complete(missing="drop") if missing == "drop" else trials


def _place(row: object, table: pd.DataFrame) -> int:
    return -1 if row is None else list(table["row"]).index(row)


def _nearest(name: str, known) -> str:
    close = difflib.get_close_matches(name, [str(item) for item in known], n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _names_to_doubt(cells: pd.DataFrame) -> list[str]:
    notes = []
    for name in cells.columns:
        close = difflib.get_close_matches(name, [known for known in COLUMNS if known not in cells], n=1, cutoff=0.85)
        if name not in COLUMNS and name != "row" and close:
            notes.append(f"column {name!r} is not in the vocabulary and passes through unchecked; did you mean {close[0]!r}?")
    return notes


def _typed(cells: pd.DataFrame, faults: Faults) -> pd.DataFrame:
    table = {"row": cells["row"]}
    for name in cells.columns.drop("row"):
        column = COLUMNS.get(name)
        if column is None:
            values = pd.to_numeric(cells[name], errors="coerce")
            table[name] = values if cells[name].notna().any() and (values.notna() == cells[name].notna()).all() else cells[name]
        elif column.kind == "dose":
            low, high = doses(cells, name, faults)
            table[name] = low.where(low == high)
            if (low < high).any():
                table |= {f"{name}_low": low.where(low < high), f"{name}_high": high.where(low < high)}
        else:
            table[name] = (numbers if column.is_numeric else words)(cells, name, faults)
    return pd.DataFrame(table)


def _derive_phase(table: pd.DataFrame) -> list[str]:
    if "days_since_stroke" not in table:
        return []
    acute, subacute = PHASE_LIMITS_DAYS
    days = table["days_since_stroke"]
    derived = pd.cut(days, [-1, acute, subacute, np.inf], right=False, labels=["acute", "subacute", "chronic"]).astype(object)
    if "phase" not in table:
        table["phase"] = None
    fill = table["phase"].isna() & derived.notna()
    table["phase"] = table["phase"].where(~fill, derived)
    return [f"phase of {fill.sum()} rows cut from days_since_stroke: acute before day {acute:g}, subacute before day {subacute:g}"] if fill.any() else []


def _effects(table: pd.DataFrame, faults: Faults) -> list[str]:
    """Fill effect and variance from whatever the row prints, check that the printed versions agree, and align to benefit."""
    empty = pd.Series(np.nan, table.index, dtype=float)
    get = lambda name: table[name] if name in table else empty  # noqa: E731
    effect, low, high, level = get("effect"), get("ci_low"), get("ci_high"), get("ci_level").fillna(0.95)

    faults.add(low.notna() != high.notna(), "ci_low", "a confidence interval needs both ends")
    faults.add(low >= high, "ci_low", "the lower confidence limit is not below the upper one")
    faults.add((low < high) & ((effect < low) | (effect > high)), "effect", "lies outside its confidence interval")
    from_interval = effects.se_from_interval(low, high, level).where(low < high)
    off_centre = (effect - (low + high) / 2).abs() > EFFECT_TOLERANCE * from_interval
    faults.add(off_centre & effect.between(low, high), "effect", "is far from the middle of its confidence interval (ratios enter as logarithms)")

    arms_effect, arms_variance = _from_arms(table, faults)
    printed = {"se": get("se"), "variance": np.sqrt(get("variance").clip(lower=0)), "ci_low": from_interval}
    se = empty
    for name, candidate in printed.items():
        faults.add((candidate / se - 1).abs() > SE_TOLERANCE, name, "contradicts the standard error printed in the same row")
        se = se.where(se.notna(), candidate)
    faults.add((effect - arms_effect).abs() > EFFECT_TOLERANCE * np.sqrt(arms_variance), "effect", "contradicts the effect computed from the arm means")
    se_from_arms = se.isna() & arms_variance.notna()
    effect_from_arms = effect.isna() & arms_effect.notna()

    sign = table["direction"].map({"higher": 1.0, "lower": -1.0}).astype(float)
    table["effect_reported"] = effect.where(effect.notna(), arms_effect)
    table["effect"] = sign * table["effect_reported"]
    table["variance"] = (se**2).where(se.notna(), arms_variance)
    notes = []
    if effect_from_arms.any():
        notes.append(f"effect of {effect_from_arms.sum()} rows computed from arm means and SDs (SMD as Hedges g)")
    if se_from_arms.any():
        notes.append(f"variance of {se_from_arms.sum()} rows computed from arm sizes and SDs")
    if (sign < 0).any():
        notes.append(f"sign of {int((sign < 0).sum())} rows turned, because a lower score is better: positive is benefit")
    return notes


def _from_arms(table: pd.DataFrame, faults: Faults) -> tuple[pd.Series, pd.Series]:
    effect, variance = (pd.Series(np.nan, table.index, dtype=float) for _ in range(2))
    arms = {prefix: [f"{prefix}mean_active", f"{prefix}sd_active", "n_active", f"{prefix}mean_control", f"{prefix}sd_control", "n_control"] for prefix in ("", "change_")}
    whole = {prefix: table[names].notna().all(axis=1) if set(names) <= set(table) else pd.Series(False, table.index) for prefix, names in arms.items()}
    score = table["score"] if "score" in table else pd.Series(None, table.index, dtype=object)
    faults.add(whole[""] & whole["change_"] & score.isna(), "score", "state change or final: the row gives arm means of both")
    for prefix, kind in (("", "final"), ("change_", "change")):
        for measure, formula in (("SMD", effects.standardised_mean_difference), ("MD", effects.mean_difference)):
            use = whole[prefix] & (score.isna() | (score == kind)) & (table["measure"] == measure)
            if use.any():
                small = use & (table["n_active"] + table["n_control"] < 4)
                faults.add(small, "n_active", "too few people for a standardised effect: both arms together need four")
                use &= ~small
                effect[use], variance[use] = formula(*(table.loc[use, name] for name in arms[prefix]))
    return effect, variance


def _check_duplicates(table: pd.DataFrame, faults: Faults) -> None:
    key = [name for name in KEY if name in table] + [f"{name}_{end}" for name in DOSES for end in ("low", "high") if f"{name}_{end}" in table]
    again = table.duplicated(key, keep="first")
    first = table.drop_duplicates(key).merge(table[[*key]].reset_index(), on=key)[["index", "row"]].set_index("index")["row"]
    for k in np.flatnonzero(again):
        faults.add(table.index == k, "study", f"repeats row {first[k]}: same study, outcome, arm, time point and doses; tell them apart with `arm` or `outcome`")
