"""What ships with the package: the folders `models/` and `data/`, inside an installed package or beside `src/` in a checkout."""

import tomllib
from dataclasses import replace
from pathlib import Path

import pandas as pd

from .errors import StimdoseError, nearest
from .reading import read_trials
from .trials import Trials


def folder(name: str) -> Path:
    """Path of a shipped folder. Raises StimdoseError where the installation lacks it."""
    package = Path(__file__).resolve().parent
    for candidate in (package / name, package.parents[1] / name):
        if candidate.is_dir():
            return candidate
    raise StimdoseError(f"this installation of stimdose lacks its {name!r} folder; install it again")


def _about(path: Path) -> dict:
    return tomllib.loads((path / "dataset.toml").read_text(encoding="utf-8"))


def _folders() -> dict[str, Path]:
    return {path.parent.name: path.parent for path in sorted(folder("data").glob("*/dataset.toml"))}


def datasets() -> pd.DataFrame:
    """The shipped tables: name, kind (real, published pools, synthetic), whether a model can be fitted to it, title, licence."""
    about = {name: _about(path) for name, path in _folders().items()}
    return pd.DataFrame.from_dict(
        {
            name: {"kind": a["kind"], "usable_for_fit": a["usable_for_fit"], "title": a["title"], "licence": a["licence"]}
            for name, a in about.items()
        },
        orient="index",
    ).rename_axis("name")


def dataset_path(name: str) -> Path:
    """Path of the CSV of a shipped table; its README lies beside it. Raises StimdoseError if there is no such table."""
    folders = _folders()
    if name not in folders:
        raise StimdoseError(f"no dataset {name!r}{nearest(name, folders)}; there are {', '.join(folders)}")
    return folders[name] / _about(folders[name])["file"]


def load_dataset(name: str) -> Trials:
    """Load a shipped table. Rows of the partial extractions stay although they have gaps: `gaps()` lists every empty cell.

    Raises StimdoseError for an unknown name, and for a table that is not rows of effects (`published_pools`: see `dataset_path`).
    """
    path = dataset_path(name)
    about = _about(path.parent)
    if path.name != "trials.csv":
        raise StimdoseError(f"{name} is not a trials table; read it with pandas from dataset_path({name!r})")
    trials = read_trials(path, missing=about["missing"])
    return replace(trials, remarks=(f"{name}: {about['summary']}", *trials.remarks))
