"""From what papers print to effect and variance: every route against its formula, every recovery, every gap, and the audit."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stimdose as sd
from stimdose import effects, summaries

quick = settings(max_examples=40, deadline=None, derandomize=True)

BASE = {"study": "S", "direction": "higher", "comparator": "sham", "design": "parallel", "measure": "SMD"}
ACTIVE = {"mean_active": 14.0, "sd_active": 4.0, "n_active": 30}
CONTROL = {"mean_control": 11.0, "sd_control": 5.0, "n_control": 25}
BEFORE = {"baseline_mean_active": 9.0, "baseline_sd_active": 3.5, "baseline_mean_control": 9.5, "baseline_sd_control": 4.5}
CHANGE = {"change_mean_active": 5.0, "change_sd_active": 3.0, "change_mean_control": 2.0, "change_sd_control": 2.5}
WITHIN = {"design": "within-group", "comparator": "none"}


def read(*rows, **constants) -> sd.Trials:
    return sd.read_trials(pd.DataFrame(list(rows), dtype=object), **constants)


def one(*, smd_variance="printed", missing="error", **cells):
    """Effect and variance of a table of one row."""
    found = read(
        BASE | {name: value for name, value in cells.items() if value is not None}, smd_variance=smd_variance, missing=missing
    )
    return found.table["effect"][0], found.table["variance"][0]


def problem_of(**cells) -> tuple[str, str]:
    with pytest.raises(sd.TrialsError) as caught:
        one(**cells)
    assert len(caught.value.problems) == 1
    return caught.value.problems[0].column, caught.value.problems[0].rule


# Routes -----------------------------------------------------------------------------------------------------------------------

TWO = (14.0, 4.0, 30, 11.0, 5.0, 25)
CHANGES = (5.0, 3.0, 30, 2.0, 2.5, 25)


def before_after(arm: str) -> tuple:
    cells = ACTIVE | CONTROL | BEFORE
    return tuple(cells[f"{name}_{arm}"] for name in ("baseline_mean", "baseline_sd", "mean", "sd", "n"))


def change_scores(r):
    groups = []
    for arm in ("active", "control"):
        mean_before, sd_before, mean_after, sd_after, n = before_after(arm)
        groups += [mean_after - mean_before, effects.change_sd(sd_before, sd_after, r), n]
    return groups


ROUTES = {
    "SMD": (ACTIVE | CONTROL, effects.standardised_mean_difference(*TWO)),
    "MD": (ACTIVE | CONTROL | {"measure": "MD"}, effects.mean_difference(*TWO)),
    "ROM": (ACTIVE | CONTROL | {"measure": "ROM"}, effects.log_ratio_of_means(*TWO)),
    "SMD of changes": ({"n_active": 30, "n_control": 25} | CHANGE, effects.standardised_mean_difference(*CHANGES)),
    "MD of changes": ({"n_active": 30, "n_control": 25, "measure": "MD"} | CHANGE, effects.mean_difference(*CHANGES)),
    "MC of two groups": ({"n_active": 30, "n_control": 25, "measure": "MC"} | CHANGE, effects.mean_difference(*CHANGES)),
    "final scores stand before changes that need r": (ACTIVE | CONTROL | BEFORE, effects.standardised_mean_difference(*TWO)),
    "SMD of changes from scores": (
        ACTIVE | CONTROL | BEFORE | {"score": "change", "pre_post_r": 0.6},
        effects.standardised_mean_difference(*change_scores(0.6)),
    ),
    "MD of changes from scores": (
        ACTIVE | CONTROL | BEFORE | {"score": "change", "measure": "MD", "pre_post_r": 0.6},
        effects.mean_difference(*change_scores(0.6)),
    ),
    "SMCR of two groups": (
        ACTIVE | CONTROL | BEFORE | {"measure": "SMCR", "pre_post_r": 0.6},
        effects.difference(
            *effects.standardised_mean_change(*before_after("active"), 0.6, standardiser="baseline"),
            *effects.standardised_mean_change(*before_after("control"), 0.6, standardiser="baseline"),
        ),
    ),
    "SMCC of two groups": (
        ACTIVE | CONTROL | BEFORE | {"measure": "SMCC", "pre_post_r": 0.6},
        effects.difference(
            *effects.standardised_mean_change(*before_after("active"), 0.6),
            *effects.standardised_mean_change(*before_after("control"), 0.6),
        ),
    ),
    "ROMC of two groups": (
        ACTIVE | CONTROL | BEFORE | {"measure": "ROMC", "pre_post_r": 0.6},
        effects.difference(
            *effects.log_ratio_of_means_change(*before_after("active"), 0.6),
            *effects.log_ratio_of_means_change(*before_after("control"), 0.6),
        ),
    ),
    "MC": (ACTIVE | BEFORE | WITHIN | {"measure": "MC", "pre_post_r": 0.6}, effects.mean_change(*before_after("active"), 0.6)),
    "SMCC": (
        ACTIVE | BEFORE | WITHIN | {"measure": "SMCC", "pre_post_r": 0.6},
        effects.standardised_mean_change(*before_after("active"), 0.6),
    ),
    "SMCR": (
        ACTIVE | BEFORE | WITHIN | {"measure": "SMCR", "pre_post_r": 0.6},
        effects.standardised_mean_change(*before_after("active"), 0.6, standardiser="baseline"),
    ),
    "ROMC": (
        ACTIVE | BEFORE | WITHIN | {"measure": "ROMC", "pre_post_r": 0.6},
        effects.log_ratio_of_means_change(*before_after("active"), 0.6),
    ),
    "SMCC of a printed change": (
        {"n_active": 30, "measure": "SMCC"} | CHANGE | WITHIN,
        effects.standardised_change(5.0, 3.0, 30),
    ),
    "MC of a printed change": ({"n_active": 30, "measure": "MC"} | CHANGE | WITHIN, (5.0, 9 / 30)),
    "crossover MD": (
        ACTIVE | CONTROL | {"n_control": 30, "design": "crossover", "measure": "MD", "pre_post_r": 0.68},
        effects.paired_difference(14.0, 4.0, 11.0, 5.0, 30, 0.68),
    ),
    "crossover SMD": (
        ACTIVE | CONTROL | {"n_control": 30, "design": "crossover", "pre_post_r": 0.68},
        effects.standardised_paired_difference(14.0, 4.0, 11.0, 5.0, 30, 0.68),
    ),
    "logOR": (
        {"measure": "logOR", "events_active": 12, "n_active": 30, "events_control": 0, "n_control": 25},
        effects.log_odds_ratio(12, 30, 0, 25),
    ),
    "logRR": (
        {"measure": "logRR", "events_active": 12, "n_active": 30, "events_control": 7, "n_control": 25},
        effects.log_risk_ratio(12, 30, 7, 25),
    ),
}


@pytest.mark.parametrize("name", ROUTES)
@pytest.mark.parametrize("direction", ["higher", "lower"])
def test_every_route(name, direction):
    cells, (effect, variance) = ROUTES[name]
    sign = 1 if direction == "higher" else -1
    assert one(**cells | {"direction": direction}) == pytest.approx((sign * effect, variance), rel=1e-12)


def test_cochranes_crossover_through_a_table():
    """Handbook 16.4.6.4: MD 0.5, SE 0.583; SMD 0.218, SE 0.256."""
    cells = {"mean_active": 7.0, "sd_active": 2.38, "mean_control": 6.5, "sd_control": 2.21, "n_active": 10, "n_control": 10}
    cells |= {"design": "crossover", "pre_post_r": 0.68}
    effect, variance = one(measure="MD", **cells)
    assert (round(effect, 3), round(np.sqrt(variance), 3)) == (0.5, 0.583)
    effect, variance = one(measure="SMD", **cells)
    assert (round(effect, 3), round(np.sqrt(variance), 3)) == (0.218, 0.256)


@pytest.mark.parametrize("name", [name for name, (cells, _) in ROUTES.items() if "pre_post_r" in cells])
def test_without_r_the_variance_is_a_gap_that_says_so(name):
    cells, (effect, variance) = ROUTES[name]
    without = {key: value for key, value in cells.items() if key != "pre_post_r"}
    r = cells["pre_post_r"]
    with pytest.raises(sd.TrialsError, match="state pre_post_r") as caught:
        one(**without)
    assert {problem.column for problem in caught.value.problems} <= {"effect", "variance"}
    assert one(**without | {"pre_post_r": r}) == pytest.approx((effect, variance), rel=1e-12)
    table = read(BASE | without, missing="keep", smd_variance="printed").table
    if name in ("SMCC of two groups", "ROMC of two groups"):
        assert list(table["lacks"]) == ["r, stated"]
        return
    drawn = table["effect_r0"][0] / np.sqrt(1 - table["effect_r_slope"][0] * r)
    assert drawn == pytest.approx(effect, rel=1e-10)
    if np.isnan(table["effect"][0]):  # no effect is known here: the variance is taken at zero
        variance -= {"SMD": 1 / 110, "SMCC": 1 / 60}.get(cells.get("measure", "SMD"), 0) * effect**2
    assert table["variance_r0"][0] - r * table["variance_r_slope"][0] == pytest.approx(variance, rel=1e-9)


# Recovery ---------------------------------------------------------------------------------------------------------------------

PLAIN = ACTIVE | CONTROL
NO_SD = {name: value for name, value in PLAIN.items() if not name.startswith("sd")}
Z = 1.959963984540054


@pytest.mark.parametrize(
    "printed",
    [
        {"se_active": 4 / np.sqrt(30), "se_control": 5 / np.sqrt(25)},
        {
            "ci_low_active": 14 - 2.0452296421327034 * 4 / np.sqrt(30),
            "ci_high_active": 14 + 2.0452296421327034 * 4 / np.sqrt(30),
            "ci_low_control": 11 - 2.0638985616280205 * 5 / np.sqrt(25),
            "ci_high_control": 11 + 2.0638985616280205 * 5 / np.sqrt(25),
        },
        {"sd_active": 4.0, "se_control": 1.0},
    ],
)
def test_standard_deviations_from_standard_errors_and_intervals(printed):
    assert one(**NO_SD | printed) == pytest.approx(effects.standardised_mean_difference(*TWO), rel=1e-9)


def test_standard_deviations_from_t_and_p_of_the_difference():
    sd_common = 4.5
    t = 3.0 / (sd_common * np.sqrt(1 / 30 + 1 / 25))
    from scipy.stats import t as student

    p = 2 * student.sf(t, 53)
    expected = effects.mean_difference(14.0, sd_common, 30, 11.0, sd_common, 25)
    for printed in ({"t_value": t}, {"t_value": -t}, {"p_value": p}):
        assert one(**NO_SD | printed | {"measure": "MD"}) == pytest.approx(expected, rel=1e-9)
        assert one(**NO_SD | printed) == pytest.approx(
            effects.standardised_mean_difference(14.0, sd_common, 30, 11.0, sd_common, 25), rel=1e-9
        )
    assert one(t_value=t, n_active=30, n_control=25)[0] == pytest.approx(effects.hedges_correction(53) * 3 / sd_common, rel=1e-9)


def test_a_bound_on_p_gives_nothing():
    column, _ = problem_of(p_value="<0.05", effect=0.5)
    assert column == "variance"
    with pytest.raises(sd.TrialsError):
        one(p_value="<0.05", **NO_SD)


def test_standard_error_of_a_printed_effect_from_t_and_p():
    assert one(effect=0.5, t_value=2.5) == pytest.approx((0.5, 0.04), rel=1e-12)
    assert one(effect=0.5, p_value=0.05) == pytest.approx((0.5, (0.5 / Z) ** 2), rel=1e-9)
    assert one(effect=-3.0, measure="MD", p_value=0.01, n_active=12, n_control=10) == pytest.approx(
        (-3.0, (3 / 2.845339709786) ** 2), rel=1e-9
    )


def test_medians():
    quantiles = {"median_active": 14, "q1_active": 11, "q3_active": 17, "n_active": 30}
    mean = summaries.mean_from_quantiles(30, 14, q1=11, q3=17)
    spread = summaries.sd_from_quantiles(30, 14, q1=11, q3=17)
    assert one(**quantiles | CONTROL) == pytest.approx(
        effects.standardised_mean_difference(mean, spread, 30, 11.0, 5.0, 25), rel=1e-12
    )
    column, rule = problem_of(**quantiles | CONTROL | {"q1_active": 15, "effect": 0.5, "se": 0.2})
    assert (column, rule) == ("median_active", "minimum, quartiles, median and maximum are not in order")


def test_the_sd_of_the_other_arm_is_borrowed_and_listed():
    found = read(BASE | NO_SD | {"sd_control": 5.0}, smd_variance="printed")
    assert found.table["effect"][0] == pytest.approx(effects.standardised_mean_difference(14, 5, 30, 11, 5, 25)[0])
    (line,) = [line for line in found.conversions if line.column == "sd_active"]
    assert (line.computed, line.assumption) == (5.0, "equal SDs in both arms")


def test_variance_from_the_sizes_of_the_groups():
    assert one(effect=0.5, n_active=30, n_control=25) == pytest.approx((0.5, 1 / 30 + 1 / 25 + 0.25 / 110), rel=1e-12)
    within = WITHIN | {"measure": "SMCC", "effect": 0.5, "n_active": 30}
    assert one(**within) == pytest.approx((0.5, 1 / 30 + 0.25 / 60), rel=1e-12)
    assert problem_of(effect=2.0, n_active=30, n_control=25, measure="MD")[0] == "variance"


def test_clusters():
    effective = 30 / (1 + 4 * 0.1), 25 / (1 + 4 * 0.1)
    expected = effects.mean_difference(14.0, 4.0, effective[0], 11.0, 5.0, effective[1])
    assert one(**PLAIN | {"measure": "MD", "cluster_size": 5, "icc": 0.1}) == pytest.approx(expected, rel=1e-12)
    counts = {"measure": "logOR", "events_active": 12, "n_active": 30, "events_control": 5, "n_control": 25}
    effect, variance = one(**counts)
    assert one(**counts | {"cluster_size": 5, "icc": 0.1}) == pytest.approx((effect, 1.4 * variance), rel=1e-12)
    assert problem_of(**PLAIN | {"cluster_size": 5})[0] == "icc"


def test_events_of_more_people_than_there_are():
    counts = {"measure": "logOR", "events_active": 31, "n_active": 30, "events_control": 5, "n_control": 25}
    assert problem_of(**counts | {"effect": 0.5, "se": 0.2})[0] == "events_active"


def test_versions_of_a_standard_deviation_that_contradict_each_other():
    column, rule = problem_of(**PLAIN | {"se_active": 4.0})
    assert (column, rule) == ("se_active", "contradicts sd_active printed in the same row (SD = SE x sqrt(n))")


def test_a_ratio_of_means_of_unlike_sign():
    assert problem_of(**PLAIN | {"measure": "ROM", "mean_control": -2.0, "se": 0.1})[0] == "effect"


# Variances at the mean --------------------------------------------------------------------------------------------------------


def test_variances_are_evaluated_at_the_mean_effect_of_their_outcome():
    rows = [
        BASE | {"study": study, "outcome": outcome, "effect": effect, "n_active": n, "n_control": n, "se": se}
        for study, outcome, effect, n, se in (
            ("A", "x", 0.2, 20, None),
            ("B", "x", 1.4, 20, None),
            ("C", "y", 2.0, 10, None),
            ("D", "x", 0.8, 40, np.sqrt(2 / 40 + 0.64 / 160)),
            ("E", "x", 0.8, 40, 0.4),
        )
    ]
    found = read(*rows)
    mean = (0.2 * 40 + 1.4 * 40 + 0.8 * 80 + 0.8 * 80) / 240
    at_mean = lambda n, g: 2 / n + g**2 / (4 * n)
    expected = [at_mean(20, mean), at_mean(20, mean), at_mean(10, 2.0), at_mean(40, mean), 0.16]
    np.testing.assert_allclose(found.table["variance"], expected, rtol=1e-9)
    own = [at_mean(20, 0.2), at_mean(20, 1.4), at_mean(10, 2.0), at_mean(40, 0.8), 0.16]
    np.testing.assert_allclose(found.table["variance_reported"], own, rtol=1e-9)
    np.testing.assert_allclose(read(*rows, smd_variance="printed").table["variance"], own, rtol=1e-9)
    # the direction of the scale does not matter, nor does leaving rows out afterwards
    turned = [row | {"effect": -row["effect"], "direction": "lower"} if row["study"] in "AD" else row for row in rows]
    np.testing.assert_allclose(read(*turned).table["variance"], expected, rtol=1e-9)
    np.testing.assert_allclose(found.subset(study=["A", "C"]).table["variance"], [expected[0], expected[2]], rtol=1e-12)


# Missing standard deviations --------------------------------------------------------------------------------------------------


def test_what_a_model_needs_of_a_row_without_any_sd():
    rows = [BASE | {"study": "A", "outcome": "x"} | PLAIN, BASE | {"study": "B", "outcome": "x"} | NO_SD]
    with pytest.raises(sd.TrialsError, match="no standard deviation is printed"):
        read(*rows)
    table = read(*rows, missing="keep").table
    mean = table["effect"][0]
    assert table["effect_sd1"][1] == pytest.approx(3.0 * effects.hedges_correction(53), rel=1e-12)
    assert table["variance_sd1"][1] == pytest.approx(effects.smd_variance(mean, 30, 25), rel=1e-12)
    assert table["pooled_sd"][0] == pytest.approx(effects.pooled_sd(4.0, 30, 5.0, 25), rel=1e-12)
    raw = read(*[row | {"measure": "MD"} for row in rows], missing="keep").table
    assert (raw["effect"][1], raw["effect_sd1"][1]) == (3.0, 3.0)
    assert raw["variance_sd1"][1] == pytest.approx(1 / 30 + 1 / 25, rel=1e-12)


# The audit --------------------------------------------------------------------------------------------------------------------


def test_the_audit_tells_where_a_number_comes_from():
    rows = [
        BASE | {"study": "A"} | NO_SD | {"se_active": 0.73, "se_control": 1.0, "phase": None, "days_since_stroke": 20},
        BASE | {"study": "B", "effect": -0.4, "se": 0.2, "direction": "lower", "phase": "chronic"},
        BASE | {"study": "C", "effect": 0.4, "phase": "acute"},
    ]
    audit = read(*rows, missing="drop").audit()
    assert list(audit.columns) == ["row", "study", "column", "printed", "computed", "formula", "assumption", "source"]
    lines = audit.groupby("study")["column"].apply(list).to_dict()
    assert lines["A"] == ["phase", "sd_active", "sd_control", "effect", "variance", "variance"]
    assert lines["B"] == ["effect"]
    assert lines["C"] == ["variance"]
    (sd_line,) = audit[audit["column"] == "sd_active"].to_dict("records")
    assert sd_line["printed"] == "n_active = 30, se_active = 0.73"
    assert sd_line["computed"] == pytest.approx(0.73 * np.sqrt(30))
    assert sd_line["source"].startswith("Cochrane Handbook")
    assert audit.iloc[-1]["computed"] == "row left out"


@st.composite
def extracted_rows(draw):
    """Rows as they are extracted: any route with some of its cells taken away, any direction, doses that follow from others."""
    rows = []
    for k in range(draw(st.integers(1, 5))):
        cells, _ = ROUTES[draw(st.sampled_from(sorted(ROUTES)))]
        taken = draw(st.sets(st.sampled_from(sorted(set(cells) - {"design", "comparator", "measure"})), max_size=2))
        kept = {name: value for name, value in cells.items() if name not in taken}
        printed = draw(st.sampled_from([{}, {"effect": 0.3}, {"effect": 0.3, "se": 0.2}]))
        if "ROM" in cells.get("measure", "") or not printed:
            printed = {}
        else:
            kept = {name: value for name, value in kept.items() if "mean" not in name and "events" not in name}
        rows.append(BASE | {"study": f"S{k}", "direction": draw(st.sampled_from(["higher", "lower"]))} | kept | printed)
    return rows


@quick
@given(extracted_rows())
def test_nothing_is_computed_that_the_audit_does_not_list(rows):
    found = read(*rows, missing="keep")
    listed = {(line.row, line.column) for line in found.conversions}
    for k, printed in enumerate(rows):
        row = found.table.iloc[k]
        if pd.notna(row["effect"]) and row["effect"] != printed.get("effect"):
            assert (k, "effect") in listed
        if pd.notna(row["variance"]) and row["variance"] != pytest.approx(printed.get("se", np.nan) ** 2, rel=1e-12):
            assert (k, "variance") in listed
        for name, value in printed.items():
            if name not in ("effect", "study") and not isinstance(value, str):
                assert row[name] == value
    gaps = {(problem.row, problem.column) for problem in found.gaps()}
    for k in range(len(rows)):
        for name in ("effect", "variance"):
            assert ((k, name) in gaps) == bool(pd.isna(found.table[name].iloc[k]))


def test_a_saved_audit_is_read_back(tmp_path):
    from stimdose.storage import dataset_to_trials, table_to_dataset

    found = read(BASE | {"study": "A"} | PLAIN, BASE | {"study": "B", "effect": 0.4, "se": 0.2})
    again = dataset_to_trials(table_to_dataset(found))
    pd.testing.assert_frame_equal(found.audit(), again.audit(), check_dtype=False)
