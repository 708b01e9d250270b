"""Writes trials.csv beside itself: invented children with cerebral palsy, and trials of such children, from the truth stated here.

Run `python generate.py`; the same seed gives the same file, byte for byte.
"""

from pathlib import Path

import numpy as np
import pandas as pd

SEED = 20260303

# The truth: a child's latent spasticity after treatment is LATENT_PER_GRADE x grade before - benefit + N(0, 1), cut at CUTS
GRADES = np.array([0, 1, 1.5, 2, 3, 4])  # of the MAS; 1+ is 1.5
LATENT_PER_GRADE = 2.0
CUTS = LATENT_PER_GRADE * (GRADES[1:] + GRADES[:-1]) / 2
INTERCEPT = 0.20
SESSIONS_MAXIMUM, SESSIONS_SCALE = 0.90, 8.0
MINUTES_AMPLITUDE, MINUTES_PEAK, MINUTES_STEEPNESS = 0.60, 15.0, 2.0
PER_YEAR, YEARS_REFERENCE = -0.05, 6.0
PER_LEVEL, LEVEL_REFERENCE = -0.12, 3
BETWEEN_STUDY_SD = 0.30

# The children
CENTRE_SIZES = (12, 14, 16, 18, 20, 22, 26, 32)
TRIAL_SIZES = (12, 14, 15, 16, 18, 20, 20, 24, 25, 30, 32, 40)
TRIALS_WITH_FIXED_DOSES = 5
LEVELS = ("level I", "level II", "level III", "level IV", "level V")
LEVEL_SHARES = (0.20, 0.25, 0.25, 0.20, 0.10)
YEARS = (2.0, 14.0)
BEFORE_MEAN, BEFORE_PER_LEVEL, BEFORE_SD = 4.2, 0.4, 1.6  # latent; children without spasticity are not treated
TYPICAL_SESSIONS = (5, 8, 10, 12, 15, 20, 30)  # of a centre or trial
TYPICAL_MIN = (6, 8, 10, 15, 20, 30)
LOG_SD = 0.45  # of the doses of a centre's children around its typical dose
LIMITS = {"sessions": (2, 60), "session_min": (3, 60)}
FREQUENCIES_HZ = (5, 10, 15, 20, 25)

COLUMNS = (
    "study participant outcome direction measure comparator design score score_before score_after "
    "n_active change_mean_active change_sd_active modality frequency_hz session_min session_min_sd sessions sessions_sd "
    "target site population age_years baseline_severity gmfcs source note"
).split()


def benefit(sessions, session_min, age_years, level):
    """Mean benefit over studies, in SDs of the latent spasticity; level is the GMFCS as a number."""
    of_sessions = SESSIONS_MAXIMUM * (1 - np.exp(-sessions / SESSIONS_SCALE))
    relative = session_min / MINUTES_PEAK
    of_minutes = MINUTES_AMPLITUDE * relative**MINUTES_STEEPNESS * np.exp(MINUTES_STEEPNESS * (1 - relative))
    of_child = PER_YEAR * (age_years - YEARS_REFERENCE) + PER_LEVEL * (level - LEVEL_REFERENCE)
    return INTERCEPT + of_sessions + of_minutes + of_child


def graded(latent: np.ndarray) -> np.ndarray:
    """MAS grades of latent spasticity."""
    return GRADES[np.searchsorted(CUTS, latent)]


def doses(rng: np.random.Generator, name: str, typical: float, size: int, varied: bool) -> np.ndarray:
    """Whole doses of the children, lognormal around the typical one; or that one for all."""
    if not varied:
        return np.full(size, typical)
    return np.clip(np.round(typical * np.exp(rng.normal(0, LOG_SD, size))), *LIMITS[name]).astype(int)


def children(rng: np.random.Generator, size: int, varied: bool = True) -> pd.DataFrame:
    """The children of one centre or trial, with their grades before and after."""
    level = 1 + rng.choice(len(LEVELS), size, p=LEVEL_SHARES)
    age_years = np.round(rng.uniform(*YEARS, size), 1)
    typical_sessions, typical_min = int(rng.choice(TYPICAL_SESSIONS)), int(rng.choice(TYPICAL_MIN))
    sessions = doses(rng, "sessions", typical_sessions, size, varied)
    session_min = doses(rng, "session_min", typical_min, size, varied)
    before = np.zeros(size)
    while (none := before == 0).any():
        latent = BEFORE_MEAN + BEFORE_PER_LEVEL * (level - LEVEL_REFERENCE) + rng.normal(0, BEFORE_SD, size)
        before[none] = graded(latent)[none]
    gain = benefit(sessions, session_min, age_years, level) + rng.normal(0, BETWEEN_STUDY_SD)
    after = graded(LATENT_PER_GRADE * before - gain + rng.normal(0, 1, size))
    return pd.DataFrame(
        {
            "before": before,
            "after": after,
            "sessions": sessions,
            "session_min": session_min,
            "age_years": age_years,
            "level": level,
        }
    )


COMMON = {
    **{"outcome": "MAS", "direction": "lower", "measure": "MC", "comparator": "none", "modality": "rPMS", "target": "muscle"},
    **{"site": "triceps surae", "population": "children with cerebral palsy", "source": "simulated, generate.py"},
}


def participants(rng: np.random.Generator, study: str, size: int) -> list[dict]:
    """A row for each child of a centre."""
    frequency = str(rng.choice(FREQUENCIES_HZ))
    return [
        COMMON
        | {"study": study, "participant": f"{study[-1]}{k:02d}", "design": "participant", "frequency_hz": frequency}
        | {"score_before": f"{child.before:g}", "score_after": f"{child.after:g}"}
        | {"sessions": str(child.sessions), "session_min": str(child.session_min), "age_years": f"{child.age_years:.1f}"}
        | {"baseline_severity": str(child.level), "gmfcs": LEVELS[child.level - 1]}
        for k, child in enumerate(children(rng, size).itertuples(), start=1)
    ]


def summary(rng: np.random.Generator, study: str, size: int, varied: bool) -> dict:
    """The row of a trial's arm: means over its children, and SDs of the doses where they differ."""
    frequency = str(rng.choice(FREQUENCIES_HZ))
    arm = children(rng, size, varied)
    change = arm["after"] - arm["before"]
    found = {"change_mean_active": f"{change.mean():.2f}", "change_sd_active": f"{change.std():.2f}", "n_active": str(size)}
    for name in ("sessions", "session_min"):
        found[name] = f"{arm[name].mean():.1f}" if varied else str(arm[name].iloc[0])
        found |= {f"{name}_sd": f"{arm[name].std():.1f}"} if varied else {}
    return (
        COMMON
        | {"study": study, "design": "within-group", "score": "change", "frequency_hz": frequency, "gmfcs": "mixed"}
        | {"age_years": f"{arm['age_years'].mean():.1f}", "baseline_severity": f"{arm['level'].mean():.2f}"}
        | {"note": "doses differed between children" if varied else "one dose for all children"}
        | found
    )


def simulate(rng: np.random.Generator) -> list[dict]:
    """All rows: the centres, then the trials."""
    rows = []
    for letter, size in zip("ABCDEFGH", rng.permutation(CENTRE_SIZES).tolist(), strict=True):
        rows += participants(rng, f"Synthetic centre {letter}", size)
    varied = rng.permutation(len(TRIAL_SIZES)) >= TRIALS_WITH_FIXED_DOSES
    for k, (size, differ) in enumerate(zip(rng.permutation(TRIAL_SIZES).tolist(), varied, strict=True), start=1):
        rows.append(summary(rng, f"Synthetic trial {k:02d}", size, bool(differ)))
    return rows


if __name__ == "__main__":
    table = pd.DataFrame(simulate(np.random.default_rng(SEED)), columns=COLUMNS, dtype=object)
    table.to_csv(Path(__file__).with_name("trials.csv"), index=False, lineterminator="\n", encoding="utf-8")
