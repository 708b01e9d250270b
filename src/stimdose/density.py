"""The log density of everything that is sampled, with its gradient: what NUTS sees.

One compiled function serves every model and table, because their structure is data (`program`). A position (parameters,) holds
unconstrained numbers; `registers_of` turns them into registers, and what comes later refers to those by number. Gradients take the
same way back.
"""

from math import erfc, lgamma

import numpy as np

from .algebra import compiled, inlined
from .integrate import log_marginal
from .latents import LEAST_SPREAD
from .moving import levels_gradient, moving_columns, moving_entries, moving_gradient, with_levels
from .program import FAMILIES

HALF_LOG_2PI = float(0.5 * np.log(2 * np.pi))
(
    NORMAL,
    HALFNORMAL,
    HALFCAUCHY,
    LOGNORMAL,
    CORRELATION,
    POSITION,
    FOLDED_NORMAL,
    FOLDED_CAUCHY,
    LOGT,
    GAMMA,
    CORRELATION_ABOVE,
) = range(len(FAMILIES))


@compiled
def prior(family, first, second, third, x):
    """Value of a parameter at the unconstrained x, its derivative, log prior density of x, and the derivative of that."""
    if family == HALFNORMAL:
        value = np.exp(x)
        square = (value / first) ** 2
        return value, value, x - 0.5 * square - np.log(first) + np.log(2.0) - HALF_LOG_2PI, 1 - square
    if family == HALFCAUCHY:
        value = np.exp(x)
        square = (value / first) ** 2
        return value, value, x - np.log1p(square) - np.log(first) + np.log(2 / np.pi), (1 - square) / (1 + square)
    if family == FOLDED_NORMAL:
        return x, 1.0, -0.5 * (x / first) ** 2 - np.log(first) - HALF_LOG_2PI, -x / first**2
    if family == FOLDED_CAUCHY:
        return x, 1.0, -np.log1p((x / first) ** 2) - np.log(first * np.pi), -2 * x / (first**2 + x**2)
    if family == POSITION:
        value = 1 / (1 + np.exp(-x))
        slope = value / (1 + np.exp(x))
        return value, slope, np.log(slope), 1 - 2 * value
    if family == GAMMA:
        value = np.exp(x)
        return value, value, first * (x + np.log(second)) - second * value - lgamma(first), first - second * value
    if family == CORRELATION_ABOVE:
        end, above = np.arctanh(third), np.exp(x)
        distance, value = (end + above - first) / second, np.tanh(end + above)
        inside = np.log(0.5 * erfc((end - first) / second / np.sqrt(2.0)))
        density = x - 0.5 * distance**2 - np.log(second) - HALF_LOG_2PI - inside
        return value, (1 - value**2) * above, density, 1 - distance / second * above
    distance = (x - first) / second
    if family == LOGT:
        value, tail = np.exp(x), (third + 1) / 2
        constant = lgamma(tail) - lgamma(third / 2) - 0.5 * np.log(third * np.pi) - np.log(second)
        return (
            value,
            value,
            constant - tail * np.log1p(distance**2 / third),
            -2 * tail * distance / (third + distance**2) / second,
        )
    density, slope = -0.5 * distance**2 - np.log(second) - HALF_LOG_2PI, -distance / second
    if family == LOGNORMAL:
        value = np.exp(x)
        return value, value, density, slope
    if family == CORRELATION:
        value = np.tanh(x)
        return value, 1 - value**2, density, slope
    return x, 1.0, density, slope


@compiled
def registers_of(position, sampled):
    """Registers at a position; derivative of each sampled one; log prior density of the position and its gradient."""
    d, groups = len(position), len(sampled.grouped)
    registers = np.empty(d + groups + len(sampled.constants))
    slope, dprior, log_prior = np.empty(d), np.empty(d), 0.0
    for k in range(d):
        registers[k], slope[k], density, dprior[k] = prior(
            sampled.family[k], sampled.first[k], sampled.second[k], sampled.third[k], position[k]
        )
        log_prior += density
    for k in range(groups):
        base, spread, normal = sampled.grouped[k, 0], sampled.grouped[k, 1], sampled.grouped[k, 2]
        registers[d + k] = registers[base] * np.exp(registers[spread] * registers[normal])
    registers[d + groups :] = sampled.constants
    return registers, slope, log_prior, dprior


@compiled
def interval_doses(registers, intervals, log_doses, dlog_doses):
    """Log doses within printed intervals; returns their log prior density, whose gradient is added to dlog_doses."""
    total = 0.0
    for k in range(len(intervals.register)):
        log_doses[k] = intervals.low[k] + (intervals.high[k] - intervals.low[k]) * registers[intervals.register[k]]
        distance = (log_doses[k] - intervals.mu[k]) / intervals.sigma[k]
        total -= 0.5 * distance**2
        dlog_doses[k] -= distance / intervals.sigma[k]
    return total


@compiled
def ends_of(k, latents, missing):
    """Log bounds of a latent given those before it, and the limits that set them (-1: its own bounds)."""
    low, high, lowest, highest = missing.low[k], missing.high[k], -1, -1
    for limit in range(len(missing.last)):
        if missing.last[limit] == k:
            end = missing.limit[limit]
            for j in range(k):
                end += missing.weights[limit, j] * latents[j]
            if missing.is_low[limit] and end > low:
                low, lowest = end, limit
            if not missing.is_low[limit] and end < high:
                high, highest = end, limit
    return low, high, lowest, highest


@compiled
def missing_doses(registers, missing, log_doses):
    """Missing log doses; returns the latents and the log density of what is bounded and of what is printed (see `latents`)."""
    latents, total = np.empty(len(missing.own)), 0.0
    for k in range(len(latents)):
        log_typical = np.log(registers[missing.typical[k]])
        spread = np.sqrt(registers[missing.spread[k]] ** 2 + LEAST_SPREAD**2)
        if missing.is_bounded[k]:
            low, high, _, _ = ends_of(k, latents, missing)
            latents[k] = low + (high - low) * registers[missing.own[k]]
            total += np.log(high - low) - np.log(spread) - 0.5 * ((latents[k] - log_typical) / spread) ** 2
        else:
            latents[k] = log_typical + spread * registers[missing.own[k]]
    for k in range(len(missing.observed)):
        log_typical = np.log(registers[missing.observed_typical[k]])
        variance = registers[missing.observed_spread[k]] ** 2 + LEAST_SPREAD**2
        total -= 0.5 * (np.log(variance) + (missing.observed[k] - log_typical) ** 2 / variance)
    for k in range(len(missing.printed)):
        log_doses[k] = missing.printed[k]
        for j in range(len(latents)):
            log_doses[k] += missing.sums[k, j] * latents[j]
    return latents, total


@compiled
def missing_gradient(registers, missing, latents, dlog_doses, dregisters):
    """Add the gradients of `missing_doses`, given those with respect to the log doses."""
    dlatents = np.zeros(len(latents))
    for k in range(len(missing.printed)):
        for j in range(len(latents)):
            dlatents[j] += missing.sums[k, j] * dlog_doses[k]
    for k in range(len(latents) - 1, -1, -1):
        typical, spread_at, own = missing.typical[k], missing.spread[k], missing.own[k]
        spread = np.sqrt(registers[spread_at] ** 2 + LEAST_SPREAD**2)
        if missing.is_bounded[k]:
            low, high, lowest, highest = ends_of(k, latents, missing)
            distance = (latents[k] - np.log(registers[typical])) / spread
            dlatents[k] -= distance / spread
            dlog_typical, dspread = distance / spread, (distance**2 - 1) / spread
            dregisters[own] += dlatents[k] * (high - low)
            dlow = dlatents[k] * (1 - registers[own]) - 1 / (high - low)
            dhigh = dlatents[k] * registers[own] + 1 / (high - low)
            for j in range(k):
                dlatents[j] += dlow * missing.weights[lowest, j] if lowest >= 0 else 0.0
                dlatents[j] += dhigh * missing.weights[highest, j] if highest >= 0 else 0.0
        else:
            dlog_typical, dspread = dlatents[k], dlatents[k] * registers[own]
            dregisters[own] += dlatents[k] * spread
        dregisters[typical] += dlog_typical / registers[typical]
        dregisters[spread_at] += dspread * registers[spread_at] / spread
    for k in range(len(missing.observed)):
        typical, spread_at = missing.observed_typical[k], missing.observed_spread[k]
        variance = registers[spread_at] ** 2 + LEAST_SPREAD**2
        distance = missing.observed[k] - np.log(registers[typical])
        dregisters[typical] += distance / variance / registers[typical]
        dregisters[spread_at] += (distance**2 / variance - 1) / variance * registers[spread_at]


@compiled
def study_factor(registers, likelihood):
    """Factor (studies,) on the spread of the first effect of every study; empty where studies do not differ in it."""
    factor = np.ones(max(len(likelihood.own_spread), len(likelihood.weight)))
    for s in range(len(likelihood.own_spread)):
        factor[s] = registers[likelihood.own_spread[s]]
    for s in range(len(likelihood.weight)):
        factor[s] /= np.sqrt(registers[likelihood.weight[s]])
    return factor


@compiled
def study_factor_gradient(registers, likelihood, factor, dfactor, dregisters):
    """Add the gradients of `study_factor`, given those with respect to the factor."""
    for s in range(len(likelihood.own_spread)):
        own = likelihood.own_spread[s]
        dregisters[own] += dfactor[s] * factor[s] / registers[own]
    for s in range(len(likelihood.weight)):
        weight = likelihood.weight[s]
        dregisters[weight] -= 0.5 * dfactor[s] * factor[s] / registers[weight]


@compiled
def unprinted_sd(k, registers, unprinted):
    """A standard deviation that is not printed (see `unknowns`)."""
    spread, typical, own = unprinted.sd
    group = unprinted.sd_group[k]
    normal = registers[typical + group] / np.sqrt(unprinted.count[group]) + registers[own + k]
    return np.exp(unprinted.center[group] + registers[spread] * normal)


@compiled
def fill_unprinted(registers, unprinted, effect, variance):
    """Write effect and variance of rows that lack r or a standard deviation; returns log Jacobian and log density."""
    total = 0.0
    for k in range(len(unprinted.r_rows)):
        row, r = unprinted.r_rows[k], registers[unprinted.r[0]]
        effect_0, effect_slope, variance_0, variance_slope = unprinted.r_coefficients[k]
        left = 1 - effect_slope * r
        effect[row], variance[row] = effect_0 / np.sqrt(left), variance_0 - variance_slope * r
        total -= 0.5 * np.log(left)
    if len(unprinted.sd):
        spread = registers[unprinted.sd[0]]
        total -= unprinted.printed[1] * np.log(spread) + unprinted.printed[0] / (2 * spread**2)
    for k in range(len(unprinted.sd_rows)):
        row, sd = unprinted.sd_rows[k], unprinted_sd(k, registers, unprinted)
        effect_1, variance_1 = unprinted.sd_coefficients[k]
        if unprinted.is_raw[k]:
            effect[row], variance[row] = effect_1, variance_1 * sd**2
        else:
            effect[row], variance[row] = effect_1 / sd, variance_1
            total -= np.log(sd)
    return total


@compiled
def unprinted_gradient(registers, unprinted, deffect, dvariance, dregisters):
    """Add the gradients of `fill_unprinted`, given those with respect to effect and variance (rows,)."""
    for k in range(len(unprinted.r_rows)):
        row, r = unprinted.r_rows[k], registers[unprinted.r[0]]
        effect_0, effect_slope, _, variance_slope = unprinted.r_coefficients[k]
        left = 1 - effect_slope * r
        found = deffect[row] * 0.5 * effect_slope * effect_0 * left**-1.5 - dvariance[row] * variance_slope
        dregisters[unprinted.r[0]] += found + 0.5 * effect_slope / left
    if len(unprinted.sd):
        spread = registers[unprinted.sd[0]]
        dregisters[unprinted.sd[0]] += unprinted.printed[0] / spread**3 - unprinted.printed[1] / spread
    for k in range(len(unprinted.sd_rows)):
        row, sd, group = unprinted.sd_rows[k], unprinted_sd(k, registers, unprinted), unprinted.sd_group[k]
        effect_1, variance_1 = unprinted.sd_coefficients[k]
        dlog_sd = 2 * dvariance[row] * variance_1 * sd**2 if unprinted.is_raw[k] else -deffect[row] * effect_1 / sd - 1
        spread_at, typical, own = unprinted.sd[0], unprinted.sd[1] + group, unprinted.sd[2] + k
        dregisters[spread_at] += dlog_sd * (registers[typical] / np.sqrt(unprinted.count[group]) + registers[own])
        dregisters[typical] += dlog_sd * registers[spread_at] / np.sqrt(unprinted.count[group])
        dregisters[own] += dlog_sd * registers[spread_at]


@inlined
def log_density(position, program, gradient):
    """Log density at a position (parameters,), up to a constant; its gradient is written to `gradient` (parameters,)."""
    sampled, likelihood, moving, unprinted = program.sampled, program.likelihood, program.moving, program.unprinted
    registers, slope, total, dprior = registers_of(position, sampled)
    dregisters = np.zeros(len(registers))
    uncertain = max(len(program.intervals.register), len(program.missing.printed))
    log_doses, dlog_doses = np.empty(uncertain), np.zeros(uncertain)
    total += interval_doses(registers, program.intervals, log_doses, dlog_doses)
    latents, density = missing_doses(registers, program.missing, log_doses)
    entries = moving_entries(registers, log_doses, moving)
    columns = with_levels(moving_columns(entries, moving), registers, program.levels)
    effect, variance = likelihood.effect, likelihood.variance
    by_row = len(unprinted.r_rows) + len(unprinted.sd_rows) > 0
    if by_row:
        effect, variance = effect.copy(), variance.copy()
        total += fill_unprinted(registers, unprinted, effect, variance)
    within = registers[likelihood.within]
    factor = study_factor(registers, likelihood)
    logp, deffect, dcolumns, dmean, dsd, dspread, dfactor, dvariance, dwithin = log_marginal(
        effect,
        likelihood.fixed,
        columns,
        registers[likelihood.mean],
        registers[likelihood.sd],
        registers[likelihood.spread],
        likelihood.slopes,
        factor,
        variance,
        within**2,
        likelihood.start,
        likelihood.correlation,
        likelihood.block,
        likelihood.statistics,
        by_row,
    )
    for k in range(len(dmean)):
        dregisters[likelihood.mean[k]] += dmean[k]
        dregisters[likelihood.sd[k]] += dsd[k]
    for k in range(len(dspread)):
        dregisters[likelihood.spread[k]] += dspread[k]
    study_factor_gradient(registers, likelihood, factor, dfactor, dregisters)
    for i in range(len(within)):
        dregisters[likelihood.within[i]] += 2 * within[i] * dwithin[i]
    if by_row:
        unprinted_gradient(registers, unprinted, deffect, dvariance, dregisters)
    of_doses = len(moving.row_group)
    moving_gradient(registers, log_doses, moving, entries, dcolumns[:of_doses], dregisters, dlog_doses)
    levels_gradient(registers, program.levels, dcolumns[of_doses:], dregisters)
    missing_gradient(registers, program.missing, latents, dlog_doses, dregisters)
    for k in range(len(program.intervals.register)):
        dregisters[program.intervals.register[k]] += (program.intervals.high[k] - program.intervals.low[k]) * dlog_doses[k]
    for k in range(len(sampled.grouped) - 1, -1, -1):  # those that are bases of others come first
        base, spread_at, normal = sampled.grouped[k, 0], sampled.grouped[k, 1], sampled.grouped[k, 2]
        dvalue = dregisters[len(position) + k] * registers[len(position) + k]
        dregisters[base] += dvalue / registers[base]
        dregisters[spread_at] += dvalue * registers[normal]
        dregisters[normal] += dvalue * registers[spread_at]
    gradient[:] = dregisters[: len(position)] * slope + dprior
    return logp + total + density


@compiled
def natural(positions, program):
    """Registers (draws, registers), log doses (draws, uncertain) and standard deviations (draws, k) at positions (draws, d)."""
    draws, unprinted = len(positions), program.unprinted
    uncertain = max(len(program.intervals.register), len(program.missing.printed))
    sampled = program.sampled
    size = positions.shape[1] + len(sampled.grouped) + len(sampled.constants)
    found, log_doses, sds = np.empty((draws, size)), np.zeros((draws, uncertain)), np.empty((draws, len(unprinted.sd_rows)))
    for d in range(draws):
        found[d] = registers_of(positions[d], sampled)[0]
        interval_doses(found[d], program.intervals, log_doses[d], np.zeros(uncertain))
        missing_doses(found[d], program.missing, log_doses[d])
        for k in range(len(unprinted.sd_rows)):
            sds[d, k] = unprinted_sd(k, found[d], unprinted)
    return found, log_doses, sds
