"""The log density of what was sampled, at given positions: of another prior at the same draws, and for marginal likelihoods."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .encoding import Layout, encode
from .model import Model
from .program import FAMILIES, Program
from .rows import Rows


@dataclass(frozen=True)
class Density:
    """log p(y, v): what the sampler saw of a model and a table, everything Gaussian integrated out, at *places* v (draws, d).

    A place is a position of the sampler, but log|x| stands for a standard deviation that is sampled as x with a sign (see `program`). So
    every place is a point of R^d, means the same under any prior of the same support, and the density has no copies by sign.
    """

    program: Program
    layout: Layout

    @classmethod
    def of(cls, model: Model, rows: Rows) -> "Density":
        return cls(*encode(model, rows))

    @cached_property
    def folded(self) -> np.ndarray:
        """Whether each parameter (d,) is sampled with a sign."""
        return np.array([FAMILIES[family].startswith("folded") for family in self.program.sampled.family])

    @property
    def size(self) -> int:
        return len(self.folded)

    def places(self, positions: np.ndarray) -> np.ndarray:
        """The places (draws, d) of positions; standard normals that a standard deviation multiplies change their sign with it."""
        sampled, missing = self.program.sampled, self.program.missing
        pairs = sampled.grouped[:, 1:], np.column_stack([missing.spread, missing.own])[missing.is_bounded == 0]
        sign = np.where(self.folded & (positions < 0), -1.0, 1.0)
        found = positions.copy()
        for spread, normal in np.unique(np.concatenate(pairs), axis=0):  # a pair stands there for every combination of groups
            found[:, normal] *= sign[:, spread]
        found[:, self.folded] = np.log(np.abs(found[:, self.folded]))
        return found

    def positions(self, places: np.ndarray) -> np.ndarray:
        """Positions (draws, d) at places, the signs positive."""
        return np.ascontiguousarray(np.where(self.folded, np.exp(np.where(self.folded, places, 0.0)), places))

    def at(self, places: np.ndarray) -> np.ndarray:
        """log p(y, v) (draws,) of places v, -inf where it is not finite."""
        from .nuts import Geometry, Target

        origin = Geometry(np.zeros(self.size), np.ones((1, self.size)), self.folded)
        target = Target({"position": ("parameter",)}, self.program, None, origin)
        found = np.array([target.density(position)[0] for position in self.positions(places)])
        return found + (places[:, self.folded] + np.log(2)).sum(axis=1)
