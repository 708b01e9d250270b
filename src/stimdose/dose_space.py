"""Which doses trials tried together: the region of the dose space they visited, and what they cannot tell apart.

Doses are compared by their logarithms, so that units change nothing.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from . import arguments
from .arguments import checked
from .columns import DOSES
from .doses import short
from .errors import StimdoseError, nearest
from .rows import Rows
from .sampling import Fit
from .trials import Trials, rows_in_words

CORRELATED = 0.6
"""|r| of two log doses from which they are rivals. Collinearity distorts estimates from |r| 0.5 to 0.7 on (Dormann et al. 2013,
Ecography 36:27-46, doi 10.1111/j.1600-0587.2012.07348.x)."""
FEWEST_ROWS = 10
"""Of two unrelated doses, r over fewer rows than this reaches CORRELATED more than one time in fifteen."""
RELATED, CHANCE = 0.4, 1.83
"""|r| from which two doses are worth a remark, if unrelated doses would reach it over so many rows less than one time in fifteen:
|atanh(r)| sqrt(rows - 3) from CHANCE (Fisher's z), which is 10 rows for r = 0.6 and 22 for 0.4."""
INFLATED = 10.0
"""Variance inflation factor from which a dose follows from others together: they explain 90 % of it (Dormann et al. 2013)."""
NEAR = 1.5
"""A dose within this factor of one that was tried counts as visited. Usual doses (5, 10, 20 Hz; 10, 15, 20 sessions) are a factor of
1.3 to 2 apart: between two neighbours that were tried no gap is left, and a whole step beyond the last is outside."""
PARAMETERS_CORRELATED = 0.7
"""|r| of two parameters in the posterior from which half of the variance of one is that of the other."""
UNINFORMED = 0.1
"""Contraction (1 - posterior / prior variance) below which trials say next to nothing about a parameter."""
SAME = (
    {"sessions", "treatment_days", "therapy_hours", "total_pulses"},
    {"pulses_per_session", "total_pulses"},
    {"intensity_percent_rmt", "intensity_percent_mso"},
)
"""Doses that measure one thing by definition, so that one is no rival explanation of the other: the length of the course, in
sessions, days, hours or all pulses; total pulses, which are pulses per session times sessions; intensity on its two scales."""
CHUNK = 10_000_000
"""Comparisons of points with rows held at once."""


@dataclass(frozen=True)
class Confounder:
    """A dose whose logarithm goes with that of another: r over so many rows that print both as numbers above 0."""

    column: str
    r: float
    rows: int
    in_model: bool


@checked
def confounders(fit: Fit, column: str) -> tuple[Confounder, ...]:
    """The rivals of a dose, strongest first: doses of the table, in the model or not, with |r| of the log doses >= 0.6 over at least
    10 rows. What measures the same by definition (SAME) is none, nor are total pulses beside the pulses per session they are made of.

    Raises StimdoseError for a dose that the table does not have.
    """
    return _going_with(fit, column, CORRELATED)


def related(fit: Fit, column: str) -> tuple[Confounder, ...]:
    """Doses that go with one less than rivals do, strongest first: |r| of the log doses from 0.4 to 0.6. They are worth a remark, and
    change no verdict."""
    return tuple(found for found in _going_with(fit, column, RELATED) if abs(found.r) < CORRELATED)


def _going_with(fit: Fit, column: str, least: float) -> tuple[Confounder, ...]:
    _check(fit, (column,))
    own, table = _own(fit), fit.trials.table
    _, r, rows = _correlations(
        fit.trials, (column, *(name for name in dict.fromkeys((*own, *DOSES)) if name in table and name != column))
    )
    found = [
        Confounder(name, float(r.loc[name, column]), int(rows.loc[name, column]), name in own)
        for name in _rivals(r, rows, column, own, least)
    ]
    return tuple(sorted(found, key=lambda rival: -abs(rival.r)))


def same_thing(one: str, other: str) -> bool:
    """Whether two doses measure the same thing by definition."""
    return any({one, other} <= names for names in SAME)


@checked(doses=arguments.NUMBERS_BY_DOSE)
def visited(source: Fit | Trials | Rows, doses: dict[str, np.ndarray]) -> np.ndarray:
    """Whether trials were near a point of the dose space: some row lies within a factor of 1.5 of it in every dose named.

    doses: arrays that broadcast against each other (dose units), by column. An interval counts from end to end, an open one with the
    end that is printed, and a row that does not print all of these doses not at all. Returns booleans of the broadcast shape.

    Raises StimdoseError for doses that the table does not have, and arrays that do not broadcast.
    """
    trials = trials_of(source)
    _check(source, tuple(doses))
    arrays = np.broadcast_arrays(*doses.values())
    ends = np.stack([ends_of(trials, column) for column in doses])
    low, high = np.moveaxis(np.unique(ends[..., np.isfinite(ends).all(axis=(0, 1))], axis=-1), 1, 0)
    low, high = low / NEAR * (1 - 1e-9), high * NEAR * (1 + 1e-9)
    found = np.zeros(arrays[0].size, bool)
    step = max(1, CHUNK // max(1, found.size))
    for k in range(0, low.shape[1], step):
        part = slice(k, k + step)
        near = [(x.reshape(-1, 1) >= a[part]) & (x.reshape(-1, 1) <= b[part]) for x, a, b in zip(arrays, low, high, strict=True)]
        found |= np.logical_and.reduce(near).any(axis=1)
    return found.reshape(arrays[0].shape)


@dataclass(frozen=True)
class Support:
    """Which region of the dose space trials visited, and what they cannot tell apart.

    region: by dose, the number of rows that print it as a number above 0, and the lowest and highest dose that any row names.
    correlation, rows: (doses, doses) r of log doses, and the number of rows that print both. inflation: variance inflation factor by
        dose, and condition: square root of the largest over the smallest eigenvalue of the correlations, over the `complete_rows`
        that print all of them; NaN if these are too few, infinite where one dose follows exactly from others.
    pairs: doses that go together (first, second, r, rows), and the share of the rectangle of their log doses that was `visited`.
    parameters: of a fit, pairs of parameters that its trials cannot separate: correlation in the posterior, and contraction of both
        (1 - posterior / prior variance). unmodelled: pairs of a dose of the model and a rival that the model lacks.
    fit_warning: set if the fit did not converge. remarks: what one must know to read the rest.
    """

    region: pd.DataFrame
    correlation: pd.DataFrame
    rows: pd.DataFrame
    inflation: pd.Series
    condition: float
    complete_rows: int
    pairs: pd.DataFrame
    parameters: pd.DataFrame
    unmodelled: tuple[tuple[str, str], ...]
    fit_warning: str
    remarks: tuple[str, ...]

    @property
    def together(self) -> tuple[str, ...]:
        """Doses that follow from the others together: variance inflation of 10 or more."""
        return tuple(self.inflation.index[self.inflation >= INFLATED])

    @property
    def explanation(self) -> str:
        """What was tried and what cannot be told apart, in sentences."""
        lines = [
            f"{dose}: {short(row['low'])} to {short(row['high'])}, a number in {rows_in_words(int(row['rows']))}."
            for dose, row in self.region.iterrows()
        ]
        lines += [
            f"{one} and {other} go together: r = {r:.2f} over {rows} rows, which visited {share:.0%} of their ranges."
            for one, other, r, rows, share in self.pairs.itertuples(index=False)
        ]
        if self.together:
            most = short(self.inflation.max())
            lines.append(f"{_and(self.together)} nearly follow from each other: variance inflation up to {most}.")
        for one, other, r, *contraction in self.parameters.itertuples(index=False):
            little = f"contraction {contraction[0]:.2f} and {contraction[1]:.2f}"
            why = f"correlation {r:.2f}" if abs(r) >= PARAMETERS_CORRELATED else little
            lines.append(f"These trials cannot separate {one} from {other} ({why}).")
        lines += [f"The model has no {rival}: it books what {rival} does as {own}." for own, rival in self.unmodelled]
        if not len(self.pairs) and not self.together:
            lines.append(
                "No two of these doses go together." if len(self.region) > 1 else "There is no second dose to compare with."
            )
        return "\n".join([self.fit_warning] * bool(self.fit_warning) + lines + [f"{remark}." for remark in self.remarks])


@checked(columns=arguments.NAMES.or_none())
def support(source: Fit | Trials, columns: str | Sequence[str] | None = None) -> Support:
    """What trials tried together, and what they cannot tell apart.

    columns: doses, or one; by default those of the model, and all others that at least 10 rows print and that vary. What measures the same
        as one before it (SAME) stays out of the pairs and of what follows from all together.

    Two doses go together if |r| of their logarithms is 0.6 or more over at least 10 rows. Two parameters of different doses cannot be
    separated if |r| of their posterior draws is 0.7 or more; or if the contraction of both is below 0.1, and their doses go together
    or follow from the others together (variance inflation of 10 or more).

    Raises StimdoseError for doses that the table does not have.
    """
    trials = trials_of(source)
    columns = tuple(dict.fromkeys([columns] if isinstance(columns, str) else columns or ()))
    _check(source, columns)
    columns = columns or _comparable(source)
    if not columns:
        raise StimdoseError("no dose of this table varies: there is nothing to compare")
    logs, r, rows = _correlations(trials, columns)
    ends = [ends_of(trials, column) for column in columns]
    low, high = (pd.DataFrame(dict(zip(columns, side, strict=True))) for side in zip(*ends, strict=True))
    region = pd.DataFrame({"rows": logs.notna().sum(), "low": low.min(), "high": high.max()}).rename_axis("dose")
    rivals = {column: _rivals(r, rows, column, _own(source)) for column in columns}
    pairs = pd.DataFrame(
        [
            (one, other, r.loc[one, other], rows.loc[one, other], _visited_share(trials, logs[[one, other]]))
            for one, other in itertools.combinations(columns, 2)
            if other in rivals[one] and one in rivals[other]
        ],
        columns=["first", "second", "r", "rows", "visited"],
    )
    inflation, condition, complete = _inflation(logs[_distinct(columns)])
    entangled = {frozenset(pair) for pair in zip(pairs["first"], pairs["second"], strict=True)}
    entangled |= {frozenset(pair) for pair in itertools.combinations(inflation.index[inflation >= INFLATED], 2)}
    remarks = [f"{name} is the same wherever it is printed" for name in columns if logs[name].nunique() == 1]
    remarks += [
        f"{one} and {other} go together to some extent: r = {r.loc[one, other]:.2f} over {rows.loc[one, other]} rows"
        for one, other in itertools.combinations(columns, 2)
        if abs(r.loc[one, other]) < CORRELATED and other in _rivals(r, rows, one, _own(source), RELATED)
        if one in _rivals(r, rows, other, _own(source), RELATED)
    ]
    if inflation.isna().all():
        remarks.append(
            f"{rows_in_words(complete)} print all of {_and(inflation.index)}, too few to say what follows from them together"
        )
    fit = source if isinstance(source, Fit) else None
    return Support(
        region,
        r,
        rows,
        inflation,
        condition,
        complete,
        pairs,
        _inseparable(fit, entangled) if fit else pd.DataFrame(columns=PARAMETERS),
        tuple(
            (own, rival.column) for own in _own(source) for rival in (confounders(fit, own) if fit else ()) if not rival.in_model
        ),
        f"Warning: the fit {fit.diagnosis.message}." if fit and not fit.diagnosis.converged else "",
        tuple(remarks),
    )


PARAMETERS = ["first", "second", "correlation", "contraction_first", "contraction_second"]


def _inseparable(fit: Fit, entangled: set[frozenset[str]]) -> pd.DataFrame:
    """Pairs of parameters of different doses that the trials cannot separate."""
    posterior, prior = (_parameters(fit, group) for group in ("posterior", "prior"))
    contraction = {key: 1 - draws.var() / prior[key].var() for key, draws in posterior.items()}
    records = []
    for one, other in itertools.combinations(posterior, 2):
        if one[0] != other[0]:
            r = np.corrcoef(posterior[one], posterior[other])[0, 1]
            is_open = frozenset((one[0], other[0])) in entangled and max(contraction[one], contraction[other]) < UNINFORMED
            if is_open or abs(r) >= PARAMETERS_CORRELATED:
                records.append((one[1], other[1], r, contraction[one], contraction[other]))
    return pd.DataFrame(records, columns=PARAMETERS)


def _parameters(fit: Fit, group: str) -> dict[tuple[str, str], np.ndarray]:
    """Draws (draws,) of the parameters of every dose, of the population and of its groups, by dose and name; of non-linear ones the
    logarithms."""
    values, found = fit.values(group), {}
    own: list[tuple[str, str, Callable, tuple[str, ...]]] = [
        (part.column, name, np.asarray, part.groups) for part in fit.model.dose for name in part.coefficients if part.basis.named
    ]
    own += [(dose.column, name, np.log, dose.nonlinear_groups) for dose in fit.model.doses for name in dose.nonlinear]
    for column, name, scale, groups in own:
        variable = f"{column}_{name}"
        found[column, variable] = scale(values[variable])
        for group in groups:
            for k, level in enumerate(fit.rows.levels[group]):
                found[column, f"{variable}_by_{group}[{level}]"] = scale(values[f"{variable}_by_{group}"][:, k])
    return found


def _inflation(logs: pd.DataFrame) -> tuple[pd.Series, float, int]:
    """Variance inflation factors and condition of the log doses together, and the number of rows that print all of them."""
    complete = logs.dropna()
    if len(complete) < len(logs.columns) + 2 or (complete.nunique() == 1).any():
        return pd.Series(np.nan, logs.columns), np.nan, len(complete)
    z = ((complete - complete.mean()) / complete.std(ddof=0)).to_numpy()
    unexplained = np.empty(z.shape[1])
    for k, column in enumerate(z.T):
        others = np.delete(z, k, axis=1)
        unexplained[k] = np.mean((column - others @ np.linalg.lstsq(others, column)[0]) ** 2)
    sizes = np.linalg.svd(z, compute_uv=False)
    inflation = np.where(unexplained > 1e-9, 1 / np.maximum(unexplained, 1e-9), np.inf)
    return pd.Series(inflation, logs.columns), sizes[0] / sizes[-1] if (unexplained > 1e-9).all() else np.inf, len(z)


def _visited_share(trials: Trials, logs: pd.DataFrame) -> float:
    """Share of the rectangle of two log doses, from the lowest to the highest of each, that trials visited."""
    x, y = (np.exp(np.linspace(logs[name].min(), logs[name].max(), 41)) for name in logs)
    return float(visited(trials, {logs.columns[0]: x[:, None], logs.columns[1]: y}).mean())


def _comparable(source: Fit | Trials) -> tuple[str, ...]:
    """The doses of the model, and others that enough rows print and that vary."""
    own, trials = _own(source), trials_of(source)
    logs, _, _ = _correlations(trials, tuple(name for name in DOSES if name in trials.table and name not in own))
    return (*own, *(name for name in logs if logs[name].count() >= FEWEST_ROWS and logs[name].nunique() > 1))


def _distinct(columns: tuple[str, ...]) -> list[str]:
    """Doses that do not measure the same as one before them."""
    return [name for k, name in enumerate(columns) if not any(same_thing(name, other) for other in columns[:k])]


def _correlations(trials: Trials, columns: tuple[str, ...]) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Log doses (rows, doses), NaN where no number above 0 is printed; r of every two, NaN where one does not vary; rows with both."""
    doses = trials.table[list(columns)].astype(float)
    logs = np.log(doses.where(doses > 0))
    printed = logs.notna().astype(int)
    return logs, logs.corr(min_periods=2), printed.T @ printed


def _rivals(r: pd.DataFrame, rows: pd.DataFrame, column: str, own: tuple[str, ...], least: float = CORRELATED) -> list[str]:
    """The doses that go with one, |r| from `least`, by the correlations of log doses and their numbers of rows; `own` are those of
    the model."""
    found = [
        name
        for name in r.index
        if not same_thing(name, column) and _go_together(r.loc[name, column], rows.loc[name, column], least)
    ]
    derived = [] if "total_pulses" in own or "pulses_per_session" not in found else ["total_pulses"]
    return [name for name in found if name not in (column, *derived)]


def _go_together(r: float, rows: int, least: float) -> bool:
    if rows < FEWEST_ROWS or not abs(r) >= least:
        return False
    return abs(r) >= CORRELATED or abs(np.arctanh(r)) * np.sqrt(rows - 3) >= CHANCE


def ends_of(trials: Trials, column: str) -> np.ndarray:
    """Lowest and highest dose (2, rows) that rows name; an open end counts with the one that is printed, NaN where nothing is."""
    low, high = trials.bounds(column)
    return np.array([np.where((low == 0) & (high < np.inf), high, low), np.where(np.isinf(high), low, high)])


def trials_of(source: Fit | Trials | Rows) -> Trials:
    """The trials of a fit or of its rows, or the trials themselves."""
    return source.trials if isinstance(source, Fit) else Trials(source.table) if isinstance(source, Rows) else source


def _own(source: Fit | Trials | Rows) -> tuple[str, ...]:
    """The doses of the model, if there is one."""
    return tuple(dose.column for dose in source.model.doses) if isinstance(source, Fit) else ()


def _check(source: Fit | Trials | Rows, columns: tuple[str, ...]) -> None:
    table = trials_of(source).table
    known = [name for name in dict.fromkeys((*_own(source), *DOSES)) if name in table]
    if wrong := [name for name in columns if name not in table or not pd.api.types.is_numeric_dtype(table[name])]:
        lines = [f"the table has no dose {name!r}{nearest(name, known)}" for name in wrong]
        raise StimdoseError("; ".join([*lines, f"it has {', '.join(known) or 'none'}"]))


def _and(names) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
