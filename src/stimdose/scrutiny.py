"""Commands that ask whether answers can be trusted: checks, doses that go together, slopes within and across trials."""

import warnings
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from . import options as opt
from .errors import ConvergenceWarning, StimdoseError
from .terminal import say, say_written, show, warn_of

scrutiny = typer.Typer(rich_markup_mode="rich")
PANEL = "Scrutiny"


@scrutiny.command(
    epilog="Examples: stimdose support results/fit.nc -o results\n\nstimdose support trials.csv frequency_hz session_min",
    rich_help_panel=PANEL,
)
@opt.answers
def support(
    source: Annotated[
        str,
        typer.Argument(metavar="TRIALS_OR_FIT", help="a CSV or Excel file, the name of a shipped table, or a saved fit (.nc)"),
    ],
    doses: Annotated[
        list[str] | None, typer.Argument(metavar="[DOSE]...", help="by default those of the model, and others that vary")
    ] = None,
    set_: opt.Set = None,
    where: opt.Where = None,
    decimal: opt.Decimal = None,
    sheet: opt.Sheet = None,
    out: opt.Out = None,
) -> None:
    """Print which doses trials tried together, and what they cannot tell apart; with -o write it as CSV, PDF and PNG."""
    from .dose_space import support as support_of
    from .dose_space import trials_of
    from .sampling import load_fit

    folder, reading = opt.folder(out), {"decimal": decimal, "sheet": sheet}
    if Path(source).suffix != ".nc":
        given = opt.read_table(source, set_, where, missing="keep", **reading)
    elif set_ or where or any(reading.values()):
        raise StimdoseError("--set, --where, --decimal and --sheet are for a table: a saved fit has its own")
    else:
        given = load_fit(source)
    found = support_of(given, tuple(doses) if doses else None)
    say(found.explanation)
    show(found.region.assign(inflation=found.inflation).reset_index(), "Doses that trials tried", "support")
    if folder:
        from .outputs import write_support

        say_written(write_support(found, folder, trials_of(given)))


@scrutiny.command(
    "within-across",
    epilog="Example: stimdose within-across sessions-by-phase trials.csv sessions -o results --seed 1",
    rich_help_panel=PANEL,
)
@opt.answers
def within_across(
    model: opt.ModelName,
    trials: opt.TrialsName,
    dose: opt.Dose,
    seed: opt.Seed = None,
    draws: opt.Draws = 1000,
    tune: opt.Tune = 1000,
    chains: opt.Chains = 4,
    target_accept: opt.TargetAccept = 0.95,
    outcome_sd: opt.OutcomeSD = None,
    missing: Annotated[
        Literal["error", "drop"], typer.Option(help="drop: leave out rows whose dose is not a number, or that lack anything else")
    ] = "error",
    set_: opt.Set = None,
    where: opt.Where = None,
    unit: opt.Unit = None,
    decimal: opt.Decimal = None,
    sheet: opt.Sheet = None,
    delta: opt.Delta = None,
    quiet: opt.Quiet = False,
    out: opt.Out = None,
) -> None:
    """Fit a model with the dose slope within trials beside that across trials, and print whether they differ (ecological bias)."""
    from .ecology import within_across as within_across_of

    spec, table = opt.model_and_table(
        model, trials, outcome_sd, set_, where, unit=unit, missing=missing, delta=delta, decimal=decimal, sheet=sheet
    )
    folder = opt.folder(out)
    warnings.simplefilter("ignore", ConvergenceWarning)  # the verdict says it
    settings: dict[str, Any] = {
        "draws": draws,
        "tune": tune,
        "chains": chains,
        "target_accept": target_accept,
        "progress": not quiet,
    }
    found = within_across_of(spec, table, dose, delta=delta, missing=missing, seed=seed, **settings)
    say(found.explanation)
    warn_of(found.fit, is_told=True)
    show(found.table().reset_index(), f"Slopes of {dose}", "slopes")
    if folder:
        from .outputs import write_within_across

        say_written(write_within_across(found, folder))


@scrutiny.command(
    epilog="Examples: stimdose check results/fit.nc -o results\n\nstimdose check results/fit.nc --by protocol --cuts frequency_hz=5:15",
    rich_help_panel=PANEL,
)
@opt.answers
def check(
    fit: opt.FitFile,
    by: Annotated[
        list[str] | None,
        typer.Option(help="a group column of the table: --by protocol; those of the model, phase and site by default"),
    ] = None,
    cuts: Annotated[
        list[str] | None,
        typer.Option(help="where ranges of a dose end: --cuts frequency_hz=5:15; each dose at its terciles by default"),
    ] = None,
    delta: opt.Delta = None,
    out: opt.Out = None,
) -> None:
    """Print whether the model reproduces its trials, and which studies are unlike the others or decide an answer.

    With -o write all tables as CSV, the figure of both (check) and those of the answers without each study (influence) as PDF and PNG.
    """
    import pandas as pd

    from .checks import check as check_of
    from .sampling import load_fit

    fitted, folder = load_fit(fit), opt.folder(out)
    found = check_of(fitted, by=tuple(by) if by else None, cuts=opt.cuts(cuts), delta=delta)
    say(found.explanation)
    warn_of(fitted, is_told=True)
    if found.flagged:
        show(pd.DataFrame(found.flagged.items(), columns=["study", "flag"]), "Remarkable studies", "flagged")
    show(found.tables["statistics"], "Statistics of the trials, and of replicated ones", "statistics")
    if folder:
        from .outputs import write_check

        say_written(write_check(found, folder))
