"""Outcome scales."""

import math

import pandas as pd
import pytest

import stimdose as sd
from stimdose.scales import SCALES, directions, scale_of


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("fma-ue", "FMA-UE"),
        ("Fugl-Meyer Assessment (upper extremity)", "FMA-UE"),
        ("UEFM", "FMA-UE"),
        ("FMA LE", "FMA-LE"),
        ("Action Research Arm Test", "ARAT"),
        ("WMFT time", "WMFT-TIME"),
        ("WMFT functional ability", "WMFT-FAS"),
        ("MAS", "MAS"),
        ("MAS elbow flexors (ordinal)", "MAS"),
        ("Modified Ashworth Scale, wrist", "MAS"),
        ("Tardieu scale", "MTS"),
        ("Barthel index", "BI"),
        ("Modified Barthel Index", "MBI"),
        ("VAS (0-100 mm)", "VAS"),
        ("NRS pain", "NRS"),
        ("modified Rankin scale", "mRS"),
        ("Box & Block Test", "BBT"),
    ],
)
def test_aliases(written, name):
    assert scale_of(written) is SCALES[name]


@pytest.mark.parametrize(
    "written",
    [
        "",
        None,
        math.nan,
        "FMA",
        "WMFT",
        "VAS decrease (0-100 mm)",
        "pain NRS/VAS",
        "FMA-UE wrist",
        "MTS R1 angle",
        "elbow",
        "SF-MPQ-2 pain",
    ],
)
def test_what_is_not_surely_a_scale_is_none(written):
    assert scale_of(written) is None


def test_directions_keep_the_order_of_rows():
    assert directions(["MAS", "unknown", None, "ARAT", "MAS"]) == ["lower", None, None, "higher", "lower"]
    assert directions(iter(["MAS", "ARAT"])) == ["lower", "higher"]


def test_every_scale_is_whole_and_no_alias_means_two():
    from stimdose import scales

    for scale in SCALES.values():
        assert scale.low < scale.high
        assert scale.direction in sd.COLUMNS["direction"].levels
        assert all(scale_of(alias) is scale for alias in (scale.name, *scale.aliases)), scale.name
        for difference in scale.differences:
            assert 0 < difference.low <= difference.high <= (scale.high - scale.low) / 2
            assert difference.doi.startswith("10.")
            assert difference.source[-4:].isdecimal()
    assert not scales.JOINT_WORDS & set(scales._BY_KEY)


def test_shipped_tables_agree_with_the_scales():
    for name in ("rpms_stroke_partial", "rtms_pain", "synthetic_rpms_dose_finding"):
        table = sd.load_dataset(name).table
        stated = zip(directions(table["outcome"]), table["direction"], table["outcome"], strict=True)
        assert not [outcome for known, printed, outcome in stated if known and isinstance(printed, str) and known != printed]


def test_a_table_whose_signs_were_turned_already_shows_up():
    table = sd.load_dataset("stroke_therapy_hours").table
    known = pd.Series(directions(table["outcome"]), table.index)
    assert set(table.loc[known.notna() & (known != table["direction"]), "outcome"]) == {"wmft-time"}
