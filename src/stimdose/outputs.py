"""A fit as a folder of files: the saved fit, tables as CSV, figures as PDF and PNG."""

from pathlib import Path

import numpy as np

from . import figures
from .completeness import completeness, reported
from .curves import band, curve, points
from .errors import StimdoseError
from .optima import Optimum, optimum
from .predictive import study_effects
from .sampling import Fit
from .trials import Trials

FOREST_ROWS = 120
"""A forest of more rows than this does not fit on a page, and is not drawn."""


def make_folder(path: str | Path) -> Path:
    """Create a folder. Raises StimdoseError if it cannot be created."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StimdoseError(f"cannot create the folder {folder}: {error}") from None
    return folder


def write_fit(fit: Fit, folder: Path, *, delta: float | None = None) -> tuple[list[Path], dict[str, Optimum]]:
    """Write a fit and everything that is usually printed of it. Returns the paths, and the optimum of every dose."""
    written = [fit.save(folder / "fit.nc")]
    tables = {"parameters": fit.summary(), "priors": fit.prior_table(), "effects": study_effects(fit)}
    tables["audit"] = fit.trials.audit().set_index("row")
    if len(imputed := fit.imputed()):
        tables["imputed"] = imputed.set_index("row")
    if (contrast := fit.more_is_better()) is not None:
        tables["more-is-better"] = contrast.set_index("dose")
    written += [_write_table(table, folder / f"{name}.csv") for name, table in tables.items()]
    groups = next(iter(fit.rows.levels), None)
    if len(fit.trials) <= FOREST_ROWS:
        written += _write_figure(figures.forest(study_effects(fit, group=groups)), folder / "forest")
    optima = {}
    for dose in fit.model.doses:
        by = fit.model.shown_by(dose.column)
        written += write_curve(fit, dose.column, by, folder)
        optima[dose.column] = optimum(fit, dose.column, by=by, delta=delta)
        written.append(_write_table(optima[dose.column].table(), folder / f"optimum-{dose.column}.csv"))
    return written, optima


def write_audit(trials: Trials, folder: Path) -> list[Path]:
    """Write what was done to a table on reading, and what its studies report."""
    tables = {"audit": trials.audit().set_index("row"), "completeness": completeness(trials).set_index("group")}
    tables["reported"] = reported(trials)
    return [_write_table(table, folder / f"{name}.csv") for name, table in tables.items()]


def write_curve(fit: Fit, column: str, by: str | None, folder: Path, over: tuple[float, float] | None = None) -> list[Path]:
    """Write one dose-response curve as CSV, PDF and PNG."""
    mean, new = (curve(fit, column, by=by, kind=kind, over=over) for kind in ("mean", "new study"))
    table = band(mean).merge(band(new), on=[column, *([by] if by else [])], suffixes=("", "_new_study"))
    path = _write_table(table.set_index(column), folder / f"curve-{column}.csv")
    axes = figures.dose_response(mean, new_study=new, points=points(fit, column, by=by))
    return [path, *_write_figure(axes, folder / f"dose-response-{column}")]


def _write_figure(axes, path: Path) -> list[Path]:
    import matplotlib.pyplot as plt

    written = figures.save(axes, path)
    plt.close(np.atleast_1d(axes)[0].figure)
    return written


def _write_table(table, path: Path) -> Path:
    table.to_csv(path, float_format="%.6g")
    return path
