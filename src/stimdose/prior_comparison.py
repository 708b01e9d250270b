"""`compare_priors`: one model under several sets of priors, and what moves."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr

from .caveats import fit_warnings, marked
from .curves import curve
from .errors import StimdoseError
from .estimands import Estimand, best_table, change_table, doses_of, effects_table, estimands, in_sd
from .model import Model
from .named_priors import PriorSet, load_prior_set
from .optima import Optimum, default_delta
from .prior_influence import conflict, in_tails, overlap, population_priors, power_scaling
from .priors import Prior
from .reweighting import changed_priors, reweighted
from .sampling import Fit, batch
from .sampling import fit as fit_model
from .settings import checked_seed
from .study_scores import is_clear, score_table, study_scores, unreliable
from .trials import Trials

OWN = "reference"
"""The name of the priors that the model comes with."""
SAME, WEIGHTED, REFITTED = "the fit itself", "importance sampling", "refit"
BEST = ("log best dose", "best dose")
SHIFT = 0.5
"""A change of the estimand, in posterior standard deviations of the reference, that is named."""
STILL = f"nothing moves by more than {SHIFT:g} posterior sd"
ONE_NUMBER = "Differences in elpd are between priors of one model: they say which prior expects such studies, not which is right"


@dataclass(frozen=True)
class PriorComparison:
    """One model under several sets of priors.

    fits: by name of the set, the reference first. reference: its name. estimands: what each fit says of each dose, by set and dose.
    scores: by set, a DataFrame of elpd by study. methods: one line per set: how its posterior was found ("the fit itself", "importance
    sampling" of the reference's draws, or "refit"), pareto_k and ess of the importance weights, and the reason. remarks: sets that are meant
    for other effects than these.
    """

    fits: dict[str, Fit]
    reference: str
    estimands: dict[str, dict[str, Estimand]]
    scores: dict[str, pd.DataFrame]
    methods: pd.DataFrame
    seed: int
    remarks: tuple[str, ...] = ()

    @property
    def optima(self) -> dict[str, dict[str, Optimum]]:
        """The best dose as a posterior, with its verdict, by set and dose."""
        return {name: {column: each.optimum for column, each in own.items()} for name, own in self.estimands.items()}

    @property
    def curves(self) -> dict[str, dict[str, xr.DataArray]]:
        """Posterior draws of the curve (chain, draw, dose[, group]) by set and dose."""
        return {name: {column: each.curves for column, each in own.items()} for name, own in self.estimands.items()}

    @cached_property
    def prior_curves(self) -> dict[str, dict[str, xr.DataArray]]:
        """The same from the prior."""
        found = {}
        for name, own in self.curves.items():
            fit = self.fits[name]
            found[name] = {
                column: curve(fit, column, by=fit.model.shown_by(column), grid=draws[column].values, group="prior")
                for column, draws in own.items()
            }
        return found

    def table(self, prob: float = 0.95) -> pd.DataFrame:
        """One line per set, dose and group, led by the verdict: the best dose with its equal-tailed interval of probability `prob`, the effect
        there, the change of the log best dose against the reference (`change_table`) and how the posterior was found."""
        table = best_table(self.estimands, "set", prob)
        changes = self.changes().reset_index("quantity")
        changes = changes[changes["quantity"].isin(BEST)]
        table = table.join(changes[["change", "in_sd"]]).join(self.methods[["method"]], on="set")
        return marked(table, self.fits, "set")

    def effects(self, prob: float = 0.95) -> pd.DataFrame:
        """The mean effect at reference doses: one line per set, dose, group and reference dose (`at`)."""
        return marked(effects_table(self.estimands, "set", prob), self.fits, "set")

    def changes(self) -> pd.DataFrame:
        """How far each quantity moved from the reference, see `estimands.change_table`."""
        return marked(change_table(self.estimands, self.reference, "set"), self.fits, "set")

    def parameters(self, prob: float = 0.95) -> pd.DataFrame:
        """Every parameter of the population under each set: its prior, and mean, median and equal-tailed interval of its posterior."""
        records, ends = [], [(1 - prob) / 2, 0.5, (1 + prob) / 2]
        for name, fit in self.fits.items():
            values = fit.values()
            for parameter, prior in population_priors(fit).items():
                low, middle, high = np.quantile(values[parameter], ends)
                records.append((name, parameter, str(prior), values[parameter].mean(), middle, low, high))
        names = ["set", "parameter", "prior", "mean", "median", "low", "high"]
        return marked(pd.DataFrame(records, columns=names).set_index(names[:2]), self.fits, "set")

    def heterogeneity(self, prob: float = 0.95) -> pd.DataFrame:
        """The lines of `parameters` that are spreads: between studies, within, between groups."""
        table = self.parameters(prob)
        names = table.index.get_level_values("parameter")
        return table[names.str.contains("between_") | (names == "within_study")]

    @property
    def elpd(self) -> pd.DataFrame:
        """How well studies left out are predicted under each set, with the difference to the reference and its standard error."""
        return marked(score_table(self.scores, "set", self.reference), self.fits, "set")

    @cached_property
    def overlap(self) -> pd.DataFrame:
        """Overlap of prior and posterior, 0 to 1, one line per parameter and one column per set; see `prior_influence.overlap`."""
        return pd.DataFrame({name: overlap(fit) for name, fit in self.fits.items()})

    @cached_property
    def conflict(self) -> pd.DataFrame:
        """Whether each set of priors expected what the trials show: of `data` (`prior_influence.conflict`), and of `parameter`, its posterior
        under the reference (`prior_influence.in_tails`, not for the reference itself)."""
        found = {(name, "data"): conflict(fit, self.seed) for name, fit in self.fits.items()}
        others = {name: fit for name, fit in self.fits.items() if fit is not self.fits[self.reference]}
        found |= {(name, "parameter"): in_tails(fit, self.fits[self.reference]) for name, fit in others.items()}
        return pd.concat(found, names=["set", "of"])

    @cached_property
    def sensitivity(self) -> pd.DataFrame:
        """Power-scaling sensitivity under each set, of the population's parameters and of the best doses; see
        `prior_influence.power_scaling`."""
        found = {}
        for name, fit in self.fits.items():
            best = {f"best {column}": each.log_best for column, each in self.estimands[name].items()}
            found[name] = power_scaling(fit, best)
        return pd.concat(found, names=["set"])

    @property
    def fit_warning(self) -> str:
        """The warnings of the fits that did not converge."""
        return fit_warnings(self.fits)

    @property
    def explanation(self) -> str:
        """What moved and by how much, in sentences; verdicts first."""
        lines = [self.fit_warning] * bool(self.fit_warning) + self._about_verdicts() + self._about_changes() + self._about_elpd()
        conflicts = self.conflict[self.conflict["conflict"]].reset_index()
        for name, part in conflicts.groupby("set", sort=False):
            what = ", ".join(map(_unexpected, part.to_dict("records")))
            lines.append(f"{name}: in conflict with the trials, it did not expect {what}.")
        for method, part in self.methods[self.methods["method"] != SAME].groupby("method", sort=False):
            lines.append(f"Found by {method}: {', '.join(part.index)}.")
        return "\n".join([*lines, *(f"{remark}." for remark in self.remarks)])

    def _about_verdicts(self) -> list[str]:
        lines, verdicts = [], best_table(self.estimands, "set")["verdict"]
        for (column, group), part in verdicts.groupby(["dose", "group"], sort=False):
            what, by_word = f"{column}{f', {group}' if group else ''}", dict[str, list[str]]()
            for (name, *_), word in part.items():
                by_word.setdefault(word, []).append(str(name))
            if len(by_word) == 1:
                lines.append(f"{what}: the verdict is the same under all sets: {next(iter(by_word))}.")
            else:
                found = "; ".join(f"{word} under {', '.join(names)}" for word, names in by_word.items())
                lines.append(f"{what}: the verdict changes with the prior: {found}.")
        return lines

    def _about_changes(self) -> list[str]:
        lines, changes = [], self.changes().reset_index()
        for name in self.fits:
            own = changes[changes["set"] == name]
            if name == self.reference:
                continue
            if self.fits[name] is self.fits[self.reference]:
                lines.append(f"{name}: the same priors as the reference{self.methods.loc[name, 'reason']}.")
                continue
            if own.empty:
                lines.append(f"{name}: {self._moved_parameters(name)}.")
                continue
            best = own["quantity"].isin(BEST)
            largest = own[~best].sort_values("in_sd", key=abs).groupby("dose", sort=False).tail(1)
            moved = pd.concat([own[best], largest])
            moved = moved[moved["in_sd"].abs() >= SHIFT]
            lines.append(f"{name}: {'; '.join(map(_in_words, moved.to_dict('records'))) or STILL}.")
        return lines

    def _moved_parameters(self, name: str) -> str:
        """What a set moves in a model without doses."""
        here, there = self.fits[name].values(), self.fits[self.reference].values()
        shared = [parameter for parameter in population_priors(self.fits[name]) if parameter in there]
        moved = {p: in_sd(here[p], there[p]) for p in shared}
        changes = {p: here[p].mean() - there[p].mean() for p in shared if abs(moved[p]) >= SHIFT}
        return "; ".join(f"{p} by {change:+.2f}{_sds(moved[p])}" for p, change in changes.items()) or STILL

    def _about_elpd(self) -> list[str]:
        table = self.elpd
        others = table.drop(index=self.reference)
        if others.empty:
            return []
        found = [
            f"{name} {line['difference']:+.1f} (se {line['difference_se']:.1f}"
            f"{'' if is_clear(line['difference'], line['difference_se']) else ', indistinguishable'})"
            for name, line in others.iterrows()
        ]
        return [
            f"Difference in elpd to the reference: {'; '.join(found)}. {ONE_NUMBER}.",
            *(f"{line}." for line in unreliable(table)),
        ]


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"


def _sds(change: float) -> str:
    """A change in standard deviations of the reference, if it has any."""
    return f" ({change:+.1f} sd)" if np.isfinite(change) else ""


def _unexpected(line: dict) -> str:
    """A statistic that a prior did not expect, and what it did."""
    side = "so small" if line["observed"] < line["prior_low"] else "so large"
    expected = f"{line['prior_low']:.2g} to {line['prior_high']:.2g}"
    return f"{side} a {line['statistic']} ({line['observed']:.2g}, expected {expected}, p {_p(line['p'])})"


def _in_words(line: dict) -> str:
    where = f"{line['dose']}{f' ({line["group"]})' if line['group'] else ''}"
    if line["quantity"] == "log best dose":
        return f"the best {where} times {np.exp(line['change']):.2f}{_sds(line['in_sd'])}"
    return f"the {line['quantity']} of {where} by {line['change']:+.2f}{_sds(line['in_sd'])}"


def compare_priors(
    model: Model | Fit,
    trials: Trials | None = None,
    sets: Iterable | Mapping = ("weak", "sceptical"),
    *,
    reference: str = OWN,
    doses: Mapping | None = None,
    delta: float | None = None,
    exact: Literal["auto"] | bool = "auto",
    reweight: bool = True,
    seed: int | None = None,
    progress: bool = False,
    **settings: Any,
) -> PriorComparison:
    """One model under several sets of priors; nothing is compiled for another set.

    model: a model, with its trials; or a fit of it. sets: named sets (see `prior_sets`) or files, dicts of `Prior` by posterior variable name
        as `Model.with_priors` takes them, or objects with a `name` and `for_model`; or a dict of these by name. What a set does not state
        stays as in the model, and the model as it is ("reference") is compared too.
    reference: the set against which changes are measured. doses: reference doses by column, by default low, usual and high ones of the
        table. delta: as of `optimum`. exact: as of `leave_one_study_out`. reweight: whether draws of the model's own fit may stand for
        another prior where importance sampling allows it (see `reweighting.reweighted`); otherwise, and with False, it is fitted again.
    settings: of `fit` for a model, of `Fit.refit` for a fit.

    Raises StimdoseError for sets that are unknown, do not fit the model, or share a name; fits that did not converge carry the
    warning in every result.
    """
    seed = checked_seed(seed)
    named = named_sets(sets)
    base = model if isinstance(model, Fit) else None
    spec = base.model if base else model
    if not isinstance(spec, Model):
        raise StimdoseError(f"what is compared is a Model with its trials, or a Fit, not {model!r}")
    if (base is None) == (trials is None):
        raise StimdoseError(
            "state the trials of a model" if base is None else "a fit has its own trials: after it come only sets=[...]"
        )
    if reference not in (OWN, *named):
        raise StimdoseError(f"the reference is one of the sets {', '.join((OWN, *named))}, not {reference!r}")
    changes = {name: priors_of(one, spec) for name, one in named.items()}
    for priors in changes.values():
        spec.with_priors(priors)  # before any fit is made: sets must suit the model
    if delta is None and spec.doses:
        default_delta(spec, trials or base.trials)
    if base is None:
        base = fit_model(spec, trials, seed=seed, progress=progress, **settings)
        settings = {}
    fits, methods = _fits(base, changes, seed, reweight, settings)
    order = [reference, *(name for name in fits if name != reference)]
    fits = {name: fits[name] for name in order}
    at = doses_of(fits, doses)
    return PriorComparison(
        fits,
        reference,
        _of_each(fits, lambda fit: estimands(fit, at, delta=delta)),
        _of_each(fits, lambda fit: study_scores(fit, exact)),
        pd.DataFrame(methods, index=["method", "pareto_k", "ess", "reason"]).T.loc[order].rename_axis("set"),
        seed,
        _misused(named, base),
    )


def _misused(named: dict[str, object], fit: Fit) -> tuple[str, ...]:
    """A remark for each set that is meant for other effects than those of a fit."""
    found, measures = [], set(fit.trials.measure.split("+"))
    for name, one in named.items():
        meant = set(getattr(as_set(one), "measures", ())) if not isinstance(one, Mapping) else set()
        if meant and (others := sorted(measures - meant)):
            found.append(
                f"{name}: its priors are in units of {' or '.join(sorted(meant))}, and these effects are {', '.join(others)}"
            )
    return tuple(found)


def _of_each(fits: dict[str, Fit], compute) -> dict:
    """What is computed of each fit by name, once where sets have one fit."""
    found = {id(fit): compute(fit) for fit in {id(fit): fit for fit in fits.values()}.values()}
    return {name: found[id(fit)] for name, fit in fits.items()}


def _fits(
    base: Fit, changes: dict[str, dict], seed: int, reweight: bool, settings: dict
) -> tuple[dict[str, Fit], dict[str, tuple]]:
    """Fits by name of the set, and how each was found."""
    fits, methods, requests = {OWN: base}, {OWN: (SAME, np.nan, np.nan, "")}, {}
    for name, priors in changes.items():
        model = base.model.with_priors(priors)
        if not changed_priors(base.model, model):
            why = "" if priors else ", for it states none that this model has"
            fits[name], methods[name] = base, (SAME, np.nan, np.nan, why)
            continue
        found = reweighted(base, model, seed) if reweight else None
        if found and found.fit:
            fits[name], methods[name] = found.fit, (WEIGHTED, found.pareto_k, found.ess, "")
        else:
            requests[name] = base.request(priors=priors, seed=seed, **settings)
            numbers = (found.pareto_k, found.ess, found.reason) if found else (np.nan, np.nan, "as asked for")
            methods[name] = (REFITTED, *numbers)
    made = batch(list(requests.values()), progress=False) if requests else []
    fits |= dict(zip(requests, made, strict=True))
    return {name: fits[name] for name in (OWN, *changes)}, methods


def named_sets(sets: Iterable | Mapping) -> dict[str, object]:
    """Sets of priors by name. Raises StimdoseError for what is none, and for names that occur twice."""
    if isinstance(sets, str) or hasattr(sets, "for_model") or not isinstance(sets, Iterable):
        sets = [sets]
    if isinstance(sets, Mapping) and any(isinstance(value, Prior) for value in sets.values()):
        sets = [sets]
    sets = sets if isinstance(sets, Mapping) else [one for one in sets if not (isinstance(one, str) and one == OWN)]
    found = list(sets.items()) if isinstance(sets, Mapping) else [(_name(one, k), one) for k, one in enumerate(sets, 1)]
    names = [name for name, _ in found]
    faults = [f"{name!r} is the name of several sets" for name in dict.fromkeys(names) if names.count(name) > 1]
    faults += [f"{OWN!r} is the model's own set, which is always compared" for name in names if name == OWN]
    faults += [
        f"{name}: a set is a name, a file, a dict of `Prior` by variable, or has `for_model`, not {one!r}"
        for name, one in found
        if not (isinstance(one, str | dict) or hasattr(one, "for_model") or hasattr(one, "__fspath__"))
    ]
    if not found:
        faults = ["there are none to compare"]
    if faults:
        raise StimdoseError("\n  - ".join(["sets of priors:", *faults]))
    return dict(found)


def _name(one, k: int) -> str:
    if isinstance(one, Mapping):
        return f"set {k}"
    return str(getattr(one, "name", one)) if not hasattr(one, "__fspath__") else one.stem


def priors_of(one, model: Model) -> dict[str, Prior]:
    """The priors that a set changes in a model, by posterior variable name."""
    return dict(one) if isinstance(one, Mapping) else as_set(one).for_model(model)


def as_set(one) -> PriorSet:
    """A set that is one already, or by its name or file."""
    return one if hasattr(one, "for_model") else load_prior_set(one)
