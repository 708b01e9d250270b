"""Prior: scipy, PyMC and the interval it was elicited from must be one distribution."""

import numpy as np
import pymc as pm
import pytest

from stimdose import ModelError, Prior

PRIORS = [
    Prior("normal", mu=0.3, sigma=2.0),
    Prior("halfnormal", sigma=0.5),
    Prior("halfcauchy", scale=25.0),
    Prior("lognormal", mu=1.0, sigma=0.4),
    Prior("lognormal", interval=(2.5, 40), prob=0.95),
    Prior("normal", interval=(-1, 3), prob=0.8),
    Prior("halfnormal", interval=(0, 1), prob=0.9),
    Prior("halfcauchy", interval=(0, 1), prob=0.5),
]


@pytest.mark.parametrize("prior", PRIORS, ids=str)
def test_pymc_and_scipy_are_the_same_distribution(prior):
    with pm.Model():
        variable = prior.variable("x", {key: np.float64(value) for key, value in prior.parameters.items()})
    at = np.array([0.01, 0.5, 1.7, 6.0])
    assert pm.logp(variable, at).eval() == pytest.approx(
        prior.distribution.logpdf(at), abs=1e-8
    )  # PyMC takes log 2 in single precision


@pytest.mark.parametrize("prior", [p for p in PRIORS if p.interval], ids=str)
def test_an_interval_holds_its_probability(prior):
    low, high = prior.interval
    assert np.diff(prior.distribution.cdf([low, high]))[0] == pytest.approx(prior.prob)
    if low > 0 or prior.family == "normal":
        assert prior.distribution.cdf(low) == pytest.approx((1 - prior.prob) / 2)


@pytest.mark.parametrize("prior", PRIORS, ids=str)
@pytest.mark.parametrize("factor", [1.0, 12.0])
def test_scaled_is_the_prior_of_the_scaled_quantity(prior, factor):
    assert prior.scaled(factor).distribution.ppf([0.1, 0.6]) == pytest.approx(factor * prior.distribution.ppf([0.1, 0.6]))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"family": "normal", "mu": 0}, "takes mu and sigma"),
        ({"family": "halfnormal", "mu": 0, "sigma": 1}, "takes sigma"),
        ({"family": "gamma", "mu": 0}, "family"),
        ({"family": "lognormal", "interval": (0, 3)}, "positive"),
        ({"family": "halfnormal", "interval": (0.1, 3)}, "starts at 0"),
        ({"family": "normal", "interval": (3, 1)}, "low < high"),
        ({"family": "normal", "interval": (0, 1), "mu": 0}, "not both"),
        ({"family": "halfnormal", "sigma": -1}, "greater than 0"),
        ({"family": "halfnormal", "sgima": 1}, "sgima"),
    ],
)
def test_an_impossible_prior_is_refused(fields, words):
    with pytest.raises(ModelError, match=words):
        Prior(**fields)
