"""Leave one study out: importance sampling against quadrature and against exact refits, what the result holds, an outlier."""

import dataclasses

import arviz as az
import numpy as np
import pandas as pd
import pytest
from conftest import make_table
from scipy import stats
from test_known_answers import ORACLES, P_MIN, Z_MAX, batch_means, bcg, bcg_model, hotelling_p_value, read

import stimdose as sd
from stimdose.leave_one_out import PARETO_K_MAX, LeaveOneOut, on_all_rows
from stimdose.left_out import log_predictive

BATCHES = 40


@pytest.fixture(scope="module")
def bcg_fit() -> sd.Fit:
    return sd.fit(bcg_model(0.5), read(bcg(), "logRR"), seed=2, draws=2500, progress=False)


@pytest.fixture(scope="module")
def bcg_loo(bcg_fit) -> LeaveOneOut:
    return sd.leave_one_study_out(bcg_fit, exact=False)


def batches(x: np.ndarray, chains: int) -> np.ndarray:
    return batch_means(x.reshape(chains, -1), BATCHES // chains)


def misses_of_sampling(fit: sd.Fit, reference: np.ndarray) -> np.ndarray:
    """Means of batches (batches, studies) of what is 0 on average if `reference` are log p(y_s | y_-s), before anything is smoothed: the
    mean of 1 / p(y_s | y_-s, draw) is 1 / p(y_s | y_-s)."""
    ratio = np.exp(reference - log_predictive(fit.model, fit.rows, fit.values())[0])
    return np.stack([batches(one - 1, fit.tree["posterior"].sizes["chain"]) for one in ratio.T], axis=-1)


def misses_of_refits(fit: sd.Fit, found: LeaveOneOut, reference: np.ndarray) -> np.ndarray:
    """The same of exact refits: the mean of p(y_s | y_-s, draw) is p(y_s | y_-s)."""
    columns = []
    for s, study in enumerate(found.table.index):
        values = on_all_rows(fit, found.refits[study], np.random.default_rng(s))
        density = np.exp(log_predictive(fit.model, fit.rows, values, [s])[0][:, 0] - reference[s])
        columns.append(batches(density - 1, found.refits[study].tree["posterior"].sizes["chain"]))
    return np.stack(columns, axis=-1)


def assert_zero(what: str, misses: np.ndarray) -> None:
    """Every column of the batch means within 4 standard errors of 0, and all together no further than chance allows. Studies that depend
    on one sampled number are nearly collinear: directions with less than 1e-4 of the largest variance are left out."""
    spread = misses.std(axis=0, ddof=1)
    z = misses.mean(axis=0) / (spread / np.sqrt(len(misses)))
    variance, directions = np.linalg.eigh(np.corrcoef(misses.T))
    p = hotelling_p_value(misses / spread @ directions[:, variance > 1e-4 * variance.max()])
    print(f"{what}: largest z {np.abs(z).max():.2f}, joint p {p:.3f}")
    assert np.abs(z).max() < Z_MAX
    assert p > P_MIN


def assert_smoothed_agrees(found: LeaveOneOut, elpd: np.ndarray, misses: np.ndarray, which=slice(None)) -> None:
    """What is reported lies within 4 standard errors."""
    z = (found.table["elpd"] - elpd) / (misses.std(axis=0, ddof=1) / np.sqrt(len(misses)))
    assert np.abs(z[which]).max() < Z_MAX, z


def exact_elpd(y: np.ndarray, v: np.ndarray, sigma: float, mean_sd: float = 10.0) -> np.ndarray:
    """log p(y_s | y_-s) of a normal mean with between-study sd tau ~ HalfNormal(sigma), on a grid of tau."""
    tau = (np.arange(8000) + 0.5) / 8000 * 6 * sigma

    def log_evidence(keep):
        w = 1 / (v[keep][:, None] + tau**2)
        precision, weighted = w.sum(axis=0) + mean_sd**-2, (w * y[keep][:, None]).sum(axis=0)
        square = (w * y[keep][:, None] ** 2).sum(axis=0) - weighted**2 / precision
        logs = 0.5 * (np.log(w).sum(axis=0) - np.log(precision * mean_sd**2) - square - keep.sum() * np.log(2 * np.pi))
        return np.logaddexp.reduce(logs + stats.halfnorm(scale=sigma).logpdf(tau))

    everything = np.ones(len(y), bool)
    return np.array([log_evidence(everything) - log_evidence(np.arange(len(y)) != s) for s in range(len(y))])


def test_importance_sampling_agrees_with_quadrature(bcg_fit, bcg_loo):
    exact = exact_elpd(bcg_fit.rows.effect, bcg_fit.rows.variance, 0.5)
    misses = misses_of_sampling(bcg_fit, exact)
    assert_zero("bcg, quadrature", misses)
    assert_smoothed_agrees(bcg_loo, exact, misses)
    assert bcg_loo.refits == {}


def test_exact_refits_agree_with_quadrature_and_importance_sampling(bcg_fit, bcg_loo):
    found = sd.leave_one_study_out(bcg_fit, exact=True)
    assert list(found.refits) == list(found.table.index)
    assert (found.table["method"] == "refit").all()
    exact = exact_elpd(bcg_fit.rows.effect, bcg_fit.rows.variance, 0.5)
    assert_zero("bcg, refits and quadrature", misses_of_refits(bcg_fit, found, exact))
    reference = found.table["elpd"].to_numpy()
    both = misses_of_sampling(bcg_fit, reference) + misses_of_refits(bcg_fit, found, reference)
    assert_zero("bcg, refits", both)
    assert_smoothed_agrees(bcg_loo, reference, both)


def test_districts_of_schools_agree_with_exact_refits():
    """Konstantopoulos 2011: several rows a study, and a level within studies."""
    table = pd.read_csv(ORACLES / "covariance" / "konstantopoulos2011.csv")
    table = table.assign(
        study=table["district"].astype(str), arm=table["school"].astype(str), effect=table["yi"], variance=table["vi"]
    )
    half = sd.Prior("halfnormal", sigma=0.5)
    model = sd.Model(name="schools", intercept=sd.Intercept(), between_study=half, within_study=half)
    fit = sd.fit(model, read(table[["study", "arm", "effect", "variance"]], "SMD"), seed=4, draws=2500, progress=False)
    sampled, found = (sd.leave_one_study_out(fit, exact=exact) for exact in (False, True))
    reference = found.table["elpd"].to_numpy()
    both = misses_of_sampling(fit, reference) + misses_of_refits(fit, found, reference)
    reliable = (sampled.table["pareto_k"] <= PARETO_K_MAX).to_numpy()
    assert reliable.sum() >= 8
    assert_zero("schools, refits", both[:, reliable])
    assert_smoothed_agrees(sampled, reference, both, reliable)


def test_weights_are_those_of_the_posterior_without_a_study(bcg_fit, bcg_loo):
    """The mean of the between-study sd, against a grid."""
    y, v, tau = bcg_fit.rows.effect[1:], bcg_fit.rows.variance[1:], (np.arange(6000) + 0.5) / 2000
    w = 1 / (v[:, None] + tau**2)
    precision, weighted = w.sum(axis=0) + 0.01, (w * y[:, None]).sum(axis=0)
    log_density = 0.5 * (np.log(w).sum(axis=0) - np.log(precision) - (w * y[:, None] ** 2).sum(axis=0) + weighted**2 / precision)
    density = np.exp(log_density - log_density.max() - 0.5 * (tau / 0.5) ** 2)
    exact = (tau * density).sum() / density.sum()
    weights, draws = bcg_loo.weights[0], bcg_fit.tree["posterior"]["between_study"]
    miss = batches((weights.size * weights * (draws - exact)).values, 4)
    assert abs(miss.mean()) < Z_MAX * miss.std(ddof=1) / np.sqrt(BATCHES)
    np.testing.assert_allclose(bcg_loo.weights.sum(("chain", "draw")), 1)
    assert bcg_loo.weights.dims == ("study", "chain", "draw")
    assert list(bcg_loo.weights["study"].values) == list(bcg_loo.table.index)


def test_the_result_of_a_bell(bell_fit):
    found = sd.leave_one_study_out(bell_fit)
    assert list(found.table.columns) == ["elpd", "p_loo", "pareto_k", "method", "rows"]
    assert list(found.table.index) == [f"Trial {k:02d}" for k in range(20)]
    assert list(found.table["rows"]) == [1, 2] * 10
    assert found.elpd == pytest.approx(found.table["elpd"].sum())
    assert found.warning == ""
    above = found.table.index[found.table["pareto_k"] > PARETO_K_MAX]
    assert set(found.refits) == set(above)
    assert list(found.unreliable) == []
    for study, refit in found.refits.items():
        assert study not in set(refit.trials.table["study"])
        assert len(refit.rows.studies) == 19
    without = sd.leave_one_study_out(bell_fit, exact=False)
    assert list(without.unreliable) == list(above)
    assert all(any(study in remark for remark in without.remarks) for study in above)
    data = found.elpd_data()
    compared = az.compare({"one": data, "other": without.elpd_data()}, round_to="none")
    assert compared.loc["one", "elpd"] == pytest.approx(found.elpd)
    assert compared.loc["one", "diag_elpd"] == ""
    # most of a posterior's own parameters: three intercepts, a bell, slopes of three phases, two sites, all partially pooled
    assert 2 < found.p_loo < 12


def test_an_outlier_has_the_lowest_elpd(bcg_fit):
    effects = bcg_fit.rows.effect.copy()
    effects[6] += 4.0
    found = sd.leave_one_study_out(bcg_fit.refit(effects=effects, seed=1))
    assert found.table["elpd"].idxmin() == found.table.index[6]
    assert found.table["elpd"].sort_values().iloc[0] < found.table["elpd"].sort_values().iloc[1] - 2


def test_a_study_that_is_alone_in_what_it_has_is_refitted_without():
    """A group, two rows of one study, and an interval of it: a refit has none of these, and its prior stands for them."""
    table = make_table(9).drop_duplicates("study")
    table = pd.concat([table, table.iloc[[3]].assign(arm="B", frequency_hz=30.0, effect=0.2)], ignore_index=True)
    table["phase"] = table["phase"].where(table["study"] != "Trial 03", "mixed")
    table["frequency_hz"] = table["frequency_hz"].astype(object)
    table.loc[3, "frequency_hz"] = "4-20"
    dose = sd.Dose(column="frequency_hz", shape="bell", by="phase", by_study=False)
    fit = sd.fit(sd.Model(name="lone", intercept=sd.Intercept(), dose=[dose]), sd.read_trials(table), seed=3, progress=False)
    assert fit.rows.has_within_study
    assert "mixed" in fit.rows.levels["phase"]
    refit = fit.refit(trials=fit.trials.without_study("Trial 03"), seed=1)
    assert not refit.rows.has_within_study
    assert "mixed" not in refit.rows.levels["phase"]
    values = on_all_rows(fit, refit, np.random.default_rng(0))
    posterior = refit.values()
    for k, phase in enumerate(refit.rows.levels["phase"]):
        at = fit.rows.levels["phase"].index(phase)
        np.testing.assert_array_equal(values["frequency_hz_peak_by_phase"][:, at], posterior["frequency_hz_peak_by_phase"][:, k])
    lone = np.log(
        values["frequency_hz_peak_by_phase"][:, fit.rows.levels["phase"].index("mixed")] / posterior["frequency_hz_peak"]
    )
    z = lone / posterior["frequency_hz_peak_between_phase"]
    assert stats.kstest(z, "norm").pvalue > P_MIN
    prior = fit.model.within_study.distribution
    assert stats.kstest(values["within_study"], prior.cdf).pvalue > P_MIN
    assert np.isfinite(log_predictive(fit.model, fit.rows, values, [3])[0]).all()


def test_a_study_without_which_nothing_can_be_fitted(trials):
    """Without Trial 01 all doses are the same: it stays with importance sampling, and the remarks say so."""
    table = make_table(8).drop(columns="sessions").assign(frequency_hz=lambda t: np.where(t["study"] == "Trial 01", 20.0, 5.0))
    model = sd.Model(name="two doses", intercept=sd.Intercept(), dose=[sd.Dose(column="frequency_hz", shape="linear")])
    fit = sd.fit(model, sd.read_trials(table), seed=1, progress=False)
    found = sd.leave_one_study_out(fit, exact=True)
    assert list(found.refits) == [f"Trial {k:02d}" for k in range(8) if k != 1]
    assert found.table.loc["Trial 01", "method"] == "importance sampling"
    assert "Trial 01: the model cannot be fitted without it" in " ".join(found.remarks)


def test_a_fit_that_did_not_converge_is_told(bell_fit):
    table = bell_fit.diagnosis.table.assign(r_hat=1.3)
    fit = dataclasses.replace(bell_fit, diagnosis=dataclasses.replace(bell_fit.diagnosis, table=table))
    assert sd.leave_one_study_out(fit, exact=False).warning.startswith("Warning: the fit did not converge")


def test_what_cannot_be_asked(bell_fit):
    with pytest.raises(sd.StimdoseError, match='exact is "auto", True or False'):
        sd.leave_one_study_out(bell_fit, exact="always")
