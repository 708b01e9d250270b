"""The published values of rPMS for the upper limb, put into simulated tables and looked for again. Takes about three minutes.

`pytest -m slow -s tests/test_published_recovery.py` prints the table that docs/rpms-upper-limb.md quotes.
"""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import stimdose as sd

pytestmark = pytest.mark.slow

TABLES = 12
BEST = {"frequency_hz": 10.0, "session_min": 15.0, "intensity_percent_mso": 37.0, "treatment_days": 21.0}
EFFECT = {"FMA-UE": 0.91, "MAS": 1.15}
NERVE_LESS_MUSCLE = 0.34
GAIN = {"frequency_hz": {"FMA-UE": 0.45, "MAS": 0.585}, "session_min": 0.2, "intensity_percent_mso": 0.15, "treatment_days": 0.1}
"""Of the best dose, invented, as are the widths, phases and spreads below: the reviews print no curve."""


def published(trials: sd.Trials) -> dict:
    """A truth with the published effects at the published doses, averaged over the targets and phases of the rows."""

    def centred(column: str, shift: dict[str, float]) -> dict[str, float]:
        mean = trials.table[column].map(shift).mean()
        return {level: value - mean for level, value in shift.items()}

    others = sum(GAIN[dose] for dose in BEST if dose != "frequency_hz")
    level = {outcome: effect - GAIN["frequency_hz"][outcome] - others for outcome, effect in EFFECT.items()}
    return {
        "intercept": 0.0,
        "intercept_by_outcome": level,
        "intercept_by_target": centred("target", {"nerve": NERVE_LESS_MUSCLE, "muscle": 0.0}),
        "intercept_by_phase": centred("phase", {"acute": 0.0, "subacute": 0.2, "chronic": -0.1}),
        "intercept_by_target:phase": np.zeros(6),
        "frequency_hz_amplitude_by_outcome": GAIN["frequency_hz"],
        "frequency_hz_peak_by_outcome": dict.fromkeys(EFFECT, BEST["frequency_hz"]),
        "frequency_hz_width_by_outcome": dict.fromkeys(EFFECT, 0.6),
        "session_min_amplitude": GAIN["session_min"],
        "session_min_peak": BEST["session_min"],
        "session_min_steepness": 2.0,
        "intensity_percent_mso_amplitude": GAIN["intensity_percent_mso"],
        "intensity_percent_mso_peak": BEST["intensity_percent_mso"],
        "intensity_percent_mso_width": 0.7,
        "treatment_days_maximum": GAIN["treatment_days"],
        "treatment_days_plateau": BEST["treatment_days"],
        "between_study_by_outcome": {"FMA-UE": 0.25, "MAS": 0.3},
        "between_study_correlation": 0.6,
        "within_study": 0.05,
    }


def answers(fit: sd.Fit) -> dict[str, np.ndarray]:
    """Draws of what is looked for, by name."""
    at = {dose: value for dose, value in BEST.items() if dose != "frequency_hz"}
    effect = sd.curve(fit, "frequency_hz", by="outcome", at=at, grid=np.array([BEST["frequency_hz"]]))
    best = sd.optimum(fit, "frequency_hz", by="outcome").dose
    target = sd.contrast(fit, {"target": "nerve"}, {"target": "muscle"}).draws
    found = {f"effect, {outcome}": effect.sel(outcome=outcome) for outcome in EFFECT}
    found |= {f"best Hz, {outcome}": best.sel(outcome=outcome) for outcome in EFFECT}
    return {name: draws.values.ravel() for name, draws in (found | {"nerve - muscle": target}).items()}


def test_published_values_are_recovered():
    model, design = sd.load_model("rpms-upper-limb"), sd.load_dataset("synthetic_rpms_upper_limb")
    truth = {f"effect, {outcome}": effect for outcome, effect in EFFECT.items()}
    truth |= {f"best Hz, {outcome}": BEST["frequency_hz"] for outcome in EFFECT} | {"nerve - muscle": NERVE_LESS_MUSCLE}
    lines = []
    for seed in range(TABLES):
        simulated = sd.simulate_trials(model, design, published(design), seed=seed, missing="impute")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", sd.ConvergenceWarning)  # what did not converge is kept in
            fit = sd.fit(model, simulated.trials, seed=seed, missing="impute", draws=600, tune=400, chains=2, progress=False)
        for name, draws in answers(fit).items():
            low, median, high = np.quantile(draws, [0.025, 0.5, 0.975])
            held = low <= truth[name] <= high
            lines.append({"what": name, "truth": truth[name], "median": median, "low": low, "high": high, "held": held})
    table = pd.DataFrame(lines).groupby("what", sort=False).mean()
    table["held"] = (table["held"] * TABLES).round().astype(int)
    print(f"\nmeans over {TABLES} tables, and how many intervals held the truth\n{table.round(2).to_string()}")
    assert (table["held"] >= stats.binom.ppf(0.05 / len(table), TABLES, 0.95)).all()
