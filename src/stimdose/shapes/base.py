"""What a dose-response shape is: a basis of columns, each with one coefficient, and a few non-linear parameters."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from ..priors import Prior

TINY = 1e-9
"""Added to dose/reference before a logarithm, so that a dose of zero has a value and a finite gradient."""
LEAST = 1e-300
"""The same before a power: 0^p and its gradients are finite, and 0 for any p above 0.05."""


class Shape(ABC):
    """A dose-response shape, for one dose.

    Its contribution to the mean effect is  sum_k coefficient_k * column_k(x; p, c),  x the dose over its reference, or the logarithm
    of that; p the non-linear parameters, c constants. `column` is written with numpy ufuncs only, so that the one formula serves
    floats, arrays of draws, PyTensor variables and numba; `slopes`, its derivatives, is for numba, on floats.

    reference: the dose at which priors of effects are stated; usual: the range of doses in use (dose units). options: the fields of
        `Dose` that this shape reads besides, which are attributes of the same names.
    coefficients: names of the linear coefficients, one per column. nonlinear: names of the non-linear parameters (positive). A change
        of units must change nothing: every default prior of an effect is in units of the model's `outcome_sd`, and
        `on_effect_scale` names the parameters that have one.
    zero_at_zero: whether the contribution vanishes at dose zero. can_peak: whether the curve can have its maximum inside a
        range of doses. on_log_scale: whether x is log(dose/reference), not dose/reference. by_group: whether groups have non-linear
        parameters of their own; by_study: whether its coefficients can vary by study. named: whether a coefficient means something
        by itself.
    """

    name: ClassVar[str]
    when: ClassVar[str]
    options: ClassVar[tuple[str, ...]] = ()
    coefficients: tuple[str, ...]
    nonlinear: tuple[str, ...] = ()
    zero_at_zero: bool = True
    can_peak: bool = False
    on_log_scale: ClassVar[bool] = False
    by_group: ClassVar[bool] = True
    by_study: ClassVar[bool] = True
    named: ClassVar[bool] = True

    def __init__(self, reference: float, usual: tuple[float, float], **options):
        self.reference, self.usual = reference, usual
        self.complete(options)

    def complete(self, options: dict) -> None:
        """Take the options as attributes; shapes that have any check them, and fill in their defaults. Raises ValueError."""
        for name in self.options:
            setattr(self, name, options.get(name))

    def place(self, doses: np.ndarray) -> dict:
        """Options that take their values from a table, by name, given the doses of its rows (dose units)."""
        return {}

    def misfit(self, nonlinear: dict[str, Prior | float]) -> str | None:
        """What of the placed shape cannot go with the prior, or the known value, of a non-linear parameter; None if nothing."""
        return None

    @property
    def constants(self) -> np.ndarray:
        """c, of which the first is the reference."""
        return np.array([self.reference])

    @property
    def domain(self) -> tuple[float, float]:
        """Lowest and highest dose at which the shape has a value."""
        return 0.0, np.inf

    @property
    def on_effect_scale(self) -> tuple[str, ...]:
        return self.coefficients

    @staticmethod
    @abstractmethod
    def column(k: int, x, p: Sequence, c: np.ndarray):
        """Column k at x (broadcast against the non-linear parameters)."""

    @staticmethod
    @abstractmethod
    def slopes(x: float, p: np.ndarray, c: np.ndarray, found: np.ndarray) -> None:
        """Write the derivatives of every column with respect to x and each non-linear parameter to found (columns, 1 + parameters)."""

    def scaled(self, dose):
        """x of a dose (dose units)."""
        return np.log(dose / self.reference + TINY) if self.on_log_scale else dose / self.reference

    def columns(self, dose, **nonlinear) -> tuple:
        """Every column at `dose` (dose units), given the non-linear parameters by name."""
        x, c = self.scaled(dose), self.constants
        p = tuple(nonlinear[name] for name in self.nonlinear)
        return tuple(self.column(k, x, p, c) for k in range(len(self.coefficients)))

    @abstractmethod
    def default_priors(self) -> dict[str, Prior]:
        """Weakly informative priors of all coefficients and non-linear parameters."""


def effect_prior(what: str) -> Prior:
    return Prior("normal", mu=0.0, sigma=1.0, why=f"{what}: 95 % within two standard deviations of the outcome, either sign")
