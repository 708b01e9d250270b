"""What trials tried together: tables made by hand, whose answers are counted or computed in another way."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from conftest import make_table
from scipy.stats import pearsonr

import stimdose as sd
from stimdose.dose_space import confounders


def model_of(*columns: str) -> sd.Model:
    doses = [sd.Dose(column=column, shape="log-linear", reference=10) for column in columns]
    return sd.Model(name="by hand", intercept=sd.Intercept(), dose=doses)


def fit_of(table: pd.DataFrame, *columns: str) -> SimpleNamespace:
    """What is asked of a fit here: its model and its trials."""
    return SimpleNamespace(model=model_of(*columns), trials=sd.read_trials(table))


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
    assert confounders(fit_of(doses(), "frequency_hz", "session_min"), "session_min") == ()
