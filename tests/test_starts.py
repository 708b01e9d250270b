"""Chains start at the peaks of a posterior, by their mass."""

import numpy as np
import pytest
from conftest import make_table
from scipy.special import logsumexp, softmax

import stimdose as sd
from stimdose.starts import around_peaks


def mixture(weights, centers, sds):
    """Log density and gradient of a mixture of independent normals: weights (k,), centers and sds (k, d)."""

    def density(x):
        z = (x - centers) / sds
        logs = np.log(weights) - 0.5 * (z**2).sum(axis=1) - np.log(sds).sum(axis=1)
        return logsumexp(logs), -(softmax(logs)[:, None] * z / sds).sum(axis=0)

    return density


def starts(weights, centers, sds, count=400):
    centers, sds = np.array(centers, float), np.array(sds, float)
    rng = np.random.default_rng(0)
    begin = rng.normal(0, 6, (16, centers.shape[1]))
    start = around_peaks(mixture(weights, centers, sds), begin)
    return np.stack([start(seed) for seed in range(count)])


def test_peaks_have_their_share_whatever_their_height():
    """The second is three times as likely and much lower."""
    found = starts([0.25, 0.75], [[-5, 0], [5, 0]], [[0.5, 0.3], [2.0, 1.0]])
    at_first = found[:, 0] < -2
    assert abs(at_first.mean() - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 400)
    wide = found[~at_first]
    np.testing.assert_allclose(wide.mean(axis=0), [5, 0], atol=4 * 2 / np.sqrt(len(wide)))
    np.testing.assert_allclose(wide.std(axis=0), [2, 1], rtol=0.15)


def test_a_peak_without_mass_has_no_chain():
    found = starts([1e-9, 1 - 1e-9], [[-5], [5]], [[1.0], [1.0]])
    assert (found > 0).all()


def test_flat_directions_and_impossible_places_do_no_harm():
    def density(x):
        if x[0] < 0:
            return -np.inf, np.full(2, np.nan)
        return 2 * np.log(x[0]) - x[0], np.array([2 / x[0] - 1, 0.0])

    start = around_peaks(density, np.array([[-1.0, 0.0], [1.0, 0.0], [1.5, 3.0]]))
    found = np.stack([start(seed) for seed in range(200)])
    assert abs(np.median(found[:, 0]) - 2) < 0.5
    assert (found[:, 0] > 0).all()


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (2, 3))])
def test_a_bell_by_phase_has_no_chain_in_a_trough(seed):
    """From the middle of the prior, one chain in four stayed in a trough, 16 below the peak in log density."""
    model = sd.Model(
        name="by phase", intercept=sd.Intercept(by="phase"), dose=[sd.Dose(column="frequency_hz", shape="bell", by="phase")]
    )
    fit = sd.fit(model, sd.read_trials(make_table(60)), seed=seed, progress=False)
    assert fit.diagnosis.converged
    assert (fit.tree["posterior"]["frequency_hz_amplitude_by_phase"].median(("chain", "draw")) > 0.3).all()
