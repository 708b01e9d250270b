"""The optimal dose as a posterior, led by a verdict."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from . import arguments, derived
from .arguments import checked
from .caveats import about_groups, about_knots, about_rivals, fit_warning
from .columns import STANDARDISED_MEASURES
from .curves import Kind, curve
from .diagnosis import Diagnosis
from .dose_space import Confounder, confounders, related
from .errors import StimdoseError
from .model import Model
from .sampling import Fit
from .trials import Trials
from .verdicts import WORDS, beyond, judge, observed

DELTA_SD = 0.1
"""Default smallest difference that matters, in standard deviations of the outcome."""
ONE_WAY = "The {shape} shape can only rise or fall: it cannot have a best dose inside the range"


@dataclass(frozen=True)
class Optimum:
    """The best dose within a stated range.

    draws: a Dataset (chain, draw[, group]) of all that is derived: `best_dose`, `ed50`, `ed90` (dose units), `effect_at_best` (effect
        units) and, where a benefit is stated, `minimal_effective_dose`. curves: the draws they come from, (chain, draw, dose[,
        group]), net of the cost of the dose where one is stated. prior_dose: the best dose from the prior. delta: the smallest
        difference in effect that matters. benefit: the effect that is worth having, or None.
    verdicts: one per group ("" if there are none). diagnosis: convergence of each of the draws, see `derived.diagnosed`.
        fit_warning: set if the fit as a whole did not converge. remarks: what a reader of the verdict must know.
    """

    draws: xr.Dataset
    curves: xr.DataArray
    prior_dose: xr.DataArray
    delta: float
    benefit: float | None
    verdicts: dict[str, str]
    diagnosis: Diagnosis
    fit_warning: str
    remarks: tuple[str, ...]

    @property
    def dose(self) -> xr.DataArray:
        """Draws of the best dose (chain, draw[, group]), dose units."""
        return self.draws["best_dose"]

    @property
    def value(self) -> xr.DataArray:
        """Draws of the effect at the best dose (chain, draw[, group]), effect units."""
        return self.draws["effect_at_best"]

    @property
    def column(self) -> str:
        """The dose that is optimised."""
        return self.curves.attrs["dose"]

    @property
    def by(self) -> str | None:
        """The group column, or None."""
        return derived.group_of(self.curves)

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
        remarks = [f"{remark}." for remark in dict.fromkeys(self.remarks)]
        return "\n".join([self.fit_warning] * bool(self.fit_warning) + lines + remarks)

    @property
    def at_edge(self) -> xr.Dataset:
        """P(the best dose is the lowest, or the highest, of the range), as `low` and `high`."""
        ends = self.curves[self.column].values[[0, -1]]
        return xr.Dataset(
            {name: (self.dose == end).mean(("chain", "draw")) for name, end in zip(("low", "high"), ends, strict=True)}
        )

    def interval(self, prob: float = 0.95) -> xr.DataArray:
        """Equal-tailed interval of the best dose, dimension `bound` (low, high)."""
        return derived.interval(self.dose, prob)

    def near_best(self) -> xr.DataArray:
        """P(the effect at a dose is within delta of the best), by dose."""
        return derived.near_best(self.curves, self.delta)

    @checked(prob=arguments.SHARE)
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

    @checked
    def p_benefit(self, threshold: float) -> xr.DataArray:
        """P(the effect exceeds threshold (effect units)), by dose."""
        return (self.curves > threshold).mean(("chain", "draw")).assign_attrs(threshold=threshold)

    def expected_loss(self) -> xr.DataArray:
        """What choosing a dose is expected to forgo: E[effect of the best dose - effect of this one], by dose (effect units).

        With a cost both are net of it, and the dose of the smallest loss is the one with the highest expected net benefit.
        """
        return derived.expected_loss(self.curves)

    def effective_dose(self, share: float) -> xr.DataArray:
        """Draws of the lowest dose that reaches `share` of the gain from the low end of the range to the best dose (0.5: ED50,
        0.9: ED90).

        NaN in draws without any gain, because their best dose is the low end. attrs: `warning` if it did not converge.
        """
        return self._with_warning(derived.effective_dose(self.curves, share))

    @checked(benefit=arguments.NUMBER)
    def minimal_effective_dose(self, benefit: float) -> xr.DataArray:
        """Draws of the lowest dose with an effect of at least `benefit` (effect units); NaN in draws where none has.

        attrs: `warning` if it did not converge.
        """
        return self._with_warning(derived.first_dose_reaching(self.curves, benefit))

    def _with_warning(self, draws: xr.DataArray) -> xr.DataArray:
        failing = derived.diagnosed(xr.Dataset({self.column: draws}), self.diagnosis.divergences).failing
        return draws.assign_attrs(warning="did not converge") if failing else draws

    @checked
    def table(self, prob: float = 0.95) -> pd.DataFrame:
        """One line per group, led by the verdict; doses in dose units, effects in effect units.

        ed50 and ed90 are medians over the draws that gain anything, a share `p_gain` of all. Where a benefit is stated, `p_benefit`
        is the probability that any dose has it, and the minimal effective dose is a median over all draws, as if beyond the range where
        none has. Each is NaN where most draws lack it. `unconverged` names the quantities that did not converge.
        """
        interval, edge, near = self.interval(prob), self.at_edge, self.near_best_range()
        x, ends = self.curves[self.column].values, [(1 - prob) / 2, (1 + prob) / 2]
        records, failing = [], set(self.diagnosis.failing)
        for group, verdict in self.verdicts.items():
            at, label = ({self.by: group}, f"[{group}]") if self.by else ({}, "")
            draws = {name: values.sel(at).values.ravel() for name, values in self.draws.items()}
            dose, value, prior = draws["best_dose"], draws["effect_at_best"], self.prior_dose.sel(at).values.ravel()
            low, high = np.quantile(value, ends)
            prior_low, prior_high = np.quantile(prior, ends)
            check = self.diagnosis.table.reindex([f"best_dose{label}"]).iloc[0]
            record = {
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
                "ed50": _median_of_existing(draws["ed50"]),
                "ed90": _median_of_existing(draws["ed90"]),
                "p_gain": np.isfinite(draws["ed50"]).mean(),
            }
            if self.benefit is not None:
                reached = np.isfinite(draws["minimal_effective_dose"])
                middle = np.median(np.where(reached, draws["minimal_effective_dose"], np.inf))
                record |= {"p_benefit": reached.mean(), "minimal_effective_dose": middle if np.isfinite(middle) else np.nan}
            records.append(
                record
                | {
                    "prior_low": prior_low,
                    "prior_high": prior_high,
                    "contraction": 1 - dose.var() / prior.var() if prior.var() > 0 else np.nan,
                    "r_hat": check["r_hat"],
                    "ess": check["ess_bulk"],
                    "unconverged": ", ".join(
                        str(name) for name in self.draws if {f"{name}{label}", f"{name}{label} exists"} & failing
                    ),
                    "divergences": self.diagnosis.divergences,
                }
            )
        return pd.DataFrame(records).set_index("group")


@checked(size=arguments.whole_from(3))
def optimum(
    fit: Fit,
    column: str,
    *,
    by: str | None = None,
    over: tuple[float, float] | None = None,
    delta: float | None = None,
    benefit: float | None = None,
    cost: float = 0.0,
    at: Mapping | None = None,
    kind: Kind = "mean",
    size: int = 401,
    new_group: bool = False,
) -> Optimum:
    """The dose with the highest effect within a range (by default the observed one).

    delta: the smallest difference in effect that matters, 0.1 by default for standardised effects; must be stated for other
        measures.
    benefit: an effect that is worth having (effect units), as a minimal important difference, for the minimal effective dose.
    cost: of one unit of the dose, in effect units (0.01 per minute): what is optimised is then the net benefit, the effect less cost
        times dose. The verdict is that of the effect all the same: what a cost takes away is no effect of the dose.
    kind: "mean", or "new study" where the dose effect varies by study. Other arguments as for `curve`.

    The verdict is "identified" only if P(the best dose was tried, and the effect there exceeds that at both ends of the range,
    and of the doses tried, by more than delta) >= 0.9; "still rising" or "still falling" if P(one end of the doses tried exceeds
    the other so) >= 0.9 and that end of the range is the best dose with P >= 0.5; "flat" if P(no two doses differ by more than
    delta) >= 0.9; else "not identified". A verdict that the prior alone gives, or that a fit of the freed model (`Model.freed`) does
    not keep, is "not identified". An effect that is seen is "confounded" where another dose of the table goes with this one
    across trials and is not in the model (see `dose_space.confounders`). "did not converge" comes first: R-hat > 1.01 or ESS < 400
    of the best dose.

    Raises StimdoseError where the question has no answer in this model.
    """
    delta = default_delta(fit.model, fit.trials) if delta is None else delta
    require_shape_by_study(fit, column, kind)

    def curves_of(group: str) -> xr.DataArray:
        return curve(fit, column, by=by, kind=kind, over=over, at=at, size=size, group=group, new_group=new_group)

    curves, rivals = curves_of("posterior"), confounders(fit, column)
    groups = list(curves[by].values) if by else []
    return optimum_of(
        curves,
        curves_of("prior"),
        delta=delta,
        benefit=benefit,
        cost=cost,
        freed=curves_of("freed") if "freed" in fit.tree else None,
        rivals=rivals,
        divergences=fit.diagnosis.divergences,
        fit_warning=fit_warning(fit),
        remarks=(
            *about_shape(fit, column, cost),
            *about_knots(fit, column),
            *about_rivals(column, (*rivals, *related(fit, column))),
            *about_groups(fit, column, by, groups),
        ),
    )


@checked(delta=arguments.POSITIVE)
def optimum_of(
    curves: xr.DataArray,
    prior_curves: xr.DataArray,
    *,
    delta: float,
    benefit: float | None = None,
    cost: float = 0.0,
    freed: xr.DataArray | None = None,
    rivals: tuple[Confounder, ...] = (),
    divergences: int = 0,
    fit_warning: str = "",
    remarks: tuple[str, ...] = (),
) -> Optimum:
    """The optimum of curves, wherever they come from; the verdict is that of `optimum`.

    curves, prior_curves: draws (chain, draw, dose[, group]) from the posterior and the prior, with the attributes `dose` and
        `observed` (and `observed_by_group`) of `curve`. freed: those of a fit of the freed model, where that is another.
    delta, benefit, cost: as of `optimum`. rivals: doses that go with this one across trials.
    divergences, fit_warning: of the fit or fits that they come from. remarks: what else a reader must know.
    """
    effects, prior_effects = curves, prior_curves
    if cost:
        curves, prior_curves = derived.net_of(curves, cost), derived.net_of(prior_curves, cost)
        words = f"net of a cost of {derived.cost_in_words(curves, cost)}"
        remarks = (f"The verdict is on the effect itself; the best dose, and the effect there, are {words}", *remarks)
    dose, value = derived.best_of(curves)
    draws = {"best_dose": dose, "effect_at_best": value}
    draws |= {name: derived.effective_dose(curves, share) for name, share in (("ed50", 0.5), ("ed90", 0.9))}
    if benefit is not None:
        draws["minimal_effective_dose"] = derived.first_dose_reaching(curves, benefit)
    draws = xr.Dataset(draws)
    diagnosis = derived.diagnosed(draws, divergences)
    failing = {*diagnosis.failing}
    if cost:  # the verdict has a best dose of its own
        failing |= {*derived.diagnosed(xr.Dataset({"best_dose": derived.best_of(effects)[0]}), divergences).failing}
    failing = {group for group in observed(curves) if f"best_dose{f'[{group}]' if group else ''}" in failing}
    verdicts, held_back = judge(effects, delta, prior_effects, freed, rivals, failing)
    unconverged = [f"Did not converge (R-hat > 1.01 or ESS < 400): {', '.join(diagnosis.failing)}"] if diagnosis.failing else []
    remarks = (*unconverged, *held_back, *remarks, *curves.attrs.get("remarks", "").splitlines(), *beyond(curves))
    prior_dose = derived.best_of(prior_curves)[0]
    return Optimum(draws, curves, prior_dose, float(delta), benefit, verdicts, diagnosis, fit_warning, remarks)


def require_shape_by_study(fit: Fit, column: str, kind: Kind) -> None:
    """Raises StimdoseError if the optimum of a new study is asked of a fit in which the shape does not vary by study."""
    if kind == "new study" and column not in fit.rows.slopes:
        raise StimdoseError(
            f"the effect of {column} does not vary by study in this fit, so a new study has the optimum of the population; "
            "slopes by study need by_study=true and studies with several doses"
        )


def about_shape(fit: Fit, column: str, cost: float = 0.0) -> list[str]:
    """A remark where the shape of a dose cannot have its best dose inside a range; what a dose costs gives any shape one."""
    shape = next(dose.basis for dose in fit.model.doses if dose.column == column)
    return [] if shape.can_peak or cost else [ONE_WAY.format(shape=shape.name)]


def default_delta(model: Model, trials: Trials) -> float:
    """The smallest difference that matters, 0.1 standard deviations, which of an ordinal model are those of the latent scale. Raises
    StimdoseError if effects are not standardised."""
    if model.likelihood == "normal" and not set(trials.table["measure"]) <= set(STANDARDISED_MEASURES):
        here = f"; 0.1 standard deviations are {DELTA_SD * model.outcome_sd:g} here, by outcome_sd" if model.outcome_sd else ""
        raise StimdoseError(
            f"state delta, the smallest difference in {trials.measure} that matters "
            f"(0.1 is the default for standardised effects only{here})"
        )
    return DELTA_SD * (model.outcome_sd or 1.0)


def _median_of_existing(values: np.ndarray) -> float:
    exists = np.isfinite(values)
    return float(np.median(values[exists])) if exists.mean() >= 0.5 else np.nan
