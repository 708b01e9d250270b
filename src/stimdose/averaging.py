"""`average`: several models of the same trials, stacked by how well they predict studies left out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr

from .arguments import checked, whole_from
from .caveats import about_groups, about_knots, about_rivals, fit_warnings
from .curves import Kind, curve
from .dose_space import Confounder, confounders, related
from .errors import StimdoseError
from .leave_one_out import leave_one_study_out
from .optima import Optimum, about_shape, default_delta, optimum, optimum_of, require_shape_by_study
from .sampling import Fit
from .stacking import mixture, require_same_data, stacking_weights

MEANING = (
    "Weights make the mixture that predicts left-out studies best; they are no probabilities of the models and do not rank them. "
    "Read the differences in elpd with their standard errors"
)


@dataclass(frozen=True)
class Average:
    """Models of the same trials, averaged.

    fits: by name. elpd: one line per model: weight; elpd, the sum over studies of the log predictive density of each one left out, with
        its se; difference to the highest elpd, with its se; pareto_k_max; refitted, the studies that were left out exactly; unreliable,
        those whose Pareto k is above 0.7 and that were not; studies.
    remarks: what a reader must know.

    The weights are those of the mixture that predicts best. With a difference of 0.1 and a standard error of 0.4 they can be 0.99 and
    0.01, so they say little of which model is right: the differences and their standard errors do.
    """

    fits: dict[str, Fit]
    elpd: pd.DataFrame
    remarks: tuple[str, ...]

    @property
    def weights(self) -> pd.Series:
        """Stacking weight by model; they sum to 1."""
        return self.elpd["weight"]

    @property
    def explanation(self) -> str:
        """Differences and weights in sentences."""
        lines = [
            f"{name}: elpd {line['difference']:.1f} (se {line['difference_se']:.1f}) from the highest, weight {line['weight']:.2f}."
            for name, line in self.elpd.iterrows()
        ]
        return "\n".join([self.fit_warning] * bool(self.fit_warning) + lines + [f"{remark}." for remark in self.remarks])

    @property
    def fit_warning(self) -> str:
        """The warnings of the fits that did not converge."""
        return fit_warnings(self.fits)

    @checked
    def curve(
        self,
        column: str,
        *,
        by: str | None = None,
        at: Mapping | None = None,
        group: str = "posterior",
        grid: np.ndarray | None = None,
        **arguments: Any,
    ) -> xr.DataArray:
        """Draws of the averaged curve (chain, draw, dose[, group]): draws of every fit in proportion to its weight, evenly spaced in
        its chains. Arguments and attributes as of `curve`; what only some models have is held in these.

        Raises StimdoseError where the models differ in their groups, or one lacks the dose.
        """
        self._check(column, by, at)
        parts: list[xr.DataArray] = []
        for fit in self.fits.values():
            source = "posterior" if group == "freed" and group not in fit.tree else group
            grid = parts[0][column].values if parts and not isinstance(at, xr.Dataset) else grid
            parts.append(curve(fit, column, by=by, grid=grid, at=_held(fit, at), group=source, **arguments))
        warning = {"warning": "did not converge"} if self.fit_warning else {}
        return mixture(parts, self.weights.to_numpy()).assign_attrs(parts[0].attrs | warning | {"averaged": ", ".join(self.fits)})

    @checked(size=whole_from(3))
    def optimum(
        self,
        column: str,
        *,
        by: str | None = None,
        delta: float | None = None,
        benefit: float | None = None,
        cost: float = 0.0,
        kind: Kind = "mean",
        size: int = 401,
        **arguments: Any,
    ) -> Optimum:
        """The optimum of the averaged curve, with the verdict of `optimum`; its prior is the mixture of the models' priors with the
        same weights. Arguments as of `optimum`."""
        fits = list(self.fits.values())
        for fit in fits:
            require_shape_by_study(fit, column, kind)

        def curves_of(group: str) -> xr.DataArray:
            return self.curve(column, by=by, kind=kind, group=group, size=size, **arguments)

        curves, rivals = curves_of("posterior"), self._rivals(column)
        groups = list(curves[by].values) if by else []
        shapes = [about_shape(fit, column, cost) for fit in fits]
        remarks = [line for lines in shapes for line in lines] if all(shapes) else []
        remarks += about_rivals(column, (*rivals, *self._rivals(column, related)))
        remarks += [line for fit in fits for line in (*about_knots(fit, column), *about_groups(fit, column, by, groups))]
        return optimum_of(
            curves,
            curves_of("prior"),
            delta=self._delta() if delta is None else delta,
            benefit=benefit,
            cost=cost,
            freed=curves_of("freed") if any("freed" in fit.tree for fit in fits) else None,
            rivals=rivals,
            divergences=sum(fit.diagnosis.divergences for fit in fits),
            fit_warning=self.fit_warning,
            remarks=tuple(dict.fromkeys((*self.remarks, *remarks))),
        )

    @checked
    def table(
        self, column: str, *, by: str | None = None, at: Mapping | None = None, prob: float = 0.95, **arguments: Any
    ) -> pd.DataFrame:
        """What each model says of the best dose, and their average: one line per model and group, with verdict, best dose, its interval
        (low, high), and the columns of `elpd`. Other arguments as of `optimum`."""
        self._check(column, by, at)
        found = [
            (name, optimum(fit, column, by=by, at=_held(fit, at), **arguments), dict(self.elpd.loc[name]))
            for name, fit in self.fits.items()
        ]
        found.append(("average", self.optimum(column, by=by, at=at, **arguments), {"weight": 1.0}))
        records = [
            {"model": name, "group": group, **line, **scores}
            for name, best, scores in found
            for group, line in best.table(prob)[["verdict", "best_dose", "low", "high"]].iterrows()
        ]
        return pd.DataFrame(records).set_index("model")

    def _rivals(self, column: str, found_in=confounders) -> tuple[Confounder, ...]:
        """Doses that go with a dose; one counts as in the model only if every model has it."""
        found = {rival.column: rival for fit in self.fits.values() for rival in found_in(fit, column)}
        return tuple(
            Confounder(name, rival.r, rival.rows, all(name in _names(fit) for fit in self.fits.values()))
            for name, rival in found.items()
        )

    def _delta(self) -> float:
        found = {default_delta(fit.model, fit.trials) for fit in self.fits.values()}
        if len(found) > 1:
            raise StimdoseError("the models differ in outcome_sd: state delta, the smallest difference that matters")
        return found.pop()

    def _check(self, column: str, by: str | None, at: Mapping | None) -> None:
        problems = [
            f"{name} has no dose {column!r}"
            for name, fit in self.fits.items()
            if column not in [dose.column for dose in fit.model.doses]
        ]
        if by is not None:
            levels = {name: tuple(fit.rows.levels.get(by, ())) for name, fit in self.fits.items()}
            if len(set(levels.values())) > 1 or not all(levels.values()):
                problems += [f"{name} has {', '.join(found) or 'no groups'} as {by}" for name, found in levels.items()]
        can_be_held = {name for fit in self.fits.values() for name in _held(fit, at)}
        problems += [f"no model can hold {name!r}" for name in at or {} if name not in can_be_held]
        if problems:
            raise StimdoseError("\n  - ".join(["these models cannot be averaged so:", *problems]))


def average(fits: dict[str, Fit] | Iterable[Fit], exact: Literal["auto"] | bool = "auto") -> Average:
    """Average models of the same trials by stacking: the mixture with the highest leave-one-study-out predictive density.

    fits: by name, or a list, named by their models. Predictive densities of left-out studies, and what `exact` does, are those of
    `leave_one_study_out`; weights are from Yao et al. 2018, Bayesian Analysis 13:917. Weights do not rank models: see `Average`.

    Raises StimdoseError for fewer than two fits, and for fits of different data.
    """
    fits = _named(fits)
    require_same_data(fits)
    scores = {name: leave_one_study_out(fit, exact) for name, fit in fits.items()}
    pointwise = pd.DataFrame({name: score.table["elpd"] for name, score in scores.items()})
    difference = pointwise.sub(pointwise[pointwise.sum().idxmax()], axis=0)
    elpd = pd.DataFrame(
        {
            "weight": stacking_weights(pointwise.to_numpy()),
            "elpd": [score.elpd for score in scores.values()],
            "elpd_se": [score.se for score in scores.values()],
            "difference": difference.sum(),
            "difference_se": np.sqrt(len(difference)) * difference.std(ddof=1),
            "pareto_k_max": [score.table["pareto_k"].max() for score in scores.values()],
            "refitted": [len(score.refits) for score in scores.values()],
            "unreliable": [len(score.unreliable) for score in scores.values()],
            "studies": len(pointwise),
        },
        index=pd.Index(fits, name="model"),
    )
    remarks = [f"{name}: {remark}" for name, score in scores.items() for remark in score.remarks]
    return Average(fits, elpd, (MEANING, *remarks))


def _named(fits: dict[str, Fit] | Iterable[Fit]) -> dict[str, Fit]:
    if not isinstance(fits, dict):
        listed = list(fits) if isinstance(fits, Iterable) else [fits]
        fits = {fit.model.name if isinstance(fit, Fit) else str(fit): fit for fit in listed}
        if len(fits) < len(listed):
            raise StimdoseError("some of these models have the same name: give a dict of fits by name")
    if wrong := [name for name, fit in fits.items() if not isinstance(fit, Fit)]:
        raise StimdoseError(f"what is averaged are fits, which {', '.join(map(str, wrong))} is not")
    if len(fits) < 2:
        raise StimdoseError(f"an average takes two fits or more, got {len(fits)}")
    return dict(fits)


def _names(fit: Fit) -> tuple[str, ...]:
    """What can be held in a fit: doses, moderators and groups."""
    return (*(dose.column for dose in fit.model.doses), *fit.rows.scales, *fit.rows.levels)


def _held(fit: Fit, at: Mapping | None) -> Mapping:
    """What a fit can hold of `at`; a path along which doses move stays one."""
    own = (*_names(fit), *at.attrs["doses"]) if isinstance(at, xr.Dataset) else _names(fit)
    kept = [name for name in at or {} if name in own]
    return at[kept] if isinstance(at, xr.Dataset) else {name: at[name] for name in kept}
