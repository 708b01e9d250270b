"""The ordinal likelihood: a cumulative probit model of the score after treatment (McCullagh 1980, J R Stat Soc B 42:109).

    P(score at least as good as level k) = Phi(c_k + benefit)      levels from the best, c_1 < c_2 < ...

The latent benefit is the mean effect of the model with that of the study, in standard deviations of a person around it. A level is worth
whatever the cutpoints c say: the steps of the scale need not be equal. Cutpoints are in the place of an intercept. Their prior is that at
a benefit of 0 every division of people over the levels is as likely as any other, Dirichlet(1, ..., 1): standard normals in their order.
"""

import numpy as np
from scipy.special import erfc, logsumexp

from .heterogeneity import study_spread
from .model import Model
from .participants import Scores
from .predictor import array_library, mean_effect, terms
from .quadrature import normal_nodes
from .rows import Rows

FAR = 40.0
"""Stands for an infinite cutpoint: Phi(-FAR) is 0 and Phi(FAR) is 1 in double precision, and gradients there are finite."""


def ends(cutpoints, category: np.ndarray):
    """The cutpoints (..., rows) below and above the category of each row; cutpoints (..., levels - 1)."""
    library = array_library(cutpoints)
    edge = library.zeros_like(cutpoints[..., :1])
    padded = library.concatenate([edge - 2 * FAR, cutpoints, edge + 2 * FAR], axis=-1)
    return padded[..., category], padded[..., category + 1]


def log_probability(low, high):
    """log(Phi(high) - Phi(low)), from the tail in which it loses no digits."""
    library = array_library(low, high)
    upper = library.where(low + high > 0, high, -low)
    lower = library.where(low + high > 0, low, -high)
    tail = erfc if library is np else library.erfc
    with np.errstate(divide="ignore"):  # a level that is out of reach
        return library.log(0.5 * (tail(lower / np.sqrt(2)) - tail(upper / np.sqrt(2))))


def probabilities(benefit: np.ndarray, cutpoints: np.ndarray) -> np.ndarray:
    """Probability (..., levels) of each level, from the best; benefit (...), cutpoints (..., levels - 1)."""
    below = 0.5 * erfc(-(cutpoints + benefit[..., None]) / np.sqrt(2))
    return np.diff(below, axis=-1, prepend=0.0, append=1.0)


def draw_cutpoints(scores: Scores, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Cutpoints (draws, levels - 1) from their prior."""
    return np.sort(rng.standard_normal((draws, len(scores.levels) - 1)), axis=1)


def log_likelihood(model: Model, rows: Rows, values: dict) -> np.ndarray:
    """log p(scores of study s | draw) (draws, studies), the effect of the study integrated out by quadrature.

    Each row holds at most as much of the effect as an observed latent benefit would, so that given m rows it is at least spread /
    sqrt(1 + m spread^2) wide, which says how close the nodes must be.
    """
    mean = mean_effect(terms(model, rows, rows.points, values), values)
    low, high = (end + mean for end in ends(values["cutpoint"], rows.scores.category(rows.effect)))
    spread = study_spread(model, rows, values)
    z, weight = normal_nodes(1 / (np.sqrt(np.diff(rows.start).max()) * spread.max()))
    found = np.empty((len(z), *spread.shape))
    for k, shift in enumerate(z):
        own = (spread * shift)[:, rows.study]
        found[k] = np.add.reduceat(log_probability(low + own, high + own), rows.start[:-1], axis=1)
    return logsumexp(found + np.log(weight)[:, None, None], axis=0)


def latent_moments(rows: Rows, benefit: np.ndarray, cutpoints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance (draws, rows) of the latent benefit of people whose level is known: a normal distribution around `benefit` (draws,
    rows), cut to where that level is."""
    low, high = (-end - benefit for end in ends(cutpoints, rows.scores.category(rows.effect))[::-1])
    mass = np.exp(log_probability(low, high))
    at_low, at_high = (np.exp(-0.5 * end**2) / np.sqrt(2 * np.pi) for end in (low, high))
    shift = (at_low - at_high) / mass
    return benefit + shift, 1 + (low * at_low - high * at_high) / mass - shift**2


def replicated(rows: Rows, benefit: np.ndarray, cutpoints: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Changes of score (draws, rows), positive = benefit, of people with a latent benefit (draws, rows)."""
    latent = benefit + rng.standard_normal(benefit.shape)
    category = (latent[..., None] < -cutpoints[:, None, :]).sum(axis=-1)
    return rows.scores.change(category)
