"""Curves and optima along protocol paths, and in a group not seen: physics holds at every point, answers are written by hand."""

import itertools
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from conftest import make_table

import stimdose as sd
from stimdose.diagnosis import Diagnosis

TIED = ("frequency_hz", "session_min", "pulses_per_session")
PAIRS = list(itertools.permutations(TIED, 2))
SHAPES = {"frequency_hz": "bell", "session_min": "log-linear", "pulses_per_session": "log-linear"}


def table(rows: int = 24, duty: float = 0.25) -> pd.DataFrame:
    """Trials that print all three doses; most of them at one duty cycle, some at a half of it, and one of bursts."""
    rng = np.random.default_rng(2)
    frequency, minutes = rng.choice([1.0, 5, 10, 20, 40], rows), rng.choice([10.0, 20, 30], rows)
    share = np.where(np.arange(rows) % 4 == 0, duty / 2, duty)
    found = make_table(rows).iloc[:rows].assign(modality="rTMS", frequency_hz=frequency, session_min=minutes)
    found = found.assign(pulses_per_session=60 * frequency * minutes * share)
    found.loc[found.index[-1], ["modality", "frequency_hz", "session_min", "pulses_per_session"]] = ["iTBS", 5, 3.2, 600]
    return found


def fit_by_hand(*columns: str, draws: int = 400, by: str | None = None, trials: sd.Trials | None = None) -> sd.Fit:
    """A fit of these doses whose draws are made, not sampled: best at about 12 Hz, rising with minutes, falling with pulses."""
    rng = np.random.default_rng(5)
    model = sd.Model(
        name="by hand", intercept=sd.Intercept(), dose=[sd.Dose(column=c, shape=SHAPES[c], by_study=False) for c in columns]
    )
    posterior = {
        "intercept": rng.normal(0.1, 0.02, draws),
        "between_study": np.full(draws, 0.1),
        "within_study": np.full(draws, 0.1),
        "frequency_hz_amplitude": rng.normal(0.9, 0.05, draws),
        "frequency_hz_peak": 12 * np.exp(rng.normal(0, 0.1, draws)),
        "frequency_hz_width": np.full(draws, 0.5),
        "session_min_slope": rng.normal(0.3, 0.02, draws),
        "pulses_per_session_slope": rng.normal(-0.3, 0.02, draws),
    }
    prior = {name: rng.permutation(values) for name, values in posterior.items()}
    prior["frequency_hz_peak"] = np.exp(rng.normal(2, 1.5, draws))
    prior |= {name: rng.normal(0, 1, draws) for name in ("session_min_slope", "pulses_per_session_slope")}
    trees = {
        group: xr.Dataset(
            {name: (("chain", "draw"), value.reshape(4, -1)) for name, value in values.items()},
            {"chain": range(4), "draw": range(draws // 4)},
        )
        for group, values in (("posterior", posterior), ("prior", prior))
    }
    tree = xr.DataTree.from_dict(trees)
    tree.attrs |= {"seed": 3, "settings": json.dumps({"missing": "error"})}
    checks = pd.DataFrame({"r_hat": [1.0], "ess_bulk": 4000.0, "ess_tail": 4000.0})
    return sd.Fit(model, trials or sd.read_trials(table()), tree, Diagnosis(checks, 0, draws))


@pytest.fixture(scope="module")
def fit() -> sd.Fit:
    return fit_by_hand(*TIED)


@pytest.mark.parametrize(("column", "fixed"), PAIRS)
def test_pulses_are_hz_times_seconds_times_duty_at_every_point(fit, column, fixed):
    for source, path in [(s, sd.protocol_path(s, column, fixed=fixed)) for s in (fit, fit.trials)]:
        assert path.sizes == {column: 201}
        pulses = path["frequency_hz"] * 60 * path["session_min"] * path["duty_cycle"]
        np.testing.assert_allclose(pulses, path["pulses_per_session"], rtol=1e-12)
        assert float(path["duty_cycle"]) == pytest.approx(0.25, rel=1e-12)  # the median of rows, without the bursts
        assert float(path[fixed]) == pytest.approx(
            float(np.median(source.table[fixed] if source is fit.trials else fit.trials.table[fixed]))
        )
        values = fit.trials.table[column]
        assert path[column].values[[0, -1]].tolist() == [values.min(), values.max()]
        (follower,) = set(TIED) - {column, fixed}
        assert path.attrs["held"].endswith(f"{follower} follows (duty 0.25)")
        assert "the median of 23 rows, from 0.125 to 0.25" in path.attrs["remarks"]


@pytest.mark.parametrize("column", TIED)
def test_with_both_others_fixed_the_duty_cycle_follows_and_ends_at_one(fit, column):
    stated = {"frequency_hz": 5.0, "session_min": 10.0, "pulses_per_session": 900.0}  # at a duty cycle of 0.3
    path = sd.protocol_path(fit, column, fixed={name: dose for name, dose in stated.items() if name != column}, over=(0.1, 50000))
    pulses = path["frequency_hz"] * 60 * path["session_min"] * path["duty_cycle"]
    np.testing.assert_allclose(pulses, path["pulses_per_session"], rtol=1e-12)
    assert float(path["duty_cycle"].max()) == pytest.approx(1.0, rel=1e-12)
    assert (path["duty_cycle"] <= 1).all()
    limit = stated[column] * (1 / 0.3 if column == "pulses_per_session" else 0.3)
    end, side = (-1, "above") if column == "pulses_per_session" else (0, "below")
    assert path[column].values[end] == pytest.approx(limit)
    words = {"frequency_hz": "1.5", "session_min": "3", "pulses_per_session": "3000"}[column]
    assert path.attrs["remarks"] == f"{column} {side} {words} would need a duty cycle above 1: these doses are left out"
    assert path.attrs["held"].endswith("duty follows")


def test_a_path_that_is_possible_everywhere_is_not_cut(fit):
    path = sd.protocol_path(fit, "frequency_hz", fixed={"session_min": 20, "pulses_per_session": 600}, over=(1, 40))
    assert path["frequency_hz"].values[[0, -1]].tolist() == [1, 40]
    assert path.attrs["remarks"] == ""


def test_order_of_rows_changes_no_path(fit):
    turned = sd.read_trials(table().iloc[::-1])
    for column, fixed in PAIRS:
        xr.testing.assert_identical(
            sd.protocol_path(turned, column, fixed=fixed), sd.protocol_path(fit.trials, column, fixed=fixed)
        )


@pytest.mark.parametrize(
    ("column", "arguments", "words"),
    [
        ("sessions", {"fixed": "session_min"}, "a path moves frequency_hz, session_min, pulses_per_session, not 'sessions'"),
        ("frequency_hz", {"fixed": "frequency_hz"}, "'frequency_hz' cannot be fixed"),
        ("frequency_hz", {"fixed": ()}, "nothing is fixed"),
        ("frequency_hz", {"fixed": {"session_mins": 20}}, "did you mean 'session_min'"),
        ("frequency_hz", {"fixed": {"session_min": -20}, "duty": 1.5}, "fixed at -20; a duty cycle is a share"),
        ("frequency_hz", {"fixed": ("session_min", "pulses_per_session"), "duty": 0.5}, "leave duty out"),
        ("frequency_hz", {"fixed": "session_min", "over": (0, 50)}, "low < high, not 0 to 50"),
        (
            "frequency_hz",
            {"fixed": {"session_min": 1, "pulses_per_session": 6000}, "over": (1, 50)},
            "no dose of frequency_hz is possible with session_min 1 and pulses_per_session 6000",
        ),
    ],
)
def test_paths_that_cannot_be_made_are_refused(fit, column, arguments, words):
    with pytest.raises(sd.StimdoseError) as caught:
        sd.protocol_path(fit, column, **arguments)
    assert words in str(caught.value)


def test_what_the_table_does_not_say_must_be_stated():
    trials = sd.read_trials(table().drop(columns="pulses_per_session").assign(modality="rTMS"))
    with pytest.raises(sd.StimdoseError, match="state duty"):
        sd.protocol_path(trials, "frequency_hz", fixed="session_min")
    with pytest.raises(sd.StimdoseError, match="no row prints pulses_per_session: state the dose"):
        sd.protocol_path(trials, "frequency_hz", fixed="pulses_per_session", duty=0.5)
    with pytest.raises(sd.StimdoseError, match="no row prints pulses_per_session: state `over`"):
        sd.protocol_path(trials, "pulses_per_session", fixed="frequency_hz", duty=0.5)
    path = sd.protocol_path(trials, "frequency_hz", fixed={"pulses_per_session": 1000}, duty=0.5)
    np.testing.assert_allclose(path["session_min"] * path["frequency_hz"] * 30, 1000)


def test_a_curve_along_a_path_is_the_formula_written_by_hand(fit):
    path = sd.protocol_path(fit, "frequency_hz", fixed={"pulses_per_session": 3000}, duty=0.25)
    curve, p = sd.curve(fit, "frequency_hz", at=path), fit.tree["posterior"]
    x = path["frequency_hz"]
    bell = np.exp(-0.5 * ((np.log(x) - np.log(p["frequency_hz_peak"])) / p["frequency_hz_width"]) ** 2)
    expected = (
        p["intercept"]
        + p["frequency_hz_amplitude"] * bell
        + p["session_min_slope"] * np.log2(1 + 3000 / (60 * x * 0.25) / 20)
        + p["pulses_per_session_slope"] * np.log2(1 + 3000 / 1000)
    )
    np.testing.assert_allclose(curve.values, expected.transpose(*curve.dims).values, atol=1e-8)
    assert curve.attrs["held"] == "pulses_per_session fixed at 3000, session_min follows (duty 0.25)"
    arrays = {"frequency_hz": x.values, "session_min": path["session_min"].values, "pulses_per_session": 3000}
    same = sd.curve(fit, "frequency_hz", at=arrays)
    np.testing.assert_array_equal(same.values, curve.values)
    assert "session length follows" in same.attrs["held"]
    seen = sd.visited(fit, {name: path[name].values for name in TIED})
    np.testing.assert_array_equal(curve["visited"], seen)
    assert 0 < seen.sum() < len(seen)


def test_a_path_and_its_curve_can_be_kept_in_files(fit, tmp_path):
    for fixed in ("session_min", {"session_min": 20, "pulses_per_session": 600}):
        path = sd.protocol_path(fit, "frequency_hz", fixed=fixed, over=(1, 40))
        path.to_netcdf(tmp_path / "path.nc", engine="h5netcdf")
        curve = sd.curve(fit, "frequency_hz", at=path)
        with xr.open_dataset(tmp_path / "path.nc", engine="h5netcdf") as read:
            xr.testing.assert_identical(sd.curve(fit, "frequency_hz", at=read), curve)
        curve.to_netcdf(tmp_path / "curve.nc", engine="h5netcdf")
        with xr.open_dataarray(tmp_path / "curve.nc", engine="h5netcdf") as read:
            assert {name: read.attrs[name] for name in ("held", "dose")} == {name: curve.attrs[name] for name in ("held", "dose")}
            assert read.attrs.get("remarks") == curve.attrs.get("remarks")
        (tmp_path / "path.nc").unlink()
        (tmp_path / "curve.nc").unlink()


def test_what_a_path_cannot_be_used_for_is_refused(fit):
    path = sd.protocol_path(fit, "frequency_hz", fixed="session_min", size=5)
    for arguments, words in [
        ({"column": "session_min", "at": path}, "moves frequency_hz, not session_min"),
        ({"column": "frequency_hz", "at": path, "over": (1, 10)}, "leave out over and grid"),
        ({"column": "frequency_hz", "at": path.assign(phase="chronic")}, "cannot hold 'phase'"),
        ({"column": "frequency_hz", "at": {"session_min": [10.0, 20.0]}, "size": 5}, "as many as the 5 doses"),
        ({"column": "frequency_hz", "at": {"session_min": [[10.0]]}}, "cannot be held"),
        ({"column": "frequency_hz", "at": {"session_min": [10.0, -1]}}, "cannot be held"),
    ]:
        with pytest.raises(sd.StimdoseError, match=words):
            sd.curve(fit, **arguments)


def test_optima_along_paths_stand_side_by_side(fit):
    found = sd.optima_by_path(fit, "frequency_hz", duty=0.25, over=(1, 40))
    assert list(found.optima) == ["pulses_per_session fixed", "session_min fixed", "all else as usual"]
    lines = found.table()
    assert lines.columns[0] == "verdict"
    assert lines.index.names == ["path", "group"]
    for name, fixed in (("pulses_per_session fixed", "pulses_per_session"), ("session_min fixed", "session_min")):
        path = sd.protocol_path(fit, "frequency_hz", fixed=fixed, duty=0.25, over=(1, 40), size=401)
        best = sd.optimum(fit, "frequency_hz", at=path)
        xr.testing.assert_identical(found.optima[name].dose, best.dose)
        assert lines.loc[(name, ""), "best_dose"] == np.median(best.dose)
        assert f"{fixed} fixed at" in lines.loc[(name, ""), "held"]
    best = lines["best_dose"].droplevel("group")
    # minutes help and pulses harm: where either follows, the best frequency is lower than with both as they are
    assert (best.drop("all else as usual") < best["all else as usual"]).all()
    assert "all else as usual (session_min fixed" in found.explanation
    assert "would need a duty cycle above 1" in found.explanation


def test_what_is_asked_of_an_optimum_is_asked_along_every_path(fit):
    lines = sd.optima_by_path(fit, "session_min", benefit=0.2, cost=0.001, delta=0.05).table()
    assert list(lines.index.get_level_values("path")) == ["pulses_per_session fixed", "frequency_hz fixed", "all else as usual"]
    path = sd.protocol_path(fit, "session_min", fixed="frequency_hz", size=401)
    alone = sd.optimum(fit, "session_min", benefit=0.2, cost=0.001, delta=0.05, at=path).table()
    pd.testing.assert_series_equal(lines.loc[("frequency_hz fixed", "")].drop("held"), alone.loc[""], check_names=False)
    for arguments, words in [
        ({"at": {"session_min": 20}}, "cannot hold 'session_min'"),
        ({"at": {"frequency_hz": "ten"}}, "cannot be fixed at 'ten'"),
        ({"duty": 2.0}, "a duty cycle is a share"),
        ({"over": (0, 20)}, "low < high"),
    ]:
        with pytest.raises(sd.StimdoseError, match=words):
            sd.optima_by_path(fit, "session_min", **arguments)


def test_a_best_dose_where_no_trial_was_near_is_said(fit):
    at = {"session_min": 100.0, "pulses_per_session": 200.0}
    found = sd.optima_by_path(fit, "frequency_hz", at=at)
    assert "with probability 1.00 the best dose lies where no trial was near" in found.optima["session_min fixed"].explanation
    fine = sd.optima_by_path(fit, "frequency_hz", at={"session_min": 20.0})
    assert "no trial was near" not in fine.optima["session_min fixed"].explanation


def test_a_model_of_frequency_alone_says_that_all_paths_are_one():
    alone = fit_by_hand("frequency_hz")
    found = sd.optima_by_path(alone, "frequency_hz")
    curves = [best.curves for best in found.optima.values()]
    for curve in curves[1:]:
        np.testing.assert_allclose(curve["frequency_hz"][[0, -1]], curves[0]["frequency_hz"][[0, -1]])
    np.testing.assert_array_equal(found.optima["session_min fixed"].dose, found.optima["pulses_per_session fixed"].dose)
    words = (
        "the model has no pulses_per_session: it books what pulses_per_session does as frequency_hz, and all paths are one curve"
    )
    assert words in found.optima["session_min fixed"].explanation
    assert found.paths["all else as usual"] is None
    with_minutes = sd.optima_by_path(fit_by_hand("frequency_hz", "session_min"), "frequency_hz")
    assert "all paths are one curve" not in with_minutes.explanation
    assert "it books what pulses_per_session does as frequency_hz" in with_minutes.explanation


def test_a_curve_marks_what_no_trial_visited(bell_fit, tmp_path):
    grid = np.array([0.5, 1.0, 12.0, 60.0, 80.0])
    curve = sd.curve(bell_fit, "frequency_hz", grid=grid)
    assert curve["visited"].dims == ("frequency_hz",)
    assert curve["visited"].values.tolist() == [False, True, True, True, False]
    named = sd.curve(bell_fit, "frequency_hz", grid=grid, at={"sessions": 5.0}, by="phase")
    expected = sd.visited(bell_fit, {"frequency_hz": grid, "sessions": 5.0})
    np.testing.assert_array_equal(named["visited"], expected)
    assert not sd.curve(bell_fit, "frequency_hz", grid=grid, at={"sessions": 100.0})["visited"].any()
    named.to_netcdf(tmp_path / "curve.nc", engine="h5netcdf")
    with xr.open_dataarray(tmp_path / "curve.nc", engine="h5netcdf") as read:
        np.testing.assert_array_equal(read["visited"], expected)


@pytest.mark.parametrize(("group", "kind"), [("posterior", "mean"), ("prior", "mean"), ("posterior", "new study")])
def test_a_new_group_is_the_population_and_a_deviation(bell_fit, group, kind):
    values, level = bell_fit.values(group), np.log2(1 + 15 / 10)
    known = sd.curve(bell_fit, "sessions", by="phase", grid=[0.0, 15.0], group=group, kind=kind, at={"site": "nerve"})
    curve = sd.curve(
        bell_fit, "sessions", by="phase", grid=[0.0, 15.0], group=group, kind=kind, at={"site": "nerve"}, new_group=True
    )
    assert curve["phase"].values.tolist() == [*known["phase"].values, "new group"]
    np.testing.assert_array_equal(curve.isel(phase=slice(-1)), known)
    assert json.loads(curve.attrs["observed_by_group"])["new group"] == curve.attrs["observed"]
    if kind == "mean":
        gain = curve.sel(phase="new group").diff("sessions").values.ravel()
        slope, spread = values["sessions_slope"] * level, values["sessions_slope_between_phase"] * level
        deviation = gain - slope
        z = deviation / spread
        size = len(z)
        assert abs(z.mean()) < 4 / np.sqrt(size)
        assert abs(z.var() - 1) < 4 * np.sqrt(2 / size)
        assert abs(np.corrcoef(z, slope)[0, 1]) < 4 / np.sqrt(size)
        assert gain.var() == pytest.approx(slope.var() + (spread**2).mean(), rel=0.15)
        assert abs(gain.mean() - slope.mean()) < 4 * np.sqrt((spread**2).mean() / size)


def test_a_new_group_has_nonlinear_parameters_that_differ_by_a_factor():
    rng, draws = np.random.default_rng(0), 4000
    model = sd.Model(
        name="by hand", intercept=sd.Intercept(), dose=[sd.Dose(column="frequency_hz", shape="bell", by="phase", by_study=False)]
    )
    phases = ["acute", "chronic", "subacute"]
    population = {"intercept": 0.0, "between_study": 0.1, "frequency_hz_amplitude": 1.0}
    population |= {"frequency_hz_peak": 10.0, "frequency_hz_width": 0.5}
    spreads = {"frequency_hz_amplitude": 1e-9, "frequency_hz_peak": 0.3, "frequency_hz_width": 1e-9}
    values = {name: np.full(draws, value) for name, value in population.items()}
    values |= {f"{name}_between_phase": np.full(draws, value) for name, value in spreads.items()}
    values["within_study"] = values["between_study"]
    posterior = {name: (("chain", "draw"), value[None]) for name, value in values.items()}
    posterior |= {f"{name}_by_phase": (("chain", "draw", "phase"), np.full((1, draws, 3), population[name])) for name in spreads}
    tree = xr.DataTree.from_dict({"posterior": xr.Dataset(posterior, {"chain": [0], "draw": range(draws), "phase": phases})})
    tree.attrs |= {"seed": int(rng.integers(1000)), "settings": json.dumps({"missing": "error"})}
    fit = sd.Fit(
        model,
        sd.read_trials(make_table()),
        tree,
        Diagnosis(pd.DataFrame({"r_hat": [], "ess_bulk": [], "ess_tail": []}), 0, draws),
    )
    grid = np.geomspace(1, 100, 801)
    curve = sd.curve(fit, "frequency_hz", by="phase", new_group=True, grid=grid).sel(phase="new group")
    log_peak = np.log(curve["frequency_hz"].values[curve.values[0].argmax(axis=1)] / 10)
    assert abs(log_peak.mean()) < 4 * 0.3 / np.sqrt(draws)
    assert log_peak.std() == pytest.approx(0.3, rel=4 / np.sqrt(2 * draws))


def test_a_new_site_differs_by_the_spread_of_sites(bell_fit):
    values, grid = bell_fit.values(), [12.0]
    curve = sd.curve(bell_fit, "frequency_hz", by="site", new_group=True, grid=grid)
    nerve = bell_fit.rows.levels["site"].index("nerve")
    without_site = curve.sel(site="nerve").values.ravel() - values["site_effect"][:, nerve]
    z = (curve.sel(site="new group").values.ravel() - without_site) / values["between_site"]
    assert abs(z.mean()) < 4 / np.sqrt(len(z))
    assert abs(z.var() - 1) < 4 * np.sqrt(2 / len(z))


def test_an_anchored_new_group_is_zero_at_zero_and_has_a_free_intercept_where_the_draws_do(strata_fit):
    anchored, free = (
        sd.curve(strata_fit, "sessions", by="phase", new_group=True, grid=[0.0, 10.0], group=group).sel(phase="new group")
        for group in ("posterior", "freed")
    )
    np.testing.assert_array_equal(anchored.sel(sessions=0.0), 0.0)
    p = strata_fit.values("freed")
    z = (free.sel(sessions=0.0).values.ravel() - p["intercept"]) / p["intercept_between_phase"]
    assert abs(z.var() - 1) < 4 * np.sqrt(2 / len(z))


def test_a_new_group_of_what_is_refused(bell_fit):
    with pytest.raises(sd.StimdoseError, match="state by"):
        sd.curve(bell_fit, "sessions", new_group=True)
    taken = sd.read_trials(make_table().assign(site="new group"))
    with pytest.raises(sd.StimdoseError, match="site has a level called 'new group': rename it"):
        sd.curve(replace(bell_fit, trials=taken), "sessions", by="site", new_group=True)
