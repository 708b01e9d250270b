"""The references of a report: those of what was used."""

import tomllib
from functools import cache
from pathlib import Path

from ..ecology import WithinAcross
from .findings import Findings

ROEVER = "Roever et al. 2021"
"""As reasons of priors cite it."""


@cache
def _all() -> dict[str, dict]:
    return tomllib.loads((Path(__file__).parent / "references.toml").read_text(encoding="utf-8"))


def reference(key: str) -> str:
    """A reference as text, with its DOI where it has one."""
    one = _all()[key]
    return one["text"] + (f" doi:{one['doi']}" if "doi" in one else "")


def cited(found: Findings) -> list[str]:
    """The references of what this fit and its report used, in the order of their file."""
    used = {
        "always": True,
        "left out": not isinstance(found.check, str) or not isinstance(found.priors, str),
        "priors": not isinstance(found.priors, str),
        "slopes": any(isinstance(each, WithinAcross) for each in found.slopes.values()),
        "small studies": bool(found.fit.model.small_study),
        "roever": found.prior_table["why"].str.contains(ROEVER, regex=False).any(),
        "ordinal": found.fit.model.likelihood == "ordinal",
    }
    return [reference(key) for key, one in _all().items() if used[one["used"]]]
