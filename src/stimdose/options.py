"""Options that commands share, and what the words of a user mean."""

import functools
import inspect
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from .errors import StimdoseError
from .terminal import as_json

if TYPE_CHECKING:
    from .sampling import Fit


if TYPE_CHECKING:
    from .trials import Trials


TrialsName = Annotated[
    str, typer.Argument(metavar="TRIALS", help="a CSV or Excel file, or the name of a shipped table (see `stimdose datasets`)")
]
ModelName = Annotated[str, typer.Argument(metavar="MODEL", help="a shipped model (see `stimdose models`) or a .toml file")]
FitFile = Annotated[Path, typer.Argument(metavar="FIT", help="a saved fit, such as DIR/fit.nc")]
Dose = Annotated[str, typer.Argument(metavar="DOSE", help="a dose of the model, such as frequency_hz")]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="folder to write to")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="no progress bar")]

# how a table is read
Set = Annotated[list[str] | None, typer.Option("--set", help="a column that is the same in every row: --set comparator=sham")]
Where = Annotated[list[str] | None, typer.Option("--where", help="use only rows with this value: --where outcome=FMA-UE")]
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

Unit = Annotated[
    list[str] | None,
    typer.Option(
        "--unit",
        help="mean differences of several outcomes on one scale, in so many points of each: --unit FMA-UE=10 --unit MAS=0.8",
    ),
]

# how a model is fitted
Seed = Annotated[int | None, typer.Option(min=0, help="the same seed gives the same numbers")]
Draws = Annotated[int, typer.Option(min=100, help="draws a chain")]
Tune = Annotated[int, typer.Option(min=100, help="warm-up draws a chain")]
Chains = Annotated[int, typer.Option(min=2)]
TargetAccept = Annotated[float, typer.Option(min=0.5, max=0.999)]
OutcomeSD = Annotated[
    float | None,
    typer.Option(help="one standard deviation of the outcome in the units of the effect, where it is not standardised"),
]

# what is asked of a fit
By = Annotated[str | None, typer.Option(help="a group column of the model: one curve in each of its groups")]
Range = Annotated[
    tuple[float, float] | None, typer.Option("--range", help="lowest and highest dose; the observed range by default")
]
Delta = Annotated[
    float | None, typer.Option(min=1e-12, help="smallest difference in effect that matters; 0.1 for standardised effects")
]


At = Annotated[
    list[str] | None,
    typer.Option("--at", help="what else is held, and at what: --at phase=chronic; usual doses and the mean if not stated"),
]
Benefit = Annotated[
    float | None,
    typer.Option(help="an effect worth having, such as the minimal important difference; prints the smallest dose that has it"),
]
Cost = Annotated[
    float, typer.Option(min=0, help="effect that one unit of the dose must earn: --cost 0.01; the best dose is net of it")
]
Duty = Annotated[
    float | None, typer.Option(help="share of a session in which pulses run, above 0 to 1; by default the median of the trials")
]
NewStudy = Annotated[
    bool, typer.Option("--new-study", help="of a study not seen, with what it would differ by, in place of the mean over studies")
]


def answers(command: Callable) -> Callable:
    """The command with an option --json: what it answers is then one JSON object on standard output, and nothing else is."""

    @functools.wraps(command)
    def run(*arguments, json: bool = False, **options):
        with as_json() if json else nullcontext():
            return command(*arguments, **options)

    wanted = Annotated[bool, typer.Option("--json", help="print one JSON object, for scripts, in place of text")]
    last = inspect.Parameter("json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=wanted)
    signature = inspect.signature(command)
    vars(run)["__signature__"] = signature.replace(parameters=[*signature.parameters.values(), last])
    run.__annotations__ = command.__annotations__ | {"json": wanted}
    del run.__wrapped__  # typer would read its signature in place of this one
    return run


def pairs(items: list[str] | None, form: str = "column=value") -> dict[str, str]:
    """Values by name, of "name=value" items. Raises StimdoseError that lists all that are not, or that name one twice."""
    split = [item.partition("=") for item in items or []]
    names = [name for name, _, _ in split]
    faults = [
        f"write {form}, not {item!r}" for item, (name, equals, _) in zip(items or [], split, strict=True) if not (name and equals)
    ]
    faults += [f"{name} is stated more than once" for name in dict.fromkeys(names) if names.count(name) > 1]
    if faults:
        raise StimdoseError("; ".join(faults))
    return {name: value for name, _, value in split}


def protocol(items: list[str] | None, fit: "Fit") -> dict[str, Any]:
    """What "name=value" items state: words for the groups of a fit, numbers for all else; what is no number stays as written."""
    return {name: value if name in fit.rows.levels else number(value) for name, value in pairs(items).items()}


def fixed(items: list[str]) -> dict[str, Any]:
    """Doses by name, of "name=dose" items; None of a name alone."""
    found = pairs([item if "=" in item else f"{item}=" for item in items], "a dose, or dose=number")
    return {name: number(value) if value else None for name, value in found.items()}


def ranges(items: list[str] | None) -> dict[str, Any]:
    """Lowest and highest dose by name, of "name=low:high" items. Raises StimdoseError for anything else."""
    found = {name: tuple(map(number, value.split(":"))) for name, value in pairs(items, "dose=low:high").items()}
    if wrong := [name for name, ends in found.items() if len(ends) != 2 or not all(isinstance(end, float) for end in ends)]:
        raise StimdoseError(f"write dose=low:high, such as {wrong[0]}=1:50")
    return found


def cuts(items: list[str] | None) -> dict[str, Any]:
    """Where ranges of doses end by name, of "name=5:15" items. Raises StimdoseError for anything else."""
    found = {name: [number(end) for end in value.split(":")] for name, value in pairs(items, "dose=end:end").items()}
    if wrong := [name for name, ends in found.items() if not all(isinstance(end, float) for end in ends)]:
        raise StimdoseError(f"write dose=end or dose=end:end, such as {wrong[0]}=5:15")
    return found


def number(text: str) -> float | str:
    """The number that a text is, or the text: what it is used for then says what it should be."""
    try:
        return float(text)
    except ValueError:
        return text


def folder(out: Path | None) -> Path | None:
    """The folder to write to, made before anything is computed; what draws figures is not loaded without one."""
    if out is None:
        return None
    from .outputs import make_folder

    return make_folder(out)


def read_table(
    source: str, constants: list[str] | None, where: list[str] | None, missing: Literal["error", "drop", "keep"], **reading: Any
) -> "Trials":
    """The trials that a file, or the name of a shipped table, stands for."""
    from . import shipped
    from .reading import read_trials

    given: dict[str, Any] = dict(pairs(constants))
    wanted = pairs(where)
    given |= {name: value for name, value in reading.items() if value is not None}
    path = Path(source)
    is_shipped = not path.is_file() and source in shipped.datasets().index  # whatever folder has that name: results may
    is_file = not is_shipped and (bool(path.suffix) or path.exists())
    if given and not is_file:
        file = shipped.dataset_path(source)
        raise StimdoseError(f"shipped tables are read as they are; for {', '.join(given)}, give the file itself: {file}")
    table = read_trials(path, missing=missing, **given) if is_file else shipped.load_dataset(source)
    return table.subset(**wanted) if wanted else table


def model_and_table(
    model: str,
    trials: str,
    outcome_sd: float | None,
    constants: list[str] | None,
    where: list[str] | None,
    *,
    unit: list[str] | None = None,
    missing: Literal["error", "drop", "impute"],
    allow_mixed: list[str] | None = None,
    delta: float | None,
    **reading: str | None,
):
    """The model and the trials of a fit, refused here rather than after sampling: first for faults of the table, then for the lack of
    `delta`."""
    from .optima import default_delta
    from .rows import prepare
    from .specs import load_model

    spec = load_model(model, **({"outcome_sd": outcome_sd} if outcome_sd is not None else {}))
    table = read_table(trials, constants, where, missing="drop" if missing == "drop" else "keep", **reading)
    if unit:
        table = table.in_units(dict[str, Any]({name: number(value) for name, value in pairs(unit, "outcome=points").items()}))
    _, complete = prepare(spec, table, missing, tuple(allow_mixed or ()))
    if spec.dose and delta is None:
        default_delta(spec, complete)
    return spec, table
