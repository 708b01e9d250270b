"""The integrated likelihood against dense scipy densities, finite differences and dense conditional normals."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from stimdose import integrate

SHAPES = [  # rows by study, fixed columns, moving columns, slopes
    ([3, 1, 2], 2, 1, [-1]),
    ([1], 1, 0, [-1]),
    ([4], 2, 2, [-1, 1, 3]),
    ([1, 1, 1], 5, 4, [-1]),
    ([2, 5, 1, 3, 2], 0, 2, [-1, 0]),
    ([6, 6], 3, 1, [-1, 2, 0]),
]


def make(sizes, p1, p2, slopes, seed=0, scale=1.0):
    rng = np.random.default_rng(seed)
    n, p = sum(sizes), p1 + p2
    sd = rng.uniform(0.1, 2, p)
    if p > 1:
        sd[-1] = 0.0  # a sampled coefficient
    return {
        "y": rng.normal(size=n),
        "fixed": rng.normal(size=(n, p1)),
        "moving": rng.normal(size=(n, p2)),
        "mean": rng.normal(size=p),
        "sd": sd,
        "spread": rng.uniform(0.1, 1, len(slopes)) * scale,
        "slopes": np.array(slopes),
        "variance": rng.uniform(0.01, 1, n),
        "within": 0.3,
        "start": np.concatenate([[0], np.cumsum(sizes)]),
    }


def dense(a):
    """Mean and covariance of y, written out."""
    X = np.hstack([a["fixed"], a["moving"]])
    K = np.diag(a["variance"] + a["within"]) + X @ np.diag(a["sd"] ** 2) @ X.T
    study = np.repeat(np.arange(len(a["start"]) - 1), np.diff(a["start"]))
    for spread, slope in zip(a["spread"], a["slopes"], strict=True):
        column = np.ones(len(X)) if slope < 0 else X[:, slope]
        K += spread**2 * np.outer(column, column) * (study[:, None] == study)
    return X @ a["mean"], K


def log_density(a):
    mean, K = dense(a)
    return multivariate_normal(mean, K).logpdf(a["y"])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [1.0, 1e-9, 30.0])
def test_density_is_that_of_the_dense_normal(shape, scale):
    a = make(*shape, scale=scale)
    assert integrate.log_marginal(**a)[0] == pytest.approx(log_density(a), rel=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
def test_density_with_extreme_weights(shape):
    a = make(*shape)
    a["variance"] = a["variance"] * np.where(np.arange(len(a["y"])) % 2, 1e-6, 1e6)
    a["within"] = 0.0
    assert integrate.log_marginal(**a)[0] == pytest.approx(log_density(a), rel=1e-7)


@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_are_those_of_finite_differences(shape):
    a = make(*shape, seed=1)
    gradients = dict(zip(("y", "moving", "mean", "sd", "spread", "within"), integrate.log_marginal(**a)[1:], strict=True))
    step = 1e-6
    for name, gradient in gradients.items():
        value = np.asarray(a[name], float)
        for index in np.ndindex(value.shape):
            ends = []
            for sign in (1, -1):
                moved = value.copy()
                moved[index] += sign * step
                ends.append(log_density(a | {name: moved if moved.ndim else float(moved)}))
            assert np.asarray(gradient)[index] == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=2e-4, abs=2e-5), name


def test_not_positive_definite_gives_nan_and_no_error():
    a = make([2, 2], 1, 1, [-1])
    a["variance"] = np.full(4, np.nan)
    assert np.isnan(integrate.log_marginal(**a)[0])


@pytest.mark.parametrize("shape", [SHAPES[0], SHAPES[2], SHAPES[4]])
def test_draws_have_the_mean_and_covariance_of_the_dense_conditional(shape):
    a = make(*shape, seed=2)
    rng, draws = np.random.default_rng(5), 40_000
    X = np.hstack([a["fixed"], a["moving"]])
    n, p = X.shape
    q, studies = len(a["slopes"]), len(a["start"]) - 1
    repeat = lambda value: np.broadcast_to(value, (draws, *np.shape(value))).copy()
    beta, u, _ = integrate.draw(
        a["y"],
        np.broadcast_to(X, (draws, n, p)),
        repeat(a["mean"]),
        repeat(a["sd"]),
        repeat(a["spread"]),
        a["slopes"],
        a["variance"],
        np.full(draws, a["within"]),
        a["start"],
        rng.standard_normal((draws, p)),
        rng.standard_normal((draws, studies, q)),
    )
    drawn = np.hstack([beta, u.reshape(draws, -1)])

    study = np.repeat(np.arange(studies), np.diff(a["start"]))
    columns = [np.ones(n) if slope < 0 else X[:, slope] for slope in a["slopes"]]
    Z = np.stack([np.where(study == s, column, 0.0) for s in range(studies) for column in columns], axis=1)
    W, prior_sd = np.hstack([X, Z]), np.concatenate([a["sd"], np.tile(a["spread"], studies)])
    prior_mean = np.concatenate([a["mean"], np.zeros(Z.shape[1])])
    P = np.diag(prior_sd**2)
    gain = P @ W.T @ np.linalg.inv(W @ P @ W.T + np.diag(a["variance"] + a["within"]))
    mean, cov = prior_mean + gain @ (a["y"] - W @ prior_mean), P - gain @ W @ P

    free = prior_sd > 0
    z = (drawn.mean(0) - mean)[free] / np.sqrt(np.diag(cov)[free] / draws)
    assert np.abs(z).max() < 4.5
    se = np.sqrt((np.outer(np.diag(cov), np.diag(cov)) + cov**2) / draws)[np.ix_(free, free)]
    assert (np.abs(np.cov(drawn.T) - cov)[np.ix_(free, free)] / se).max() < 4.5
    assert np.ptp(drawn[:, ~free], axis=0) == pytest.approx(0)


def test_log_likelihood_by_study_is_that_of_the_dense_normal():
    a = make(*SHAPES[5], seed=3)
    X = np.hstack([a["fixed"], a["moving"]])
    p = X.shape[1]
    one = lambda value: np.asarray(value, float)[None]
    b = np.array([0.3, -0.2, 1.0, 0.5])
    beta, _, log_likelihood = integrate.draw(
        a["y"],
        X[None],
        one(a["mean"]),
        one(a["sd"]),
        one(a["spread"]),
        a["slopes"],
        a["variance"],
        one(a["within"]),
        a["start"],
        one(b),
        np.zeros((1, 2, 3)),
    )
    no_beta = a | {"mean": beta[0], "sd": np.zeros(p)}
    mean, K = dense(no_beta)
    for s, (first, last) in enumerate(zip(a["start"][:-1], a["start"][1:], strict=True)):
        rows = slice(first, last)
        assert log_likelihood[0, s] == pytest.approx(multivariate_normal(mean[rows], K[rows, rows]).logpdf(a["y"][rows]))
