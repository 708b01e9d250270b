"""What the data are: studies, rows, estimand, what was computed on reading, what is missing, which doses were tried."""

from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd

from .. import figures
from ..columns import axis_label
from ..completeness import ALTERNATIVES, completeness
from ..completeness import reported as reported_by_study
from ..doses import dose_text
from ..sentences import dose_words, name_words
from .findings import Findings
from .parts import Figure, Section, Table, counted, listed, sentences, text

ESTIMAND = ("measure", "comparator", "design", "score", "outcome")
"""Columns that say what an effect means."""
FIELDS_DRAWN = 50
"""A grid of more fields does not fit on a page, and is not drawn."""


def section(found: Findings) -> Section:
    """The table as it was fitted."""
    trials, table = found.fit.trials, found.table
    audit = trials.audit()
    dropped = [str(problem) for problem in trials.dropped]
    blocks = [
        *text(described(found)),
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


def described(found: Findings) -> str:
    """Rows, studies and the estimand in a sentence."""
    rows, measure = counted(len(found.table), "row"), found.effects.attrs["effect_label"]
    people = counted(int(found.fit.rows.is_participant.sum()), "of them is a participant", "of them are participants")
    more = f" ({people})" * bool(found.fit.rows.is_participant.any())
    groups = [f"{name} ({listed(levels)})" for name, levels in found.fit.rows.levels.items() if ":" not in name]
    return (
        f"{rows}{more} of {counted(found.studies, 'study', 'studies')}; effects are {measure}."
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
