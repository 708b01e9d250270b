"""`compare_priors`: laws, exact heterogeneity, and what it says of each set."""

import dataclasses
import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats
from test_known_answers import EIGHT_SCHOOLS_MODEL, bcg, bcg_model, eight_schools, exact, midpoints, read

import stimdose as sd
from stimdose.diagnosis import diagnose
from stimdose.estimands import best_table, in_sd
from stimdose.prior_comparison import OWN, _in_words, named_sets
from stimdose.prior_influence import conflict, in_tails, overlap, power_scaling

SETS = {
    "narrow": {"between_study": sd.Prior("halfnormal", sigma=0.1), "within_study": sd.Prior("halfnormal", sigma=0.1)},
    "far": {"frequency_hz_peak": sd.Prior("lognormal", interval=(50, 80))},
    "own again": {"between_study": sd.Prior("halfnormal", sigma=0.5, why="another reason")},
}


def lines(table: pd.DataFrame, **where: str) -> pd.DataFrame:
    """The lines of a table at some levels of its index."""
    for level, value in where.items():
        table = table[table.index.get_level_values(level) == value]
    return table


@pytest.fixture(scope="module")
def compared(bell_fit) -> sd.PriorComparison:
    return sd.compare_priors(bell_fit, sets=SETS, seed=1, exact=False)


def test_the_reference_and_sets_like_it_change_nothing(compared):
    assert list(compared.fits) == [OWN, "narrow", "far", "own again"]
    assert compared.methods["method"].tolist() == ["the fit itself", "importance sampling", "refit", "the fit itself"]
    assert "Pareto k" in compared.methods.loc["far", "reason"]
    for name in (OWN, "own again"):
        assert (lines(compared.changes(), set=name).drop(columns="converged") == 0).all().all()
        assert compared.elpd.loc[name, "difference"] == compared.elpd.loc[name, "difference_se"] == 0
    assert (lines(compared.changes(), set="far")["in_sd"].abs() > 0).any()


def test_changes_are_differences_of_posterior_means(compared):
    change = lines(compared.changes(), set="far", dose="frequency_hz", quantity="log best dose").squeeze()
    draws = [np.log(compared.optima[name]["frequency_hz"].dose.values) for name in ("far", OWN)]
    assert change["change"] == pytest.approx(draws[0].mean() - draws[1].mean())
    assert change["in_sd"] == pytest.approx(change["change"] / draws[1].std())
    assert change["low"] < change["change"] < change["high"]
    assert change["high"] - change["low"] < 0.2 * change["change"]  # of the means, not of the posteriors
    own, base = (lines(compared.effects(), set=name, dose="sessions", group="acute") for name in ("far", OWN))
    moved = lines(compared.changes(), set="far", dose="sessions", group="acute")["change"].iloc[1:]
    np.testing.assert_allclose(moved, own["effect"].to_numpy() - base["effect"].to_numpy())


def test_the_order_of_sets_changes_nothing(bell_fit, compared):
    turned = sd.compare_priors(bell_fit, sets=dict(reversed(SETS.items())), seed=1, exact=False)
    pd.testing.assert_frame_equal(turned.table().sort_index(), compared.table().sort_index(), check_dtype=False)
    pd.testing.assert_frame_equal(turned.elpd.sort_index(), compared.elpd.sort_index())


def test_another_reference_turns_the_differences(bell_fit, compared):
    turned = sd.compare_priors(bell_fit, sets=SETS, reference="narrow", seed=1, exact=False)
    assert next(iter(turned.fits)) == "narrow"
    key = {"dose": "frequency_hz", "quantity": "log best dose"}
    back, there = lines(turned.changes(), set=OWN, **key), lines(compared.changes(), set="narrow", **key)
    assert back["change"].item() == pytest.approx(-there["change"].item())
    assert turned.elpd.loc[OWN, "difference"] == pytest.approx(-compared.elpd.loc["narrow", "difference"])


def test_words_say_what_moved_and_lead_with_verdicts(compared):
    lines = compared.explanation.splitlines()
    verdicts = best_table(compared.estimands, "set")["verdict"]
    assert len(lines) > 5
    for line, (column, group) in zip(
        lines, [("frequency_hz", ""), *(("sessions", g) for g in ("acute", "subacute", "chronic"))], strict=False
    ):
        found = set(verdicts.xs((column, group), level=("dose", "group")))
        assert line.startswith(
            f"{column}{', ' * bool(group)}{group}: the verdict {'is the same' if len(found) == 1 else 'changes'}"
        )
        assert all(word in line for word in found)
    assert "own again: the same priors as the reference." in lines
    assert "narrow: nothing moves by more than 0.5 posterior sd." in lines
    assert any(line.startswith("far: the best frequency_hz times ") for line in lines)
    (conflict,) = (line for line in lines if line.startswith("far: in conflict"))
    assert conflict.startswith("far: in conflict with the trials, it did not expect so small a frequency_hz_peak (1")
    assert conflict.endswith(", expected 50 to 80, p < 0.001).")
    assert "indistinguishable" in compared.explanation
    assert "weight" not in compared.explanation


def test_tables_hold_every_set(compared):
    assert set(compared.heterogeneity().loc[OWN].index) >= {"between_study", "within_study", "sessions_slope_between_phase"}
    assert list(compared.overlap) == list(compared.fits)
    assert compared.curves["far"]["sessions"].dims == ("chain", "draw", "sessions", "phase")
    np.testing.assert_array_equal(
        compared.prior_curves["far"]["sessions"]["sessions"], compared.curves["far"]["sessions"]["sessions"]
    )
    sensitivity = compared.sensitivity
    assert "best frequency_hz" in sensitivity.loc[OWN].index
    assert "study_effect" not in " ".join(sensitivity.loc[OWN].index)
    assert sensitivity.loc[("far", "frequency_hz_peak"), "prior"] > sensitivity.loc[(OWN, "between_study"), "prior"]


def test_unconverged_fits_carry_the_warning(bell_fit, compared):
    apart = np.random.default_rng(0).normal(size=(4, 500)) + np.arange(4)[:, None]
    diagnosis = diagnose(xr.Dataset({"x": (("chain", "draw"), apart)}), 0)
    bad = sd.Fit(bell_fit.model, bell_fit.trials, bell_fit.tree, diagnosis)
    found = dataclasses.replace(compared, fits=compared.fits | {"far": bad})
    assert found.explanation.startswith("far: Warning: the fit did not converge")


def test_named_sets_of_the_package(bell_fit):
    found = sd.compare_priors(
        bell_fit, sets=["weak", "reference", "half-normal-0.5"], seed=1, exact=False, doses={"sessions": [10]}
    )
    assert list(found.fits) == [OWN, "weak", "half-normal-0.5"]
    assert found.effects().xs("sessions", level="dose").index.get_level_values("at").unique().tolist() == [10.0]


@pytest.mark.parametrize(
    ("sets", "words"),
    [
        ([], "there are none"),
        (["weak", "weak"], "'weak' is the name of several sets"),
        ([3], "a set is a name, a file"),
        ({"reference": {"between_study": sd.Prior("halfnormal", sigma=1)}}, "the model's own set"),
        (["weakk"], "no prior set 'weakk'"),
        ([{"between_studies": sd.Prior("halfnormal", sigma=1)}], "no prior 'between_studies'"),
    ],
)
def test_sets_that_cannot_be_compared(bell_fit, sets, words):
    with pytest.raises(sd.StimdoseError, match=words):
        sd.compare_priors(bell_fit, sets=sets)


def test_what_cannot_be_compared(bell_fit, trials):
    with pytest.raises(sd.StimdoseError, match="state the trials"):
        sd.compare_priors(bell_fit.model, sets=SETS)
    with pytest.raises(sd.StimdoseError, match="its own trials"):
        sd.compare_priors(bell_fit, trials, SETS)
    with pytest.raises(sd.StimdoseError, match="a Model with its trials"):
        sd.compare_priors("bell", trials, SETS)
    with pytest.raises(sd.StimdoseError, match="the reference is one of"):
        sd.compare_priors(bell_fit, sets=SETS, reference="weak")
    with pytest.raises(sd.StimdoseError, match="no model has a dose 'minutes'"):
        sd.compare_priors(bell_fit, sets={"own": SETS["own again"]}, doses={"minutes": [3]})


def test_a_best_dose_that_never_moved_has_no_standard_deviations():
    at_the_end = np.full((4, 100), np.log(38.8)) * (1 + 1e-16 * np.arange(100))
    lower = np.full((4, 100), 1.5)
    assert in_sd(lower, at_the_end) == -np.inf
    assert in_sd(at_the_end, np.full((4, 100), np.log(38.8))) == 0
    line = {"dose": "frequency_hz", "group": "", "quantity": "log best dose", "change": np.log(0.5), "in_sd": -np.inf}
    assert _in_words(line) == "the best frequency_hz times 0.50"


def test_sets_that_change_nothing_or_are_meant_for_other_effects_are_named(bell_fit):
    widths = sd.PriorSet(name="ed50s", priors={"ed50": sd.Prior("lognormal", interval=(2, 40), why="of another shape")})
    found = sd.compare_priors(bell_fit, sets=["turner", "rhodes", widths], seed=1, exact=False)
    lines = found.explanation.splitlines()
    assert "ed50s: the same priors as the reference, for it states none that this model has." in lines
    assert lines[-1] == "turner: its priors are in units of logOR, and these effects are SMD."


def test_a_single_set_needs_no_list():
    prior = sd.Prior("halfnormal", sigma=1)
    assert named_sets({"between_study": prior}) == {"set 1": {"between_study": prior}}
    assert named_sets("weak") == {"weak": "weak"}


# --- heterogeneity against exact quadrature ------------------------------------------------------------------------------------------

PRIORS = {
    "bcg": {
        "half-normal 1": (sd.Prior("halfnormal", sigma=1.0), stats.halfnorm(scale=1.0)),
        "half-Cauchy 0.5": (sd.Prior("halfcauchy", scale=0.5), stats.halfcauchy(scale=0.5)),
        "half-normal 0.1": (sd.Prior("halfnormal", sigma=0.1), stats.halfnorm(scale=0.1)),
    },
    "schools": {
        "half-normal 10": (sd.Prior("halfnormal", sigma=10), stats.halfnorm(scale=10)),
        "half-normal 1": (sd.Prior("halfnormal", sigma=1), stats.halfnorm(scale=1)),
        "half-Cauchy 5": (sd.Prior("halfcauchy", scale=5), stats.halfcauchy(scale=5)),
    },
}
TABLES = {
    "bcg": (bcg_model(0.5), bcg, "logRR", 10, 8),
    "schools": (EIGHT_SCHOOLS_MODEL, eight_schools, "MD", 50, 250),
}


@pytest.fixture(scope="module", params=TABLES)
def heterogeneity(request) -> tuple[str, sd.PriorComparison]:
    model, table, measure, _, _ = TABLES[request.param]
    sets = {name: {"between_study": prior} for name, (prior, _) in PRIORS[request.param].items()}
    found = sd.compare_priors(model, read(table(), measure), sets, seed=3, draws=5000, exact=False)
    return request.param, found


def test_heterogeneity_priors_agree_with_quadrature(heterogeneity):
    """Means within 4 Monte Carlo errors, and ends of intervals within what these make of quantiles (2 % of probability)."""
    which, found = heterogeneity
    _, table, _, b_sd, top = TABLES[which]
    data = table()
    v = data["variance"].to_numpy() if "variance" in data else data["se"].to_numpy() ** 2
    parameters = found.parameters()
    assert not found.fit_warning
    for name, (_, distribution) in PRIORS[which].items():
        answer = exact(data["effect"].to_numpy(), v, np.ones((len(data), 1)), midpoints(top, 20_000), distribution, b_sd=b_sd)
        for parameter, known in (("intercept", answer.linear([1.0])), ("between_study", answer.scale("tau"))):
            line, draws = parameters.loc[(name, parameter)], found.fits[name].tree["posterior"][parameter].values
            check = found.fits[name].diagnosis.table.loc[parameter]
            assert abs(line["mean"] - known["mean"]) < 4 * known["sd"] / np.sqrt(check["ess_bulk"]), (name, parameter)
            for quantile, prob in (("q2_5", 0.025), ("median", 0.5), ("q97_5", 0.975)):
                assert abs((draws <= known[quantile]).mean() - prob) < 0.02, (name, parameter, quantile)


def test_both_ways_to_a_posterior_are_taken(heterogeneity):
    which, found = heterogeneity
    methods = found.methods["method"]
    assert (methods == "importance sampling").any()
    assert methods[{"bcg": "half-normal 0.1", "schools": "half-normal 10"}[which]] in ("refit", "importance sampling")


def test_a_model_without_doses_is_compared_by_its_parameters(heterogeneity):
    which, found = heterogeneity
    assert found.table().empty
    assert found.effects().empty
    assert "Difference in elpd" in found.explanation
    means = found.parameters()["mean"].xs("between_study", level="parameter")
    name = {"bcg": "half-normal 0.1", "schools": "half-normal 1"}[which]
    (line,) = (line for line in found.explanation.splitlines() if line.startswith(f"{name}: between_study by "))
    assert float(line.split(" by ")[1].split()[0]) == pytest.approx(means[name] - means["reference"], abs=0.006)


# --- what a prior did -----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bcg_fit() -> sd.Fit:
    return sd.fit(bcg_model(0.5), read(bcg(), "logRR"), seed=4, draws=5000, progress=False)


def narrow_overlap(answer) -> float:
    """Of N(0, 10^2) and the exact posterior of the mean."""
    x = np.linspace(-3, 2, 20_001)
    sd = np.sqrt(answer.cov[:, 0, 0])
    posterior = sum(w * stats.norm.pdf(x, m, s) for w, m, s in zip(answer.weight, answer.mean[:, 0], sd, strict=True) if w > 1e-6)
    return float(np.minimum(posterior, stats.norm.pdf(x, 0, 10)).sum() * (x[1] - x[0]))


def test_overlap_is_the_area_under_both_densities(bcg_fit):
    tau, table = midpoints(6, 6000), bcg()
    answer = exact(
        table["effect"].to_numpy(), table["variance"].to_numpy(), np.ones((13, 1)), tau, stats.halfnorm(scale=0.5), b_sd=10
    )
    prior = stats.halfnorm(scale=0.5).pdf(tau) * (tau[1] - tau[0])
    assert overlap(bcg_fit)["between_study"] == pytest.approx(np.minimum(prior, answer.weight).sum(), abs=0.03)
    assert overlap(bcg_fit)["intercept"] == pytest.approx(narrow_overlap(answer), abs=0.01)
    assert list(overlap(bcg_fit).index) == ["between_study", "intercept"]


def test_conflict_is_the_prior_predictive_tail(bcg_fit):
    """With next to no heterogeneity the mean is N(m, s^2 + 1 / sum w) a priori."""
    for m, s in ((-0.5, 0.3), (0.0, 0.2), (2.0, 0.5)):
        priors = {"intercept": sd.Prior("normal", mu=m, sigma=s), "between_study": sd.Prior("halfnormal", sigma=1e-3)}
        model = bcg_fit.model.with_priors(priors)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", sd.ConvergenceWarning)  # the fit is short: its prior predictive is the question
            fit = sd.fit(model, read(bcg(), "logRR"), seed=1, draws=100, tune=200, progress=False)
        w = 1 / bcg()["variance"]
        mean = (w * bcg()["effect"]).sum() / w.sum()
        p = 2 * stats.norm.sf(abs(mean - m) / np.sqrt(s**2 + 1 / w.sum()))
        line = conflict(fit).loc["mean effect"]
        assert line["observed"] == pytest.approx(mean)
        assert line["p"] == pytest.approx(p, abs=4 * np.sqrt(2 * p / 1000) + 1e-3)
        assert line["conflict"] == (p < 0.01)
        assert conflict(fit).loc["spread of effects", "conflict"]  # the trials differ far more than that


def test_tails_of_priors_where_the_reference_is(bcg_fit):
    model = bcg_fit.model.with_priors(
        {"intercept": sd.Prior("normal", mu=3, sigma=1), "between_study": sd.Prior("halfnormal", sigma=0.1)}
    )
    found = in_tails(dataclasses.replace(bcg_fit, model=model), bcg_fit)
    mu, tau = (np.median(bcg_fit.values()[name]) for name in ("intercept", "between_study"))
    assert found.loc["intercept", "p"] == pytest.approx(2 * stats.norm.cdf(mu - 3))
    assert found.loc["between_study", "p"] == pytest.approx(2 * stats.norm.sf(tau / 0.1))
    assert found["conflict"].all()
    assert not in_tails(bcg_fit, bcg_fit)["conflict"].any()


def test_power_scaling_sees_a_prior_that_counts(bcg_fit):
    assert power_scaling(bcg_fit).loc["intercept", "diagnosis"] == ""
    tight = bcg_fit.refit(priors={"intercept": sd.Prior("normal", mu=0, sigma=0.1)}, seed=2)
    line = power_scaling(tight).loc["intercept"]
    assert line["prior"] > 0.05
    assert line["likelihood"] > 0.05
    assert line["diagnosis"] == "prior and data both count"
