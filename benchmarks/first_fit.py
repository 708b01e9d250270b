"""Seconds for a first fit in this process (compilation and sampling), and ESS per second of sampling, on a generated table.

Prints one JSON line. Usage: python benchmarks/first_fit.py [STUDIES]
"""

import json
import platform
import sys
import time

import numpy as np
import pandas as pd

import stimdose as sd


def generated_table(studies: int, seed: int = 1) -> pd.DataFrame:
    """A bell in frequency and a shift by phase: one to three rows a study."""
    rng = np.random.default_rng(seed)
    study = np.repeat(np.arange(studies), rng.integers(1, 4, studies))
    n = len(study)
    frequency, minutes = rng.choice([1, 3, 5, 10, 15, 20, 25, 50], n), rng.choice([5, 10, 15, 20, 30, 40], n)
    phase, se = rng.choice(["acute", "subacute", "chronic"], n), rng.uniform(0.15, 0.5, n)
    mean = 0.6 * np.exp(-0.5 * (np.log(frequency / 10) / 0.8) ** 2) + 0.2 * (phase == "subacute")
    effect = mean + rng.normal(0, 0.25, studies)[study] + rng.normal(0, se)
    return pd.DataFrame(
        {
            "study": [f"Study {s}" for s in study],
            "arm": [str(k) for k in range(n)],
            "effect": effect,
            "se": se,
            "frequency_hz": frequency,
            "session_min": minutes,
            "pulses_per_session": frequency * minutes * 12,
            "phase": phase,
            "site": rng.choice(["nerve", "muscle"], n),
        }
    )


def main() -> None:
    studies = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    trials = sd.read_trials(generated_table(studies), direction="higher", measure="SMD", comparator="sham", design="parallel")
    model = sd.load_model("stimulation")
    started = time.perf_counter()
    fit = sd.fit(model, trials, seed=1)
    seconds = time.perf_counter() - started
    ess = float(fit.diagnosis.table[["ess_bulk", "ess_tail"]].min(axis=1).min())
    print(
        json.dumps(
            {
                "benchmark": "first_fit",
                "model": model.name,
                "studies": studies,
                "rows": len(trials),
                "seconds": round(seconds, 2),
                "min_ess": round(ess),
                "max_rhat": round(float(fit.diagnosis.table["r_hat"].max()), 4),
                "divergences": fit.diagnosis.divergences,
                "python": platform.python_version(),
                "machine": f"{platform.machine()}, {platform.system()}",
            }
        )
    )


if __name__ == "__main__":
    main()
