"""`bayes_factors`: how much more probable the trials are under one model than under another, and how that depends on the priors."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from .caveats import fit_warnings
from .errors import StimdoseError
from .marginals import MarginalLikelihood, marginal_likelihood, require_density
from .model import Model
from .model_comparison import named_models
from .priors import Prior
from .sampling import Fit
from .stacking import require_same_data

FACTORS = (0.5, 1.0, 2.0)
"""The standard deviations of the priors of effects are multiplied by these."""
STEADY = 3.0
"""A Bayes factor that changes by more than this factor over FACTORS is said to depend on the priors."""
MEANING = "Bayes factors compare models together with their priors; wider priors of effects count against the model that has the effects"


@dataclass(frozen=True)
class BayesFactors:
    """fits: by name. evidence: marginal likelihoods by model and factor of the standard deviations of the priors of effects."""

    fits: dict[str, Fit]
    evidence: dict[str, dict[float, MarginalLikelihood]]

    @property
    def marginal_likelihoods(self) -> pd.DataFrame:
        """One line per model and factor: log, error (relative, of the marginal likelihood), method, refused."""
        records = [(name, factor, *vars(each).values()) for name, own in self.evidence.items() for factor, each in own.items()]
        return pd.DataFrame(records, columns=["model", "factor", "log", "error", "method", "refused"]).set_index(
            ["model", "factor"]
        )

    def table(self) -> pd.DataFrame:
        """One line per two models and factor, the same for both: bayes_factor, p(trials | first) / p(trials | second), its logarithm and its
        relative error; NaN where either has no marginal likelihood."""
        records = []
        for first, second in combinations(self.fits, 2):
            for factor in self.evidence[first]:
                one, two = (self.evidence[name][factor] for name in (first, second))
                log = one.log - two.log
                records.append((first, second, factor, np.exp(log), log, np.hypot(one.error, two.error)))
        names = ["first", "second", "factor", "bayes_factor", "log", "error"]
        return pd.DataFrame(records, columns=names).set_index(names[:3])

    @property
    def fit_warning(self) -> str:
        """The warnings of the fits that did not converge."""
        return fit_warnings(self.fits)

    @property
    def explanation(self) -> str:
        """Each Bayes factor with its dependence on the priors, in sentences."""
        lines = [self.fit_warning] * bool(self.fit_warning)
        for (first, second), part in self.table().groupby(["first", "second"], sort=False):
            by_factor = dict(zip(part.index.get_level_values("factor"), part["bayes_factor"], strict=True))
            if np.isnan(by_factor.pop(1.0, np.nan)):
                lines.append(f"{first} against {second}: no Bayes factor.")
                continue
            own = part.xs(1.0, level="factor").iloc[0]
            others = "; ".join(
                f"{_short(value)} with priors of effects {factor:g} times as wide" for factor, value in by_factor.items()
            )
            lines.append(
                f"{first} against {second}: Bayes factor {_short(own['bayes_factor'])} (relative error {own['error']:.0e}); {others}."
            )
            logs = part["log"].to_numpy()
            if np.isnan(logs).any() or np.ptp(logs) > np.log(STEADY):
                lines.append("It depends on the priors of effects: report it together with them.")
        refused = self.marginal_likelihoods["refused"]
        lines += [f"{name}, factor {factor:g}: {why}." for (name, factor), why in refused[refused != ""].items()]
        return "\n".join([*lines, f"{MEANING}."])


def _short(value: float) -> str:
    return "not known" if np.isnan(value) else f"{value:.3g}"


def bayes_factors(
    fits: Mapping[str, Fit] | Iterable[Fit], *, factors: tuple[float, ...] = FACTORS, seed: int | None = None, **settings: Any
) -> BayesFactors:
    """Bayes factors between models of the same trials, by `marginal_likelihood`, with their dependence on the priors of effects.

    fits: by name, or a list, named by their models. factors: the standard deviations of the priors of all effects (intercept, coefficients of
    doses and moderators) are multiplied by each, and the model is fitted again; 1 is always among them. seed, settings: of `Fit.refit`.

    Raises StimdoseError for fewer than two fits, for fits of different data, and where `marginal_likelihood` does.
    """
    named = named_models(fits, Fit)
    if bad := [factor for factor in factors if not 0 < factor < np.inf]:
        raise StimdoseError(f"factors are positive numbers, not {bad[0]!r}")
    require_same_data(named, "compared")
    for fit in named.values():
        require_density(fit)
    evidence: dict[str, dict[float, MarginalLikelihood]] = {}
    for name, fit in named.items():
        evidence[name] = {}
        for factor in sorted({1.0, *map(float, factors)}):
            own = fit if factor == 1 else fit.refit(priors=widened_effects(fit.model, factor), seed=seed, **settings)
            evidence[name][factor] = marginal_likelihood(own)
    return BayesFactors(named, evidence)


def widened_effects(model: Model, factor: float) -> dict[str, Prior]:
    """The priors of all effects, `factor` times as wide around where they are, as `Model.with_priors` takes them."""
    names = {"intercept"} | {f"{dose.column}_{name}" for dose in model.dose for name in dose.coefficients}
    names |= {f"{moderator.column}_effect" for moderator in model.moderator}
    own = model.replace(outcome_sd=1.0).priors()
    return {name: prior.widened(factor) for name, prior in own.items() if name in names}
