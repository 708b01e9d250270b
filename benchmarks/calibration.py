"""Simulation-based calibration of the whole engine: parameters from their priors, effects simulated here in numpy, ranks of the truth.

Where prior, density, sampler and draws of coefficients agree, the rank of the truth among posterior draws is uniform, for every quantity:
population parameters, the best dose over a range, the curve at three doses. Ranks are judged by a chi-square test and by the distance of
their ECDF from the diagonal within its simultaneous 99 % band (Säilynoja, Bürkner and Vehtari 2022).

Prints one JSON line for each spec. Usage: python benchmarks/calibration.py [REPLICATIONS=300] [SPEC ...]
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats

import stimdose as sd
from stimdose import nuts
from stimdose.diagnosis import r_hats
from stimdose.encoding import Layout, encode
from stimdose.grid import best_dose, curve_draws, dose_grid
from stimdose.latents import LEAST_SPREAD
from stimdose.posterior import draw_coefficients, draw_prior
from stimdose.predictor import variable_dims
from stimdose.program import Program
from stimdose.rows import Rows, rows_of

RUN = {"draws": 500, "tune": 500, "chains": 2, "cores": 2, "target_accept": 0.9, "progress": False}
RANKS = 100
"""Of the truth among 99 draws of the posterior."""
BINS, FEW = 20, 200
"""Bins of ranks; half as many for fewer replications than these."""
SIMULATED = 20_000
RHAT_MAX = 1.05


@dataclass(frozen=True)
class Spec:
    """table: the design, without effects. range: doses (low, high) over which the best is sought. column_of, from doses (rows,) and the
    truth: what the dose adds per unit of its coefficient; mean, from these, the truth and the phase of each row: the mean effect.
    missing: whether doses are simulated too, and printed as a number, as an interval, or not at all."""

    model: sd.Model
    table: pd.DataFrame
    range: tuple[float, float]
    column_of: Callable[[np.ndarray, dict], np.ndarray]
    mean: Callable[[np.ndarray, dict, np.ndarray], np.ndarray]
    coefficient: str
    missing: bool = False

    @property
    def dose(self) -> str:
        return self.model.dose[0].column

    @property
    def at(self) -> np.ndarray:
        """Doses at which the curve is compared."""
        return np.geomspace(*self.range, 5)[1:-1]


PHASES = np.array(["acute", "subacute", "chronic"])


def design(studies: int, column: str, doses: list[float], seed: int) -> pd.DataFrame:
    """One to three rows a study, in three phases."""
    rng = np.random.default_rng(seed)
    study = np.repeat(np.arange(studies), rng.integers(1, 4, studies))
    n = len(study)
    return pd.DataFrame(
        {
            "study": [f"S{k}" for k in study],
            "arm": [str(k) for k in range(n)],
            "phase": PHASES[study % 3],
            "modality": np.array(["iTBS", "rTMS"])[study % 2],
            column: rng.choice(doses, n),
            "se": rng.uniform(0.1, 0.35, n),
        }
    )


def bell(dose: np.ndarray, truth: dict) -> np.ndarray:
    return np.exp(-0.5 * (np.log(dose / truth["frequency_hz_peak"]) / truth["frequency_hz_width"]) ** 2)


SPECS = {
    "bell": Spec(
        sd.load_model("frequency-bell"),
        design(24, "frequency_hz", [1.0, 3, 5, 10, 15, 20, 30, 50], seed=1),
        (1.0, 50.0),
        bell,
        lambda column, truth, phase: truth["intercept_by_phase"][phase] + truth["frequency_hz_amplitude"] * column,
        "frequency_hz_amplitude",
    ),
    "anchored": Spec(
        sd.load_model("sessions-by-phase"),
        design(24, "sessions", [3.0, 5, 10, 15, 20, 40], seed=2),
        (3.0, 40.0),
        lambda dose, truth: np.log2(1 + dose / 10),
        lambda column, truth, phase: truth["sessions_slope_by_phase"][phase] * column,
        "sessions_slope",
    ),
    "imputed": Spec(
        sd.Model(name="imputed", intercept=sd.Intercept(), dose=[sd.Dose(column="sessions", shape="emax")]),
        design(20, "sessions", [3.0, 5, 10, 15, 20, 40], seed=3),
        (3.0, 40.0),
        lambda dose, truth: dose / (truth["sessions_ed50"] + dose),
        lambda column, truth, phase: truth["intercept"] + truth["sessions_maximum"] * column,
        "sessions_maximum",
        missing=True,
    ),
}
EDGES = np.array([0.0, 8, 16, np.inf])
"""Sessions that are not printed as a number are printed as one of "<8", "8-16" and ">16", or not at all."""


def phases_of(table: pd.DataFrame) -> np.ndarray:
    return np.array([list(PHASES).index(phase) for phase in table["phase"]])


def read(model: sd.Model, table: pd.DataFrame, imputed: bool) -> Rows:
    trials = sd.read_trials(table, direction="higher", measure="SMD", comparator="sham", design="parallel")
    return rows_of(model, trials, imputed)


def simulate(spec: Spec, template: Rows, rng: np.random.Generator) -> tuple[dict, Rows]:
    """A truth, and the rows that it gives."""
    table, n = template.table, len(template.table)
    truth = {name: value[0] for name, value in draw_prior(spec.model, template, 1, rng).items()}
    dose = table[spec.dose].to_numpy(float)
    if spec.missing:
        priors = spec.model.priors()
        drawn = lambda name, size=None: priors[f"{spec.dose}_{name}"].distribution.rvs(size=size, random_state=rng)
        typical, spread = drawn("true", 2), drawn("spread")
        truth |= {f"{spec.dose}_typical": typical, f"{spec.dose}_spread": spread}
        modality = np.unique(table["modality"], return_inverse=True)[1]
        dose = typical[modality] * np.exp(np.hypot(spread, LEAST_SPREAD) * rng.standard_normal(n))
    column, study = spec.column_of(dose, truth), template.study
    effect = spec.mean(column, truth, phases_of(table))
    effect = effect + truth["between_study"] * rng.standard_normal(len(template.studies))[study]
    by_study = rng.standard_normal(len(template.studies))[study]
    effect = effect + truth[f"{spec.coefficient}_between_study"] * by_study * column
    effect = effect + truth["within_study"] * rng.standard_normal(n) + table["se"].to_numpy(float) * rng.standard_normal(n)
    if not spec.missing:
        return truth, replace(template, effect=effect)
    printed = np.array([f"{value!r}" for value in dose.tolist()], object)
    interval = np.array(["<8", "8-16", ">16"])[np.searchsorted(EDGES, dose) - 1]
    row = np.arange(n)
    printed[row % 4 == 1], printed[row % 4 == 3] = None, interval[row % 4 == 3]
    return truth, read(spec.model, spec.table.assign(effect=effect, sessions=printed), imputed=True)


def as_it_is(program: Program, layout: Layout) -> Program:
    return program


def posterior(model: sd.Model, rows: Rows, seed: int, change: Callable) -> tuple[dict[str, np.ndarray], int]:
    """Draws (chains * draws, ...) of everything, and the number of divergences."""
    program, layout = encode(model, rows)
    found = nuts.sample(change(program, layout), seed=seed, **RUN)
    values = nuts.natural_values(program, layout, found.positions.reshape(-1, found.positions.shape[-1]))
    values |= draw_coefficients(model, rows, values, np.random.default_rng(seed))[0]
    return values, int(found.statistics["diverging"].sum())


def quantities(spec: Spec, rows: Rows, values: dict) -> dict[str, np.ndarray]:
    """Draws (draws,) of what is ranked, by name."""
    dims, found = variable_dims(spec.model, rows), {}
    for name, dim in dims.items():
        if name in values and not {"study", f"{name}_row"} & set(dim):
            found |= {
                f"{name} {k}" if dim else name: part for k, part in enumerate(values[name].reshape(len(values[name]), -1).T)
            }
    grid, by = dose_grid(*spec.range, 101), spec.model.dose[0].by
    curves = curve_draws(spec.model, rows, values, spec.dose, np.concatenate([grid, spec.at]), by, {})
    return found | of_curves(spec, grid, curves)


def of_curves(spec: Spec, grid: np.ndarray, curves: np.ndarray) -> dict[str, np.ndarray]:
    found = {f"best dose {k}": best for k, best in enumerate(best_dose(grid, curves[:, : len(grid)])[0].T)}
    at = curves[:, len(grid) :]
    return found | {f"curve at {x:.3g} {k}": at[:, j, k] for j, x in enumerate(spec.at) for k in range(at.shape[2])}


def true_quantities(spec: Spec, truth: dict, names: list[str]) -> dict[str, float]:
    """The same of the truth, its curves by the formulas above: by phase, or averaged over the rows' phases."""
    found = {}
    for name in names:
        variable, _, part = name.partition(" ")
        if variable in truth:
            found[name] = np.ravel(truth[variable])[int(part or 0)]
    grid, groups = dose_grid(*spec.range, 101), phases_of(spec.table)
    doses = np.concatenate([grid, spec.at])
    column = spec.column_of(doses, truth)
    curves = np.stack([spec.mean(column, truth, np.full(len(doses), k)) for k in range(3)], axis=-1)
    if not spec.model.dose[0].by:
        curves = curves @ (np.bincount(groups)[:, None] / len(groups))
    return found | {name: value[0] for name, value in of_curves(spec, grid, curves[None]).items()}


def ranks_of(spec: Spec, replications: int, seed: int = 1, change: Callable = as_it_is) -> tuple[pd.DataFrame, dict]:
    """Ranks (replications, quantities) of the truth, 0 to RANKS - 1, ties at random; and counts of what went wrong.

    change, from program and layout to the program that is sampled: to see what a mistake in the density does.
    """
    template = read(spec.model, spec.table.assign(effect=0.0), imputed=False)
    ranks, failures, divergences = [], 0, 0
    for k in range(replications):
        rng = np.random.default_rng([seed, k])
        truth, rows = simulate(spec, template, rng)
        values, diverging = posterior(spec.model, rows, k, change)
        draws = quantities(spec, rows, values)
        true = true_quantities(spec, truth, list(draws))
        assert set(true) == set(draws), set(true) ^ set(draws)
        thinned = np.linspace(0, RUN["draws"] * RUN["chains"] - 1, RANKS - 1).round().astype(int)
        ranks.append({name: rank(true[name], part[thinned], rng) for name, part in draws.items()})
        chains = np.stack(list(draws.values()), axis=-1).reshape(RUN["chains"], RUN["draws"], -1)
        failures += not np.nanmax(r_hats(xr.DataArray(chains, dims=("chain", "draw", "quantity")))) < RHAT_MAX
        divergences += diverging
    return pd.DataFrame(ranks), {"r_hat_failures": failures, "divergences": divergences}


def rank(truth: float, draws: np.ndarray, rng: np.random.Generator) -> int:
    ties = np.isclose(draws, truth, rtol=1e-12, atol=0)
    return int((draws[~ties] < truth).sum() + rng.integers(ties.sum() + 1))


class Band:
    """The simultaneous band of the ECDF of uniform ranks at the ends of bins, from simulated ranks."""

    def __init__(self, replications: int, rng: np.random.Generator):
        self.replications, self.bins = replications, BINS if replications >= FEW else BINS // 2
        self.z = np.arange(1, self.bins) / self.bins
        counts = rng.multinomial(replications, np.full(self.bins, 1 / self.bins), SIMULATED).cumsum(axis=1)[:, :-1]
        self.least = np.sort(self.pointwise(counts).min(axis=1))

    def pointwise(self, counts: np.ndarray) -> np.ndarray:
        """Two-sided p values of counts (..., bins - 1) at or below each end."""
        binomial = stats.binom(self.replications, self.z)
        return 2 * np.minimum(binomial.cdf(counts), binomial.sf(counts - 1))

    def judge(self, ranks: np.ndarray) -> dict[str, float]:
        """Of ranks: p value of chi-square and of the ECDF, its largest deviation, and the half-width of the 99 % band there."""
        observed = np.bincount(ranks * self.bins // RANKS, minlength=self.bins)
        counts = observed.cumsum()[:-1]
        deviation = counts / self.replications - self.z
        k = np.abs(deviation).argmax()
        gamma = np.quantile(self.least, 0.01)
        ends = stats.binom(self.replications, self.z[k]).ppf([gamma / 2, 1 - gamma / 2]) / self.replications - self.z[k]
        below = np.searchsorted(self.least, self.pointwise(counts).min() * (1 + 1e-9))
        return {
            "chi2_p": float(stats.chisquare(observed).pvalue),
            "ecdf_p": float((below + 1) / (SIMULATED + 1)),
            "deviation": float(deviation[k]),
            "band": float(ends[int(deviation[k] > 0)]),
        }


def judged(ranks: pd.DataFrame) -> pd.DataFrame:
    """A line for each quantity: p values, largest deviation of the ECDF and the 99 % band there."""
    band = Band(len(ranks), np.random.default_rng(0))
    return pd.DataFrame({name: band.judge(column.to_numpy()) for name, column in ranks.items()}).T


def smallest_p(table: pd.DataFrame) -> float:
    """Of the best of the two tests of every quantity, after Bonferroni."""
    return float(min(1.0, 2 * len(table) * table[["chi2_p", "ecdf_p"]].min().min()))


def calibrate(name: str, replications: int, seed: int = 1) -> dict:
    started = time.perf_counter()
    ranks, wrong = ranks_of(SPECS[name], replications, seed)
    table = judged(ranks)
    worst = table[["chi2_p", "ecdf_p"]].min(axis=1).idxmin()
    return {
        "benchmark": "calibration",
        "spec": name,
        "replications": replications,
        "worst": worst,
        **table.loc[worst].round(4).to_dict(),
        "p_after_bonferroni": round(smallest_p(table), 4),
        "outside_99_band": int((table["ecdf_p"] < 0.01).sum()),
        **wrong,
        "seconds": round(time.perf_counter() - started, 1),
        "chi2_p, ecdf_p, deviation, band": table.round(3).apply(list, axis=1).to_dict(),
    }


def main() -> None:
    replications = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    for name in sys.argv[2:] or SPECS:
        print(json.dumps(calibrate(name, replications)), flush=True)


if __name__ == "__main__":
    main()
