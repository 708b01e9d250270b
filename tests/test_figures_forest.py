"""Forest plots and contrasts, row by row."""

import itertools
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from figure_cases import drawn, make_contrasts, make_table, overlapping, texts
from matplotlib.colors import to_rgb
from matplotlib.text import Text

import stimdose as sd
from stimdose import figures
from stimdose.doses import chance
from stimdose.figures import style
from stimdose.predictive import mean_effects

pytestmark = pytest.mark.usefixtures("own_style")


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


def test_forest_sums_up_every_group_below_its_rows_and_the_whole_at_the_foot():
    table = make_table(4).assign(group=["acute", "chronic", "acute", "chronic"])
    own = {name: {"pooled": {"mean": k, "low": k - 0.1, "high": k + 0.2}} for name, k in (("acute", 0.3), ("chronic", 0.5))}
    own["chronic"]["prediction"] = {"low": 0.1, "high": 0.8}
    table.attrs["by_group"] = own
    ax = figures.forest(table)
    acute, chronic, overall = drawn(ax, "_pooled")
    for diamond, (low, mean, high) in ((acute, (0.2, 0.3, 0.5)), (chronic, (0.4, 0.5, 0.7)), (overall, (0.25, 0.4, 0.55))):
        assert sorted(set(diamond.get_xy()[:, 0])) == pytest.approx([low, mean, high])
    own_bar, overall_bar = drawn(ax, "_prediction")
    assert (own_bar.get_x(), own_bar.get_width()) == pytest.approx((0.1, 0.7))
    rows = drawn(ax, "_effect")[0].get_offsets()[:, 1]
    height = lambda diamond: diamond.get_xy()[0, 1]
    assert rows[1] < height(acute) < rows[2] < rows[3] < height(chronic) < own_bar.get_y() < height(overall) < overall_bar.get_y()
    assert {"  Pooled effect", "0.30 [0.20, 0.50]", "[0.10, 0.80]"} <= {text.get_text() for text in ax.texts}
    assert not overlapping(ax.figure)


def test_sums_of_groups_are_those_of_their_rows(bell_fit):
    table = sd.study_effects(bell_fit, group="phase")
    own, whole = table.attrs["by_group"], table.attrs["pooled"]
    sizes = table["group"].value_counts()
    means = {name: each["pooled"]["mean"] for name, each in own.items()}
    assert set(means) == {"acute", "subacute", "chronic"}
    assert sum(means[name] * sizes[name] for name in means) / len(table) == pytest.approx(whole["mean"])
    rows, draws = bell_fit.rows, mean_effects(bell_fit.model, bell_fit.rows, bell_fit.values())
    for name, mean in means.items():
        assert mean == pytest.approx(draws[:, (rows.table["phase"] == name).to_numpy()].mean())
        assert own[name]["prediction"]["low"] < own[name]["pooled"]["low"]
        assert own[name]["prediction"]["high"] > own[name]["pooled"]["high"]
    assert sd.study_effects(bell_fit).attrs["by_group"] == {}


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


@pytest.mark.parametrize(("p", "text"), [(0.0, "< 0.01"), (0.0051, "0.01"), (0.994, "0.99"), (0.995, "> 0.99"), (1.0, "> 0.99")])
def test_no_probability_is_printed_as_certain(p, text):
    assert chance(p) == text
