"""Prior: a family, its parameters, and why."""

from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import BeforeValidator, Field, WrapValidator, field_validator, model_validator

from .errors import nearest
from .families import PARAMETERS, from_quantiles, frozen
from .validity import Spec, not_text

Family = Literal["normal", "halfnormal", "halfcauchy", "lognormal", "logt", "correlation", "beta"]
_LOG_SCALE = ("lognormal", "logt")


def _points(quantiles: Any) -> tuple[tuple[float, float], ...] | None:
    """Quantiles by probability, or pairs of the two, in their order; in TOML the probabilities are words."""
    if quantiles is None:
        return None
    try:
        pairs = sorted((float(p), float(value)) for p, value in dict(quantiles).items())
    except (TypeError, ValueError):
        raise ValueError(f"quantiles are values by probability, such as {{0.1: 5, 0.9: 30}}, got {quantiles!r}") from None
    p, values = np.array(pairs).reshape(-1, 2).T
    if not (len(p) == len(quantiles) and ((p > 0) & (p < 1)).all() and np.isfinite(values).all() and (np.diff(values) > 0).all()):
        raise ValueError(f"quantiles rise with their probabilities, which lie between 0 and 1, got {quantiles!r}")
    return tuple(pairs)


def _known(family: Any) -> Any:
    if isinstance(family, str) and family not in PARAMETERS:
        raise ValueError(f"unknown family {family!r}{nearest(family, PARAMETERS)}; families are {', '.join(PARAMETERS)}")
    return family


class Prior(Spec):
    """A prior distribution with its reason.

    Give the parameters of the family; or `interval=(low, high)` that holds `prob` of the distribution with equal tails (for
    half-normal and half-Cauchy the interval starts at zero); or `quantiles`, values by probability. As many quantiles as the family
    has parameters are met exactly, more by least squares, with an error if they miss by much. A logt takes `nu` in any case. A
    correlation may have a `lower` end, at which it is cut.

        Prior("lognormal", interval=(2.5, 40), prob=0.95, why="the protocols in use")
        Prior("lognormal", quantiles={0.1: 5, 0.5: 10, 0.9: 30}, why="what three therapists expect")
    """

    family: Annotated[Family, BeforeValidator(_known)]
    mu: float | None = None
    sigma: float | None = Field(None, gt=0)
    scale: float | None = Field(None, gt=0)
    nu: float | None = Field(None, gt=0)
    lower: float | None = Field(None, gt=-1, lt=1)
    alpha: float | None = Field(None, gt=0)
    beta: float | None = Field(None, gt=0)
    interval: tuple[float, float] | None = None
    prob: float = Field(0.95, gt=0, lt=1)
    quantiles: Annotated[tuple[tuple[float, float], ...] | None, BeforeValidator(_points)] = None
    why: str = ""

    positional: ClassVar = ("family",)
    if TYPE_CHECKING:

        def __init__(self, family: Family, **fields: Any) -> None: ...

    _numbers = field_validator("mu", "sigma", "scale", "nu", "lower", "alpha", "beta", "interval", "prob", mode="before")(
        not_text
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        needed = set(PARAMETERS[self.family])
        given = {name for name in ("mu", "sigma", "scale", "nu", "alpha", "beta") if getattr(self, name) is not None}
        if self.is_elicited:
            if self.family == "beta":
                raise ValueError("a beta prior takes alpha and beta, not an interval or quantiles")
            needed &= {"nu"}
            if self.interval and self.quantiles:
                raise ValueError("a prior takes an interval or quantiles, not both")
            if given - needed:
                raise ValueError(f"a prior takes an interval, quantiles or parameters, not both ({sorted(given - needed)})")
        if self.lower is not None and self.family != "correlation":
            raise ValueError(f"a {self.family} prior has no `lower` end")
        if given != needed:
            raise ValueError(
                f"a {self.family} prior takes {' and '.join(sorted(needed))}{'' if self.is_elicited else ', or an interval or quantiles'}; "
                f"it was given {sorted(given) or 'nothing'}"
            )
        if self.interval:
            low, high = self.interval
            if not (np.isfinite(low) and np.isfinite(high) and low < high):
                raise ValueError(f"interval must be (low, high) with low < high, got {self.interval}")
            if self.family.startswith("half") and low != 0:
                raise ValueError(f"the interval of a {self.family} prior starts at 0, got {self.interval}")
        if self.is_elicited:
            assert self.parameters  # found now, so that what cannot be is refused here
        return self

    @property
    def is_elicited(self) -> bool:
        """Whether its parameters follow from an interval or from quantiles."""
        return self.interval is not None or self.quantiles is not None

    @cached_property
    def parameters(self) -> dict[str, float]:
        """Parameters of the family; solved from the interval or the quantiles where these were given."""
        lower = {} if self.lower is None else {"lower": self.lower}
        if not self.is_elicited:
            return {name: getattr(self, name) for name in PARAMETERS[self.family]} | lower
        points = self.quantiles
        if self.interval:
            (low, high), tail = self.interval, (1 - self.prob) / 2
            points = ((self.prob, high),) if self.family.startswith("half") else ((tail, low), (1 - tail, high))
        return from_quantiles(self.family, points, self.nu) | lower

    @property
    def is_gaussian(self) -> bool:
        """Whether a coefficient with this prior can be integrated out exactly."""
        return self.family == "normal"

    @property
    def is_positive(self) -> bool:
        return self.family not in ("normal", "correlation", "beta")

    @cached_property
    def distribution(self) -> Any:
        """The prior as a frozen scipy distribution."""
        return frozen(self.family, self.parameters)

    def scaled(self, factor: float) -> "Prior":
        """The prior of `factor` times the quantity."""
        if factor == 1.0 or self.family in ("correlation", "beta"):
            return self
        p = dict(self.parameters)
        if self.family in _LOG_SCALE:
            p["mu"] += float(np.log(factor))
        else:
            p = {name: value * factor for name, value in p.items()}
        return Prior(self.family, **p, why=self.why)

    def widened(self, factor: float) -> "Prior":
        """The same family with `factor` times the spread, around the same median (which half-normal and half-Cauchy move along); of
        log-normal and log-t the spread is that of the logarithm."""
        if factor == 1.0:
            return self
        p = self.parameters
        return Prior(
            self.family,
            **{name: value * factor if name in ("sigma", "scale") else value for name, value in p.items()},
            why=self.why,
        )

    def above(self, lower: float) -> "Prior":
        """A correlation, cut at its lower end."""
        return Prior(self.family, **(self.parameters | {"lower": max(lower, self.parameters.get("lower", -1.0))}), why=self.why)

    def variable(self, name: str, parameters: dict) -> Any:
        """A random variable of the current PyMC model with this family, and `parameters` in place of the prior's own numbers."""
        import pymc as pm

        if self.family == "correlation":
            ends = {} if self.lower is None else {"lower": float(np.arctanh(self.lower))}
            z = (pm.TruncatedNormal if ends else pm.Normal)(f"{name}_z", parameters["mu"], parameters["sigma"], **ends)
            return pm.Deterministic(name, pm.math.tanh(z))
        if self.family == "logt":
            logarithm = pm.StudentT(f"{name}_log", **parameters)
            return pm.Deterministic(name, pm.math.exp(logarithm))
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
        if self.quantiles:
            fields["quantiles"] = {repr(p): value for p, value in self.quantiles}
        return {key: value for key, value in fields.items() if value != ""}

    def __str__(self) -> str:
        return f"{self.family}({', '.join(f'{name}={round(value, 12):.3g}' for name, value in self.parameters.items())})"


def _prior_or_false(value: Any, validate: Any) -> Any:
    if isinstance(value, Prior | dict):
        return validate(value)
    if value is False:
        return False
    raise ValueError("it is a prior, or false to leave this level out")


if TYPE_CHECKING:
    PriorOrFalse = Prior | Literal[False]
else:
    PriorOrFalse = Annotated[Prior, WrapValidator(_prior_or_false)]
"""The prior of a level of the model, or False where it has no such level (not None: in TOML that could not be written)."""
