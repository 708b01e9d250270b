"""Shapes that are sums of powers and logarithms."""

import numpy as np

from ..priors import Prior
from .base import LEAST, TINY, Shape, effect_prior


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


class FractionalPolynomial(Shape):
    """term_1 * d^p, or term_1 * d^p + term_2 * d^q, with d = dose/reference and powers p and q out of `POWERS`; power 0 is log d,
    and equal powers give d^p and d^p log d (Royston and Altman 1994, Appl Stat 43:429).

    powers: one or two powers, default (0.5,). A power of 0 or below has no value at dose zero.
    """

    name, options = "fractional-polynomial", ("powers",)
    POWERS = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0)
    when = "a curve of few parameters that bends early or late; try several powers and compare"

    def complete(self, options):
        super().complete(options)
        self.powers = (0.5,) if self.powers is None else tuple(float(power) for power in self.powers)
        if not 1 <= len(self.powers) <= 2 or set(self.powers) - set(self.POWERS):
            raise ValueError(
                f"powers must be one or two of {', '.join(f'{power:g}' for power in self.POWERS)}, got {self.powers}"
            )
        self.coefficients = ("term_1", "term_2")[: len(self.powers)]
        self.zero_at_zero, self.can_peak = min(self.powers) > 0, len(self.powers) == 2

    @property
    def constants(self):
        return np.array([self.reference, *self.powers])

    @property
    def domain(self):
        return (0.0 if self.zero_at_zero else TINY * self.reference), np.inf

    @staticmethod
    def column(k, x, p, c):
        x, power = x + LEAST, c[1 + k]
        value = np.log(x) if power == 0 else x**power
        return value * np.log(x) if k == 1 and c[1] == power else value

    @staticmethod
    def slopes(x, p, c, found):
        x = x + LEAST
        for k in range(len(c) - 1):
            power, log = c[1 + k], np.log(x)
            slope = 1 / x if power == 0 else power * x ** (power - 1)
            if k == 1 and c[1] == power:
                slope = 2 * log / x if power == 0 else x ** (power - 1) * (power * log + 1)
            found[k, 0] = slope

    def default_priors(self):
        lowest, c = self.usual[0] / self.reference, self.constants
        why = "a term of one standard deviation at the reference dose, or at the lowest dose in use if the power or logarithm is larger there"
        return {
            name: Prior("normal", mu=0.0, sigma=1 / max(1.0, abs(float(self.column(k, lowest, (), c)))), why=why)
            for k, name in enumerate(self.coefficients)
        }


class Power(Shape):
    """effect * ((dose + 0.05 reference) / (1.05 reference))^log(growth): `effect` at the reference dose, times about `growth` for every e-fold
    dose; it rises where growth is above 1, is flat at 1 and falls below."""

    name, coefficients, nonlinear = "power", ("effect",), ("growth",)
    when = "as a factor of another dose, which it may raise or lower and never turns round"
    zero_at_zero = False

    @staticmethod
    def column(k, x, p, c):
        return np.exp(np.log(p[0]) * (np.log(x + 0.05) - np.log(1.05)))

    @staticmethod
    def slopes(x, p, c, found):
        distance = np.log(x + 0.05) - np.log(1.05)
        value = np.exp(np.log(p[0]) * distance)
        found[0, 0], found[0, 1] = value * np.log(p[0]) / (x + 0.05), value * distance / p[0]

    def default_priors(self):
        growth = Prior(
            "lognormal", mu=0.0, sigma=1.0, why="from steeper than in proportion to the dose to as steep a fall; 1 is flat"
        )
        return {"effect": effect_prior("effect of the reference dose"), "growth": growth}
