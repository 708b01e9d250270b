"""Model + Trials -> the arrays of the likelihood: rows sorted by study, doses as points, groups as indices."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import ValidationError

from .audit import Conversion
from .columns import COLUMNS, CONTROLS_INACTIVE, PARTICIPANT, STANDARDISED_MEASURES, level_order
from .covariance import blocks
from .dose_points import DosePoints, dose_points, spread_ends, spread_of
from .doses import dose_text, short
from .errors import ModelError, Problem, TrialsError
from .latents import Imputation, impute
from .model import Model
from .participants import Scores, check_only_people, check_people, score_levels, scores_of
from .small_studies import check_sizes, smallness
from .trials import LACKS, Trials
from .unknowns import Unknowns, unknowns_of

Missing = Literal["error", "drop", "impute"]
"""What a fit does with rows that lack a dose."""


@dataclass(frozen=True)
class Points:
    """Where the mean effect is evaluated: doses, group numbers (points,), standardised moderators (points,), and how small the study is
    (points,), see `small_studies`; 0 is infinitely large."""

    size: int
    doses: dict[str, DosePoints]
    groups: dict[str, np.ndarray]
    moderators: dict[str, np.ndarray]
    small_study: np.ndarray | float = 0.0


@dataclass(frozen=True)
class Rows:
    """What the likelihood of a model needs of a table, rows sorted by study (stable).

    effect, variance, study, labels: (rows,). start: (studies + 1,) first row of each study. levels: the groups of each column.
    scales: centre and unit of each numeric moderator. slopes: doses and moderators whose effect varies by study. has_levels: whether
        studies have several levels of `between_study_by`, so that their effect is by level (see `outcomes`). is_participant: rows
        that are people. has_within_study: whether the model has this level and any study several other rows (of one level).
        correlation, block: of the sampling errors within studies, see `integrate`. imputation: what stands for missing doses, and
        unknowns for missing r and standard deviations, if they are imputed; effect and variance of such rows are those of typical
        values. scores: of an ordinal model.
    """

    effect: np.ndarray
    variance: np.ndarray
    study: np.ndarray
    studies: np.ndarray
    labels: np.ndarray
    start: np.ndarray
    points: Points
    levels: dict[str, list[str]]
    scales: dict[str, tuple[float, float]]
    slopes: tuple[str, ...]
    has_levels: bool
    is_participant: np.ndarray
    has_within_study: bool
    table: pd.DataFrame
    correlation: np.ndarray
    block: np.ndarray
    imputation: Imputation | None = None
    unknowns: Unknowns | None = None
    scores: Scores | None = None


def needed_columns(model: Model) -> tuple[str, ...]:
    """Columns of the table that the model reads, besides effect and variance."""
    found = [dose.column for dose in model.doses] + [moderator.column for moderator in model.moderator]
    found += [column for name in group_columns(model) for column in name.split(":")]
    return tuple(dict.fromkeys(found))


def group_columns(model: Model) -> list[str]:
    """The groupings of the model: columns, and combinations of columns ("a:b")."""
    found = [*(model.intercept.groups if model.intercept else ()), *(name for dose in model.doses for name in dose.groups)]
    found += [moderator.column for moderator in model.moderator if not moderator.is_numeric]
    return list(dict.fromkeys(found + ([model.between_study_by] if model.between_study_by else [])))


def group_levels(model: Model, table: pd.DataFrame) -> tuple[dict[str, list[str]], dict[str, np.ndarray]]:
    """The levels of every grouping and of the columns that combinations are made of, and the number of each row's level. A combination
    has a level for every pair, whether or not a row has it."""
    names = group_columns(model)
    columns = dict.fromkeys(column for name in names for column in name.split(":"))
    levels = {column: level_order(column, table[column]) for column in columns}
    numbers = {column: table[column].map(str).map(levels[column].index).to_numpy() for column in columns}
    for name in filter(lambda name: ":" in name, names):
        first, second = name.split(":")
        levels[name] = pairs(levels[first], levels[second])
        numbers[name] = combination(numbers[first], numbers[second], len(levels[second]))
    return levels, numbers


def pairs(first: list[str], second: list[str]) -> list[str]:
    """The levels of a combination of two columns."""
    return [f"{a}, {b}" for a in first for b in second]


def combination(first, second, seconds: int):
    """Number of a pair of levels, of which the second has `seconds` values."""
    return first * seconds + second


def prepare(model: Model, trials: Trials, missing: Missing = "error", allow_mixed: tuple[str, ...] = ()) -> tuple[Model, Trials]:
    """What will be fitted: the model with the options that the table tells (knots), and the trials that it will see: complete (but for
    doses, if these are imputed), and of one estimand that suits it.

    Raises TrialsError for empty cells and mixed estimands, ModelError where model and table do not fit.
    """
    problems = []
    if model.is_anchored and not set(trials.table["comparator"].dropna()) <= set(CONTROLS_INACTIVE):
        problems.append(
            "an anchored model (zero dose, zero effect) needs contrasts with sham or add-on; this table has other comparators. "
            "Give the model an intercept, or spontaneous recovery is booked as dose"
        )
    if (
        model.likelihood == "normal"
        and model.outcome_sd is None
        and not set(trials.table["measure"].dropna()) <= set(STANDARDISED_MEASURES)
    ):
        problems.append(
            f"priors are stated in standard deviations of the outcome, and the effects are {trials.measure}: "
            "state `outcome_sd` in the model, the size of one in the units of the effect"
        )
    for column in {column for name in group_columns(model) for column in name.split(":")}:
        if column in trials.table and column in COLUMNS and COLUMNS[column].is_numeric:
            problems.append(f"{column!r} is numeric and cannot be a group; cut it into levels first")
    for moderator in model.moderator:
        if (
            moderator.is_numeric
            and moderator.column in trials.table
            and not pd.api.types.is_numeric_dtype(trials.table[moderator.column])
        ):
            problems.append(f"moderator {moderator.column!r} holds words; state `spread` in place of `prior`, or give it numbers")
    for dose in model.doses:
        if dose.column in trials.table and not pd.api.types.is_numeric_dtype(trials.table[dose.column]):
            problems.append(f"dose {dose.column!r} is not numeric")
    if problems:
        raise ModelError("\n  - ".join([f"model {model.name!r} does not fit this table:", *problems]))
    if model.likelihood == "ordinal" and missing != "drop":  # or the scores that trials lack would pass for empty cells
        check_only_people(trials.table)
    if missing == "impute":
        _check_imputable(model, trials)
    else:
        trials = trials.complete(needed_columns(model), missing)
    trials.require_one_estimand(allow_mixed)
    _check_studies(model, trials)
    if model.likelihood == "ordinal":
        model = model.replace(score_levels=score_levels(trials.table, model.score_levels))
    bounds = {dose.column: np.array(trials.bounds(dose.column)) for dose in model.doses}
    constant = [column for column, values in bounds.items() if len(np.unique(values[~np.isnan(values)])) == 1]
    if constant:
        raise ModelError(f"{', '.join(constant)}: the same in every row that prints it; there is no dose-response to estimate")
    return _placed(model, trials, bounds), trials


def _check_studies(model: Model, trials: Trials) -> None:
    """Raises ModelError that names the studies that a spread by group, or selection, cannot be of; TrialsError for sizes that lack."""
    rows, problems = trials.table.groupby("study", sort=False), []
    if (by := model.between_study_by) and model.study_effects != "normal":
        several = rows[by].nunique()
        if len(mixed := several.index[several > 1]):
            problems.append(
                f"study_effects = {model.study_effects!r} with between_study_by = {by!r} needs studies of one {by} each; "
                f"rows differ in it in {', '.join(map(str, mixed))}"
            )
    if model.selection:
        several = rows.size()
        if len(mixed := several.index[several > 1]):
            problems.append(
                "selection acts on rows that are independent, one for each study; "
                f"there are several in {', '.join(map(str, mixed))}"
            )
        if trials.table["design"].eq(PARTICIPANT).any():
            problems.append("selection acts on trials, and these rows are participants, whose changes have no significance")
        if trials.table[["effect", "variance"]].isna().any(axis=None):
            problems.append("selection needs effects and variances that are printed or computed, not imputed")
    if problems:
        raise ModelError("\n  - ".join([f"model {model.name!r} does not fit this table:", *problems]))
    check_people(trials.table)
    if model.small_study:
        check_sizes(trials.table)


def _placed(model: Model, trials: Trials, bounds: dict[str, np.ndarray]) -> Model:
    """The model with the options that the doses of a table tell. Raises ModelError where a shape has no value at a dose of the table."""
    ends = {
        column: np.concatenate([low[low == high], *(end[low != high] for end in (low, high))])
        for column, (low, high) in bounds.items()
    }
    printed = {column: values[np.isfinite(values)] for column, values in ends.items()}
    try:
        placed = [dose.placed(printed) for dose in model.dose]
    except ValidationError as error:
        raise ModelError(f"model {model.name!r} does not fit this table: {error.errors()[0]['ctx']['error']}") from None
    except ValueError as error:
        raise ModelError(f"model {model.name!r} does not fit this table: {error}") from None
    if any(new is not old for new, old in zip(placed, model.dose, strict=True)):
        model = model.replace(dose=tuple(placed))
    problems = []
    for dose in model.doses:
        (low, high), (least, most) = (
            spread_ends(*bounds[dose.column], spread_of(dose.column, trials.table)),
            dose.basis.domain,
        )
        outside = (low < least) & ((low == high) | np.isfinite(most)) | ~(high <= most) & np.isfinite(most)
        rows = trials.table.loc[outside, "row"]
        problems += [
            Problem(
                row, study, dose.column, "", f"the {dose.shape} shape has values between {short(least)} and {short(most)} only"
            )
            for row, study in zip(rows, trials.table.loc[outside, "study"], strict=True)
        ]
    if problems:
        raise TrialsError("doses at which the shape of the model has no value; state `between`, or use another shape:", problems)
    return model


def _check_imputable(model: Model, trials: Trials) -> None:
    """Only doses can be imputed, and only those of single trials."""
    doses = [dose.column for dose in model.doses]
    absent = tuple(column for column in doses if column not in trials.table)
    problems = trials.gaps(tuple(column for column in needed_columns(model) if column not in doses) + absent)
    for column in doses:
        if column not in absent:
            empty = np.isnan(trials.bounds(column)[0]) & (trials.table["design"] == "stratum").to_numpy()
            rule = "is empty in a stratum, whose dose is a spread over its trials: it cannot be imputed"
            problems += [Problem(row["row"], row["study"], column, "", rule) for _, row in trials.table[empty].iterrows()]
    problems = [problem for problem in problems if problem.rule not in (LACKS["r"], LACKS["sd"])]
    if problems:
        headline = "doses, standard deviations and pre_post_r of trials can be imputed, and nothing else; fill these in:"
        raise TrialsError(headline, problems)


def rows_of(model: Model, trials: Trials, imputed: bool = False) -> Rows:
    """The arrays of `prepare`d trials.

    Raises TrialsError where missing doses cannot be imputed.
    """
    table = trials.table
    first_seen = {study: k for k, study in enumerate(pd.unique(table["study"]))}
    order = np.argsort(table["study"].map(first_seen).to_numpy(), kind="stable")
    table = table.iloc[order].reset_index(drop=True)
    trials = Trials(table)
    study = table["study"].map(first_seen).to_numpy()
    start = np.concatenate([np.searchsorted(study, np.arange(len(first_seen))), [len(study)]])

    levels, groups = group_levels(model, table)
    table = table.assign(**{name: np.array(levels[name])[groups[name]] for name in levels if ":" in name})
    scales, moderators = {}, {}
    for moderator in model.moderator:
        if moderator.is_numeric:
            values = table[moderator.column].to_numpy(float)
            center = values.mean() if moderator.center is None else moderator.center
            per = moderator.per or (values.std(ddof=1) if len(values) > 1 else 1.0)
            if per == 0:
                raise ModelError(f"moderator {moderator.column!r} is the same in every row: it has no effect to estimate")
            scales[moderator.column] = (float(center), float(per))
            moderators[moderator.column] = (values - center) / per

    imputation = impute(model, trials) if imputed else None
    bounds = imputation.bounds if imputation else {dose.column: np.array(trials.bounds(dose.column)) for dose in model.doses}
    stratum = (table["design"] == "stratum").to_numpy()
    spreads = {dose.column: spread_of(dose.column, table) for dose in model.doses}
    doses = {dose.column: dose_points(dose, *bounds[dose.column], stratum, spreads[dose.column]) for dose in model.doses}
    keys = imputation.key if imputation else {}
    slopes = tuple(
        part.column
        for part in model.dose
        if part.by_study and any(_several(study, bounds[dose.column], keys.get(dose.column)) for dose in part.factors)
    )
    slopes += tuple(m.column for m in model.moderator if m.by_study and _several(study, [moderators[m.column]] * 2))
    level = groups[model.between_study_by] if model.between_study_by else np.zeros(len(table), int)
    levels_of_studies = len(np.unique(np.column_stack([study, level]), axis=0))
    is_participant = (table["design"] == PARTICIPANT).to_numpy()
    of_trials = np.column_stack([study, level])[~is_participant]
    unknowns = unknowns_of(model, table) if imputed else None
    # copies, because a read-only array would make numba compile everything once more
    effect, variance = (table[name].to_numpy(float, copy=True) for name in ("effect", "variance"))
    if unknowns:
        effect, variance, _ = unknowns.complete(unknowns.typical(), np.nan_to_num(effect), np.nan_to_num(variance))
    correlation, block = blocks(table, start)
    return Rows(
        effect=effect,
        variance=variance,
        study=study,
        studies=np.array(list(first_seen), dtype=object),
        labels=np.array([str(row) for row in table["row"]], dtype=object),
        start=start,
        points=Points(len(table), doses, groups, moderators, smallness(model, table, variance) if model.small_study else 0.0),
        levels=levels,
        scales=scales,
        slopes=slopes,
        has_levels=levels_of_studies > len(first_seen),
        is_participant=is_participant,
        has_within_study=bool(model.within_study) and len(np.unique(of_trials, axis=0)) < len(of_trials),
        table=table,
        correlation=correlation,
        block=block,
        imputation=imputation,
        unknowns=unknowns,
        scores=scores_of(table, model.score_levels or ()) if model.likelihood == "ordinal" else None,
    )


def left_to_model(rows: Rows) -> tuple[Conversion, ...]:
    """What the likelihood takes as unknown, one line of the audit each."""
    found, labels, studies = [], rows.table["row"].to_numpy(), rows.table["study"].to_numpy()

    def add(row: int, column: str, printed: str, formula: str, assumption: str) -> None:
        found.append(Conversion(labels[row], studies[row], column, printed, "posterior", formula, assumption))

    for column, points in rows.points.doses.items():
        low, high = Trials(rows.table).bounds(column)
        for row in points.uncertain:
            text = dose_text(low[row], high[row])
            kind = "hierarchical log-normal by modality" if rows.imputation else "log-normal prior"
            add(
                row,
                column,
                f"{column} = {text}" if text else "",
                "drawn in the model" + (" within what is printed" if text else ""),
                kind,
            )
        spread = spread_of(column, rows.table)
        for row in np.unique(points.row_of_node):
            text = f"{column} = {dose_text(low[row], high[row])}"
            if spread[row]:
                text += f", {column}_sd = {short(spread[row])}"
                add(row, column, text, "the effect is averaged over the doses of its people", "log-normal with this mean and SD")
            else:
                add(row, column, text, "averaged over the interval of the stratum", "log-normal prior")
    if rows.unknowns:
        for row in rows.unknowns.r_rows:
            add(row, "pre_post_r", "", "drawn in the model", "one correlation for all trials that do not print theirs")
        for row in rows.unknowns.sd_rows:
            add(row, "sd", "", "drawn in the model", "log-normal around the typical SD of the outcome")
    return tuple(found)


def _several(study: np.ndarray, bounds: Iterable[np.ndarray], key: np.ndarray | None = None) -> bool:
    """Whether any study has several values; what is not printed as a number differs between those who do not share it (key)."""
    low, high = bounds
    latent = np.full(len(study), -1) if key is None else np.where(low == high, -1, key)
    frame = pd.DataFrame({"study": study, "low": low, "high": high, "latent": latent}).drop_duplicates()
    return bool(frame["study"].duplicated().any())
