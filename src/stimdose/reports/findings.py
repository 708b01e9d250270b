"""Everything that a report says of a fit, computed once."""

import json
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from ..checks import Check, check
from ..curves import curve, points
from ..dose_space import Support, support
from ..ecology import WithinAcross, within_across
from ..errors import ConvergenceWarning, StimdoseError
from ..funnels import residuals
from ..joint_optima import JointOptimum, joint_optimum
from ..named_priors import PriorSet
from ..optima import Optimum, default_delta, optimum
from ..predictive import study_effects
from ..prior_comparison import PriorComparison, as_set, compare_priors, named_sets
from ..priors import Prior
from ..sampling import Fit

SETS = ("weak", "sceptical")
OFF = "not done: it was turned off for this report"


@with_config(ConfigDict(extra="forbid", strict=True))
@dataclass(frozen=True)
class Options:
    """What a report was asked for. priors: sets by name, as plain values (see `sets_as_values`); title, delta: None if not stated."""

    priors: dict[str, dict]
    check: bool
    ecology: bool
    delta: float | None
    title: str | None

    def as_values(self) -> dict:
        return asdict(self)


@dataclass(frozen=True)
class Findings:
    """A fit, and everything that its report says of it. What could not be done is a sentence that says why.

    optima: by dose. joint: the best combination of every two doses that are multiplied, by their names. effects: see `study_effects`.
    support: which doses were tried together, or None without doses. residuals: effects, and what is left of them after the doses, by row.
    slopes: within and across trials, by dose.
    """

    fit: Fit
    options: Options
    optima: dict[str, Optimum]
    joint: dict[str, JointOptimum]
    effects: pd.DataFrame
    support: Support | None
    residuals: pd.DataFrame
    check: Check | str
    priors: PriorComparison | str
    slopes: dict[str, WithinAcross | str]

    @property
    def table(self) -> pd.DataFrame:
        """The rows as fitted."""
        return self.fit.trials.table

    @property
    def studies(self) -> int:
        return len(self.fit.rows.studies)

    @cached_property
    def summary(self) -> pd.DataFrame:
        return self.fit.summary()

    @cached_property
    def prior_table(self) -> pd.DataFrame:
        return self.fit.prior_table()

    @cached_property
    def imputed(self) -> pd.DataFrame:
        return self.fit.imputed()

    @cached_property
    def more_is_better(self) -> pd.DataFrame | None:
        return self.fit.more_is_better()

    def by(self, column: str) -> str | None:
        """The groups that the curves of a dose are shown by."""
        return self.fit.model.shown_by(column)

    def curves(self, column: str) -> tuple:
        """The mean curve of a dose, that of a new study, and the trials beside them."""
        by = self.by(column)
        mean, new = (curve(self.fit, column, by=by, kind=kind) for kind in ("mean", "new study"))
        return mean, new, points(self.fit, column, by=by)


def findings(fit: Fit, options: Options) -> Findings:
    """Everything that a report says of a fit. Raises StimdoseError where `delta` must be stated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # every number of such a fit says so
        return _findings(fit, options)


def _findings(fit: Fit, options: Options) -> Findings:
    model, delta = fit.model, options.delta
    if delta is None and model.doses:
        default_delta(model, fit.trials)
    pairs = [(dose.column, dose.times.column) for dose in model.dose if dose.times]
    return Findings(
        fit,
        options,
        {dose.column: optimum(fit, dose.column, by=model.shown_by(dose.column), delta=delta) for dose in model.doses},
        {f"{one} x {other}": joint_optimum(fit, one, other, delta=delta) for one, other in pairs},
        study_effects(fit, group=next(iter(fit.rows.levels), None)),
        support(fit) if model.doses else None,
        residuals(fit),
        _or_why(lambda: check(fit, delta=delta)) if options.check else OFF,
        _or_why(lambda: _compared(fit, options)) if options.priors else OFF,
        {dose.column: _slopes(fit, dose.column, options) for dose in model.doses},
    )


def _or_why(compute):
    """What is computed, or why it cannot be."""
    try:
        return compute()
    except StimdoseError as error:
        return f"not available for this fit: {error}"


def _compared(fit: Fit, options: Options) -> PriorComparison:
    sets = sets_of_values(options.priors)
    return compare_priors(fit, sets=sets, delta=options.delta, seed=int(fit.tree.attrs["seed"]))


def _slopes(fit: Fit, column: str, options: Options) -> WithinAcross | str:
    if not options.ecology:
        return OFF
    settings = json.loads(fit.tree.attrs["settings"])
    own = {name: settings[name] for name in ("draws", "tune", "chains", "cores", "target_accept")}
    seed, mixed = int(fit.tree.attrs["seed"]), settings["allow_mixed"]
    return _or_why(
        lambda: within_across(
            fit.model, fit.trials, column, delta=options.delta, seed=seed, allow_mixed=tuple(mixed), progress=False, **own
        )
    )


def sets_as_values(sets: Iterable | Mapping) -> dict[str, dict]:
    """Sets of priors as plain values, for a manifest: by name, a `PriorSet`, or priors by variable."""
    found = {}
    for name, one in (named_sets(sets) if sets else {}).items():
        if isinstance(one, Mapping):
            found[name] = {"by_variable": {key: prior.as_dict() for key, prior in one.items()}}
        else:
            entries = as_set(str(one) if isinstance(one, Path) else one)
            fields = entries.model_dump(exclude={"priors"}, exclude_defaults=True, mode="json")
            found[name] = {"set": fields | {"priors": {key: entry.as_dict() for key, entry in entries.priors.items()}}}
    return found


def options_of_values(values: dict) -> Options:
    """Options, of what `Options.as_values` gives. Raises StimdoseError for anything else."""
    try:
        found = TypeAdapter(Options).validate_json(json.dumps(values))
        sets_of_values(found.priors)
    except ValidationError as error:
        raise StimdoseError("; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())) from None
    except (AttributeError, KeyError, TypeError) as error:
        raise StimdoseError(f"priors: these are not sets of priors ({type(error).__name__}: {error})") from None
    return found


def sets_of_values(values: dict[str, dict]) -> dict:
    """Sets of priors, of what `sets_as_values` gives."""
    return {
        name: {key: Prior(**prior) for key, prior in one["by_variable"].items()}
        if "by_variable" in one
        else PriorSet(**one["set"])
        for name, one in values.items()
    }
