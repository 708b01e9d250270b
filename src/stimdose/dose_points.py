"""Where a dose is evaluated: numbers, doses that are sampled, and averages where one row holds many doses.

A row is an average over its doses in two cases. A stratum that prints an interval has trials anywhere in it: the average is over the
interval, under the prior of the dose. The people of a trial had different doses, and the row prints their mean and standard deviation:
the average is over a log-normal distribution with these. A curve that bends is, at the mean dose, not the mean of the curve.
Several doses of one row are taken as independent.
"""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from .latents import closed
from .parts import Dose
from .priors import Prior
from .quadrature import normal_nodes

NODES_PER_LOG_UNIT, FEWEST_NODES = 16, 9
"""Gauss-Legendre nodes over an interval that a stratum prints, enough for a bell of width 0.1 in log dose."""
NARROW, REACH = 0.1, 4.0
"""Of doses of people: the narrowest bell (log dose) that the average is exact for, and how many standard deviations it reaches out."""


@dataclass(frozen=True)
class DosePoints:
    """Where a dose is evaluated, and how the points become rows.

    The points are the `values` (rows,), then the sampled doses of the rows `uncertain`, then the nodes of the rows that are averages;
    `average` (nodes, averages) takes the mean of a column over each of these, and `order` (rows,) picks each row's entry.
    log_bounds (uncertain, 2): the printed interval, NaN where nothing is printed.
    """

    values: np.ndarray
    uncertain: np.ndarray = field(default_factory=lambda: np.empty(0, int))
    log_bounds: np.ndarray = field(default_factory=lambda: np.empty((0, 2)))
    nodes: np.ndarray = field(default_factory=lambda: np.empty(0))
    average: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    row_of_node: np.ndarray = field(default_factory=lambda: np.empty(0, int))
    order: np.ndarray | None = None

    @property
    def row_of_point(self) -> np.ndarray:
        return np.concatenate([np.arange(len(self.values)), self.uncertain, self.row_of_node])


def dose_points(dose: Dose, low: np.ndarray, high: np.ndarray, is_stratum: np.ndarray, spread: np.ndarray) -> DosePoints:
    """The points of a dose with bounds `low` to `high` (rows,), whose people differ by the standard deviation `spread` (rows,)."""
    interval, spreads = low != high, spread > 0
    if not (interval | spreads).any():
        return DosePoints(low)
    prior, log_bounds = dose.prior("true"), np.full((len(low), 2), np.nan)
    with np.errstate(divide="ignore"):
        log_bounds[interval] = closed(np.log(np.column_stack([low, high])[interval]), **prior.parameters)
    uncertain, averaged = np.flatnonzero(interval & ~is_stratum), np.flatnonzero(interval & is_stratum | spreads)
    found = [_over_people(low[row], spread[row]) if spreads[row] else _over_interval(*log_bounds[row], prior) for row in averaged]
    sizes = [len(nodes) for nodes, _ in found]
    average = np.zeros((sum(sizes), len(averaged)))
    average[np.arange(sum(sizes)), np.repeat(np.arange(len(averaged)), sizes)] = np.concatenate([*(w for _, w in found), []])

    order = np.arange(len(low))
    order[uncertain] = len(low) + np.arange(len(uncertain))
    order[averaged] = len(low) + len(uncertain) + np.arange(len(averaged))
    return DosePoints(
        values=np.where(interval, dose.reference, low),
        uncertain=uncertain,
        log_bounds=log_bounds[uncertain],
        nodes=np.concatenate([*(nodes for nodes, _ in found), []]),
        average=average,
        row_of_node=np.repeat(averaged, sizes),
        order=order,
    )


def spread_of(column: str, table: pd.DataFrame) -> np.ndarray:
    """Standard deviation (rows,) of a dose among the people of each row; 0 where none is printed."""
    name = f"{column}_sd"
    return table[name].fillna(0.0).to_numpy(float) if name in table else np.zeros(len(table))


def spread_ends(low: np.ndarray, high: np.ndarray, spread: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest dose (rows,) at which the effect of each row is evaluated."""
    ends = [(_over_people(mean, sd)[0][[0, -1]] if sd else (mean, top)) for mean, top, sd in zip(low, high, spread, strict=True)]
    low, high = np.array(ends, float).reshape(-1, 2).T
    return low, high


def _over_interval(log_low: float, log_high: float, prior: Prior) -> tuple[np.ndarray, np.ndarray]:
    """Doses and weights that average over an interval under its prior: Gauss-Legendre quadrature in log dose."""
    size = max(FEWEST_NODES, int(np.ceil(NODES_PER_LOG_UNIT * (log_high - log_low))))
    node, weight = np.polynomial.legendre.leggauss(size)
    log_dose = (log_low + log_high) / 2 + (log_high - log_low) / 2 * node
    weight = weight * np.exp(-0.5 * ((log_dose - prior.parameters["mu"]) / prior.parameters["sigma"]) ** 2)
    return np.exp(log_dose), weight / weight.sum()


def _over_people(mean: float, sd: float) -> tuple[np.ndarray, np.ndarray]:
    """Doses and weights that average over a log-normal distribution with this mean and standard deviation."""
    sigma = np.sqrt(np.log1p((sd / mean) ** 2))
    z, weight = normal_nodes(NARROW / sigma, REACH)
    return mean * np.exp(sigma * z - sigma**2 / 2), weight
