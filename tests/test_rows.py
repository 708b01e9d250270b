"""Doses printed as intervals: quadrature over strata against scipy, and the prior of a trial's true dose."""

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats

import stimdose as sd
from stimdose.posterior import draw_prior
from stimdose.predictor import dose_columns, sampled_priors
from stimdose.rows import rows_of


def rows(cells: list[str], design: str):
    table = pd.DataFrame({"study": [f"T{k}" for k in range(len(cells))], "frequency_hz": cells, "effect": 0.1, "se": 0.2})
    trials = sd.read_trials(table, direction="higher", measure="SMD", comparator="sham", design=design)
    model = sd.Model(name="m", intercept=sd.Intercept(), dose=[sd.Dose(column="frequency_hz", shape="bell")])
    return model, rows_of(model, trials)


@pytest.mark.parametrize("width", [0.1, 0.25, 0.6, 2.0])
@pytest.mark.parametrize(("cell", "low", "high"), [("1-50", 1, 50), ("10-20", 10, 20), (">=1", 1, np.inf), ("<5", 0, 5)])
def test_a_stratum_is_the_average_over_its_interval_under_the_prior(cell, low, high, width):
    model, found = rows(["3", cell, "20"], "stratum")
    values = {"frequency_hz_peak": np.array([12.0]), "frequency_hz_width": np.array([width])}
    (column,) = dose_columns(model.dose[0], found.points, values)
    prior = model.dose[0].prior("true").distribution
    bell = lambda log_x: np.exp(-0.5 * ((log_x - np.log(12)) / width) ** 2)
    weight = lambda log_x: stats.norm(prior.kwds["s"] * 0 + np.log(prior.kwds["scale"]), prior.kwds["s"]).pdf(log_x)
    ends = np.log([max(low, prior.ppf(1e-4)), min(high, prior.isf(1e-4))])
    mass = integrate.quad(weight, *ends)[0]
    expected = integrate.quad(lambda t: bell(t) * weight(t), *ends, points=[np.clip(np.log(12), *ends)], limit=200)[0] / mass
    assert column.ravel()[1] == pytest.approx(expected, rel=1e-3, abs=1e-5)
    assert column.ravel()[0] == pytest.approx(float(bell(np.log(3))))


def test_a_trial_with_an_interval_has_a_true_dose_from_the_prior_cut_to_it():
    model, found = rows(["3", "10-20", ">=30", "20"], "parallel")
    draws = draw_prior(model, found, 20_000, np.random.default_rng(0))["frequency_hz_true"]
    prior = model.dose[0].prior("true").distribution
    for k, (low, high) in enumerate([(10, 20), (30, np.inf)]):
        u = (prior.cdf(draws[:, k]) - prior.cdf(low)) / (prior.cdf(high) - prior.cdf(low))
        assert stats.kstest(u, "uniform").pvalue > 1e-3
        assert draws[:, k].min() >= low


@pytest.mark.slow
def test_without_the_level_within_studies_rows_of_a_study_differ_by_sampling_error_alone():
    table = pd.DataFrame({"study": ["A", "A", "B"], "arm": ["1", "2", "1"], "effect": [0.1, 0.5, 0.3], "se": [0.2, 0.3, 0.25]})
    trials = sd.read_trials(table, direction="higher", measure="SMD", comparator="sham", design="parallel")
    with_level = sd.load_model("pooled")
    without = with_level.replace(within_study=False)
    assert rows_of(with_level, trials).has_within_study
    assert not rows_of(without, trials).has_within_study
    assert set(sampled_priors(without, rows_of(without, trials))) == {"between_study"}
    tau, scale = 0.4, with_level.intercept.prior.parameters["sigma"]
    same_study = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]])
    V = np.diag(table["se"] ** 2) + tau**2 * same_study + scale**2
    expected = stats.multivariate_normal(np.zeros(3), V).logpdf(table["effect"])
    built = sd.build(without, trials)
    found = built.compile_logp(vars=built.potentials, sum=True)(built.initial_point() | {"between_study_log__": np.log(tau)})
    assert found == pytest.approx(expected)
