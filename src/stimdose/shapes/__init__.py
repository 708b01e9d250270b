"""Dose-response shapes by name; `base` says what a shape is."""

from .base import TINY, Shape
from .peaked import AsymmetricBell, Bell, Gamma
from .polynomials import FractionalPolynomial, Linear, LogLinear, Quadratic
from .saturating import Emax, Exponential, SigmoidEmax

SHAPES: dict[str, type[Shape]] = {
    shape.name: shape
    for shape in (
        *(Linear, LogLinear, Quadratic, Emax, Bell),
        *(FractionalPolynomial, SigmoidEmax, Exponential, AsymmetricBell, Gamma),
    )
}

__all__ = ["SHAPES", "TINY", "Shape"]
