"""Seconds of a first fit of the model `stimulation`: of `sd.fit` in this process, and of a whole new process, from the start of
Python to the finished fit, imports and reading included. The numba cache is warm: what is compiled once, at installation, is not counted.

Prints one JSON line. Usage: python benchmarks/first_fit.py [STUDIES] [--runs 5] [--smoke]
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

from common import say, show, timed
from tables import bell_numbers, trials_table

import stimdose as sd

FIT = """
import sys, stimdose as sd
sd.fit(sd.load_model("stimulation"), sd.read_trials(sys.argv[1]), seed=1, progress=False)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("studies", type=int, nargs="?", default=30)
    parser.add_argument("--runs", type=int, default=5, help="new processes")
    parser.add_argument("--smoke", action="store_true", help="one new process")
    asked = parser.parse_args()
    warnings.simplefilter("ignore", sd.ConvergenceWarning)  # R-hat and ESS are shown
    table = trials_table(bell_numbers(asked.studies))
    table = table.assign(direction="higher", measure="SMD", comparator="sham", design="parallel")
    trials, model = sd.read_trials(table), sd.load_model("stimulation")
    fit, in_process = timed(sd.fit, model, trials, seed=1, progress=False)
    say(f"in this process: {in_process:.1f} s")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trials.csv"
        table.to_csv(path, index=False)
        command = [sys.executable, "-W", "ignore::UserWarning", "-c", FIT, str(path)]  # its convergence is shown below
        runs = 1 if asked.smoke else asked.runs
        seconds = [timed(subprocess.run, command, env=environment, check=True)[1] for _ in range(runs)]
    ess = fit.diagnosis.table[["ess_bulk", "ess_tail"]].min(axis=1)
    show(
        {
            "benchmark": "first_fit",
            "model": model.name,
            "studies": asked.studies,
            "rows": len(trials),
            "seconds": round(in_process, 2),
            "new_process_s": round(statistics.median(seconds), 2),
            "new_process_runs_s": [round(taken, 2) for taken in seconds],
            "min_ess": round(float(ess.min())),
            "max_rhat": round(float(fit.diagnosis.table["r_hat"].max()), 4),
            "divergences": fit.diagnosis.divergences,
        }
    )


if __name__ == "__main__":
    main()
