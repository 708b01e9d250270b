"""The demo: three tables, three models, and what each can and cannot say."""

import warnings
from pathlib import Path
from time import perf_counter

from rich.console import Console
from rich.markup import escape

from .errors import ConvergenceWarning
from .outputs import make_folder, write_fit
from .sampling import fit
from .shipped import load_dataset
from .specs import load_model

PARTS = [
    (
        "hours-by-phase",
        "stroke_therapy_hours",
        {},
        "Real trials, but hours of therapy and not stimulation. Every row is the change within one group of patients, experimental or "
        "control: recovery without therapy is part of it, and a slope over hours is not a randomised comparison.",
    ),
    (
        "sessions-by-phase",
        "rtms_upper_limb_strata",
        {"stratified_by": "sessions"},
        "Published pooled effects of rTMS (Chen 2022), eight strata of session number and stroke phase. Strata are not trials: they can "
        "say little about dose, and the verdict should say so.",
    ),
    (
        "stimulation",
        "synthetic_rpms_dose_finding",
        {},
        "Synthetic trials from a stated truth with the best frequency at 16 Hz. They show what the package does with a complete table, "
        "and nothing about rPMS.",
    ),
]


def run_demo(folder: str | Path, console: Console, progress: bool = True) -> None:
    """Fit the three, write everything to `folder`, and print the verdicts."""
    folder = make_folder(folder)
    for number, (name, dataset, rows, about) in enumerate(PARTS, start=1):
        console.rule(f"{number} of {len(PARTS)}: {name} on {dataset}")
        console.print(escape(about))
        started = perf_counter()
        trials = load_dataset(dataset).subset(**rows)
        console.print(f"Sampling {len(trials)} rows ...")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the verdict below says it
            found = fit(load_model(name), trials, seed=1, progress=progress)
        part = make_folder(folder / name)
        _, optima, _ = write_fit(found, part)
        console.print(f"Sampling {escape(found.diagnosis.message)}")
        for column, best in optima.items():
            console.print(f"[bold]{column}[/]\n{escape(best.explanation)}")
            for group, line in best.table().iterrows():
                dose, low, high, prior_low, prior_high, first, last = (
                    f"{line[name]:,.4g}" for name in ("best_dose", "low", "high", "prior_low", "prior_high", "from", "to")
                )
                found_best = (
                    f"best dose {dose}, 95 % {low} to {high} (prior {prior_low} to {prior_high}, searched {first} to {last})"
                )
                no_best = f"no best dose is identified from {first} to {last}"
                console.print(f"  {group or 'all'}: {found_best if line['verdict'] == 'identified' else no_best}")
        console.print(f"{perf_counter() - started:.0f} s. Figures and tables: {part}\n")
    console.print(f"All results are in {folder.resolve()}")
