"""100,000 rows, such as participants within 200 sites, one effect each with a known variance: does it run, and in what memory?

A gradient, a short fit (4 x (200 + 200)) and the peak memory of its process, each at 25,000, 50,000 and 100,000 rows of 200 studies.
The memory that a row takes is the slope of a line through the peaks.

Prints one JSON line. Usage: python benchmarks/rows.py [--rows 25000 50000 100000] [--smoke]
"""

import argparse
import json
import warnings
from pathlib import Path

import numpy as np
from common import bell_model, in_new_process, peak_mib, read, say, show, timed
from tables import bell_numbers

import stimdose as sd

STUDIES = 200
SETTINGS = {"draws": 200, "tune": 200, "chains": 4, "progress": False}


def one(rows: int) -> dict:
    """In this process."""
    from gradients import seconds_a_gradient

    numbers = bell_numbers(STUDIES, rows=rows)
    trials, read_s = timed(read, numbers)
    gradient_s, _ = seconds_a_gradient(bell_model(numbers), trials, repeats=3)
    before = peak_mib()
    fit, fit_s = timed(sd.fit, bell_model(numbers), trials, seed=1, **SETTINGS)
    arrays = {
        f"{group}/{name}": round(v.values.nbytes / 2**20, 1) for group in fit.tree.children for name, v in fit.tree[group].items()
    }
    return {
        "rows": rows,
        "read_s": round(read_s, 2),
        "gradient_ms": round(1e3 * gradient_s, 3),
        "rows_per_s": round(rows / gradient_s),
        "fit_s": round(fit_s, 2),
        "steps": int(fit.tree["sample_stats"]["n_steps"].sum()),
        "max_rhat": round(float(fit.diagnosis.table["r_hat"].max()), 3),
        "divergences": fit.diagnosis.divergences,
        "peak_before_fit_mib": before,
        "peak_mib": peak_mib(),
        "tree_mib": round(sum(arrays.values()), 1),
        "largest_mib": dict(sorted(arrays.items(), key=lambda item: -item[1])[:3]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[25_000, 50_000, 100_000])
    parser.add_argument("--smoke", action="store_true", help="400 and 800 rows")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    warnings.simplefilter("ignore", sd.ConvergenceWarning)  # the fit is short
    if asked.one:
        print(json.dumps(one(asked.one)))
        return
    found = []
    for rows in [400, 800] if asked.smoke else asked.rows:
        found.append(in_new_process(str(Path(__file__)), "--one", rows)[0])
        say(found[-1])
    rows, peaks = ([size[name] for size in found] for name in ("rows", "peak_mib"))
    slope, intercept = np.polyfit(rows, peaks, 1) if len(rows) > 1 else (np.nan, np.nan)
    memory = {"kib_per_row": round(1024 * slope, 2), "at_no_row_mib": round(intercept, 1)}
    if len(rows) > 1:
        memory["r2"] = round(float(np.corrcoef(rows, peaks)[0, 1] ** 2), 4)
    show({"benchmark": "rows", "studies": STUDIES, "sizes": found, "memory": memory})


if __name__ == "__main__":
    main()
