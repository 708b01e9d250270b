"""Model specs as files: those that are shipped, and TOML in."""

import tomllib
from pathlib import Path
from typing import Any

import pandas as pd

from . import shipped
from .errors import ModelError, nearest
from .model import Model


def models() -> pd.DataFrame:
    """The shipped models: name and description."""
    found = [load_model(path) for path in sorted(shipped.folder("models").glob("*.toml"))]
    return pd.DataFrame(
        {"name": [model.name for model in found], "description": [model.description for model in found]}
    ).set_index("name")


def load_model(name_or_path: str | Path, **fields: Any) -> Model:
    """Read a shipped model by name, or a TOML file by path; `fields` replace those of the file.

    Raises ModelError if there is no such model, or the file is not a valid spec.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        names = [found.stem for found in shipped.folder("models").glob("*.toml")]
        path = shipped.folder("models") / f"{name_or_path}.toml"
        if str(name_or_path) not in names:
            raise ModelError(
                f"no shipped model {str(name_or_path)!r}{nearest(str(name_or_path), names)}; "
                f"there are {', '.join(sorted(names))}, or give the path of a .toml file"
            )
    return model_from_toml(text_of(path, "the model"), str(path), **fields)


def model_from_toml(text: str, origin: str = "the text", **fields) -> Model:
    """The model that `Model.to_toml` wrote. Raises ModelError if the text is not a valid spec."""
    return Model(**entries(text, origin) | fields)


def text_of(path: Path, what: str) -> str:
    """The text of a TOML file, with or without the mark with which some editors begin it. Raises ModelError if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ModelError(f"cannot read {what} {path}: it is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise ModelError(f"cannot read {what} {path}: {error}") from None


def entries(text: str, origin: str) -> dict:
    """What TOML text says. Raises ModelError if it is not valid."""
    try:
        found = tomllib.loads(text)
        if not _fits(found):
            raise ValueError("a whole number has more than 64 bits")
        return found
    except RecursionError:
        raise ModelError(f"{origin} is not valid TOML: its entries are nested too deeply") from None
    except ValueError as error:  # also for whole numbers of thousands of digits
        raise ModelError(f"{origin} is not valid TOML: {error}") from None


def _fits(value) -> bool:
    """Whether all whole numbers are such as TOML promises to hold; longer ones cannot even be printed."""
    if isinstance(value, dict | list):
        return all(map(_fits, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, int) or -(2**63) <= value < 2**63
