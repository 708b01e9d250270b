"""Replies on evidence and its synthesis: the items of PRISMA 2020, and of GRADE on dose-response gradients."""

from collections.abc import Collection

from ..columns import ROB_LEVELS
from ..completeness import reported
from ..ecology import WithinAcross
from ..sentences import estimate, name_words, unit_of
from . import data, model
from .answers import FOREST_ROWS
from .findings import Findings
from .parts import counted, first_of, listed
from .replies import AUTHORS, NOT_DONE, NOT_REPORTED, REPLIES, Reply, reply, verdict_sensitivity

__all__ = ["REPLIES"]


@reply
def measures(found: Findings) -> Reply:
    outcomes = sorted(found.table["outcome"].dropna().astype(str).unique()) if "outcome" in found.table else []
    said = f"outcomes: {listed(outcomes)}" if outcomes else f"outcomes: {NOT_REPORTED}"
    meaning = data.MEASURES.get(unit_of(found.effects))
    return Reply(f"{found.effects.attrs['effect_label']}{f', {meaning}' if meaning else ''}; {said}.", "data")


@reply
def eligible(found: Findings) -> Reply:
    dropped = len(found.fit.trials.dropped)
    enter = f"{counted(found.studies, 'study', 'studies')} with {counted(len(found.table), 'row')} enter"
    words = f"{enter}; {counted(dropped, 'row')} of the table left out."
    return Reply(" ".join([words, *data.remarks(found), f"Why studies are eligible is {AUTHORS}."]), "data")


@reply
def conversions(found: Findings) -> Reply:
    lines = len(found.fit.trials.conversions)
    words = (
        f"{counted(lines, 'cell')} computed, filled in or assumed, by the rules listed."
        if lines
        else "No cell was computed or assumed."
    )
    return Reply(f"{words} {data.filled_in(found)}", "data")


@reply
def displays(found: Findings) -> Reply:
    doses = f", and the curve of {listed(map(name_words, found.optima))} with the rows beside it" if found.optima else ""
    return Reply(f"A table of all effects{' and a forest plot' if len(found.effects) <= FOREST_ROWS else ''}{doses}.", "answer")


@reply
def synthesis(found: Findings) -> Reply:
    return Reply(f"{' '.join(model.described(found))} {model.sampling(found)} Why this model is {AUTHORS}.", "model")


@reply
def explored(found: Findings) -> Reply:
    spec = found.fit.model
    kinds: dict[str, Collection[str]] = {
        "dose": found.optima,
        "group": found.fit.rows.levels,
        "moderator": [part.column for part in spec.moderator],
    }
    parts = [f"{counted(len(names), kind)} ({listed(names)})" for kind, names in kinds.items() if names]
    return Reply(f"By {listed(parts)}." if parts else f"{NOT_DONE}: the model has no dose, group or moderator.", "model")


@reply
def sensitivity(found: Findings) -> Reply:
    done = ["leaving out single studies"] * (not isinstance(found.check, str))
    done += ["other priors"] * (not isinstance(found.priors, str))
    open_ = [f"Leaving out single studies: {found.check}."] * isinstance(found.check, str)
    open_ += [f"Other priors: {found.priors}."] * isinstance(found.priors, str)
    return Reply(" ".join([f"Done: {listed(done)}."] * bool(done) + open_), "left-out")


@reply
def reporting_bias(found: Findings) -> Reply:
    spec = found.fit.model
    how = [f"small-study effects ({spec.small_study})"] * bool(spec.small_study)
    how += ["selection by significance (a step function)"] * bool(spec.selection)
    return Reply(
        f"By {listed(how)} in the model." if how else f"{NOT_DONE}: the model has no small-study effects and no selection.",
        "model",
    )


@reply
def characteristics(found: Findings) -> Reply:
    judged = [
        name for name in ("risk_of_bias", *(name for name in found.table if str(name).startswith("rob_"))) if name in found.table
    ]
    judged = [name for name in judged if found.table[name].notna().any()]
    if not judged:
        return Reply(f"tables/trials.csv has every row with its characteristics; risk of bias: {NOT_REPORTED}.", "data")
    counts = found.table.drop_duplicates("study")[judged[0]].value_counts()
    said = listed(
        f"{level} {counts[level]}" for level in (*ROB_LEVELS, *sorted(set(counts.index) - set(ROB_LEVELS))) if level in counts
    )
    return Reply(
        f"tables/trials.csv has every row with its characteristics; risk of bias ({judged[0]}), studies: {said}.", "data"
    )


@reply
def results(found: Findings) -> Reply:
    pooled, unit = found.effects.attrs["pooled"], found.effects.attrs["effect_label"]
    spread = _spread(found)
    words = f"{pooled['label']}: {estimate(pooled['mean'], pooled['low'], pooled['high'])} ({unit}, 95 % interval){spread}."
    return Reply(words if found.fit.diagnosis.converged else f"{words} The fit did not converge.", "answer")


def _spread(found: Findings) -> str:
    if "between_study" not in found.summary.index:
        return ""
    line = found.summary.loc["between_study"]
    return f"; standard deviation between studies {estimate(line['mean'], line['low'], line['high'])}"


@reply
def explored_results(found: Findings) -> Reply:
    said = [f"{column}: {best.verdict}" for column, best in found.optima.items()]
    for part in found.fit.model.moderator:
        lines = found.summary[found.summary.index.str.startswith(f"{part.column}_effect")]
        said += [
            f"{name}: {estimate(line['mean'], line['low'], line['high'])}"
            for name, line in lines.iterrows()
            if "between" not in name
        ]
    return Reply(f"{'; '.join(said)}." if said else f"{NOT_DONE}: the model has no dose or moderator.", "answer")


@reply
def sensitivity_results(found: Findings) -> Reply:
    said = []
    if isinstance(found.check, str):
        said.append(f"Leaving out single studies: {found.check}.")
    else:
        flagged = list(found.check.flagged)
        said.append(
            f"Remarkable when left out: {listed(flagged)}." if flagged else "No single study is remarkable when left out."
        )
    return Reply(" ".join([*said, f"Other priors: {verdict_sensitivity(found).words}"]), "left-out")


@reply
def reporting_bias_results(found: Findings) -> Reply:
    names = [name for name in ("small_study_effect", "publication_probability") if name in found.summary.index]
    lines = [f"{name} {estimate(*found.summary.loc[name, ['mean', 'low', 'high']])}" for name in names]
    return Reply(
        f"{listed(lines)} (95 % intervals)." if lines else reporting_bias(found).words, "convergence" if lines else "model"
    )


# --- GRADE


@reply
def gradient(found: Findings) -> Reply:
    if not found.optima:
        return Reply(f"{NOT_DONE}: the model has no dose.")
    shapes = listed(f"{dose.column} ({dose.shape})" for dose in found.fit.model.doses)
    said = "; ".join(f"{column}: {best.verdict}" for column, best in found.optima.items())
    words = f"One hierarchical model of all rows, with dose as a quantity and not in categories: {shapes}. Verdicts: {said}."
    return Reply(" ".join([words, *data.caveats(found)]), "answer")


@reply
def confounding(found: Findings) -> Reply:
    if found.support is None:
        return Reply(f"{NOT_DONE}: the model has no dose.")
    pairs = [f"{one} with {other} (r = {r:.2f})" for one, other, r, *_ in found.support.pairs.itertuples(index=False)]
    lacking = [f"{rival} is not in the model" for _, rival in found.support.unmodelled]
    words = f"Doses that go together: {listed(pairs) or 'none'}{f'; {listed(lacking)}' if lacking else ''}."
    return Reply(f"{words} Confounding by what the table does not hold is {AUTHORS}.", "data")


@reply
def ecological(found: Findings) -> Reply:
    if not found.slopes:
        return Reply(f"{NOT_DONE}: the model has no dose.")
    said = []
    for column, each in found.slopes.items():
        if not isinstance(each, WithinAcross):
            said.append(f"{column}: {first_of(each)}")
            continue
        several = f"{each.several} of {each.studies} studies have several doses"
        said.append(
            f"{column}: slopes within and across trials {'are ' * (each.verdict == 'not clear')}{each.verdict} ({several})"
        )
    strata = " Strata are compared only across, never within trials." * data.has_strata(found)
    return Reply(f"{'; '.join(said).rstrip('.')}.{strata}", "slopes")


@reply
def consistency(found: Findings) -> Reply:
    slopes = found.fit.rows.slopes
    by_study = f"Effects of {listed(slopes)} vary by study. " if slopes else "In this fit no effect of a dose varies by study. "
    if isinstance(found.check, str):
        return Reply(f"{by_study}Leaving out single studies: {found.check}.", "left-out")
    moved = found.check.tables["left_out"]
    moved = moved[moved["changes"].astype(bool)] if len(moved) else moved
    changes = [f"{line.study} ({line.dose}{f', {line.group}' if line.group else ''})" for line in moved.itertuples()]
    return Reply(
        f"{by_study}A verdict changes without {listed(changes)}."
        if changes
        else f"{by_study}No verdict changes without any single study.",
        "left-out",
    )


@reply
def indirect_evidence(found: Findings) -> Reply:
    fields = reported(found.fit.trials)
    known = [name for name in ("phase", "site", "comparator", "modality") if name in fields and bool(fields[name].any())]
    spans = [f"{name}: {listed(sorted(found.table[name].dropna().astype(str).unique()))}" for name in known]
    lacking = [name for name in ("phase", "site", "modality") if name not in known]
    words = f" The table itself spans {'; '.join(spans)}." if spans else ""
    missing = f" {listed(lacking)}: {NOT_REPORTED}." if lacking else ""
    return Reply(f"What other evidence supports a gradient is {AUTHORS}.{words}{missing}", "data")
