"""Best doses, doses near them, and surfaces."""

import re
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from figure_cases import (
    DOSES,
    GROUPS,
    drawn,
    drawn_bars,
    legend_texts,
    make_best,
    make_check,
    make_curve,
    make_joint,
    make_points,
    make_surface,
    overlapping,
    texts,
)
from matplotlib.colors import to_rgb

from stimdose import figures
from stimdose.figures import style
from stimdose.verdicts import WORDS

pytestmark = pytest.mark.usefixtures("own_style")


@pytest.mark.parametrize("log", [0, 1])
def test_optimum_draws_the_share_of_every_step_and_the_ends_apart(log):
    best = make_best(edge=0.3)
    best.curves.attrs["log_axis"] = log
    ((above,), (below,)) = figures.optimum(best, points=make_points())
    draws, prior = best.dose.values.ravel(), best.prior_dose.values.ravel()
    low, high = drawn_bars(below, "_end")
    assert low.get_height() == (draws == 1).mean() == 0
    assert high.get_height() == (draws == 40).mean()
    assert low.get_x() + low.get_width() == pytest.approx(1)
    assert high.get_x() == pytest.approx(40)
    inside = drawn_bars(below, "_posterior")
    for bar in inside:
        start, end = bar.get_x(), bar.get_x() + bar.get_width()
        assert bar.get_height() == pytest.approx(((draws >= start) & (draws < end) & (draws < 40)).mean())
    assert sum(bar.get_height() for bar in (*inside, low, high)) == pytest.approx(1)
    steps = [stairs.get_data().values for stairs in drawn(below, "_prior")]
    assert [len(values) for values in steps] == [1, len(inside), 1]
    assert (steps[0][0], steps[2][0]) == ((prior == 1).mean(), (prior == 40).mean())
    assert sum(values.sum() for values in steps) == pytest.approx(1)
    assert f"{100 * (draws == 40).mean():.0f} %" in texts(below.figure)
    assert above.get_xlim() == below.get_xlim()
    assert len(drawn(above, "_trials")[0].get_offsets()) == 3
    assert not overlapping(above.figure)


def test_optimum_is_led_by_its_verdict_and_names_median_and_interval():
    best = make_best(**{"": "identified"})
    ((above,), (below,)) = figures.optimum(best, prob=0.8)
    assert above.get_title() == "Verdict: identified"
    low, middle, high = np.quantile(best.dose, [0.1, 0.5, 0.9])
    np.testing.assert_allclose(drawn(below, "_median")[0].get_xdata(), middle)
    (segment,) = drawn(below, "_interval")[0].get_segments()
    np.testing.assert_allclose(segment[:, 0], [low, high])
    assert below.get_title() == f"Best dose {middle:.3g} [{low:.3g}, {high:.3g}]"
    assert "Largest at an end of the range" not in legend_texts(above)
    assert "Median, 80 % interval" in legend_texts(above)


@pytest.mark.parametrize("verdict", [word for word in WORDS if word != "identified"])
def test_figures_name_no_best_dose_unless_it_is_identified(verdict):
    best = make_best(**{"": verdict})
    ((above,), (below,)) = figures.optimum(best)
    assert below.get_title() == "No best dose is identified"
    assert not drawn(below, "_median") + drawn(below, "_interval")
    assert not [
        text for text in [below.get_title(), *legend_texts(above)] if re.search(r"best dose \d|median", text, re.IGNORECASE)
    ]

    ax = figures.near_best(best)
    assert bool(drawn(ax, "_enough")) == (verdict == "flat")
    assert ("No best dose is identified" in texts(ax.figure)) == (verdict != "flat")

    sets = SimpleNamespace(optima={"weak": {"sessions": best}}, fit_warning="")
    ax = figures.prior_optima(sets)
    (segment,) = drawn(ax, "_interval")[0].get_segments()
    np.testing.assert_allclose(segment[:, 0], np.quantile(best.dose, [0.025, 0.975]))  # without numbers or a median
    assert not [text for text in texts(ax.figure) if re.fullmatch(r".*\[[\d.]+, [\d.]+\]", text)]
    assert not drawn(ax, "_median")


def test_figures_of_a_fit_that_did_not_converge_name_no_best_dose():
    best = make_best(warning="Warning: the fit did not converge", **{"": "identified"})
    (_, (below,)) = figures.optimum(best)
    assert below.get_title() == "No best dose is identified"
    assert not drawn(figures.near_best(best), "_enough")
    assert not drawn(figures.prior_optima(SimpleNamespace(optima={"weak": {"sessions": best}}, fit_warning="")), "_median")


@pytest.mark.parametrize("count", [3, 5])
def test_optimum_by_group_has_a_verdict_for_each_in_red_where_the_chains_disagree(count):
    groups = [f"unaffected hemisphere, {index} Hz" for index in range(count)]
    verdicts = dict.fromkeys(groups, "not identified") | {groups[1]: "did not converge"}
    best = make_best(groups, edge=0.2, warning="Warning: the fit did not converge. " * 4, **verdicts)
    axes = figures.optimum(best)
    assert axes.shape == (2, count)
    assert len(axes[0, 0].figure.axes) == 2 * count
    for index, (group, verdict) in enumerate(verdicts.items()):
        title = axes[0, index].title
        assert title.get_text().replace("\n", " ") == f"{group}: {verdict}"
        assert to_rgb(title.get_color()) == to_rgb(style.RED if index == 1 else "black")
        draws = best.dose.isel(phase=index)
        assert drawn_bars(axes[1, index], "_end")[1].get_height() == (draws == 40).mean()
    warning = axes[0, 0].figure.get_suptitle()
    assert warning.replace("\n", " ") == best.fit_warning.strip()
    assert not overlapping(axes[0, 0].figure)


def test_optimum_refuses_best_doses_that_are_not_of_the_curve():
    best = make_best()
    best.dose = best.dose * 5
    with pytest.raises(ValueError, match="within the range of the curve, 1 to 40"):
        figures.optimum(best)
    best.dose = best.dose.where(best.dose > 60)
    with pytest.raises(ValueError, match="within the range"):
        figures.optimum(best)
    with pytest.raises(ValueError, match="needs 2 Axes, got 1"):
        figures.optimum(make_best(), ax=plt.subplots()[1])


def test_near_best_draws_the_probability_and_marks_doses_where_it_is_high_enough():
    best = make_best(**{"": "identified"})
    best.near_best = lambda: xr.DataArray(
        [0.1, 0.6, 0.9, 0.7, 0.4, 0.2, 0.5, 0, 0, 0], dims="sessions", coords={"sessions": DOSES}
    )
    ax = figures.near_best(best)
    before, inside, after = drawn(ax, "_mean")
    np.testing.assert_allclose(inside.get_ydata(), best.near_best()[2:9])
    assert (before.get_linestyle(), after.get_linestyle()) == ("--", "--")
    assert [list(line.get_xdata()) for line in drawn(ax, "_enough")] == [[2, 5], [15, 15]]
    assert "≥ 50 %: 2–5, 15" in texts(ax.figure)
    assert ax.get_title() == "Verdict: identified"
    assert ax.get_ylabel() == "P(within 0.1 of the best)"
    assert "≥ 95 %: no dose" in texts(figures.near_best(best, at_least=0.95).figure)
    assert not overlapping(ax.figure)


def test_near_best_draws_other_probabilities_by_group():
    best = make_best(GROUPS, acute="identified", chronic="did not converge")
    chance = (best.curves > 0.5).mean(("chain", "draw")).assign_attrs(threshold=0.5)
    axes = figures.near_best(best, chance=chance.transpose("phase", "sessions"))
    assert [ax.get_title() for ax in axes] == ["acute:\nidentified", "chronic:\ndid not converge"]
    assert axes[0].get_ylabel() == "P(effect > 0.5)"
    for index, ax in enumerate(axes):
        np.testing.assert_allclose(drawn(ax, "_mean")[1].get_ydata(), chance.isel(phase=index)[2:9])
    with pytest.raises(ValueError, match="doses and groups of the curves"):
        figures.near_best(best, chance=chance.isel(sessions=slice(3)))
    with pytest.raises(ValueError, match="between 0 and 1"):
        figures.near_best(best, chance=chance * 100)


@pytest.mark.parametrize("log", [0, 1])
def test_surface_draws_the_mean_the_region_and_the_ridge(log):
    surface = make_surface(log)
    region = np.zeros((12, 9), bool)
    region[4:7, 3:6] = True
    points = pd.DataFrame({"frequency_hz": [5, 10, np.nan], "session_min": [20, 20, 20]})
    ax = figures.surface(surface, make_joint(surface, region), points=points, prob=0.9)
    assert ax.get_title() == "Verdict: identified"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Frequency (Hz)", "Session length (min)")
    assert ax.get_xscale() == ax.get_yscale() == ("log" if log else "linear")
    (outline,) = drawn(ax, "_region")
    corners, x, y = outline.get_paths()[0].vertices, surface.frequency_hz.values, surface.session_min.values
    middle = lambda values, low, high: ((values[low - 1] + values[low]) / 2, (values[high] + values[high + 1]) / 2)
    np.testing.assert_allclose([corners[:, 0].min(), corners[:, 0].max()], middle(x, 4, 6))
    np.testing.assert_allclose([corners[:, 1].min(), corners[:, 1].max()], middle(y, 3, 5))
    (ridge,) = drawn(ax, "_ridge")
    np.testing.assert_allclose(ridge.get_ydata(), surface.idxmax("session_min").median(("chain", "draw")))
    np.testing.assert_allclose(drawn(ax, "_trials")[0].get_xydata(), [[5, 20], [10, 20]])
    assert legend_texts(ax) == [
        "No trial near these doses",
        "Trials (2 rows; 1 more with a dose missing)",
        "90 % region of the largest effect",
        "Best session length for each frequency",
    ]
    bar = ax.figure.axes[1]
    assert bar.get_ylabel() == "SMD, positive = benefit"
    mean = surface.mean(("chain", "draw"))
    assert bar.get_ylim()[0] <= mean.min() < mean.max() <= bar.get_ylim()[1]
    assert not overlapping(ax.figure)


def test_surface_is_hatched_where_no_trial_was_near():
    surface = make_surface()
    (hatched,) = drawn(figures.surface(surface), "_not visited")
    assert hatched.hatches == ["///"]
    path = hatched.get_paths()[0]
    nodes = np.stack([each.ravel() for each in np.meshgrid(surface.frequency_hz, surface.session_min, indexing="ij")], axis=1)
    interior = (nodes > [1, 5]).all(axis=1) & (nodes < [50, 60]).all(axis=1)
    assert np.array_equal(path.contains_points(nodes[interior]), ~surface.visited.values.ravel()[interior])
    assert not drawn(figures.surface(surface.drop_vars("visited")), "_not visited")


def test_surface_region_at_the_edge_is_closed_and_warnings_are_red():
    surface = make_surface()
    region = np.zeros((12, 9), bool)
    region[10:, 7:] = True
    best = make_joint(
        surface, region, "still rising in frequency_hz, still rising in session_min", "Warning: the fit did not converge"
    )
    ax = figures.surface(surface, best, prob=0.9)
    assert not drawn(ax, "_ridge")  # which would name a best second dose
    assert not [text for text in legend_texts(ax) if "best" in text.lower()]
    corners = drawn(ax, "_region")[0].get_paths()[0].vertices
    assert tuple(corners[0]) == tuple(corners[-1])
    assert corners.max(axis=0) == pytest.approx([50, 60])
    assert ax.figure.get_suptitle() == best.fit_warning
    assert not overlapping(ax.figure)
    assert figures.surface(make_surface(warning="did not converge")).figure.get_suptitle() == "did not converge"


def test_surfaces_that_cannot_be_drawn():
    surface = make_surface()
    with pytest.raises(ValueError, match="dims"):
        figures.surface(surface.mean("chain", keep_attrs=True))
    with pytest.raises(ValueError, match="no dose 0"):
        figures.surface(surface.assign_coords(frequency_hz=surface.frequency_hz - 1))
    with pytest.raises(ValueError, match="finite"):
        figures.surface(surface.where(surface > 0.1))
    with pytest.raises(ValueError, match="'session_min'"):
        figures.surface(surface, points=pd.DataFrame({"frequency_hz": [1.0]}))
    with pytest.raises(ValueError, match="points have one"):
        figures.surface(surface, points=pd.DataFrame({"frequency_hz": [0.0], "session_min": [5.0]}))
    other = make_joint(surface.isel(session_min=slice(4)), np.ones((12, 4), bool))
    with pytest.raises(ValueError, match="grid of the surface"):
        figures.surface(surface, other, prob=0.9)


def test_titles_of_surfaces_use_the_words_of_the_axes():
    surface = make_surface()
    region = np.ones(surface.shape[2:], bool)
    verdict = "still rising in frequency_hz, confounded in session_min"
    ax = figures.surface(surface, make_joint(surface, region, verdict), prob=0.9, labels={"session_min": "Minutes a session"})
    title = " ".join(ax.get_title().split())
    assert title == "Verdict: still rising in frequency (Hz), confounded in minutes a session"


def test_a_verdict_beside_curves_net_of_a_cost_is_said_to_be_without_it():
    for cost, words in ((0.0, "Verdict: flat"), (0.01, "Verdict: flat (without the cost)")):
        curve = make_curve(cost=cost)
        best = SimpleNamespace(
            curves=curve,
            near_best=lambda curve=curve: 0 * curve.mean(("chain", "draw")),
            delta=0.1,
            verdicts={"": "flat"},
            fit_warning="",
        )
        assert " ".join(figures.near_best(best).get_title().split()) == words


def test_influence_marks_no_medians_where_no_best_dose_is_identified():
    check = make_check()
    assert drawn(figures.influence(check, dose="frequency_hz", group="acute"), "_study")
    check.tables["left_out"] = check.tables["left_out"].assign(verdict="flat", verdict_all="flat", changes=False)
    ax = figures.influence(check, dose="frequency_hz", group="acute")
    assert not drawn(ax, "_study") + drawn(ax, "_odd") + drawn(ax, "_all")
    assert len(drawn(ax, "_interval")[0].get_segments()) == 5
