"""Contracts of every shape: one formula for floats, arrays and tensors; zero at zero; finite gradients; units."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

from stimdose.shapes import SHAPES

DOSES = np.array([0.0, 1e-3, 0.5, 1, 3, 7, 10, 20, 50, 400])
NONLINEAR = {"ed50": 6.0, "peak": 8.0, "width": 0.7}
EXPECTED = {  # by hand at dose 20, reference 10
    "linear": [2.0],
    "log-linear": [np.log(3) / np.log(2)],
    "quadratic": [2.0, 4.0],
    "emax": [20 / 26],
    "bell": [np.exp(-0.5 * (np.log(20 / 8) / 0.7) ** 2)],
}
every_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=list(SHAPES))


def columns(shape, dose, reference=10.0, **change):
    return shape.columns(dose, reference, **{name: (NONLINEAR | change)[name] for name in shape.nonlinear})


@every_shape
def test_formula_at_one_dose(shape):
    assert [float(c) for c in columns(shape, 20.0)] == pytest.approx(EXPECTED[shape.name])


@every_shape
def test_one_formula_for_floats_arrays_and_tensors(shape):
    x = pt.dvector("x")
    symbolic = pytensor.function([x], columns(shape, x), mode="FAST_COMPILE")(DOSES)
    for k, array in enumerate(columns(shape, DOSES)):
        assert symbolic[k] == pytest.approx(array)
        assert [float(columns(shape, float(dose))[k]) for dose in DOSES] == pytest.approx(array)


@every_shape
def test_zero_where_promised(shape):
    for column in columns(shape, DOSES):
        assert (abs(column[0]) < 1e-12) == shape.zero_at_zero


@every_shape
def test_single_peak_or_none(shape):
    fine = np.geomspace(0.1, 200, 2000)
    values = sum(weight * column for weight, column in zip((1.0, -0.1), columns(shape, fine), strict=False))
    inside = 0 < values.argmax() < len(fine) - 1
    assert inside == shape.can_peak
    if inside:
        rises = np.diff(values) > 0
        assert (np.diff(rises.astype(int)) != 0).sum() == 1


@every_shape
def test_gradients_are_finite_at_the_corners(shape):
    x, parameters = pt.dvector("x"), {name: pt.dscalar(name) for name in shape.nonlinear}
    total = sum(column.sum() for column in shape.columns(x, 10.0, **parameters))
    gradient = pytensor.function([x, *parameters.values()], pt.grad(total, [x, *parameters.values()]), mode="FAST_COMPILE")
    for values in ([1e-3] * len(parameters), [1e3] * len(parameters), [1.0] * len(parameters)):
        assert all(np.isfinite(g).all() for g in gradient(DOSES, *values))


@every_shape
@pytest.mark.parametrize("dose", [1e-3, 0.5, 7.0, 50.0, 400.0])
def test_slopes_are_the_derivatives_of_the_columns(shape, dose):
    """By a complex step, which loses no digits."""
    x = np.log(dose / 10.0) if shape.on_log_scale else dose / 10.0
    point = [x, *(NONLINEAR[name] for name in shape.nonlinear)]
    for k, step in enumerate(1e-30j * np.eye(len(point))):
        moved, *nonlinear = point + step
        for column, slopes in zip(shape.basis(moved, 10.0, *nonlinear), shape.slopes(x, 10.0, *point[1:]), strict=True):
            assert len(slopes) == len(point)
            assert slopes[k] == pytest.approx(np.imag(column) / 1e-30, rel=1e-12)


@every_shape
@pytest.mark.parametrize("unit", [1e-3, 60.0])
def test_a_change_of_units_changes_nothing(shape, unit):
    moved = {name: NONLINEAR[name] * unit for name in shape.nonlinear if name in ("ed50", "peak")}
    for a, b in zip(columns(shape, DOSES), columns(shape, DOSES * unit, 10.0 * unit, **moved), strict=True):
        assert b == pytest.approx(a)


@every_shape
def test_priors_cover_exactly_the_parameters_and_say_why(shape):
    priors = shape.default_priors((1, 50))
    assert set(priors) == set(shape.coefficients) | set(shape.nonlinear)
    assert all(prior.why for prior in priors.values())
    assert shape.__doc__
    assert shape.when
