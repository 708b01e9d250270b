"""Which published pools follow from the subgroups that their review prints.

python benchmarks/published.py > docs/published.md
"""

from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

POOLS = Path(__file__).parents[1] / "data" / "published_pools" / "pools.csv"
Z = 1.959964
ROUNDING = 0.01
"""Printed numbers have two decimals: what is computed from rounded ones may differ by one in the last."""
NO_EFFECT = r"meta-regression|reported optimum|better than|one-stage dose-response|RCS one-stage"
"""Rows about a slope or a dose, not an effect."""


class Split(NamedTuple):
    """Subgroups of one pool, as the table has them: (outcome, subgroup) of the pool and of its parts. why_not: what in their words
    keeps them from being the whole of it."""

    review: str
    pool: tuple[str, str]
    by: str
    parts: tuple[tuple[str, str], ...]
    why_not: str = ""


def _of(outcome: str, *subgroups: str) -> tuple[tuple[str, str], ...]:
    return tuple((outcome, subgroup) for subgroup in subgroups)


ONE_OF_SEVERAL = "one subgroup is printed, the others are not"
OTHER_MEASURE = "the pool is an MD, the subgroup an SMD; the other subgroups are not printed"
REVIEW_2026, CHEN = ("rTMS for post-stroke spasticity, 2026", "Neurol Sci 2026;47:606"), "Chen G 2022"
TBS, SEVERITY = "TBS in stroke rehab review", "Front Neurol 2024 1369836"
PATTERNS, PULSES, FOLLOW_UP = ("iTBS", "cTBS"), ("600 pulses", "801 pulses"), ("follow-up <=1 month",)
SPLITS = [
    Split("Liu H", ("FMA-UE", ""), "target", _of("FMA-UE", "nerve-targeted", "muscle-targeted")),
    Split(REVIEW_2026[0], ("spasticity", ""), "hemisphere", _of("spasticity", "unaffected hemisphere"), OTHER_MEASURE),
    Split(REVIEW_2026[0], ("spasticity", ""), "frequency", _of("spasticity", "combined high and low frequency"), OTHER_MEASURE),
    Split(REVIEW_2026[0], ("motor function", ""), "limb", _of("motor function", "upper-limb spasticity"), OTHER_MEASURE),
    Split(REVIEW_2026[1], ("spasticity", "overall"), "hemisphere", _of("spasticity", "unaffected hemisphere"), OTHER_MEASURE),
    Split(
        REVIEW_2026[1], ("spasticity", "overall"), "frequency", _of("spasticity", "combined high+low frequency"), OTHER_MEASURE
    ),
    Split(REVIEW_2026[1], ("motor", "overall"), "limb", _of("motor", "upper limb PSS"), OTHER_MEASURE),
    Split(CHEN, ("hand function", "overall"), "phase", _of("hand function", "stage: acute", "stage: subacute", "stage: chronic")),
    Split(
        CHEN,
        ("hand function", "overall"),
        "follow-up",
        _of("hand function", "follow-up short term (0-1 month)", "follow-up medium term (2-5 months)"),
        "other times of measurement, of trials that are also in the pool",
    ),
    *(
        Split(TBS, (outcome, "overall"), by, _of(outcome, *parts), why)
        for outcome in ("LBT", "SCT")
        for by, parts, why in (
            ("pattern", PATTERNS, ""),
            ("pulses", PULSES, ""),
            ("follow-up", FOLLOW_UP, ONE_OF_SEVERAL),
        )
    ),
    Split(
        SEVERITY, ("FMA-UE", "inhibitory+excitatory"), "severity", _of("FMA-UE", "less severe hemiplegia", "severe hemiplegia")
    ),
    Split(
        SEVERITY,
        ("FMA-UE", "inhibitory+excitatory"),
        "protocol, severity, phase",
        _of("FMA-UE", "inhibitory, less severe, acute+subacute"),
        ONE_OF_SEVERAL,
    ),
    Split(
        "10.1177/09226028251394303",
        ("FMA-UE", "overall"),
        "sessions",
        _of("FMA-UE", "15-20 sessions"),
        ONE_OF_SEVERAL,
    ),
    Split("Qiao 2022", ("dysphagia", "overall"), "days", _of("dysphagia", ">5 days")),
    Split(
        "Dai Q 2024",
        ("VAS overall", "rTMS vs sham"),
        "follow-up",
        (("VAS 1 month", "rTMS vs sham"), ("VAS 3 months", "rTMS vs sham")),
        "the same trials at several times",
    ),
    Split(
        "Chhatbar",
        ("FM-UE change", "tDCS vs sham"),
        "phase",
        _of("FM-UE change", "chronic >2 y"),
        ONE_OF_SEVERAL,
    ),
]


def pools() -> pd.DataFrame:
    """The table as printed: text, empty cells as "" ."""
    return pd.read_csv(POOLS, dtype=str, keep_default_na=False)


def numbers(rows: pd.DataFrame) -> np.ndarray:
    """Estimate, lower and upper limit (rows, 3); NaN where not printed."""
    return rows[["estimate", "ci_low", "ci_high"]].apply(pd.to_numeric, errors="coerce").to_numpy(float)


def common_effect(parts: np.ndarray) -> np.ndarray:
    """Estimate and 95 % interval (3,) of parts (rows, 3) weighted by precision."""
    weight = (2 * Z / (parts[:, 2] - parts[:, 1])) ** 2
    return weight @ parts[:, 0] / weight.sum() + np.array([0, -Z, Z]) / np.sqrt(weight.sum())


def random_effects(parts: np.ndarray) -> np.ndarray:
    """The same with the variance between parts of DerSimonian and Laird (1986, Control Clin Trials 7:177-188)."""
    variance = ((parts[:, 2] - parts[:, 1]) / 2 / Z) ** 2
    weight = 1 / variance
    q = weight @ (parts[:, 0] - weight @ parts[:, 0] / weight.sum()) ** 2
    between = max(0.0, (q - len(parts) + 1) / (weight.sum() - weight @ weight / weight.sum()))
    half = Z * np.sqrt(variance + between)[:, None]
    return common_effect(np.column_stack([parts[:, 0], parts[:, :1] - half, parts[:, :1] + half]))


def rows_of(table: pd.DataFrame, review: str, names: tuple[tuple[str, str], ...]) -> pd.DataFrame:
    """The rows of a review by (outcome, subgroup); exactly one for each."""
    mine = table[table["review"].str.startswith(review)]
    found = [mine[(mine["outcome"] == outcome) & (mine["subgroup"] == subgroup)] for outcome, subgroup in names]
    if wrong := [name for name, rows in zip(names, found, strict=True) if len(rows) != 1]:
        raise ValueError(f"{review}: no single row is {wrong[0]}")
    return pd.concat(found)


def verdict(pool: pd.Series, parts: pd.DataFrame, why_not: str) -> tuple[str, np.ndarray | None, np.ndarray | None]:
    """Whether a pool follows from its parts, in words, and both closed forms where the parts can be pooled."""
    printed, of_parts = numbers(pool.to_frame().T)[0], numbers(parts)
    if np.isnan(of_parts).any() or np.isnan(printed).any():
        whose = " and ".join(
            what for what, cells in (("the pool", printed), ("the subgroups", of_parts)) if np.isnan(cells).any()
        )
        return f"no: no interval is printed of {whose}", None, None
    if why_not:
        return f"no: {why_not}", None, None
    common, random = common_effect(of_parts), random_effects(of_parts)
    if (abs(common - printed) <= ROUNDING).all():
        return "yes", common, random
    k = pd.to_numeric(pd.Series([pool["k_studies"], *parts["k_studies"]]), errors="coerce")
    if k.isna().any():
        return "no: the subgroups give another, and whether they hold all its trials is not printed", common, random
    if k[0] != k[1:].sum():
        return f"no: the subgroups hold {k[1:].sum():g} of its {k[0]:g} trials", common, random
    i2 = f" (I² {pool['i2_percent']} %)"
    return f"no: the subgroups hold all its trials, but the spread between these{i2} cannot be had from them", common, random


def splits() -> pd.DataFrame:
    """One line for each pool and split of it: review, outcome, by, printed, common, random (3,), verdict, and the rows used."""
    table, records = pools(), []
    for split in SPLITS:
        pool, parts = rows_of(table, split.review, (split.pool,)), rows_of(table, split.review, split.parts)
        said, common, random = verdict(pool.iloc[0], parts, split.why_not)
        records.append(
            {"review": pool["review"].item(), "outcome": split.pool[0], "by": split.by, "printed": numbers(pool)[0]}
            | {"common": common, "random": random, "verdict": said, "pool": pool.index[0], "parts": list(parts.index)}
        )
    return pd.DataFrame(records)


def undivided() -> dict[str, list[str]]:
    """Every other pool of the table, by the reason why nothing can be reproduced."""
    table, found, reasons = pools(), splits(), defaultdict(list)
    used = {*found["pool"], *(row for parts in found["parts"] for row in parts)}
    left = table[~table.index.isin(used) & ~table["subgroup"].str.contains(NO_EFFECT)]
    for (_, row), printed in zip(left.iterrows(), numbers(left), strict=True):
        reason = (
            "no estimate could be read"
            if np.isnan(printed[0])
            else "no subgroups are printed"
            if np.isfinite(printed).all()
            else "no subgroups are printed, and no interval"
        )
        reasons[reason].append(", ".join(filter(None, [row["review"], row["outcome"], row["subgroup"]])))
    return dict(reasons)


def _shown(numbers: np.ndarray | None) -> str:
    return (
        ""
        if numbers is None
        else "{:.2f} [{:.2f}, {:.2f}]".format(*numbers)
        if np.isfinite(numbers).all()
        else f"{numbers[0]:.2f}"
    )


def page() -> str:
    """The page as Markdown."""
    found, rest = splits(), undivided()
    yes = found[found["verdict"] == "yes"]
    cut, others = found["pool"].nunique(), sum(map(len, rest.values()))
    intro = (
        f"`data/published_pools` holds {cut + others} pooled effects that are not a subgroup of another row (those of the 2026 review of rTMS "
        "for spasticity twice, see its README). A review that prints a pool and all of its subgroups can be checked by pooling these. Of "
        f"{cut} pools with any subgroup printed, {yes['pool'].nunique()} can be reproduced; the others are declared here, with the reason."
    )
    rule = (
        "A pool is reproduced if estimate and both limits are within 0.01 of what its subgroups give, weighted by precision (a common effect). "
        "With random effects a review weights trials by the spread between all of them, which pools of subgroups do not tell: only where that "
        "spread is nil can such a pool be had from them. Numbers are as printed; an empty cell was not printed, or could not be read."
    )
    made = (
        "Printed by `python benchmarks/published.py > docs/published.md`, and checked by `tests/test_published.py`, which also fits the "
        "subgroups with the model `pooled`."
    )
    lines = ["# Published pools: what follows from what", "", intro, "", rule, "", made, ""]
    lines += [
        "## Pools with subgroups",
        "",
        "| review | outcome | subgroups by | printed | common effect of the subgroups | random effects | reproduced |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for line in found.itertuples():
        shown = " | ".join(_shown(each) for each in (line.printed, line.common, line.random))
        lines.append(f"| {line.review} | {line.outcome} | {line.by} | {shown} | {line.verdict} |")
    lines += ["", "## Pools without", ""]
    for reason, names in rest.items():
        lines += [f"**{reason[0].upper()}{reason[1:]}** ({len(names)}):", "", *(f"- {name}" for name in names), ""]
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    print(page(), end="")
