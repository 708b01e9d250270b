"""Families of priors: their parameters, their distributions in scipy, and the member that has stated quantiles.

Every family is location-scale on a scale of its own: normal and t as they are, log-normal and log-t in logarithms, correlations in
Fisher's z; half-normal and half-Cauchy have a scale alone. So quantiles determine parameters by a straight line.
"""

import numpy as np
from scipy.special import ndtr, ndtri, stdtr, stdtrit

PARAMETERS: dict[str, tuple[str, ...]] = {
    "normal": ("mu", "sigma"),
    "halfnormal": ("sigma",),
    "halfcauchy": ("scale",),
    "lognormal": ("mu", "sigma"),
    "logt": ("mu", "sigma", "nu"),
    "correlation": ("mu", "sigma"),
    "beta": ("alpha", "beta"),
}
"""Parameters of each family. Those of the lognormal and of the logt (a Student t with nu degrees of freedom) are of the logarithm, of
the correlation those of Fisher's z, atanh of the correlation; it may have a `lower` too, and is then cut there."""

MISFIT = 0.25
"""Quantiles may miss a family by this many standard deviations (normal scores): one stated as the median may lie at 0.40 to 0.60."""


class Transformed:
    """A function (exp or tanh) of what a frozen scipy distribution describes; the methods of one that priors need."""

    def __init__(self, base, function, inverse, log_slope, support: tuple[float, float]):
        self.base, self.function, self.inverse, self.log_slope, self.support = base, function, inverse, log_slope, support

    def _inside(self, value):
        return np.clip(value, *np.nextafter(self.support, self.support[::-1]))

    def rvs(self, size=None, random_state=None):
        return self.function(self.base.rvs(size=size, random_state=random_state))

    def ppf(self, q):
        return self.function(self.base.ppf(q))

    def cdf(self, value):
        return self.base.cdf(self.inverse(self._inside(value)))

    def logpdf(self, value):
        inside = self._inside(value)
        density = self.base.logpdf(self.inverse(inside)) + self.log_slope(inside)
        return np.where((value > self.support[0]) & (value < self.support[1]), density, -np.inf)

    def pdf(self, value):
        return np.exp(self.logpdf(value))

    def median(self) -> float:
        return float(self.ppf(0.5))


def frozen(family: str, parameters: dict[str, float]):
    """The distribution of a family as scipy has them."""
    from scipy import stats

    p = parameters
    return {
        "normal": lambda: stats.norm(p["mu"], p["sigma"]),
        "halfnormal": lambda: stats.halfnorm(scale=p["sigma"]),
        "halfcauchy": lambda: stats.halfcauchy(scale=p["scale"]),
        "lognormal": lambda: stats.lognorm(s=p["sigma"], scale=np.exp(p["mu"])),
        "logt": lambda: Transformed(
            stats.t(p["nu"], p["mu"], p["sigma"]), np.exp, np.log, lambda value: -np.log(value), support=(0.0, np.inf)
        ),
        "correlation": lambda: Transformed(
            _above(p["mu"], p["sigma"], p.get("lower", -1.0)),
            np.tanh,
            np.arctanh,
            lambda r: -np.log1p(-(r**2)),
            support=(p.get("lower", -1.0), 1.0),
        ),
        "beta": lambda: stats.beta(p["alpha"], p["beta"]),
    }[family]()


def _above(mu: float, sigma: float, lower: float):
    """Fisher's z of correlations above `lower`."""
    from scipy import stats

    if lower <= -1:
        return stats.norm(mu, sigma)
    return stats.truncnorm((np.arctanh(lower) - mu) / sigma, np.inf, mu, sigma)


def from_quantiles(family: str, points: tuple[tuple[float, float], ...], nu: float | None = None) -> dict[str, float]:
    """Parameters of the family whose quantiles are these points, (probability, value): exactly for as many as it has parameters, else by
    least squares on the family's own scale.

    Raises ValueError where a value cannot be, there are too few, or the closest member misses one by more than `MISFIT`.
    """
    p, values = np.array(points, float).reshape(-1, 2).T
    free = [name for name in PARAMETERS[family] if name != "nu"]
    low, high = {"normal": (-np.inf, np.inf), "correlation": (-1, 1)}.get(family, (0, np.inf))
    if not ((values > low) & (values < high)).all():
        where = "positive" if low == 0 else f"between {low} and {high}"
        raise ValueError(f"values of a {family} prior are {where}, got {', '.join(f'{value:g}' for value in values)}")
    if len(p) < len(free):
        raise ValueError(f"a {family} prior takes at least {len(free)} quantiles, got {len(p)}")
    with np.errstate(all="ignore"):
        score = _standard_quantile(family, p, nu)
        if len(free) == 1:
            scale = float(np.exp(np.mean(np.log(values) - np.log(score))))
            found, at = {free[0]: scale}, values / scale
        else:
            own = {"normal": np.positive, "correlation": np.arctanh}.get(family, np.log)(values)
            apart = score - score.mean()
            sigma = float(apart @ own / (apart @ apart))
            mu = float(own.mean() - sigma * score.mean())
            found, at = {"mu": mu, "sigma": sigma} | ({} if nu is None else {"nu": nu}), (own - mu) / sigma
    if not (np.isfinite([*found.values()]).all() and found[free[-1]] > 0):
        raise ValueError(f"no {family} prior has these quantiles: they are too large, too small, or too close to each other")
    _check_misfit(family, p, values, _standard_cdf(family, at, nu))
    return found


def _check_misfit(family: str, p: np.ndarray, values: np.ndarray, reached: np.ndarray) -> None:
    if (np.abs(ndtri(reached) - ndtri(p)) > MISFIT).any():
        lines = [f"{value:g} at {a:g} (the closest has {b:.2g} below it)" for a, value, b in zip(p, values, reached, strict=True)]
        raise ValueError(f"no {family} prior has these quantiles: {', '.join(lines)}; give fewer of them, or another family")


def _standard_quantile(family: str, p: np.ndarray, nu: float | None) -> np.ndarray:
    if family == "halfnormal":
        return ndtri((1 + p) / 2)
    if family == "halfcauchy":
        return np.tan(np.pi / 2 * p)
    return stdtrit(nu, p) if family == "logt" else ndtri(p)


def _standard_cdf(family: str, x: np.ndarray, nu: float | None) -> np.ndarray:
    if family == "halfnormal":
        return 2 * ndtr(x) - 1
    if family == "halfcauchy":
        return np.arctan(x) * 2 / np.pi
    return stdtr(nu, x) if family == "logt" else ndtr(x)
