"""The optimal dose as a posterior, led by a verdict."""

import json
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import xarray as xr

from .columns import STANDARDISED_MEASURES
from .curves import curve
from .diagnosis import Diagnosis, diagnose
from .doses import short
from .errors import StimdoseError
from .grid import best_dose
from .model import Model
from .sampling import Fit
from .trials import Trials

DELTA_SD = 0.1
"""Default smallest difference that matters, in standard deviations of the outcome."""
CERTAINTY = 0.9
"""Probability from which a verdict is given."""

WORDS = {
    "did not converge": "the chains disagree about the best dose; sample longer before reading anything below",
    "identified": "the best dose lies inside the range: the curve there exceeds both ends by more than {delta:g}",
    "still rising": "the effect rises over the range and is best at its upper end; the best dose may lie beyond what was tried",
    "still falling": "the effect falls over the range and is best at its lower end",
    "flat": "no dose in the range differs from the best by more than {delta:g}",
    "not identified": "these trials do not tell which dose is best",
}
ANCHOR = (
    "The curve is tied to zero at dose zero, so it rises as soon as treatment works; "
    "with a free intercept these trials do not show that more is better"
)
PRIOR = "The prior alone, without these trials, gives the same verdict, so it is not theirs"
ONE_WAY = "The {shape} shape can only rise or fall: it cannot have a best dose inside the range"


@dataclass(frozen=True)
class Optimum:
    """The best dose within a stated range.

    dose, value: draws (chain, draw[, group]) of the best dose (dose units) and the effect there (effect units). curves: the
        draws they come from, (chain, draw, dose[, group]). prior_dose: the same from the prior. delta: the smallest difference
        in effect that matters.
    verdicts: one per group ("" if there are none). diagnosis: convergence of the best dose itself. fit_warning: set if the fit
        as a whole did not converge. remarks: what a reader of the verdict must know.
    """

    dose: xr.DataArray
    value: xr.DataArray
    curves: xr.DataArray
    prior_dose: xr.DataArray
    delta: float
    verdicts: dict[str, str]
    diagnosis: Diagnosis
    fit_warning: str
    remarks: tuple[str, ...]

    @property
    def column(self) -> str:
        """The dose that is optimised."""
        return self.curves.attrs["dose"]

    @property
    def by(self) -> str | None:
        """The group column, or None."""
        return self.dose.dims[2] if self.dose.ndim > 2 else None

    @property
    def verdict(self) -> str:
        """The verdict, with groups named where there are several."""
        return "; ".join(f"{group}: {verdict}" if group else verdict for group, verdict in self.verdicts.items())

    @property
    def explanation(self) -> str:
        """The verdict in sentences."""
        lines = [
            f"{group + ': ' if group else ''}{verdict}: {WORDS[verdict].format(delta=self.delta)}."
            for group, verdict in self.verdicts.items()
        ]
        return "\n".join([self.fit_warning] * bool(self.fit_warning) + lines + [f"{remark}." for remark in self.remarks])

    @property
    def at_edge(self) -> xr.Dataset:
        """P(the best dose is the lowest, or the highest, of the range), as `low` and `high`."""
        ends = self.curves[self.column].values[[0, -1]]
        return xr.Dataset(
            {name: (self.dose == end).mean(("chain", "draw")) for name, end in zip(("low", "high"), ends, strict=True)}
        )

    def interval(self, prob: float = 0.95) -> xr.DataArray:
        """Equal-tailed interval of the best dose, dimension `bound` (low, high)."""
        found = self.dose.quantile([(1 - prob) / 2, (1 + prob) / 2], ("chain", "draw")).rename(quantile="bound")
        return found.assign_coords(bound=["low", "high"]).assign_attrs(prob=prob)

    def near_best(self) -> xr.DataArray:
        """P(the effect at a dose is within delta of the best), by dose."""
        best = self.curves.max(self.column)
        return (self.curves >= best - self.delta).mean(("chain", "draw")).assign_attrs(delta=self.delta)

    def near_best_range(self, prob: float = 0.5) -> pd.DataFrame:
        """Lowest and highest dose that are within delta of the best with at least `prob`, by group; NaN where no dose is.

        Doses between them need not all be so.
        """
        near = self.near_best()
        records = []
        for group in self.verdicts:
            one = near.sel({self.by: group}) if self.by else near
            doses = one[self.column].values[one.values >= prob]
            records.append(
                {"group": group, "low": doses.min() if len(doses) else np.nan, "high": doses.max() if len(doses) else np.nan}
            )
        return pd.DataFrame(records).set_index("group")

    def effective_dose(self, share: float) -> xr.DataArray:
        """Draws of the lowest dose that reaches `share` of the gain from the low end of the range to the best dose (0.5: ED50,
        0.9: ED90).

        NaN in draws without any gain, because their best dose is the low end.
        """
        if not 0 < share <= 1:
            raise StimdoseError(f"share must be between 0 and 1, got {share}")
        first = self.curves.isel({self.column: 0})
        gain = self.curves.max(self.column) - first
        return self._first_crossing(first + share * gain).where(gain > 0)

    def minimal_effective_dose(self, benefit: float) -> xr.DataArray:
        """Draws of the lowest dose with an effect of at least `benefit` (effect units); NaN in draws where none has."""
        return self._first_crossing(xr.full_like(self.value, float(benefit)))

    def _first_crossing(self, level: xr.DataArray) -> xr.DataArray:
        """Lowest dose at which the curve reaches `level`, by linear interpolation on the grid; NaN where it does not."""
        dims = [d for d in self.curves.dims if d != self.column]
        y = self.curves.transpose(*dims, self.column).values
        target = level.transpose(*dims).values[..., None]
        x = self.curves[self.column].values
        above = y >= target - 1e-12
        k = above.argmax(-1)
        before = np.maximum(k - 1, 0)
        y0, y1 = (np.take_along_axis(y, i[..., None], -1)[..., 0] for i in (before, k))
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(k > 0, (target[..., 0] - y0) / (y1 - y0), 0.0)
        found = np.where(above.any(-1), x[before] + share * (x[k] - x[before]), np.nan)
        return level.transpose(*dims).copy(data=found)

    def table(self, prob: float = 0.95) -> pd.DataFrame:
        """One line per group, led by the verdict; doses in dose units, effects in effect units."""
        interval, edge, near = self.interval(prob), self.at_edge, self.near_best_range()
        x = self.curves[self.column].values
        records = []
        for group, verdict in self.verdicts.items():
            at = {self.by: group} if self.by else {}
            dose, value = (draws.sel(at).values.ravel() for draws in (self.dose, self.value))
            prior = self.prior_dose.sel(at).values.ravel()
            ed50, ed90 = (self.effective_dose(share).sel(at).values.ravel() for share in (0.5, 0.9))
            low, high = np.quantile(value, [(1 - prob) / 2, (1 + prob) / 2])
            prior_low, prior_high = np.quantile(prior, [(1 - prob) / 2, (1 + prob) / 2])
            label = f"{self.column}{f'[{group}]' if group else ''}"
            check = (
                self.diagnosis.table.loc[label] if label in self.diagnosis.table.index else {"r_hat": np.nan, "ess_bulk": np.nan}
            )
            records.append(
                {
                    "group": group,
                    "verdict": verdict,
                    "best_dose": np.median(dose),
                    "low": float(interval.sel(at | {"bound": "low"})),
                    "high": float(interval.sel(at | {"bound": "high"})),
                    "effect_at_best": value.mean(),
                    "effect_low": low,
                    "effect_high": high,
                    "from": x[0],
                    "to": x[-1],
                    "p_at_low_end": float(edge["low"].sel(at)),
                    "p_at_high_end": float(edge["high"].sel(at)),
                    "near_best_low": near.loc[group, "low"],
                    "near_best_high": near.loc[group, "high"],
                    "ed50": np.nanmedian(ed50) if np.isfinite(ed50).any() else np.nan,
                    "ed90": np.nanmedian(ed90) if np.isfinite(ed90).any() else np.nan,
                    "prior_low": prior_low,
                    "prior_high": prior_high,
                    "contraction": 1 - dose.var() / prior.var() if prior.var() > 0 else np.nan,
                    "r_hat": check["r_hat"],
                    "ess": check["ess_bulk"],
                    "divergences": self.diagnosis.divergences,
                }
            )
        return pd.DataFrame(records).set_index("group")


def optimum(
    fit: Fit,
    column: str,
    *,
    by: str | None = None,
    over: tuple[float, float] | None = None,
    delta: float | None = None,
    at: dict | None = None,
    kind: Literal["mean", "new study"] = "mean",
    size: int = 401,
) -> Optimum:
    """The dose with the highest effect within a range (by default the observed one).

    delta: the smallest difference in effect that matters, 0.1 by default for standardised effects; must be stated for other
        measures.
    kind: "mean", or "new study" where the dose effect varies by study. Other arguments as for `curve`.

    The verdict is "identified" only if P(the best dose was tried, and the effect there exceeds that at both ends of the range,
    and of the doses tried, by more than delta) >= 0.9; "still rising" or "still falling" if P(one end of the doses tried exceeds
    the other so) >= 0.9 and that end of the range is the best dose with P >= 0.5; "flat" if P(no two doses differ by more than
    delta) >= 0.9; else "not identified". A verdict that the prior alone gives, or that an anchored model does not keep with a
    free intercept, is "not identified". "did not converge" comes first: R-hat > 1.01 or ESS < 400 of the best dose.

    Raises StimdoseError where the question has no answer in this model.
    """
    delta = default_delta(fit.model, fit.trials) if delta is None else delta
    if not (delta > 0 and np.isfinite(delta)):
        raise StimdoseError(f"delta must be positive, got {delta}")
    if kind == "new study" and column not in fit.rows.slopes:
        raise StimdoseError(
            f"the effect of {column} does not vary by study in this fit, so a new study has the optimum of the population; "
            "slopes by study need by_study=true and studies with several doses"
        )

    def curves_of(group: str) -> xr.DataArray:
        return curve(fit, column, by=by, kind=kind, over=over, at=at, size=size, group=group)

    curves, prior_curves = curves_of("posterior"), curves_of("prior")
    dose, value = _best(curves)
    diagnosis = diagnose(xr.Dataset({column: dose}), fit.diagnosis.divergences)
    verdicts, remarks = _verdicts(curves, by, delta), []
    for why, group in [(PRIOR, "prior")] + [(ANCHOR, "free_intercept")] * fit.model.is_anchored:
        others = _verdicts(prior_curves if group == "prior" else curves_of(group), by, delta)
        held_back = [level for level, verdict in verdicts.items() if _held_back(verdict, others[level], group)]
        verdicts |= dict.fromkeys(held_back, "not identified")
        remarks += [why + (f" ({', '.join(held_back)})" if by else "")] if held_back else []
    failing = [level for level in verdicts if (f"{column}[{level}]" if by else column) in diagnosis.failing]
    verdicts |= dict.fromkeys(failing, "did not converge")
    shape = next(d.basis for d in fit.model.doses if d.column == column)
    if not shape.can_peak:
        remarks.append(ONE_WAY.format(shape=shape.name))
    remarks += _beyond(curves, by)
    warning = "" if fit.diagnosis.converged else f"Warning: the fit {fit.diagnosis.message}."
    return Optimum(dose, value, curves, _best(prior_curves)[0], float(delta), verdicts, diagnosis, warning, tuple(remarks))


def default_delta(model: Model, trials: Trials) -> float:
    """The smallest difference that matters, 0.1 standard deviations. Raises StimdoseError if effects are not standardised."""
    if not set(trials.table["measure"]) <= set(STANDARDISED_MEASURES):
        raise StimdoseError(
            f"state delta, the smallest difference in {trials.measure} that matters "
            "(0.1 is the default for standardised effects only)"
        )
    return DELTA_SD * (model.outcome_sd or 1.0)


def _held_back(verdict: str, other: str, group: str) -> bool:
    """Whether a verdict is not the trials' own: the prior alone gives it, or a fit with a free intercept does not."""
    return verdict != "not identified" and (verdict == other if group == "prior" else verdict != other)


def _verdicts(curves: xr.DataArray, by: str | None, delta: float) -> dict[str, str]:
    dose, value = _best(curves)
    seen = _observed(curves, by)
    if by is None:
        return {"": _verdict(curves, dose, value, delta, seen[""])}
    parts = {str(level): [part.sel({by: level}) for part in (curves, dose, value)] for level in curves[by].values}
    return {level: _verdict(*part, delta, seen[level]) for level, part in parts.items()}


def _observed(curves: xr.DataArray, by: str | None) -> dict[str, list[float]]:
    return json.loads(curves.attrs["observed_by_group"]) if by else {"": curves.attrs["observed"]}


def _beyond(curves: xr.DataArray, by: str | None) -> list[str]:
    """Remarks where the range reaches beyond the doses that the trials (of a group) tried."""
    first, last = curves[curves.attrs["dose"]].values[[0, -1]]
    return [
        f"{group + ': ' if group else ''}the trials tried {short(low)} to {short(high)}, "
        f"and the range searched is {short(first)} to {short(last)}"
        for group, (low, high) in _observed(curves, by).items()
        if first < low * (1 - 1e-9) or last > high * (1 + 1e-9)
    ]


def _best(curves: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    column = curves.attrs["dose"]
    shape = curves.sizes["chain"], curves.sizes["draw"]
    stacked = curves.values.reshape(shape[0] * shape[1], curves.sizes[column], -1)
    like = curves.isel({column: 0}, drop=True)
    return tuple(like.copy(data=found.reshape(like.shape)) for found in best_dose(curves[column].values, stacked))


def _verdict(curves: xr.DataArray, dose: xr.DataArray, best: xr.DataArray, delta: float, observed: list[float]) -> str:
    """The verdict on draws of one curve; differences count only between doses that were tried."""
    column = curves.attrs["dose"]
    x = curves[column].values
    tried = np.flatnonzero((x >= observed[0] * (1 - 1e-9)) & (x <= observed[1] * (1 + 1e-9)))
    if len(tried) < 2:
        return "not identified"
    low, high = (curves.isel({column: k}, drop=True) for k in tried[[0, -1]])
    ends = curves.isel({column: sorted({0, tried[0], tried[-1], len(x) - 1})}).max(column)
    is_tried = (dose >= x[tried[0]]) & (dose <= x[tried[-1]])
    if (is_tried & (best - ends > delta)).mean() >= CERTAINTY:
        return "identified"
    if (high - low > delta).mean() >= CERTAINTY and (dose == x[-1]).mean() >= 0.5:
        return "still rising"
    if (low - high > delta).mean() >= CERTAINTY and (dose == x[0]).mean() >= 0.5:
        return "still falling"
    if (best - curves.min(column) <= delta).mean() >= CERTAINTY:
        return "flat"
    return "not identified"
