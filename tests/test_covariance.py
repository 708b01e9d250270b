"""Covariance of rows that share people: published tables, simulation, the laws of a covariance, and what must be stated."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stimdose as sd
from stimdose import effects

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
    """One study: arms against one control, each at some outcomes and times."""
    arms, outcomes, times = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    sizes = st.integers(5, 60)
    n_control = draw(sizes)
    records = []
    for arm in range(arms):
        n_active = draw(sizes)
        for outcome in range(outcomes):
            for time in range(times):
                records.append(
                    {"study": "S", "arm": f"a{arm}", "sample": f"a{arm}", "control_group": "c", "outcome": f"o{outcome}"}
                    | {"timepoint": f"t{time}", "followup_days": 7 * time**2, "n_active": n_active, "n_control": n_control}
                    | {"effect": draw(st.floats(-1, 1)), "measure": "SMD"}
                )
    order = draw(st.permutations(range(len(records))))
    stated = {
        "outcome_correlation": draw(st.floats(0, 0.9)),
        "time_correlation": draw(st.floats(0, 0.9)),
        "time_correlation_days": 14,
    }
    return records, order, stated


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
    (remark,) = read(two, measure="SMD").remarks
    assert "taken as different people" in remark
    assert remark.endswith("S")
