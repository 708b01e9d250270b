"""read_trials: from a table as extracted to checked `Trials`, with everything that is computed on the way in the audit."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from . import identities, protocol
from .audit import STATED, Ledger
from .columns import COLUMNS, DOSES, PARTICIPANT, PHASE_LIMITS_DAYS
from .conversion import SMDVariance, fill_effects
from .covariance import spread_statements
from .errors import TrialsError, nearest
from .participants import fill_changes, fill_estimand
from .protocol_classes import fill_classes
from .scales import scale_of
from .tables import Broken, Faults, cell_of, read_table, typed
from .trials import REQUIRED, Missing, Trials, count, find_gaps

Axis = Literal["burst", "carrier", "mean"]
PLACES = ("population", "phase", "modality", "site", "target", "hemisphere")
KEY = (
    "study",
    "participant",
    "outcome",
    "arm",
    "timepoint",
    "followup_days",
    "control_group",
    "sample",
    "comparator",
    *PLACES,
    *DOSES,
)
"""Two rows that agree in all of these are the same row twice."""

FORMULA = re.compile(r"[=@]|[+-](?![\d.,\s]*$)")
"""Text that spreadsheets take for a formula; numbers with a sign are none."""


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
        measure and outcome in this table, weighted by people, so that no effect weighs itself; "printed" at each row's own effect.
        Subsets keep it. The difference of SMCC or SMCR between two arms keeps the variance at its own effects.
    tbs_frequency: the frequency at which patterned protocols (iTBS, cTBS, QPS) enter where none is printed: "burst", "carrier" or
        "mean".
    phase_limits_days: a stroke is acute before the first day, chronic from the second on; fills empty phases from days_since_stroke.
    constants: values for columns that are the same in every row, such as direction="higher" or pre_post_r=0.5, with a decimal point;
        they fill empty cells only.

    Raises TrialsError with every fault of the table.
    """
    _check_choices(missing, smd_variance, tbs_frequency, phase_limits_days)
    cells = read_table(source, sheet, decimal)
    ledger, faults = Ledger(cells), Faults(cells)
    spread_statements(cells, ledger)  # first: what a paper states holds for its other rows, and constants fill the rest
    _fill(cells, constants, ledger)
    fill_estimand(cells, ledger)
    remarks = [*_names_to_doubt(cells), *_formulas_to_doubt(cells)]
    _check_columns(cells, faults, required=("study",) if missing == "keep" else REQUIRED)
    table = typed(cells, faults)
    _derive_phase(table, phase_limits_days, ledger)
    _derive_doses(table, tbs_frequency, ledger)
    fill_classes(table, ledger)
    fill_effects(table, cells, faults, ledger, smd_variance)
    fill_changes(table, cells, faults, ledger)
    _check_duplicates(table, faults)
    _check_estimand(table, faults)
    _check_spreads(table, faults)
    _doubt_directions(table, ledger)
    trials = Trials(table, conversions=tuple(ledger.lines), remarks=tuple(remarks))
    if missing == "error":
        find_gaps(trials, faults=faults)
    if faults.problems:
        hint = " (a column that is the same in every row can be given as an argument)" if -1 in faults.positions else ""
        raise TrialsError(f"the trials table has {count(len(faults.problems), 'fault', 'faults')}{hint}:", faults.sorted())
    return trials.complete(missing="drop") if missing == "drop" else trials


def _check_choices(missing, smd_variance, tbs_frequency, phase_limits_days) -> None:
    for name, value, choices in (
        ("missing", missing, ("error", "drop", "keep")),
        ("smd_variance", smd_variance, ("mean", "printed")),
        ("tbs_frequency", tbs_frequency, protocol.AXES),
    ):
        if value not in choices:
            raise TrialsError(f"{name} is {', '.join(map(repr, choices[:-1]))} or {choices[-1]!r}, not {value!r}", [])
    try:
        acute, subacute = map(float, phase_limits_days)
        in_order = 0 < acute < subacute < np.inf
    except (TypeError, ValueError):
        in_order = False
    if not in_order:
        raise TrialsError(f"phase_limits_days is two days in order, such as {PHASE_LIMITS_DAYS}, not {phase_limits_days!r}", [])


def _fill(cells: pd.DataFrame, constants: Mapping[str, object], ledger: Ledger) -> None:
    """Write the constants into the empty cells of their columns. Raises TrialsError with one fault for each that is none of its column."""
    for name, value in constants.items():
        if name not in COLUMNS:
            raise TrialsError(f"{name!r} is not a column of the vocabulary{nearest(name, COLUMNS)}", [])
        if cell_of(value) is None:
            raise TrialsError(f"{name} is given as an argument, and is empty", [])
    one = pd.DataFrame({"row": [None]} | {name: [cell_of(value)] for name, value in constants.items()}, dtype=object)
    faults = Faults(one)
    typed(one, faults)
    if faults.problems:
        raise TrialsError("given as an argument, for every row:", faults.problems)
    for name, value in constants.items():
        empty = cells[name].isna() if name in cells else pd.Series(True, cells.index)
        cells[name] = cells[name].where(~empty, cell_of(value)) if name in cells else cell_of(value)
        cells[name] = cells[name].astype(object)
        ledger.add(empty, name, cell_of(value), "filled in where it was empty", assumption=STATED)


def _check_columns(cells: pd.DataFrame, faults: Faults, required: tuple[str, ...]) -> None:
    """Note the required columns that are missing, and add every missing column of REQUIRED, empty."""
    for name in REQUIRED:
        if name not in cells:
            if name in required:
                faults.add_column(name, f"the column is missing{nearest(name, cells)}: {COLUMNS[name].meaning}")
            cells[name] = pd.Series([None] * len(cells), cells.index, dtype=object)


def _names_to_doubt(cells: pd.DataFrame) -> list[str]:
    notes, absent = [], [known for known in COLUMNS if known not in cells]
    for name in cells.columns.difference([*COLUMNS, "row"], sort=False):
        if close := nearest(name, absent, cutoff=0.85):
            notes.append(f"column {name!r} is not in the vocabulary and passes through unchecked{close}")
    return notes


def _formulas_to_doubt(cells: pd.DataFrame) -> list[str]:
    """A remark on each column of words in which a spreadsheet that opens our CSV files would see formulas."""
    notes = []
    for name in [name for name in cells.columns.drop("row") if name not in COLUMNS or not COLUMNS[name].is_numeric]:
        texts = [isinstance(cell, str) and not isinstance(cell, Broken) and FORMULA.match(cell) for cell in cells[name]]
        if rows := [row for row, text in zip(cells["row"], texts, strict=True) if text]:
            notes.append(
                f"column {name!r} begins like a formula in {count(len(rows), 'row', 'rows')} (the first is row {rows[0]}): it is read and "
                "written as text; where a spreadsheet opens CSV files written from this table, import the column as text"
            )
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
    for name in sorted(filter(protocol.is_unnamed_pattern, table["modality"].dropna().unique())) if "modality" in table else ():
        unnamed = (
            (table["modality"] == name) & table["frequency_hz"].notna() if "frequency_hz" in table else table["modality"] == name
        )
        doubt = f"bursts of no standard pattern: name it iTBS, cTBS or QPS, or see that its frequency is the {tbs_frequency} frequency"
        ledger.add(unnamed, "modality", "kept", doubt, printed=["modality", "frequency_hz"])
    for broken in identities.contradictions(table, tbs_frequency=tbs_frequency):
        ledger.add_row(broken.position, ", ".join(broken.columns), "kept", broken.message, printed=broken.columns)
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


def _check_spreads(table: pd.DataFrame, faults: Faults) -> None:
    """The spread of a dose among people goes with their mean dose."""
    for dose, name in ((dose, f"{dose}_sd") for dose in DOSES if f"{dose}_sd" in table):
        mean = table[dose] if dose in table else pd.Series(np.nan, table.index)
        stated = table[name].notna()
        faults.add(stated & mean.isna(), name, f"needs the mean of {dose}, as one number")
        faults.add((table[name] > 0) & (mean == 0), name, f"is above 0, and {dose} is 0")


def _doubt_directions(table: pd.DataFrame, ledger: Ledger) -> None:
    """Name the rows whose direction is not that of their outcome scale; the stated direction is used."""
    if "outcome" not in table:
        return
    scales = table["outcome"].map({name: scale_of(name) for name in table["outcome"].dropna().unique()})
    known = table[scales.notna() & table["direction"].notna()]
    for k, scale, stated in zip(known.index, scales[known.index], known["direction"], strict=True):
        if stated != scale.direction:
            formula = f"kept as stated, although on {scale.name} a {scale.direction} score is better"
            ledger.add_row(k, "direction", stated, formula, printed=["outcome", "direction"])


def _check_duplicates(table: pd.DataFrame, faults: Faults) -> None:
    bounds = [f"{name}_{end}" for name in DOSES for end in ("low", "high")]
    key = [name for name in (*KEY, *bounds) if name in table]
    unnamed = table["design"].eq(PARTICIPANT) & (table["participant"].isna() if "participant" in table else True)
    read = table[table["study"].notna() & ~unnamed & ~faults.rows(key)]
    first: dict = {}
    for k, group in read.groupby(key, dropna=False, sort=False).ngroup().items():
        if group in first:
            same = f"repeats row {table['row'][first[group]]}: same study, outcome, arm, time point, people and doses"
            faults.add_cell(k, "study", f"{same}; tell them apart with `arm`, `outcome` or `timepoint`")
        first.setdefault(group, k)
