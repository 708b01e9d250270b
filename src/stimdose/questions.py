"""Commands that answer a question from a fit: the curve, the best dose, one protocol against another."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from . import options as opt
from .errors import StimdoseError
from .terminal import say, say_written, show, show_upright, warn_of

questions = typer.Typer(rich_markup_mode="rich")
PANEL = "Answers"
BEST = ["verdict", "best_dose", "low", "high", "effect_at_best", "p_at_low_end", "p_at_high_end"]
BEST += ["near_best_low", "near_best_high", "prior_low", "prior_high", "contraction", "r_hat", "ess"]


@questions.command(epilog="Example: stimdose curve results/fit.nc sessions --by phase -o results", rich_help_panel=PANEL)
@opt.answers
def curve(
    fit: opt.FitFile, dose: opt.Dose, by: opt.By = None, range_: opt.Range = None, at: opt.At = None, out: opt.Out = None
) -> None:
    """Print a dose-response curve; with -o write it as CSV, PDF and PNG."""
    from .curves import band
    from .curves import curve as curve_of
    from .sampling import load_fit

    found, folder = load_fit(fit), opt.folder(out)
    held = opt.protocol(at, found)
    mean = curve_of(found, dose, by=by, over=range_, at=held, size=9)
    title = f"Mean effect by {dose}, {mean.attrs['effect_label']}; held: {mean.attrs['held'] or 'nothing'}"
    show(band(mean), title, "curve")
    warn_of(found)
    if folder:
        from .outputs import write_curve

        say_written(write_curve(found, dose, folder, by=by, over=range_, at=held))


@questions.command(
    epilog="Example: stimdose categories results/fit.nc session_min --at score_before=2 --at age_years=6", rich_help_panel=PANEL
)
@opt.answers
def categories(
    fit: opt.FitFile,
    dose: opt.Dose,
    by: opt.By = None,
    range_: opt.Range = None,
    at: opt.At = None,
    new_study: opt.NewStudy = False,
    out: opt.Out = None,
) -> None:
    """Print the probability of each level of a score after treatment, of an ordinal fit; with -o write it as CSV."""
    from .categories import category_probabilities
    from .curves import band
    from .sampling import load_fit

    found, folder = load_fit(fit), opt.folder(out)
    held = opt.protocol(at, found)
    asked = {"by": by, "over": range_, "at": held, "kind": _kind(new_study)}
    chances = category_probabilities(found, dose, **asked, size=5)
    show(band(chances), f"Probability of each level by {dose}; held: {chances.attrs['held'] or 'nothing'}", "categories")
    warn_of(found)
    if folder:
        from .outputs import write_categories

        say_written(write_categories(category_probabilities(found, dose, **asked, size=41), folder))


@questions.command(
    epilog="Examples: stimdose optimum results/fit.nc frequency_hz --range 1 50 -o results\n\n"
    "stimdose optimum results/fit.nc frequency_hz --fixed session_min=20 --benefit 0.3\n\n"
    "stimdose optimum results/fit.nc session_min --cost 0.01 --at phase=chronic",
    rich_help_panel=PANEL,
)
@opt.answers
def optimum(
    fit: opt.FitFile,
    dose: opt.Dose,
    by: opt.By = None,
    range_: opt.Range = None,
    delta: opt.Delta = None,
    benefit: opt.Benefit = None,
    cost: opt.Cost = 0.0,
    fixed: Annotated[
        list[str] | None,
        typer.Option(
            help="of frequency_hz, session_min and pulses_per_session, what stays while the third follows "
            "(pulses = Hz x 60 x minutes x duty cycle): --fixed session_min, or session_min=20; both others: the duty cycle follows"
        ),
    ] = None,
    duty: opt.Duty = None,
    at: opt.At = None,
    new_group: Annotated[bool, typer.Option("--new-group", help="with --by: also of a group that no trial is of")] = False,
    new_study: opt.NewStudy = False,
    out: opt.Out = None,
) -> None:
    """Print the verdict on the best dose, and its posterior; with -o write them as CSV, with figures as PDF and PNG.

    The figures are the best dose under its curve (optimum-DOSE) and how probable each dose is to be near the best (near-best-DOSE); with
    --benefit also how probable each dose is to have it (benefit-DOSE).
    """
    from .optima import optimum as optimum_of
    from .paths import protocol_path
    from .sampling import load_fit

    found, folder = load_fit(fit), opt.folder(out)
    along = held = opt.protocol(at, found)
    if fixed:
        path = protocol_path(found, dose, fixed=opt.fixed(fixed), over=range_, size=401, duty=duty)
        if moved := [name for name in held if name in path]:
            raise StimdoseError(f"{', '.join(moved)} is of the path: state it as --fixed {moved[0]}=..., not as --at")
        along, range_ = path.assign(held), None
    elif duty is not None:
        raise StimdoseError("a duty cycle is that of a path: state what is fixed, such as --fixed session_min")
    best = optimum_of(
        found,
        dose,
        by=by,
        over=range_,
        delta=delta,
        benefit=benefit,
        cost=cost,
        at=along,
        kind=_kind(new_study),
        new_group=new_group,
    )
    say(best.explanation)
    warn_of(found, is_told=True)
    show_upright(best.table(), f"Best {dose}; held: {best.curves.attrs['held'] or 'nothing'}", "optimum")
    if folder:
        from .outputs import trials_shown, write_optimum

        shown = trials_shown(found, dose, by=by, at=held)
        say_written(write_optimum(best, folder, shown, chances=True))


@questions.command(
    epilog="Examples: stimdose paths results/fit.nc frequency_hz -o results\n\n"
    "stimdose paths results/fit.nc frequency_hz --at session_min=20 --at pulses_per_session=1200 --duty 0.1",
    rich_help_panel=PANEL,
)
@opt.answers
def paths(
    fit: opt.FitFile,
    dose: Annotated[str, typer.Argument(metavar="DOSE", help="frequency_hz, session_min or pulses_per_session")],
    by: opt.By = None,
    range_: opt.Range = None,
    delta: opt.Delta = None,
    benefit: opt.Benefit = None,
    cost: opt.Cost = 0.0,
    duty: opt.Duty = None,
    at: opt.At = None,
    new_study: opt.NewStudy = False,
    out: opt.Out = None,
) -> None:
    """Print the best dose at fixed pulses, in fixed sessions (or at a fixed frequency), and with all else as usual, side by side.

    Frequency, minutes and pulses are tied: pulses = Hz x 60 x minutes x duty cycle. With one fixed and one moved the third follows.
    """
    from .paths import optima_by_path
    from .sampling import load_fit

    fitted, folder = load_fit(fit), opt.folder(out)
    stated: dict[str, Any] = {"by": by, "over": range_, "delta": delta, "benefit": benefit, "cost": cost, "duty": duty}
    found = optima_by_path(fitted, dose, at=opt.protocol(at, fitted), kind=_kind(new_study), **stated)
    say(found.explanation)
    warn_of(fitted, is_told=True)
    table = found.table()[BEST]
    table.index = [", ".join(filter(None, names)) for names in table.index]
    show_upright(table, f"Best {dose} by path", "paths")
    if folder:
        from .outputs import write_paths

        say_written(write_paths(found, folder))


@questions.command(
    epilog="Example: stimdose contrast results/fit.nc --first frequency_hz=10 --first session_min=20 "
    "--second frequency_hz=1 --second session_min=20 --by phase",
    rich_help_panel=PANEL,
)
@opt.answers
def contrast(
    fit: opt.FitFile,
    first: Annotated[
        list[str],
        typer.Option(help="a dose (moderator, group) of the first protocol: --first frequency_hz=10; as many as needed"),
    ],
    second: Annotated[list[str], typer.Option(help="of the second protocol, which names the same: --second frequency_hz=1")],
    by: Annotated[str | None, typer.Option(help="a group column of the model: one contrast in each of its groups")] = None,
    delta: opt.Delta = None,
    new_study: opt.NewStudy = False,
    out: opt.Out = None,
) -> None:
    """Print the effect of one protocol less that of another; with -o write it as CSV, PDF and PNG."""
    from .decisions import contrast as contrast_of
    from .sampling import load_fit

    fitted, folder = load_fit(fit), opt.folder(out)
    protocols = [opt.protocol(items, fitted) for items in (first, second)]
    found = contrast_of(fitted, *protocols, by=by, delta=delta, kind=_kind(new_study))
    say(found.explanation)
    warn_of(fitted, is_told=True)
    show_upright(found.table().drop(columns="label"), found.label, "contrast")
    if folder:
        from .outputs import write_contrast

        say_written(write_contrast(found, folder))


@questions.command(
    epilog="Examples: stimdose surface results/fit.nc frequency_hz session_min --at phase=chronic -o results\n\n"
    "stimdose surface results/fit.nc frequency_hz session_min --range frequency_hz=1:50 --given session_min=20",
    rich_help_panel=PANEL,
)
@opt.answers
def surface(
    fit: opt.FitFile,
    first: opt.Dose,
    second: Annotated[str, typer.Argument(metavar="DOSE", help="another dose of the model")],
    range_: Annotated[
        list[str] | None,
        typer.Option("--range", help="lowest and highest dose: --range frequency_hz=1:50; the observed ones by default"),
    ] = None,
    at: opt.At = None,
    given: Annotated[
        list[str] | None, typer.Option(help="also print the best dose of one where the other is held: --given session_min=20")
    ] = None,
    delta: opt.Delta = None,
    new_study: opt.NewStudy = False,
    out: opt.Out = None,
) -> None:
    """Print the verdict on the best combination of two doses, and its posterior; with -o write the surface as CSV, PDF and PNG."""
    from .joint_optima import joint_optimum
    from .sampling import load_fit

    fitted, folder = load_fit(fit), opt.folder(out)
    held = opt.protocol(at, fitted)
    best = joint_optimum(fitted, first, second, over=opt.ranges(range_), delta=delta, at=held, kind=_kind(new_study))
    say(best.explanation)
    warn_of(fitted, is_told=True)
    show_upright(best.table().drop(columns="verdict"), f"Best {first} and {second}", "surface")
    for name, dose in opt.protocol(given, fitted).items():
        one = best.given({name: dose})
        say(f"\n{one.explanation}")
        show_upright(one.table()[BEST], f"Best {one.column} where {one.curves.attrs['held']}", f"optimum-{one.column}")
    if folder:
        from .outputs import write_surface

        levels = {name: level for name, level in held.items() if name in fitted.rows.levels}
        say_written(write_surface(best, folder, fitted.trials.subset(**levels)))


@questions.command(
    epilog="Example: stimdose average linear/fit.nc emax/fit.nc bell/fit.nc session_min -o averaged", rich_help_panel=PANEL
)
@opt.answers
def average(
    fits: Annotated[list[Path], typer.Argument(metavar="FIT...", help="saved fits of different models to the same trials")],
    dose: Annotated[str, typer.Argument(metavar="DOSE", help="a dose of all of them")],
    by: opt.By = None,
    range_: opt.Range = None,
    delta: opt.Delta = None,
    benefit: opt.Benefit = None,
    cost: opt.Cost = 0.0,
    out: opt.Out = None,
) -> None:
    """Average models by how well they predict studies left out; print the verdict of the average beside that of each model."""
    from .averaging import average as average_of
    from .sampling import load_fit

    loaded, folder = [load_fit(path) for path in fits], opt.folder(out)
    names = [fit.model.name for fit in loaded]
    names = names if len(set(names)) == len(names) else [str(path) for path in fits]
    found = average_of(dict(zip(names, loaded, strict=True)))
    stated: dict[str, Any] = {"by": by, "over": range_, "delta": delta, "benefit": benefit, "cost": cost}
    best, table = found.optimum(dose, **stated), found.table(dose, **stated)
    say(best.explanation)
    warn_of(*loaded, is_told=True)
    show(found.elpd.reset_index(), "How well models predict studies left out", "elpd")
    shown = ["model", *(["group"] if by else []), "weight", "verdict", "best_dose", "low", "high"]
    show(table.reset_index()[shown], f"Best {dose} by each model, and by their average", "optimum")
    if folder:
        from .outputs import write_average

        say_written(write_average(found, best, table, folder, over=range_))


def _kind(new_study: bool) -> Literal["mean", "new study"]:
    return "new study" if new_study else "mean"
