"""What is unknown in one study alone: doses it does not print as numbers, its standard deviations, r where no other study lacks it, and
its weight where study effects are Student-t.

Given the parameters that studies share, these are independent of all other studies, so that they can be integrated out for one study.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import gammaincinv, ndtr, ndtri

from .heterogeneity import weight_prior
from .latents import LEAST_SPREAD, Latents
from .model import Model
from .rows import DosePoints, Points, Rows

REACH, NODES = 6.0, 61
"""One unknown: the trapezoidal rule at so many standard normal scores, out to this far, which converges exponentially here (Trefethen &
Weideman 2014, SIAM Review 56:385)."""
SEVERAL = 128
"""Several unknowns: so many points of a scrambled Sobol sequence, the same for every draw, so that they add no noise to its weights."""


@dataclass(frozen=True)
class OwnUnknowns:
    """The unknowns of one study, each a function of a standard normal score given what studies share.

    points: where the mean effect of its rows is evaluated. intervals: by column, which sampled doses are its own, and the mean, sd and
    bounds of their logarithms. latents: its missing doses, and weights: by column, the printed parts and the weights that make doses of
    them. sds: which of the unknown standard deviations are its own. has_r: whether it alone lacks r. weight: number of the study and
    gamma prior (shape, rate) of its weight, or None.
    """

    rows: Rows
    points: Points
    intervals: dict[str, tuple[np.ndarray, float, float, np.ndarray]]
    latents: tuple[Latents, ...]
    weights: dict[str, tuple[np.ndarray, np.ndarray]]
    sds: np.ndarray
    has_r: bool
    weight: tuple[int, float, float] | None

    @property
    def size(self) -> int:
        """Number of unknowns."""
        doses = sum(len(own[0]) for own in self.intervals.values()) + sum(len(part.group) for part in self.latents)
        return doses + len(self.sds) + self.has_r + (self.weight is not None)

    def nodes(self) -> tuple[np.ndarray, np.ndarray]:
        """Scores (nodes, size) and log weights (nodes,) that integrate over the unknowns."""
        if self.size == 0:
            return np.zeros((1, 0)), np.zeros(1)
        if self.size == 1:
            score = np.linspace(-REACH, REACH, NODES)
            return score[:, None], -0.5 * score**2
        from scipy.stats import qmc

        return ndtri(qmc.Sobol(self.size, seed=0).random(SEVERAL)), np.zeros(SEVERAL)

    def values(self, values: dict, score: np.ndarray) -> tuple[dict, np.ndarray]:
        """Draws with the unknowns at a score (size,), the sampled doses being those of the study alone; and the log probability (draws,)
        of the bounds that depend on these, which weighs the score."""
        taken, found, log_mass = 0, {}, np.zeros(len(values["between_study"]))
        for column, (own, mean, sd, log_bounds) in self.intervals.items():
            taken += len(own)
            log_doses, _ = truncated(mean, sd, *log_bounds.T, score[taken - len(own) : taken])
            found[f"{column}_true"] = np.broadcast_to(np.exp(log_doses), (len(log_mass), len(own)))
        latents = np.zeros((len(log_mass), 0))
        for part in self.latents:
            taken += len(part.group)
            mean = np.log(values[f"{part.column}_typical"])[:, part.group]
            spread = np.hypot(values[f"{part.column}_spread"], LEAST_SPREAD)[:, None]
            own, mass = truncated(mean, spread, *part.ends(latents), score[taken - len(part.group) : taken])
            latents, log_mass = np.column_stack([latents, own]), log_mass + mass.sum(axis=1)
        for column, (printed, weights) in self.weights.items():
            found[f"{column}_true"] = np.exp(printed + latents @ weights.T)
        if len(self.sds):
            found["sd_true"] = self._sds(values, score[taken : taken + len(self.sds)])
        if self.has_r:
            r = self.rows.unknowns.r_prior.distribution.ppf(ndtr(score[taken + len(self.sds)]))
            found["pre_post_r"] = np.full(len(log_mass), r)
        if self.weight:
            s, shape, rate = self.weight
            found["study_weight"] = values["study_weight"].copy()
            found["study_weight"][:, s] = gammaincinv(shape, ndtr(score[-1])) / rate
        return values | found, log_mass

    def _sds(self, values: dict, score: np.ndarray) -> np.ndarray:
        """All unknown standard deviations (draws, k), those of the study given the others: each follows the mean of those before it, which
        knows the typical one to within spread / sqrt(count)."""
        unknowns, spread = self.rows.unknowns, values["sd_spread"]
        logs, known = np.log(values["sd_true"]), np.ones(len(unknowns.sd_rows), np.bool)
        known[self.sds] = False
        for k, z in zip(self.sds, score, strict=True):
            group = unknowns.sd_group[k]
            same = known & (unknowns.sd_group == group)
            count = unknowns.count[group] + same.sum()
            mean = (unknowns.center[group] * unknowns.count[group] + logs[:, same].sum(axis=1)) / count
            logs[:, k], known[k] = mean + spread * np.sqrt(1 + 1 / count) * z, True
        return np.exp(logs)


def own_unknowns(model: Model, rows: Rows, s: int) -> OwnUnknowns:
    """The unknowns of the study number `s`."""
    first, last = rows.start[s : s + 2]
    is_own = lambda row: (row >= first) & (row < last)
    intervals, latents, weights = {}, (), dict[str, Any]()
    if rows.imputation:
        latents, weights = _own_latents(rows, is_own)
    else:
        for dose in model.doses:
            at = rows.points.doses[dose.column]
            own = np.flatnonzero(is_own(at.uncertain))
            if len(own):
                prior = dose.prior("true").parameters
                intervals[dose.column] = (own, prior["mu"], prior["sigma"], at.log_bounds[own])
    sds, has_r = np.empty(0, int), False
    if rows.unknowns:
        sds, r_rows = np.flatnonzero(is_own(rows.unknowns.sd_rows)), rows.unknowns.r_rows
        has_r = bool(len(r_rows)) and bool(is_own(r_rows).all())
    weight = (s, *weight_prior(model)) if model.study_effects == "student-t" else None
    return OwnUnknowns(rows, _points_of(rows.points, first, last), intervals, latents, weights, sds, has_r, weight)


def truncated(mean, sd, low, high, score):
    """Where a Normal(mean, sd^2) between low and high has the probability that a standard normal has below `score`, or above it where
    the upper tail would lose its digits; and the log probability of the interval."""
    a, b = (low - mean) / sd, (high - mean) / sd
    is_upper = a > 0
    a, b = np.where(is_upper, -b, a), np.where(is_upper, -a, b)
    below, inside = ndtr(a), np.maximum(ndtr(b) - ndtr(a), np.finfo(float).tiny)
    z = ndtri(np.clip(below + inside * ndtr(score), np.finfo(float).tiny, 1 - 1e-16))
    return np.clip(mean + sd * np.where(is_upper, -z, z), low, high), np.log(inside)


def _own_latents(rows: Rows, is_own) -> tuple[tuple[Latents, ...], dict]:
    """The latents of a study, which are those of its arms, and what makes doses of them."""
    imputation = rows.imputation
    of_rows = {column: is_own(doses.rows) for column, doses in imputation.doses.items()}
    size = sum(len(part.group) for part in imputation.parts)
    mine = np.zeros(size, bool)
    for column, doses in imputation.doses.items():
        mine |= (doses.weights[of_rows[column]] != 0).any(axis=0)
    parts, before = [], 0
    for part in imputation.parts:
        own = mine[before : before + len(part.group)]
        if own.any():
            kept = {name: getattr(part, name)[own] for name in ("group", "log_bounds", "is_lowest", "is_highest")}
            parts.append(replace(part, **kept, weights=part.weights[:, mine[:before]]))
        before += len(part.group)
    weights = {
        column: (doses.printed[of_rows[column]], doses.weights[of_rows[column]][:, mine])
        for column, doses in imputation.doses.items()
        if of_rows[column].any()
    }
    return tuple(parts), weights


def _points_of(points: Points, first: int, last: int) -> Points:
    """The points of some rows."""
    return Points(
        last - first,
        {column: _dose_points_of(at, first, last) for column, at in points.doses.items()},
        {name: index[first:last] for name, index in points.groups.items()},
        {name: values[first:last] for name, values in points.moderators.items()},
        points.small_study[first:last] if isinstance(points.small_study, np.ndarray) else points.small_study,
    )


def _dose_points_of(at: DosePoints, first: int, last: int) -> DosePoints:
    if at.order is None:
        return DosePoints(at.values[first:last])
    uncertain = (at.uncertain >= first) & (at.uncertain < last)
    node = (at.row_of_node >= first) & (at.row_of_node < last)
    strata = np.unique(at.row_of_node)
    stratum = (strata >= first) & (strata < last)
    size, own = last - first, at.uncertain[uncertain] - first
    order = np.arange(size)
    order[own] = size + np.arange(len(own))
    order[strata[stratum] - first] = size + len(own) + np.arange(stratum.sum())
    return DosePoints(
        values=at.values[first:last],
        uncertain=own,
        log_bounds=at.log_bounds[uncertain],
        nodes=at.nodes[node],
        average=at.average[np.ix_(node, stratum)],
        row_of_node=at.row_of_node[node] - first,
        order=order,
    )
