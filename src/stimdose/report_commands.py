"""Commands that write a report, and make it again."""

from pathlib import Path
from typing import Annotated

import typer

from . import options as opt
from .errors import StimdoseError
from .terminal import record, say, say_meanwhile, say_written, warn_of, working

reports = typer.Typer(rich_markup_mode="rich")
PANEL = "Reports"


@reports.command(
    epilog="Examples: stimdose report results/fit.nc -o report\n\n"
    "stimdose report results/fit.nc -o report --sets weak,sceptical --sets mine.toml --delta 2\n\n"
    "stimdose report results/fit.nc -o report --no-priors --no-check",
    rich_help_panel=PANEL,
)
@opt.answers
def report(
    fit: opt.FitFile,
    out: Annotated[Path, typer.Option("--out", "-o", help="folder to write to")],
    sets: Annotated[
        list[str] | None,
        typer.Option(help="sets of priors to compare with the model's own: --sets weak,sceptical (if not stated)"),
    ] = None,
    priors: Annotated[bool, typer.Option(help="compare sets of priors, which may take a fit for each")] = True,
    check: Annotated[bool, typer.Option(help="check the fit, and leave out every study")] = True,
    ecology: Annotated[
        bool, typer.Option(help="compare slopes within and across trials, which takes a fit for each dose")
    ] = True,
    delta: opt.Delta = None,
    title: Annotated[str | None, typer.Option(help="title of the page")] = None,
    quiet: opt.Quiet = False,
) -> None:
    """Write the report of a fit: a page for readers and reviewers, figures, tables, a methods text and a manifest.

    report.html needs no other file and no network. `stimdose rerun` makes everything again from manifest.json.
    """
    from .reports import report as write_report
    from .reports.findings import SETS
    from .sampling import load_fit

    if sets and not priors:
        raise StimdoseError("--sets names what is compared, and --no-priors compares nothing: leave one of them out")
    named = [name for item in sets or SETS for name in item.split(",")] if priors else None
    found = load_fit(fit)
    warn_of(found)
    with working("Writing the report; checks, other priors and figures take a minute or two", quiet):
        path = write_report(found, out, priors=named, check=check, ecology=ecology, delta=delta, title=title)
    say_written([path])
    say_meanwhile("Open it in a browser. figures/, tables/, methods.md, fit.nc, table.json and manifest.json are beside it")


@reports.command(epilog="Example: stimdose rerun report/manifest.json -o again", rich_help_panel=PANEL)
@opt.answers
def rerun(
    manifest: Annotated[
        Path, typer.Argument(metavar="MANIFEST", help="the manifest.json of a report; table.json stands beside it")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="folder for the new report, another one than that of the first")],
    quiet: opt.Quiet = False,
) -> None:
    """Fit again from a manifest, write the report again, and say whether every number agrees; exit code 1 if not."""
    from .reruns import rerun as run_again

    found = run_again(manifest, out, progress=not quiet)
    say(found.explanation, heading="Agrees" if found.agrees else "Does not agree")
    record("tables", found.tables.reset_index())
    if not found.agrees:
        raise typer.Exit(1)
