"""Figures by structure: what is drawn equals what was computed, and nothing is cut silently."""

import itertools
import json
import struct
from types import SimpleNamespace

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from scipy.optimize import minimize

from stimdose import StimdoseWarning, figures
from stimdose.doses import chance
from stimdose.figures import style

GROUPS = ["acute", "chronic"]
DOSES = np.array([1.0, 2, 3, 5, 8, 10, 15, 20, 30, 40])


@pytest.fixture(autouse=True)
def unchanged_and_closed():
    before = dict(matplotlib.rcParams)
    yield
    plt.close("all")
    assert dict(matplotlib.rcParams) == before


def make_curve(groups=None, dose="sessions", spread=0.0, **attrs):
    """Draws (2, 200) of a rising curve; observed from 3 to 30."""
    rng = np.random.default_rng(4)
    shape = (2, 200, 1, len(groups or [0]))
    draws = rng.normal(0.3, 0.05, shape) * np.log1p(DOSES)[:, None] / 2 + rng.normal(0, 0.02 + spread, shape)
    curve = xr.DataArray(draws, dims=("chain", "draw", dose, "phase"), coords={dose: DOSES, "phase": groups or [""]})
    curve = curve if groups else curve.isel(phase=0, drop=True)
    curve.attrs = {"dose": dose, "observed": [3.0, 30.0], "effect_label": "SMD, positive = benefit", "kind": "mean", "held": ""}
    curve.attrs |= {"log_axis": 0} | attrs
    return curve


def make_points(effects=(0.3, 0.5, 0.4), **columns):
    size = len(effects)
    table = {"dose": np.linspace(5, 20, size), "dose_low": np.nan, "dose_high": np.nan, "effect": effects}
    return pd.DataFrame(table | {"se": np.linspace(0.1, 0.4, size)} | columns)


def drawn(ax, label):
    """Artists of one kind, in the order they were drawn."""
    return [artist for artist in ax.get_children() if artist.get_label() == label]


def texts(figure):
    return [text.get_text() for text in figure.findobj(Text) if text.get_visible() and text.get_text()]


def legend_texts(ax):
    legend = ax.figure.legends[0] if ax.figure.legends else ax.get_legend()
    return [text.get_text() for text in legend.get_texts()]


def quantiles(curve, prob=0.95):
    return np.quantile(curve.values.reshape(-1, len(DOSES)), [(1 - prob) / 2, (1 + prob) / 2], axis=0)


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
    assert legend_texts(figures.dose_response(curve)) == ["Mean effect", "95 % interval of the mean"]
    full = figures.dose_response(curve, new_study=new, points=make_points(), prob=0.9)
    assert legend_texts(full) == [
        "Mean effect",
        "90 % interval of the mean",
        "90 % interval of a new study",
        "Trials (area: precision)",
    ]
    _, given = plt.subplots()
    assert legend_texts(figures.dose_response(curve, ax=given)) == ["Mean effect", "95 % interval of the mean"]


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


@pytest.mark.parametrize(
    ("low", "high"), [(1, 30), (200, 6000), (1000, 100000), (60, 130), (95, 105), (0.01, 1e6), (3, 4), (7, 7.01)]
)
@pytest.mark.parametrize("points", [80, 120, 250])
def test_log_ticks_never_touch(low, high, points):
    ticks = style.log_ticks(low, high, points)
    assert len(ticks) >= 1
    assert ticks.min() >= low
    assert ticks.max() <= high
    if low < 50 or high > 150:  # a very short axis has evenly spaced ticks
        labels = [style.number(tick) for tick in ticks]
        assert len(set(labels)) == len(labels)
        assert not any("e" in label for label in labels)


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


def make_table(size=8, **attrs):
    effect, se = np.linspace(-0.2, 0.9, size), np.linspace(0.1, 0.4, size)
    table = pd.DataFrame({"label": [f"Trial {index}" for index in range(size)], "effect": effect})
    table = table.assign(low=effect - 1.96 * se, high=effect + 1.96 * se)
    table = table.assign(shrunken=(effect + 0.4) / 2, shrunken_low=(effect + 0.4) / 2 - se, shrunken_high=(effect + 0.4) / 2 + se)
    table.attrs = {
        "pooled": {"label": "Average dose", "mean": 0.4, "low": 0.25, "high": 0.55},
        "prediction": {"low": -0.1, "high": 0.9},
        "effect_label": "SMD, positive = benefit",
    } | attrs
    return table


def test_forest_draws_every_row_and_the_summary():
    table = make_table()
    ax = figures.forest(table)
    (squares,), (dots,) = drawn(ax, "_effect"), drawn(ax, "_shrunken")
    np.testing.assert_allclose(squares.get_offsets()[:, 0], table.effect)
    np.testing.assert_allclose(dots.get_offsets()[:, 0], table.shrunken)
    assert np.all(dots.get_offsets()[:, 1] > squares.get_offsets()[:, 1]), "below, as rows count downwards"
    (intervals,) = drawn(ax, "_shrunken interval")
    np.testing.assert_allclose([line[:, 0] for line in intervals.get_segments()], table[["shrunken_low", "shrunken_high"]])
    (diamond,), (bar,) = drawn(ax, "_pooled"), drawn(ax, "_prediction")
    assert sorted(set(diamond.get_xy()[:, 0])) == [0.25, 0.4, 0.55]
    assert (bar.get_x(), bar.get_width()) == (-0.1, 1.0)
    assert ax.get_xlabel() == "SMD, positive = benefit"
    shown = texts(ax.figure)
    assert {
        *table.label,
        "Average dose",
        "0.40 [0.25, 0.55]",
        "[−0.10, 0.90]",
        "−0.20 [−0.40, 0.00]",
    } <= set(shown)


def test_forest_squares_have_area_proportional_to_weight_between_caps():
    table = make_table()
    (squares,) = drawn(figures.forest(table), "_effect")
    weight = (table.high - table.low) ** -2
    np.testing.assert_allclose(squares.get_sizes(), (42 * weight / weight.max()).clip(lower=4))


def test_forest_gathers_groups_under_bold_headings():
    table = make_table(4).assign(group=["acute", "chronic", "acute", None], dose=["5", "10", "20", "21 or more"])
    table.attrs["dose_label"] = "Sessions"
    ax = figures.forest(table)
    order = [text for text in texts(ax.figure) if text.strip() in {*table.label, "acute", "chronic", "not stated"}]
    assert [text.strip() for text in order] == ["acute", "Trial 0", "Trial 2", "chronic", "Trial 1", "not stated", "Trial 3"]
    bold = {text.get_text() for text in ax.texts if text.get_weight() == "bold"}
    assert {"acute", "chronic", "Sessions", "Average dose"} <= bold
    assert "21 or more" in texts(ax.figure)
    np.testing.assert_allclose(drawn(ax, "_effect")[0].get_offsets()[:, 0], table.effect[[0, 2, 1, 3]])


def test_forest_intervals_beyond_the_axis_end_in_arrowheads():
    table = make_table()
    table.loc[3, ["effect", "low", "high"]] = [6.0, 4.0, 8.0]
    table.loc[4, "low"] = -9.0
    ax = figures.forest(table)
    left, right = ax.get_xlim()
    assert left > -2
    assert right < 3
    heads = {(head.get_marker(), x, round(y)) for head in drawn(ax, "_beyond") for x, y in head.get_xydata()}
    assert {(">", right, 3), ("<", left, 4)} <= heads
    assert len(drawn(ax, "_effect")[0].get_offsets()) == 7
    assert "6.00 [4.00, 8.00]" in texts(ax.figure)


@pytest.mark.parametrize("size", [1, 8, 40])
def test_forest_text_never_overlaps_and_height_grows(size):
    table = make_table(size).assign(label="Hernández-Gutiérrez, Wang & Schmidt-Müller 2019, high", dose="21 or more")
    table["group"] = ["acute", "chronic"] * (size // 2) + ["acute"] * (size % 2)
    table.attrs |= {"dose_label": "Scheduled therapy (hours)", "directions": ("favours control", "favours stimulation")}
    table.attrs["warning"] = "Did not converge: R-hat 1.2. " * 8
    ax = figures.forest(table)
    ax.figure.draw_without_rendering()
    assert ax.figure.get_figheight() > 0.2 * size
    assert ax.figure.get_figwidth() == pytest.approx(7.2)
    shown = [text for text in ax.figure.findobj(Text) if text.get_text() and text.get_visible() and text.get_alpha() != 0]
    boxes = [text.get_window_extent() for text in shown if text not in ax.get_yticklabels()]
    boxes = [box for box in boxes if box.width > 1]
    overlapping = [
        (one, two) for place, one in enumerate(boxes) for two in boxes[:place] if one.padded(-1).overlaps(two.padded(-1))
    ]
    assert not overlapping
    assert all(box.x0 > -1 and box.x1 < ax.figure.bbox.x1 + 1 and box.y1 < ax.figure.bbox.y1 + 1 for box in boxes)
    assert any(text.endswith("…") and len(text.strip()) <= 40 for text in texts(ax.figure))
    assert {"← favours control", "favours stimulation →"} <= set(texts(ax.figure))


def test_forest_warns_in_red_and_names_the_level():
    ax = figures.forest(make_table(prob=0.9, warning="Did not converge"))
    (text,) = [text for text in ax.figure.findobj(Text) if text.get_text() == "Did not converge"]
    assert to_rgb(text.get_color()) == to_rgb(style.RED)
    assert {"● Shrunken\n[90 %]", "■ Reported\n[95 % CI]", "New study, 90 % interval"} <= set(texts(ax.figure))
    plain = make_table()
    plain.attrs = {}
    bare = figures.forest(plain)
    assert not drawn(bare, "_pooled")
    assert not drawn(bare, "_prediction")


def test_forest_on_given_axes_takes_its_columns_from_them():
    ax = plt.subplots(figsize=(8, 4))[1]
    before = ax.get_position()
    assert figures.forest(make_table(), ax=ax) is ax
    assert ax.get_position().x0 > before.x0
    assert ax.get_position().x1 < before.x1
    with pytest.raises(ValueError, match="inches wider"):
        figures.forest(make_table(), ax=plt.subplots(figsize=(3, 3))[1])


def test_forest_lists_faulty_rows():
    table = make_table()
    table.loc[1, "low"], table.loc[2, "shrunken"] = 5.0, np.nan
    with pytest.raises(ValueError, match="cannot be drawn") as error:
        figures.forest(table)
    assert "['Trial 1']: low, high do not enclose effect" in str(error.value)
    assert "['Trial 2']: shrunken, shrunken_low or shrunken_high is missing" in str(error.value)
    with pytest.raises(ValueError, match="shrunken_low"):
        figures.forest(table.drop(columns="shrunken_low"))
    with pytest.raises(ValueError, match="no rows"):
        figures.forest(make_table().iloc[:0])


def test_save_embeds_truetype_fonts_at_300_dpi(tmp_path):
    ax = figures.dose_response(make_curve())
    pdf, png = figures.save(ax, tmp_path / "figure 1.2")
    assert (pdf.name, png.name) == ("figure 1.2.pdf", "figure 1.2.png")
    assert sorted(tmp_path.iterdir()) == [pdf, png]
    content = pdf.read_bytes()
    assert b"/FontFile2" in content or b"/Type42" in content
    assert b"/Type3" not in content
    header = png.read_bytes()
    at = header.index(b"pHYs") + 4
    assert struct.unpack(">II", header[at : at + 8]) == (11811, 11811), "pixels per metre at 300 dpi"
    assert pdf.read_bytes() == figures.save(ax.figure, tmp_path / "again", formats="pdf")[0].read_bytes()


def test_save_takes_figures_and_arrays_and_refuses_what_it_cannot_do(tmp_path):
    axes = figures.dose_response(make_curve(GROUPS))
    assert figures.save(axes, tmp_path / "array", formats=["svg"]) == [tmp_path / "array.svg"]
    with pytest.raises(FileNotFoundError, match="does not exist"):
        figures.save(axes, tmp_path / "none" / "figure")
    with pytest.raises(ValueError, match="docx"):
        figures.save(axes, tmp_path / "figure", formats=("pdf", "docx"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["array.svg"]


def overlapping(figure):
    """Texts that lie on each other or beyond the figure, in the layout as it is drawn; without the numbers on axes."""
    figure.draw_without_rendering()
    ticks = {label for ax in figure.axes for axis in (ax.xaxis, ax.yaxis) for label in axis.get_ticklabels(which="both")}
    shown = [text for text in figure.findobj(Text) if text.get_text().strip() and text.get_visible() and text not in ticks]
    boxes, inside = [(text.get_text(), text.get_window_extent()) for text in shown], figure.bbox.padded(1)
    cut = [name for name, box in boxes if not (inside.contains(box.x0, box.y0) and inside.contains(box.x1, box.y1))]
    pairs = itertools.combinations(boxes, 2)
    return cut + [(one, other) for (one, box), (other, second) in pairs if box.padded(-1).overlaps(second.padded(-1))]


def make_families(groups=None):
    """Three curves that end at different heights; the second did not converge."""
    first = make_curve(groups)
    return {
        "Emax": first,
        "Bell": (first * 0.5).assign_attrs(first.attrs | {"warning": "did not converge"}),
        "Linear": first * 0.49,
    }


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
    assert legend_texts(axes[0]) == ["Mean effect", "95 % interval of the mean", "Trials (area: precision)"]
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


@pytest.mark.parametrize("seed", range(5))
def test_labels_are_moved_apart_by_the_least_squares(seed):
    rng = np.random.default_rng(seed)
    heights, sizes = rng.uniform(0, 30, 6), rng.uniform(5, 10, 6)
    placed = style.apart(heights, sizes)
    order = np.argsort(heights)
    gaps, least = np.diff(placed[order]), (sizes[order][1:] + sizes[order][:-1]) / 2
    assert np.all(gaps >= least - 1e-9)
    constraints = {"type": "ineq", "fun": lambda x: np.diff(x[order]) - least}
    best = minimize(lambda x: np.sum((x - heights) ** 2), np.sort(heights) + 10 * np.arange(6), constraints=constraints)
    np.testing.assert_allclose(placed, best.x, atol=1e-3)


def drawn_bars(ax, label):
    (bars,) = [container for container in ax.containers if container.get_label() == label]
    return bars.patches


def make_best(groups=None, edge=0.0, warning="", **verdicts):
    """An optimum of which a share `edge` of the draws lies at the upper end, and the rest inside."""
    curves = make_curve(groups, log_axis=1)
    rng, shape = np.random.default_rng(5), curves.isel(sessions=0).shape
    inside = np.exp(rng.normal(np.log(8), 0.3, shape)).clip(1.01, 39)
    dose = curves.isel(sessions=0, drop=True).copy(data=np.where(rng.uniform(size=shape) < edge, 40.0, inside))
    prior = dose.copy(data=np.exp(rng.normal(np.log(8), 1.5, shape)).clip(1, 40))
    near = (curves >= curves.max("sessions") - 0.1).mean(("chain", "draw"))
    return SimpleNamespace(
        curves=curves,
        dose=dose,
        prior_dose=prior,
        delta=0.1,
        verdicts=verdicts or dict.fromkeys(groups or [""], "still rising"),
        fit_warning=warning,
        near_best=lambda: near,
    )


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
    best = make_best()
    ((above,), (below,)) = figures.optimum(best, prob=0.8)
    assert above.get_title() == "Verdict: still rising"
    low, middle, high = np.quantile(best.dose, [0.1, 0.5, 0.9])
    np.testing.assert_allclose(drawn(below, "_median")[0].get_xdata(), middle)
    (segment,) = drawn(below, "_interval")[0].get_segments()
    np.testing.assert_allclose(segment[:, 0], [low, high])
    assert below.get_title() == f"Best dose {middle:.3g} [{low:.3g}, {high:.3g}]"
    assert "Best at an end of the range" not in legend_texts(above)
    assert "Median, 80 % interval" in legend_texts(above)


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
        np.testing.assert_allclose(drawn(axes[1, index], "_median")[0].get_xdata(), draws.median())
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
    best = make_best()
    best.near_best = lambda: xr.DataArray(
        [0.1, 0.6, 0.9, 0.7, 0.4, 0.2, 0.5, 0, 0, 0], dims="sessions", coords={"sessions": DOSES}
    )
    ax = figures.near_best(best)
    before, inside, after = drawn(ax, "_mean")
    np.testing.assert_allclose(inside.get_ydata(), best.near_best()[2:9])
    assert (before.get_linestyle(), after.get_linestyle()) == ("--", "--")
    assert [list(line.get_xdata()) for line in drawn(ax, "_enough")] == [[2, 5], [15, 15]]
    assert "≥ 50 %: 2–5, 15" in texts(ax.figure)
    assert ax.get_title() == "Verdict: still rising"
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


def make_surface(log=1, **attrs):
    """Draws (2, 50) over 12 frequencies and 9 session lengths, best near 6 Hz and 20 min."""
    rng = np.random.default_rng(6)
    frequency, minutes = np.geomspace(1, 50, 12), np.geomspace(5, 60, 9)
    effect = 0.6 * np.exp(-((np.log(frequency / 6)[:, None]) ** 2) - np.log(minutes / 20) ** 2)
    draws = effect * rng.normal(1, 0.2, (2, 50, 1, 1)) + rng.normal(0, 0.02, (2, 50, 12, 9))
    coords = {"frequency_hz": frequency, "session_min": minutes}
    surface = xr.DataArray(draws, dims=("chain", "draw", *coords), coords=coords)
    visited = (frequency[:, None] < 20) & (minutes > 6)
    attrs = {
        "doses": list(coords),
        "log_axes": [log, log],
        "effect_label": "SMD, positive = benefit",
        "held": "sessions 10",
    } | attrs
    return surface.assign_coords(visited=(tuple(coords), visited)).assign_attrs(attrs)


def make_joint(surface, region, verdict="identified", warning=""):
    found = surface.isel(chain=0, draw=0, drop=True).copy(data=region)
    return SimpleNamespace(
        region=lambda prob: found if prob == 0.9 else None,
        ridge=lambda given: surface.idxmax("session_min") if given == "frequency_hz" else None,
        verdict=verdict,
        fit_warning=warning,
    )


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
        "90 % region of the best combination",
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


def make_contrasts(**attrs):
    label = [
        "10 Hz against 1 Hz",
        "20 sessions against 10",
        "1 Hz on the unaffected side for 20 minutes against 10 Hz on the affected side",
    ]
    table = pd.DataFrame({"label": label, "mean": [0.3, -0.1, 0.6], "low": [0.1, -0.4, 0.2], "high": [0.5, 0.2, 1.0]})
    table["p_positive"] = [0.97, 0.24, 0.999]
    table.attrs = {"effect_label": "SMD, positive = benefit"} | attrs
    return table


def test_contrasts_are_drawn_and_written_row_by_row():
    table = make_contrasts(held="sessions 10")
    ax = figures.contrasts(table, delta=0.1, prob=0.9)
    (dots,), (intervals,), (band,) = (drawn(ax, label) for label in ("_mean", "_interval", "_delta"))
    np.testing.assert_allclose(dots.get_xydata(), np.column_stack([table["mean"], [0, 1, 2]]))
    np.testing.assert_allclose([segment[:, 0] for segment in intervals.get_segments()], table[["low", "high"]])
    assert (band.get_x(), band.get_width()) == pytest.approx((-0.1, 0.2))
    assert {"0.30 [0.10, 0.50]", "−0.10 [−0.40, 0.20]", "0.97", "0.24", "> 0.99", "Mean [90 %]", "P(> 0)"} <= set(
        texts(ax.figure)
    )
    assert [label.get_text().replace("\n", " ") for label in ax.get_yticklabels()] == list(table.label)
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    assert ax.get_xlabel() == "Difference in SMD, positive = benefit"
    assert not overlapping(ax.figure)
    ax.figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in ax.get_yticklabels()]
    assert not any(one.overlaps(two) for one, two in itertools.combinations(boxes, 2))


def test_contrasts_of_a_fit_bring_groups_delta_and_warnings():
    def made(delta=0.1, warning=""):
        table = make_contrasts().assign(group=["acute", "chronic", ""]).set_index("group")
        draws = SimpleNamespace(attrs={"effect_label": "SMD (positive = first is better)"})
        return SimpleNamespace(table=lambda prob: table.assign(low=-prob), draws=draws, delta=delta, fit_warning=warning)

    ax = figures.contrasts([made(), made(warning="Warning: the fit did not converge")], prob=0.9)
    labels = [label.get_text().replace("\n", " ") for label in ax.get_yticklabels()]
    assert labels[:2] == ["acute: 10 Hz against 1 Hz", "chronic: 20 sessions against 10"] == labels[3:5]
    assert drawn(ax, "_interval")[0].get_segments()[0][0, 0] == -0.9
    assert drawn(ax, "_delta")[0].get_width() == pytest.approx(0.2)
    assert ax.get_xlabel() == "Difference in SMD (positive = first is better)"
    assert ax.figure.get_suptitle() == "Warning: the fit did not converge"
    assert not drawn(figures.contrasts([made(0.1), made(0.2)]), "_delta")
    assert not drawn(figures.contrasts(made(0.0)), "_delta")
    with pytest.raises(ValueError, match="no contrasts"):
        figures.contrasts([])


def test_contrasts_warn_and_refuse_faulty_rows():
    ax = figures.contrasts(make_contrasts(warning="Did not converge").iloc[:1])
    assert ax.figure.get_suptitle() == "Did not converge"
    assert not ax.figure.legends
    table = make_contrasts()
    table.loc[0, "mean"], table.loc[1, "low"], table.loc[2, "p_positive"] = 2.0, np.nan, 1.2
    with pytest.raises(ValueError, match="cannot be drawn") as error:
        figures.contrasts(table)
    for part in (
        "['10 Hz against 1 Hz']: low, high do not",
        "['20 sessions against 10']: mean, low",
        "p_positive is no probability",
    ):
        assert part in str(error.value)
    with pytest.raises(ValueError, match="p_positive"):
        figures.contrasts(table.drop(columns="p_positive"))
    with pytest.raises(ValueError, match="no rows"):
        figures.contrasts(table.iloc[:0])
    with pytest.raises(ValueError, match="delta = -1"):
        figures.contrasts(make_contrasts(), delta=-1)


def make_support(names=("frequency_hz", "session_min", "pulses_per_session", "sessions"), warning=""):
    rng = np.random.default_rng(7)
    frequency, minutes = rng.choice([1.0, 5, 10, 20], 30), rng.choice([10.0, 20, 30], 30)
    doses = pd.DataFrame({"frequency_hz": frequency, "session_min": minutes, "sessions": rng.choice([0.0, 5, 10, 20], 30)})
    doses["pulses_per_session"] = frequency * 60 * minutes * rng.choice([0.1, 0.5, 1], 30)
    doses.loc[:3, "session_min"] = np.nan
    logs = np.log(doses[list(names)].where(doses > 0))
    printed = logs.notna().astype(int)
    return SimpleNamespace(correlation=logs.corr(), rows=printed.T @ printed, fit_warning=warning), doses


def test_support_draws_every_pair_of_doses_with_r_and_rows():
    found, doses = make_support()
    axes = figures.support(found, doses, duty_limit=True)
    names = list(found.correlation)
    assert len(axes[0, 0].figure.axes) == 6
    for column, row in itertools.combinations(range(4), 2):
        ax, (first, second) = axes[row - 1, column], (names[column], names[row])
        both = doses[(doses[[first, second]] > 0).all(axis=1)]
        (bubbles,) = drawn(ax, "_trials")
        places = {
            tuple(place): round(area / 10) for place, area in zip(bubbles.get_offsets().data, bubbles.get_sizes(), strict=True)
        }
        assert places == both.groupby([first, second]).size().to_dict()
        r = np.corrcoef(np.log(both[first]), np.log(both[second]))[0, 1]
        assert ax.get_title() == f"r = {r:.2f} ({len(both)} rows)".replace("-", "−")
        limits = drawn(ax, "_limit")
        assert len(limits) == (second == "pulses_per_session" and first in ("frequency_hz", "session_min"))
        for line in limits:
            third = doses["session_min" if first == "frequency_hz" else "frequency_hz"].max()
            np.testing.assert_allclose(line.get_ydata(), 60 * third * line.get_xdata())
            assert all((y <= 60 * third * x * (1 + 1e-9)) for x, y in places), "no trial has more"
    assert not overlapping(axes[0, 0].figure)


def test_support_of_two_doses_and_what_it_refuses():
    two = ["pulses_per_session", "frequency_hz"]
    found, doses = make_support(two, "Warning: the fit did not converge")
    ((ax,),) = figures.support(found, doses, labels={"frequency_hz": "Hertz"})
    assert ax.get_ylabel() == "Hertz"
    assert ax.figure.get_suptitle() == found.fit_warning
    assert ax.get_xscale() == ax.get_yscale() == "log"
    with pytest.raises(ValueError, match="'session_min' among the doses"):
        figures.support(found, doses, duty_limit=True)
    with pytest.raises(ValueError, match="two doses or more"):
        figures.support(make_support(two[:1])[0], doses)
    with pytest.raises(ValueError, match="lack the columns"):
        figures.support(found, doses.drop(columns="frequency_hz"))
    with pytest.raises(ValueError, match="no row has a number above 0"):
        figures.support(found, doses.assign(frequency_hz=np.nan))


def make_slopes(verdict="not clear"):
    rng = np.random.default_rng(8)
    slopes = {"within": rng.normal(0.1, 0.1, (2, 400)), "across": rng.normal(0.4, 0.05, (2, 400))}
    draws = xr.Dataset({name: (("chain", "draw"), values) for name, values in slopes.items()})
    draws["difference"] = draws.across - draws.within
    p = float((draws.difference > 0).mean())
    return SimpleNamespace(
        draws=draws, p_differ=p, delta=0.1, verdict=verdict, column="sessions", reference=10.0, studies=20, several=6
    )


def test_slopes_within_and_across_trials_stand_above_each_other():
    slopes = make_slopes()
    ax = figures.within_across(slopes, prob=0.8)
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "Within trials\n(6 of 20 studies)",
        "Across trials\n(20 studies)",
        f"Difference\n(P(above zero) {chance(slopes.p_differ)})",
    ]
    for row, (name, draws) in enumerate(slopes.draws.items()):
        low, middle, high = np.quantile(draws, [0.1, 0.5, 0.9])
        assert drawn(ax, "_median")[row].get_xydata().tolist() == [[middle, row]], name
        np.testing.assert_allclose(drawn(ax, "_interval")[row].get_segments()[0], [[low, row], [high, row]])
        outline = drawn(ax, "_density")[row].get_paths()[0].vertices
        peak = outline[outline[:, 1].argmin(), 0]
        assert abs(peak - draws.mean()) < 0.5 * draws.std()
    assert [line[1].tolist() for line in drawn(ax, "_delta")[0].get_segments()] == [[-0.1, 2], [0.1, 2]]
    assert ax.get_title() == "Verdict: not clear"
    assert ax.get_xlabel() == "Effect of 10 sessions"
    assert not overlapping(ax.figure)
    title = figures.within_across(make_slopes("did not converge")).title
    assert to_rgb(title.get_color()) == to_rgb(style.RED)


def test_slopes_that_cannot_be_drawn():
    slopes = make_slopes()
    with pytest.raises(ValueError, match="'difference'"):
        figures.within_across(SimpleNamespace(**vars(slopes) | {"draws": slopes.draws.drop_vars("difference")}))
    with pytest.raises(ValueError, match="finite numbers that vary"):
        figures.within_across(SimpleNamespace(**vars(slopes) | {"draws": slopes.draws.where(slopes.draws.across > 0.4)}))


@pytest.mark.parametrize(
    "draw",
    [
        lambda ax: figures.curve_families({"Emax": make_curve()}, ax=ax)[0],
        lambda ax: figures.curve_families({"Emax": make_curve(), "Bell": make_curve()}, together=True, ax=ax)[0],
        lambda ax: figures.near_best(make_best(), ax=ax),
        lambda ax: figures.surface(make_surface(), ax=ax),
        lambda ax: figures.contrasts(make_contrasts(), ax=ax),
        lambda ax: figures.support(*make_support(("frequency_hz", "sessions")), ax=ax)[0, 0],
        lambda ax: figures.within_across(make_slopes(), ax=ax),
    ],
)
def test_every_figure_draws_on_axes_that_are_given(draw):
    figure, ax = plt.subplots()
    assert draw(ax) is ax
    assert plt.get_fignums() == [figure.number]
    assert not figure.legends


@pytest.mark.parametrize(("p", "text"), [(0.0, "< 0.01"), (0.0051, "0.01"), (0.994, "0.99"), (0.995, "> 0.99"), (1.0, "> 0.99")])
def test_no_probability_is_printed_as_certain(p, text):
    assert chance(p) == text


def test_log_ticks_of_a_short_side_over_many_decades_keep_their_distance():
    ticks = style.log_ticks(90, 120_000, 90)
    at = 90 * np.log(ticks / 90) / np.log(120_000 / 90)
    widths = np.array([style.text_width(style.number(tick)) for tick in ticks])
    assert len(ticks) >= 2
    assert np.all(np.diff(at) > (widths[1:] + widths[:-1]) / 2)
    assert len(style.log_ticks(90, 120_000, 90, "y")) > len(ticks)


def test_ticks_of_support_do_not_touch_with_six_doses():
    names = ("pulses_per_session", "total_pulses", "frequency_hz", "session_min", "intensity_percent_rmt", "sessions")
    rng = np.random.default_rng(0)
    choices = [(900, 1200, 1500, 1800), (10000, 12000, 30000), (1, 5, 50), (5, 20, 40), (80, 100, 120), (5, 10, 20)]
    doses = pd.DataFrame({name: rng.choice(values, 40) for name, values in zip(names, choices, strict=True)})
    found = SimpleNamespace(correlation=np.log(doses).corr(), rows=doses.notna().T.astype(int) @ doses.notna(), fit_warning="")
    axes = figures.support(found, doses)
    figure = axes[-1, 0].figure
    figure.canvas.draw()
    for ax in axes[-1]:
        low, high = ax.get_xlim()
        boxes = [t.get_window_extent() for t, x in zip(ax.get_xticklabels(), ax.get_xticks(), strict=True) if low <= x <= high]
        assert boxes
        assert all(one.x1 < other.x0 for one, other in itertools.pairwise(boxes))
    labels = [ax.xaxis.label.get_window_extent() for ax in axes[-1]]
    assert all(one.x1 < other.x0 for one, other in itertools.pairwise(labels))


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


# --- fonts ----------------------------------------------------------------------------------------------------------------------------


def named_after(author: str) -> plt.Axes:
    return figures.dose_response(make_curve(), labels={"effect": f"Effect of {author}"})


def test_characters_that_no_font_has_are_warned_of_once(monkeypatch, tmp_path):
    monkeypatch.setattr(style, "FALLBACKS", ("a font that nobody has",))
    with pytest.warns(StimdoseWarning, match="王等, drawn as boxes: install") as caught:
        ax = named_after("王等 – Smith")
    figures.save(ax, tmp_path / "figure", ["png", "pdf"])  # any warning is an error here
    assert len(caught) == 1


def test_what_the_font_lacks_is_written_in_another(monkeypatch, tmp_path):
    monkeypatch.setattr(style, "FALLBACKS", ("STIXGeneral",))  # comes with matplotlib, and has a character that DejaVu Sans lacks
    ax = named_after("\N{MATHEMATICAL BOLD CAPITAL A}")
    assert ax.yaxis.label.get_fontfamily() == ["sans-serif", "STIXGeneral"]
    assert ax.xaxis.label.get_fontfamily() == ["sans-serif"]
    figures.save(ax, tmp_path / "figure", ["png", "pdf"])


# --- what warnings and legends say ------------------------------------------------------------------------------------------------------


def test_a_figure_grows_with_its_warnings_each_on_its_own_lines():
    plain = figures.dose_response(make_curve())
    warned = figures.dose_response(make_curve(warning="one: did not converge\ntwo: did not converge"))
    assert warned.figure.get_suptitle() == "one: did not converge\ntwo: did not converge"
    for ax in (plain, warned):
        ax.figure.draw_without_rendering()
    assert warned.get_window_extent().height == pytest.approx(plain.get_window_extent().height, rel=0.03)
    assert warned.figure.get_figheight() > plain.figure.get_figheight()


def test_pale_doses_of_prior_curves_are_in_the_legend():
    for observed, is_named in (([3.0, 30.0], True), ([1.0, 40.0], False)):
        of_set = {"set": {"sessions": make_curve(observed=observed)}}
        (ax,) = figures.prior_curves(SimpleNamespace(curves=of_set, prior_curves=of_set, fit_warning=""))[0]
        legend = [text.get_text() for text in ax.figure.legends[0].get_texts()]
        assert any("no trial tried" in text for text in legend) == is_named
