"""Shapes that rise to a plateau."""

from ..priors import Prior
from .base import Shape, effect_prior


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
            "ed50": Prior(
                "lognormal",
                interval=(self.usual[0] / 3, self.usual[1]),
                why="half the plateau is reached somewhere in, or just below, the doses in use",
            ),
        }
