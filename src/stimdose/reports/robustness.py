"""Does the model reproduce the trials, do single studies decide, and what moves with the priors?"""

from functools import partial

import numpy as np
from scipy.stats import norm

from .. import figures
from ..ecology import WithinAcross
from ..figures.panels import is_named
from ..sentences import about_slopes, dose_words, name_words
from .findings import Findings
from .parts import Block, Figure, Section, Table, first_of, listed, sentences, text

FUNNEL_ROWS = 10
"""Fewer rows make no funnel (Sterne et al. 2011, BMJ 343:d4002)."""
STATISTICS = (
    "reported: of the table; replicated, low, high: mean and 95 % interval of tables with the same trials, done by other studies; p: how often "
    "these are as far out as the table; p adjusted: for the number of statistics"
)
PLAUSIBLE = "share implausible: of the curves from the priors, those that exceed the limit somewhere"
VERDICTS = (
    "best dose: where the effect is largest, median with its 95 % interval, empty where none is identified; in sd: the "
    "change in posterior standard deviations"
)
VERDICTS_OTHERWISE = (
    "no best dose is identified under any set; the file has where single draws happen to be highest, which is no finding"
)
ELPD = (
    "elpd: log predictive density of the studies left out, larger is better; p loo: effective number of parameters; unreliable: studies whose "
    "pareto k is above 0.7"
)
MOVED = 15
"""The page shows so many studies, those without which most changes."""


def checks(found: Findings) -> Section:
    """Checks of the fit against its trials."""
    check = found.check
    if isinstance(check, str):
        return Section("checks", (*text(_sentence("Checks of the fit against its trials", check), kind="note"), *funnels(found)))
    tables, pit = check.tables, check.tables["pit"]
    outside = int(((pit["ecdf"] < pit["low"]) | (pit["ecdf"] > pit["high"])).sum())
    rows = tables["rows"]
    alt = (
        f"Left: {len(rows)} rows against what the other studies predict. Right: distribution of the PIT of "
        f"{len(tables['studies'])} studies, outside its band at {outside} of {len(pit)} points (p = {pit.attrs['p']:.2f}). "
        f"Verdict: {check.verdict}."
    )
    blocks: list[Block] = [
        *text(*sentences(check.explanation), kind="verdict"),
        *funnels(found),
        Figure(
            "checks",
            partial(figures.checks, check),
            "Rows against what other studies predict, and the PIT of studies with its 95 % band",
            alt,
        ),
        Table(
            "check-statistics",
            tables["statistics"].set_index("of"),
            "Do trials like these, done by others, look like these?",
            STATISTICS,
        ),
        Table("check-prior-curves", tables["prior_curves"], "Curves that the priors allow and that are implausible", PLAUSIBLE),
        Table(
            "check-parameters",
            tables["parameters"],
            "Posterior beside prior",
            "contraction: 1 - posterior variance / prior variance; 0 where the trials add nothing to the prior, near 1 where they decide",
            is_folded=True,
        ),
    ]
    return Section("checks", tuple(block for block in blocks if not isinstance(block, Table) or len(block.frame)))


def funnels(found: Findings) -> list[Figure]:
    """Effects against their standard errors, and what is left of them after the doses; of participants there is nothing to draw."""
    rows = found.residuals[found.residuals["se"] > 0]
    if found.fit.rows.is_participant.any() or len(rows) < FUNNEL_ROWS:
        return []
    rows.attrs = found.residuals.attrs
    p = 2 * norm.sf((rows["effect"] / rows["se"]).abs())
    span = f"standard errors {rows['se'].min():.2f} to {rows['se'].max():.2f}"
    beyond = int((rows["residual"].abs() > norm.ppf(0.975) * np.hypot(rows["se"], rows["spread"])).sum())
    captions = {
        "effect": "Effects against their standard errors, over contours of significance",
        "residual": "The same of what is left after the doses: a dose that precise trials share cannot make it lopsided",
    }
    alts = {
        "effect": f"Funnel plot of {len(rows)} rows, {span}; {int((p < 0.05).sum())} of them with p below 0.05.",
        "residual": f"Funnel plot of {len(rows)} residuals, {span}; {beyond} of them beyond the 95 % limits of trials "
        "that differ as estimated.",
    }
    names = {"effect": "funnel", "residual": "funnel-residuals"}
    return [Figure(names[of], partial(figures.funnel, rows, of=of), captions[of], alts[of]) for of in names]


def left_out(found: Findings) -> Section:
    """The answers without each study."""
    check = found.check
    if isinstance(check, str):
        return Section("left-out", tuple(text(_sentence("Leaving out single studies", check), kind="note")))
    studies, moved = check.table(), check.tables["left_out"]
    flagged = [f"{name}: {flag}." for name, flag in check.flagged.items()]
    most = studies["mean_change"].abs().idxmax()
    line = studies.loc[most]
    alt = (
        f"Mean effect without each of {len(studies)} studies; with all {line['mean_all']:.2f}. It moves most without {most}, "
        f"to {line['mean_without']:.2f} ({line['mean_change']:+.1f} posterior standard deviations)."
    )
    blocks: list[Block] = [
        *text(
            *(
                flagged
                or [
                    "Without any single study, neither the mean effect nor a best dose moves by more than one posterior SD, "
                    "and no study is unlike what the others predict."
                ]
            )
        ),
        Figure("influence", partial(figures.influence, check), "The mean effect without each study", alt),
    ]
    for dose, group in moved[["dose", "group"]].drop_duplicates().itertuples(index=False) if "dose" in moved else ():
        blocks.append(_influence(check, dose, group))
    shown = ("rows", "p_adjusted", "pareto_k", "method", "mean_all", "mean_without", "mean_change", "flag")
    shown = tuple(name for name in shown if name in studies)
    note = (
        "p adjusted: of the study among those that the others predict, adjusted for the number of studies (Holm); mean all, mean without: the "
        "mean effect with and without it; mean change: in posterior standard deviations; pareto k: importance sampling is trusted up to about "
        "0.7, and beyond the model is fitted again"
    )
    blocks.append(
        Table(
            "check-studies",
            studies,
            "Every study against the others, the most remarkable first",
            note,
            shown,
            is_folded=len(studies) > MOVED,
        )
    )
    return Section("left-out", tuple(blocks))


def _influence(check, dose: str, group: str) -> Figure:
    moved = check.tables["left_out"]
    own = moved[(moved["dose"] == dose) & (moved["group"] == group)]
    changes = own.loc[own["changes"], "study"].tolist()
    is_any = own[["verdict", "verdict_all"]].eq("identified").any(axis=None)
    ends = own["best_dose"].min(), own["best_dose"].max()
    medians = f"medians from {dose_words(dose, *ends)}" if is_any else "no best dose is identified"
    where = f"{name_words(dose)}{f', {group}' if group else ''}"
    alt = (
        f"Dose with the largest effect ({where}) without each of {len(own)} studies: {medians}; verdict with all "
        f"{own['verdict_all'].iloc[0]}; "
        f"{f'the verdict changes without {listed(changes)}' if changes else 'the verdict stays'}."
    )
    name = f"influence-{dose}{f'-{group}' if group else ''}"
    return Figure(name, partial(figures.influence, check, dose=dose, group=group or None), f"The same for {where}", alt)


def slopes(found: Findings) -> Section:
    """The slope of each dose within trials beside that across trials."""
    blocks: list[Block] = []
    for column, each in found.slopes.items():
        if not isinstance(each, WithinAcross):
            blocks += text(_sentence(f"The slope of {name_words(column)} within and across trials", first_of(each)), kind="note")
            continue
        said = about_slopes(each)
        blocks += text(f"{name_words(column).capitalize()}: {said}", *[f"{remark}." for remark in each.remarks])
        caption = f"The slope of {name_words(column)} within and across trials"
        blocks.append(Figure(f"within-across-{column}", partial(figures.within_across, each), caption, said))
        blocks.append(
            Table(
                f"within-across-{column}",
                each.table(),
                caption,
                f"slope: effect of {dose_words(column, each.reference)}; low, high: 95 % interval; p positive: P(above zero)",
            )
        )
    blocks = blocks or text("The model has no dose: there are no slopes to compare.", kind="note")
    return Section("slopes", tuple(blocks))


def priors(found: Findings) -> Section:
    """What moves with the priors."""
    moved = found.priors
    if isinstance(moved, str):
        return Section("priors", tuple(text(_sentence("Sensitivity to the priors", moved), kind="note")))
    named = bool(moved.table()["verdict"].eq("identified").any())
    blocks: list[Block] = [
        *text(*sentences(moved.explanation)),
        Table(
            "priors-verdicts",
            moved.table(),
            "Verdicts under each set of priors",
            *((VERDICTS,) if named else (VERDICTS_OTHERWISE, ("verdict", "method", "converged"))),
        ),
        Table("priors-effects", moved.effects(), "The mean effect at reference doses under each set of priors"),
        Table("priors-heterogeneity", moved.heterogeneity(), "Heterogeneity under each set of priors", is_folded=True),
        Table("priors-elpd", moved.elpd, "How well studies left out are predicted under each set of priors", ELPD),
        Table("priors-methods", moved.methods, "How the posterior under each set was found"),
    ]
    for column in moved.curves[moved.reference]:
        of_sets = {name: own[column].optimum for name, own in moved.estimands.items()}
        said = "; ".join(f"{name}: {best.verdict}" for name, best in of_sets.items())
        shown = "; ".join(
            f"{name}{f', {group}' if group else ''}: median {dose_words(column, line['best_dose'])}, 95 % interval "
            f"{dose_words(column, line['low'], line['high'])}"
            for name, best in of_sets.items()
            for group, line in best.table().iterrows()
            if is_named(best, group)
        )
        alt = f"Curves of the effect by {name_words(column)} under {len(of_sets)} sets of priors, prior and posterior. Verdicts: {said}."
        blocks.append(
            Figure(
                f"priors-curves-{column}",
                partial(figures.prior_curves, moved, column, points=found.curves(column)[2]),
                f"The curve under each set of priors: {name_words(column)}",
                alt,
            )
        )
        alt = (
            f"Posterior of the dose with the largest effect under each of {len(of_sets)} sets of priors; "
            f"{shown or 'no best dose is identified'}. Verdicts: {said}."
        )
        blocks.append(
            Figure(
                f"priors-optima-{column}",
                partial(figures.prior_optima, moved, column),
                f"Where the effect is largest under each set: {name_words(column)}",
                alt,
            )
        )
    return Section(
        "priors",
        tuple(block for block in blocks if not isinstance(block, Table) or len(block.frame)),
    )


def _sentence(what: str, why: str) -> str:
    return f"{what}: {why.rstrip('.')}."
