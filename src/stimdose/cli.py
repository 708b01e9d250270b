"""The command line."""

import itertools
import sys
import warnings
from pathlib import Path
from typing import Annotated, Literal

import typer

from .errors import ConvergenceWarning, StimdoseError

app = typer.Typer(
    help="Bayesian dose-response modelling of magnetic stimulation trials.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
Trials = Annotated[
    str, typer.Argument(metavar="TRIALS", help="a CSV or Excel file, or the name of a shipped table (see `stimdose datasets`)")
]
Set = Annotated[list[str] | None, typer.Option("--set", help="a column that is the same in every row: --set comparator=sham")]
Decimal = Annotated[Literal[".", ","] | None, typer.Option(help="how a text file writes decimals: '.' if not stated")]
Sheet = Annotated[str | None, typer.Option(help="name of the sheet of an Excel file; the first if not stated")]
SMDVariance = Annotated[
    Literal["mean", "printed"] | None,
    typer.Option(
        "--smd-variance",
        help="evaluate the variance of standardised effects at their mean (if not stated), or at each as printed",
    ),
]
TBSFrequency = Annotated[
    Literal["burst", "carrier", "mean"] | None,
    typer.Option("--tbs-frequency", help="the frequency of iTBS, cTBS and QPS where none is printed: 'burst' if not stated"),
]
Where = Annotated[list[str] | None, typer.Option("--where", help="use only rows with this value: --where outcome=FMA-UE")]
FitFile = Annotated[Path, typer.Argument(metavar="FIT", help="a saved fit, such as DIR/fit.nc")]
By = Annotated[str | None, typer.Option(help="a group column of the model: one curve in each of its groups")]
Range = Annotated[
    tuple[float, float] | None, typer.Option("--range", help="lowest and highest dose; the observed range by default")
]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="folder to write to")]
Delta = Annotated[
    float | None, typer.Option(min=1e-12, help="smallest difference in effect that matters; 0.1 for standardised effects")
]


LISTED = 25
"""A command prints this many notes; audit.csv has them all."""
BEST = [
    "verdict",
    "best_dose",
    "low",
    "high",
    "effect_at_best",
    "p_at_low_end",
    "p_at_high_end",
    "near_best_low",
    "near_best_high",
]
BEST += ["prior_low", "prior_high", "contraction", "r_hat", "ess"]


def main() -> None:
    """Run the command line; what is wrong is said in one message, and the exit code is 1."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character shows another in its place
    try:
        app()
    except StimdoseError as error:
        _console(stderr=True).print(f"[bold red]Error:[/] {_escape(str(error))}", soft_wrap=True)
        raise SystemExit(1) from None


def _print_version(wanted: bool) -> None:
    if wanted:
        from . import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", is_eager=True, callback=_print_version, help="print the version")] = False,
) -> None:
    pass


@app.command(
    epilog="Examples: stimdose fit sessions-by-phase trials.csv -o results --seed 1\n\n"
    "stimdose fit stimulation trials.csv -o results --decimal , --set pre_post_r=0.5 --missing impute"
)
def fit(
    model: Annotated[str, typer.Argument(help="a shipped model (see `stimdose models`) or a .toml file")],
    trials: Trials,
    out: Annotated[Path, typer.Option("--out", "-o", help="folder to write to")],
    seed: Annotated[int | None, typer.Option(min=0, help="the same seed gives the same numbers")] = None,
    draws: Annotated[int, typer.Option(min=100, help="draws a chain")] = 1000,
    tune: Annotated[int, typer.Option(min=100, help="warm-up draws a chain")] = 1000,
    chains: Annotated[int, typer.Option(min=2)] = 4,
    target_accept: Annotated[float, typer.Option(min=0.5, max=0.999)] = 0.95,
    outcome_sd: Annotated[
        float | None,
        typer.Option(help="one standard deviation of the outcome in the units of the effect, where it is not standardised"),
    ] = None,
    missing: Annotated[
        Literal["error", "drop", "impute"],
        typer.Option(
            help="drop: leave out rows that lack what the model needs, and name them; "
            "impute: make missing doses, standard deviations and pre_post_r parameters"
        ),
    ] = "error",
    allow_mixed: Annotated[
        list[str] | None, typer.Option(help="let rows differ in measure, comparator, design, score or outcome")
    ] = None,
    set_: Set = None,
    where: Where = None,
    decimal: Decimal = None,
    sheet: Sheet = None,
    smd_variance: SMDVariance = None,
    tbs_frequency: TBSFrequency = None,
    delta: Delta = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="no progress bar")] = False,
) -> None:
    """Fit a model to a table; write the fit, tables and figures to a folder, and print the verdicts."""
    from .optima import default_delta
    from .outputs import make_folder, write_fit
    from .sampling import fit as fit_model
    from .specs import load_model

    spec = load_model(model, **({"outcome_sd": outcome_sd} if outcome_sd else {}))
    reading = {"decimal": decimal, "sheet": sheet, "smd_variance": smd_variance, "tbs_frequency": tbs_frequency}
    table = _read(trials, set_, where, missing="drop" if missing == "drop" else "keep", **reading)
    if spec.dose and delta is None:
        default_delta(spec, table)  # better refused now than after sampling
    folder = make_folder(out)
    _console().print(f"Sampling {len(table)} rows ...")
    warnings.simplefilter("ignore", ConvergenceWarning)  # the report says it
    found = fit_model(
        spec,
        table,
        seed=seed,
        draws=draws,
        tune=tune,
        chains=chains,
        target_accept=target_accept,
        missing=missing,
        allow_mixed=tuple(allow_mixed or ()),
        progress=not quiet,
    )
    written, optima = write_fit(found, folder, delta=delta)
    _notes(found.trials, f"in {folder / 'audit.csv'}")
    _report(found, optima)
    _console().print(f"Wrote to {folder}: {', '.join(path.name for path in written)}", soft_wrap=True)


@app.command(epilog="Example: stimdose curve results/fit.nc sessions --by phase -o results")
def curve(fit: FitFile, column: str, by: By = None, range_: Range = None, out: Out = None) -> None:
    """Print a dose-response curve; with -o write it as CSV, PDF and PNG."""
    from .curves import band
    from .curves import curve as curve_of
    from .outputs import make_folder, write_curve
    from .sampling import load_fit

    folder = make_folder(out) if out else None
    found = load_fit(fit)
    mean = curve_of(found, column, by=by, over=range_, size=9)
    _table(band(mean), f"Mean effect by {column}, {mean.attrs['effect_label']}; held: {mean.attrs['held'] or 'nothing'}")
    _warn(found)
    if folder:
        _console().print("Wrote " + ", ".join(str(path) for path in write_curve(found, column, by, folder, range_)))


@app.command(epilog="Example: stimdose optimum results/fit.nc frequency_hz --range 1 50")
def optimum(fit: FitFile, column: str, by: By = None, range_: Range = None, delta: Delta = None, out: Out = None) -> None:
    """Print the verdict on the best dose, and its posterior; with -o write the table as CSV."""
    from .optima import optimum as optimum_of
    from .outputs import make_folder
    from .sampling import load_fit

    folder = make_folder(out) if out else None
    found = optimum_of(load_fit(fit), column, by=by, over=range_, delta=delta)
    _console().print(_escape(found.explanation), soft_wrap=True)
    _table(_upright(found.table()), f"Best {column}")
    if folder:
        path = folder / f"optimum-{column}.csv"
        found.table().to_csv(path, float_format="%.6g")
        _console().print(f"Wrote {path}")


@app.command(
    "check-table",
    epilog="Examples: stimdose check-table trials.xlsx --set direction=higher -o checked\n\n"
    "stimdose check-table trials.csv --decimal , --set pre_post_r=0.5",
)
def check_table(
    trials: Trials,
    set_: Set = None,
    where: Where = None,
    decimal: Decimal = None,
    sheet: Sheet = None,
    smd_variance: SMDVariance = None,
    tbs_frequency: TBSFrequency = None,
    out: Out = None,
) -> None:
    """Read a table and list what is wrong with it, what was computed, what its studies report, and which cells are empty.

    With -o write audit.csv (everything computed, filled in or assumed, row by row), completeness.csv (studies and rows by field and
    checklist item) and reported.csv (study by field). Exit code 1 if the table has faults, or lacks what every fit needs.
    """
    from .columns import DOSES
    from .completeness import summary
    from .outputs import make_folder, write_audit

    reading = {"decimal": decimal, "sheet": sheet, "smd_variance": smd_variance, "tbs_frequency": tbs_frequency}
    table = _read(trials, set_, where, missing="keep", **reading)
    folder = make_folder(out) if out else None
    _console().print(f"{len(table)} rows of {table.table['study'].nunique()} studies")
    _notes(table, f"in {folder / 'audit.csv'}" if folder else "with -o DIR, in DIR/audit.csv")
    for kind, values in table.mixtures().items():
        _console().print(f"Mixed {kind}: {', '.join(values)}; one fit takes one of them (--where {kind}=...)", soft_wrap=True)
    _console().print(_escape("\n".join(summary(table))), soft_wrap=True)
    gaps = table.gaps(tuple(name for name in DOSES if name in table.table))
    for line in _grouped(gaps):
        _console().print(_escape(line), soft_wrap=True)
    complete = len(table) - len({problem.row for problem in gaps if problem.row is not None})
    _console().print(f"{complete} rows have everything, all doses included")
    if folder:
        _console().print("Wrote " + ", ".join(str(path) for path in write_audit(table, folder)), soft_wrap=True)
    if needed := table.gaps():
        raise StimdoseError(f"cells that every fit needs are empty: {len(needed)}")


@app.command(epilog="Example: stimdose template -o trials.xlsx")
def template(
    out: Annotated[Path | None, typer.Option("--out", "-o", help="a new .xlsx or .csv file; without it, standard output")] = None,
    csv: Annotated[bool, typer.Option("--csv", help="CSV instead of Excel: the header only")] = False,
    every: Annotated[bool, typer.Option("--all", help="every column of the vocabulary, not only the usual ones")] = False,
) -> None:
    """Write an empty trials table to fill in; in Excel with drop-down lists, the data dictionary and an example."""
    from .template import template_csv, template_workbook

    if out and out.suffix.lower() not in ((".csv",) if csv else (".xlsx", ".csv")):
        raise StimdoseError(f"the name of the file must end in {'.csv' if csv else '.xlsx or .csv'}: {out}")
    as_csv = csv or bool(out and out.suffix.lower() == ".csv")
    if not (out or as_csv) and sys.stdout.isatty():
        raise StimdoseError("a workbook cannot be shown in a terminal: name a file (-o trials.xlsx), or ask for --csv")
    content = template_csv(every).encode() if as_csv else template_workbook(every)
    if not out:
        sys.stdout.buffer.write(content)
        return
    try:
        with out.open("xb") as file:
            file.write(content)
    except FileExistsError:
        raise StimdoseError(f"{out} exists already, and may hold your data; choose another name") from None
    except OSError as error:
        raise StimdoseError(f"cannot write {out}: {error}") from None
    _console().print(f"Wrote {out}")


@app.command(epilog="Example: stimdose datasets rtms_pain")
def datasets(name: Annotated[str | None, typer.Argument(help="print the README of this table")] = None) -> None:
    """List the shipped tables, or print the README of one."""
    from . import shipped

    if name:
        typer.echo((shipped.dataset_path(name).parent / "README.md").read_text(encoding="utf-8"))
    else:
        _table(shipped.datasets().drop(columns="licence").reset_index(), "Shipped tables")


@app.command(epilog="Example: stimdose models frequency-bell")
def models(name: Annotated[str | None, typer.Argument(help="print this model and its priors")] = None) -> None:
    """List the shipped models, or print the priors of one with their reasons."""
    from .model import prior_table
    from .specs import load_model
    from .specs import models as shipped_models

    if name:
        spec = load_model(name)
        _console().print(_escape(f"{spec.name}: {spec.description}"), soft_wrap=True)
        _table(prior_table(spec).reset_index(), "Priors, 95 % interval, and why")
    else:
        _table(shipped_models().reset_index(), "Shipped models")


@app.command(epilog="Example: stimdose demo -o demo-output")
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="folder to write to")] = Path("demo-output"), quiet: bool = False
) -> None:
    """Fit three models to three shipped tables and draw their figures (about a minute and a half)."""
    from .demo import run_demo

    run_demo(out, _console(), progress=not quiet)


def _read(source: str, constants: list[str] | None, where: list[str] | None, missing: str, **reading: str | None):
    from . import shipped
    from .reading import read_trials

    given, wanted = (dict(_pair(item) for item in items or []) for items in (constants, where))
    given |= {name: value for name, value in reading.items() if value is not None}
    path = Path(source)
    is_file = bool(path.suffix) or path.exists()
    if given and not is_file:
        file = shipped.dataset_path(source)
        raise StimdoseError(f"shipped tables are read as they are; for {', '.join(given)}, give the file itself: {file}")
    table = read_trials(path, missing=missing, **given) if is_file else shipped.load_dataset(source)
    return table.subset(**wanted) if wanted else table


def _pair(item: str) -> tuple[str, str]:
    name, equals, value = item.partition("=")
    if not equals:
        raise StimdoseError(f"write column=value, not {item!r}")
    return name, value


def _report(found, optima: dict) -> None:
    console = _console()
    _warn(found)
    console.print(f"Sampling {_escape(found.diagnosis.message)}", soft_wrap=True)
    for column, best in optima.items():
        console.print(f"\n[bold]{column}[/]\n{_escape(best.explanation)}", soft_wrap=True)
        table = best.table()
        _table(_upright(table[BEST]), f"Best {column} between {table['from'].iloc[0]:g} and {table['to'].iloc[0]:g}")
    if (contrast := found.more_is_better()) is not None:
        _table(contrast, "Is more better? Highest less lowest observed dose, free intercept")


def _upright(table):
    """One column per group, one line per quantity."""
    return table.rename(index={"": "value"}).T.reset_index(names="quantity")


def _warn(found) -> None:
    if not found.diagnosis.converged:
        _console(stderr=True).print(f"[bold red]Warning:[/] the fit {_escape(found.diagnosis.message)}", soft_wrap=True)


def _notes(table, rest: str) -> None:
    """What was noticed, computed and left out, LISTED lines at most; `rest` says where the others are."""
    lines = [f"Note: {note}" for note in table.notes] + [f"Left out: {line}" for line in _grouped(table.dropped)]
    for line in lines[:LISTED]:
        _console().print(_escape(line), soft_wrap=True)
    if len(lines) > LISTED:
        _console().print(f"and {len(lines) - LISTED} more {rest}", soft_wrap=True)


def _grouped(problems) -> list[str]:
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


def _table(frame, title: str) -> None:
    from rich.table import Table

    from .doses import short

    table = Table(title=_escape(title), title_justify="left")
    for name in frame.columns:
        table.add_column(_escape(str(name)), overflow="fold")
    for record in frame.itertuples(index=False):
        table.add_row(*(_escape(short(value) if isinstance(value, float) else str(value)) for value in record))
    _console().print(table)


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _console(stderr: bool = False):
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, width=None if sys.stdout.isatty() else 120)
