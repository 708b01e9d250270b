"""How the answers move when a study is left out: the mean effect, every best dose, and its verdict."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import xarray as xr

from .curves import curve
from .derived import best_of
from .dose_space import Confounder, confounders
from .grid import curve_draws, held_values
from .predictive import mean_effects
from .sampling import Fit
from .verdicts import CERTAINTY, split, verdicts, weigh

SIZE = 61
"""Doses of the curves that are judged anew without each study."""
LENIENT = 0.8
"""A verdict has not changed if it only falls from a little above the probability from which it is given to no less than this."""


@dataclass(frozen=True)
class Answers:
    """What a fit says of one dose with all trials, to be compared with what it says without each.

    whole, prior: draws of curves (chain, draw, dose[, by]); freed: of a fit of the freed model (`Model.freed`), or None. rivals: doses
    that go with this one. delta: the smallest difference that matters.
    """

    fit: Fit
    column: str
    by: str | None
    whole: xr.DataArray
    prior: xr.DataArray
    freed: xr.DataArray | None
    rivals: tuple[Confounder, ...]
    delta: float

    @cached_property
    def _fixed(self) -> dict[float, list[dict[str, str]]]:
        """Verdicts on the draws of the prior, of the freed model, and with all trials, at either certainty."""
        draws = (self.prior, self.whole if self.freed is None else self.freed, self.whole)
        return {certainty: [verdicts(part, self.delta, certainty) for part in draws] for certainty in (CERTAINTY, LENIENT)}

    def verdicts(self, curves: xr.DataArray | None = None, certainty: float = CERTAINTY) -> dict[str, str]:
        """The verdict on other draws of the curves, or with all trials; all else as it is with all trials."""
        by_prior, free, found = self._fixed[certainty]
        found = found if curves is None else verdicts(curves, self.delta, certainty)
        return weigh(found, by_prior, found if self.freed is None else free, self.rivals)[0]

    def without(self, values: dict[str, np.ndarray], prob: float = 0.95) -> pd.DataFrame:
        """The best dose in the posterior without a study, of which values are draws (draws, ...).

        The range searched, the doses that count as tried, rival doses, what is held and the fit of the freed model are those of all
        trials. One line per group: dose, group; best_dose (median), low, high (interval of probability `prob`), verdict;
        verdict_all, with all trials; changes, whether these differ by more than a probability just above or just below the one from
        which verdicts are given; and change of the mean of the best dose, in standard deviations of the whole posterior (of the
        logarithm if the axis is one).
        """
        model, rows, grid = self.fit.model, self.fit.rows, self.whole[self.column].values
        held = held_values(model, rows, self.column, self.by, {})
        draws = curve_draws(model, rows, values, self.column, grid, self.by, held)
        draws = draws if self.by else draws[..., 0]
        coords = {name: self.whole[name] for name in (self.column, self.by) if name}
        curves = xr.DataArray(draws[None], coords, ("chain", "draw", *coords), attrs=self.whole.attrs)
        found, before = self.verdicts(curves), self.verdicts()
        changed = {group for group in found if found[group] != before[group]}
        if changed:
            found_lenient, before_lenient = self.verdicts(curves, LENIENT), self.verdicts(certainty=LENIENT)
            changed -= {
                group for group in changed if found_lenient[group] == before[group] or before_lenient[group] == found[group]
            }
        scale = np.log if self.whole.attrs["log_axis"] else np.asarray
        whole_doses, lines = split(best_of(self.whole)[0], by=self.by), []
        for group, (dose,) in split(best_of(curves)[0], by=self.by).items():
            low, middle, high = np.quantile(dose, [(1 - prob) / 2, 0.5, (1 + prob) / 2])
            all_doses = scale(whole_doses[group][0].values)
            change = (scale(dose.values).mean() - all_doses.mean()) / (all_doses.std() or np.inf)
            lines.append((self.column, group, middle, low, high, found[group], before[group], group in changed, change))
        names = ["dose", "group", "best_dose", "low", "high", "verdict", "verdict_all", "changes", "change"]
        return pd.DataFrame(lines, columns=names)


def answers(fit: Fit, column: str, delta: float) -> Answers:
    """What a fit says of a dose, in each of the groups that it varies over."""
    by = fit.model.shown_by(column)
    groups = ("posterior", "prior", *(["freed"] if "freed" in fit.tree else []))
    whole, prior, *freed = (curve(fit, column, by=by, size=SIZE, group=group) for group in groups)
    return Answers(fit, column, by, whole, prior, freed[0] if freed else None, confounders(fit, column), delta)


def mean_change(fit: Fit, number: int, means: np.ndarray, values: dict[str, np.ndarray]) -> dict[str, float]:
    """The mean effect over the rows of all other studies (effect units): mean_all, from the whole posterior, of which means are draws
    (draws, rows); mean_without, from the one without the study, of which values are draws; mean_change, the difference in standard
    deviations of the whole posterior."""
    others = fit.rows.study != number
    whole = means[:, others].mean(axis=1)
    found = mean_effects(fit.model, fit.rows, values)[:, others].mean()
    return {"mean_all": whole.mean(), "mean_without": found, "mean_change": (found - whole.mean()) / whole.std()}
