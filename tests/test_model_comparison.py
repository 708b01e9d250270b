"""`compare_models`, marginal likelihoods and Bayes factors, against closed forms, quadrature and hand-made scores."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import special, stats
from test_known_answers import EIGHT_SCHOOLS_MODEL, bcg, bcg_model, eight_schools, read

import stimdose as sd
from stimdose.diagnosis import diagnose
from stimdose.log_densities import Density
from stimdose.marginals import bridge, judged, quadrature, require_density
from stimdose.model_odds import widened_effects


@pytest.fixture(scope="module")
def rising_fit(bell_model, trials) -> sd.Fit:
    doses = [sd.Dose(column="frequency_hz", shape="log-linear"), bell_model.dose[1]]
    return sd.fit(bell_model.replace(name="rising", dose=doses), trials, seed=12, progress=False)


@pytest.fixture(scope="module")
def both(bell_fit, rising_fit) -> sd.ModelComparison:
    return sd.compare_models([bell_fit, rising_fit], exact=False)


def unconverged(fit: sd.Fit) -> sd.Fit:
    apart = np.random.default_rng(0).normal(size=(4, 500)) + np.arange(4)[:, None]
    return dataclasses.replace(fit, diagnosis=diagnose(xr.Dataset({"x": (("chain", "draw"), apart)}), 0))


# --- differences in elpd -------------------------------------------------------------------------------------------------------------


def test_elpd_and_differences_are_sums_over_studies(both, bell_fit, rising_fit):
    one, two = (sd.leave_one_study_out(fit, exact=False) for fit in (bell_fit, rising_fit))
    assert both.elpd.index.tolist() == ["test bell", "rising"]
    np.testing.assert_allclose(both.elpd["elpd"], [one.elpd, two.elpd])
    np.testing.assert_allclose(both.elpd["elpd_se"], [one.se, two.se])
    np.testing.assert_allclose(both.elpd["p_loo"], [one.p_loo, two.p_loo])
    gaps = (one.table["elpd"] - two.table["elpd"]).to_numpy()
    line = both.pairs.loc[("test bell", "rising")]
    assert line["difference"] == pytest.approx(gaps.sum())
    assert line["se"] == pytest.approx(np.sqrt(20) * gaps.std(ddof=1))
    assert line["studies_better"] == (gaps > 0).sum()
    assert both.by_study.shape == (20, 2)
    turned = dataclasses.replace(both, fits=dict(reversed(both.fits.items())))
    assert turned.pairs.loc[("rising", "test bell"), "difference"] == pytest.approx(-gaps.sum())
    assert turned.pairs["verdict"].tolist() == both.pairs["verdict"].tolist()


def scored(both, gaps: np.ndarray) -> sd.ModelComparison:
    """The same models with given differences in elpd by study."""
    first = both.scores["test bell"]
    return dataclasses.replace(both, scores={"test bell": first.assign(elpd=first["elpd"] + gaps), "rising": first})


@pytest.mark.parametrize(
    ("gap", "spread", "verdict"),
    [
        (0.005, 0.02, "indistinguishable"),  # 0.1 in all, se 0.09: stacking would give it nearly all the weight
        (0.15, 0.01, "indistinguishable"),  # 3 in all, many standard errors, but below 4
        (0.5, 2.0, "indistinguishable"),  # 10 in all, se 9
        (0.5, 0.5, "test bell predicts better"),
        (-0.5, 0.5, "rising predicts better"),
    ],
)
def test_small_differences_are_called_indistinguishable(both, gap, spread, verdict):
    gaps = gap + spread * np.resize([1.0, -1.0], 20)
    found = scored(both, gaps)
    assert found.pairs["verdict"].item() == verdict
    assert f"test bell against rising: {verdict}" in found.explanation


def test_a_model_without_doses_has_a_line_that_says_so(both):
    fits = {"pooled": next(iter(both.fits.values())), **both.fits}
    estimands = {"pooled": {}, **both.estimands}
    found = dataclasses.replace(
        both, fits=fits, estimands=estimands, scores=both.scores | {"pooled": both.scores[next(iter(both.fits))]}
    )
    table = found.table()
    assert table.loc[("pooled", "", ""), "verdict"] == "has no dose"
    assert table.index.get_level_values("model")[0] == "pooled"
    pd.testing.assert_frame_equal(table.iloc[1:], both.table())
    assert "pooled: has no dose." in found.explanation.splitlines()


def test_each_model_says_what_it_implies_with_its_verdict(both, bell_fit, rising_fit):
    table = both.table()
    for fit in (bell_fit, rising_fit):
        best = sd.optimum(fit, "frequency_hz", size=201)
        line = table.loc[(fit.model.name, "frequency_hz", "")]
        assert line["verdict"] == best.verdict
        assert line["best_dose"] == pytest.approx(float(best.dose.median()))
    assert "frequency_hz: the verdict depends on the model: identified in test bell; still rising in rising." in both.explanation
    effects = both.effects().sort_index().loc["rising", "sessions", "acute"]
    at = sd.curve(rising_fit, "sessions", by="phase", grid=effects.index.to_numpy()).sel(phase="acute")
    np.testing.assert_allclose(effects["effect"], at.mean(("chain", "draw")))
    assert "weight" not in both.explanation
    assert "rank" not in both.explanation


def test_models_of_other_data_are_refused(bell_fit, rising_fit):
    table = rising_fit.trials.table
    other = dataclasses.replace(rising_fit, trials=sd.Trials(table.assign(effect=table["effect"] + (table.index == 3))))
    for compare in (sd.compare_models, sd.bayes_factors):
        with pytest.raises(
            sd.StimdoseError, match=r"can be compared(.|\n)*rising differs from test bell in the effect of 1 rows"
        ):
            compare([bell_fit, other])


def test_what_cannot_be_compared(bell_fit, bell_model):
    with pytest.raises(sd.StimdoseError, match="state the trials: other"):
        sd.compare_models([bell_fit, bell_model.replace(name="other")])
    with pytest.raises(sd.StimdoseError, match="the same name"):
        sd.compare_models([bell_fit, bell_fit])
    with pytest.raises(sd.StimdoseError, match="two or more"):
        sd.compare_models(bell_fit)
    with pytest.raises(sd.StimdoseError, match=r"models or fits, which fit\.nc is not"):
        sd.compare_models([bell_fit, "fit.nc"])
    with pytest.raises(sd.StimdoseError, match="fits, which test bell, b is not"):
        sd.bayes_factors([bell_model, bell_fit.model.replace(name="b")])
    with pytest.raises(sd.StimdoseError, match="factors are positive"):
        sd.bayes_factors({"a": bell_fit, "b": bell_fit}, factors=(0,))


def test_unconverged_models_carry_the_warning(both, bell_fit, rising_fit):
    found = dataclasses.replace(both, fits=both.fits | {"rising": unconverged(rising_fit)})
    assert found.explanation.startswith("rising: Warning: the fit did not converge")
    refused = sd.marginal_likelihood(unconverged(bell_fit))
    assert np.isnan(refused.log)
    assert refused.refused == "the fit did not converge"


# --- integrals with a known answer ---------------------------------------------------------------------------------------------------


def normal(d: int, seed: int = 0):
    """A correlated normal in R^d times e^1.5, and its log density."""
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(d, d)) + 2 * np.eye(d)
    law = stats.multivariate_normal(np.arange(d), root @ root.T)
    return law, lambda x: law.logpdf(x).reshape(len(x)) + 1.5


@pytest.mark.parametrize("d", [1, 2, 3])
def test_quadrature_of_a_normal(d):
    law, log_density = normal(d)
    draws = law.rvs(500, random_state=1).reshape(500, d)
    log, error = quadrature(log_density, draws)
    assert log == pytest.approx(1.5, abs=1e-6)
    assert error < 1e-4


@pytest.mark.parametrize("a", [0.5, 3.0])
def test_quadrature_with_a_long_tail(a):
    """exp(a v - e^v) has the integral Gamma(a): what a standard deviation with mass at zero looks like as a logarithm."""
    draws = np.log(np.random.default_rng(0).gamma(a, size=(2000, 1)))
    log, error = quadrature(lambda v: (a * v - np.exp(v))[:, 0], draws)
    assert log == pytest.approx(special.gammaln(a), abs=1e-6)
    assert error < 1e-4


def test_the_bridge_of_a_normal_and_of_a_skewed_density():
    law, log_density = normal(6)
    log, error = bridge(log_density, law.rvs(4000, random_state=2).reshape(4, 1000, 6), np.random.default_rng(0))
    assert log == pytest.approx(1.5, abs=4 * error)
    assert error < 0.03
    a = np.linspace(1, 4, 5)
    draws = np.log(np.random.default_rng(3).gamma(a, size=(4, 2000, 5)))
    log, error = bridge(lambda v: (a * v - np.exp(v)).sum(axis=1), draws, np.random.default_rng(1))
    assert log == pytest.approx(special.gammaln(a).sum(), abs=4 * error)
    assert error < 0.1


def test_the_stated_error_of_the_bridge_is_its_error():
    a, found = np.linspace(1, 4, 5), []
    for seed in range(60):
        draws = np.log(np.random.default_rng(seed).gamma(a, size=(4, 250, 5)))
        found.append(bridge(lambda v: (a * v - np.exp(v)).sum(axis=1), draws, np.random.default_rng(seed)))
    log, error = np.array(found).T
    z = (log - special.gammaln(a).sum()) / error
    assert 0.7 < np.sqrt((z**2).mean()) < 1.4


def test_no_number_where_the_error_is_large():
    rng = np.random.default_rng(0)
    draws = rng.standard_t(1.2, size=(4, 100, 8))  # tails that no normal proposal covers
    found = judged(*bridge(lambda x: stats.t(1.2).logpdf(x).sum(axis=1), draws, rng), "bridge sampling")
    assert np.isnan(found.log)
    assert found.error > 0.1
    assert "above 0.1" in found.refused


# --- marginal likelihoods of models --------------------------------------------------------------------------------------------------


def log_normal(y, V, X, sds) -> float:
    """log N(y; 0, V + X diag(sds^2) X')."""
    return stats.multivariate_normal(np.zeros(len(y)), V + (X * np.square(sds)) @ X.T).logpdf(y)


def exact_evidence(y, v, X, sds, prior, top: float) -> float:
    tau = (np.arange(4000) + 0.5) * top / 4000
    logs = np.array([log_normal(y, np.diag(v + t**2), X, sds) for t in tau]) + prior.logpdf(tau)
    return float(np.logaddexp.reduce(logs) + np.log(top / 4000))


@pytest.fixture(scope="module")
def bcg_fits() -> dict[str, sd.Fit]:
    table = read(bcg(), "logRR")
    models = {"mean": bcg_model(0.5), "latitude": bcg_model(0.5, by_latitude=True)}
    return {name: sd.fit(model.replace(name=name), table, seed=2, progress=False) for name, model in models.items()}


def bcg_evidence(name: str, factor: float = 1.0) -> float:
    table = bcg()
    X = np.column_stack([np.ones(13), table["ablat"] - 33.46154])[:, : 1 if name == "mean" else 2]
    y, v = table["effect"].to_numpy(), table["variance"].to_numpy()
    return exact_evidence(y, v, X, 10 * factor * np.ones(X.shape[1]), stats.halfnorm(scale=0.5), 4.0)


def test_the_marginal_likelihood_of_eight_schools():
    fit = sd.fit(EIGHT_SCHOOLS_MODEL, read(eight_schools(), "MD"), seed=1, progress=False)
    table, ones = eight_schools(), np.ones((8, 1))
    y, v = table["effect"].to_numpy(), table["se"].to_numpy() ** 2
    found = sd.marginal_likelihood(fit)
    assert found.method == "quadrature"
    assert found.log == pytest.approx(exact_evidence(y, v, ones, np.array([50]), stats.halfcauchy(scale=25), 400.0), abs=1e-3)


def test_the_bridge_agrees_with_quadrature(bcg_fits):
    for fit in bcg_fits.values():
        density = Density.of(fit.model, fit.rows)
        positions = fit.tree["sample_stats"]["position"].to_numpy()
        places = density.places(positions.reshape(-1, density.size)).reshape(positions.shape)
        log, error = bridge(density.at, places, np.random.default_rng(0))
        assert log == pytest.approx(sd.marginal_likelihood(fit).log, abs=4 * error)
        assert error < 0.05


def test_a_normal_model_has_the_closed_form():
    """Next to no heterogeneity: y ~ N(0, V + 11' sd^2)."""
    model = bcg_model(1e-4).replace(intercept=sd.Intercept(prior=sd.Prior("normal", mu=0, sigma=0.8)))
    fit = sd.fit(model, read(bcg(), "logRR"), seed=2, progress=False)
    y, v = bcg()["effect"].to_numpy(), bcg()["variance"].to_numpy()
    assert sd.marginal_likelihood(fit).log == pytest.approx(
        log_normal(y, np.diag(v), np.ones((13, 1)), np.array([0.8])), abs=1e-4
    )


def test_bayes_factors_and_how_they_depend_on_the_priors(bcg_fits):
    found = sd.bayes_factors(bcg_fits, seed=1)
    table = found.table()
    for factor in (0.5, 1.0, 2.0):
        line = table.loc[("mean", "latitude", factor)]
        assert line["log"] == pytest.approx(bcg_evidence("mean", factor) - bcg_evidence("latitude", factor), abs=1e-3)
        assert line["bayes_factor"] == pytest.approx(np.exp(line["log"]))
    assert table["log"].is_monotonic_increasing  # wider priors of an effect count against the model that has it
    assert "It depends on the priors of effects" in found.explanation  # a slope of N(0, 10^2) per degree
    turned = sd.bayes_factors(dict(reversed(bcg_fits.items())), factors=(1,), seed=1)
    assert turned.table()["log"].item() == pytest.approx(-table.loc[("mean", "latitude", 1.0), "log"])


def test_the_bayes_factor_of_a_bell(bell_fit, rising_fit):
    """Two runs of the sampler agree within their errors; every number has one."""
    again = bell_fit.refit(seed=77, draws=2000)
    one, two = sd.marginal_likelihood(bell_fit), sd.marginal_likelihood(again)
    assert one.method == "bridge sampling"
    assert abs(one.log - two.log) < 4 * np.hypot(one.error, two.error)
    found = sd.bayes_factors([bell_fit, rising_fit], factors=(1,), seed=1)
    assert "Bayes factor" in found.explanation
    gone = dataclasses.replace(found.evidence["rising"][1.0], log=np.nan, refused="the relative error is 0.31, above 0.1")
    refused = dataclasses.replace(found, evidence=found.evidence | {"rising": {1.0: gone}})
    assert "test bell against rising: no Bayes factor." in refused.explanation
    assert "0.31, above 0.1" in refused.explanation
    assert refused.table()["bayes_factor"].isna().all()


def test_priors_of_effects_are_widened_where_they_are(bell_model):
    found = widened_effects(bell_model, 2.0)
    assert set(found) == {"intercept", "frequency_hz_amplitude", "sessions_slope"}
    for name, prior in bell_model.priors().items():
        if name in found:
            assert found[name].parameters["sigma"] == pytest.approx(2 * prior.parameters["sigma"])
            assert found[name].parameters.get("mu") == prior.parameters.get("mu")


def test_a_density_of_something_else_is_refused(bell_fit):
    require_density(bell_fit)
    points = SimpleNamespace(doses={"sessions": SimpleNamespace(uncertain=[3])})
    fit = SimpleNamespace(
        model=bell_fit.model,
        tree={"sample_stats": xr.Dataset()},
        rows=SimpleNamespace(points=points, unknowns=object()),
    )
    with pytest.raises(sd.StimdoseError, match=r"explicit; doses are intervals or missing \(sessions\).*; standard deviations"):
        require_density(fit)


# --- figures -------------------------------------------------------------------------------------------------------------------------


def labelled(ax, label: str) -> list:
    return [artist for artist in [*ax.lines, *ax.collections] if artist.get_label() == label]


def test_the_figure_of_a_comparison_shows_every_study_and_pair(both):
    axes = sd.figures.comparison(both)
    shown = np.sort(axes[0].lines[1].get_xdata())
    reference = both.elpd["elpd"].idxmax()
    (other,) = [name for name in both.fits if name != reference]
    np.testing.assert_allclose(shown, np.sort(both.by_study[other] - both.by_study[reference]))
    assert [label.get_text() for label in axes[0].get_yticklabels()] == (
        both.by_study[other] - both.by_study[reference]
    ).sort_values(kind="stable").index.tolist()
    (squares,) = labelled(axes[1], "_difference")
    np.testing.assert_allclose(squares.get_xdata(), both.pairs["difference"])
    assert any("indistinguishable" in text.get_text() or "predicts better" in text.get_text() for text in axes[1].texts)
    three = SimpleNamespace(by_study=pd.DataFrame(np.zeros((3, 9))), pairs=both.pairs, fit_warning="")
    with pytest.raises(ValueError, match="2 to 7 models, got 9"):
        sd.figures.comparison(three)


def test_figures_of_priors_show_every_set_with_its_verdict(bell_fit):
    found = sd.compare_priors(
        bell_fit, sets={"far": {"frequency_hz_peak": sd.Prior("lognormal", interval=(50, 80))}}, exact=False
    )
    ax = sd.figures.prior_optima(found, "sessions")
    own = [(best["sessions"], phase) for phase in ("acute", "subacute", "chronic") for best in found.optima.values()]
    medians = [float(best.dose.sel(phase=phase).median()) for best, phase in own if best.verdicts[phase] == "identified"]
    np.testing.assert_allclose([line.get_xdata()[0] for line in labelled(ax, "_median")], medians)
    ends = [best.dose.sel(phase=phase).quantile([0.025, 0.975]).values for best, phase in own]
    np.testing.assert_allclose([line.get_segments()[0][:, 0] for line in labelled(ax, "_interval")], ends)
    texts = [text.get_text() for text in ax.texts]
    verdicts = [best["sessions"].verdicts[phase] for phase in ("acute", "subacute", "chronic") for best in found.optima.values()]
    assert [text for text in texts if text in set(verdicts)] == verdicts
    axes = sd.figures.prior_curves(found, "sessions")
    assert axes.shape == (2, 3)
    assert axes[1, 0].get_title() == "far, acute"
    (band,) = labelled(axes[1, 0], "_prior")
    low, high = found.prior_curves["far"]["sessions"].sel(phase="acute").quantile([0.025, 0.975], ("chain", "draw")).values
    vertices = band.get_paths()[0].vertices
    assert [vertices[:, 1].min(), vertices[:, 1].max()] == pytest.approx([low.min(), high.max()])
    assert sd.figures.prior_curves(found, "frequency_hz").shape == (1, 2)
    bad = dataclasses.replace(found, fits=found.fits | {"far": unconverged(bell_fit)})
    warned = sd.figures.prior_optima(bad, "frequency_hz").figure
    assert "did not converge" in warned.get_suptitle()
    with pytest.raises(ValueError, match="no best dose of 'minutes'"):
        sd.figures.prior_optima(found, "minutes")
    with pytest.raises(ValueError, match="no curves of 'minutes'"):
        sd.figures.prior_curves(found, "minutes")


# --- commands ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_commands_print_and_write(run, saved, rising_fit, tmp_path):
    other = str(rising_fit.save(tmp_path / "rising.nc"))
    code, out, _ = run("compare-models", saved, other, "--seed", "1", "-o", str(tmp_path / "models"))
    assert code == 0
    assert "test bell against rising" in out
    written = {path.name for path in (tmp_path / "models").iterdir()}
    assert {
        "models-elpd.csv",
        "models-pairs.csv",
        "models-verdicts.csv",
        "models-elpd.png",
        "models-optima-frequency_hz.pdf",
    } <= written
    code, out, _ = run(
        "compare-priors", saved, "--sets", "half-normal-0.5", "--sets", "sceptical", "--seed", "1", "-o", str(tmp_path / "priors")
    )
    assert code == 0
    assert "the verdict" in out
    assert "sceptical" in out
    assert all(len(line) <= 80 for line in out.splitlines() if line.startswith("│") and "identified" in line)
    written = {path.name for path in (tmp_path / "priors").iterdir()}
    assert {"priors-verdicts.csv", "priors-conflict.csv", "priors-curves-sessions.png", "priors-optima-sessions.png"} <= written
    assert pd.read_csv(tmp_path / "priors" / "priors-methods.csv")["set"].tolist() == [
        "reference",
        "half-normal-0.5",
        "sceptical",
    ]


def test_commands_refuse_in_one_message(run, saved):
    for words, message in (
        (
            ["compare-priors", "frequency-bell"],
            "frequency-bell is no saved fit (.nc), so it is taken for a model: state its trials",
        ),
        (["compare-priors", saved, "trials.csv"], "a saved fit has its own table: leave out the trials"),
        (["compare-priors", saved, "--sets", "weakk"], "no prior set 'weakk'"),
        (["compare-models", saved], "two or more"),
    ):
        code, _, error = run(*words)
        assert code == 1
        assert message in " ".join(error.split())
