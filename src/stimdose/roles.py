"""What each prior of a model is about, so that one set of priors serves every model."""

import re

from .columns import COLUMNS
from .model import Model
from .parts import Dose

EFFECT_ROLES = {
    "mean_effect": "the effect of the trials at a usual dose: the intercept of a model without doses; in an anchored model of one dose "
    "(linear, log-linear or of one power) its coefficient",
    "intercept": "the effect where every dose is at the zero of its shape",
    "effect": "the first coefficient of a dose, of either sign: the effect of its reference dose, or of its plateau",
    "gain": "the first coefficient of a dose where its prior is positive, such as the amplitude of a bell",
    "bend": "every further coefficient of a dose",
    "departure": "the amplitude of a Gaussian process: how far the curve strays from its level (lognormal)",
    "moderator": "the effect of a numeric moderator",
    "small_study": "what a small trial finds beyond an infinitely large one",
    "between_groups": "spread of effects between groups",
    "slope_between_study": "spread of the effects of doses and numeric moderators between studies",
    "between_study": "heterogeneity between studies",
    "within_study": "spread of rows within a study",
}
"""Roles of priors in units of `outcome_sd`, with their meaning."""

PARAMETER_ROLES = {
    "peak": "best dose of a bell",
    "width": "width of a bell",
    "width_below": "width of an asymmetric bell below its peak",
    "width_above": "width of an asymmetric bell above its peak",
    "steepness": "of the gamma shape",
    "ed50": "dose of half the plateau",
    "hill": "steepness of the sigmoid Emax",
    "scale": "dose of 63 % of the plateau",
    "plateau": "dose at which the plateau begins",
    "lengthscale": "of a Gaussian process",
    "share": "of the rise of a monotone curve, by knot",
    "growth": "by what factor a power of the dose grows for every e-fold dose",
}
"""Non-linear parameters by name (lognormal); each also as `<dose column>_<name>`."""

ROLES = {
    **EFFECT_ROLES,
    **PARAMETER_ROLES,
    "nonlinear": "every parameter of the list above (lognormal)",
    "factor_between_groups": "spread between groups of what differs by a factor (of its logarithm), or of waves",
    "between_study_correlation": "correlation between the effects of one study on several outcomes",
    "publication": "probability that a trial without a significant benefit is published, relative to one with it (beta)",
    "wave": "weights of the waves of a Gaussian process: standard normal by construction",
    "true_dose": "a dose printed as an interval, or typical of a modality (lognormal)",
    "dose_spread": "spread of log doses where missing ones are imputed",
}

DOSE_ROLES = {f"{column}_{name}" for column, known in COLUMNS.items() if known.kind == "dose" for name in PARAMETER_ROLES}
"""Parameters of the doses of the vocabulary: a set may name them whether or not a model has them."""


def roles(model: Model) -> dict[str, tuple[str, ...]]:
    """The roles of every prior of a model by posterior variable name, the more specific ones first."""
    found: dict[str, tuple[str, ...]] = {
        "between_study": ("between_study",),
        f"between_study_between_{model.between_study_by}": ("factor_between_groups",),
        "between_study_correlation": ("between_study_correlation",),
        "within_study": ("within_study",),
        "small_study_effect": ("small_study",),
        "publication_probability": ("publication",),
    }
    if model.intercept:
        found["intercept"] = ("intercept",) if model.dose else ("mean_effect", "intercept")
        kind = "factor_between_groups" if model.intercept.prior.is_positive else "between_groups"
        found |= {f"intercept_between_{group}": (kind,) for group in model.intercept.groups}
    for dose in model.doses:
        found |= {f"{dose.column}_{name}": _of_dose(dose, name) for name in dose.parameter_names}
        if model.is_anchored and len(model.doses) == len(dose.coefficients) == 1 and not dose.basis.nonlinear:
            only = f"{dose.column}_{dose.coefficients[0]}"
            found[only] = ("mean_effect", *found[only])
    for moderator in model.moderator:
        column = moderator.column
        found |= {f"{column}_effect": ("moderator",), f"between_{column}": ("between_groups",)}
        found[f"{column}_effect_between_study"] = ("slope_between_study",)
    return {name: found[name] for name in model.priors()}


def _of_dose(dose: Dose, name: str) -> tuple[str, ...]:
    parameter, _, group = name.partition("_between_")
    if group == "study":
        return ("slope_between_study",)
    if group:
        additive = parameter in dose.coefficients and not dose.prior(parameter).is_positive
        return ("between_groups" if additive else "factor_between_groups",)
    if name in ("true", "spread"):
        return ("true_dose" if name == "true" else "dose_spread",)
    if name in dose.basis.nonlinear:
        is_effect = name in dose.basis.on_effect_scale
        return ("departure",) if is_effect else (re.sub(r"_\d+$", "", name), "nonlinear")
    if not dose.basis.named:
        return ("wave",)
    if name != dose.coefficients[0]:
        return ("bend",)
    return ("gain" if dose.prior(name).is_positive else "effect",)
