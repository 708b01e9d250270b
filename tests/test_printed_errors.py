"""What rows print twice, or beside their effect: clusters, tests, intervals, the order of sources, and words for what is missing."""

import numpy as np
import pandas as pd
import pytest

import stimdose as sd
from stimdose import effects

BASE = {"study": "A", "direction": "higher", "measure": "SMD", "comparator": "sham", "design": "parallel"}
MEANS = {"n_active": 20, "n_control": 20, "mean_active": 10, "mean_control": 8}
ARMS = MEANS | {"sd_active": 4, "sd_control": 4}
WITHIN = {"design": "within-group", "comparator": "none"}
BEFORE = {"baseline_mean_active": 5, "baseline_sd_active": 4}
COUNTS = {"measure": "logOR", "n_active": 20, "n_control": 20}


def read(*rows, missing="error", smd_variance="printed"):
    table = pd.DataFrame([BASE | row for row in rows], dtype=object)
    return sd.read_trials(table.where(table.notna(), None), missing=missing, smd_variance=smd_variance)


def one(**row):
    table = read(row).table
    return table["effect"][0], table["variance"][0]


def faults(**row) -> list[tuple[str, str]]:
    try:
        read(row)
    except sd.TrialsError as error:
        return [(problem.column, problem.rule) for problem in error.problems]
    return []


def formulas(**row) -> list[str]:
    return [line.formula for line in read(row, missing="keep").conversions]


def assumption(formula: str, **row) -> str:
    (line,) = [line for line in read(row).conversions if line.formula.startswith(formula)]
    return line.assumption


# Clusters ---------------------------------------------------------------------------------------------------------------------

CLUSTERS = {"n_active": 50, "n_control": 50, "cluster_size": 10, "icc": 0.1}


@pytest.mark.parametrize(
    "printed",
    [
        {"effect": 2, "se": 1},
        {"effect": 2, "variance": 1},
        {"effect": 2, "t_value": 2},
        {"effect": 2, "ci_low": 2 - 1.984467454, "ci_high": 2 + 1.984467454},
        {"mean_active": 10, "mean_control": 8, "t_value": 2},
    ],
)
def test_printed_errors_and_tests_do_not_allow_for_clusters(printed):
    assert one(measure="MD", **CLUSTERS | printed) == pytest.approx((2, 1.9), rel=1e-6)


def test_clusters_change_the_variance_and_not_the_effect():
    g, variance = one(t_value=2, **CLUSTERS)
    assert (g, variance) == pytest.approx((0.397, 1.9 * effects.smd_variance(g, 50, 50)), abs=5e-4)
    arms = ARMS | {"n_active": 50, "n_control": 50}
    effect, plain = one(**arms)
    assert one(**arms | CLUSTERS) == pytest.approx((effect, 1.9 * plain), rel=1e-12)
    line = "variance x design effect, 1 + (cluster size - 1) x icc"
    assert line in formulas(measure="MD", effect=2, se=1, **CLUSTERS)
    assert line not in formulas(**arms | CLUSTERS)


@pytest.mark.parametrize("n", [7, 20, 30, 33, 49])
def test_an_arm_in_which_everybody_has_the_event_keeps_its_effect_in_clusters(n):
    counts = {"measure": "logOR", "n_active": n, "n_control": n, "events_active": n, "events_control": 3}
    effect, variance = one(**counts)
    for icc in (0.05, 0.1, 0.3):
        found = one(**counts, cluster_size=7, icc=icc)
        assert found == pytest.approx((effect, (1 + 6 * icc) * variance), rel=1e-12)


def test_an_icc_that_cannot_be_read_is_one_fault():
    assert [column for column, _ in faults(**ARMS, cluster_size=5, icc="low")] == ["icc"]


# Small groups, crossovers, counts ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "row",
    [
        {"t_value": 2, "n_active": 2, "n_control": 1},
        BEFORE | WITHIN | {"measure": "SMCR", "n_active": 2, "mean_active": 9, "sd_active": 4, "pre_post_r": 0.5},
        WITHIN | {"measure": "SMCC", "n_active": 2, "change_mean_active": 2, "change_sd_active": 4},
    ],
)
def test_too_few_people_for_the_correction(row):
    ((column, rule),) = faults(**row)
    assert column == "n_active"
    assert "too few people" in rule


def test_a_crossover_needs_one_n_and_takes_no_two():
    row = {name: value for name, value in ARMS.items() if name != "n_control"} | {"design": "crossover", "pre_post_r": 0.5}
    expected = effects.standardised_paired_difference(10, 4, 8, 4, 20, 0.5)
    assert one(**row) == pytest.approx(expected, rel=1e-12)
    assert one(**row, n_control=20) == pytest.approx(expected, rel=1e-12)
    assert [column for column, _ in faults(**row, n_control=15)] == ["n_control"]


@pytest.mark.parametrize("measure", ["logOR", "logRR"])
@pytest.mark.parametrize("events", [0, 20])
def test_counts_that_say_nothing_are_a_gap(measure, events):
    row = COUNTS | {"measure": measure, "events_active": events, "events_control": events}
    table = read(row, missing="keep").table
    assert np.isnan([table["effect"][0], table["variance"][0]]).all()
    found = faults(**row)
    assert [column for column, _ in found] == ["effect", "variance"]
    assert all("says nothing about the ratio; leave the row out" in rule for _, rule in found)
    assert not faults(**row | {"effect": 0.1, "se": 1.4})


# Tests and intervals ----------------------------------------------------------------------------------------------------------


def test_a_printed_smd_takes_its_variance_from_the_sizes_before_any_test():
    for test in ({"t_value": 3.1}, {"p_value": 0.004}):
        g, variance = one(effect=1, n_active=20, n_control=20, **test)
        assert (g, variance) == pytest.approx((1, effects.smd_variance(1, 20, 20)), rel=1e-12)
    assert one(effect=1, t_value=4) == pytest.approx((1, 1 / 16), rel=1e-12)


def test_only_printed_errors_and_formulas_move_to_the_mean():
    """A standard error of a test happens to be near the formula; it stays where it is."""
    rows = [
        {"study": "A", "effect": 0.2, "n_active": 20, "n_control": 20},
        {"study": "B", "effect": 1.0, "t_value": 1.0 / np.sqrt(effects.smd_variance(1.0, 20, 20))},
        WITHIN | {"study": "C", "measure": "SMCC", "effect": 0.2, "n_active": 20},
        WITHIN | {"study": "D", "measure": "SMCC", "effect": 1.0, "n_active": 20},
        WITHIN | {"study": "E", "measure": "SMCC", "effect": 0.6, "se": np.sqrt(1 / 20 + 0.36 / 40), "n_active": 20},
    ]
    found = read(*rows, smd_variance="mean").table["variance"]
    expected = [
        effects.smd_variance(0.2, 20, 20),
        effects.smd_variance(1.0, 20, 20),
        *[1 / 20 + 0.36 / 40] * 3,
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_arms_come_before_tests():
    """The adjusted effect of a row with arms: its variance is that of the arms."""
    _, variance = one(measure="MD", effect=2.1, t_value=5, p_value=0.001, **ARMS)
    assert variance == pytest.approx(1.6, rel=1e-12)


def test_printed_errors_that_arms_or_t_do_not_bear_out_are_noted():
    arms = "kept as printed: contradicts the standard error that the arms give"
    t = "kept as printed: contradicts the t statistic of the same row"
    assert arms in formulas(measure="MD", effect=2, se=0.4, **ARMS)
    assert arms not in formulas(measure="MD", effect=2, se=0.5, **ARMS)
    assert t in formulas(measure="MD", effect=2.05, se=1.0, t_value=1.2)
    assert t not in formulas(measure="MD", effect=2.05, se=1.0, t_value=-1.9)
    assert not faults(measure="MD", effect=2.05, se=1.0, t_value=1.2)


def test_the_degrees_of_freedom_of_p():
    paired = {"effect": 2, "p_value": 0.05, "measure": "MD", "n_active": 10, "design": "crossover"}
    assert one(**paired)[1] == pytest.approx((2 / 2.262157163) ** 2, rel=1e-8)
    assert assumption("SE = effect / t of the p", **paired) == "t with 9 degrees of freedom"
    within = paired | WITHIN | {"measure": "MC"}
    assert one(**within)[1] == pytest.approx((2 / 2.262157163) ** 2, rel=1e-8)
    ratio = {"effect": 2, "p_value": 0.05, "measure": "logOR", "n_active": 10, "n_control": 10}
    assert one(**ratio)[1] == pytest.approx((2 / 1.959963985) ** 2, rel=1e-8)
    assert assumption("SE = effect / t of the p", **ratio) == "normal distribution"


def test_the_degrees_of_freedom_of_intervals():
    interval = {"effect": 2.0, "ci_low": 0.0, "ci_high": 4.0}
    for row, critical, words in (
        ({"measure": "MD", "n_active": 6, "n_control": 6}, 2.228138852, "t with 10 degrees of freedom"),
        (WITHIN | {"measure": "MC", "n_active": 10}, 2.262157163, "t with 9 degrees of freedom"),
        ({"measure": "MD"}, 1.959963985, "normal distribution"),
        ({"measure": "SMD", "n_active": 6, "n_control": 6}, 1.959963985, "normal distribution"),
    ):
        assert one(**interval | row)[1] == pytest.approx((2 / critical) ** 2, rel=1e-8)
        assert assumption("SE = (high - low)", **interval | row) == words
    small = {"measure": "MD", "n_active": 3, "n_control": 3, "effect": 2.00, "ci_low": 2 - 1.96, "ci_high": 2 + 1.96}
    assert not faults(**small, se=1.00)
    assert not faults(**small, se=0.706)
    assert [column for column, _ in faults(**small, se=0.5)] == ["ci_low"]


def test_an_effect_may_be_rounded_out_of_a_narrow_interval():
    assert not faults(measure="MD", effect=0.1, ci_low=0.11, ci_high=0.13)
    assert [column for column, _ in faults(measure="MD", effect=0.1, ci_low=0.21, ci_high=0.23)] == ["effect"]
    assert [column for column, _ in faults(measure="MD", effect=1, ci_low=1.05, ci_high=9.5)] == ["effect"]


def test_an_sd_from_a_test_is_of_the_means_that_the_measure_compares():
    before_after = MEANS | BEFORE | {"t_value": 2, "baseline_mean_control": 5, "baseline_sd_control": 4, "pre_post_r": 0.5}
    for measure in ("MC", "SMCR", "SMCC", "ROMC"):
        lines = read(before_after | {"measure": measure}, missing="keep").conversions
        assert not [line for line in lines if line.column.startswith("sd_active")], measure
    change = {"n_active": 20, "n_control": 20, "change_mean_active": 3, "change_mean_control": 1, "t_value": 2}
    assert one(measure="MC", **change) == pytest.approx((2, 1), rel=1e-12)


def test_g_from_t_alone():
    n = {"n_active": 20, "n_control": 20}
    assert assumption("Hedges g from the t", t_value=2, **n) == "the sign of t is active minus control"
    assert not faults(effect=0.62, t_value=-2, **n)
    ((_, rule),) = faults(effect=1.5, t_value=2, **n)
    assert rule == "contradicts the effect computed from the t statistic; keep one of the two"


# Contradictions ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "row",
    [
        MEANS | {"measure": "MD", "se": 1},
        ARMS | {"measure": "MD", "design": "crossover"},
        ARMS | {"measure": "MD", "design": "crossover", "pre_post_r": 0.5, "se": 1},
        BEFORE | WITHIN | {"measure": "MC", "n_active": 20, "mean_active": 7, "sd_active": 4, "se": 0.5},
        BEFORE | WITHIN | {"measure": "MC", "mean_active": 7, "se": 0.5},
    ],
)
def test_raw_effects_are_checked_against_the_means_whatever_r_and_sd(row):
    contradiction = ("effect", "contradicts the effect computed from the arms; keep one of the two")
    assert contradiction in faults(**row, effect=-2)
    assert contradiction not in faults(**row, effect=2)


def test_log_ratios_of_change_are_checked_without_r():
    row = BEFORE | WITHIN | {"measure": "ROMC", "n_active": 20, "mean_active": 10, "sd_active": 4, "se": 0.2}
    assert not faults(**row, effect=0.693)
    assert faults(**row, effect=2.0)


@pytest.mark.parametrize(
    ("cells", "column"),
    [
        ({"mean_active": 10, "ci_low_active": 4, "ci_high_active": 8, "n_active": 20}, "mean_active"),
        ({"sd_active": 9, "ci_low_active": 8.1, "ci_high_active": 11.9, "n_active": 20}, "ci_low_active"),
        ({"mean_active": 10, "min_active": 11, "max_active": 20}, "mean_active"),
        ({"change_mean_active": 10, "min_active": 2, "change_max_active": 5}, "change_mean_active"),
        ({"mean_active": 10, "ci_low_active": 4}, "ci_low_active"),
        ({"mean_active": 10, "sd_active": 4, "baseline_mean_active": 5, "change_mean_active": -5}, "change_mean_active"),
    ],
)
def test_arm_summaries_that_contradict_each_other(cells, column):
    assert column in [name for name, _ in faults(effect=0.5, se=0.2, **cells)]


def test_arm_summaries_that_agree():
    assert not faults(
        effect=0.5,
        se=0.2,
        **{"n_active": 20, "mean_active": 10, "sd_active": 4, "ci_low_active": 8.1, "ci_high_active": 11.9},
        **{"min_active": 2, "max_active": 19, "baseline_mean_active": 5, "change_mean_active": 4.7},
    )
    # a normal interval, of few people
    assert not faults(effect=0.5, se=0.2, n_active=5, sd_active=4.0, ci_low_active=6.49, ci_high_active=13.51)


def test_ratios_of_means_below_zero():
    row = ARMS | {"measure": "ROM", "mean_active": -10, "mean_control": -8}
    assert ("effect", "is a ratio of means, which needs means above zero") in faults(**row)


def test_the_score_is_asked_for_only_where_arms_are_used():
    both = ARMS | {f"change_{name}": value - 2 for name, value in ARMS.items() if not name.startswith("n_")}
    assert [column for column, _ in faults(**both)] == ["score"]
    assert [column for column, _ in faults(**both, effect=0.5)] == ["score"]
    assert not faults(**both, effect=0.9, se=0.32)


# The mean effect, and words ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["comparator", "direction", "design", "study"])
def test_rows_that_lack_a_required_cell_do_not_enter_the_mean(name):
    rows = [{"study": study, "effect": effect, "n_active": 20, "n_control": 20} for study, effect in (("A", 0.2), ("B", 3.0))]
    rows[1] |= {"se": 0.3, name: None}
    assert read(*rows, missing="keep", smd_variance="mean").table["variance"][0] == pytest.approx(
        effects.smd_variance(0.2, 20, 20), rel=1e-12
    )


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (ARMS | {"score": "change"}, "SMD of change scores in a parallel row, for want of change_mean_active"),
        (
            WITHIN | {"measure": "SMCR", "n_active": 20, "mean_active": 9, "sd_active": 4, "baseline_mean_active": 5},
            "does not give SMCR in a within-group row, for want of baseline_sd_active",
        ),
        (ARMS | {"measure": "logOR"}, "does not give logOR in a parallel row, for want of events_active, events_control"),
        (ARMS | {"design": "stratum"}, "does not give SMD in a stratum row"),
        (ARMS | {"n_control": None}, "does not give SMD in a parallel row, for want of n_control"),
    ],
)
def test_gaps_say_what_the_arms_do_not_give(row, words):
    found = faults(**row)
    assert [column for column, _ in found] == ["effect", "variance"]
    assert all(words in rule for _, rule in found), found


def test_the_audit_names_r_only_where_it_is_used():
    lines = read(ARMS | {"pre_post_r": 0.5}).conversions
    assert not [line for line in lines if "pre_post_r" in line.printed]


# What a row prints beside what it lacks ---------------------------------------------------------------------------------------

WITHIN_ROW = {
    **{"study": "S", "direction": "higher", "design": "within-group", "comparator": "none", "measure": "SMCR", "n_active": 12},
    **{"baseline_mean_active": "20", "baseline_sd_active": "6", "mean_active": "25", "sd_active": "7"},
}
CROSSOVER_ROW = {
    **{"study": "S", "direction": "higher", "design": "crossover", "comparator": "sham", "measure": "MD", "n_active": 12},
    **{"mean_active": "45", "mean_control": "41", "sd_active": "10", "sd_control": "9"},
}
PARALLEL_ROW = {
    **{"study": "S", "direction": "higher", "design": "parallel", "comparator": "sham", "measure": "MD"},
    **{"n_active": 40, "n_control": 40},
}


def read_one(**cells) -> sd.Trials:
    return sd.read_trials(pd.DataFrame([cells], dtype=object), missing="keep")


@pytest.mark.parametrize(
    "cells",
    [
        WITHIN_ROW | {"effect": "0.8"},
        CROSSOVER_ROW | {"effect": "3.9"},
        CROSSOVER_ROW | {"measure": "SMD", "effect": "0.4"},
        PARALLEL_ROW | {"effect": "3.9", "mean_active": "45", "mean_control": "41"},
        WITHIN_ROW | {"effect": "0.8", "direction": "lower"},
    ],
)
def test_the_model_takes_a_printed_effect_where_only_its_precision_is_unknown(cells):
    table = read_one(**cells).table
    unit = "effect_sd1" if "effect_sd1" in table else "effect_r0"
    assert table[unit][0] == table["effect"][0] == float(cells["effect"]) * (1 if cells["direction"] == "higher" else -1)
    if unit == "effect_r0":
        assert table["effect_r_slope"][0] == 0


@pytest.mark.parametrize(
    "cells",
    [
        WITHIN_ROW | {"effect": "-0.4", "pre_post_r": 0.5},
        WITHIN_ROW | {"effect": "0.2", "pre_post_r": 0.5},
        CROSSOVER_ROW | {"measure": "SMD", "effect": "-0.42", "pre_post_r": 0.6},
    ],
)
def test_a_printed_effect_that_r_cannot_reconcile_with_its_arms(cells):
    with pytest.raises(sd.TrialsError, match="contradicts the effect computed from the arms"):
        read_one(**cells)


def test_means_printed_to_different_decimals_do_not_contradict():
    read_one(**PARALLEL_ROW, effect="3.9", se="0.6", mean_active="45.3", mean_control="41", sd_active="2.6", sd_control="2.6")
    scores = {"mean_active": "31.4", "mean_control": "28.4", "baseline_mean_active": "22", "baseline_mean_control": "24"}
    sds = {f"{prefix}sd_{arm}": "5" for prefix in ("", "baseline_") for arm in ("active", "control")}
    read_one(**PARALLEL_ROW, **scores, **sds, score="change", effect="4.2", pre_post_r=0.8)


def test_an_adjusted_effect_with_an_error_of_its_own_is_noted_and_used():
    arms = {"mean_active": "45.0", "mean_control": "39.0", "sd_active": "12", "sd_control": "12"}
    found = read_one(**PARALLEL_ROW | {"n_active": 30, "n_control": 30}, **arms, effect="4.2", se="1.6")
    assert found.table["effect"][0] == 4.2
    (line,) = [line for line in found.conversions if line.column == "effect"]
    assert line.formula == "kept as printed: the arms give 6"
    for effect in ("-4.2", "1.0"):
        with pytest.raises(sd.TrialsError, match="contradicts"):
            read_one(**PARALLEL_ROW | {"n_active": 30, "n_control": 30}, **arms, effect=effect, se="1.6")


@pytest.mark.parametrize("printed", [0.00003, "3e-05", "2.1E-4"])
def test_small_p_values_in_scientific_notation(printed):
    assert np.isfinite(read_one(**PARALLEL_ROW, effect=4, p_value=printed).table["variance"][0])


def test_p_values_with_decimal_commas(tmp_path):
    path = tmp_path / "t.csv"
    head = "study;direction;design;comparator;measure;effect;p_value"
    cells = [f"S{k};higher;parallel;sham;MD;4,5;{p}" for k, p in enumerate(["p=0,03", "0,03*", "p = ,03", "<0,05"])]
    path.write_text("\n".join([head, *cells]), encoding="utf-8")
    variance = sd.read_trials(path, missing="keep", decimal=",").table["variance"]
    assert np.isfinite(variance[:3]).all()
    assert variance[:3].nunique() == 1
    assert np.isnan(variance[3])
