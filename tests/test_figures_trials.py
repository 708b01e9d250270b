"""What trials tried and say: support, slopes, funnels, gaps, and what they add to priors."""

import itertools
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from figure_cases import (
    drawn,
    legend_texts,
    make_curve,
    make_parameters,
    make_reported,
    make_residuals,
    make_slopes,
    make_support,
    overlapping,
)
from matplotlib.colors import to_rgb
from scipy import stats

import stimdose as sd
from stimdose import figures
from stimdose.completeness import reported
from stimdose.doses import chance
from stimdose.figures import style
from stimdose.figures.priors import density

pytestmark = pytest.mark.usefixtures("own_style")


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


def test_pale_doses_of_prior_curves_are_in_the_legend():
    for observed, is_named in (([3.0, 30.0], True), ([1.0, 40.0], False)):
        of_set = {"set": {"sessions": make_curve(observed=observed)}}
        (ax,) = figures.prior_curves(SimpleNamespace(curves=of_set, prior_curves=of_set, fit_warning=""))[0]
        legend = [text.get_text() for text in ax.figure.legends[0].get_texts()]
        assert ("No trial near these doses" in legend) == is_named


# --- funnels ------------------------------------------------------------------------------------------------------------------------------


def test_a_funnel_stands_over_contours_of_significance():
    table = make_residuals()
    table.loc[0, "effect"] = 9.0
    ax = figures.funnel(table)
    right = ax.get_xlim()[1]
    assert right < 5
    (trials,) = drawn(ax, "_trials")
    np.testing.assert_allclose(trials.get_xydata(), table[["effect", "se"]].iloc[1:])
    (beyond,) = drawn(ax, "_beyond")
    assert (beyond.get_marker(), beyond.get_xydata().tolist()) == (">", [[right, table["se"][0]]])
    (expected,) = drawn(ax, "_expected")
    np.testing.assert_allclose(expected.get_xdata(), table["expected"].mean())
    greys = {}
    for p in (0.1, 0.05, 0.01):
        (wedge,) = drawn(ax, f"_p {p}")
        apex, one, other = wedge.get_xy()[:3]
        assert apex.tolist() == [0, 0]
        np.testing.assert_allclose([one[0] / one[1], other[0] / other[1]], [stats.norm.isf(p / 2), -stats.norm.isf(p / 2)])
        greys[p] = wedge.get_facecolor()[0]
    assert greys[0.1] == 1.0, "what is not significant at all is white"
    handles = {
        text: handle.get_facecolor()[0]
        for text, handle in zip(legend_texts(ax), ax.figure.legends[0].legend_handles, strict=True)
        if text[0] == "p"
    }
    (outside,) = drawn(ax, "_significant")
    assert handles == {
        "p > 0.1": 1.0,
        "p = 0.05 to 0.1": greys[0.05],
        "p = 0.01 to 0.05": greys[0.01],
        "p < 0.01": outside.get_facecolor()[0],
    }
    assert ax.get_ylim()[0] > table["se"].max() > ax.get_ylim()[1] == 0
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("SMD (positive = benefit)", "Standard error (SMD)")
    assert not overlapping(ax.figure)


def test_a_funnel_of_residuals_has_limits_with_and_without_the_differences_between_trials():
    table = make_residuals(warning="did not converge")
    ax = figures.funnel(table, of="residual", prob=0.9)
    np.testing.assert_allclose(drawn(ax, "_trials")[0].get_xydata(), table[["residual", "se"]])
    for label, spread in (("_sampling", 0.0), ("_spread", np.sqrt((0.05**2 + 0.15**2) / 2))):
        for line, sign in zip(drawn(ax, label), (-1, 1), strict=True):
            np.testing.assert_allclose(line.get_xdata(), sign * stats.norm.ppf(0.95) * np.hypot(line.get_ydata(), spread))
    assert "90 % limits of sampling error" in legend_texts(ax)
    assert ax.get_xlabel() == "Effect less that expected at its dose (SMD)"
    assert ax.figure.get_suptitle() == "did not converge"
    assert not drawn(ax, "_p 0.05")


def test_funnels_that_cannot_be_drawn():
    table = make_residuals(3)
    with pytest.raises(ValueError, match=r"lacks the columns \['spread'\]"):
        figures.funnel(table.drop(columns="spread"), of="residual")
    with pytest.raises(ValueError, match=r"rows \[1\]: a number is missing\n  - rows \[2\]: se is not positive"):
        figures.funnel(table.assign(effect=[0.1, np.nan, 0.2], se=[0.1, 0.1, 0.0]))
    with pytest.raises(ValueError, match="'effect' or of 'residual'"):
        figures.funnel(table, of="residuals")
    with pytest.raises(ValueError, match="no rows"):
        figures.funnel(table.iloc[:0])


def test_residuals_are_effects_less_the_mean_curve_at_their_doses(bell_fit):
    table = sd.residuals(bell_fit)
    row = bell_fit.rows.table.iloc[7]
    at = {"sessions": row["sessions"], "site": row["site"]}
    curve = sd.curve(bell_fit, "frequency_hz", by="phase", over=(row["frequency_hz"], 50), at=at)
    expected = float(curve.sel(phase=row["phase"]).isel(frequency_hz=0).mean())
    assert table["expected"][7] == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(table["residual"], bell_fit.rows.effect - table["expected"])
    values = bell_fit.values()
    spread = np.sqrt(np.mean(values["between_study"] ** 2) + np.mean(values["within_study"] ** 2))
    assert (table["spread"] >= spread - 1e-9).all(), "and slopes that differ by study"
    assert table.attrs == {"effect_label": "SMD (positive = benefit)"}


def test_residuals_of_effects_around_a_known_curve_show_no_more_than_their_error(bell_fit):
    table = sd.residuals(bell_fit)
    standard = table["residual"] / np.hypot(table["se"], table["spread"])
    assert abs(standard.mean()) < 3 / np.sqrt(len(table))
    assert 0.6 < standard.std() < 1.4
    assert table["residual"].var() < 0.8 * table["effect"].var(), "the dose explains a part"


# --- what is reported ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("studies", [10, 150])
def test_every_cell_of_a_table_is_drawn_with_counts_and_without_empty_fields(studies):
    reported = make_reported(studies)
    ax = figures.missingness(reported)
    (cells,) = drawn(ax, "_cells")
    shown = reported.drop(columns="coil")
    np.testing.assert_array_equal(np.reshape(cells.get_array(), shown.shape), shown)
    assert [text.get_text() for text in ax.texts] == [str(count) for count in shown.sum()]
    fields = [label.get_text() for label in ax.get_xticklabels()]
    assert fields == ["Effect", "SE", "Frequency (Hz)", "Session length (min)", "Sessions", "SD active", "Phase"]
    assert ax.figure.legends[0].get_title().get_text() == "1 field that no study reports is left out"
    assert ax.get_ylabel() == ("150 studies" if studies == 150 else "")
    assert len(ax.get_yticklabels()) == (0 if studies == 150 else 10)
    ax.figure.draw_without_rendering()
    assert ax.get_window_extent().height / ax.figure.dpi / studies * 72 > 2.5, "points of a line"
    assert ax.figure.get_figheight() < 9.5, "inches, of a page"
    for labels in (ax.get_xticklabels(), ax.get_yticklabels()):
        boxes = [label.get_window_extent() for label in labels]
        assert not any(one.overlaps(other) for one, other in itertools.pairwise(boxes))
    assert not overlapping(ax.figure)


def test_what_a_table_reports_is_drawn_as_counted(trials):
    table = reported(trials)
    ax = figures.missingness(table)
    assert [int(text.get_text()) for text in ax.texts] == [count for count in table.sum() if count]


def test_tables_of_what_is_reported_that_cannot_be_drawn():
    with pytest.raises(ValueError, match="no cells"):
        figures.missingness(make_reported().iloc[:0])
    with pytest.raises(ValueError, match="True or False"):
        figures.missingness(make_reported() * 0.5)
    with pytest.raises(ValueError, match="0 fields"):
        figures.missingness(make_reported() & False)
    with pytest.raises(ValueError, match="60 fields"):
        figures.missingness(pd.DataFrame(np.ones((3, 60), bool)))


# --- priors -------------------------------------------------------------------------------------------------------------------------------


def test_prior_and_posterior_of_every_parameter_and_group():
    prior, posterior = make_parameters()
    axes = figures.priors(prior, posterior, units={"intercept": "SMD"})
    assert [" ".join(ax.get_xlabel().split()) for ax in axes] == [
        "Intercept (SMD)",
        "Frequency: peak (Hz)",
        "Between study",
        "Intercept by phase, acute",
        "Intercept by phase, chronic",
    ]
    for ax, sd_after in zip(axes[[0, 3, 4]], [0.3] * 3, strict=True):
        for label, scale in (("_prior", 1.0), ("_posterior", sd_after)):
            (line,) = drawn(ax, label)
            np.testing.assert_allclose(line.get_ydata(), stats.norm.pdf(line.get_xdata(), scale=scale), atol=0.08 / scale)
    peak = axes[1]
    assert peak.get_xscale() == "log"
    assert {"5", "10", "20"} <= {peak.xaxis.get_major_formatter()(tick, 0) for tick in peak.get_xticks()}
    (line,) = drawn(peak, "_posterior")
    np.testing.assert_allclose(line.get_ydata(), stats.norm.pdf(np.log(line.get_xdata()), 2, 0.3), atol=0.1)
    far = figures.priors(prior * 1000, posterior * 1000, names=["frequency_hz_peak"])[0]
    (line,) = drawn(far, "_posterior")
    np.testing.assert_allclose(line.get_ydata(), stats.norm.pdf(np.log(line.get_xdata()), 2 + np.log(1000), 0.3), atol=0.1)
    (line,) = drawn(axes[2], "_prior")
    assert line.get_xdata()[0] == 0
    np.testing.assert_allclose(line.get_ydata(), stats.halfnorm.pdf(line.get_xdata()), atol=0.08)
    assert legend_texts(axes[0]) == ["Prior", "Posterior"]
    assert not overlapping(axes[0].figure)


def test_densities_integrate_to_the_share_of_draws_in_their_range():
    draws = np.random.default_rng(1).standard_cauchy(4000)
    at = np.linspace(-3, 3, 601)
    assert np.trapezoid(density(draws, at), at) == pytest.approx((abs(draws) < 3).mean(), abs=0.01)
    assert density(draws, at).max() == pytest.approx(stats.cauchy.pdf(0), rel=0.1), "wide tails blur nothing"


def test_an_axis_follows_a_wide_prior_only_some_way_beyond_the_posterior():
    prior, posterior = make_parameters()
    (ax,) = figures.priors(prior * 100, posterior, names=["intercept"])
    left, right = ax.get_xlim()
    assert left < posterior["intercept"].min() < posterior["intercept"].max() < right
    assert right - left < 12 * float(posterior["intercept"].max() - posterior["intercept"].min())


def test_priors_that_cannot_be_drawn():
    prior, posterior = make_parameters()
    with pytest.raises(ValueError, match=r"lack \['slope'\]"):
        figures.priors(prior, posterior, names=["slope"])
    with pytest.raises(ValueError, match=r"different groups.*chronic"):
        figures.priors(prior.isel(phase=[0]), posterior)
    with pytest.raises(ValueError, match=r"vary: \['intercept'\]"):
        figures.priors(prior.assign(intercept=prior["intercept"] * 0), posterior)
    with pytest.raises(ValueError, match=r"above zero, and draws of \['frequency_hz_peak'\]"):
        figures.priors(prior.assign(frequency_hz_peak=prior["intercept"]), posterior)
    with pytest.raises(ValueError, match="choose some by names"):
        figures.priors(prior, posterior, names=[])


def test_what_a_fit_keeps_of_its_priors_can_be_drawn(bell_fit):
    axes = figures.priors(bell_fit.tree["prior"], bell_fit.tree["posterior"])
    names = [name for name in bell_fit.tree["posterior"] if name in bell_fit.tree["prior"]]
    assert len(axes) == sum(bell_fit.tree["prior"][name][0, 0].size for name in names)
