"""A fit as a folder of files: the saved fit, tables as CSV, figures as PDF and PNG."""

import inspect
import os
import re
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from . import figures
from .averaging import Average
from .checks import Check
from .completeness import completeness, reported
from .curves import band, curve, points
from .decisions import Contrast
from .dose_space import Support, support
from .ecology import WithinAcross
from .errors import StimdoseError
from .files import write_text
from .folders import BOOK, filling
from .joint_optima import JointOptimum, joint_optimum
from .manifest import posterior_sha256
from .model_comparison import ModelComparison
from .model_odds import BayesFactors
from .optima import Optimum, optimum
from .paths import OptimaByPath
from .predictive import study_effects
from .prior_comparison import PriorComparison
from .sampling import Fit
from .trials import Trials

FOREST_ROWS = 120
"""A forest of more rows than this does not fit on a page, and is not drawn."""
UNFINISHED = "unfinished-fit.nc"
"""A fit whose tables or figures could not be written."""


def make_folder(path: str | Path) -> Path:
    """Create a folder. Raises StimdoseError if it cannot be created, or if no file can be written to it: that is better known before
    an hour of sampling than after it."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise StimdoseError(f"{folder} is a file: name a folder to write to") from None
    except OSError as error:
        raise StimdoseError(f"cannot create the folder {folder}: {error.strerror}") from None
    try:
        for place in (folder, folder / BOOK) if (folder / BOOK).is_dir() else (folder,):
            tempfile.TemporaryFile(dir=place).close()
    except OSError as error:
        raise StimdoseError(f"cannot write to the folder {folder}: {error.strerror}") from None
    return folder


def together(write: Callable[..., list[Path]]) -> Callable[..., list[Path]]:
    """A function whose files come into its `folder` when all are written, see `filling`."""
    signature = inspect.signature(write)

    @wraps(write)
    def run(*arguments, **more) -> list[Path]:
        given = signature.bind(*arguments, **more)
        folder = given.arguments["folder"]
        with filling(folder) as stage:
            given.arguments["folder"] = stage
            written = write(*given.args, **given.kwargs)
        return [folder / path.relative_to(stage) for path in written]

    return run


def write_fit(
    fit: Fit, folder: Path, *, delta: float | None = None
) -> tuple[list[Path], dict[str, Optimum], dict[str, JointOptimum]]:
    """Write a fit and everything that is usually printed of it, in place of an earlier fit and what was written of that. Returns the paths,
    the optimum of every dose, and the joint optimum of every two doses that are multiplied.

    If anything cannot be computed or written, the earlier fit stays, and this one is kept as `unfinished-fit.nc`.
    """
    with filling(folder, fit=posterior_sha256(fit)) as stage:
        saved = fit.save(stage / "fit.nc")
        try:
            written, optima, joint = _write_answers(fit, stage, delta)
        except BaseException as error:
            with filling(folder) as beside:
                os.replace(saved, beside / UNFINISHED)
            error.add_note(f"The fit itself is kept as {folder / UNFINISHED}")
            raise
    return [folder / path.relative_to(stage) for path in [saved, *written]], optima, joint


def _write_answers(fit: Fit, folder: Path, delta: float | None) -> tuple[list[Path], dict[str, Optimum], dict[str, JointOptimum]]:
    written = []
    tables = {"parameters": fit.summary(), "priors": fit.prior_table(), "effects": study_effects(fit)}
    tables["audit"] = fit.trials.audit().set_index("row")
    if len(imputed := fit.imputed()):
        tables["imputed"] = imputed.set_index("row")
    if (contrast := fit.more_is_better()) is not None:
        tables["more-is-better"] = contrast.set_index("dose")
    written += [_write_table(table, folder, name) for name, table in tables.items()]
    groups = next(iter(fit.rows.levels), None)
    if len(fit.trials) <= FOREST_ROWS:
        written += _write_figure(figures.forest(study_effects(fit, group=groups)), folder, "forest")
    optima, joint = {}, {}
    for dose in fit.model.doses:
        by = fit.model.shown_by(dose.column)
        written += write_curve(fit, dose.column, folder, by=by)
        optima[dose.column] = optimum(fit, dose.column, by=by, delta=delta)
        written += write_optimum(optima[dose.column], folder, points(fit, dose.column, by=by))
    for dose in fit.model.dose:
        if dose.times:
            found = joint_optimum(fit, dose.column, dose.times.column, delta=delta)
            joint[f"{dose.column} x {dose.times.column}"] = found
            written += write_surface(found, folder, fit.trials)
    if fit.model.dose and len((found := support(fit)).region) > 1:
        written += write_support(found, folder, fit.trials)
    return written, optima, joint


@together
def write_audit(trials: Trials, folder: Path) -> list[Path]:
    """Write what was done to a table on reading, and what its studies report."""
    tables = {"audit": trials.audit().set_index("row"), "completeness": completeness(trials).set_index("group")}
    tables["reported"] = reported(trials)
    return [_write_table(table, folder, name) for name, table in tables.items()]


@together
def write_curve(fit: Fit, column: str, folder: Path, *, by: str | None = None, over=None, at: dict | None = None) -> list[Path]:
    """Write one dose-response curve as CSV, PDF and PNG."""
    mean, new = (curve(fit, column, by=by, kind=kind, over=over, at=at) for kind in ("mean", "new study"))
    table = band(mean).merge(band(new), on=[column, *([by] if by else [])], suffixes=("", "_new_study"))
    path = _write_table(table.set_index(column), folder, f"curve-{column}")
    axes = figures.dose_response(mean, new_study=new, points=trials_shown(fit, column, by=by, at=at))
    return [path, *_write_figure(axes, folder, f"dose-response-{column}")]


@together
def write_categories(chances: xr.DataArray, folder: Path) -> list[Path]:
    """Write the probability of each level along a dose, mean and interval, as CSV."""
    column = chances.attrs["dose"]
    return [_write_table(band(chances).set_index(column), folder, f"categories-{column}")]


def trials_shown(fit: Fit, column: str, *, by: str | None = None, at: dict | None = None) -> pd.DataFrame:
    """The trials beside a curve, as `points`: those of the groups that it is held at."""
    found = points(fit, column, by=by)
    for name, level in (at or {}).items():
        if name in fit.rows.levels:
            found = found[fit.rows.table.loc[found.index, name].map(str) == level]
    return found


@together
def write_optimum(
    best: Optimum, folder: Path, points: pd.DataFrame, name: str = "optimum", *, chances: bool = False
) -> list[Path]:
    """Write the table of a best dose, and the figure of it under its curve with the trials as `points`. chances: what `write_chances`
    writes comes with it."""
    name = f"{name}-{best.column}"
    written = [_write_table(best.table(), folder, name), *_write_figure(figures.optimum(best, points=points), folder, name)]
    return written + (write_chances(best, folder) if chances else [])


@together
def write_chances(best: Optimum, folder: Path) -> list[Path]:
    """Write how probable each dose is to be near the best and, where a benefit is stated, to have it; and the expected loss."""
    chances = {"near_best": best.near_best(), "expected_loss": best.expected_loss()}
    drawn = {"near-best": figures.near_best(best)}
    if best.benefit is not None:
        chances["benefit"] = best.p_benefit(best.benefit)
        drawn["benefit"] = figures.near_best(best, chance=chances["benefit"])
    table = xr.Dataset(chances).to_dataframe().reset_index().set_index(best.column)
    written = [_write_table(table, folder, f"near-best-{best.column}")]
    return written + [path for name, axes in drawn.items() for path in _write_figure(axes, folder, f"{name}-{best.column}")]


@together
def write_paths(found: OptimaByPath, folder: Path) -> list[Path]:
    """Write the best dose along each path, and the curves along them side by side."""
    axes = figures.curve_families({name: best.curves for name, best in found.optima.items()})
    path = _write_table(found.table(), folder, f"optima-by-path-{found.column}")
    return [path, *_write_figure(axes, folder, f"curves-by-path-{found.column}")]


@together
def write_contrast(found: Contrast, folder: Path) -> list[Path]:
    """Write a contrast between two protocols, which name the files."""
    name = f"contrast-{found.label}"
    return [_write_table(found.table(), folder, name), *_write_figure(figures.contrasts(found), folder, name)]


@together
def write_prior_comparison(found: PriorComparison, folder: Path) -> list[Path]:
    """Write what moves with the priors: tables, and for each dose the curves and the best doses under every set."""
    tables = {"priors-verdicts": found.table(), "priors-effects": found.effects(), "priors-changes": found.changes()}
    tables |= {"priors-heterogeneity": found.heterogeneity(), "priors-elpd": found.elpd, "priors-methods": found.methods}
    tables |= {"priors-overlap": found.overlap, "priors-conflict": found.conflict, "priors-sensitivity": found.sensitivity}
    written = [_write_table(table, folder, name) for name, table in tables.items()]
    fit = found.fits[found.reference]
    for column in found.curves[found.reference]:
        shown = points(fit, column, by=fit.model.shown_by(column))
        written += _write_figure(figures.prior_curves(found, column, points=shown), folder, f"priors-curves-{column}")
        written += _write_figure(figures.prior_optima(found, column), folder, f"priors-optima-{column}")
    return written


@together
def write_model_comparison(found: ModelComparison, odds: BayesFactors | None, folder: Path) -> list[Path]:
    """Write how models compare: tables, the differences in elpd, and the best doses in every model."""
    tables = {"models-elpd": found.elpd, "models-by-study": found.by_study, "models-pairs": found.pairs}
    tables |= {"models-verdicts": found.table(), "models-effects": found.effects()}
    if odds:
        tables |= {"models-bayes-factors": odds.table(), "models-marginal-likelihoods": odds.marginal_likelihoods}
    written = [_write_table(table, folder, name) for name, table in tables.items()]
    written += _write_figure(figures.comparison(found), folder, "models-elpd")
    for column in dict.fromkeys(name for own in found.optima.values() for name in own):
        written += _write_figure(figures.prior_optima(found, column), folder, f"models-optima-{column}")
    return written


@together
def write_surface(best: JointOptimum, folder: Path, trials: Trials) -> list[Path]:
    """Write the effect over two doses (mean, 95 % interval, whether trials were near, whether in the 95 % region of the best
    combination), the best combination, and the figure of both."""
    (first, second), draws = best.doses, ("chain", "draw")
    low, high = (best.surface.quantile(q, draws).drop_vars("quantile") for q in (0.025, 0.975))
    cells = {"mean": best.surface.mean(draws), "low": low, "high": high, "in_region": best.region()}
    table = xr.Dataset(cells).to_dataframe()[[*cells, "visited"]]
    axes = figures.surface(best.surface, best, points=trials.table[[first, second]])
    return [
        _write_table(table, folder, f"surface-{first}-{second}"),
        _write_table(best.table(), folder, f"joint-optimum-{first}-{second}"),
        *_write_figure(axes, folder, f"surface-{first}-{second}"),
    ]


@together
def write_support(found: Support, folder: Path, trials: Trials) -> list[Path]:
    """Write which doses trials tried together: one line per dose, one per pair that goes together, one per pair of parameters that
    cannot be separated; and the figure of all pairs of doses of which numbers are printed."""
    tables = {"support": found.region.assign(inflation=found.inflation), "support-pairs": found.pairs.set_index("first")}
    if len(found.parameters):
        tables["support-parameters"] = found.parameters.set_index("first")
    written = [_write_table(table, folder, name) for name, table in tables.items()]
    drawn = found.region.index[found.region["rows"] > 0]
    if len(drawn) < 2:
        return written
    found = replace(found, correlation=found.correlation.loc[drawn, drawn])
    return written + _write_figure(figures.support(found, trials.table), folder, "support")


@together
def write_within_across(found: WithinAcross, folder: Path) -> list[Path]:
    """Write the slopes within and across trials, their figure, and the fit that they come from."""
    name = f"within-across-{found.column}"
    written = [_write_table(found.table(), folder, name), *_write_figure(figures.within_across(found), folder, name)]
    return [*written, found.fit.save(folder / f"{_plain(name)}.nc")]


@together
def write_average(
    average: Average, best: Optimum, table: pd.DataFrame, folder: Path, *, over: tuple[float, float] | None = None
) -> list[Path]:
    """Write an average of models: their weights, what each says of the best dose (`table`), the averaged optimum and all curves."""
    column, by = best.column, best.by
    shown = points(next(iter(average.fits.values())), column, by=by)
    curves = {name: curve(fit, column, by=by, over=over) for name, fit in average.fits.items()}
    axes = figures.curve_families(curves | {"average": best.curves}, points=shown)
    return [
        _write_table(average.elpd, folder, "average-models"),
        _write_table(table, folder, f"average-{column}"),
        *write_optimum(best, folder, shown, "average-optimum"),
        *_write_figure(axes, folder, f"average-curves-{column}"),
    ]


@together
def write_check(found: Check, folder: Path) -> list[Path]:
    """Write every table of a check, and the figures: rows against what others predict, and the answers without each study."""
    written = [_write_table(table, folder, f"check-{name}") for name, table in found.tables.items()]
    written += _write_figure(figures.checks(found), folder, "check")
    written += _write_figure(figures.influence(found), folder, "influence")
    moved = found.tables["left_out"]
    for dose, group in moved[["dose", "group"]].drop_duplicates().itertuples(index=False) if "dose" in moved else ():
        axes = figures.influence(found, dose=dose, group=group or None)
        written += _write_figure(axes, folder, f"influence-{dose}{f'-{group}' if group else ''}")
    return written


def _plain(name: str) -> str:
    """A name that any file system takes: Windows has no ":" in file names."""
    return re.sub(r"[^\w.+-]+", "-", name)


def _write_figure(axes, folder: Path, name: str) -> list[Path]:
    import matplotlib.pyplot as plt

    path = folder / _plain(name)
    try:
        return figures.save(axes, path)
    except OSError as error:
        raise StimdoseError(f"cannot write the figure {path}: {error}") from None
    finally:
        plt.close(np.ravel(axes)[0].figure)


def _write_table(table: pd.DataFrame, folder: Path, name: str) -> Path:
    path = folder / f"{_plain(name)}.csv"
    if warning := table.attrs.get("warning"):
        table = table.assign(warning=warning)
    return write_text(path, table.to_csv(float_format="%.6g", lineterminator="\n"))
