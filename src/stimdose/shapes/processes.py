"""A smooth curve of any form."""

import numpy as np

from ..priors import Prior
from .base import TINY, Shape

BOUNDARY = 2.0
"""The waves vanish at this many half ranges from the middle of the range (log dose)."""

PER_WAVE = 1.75 * BOUNDARY
"""The shortest lengthscale that some waves can follow is this many half ranges over their number."""


class GaussianProcess(Shape):
    """sum_k wave_k * amplitude * sqrt(S(omega_k)) * phi_k(log dose): a Gaussian process with standard deviation `amplitude` and
    exponentiated quadratic covariance exp(-(difference of log doses / lengthscale)^2 / 2), as a sum of sine waves phi_k; S is its
    spectral density (Solin and Sarkka 2020, Stat Comput 30:419; Riutort-Mayol and others 2023, Stat Comput 33:17).

    waves: their number, default 12. between: the range of doses that the waves are made for, by default the lowest and highest
        positive dose of a table.
    """

    name, options, nonlinear = "gaussian-process", ("waves", "between"), ("amplitude", "lengthscale")
    on_effect_scale = ("amplitude",)
    zero_at_zero, can_peak, on_log_scale = False, True, True
    by_group, by_study, named = False, False, False
    when = "a curve of any form over a wide range of doses; among few trials its prior decides"

    def complete(self, options):
        super().complete(options)
        self.waves = 12 if self.waves is None else self.waves
        if self.waves != int(self.waves) or self.waves < 1:
            raise ValueError(f"waves must be a whole number of 1 or more, got {self.waves}")
        self.coefficients = tuple(f"wave_{k}" for k in range(1, int(self.waves) + 1))
        if self.between is not None:
            self.between = tuple(float(dose) for dose in self.between)
            if len(self.between) != 2 or not 0 < self.between[0] < self.between[1] < np.inf:
                raise ValueError(f"between must be (low, high) with 0 < low < high, got {self.between}")

    def place(self, doses):
        if self.between is not None:
            return {}
        positive = np.unique([dose for dose in doses if dose > 0])
        if len(positive) < 2:
            raise ValueError("a Gaussian process needs two different positive doses; state its range, as in between = [1, 50]")
        return {"between": (float(positive[0]), float(positive[-1]))}

    def misfit(self, nonlinear):
        """By the rule of Riutort-Mayol and others (2023), at the 2.5 % quantile of the lengthscale."""
        if self.between is None:
            return None
        lengthscale = nonlinear["lengthscale"]
        shortest = float(lengthscale.distribution.ppf(0.025) if isinstance(lengthscale, Prior) else lengthscale)
        needed = int(np.ceil(PER_WAVE * half_range(self.between) / shortest - 1e-6))
        if self.waves >= needed:
            return None
        low, high = self.between
        return (
            f"{self.waves} waves cannot follow a lengthscale of {shortest:.2g} (log dose; the 2.5 % quantile of a prior) "
            f"between {low:g} and {high:g}: set waves = {needed}, or a prior of longer lengthscales"
        )

    @property
    def domain(self):
        """The range, widened by a tenth of it (log dose) at each side."""
        if self.between is None:
            return TINY * self.reference, np.inf
        (low, high), beyond = self.between, np.exp(0.2 * half_range(self.between))
        return low / beyond, high * beyond

    @property
    def constants(self):
        """Reference; where the waves begin and over what length (log of dose/reference)."""
        if self.between is None:
            raise ValueError(
                "the range of a Gaussian process is not known yet: state `between`, or take it from a table (`place`)"
            )
        middle, half = np.log(self.between).mean() - np.log(self.reference), half_range(self.between)
        return np.array([self.reference, middle - BOUNDARY * half, 2 * BOUNDARY * half])

    @staticmethod
    def column(k, x, p, c):
        omega = (k + 1) * np.pi / c[2]
        root = np.sqrt(p[1]) * (2 * np.pi) ** 0.25 * np.exp(-((p[1] * omega) ** 2) / 4)
        return p[0] * root * np.sqrt(2 / c[2]) * np.sin(omega * (x - c[1]))

    @staticmethod
    def slopes(x, p, c, found):
        for k in range(len(found)):
            omega = (k + 1) * np.pi / c[2]
            root = np.sqrt(p[1]) * (2 * np.pi) ** 0.25 * np.exp(-((p[1] * omega) ** 2) / 4)
            height, angle = root * np.sqrt(2 / c[2]), omega * (x - c[1])
            found[k, 0], found[k, 1] = p[0] * height * omega * np.cos(angle), height * np.sin(angle)
            found[k, 2] = p[0] * found[k, 1] * (0.5 / p[1] - 0.5 * p[1] * omega**2)

    def default_priors(self):
        half, shortest = half_range(self.between or self.usual), PER_WAVE / self.waves
        wave = Prior("normal", mu=0.0, sigma=1.0, why="standard normal by construction: the amplitude is their scale")
        return dict.fromkeys(self.coefficients, wave) | {
            "amplitude": Prior(
                "lognormal", interval=(0.05, 1.0), why="how far the curve strays from its level, in standard deviations"
            ),
            "lengthscale": Prior(
                "lognormal",
                interval=(shortest * half, 2.5 * shortest * half),
                why="at most a few rises and falls over the range of doses, and none that the waves cannot follow",
            ),
        }


def half_range(between: tuple[float, float]) -> float:
    """Half the length of a range of doses (log)."""
    return 0.5 * float(np.log(between[1] / between[0]))
