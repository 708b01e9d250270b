"""How precise an effect is, from what a row prints beside it: standard error, variance, interval, test, or the sizes of its groups.

Everything here is nominal: clusters are allowed for by the caller. Only `by_sizes` counts effective people.
"""

import numpy as np
import pandas as pd

from . import effects, summaries
from .arms import column, given
from .audit import Ledger
from .doses import parse_p
from .tables import Faults, last_digit

SE_TOLERANCE = 0.1
"""Two versions of a standard error may differ by this share, and by the rounding of print, before they contradict each other."""
CENTRE_TOLERANCE = 0.25
"""An effect may differ by this many standard errors, and by rounding, from the middle of its interval."""
TESTED = {"": ("SMD", "MD", "ROM"), "change_": ("SMD", "MD", "MC")}
"""The measures that compare arm means at the end, or mean changes: a test printed with those means is of them."""


def degrees_of_freedom(table: pd.DataFrame, arms: pd.DataFrame) -> pd.Series:
    """Of the test of each effect: n1 + n2 - 2, n - 1 of the same people twice, infinite (normal) for counts and without n."""
    n = arms["people_active"]
    degrees = (n + arms["people_control"] - 2).where(table["design"].eq("parallel"))
    degrees = degrees.where(~table["design"].isin(["within-group", "crossover"]), n - 1)
    return degrees.where((degrees > 0) & ~table["measure"].isin(["logOR", "logRR"]), np.inf)


def _in_words(degrees: pd.Series) -> pd.Series:
    return degrees.map(lambda value: f"t with {value:g} degrees of freedom" if np.isfinite(value) else "normal distribution")


def printed_se(table: pd.DataFrame, cells: pd.DataFrame, arms: pd.DataFrame, faults: Faults, ledger: Ledger) -> pd.Series:
    """The standard error from se, variance or interval, the first that is there; a fault where they disagree."""
    effect, low, high, variance = (column(table, name) for name in ("effect", "ci_low", "ci_high", "variance"))
    level = column(table, "ci_level").where(given(cells, "ci_level"), 0.95)
    degrees = degrees_of_freedom(table, arms).where(table["measure"].isin(["MD", "MC"]), np.inf)
    digit = last_digit(cells, "effect", "ci_low", "ci_high")
    by_t, by_normal = (effects.se_from_interval(low, high, level, df).where(low < high) for df in (degrees, np.inf))

    faults.add(given(cells, "ci_low") != given(cells, "ci_high"), "ci_low", "a confidence interval needs both ends")
    faults.add(low >= high, "ci_low", "the lower confidence limit is not below the upper one")
    own = last_digit(cells, "effect") / 2
    outside = (low < high) & ((effect + own < low) | (effect - own > high))
    faults.add(outside, "effect", "lies outside its confidence interval")
    slack = digit.where(effect.between(low, high), digit + own)
    off_centre = (effect - (low + high) / 2).abs() > CENTRE_TOLERANCE * by_normal + slack
    ratios = "is far from the middle of its confidence interval (ratios enter as logarithms)"
    faults.add(off_centre & ~outside, "effect", ratios)

    least_variance = (variance - last_digit(cells, "variance") / 2).clip(lower=0)
    se, rounding = column(table, "se"), last_digit(cells, "se") / 2
    for name, versions, its_rounding in (
        ("variance", [np.sqrt(variance)], np.sqrt(variance) - np.sqrt(least_variance)),
        ("ci_low", [by_t, by_normal], effects.se_from_interval(0, digit, level)),
    ):
        contradicts = pd.Series(True, table.index)
        for version in versions:
            contradicts &= (version - se).abs() > SE_TOLERANCE * se + rounding + its_rounding
        what = "the confidence interval " if name == "ci_low" else ""
        faults.add(contradicts, name, f"{what}contradicts the standard error or variance printed in the same row")
        rounding = rounding.where(se.notna(), its_rounding)
        used, se = se.isna() & versions[0].notna(), se.fillna(versions[0])
    ledger.add(
        used,
        "variance",
        se**2,
        "SE = (high - low) / (2 critical value)",
        printed=["ci_low", "ci_high", "ci_level"],
        assumption=_in_words(degrees),
        source="Cochrane Handbook 6.3.1 and 6.5.2.3",
    )
    return se


def by_sizes(effect: pd.Series, table: pd.DataFrame, arms: pd.DataFrame) -> tuple[pd.Series, pd.Series, pd.Series]:
    """The large-sample variance of a standardised effect from the sizes of its groups, the share of effect^2 in it, and its formula."""
    n_1, n_2 = arms["n_active"], arms["n_control"]
    two = table["measure"].eq("SMD") & table["design"].eq("parallel")
    one = table["measure"].eq("SMCC") & table["design"].eq("within-group")
    variance = effects.smd_variance(effect, n_1, n_2).where(two, (1 / n_1 + effect**2 / (2 * n_1)).where(one))
    share = (1 / (2 * (n_1 + n_2))).where(two, (1 / (2 * n_1)).where(one))
    words = {True: "variance = 1/n1 + 1/n2 + g^2 / (2 (n1 + n2))", False: "variance = 1/n + d^2 / (2 n)"}
    return variance, share, two.map(words)


def by_test(wanted: pd.Series, table: pd.DataFrame, arms: pd.DataFrame, ledger: Ledger) -> pd.Series:
    """The variance of a printed effect from its t or p; NaN in rows that are not wanted."""
    effect, degrees = column(table, "effect"), degrees_of_freedom(table, arms)
    variance = pd.Series(np.nan, table.index, dtype=float)
    for name, se, formula, assumption in _tests(effect, table, degrees):
        used = wanted & variance.isna() & np.isfinite(se) & (se > 0)
        printed = ["effect", name]
        source = "Cochrane Handbook 6.3.2"
        ledger.add(used, "variance", se**2, f"SE = effect / {formula}", printed=printed, assumption=assumption, source=source)
        variance = variance.where(~used, se**2)
    return variance


def sd_from_test(arms: pd.DataFrame, table: pd.DataFrame, ledger: Ledger) -> None:
    """The common SD of two arms whose means are printed with a test of their difference, and without any SD."""
    score = table["score"] if "score" in table else pd.Series(None, table.index, dtype=object)
    n_1, n_2 = arms["people_active"], arms["people_control"]
    for prefix, kind in (("", "final"), ("change_", "change")):
        difference = arms[f"{prefix}mean_active"] - arms[f"{prefix}mean_control"]
        wanted = difference.notna() & (n_1 >= 2) & (n_2 >= 2) & table["design"].eq("parallel")
        wanted &= table["measure"].isin(TESTED[prefix]) & (score.isna() | (score == kind))
        wanted &= arms[f"{prefix}sd_active"].isna() & arms[f"{prefix}sd_control"].isna()
        if not wanted.any():
            continue
        for name, se, formula, assumption in _tests(difference, table, n_1 + n_2 - 2):
            use = wanted & np.isfinite(se) & (se > 0)
            sd = summaries.pooled_sd_from_se(se.where(use), n_1.where(use), n_2.where(use))
            done = use & np.isfinite(sd) & arms[f"{prefix}sd_active"].isna()
            targets = [f"{prefix}sd_active", f"{prefix}sd_control"]
            for target in targets:
                arms[target] = arms[target].where(~done, sd)
            ledger.add(
                done,
                ", ".join(targets),
                sd,
                f"SD from the difference and its {formula}",
                printed=[name, f"{prefix}mean_active", f"{prefix}mean_control", "n_active", "n_control"],
                assumption="equal SDs in both arms; the test compares these means"
                + assumption.map(lambda text: text and f"; {text}"),
                source="Cochrane Handbook 6.5.2.3",
            )


def _p(cell: object) -> float:
    """The p value of a cell; NaN for a bound on one, for words, for an empty cell, and for one that is a fault already."""
    try:
        return parse_p(cell) if pd.notna(cell) else np.nan
    except ValueError:
        return np.nan


def _tests(effect: pd.Series, table: pd.DataFrame, degrees: pd.Series) -> tuple:
    """Column, standard error, name and assumption of the tests that a row may print: t and p, as a number."""
    p = table["p_value"].map(_p) if "p_value" in table else pd.Series(np.nan, table.index)
    use = p.notna() & effect.notna() & (effect != 0) & (degrees > 0)
    from_p = pd.Series(np.nan, table.index, dtype=float)
    from_p[use] = summaries.se_from_p(effect[use], p[use].astype(float), degrees[use])
    from_t = (effect / column(table, "t_value")).abs()
    return ("t_value", from_t, "t", pd.Series("", table.index)), ("p_value", from_p, "t of the p value", _in_words(degrees))
