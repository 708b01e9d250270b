"""Trials: every way to print an effect, every fault of a table, gaps and doses, and the laws of reading."""

import csv
import datetime
import decimal
import fractions
import itertools
import math
import pickle
from dataclasses import FrozenInstanceError

import numpy as np
import openpyxl
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import stats

import stimdose as sd
from stimdose.columns import COLUMNS

quick = settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
few = settings(quick, max_examples=15)
Z95, Z90 = 1.959963984540054, 1.6448536269514722

BASE = {
    "study": "Ada 2003",
    "arm": "A",
    "outcome": "FMA-UE",
    "direction": "higher",
    "measure": "SMD",
    "comparator": "sham",
    "design": "parallel",
    "effect": 0.5,
    "se": 0.2,
    "sessions": "10",
    "phase": "acute",
}
ARMS = {"mean_active": 10.2, "sd_active": 3.1, "n_active": 15, "mean_control": 8.4, "sd_control": 2.9, "n_control": 16}
"""The first row of the escalc oracle: g = 0.584672313110571, its variance 0.134680242694377; MD 1.8 and 1.16629166666667."""


def row(**changes) -> dict:
    """A sound row with some cells changed; None takes the cell away."""
    return {name: value for name, value in (BASE | changes).items() if value is not None}


def read(*rows, **settings) -> sd.Trials:
    return sd.read_trials(pd.DataFrame(list(rows), dtype=object), **settings)


def problems_of(*rows, **settings) -> list[sd.Problem]:
    with pytest.raises(sd.TrialsError) as caught:
        read(*rows, **settings)
    assert str(caught.value).count("\n  - ") == len(caught.value.problems)
    return caught.value.problems


def alike(found: sd.Trials, other: sd.Trials, columns=("study", "arm", "effect", "effect_reported", "variance")) -> None:
    left, right = (trials.table[list(columns)] for trials in (found, other))
    pd.testing.assert_frame_equal(left, right, check_dtype=False, rtol=1e-12, atol=1e-15)


# Every way to print an effect -------------------------------------------------------------------------------------------------

FORMS = {
    "se": {"se": 0.2},
    "variance": {"variance": 0.2**2},
    "95 % interval": {"ci_low": 0.5 - Z95 * 0.2, "ci_high": 0.5 + Z95 * 0.2},
    "95 % interval with its level": {"ci_low": 0.5 - Z95 * 0.2, "ci_high": 0.5 + Z95 * 0.2, "ci_level": 0.95},
    "90 % interval": {"ci_low": 0.5 - Z90 * 0.2, "ci_high": 0.5 + Z90 * 0.2, "ci_level": 0.90},
    "all of them": {"se": 0.2, "variance": 0.04, "ci_low": 0.5 - Z90 * 0.2, "ci_high": 0.5 + Z90 * 0.2, "ci_level": 0.90},
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_effect_and_variance(form):
    found = read(row(**{"se": None} | FORMS[form]))
    assert found.table["effect"][0] == 0.5
    assert found.table["variance"][0] == pytest.approx(0.04, rel=1e-12)


@few
@given(
    st.lists(
        st.tuples(st.floats(-5, 5), st.floats(0.05, 5), st.sampled_from([*"sv"]) | st.floats(0.5, 0.999)), min_size=1, max_size=8
    ),
    st.sampled_from(["higher", "lower"]),
)
def test_forms_may_differ_by_row_and_direction_gives_the_sign(effects, direction):
    rows = []
    for k, (effect, se, form) in enumerate(effects):
        if form == "s":
            printed = {"se": se}
        elif form == "v":
            printed = {"se": None, "variance": se**2}
        else:
            low, high = sd.effects.interval_from_se(effect, se, form)
            printed = {"se": None, "ci_low": low, "ci_high": high, "ci_level": form}
        rows.append(row(study=f"Study {k}", effect=effect, direction=direction, **printed))
    found = read(*rows).table
    sign = 1 if direction == "higher" else -1
    np.testing.assert_array_equal(found["effect"], [sign * effect for effect, _, _ in effects])
    np.testing.assert_array_equal(found["effect_reported"], [effect for effect, _, _ in effects])
    np.testing.assert_allclose(found["variance"], [se**2 for _, se, _ in effects], rtol=1e-9)


@pytest.mark.parametrize(
    ("changes", "effect", "variance"),
    [
        ({"measure": "SMD"}, 0.584672313110571, 0.134680242694377),
        ({"measure": "MD"}, 1.8, 1.16629166666667),
        ({"measure": "SMD", "score": "final"}, 0.584672313110571, 0.134680242694377),
        ({"measure": "SMD", "se": 0.3}, 0.584672313110571, 0.09),
        ({"measure": "SMD", "effect": 0.6}, 0.6, 0.134680242694377 + (0.6**2 - 0.584672313110571**2) / 62),  # at the mean, 0.6
    ],
)
def test_arm_means_and_sds(changes, effect, variance):
    found = read(row(**{"effect": None, "se": None} | ARMS | changes))
    assert found.table["effect"][0] == pytest.approx(effect, abs=1e-12)
    assert found.table["variance"][0] == pytest.approx(variance, abs=1e-12)
    computed = {line.column for line in found.conversions if "from arm means" in line.formula}
    assert ("effect" in computed) == ("effect" not in changes)
    assert ("variance" in computed) == ("se" not in changes)


def test_final_scores_and_changes_are_told_apart():
    change = {f"change_{name}" if name[0] != "n" else name: value for name, value in ARMS.items()}
    final = ARMS | {"mean_active": 9.0}
    none = {"effect": None, "se": None}
    both = none | final | change
    assert read(row(**both, score="change")).table["effect"][0] == pytest.approx(0.584672313110571, abs=1e-12)
    assert read(row(**both, score="final")).table["effect"][0] == pytest.approx(0.584672313110571 / 3, abs=1e-12)
    (problem, *_) = problems_of(row(**both))
    assert (problem.column, problem.rule) == ("score", "state change or final: the row gives arm means of both")
    # a row of changes has no final scores, whatever else it prints
    assert [problem.column for problem in problems_of(row(**none, **final, score="change"))] == ["effect", "variance"]


@pytest.mark.parametrize("measure", ["SMCC", "SMCR", "logOR"])
def test_other_measures_are_not_guessed_from_arm_means(measure):
    problems = problems_of(row(effect=None, se=None, measure=measure, **ARMS))
    assert [problem.column for problem in problems] == ["effect", "variance"]
    assert f"does not give {measure} in a parallel row" in problems[0].rule


def test_arm_means_of_groups_that_were_not_compared_are_not_subtracted():
    problems = problems_of(row(effect=None, se=None, design="within-group", comparator="none", **ARMS))
    assert [problem.column for problem in problems] == ["effect", "variance"]


def test_a_crossover_needs_the_correlation_of_its_periods():
    (problem,) = problems_of(row(effect=None, se=None, design="crossover", **ARMS | {"n_control": 15}))
    assert problem.column == "variance"
    assert "pre_post_r" in problem.rule
    assert read(row(design="crossover")).table["variance"][0] == pytest.approx(0.04)


def test_the_note_on_turned_signs_counts_effects():
    found = read(row(direction="lower"), row(study="Bo", direction="lower", effect=None), row(study="Cy"), missing="keep")
    assert [note for note in found.notes if "sign turned" in note] == ["effect: sign turned: positive is benefit: 1 row"]


# Laws -------------------------------------------------------------------------------------------------------------------------


def several_rows() -> list[dict]:
    return [
        row(),
        row(study="Bo 2004", direction="lower", effect=-0.3, se=None, variance=0.05, sessions="12-15"),
        row(
            study="Bo 2004",
            arm="B",
            direction="lower",
            effect=-0.4,
            se=None,
            ci_low=-0.9,
            ci_high=0.1,
            sessions="≥21",
            phase=None,
        ),
        row(study="李 2019", effect=None, se=None, **ARMS, sessions="<5", days_since_stroke=30, phase=None, note="a, b"),
        row(study="Cy 2020", effect=None, **ARMS, sessions=None, frequency_hz=7.5),
    ]


def test_the_order_of_rows_does_not_matter():
    rows = several_rows()
    straight = read(*rows).table.drop(columns="row")
    for order in itertools.islice(itertools.permutations(range(len(rows))), 0, None, 17):
        turned = read(*[rows[k] for k in order]).table.drop(columns="row")
        back = turned.iloc[np.argsort(order)].reset_index(drop=True)
        pd.testing.assert_frame_equal(back[list(straight)], straight)


def test_the_order_of_columns_does_not_matter():
    frame = pd.DataFrame(several_rows(), dtype=object)
    straight = sd.read_trials(frame).table
    rng = np.random.default_rng(4)
    for _ in range(10):
        turned = sd.read_trials(frame[list(rng.permutation(frame.columns))]).table
        pd.testing.assert_frame_equal(turned[list(straight)], straight)


def test_csv_excel_and_frames_give_the_same_table(tmp_path):
    frame = pd.DataFrame(several_rows(), dtype=object)
    cells = [[None if pd.isna(value) else value for value in line] for line in frame.to_numpy()]
    with (tmp_path / "t.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([frame.columns, *cells])
    book = openpyxl.Workbook()
    for line in [list(frame.columns), *cells]:
        book.active.append(line)
    book.save(tmp_path / "t.xlsx")
    from_csv, from_excel = sd.read_trials(tmp_path / "t.csv"), sd.read_trials(tmp_path / "t.xlsx")
    from_frame = sd.read_trials(frame)
    from_typed_frame = sd.read_trials(pd.read_csv(tmp_path / "t.csv"))
    assert list(from_csv.table["row"]) == list(from_excel.table["row"]) == [2, 3, 4, 5, 6]
    assert list(from_frame.table["row"]) == [0, 1, 2, 3, 4]
    assert from_csv.fingerprint == from_excel.fingerprint
    for found in (from_excel, from_frame, from_typed_frame):
        pd.testing.assert_frame_equal(found.table.drop(columns="row"), from_csv.table.drop(columns="row"))
        assert found.notes == from_csv.notes


def test_turning_the_direction_turns_the_effect_only():
    higher, lower = read(row()), read(row(direction="lower"))
    assert lower.table["effect"][0] == -higher.table["effect"][0]
    assert lower.table["effect_reported"][0] == higher.table["effect_reported"][0]
    alike(higher, lower, ("variance", "se", "sessions"))


def test_turning_scale_and_direction_together_changes_nothing():
    turned = ARMS | {"mean_active": -ARMS["mean_active"], "mean_control": -ARMS["mean_control"]}
    one = read(row(effect=None, se=None, **ARMS))
    other = read(row(effect=None, se=None, direction="lower", **turned))
    alike(one, other, ("effect", "variance"))


def test_units_of_the_outcome_leave_an_smd_alone_and_scale_an_md():
    scaled = {name: value if name[0] == "n" else value * 10 for name, value in ARMS.items()}
    for measure, factor in (("SMD", 1), ("MD", 10)):
        one, other = (read(row(effect=None, se=None, measure=measure, **arms)).table for arms in (ARMS, scaled))
        assert other["effect"][0] == pytest.approx(one["effect"][0] * factor, rel=1e-12)
        assert other["variance"][0] == pytest.approx(one["variance"][0] * factor**2, rel=1e-12)


def test_reading_twice_gives_the_same_fingerprint_and_a_changed_cell_another():
    first, second = read(*several_rows()), read(*several_rows())
    assert first.fingerprint == second.fingerprint
    changed = several_rows()
    changed[1]["effect"] = -0.31
    assert read(*changed).fingerprint != first.fingerprint


# One fault at a time ----------------------------------------------------------------------------------------------------------

SINGLE_FAULTS = [
    ({"se": 0}, "se", "0", "must be above 0"),
    ({"se": -0.2}, "se", "-0.2", "must be above 0"),
    ({"se": None, "variance": -0.04}, "variance", "-0.04", "must be above 0"),
    ({"se": None, "variance": 0}, "variance", "0", "must be above 0"),
    ({"se": "0,2"}, "se", "0,2", "has a decimal comma"),
    ({"se": "<0.1"}, "se", "<0.1", "is not a number"),
    ({"se": "1e-200"}, "variance", "", "comes out as 0 or infinite"),
    ({"effect": "NR"}, "effect", "NR", "is not a number"),
    ({"effect": True}, "effect", "True", "is not a number"),
    ({"effect": math.inf}, "effect", "inf", "is not a number"),
    ({"effect": None}, "effect", "", "is empty: give it, or what the arms print"),
    ({"se": None}, "variance", "", "is empty: give se, variance, ci_low and ci_high"),
    ({"ci_low": 0.6, "ci_high": 1.3}, "effect", "0.5", "lies outside its confidence interval"),
    ({"ci_low": 0.9, "ci_high": 0.1}, "ci_low", "0.9", "is not below the upper one"),
    ({"ci_low": 0.5, "ci_high": 0.5}, "ci_low", "0.5", "is not below the upper one"),
    ({"ci_low": 0.1}, "ci_low", "0.1", "needs both ends"),
    ({"ci_high": 0.9}, "ci_low", "", "needs both ends"),
    ({"se": None, "ci_low": 0.4, "ci_high": 1.8}, "effect", "0.5", "far from the middle of its confidence interval"),
    ({"ci_low": 0.1, "ci_high": 0.9, "ci_level": 95}, "ci_level", "95", "must be below 1"),
    ({"ci_low": 0.1, "ci_high": 0.9, "ci_level": "95%"}, "ci_level", "95%", "is not a number"),
    ({"ci_low": -0.5, "ci_high": 1.5}, "ci_low", "-0.5", "interval contradicts the standard error"),
    ({"variance": 0.2}, "variance", "0.2", "contradicts the standard error"),
    (ARMS | {"effect": 1.4}, "effect", "1.4", "contradicts the effect computed from the arms"),
    (ARMS | {"effect": -0.58}, "effect", "-0.58", "contradicts the effect computed from the arms"),
    ({"effect": None, "se": None} | ARMS | {"n_active": 1}, "n_active", "1", "an arm of fewer than two people"),
    ({"effect": None, "se": None} | ARMS | {"n_active": 0}, "n_active", "0", "must be at least 1"),
    ({"effect": None, "se": None} | ARMS | {"sd_control": 0}, "sd_control", "0", "must be above 0"),
    ({"effect": None, "se": None} | ARMS | {"measure": "g"}, "measure", "g", "is not one of SMD, MD"),
    ({"sessions": "about 20"}, "sessions", "about 20", "is not a dose: write a number"),
    ({"sessions": -5}, "sessions", "-5", "must be at least 0"),
    ({"sessions": "15-12"}, "sessions", "15-12", "ends are not in order"),
    ({"sessions": datetime.date(2024, 10, 20)}, "sessions", "2024-10-20", "a spreadsheet turned"),
    ({"sessions": "20-Oct"}, "sessions", "20-Oct", "a spreadsheet turned"),
    ({"frequency_hz": 0}, "frequency_hz", "0", "must be above 0"),
    ({"frequency_hz": "1/5/10"}, "frequency_hz", "1/5/10", "is not a dose"),
    ({"phase": "recent"}, "phase", "recent", "is not one of acute, subacute, chronic, mixed"),
    ({"direction": "up"}, "direction", "up", "is not one of higher, lower"),
    ({"direction": None}, "direction", "", "is empty"),
    ({"measure": "Cohen"}, "measure", "Cohen", "is not one of SMD, MD"),
    ({"comparator": "placebo"}, "comparator", "placebo", "is not one of sham, add-on"),
    ({"comparator": None}, "comparator", "", "is empty"),
    ({"design": "RCT"}, "design", "RCT", "is not one of parallel"),
    ({"design": None}, "design", "", "is empty"),
    ({"score": "post"}, "score", "post", "is not one of change, final"),
    ({"comparator": "none"}, "comparator", "none", "but the design has a control"),
    ({"design": "within-group"}, "comparator", "sham", "must be 'none'"),
    ({"study": None}, "study", "", "is empty"),
    ({"days_since_stroke": -3}, "days_since_stroke", "-3", "must be at least 0"),
]


@pytest.mark.parametrize(("changes", "column", "value", "rule"), SINGLE_FAULTS, ids=lambda part: str(part)[:40])
def test_one_fault_is_reported_once_and_in_its_place(changes, column, value, rule):
    (problem,) = problems_of(row(study="Bo 2004"), row(**changes), row(study="Cy 2005", direction="lower"))
    assert (problem.row, problem.column, problem.value) == (1, column, value)
    assert problem.study == ("" if column == "study" else "Ada 2003")
    assert rule in problem.rule
    assert "nan" not in str(problem)


@pytest.mark.parametrize("name", ["study", "direction", "measure", "comparator", "design"])
def test_a_required_column_that_is_missing(name):
    frame = pd.DataFrame([row(), row(study="Bo")]).drop(columns=name)
    with pytest.raises(sd.TrialsError, match="can be given as an argument") as caught:
        sd.read_trials(frame)
    (problem,) = caught.value.problems
    assert (problem.row, problem.column) == (None, name)
    assert problem.rule == f"the column is missing: {COLUMNS[name].meaning}"


def test_missing_columns_and_faulty_cells_come_together_with_the_nearest_name():
    frame = pd.DataFrame([row(se=-1), row(study="Bo")]).rename(columns={"direction": "Direction", "design": "study design"})
    with pytest.raises(sd.TrialsError) as caught:
        sd.read_trials(frame)
    assert [(problem.row, problem.column) for problem in caught.value.problems] == [
        (None, "direction"),
        (None, "design"),
        (0, "se"),
    ]
    assert "did you mean 'Direction'?" in str(caught.value)


def test_a_missing_effect_column_is_empty_in_every_row():
    problems = problems_of(row(effect=None), row(study="Bo", effect=None))
    assert [(problem.row, problem.column) for problem in problems] == [(0, "effect"), (1, "effect")]


KEYS = {"study": "Bo", "outcome": "MAS", "arm": "B", "timepoint": "week 4", "sessions": "12", "site": "nerve", "frequency_hz": 5}


def test_the_same_row_twice():
    (problem,) = problems_of(row(), row(study="Bo"), row())
    assert (problem.row, problem.column, problem.value) == (2, "study", "Ada 2003")
    assert problem.rule.startswith("repeats row 0: same study, outcome, arm, time point, people and doses; tell them apart")


def test_the_same_row_three_times_names_the_first_each_time():
    assert [(problem.row, problem.rule[:13]) for problem in problems_of(row(), row(), row(effect=0.4))] == [
        (1, "repeats row 0"),
        (2, "repeats row 0"),
    ]


@pytest.mark.parametrize("name", KEYS)
def test_rows_that_differ_in_a_key_are_not_the_same(name):
    assert len(read(row(), row(**{name: KEYS[name]}))) == 2


def test_rows_with_different_intervals_of_a_dose_are_not_the_same():
    assert len(read(row(sessions="12-15"), row(sessions="12-20"), row(sessions="≥12"))) == 3
    (problem,) = problems_of(row(sessions="12-15"), row(sessions="12 – 15"))
    assert problem.rule.startswith("repeats row 0")


def test_a_faulty_key_does_not_make_a_row_a_repetition():
    problems = problems_of(row(sessions="often"), row(sessions="rarely"))
    assert [problem.column for problem in problems] == ["sessions", "sessions"]


TEN_FAULTS = """\
study,outcome,direction,measure,comparator,design,effect,se,variance,ci_low,ci_high,sessions,phase
Ada 2003,FMA-UE,higher,SMD,sham,parallel,0.5,0.2,,,,10,acute
Bo 2004,FMA-UE,higher,SMD,sham,parallel,0.5,-0.2,,,,10,acute
Cy 2005,FMA-UE,higher,SMD,sham,parallel,0.5,0,,,,10,acute
Di 2006,FMA-UE,higher,SMD,sham,parallel,0.5,,,0.6,1.2,10,acute

Ed 2007,FMA-UE,higher,SMD,sham,parallel,0.5,0.2,,,,ten,acute
Fa 2008,FMA-UE,higher,SMD,sham,parallel,0.5,0.2,,,,10,hyperacute
Ada 2003,FMA-UE,higher,SMD,sham,parallel,0.4,0.2,,,,10,acute
Gu 2009,FMA-UE,up,SMD,sham,parallel,0.5,0.2,,,,10,acute
Hu 2010,FMA-UE,higher,SMD,,parallel,0.5,0.2,,,,10,acute
Iw 2011,FMA-UE,higher,SMD,sham,parallel,0.5,0.2,0.4,,,10,acute
Jo 2012,FMA-UE,higher,SMD,sham,parallel,about half,0.2,,,,10,acute
"""


@pytest.mark.parametrize("missing", ["error", "drop", "keep"])
def test_ten_faults_in_one_table_are_listed_in_one_error(tmp_path, missing):
    path = tmp_path / "trials.csv"
    path.write_text(TEN_FAULTS, encoding="utf-8")
    with pytest.raises(sd.TrialsError) as caught:
        sd.read_trials(path, missing=missing)
    expected = [
        (3, "Bo 2004", "se", "-0.2", "must be above 0"),
        (4, "Cy 2005", "se", "0", "must be above 0"),
        (5, "Di 2006", "effect", "0.5", "lies outside its confidence interval"),
        (
            *(7, "Ed 2007", "sessions", "ten"),
            "is not a dose: write a number, an interval such as 12-15, or an open end such as >=21 or <5",
        ),
        (8, "Fa 2008", "phase", "hyperacute", "is not one of acute, subacute, chronic, mixed"),
        (
            *(9, "Ada 2003", "study", "Ada 2003"),
            "repeats row 2: same study, outcome, arm, time point, people and doses; tell them apart with `arm`, `outcome` or `timepoint`",
        ),
        (10, "Gu 2009", "direction", "up", "is not one of higher, lower"),
        (11, "Hu 2010", "comparator", "", "is empty"),
        (12, "Iw 2011", "variance", "0.4", "contradicts the standard error or variance printed in the same row"),
        (13, "Jo 2012", "effect", "about half", "is not a number"),
    ]
    if missing != "error":
        expected.pop(7)  # an empty cell is a fault only where gaps are
    assert [tuple(problem) for problem in caught.value.problems] == expected
    assert caught.value.headline == f"the trials table has {len(expected)} faults:"
    assert "\n  - row 7, study 'Ed 2007', sessions = 'ten': is not a dose" in str(caught.value)


def test_an_error_travels_between_processes():
    (problem,) = problems_of(row(se=-1))
    error = sd.TrialsError("the trials table has 1 fault:", [problem])
    copied = pickle.loads(pickle.dumps(error))
    assert (str(copied), copied.problems) == (str(error), [problem])


# Rounding is no contradiction -------------------------------------------------------------------------------------------------


@few
@given(st.lists(st.tuples(st.floats(-3, 3), st.floats(0.005, 2), st.integers(1, 3)), min_size=10, max_size=20))
def test_what_papers_round_does_not_contradict_itself(printed):
    """Effect, interval, se and variance of one analysis, each rounded to the same number of decimals."""
    rows = []
    for k, (effect, se, digits) in enumerate(printed):
        low, high = sd.effects.interval_from_se(effect, se)
        numbers = {"effect": effect, "ci_low": low, "ci_high": high, "se": se, "variance": se**2}
        cells = {name: f"{value:.{digits}f}" for name, value in numbers.items()}
        if float(cells["ci_low"]) < float(cells["ci_high"]):
            cells |= {name: None for name in ("se", "variance") if float(cells[name]) == 0}
            rows.append(row(study=f"Study {k}", **cells))
    if rows:
        assert len(read(*rows)) == len(rows)


@few
@given(
    st.lists(st.tuples(st.floats(-3, 3), st.floats(0.3, 5), st.integers(5, 300), st.integers(1, 2)), min_size=10, max_size=20),
    st.sampled_from(["SMD", "MD"]),
)
def test_means_that_papers_round_do_not_contradict_the_effect(printed, measure):
    formula = {"SMD": sd.effects.standardised_mean_difference, "MD": sd.effects.mean_difference}[measure]
    rows = []
    for k, (difference, spread, people, digits) in enumerate(printed):
        effect, variance = formula(4 + difference, spread, people, 4.0, spread, people)
        means = {"mean_active": f"{4 + difference:.{digits}f}", "mean_control": "4"}
        rest = {"sd_active": spread, "n_active": people, "sd_control": spread, "n_control": people}
        rows.append(row(study=f"Study {k}", measure=measure, effect=f"{effect:.2f}", se=math.sqrt(variance), **means, **rest))
    assert len(read(*rows)) == len(rows)


@pytest.mark.parametrize("factor", [0.7, 0.85, 1.18, 1.4])
def test_a_standard_error_that_is_off_by_more_than_rounding_is_a_contradiction(factor):
    (problem,) = problems_of(row(se="0.200", variance=f"{(0.2 * factor) ** 2:.4f}"))
    assert problem.column == "variance"


# Gaps and doses ---------------------------------------------------------------------------------------------------------------


def gappy() -> tuple[dict, ...]:
    return (
        row(),
        row(study="Bo", sessions=None),
        row(study="Cy", sessions="12-15", frequency_hz=5),
        row(study="Di", sessions="≥21", frequency_hz=10),
        row(study="Ed", sessions="NA", frequency_hz=10),
    )


def test_an_empty_dose_is_no_fault_until_something_needs_it():
    trials = read(*gappy())
    assert len(trials) == 5
    assert trials.gaps() == []
    assert trials.complete() is trials


def test_the_cells_that_are_missing_are_listed():
    trials = read(*gappy())
    with pytest.raises(sd.TrialsError, match=r"4 cells that this needs are empty; .*missing='drop'") as caught:
        trials.complete(("sessions", "frequency_hz"))
    assert [tuple(problem) for problem in caught.value.problems] == [
        (0, "Ada 2003", "frequency_hz", "", "is empty"),
        (1, "Bo", "sessions", "", "is empty"),
        (1, "Bo", "frequency_hz", "", "is empty"),
        (4, "Ed", "sessions", "", "is empty"),
    ]
    assert set(trials.gaps(("sessions", "frequency_hz"))) == set(caught.value.problems)
    with pytest.raises(sd.TrialsError, match="1 cell that this needs is empty"):
        read(*gappy()[:2]).complete(("sessions",))


def test_dropping_names_the_rows():
    trials = read(*gappy())
    kept = trials.complete(("sessions",), missing="drop")
    assert list(kept.table["study"]) == ["Ada 2003", "Cy", "Di"]
    assert list(kept.table["row"]) == [0, 2, 3]
    assert [(problem.row, problem.study, problem.column) for problem in kept.dropped] == [
        (1, "Bo", "sessions"),
        (4, "Ed", "sessions"),
    ]
    assert repr(kept) == "<Trials: 3 rows of 3 studies, 2 rows dropped>"
    assert len(trials) == 5
    assert trials.dropped == ()


def test_dropping_twice_remembers_both():
    kept = read(*gappy()).complete(("sessions",), missing="drop").complete(("frequency_hz",), missing="drop")
    assert [problem.row for problem in kept.dropped] == [1, 4, 0]
    assert list(kept.table["study"]) == ["Cy", "Di"]


def test_dropping_goes_by_row_and_not_by_its_label():
    """Two tables joined end to end repeat their labels; only the incomplete row may go."""
    frame = pd.DataFrame([row(), row(study="Bo", se=None), row(study="Cy")], index=[0, 0, 1])
    kept = sd.read_trials(frame, missing="drop")
    assert list(kept.table["study"]) == ["Ada 2003", "Cy"]
    assert [problem.study for problem in kept.dropped] == ["Bo"]


def test_nothing_left_is_an_error():
    with pytest.raises(sd.TrialsError, match="no row is complete:\n  - row 0, study 'Ada 2003', sessions: is empty"):
        read(row(sessions="")).complete(("sessions",), missing="drop")
    with pytest.raises(sd.TrialsError, match="no row is complete") as caught:
        read(row(se=None), row(study="Bo", effect=None), missing="drop")
    assert [(problem.row, problem.column) for problem in caught.value.problems] == [(0, "variance"), (1, "effect")]


@pytest.mark.parametrize("missing", ["error", "drop"])
def test_a_column_that_the_table_lacks_is_not_dropped_around(missing):
    with pytest.raises(sd.TrialsError, match="the table lacks what this needs:\n  - session_min: the table has no such column"):
        read(row()).complete(("session_min",), missing=missing)


@pytest.mark.parametrize("missing", ["keep", "impute", "dorp", None])
def test_an_unknown_way_with_gaps_is_an_error(missing):
    with pytest.raises(sd.TrialsError, match="missing is 'error' or 'drop'"):
        read(row()).complete((), missing=missing)
    if missing != "keep":
        with pytest.raises(sd.TrialsError, match="missing is 'error', 'drop' or 'keep'"):
            read(row(), missing=missing)


def test_keeping_reads_what_is_there_and_lists_the_rest():
    trials = read(row(se=None), row(study="Bo", effect=None), row(study="Cy", direction=None), row(study="Di"), missing="keep")
    assert len(trials) == 4
    assert [(problem.row, problem.column) for problem in trials.gaps()] == [(2, "direction"), (1, "effect"), (0, "variance")]
    assert trials.table["effect_reported"][2] == 0.5
    assert np.isnan(trials.table["effect"][2])
    assert list(trials.complete(missing="drop").table["study"]) == ["Di"]


def test_keeping_does_without_required_columns_except_the_study():
    frame = pd.DataFrame([{"study": "Ada 2003", "effect": 0.5, "se": 0.2}])
    trials = sd.read_trials(frame, missing="keep")
    assert [problem.column for problem in trials.gaps()] == ["direction", "measure", "comparator", "design"]
    with pytest.raises(sd.TrialsError, match="study: the column is missing"):
        sd.read_trials(frame.drop(columns="study"), missing="keep")


def test_rows_without_a_name_are_not_taken_for_one_study():
    trials = read(row(study=None), row(study=None), row(), missing="keep")
    assert len(trials) == 3
    assert len(trials.complete(missing="drop")) == 1


def test_bounds_of_doses():
    low, high = read(*gappy()).bounds("sessions")
    np.testing.assert_array_equal(low, [10, np.nan, 12, 21, np.nan])
    np.testing.assert_array_equal(high, [10, np.nan, 15, np.inf, np.nan])
    low, high = read(row()).bounds("sessions")
    assert low[0] == high[0] == 10


def test_doses_that_are_intervals_stay_intervals_in_the_table():
    table = read(*gappy()).table
    np.testing.assert_array_equal(table["sessions"], [10, np.nan, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(table["sessions_low"], [np.nan, np.nan, 12, 21, np.nan])
    np.testing.assert_array_equal(table["sessions_high"], [np.nan, np.nan, 15, np.inf, np.nan])


def test_a_fit_asks_for_the_doses_of_its_model():
    model = sd.Model(name="sessions", dose=[sd.Dose(column="sessions", shape="log-linear")])
    with pytest.raises(sd.TrialsError, match="row 1, study 'Bo', sessions: is empty"):
        sd.fit(model, read(*gappy()), seed=1)


# Constants, phases, notes -----------------------------------------------------------------------------------------------------


def test_constants_fill_empty_cells_only_and_say_so():
    found = read(row(phase="acute"), row(study="Bo", phase=None), phase="chronic", site="nerve")
    assert list(found.table["phase"]) == ["acute", "chronic"]
    assert list(found.table["site"]) == ["nerve", "nerve"]
    assert found.notes == (
        "phase: filled in where it was empty (stated for the whole table): 1 row",
        "site: filled in where it was empty (stated for the whole table): 2 rows",
    )
    assert "1 row" not in " ".join(read(row(), row(study="Bo", phase=None)).notes)


def test_degrees_of_freedom_do_not_split_a_note():
    own = {"se": None, "variance": None, "ci_low": -1.0, "ci_high": 1.8, "effect": 0.4, "measure": "MD"}
    found = read(*(row(**own, study=f"{n}", n_active=n, n_control=n) for n in (10, 20)))
    (note,) = [note for note in found.notes if note.startswith("variance")]
    assert note.endswith("(t with its degrees of freedom): 2 rows")
    assert "t with 18 degrees of freedom" in found.audit()["assumption"].tolist()


def test_constants_are_checked_like_cells():
    assert read(row(sessions=None), sessions="12-15").bounds("sessions")[1][0] == 15
    (problem,) = problems_of(row(phase=None), phase="recent")
    assert (problem.column, problem.value) == ("phase", "recent")
    with pytest.raises(sd.TrialsError, match=r"'phse' is not a column of the vocabulary \(did you mean 'phase'\?\)"):
        read(row(), phse="acute")
    for empty in (None, "", float("nan")):
        with pytest.raises(sd.TrialsError, match="phase is given as an argument, and is empty"):
            read(row(), phase=empty)


@pytest.mark.parametrize(
    ("days", "phase"), [(0, "acute"), (13.9, "acute"), (14, "subacute"), (182, "subacute"), (183, "chronic"), (9000, "chronic")]
)
def test_phases_are_cut_from_days_where_none_is_printed(days, phase):
    found = read(row(phase=None, days_since_stroke=days), row(study="Bo", phase=None))
    assert list(found.table["phase"].fillna("")) == [phase, ""]
    assert any("phase: cut from days_since_stroke" in note and note.endswith(": 1 row") for note in found.notes)


def test_a_printed_phase_stands_and_the_difference_is_noted():
    found = read(row(phase="chronic", days_since_stroke=30), row(study="Bo", phase="mixed", days_since_stroke=30))
    assert list(found.table["phase"]) == ["chronic", "mixed"]
    (note,) = found.notes
    assert note.startswith("phase: kept as printed")
    assert note.endswith(": 1 row")


def test_names_that_look_like_slips_are_noted_and_pass_through():
    found = read(row(frequency_Hz="10", colour="blue"))
    assert found.table["frequency_Hz"][0] == 10
    assert [note for note in found.notes if "did you mean" in note] == [
        "column 'frequency_Hz' is not in the vocabulary and passes through unchecked (did you mean 'frequency_hz'?)"
    ]


def test_every_column_and_row_of_the_source_is_there():
    frame = pd.DataFrame(several_rows(), dtype=object).assign(extra="x", other=[1, 2, 3, 4, 5])
    table = sd.read_trials(frame).table
    assert set(frame.columns) <= set(table.columns)
    added = {"row", "effect_reported", "variance_reported", "variance", "sessions_low", "sessions_high"}
    assert set(table.columns) - set(frame.columns) == added - set(frame.columns)
    assert list(table["study"]) == list(frame["study"])
    assert list(table["other"]) == [1, 2, 3, 4, 5]


def test_a_trials_object_is_frozen():
    with pytest.raises(FrozenInstanceError):
        read(row()).notes = ()


# Subsets and estimands --------------------------------------------------------------------------------------------------------


def test_subsets():
    trials = read(row(), row(study="Bo", phase="chronic"), row(study="Cy", phase=None))
    chronic = trials.subset(phase="chronic")
    assert list(chronic.table["study"]) == ["Bo"]
    assert chronic.notes[-1] == "subset: {'phase': 'chronic'}"
    assert len(trials.subset(phase=["acute", "chronic"])) == 2
    assert len(trials.subset(phase="acute", study="Ada 2003")) == 1
    with pytest.raises(sd.TrialsError, match="no row has"):
        trials.subset(phase="mixed")
    with pytest.raises(sd.TrialsError, match=r"no column 'phases' \(did you mean 'phase'\?\)"):
        trials.subset(phases="acute")


MIXTURES = {
    "measure": ({"measure": "MD"}, "MD, SMD"),
    "comparator": ({"comparator": "active"}, "active, sham or add-on"),
    "design": ({"design": "stratum"}, "parallel, stratum"),
    "score": ({"score": "change"}, "change, final"),
}


@pytest.mark.parametrize("kind", MIXTURES)
def test_effects_that_mean_different_things_are_mixed_only_on_request(kind):
    changes, values = MIXTURES[kind]
    trials = read(row(score="final"), row(**{"study": "Bo", "score": "final"} | changes))
    assert trials.mixtures() == {kind: values.split(", ")}
    with pytest.raises(sd.TrialsError, match="mixes effects that do not mean the same") as caught:
        trials.require_one_estimand()
    (problem,) = caught.value.problems
    assert problem.column == kind
    assert problem.rule == f"rows with {values} in one fit; choose with subset(), or state allow_mixed=['{kind}']"
    trials.require_one_estimand((kind,))
    trials.require_one_estimand(kind)
    other = next(name for name in MIXTURES if name != kind)
    with pytest.raises(sd.TrialsError, match="do not mean the same"):
        trials.require_one_estimand((other,))
    trials.subset(study="Bo").require_one_estimand()


def test_all_mixtures_are_listed_at_once():
    trials = read(row(score="final"), row(study="Bo", measure="MD", design="within-group", comparator="none", score="change"))
    with pytest.raises(sd.TrialsError) as caught:
        trials.require_one_estimand()
    assert [problem.column for problem in caught.value.problems] == ["measure", "comparator", "design", "score"]


def test_what_may_stand_together():
    """Sham and add-on are both inactive controls; a crossover estimates what a parallel trial does."""
    read(row(), row(study="Bo", comparator="add-on"), row(study="Cy", comparator="sham or add-on")).require_one_estimand()
    read(row(), row(study="Bo", design="crossover")).require_one_estimand()
    read(row(), row(study="Bo", outcome="MAS")).require_one_estimand()


def test_raw_differences_on_different_scales_do_not_mix():
    trials = read(row(measure="MD"), row(study="Bo", measure="MD", outcome="MAS"))
    with pytest.raises(sd.TrialsError, match="outcome: rows with FMA-UE, MAS in one fit"):
        trials.require_one_estimand()
    trials.require_one_estimand("outcome")


def test_an_unknown_kind_of_mixture():
    with pytest.raises(sd.TrialsError, match="allow_mixed takes measure, comparator, design, score, outcome, not phase"):
        read(row()).require_one_estimand(("phase",))


# Anything at all --------------------------------------------------------------------------------------------------------------

CELLS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
    st.binary(max_size=4),
    st.complex_numbers(),
    st.dates(),
    st.datetimes(),
    st.times(),
    st.timedeltas(),
    st.decimals(),
    st.fractions(),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.integers(), st.integers(), max_size=1),
    st.sampled_from(
        [pd.NA, pd.NaT, np.float32("nan"), np.int8(3), np.bool_(True), np.str_("x"), np.datetime64("2024-01-01"), object]
    ),
    st.sampled_from([decimal.Decimal("NaN"), decimal.Decimal("Infinity"), fractions.Fraction(1, 3), datetime.date(2024, 12, 15)]),
    st.sampled_from(
        [np.array([1, 2]), pd.Timestamp("2024-12-15"), pd.Timedelta("1h"), pd.Interval(0, 1), range(2), 1e308, -1e308]
    ),
    st.sampled_from(["12-15", "≥21", "<5", "15-12", "−0.5", "1e400", "1e308", "1e-320", "NaN", "None", "0", "-1", "x", "12-Dec"]),
    *[st.sampled_from(column.levels) for column in COLUMNS.values() if column.levels],
)


@st.composite
def tables(draw) -> pd.DataFrame:
    """Sound rows with several cells of known columns replaced by anything."""
    frame = pd.DataFrame([row(study=f"Study {k}", **ARMS) for k in range(draw(st.integers(1, 4)))], dtype=object)
    for name in draw(st.lists(st.sampled_from(list(COLUMNS)), max_size=4, unique=True)):
        values = draw(st.lists(CELLS, min_size=len(frame), max_size=len(frame)))
        frame[name] = pd.Series([None] * len(frame), dtype=object)
        for k, value in enumerate(values):
            frame.at[k, name] = value
    return frame.drop(columns=draw(st.lists(st.sampled_from(list(frame.columns)), max_size=1, unique=True)))


def trials_or_error(source, missing):
    try:
        return sd.read_trials(source, missing=missing)
    except sd.TrialsError as error:
        return error


@few
@given(tables(), st.sampled_from(["error", "drop", "keep"]))
def test_any_cells_give_trials_or_a_trials_error(frame, missing):
    trials = trials_or_error(frame, missing)
    if isinstance(trials, sd.TrialsError):
        assert str(trials)
        assert all(problem.rule for problem in trials.problems)
        return
    assert len(trials) + len({problem.row for problem in trials.dropped}) == len(frame)
    assert len(trials.fingerprint) == 64
    assert (trials.gaps() == []) or missing == "keep"
    variance = trials.table["variance"].dropna()
    assert ((variance > 0) & np.isfinite(variance)).all()
    assert not np.isinf(trials.table["effect"]).any()


@few
@given(st.lists(st.tuples(st.sampled_from(list(COLUMNS)), st.text(max_size=10)), min_size=1, max_size=5))
def test_any_text_in_a_csv_gives_trials_or_a_trials_error(tmp_path_factory, changes):
    path = tmp_path_factory.getbasetemp() / "any text.csv"
    cells = row() | dict(changes)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([cells.keys(), cells.values()])
    found = trials_or_error(path, "keep")
    assert str(found) if isinstance(found, sd.TrialsError) else len(found) == 1


def test_a_subset_by_a_numeric_column_takes_numbers_and_their_text():
    """The command line passes text."""
    strata = sd.load_dataset("rtms_upper_limb_strata")
    assert len(strata.subset(k_studies="8")) == len(strata.subset(k_studies=8)) == (strata.table["k_studies"] == 8).sum() > 0
    assert strata.subset() is strata


@pytest.mark.parametrize(
    ("printed", "used"),
    [("0.03", 0.03), (".03", 0.03), ("p = 0.03", 0.03), ("= 0.03", 0.03), ("0.03*", 0.03), ("P=.030", 0.03)]
    + [(bound, None) for bound in ("<0.05", "p < 0.05", "ns", "n.s.", "0.000", ">0.05", "≤ 0.01", "C vs S 0.016", "0.05 (MAS)")],
)
def test_p_values_as_papers_print_them(printed, used):
    found = read(row(se=None, p_value=printed), missing="keep").table
    assert found["p_value"][0] == printed
    if used is None:
        assert np.isnan(found["variance"][0])
    else:
        assert found["variance"][0] == pytest.approx((0.5 / stats.norm.isf(used / 2)) ** 2, rel=1e-9)


@pytest.mark.parametrize("printed", ["1.5", "-0.2", "0,03"])
def test_p_values_that_cannot_be_read(printed):
    (problem,) = problems_of(row(p_value=printed))
    assert (problem.column, problem.value) == ("p_value", printed)


@pytest.mark.parametrize("limits", [5, None, ("a", "b"), (14, math.inf), (200, 100), (14,)])
def test_phase_limits_that_cannot_be(limits):
    with pytest.raises(sd.TrialsError, match="phase_limits_days is two days in order"):
        read(row(), phase_limits_days=limits)


@pytest.mark.parametrize("source", [None, 3, ["a.csv"], b"a.csv"])
def test_sources_that_are_no_table(source):
    with pytest.raises(sd.TrialsError, match="a table is a file or a DataFrame"):
        sd.read_trials(source)


def test_rows_that_differ_in_followup_or_people_are_no_repeats():
    assert len(read(row(followup_days=10), row(followup_days=40))) == 2
    assert len(read(row(hemisphere="affected"), row(hemisphere="unaffected"))) == 2
    assert len(problems_of(row(), row())) == 1


def test_bursts_of_no_standard_pattern_are_noted():
    found = read(row(modality="prolonged iTBS", frequency_hz=50), row(study="Bo", modality="iTBS-1200", frequency_hz=None))
    (line,) = [line for line in found.conversions if line.column == "modality"]
    assert (line.row, line.computed) == (0, "kept")
    assert found.table["frequency_hz"].tolist() == [50, 5]
