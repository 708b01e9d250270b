"""Folders whose files come together: whatever is killed, and however many write at once, they hold files of one fit.

What a command writes is made in a temporary folder inside and moved when it is complete, one command at a time. A list of what was written
tells which files go when another fit comes; it is in the hidden folder `.stimdose`, with the temporary folders and the lock.
"""

import json
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from .errors import FitError
from .files import sha256, stale_in, write_text

BOOK, LIST, LOCK = ".stimdose", "files.json", "lock"
FIT, MANIFEST = "fit.nc", "manifest.json"
"""What the other files belong to, and what tells that they are complete: the first to come, and the last."""
PATIENCE = 60
"""Seconds that a command waits for another one to move its files, which takes milliseconds."""


@contextmanager
def filling(folder: Path, leaving: Callable[[], Mapping[str, str]] = dict, *, fit: str | None = None) -> Iterator[Path]:
    """A temporary folder whose files become those of `folder` when the block ends; if anything fails before, `folder` stays as it is.

    fit: identifies the fit that they bring, as fit.nc. The files that came with another one go then: they would be taken for those of the
    new one. Files that were changed since, and files of other origin, stay. leaving: says at the end which other files go, as SHA-256 by
    name; a FitError that it raises leaves all that is there.

    A process that is killed leaves `.stimdose/<random>`, which is removed an hour later by what is written to the folder then; if it was
    moving files, some of one fit are lacking. Raises FitError if a file cannot be written; what could not be moved stays in a folder
    that the message names.
    """
    if folder.parent.name == BOOK:  # part of what another block fills
        yield folder
        return
    book = folder / BOOK
    try:
        book.mkdir(exist_ok=True)
        for stale in stale_in(book, "tmp*"):
            shutil.rmtree(stale, ignore_errors=True)
        stage = Path(tempfile.mkdtemp(dir=book, prefix="tmp"))
    except OSError as error:
        raise FitError(f"cannot write to the folder {folder}: {error.strerror or error}") from None
    try:
        yield stage
        _move(stage, folder, leaving, fit)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _move(stage: Path, folder: Path, leaving: Callable[[], Mapping[str, str]], fit: str | None) -> None:
    names = [path.relative_to(stage).as_posix() for path in stage.rglob("*") if path.is_file()]
    names.sort(key=lambda name: (name == MANIFEST, name != FIT, name))
    new = {name: sha256(stage / name) for name in names}
    try:
        with _locked(folder), _uninterrupted():
            if wrong := [name for name in names if (folder / name).is_dir()]:
                raise IsADirectoryError(f"{folder / wrong[0]} is a folder")
            (earlier, known), going = _listed(folder), dict(leaving())
            if fit not in (None, earlier):
                earlier, going = fit, known | going
            _remove(folder, {name: hash_ for name, hash_ in going.items() if name != FIT})
            for name in names:  # a kill may leave fewer files, but not files of two fits
                if name != FIT:
                    (folder / name).unlink(missing_ok=True)
            kept = {name: hash_ for name, hash_ in known.items() if name not in going}
            write_text(folder / BOOK / LIST, json.dumps({"fit": earlier, "files": kept | new}, indent=1))
            for name in names:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                os.replace(stage / name, folder / name)
    except (OSError, FitError) as error:
        left = stage.rename(folder / f"unfinished-{stage.name}")
        hint = " (is one of them open elsewhere?)" if isinstance(error, PermissionError) else ""
        raise FitError(f"cannot move the files to {folder}: {error}{hint}; what was not moved is in {left}") from None


def _listed(folder: Path) -> tuple[str | None, dict[str, str]]:
    """The fit that was written to a folder, and SHA-256 by name of all that was; nothing where no list can be read, so that nothing goes
    that is not known."""
    try:
        found = json.loads((folder / BOOK / LIST).read_text(encoding="utf-8"))
        return found["fit"], dict(found["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return None, {}


def _remove(folder: Path, names: Mapping[str, str]) -> None:
    """Remove files that are as they were written; the manifest first: what is left if this is stopped is no report."""
    for name in sorted(names, key=lambda name: name != MANIFEST):
        file = folder / name
        if file.resolve().is_relative_to(folder.resolve()) and _is(file, names[name]):
            file.unlink()


def _is(file: Path, known: str) -> bool:
    return file.is_file() and sha256(file) == known


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Context of one process at a time. The system unlocks what a killed process has locked."""
    from filelock import FileLock

    with FileLock(folder / BOOK / LOCK, timeout=PATIENCE):
        yield


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Context at whose end Ctrl-C is heard, if it came meanwhile."""
    if threading.current_thread() is not threading.main_thread():  # which alone hears it
        yield
        return
    heard = []
    before = signal.signal(signal.SIGINT, lambda *what: heard.append(what))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)
    if heard and callable(before):
        before(*heard[0])
