"""The shipped tables: their bytes, what loads and what is missing, and the facts that their READMEs state."""

import csv
import hashlib
import json
import math
import runpy
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy.special import ndtr

import stimdose as sd
from stimdose.columns import COLUMNS, DOSES
from stimdose.identities import contradictions
from stimdose.protocol import Rtms, cTBS, frequency, iTBS
from stimdose.shapes import SHAPES

ROOT = Path(__file__).parents[1]
EXPECTED = json.loads((Path(__file__).parent / "oracles" / "effects" / "expected.json").read_text(encoding="utf-8"))

CHECKSUMS = {
    "published_pools": "e43f0c73a7788cd35225b61eeba555af5cb0394a23a4e5ac5fa67744886da90b",
    "rpms_stroke_partial": "5bb5b6a8d9833e0b2559ac68378e0d45fae4493c7a5de9272389fbd0b4d89968",
    "rtms_pain": "4eb343e071037b0f8d4294d2b8c68a841fed022660c7075c3fb82a17a1625586",
    "rtms_upper_limb_strata": "f9f8965a47de374a29d16bbe2471c876796cd4e733c6e9c3ffdec0d916f07cb0",
    "stroke_therapy_hours": "7c7acf43a3802ae50fba2d5c5b1907c77bef4c594e2f265c4f41399156555312",
    "synthetic_cp_spasticity": "8b79cfa127703c69dd2917143f77ae3ffe1cee031bb084fda981a5b83a9eac73",
    "synthetic_rpms_dose_finding": "be06d7e4e4e9d8b758960435c076ec7afc97401c769d7a87c205b0e093e5b3cf",
    "synthetic_rpms_upper_limb": "58aa29c5042c66d443c7521e82647e5bc73add24771725967a2c2dbb4c079296",
    "synthetic_rtms_spasticity": "96f5d0d3d2befb8eaa712315d7f9c24a00c908f74d6b3d4e0ea50c3a11f308f7",
}
"""A changed number in a shipped table is a decision: whoever takes it changes the checksum and says why in the log."""

TRIALS = sorted(set(CHECKSUMS) - {"published_pools"})
PEOPLE = "synthetic_cp_spasticity"
needs_participants = pytest.mark.skipif(
    "participant" not in COLUMNS["design"].levels, reason="the vocabulary has no rows of participants yet"
)


def readable(names: list[str]) -> list:
    return [pytest.param(name, marks=needs_participants) if name == PEOPLE else name for name in names]


SIZES = {
    "rpms_stroke_partial": (42, 32),
    "rtms_pain": (53, 28),
    "rtms_upper_limb_strata": (24, 24),
    "stroke_therapy_hours": (303, 137),
    "synthetic_cp_spasticity": (172, 20),
    "synthetic_rpms_dose_finding": (62, 40),
    "synthetic_rpms_upper_limb": (95, 45),
    "synthetic_rtms_spasticity": (113, 50),
}


def raw(name: str) -> list[dict[str, str]]:
    """The rows as Python's csv module sees them, without the package."""
    (path,) = (ROOT / "data" / name).glob("*.csv")
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def studies_with(rows, *columns) -> tuple[int, int]:
    """Rows that have all of the columns, and the studies of those rows."""
    full = [row for row in rows if all(row[column] for column in columns)]
    return len(full), len({row["study"] for row in full})


def linked(row: dict, rows: list[dict]) -> list[dict]:
    """The rows of a study that name the sample of `row`, or its control group."""
    names = [name for name in ("sample", "control_group") if row.get(name)]
    return [other for other in rows if other["study"] == row["study"] and any(other[name] == row[name] for name in names)]


# All of them ------------------------------------------------------------------------------------------------------------------


def test_every_data_file_has_the_bytes_it_should_have():
    found = {path.parent.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (ROOT / "data").rglob("*.csv")}
    assert found == CHECKSUMS


def test_the_list_of_datasets():
    found = sd.datasets()
    assert list(found.index) == sorted(CHECKSUMS)
    assert found.index.name == "name"
    assert set(found["kind"]) == {"real", "published pools", "synthetic"}
    assert found.loc[found["usable_for_fit"]].index.tolist() == TRIALS[2:]
    assert (found["title"] != "").all()
    assert (found["licence"] != "").all()


@pytest.mark.parametrize("name", sorted(CHECKSUMS))
def test_every_dataset_says_where_it_comes_from(name):
    readme = (ROOT / "data" / name / "README.md").read_text(encoding="utf-8")
    assert "icence" in readme
    assert "**" in readme
    assert sd.dataset_path(name).is_file()
    assert ("synthetic" in name) == (sd.datasets().loc[name, "kind"] == "synthetic")


def test_unknown_datasets_and_tables_that_are_no_trials():
    with pytest.raises(
        sd.StimdoseError, match=r"no dataset 'rtms_pains' \(did you mean 'rtms_pain'\?\); there are published_pools, "
    ):
        sd.load_dataset("rtms_pains")
    with pytest.raises(sd.StimdoseError, match="published_pools is not a trials table"):
        sd.load_dataset("published_pools")


@pytest.mark.parametrize("name", readable(TRIALS))
def test_sizes(name):
    trials = sd.load_dataset(name)
    rows = raw(name)
    assert (len(trials), trials.table["study"].nunique()) == SIZES[name] == (len(rows), len({row["study"] for row in rows}))
    assert trials.dropped == ()
    assert trials.notes[0].startswith(f"{name}: ")


@pytest.mark.parametrize("name", readable(TRIALS))
def test_every_cell_of_the_file_is_in_the_table_and_nothing_is_filled(name):
    trials, rows = sd.load_dataset(name), raw(name)
    derived = {"effect", "variance", "variance_reported"} | ({"phase"} if "days_since_stroke" in rows[0] else set())
    for column in rows[0]:
        for k, row in enumerate(rows):
            cell, value = row[column].strip(), trials.table["variance_reported" if column == "variance" else column].iloc[k]
            where = f"{name}, line {k + 2}, {column}: {cell!r}"
            if column in DOSES:
                low, high = (ends[k] for ends in trials.bounds(column))
                if "-" in cell:
                    assert [low, high] == [float(end) for end in cell.split("-")], where
                elif "≥" in cell:
                    assert [low, high] == [float(cell[1:]), math.inf], where
                else:
                    assert (low == high == float(cell)) if cell else np.isnan([low, high]).all(), where
            elif not cell:
                assert column in derived or value is None or np.isnan(value), where
            elif column in ("effect", "variance"):
                assert abs(value) == abs(float(cell)) or value == pytest.approx(float(cell), rel=1e-12), where
            elif isinstance(value, str):
                assert " ".join(value.split()) == " ".join(cell.split()), where
            else:
                assert float(value) == float(cell), where


@pytest.mark.parametrize("name", [name for name in TRIALS if name != PEOPLE])
def test_positive_is_benefit(name):
    table = sd.load_dataset(name).table
    signs = {"higher": 1, "lower": -1}
    printed = {k: signs[row["direction"]] * float(row["effect"]) for k, row in enumerate(raw(name)) if row["effect"]}
    assert printed
    assert list(table["effect"].iloc[list(printed)]) == list(printed.values())


@pytest.mark.parametrize("name", readable(TRIALS[2:]))
def test_tables_for_a_fit_have_no_gaps(name):
    trials = sd.load_dataset(name)
    assert trials.gaps() == []
    assert trials.complete() is trials
    trials.require_one_estimand(allow_mixed="outcome" if name == "synthetic_rtms_spasticity" else ())  # points of three scales


@pytest.mark.parametrize("name", TRIALS[:2])
def test_partial_tables_say_exactly_what_is_missing(name):
    """Counted from the raw file: a required cell is empty, an effect is not printed, nothing gives a variance; and rows on the
    same people, or against the same control, have no correlation stated."""
    trials, rows = sd.load_dataset(name), raw(name)
    expected = {}
    for column in ("study", "direction", "measure", "comparator", "design", "effect"):
        expected[column] = [k + 2 for k, row in enumerate(rows) if not row[column]]
    expected["variance"] = [
        k + 2
        for k, row in enumerate(rows)
        if not row["se"]
        and not (row["ci_low"] and row["ci_high"])
        and not (row["effect"] and row["measure"] == "SMD" and row["n_active"] and row["n_control"])  # follows from the sizes
    ]
    for column in DOSES:
        if column in rows[0]:
            expected[column] = [k + 2 for k, row in enumerate(rows) if not row[column]]
    for column, what in (("outcome_correlation", "outcome"), ("time_correlation", "timepoint")):
        expected[column] = [k + 2 for k, row in enumerate(rows) if any(row[what] != other[what] for other in linked(row, rows))]
    asked = tuple(column for column in DOSES if column in rows[0])
    found = {column: [] for column in expected}
    for problem in trials.gaps(asked):
        assert problem.study == rows[problem.row - 2]["study"]
        assert problem.value == ""
        assert problem.rule.startswith("is empty")
        found[problem.column].append(problem.row)
    assert {column: sorted(labels) for column, labels in found.items()} == expected


def test_gaps_of_the_partial_rpms_table_in_numbers():
    doses = ("frequency_hz", "pulses_per_session", "session_min", "sessions", "treatment_days")
    trials = sd.load_dataset("rpms_stroke_partial")
    counts = Counter(problem.column for problem in trials.gaps((*doses, "phase", "site")))
    assert counts == {
        **{"direction": 16, "measure": 37, "comparator": 14, "design": 27, "effect": 37, "variance": 37},
        **{"frequency_hz": 34, "pulses_per_session": 37, "session_min": 28, "sessions": 25, "treatment_days": 25},
        **{"phase": 27, "site": 24, "outcome_correlation": 13, "time_correlation": 5},
    }
    with pytest.raises(sd.TrialsError, match="rows that are not independent need more") as four:
        trials.complete(missing="drop")
    assert [(problem.study, problem.column) for problem in four.value.problems] == [("Krewer2014", "outcome_correlation")] * 4
    stated = {"outcome_correlation": 0.5, "time_correlation": 0.5}
    trials_with = sd.read_trials(sd.dataset_path("rpms_stroke_partial"), missing="keep", **stated)
    assert len(trials_with.complete(missing="drop")) == 4
    with pytest.raises(sd.TrialsError, match="no row is complete"):
        trials.complete(doses, missing="drop")
    needed = sum(count for column, count in counts.items() if column not in ("phase", "site"))
    with pytest.raises(sd.TrialsError, match=f"{needed} cells that this needs are empty"):
        trials.complete(doses)


# What the READMEs state -------------------------------------------------------------------------------------------------------


def test_rpms_stroke_partial():
    rows = raw("rpms_stroke_partial")
    assert studies_with(rows, "effect", "ci_low", "ci_high") == (5, 2)
    assert studies_with(rows, "frequency_hz") == (8, 6)
    assert studies_with(rows, "pulses_per_session") == (5, 3)
    assert [row["study"] for row in rows if row["effect_printed"]] == ["ISPRM2026_798478"] * 2
    assert all(row[f"{column}_reported"] for row in rows for column in ("measure", "direction") if row[column])
    people = Counter(row["study"] for row in rows if row["sample"])
    assert people == {"Krewer2014": 4, "Klarod2025": 4, "Werner2016": 3, "Prouza2018": 2, "ISPRM2026_798478": 2}
    assert people == {study: n for study, n in Counter(row["study"] for row in rows).items() if n > 1}
    assert Counter(row["target"] for row in rows) == {"": 25, "muscle": 14, "nerve": 1, "spinal": 1, "mixed": 1}
    assert all(row["site"] for row in rows if row["target"])
    assert [row["site"] for row in rows if row["site"] and not row["target"]] == ["paraspinal"]
    with_days = [row for row in rows if row["followup_days"]]
    assert len(with_days) == 10
    assert all("week" in row["timepoint"] and row["treatment_days"] == row["followup_days"] for row in with_days)


def test_rtms_pain():
    rows = raw("rtms_pain")
    assert {row["direction"] for row in rows} == {"lower"}
    assert studies_with(rows, "mean_active", "baseline_mean_active")[0] == 29
    assert Counter(row["measure"] for row in rows) == {"": 46, "SMD": 6, "MD": 1}
    with_doses = [row for row in rows if row["mean_active"] and row["pulses_per_session"] and row["sessions"]]
    assert (len(with_doses), len({row["study"] for row in with_doses})) == (8, 3)
    (saitoh,) = (row for row in rows if row["study"] == "saitoh2007")
    assert (saitoh["frequency_hz"], saitoh["frequency_hz_reported"]) == ("", "1/5/10")
    assert all(bool(row["target"]) == bool(row["site"]) and row["target"] in ("", "cortex") for row in rows)
    assert {(row["timepoint"], row["followup_days"]) for row in rows if row["followup_days"]} == {
        *(("day 7 of treatment", "7"), ("week 3 (end of treatment)", "21")),
        *(("week 2", "14"), ("week 3 (end)", "21")),
    }
    # decreases are no final scores: the printed difference is not in a column that is modelled
    (hosomi,) = (row for row in rows if row["study"] == "hosomi2020" and row["effect_printed"])
    assert (hosomi["effect"], hosomi["effect_printed"]) == ("", "-1.2")


def test_which_rows_of_rtms_pain_are_on_the_same_people():
    rows = raw("rtms_pain")
    arms = Counter((row["study"], row["arm"]) for row in rows)
    assert all(bool(row["sample"]) == (arms[row["study"], row["arm"]] > 1) for row in rows)
    for row in rows:
        same = [other for other in linked(row, rows) if other["sample"] == row["sample"]]
        assert {(other["arm"], other["n_active"], other["baseline_mean_active"]) for other in same} <= {
            (row["arm"], row["n_active"], row["baseline_mean_active"])
        }
    assert Counter(row["study"] for row in rows if row["sample"]) == {
        **{"zhao2021": 4, "tang2022": 2, "huan_wang2023": 8, "zanhua_wu2023": 4},
        **{"shu_min_ma2015": 3, "qian_pei2019": 4, "chen_xin2021": 6},
    }


def test_a_control_group_of_rtms_pain_is_whole_where_it_is_named_and_halved_where_it_is_not():
    rows = raw("rtms_pain")
    named = [row for row in rows if row["control_group"]]
    assert Counter(row["study"] for row in named) == {"huan_wang2023": 8, "qian_pei2019": 4}
    assert {(row["n_active"], row["n_control"], row["n_control_printed"]) for row in named} == {("20", "20", "10")}
    assert not any(row["n_control_printed"] for row in rows if not row["control_group"])
    halved = {(row["study"], row["n_active"], row["n_control"]) for row in rows if row["n_control"] in ("15", "16")}
    assert halved == {("zanhua_wu2023", "31", "15"), ("chen_xin2021", "32", "16"), ("e_m_khedr2014", "15", "15")}


def test_the_covariance_of_two_arms_against_one_sham_at_two_times_by_hand():
    """qian_pei2019, arms of 20: control share 1/2; 1 within an arm over time, 1/2 between arms, each times the correlation in time."""
    stated = {"measure": "SMD", "time_correlation": 0.6, "outcome_correlation": 0.5}
    trials = sd.read_trials(sd.dataset_path("rtms_pain"), missing="keep", **stated).subset(study="qian_pei2019")
    found = trials.covariance() / trials.table["variance"].iloc[0]
    np.testing.assert_allclose(found, np.kron([[1, 0.6], [0.6, 1]], [[1, 0.5], [0.5, 1]]), rtol=1e-12)


def test_rtms_upper_limb_strata():
    rows = raw("rtms_upper_limb_strata")
    assert Counter((row["stratified_by"], row["phase"]) for row in rows) == {
        **{("sessions", "acute"): 4, ("site", "acute"): 3, ("baseline_impairment", "acute"): 3},
        **{("sessions", "subacute"): 4, ("site", "subacute"): 3, ("baseline_impairment", "subacute"): 3},
        **{("frequency_hz", "acute"): 2, ("modality", "acute"): 2},
    }
    beyond_belief = {row["study"].split(", ")[1]: float(row["effect"]) for row in rows if float(row["effect"]) > 3}
    assert beyond_belief == {"bilateral hemisphere": 5.99, "20 sessions": 3.73, "TBS": 3.08}
    one_hz, unaffected = (next(row for row in rows if label in row["study"]) for label in ("acute, 1 Hz", "acute, unaffected"))
    assert all(one_hz[column] == unaffected[column] for column in ("effect", "ci_low", "ci_high", "k_studies", "i2_percent"))
    table = sd.load_dataset("rtms_upper_limb_strata").table
    printed = np.array([float(row["ci_high"]) - float(row["ci_low"]) for row in rows]) / (2 * 1.959963984540054)
    np.testing.assert_allclose(np.sqrt(table["variance"]), printed, rtol=1e-12)


def log_likelihood(rows, means, tau2: float) -> float:
    variance = np.array([float(row["variance"]) for row in rows]) + tau2
    residual = np.array([float(row["effect"]) for row in rows]) - means
    return float(-0.5 * np.sum(np.log(2 * np.pi * variance) + residual**2 / variance))


def test_stroke_therapy_hours_gives_the_likelihoods_that_its_authors_published():
    """Every effect, variance, dose, day and age enters: at metafor's estimates the log-likelihoods must be the published ones."""
    rows, expected = raw("stroke_therapy_hours"), EXPECTED["stroke_therapy_hours"]
    m0, m5, centres = expected["m0"], expected["m5"], expected["centres"]
    found = log_likelihood(rows, m0["coef:intrcpt"], m0["tau2"])
    assert found == pytest.approx(m0["logLik"], abs=1e-8)
    assert found == pytest.approx(-196.4562, abs=5e-5)

    column = lambda name: np.array([float(row[name]) for row in rows])
    days = np.sqrt(column("days_since_stroke")) - centres["mean_sqrt_days_ps"]
    hours = np.sqrt(column("therapy_hours")) - centres["mean_sqrt_time_50"]
    assert abs(days.mean()) < 1e-10
    assert abs(hours.mean()) < 1e-10
    age = column("age_years") - centres["mean_age"]
    group = np.array([{"exp": 0.5, "ctrl": -0.5}[row["arm_reported"]] for row in rows])
    terms = {"intrcpt": 1, "exp.c": group, "rtDPS.c": days, "rtTIME.c": hours, "age.c": age, "rtDPS.c:rtTIME.c": days * hours}
    found = log_likelihood(rows, sum(m5[f"coef:{name}"] * term for name, term in terms.items()), m5["tau2"])
    assert found == pytest.approx(m5["logLik"], abs=1e-8)
    assert found == pytest.approx(-121.7344, abs=5e-5)


def test_stroke_therapy_hours():
    rows = raw("stroke_therapy_hours")
    nothing_scheduled = [row for row in rows if float(row["therapy_hours"]) == 0]
    assert (len(nothing_scheduled), sum(float(row["effect"]) > 0 for row in nothing_scheduled)) == (22, 19)
    assert sum(row["therapy_hours_min"] != row["therapy_hours_max"] for row in rows) == 24
    assert max(Counter(row["study"] for row in rows).values()) == 4
    assert len({row["group_id"] for row in rows}) == 303


def test_the_variances_of_stroke_therapy_hours_follow_from_people_before_treatment():
    """variance = J^2 (1/n) (1 + d^2/2): some whole n reproduces each of the 303, and it is the n at the end in all but 70."""
    lost_people = 0
    for row in raw("stroke_therapy_hours"):
        effect, variance = float(row["effect"]), float(row["variance"])
        n = np.arange(3, 1000)
        correction = 1 - 3 / (4 * (n - 1) - 1)
        formula = correction**2 / n * (1 + (effect / correction) ** 2 / 2)
        (fitting,) = n[np.abs(formula - variance) < 2e-8]
        lost_people += fitting != float(row["n"])
    assert lost_people == 70


def test_published_pools():
    rows = raw("published_pools")
    assert (len(rows), len({row["review"] for row in rows})) == (129, 50)
    assert Counter(row["ci_level"] for row in rows) == {"95": 74, "": 54, "96": 1}
    assert sum("tDCS" in " ".join(row.values()) for row in rows) == 6
    assert all(row["modality"] for row in rows)
    for row in rows:
        if row["ci_low"] and row["ci_high"] and row["estimate"]:
            assert float(row["ci_low"]) <= float(row["estimate"]) <= float(row["ci_high"]), row


# The synthetic tables ---------------------------------------------------------------------------------------------------------

SYNTHETIC = [name for name in CHECKSUMS if name.startswith("synthetic_")]


def generator(name: str) -> dict:
    """The names of a script that generates a table, without running it."""
    return runpy.run_path(str(ROOT / "data" / name / "generate.py"))


@pytest.mark.parametrize("name", SYNTHETIC)
def test_a_synthetic_table_is_generated_byte_for_byte(name, tmp_path):
    folder = ROOT / "data" / name
    script = shutil.copy(folder / "generate.py", tmp_path)
    runpy.run_path(str(script), run_name="__main__")
    assert (tmp_path / "trials.csv").read_bytes() == (folder / "trials.csv").read_bytes()


@pytest.mark.parametrize("name", readable(SYNTHETIC))
def test_no_doses_of_a_synthetic_table_contradict_each_other(name):
    """Pulses = Hz x on-time, on-time within the session, total pulses = pulses x sessions; printed ranges included."""
    assert contradictions(sd.load_dataset(name).table) == []


def test_the_synthetic_table_prints_what_its_readme_says():
    rows = raw("synthetic_rpms_dose_finding")
    forms = Counter(next(form for form in ("mean_active", "ci_low", "se", "variance") if row[form]) for row in rows)
    assert forms == {"mean_active": 27, "ci_low": 20, "se": 9, "variance": 6}
    assert Counter(row["session_min"] for row in rows if not row["session_min"].isdigit()) == {"10-20": 7, "20-30": 2, "≥20": 3}
    trials = {row["study"]: row for row in rows}.values()
    assert Counter(row["phase"] for row in trials) == {"acute": 10, "subacute": 18, "chronic": 12}
    assert Counter(row["site"] for row in trials) == {"nerve": 16, "muscle": 24}
    assert Counter(row["comparator"] for row in trials) == {"sham": 35, "add-on": 5}
    assert Counter(Counter(row["study"] for row in rows).values()) == {1: 26, 2: 6, 3: 8}
    assert set(rows[0]) <= set(COLUMNS)


@pytest.mark.parametrize("name", ["synthetic_rpms_dose_finding", "synthetic_rpms_upper_limb"])
def test_every_form_of_a_synthetic_table_gives_the_effect_and_variance_of_its_people(name):
    """Variances that the table prints follow from the numbers of people; where it prints arms, they are computed by hand here."""
    trials = sd.load_dataset(name)
    for k, row in enumerate(raw(name)):
        sign = {"higher": 1, "lower": -1}[row["direction"]]
        n1, n2 = float(row["n_active"]), float(row["n_control"])
        effect, variance = trials.table["effect"].iloc[k], trials.table["variance_reported"].iloc[k]
        if row["mean_active"]:
            m1, s1, m2, s2 = (float(row[name]) for name in ("mean_active", "sd_active", "mean_control", "sd_control"))
            m = n1 + n2 - 2
            pooled = math.sqrt(((n1 - 1) * s1**2 + (n2 - 1) * s2**2) / m)
            g = math.gamma(m / 2) / (math.sqrt(m / 2) * math.gamma((m - 1) / 2)) * (m1 - m2) / pooled
            assert effect == pytest.approx(sign * g, rel=1e-10)
            assert variance == pytest.approx(1 / n1 + 1 / n2 + g**2 / (2 * (n1 + n2)), rel=1e-10)
        else:
            assert effect == sign * float(row["effect"])
            assert variance == pytest.approx(1 / n1 + 1 / n2 + effect**2 / (2 * (n1 + n2)), rel=0.03)


def test_synthetic_rpms_upper_limb():
    rows = raw("synthetic_rpms_upper_limb")
    assert set(rows[0]) <= set(COLUMNS)
    forms = Counter(next(form for form in ("mean_active", "ci_low", "se", "variance") if row[form]) for row in rows)
    assert forms == {"mean_active": 49, "ci_low": 28, "se": 12, "variance": 6}
    assert len({(row["study"], row["arm"]) for row in rows}) == 57
    trials = {row["study"]: row for row in rows}.values()
    assert Counter(row["phase"] for row in trials) == {"acute": 9, "subacute": 21, "chronic": 15}
    assert Counter(row["target"] for row in trials) == {"nerve": 18, "muscle": 27}
    assert Counter(row["comparator"] for row in trials) == {"sham": 38, "add-on": 7}
    assert Counter(bool(row["control_group"]) for row in trials) == {False: 33, True: 12}
    outcomes = Counter(tuple(sorted({row["outcome"] for row in linked(trial, rows)})) for trial in trials)
    assert outcomes == {("FMA-UE", "MAS"): 28, ("FMA-UE",): 11, ("MAS",): 6}
    found = sd.load_dataset("synthetic_rpms_upper_limb").table
    assert found.groupby("outcome")["effect"].mean().round(2).to_dict() == {"FMA-UE": 0.78, "MAS": 0.99}


def test_the_missing_doses_of_synthetic_rpms_upper_limb():
    """The script's patterns are those of the real table, the expected shares follow from them, and ranges hold the true dose."""
    script, real = generator("synthetic_rpms_upper_limb"), raw("rpms_stroke_partial")
    names = script["PRINTED"] | {"I": "intensity"}
    printed = {}
    for row in real:
        printed.setdefault(row["study"], set()).update(letter for letter, name in names.items() if row[name])
    patterns = Counter("".join(letter for letter in names if letter in letters) for letters in printed.values())
    assert patterns == script["REAL_PATTERNS"]
    real_counts = {letter: sum(n for pattern, n in patterns.items() if letter in pattern) for letter in names}
    assert real_counts == {"S": 14, "D": 11, "M": 9, "F": 6, "I": 5, "P": 3}
    expected = {letter: round(1 - (1 - n / 32) ** script["DONORS"], 2) for letter, n in real_counts.items()}
    assert expected == {"S": 0.90, "D": 0.81, "M": 0.73, "F": 0.56, "I": 0.49, "P": 0.33}

    trials = list({row["study"]: row for row in raw("synthetic_rpms_upper_limb")}.values())
    columns = script["PRINTED"]
    counts = {letter: sum(bool(row[name]) for row in trials) for letter, name in columns.items()}
    assert counts == {"S": 44, "D": 38, "M": 33, "F": 31, "I": 26, "P": 17}
    assert studies_with(trials, *columns.values())[1] == 6
    assert studies_with(trials, *(columns[letter] for letter in "FMID"))[1] == 19
    ranged = Counter(letter for row in trials for letter, name in columns.items() if not row[name].isdigit() and row[name])
    assert ranged == {"M": 3, "I": 10, "D": 8}


def test_the_truth_of_synthetic_rpms_upper_limb_is_made_of_the_shapes_of_the_package():
    script = generator("synthetic_rpms_upper_limb")
    doses = {"frequency_hz": 25.0, "session_min": 30.0, "intensity_percent_mso": 60.0, "treatment_days": 14.0}
    parts = {
        "frequency_hz": "BELL_HZ",
        "session_min": "GAMMA_MIN",
        "intensity_percent_mso": "BELL_MSO",
        "treatment_days": "PLATEAU_DAYS",
    }
    total = 0.0
    for (column, name), shape in zip(parts.items(), ("bell", "gamma", "bell", "plateau"), strict=True):
        truth = dict(script[name])
        height = truth.pop(SHAPES[shape].coefficients[0])
        (value,) = SHAPES[shape](COLUMNS[column].reference, COLUMNS[column].usual).columns(doses[column], **truth)
        total += height * float(value)
    for outcome, factor in (("FMA-UE", 1.0), ("MAS", 1.3)):
        assert script["true_effect"](outcome, "subacute", "nerve", doses) == pytest.approx(0.20 + 0.34 + factor * total, rel=1e-6)
    assert script["gamma"](10, **script["GAMMA_MIN"]) / 0.28 == pytest.approx(0.87, abs=0.005)
    assert script["gamma"](20, **script["GAMMA_MIN"]) / 0.28 == pytest.approx(0.91, abs=0.005)
    for end in (20, 55):
        assert script["bell"](end, **script["BELL_MSO"]) / 0.20 == pytest.approx(0.77, abs=0.01)


def test_two_outcomes_of_synthetic_rpms_upper_limb_covary_as_their_people_do():
    """A trial of two arms, one control and two outcomes: 0.5 between outcomes of one arm, less between arms, and the product for both."""
    trials = sd.load_dataset("synthetic_rpms_upper_limb")
    sizes = trials.table.groupby("study").size()
    trials = trials.subset(study=sizes.index[sizes == 4][0])
    table, covariance = trials.table, trials.covariance()
    found = covariance / np.sqrt(np.outer(table["variance"], table["variance"]))
    assert table["arm"].tolist() == ["A", "A", "B", "B"]
    assert table["outcome"].tolist() == ["FMA-UE", "MAS"] * 2
    assert found[0, 1] == found[2, 3] == pytest.approx(0.5, rel=1e-12)
    assert 0.2 < found[0, 2] < 0.8
    assert found[0, 3] == pytest.approx(0.5 * math.sqrt(found[0, 2] * found[1, 3]), rel=1e-6)


def test_synthetic_rtms_spasticity():
    rows = raw("synthetic_rtms_spasticity")
    assert set(rows[0]) <= {*COLUMNS, "protocol_class"}
    forms = Counter(next(form for form in ("mean_active", "ci_low", "se") if row[form]) for row in rows)
    assert forms == {"mean_active": 54, "ci_low": 32, "se": 27}
    trials = {row["study"]: row for row in rows}.values()
    assert Counter(row["phase"] for row in trials) == {"subacute": 28, "chronic": 22}
    classes = Counter(
        tuple(sorted({row["protocol_class"] for row in rows if row["study"] == trial["study"]})) for trial in trials
    )
    one = {("low",): 15, ("high",): 11, ("combined",): 6, ("iTBS",): 8, ("cTBS",): 4}
    assert classes == one | {("high", "low"): 2, ("high", "iTBS"): 2, ("combined", "low"): 1, ("cTBS", "low"): 1}
    outcomes = Counter(len({row["outcome"] for row in rows if row["study"] == trial["study"]}) for trial in trials)
    assert outcomes == {3: 14, 2: 23, 1: 13}
    studies = {outcome: len({row["study"] for row in rows if row["outcome"] == outcome}) for outcome in ("MAS", "FMA-UE", "MBI")}
    assert studies == {"MAS": 40, "FMA-UE": 40, "MBI": 21}
    arms = {(row["study"], row["protocol_class"]): row for row in rows}.values()
    usual = {"low": "unaffected", "high": "affected", "combined": "both", "iTBS": "affected", "cTBS": "unaffected"}
    assert (len(arms), sum(row["hemisphere"] != usual[row["protocol_class"]] for row in arms)) == (56, 1)
    found = sd.load_dataset("synthetic_rtms_spasticity").table
    assert found.groupby("outcome")["effect"].mean().round(2).to_dict() == {"MAS": 0.28, "FMA-UE": 2.45, "MBI": 6.63}


def test_the_protocols_of_synthetic_rtms_spasticity_are_those_of_the_protocol_algebra():
    """Pulses, minutes and frequency of every arm follow from its trains; those of a combination from the two sides in its note."""
    for row in raw("synthetic_rtms_spasticity"):
        pulses, minutes = float(row["pulses_per_session"]), float(row["session_min"])
        assert float(row["total_pulses"]) == pulses * float(row["sessions"])
        if row["protocol_class"] == "combined":
            assert not any(row[name] for name in ("frequency_hz", "train_s", "intertrain_s", "trains"))
            low, high = (int(part.split(" pulses at ")[0]) for part in row["note"].split(", "))
            sides = (Rtms(frequency_hz=1, train_s=low), Rtms(frequency_hz=10, train_s=5, interval_s=25, trains=high // 50))
            assert pulses == sum(side.pulses for side in sides)
            assert minutes == pytest.approx(sum(side.session_min for side in sides), abs=0.005)
            continue
        if row["protocol_class"] == "iTBS":
            protocol = iTBS(int(row["trains"]))
        elif row["protocol_class"] == "cTBS":
            protocol = cTBS(float(row["train_s"]))
        else:
            names = {"frequency_hz": "frequency_hz", "train_s": "train_s", "interval_s": "intertrain_s"}
            protocol = Rtms(trains=int(row["trains"]), **{name: float(row[column]) for name, column in names.items()})
            assert (protocol.frequency_hz == 1) == (row["protocol_class"] == "low")
        assert float(row["frequency_hz"]) == frequency(protocol)
        assert protocol.pulses == pytest.approx(pulses)
        assert minutes == pytest.approx(protocol.session_min, abs=0.005)


def test_the_truth_of_synthetic_rtms_spasticity():
    effect = generator("synthetic_rtms_spasticity")["true_effects"]
    assert effect("combined", 1000).tolist() == [0.65, 2.4, 8.0]
    np.testing.assert_allclose(effect("low", 2000) - effect("low", 1000), [0.05, 2.46, 2.0], rtol=1e-12)
    np.testing.assert_allclose(effect("iTBS", 600) - effect("iTBS", 1200), -0.6 * np.array([0.05, 2.46, 2.0]), rtol=1e-12)


def test_synthetic_cp_spasticity():
    rows = raw(PEOPLE)
    children, trials = ([row for row in rows if row["design"] == design] for design in ("participant", "within-group"))
    assert (len(children), len(trials), len(rows)) == (160, 12, 172)
    assert sorted(Counter(row["study"] for row in children).values()) == [12, 14, 16, 18, 20, 22, 26, 32]
    assert len({(row["study"], row["participant"]) for row in children}) == 160
    of_people = {"participant", "score_before", "score_after"}
    of_groups = {"n_active", "change_mean_active", "change_sd_active", "session_min_sd", "sessions_sd", "score", "note"}
    assert not any(row[name] for row in children for name in of_groups)
    assert not any(row[name] for row in trials for name in of_people)
    assert all(row[name] for row in children for name in set(row) - of_groups)
    assert all(row[name] for row in trials for name in set(row) - of_people - {"session_min_sd", "sessions_sd"})
    assert {(row["measure"], row["comparator"], row["outcome"], row["direction"]) for row in rows} == {
        ("MC", "none", "MAS", "lower")
    }
    assert {row["score_before"] for row in children} == {"1", "1.5", "2", "3", "4"}
    assert {row["score_after"] for row in children} == {"0", "1", "1.5", "2", "3", "4"}
    levels = ["level I", "level II", "level III", "level IV", "level V"]
    assert all(row["gmfcs"] == levels[int(row["baseline_severity"]) - 1] for row in children)
    bounds = {
        name: (min(doses), max(doses)) for name in ("sessions", "session_min") if (doses := [int(row[name]) for row in children])
    }
    assert bounds == {"sessions": (3, 44), "session_min": (3, 56)}
    assert sum(int(row["n_active"]) for row in trials) == 266
    varied = [row for row in trials if row["sessions_sd"]]
    assert (len(varied), sum(bool(row["session_min_sd"]) for row in varied)) == (7, 7)
    assert all(row["sessions"].isdigit() and row["session_min"].isdigit() for row in trials if row not in varied)
    changes = [float(row["score_after"]) - float(row["score_before"]) for row in children]
    assert round(np.mean(changes), 2) == -0.59
    assert round(np.mean([float(row["change_mean_active"]) for row in trials]), 2) == -0.63


def test_the_truth_of_synthetic_cp_spasticity():
    """Its curves are shapes of the package; one study of very many children has the probabilities of a cumulative probit model."""
    script = generator(PEOPLE)
    rise = SHAPES["exponential"](10, (3, 40)).columns(12.0, scale=8.0)[0]
    peak = SHAPES["gamma"](20, (3, 60)).columns(25.0, peak=15.0, steepness=2.0)[0]
    expected = 0.20 + 0.90 * float(rise) + 0.60 * float(peak) - 0.05 * (10 - 6) - 0.12 * (4 - 3)
    assert script["benefit"](12, 25, 10, 4) == pytest.approx(expected, rel=1e-6)
    assert script["CUTS"].tolist() == [1, 2.5, 3.5, 5, 7]
    assert script["graded"](np.array([-3, 0.99, 1.01, 2.51, 3.51, 5.01, 7.01])).tolist() == [0, 0, 1, 1.5, 2, 3, 4]

    people = script["children"](np.random.default_rng(1), 20_000)
    benefit = script["benefit"](people["sessions"], people["session_min"], people["age_years"], people["level"])
    shift = (people["before"] * 2 - benefit).to_numpy()
    steps = np.linspace(-1.5, 1.5, 301)  # the effect of the study, which the script does not tell: the best of these
    shares = np.array([(people["after"] <= grade).mean() for grade in script["GRADES"][:-1]])
    implied = np.array([[ndtr(cut - shift + step).mean() for cut in script["CUTS"]] for step in steps])
    misfit = np.abs(implied - shares).max(axis=1).min()
    assert misfit < 0.01  # the standard error of a share is at most 0.0035
    mean_change = np.mean(
        [script["children"](np.random.default_rng([2, k]), 50).eval("after - before").mean() for k in range(400)]
    )
    assert mean_change == pytest.approx(-0.60, abs=0.02)


@needs_participants
def test_the_effects_of_children_and_trials_of_synthetic_cp_spasticity():
    trials, rows = sd.load_dataset(PEOPLE), raw(PEOPLE)
    for row, effect in zip(rows, trials.table["effect"], strict=True):
        of_child = row["design"] == "participant"
        change = float(row["score_after"]) - float(row["score_before"]) if of_child else float(row["change_mean_active"])
        assert effect == pytest.approx(-change, abs=1e-12)
