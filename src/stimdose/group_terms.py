"""Which groups of trials have parameters of their own."""

import itertools
from collections.abc import Iterable

from .validity import Several

By = str | Several[str] | None
"""Columns whose groups have parameters of their own, each a deviation that is added: "phase"; ("phase", "site"); "phase:site", every
combination of the two; "phase*site", short for ("phase", "site", "phase:site"), as in R."""


def groupings(by: By) -> tuple[str, ...]:
    """The columns, and combinations of columns ("a:b"), that `by` names."""
    found = []
    for term in (by,) if isinstance(by, str) else by or ():
        parts = term.split("*")
        sizes = range(1, len(parts) + 1)
        found += [":".join(some) for size in sizes for some in itertools.combinations(parts, size)]
    return tuple(dict.fromkeys(found))


def check_groupings(by: By) -> None:
    """Raises ValueError where `by` names no groups."""
    for name in groupings(by):
        parts = name.split(":")
        if not all(parts) or len(set(parts)) < len(parts) or len(parts) > 2:
            raise ValueError(f"by = {by!r} names no groups: write 'phase', 'phase:site' or 'phase*site', of two columns at most")
    check_same_order(groupings(by))


def check_same_order(names: Iterable[str]) -> None:
    """Raises ValueError for combinations of the same columns in another order, which would be two groupings of the same groups."""
    seen: dict[frozenset, str] = {}
    for name in names:
        if (first := seen.setdefault(frozenset(name.split(":")), name)) != name:
            raise ValueError(f"{first} and {name} are the same groups: name them in one order")


def shown_by(by: By) -> str | None:
    """The one grouping that tables and figures show: combinations where there are any, else the first."""
    found = groupings(by)
    return max(found, key=lambda name: name.count(":")) if found else None
