"""Writes trials.csv beside itself: invented trials of rPMS for the upper limb after stroke with two outcomes, from the truth stated here.

Run `python generate.py`; the same seed gives the same file, byte for byte.
"""

from math import exp, lgamma, log, sqrt
from pathlib import Path

import numpy as np
import pandas as pd

SEED = 20260301

# The truth, as benefit in standard deviations of the outcome
BELL_HZ = {"amplitude": 0.45, "peak": 10.0, "width": 0.6}
GAMMA_MIN = {"amplitude": 0.28, "peak": 15.0, "steepness": 2.0}
BELL_MSO = {"amplitude": 0.20, "peak": 33.0, "width": 0.7}
PLATEAU_DAYS = {"maximum": 0.20, "plateau": 21.0}
PHASE_SHIFT = {"acute": 0.0, "subacute": 0.20, "chronic": -0.10}
TARGET_SHIFT = {"nerve": 0.34, "muscle": 0.0}
OUTCOMES = ("FMA-UE", "MAS")
DOSE_FACTOR = {"FMA-UE": 1.0, "MAS": 1.3}
BETWEEN_STUDY_SD, BETWEEN_STUDY_CORRELATION = (0.25, 0.30), 0.6
WITHIN_STUDY_SD = 0.05
PEOPLE_CORRELATION = 0.5  # of two scores of one person, both as benefit

# The trials
ARMS = (1,) * 33 + (2,) * 12
PHASES = ("acute",) * 9 + ("subacute",) * 21 + ("chronic",) * 15
TARGETS = ("nerve",) * 18 + ("muscle",) * 27
MEASURED = (("FMA-UE", "MAS"),) * 28 + (("FMA-UE",),) * 11 + (("MAS",),) * 6
FREQUENCIES_HZ = (1, 3, 5, 10, 15, 20, 25, 30, 50)
FREQUENCY_WEIGHTS = (0.10, 0.08, 0.14, 0.20, 0.10, 0.16, 0.10, 0.07, 0.05)
SESSION_MIN = (5, 8, 10, 12, 15, 20, 25, 30, 40)
DUTY_CYCLES = (0.05, 0.1, 0.2, 0.3, 0.5)
PULSES_BOUNDS = (100, 8000)
INTENSITIES_PERCENT_MSO = (10, 15, 20, 25, 30, 40, 50, 60, 70, 80)
SESSIONS = (5, 10, 15, 20, 30)
WEEKDAYS = {5: (0, 1, 2, 3, 4), 3: (0, 2, 4)}
N_BOUNDS = (10, 35)
ADD_ON_SHARE = 0.2
CONTROL_MEAN = {"FMA-UE": (22.0, 38.0), "MAS": (1.8, 2.6)}
OUTCOME_SD = {"FMA-UE": (10.5, 13.5), "MAS": (0.6, 0.8)}
DIRECTION = {"FMA-UE": "higher", "MAS": "lower"}
DIGITS = {"FMA-UE": 1, "MAS": 2}

# What the papers print
PRINTED = {
    "F": "frequency_hz",
    "P": "pulses_per_session",
    "M": "session_min",
    "I": "intensity_percent_mso",
    "S": "sessions",
    "D": "treatment_days",
}
REAL_PATTERNS = {
    **{"": 8, "S": 6, "D": 5, "MD": 3, "FMIS": 2, "MS": 2, "FPD": 1, "FPMIS": 1},
    **{"PSD": 1, "IS": 1, "FMID": 1, "FS": 1},
}  # doses that a study of rpms_stroke_partial prints, and how many studies do
DONORS = 4
FORMS = (("arms", 0.45), ("interval", 0.75), ("se", 0.90), ("variance", 1.0))  # cumulative shares
RANGES = {
    "session_min": {"10-20": (10, 20), "15-20": (15, 20), "20-30": (20, 30)},
    "intensity_percent_mso": {"20-55": (20, 55), "20-40": (20, 40), "50-80": (50, 80)},
    "treatment_days": {"≥21": (21, float("inf"))},
}
RANGE_SHARE = {"session_min": 0.2, "intensity_percent_mso": 0.25, "treatment_days": 0.3}  # of the trials that print the dose
Z = 1.959964

COLUMNS = (
    "study arm outcome direction measure comparator design score sample control_group outcome_correlation "
    "effect se variance ci_low ci_high ci_level "
    "n_active mean_active sd_active n_control mean_control sd_control modality "
    "frequency_hz pulses_per_session session_min intensity_percent_mso sessions treatment_days target phase population source note"
).split()


def bell(dose: float, amplitude: float, peak: float, width: float) -> float:
    return amplitude * exp(-0.5 * (log(dose / peak) / width) ** 2)


def gamma(dose: float, amplitude: float, peak: float, steepness: float) -> float:
    return amplitude * (dose / peak) ** steepness * exp(steepness * (1 - dose / peak))


def plateau(dose: float, maximum: float, plateau: float) -> float:
    return maximum * min(dose / plateau, 1)


def true_effect(outcome: str, phase: str, target: str, dose: dict) -> float:
    """Mean benefit over studies."""
    of_doses = (
        bell(dose["frequency_hz"], **BELL_HZ)
        + gamma(dose["session_min"], **GAMMA_MIN)
        + bell(dose["intensity_percent_mso"], **BELL_MSO)
        + plateau(dose["treatment_days"], **PLATEAU_DAYS)
    )
    return PHASE_SHIFT[phase] + TARGET_SHIFT[target] + DOSE_FACTOR[outcome] * of_doses


def hedges_g(active: np.ndarray, control: np.ndarray) -> tuple[float, float]:
    """Hedges g of active minus control with the exact correction, and its variance."""
    n1, n2 = len(active), len(control)
    m = n1 + n2 - 2
    pooled_sd = sqrt(((n1 - 1) * active.var(ddof=1) + (n2 - 1) * control.var(ddof=1)) / m)
    correction = exp(lgamma(m / 2) - lgamma((m - 1) / 2)) / sqrt(m / 2)
    g = correction * (active.mean() - control.mean()) / pooled_sd
    return g, 1 / n1 + 1 / n2 + g**2 / (2 * (n1 + n2))


def treatment_days(sessions: int, per_week: int) -> int:
    """Days from the first session to the last, both counted, with one session on each weekday in use."""
    weeks, rest = divmod(sessions - 1, per_week)
    return 7 * weeks + WEEKDAYS[per_week][rest] + 1


def doses(rng: np.random.Generator, frequency_hz: int) -> dict[str, int]:
    """Doses of one arm; pulses are Hz x seconds x duty cycle, among the duty cycles that keep the pulses within bounds."""
    minutes = int(rng.choice(SESSION_MIN))
    pulses = [round(frequency_hz * 60 * minutes * duty) for duty in DUTY_CYCLES]
    low, high = PULSES_BOUNDS
    return {
        "frequency_hz": frequency_hz,
        "session_min": minutes,
        "pulses_per_session": int(rng.choice([p for p in pulses if low <= p <= high])),
        "intensity_percent_mso": int(rng.choice(INTENSITIES_PERCENT_MSO)),
    }


def correlated(rng: np.random.Generator, sds: tuple[float, float], correlation: float, size: int | None = None) -> np.ndarray:
    a, b = sds
    return rng.multivariate_normal((0, 0), [[a**2, correlation * a * b], [correlation * a * b, b**2]], size, method="cholesky")


def printed(form: str, digits: int, active: np.ndarray, control: np.ndarray) -> dict[str, str]:
    """The numbers of one comparison as a paper would print them."""
    g, variance = hedges_g(active, control)
    half = Z * sqrt(variance)
    cells = {"n_active": str(len(active)), "n_control": str(len(control))}
    if form == "arms":
        for name, scores in (("active", active), ("control", control)):
            cells |= {f"mean_{name}": f"{scores.mean():.{digits}f}", f"sd_{name}": f"{scores.std(ddof=1):.{digits}f}"}
    elif form == "interval":
        cells |= {"effect": f"{g:.2f}", "ci_low": f"{g - half:.2f}", "ci_high": f"{g + half:.2f}", "ci_level": "0.95"}
    elif form == "se":
        cells |= {"effect": f"{g:.2f}", "se": f"{sqrt(variance):.3f}"}
    else:
        cells |= {"effect": f"{g:.3f}", "variance": f"{variance:.3f}"}
    return cells


def printed_doses(rng: np.random.Generator, arms: list[dict]) -> tuple[list[dict], str]:
    """The doses of a trial's arms as its paper prints them, and a remark: the doses that one of four real studies drawn at random
    prints, some of them as a range that holds the true ones."""
    patterns = rng.choice(
        list(REAL_PATTERNS), size=DONORS, p=np.array(list(REAL_PATTERNS.values())) / sum(REAL_PATTERNS.values())
    )
    names = [name for letter, name in PRINTED.items() if any(letter in pattern for pattern in patterns)]
    cells, ranged = [{name: str(dose[name]) for name in names} for dose in arms], []
    for name in sorted(RANGES.keys() & set(names)):
        fitting = [
            [text for text, (low, high) in RANGES[name].items() if low <= dose[name] <= high] or [str(dose[name])]
            for dose in arms
        ]
        if rng.random() < RANGE_SHARE[name] and any(texts[0] in RANGES[name] for texts in fitting):
            texts = [str(rng.choice(texts)) for texts in (fitting if name != "treatment_days" else fitting[:1] * len(arms))]
            cells = [arm | {name: text} for arm, text in zip(cells, texts, strict=True)]
            ranged.append(name)
    return cells, f"{', '.join(ranged)} printed as a range" if ranged else ""


def trial(rng: np.random.Generator, name: str, n_arms: int, phase: str, target: str, measured: tuple, form: str) -> list[dict]:
    """All rows of one trial."""
    sessions, per_week = int(rng.choice(SESSIONS)), int(rng.choice([5, 5, 3]))
    course = {"sessions": sessions, "treatment_days": treatment_days(sessions, per_week)}
    comparator = "add-on" if rng.random() < ADD_ON_SHARE else "sham"
    study_effect = correlated(rng, BETWEEN_STUDY_SD, BETWEEN_STUDY_CORRELATION)
    mean = {outcome: rng.uniform(*CONTROL_MEAN[outcome]) for outcome in OUTCOMES}
    sd = {outcome: rng.uniform(*OUTCOME_SD[outcome]) for outcome in OUTCOMES}
    frequencies = rng.choice(FREQUENCIES_HZ, size=n_arms, replace=False, p=FREQUENCY_WEIGHTS).tolist()
    arms = [doses(rng, frequency) | course for frequency in frequencies]
    sizes = rng.integers(N_BOUNDS[0], N_BOUNDS[1] + 1, size=n_arms + 1).tolist()
    people = [correlated(rng, (1, 1), PEOPLE_CORRELATION, size) for size in sizes]  # benefit in SDs; the last are the controls
    cells, remark = printed_doses(rng, arms)
    rows = []
    for k, (label, dose) in enumerate(zip("AB", arms, strict=False)):
        noise = rng.normal(0, WITHIN_STUDY_SD, size=2)
        for j, outcome in enumerate(OUTCOMES):
            if outcome not in measured:
                continue
            effect = true_effect(outcome, phase, target, dose) + study_effect[j] + noise[j]
            sign = sd[outcome] * (1 if DIRECTION[outcome] == "higher" else -1)
            active = mean[outcome] + sign * (people[k][:, j] + effect)
            control = mean[outcome] + sign * people[-1][:, j]
            rows.append(
                {"study": name, "outcome": outcome, "direction": DIRECTION[outcome], "measure": "SMD", "comparator": comparator}
                | {"design": "parallel", "score": "final", "sample": label if n_arms > 1 else "all"}
                | ({"arm": label, "control_group": "control"} if n_arms > 1 else {})
                | ({"outcome_correlation": f"{PEOPLE_CORRELATION}"} if len(measured) > 1 else {})
                | printed(form, DIGITS[outcome], active, control)
                | cells[k]
                | {"modality": "rPMS", "target": target, "phase": phase, "population": "stroke"}
                | {"source": "simulated, generate.py", "note": remark}
            )
    return rows


def simulate(rng: np.random.Generator) -> list[dict]:
    """All rows."""
    plan = [rng.permutation(np.array(values, dtype=object)).tolist() for values in (ARMS, PHASES, TARGETS)]
    measured = [MEASURED[k] for k in rng.permutation(len(MEASURED))]
    places = (rng.permutation(len(ARMS)) + 0.5) / len(ARMS)
    forms = [next(form for form, share in FORMS if place <= share) for place in places]
    rows = []
    for k, one in enumerate(zip(*plan, measured, forms, strict=True)):
        rows += trial(rng, f"Synthetic trial {k + 1:02d}", *one)
    return rows


if __name__ == "__main__":
    table = pd.DataFrame(simulate(np.random.default_rng(SEED)), columns=COLUMNS, dtype=object)
    table.to_csv(Path(__file__).with_name("trials.csv"), index=False, lineterminator="\n", encoding="utf-8")
