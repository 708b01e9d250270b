"""Which trials the others do not predict: every study against the posterior without it.

The predictive of the rows y of a study, given draw d of the posterior without it, is N(m_d, C_d): its own effects and what its rows
differ by are integrated out, so nothing here is simulated, and the order of rows and studies does not matter. With selection it is what
is published of that, and a study is one row.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

from .heterogeneity import row_variance, spread_at, study_columns
from .model import Model
from .posterior import observed
from .predictive import mean_effects
from .predictor import terms
from .rows import Rows
from .selection import PROBABILITY, published_mean, published_tails

BISECTIONS = 40


class Moments(NamedTuple):
    """Reported effects (draws or 1, rows), their mean (draws, rows) in a study not seen, and what their covariance is made of: sampling
    variances (draws or 1, rows), variances beside these (draws or 1, rows), and effects by study (draws, rows) of standard deviation 1."""

    effect: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    within: np.ndarray
    columns: list[np.ndarray]

    def covariance(self, rows: Rows, study: int) -> np.ndarray:
        """C (draws, k, k) of the rows of a study."""
        own = slice(*rows.start[study : study + 2])
        size = own.stop - own.start
        block = rows.correlation[slice(*rows.block[study : study + 2])] if len(rows.correlation) else np.empty(0)
        correlation = block.reshape(size, size) if len(block) else np.eye(size)
        sd = np.sqrt(self.variance[:, own])
        total = correlation * sd[:, :, None] * sd[:, None, :] + self.within[..., None, own] * np.eye(size)
        for column in self.columns:
            total = total + column[:, own, None] * column[:, None, own]
        return total


def moments(model: Model, rows: Rows, values: dict) -> Moments:
    """The moments of all rows, given draws (draws, ...) of the parameters."""
    effect, variance, _ = observed(rows, values)
    found = {term.name: term.column for term in terms(model, rows, rows.points, values)}
    spread = spread_at(model, rows.points.groups, rows.study, values)
    columns = study_columns(model, rows, rows.points.groups, spread, found, values)
    return Moments(effect, mean_effects(model, rows, values), variance, np.atleast_2d(row_variance(rows, values)), columns)


def against_others(
    model: Model, rows: Rows, number: int, values: dict, prob: float = 0.95
) -> tuple[dict[str, float], pd.DataFrame]:
    """How a study, and each of its rows, lies in what the other studies predict.

    number: of the study. values: draws (draws, ...) from the posterior without it.

    Returns a line on the study and a table of its rows. Of the study: rows; residual, by how many standard deviations it lies above what
    is predicted as a whole, its rows weighted by the inverse of their predictive covariance; pit of that; p, two-sided, of the study as a
    whole or of its most extreme row: twice the smaller, after Bonferroni over its rows. Of rows: row, study, effect, predicted, low, high
    (mean and interval of probability `prob` of what a new study would report), pit, P(predicted <= reported), and p (two-sided). With
    selection, the residual is the normal score of pit.
    """
    if model.selection:
        return _against_published(model, rows, number, values, prob)
    seen, own = moments(model, rows, values), slice(*rows.start[number : number + 2])
    effect, mean, covariance = seen.effect[:, own], seen.mean[:, own], seen.covariance(rows, number)
    sd, size = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2)), mean.shape[1]
    lower, upper = _tails(effect, mean, sd)
    p_rows = np.minimum(1, 2 * np.minimum(lower, upper))
    low, high = (_quantile(mean, sd, q, _tails) for q in ((1 - prob) / 2, (1 + prob) / 2))
    reported, center = effect.mean(axis=0), mean.mean(axis=0)
    of_rows = {"row": rows.labels[own], "study": str(rows.studies[number]), "effect": reported, "predicted": center}
    of_rows |= {"low": low, "high": high, "pit": lower, "p": p_rows}
    spread = covariance.mean(axis=0) + np.cov(mean, rowvar=False, bias=True).reshape(size, size)
    whole = np.linalg.solve(spread, np.ones(size))
    sd_whole = np.sqrt(np.einsum("i,dij,j->d", whole, covariance, whole))
    below, above = _tails(effect @ whole, mean @ whole, sd_whole)
    p = 2 * min(below, above)
    if size > 1:
        p = 2 * min(p, size * p_rows.min())
    residual = (reported - center) @ whole / np.sqrt(whole @ spread @ whole)
    return {"rows": size, "residual": residual, "pit": below, "p": min(1.0, p)}, pd.DataFrame(of_rows)


def _against_published(model: Model, rows: Rows, number: int, values: dict, prob: float) -> tuple[dict[str, float], pd.DataFrame]:
    """`against_others` for a study that was published: one row, whose effect is selected by its significance."""
    seen, own, published = moments(model, rows, values), slice(*rows.start[number : number + 2]), values[PROBABILITY][:, None]
    effect, mean, variance = seen.effect[:, own], seen.mean[:, own], seen.variance[:, own]
    sd = np.sqrt(seen.covariance(rows, number)[:, 0])

    def tails(effect, mean, sd):
        return tuple(side.mean(axis=0) for side in published_tails(effect, variance, mean, sd, published))

    lower, upper = tails(effect, mean, sd)
    p = np.minimum(1, 2 * np.minimum(lower, upper))
    low, high = (_quantile(mean, sd, q, tails) for q in ((1 - prob) / 2, (1 + prob) / 2))
    center = published_mean(variance, mean, sd, published).mean(axis=0)
    of_rows = {"row": rows.labels[own], "study": str(rows.studies[number]), "effect": effect[0], "predicted": center}
    of_rows |= {"low": low, "high": high, "pit": lower, "p": p}
    residual = ndtri(lower[0]) if lower[0] < upper[0] else -ndtri(upper[0])
    return {"rows": 1, "residual": float(residual), "pit": lower[0], "p": p[0]}, pd.DataFrame(of_rows)


def _tails(effect, mean, sd):
    """P(predicted <= reported) and P(predicted >= reported) under a mixture of normals, draws first."""
    z = (effect - mean) / sd
    return ndtr(z).mean(axis=0), ndtr(-z).mean(axis=0)


def _quantile(mean: np.ndarray, sd: np.ndarray, q: float, tails) -> np.ndarray:
    """Quantile (rows,) of a mixture (draws, rows) of normals, or of what is published of them, by bisection on its `tails`."""
    low, high = (mean - 40 * sd).min(axis=0), (mean + 40 * sd).max(axis=0)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        is_below = tails(middle, mean, sd)[0] < q
        low, high = np.where(is_below, middle, low), np.where(is_below, high, middle)
    return (low + high) / 2
