"""What a fit replies to the items of checklists; each reply is computed, and points to the section with the numbers."""

import json
from collections.abc import Callable
from typing import NamedTuple

from .. import default_priors as defaults
from ..manifest import FROM_NOTHING, started
from ..priors import Prior
from ..sentences import about_other_priors, name_words, unit_of
from ..verdicts import CERTAINTY
from . import data, model
from .findings import Findings
from .parts import counted, ended, listed, sentences

AUTHORS = "for the authors to say: no table, model or fit holds it"
NOT_REPORTED = "not reported by the tables"
NOT_DONE = "not done"
DEFAULT_REASONS = tuple(prior.why for prior in vars(defaults).values() if isinstance(prior, Prior))
"""By its reason a prior is known as a default: models that are shipped state these reasons for what they take from there."""


class Reply(NamedTuple):
    """A reply to one item, and the key of the section that it points to ("" if there is none)."""

    words: str
    section: str = ""


REPLIES: dict[str, Callable[[Findings], Reply]] = {}
"""By name, as the items of checklists name them."""


def reply(function: Callable[[Findings], Reply]) -> Callable[[Findings], Reply]:
    REPLIES[function.__name__] = function
    return function


@reply
def for_authors(found: Findings) -> Reply:
    return Reply(AUTHORS)


@reply
def goal(found: Findings) -> Reply:
    doses = [name_words(column) for column in found.optima]
    what = (
        f"how the effect depends on {listed(doses)}, and at which dose it is largest"
        if doses
        else "the mean effect and its spread"
    )
    said = f" The model is described as: {found.fit.model.description}" if found.fit.model.description else ""
    return Reply(f"The model answers {what}; the purpose behind it is {AUTHORS}.{said}", "answer")


@reply
def variables(found: Findings) -> Reply:
    spec, doses = found.fit.model, list(found.optima)
    by = [f"{counted(len(doses), 'dose')} ({listed(doses)})"] * bool(doses)
    by += [f"{counted(len(spec.moderator), 'moderator')} ({listed(part.column for part in spec.moderator)})"] * bool(
        spec.moderator
    )
    return Reply(f"{data.described(found)} Predicted from {' and '.join(by) or 'the level alone'}.", "data")


@reply
def likelihood(found: Findings) -> Reply:
    return Reply(" ".join(model.described(found)), "model")


@reply
def prior_list(found: Findings) -> Reply:
    return Reply(f"{counted(len(found.prior_table), 'prior')}, each with its 95 % interval, in the table of priors.", "model")


@reply
def prior_reasons(found: Findings) -> Reply:
    lacking = model.unexplained(found)
    return Reply(
        f"{counted(len(found.prior_table), 'prior')} in the table of priors{lacking or ', each with its reason'}.", "model"
    )


@reply
def formula(found: Findings) -> Reply:
    shapes = listed(dict.fromkeys(dose.shape for dose in found.fit.model.doses))
    return Reply(f"The whole model as a file{f', with the formula of each shape ({shapes})' if shapes else ''}.", "model")


@reply
def prior_predictive(found: Findings) -> Reply:
    if isinstance(found.check, str):
        return Reply(found.check, "checks")
    table = found.check.tables["prior_curves"]
    if not len(table):
        return Reply(f"{NOT_DONE}: the check is of curves, and the model has no dose.", "checks")
    shares = [f"{100 * line.share_implausible:.0f} % along {column}" for column, line in table.iterrows()]
    return Reply(f"Share of curves from the priors that exceed what is plausible: {listed(shares)}.", "checks")


@reply
def software(found: Findings) -> Reply:
    versions = json.loads(found.fit.tree.attrs["versions"])
    named = [f"{name} {versions[name]}" for name in ("stimdose", "nutpie", "numba", "pymc", "python") if name in versions]
    return Reply(f"{listed(named)}; all versions are listed.", "software")


@reply
def convergence(found: Findings) -> Reply:
    return Reply(ended(f"The fit {found.fit.diagnosis.message}"), "convergence")


@reply
def resolution(found: Findings) -> Reply:
    ess = found.fit.diagnosis.table[["ess_bulk", "ess_tail"]].min(axis=1)
    best = [
        f"{column} {each.diagnosis.table[['ess_bulk', 'ess_tail']].min(axis=None):.0f}" for column, each in found.optima.items()
    ]
    derived = f"; of what is derived from curves, {listed(best)}" if best else ""
    return Reply(f"Effective sample size at least {ess.min():.0f} ({ess.idxmin()}) of the parameters{derived}.", "convergence")


@reply
def not_mcmc(found: Findings) -> Reply:
    parts = (
        ""
        if model.is_explicit(found)
        else " Gaussian coefficients and study effects were integrated out, and drawn afterwards given the rest."
    )
    return Reply(f"Not applicable: draws were made by MCMC.{parts}", "convergence")


@reply
def method(found: Findings) -> Reply:
    return Reply(model.sampling(found), "convergence")


@reply
def posterior_predictive(found: Findings) -> Reply:
    if isinstance(found.check, str):
        return Reply(found.check, "checks")
    return Reply(f"The model {found.check.verdict}." if found.fit.diagnosis.converged else f"{found.check.fit_warning}", "checks")


@reply
def estimates(found: Findings) -> Reply:
    count = sum(len(best.verdicts) for best in found.optima.values())
    what = counted(count, "dose with the largest effect", "doses with the largest effect")
    best = f"; median and 95 % interval of {what}, in the files of their tables" if count else ""
    words = f"Mean, standard deviation and 95 % interval of {counted(len(found.summary), 'parameter')}{best}."
    return Reply(words if found.fit.diagnosis.converged else f"{words} The fit did not converge.", "convergence")


@reply
def bayes_factors(found: Findings) -> Reply:
    return Reply(f"{NOT_DONE}: this report uses no Bayes factors.")


@reply
def decision(found: Findings) -> Reply:
    if not found.optima:
        return Reply("No decision is made: the model has no dose.")
    said = [f"{column}: {best.verdict}" for column, best in found.optima.items()]
    return Reply(
        f"A verdict on each dose, given from a probability of {CERTAINTY:g} ({'; '.join(said)}). No treatment is recommended.",
        "answer",
    )


@reply
def loss(found: Findings) -> Reply:
    if not found.optima:
        return Reply("No decision is made: the model has no dose.")
    return Reply("No loss function is used: verdicts are by probability.", "answer")


@reply
def rope(found: Findings) -> Reply:
    if not found.optima:
        return Reply("No decision is made: the model has no dose.")
    delta = next(iter(found.optima.values())).delta
    origin = "as stated" if found.options.delta is not None else "the default of 0.1 standard deviations of the outcome"
    return Reply(f"Differences in effect below {delta:g} {unit_of(found.effects)} do not matter ({origin}).", "answer")


@reply
def prior_sensitivity(found: Findings) -> Reply:
    if isinstance(found.priors, str):
        return Reply(found.priors, "priors")
    about = [line for line in sentences(found.priors.explanation) if not line.startswith(("Difference in elpd", "Found by"))]
    return Reply(" ".join(about), "priors")


@reply
def default_priors(found: Findings) -> Reply:
    table = found.prior_table
    own = listed(table.index[table["why"].isin(DEFAULT_REASONS)], len(table))
    used = f"Defaults of stimdose stand for {own}" if own else "No prior has the reason of a default"
    if isinstance(found.priors, str):
        return Reply(f"{used}. Other priors: {found.priors}.", "priors")
    others = [name for name in found.priors.fits if name != found.priors.reference]
    return Reply(f"{used}; all are compared with the sets {listed(others)}.", "priors")


@reply
def verdict_sensitivity(found: Findings) -> Reply:
    if isinstance(found.priors, str):
        return Reply(found.priors, "priors")
    if not found.optima:
        return Reply("No decision is made: the model has no dose.", "priors")
    said = [
        f"{column}{f', {group}' if group else ''}: {about_other_priors(found.priors, column, group)}"
        for column, best in found.optima.items()
        for group in best.verdicts
    ]
    return Reply(" ".join(said), "priors")


@reply
def versions(found: Findings) -> Reply:
    return software(found)


@reply
def manifest(found: Findings) -> Reply:
    how = started(found.fit)
    seed = found.fit.tree.attrs["seed"]
    words = f"manifest.json holds model, seed ({seed}), settings and hashes; `stimdose rerun` makes everything again"
    return Reply(
        f"{words}{'' if how == FROM_NOTHING else f', within Monte Carlo error, for these draws came {how}'}.", "software"
    )


@reply
def data_file(found: Findings) -> Reply:
    return Reply(
        f"table.json and tables/trials.csv hold the {counted(len(found.table), 'row')} as fitted (SHA-256 {found.fit.trials.fingerprint[:12]}).",
        "software",
    )


@reply
def draws_file(found: Findings) -> Reply:
    return Reply("fit.nc holds all draws of posterior, prior and replicates.", "software")
