"""Simulation-based calibration: that uniform ranks pass and others do not, that models are calibrated, and that a planted mistake is seen."""

import itertools
import re
from math import factorial
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from conftest import benchmark_module, make_table

import stimdose as sd
from stimdose import calibration, encoding, figures, uniformity
from stimdose.posterior import draw_prior
from stimdose.results import dataset

POOLED = sd.load_model("pooled")


def made(position: np.ndarray, names: list[str], r_hat=1.0, ess=500.0) -> sd.Calibration:
    """A calibration with these positions (simulations, quantities); posterior sd 0.5, truths of sd 1."""
    rng, both, size = np.random.default_rng(3), ("simulation", "quantity"), len(position)
    ranks = xr.Dataset(
        {
            "position": (both, position),
            "rank": (both, (100 * position).astype(int)),
            "truth": (both, rng.standard_normal(position.shape)),
            "sd": (both, np.full(position.shape, 0.5)),
            "r_hat": ("simulation", np.broadcast_to(r_hat, size)),
            "ess": ("simulation", np.broadcast_to(ess, size)),
        },
        {"simulation": np.arange(size), "quantity": names},
    )
    return sd.Calibration(POOLED, sd.read_trials(make_table(4)), ranks, 1, {})


def uniform(size: int, quantities: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(size=(size, quantities))


def test_the_band_holds_a_uniform_ecdf_as_often_as_it_says():
    """Against every possible sample of six, counted by cells between the points."""
    size = 6
    low, high = uniformity.band(size, 0.95)
    inside = 0.0
    for cells in itertools.product(range(size + 1), repeat=size):
        if sum(cells) == size:
            ecdf = np.cumsum(cells)[:-1] / size
            ways = factorial(size) / np.prod([factorial(count) for count in cells])
            inside += ways * bool(((ecdf >= low - 1e-9) & (ecdf <= high + 1e-9)).all()) / size**size
    assert inside == pytest.approx(0.95, abs=0.02)  # a sample of six takes few values


@pytest.mark.parametrize("size", [40, 200])
def test_p_values_of_uniform_ranks_are_uniform_and_agree_with_the_band(size):
    position = uniform(size, 2000)
    p = uniformity.p_values(position)
    for level in (0.01, 0.05, 0.5):
        assert (p < level).mean() == pytest.approx(level, abs=4.5 * np.sqrt(level * (1 - level) / 2000))
    low, high = uniformity.band(size, 0.95)
    ecdf = uniformity.ecdf(position)
    outside = ((ecdf < low[:, None] - 1e-9) | (ecdf > high[:, None] + 1e-9)).any(axis=0)
    assert (outside == (p < 0.05)).mean() > 0.995


def test_holm_and_coverage_are_those_of_the_books():
    np.testing.assert_allclose(uniformity.holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])
    share, low, high = uniformity.coverage(np.array([[0.1], [0.3], [0.5], [0.7], [0.99]]), 0.5)
    assert share == 0.6
    np.testing.assert_allclose([low[0], high[0]], [0.1466, 0.9473], atol=1e-4)  # Clopper and Pearson, 3 of 5


def test_the_verdict_allows_for_the_number_of_quantities():
    p = uniformity.p_values(uniform(100, 2000)).reshape(100, 20)
    assert sum(uniformity.holm(of_one).min() < 0.05 for of_one in p) <= 12  # 5 are expected; 13 or more is a chance of 1e-3
    position = uniform(200, 20)
    position[:, 7] **= 1.5
    found = made(position, [f"quantity {k}" for k in range(20)])
    assert found.verdict == "not calibrated: quantity 7"
    assert found.table.loc["quantity 7", "deviation"] > 0.1  # small ranks
    assert found.explanation.startswith("not calibrated: quantity 7.\n200 simulations of pooled on <Trials: ")


def test_the_table_says_coverage_and_contraction():
    position = 0.5 + (uniform(400, 2) - 0.5) * [1.0, 0.6]
    table = made(position, ["good", "log-likelihood"]).table
    assert table.loc["good", ["coverage_50", "coverage_95"]].tolist() == pytest.approx([0.5, 0.95], abs=0.08)
    assert table.loc["log-likelihood", "coverage_50"] == pytest.approx(0.5 / 0.6, abs=0.08)
    assert (table["coverage_50_low"] < table["coverage_50"]).all()
    assert table.loc["good", "contraction"] == pytest.approx(0.75, abs=0.08)
    assert np.isnan(table.loc["log-likelihood", "contraction"])


def test_fits_that_did_not_converge_are_counted_and_said():
    r_hat = np.where(np.arange(50) < 3, 1.2, 1.0)
    found = made(uniform(50, 2), ["a", "b"], r_hat, np.where(np.arange(50) == 4, 100.0, 500.0))
    assert found.failed == 4
    assert found.explanation.startswith("Warning: 4 of 50 fits did not converge")
    assert not made(uniform(50, 2), ["a", "b"]).fit_warning


def test_the_log_likelihood_is_that_of_the_fit(bell_fit, strata_fit):
    for fit in (bell_fit, strata_fit):
        found = calibration.log_likelihood(fit.model, fit.rows, {name: value[::40] for name, value in fit.values().items()})
        stored = fit.tree["log_likelihood"]["effect"].values.sum(axis=-1).reshape(-1)[::40]
        np.testing.assert_allclose(found, stored, rtol=1e-9)


def test_what_is_ranked(bell_fit):
    found = calibration.quantities(bell_fit.model, bell_fit.rows, bell_fit.values())
    assert {"intercept_by_phase[acute]", "site_effect[nerve]", "between_study", "best sessions[chronic]"} <= set(found)
    assert not [name for name in found if "study_effect" in name]
    peak, inside = bell_fit.values()["frequency_hz_peak"], (found["frequency_hz_peak"] > 1.1) & (found["frequency_hz_peak"] < 45)
    np.testing.assert_allclose(found["best frequency_hz"][inside], peak[inside], rtol=0.01)
    best = sd.optimum(bell_fit, "frequency_hz", size=101).draws["effect_at_best"].values.ravel()
    np.testing.assert_allclose(found["effect at best frequency_hz"], best, rtol=1e-9)


def test_ties_are_broken_by_chance():
    rng = np.random.default_rng(0)
    ranks = [calibration._rank(1.0, np.array([0.0, 1.0, 1.0, 2.0]), rng) for _ in range(3000)]
    assert set(ranks) == {1, 2, 3}
    assert np.bincount(ranks)[1:].min() > 880  # 1000 expected, sd 26


SMALL = {"simulations": 40, "seed": 1, "progress": False}


@pytest.fixture(scope="module")
def design() -> sd.Trials:
    return sd.read_trials(make_table(12))


def test_a_model_is_calibrated(design):
    found = sd.calibrate(POOLED, design, **SMALL)
    assert found.verdict == "calibrated"
    assert found.failed <= 1
    assert set(found.table.index) == {"intercept", "between_study", "within_study", "log-likelihood"}
    assert found.table.loc["intercept", "contraction"] > 0.5


def test_effects_that_are_simulated_wrongly_are_seen(design, monkeypatch):
    right = calibration.replicate
    monkeypatch.setattr(calibration, "replicate", lambda *arguments: 1.6 * right(*arguments))
    found = sd.calibrate(POOLED, design, **SMALL)
    assert found.verdict.startswith("not calibrated: ")
    assert found.table.loc["between_study", "deviation"] > 0  # posteriors lie too high


def test_truths_from_another_prior_are_seen(design, monkeypatch):
    wide, right = POOLED.with_priors({"intercept": sd.Prior("normal", mu=0.8, sigma=1.0)}), calibration.prior_truth
    monkeypatch.setattr(calibration, "prior_truth", lambda model, rows, rng: right(wide, rows, rng))
    found = sd.calibrate(POOLED.with_priors({"intercept": sd.Prior("normal", mu=0, sigma=0.1)}), design, **SMALL)
    assert "intercept" in found.verdict


def test_a_posterior_that_takes_nothing_from_the_data_is_seen_by_the_log_likelihood_alone(design, monkeypatch):
    shape = (2, 700)

    def sample(model, rows, seed, settings, progress):
        return draw_prior(model, rows, 1400, np.random.default_rng(seed)), {"diverging": np.zeros(shape, bool)}

    def complete(model, rows, values, shape, rng):
        return dataset(model, rows, values, shape), None

    monkeypatch.setattr(calibration, "sample", sample)
    monkeypatch.setattr(calibration, "complete", complete)
    found = sd.calibrate(POOLED, design, **SMALL)
    assert found.verdict == "not calibrated: log-likelihood"


def test_a_folder_keeps_what_is_done_and_the_seed_decides(design, tmp_path, monkeypatch):
    few = SMALL | {"simulations": 10, "folder": tmp_path}
    first = sd.calibrate(POOLED, design, **few)
    assert len(list(tmp_path.glob("*.json"))) == 10
    monkeypatch.setattr(calibration, "sample", None)
    again = sd.calibrate(POOLED, design, **few)
    assert again.ranks.equals(first.ranks)
    with pytest.raises(sd.BatchError):
        sd.calibrate(POOLED, design, **few | {"seed": 2})


def test_what_cannot_be_calibrated_is_refused(design):
    with pytest.raises(sd.FitError, match=r"no setting 'draw' \(did you mean 'draws'"):
        sd.calibrate(POOLED, design, draw=100)
    with pytest.raises(sd.FitError, match="whole number from 10"):
        sd.calibrate(POOLED, design, simulations=3)
    with pytest.raises(sd.FitError, match="ranked among 99 draws"):
        sd.calibrate(POOLED, design, draws=10)
    table = make_table().assign(
        modality="rTMS", sessions=[">10" if k % 3 == 0 else "8" if k % 3 == 1 else "12" for k in range(30)]
    )
    model = sd.Model(name="sessions", intercept=sd.Intercept(), dose=[sd.Dose(column="sessions", shape="linear")])
    with pytest.raises(sd.StimdoseError, match="sessions before any effect is seen cannot be drawn exactly"):
        sd.calibrate(model, sd.read_trials(table), missing="impute")


def test_the_figure_draws_what_the_table_says():
    import matplotlib.pyplot as plt

    position = uniform(100, 4)
    position[:, 2] **= 2
    found = made(
        position, ["intercept", "between_study", "frequency_hz_amplitude_between_study[unaffected]", "log-likelihood"], 1.2
    )
    axes = figures.calibration(found, labels={"intercept": "Level"})
    assert [ax.get_title().replace("\n", "") for ax in axes] == ["Level", *found.table.index[1:]]
    curves = found.ecdf()
    for k, ax in enumerate(axes):
        (line,) = (artist for artist in ax.lines if artist.get_label() == "_difference")
        np.testing.assert_allclose(line.get_ydata()[1:-1], curves["difference"].values[:, k])
        assert line.get_ydata()[[0, -1]].tolist() == [0, 0]
        assert (line.get_color() == figures.style.RED) == (k == 2)
        (band,) = (artist for artist in ax.collections if artist.get_label() == "_band")
        heights = band.get_paths()[0].vertices[:, 1]
        assert heights.max() == pytest.approx(float(curves["high"].max()))
        assert heights.min() == pytest.approx(float(curves["low"].min()))
        assert ax.get_ylim()[1] >= np.abs(line.get_ydata()).max()
    assert "100 of 100 fits did not converge" in axes[0].figure.get_suptitle()
    assert "Verdict: not calibrated: frequency_hz_amplitude_between_study[unaffected]" in axes[0].figure.get_suptitle().replace(
        "\n", " "
    )
    own = plt.subplots(2, 2)[1]
    assert figures.calibration(found, ax=own)[3] is own[1, 1]
    with pytest.raises(ValueError, match="needs 4 Axes, got 1"):
        figures.calibration(found, ax=own[0, 0])
    plt.close("all")


def test_the_benchmark_names_every_shipped_model(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    module = benchmark_module("calibration")
    assert set(module.DESIGNS) == set(sd.models().index)


def misstated(name: str, factor: float):
    """The prior of a standard deviation, wider or narrower by a factor."""

    def change(program, layout):
        first = program.sampled.first.copy()
        first[layout.sampled[name]] *= factor
        return program._replace(sampled=program.sampled._replace(first=first))

    return change


def twice_the_jacobian(name: str):
    """The density times a log-normal parameter: N(mu + sigma^2, sigma) is N(mu, sigma) times exp(x)."""

    def change(program, layout):
        first, place = program.sampled.first.copy(), layout.sampled[name]
        first[place] += program.sampled.second[place] ** 2
        return program._replace(sampled=program.sampled._replace(first=first))

    return change


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mistake", "at"),
    [(None, None), (misstated("within_study", 1 / 3), "within_study"), (twice_the_jacobian("sessions_ed50"), "sessions_ed50")],
    ids=["no mistake", "a prior constant", "a factor too many"],
)
def test_a_mistake_in_the_density_is_seen(mistake, at, monkeypatch):
    """With missing doses, which are parameters."""
    table = make_table().assign(modality=["iTBS", "rTMS"] * 15)
    table["sessions"] = table["sessions"].where(np.arange(len(table)) % 3 != 0)
    model = sd.Model(name="imputed", intercept=sd.Intercept(), dose=[sd.Dose(column="sessions", shape="emax")])
    if mistake:
        right = encoding.encode

        def encode(model, rows):
            program, layout = right(model, rows)
            return mistake(program, layout), layout

        monkeypatch.setattr(encoding, "encode", encode)
    found = sd.calibrate(model, sd.read_trials(table, missing="keep"), simulations=100, seed=1, missing="impute", progress=False)
    print(found.table.round(3).to_string(), found.explanation)
    if mistake:
        assert at in found.verdict
    else:
        assert found.verdict == "calibrated"
        assert found.failed <= 3


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::stimdose.ConvergenceWarning")  # the example of the page is short
def test_the_code_of_the_page_runs(tmp_path, monkeypatch, capsys):
    text = (Path(__file__).parents[1] / "docs" / "calibration.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    names = {}
    for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(code, "calibration", "exec"), names)
    printed = capsys.readouterr().out
    assert printed.startswith("calibrated.\n40 simulations of pooled")
    assert "synthetic: the effects are simulated from the model 'pooled', the truth stated, seed 1" in printed
    assert (tmp_path / "calibration-pooled.png").exists()
    assert len(names["plan"].table) == 6
