"""Shapes that are sums of powers and logarithms."""

import numpy as np

from ..priors import Prior
from .base import Shape, effect_prior


class Linear(Shape):
    """slope * dose/reference: the effect grows by `slope` for every reference dose."""

    name, coefficients = "linear", ("slope",)
    when = "few doses, or a narrow range of them"

    @staticmethod
    def column(k, x, p, c):
        return x

    @staticmethod
    def slopes(x, p, c, found):
        found[0, 0] = 1.0

    def default_priors(self):
        return {"slope": effect_prior("effect of one reference dose")}


class LogLinear(Shape):
    """slope * log(1 + dose/reference) / log 2: `slope` is the gain at the reference dose; doublings far above it add equal
    gains."""

    name, coefficients = "log-linear", ("slope",)
    when = "gains that slow down with dose, over a wide range, with no plateau in sight"

    @staticmethod
    def column(k, x, p, c):
        return np.log1p(x) / np.log(2.0)

    @staticmethod
    def slopes(x, p, c, found):
        found[0, 0] = 1 / (1 + x) / np.log(2.0)

    def default_priors(self):
        return {"slope": effect_prior("gain at the reference dose")}


class Quadratic(Shape):
    """slope * d + curvature * d^2 with d = dose/reference."""

    name, coefficients = "quadratic", ("slope", "curvature")
    can_peak = True
    when = "a first look at curvature; it has no flat ends, so it extrapolates badly"

    @staticmethod
    def column(k, x, p, c):
        return x if k == 0 else x**2

    @staticmethod
    def slopes(x, p, c, found):
        found[0, 0], found[1, 0] = 1.0, 2 * x

    def default_priors(self):
        return {
            "slope": effect_prior("linear part of the gain at the reference dose"),
            "curvature": Prior("normal", mu=0.0, sigma=0.5, why="bending at the reference dose, smaller than the gain itself"),
        }
