"""What is left of every effect after the dose: for funnel plots that the dose does not make lopsided."""

from dataclasses import replace

import numpy as np
import pandas as pd

from .curves import effect_label
from .heterogeneity import new_study_columns, row_variance
from .posterior import shown_effects
from .predictive import mean_effects
from .predictor import terms
from .sampling import Fit


def residuals(fit: Fit) -> pd.DataFrame:
    """Reported effects less what the model expects at their doses, by row.

    Where precise trials gave other doses than small ones, effects lie lopsided in a funnel plot although nothing was left unpublished;
    what remains after the moderators does not (Sterne, Becker and Egger 2005, in Publication Bias in Meta-Analysis, ch. 5; as
    `funnel` of metafor draws a meta-regression: Viechtbauer 2010, J Stat Softw 36(3)). Small-study effects of the model stay in the
    residual: they are what one looks for.

    Columns: study; effect, se (as in forest plots, effect units); expected (posterior mean of the mean over studies, at the doses and in
        the groups of the row); residual (effect - expected); spread (posterior root mean square of the standard deviation of what
        studies, and rows of one study, differ by).
    attrs: effect_label, and `warning` where the fit did not converge.
    """
    rows, values = replace(fit.rows, points=replace(fit.rows.points, small_study=0.0)), fit.values()
    effect, se = shown_effects(fit.model, fit.rows, values)
    expected = mean_effects(fit.model, rows, values).mean(axis=0)
    columns = {term.name: term.column for term in terms(fit.model, rows, rows.points, values)}
    rng = np.random.default_rng([int(fit.tree.attrs["seed"]), 9])
    own = new_study_columns(fit.model, rows, rows.points.groups, columns, values, rng)
    variance = sum(np.mean(column**2, axis=0) for column in own) + np.atleast_2d(row_variance(rows, values)).mean(axis=0)
    table = pd.DataFrame({"study": rows.table["study"].astype(str).to_numpy(), "effect": effect, "se": se, "expected": expected})
    table = table.assign(residual=effect - expected, spread=np.sqrt(variance))
    table.attrs = {"effect_label": effect_label(fit)}
    if not fit.diagnosis.converged:
        table.attrs["warning"] = "did not converge"
    return table
