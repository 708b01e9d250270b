"""A fit as one netCDF file: written whole or not at all, read back with its table.

The file is made in memory, because HDF5 crashes where a disk is full, and ends with its own SHA-256 (after the end of the netCDF file, where
other programs do not look), because netCDF would read many damaged files without a word.
"""

import hashlib
import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from .audit import Conversion
from .errors import FitError, Problem, shortened
from .files import replacing, write_bytes
from .trials import Trials

HDF5 = b"\x89HDF\r\n\x1a\n"
"""How a netCDF-4 file begins."""
SEAL = b"\nstimdose sha256 "
"""What stands between a netCDF file and its SHA-256."""
FORMAT = "stimdose fit 1"
NEEDED = ("posterior", "prior", "posterior_predictive", "log_likelihood", "sample_stats")


def write_tree(path: str | Path, tree: xr.DataTree, trials: Trials) -> Path:
    """Write atomically: either the whole new file or, if anything fails, what was there before. Raises FitError if it cannot be
    written."""
    content = bytes(_with_table(tree, trials).to_netcdf(engine="h5netcdf"))
    return write_bytes(Path(path), content + SEAL + hashlib.sha256(content).hexdigest().encode())


def _with_table(tree: xr.DataTree, trials: Trials) -> xr.DataTree:
    tree = tree.copy()
    tree["trials"] = xr.DataTree(table_to_dataset(trials))
    tree.attrs["format"] = FORMAT
    return tree


def read_tree(path: str | Path) -> tuple[xr.DataTree, Trials]:
    """The draws and the table of a saved fit. Raises FitError if the file is not one, is damaged, or is of a newer version."""
    path = Path(path)
    if not os.path.isfile(path):
        raise FitError(f"{path} is a folder: state the fit.nc in it" if os.path.isdir(path) else f"there is no file {path}")
    try:
        content = path.read_bytes()
        tree = (_read_arrays if path.suffix == ".npz" else _read_netcdf)(content)
    except _ForeignError as error:
        raise FitError(
            f"{path} is not a saved fit of stimdose{error}: state the fit.nc that `stimdose fit MODEL TRIALS -o FOLDER`, or `fit.save`, "
            "has written"
        ) from None
    except Exception as error:  # h5py, xarray, zipfile and json raise many kinds; each means that this is not a whole file
        raise FitError(f"{path} is not a saved fit of stimdose, or is damaged: {shortened(str(error))}") from error
    form = tree.attrs.pop("format", FORMAT)  # files of before there was one are read too
    if form != FORMAT:
        raise FitError(f"{path} is a {form}, and this version of stimdose reads {FORMAT}: use the version that wrote it")
    lacking = [name for name in (*NEEDED, "trials") if name not in tree.children]
    lacking += [name for name in ("model", "seed", "trials_sha256") if name not in tree.attrs]
    if lacking:
        raise FitError(f"{path} is damaged: it lacks {', '.join(lacking)}")
    try:
        trials = dataset_to_trials(tree["trials"].to_dataset())
    except Exception as error:  # of JSON and of pandas
        raise FitError(f"{path} is damaged: the table inside cannot be read: {error}") from error
    if trials.fingerprint != tree.attrs["trials_sha256"]:
        raise FitError(f"{path}: the table inside is not the one that was fitted")
    del tree["trials"]
    return tree, trials


class _ForeignError(Exception):
    """A file of another kind, or of another program."""


def _read_netcdf(content: bytes) -> xr.DataTree:
    if not content.startswith(HDF5):
        raise _ForeignError
    before, seal, known = content.rpartition(SEAL)
    if seal and hashlib.sha256(before).hexdigest().encode() != known:
        raise ValueError("its bytes are not those that were written")
    with xr.open_datatree(io.BytesIO(before if seal else content), engine="h5netcdf", phony_dims="sort") as opened:
        tree = opened.load()
    for group in tree.subtree:  # netCDF makes numpy's of plain numbers, which JSON does not take
        group.attrs = {name: value.item() if isinstance(value, np.generic) else value for name, value in group.attrs.items()}
    if "format" in tree.attrs and not seal:
        raise ValueError("its end is cut off, or another program wrote to it")
    if not {"model", "trials_sha256"} & set(tree.attrs):
        raise _ForeignError(", but a file of another program")
    return tree


def write_arrays(path: str | Path, tree: xr.DataTree, trials: Trials) -> Path:
    """What `write_tree` writes, as a zip file of arrays (npz): ten times as fast, for batches of thousands of fits."""
    tree = _with_table(tree, trials)
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


def _read_arrays(content: bytes) -> xr.DataTree:
    if not zipfile.is_zipfile(io.BytesIO(content)):
        raise ValueError("it is not a zip file")
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
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
