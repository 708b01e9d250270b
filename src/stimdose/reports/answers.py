"""The first section: the verdict and the picture."""

from functools import partial

import numpy as np

from .. import figures
from ..doses import chance
from ..figures.panels import TELLING, is_named
from ..sentences import (
    about_best_combination,
    about_best_dose,
    about_mean_effect,
    about_more_is_better,
    about_other_priors,
    about_single_studies,
    curve_in_numbers,
    dose_words,
    estimate,
    name_words,
    unit_of,
)
from . import data
from .findings import Findings
from .parts import Block, Figure, Section, Table, Text, ended, sentences, text

FOREST_ROWS = 120
"""A forest of more rows than this does not fit on a page, and is not drawn."""
SYNTHETIC = "Synthetic data: these trials are invented. Nothing on this page says anything about a treatment."
SHOWN = ("verdict", "best_dose", "low", "high", "effect_at_best", "effect_low", "effect_high", "from", "to")
SHOWN_OTHERWISE = ("verdict", "from", "to", "p_at_low_end", "p_at_high_end")
"""Columns where no best dose may be named."""
RULE = (
    "best dose: median of the posterior with its 95 % interval, within the range from-to; effect: mean with its 95 % interval. "
    "Empty where none is identified: the CSV has where single draws happen to be highest, which is no finding"
)
RULE_OTHERWISE = (
    "from, to: the range that was searched; p at low end, p at high end: share of the posterior draws whose effect is largest at that end "
    "of the range. No best dose is identified, so none is shown; the file of the table has where single draws happen to be highest, which "
    "is no finding"
)


def section(found: Findings) -> Section:
    """What the fit says, the verdict first."""
    blocks = about_table(found)
    if not found.fit.diagnosis.converged:
        blocks += text(f"{ended(f'The fit {found.fit.diagnosis.message}')} Nothing below is to be relied on.", kind="warning")
    for column, best in found.optima.items():
        blocks += _one_dose(found, column, best)
    for name, best in found.joint.items():
        blocks += _two_doses(found, name, best)
    if found.more_is_better is not None:
        if found.fit.diagnosis.converged:
            blocks += text(*about_more_is_better(found.more_is_better, unit_of(found.effects)))
        note = "The highest less the lowest dose that was tried, from a fit in which the effect is not tied to zero at dose zero"
        blocks.append(Table("more-is-better", found.more_is_better.set_index("dose"), "Whether more is better", note))
    blocks += text(about_mean_effect(found.effects, compared=bool(data.is_compared(found).all())))
    blocks += _forest(found)
    return Section("answer", tuple(blocks))


def about_table(found: Findings) -> list[Block]:
    """What the reader must know of the table before any number: that it is invented, or no table of comparisons within trials."""
    lines = [*data.caveats(found), *data.remarks(found)]
    if data.is_synthetic(found):
        return text(SYNTHETIC, *lines, kind="warning")
    return text(*lines, kind="note")


def _one_dose(found, column: str, best) -> list:
    mean, new, points = found.curves(column)
    held = f"; held: {mean.attrs['held']}" if mean.attrs["held"] else ""
    name = name_words(column)
    curve = Figure(
        f"dose-response-{column}",
        partial(figures.dose_response, mean, new_study=new, points=points),
        f"Effect by {name}: mean over studies with its 95 % interval, and 95 % of new studies (lighter){held}",
        f"Curve of the effect by {name} ({mean.attrs['effect_label']}), from {_range(mean)}: {curve_in_numbers(mean)}. "
        f"{len(points)} rows of the table are drawn beside it. Verdict: {_verdict(best)}.",
    )
    under = Figure(
        f"optimum-{column}",
        partial(figures.optimum, best, points=points),
        f"Where the effect is largest along {name}, as a posterior below the curve; verdict: {_verdict(best)}",
        f"Posterior of the dose with the largest effect: {_optimum_in_numbers(best)}.",
    )
    near = Figure(
        f"near-best-{column}",
        partial(figures.near_best, best),
        f"Probability that the effect at a dose is within {best.delta:g} of the largest",
        f"Probability, by {name}, that the effect is within {best.delta:g} of the largest: {_near_in_numbers(best)}.",
    )
    named = any(is_named(best, group) for group in best.verdicts)
    table = best.table().rename_axis(best.by or None)
    return [
        Text((f"{_title(column)}: {_verdict(best)}", *_said(found, column, best)), "verdict"),
        curve,
        *text(*[f"{remark}." for remark in dict.fromkeys(best.remarks)], kind="note"),
        under,
        Table(
            f"optimum-{column}",
            table,
            f"The dose with the largest effect: {name}",
            *((RULE, SHOWN) if named else (RULE_OTHERWISE, SHOWN_OTHERWISE)),
        ),
        *([near] if any(is_named(best, group, TELLING) for group in best.verdicts) else []),
    ]


def _verdict(best) -> str:
    """The verdict, once if all groups have the same; of a fit that did not converge, that."""
    if best.fit_warning:
        return "did not converge"
    words = [*dict.fromkeys(getattr(best, "verdicts", {}).values())]
    return f"{words[0]} in every group" if len(words) == 1 < len(best.verdicts) else best.verdict


def _said(found, column: str, best) -> list[str]:
    """The verdict of each group in sentences, and whether it holds under other priors and without single studies."""
    lines = []
    for group, words in about_best_dose(best).items():
        parts = [words]
        if best.verdicts[group] != "did not converge" and not best.fit_warning:
            priors, check = found.priors, found.check  # sections of their own say at length why one is not there
            parts.append(
                f"Other priors: {priors.partition(':')[0]}."
                if isinstance(priors, str)
                else about_other_priors(priors, column, group)
            )
            parts.append(
                f"Single studies left out: {check.partition(':')[0]}."
                if isinstance(check, str)
                else about_single_studies(check, column, group)
            )
        lines.append(f"{f'{group}: ' if group else ''}{' '.join(parts)}")
    return lines


def _title(column: str) -> str:
    name = name_words(column)
    return name[0].upper() + name[1:]


def _range(curves) -> str:
    column = curves.attrs["dose"]
    return dose_words(column, *curves[column].values[[0, -1]])


def _optimum_in_numbers(best) -> str:
    lines = []
    for group, line in best.table().iterrows():
        if is_named(best, group):
            interval = dose_words(best.column, line["low"], line["high"])
            where = f"median {dose_words(best.column, line['best_dose'])}, 95 % interval {interval}"
        else:
            ends = " and ".join(
                f"{chance(line[f'p_at_{end}_end'])} at {dose_words(best.column, line[dose])}"
                for end, dose in (("low", "from"), ("high", "to"))
            )
            where = f"no best dose is identified; share of draws at the ends of the range {ends}"
        prior = f"prior {dose_words(best.column, line['prior_low'], line['prior_high'])}"
        lines.append(
            f"{f'{group}: ' if group else ''}verdict {'did not converge' if best.fit_warning else line['verdict']}; {where}; {prior}"
        )
    return "; ".join(lines)


def _near_in_numbers(best) -> str:
    near, lines = best.near_best_range(), []
    for group in (group for group in best.verdicts if is_named(best, group, TELLING)):
        low, high = near.loc[group, ["low", "high"]]
        where = "nowhere" if np.isnan(low) else f"from {dose_words(best.column, low, high)}"
        lines.append(f"{f'{group}: ' if group else ''}0.5 or more {where}")
    return "; ".join(lines)


def _two_doses(found, name: str, best) -> list:
    first, second = best.doses
    table = best.table()
    named = best.verdict == "identified" and not best.fit_warning
    numbers = "; ".join(f"{dose_words(dose, line['low'], line['high'])}" for dose, line in table.iterrows())
    where = (
        f"Posterior of the best combination, 95 % intervals: {numbers}; "
        f"effect there {estimate(*table.iloc[0][['effect_at_best', 'effect_low', 'effect_high']])}."
        if named
        else f"No best combination is identified; 95 % intervals of the largest effect: {numbers}."
    )
    picture = Figure(
        f"surface-{first}-{second}",
        partial(figures.surface, best.surface, best, points=found.table[[first, second]]),
        f"Mean effect over {name_words(first)} and {name_words(second)}; verdict: {_verdict(best)}",
        f"Map of the mean effect over {dose_words(first, *best.surface[first].values[[0, -1]])} and "
        f"{dose_words(second, *best.surface[second].values[[0, -1]])}. Verdict: {_verdict(best)}. {where}",
    )
    return [
        Text((f"{_title(first)} and {name_words(second)} together: {_verdict(best)}", about_best_combination(best)), "verdict"),
        picture,
        *text(*sentences(best.explanation), kind="note"),
        Table(f"joint-optimum-{first}-{second}", table, f"The combination of {name} with the largest effect", RULE),
    ]


def _forest(found) -> list:
    effects, pooled = found.effects, found.effects.attrs["pooled"]
    table = Table(
        "effects",
        effects.set_index("label").rename_axis("row"),
        "Every effect as reported, and as the model sees it",
        "low, high: 95 % interval; shrunken: the true effect of the row as the model sees it, drawn from the report towards what trials "
        "like it have",
        is_folded=True,
    )
    if len(effects) > FOREST_ROWS:
        return [
            *text(f"A forest plot of {len(effects)} rows does not fit on a page: the table has them all.", kind="note"),
            table,
        ]
    new = effects.attrs["prediction"]
    alt = (
        f"Forest plot of {len(effects)} rows, {effects.attrs['effect_label']}: reported effects from {effects['effect'].min():.2f} to "
        f"{effects['effect'].max():.2f}, shrunken ones from {effects['shrunken'].min():.2f} to {effects['shrunken'].max():.2f}; "
        f"{pooled['label']} {estimate(pooled['mean'], pooled['low'], pooled['high'])}, new study {new['low']:.2f} to {new['high']:.2f}."
    )
    caption = (
        "Reported effects with 95 % confidence intervals, shrunken effects, the mean over the rows and what a new study may find"
    )
    return [Figure("forest", partial(figures.forest, effects), caption, alt), table]
