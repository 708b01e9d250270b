"""The posterior without one study, as draws of everything: what the other studies alone say."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from .heterogeneity import study_effects
from .importance import systematic
from .leave_one_out import LeaveOneOut, on_all_rows
from .model import Model
from .posterior import draw_coefficients, draw_prior
from .predictor import gaussian_coefficients, grouped_parameters
from .rows import Rows
from .sampling import Fit

DRAWS = 1000
"""Draws of the posterior without a study."""
NO_INFORMATION = 1e12
"""A sampling variance so many times as large says nothing."""


def posteriors_without(fit: Fit, left_out: LeaveOneOut) -> Iterator[tuple[int, str, dict[str, np.ndarray]]]:
    """For every study its number, its name, and draws (draws, ...) of every variable of the fit from the posterior without it.

    They are those of the refit without the study where there is one. Else draws of what was sampled are taken as often as the
    importance weights say, to within one (systematic resampling); coefficients and study effects are drawn anew from their conditional
    without the study, and what is unknown of its own doses, standard deviations and weight from what was known before any effect was seen.
    The effects of the study itself are those of a new one.
    """
    seed, values = int(fit.tree.attrs["seed"]), fit.values()
    before = draw_prior(fit.model, fit.rows, DRAWS, np.random.default_rng([seed, 10]))
    integrated = _integrated(fit.model, fit.rows)
    for number, study in enumerate(map(str, fit.rows.studies)):
        rng = np.random.default_rng([seed, 11, number])
        if study in left_out.refits:
            found = on_all_rows(fit, left_out.refits[study], rng)
            found = {name: found[name] for name in found if name not in integrated}
        else:
            weights = left_out.weights.sel(study=study).transpose("chain", "draw").values.ravel()
            kept = systematic(weights, DRAWS)
            found = {name: values[name][kept] for name in values if name not in integrated}
            for name, of_rows in _unknown_by_row(fit.model, fit.rows).items():
                own = fit.rows.study[of_rows] == number
                found[name] = np.where(own, before[name], found[name])
        rows = silenced(fit.rows, number)
        drawn, _ = draw_coefficients(fit.model, rows, found, rng)
        yield number, study, found | drawn


def silenced(rows: Rows, number: int) -> Rows:
    """The same rows, those of one study without any information."""
    own = rows.study == number
    unknowns = rows.unknowns
    if unknowns:
        of_r, of_sd = (np.where(own[at], NO_INFORMATION, 1.0) for at in (unknowns.r_rows, unknowns.sd_rows))
        unknowns = replace(
            unknowns,
            variance_r0=unknowns.variance_r0 * of_r,
            variance_r_slope=unknowns.variance_r_slope * of_r,
            variance_sd1=unknowns.variance_sd1 * of_sd,
        )
    variance = np.where(own, NO_INFORMATION * np.where(rows.is_participant, 1.0, rows.variance), rows.variance)
    return replace(rows, variance=variance, unknowns=unknowns)


def _integrated(model: Model, rows: Rows) -> set[str]:
    """What is not sampled but drawn afterwards; of `selection` the study effects alone."""
    studies = set(study_effects(model, rows))
    if model.selection:
        return studies
    population = set(gaussian_coefficients(model))
    by_group = {grouped.variable for grouped in grouped_parameters(model) if grouped.name in population}
    words = {f"{moderator.column}_effect" for moderator in model.moderator if not moderator.is_numeric}
    return population | by_group | words | studies


def _unknown_by_row(model: Model, rows: Rows) -> dict[str, np.ndarray]:
    """The rows of every variable that has one value for each row that does not print it, or for each study: its first row."""
    found = {f"{column}_true": points.uncertain for column, points in rows.points.doses.items() if len(points.uncertain)}
    found |= {"study_weight": rows.start[:-1]} if model.study_effects == "student-t" else {}
    return found | ({"sd_true": rows.unknowns.sd_rows} if rows.unknowns and len(rows.unknowns.sd_rows) else {})
