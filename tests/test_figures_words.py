"""What holds for every figure: words in any language, units on axes, and no reliance on colour."""

import ast
import itertools
import re

import numpy as np
import pytest
from figure_cases import CASES, make_curve, make_points, texts
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D

from stimdose import figures

pytestmark = pytest.mark.usefixtures("own_style")

NO_UNIT = (
    "Sessions|Probability.*|P\\(.*|PIT of the study|Share of studies|Rank of the truth.*|ECDF less uniform|Density|"
    "Difference in elpd.*|Pulses per session|Between study|Intercept by phase, .*|.* SMD, positive = benefit|SMD, positive = benefit|"
    "[0-9]+ (studies|rows)|Sessions with the largest effect.*"
)
"""Counts, shares, and what the case gives no unit of."""
STUDIES = r"Trial \d+|… and .*"


def figure_of(found):
    return np.ravel(found)[0].get_figure(root=True)


def words_of(draw) -> list[str]:
    """Every text that a caller may replace: the message to one who asks for another lists them."""
    with pytest.raises(figures.style.FigureError) as error:
        draw(labels={"no such text": ""})
    return ast.literal_eval(str(error.value).split("are ", 1)[1])


def in_no_language(text: str) -> str:
    """The text without a Latin letter, but with its open places."""
    return "".join(part if part.startswith("{") else re.sub("[A-Za-z]", "ж", part) for part in re.split(r"(\{\w+\})", text))


def test_every_figure_has_a_case():
    functions = {name for name in figures.__all__ if callable(getattr(figures, name)) and name != "save"}
    assert functions == {name.partition(" ")[0] for name in CASES}


@pytest.mark.parametrize("name", CASES)
def test_no_word_is_left_where_the_caller_gives_others(name):
    draw = CASES[name]
    figure = figure_of(draw(labels={word: in_no_language(word) for word in words_of(draw)}))
    figure.draw_without_rendering()
    left = {re.sub(STUDIES, "", text) for text in texts(figure)}
    assert not {text for text in left if re.search("[A-Za-z]", re.sub(r"\br = ", "", text))}
    assert any("ж" in text for text in left)


def test_a_german_figure():
    german = {
        "dose": "Frequenz (Hz)",
        "effect": "SMD (positiv = Nutzen)",
        "acute": "akut",
        "chronic": "chronisch",
        "Mean effect": "Mittlerer Effekt",
        "{prob} interval of the mean": "{prob}-Intervall des Mittelwerts",
        "No trial near these doses": "Keine Studie nahe diesen Dosen",
        "Trials (area: precision)": "Studien (Fläche: Genauigkeit)",
        "{rows} row": "{rows} Zeile",
        "{rows} rows": "{rows} Zeilen",
    }
    curve, points = make_curve(["acute", "chronic"], dose="frequency_hz"), make_points(phase=["acute", "acute", "chronic"])
    axes = figures.dose_response(curve, points=points, labels=german, prob=0.9)
    shown = {text for text in texts(axes[0].figure) if re.search("[A-Za-z]", text)}
    assert shown == {
        "Frequenz (Hz)",
        "SMD (positiv = Nutzen)",
        "akut (2 Zeilen)",
        "chronisch (1 Zeile)",
        "Mittlerer Effekt",
        "90 %-Intervall des Mittelwerts",
        "Keine Studie nahe diesen Dosen",
        "Studien (Fläche: Genauigkeit)",
    }


@pytest.mark.parametrize("name", CASES)
def test_every_axis_names_its_unit(name):
    figure = figure_of(CASES[name]())
    labels = [figure.get_supxlabel(), figure.get_supylabel()]
    labels += [axis.get_label_text() for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)]
    labels = {" ".join(label.split()) for label in labels if label}
    assert labels or name == "missingness"
    assert not {label for label in labels if not re.search(r"\(.+\)", label) and not re.fullmatch(NO_UNIT, label)}


def luminance(color) -> float:
    """Of an opaque colour, 0 to 1 (WCAG 2.1)."""
    parts = np.array(to_rgb(color))
    return float(np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722])


def shape_of(handle) -> tuple:
    """What is seen of a legend's entry without colour."""
    if isinstance(handle, Line2D):
        return ("line", handle.get_linestyle(), handle.get_marker(), handle.is_dashed())
    return ("area", handle.get_hatch(), bool(handle.get_linewidth() and handle.get_edgecolor()[3]))


@pytest.mark.parametrize("name", CASES)
def test_entries_of_a_legend_are_told_apart_without_colour(name):
    figure = figure_of(CASES[name]())
    legends = [*figure.legends, *(ax.get_legend() for ax in figure.axes if ax.get_legend())]
    for legend in legends:
        for one, other in itertools.combinations(legend.legend_handles, 2):
            colors = [handle.get_color() if isinstance(handle, Line2D) else handle.get_facecolor()[:3] for handle in (one, other)]
            apart = abs(luminance(colors[0]) - luminance(colors[1])) > 0.05
            assert shape_of(one) != shape_of(other) or apart, (one.get_label(), other.get_label())


@pytest.mark.parametrize("name", CASES)
def test_points_of_different_colours_in_one_axes_have_different_markers(name):
    for ax in figure_of(CASES[name]()).axes:
        points = [line for line in ax.lines if line.get_linestyle() == "None" and line.get_label() != "_beyond"]
        for one, other in itertools.combinations(points, 2):
            if one.get_label() != other.get_label() and to_rgb(one.get_color()) != to_rgb(other.get_color()):
                assert one.get_marker() != other.get_marker(), (one.get_label(), other.get_label())
        assert not [each for each in ax.collections if isinstance(each, PathCollection) and len(each.get_facecolor()) > 1]


def test_seven_curves_in_one_axes_have_a_colour_and_a_marker_each():
    (ax,) = CASES["curve_families together"]()
    marks = [line for line in ax.lines if line.get_label() == "_mark"]
    assert len({line.get_marker() for line in marks}) == len({line.get_color() for line in marks}) == len(marks) == 7
    means = [line for line in ax.lines if line.get_label() == "_mean"]
    for mark in marks:
        own = [line for line in means if line.get_color() == mark.get_color()]
        x, y = (np.concatenate([line.get_data()[k] for line in own]) for k in (0, 1))
        order = np.argsort(x, kind="stable")
        np.testing.assert_allclose(mark.get_ydata(), np.interp(mark.get_xdata(), x[order], y[order]))
