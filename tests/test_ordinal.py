"""The ordinal likelihood: densities written out, brute force over a grid, symmetry, a known truth."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from pytensor.compile.mode import Mode
from scipy.stats import kstest, norm

import stimdose as sd
from stimdose import ordinal
from stimdose.calibration import log_likelihood as joint_log_likelihood
from stimdose.left_out import log_predictive
from stimdose.posterior import draw_coefficients, draw_prior, fitted, replicate, shown_effects
from stimdose.prior_influence import conflict
from stimdose.pymc_model import build_rows
from stimdose.rows import prepare, rows_of
from stimdose.simulation import prior_truth

LEVELS = np.array([0, 1, 1.5, 2, 3, 4])
CUTPOINTS = np.array([-1.4, -0.7, 0.0, 0.6, 1.5])


def ashworth(centres: int = 5, size: int = 12, seed: int = 1, slope: float = 1.0, between: float = 0.3) -> pd.DataFrame:
    """Children with MAS before and after; the latent benefit rises with the minutes, and falls with the score before."""
    rng, rows = np.random.default_rng(seed), []
    for centre in range(centres):
        shift = rng.normal(0, between)
        for child in range(size):
            minutes, before = rng.choice([0.0, 5, 10, 20, 30]), rng.choice(LEVELS[1:])
            benefit = slope * minutes / 20 - 0.5 * (before - 2) + shift + rng.standard_normal()
            after = LEVELS[(benefit < -CUTPOINTS).sum()]
            rows.append(
                {"study": f"Centre {centre}", "participant": f"{child}", "design": "participant", "direction": "lower"}
                | {"outcome": "MAS", "score_before": before, "score_after": after, "session_min": minutes}
                | {"severity": rng.choice(["mild", "severe"])}
            )
    return pd.DataFrame(rows)


def model_of(**fields) -> sd.Model:
    dose = sd.Dose(column="session_min", shape="linear", by_study=False)
    return sd.Model(**({"name": "levels", "likelihood": "ordinal", "dose": [dose]} | fields))


SEVERITY = sd.Moderator(column="severity", spread=sd.Prior("halfnormal", sigma=0.3))
BEFORE = sd.Moderator(column="score_before", center=2, per=1)


def prepared(model: sd.Model, table: pd.DataFrame):
    model, trials = prepare(model, sd.read_trials(table))
    return model, rows_of(model, trials)


def level_probability(after, eta, cutpoints, levels=LEVELS):
    """P(score after) where a lower score is better, written out."""
    inner = np.concatenate([[-np.inf], cutpoints, [np.inf]])
    k = int(np.flatnonzero(levels == after)[0])
    return norm.cdf(inner[k + 1] + eta) - norm.cdf(inner[k] + eta)


# --- the spec and the table ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"intercept": sd.Intercept()}, "no intercept .cutpoints are in its place"),
        ({"outcome_sd": 2.0}, "no outcome_sd"),
        ({"small_study": "pet"}, "no small_study"),
        ({"study_effects": "student-t"}, "no Student-t"),
        ({"dose": [sd.Dose(column="session_min", shape="linear")]}, "by_study = false"),
        ({"score_levels": (0, 2, 1)}, "that rise"),
        ({"likelihood": "normal", "intercept": sd.Intercept(), "score_levels": (0, 1)}, "state likelihood = 'ordinal'"),
    ],
)
def test_what_an_ordinal_model_does_not_have(fields, words):
    with pytest.raises(sd.ModelError, match=words):
        model_of(**fields)


def test_an_ordinal_model_survives_toml_and_tells_its_priors(tmp_path):
    model = model_of(score_levels=(0, 1, 1.5, 2, 3, 4), moderator=[BEFORE, SEVERITY])
    model.save(tmp_path / "m.toml")
    assert sd.load_model(tmp_path / "m.toml") == model
    assert not model.is_anchored
    assert model.freed() == model
    assert "Dirichlet" in sd.prior_table(model).loc["cutpoint", "why"]


def test_tables_that_are_not_of_levels():
    table = ashworth()
    arm = {"study": "T", "design": "within-group", "direction": "lower", "measure": "MC", "comparator": "none", "outcome": "MAS"}
    arm |= {"effect": -0.4, "se": 0.2, "session_min": 20}
    trials = sd.read_trials(pd.concat([table, pd.DataFrame([arm])], ignore_index=True))
    for fields in ({}, {"moderator": [BEFORE]}):  # whose empty cell in the row of the arm is none to fill in
        with pytest.raises(sd.ModelError, match="1 of 61 rows are not participants"):
            prepare(model_of(**fields), trials)
    assert len(prepare(model_of(moderator=[BEFORE]), trials, "drop")[1]) == 60
    with pytest.raises(sd.ModelError, match=r"scores 1\.5 are not among score_levels, which are 0, 1, 2, 3, 4"):
        prepare(model_of(score_levels=(0, 1, 2, 3, 4)), sd.read_trials(table))
    with pytest.raises(sd.ModelError, match="effects are in halves, which levels are not"):
        prepare(model_of(), sd.read_trials(table).in_units({"MAS": 0.5}, "halves"))
    model, rows = prepared(model_of(), table[table["score_after"] > 0])
    assert model.score_levels == tuple(LEVELS[1:])
    assert rows.scores.labels == ["1", "1.5", "2", "3", "4"]


# --- densities -------------------------------------------------------------------------------------------------------------------------


def test_log_probability_keeps_its_digits_in_both_tails():
    for low, high in ((-1.0, 0.5), (8.0, 9.0), (-9.0, -8.0), (-30.0, -29.0), (5.0, 80.0)):
        upper, lower = (high, low) if high < 0 else (-low, -high)  # by the lower tail, in logarithms
        expected = norm.logcdf(upper) + np.log1p(-np.exp(norm.logcdf(lower) - norm.logcdf(upper)))
        assert ordinal.log_probability(np.array(low), np.array(high)) == pytest.approx(expected, rel=1e-9)


def test_the_model_in_pymc_has_the_density_written_out():
    model, rows = prepared(model_of(moderator=[BEFORE]), ashworth(2, 6))
    assert list(rows.scores.levels) == sorted(set(rows.table["score_before"]) | set(rows.table["score_after"]))
    built = build_rows(model, rows)
    value = built.compile_fn(built.logp(), mode=Mode(linker="py", optimizer=None))
    rng = np.random.default_rng(2)
    differences = []
    for _ in range(4):
        cutpoints = np.sort(rng.normal(0, 1.2, len(rows.scores.levels) - 1))
        slope, of_before, between, z = rng.normal(0, 1), rng.normal(0, 1), rng.uniform(0.1, 1), rng.standard_normal(2)
        point = {"session_min_slope": slope, "score_before_effect": of_before, "between_study_log__": np.log(between)}
        point |= {"study_effect_z": z, "cutpoint_ordered__": np.concatenate([cutpoints[:1], np.log(np.diff(cutpoints))])}
        eta = slope * rows.table["session_min"] / 20 + of_before * (rows.table["score_before"] - 2) + (between * z)[rows.study]
        cells = zip(rows.table["score_after"], eta, strict=True)
        likelihood = sum(np.log(level_probability(after, e, cutpoints, rows.scores.levels)) for after, e in cells)
        priors = sum(
            model.priors()[name].distribution.logpdf(x) for name, x in (("session_min_slope", slope), ("between_study", between))
        )
        priors += model.priors()["score_before_effect"].distribution.logpdf(of_before) + norm.logpdf(z).sum() + np.log(between)
        priors += norm.logpdf(cutpoints).sum() + np.log(np.diff(cutpoints)).sum()
        differences.append(float(value(point)) - likelihood - priors)
    np.testing.assert_allclose(differences, differences[0], atol=1e-8)


def test_cutpoints_of_the_prior_divide_people_uniformly():
    """Shares of the levels at a benefit of 0 are Dirichlet(1, ..., 1): each is Beta(1, levels - 1)."""
    _, rows = prepared(model_of(), ashworth())
    cutpoints = ordinal.draw_cutpoints(rows.scores, 20_000, np.random.default_rng(1))
    shares = ordinal.probabilities(np.zeros(20_000), cutpoints)
    for share in shares.T:
        assert kstest(share, "beta", args=(1, 5)).pvalue > 1e-3


@pytest.mark.parametrize("between", [0.02, 0.4, 3.0])
def test_log_likelihood_by_study_integrates_over_its_effect(between):
    model, rows = prepared(model_of(moderator=[BEFORE]), ashworth(3, 40))
    values = {"session_min_slope": 0.8, "score_before_effect": -0.4, "between_study": between}
    values = {name: np.array([value]) for name, value in values.items()} | {"cutpoint": CUTPOINTS[None]}
    eta = 0.8 * rows.table["session_min"].to_numpy() / 20 - 0.4 * (rows.table["score_before"].to_numpy() - 2)
    drawn, found = draw_coefficients(model, rows, values, np.random.default_rng(1))
    assert drawn == {}
    u = np.linspace(-7, 7, 20_001) * between
    for s in range(3):
        own = np.flatnonzero(rows.study == s)
        total = norm.logpdf(u, 0, between)
        for i in own:
            with np.errstate(divide="ignore"):
                total = total + np.log(level_probability(rows.table["score_after"][i], eta[i] + u, CUTPOINTS))
        expected = np.logaddexp.reduce(total) + np.log(u[1] - u[0])
        assert found[0, s] == pytest.approx(expected, abs=1e-5)
    np.testing.assert_array_equal(log_predictive(model, rows, values)[0], found)
    assert joint_log_likelihood(model, rows, values)[0] == pytest.approx(found.sum())


def test_replicates_and_latent_benefits():
    model, rows = prepared(model_of(), ashworth(2, 3))
    draws = 40_000
    values = {
        "session_min_slope": np.full(draws, 0.7),
        "between_study": np.full(draws, 0.3),
        "study_effect": np.zeros((draws, 2)),
    }
    values |= {"cutpoint": np.tile(CUTPOINTS[: len(rows.scores.levels) - 1], (draws, 1))}
    after = rows.table["score_before"].to_numpy() - replicate(model, rows, values, np.random.default_rng(1))
    eta = fitted(model, rows, values)[0]
    levels = rows.scores.levels
    latent, _ = shown_effects(model, rows, {name: value[:1] for name, value in values.items()})
    for i in range(len(eta)):
        for level in levels:
            p = level_probability(level, eta[i], values["cutpoint"][0], levels)
            assert abs(np.isclose(after[:, i], level).mean() - p) < 5 * np.sqrt(p * (1 - p) / draws) + 1e-12
    rng = np.random.default_rng(2)
    drawn = eta + rng.standard_normal((400_000, len(eta)))
    category = (drawn[..., None] < -values["cutpoint"][0]).sum(axis=-1)
    for i, k in enumerate(rows.scores.category(rows.effect)):
        assert latent[i] == pytest.approx(drawn[category[:, i] == k, i].mean(), abs=0.02)


def test_turning_the_scale_changes_nothing():
    """Reversed scores with the other direction have the same levels from the best, changes and density."""
    table = ashworth()
    turned = table.assign(
        direction="higher", score_before=4 - table["score_before"], score_after=4 - table["score_after"], outcome="x"
    )
    (model, rows), (same, mirrored) = prepared(model_of(), table), prepared(model_of(), turned)
    np.testing.assert_allclose(rows.effect, mirrored.effect)
    np.testing.assert_array_equal(rows.scores.category(rows.effect), mirrored.scores.category(mirrored.effect))
    np.testing.assert_allclose(4 - rows.scores.levels, mirrored.scores.levels)
    values = draw_prior(model, rows, 5, np.random.default_rng(1))
    for of, at in ((model, rows), (same, mirrored)):
        values["found"] = draw_coefficients(of, at, values, np.random.default_rng(1))[1]
        np.testing.assert_allclose(values.setdefault("first", values["found"]), values["found"])


def test_simulated_scores_are_levels():
    model, _ = prepared(model_of(moderator=[BEFORE]), ashworth())
    truth = {"session_min_slope": 1.0, "score_before_effect": -0.5, "between_study": 0.2, "cutpoint": CUTPOINTS}
    simulated = sd.simulate_trials(model, sd.read_trials(ashworth()), truth, seed=1)
    assert set(simulated.trials.table["score_after"]) <= set(LEVELS)
    with pytest.raises(sd.StimdoseError, match="cutpoint must rise"):
        sd.simulate_trials(model, sd.read_trials(ashworth()), truth | {"cutpoint": CUTPOINTS[::-1]}, seed=1)


def test_simulated_scores_go_with_the_likelihood():
    """Simulation-based calibration on two centres of three children, the posterior by weights on draws of the prior: truths lie in it as they
    should, whatever they are."""
    model, rows = prepared(model_of(moderator=[BEFORE], score_levels=tuple(LEVELS)), ashworth(2, 3))
    draws = draw_prior(model, rows, 3000, np.random.default_rng(9))
    positions = []
    for k in range(150):
        rng = np.random.default_rng([5, k])
        truth = prior_truth(model, rows, rng)
        simulated = replace(rows, effect=replicate(model, rows, truth, rng)[0])
        weight = np.exp(ordinal.log_likelihood(model, simulated, draws).sum(axis=1))
        below = {
            name: draws[name] < truth[name] for name in ("session_min_slope", "score_before_effect", "between_study", "cutpoint")
        }
        positions.append(weight @ np.column_stack(list(below.values())) / weight.sum())
    for position in np.transpose(positions):
        assert kstest(position, "uniform").pvalue > 1e-3


# --- fits ------------------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny_fit() -> sd.Fit:
    """One coefficient, two cutpoints, hardly any heterogeneity."""
    table = ashworth(4, 10, between=0.0)
    table["score_after"] = np.where(table["score_after"] < 1.5, 1, np.where(table["score_after"] < 3, 2, 3))
    table["score_before"] = 2
    prior = sd.Prior("lognormal", mu=np.log(0.1), sigma=0.05)
    model = model_of(between_study=prior)
    return sd.fit(model, sd.read_trials(table), seed=1, draws=2000, progress=False)


@pytest.mark.slow
def test_a_tiny_fit_is_that_of_brute_force(tiny_fit):
    rows = tiny_fit.rows
    slope, low, high = np.meshgrid(np.linspace(-1.5, 3, 61), np.linspace(-4, 2.5, 61), np.linspace(-2.5, 4, 61), indexing="ij")
    place = low < high
    cutpoints = np.column_stack([low[place], high[place]])
    values = {"session_min_slope": slope[place], "between_study": np.full(place.sum(), 0.1), "cutpoint": cutpoints}
    density = ordinal.log_likelihood(tiny_fit.model, rows, values).sum(axis=1)
    density += tiny_fit.model.priors()["session_min_slope"].distribution.logpdf(slope[place]) + norm.logpdf(cutpoints).sum(axis=1)
    weight = np.exp(density - density.max())
    draws = tiny_fit.values()
    for name, x in (("session_min_slope", slope[place]), (0, cutpoints[:, 0]), (1, cutpoints[:, 1])):
        drawn = draws["cutpoint"][:, name] if isinstance(name, int) else draws[name]
        mean = np.average(x, weights=weight)
        spread = np.sqrt(np.average((x - mean) ** 2, weights=weight))
        assert abs(drawn.mean() - mean) < 0.08 * spread
        assert drawn.std() == pytest.approx(spread, rel=0.06)


@pytest.mark.slow
def test_answers_of_an_ordinal_fit(tiny_fit, tmp_path):
    assert tiny_fit.diagnosis.converged
    probabilities = sd.category_probabilities(tiny_fit, "session_min", grid=np.array([0.0, 10, 30]))
    assert probabilities.dims == ("chain", "draw", "session_min", "score")
    assert probabilities["score"].values.tolist() == [1, 2, 3]
    np.testing.assert_allclose(probabilities.sum("score"), 1)
    first = tiny_fit.values()
    eta, cutpoints = first["session_min_slope"][0] * np.array([0, 10, 30]) / 20, first["cutpoint"][0]
    for k, level in enumerate((1, 2, 3)):
        expected = level_probability(level, eta, cutpoints, np.array([1, 2, 3]))
        np.testing.assert_allclose(probabilities.values[0, 0, :, k], expected)
    found = sd.optimum(tiny_fit, "session_min")
    assert found.verdict
    assert "latent" in sd.curve(tiny_fit, "session_min").attrs["effect_label"]
    left_out = sd.leave_one_study_out(tiny_fit)
    assert np.isfinite(left_out.table["elpd"]).all()
    assert len(sd.points(tiny_fit, "session_min")) == len(sd.study_effects(tiny_fit)) == 40
    assert "cutpoint" in tiny_fit.prior_table().index
    loaded = sd.load_fit(tiny_fit.save(tmp_path / "fit.nc"))
    np.testing.assert_array_equal(sd.curve(loaded, "session_min"), sd.curve(tiny_fit, "session_min"))
    for refused in (sd.check, sd.marginal_likelihood):
        with pytest.raises(sd.StimdoseError, match=r"ordinal|explicit"):
            refused(tiny_fit)
    assert json.loads(tiny_fit.tree.attrs["settings"])["integrate"] is False
    assert (
        conflict(tiny_fit)[["observed", "prior_low", "prior_high"]].notna().all(axis=None)
    )  # people have no precision to weigh by


@pytest.mark.slow
def test_a_known_truth_is_recovered():
    table = ashworth(12, 40, seed=3)
    fit = sd.fit(model_of(moderator=[BEFORE]), sd.read_trials(table), seed=2, progress=False)
    draws = fit.values()
    truth = {"session_min_slope": 1.0, "score_before_effect": -0.5, "between_study": 0.3}
    for name, value in truth.items():
        low, high = np.quantile(draws[name], [0.005, 0.995])
        assert low < value < high
        assert high - low < 1.0
    low, high = np.quantile(draws["cutpoint"], [0.005, 0.995], axis=0)
    assert ((low < CUTPOINTS) & (high > CUTPOINTS)).all()


def test_the_terminal_prints_the_probability_of_each_level(run, tiny_fit, tmp_path):
    path = tiny_fit.save(tmp_path / "fit.nc")
    code, out, _ = run("categories", str(path), "session_min", "--range", "5", "20", "--json", "-o", str(tmp_path))
    assert code == 0
    rows = pd.DataFrame(json.loads(out)["tables"]["categories"])
    assert rows["mean"].groupby(rows["session_min"]).sum().to_numpy() == pytest.approx(np.ones(5))
    found = sd.category_probabilities(tiny_fit, "session_min", over=(5, 20), size=5).mean(("chain", "draw"))
    np.testing.assert_allclose(rows["mean"], found.values.ravel())
    assert (tmp_path / "categories-session_min.csv").exists()
