"""What each arm contributed: people, mean, standard deviation and events, printed or recovered from what is printed in their place.

`recover` leaves the table alone and returns a frame of its own: `people_<arm>`, `design_effect` (1 without clusters), `n_<arm>`
(effective: people / design effect, for variances), `events_<arm>`, and `<prefix>mean_<arm>`, `<prefix>sd_<arm>` for each prefix
("" at the end, `baseline_`, `change_`), NaN where nothing gives them.
"""

import numpy as np
import pandas as pd

from . import effects, summaries
from .audit import Ledger
from .tables import Faults, last_digit

ARMS = ("active", "control")
PREFIXES = ("", "baseline_", "change_")
QUANTILES = {"minimum": "min", "q1": "q1", "median": "median", "q3": "q3", "maximum": "max"}
STATISTICS = ("mean", "sd", "se", "ci_low", *QUANTILES.values())

SD_TOLERANCE = 0.1
"""Two versions of a standard deviation may differ by this share, and by the rounding of print, before they contradict each other."""
MEAN_TOLERANCE = 0.1
"""Two versions of a mean may differ by this share of the SD, and by the rounding of print."""


def recover(table: pd.DataFrame, cells: pd.DataFrame, faults: Faults, ledger: Ledger) -> pd.DataFrame:
    """The arm summaries of every row; faults where two printed versions contradict each other."""
    arms = pd.DataFrame({f"n_{arm}": column(table, f"n_{arm}") for arm in ARMS})
    crossover = table["design"].eq("crossover")
    differ = crossover & (arms["n_active"] - arms["n_control"]).abs().gt(0)
    faults.add(differ, "n_control", "differs from n_active, but the people of a crossover are the same in both conditions")
    arms["n_control"] = arms["n_control"].where(~crossover | arms["n_control"].notna(), arms["n_active"])
    for arm in ARMS:
        arms[f"events_{arm}"] = column(table, f"events_{arm}")
        too_many = arms[f"events_{arm}"] > arms[f"n_{arm}"]
        faults.add(too_many, f"events_{arm}", "is more than the people of the arm")
        for prefix in PREFIXES:
            if not any(f"{prefix}{name}_{arm}" in table for name in STATISTICS):
                arms[f"{prefix}mean_{arm}"] = arms[f"{prefix}sd_{arm}"] = np.nan
                continue
            _mean(arms, table, prefix, arm, faults, ledger)
            _sd(arms, table, cells, prefix, arm, faults, ledger)
            _check_mean(arms, table, cells, prefix, arm, faults)
    for prefix in PREFIXES:
        for arm, other in (ARMS, ARMS[::-1]):
            _borrow_sd(arms, table, prefix, arm, other, ledger)
    for arm in ARMS:
        _check_change(arms, table, cells, arm, faults)
    _allow_for_clusters(arms, table, faults, ledger)
    return arms


def column(table: pd.DataFrame, name: str) -> pd.Series:
    """A column as floats, NaN where the table lacks it."""
    return table[name].astype(float) if name in table else pd.Series(np.nan, table.index, dtype=float)


def given(cells: pd.DataFrame, name: str) -> pd.Series:
    """Whether each row prints something in a column, readable or not."""
    return cells[name].notna() if name in cells else pd.Series(False, cells.index)


def _quantiles(table: pd.DataFrame, n: pd.Series, prefix: str, arm: str, faults: Faults | None = None) -> tuple[dict, pd.Series]:
    """Median, quartiles and range of the rows that give enough of them in order, and what there is ("" in the other rows)."""
    if f"{prefix}median_{arm}" not in table:
        return {}, pd.Series("", table.index)
    found = {key: column(table, f"{prefix}{name}_{arm}") for key, name in QUANTILES.items()}
    in_order, highest = pd.Series(True, table.index), pd.Series(-np.inf, table.index)
    for values in found.values():
        in_order &= ~(values < highest)
        highest = np.fmax(highest, values)
    if faults is not None:
        faults.add(~in_order, f"{prefix}median_{arm}", "minimum, quartiles, median and maximum are not in order")
    enough = in_order & (n >= 2)
    scenario = pd.Series(summaries.scenario(**{key: values.to_numpy() for key, values in found.items()}), table.index)
    return found, scenario.where(enough, "")


def _from_quantiles(
    formula, table: pd.DataFrame, n: pd.Series, prefix: str, arm: str, method: str
) -> tuple[pd.Series, pd.Series]:
    found, scenario = _quantiles(table, n, prefix, arm)
    use = scenario != ""
    values = pd.Series(np.nan, table.index)
    if use.any():
        values[use] = formula(n[use], **{key: item[use] for key, item in found.items()}, method=method)
    return values, scenario


def _mean(arms: pd.DataFrame, table: pd.DataFrame, prefix: str, arm: str, faults: Faults, ledger: Ledger) -> None:
    name = f"{prefix}mean_{arm}"
    _quantiles(table, arms[f"n_{arm}"], prefix, arm, faults)
    mean, scenario = _from_quantiles(summaries.mean_from_quantiles, table, arms[f"n_{arm}"], prefix, arm, "luo")
    arms[name] = column(table, name)
    done = arms[name].isna() & mean.notna()
    arms[name] = arms[name].where(~done, mean)
    printed = [f"n_{arm}", *(f"{prefix}{quantile}_{arm}" for quantile in QUANTILES.values())]
    formula = "mean from " + scenario
    ledger.add(done, name, mean, formula, printed=printed, assumption="scores nearly normal", source="Luo 2018")


def _sd(
    arms: pd.DataFrame, table: pd.DataFrame, cells: pd.DataFrame, prefix: str, arm: str, faults: Faults, ledger: Ledger
) -> None:
    name, n = f"{prefix}sd_{arm}", arms[f"n_{arm}"]
    se, low, high = (column(table, f"{prefix}{item}_{arm}") for item in ("se", "ci_low", "ci_high"))
    level = column(table, "ci_level").fillna(0.95)
    limits = [f"{prefix}ci_low_{arm}", f"{prefix}ci_high_{arm}"]
    faults.add(given(cells, limits[0]) != given(cells, limits[1]), limits[0], "a confidence interval needs both ends")
    faults.add(low >= high, limits[0], "the lower confidence limit is not below the upper one")
    sd, rounding = column(table, name), last_digit(cells, name) / 2
    from_se = summaries.sd_from_se(se, n)
    its_rounding = summaries.sd_from_se(last_digit(cells, f"{prefix}se_{arm}") / 2, n)
    contradicts = _disagree(from_se, sd, rounding + its_rounding)
    faults.add(contradicts, f"{prefix}se_{arm}", f"contradicts {name} printed in the same row (SD = SE x sqrt(n))")
    usable = (n >= 2) & (low < high) & level.between(0, 1, inclusive="neither")
    digit = last_digit(cells, *limits)
    by_t, by_normal = (_sd_from_interval(low, high, n, level, usable, distribution) for distribution in ("t", "normal"))
    rounding = rounding.where(sd.notna(), its_rounding)
    its_rounding = _sd_from_interval(0 * digit, digit, n, level, usable, "normal")
    known, rounding = sd.fillna(from_se), rounding + its_rounding
    contradicts = _disagree(by_t, known, rounding) & _disagree(by_normal, known, rounding)
    faults.add(contradicts, limits[0], "the confidence interval contradicts the SD or SE printed in the same row")

    def use(version: pd.Series, formula, printed: list[str], source: str, assumption: str = "") -> None:
        nonlocal sd
        done = sd.isna() & version.notna() & (version > 0) & np.isfinite(version)
        sd = sd.where(~done, version)
        ledger.add(done, name, version, formula, printed=[f"n_{arm}", *printed], assumption=assumption, source=source)

    use(from_se, "SD = SE x sqrt(n)", [f"{prefix}se_{arm}"], "Cochrane Handbook 6.5.2.2")
    use(by_t, "SD from the confidence interval of the mean (t)", [*limits, "ci_level"], "Cochrane Handbook 6.5.2.2")
    version, scenario = _from_quantiles(summaries.sd_from_quantiles, table, n, prefix, arm, "wan")
    names = [f"{prefix}{quantile}_{arm}" for quantile in QUANTILES.values()]
    use(version, "SD from " + scenario, names, "Wan 2014", "scores nearly normal")
    arms[name] = sd


def _disagree(version: pd.Series, sd: pd.Series, rounding) -> pd.Series:
    return (version - sd).abs() > SD_TOLERANCE * sd + rounding


def _sd_from_interval(low, high, n, level, usable: pd.Series, distribution: str) -> pd.Series:
    sd = pd.Series(np.nan, n.index)
    sd[usable] = summaries.sd_from_interval(low[usable], high[usable], n[usable], level[usable], distribution)
    return sd


def _check_mean(arms: pd.DataFrame, table: pd.DataFrame, cells: pd.DataFrame, prefix: str, arm: str, faults: Faults) -> None:
    """A printed mean that lies outside the range of the scores, or far from the middle of its own confidence interval."""
    name = f"{prefix}mean_{arm}"
    mean, digit = column(table, name), last_digit(cells, name)
    low, high, smallest, largest = (column(table, f"{prefix}{item}_{arm}") for item in ("ci_low", "ci_high", "min", "max"))
    outside = (mean + digit / 2 < smallest) | (mean - digit / 2 > largest)
    faults.add(outside, name, "lies outside the smallest and largest value printed in the same row")
    tolerance = MEAN_TOLERANCE * arms[f"{prefix}sd_{arm}"].fillna(0) + digit
    digit = last_digit(cells, f"{prefix}ci_low_{arm}", f"{prefix}ci_high_{arm}")
    off_centre = (mean - (low + high) / 2).abs() > tolerance + digit
    faults.add(off_centre, name, "is far from the middle of its confidence interval")


def _check_change(arms: pd.DataFrame, table: pd.DataFrame, cells: pd.DataFrame, arm: str, faults: Faults) -> None:
    """A printed mean change that is not the printed mean after minus the printed mean before."""
    names = [f"{prefix}mean_{arm}" for prefix in PREFIXES]
    after, before, change = (column(table, name) for name in names)
    sd = arms[f"sd_{arm}"].fillna(arms[f"baseline_sd_{arm}"]).fillna(arms[f"change_sd_{arm}"]).fillna(0)
    rounding = sum(last_digit(cells, name) for name in names)
    contradicts = (after - before - change).abs() > MEAN_TOLERANCE * sd + rounding
    faults.add(contradicts, names[2], "contradicts the means after and before printed in the same row")


def _borrow_sd(arms: pd.DataFrame, table: pd.DataFrame, prefix: str, arm: str, other: str, ledger: Ledger) -> None:
    name, its = f"{prefix}sd_{arm}", f"{prefix}sd_{other}"
    borrow = arms[name].isna() & arms[its].notna() & arms[f"{prefix}mean_{arm}"].notna()
    ledger.add(borrow, name, arms[its], "SD of the other arm", printed=[its], assumption="equal SDs in both arms")
    arms[name] = arms[name].where(~borrow, arms[its])


def _allow_for_clusters(arms: pd.DataFrame, table: pd.DataFrame, faults: Faults, ledger: Ledger) -> None:
    size, icc = column(table, "cluster_size"), column(table, "icc")
    unsaid = size.gt(1) & icc.isna() & ~faults.rows(("icc",))
    faults.add(unsaid, "icc", "is empty: clusters need their intracluster correlation, printed or stated")
    arms["design_effect"] = effects.design_effect(size, icc).fillna(1.0)
    for arm in ARMS:
        n = arms[f"people_{arm}"] = arms[f"n_{arm}"]
        arms[f"n_{arm}"] = n / arms["design_effect"]
        use = n.notna() & size.notna() & icc.notna()
        formula = "effective n = n / (1 + (cluster size - 1) x icc), for variances"
        names = [f"n_{arm}", "cluster_size", "icc"]
        ledger.add(use, f"n_{arm}", arms[f"n_{arm}"], formula, printed=names, source="Cochrane Handbook 23.1.4")
