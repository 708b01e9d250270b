"""Columns of X that parameters move, and their gradient: shapes of doses at the doses of the rows, and products of two; and those of study
effects by level."""

import numpy as np

from . import outcomes
from .algebra import compiled
from .shapes import SHAPES, TINY

(
    LINEAR,
    LOG_LINEAR,
    QUADRATIC,
    EMAX,
    BELL,
    FRACTIONAL_POLYNOMIAL,
    SIGMOID_EMAX,
    EXPONENTIAL,
    ASYMMETRIC_BELL,
    GAMMA,
    PLATEAU,
    RESTRICTED_CUBIC_SPLINE,
    MONOTONE,
    GAUSSIAN_PROCESS,
    POWER,
) = range(len(SHAPES))
ON_LOG_SCALE = np.array([shape.on_log_scale for shape in SHAPES.values()])
(
    linear,
    log_linear,
    quadratic,
    emax,
    bell,
    fractional_polynomial,
    sigmoid_emax,
    exponential,
    asymmetric_bell,
    gamma,
    plateau,
    restricted_cubic_spline,
    monotone,
    gaussian_process,
    power,
) = (compiled(shape.column) for shape in SHAPES.values())
(
    d_linear,
    d_log_linear,
    d_quadratic,
    d_emax,
    d_bell,
    d_fractional_polynomial,
    d_sigmoid_emax,
    d_exponential,
    d_asymmetric_bell,
    d_gamma,
    d_plateau,
    d_restricted_cubic_spline,
    d_monotone,
    d_gaussian_process,
    d_power,
) = (compiled(shape.slopes) for shape in SHAPES.values())
half, half_slopes = compiled(outcomes.half), compiled(outcomes.half_slopes)


@compiled
def column_at(shape, k, x, p, c):
    """Column k of a shape (see `shapes.base`)."""
    if shape == BELL:
        return bell(k, x, p, c)
    if shape == LINEAR:
        return linear(k, x, p, c)
    if shape == LOG_LINEAR:
        return log_linear(k, x, p, c)
    if shape == QUADRATIC:
        return quadratic(k, x, p, c)
    if shape == FRACTIONAL_POLYNOMIAL:
        return fractional_polynomial(k, x, p, c)
    if shape == SIGMOID_EMAX:
        return sigmoid_emax(k, x, p, c)
    if shape == EXPONENTIAL:
        return exponential(k, x, p, c)
    if shape == POWER:
        return power(k, x, p, c)
    if shape == ASYMMETRIC_BELL:
        return asymmetric_bell(k, x, p, c)
    if shape == GAMMA:
        return gamma(k, x, p, c)
    if shape == PLATEAU:
        return plateau(k, x, p, c)
    if shape == RESTRICTED_CUBIC_SPLINE:
        return restricted_cubic_spline(k, x, p, c)
    if shape == MONOTONE:
        return monotone(k, x, p, c)
    if shape == GAUSSIAN_PROCESS:
        return gaussian_process(k, x, p, c)
    return emax(k, x, p, c)


@compiled
def slopes_at(shape, x, p, c, found):
    """Write the derivatives of the columns of a shape to found (columns, 1 + parameters)."""
    if shape == BELL:
        d_bell(x, p, c, found)
    elif shape == LINEAR:
        d_linear(x, p, c, found)
    elif shape == LOG_LINEAR:
        d_log_linear(x, p, c, found)
    elif shape == QUADRATIC:
        d_quadratic(x, p, c, found)
    elif shape == FRACTIONAL_POLYNOMIAL:
        d_fractional_polynomial(x, p, c, found)
    elif shape == SIGMOID_EMAX:
        d_sigmoid_emax(x, p, c, found)
    elif shape == EXPONENTIAL:
        d_exponential(x, p, c, found)
    elif shape == POWER:
        d_power(x, p, c, found)
    elif shape == ASYMMETRIC_BELL:
        d_asymmetric_bell(x, p, c, found)
    elif shape == GAMMA:
        d_gamma(x, p, c, found)
    elif shape == PLATEAU:
        d_plateau(x, p, c, found)
    elif shape == RESTRICTED_CUBIC_SPLINE:
        d_restricted_cubic_spline(x, p, c, found)
    elif shape == MONOTONE:
        d_monotone(x, p, c, found)
    elif shape == GAUSSIAN_PROCESS:
        d_gaussian_process(x, p, c, found)
    else:
        d_emax(x, p, c, found)


@compiled
def point_at(point, dose, registers, log_doses, moving, c, p):
    """x of a point and its derivative with respect to the log dose; its non-linear parameters are written to p."""
    x, dx, number = moving.x[point], 0.0, moving.log_dose[point]
    if number >= 0:
        x = dx = np.exp(log_doses[number]) / c[0]
        if ON_LOG_SCALE[moving.shape[dose]]:
            x, dx = np.log(x + TINY), x / (x + TINY)
    for j in range(len(p)):
        p[j] = registers[moving.registers[point, j]]
    return x, dx


@compiled
def moving_entries(registers, log_doses, moving):
    """The columns of every moving dose (most columns, entries) at its doses."""
    found = np.zeros((moving.columns_of.max() if len(moving.columns_of) else 0, moving.entries[0]))
    for dose in range(len(moving.shape)):
        c, p = moving.constants[moving.first_constant[dose] : moving.first_constant[dose + 1]], np.empty(moving.parameters[dose])
        for point in range(moving.first[dose], moving.first[dose + 1]):
            x, _ = point_at(point, dose, registers, log_doses, moving, c, p)
            for k in range(moving.columns_of[dose]):
                found[k, moving.entry[point]] += moving.weight[point] * column_at(moving.shape[dose], k, x, p, c)
    return found


@compiled
def moving_columns(entries, moving):
    """The columns of X that parameters move (moving, rows)."""
    count, rows = moving.row_group.shape
    found = np.zeros((count, rows))
    for column in range(count):
        dose, own, other, others, group = moving.columns[column]
        for row in range(rows):
            if moving.row_group[column, row] == group:
                found[column, row] = entries[own, moving.row_entry[dose, row]]
                if other >= 0:
                    found[column, row] *= entries[others, moving.row_entry[other, row]]
    return found


@compiled
def moving_gradient(registers, log_doses, moving, entries, dcolumns, dregisters, dlog_doses):
    """Add the gradients of `moving_columns`, given those with respect to the columns (moving, rows)."""
    count, rows = dcolumns.shape
    dentries = np.zeros(entries.shape)
    for column in range(count):
        dose, own, other, others, group = moving.columns[column]
        for row in range(rows):
            if moving.row_group[column, row] == group:
                here, d = moving.row_entry[dose, row], dcolumns[column, row]
                if other >= 0:
                    there = moving.row_entry[other, row]
                    dentries[others, there] += d * entries[own, here]
                    d *= entries[others, there]
                dentries[own, here] += d
    for dose in range(len(moving.shape)):
        c, p = moving.constants[moving.first_constant[dose] : moving.first_constant[dose + 1]], np.empty(moving.parameters[dose])
        slopes = np.zeros((moving.columns_of[dose], 1 + len(p)))
        for point in range(moving.first[dose], moving.first[dose + 1]):
            x, dx = point_at(point, dose, registers, log_doses, moving, c, p)
            slopes_at(moving.shape[dose], x, p, c, slopes)
            for k in range(len(slopes)):
                d = moving.weight[point] * dentries[k, moving.entry[point]]
                if moving.log_dose[point] >= 0:
                    dlog_doses[moving.log_dose[point]] += d * slopes[k, 0] * dx
                for j in range(len(p)):
                    dregisters[moving.registers[point, j]] += d * slopes[k, 1 + j]


@compiled
def with_levels(columns, registers, levels):
    """The columns that parameters move, and after them those of study effects by level (see `outcomes`)."""
    size, before = len(levels.spread), len(columns)
    if size == 0:
        return columns
    found = np.empty((before + size, columns.shape[1]))
    found[:before] = columns
    own, shared = half(registers[levels.correlation[0]], size)
    for row in range(columns.shape[1]):
        level = levels.level[row]
        spread = registers[levels.spread[level]]
        for k in range(size):
            found[before + k, row] = spread * (own + shared if k == level else shared)
    return found


@compiled
def levels_gradient(registers, levels, dcolumns, dregisters):
    """Add the gradients of the columns of `with_levels` (levels, rows), given those with respect to them."""
    size = len(dcolumns)
    if size == 0:
        return
    correlation = levels.correlation[0]
    own, shared = half(registers[correlation], size)
    down, dshared = half_slopes(registers[correlation], size)
    for row in range(dcolumns.shape[1]):
        level, total = levels.level[row], 0.0
        for k in range(size):
            total += dcolumns[k, row]
        spread = levels.spread[level]
        dregisters[spread] += own * dcolumns[level, row] + shared * total
        dregisters[correlation] += registers[spread] * (down * dcolumns[level, row] + dshared * total)
