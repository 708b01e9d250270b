"""What an ordinal fit says of the levels of the score."""

from typing import Any

import numpy as np
import xarray as xr

from .arguments import checked
from .curves import curve
from .errors import StimdoseError
from .ordinal import probabilities
from .sampling import Fit


@checked
def category_probabilities(fit: Fit, column: str, **options: Any) -> xr.DataArray:
    """Draws of the probability of each level of the score after treatment, along one dose.

    options: by, kind, over, grid, at, group, size, new_group, as of `curve`. `at` also holds the score before treatment, where that is a
        moderator: people are like those that the curve is of, at the mean of the table where nothing is stated.

    Returns a DataArray (chain, draw, <column>[, <by>], score); the scores ascend, and their probabilities sum to 1. attrs: as of the curve.
    The probabilities are those of the latent benefit of the curve, in one study: over studies that differ, levels spread further.

    Raises StimdoseError for a fit that is not ordinal, and what `curve` raises.
    """
    if not fit.rows.scores:
        raise StimdoseError(f"{fit.model.name} has no levels: category_probabilities takes a fit with likelihood = 'ordinal'")
    benefit = curve(fit, column, **options)
    cutpoints = fit.tree[options.get("group", "posterior")]["cutpoint"].transpose("chain", "draw", "score_step")
    places = (slice(None), slice(None), *[None] * (benefit.ndim - 2))
    found = probabilities(benefit.values, cutpoints.values[places])
    levels = fit.rows.scores.levels
    order = np.argsort(levels)
    coords = dict(benefit.coords) | {"score": levels[order]}
    return xr.DataArray(found[..., order], coords, (*benefit.dims, "score"), "probability", benefit.attrs)
