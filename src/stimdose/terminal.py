"""What commands answer: tables, notes and warnings, printed for people or, with --json, as one document for scripts."""

import itertools
import json
import sys
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import typer

from .errors import StimdoseError

LISTED = 25
"""A command prints this many notes; audit.csv has them all."""


_document: ContextVar[dict | None] = ContextVar("document", default=None)
"""What is to be printed as JSON; None where people read."""


@contextmanager
def as_json():
    """Context in which nothing is printed on standard output but, at its end, one JSON object: "text" (sentences, in order), "tables"
    (name: list of rows; null for what is empty or infinite), "notes" on the table, "files" (paths written), "warnings", and "error" (null,
    or what was wrong)."""
    document: dict[str, Any] = {"text": [], "tables": {}, "notes": [], "files": [], "warnings": [], "error": None}
    token = _document.set(document)
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        if not isinstance(error, typer.Exit):
            document["error"] = (
                str(error) if isinstance(error, StimdoseError) else f"{type(error).__name__}: {error}".rstrip(": ")
            )
        raise
    finally:
        _document.reset(token)
        print(json.dumps(document, indent=1))  # ASCII, which no encoding of a terminal or a pipe can spoil


def console(stderr: bool = False):
    """A rich Console, 120 characters wide where nobody watches."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, width=None if sys.stdout.isatty() else 120)


def escape(text: str) -> str:
    """Text whose brackets are not markup."""
    from rich.markup import escape

    return escape(text)


def say(text: str, heading: str | None = None) -> None:
    """Print text as it is, lines as long as they are, under a heading if there is one."""
    if (document := _document.get()) is not None:
        document["text"].append(f"{heading}: {text}" if heading else text.strip())
        return
    if heading:
        console().print(f"\n[bold]{escape(heading)}[/]", soft_wrap=True)
    console().print(escape(text), soft_wrap=True)


def say_meanwhile(text: str) -> None:
    """Print what is going on, for people only."""
    if _document.get() is None:
        console().print(escape(text), soft_wrap=True)


@contextmanager
def working(text: str, quiet: bool = False):
    """Context that takes a while: a spinner on a terminal, else a line, unless `quiet`."""
    stderr = console(stderr=True)
    if quiet or not stderr.is_terminal:
        if not quiet:
            say_meanwhile(f"{text} ...")
        yield
        return
    with stderr.status(escape(text)):
        yield


def warn(text: str) -> None:
    """Print a warning on standard error."""
    if (document := _document.get()) is not None:
        document["warnings"].append(text)
    console(stderr=True).print(f"[bold red]Warning:[/] {escape(text)}", soft_wrap=True)


def record(name: str, frame) -> None:
    """Keep a DataFrame, its index left out, as a table of the JSON document."""
    if (document := _document.get()) is not None:
        document["tables"][name] = json.loads(frame.to_json(orient="records", double_precision=15, default_handler=str))


def show(frame, title: str, name: str) -> None:
    """Print a DataFrame without its index; it is the table `name` of the JSON document."""
    record(name, frame)
    print_table(frame, title)


def show_upright(table, title: str, name: str) -> None:
    """Print one column per group (the index), one line per quantity; in the JSON document, one row per group."""
    record(name, table.rename_axis("group").reset_index())
    print_table(table.rename(index={"": "value"}).T.reset_index(names="quantity"), title)


def print_table(frame, title: str) -> None:
    """Print a DataFrame without its index, for people only, under a title as long as it is; what is called p_... is a probability, but
    for p_loo."""
    if _document.get() is not None:
        return
    from rich.table import Table

    table = Table()
    for name in frame.columns:
        table.add_column(escape(str(name)), overflow="fold")
    for record in frame.itertuples(index=False):
        chances = [any(_is_chance(str(name)) for name in (column, record[0])) for column in frame.columns]
        table.add_row(*(escape(_cell(*each)) for each in zip(record, chances, strict=True)))
    console().print(f"[bold]{escape(title)}[/]", soft_wrap=True)
    console().print(table)


def _is_chance(name: str) -> bool:
    return name.startswith("p_") and name != "p_loo"


def _cell(value, is_chance: bool) -> str:
    from .doses import chance, short

    if not isinstance(value, float):
        return str(value)
    return "–" if value != value else chance(value) if is_chance else short(value)


def warn_of(*fits, is_told: bool = False) -> None:
    """Print on standard error that fits did not converge, if so. is_told: whether the answer says it too: only scripts need it then."""
    for fit in fits if not is_told or _document.get() is not None else ():
        if fit.diagnosis.converged:
            continue
        warn(f"the fit {fit.diagnosis.message}")


def show_notes(trials, rest: str) -> None:
    """What was noticed, computed and left out, LISTED lines at most; `rest` says where the others are."""
    lines = [f"Note: {note}" for note in trials.notes] + [f"Left out: {line}" for line in grouped(trials.dropped)]
    if (document := _document.get()) is not None:
        document["notes"] += lines
        return
    for line in lines[:LISTED]:
        say(line)
    if len(lines) > LISTED:
        say(f"and {len(lines) - LISTED} more {rest}")


def say_written(paths) -> None:
    """Name the files that were written."""
    if (document := _document.get()) is not None:
        document["files"] += map(str, paths)
        return
    for folder in dict.fromkeys(path.parent for path in paths):
        say(f"Wrote to {folder}: {', '.join(path.name for path in paths if path.parent == folder)}")


def grouped(problems) -> list[str]:
    """One line for each column and rule that problems name, with the rows they name."""
    kinds: dict = {}
    for problem in problems:
        kinds.setdefault((problem.column, problem.rule), []).append(problem.row)
    return [f"{column}: {rule}{_rows(rows)}" if column else f"{rule}{_rows(rows)}" for (column, rule), rows in kinds.items()]


def _rows(rows: list) -> str:
    """The lines of the file in words: " (4 rows: 2, 5 to 7)"; nothing for the whole table."""
    rows = sorted(row for row in rows if row is not None)
    starts = [k for k, row in enumerate(rows) if not k or row != rows[k - 1] + 1]
    runs = [rows[first:end] for first, end in itertools.pairwise([*starts, len(rows)])]
    named = ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs)
    return f" ({'row' if len(rows) == 1 else f'{len(rows)} rows:'} {named})" if rows else ""
