"""What the data are: studies, rows, estimand, what was computed on reading, what is missing, which doses were tried."""

import re
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd

from .. import figures
from ..columns import axis_label
from ..completeness import ALTERNATIVES, completeness
from ..completeness import reported as reported_by_study
from ..doses import dose_text
from ..sentences import dose_words, name_words, unit_of
from .findings import Findings
from .parts import Block, Figure, Section, Table, counted, ended, listed, sentences, text

ESTIMAND = ("measure", "comparator", "design", "score", "outcome")
"""Columns that say what an effect means."""
MEASURES = {
    "SMD": "standardised mean difference, Hedges g",
    "MD": "mean difference in points of the outcome",
    "MC": "mean change in points of the outcome",
    "SMCC": "mean change in standard deviations of the change",
    "SMCR": "mean change in standard deviations before treatment",
    "ROM": "log ratio of means",
    "ROMC": "log ratio of the means after and before",
    "logOR": "log odds ratio",
    "logRR": "log risk ratio",
}
INVENTED = re.compile("synthetic|invented|simulated", re.IGNORECASE)
"""Words of remarks, and of names of studies, that say that trials are none."""
FIELDS_DRAWN = 50
"""A grid of more fields does not fit on a page, and is not drawn."""


def section(found: Findings) -> Section:
    """The table as it was fitted."""
    trials, table = found.fit.trials, found.table
    audit = trials.audit()
    dropped = [str(problem) for problem in trials.dropped]
    blocks: list[Block] = [
        *text(described(found), *caveats(found), *remarks(found)),
        Table("estimand", estimand(table), "What the effects mean: rows and studies by kind"),
        *text(*mixed(found)),
        Table("doses", doses(found), "The doses of the model, as the trials print them"),
        *text(filled_in(found)),
        Table(
            "audit-summary", ledger(audit), "What was computed, filled in or assumed on the way from the table to the likelihood"
        ),
        Table("audit", audit.astype({"row": object}).set_index("row"), "The same, row by row", is_folded=True),
        *text(f"{counted(len(dropped), 'row')} left out: {listed(dropped)}." if dropped else "No row was left out.", kind="note"),
        *_missingness(found),
        Table("completeness", reported(found), "How many studies report each field", is_folded=True),
        *text(unreported(found), kind="note"),
    ]
    if len(found.imputed):
        caption = "What is not printed as a number, and what the fit believes of it: median and 95 % interval"
        blocks.append(Table("imputed", found.imputed.set_index("row"), caption, is_folded=True))
    return Section("data", tuple(block for block in blocks if not isinstance(block, Table) or len(block.frame)) + _support(found))


def remarks(found: Findings) -> list[str]:
    """What was noticed about the table as a whole, and which part of it was fitted."""
    return [ended(re.sub("[{}']", "", remark)) for remark in found.fit.trials.remarks]


def is_synthetic(found: Findings) -> bool:
    """Whether the table, or a study of it, says that it was invented."""
    said = (*found.fit.trials.remarks, *found.table["study"].astype(str).unique())
    return any(INVENTED.search(words) for words in said)


def caveats(found: Findings) -> list[str]:
    """What rows are that are no comparisons within single trials."""
    rows = len(found.table)
    strata, alone = (int(each.sum()) for each in (_is_stratum(found), ~is_compared(found)))
    of = lambda number: "Every row is" if number == rows else f"{counted(number, 'row is', 'rows are')}"
    found_in = []
    if strata:
        found_in.append(
            f"{of(strata)} a stratum: the pooled effect of several trials, counted as one study. "
            "Strata may differ in much besides the dose, and say nothing of single trials."
        )
    if alone:
        found_in.append(
            f"{of(alone)} a change without a comparison: recovery, learning of the test, other care and regression to the mean are "
            "part of it, and a change is not an effect of treatment."
        )
    return found_in


def has_strata(found: Findings) -> bool:
    """Whether a row is the pooled effect of several trials."""
    return bool(_is_stratum(found).any())


def _is_stratum(found: Findings) -> pd.Series:
    return _level(found, "design").eq("stratum")


def is_compared(found: Findings) -> pd.Series:
    """Whether each row compares a treated group with another."""
    return ~(_level(found, "design").eq("within-group") | _level(found, "comparator").eq("none"))


def _level(found: Findings, column: str) -> pd.Series:
    return found.table[column].astype(object) if column in found.table else pd.Series("", found.table.index)


def described(found: Findings) -> str:
    """Rows, studies and the estimand in a sentence."""
    rows, measure = counted(len(found.table), "row"), found.effects.attrs["effect_label"]
    people = counted(int(found.fit.rows.is_participant.sum()), "of them is a participant", "of them are participants")
    more = f" ({people})" * bool(found.fit.rows.is_participant.any())
    groups = [f"{name} ({listed(levels)})" for name, levels in found.fit.rows.levels.items() if ":" not in name]
    meaning = MEASURES.get(unit_of(found.effects))
    return (
        f"{rows}{more} of {counted(found.studies, 'study', 'studies')}; effects are {measure}{f': {meaning}' if meaning else ''}."
        + f" Groups in the model: {'; '.join(groups)}." * bool(groups)
    )


def estimand(table: pd.DataFrame) -> pd.DataFrame:
    """Rows and studies by every level of the columns that say what an effect means."""
    records = []
    for name in (name for name in ESTIMAND if name in table):
        for level, part in table.groupby(table[name].fillna("not stated").astype(str), sort=True):
            records.append((name, level, len(part), part["study"].nunique()))
    return pd.DataFrame(records, columns=["column", "level", "rows", "studies"]).set_index("column")


def mixed(found: Findings) -> list[str]:
    """A sentence for each kind of estimand that differs among the rows."""
    return [
        f"Rows with different {kind} are analysed together: {listed(values)}."
        for kind, values in found.fit.trials.mixtures().items()
    ]


def doses(found: Findings) -> pd.DataFrame:
    """One line for each dose of the model: unit, shape, reference, and how trials print it."""
    records = []
    for dose in found.fit.model.doses:
        low, high = found.fit.trials.bounds(dose.column)
        is_number, is_empty = low == high, np.isnan(low)
        is_open = ~is_number & ~is_empty & (np.isinf(high) | (low == 0))
        spans = sorted({dose_text(*ends) for ends in zip(low[~is_number & ~is_empty], high[~is_number & ~is_empty], strict=True)})
        printed = np.concatenate([low[np.isfinite(low)], high[np.isfinite(high)]])
        records.append(
            {
                "dose": dose.column,
                "shape": dose.shape,
                "lowest": printed.min() if len(printed) else np.nan,
                "highest": printed.max() if len(printed) else np.nan,
                "reference": dose.reference,
                "numbers": int(is_number.sum()),
                "intervals": int((~is_number & ~is_empty & ~is_open).sum()),
                "open_ends": int(is_open.sum()),
                "empty": int(is_empty.sum()),
                "zero_doses": int((low[is_number] == 0).sum()),
                "not_numbers": listed(spans),
            }
        )
    return pd.DataFrame(records).set_index("dose") if records else pd.DataFrame()


def filled_in(found: Findings) -> str:
    """What became of what is not printed."""
    if not len(found.imputed):
        return "Every dose, standard deviation and correlation that the model needs is printed, computed or stated: nothing was imputed."
    counts = found.imputed.groupby("column", sort=False).size()
    what = listed(f"{name} ({counted(n, 'value')})" for name, n in counts.items())
    return f"Not printed as numbers, and parameters of the model with priors of their own: {what}."


def ledger(audit: pd.DataFrame) -> pd.DataFrame:
    """The audit by column, formula and assumption, with the number of rows."""
    known = audit[audit["column"].astype(bool)].fillna({"assumption": "", "formula": ""})
    kinds = known.groupby(["column", "formula", "assumption"], sort=False).size().rename("rows").reset_index()
    return kinds.set_index("column")[["rows", "formula", "assumption"]]


def reported(found: Findings) -> pd.DataFrame:
    """Fields that any study reports, with their share."""
    table = completeness(found.fit.trials)
    return table[table["studies"] > 0].set_index("group")


def unreported(found: Findings) -> str:
    """Fields that the vocabulary has and no study reports."""
    table = completeness(found.fit.trials)
    none = table[(table["studies"] == 0) & ~table["group"].isin(ALTERNATIVES)]
    return f"Not reported by the tables: {', '.join(none['field'])}." if len(none) else ""


def _missingness(found: Findings) -> list[Figure]:
    seen = reported_by_study(found.fit.trials)
    counts = seen.sum()[seen.any()].sort_values(kind="stable")
    if not 0 < len(counts) <= FIELDS_DRAWN:
        return []
    some = [f"{axis_label(name).partition(' (')[0]} by {n}" for name, n in counts[counts < len(seen)].items()]
    alt = (
        f"Grid of {counted(len(seen), 'study', 'studies')} by {counted(len(counts), 'field')} that at least one reports. "
        f"Not reported by all: {listed(some, 12) or 'none'}."
    )
    return [Figure("missingness", partial(figures.missingness, seen), "Which fields each study reports", alt)]


def _support(found: Findings) -> tuple:
    seen = found.support
    if seen is None:
        return ()
    blocks = text(*sentences(seen.explanation))
    blocks.append(
        Table(
            "support",
            seen.region.assign(inflation=seen.inflation),
            "Which doses were tried",
            "inflation: variance inflation factor of the log doses",
        )
    )
    if len(seen.pairs):
        blocks.append(Table("support-pairs", seen.pairs.set_index("first"), "Doses that go together across trials"))
    drawn = seen.region.index[seen.region["rows"] > 0]
    if len(drawn) > 1:
        shown = replace(seen, correlation=seen.correlation.loc[drawn, drawn])
        ranges = [
            f"{name_words(name)} {dose_words(name, line['low'], line['high'])}"
            for name, line in seen.region.loc[drawn].iterrows()
        ]
        r = [
            f"{one} and {other} {seen.correlation.loc[one, other]:.2f}"
            for k, one in enumerate(drawn)
            for other in drawn[k + 1 :]
            if np.isfinite(seen.correlation.loc[one, other])
        ]
        alt = f"Scatter plots of every two doses by row: {'; '.join(ranges)}. Correlation of the logarithms: {'; '.join(r) or 'none'}."
        blocks.append(Figure("support", partial(figures.support, shown, found.table), "Doses that were tried together", alt))
    return tuple(blocks)
