"""A fit as one netCDF file: written whole or not at all, read back with its table."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from .audit import Conversion
from .errors import FitError, Problem
from .files import replacing
from .trials import Trials

HDF5 = b"\x89HDF\r\n\x1a\n"
"""How a netCDF-4 file begins."""
NEEDED = ("posterior", "prior", "posterior_predictive", "log_likelihood", "sample_stats")


def write_tree(path: str | Path, tree: xr.DataTree, trials: Trials) -> Path:
    """Write atomically: either the whole new file or, if anything fails, what was there before. Raises FitError if it cannot be
    written."""
    path = Path(path)
    tree = tree.copy()
    tree["trials"] = xr.DataTree(table_to_dataset(trials))
    with replacing(path) as temporary:
        tree.to_netcdf(temporary, engine="h5netcdf")
    return path


def read_tree(path: str | Path) -> tuple[xr.DataTree, Trials]:
    """The draws and the table of a saved fit. Raises FitError if the file is not one, or is damaged."""
    if not Path(path).is_file():
        raise FitError(f"{path} is a folder: state the fit.nc in it" if Path(path).is_dir() else f"there is no file {path}")
    if Path(path).suffix != ".npz" and not _begins(path, HDF5):
        raise FitError(
            f"{path} is not a saved fit of stimdose: state the fit.nc that `stimdose fit MODEL TRIALS -o FOLDER`, or `fit.save`, has written"
        )
    try:
        if Path(path).suffix == ".npz":
            tree = _read_arrays(Path(path))
        else:
            with xr.open_datatree(path, engine="h5netcdf") as opened:
                tree = opened.load()
        trials = dataset_to_trials(tree["trials"].to_dataset())
        fingerprint = tree.attrs["trials_sha256"]
        lacking = [name for name in NEEDED if name not in tree] + [name for name in ("model", "seed") if name not in tree.attrs]
        if lacking:
            raise KeyError(f"it lacks {', '.join(lacking)}")
    except Exception as error:  # h5py, xarray and json raise many kinds; each means that this is not a whole fit
        raise FitError(f"{path} is not a saved fit of stimdose, or is damaged: {error}") from error
    if trials.fingerprint != fingerprint:
        raise FitError(f"{path}: the table inside is not the one that was fitted")
    del tree["trials"]
    return tree, trials


def _begins(path: str | Path, start: bytes) -> bool:
    with open(path, "rb") as file:
        return file.read(len(start)) == start


def write_arrays(path: str | Path, tree: xr.DataTree, trials: Trials) -> Path:
    """What `write_tree` writes, as a zip file of arrays (npz): ten times as fast, for batches of thousands of fits."""
    tree = tree.copy()
    tree["trials"] = xr.DataTree(table_to_dataset(trials))
    arrays: dict[str, Any] = {}
    groups: dict[str, Any] = {}
    for group in tree.children:
        found = tree[group].to_dataset()
        groups[group] = {"attrs": found.attrs, "dims": {str(name): list(v.dims) for name, v in found.variables.items()}}
        groups[group]["coords"] = [str(name) for name in found.coords]
        for name, v in found.variables.items():
            arrays[f"{group}/{name}"] = v.values.astype(str) if v.dtype == object else v.values
    path = Path(path)
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, header=np.array(json.dumps({"attrs": tree.attrs, "groups": groups})), **arrays)
    return path


def _read_arrays(path: Path) -> xr.DataTree:
    if not zipfile.is_zipfile(path):
        raise ValueError("it is not a zip file")
    with np.load(path, allow_pickle=False) as file:
        header = json.loads(str(file["header"]))
        groups = {}
        for group, found in header["groups"].items():
            variables = {name: (dims, file[f"{group}/{name}"]) for name, dims in found["dims"].items()}
            coords = {name: variables.pop(name) for name in found["coords"]}
            groups[group] = xr.Dataset(variables, coords, found["attrs"])
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = header["attrs"]
    return tree


def check_arrays(path: str | Path) -> None:
    """Raise FitError if a file of `write_arrays` is damaged: every part has a checksum."""
    try:
        with zipfile.ZipFile(path) as file:
            bad = file.testzip()
    except (OSError, zipfile.BadZipFile) as error:
        raise FitError(f"{path} is damaged: {error}") from None
    if bad:
        raise FitError(f"{path} is damaged: the checksum of {bad} is wrong")


def table_to_dataset(trials: Trials) -> xr.Dataset:
    """The table as JSON, so that any column name and any text survives."""
    columns = {
        name: {"dtype": str(values.dtype), "values": [None if pd.isna(value) else value for value in values.tolist()]}
        for name, values in trials.table.items()
    }
    dropped = [[problem.row, *problem[1:]] for problem in trials.dropped]
    content = {
        "columns": columns,
        "conversions": [list(line) for line in trials.conversions],
        "remarks": list(trials.remarks),
        "dropped": dropped,
    }
    return xr.Dataset({"json": ((), json.dumps(content, default=str))})


def dataset_to_trials(dataset: xr.Dataset) -> Trials:
    content = json.loads(str(dataset["json"].item()))
    table = {name: pd.Series(column["values"], dtype=column["dtype"]) for name, column in content["columns"].items()}
    for name, values in table.items():
        if values.dtype == object:
            table[name] = values.where(values.notna(), None)
    dropped = tuple(Problem(*problem) for problem in content["dropped"])
    conversions = tuple(Conversion(*line) for line in content["conversions"])
    return Trials(pd.DataFrame(table), dropped, conversions, tuple(content["remarks"]))
