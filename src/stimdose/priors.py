"""Prior: a family, its parameters, and why."""

from functools import cached_property
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator
from scipy.special import ndtri

Family = Literal["normal", "halfnormal", "halfcauchy", "lognormal", "correlation", "beta"]

PARAMETERS: dict[str, tuple[str, ...]] = {
    "normal": ("mu", "sigma"),
    "halfnormal": ("sigma",),
    "halfcauchy": ("scale",),
    "lognormal": ("mu", "sigma"),
    "correlation": ("mu", "sigma"),
    "beta": ("alpha", "beta"),
}
"""Parameters of each family; mu and sigma of the lognormal are those of the logarithm, of the correlation those of Fisher's z,
atanh of the correlation."""


class FisherNormal:
    """A correlation whose Fisher z is Normal(mu, sigma); the methods of a frozen scipy distribution that priors need."""

    def __init__(self, mu: float, sigma: float):
        from scipy import stats

        self.z = stats.norm(mu, sigma)

    def rvs(self, size=None, random_state=None):
        return np.tanh(self.z.rvs(size=size, random_state=random_state))

    def ppf(self, q):
        return np.tanh(self.z.ppf(q))

    def cdf(self, r):
        return self.z.cdf(np.arctanh(r))

    def pdf(self, r):
        return self.z.pdf(np.arctanh(r)) / (1 - np.asarray(r) ** 2)

    def median(self) -> float:
        return float(np.tanh(self.z.mean()))


class Prior(BaseModel):
    """A prior distribution with its reason.

    Give the parameters of the family, or `interval=(low, high)` that holds `prob` of the distribution with equal tails (for
    half-normal and half-Cauchy the interval starts at zero).

        Prior("lognormal", interval=(2.5, 40), prob=0.95, why="the protocols in use")
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    family: Family
    mu: float | None = None
    sigma: float | None = Field(None, gt=0)
    scale: float | None = Field(None, gt=0)
    alpha: float | None = Field(None, gt=0)
    beta: float | None = Field(None, gt=0)
    interval: tuple[float, float] | None = None
    prob: float = Field(0.95, gt=0, lt=1)
    why: str = ""

    def __init__(self, family: str | None = None, /, **fields):
        super().__init__(**({"family": family} if family is not None else {}), **fields)

    @model_validator(mode="after")
    def _complete(self):
        needed = set(PARAMETERS[self.family])
        given = {name for name in ("mu", "sigma", "scale", "alpha", "beta") if getattr(self, name) is not None}
        if self.interval is None and given != needed:
            raise ValueError(
                f"a {self.family} prior takes {' and '.join(sorted(needed))}, or an interval; it was given {sorted(given) or 'nothing'}"
            )
        if self.interval is not None:
            low, high = self.interval
            if self.family == "beta":
                raise ValueError("a beta prior takes alpha and beta, not an interval")
            if given:
                raise ValueError(f"a prior takes an interval or parameters, not both ({sorted(given)})")
            if not (np.isfinite(low) and np.isfinite(high) and low < high):
                raise ValueError(f"interval must be (low, high) with low < high, got {self.interval}")
            if self.family == "lognormal" and low <= 0:
                raise ValueError(f"the interval of a lognormal prior must be positive, got {self.interval}")
            if self.family == "correlation" and not -1 < low < high < 1:
                raise ValueError(f"the interval of a correlation prior lies between -1 and 1, got {self.interval}")
            if self.family.startswith("half") and low != 0:
                raise ValueError(f"the interval of a {self.family} prior starts at 0, got {self.interval}")
        return self

    @cached_property
    def parameters(self) -> dict[str, float]:
        """Parameters of the family; solved from the interval where one was given."""
        if self.interval is None:
            return {name: getattr(self, name) for name in PARAMETERS[self.family]}
        low, high = self.interval
        z = ndtri((1 + self.prob) / 2)
        if self.family == "halfnormal":
            return {"sigma": high / float(z)}
        if self.family == "halfcauchy":
            return {"scale": high / float(np.tan(np.pi / 2 * self.prob))}
        if self.family == "lognormal":
            low, high = np.log(low), np.log(high)
        if self.family == "correlation":
            low, high = np.arctanh(low), np.arctanh(high)
        return {"mu": float((low + high) / 2), "sigma": float((high - low) / 2 / z)}

    @property
    def is_gaussian(self) -> bool:
        """Whether a coefficient with this prior can be integrated out exactly."""
        return self.family == "normal"

    @property
    def is_positive(self) -> bool:
        return self.family not in ("normal", "correlation", "beta")

    @cached_property
    def distribution(self):
        """The prior as a frozen scipy distribution."""
        from scipy import stats

        p = self.parameters
        return {
            "normal": lambda: stats.norm(p["mu"], p["sigma"]),
            "halfnormal": lambda: stats.halfnorm(scale=p["sigma"]),
            "halfcauchy": lambda: stats.halfcauchy(scale=p["scale"]),
            "lognormal": lambda: stats.lognorm(s=p["sigma"], scale=np.exp(p["mu"])),
            "correlation": lambda: FisherNormal(p["mu"], p["sigma"]),
            "beta": lambda: stats.beta(p["alpha"], p["beta"]),
        }[self.family]()

    def scaled(self, factor: float) -> "Prior":
        """The prior of `factor` times the quantity."""
        if factor == 1.0 or self.family in ("correlation", "beta"):
            return self
        p = self.parameters
        if self.family == "lognormal":
            p = {"mu": p["mu"] + float(np.log(factor)), "sigma": p["sigma"]}
        else:
            p = {name: value * factor for name, value in p.items()}
        return Prior(self.family, **p, why=self.why)

    def variable(self, name: str, parameters: dict):
        """A random variable of the current PyMC model with this family, and `parameters` in place of the prior's own numbers."""
        import pymc as pm

        if self.family == "correlation":
            z = pm.Normal(f"{name}_z", parameters["mu"], parameters["sigma"])
            return pm.Deterministic(name, pm.math.tanh(z))
        families = {"normal": pm.Normal, "halfnormal": pm.HalfNormal, "halfcauchy": pm.HalfCauchy, "lognormal": pm.LogNormal}
        distribution = (families | {"beta": pm.Beta})[self.family]
        return distribution(name, *(parameters[parameter] for parameter in PARAMETERS[self.family]))

    def as_dict(self) -> dict:
        """What was given, for TOML."""
        fields = self.model_dump(exclude_none=True)
        if self.interval is None:
            fields.pop("prob", None)
        else:
            fields["interval"] = list(self.interval)
        return {key: value for key, value in fields.items() if value != ""}

    def __str__(self) -> str:
        return f"{self.family}({', '.join(f'{name}={value:.3g}' for name, value in self.parameters.items())})"
