"""Results in plain sentences, whose words for probabilities are fixed.

A sentence names a best dose only where the verdict is "identified". Of every other verdict it names the range that was tried and nothing
inside it, so that it cannot be read as advice.
"""

import numpy as np
import pandas as pd
import xarray as xr

from . import joint_verdicts, verdicts
from .checks import Check
from .columns import COLUMNS, axis_label
from .doses import chance, short
from .ecology import WithinAcross
from .joint_optima import JointOptimum
from .optima import Optimum
from .prior_comparison import PriorComparison

CHANCES = (
    (0.99, "almost certain"),
    (0.95, "very likely"),
    (0.80, "likely"),
    (0.60, "more likely than not"),
    (0.40, "about as likely as not"),
    (0.20, "less likely than not"),
    (0.05, "unlikely"),
    (0.01, "very unlikely"),
    (0.00, "almost excluded"),
)
"""Least probability, and the words for it. Every sentence uses these, with the number beside them."""
NO_ADVICE = "This describes the trials and is not advice on treatment."
UNCONVERGED = "The computation did not converge, so nothing is said about where along {name} the effect is largest."
SENTENCES = {
    "identified": (
        "The effect is largest at about {best} ({prob} interval {low} to {high}), inside the range that was tried ({tried}). "
        "The mean effect there is {effect}{held}. {near} " + NO_ADVICE
    ),
    "still rising": (
        "The effect rises over the whole range that was tried ({tried}). "
        "Where it stops rising is not known, and the upper end of that range is only the end of what was studied. " + NO_ADVICE
    ),
    "still falling": (
        "The effect falls over the whole range that was tried ({tried}). "
        "What happens below that range is not known, and its lower end is only the end of what was studied. " + NO_ADVICE
    ),
    "confounded": (
        "The effect changes along the range that was tried ({tried}), but another dose changes along with {name} from trial to trial. "
        "These trials cannot tell which of the two the effect belongs to."
    ),
    "flat": "No dose in the range that was tried ({tried}) differs from another by more than {delta}: none stands out.",
    "not identified": "These trials do not tell where along {name} the effect is largest. The range that was tried is {tried}.",
    "did not converge": UNCONVERGED,
}
"""By verdict on one dose. best, low, high, effect and near are of "identified" alone."""
JOINT = {
    "identified": (
        "The effect is largest at about {best}, among the combinations that were tried. The mean effect there is {effect}."
    ),
    "still rising": "The effect rises with {dose} over the whole range that was tried; where it stops rising is not known.",
    "still falling": "The effect falls with {dose} over the whole range that was tried; what happens below it is not known.",
    "confounded": "Another dose changes along with {dose} from trial to trial, and these trials cannot tell the two apart.",
    "flat": "No combination that was tried differs from another by more than {delta}: none stands out.",
    "not identified": "These trials do not tell at which combination of {name} the effect is largest.",
    "did not converge": UNCONVERGED,
}
"""By verdict on two doses; NO_ADVICE follows those that see an effect of a dose."""
ECOLOGY = {
    "differ": "Comparing trials does not give the slope that is seen within trials: part of the gradient may be due to other differences.",
    "agree": "The slopes within and across trials agree.",
    "not clear": "These trials do not tell whether the slopes within and across trials differ.",
    "did not converge": "The computation of the slopes within and across trials did not converge.",
}
assert SENTENCES.keys() == verdicts.WORDS.keys()
assert JOINT.keys() == joint_verdicts.WORDS.keys()


def chance_words(p: float) -> str:
    """A probability in the words of CHANCES, with its number, which decides on the words as it is printed: "likely (0.87)"."""
    words = next(words for least, words in CHANCES if round(float(p), 2) >= least)
    return f"{words} ({chance(p)})"


def dose_words(column: str, *doses: float) -> str:
    """Doses with the unit of their column: "12 Hz", "1 to 50 Hz"."""
    unit = COLUMNS[column].unit if column in COLUMNS else ""
    return f"{' to '.join(map(short, doses))} {unit or column.replace('_', ' ')}"


def name_words(column: str) -> str:
    """A dose by name, without its unit, as inside a sentence: "session length"."""
    label = axis_label(column).partition(" (")[0]
    return label[0].lower() + label[1:]


def estimate(mean: float, low: float, high: float, unit: str = "") -> str:
    """A mean with its interval: "0.52 SMD [0.10 to 0.94]"."""
    return f"{mean:.2f}{f' {unit}' * bool(unit)} [{low:.2f} to {high:.2f}]"


def unit_of(effects: pd.DataFrame | xr.DataArray) -> str:
    """What effects (curves, or `study_effects`) are in, without the words on their direction."""
    return str(effects.attrs.get("effect_label", "")).partition(" (")[0]


def about_best_dose(best: Optimum, prob: float = 0.95) -> dict[str, str]:
    """One paragraph for each group ("" if there are none) on the best dose, by its verdict.

    An optimum of a fit that did not converge says so, whatever its own verdict.
    """
    table, seen, found = best.table(prob), verdicts.observed(best.curves), {}
    unit = unit_of(best.curves)
    for group, verdict in best.verdicts.items():
        verdict = "did not converge" if best.fit_warning else verdict
        fields = {
            "name": name_words(best.column),
            "tried": dose_words(best.column, *seen[group]),
            "delta": f"{best.delta:g} {unit}".strip(),
        }
        if verdict == "identified":
            fields |= _numbers(best, table.loc[group], group, unit, prob)
        found[group] = SENTENCES[verdict].format(**fields)
    return found


def _numbers(best: Optimum, line: pd.Series, group: str, unit: str, prob: float) -> dict[str, str]:
    """What the sentence on an identified best dose says besides."""
    near = best.near_best().sel({best.by: group}) if best.by else best.near_best()
    share = float(near.interp({best.column: line["best_dose"]}))
    return {
        "best": dose_words(best.column, line["best_dose"]),
        "low": short(line["low"]),
        "high": dose_words(best.column, line["high"]),
        "prob": f"{100 * prob:.10g} %",
        "effect": estimate(line["effect_at_best"], line["effect_low"], line["effect_high"], unit),
        "held": f", at {held}" if (held := best.curves.attrs.get("held", "")) else "",
        "near": f"It is {chance_words(share)} that the effect at this dose is within {best.delta:g} {unit}".rstrip()
        + " of the largest.",
    }


def about_other_priors(found: PriorComparison, column: str, group: str = "") -> str:
    """Whether the verdict on a dose (of a group) is the same under the other priors."""
    verdicts = found.table()["verdict"].xs((column, group), level=("dose", "group"))
    own, others = verdicts[found.reference], verdicts.drop(found.reference)
    moved = [f"{word} under {name}" for name, word in others.items() if word != own]
    if moved:
        return f"The verdict changes under other priors: {', '.join(moved)}."
    return f"The verdict is the same under the other priors that were compared ({', '.join(map(str, others.index))})."


def about_single_studies(found: Check, column: str, group: str = "") -> str:
    """Whether the verdict on a dose (of a group) hangs on a single study."""
    table = found.tables["left_out"]
    own = table[(table["dose"] == column) & (table["group"] == group)]
    moved = [f"{line.verdict} without {line.study}" for line in own[own["changes"].astype(bool)].itertuples()]
    return f"The verdict hangs on single studies: {', '.join(moved)}." if moved else "The verdict stays without any single study."


def about_best_combination(best: JointOptimum, prob: float = 0.95) -> str:
    """A paragraph on the best combination of two doses, by its verdicts."""
    unit, names = unit_of(best.surface), " and ".join(name_words(str(name)) for name in best.doses)
    if best.fit_warning or best.verdict == "did not converge":
        return JOINT["did not converge"].format(name=names)
    table, found = best.table(prob), []
    for verdict in best.verdict.split(", "):
        word, _, dose = verdict.partition(" in ")
        fields = {"name": names, "dose": name_words(dose) if dose else "", "delta": f"{best.delta:g} {unit}".strip()}
        if word == "identified":
            line = table.iloc[0]
            fields["best"] = " and ".join(dose_words(name, each) for name, each in table["best_dose"].items())
            fields["effect"] = estimate(line["effect_at_best"], line["effect_low"], line["effect_high"], unit)
        found.append(JOINT[word].format(**fields))
    sees = any(word.partition(" in ")[0] in verdicts.MOVES for word in best.verdict.split(", "))
    return " ".join([*found, NO_ADVICE] if sees else found)


def about_more_is_better(table: pd.DataFrame, unit: str = "") -> list[str]:
    """Of `Fit.more_is_better`: how probable it is that the highest dose tried has a larger effect than the lowest, by dose and group."""
    lines = [
        f"{_of(line.group)}It is {chance_words(line.probability_positive)} that the effect at {dose_words(line.dose, line.to)} "
        f"exceeds that at {dose_words(line.dose, line.low_end)}; the difference is {estimate(line.difference, line.low, line.high, unit)}."
        for line in table.rename(columns={"from": "low_end"}).itertuples()
    ]
    return [*lines, f"Differences are means with 95 % intervals. {NO_ADVICE}"]


def about_mean_effect(effects: pd.DataFrame, compared: bool = True) -> str:
    """Of `study_effects`: the mean effect, and what a new study may find; a positive effect is a benefit, or, where nothing is compared
    with a control, an improvement."""
    pooled, new, prob = effects.attrs["pooled"], effects.attrs["prediction"], 100 * effects.attrs["prob"]
    unit = unit_of(effects)
    good, bad = ("a benefit", "a harm") if compared else ("an improvement", "a worsening")
    side = good if pooled["low"] > 0 else bad if pooled["high"] < 0 else f"{good}, none, or {bad}"
    warning = "The computation did not converge, so the following is not to be relied on. " * ("warning" in effects.attrs)
    return (
        f"{warning}Averaged over the rows of the table, the effect is {estimate(pooled['mean'], pooled['low'], pooled['high'], unit)} "
        f"({prob:.10g} % interval), which is compatible with {side}. "
        f"The true effect of a new study like these lies between {new['low']:.2f} and {new['high']:.2f} {unit} with a probability of "
        f"{prob:.10g} %."
    )


def about_slopes(found: WithinAcross) -> str:
    """The slope of a dose within trials beside that across trials."""
    table = found.table()
    unit = found.draws.attrs.get("effect_unit", "")
    rows = {name: table.loc[name] for name in ("within", "across")}
    slopes = [f"{name} trials, {estimate(row['mean'], row['low'], row['high'], unit)}" for name, row in rows.items()]
    what = f"The effect of {dose_words(found.column, found.reference)} is, {'; '.join(slopes)} (95 % intervals)."
    return ECOLOGY[found.verdict] + ("" if found.verdict == "did not converge" else f" {what}")


def _of(group: str) -> str:
    return f"{group}: " if group else ""


def curve_in_numbers(curves: xr.DataArray, prob: float = 0.95) -> str:
    """A curve at the ends of the doses that trials (of each group) tried, and in their middle, for those who cannot see it."""
    column, ends, lines = curves.attrs["dose"], [(1 - prob) / 2, (1 + prob) / 2], []
    group = next((dim for dim in curves.dims if dim not in ("chain", "draw", column)), None)
    doses, tried = curves[column].values, verdicts.observed(curves)
    for name in curves[group].values if group else [""]:
        own = (curves.sel({group: name}) if group else curves).transpose("chain", "draw", column).values
        own = own.reshape(-1, own.shape[-1])
        mean, (low, high) = own.mean(axis=0), np.quantile(own, ends, axis=0)
        first, last = (int(np.abs(doses - end).argmin()) for end in tried[str(name)])
        shown = sorted({first, (first + last) // 2, last})
        at = [f"{estimate(mean[k], low[k], high[k])} at {dose_words(column, doses[k])}" for k in shown]
        lines.append(f"{_of(str(name))}mean effect {', '.join(at)}")
    return f"{'; '.join(lines)} ({100 * prob:.10g} % intervals)"
