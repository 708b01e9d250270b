"""A fit as one netCDF file: written whole or not at all, read back with its table."""

import json
import os
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from .errors import FitError, Problem
from .trials import Trials


def write_tree(path: str | Path, tree: xr.DataTree, trials: Trials) -> Path:
    """Write atomically: either the whole new file or, if anything fails, what was there before. Raises FitError if it cannot be
    written."""
    path = Path(path)
    tree = tree.copy()
    tree["trials"] = xr.DataTree(_table_to_dataset(trials))
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    except OSError as error:
        raise FitError(f"cannot write {path}: {error}") from None
    os.close(handle)
    try:
        tree.to_netcdf(temporary, engine="h5netcdf")
        with open(temporary, "rb+") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def read_tree(path: str | Path) -> tuple[xr.DataTree, Trials]:
    """The draws and the table of a saved fit. Raises FitError if the file is not one, or is damaged."""
    if not Path(path).is_file():
        raise FitError(f"there is no file {path}")
    try:
        with xr.open_datatree(path, engine="h5netcdf") as opened:
            tree = opened.load()
        trials = _dataset_to_trials(tree["trials"].to_dataset())
        fingerprint = tree.attrs["trials_sha256"]
    except Exception as error:  # h5py, xarray and json raise many kinds; each means that this is not a whole fit
        raise FitError(f"{path} is not a saved fit of stimdose, or is damaged: {error}") from error
    if trials.fingerprint != fingerprint:
        raise FitError(f"{path}: the table inside is not the one that was fitted")
    del tree["trials"]
    return tree, trials


def _table_to_dataset(trials: Trials) -> xr.Dataset:
    table = trials.table
    columns = {}
    for name in table:
        is_number = pd.api.types.is_numeric_dtype(table[name]) and name != "row"
        values = (
            table[name].to_numpy(float) if is_number else table[name].map(lambda v: "" if pd.isna(v) else str(v)).to_numpy(object)
        )
        columns[name] = ("line", values)
    dropped = [["" if part is None else str(part) for part in problem] for problem in trials.dropped]
    return xr.Dataset(
        columns, attrs={"columns": json.dumps(list(table)), "notes": json.dumps(trials.notes), "dropped": json.dumps(dropped)}
    )


def _dataset_to_trials(dataset: xr.Dataset) -> Trials:
    table = {}
    for name in json.loads(dataset.attrs["columns"]):
        values = dataset[name].to_numpy()
        is_number = np.issubdtype(values.dtype, np.floating)
        table[name] = values if is_number else pd.Series([None if value == "" else str(value) for value in values], dtype=object)
    dropped = tuple(Problem(*problem) for problem in json.loads(dataset.attrs["dropped"]))
    return Trials(pd.DataFrame(table), dropped, tuple(json.loads(dataset.attrs["notes"])))
