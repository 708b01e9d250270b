"""Priors from what earlier trials showed: heterogeneity by kind of outcome, and published pooled effects."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from scipy.special import ndtri

from . import shipped
from .errors import StimdoseError, nearest
from .priors import Prior

_SOURCES = {
    "SMD": "Rhodes et al. 2015, J Clin Epidemiol 68:52-60",
    "logOR": "Turner et al. 2015, Stat Med 34:984-998",
}
_COMPARISONS = {"SMD": "non-pharmacological (any)", "logOR": "non-pharmacological vs. placebo / control"}


def heterogeneity_table() -> pd.DataFrame:
    """Published predictive distributions of the heterogeneity variance of a new meta-analysis.

    Columns: measure (SMD: log tau^2 is location + scale t with 5 degrees of freedom; logOR: normal), outcome, comparison, area,
        location, scale. The rows "any" hold for all outcomes together. Sources: `models/priors/README.md`.
    """
    return pd.read_csv(shipped.folder("models") / "priors" / "heterogeneity.csv")


def heterogeneity_prior(
    measure: str, outcome: str | None = None, comparison: str | None = None, area: str | None = None
) -> Prior:
    """The empirical prior of `between_study` for a kind of outcome, in the units of the effect (for logOR: log odds).

    measure: "SMD" (Rhodes et al. 2015: a log-t prior) or "logOR" (Turner et al. 2015: log-normal). outcome: a kind of outcome in
        `heterogeneity_table`, or a part of its name that no other has, such as "functioning"; None for all kinds together.
        comparison: by default non-pharmacological treatments (for logOR: against placebo or control). area: of SMDs "other",
        "respiratory" or "cancer", by default other.

    Both are priors of tau^2 there; tau = sqrt(tau^2) has half the location and half the scale. Raises StimdoseError that lists what
    there is.
    """
    table = heterogeneity_table()
    if measure not in _SOURCES:
        raise StimdoseError(f"heterogeneity is tabulated for {' and '.join(_SOURCES)}, not for {measure!r}")
    table = table[table["measure"] == measure]
    if outcome is None:
        if comparison or area:
            raise StimdoseError("a comparison or an area needs a kind of outcome: the table has none for all outcomes together")
        row, what = table[table["outcome"] == "any"].iloc[0], "all kinds of outcomes"
    else:
        table = table[table["outcome"] != "any"]
        areas = "other" if measure == "SMD" else "any"
        for column, given in (("outcome", outcome), ("comparison", comparison or _COMPARISONS[measure]), ("area", area or areas)):
            table = table[table[column] == _chosen(given, list(table[column].unique()), column)]
        row = table.iloc[0]
        what = f"{row['outcome']}, {row['comparison']}" + (f", area {row['area']}" if measure == "SMD" else "")
    half = {"mu": float(row["location"]) / 2, "sigma": float(row["scale"]) / 2}
    shape = "t5" if measure == "SMD" else "normal"
    why = f"log tau^2 ~ {shape}({row['location']:g}, {row['scale']:g}) in published meta-analyses of {what} ({_SOURCES[measure]})"
    return Prior("logt", nu=5.0, **half, why=why) if measure == "SMD" else Prior("lognormal", **half, why=why)


def _chosen(given: str, known: list[str], what: str) -> str:
    """The entry that is called so, or the only one that has `given` in its name."""
    exact = [name for name in known if name.casefold() == given.casefold()]
    found = exact or [name for name in known if given.casefold() in name.casefold()]
    if len(found) == 1:
        return found[0]
    fault = f"{given!r} could be several of them" if found else f"no {what} {given!r}{nearest(given, known)}"
    raise StimdoseError("\n  - ".join([f"{fault}; the table has, as {what}:", *(found or known)]))


def historical_prior(
    estimate: float | Sequence[float],
    low: float | Sequence[float],
    high: float | Sequence[float],
    *,
    level: float = 0.95,
    tau: float | None = None,
    i2: float | None = None,
    studies: int | None = None,
    weight: float = 0.25,
    direction: Literal["higher", "lower"] = "higher",
    source: str = "",
) -> Prior:
    """A normal prior of the mean effect from a published pooled estimate, or from several of one question, discounted.

    estimate, low, high: as printed, with their interval of probability `level`; logarithms of ratios. weight: what the estimate counts
        for, between 0 and 1: its likelihood to this power (power prior, Ibrahim and Chen 2000, Stat Sci 15:46), so its variance is
        divided by it; by default a quarter. tau: spread between the pooled studies if it is printed; or i2 (0 to 1) with the number of
        studies, from which tau^2 = i2 studies se^2 (as if studies were of one size). direction: "lower" where a lower score is the
        benefit, which turns the sign.

        mean = mean of the estimates        variance = mean se^2 / weight + tau^2 + variance between the estimates

    Several reviews share trials, so their estimates are averaged, not pooled. A discounted normal stands for a robust mixture, which
    is no family here: it yields to data that contradict it, if less readily than heavy tails would.

    Double use: where the pool holds trials of the table that is fitted, these count twice. Leave such pools out, or see what the fit
    says without this prior. Pools are not corrected for trials that were never published.

    Raises StimdoseError for an interval that does not hold the estimate, or not near its middle (a ratio: take logarithms).
    """
    estimate, low, high = (np.atleast_1d(np.asarray(number, float)) for number in (estimate, low, high))
    if not (len(estimate) == len(low) == len(high)):
        raise StimdoseError("every estimate needs its own interval")
    half = (high - low) / 2
    for value, a, b, w in zip(estimate, low, high, half, strict=True):
        if not (np.isfinite([value, a, b]).all() and a < value < b):
            raise StimdoseError(f"the interval {a:g} to {b:g} does not hold the estimate {value:g}")
        if abs(value - (a + b) / 2) > 0.15 * w:
            raise StimdoseError(
                f"{value:g} is not in the middle of {a:g} to {b:g}: take logarithms of a ratio, with its interval"
            )
    if not (0 < weight <= 1 and 0 < level < 1):
        raise StimdoseError(f"weight is above 0 and at most 1, level between 0 and 1; got {weight!r} and {level!r}")
    if direction not in ("higher", "lower"):
        raise StimdoseError(f"direction is 'higher' or 'lower', not {direction!r}")
    if (tau is not None and i2 is not None) or (i2 is None) != (studies is None):
        raise StimdoseError(
            "state tau, or i2 together with the number of studies, or neither; the number of studies counts only where tau comes from i2"
        )
    if (tau is not None and not tau >= 0) or (i2 is not None and not (0 <= i2 < 1 and studies >= 1)):
        raise StimdoseError("tau is not negative, i2 is from 0 to below 1 (not in percent), and of at least one study")
    se2 = float(np.mean((half / ndtri((1 + level) / 2)) ** 2))
    between = tau**2 if tau is not None else (i2 * studies * se2 if i2 is not None else 0.0)
    apart = float(estimate.var(ddof=1)) if len(estimate) > 1 else 0.0
    sign = 1 if direction == "higher" else -1
    why = (
        f"{'mean of published pools' if len(estimate) > 1 else 'a published pool'} at {weight:.0%} of the weight"
        f"{f' ({source})' if source else ''}; trials that are also in the table count twice"
    )
    return Prior("normal", mu=sign * float(estimate.mean()), sigma=float(np.sqrt(se2 / weight + between + apart)), why=why)
