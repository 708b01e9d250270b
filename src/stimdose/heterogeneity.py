"""By how much studies, and rows of one study, differ: the effects that vary by study, their standard deviations and columns.

`values` maps posterior variable names to PyTensor variables or to arrays of draws (draws, ...), as in `predictor`.
"""

import numpy as np

from . import outcomes
from .model import Model
from .rows import Rows


def study_effects(model: Model, rows: Rows) -> dict[str, tuple[str | None, str]]:
    """Effects that vary by study, by posterior variable name: the coefficient whose column they multiply (None for ones), and
    their spread."""
    found: dict[str, tuple[str | None, str]] = {"study_effect": (None, "between_study")}
    slopes = [name for column, name in _slopes(model) if column in rows.slopes]
    return found | {f"{name}_study_effect": (name, f"{name}_between_study") for name in slopes}


def _slopes(model: Model) -> list[tuple[str, str]]:
    """Columns and coefficients of what may vary by study."""
    doses = [(dose.column, f"{dose.column}_{name}") for dose in model.dose if dose.by_study for name in dose.coefficients]
    return doses + [(m.column, f"{m.column}_effect") for m in model.moderator if m.by_study]


def study_dims(model: Model, rows: Rows) -> dict[str, tuple[str, ...]]:
    """Dimensions of the effects that vary by study, by posterior variable name."""
    found = dict.fromkeys(study_effects(model, rows), ("study",))
    return found | ({"study_effect": ("study", model.between_study_by)} if rows.has_levels else {})


def between_study_of(model: Model, groups: dict[str, np.ndarray], values: dict):
    """Spread of `study_effect` (..., points) in the groups of some points; (..., 1) where it is the same in all groups."""
    if by := model.between_study_by:
        return values[f"between_study_by_{by}"][..., groups[by]]
    return values["between_study"][..., None]


def spread_at(model: Model, groups: dict[str, np.ndarray], study: np.ndarray, values: dict):
    """Spread of `study_effect` (..., points) at points of some groups and studies (points,): that of the group, over root weight."""
    spread = between_study_of(model, groups, values) * np.ones(len(study))
    return spread / values["study_weight"][..., study] ** 0.5 if model.study_effects == "student-t" else spread


def study_spread(model: Model, rows: Rows, values: dict):
    """Standard deviation (..., studies) of `study_effect` in each study, where each is of one group."""
    first = {name: index[rows.start[:-1]] for name, index in rows.points.groups.items()}
    return spread_at(model, first, np.arange(len(rows.studies)), values)


def level_columns(model: Model, rows: Rows, groups: dict[str, np.ndarray], spread, values: dict) -> list:
    """Columns (..., points) of Z of `study_effect`, given its standard deviation there (..., points): that, or one for each level."""
    if not rows.has_levels:
        return [spread]
    by = model.between_study_by
    return outcomes.columns(spread, groups[by], values["between_study_correlation"], len(rows.levels[by]))


def study_columns(model: Model, rows: Rows, groups: dict[str, np.ndarray], spread, columns: dict, values: dict) -> list:
    """Columns (..., points) of Z: what one standard deviation of each effect of a study adds at points of some groups; those of the level
    (see `level_columns`), then slopes, given the columns of coefficients by name."""
    slopes = [values[own][..., None] * columns[of] for of, own in study_effects(model, rows).values() if of]
    return level_columns(model, rows, groups, spread, values) + slopes


def study_size(model: Model, rows: Rows) -> int:
    """The number of columns of Z."""
    return len(study_effects(model, rows)) + (len(rows.levels[model.between_study_by]) - 1 if rows.has_levels else 0)


def scaled_effects(model: Model, rows: Rows, normals: dict, values: dict) -> dict:
    """Effects of studies, with the dimensions of `study_dims`, from standard normals by posterior variable name."""
    if rows.has_levels:
        spreads, correlation = values[f"between_study_by_{model.between_study_by}"], values["between_study_correlation"]
        level = outcomes.effects(normals["study_effect"], spreads, correlation)
    else:
        level = study_spread(model, rows, values) * normals["study_effect"]
    slopes = {name: own for name, (of, own) in study_effects(model, rows).items() if of and name in normals}
    return {"study_effect": level} | {name: values[own][..., None] * normals[name] for name, own in slopes.items()}


def study_part(model: Model, rows: Rows, columns: dict, values: dict):
    """What the effects of studies add to the mean effect (..., rows), given the columns of coefficients by name."""
    level = (rows.study, rows.points.groups[model.between_study_by]) if rows.has_levels else (rows.study,)
    slopes = [(name, of) for name, (of, _) in study_effects(model, rows).items() if of]
    return values["study_effect"][(..., *level)] + sum(values[name][..., rows.study] * columns[of] for name, of in slopes)


def row_levels(rows: Rows) -> dict[str, np.ndarray]:
    """What rows of one study differ by besides sampling error: by the posterior variable of its standard deviation, the rows (rows,) that
    have it, as 0 or 1. People differ by `residual_sd`, which is 1 on the latent scale of an ordinal model, and other rows by
    `within_study`."""
    found = {"within_study": ~rows.is_participant} if rows.has_within_study else {}
    found |= {"residual_sd": rows.is_participant} if rows.is_participant.any() and not rows.scores else {}
    return {name: of.astype(float) for name, of in found.items()}


def row_variance(rows: Rows, values: dict):
    """Variance (..., rows), or (rows,) of zeros, of what `row_levels` name."""
    found = np.zeros(len(rows.effect))
    for name, of in row_levels(rows).items():
        found = found + values[name][..., None] ** 2 * of
    return found


def weight_prior(model: Model) -> tuple[float, float]:
    """Shape and rate of the gamma prior of a study's weight, which makes study effects Student-t (West 1987, Biometrika 74:646)."""
    return model.student_t_df / 2, model.student_t_df / 2


def new_study_spread(model: Model, groups: dict[str, np.ndarray], values: dict, rng: np.random.Generator) -> np.ndarray:
    """Draws (draws, points), or (draws, 1), of the standard deviation of `study_effect` in one new study."""
    spread = between_study_of(model, groups, values)
    if model.study_effects == "student-t":
        shape, rate = weight_prior(model)
        spread = spread / np.sqrt(rng.gamma(shape, 1 / rate, (len(spread), 1)))
    return spread


def new_study_columns(
    model: Model, rows: Rows, groups: dict[str, np.ndarray], columns: dict, values: dict, rng: np.random.Generator
) -> list[np.ndarray]:
    """`study_columns` (draws, points), or (draws, 1), of one new study."""
    return study_columns(model, rows, groups, new_study_spread(model, groups, values, rng), columns, values)
