"""What a report is made of: sections of texts, figures and tables, as data."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd

type Kind = Literal["plain", "verdict", "note", "warning", "code"]
LONG = 30
"""The page shows a table of more lines than this folded."""


@dataclass(frozen=True)
class Text:
    """Paragraphs of plain text; `kind` is how they stand out. `code` is shown as it is written."""

    paragraphs: tuple[str, ...]
    kind: Kind = "plain"


@dataclass(frozen=True)
class Figure:
    """A figure: its file name without suffix, what draws it (Axes out), its caption, and what it shows in words and numbers."""

    name: str
    draw: Callable[[], Any]
    caption: str
    alt: str


@dataclass(frozen=True)
class Table:
    """A table: its file name without suffix, the frame, whose index labels its lines, its caption, and a note below it.

    shown: the columns that the page shows, if not all. links: by position of the line, the key of the section that the last column points
    to. is_folded: whether the page shows it only on demand, whatever its length.
    """

    name: str
    frame: pd.DataFrame
    caption: str
    note: str = ""
    shown: tuple[str, ...] | None = None
    links: dict[int, str] = field(default_factory=dict)
    is_folded: bool = False

    @property
    def is_long(self) -> bool:
        """Whether the page shows it folded."""
        return self.is_folded or len(self.frame) > LONG

    @property
    def warning(self) -> str:
        """Set where the numbers come from a fit that did not converge."""
        return str(self.frame.attrs.get("warning", ""))


TITLES = {
    "answer": "The answer",
    "data": "The data",
    "model": "The model and its priors",
    "convergence": "Convergence",
    "checks": "Checks",
    "left-out": "Without each study",
    "slopes": "Within and across trials",
    "priors": "Sensitivity to the priors",
    "checklists": "Checklists",
    "software": "Software, seed and references",
}
"""Titles of the sections, in their order on the page, by the key by which others point to them."""


type Block = Text | Figure | Table


@dataclass(frozen=True)
class Section:
    """A section: its key, and its blocks in order."""

    key: str
    blocks: tuple[Block, ...]

    @property
    def title(self) -> str:
        return TITLES[self.key]


def text(*paragraphs: str, kind: Kind = "plain") -> list[Block]:
    """Paragraphs that are not empty, if there are any."""
    kept = tuple(paragraph for paragraph in paragraphs if paragraph)
    return [Text(kept, kind)] if kept else []


def sentences(explanation: str) -> list[str]:
    """The lines of an `explanation`."""
    return [line for line in explanation.split("\n") if line]


def ended(words: str) -> str:
    """Words with one full stop at their end, or the question mark that they end with."""
    bare = words.strip().rstrip(".")
    return bare if bare.endswith(("?", "!")) or not bare else f"{bare}."


def first_of(words: str) -> str:
    """Of a message with a line for each fault, the first fault and how many others there are, as one sentence."""
    head, *faults = (line.strip().removeprefix("- ") for line in words.strip().split("\n") if line.strip())
    more = f"; and {len(faults) - 1} more" if len(faults) > 1 else ""
    return f"{head} {faults[0].rstrip('.')}{more}" if faults else head


def listed(items, most: int = 6) -> str:
    """Names in words: "a, b and c"; of more than `most` the first, and how many others."""
    items = [str(item) for item in items]
    shown = items if len(items) <= most else [*items[: most - 1], f"{len(items) - most + 1} others"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}" if shown else ""


def counted(number: int, one: str, many: str | None = None) -> str:
    """ "1 study", "3 studies"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
