"""Which rows of a study are not independent, and how strongly: shared controls, several outcomes, several time points.

The sampling error of a contrast is that of its active arm less that of its control arm, so two rows i, j of a study covary by

    V_ij = sqrt(V_ii V_jj) R_ij (sqrt(a_i a_j) [same people in both arms] + sqrt(c_i c_j) [same control arm]),     a_i = 1 - c_i

c being the control arm's share of the variance (0 for rows that name no control group). R is 1 for one outcome at
one time; two outcomes correlate by `outcome_correlation`; two time points by `time_correlation`, to the power of their distance
where `followup_days` and `time_correlation_days` are given (autoregressive); both differ: the product. V is positive definite
whenever R is, because it is a sum of Schur products of positive semi-definite matrices. Gleser and Olkin 2009 for the shared control.
"""

import itertools

import numpy as np
import pandas as pd

from .arms import column
from .tables import Faults

SMALLEST_EIGENVALUE = 1e-8
"""A correlation matrix with a smaller eigenvalue says that some rows hold the same information."""


def study_correlation(rows: pd.DataFrame) -> np.ndarray | None:
    """Correlation (rows, rows) of the sampling errors of the rows of one study, NaN where a statement is missing; None where all are
    independent."""
    same_people, same_control = _same(rows, "sample"), _same(rows, "control_group")
    linked = same_people | same_control
    if linked.sum() == len(rows):
        return None
    control = column(rows, "control_share").to_numpy()
    shares = (same_control & ~np.eye(len(rows), dtype=bool)).any(axis=1)
    names_control = _text(rows, "control_group").notna().to_numpy()
    control = np.where(names_control & (shares | np.isfinite(control)), control, 0.0)
    active = 1 - control
    with np.errstate(invalid="ignore"):
        shared = same_people * np.sqrt(np.outer(active, active)) + (same_people | same_control) * np.sqrt(
            np.outer(control, control)
        )
    correlation = np.where(linked, _between_measurements(rows) * shared, 0.0)
    np.fill_diagonal(correlation, 1.0)
    return correlation


def _text(rows: pd.DataFrame, name: str) -> pd.Series:
    return rows[name] if name in rows else pd.Series(None, rows.index, dtype=object)


def _same(rows: pd.DataFrame, name: str) -> np.ndarray:
    """Whether two rows (rows, rows) have the same value, which is not empty; every row is the same as itself."""
    values = _text(rows, name)
    codes = np.where(values.notna(), pd.factorize(values.astype(str))[0], -1 - np.arange(len(rows)))
    return codes[:, None] == codes


def _between_measurements(rows: pd.DataFrame) -> np.ndarray:
    """R of the module's formula, NaN where two rows differ in outcome or time and no correlation is stated for it."""
    found = np.ones((len(rows), len(rows)))
    differ = ~_same_or_both_empty(rows, "outcome")
    found = np.where(differ, found * _stated(rows, "outcome_correlation"), found)
    days = column(rows, "followup_days").to_numpy()
    apart = np.abs(days[:, None] - days)
    per = column(rows, "time_correlation_days").max()
    differ = ~_same_or_both_empty(rows, "timepoint") | (apart > 0)
    power = np.where(np.isfinite(apart) & np.isfinite(per), apart / per, 1.0)
    with np.errstate(invalid="ignore"):
        return np.where(differ, found * _stated(rows, "time_correlation") ** power, found)


def _same_or_both_empty(rows: pd.DataFrame, name: str) -> np.ndarray:
    codes = pd.factorize(_text(rows, name))[0]
    return codes[:, None] == codes


def _stated(rows: pd.DataFrame, name: str) -> float:
    """The one value that the rows of a study state; `check` refuses several."""
    values = column(rows, name).dropna()
    return float(values.iloc[0]) if len(values) else np.nan


def has_links(table: pd.DataFrame) -> bool:
    """Whether any row names a sample or a control group."""
    return any(_text(table, name).notna().any() for name in ("sample", "control_group"))


def blocks(table: pd.DataFrame, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The correlation matrices of the studies, one after the other by rows, and where each study's begins (studies + 1,).

    table: sorted by study, study s at rows start[s]:start[s + 1]. A study whose rows are independent has none.
    """
    if not has_links(table):
        return np.empty(0), np.zeros(len(start), int)
    found = [study_correlation(table.iloc[first:last]) for first, last in itertools.pairwise(start)]
    sizes = [0 if matrix is None else matrix.size for matrix in found]
    flat = np.concatenate([np.empty(0), *(matrix.ravel() for matrix in found if matrix is not None)])
    return flat, np.concatenate([[0], np.cumsum(sizes)]).astype(int)


def matrix(table: pd.DataFrame) -> np.ndarray:
    """The sampling covariance (rows, rows) of a table, rows in its order."""
    variance = table["variance"].to_numpy(float)
    found = np.diag(variance)
    if not has_links(table):
        return found
    for positions in table.reset_index(drop=True).groupby("study", sort=False).indices.values():
        correlation = study_correlation(table.iloc[positions])
        if correlation is not None:
            found[np.ix_(positions, positions)] = correlation * np.sqrt(np.outer(variance[positions], variance[positions]))
    return found


def check(table: pd.DataFrame, faults: Faults) -> None:
    """Add what keeps the covariance from being known: correlations that are not stated, or contradict each other."""
    if not has_links(table):
        return
    for positions in table.reset_index(drop=True).groupby("study", sort=False).indices.values():
        rows = table.iloc[positions]
        correlation = study_correlation(rows)
        if correlation is None:
            continue
        here = np.isin(np.arange(len(table)), positions)
        several = [
            name
            for name in ("outcome_correlation", "time_correlation", "time_correlation_days")
            if column(rows, name).nunique() > 1
        ]
        for name in several:
            faults.add(here & table[name].notna().to_numpy(), name, "differs among the rows of one study")
        missing = np.isnan(correlation).any(axis=1)
        if missing.any():
            _add_missing(rows, positions, missing, len(table), faults)
        elif not several and np.linalg.eigvalsh(correlation)[0] < SMALLEST_EIGENVALUE:
            linked = (correlation != 0).sum(axis=1) > 1
            faults.add(
                _where(positions[linked], len(table)),
                "sample",
                "with these correlations, rows of this study hold the same information twice: tell them apart by `outcome` or "
                "`timepoint`, or state a correlation further from 1 or -1",
            )


def _add_missing(rows: pd.DataFrame, positions: np.ndarray, missing: np.ndarray, size: int, faults: Faults) -> None:
    between = _between_measurements(rows)
    linked = _same(rows, "sample") | _same(rows, "control_group")
    for name, what in (("outcome", "outcomes"), ("timepoint", "time points")):
        correlation = "outcome_correlation" if name == "outcome" else "time_correlation"
        lacks = (linked & np.isnan(between) & ~_same_or_both_empty(rows, name)).any(axis=1) & np.isnan(_stated(rows, correlation))
        faults.add(
            _where(positions[lacks], size),
            correlation,
            f"is empty: rows on the same people at several {what} need it; state 0 for independence",
        )
    control = missing & ~np.isnan(np.where(linked, between, 0.0)).any(axis=1)
    faults.add(
        _where(positions[control], size),
        "control_group",
        "is shared, and the control arm's part in the variance is not known: give n_active and n_control, or state control_correlation "
        "(0.5 for arms of equal size)",
    )


def _where(positions: np.ndarray, size: int) -> np.ndarray:
    return np.isin(np.arange(size), positions)
