"""Model: the spec of a dose-response model, a frozen value with a TOML form."""

from pathlib import Path
from typing import Annotated

import pandas as pd
import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, WrapValidator, model_validator

from .columns import COLUMNS
from .errors import ModelError, nearest
from .priors import Prior
from .shapes import SHAPES, Shape

_BETWEEN_STUDY = Prior(
    "halfnormal", sigma=0.5, why="heterogeneity of standardised effects between trials is rarely above 1 (Roever et al. 2021)"
)
_WITHIN_STUDY = Prior("halfnormal", sigma=0.25, why="rows of one trial differ less than trials do")
_INTERCEPT = Prior(
    "normal", mu=0.0, sigma=1.0, why="mean effect: 95 % within two standard deviations of the outcome, either sign"
)
_SPREAD = Prior(
    "halfnormal", sigma=0.3, why="groups differ by less than the effect itself; with two or three groups this prior decides"
)
_LOG_SPREAD = Prior(
    "halfnormal",
    sigma=0.3,
    why="groups' doses rarely differ by more than a factor of two; with two or three groups this prior decides",
)
_DOSE_SPREAD = Prior(
    "halfnormal",
    sigma=0.75,
    why="missing doses: the log doses of a modality have a standard deviation of 0.5 to 1.2 in published tables, a factor of 1.6 to 3.3",
)
_STUDY_SPREAD = Prior("halfnormal", sigma=0.25, why="dose effects of trials differ by less than the effect itself")
_MODERATOR = Prior("normal", mu=0.0, sigma=0.5, why="effect of a moderator, 95 % within one standard deviation of the outcome")


RESERVED_NAMES = {"study", "row", "chain", "draw", "bound", "group"}
"""Names of dimensions: no group, dose or moderator can be called so."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _check_spread(spread: Prior) -> None:
    if not spread.is_positive:
        raise ValueError(f"a spread is a standard deviation: its prior cannot be {spread.family}")


def _prior_or_false(value, validate):
    if isinstance(value, Prior | dict):
        return validate(value)
    if value is False:
        return False
    raise ValueError("it is a prior, or false to leave this level out")


_PriorOrFalse = Annotated[Prior, WrapValidator(_prior_or_false)]
"""The prior of a level of the model, or False where it has no such level (not None: in TOML that could not be written)."""


class Intercept(_Part):
    """Mean effect at the reference of every term; `by` lets it vary over the groups of a column, partially pooled."""

    prior: Prior = _INTERCEPT
    by: str | None = None
    spread: Prior = _SPREAD

    @model_validator(mode="after")
    def _complete(self):
        _check_spread(self.spread)
        return self


class Dose(_Part):
    """One dose column and the shape of its effect.

    by: a column whose groups get coefficients and non-linear parameters of their own, partially pooled.
    by_study: let the coefficients vary by study where studies carry several doses.
    reference: the dose at which effect priors are stated, and `usual` the range of doses in use (dose units); both have
        defaults for the doses of the vocabulary.
    priors: by parameter: those of the shape, `<parameter>_between_<by>`, `<coefficient>_between_study`, and `true`, the
        (lognormal) prior of a dose that a trial printed as an interval. Where missing doses are imputed, `true` is the prior of
        the typical dose of a modality, and `spread` that of the standard deviation of log doses around it.
    """

    column: str
    shape: str
    by: str | None = None
    by_study: bool = True
    reference: float | None = Field(None, gt=0)
    usual: tuple[float, float] | None = None
    priors: dict[str, Prior] = {}

    @model_validator(mode="after")
    def _complete(self):
        if self.shape not in SHAPES:
            raise ValueError(f"unknown shape {self.shape!r}{nearest(self.shape, SHAPES)}; shapes are {', '.join(SHAPES)}")
        known = COLUMNS.get(self.column)
        if known and known.kind != "dose":
            raise ValueError(f"column {self.column!r} is not a dose")
        if self.reference is None:
            if known is None:
                raise ValueError(
                    f"{self.column!r} is not a dose of the vocabulary: state its `reference` dose, at which priors are stated"
                )
            object.__setattr__(self, "reference", known.reference)
        if self.usual is None:
            object.__setattr__(self, "usual", known.usual if known else (self.reference / 10, self.reference * 5))
        allowed = self._defaults()
        for name, prior in self.priors.items():
            if name not in allowed:
                raise ValueError(
                    f"no {name!r} in {self.shape} of {self.column}{nearest(name, allowed)}; there are {', '.join(allowed)}"
                )
            if name in self.basis.coefficients or prior.is_positive:
                continue
            raise ValueError(f"{name!r} is positive; its prior cannot be {prior.family}")
        if "true" in self.priors and self.priors["true"].family != "lognormal":
            raise ValueError("the prior of a true dose is lognormal")
        for name in self.basis.nonlinear:
            if name in self.priors and self.priors[name].family != "lognormal":
                raise ValueError(f"the prior of {name!r} is lognormal, so that groups can vary by a factor")
        return self

    @property
    def basis(self) -> Shape:
        """The shape as a basis of columns."""
        return SHAPES[self.shape]

    @property
    def has_true_zero(self) -> bool:
        """Whether dose zero is no stimulation, and the shape gives it no effect."""
        known = COLUMNS.get(self.column)
        return self.basis.zero_at_zero and (known is None or known.true_zero)

    def prior(self, name: str) -> Prior:
        """Prior of a parameter by its name within this dose; effects in units of the model's outcome_sd."""
        return (self._defaults() | self.priors)[name]

    def _defaults(self) -> dict[str, Prior]:
        shape = self.basis
        found = dict(shape.default_priors(self.usual))
        if self.by:
            found |= {f"{name}_between_{self.by}": _SPREAD for name in shape.coefficients}
            found |= {f"{name}_between_{self.by}": _LOG_SPREAD for name in shape.nonlinear}
        if self.by_study:
            found |= {f"{name}_between_study": _STUDY_SPREAD for name in shape.coefficients}
        found["true"] = Prior(
            "lognormal", interval=self.usual, why="the doses in use; cut to the interval that the trial printed"
        )
        found["spread"] = _DOSE_SPREAD
        return found

    def resolved_priors(self, outcome_sd: float) -> dict[str, Prior]:
        """All priors of this dose by posterior variable name; effects in the units of the table."""
        shape, found = self.basis, self._defaults() | self.priors
        on_effect_scale = tuple(shape.coefficients) + tuple(f"{name}_between_" for name in shape.coefficients)
        return {
            f"{self.column}_{name}": prior.scaled(outcome_sd) if name.startswith(on_effect_scale) else prior
            for name, prior in found.items()
        }


class Moderator(_Part):
    """A column that shifts the effect at every dose.

    A numeric column enters as (value - center)/per, with `prior` on the effect of `per` units; center defaults to the mean of
    the table and per to its standard deviation. A column of words gives one partially pooled deviation per level, with
    `spread`. Which of the two a column is follows from the vocabulary, or from whether `prior` or `spread` is stated.
    """

    column: str
    prior: Prior | None = None
    center: float | None = None
    per: float | None = Field(None, gt=0)
    spread: Prior | None = None

    @model_validator(mode="after")
    def _complete(self):
        numeric = any(value is not None for value in (self.prior, self.center, self.per))
        if numeric and self.spread is not None:
            raise ValueError(f"{self.column!r}: `spread` is for a column of words, `prior`, `center` and `per` for a numeric one")
        if not numeric and self.spread is None:
            if self.column not in COLUMNS:
                raise ValueError(
                    f"{self.column!r} is not in the vocabulary: state `prior` if it is numeric, `spread` if it holds words"
                )
            numeric = COLUMNS[self.column].is_numeric
        name, default = ("prior", _MODERATOR) if numeric else ("spread", _SPREAD)
        object.__setattr__(self, name, getattr(self, name) or default)
        if self.spread is not None:
            _check_spread(self.spread)
        return self

    @property
    def is_numeric(self) -> bool:
        return self.spread is None


class Model(_Part):
    """A dose-response model.

    outcome_sd: size of one standard deviation of the outcome in the units of the effect. All priors on effects are stated in
        this unit. 1 for standardised effects; must be stated for any other measure.
    intercept: None anchors the model: zero dose, zero effect. Only contrasts with sham or add-on may be anchored.
    within_study: spread of the true effects of rows of one study around what the model gives them; False leaves it out, and rows of
        one study are then assumed to differ from that by sampling error alone.
    pre_post_r, sd_spread: priors of what missing="impute" draws besides doses, in place of the defaults of `unknowns`: the
        correlation of before and after, and the spread of log standard deviations between trials.
    """

    name: str
    description: str = ""
    outcome_sd: float | None = Field(None, gt=0)
    intercept: Intercept | None = None
    dose: tuple[Dose, ...] = ()
    moderator: tuple[Moderator, ...] = ()
    between_study: Prior = _BETWEEN_STUDY
    within_study: _PriorOrFalse = _WITHIN_STUDY
    pre_post_r: Prior | None = None
    sd_spread: Prior | None = None

    def __init__(self, **fields):
        try:
            super().__init__(**fields)
        except ValidationError as error:
            lines = [_readable(item) for item in error.errors()]
            raise ModelError("\n  - ".join([f"model {fields.get('name', '')!r} is not valid:", *lines])) from None

    @model_validator(mode="after")
    def _complete(self):
        columns = [part.column for part in (*self.dose, *self.moderator)]
        twice = sorted({name for name in columns if columns.count(name) > 1})
        if twice:
            raise ValueError(f"used more than once: {', '.join(twice)}")
        if not self.dose and self.intercept is None:
            raise ValueError("a model needs an intercept or a dose")
        groups = [part.by for part in (*self.dose, *filter(None, [self.intercept])) if part.by]
        groups += [moderator.column for moderator in self.moderator if not moderator.is_numeric]
        numeric = [dose.column for dose in self.dose] + [moderator.column for moderator in self.moderator if moderator.is_numeric]
        variables = {*self.priors(), *(f"{dose.column}_typical" for dose in self.dose), "study_effect", "effect", "variance"}
        variables |= {"within_study", "pre_post_r", "sd_spread", "sd_true"}
        for column in dict.fromkeys([*groups, *numeric]):
            if column in RESERVED_NAMES | variables or "/" in column:
                raise ValueError(f"{column!r} cannot be the name of a group, dose or moderator; rename the column")
            if column in groups and column in numeric:
                raise ValueError(f"{column!r} is used both as a number and as a group")
        for name in ("between_study", "within_study"):
            if (prior := getattr(self, name)) and not prior.family.startswith("half"):
                raise ValueError(f"{name} is a standard deviation: its prior is halfnormal or halfcauchy")
        if self.pre_post_r and self.pre_post_r.family != "correlation":
            raise ValueError(f"pre_post_r is a correlation: its prior is of that family, not {self.pre_post_r.family}")
        if self.sd_spread:
            _check_spread(self.sd_spread)
        if self.intercept is None:
            floating = [dose.column for dose in self.dose if not dose.has_true_zero]
            if floating:
                raise ValueError(f"{', '.join(floating)} has no zero dose to anchor at: give the model an intercept")
            if self.moderator:
                raise ValueError(
                    "an anchored model is zero at dose zero for everyone: give it an intercept, or let the dose vary with `by`"
                )
        return self

    @property
    def is_anchored(self) -> bool:
        return self.intercept is None

    def with_free_intercept(self) -> "Model":
        """The same model with an intercept, so that a slope means "more is better" and not only "treatment works".

        The intercept varies over the groups that the doses vary over, or a difference between groups would pass for a slope.
        """
        if self.intercept:
            return self
        groups = list(dict.fromkeys(dose.by for dose in self.dose if dose.by))
        shifts = tuple(Moderator(column=group, spread=_SPREAD) for group in groups[1:])
        return self.replace(intercept=Intercept(by=groups[0] if groups else None), moderator=shifts)

    def replace(self, **fields) -> "Model":
        """A copy with some fields changed, checked again."""
        return Model(**{name: getattr(self, name) for name in type(self).model_fields} | fields)

    def priors(self) -> dict[str, Prior]:
        """Every prior by posterior variable name, in the units of the table."""
        sd, found = self.outcome_sd or 1.0, {}
        if self.intercept:
            found["intercept"] = self.intercept.prior.scaled(sd)
            if self.intercept.by:
                found[f"intercept_between_{self.intercept.by}"] = self.intercept.spread.scaled(sd)
        for dose in self.dose:
            found |= dose.resolved_priors(sd)
        for moderator in self.moderator:
            if moderator.is_numeric:
                found[f"{moderator.column}_effect"] = moderator.prior.scaled(sd)
            else:
                found[f"between_{moderator.column}"] = moderator.spread.scaled(sd)
        found["between_study"] = self.between_study.scaled(sd)
        if self.within_study:
            found["within_study"] = self.within_study.scaled(sd)
        return found

    def with_priors(self, priors: dict[str, Prior]) -> "Model":
        """The same model with other priors, by posterior variable name as in `priors`; those of effects in units of `outcome_sd`.

        Raises ModelError for names that the model does not have.
        """
        if wrong := [
            name for name, prior in priors.items() if not isinstance(prior, Prior) and (name, prior) != ("within_study", False)
        ]:
            raise ModelError(f"the prior of {wrong[0]!r} is a Prior, not {priors[wrong[0]]!r}")
        known = [*self.priors(), "pre_post_r", "sd_spread"]
        if unknown := [name for name in priors if name not in known]:
            lines = [f"no prior {name!r}{nearest(name, known)}" for name in unknown]
            raise ModelError("\n  - ".join([f"model {self.name!r} does not have:", *lines, f"there are {', '.join(known)}"]))

        def changed(part, **places: str):
            fields = {field: priors[name] for field, name in places.items() if name in priors}
            return part.model_copy(update=fields)

        def with_own(dose: Dose) -> Dose:
            own = {name: priors[f"{dose.column}_{name}"] for name in dose._defaults() if f"{dose.column}_{name}" in priors}
            return dose.model_copy(update={"priors": dose.priors | own})

        fields = {name: priors[name] for name in ("between_study", "within_study", "pre_post_r", "sd_spread") if name in priors}
        if self.intercept:
            fields["intercept"] = changed(self.intercept, prior="intercept", spread=f"intercept_between_{self.intercept.by}")
        names = [{"prior": f"{m.column}_effect"} if m.is_numeric else {"spread": f"between_{m.column}"} for m in self.moderator]
        fields["moderator"] = tuple(changed(m, **name) for m, name in zip(self.moderator, names, strict=True))
        return self.replace(dose=tuple(map(with_own, self.dose)), **fields)

    def as_dict(self) -> dict:
        """The spec as plain values, for TOML."""
        return _plain(self)

    def to_toml(self) -> str:
        """The spec as TOML; `load_model` of it gives an equal model."""
        return tomli_w.dumps(self.as_dict())

    def save(self, path: str | Path) -> None:
        Path(path).write_text(self.to_toml(), encoding="utf-8")


def _plain(part) -> dict:
    found = {}
    for name in type(part).model_fields:
        value = getattr(part, name)
        if value is None or value == "" or value == () or value == {}:
            continue
        if isinstance(value, Prior):
            value = value.as_dict()
        elif isinstance(value, BaseModel):
            value = _plain(value)
        elif isinstance(value, dict):
            value = {key: prior.as_dict() for key, prior in value.items()}
        elif isinstance(value, tuple):
            value = [_plain(item) if isinstance(item, BaseModel) else item for item in value]
        found[name] = value
    return found


def _readable(item: dict) -> str:
    where = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        known = (
            {"dose": Dose, "moderator": Moderator, "intercept": Intercept}.get(item["loc"][0], Model)
            if len(item["loc"]) > 1
            else Model
        )
        return f"{where}: unknown entry{nearest(str(item['loc'][-1]), known.model_fields)}"
    return f"{where}: {item['msg'].removeprefix('Value error, ')}" if where else item["msg"].removeprefix("Value error, ")


def prior_table(model: Model) -> pd.DataFrame:
    """The table of priors a paper prints: parameter, prior, 95 % interval, and why."""
    return as_table(model.priors())


def as_table(priors: dict[str, Prior]) -> pd.DataFrame:
    """Priors by name as `prior_table` shows them."""
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
