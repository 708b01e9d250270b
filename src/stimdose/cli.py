"""The command line."""

import sys
import traceback
import warnings
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from . import options as opt
from .comparisons import comparisons
from .errors import ConvergenceWarning, StimdoseError, StimdoseWarning
from .questions import BEST, questions
from .report_commands import reports
from .scrutiny import scrutiny
from .terminal import console, escape, grouped, say, say_meanwhile, say_written, show, show_notes, show_upright, warn, warn_of

app = typer.Typer(
    help="Bayesian dose-response modelling of magnetic stimulation trials.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.add_typer(questions)
app.add_typer(scrutiny)
app.add_typer(comparisons)
app.add_typer(reports)


def main() -> None:
    """Run the command line. Exit codes: 0; 1 for what is wrong with a table, a model or a question, said in one message; 2 for words that
    are no command; 70 for a fault of stimdose itself; 130 where it was stopped."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character shows another in its place
    warnings.showwarning = partial(_show_warning, set())
    try:
        app()
    except SystemExit as end:
        if end.code == 130:
            console(stderr=True).print("Stopped before it was done. Every file that exists is whole.")
        raise
    except StimdoseError as error:
        _say_error("\n".join([str(error), *getattr(error, "__notes__", ())]))
        raise SystemExit(1) from None
    except OSError as error:
        _say_error(f"{error.filename or 'a file'}: {error.strerror or error}; is the disk full, or the file in use elsewhere?")
        raise SystemExit(1) from None
    except Exception:
        traceback.print_exc()
        _say_error(
            "this is a fault of stimdose, and not of your table. Please report it with the lines above, the command, and what "
            "`stimdose --version` prints"
        )
        raise SystemExit(70) from None


def _show_warning(said: set[str], message, category, *where) -> None:
    """A warning of this package as a sentence, once, which the JSON document holds too; others as Python shows them."""
    if issubclass(category, StimdoseWarning):
        if (text := str(message)) not in said:
            warn(text)
        said.add(text)
    else:
        print(warnings.formatwarning(message, category, *where[:2]), end="", file=sys.stderr)


def _say_error(text: str) -> None:
    console(stderr=True).print(f"[bold red]Error:[/] {escape(text)}", soft_wrap=True)


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
    "stimdose fit stimulation trials.csv -o results --decimal , --set pre_post_r=0.5 --missing impute\n\n"
    "stimdose fit rtms-spasticity trials.csv -o results --unit FMA-UE=10 --unit MAS=0.8 --unit MBI=20 --delta 0.1"
)
@opt.answers
def fit(
    model: opt.ModelName,
    trials: opt.TrialsName,
    out: Annotated[Path, typer.Option("--out", "-o", help="folder to write to")],
    seed: opt.Seed = None,
    draws: opt.Draws = 1000,
    tune: opt.Tune = 1000,
    chains: opt.Chains = 4,
    target_accept: opt.TargetAccept = 0.95,
    outcome_sd: opt.OutcomeSD = None,
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
    set_: opt.Set = None,
    where: opt.Where = None,
    unit: opt.Unit = None,
    decimal: opt.Decimal = None,
    sheet: opt.Sheet = None,
    smd_variance: opt.SMDVariance = None,
    tbs_frequency: opt.TBSFrequency = None,
    delta: opt.Delta = None,
    quiet: opt.Quiet = False,
) -> None:
    """Fit a model to a table; write the fit, tables and figures to a folder, and print the verdicts."""
    from .outputs import make_folder, write_fit
    from .sampling import fit as fit_model

    reading = {"decimal": decimal, "sheet": sheet, "smd_variance": smd_variance, "tbs_frequency": tbs_frequency}
    spec, table = opt.model_and_table(
        model, trials, outcome_sd, set_, where, unit=unit, missing=missing, allow_mixed=allow_mixed, delta=delta, **reading
    )
    folder = make_folder(out)
    say_meanwhile(f"Sampling {len(table)} rows ...")
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
    written, optima, joint = write_fit(found, folder, delta=delta)
    show_notes(found.trials, f"in {folder / 'audit.csv'}")
    _report(found, optima, joint)
    say_written(written)


@app.command(
    "check-table",
    epilog="Examples: stimdose check-table trials.xlsx --set direction=higher -o checked\n\n"
    "stimdose check-table trials.csv --decimal , --set pre_post_r=0.5",
)
@opt.answers
def check_table(
    trials: opt.TrialsName,
    set_: opt.Set = None,
    where: opt.Where = None,
    decimal: opt.Decimal = None,
    sheet: opt.Sheet = None,
    smd_variance: opt.SMDVariance = None,
    tbs_frequency: opt.TBSFrequency = None,
    out: opt.Out = None,
) -> None:
    """Read a table and list what is wrong with it, what was computed, what its studies report, and which cells are empty.

    With -o write audit.csv (everything computed, filled in or assumed, row by row), completeness.csv (studies and rows by field and
    checklist item) and reported.csv (study by field). Exit code 1 if the table has faults, or lacks what every fit needs.
    """
    from .columns import DOSES
    from .completeness import summary
    from .outputs import make_folder, write_audit

    reading = {"decimal": decimal, "sheet": sheet, "smd_variance": smd_variance, "tbs_frequency": tbs_frequency}
    table = opt.read_table(trials, set_, where, missing="keep", **reading)
    folder = make_folder(out) if out else None
    say(f"{len(table)} rows of {table.table['study'].nunique()} studies")
    show_notes(table, f"in {folder / 'audit.csv'}" if folder else "with -o DIR, in DIR/audit.csv")
    for kind, values in table.mixtures().items():
        say(f"Mixed {kind}: {', '.join(values)}; one fit takes one of them (--where {kind}=...)")
    say("\n".join(summary(table)))
    gaps = table.gaps(tuple(name for name in DOSES if name in table.table))
    for line in grouped(gaps):
        say(line)
    complete = len(table) - len({problem.row for problem in gaps if problem.row is not None})
    say(f"{complete} rows have everything, all doses included")
    if folder:
        say_written(write_audit(table, folder))
    if needed := table.gaps():
        raise StimdoseError(f"cells that every fit needs are empty: {len(needed)}")


@app.command(epilog="Example: stimdose template -o trials.xlsx")
def template(
    out: Annotated[Path | None, typer.Option("--out", "-o", help="a new .xlsx or .csv file; without it, standard output")] = None,
    csv: Annotated[bool, typer.Option("--csv", help="CSV instead of Excel: the header only")] = False,
    every: Annotated[bool, typer.Option("--all", help="every column of the vocabulary, not only the usual ones")] = False,
) -> None:
    """Write an empty trials table to fill in; in Excel with drop-down lists, the data dictionary and an example."""
    from .files import write_bytes
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
    if out.exists():
        raise StimdoseError(f"{out} exists already, and may hold your data; choose another name")
    say_written([write_bytes(out, content)])


@app.command(epilog="Example: stimdose datasets rtms_pain")
@opt.answers
def datasets(name: Annotated[str | None, typer.Argument(help="print the README of this table")] = None) -> None:
    """List the shipped tables, or print the README of one."""
    from . import shipped

    if name:
        say((shipped.dataset_path(name).parent / "README.md").read_text(encoding="utf-8"))
    else:
        show(shipped.datasets().drop(columns="licence").reset_index(), "Shipped tables", "datasets")


@app.command(epilog="Example: stimdose models frequency-bell")
@opt.answers
def models(name: Annotated[str | None, typer.Argument(help="print this model and its priors")] = None) -> None:
    """List the shipped models, or print the priors of one with their reasons."""
    from .model import prior_table
    from .specs import load_model
    from .specs import models as shipped_models

    if name:
        spec = load_model(name)
        say(f"{spec.name}: {spec.description}")
        show(prior_table(spec).reset_index(), "Priors, 95 % interval, and why", "priors")
    else:
        show(shipped_models().reset_index(), "Shipped models", "models")


@app.command(epilog="Examples: stimdose priors\n\nstimdose priors sceptical")
@opt.answers
def priors(name: Annotated[str | None, typer.Argument(help="print this set of priors, or that of a TOML file")] = None) -> None:
    """List the shipped sets of priors, or print one with its reasons; `compare-priors` fits a model under several."""
    import pandas as pd

    from .named_priors import load_prior_set, prior_sets

    if name:
        found = load_prior_set(name)
        say(f"{found.name}: {found.description}")
        lines = [(role, str(entry), entry.why) for role, entry in found.priors.items()]
        show(pd.DataFrame(lines, columns=["of", "prior", "why"]), "Priors by role, and why", "priors")
    else:
        show(prior_sets().reset_index(), "Shipped sets of priors", "sets")


@app.command(epilog="Examples: stimdose shapes\n\nstimdose shapes emax --dose session_min")
@opt.answers
def shapes(
    name: Annotated[str | None, typer.Argument(help="print the formula, parameters and default priors of this shape")] = None,
    dose: Annotated[str, typer.Option(help="the dose that default priors are for")] = "sessions",
) -> None:
    """List the dose-response shapes and when to use each, or print formula, parameters and default priors of one."""
    import inspect

    import pandas as pd

    from .columns import COLUMNS, DOSES
    from .errors import nearest
    from .model import as_table
    from .parts import Dose
    from .shapes import SHAPES

    if name is None:
        lines = [(shape.name, shape.when) for shape in SHAPES.values()]
        show(pd.DataFrame(lines, columns=["shape", "when"]), "Shapes of a dose-response", "shapes")
        return
    faults = [f"there is no shape {name!r}{nearest(name, SHAPES)}; there are {', '.join(SHAPES)}"] * (name not in SHAPES)
    faults += [f"there is no dose {dose!r}{nearest(dose, DOSES)}; there are {', '.join(DOSES)}"] * (dose not in DOSES)
    if faults:
        raise StimdoseError("\n  - ".join(["priors of a shape:", *faults]) if len(faults) > 1 else faults[0])
    part = Dose(column=dose, shape=name)
    say(f"{name}: {part.basis.when}\n\n{inspect.getdoc(SHAPES[name])}\n")
    facts = {"zero at dose zero": part.basis.zero_at_zero, "can have its best dose inside a range": part.basis.can_peak}
    say("\n".join(f"{fact}: {'yes' if holds else 'no'}" for fact, holds in facts.items()))
    unit = COLUMNS[dose].unit
    title = (
        f"Default priors for {dose}, 95 % interval; effects in standard deviations of the outcome, at {part.reference:g} {unit}"
    )
    show(as_table(part.basis.default_priors()).reset_index(), title, "priors")
    say(f'In a model file:\n\n[[dose]]\ncolumn = "{dose}"\nshape = "{name}"')


@app.command(epilog="Example: stimdose demo -o demo-output")
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="folder to write to")] = Path("demo-output"), quiet: opt.Quiet = False
) -> None:
    """Fit three models to three shipped tables and draw their figures (about a minute and a half)."""
    from .demo import run_demo

    run_demo(out, console(), progress=not quiet)


def _report(found, optima: dict, joint: dict) -> None:
    warn_of(found)
    say(f"Sampling {found.diagnosis.message}")
    for column, best in optima.items():
        say(best.explanation, heading=column)
        table = best.table()
        title = f"Best {column} between {table['from'].iloc[0]:g} and {table['to'].iloc[0]:g}"
        show_upright(table[BEST], title, f"optimum-{column}")
    for doses, best in joint.items():
        say(best.explanation, heading=doses)
    if (contrast := found.more_is_better()) is not None:
        show(contrast, "Is more better? Highest less lowest observed dose, not tied to zero", "more-is-better")
