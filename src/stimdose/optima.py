"""The optimal dose as a posterior, led by a verdict."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import xarray as xr

from .columns import STANDARDISED_MEASURES
from .curves import curve
from .diagnosis import Diagnosis, diagnose
from .errors import StimdoseError
from .model import Model
from .sampling import Fit
from .trials import Trials
from .verdicts import WORDS, best_of, beyond, judge

DELTA_SD = 0.1
"""Default smallest difference that matters, in standard deviations of the outcome."""
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
    if kind == "new study" and column not in fit.rows.slopes:
        raise StimdoseError(
            f"the effect of {column} does not vary by study in this fit, so a new study has the optimum of the population; "
            "slopes by study need by_study=true and studies with several doses"
        )

    def curves_of(group: str) -> xr.DataArray:
        return curve(fit, column, by=by, kind=kind, over=over, at=at, size=size, group=group)

    shape = next(d.basis for d in fit.model.dose if d.column == column)
    return optimum_of(
        curves_of("posterior"),
        curves_of("prior"),
        delta=delta,
        free_intercept=curves_of("free_intercept") if fit.model.is_anchored else None,
        divergences=fit.diagnosis.divergences,
        fit_warning="" if fit.diagnosis.converged else f"Warning: the fit {fit.diagnosis.message}.",
        remarks=() if shape.can_peak else (ONE_WAY.format(shape=shape.name),),
    )


def optimum_of(
    curves: xr.DataArray,
    prior_curves: xr.DataArray,
    *,
    delta: float,
    free_intercept: xr.DataArray | None = None,
    divergences: int = 0,
    fit_warning: str = "",
    remarks: tuple[str, ...] = (),
) -> Optimum:
    """The optimum of curves, wherever they come from; the verdict is that of `optimum`.

    curves, prior_curves: draws (chain, draw, dose[, group]) from the posterior and the prior, with the attributes `dose` and
        `observed` (or `observed_by_group`) of `curve`. free_intercept: those of an anchored model with a free intercept.
    divergences, fit_warning: of the fit or fits that they come from. remarks: what else a reader must know.
    """
    if not (delta > 0 and np.isfinite(delta)):
        raise StimdoseError(f"delta must be positive, got {delta}")
    dose, value = best_of(curves)
    column = curves.attrs["dose"]
    diagnosis = diagnose(xr.Dataset({column: dose}), divergences)
    failing = {label.removeprefix(column).strip("[]") for label in diagnosis.failing}
    verdicts, held_back = judge(curves, delta, prior_curves, free_intercept, failing)
    remarks = (*held_back, *remarks, *beyond(curves))
    return Optimum(dose, value, curves, best_of(prior_curves)[0], float(delta), verdicts, diagnosis, fit_warning, remarks)


def default_delta(model: Model, trials: Trials) -> float:
    """The smallest difference that matters, 0.1 standard deviations. Raises StimdoseError if effects are not standardised."""
    if not set(trials.table["measure"]) <= set(STANDARDISED_MEASURES):
        raise StimdoseError(
            f"state delta, the smallest difference in {trials.measure} that matters "
            "(0.1 is the default for standardised effects only)"
        )
    return DELTA_SD * (model.outcome_sd or 1.0)
