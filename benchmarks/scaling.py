"""Microseconds of a gradient against studies, columns and groups, and the figure of it: docs/images/scaling.png.

Studies: the bell model of vs_brms.py. Columns: a table of 300 studies with numeric moderators, each a column of the design matrix with
a coefficient that is integrated out. Groups: a table of 600 studies whose bell has strength, peak and width by group, with all rows of a
study in one group, or spread over the groups. The dashed reference, at half of the last
point, has the slope that a cost proportional to the size, or to its square, would have.

Prints one JSON line. Usage: python benchmarks/scaling.py [--smoke] [-o FOLDER]
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from common import bell_model, say, show
from gradients import seconds_a_gradient
from tables import bell_numbers, trials_table

import stimdose as sd
from stimdose.figures.style import BLUE, GREY, RED, SINGLE, SMALL, house, number

FIXED = {"direction": "higher", "measure": "SMD", "comparator": "sham", "design": "parallel"}
SIZES = {
    "studies": (30, 100, 300, 1000, 3000, 10000),
    "columns": (4, 8, 16, 32, 64, 128),
    "groups": (2, 4, 8, 16, 32, 64),
}
SMOKE = {"studies": (30, 60), "columns": (4, 8), "groups": (2, 4)}


def by_studies(studies: int) -> tuple[sd.Model, sd.Trials]:
    numbers = bell_numbers(studies)
    return bell_model(numbers), sd.read_trials(trials_table(numbers), **FIXED)


def by_columns(columns: int) -> tuple[sd.Model, sd.Trials]:
    """An intercept, and numeric moderators: nothing in X that moves."""
    numbers = bell_numbers(300)
    names = [f"moderator_{k}" for k in range(columns - 1)]
    values = np.random.default_rng(1).standard_normal((len(numbers), len(names)))
    table = pd.concat([trials_table(numbers), pd.DataFrame(values, columns=names)], axis=1)
    normal = sd.Prior("normal", mu=0.0, sigma=0.5)
    moderators = [sd.Moderator(column=name, prior=normal, center=0.0, per=1.0) for name in names]
    model = sd.Model(name="columns", intercept=sd.Intercept(), moderator=moderators, within_study=False)
    return model, sd.read_trials(table, **FIXED)


def by_groups(groups: int, nested: bool) -> tuple[sd.Model, sd.Trials]:
    numbers = bell_numbers(600)
    group = (numbers["study"] if nested else np.arange(len(numbers))) % groups
    table = trials_table(numbers).assign(site=[f"group {k}" for k in group])
    dose = sd.Dose(column="frequency_hz", shape="bell", by="site", by_study=False)
    return sd.Model(name="groups", intercept=sd.Intercept(), dose=[dose], within_study=False), sd.read_trials(table, **FIXED)


LINES = {
    "studies": {"": by_studies},
    "columns": {"": by_columns},
    "groups": {"nested": lambda groups: by_groups(groups, True), "crossed": lambda groups: by_groups(groups, False)},
}


def measured(sizes: dict[str, tuple[int, ...]], at_least: float) -> dict:
    found = {}
    for panel, lines in LINES.items():
        for name, build in lines.items():
            times, tables = [], []
            for size in sizes[panel]:
                seconds, dims = seconds_a_gradient(*build(size), at_least)
                times.append(round(1e6 * seconds, 2))
                tables.append(dims)
                say(panel, name, size, times[-1], dims)
            slope = np.diff(np.log(times[-2:])) / np.diff(np.log(sizes[panel][-2:]))
            found[f"{panel} {name}".strip()] = {
                panel: sizes[panel],
                "microseconds": times,
                "last_slope": round(float(slope[0]), 2),
                "rows": [dims["rows"] for dims in tables],
                "columns_of_x": [dims["columns"] for dims in tables],
                "parameters": [dims["parameters"] for dims in tables],
            }
    return found


AXES = {
    "studies": ("Studies (two rows each)", 1),
    "columns": ("Columns of the design matrix (612 rows)", 2),
    "groups": ("Groups with a bell each (1,216 rows)", 2),
}
"""Label of each panel, and the power of its reference."""
MARKS = {"markersize": 3.5, "linewidth": 1.0, "zorder": 3}
LABELS = {"groups nested": "groups of studies", "groups crossed": "groups within studies"}


def draw(found: dict):
    """Three panels, one below the other; logarithmic axes of like decades."""
    import matplotlib.pyplot as plt
    from matplotlib.ticker import FixedLocator, NullLocator

    with house(True):
        figure, axes = plt.subplots(3, 1, figsize=(SINGLE, 6.2), layout="constrained")
        for letter, ax, (panel, (label, power)) in zip("abc", axes, AXES.items(), strict=True):
            lines = {name: line for name, line in found.items() if name.split()[0] == panel}
            for (name, line), color, marker in zip(lines.items(), (BLUE, RED), "os", strict=False):
                ax.plot(line[panel], line["microseconds"], label=LABELS.get(name), color=color, marker=marker, **MARKS)
            x, low = np.array(lines[max(lines)][panel], float), min(min(line["microseconds"]) for line in lines.values())
            ends = [line["microseconds"][-1] for line in lines.values()]
            part = x[len(x) // 2 :]
            reference = 0.5 * min(ends) * (part / x[-1]) ** power
            ax.plot(part, reference, color=GREY, linewidth=0.8, linestyle=(0, (4, 2)), zorder=2)
            look = {"textcoords": "offset points", "fontsize": SMALL, "color": GREY, "ha": "left", "va": "top"}
            ax.annotate(["", "proportional", "quadratic"][power], (part[0], reference[0]), (12, 1), **look)
            ax.set(xscale="log", yscale="log", xlabel=label, ylabel="Time of a gradient (µs)")
            ax.xaxis.set(
                major_locator=FixedLocator(x), minor_locator=NullLocator(), major_formatter=lambda value, _: number(value)
            )
            ax.yaxis.set(minor_locator=NullLocator(), major_formatter=lambda value, _: number(value))
            ax.margins(x=0.04)
            ax.set_ylim(10 ** np.floor(np.log10(low)), 10 ** np.ceil(np.log10(1.2 * max(ends))))
            if len(lines) > 1:
                ax.legend(loc="upper left", handlelength=1.8, borderaxespad=0.2)
            ax.annotate(
                letter, (0, 1), (-42, 4), xycoords="axes fraction", textcoords="offset points", fontweight="bold", va="bottom"
            )
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="two sizes of each; the figure is drawn and not kept")
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent.parent / "docs" / "images")
    parser.add_argument(
        "--draw", type=Path, metavar="JSON", help="draw from the line that an earlier run printed; measure nothing"
    )
    asked = parser.parse_args()
    if asked.draw:
        sd.figures.save(draw(json.loads(asked.draw.read_text())), asked.output / "scaling", formats=["png"])
        return
    found = measured(SMOKE if asked.smoke else SIZES, 0.01 if asked.smoke else 0.2)
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) if asked.smoke else asked.output
        sd.figures.save(draw(found), output / "scaling", formats=["png"])
    show({"benchmark": "scaling"} | found)


if __name__ == "__main__":
    main()
