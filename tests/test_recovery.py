"""Recovery of a known truth: tables simulated here, in numpy, and fitted with the default priors. Takes about 15 minutes.

`pytest -m slow -s tests/test_recovery.py` prints the tables that the documentation quotes.
"""

import time
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import stimdose as sd

pytestmark = pytest.mark.slow

TABLES, TRIALS = 50, 40
FREQUENCIES = np.array([1.0, 3, 5, 10, 15, 20, 25, 30, 50])
"""Doses of the simulated trials, in Hz; the curves are compared at every second one."""
SESSIONS = np.array([2.0, 5, 10, 20, 40])
BELL = {"amplitude": 0.8, "width": 0.5, "intercept": 0.1, "between_study": 0.2}
EMAX = {"maximum": 1.2, "between_study": 0.2}


def bell(dose, peak, amplitude, width, intercept):
    return intercept + amplitude * np.exp(-0.5 * (np.log(np.asarray(dose) / peak) / width) ** 2)


def emax(dose, ed50, maximum):
    return maximum * np.asarray(dose) / (ed50 + np.asarray(dose))


def simulate(column: str, doses: np.ndarray, mean: np.ndarray, rng: np.random.Generator) -> sd.Trials:
    """One row a trial: the mean at its dose, a deviation of the study (sd 0.2), a sampling error (se 0.2 to 0.4)."""
    se = rng.uniform(0.2, 0.4, len(doses))
    effect = mean + rng.normal(0, 0.2, len(doses)) + rng.normal(0, se)
    table = pd.DataFrame({"study": [f"T{k}" for k in range(len(doses))], column: doses, "effect": effect, "se": se})
    return sd.read_trials(table, direction="higher", measure="SMD", comparator="sham", design="parallel")


def fit_quietly(model: sd.Model, trials: sd.Trials, seed: int) -> sd.Fit:
    """Whether it converged is counted, not raised."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sd.ConvergenceWarning)  # whether it converged is counted
        return sd.fit(model, trials, seed=seed)


def summarise(draws: np.ndarray, truth: float, prior_sd: float = np.nan) -> dict[str, float]:
    low, high = np.quantile(draws, [0.025, 0.975])
    return {
        "covered": float(low <= truth <= high),
        "above": float(truth > high),
        "bias": float(draws.mean() - truth),
        "width": float(high - low),
        "contraction": float(1 - (draws.std() / prior_sd) ** 2),
    }


def report(what: str, results: dict[str, list[dict]], fits: list[sd.Fit], seconds: float) -> pd.DataFrame:
    """Coverage, share of truths above the interval, bias, width and contraction by quantity, over the tables."""
    table = pd.DataFrame({name: pd.DataFrame(found).mean() for name, found in results.items()}).T
    unconverged = sum(not fit.diagnosis.converged for fit in fits)
    divergences = sum(fit.diagnosis.divergences for fit in fits)
    print(f"\n{what}: {len(fits)} tables of {TRIALS} trials, {seconds / len(fits):.1f} s each")
    print(f"{unconverged} fits not converged, {divergences} divergences")
    print(table.round(3).to_string(na_rep=""))
    return table


def report_half(what: str, found: list[dict]) -> None:
    mean = pd.DataFrame(found).mean()
    print(f"{what}: covered {mean['covered']:.2f}, bias {mean['bias']:+.3f}, contraction {mean['contraction']:.2f}")


def assert_covers(table: pd.DataFrame) -> None:
    """No coverage below the 0.001 quantile of a binomial with probability 0.95."""
    least = stats.binom.ppf(0.001, TABLES, 0.95) / TABLES
    assert (table["covered"] >= least).all(), table[table["covered"] < least]


def test_a_bell_in_frequency_is_recovered():
    model = sd.Model(name="bell", intercept=sd.Intercept(), dose=[sd.Dose(column="frequency_hz", shape="bell")])
    priors, at, started = model.priors(), FREQUENCIES[::2], time.perf_counter()
    names = {"log peak": "frequency_hz_peak", "amplitude": "frequency_hz_amplitude", "log width": "frequency_hz_width"}
    names |= {"intercept": "intercept", "between-study sd": "between_study"}
    results = {name: [] for name in (*names, *(f"curve at {dose:g} Hz" for dose in at))}
    fits = []
    for k in range(TABLES):
        peak, rng = (25.0, 6.0)[k % 2], np.random.default_rng([17, k])
        doses = rng.choice(FREQUENCIES, TRIALS)
        shape = (peak, BELL["amplitude"], BELL["width"], BELL["intercept"])
        fit = fit_quietly(model, simulate("frequency_hz", doses, bell(doses, *shape), rng), seed=k)
        values, truth = (
            fit.values(),
            (np.log(peak), BELL["amplitude"], np.log(BELL["width"]), BELL["intercept"], BELL["between_study"]),
        )
        for (name, variable), true in zip(names.items(), truth, strict=True):
            log = name.startswith("log")
            prior_sd = priors[variable].parameters["sigma"] if log else priors[variable].distribution.std()
            results[name].append(summarise(np.log(values[variable]) if log else values[variable], true, prior_sd))
        curve = sd.curve(fit, "frequency_hz", grid=at).values.reshape(-1, len(at))
        for j, dose in enumerate(at):
            results[f"curve at {dose:g} Hz"].append(summarise(curve[:, j], float(bell(dose, *shape))))
        fits.append(fit)
    table = report("bell in frequency, peak 25 or 6 Hz", results, fits, time.perf_counter() - started)
    for peak, part in ((25, slice(0, None, 2)), (6, slice(1, None, 2))):
        report_half(f"peak {peak} Hz: log peak", results["log peak"][part])
    assert_covers(table)
    assert table.loc["log peak", "contraction"] > 0.5


def test_an_emax_in_sessions_is_recovered():
    model = sd.Model(name="emax", dose=[sd.Dose(column="sessions", shape="emax")])
    assert model.is_anchored
    priors, started = model.priors(), time.perf_counter()
    results = {
        name: [] for name in ("log ed50", "maximum", "between-study sd", *(f"curve at {dose:g} sessions" for dose in SESSIONS))
    }
    fits = []
    for k in range(TABLES):
        ed50, rng = (4.0, 25.0)[k % 2], np.random.default_rng([18, k])
        doses = rng.integers(1, 41, TRIALS).astype(float)
        fit = fit_quietly(model, simulate("sessions", doses, emax(doses, ed50, EMAX["maximum"]), rng), seed=k)
        values = fit.values()
        prior = {name: priors[name].distribution.std() for name in ("sessions_maximum", "between_study")}
        results["log ed50"].append(
            summarise(np.log(values["sessions_ed50"]), np.log(ed50), priors["sessions_ed50"].parameters["sigma"])
        )
        results["maximum"].append(summarise(values["sessions_maximum"], EMAX["maximum"], prior["sessions_maximum"]))
        results["between-study sd"].append(summarise(values["between_study"], EMAX["between_study"], prior["between_study"]))
        curve = sd.curve(fit, "sessions", grid=SESSIONS).values.reshape(-1, len(SESSIONS))
        for j, dose in enumerate(SESSIONS):
            results[f"curve at {dose:g} sessions"].append(summarise(curve[:, j], float(emax(dose, ed50, EMAX["maximum"]))))
        fits.append(fit)
    table = report("Emax in sessions, ED50 4 or 25 sessions", results, fits, time.perf_counter() - started)
    for ed50, part in ((4, slice(0, None, 2)), (25, slice(1, None, 2))):
        for name in ("log ed50", "maximum"):
            report_half(f"ED50 {ed50} sessions: {name}", results[name][part])
    assert_covers(table)
