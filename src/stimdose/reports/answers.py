"""The first section: the verdict and the picture."""

from functools import partial

from .. import figures
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
)
from .findings import Findings
from .parts import Figure, Section, Table, Text, ended, sentences, text

FOREST_ROWS = 120
"""A forest of more rows than this does not fit on a page, and is not drawn."""
SHOWN = ("verdict", "best_dose", "low", "high", "effect_at_best", "effect_low", "effect_high", "from", "to")
RULE = (
    "best dose: median of the posterior with its 95 % interval, within the range from-to; effect: mean with its 95 % interval. "
    "The best dose of a verdict other than “identified” is where single draws happen to be highest, and no finding"
)


def section(found: Findings) -> Section:
    """What the fit says, the verdict first."""
    blocks = []
    if not found.fit.diagnosis.converged:
        blocks += text(f"{ended(f'The fit {found.fit.diagnosis.message}')} Nothing below is to be relied on.", kind="warning")
    for column, best in found.optima.items():
        blocks += _one_dose(found, column, best)
    for name, best in found.joint.items():
        blocks += _two_doses(found, name, best)
    if found.more_is_better is not None:
        blocks += text(*about_more_is_better(found.more_is_better))
        note = "The highest less the lowest dose that was tried, from a fit in which the effect is not tied to zero at dose zero"
        blocks.append(Table("more-is-better", found.more_is_better.set_index("dose"), "Whether more is better", note))
    blocks += text(about_mean_effect(found.effects))
    blocks += _forest(found)
    return Section("answer", tuple(blocks))


def _one_dose(found, column: str, best) -> list:
    mean, new, points = found.curves(column)
    held = f"; held: {mean.attrs['held']}" if mean.attrs["held"] else ""
    name = name_words(column)
    curve = Figure(
        f"dose-response-{column}",
        partial(figures.dose_response, mean, new_study=new, points=points),
        f"Effect by {name}: mean over studies with its 95 % interval, and 95 % of new studies (lighter){held}",
        f"Curve of the effect by {name} ({mean.attrs['effect_label']}), from {_range(mean)}: {curve_in_numbers(mean)}. "
        f"{len(points)} rows of the table are drawn beside it. Verdict: {best.verdict}.",
    )
    under = Figure(
        f"optimum-{column}",
        partial(figures.optimum, best, points=points),
        f"Where the effect is largest along {name}, as a posterior below the curve; verdict: {best.verdict}",
        f"Posterior of the dose with the largest effect: {_optimum_in_numbers(best)}.",
    )
    near = Figure(
        f"near-best-{column}",
        partial(figures.near_best, best),
        f"Probability that the effect at a dose is within {best.delta:g} of the largest",
        f"Probability, by {name}, that the effect is within {best.delta:g} of the largest: {_near_in_numbers(best)}.",
    )
    table = best.table()
    table = table.rename_axis(best.by or None)
    return [
        Text((f"{_title(column)}: {_verdict(best)}", *_said(found, column, best)), "verdict"),
        curve,
        *text(*[f"{remark}." for remark in dict.fromkeys(best.remarks)], kind="note"),
        under,
        Table(f"optimum-{column}", table, f"The dose with the largest effect: {name}", RULE, SHOWN),
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
        interval = f"median {dose_words(best.column, line['best_dose'])}, 95 % interval {dose_words(best.column, line['low'], line['high'])}"
        prior = f"prior {dose_words(best.column, line['prior_low'], line['prior_high'])}"
        lines.append(f"{f'{group}: ' if group else ''}verdict {line['verdict']}; {interval}; {prior}")
    return "; ".join(lines)


def _near_in_numbers(best) -> str:
    near, lines = best.near_best(), []
    for group in best.verdicts:
        own = near.sel({best.by: group}) if best.by else near
        ends = [f"{float(own[k]):.2f} at {dose_words(best.column, float(own[best.column][k]))}" for k in (0, own.size // 2, -1)]
        lines.append(f"{f'{group}: ' if group else ''}{', '.join(ends)}")
    return "; ".join(lines)


def _two_doses(found, name: str, best) -> list:
    first, second = best.doses
    table = best.table()
    numbers = "; ".join(f"{dose_words(dose, line['low'], line['high'])}" for dose, line in table.iterrows())
    picture = Figure(
        f"surface-{first}-{second}",
        partial(figures.surface, best.surface, best, points=found.table[[first, second]]),
        f"Mean effect over {name_words(first)} and {name_words(second)}; verdict: {best.verdict}",
        f"Map of the mean effect over {dose_words(first, *best.surface[first].values[[0, -1]])} and "
        f"{dose_words(second, *best.surface[second].values[[0, -1]])}. Verdict: {best.verdict}. Posterior of the best combination, "
        f"95 % intervals: {numbers}; effect there {estimate(*table.iloc[0][['effect_at_best', 'effect_low', 'effect_high']])}.",
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
