"""Commands that compare: one model under several sets of priors, and several models."""

import warnings
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from . import options as opt
from .doses import short
from .errors import ConvergenceWarning, StimdoseError
from .terminal import print_table, record, say, say_written, warn_of

comparisons = typer.Typer(rich_markup_mode="rich")
PANEL = "Comparisons"
Missing = Annotated[
    Literal["error", "drop", "impute"], typer.Option(help="of rows that lack what a model needs, as in `stimdose fit`")
]


def _show_best(table, label: str) -> None:
    """Best doses, a table for each dose and group: 80 characters have no room for one with all that a file has."""
    record("verdicts", table.reset_index())
    for (dose, group), part in table.groupby(["dose", "group"], sort=False):
        best, effect = _texts(part, "best_dose", "low", "high"), _texts(part, "effect_at_best", "effect_low", "effect_high")
        columns = {"verdict": part["verdict"]} | ({"best dose": best, "effect there": effect} if dose else {})
        _print(
            part, label, columns, f"Best {', '.join(filter(None, (dose, group)))}, 95 % intervals" if dose else "Without doses"
        )


def _show_heterogeneity(table, label: str) -> None:
    columns = {"parameter": table.index.get_level_values("parameter"), "median": _texts(table, "median", "low", "high")}
    record("heterogeneity", table.reset_index())
    _print(table, label, columns, "Heterogeneity, 95 % intervals")


def _show_elpd(table, label: str) -> None:
    columns = {"elpd (se)": _texts(table, "elpd", "elpd_se"), "difference (se)": _texts(table, "difference", "difference_se")}
    columns |= {name: table[name] for name in ("p_loo", "unreliable")}
    record("elpd", table.reset_index())
    _print(table, label, columns, "How well studies left out are predicted")


def _print(table, label: str, columns: dict, title: str) -> None:
    """Columns beside the names that a table has, and which fits did not converge if any did not."""
    import pandas as pd

    names = {label: table.index.get_level_values(label)}
    converged = {} if table["converged"].all() else {"converged": table["converged"].map({True: "yes", False: "no"})}
    print_table(pd.DataFrame({name: list(values) for name, values in (names | columns | converged).items()}), title)


def _texts(table, name: str, *around: str) -> list[str]:
    """Numbers with their interval, [low, high], or with their standard error in parentheses."""
    rows = table[[name, *around]].itertuples(index=False)
    shape = "{} [{}, {}]" if len(around) == 2 else "{} ({})"
    return [shape.format(*map(short, row)) for row in rows]


@comparisons.command(
    "compare-priors",
    epilog="Examples: stimdose compare-priors frequency-bell trials.csv --sets weak,sceptical -o results --seed 1\n\n"
    "stimdose compare-priors results/fit.nc --sets sceptical --sets mine.toml",
    rich_help_panel=PANEL,
)
@opt.answers
def compare_priors(
    model: Annotated[str, typer.Argument(metavar="MODEL_OR_FIT", help="a shipped model, a .toml file, or a saved fit (.nc)")],
    trials: Annotated[
        str | None, typer.Argument(metavar="[TRIALS]", help="a file or a shipped table; not for a saved fit")
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option(
            help="shipped sets of priors or .toml files: --sets weak,sceptical (if not stated), or --sets as often as needed"
        ),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(help="the set to measure changes against; the model's own priors, called reference, if not stated"),
    ] = None,
    seed: opt.Seed = None,
    draws: opt.Draws = 1000,
    tune: opt.Tune = 1000,
    chains: opt.Chains = 4,
    target_accept: opt.TargetAccept = 0.95,
    outcome_sd: opt.OutcomeSD = None,
    missing: Missing = "error",
    set_: opt.Set = None,
    where: opt.Where = None,
    unit: opt.Unit = None,
    decimal: opt.Decimal = None,
    sheet: opt.Sheet = None,
    delta: opt.Delta = None,
    refit: Annotated[
        bool, typer.Option("--refit", help="fit every set, where the draws of the first fit could stand for it too")
    ] = False,
    quiet: opt.Quiet = False,
    out: opt.Out = None,
) -> None:
    """Print what moves with the priors: verdicts on the best dose, effects, heterogeneity; with -o write tables and figures."""
    from .prior_comparison import OWN
    from .prior_comparison import compare_priors as compare

    folder, asked = opt.folder(out), [name for item in sets or ["weak,sceptical"] for name in item.split(",")]
    reading: dict[str, Any] = {"unit": unit, "missing": missing, "delta": delta, "decimal": decimal, "sheet": sheet}
    given = _fit_or_model(model, trials, outcome_sd, set_, where, **reading)
    settings: dict[str, Any] = {
        "draws": draws,
        "tune": tune,
        "chains": chains,
        "target_accept": target_accept,
        "missing": missing,
    }
    settings = settings if len(given) == 2 else {}
    warnings.simplefilter("ignore", ConvergenceWarning)  # the explanation says it
    stated: dict[str, Any] = {
        "reference": reference or OWN,
        "delta": delta,
        "seed": seed,
        "reweight": not refit,
        "progress": not quiet,
    }
    found = compare(given[0], given[1] if len(given) == 2 else None, asked, **stated, **settings)
    say(found.explanation)
    warn_of(*found.fits.values(), is_told=True)
    _show_best(found.table(), "set")
    _show_heterogeneity(found.heterogeneity(), "set")
    _show_elpd(found.elpd, "set")
    if folder:
        from .outputs import write_prior_comparison

        say_written(write_prior_comparison(found, folder))


@comparisons.command(
    "compare-models",
    epilog="Examples: stimdose compare-models frequency-bell stimulation --trials trials.csv -o results --seed 1\n\n"
    "stimdose compare-models linear/fit.nc emax/fit.nc --bayes-factors",
    rich_help_panel=PANEL,
)
@opt.answers
def compare_models(
    models: Annotated[
        list[str], typer.Argument(metavar="MODEL_OR_FIT...", help="shipped models, .toml files, or saved fits (.nc)")
    ],
    trials: Annotated[str | None, typer.Option(help="a file or a shipped table, for what is not fitted yet")] = None,
    seed: opt.Seed = None,
    draws: opt.Draws = 1000,
    tune: opt.Tune = 1000,
    chains: opt.Chains = 4,
    target_accept: opt.TargetAccept = 0.95,
    outcome_sd: opt.OutcomeSD = None,
    missing: Missing = "error",
    set_: opt.Set = None,
    where: opt.Where = None,
    unit: opt.Unit = None,
    decimal: opt.Decimal = None,
    sheet: opt.Sheet = None,
    delta: opt.Delta = None,
    bayes_factors: Annotated[
        bool, typer.Option("--bayes-factors", help="also Bayes factors, and how they depend on the priors of effects")
    ] = False,
    quiet: opt.Quiet = False,
    out: opt.Out = None,
) -> None:
    """Print how well models predict studies left out, and what each says of the dose; with -o write tables and figures."""
    from .model_comparison import compare_models as compare

    folder = opt.folder(out)
    reading: dict[str, Any] = {"unit": unit, "missing": missing, "delta": delta, "decimal": decimal, "sheet": sheet}
    given = {}
    for name in models:
        of = trials if Path(name).suffix != ".nc" else None
        spec, *table = _fit_or_model(name, of, outcome_sd, set_, where, **reading)
        label = (spec if table else spec.model).name
        given[name if label in given else label] = (spec, *table)
    table = next((rest[0] for _, *rest in given.values() if rest), None)
    warnings.simplefilter("ignore", ConvergenceWarning)  # the explanation says it
    settings: dict[str, Any] = {
        "draws": draws,
        "tune": tune,
        "chains": chains,
        "target_accept": target_accept,
        "missing": missing,
    }
    specs = {name: spec for name, (spec, *_) in given.items()}
    found = compare(specs, table, delta=delta, seed=seed, progress=not quiet, **settings)
    odds = None
    if bayes_factors:
        from .model_odds import bayes_factors as factors_of

        odds = factors_of(found.fits, seed=seed)
    say(found.explanation)
    warn_of(*found.fits.values(), is_told=True)
    if odds:
        say(odds.explanation)
    _show_elpd(found.elpd, "model")
    _show_best(found.table(), "model")
    if folder:
        from .outputs import write_model_comparison

        say_written(write_model_comparison(found, odds, folder))


def _fit_or_model(name: str, trials: str | None, outcome_sd, set_, where, **reading) -> tuple:
    """A saved fit alone, or a model and its table."""
    if Path(name).suffix != ".nc":
        if trials is None:
            raise StimdoseError(f"{name} is no saved fit (.nc), so it is taken for a model: state its trials")
        return opt.model_and_table(name, trials, outcome_sd, set_, where, **reading)
    stated = {"--set": set_, "--where": where, "the trials": trials}
    stated |= {f"--{name}": reading[name] for name in ("unit", "decimal", "sheet")}
    if wrong := [word for word, value in stated.items() if value]:
        raise StimdoseError(f"a saved fit has its own table: leave out {', '.join(wrong)}")
    from .sampling import load_fit

    return (load_fit(name),)
