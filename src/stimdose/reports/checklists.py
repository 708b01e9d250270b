"""The checklists of reviewers, item by item."""

import tomllib
from functools import cache
from pathlib import Path

import pandas as pd

from .evidence_replies import REPLIES  # those of `replies` too: one register
from .findings import Findings
from .parts import TITLES, Section, Table, text
from .references import reference

NAMES = ("barg", "robust", "prisma", "grade")
"""In the order of the report."""


@cache
def checklist(name: str) -> dict:
    """A checklist as data: title, source (a reference), and items with number, request (in our words) and the name of their reply."""
    return tomllib.loads((Path(__file__).parent / "items" / f"{name}.toml").read_text(encoding="utf-8"))


def section(found: Findings) -> Section:
    """Every checklist as a table."""
    blocks = text("Requests are in our own words; the papers have theirs. What no table, model or fit can tell says so.")
    return Section("checklists", (*blocks, *(table_of(name, found) for name in NAMES)))


def table_of(name: str, found: Findings) -> Table:
    """The items of a checklist with their replies."""
    listed = checklist(name)
    replies = [REPLIES[item["answer"]](found) for item in listed["item"]]
    frame = pd.DataFrame(
        {
            "item": [item["number"] for item in listed["item"]],
            "request": [item["request"] for item in listed["item"]],
            "answer": [reply.words for reply in replies],
            "section": [TITLES.get(reply.section, "") for reply in replies],
        }
    ).set_index("item")
    if not found.fit.diagnosis.converged:
        frame.attrs["warning"] = "the fit did not converge, so no answer is to be relied on"
    links = {line: reply.section for line, reply in enumerate(replies) if reply.section}
    return Table(f"checklist-{name}", frame, listed["title"], reference(listed["source"]), links=links)
