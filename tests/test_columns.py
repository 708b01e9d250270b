"""The vocabulary."""

import pandas as pd
import pytest

from stimdose.checklists import REPORTING
from stimdose.columns import COLUMNS, DOSES, KINDS, RESERVED, axis_label, level_order


def test_every_column_says_what_it_is():
    for column in COLUMNS.values():
        assert column.kind in KINDS, column
        assert column.meaning, column


def test_no_column_is_named_twice_or_as_one_that_reading_adds():
    from stimdose import columns

    names = [name for name, _, _ in REPORTING]
    assert len(set(names)) == len(names)
    assert not set(COLUMNS) & set(RESERVED)
    assert len(columns._arm_summaries()) == len({column.name for column in columns._arm_summaries()}) == 2 * (2 + 3 * 10)


@pytest.mark.parametrize("arm", ["active", "control"])
@pytest.mark.parametrize("time", ["", "baseline_", "change_"])
def test_arm_statistics_are_numbers(arm, time):
    for statistic in "mean sd se ci_low ci_high median q1 q3 min max".split():
        column = COLUMNS[f"{time}{statistic}_{arm}"]
        assert (column.kind, column.is_numeric) == ("arm", True)
        assert column.open_low == (statistic in ("sd", "se"))
    assert COLUMNS[f"events_{arm}"].low == 0


def test_what_is_a_number():
    numbers = "pre_post_r outcome_correlation time_correlation time_correlation_days control_correlation cluster_size icc t_value"
    numbers += " train_s intertrain_s trains on_time_s followup_days age_years female_percent k_studies baseline_severity"
    assert all(COLUMNS[name].is_numeric for name in numbers.split())
    assert all(COLUMNS[name].is_numeric for name in DOSES)
    assert not any(COLUMNS[name].is_numeric for name in ("p_value", "coil_type", "hemisphere", "rob_measurement", "study"))


def test_checklist_items_are_those_of_single_pulses_once_each():
    items = sorted(int(item.split()[1]) for _, _, item in REPORTING if item.startswith("Chipchase"))
    numeric = {1, 2, 18}
    assert {*items, *numeric} == set(range(1, 31)) - {26, 27, 28, 30}
    assert COLUMNS["age_years"].item == "Chipchase 1"
    assert COLUMNS["intensity_percent_rmt"].item == COLUMNS["intensity_percent_mso"].item == "Chipchase 18"
    assert [column.item for name, column in COLUMNS.items() if name.startswith("rob_")] == [f"RoB 2 D{k}" for k in range(1, 6)]


def test_labels_and_orders():
    assert axis_label("on_time_s") == "On-time (s)"
    assert axis_label("not a column") == "Not a column"
    assert level_order("rob_measurement", ["high", "low"]) == ["low", "high"]
    assert level_order("site", pd.Series(["10 cm", "2 cm"])) == ["2 cm", "10 cm"]
