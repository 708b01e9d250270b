"""The best combination of two doses as a posterior, led by a verdict."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from . import arguments
from .arguments import checked
from .caveats import about_groups, about_rivals, fit_warning
from .curves import Kind
from .diagnosis import Diagnosis, diagnose
from .dose_space import NEAR, Confounder, confounders, related
from .doses import short
from .errors import StimdoseError
from .grid import best_dose
from .joint_verdicts import WORDS, judge
from .optima import Optimum, default_delta, optimum_of
from .sampling import Fit
from .surfaces import RULES, argmax_counts, best_doses, is_additive, smoothed, surface

ADDITIVE = "This model adds the doses: the best of one does not depend on the other, and `optimum` judges each by itself"


@dataclass(frozen=True)
class JointOptimum:
    """The best combination of two doses within a stated rectangle.

    verdict: of `joint_optimum`. doses: Dataset (chain, draw) of both best doses (dose units); value: the effect there (effect units).
    surface, prior_surface, free_surface: the draws they come from (chain, draw, first, second), those of the prior, and those of a
        fit of the freed model (`Model.freed`), where that is another.
    delta: the smallest difference in effect that matters. rivals: doses that go with each of the two across trials. diagnosis:
        convergence of the best doses. fit_warning: set if the fit as a whole did not converge. remarks: what a reader of the verdict
        must know.
    """

    verdict: str
    doses: xr.Dataset
    value: xr.DataArray
    surface: xr.DataArray
    prior_surface: xr.DataArray
    free_surface: xr.DataArray | None
    delta: float
    rivals: dict[str, tuple[Confounder, ...]]
    diagnosis: Diagnosis
    fit_warning: str
    remarks: tuple[str, ...]

    @property
    def explanation(self) -> str:
        """The verdict in sentences."""
        lines = []
        for verdict in self.verdict.split(", "):
            word, _, dose = verdict.partition(" in ")
            lines.append(f"{verdict}: {WORDS[word].format(delta=self.delta, dose=dose)}.")
        return "\n".join([self.fit_warning] * bool(self.fit_warning) + lines + [f"{remark}." for remark in self.remarks])

    @property
    def at_edge(self) -> pd.DataFrame:
        """P(the best dose is the lowest, or the highest, of its range): columns low and high, one line per dose."""
        found = {
            name: [float((draws == end).mean()) for end in self.surface[name].values[[0, -1]]]
            for name, draws in self.doses.items()
        }
        return pd.DataFrame(found, ["low", "high"]).T.rename_axis("dose")

    @checked(prob=arguments.SHARE)
    def region(self, prob: float = 0.95) -> xr.DataArray:
        """The joint region of the best doses: the cells of the grid (first, second) that hold the best combination with
        probability `prob`, most probable cells first (highest-probability set).

        Cells are ranked by the density of the draws, `surfaces.smoothed`, and counted by the draws themselves; what lies on an edge of
        the rectangle stays there. On a log axis cells are steps of the logarithm. attrs: prob, and probability, the share of draws
        inside.
        """
        counts = argmax_counts(self.surface)
        order = np.argsort(-smoothed(counts), axis=None, kind="stable")
        share = np.cumsum(counts.ravel()[order]) / counts.sum()
        inside = np.zeros(counts.shape, bool)
        inside.flat[order[: np.searchsorted(share, prob * (1 - 1e-12)) + 1]] = True
        found = self.surface.isel(chain=0, draw=0, drop=True).copy(data=inside).rename("joint region")
        return found.assign_attrs(prob=prob, probability=float(counts[inside].sum() / counts.sum()))

    def ridge(self, given: str) -> xr.DataArray:
        """Draws (chain, draw, given) of the best dose of the other for every dose of `given`; `visited` is where trials were near
        that dose at all."""
        other = self._other(given)
        curves = self.surface.transpose("chain", "draw", other, given).values
        best, _ = best_dose(self.surface[other].values, curves.reshape(-1, *curves.shape[2:]))
        found = self.surface.isel({other: 0}, drop=True).drop_vars("visited", errors="ignore")
        found = found.copy(data=best.reshape(found.shape)).rename(f"best {other}")
        return found.assign_coords(visited=self.surface["visited"].any(other))

    @checked(at=arguments.DICT)
    def given(self, at: dict[str, float]) -> Optimum:
        """The best dose of one when the other is held, at={"frequency_hz": 10}: an `Optimum` with a verdict of its own, from the
        surface, which is interpolated between doses of the grid."""
        if len(at) != 1:
            raise StimdoseError(f"one dose is held, and the other follows: give one of {', '.join(map(str, self.doses))}")
        ((held, dose),) = at.items()
        other, grid = self._other(held), self.surface[held].values
        if not arguments.is_number(dose):
            raise StimdoseError(f"{held} is held at a number, not at {dose!r}")
        if not grid[0] <= dose <= grid[-1]:
            raise StimdoseError(f"{held} = {dose:g} is outside the surface, which spans {short(grid[0])} to {short(grid[-1])}")
        seen = self.surface["visited"].sel({held: dose}, method="nearest")
        tried = self.surface[other].values[seen.values]
        k, a = list(self.doses).index(other), self.surface.attrs
        unit = a["units"][1 - k]
        attrs = {
            "dose": other,
            "unit": a["units"][k],
            "kind": a["kind"],
            "held": ", ".join(filter(None, [f"{held} {dose:g} {unit}".strip(), a["held"]])),
            "observed": [float(tried.min()), float(tried.max())] if len(tried) else [np.nan, np.nan],
            "log_axis": a["log_axes"][k],
            "effect_label": a["effect_label"],
        } | ({"warning": a["warning"]} if "warning" in a else {})

        def line(surface: xr.DataArray) -> xr.DataArray:
            low = min(int(np.searchsorted(grid, dose, "right")) - 1, len(grid) - 2)
            share = (dose - grid[low]) / (grid[low + 1] - grid[low])
            ends = (surface.isel({held: low + step}, drop=True).drop_vars("visited") for step in (0, 1))
            curves = next(ends) * (1 - share) + next(ends) * share
            return curves.assign_coords(visited=seen.drop_vars(held)).assign_attrs(attrs)

        near = [] if seen.all() else [f"Tried means here that a trial was within a factor of {NEAR:g} of both doses"]
        near = near if len(tried) else [f"No trial was near {held} = {dose:g}"]
        return optimum_of(
            line(self.surface),
            line(self.prior_surface),
            delta=self.delta,
            freed=None if self.free_surface is None else line(self.free_surface),
            rivals=self.rivals[other],
            divergences=self.diagnosis.divergences,
            fit_warning=self.fit_warning,
            remarks=(*about_rivals(other, self.rivals[other]), *near),
        )

    @checked
    def table(self, prob: float = 0.95) -> pd.DataFrame:
        """One line per dose, led by the verdict on both: median and equal-tailed interval of the best dose, the effect at the best
        combination, range, P(edge), the prior's interval, R-hat and ESS."""
        ends, (prior, _), edge = [(1 - prob) / 2, (1 + prob) / 2], best_doses(self.prior_surface), self.at_edge
        effect_low, effect_high = np.quantile(self.value, ends)
        records = []
        for name, draws in self.doses.items():
            low, high = np.quantile(draws, ends)
            prior_low, prior_high = np.quantile(prior[name], ends)
            check = self.diagnosis.table.reindex([name]).iloc[0]
            records.append(
                {
                    "dose": name,
                    "verdict": self.verdict,
                    "best_dose": float(draws.median()),
                    "low": low,
                    "high": high,
                    "effect_at_best": float(self.value.mean()),
                    "effect_low": effect_low,
                    "effect_high": effect_high,
                    "from": self.surface[name].values[0],
                    "to": self.surface[name].values[-1],
                    "p_at_low_end": edge.loc[name, "low"],
                    "p_at_high_end": edge.loc[name, "high"],
                    "prior_low": prior_low,
                    "prior_high": prior_high,
                    "r_hat": check["r_hat"],
                    "ess": check["ess_bulk"],
                }
            )
        return pd.DataFrame(records).set_index("dose")

    def _other(self, name: str) -> str:
        if name not in list(self.doses):
            raise StimdoseError(f"the surface is of {' and '.join(map(str, self.doses))}, not of {name!r}")
        return next(str(other) for other in self.doses if other != name)


@checked(**RULES, size=arguments.SIZES)
def joint_optimum(
    fit: Fit,
    first: str,
    second: str,
    *,
    over: dict[str, tuple[float, float]] | None = None,
    delta: float | None = None,
    at: dict | None = None,
    kind: Kind = "mean",
    size: tuple[int, int] = (41, 41),
) -> JointOptimum:
    """The combination of two doses with the highest effect within a rectangle (by default what was observed of each).

    delta: as for `optimum`; other arguments as for `surface`. at={"phase": "acute"} asks about one group.

    The verdict is that of `optimum`, carried to two doses. Tried is where `visited` is true, or lies between such points along
    either dose.
    "identified": P(the best combination was tried, and the effect there exceeds that at every point on the border of what was tried,
        and of the rectangle, by more than delta) >= 0.9.
    "still rising in <dose>" (or falling): the upper end of its range is best with P >= 0.5, and P(its highest tried dose exceeds its
        lowest by more than delta) >= 0.9, with the other dose held at its median best one, or at the nearest dose along which
        trials spread at least half as far as along any.
    "flat": P(no two combinations differ by more than delta) >= 0.9. Else "not identified", and so is what the prior alone gives, or
    what the freed model (`Model.freed`) does not keep. "confounded in <dose>": a dose goes with this one across trials and is not
    in the model. "did not converge" comes first: R-hat > 1.01 or ESS < 400 of either best dose.

    Raises StimdoseError where the question has no answer in this model.
    """
    delta = default_delta(fit.model, fit.trials) if delta is None else delta
    if kind == "new study" and not {first, second} & set(fit.rows.slopes):
        raise StimdoseError(
            f"the effects of {first} and {second} do not vary by study in this fit, so a new study has the optimum of the population; "
            "slopes by study need by_study=true and studies with several doses"
        )

    def surface_of(group: str) -> xr.DataArray:
        return surface(fit, first, second, over=over, at=at, kind=kind, size=size, group=group)

    held = {name: str(level) for name, level in (at or {}).items() if name in fit.rows.levels}
    by_group = [
        remark for dose in (first, second) for name, level in held.items() for remark in about_groups(fit, dose, name, [level])
    ]
    return joint_optimum_of(
        surface_of("posterior"),
        surface_of("prior"),
        delta=delta,
        free_surface=surface_of("freed") if "freed" in fit.tree else None,
        rivals={name: confounders(fit, name) for name in (first, second)},
        divergences=fit.diagnosis.divergences,
        fit_warning=fit_warning(fit),
        remarks=(*by_group, *_about_others(fit, first, second)),
    )


def _about_others(fit: Fit, first: str, second: str) -> list[str]:
    """Remarks on doses that go with one of the two less than rivals do; with each other they do so once."""
    others = tuple(found for found in related(fit, second) if found.column != first)
    return about_rivals(first, related(fit, first)) + about_rivals(second, others)


@checked(delta=arguments.POSITIVE)
def joint_optimum_of(
    surface: xr.DataArray,
    prior_surface: xr.DataArray,
    *,
    delta: float,
    free_surface: xr.DataArray | None = None,
    rivals: dict[str, tuple[Confounder, ...]] | None = None,
    divergences: int = 0,
    fit_warning: str = "",
    remarks: tuple[str, ...] = (),
) -> JointOptimum:
    """The joint optimum of surfaces, wherever they come from; the verdict is that of `joint_optimum`.

    surface, prior_surface, free_surface: draws (chain, draw, first, second) with `visited` and the attributes of `surface`, from the
        posterior, the prior, and from a fit of the freed model, where that is another. rivals: doses that go with each of the two across
        trials. divergences, fit_warning: of the fit that they come from. remarks: what else a reader must know.
    """
    first, second = surface.attrs["doses"]
    if min(surface.sizes[first], surface.sizes[second]) < 3:
        raise StimdoseError("a best combination needs a grid of at least three doses of each")
    rivals = rivals or {first: (), second: ()}
    doses, value = best_doses(surface)
    diagnosis = diagnose(doses, divergences)
    words, held_back = judge(surface, delta, prior_surface, free_surface, rivals)
    verdict = "did not converge" if diagnosis.failing else ", ".join(words)
    others = tuple(rival for rival in rivals[second] if rival.column != first)
    remarks = [*held_back, *remarks, *about_rivals(first, rivals[first]), *about_rivals(second, others)]
    outside = argmax_counts(surface)[~surface["visited"].values].sum() / value.size
    if outside > 0:
        remarks.append(f"In {outside:.1%} of the draws the best combination lies where no trial was near")
    if is_additive(surface):
        remarks.append(ADDITIVE)
    return JointOptimum(
        verdict,
        doses,
        value,
        surface,
        prior_surface,
        free_surface,
        float(delta),
        rivals,
        diagnosis,
        fit_warning,
        tuple(remarks),
    )
