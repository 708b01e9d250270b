"""What the compiled log density reads (`density`): the structure of a model and a table as data, so that nothing is compiled for either.

Registers are the numbers that a density refers to by position: first what is sampled, on its own scale, in the order of the
unconstrained parameters; then parameters by group; then constants.
"""

from typing import NamedTuple

import numpy as np

FAMILIES = (
    "normal",
    "halfnormal",
    "halfcauchy",
    "lognormal",
    "correlation",
    "position",
    "folded normal",
    "folded cauchy",
    "logt",
    "gamma",
    "correlation above",
)
"""Families by number. A position has a uniform prior between 0 and 1, and is sampled as its log odds; a gamma, of a shape and a rate, as
its logarithm; a correlation above the third parameter, as the logarithm of how far its Fisher z lies above that of this end. A standard
deviation enters the density as its square only: some whose prior is half of a symmetric one are sampled with a sign, so that zero is a
place like any other and not infinitely far away, and read as the absolute value."""


class Sampled(NamedTuple):
    """family, first, second, third (parameters,): priors of what is sampled, by number of the family, and its parameters. grouped (n, 3):
    registers of base, spread and standard normal of each parameter by group, base * exp(spread * normal); the base is of the
    population, or an earlier one of these. constants (constants,)."""

    family: np.ndarray
    first: np.ndarray
    second: np.ndarray
    third: np.ndarray
    grouped: np.ndarray
    constants: np.ndarray


class Likelihood(NamedTuple):
    """Arguments of `integrate.log_marginal` that are data, and the registers (mean, sd, spread, within) of those that are not; within
    (rows,), of standard deviations, is empty if no row has one. Columns of X are lines: fixed (p1, rows).

    own_spread, weight: registers (studies,) of what is a study's own in the spread of its first effect, own_spread / sqrt(weight);
    each is empty if studies do not differ in it. With own_spread, the spread of that effect is 1.
    """

    effect: np.ndarray
    variance: np.ndarray
    fixed: np.ndarray
    mean: np.ndarray
    sd: np.ndarray
    spread: np.ndarray
    within: np.ndarray
    slopes: np.ndarray
    own_spread: np.ndarray
    weight: np.ndarray
    start: np.ndarray
    correlation: np.ndarray
    block: np.ndarray
    statistics: np.ndarray


class Moving(NamedTuple):
    """Doses whose columns move with parameters, d of them, or multiply such a dose.

    shape, columns_of, parameters (d,): number of the shape, of its columns, and of its non-linear parameters. constants, with
    first_constant (d + 1,): those of the shapes, one after the other. first (d + 1,): where the points of each dose begin; x, weight,
    entry (points,): where its shape is evaluated, and with what weight that enters which entry; log_dose (points,): number of the
    uncertain dose that a point is, or -1; registers (points, most parameters): its non-linear parameters. entries (1,): how many there
    are. row_entry (d, rows): the entry of each row. columns (moving, 5): dose and column of its shape, the same of the dose that
    multiplies it or -1, and group of each moving column of X, which is zero in rows whose row_group (moving, rows) is another; -1 is
    no group.
    """

    shape: np.ndarray
    columns_of: np.ndarray
    parameters: np.ndarray
    constants: np.ndarray
    first_constant: np.ndarray
    first: np.ndarray
    x: np.ndarray
    weight: np.ndarray
    entry: np.ndarray
    log_dose: np.ndarray
    registers: np.ndarray
    entries: np.ndarray
    row_entry: np.ndarray
    columns: np.ndarray
    row_group: np.ndarray


class Levels(NamedTuple):
    """Study effects by level (see `outcomes`), whose columns are the last ones that move: level (rows,), spread (levels,) and correlation
    (1,), registers of their parameters; all empty if there are none."""

    level: np.ndarray
    spread: np.ndarray
    correlation: np.ndarray


class Intervals(NamedTuple):
    """Uncertain doses printed as intervals: register of the position within [low, high] (log dose), and the normal prior of it."""

    register: np.ndarray
    low: np.ndarray
    high: np.ndarray
    mu: np.ndarray
    sigma: np.ndarray


class Missing(NamedTuple):
    """Missing doses (see `latents`).

    Of each latent: typical, spread and own (latents,), registers of the typical dose, of the spread, and of its standard normal or
    position; is_bounded; low, high. Of each limit on several latents: last, is_low, limit (limits,), weights (limits, latents).
    observed, observed_typical, observed_spread: log doses that are printed, and their registers. printed (doses,), sums (doses,
    latents): log dose = printed + sums @ latents.
    """

    typical: np.ndarray
    spread: np.ndarray
    own: np.ndarray
    is_bounded: np.ndarray
    low: np.ndarray
    high: np.ndarray
    last: np.ndarray
    is_low: np.ndarray
    limit: np.ndarray
    weights: np.ndarray
    observed: np.ndarray
    observed_typical: np.ndarray
    observed_spread: np.ndarray
    printed: np.ndarray
    sums: np.ndarray


class Unprinted(NamedTuple):
    """Rows without r or without a standard deviation (see `unknowns`).

    r: its register, or empty; r_rows, with four coefficients each (m, 4). sd: registers of the spread, of the first typical
    standard normal and of the first one by row, or empty; center, count (outcomes,); printed: sum of squares and degrees of freedom
    of the printed log SDs; sd_rows, sd_group, is_raw (k,), with effect and variance at an SD of 1 (k, 2).
    """

    r: np.ndarray
    r_rows: np.ndarray
    r_coefficients: np.ndarray
    sd: np.ndarray
    center: np.ndarray
    count: np.ndarray
    printed: np.ndarray
    sd_rows: np.ndarray
    sd_group: np.ndarray
    is_raw: np.ndarray
    sd_coefficients: np.ndarray


class Program(NamedTuple):
    """Everything the log density reads."""

    sampled: Sampled
    likelihood: Likelihood
    moving: Moving
    levels: Levels
    intervals: Intervals
    missing: Missing
    unprinted: Unprinted
