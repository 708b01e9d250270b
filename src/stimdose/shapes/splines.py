"""Shapes that are piecewise polynomials between knots, which are doses."""

import numpy as np

from ..priors import Prior
from .base import Shape, effect_prior


class RestrictedCubicSpline(Shape):
    """slope * d plus a bend_j for every knot but the last two, d = dose/reference: cubic between the knots, straight beyond the first and
    the last. Bend j at knot t_j is the sum of truncated cubes of Hmisc's rcspline.eval, over (t_k - t_1)^2, so that it is in units of d
    (Stone and Koo 1985; Harrell 2015, Regression Modeling Strategies, 2.4).

    knots: 3 to 7 increasing doses; or their number, default 3, and `place` puts them where Hmisc does.
    """

    name, options = "restricted-cubic-spline", ("knots",)
    can_peak = True
    when = "a smooth curve of unknown form, among doses that many trials cover"

    def complete(self, options):
        super().complete(options)
        self.knots = 3 if self.knots is None else several(self.knots)
        number = count(self.knots)
        if not 3 <= number <= 7:
            raise ValueError(f"a restricted cubic spline has 3 to 7 knots, got {number}")
        self.coefficients = ("slope", *(f"bend_{j}" for j in range(1, number - 1)))

    def place(self, doses):
        if isinstance(self.knots, tuple):
            return {}
        doses, number = np.sort(doses), self.knots
        distinct, remedy = len(np.unique(doses)), "state knots, as in knots = [10, 20, 40], or take a shape of fewer parameters"
        if len(doses) < 6 or distinct < number:
            raise ValueError(
                f"{number} knots are placed among 6 doses or more, of which {number} differ; the table has {len(doses)} doses, of which "
                f"{distinct} differ: {remedy}"
            )
        outer = 0.1 if number == 3 else 0.025 if number == 7 else 0.05
        knots = np.quantile(doses, np.linspace(outer, 1 - outer, number))
        if len(doses) < 100:
            knots[0], knots[-1] = doses[4], doses[-5]
        if (np.diff(knots) <= 0).any():
            raise ValueError(f"{number} knots would be placed at {listed(knots)}, which do not increase: {remedy}")
        return {"knots": tuple(knots.tolist())}

    @property
    def constants(self):
        if not isinstance(self.knots, tuple):
            raise ValueError(f"{self.knots} knots have no place yet: state their doses, or take them from a table (`place`)")
        return np.array([self.reference, *(knot / self.reference for knot in self.knots)])

    @staticmethod
    def column(k, x, p, c):
        if k == 0:
            return x
        own, first, before, last = c[k], c[1], c[-2], c[-1]
        inside = 0.5 * (x + last - abs(x - last))  # the cubes beyond the last knot add up to a line, but lose digits
        cube = (0.5 * (inside - own + abs(inside - own))) ** 3
        cube_before = (0.5 * (inside - before + abs(inside - before))) ** 3
        line = 3 * (last - own) * (before - own) * (x - inside)
        return (cube - cube_before * (last - own) / (last - before) + line) / (last - first) ** 2

    @staticmethod
    def slopes(x, p, c, found):
        first, before, last = c[1], c[-2], c[-1]
        found[0, 0], inside = 1.0, min(x, last)
        for k in range(1, len(c) - 2):
            slope = max(inside - c[k], 0.0) ** 2 - max(inside - before, 0.0) ** 2 * (last - c[k]) / (last - before)
            found[k, 0] = 3 * slope / (last - first) ** 2

    def default_priors(self):
        why = "a bend of 1 changes the slope by one to two standard deviations a reference dose: a rise may turn into a fall"
        bends = {name: Prior("normal", mu=0.0, sigma=1.0, why=why) for name in self.coefficients[1:]}
        return {"slope": effect_prior("effect of one reference dose, below the first knot")} | bends


class Monotone(Shape):
    """rise * sum_k share_k * I_k(dose) / sum_k share_k, I_k the quadratic I-splines, which rise from 0 to 1 (Ramsay 1988, Stat Sci
    3:425): in every draw a curve that only rises, or only falls where `rise` is negative, and is flat outside the range `between`.

    knots: 1 to 7 doses inside the range; or their number, default 3, and `place` puts them at quantiles of the distinct doses. between:
        the range, by default from 0 to the highest dose.
    """

    name, options, coefficients = "monotone", ("knots", "between"), ("rise",)
    by_group = False
    when = "more is never worse, or never better, and nothing else is known"

    def complete(self, options):
        super().complete(options)
        self.knots = 3 if self.knots is None else several(self.knots)
        self.between = None if self.between is None else several(tuple(self.between))
        number = count(self.knots)
        if not 1 <= number <= 7:
            raise ValueError(f"a monotone curve has 1 to 7 knots inside its range, got {number}")
        if self.between is not None and len(self.between) != 2:
            raise ValueError(f"between must be (low, high), got {self.between}")
        if self.is_placed and not self.between[0] < self.knots[0] <= self.knots[-1] < self.between[1]:
            raise ValueError(f"knots at {listed(self.knots)} must lie inside the range between {listed(self.between)}")
        self.nonlinear = tuple(f"share_{k}" for k in range(1, number + 3))

    @property
    def is_placed(self) -> bool:
        return isinstance(self.knots, tuple) and self.between is not None

    def place(self, doses):
        found = {} if self.between else {"between": (0.0, float(max(doses, default=0.0)))}
        low, high = self.between or found["between"]
        if not low < high:
            raise ValueError(
                f"a monotone curve needs doses above {low:g}; state the range it rises over, as in between = [0, 40]"
            )
        if not isinstance(self.knots, tuple):
            distinct = np.unique([low, *(dose for dose in doses if low < dose < high), high])
            found["knots"] = tuple(np.quantile(distinct, np.linspace(0, 1, self.knots + 2)[1:-1]).tolist())
        return found

    @property
    def constants(self):
        if not self.is_placed:
            raise ValueError(
                "the knots or the range of a monotone curve are not known yet: state both, or take them from a table (`place`)"
            )
        low, high = self.between
        return np.array([self.reference, *(dose / self.reference for dose in (low, *self.knots, high))])

    @staticmethod
    def column(k, x, p, c):
        # The slope of the curve is linear between knots: at a knot, its share over the mean width of the intervals beside it.
        total, risen, last = p[0], 0.0, len(c) - 1
        for j in range(1, last):
            total = total + p[j]
            along = (x - c[j]) / (c[j + 1] - c[j])
            along = 0.5 * (1 + abs(along) - abs(along - 1))
            start, end = p[j - 1] / (c[j + 1] - c[max(j - 1, 1)]), p[j] / (c[min(j + 2, last)] - c[j])
            risen = risen + (c[j + 1] - c[j]) * (start * along * (2 - along) + end * along**2)
        return risen / total

    @staticmethod
    def slopes(x, p, c, found):
        total, risen, last = p.sum(), 0.0, len(c) - 1
        found[:] = 0.0
        for j in range(1, last):
            along = min(max((x - c[j]) / (c[j + 1] - c[j]), 0.0), 1.0)
            start, end = 1 / (c[j + 1] - c[max(j - 1, 1)]), 1 / (c[min(j + 2, last)] - c[j])
            if c[j] <= x < c[j + 1]:
                found[0, 0] = 2 * (p[j - 1] * start * (1 - along) + p[j] * end * along) / total
            found[0, j] += (c[j + 1] - c[j]) * start * along * (2 - along) / total
            found[0, j + 1] += (c[j + 1] - c[j]) * end * along**2 / total
        for k in range(last):
            risen += p[k] * found[0, 1 + k]
        for k in range(last):
            found[0, 1 + k] -= risen / total

    def default_priors(self):
        why = "how much of the rise lies around one knot: alike on average, and up to seven times more or less"
        shares = {name: Prior("lognormal", mu=0.0, sigma=1.0, why=why) for name in self.nonlinear}
        return {"rise": effect_prior("the whole rise over the range")} | shares


def several(knots) -> int | tuple[float, ...]:
    """Doses as a tuple, checked; a number as it is."""
    if np.ndim(knots) == 0:
        if knots != int(knots):
            raise ValueError(f"knots must be a whole number or several doses, got {knots}")
        return int(knots)
    doses = np.array(knots, float)
    if not np.isfinite(doses).all() or (doses < 0).any() or (np.diff(doses) <= 0).any():
        raise ValueError(f"knots and ranges are doses of 0 or more that increase, got {listed(doses)}")
    return tuple(doses.tolist())


def count(knots: int | tuple) -> int:
    return len(knots) if isinstance(knots, tuple) else knots


def listed(doses) -> str:
    return ", ".join(f"{dose:g}" for dose in doses)
