"""Refits of a table of 30 studies: seconds, and whether the chains agree.

Of three kinds, RUNS each, in this process: another prior, a study left out, simulated effects (draws of the posterior predictive).
Then MANY refits to simulated effects through `sd.batch` with a pool of two processes and a folder; their seconds include the start of
the pool and the writing, not the reading back.

Prints one JSON line. Usage: python benchmarks/refits.py [--model bell|stimulation] [--runs 20] [--many 1000] [--smoke]
"""

import argparse
import tempfile
import time
import warnings

import numpy as np
from common import bell_model, counted, read, say, show, spread_of, timed
from numba.core.event import install_recorder
from tables import bell_numbers

import stimdose as sd

STUDIES, WORKERS = 30, 2


def simulated(fit: sd.Fit, count: int) -> np.ndarray:
    """Effects (count, rows) in the order of the table, from the posterior predictive, spread over its draws."""
    draws = fit.tree["posterior_predictive"]["effect"].stack(sample=("chain", "draw")).transpose("sample", "row")
    by_label = {str(label): k for k, label in enumerate(draws["row"].values)}
    order = [by_label[str(label)] for label in fit.trials.table["row"]]
    return draws.values[np.linspace(0, len(draws) - 1, count).astype(int)][:, order]


def changes_of(fit: sd.Fit, runs: int) -> dict[str, list[dict]]:
    """What is changed in each refit, by kind."""
    amplitude = fit.model.priors()["frequency_hz_amplitude"].parameters["sigma"]
    scales = amplitude * np.geomspace(0.5, 2, runs)
    studies = list(fit.trials.table["study"].unique())
    return {
        "prior": [{"priors": {"frequency_hz_amplitude": sd.Prior("halfnormal", sigma=float(scale))}} for scale in scales],
        "rows": [{"trials": fit.trials.without_study(studies[k % len(studies)])} for k in range(runs)],
        "effects": [{"effects": effects} for effects in simulated(fit, runs)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=["bell", "stimulation"], default="bell", help="of vs_brms.py, or the shipped one")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--many", type=int, default=1000)
    parser.add_argument("--smoke", action="store_true", help="5 of each kind, and 20 in the pool")
    asked = parser.parse_args()
    runs, many = (5, 20) if asked.smoke else (asked.runs, asked.many)
    warnings.simplefilter("ignore", sd.ConvergenceWarning)  # what fails is counted
    numbers = bell_numbers(STUDIES)
    model = bell_model(numbers) if asked.model == "bell" else sd.load_model(asked.model)
    fit = sd.fit(model, read(numbers), seed=1, progress=False)
    fit.refit(seed=1)
    kinds = {}
    for kind, changes in changes_of(fit, runs).items():
        with install_recorder("numba:compile") as recorder:
            found = [timed(fit.refit, seed=k, **change) for k, change in enumerate(changes)]
        kinds[kind] = {"seconds": spread_of(seconds for _, seconds in found), "compilations": len(recorder.buffer)}
        kinds[kind] |= counted(one for one, _ in found)
        say(kind, kinds[kind])
    requests = [fit.request(effects=effects, seed=k) for k, effects in enumerate(simulated(fit, many))]
    with tempfile.TemporaryDirectory(prefix="refits-") as folder:
        started = time.perf_counter()
        with sd.batches.pool(WORKERS) as executor:
            fits = sd.batch(requests, folder=folder, executor=executor)
        seconds = time.perf_counter() - started
        batch = {"seconds": round(seconds, 1), "seconds_each": round(seconds * WORKERS / many, 3)} | counted(fits)
    show(
        {"benchmark": "refits", "model": asked.model, "studies": STUDIES, "rows": len(fit.trials), "runs": runs}
        | {f"refit_{kind}": found for kind, found in kinds.items()}
        | {"batch": {"refits": many, "workers": WORKERS} | batch}
    )


if __name__ == "__main__":
    main()
