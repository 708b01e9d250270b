"""What each arm contributed: people, mean, standard deviation and events, printed or recovered from what is printed in their place.

`recover` leaves the table alone and returns a frame of its own: `n_<arm>` (effective, where clusters were randomised), `events_<arm>`,
and `<prefix>mean_<arm>`, `<prefix>sd_<arm>` for each prefix ("" at the end, `baseline_`, `change_`), NaN where nothing gives them.
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


def recover(table: pd.DataFrame, cells: pd.DataFrame, faults: Faults, ledger: Ledger) -> pd.DataFrame:
    """The arm summaries of every row; faults where two printed versions contradict each other."""
    arms = pd.DataFrame(index=table.index)
    for arm in ARMS:
        arms[f"n_{arm}"], arms[f"events_{arm}"] = column(table, f"n_{arm}"), column(table, f"events_{arm}")
        too_many = arms[f"events_{arm}"] > arms[f"n_{arm}"]
        faults.add(too_many, f"events_{arm}", "is more than the people of the arm")
        for prefix in PREFIXES:
            if not any(f"{prefix}{name}_{arm}" in table for name in STATISTICS):
                arms[f"{prefix}mean_{arm}"] = arms[f"{prefix}sd_{arm}"] = np.nan
                continue
            _mean(arms, table, prefix, arm, faults, ledger)
            _sd(arms, table, cells, prefix, arm, faults, ledger)
    for prefix in PREFIXES:
        for arm, other in (ARMS, ARMS[::-1]):
            _borrow_sd(arms, table, prefix, arm, other, ledger)
    _allow_for_clusters(arms, table, faults, ledger)
    return arms


def column(table: pd.DataFrame, name: str) -> pd.Series:
    """A column as floats, NaN where the table lacks it."""
    return table[name].astype(float) if name in table else pd.Series(np.nan, table.index, dtype=float)


def _quantiles(table: pd.DataFrame, prefix: str, arm: str, faults: Faults | None = None) -> tuple[dict, pd.Series]:
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
    enough = in_order & (column(table, f"n_{arm}") >= 2)
    scenario = pd.Series(summaries.scenario(**{key: values.to_numpy() for key, values in found.items()}), table.index)
    return found, scenario.where(enough, "")


def _from_quantiles(formula, table: pd.DataFrame, prefix: str, arm: str, method: str) -> tuple[pd.Series, pd.Series]:
    found, scenario = _quantiles(table, prefix, arm)
    use = scenario != ""
    values = pd.Series(np.nan, table.index)
    if use.any():
        values[use] = formula(table.loc[use, f"n_{arm}"], **{key: item[use] for key, item in found.items()}, method=method)
    return values, scenario


def _mean(arms: pd.DataFrame, table: pd.DataFrame, prefix: str, arm: str, faults: Faults, ledger: Ledger) -> None:
    name = f"{prefix}mean_{arm}"
    _quantiles(table, prefix, arm, faults)
    mean, scenario = _from_quantiles(summaries.mean_from_quantiles, table, prefix, arm, "luo")
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
    faults.add(low >= high, f"{prefix}ci_low_{arm}", "the lower confidence limit is not below the upper one")
    sd, rounding = column(table, name), last_digit(cells, name) / 2
    enough = n >= 2
    from_se = summaries.sd_from_se(se, n)
    its_rounding = summaries.sd_from_se(last_digit(cells, f"{prefix}se_{arm}") / 2, n)
    contradicts = (from_se - sd).abs() > SD_TOLERANCE * sd + rounding + its_rounding
    faults.add(contradicts, f"{prefix}se_{arm}", f"contradicts {name} printed in the same row (SD = SE x sqrt(n))")

    def use(version: pd.Series, formula, printed: list[str], source: str, assumption: str = "") -> None:
        nonlocal sd
        done = sd.isna() & version.notna() & (version > 0) & np.isfinite(version)
        sd = sd.where(~done, version)
        ledger.add(done, name, version, formula, printed=[f"n_{arm}", *printed], assumption=assumption, source=source)

    use(from_se, "SD = SE x sqrt(n)", [f"{prefix}se_{arm}"], "Cochrane Handbook 6.5.2.2")
    if (low.notna() & enough).any():
        usable = enough & (low < high) & level.between(0, 1, inclusive="neither")
        version = pd.Series(np.nan, table.index)
        version[usable] = summaries.sd_from_interval(low[usable], high[usable], n[usable], level[usable])
        limits = [f"{prefix}ci_low_{arm}", f"{prefix}ci_high_{arm}", "ci_level"]
        use(version, "SD from the confidence interval of the mean (t)", limits, "Cochrane Handbook 6.5.2.2")
    version, scenario = _from_quantiles(summaries.sd_from_quantiles, table, prefix, arm, "wan")
    names = [f"{prefix}{quantile}_{arm}" for quantile in QUANTILES.values()]
    use(version, "SD from " + scenario, names, "Wan 2014", "scores nearly normal")
    arms[name] = sd


def _borrow_sd(arms: pd.DataFrame, table: pd.DataFrame, prefix: str, arm: str, other: str, ledger: Ledger) -> None:
    name, its = f"{prefix}sd_{arm}", f"{prefix}sd_{other}"
    borrow = arms[name].isna() & arms[its].notna() & arms[f"{prefix}mean_{arm}"].notna()
    ledger.add(borrow, name, arms[its], "SD of the other arm", printed=[its], assumption="equal SDs in both arms")
    arms[name] = arms[name].where(~borrow, arms[its])


def _allow_for_clusters(arms: pd.DataFrame, table: pd.DataFrame, faults: Faults, ledger: Ledger) -> None:
    size, icc = column(table, "cluster_size"), column(table, "icc")
    faults.add(
        size.notna() & icc.isna() & (size > 1), "icc", "is empty: clusters need their intracluster correlation, printed or stated"
    )
    use = size.notna() & icc.notna()
    if not use.any():
        return
    for arm in ARMS:
        n = arms[f"n_{arm}"]
        effective = effects.effective_n(n, size, icc)
        done = use & n.notna()
        names = [f"n_{arm}", "cluster_size", "icc"]
        formula = "effective n = n / (1 + (cluster size - 1) x icc)"
        ledger.add(done, f"n_{arm}", effective, formula, printed=names, source="Cochrane Handbook 23.1.4")
        arms[f"n_{arm}"] = n.where(~done, effective)
        arms[f"events_{arm}"] = arms[f"events_{arm}"].where(~done, arms[f"events_{arm}"] * effective / n)
