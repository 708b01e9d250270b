"""R-hat and effective sample sizes, held to arviz; the diagnosis of a dataset."""

import warnings

import arviz as az
import numpy as np
import pytest
import xarray as xr

from stimdose.chains import convergence
from stimdose.diagnosis import diagnose, r_hats


def chains(quantities: int, number: int, length: int, correlation: float, seed: int = 0) -> np.ndarray:
    """Draws (quantities, chains, draws) of a stationary autoregression."""
    x = np.random.default_rng(seed).normal(size=(quantities, number, length))
    for k in range(1, length):
        x[..., k] = correlation * x[..., k - 1] + np.sqrt(1 - correlation**2) * x[..., k]
    return x


def as_arviz(draws: np.ndarray) -> dict[str, np.ndarray]:
    labelled = xr.DataArray(np.moveaxis(draws, 0, -1), dims=("chain", "draw", "quantity"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of constant quantities
        return {
            "r_hat": az.rhat(labelled).values,
            "ess_bulk": az.ess(labelled, method="bulk").values,
            "ess_tail": az.ess(labelled, method="tail").values,
        }


SHAPES = {
    "as drawn": lambda x: x,
    "with ties": np.round,
    "piled up at both ends": lambda x: x.clip(-0.5, 1),
    "heavy tails": lambda x: np.exp(5 * x),
    "chains apart": lambda x: x + np.arange(x.shape[1])[:, None],
    "stuck chains": lambda x: np.broadcast_to(x[..., :1], x.shape),
    "constant": np.ones_like,
    "an infinity": lambda x: np.where(np.arange(x.size).reshape(x.shape) == 3, np.inf, x),
    "a NaN": lambda x: np.where(np.arange(x.size).reshape(x.shape) == 3, np.nan, x),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("correlation", [-0.9, 0.0, 0.9, 0.999])
@pytest.mark.parametrize(("number", "length"), [(4, 1000), (2, 101), (1, 50), (4, 4), (2, 7), (2, 3)])
def test_convergence_is_that_of_arviz(number, length, correlation, shape):
    draws = SHAPES[shape](chains(6, number, length, correlation))
    found, expected = convergence(draws), as_arviz(draws)
    assert list(found) == list(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-9, err_msg=name)


def test_the_diagnosis_of_a_fit_is_that_of_arviz(bell_fit):
    posterior = bell_fit.tree["posterior"].to_dataset()[["between_study", "intercept_by_phase"]]
    table = diagnose(posterior, 0).table
    assert list(table.index) == ["between_study", *(f"intercept_by_phase[{phase}]" for phase in posterior["phase"].values)]
    for name, found in (
        ("r_hat", az.rhat(posterior)),
        ("ess_bulk", az.ess(posterior)),
        ("ess_tail", az.ess(posterior, method="tail")),
    ):
        expected = [float(found["between_study"]), *found["intercept_by_phase"].values]
        np.testing.assert_allclose(table[name], expected, rtol=1e-9)


def test_elements_without_labels_are_numbered():
    draws = xr.Dataset({"x": (("chain", "draw", "k"), np.random.default_rng(0).normal(size=(4, 100, 2)))})
    assert list(diagnose(draws, 0).table.index) == ["x[0]", "x[1]"]


def test_r_hats_of_constant_elements_are_nan():
    draws = np.stack([np.exp(chains(1, 4, 200, 0.5)[0]), np.full((4, 200), 7.0)], axis=-1)
    first, second = r_hats(xr.DataArray(draws, dims=("chain", "draw", "k")))
    assert first == pytest.approx(float(az.rhat(xr.DataArray(draws[..., 0], dims=("chain", "draw")))))
    assert np.isnan(second)
