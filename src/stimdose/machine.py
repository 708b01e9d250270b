"""numba's decorators, whose machine code is kept under a hash of all the sources that it is made of.

Machine code of a function holds that of the functions it calls, and numba looks for changes in the file of the function alone: after an
upgrade that changes `density` and not `nuts`, the density of the old version would run, and nobody would see it.
"""

import atexit
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numba

SOURCES = (
    "machine",
    "algebra",
    "blocks",
    "integrate",
    "conditionals",
    "program",
    "shapes",
    "latents",
    "outcomes",
    "moving",
    "density",
    "nuts",
)
"""Modules with compiled functions, and those whose names these read."""
HERE = Path(__file__).parent


def _can_hold(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


def _folder() -> Path:
    """Beside the package, or in the user's cache where that cannot be written; in a container that can write neither, for this process
    only."""
    found = hashlib.sha256()
    for name in SOURCES:
        files = sorted((HERE / name).glob("*.py")) or [HERE / f"{name}.py"]
        for file in files:
            found.update(file.read_bytes())
    name = f"stimdose-{found.hexdigest()[:16]}"
    cache = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or os.path.expanduser("~/.cache")
    for parent in ([numba.config.CACHE_DIR] if numba.config.CACHE_DIR else []) + [HERE / "__pycache__", cache]:
        if _can_hold(folder := Path(parent) / name):
            return folder
    folder = Path(tempfile.mkdtemp(prefix="stimdose-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


FOLDER = _folder()


def kept(decorator: Callable) -> Callable:
    """A decorator of numba with cache=True, which keeps its machine code in `FOLDER`."""

    def decorate(function: Callable):
        before = numba.config.CACHE_DIR
        numba.config.CACHE_DIR = str(FOLDER)
        try:
            return decorator(function)
        finally:
            numba.config.CACHE_DIR = before

    return decorate
