"""The same model, priors and table in brms and in stimdose, in one run: effective draws per second of refits, and the first fit.

Both sides sample 4 chains of 1000 + 1000 draws, two at a time, and fit by turns, so that a slow hour of the machine hits both. ESS is
the smallest bulk ESS over the same nine quantities (`ESTIMANDS`), by the same function of ArviZ. A fit that ends with R-hat above 1.01
for any of them counts as zero. Seconds are those of the whole call: `update(recompile = FALSE)` in R; here `fit`, and beside it
`Fit.refit`, which draws as many after a shorter tuning. A first fit counts from the start of its process to its end, with library
imports, and on the side of brms with the compiler; here with the numba cache warm. The nine posteriors are compared over all seeds: if
they disagree, the rest means nothing.

Progress goes to standard error and one JSON line to standard output. Where R, brms or a compiler is missing, it says what ("skipped").
Usage: python benchmarks/vs_brms.py [--studies 30] [--seeds 20] [--smoke]
Debian: apt-get install r-cran-brms r-cran-rcppeigen r-cran-bh libboost-dev libeigen3-dev r-base-dev
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import arviz as az
import numpy as np
import nutpie
import pandas as pd
import pymc
from common import ESTIMANDS as OURS
from common import bell_model, machine, read, say
from tables import bell_numbers

import stimdose as sd

CHAINS, DRAWS, CORES = 4, 1000, 2
SETTINGS = {"draws": DRAWS, "tune": DRAWS, "chains": CHAINS, "cores": CORES, "progress": False}
RHAT_MAX = 1.01
ESTIMANDS = (
    "intercept",
    "minutes effect",
    "amplitude",
    "peak",
    "width",
    "sd of phase",
    "sd of site",
    "sd between studies",
    "best frequency",
)
"""What both sides estimate; the best frequency is that within the range of the table, peak that of the bell (both in Hz)."""
PACKAGES = ("brms", "rstan", "Rcpp", "RcppEigen", "BH")
PROBE = "#include <boost/version.hpp>\n#include <Eigen/Dense>\n#include <Rcpp.h>\n"


class Skipped(Exception):
    """What is missing on this machine."""


def first_fit(studies: int) -> sd.Fit:
    numbers = bell_numbers(studies)
    return sd.fit(bell_model(numbers), read(numbers), seed=1, **SETTINGS)


def best_frequency(peak: np.ndarray, numbers: pd.DataFrame) -> np.ndarray:
    """Where a bell of positive amplitude is highest within the range of the table."""
    return np.clip(peak, numbers["freq"].min(), numbers["freq"].max())


def our_draws(fit: sd.Fit, numbers: pd.DataFrame) -> np.ndarray:
    """Draws (estimand, chain, draw)."""
    found = [fit.tree["posterior"][name].to_numpy() for name in OURS]
    return np.stack([*found, best_frequency(found[3], numbers)])


def brms_draws(path: Path, numbers: pd.DataFrame) -> np.ndarray:
    """Draws (estimand, chain, draw) from what brms_bell.R wrote, in the units of the table."""
    intercept, minutes, top, opt, log_width, *spreads = np.fromfile(path).reshape(8, CHAINS, DRAWS)
    log_f = np.log(numbers["freq"].to_numpy())
    peak, width = np.exp(log_f.mean() + log_f.std() * opt), log_f.std() * np.exp(log_width)
    return np.stack([intercept, minutes, top, peak, width, *spreads, best_frequency(peak, numbers)])


def as_dataset(draws: np.ndarray):
    return az.convert_to_dataset(dict(zip(ESTIMANDS, draws, strict=True)))


def record(draws: np.ndarray, seconds: float, divergences: int, **more) -> dict:
    """One refit: its cost and what it gave."""
    data = as_dataset(draws)
    ess, r_hat = az.ess(data, method="bulk"), az.rhat(data)
    ess = min(float(ess[name]) for name in ESTIMANDS)
    r_hat = max(float(r_hat[name]) for name in ESTIMANDS)
    failed = not r_hat <= RHAT_MAX
    return {
        "seconds": seconds,
        "min_ess": ess,
        "max_rhat": r_hat,
        "failed": failed,
        "divergences": divergences,
        "ess_per_s": 0.0 if failed else ess / seconds,
    } | more


def summed(records: list[dict]) -> dict:
    """A side over its seeds."""
    of = lambda name: np.array([one[name] for one in records], float)
    found = {
        "min_ess_median": round(np.median(of("min_ess"))),
        "min_ess_lowest": round(of("min_ess").min()),
        "refit_s_median": round(np.median(of("seconds")), 3),
        "refit_s_mean": round(of("seconds").mean(), 3),
        "ess_per_s_median": round(np.median(of("ess_per_s")), 2),
        "ess_per_s_mean": round(of("ess_per_s").mean(), 2),
        "failures": int(of("failed").sum()),
        "max_rhat": round(of("max_rhat").max(), 4),
        "divergences": [int(one["divergences"]) for one in records],
    }
    if "chain_s" in records[0]:
        found["chains_only_s_median"] = round(np.median(of("chain_s")), 3)
    return found


def agreement(ours: np.ndarray, theirs: np.ndarray) -> pd.DataFrame:
    """Mean and sd of every estimand on both sides (estimand, chain, draw), with z, differences over their Monte Carlo error."""
    rows = {}
    for k, name in enumerate(ESTIMANDS):
        row = {}
        for statistic, of in (("mean", np.mean), ("sd", np.std)):
            values = [float(of(draws[k])) for draws in (ours, theirs)]
            errors = [float(az.mcse(draws[k], method=statistic)) for draws in (ours, theirs)]
            row |= {f"{statistic}_stimdose": values[0], f"{statistic}_brms": values[1]}
            row[f"z_{statistic}"] = (values[0] - values[1]) / np.hypot(*errors)
        rows[name] = row
    return pd.DataFrame(rows).T


def r_environment(scratch: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Environment in which rstan compiles, made in the scratch folder only, and versions of R and its packages.

    Some distributions strip headers from the R packages that rstan compiles with: those of the system stand in.
    Raises Skipped with what is missing.
    """
    if shutil.which("Rscript") is None:
        raise Skipped("Rscript is not installed")
    code = (
        'cat("R", R.home("bin"), as.character(getRversion()), "\\n", sep = "\\t"); '
        f"for (p in c({', '.join(map(repr, PACKAGES))})) if (nzchar(system.file(package = p))) "
        'cat(p, system.file("include", package = p), as.character(packageVersion(p)), "\\n", sep = "\\t")'
    )
    answer = subprocess.run(["Rscript", "-e", code], capture_output=True, text=True)
    found = {name: rest for name, *rest in (line.split("\t") for line in answer.stdout.splitlines() if "\t" in line)}
    absent = [name for name in ("R", *PACKAGES) if name not in found]
    if absent:
        raise Skipped(f"R lacks {', '.join(absent)}")
    boost, eigen, rcpp = (Path(found[name][0] or "/nowhere") for name in ("BH", "RcppEigen", "Rcpp"))
    if not (boost / "boost/version.hpp").exists():
        boost = Path("/usr/include")
    flags = "-O3 -w"
    if not (eigen / "Eigen/src/Core").exists():
        stripped, eigen = eigen, scratch / "eigen"
        shutil.copytree(stripped, eigen) if stripped.exists() else eigen.mkdir()
        shutil.copytree("/usr/include/eigen3", eigen, dirs_exist_ok=True) if Path("/usr/include/eigen3").exists() else None
        cholmod = eigen / "Eigen/CholmodSupport"
        if cholmod.exists():  # of a library that is not there
            kept = [line for line in cholmod.read_text().splitlines() if "<cholmod.h>" not in line]
            cholmod.write_text("\n".join(kept))
        flags += f" -I{eigen}"
    makevars = scratch / "Makevars"
    makevars.write_text("".join(f"CXX{standard}FLAGS = {flags}\n" for standard in ("", "11", "14", "17")))
    environment = os.environ | {"R_MAKEVARS_USER": str(makevars), "BOOST_DIR": str(boost), "EIGEN_DIR": str(eigen)}
    (scratch / "probe.cpp").write_text(PROBE)
    compiled = subprocess.run(
        [str(Path(found["R"][0]) / "R"), "CMD", "SHLIB", "probe.cpp"],
        cwd=scratch,
        env=environment | {"PKG_CPPFLAGS": " ".join(f"-I{folder}" for folder in (rcpp, boost, eigen))},
        capture_output=True,
        text=True,
    )
    if compiled.returncode:
        lines = (compiled.stderr + compiled.stdout).strip().splitlines()
        reason = next(
            (line for line in lines if "error" in line.lower() or "not found" in line), lines[-1] if lines else "no reason"
        )
        raise Skipped(f"no working compiler for R packages with Boost and Eigen: {reason}")
    return environment, {name: found[name][1] for name in ("R", "brms", "rstan")}


class Brms:
    """brms_bell.R in a process of its own, which keeps the compiled model between refits."""

    def __init__(self, numbers: pd.DataFrame, scratch: Path, environment: dict):
        numbers.to_csv(scratch / "table.csv", index=False)
        self.numbers, self.path, self.log = numbers, scratch / "draws", scratch / "stderr.txt"
        script = Path(__file__).with_name("brms_bell.R")
        started = time.perf_counter()
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                ["Rscript", str(script), str(scratch / "table.csv"), str(self.path), str(CORES), "1"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment,
            )
        self.compile_and_sample_s = self._answer()[0]
        self.first_fit_s = time.perf_counter() - started

    def __enter__(self) -> "Brms":
        return self

    def __exit__(self, *_) -> None:
        self.process.stdin.close()  # the script ends with its input
        self.process.wait(timeout=60)
        self.process.stdout.close()

    def refit(self, seed: int) -> tuple[np.ndarray, dict]:
        """Draws, and the record of the refit."""
        print(seed, file=self.process.stdin, flush=True)
        seconds, divergences, chain_s = self._answer()
        draws = brms_draws(self.path, self.numbers)
        return draws, record(draws, seconds, int(divergences), chain_s=chain_s / CORES)

    def _answer(self) -> list[float]:
        for line in self.process.stdout:
            if line.startswith("RESULT "):
                return [float(word) for word in line.split()[1:]]
        raise RuntimeError(f"brms_bell.R ended early:\n{self.log.read_text()[-2000:]}")


def our_fit(again: Callable[[], sd.Fit], numbers: pd.DataFrame) -> tuple[np.ndarray, dict]:
    """Draws, and the record of a fit."""
    started = time.perf_counter()
    again = again()
    seconds = time.perf_counter() - started
    draws = our_draws(again, numbers)
    return draws, record(draws, seconds, again.diagnosis.divergences)


def our_first_fit_s(studies: int) -> float:
    """Seconds of a first fit in a new process, from its start to the end of the fit."""
    started = time.perf_counter()
    command = [sys.executable, __file__, "--first-fit", "--studies", str(studies)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline()
        seconds = time.perf_counter() - started
    if line.strip() != "fitted":
        raise RuntimeError("the first fit of stimdose failed")
    return seconds


def ratio(ours: float, theirs: float) -> float | None:
    return round(ours / theirs, 2) if theirs else None


def run(studies: int, seeds: int) -> dict:
    numbers = bell_numbers(studies)
    before = machine()
    with tempfile.TemporaryDirectory(prefix="vs-brms-", ignore_cleanup_errors=True) as folder:
        environment, versions = r_environment(Path(folder))
        our_first_fit_s(studies)  # fills the numba cache
        our_cold = our_first_fit_s(studies)
        say(f"stimdose, first fit: {our_cold:.1f} s")
        with Brms(numbers, Path(folder), environment) as brms:
            say(f"brms, first fit: {brms.first_fit_s:.1f} s")
            fit = first_fit(studies)
            sides = {
                "stimdose": lambda seed: our_fit(lambda: sd.fit(fit.model, fit.trials, seed=seed, **SETTINGS), numbers),
                "stimdose refit": lambda seed: our_fit(lambda: fit.refit(seed=seed, draws=DRAWS, cores=CORES), numbers),
                "brms": brms.refit,
            }
            draws, records = {name: [] for name in sides}, {name: [] for name in sides}
            for k in range(seeds):
                for name in list(sides)[:: -1 if k % 2 else 1]:  # by turns, and each first by turns
                    found, one = sides[name](1001 + k)
                    draws[name].append(found)
                    records[name].append(one)
                    say(f"seed {k + 1} of {seeds}, {name}:", {key: round(float(value), 3) for key, value in one.items()})
    compared = agreement(*(np.concatenate(draws[name], axis=1) for name in ("stimdose", "brms")))
    say(compared.round(3).to_string())
    ours, theirs = (summed(records[name]) for name in ("stimdose", "brms"))
    ours |= {"first_fit_s": round(our_cold, 2)}
    refits = summed(records["stimdose refit"])
    theirs |= {"first_fit_s": round(brms.first_fit_s, 2), "of_it_compile_and_sample_s": round(brms.compile_and_sample_s, 2)}
    return {
        "rows": len(numbers),
        "stimdose": ours,
        "stimdose_refit": refits,
        "brms": theirs,
        "ratio": {
            "refit_ess_per_s_median": ratio(refits["ess_per_s_median"], theirs["ess_per_s_median"]),
            "refit_ess_per_s_mean": ratio(refits["ess_per_s_mean"], theirs["ess_per_s_mean"]),
            "ess_per_s_median": ratio(ours["ess_per_s_median"], theirs["ess_per_s_median"]),
            "ess_per_s_mean": ratio(ours["ess_per_s_mean"], theirs["ess_per_s_mean"]),
            "first_fit_s": ratio(theirs["first_fit_s"], ours["first_fit_s"]),
        },
        "posteriors": {
            "largest_z_mean": round(float(compared["z_mean"].abs().max()), 2),
            "largest_z_sd": round(float(compared["z_sd"].abs().max()), 2),
            **{name: [round(value, 4) for value in row] for name, row in zip(compared.index, compared.to_numpy(), strict=True)},
            "columns": list(compared.columns),
        },
        "machine": before,
        "versions": versions
        | {
            "python": platform.python_version(),
            "stimdose": sd.__version__,
            "pymc": pymc.__version__,
            "nutpie": nutpie.__version__,
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=30, help="studies of the table, one to three rows each (default: 30)")
    parser.add_argument("--seeds", type=int, default=20, help="refits of either side (default: 20)")
    parser.add_argument("--smoke", action="store_true", help="30 studies, one seed: does it still run?")
    parser.add_argument("--first-fit", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.seeds < 1 or asked.studies < 2:
        parser.error("at least one seed and two studies")
    studies, seeds = (30, 1) if asked.smoke else (asked.studies, asked.seeds)
    warnings.simplefilter("ignore", sd.ConvergenceWarning)  # what fails is counted
    if asked.first_fit:
        first_fit(studies)
        print("fitted", flush=True)
        return
    line = {"benchmark": "vs_brms", "studies": studies, "seeds": seeds, "chains": CHAINS, "draws": DRAWS, "cores": CORES}
    try:
        line |= run(studies, seeds)
    except Skipped as reason:
        say(f"skipped: {reason}")
        line |= {"skipped": str(reason)}
    print(json.dumps(line))


if __name__ == "__main__":
    main()
