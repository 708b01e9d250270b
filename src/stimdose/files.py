"""Files that are written whole or not at all."""

import glob
import hashlib
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import FitError

STALE = 3600
"""Seconds after which what is temporary is of a process that was killed: writing a file takes seconds at most."""
SHOWN = 200
"""Bytes of its name that a temporary file has: with all of them, the longest names that a disk takes would be too long."""
_UMASK = threading.Lock()
"""It can only be read by setting it, which two threads must not do at once: it would stay 0."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file that becomes `path` when the block ends; if anything fails, what was there before stays.

    A process that is killed leaves at most `.<name of the file>.<random>.tmp` beside it, which is removed when the same file is written
    an hour later. Raises FitError if it cannot be written.
    """
    name = os.fsencode(path.name)[:SHOWN].decode(errors="ignore")
    for stale in stale_in(path.parent, f".{glob.escape(name)}.*.tmp"):
        with suppress(OSError):
            stale.unlink()
    try:
        handle, made = tempfile.mkstemp(dir=path.parent, prefix=f".{name}.", suffix=".tmp")
    except (OSError, ValueError) as error:  # a ValueError for a name that holds a null character
        raise FitError(f"cannot write {path}: {_reason(error)}") from None
    os.close(handle)
    temporary = Path(made)
    try:
        yield temporary
        with open(temporary, "rb+") as written:
            os.fsync(written.fileno())
        with _UMASK:
            umask = os.umask(0)
            os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # mkstemp makes files that only their owner can read
        os.replace(temporary, path)
    except OSError as error:
        raise FitError(f"cannot write {path}: {_reason(error)}") from None
    finally:
        temporary.unlink(missing_ok=True)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def stale_in(folder: Path, pattern: str) -> Iterator[Path]:
    """What a process that was killed has left: files and folders of a pattern that are older than STALE."""
    for path in folder.glob(pattern):
        with suppress(OSError):  # another process may have finished with it
            if time.time() - path.stat().st_mtime > STALE:
                yield path


def write_bytes(path: Path, content: bytes | memoryview) -> Path:
    """Write a file, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return path


def write_text(path: Path, text: str) -> Path:
    """Write a text file, whole or not at all."""
    return write_bytes(path, text.encode())


def sha256(path: Path) -> str:
    """SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
