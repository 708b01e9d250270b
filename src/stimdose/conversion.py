"""Effect and variance of every row: printed, or computed from whatever the row prints; checked against each other, aligned to benefit.

What a row lacks for its variance, but a model can draw (the correlation r of a person's two measurements, a standard deviation),
is left in columns of its own, `columns.UNKNOWN`.
"""

from typing import Literal

import numpy as np
import pandas as pd

from . import effects, summaries
from .arms import column, recover
from .audit import Ledger
from .columns import STANDARDISED_MEASURES, UNKNOWN
from .estimates import ROUTES, ambiguous, estimate, routes_of
from .tables import Faults, last_digit

SMDVariance = Literal["mean", "printed"]
SE_TOLERANCE = 0.1
"""Two versions of a standard error may differ by this share, and by the rounding of print, before they contradict each other."""
EFFECT_TOLERANCE = 0.25
"""An effect may differ by this many standard errors, and by rounding, from its arm means and the middle of its interval."""
SHARE_TOLERANCE = 0.1
"""A printed standard error within this share of the large-sample formula is taken for it."""


def fill_effects(table: pd.DataFrame, cells: pd.DataFrame, faults: Faults, ledger: Ledger, smd_variance: SMDVariance) -> None:
    """Fill `effect_reported` and `variance_reported` (as printed or computed), `effect` (aligned), `variance` (as the model uses it),
    `control_share`, and UNKNOWN."""
    with np.errstate(all="ignore"):  # what overflows, or divides by zero, is a fault below
        arms = recover(table, cells, faults, ledger)
        arms["t_value"] = column(table, "t_value")
        _sd_from_test(arms, table, ledger)
        faults.add(ambiguous(table, arms), "score", "state change or final: the row gives arm means of both")
        routes = _usable(routes_of(table, arms), table, arms, faults)
        r = column(table, "pre_post_r")
        found = estimate(arms, routes, r)
        effect = column(table, "effect")
        se = _printed_se(table, cells, faults, effect.fillna(found["effect"]), arms, ledger)
        _contradictions(effect, found, routes, table, cells, arms, r, faults)
        reported = effect.fillna(found["effect"])
        variance = (se**2).fillna(found["variance"])
        if "effect" in table:
            variance = _variance_from_sizes(variance, reported, table, arms, ledger)
    computed = effect.isna() & found["effect"].notna()
    faults.add(np.isinf(reported) & effect.isna(), "effect", "computed from the arms, is infinite")
    no_ratio = routes.isin([k for k, route in enumerate(ROUTES) if route.measures[0] in ("ROM", "ROMC")])
    faults.add(
        effect.isna() & found["effect"].isna() & no_ratio & ~_lacks_r(routes, r),
        "effect",
        "is a ratio of means of unlike sign, or of zero",
    )
    faults.add(np.isinf(variance) | (variance == 0), "variance", "comes out as 0 or infinite")
    _record(computed, se.isna() & found["variance"].notna(), routes, found, table, r, ledger)

    sign = table["direction"].map({"higher": 1.0, "lower": -1.0}).astype(float)
    table["effect_reported"], table["effect"] = reported, sign * reported
    table["variance_reported"], table["variance"] = variance, variance
    ledger.add(
        (sign < 0) & reported.notna(),
        "effect",
        table["effect"],
        "sign turned: positive is benefit",
        printed=["direction", "effect"],
    )
    means = _mean_effects(table, arms)
    control = found["control_variance"].where(se.isna())
    if smd_variance == "mean":
        _evaluate_at_mean(table, control, found, se, arms, means, ledger)
    if "control_group" in table:
        table["control_share"] = _control_share(control, table, arms, ledger)
    means = means if smd_variance == "mean" else table["effect"].fillna(means)
    _leave_to_model(table, arms, routes, found, r, sign, means, ledger)


def _usable(routes: pd.Series, table: pd.DataFrame, arms: pd.DataFrame, faults: Faults) -> pd.Series:
    """The routes, without those whose arms are too small for a standard deviation, which is a fault."""
    for arm in ("active", "control"):
        name = f"n_{arm}"
        with_sd = [k for k, route in enumerate(ROUTES) if any("sd_" in item and item.endswith(arm) for item in route.inputs)]
        lonely = routes.isin(with_sd) & (arms[name] < 2)
        faults.add(lonely, name, "an arm of fewer than two people has no standard deviation")
        routes = routes.where(~lonely, -1)
    return routes


def _lacks_r(routes: pd.Series, r: pd.Series) -> pd.Series:
    return routes.isin([k for k, route in enumerate(ROUTES) if route.needs_r]) & r.isna()


def _record(
    effect_computed, variance_computed, routes: pd.Series, found: pd.DataFrame, table: pd.DataFrame, r, ledger: Ledger
) -> None:
    stated = r.map(lambda value: "" if np.isnan(value) else f"r = {value:g}")
    for k in sorted(set(routes[routes >= 0])):
        route, on_route = ROUTES[k], routes == k
        condition = stated if route.needs_r else ""
        inputs = [*route.inputs, "pre_post_r"]
        for name, computed in (("effect", effect_computed), ("variance", variance_computed)):
            formula = route.formula if name == "effect" else f"variance of the {route.formula}"
            ledger.add(on_route & computed, name, found[name], formula, printed=inputs, assumption=condition, source=route.source)


def _contradictions(effect, found, routes, table, cells, arms, r, faults: Faults) -> None:
    """A printed effect that the printed arm means do not give. Routes with a stated r are no evidence against a printed effect."""
    exact = routes.isin([k for k, route in enumerate(ROUTES) if not route.needs_r])
    rounding = last_digit(cells, "effect") / 2
    for prefix in ("", "change_"):
        name = f"{prefix}mean_active"
        used = routes.isin([k for k, route in enumerate(ROUTES) if name in route.inputs])
        if not used.any():
            continue
        moved = arms.copy()
        moved[name] = moved[name] + last_digit(cells, name, f"{prefix}mean_control")
        change = (estimate(moved, routes.where(used, -1), r)["effect"] - found["effect"]).abs()
        rounding = rounding + change.where(used, 0.0)
    contradicts = exact & ((effect - found["effect"]).abs() > EFFECT_TOLERANCE * np.sqrt(found["variance"]) + rounding)
    faults.add(contradicts, "effect", "contradicts the effect computed from the arms; keep one of the two")


def _sd_from_test(arms: pd.DataFrame, table: pd.DataFrame, ledger: Ledger) -> None:
    """The common SD of two arms whose means are printed with a test of their difference, and without any SD."""
    score = table["score"] if "score" in table else pd.Series(None, table.index, dtype=object)
    n_1, n_2 = arms["n_active"], arms["n_control"]
    t, p = column(table, "t_value"), _p_values(table)
    for prefix, kind in (("", "final"), ("change_", "change")):
        difference = arms[f"{prefix}mean_active"] - arms[f"{prefix}mean_control"]
        wanted = difference.notna() & (difference != 0) & (n_1 >= 2) & (n_2 >= 2) & table["design"].eq("parallel")
        wanted &= arms[f"{prefix}sd_active"].isna() & arms[f"{prefix}sd_control"].isna() & (score.isna() | (score == kind))
        for name, se, how in (
            ("t_value", (difference / t).abs(), "t statistic"),
            ("p_value", _se_from_p(difference, p, n_1 + n_2 - 2), "p value (t test)"),
        ):
            if not wanted.any():
                continue
            use = wanted & np.isfinite(se) & (se > 0)
            sd = summaries.pooled_sd_from_se(se.where(use), n_1.where(use), n_2.where(use))
            done = use & np.isfinite(sd) & arms[f"{prefix}sd_active"].isna()
            means = [f"{prefix}mean_active", f"{prefix}mean_control", "n_active", "n_control"]
            for arm in ("active", "control"):
                target = f"{prefix}sd_{arm}"
                arms[target] = arms[target].where(~done, sd)
            ledger.add(
                done,
                f"{prefix}sd_active, {prefix}sd_control",
                sd,
                f"SD from the {how} of the difference",
                printed=[name, *means],
                assumption="equal SDs in both arms; the test compares these means",
                source="Cochrane Handbook 6.5.2.3",
            )


def _p_values(table: pd.DataFrame) -> pd.Series:
    """p values that are printed as numbers; a bound such as <0.05 gives no standard error."""
    if "p_value" not in table:
        return pd.Series(np.nan, table.index, dtype=float)
    values = pd.to_numeric(table["p_value"], errors="coerce")
    return values.where((values > 0) & (values < 1)).astype(float)


def _se_from_p(effect: pd.Series, p: pd.Series, degrees_of_freedom: pd.Series) -> pd.Series:
    usable = p.notna() & effect.notna() & (effect != 0) & ~(degrees_of_freedom <= 0)
    se = pd.Series(np.nan, effect.index, dtype=float)
    se[usable] = summaries.se_from_p(effect[usable], p[usable], degrees_of_freedom[usable].fillna(np.inf))
    return se


def _given(cells: pd.DataFrame, name: str) -> pd.Series:
    return cells[name].notna() if name in cells else pd.Series(False, cells.index)


def _printed_se(table, cells, faults: Faults, effect: pd.Series, arms: pd.DataFrame, ledger: Ledger) -> pd.Series:
    """The standard error from se, variance, interval, t or p, the first that is there; a fault where the first three disagree."""
    low, high, variance = (column(table, name) for name in ("ci_low", "ci_high", "variance"))
    printed = column(table, "effect")
    level = column(table, "ci_level").where(_given(cells, "ci_level"), 0.95)
    digit = last_digit(cells, "effect", "ci_low", "ci_high")
    from_interval = pd.Series(effects.se_from_interval(low, high, level), table.index).where(low < high)

    faults.add(_given(cells, "ci_low") != _given(cells, "ci_high"), "ci_low", "a confidence interval needs both ends")
    faults.add(low >= high, "ci_low", "the lower confidence limit is not below the upper one")
    faults.add((low < high) & ((printed < low) | (printed > high)), "effect", "lies outside its confidence interval")
    off_centre = (printed - (low + high) / 2).abs() > EFFECT_TOLERANCE * from_interval + digit
    ratios = "is far from the middle of its confidence interval (ratios enter as logarithms)"
    faults.add(off_centre & printed.between(low, high), "effect", ratios)

    least_variance = (variance - last_digit(cells, "variance") / 2).clip(lower=0)
    versions = {
        "se": (column(table, "se"), last_digit(cells, "se") / 2),
        "variance": (np.sqrt(variance), np.sqrt(variance) - np.sqrt(least_variance)),
        "ci_low": (from_interval, effects.se_from_interval(0, digit, level)),
    }
    se, rounding = (pd.Series(np.nan, table.index, dtype=float) for _ in range(2))
    for name, (candidate, its_rounding) in versions.items():
        contradicts = (candidate - se).abs() > SE_TOLERANCE * se + rounding + its_rounding
        what = "the confidence interval " if name == "ci_low" else ""
        faults.add(contradicts, name, f"{what}contradicts the standard error or variance printed in the same row")
        if name == "ci_low":
            used = se.isna() & candidate.notna()
            formula = "SE = (high - low) / (2 z)"
            ledger.add(
                used,
                "variance",
                candidate**2,
                formula,
                printed=["ci_low", "ci_high", "ci_level"],
                source="Cochrane Handbook 6.3.1",
            )
        se, rounding = se.where(se.notna(), candidate), rounding.where(se.notna(), its_rounding)
    return _se_from_test(se, printed, table, arms, ledger)


def _se_from_test(se: pd.Series, printed: pd.Series, table: pd.DataFrame, arms: pd.DataFrame, ledger: Ledger) -> pd.Series:
    t = column(table, "t_value")
    degrees = (arms["n_active"] + arms["n_control"] - 2).where(table["design"] == "parallel")
    for name, candidate, formula in (
        ("t_value", (printed / t).abs(), "SE = effect / t"),
        ("p_value", _se_from_p(printed, _p_values(table), degrees), "SE = effect / t of the p value"),
    ):
        used = se.isna() & np.isfinite(candidate) & (candidate > 0)
        ledger.add(used, "variance", candidate**2, formula, printed=["effect", name], source="Cochrane Handbook 6.3.2")
        se = se.where(~used, candidate)
    return se


def _variance_from_sizes(variance, effect, table, arms, ledger: Ledger) -> pd.Series:
    """The variance of a printed standardised effect, from the sizes of its groups alone."""
    n_1, n_2 = arms["n_active"], arms["n_control"]
    candidates = (
        (
            table["measure"].eq("SMD") & table["design"].eq("parallel"),
            effects.smd_variance(effect, n_1, n_2),
            "1/n1 + 1/n2 + g^2 / (2 (n1 + n2))",
        ),
        (table["measure"].eq("SMCC") & table["design"].eq("within-group"), 1 / n_1 + effect**2 / (2 * n_1), "1/n + d^2 / (2 n)"),
    )
    for where, value, formula in candidates:
        used = where & variance.isna() & value.notna() & table["effect"].notna()
        ledger.add(
            used,
            "variance",
            value,
            f"variance = {formula}",
            printed=["effect", "n_active", "n_control"],
            source="Hedges and Olkin 1985; Gibbons 1993",
        )
        variance = variance.where(~used, value)
    return variance


def _control_share(control: pd.Series, table: pd.DataFrame, arms: pd.DataFrame, ledger: Ledger) -> pd.Series:
    """The control arm's share of each variance: from the arms' own summaries, else by their sizes, else `control_correlation`."""
    share, shares = control / table["variance"], table["control_group"].notna()
    n_1, n_2 = arms["n_active"], arms["n_control"]
    by_size = (n_1 / (n_1 + n_2)).where(table["design"] == "parallel")
    for value, printed, assumption in (
        (by_size, ["n_active", "n_control"], "equal SDs in both arms"),
        (column(table, "control_correlation"), ["control_correlation"], "as stated"),
    ):
        use = share.isna() & value.notna()
        ledger.add(
            use & shares, "control_share", value, "control arm's share of the variance", printed=printed, assumption=assumption
        )
        share = share.where(~use, value)
    return share


def _mean_effects(table: pd.DataFrame, arms: pd.DataFrame) -> pd.Series:
    """For every row with a standardised effect, the mean effect of its measure and outcome, weighted by people."""
    weight = arms["n_active"] + arms["n_control"].fillna(0)
    usable = (
        table["measure"].isin(STANDARDISED_MEASURES) & table["effect"].notna() & weight.notna() & np.isfinite(table["effect"])
    )
    keys = [table[name].fillna("") for name in ("measure", "outcome") if name in table]
    weight = weight.where(usable)
    total = (table["effect"] * weight).groupby(keys).transform("sum")
    return (total / weight.groupby(keys).transform("sum")).where(table["measure"].isin(STANDARDISED_MEASURES))


def _evaluate_at_mean(table, control, found, se, arms, means, ledger: Ledger) -> None:
    """Evaluate the variance of standardised effects at their mean, so that an effect does not weigh itself."""
    n_1, n_2 = arms["n_active"], arms["n_control"]
    square, mean_square = found["effect"].where(se.isna()).fillna(table["effect"]) ** 2, means**2
    plain = table["measure"].eq("SMD") & table["design"].eq("parallel")
    formula = effects.smd_variance(table["effect"], n_1, n_2)
    from_formula = plain & se.notna() & ((se - np.sqrt(formula)).abs() <= SHARE_TOLERANCE * np.sqrt(formula))
    share = found["share"].where(se.isna()).fillna((1 / (2 * (n_1 + n_2))).where(plain & (se.isna() | from_formula)))
    moved = table["variance"] + share * (mean_square - square)
    use = share.gt(0) & means.notna() & moved.gt(0) & np.isfinite(moved)
    ledger.add(
        use,
        "variance",
        moved,
        "evaluated at the mean effect of its measure and outcome: variance + share x (mean^2 - effect^2)",
        printed=["se", "variance", "n_active", "n_control"],
        assumption=means.map(lambda value: f"mean effect {value:.3g}"),
        source="Hedges and Olkin 1985; smd_variance='printed' keeps the effect's own",
    )
    kept = plain & se.notna() & ~use & n_1.notna() & n_2.notna() & table["effect"].notna()
    ledger.add(
        kept,
        "variance",
        table["variance"],
        "kept as printed: not the large-sample formula at these sizes",
        printed=["se", "variance"],
    )
    table["variance"] = moved.where(use, table["variance"])
    its = use & plain & control.notna()
    control[its] += (share * n_2 / (n_1 + n_2) * (mean_square - square))[its]


def _leave_to_model(table, arms, routes, found, r, sign, means, ledger: Ledger) -> None:
    """Fill UNKNOWN in the rows that lack r, or every standard deviation."""
    for name in UNKNOWN:
        table[name] = None if name == "lacks" else np.nan
    table["pooled_sd"] = found["standardiser"].where(table["design"].eq("parallel"))
    lacks_r = _lacks_r(routes, r) & table["variance"].isna()
    # the difference of two effects that each have an r in their standardiser is beyond the formula of UNKNOWN
    beyond = table["measure"].isin(["SMCC", "ROMC"]) & table["design"].eq("parallel")
    table["lacks"] = table["lacks"].mask(lacks_r & beyond, "r, stated")
    drawn = lacks_r & ~beyond
    if drawn.any():
        table["lacks"] = table["lacks"].mask(drawn, "r")
        at = [estimate(arms, routes.where(drawn, -1), pd.Series(value, table.index)) for value in (0.0, 0.5)]
        variance = [item["variance"] + item["share"] * (means.fillna(0.0) ** 2 - item["effect"] ** 2) for item in at]
        slope = 2 * (1 - at[1]["standardiser"] ** 2 / at[0]["standardiser"] ** 2)
        table["effect_r0"] = (sign * at[0]["effect"]).where(drawn)
        table["effect_r_slope"] = slope.where(table["measure"].isin(STANDARDISED_MEASURES), 0.0).where(drawn)
        table["variance_r0"] = variance[0].where(drawn)
        table["variance_r_slope"] = (2 * (variance[0] - variance[1])).where(drawn)
    _lacks_sd(table, arms, sign, means, ledger)
    if table["effect_sd1"].isna().all():
        table["pooled_sd"] = np.nan  # nobody needs them
    for name in UNKNOWN:
        if table[name].isna().all():
            del table[name]


def _lacks_sd(table, arms, sign, means, ledger: Ledger) -> None:
    n_1, n_2 = arms["n_active"], arms["n_control"]
    score = table["score"] if "score" in table else pd.Series(None, table.index, dtype=object)
    is_smd = table["measure"].eq("SMD")
    for prefix, kind in (("", "final"), ("change_", "change")):
        difference = arms[f"{prefix}mean_active"] - arms[f"{prefix}mean_control"]
        lacks = difference.notna() & n_1.ge(2) & n_2.ge(2) & table["variance"].isna() & table["design"].eq("parallel")
        lacks &= table["measure"].isin(["SMD", "MD"]) & (score.isna() | (score == kind)) & table["lacks"].isna()
        lacks &= arms[f"{prefix}sd_active"].isna() & arms[f"{prefix}sd_control"].isna()
        if not lacks.any():
            continue
        known = lacks & ~is_smd & table["effect"].isna()
        means_used = [f"{prefix}mean_active", f"{prefix}mean_control"]
        table["effect_reported"] = table["effect_reported"].where(~known, difference)
        table["effect"] = table["effect"].where(~known, sign * difference)
        ledger.add(known, "effect", table["effect"], "mean difference from arm means", printed=means_used)
        unit = (sign * difference * effects.hedges_correction(n_1 + n_2 - 2)).where(is_smd, sign * difference)
        variance = effects.smd_variance(means.fillna(0.0), n_1, n_2).where(is_smd, 1 / n_1 + 1 / n_2)
        for name, value in (("effect_sd1", unit), ("variance_sd1", variance), ("lacks", "sd")):
            table[name] = table[name].mask(lacks, value)
