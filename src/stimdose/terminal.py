"""What commands print: tables, notes, warnings."""

import itertools
import sys

LISTED = 25
"""A command prints this many notes; audit.csv has them all."""


def console(stderr: bool = False):
    """A rich Console, 120 characters wide where nobody watches."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, width=None if sys.stdout.isatty() else 120)


def escape(text: str) -> str:
    """Text whose brackets are not markup."""
    from rich.markup import escape

    return escape(text)


def say(text: str) -> None:
    """Print text as it is, lines as long as they are."""
    console().print(escape(text), soft_wrap=True)


def show(frame, title: str) -> None:
    """Print a DataFrame without its index, under a title as long as it is; what is called p_... is a probability, but for p_loo."""
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


def upright(table):
    """One column per group, one line per quantity."""
    return table.rename(index={"": "value"}).T.reset_index(names="quantity")


def warn_of(fit) -> None:
    """Print on standard error that a fit did not converge, if so."""
    if not fit.diagnosis.converged:
        console(stderr=True).print(f"[bold red]Warning:[/] the fit {escape(fit.diagnosis.message)}", soft_wrap=True)


def show_notes(trials, rest: str) -> None:
    """What was noticed, computed and left out, LISTED lines at most; `rest` says where the others are."""
    lines = [f"Note: {note}" for note in trials.notes] + [f"Left out: {line}" for line in grouped(trials.dropped)]
    for line in lines[:LISTED]:
        say(line)
    if len(lines) > LISTED:
        say(f"and {len(lines) - LISTED} more {rest}")


def say_written(paths) -> None:
    """Name the files that were written."""
    say("Wrote " + ", ".join(str(path) for path in paths))


def grouped(problems) -> list[str]:
    """One line for each column and rule that problems name, with the rows they name."""
    kinds = {}
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
