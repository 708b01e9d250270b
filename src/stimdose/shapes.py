"""Dose-response shapes: a basis of columns, each with one coefficient, and a few non-linear parameters.

A shape's contribution to the mean effect is  sum_k coefficient_k * basis_k(x; non-linear parameters),  x the dose over its
reference, or the logarithm of that. `basis` is written with numpy ufuncs only, so that the one formula serves floats, arrays of
draws, PyTensor variables and numba; `slopes`, its derivatives, is for numba, on floats. Every default prior is stated on the scale
of the effect at the reference dose, in units of the model's `outcome_sd`, so that a change of units changes nothing.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from .priors import Prior

TINY = 1e-9
"""Added to dose/reference before a logarithm, so that a dose of zero has a value and a finite gradient."""


class Shape(ABC):
    """A dose-response shape.

    coefficients: names of the linear coefficients, one per column, in effect units.
    nonlinear: names of the positive non-linear parameters (a dose, or a log-width).
    zero_at_zero: whether the contribution vanishes at dose zero. can_peak: whether the curve can have its maximum inside a
        range of doses. on_log_scale: whether x is log(dose/reference), not dose/reference.
    """

    name: ClassVar[str]
    coefficients: ClassVar[tuple[str, ...]]
    nonlinear: ClassVar[tuple[str, ...]] = ()
    zero_at_zero: ClassVar[bool] = True
    can_peak: ClassVar[bool] = False
    on_log_scale: ClassVar[bool] = False
    when: ClassVar[str]

    @staticmethod
    @abstractmethod
    def basis(x, reference: float, *nonlinear) -> tuple:
        """Columns at x (broadcast against the non-linear parameters, which are in dose units), one per coefficient."""

    @staticmethod
    @abstractmethod
    def slopes(x, reference: float, *nonlinear) -> tuple:
        """Derivatives of every column with respect to x and each non-linear parameter: a tuple for each column."""

    def columns(self, dose, reference: float, **nonlinear) -> tuple:
        """`basis` at `dose` (dose units), non-linear parameters by name."""
        x = np.log(dose / reference + TINY) if self.on_log_scale else dose / reference
        return self.basis(x, reference, *(nonlinear[name] for name in self.nonlinear))

    @staticmethod
    @abstractmethod
    def default_priors(usual: tuple[float, float]) -> dict[str, Prior]:
        """Weakly informative priors; `usual` is the range, in dose units, that holds 95 % of the doses in use."""


def _effect_prior(what: str) -> Prior:
    return Prior("normal", mu=0.0, sigma=1.0, why=f"{what}: 95 % within two standard deviations of the outcome, either sign")


class Linear(Shape):
    """slope * dose/reference: the effect grows by `slope` for every reference dose."""

    name, coefficients = "linear", ("slope",)
    when = "few doses, or a narrow range of them"

    @staticmethod
    def basis(x, reference):
        return (x,)

    @staticmethod
    def slopes(x, reference):
        return ((1.0,),)

    @staticmethod
    def default_priors(usual):
        return {"slope": _effect_prior("effect of one reference dose")}


class LogLinear(Shape):
    """slope * log(1 + dose/reference) / log 2: `slope` is the gain at the reference dose; doublings far above it add equal
    gains."""

    name, coefficients = "log-linear", ("slope",)
    when = "gains that slow down with dose, over a wide range, with no plateau in sight"

    @staticmethod
    def basis(x, reference):
        return (np.log1p(x) / np.log(2.0),)

    @staticmethod
    def slopes(x, reference):
        return ((1 / (1 + x) / np.log(2.0),),)

    @staticmethod
    def default_priors(usual):
        return {"slope": _effect_prior("gain at the reference dose")}


class Quadratic(Shape):
    """slope * d + curvature * d^2 with d = dose/reference."""

    name, coefficients = "quadratic", ("slope", "curvature")
    can_peak = True
    when = "a first look at curvature; it has no flat ends, so it extrapolates badly"

    @staticmethod
    def basis(x, reference):
        return x, x**2

    @staticmethod
    def slopes(x, reference):
        return (1.0,), (2 * x,)

    @staticmethod
    def default_priors(usual):
        return {
            "slope": _effect_prior("linear part of the gain at the reference dose"),
            "curvature": Prior("normal", mu=0.0, sigma=0.5, why="bending at the reference dose, smaller than the gain itself"),
        }


class Emax(Shape):
    """maximum * dose / (ed50 + dose): a plateau at `maximum`, half of it at dose `ed50`."""

    name, coefficients, nonlinear = "emax", ("maximum",), ("ed50",)
    when = "saturation: more is better, less and less so"

    @staticmethod
    def basis(x, reference, ed50):
        return (x / (ed50 / reference + x),)

    @staticmethod
    def slopes(x, reference, ed50):
        half = ed50 / reference
        return ((half / (half + x) ** 2, -x / (half + x) ** 2 / reference),)

    @staticmethod
    def default_priors(usual):
        return {
            "maximum": _effect_prior("plateau"),
            "ed50": Prior(
                "lognormal",
                interval=(usual[0] / 3, usual[1]),
                why="half the plateau is reached somewhere in, or just below, the doses in use",
            ),
        }


class Bell(Shape):
    """amplitude * exp(-((log dose - log peak) / width)^2 / 2): one optimum at `peak`, `width` on the log scale."""

    name, coefficients, nonlinear = "bell", ("amplitude",), ("peak", "width")
    can_peak, on_log_scale = True, True
    when = "too little and too much are both worse, as with frequency"

    @staticmethod
    def basis(x, reference, peak, width):
        distance = (x - np.log(peak / reference)) / width
        return (np.exp(-0.5 * distance**2),)

    @staticmethod
    def slopes(x, reference, peak, width):
        distance = (x - np.log(peak / reference)) / width
        gain = np.exp(-0.5 * distance**2) * distance / width
        return ((-gain, gain / peak, gain * distance),)

    @staticmethod
    def default_priors(usual):
        return {
            "amplitude": Prior(
                "halfnormal", sigma=1.0, why="height of the bell; positive, because a trough at the edge can rival a bump"
            ),
            "peak": Prior("lognormal", interval=usual, why="the optimum lies among the doses in use"),
            "width": Prior(
                "lognormal",
                interval=(0.25, 1.5),
                why="between a quarter of a log unit (a sharp optimum) and wider than the doses in use",
            ),
        }


SHAPES: dict[str, Shape] = {shape.name: shape for shape in (Linear(), LogLinear(), Quadratic(), Emax(), Bell())}
