"""Prior: scipy, PyMC and the interval it was elicited from must be one distribution."""

import tomllib

import numpy as np
import pymc as pm
import pytest
import tomli_w
from pydantic import ValidationError
from scipy import stats
from scipy.integrate import quad

from stimdose import Prior

PRIORS = [
    Prior("normal", mu=0.3, sigma=2.0),
    Prior("halfnormal", sigma=0.5),
    Prior("halfcauchy", scale=25.0),
    Prior("lognormal", mu=1.0, sigma=0.4),
    Prior("logt", nu=5, mu=-1.5, sigma=1.2),
    Prior("logt", nu=3, interval=(0.1, 2), prob=0.9),
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


CORRELATION = Prior("correlation", interval=(0.2, 0.9), prob=0.95)


@pytest.mark.parametrize("prior", [CORRELATION, PRIORS[4]], ids=str)
def test_transformed_distributions_are_whole(prior):
    """Density, probabilities, quantiles and draws of the two that scipy does not have belong together."""
    distribution = prior.distribution
    for low, high in ((0.3, 0.6), (0.05, 0.9)):
        area, error = quad(distribution.pdf, low, high, limit=200)
        assert area == pytest.approx(distribution.cdf(high) - distribution.cdf(low), abs=10 * error + 1e-10)
    q = np.array([0.01, 0.4, 0.97])
    assert distribution.cdf(distribution.ppf(q)) == pytest.approx(q)
    assert distribution.median() == pytest.approx(distribution.ppf(0.5))
    drawn = distribution.rvs(size=4000, random_state=np.random.default_rng(1))
    assert stats.kstest(drawn, distribution.cdf).pvalue > 1e-3


def test_a_transformed_distribution_ends_where_its_support_does():
    for prior, outside in ((CORRELATION, [-1.0, 1.0, 1.5]), (PRIORS[4], [0.0, -1.0])):
        assert (prior.distribution.pdf(np.array(outside)) == 0).all()
        assert prior.distribution.cdf(np.array(outside)) == pytest.approx([0.0 if x <= 0 else 1.0 for x in outside], abs=1e-3)


@pytest.mark.parametrize(
    ("family", "quantiles", "more"),
    [
        ("normal", {0.1: -1, 0.7: 2}, {}),
        ("lognormal", {0.1: 5, 0.9: 30}, {}),
        ("lognormal", [[0.9, 30], [0.2, 5]], {}),
        ("logt", {"0.05": 0.02, "0.5": 0.2}, {"nu": 5}),
        ("correlation", {0.25: 0.4, 0.9: 0.8}, {}),
        ("halfnormal", {0.95: 0.5}, {}),
        ("halfcauchy", {0.8: 1.5}, {}),
    ],
)
def test_as_many_quantiles_as_parameters_are_met(family, quantiles, more):
    prior = Prior(family, quantiles=quantiles, **more)
    for p, value in dict(quantiles).items():
        assert prior.distribution.ppf(float(p)) == pytest.approx(value, rel=1e-6)
        assert prior.distribution.cdf(value) == pytest.approx(float(p), abs=1e-6)


@pytest.mark.parametrize(
    "prior", [PRIORS[0], PRIORS[1], PRIORS[2], PRIORS[3], PRIORS[4], CORRELATION], ids=lambda prior: prior.family
)
def test_more_quantiles_of_a_member_give_that_member(prior):
    quantiles = {p: float(prior.distribution.ppf(p)) for p in (0.05, 0.25, 0.5, 0.9)}
    nu = {"nu": prior.nu} if prior.nu else {}
    found = Prior(prior.family, quantiles=quantiles, **nu)
    assert found.parameters == pytest.approx(prior.parameters, rel=1e-9)


def test_more_quantiles_than_parameters_are_met_by_least_squares():
    """The best line of the logarithms on normal scores, by numpy."""
    q = {0.1: 5, 0.5: 10, 0.9: 30}
    sigma, mu = np.polyfit(stats.norm.ppf(list(q)), np.log(list(q.values())), 1)
    assert Prior("lognormal", quantiles=q).parameters == pytest.approx({"mu": mu, "sigma": sigma})


def test_quantiles_that_no_member_has_are_refused_with_how_far_they_are():
    with pytest.raises(ValidationError, match=r"no normal prior has.*2 at 0\.5 \(the closest has 0\.[23]\d below"):
        Prior("normal", quantiles={0.1: 1, 0.5: 2, 0.9: 50})


@pytest.mark.parametrize("factor", [0.5, 3.0])
@pytest.mark.parametrize("prior", [*PRIORS, CORRELATION], ids=str)
def test_widened_keeps_the_family_and_stretches_it(prior, factor):
    found = prior.widened(factor)
    own = {"lognormal": np.log, "logt": np.log, "correlation": np.arctanh}.get(prior.family, np.positive)
    low, middle, high = own(prior.distribution.ppf([0.2, 0.5, 0.8]))
    if prior.family.startswith("half"):
        assert found.distribution.ppf([0.2, 0.5, 0.8]) == pytest.approx(factor * np.array([low, middle, high]))
    else:
        wanted = middle + factor * np.array([low - middle, 0, high - middle])
        assert own(found.distribution.ppf([0.2, 0.5, 0.8])) == pytest.approx(wanted)


@pytest.mark.parametrize(
    "prior",
    [*PRIORS, CORRELATION, Prior("lognormal", quantiles={0.1: 5, 0.5: 10, 0.9: 30}, why="three therapists")],
    ids=str,
)
def test_a_prior_survives_toml(prior):
    again = Prior(**tomllib.loads(tomli_w.dumps(prior.as_dict())))
    assert again == prior
    assert again.parameters == prior.parameters


@pytest.mark.parametrize("prior", [p for p in PRIORS if p.interval], ids=str)
def test_an_interval_holds_its_probability(prior):
    low, high = prior.interval
    assert np.diff(prior.distribution.cdf([low, high]))[0] == pytest.approx(prior.prob)
    if not prior.family.startswith("half"):
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
        ({"family": "lognormel", "mu": 0, "sigma": 1}, "did you mean 'lognormal'"),
        ({"family": "logt", "mu": 0, "sigma": 1}, "takes mu and nu and sigma"),
        ({"family": "logt", "interval": (1, 2)}, "takes nu"),
        ({"family": "lognormal", "nu": 4, "interval": (1, 2)}, "not both"),
        ({"family": "lognormal", "interval": (1, 2), "quantiles": {0.1: 1, 0.9: 2}}, "not both"),
        ({"family": "lognormal", "quantiles": {0.5: 2}}, "at least 2 quantiles"),
        ({"family": "lognormal", "quantiles": {0.1: 0, 0.5: 2}}, "positive"),
        ({"family": "correlation", "quantiles": {0.1: 0, 0.5: 2}}, "between -1 and 1"),
        ({"family": "normal", "quantiles": {0.1: 3, 0.5: 2}}, "rise"),
        ({"family": "normal", "quantiles": {10: 3, 50: 4}}, "between 0 and 1"),
        ({"family": "normal", "quantiles": [[0.1, 3], [0.1, 4]]}, "rise"),
        ({"family": "normal", "quantiles": {"tenth": 3}}, "values by probability"),
    ],
)
def test_an_impossible_prior_is_refused(fields, words):
    with pytest.raises(ValidationError, match=words):
        Prior(**fields)
