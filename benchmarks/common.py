"""What the benchmarks share: the one JSON line, the machine, convergence counted, memory, the model of vs_brms.py."""

import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from tables import trials_table

import stimdose as sd
from stimdose.chains import convergence
from stimdose.diagnosis import ESS_MIN, RHAT_MAX

ESTIMANDS = (
    "intercept session_min_effect frequency_hz_amplitude frequency_hz_peak frequency_hz_width "
    "between_phase between_site between_study"
).split()
"""The parameters of `bell_model` that every implementation of it has."""


def bell_model(numbers: pd.DataFrame) -> sd.Model:
    """The model of brms_bell.R; normal(0, 1) of its standardised log frequency is log-normal in Hz."""
    log_f, half = np.log(numbers["freq"].to_numpy()), sd.Prior("halfnormal", sigma=0.5)
    minutes = numbers["mins"].to_numpy()
    normal = sd.Prior("normal", mu=0.0, sigma=0.5)
    priors = {
        "amplitude": sd.Prior("halfnormal", sigma=1.0),
        "peak": sd.Prior("lognormal", mu=float(log_f.mean()), sigma=float(log_f.std())),
        "width": sd.Prior("lognormal", mu=float(np.log(log_f.std())), sigma=0.5),
    }
    return sd.Model(
        name="bell of brms",
        intercept=sd.Intercept(prior=normal),
        dose=[sd.Dose(column="frequency_hz", shape="bell", by_study=False, priors=priors)],
        moderator=[
            sd.Moderator(column="session_min", prior=normal, center=float(minutes.mean()), per=float(minutes.std())),
            sd.Moderator(column="phase", spread=half),
            sd.Moderator(column="site", spread=half),
        ],
        between_study=half,
        within_study=False,
    )


def read(numbers: pd.DataFrame) -> sd.Trials:
    """A table of numbers (see `tables`) as trials."""
    return sd.read_trials(trials_table(numbers), direction="higher", measure="SMD", comparator="sham", design="parallel")


def machine() -> dict:
    """Where this ran. load is that of the last minute, this process included."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    cpu = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return {
        "system": f"{platform.machine()}, {platform.system()}",
        "cpu": cpu[0] if cpu else platform.processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
    }


def show(line: dict) -> None:
    """The result of a benchmark: one line of JSON, with the machine."""
    print(json.dumps(line | {"machine": machine()}), flush=True)


def say(*words) -> None:
    print(*words, file=sys.stderr, flush=True)


def timed(function, *arguments, **more) -> tuple:
    """What a call returns, and its seconds."""
    started = time.perf_counter()
    found = function(*arguments, **more)
    return found, time.perf_counter() - started


def peak_mib() -> float:
    """Largest resident memory of this process so far, MiB."""
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20, 1)


def in_new_process(script: str, *arguments) -> tuple[dict, float]:
    """The last line that a script prints, which is JSON, and the seconds from the start of its process to its end."""
    command = [sys.executable, script, *map(str, arguments)]
    found, seconds = timed(subprocess.run, command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(found.stdout.splitlines()[-1]), seconds


def spread_of(values: Iterable[float], digits: int = 3) -> dict:
    values = np.array(list(values), float)
    return {"median": round(float(np.median(values)), digits), "max": round(float(values.max()), digits)}


def smallest_ess(draws: dict) -> tuple[float, float]:
    """The smallest bulk ESS, and the largest R-hat, of some scalars (chain, draw)."""
    found = convergence(np.stack([np.asarray(values, float) for values in draws.values()]))
    return float(found["ess_bulk"].min()), float(found["r_hat"].max())


def passed(table: pd.DataFrame) -> dict[str, bool]:
    """Of the table of a diagnosis: are R-hat, and both effective sample sizes, what a fit asks for?"""
    return {
        "rhat_ok": bool((table["r_hat"] <= RHAT_MAX).all()),
        "ess_ok": bool((table[["ess_bulk", "ess_tail"]].min(axis=1) >= ESS_MIN).all()),
    }


def counted(fits: Iterable[sd.Fit]) -> dict:
    """How many fits pass, over all that their diagnosis looks at and over their best doses only, and what they drew.

    Fits may come one at a time: none is kept.
    """
    records = []
    for fit in fits:
        table = fit.diagnosis.table
        optima = table[table.index.str.startswith("best ")]
        ess = table[["ess_bulk", "ess_tail"]].min(axis=1)
        record = passed(table) | {f"optimum_{name}": value for name, value in passed(optima).items()}
        sampled = fit.tree["posterior"].sizes["chain"] * fit.tree["posterior"].sizes["draw"]
        record |= {"min_ess": ess.min(), "max_rhat": table["r_hat"].max(), "divergences": fit.diagnosis.divergences}
        records.append(record | {"draws": sampled, "failing": fit.diagnosis.failing})
    found = pd.DataFrame(records)
    return {
        "fits": len(found),
        "all_ok": int((found["rhat_ok"] & found["ess_ok"]).sum()),
        "optimum_ok": int((found["optimum_rhat_ok"] & found["optimum_ess_ok"]).sum()),
        "rhat_ok": int(found["rhat_ok"].sum()),
        "ess_ok": int(found["ess_ok"].sum()),
        "min_ess_median": round(float(found["min_ess"].median())),
        "min_ess_lowest": round(float(found["min_ess"].min())),
        "max_rhat": round(float(found["max_rhat"].max()), 4),
        "divergences": int(found["divergences"].sum()),
        "fits_with_divergences": int((found["divergences"] > 0).sum()),
        "fits_by_draws": {str(draws): int(count) for draws, count in found["draws"].value_counts().sort_index().items()},
        "failing": found["failing"].explode().value_counts().head(5).to_dict(),
    }
