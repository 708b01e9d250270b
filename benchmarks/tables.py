"""The generated tables of all benchmarks: a bell in log frequency, a shift by phase, study effects."""

import numpy as np
import pandas as pd

PHASES, SITES = np.array(["acute", "subacute", "chronic"]), np.array(["nerve", "muscle"])


def bell_numbers(studies: int, seed: int = 1, rows: int | None = None) -> pd.DataFrame:
    """The table as numbers: y, se, x (standardised log frequency), zm (standardised minutes), study, phase, site, freq, mins.

    One to three rows a study, or `rows` spread evenly over the studies. Standardised with the standard deviation of the rows (ddof 0).
    """
    rng = np.random.default_rng(seed)
    study = np.repeat(np.arange(studies), rng.integers(1, 4, studies)) if rows is None else np.arange(rows) * studies // rows
    n = len(study)
    frequency, minutes = (
        rng.choice(values, n).astype(float) for values in ([1, 3, 5, 10, 15, 20, 25, 50], [5, 10, 15, 20, 30, 40])
    )
    phase, site, se = rng.integers(0, 3, n), rng.integers(0, 2, n), rng.uniform(0.15, 0.5, n)
    mean = 0.6 * np.exp(-0.5 * ((np.log(frequency) - np.log(10)) / 0.8) ** 2) + 0.2 * (phase == 1)
    y = mean + rng.normal(0, 0.25, studies)[study] + rng.normal(0, se)
    standardised = lambda values: (values - values.mean()) / values.std()
    return pd.DataFrame(
        {
            "y": y,
            "se": se,
            "x": standardised(np.log(frequency)),
            "zm": standardised(minutes),
            "study": study,
            "phase": phase,
            "site": site,
            "freq": frequency,
            "mins": minutes,
        }
    )


def trials_table(numbers: pd.DataFrame) -> pd.DataFrame:
    """The same table in the columns of stimdose; every row is an arm of its own."""
    return pd.DataFrame(
        {
            "study": [f"Study {s}" for s in numbers["study"]],
            "arm": [str(k) for k in range(len(numbers))],
            "effect": numbers["y"],
            "se": numbers["se"],
            "frequency_hz": numbers["freq"],
            "session_min": numbers["mins"],
            "pulses_per_session": 12 * numbers["freq"] * numbers["mins"],  # twelve seconds of every minute
            "phase": PHASES[numbers["phase"]],
            "site": SITES[numbers["site"]],
        }
    )
