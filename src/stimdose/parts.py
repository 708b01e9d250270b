"""The parts of a model spec: intercept, doses, moderators; and their default priors."""

import itertools
from functools import cached_property
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, WrapValidator, model_validator

from .columns import COLUMNS
from .errors import nearest
from .priors import Prior
from .shapes import SHAPES, Shape

BETWEEN_STUDY = Prior(
    "halfnormal", sigma=0.5, why="heterogeneity of standardised effects between trials is rarely above 1 (Roever et al. 2021)"
)
WITHIN_STUDY = Prior("halfnormal", sigma=0.25, why="rows of one trial differ less than trials do")
_INTERCEPT = Prior(
    "normal", mu=0.0, sigma=1.0, why="mean effect: 95 % within two standard deviations of the outcome, either sign"
)
_SPREAD = Prior(
    "halfnormal", sigma=0.3, why="groups differ by less than the effect itself; with two or three groups this prior decides"
)
_FACTOR_SPREAD = Prior("halfnormal", sigma=0.5, why="positive effects of groups rarely differ by more than a factor of three")
_FACTOR_CROSSED = Prior(
    "halfnormal", sigma=0.25, why="positive effects of crossed groups differ from the product of the two by less"
)
_WAVE_SPREAD = Prior("halfnormal", sigma=0.5, why="curves of groups differ by less than the curve itself strays from its level")
_CROSSED = Prior(
    "halfnormal", sigma=0.15, why="crossed groups differ from the sum of the two by less than these differ among themselves"
)
_LOG_CROSSED = Prior(
    "halfnormal", sigma=0.15, why="doses of crossed groups differ from the product of the two by less than these"
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


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def check_spread(spread: Prior) -> None:
    if not spread.is_positive:
        raise ValueError(f"a spread is a standard deviation: its prior cannot be {spread.family}")


def _prior_or_false(value, validate):
    if isinstance(value, Prior | dict):
        return validate(value)
    if value is False:
        return False
    raise ValueError("it is a prior, or false to leave this level out")


PriorOrFalse = Annotated[Prior, WrapValidator(_prior_or_false)]
"""The prior of a level of the model, or False where it has no such level (not None: in TOML that could not be written)."""


WAVES_OF_SURFACE = 6
"""Along each dose, if they are not stated."""
By = str | tuple[str, ...] | None
"""Columns whose groups have parameters of their own, each a deviation that is added: "phase"; ("phase", "site"); "phase:site", every
combination of the two; "phase*site", short for ("phase", "site", "phase:site"), as in R."""


def groupings(by: By) -> tuple[str, ...]:
    """The columns, and combinations of columns ("a:b"), that `by` names."""
    found = []
    for term in (by,) if isinstance(by, str) else by or ():
        parts = term.split("*")
        sizes = range(1, len(parts) + 1)
        found += [":".join(some) for size in sizes for some in itertools.combinations(parts, size)]
    return tuple(dict.fromkeys(found))


def _check_groupings(by: By) -> None:
    for name in groupings(by):
        parts = name.split(":")
        if not all(parts) or len(set(parts)) < len(parts) or len(parts) > 2:
            raise ValueError(f"by = {by!r} names no groups: write 'phase', 'phase:site' or 'phase*site', of two columns at most")


def shown_by(by: By) -> str | None:
    """The one grouping that tables and figures show: combinations where there are any, else the first."""
    found = groupings(by)
    return max(found, key=lambda name: name.count(":")) if found else None


class Intercept(Part):
    """Mean effect at the reference of every term; `by` lets it vary over the groups of a column, partially pooled (see `By`)."""

    prior: Prior = _INTERCEPT
    by: By = None
    spread: Prior = _SPREAD

    @model_validator(mode="after")
    def _complete(self):
        check_spread(self.spread)
        _check_groupings(self.by)
        return self

    @property
    def groups(self) -> tuple[str, ...]:
        return groupings(self.by)


class Dose(Part):
    """One dose column and the shape of its effect.

    by: groups that get coefficients and non-linear parameters of their own, partially pooled (see `By`): coefficients differ from those of
        the population by N(0, spread^2), non-linear parameters and positive coefficients by a factor, exp of that.
    by_study: let the coefficients vary by study where studies carry several doses.
    reference: the dose at which effect priors are stated, and `usual` the range of doses in use (dose units); both have
        defaults for the doses of the vocabulary.
    knots, powers, waves, between: options of some shapes (see `shapes`); what a table can tell is taken from it where they are not
        stated.
    fixed: non-linear parameters that are known, by name, and not estimated.
    times: another dose whose shape multiplies this one. The product has the coefficients of this dose only, and is zero where either
        shape is; of two Gaussian processes it is a surface.
    priors: by parameter: those of the shape, `<parameter>_between_<group>`, `<coefficient>_between_study`, and `true`, the
        (lognormal) prior of a dose that a trial printed as an interval. Where missing doses are imputed, `true` is the prior of
        the typical dose of a modality, and `spread` that of the standard deviation of log doses around it.
    """

    column: str
    shape: str
    by: By = None
    by_study: bool = True
    reference: float | None = Field(None, gt=0)
    usual: tuple[float, float] | None = None
    knots: int | tuple[float, ...] | None = None
    powers: tuple[float, ...] | None = None
    waves: int | None = None
    between: tuple[float, float] | None = None
    fixed: dict[str, float] = {}
    times: "Dose | None" = None
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
            self._set(reference=known.reference)
        if self.usual is None:
            self._set(usual=known.usual if known else (self.reference / 10, self.reference * 5))
        _check_groupings(self.by)
        self._check_options()
        if self.times:
            self._check_product()
        self._check_priors()
        return self

    def _set(self, **fields) -> None:
        for name, value in fields.items():
            object.__setattr__(self, name, value)
        for name in ("basis", "coefficients"):
            self.__dict__.pop(name, None)

    def _check_options(self) -> None:
        options = ("knots", "powers", "waves", "between")
        stated = [name for name in options if getattr(self, name) is not None]
        if wrong := [name for name in stated if name not in SHAPES[self.shape].options]:
            raise ValueError(f"{' and '.join(wrong)}: not of the shape {self.shape}")
        basis = self.basis  # which checks its options
        if unknown := [name for name in self.fixed if name not in basis.nonlinear]:
            has = ", ".join(basis.nonlinear) or "none"
            raise ValueError(f"fixed: {unknown[0]!r} is no non-linear parameter of {self.shape}; it has {has}")
        if wrong := [name for name, value in self.fixed.items() if not value > 0]:
            raise ValueError(f"fixed: {wrong[0]!r} is positive, got {self.fixed[wrong[0]]}")
        if not basis.by_study:
            if self.by_study and "by_study" in self.model_fields_set:
                raise ValueError(f"the coefficients of {self.shape} cannot vary by study")
            self._set(by_study=False)

    def _check_product(self) -> None:
        other = self.times
        if other.times:
            raise ValueError(f"{other.column}: a product is of two doses")
        if other.column == self.column:
            raise ValueError(f"{self.column} cannot multiply itself")
        if self.shape == other.shape == "gaussian-process":  # a surface has one amplitude, and a column for every pair of waves
            if other.fixed.get("amplitude", 1.0) != 1.0:
                raise ValueError(f"a surface has one amplitude, that of {self.column}: leave out that of {other.column}")
            other = other.model_copy()
            other._set(fixed=other.fixed | {"amplitude": 1.0}, waves=other.waves or WAVES_OF_SURFACE)
            self._set(times=other, waves=self.waves or WAVES_OF_SURFACE)
        elif len(other.basis.coefficients) > 1 or not other.basis.named:
            raise ValueError(f"{other.shape} of {other.column} has several coefficients, and cannot multiply another shape")
        if wrong := [name for name in other.priors if name.startswith(other.basis.coefficients)]:
            raise ValueError(f"a product has the coefficients of {self.column}: {wrong[0]!r} of {other.column} has no prior")

    def _check_priors(self) -> None:
        allowed = self._defaults()
        for name, prior in self.priors.items():
            if name not in allowed:
                raise ValueError(
                    f"no {name!r} in {self.shape} of {self.column}{nearest(name, allowed)}; there are {', '.join(allowed)}"
                )
            if name in self.coefficients or prior.is_positive:
                continue
            raise ValueError(f"{name!r} is positive; its prior cannot be {prior.family}")
        if "true" in self.priors and self.priors["true"].family != "lognormal":
            raise ValueError("the prior of a true dose is lognormal")
        for name in self.nonlinear:
            if name in self.priors and self.priors[name].family != "lognormal":
                raise ValueError(f"the prior of {name!r} is lognormal, so that groups can vary by a factor")
        nonlinear = {name: self.fixed.get(name) or self.prior(name) for name in self.basis.nonlinear}
        if misfit := self.basis.misfit(nonlinear):
            raise ValueError(misfit)

    @cached_property
    def basis(self) -> Shape:
        """The shape as a basis of columns."""
        shape = SHAPES[self.shape]
        return shape(self.reference, self.usual, **{name: getattr(self, name) for name in shape.options})

    @property
    def factors(self) -> tuple["Dose", ...]:
        """This dose, and the one that multiplies it."""
        return (self, self.times) if self.times else (self,)

    @cached_property
    def coefficients(self) -> tuple[str, ...]:
        """Names of the coefficients, one for each column; of a product of several columns with several, one for each pair."""
        own, other = self.basis.coefficients, self.times.basis.coefficients if self.times else ()
        if len(other) < 2:
            return own
        return tuple(f"{a}_{b.rpartition('_')[2]}" for a in own for b in other)

    @property
    def nonlinear(self) -> tuple[str, ...]:
        """Names of the non-linear parameters that are estimated."""
        return tuple(name for name in self.basis.nonlinear if name not in self.fixed)

    @property
    def groups(self) -> tuple[str, ...]:
        """Groupings of the coefficients."""
        return groupings(self.by)

    @property
    def nonlinear_groups(self) -> tuple[str, ...]:
        """Groupings of the non-linear parameters."""
        return self.groups if self.basis.by_group else ()

    def spread(self, coefficient: str, group: str) -> str:
        """Name of the spread of a coefficient between groups; waves, which mean nothing one by one, have one for all."""
        return f"{coefficient if self.basis.named else 'wave'}_between_{group}"

    @property
    def has_true_zero(self) -> bool:
        """Whether dose zero is no stimulation, and the shape gives it no effect; of a product, either of its doses."""
        return any(dose.basis.zero_at_zero and dose.is_a_true_dose for dose in self.factors)

    @property
    def is_a_true_dose(self) -> bool:
        """Whether zero of the column is no stimulation, as it is for minutes and not for a frequency."""
        return self.column not in COLUMNS or COLUMNS[self.column].true_zero

    def prior(self, name: str) -> Prior:
        """Prior of a parameter by its name within this dose; effects in units of the model's outcome_sd."""
        return (self._defaults() | self.priors)[name]

    def _defaults(self) -> dict[str, Prior]:
        own = self.basis.default_priors()
        found = {name: own[name] for name in self.nonlinear}
        some = next(own[name] for name in self.basis.coefficients)
        found = {name: own.get(name, some) for name in self.coefficients} | found
        for group in self.groups:
            for name in self.coefficients:
                additive = (_CROSSED if ":" in group else _SPREAD) if self.basis.named else _WAVE_SPREAD
                factor = _FACTOR_CROSSED if ":" in group else _FACTOR_SPREAD
                found[self.spread(name, group)] = factor if self.priors.get(name, found[name]).is_positive else additive
        for group in self.nonlinear_groups:
            found |= {f"{name}_between_{group}": _LOG_CROSSED if ":" in group else _LOG_SPREAD for name in self.nonlinear}
        if self.by_study:
            found |= {f"{name}_between_study": _STUDY_SPREAD for name in self.coefficients}
        found["true"] = Prior(
            "lognormal", interval=self.usual, why="the doses in use; cut to the interval that the trial printed"
        )
        found["spread"] = _DOSE_SPREAD
        return found

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Everything in this dose that may have a prior, by its name within the dose."""
        return tuple(self._defaults())

    def resolved_priors(self, outcome_sd: float) -> dict[str, Prior]:
        """All priors of this dose, and of the one that multiplies it, by posterior variable name; effects in the units of the table."""
        effects = [name for name in self.basis.on_effect_scale if name not in self.basis.coefficients]
        effects += self.coefficients if not effects else []
        priors = self._defaults() | self.priors
        factors = {self.spread(name, group) for name in self.coefficients if priors[name].is_positive for group in self.groups}
        on_effect_scale = (*effects, *(f"{name}_between_" for name in effects))
        found = {
            f"{self.column}_{name}": prior.scaled(outcome_sd)
            if name.startswith(on_effect_scale) and name not in factors
            else prior
            for name, prior in priors.items()
        }
        if self.times:
            other = self.times
            of_coefficients = tuple(f"{name}{end}" for name in other.basis.coefficients for end in ("", "_between_"))
            own = {name: other.prior(name) for name in other._defaults() if not name.startswith(of_coefficients)}
            found |= {f"{other.column}_{name}": prior for name, prior in own.items()}
        return found

    def placed(self, doses: dict) -> "Dose":
        """The same with the options that a table tells, given the doses of its rows by column (dose units). Raises ValueError."""
        fields = dict(self.basis.place(doses[self.column]))
        if self.times:
            fields["times"] = self.times.placed(doses)
        # checked again, because options may contradict the table
        return Dose(**{name: getattr(self, name) for name in self.model_fields_set} | fields) if fields else self


class Moderator(Part):
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
            check_spread(self.spread)
        return self

    @property
    def is_numeric(self) -> bool:
        return self.spread is None
