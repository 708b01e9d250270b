"""Large tables in people's hands: 10,000 rows from a file to a short fit and its figures; 500 studies with their forest, funnel and check; 40
groups with a curve of their own.

Every part runs in a process of its own and prints its seconds, on the wall and of the processor, and its peak memory, imports included (about
400 MiB). Half of the names are not Latin.

Prints one JSON line. Usage: python benchmarks/scale.py [--part rows|studies|groups] [--figures FOLDER] [--smoke]
"""

import argparse
import json
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from common import in_new_process, peak_mib, show

import stimdose as sd

SIZES = {"rows": 10_000, "studies": 500, "groups": 40}
SMALL = {"rows": 200, "studies": 30, "groups": 6}
NAMES = ("Müller 2019", "李明 2021", "Cafe\u0301 2018", "O’Brien, J. 2020", "אבא 2017", "Иванов 2016", "😀 2022", '"Ada"; 2015')
FIT = {"draws": 250, "tune": 250, "chains": 2, "cores": 2, "progress": False, "seed": 1}


def table(rows: int, studies: int, groups: int = 3) -> pd.DataFrame:
    """Trials with arms, doses that are intervals here and there, and a bell at 10 Hz that is the same in every group."""
    rng = np.random.default_rng(1)
    study = np.arange(rows) * studies // rows
    frequency = rng.choice([1.0, 3, 5, 10, 15, 20, 30, 50], rows)
    se = rng.uniform(0.15, 0.5, rows)
    mean = 0.2 + 0.6 * np.exp(-0.5 * (np.log(frequency / 10) / 0.8) ** 2) + rng.normal(0, 0.2, studies)[study]
    return pd.DataFrame(
        {
            "study": [f"{NAMES[s % len(NAMES)]} ({s})" for s in study],
            "arm": [f"arm {k}" for k in range(rows)],
            "direction": "higher",
            "measure": "SMD",
            "comparator": "sham",
            "design": "parallel",
            "effect": np.round(mean + rng.normal(0, se), 3),
            "se": np.round(se, 3),
            "frequency_hz": frequency,
            "sessions": [("10", "12-15", "≥21", "20")[k % 4] for k in range(rows)],
            "session_min": rng.choice([10, 20, 30], rows),
            "phase": np.array(["acute", "subacute", "chronic"])[study % 3],
            "clinic": [f"Klinik {'αβγδε'[g % 5]}{g:02d}" for g in study % groups],
            "note": "as printed; table 2, p. 5",
        }
    )


class Clock:
    """Seconds of each step."""

    def __init__(self):
        self.steps: dict[str, dict] = {}

    def __call__(self, name: str, function, *arguments, **more):
        wall, own = time.perf_counter(), time.process_time()
        found = function(*arguments, **more)
        seconds, spent = time.perf_counter() - wall, time.process_time() - own
        self.steps[name] = {"s": round(seconds, 2), "cpu_s": round(spent, 2), "peak_mib": peak_mib()}
        return found


def bell(by: str | None = None) -> sd.Model:
    return sd.Model(
        name="bell at scale",
        intercept=sd.Intercept(by="phase"),
        dose=[sd.Dose(column="frequency_hz", shape="bell", by=by, by_study=False)],
    )


def rows(size: int, folder: Path) -> dict:
    from stimdose import figures
    from stimdose.completeness import completeness

    made, clock = table(size, max(size // 4, 2)), Clock()
    made.to_csv(folder / "t.csv", index=False)
    made.to_excel(folder / "t.xlsx", index=False)
    trials = clock("read CSV", sd.read_trials, folder / "t.csv")
    excel = clock("read Excel", sd.read_trials, folder / "t.xlsx")
    np.testing.assert_array_equal(excel.table["effect"], trials.table["effect"])
    clock("audit", lambda: trials.audit().to_csv(folder / "audit.csv"))
    clock("notes", lambda: trials.notes)
    clock("completeness", completeness, trials)
    fit = clock("fit", sd.fit, bell(), trials, **FIT)
    clock("save", fit.save, folder / "fit.nc")
    clock("load", sd.load_fit, folder / "fit.nc")
    best = clock("optimum", sd.optimum, fit, "frequency_hz")
    points = clock("points", sd.points, fit, "frequency_hz")
    axes = clock("plot", figures.dose_response, sd.curve(fit, "frequency_hz"), points=points)
    clock("save plot", figures.save, axes, folder / "curve")
    return {"rows": len(trials), "verdict": str(best.verdict)[:200], "steps": clock.steps}


def studies(size: int, folder: Path) -> dict:
    from stimdose import figures

    clock = Clock()
    trials = clock("read", sd.read_trials, table(2 * size, size))
    fit = clock("fit", sd.fit, bell("phase"), trials, **FIT)
    axes = clock("forest", figures.forest, sd.study_effects(fit))
    clock("save forest", figures.save, axes, folder / "forest", formats=("png",))
    axes = clock("funnel", figures.funnel, sd.residuals(fit))
    clock("save funnel", figures.save, axes, folder / "funnel", formats=("png",))
    check = clock("check", sd.check, fit)
    clock("report", sd.report, fit, folder / "report", priors=None, check=False, ecology=False)
    return {"studies": len(fit.rows.studies), "rows": len(trials), "check": check.verdict[:200], "steps": clock.steps}


def groups(size: int, folder: Path) -> dict:
    from stimdose import figures

    clock = Clock()
    trials = clock("read", sd.read_trials, table(10 * size, 4 * size, size))
    fit = clock("fit", sd.fit, bell("clinic"), trials, **FIT)
    best = clock("optimum", sd.optimum, fit, "frequency_hz", by="clinic")
    curves = clock("curve", sd.curve, fit, "frequency_hz", by="clinic")
    axes = clock("plot", figures.dose_response, curves)
    clock("save plot", figures.save, axes, folder / "curves", formats=("png",))
    return {"groups": len(best.table()), "rows": len(trials), "steps": clock.steps}


PARTS = {"rows": rows, "studies": studies, "groups": groups}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=PARTS, action="append", help="one or more; all if not stated")
    parser.add_argument("--figures", type=Path, help="where figures stay")
    parser.add_argument("--smoke", action="store_true", help="200 rows, 30 studies, 6 groups")
    parser.add_argument("--one", choices=PARTS, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    sizes = SMALL if asked.smoke else SIZES
    if asked.one:
        warnings.simplefilter("ignore", sd.ConvergenceWarning)  # the line of JSON says it
        with tempfile.TemporaryDirectory() as name:
            found = PARTS[asked.one](sizes[asked.one], asked.figures or Path(name))
        print(json.dumps(found))
        return
    more = (["--smoke"] if asked.smoke else []) + (["--figures", asked.figures] if asked.figures else [])
    parts = {}
    for name in asked.part or PARTS:
        found, seconds = in_new_process(str(Path(__file__)), "--one", name, *more)
        parts[name] = found | {"in_all_s": round(seconds, 1)}
    show({"benchmark": "scale", "parts": parts})


if __name__ == "__main__":
    main()
