"""Dose-response shapes by name; `base` says what a shape is."""

from .base import TINY, Shape
from .peaked import AsymmetricBell, Bell, Gamma
from .polynomials import FractionalPolynomial, Linear, LogLinear, Power, Quadratic
from .processes import GaussianProcess
from .saturating import Emax, Exponential, Plateau, SigmoidEmax
from .splines import Monotone, RestrictedCubicSpline

SHAPES: dict[str, type[Shape]] = {
    shape.name: shape
    for shape in (
        *(Linear, LogLinear, Quadratic, Emax, Bell),
        *(FractionalPolynomial, SigmoidEmax, Exponential, AsymmetricBell, Gamma, Plateau),
        *(RestrictedCubicSpline, Monotone, GaussianProcess, Power),
    )
}

__all__ = ["SHAPES", "TINY", "Shape"]
