"""Which rows of a study are not independent, and how strongly: shared controls, several outcomes, several time points.

The sampling error of a contrast is that of its active arm less that of its control arm, so two rows i, j of a study covary by

    V_ij = sqrt(V_ii V_jj) R_ij M_ij,     M_ij = sqrt(a_i a_j) [same people in both arms] + sqrt(c_i c_j) [same control arm]

c being the control arm's share of the variance (0 for rows that name no control group) and a = 1 - c. R is 1 for one outcome at one
time; two outcomes correlate by `outcome_correlation`; two time points by `time_correlation`, to the power of their distance where
`followup_days` and `time_correlation_days` are given (autoregressive); both differ: the product.

The rows of one `sample` have one control arm (`spread_statements`), so both brackets are equivalences. V is then positive definite
whenever every a is above 0, no sample is twice at one outcome and time, and the matrix K of R between the different outcomes and
times is positive definite: with k > 0 the smallest eigenvalue of K, V exceeds k times its part between rows of one outcome and time
(Schur), where rows are of different people and M is the diagonal of a plus an outer product within each control. `check` names the
rows of a V that is not.

Gleser and Olkin 2009 give Cov(g_1, g_2) = 1/n_c + g_1 g_2 / (2 N), of N people in all arms, for standardised differences from one
control. Here the second term is the root of both rows' own, thus never negative: effects of opposite sign, each at its own size
(smd_variance="printed"), come out more alike than theirs: at g = 0.8 and -0.8 and arms of one size 0.50 instead of 0.42; near 0
there is no difference. With smd_variance="mean" both are evaluated at one mean, and the question arises only between outcomes.
"""

import numpy as np
import pandas as pd

from .arms import column
from .audit import Ledger
from .tables import Faults, typed

STATEMENTS = ("outcome_correlation", "time_correlation", "time_correlation_days")
"""Stated once for a study."""
SMALLEST_EIGENVALUE = 1e-8
"""A correlation matrix with a smaller eigenvalue says that some rows hold the same information; one below its negative cannot be."""


def spread_statements(cells: pd.DataFrame, ledger: Ledger) -> None:
    """Fill what one row states for others: STATEMENTS within a study, the control group within a sample.

    So nothing is lost with the row that states it. Where rows state different things all stay as they are, and `check` says so.
    """
    names = [name for name in ("row", "study", "sample", "control_group", *STATEMENTS) if name in cells]
    known = typed(cells[names], Faults(cells))  # faults are noted when the whole table is read
    for name, keys in (*((name, ["study"]) for name in STATEMENTS), ("control_group", ["study", "sample"])):
        if not {name, *keys} <= set(names):
            continue
        key = [known[item] for item in keys]
        one = known[name].groupby(key).transform("nunique") == 1
        stated = cells[name].where(known[name].notna()).groupby(key).transform("first")
        fill = cells[name].isna() & one
        cells[name] = cells[name].where(~fill, stated)
        ledger.add(fill, name, stated, f"as in the {keys[-1]}", assumption=f"stated in another row of the {keys[-1]}")


class Links:
    """The columns of a table on which its covariance depends, as arrays (rows,).

    study, people, control, outcome, timepoint: codes, equal where the values are, people and control within a study; below 0 where
    empty. sets: positions of the rows that share people or a control, two or more each.
    """

    def __init__(self, table: pd.DataFrame):
        self.study, self.outcome, self.timepoint = (_codes(table, name) for name in ("study", "outcome", "timepoint"))
        self.people, self.control = (self._within_study(_codes(table, name)) for name in ("sample", "control_group"))
        numbers = ("followup_days", "control_share", *STATEMENTS)
        self.days, self.share, *stated = (column(table, name).to_numpy() for name in numbers)
        self.stated = dict(zip(STATEMENTS, stated, strict=True))
        self.sets = self._sets()

    def _within_study(self, codes: np.ndarray) -> np.ndarray:
        rows = np.arange(len(codes))
        return np.where((codes >= 0) & (self.study >= 0), self.study * len(rows) + codes, -1 - rows)

    def _sets(self) -> list[np.ndarray]:
        size = len(self.study)
        link = np.where(self.control >= 0, self.control + size**2, self.people)
        order = np.argsort(link, kind="stable")
        parts = np.split(order, np.flatnonzero(np.diff(link[order])) + 1)
        return [part for part in parts if len(part) > 1]

    def of_study(self, name: str, at: np.ndarray) -> float:
        """The one value that the rows of a study state; `check` refuses several."""
        values = self.stated[name][at]
        return next((float(value) for value in values if not np.isnan(value)), np.nan)

    def correlation(self, at: np.ndarray) -> np.ndarray:
        """R M of one set of rows, NaN where something is not stated."""
        same_people, same_control = _alike(self.people[at]), _alike(self.control[at])
        share, _ = self.shares(at)
        with np.errstate(invalid="ignore"):
            shared = same_people * np.sqrt(np.outer(1 - share, 1 - share)) + same_control * np.sqrt(np.outer(share, share))
        found = self.between_outcomes(at)[0] * self.between_times(at)[0] * shared
        np.fill_diagonal(found, 1.0)
        return found

    def shares(self, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """c of the formula, and where it is not known and must be: where only one sample has the control, an unknown share is taken to
        be the same in all its rows, and then does not matter."""
        same_people = _alike(self.people[at])
        share = np.where(self.control[at] >= 0, self.share[at], 0.0)
        shared = (_alike(self.control[at]) & ~same_people).any(axis=1)
        lacks = (same_people & np.isnan(share)).any(axis=1)
        return np.where(lacks & ~shared, 0.0, share), np.isnan(share) & shared

    def between_outcomes(self, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The part of R that is due to outcomes, and which pairs differ in them."""
        differ = ~_alike(self.outcome[at])
        return np.where(differ, self.of_study("outcome_correlation", at), 1.0), differ

    def between_times(self, at: np.ndarray) -> tuple[np.ndarray, np.ndarray, bool, np.ndarray]:
        """The part of R that is due to time, which pairs differ in it, whether it decays, and which rows lack the days for that."""
        days, same_label = self.days[at], _alike(self.timepoint[at])
        per, correlation = self.of_study("time_correlation_days", at), self.of_study("time_correlation", at)
        apart, lacks = np.abs(days[:, None] - days), np.isnan(days)
        # days that only some rows have cannot tell times apart: what is the same would depend on the pair
        differ = ~same_label if lacks.any() else ~same_label | (apart > 0)
        decays = bool(np.isfinite(per) and not lacks.all() and differ.any())
        lacks &= decays or (same_label & (apart > 0)).any()
        base = np.nan if decays and correlation < 0 else correlation
        found = np.where(differ, base ** (apart / per) if decays else base, 1.0)
        found[lacks] = found[:, lacks] = np.nan
        return found, differ, decays, lacks


def _codes(table: pd.DataFrame, name: str) -> np.ndarray:
    return pd.factorize(table[name])[0] if name in table else np.full(len(table), -1)


def _alike(values: np.ndarray) -> np.ndarray:
    return values[:, None] == values


def blocks(table: pd.DataFrame, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The correlation matrices of the studies, one after the other by rows, and where each study's begins (studies + 1,).

    table: sorted by study, study s at rows start[s]:start[s + 1]. A study whose rows are independent has none.
    """
    links, sizes, found = Links(table), np.diff(start), dict[int, np.ndarray]()
    for at in links.sets:
        study = int(np.searchsorted(start, at[0], side="right")) - 1
        inside = at - start[study]
        found.setdefault(study, np.eye(sizes[study]))[inside[:, None], inside] = links.correlation(at)
    lengths = [found[study].size if study in found else 0 for study in range(len(sizes))]
    flat = np.concatenate([np.empty(0), *(found[study].ravel() for study in sorted(found))])
    return flat, np.concatenate([[0], np.cumsum(lengths)]).astype(int)


def matrix(table: pd.DataFrame) -> np.ndarray:
    """The sampling covariance (rows, rows) of a table, rows in its order."""
    variance = table["variance"].to_numpy(float)
    found, links = np.diag(variance), Links(table)
    for at in links.sets:
        found[at[:, None], at] = links.correlation(at) * np.sqrt(np.outer(variance[at], variance[at]))
    return found


def check(table: pd.DataFrame, faults: Faults) -> None:
    """Add what keeps the covariance from being known: correlations that are not stated, or contradict each other."""
    links = Links(table)
    explained = {
        name: faults.rows((name,)) for name in ("outcome_correlation", "time_correlation", "followup_days", "control_group")
    }
    several = _several(links.people, np.where(links.control >= 0, links.control, np.nan))
    faults.add(several, "control_group", "differs among the rows of one sample: rows of one sample have one control")
    linked = np.full(len(table), -1)
    linked[np.isin(links.study, [links.study[at[0]] for at in links.sets])] = 0
    contradicted = several
    for name in STATEMENTS:
        several = _several(np.where(linked < 0, -1, links.study), links.stated[name])
        faults.add(several, name, "differs among the rows of one study")
        contradicted = contradicted | several
    for at in links.sets:
        correlation = links.correlation(at)
        if np.isnan(correlation).any():
            _add_missing(links, at, correlation, table, explained, faults)
        elif not contradicted[at].any():
            _add_singular(links, at, np.linalg.eigvalsh(correlation)[0], faults)


def _several(groups: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Rows with a value, of groups (below 0: none) that hold more than one."""
    found = np.zeros(len(values), bool)
    rows = np.flatnonzero((groups >= 0) & ~np.isnan(values))
    found[rows] = pd.Series(values[rows]).groupby(groups[rows]).transform("nunique") > 1
    return found


def _add_missing(
    links: Links, at: np.ndarray, correlation: np.ndarray, table: pd.DataFrame, explained: dict[str, np.ndarray], faults: Faults
) -> None:
    """Name what is not stated in a set of rows, unless a fault in a cell of that column explains it."""
    _, outcomes_differ = links.between_outcomes(at)
    _, times_differ, decays, lacks_days = links.between_times(at)
    _, lacks_share = links.shares(at)
    over_time = links.of_study("time_correlation", at)
    needs = "is empty: rows on the same people at several {} need it; state 0 for independence"
    parallel = table["design"].to_numpy()[at] == "parallel"
    shared = "is shared, and the control arm's part in the variance is not known: "
    half = "state control_correlation (0.5 for arms of equal size)"
    found = [
        (
            outcomes_differ.any(axis=1) & np.isnan(links.of_study("outcome_correlation", at)),
            "outcome_correlation",
            needs.format("outcomes"),
        ),
        (times_differ.any(axis=1) & np.isnan(over_time), "time_correlation", needs.format("time points")),
        (
            times_differ.any(axis=1) & decays & (over_time < 0),
            "time_correlation",
            "is negative, and cannot decay with days: state one of at least 0, or leave time_correlation_days out",
        ),
        (
            lacks_days,
            "followup_days",
            "is empty, and other rows on the same people or control give it: give it in all of them, or in none",
        ),
        (lacks_share & parallel, "control_group", f"{shared}give n_active and n_control, or {half}"),
        (lacks_share & ~parallel, "control_group", f"{shared}arm sizes do not tell it except in a parallel design; {half}"),
    ]
    unexplained = np.isnan(correlation).any(axis=1) & (not any(where.any() for where, _, _ in found))
    for where, name, rule in [*found, (unexplained, "sample", "the covariance of this row with others cannot be computed")]:
        if name not in explained or not explained[name][at].any():
            _add(faults, at[where], name, rule)


def _add(faults: Faults, positions: np.ndarray, name: str, rule: str) -> None:
    for k in positions.tolist():
        faults.add_cell(k, name, rule)


def _add_singular(links: Links, at: np.ndarray, smallest: float, faults: Faults) -> None:
    name = next((name for name in STATEMENTS[:2] if links.of_study(name, at) < 0), "sample")
    if smallest < -SMALLEST_EIGENVALUE:
        rule = "so many rows cannot all be correlated like this: state a correlation that is less negative"
    elif smallest < SMALLEST_EIGENVALUE:
        name, rule = (
            "sample",
            "with these correlations, rows of this study hold the same information twice: tell them apart by `outcome` or "
            "`timepoint`, or state a correlation further from 1 or -1",
        )
    else:
        return
    _add(faults, at, name, rule)
