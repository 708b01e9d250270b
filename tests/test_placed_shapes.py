"""Shapes whose knots, range or waves are stated or come from a table: splines, monotone curves, Gaussian processes."""

import re

import numpy as np
import pytest
from test_shapes import CASES, REFERENCE, SHARES, USUAL, hmisc, some_parameters

import stimdose as sd
from stimdose import Prior
from stimdose.shapes import SHAPES
from stimdose.shapes.processes import BOUNDARY

SPLINE, MONOTONE, PROCESS = (SHAPES[name] for name in ("restricted-cubic-spline", "monotone", "gaussian-process"))


@pytest.mark.parametrize("knots", [(2, 8, 25), (0, 4, 8, 11), (1, 2, 3, 4, 5, 6, 7)])
def test_splines_are_the_truncated_cubes_of_hmisc_and_straight_beyond_their_knots(knots):
    shape, doses = SPLINE(REFERENCE, USUAL, knots=knots), np.linspace(0, 30, 61)
    by_hand = np.array([hmisc(dose / REFERENCE, np.array(knots) / REFERENCE) for dose in doses]).T
    assert np.array(shape.columns(doses)) == pytest.approx(by_hand, rel=1e-9, abs=1e-12)
    for beyond in (np.linspace(0, knots[0], 5), np.linspace(knots[-1], 1e6, 5)):
        assert np.diff(shape.columns(beyond), 2) == pytest.approx(0, abs=1e-9 * (1 + beyond[-1]))


def test_knots_by_count_are_quantiles_with_outer_ones_at_the_fifth_doses_of_a_small_table():
    many = np.arange(101.0)  # percentiles of themselves
    for number, percentiles in {
        3: (10, 50, 90),
        4: (5, 35, 65, 95),
        5: (5, 27.5, 50, 72.5, 95),
        6: (5, 23, 41, 59, 77, 95),
    }.items():
        assert SPLINE(1.0, USUAL, knots=number).place(many)["knots"] == pytest.approx(percentiles)
    assert SPLINE(1.0, USUAL, knots=7).place(many)["knots"] == pytest.approx(
        (2.5, 18.3333333, 34.1666667, 50, 65.8333333, 81.6666667, 97.5)
    )
    few = np.arange(51.0)[::-1]
    assert SPLINE(1.0, USUAL, knots=4).place(few)["knots"] == pytest.approx((4, 17.5, 32.5, 46))
    assert SPLINE(1.0, USUAL, knots=(1, 2, 3)).place(few) == {}


def test_knots_that_cannot_be_placed_are_refused():
    for doses in (np.repeat([10.0, 20.0], 30), np.arange(5.0), []):
        with pytest.raises(ValueError, match=f"the table has {len(doses)} doses, of which {len(set(doses))} differ: state knots"):
            SPLINE(REFERENCE, USUAL).place(doses)
    for doses, knots in ((np.arange(8.0), "4, 3.5, 3"), (np.repeat([1.0, 2, 30], [3, 50, 3]), "2, 2, 2")):
        with pytest.raises(ValueError, match=f"3 knots would be placed at {knots}, which do not increase: state knots"):
            SPLINE(REFERENCE, USUAL).place(doses)
    for knots, message in {
        2: "3 to 7",
        (1, 2): "3 to 7",
        (1, 3, 3): "increase",
        (-1, 2, 3): "0 or more",
        3.5: "whole number",
    }.items():
        with pytest.raises(ValueError, match=message):
            SPLINE(REFERENCE, USUAL, knots=knots)
    with pytest.raises(ValueError, match="inside the range between 0, 20"):
        MONOTONE(REFERENCE, USUAL, knots=(10, 20), between=(0, 20))


def test_what_is_not_placed_has_names_and_no_value():
    for shape, unknown, number in (
        (SPLINE(REFERENCE, USUAL, knots=5), {}, 4),
        (MONOTONE(REFERENCE, USUAL), SHARES, 1),
        (PROCESS(REFERENCE, USUAL, waves=20), CASES["gaussian-process"].parameters, 20),
    ):
        assert len(shape.coefficients) == number
        assert set(shape.default_priors()) == {*shape.coefficients, *unknown}
        with pytest.raises(ValueError, match="place"):
            shape.columns(10.0, **unknown)
        placed = type(shape)(REFERENCE, USUAL, **({"waves": 20} if number == 20 else {}), **shape.place(np.geomspace(1, 50, 40)))
        assert all(np.isfinite(column) for column in placed.columns(10.0, **unknown))
        assert placed.place(np.arange(10.0)) == {}


def test_monotone_curves_rise_from_zero_to_one_between_the_doses_of_a_table():
    doses = np.array([12.0, 12, 12, 12, 5, 5, 30, 60])
    found = MONOTONE(REFERENCE, USUAL, knots=2).place(doses)
    assert found["between"] == (0.0, 60.0)
    assert found["knots"] == pytest.approx((5 + 7 / 3, 12 + 18 * 2 / 3))  # thirds of the distinct doses 0, 5, 12, 30, 60
    shape = MONOTONE(REFERENCE, USUAL, **found)
    for seed in range(20):
        (curve,) = shape.columns(np.array([0.0, 60.0, 61.0, 1e6]), **some_parameters(shape, seed))
        assert curve == pytest.approx([0, 1, 1, 1])
    with pytest.raises(ValueError, match="needs doses above 0"):
        MONOTONE(REFERENCE, USUAL).place([])


def test_monotone_curves_can_take_any_rising_form():
    """Shares that favour one knot put the rise there; equal shares over even knots rise almost evenly."""
    shape, names = MONOTONE(REFERENCE, USUAL, knots=(10, 20, 30), between=(0, 40)), list(SHARES)
    for k, at in enumerate((0, 10, 20, 30, 40)):
        shares = dict.fromkeys(names, 1e-6) | {names[k]: 1.0}
        (curve,) = shape.columns(np.array([at - 10.0, at, at + 10.0]), **shares)
        assert curve == pytest.approx([0, 0 if at == 0 else 1 if at == 40 else 0.5, 1], abs=1e-5)
    inner = np.linspace(10, 30, 20)
    (curve,) = shape.columns(inner, **dict.fromkeys(names, 1.0))
    assert np.diff(curve, 2) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("lengthscale", [0.6, 1.0, 1.4])
def test_waves_are_a_process_with_the_stated_covariance(lengthscale):
    """Within 3 % of the variance over the range, for lengthscales that the default prior makes likely."""
    shape, doses = PROCESS(REFERENCE, USUAL, between=(1, 50)), np.geomspace(1, 50, 30)
    low, high = shape.default_priors()["lengthscale"].interval
    assert low < lengthscale < high
    columns = np.array(shape.columns(doses, amplitude=2.0, lengthscale=lengthscale))
    exact = 4 * np.exp(-0.5 * (np.log(doses[:, None] / doses) / lengthscale) ** 2)
    assert columns.T @ columns == pytest.approx(exact, abs=0.03 * 4)


def test_waves_equal_those_of_pymc():
    import pymc as pm

    shape = CASES["gaussian-process"].shape()
    log = np.log(np.array([0.5, 2.0, 20.0, 50.0]))[:, None]
    process = pm.gp.HSGP(m=[12], L=[BOUNDARY * np.log(100) / 2], cov_func=0.6**2 * pm.gp.cov.ExpQuad(1, ls=0.9))
    phi, height = process.prior_linearized(log)
    ours = np.array(shape.columns(np.exp(log[:, 0]), **CASES["gaussian-process"].parameters))
    theirs = (phi * height).eval().T
    assert ours == pytest.approx(theirs, abs=1e-7)  # TINY is 2e-8 of the lowest dose


def test_too_few_waves_are_refused_with_the_number_that_suffices():
    wide = {"between": (0.2, 250.0)}
    assert PROCESS(REFERENCE, USUAL, **wide).misfit(PROCESS(REFERENCE, USUAL, **wide).default_priors()) is None
    short = {"lengthscale": Prior("lognormal", interval=(0.5, 2))}
    assert PROCESS(REFERENCE, USUAL).misfit(short) is None  # not placed yet
    words = r"12 waves cannot follow a lengthscale of 0.5 .* set waves = 25"
    assert re.match(words, PROCESS(REFERENCE, USUAL, **wide).misfit(short))
    assert PROCESS(REFERENCE, USUAL, **wide, waves=25).misfit(short) is None
    assert re.match(words, PROCESS(REFERENCE, USUAL, **wide).misfit({"lengthscale": 0.5}))
    with pytest.raises(sd.ModelError, match=words):
        sd.Model(
            name="m", intercept=sd.Intercept(), dose=[{"column": "sessions", "shape": "gaussian-process", "priors": short} | wide]
        )
    with pytest.raises(ValueError, match="two different positive doses"):
        PROCESS(REFERENCE, USUAL).place(np.array([0.0, 10, 10]))


def test_a_process_has_a_value_up_to_a_tenth_beyond_its_range():
    assert PROCESS(REFERENCE, USUAL, between=(1, 100)).domain == pytest.approx((100**-0.1, 100**1.1))
