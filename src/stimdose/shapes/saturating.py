"""Shapes that rise to a plateau."""

import numpy as np

from ..priors import Prior
from .base import LEAST, Shape, effect_prior


class Emax(Shape):
    """maximum * dose / (ed50 + dose): a plateau at `maximum`, half of it at dose `ed50`."""

    name, coefficients, nonlinear = "emax", ("maximum",), ("ed50",)
    when = "saturation: more is better, less and less so"

    @staticmethod
    def column(k, x, p, c):
        return x / (p[0] / c[0] + x)

    @staticmethod
    def slopes(x, p, c, found):
        half = p[0] / c[0]
        found[0, 0], found[0, 1] = half / (half + x) ** 2, -x / (half + x) ** 2 / c[0]

    def default_priors(self):
        return {
            "maximum": effect_prior("plateau"),
            "ed50": self.ed50_prior(),
        }

    def ed50_prior(self) -> Prior:
        return Prior(
            "lognormal",
            interval=(self.usual[0] / 3, self.usual[1]),
            why="half the plateau is reached somewhere in, or just below, the doses in use",
        )


class SigmoidEmax(Emax):
    """maximum * dose^hill / (ed50^hill + dose^hill): as Emax, but the rise is slow at first where `hill` is above 1."""

    name, nonlinear = "sigmoid-emax", ("ed50", "hill")
    when = "saturation after a threshold, with doses on both sides of the steep part"

    @staticmethod
    def column(k, x, p, c):
        return 0.5 + 0.5 * np.tanh(0.5 * p[1] * (np.log(x + LEAST) - np.log(p[0] / c[0])))  # powers would overflow

    @staticmethod
    def slopes(x, p, c, found):
        distance = np.log(x + LEAST) - np.log(p[0] / c[0])
        gain = 0.25 * (1 - np.tanh(0.5 * p[1] * distance) ** 2)
        found[0, 0], found[0, 1], found[0, 2] = gain * p[1] / (x + LEAST), -gain * p[1] / p[0], gain * distance

    def default_priors(self):
        hill = Prior("lognormal", interval=(0.5, 5), why="from a slow rise to nearly a step; 1 is Emax")
        return super().default_priors() | {"hill": hill}


class Exponential(Shape):
    """maximum * (1 - exp(-dose/scale)): a plateau at `maximum`, 63 % of it at dose `scale` and 95 % at three times that."""

    name, coefficients, nonlinear = "exponential", ("maximum",), ("scale",)
    when = "saturation that is complete within the doses in use; Emax approaches its plateau more slowly"

    @staticmethod
    def column(k, x, p, c):
        return -np.expm1(-x * c[0] / p[0])

    @staticmethod
    def slopes(x, p, c, found):
        rate = c[0] / p[0]
        found[0, 0], found[0, 1] = rate * np.exp(-x * rate), -x * rate * np.exp(-x * rate) / p[0]

    def default_priors(self):
        return {
            "maximum": effect_prior("plateau"),
            "scale": Prior(
                "lognormal",
                interval=(self.usual[0] / 3, self.usual[1]),
                why="63 % of the plateau is reached somewhere in, or just below, the doses in use",
            ),
        }


class Plateau(Shape):
    """maximum * min(dose/plateau, 1): a straight rise up to the dose `plateau`, and none beyond it."""

    name, coefficients, nonlinear = "plateau", ("maximum",), ("plateau",)
    when = "every dose adds as much as the one before, up to a dose beyond which nothing is gained"

    @staticmethod
    def column(k, x, p, c):
        done = x * c[0] / p[0]
        return 0.5 * (done + 1 - abs(done - 1))

    @staticmethod
    def slopes(x, p, c, found):
        rising = x * c[0] < p[0]
        found[0, 0], found[0, 1] = (c[0] / p[0], -x * c[0] / p[0] ** 2) if rising else (0.0, 0.0)

    def default_priors(self):
        return {
            "maximum": effect_prior("plateau"),
            "plateau": Prior("lognormal", interval=self.usual, why="the rise ends somewhere in the doses in use"),
        }
