"""Settings of the sampler, and what a fit depends on besides its model and table."""

import hashlib
import secrets
from functools import cache
from importlib import metadata
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from .errors import FitError

REFIT = {
    "draws": 500,
    "tune": 100,
    "tune_from_nothing": 1000,
    "chains": 4,
    "cores": None,
    "target_accept": 0.85,
    "most_draws": 4000,
}
"""Settings of a refit; tune_from_nothing is the least tuning of a sampler that cannot start from a posterior like its own."""


def checked_seed(seed: int | None) -> int:
    """The seed, or one by chance. Raises FitError if it is none."""
    seed = secrets.randbelow(2**31) if seed is None else seed
    if not _is_whole(seed, 0) or seed >= 2**63:
        raise FitError(f"the seed is a whole number from 0, not {seed!r}")
    return int(seed)


LEAST = {"draws": 1, "tune": 10, "tune_from_nothing": 10, "chains": 1, "cores": 1, "most_draws": 0}
"""Smallest settings; with less tuning nutpie panics."""


def checked_settings(settings: dict) -> dict:
    """The settings, numbers as plain ones. Raises FitError for what the sampler cannot take."""
    for name in LEAST.keys() & settings.keys():
        if not (_is_whole(settings[name], LEAST[name]) or (name == "cores" and settings[name] is None)):
            raise FitError(f"{name} is a whole number from {LEAST[name]}, not {settings[name]!r}")
    accept = settings["target_accept"]
    if not (isinstance(accept, Real) and 0 < float(accept) < 1):
        raise FitError(f"target_accept is a number between 0 and 1, not {accept!r}")
    whole = {name: int(settings[name]) for name in LEAST.keys() & settings.keys() if settings[name] is not None}
    return settings | whole | {"target_accept": float(accept)}


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, Integral) and int(value) >= least


@cache
def sources() -> str:
    """SHA-256 of this package's modules."""
    found = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        found.update(path.read_bytes())
    return found.hexdigest()


@cache
def version(package: str) -> str:
    """Version of an installed package."""
    return metadata.version(package)
