"""What the model says about the trials it has seen: shrunken effects, the pooled effect, replicated effects."""

from dataclasses import replace

import numpy as np
import pandas as pd

from . import effects
from .columns import axis_label, level_order
from .curves import effect_label
from .doses import dose_text, short
from .errors import StimdoseError
from .posterior import fitted, reported_effects, true_effects
from .predictor import new_study_spread
from .predictor import study_effects as study_effects_of
from .sampling import Fit
from .trials import Trials


def study_effects(fit: Fit, *, group: str | None = None, prob: float = 0.95) -> pd.DataFrame:
    """Reported and shrunken effects by row, for a forest plot.

    Columns: label, dose, group, effect, low, high (as reported, with its 95 % confidence interval), shrunken, shrunken_low,
        shrunken_high (posterior of the effect that the row estimates). attrs: `pooled` (mean effect over the rows of the table,
        at their doses; of infinitely large studies, where the model has small-study effects), `prediction` (effect of a new study,
        averaged over the same doses), effect_label, prob, and `warning` where the fit did not converge.
    """
    rows, values = fit.rows, fit.values()
    if group is not None and group not in rows.table:
        raise StimdoseError(f"the table has no column {group!r}")
    seed = int(fit.tree.attrs["seed"])
    draws = true_effects(fit.model, rows, values, np.random.default_rng([seed, 5]))
    ends = [(1 - prob) / 2, (1 + prob) / 2]
    effect, se = reported_effects(rows, values)
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
    mean, new = _pooled(fit, np.random.default_rng([seed, 6]))
    label = ("Mean over the rows" if doses else "Pooled effect") + ", large study" * bool(fit.model.small_study)
    table.attrs = {
        "pooled": {"label": label, "mean": float(mean.mean()), **_ends(mean, ends)},
        "prediction": _ends(new, ends),
        "effect_label": effect_label(fit),
        "prob": prob,
        "dose_label": " / ".join(axis_label(column) for column in doses),
    }
    if not fit.diagnosis.converged:
        table.attrs["warning"] = "did not converge"
    return table


def replication(fit: Fit, prob: float = 0.95) -> pd.DataFrame:
    """Posterior predictive check by row: the reported effect, the interval of replicated effects, and P(replicated >
    reported)."""
    draws = fit.tree["posterior_predictive"]["effect"].values.reshape(-1, len(fit.rows.effect))
    low, high = np.quantile(draws, [(1 - prob) / 2, (1 + prob) / 2], axis=0)
    effect = fit.rows.effect
    return pd.DataFrame(
        {
            "row": fit.rows.labels,
            "study": fit.rows.table["study"],
            "effect": effect,
            "low": low,
            "high": high,
            "inside": (effect >= low) & (effect <= high),
            "p_higher": (draws > effect).mean(axis=0),
        }
    )


def _pooled(fit: Fit, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draws of the mean effect over the rows without study effects (nor small-study effects), and of the same in a new study."""
    rows, values = replace(fit.rows, points=replace(fit.rows.points, small_study=0.0)), fit.values()
    effects_by_study = study_effects_of(fit.model, rows)
    zero = {name: np.zeros_like(values[name]) for name in effects_by_study}
    mean = fitted(fit.model, rows, values | zero).mean(axis=1)
    of_study, new = {name: group[rows.start[:-1]] for name, group in rows.points.groups.items()}, {}
    for name, (column_of, spread) in effects_by_study.items():
        shift = rng.standard_normal((len(mean), 1))
        own = values[spread][:, None] if column_of else new_study_spread(fit.model, of_study, values, rng)
        new[name] = np.broadcast_to(own * shift, (len(mean), len(rows.studies)))
    shifted = fitted(fit.model, rows, values | new).mean(axis=1)
    within = values["within_study"] * rng.standard_normal(len(mean)) if rows.has_within_study else 0.0
    return mean, shifted + within


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
        believed = [f"~{short(median)} [{short(low)}, {short(high)}]" for low, median, high in fit.dose_quantiles(column).T]
        texts = [text or belief for text, belief in zip(texts, believed, strict=True)]
    return texts
