"""A table of 3,000 studies and 6,044 rows: a fit here and with the prototype (prototype.py), the same data, priors and settings.

Each fits in a process of its own, one after the other, by turns. ESS is the smallest bulk ESS over the six parameters that both sample; the
seconds of sampling are those of nutpie on both sides, and `fit_s` those of the whole `sd.fit`. Peak memory is that of the process
that fits, imports included. Then the seconds of one gradient against the number of rows, with the line through them.

Prints one JSON line. Usage: python benchmarks/large.py [--studies 3000] [--runs 3] [--smoke]
"""

import argparse
import json
import warnings
from pathlib import Path

import numpy as np
from common import bell_model, in_new_process, peak_mib, read, say, show, smallest_ess, timed
from tables import bell_numbers

import stimdose as sd

SETTINGS = {"draws": 1000, "tune": 1000, "chains": 4, "cores": 2, "progress": False}
BOTH = "amplitude peak width between_phase between_site between_study".split()
SIZES = (750, 1500, 3000, 6000, 12000)


def ours(studies: int, seed: int) -> dict:
    """One fit, in this process."""
    from stimdose import nuts

    numbers, sampling_s, plain = bell_numbers(studies), [], nuts.sample

    def watched(*arguments, **more):
        found, seconds = timed(plain, *arguments, **more)
        sampling_s.append(seconds)
        return found

    nuts.sample = watched
    trials, read_s = timed(read, numbers)
    small = bell_numbers(10)
    sd.fit(bell_model(small), read(small), seed=1, **SETTINGS | {"draws": 10, "tune": 10})  # loads the compiled code
    before = peak_mib()
    sampling_s.clear()
    fit, fit_s = timed(sd.fit, bell_model(numbers), trials, seed=seed, **SETTINGS)
    posterior = fit.tree["posterior"]
    draws = {name: posterior[name if name.startswith("between") else f"frequency_hz_{name}"] for name in BOTH}
    ess, r_hat = smallest_ess(draws)
    arrays = {
        f"{group}/{name}": round(v.values.nbytes / 2**20, 1) for group in fit.tree.children for name, v in fit.tree[group].items()
    }
    largest = dict(sorted(arrays.items(), key=lambda item: -item[1])[:4])
    return {
        "rows": len(trials),
        "read_s": round(read_s, 2),
        "sample_s": round(sum(sampling_s), 2),
        "fit_s": round(fit_s, 2),
        "min_ess": round(ess),
        "max_rhat": round(r_hat, 4),
        "ess_per_s": round(ess / sum(sampling_s), 2),
        "ess_per_s_of_fit": round(ess / fit_s, 2),
        "divergences": fit.diagnosis.divergences,
        "steps": int(fit.tree["sample_stats"]["n_steps"].sum()),
        "means": {name: round(float(values.mean()), 3) for name, values in draws.items()},
        "peak_mib": peak_mib(),
        "peak_before_fit_mib": before,
        "tree_mib": round(sum(arrays.values()), 1),
        "largest_mib": largest,
    }


def gradients(sizes: tuple[int, ...], at_least: float) -> dict:
    """Seconds of a gradient by the number of rows, and the least-squares line through them."""
    from gradients import seconds_a_gradient

    rows, seconds = [], []
    for studies in sizes:
        numbers = bell_numbers(studies)
        taken, size = seconds_a_gradient(bell_model(numbers), read(numbers), at_least)
        rows.append(size["rows"])
        seconds.append(taken)
    slope, intercept = np.polyfit(rows, seconds, 1)
    return {
        "rows": rows,
        "gradient_us": [round(1e6 * taken, 2) for taken in seconds],
        "ns_per_row": round(1e9 * slope, 2),
        "at_no_row_us": round(1e6 * intercept, 2),
        "r2": round(float(np.corrcoef(rows, seconds)[0, 1] ** 2), 5),
    }


def median(runs: list[dict], name: str) -> float:
    return round(float(np.median([run[name] for run in runs])), 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=3000)
    parser.add_argument("--runs", type=int, default=3, help="fits of either side, each with its own seed")
    parser.add_argument("--smoke", action="store_true", help="60 studies, one run")
    parser.add_argument("--ours", type=int, metavar="SEED", help=argparse.SUPPRESS)
    parser.add_argument("--theirs", type=int, metavar="SEED", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    studies, runs = (60, 1) if asked.smoke else (asked.studies, asked.runs)
    warnings.simplefilter("ignore", sd.ConvergenceWarning)  # R-hat and ESS are shown
    if asked.ours:
        print(json.dumps(ours(asked.studies, asked.ours)))
        return
    if asked.theirs:
        from prototype import run

        print(json.dumps(run(asked.studies, asked.theirs)))
        return
    found = {"ours": [], "theirs": []}
    for seed in range(1, runs + 1):
        for side in list(found)[:: 1 if seed % 2 else -1]:
            one = in_new_process(str(Path(__file__)), f"--{side}", seed, "--studies", studies)[0]
            found[side].append(one)
            say(side, {name: one[name] for name in ("sample_s", "min_ess", "ess_per_s", "peak_mib")})
    names = ("sample_s", "min_ess", "ess_per_s", "peak_mib")
    medians = {side: {name: median(of, name) for name in names} for side, of in found.items()}
    medians["ours"] |= {name: median(found["ours"], name) for name in ("fit_s", "ess_per_s_of_fit")}
    show(
        {
            "benchmark": "large",
            "studies": studies,
            "rows": found["ours"][0]["rows"],
            "stimdose": medians["ours"],
            "prototype": medians["theirs"],
            "ratio_ess_per_s": round(medians["ours"]["ess_per_s"] / medians["theirs"]["ess_per_s"], 2),
            "ratio_ess_per_s_of_fit": round(medians["ours"]["ess_per_s_of_fit"] / medians["theirs"]["ess_per_s"], 2),
            "gradient": gradients((60, 120, 240) if asked.smoke else SIZES, 0.02 if asked.smoke else 0.5),
            "runs": found,
        }
    )


if __name__ == "__main__":
    main()
