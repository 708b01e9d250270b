"""Exact leave-one-study-out by refits: hours-by-phase on stroke_therapy_hours, once without each of its 137 studies, two processes.

The seconds include the start of the pool and the writing of every fit, not the first fit nor the reading back.

Prints one JSON line. Usage: python benchmarks/leave_one_out.py [--studies 137] [--smoke]
"""

import argparse
import tempfile
import time
import warnings

from common import counted, show, timed

import stimdose as sd

WORKERS = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, help="only the first of them")
    parser.add_argument("--smoke", action="store_true", help="four studies")
    asked = parser.parse_args()
    warnings.simplefilter("ignore", sd.ConvergenceWarning)  # what fails is counted
    trials = sd.load_dataset("stroke_therapy_hours")
    fit, fit_s = timed(sd.fit, sd.load_model("hours-by-phase"), trials, seed=1, progress=False)
    studies = list(fit.trials.table["study"].unique())
    left_out = studies[: 4 if asked.smoke else asked.studies]
    requests = [fit.request(trials=fit.trials.without_study(study), seed=k) for k, study in enumerate(left_out)]
    with tempfile.TemporaryDirectory(prefix="leave-one-out-") as folder:
        started = time.perf_counter()
        with sd.batches.pool(WORKERS) as executor:
            fits = sd.batch(requests, folder=folder, executor=executor)
        seconds = time.perf_counter() - started
        found = counted(fits)
    show(
        {
            "benchmark": "leave_one_out",
            "model": fit.model.name,
            "rows": len(fit.trials),
            "studies": len(studies),
            "left_out": len(left_out),
            "workers": WORKERS,
            "first_fit_s": round(fit_s, 2),
            "seconds": round(seconds, 1),
            "seconds_each": round(seconds * WORKERS / len(left_out), 3),
        }
        | found
    )


if __name__ == "__main__":
    main()
