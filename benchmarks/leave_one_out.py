"""Leave one study out: hours-by-phase on stroke_therapy_hours, 137 studies, by importance sampling and by exact refits, two processes.

importance_s: what `sd.leave_one_study_out` takes without refits. refits_s: exact refits without each study and their predictive densities;
it includes the start of the pool and the writing of every fit, not the first fit. largest_miss: of the elpd of a study with Pareto k up to
0.7 from that of its refit, in nats.

Prints one JSON line. Usage: python benchmarks/leave_one_out.py [--studies 137] [--smoke]
"""

import argparse
import tempfile
import warnings

from common import counted, show, timed

import stimdose as sd
from stimdose.leave_one_out import PARETO_K_MAX

WORKERS = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, help="only the first of them")
    parser.add_argument("--smoke", action="store_true", help="eight studies")
    asked = parser.parse_args()
    warnings.simplefilter("ignore", sd.ConvergenceWarning)  # what fails is counted
    trials = sd.load_dataset("stroke_therapy_hours")
    size = 8 if asked.smoke else asked.studies
    trials = trials.subset(study=list(trials.table["study"].unique()[:size])) if size else trials
    fit, fit_s = timed(sd.fit, sd.load_model("hours-by-phase"), trials, seed=1, progress=False)
    timed(sd.leave_one_study_out, fit, exact=False)  # what is loaded once
    sampled, importance_s = timed(sd.leave_one_study_out, fit, exact=False)
    with tempfile.TemporaryDirectory(prefix="leave-one-out-") as folder, sd.batches.pool(WORKERS) as executor:
        exact, refits_s = timed(sd.leave_one_study_out, fit, exact=True, folder=folder, executor=executor)
        found = counted(exact.refits.values())
    reliable = sampled.table["pareto_k"] <= PARETO_K_MAX
    studies = len(sampled.table)
    show(
        {
            "benchmark": "leave_one_out",
            "model": fit.model.name,
            "rows": len(fit.trials),
            "studies": studies,
            "workers": WORKERS,
            "first_fit_s": round(fit_s, 2),
            "importance_s": round(importance_s, 2),
            "unreliable": len(sampled.unreliable),
            "refits_s": round(refits_s, 1),
            "refits_s_each": round(refits_s * WORKERS / studies, 3),
            "elpd": [round(sampled.elpd, 2), round(exact.elpd, 2)],
            "largest_miss": round(float((sampled.table["elpd"] - exact.table["elpd"])[reliable].abs().max()), 3),
        }
        | found
    )


if __name__ == "__main__":
    main()
