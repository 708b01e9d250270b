"""House style, words, ticks, fonts, files; and what holds for every figure."""

import itertools
import re
import struct
from types import SimpleNamespace
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from figure_cases import (
    CASES,
    GROUPS,
    make_best,
    make_contrasts,
    make_curve,
    make_slopes,
    make_support,
    make_surface,
)
from scipy.optimize import minimize

from stimdose import StimdoseWarning, figures
from stimdose.figures import style

pytestmark = pytest.mark.usefixtures("own_style")


def named_after(author: str) -> plt.Axes:
    return figures.dose_response(make_curve(), labels={"effect": f"Effect of {author}"})


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


@pytest.mark.parametrize("suffix", ["pdf", "png", "svg"])
def test_the_same_figure_is_saved_as_the_same_bytes(suffix, tmp_path):
    one, other = (
        figures.save(figures.dose_response(make_curve(GROUPS)), tmp_path / name, formats=suffix)[0] for name in ("one", "other")
    )
    assert one.read_bytes() == other.read_bytes()


def test_svg_needs_no_font_and_nothing_from_elsewhere(tmp_path):
    (path,) = figures.save(figures.dose_response(make_curve()), tmp_path / "figure", formats="svg")
    root = ElementTree.parse(path).getroot()
    assert not list(root.iter("{http://www.w3.org/2000/svg}text"))
    assert not re.search(r"font-family|@import|url\(http|href=\"http", path.read_text(encoding="utf-8"))
    width = float(root.get("width").removesuffix("pt")) / 72
    assert width == pytest.approx(style.SINGLE, abs=0.35)


def test_the_house_style_is_a_file_that_users_can_take(tmp_path):
    with plt.style.context(figures.PAPER):
        assert plt.rcParams["savefig.dpi"] == 300
        assert (plt.rcParams["pdf.fonttype"], plt.rcParams["ps.fonttype"]) == (42, 42)
        assert plt.rcParams["figure.figsize"][0] == figures.SINGLE
        figure, ax = plt.subplots()
        ax.plot([0, 1], [0, 1])
        ax.set_xlabel("Frequency (Hz)")
        figure.savefig(tmp_path / "own.pdf")
    assert b"/Type3" not in (tmp_path / "own.pdf").read_bytes()
    assert ax.lines[0].get_color() == style.BLUE
    assert not ax.spines["top"].get_visible()


def test_new_figures_are_in_the_house_style_and_given_axes_in_the_callers():
    assert figures.dose_response(make_curve()).xaxis.label.get_size() == style.HOUSE["axes.labelsize"]
    with plt.rc_context({"axes.labelsize": 13.0}):
        assert figures.dose_response(make_curve()).xaxis.label.get_size() == style.HOUSE["axes.labelsize"]
        ax = plt.subplots()[1]
        assert figures.dose_response(make_curve(), ax=ax).xaxis.label.get_size() == 13.0


@pytest.mark.parametrize("name", CASES)
def test_figures_are_one_or_two_columns_wide_and_no_higher_than_a_page(name):
    width, height = np.ravel(CASES[name]())[0].get_figure(root=True).get_size_inches()
    assert style.SINGLE - 1e-9 <= width <= style.DOUBLE + 1e-9
    assert height < 9.5


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(1, 50, [1, 2, 5, 10, 20, 50]), (5, 50, [5, 10, 20, 50]), (0.5, 100, [0.5, 1, 2, 5, 10, 20, 50, 100])],
)
def test_frequencies_have_ticks_where_people_stimulate(low, high, expected):
    assert style.log_ticks(low, high, 190).tolist() == expected


def test_save_takes_figures_and_arrays_and_refuses_what_it_cannot_do(tmp_path):
    axes = figures.dose_response(make_curve(GROUPS))
    assert figures.save(axes, tmp_path / "array", formats=["svg"]) == [tmp_path / "array.svg"]
    with pytest.raises(FileNotFoundError, match="does not exist"):
        figures.save(axes, tmp_path / "none" / "figure")
    with pytest.raises(ValueError, match="docx"):
        figures.save(axes, tmp_path / "figure", formats=("pdf", "docx"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["array.svg"]


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


def test_a_figure_grows_with_its_warnings_each_on_its_own_lines():
    plain = figures.dose_response(make_curve())
    warned = figures.dose_response(make_curve(warning="one: did not converge\ntwo: did not converge"))
    assert warned.figure.get_suptitle() == "one: did not converge\ntwo: did not converge"
    for ax in (plain, warned):
        ax.figure.draw_without_rendering()
    assert warned.get_window_extent().height == pytest.approx(plain.get_window_extent().height, rel=0.03)
    assert warned.figure.get_figheight() > plain.figure.get_figheight()


def test_log_ticks_on_a_side_too_short_for_three_decades():
    """As of total pulses beside five other doses: labels touched."""
    assert style.log_ticks(530, 150_000, 62).tolist() == [1000, 100_000]
    assert len(style.log_ticks(530, 150_000, 20)) <= 1
