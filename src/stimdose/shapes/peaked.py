"""Shapes with one optimum."""

import numpy as np

from ..priors import Prior
from .base import LEAST, Shape


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
            "peak": peak_prior(self.usual),
            "width": width_prior(),
        }


class AsymmetricBell(Shape):
    """A bell of `width_below` at doses below its `peak` and `width_above` at doses above it, both on the log scale."""

    name, coefficients, nonlinear = "asymmetric-bell", ("amplitude",), ("peak", "width_below", "width_above")
    can_peak, on_log_scale = True, True
    when = "an optimum that is reached at another pace than it is left, with doses well on both sides of it"

    @staticmethod
    def column(k, x, p, c):
        distance = x - np.log(p[0] / c[0])
        below, above = 0.5 * (distance - abs(distance)), 0.5 * (distance + abs(distance))
        return np.exp(-0.5 * (below / p[1] + above / p[2]) ** 2)

    @staticmethod
    def slopes(x, p, c, found):
        distance = x - np.log(p[0] / c[0])
        width = p[1] if distance < 0 else p[2]
        distance = distance / width
        gain = np.exp(-0.5 * distance**2) * distance / width
        found[0, 0], found[0, 1] = -gain, gain / p[0]
        found[0, 2], found[0, 3] = (gain * distance, 0.0) if distance < 0 else (0.0, gain * distance)

    def default_priors(self):
        return {
            "amplitude": amplitude_prior(),
            "peak": peak_prior(self.usual),
            "width_below": width_prior(),
            "width_above": width_prior(),
        }


class Gamma(Shape):
    """amplitude * (dose/peak)^steepness * exp(steepness * (1 - dose/peak)): zero at dose zero, one optimum at `peak`; there it is as
    wide as a bell of width 1/sqrt(steepness)."""

    name, coefficients, nonlinear = "gamma", ("amplitude",), ("peak", "steepness")
    can_peak = True
    when = "a true dose that helps up to a point and is lost beyond it (hormesis), with no effect at dose zero"

    @staticmethod
    def column(k, x, p, c):
        return np.exp(p[1] * (np.log(x + LEAST) - np.log(p[0] / c[0]) + 1 - x * c[0] / p[0]))

    @staticmethod
    def slopes(x, p, c, found):
        ratio = x * c[0] / p[0]
        below = np.log(x + LEAST) - np.log(p[0] / c[0]) + 1 - ratio
        value = np.exp(p[1] * below)
        found[0, 0], found[0, 1] = value * p[1] * (1 / (x + LEAST) - c[0] / p[0]), value * p[1] * (ratio - 1) / p[0]
        found[0, 2] = value * below

    def default_priors(self):
        return {
            "amplitude": amplitude_prior(),
            "peak": peak_prior(self.usual),
            "steepness": Prior("lognormal", interval=(0.5, 16), why="as wide at its peak as bells of width 1.4 to 0.25"),
        }


def peak_prior(usual: tuple[float, float]) -> Prior:
    return Prior("lognormal", interval=usual, why="the optimum lies among the doses in use")


def width_prior() -> Prior:
    why = "between a quarter of a log unit (a sharp optimum) and wider than the doses in use"
    return Prior("lognormal", interval=(0.25, 1.5), why=why)


def amplitude_prior() -> Prior:
    return Prior("halfnormal", sigma=1.0, why="height of the optimum; positive, because a trough at the edge can rival a bump")
