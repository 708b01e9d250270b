"""Effect and variance of every row: printed, or computed from whatever the row prints; checked against each other, aligned to benefit.

What a row lacks for its variance, but a model can draw (the correlation r of a person's two measurements, a standard deviation),
is left in columns of its own, `columns.UNKNOWN`.
"""

from typing import Literal

import numpy as np
import pandas as pd

from . import effects
from .arms import column, recover
from .audit import Ledger
from .columns import COLUMNS, STANDARDISED_MEASURES, UNKNOWN
from .estimates import COUNTS, FROM_T, NEEDS_J, ROUTES, ambiguous, estimate, routes_of, shortfall
from .precision import by_sizes, by_test, printed_se, sd_from_test
from .tables import Faults, last_digit

SMDVariance = Literal["mean", "printed"]
EFFECT_TOLERANCE = 0.25
"""An effect may differ by this many standard errors, and by rounding, from what the arm means give."""
SHARE_TOLERANCE = 0.1
"""A printed standard error within this share of the large-sample formula is taken for it."""
DOUBTFUL_FACTOR, DOUBTFUL_SHARE = 3, 0.25
"""A printed standard error is noted where it differs by this factor from that of the arms, or by this share from a printed t."""
RARE_EFFECT = 3
"""Standardised effects beyond this are noted: most come of a standard error that was taken for a standard deviation."""
OF_MEANS = ("MD", "MC", "ROM", "ROMC")
"""Measures whose effect follows from means alone, whatever the SDs and r."""


def fill_effects(table: pd.DataFrame, cells: pd.DataFrame, faults: Faults, ledger: Ledger, smd_variance: SMDVariance) -> None:
    """Fill `effect_reported` and `variance_reported` (as printed or computed), `effect` (aligned), `variance` (as the model uses it),
    `control_share`, and UNKNOWN."""
    with np.errstate(all="ignore"):  # what overflows, or divides by zero, is a fault below
        arms = recover(table, cells, faults, ledger)
        arms["t_value"] = column(table, "t_value")
        sd_from_test(arms, table, ledger)
        effect, r = column(table, "effect"), column(table, "pre_post_r")
        se = printed_se(table, cells, arms, faults, ledger)
        unclear = ambiguous(table, arms)
        faults.add(unclear & (effect.isna() | se.isna()), "score", "state change or final: the row gives arm means of both")
        routes, no_ratio = _usable(routes_of(table, arms).where(~unclear, -1), table, arms, effect, faults)
        found = estimate(arms, routes, r)
        _contradictions(effect, found, routes, table, cells, arms, r, se, faults, ledger)
        found[effect.notna() & (routes == FROM_T)] = np.nan  # the sizes give the variance at the printed effect
        reported = effect.fillna(found["effect"])
        _doubt(reported, se, found, table, cells, arms, ledger)
        error = _choose(reported, se, found, table, arms, ledger)
    variance = error["variance"]
    computed = effect.isna() & found["effect"].notna()
    faults.add(np.isinf(reported) & effect.isna(), "effect", "computed from the arms, is infinite")
    ratio = routes.isin([k for k, route in enumerate(ROUTES) if route.measures[0] in ("ROM", "ROMC")])
    undefined = effect.isna() & found["effect"].isna() & ratio & ~_lacks_r(routes, r)
    faults.add(undefined, "effect", "is a ratio of means, which needs means above zero")
    faults.add(np.isinf(variance) | (variance == 0), "variance", "comes out as 0 or infinite")
    _record(computed, se.isna() & found["variance"].notna(), routes, found, r, ledger)

    sign = table["direction"].map({"higher": 1.0, "lower": -1.0}).astype(float)
    table["effect_reported"], table["effect"] = reported, sign * reported + 0.0  # no -0.0
    table["variance_reported"], table["variance"] = variance, variance
    turned = "sign turned: positive is benefit"
    ledger.add((sign < 0) & reported.notna(), "effect", table["effect"], turned, printed=["direction", "effect"])
    large = table["measure"].isin(STANDARDISED_MEASURES) & (reported.abs() > RARE_EFFECT)
    rare = f"kept: effects beyond {RARE_EFFECT} standard deviations are rare; see that no SD is a standard error"
    ledger.add(large, "effect", table["effect"], rare, printed=["effect", "sd_active", "sd_control"])
    means = _mean_effects(table, arms)
    if smd_variance == "mean":
        _evaluate_at_mean(table, error, se, arms, means, ledger)
    if "control_group" in table:
        table["control_share"] = _control_share(error["control_variance"], table, arms, ledger)
    means = means if smd_variance == "mean" else table["effect"].fillna(means)
    _leave_to_model(table, arms, routes, no_ratio, found, r, sign, means, ledger)


def _usable(
    routes: pd.Series, table: pd.DataFrame, arms: pd.DataFrame, effect: pd.Series, faults: Faults
) -> tuple[pd.Series, pd.Series]:
    """The routes, without those whose arms are too small for them, which is a fault, and without those of counts that say nothing;
    and the rows of such counts."""
    for arm in ("active", "control"):
        name = f"n_{arm}"
        with_sd = [k for k, route in enumerate(ROUTES) if any("sd_" in item and item.endswith(arm) for item in route.inputs)]
        lonely = routes.isin(with_sd) & (arms[f"people_{arm}"] < 2)
        faults.add(lonely, name, "an arm of fewer than two people has no standard deviation")
        routes = routes.where(~lonely, -1)
    people = arms[["people_active", "people_control"]]
    paired = table["design"].eq("within-group")
    few = (people.sum(axis=1) <= 3).where(table["measure"].eq("SMD"), people.min(axis=1) <= 2)
    few = routes.isin(NEEDS_J) & few.where(~paired, people["people_active"] <= 2)
    rule = "too few people for a standardised effect: Hedges' correction needs three in a group, or four in two arms"
    faults.add(few & effect.isna(), "n_active", rule)
    nobody = arms[["events_active", "events_control"]].eq(0).all(axis=1)
    everybody = arms["events_active"].eq(arms["people_active"]) & arms["events_control"].eq(arms["people_control"])
    empty = routes.isin(COUNTS) & (nobody | everybody)
    return routes.where(~few & ~empty, -1), empty


def _choose(reported, se, found, table, arms, ledger: Ledger) -> pd.DataFrame:
    """The variance of every row from the first that gives it: printed error, arms, sizes of the groups, test.

    Columns: variance; share, the factor of effect^2 in it (NaN where it is not known to have one); at, the effect at which it is
    evaluated; control_variance.
    """
    error = pd.DataFrame({"variance": se**2 * arms["design_effect"], "at": reported, "share": np.nan, "control_variance": np.nan})
    sizes, share, formula = by_sizes(reported, table, arms)
    its_formula = (np.sqrt(error["variance"] / sizes) - 1).abs() <= SHARE_TOLERANCE
    error["share"] = share.where(its_formula)
    arms_give = se.isna() & found["variance"].notna()
    error[arms_give] = found.rename(columns={"effect": "at"})[error.columns]
    use = error["variance"].isna() & sizes.notna()
    error.loc[use, "variance"], error.loc[use, "share"] = sizes[use], share[use]
    names = ["effect", "n_active", "n_control"]
    ledger.add(use, "variance", sizes, formula, printed=names, source="Hedges and Olkin 1985; Gibbons 1993")
    tested = by_test(error["variance"].isna(), table, arms, ledger) * arms["design_effect"]
    error["variance"] = error["variance"].fillna(tested)
    ledger.add(
        (se.notna() | tested.notna()) & (arms["design_effect"] != 1),
        "variance",
        error["variance"],
        "variance x design effect, 1 + (cluster size - 1) x icc",
        printed=["se", "variance", "ci_low", "ci_high", "t_value", "p_value", "cluster_size", "icc"],
        assumption="printed errors and tests do not allow for clusters",
        source="Cochrane Handbook 23.1.4",
    )
    return error


def _lacks_r(routes: pd.Series, r: pd.Series) -> pd.Series:
    return routes.isin([k for k, route in enumerate(ROUTES) if route.needs_r]) & r.isna()


def _record(effect_computed, variance_computed, routes: pd.Series, found: pd.DataFrame, r, ledger: Ledger) -> None:
    stated = r.map(lambda value: "" if np.isnan(value) else f"r = {value:g}")
    for k in sorted(set(routes[routes >= 0])):
        route, on_route = ROUTES[k], routes == k
        condition = stated if route.needs_r else route.assumption
        inputs = [*route.inputs, "pre_post_r"] if route.needs_r else route.inputs
        for name, computed in (("effect", effect_computed), ("variance", variance_computed)):
            formula = route.formula if name == "effect" else f"variance of the {route.formula}"
            ledger.add(on_route & computed, name, found[name], formula, printed=inputs, assumption=condition, source=route.source)


def _contradictions(effect, found, routes, table, cells, arms, r, se, faults: Faults, ledger: Ledger) -> None:
    """A printed effect that the printed arm means do not give. Of a standardised effect by a stated r only the sign is evidence
    against it; an effect with an error of its own, less than one standard error away, may be adjusted, and is noted."""
    if effect.isna().all():
        return
    of_means, known = table["measure"].isin(OF_MEANS), routes >= 0
    arms = _with_any_sd(arms, of_means & ~known)
    routes = routes.where(known, routes_of(table, arms).where(of_means & ~ambiguous(table, arms), -1))
    claim = estimate(arms, routes, r.fillna(0.5))
    by_r = routes.isin([k for k, route in enumerate(ROUTES) if route.needs_r]) & ~of_means
    by_r &= ~(table["measure"].eq("SMCR") & table["design"].eq("within-group"))
    # whatever r is, it leaves the sign of a single standardised change as it is
    opposite = by_r & (effect * claim["effect"] < 0) & ~(table["measure"].eq("SMCC") & table["design"].eq("parallel"))
    exact = (routes >= 0) & (~by_r | opposite)
    by_t = routes == FROM_T
    difference = (effect - claim["effect"]).abs().where(~by_t, (effect.abs() - claim["effect"].abs()).abs())
    spread = np.sqrt(claim["variance"].where(known)).fillna(se).fillna(0.0)
    rounding = last_digit(cells, "effect") / 2
    for prefix in ("", "change_"):
        name = f"{prefix}mean_active"
        used = routes.isin([k for k, route in enumerate(ROUTES) if name in route.inputs])
        if not used.any():
            continue
        names = [name, f"{prefix}mean_control", *(["baseline_mean_active", "baseline_mean_control"] if prefix == "" else [])]
        halves = [last_digit(cells, item) / 2 for item in names if item in cells]
        moved = arms.copy()
        moved[name] = moved[name] + sum(halves)
        change = (estimate(moved, routes.where(used, -1), r.fillna(0.5))["effect"] - claim["effect"]).abs()
        rounding = rounding + change.where(used, 0.0)
    contradicts = exact & (difference > EFFECT_TOLERANCE * spread + rounding)
    adjusted = contradicts & se.notna() & (effect * claim["effect"] > 0) & (difference <= spread + rounding)
    ledger.add(
        adjusted, "effect", effect, "kept as printed: the arms give " + claim["effect"].map("{:.3g}".format), printed=["effect"]
    )
    contradicts &= ~adjusted
    for where, what in ((by_t, "t statistic"), (~by_t, "arms")):
        faults.add(contradicts & where, "effect", f"contradicts the effect computed from the {what}; keep one of the two")


def _with_any_sd(arms: pd.DataFrame, rows: pd.Series) -> pd.DataFrame:
    """The arms, in some rows with a number for every SD and n that is empty."""
    arms = arms.copy()
    for name in arms:
        if "sd_" in name or name.startswith(("n_", "people_")):
            arms[name] = arms[name].where(~rows | arms[name].notna(), 2.0)
    return arms


def _doubt(reported, se, found, table, cells, arms, ledger: Ledger) -> None:
    """Note printed standard errors that the arms, or a printed t, do not bear out; they are used as printed."""
    factor = np.sqrt(found["variance"] / arms["design_effect"]) / se
    t = column(table, "t_value").abs()
    rounding = last_digit(cells, "t_value") / 2 + last_digit(cells, "effect") / 2 / se
    for doubtful, formula in (
        ((factor > DOUBTFUL_FACTOR) | (factor < 1 / DOUBTFUL_FACTOR), "the standard error that the arms give"),
        (((reported / se).abs() - t).abs() > DOUBTFUL_SHARE * t + rounding, "the t statistic of the same row"),
    ):
        printed = ["effect", "se", "variance", "ci_low", "ci_high", "t_value"]
        ledger.add(doubtful, "variance", se**2, f"kept as printed: contradicts {formula}", printed=printed)


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
    people_once = table["design"].isin(["within-group", "crossover"])
    weight = arms["n_active"] + arms["n_control"].where(~people_once).fillna(0)
    required = [name for name, known in COLUMNS.items() if known.required]
    usable = table["measure"].isin(STANDARDISED_MEASURES) & weight.notna() & np.isfinite(table["effect"])
    usable &= table[required].notna().all(axis=1)
    keys = [table[name].fillna("") for name in ("measure", "outcome") if name in table]
    weight = weight.where(usable)
    total = (table["effect"] * weight).groupby(keys).transform("sum")
    return (total / weight.groupby(keys).transform("sum")).where(table["measure"].isin(STANDARDISED_MEASURES))


def _evaluate_at_mean(table, error, se, arms, means, ledger: Ledger) -> None:
    """Evaluate the variance of standardised effects at their mean, so that an effect does not weigh itself."""
    share, away = error["share"], means**2 - error["at"] ** 2
    moved = table["variance"] + share * away
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
    kept = se.notna() & ~use & by_sizes(table["effect"], table, arms)[0].notna()
    formula = "kept as printed: not the large-sample formula at these sizes"
    ledger.add(kept, "variance", table["variance"], formula, printed=["se", "variance"])
    table["variance"] = moved.where(use, table["variance"])
    part = share * arms["n_control"] / (arms["n_active"] + arms["n_control"]) * away
    error["control_variance"] += part.where(use & table["measure"].eq("SMD") & table["design"].eq("parallel"), 0.0)


def _leave_to_model(table, arms, routes, empty, found, r, sign, means, ledger: Ledger) -> None:
    """Fill UNKNOWN in the rows that lack r, or every standard deviation, and say of the others without a variance what they lack."""
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
        by_r = table["measure"].isin(STANDARDISED_MEASURES) & table["effect"].isna()
        table["effect_r0"] = table["effect"].fillna(sign * at[0]["effect"]).where(drawn)
        table["effect_r_slope"] = slope.where(by_r, 0.0).where(drawn)
        table["variance_r0"] = variance[0].where(drawn)
        table["variance_r_slope"] = (2 * (variance[0] - variance[1])).where(drawn)
    _lacks_sd(table, arms, sign, means, ledger)
    nothing = table["variance"].isna() & table["lacks"].isna()
    table["lacks"] = table["lacks"].mask(nothing & empty, "events")
    nothing &= ~empty & (routes < 0)
    if nothing.any():
        table.loc[nothing, "lacks"] = shortfall(table[nothing], arms[nothing])
    if table["effect_sd1"].isna().all():
        table["pooled_sd"] = np.nan  # nobody needs them
    for name in UNKNOWN:
        if table[name].isna().all():
            del table[name]


def _lacks_sd(table, arms, sign, means, ledger: Ledger) -> None:
    n_1, n_2 = arms["n_active"], arms["n_control"]
    people = arms[["people_active", "people_control"]]
    correction = effects.hedges_correction(people.sum(axis=1) - 2)
    score = table["score"] if "score" in table else pd.Series(None, table.index, dtype=object)
    is_smd = table["measure"].eq("SMD")
    for prefix, kind in (("", "final"), ("change_", "change")):
        difference = arms[f"{prefix}mean_active"] - arms[f"{prefix}mean_control"]
        lacks = difference.notna() & people.ge(2).all(axis=1) & table["variance"].isna() & table["design"].eq("parallel")
        lacks &= table["measure"].isin(["SMD", "MD"]) & (score.isna() | (score == kind)) & table["lacks"].isna()
        lacks &= arms[f"{prefix}sd_active"].isna() & arms[f"{prefix}sd_control"].isna()
        if not lacks.any():
            continue
        known = lacks & ~is_smd & table["effect"].isna()
        means_used = [f"{prefix}mean_active", f"{prefix}mean_control"]
        table["effect_reported"] = table["effect_reported"].where(~known, difference)
        table["effect"] = table["effect"].where(~known, sign * difference)
        ledger.add(known, "effect", table["effect"], "mean difference from arm means", printed=means_used)
        unit = (sign * difference * correction).where(is_smd, table["effect"])
        variance = effects.smd_variance(means.fillna(0.0), n_1, n_2).where(is_smd, 1 / n_1 + 1 / n_2)
        for name, value in (("effect_sd1", unit), ("variance_sd1", variance), ("lacks", "sd")):
            table[name] = table[name].mask(lacks, value)
