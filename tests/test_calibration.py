"""Simulation-based calibration at a smoke size, and that it would see a mistake. See benchmarks/calibration.py."""

import numpy as np
import pytest
from conftest import benchmark_module

REPLICATIONS = 60


@pytest.fixture(scope="module")
def calibration():
    return benchmark_module("calibration")


def test_uniform_ranks_pass_and_others_do_not(calibration):
    rng = np.random.default_rng(0)
    uniform = rng.integers(calibration.RANKS, size=(400, 200))
    band = calibration.Band(200, rng)
    found = [band.judge(ranks) for ranks in uniform]
    for name in ("chi2_p", "ecdf_p"):
        p = np.array([one[name] for one in found])
        assert (p < 0.05).mean() == pytest.approx(0.05, abs=0.035)
    outside = np.mean([abs(one["deviation"]) > abs(one["band"]) for one in found])
    assert outside < 0.03
    assert band.judge(uniform[0] ** 2 // calibration.RANKS)["ecdf_p"] < 1e-3


def misstated(name: str, factor: float):
    """The prior of a standard deviation, wider or narrower by a factor."""

    def change(program, layout):
        first = program.sampled.first.copy()
        first[layout.sampled[name]] *= factor
        return program._replace(sampled=program.sampled._replace(first=first))

    return change


def twice_the_jacobian(name: str):
    """The density times a log-normal parameter: N(mu + sigma^2, sigma) is N(mu, sigma) times exp(x)."""

    def change(program, layout):
        first, place = program.sampled.first.copy(), layout.sampled[name]
        first[place] += program.sampled.second[place] ** 2
        return program._replace(sampled=program.sampled._replace(first=first))

    return change


@pytest.mark.slow
def test_ranks_of_the_truth_are_uniform(calibration):
    ranks, wrong = calibration.ranks_of(calibration.SPECS["imputed"], REPLICATIONS)
    table = calibration.judged(ranks)
    print(table.round(3).to_string(), wrong)
    assert calibration.smallest_p(table) > 0.01
    assert wrong["r_hat_failures"] <= 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mistake", "at"),
    [(misstated("within_study", 1 / 3), "within_study"), (twice_the_jacobian("sessions_ed50"), "sessions_ed50")],
    ids=["a prior constant", "a factor too many"],
)
def test_a_mistake_in_the_density_is_seen(calibration, mistake, at):
    table = calibration.judged(calibration.ranks_of(calibration.SPECS["imputed"], REPLICATIONS, change=mistake)[0])
    print(table.round(4).to_string())
    assert calibration.smallest_p(table) < 1e-3
    assert table[["chi2_p", "ecdf_p"]].min(axis=1).idxmin() == at
