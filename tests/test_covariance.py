"""Covariance of rows that share people: published tables, simulation, the laws of a covariance, and what must be stated."""

import json
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stimdose as sd
from stimdose import covariance, effects
from stimdose.trials import doubts

ORACLES = Path(__file__).parent / "oracles" / "covariance"
EXPECTED = json.loads((ORACLES / "expected.json").read_text(encoding="utf-8"))
quick = settings(max_examples=25, deadline=None, derandomize=True)

BASE = {"direction": "higher", "comparator": "sham", "design": "parallel"}


def read(records, **constants) -> sd.Trials:
    return sd.read_trials(pd.DataFrame(records, dtype=object), **(BASE | constants))


def generalised_least_squares(y, X, V):
    """Coefficients and their covariance, textbook form."""
    precision = np.linalg.inv(V)
    covariance = np.linalg.inv(X.T @ precision @ X)
    return covariance @ X.T @ precision @ y, covariance


# Published tables ------------------------------------------------------------------------------------------------------------


def parkinsons_contrasts() -> tuple[sd.Trials, pd.DataFrame]:
    """The seven Parkinson trials as contrasts with their first arm, from arm means and standard errors."""
    arms = pd.read_csv(ORACLES / "multinma_parkinsons.csv")
    records = []
    for study, group in arms.groupby("studyn"):
        control = group.iloc[0]
        for _, active in group.iloc[1:].iterrows():
            records.append(
                {"study": f"S{study}", "arm": f"{active.trtn:.0f} v {control.trtn:.0f}", "control_group": "first arm"}
                | {f"{name}_active": active[key] for name, key in (("mean", "y"), ("se", "se"), ("n", "n"))}
                | {f"{name}_control": control[key] for name, key in (("mean", "y"), ("se", "se"), ("n", "n"))}
            )
    return read(records, measure="MD", comparator="active"), arms


def test_contrasts_with_a_shared_control_say_what_the_arms_say():
    trials, arms = parkinsons_contrasts()
    treatments = [1, 2, 3, 5]  # against 4, as published
    by_name = np.array(
        [[float(f"{t}" == part) for t in treatments] for name in trials.table["arm"] for part in name.split(" v ")]
    )
    design = by_name[0::2] - by_name[1::2]
    estimate, covariance = generalised_least_squares(trials.table["effect"].to_numpy(), design, trials.covariance())

    # the same from arms, each study with a free level of its own
    X = np.column_stack([arms["studyn"] == s for s in arms["studyn"].unique()] + [arms["trtn"] == t for t in treatments]).astype(
        float
    )
    by_arm, by_arm_covariance = generalised_least_squares(arms["y"].to_numpy(), X, np.diag(arms["se"] ** 2))
    np.testing.assert_allclose(estimate, by_arm[7:], atol=1e-10)
    np.testing.assert_allclose(covariance, by_arm_covariance[7:, 7:], atol=1e-10)
    # published posterior means and SDs of the fixed-effect model: two digits, with Monte Carlo error
    np.testing.assert_allclose(estimate, EXPECTED["parkinsons"]["mean"], atol=0.015)
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), EXPECTED["parkinsons"]["sd"], atol=0.01)


def test_independent_contrasts_would_be_too_sure():
    trials, _ = parkinsons_contrasts()
    three_arms = np.flatnonzero(trials.table["study"] == "S3")
    V = trials.covariance()[np.ix_(three_arms, three_arms)]
    assert V[0, 1] == pytest.approx(0.505**2, rel=1e-9)  # the variance of the control arm's mean
    assert trials.covariance()[0, 1] == 0  # other studies


def test_two_outcomes_with_known_correlations_give_the_published_matrix():
    table = pd.read_csv(ORACLES / "berkey1998.csv")
    covariances = table.groupby("trial")[["v1i", "v2i"]].transform("first")["v2i"]
    product = table.groupby("trial")["vi"].transform("prod")
    records = pd.DataFrame(
        {
            "study": table["author"],
            "outcome": table["outcome"],
            "effect": table["yi"],
            "variance": table["vi"],
            "sample": "all",
            "outcome_correlation": (covariances / np.sqrt(product)).round(12),
        }
    )
    trials = read(records, measure="MD")
    V = trials.covariance()
    for trial, group in table.groupby("trial"):
        np.testing.assert_allclose(V[np.ix_(group.index, group.index)], group[["v1i", "v2i"]], rtol=1e-9, err_msg=str(trial))
    # with the heterogeneity that metafor finds (restricted likelihood, unstructured), its coefficients follow
    found = EXPECTED["berkey1998"]
    outcomes = table["outcome"].map({"AL": 0, "PD": 1}).to_numpy()
    between = np.array(found["heterogeneity"])[np.ix_(outcomes, outcomes)] * (
        table["trial"].to_numpy()[:, None] == table["trial"].to_numpy()
    )
    estimate, covariance = generalised_least_squares(table["yi"].to_numpy(), np.eye(2)[outcomes], V + between)
    np.testing.assert_allclose(estimate, found["coefficients"], atol=1e-6)
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), found["se"], atol=1e-6)


def senn_contrasts() -> tuple[sd.Trials, np.ndarray, list[str]]:
    arms = pd.read_csv(ORACLES / "senn2013.csv")
    arms["order"] = (arms["treatment"] != "placebo").map(int)
    records, signs = [], []
    treatments = sorted(set(arms["treatment"]) - {"placebo"})
    for study, group in arms.groupby("study", sort=False):
        control, *others = group.sort_values("order", kind="stable").to_dict("records")
        for active in others:
            records.append(
                {"study": study, "arm": active["treatment"], "control_group": control["treatment"]}
                | {f"{name}_active": active[key] for name, key in (("mean", "mi"), ("sd", "sdi"), ("n", "ni"))}
                | {f"{name}_control": control[key] for name, key in (("mean", "mi"), ("sd", "sdi"), ("n", "ni"))}
            )
            signs.append([(active["treatment"] == t) - float(control["treatment"] == t) for t in treatments])
    return read(records, measure="MD"), np.array(signs), treatments


def test_a_network_with_a_three_arm_trial_agrees_with_metafor():
    trials, design, treatments = senn_contrasts()
    found = EXPECTED["senn2013"]
    study = trials.table["study"].to_numpy()
    between = found["tau2"] * (0.5 * (study[:, None] == study) + 0.5 * np.eye(len(study)))
    estimate, covariance = generalised_least_squares(trials.table["effect"].to_numpy(), design, trials.covariance() + between)
    np.testing.assert_allclose(estimate, [found["coefficients"][t] for t in treatments], atol=1e-6)
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), [found["se"][t] for t in treatments], atol=1e-6)


# Simulation -------------------------------------------------------------------------------------------------------------------


def test_shared_control_of_standardised_differences_against_simulation():
    """Two arms of 30 and 20 against one control of 25, true effects 0.8 and 0.5: correlation of the two g."""
    rng, n = np.random.default_rng(1), (30, 20, 25)
    draws = 200_000
    samples = [rng.standard_normal((draws, size)) + mean for size, mean in zip(n, (0.8, 0.5, 0.0), strict=True)]
    (m1, s1), (m2, s2), (mc, sc) = [(x.mean(axis=1), x.std(axis=1, ddof=1)) for x in samples]
    g = [effects.standardised_mean_difference(m, s, k, mc, sc, 25)[0] for m, s, k in ((m1, s1, 30), (m2, s2, 20))]
    simulated = np.corrcoef(*g)[0, 1]
    control = {"mean_control": 0, "sd_control": 1, "n_control": 25}
    correction = [effects.hedges_correction(k + 23) for k in (30, 20)]
    records = [
        {"study": "S", "arm": str(k), "control_group": "c", "mean_active": mean / J, "sd_active": 1, "n_active": k} | control
        for k, mean, J in ((30, 0.8, correction[0]), (20, 0.5, correction[1]))
    ]
    V = read(records, measure="SMD", smd_variance="printed").covariance()
    assert V[0, 1] / np.sqrt(V[0, 0] * V[1, 1]) == pytest.approx(simulated, abs=0.01)


# Laws -------------------------------------------------------------------------------------------------------------------------


@st.composite
def linked_rows(draw):
    """One study: arms against one control or two, each at some outcomes and times; one row of each arm names its control."""
    arms, outcomes, times = draw(st.integers(1, 4)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    sizes = st.integers(5, 60)
    n_control = draw(sizes)
    records = []
    for arm in range(arms):
        n_active, control = draw(sizes), draw(st.sampled_from(["c", "d", None]))
        for outcome in range(outcomes):
            for time in range(times):
                records.append(
                    {"study": "S", "arm": f"a{arm}", "sample": f"a{arm}", "outcome": f"o{outcome}"}
                    | {"control_group": None if outcome or time else control}
                    | {"timepoint": f"t{time}", "followup_days": 7 * time**2, "n_active": n_active, "n_control": n_control}
                    | {"effect": draw(st.floats(-1, 1)), "measure": "SMD"}
                )
    order = draw(st.permutations(range(len(records))))
    decays = draw(st.booleans())
    stated = {
        "outcome_correlation": draw(st.floats(-0.45, 0.9)),  # of three outcomes, from -0.5
        "time_correlation": draw(st.floats(0 if decays else -0.45, 0.9)),
    } | ({"time_correlation_days": 14} if decays else {})
    return records, order, stated


def correlation_of(trials: sd.Trials) -> np.ndarray:
    V = trials.covariance()
    return V / np.sqrt(np.outer(np.diag(V), np.diag(V)))


@quick
@given(linked_rows())
def test_covariances_are_positive_definite_and_follow_the_rows(case):
    records, order, stated = case
    trials = read(records, **stated)
    V = trials.covariance()
    np.testing.assert_array_equal(V, V.T)
    np.testing.assert_allclose(np.diag(V), trials.table["variance"], rtol=1e-12)
    assert np.linalg.eigvalsh(V)[0] > 0
    shuffled = read([records[k] for k in order], **stated)
    np.testing.assert_allclose(shuffled.covariance(), V[np.ix_(order, order)], rtol=1e-9)


def test_correlation_decays_with_the_days_between():
    at = [
        {"study": "S", "sample": "p", "timepoint": f"d{day}", "followup_days": day, "effect": 0.5, "variance": 0.1}
        for day in (0, 28, 84)
    ]
    V = read(at, measure="SMD", time_correlation=0.8, time_correlation_days=28).covariance() / 0.1
    np.testing.assert_allclose(V[0], [1, 0.8, 0.8**3], rtol=1e-12)
    np.testing.assert_allclose(V[1], [0.8, 1, 0.8**2], rtol=1e-12)
    same_for_all = read([{k: v for k, v in r.items() if k != "followup_days"} for r in at], measure="SMD", time_correlation=0.8)
    np.testing.assert_allclose(same_for_all.covariance()[0] / 0.1, [1, 0.8, 0.8], rtol=1e-12)


def test_control_and_sample_together():
    """Two arms at two times: the control is shared at the same time fully, across times by the correlation over time."""
    records = [
        {
            "study": "S",
            "arm": arm,
            "sample": arm,
            "control_group": "c",
            "timepoint": time,
            "effect": 0.0,
            "n_active": 20,
            "n_control": 20,
        }
        for arm in "AB"
        for time in ("end", "later")
    ]
    V = read(records, measure="SMD", time_correlation=0.6).covariance()
    np.testing.assert_allclose(
        V / V[0, 0], [[1, 0.6, 0.5, 0.3], [0.6, 1, 0.3, 0.5], [0.5, 0.3, 1, 0.6], [0.3, 0.5, 0.6, 1]], rtol=1e-12
    )


def test_rows_without_links_are_independent():
    records = [{"study": "S", "arm": arm, "effect": 0.5, "variance": 0.1} for arm in "AB"]
    np.testing.assert_array_equal(read(records, measure="SMD").covariance(), np.diag([0.1, 0.1]))


def test_a_subset_keeps_its_part_of_the_covariance():
    records, _ = (
        [
            {
                "study": s,
                "arm": arm,
                "control_group": "c",
                "phase": "acute" if arm == "A" else "chronic",
                "effect": 0.1,
                "n_active": 20,
                "n_control": 20,
            }
            for s in "ST"
            for arm in "AB"
        ],
        None,
    )
    trials = read(records, measure="SMD")
    part = trials.subset(study="S")
    np.testing.assert_allclose(part.covariance(), trials.covariance()[:2, :2])
    assert trials.subset(phase="acute").covariance()[0, 1] == 0


def two_arms(**changes) -> list[dict]:
    """A-FMA and B-FMA against one sham, and A-MAS, which names no control."""
    sizes = {"study": "S", "effect": 0.0, "n_active": 20, "n_control": 20}
    cells = [("A", "FMA", "sham"), ("B", "FMA", "sham"), ("A", "MAS", None)]
    return [sizes | {"sample": arm, "outcome": name, "control_group": group} | changes for arm, name, group in cells]


def test_rows_of_one_sample_have_one_control():
    trials = read(two_arms(), measure="SMD", outcome_correlation=0.6)
    np.testing.assert_allclose(correlation_of(trials), [[1, 0.5, 0.6], [0.5, 1, 0.3], [0.6, 0.3, 1]], rtol=1e-12)
    (line,) = [line for line in trials.conversions if line.column == "control_group"]
    assert (line.row, line.computed, line.assumption) == (2, "sham", "stated in another row of the sample")
    rows = two_arms()
    rows[2]["control_group"] = "usual care"
    assert problems_of(rows, measure="SMD", outcome_correlation=0.6) == [(0, "control_group"), (2, "control_group")]


def test_the_control_of_one_sample_alone_needs_no_sizes():
    rows = [LINKED | {"effect": 0.1, "control_group": "c", "outcome": name} for name in "xy"]
    assert correlation_of(read(rows, outcome_correlation=0.6))[0, 1] == pytest.approx(0.6, rel=1e-12)
    rows[0] |= {"n_active": 20, "n_control": 30}
    assert correlation_of(read(rows, outcome_correlation=0.6))[0, 1] == pytest.approx(0.6, rel=1e-12)


def test_opposite_effects_of_one_control_come_out_more_alike_than_by_gleser_and_olkin():
    """What the docstring of the module says: 0.50 and 0.42 at g = 0.8 and -0.8, in three arms of n."""
    n, g = 1e6, 0.8
    rows = [
        {"study": "S", "arm": arm, "control_group": "c", "mean_active": mean, "sd_active": 1, "n_active": n}
        | {"mean_control": 0, "sd_control": 1, "n_control": n}
        for arm, mean in (("A", g), ("B", -g))
    ]
    printed = correlation_of(read(rows, measure="SMD", smd_variance="printed"))[0, 1]
    assert printed == pytest.approx(0.5, abs=1e-5)
    assert (1 - g * g / 6) / (2 + g * g / 6) == pytest.approx(0.42, abs=0.005)
    assert correlation_of(read(rows, measure="SMD"))[0, 1] == pytest.approx(0.5, abs=1e-5)


def test_what_one_row_states_outlives_that_row():
    rows = [LINKED | {"effect": 0.1, "outcome": name, "timepoint": time} for name in "xy" for time in ("end", "later")]
    rows[0] |= {"outcome_correlation": 0.5, "time_correlation": 0.8}
    trials = read(rows)
    part = trials.subset(outcome="y")
    np.testing.assert_allclose(part.covariance(), trials.covariance()[2:, 2:])
    assert trials.subset(timepoint="later").gaps() == []
    spread = [line for line in trials.conversions if line.assumption == "stated in another row of the study"]
    assert {(line.row, line.column) for line in spread} == {
        (row, f"{name}_correlation") for row in (1, 2, 3) for name in ("outcome", "time")
    }


def test_what_a_row_states_comes_before_what_is_stated_for_the_whole_table():
    rows = [LINKED | {"effect": 0.1, "outcome": name} for name in "xy"]
    rows += [row | {"study": "T"} for row in rows]
    rows[0] |= {"outcome_correlation": "0.5"}
    found = correlation_of(read(rows, outcome_correlation=0.7))
    assert (found[0, 1], found[2, 3]) == (pytest.approx(0.5), pytest.approx(0.7))


def test_an_unreadable_statement_is_one_fault():
    rows = [
        LINKED | {"effect": 0.1, "outcome": name, "outcome_correlation": stated} for name, stated in (("x", "high"), ("y", None))
    ]
    with pytest.raises(sd.TrialsError, match="'high': is not a number") as caught:
        read(rows)
    assert [problem.value for problem in caught.value.problems].count("high") == 1


def test_ten_thousand_rows_take_seconds():
    """Blocks and gaps go by the rows that are linked, not by the whole table."""
    rows = [row | {"study": f"S{k}"} for k in range(3333) for row in two_arms()]
    start = perf_counter()
    trials = read(rows, measure="SMD", outcome_correlation=0.6)
    read_in = perf_counter() - start
    assert trials.gaps() == []
    flat, block = covariance.blocks(trials.table, np.arange(0, 10_000, 3))
    assert perf_counter() - start - read_in < 4
    assert read_in < 16  # 2 s; before, 30 s
    np.testing.assert_allclose(flat[:9], correlation_of(trials.subset(study="S0")).ravel())
    assert (np.diff(block) == 9).all()


# What must be stated ----------------------------------------------------------------------------------------------------------

LINKED = {"study": "S", "sample": "p", "variance": 0.1, "measure": "SMD"}


def problems_of(records, **constants):
    with pytest.raises(sd.TrialsError) as caught:
        read(records, **constants)
    return [(problem.row, problem.column) for problem in caught.value.problems]


def test_correlations_that_are_not_stated_are_listed():
    two = [LINKED | {"effect": 0.1, "outcome": "FMA-UE"}, LINKED | {"effect": 0.2, "outcome": "ARAT"}]
    assert problems_of(two) == [(0, "outcome_correlation"), (1, "outcome_correlation")]
    assert read(two, outcome_correlation=0).covariance()[0, 1] == 0
    times = [LINKED | {"effect": 0.1, "timepoint": "1"}, LINKED | {"effect": 0.2, "timepoint": "2"}]
    assert problems_of(times) == [(0, "time_correlation"), (1, "time_correlation")]
    kept = read(times, missing="keep")
    assert {problem.column for problem in kept.gaps()} == {"time_correlation"}
    with pytest.raises(sd.TrialsError, match="not independent need more"):
        read([*times, {"study": "T", "effect": 0.1, "measure": "SMD"}], missing="drop")


def test_a_shared_control_of_unknown_size_is_listed():
    two = [{"study": "S", "arm": arm, "control_group": "c", "effect": 0.1, "variance": 0.1} for arm in "AB"]
    assert problems_of(two, measure="SMD") == [(0, "control_group"), (1, "control_group")]
    V = read(two, measure="SMD", control_correlation=0.5).covariance()
    assert V[0, 1] == pytest.approx(0.05, rel=1e-12)


def test_rows_that_say_the_same_twice_are_a_fault():
    same = [LINKED | {"arm": arm, "effect": 0.1} for arm in "AB"]
    assert problems_of(same) == [(0, "sample"), (1, "sample")]
    contradictory = [LINKED | {"effect": 0.1, "outcome": name, "outcome_correlation": r} for name, r in (("x", 0.2), ("y", 0.4))]
    assert problems_of(contradictory) == [(0, "outcome_correlation"), (1, "outcome_correlation")]


def test_rows_that_may_be_the_same_people_are_remarked():
    two = [{"study": "S", "effect": 0.1, "variance": 0.1, "outcome": name} for name in ("FMA-UE", "ARAT")]
    (remark,) = doubts(read(two, measure="SMD").table)
    assert "taken as different people" in remark
    assert remark.endswith("S")
    named = [row | {"sample": row["outcome"]} for row in two]
    assert doubts(read(named, measure="SMD").table) == []


def test_the_remark_on_rows_goes_by_days_too_and_ends_with_its_reason():
    rows = [
        {"study": "S", "arm": arm, "effect": 0.1, "variance": 0.1, "followup_days": day} for arm, day in (("A", 7), ("B", 28))
    ]
    trials = read(rows, measure="SMD")
    assert [note for note in trials.notes if "taken as different people" in note]
    assert trials.audit()["formula"].str.contains("taken as different people").sum() == 1
    assert not [note for note in trials.subset(arm="A").notes if "different people" in note]


def test_names_that_differ_only_in_case_or_spaces_are_remarked():
    rows = two_arms(outcome_correlation=0.6)
    rows[1]["control_group"] = "Sham"
    rows += [{"study": name, "effect": 0.1, "variance": 0.1} for name in ("Smith 2010", "smith 2010", "Smith2010")]
    notes = [note for note in read(rows, measure="SMD").notes if "case or spaces" in note]
    assert notes == [
        "studies whose names differ only in case or spaces are taken as different: 'Smith 2010' and 'smith 2010' and 'Smith2010'",
        "`control_group` differs only in case or spaces, and is taken as different: 'sham' and 'Sham' (S)",
    ]
    apart = [{"study": study, "sample": name, "effect": 0.1, "variance": 0.1} for study, name in (("S", "p"), ("T", "P"))]
    assert doubts(read(apart, measure="SMD").table) == []


def rules_of(records, **constants) -> dict:
    """Rows by column and rule."""
    with pytest.raises(sd.TrialsError) as caught:
        read(records, **constants)
    found = {}
    for problem in caught.value.problems:
        found.setdefault((problem.column, problem.rule), []).append(problem.row)
    return found


@pytest.mark.parametrize("value", [-0.5, 1, 1.2])
def test_control_correlations_lie_between_0_and_1(value):
    two = [{"study": "S", "arm": arm, "control_group": "c", "effect": 0.1, "variance": 0.1} for arm in "AB"]
    assert (None, "control_correlation") in problems_of(two, measure="SMD", control_correlation=value)  # one fault for all rows
    two[1]["control_correlation"] = value
    assert (1, "control_correlation") in problems_of(two, measure="SMD")


def at_days(*days) -> list[dict]:
    rows = [LINKED | {"effect": 0.1, "timepoint": str(k)} for k in range(len(days))]
    return [row | ({} if day is None else {"followup_days": day}) for row, day in zip(rows, days, strict=True)]


def test_a_negative_correlation_does_not_decay():
    stated = {"time_correlation": -0.3, "time_correlation_days": 28}
    ((column, rule),) = rules_of(at_days(0, 14), **stated)
    assert column == "time_correlation"
    assert "cannot decay" in rule
    assert np.isnan(read(at_days(0, 14), **stated, missing="keep").covariance()[0, 1])
    assert correlation_of(read(at_days(None, None), **stated))[0, 1] == pytest.approx(-0.3)
    assert correlation_of(read(at_days(0, 14), time_correlation=-0.3))[0, 1] == pytest.approx(-0.3)


def test_days_are_given_for_all_times_or_for_none():
    stated = {"time_correlation": 0.9, "time_correlation_days": 1}
    (((column, _), rows),) = rules_of(at_days(0, None, 60), **stated).items()
    assert (column, rows) == ("followup_days", [1])
    np.testing.assert_allclose(correlation_of(read(at_days(None, None, None), **stated))[0, 1:], 0.9)
    # without decay, the names of the times suffice; without names, days that tell some rows apart must be there in all
    np.testing.assert_allclose(correlation_of(read(at_days(0, None, 60), time_correlation=0.9))[0, 1:], 0.9)
    nameless = [row | {"timepoint": None, "arm": row["timepoint"]} for row in at_days(0, None, 60)]
    (((column, _), rows),) = rules_of(nameless, time_correlation=0.9).items()
    assert (column, rows) == ("followup_days", [1])


def test_impossible_and_redundant_correlations_are_told_apart():
    three = [LINKED | {"effect": 0.1, "outcome": name} for name in "xyz"]
    ((column, rule),) = rules_of(three, outcome_correlation=-0.8)
    assert column == "outcome_correlation"
    assert "less negative" in rule
    ((column, rule),) = rules_of(three, outcome_correlation=-0.5)
    assert column == "sample"
    assert "same information twice" in rule


def test_a_covariance_that_is_not_a_number_is_always_a_fault():
    trials = read(two_arms(), measure="SMD", outcome_correlation=0.6)
    table = trials.table.assign(control_share=[1.2, 0.5, 0.5])
    (rule,) = {problem.rule for problem in sd.Trials(table).gaps()}
    assert "cannot be computed" in rule


def test_crossovers_that_share_a_control_are_not_sent_to_arm_sizes():
    two = [
        {"study": "S", "arm": arm, "control_group": "c", "effect": 0.1, "variance": 0.1, "design": "crossover"} for arm in "AB"
    ]
    (((column, rule), rows),) = rules_of(two, measure="SMD", n_active=20, n_control=20).items()
    assert (column, rows) == ("control_group", [0, 1])
    assert "state control_correlation" in rule
    assert "give n_active" not in rule
    assert correlation_of(read(two, measure="SMD", control_correlation=0.4))[0, 1] == pytest.approx(0.4)
