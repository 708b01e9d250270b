"""`report`: a fit as a folder for authors, reviewers and readers."""

import itertools
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from .. import figures
from ..arguments import checked
from ..errors import StimdoseError
from ..files import write_text
from ..folders import filling
from ..manifest import METHODS, check_room, posterior_sha256, write_manifest, write_table
from ..outputs import make_folder
from ..sampling import Fit
from . import answers, checklists, data, methods, model, page, robustness, tables
from .findings import SETS, Findings, Options, findings, sets_as_values
from .parts import Figure, Section, Table, counted

FORMATS = ("pdf", "svg", "png")
SHOWN = "svg"
"""The format that the page shows."""
SECTIONS = (
    answers.section,
    data.section,
    model.section,
    model.convergence,
    robustness.checks,
    robustness.left_out,
    robustness.slopes,
    robustness.priors,
    checklists.section,
    methods.section,
)
"""In their order on the page."""


@checked
def report(
    fit: Fit,
    folder: str | Path,
    *,
    priors: Iterable | Mapping | None = SETS,
    check: bool = True,
    ecology: bool = True,
    delta: float | None = None,
    title: str | None = None,
) -> Path:
    """Write the report of a fit to a folder, and return the path of `report.html`.

    The folder holds report.html (needs no other file, and nothing from the network), figures/ (PDF, SVG, PNG), tables/ (CSV, LaTeX, HTML for
    word processors), methods.md, fit.nc, table.json (the table as fitted) and manifest.json, from which `rerun` makes all of it again.

    priors: sets of priors to compare with those of the model, as `compare_priors` takes them; None or an empty list for none. check: whether
    the fit is checked, and every study left out (see `check`). ecology: whether slopes within and across trials are compared, which takes a
    fit for each dose. What is turned off, or cannot be done for this fit, is named as such in the report. delta: the smallest difference
    that matters, as in `optimum`. title: of the page.

    An earlier report in the folder is replaced. Raises StimdoseError where delta must be stated, or the folder cannot be written to or
    holds a methods.md that was edited.
    """
    options = Options(sets_as_values(priors or ()), check, ecology, delta, title)
    folder = make_folder(folder)
    check_room(folder)
    return write(findings(fit, options), folder)


def write(found: Findings, folder: Path) -> Path:
    """Write all files of a report, in place of those of an earlier one."""
    with filling(folder, lambda: check_room(folder), fit=posterior_sha256(found.fit)) as stage:
        html = _write(found, stage)
    return folder / html.name


def _write(found: Findings, folder: Path) -> Path:
    sections = with_file_names([make(found) for make in SECTIONS])
    blocks = [block for section in sections for block in section.blocks]
    drawn = {block.name: _draw(block, make_folder(folder / "figures")) for block in blocks if isinstance(block, Figure)}
    images = {name: next(path for path in paths if path.suffix == f".{SHOWN}") for name, paths in drawn.items()}
    shown = [tables.write(block, make_folder(folder / "tables")) for block in blocks if isinstance(block, Table)]
    trials = write_text(folder / "tables" / "trials.csv", found.table.to_csv(index=False, lineterminator="\n"))
    html = write_text(folder / "report.html", page.render(*heading(found), sections, images))
    found.fit.save(folder / "fit.nc")
    write_table(found.fit.trials, folder)
    said = write_text(folder / METHODS, methods.as_markdown(found))
    others = [html, said, *(path for paths in (*drawn.values(), *(rest for _, *rest in shown)) for path in paths)]
    write_manifest(found.fit, folder, found.options.as_values(), [*(first for first, *_ in shown), trials], others)
    return html


def with_file_names(sections: list[Section]) -> list[Section]:
    """Sections whose figures and tables have names that any file system takes, and that are different there too."""
    used, named = set(), []
    for section in sections:
        blocks = []
        for block in section.blocks:
            if isinstance(block, Figure | Table):
                plain = re.sub(r"[^\w.+-]+", "-", block.name)
                names = (f"{plain}-{k}" if k > 1 else plain for k in itertools.count(1))
                name = next(name for name in names if (type(block), name.casefold()) not in used)
                used.add((type(block), name.casefold()))
                block = replace(block, name=name)
            blocks.append(block)
        named.append(replace(section, blocks=tuple(blocks)))
    return named


def heading(found: Findings) -> tuple[str, str]:
    """The title of the page, and the line below it."""
    fit = found.fit
    title = found.options.title or f"Dose-response report: {fit.model.name}"
    kind = "SYNTHETIC DATA; " * data.is_synthetic(found)
    rows, studies = counted(len(found.table), "row"), counted(found.studies, "study", "studies")
    return title, f"{kind}{rows} of {studies}; model {fit.model.name}; seed {fit.tree.attrs['seed']}"


def _draw(figure: Figure, folder: Path) -> list[Path]:
    """Save a figure in every format."""
    import matplotlib.pyplot as plt
    import numpy as np

    axes = figure.draw()
    try:
        return figures.save(axes, folder / figure.name, formats=FORMATS)
    except OSError as error:
        raise StimdoseError(f"cannot write the figure {folder / figure.name}: {error.strerror or error}") from None
    finally:
        plt.close(np.ravel(axes)[0].figure)
