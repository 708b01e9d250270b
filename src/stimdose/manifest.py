"""`manifest.json`: everything that the numbers of a report follow from, and how to tell whether they came out again."""

import hashlib
import json
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict

import numpy as np
import pandas as pd
import xarray as xr
from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from .errors import FitError
from .files import sha256, write_text
from .model import Model
from .sampling import Fit, Request
from .settings import checked_seed, checked_settings, sources
from .specs import model_from_toml
from .storage import dataset_to_trials, table_to_dataset
from .trials import Trials

NAME, TABLE, METHODS, FORMAT = "manifest.json", "table.json", "methods.md", "stimdose manifest 1"
FROM_NOTHING, FROM_A_FIT, WEIGHTED = "from nothing", "from another fit", "from weighted draws of another fit"
"""How the sampler started. Only of the first does the manifest hold all that the draws depend on."""


class _Table(TypedDict):
    file: Literal["table.json"]
    sha256: str


@with_config(ConfigDict(extra="allow"))  # those of a refit
class _Settings(TypedDict):
    draws: int
    tune: int
    chains: int
    cores: int | None
    target_accept: float
    integrate: bool
    missing: Literal["error", "drop", "impute"]
    allow_mixed: list[str]


class _Content(TypedDict):
    """The entries that are read, and what they are; others are for people."""

    model: str
    table: _Table
    seed: int
    settings: _Settings
    report: dict
    started: str
    versions: dict[str, str]
    machine: str
    posterior_sha256: str
    tables: dict[str, str]
    files: dict[str, str]


@dataclass(frozen=True)
class Manifest:
    """What a report was made from.

    model, trials, seed, settings: of the fit. report: the options of the report. started: one of FROM_NOTHING, FROM_A_FIT, WEIGHTED.
    versions, machine: of what made the fit. posterior: SHA-256 of the draws. tables: SHA-256 by path in the folder. path: of the file.
    """

    model: Model
    trials: Trials
    seed: int
    settings: dict
    report: dict
    started: str
    versions: dict[str, str]
    machine: str
    posterior: str
    tables: dict[str, str]
    path: Path

    def request(self) -> Request:
        """The fit to be made again. Raises FitError for a seed or settings that are none."""
        return Request(self.model, self.trials, checked_seed(self.seed), checked_settings(self.settings))


def write_table(trials: Trials, folder: Path) -> Path:
    """The table as it was fitted, with everything noted on reading it, so that it comes back to the last digit."""
    return write_text(folder / TABLE, table_to_dataset(trials)["json"].item())


def write_manifest(fit: Fit, folder: Path, report: dict, tables: list[Path], others: Iterable[Path] = ()) -> Path:
    """Write `manifest.json` of a report whose tables are written, `write_table` included. others: of its files, those whose names
    depend on the fit, so that `report_in` knows them."""
    attrs, check = fit.tree.attrs, fit.diagnosis
    content = {
        "format": FORMAT,
        "model": attrs["model"],
        "table": {
            "file": TABLE,
            "sha256": sha256(folder / TABLE),
            "fingerprint": attrs["trials_sha256"],
            "rows": len(fit.trials),
            "studies": len(fit.rows.studies),
        },
        "seed": int(attrs["seed"]),
        "settings": json.loads(attrs["settings"]),
        "started": started(fit),
        "report": report,
        "versions": json.loads(attrs["versions"]) | {"sources": sources()},
        "machine": machine(),
        "diagnostics": {
            "converged": check.converged,
            "message": check.message,
            "r_hat_max": float(check.table["r_hat"].max()),
            "ess_min": float(check.table[["ess_bulk", "ess_tail"]].min(axis=None)),
            "divergences": check.divergences,
        },
        "posterior_sha256": posterior_sha256(fit),
        "tables": {path.relative_to(folder).as_posix(): sha256(path) for path in tables},
        "files": {path.relative_to(folder).as_posix(): sha256(path) for path in others},
    }
    return write_text(folder / NAME, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def read_manifest(path: str | Path) -> Manifest:
    """Read a manifest and the table beside it. Raises FitError for a file that is none or is damaged, and for a table that was edited."""
    path = Path(path)
    path = path / NAME if path.is_dir() else path
    content = _content(path)
    table = path.with_name(TABLE)
    if not table.is_file():
        raise FitError(
            f"{path}: the table that was fitted, {table.name}, is not beside it; copy both from the folder of the report"
        )
    if sha256(table) != content["table"]["sha256"]:
        raise FitError(
            f"{table} is not the table that was fitted: it was changed since; to fit another table, use `stimdose fit`"
        )
    try:
        trials = dataset_to_trials(xr.Dataset({"json": ((), table.read_text(encoding="utf-8"))}))
        return Manifest(
            model_from_toml(content["model"]),
            trials,
            content["seed"],
            content["settings"],
            content["report"],
            content["started"],
            content["versions"],
            content["machine"],
            content["posterior_sha256"],
            content["tables"],
            path,
        )
    except Exception as error:  # of JSON, pandas and the spec: each means that this is not what was written
        raise FitError(f"{path} was edited, or is damaged: {error}") from None


def _content(path: Path) -> dict:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FitError(f"cannot read the manifest {path}: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise FitError(f"{path} is not a manifest, or is cut off: {error}") from None
    form = content.get("format") if isinstance(content, dict) else None
    if not str(form).startswith("stimdose manifest"):
        raise FitError(f"{path} is not the manifest of a report: state the {NAME} that `stimdose report` has written")
    if form != FORMAT:
        raise FitError(f"{path} is a {form}, and this version of stimdose reads {FORMAT}: use the version that wrote it")
    try:
        return dict(TypeAdapter(_Content).validate_python(content, strict=True))
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
    raise FitError("\n  - ".join([f"{path} was edited, or is damaged:", *faults]))


def report_in(folder: Path) -> dict[str, str]:
    """SHA-256 of the files of the report that a folder holds, by name, as its manifest tells, and of the manifest; nothing where there is
    none. Raises FitError for a manifest that cannot be read."""
    if not (folder / NAME).exists():
        return {}
    try:
        content = _content(folder / NAME)
    except FitError as error:
        raise FitError(f"the folder holds another report, whose files are not known, so name another folder: {error}") from None
    return content["tables"] | content["files"] | {NAME: sha256(folder / NAME)}


def check_room(folder: Path) -> dict[str, str]:
    """`report_in`, of what a new report takes the place of. Raises FitError for a folder in which it would lose something: an unreadable
    manifest, or a methods text that is not as a report wrote it."""
    text, known = folder / METHODS, report_in(folder)
    if text.is_file() and sha256(text) != known.get(METHODS):
        raise FitError(f"{text} was edited, and would be lost: move it, or name another folder for the report")
    return known


def started(fit: Fit) -> str:
    """How the sampler started."""
    if "reweighted" in fit.tree.attrs:
        return WEIGHTED
    return FROM_A_FIT if "most_draws" in json.loads(fit.tree.attrs["settings"]) else FROM_NOTHING


def machine() -> str:
    """What kind of machine this is: draws are the same to the last digit on the same kind."""
    return f"{platform.system()} {platform.machine()}"


def posterior_sha256(fit: Fit) -> str:
    """SHA-256 of all draws, variables by name."""
    found = hashlib.sha256()
    for name, draws in sorted(fit.tree["posterior"].data_vars.items(), key=lambda item: str(item[0])):
        found.update(str(name).encode())
        found.update(np.ascontiguousarray(draws.to_numpy()).tobytes())
    return found.hexdigest()


def differences(before: Path, after: Path) -> tuple[float, str]:
    """The largest difference between the numbers of two tables (CSV), as a share of the largest number of its column, and where it is.

    Infinite where they do not have the same rows and columns, or another text stands in a cell.
    """
    one, other = (pd.read_csv(path, keep_default_na=False, na_values=[""]) for path in (before, after))
    if list(one) != list(other) or len(one) != len(other):
        return np.inf, "other rows or columns"
    largest, where = 0.0, ""
    for name in one:
        a, b = one[name], other[name]
        if pd.api.types.is_numeric_dtype(a) and pd.api.types.is_numeric_dtype(b):
            a, b = a.to_numpy(float), b.to_numpy(float)
            if not np.array_equal(np.isfinite(a), np.isfinite(b)):
                return np.inf, str(name)
            scale = np.max(np.abs(a[np.isfinite(a)]), initial=0.0)
            share = float(np.max(np.abs(a - b)[np.isfinite(a)], initial=0.0) / (scale or 1.0))
        else:
            share = 0.0 if a.astype(str).equals(b.astype(str)) else np.inf
        if share > largest:
            largest, where = share, str(name)
    return largest, where
