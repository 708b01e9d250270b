"""Importance sampling under other priors, against exact quadrature and refits."""

import numpy as np
import pytest
import xarray as xr
from conftest import make_table
from scipy import stats
from test_known_answers import (
    EIGHT_SCHOOLS_MODEL,
    arrays,
    assert_agrees,
    assert_same_posterior,
    bcg,
    bcg_model,
    eight_schools,
    exact,
    midpoints,
    read,
    split,
)

import stimdose as sd
from stimdose.diagnosis import diagnose
from stimdose.encoding import encode
from stimdose.log_densities import Density
from stimdose.nuts import Geometry, Target
from stimdose.reweighting import changed_priors, reweighted
from stimdose.rows import prepare, rows_of

SCHOOLS = {
    "half-normal 10": (sd.Prior("halfnormal", sigma=10), stats.halfnorm(scale=10)),
    "half-Cauchy 5": (sd.Prior("halfcauchy", scale=5), stats.halfcauchy(scale=5)),
    "log-normal": (sd.Prior("lognormal", mu=1.5, sigma=1.0), stats.lognorm(s=1.0, scale=np.exp(1.5))),
}
BCG = {
    "half-normal 1": (sd.Prior("halfnormal", sigma=1.0), stats.halfnorm(scale=1.0)),
    "half-Cauchy 0.5": (sd.Prior("halfcauchy", scale=0.5), stats.halfcauchy(scale=0.5)),
}


def exact_answer(table, v, tau, prior, b_sd):
    return exact(table["effect"].to_numpy(), v, np.ones((len(table), 1)), tau, prior, b_sd=b_sd)


def mu_and_tau(fit: sd.Fit) -> dict[str, np.ndarray]:
    found = arrays(fit)
    return {"mu": found["intercept"], "tau": found["between_study"]}


@pytest.fixture(scope="module")
def schools_fit() -> sd.Fit:
    return sd.fit(EIGHT_SCHOOLS_MODEL, read(eight_schools(), "MD"), seed=4, draws=10_000, progress=False)


@pytest.fixture(scope="module")
def bcg_fit() -> sd.Fit:
    return sd.fit(bcg_model(0.5), read(bcg(), "logRR"), seed=4, draws=5000, progress=False)


@pytest.mark.parametrize("name", [name for name in SCHOOLS if name != "log-normal"])
def test_eight_schools_under_other_heterogeneity_priors(schools_fit, name):
    prior, distribution = SCHOOLS[name]
    table = eight_schools()
    answer = exact_answer(table, table["se"].to_numpy() ** 2, midpoints(200, 20_000), distribution, 50)
    found = reweighted(schools_fit, schools_fit.model.with_priors({"between_study": prior}), seed=1)
    assert found.pareto_k < 0.7
    assert_agrees(f"eight schools, {name}", mu_and_tau(found.fit), {"mu": answer.linear([1.0]), "tau": answer.scale("tau")})


@pytest.mark.parametrize("name", BCG)
def test_bcg_under_other_heterogeneity_priors(bcg_fit, name):
    prior, distribution = BCG[name]
    table = bcg()
    answer = exact_answer(table, table["variance"].to_numpy(), midpoints(8, 8000), distribution, 10)
    found = reweighted(bcg_fit, bcg_fit.model.with_priors({"between_study": prior}), seed=1)
    assert_agrees(f"bcg, {name}", mu_and_tau(found.fit), {"mu": answer.linear([1.0]), "tau": answer.scale("tau")})


def test_a_prior_of_the_mean_that_is_integrated_out(bcg_fit):
    """Its coefficient is drawn anew from its conditional: the weights alone would leave it where it was."""
    table = bcg()
    model = bcg_fit.model.with_priors({"intercept": sd.Prior("normal", mu=0, sigma=0.2)})
    answer = exact_answer(table, table["variance"].to_numpy(), midpoints(6, 6000), stats.halfnorm(scale=0.5), 0.2)
    found = reweighted(bcg_fit, model, seed=1)
    assert_agrees("bcg, sceptical mean", mu_and_tau(found.fit), {"mu": answer.linear([1.0]), "tau": answer.scale("tau")})


def test_a_prior_of_another_form_than_the_sampled_standard_deviation(schools_fit):
    """Half-Cauchy standard deviations are sampled with a sign, log-normal ones as their logarithm."""
    prior, distribution = SCHOOLS["log-normal"]
    table = eight_schools()
    answer = exact_answer(table, table["se"].to_numpy() ** 2, np.exp(np.linspace(-6, 6, 8000)), distribution, 50)
    log_tau = np.log(answer.tau)
    weight = answer.weight * answer.tau  # the grid is even in the logarithm
    weight /= weight.sum()
    found = reweighted(schools_fit, schools_fit.model.with_priors({"between_study": prior}), seed=1)
    mean = weight @ log_tau
    draws = {"log tau": np.log(mu_and_tau(found.fit)["tau"])}
    assert_agrees("eight schools, log-normal", draws, {"log tau": {"mean": mean, "sd": np.sqrt(weight @ (log_tau - mean) ** 2)}})


OTHER = {
    "between_study": sd.Prior("halfnormal", sigma=0.15),
    "frequency_hz_peak": sd.Prior("lognormal", interval=(5, 30)),
    "intercept": sd.Prior("normal", mu=0.1, sigma=0.3),
    "sessions_slope": sd.Prior("normal", mu=0, sigma=0.4),
}


def test_weighted_draws_are_those_of_a_refit(bell_fit):
    found = reweighted(bell_fit, bell_fit.model.with_priors(OTHER), seed=1)
    assert found.pareto_k < 0.7
    refit = bell_fit.refit(priors=OTHER, seed=5, draws=2000)
    assert_same_posterior("weighted and refitted", split(found.fit), split(refit))
    assert found.fit.model == refit.model
    assert set(found.fit.tree) == set(bell_fit.tree)


def test_a_prior_far_away_is_refused(bell_fit):
    model = bell_fit.model.with_priors({"frequency_hz_peak": sd.Prior("lognormal", interval=(50, 80))})
    found = reweighted(bell_fit, model, seed=1)
    assert found.fit is None
    assert found.pareto_k > 0.7
    assert "Pareto k" in found.reason


def test_what_cannot_be_weighted_is_said(bell_fit, strata_fit):
    def reason(fit, **priors) -> str:
        found = reweighted(fit, fit.model.with_priors(priors), seed=1)
        assert found.fit is None
        return found.reason

    assert "free intercept" in reason(strata_fit, between_study=sd.Prior("halfnormal", sigma=0.1))
    assert "doses themselves (sessions_true)" in reason(bell_fit, sessions_true=sd.Prior("lognormal", interval=(1, 9)))
    sampled = {"intercept": sd.Prior("halfnormal", sigma=1.0)}
    assert "another set of parameters" in reason(bell_fit, **sampled)
    apart = np.random.default_rng(0).normal(size=(4, 500)) + np.arange(4)[:, None]
    bad = sd.Fit(bell_fit.model, bell_fit.trials, bell_fit.tree, diagnose(xr.Dataset({"x": (("chain", "draw"), apart)}), 0))
    assert "did not converge" in reason(bad, between_study=sd.Prior("halfnormal", sigma=0.4))


def test_changed_priors_are_those_of_another_distribution(bell_fit):
    model = bell_fit.model
    same = model.between_study.model_copy(update={"why": "another reason"})
    assert changed_priors(model, model.with_priors({"between_study": same})) == []
    assert set(changed_priors(model, model.with_priors(OTHER))) == set(OTHER)
    assert changed_priors(model, model.with_priors({"within_study": False})) == ["within_study"]


def grouped_density() -> tuple[Density, Target]:
    """Of a model in which peaks vary by a factor over groups: standard deviations with a sign multiply standard normals."""
    dose = sd.Dose(column="frequency_hz", shape="bell", by=("phase", "site"))
    model, trials = prepare(sd.Model(name="m", intercept=sd.Intercept(), dose=[dose]), sd.read_trials(make_table(8)), "error", ())
    program, layout = encode(model, rows_of(model, trials))
    size = len(program.sampled.family)
    density = Density(program, layout)
    return density, Target({}, program, None, Geometry(np.zeros(size), np.ones((1, size)), density.folded))


def test_places_are_positions_without_signs():
    density, target = grouped_density()
    assert density.folded.sum() >= 4
    positions = np.random.default_rng(0).normal(0, 0.7, (20, density.size))
    places = density.places(positions)
    jacobian = np.log(2 * np.abs(positions[:, density.folded])).sum(axis=1)
    straight = np.array([target.density(position)[0] for position in positions])
    np.testing.assert_allclose(density.at(places), straight + jacobian, rtol=1e-10)
    np.testing.assert_allclose(density.places(density.positions(places)), places)
    assert (positions[:, density.folded] < 0).any()
