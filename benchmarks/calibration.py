"""Simulation-based calibration of the shipped models, each on the design of a table it is meant for.

Prints one JSON line for each model; docs/calibration.md says what it means. Usage: python benchmarks/calibration.py [MODEL ...]
[--simulations 200] [--workers 0] [--folder FOLDER] [--figures FOLDER] [--smoke]
"""

import argparse
import time
from contextlib import nullcontext
from pathlib import Path

import pandas as pd
from common import say, show

import stimdose as sd


def by_hemisphere() -> sd.Trials:
    """The synthetic trials, every other study over the affected hemisphere."""
    table = pd.read_csv(sd.dataset_path("synthetic_rpms_dose_finding"))
    number = pd.factorize(table["study"])[0]
    return sd.read_trials(table.assign(hemisphere=pd.Series(["affected", "unaffected"])[number % 2].to_numpy()))


def of_rpms_upper_limb() -> sd.Trials:
    """The synthetic trials of two outcomes, doses missing as there; doses printed as a range, and pulses, which bound other doses, are
    empty too: truths of doses that are bounded by the table cannot be drawn exactly."""
    table = pd.read_csv(sd.dataset_path("synthetic_rpms_upper_limb"), dtype=str).drop(columns="pulses_per_session")
    for dose in ("session_min", "intensity_percent_mso", "treatment_days"):
        table[dose] = table[dose].where(table[dose].str.fullmatch(r"[\d.]+", na=False))
    return sd.read_trials(table)


def in_standard_deviations() -> sd.Trials:
    """The synthetic trials of three outcomes, in typical standard deviations of each."""
    trials = sd.load_dataset("synthetic_rtms_spasticity")
    return trials.in_units({"FMA-UE": 10, "MAS": 0.8, "MBI": 20}, called="typical SDs")


def with_a_frequency() -> sd.Trials:
    """Motor function in the synthetic trials, theta burst at 5 Hz; a combination of 1 and 10 Hz has no one frequency."""
    trials = sd.load_dataset("synthetic_rtms_spasticity")
    return trials.subset(outcome="FMA-UE", protocol_class=["low", "high", "iTBS", "cTBS"])


def over_time() -> sd.Trials:
    """The rows of the pain table that print means, at the days behind its labels, as on the page on pain."""
    table = pd.read_csv(sd.dataset_path("rtms_pain"))
    days = {"PHN1 (presumably end of treatment)": 14, "PHN3 (presumably 1 month)": 44, "PHN4 (presumably 3 months)": 104}
    days |= {"CANCER (dataset label)": 14, "DIABETIC (dataset label)": 14}
    table["followup_days"] = table["followup_days"].fillna(table["timepoint"].map(days))
    table = table[(table["mean_active"].notna() | table["effect"].notna()) & table["followup_days"].notna()]
    stated = {"measure": "SMD", "design": "parallel", "comparator": "sham", "outcome_correlation": 0.7, "time_correlation": 0.6}
    return sd.read_trials(table, **stated)


DESIGNS = {
    "pooled": lambda: sd.load_dataset("synthetic_rpms_dose_finding"),
    "sessions-by-phase": lambda: sd.load_dataset("rtms_upper_limb_strata").subset(stratified_by="sessions"),
    "frequency-bell": lambda: sd.load_dataset("synthetic_rpms_dose_finding"),
    "frequency-by-hemisphere": by_hemisphere,
    "hours-by-phase": lambda: sd.load_dataset("stroke_therapy_hours"),
    "rtms-spasticity": in_standard_deviations,
    "stimulation": lambda: sd.load_dataset("synthetic_rpms_dose_finding"),
    "rpms-upper-limb": of_rpms_upper_limb,
    "theta-burst": with_a_frequency,
    "cp-spasticity": lambda: sd.load_dataset("synthetic_cp_spasticity"),
    "cp-spasticity-ordinal": lambda: sd.load_dataset("synthetic_cp_spasticity").subset(design="participant"),
    "pain-over-time": over_time,
}
"""The table of each shipped model."""
IMPUTED = ("rpms-upper-limb", "pain-over-time")
"""Those whose tables lack doses."""


def summary(found: sd.Calibration) -> dict:
    table = found.table
    line = {"studies": int(found.trials.table["study"].nunique()), "rows": len(found.trials), "quantities": len(table)}
    line |= {"simulations": found.ranks.sizes["simulation"], "verdict": found.verdict}
    line |= {"smallest_p": round(float(table["p_adjusted"].min()), 4), "of": table["p"].idxmin()}
    line |= {
        "p_log_likelihood": round(float(table.loc["log-likelihood", "p"]), 4),
        "outside_95_band": int(table["outside"].sum()),
    }
    line |= {f"coverage_{prob}": table[f"coverage_{prob}"].agg(["min", "mean", "max"]).round(3).tolist() for prob in (50, 95)}
    return line | {"failed": found.failed, "divergences": int(found.ranks["divergences"].sum())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"of {', '.join(DESIGNS)}")
    parser.add_argument("--simulations", type=int, default=200)
    parser.add_argument("--workers", type=int, default=0, help="processes; by default this one")
    parser.add_argument("--folder", type=Path, help="keeps every simulation that is done")
    parser.add_argument("--figures", type=Path, help="folder for a figure of each")
    parser.add_argument("--smoke", action="store_true", help="10 simulations of the two quickest")
    asked = parser.parse_args()
    names = asked.models or (["pooled", "sessions-by-phase"] if asked.smoke else list(DESIGNS))
    with sd.batches.pool(asked.workers) if asked.workers else nullcontext() as executor:
        for name in names:
            started, simulations = time.perf_counter(), 10 if asked.smoke else asked.simulations
            how = {"simulations": simulations, "folder": asked.folder, "executor": executor, "seed": 1}
            how |= {"missing": "impute"} if name in IMPUTED else {}
            found = sd.calibrate(sd.load_model(name), DESIGNS[name](), **how)
            seconds = time.perf_counter() - started
            say(f"{name}\n{found.table.round(3).to_string()}\n{found.explanation}")
            if asked.figures:
                sd.figures.save(sd.figures.calibration(found), asked.figures / f"calibration-{name}", formats="png")
            show({"benchmark": "calibration", "model": name} | summary(found) | {"seconds": round(seconds, 1)})


if __name__ == "__main__":
    main()
