"""From arm summaries to effect and sampling variance: one route for each kind of trial and measure.

Every variance is linear in the squared standardised effect, variance = base + share x effect^2, so that it can be evaluated at
another effect; and every route that needs the correlation r of a person's two measurements has variance and squared standardiser
linear in r, so that r can be left to the model.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from . import effects
from .columns import COLUMNS, STANDARDISED_MEASURES

FIELDS = ("effect", "variance", "share", "control_variance", "standardiser")
"""What a route gives: effect and variance; `share`, the factor of effect^2 in the variance; the control arm's part of the
variance; and the standard deviation that a standardised effect is divided by (of raw effects, the pooled one; of ratios, none)."""


@dataclass(frozen=True)
class Route:
    """How rows of some designs, measures and scores become an effect.

    inputs: columns of the arms frame that must be there. compute: (frame, r) -> FIELDS. score: the kind of score the inputs hold;
    rows that state the other kind do not take this route, and rows that state none do if `by_default`.
    """

    designs: tuple[str, ...]
    measures: tuple[str, ...]
    inputs: tuple[str, ...]
    compute: Callable
    formula: str
    source: str
    score: str | None = None
    by_default: bool = True
    needs_r: bool = False
    assumption: str = ""


def _none(like):
    return pd.Series(0.0, like.index)


def _smd(mean_1, sd_1, n_1, mean_2, sd_2, n_2):
    g, variance = effects.standardised_mean_difference(mean_1, sd_1, n_1, mean_2, sd_2, n_2)
    share = 1 / (2 * (n_1 + n_2))
    # of the pooled variance, the control arm holds the part n2 / (n1 + n2); Gleser and Olkin 2009
    return g, variance, share, 1 / n_2 + g**2 * n_2 / (2 * (n_1 + n_2) ** 2), effects.pooled_sd(sd_1, n_1, sd_2, n_2)


def _md(mean_1, sd_1, n_1, mean_2, sd_2, n_2):
    effect, variance = effects.mean_difference(mean_1, sd_1, n_1, mean_2, sd_2, n_2)
    return effect, variance, _none(variance), effects.mean_variance(sd_2, n_2), effects.pooled_sd(sd_1, n_1, sd_2, n_2)


def _rom(mean_1, sd_1, n_1, mean_2, sd_2, n_2):
    effect, variance = effects.log_ratio_of_means(mean_1, sd_1, n_1, mean_2, sd_2, n_2)
    return effect, variance, _none(variance), effects.log_mean_variance(mean_2, sd_2, n_2), np.nan * variance


TWO_GROUPS = {"SMD": _smd, "MD": _md, "MC": _md, "ROM": _rom}


def _arms(frame: pd.DataFrame, prefix: str) -> list:
    return [
        item
        for arm in ("active", "control")
        for item in (frame[f"{prefix}mean_{arm}"], frame[f"{prefix}sd_{arm}"], frame[f"n_{arm}"])
    ]


def _printed(prefix: str, measure: str) -> Callable:
    return lambda frame, r: TWO_GROUPS[measure](*_arms(frame, prefix))


def _change_from_scores(measure: str) -> Callable:
    """Two groups compared in change, from scores before and after."""

    def compute(frame, r):
        groups = []
        for arm in ("active", "control"):
            mean = frame[f"mean_{arm}"] - frame[f"baseline_mean_{arm}"]
            groups += [mean, effects.change_sd(frame[f"baseline_sd_{arm}"], frame[f"sd_{arm}"], r), frame[f"n_{arm}"]]
        return TWO_GROUPS[measure](*groups)

    return compute


def _within(measure: str, arm: str, frame: pd.DataFrame, r):
    before, after = ((frame[f"{prefix}mean_{arm}"], frame[f"{prefix}sd_{arm}"]) for prefix in ("baseline_", ""))
    n = frame[f"n_{arm}"]
    change_sd = effects.change_sd(before[1], after[1], r)
    if measure == "MC":
        effect, variance = effects.mean_change(*before, *after, n, r)
        return effect, variance, _none(n), change_sd
    if measure == "ROMC":
        effect, variance = effects.log_ratio_of_means_change(*before, *after, n, r)
        return effect, variance, _none(n), change_sd
    standardiser = "change" if measure == "SMCC" else "baseline"
    effect, variance = effects.standardised_mean_change(*before, *after, n, r, standardiser=standardiser)
    return effect, variance, 1 / (2 * n), change_sd if measure == "SMCC" else before[1]


def _one_group(measure: str) -> Callable:
    def compute(frame, r):
        effect, variance, share, standardiser = _within(measure, "active", frame, r)
        return effect, variance, share, np.nan * variance, standardiser

    return compute


def _difference_of_changes(measure: str) -> Callable:
    """A standardised or log change in each group, and their difference: variances add (Morris 2008)."""

    def compute(frame, r):
        effect_1, variance_1, _, standardiser = _within(measure, "active", frame, r)
        effect_2, variance_2, _, _ = _within(measure, "control", frame, r)
        effect, variance = effects.difference(effect_1, variance_1, effect_2, variance_2)
        return effect, variance, _none(variance), variance_2, standardiser

    return compute


def _printed_change(measure: str) -> Callable:
    """Change within a group whose mean and SD are printed."""

    def compute(frame, r):
        mean, sd, n = frame["change_mean_active"], frame["change_sd_active"], frame["n_active"]
        if measure == "MC":
            return mean, effects.mean_variance(sd, n), _none(n), np.nan * n, sd
        return *effects.standardised_change(mean, sd, n), 1 / (2 * n), np.nan * n, sd

    return compute


def _crossover(measure: str) -> Callable:
    def compute(frame, r):
        m1, s1, n, m2, s2, _ = _arms(frame, "")
        formula = effects.paired_difference if measure == "MD" else effects.standardised_paired_difference
        effect, variance = formula(m1, s1, m2, s2, n, r)
        share = _none(n) if measure == "MD" else (1 - r) / n
        return effect, variance, share, np.nan * variance, np.sqrt((s1**2 + s2**2) / 2)

    return compute


def _counts(measure: str) -> Callable:
    def compute(frame, r):
        counts = frame["events_active"], frame["n_active"], frame["events_control"], frame["n_control"]
        formula, part = (
            (effects.log_odds_ratio, effects.log_odds_variance)
            if measure == "logOR"
            else (effects.log_risk_ratio, effects.log_risk_variance)
        )
        effect, variance = formula(*counts)
        _, _, events, n = effects.continuity_corrected(*counts)
        return effect, variance, _none(variance), part(events, n), np.nan * variance

    return compute


def _from_t(frame, r):
    n_1, n_2 = frame["n_active"], frame["n_control"]
    g = effects.hedges_correction(n_1 + n_2 - 2) * frame["t_value"] * np.sqrt(1 / n_1 + 1 / n_2)
    share = 1 / (2 * (n_1 + n_2))
    return g, effects.smd_variance(g, n_1, n_2), share, 1 / n_2 + g**2 * n_2 / (2 * (n_1 + n_2) ** 2), np.nan * g


def _inputs(*prefixes: str, arms=("active", "control")) -> tuple[str, ...]:
    names = [f"{prefix}{statistic}_{arm}" for arm in arms for prefix in prefixes for statistic in ("mean", "sd")]
    return (*names, *(f"n_{arm}" for arm in arms))


def _routes() -> list[Route]:
    controlled, both, one = ("parallel",), _inputs("", "baseline_"), _inputs("", "baseline_", arms=("active",))
    found = []
    names = {
        "SMD": "Hedges g from {}",
        "MD": "mean difference from {}",
        "ROM": "log ratio of {}",
        "MC": "mean difference from {}",
    }
    sources = {"SMD": "Hedges 1981", "MD": "Cochrane Handbook 6.5.2", "ROM": "Hedges 1999", "MC": "Cochrane Handbook 6.5.2"}
    for measure in ("SMD", "MD", "ROM"):
        what = names[measure].format("arm means")
        found.append(Route(controlled, (measure,), _inputs(""), _printed("", measure), what, sources[measure], "final"))
    for measure in ("SMD", "MD", "MC"):
        what = names[measure].format("mean changes of the arms")
        found.append(
            Route(controlled, (measure,), _inputs("change_"), _printed("change_", measure), what, sources[measure], "change")
        )
        what += ", their SDs from scores before and after and r"
        compute, source = _change_from_scores(measure), "Cochrane Handbook 6.5.2.8"
        found.append(Route(controlled, (measure,), both, compute, what, source, "change", measure == "MC", True))
    for measure in ("SMCC", "SMCR", "ROMC"):
        what = f"difference of {measure} between the arms"
        found.append(Route(controlled, (measure,), both, _difference_of_changes(measure), what, "Morris 2008", needs_r=True))
    for measure in ("MC", "SMCC"):
        inputs, what = _inputs("change_", arms=("active",)), f"{measure} from the printed change"
        found.append(Route(("within-group",), (measure,), inputs, _printed_change(measure), what, "Gibbons 1993"))
    for measure in ("MC", "SMCC", "SMCR", "ROMC"):
        what = f"{measure} from scores before and after and r"
        found.append(
            Route(("within-group",), (measure,), one, _one_group(measure), what, "Becker 1988; Gibbons 1993", needs_r=True)
        )
    crossover = tuple(name for name in _inputs("") if name != "n_control")
    for measure in ("MD", "SMD"):
        what = f"{measure} of a crossover from both periods and r"
        found.append(
            Route(("crossover",), (measure,), crossover, _crossover(measure), what, "Cochrane Handbook 23.2.7", needs_r=True)
        )
    for measure, what in (("logOR", "log odds ratio"), ("logRR", "log risk ratio")):
        counts = ("events_active", "n_active", "events_control", "n_control")
        what += " from counts (0.5 added to every cell of a row with an empty one)"
        found.append(Route(controlled, (measure,), counts, _counts(measure), what, "Cochrane Handbook 10.4.4"))
    t = ("t_value", "n_active", "n_control")
    what, sign = "Hedges g from the t statistic", "the sign of t is active minus control"
    found.append(Route(controlled, ("SMD",), t, _from_t, what, "Cochrane Handbook 6.5.2.3", assumption=sign))
    return found


ROUTES = _routes()
FROM_T = len(ROUTES) - 1
NEEDS_J = tuple(
    k for k, route in enumerate(ROUTES) if route.measures[0] in STANDARDISED_MEASURES and route.designs != ("crossover",)
)
"""The routes with the small-sample correction of Hedges."""
COUNTS = tuple(k for k, route in enumerate(ROUTES) if "events_active" in route.inputs)


def routes_of(table: pd.DataFrame, arms: pd.DataFrame) -> pd.Series:
    """The number in ROUTES of the first route that each row can take; -1 where there is none."""
    score = table["score"].to_numpy() if "score" in table else np.full(len(table), None)
    designs, measures, known = table["design"].to_numpy(), table["measure"].to_numpy(), arms.notna()
    found = np.full(len(table), -1)
    for k, route in enumerate(ROUTES):
        use = (found < 0) & np.isin(designs, route.designs) & np.isin(measures, route.measures)
        if route.score is not None:
            use &= (score == route.score) | (pd.isna(score) & route.by_default)
        if use.any():
            found[use & known[list(route.inputs)].all(axis=1).to_numpy()] = k
    return pd.Series(found, table.index)


def ambiguous(table: pd.DataFrame, arms: pd.DataFrame) -> pd.Series:
    """Rows of two groups that give means at the end and mean changes, and do not say which of the two is meant."""
    unsaid = table["score"].isna() if "score" in table else pd.Series(True, table.index)
    both = [arms[list(_inputs(prefix))].notna().all(axis=1) for prefix in ("", "change_")]
    return unsaid & both[0] & both[1] & table["design"].eq("parallel") & table["measure"].isin(["SMD", "MD"])


def shortfall(table: pd.DataFrame, arms: pd.DataFrame) -> pd.Series:
    """In words, what keeps the printed arms of each row from the route that lacks least; None where no arm prints more than its n."""
    printed = [name for name, known in COLUMNS.items() if known.kind == "arm" and name in table and not name.startswith("n_")]
    words = pd.Series(None, table.index, dtype=object)
    for k in np.flatnonzero(table[printed].notna().any(axis=1) & table["measure"].notna() & table["design"].notna()):
        measure, design = table["measure"].iloc[k], table["design"].iloc[k]
        score = table["score"].iloc[k] if "score" in table else None
        fitting = [
            route for route in ROUTES if measure in route.measures and design in route.designs and route.inputs[0] != "t_value"
        ]
        if score in ("change", "final"):
            fitting = [route for route in fitting if route.score in (None, score)]
        missing: list[list[str]] = [[name for name in route.inputs if pd.isna(arms[name].iloc[k])] for route in fitting]
        given = ", ".join(name for name in printed if pd.notna(table[name].iloc[k]))
        kind = f"{measure} of {score} scores" if score in ("change", "final") else measure
        least = min(missing, key=len, default=[])
        wanting = f", for want of {', '.join(least)}" if least else ""
        words.iloc[k] = f"is empty: the arms print {given}, which does not give {kind} in a {design} row{wanting}"
    return words


def estimate(arms: pd.DataFrame, routes: pd.Series, r: pd.Series) -> pd.DataFrame:
    """FIELDS of every row by its route, NaN where it has none, or lacks an r that it needs.

    Clusters do not change an effect, only its variance, by the design effect.
    """
    people = arms.assign(n_active=arms["people_active"], n_control=arms["people_control"])
    found = pd.DataFrame(np.nan, arms.index, list(FIELDS))
    for k in sorted(set(routes[routes >= 0])):
        use = routes == k
        with np.errstate(all="ignore"):  # what is not finite is a fault of the caller's
            values = ROUTES[k].compute(people[use], r[use])
        for name, value in zip(FIELDS, values, strict=True):
            found.loc[use, name] = np.asarray(value, float)
    for name in ("variance", "share", "control_variance"):
        found[name] *= arms["design_effect"]
    return found
