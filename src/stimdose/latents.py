"""The numbers that stand for missing doses: their prior, what informs it, and what bounds them.

    latent ~ Normal(log typical[modality], spread^2 + LEAST_SPREAD^2)     within its bounds

The printed doses of a column have the same density, and so inform its typical dose and its spread.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from .errors import Problem, TrialsError
from .missing import PULSES, SESSIONS, TOTAL, Cells, Latent, Sum
from .model import Model
from .parts import Dose
from .priors import Prior
from .trials import Trials

OPEN_END = 1e-4
"""An open end is cut where its prior leaves this much: nobody stimulates with less, or more."""
BEYOND_PRINTED = np.log(10)
"""An open end is not cut within this log distance of a printed dose, whatever the prior says."""
LEAST_SPREAD = 0.05
"""Spread of log doses that is always there: trials that all print the same dose would have an infinite density without it."""
SEQUENCE = ("frequency_hz", "session_min", SESSIONS, PULSES, TOTAL)
"""Order of the columns: the bounds of a latent may depend on the latents before it."""


@dataclass(frozen=True)
class Latents:
    """The latents of one column, and the printed doses they resemble.

    prior: of the typical dose; spread: of the standard deviation of log doses. observed (printed,) log doses of arms, with
    observed_group. group (latents,): number of the modality. log_bounds (latents, 2): infinite for the first `free`, which nothing
    bounds. Other ends depend on the latents of the columns before: limit + weights (limits, earlier) @ earlier is a lower end of
    the latents is_lowest (latents, limits), and an upper end of the latents is_highest.
    """

    column: str
    prior: Prior
    spread: Prior
    observed: np.ndarray
    observed_group: np.ndarray
    group: np.ndarray
    log_bounds: np.ndarray
    free: int
    limit: np.ndarray
    weights: np.ndarray
    is_lowest: np.ndarray
    is_highest: np.ndarray

    def ends(self, earlier):
        """Lower and upper log bounds (..., latents), given the latents of the columns before (..., earlier)."""
        low, high = self.log_bounds.T
        if not len(self.limit):
            return low, high
        limit = (self.limit + earlier @ self.weights.T)[..., None, :]
        low, high = low[:, None], high[:, None]
        low = (np.where(self.is_lowest, 0, low) + self.is_lowest * limit).max(axis=-1)
        return low, (np.where(self.is_highest, 0, high) + self.is_highest * limit).min(axis=-1)


@dataclass(frozen=True)
class LogDoses:
    """The missing doses of one column of the model: rows (missing,), and log dose = printed + weights @ latents."""

    rows: np.ndarray
    printed: np.ndarray
    weights: np.ndarray

    def of(self, latents):
        """Log doses (..., missing) from latents (..., latents)."""
        return self.printed + latents @ self.weights.T


@dataclass(frozen=True)
class Imputation:
    """What stands for the doses that a table does not print.

    levels: the modalities. parts: latents by column, in an order in which bounds depend on earlier ones only. doses: by column of
    the model. bounds: lowest and highest dose (2, rows) by column of the model, with what other rows of an arm print filled in.
    key: who shares a dose (rows,) by column of the model.
    """

    levels: list[str]
    parts: tuple[Latents, ...]
    doses: dict[str, LogDoses]
    bounds: dict[str, np.ndarray]
    key: dict[str, np.ndarray]

    def priors(self) -> dict[str, Prior]:
        """Priors of typical doses and spreads, by name; among them those of columns that are not doses of the model."""
        return {f"{p.column}_true": p.prior for p in self.parts} | {f"{p.column}_spread": p.spread for p in self.parts}


def closed(log_bounds: np.ndarray, mu: float, sigma: float) -> np.ndarray:
    """Log bounds (rows, 2) with open ends cut where Normal(mu, sigma) leaves `OPEN_END`.

    An interval beyond the reach of the prior keeps its printed end, and its open end lies one sigma further.
    """
    low, high = log_bounds.T
    reach = -ndtri(OPEN_END) * sigma
    return np.column_stack(
        [
            np.where(np.isfinite(low), low, np.minimum(mu - reach, high - sigma)),
            np.where(np.isfinite(high), high, np.maximum(mu + reach, low + sigma)),
        ]
    )


def impute(model: Model, trials: Trials) -> Imputation:
    """The latents of a table whose rows are complete but for doses.

    Raises TrialsError where a column gives nothing to learn from, and where what is printed leaves no dose possible.
    """
    cells = Cells(model, trials)
    found: dict[str, dict[int, Sum]] = {dose.column: {} for dose in model.doses}
    limits: list[tuple[Sum, int]] = []
    for row in range(len(trials)):
        wanted = [dose.column for dose in model.doses if cells.is_unknown(dose.column, row)]
        sums = {column: cells.sum_of(column, wanted, row) for column in wanted}
        for column in wanted:
            found[column][row] = sums[column]
        through = {latent[0]: Sum(0.0, {latent: 1.0}) for log_dose in sums.values() for latent in log_dose.latents}
        limits += [(limit, row) for limit in cells.limits(through | sums, row)]
    used = {latent for rows in found.values() for log_dose in rows.values() for latent in log_dose.latents}
    in_sequence = lambda latent: (SEQUENCE.index(latent[0]) if latent[0] in SEQUENCE else -1, latent[0])
    latents = sorted(used, key=lambda latent: (in_sequence(latent), latent[1]))
    columns = list(dict.fromkeys(column for column, _ in latents))
    _check_informed(model, cells, columns)
    priors = {column: _priors(model, column) for column in columns}
    reach = {column: _reach(cells.printed(column)[0], *priors[column]) for column in columns}
    bounds, dependent = _bounds(latents, limits, reach, trials)
    latents.sort(key=lambda latent: (in_sequence(latent), latent in bounds, latent[1]))
    parts = tuple(_part(column, priors[column], cells, latents, bounds, dependent) for column in columns)
    doses = {
        column: LogDoses(
            np.array(list(rows), int), np.array([s.printed for s in rows.values()]), _weights(rows.values(), latents)
        )
        for column, rows in found.items()
    }
    printed, key = ({dose.column: values[dose.column] for dose in model.doses} for values in (cells.bounds, cells.key))
    return Imputation(cells.modalities()[0], parts, doses, printed, key)


def _part(column: str, priors: tuple, cells: Cells, latents: list[Latent], bounds: dict, dependent: list) -> Latents:
    """The latents of one column; `latents` are those of all columns, in order."""
    own = [latent for latent in latents if latent[0] == column]
    mine = [(last, limit) for last, limit in dependent if last[0] == column]
    others = [
        Sum(limit.printed, {latent: sign for latent, sign in limit.latents.items() if latent != last}) for last, limit in mine
    ]
    sign = np.array([limit.latents[last] for last, limit in mine])
    hit = np.array([[last == latent for last, _ in mine] for latent in own], bool).reshape(len(own), len(mine))
    (observed, observed_row), (_, group) = cells.printed(column), cells.modalities()
    return Latents(
        column,
        *priors,
        observed=observed,
        observed_group=group[observed_row],
        group=group[[cells.row_of(latent) for latent in own]],
        log_bounds=np.array([bounds.get(latent, (-np.inf, np.inf)) for latent in own]),
        free=sum(latent not in bounds for latent in own),
        limit=-sign * np.array([other.printed for other in others]),
        weights=-sign[:, None] * _weights(others, latents)[:, : latents.index(own[0])],
        is_lowest=hit & (sign < 0),
        is_highest=hit & (sign > 0),
    )


def _priors(model: Model, column: str) -> tuple[Prior, Prior]:
    """Priors of the typical dose and of the spread; a column that is no dose of the model has the defaults."""
    dose = next((dose for dose in model.doses if dose.column == column), None) or Dose(column=column, shape="linear")
    return dose.prior("true"), dose.prior("spread")


def _reach(printed: np.ndarray, prior: Prior, spread: Prior) -> tuple[float, float]:
    """Where open ends are cut: the reach of the prior, or of the printed log doses if that is wider."""
    sigma = np.hypot(prior.parameters["sigma"], spread.distribution.ppf(0.9))
    ((low, high),) = closed(np.array([[-np.inf, np.inf]]), prior.parameters["mu"], sigma)
    return min([low, *(printed - BEYOND_PRINTED)]), max([high, *(printed + BEYOND_PRINTED)])


def _weights(sums: Collection[Sum], latents: list[Latent]) -> np.ndarray:
    """Signs (sums, latents) with which the latents enter the sums."""
    place = {latent: k for k, latent in enumerate(latents)}
    weights = np.zeros((len(sums), len(latents)))
    for row, log_dose in zip(weights, sums, strict=True):
        row[[place[latent] for latent in log_dose.latents]] = list(log_dose.latents.values())
    return weights


def _check_informed(model: Model, cells: Cells, columns: list[str]) -> None:
    stated = {dose.column for dose in model.doses if "true" in dose.priors}
    silent = [column for column in columns if column not in stated and not (cells.bounds[column] > 0).any()]
    rule = "no row prints a dose, so there is nothing to learn from: state the `true` prior of this dose, or leave the dose out"
    if silent:
        raise TrialsError("doses that cannot be imputed:", [Problem(None, "", column, "", rule) for column in silent])


def _bounds(latents: list[Latent], limits: list[tuple[Sum, int]], reach: dict, trials: Trials):
    """Log bounds of every latent that has any, and the limits that depend on other latents, each with its last latent.

    A limit on several latents bounds the last of them, given the others; that every lower end lies below every upper end is a
    limit on the others (Fourier-Motzkin elimination), so that no interval can be empty.
    """
    rank, bounds, dependent, problems = {latent: k for k, latent in enumerate(latents)}, {}, [], []
    pending = {latent: [] for latent in latents}
    for limit, row in limits:
        pending[max(limit.latents, key=rank.get)].append((limit, row))
    for latent in (latent for latent in reversed(latents) if pending[latent]):
        several = [(limit, row) for limit, row in pending[latent] if len(limit.latents) > 1]
        single = [limit for limit, _ in pending[latent] if len(limit.latents) == 1]
        first_row = pending[latent][0][1]
        low = max([limit.printed for limit in single if limit.latents[latent] < 0], default=-np.inf)
        high = min([-limit.printed for limit in single if limit.latents[latent] > 0], default=np.inf)
        if low >= high:
            row = trials.table.iloc[first_row]
            rule = (
                "what this row prints leaves no dose possible: check frequency, minutes, pulses and sessions against each other"
            )
            problems.append(Problem(row["row"], row["study"], latent[0], "", rule))
            continue
        cut = reach[latent[0]]
        low = low if np.isfinite(low) else min(cut[0], high - 1)
        high = high if np.isfinite(high) else max(cut[1], low + 1)
        bounds[latent] = (low, high)
        dependent += [(latent, limit) for limit, _ in several]
        lower = [(Sum(low, {latent: -1.0}), first_row), *(each for each in several if each[0].latents[latent] < 0)]
        upper = [(Sum(-high, {latent: 1.0}), first_row), *(each for each in several if each[0].latents[latent] > 0)]
        for one, row in lower:
            for other, its_row in upper:
                rest = one.plus(1.0, other)
                if rest.latents:
                    pending[max(rest.latents, key=rank.get)].append((rest, max(row, its_row)))
    if problems:
        raise TrialsError("doses that contradict each other:", problems[::-1])
    return bounds, dependent
