"""Weights that make draws of one density stand for another."""

import numpy as np
import pytest
from scipy import stats

from stimdose.importance import PARETO_K_MAX, smoothed_weights, systematic


def test_systematic_choice_gives_every_draw_its_share():
    weights = np.random.default_rng(1).gamma(0.3, size=1000)
    weights /= weights.sum()
    chosen = systematic(weights, 2500)
    assert len(chosen) == 2500
    assert (np.diff(chosen) >= 0).all()
    assert (np.abs(np.bincount(chosen, minlength=1000) - 2500 * weights) < 1).all()


def test_equal_ratios_have_equal_weights():
    log_weights, k = smoothed_weights(np.full(1000, -3.7))
    np.testing.assert_allclose(np.exp(log_weights), 1 / 1000)
    assert k == -np.inf


@pytest.mark.parametrize(("mean", "sd"), [(0.5, 0.9), (-0.3, 0.7)])
def test_weighted_draws_have_the_moments_of_the_density_wanted(mean, sd):
    draws = np.random.default_rng(2).standard_normal(40_000)
    log_weights, k = smoothed_weights(stats.norm.logpdf(draws, mean, sd) - stats.norm.logpdf(draws) + 500.0)
    weights = np.exp(log_weights)
    assert weights.sum() == pytest.approx(1)
    assert k < PARETO_K_MAX
    error = 1 / np.sqrt(1 / (weights**2).sum())
    assert abs(weights @ draws - mean) < 4 * error * sd
    assert abs(weights @ (draws - mean) ** 2 - sd**2) < 4 * error * np.sqrt(2) * sd**2


def test_a_density_with_heavier_tails_is_not_trusted():
    draws = 0.3 * np.random.default_rng(3).standard_normal(4000)
    _, k = smoothed_weights(stats.norm.logpdf(draws) - stats.norm.logpdf(draws, 0, 0.3))
    assert k > PARETO_K_MAX


def test_a_draw_that_cannot_be_has_no_weight():
    ratio = np.random.default_rng(4).standard_normal(1000) / 10
    ratio[7] = -np.inf
    assert np.exp(smoothed_weights(ratio)[0][7]) == 0
