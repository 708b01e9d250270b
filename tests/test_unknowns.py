"""Standard deviations and correlations that are drawn in the model: against quadrature, and the likelihood with covariances."""

import arviz as az
import numpy as np
import pandas as pd
import pytest
from scipy.stats import multivariate_normal, norm

import stimdose as sd
from stimdose import effects
from stimdose.pymc_model import build

BASE = {"direction": "higher", "comparator": "sham", "design": "parallel", "outcome": "FMA-UE", "modality": "rTMS"}
TIGHT = sd.Prior("halfnormal", sigma=1e-6, why="no heterogeneity, so that quadrature is easy")


def read(rows, **constants) -> sd.Trials:
    return sd.read_trials(pd.DataFrame(rows, dtype=object), **({"missing": "keep"} | constants))


def before_after(k: int, mean: float, r=None) -> dict:
    cells = {"study": f"S{k}", "measure": "MD", "score": "change", "n_active": 12 + k, "n_control": 10 + k, "pre_post_r": r}
    for arm, change in (("active", mean), ("control", 0.0)):
        cells |= {f"baseline_mean_{arm}": 20.0, f"baseline_sd_{arm}": 8.0, f"mean_{arm}": 20 + change, f"sd_{arm}": 9.0}
    return BASE | cells


MODEL = sd.Model(name="pooled", outcome_sd=8.0, intercept=sd.Intercept(), between_study=TIGHT)


def close_to(draws: np.ndarray, mean: float, spread: float) -> None:
    """Draws (chains, draws) have this mean and standard deviation, within 4 Monte Carlo errors."""
    assert abs(draws.mean() - mean) < 4 * az.mcse(draws, method="mean")
    assert abs(draws.std() - spread) < 4 * az.mcse(draws, method="sd")


@pytest.fixture(scope="module")
def r_fit():
    means = [1.0, 6.0, -2.0, 4.5, 8.0, 3.0]
    trials = read([before_after(k, mean) for k, mean in enumerate(means)])
    return sd.fit(MODEL, trials, seed=1, missing="impute", progress=False, draws=2000)


def test_a_correlation_that_nobody_prints_against_quadrature(r_fit):
    """p(mu, r | y) on a grid: y_k ~ N(mu, (1/n1 + 1/n2)(8^2 + 9^2 - 2 r 72)), the pooled variances of the arms being equal."""
    table = r_fit.trials.table
    y, n1, n2 = (table[name].to_numpy(float) for name in ("effect_r0", "n_active", "n_control"))
    z = np.linspace(-1.5, 3.5, 600)
    r = np.tanh(z)
    prior = sd.Prior("correlation", interval=(0.2, 0.9), prob=0.95)
    mu = np.linspace(-12, 18, 601)
    variance = (1 / n1 + 1 / n2)[:, None] * (64 + 81 - 2 * r * 72)
    likelihood = norm.logpdf(y[:, None, None], mu[:, None], np.sqrt(variance)[:, None, :]).sum(axis=0)
    density = likelihood + norm.logpdf(mu, 0, 8)[:, None] + norm.logpdf(z, prior.parameters["mu"], prior.parameters["sigma"])
    weight = np.exp(density - density.max())
    weight /= weight.sum()
    for name, values, marginal in (("intercept", mu, weight.sum(axis=1)), ("pre_post_r", r, weight.sum(axis=0))):
        mean = (values * marginal).sum()
        close_to(r_fit.tree["posterior"][name].values, mean, np.sqrt((values**2 * marginal).sum() - mean**2))


def test_what_was_drawn_is_reported(r_fit):
    line = r_fit.imputed().iloc[-1]
    assert (line["column"], line["study"]) == ("pre_post_r", "")
    assert line["low"] < line["median"] < line["high"]
    assert "pre_post_r" in r_fit.prior_table().index
    audit = r_fit.trials.audit()
    assert (audit.loc[audit["column"] == "pre_post_r", "computed"] == "posterior").sum() == 6
    with pytest.raises(sd.TrialsError, match="state pre_post_r"):
        sd.fit(MODEL, r_fit.trials, seed=1)


def rows_without_sds() -> list[dict]:
    rows = []
    for k, (mean, spread) in enumerate([(4.0, 8.0), (2.0, 9.5), (6.0, 7.0), (5.0, 8.5), (9.0, None)]):
        cells = {
            "study": f"S{k}",
            "measure": "SMD",
            "n_active": 20,
            "n_control": 20,
            "mean_active": 30 + mean,
            "mean_control": 30.0,
        }
        rows.append(BASE | cells | ({} if spread is None else {"sd_active": spread, "sd_control": spread}))
    return rows


def test_a_standard_deviation_that_is_not_printed_against_quadrature():
    """One SMD of five lacks its SD: g = J d / sd, density of d = density of g / sd, log sd ~ N(mean, s^2 (1 + 1/4)), s its prior."""
    trials = read(rows_without_sds())
    model = sd.Model(name="pooled", intercept=sd.Intercept(), between_study=TIGHT)
    fit = sd.fit(model, trials, seed=2, missing="impute", progress=False, draws=2000)
    table = trials.table
    known = table["effect"].notna().to_numpy()
    y, v = table["effect"][known].to_numpy(), table["variance"][known].to_numpy()
    v_missing = effects.smd_variance(y.mean(), 20, 20)
    logs = np.log([8.0, 9.5, 7.0, 8.5])
    mu, s, log_sd = np.linspace(-1.5, 2.5, 161), np.linspace(0.005, 1.5, 300), np.linspace(0.5, 4.0, 281)
    raw = effects.hedges_correction(38) * 9.0
    squares = ((logs - logs.mean()) ** 2).sum()
    over_sd = -3 * np.log(s) - squares / (2 * s**2) + norm.logpdf(s, 0, 0.3)
    prior_sd = over_sd[:, None] + norm.logpdf(log_sd, logs.mean(), s[:, None] * np.sqrt(1.25))
    missing = norm.logpdf(raw / np.exp(log_sd), mu[:, None], np.sqrt(v_missing)) - log_sd
    others = norm.logpdf(y[:, None], mu, np.sqrt(v)[:, None]).sum(axis=0) + norm.logpdf(mu, 0, 1)
    weight = np.exp(prior_sd - prior_sd.max()).sum(axis=0) * np.exp(missing + others[:, None])
    weight /= weight.sum()
    for draws, values, marginal in (
        (fit.tree["posterior"]["intercept"].values, mu, weight.sum(axis=1)),
        (np.log(fit.tree["posterior"]["sd_true"].values[..., 0]), log_sd, weight.sum(axis=0)),
    ):
        mean = (values * marginal).sum()
        close_to(draws, mean, np.sqrt((values**2 * marginal).sum() - mean**2))
    forest = sd.study_effects(fit)
    assert forest["high"].sub(forest["low"]).idxmax() == 4  # its unknown SD widens its interval
    # of the others, the interval that the paper would print, whatever variance the model takes
    g, variance = effects.standardised_mean_difference(34, 8.0, 20, 30, 8.0, 20)
    assert forest.loc[0, ["low", "high"]].tolist() == pytest.approx(
        [g - 1.959964 * variance**0.5, g + 1.959964 * variance**0.5], abs=1e-6
    )
    assert table["variance"][0] != pytest.approx(variance, rel=1e-3)


def test_an_outcome_without_any_sd_is_refused():
    rows = rows_without_sds()
    rows[4]["outcome"] = "ARAT"
    with pytest.raises(sd.TrialsError, match="no row prints a standard deviation of ARAT"):
        sd.fit(sd.Model(name="pooled", intercept=sd.Intercept()), read(rows), missing="impute")


def linked_table() -> sd.Trials:
    """Two arms against one control at two times, and two plain studies."""
    cells = [("A", "end", 0.2, 10), ("A", "later", 0.5, 10), ("B", "end", 0.4, 20), ("B", "later", 0.1, 20)]
    rows = [
        {"study": "S", "arm": arm, "sample": arm, "control_group": "c", "timepoint": time, "effect": effect, "sessions": dose}
        for arm, time, effect, dose in cells
    ]
    rows += [{"study": study, "effect": 0.1, "sessions": 15} for study in "TU"]
    extra = {"measure": "SMD", "n_active": 20, "n_control": 18, "time_correlation": 0.6}
    return read([BASE | extra | row for row in rows])


@pytest.mark.slow
@pytest.mark.parametrize("integrate", [True, False])
def test_the_model_has_the_covariance_of_the_table(integrate):
    trials = linked_table()
    no_slopes = sd.Dose(column="sessions", shape="linear", by_study=False)
    model = sd.Model(name="m", intercept=sd.Intercept(), dose=[no_slopes])
    built = build(model, trials, integrate=integrate)
    potential = next(item for item in built.potentials if item.name in ("log_likelihood", "effect_observed"))
    tau, within, n = 0.3, 0.2, 6
    point = built.initial_point() | {"between_study_log__": np.log(tau), "within_study_log__": np.log(within)}
    V = trials.covariance() + within**2 * np.eye(n)
    study = trials.table["study"].to_numpy()
    X = np.column_stack([np.ones(n), trials.table["sessions"].to_numpy(float) / 10])
    y = trials.table["effect"].to_numpy()
    if integrate:
        covariance = V + X @ X.T + tau**2 * (study[:, None] == study)  # both coefficients have prior N(0, 1)
        mean = np.zeros(n)
    else:
        point |= {"intercept": 0.2, "sessions_slope": 0.1, "study_effect_z": np.array([1.0, -1.0, 0.5])}
        covariance = V
        mean = X @ [0.2, 0.1] + tau * np.array([1.0, -1.0, 0.5])[pd.factorize(study)[0]]
    found = built.compile_logp([potential], jacobian=False)(point)
    assert found == pytest.approx(multivariate_normal.logpdf(y, mean, covariance), rel=1e-9)


@pytest.mark.slow
def test_sensitivity_to_r():
    rows = [before_after(k, mean) for k, mean in enumerate([1.0, 6.0, -2.0, 4.5, 8.0, 3.0])]
    found = sd.sensitivity(MODEL, pd.DataFrame(rows, dtype=object), "pre_post_r", [0.0, 0.9], seed=1)
    width = (found["high"] - found["low"]).groupby(found["pre_post_r"]).first()
    assert width[0.0] > 2 * width[0.9]
    assert set(found["rows"]) == {6}
    with pytest.raises(sd.StimdoseError, match="every row prints"):
        sd.sensitivity(MODEL, pd.DataFrame([row | {"pre_post_r": 0.5} for row in rows], dtype=object), "pre_post_r", [0.5])
