"""Writes trials.csv beside itself: invented trials of rPMS for the upper limb after stroke, drawn from the truth stated here.

Run `python generate.py`; the same seed gives the same file, byte for byte.
"""

from math import exp, lgamma, log, sqrt
from pathlib import Path

import numpy as np
import pandas as pd

SEED = 20260212

# The truth, in standard deviations of the outcome
INTERCEPT = 0.10
PHASE_SHIFT = {"acute": 0.0, "subacute": 0.15, "chronic": -0.10}
SITE_SHIFT = {"nerve": 0.15, "muscle": 0.0}
BELL_AMPLITUDE, BELL_PEAK_HZ, BELL_LOG_WIDTH = 0.80, 16.0, 0.55
EMAX, ED50_MIN = 0.25, 12.0
PULSES_PER_DOUBLING, PULSES_REFERENCE = 0.08, 1000.0
BETWEEN_STUDY_SD, WITHIN_STUDY_SD = 0.20, 0.05

# The trials
ARMS = (1,) * 26 + (2,) * 6 + (3,) * 8
PHASES = ("acute",) * 10 + ("subacute",) * 18 + ("chronic",) * 12
SITES = ("nerve",) * 16 + ("muscle",) * 24
FREQUENCIES_HZ = (1, 3, 5, 10, 15, 20, 25, 30, 50)
FREQUENCY_WEIGHTS = (0.10, 0.08, 0.12, 0.16, 0.10, 0.16, 0.12, 0.08, 0.08)
SESSION_MIN = (5, 10, 12, 15, 20, 25, 30, 40)
DUTY_CYCLES = (0.05, 0.1, 0.2, 0.3, 0.5)
PULSES_BOUNDS = (100, 8000)
SESSIONS = (5, 10, 15, 20)
WEEKDAYS = {5: (0, 1, 2, 3, 4), 3: (0, 2, 4)}
N_BOUNDS = (10, 40)
ADD_ON_SHARE = 0.2
CONTROL_MEAN, OUTCOME_SD = (22.0, 38.0), (10.5, 13.5)

# What the papers print
FORMS = (("arms", 0.45), ("interval", 0.75), ("se", 0.90), ("variance", 1.0))  # cumulative shares
RANGES = {"10-20": (10, 20), "15-20": (15, 20), "20-30": (20, 30)}
RANGE_SHARE, OPEN_ENDS, OPEN_END = 0.15, 3, 20
Z = 1.959964

COLUMNS = (
    "study arm outcome direction measure comparator design score effect se variance ci_low ci_high ci_level "
    "n_active mean_active sd_active n_control mean_control sd_control "
    "modality frequency_hz pulses_per_session session_min sessions treatment_days site phase source note"
).split()


def true_effect(phase: str, site: str, frequency_hz: float, session_min: float, pulses: float) -> float:
    """Mean effect over studies."""
    bell = BELL_AMPLITUDE * exp(-0.5 * (log(frequency_hz / BELL_PEAK_HZ) / BELL_LOG_WIDTH) ** 2)
    length = EMAX * session_min / (ED50_MIN + session_min)
    count = PULSES_PER_DOUBLING * log(1 + pulses / PULSES_REFERENCE) / log(2)
    return INTERCEPT + PHASE_SHIFT[phase] + SITE_SHIFT[site] + bell + length + count


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
    """Session length and pulses of one arm: Hz x seconds x duty cycle, among the duty cycles that keep the pulses within bounds."""
    minutes = int(rng.choice(SESSION_MIN))
    pulses = [round(frequency_hz * 60 * minutes * duty) for duty in DUTY_CYCLES]
    low, high = PULSES_BOUNDS
    return {
        "frequency_hz": frequency_hz,
        "session_min": minutes,
        "pulses_per_session": int(rng.choice([p for p in pulses if low <= p <= high])),
    }


def printed(form: str, active: np.ndarray, control: np.ndarray) -> dict[str, str]:
    """The numbers of one comparison as a paper would print them."""
    g, variance = hedges_g(active, control)
    half = Z * sqrt(variance)
    cells = {"n_active": str(len(active)), "n_control": str(len(control))}
    if form == "arms":
        for name, scores in (("active", active), ("control", control)):
            cells |= {f"mean_{name}": f"{scores.mean():.1f}", f"sd_{name}": f"{scores.std(ddof=1):.1f}"}
    elif form == "interval":
        cells |= {"effect": f"{g:.2f}", "ci_low": f"{g - half:.2f}", "ci_high": f"{g + half:.2f}", "ci_level": "0.95"}
        assert float(cells["ci_low"]) < float(cells["effect"]) < float(cells["ci_high"])
    elif form == "se":
        cells |= {"effect": f"{g:.2f}", "se": f"{sqrt(variance):.3f}"}
    else:
        cells |= {"effect": f"{g:.3f}", "variance": f"{variance:.3f}"}
    return cells


def simulate(rng: np.random.Generator) -> list[dict]:
    """All rows, with exact session lengths."""
    arms, phases, sites, order = (rng.permutation(values).tolist() for values in (ARMS, PHASES, SITES, range(len(ARMS))))
    rows_before = np.cumsum([arms[k] for k in order]) - 0.5 * np.array([arms[k] for k in order])
    forms = {
        k: next(form for form, share in FORMS if before / sum(ARMS) <= share)
        for k, before in zip(order, rows_before, strict=True)
    }
    rows = []
    for k, (n_arms, phase, site) in enumerate(zip(arms, phases, sites, strict=True)):
        sessions, per_week = int(rng.choice(SESSIONS)), int(rng.choice([5, 5, 3]))
        comparator = "add-on" if rng.random() < ADD_ON_SHARE else "sham"
        study_effect = rng.normal(0, BETWEEN_STUDY_SD)
        control_mean, sd = rng.uniform(*CONTROL_MEAN), rng.uniform(*OUTCOME_SD)
        frequencies = rng.choice(FREQUENCIES_HZ, size=n_arms, replace=False, p=FREQUENCY_WEIGHTS).tolist()
        for arm, frequency in zip("ABC", frequencies, strict=False):
            dose = doses(rng, frequency)
            mean = true_effect(phase, site, dose["frequency_hz"], dose["session_min"], dose["pulses_per_session"])
            effect = mean + study_effect + rng.normal(0, WITHIN_STUDY_SD)
            n_active = int(rng.integers(N_BOUNDS[0], N_BOUNDS[1] + 1))
            n_control = int(np.clip(n_active + rng.integers(-2, 3), *N_BOUNDS))
            active, control = rng.normal(control_mean + effect * sd, sd, n_active), rng.normal(control_mean, sd, n_control)
            rows.append(
                {
                    "study": f"Synthetic trial {k + 1:02d}",
                    "arm": arm if n_arms > 1 else "",
                    "outcome": "FMA-UE",
                    "direction": "higher",
                }
                | {"measure": "SMD", "comparator": comparator, "design": "parallel", "score": "final", "modality": "rPMS"}
                | printed(forms[k], active, control)
                | dose
                | {"sessions": sessions, "treatment_days": treatment_days(sessions, per_week), "site": site, "phase": phase}
                | {
                    "source": "simulated, generate.py",
                    "note": "own control sample, not shared with the other arms" if n_arms > 1 else "",
                }
            )
    return rows


def blur(rng: np.random.Generator, rows: list[dict]) -> None:
    """Print some session lengths as a range, or with an open end, that holds the true one."""
    within = {minutes: [text for text, (low, high) in RANGES.items() if low <= minutes <= high] for minutes in SESSION_MIN}
    order = rng.permutation(len(rows)).tolist()
    ranged = [k for k in order if within[rows[k]["session_min"]]][: round(RANGE_SHARE * len(rows))]
    opened = [k for k in order if rows[k]["session_min"] >= OPEN_END and k not in ranged][:OPEN_ENDS]
    for k in ranged + opened:
        texts = within[rows[k]["session_min"]] if k in ranged else [f"≥{OPEN_END}"]
        rows[k]["session_min"] = texts[rng.integers(len(texts))]
        rows[k]["note"] = "; ".join(filter(None, [rows[k]["note"], "session length printed as a range"]))


if __name__ == "__main__":
    generator = np.random.default_rng(SEED)
    table = simulate(generator)
    blur(generator, table)
    path = Path(__file__).with_name("trials.csv")
    pd.DataFrame(table, columns=COLUMNS).to_csv(path, index=False, lineterminator="\n", encoding="utf-8")
