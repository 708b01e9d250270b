"""Publication that depends on significance: a step function (Vevea and Hedges 1995, Psychometrika 60:419).

A row is published for sure if its one-sided p is below 0.025 in favour of benefit, effect > 1.96 se, and with a relative probability w
otherwise. With the study's effect integrated out, effect ~ N(mean, variance + spread^2), the density of what is published is

    p(effect) w(effect) / A      A = P(effect > cut) + w P(effect < cut)      cut = 1.96 se

and se is that of the likelihood. Given the effect, what is drawn of the study does not depend on w.
"""

import numpy as np
from scipy.special import erfc, ndtri

from .predictor import array_library

CRITICAL = float(ndtri(0.975))
PROBABILITY = "publication_probability"
"""Posterior variable of w."""


def is_significant(effect: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Whether each effect is a benefit with a one-sided p below 0.025."""
    return effect > CRITICAL * np.sqrt(variance)


def log_selection(effect: np.ndarray, variance: np.ndarray, mean, sd, probability):
    """log of w / A (..., rows). effect, variance (rows,); mean, sd (..., rows) of the effect before selection; probability (..., 1)."""
    library = array_library(mean, sd, probability)
    above = tail((CRITICAL * np.sqrt(variance) - mean) / sd, library)
    published = np.where(is_significant(effect, variance), 0.0, 1.0) * library.log(probability)
    return published - library.log(above + probability * (1 - above))


def tail(z, library=np):
    """P(standard normal > z)."""
    return 0.5 * (erfc if library is np else library.erfc)(z / np.sqrt(2))


def published_tails(effect, variance: np.ndarray, mean: np.ndarray, sd: np.ndarray, probability) -> tuple[np.ndarray, np.ndarray]:
    """P(published <= effect) and P(published >= effect) (draws, rows) of what is published of N(mean, sd^2). variance (rows,), of
    sampling."""
    cut = CRITICAL * np.sqrt(variance)
    beyond = lambda value: tail((value - mean) / sd)
    lower, upper = np.minimum(effect, cut), np.maximum(effect, cut)
    share = beyond(cut) + probability * (1 - beyond(cut))
    below = probability * (1 - beyond(lower)) + beyond(cut) - beyond(upper)
    above = probability * (beyond(lower) - beyond(cut)) + beyond(upper)
    return below / share, above / share


def published_mean(variance: np.ndarray, mean: np.ndarray, sd: np.ndarray, probability) -> np.ndarray:
    """Mean (draws, rows) of what is published of N(mean, sd^2)."""
    cut = (CRITICAL * np.sqrt(variance) - mean) / sd
    share = tail(cut) + probability * (1 - tail(cut))
    return mean + sd * (1 - probability) * np.exp(-0.5 * cut**2) / np.sqrt(2 * np.pi) / share


def published_effects(
    variance: np.ndarray, mean: np.ndarray, probability: np.ndarray, rng: np.random.Generator, between=0.0
) -> np.ndarray:
    """Draws (draws, rows) of effects ~ N(mean, variance + between) that are published. variance (rows,), of sampling; mean (draws, rows);
    probability (draws, 1); between: variance of the mean from study to study."""
    sd = np.sqrt(variance + between)
    above = tail((CRITICAL * np.sqrt(variance) - mean) / sd)
    below = probability * (1 - above)
    u = rng.uniform(size=mean.shape) * (above + below)
    # the lower tail first, then the upper one, as quantiles of the unselected normal
    quantile = np.where(u < below, u / probability, 1 - above + (u - below))
    return mean + sd * ndtri(quantile)
