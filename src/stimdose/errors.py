"""Everything stimdose raises or warns: what is wrong, where, and what to do about it."""

import difflib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

LISTED, LONGEST = 50, 200
"""A message lists this many problems, and this many characters of a cell."""


class StimdoseError(Exception):
    """Base of every error this package raises on purpose."""


class ModelError(StimdoseError):
    """A model spec that cannot be read, or that does not fit the table it is used with."""


class Problem(NamedTuple):
    """One fault of a trials table.

    row is the line of the file (the header is line 1), or the index label of a DataFrame; None where a fault concerns the
    whole table.
    """

    row: object
    study: str
    column: str
    value: str
    rule: str

    def __str__(self) -> str:
        where = [] if self.row is None else [f"row {self.row}"]
        study, column, value = map(shortened, self[1:4])
        where += [f"study {study!r}"] if study else []
        where += [f"{column} = {value!r}" if value else column] if column else []
        return ", ".join(where) + f": {self.rule}" if where else self.rule


class TrialsError(StimdoseError):
    """All faults of a table at once, as `problems`; the message lists the first of them."""

    def __init__(self, headline: str, problems: Sequence[Problem]):
        self.headline, self.problems = headline, list(problems)
        super().__init__(headline, self.problems)

    def __str__(self) -> str:
        more = len(self.problems) - LISTED
        rest = [f"and {more:,} more (all are in the `problems` of this error)"] if more > 0 else []
        return "\n  - ".join([self.headline, *map(str, self.problems[:LISTED]), *rest])


class FitError(StimdoseError):
    """A fit, or a saved fit, that cannot give what was asked of it."""


class FigureError(StimdoseError, ValueError):
    """What a figure was given that it cannot draw."""


class Failure(NamedTuple):
    """One task of a batch that gave no result; `traceback` is the text of where it failed, for whoever looks for the cause."""

    label: str
    message: str
    traceback: str = ""

    def __str__(self) -> str:
        return f"{self.label}: {self.message}"


class BatchError(StimdoseError):
    """All failed tasks of a batch at once, as `failures`; what finished is in `results`, and the remedy ends the message."""

    def __init__(self, headline: str, failures: Sequence[Failure], results: Sequence, remedy: str):
        self.headline, self.failures, self.results, self.remedy = headline, list(failures), results, remedy
        super().__init__(headline, self.failures, results, remedy)

    def __str__(self) -> str:
        more = len(self.failures) - LISTED
        rest = [f"and {more:,} more (all are in the `failures` of this error)"] if more > 0 else []
        return "\n  - ".join([self.headline, *map(str, self.failures[:LISTED]), *rest]) + f"\n{self.remedy}"


class StimdoseWarning(UserWarning):
    """Base of every warning of this package."""


class ConvergenceWarning(StimdoseWarning):
    """The sampler did not converge, or a quantity derived from its draws did not; carries the remedy."""


def shortened(text: str) -> str:
    """A text of a table or a library, as much of it as a message can hold."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def nearest(name: str, known: Iterable, cutoff: float = 0.6) -> str:
    """ " (did you mean 'x'?)" with the known name that is most like `name`, or nothing."""
    close = difflib.get_close_matches(name, [str(item) for item in known], n=1, cutoff=cutoff)
    return f" (did you mean {close[0]!r}?)" if close else ""
