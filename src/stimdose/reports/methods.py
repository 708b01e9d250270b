"""The methods paragraph of a paper, from the fit: this model, these priors and why; and the last section of the report."""

import json
import re

import pandas as pd

from ..diagnosis import ESS_MIN, RHAT_MAX
from ..ecology import WithinAcross
from ..sentences import unit_of
from ..verdicts import CERTAINTY
from . import data, model
from .answers import SYNTHETIC
from .findings import Findings
from .parts import Section, Table, counted, ended, listed, text
from .references import cited

MARKDOWN = "\\`*_[]<>#&~^$"
"""Characters that Markdown may read as commands."""


def markdown(words: str) -> str:
    """Text that Markdown shows as it is, also at the start of a line."""
    escaped = " ".join("".join(f"\\{char}" if char in MARKDOWN else char for char in words).split())
    return re.sub(r"^(\d*)([-+.):=])", r"\1\\\2", escaped)  # the start of a list, or of a rule


def paragraphs(found: Findings) -> dict[str, list[str]]:
    """The methods in plain text, paragraphs by heading."""
    return {
        "Data": _data(found),
        "Model": model.described(found) + ([found.fit.model.description] if found.fit.model.description else []),
        "Priors": _priors(found),
        "Computation": [
            model.sampling(found),
            f"Chains were called converged if R-hat was at most {RHAT_MAX:g} and the effective sample size, of the centre and of the tails, at "
            f"least {ESS_MIN}, for every parameter.",
            ended(f"The fit {found.fit.diagnosis.message}"),
        ],
        "Verdicts": _verdicts(found),
        "Checks and sensitivity": _checks(found),
        "Software": [f"Analyses used {_versions(found)}."],
    }


def _data(found: Findings) -> list[str]:
    trials = found.fit.trials
    rules = data.ledger(trials.audit())
    computed = [
        f"{name}: {line.formula}{f' ({line.assumption})' if line.assumption else ''}, {counted(line.rows, 'row')}"
        for name, line in zip(rules.index, rules.itertuples(), strict=True)
    ]
    dropped = f"{counted(len(trials.dropped), 'row')} left out." if trials.dropped else "No row was left out."
    return [
        *[SYNTHETIC] * data.is_synthetic(found),
        data.described(found),
        *data.caveats(found),
        *data.remarks(found),
        *data.mixed(found),
        f"On reading the table, the following was computed, filled in or assumed: {'; '.join(computed)}."
        if computed
        else "Nothing was computed or assumed on reading the table.",
        f"{data.filled_in(found)} {dropped}",
    ]


def _priors(found: Findings) -> list[str]:
    lines = [
        f"{name}: {line['prior']} (95 % interval {line['low']:.3g} to {line['high']:.3g}); {line['why'] or 'no reason is stated'}."
        for name, line in found.prior_table.iterrows()
    ]
    return ["Priors, in the units of the table, were:", *lines]


def _verdicts(found: Findings) -> list[str]:
    if not found.optima:
        return ["The model has no dose, and no best dose was sought."]
    freed = (
        " The model ties the effect to zero at dose zero, or multiplies doses; it was fitted again without that, and verdicts that do not hold "
        "there were held back."
        if found.more_is_better is not None
        else ""
    )
    delta = f"{next(iter(found.optima.values())).delta:g} {unit_of(found.effects)}"
    return [
        "Within the range of doses tried, the dose with the largest effect was found in every posterior draw. It was called identified "
        "only if it had been tried and the effect there exceeded that at both ends of the range by more than the smallest difference that "
        f"matters, {delta}, with a probability of at least {CERTAINTY:g}. The effect was called rising (falling) if that at the highest dose "
        "exceeded (fell short of) that at the lowest by more than this difference with that probability and the largest effect was at that "
        "end of the range in at least half of the draws, and flat if, with that probability, no two doses differed by more. Verdicts that "
        "the prior alone gives were held back, and so were those on a dose that goes along, across trials, with another that is not in the "
        f"model.{freed}"
    ]


def _checks(found: Findings) -> list[str]:
    lines = []
    if isinstance(found.check, str):
        lines.append(f"Checks of the fit against its trials, and leaving out single studies: {found.check}.")
    else:
        methods = found.check.tables["studies"]["method"].value_counts()
        how = listed(f"{name} ({counted(int(n), 'study', 'studies')})" for name, n in methods.items())
        lines.append(
            "Replicated trials by other studies were compared with those of the table, each study with what the others predict, and the "
            f"answers were found again without each study, by {how}."
        )
    if isinstance(found.priors, str):
        lines.append(f"Sensitivity to the priors: {found.priors}.")
    else:
        how = [f"{name} ({line['method']})" for name, line in found.priors.methods.iterrows() if name != found.priors.reference]
        lines.append(f"The answers were found again under other priors: {listed(how)}.")
    for column, each in found.slopes.items():
        if isinstance(each, WithinAcross):
            lines.append(
                f"The slope of {column} within trials was compared with that across trials, by adding the mean dose of each study."
            )
    return lines


def _versions(found: Findings) -> str:
    return listed((f"{name} {version}" for name, version in json.loads(found.fit.tree.attrs["versions"]).items()), 99)


def as_markdown(found: Findings) -> str:
    """`methods.md`: every text of a table or a model escaped."""
    lines = [
        f"# Methods: {markdown(found.fit.model.name)}",
        "",
        "Written from the fit and ready to edit: say also why you asked, and how studies were chosen.",
        "",
    ]
    for heading, parts in paragraphs(found).items():
        lines += [f"## {heading}", "", *(line for part in parts for line in (markdown(part), ""))]
    lines += ["## References", "", *(f"{k}. {markdown(one)}" for k, one in enumerate(cited(found), 1))]
    return "\n".join(lines) + "\n"


def section(found: Findings) -> Section:
    """Software, versions, seed and references; the methods in words are in `methods.md`."""
    attrs = found.fit.tree.attrs
    versions = pd.DataFrame({"version": json.loads(attrs["versions"])}).rename_axis("software")
    return Section(
        "software",
        (
            *text(
                f"Seed {attrs['seed']}; table {attrs['trials_sha256']} (SHA-256). Everything here follows from manifest.json and table.json: "
                "`stimdose rerun manifest.json -o again` makes it once more and says whether every number agrees.",
                "methods.md describes the analysis in sentences, ready to edit.",
            ),
            Table("versions", versions, "Software of the fit"),
            *text("References", *cited(found)),
        ),
    )
