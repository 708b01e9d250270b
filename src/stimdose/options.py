"""Options that commands share, and what the words of a user mean."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from .errors import StimdoseError

TrialsName = Annotated[
    str, typer.Argument(metavar="TRIALS", help="a CSV or Excel file, or the name of a shipped table (see `stimdose datasets`)")
]
ModelName = Annotated[str, typer.Argument(metavar="MODEL", help="a shipped model (see `stimdose models`) or a .toml file")]
FitFile = Annotated[Path, typer.Argument(metavar="FIT", help="a saved fit, such as DIR/fit.nc")]
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


def pair(item: str) -> tuple[str, str]:
    """Name and value of "name=value". Raises StimdoseError for anything else."""
    name, equals, value = item.partition("=")
    if not equals:
        raise StimdoseError(f"write column=value, not {item!r}")
    return name, value


def read_table(source: str, constants: list[str] | None, where: list[str] | None, missing: str, **reading: str | None):
    """The trials that a file, or the name of a shipped table, stands for."""
    from . import shipped
    from .reading import read_trials

    given, wanted = (dict(pair(item) for item in items or []) for items in (constants, where))
    given |= {name: value for name, value in reading.items() if value is not None}
    path = Path(source)
    is_file = bool(path.suffix) or path.exists()
    if given and not is_file:
        file = shipped.dataset_path(source)
        raise StimdoseError(f"shipped tables are read as they are; for {', '.join(given)}, give the file itself: {file}")
    table = read_trials(path, missing=missing, **given) if is_file else shipped.load_dataset(source)
    return table.subset(**wanted) if wanted else table
