"""Selection by significance: its density, its draws, and fits against quadrature and planted truths."""

import json

import numpy as np
import pytest
from pytensor.compile.mode import Mode
from scipy.integrate import quad
from scipy.stats import ks_2samp, kstest, norm
from test_robust import PLAIN, assert_joint, draws_of, rows_for, table_of, trials_of

import stimdose as sd
from stimdose.calibration import log_likelihood
from stimdose.outliers import against_others
from stimdose.posterior import draw_coefficients
from stimdose.pymc_model import build_rows
from stimdose.rows import prepare
from stimdose.selection import CRITICAL, log_selection, published_effects
from stimdose.without_study import _integrated, silenced

STEP = PLAIN.replace(selection="step")
EFFECT = np.array([0.62, 0.48, 0.75, 0.12, 0.55, 0.9, 0.41, -0.05, 0.66, 0.52])
SE = np.array([0.25, 0.2, 0.3, 0.2, 0.22, 0.35, 0.15, 0.25, 0.3, 0.2])


def selected_density(y, mean, sd_, se, w):
    """Written out: normal density, w unless significant, over the share that is published."""
    cut = norm.ppf(0.975) * se
    share = norm.sf(cut, mean, sd_) + w * norm.cdf(cut, mean, sd_)
    return norm.pdf(y, mean, sd_) * np.where(y > cut, 1.0, w) / share


@pytest.mark.parametrize(("mean", "between", "w"), [(0.0, 0.2, 0.3), (0.5, 0.0, 0.05), (-1.0, 0.4, 1.0), (2.0, 0.1, 0.5)])
def test_what_is_published_has_a_density(mean, between, w):
    se = 0.25
    sd_ = np.hypot(se, between)

    def density(y):
        y = np.array([y])
        return norm.pdf(y[0], mean, sd_) * np.exp(log_selection(y, np.array([se**2]), mean, sd_, w))[0]

    cut = CRITICAL * se
    total = quad(density, mean - 9 * sd_ - 1, cut)[0] + quad(density, cut, cut + mean + 9 * sd_ + 2)[0]
    assert total == pytest.approx(1, abs=1e-7)
    for y in (-0.3, 0.48, 0.5, 1.2):
        assert density(y) == pytest.approx(selected_density(y, mean, sd_, se, w))


def test_the_model_in_pymc_has_the_density_written_out():
    rows = rows_for(STEP, trials_of(EFFECT, SE))
    built = build_rows(STEP, rows)  # integrate=True has no meaning here
    value = built.compile_fn(built.logp(), mode=Mode(linker="py", optimizer=None))

    def log_density(mean, between, w):
        point = {
            "intercept": mean,
            "between_study_log__": np.log(between),
            "publication_probability_logodds__": np.log(w / (1 - w)),
        }
        return float(value(point))

    def expected(mean, between, w):
        likelihood = np.log(selected_density(EFFECT, mean, np.hypot(SE, between), SE, w)).sum()
        return likelihood + norm.logpdf(mean) + norm.logpdf(between, 0, 0.5) + np.log(2 * between) + np.log(w * (1 - w))

    for point in ((0.1, 0.2, 0.3), (0.7, 0.05, 0.9), (-0.4, 0.6, 0.02)):
        assert log_density(*point) == pytest.approx(expected(*point), rel=1e-9)


def test_study_effects_and_log_likelihood_by_study():
    rows, draws = rows_for(STEP, trials_of(EFFECT, SE)), 40_000
    values = {"intercept": 0.2, "between_study": 0.3, "publication_probability": 0.4}
    values = {name: np.full(draws, value) for name, value in values.items()}
    drawn, log_likelihood = draw_coefficients(STEP, rows, values, np.random.default_rng(1))
    share = 0.09 / (0.09 + SE**2)
    assert np.abs((drawn["study_effect"].mean(0) - share * (EFFECT - 0.2)) / np.sqrt(share * SE**2 / draws)).max() < 4.5
    np.testing.assert_allclose(drawn["study_effect"].std(0), np.sqrt(share) * SE, rtol=0.02)
    expected = np.log(selected_density(EFFECT, 0.2, np.hypot(SE, 0.3), SE, 0.4))
    np.testing.assert_allclose(log_likelihood[0], expected, rtol=1e-10)


def test_without_a_study_only_study_effects_are_drawn_anew():
    """Coefficients are sampled here, so they stay; its own effect is that of a new study."""
    rows, draws = rows_for(STEP, trials_of(EFFECT, SE)), 20_000
    assert _integrated(STEP, rows) == {"study_effect"}
    assert _integrated(PLAIN, rows) == {"study_effect", "intercept"}
    values = {"intercept": 0.2, "between_study": 0.3, "publication_probability": 0.4}
    values = {name: np.full(draws, value) for name, value in values.items()}
    drawn, _ = draw_coefficients(STEP, silenced(rows, 3), values, np.random.default_rng(1))
    own = drawn["study_effect"][:, 3]
    assert abs(own.mean()) < 4.5 * 0.3 / np.sqrt(draws)
    assert own.std() == pytest.approx(0.3, rel=0.03)


def test_replicated_effects_are_those_that_are_published():
    rng, size = np.random.default_rng(2), 20_000
    for mean, w in ((0.1, 0.2), (0.6, 0.7), (-0.5, 0.05)):
        found = published_effects(np.array([0.04]), np.full((size, 1), mean), np.full((size, 1), w), rng)[:, 0]
        y = rng.normal(mean, 0.2, 40 * size)
        kept = y[(y > CRITICAL * 0.2) | (rng.uniform(size=len(y)) < w)][:size]
        assert ks_2samp(found, kept).pvalue > 1e-3


def test_tables_of_several_rows_in_a_study_are_refused_by_name():
    table = table_of(EFFECT, SE)
    table.loc[[3, 7], "study"] = "Two arms"
    table["arm"] = np.arange(len(table)).astype(str)
    with pytest.raises(sd.ModelError, match=r"several in Two arms$"):
        prepare(STEP, sd.read_trials(table))


def selected_trials(rng, studies: int, mean: float, between: float, w: float) -> tuple[sd.Trials, np.ndarray]:
    """Published trials, and as many that were published whatever they found."""
    se = rng.uniform(0.1, 0.35, 40 * studies)
    effect = rng.normal(mean, np.hypot(between, se))
    published = (effect > CRITICAL * se) | (rng.uniform(size=len(se)) < w)
    kept = np.flatnonzero(published)[:studies]
    return trials_of(effect[kept], se[kept])


@pytest.mark.slow
def test_a_fit_agrees_with_quadrature_and_says_how_it_was_made(tmp_path, capsys):
    fit = sd.fit(STEP, trials_of(EFFECT, SE), seed=1, draws=3000, progress=True)
    assert "in PyMC: with selection" in capsys.readouterr().err
    assert not json.loads(fit.tree.attrs["settings"])["integrate"]
    mean, between = np.linspace(-3, 2, 200)[:, None, None], ((np.arange(80) + 0.5) / 80 * 1.8)[:, None]
    w = (np.arange(60) + 0.5) / 60
    log_p = norm.logpdf(mean) + norm.logpdf(between, 0, 0.5) + 0 * w
    for y, se in zip(EFFECT, SE, strict=True):
        log_p = log_p + np.log(selected_density(y, mean, np.hypot(se, between), se, w))
    p = np.exp(log_p - log_p.max())
    p /= p.sum()
    draws = np.column_stack([draws_of(fit, name) for name in ("intercept", "between_study", "publication_probability")])
    assert_joint(draws, np.array([(p * value).sum() for value in (mean, between, w)]))
    loaded = sd.load_fit(fit.save(tmp_path / "fit.nc"))
    again = loaded.refit(seed=2, priors={"publication_probability": sd.Prior("beta", alpha=500.0, beta=1.0)})
    plain = sd.fit(PLAIN, fit.trials, seed=2, progress=False)
    assert draws_of(again, "intercept").mean() == pytest.approx(draws_of(plain, "intercept").mean(), abs=0.02)


@pytest.mark.slow
def test_a_planted_selection_is_found():
    trials = selected_trials(np.random.default_rng(4), 150, 0.1, 0.15, 0.15)
    fit, naive = (sd.fit(model, trials, seed=1, progress=False) for model in (STEP, PLAIN))
    low, high = np.quantile(draws_of(fit, "intercept"), [0.025, 0.975])
    assert low < 0.1 < high
    assert np.quantile(draws_of(naive, "intercept"), 0.025) > 0.1
    low, high = np.quantile(draws_of(fit, "publication_probability"), [0.025, 0.975])
    assert low < 0.15 < high < 0.5


def test_simulated_studies_are_those_that_are_published():
    size, between, w = 4000, 0.5, 0.1
    design = trials_of(np.zeros(size), np.full(size, 0.2))
    truth = {"intercept": 0.0, "between_study": between, "publication_probability": w}
    found = sd.simulate_trials(STEP, design, truth, seed=1)
    effect = found.trials.table["effect"].to_numpy(float)
    rng = np.random.default_rng(3)
    study = rng.normal(0, between, 20 * size)
    y = study + rng.normal(0, 0.2, len(study))
    published = (y > CRITICAL * 0.2) | (rng.uniform(size=len(y)) < w)
    assert ks_2samp(effect, y[published]).pvalue > 1e-3
    of_study = found.truth["study_effect"].to_numpy()
    assert ks_2samp(of_study, study[published]).pvalue > 1e-3
    assert np.corrcoef(of_study, effect)[0, 1] == pytest.approx(np.corrcoef(study[published], y[published])[0, 1], abs=0.01)


def test_the_ranked_log_likelihood_is_that_of_what_is_published():
    rows = rows_for(STEP, trials_of(EFFECT, SE))
    values = {"intercept": 0.2, "between_study": 0.3, "publication_probability": 0.4}
    values = {name: np.array([value]) for name, value in values.items()}
    expected = np.log(selected_density(EFFECT, 0.2, np.hypot(SE, 0.3), SE, 0.4)).sum()
    assert log_likelihood(STEP, rows, values) == pytest.approx(expected)


def test_a_published_study_is_compared_with_what_is_published():
    rows, draws = rows_for(STEP, trials_of(EFFECT, SE)), 3
    rng = np.random.default_rng(6)
    values = {"intercept": np.array([0.2, -0.3, 0.6]), "between_study": np.array([0.3, 0.1, 0.5])}
    values["publication_probability"] = np.array([0.4, 0.05, 0.9])
    for s in (0, 3, 7):
        line, table = against_others(STEP, rows, s, values)
        kept = []
        for d in range(draws):
            y = rng.normal(values["intercept"][d], np.hypot(SE[s], values["between_study"][d]), 2_000_000)
            published = (y > CRITICAL * SE[s]) | (rng.uniform(size=len(y)) < values["publication_probability"][d])
            kept.append(y[published][:60_000])
        kept = np.concatenate(kept)
        low, high = np.quantile(kept, [0.025, 0.975])
        assert line["pit"] == pytest.approx((kept <= EFFECT[s]).mean(), abs=0.005)
        assert line["p"] == pytest.approx(2 * min((kept <= EFFECT[s]).mean(), (kept >= EFFECT[s]).mean()), abs=0.01)
        assert table["predicted"][0] == pytest.approx(kept.mean(), abs=0.006)
        assert (table["low"][0], table["high"][0]) == pytest.approx((low, high), abs=0.02)


@pytest.mark.slow
def test_published_trials_are_reproduced_where_selection_is_modelled():
    rng = np.random.default_rng(1)
    trials = selected_trials(rng, 60, 0.1, 0.3, 0.05)
    model = STEP.with_priors({"publication_probability": sd.Prior("beta", alpha=2.0, beta=20.0)})
    found = sd.check(sd.fit(model, trials, seed=1))
    assert found.verdict.startswith("reproduces these trials")
    assert kstest(found.tables["studies"]["pit"], "uniform").pvalue > 0.05
