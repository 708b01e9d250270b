"""Surfaces over two doses, and their best combination: formulas by hand, closed forms, known surfaces, laws."""

import itertools

import numpy as np
import pytest
import xarray as xr
from scipy import stats

import stimdose as sd
from stimdose import surfaces
from stimdose.diagnosis import diagnose
from stimdose.dose_space import Confounder
from stimdose.grid import dose_grid
from stimdose.joint_optima import joint_optimum_of
from stimdose.joint_verdicts import border, judge, tried_region, verdicts

HZ, MINUTES = dose_grid(1, 50, 31), dose_grid(5, 60, 29)


# surfaces of a fit


def test_a_surface_is_the_formula_written_by_hand(bell_fit):
    grid = {"frequency_hz": [2.0, 12.0, 40.0], "sessions": [5.0, 15.0]}
    surface = sd.surface(bell_fit, "frequency_hz", "sessions", grid=grid, at={"phase": "acute", "site": "nerve"})
    p = bell_fit.tree["posterior"]
    bell = np.exp(-0.5 * ((np.log(surface["frequency_hz"]) - np.log(p["frequency_hz_peak"])) / p["frequency_hz_width"]) ** 2)
    gain = p["sessions_slope_by_phase"].sel(phase="acute") * np.log2(1 + surface["sessions"] / 10)
    level = p["intercept_by_phase"].sel(phase="acute") + p["site_effect"].sel(site="nerve")
    expected = level + p["frequency_hz_amplitude"] * bell + gain
    assert surface.dims == ("chain", "draw", "frequency_hz", "sessions")
    np.testing.assert_allclose(surface.values, expected.transpose(*surface.dims).values, atol=1e-8)  # shapes.TINY
    assert surface.attrs["doses"] == ["frequency_hz", "sessions"]
    assert surface.attrs["units"] == ["Hz", "sessions"]
    assert "acute" in surface.attrs["held"]
    assert "warning" not in surface.attrs


@pytest.mark.parametrize("kind", ["mean", "new study"])
@pytest.mark.parametrize("group", ["posterior", "prior"])
def test_lines_of_a_surface_are_curves(bell_fit, kind, group):
    surface = sd.surface(bell_fit, "sessions", "frequency_hz", kind=kind, group=group, size=(7, 5))
    for hertz in surface["frequency_hz"].values:
        curve = sd.curve(bell_fit, "sessions", kind=kind, group=group, at={"frequency_hz": hertz}, size=7)
        np.testing.assert_allclose(surface.sel(frequency_hz=hertz).values, curve.values, rtol=1e-12)


def test_visited_is_where_a_trial_of_the_group_lies_near(bell_fit):
    for at in ({}, {"phase": "acute"}):
        surface = sd.surface(bell_fit, "frequency_hz", "sessions", size=(9, 8), at=at)
        table = bell_fit.trials.subset(**at).table
        for hertz, sessions in itertools.product(surface["frequency_hz"].values, surface["sessions"].values):
            far = np.maximum(abs(np.log(table["frequency_hz"] / hertz)), abs(np.log(table["sessions"] / sessions)))
            assert bool(surface["visited"].sel(frequency_hz=hertz, sessions=sessions)) == bool((far <= np.log(1.5) + 1e-9).any())


def test_a_large_surface_keeps_every_kth_draw_of_each_chain(bell_fit, monkeypatch):
    whole = sd.surface(bell_fit, "frequency_hz", "sessions", size=(5, 4))
    assert whole.attrs["every"] == 1
    monkeypatch.setattr(surfaces, "LARGEST", whole.nbytes / 2.5)
    thin = sd.surface(bell_fit, "frequency_hz", "sessions", size=(5, 4))
    assert thin.attrs["every"] == 3
    xr.testing.assert_allclose(thin, whole.isel(draw=slice(None, None, 3)))


def test_a_surface_survives_a_file(bell_fit, tmp_path):
    surface = sd.surface(bell_fit, "frequency_hz", "sessions", size=(4, 3))
    surface.to_netcdf(tmp_path / "surface.nc")
    found = xr.load_dataarray(tmp_path / "surface.nc")
    np.testing.assert_array_equal(found["visited"], surface["visited"])
    assert list(found.attrs["doses"]) == surface.attrs["doses"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"second": "frequency_hz"}, "twice"),
        ({"second": "minutes"}, "no dose 'minutes'"),
        ({"at": {"sessions": 3}}, "cannot hold 'sessions'"),
        ({"at": {"frequency_hz": 3}}, "cannot hold 'frequency_hz'"),
        ({"at": {"phase": "old"}}, "no level 'old'"),
        ({"at": {"phase": ["acute", "chronic"]}}, "at one value"),
        ({"over": {"minutes": (1, 2)}}, "not of minutes"),
        ({"over": {"sessions": (20, 5)}}, "low < high"),
        ({"grid": {"sessions": [5, 5]}}, "increasing doses"),
        ({"kind": "median"}, "kind"),
        ({"group": "nope"}, "no draws"),
    ],
)
def test_questions_the_model_cannot_answer(bell_fit, arguments, words):
    with pytest.raises(sd.StimdoseError, match=words):
        sd.surface(bell_fit, **{"first": "frequency_hz", "second": "sessions"} | arguments)


def test_the_joint_optimum_of_an_additive_model_is_made_of_two_optima(bell_fit):
    best = sd.joint_optimum(bell_fit, "frequency_hz", "sessions", size=(401, 5), over={"sessions": (5, 20)})
    assert list(best.doses) == ["frequency_hz", "sessions"]
    np.testing.assert_allclose(best.doses["frequency_hz"], sd.optimum(bell_fit, "frequency_hz").dose, rtol=1e-6)
    np.testing.assert_allclose(best.doses["sessions"], sd.optimum(bell_fit, "sessions", size=5).dose, rtol=1e-6)
    assert "adds the doses" in best.explanation
    assert (best.ridge("frequency_hz") == best.doses["sessions"]).all()
    given = best.given({"sessions": 12.5})
    np.testing.assert_allclose(given.dose, best.doses["frequency_hz"], rtol=1e-6)
    assert given.verdict == sd.optimum(bell_fit, "frequency_hz").verdict == "identified"
    assert given.curves.attrs["held"].startswith("sessions 12.5 sessions, averaged over")
    table = best.table()
    assert table.columns[0] == "verdict"
    assert table.loc["frequency_hz", "prior_low"] < table.loc["frequency_hz", "low"] < 12
    acute = sd.joint_optimum(bell_fit, "frequency_hz", "sessions", size=(5, 5), at={"phase": "acute"})
    assert "sessions_slope_between_phase" in acute.explanation
    with pytest.raises(sd.StimdoseError, match="three doses"):
        sd.joint_optimum(bell_fit, "frequency_hz", "sessions", size=(2, 5))
    with pytest.raises(sd.StimdoseError, match="delta is a number above 0"):
        sd.joint_optimum(bell_fit, "frequency_hz", "sessions", delta=0)


def test_an_unconverged_fit_says_so(bell_fit):
    rng = np.random.default_rng(0)
    apart = xr.Dataset({"x": (("chain", "draw"), rng.normal(size=(4, 500)) + np.arange(4)[:, None])})
    bad = sd.Fit(bell_fit.model, bell_fit.trials, bell_fit.tree, diagnose(apart, 3))
    assert sd.surface(bad, "frequency_hz", "sessions", size=(3, 3)).attrs["warning"] == "did not converge"
    assert "did not converge" in sd.joint_optimum(bad, "frequency_hz", "sessions", size=(5, 5)).explanation


# surfaces made here


def made(function, draws=2000, seed=0, hz=HZ, minutes=MINUTES, visited=True) -> xr.DataArray:
    """Draws of function(hertz, minutes, rng) as `surface` gives them; everything was tried unless told otherwise."""
    rng = np.random.default_rng(seed)
    mesh = np.meshgrid(hz, minutes, indexing="ij")
    values = np.stack([function(*mesh, rng) for _ in range(draws)]).reshape(4, -1, *mesh[0].shape)
    names = ("frequency_hz", "session_min")
    attrs = {
        "doses": list(names),
        "units": ["Hz", "minutes"],
        "kind": "mean",
        "held": "",
        "log_axes": [1, 1],
        "effect_label": "SMD",
    }
    coords = dict(zip(names, (hz, minutes), strict=True)) | {"visited": (names, np.broadcast_to(visited, mesh[0].shape))}
    return xr.DataArray(values, coords, ("chain", "draw", *names), attrs=attrs)


def bump(height, spread=0.1, at=(10, 20), width=0.5):
    def effect(hertz, minutes, rng):
        far = (np.log(hertz / at[0]) / width) ** 2 + (np.log(minutes / at[1]) / width) ** 2
        return rng.normal(height, spread) * np.exp(-0.5 * far)

    return effect


def noise(hertz, minutes, rng):
    a, b, c = rng.normal(0, 0.3, 3)
    x, y = np.log(hertz / 7), np.log(minutes / 17)
    return a * x + b * y + c * x * y


def rise(hertz, minutes, rng):
    return 0.2 * rng.normal(1, 0.1) * np.log(minutes)


def jitter(hertz, minutes, rng):
    return rng.normal(0, 1) + 0.005 * (rng.normal() * np.log(hertz) + rng.normal() * np.log(minutes))


def bell_and_rise(hertz, minutes, rng):
    return bump(0.6, width=0.5)(hertz, 20 + 0 * minutes, rng) + rise(hertz, minutes, rng)


NOISE = made(noise, seed=99)


def judged(surface: xr.DataArray, **more) -> sd.JointOptimum:
    prior = made(noise, draws=400, seed=99, hz=surface["frequency_hz"].values, minutes=surface["session_min"].values)
    return joint_optimum_of(surface, prior, delta=0.1, **more)


@pytest.mark.parametrize(
    ("function", "verdict"),
    [
        (bump(0.6), "identified"),
        (bump(0.15, 0.15), "not identified"),
        (rise, "still rising in session_min"),
        (bell_and_rise, "still rising in session_min"),
        (lambda h, m, r: rise(h, m, r) + rise(m, h, r), "still rising in frequency_hz, still rising in session_min"),
        (lambda h, m, r: rise(h, m, r) - rise(m, h, r), "still falling in frequency_hz, still rising in session_min"),
        (lambda h, m, r: -rise(h, m, r), "still falling in session_min"),
        (jitter, "flat"),
        (noise, "not identified"),
    ],
)
def test_verdicts_on_known_surfaces(function, verdict):
    surface = made(function)
    assert ", ".join(verdicts(surface, 0.1)) == verdict
    raised = surface + 5
    assert verdicts(raised.assign_attrs(surface.attrs), 0.1) == verdicts(surface, 0.1)
    turned = surface.transpose("chain", "draw", "session_min", "frequency_hz").assign_attrs(doses=["session_min", "frequency_hz"])
    assert set(verdicts(turned, 0.1)) == set(verdicts(surface, 0.1))


def test_a_best_combination_that_no_trial_was_near_is_not_identified():
    hertz, minutes = np.meshgrid(HZ, MINUTES, indexing="ij")
    where = {
        "not identified": hertz > 12,
        "identified": (hertz > 2) & (hertz < 40) & (minutes > 7) & (minutes < 50),
    }
    for verdict, visited in where.items():
        assert verdicts(made(bump(0.6), visited=visited), 0.1) == (verdict,)
    beyond = judged(made(bump(0.6), visited=where["not identified"]))
    assert "In 100.0% of the draws the best combination lies where no trial was near" in beyond.explanation
    assert verdicts(made(bump(0.6), visited=hertz == HZ[0]), 0.1) == ("not identified",)
    assert verdicts(made(bump(0.6), visited=False), 0.1) == ("not identified",)


def test_doses_that_go_together_leave_only_the_strip_that_was_tried():
    """Along the strip the effect rises; whether it is Hz or minutes, only corners far from it could tell."""
    hertz, minutes = np.meshgrid(HZ, MINUTES, indexing="ij")
    share = np.log(hertz) / np.log(50) - np.log(minutes / 5) / np.log(12)
    strip = abs(share) < 0.15
    ridge = made(
        lambda h, m, r: 0.2 * r.normal(1, 0.05) * (np.log(h) + np.log(m)) + r.normal(0, 0.3) * (np.log(h) - 1.57 * np.log(m))
    )
    assert "identified" not in verdicts(ridge.assign_coords(visited=ridge["visited"].copy(data=strip)), 0.1)


def test_a_gap_between_trials_is_bridged_and_a_corner_between_two_arms_is_not():
    """Trials that vary each dose with the other at its lowest leave the corner open, however long the two arms are."""
    doses = np.arange(1.0, 8)
    for seed in range(5):
        visited = np.random.default_rng(seed).uniform(size=(7, 7)) < 0.3
        found = tried_region(made(noise, draws=4, hz=doses, minutes=doses, visited=visited))
        by_hand = np.zeros((7, 7), bool)
        for i, j in itertools.product(range(7), repeat=2):
            along_first = visited[: i + 1, j].any() and visited[i:, j].any()
            along_second = visited[i, : j + 1].any() and visited[i, j:].any()
            by_hand[i, j] = along_first or along_second
        np.testing.assert_array_equal(found, by_hand)
    arms = np.zeros((7, 7), bool)
    arms[0] = arms[:, 0] = True
    np.testing.assert_array_equal(tried_region(made(noise, draws=4, hz=doses, minutes=doses, visited=arms)), arms)


def test_the_border_is_where_what_was_tried_ends():
    tried = np.random.default_rng(1).uniform(size=(7, 8)) < 0.8
    by_hand = np.zeros((7, 8), bool)
    for i, j in itertools.product(range(7), range(8)):
        on_edge = i in (0, 6) or j in (0, 7)
        neighbours = [(i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)]
        by_hand[i, j] = on_edge or (tried[i, j] and not all(tried[one] for one in neighbours))
    np.testing.assert_array_equal(border(tried), by_hand)


def test_a_rise_counts_between_doses_that_were_tried():
    hertz, minutes = np.meshgrid(HZ, MINUTES, indexing="ij")
    for highest, verdict in ((45, "still rising in session_min"), (6, "not identified")):
        assert verdicts(made(rise, visited=minutes <= highest), 0.1) == (verdict,)
    only_at_10 = made(bell_and_rise, visited=(abs(np.log(hertz / 10)) < 0.4))
    assert verdicts(only_at_10, 0.1) == ("still rising in session_min",)


def test_what_is_not_the_trials_own_is_held_back():
    found, prior = made(bell_and_rise), made(rise)
    none = {"frequency_hz": (), "session_min": ()}
    words, remarks = judge(found, 0.1, prior, None, none)
    assert words == ("not identified",)
    assert "prior alone" in remarks[0]
    words, remarks = judge(found, 0.1, NOISE, NOISE, none)
    assert words == ("not identified",)
    assert "free intercept" in remarks[0]
    both = made(lambda h, m, r: rise(h, m, r) + rise(m, h, r))
    words, remarks = judge(both, 0.1, prior, both, none)
    assert words == ("still rising in frequency_hz",)
    assert "(still rising in session_min)" in remarks[0]


def test_a_dose_outside_the_model_that_goes_with_one_of_these_confounds_it():
    outside, inside = (Confounder("pulses_per_session", 0.8, 30, in_model) for in_model in (False, True))
    for rivals, verdict in [
        ({"frequency_hz": (outside,), "session_min": ()}, "confounded in frequency_hz"),
        ({"frequency_hz": (inside,), "session_min": ()}, "identified"),
    ]:
        best = judged(made(bump(0.6)), rivals=rivals)
        assert best.verdict == verdict
        assert "pulses_per_session goes with frequency_hz" in best.explanation
        assert best.given({"session_min": 20}).verdict == verdict.split(" in ")[0]
        assert best.given({"frequency_hz": 10}).verdict == "identified"
    rising = judged(made(bell_and_rise), rivals={"frequency_hz": (outside,), "session_min": ()})
    assert rising.verdict == "still rising in session_min"


def test_chains_that_disagree_come_first():
    def tilted(at):
        return made(lambda h, m, r: bump(0.6, 0.02, at)(h, m, r) + r.normal(0, 0.02) * (np.log(h) + np.log(m)))

    mixed = tilted((10, 20))
    mixed[2] = tilted((30, 40))[2]
    best = judged(mixed)
    assert best.verdict == "did not converge"
    assert (best.table()["r_hat"] > 1.01).all()


def quadratic(peaks: np.ndarray, twist: float = 0.0):
    """Surfaces with peaks (draws, 2) in log doses; along a line of x the best y is its peak + twist (x - peak of x) / 2."""
    found = iter(peaks)

    def effect(hertz, minutes, rng):
        x, y = np.stack([np.log(hertz), np.log(minutes)]) - next(found)[:, None, None]
        return -(x**2) - y**2 + twist * x * y

    return effect


def test_the_peak_of_a_quadratic_is_found_between_grid_points():
    rng = np.random.default_rng(1)
    hz, minutes = np.linspace(1, 5, 21), np.linspace(5, 9, 17)
    peaks = rng.uniform([1.5, 5.5], [4.5, 8.5], (200, 2))
    found = iter(peaks)

    def effect(x, y, rng):
        a, b = next(found)
        return 2 - (x - a) ** 2 - 3 * (y - b) ** 2

    doses, value = surfaces.best_doses(made(effect, 200, hz=hz, minutes=minutes))
    np.testing.assert_allclose(np.stack([doses[name].values.ravel() for name in doses], axis=1), peaks, rtol=1e-9)
    np.testing.assert_allclose(value, 2, atol=1e-12)


def test_the_conditional_optimum_and_the_ridge_are_those_of_the_formula():
    rng = np.random.default_rng(2)
    peaks = rng.multivariate_normal(np.log([7, 17]), 0.01 * np.eye(2), 400)
    best = judged(made(quadratic(peaks, twist=0.8), 400, hz=np.geomspace(1, 50, 121), minutes=np.geomspace(5, 60, 121)))
    assert "adds the doses" not in best.explanation
    ridge = best.ridge("frequency_hz").sel(frequency_hz=12, method="nearest")
    hertz = float(ridge["frequency_hz"])
    expected = peaks[:, 1] + 0.4 * (np.log(hertz) - peaks[:, 0])
    np.testing.assert_allclose(np.log(ridge.values.ravel()), expected, atol=1e-3)
    given = best.given({"frequency_hz": hertz})
    np.testing.assert_allclose(np.log(given.dose.values.ravel()), expected, atol=1e-3)
    between = best.given({"frequency_hz": 12.2})
    np.testing.assert_allclose(np.log(between.dose.values.ravel()), peaks[:, 1] + 0.4 * (np.log(12.2) - peaks[:, 0]), atol=2e-3)
    for at, words in [({"frequency_hz": 60}, "outside"), ({"sessions": 3}, "not of 'sessions'"), ({}, "one dose is held")]:
        with pytest.raises(sd.StimdoseError, match=words):
            best.given(at)


def test_a_line_that_no_trial_was_near_has_no_verdict():
    surface = made(bump(0.6), visited=np.meshgrid(HZ, MINUTES, indexing="ij")[0] > 5)
    given = judged(surface).given({"frequency_hz": 2})
    assert given.verdict == "not identified"
    assert "No trial was near frequency_hz = 2" in given.explanation
    assert not judged(surface).ridge("frequency_hz")["visited"].sel(frequency_hz=2, method="nearest")


@pytest.mark.parametrize(("prob", "r"), [(0.95, 0.0), (0.95, 0.7), (0.5, 0.7)])
def test_the_joint_region_is_the_ellipse_of_normal_peaks(prob, r):
    """Its probability under the true distribution, and its area: both are known for a normal argmax."""
    sds = np.array([0.45, 0.35])
    covariance = np.outer(sds, sds) * np.array([[1, r], [r, 1]])
    truth = stats.multivariate_normal(np.log([7, 17]), covariance)
    hz, minutes = np.geomspace(1, 50, 61), np.geomspace(4, 72, 61)
    best = judged(made(quadratic(truth.rvs(4000, random_state=4)), 4000, hz=hz, minutes=minutes))
    region = best.region(prob)
    cell = np.log(hz[1] / hz[0]) * np.log(minutes[1] / minutes[0])
    x, y = np.meshgrid(np.log(hz), np.log(minutes), indexing="ij")
    inside = (truth.pdf(np.stack([x, y], -1)) * cell)[region.values].sum()
    assert inside == pytest.approx(prob, abs=0.02)
    ellipse = np.pi * stats.chi2(2).ppf(prob) * np.sqrt(np.linalg.det(covariance))
    assert region.values.sum() * cell == pytest.approx(ellipse, rel=0.1)
    assert region.attrs["probability"] == pytest.approx(prob, abs=0.02)


def test_smoothing_keeps_the_sum_and_leaves_edges_where_they_are():
    rng = np.random.default_rng(5)
    counts = rng.poisson(0.5, (20, 15)).astype(float)
    counts[0, 1:-1] = 40
    found = surfaces.smoothed(counts)
    parts = [(slice(1, -1), slice(1, -1)), (0, slice(1, -1)), (-1, slice(1, -1)), (slice(1, -1), 0), (slice(1, -1), -1)]
    for part in parts:
        assert found[part].sum() == pytest.approx(counts[part].sum())
    np.testing.assert_array_equal(found[[0, 0, -1, -1], [0, -1, 0, -1]], counts[[0, 0, -1, -1], [0, -1, 0, -1]])
    assert found[1:-1, 1:-1].std() < 0.5 * counts[1:-1, 1:-1].std()


def test_a_best_combination_beyond_the_range_has_its_region_on_the_edge():
    best = judged(made(bell_and_rise))
    region = best.region()
    assert region.isel(session_min=-1).any()
    assert not region.isel(session_min=slice(None, -1)).any()
    assert best.at_edge.loc["session_min", "high"] == 1
    assert best.at_edge.loc["session_min", "low"] == 0


def test_units_change_doses_and_nothing_else():
    surface = made(bump(0.6))
    in_thousands = surface.assign_coords(frequency_hz=surface["frequency_hz"] / 1000)
    one, other = judged(surface), joint_optimum_of(in_thousands, NOISE.assign_coords(in_thousands.coords), delta=0.1)
    assert one.verdict == other.verdict
    np.testing.assert_allclose(one.doses["frequency_hz"], 1000 * other.doses["frequency_hz"], rtol=1e-9)
    np.testing.assert_array_equal(one.region().values, other.region().values)
