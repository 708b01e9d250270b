"""What trials tried together: tables made by hand, whose answers are counted or computed in another way."""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from conftest import make_table
from scipy.stats import pearsonr

import stimdose as sd
from stimdose.caveats import about_knots, about_rivals
from stimdose.diagnosis import Diagnosis
from stimdose.dose_space import NEAR, SAME, _parameters, confounders, related, support, visited


def model_of(*columns: str) -> sd.Model:
    doses = [sd.Dose(column=column, shape="log-linear", reference=10) for column in columns]
    return sd.Model(name="by hand", intercept=sd.Intercept(), dose=doses)


def fit_of(table: pd.DataFrame, *columns: str) -> sd.Fit:
    """What is asked of a fit here: its model and its trials."""
    return sd.Fit(model_of(*columns), sd.read_trials(table), tree=None, diagnosis=None)


def doses(rows: int = 24, seed: int = 0) -> pd.DataFrame:
    """Trials whose pulses go with their frequency; minutes and sessions are their own."""
    rng = np.random.default_rng(seed)
    frequency, sessions = rng.choice([1.0, 5, 10, 20, 50], rows), rng.choice([5.0, 10, 20], rows)
    return (
        make_table(rows)
        .iloc[:rows]
        .assign(
            frequency_hz=frequency,
            pulses_per_session=np.round(frequency**0.9 * rng.lognormal(5, 0.4, rows)),
            intensity_percent_rmt=rng.choice([80.0, 90, 110], rows),
            sessions=sessions,
            treatment_days=sessions * 7 / 5,
        )
    )


def test_rivals_are_counted_as_a_statistics_library_counts_them():
    table = doses()
    (rival,) = confounders(fit_of(table, "frequency_hz", "sessions"), "frequency_hz")
    expected = pearsonr(np.log(table["frequency_hz"]), np.log(table["pulses_per_session"])).statistic
    assert (rival.column, rival.rows, rival.in_model) == ("pulses_per_session", 24, False)
    assert rival.r == pytest.approx(expected, abs=1e-12)
    (other,) = confounders(fit_of(table, "frequency_hz", "pulses_per_session"), "pulses_per_session")
    assert (other.column, other.in_model) == ("frequency_hz", True)
    assert other.r == pytest.approx(rival.r, abs=1e-12)


def test_units_and_order_of_rows_change_no_rival():
    table = doses()
    expected = confounders(fit_of(table, "frequency_hz"), "frequency_hz")
    turned = table.iloc[::-1].assign(pulses_per_session=table["pulses_per_session"] / 1000)
    (found,) = confounders(fit_of(turned, "frequency_hz"), "frequency_hz")
    assert found.r == pytest.approx(expected[0].r, abs=1e-12)
    assert found.rows == expected[0].rows


def test_only_rows_that_print_both_as_numbers_above_zero_count():
    table = doses().astype({"pulses_per_session": object})
    table.loc[table.index[:3], "pulses_per_session"] = ["", "500-900", 0]
    (rival,) = confounders(fit_of(table, "frequency_hz"), "frequency_hz")
    assert rival.rows == 21
    few = table.copy()
    few.loc[few.index[9:], "pulses_per_session"] = ""
    assert confounders(fit_of(few, "frequency_hz"), "frequency_hz") == ()


def test_what_measures_the_same_by_definition_is_no_rival():
    table = doses()
    assert np.corrcoef(np.log(table["sessions"]), np.log(table["treatment_days"]))[0, 1] > 0.99
    assert confounders(fit_of(table, "sessions"), "sessions") == ()


def test_total_pulses_are_a_rival_where_no_pulses_per_session_are():
    table = doses().assign(total_pulses=lambda t: t["pulses_per_session"] * t["sessions"])
    names = lambda fit: {rival.column for rival in confounders(fit, "frequency_hz")}
    assert names(fit_of(table, "frequency_hz")) == {"pulses_per_session"}
    assert names(fit_of(table, "frequency_hz", "total_pulses")) == {"pulses_per_session", "total_pulses"}
    assert names(fit_of(table.drop(columns=["pulses_per_session", "sessions"]), "frequency_hz")) == {"total_pulses"}


def test_a_dose_of_the_model_that_is_no_word_of_the_vocabulary_is_a_rival():
    table = doses().assign(coil_speed=lambda t: 3 * t["frequency_hz"])
    first, second = confounders(fit_of(table, "frequency_hz", "coil_speed"), "frequency_hz")
    assert (first.column, first.in_model) == ("coil_speed", True)
    assert first.r == pytest.approx(1.0)
    assert second.column == "pulses_per_session"
    assert [rival.column for rival in confounders(fit_of(table, "frequency_hz"), "frequency_hz")] == ["pulses_per_session"]


def test_a_dose_that_no_one_knows_is_refused():
    with pytest.raises(sd.StimdoseError, match=r"no dose 'frequency'.*did you mean 'frequency_hz'"):
        confounders(fit_of(doses(), "frequency_hz"), "frequency")


def test_a_dose_that_does_not_vary_or_is_not_printed_has_no_rivals():
    assert confounders(fit_of(doses().assign(frequency_hz=10.0), "sessions"), "frequency_hz") == ()
    assert confounders(fit_of(doses().assign(session_min=""), "frequency_hz", "session_min"), "session_min") == ()


def by_hand(**columns) -> sd.Trials:
    """Trials with these doses and nothing else of interest."""
    size = len(next(iter(columns.values())))
    return sd.read_trials(make_table(size).iloc[:size].drop(columns=["frequency_hz", "sessions"]).assign(**columns))


def test_a_point_is_visited_if_one_row_is_near_it_in_every_dose():
    trials = by_hand(frequency_hz=[1.0, 10.0, 20.0], session_min=[20.0, 5.0, 30.0])
    x, y = np.geomspace(0.5, 60, 37), np.geomspace(2, 80, 31)
    found = visited(trials, {"frequency_hz": x[:, None], "session_min": y})
    assert found.shape == (37, 31)
    assert 0 < found.sum() < found.size
    for (i, a), (j, b) in itertools.product(enumerate(x), enumerate(y)):
        near = [max(a / f, f / a) <= NEAR and max(b / m, m / b) <= NEAR for f, m in [(1, 20), (10, 5), (20, 30)]]
        assert found[i, j] == any(near)
    # each dose by itself was visited, both together were not
    assert visited(trials, {"frequency_hz": 1.0})
    assert visited(trials, {"session_min": 5.0})
    assert not visited(trials, {"frequency_hz": 1.0, "session_min": 5.0})


def test_the_ends_of_what_is_near_count_and_nothing_is_near_zero_but_zero():
    trials = by_hand(therapy_hours=[0.0, 10.0], sessions=[10.0, 10.0])
    found = visited(trials, {"therapy_hours": np.array([0, 1e-6, 10 / 1.5, 15.0, 6.6, 15.1])})
    assert found.tolist() == [True, False, True, True, False, False]


def test_intervals_count_from_end_to_end_and_open_ones_with_the_end_that_is_printed():
    trials = by_hand(sessions=["12-15", ">=40", "<2", ""], session_min=[20, 20, 20, 50])
    doses = np.array([1.2, 1.4, 2.9, 3.1, 7.9, 8.1, 13, 22.4, 22.6, 26, 27, 59, 61])
    expected = [False, True, True, False, False, True, True, True, False, False, True, True, False]
    assert visited(trials, {"sessions": doses}).tolist() == expected
    assert not visited(trials, {"sessions": doses, "session_min": 50.0}).any()  # that row does not print its sessions


def test_what_was_visited_knows_no_units_and_no_order_of_rows(monkeypatch):
    table = doses(60)
    points = {"frequency_hz": np.geomspace(0.5, 99, 50)[:, None], "pulses_per_session": np.geomspace(50, 20000, 40)}
    found = visited(sd.read_trials(table), points)
    turned = sd.read_trials(table.iloc[::-1].assign(pulses_per_session=table["pulses_per_session"] / 1000))
    points["pulses_per_session"] = points["pulses_per_session"] / 1000
    np.testing.assert_array_equal(visited(turned, points), found)
    monkeypatch.setattr("stimdose.dose_space.CHUNK", 5000)
    np.testing.assert_array_equal(visited(turned, points), found)


def test_doses_that_the_table_lacks_are_all_named():
    with pytest.raises(sd.StimdoseError, match=r"no dose 'minutes'.*no dose 'site'; it has frequency_hz"):
        visited(sd.read_trials(doses()), {"minutes": 1.0, "site": 2.0})
    with pytest.raises(sd.StimdoseError, match="no dose 'minutes'"):
        support(sd.read_trials(doses()), ["minutes"])


def test_support_agrees_with_correlations_and_inflation_computed_in_another_way():
    table = doses(40)
    found = support(sd.read_trials(table), ["frequency_hz", "pulses_per_session", "intensity_percent_rmt"])
    logs = np.log(table[["frequency_hz", "pulses_per_session", "intensity_percent_rmt"]])
    expected = np.corrcoef(logs.T)
    np.testing.assert_allclose(found.correlation, expected, atol=1e-12)
    np.testing.assert_allclose(found.inflation, np.diag(np.linalg.inv(expected)), rtol=1e-9)
    eigenvalues = np.linalg.eigvalsh(expected)
    assert found.condition == pytest.approx(np.sqrt(eigenvalues[-1] / eigenvalues[0]))
    assert (found.rows == 40).all(axis=None)
    (pair,) = found.pairs.itertuples()
    assert (pair.first, pair.second, pair.rows) == ("frequency_hz", "pulses_per_session", 40)
    assert 0 < pair.visited < 1
    assert "frequency_hz and pulses_per_session go together" in found.explanation
    assert found.region.loc["frequency_hz"].tolist() == [40, table["frequency_hz"].min(), table["frequency_hz"].max()]


def test_three_doses_tied_by_one_duty_cycle_follow_from_each_other_though_no_two_do():
    rng = np.random.default_rng(4)
    frequency, minutes = rng.choice([1.0, 5, 10, 20], 80), rng.choice([5.0, 10, 20, 40], 80)
    trials = by_hand(frequency_hz=frequency, session_min=minutes, pulses_per_session=frequency * 60 * minutes * 0.5)
    found = support(trials, ["frequency_hz", "session_min"])
    assert found.together == ()
    assert "No two" in found.explanation
    found = support(trials, ["frequency_hz", "session_min", "pulses_per_session"])
    assert np.isinf(found.inflation).all()
    assert np.isinf(found.condition)
    assert "frequency_hz, session_min and pulses_per_session nearly follow from each other" in found.explanation


def test_by_default_all_doses_that_enough_rows_print_are_compared():
    table = doses().astype({"intensity_percent_rmt": object})
    table.loc[table.index[5:], "intensity_percent_rmt"] = ""
    found = support(sd.read_trials(table))
    assert set(found.region.index) == {"frequency_hz", "pulses_per_session", "sessions", "total_pulses", "treatment_days"}
    assert not any({one, other} <= names for one, other in found.pairs[["first", "second"]].values for names in SAME)
    assert len(found.inflation) == 3


def test_what_cannot_be_computed_is_said():
    table = doses().assign(intensity_percent_rmt=100.0).astype({"frequency_hz": object})
    table.loc[table.index[4:], "frequency_hz"] = ""
    found = support(sd.read_trials(table), ["frequency_hz", "pulses_per_session", "intensity_percent_rmt"])
    assert "intensity_percent_rmt is the same" in found.explanation
    assert "4 rows print all of" in found.explanation
    assert found.inflation.isna().all()
    assert np.isnan(found.condition)
    assert "no second dose" in support(sd.read_trials(table), ["sessions"]).explanation


def fit_with(posterior: dict[str, np.ndarray], prior: dict[str, np.ndarray], r_hat: float = 1.0) -> sd.Fit:
    """A fit of frequency and pulses, whose draws are made by hand."""
    trees = {
        group: xr.Dataset({name: (("chain", "draw"), draws.reshape(4, -1)) for name, draws in values.items()})
        for group, values in (("posterior", posterior), ("prior", prior))
    }
    checks = pd.DataFrame({"r_hat": r_hat, "ess_bulk": 4000.0, "ess_tail": 4000.0}, ["frequency_hz_slope"])
    model = model_of("frequency_hz", "pulses_per_session")
    return sd.Fit(model, sd.read_trials(doses()), xr.DataTree.from_dict(trees), Diagnosis(checks, 0, 4000))


@pytest.mark.parametrize(("r", "named"), [(-0.9, True), (-0.5, False)])
def test_parameters_that_trade_off_in_the_posterior_are_named(r, named):
    rng = np.random.default_rng(0)
    draws = rng.multivariate_normal([0, 0], [[1, r], [r, 1]], 4000).T
    prior = {name: 3 * rng.standard_normal(4000) for name in ("frequency_hz_slope", "pulses_per_session_slope")}
    found = support(fit_with(dict(zip(prior, 0.3 * draws, strict=True)), prior))
    assert (len(found.parameters) == 1) == named
    assert ("cannot separate frequency_hz_slope from pulses_per_session_slope (correlation -0.9" in found.explanation) == named
    for pair in found.parameters.itertuples():
        assert pair.correlation == pytest.approx(np.corrcoef(draws)[0, 1])
        assert pair.contraction_first == pytest.approx(0.99, abs=0.002)


def test_parameters_of_rivals_that_both_keep_their_priors_are_named():
    rng = np.random.default_rng(1)
    names = ("frequency_hz_slope", "pulses_per_session_slope")
    draw = lambda sd_: {name: sd_ * rng.standard_normal(4000) for name in names}
    found = support(fit_with(draw(1.0), draw(1.0)))
    assert found.parameters[["first", "second"]].values.tolist() == [list(names)]
    assert "(contraction " in found.explanation
    assert not len(support(fit_with(draw(0.5), draw(1.0))).parameters)
    assert not found.fit_warning
    assert "did not converge" in support(fit_with(draw(1.0), draw(1.0), r_hat=1.2)).explanation


def test_support_of_a_fit_names_parameters_of_groups_and_rivals_that_the_model_lacks(bell_fit):
    found = support(bell_fit)
    assert found.region.index.tolist() == ["frequency_hz", "sessions"]
    names = {"frequency_hz_amplitude", "frequency_hz_peak", "frequency_hz_width", "sessions_slope"}
    names |= {f"sessions_slope_by_phase[{phase}]" for phase in bell_fit.rows.levels["phase"]}
    assert {name for _, name in _parameters(bell_fit, "posterior")} == names
    table = bell_fit.trials.table
    trials = replace(bell_fit.trials, table=table.assign(pulses_per_session=30 * table["frequency_hz"]))
    found = support(replace(bell_fit, trials=trials))
    assert found.unmodelled == (("frequency_hz", "pulses_per_session"),)
    assert "it books what pulses_per_session does as frequency_hz" in found.explanation


def test_a_table_in_which_no_dose_varies_has_nothing_to_compare():
    one = pd.DataFrame({"study": ["A"], "effect": [0.1], "se": [0.2], "frequency_hz": [10.0]})
    trials = sd.read_trials(one, direction="higher", measure="SMD", comparator="sham", design="parallel")
    with pytest.raises(sd.StimdoseError, match="no dose of this table varies"):
        sd.support(trials)


def going_with(doses: np.ndarray, r: float) -> np.ndarray:
    """Doses whose logarithms have correlation r with those of others, exactly."""
    x = np.log(doses) - np.log(doses).mean()
    noise = np.random.default_rng(3).standard_normal(len(x))
    noise -= noise.mean()
    noise -= x * (x @ noise) / (x @ x)
    return 20 * np.exp(r * x / x.std() + np.sqrt(1 - r**2) * noise / noise.std())


def correlated(r: float, rows: int) -> pd.DataFrame:
    frequency = 10 * np.exp(np.random.default_rng(2).standard_normal(rows))
    return make_table(rows).iloc[:rows].assign(frequency_hz=frequency, session_min=going_with(frequency, r))


@pytest.mark.parametrize(
    ("r", "rows", "named"),
    [
        (0.39, 60, False),
        (0.41, 60, True),
        (-0.59, 30, True),
        (0.41, 24, True),
        (0.41, 20, False),
        (0.5, 15, True),
        (0.5, 14, False),
    ],
)
def test_looser_correlations_are_remarks_and_no_rivals(r, rows, named):
    fit = fit_of(correlated(r, rows), "frequency_hz")
    assert confounders(fit, "frequency_hz") == ()
    found = [other for other in related(fit, "frequency_hz") if other.column == "session_min"]
    assert [(other.column, round(other.r, 6), other.rows) for other in found] == [("session_min", r, rows)] * named
    together = f"frequency_hz and session_min go together to some extent: r = {r:.2f} over {rows} rows"
    assert (together in support(fit.trials, ["frequency_hz", "session_min"]).remarks) == named
    if named:
        (line,) = about_rivals("frequency_hz", tuple(found))
        assert line.startswith(
            f"session_min goes with frequency_hz across trials to some extent (r = {r:.2f} of the logarithms, "
        )


def test_a_rival_is_not_related_as_well():
    fit = fit_of(correlated(0.65, 30), "frequency_hz")
    assert [rival.column for rival in confounders(fit, "frequency_hz")] == ["session_min"]
    assert "session_min" not in [other.column for other in related(fit, "frequency_hz")]


def test_a_looser_correlation_is_said_with_the_optimum_and_changes_no_verdict(bell_fit):
    table = bell_fit.trials.table
    fit = replace(bell_fit, trials=sd.Trials(table.assign(session_min=going_with(table["frequency_hz"].to_numpy(), 0.5))))
    best = sd.optimum(fit, "frequency_hz")
    assert best.verdict == sd.optimum(bell_fit, "frequency_hz").verdict == "identified"
    assert "session_min goes with frequency_hz across trials to some extent (r = 0.50" in best.explanation
    assert "which books some of its effect as that of frequency_hz" in best.explanation


def test_knots_beyond_the_doses_of_the_table_are_a_remark(bell_fit):
    """Sessions of 5 to 20 were tried; a monotone curve may rise from 0, where no trial was."""
    for shape, options, words in (
        ("restricted-cubic-spline", {"knots": (5, 10, 20)}, []),
        ("restricted-cubic-spline", {"knots": (10, 20, 60)}, ["The knot of sessions at 60 lies beyond"]),
        ("restricted-cubic-spline", {"knots": (2, 10, 60)}, ["Knots of sessions at 2, 60 lie beyond"]),
        ("monotone", {"knots": (2, 10), "between": (0, 20)}, []),
        ("monotone", {"knots": (10, 30), "between": (0, 40)}, ["The knot of sessions at 30 lies beyond"]),
    ):
        dose = sd.Dose(column="sessions", shape=shape, **options)
        found = about_knots(replace(bell_fit, model=bell_fit.model.replace(dose=(bell_fit.model.dose[0], dose))), "sessions")
        assert [line.partition(" the doses")[0] for line in found] == words
