"""Operating characteristics of the verdict on the best dose at a smaller size; docs/operating-characteristics.md has the full one."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import benchmark_module
from scipy import stats

import stimdose as sd
from stimdose.verdicts import MOVES

TABLES = 40
UNLIKELY = 0.001


@pytest.fixture(scope="module")
def operating():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
        yield benchmark_module("operating")


def designs(operating, name: str, count: int) -> list[pd.DataFrame]:
    return [operating.design(operating.TRUTHS[name], np.random.default_rng(seed)) for seed in range(count)]


@pytest.mark.parametrize(("name", "r"), [("only pulses, peaked", 0.8), ("only pulses, peaked, r = 0.5", 0.5)])
def test_pulses_go_with_frequency_as_asked(operating, name, r):
    rows = pd.concat(designs(operating, name, 20))
    found = np.corrcoef(np.log(rows["frequency_hz"]), np.log(rows["pulses_per_session"]))[0, 1]
    assert abs(np.arctanh(found) - np.arctanh(r)) < 4 / np.sqrt(len(rows) - 3)


def test_a_design_has_forty_trials_of_doses_in_use_some_with_two_arms(operating):
    tables = designs(operating, "flat", 20)
    for table in tables:
        assert table["study"].nunique() == operating.TRIALS
        assert set(table["frequency_hz"]) <= set(operating.FREQUENCIES)
        assert not table.duplicated(["study", "frequency_hz"]).any()
        assert not table.duplicated(["study", "arm"]).any()
        assert (table.groupby("study")[["se", "phase"]].nunique() == 1).all(axis=None)
        assert table["se"].between(np.sqrt(2 / 80), np.sqrt(2 / 8)).all()
        assert "pulses_per_session" not in table
    second = sum(len(table) - operating.TRIALS for table in tables)
    assert stats.binomtest(second, 20 * operating.TRIALS, operating.TWO_ARMS).pvalue > UNLIKELY


def test_truths_are_what_they_are_called(operating):
    truths = operating.TRUTHS
    dose = pd.DataFrame({"frequency_hz": np.geomspace(1, 50, 2001), "sessions": 12.0, "phase": "subacute"})
    effect = {name: np.asarray(truth.effect(dose)) for name, truth in truths.items() if truth.r is None}
    assert not effect["flat"].any()
    for name in ("rising", "rising to a plateau", "product, rising"):
        assert (np.diff(effect[name]) > 0).all()
    assert effect["rising"][[0, -1]] == pytest.approx([0, 0.6])
    assert np.interp(5, dose["frequency_hz"], effect["rising to a plateau"]) == pytest.approx(0.3, abs=1e-4)
    for name, height in (("peak of 0.3", 0.3), ("peak of 0.6", 0.6), ("two phases, one peaked", 0.6), ("product, peaked", 1.0)):
        assert effect[name].max() == pytest.approx(height, abs=1e-4)
        assert dose["frequency_hz"][effect[name].argmax()] == pytest.approx(operating.PEAK, rel=0.002)
        ends = effect[name][[0, -1]]
        assert (height - ends > 0.2).all()  # by more than delta, 0.1: to say "identified" is right
    assert not truths["two phases, one peaked"].effect(dose.assign(phase="chronic")).any()
    pulses = pd.DataFrame({"frequency_hz": [1.0, 50, 1, 50], "pulses_per_session": [500.0, 500, 1200, 1200]})
    low, same, best, same_best = truths["only pulses, peaked"].effect(pulses)
    assert low == same < best == same_best


def test_effects_scatter_around_the_truth_as_stated(operating):
    between = (0.2**3 - 0.15**3) / (3 * 0.05)  # mean square of a uniform number from 0.15 to 0.2
    residuals = []
    for number in range(10):
        table = operating.trials_of("peak of 0.6", number).table.drop_duplicates("study")
        mean = 0.6 * np.exp(-2 * np.log(table["frequency_hz"] / 22) ** 2) + table["phase"].map(operating.LEVELS)
        residuals.append((table["effect"] - mean) / np.sqrt(table["se"] ** 2 + 0.05**2 + between))
    residuals = np.concatenate(residuals)
    assert abs(residuals.mean()) < 4 / np.sqrt(len(residuals))
    assert abs(residuals.var() - 1) < 4 * np.sqrt(2 / len(residuals))


def test_a_table_is_the_same_whenever_it_is_made(operating):
    one, again, other = (operating.trials_of(*which) for which in (("flat", 3), ("flat", 3), ("flat", 4)))
    assert one.fingerprint == again.fingerprint != other.fingerprint


def test_the_summary_counts(operating):
    words = ["identified"] * 3 + ["not identified"] * 7
    records = [
        {"truth": "peak of 0.6", "group": "", "table": k, "verdict": word, "drawn": "identified", "prior": "not identified"}
        | {"converged": k > 0, "low": 10.0 if k < 4 else 23.0, "high": 30.0, "seconds": 1.0}
        for k, word in enumerate(words)
    ]
    (line,) = operating.summary(records)
    assert line["verdicts"] == {"identified": 3, "not identified": 7}
    assert (line["identified"]["count"], line["identified"]["of"]) == (3, 10)
    assert (line["coverage"]["share"], line["coverage_where_identified"]["share"]) == (0.4, 1.0)
    assert (line["fits_not_converged"], line["the_priors_own"]["given"]) == (1, 0)
    assert line["by_draws_alone"] == {"identified": 10}
    assert operating.share(0, 200)["interval"] == [0, round(1 - 0.025 ** (1 / 200), 3)]


def not_above(count: int, total: int, share: float) -> bool:
    return stats.binomtest(count, total, share, alternative="greater").pvalue > UNLIKELY


def not_below(count: int, total: int, share: float) -> bool:
    return stats.binomtest(count, total, share, alternative="less").pvalue > UNLIKELY


@pytest.mark.slow
def test_verdicts_are_as_often_right_as_stated(operating):
    found = []
    for name in ("flat", "rising", "rising to a plateau", "peak of 0.6", "only pulses, peaked"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", sd.ConvergenceWarning)  # what did not converge is counted
            found += [record for records in operating.outcomes(name, TABLES) for record in records]
    table, lines = pd.DataFrame(found), {line["truth"]: line for line in operating.summary(found)}
    print(table.groupby(["truth", "verdict"]).size().to_string())
    has_no_peak = table["truth"].isin(["flat", "rising", "rising to a plateau"])
    false = has_no_peak & (table["verdict"] == "identified")
    assert not_above(false.sum(), has_no_peak.sum(), 0.05)
    peak = lines["peak of 0.6"]
    assert not_below(peak["identified"]["count"], TABLES, 0.6)
    assert not_below(peak["coverage"]["count"], TABLES, 0.95)
    confounded = table[table["truth"] == "only pulses, peaked"]
    is_seen = confounded["drawn"].isin(MOVES)
    assert is_seen.sum() >= TABLES / 2
    assert (confounded["verdict"][is_seen] == "confounded").mean() >= 0.9
    assert not confounded["verdict"].isin(MOVES).any()
    assert not_above((~table["converged"]).sum(), len(table), 0.05)
    assert not any(line["the_priors_own"]["given"] for line in lines.values())
