"""Trials: a checked table of effects, aligned so that positive is benefit, with doses as numbers or intervals."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from . import covariance, outcome_units
from .audit import Conversion, as_table, summary
from .columns import COLUMNS, CONTROLS_INACTIVE, PARTICIPANT, RAW_MEASURES
from .errors import Problem, TrialsError, nearest
from .tables import Faults

Missing = Literal["error", "drop", "keep"]
REQUIRED = tuple(name for name, column in COLUMNS.items() if column.required)
ARMS = tuple(name for name, column in COLUMNS.items() if column.kind == "arm")
TESTS = ("t_value", "p_value")
SOURCES = {
    "effect": ("effect", *ARMS, *TESTS, "score_before", "score_after"),
    "variance": ("se", "variance", "ci_low", "ci_high", "ci_level", *ARMS, *TESTS, "icc", "pre_post_r"),
}
"""Columns from which these two follow: a fault there is reported once, not as an empty cell as well."""
RULES = {
    "effect": "is empty: give it, or what the arms print (means or medians with n; events with n; scores before and after)",
    "design, of a person": f"is empty: state {PARTICIPANT!r} where score_before and score_after are of one person",
    "variance": "is empty: give se, variance, ci_low and ci_high, t_value or p_value; or n of both arms with their SDs",
}
LACKS = {
    "r": "is empty: state pre_post_r, the correlation of a person's two measurements "
    "(or read with missing='keep' and fit with missing='impute')",
    "r, stated": "is empty: state pre_post_r, the correlation of a person's two measurements",
    "sd": "is empty: no standard deviation is printed; state one (or read with missing='keep' and fit with missing='impute')",
    "events": "is empty: no event, or only events, in both arms: says nothing about the ratio; leave the row out",
}
NAMES = ("sample", "control_group", "outcome", "timepoint")
"""Names that decide which rows of a study belong together."""
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
        more = f", {rows_in_words(left_out)} dropped" if left_out else ""
        studies = count(self.table["study"].nunique(), "study", "studies")
        return f"<Trials: {rows_in_words(len(self))} of {studies}{more}>"

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks, doubts about the rows, and conversions in words, one sentence for each kind with the number of rows."""
        return (*self.remarks, *doubts(self.table), *summary(self.conversions))

    def audit(self) -> pd.DataFrame:
        """Every conversion, one line each: row, study, column, what was printed, what was computed, formula, assumption, source.

        Rows that were left out stand at the end, and so do remarks on the whole table.
        """
        dropped = [Conversion(p.row, p.study, p.column, p.value, "row left out", p.rule) for p in self.dropped]
        remarks = [Conversion(None, "", "", "", "", remark) for remark in (*self.remarks, *doubts(self.table))]
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
        """The effect measure, or several joined by +; with its unit where that is not one point of the outcome."""
        unit = f" in {self.table['effect_unit'].iloc[0]}" if "effect_unit" in self.table else ""
        return "+".join(f"{measure}{unit}" for measure in sorted(self.table["measure"].dropna().unique()))

    def bounds(self, dose: str) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper bounds (rows,) of a dose: equal where a number is printed, NaN where nothing is."""
        values = self.table[dose].to_numpy(float)
        if f"{dose}_low" not in self.table:
            return values, values
        low, high = (self.table[f"{dose}_{end}"].to_numpy(float) for end in ("low", "high"))
        return np.where(np.isnan(values), low, values), np.where(np.isnan(values), high, values)

    def gaps(self, columns: tuple[str, ...] = ()) -> list[Problem]:
        """Every empty cell among what a fit needs: the required columns, effect and variance, and `columns`."""
        return find_gaps(self, columns).problems

    def complete(self, columns: tuple[str, ...] = (), missing: Missing = "error") -> "Trials":
        """The trials with nothing missing among `columns`; missing="drop" leaves incomplete rows out, and says which.

        Raises TrialsError that lists the empty cells.
        """
        if missing not in ("error", "drop"):
            raise TrialsError(f"missing is 'error' or 'drop', not {missing!r}", [])
        gaps = find_gaps(self, columns)
        if not gaps.problems:
            return self
        if -1 in gaps.positions:
            raise TrialsError("the table lacks what this needs:", gaps.sorted())
        if missing == "error":
            cells = count(len(gaps.problems), "cell that this needs is", "cells that this needs are")
            raise TrialsError(f"{cells} empty; fill in what is missing, or leave rows out with missing='drop':", gaps.sorted())
        gaps = find_gaps(self, columns, with_covariance=False)
        if gaps.rows().all():
            raise TrialsError("no row is complete:", gaps.sorted())
        kept = self.keep_rows(~gaps.rows(), dropped=gaps.sorted())
        if unclear := find_gaps(kept, columns).sorted():
            raise TrialsError("rows that are not independent need more than leaving rows out:", unclear)
        return kept

    def subset(self, **levels: Any) -> "Trials":
        """Rows whose column holds the given value, or one of a list of values: trials.subset(phase=["acute", "subacute"])."""
        keep = np.ones(len(self.table), bool)
        for name, wanted in levels.items():
            if name not in self.table:
                raise TrialsError(f"the table has no column {name!r}{nearest(name, self.table)}", [])
            wanted = list(wanted) if isinstance(wanted, (list, tuple, set)) else [wanted]
            if pd.api.types.is_numeric_dtype(self.table[name]):
                wanted = pd.to_numeric(pd.Series(wanted, dtype=object), errors="coerce").dropna().tolist()
            keep &= self.table[name].isin(wanted).to_numpy()
        if not levels:
            return self
        if not keep.any():
            raise TrialsError(f"no row has {levels}", [])
        return self.keep_rows(keep, remarks=[f"subset: {levels}"])

    def without_study(self, study: str) -> "Trials":
        """All rows but those of one study."""
        others = (self.table["study"] != study).to_numpy()
        if others.all():
            raise TrialsError(f"there is no study {study!r}{nearest(study, self.table['study'].unique())}", [])
        if not others.any():
            raise TrialsError(f"there is no study but {study!r}", [])
        return self.keep_rows(others, remarks=[f"without study {study}"])

    def with_effects(self, effects: Any, remark: str = "effects are simulated") -> "Trials":
        """The same trials with other effects (rows,), positive = benefit, in the order of the table; `remark` says what they are."""
        try:
            effects = np.asarray(effects, float)
        except (TypeError, ValueError) as error:
            raise TrialsError(f"effects are {len(self)} finite numbers, one a row: {error}", []) from None
        if effects.shape != (len(self),):
            raise TrialsError(f"effects are {len(self)} finite numbers, one a row, not an array of shape {effects.shape}", [])
        if not (finite := np.isfinite(effects)).all():
            lines = zip(self.table["row"][~finite], self.table["study"][~finite], effects[~finite], strict=True)
            problems = [Problem(row, study, "effect", f"{value}", "is not a finite number") for row, study, value in lines]
            raise TrialsError("these effects cannot be used:", problems)
        if "lacks" in self.table and self.table["lacks"].isin(["r", "sd"]).any():
            raise TrialsError("rows without r or standard deviation have no effect that another could stand for", [])
        sign = np.where(self.table["direction"] == "lower", -1.0, 1.0)
        table = self.table.assign(effect=effects, effect_reported=sign * effects)
        if "score_after" in table:
            points = sign * effects * table.get("points_per_unit", 1.0)
            table["score_after"] = (table["score_before"] + points).where(table["design"].eq(PARTICIPANT))
        return Trials(table, self.dropped, self.conversions, (*self.remarks, remark))

    def in_units(self, units: Mapping[str, float], called: str = "stated units") -> "Trials":
        """The same trials with mean differences (MD, MC) of several outcomes on one scale: effects divided by so many points of their
        outcome, {"FMA-UE": 12, "MAS": 1}, variances by the square. `sd.in_points` leads back.

        units: points by outcome as the table names it, or by its scale; called: what labels call the unit. `outcome_sd` of a model, and
        what matters (`delta`, `benefit`), are then in this unit too. The audit has a line for each row.

        Raises TrialsError that names the rows whose outcome has no unit, or whose effect is not in points.
        """
        table, lines = outcome_units.in_units(self.table, units, called)
        return Trials(table, self.dropped, (*self.conversions, *lines), self.remarks)

    def in_minimal_important_differences(self, choices: Mapping[str, float | str] | None = None) -> "Trials":
        """`in_units` with the minimal important difference of each outcome for a unit.

        choices: by outcome, or its scale, a number of points; or words of the population or the source that only one of the published
        differences has (`sd.scales`), if that is one number. No choice is needed where one number is published, and nothing else.

        Raises TrialsError that lists the published differences, with population and source, wherever the choice is open.
        """
        outcomes = self.table["outcome"] if "outcome" in self.table else pd.Series(dtype=object)
        points, sources = outcome_units.important_differences(outcomes, {} if choices is None else choices)
        table, lines = outcome_units.in_units(self.table, points, outcome_units.IMPORTANT, sources)
        return Trials(table, self.dropped, (*self.conversions, *lines), self.remarks)

    def keep_rows(self, keep: np.ndarray, dropped: Iterable[Problem] = (), remarks: Iterable[str] = ()) -> "Trials":
        """The rows where the boolean array `keep` (rows,) is true, with what was `dropped` and `remarks` that say why."""
        table = self.table[keep].reset_index(drop=True)
        labels = set(table["row"].map(str))
        conversions = tuple(line for line in self.conversions if str(line.row) in labels)
        return Trials(table, (*self.dropped, *dropped), conversions, (*self.remarks, *remarks))

    def mixtures(self) -> dict[str, list[str]]:
        """What differs among rows that one fit should not mix: by kind (one of MIXABLE), the values found.

        The outcome counts only for effects in its units.
        """
        raw = self.table["measure"].isin(RAW_MEASURES) & ("points_per_unit" not in self.table)
        found = {
            "measure": self.table["measure"],
            "comparator": self.table["comparator"].replace(dict.fromkeys(CONTROLS_INACTIVE, "sham or add-on")),
            "design": self.table["design"].replace({"crossover": "parallel", PARTICIPANT: "within-group"}),
            "score": self.table["score"] if "score" in self.table else pd.Series(dtype=object),
            "outcome": self.table.loc[raw, "outcome"] if "outcome" in self.table else pd.Series(dtype=object),
        }
        return {kind: sorted(values.dropna().unique()) for kind, values in found.items() if values.dropna().nunique() > 1}

    def require_one_estimand(self, allow_mixed: str | tuple[str, ...] = ()) -> None:
        """Raise TrialsError if rows differ in measure, comparator, design or score, or raw effects in outcome.

        allow_mixed: kinds that may differ.
        """
        allow_mixed, problems, mixed = mixable(allow_mixed), [], self.mixtures()
        if self.table["design"].eq(PARTICIPANT).any() and set(mixed) & {"measure", "comparator", "design"} - set(allow_mixed):
            rule = (
                "participants change within themselves, which a contrast with a control does not tell: give each arm of the trials "
                "beside them as a row of its own, with its mean change (design 'within-group', measure 'MC', comparator 'none')"
            )
            problems.append(Problem(None, "", "design", PARTICIPANT, rule))
        for kind, values in mixed.items():
            if kind not in allow_mixed:
                unless = (
                    "put their points on one scale with in_units(), or, where a point is the same in all,"
                    if kind == "outcome"
                    else "or"
                )
                rule = f"rows with {', '.join(values)} in one fit; choose with subset(), {unless} state allow_mixed={[kind]}"
                problems.append(Problem(None, "", kind, "", rule))
        if problems:
            raise TrialsError("the table mixes effects that do not mean the same:", problems)


def mixable(allow_mixed: str | Iterable[str]) -> tuple[str, ...]:
    """The kinds of MIXABLE that may differ. Raises TrialsError for what is none."""
    kinds = tuple(allow_mixed) if isinstance(allow_mixed, Iterable) and not isinstance(allow_mixed, str) else (allow_mixed,)
    if unknown := [str(kind) for kind in kinds if kind not in MIXABLE]:
        raise TrialsError(f"allow_mixed takes {', '.join(MIXABLE)}, not {', '.join(sorted(unknown))}", [])
    return kinds


def find_gaps(
    trials: Trials, columns: tuple[str, ...] = (), faults: Faults | None = None, with_covariance: bool = True
) -> Faults:
    """Empty cells among what a fit needs, added to `faults` unless a fault noted there explains them."""
    table = trials.table
    faults = faults or Faults(table)
    explained = {name: faults.rows(SOURCES.get(name, (name,))) for name in (*REQUIRED, "effect", "variance", *columns)}
    use_arms = faults.rows(("measure", "design", "score")) & table.reindex(columns=list(ARMS)).notna().any(axis=1)
    explained |= {name: explained[name] | use_arms for name in SOURCES}
    persons = (table.reindex(columns=["score_before", "score_after"]).notna().any(axis=1) & table["design"].isna()).to_numpy()
    explained |= {name: explained[name] | persons for name in ("measure", "comparator", *SOURCES)}  # all follow from the design
    for name in explained:
        if name not in table:
            faults.add_column(name, "the table has no such column")
            continue
        values = pd.Series(trials.bounds(name)[0]) if f"{name}_low" in table else table[name]
        if name == "effect" and "effect_reported" in table:
            values = table["effect_reported"]  # without a direction there is no sign, and it is the direction that is missing
        gaps = values.isna().to_numpy() & ~explained[name]
        for what in table["lacks"].dropna().unique() if name in SOURCES and "lacks" in table else ():
            lacks = gaps & table["lacks"].eq(what).to_numpy()
            faults.add(lacks, name, LACKS.get(what, what))
            gaps &= ~lacks
        if name == "design":
            faults.add(gaps & persons, name, RULES["design, of a person"])
            gaps &= ~persons
        faults.add(gaps, name, RULES.get(name, "is empty"))
    if with_covariance:
        covariance.check(table, faults)
    return faults


def doubts(table: pd.DataFrame) -> list[str]:
    """Remarks on rows that may belong together although the table does not say so."""
    found = []
    known = table[table["study"].notna()]
    loose = known[known["sample"].isna()] if "sample" in known else known
    times = [name for name in ("outcome", "timepoint", "followup_days") if name in loose]
    several = (loose.groupby("study", sort=False)[times].nunique() > 1).any(axis=1) if times else pd.Series(dtype=bool)
    if several.any():
        what = "rows of one study at several outcomes or time points are taken as different people, because `sample` is empty"
        found.append(f"{what}: {_first(several.index[several])}")
    alike = _alike_names(known["study"], "")
    if alike:
        found.append(f"studies whose names differ only in case or spaces are taken as different: {_first(alike)}")
    for name in [name for name in NAMES if name in known]:
        if alike := _alike_names(known[name], known["study"]):
            found.append(f"`{name}` differs only in case or spaces, and is taken as different: {_first(alike)}")
    return found


def _alike_names(names: pd.Series, within) -> list[str]:
    """Names that would be the same without case and spaces, those of one `within` in one text."""
    pairs = pd.DataFrame({"name": names, "within": within}).dropna(subset="name").drop_duplicates()
    pairs["bare"] = pairs["name"].map(lambda name: "".join(str(name).split()).casefold())
    repeated = pairs[pairs.duplicated(["within", "bare"], keep=False)]
    texts = repeated.groupby(["within", "bare"], sort=False)["name"].agg(lambda group: " and ".join(map(repr, group)))
    return [f"{text} ({study})" if study else text for (study, _), text in texts.items()]


def _first(items) -> str:
    return ", ".join(map(str, items[:5])) + (f" and {len(items) - 5} more" if len(items) > 5 else "")


def count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def rows_in_words(number: int) -> str:
    return count(number, "row", "rows")
