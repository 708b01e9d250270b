"""Figures by structure: what is drawn equals what was computed, and nothing is cut silently."""

import json
import struct

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.colors import to_rgb
from matplotlib.text import Text

from stimdose import figures
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
