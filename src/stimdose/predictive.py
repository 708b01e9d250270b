"""What the model says about the trials it has seen: shrunken effects, the pooled effect, replicated effects and their statistics."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from . import effects
from .arguments import DICT, NAMES, WORD, checked
from .columns import axis_label, level_order
from .curves import effect_label, points
from .doses import dose_text, short
from .errors import StimdoseError
from .grid import base_levels
from .heterogeneity import new_study_columns, study_spread
from .model import Model
from .posterior import between_people, new_study_effects, replicate, reported_effects, shown_effects, true_effects
from .predictor import mean_effect, terms
from .results import stacked
from .rows import Rows
from .sampling import Fit
from .selection import PROBABILITY, published_mean
from .trials import Trials

FEWEST_STUDIES = 3
"""Fewer studies have no statistics of their own: what is odd about a single one is said by name."""
LEAST_LEFT = 0.1
"""Share of the noise of a mean that is compared where the posterior follows the mean closely, so that there is little to see."""
LEAST_NOISE = 0.01
"""Least share of noise in the variance of a replicated mean: few draws may leave less than none."""
STATISTICS = ("mean", "sd", "lowest", "highest")


@checked(group=WORD.or_none())
def study_effects(fit: Fit, *, group: str | None = None, prob: float = 0.95) -> pd.DataFrame:
    """Reported and shrunken effects by row, for a forest plot.

    Columns: label, dose, group, effect, low, high (as reported, with its 95 % confidence interval), shrunken, shrunken_low,
        shrunken_high (posterior of the effect that the row estimates). attrs: `pooled` (mean effect over the rows of the table,
        at their doses; of infinitely large studies, where the model has small-study effects), `prediction` (effect of a new study,
        averaged over the same doses), `by_group` (both for the rows of each group, where there are several), effect_label, prob, and
        `warning` where the fit did not converge.
    """
    rows, values = fit.rows, fit.values()
    if group is not None and group not in rows.table:
        raise StimdoseError(f"the table has no column {group!r}")
    seed = int(fit.tree.attrs["seed"])
    draws = true_effects(fit.model, rows, values, np.random.default_rng([seed, 5]))
    ends = [(1 - prob) / 2, (1 + prob) / 2]
    effect, se = shown_effects(fit.model, rows, values)
    low, high = effects.interval_from_se(effect, se)
    shrunken_low, shrunken_high = np.quantile(draws, ends, axis=0)
    table = pd.DataFrame(
        {
            "label": _labels(rows.table),
            "effect": effect,
            "low": low,
            "high": high,
            "shrunken": draws.mean(axis=0),
            "shrunken_low": shrunken_low,
            "shrunken_high": shrunken_high,
        }
    )
    doses = [dose.column for dose in fit.model.doses]
    if doses:
        table["dose"] = [" / ".join(texts) for texts in zip(*(_dose_texts(fit, column) for column in doses), strict=True)]
    if group:
        table["group"] = rows.table[group].astype(str).to_numpy()
        table = table.sort_values("group", key=lambda column: column.map(level_order(group, column).index), kind="stable")
    label = ("Mean over the rows" if doses else "Pooled effect") + ", large study" * bool(fit.model.small_study)
    pooled = lambda part: _summed_up(*_pooled(fit, part, np.random.default_rng([seed, 6])), label, ends)
    of_row = np.arange(len(table))  # of the fit: the table may be sorted
    by_group = {name: pooled(np.isin(of_row, own)) for name, own in table.groupby("group").groups.items()} if group else {}
    table.attrs = pooled(np.ones(len(table), bool)) | {
        "by_group": by_group if len(by_group) > 1 else {},
        "effect_label": effect_label(fit),
        "prob": prob,
        "dose_label": " / ".join(axis_label(column) for column in doses),
    }
    if not fit.diagnosis.converged:
        table.attrs["warning"] = "did not converge"
    return table


def mean_effects(model: Model, rows: Rows, values: dict) -> np.ndarray:
    """Draws (draws, rows) of the mean over studies of what each row estimates, at its doses."""
    return mean_effect(terms(model, rows, rows.points, values), values)


def replicated(model: Model, rows: Rows, values: dict, rng: np.random.Generator) -> np.ndarray:
    """Replicated effects (draws, rows) of new studies: trials with the doses, the groups and the sampling errors of these, done by
    others. values: draws (draws, ...) from the posterior or the prior."""
    return replicate(model, rows, values | new_study_effects(model, rows, values, rng), rng)


@checked(by=NAMES.or_none(), cuts=DICT.or_none())
def statistics(
    fit: Fit, *, by: str | tuple[str, ...] | None = None, cuts: Mapping[str, list[float]] | None = None, prob: float = 0.95
) -> pd.DataFrame:
    """Posterior predictive check of the table: do trials like these, done by others, look like these?

    The statistics, of all studies, of each group and of each range of doses with three studies or more: the mean effect (rows weighted
    by precision), the SD between studies, and the lowest and highest study.
    by: group columns of the table, whether or not the model has them; by default those of the model, and phase and site.
    cuts: where the ranges of a dose end (dose units), by column; those of the model that are not named, at their terciles. Rows whose
        dose is drawn in the model are in none: it follows their effect.

    Columns: of ("all", a column), level, studies, statistic, reported, replicated (median), low, high (interval of probability `prob` of
    the replicates), p (two-sided), and p_adjusted: the probability that a replicated table has any statistic of the table as far out as
    this one, in units of its own interval (Westfall and Young 1993, single-step maximum). The same trials made the posterior, which
    follows them, so what is reported lies nearer the middle than a replicate would: for means interval and both p are narrowed by that,
    for the others they are conservative.
    attrs: `warning` where the fit did not converge.
    """
    rows, posterior = fit.rows, fit.tree["posterior"].to_dataset()
    values = stacked(posterior.sel(draw=fit.tree["posterior_predictive"]["draw"]))
    draws = replicated(fit.model, rows, values, np.random.default_rng([int(fit.tree.attrs["seed"]), 8]))
    means, (reported, _) = _expected(fit.model, rows, values), reported_effects(rows, fit.values())
    lines, found, expected = [], [], []
    for of, level, part in _parts(fit, by, cuts):
        if (studies := len(np.unique(rows.study[part]))) >= FEWEST_STUDIES:
            lines += [(of, level, studies, name) for name in STATISTICS]
            variance, study = (rows.variance + between_people(rows, values))[part], rows.study[part]
            found.append(_statistics(np.vstack([reported, draws])[:, part], variance, study))
            expected.append(_statistics(means[:, part], variance, study))
    table = pd.DataFrame(lines, columns=["of", "level", "studies", "statistic"])
    if not found:
        return table.reindex(columns=[*table, "reported", "replicated", "low", "high", "p", "p_adjusted"])
    observed, new = np.split(np.concatenate(found, axis=1), [1])
    is_mean = (table["statistic"] == "mean").to_numpy()
    calibrated = np.where(is_mean, _narrower(new, np.concatenate(expected, axis=1)), 1.0)
    middle, low, high = np.quantile(new, [0.5, (1 - prob) / 2, (1 + prob) / 2], axis=0)
    low, high = middle + calibrated * (low - middle), middle + calibrated * (high - middle)
    table["reported"], table["replicated"], table["low"], table["high"] = observed[0], middle, low, high
    out = middle + (observed - middle) / calibrated
    table["p"] = np.minimum(1, 2 * (1 + np.minimum((new >= out).sum(axis=0), (new <= out).sum(axis=0))) / (1 + len(new)))
    ends = np.quantile(new, [0.025, 0.975], axis=0)
    most, own = (abs(x - middle) / np.where(x > middle, ends[1] - middle, middle - ends[0]) for x in (new, out))
    table["p_adjusted"] = (1 + (most.max(axis=1)[:, None] >= own).sum(axis=0)) / (1 + len(new))
    if not fit.diagnosis.converged:
        table.attrs["warning"] = "did not converge"
    return table


def _expected(model: Model, rows: Rows, values: dict) -> np.ndarray:
    """Draws (draws, rows) of the mean of what each row reports: of what is published, where there is selection."""
    mean = mean_effects(model, rows, values)
    if not model.selection:
        return mean
    sd = np.sqrt(rows.variance + study_spread(model, rows, values) ** 2)
    return published_mean(rows.variance, mean, sd, values[PROBABILITY][:, None])


def _narrower(new: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """How much nearer to the middle of its replicates a reported mean lies than a replicate does, by statistic.

    Replicates `new` (draws, statistics) vary by `noise` and by what is not known of their mean, `expected`: noise + posterior. What is
    reported less its posterior mean varies by noise - posterior: of y ~ N(X b, K), b ~ N(m, S), the residual y - X E[b | y] has the
    covariance K - X Var[b | y] X'. No less than LEAST_LEFT of the noise, as where groups have a mean of their own.
    """
    total, posterior = new.var(axis=0), expected.var(axis=0)
    noise = np.maximum(total - posterior, LEAST_NOISE * total)
    return np.sqrt(np.maximum(noise - posterior, LEAST_LEFT * noise) / total)


def _parts(
    fit: Fit, by: str | tuple[str, ...] | None, cuts: Mapping[str, list[float]] | None
) -> list[tuple[str, str, np.ndarray]]:
    """The parts of a table, as (column, level, whether each row is in it)."""
    rows, by = fit.rows, (by,) if isinstance(by, str) else by
    by = dict.fromkeys([*base_levels(rows), *(name for name in ("phase", "site") if name in rows.table)]) if by is None else by
    cuts = {dose.column: None for dose in fit.model.doses} | dict(cuts or {})
    if missing := [name for name in (*by, *cuts) if name not in rows.table]:
        raise StimdoseError(f"the table has no column {', '.join(map(repr, missing))}")
    found = [("all", "", np.ones(len(rows.effect), bool))]
    for name in by:
        values = rows.table[name]
        levels = level_order(name, values.dropna())
        found += [(name, level, (values.map(str) == level).to_numpy()) for level in levels if len(levels) > 1]
    for name, ends in cuts.items():
        doses = points(fit, name)["dose"].to_numpy(float, copy=True)
        if name in rows.points.doses:  # a drawn dose follows the effect: small effects would gather far from the best dose
            doses[rows.points.doses[name].uncertain] = np.nan
        if np.isnan(doses).all():
            continue
        ends = np.unique(np.nanquantile(doses, [1 / 3, 2 / 3], method="lower") if ends is None else ends)
        place = np.searchsorted(ends, doses, side="left")
        for k in np.unique(place[np.isfinite(doses)]):
            inside = (place == k) & np.isfinite(doses)
            found.append((name, "–".join(dict.fromkeys(map(short, (doses[inside].min(), doses[inside].max())))), inside))
    return found


def _statistics(effects: np.ndarray, variance: np.ndarray, study: np.ndarray) -> np.ndarray:
    """STATISTICS (tables, 4) of effects (tables, rows), whose rows are sorted by study."""
    weight, start = 1 / variance, np.flatnonzero(np.diff(study, prepend=-1))
    by_study = np.add.reduceat(weight, start)
    means = np.add.reduceat(effects * weight, start, axis=1) / by_study
    mean = means @ by_study / by_study.sum()
    sd = np.sqrt((means - mean[:, None]) ** 2 @ by_study / by_study.sum())
    return np.column_stack([mean, sd, means.min(axis=1), means.max(axis=1)])


def _pooled(fit: Fit, part: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draws of the mean effect over some rows (rows,) without study effects (nor small-study effects), and of the same in a new study."""
    rows, values = replace(fit.rows, points=replace(fit.rows.points, small_study=0.0)), fit.values()
    mean = mean_effects(fit.model, rows, values)[:, part].mean(axis=1)
    columns = {term.name: term.column for term in terms(fit.model, rows, rows.points, values)}
    own = new_study_columns(fit.model, rows, rows.points.groups, columns, values, rng)
    over = lambda column: column[:, part].mean(axis=1) if column.shape[1] > 1 else column[:, 0]
    shift = sum(over(column) * rng.standard_normal(len(mean)) for column in own)
    within = values["within_study"] * rng.standard_normal(len(mean)) if rows.has_within_study else 0.0
    return mean, mean + shift + within


def _summed_up(mean: np.ndarray, new: np.ndarray, label: str, ends: list[float]) -> dict[str, dict]:
    return {"pooled": {"label": label, "mean": float(mean.mean()), **_ends(mean, ends)}, "prediction": _ends(new, ends)}


def _ends(draws: np.ndarray, ends: list[float]) -> dict[str, float]:
    low, high = np.quantile(draws, ends)
    return {"low": float(low), "high": float(high)}


def _labels(table: pd.DataFrame) -> list[str]:
    labels = table["study"].astype(str)
    for name in ("arm", "outcome", "timepoint"):
        repeated = labels.duplicated(keep=False)
        if name in table and repeated.any():
            labels = labels.where(~repeated | table[name].isna(), labels + ", " + table[name].astype(str))
    return labels.tolist()


def _dose_texts(fit: Fit, column: str) -> list[str]:
    """The dose of every row as printed; where nothing is, the posterior median and interval of the imputed dose: ~12 [6, 25]."""
    texts = [dose_text(low, high) for low, high in zip(*Trials(fit.rows.table).bounds(column), strict=True)]
    if "" in texts:
        two_digits = lambda dose: short(float(f"{dose:.2g}"))
        believed = [
            f"~{two_digits(median)} [{two_digits(low)}, {two_digits(high)}]" for low, median, high in fit.dose_quantiles(column).T
        ]
        texts = [text or belief for text, belief in zip(texts, believed, strict=True)]
    return texts
