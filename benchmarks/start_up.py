"""Seconds of a new process: import, --help, and loading and plotting a saved fit; medians of RUNS, after one run that writes bytecode.

Prints one JSON line. Usage: python benchmarks/start_up.py [RUNS] [--smoke]
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import show
from tables import bell_numbers, trials_table

import stimdose as sd

LOAD_AND_PLOT = """
import sys, stimdose as sd
fit = sd.load_fit(sys.argv[1] + "/fit.nc")
axes = sd.figures.dose_response(sd.curve(fit, "frequency_hz"), points=sd.points(fit, "frequency_hz"))
sd.optimum(fit, "frequency_hz")
sd.figures.save(axes, sys.argv[1] + "/figure", formats="png")
"""
READ = "import sys, stimdose as sd; sd.read_trials(sys.argv[1] + '/trials.csv')"


def seconds(runs: int, *arguments: str) -> float:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | {"MPLBACKEND": "Agg"}
    taken = []
    for _ in range(runs + 1):
        started = time.perf_counter()
        subprocess.run([sys.executable, *arguments], env=environment, stdout=subprocess.DEVNULL, check=True)
        taken.append(time.perf_counter() - started)
    return round(statistics.median(taken[1:]), 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=int, nargs="?", default=5)
    parser.add_argument("--smoke", action="store_true", help="one run")
    asked = parser.parse_args()
    runs = 1 if asked.smoke else asked.runs
    table = trials_table(bell_numbers(20)).assign(direction="higher", measure="SMD", comparator="sham", design="parallel")
    model = sd.Model(name="bell", intercept=sd.Intercept(), dose=[sd.Dose(column="frequency_hz", shape="bell")])
    with tempfile.TemporaryDirectory() as folder:
        table.to_csv(Path(folder) / "trials.csv", index=False)
        sd.fit(model, sd.read_trials(table), seed=1, progress=False).save(Path(folder) / "fit.nc")
        found = {
            "python_s": seconds(runs, "-c", ""),
            "import_s": seconds(runs, "-c", "import stimdose"),
            "help_s": seconds(runs, "-m", "stimdose", "--help"),
            "help_of_fit_s": seconds(runs, "-m", "stimdose", "fit", "--help"),
            "read_trials_s": seconds(runs, "-c", READ, folder),
            "load_and_plot_s": seconds(runs, "-c", LOAD_AND_PLOT, folder),
        }
    show({"benchmark": "start_up", "runs": runs, "rows": len(table)} | found)


if __name__ == "__main__":
    main()
