"""Imputed doses: coverage where the truth comes from the prior, and bias where doses are missing for a reason.

Tables of 40 one-row trials in two modalities, the doses of 12 of them missing (they come first), simulated here in numpy. Complete
cases, and the table with nothing missing, are fitted by quadrature.

Prints one JSON line for each reason. Usage: python benchmarks/missing_doses.py [TABLES] [REASON ...]
"""

import json
import sys
import time

import numpy as np
import pandas as pd
from scipy import stats
from scipy.special import expit

import stimdose as sd
from stimdose import nuts
from stimdose.chains import convergence
from stimdose.encoding import encode
from stimdose.grid import curve_draws
from stimdose.latents import LEAST_SPREAD
from stimdose.posterior import draw_coefficients
from stimdose.predictor import variable_dims
from stimdose.rows import Rows, rows_of

TRIALS, MISSING = 40, 12
GRID = np.array([3.0, 10.0, 20.0, 40.0])
"""Sessions at which the mean curve is compared."""
MODEL = sd.Model(name="missing", intercept=sd.Intercept(), dose=[sd.Dose(column="sessions", shape="log-linear")])
FIXED = {"intercept": 0.1, "slope": 0.3, "between_study": 0.1, "spread": 0.7, "typical": 12.0}
"""Truth where doses are missing for a reason."""
REASONS = {
    "at random, truth from the prior": lambda effect, dose: np.zeros(len(dose)),
    "at random": lambda effect, dose: np.zeros(len(dose)),
    "small effects": lambda effect, dose: -3 * stats.zscore(effect),
    "high doses": lambda effect, dose: 3 * stats.zscore(np.log(dose)),
    "low doses": lambda effect, dose: -3 * stats.zscore(np.log(dose)),
}
"""Log odds that a row does not print its dose, up to a constant."""


def truth_of(reason: str, rng: np.random.Generator) -> dict:
    if "prior" not in reason:
        return FIXED
    priors = MODEL.priors()
    names = {"slope": "sessions_slope", "typical": "sessions_true", "spread": "sessions_spread"}
    draw = lambda name, size=None: priors[name].distribution.rvs(size=size, random_state=rng)
    found = {name: draw(names.get(name, name)) for name in FIXED}
    return found | {"typical": draw("sessions_true", 2)}


def simulate(reason: str, truth: dict, rng: np.random.Generator) -> tuple[pd.DataFrame, np.ndarray]:
    """A table with its missing rows first, and its doses."""
    modality = np.arange(TRIALS) % 2
    typical = np.broadcast_to(truth["typical"], 2)[modality]
    dose = typical * np.exp(np.hypot(truth["spread"], LEAST_SPREAD) * rng.standard_normal(TRIALS))
    se = rng.uniform(0.1, 0.3, TRIALS)
    effect = mean_effect(truth, dose) + rng.normal(0, np.hypot(truth["between_study"], se))
    odds = expit(REASONS[reason](effect, dose))
    lost = np.concatenate([rng.choice(part, MISSING // 2, False, odds[part] / odds[part].sum()) for part in halves(modality)])
    order = np.concatenate([lost, *(np.setdiff1d(part, lost) for part in halves(modality))])
    table = pd.DataFrame(
        {
            "study": [f"T{k:02d}" for k in range(TRIALS)],
            "effect": effect[order],
            "se": se[order],
            "modality": np.where(modality[order] == 0, "rTMS", "iTBS"),
            "sessions": np.where(np.arange(TRIALS) < MISSING, np.nan, dose[order]),
        }
    )
    return table, dose[order]


def halves(modality: np.ndarray) -> list[np.ndarray]:
    return [np.flatnonzero(modality == k) for k in (0, 1)]


def mean_effect(truth: dict, dose: np.ndarray) -> np.ndarray:
    return truth["intercept"] + truth["slope"] * np.log2(1 + dose / 10)


def rows_with_missing(table: pd.DataFrame) -> Rows:
    trials = sd.read_trials(table, direction="higher", measure="SMD", comparator="sham", design="parallel")
    return rows_of(MODEL, trials, imputed=True)


def draws_of(rows: Rows, seed: int) -> tuple[dict[str, np.ndarray], float]:
    """Draws (2000, ...) of everything, and the largest R-hat of what was sampled."""
    program, layout = encode(MODEL, rows)
    found = nuts.sample(program, seed=seed, draws=500, tune=500, chains=4, cores=2, target_accept=0.95, progress=False)
    values = nuts.natural_values(program, layout, found.positions.reshape(-1, found.positions.shape[-1]))
    values = {name: value for name, value in values.items() if name in variable_dims(MODEL, rows)}
    by_element = np.column_stack([value.reshape(2000, -1) for value in values.values()]).T.reshape(-1, 4, 500)
    r_hat = float(convergence(by_element)["r_hat"].max())
    return values | draw_coefficients(MODEL, rows, values, np.random.default_rng(seed))[0], r_hat


def by_quadrature(dose: np.ndarray, effect: np.ndarray, se: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draws (2000, 2) of intercept and slope with every dose known: a grid over the between-study sd, the rest in closed form."""
    tau = (np.arange(300) + 0.5) / 300 * 2
    w, X = 1 / (se**2 + tau[:, None] ** 2), np.column_stack([np.ones(len(dose)), np.log2(1 + dose / 10)])
    precision = np.eye(2) + np.einsum("tn,ni,nj->tij", w, X, X)
    score = np.einsum("tn,ni,n->ti", w, X, effect)
    mean = np.linalg.solve(precision, score[..., None])[..., 0]
    log_weight = 0.5 * (np.log(w).sum(1) - w @ effect**2 + (mean * score).sum(1) - np.linalg.slogdet(precision)[1])
    log_weight -= 0.5 * (tau / 0.5) ** 2
    weight = np.exp(log_weight - log_weight.max())
    k = rng.choice(len(tau), 2000, p=weight / weight.sum())
    root = np.linalg.cholesky(np.linalg.inv(precision))
    return mean[k] + (root[k] @ rng.standard_normal((2000, 2, 1)))[..., 0]


def covered(draws: np.ndarray, truth) -> np.ndarray:
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    return (low <= truth) & (truth <= high)


def study(reason: str, tables: int, seed: int = 1) -> dict:
    """Coverage of 95 % intervals, and bias and interval width of the slope and of the mean effect at the reference dose of 10
    sessions, over simulated tables."""
    started = time.perf_counter()
    curve, doses, r_hats, results = [], [], [], {"imputed": [], "complete cases": [], "nothing missing": []}
    for k in range(tables):
        rng = np.random.default_rng([seed, list(REASONS).index(reason), k])
        truth = truth_of(reason, rng)
        table, dose = simulate(reason, truth, rng)
        rows = rows_with_missing(table)
        values, r_hat = draws_of(rows, seed=k)
        found = curve_draws(MODEL, rows, values, "sessions", GRID, None, {})[..., 0]
        curve.append(covered(found, mean_effect(truth, GRID)))
        doses.append(covered(values["sessions_true"], dose[:MISSING]).mean())
        r_hats.append(r_hat)
        effect, se = table["effect"].to_numpy(), table["se"].to_numpy()
        draws = {"imputed": np.column_stack([values["intercept"], values["sessions_slope"]])}
        for name, first in (("complete cases", MISSING), ("nothing missing", 0)):
            draws[name] = by_quadrature(dose[first:], effect[first:], se[first:], rng)
        for name, found in draws.items():
            pair = np.column_stack([found[:, 1], found.sum(axis=1)])
            true = truth["slope"], truth["intercept"] + truth["slope"]
            widths = np.ptp(np.quantile(pair, [0.025, 0.975], axis=0), axis=0)
            results[name].append((pair.mean(axis=0) - true, covered(pair, true), widths))
    summary = {name: np.array(found, float) for name, found in results.items()}  # tables, (bias, covered, width), (slope, effect)
    by_method = lambda k, j, digits: {name: round(float(found[:, k, j].mean()), digits) for name, found in summary.items()}
    error = {name: np.round(found[:, 0].std(axis=0) / np.sqrt(tables), 4).tolist() for name, found in summary.items()}
    return {
        "benchmark": "missing_doses",
        "reason": reason,
        "tables": tables,
        "curve_covered": dict(zip(GRID.tolist(), np.mean(curve, axis=0).round(3).tolist(), strict=True)),
        "missing_doses_covered": round(float(np.mean(doses)), 3),
        "slope_bias": by_method(0, 0, 4),
        "slope_covered": by_method(1, 0, 3),
        "slope_width": by_method(2, 0, 3),
        "effect_bias": by_method(0, 1, 4),
        "effect_covered": by_method(1, 1, 3),
        "bias_monte_carlo_error": error,
        "r_hat_above_1.02": round(float(np.mean(np.array(r_hats) > 1.02)), 3),
        "seconds": round(time.perf_counter() - started),
    }


def main() -> None:
    tables = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    for reason in sys.argv[2:] or REASONS:
        print(json.dumps(study(reason, tables)), flush=True)


if __name__ == "__main__":
    main()
