"""Classes of protocols: filled from modality and frequency, noted, never guessed."""

import pandas as pd
import pytest

import stimdose as sd

BASE = {"direction": "higher", "measure": "SMD", "comparator": "sham", "design": "parallel", "effect": 0.3, "se": 0.2}
CASES = [  # modality, frequency, class, and what the audit says ("" where it has nothing to say)
    ("rTMS", "1", "low", "at most 1 Hz"),
    ("rTMS", "0.5", "low", "at most 1 Hz"),
    ("rTMS", "5", "high", "at least 5 Hz"),
    ("deep rTMS", ">=10", "high", "at least 5 Hz"),
    ("repetitive transcranial magnetic stimulation", "5-20", "high", "at least 5 Hz"),
    ("rTMS", "<1", "low", "at most 1 Hz"),
    ("rTMS", "3", None, "not at most 1 Hz"),
    ("rTMS", "1-10", None, "not at most 1 Hz"),
    ("rTMS", None, None, ""),
    ("HF-rTMS", None, "high", "named in modality"),
    ("LF rTMS", None, "low", "named in modality"),
    ("low-frequency rTMS", "1", "low", "at most 1 Hz"),
    ("HF-rTMS", "1", None, "modality says high frequency"),
    ("HF-rTMS", "3", None, "not at most 1 Hz"),
    ("LF/HF-rTMS", None, "combined", "low and high frequency in one row"),
    ("LF-rTMS + HF-rTMS", "10", "combined", "low and high frequency in one row"),
    ("iTBS", None, "iTBS", "named in modality"),
    ("iTBS-1200", "50", "iTBS", "named in modality"),
    ("prolonged iTBS", None, "iTBS", "named in modality"),
    ("continuous theta burst stimulation", "5", "cTBS", "named in modality"),
    ("QPS-50", None, "QPS", "named in modality"),
    ("TBS", None, None, "names no pattern"),
    ("cTBS/iTBS", None, None, "or several"),
    ("rPMS", "20", None, ""),
    ("peripheral iTBS", "5", None, ""),
    ("tDCS", "5", None, ""),
    (None, "10", None, ""),
]


def read(*rows: dict) -> sd.Trials:
    return sd.read_trials(pd.DataFrame([BASE | {"study": f"S{k}"} | row for k, row in enumerate(rows)], dtype=object))


@pytest.mark.parametrize(("modality", "frequency", "expected", "said"), CASES)
def test_a_class_follows_from_modality_and_frequency_or_is_left_empty_and_noted(modality, frequency, expected, said):
    trials = read({"modality": modality, "frequency_hz": frequency}, {"modality": "rTMS", "frequency_hz": "20"})
    found = trials.table["protocol_class"]
    assert found[1] == "high"
    assert pd.isna(found[0]) if expected is None else found[0] == expected
    lines = trials.audit().query("column == 'protocol_class' and study == 'S0'")
    assert len(lines) == bool(said)
    if said:
        assert said in lines["formula"].item()
        assert lines["computed"].item() == (expected or "left empty")


def test_printed_classes_stay_and_those_that_say_another_are_noted():
    trials = read(
        {"modality": "rTMS", "frequency_hz": "1", "protocol_class": "combined"},
        {"modality": "rTMS", "frequency_hz": "1", "protocol_class": "high"},
        {"modality": "rTMS", "frequency_hz": "1", "protocol_class": "low"},
        {"modality": "rPMS", "frequency_hz": "1", "protocol_class": None},
    )
    assert trials.table["protocol_class"].tolist()[:3] == ["combined", "high", "low"]
    assert pd.isna(trials.table["protocol_class"][3])
    lines = trials.audit().query("column == 'protocol_class'")
    assert lines["study"].tolist() == ["S1"]
    assert "kept as printed" in lines["formula"].item()


def test_a_class_outside_the_vocabulary_is_a_fault():
    with pytest.raises(sd.TrialsError, match="protocol_class"):
        read({"modality": "rTMS", "frequency_hz": "1", "protocol_class": "medium"})


def test_tables_without_transcranial_rows_get_no_column():
    assert "protocol_class" not in read({"modality": "rPMS", "frequency_hz": "20"}).table
    assert "protocol_class" not in read({"frequency_hz": "20"}).table


def test_a_frequency_that_follows_from_pulses_counts():
    trials = read({"modality": "rTMS", "pulses_per_session": "1000", "on_time_s": "100"})
    assert trials.table["frequency_hz"].item() == 10
    assert trials.table["protocol_class"].item() == "high"


def test_the_pain_trials():
    """Of 53 rows, 41 say their frequency; the one with 1, 5 and 10 Hz in a row is combined, twelve of plain rTMS print none."""
    table = sd.read_trials(sd.dataset_path("rtms_pain"), missing="keep").table
    assert table["protocol_class"].value_counts().to_dict() == {"high": 39, "combined": 1, "low": 1}
    assert table.loc[table["protocol_class"].isna(), "modality"].tolist() == ["rTMS"] * 12
    assert table.loc[table["protocol_class"] == "combined", "study"].tolist() == ["saitoh2007"]
