"""Large tables, at a small size in every run and at their own size among the slow tests (`benchmarks/scale.py`)."""

from pathlib import Path

import numpy as np
import pytest
from conftest import benchmark_module

import stimdose as sd
from stimdose.completeness import completeness


@pytest.fixture
def scale(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    return benchmark_module("scale")


def test_names_of_any_script_come_through(scale, tmp_path):
    """Five hundred studies as text with semicolons and decimal commas, in UTF-16 with the line ends of Windows: the same trials."""
    table = scale.table(1000, 500, 40)
    plain = sd.read_trials(table)
    table.to_csv(tmp_path / "t.csv", index=False, sep=";", decimal=",", encoding="utf-16", lineterminator="\r\n")
    found = sd.read_trials(tmp_path / "t.csv", decimal=",")
    for name in ("study", "clinic", "effect", "variance", "sessions"):
        assert found.table[name].equals(plain.table[name]), name
    assert found.table["study"].nunique() == 500
    assert completeness(found).set_index("field")["rows"]["frequency_hz"] == 1000
    np.testing.assert_array_equal(found.bounds("sessions"), plain.bounds("sessions"))


@pytest.mark.slow
@pytest.mark.parametrize("part", ["rows", "studies", "groups"])
def test_at_their_own_size(scale, tmp_path, part):
    with pytest.warns():  # of convergence after few draws, and of fonts
        found = scale.PARTS[part](scale.SIZES[part], tmp_path)
    assert found[part] == scale.SIZES[part]
    assert max(step["peak_mib"] for step in found["steps"].values()) < 4000
