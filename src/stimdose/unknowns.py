"""What stands for a correlation of before and after, or a standard deviation, that a trial does not print.

    one r for all trials that do not print theirs           Fisher z of r ~ its prior
    SD of a row ~ log-normal around the typical SD of its outcome, with spread `sd_spread`; the printed SDs are draws of the same,
    and the typical SD has a flat prior on the log scale, integrated out

A row that lacks one of these has effect and variance as functions of it (`columns.UNKNOWN`). Where the effect is standardised by an
unknown SD, what was observed is the raw difference, so that the density of the effect is multiplied by 1 / SD.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from .columns import RAW_MEASURES
from .errors import Problem, TrialsError
from .model import Model
from .priors import Prior

_R = Prior(
    "correlation",
    interval=(0.2, 0.9),
    prob=0.95,
    why="correlation of scores before and after: 0.5 and 0.8 are what reviews impute, and extremes are rare",
)
_SD_SPREAD = Prior(
    "halfnormal",
    sigma=0.3,
    why="standard deviations of one outcome scale differ between trials by a factor of two at most",
)


@dataclass(frozen=True)
class Unknowns:
    """Rows whose effect or variance depends on what was not printed.

    r_rows (m,), with effect_r0, effect_r_slope, variance_r0, variance_r_slope (m,): see `columns.UNKNOWN`. sd_rows (k,), with
    effect_sd1, variance_sd1 and is_raw (k,). sd_group (k,): the outcome of each, of `sd_levels`; center, count (outcomes,): mean of
    the log SDs that are printed, and their number; squares: sum of squares of the printed log SDs around their means.
    """

    r_rows: np.ndarray
    effect_r0: np.ndarray
    effect_r_slope: np.ndarray
    variance_r0: np.ndarray
    variance_r_slope: np.ndarray
    sd_rows: np.ndarray
    effect_sd1: np.ndarray
    variance_sd1: np.ndarray
    is_raw: np.ndarray
    sd_group: np.ndarray
    sd_levels: tuple[str, ...]
    center: np.ndarray
    count: np.ndarray
    squares: float
    r_prior: Prior
    sd_prior: Prior
    size: int

    @property
    def rows(self) -> np.ndarray:
        """Rows that lack r or a standard deviation."""
        return np.union1d(self.r_rows, self.sd_rows)

    def priors(self) -> dict[str, Prior]:
        """Priors by name, of what this table needs."""
        found = {"pre_post_r": self.r_prior} if len(self.r_rows) else {}
        return found | ({"sd_spread": self.sd_prior} if len(self.sd_rows) else {})

    def log_sd(self, spread, typical_z, row_z):
        """Log SDs (..., k) from the spread (...,) and standard normals (..., outcomes) and (..., k).

        Given the printed SDs and the spread, log typical ~ N(center, spread^2 / count).
        """
        spread = spread[..., None]
        typical = self.center + spread * typical_z / np.sqrt(self.count)
        return typical[..., self.sd_group] + spread * row_z

    def log_density(self, spread):
        """Log density of the printed SDs given the spread, the typical SDs integrated out under a flat prior."""
        free = float(self.count.sum() - len(self.count))
        return -free * np.log(spread) - self.squares / (2 * spread**2)

    def complete(self, values: dict, effect, variance):
        """Effect and variance (..., rows) with the unknown rows computed, and the log Jacobian (..., rows) of their effects.

        effect, variance: (rows,); what they hold in the unknown rows does not matter. values: `pre_post_r` (...,), `sd_true` (..., k).
        """
        known = np.ones(self.size)
        known[self.rows] = 0
        effect, variance, jacobian = effect * known, variance * known, 0.0
        if len(self.r_rows):
            r, place = values["pre_post_r"][..., None], _placed(self.r_rows, self.size)
            left = 1 - self.effect_r_slope * r
            effect = effect + (self.effect_r0 * left**-0.5) @ place
            variance = variance + (self.variance_r0 - self.variance_r_slope * r) @ place
            jacobian = jacobian - 0.5 * np.log(left) @ place
        if len(self.sd_rows):
            sd, place = values["sd_true"], _placed(self.sd_rows, self.size)
            effect = effect + (self.effect_sd1 * sd ** -(~self.is_raw).astype(float)) @ place
            variance = variance + (self.variance_sd1 * sd ** (2.0 * self.is_raw)) @ place
            jacobian = jacobian - (np.log(sd) * ~self.is_raw) @ place
        return effect, variance, jacobian

    def typical(self) -> dict:
        """Values of `pre_post_r` and `sd_true` in the middle of what is known of them before any effect is seen."""
        middle = {"pre_post_r": np.float64(self.r_prior.distribution.median())}
        return middle | {"sd_true": np.exp(self.center[self.sd_group])}

    def draw_prior(self, draws: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Draws (draws, ...) of `pre_post_r`, `sd_spread` and `sd_true` given the printed SDs, before any effect is seen."""
        found = {}
        if len(self.r_rows):
            found["pre_post_r"] = self.r_prior.distribution.rvs(size=draws, random_state=rng)
        if len(self.sd_rows):
            grid = self.sd_prior.distribution.ppf((np.arange(2000) + 0.5) / 2000)
            density = self.log_density(grid)
            weight = np.exp(density - density.max())
            spread = rng.choice(grid, draws, p=weight / weight.sum())
            normals = (rng.standard_normal((draws, len(self.count))), rng.standard_normal((draws, len(self.sd_rows))))
            found |= {"sd_spread": spread, "sd_true": np.exp(self.log_sd(spread, *normals))}
        return found


def _placed(rows: np.ndarray, size: int) -> np.ndarray:
    """Matrix (k, rows) that puts k values into their rows."""
    place = np.zeros((len(rows), size))
    place[np.arange(len(rows)), rows] = 1
    return place


def unknowns_of(model: Model, table: pd.DataFrame) -> Unknowns | None:
    """The unknowns of a table whose rows are in the order of the likelihood; None where nothing lacks r or an SD.

    Raises TrialsError where no row of an outcome prints a standard deviation.
    """
    if "lacks" not in table or not table["lacks"].isin(["r", "sd"]).any():
        return None
    numbers: Callable[[str, Any], Any] = lambda name, at: table[name].to_numpy(float)[at] if name in table else np.empty(0)
    r_rows, sd_rows = (np.flatnonzero(table["lacks"] == what) for what in ("r", "sd"))
    outcome = _outcomes(table)
    levels = tuple(pd.unique(outcome[sd_rows]))
    printed = np.log(table["pooled_sd"].to_numpy(float)) if "pooled_sd" in table else np.full(len(table), np.nan)
    logs = [printed[(outcome == level) & np.isfinite(printed)] for level in levels]
    if silent := [level for level, found in zip(levels, logs, strict=True) if not len(found)]:
        rule = "no row prints a standard deviation of {}, so there is nothing to learn from: state one"
        raise TrialsError(
            "standard deviations that cannot be drawn:", [Problem(None, "", "sd", "", rule.format(n)) for n in silent]
        )
    return Unknowns(
        r_rows,
        *(numbers(name, r_rows) for name in ("effect_r0", "effect_r_slope", "variance_r0", "variance_r_slope")),
        sd_rows,
        *(numbers(name, sd_rows) for name in ("effect_sd1", "variance_sd1")),
        is_raw=table["measure"].isin(RAW_MEASURES).to_numpy()[sd_rows],
        sd_group=np.array([levels.index(level) for level in outcome[sd_rows]], int),
        sd_levels=levels,
        center=np.array([found.mean() for found in logs]),
        count=np.array([len(found) for found in logs]),
        squares=float(sum(((found - found.mean()) ** 2).sum() for found in logs)),
        r_prior=model.pre_post_r or _R,
        sd_prior=model.sd_spread or _SD_SPREAD,
        size=len(table),
    )


def _outcomes(table: pd.DataFrame) -> np.ndarray:
    """What shares a typical SD: rows of one outcome and one kind of score."""
    parts = [table[name].fillna("").astype(str) if name in table else pd.Series("", table.index) for name in ("outcome", "score")]
    return np.array([", ".join(filter(None, pair)) or "the outcome" for pair in zip(*parts, strict=True)], object)
