"""Theta burst against conventional rTMS: whether the answer on frequency depends on where bursts stand on its axis."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from . import arguments
from .arguments import checked
from .caveats import fit_warnings, marked
from .doses import short
from .errors import StimdoseError
from .estimands import Estimand, best_table, change_table, doses_of, effects_table, estimands
from .grid import held_values
from .model import Model
from .optima import default_delta
from .protocol import AXES, is_patterned
from .reading import read_trials
from .rows import Rows
from .sampling import Fit, fit
from .trials import Trials, rows_in_words

APART = "apart"
"""The choice without an axis: theta burst is left out, so that the curve is that of conventional trials."""
CHOICE = "theta_burst"


@dataclass(frozen=True)
class ThetaBurstAxes:
    """One model of one table, with theta burst at its burst, its carrier and its mean frequency, and apart from the curve.

    fits: by choice, "apart" first, which is the reference. estimands: what each fit says of `dose`. placed: one line per choice: rows
    and studies of the fit, those of them that are theta burst, and their frequencies (Hz). remarks: rows that no choice moves.
    """

    fits: dict[str, Fit]
    estimands: dict[str, dict[str, Estimand]]
    placed: pd.DataFrame
    dose: str
    remarks: tuple[str, ...]

    @property
    def curves(self) -> dict[str, xr.DataArray]:
        """Posterior draws of the curve (chain, draw, dose[, group]) by choice, other doses and groups as in the conventional trials."""
        return {name: own[self.dose].curves for name, own in self.estimands.items()}

    @property
    def verdicts(self) -> dict[str, str]:
        """The verdict on the best dose by choice, with groups named where there are several."""
        return {name: own[self.dose].optimum.verdict for name, own in self.estimands.items()}

    @property
    def depends_on_axis(self) -> bool:
        """Whether the verdict is not the same for every choice."""
        return len(set(self.verdicts.values())) > 1

    @property
    def explanation(self) -> str:
        """What the comparison says, in sentences, with every warning."""
        said = "; ".join(f"{name}: {verdict}" for name, verdict in self.verdicts.items())
        first = (
            f"The verdict on {self.dose} depends on where theta burst stands: {said}."
            if self.depends_on_axis
            else f"The verdict on {self.dose} is the same wherever theta burst stands, and without it: {self.verdicts[APART]}."
        )
        effects = self.changes().query("quantity.str.startswith('effect')")
        most = effects.loc[effects["in_sd"].abs().idxmax()]
        second = (
            f"Against the conventional trials alone, what moves most is the {most.name[3]} with theta burst at its {most.name[0]} frequency: "
            f"by {most['change']:.2f}, {abs(most['in_sd']):.1f} posterior standard deviations."
        )
        return "\n".join([first, second, *self.remarks, *filter(None, [fit_warnings(self.fits)])])

    def table(self, prob: float = 0.95) -> pd.DataFrame:
        """One line per choice and group, led by the verdict: the best dose with its equal-tailed interval of probability `prob`, the effect
        there, the range of doses that was searched (from, to), and where theta burst stood (`placed`)."""
        found = best_table(self.estimands, CHOICE, prob).droplevel("dose")
        for end, place in (("from", 0), ("to", -1)):
            ends = {name: float(curve[self.dose][place]) for name, curve in self.curves.items()}
            found[end] = found.index.get_level_values(CHOICE).map(ends)
        return marked(found.join(self.placed, on=CHOICE), self.fits, CHOICE)

    def effects(self, prob: float = 0.95) -> pd.DataFrame:
        """The mean effect at reference doses (those of the conventional trials): one line per choice, dose, group and dose (`at`)."""
        return marked(effects_table(self.estimands, CHOICE, prob), self.fits, CHOICE)

    def changes(self) -> pd.DataFrame:
        """How far each quantity is from that of the conventional trials alone, see `estimands.change_table`."""
        return marked(change_table(self.estimands, APART, CHOICE), self.fits, CHOICE)


@checked(
    model=arguments.MODEL,
    dose=arguments.WORD,
    reading=arguments.DICT.or_none(),
    source=arguments.Rule(
        lambda value: isinstance(value, (str, Path, pd.DataFrame)), "a file or a DataFrame, as `read_trials` takes it"
    ),
)
def theta_burst_axes(
    model: Model,
    source: str | Path | pd.DataFrame,
    *,
    dose: str = "frequency_hz",
    delta: float | None = None,
    reading: Mapping | None = None,
    **settings: Any,
) -> ThetaBurstAxes:
    """Fit the model once for each place of theta burst on the axis of frequency, and once without it.

    Bursts come 5 times a second, their pulses at 50 Hz, and over a session at 3 or 15 Hz, pauses included (`protocol.frequency`). No
    trial tells which of these compares with the frequency of single pulses, and a curve that takes one for granted may be that of the
    choice. "apart" leaves theta burst (and quadripulse) out: then it informs nothing, neither the curve nor what else the model has.
    Single pulses stand at the frequency of their trains in all four.

    source: a table as `read_trials` takes it, so that the frequency of bursts can be read anew; cells of bursts that print one stay, and
    are named. dose: the dose of the model in question. delta: the smallest difference that matters, as of `optimum`. reading: further
    arguments of `read_trials`; settings: of `fit`.

    Raises StimdoseError where no cell depends on the axis, where a group of the curve, or the table, has no conventional trial, and where
    delta must be stated.
    """
    reading = dict(reading or {})
    if "tbs_frequency" in reading:
        raise StimdoseError("tbs_frequency is what is varied here: leave it out of `reading`")
    if dose not in (known := [part.column for part in model.doses]):
        raise StimdoseError(f"the model has no dose {dose!r}; it has {', '.join(known) or 'none'}")
    read = {axis: read_trials(source, **reading, tbs_frequency=axis) for axis in AXES}
    table = read["burst"].table
    if "frequency_hz" not in table:
        raise StimdoseError("the table has no frequency_hz, and no theta burst that would have one")
    bursts = _bursts(table)
    hertz = np.array([trials.table["frequency_hz"].to_numpy(float)[bursts] for trials in read.values()])
    stays = ~(np.ptp(hertz, axis=0) > 0)  # also where no choice gives one
    if stays.all():
        reason = "prints its frequency, which stays as printed: empty these cells" if bursts.any() else "is in the table"
        raise StimdoseError(f"no frequency depends on the axis: {'every' if bursts.any() else 'no'} theta burst row {reason}")
    if bursts.all():
        raise StimdoseError(
            "every row is theta burst: without conventional trials there is no curve that it could stand on, or apart from"
        )
    conventional = read["burst"].keep_rows(~bursts, remarks=["without theta burst"])
    _check_groups(model, dose, table, conventional)
    delta = default_delta(model, conventional) if delta is None else delta  # refused here rather than after four fits
    settings = {"progress": False} | settings
    fits = {name: fit(model, trials, **settings) for name, trials in ({APART: conventional} | read).items()}
    doses, apart = {dose: doses_of(fits)[dose]}, fits[APART]
    held = held_values(
        apart.model, apart.rows, dose, model.shown_by(dose), {}
    )  # in all fits, or other doses would pass for the axis
    at = {name: value for name, value in held.items() if isinstance(value, float)}
    kept = table["row"][bursts][stays]
    remark = f"Theta burst stands where its frequency is printed, whatever the axis, in {rows_in_words(len(kept))}: {', '.join(map(str, kept))}."
    return ThetaBurstAxes(
        fits,
        {
            name: estimands(_AsConventional(found.model, found.trials, found.tree, found.diagnosis), doses, delta=delta, at=at)
            for name, found in fits.items()
        },
        pd.DataFrame({name: _place(found.trials) for name, found in fits.items()}).T,
        dose,
        (remark,) if len(kept) else (),
    )


class _AsConventional(Fit):
    """A fit whose curves average over groups as the conventional trials do: those of theta burst would pass for its axis."""

    @cached_property
    def rows(self) -> Rows:
        rows = super().rows
        kept = ~_bursts(rows.table)
        groups = {name: index[kept] for name, index in rows.points.groups.items()}
        return replace(rows, points=replace(rows.points, groups=groups))


def _check_groups(model: Model, dose: str, table: pd.DataFrame, conventional: Trials) -> None:
    """Raises StimdoseError if a group of the curve consists of theta burst: it has no counterpart in a fit without."""
    for column in (model.shown_by(dose) or "").split(":"):
        if column in table and (only := set(table[column].dropna()) - set(conventional.table[column].dropna())):
            raise StimdoseError(
                f"{column}: {', '.join(sorted(map(str, only)))} has no conventional trial, and the curve of {dose} varies by {column}; "
                "theta burst is apart already in this model"
            )


def _bursts(table: pd.DataFrame) -> np.ndarray:
    """Whether each row (rows,) is of pulses in bursts."""
    modality = table["modality"] if "modality" in table else pd.Series("", table.index)
    return modality.map(lambda name: isinstance(name, str) and is_patterned(name)).to_numpy(bool)


def _place(trials: Trials) -> dict[str, object]:
    """Size of a table, and where theta burst stands in it."""
    table = trials.table
    bursts = table[_bursts(table)]
    return {
        "rows": len(table),
        "studies": table["study"].nunique(),
        "theta_burst_rows": len(bursts),
        "theta_burst_studies": bursts["study"].nunique(),
        "theta_burst_hz": ", ".join(short(value) for value in np.unique(bursts["frequency_hz"].dropna())),
    }
