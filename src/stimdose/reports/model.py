"""The model with its priors and their reasons, and whether the sampler converged."""

import inspect
import json
from functools import partial

import numpy as np

from .. import figures
from ..diagnosis import ESS_MIN, RHAT_MAX
from ..doses import short
from ..model import Model
from ..roles import EFFECT_ROLES, roles
from ..shapes import SHAPES
from .findings import Findings
from .parts import Block, Figure, Section, Table, counted, ended, listed, text

CHAINS = (
    f"r hat: whether the chains agree, at most {RHAT_MAX:g}; ess: how many independent draws they are worth, for the centre (bulk) and the "
    f"tails, at least {ESS_MIN}"
)
PANELS = 24
"""The figure of priors shows so many parameters, the first."""


def section(found: Findings) -> Section:
    """What was assumed."""
    note = f"low, high: 95 % interval of the prior{unexplained(found)}"
    return Section(
        "model",
        (
            *text(found.fit.model.description, *described(found)),
            *text(*formulas(found.fit.model), kind="code"),
            Table("priors", found.prior_table, "Priors, each with its reason", note),
            *text("The model as a file:"),
            *text(found.fit.model.to_toml(), kind="code"),
        ),
    )


def unexplained(found: Findings) -> str:
    """How many priors have no reason, after a semicolon; "" if all have one."""
    table = found.prior_table
    lacking = list(table.index[table["why"].fillna("").str.strip() == ""])
    return f"; no reason is stated for {listed(lacking)}" if lacking else ""


def formulas(model: Model) -> list[str]:
    """The formula of each shape, as the shape documents it."""
    return [f"{dose.column}: {dose.shape}\n{inspect.getdoc(SHAPES[dose.shape])}" for dose in model.doses]


def described(found: Findings) -> list[str]:
    """The model in sentences, made of what it states."""
    return [likelihood(found), mean(found.fit.model), heterogeneity(found), *robust(found.fit.model)]


def likelihood(found: Findings) -> str:
    model, rows = found.fit.model, found.fit.rows
    if model.likelihood == "ordinal":
        return (
            "The score after treatment is ordinal: a cumulative probit model of its levels, whose latent benefit is the mean effect below "
            "and that of the study, in standard deviations of a person around it."
        )
    covariance, people = found.fit.trials.covariance(), rows.is_participant
    correlated = bool((np.abs(covariance - np.diag(np.diag(covariance))) > 0).any())
    how = "correlated within studies as it states" if correlated else "independent between rows"
    errors = f"Sampling errors are normal with the variances of the table, {how}"
    unknown = (
        "; standard deviations or correlations of before and after that are not printed are parameters" if rows.unknowns else ""
    )
    own = "Rows that are participants vary around the mean with a standard deviation of their own (residual_sd), without sampling error."
    return " ".join([f"{errors}{unknown}."] * (not people.all()) + [own] * bool(people.any()))


def mean(model: Model) -> str:
    parts = []
    if model.intercept:
        parts.append(f"an intercept{_by(model.intercept.groups)}")
    for dose in model.dose:
        what = f"{dose.column} ({dose.shape})"
        if dose.times:
            what += f" multiplied by {dose.times.column} ({dose.times.shape})"
        parts.append(what + _by(tuple(dict.fromkeys(name for part in dose.factors for name in part.groups))))
    parts += [f"the moderator {moderator.column}" for moderator in model.moderator]
    tied = " At dose zero the effect is zero." if model.is_anchored else ""
    return (
        f"The mean effect is the sum of {listed(parts, 12)}.{tied}"
        if len(parts) > 1
        else f"The mean effect is {parts[0]}.{tied}"
        if parts
        else ""
    )


def _by(groups: tuple[str, ...]) -> str:
    return f", which differs between groups of {listed(groups)} (partial pooling)" if groups else ""


def heterogeneity(found: Findings) -> str:
    model, rows = found.fit.model, found.fit.rows
    levels = ["between studies" + (f" by {model.between_study_by}" if model.between_study_by else "")]
    levels += ["between rows of one study"] if rows.has_within_study else []
    levels += [f"in the effect of {listed(rows.slopes)} between studies"] if rows.slopes else []
    form = "Student-t" if model.study_effects == "student-t" else "normal"
    return f"True effects vary {listed(levels)}; study effects are {form}."


def robust(model: Model) -> list[str]:
    found = []
    if model.small_study:
        found.append(
            f"Small-study effects are modelled ({model.small_study.upper()}); curves are those of an infinitely large study."
        )
    if model.selection:
        found.append("Publication that depends on significance is modelled (a step function).")
    return found


def convergence(found: Findings) -> Section:
    """How the posterior was sampled, and whether the chains agree."""
    check = found.fit.diagnosis
    table = check.table.rename_axis("quantity")
    blocks: list[Block] = [
        *text(sampling(found)),
        *text(ended(f"The fit {check.message}"), kind="plain" if check.converged else "warning"),
        *text(
            *[
                f"{column}: the best dose did not converge ({best.verdict})."
                for column, best in found.optima.items()
                if best.diagnosis.failing
            ],
            kind="warning",
        ),
        Table(
            "parameters",
            found.summary.rename_axis("parameter"),
            "Posterior of every parameter of the population",
            f"low, high: 95 % interval; {CHAINS}",
        ),
        *_priors(found),
        Table(
            "convergence", table, "R-hat and effective sample size of parameters and best doses", ended(CHAINS), is_folded=True
        ),
    ]
    return Section("convergence", tuple(blocks))


def _priors(found: Findings) -> list[Figure]:
    """Prior and posterior of the parameters of the population, as many as fit on a page."""
    tree, table, known = found.fit.tree, found.summary, roles(found.fit.model)
    shown = [name for name in known if name in tree["prior"] and tree["posterior"][name].ndim == 2][:PANELS]
    unit = found.effects.attrs["effect_label"].partition(" (")[0]
    units = {name: unit for name in shown if known[name][0] in EFFECT_ROLES}
    alt = "Prior and posterior densities. Posterior means with 95 % intervals: " + "; ".join(
        f"{name} {short(line['mean'])} [{short(line['low'])} to {short(line['high'])}]"
        for name, line in table.loc[shown].iterrows()
    )
    draw = partial(figures.priors, *(tree[group].dataset[shown] for group in ("prior", "posterior")), units=units)
    return [Figure("priors", draw, "What the trials added to the priors", f"{alt}.")] if shown else []


def is_explicit(found: Findings) -> bool:
    """Whether nothing was integrated out."""
    return not json.loads(found.fit.tree.attrs["settings"])["integrate"]


def sampling(found: Findings) -> str:
    """How draws were made."""
    attrs = found.fit.tree.attrs
    settings = json.loads(attrs["settings"])
    draws = (
        f"{counted(settings['chains'], 'chain')} of {settings['draws']:,} draws after {settings['tune']:,} of tuning, target acceptance "
        f"{settings['target_accept']:g}"
    )
    if "reweighted" in attrs:
        return f"These are draws of a fit under other priors, chosen by importance weights; that fit had {draws}."
    how = "everything sampled explicitly" if is_explicit(found) else "Gaussian coefficients and study effects integrated out"
    return f"Hamiltonian Monte Carlo (NUTS, nutpie {json.loads(attrs['versions']).get('nutpie', '')}), {how}: {draws}; seed {attrs['seed']}."
