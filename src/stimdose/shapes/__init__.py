"""Dose-response shapes by name; `base` says what a shape is."""

from .base import TINY, Shape
from .peaked import Bell
from .polynomials import Linear, LogLinear, Quadratic
from .saturating import Emax

SHAPES: dict[str, type[Shape]] = {shape.name: shape for shape in (Linear, LogLinear, Quadratic, Emax, Bell)}

__all__ = ["SHAPES", "TINY", "Shape"]
