"""REML answers of metafor, through the integrated likelihood: schools within districts, and trials that share a control arm.

With a flat prior on p coefficients, N(0, S^2) for S to infinity, the integrated likelihood is REML's up to constants.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stimdose import conditionals, integrate
from stimdose.op import LogMarginal

ORACLES = Path(__file__).parent / "oracles" / "covariance"
FLAT = 1e5
"""Prior standard deviation of every coefficient."""


def inputs(y, variance, X, study, between, within, correlation=(), block=None):
    """Arguments of `log_marginal` for study effects of variance `between` and row effects of variance `within`."""
    start = np.flatnonzero(np.concatenate([[True], study[1:] != study[:-1], [True]]))
    p = X.shape[1]
    return {
        "y": np.ascontiguousarray(y, float),
        "fixed": np.ascontiguousarray(X.T),
        "moving": np.empty((0, len(y))),
        "mean": np.zeros(p),
        "sd": np.full(p, FLAT),
        "spread": np.array([np.sqrt(between)]),
        "slopes": np.array([-1]),
        "factor": np.empty(0),
        "variance": np.ascontiguousarray(variance, float),
        "within": np.full(len(y), float(within)),
        "start": start,
        "correlation": np.array(correlation, float),
        "block": np.zeros(len(start), int) if block is None else block,
        "statistics": np.empty(0),
        "by_row": True,
    }


def reml(a):
    """metafor's REML log-likelihood, and its gradients with respect to the variances between and within."""
    logp, *gradients = integrate.log_marginal(**a)
    found = dict(zip(LogMarginal.gradients, gradients, strict=True))
    X, p = a["fixed"].T, len(a["fixed"])
    constant = p * np.log(FLAT) + 0.5 * p * np.log(2 * np.pi) + 0.5 * np.linalg.slogdet(X.T @ X)[1]
    return logp + constant, found["spread"][0] / (2 * a["spread"][0]), found["within"].sum()


def coefficients(a):
    """Posterior mean and covariance of the coefficients: draws are linear in the normals."""
    p, studies = len(a["fixed"]), len(a["start"]) - 1
    repeated = [np.repeat(value[None], p + 1, axis=0) for value in (a["fixed"].T, a["mean"], a["sd"], a["spread"])]
    draws = conditionals.draw(
        *(a["y"][None], *repeated, a["slopes"], np.empty((p + 1, 0)), a["variance"][None], np.tile(a["within"], (p + 1, 1))),
        *(a["start"], a["correlation"], a["block"], np.eye(p + 1, p), np.zeros((p + 1, studies, 1))),
    )[0]
    mean = draws[p]
    return mean, (draws[:p] - mean).T @ (draws[:p] - mean)


# --- Konstantopoulos (2011): 56 schools in 11 districts --------------------------------------------------------------------------------


def schools(district, school):
    table = pd.read_csv(ORACLES / "konstantopoulos2011.csv")
    return inputs(table["yi"], table["vi"], np.ones((len(table), 1)), table["district"].to_numpy(), district, school)


@pytest.mark.slow
def test_schools_in_districts():
    best = {"district": 0.0650619442753117, "school": 0.0327365170279351}
    log_likelihood, *gradient = reml(schools(**best))
    assert log_likelihood == pytest.approx(-7.95872403371097, abs=1e-7)
    assert gradient == pytest.approx([0, 0], abs=1e-3)
    for name, value in best.items():
        for factor in (0.97, 1.03):
            assert reml(schools(**best | {name: factor * value}))[0] < log_likelihood
    mean, cov = coefficients(schools(**best))
    assert mean[0] == pytest.approx(0.184713163672882, abs=1e-9)
    assert np.sqrt(cov[0, 0]) == pytest.approx(0.0845559187420597, abs=1e-9)


# --- Senn (2013): 26 trials of glucose, one with two drugs against the same placebo ---------------------------------------------------

SENN = {  # coefficient and standard error, against placebo
    "acarbose": (-0.841364253296266, 0.238426427951954),
    "benfluorex": (-0.736900316944112, 0.277600375606853),
    "metformin": (-1.12840382047068, 0.149401744258178),
    "miglitol": (-0.949884519118208, 0.225253362987582),
    "pioglitazone": (-1.12940459815592, 0.21191738493149),
    "rosiglitazone": (-1.2337387090716, 0.123456705092286),
    "sitagliptin": (-0.57, 0.341447275940416),
    "sulfonylurea": (-0.417527730328571, 0.232609839469125),
    "vildagliptin": (-0.7, 0.340755353297039),
}


def glucose(between, within):
    """Contrasts with the last arm of each trial, those of one trial correlated through the variance of that arm."""
    arms = pd.read_csv(ORACLES / "senn2013.csv")
    arms["variance"] = arms["sdi"] ** 2 / arms["ni"]
    is_arm = np.stack([arms["treatment"] == name for name in SENN], axis=-1).astype(float)
    y, variance, X, study, correlation, block = [], [], [], [], [], [0]
    for label, trial in arms.groupby("study", sort=False):
        *others, control = trial.index
        y += list(arms["mi"][others] - arms["mi"][control])
        variance += list(arms["variance"][others] + arms["variance"][control])
        X += list(is_arm[others] - is_arm[control])
        study += [label] * len(others)
        if len(others) > 1:
            V = np.diag(arms["variance"][others]) + arms["variance"][control]
            correlation += list((V / np.sqrt(np.outer(np.diag(V), np.diag(V)))).ravel())
        block.append(len(correlation))
    return inputs(np.array(y), variance, np.array(X), np.array(study), between, within, correlation, np.array(block))


def test_trials_that_share_a_control_arm():
    tau2 = 0.0999145441339233  # with correlation 1/2 between effects of one trial: half of it between trials, half within
    a = glucose(tau2 / 2, tau2 / 2)
    assert len(a["y"]) == 27
    assert len(a["correlation"]) == 4
    log_likelihood, *gradient = reml(a)
    assert log_likelihood == pytest.approx(-7.65705655050491, abs=1e-7)
    assert sum(gradient) == pytest.approx(0, abs=1e-3)
    mean, cov = coefficients(a)
    np.testing.assert_allclose(mean, [coefficient for coefficient, _ in SENN.values()], atol=1e-8)
    np.testing.assert_allclose(np.sqrt(np.diag(cov)), [error for _, error in SENN.values()], atol=1e-8)


def test_the_shared_control_arm_matters():
    a = glucose(0.05, 0.05)
    independent = a | {"correlation": np.empty(0), "block": np.zeros(len(a["start"]), int)}
    assert abs(reml(a)[0] - reml(independent)[0]) > 1e-3
