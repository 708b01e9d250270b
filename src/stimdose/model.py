"""Model: the spec of a dose-response model, a frozen value with a TOML form."""

from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pandas as pd
import tomli_w
from pydantic import BaseModel, Field, field_validator, model_validator

from .default_priors import (
    BETWEEN_STUDY,
    BETWEEN_STUDY_CORRELATION,
    BETWEEN_STUDY_SPREAD,
    CUTPOINT,
    PUBLICATION,
    RESIDUAL,
    SMALL_STUDY,
    WITHIN_STUDY,
)
from .errors import ModelError, nearest
from .files import write_text
from .group_terms import check_same_order, shown_by
from .parts import (
    RESERVED_NAMES,
    Dose,
    Intercept,
    Moderator,
    check_spread,
)
from .priors import Prior, PriorOrFalse
from .validity import Several, Spec, not_text

OF_TABLES = ("residual_sd", "pre_post_r", "sd_spread")
"""Priors that a model states, or leaves to their defaults, for what only some tables need."""


class Model(Spec):
    """A dose-response model.

    outcome_sd: size of one standard deviation of the outcome in the units of the effect. All priors on effects are stated in
        this unit. 1 for standardised effects; must be stated for any other measure.
    intercept: None anchors the model: zero dose, zero effect. Only contrasts with sham or add-on may be anchored.
    within_study: spread of the true effects of rows of one study around what the model gives them; False leaves it out, and rows of
        one study are then assumed to differ from that by sampling error alone.
    likelihood: "ordinal" makes the effect a latent one, of which the score after treatment is a level (see `ordinal`): rows are participants,
        effects are in standard deviations of the latent scale, and cutpoints are in the place of an intercept.
    score_levels: the levels of that score; by default those that the table has.
    residual_sd: prior of the standard deviation of participants around what the model gives them (default: see `residual_prior`); there
        is such a parameter where rows are participants.
    pre_post_r, sd_spread: priors of what missing="impute" draws besides doses, in place of the defaults of `unknowns`: the
        correlation of before and after, and the spread of log standard deviations between trials.
    study_effects: "student-t" lets single studies lie far from the others: N(0, between_study^2 / weight), weight ~ Gamma(df / 2, df / 2),
        df = student_t_df.
    between_study_by: a column whose levels have a `between_study` of their own, each that of all studies times
        exp N(0, between_study_spread^2). Where studies have several levels (outcomes), the effect of a study is a normal vector over these,
        every two of which correlate by `between_study_correlation`; rows of different levels then have no `within_study` besides.
    small_study: "pet" or "peese" adds a term for how small a study is (see `small_studies`), with the coefficient small_study_effect;
        curves are those of an infinitely large study.
    selection: "step": rows without a significant benefit were published with a relative `publication_probability` (see `selection`).
    """

    name: str
    description: str = ""
    outcome_sd: float | None = Field(None, gt=0)
    intercept: Intercept | None = None
    dose: Several[Dose] = ()
    moderator: Several[Moderator] = ()
    between_study: Prior = BETWEEN_STUDY
    within_study: PriorOrFalse = WITHIN_STUDY
    likelihood: Literal["normal", "ordinal"] = "normal"
    score_levels: Several[float] | None = None
    residual_sd: Prior | None = None
    pre_post_r: Prior | None = None
    sd_spread: Prior | None = None
    study_effects: Literal["normal", "student-t"] = "normal"
    student_t_df: float = Field(4.0, ge=1)
    between_study_by: str | None = None
    between_study_spread: Prior | None = None
    between_study_correlation: Prior | None = None
    small_study: Literal["pet", "peese"] | None = None
    small_study_effect: Prior | None = None
    selection: Literal["step"] | None = None
    publication_probability: Prior | None = None

    parts: ClassVar = {"dose": Dose, "moderator": Moderator, "intercept": Intercept}
    _numbers = field_validator("outcome_sd", "student_t_df", mode="before")(not_text)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        columns = [part.column for part in self.doses] + [part.column for part in self.moderator]
        twice = sorted({name for name in columns if columns.count(name) > 1})
        if twice:
            raise ValueError(f"used more than once: {', '.join(twice)}")
        if not self.dose and self.intercept is None:
            raise ValueError("a model needs an intercept or a dose")
        terms = [name for dose in self.doses for name in dose.groups] + list(self.intercept.groups if self.intercept else ())
        check_same_order(terms)
        groups = [column for name in terms for column in name.split(":")]
        groups += [moderator.column for moderator in self.moderator if not moderator.is_numeric]
        groups += [self.between_study_by] if self.between_study_by else []
        numeric = [dose.column for dose in self.doses] + [
            moderator.column for moderator in self.moderator if moderator.is_numeric
        ]
        variables = {*self.priors(), *(f"{dose.column}_typical" for dose in self.doses), "study_effect", "effect", "variance"}
        variables |= {
            "cutpoint",
            "score",
            "score_step",
            "within_study",
            "residual_sd",
            "pre_post_r",
            "sd_spread",
            "sd_true",
            "study_weight",
        }
        for column in dict.fromkeys([*groups, *numeric]):
            if column in RESERVED_NAMES | variables or set("/:*") & set(column):
                raise ValueError(f"{column!r} cannot be the name of a group, dose or moderator; rename the column")
            if column in groups and column in numeric:
                raise ValueError(f"{column!r} is used both as a number and as a group")
        for name in ("between_study", "within_study"):
            if (prior := getattr(self, name)) and not prior.is_positive:
                raise ValueError(f"{name} is a standard deviation: its prior is halfnormal, halfcauchy, lognormal or logt")
        if self.pre_post_r and self.pre_post_r.family != "correlation":
            raise ValueError(f"pre_post_r is a correlation: its prior is of that family, not {self.pre_post_r.family}")
        if self.sd_spread:
            check_spread(self.sd_spread)
        if self.residual_sd and self.residual_sd.family not in ("lognormal", "logt"):
            raise ValueError(
                "residual_sd is all that lies between people and the mean, and must stay away from zero: its prior is lognormal or "
                f"logt, not {self.residual_sd.family}"
            )
        self._check_robust()
        self._check_ordinal()
        if self.is_anchored:
            floating = [dose.column for dose in self.dose if not dose.has_true_zero]
            if floating:
                raise ValueError(f"{', '.join(floating)} has no zero dose to anchor at: give the model an intercept")
            if self.moderator:
                raise ValueError(
                    "an anchored model is zero at dose zero for everyone: give it an intercept, or let the dose vary with `by`"
                )
        return self

    def _check_robust(self) -> None:
        levels = {
            "between_study_spread": "between_study_by",
            "between_study_correlation": "between_study_by",
            "small_study_effect": "small_study",
            "publication_probability": "selection",
        }
        for prior, level in levels.items():
            if getattr(self, prior) and not getattr(self, level):
                raise ValueError(
                    f"{prior} has a prior, and the model has no such parameter: state {level}, or leave the prior out"
                )
        if self.between_study_spread:
            check_spread(self.between_study_spread)
        if (prior := self.between_study_correlation) and prior.family != "correlation":
            raise ValueError(f"between_study_correlation is a correlation: its prior is of that family, not {prior.family}")
        if (prior := self.publication_probability) and prior.family != "beta":
            raise ValueError(f"publication_probability lies between 0 and 1: its prior is beta, not {prior.family}")
        if wrong := [
            name for name, prior in self.priors().items() if prior.family == "beta" and name != "publication_probability"
        ]:
            raise ValueError(f"{wrong[0]} is no probability: its prior cannot be beta")
        if self.selection and self.study_effects != "normal":
            raise ValueError("selection needs normal study effects: what is published would depend on how far studies lie out")

    def _check_ordinal(self) -> None:
        if self.likelihood == "normal":
            if self.score_levels:
                raise ValueError(
                    "score_levels are those of an ordinal likelihood: state likelihood = 'ordinal', or leave them out"
                )
            return
        wrong = {
            "intercept (cutpoints are in its place; groups that differ in their level are a moderator)": self.intercept,
            "outcome_sd (effects are in standard deviations of the latent scale)": self.outcome_sd not in (None, 1.0),
            "residual_sd (it is 1 on the latent scale)": self.residual_sd,
            "selection": self.selection,
            "small_study": self.small_study,
            "Student-t study effects": self.study_effects != "normal",
        }
        wrong |= {f"effects of {dose.column} by study (state by_study = false)": dose.by_study for dose in self.dose}
        if found := [name for name, is_there in wrong.items() if is_there]:
            raise ValueError(f"an ordinal model has no {', no '.join(found)}")
        if self.score_levels and (len(self.score_levels) < 2 or (np.diff(self.score_levels) <= 0).any()):
            raise ValueError(f"score_levels are two numbers or more that rise, not {self.score_levels}")

    @property
    def is_explicit(self) -> bool:
        """Whether coefficients cannot be integrated out, and are sampled in PyMC."""
        return bool(self.selection) or self.likelihood == "ordinal"

    @property
    def studies_share_a_spread(self) -> bool:
        """Whether the effects of all studies have one normal prior."""
        return self.study_effects == "normal" and self.between_study_by is None

    @property
    def doses(self) -> tuple[Dose, ...]:
        """Every dose of the model; those that multiply another come after it."""
        return tuple(factor for dose in self.dose for factor in dose.factors)

    @property
    def ties(self) -> tuple[str, ...]:
        """Doses that a product rises with as soon as the other one works (see `Dose.ties`)."""
        return tuple(column for dose in self.dose for column in dose.ties)

    def shown_by(self, column: str) -> str | None:
        """The grouping that tables and figures of a dose show: combinations of columns where there are any, else the first."""
        part = next(dose for dose in self.dose if column in [factor.column for factor in dose.factors])
        return shown_by(tuple(name for factor in part.factors for name in factor.groups))

    @property
    def is_anchored(self) -> bool:
        return self.intercept is None and self.likelihood == "normal"

    def freed(self) -> "Model":
        """The same model where a rise means "more is better" and not only "treatment works": with an intercept where dose zero is tied
        to no effect, and with a power of the dose, which may fall, where a product is nothing without it.

        The intercept varies over the groups that the doses vary over, or a difference between groups would pass for a slope.
        """
        groups = tuple(dict.fromkeys(name for dose in self.doses for name in dose.groups))
        level = Intercept(by=groups or None) if self.is_anchored else self.intercept
        return self.replace(intercept=level, dose=tuple(dose.freed() for dose in self.dose))

    def replace(self, **fields: Any) -> "Model":
        """A copy with some fields changed, checked again."""
        return Model(**{name: getattr(self, name) for name in type(self).model_fields} | fields)

    def priors(self) -> dict[str, Prior]:
        """Every prior by posterior variable name, in the units of the table."""
        sd, found = self.outcome_sd or 1.0, {}
        if self.intercept:
            found["intercept"] = self.intercept.prior.scaled(sd)
            found |= {
                f"intercept_between_{group}": self.intercept.spread.scaled(1.0 if self.intercept.prior.is_positive else sd)
                for group in self.intercept.groups
            }
        for dose in self.dose:
            found |= dose.resolved_priors(sd)
        for moderator in self.moderator:
            found |= moderator.resolved_priors(sd)
        found["between_study"] = self.between_study.scaled(sd)
        if self.within_study:
            found["within_study"] = self.within_study.scaled(sd)
        if self.between_study_by:
            found[f"between_study_between_{self.between_study_by}"] = self.between_study_spread or BETWEEN_STUDY_SPREAD
            found["between_study_correlation"] = self.between_study_correlation or BETWEEN_STUDY_CORRELATION
        if self.small_study:
            found["small_study_effect"] = (self.small_study_effect or SMALL_STUDY).scaled(sd)
        if self.selection:
            found["publication_probability"] = self.publication_probability or PUBLICATION
        return found

    def residual_prior(self) -> dict[str, Prior]:
        """The prior of `residual_sd` by that name, in the units of the table: of a normal model that has participants among its rows."""
        return {"residual_sd": (self.residual_sd or RESIDUAL).scaled(self.outcome_sd or 1.0)}

    def cutpoint_prior(self) -> dict[str, Prior]:
        """The prior of the cutpoints by their name; it cannot be changed. Empty unless the model is ordinal."""
        return {"cutpoint": CUTPOINT} if self.likelihood == "ordinal" else {}

    def with_priors(self, priors: dict[str, Prior]) -> "Model":
        """The same model with other priors, by posterior variable name as in `priors`; those of effects in units of `outcome_sd`. A set of
        priors gives them: `load_prior_set("sceptical").for_model(model)`.

        Raises ModelError for names that the model does not have.
        """
        if wrong := [
            name for name, prior in priors.items() if not isinstance(prior, Prior) and (name, prior) != ("within_study", False)
        ]:
            raise ModelError(f"the prior of {wrong[0]!r} is a Prior, not {priors[wrong[0]]!r}")
        known = [*self.priors(), *OF_TABLES]
        if unknown := [name for name in priors if name not in known]:
            lines = [f"no prior {name!r}{nearest(name, known)}" for name in unknown]
            raise ModelError("\n  - ".join([f"model {self.name!r} does not have:", *lines, f"there are {', '.join(known)}"]))

        def changed(part, **places: str):
            fields = {field: priors[name] for field, name in places.items() if name in priors}
            return part.model_copy(update=fields)

        def with_own(dose: Dose) -> Dose:
            names = [name.removeprefix(f"{dose.column}_") for name in dose.resolved_priors(1.0)]
            own = {name: priors[f"{dose.column}_{name}"] for name in names if f"{dose.column}_{name}" in priors}
            times = {"times": with_own(dose.times)} if dose.times else {}
            return dose.model_copy(update={"priors": dose.priors | own} | times)

        own = ["between_study", "between_study_correlation", "within_study", *OF_TABLES]
        own += ["small_study_effect", "publication_probability"]
        fields: dict[str, Any] = {name: priors[name] for name in own if name in priors}
        if (spread := f"between_study_between_{self.between_study_by}") in priors:
            fields["between_study_spread"] = priors[spread]
        if self.intercept:
            spreads = [f"intercept_between_{group}" for group in self.intercept.groups if f"intercept_between_{group}" in priors]
            fields["intercept"] = changed(self.intercept, prior="intercept", spread=(spreads or ["intercept_between_"])[0])
        fields["moderator"] = tuple(
            changed(m, prior=f"{m.column}_effect", between_study=f"{m.column}_effect_between_study", spread=f"between_{m.column}")
            for m in self.moderator
        )
        return self.replace(dose=tuple(map(with_own, self.dose)), **fields)

    def as_dict(self) -> dict:
        """The spec as plain values, for TOML."""
        return _plain(self)

    def to_toml(self) -> str:
        """The spec as TOML; `load_model` of it gives an equal model."""
        return tomli_w.dumps(self.as_dict())

    def save(self, path: str | Path) -> None:
        write_text(Path(path), self.to_toml())


def _plain(part) -> dict:
    found = {}
    for name, field in type(part).model_fields.items():
        value = getattr(part, name)
        if value is None or (value in ("", (), {}) and not field.is_required()):
            continue
        if isinstance(value, Prior):
            value = value.as_dict()
        elif isinstance(value, BaseModel):
            value = _plain(value)
        elif isinstance(value, dict):
            value = {key: item.as_dict() if isinstance(item, Prior) else item for key, item in value.items()}
        elif isinstance(value, tuple):
            value = [_plain(item) if isinstance(item, BaseModel) else item for item in value]
        found[name] = value
    return found


def prior_table(model: Model) -> pd.DataFrame:
    """The table of priors a paper prints: parameter, prior, 95 % interval, and why."""
    return as_table(model.priors() | model.cutpoint_prior())


def as_table(priors: dict[str, Prior]) -> pd.DataFrame:
    """Priors by name as `prior_table` shows them."""
    with np.errstate(over="ignore"):  # of a prior so wide that an end is infinite
        rows = [
            {
                "parameter": name,
                "prior": str(prior),
                "low": prior.distribution.ppf(0.025),
                "high": prior.distribution.ppf(0.975),
                "why": prior.why,
            }
            for name, prior in priors.items()
        ]
    return pd.DataFrame(rows).set_index("parameter")
