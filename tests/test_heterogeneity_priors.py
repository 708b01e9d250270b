"""Heterogeneity priors: the published tables, and posteriors under each kind of prior against quadrature."""

import numpy as np
import pytest
from scipy import stats
from test_known_answers import QUANTILES, arrays, assert_agrees, bcg, eight_schools, exact, on_grid, read

import stimdose as sd
from stimdose.encoding import encode
from stimdose.evidence import heterogeneity_table
from stimdose.nuts import Geometry
from stimdose.rows import prepare, rows_of

# --- the tables ----------------------------------------------------------------------------------------------------------------------

FUNCTIONING = [0.01194, 0.22091, 4.0862]
"""Quantiles 2.5, 50 and 97.5 % of tau that bayesmeta prints for Rhodes: quality of life / functioning, non-pharmacological."""


def test_rhodes_by_kind_of_outcome_has_the_printed_quantiles():
    prior = sd.heterogeneity_prior("SMD", "functioning")
    found = prior.distribution.ppf([0.025, 0.5, 0.975])
    assert [round(q, digits) for q, digits in zip(found, (5, 5, 4), strict=True)] == FUNCTIONING
    assert "Rhodes" in prior.why
    assert "functioning" in prior.why
    assert prior == sd.heterogeneity_prior("SMD", "Functioning", "non-pharmacological (any)", "other")


@pytest.mark.parametrize(
    ("measure", "name", "location", "scale", "of"),
    [("SMD", "rhodes", -3.44, 2.59, stats.t(5)), ("logOR", "turner", -2.56, 1.74, stats.norm())],
)
def test_all_kinds_of_outcomes_together(measure, name, location, scale, of):
    """tau^2 = exp(location + scale t), so quantiles of tau are the square roots of those."""
    prior, q = sd.heterogeneity_prior(measure), [0.025, 0.25, 0.5, 0.75, 0.975]
    assert prior.distribution.ppf(q) == pytest.approx(np.exp(location + scale * of.ppf(q)) ** 0.5, rel=1e-12)
    shipped = sd.load_prior_set(name).priors["between_study"]
    assert shipped.model_copy(update={"why": prior.why}) == prior


def test_every_row_of_the_tables_is_a_prior_with_its_numbers():
    table = heterogeneity_table()
    assert len(table) == 8 * 3 * 3 + 16 * 5 + 2
    assert not table.duplicated(["measure", "outcome", "comparison", "area"]).any()
    for row in table[table["outcome"] != "any"].itertuples():
        area = row.area if row.measure == "SMD" else None
        prior = sd.heterogeneity_prior(row.measure, row.outcome, row.comparison, area)
        assert prior.parameters["mu"] == row.location / 2
        assert prior.parameters["sigma"] == row.scale / 2
        assert prior.family == {"SMD": "logt", "logOR": "lognormal"}[row.measure]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("MD",), "SMD and logOR, not for 'MD'"),
        (("SMD", "mental health outcom."), "did you mean 'mental health outcome'(.|\n)*obstetric outcome"),
        (("logOR", "health"), "could be several(.|\n)*mental health indicators"),
        (("logOR", "pain", "surgery"), "no comparison 'surgery'(.|\n)*non-pharmacological vs. non-pharmacological"),
        (("SMD", "pain", None, "stroke"), "no area 'stroke'(.|\n)*respiratory"),
        (("SMD", None, "pharmacological vs. pharmacological"), "needs a kind of outcome"),
    ],
)
def test_what_the_tables_do_not_have_is_refused_with_what_they_have(arguments, words):
    with pytest.raises(sd.StimdoseError, match=words):
        sd.heterogeneity_prior(*arguments)


# --- posteriors ----------------------------------------------------------------------------------------------------------------------


class OfLogarithm:
    """The density of log tau, on the scale of log tau, as `exact` asks for the prior of its grid."""

    def __init__(self, prior: sd.Prior):
        self.prior = prior

    def logpdf(self, tau):
        return self.prior.distribution.logpdf(tau) + np.log(tau)


@pytest.mark.parametrize("name", ["half-normal-0.5", "half-cauchy", "turner", "rhodes"])
@pytest.mark.parametrize(
    ("table", "measure", "unit"), [(bcg(), "logRR", 1.0), (eight_schools(), "MD", 10.0)], ids=["bcg", "eight schools"]
)
def test_posteriors_of_mean_and_heterogeneity_against_quadrature(name, table, measure, unit):
    model = sd.Model(
        name="m",
        outcome_sd=unit,
        intercept=sd.Intercept(prior=sd.Prior("normal", mu=0, sigma=5)),
        between_study=sd.load_prior_set(name).priors["between_study"],
    )
    fit = sd.fit(model, read(table, measure), seed=4, draws=5000)
    assert fit.diagnosis.converged
    log_tau = np.linspace(-40, 9, 49_001)
    y = table["effect"].to_numpy()
    v = (table["variance"] if "variance" in table else table["se"] ** 2).to_numpy()
    prior = OfLogarithm(model.priors()["between_study"])
    answer = exact(y, v, np.ones((len(y), 1)), np.exp(log_tau), prior, b_sd=5 * unit)
    quantiles = {key: value for key, value in on_grid(log_tau, answer.weight).items() if key in QUANTILES}
    known = {"mu": answer.linear([1.0]), "log tau": quantiles}
    draws = {"mu": arrays(fit)["intercept"], "log tau": np.log(arrays(fit)["between_study"])}
    assert_agrees(f"{name}", draws, known)


def test_what_a_fit_knows_is_taken_over_to_a_prior_on_the_logarithm():
    """A spread near 0.5 with standard deviation 0.01 has a logarithm near log 0.5, with standard deviation 0.02."""
    trials = read(bcg(), "logRR")
    program = {}
    for name in ("half-cauchy", "rhodes"):
        prior = sd.load_prior_set(name).priors["between_study"]
        model, table = prepare(
            sd.Model(name="m", outcome_sd=1.0, intercept=sd.Intercept(), between_study=prior), trials, "error", ()
        )
        program[name] = encode(model, rows_of(model, table, False))[0]
    spread = np.random.default_rng(1).normal(0.5, 0.01, (20_000, 1))
    signed = Geometry.of(program["half-cauchy"], spread * np.where(np.arange(20_000) % 2, 1, -1)[:, None])
    logarithm = signed.on(program["rhodes"])
    assert logarithm.center == pytest.approx([np.log(0.5)], abs=1e-3)
    assert logarithm.factor.ravel() == pytest.approx([0.02], rel=0.02)
    again = logarithm.on(program["half-cauchy"])
    assert again.center == pytest.approx(signed.center, rel=1e-12)
    assert again.factor == pytest.approx(signed.factor, rel=1e-12)
