"""Contracts of every shape, and of sums of two: one formula for floats, arrays, tensors and machine code; zero at zero; finite
gradients; units."""

from itertools import pairwise
from typing import NamedTuple

import numba
import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

from stimdose.shapes import SHAPES, Shape
from stimdose.shapes.processes import BOUNDARY

compiled = numba.njit(error_model="numpy", fastmath={"reassoc", "contract"})  # as the density is, but not kept
REFERENCE, USUAL = 10.0, (1.0, 50.0)
DOSES = np.array([0.0, 1e-3, 0.5, 1, 3, 7, 10, 20, 50, 400])


class Case(NamedTuple):
    """A shape with options, a value of every non-linear parameter, and its columns by hand at a dose of 20."""

    name: str
    parameters: dict
    by_hand: list
    options: dict = {}

    def shape(self, unit: float = 1.0) -> Shape:
        options = {key: unit_of(key, value, unit) for key, value in self.options.items()}
        return SHAPES[self.name](REFERENCE * unit, (USUAL[0] * unit, USUAL[1] * unit), **options)


def unit_of(name: str, value, unit: float):
    """A number, or several, in another unit of dose, if it is one in doses."""
    if name in ("ed50", "peak", "scale", "plateau", "between") or (name == "knots" and not isinstance(value, int)):
        return tuple(unit * np.array(value)) if isinstance(value, tuple) else unit * value
    return value


def hmisc(x, knots):
    """Columns of rcspline.eval(x, knots, inclx=True), as its manual has them."""
    *inner, before, last = knots
    cube = [max(x - knot, 0.0) ** 3 for knot in knots]
    return [x] + [
        (cube[j] - cube[-2] * (last - t) / (last - before) + cube[-1] * (before - t) / (last - before)) / (last - knots[0]) ** 2
        for j, t in enumerate(inner)
    ]


def integrated_splines(x, knots, between, shares):
    """The weighted mean of integrated B-splines of degree 1, each over its own integral, by scipy."""
    from scipy.interpolate import BSpline

    low, high = between
    t = np.array([low, low, *knots, high, high])
    rises = [BSpline(t, column, 1) for column in np.eye(len(t) - 2)]
    return np.average([f.integrate(low, x) / f.integrate(low, high) for f in rises], weights=shares)


def waves(x, between, number, amplitude, lengthscale):
    """Equations 5 and 7 of Riutort-Mayol and others (2023), with the range in the middle of [-L, L]."""
    low, high = np.log(between)
    x, L = np.log(x) - (low + high) / 2, BOUNDARY * (high - low) / 2
    root = np.arange(1, number + 1) * np.pi / (2 * L)
    density = amplitude**2 * np.sqrt(2 * np.pi) * lengthscale * np.exp(-0.5 * lengthscale**2 * root**2)
    return list(np.sqrt(density / L) * np.sin(root * (x + L)))


e, root, log = np.exp, np.sqrt, np.log
SHARES = {f"share_{k}": share for k, share in enumerate((0.5, 2.0, 1.0, 0.2, 3.0), 1)}
CASES = {
    "linear": Case("linear", {}, [2.0]),
    "log-linear": Case("log-linear", {}, [log(3) / log(2)]),
    "quadratic": Case("quadratic", {}, [2.0, 4.0]),
    "emax": Case("emax", {"ed50": 6.0}, [20 / 26]),
    "bell": Case("bell", {"peak": 8.0, "width": 0.7}, [e(-0.5 * (log(20 / 8) / 0.7) ** 2)]),
    "root": Case("fractional-polynomial", {}, [root(2)]),
    "logarithm": Case("fractional-polynomial", {}, [log(2)], {"powers": (0,)}),
    "two powers": Case("fractional-polynomial", {}, [1 / 4, 8.0], {"powers": (-2, 3)}),
    "power twice": Case("fractional-polynomial", {}, [2.0, 2 * log(2)], {"powers": (1, 1)}),
    "logarithm twice": Case("fractional-polynomial", {}, [log(2), log(2) ** 2], {"powers": (0, 0)}),
    "sigmoid-emax": Case("sigmoid-emax", {"ed50": 6.0, "hill": 2.5}, [20**2.5 / (6**2.5 + 20**2.5)]),
    "exponential": Case("exponential", {"scale": 6.0}, [1 - e(-20 / 6)]),
    "asymmetric-bell": Case(
        "asymmetric-bell", {"peak": 8.0, "width_below": 0.3, "width_above": 0.7}, [e(-0.5 * (log(20 / 8) / 0.7) ** 2)]
    ),
    "gamma": Case("gamma", {"peak": 8.0, "steepness": 1.7}, [(20 / 8) ** 1.7 * e(1.7 * (1 - 20 / 8))]),
    "power": Case("power", {"growth": 1.7}, [(2.05 / 1.05) ** log(1.7)]),
    "plateau": Case("plateau", {"plateau": 28.0}, [20 / 28]),
    "spline of 3 knots": Case("restricted-cubic-spline", {}, hmisc(2.0, (0.2, 0.8, 2.5)), {"knots": (2, 8, 25)}),
    "spline past its knots": Case(
        "restricted-cubic-spline", {}, hmisc(2.0, (0, 0.4, 0.8, 1.1, 1.5)), {"knots": (0, 4, 8, 11, 15)}
    ),
    "monotone": Case(
        "monotone",
        SHARES,
        [integrated_splines(20, (4, 11, 30), (0, 40), [*SHARES.values()])],
        {"knots": (4, 11, 30), "between": (0, 40)},
    ),
    "gaussian-process": Case(
        "gaussian-process",
        {"amplitude": 0.6, "lengthscale": 0.9},
        waves(20.0, (0.5, 50), 12, 0.6, 0.9),
        {"waves": 12, "between": (0.5, 50.0)},
    ),
}
BENT = {"asymmetric-bell", "plateau", "restricted-cubic-spline", "monotone"}
"""Shapes whose formula takes absolute values, for which a complex step finds no derivative."""
every_case = pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
every_pair = pytest.mark.parametrize("pair", list(pairwise(CASES.values())), ids=[f"{a} + {b}" for a, b in pairwise(CASES)])


def columns(case: Case, dose):
    return case.shape().columns(dose, **case.parameters)


def inside(shape: Shape, doses=DOSES):
    low, high = shape.domain
    return doses[(doses >= low) & (doses <= high)]


def test_the_list_of_cases_is_complete():
    assert {case.name for case in CASES.values()} == set(SHAPES)
    assert list(SHAPES)[:5] == ["linear", "log-linear", "quadratic", "emax", "bell"]
    assert all(name == shape.name for name, shape in SHAPES.items())


@every_case
def test_formula_at_one_dose(case):
    assert [float(c) for c in columns(case, 20.0)] == pytest.approx(case.by_hand, rel=1e-8)


@every_case
def test_one_formula_for_floats_arrays_tensors_and_machine_code(case):
    shape, doses = case.shape(), inside(case.shape())
    x, parameters = pt.dvector("x"), {name: pt.dscalar(name) for name in shape.nonlinear}
    symbolic = pytensor.function([x, *parameters.values()], shape.columns(x, **parameters), mode="FAST_COMPILE")(
        doses, *case.parameters.values()
    )
    machine, p, c = compiled(shape.column), np.array(list(case.parameters.values())), shape.constants
    draws = shape.columns(doses[:, None], **{name: np.array([value, 2 * value]) for name, value in case.parameters.items()})
    for k, array in enumerate(columns(case, doses)):
        assert np.isfinite(array).all()
        assert symbolic[k] == pytest.approx(array, rel=1e-12)
        assert [float(columns(case, float(dose))[k]) for dose in doses] == pytest.approx(array, rel=1e-12)
        assert [machine(k, shape.scaled(dose), p, c) for dose in doses] == pytest.approx(array, rel=1e-12)
        assert np.broadcast_to(draws[k], (len(doses), 2))[:, 0] == pytest.approx(array, rel=1e-12)
    assert len(p) == len(shape.nonlinear)
    assert c[0] == REFERENCE


@every_case
def test_zero_where_promised(case):
    shape = case.shape()
    assert (shape.domain[0] == 0) or not shape.zero_at_zero
    if shape.domain[0] == 0:
        assert all((abs(column) < 1e-12) == shape.zero_at_zero for column in columns(case, 0.0))


def some_parameters(shape: Shape, seed: int) -> dict:
    """A draw of the non-linear parameters from their priors."""
    rng, priors = np.random.default_rng(seed), shape.default_priors()
    return {name: float(priors[name].distribution.rvs(random_state=rng)) for name in shape.nonlinear}


@every_case
def test_curves_that_cannot_peak_rise_all_the_way_and_others_have_a_peak(case):
    shape, fine = case.shape(), np.geomspace(1e-3, 1e4, 3000)
    fine = inside(shape, fine)
    for seed in range(30):
        values = shape.columns(fine, **some_parameters(shape, seed))
        if not shape.can_peak:
            (column,) = values
            assert (np.diff(column) * np.sign(column[-1] - column[0]) >= -1e-12).all()
        elif len(values) == 1:  # one column that can peak has a single peak, of height 1
            rises = np.diff(values[0]) > 0
            assert (np.diff(rises[np.diff(values[0]) != 0].astype(int)) != 0).sum() <= 1
            assert values[0].max() <= 1


@every_case
def test_peaks_are_where_their_parameter_says(case):
    shape = case.shape()
    if "peak" in shape.nonlinear:
        for seed in range(30):
            parameters = some_parameters(shape, seed)
            peak = parameters["peak"]
            low, at, high = (float(shape.columns(dose, **parameters)[0]) for dose in (0.99 * peak, peak, peak / 0.99))
            assert at == pytest.approx(1)
            assert low < at > high


@every_case
def test_gradients_are_finite_at_the_corners(case):
    shape = case.shape()
    x, parameters = pt.dvector("x"), {name: pt.dscalar(name) for name in shape.nonlinear}
    total = sum(column.sum() for column in shape.columns(x, **parameters))
    gradient = pytensor.function(
        [x, *parameters.values()], pt.grad(total, [x, *parameters.values()], disconnected_inputs="ignore"), mode="FAST_COMPILE"
    )
    slopes, c = compiled(shape.slopes), shape.constants
    found = np.empty((len(shape.coefficients), 1 + len(parameters)))
    for p in (np.full(len(parameters), value) for value in (1e-3, 1.0, 1e3)):
        doses = np.append(inside(shape), min(1e6, shape.domain[1]))
        assert all(np.isfinite(g).all() for g in gradient(doses, *p))
        for dose in doses:
            slopes(shape.scaled(dose), p, c, found)
            assert np.isfinite(found).all()


@every_case
@pytest.mark.parametrize("dose", [0.5, 7.0, 13.0, 50.0])
def test_slopes_are_the_derivatives_of_the_columns(case, dose):
    """By a complex step, which loses no digits; by differences of sixth order where the formula takes absolute values."""
    shape = case.shape()
    point = np.array([float(shape.scaled(dose)), *case.parameters.values()])
    found = np.full((len(shape.coefficients), len(point)), np.nan)
    compiled(shape.slopes)(point[0], point[1:], shape.constants, found)

    def at(moved):
        return np.array([shape.column(k, moved[0], moved[1:], shape.constants) for k in range(len(found))])

    for j, direction in enumerate(np.eye(len(point))):
        if case.name in BENT:
            step = 1e-3 * direction * point[j]
            odd = [at(point + n * step) - at(point - n * step) for n in (1, 2, 3)]
            expected, digits = (45 * odd[0] - 9 * odd[1] + odd[2]) / (60e-3 * point[j]), {"rel": 1e-7, "abs": 1e-10}
        else:
            expected, digits = np.imag(at(point + 1e-30j * direction)) / 1e-30, {"rel": 1e-11}
        assert found[:, j] == pytest.approx(expected, **digits)


@every_case
@pytest.mark.parametrize("unit", [1e-3, 60.0, 1000.0])
def test_a_change_of_units_changes_nothing(case, unit):
    shape, moved = case.shape(), case.shape(unit)
    doses, parameters = inside(shape), {name: unit_of(name, value, unit) for name, value in case.parameters.items()}
    for a, b in zip(columns(case, doses), moved.columns(doses * unit, **parameters), strict=True):
        assert b == pytest.approx(a, rel=1e-9, abs=1e-13)
    assert np.array(moved.domain) == pytest.approx(np.array(shape.domain) * unit)
    for name, prior in shape.default_priors().items():
        quantiles = np.array([0.1, 0.5, 0.9])
        there = moved.default_priors()[name].distribution.ppf(quantiles)
        assert there == pytest.approx(unit_of(name, tuple(prior.distribution.ppf(quantiles)), unit), rel=1e-12, abs=1e-12)


@every_case
def test_priors_cover_exactly_the_parameters_and_say_why(case):
    shape = case.shape()
    priors = shape.default_priors()
    assert set(priors) == set(shape.coefficients) | set(shape.nonlinear)
    assert list(case.parameters) == list(shape.nonlinear)
    assert set(shape.on_effect_scale) <= set(priors)
    assert all(prior.why for prior in priors.values())
    assert all(priors[name].is_positive for name in shape.nonlinear)
    assert shape.__doc__
    assert shape.when


@every_case
def test_parameters_are_recovered(case):
    """Least squares of a curve without noise, from twice and half the true values. A sum of waves is known only up to a factor that
    the amplitude has, too, and so are shares: waves are given here, and shares compared over their total."""
    from scipy.optimize import least_squares

    shape = case.shape()
    doses = inside(shape, np.geomspace(0.3, 60, 40))
    weights = 1 / (1.0 + np.arange(len(shape.coefficients)))
    truth = np.array([*weights, *case.parameters.values()])

    def curve(values):
        w, p = values[: len(weights)], np.exp(values[len(weights) :])
        return sum(a * b for a, b in zip(w, shape.columns(doses, **dict(zip(shape.nonlinear, p, strict=True))), strict=True))

    goal = np.concatenate([weights, np.log(truth[len(weights) :])])
    free = slice(len(weights) if case.name == "gaussian-process" else 0, None)
    for factor in (0.5, 2.0):
        start = np.concatenate([weights * factor, goal[len(weights) :] + np.log(factor)])[free]
        given = goal[: len(goal) - len(start)]
        fitted = least_squares(
            lambda v, given=given: curve(np.append(given, v)) - curve(goal), start, xtol=1e-14, ftol=1e-14, gtol=1e-14
        )
        found = np.append(given, fitted.x)
        if case.name == "monotone":
            found[1:] += np.log(np.exp(goal[1:]).sum() / np.exp(found[1:]).sum())
        assert found == pytest.approx(goal, rel=1e-4, abs=1e-6)


@every_pair
def test_sums_of_two(pair):
    """The mean effect of two doses, as one formula: values, zero at zero, finite gradients, units."""
    shapes = [case.shape() for case in pair]
    doses = [inside(shape) for shape in shapes]
    doses = [d[-min(map(len, doses)) :] for d in doses]

    def total(shapes, doses, parameters):
        return sum(
            0.3 * (k + 1) * column
            for shape, dose, p in zip(shapes, doses, parameters, strict=True)
            for k, column in enumerate(shape.columns(dose, **p))
        )

    parameters = [case.parameters for case in pair]
    array = total(shapes, doses, parameters)
    one_by_one = [total(shapes, [float(d) for d in both], parameters) for both in zip(*doses, strict=True)]
    x = [pt.dvector("first"), pt.dvector("second")]
    p = [{name: pt.dscalar(name) for name in shape.nonlinear} for shape in shapes]
    free = [*x, *p[0].values(), *p[1].values()]
    symbolic = total(shapes, x, p)
    evaluate = pytensor.function(free, [symbolic, *pt.grad(symbolic.sum(), free)], mode="FAST_COMPILE")
    value, *gradients = evaluate(*doses, *parameters[0].values(), *parameters[1].values())
    assert one_by_one == pytest.approx(array, rel=1e-12)
    assert value == pytest.approx(array, rel=1e-12)
    assert all(np.isfinite(g).all() for g in gradients)
    if all(shape.zero_at_zero for shape in shapes):
        assert abs(array[0]) < 1e-12
    moved = [{name: unit_of(name, v, 1000.0) for name, v in both.items()} for both in parameters]
    assert total([case.shape(1000.0) for case in pair], [1000 * d for d in doses], moved) == pytest.approx(
        array, rel=1e-9, abs=1e-12
    )


def test_powers_that_are_not_offered_are_refused():
    for powers in ((), (0.7,), (1, 2, 3)):
        with pytest.raises(ValueError, match="one or two of -2, -1, "):
            SHAPES["fractional-polynomial"](REFERENCE, USUAL, powers=powers)


def test_fractional_polynomials_with_a_term_at_zero_leave_out_dose_zero():
    root, log = (SHAPES["fractional-polynomial"](REFERENCE, USUAL, powers=powers) for powers in ((0.5, 2), (0.5, 0)))
    assert root.zero_at_zero
    assert root.domain[0] == 0
    assert not log.zero_at_zero
    assert 0 < log.domain[0] < 1e-6


def test_terms_that_are_large_at_low_doses_have_small_coefficients():
    """One standard deviation at the reference dose (10), or at the lowest dose in use (1)."""
    for powers, sigma in {(0.5, 2): (1, 1), (-2, 0): (0.01, 1 / np.log(10)), (-1, -1): (0.1, 0.1 / np.log(10))}.items():
        priors = SHAPES["fractional-polynomial"](REFERENCE, USUAL, powers=powers).default_priors()
        assert [prior.parameters["sigma"] for prior in priors.values()] == pytest.approx(sigma)
