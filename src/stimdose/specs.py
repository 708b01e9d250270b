"""Model specs as files: those that are shipped, and TOML in."""

import tomllib
from pathlib import Path

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


def load_model(name_or_path: str | Path, **fields) -> Model:
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
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"cannot read the model {path}: {error}") from None
    return model_from_toml(text, str(path), **fields)


def model_from_toml(text: str, origin: str = "the text", **fields) -> Model:
    """The model that `Model.to_toml` wrote. Raises ModelError if the text is not a valid spec."""
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ModelError(f"{origin} is not valid TOML: {error}") from None
    return Model(**found | fields)
