"""Curves: dose response, families, and the trials behind them."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pytest
from figure_cases import DOSES, GROUPS, drawn, legend_texts, make_curve, make_families, make_points, overlapping, quantiles, texts
from matplotlib.colors import to_rgb
from matplotlib.text import Text

from stimdose import figures
from stimdose.figures import style

pytestmark = pytest.mark.usefixtures("own_style")


def test_mean_line_is_the_mean_of_the_draws_and_dashed_beyond_the_observed_doses():
    curve = make_curve()
    before, inside, after = drawn(figures.dose_response(curve), "_mean")
    mean = curve.values.reshape(-1, len(DOSES)).mean(axis=0)
    for line, part in ((before, slice(0, 3)), (inside, slice(2, 9)), (after, slice(8, None))):
        np.testing.assert_allclose(line.get_xdata(), DOSES[part])
        np.testing.assert_allclose(line.get_ydata(), mean[part])
    assert [line.get_linestyle() for line in (before, inside, after)] == ["--", "-", "--"]


@pytest.mark.parametrize("prob", [0.5, 0.95])
def test_bands_are_the_quantiles_of_the_draws_and_fainter_beyond_the_observed_doses(prob):
    curve, new = make_curve(), make_curve(spread=0.2)
    ax = figures.dose_response(curve, new_study=new, prob=prob)
    for label, draws in (("_interval", curve), ("_new study", new)):
        bands, expected = drawn(ax, label), quantiles(draws, prob)
        for band, part in zip(bands, (slice(0, 3), slice(2, 9), slice(8, None)), strict=True):
            corners = {tuple(np.round(corner, 9)) for corner in band.get_paths()[0].vertices}
            assert corners == {
                tuple(np.round(pair, 9)) for limit in expected for pair in zip(DOSES[part], limit[part], strict=True)
            }
        before, inside, after = (band.get_facecolor()[0, :3].sum() for band in bands)
        assert inside < before == after, f"{label}: lighter is fainter"
    assert drawn(ax, "_new study")[1].get_facecolor()[0, :3].sum() > drawn(ax, "_interval")[1].get_facecolor()[0, :3].sum()


def test_all_dashed_where_no_dose_of_the_grid_was_observed():
    (line,) = drawn(figures.dose_response(make_curve(observed=[100, 200])), "_mean")
    assert line.get_linestyle() == "--"
    assert len(line.get_xdata()) == len(DOSES)


def test_nothing_dashed_where_the_grid_is_observed():
    (line,) = drawn(figures.dose_response(make_curve(observed=[1, 40])), "_mean")
    assert line.get_linestyle() == "-"


def test_doses_that_no_trial_visited_are_dashed_inside_the_observed_range_too():
    visited = np.array([True, True, True, True, False, False, True, True, True, True])
    curve = make_curve().assign_coords(visited=("sessions", visited))
    lines = drawn(figures.dose_response(curve), "_mean")
    assert [(line.get_linestyle(), list(line.get_xdata())) for line in lines] == [
        ("--", [1, 2, 3]),
        ("-", [3, 5]),
        ("--", [5, 8, 10, 15]),
        ("-", [15, 20, 30]),
        ("--", [30, 40]),
    ]
    by_group = np.stack([visited, ~visited], axis=-1)
    axes = figures.dose_response(make_curve(GROUPS, observed=[1, 40]).assign_coords(visited=(("sessions", "phase"), by_group)))
    solid = [[list(line.get_xdata()) for line in drawn(ax, "_mean") if line.get_linestyle() == "-"] for ax in axes]
    assert solid == [[[1, 2, 3, 5], [15, 20, 30, 40]], [[8, 10]]]


@pytest.mark.parametrize(("dose", "label"), [("frequency_hz", "Frequency (Hz)"), ("intensity_percent_rmt", "Intensity (% RMT)")])
def test_axis_labels_carry_units(dose, label):
    ax = figures.dose_response(make_curve(dose=dose))
    assert ax.get_xlabel() == label
    assert ax.get_ylabel() == "SMD, positive = benefit"


def test_labels_replace_words_and_unknown_ones_are_an_error():
    axes = figures.dose_response(make_curve(GROUPS), labels={"dose": "Sitzungen", "acute": "akut"})
    assert axes[0].get_xlabel() == "Sitzungen"
    assert [ax.get_title() for ax in axes] == ["akut", "chronic"]
    with pytest.raises(ValueError, match="subacute"):
        figures.dose_response(make_curve(GROUPS), labels={"subacute": "x"})


def test_legend_names_only_what_is_drawn():
    curve, new = make_curve(), make_curve(spread=0.2)
    assert legend_texts(figures.dose_response(curve)) == ["Mean effect", "95 % interval of the mean", "No trial near these doses"]
    seen = make_curve(observed=[1.0, 40.0])
    assert legend_texts(figures.dose_response(seen)) == ["Mean effect", "95 % interval of the mean"]
    full = figures.dose_response(curve, new_study=new, points=make_points(), prob=0.9)
    assert legend_texts(full) == [
        "Mean effect",
        "90 % interval of the mean",
        "90 % interval of a new study",
        "No trial near these doses",
        "Trials (area: precision)",
    ]
    _, given = plt.subplots()
    assert legend_texts(figures.dose_response(seen, ax=given)) == ["Mean effect", "95 % interval of the mean"]


def test_held_doses_and_warnings_are_printed():
    warning = "Did not converge: R-hat 1.2. " * 8
    for ax in (None, plt.subplots()[1]):
        made = figures.dose_response(make_curve(held="at 1,200 pulses", warning=warning), ax=ax)
        assert "at 1,200 pulses" in texts(made.figure)
        (text,) = [text for text in made.figure.findobj(Text) if text.get_text().startswith("Did not converge")]
        assert text.get_text().replace("\n", " ") == warning.strip()
        assert to_rgb(text.get_color()) == to_rgb(style.RED)
        made.figure.draw_without_rendering()
        assert text.get_window_extent().y0 >= made.get_window_extent().y1


def test_log_axis_has_plain_ticks_at_usual_doses():
    ax = figures.dose_response(make_curve(log_axis=1))
    ax.figure.draw_without_rendering()
    assert ax.get_xscale() == "log"
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["1", "2", "5", "10", "20"]
    assert not ax.get_xticklabels(minor=True)


def test_log_axis_refuses_dose_zero():
    curve = make_curve(log_axis=1)
    with pytest.raises(ValueError, match="no dose 0"):
        figures.dose_response(curve.assign_coords(sessions=DOSES - 1))
    with pytest.raises(ValueError, match=r"rows \[0\].*no dose 0"):
        figures.dose_response(curve, points=make_points(dose=[0.0, 5, 10]))


def test_bubbles_stand_at_the_trials_with_area_proportional_to_precision():
    points = make_points()
    (bubbles,) = drawn(figures.dose_response(make_curve(), points=points), "_trials")
    np.testing.assert_allclose(bubbles.get_offsets(), points[["dose", "effect"]])
    np.testing.assert_allclose(bubbles.get_sizes() * points.se, bubbles.get_sizes()[0] * points.se[0])
    assert bubbles.get_facecolor()[0, 3] < 1


@pytest.mark.parametrize("log", [0, 1])
def test_interval_doses_are_bars_with_heads_at_open_ends(log):
    points = make_points(dose=[5.0, 10, 25], dose_low=[0, np.nan, 21], dose_high=[9, np.nan, np.inf])
    ax = figures.dose_response(make_curve(log_axis=log), points=points)
    start, end = ax.get_xlim()
    start = max(start, 0)
    (bars,) = drawn(ax, "_dose")
    np.testing.assert_allclose(bars.get_segments(), [[[start, 0.3], [9, 0.3]], [[21, 0.4], [end, 0.4]]])
    left, right = drawn(ax, "_beyond")
    assert (left.get_marker(), right.get_marker()) == ("<", ">")
    np.testing.assert_allclose([*left.get_xydata(), *right.get_xydata()], [[start, 0.3], [end, 0.4]])


def test_doses_of_all_trials_lie_on_the_axis():
    low, high = figures.dose_response(make_curve(), points=make_points(dose=[0.5, 10, 77])).get_xlim()
    assert low < 0.5
    assert high > 77


def test_outliers_are_marked_at_the_edge_and_do_not_squash_the_curve():
    curve = make_curve()
    plain = figures.dose_response(curve).get_ylim()
    ax = figures.dose_response(curve, points=make_points((0.4, 6.03, 5.51, -3.0), dose=[10.0, 10, 10, 20]))
    assert np.ptp(ax.get_ylim()) < 2.1 * np.ptp(plain)
    marks = drawn(ax, "_outlier")
    assert [mark.get_marker() for mark in marks] == ["^", "^", "v"]
    assert len({tuple(mark.get_xydata()[0]) for mark in marks}) == 3, "marks at the same dose are stacked"
    assert all(ax.get_ylim()[0] < mark.get_ydata()[0] < ax.get_ylim()[1] for mark in marks)
    assert {"6.0", "5.5", "−3.0"} <= set(texts(ax.figure))
    assert len(drawn(ax, "_trials")[0].get_offsets()) == 1


def test_groups_are_panels_with_shared_axes_and_counted_rows():
    by_group = {"acute": [3, 10], "chronic": [5, 40]}
    points = make_points(phase=["acute", "chronic", "chronic"])
    for form in (by_group, json.dumps(by_group)):
        axes = figures.dose_response(make_curve(GROUPS, observed_by_group=form), points=points)
        assert [ax.get_title() for ax in axes] == ["acute (1 row)", "chronic (2 rows)"]
        assert axes[0].get_ylim() == axes[1].get_ylim()
        assert axes[0].get_xlim() == axes[1].get_xlim()
        seen = [next(line.get_xdata() for line in drawn(ax, "_mean") if line.get_linestyle() == "-") for ax in axes]
        assert [(doses[0], doses[-1]) for doses in seen] == [(3, 10), (5, 40)]
        assert [len(drawn(ax, "_trials")[0].get_offsets()) for ax in axes] == [1, 2]
        assert len(axes[0].figure.legends) == 1


@pytest.mark.parametrize("count", [1, 4, 5, 7])
def test_any_number_of_groups(count):
    axes = figures.dose_response(make_curve([f"site {index}" for index in range(count)]))
    assert len(axes) == count == len(axes[0].figure.axes)
    axes[0].figure.draw_without_rendering()


def test_given_axes_are_drawn_on_and_counted():
    figure, axes = plt.subplots(1, 2)
    made = figures.dose_response(make_curve(GROUPS), ax=axes)
    assert list(made) == list(axes)
    assert figure.axes == list(axes)
    with pytest.raises(ValueError, match="needs 2 Axes, got 1"):
        figures.dose_response(make_curve(GROUPS), ax=axes[0])
    assert figures.dose_response(make_curve(), ax=axes[0]) is axes[0]


def test_unknown_groups_and_faulty_rows_are_listed_together():
    points = make_points(phase=["acute", "subacute", None], se=[0.1, 0.2, -1], dose_low=[6.0, np.nan, 1])
    points["dose_high"] = [4.0, np.nan, np.nan]
    with pytest.raises(ValueError, match="cannot be drawn") as error:
        figures.dose_response(make_curve(GROUPS), points=points)
    for part in ("'subacute' is not a group", "'' is not a group", "se is not positive", "rows [0, 2]: dose_low and dose_high"):
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda curve: curve.mean("chain", keep_attrs=True), "dims"),
        (lambda curve: curve.assign_attrs(dose="pulses"), "pulses"),
        (lambda curve: curve.assign_attrs(kind="new study"), "new study"),
        (lambda curve: curve.where(curve.draw != 3), "finite"),
    ],
)
def test_curves_that_cannot_be_drawn(change, message):
    curve = make_curve()
    with pytest.raises(ValueError, match=message):
        figures.dose_response(change(curve.assign_coords(draw=np.arange(200))))


def test_new_study_on_another_grid_and_wrong_prob():
    with pytest.raises(ValueError, match="same grid"):
        figures.dose_response(make_curve(), new_study=make_curve().assign_coords(sessions=DOSES + 1))
    with pytest.raises(ValueError, match="95"):
        figures.dose_response(make_curve(), prob=95)
    with pytest.raises(ValueError, match="'se'"):
        figures.dose_response(make_curve(), points=make_points().drop(columns="se"))


def test_curve_families_stand_side_by_side_on_the_same_axes():
    curves, points = make_families(), make_points()
    axes = figures.curve_families(curves, points=points)
    assert [ax.get_title() for ax in axes] == ["Emax", "Bell", "Linear"]
    assert len({(ax.get_xlim(), ax.get_ylim()) for ax in axes}) == 1
    for ax, curve in zip(axes, curves.values(), strict=True):
        before, inside, after = drawn(ax, "_mean")
        np.testing.assert_allclose(inside.get_ydata(), curve.mean(("chain", "draw"))[2:9])
        assert (before.get_linestyle(), after.get_linestyle()) == ("--", "--")
        np.testing.assert_allclose(drawn(ax, "_trials")[0].get_offsets(), points[["dose", "effect"]])
    assert legend_texts(axes[0]) == [
        "Mean effect",
        "95 % interval of the mean",
        "No trial near these doses",
        "Trials (area: precision)",
    ]
    assert "Bell: did not converge" in texts(axes[0].figure)
    assert not overlapping(axes[0].figure)


def test_curve_families_by_group_are_one_row_for_each_curve():
    axes = figures.curve_families(make_families(GROUPS), labels={"Linear": "straight line"})
    names = [f"{name}, {group}" for name in ("Emax", "Bell", "straight line") for group in GROUPS]
    assert [ax.get_title() for ax in axes] == names
    assert [ax.get_subplotspec().rowspan.start for ax in axes] == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("groups", [None, GROUPS])
def test_curve_families_together_are_named_at_their_ends(groups):
    curves = make_families(groups)
    axes = figures.curve_families(curves, together=True, points=make_points(phase=["acute", "chronic", "chronic"]))
    assert len(axes) == len(groups or [0])
    for index, ax in enumerate(axes):
        lines = drawn(ax, "_mean")[::3]  # before, inside and after the observed doses
        for line, curve in zip(lines, curves.values(), strict=True):
            own = curve.isel(phase=index) if groups else curve
            np.testing.assert_allclose(line.get_ydata(), own.mean(("chain", "draw"))[:3])
        names = {text.get_text(): text for text in ax.texts if text.get_text() in curves}
        assert [names[name].get_color() for name in curves] == [line.get_color() for line in lines]
        heights = [names[name].get_window_extent().y0 for name in ("Linear", "Bell", "Emax")]
        assert heights == sorted(heights)
    assert not overlapping(axes[0].figure)


def test_curve_families_that_cannot_be_compared():
    curves = make_families()
    with pytest.raises(ValueError, match="no curves"):
        figures.curve_families({})
    with pytest.raises(ValueError, match="same dose: Emax: sessions; Other: pulses"):
        figures.curve_families({"Emax": curves["Emax"], "Other": make_curve(dose="pulses")})
    with pytest.raises(ValueError, match="same effect"):
        figures.curve_families({"Emax": curves["Emax"], "Other": make_curve(effect_label="MD")})
    with pytest.raises(ValueError, match="same group column"):
        figures.curve_families({"Emax": curves["Emax"], "Other": make_curve(GROUPS)})
    with pytest.raises(ValueError, match="at most 7"):
        figures.curve_families({str(index): curves["Emax"] for index in range(8)}, together=True)
    with pytest.raises(ValueError, match="needs 3 Axes, got 1"):
        figures.curve_families(curves, ax=plt.subplots()[1])
