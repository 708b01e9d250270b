"""Writes trials.csv beside itself: invented trials of rTMS and theta burst for spasticity after stroke, from the truth stated here.

Run `python generate.py`; the same seed gives the same file, byte for byte.
"""

from math import sqrt
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import t as student_t

SEED = 20260302

# The truth, as benefit in points of each scale
OUTCOMES = ("MAS", "FMA-UE", "MBI")
LEVEL = {
    "low": (0.18, 1.8, 5.5),
    "high": (0.12, 2.0, 6.0),
    "combined": (0.65, 2.4, 8.0),
    "iTBS": (0.18, 1.8, 5.5),
    "cTBS": (0.12, 1.2, 4.0),
}  # at PULSES_REFERENCE pulses a session
SLOPE = (0.05, 2.46, 2.0)  # for every 1000 pulses a session
PULSES_REFERENCE = 1000
BETWEEN_STUDY_SD = (0.25, 1.5, 4.0)
BETWEEN_STUDY_CORRELATION = ((1.0, 0.5, 0.3), (0.5, 1.0, 0.6), (0.3, 0.6, 1.0))
WITHIN_STUDY_SD = (0.05, 0.3, 0.8)
PEOPLE_CORRELATION = 0.4  # of any two scores of one person, both as benefit

# The trials
CLASSES = (
    *((("low",),) * 15 + (("high",),) * 11 + (("combined",),) * 6 + (("iTBS",),) * 8 + (("cTBS",),) * 4),
    *((("low", "high"),) * 2 + (("high", "iTBS"),) * 2 + (("low", "combined"), ("low", "cTBS"))),
)
MEASURED = (
    *(((0, 1, 2),) * 14 + ((0, 1),) * 16 + ((0, 2),) * 2 + ((1, 2),) * 5),
    *(((0,),) * 8 + ((1,),) * 5),
)
PHASES = ("subacute",) * 28 + ("chronic",) * 22
HEMISPHERE = {"low": "unaffected", "high": "affected", "combined": "both", "iTBS": "affected", "cTBS": "unaffected"}
HIGH_OVER_UNAFFECTED = 0.2  # share of the arms at high frequency
LOW_PULSES = (600, 900, 1200, 1500, 1800)
HIGH_PULSES = (800, 1000, 1200, 1500, 2000)
COMBINED_PULSES = (600, 800, 1000, 1200)  # each side
HIGH_HZ = (5, 10, 20)
PULSES_PER_TRAIN, INTERTRAIN_S = 50, 25
TBS_PULSES = (600, 1200)
SESSIONS = (5, 10, 15, 20)
N_BOUNDS = (10, 40)
CONTROL_MEAN = ((1.8, 2.6), (22.0, 38.0), (50.0, 70.0))
OUTCOME_SD = ((0.6, 0.9), (10.5, 13.5), (18.0, 22.0))
DIRECTION = {"MAS": "lower", "FMA-UE": "higher", "MBI": "higher"}

# What the papers print
FORMS = (("arms", 0.5), ("interval", 0.8), ("se", 1.0))  # cumulative shares
DIGITS = {"MAS": 2, "FMA-UE": 1, "MBI": 1}

COLUMNS = (
    "study arm outcome direction measure comparator design score sample control_group outcome_correlation "
    "effect se ci_low ci_high ci_level n_active mean_active sd_active n_control mean_control sd_control "
    "modality protocol_class hemisphere target frequency_hz train_s intertrain_s trains pulses_per_session session_min "
    "sessions total_pulses phase population source note"
).split()


def true_effects(protocol_class: str, pulses: int) -> np.ndarray:
    """Mean benefit (outcomes,) over studies."""
    return np.array(LEVEL[protocol_class]) + np.array(SLOPE) * (pulses - PULSES_REFERENCE) / 1000


def trains_of(frequency_hz: float, pulses: int) -> dict:
    """Trains of single pulses: one unbroken train at 1 Hz, else trains of 50 pulses."""
    if frequency_hz == 1:
        return {"train_s": pulses, "intertrain_s": 0, "trains": 1}
    return {"train_s": PULSES_PER_TRAIN / frequency_hz, "intertrain_s": INTERTRAIN_S, "trains": pulses // PULSES_PER_TRAIN}


def session_min(train_s: float, intertrain_s: float, trains: int) -> float:
    return (trains * train_s + (trains - 1) * intertrain_s) / 60


def combined(rng: np.random.Generator) -> dict:
    """1 Hz over the unaffected side, then 10 Hz over the affected one: no one frequency, nor trains of one kind."""
    sides = [(1, int(rng.choice(COMBINED_PULSES))), (10, int(rng.choice(COMBINED_PULSES)))]
    return {
        "pulses_per_session": sum(pulses for _, pulses in sides),
        "session_min": sum(session_min(**trains_of(*side)) for side in sides),
        "note": ", ".join(f"{pulses} pulses at {hz} Hz" for hz, pulses in sides),
    }


def protocol(rng: np.random.Generator, protocol_class: str) -> dict:
    """Doses of one arm. Theta burst: 3 pulses at 50 Hz, 5 bursts a second, which are its frequency; 2 s on and 8 s off, or continuous."""
    place = {"modality": protocol_class if "TBS" in protocol_class else "rTMS", "hemisphere": HEMISPHERE[protocol_class]}
    if protocol_class == "combined":
        return place | combined(rng)
    hz = {"low": 1, "high": int(rng.choice(HIGH_HZ))}.get(protocol_class, 5)
    pulses = int(rng.choice({"low": LOW_PULSES, "high": HIGH_PULSES}.get(protocol_class, TBS_PULSES)))
    if protocol_class == "iTBS":
        trains = {"train_s": 2, "intertrain_s": 8, "trains": pulses // 30}
    elif protocol_class == "cTBS":
        trains = {"train_s": pulses / 15, "intertrain_s": 0, "trains": 1}
    else:
        trains = trains_of(hz, pulses)
    if protocol_class == "high" and rng.random() < HIGH_OVER_UNAFFECTED:
        place["hemisphere"] = "unaffected"
    return place | {"frequency_hz": hz, "pulses_per_session": pulses, "session_min": session_min(**trains)} | trains


def cell(value) -> str:
    """As printed: words as they are, numbers without trailing zeros."""
    return value if isinstance(value, str) else f"{round(value, 2):g}" if value < 1000 else f"{value:.0f}"


def printed(form: str, digits: int, active: np.ndarray, control: np.ndarray) -> dict[str, str]:
    """The numbers of one comparison as a paper would print them."""
    effect = active.mean() - control.mean()
    se = sqrt(active.var(ddof=1) / len(active) + control.var(ddof=1) / len(control))
    cells = {"n_active": str(len(active)), "n_control": str(len(control))}
    if form == "arms":
        for name, scores in (("active", active), ("control", control)):
            cells |= {f"mean_{name}": f"{scores.mean():.{digits}f}", f"sd_{name}": f"{scores.std(ddof=1):.{digits}f}"}
    elif form == "interval":
        half = student_t.ppf(0.975, len(active) + len(control) - 2) * se
        cells |= {
            "effect": f"{effect:.2f}",
            "ci_low": f"{effect - half:.2f}",
            "ci_high": f"{effect + half:.2f}",
            "ci_level": "0.95",
        }
    else:
        cells |= {"effect": f"{effect:.2f}", "se": f"{se:.3f}"}
    return cells


def trial(rng: np.random.Generator, name: str, classes: tuple, measured: tuple, phase: str, form: str) -> list[dict]:
    """All rows of one trial."""
    sessions = int(rng.choice(SESSIONS))
    between = np.outer(BETWEEN_STUDY_SD, BETWEEN_STUDY_SD) * np.array(BETWEEN_STUDY_CORRELATION)
    people_of = np.full((3, 3), PEOPLE_CORRELATION) + (1 - PEOPLE_CORRELATION) * np.eye(3)
    study_effect = rng.multivariate_normal(np.zeros(3), between, method="cholesky")
    means, sds = [rng.uniform(*bounds) for bounds in CONTROL_MEAN], [rng.uniform(*bounds) for bounds in OUTCOME_SD]
    sizes = rng.integers(N_BOUNDS[0], N_BOUNDS[1] + 1, size=len(classes) + 1)
    people = [rng.multivariate_normal(np.zeros(3), people_of, n, method="cholesky") for n in sizes]  # the last are the controls
    rows = []
    for k, protocol_class in enumerate(classes):
        dose = protocol(rng, protocol_class)
        pulses = dose["pulses_per_session"]
        effects = true_effects(protocol_class, pulses) + study_effect + rng.normal(0, WITHIN_STUDY_SD)
        for j in measured:
            outcome = OUTCOMES[j]
            sign = 1 if DIRECTION[outcome] == "higher" else -1
            control = means[j] + sign * sds[j] * people[-1][:, j]
            active = means[j] + sign * (sds[j] * people[k][:, j] + effects[j])
            rows.append(
                {"study": name, "outcome": outcome, "direction": DIRECTION[outcome], "measure": "MD", "comparator": "sham"}
                | {"design": "parallel", "score": "final", "sample": protocol_class if len(classes) > 1 else "all"}
                | ({"arm": protocol_class, "control_group": "sham"} if len(classes) > 1 else {})
                | ({"outcome_correlation": f"{PEOPLE_CORRELATION}"} if len(measured) > 1 else {})
                | printed(form, DIGITS[outcome], active, control)
                | {column: cell(value) for column, value in dose.items()}
                | {"protocol_class": protocol_class, "target": "cortex", "sessions": str(sessions)}
                | {"total_pulses": str(pulses * sessions), "phase": phase, "population": "stroke"}
                | {"source": "simulated, generate.py"}
            )
    return rows


def simulate(rng: np.random.Generator) -> list[dict]:
    """All rows."""
    plan = [[values[k] for k in rng.permutation(len(values))] for values in (CLASSES, MEASURED, PHASES)]
    places = (rng.permutation(len(CLASSES)) + 0.5) / len(CLASSES)
    forms = [next(form for form, share in FORMS if place <= share) for place in places]
    rows = []
    for k, one in enumerate(zip(*plan, forms, strict=True)):
        rows += trial(rng, f"Synthetic trial {k + 1:02d}", *one)
    return rows


if __name__ == "__main__":
    table = pd.DataFrame(simulate(np.random.default_rng(SEED)), columns=COLUMNS, dtype=object)
    table.to_csv(Path(__file__).with_name("trials.csv"), index=False, lineterminator="\n", encoding="utf-8")
