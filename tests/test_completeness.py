"""What trials report."""

import pandas as pd
import pytest
from conftest import make_table

import stimdose as sd
from stimdose.completeness import FIELDS, completeness, reported, reported_rows, summary
from stimdose.storage import dataset_to_trials, table_to_dataset


@pytest.fixture
def trials() -> sd.Trials:
    table = make_table(studies=4).astype({"frequency_hz": object})  # six rows; the second and fourth study have two
    table.loc[0, "frequency_hz"] = "10-20"
    table.loc[1, "frequency_hz"] = None
    table["coil_type"] = [None, "figure of eight", None, None, "round", None]
    table["rob_measurement"] = "Low"
    table["p_value"] = ["<0.05", None, None, None, None, None]
    return sd.read_trials(table)


def test_an_interval_counts_and_an_empty_cell_does_not(trials):
    assert reported_rows(trials)["frequency_hz"].tolist() == [True, False, True, True, True, True]


def test_a_study_reports_what_one_of_its_rows_does(trials):
    flags = reported(trials)
    assert flags.index.tolist() == [f"Trial {k:02d}" for k in range(4)]
    assert tuple(flags.columns) == FIELDS
    assert flags["frequency_hz"].all()
    assert flags["coil_type"].tolist() == [False, True, False, True]
    assert flags.dtypes.eq(bool).all()


def test_counts(trials):
    table = completeness(trials).set_index("field")
    assert table.loc["frequency_hz", ["studies", "rows", "share"]].tolist() == [4, 5, 1.0]
    assert table.loc["coil_type", ["group", "item", "studies", "rows", "share"]].tolist() == [
        "reporting",
        "Chipchase 13",
        2,
        2,
        0.5,
    ]
    assert table.loc["rob_measurement", "item"] == "RoB 2 D4"
    assert table.loc["mean_active", "studies"] == 0
    assert "effect" not in table.index
    assert table.index.is_unique


def test_summary_names_what_there_is_and_what_nobody_reports(trials):
    lines = summary(trials)
    assert lines[0] == "Reported, of 4 studies:"
    assert "  reporting: coil_type 2" in lines
    assert "  effect: se 4, p_value 1" in lines
    assert lines[-1].startswith("Reported by no study: ")
    assert "coil_orientation" in lines[-1]
    assert "mean_active" not in lines[-1]


def joined_tables(index) -> sd.Trials:
    """Two rows; the SD of the second is computed from its standard error."""
    arms = {"n_active": 20, "mean_active": 1, "n_control": 20, "mean_control": 0, "sd_control": 1}
    rows = [{"study": "Printed", "sd_active": 1} | arms, {"study": "Computed", "se_active": 0.2} | arms]
    constants = {"direction": "higher", "measure": "SMD", "comparator": "sham", "design": "parallel"}
    return sd.read_trials(pd.DataFrame(rows, index=index), **constants)


@pytest.mark.parametrize("index", [[0, 0], [0, "0"], pd.MultiIndex.from_tuples([("a", 1), ("b", 1)])])
def test_labels_of_any_kind_do_not_mix_rows_up(index):
    """What was computed in one row says nothing about another of its label, before a fit is saved and after."""
    trials = joined_tables(index)
    for found in (trials, dataset_to_trials(table_to_dataset(trials))):
        assert reported_rows(found)["sd_active"].tolist() == [True, False]
        assert {line.study for line in found.subset(study="Computed").conversions} == {"Computed"}
        assert not [line for line in found.subset(study="Printed").conversions if line.column == "sd_active"]


@pytest.mark.parametrize("name", [name for name in sd.datasets().index if name != "published_pools"])
def test_every_shipped_table_can_be_counted(name):
    trials = sd.load_dataset(name)
    table = completeness(trials)
    assert isinstance(table, pd.DataFrame)
    assert table["studies"].between(0, trials.table["study"].nunique()).all()
    assert (table["rows"] >= table["studies"]).all()
