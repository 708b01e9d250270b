"""Fit: what it holds, that it is reproducible, saved whole, and read back equal."""

import json
import os
from pathlib import Path

import arviz as az
import numpy as np
import pandas as pd
import pytest
from conftest import make_table
from scipy.stats import norm

import stimdose as sd
from stimdose.posterior import true_effects
from stimdose.rows import rows_of


@pytest.mark.filterwarnings("ignore:Estimated shape parameter of Pareto")  # one of twenty studies may be influential
def test_the_tree_holds_what_arviz_expects(bell_fit):
    assert set(bell_fit.tree.children) == {
        "posterior",
        "prior",
        "posterior_predictive",
        "log_likelihood",
        "observed_data",
        "constant_data",
        "sample_stats",
    }
    assert bell_fit.tree["log_likelihood"]["effect"].dims == ("chain", "draw", "study")
    loo = az.loo(bell_fit.tree)
    assert loo.n_data_points == bell_fit.trials.table["study"].nunique()
    assert bell_fit.diagnosis.converged, bell_fit.diagnosis.message
    attrs = bell_fit.tree.attrs
    assert attrs["trials_sha256"] == bell_fit.trials.fingerprint
    assert attrs["seed"] == 11
    assert json.loads(attrs["versions"])["pymc"]


def test_names_are_those_of_the_design(bell_fit):
    names = set(bell_fit.tree["posterior"].data_vars)
    assert {
        "intercept",
        "intercept_by_phase",
        "intercept_between_phase",
        "between_study",
        "within_study",
        "frequency_hz_peak",
        "frequency_hz_amplitude",
        "sessions_slope",
        "sessions_slope_by_phase",
        "sessions_slope_between_phase",
        "sessions_slope_between_study",
        "site_effect",
        "between_site",
        "study_effect",
    } <= names
    assert not [name for name in names if name.endswith(("_z", "_position"))]


def test_a_saved_fit_gives_the_same_numbers(bell_fit, tmp_path):
    path = bell_fit.save(tmp_path / "fit.nc")
    again = sd.load_fit(path)
    assert again.model == bell_fit.model
    assert again.summary().equals(bell_fit.summary())
    assert again.trials.fingerprint == bell_fit.trials.fingerprint
    assert again.diagnosis.table.equals(bell_fit.diagnosis.table)
    for kind in ("mean", "new study"):
        np.testing.assert_array_equal(
            sd.curve(again, "sessions", by="phase", kind=kind), sd.curve(bell_fit, "sessions", by="phase", kind=kind)
        )
    assert sd.study_effects(again).equals(sd.study_effects(bell_fit))
    assert again.tree.attrs == bell_fit.tree.attrs


@pytest.mark.filterwarnings("ignore::stimdose.ConvergenceWarning")  # a short run, for its names only
def test_any_column_and_any_group_name_survives_a_fit_and_its_file(tmp_path):
    """Names that end like internal ones, columns with a slash, numbers as groups."""
    table = make_table().rename(columns={"phase": "coil_position", "site": "pilot_study"})
    table["sham/control"] = table["site_z"] = "a, \u4e2d/\u6587"
    table["clinic"] = np.arange(len(table)) % 11 + 1
    model = sd.Model(
        name="names",
        intercept=sd.Intercept(by="coil_position"),
        dose=[sd.Dose(column="sessions", shape="emax", by="pilot_study")],
        moderator=[sd.Moderator(column="clinic", spread=sd.Prior("halfnormal", sigma=0.3))],
    )
    fit = sd.fit(model.replace(moderator=()), sd.read_trials(table), seed=1, draws=300, tune=300, chains=2)
    again = sd.load_fit(fit.save(tmp_path / "fit.nc"))
    assert again.trials.table.equals(fit.trials.table)
    assert sd.curve(again, "sessions", by="pilot_study").equals(sd.curve(fit, "sessions", by="pilot_study"))
    assert (path := tmp_path / "fit.nc").stat().st_mode & 0o044 == 0o666 & ~umask() & 0o044, path
    rows = rows_of(
        model.replace(moderator=[sd.Moderator(column="clinic", spread=sd.Prior("halfnormal", sigma=0.3))]), sd.read_trials(table)
    )
    assert rows.levels["clinic"][:3] == ["1", "2", "3"]
    assert rows.levels["clinic"][-1] == "11"


def umask() -> int:
    found = os.umask(0)
    os.umask(found)
    return found


def test_an_anchored_fit_keeps_its_free_intercept(strata_fit, tmp_path):
    again = sd.load_fit(strata_fit.save(tmp_path / "fit.nc"))
    assert again.more_is_better().equals(strata_fit.more_is_better())


def test_a_save_that_fails_leaves_the_old_file(bell_fit, tmp_path, monkeypatch):
    path = tmp_path / "fit.nc"
    path.write_bytes(b"what was there before")

    def full(*args):
        raise OSError("no space left on device")

    monkeypatch.setattr("stimdose.files.os.replace", full)
    with pytest.raises(sd.FitError, match=r"cannot write .* no space"):
        bell_fit.save(path)
    assert path.read_bytes() == b"what was there before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"", b"not netCDF", None])
def test_files_that_are_not_fits(bell_fit, tmp_path, content):
    path = tmp_path / "fit.nc"
    if content is None:
        whole = bell_fit.save(path).read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    else:
        path.write_bytes(content)
    with pytest.raises(sd.FitError, match="not a saved fit"):
        sd.load_fit(path)
    with pytest.raises(sd.FitError, match="no file"):
        sd.load_fit(tmp_path / "other.nc")
    with pytest.raises(sd.FitError, match="cannot write"):
        bell_fit.save(tmp_path / "no" / "folder.nc")


def test_prior_draws_follow_the_priors(bell_fit):
    prior = bell_fit.values("prior")
    for name, spec in bell_fit.model.priors().items():
        if name in prior:
            u = spec.distribution.cdf(prior[name])
            assert abs(u.mean() - 0.5) < 4.5 / np.sqrt(12 * len(u)), name
    z = (prior["sessions_slope_by_phase"] - prior["sessions_slope"][:, None]) / prior["sessions_slope_between_phase"][:, None]
    assert abs(z.std() - 1) < 0.07


def test_prior_curves_come_from_the_same_formula(bell_fit):
    curve = sd.curve(bell_fit, "frequency_hz", group="prior")
    assert curve.sizes["draw"] == 1000
    assert float(curve.std()) > float(sd.curve(bell_fit, "frequency_hz").std())


def test_shrunken_effects_lie_between_report_and_model(bell_fit):
    table = sd.study_effects(bell_fit)
    assert len(table) == len(bell_fit.trials)
    shrink = (table["shrunken"] - table["effect"]).abs()
    assert (table["shrunken_high"] - table["shrunken_low"] < table["high"] - table["low"]).all()
    assert shrink.mean() > 0.02
    pooled, prediction = table.attrs["pooled"], table.attrs["prediction"]
    assert prediction["low"] < pooled["low"] < pooled["mean"] < pooled["high"] < prediction["high"]
    np.testing.assert_allclose(table["high"] - table["low"], 2 * norm.ppf(0.975) * np.sqrt(bell_fit.rows.variance))


def test_a_forest_table_is_grouped_in_the_order_of_the_vocabulary(bell_fit):
    table = sd.study_effects(bell_fit, group="phase")
    assert list(dict.fromkeys(table["group"])) == ["acute", "subacute", "chronic"]
    plain = sd.study_effects(bell_fit).set_index("label")["shrunken"]
    assert table.set_index("label")["shrunken"].to_dict() == plain.to_dict()


def test_true_effects_of_one_draw_have_the_closed_form_mean_and_variance(bell_fit):
    """By hand: m = X beta + Z u, then effect | y ~ N(m + k (y - m), k v) with k = w^2 / (w^2 + v)."""
    rows, n = bell_fit.rows, 20_000
    one = {name: value[123] for name, value in bell_fit.values().items()}
    table = rows.table
    phase, site = (
        table[name].map({level: k for k, level in enumerate(rows.levels[name])}).to_numpy() for name in ("phase", "site")
    )
    bell = np.exp(-0.5 * (np.log(table["frequency_hz"].to_numpy() / one["frequency_hz_peak"]) / one["frequency_hz_width"]) ** 2)
    gain = np.log2(1 + table["sessions"].to_numpy() / 10)
    m = one["intercept_by_phase"][phase] + one["site_effect"][site] + one["study_effect"][rows.study]
    m = m + (one["frequency_hz_amplitude"] + one["frequency_hz_amplitude_study_effect"][rows.study]) * bell
    m = m + (one["sessions_slope_by_phase"][phase] + one["sessions_slope_study_effect"][rows.study]) * gain
    k = one["within_study"] ** 2 / (one["within_study"] ** 2 + rows.variance)
    repeated = {name: np.repeat(np.asarray(value)[None], n, axis=0) for name, value in one.items()}
    draws = true_effects(bell_fit.model, rows, repeated, np.random.default_rng(0))
    z = (draws.mean(0) - (m + k * (rows.effect - m))) / np.sqrt(k * rows.variance / n)
    assert np.abs(z).max() < 4.5
    np.testing.assert_allclose(draws.var(0), k * rows.variance, rtol=0.06)


def test_one_row_per_study_needs_no_within_study_level_and_no_slopes():
    table = make_table().drop_duplicates("study")
    rows = sd.read_trials(table)
    from stimdose.pymc_model import build

    names = {v.name for v in build(sd.load_model("frequency-bell"), rows).free_RVs}
    assert "within_study" not in names
    assert "frequency_hz_amplitude_between_study" not in names


def test_build_returns_a_plain_pymc_model(bell_model, trials):
    import pymc as pm

    explicit = sd.build(bell_model, trials, integrate=False)
    assert isinstance(explicit, pm.Model)
    truth = pm.do(explicit, {"frequency_hz_peak": 12.0, "between_study": 0.1})
    assert "frequency_hz_peak" not in [v.name for v in truth.free_RVs]
    assert pm.draw(explicit["effect_observed"], draws=2, random_seed=1).shape == (2, len(trials))


def test_a_seed_gives_the_same_posterior_under_every_python_up_to_monte_carlo_error(bell_fit):
    """Of Python 3.13 with the versions of constraints.txt; with the same versions of numpy, numba and nutpie the draws are the same."""
    stored = pd.read_csv(Path(__file__).parent / "oracles" / "seeded_fit.csv", index_col="parameter")
    found = bell_fit.summary()
    assert list(found.index) == list(stored.index)
    errors = [table["sd"] / np.sqrt(table["ess_bulk"]) for table in (found, stored)]
    assert (abs(found["mean"] - stored["mean"]) < 4.5 * np.hypot(*errors)).all()
    np.testing.assert_allclose(found["sd"], stored["sd"], rtol=0.15)
