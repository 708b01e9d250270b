"""Trials: a checked table of effects, aligned so that positive is benefit, with doses as numbers or intervals."""

import difflib
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from . import covariance, identities, protocol
from .audit import STATED, Conversion, Ledger, as_table, summary
from .columns import COLUMNS, CONTROLS_INACTIVE, DOSES, PHASE_LIMITS_DAYS, RAW_MEASURES
from .conversion import SMDVariance, fill_effects
from .errors import Problem, TrialsError
from .scales import scale_of
from .tables import Faults, cell_of, read_table, typed

Missing = Literal["error", "drop", "keep"]
Axis = Literal["burst", "carrier", "mean"]
REQUIRED = tuple(name for name, column in COLUMNS.items() if column.required)
KEY = ("study", "outcome", "arm", "timepoint", "control_group", "sample", "modality", "site", "phase", *DOSES)
"""Two rows that agree in all of these are the same row twice."""

ARMS = tuple(name for name, column in COLUMNS.items() if column.kind == "arm")
TESTS = ("t_value", "p_value")
SOURCES = {
    "effect": ("effect", *ARMS, *TESTS),
    "variance": ("se", "variance", "ci_low", "ci_high", "ci_level", *ARMS, *TESTS, "icc", "pre_post_r"),
}
"""Columns from which these two follow: a fault there is reported once, not as an empty cell as well."""
RULES = {
    "effect": "is empty: give it, or what the arms print (means or medians with n; events with n; scores before and after)",
    "variance": "is empty: give se, variance, ci_low and ci_high, t_value or p_value; or n of both arms with their SDs",
}
LACKS = {
    "r": "is empty: state pre_post_r, the correlation of a person's two measurements (or draw it in the model: missing='impute')",
    "r, stated": "is empty: state pre_post_r, the correlation of a person's two measurements",
    "sd": "is empty: no standard deviation is printed; state one (or draw it in the model: missing='impute')",
}
MIXABLE = ("measure", "comparator", "design", "score", "outcome")


@dataclass(frozen=True)
class Trials:
    """A checked table.

    table: one line per row. `effect` (positive = benefit) with `variance`; `effect_reported`, and all other columns, as printed.
        A dose is a number, or NaN with an interval in `<dose>_low`, `<dose>_high` (0 and infinity for open ends).
    dropped: what was left out, and why. conversions: everything that was computed, filled in or assumed; `audit()` is their table.
    remarks: what was noticed about the table as a whole.
    """

    table: pd.DataFrame
    dropped: tuple[Problem, ...] = ()
    conversions: tuple[Conversion, ...] = ()
    remarks: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        left_out = len({(str(problem.row), problem.study) for problem in self.dropped})
        more = f", {_rows(left_out)} dropped" if left_out else ""
        studies = _count(self.table["study"].nunique(), "study", "studies")
        return f"<Trials: {_rows(len(self))} of {studies}{more}>"

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks and conversions in words, one sentence for each kind of conversion with the number of rows."""
        return (*self.remarks, *summary(self.conversions))

    def audit(self) -> pd.DataFrame:
        """Every conversion, one line each: row, study, column, what was printed, what was computed, formula, assumption, source.

        Rows that were left out stand at the end, and so do remarks on the whole table.
        """
        dropped = [Conversion(p.row, p.study, p.column, p.value, "row left out", p.rule) for p in self.dropped]
        remarks = [Conversion(None, "", "", "", "", remark) for remark in self.remarks]
        return as_table((*self.conversions, *dropped, *remarks))

    def covariance(self) -> np.ndarray:
        """Sampling covariance (rows, rows) of the effects, in the order of the table.

        Rows that share a `control_group` or a `sample` covary; see the `covariance` module for the formula. NaN where a correlation
        is neither stated nor computable: `gaps()` names it.
        """
        return covariance.matrix(self.table)

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
        gaps = _gaps(self, columns, with_covariance=False)
        if gaps.rows().all():
            raise TrialsError("no row is complete:", gaps.sorted())
        kept = self._rows(~gaps.rows(), dropped=gaps.sorted())
        if unclear := _gaps(kept, columns).sorted():
            raise TrialsError("rows that are not independent need more than leaving rows out:", unclear)
        return kept

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
        return self._rows(keep, remarks=[f"subset: {levels}"])

    def _rows(self, keep: np.ndarray, dropped=(), remarks=()) -> "Trials":
        table = self.table[keep].reset_index(drop=True)
        labels = set(table["row"])
        conversions = tuple(line for line in self.conversions if line.row in labels)
        return Trials(table, (*self.dropped, *dropped), conversions, (*self.remarks, *remarks))

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
    source: str | Path | pd.DataFrame,
    *,
    missing: Missing = "error",
    sheet: int | str = 0,
    decimal: str = ".",
    smd_variance: SMDVariance = "mean",
    tbs_frequency: Axis = "burst",
    phase_limits_days: tuple[float, float] = PHASE_LIMITS_DAYS,
    **constants: str | float,
) -> Trials:
    """Read and check a trials table.

    source: a CSV or Excel file, or a DataFrame; columns as in `columns.COLUMNS`, others pass through.
    missing: what becomes of rows without an effect, a variance or a required cell: "error", "drop" (they are named in `dropped`)
        or "keep" (they stay, and `gaps()` lists them). Empty doses always stay; the fit that needs them decides.
    decimal: "." or ",": how a text file writes decimals.
    smd_variance: the sampling variance of a standardised effect depends on the effect: "mean" evaluates it at the mean effect of its
        measure and outcome, weighted by people, so that no effect weighs itself; "printed" at each row's own effect.
    tbs_frequency: the frequency at which patterned protocols (iTBS, cTBS, QPS) enter where none is printed: "burst", "carrier" or
        "mean".
    phase_limits_days: a stroke is acute before the first day, chronic from the second on; fills empty phases from days_since_stroke.
    constants: values for columns that are the same in every row, such as direction="higher" or pre_post_r=0.5; they fill empty cells
        only.

    Raises TrialsError with every fault of the table.
    """
    _check_choices(missing, smd_variance, tbs_frequency, phase_limits_days)
    cells = read_table(source, sheet, decimal)
    ledger, faults = Ledger(cells), Faults(cells)
    _fill(cells, constants, ledger)
    remarks = _names_to_doubt(cells)
    _check_columns(cells, faults, required=("study",) if missing == "keep" else REQUIRED)
    table = typed(cells, faults)
    _derive_phase(table, phase_limits_days, ledger)
    _derive_doses(table, tbs_frequency, ledger)
    fill_effects(table, cells, faults, ledger, smd_variance)
    _check_duplicates(table, faults)
    _check_estimand(table, faults)
    _doubt_directions(table, ledger)
    trials = Trials(table, conversions=tuple(ledger.lines), remarks=(*remarks, *_independent_rows(table)))
    if missing == "error":
        _gaps(trials, faults=faults)
    if faults.problems:
        hint = " (a column that is the same in every row can be given as an argument)" if -1 in faults.positions else ""
        raise TrialsError(f"the trials table has {_count(len(faults.problems), 'fault', 'faults')}{hint}:", faults.sorted())
    return trials.complete(missing="drop") if missing == "drop" else trials


def _check_choices(missing, smd_variance, tbs_frequency, phase_limits_days) -> None:
    for name, value, choices in (
        ("missing", missing, ("error", "drop", "keep")),
        ("smd_variance", smd_variance, ("mean", "printed")),
        ("tbs_frequency", tbs_frequency, protocol.AXES),
    ):
        if value not in choices:
            raise TrialsError(f"{name} is {', '.join(map(repr, choices[:-1]))} or {choices[-1]!r}, not {value!r}", [])
    if not (len(phase_limits_days) == 2 and 0 < phase_limits_days[0] < phase_limits_days[1]):
        raise TrialsError(f"phase_limits_days is two days in order, such as {PHASE_LIMITS_DAYS}, not {phase_limits_days!r}", [])


def _gaps(trials: Trials, columns: tuple[str, ...] = (), faults: Faults | None = None, with_covariance: bool = True) -> Faults:
    """Empty cells among what a fit needs, added to `faults` unless a fault noted there explains them."""
    table = trials.table
    faults = faults or Faults(table)
    explained = {name: faults.rows(SOURCES.get(name, (name,))) for name in (*REQUIRED, "effect", "variance", *columns)}
    use_arms = faults.rows(("measure", "design", "score")) & table.reindex(columns=list(ARMS)).notna().any(axis=1)
    explained |= {name: explained[name] | use_arms for name in SOURCES}
    for name in explained:
        if name not in table:
            faults.add_column(name, "the table has no such column")
            continue
        values = pd.Series(trials.bounds(name)[0]) if f"{name}_low" in table else table[name]
        if name == "effect" and "effect_reported" in table:
            values = table["effect_reported"]  # without a direction there is no sign, and it is the direction that is missing
        gaps = values.isna().to_numpy() & ~explained[name]
        for what, rule in LACKS.items() if name in SOURCES and "lacks" in table else ():
            lacks = gaps & table["lacks"].eq(what).to_numpy()
            faults.add(lacks, name, rule)
            gaps &= ~lacks
        faults.add(gaps, name, RULES.get(name, "is empty"))
    if with_covariance:
        covariance.check(table, faults)
    return faults


def _fill(cells: pd.DataFrame, constants: dict[str, object], ledger: Ledger) -> None:
    """Write the constants into the empty cells of their columns."""
    for name, value in constants.items():
        if name not in COLUMNS:
            raise TrialsError(f"{name!r} is not a column of the vocabulary{_nearest(name, COLUMNS)}", [])
        if cell_of(value) is None:
            raise TrialsError(f"{name} is given as an argument, and is empty", [])
        empty = cells[name].isna() if name in cells else pd.Series(True, cells.index)
        cells[name] = cells[name].where(~empty, cell_of(value)) if name in cells else cell_of(value)
        cells[name] = cells[name].astype(object)
        ledger.add(empty, name, cell_of(value), "filled in where it was empty", assumption=STATED)


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


def _derive_phase(table: pd.DataFrame, limits: tuple[float, float], ledger: Ledger) -> None:
    if "days_since_stroke" not in table:
        return
    acute, subacute = limits
    days = table["days_since_stroke"]
    derived = pd.cut(days, [-1, acute, subacute, np.inf], right=False, labels=["acute", "subacute", "chronic"]).astype(object)
    if "phase" not in table:
        table["phase"] = None
    fill = table["phase"].isna() & derived.notna()
    differ = table["phase"].isin(["acute", "subacute", "chronic"]) & derived.notna() & (table["phase"] != derived)
    table["phase"] = table["phase"].where(~fill, derived)
    said = f"acute before day {acute:g}, subacute before day {subacute:g}"
    printed = ["days_since_stroke", "phase"]
    ledger.add(fill, "phase", derived, "cut from days_since_stroke", printed=printed, assumption=said)
    kept = "kept as printed, where days_since_stroke would give another"
    ledger.add(differ, "phase", table["phase"], kept, printed=printed, assumption=said)


def _derive_doses(table: pd.DataFrame, tbs_frequency: str, ledger: Ledger) -> None:
    """Fill the doses that the physical identities imply, and name the rows whose printed doses break them."""
    for broken in identities.contradictions(table, tbs_frequency=tbs_frequency):
        ledger.add_row(broken.position, ", ".join(broken.columns), "kept as printed", broken.message, printed=broken.columns)
    implied = identities.implied(table, tbs_frequency)
    for found in implied:
        printed = [*protocol.COLUMNS, "modality"]
        ledger.add_row(found.position, found.column, found.value, found.formula, printed=printed, assumption=found.assumption)
    for name in dict.fromkeys(found.column for found in implied):
        values = {found.position: found.value for found in implied if found.column == name}
        if name not in table:
            table[name] = np.nan
        table.iloc[list(values), table.columns.get_loc(name)] = list(values.values())
        for end in ("low", "high"):
            if f"{name}_{end}" in table:
                table.iloc[list(values), table.columns.get_loc(f"{name}_{end}")] = np.nan


def _check_estimand(table: pd.DataFrame, faults: Faults) -> None:
    has_control = table["design"].isin(["parallel", "crossover"])
    faults.add((table["comparator"] == "none") & has_control, "comparator", "is 'none', but the design has a control")
    compared = table["comparator"].notna() & (table["comparator"] != "none")
    faults.add(compared & (table["design"] == "within-group"), "comparator", "must be 'none' for a change within a group")


def _doubt_directions(table: pd.DataFrame, ledger: Ledger) -> None:
    """Name the rows whose direction is not that of their outcome scale; the stated direction is used."""
    if "outcome" not in table:
        return
    scales = {name: scale_of(name) for name in table["outcome"].dropna().unique()}
    for name, scale in scales.items():
        if scale is not None:
            doubt = (table["outcome"] == name) & table["direction"].notna() & (table["direction"] != scale.direction)
            formula = f"kept as stated, although on {scale.name} a {scale.direction} score is better"
            ledger.add(doubt, "direction", table["direction"], formula, printed=["outcome", "direction"])


def _independent_rows(table: pd.DataFrame) -> list[str]:
    """Studies with several outcomes or time points whose rows name no `sample`."""
    sample = table["sample"] if "sample" in table else pd.Series(None, table.index, dtype=object)
    loose = table[sample.isna() & table["study"].notna()]
    found = []
    for study, rows in loose.groupby("study", sort=False):
        several = [name for name in ("outcome", "timepoint") if name in rows and rows[name].nunique() > 1]
        if several:
            found.append(study)
    if not found:
        return []
    named = ", ".join(map(str, found[:5])) + (f" and {len(found) - 5} more" if len(found) > 5 else "")
    return [
        f"rows of one study at several outcomes or time points are taken as different people, because `sample` is empty: {named}"
    ]


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
