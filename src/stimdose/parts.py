"""The parts of a model spec: intercept, doses, moderators; and their default priors."""

import itertools
from functools import cached_property
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from . import default_priors as defaults
from .columns import COLUMNS
from .errors import nearest
from .group_terms import By, check_groupings, groupings
from .priors import Prior
from .shapes import SHAPES, Shape
from .validity import Several, Spec, not_text

RESERVED_NAMES = {"study", "row", "chain", "draw", "bound", "group"}
"""Names of dimensions: no group, dose or moderator can be called so."""


def check_spread(spread: Prior) -> None:
    if not spread.is_positive:
        raise ValueError(f"a spread is a standard deviation: its prior cannot be {spread.family}")


AS_DOSES, FAR = {"peak", "ed50", "plateau"}, 10.0
"""Non-linear parameters that are doses, and by what factor beyond the usual doses one that is fixed must be an error."""
WAVES_OF_SURFACE = 6
"""Along each dose, if they are not stated."""


class Intercept(Spec):
    """Mean effect at the reference of every term; `by` lets it vary over the groups of a column, partially pooled (see `By`)."""

    prior: Prior = defaults.INTERCEPT
    by: By = None
    spread: Prior = defaults.SPREAD

    @model_validator(mode="after")
    def _complete(self) -> Self:
        check_spread(self.spread)
        check_groupings(self.by)
        return self

    @property
    def groups(self) -> tuple[str, ...]:
        return groupings(self.by)


class Dose(Spec):
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
    alone: which of the two doses of a product also have an effect without the other, with coefficients of its own
        (`<coefficient>_alone`).
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
    knots: int | Several[float] | None = None
    powers: Several[float] | None = None
    waves: int | None = None
    between: tuple[float, float] | None = None
    fixed: dict[str, float] = {}
    times: "Dose | None" = None
    alone: Several[str] = ()
    priors: dict[str, Prior] = {}

    _numbers = field_validator("reference", "usual", "knots", "powers", "waves", "between", "fixed", mode="before")(not_text)

    @model_validator(mode="after")
    def _complete(self) -> Self:
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
            self._set(reference=float(known.reference))
        if self.usual is None:
            usual = known.usual if known else (self.reference / 10, self.reference * 5)
            self._set(usual=tuple(map(float, usual)))  # as a file gives them: the text of a model is part of the key of its fits
        if not 0 < self.usual[0] < self.usual[1]:
            raise ValueError(f"usual is the range of doses in use, (low, high) with 0 < low < high, not {self.usual}")
        check_groupings(self.by)
        self._check_options()
        if self.times:
            self._check_product()
        elif self.alone:
            raise ValueError("alone: names doses of a product; state the dose that this one `times`")
        self._check_priors()
        return self

    def _set(self, **fields: Any) -> None:
        for name, value in fields.items():
            object.__setattr__(self, name, value)
        for name in ("basis", "columns"):
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
        low, high = self.usual
        for name in AS_DOSES & self.fixed.keys():
            if not low / FAR <= self.fixed[name] <= high * FAR:
                raise ValueError(
                    f"fixed: {name} = {self.fixed[name]:g} is more than {FAR:g} times beyond the doses of {self.column} in use, "
                    f"{low:g} to {high:g}: check its unit, or state `usual`"
                )
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
        if wrong := [name for name in self.alone if name not in (self.column, other.column)]:
            raise ValueError(f"alone: {wrong[0]!r} is no dose of the product; they are {self.column} and {other.column}")
        if self.alone and not (self.basis.named and other.basis.named):
            raise ValueError("alone: a surface has no effect of one dose; add the two doses, or multiply other shapes")
        if wrong := [name for name in other.priors if name.startswith(other.basis.coefficients)]:
            raise ValueError(f"a product has the coefficients of {self.column}: {wrong[0]!r} of {other.column} has no prior")

    def _check_priors(self) -> None:
        allowed = self._defaults()
        for name, prior in self.priors.items():
            if name in self.fixed:
                raise ValueError(f"{name!r} is fixed, and so has no prior: leave out one of the two")
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
    def columns(self) -> dict[str, tuple[int | None, int | None]]:
        """The column of every coefficient: the number of that of this shape and of the one that multiplies it, None for neither."""
        own, other = self.basis.coefficients, self.times.basis.coefficients if self.times else ()
        pairs = list(itertools.product(enumerate(own), enumerate(other)))
        found = {f"{a}_{b.rpartition('_')[2]}" if len(other) > 1 else a: (j, k) for (j, a), (k, b) in pairs}
        if not other or self.column in self.alone:
            found |= {self._alone(name): (j, None) for j, name in enumerate(own)}
        if other and self.times.column in self.alone:
            found |= {f"{self.times.column}_{name}_alone": (None, k) for k, name in enumerate(other)}
        return found

    def _alone(self, coefficient: str) -> str:
        return f"{coefficient}_alone" if self.times else coefficient

    @property
    def coefficients(self) -> tuple[str, ...]:
        """Names of the coefficients, one for each column; of a product of several columns with several, one for each pair."""
        return tuple(self.columns)

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
        """Whether dose zero is no stimulation, and the shape gives it no effect; of a product, either of its doses, and those that act
        alone."""
        zero = {dose.column: dose.basis.zero_at_zero and dose.is_a_true_dose for dose in self.factors}
        return any(zero.values()) and all(zero[name] for name in self.alone)

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
        if self.alone:
            own |= {self._alone(name): own[name] for name in self.basis.coefficients}
            others = self.times.basis.default_priors()
            own |= {f"{self.times.column}_{name}_alone": others[name] for name in self.times.basis.coefficients}
        found = {name: own.get(name, some) for name in self.coefficients} | found
        for group in self.groups:
            for name in self.coefficients:
                additive = (defaults.CROSSED if ":" in group else defaults.SPREAD) if self.basis.named else defaults.WAVE_SPREAD
                factor = defaults.FACTOR_CROSSED if ":" in group else defaults.FACTOR_SPREAD
                found[self.spread(name, group)] = factor if self.priors.get(name, found[name]).is_positive else additive
        for group in self.nonlinear_groups:
            found |= {
                f"{name}_between_{group}": defaults.LOG_CROSSED if ":" in group else defaults.LOG_SPREAD
                for name in self.nonlinear
            }
        if self.by_study:
            found |= {f"{name}_between_study": defaults.STUDY_SPREAD for name in self.coefficients}
        found["true"] = Prior(
            "lognormal", interval=self.usual, why="the doses in use; cut to the interval that the trial printed"
        )
        found["spread"] = defaults.DOSE_SPREAD
        return found

    @property
    def ties(self) -> tuple[str, ...]:
        """Doses at whose zero a product is nothing, in a shape that has no peak: it rises with them as soon as the other dose works."""
        pairs = zip(self.factors, reversed(self.factors), strict=True) if self.times else ()
        zero = lambda dose: dose.basis.zero_at_zero and dose.is_a_true_dose and not dose.basis.can_peak
        return tuple(dose.column for dose, other in pairs if zero(dose) and other.column not in self.alone)

    def freed(self) -> "Dose":
        """The same where an effect need not rise with a dose because the other one works: doses that are tied to it have the shape
        `power`, which may also fall."""
        if not self.ties:
            return self
        times = self.times._powered() if self.times.column in self.ties else self.times
        return (self._powered() if self.column in self.ties else self)._with(times=times)

    def _powered(self) -> "Dose":
        (old, *_), kept = self.basis.coefficients, ("column", "by", "by_study", "reference", "usual", "times", "alone")
        priors = {
            name.replace(old, "effect"): self.priors[name] for name in self.priors if name.startswith((old, "true", "spread"))
        }
        if self.times:  # the coefficient of the product is the first dose's
            priors = {"effect": self.prior(old)} | priors
        return Dose(shape="power", priors=priors, **{name: getattr(self, name) for name in kept})

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
        return self._with(**fields) if fields else self  # checked again, because options may contradict the table

    def _with(self, **fields: Any) -> "Dose":
        return Dose.model_validate({name: getattr(self, name) for name in self.model_fields_set} | fields)


class Moderator(Spec):
    """A column that shifts the effect at every dose.

    A numeric column enters as (value - center)/per, with `prior` on the effect of `per` units; center and per are by default the mean and
    standard deviation of the table. A column of words gives one partially pooled deviation per level, with `spread`. Which of
    the two a column is follows from the vocabulary, or from whether `prior` or `spread` is stated.
    by_study: let the effect of a number vary by study, by N(0, `<column>_effect_between_study`^2) with the prior `between_study`, where
        studies have several values of it (time points). Other differences between studies are then those at `center`.
    """

    column: str
    prior: Prior | None = None
    center: float | None = None
    per: float | None = Field(None, gt=0)
    spread: Prior | None = None
    by_study: bool = False
    between_study: Prior | None = None

    _numbers = field_validator("center", "per", mode="before")(not_text)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        numeric = any(value is not None for value in (self.prior, self.center, self.per))
        if numeric and self.spread is not None:
            raise ValueError(f"{self.column!r}: `spread` is for a column of words, `prior`, `center` and `per` for a numeric one")
        if not numeric and self.spread is None:
            if self.column not in COLUMNS:
                raise ValueError(
                    f"{self.column!r} is not in the vocabulary: state `prior` if it is numeric, `spread` if it holds words"
                )
            numeric = COLUMNS[self.column].is_numeric
        name, default = ("prior", defaults.MODERATOR) if numeric else ("spread", defaults.SPREAD)
        object.__setattr__(self, name, getattr(self, name) or default)
        if self.by_study and not numeric:
            raise ValueError(f"{self.column!r} holds words: only the effect of a number can vary `by_study`")
        if self.between_study and not self.by_study:
            raise ValueError(f"{self.column!r}: `between_study` is the spread of an effect that varies by_study: state that")
        for spread in filter(None, (self.spread, self.between_study)):
            check_spread(spread)
        return self

    def resolved_priors(self, outcome_sd: float) -> dict[str, Prior]:
        """All priors of this moderator by posterior variable name, in the units of the table."""
        found = {f"{self.column}_effect": self.prior} if self.is_numeric else {f"between_{self.column}": self.spread}
        if self.by_study:
            found[f"{self.column}_effect_between_study"] = self.between_study or defaults.STUDY_SPREAD
        return {name: prior.scaled(outcome_sd) for name, prior in found.items()}

    @property
    def is_numeric(self) -> bool:
        return self.spread is None
