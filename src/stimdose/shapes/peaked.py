"""Shapes with one optimum."""

import numpy as np

from ..priors import Prior
from .base import Shape


class Bell(Shape):
    """amplitude * exp(-((log dose - log peak) / width)^2 / 2): one optimum at `peak`, `width` on the log scale."""

    name, coefficients, nonlinear = "bell", ("amplitude",), ("peak", "width")
    can_peak, on_log_scale = True, True
    when = "too little and too much are both worse, as with frequency"

    @staticmethod
    def column(k, x, p, c):
        return np.exp(-0.5 * ((x - np.log(p[0] / c[0])) / p[1]) ** 2)

    @staticmethod
    def slopes(x, p, c, found):
        distance = (x - np.log(p[0] / c[0])) / p[1]
        gain = np.exp(-0.5 * distance**2) * distance / p[1]
        found[0, 0], found[0, 1], found[0, 2] = -gain, gain / p[0], gain * distance

    def default_priors(self):
        return {
            "amplitude": amplitude_prior(),
            "peak": Prior("lognormal", interval=self.usual, why="the optimum lies among the doses in use"),
            "width": Prior(
                "lognormal",
                interval=(0.25, 1.5),
                why="between a quarter of a log unit (a sharp optimum) and wider than the doses in use",
            ),
        }


def amplitude_prior() -> Prior:
    return Prior("halfnormal", sigma=1.0, why="height of the bell; positive, because a trough at the edge can rival a bump")
