"""Operating characteristics of the verdict on the best dose: what `sd.optimum` says of tables whose truth is known.

Generated tables of 40 trials for every truth, each refitted from a fit of one more table of the same truth, with the default
settings of `Fit.refit`, and judged with the default settings of `sd.optimum` (of `sd.joint_optimum` for two doses).

Prints one JSON line for every truth, and group where the truth has groups: counts of verdicts, of "identified" with its exact 95 %
interval, coverage of the true best dose. Usage: python benchmarks/operating.py [TRUTH ...] [--tables TABLES] [--workers 2]
[--records FILE] [--smoke]
"""

import argparse
import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from common import say, show
from scipy import stats

import stimdose as sd
from stimdose import joint_verdicts, verdicts

FREQUENCIES = np.array([1.0, 3, 5, 10, 15, 20, 30, 50])
SESSIONS = np.array([5.0, 10, 15, 20, 30])
TRIALS, TWO_ARMS, WITHIN = 40, 1 / 3, 0.05
"""Trials of a table, the share of them with two arms (of different frequencies), the sd of true effects within a trial."""
LEVELS = {"acute": 0.3, "subacute": 0.2, "chronic": 0.1}
"""The effect without any dose, SMD."""
PEAK, BEST_PULSES = 22.0, 1200.0
"""True best doses, Hz and pulses per session; the prior median of the best frequency is 7 Hz."""
PULSES, PULSES_SPREAD = 800, 1.2
"""Median of pulses per session, and the sd of their logarithm; at r = 0.8 they grow nearly in proportion to the frequency, as where
trains have a usual length."""


def bell(dose, peak: float, width: float = 0.5):
    return np.exp(-0.5 * (np.log(dose / peak) / width) ** 2)


@dataclass(frozen=True)
class Truth:
    """effect, from the doses of a table to what they add (rows,), SMD. best: the true best dose, by phase or for all (""); None where
    there is none inside the range. r: correlation of log frequency and log pulses, where the table has pulses.
    asked: the arguments of `optimum` beside the fit; two doses are those of `joint_optimum`. tables: their usual number."""

    effect: Callable[[pd.DataFrame], np.ndarray]
    model: sd.Model
    best: dict[str, float | None] = field(default_factory=lambda: {"": None})
    r: float | None = None
    asked: tuple[str, ...] = ("frequency_hz",)
    by: str | None = None
    tables: int = 200


def model_of(*doses: sd.Dose) -> sd.Model:
    return sd.Model(name="bells", intercept=sd.Intercept(by="phase"), dose=doses)


SHIPPED = sd.load_model("frequency-bell")
PRODUCT = model_of(sd.Dose(column="frequency_hz", shape="bell", times=sd.Dose(column="sessions", shape="bell")))
SCALED = model_of(sd.Dose(column="frequency_hz", shape="bell", times=sd.Dose(column="sessions", shape="linear")))
WITH_PULSES = SHIPPED.replace(dose=(*SHIPPED.dose, sd.Dose(column="pulses_per_session", shape="bell")))
NEAR_10_HZ = sd.Prior("lognormal", interval=(8, 12.5), prob=0.95)
LEANING = SHIPPED.with_priors({"frequency_hz_peak": NEAR_10_HZ})
CERTAIN = LEANING.with_priors({"frequency_hz_amplitude": sd.Prior("lognormal", interval=(0.3, 1.0), prob=0.95)})


def flat(table: pd.DataFrame) -> np.ndarray:
    return np.zeros(len(table))


def rising(table: pd.DataFrame) -> np.ndarray:
    return 0.6 * np.log(table["frequency_hz"]) / np.log(50)


def plateau(table: pd.DataFrame) -> np.ndarray:
    return 0.6 * table["frequency_hz"] ** 2 / (table["frequency_hz"] ** 2 + 5.0**2)


def peaked(height: float) -> Callable[[pd.DataFrame], np.ndarray]:
    return lambda table: height * bell(table["frequency_hz"], PEAK)


def only_pulses(table: pd.DataFrame) -> np.ndarray:
    return 1.5 * bell(table["pulses_per_session"], BEST_PULSES, width=0.8)


def both_rising(table: pd.DataFrame) -> np.ndarray:
    return 1.0 * np.log(table["frequency_hz"]) / np.log(50) * np.log(table["sessions"] / 2) / np.log(15)


def both_peaked(table: pd.DataFrame) -> np.ndarray:
    return 1.0 * bell(table["frequency_hz"], PEAK) * bell(table["sessions"], 12.0)


def only_frequency(table: pd.DataFrame) -> np.ndarray:
    return 1.0 * bell(table["frequency_hz"], PEAK)


def scaled_by_sessions(table: pd.DataFrame) -> np.ndarray:
    return 1.0 * bell(table["frequency_hz"], PEAK) * table["sessions"] / 30


def one_phase_peaked(table: pd.DataFrame) -> np.ndarray:
    return peaked(0.6)(table) * (table["phase"] == "subacute")


TWO, PHASES = ("frequency_hz", "sessions"), {"subacute": PEAK, "chronic": None}
BY_PHASE = model_of(sd.Dose(column="frequency_hz", shape="bell", by="phase"))
TRUTHS = {
    "flat": Truth(flat, SHIPPED),
    "rising": Truth(rising, SHIPPED),
    "rising to a plateau": Truth(plateau, SHIPPED),
    "peak of 0.3": Truth(peaked(0.3), SHIPPED, {"": PEAK}),
    "peak of 0.6": Truth(peaked(0.6), SHIPPED, {"": PEAK}),
    "flat, prior near 10 Hz": Truth(flat, LEANING, tables=40),
    "flat, prior sure of 10 Hz": Truth(flat, CERTAIN, tables=40),
    "only pulses, peaked": Truth(only_pulses, SHIPPED, r=0.8),
    "only pulses, peaked, r = 0.5": Truth(only_pulses, SHIPPED, r=0.5, tables=40),
    "only pulses, in the model": Truth(only_pulses, WITH_PULSES, r=0.8, tables=30),
    "two phases, one peaked": Truth(one_phase_peaked, BY_PHASE, PHASES, by="phase", tables=40),
    "product, flat": Truth(flat, PRODUCT, asked=TWO, tables=30),
    "product, rising": Truth(both_rising, PRODUCT, asked=TWO, tables=30),
    "product, peaked": Truth(both_peaked, PRODUCT, {"": PEAK}, asked=TWO, tables=30),
    "product, sessions do nothing": Truth(only_frequency, SCALED, asked=("sessions",), tables=40),
    "product, sessions scale the effect": Truth(scaled_by_sessions, SCALED, asked=("sessions",), tables=40),
}


def design(truth: Truth, rng: np.random.Generator) -> pd.DataFrame:
    """A table without effects: every arm has controls of its own, 8 to 80 people a group, mostly about 20."""
    arms = 1 + (rng.random(TRIALS) < TWO_ARMS)
    study = np.repeat(np.arange(TRIALS), arms)
    phases = [name for name in LEVELS if truth.by is None or name in truth.best]
    people = np.clip(rng.lognormal(np.log(20), 0.5, TRIALS), 8, 80)
    table = pd.DataFrame(
        {
            "study": [f"Trial {k}" for k in study],
            "arm": [str(k) for k in range(len(study))],
            "phase": rng.choice(phases, TRIALS)[study],
            "frequency_hz": np.concatenate([rng.choice(FREQUENCIES, k, replace=False) for k in arms]),
            "se": np.sqrt(2 / people)[study],
        }
    )
    if "sessions" in truth.asked:
        table["sessions"] = rng.choice(SESSIONS, len(study))
    if truth.r is not None:
        logs = np.log(FREQUENCIES)
        z = (np.log(table["frequency_hz"]) - logs.mean()) / logs.std()
        z = truth.r * z + np.sqrt(1 - truth.r**2) * rng.standard_normal(len(study))
        table["pulses_per_session"] = (PULSES * np.exp(PULSES_SPREAD * z)).round(-1).clip(10)
    return table


def trials_of(name: str, number: int) -> sd.Trials:
    """Table `number` of a truth: the effect of the doses, of the phase, of the trial and of the arm, and a sampling error."""
    truth, rng = TRUTHS[name], np.random.default_rng([*name.encode(), number])
    table = design(truth, rng)
    trial = rng.normal(0, rng.uniform(0.15, 0.2), TRIALS)[pd.factorize(table["study"])[0]]
    noise = rng.normal(0, np.hypot(WITHIN, table["se"]))
    effect = truth.effect(table) + table["phase"].map(LEVELS) + trial + noise
    return sd.read_trials(table.assign(effect=effect), direction="higher", measure="SMD", comparator="sham", design="parallel")


def of_one_dose(fit: sd.Fit, truth: Truth) -> dict[str, dict]:
    """By group: the verdict, those that the draws and the prior alone would give, and the best dose."""
    best = sd.optimum(fit, *truth.asked, by=truth.by)
    prior = sd.curve(fit, *truth.asked, by=truth.by, group="prior", size=best.curves.sizes[best.column])
    drawn, by_prior = (verdicts.verdicts(curves, best.delta) for curves in (best.curves, prior))
    numbers = best.table()[["best_dose", "low", "high", "contraction"]].round(3).T.to_dict()
    return {
        group: {"verdict": word, "drawn": drawn[group], "prior": by_prior[group]} | numbers[group]
        for group, word in best.verdicts.items()
    }


def of_two_doses(fit: sd.Fit, truth: Truth) -> dict[str, dict]:
    """The same of a combination; the numbers are those of the first dose."""
    best = sd.joint_optimum(fit, *truth.asked)
    drawn, prior = (", ".join(joint_verdicts.verdicts(one, best.delta)) for one in (best.surface, best.prior_surface))
    low, middle, high = best.doses[truth.asked[0]].quantile([0.025, 0.5, 0.975]).values.round(3).tolist()
    return {"": {"verdict": best.verdict, "drawn": drawn, "prior": prior, "best_dose": middle, "low": low, "high": high}}


def judged(name: str, number: int, request: sd.Request) -> list[dict]:
    """What is said of one table: a record for each group."""
    truth, started = TRUTHS[name], time.perf_counter()
    fit = request.run(cores=1)
    found = of_one_dose(fit, truth) if len(truth.asked) == 1 else of_two_doses(fit, truth)
    common = {"truth": name, "table": number, "converged": fit.diagnosis.converged}
    common["seconds"] = round(time.perf_counter() - started, 3)
    return [common | {"group": group} | said for group, said in found.items()]


def outcomes(name: str, tables: int, run: Callable = map) -> Iterator[list[dict]]:
    """Records of tables 1, 2, ... of a truth, refitted from a fit of table 0."""
    first = sd.fit(TRUTHS[name].model, trials_of(name, 0), seed=1, progress=False)
    numbers = range(1, tables + 1)
    requests = (first.request(trials=trials_of(name, number), seed=number) for number in numbers)
    return run(judged, [name] * tables, numbers, requests)


def share(count: int, total: int) -> dict | None:
    """A count, its share, and the exact 95 % interval of the share (Clopper and Pearson)."""
    if not total:
        return None
    interval = stats.binomtest(count, total).proportion_ci()
    ends = [round(float(end), 3) for end in (interval.low, interval.high)]
    return {"count": count, "of": total, "share": round(count / total, 3), "interval": ends}


def summary(records: Iterable[dict]) -> list[dict]:
    """One line for each truth and group."""
    found = []
    for (name, group), part in pd.DataFrame(records).groupby(["truth", "group"], sort=False):
        best, is_identified = TRUTHS[name].best[group], part["verdict"] == "identified"
        line = {"benchmark": "operating", "truth": name, "group": group, "best": best, "tables": len(part)}
        line["verdicts"] = part["verdict"].value_counts().to_dict()
        line["identified"] = share(int(is_identified.sum()), len(part))
        line["by_draws_alone"] = part["drawn"].value_counts().to_dict()
        of_prior = (part["verdict"] == part["prior"]) & (part["verdict"] != "not identified")
        line["the_priors_own"] = {"given": int(of_prior.sum()), "prior": part["prior"].value_counts().to_dict()}
        if best is not None:
            covered = part["low"].le(best) & part["high"].ge(best)
            line["coverage"] = share(int(covered.sum()), len(part))
            line["coverage_where_identified"] = share(int(covered[is_identified].sum()), int(is_identified.sum()))
        line["fits_not_converged"] = int((~part["converged"]).sum())
        middle = part[[column for column in ("best_dose", "low", "high", "contraction", "seconds") if column in part]].median()
        found.append(line | {"medians": middle.dropna().round(3).to_dict()})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("truths", nargs="*", metavar="TRUTH", help=f"of {', '.join(TRUTHS)}")
    parser.add_argument("--tables", type=int, help="by default 200, fewer where a fit is slow")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--records", type=Path, help="file to add one JSON line a table to")
    parser.add_argument("--smoke", action="store_true", help="two tables of each truth")
    asked = parser.parse_args()
    with sd.batches.pool(asked.workers) as executor:
        for name in asked.truths or TRUTHS:
            records, started = [], time.perf_counter()
            tables = 2 if asked.smoke else asked.tables or TRUTHS[name].tables
            for found in outcomes(name, tables, executor.map):
                records += found
                if asked.records:
                    with asked.records.open("a") as file:
                        file.writelines(json.dumps(record) + "\n" for record in found)
            say(f"{name}: {time.perf_counter() - started:.0f} s")
            for line in summary(records):
                show(line)


if __name__ == "__main__":
    main()
