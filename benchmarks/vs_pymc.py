"""The bell model of vs_brms.py written plainly in PyMC, and here: effective draws per second, and the first fit.

The PyMC side is what a competent user writes: everything explicit, group and study effects non-centred, sampled by nutpie with the same
settings (4 x (1000 + 1000), target 0.9). "Warm" is sampling of a model that is compiled, with another seed each run; here it is the whole of
`Fit.refit` with as many draws and as long a tuning. "Cold" counts from the definition of the model to its first fit, in a process that has
imported everything; the numba cache of stimdose is warm, and PyMC compiles each model, as it does in every new process. ESS is the smallest
bulk ESS over the same eight parameters.

Prints one JSON line. Usage: python benchmarks/vs_pymc.py [--studies 30 300] [--runs 5] [--smoke]
"""

import argparse
import warnings

import numpy as np
import nutpie
import pandas as pd
import pymc as pm
from common import ESTIMANDS, bell_model, read, say, show, smallest_ess, timed
from tables import PHASES, SITES, bell_numbers

import stimdose as sd

SETTINGS = {"draws": 1000, "tune": 1000, "chains": 4, "cores": 2, "target_accept": 0.9}
WARM_UP = {"draws": 10, "tune": 10, "chains": 4, "cores": 2}


def plain_model(numbers: pd.DataFrame) -> pm.Model:
    log_f = np.log(numbers["freq"].to_numpy())
    coords = {"phase": PHASES, "site": SITES, "study": numbers["study"].unique()}
    with pm.Model(coords=coords) as model:
        intercept = pm.Normal("intercept", 0, 0.5)
        minutes = pm.Normal("session_min_effect", 0, 0.5)
        amplitude = pm.HalfNormal("frequency_hz_amplitude", 1)
        peak = pm.LogNormal("frequency_hz_peak", log_f.mean(), log_f.std())
        width = pm.LogNormal("frequency_hz_width", np.log(log_f.std()), 0.5)
        mean = intercept + minutes * numbers["zm"].to_numpy()
        mean += amplitude * pm.math.exp(-0.5 * ((log_f - pm.math.log(peak)) / width) ** 2)
        for name in coords:
            spread = pm.HalfNormal(f"between_{name}", 0.5)
            z = pm.Normal(f"{name}_z", 0, 1, dims=name)
            mean += spread * z[numbers[name].to_numpy()]
        pm.Normal("effect", mean, numbers["se"].to_numpy(), observed=numbers["y"].to_numpy())
    return model


def record(posterior, seconds: float, divergences: int) -> dict:
    ess, r_hat = smallest_ess({name: posterior[name] for name in ESTIMANDS})
    means = {name: float(posterior[name].mean()) for name in ESTIMANDS}
    return {"seconds": seconds, "ess": ess, "r_hat": r_hat, "divergences": divergences, "means": means}


def summed(records: list[dict], cold_s: float) -> dict:
    of = lambda name: np.array([one[name] for one in records], float)
    return {
        "cold_s": round(cold_s, 2),
        "warm_s": round(float(np.median(of("seconds"))), 3),
        "min_ess": round(float(np.median(of("ess")))),
        "max_rhat": round(float(of("r_hat").max()), 4),
        "divergences": int(of("divergences").sum()),
        "ess_per_s": round(float(np.median(of("ess") / of("seconds"))), 2),
        "means": {name: round(float(np.mean([one["means"][name] for one in records])), 3) for name in ESTIMANDS},
    }


def pymc_run(compiled, seed: int) -> dict:
    tree, seconds = timed(nutpie.sample, compiled, seed=seed, progress_bar=False, **SETTINGS)
    return record(tree["posterior"], seconds, int(tree["sample_stats"]["diverging"].sum()))


def our_run(fit: sd.Fit, seed: int) -> dict:
    again, seconds = timed(fit.refit, seed=seed, most_draws=0, **SETTINGS)
    return record(again.tree["posterior"], seconds, again.diagnosis.divergences)


def compare(studies: int, runs: int) -> dict:
    numbers = bell_numbers(studies)
    fit, our_cold = timed(lambda: sd.fit(bell_model(numbers), read(numbers), seed=1, progress=False, **SETTINGS))
    compiled, compile_s = timed(lambda: nutpie.compile_pymc_model(plain_model(numbers)))
    _, first_s = timed(pymc_run, compiled, 1)
    sides = {"stimdose": lambda seed: our_run(fit, seed), "pymc": lambda seed: pymc_run(compiled, seed)}
    records = {name: [] for name in sides}
    for k in range(runs):
        for name in list(sides)[:: -1 if k % 2 else 1]:  # by turns, so that a slow hour of the machine hits both
            records[name].append(sides[name](1001 + k))
            say(studies, name, {key: value for key, value in records[name][-1].items() if key != "means"})
    ours, theirs = summed(records["stimdose"], our_cold), summed(records["pymc"], compile_s + first_s)
    ratio = {
        "ess_per_s": round(ours["ess_per_s"] / theirs["ess_per_s"], 2),
        "cold_s": round(theirs["cold_s"] / ours["cold_s"], 2),
    }
    return {"rows": len(numbers), "stimdose": ours, "pymc": theirs | {"compile_s": round(compile_s, 2)}, "ratio": ratio}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, nargs="+", default=[30, 300])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--smoke", action="store_true", help="30 studies, one run")
    asked = parser.parse_args()
    sizes, runs = ([30], 1) if asked.smoke else (asked.studies, asked.runs)
    warnings.simplefilter("ignore", sd.ConvergenceWarning)  # R-hat is shown
    small = bell_numbers(10)
    sd.fit(bell_model(small), read(small), seed=1, progress=False, **WARM_UP)  # loads the compiled code
    found = {f"studies_{studies}": compare(studies, runs) for studies in sizes}
    show({"benchmark": "vs_pymc", "runs": runs} | {k: v for k, v in SETTINGS.items() if k != "cores"} | found)


if __name__ == "__main__":
    main()
