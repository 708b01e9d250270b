"""`contrast`: how much better one protocol is than another."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from .arguments import NOT_NEGATIVE, checked, is_number
from .caveats import about_groups, about_rivals, fit_warning
from .curves import Kind, curve, effect_unit
from .derived import DRAWS, diagnosed, group_of, interval
from .diagnosis import Diagnosis
from .dose_space import confounders, related, visited
from .doses import chance_of, short
from .errors import StimdoseError, nearest
from .grid import base_levels, held_values, usual_dose
from .optima import default_delta
from .rows import Rows
from .sampling import Fit
from .trials import Trials
from .verdicts import TIED


@dataclass(frozen=True)
class Contrast:
    """The effect of a first protocol less that of a second.

    draws, prior: draws (chain, draw[, group]) of the difference, effect units (positive = the first is better), from the posterior
        and from the prior. freed: those of a fit of the freed model (`Model.freed`), where that is another; else None.
    first, second: what each protocol names, and held: what both share (None: groups that are averaged over). delta: the smallest
        difference that matters. diagnosis: convergence of the difference. fit_warning: set if the fit did not converge.
        remarks: what a reader must know.
    """

    draws: xr.DataArray
    prior: xr.DataArray
    freed: xr.DataArray | None
    first: dict
    second: dict
    held: dict
    delta: float
    diagnosis: Diagnosis
    fit_warning: str
    remarks: tuple[str, ...]

    @property
    def by(self) -> str | None:
        """The group column, or None."""
        return group_of(self.draws)

    @property
    def label(self) -> str:
        """Both protocols in words."""
        return f"{in_words(self.first)} against {in_words(self.second)}"

    @property
    def explanation(self) -> str:
        """The contrast in sentences."""
        lines = [
            f"{group + ': ' if group else ''}{self.label}: {line['mean']:.2f} [{line['low']:.2f}, {line['high']:.2f}], "
            f"{chance_of('better', line['p_positive'])}, {chance_of(f'better by more than {self.delta:g}', line['p_above_delta'])}."
            for group, line in self.table().iterrows()
        ]
        return "\n".join([self.fit_warning] * bool(self.fit_warning) + lines + [f"{remark}." for remark in self.remarks])

    def interval(self, prob: float = 0.95) -> xr.DataArray:
        """Equal-tailed interval of the difference, dimension `bound` (low, high)."""
        return interval(self.draws, prob)

    @checked
    def table(self, prob: float = 0.95) -> pd.DataFrame:
        """One line per group: mean, low, high, p_positive, p_above_delta, p_below_delta (P(difference < -delta)), prior_low, prior_high,
        contraction (1 - posterior / prior variance: near 0 the trials say nothing), r_hat and ess; of an anchored model also mean, low,
        high and p_positive freed of a tie to zero, as `free_mean` and so on."""
        records = []
        for group in map(str, self.draws[self.by].values) if self.by else [""]:
            at, label = ({self.by: group}, f"difference[{group}]") if self.by else ({}, "difference")
            draws = self.draws.sel(at).values
            record = {"group": group, "label": self.label, **_summary(draws, prob)}
            record |= {"p_above_delta": (draws > self.delta).mean(), "p_below_delta": (draws < -self.delta).mean()}
            before = self.prior.sel(at).values
            prior = _summary(before, prob)
            record |= {"prior_low": prior["low"], "prior_high": prior["high"], "contraction": 1 - draws.var() / before.var()}
            if self.freed is not None:
                free = _summary(self.freed.sel(at).values, prob)
                record |= {f"free_{name}": value for name, value in free.items()}
            check = self.diagnosis.table.reindex([label]).iloc[0]
            records.append(record | {"r_hat": check["r_hat"], "ess": check["ess_bulk"]})
        return pd.DataFrame(records).set_index("group")


@checked(delta=NOT_NEGATIVE.or_none())
def contrast(
    fit: Fit, first: dict, second: dict, *, by: str | None = None, delta: float | None = None, kind: Kind = "mean"
) -> Contrast:
    """The effect of one protocol less that of another, draw by draw.

    first, second: doses (dose units) and, if need be, moderators and groups, by column; both name the same ones. What they do not
        name is held at the usual dose and the mean; other groups are averaged over the rows, as in `curve`.
    by: a group column of the model, for a contrast in each of its groups. delta: the smallest difference that matters, as in
        `optimum`.
    kind: "mean", or "new study": both protocols in a study not seen, whose own level they share; its slopes, and what rows of one
        study differ by, remain.

    Raises StimdoseError for protocols that the model does not know, or that do not differ.
    """
    _check(fit, first, second, by)
    delta = default_delta(fit.model, fit.trials) if delta is None else float(delta)

    def difference(group: str) -> xr.DataArray:
        found = _effect(fit, first, by, kind, group) - _effect(fit, second, by, kind, group)
        if kind == "new study" and fit.rows.has_within_study:
            rng = np.random.default_rng([int(fit.tree.attrs["seed"]), 7])
            within = fit.tree[group]["within_study"].transpose(*DRAWS)
            found = found + np.sqrt(2) * within * xr.DataArray(rng.standard_normal(within.shape), dims=DRAWS)
        return found.rename("difference").assign_attrs(kind=kind, effect_label=f"{effect_unit(fit)} (positive = first is better)")

    draws = difference("posterior")
    free = difference("freed") if "freed" in fit.tree else None
    diagnosis = diagnosed(draws.to_dataset(), fit.diagnosis.divergences)
    doses = [dose.column for dose in fit.model.doses]
    moved = [name for name in first if name in doses and first[name] != second[name]]
    remarks = [f"Did not converge (R-hat > 1.01 or ESS < 400): {', '.join(diagnosis.failing)}"] if diagnosis.failing else []
    if free is not None:
        remarks.append(
            f"{TIED}; the columns free_ of the table have the difference freed of that (by a free intercept, or a factor that may also fall)"
        )
    remarks += [line for protocol in (first, second) for line in _about_protocol(fit, protocol, by)]
    for column in moved:
        remarks += about_rivals(
            column, tuple(rival for rival in (*confounders(fit, column), *related(fit, column)) if rival.column not in first)
        )
        remarks += about_groups(fit, column, by, list(fit.rows.levels[by]) if by else [])
    held = {doses[0]: usual_dose(fit.rows, doses[0])} | held_values(fit.model, fit.rows, doses[0], by, {})
    held = {name: value for name, value in held.items() if name not in first}
    return Contrast(
        draws, difference("prior"), free, first, second, held, delta, diagnosis, fit_warning(fit), tuple(dict.fromkeys(remarks))
    )


def in_words(protocol: dict) -> str:
    """A protocol as text: frequency_hz 10, phase acute."""
    return ", ".join(f"{name} {value if isinstance(value, str) else short(float(value))}" for name, value in protocol.items())


def _effect(fit: Fit, protocol: dict, by: str | None, kind: Kind, group: str) -> xr.DataArray:
    """Draws (chain, draw[, group]) of the effect of one protocol: a curve at a single dose."""
    doses = [dose.column for dose in fit.model.doses]
    column = next((name for name in protocol if name in doses), doses[0])
    grid = np.array([float(protocol.get(column, usual_dose(fit.rows, column)))])
    rest = {name: value for name, value in protocol.items() if name != column}
    return curve(fit, column, by=by, kind=kind, grid=grid, at=rest, group=group).isel({column: 0}, drop=True)


def _about_protocol(fit: Fit, protocol: dict, by: str | None) -> list[str]:
    """Remarks where no trial was near a protocol, or none of the group that it is for."""
    table, rows = fit.rows.table, fit.rows
    doses = [dose.column for dose in fit.model.doses if dose.column in table]
    # dose 0 of an anchored model is what controls had
    point = {n: v for n, v in protocol.items() if n in doses and (v > 0 or not fit.model.is_anchored)}
    stated = {name: value for name, value in protocol.items() if name in rows.levels}
    found = []
    for groups in [stated | {by: group} for group in rows.levels[by]] if by else [stated]:
        of_these = table
        for name, level in groups.items():
            of_these = of_these[of_these[name].map(str) == level]
        if point and not (len(of_these) and visited(Trials(of_these), point)):
            who = f" of {', '.join(groups.values())}" if groups else ""
            found.append(f"No trial{who} was near {in_words(point)}: its effect is extrapolated")
    return found


def _check(fit: Fit, first: dict, second: dict, by: str | None) -> None:
    """Raises StimdoseError that lists all that is wrong with two protocols."""
    if not (isinstance(first, dict) and isinstance(second, dict) and first):
        raise StimdoseError('a protocol is a dict of doses and groups: contrast(fit, {"frequency_hz": 10}, {"frequency_hz": 1})')
    rows, doses = fit.rows, [dose.column for dose in fit.model.doses]
    known, problems = (*doses, *rows.scales, *base_levels(rows)), []
    for name in dict.fromkeys((*first, *second)):
        if name in rows.levels and name not in known:
            problems.append(f"{name} is named by its parts, {' and '.join(name.split(':'))}")
        elif name not in known:
            problems.append(f"the model has no {name!r}{nearest(str(name), known)}; it has {', '.join(known)}")
        elif name not in first or name not in second:
            problems.append(f"only the {'first' if name in first else 'second'} names {name}: state it in both")
        elif name == by:
            problems.append(f"{name} is what the contrast is by: it cannot be held too")
        else:
            problems += [problem for value in (first[name], second[name]) if (problem := _problem(rows, doses, name, value))]
    if by is not None and by not in rows.levels:
        problems.append(f"the model has no groups {by!r}; it has {', '.join(rows.levels) or 'none'}")
    if not doses:
        problems.append("the model has no dose")
    if not problems and first == second:
        problems.append("they are the same")
    if problems:
        raise StimdoseError("\n  - ".join(["these protocols cannot be compared:", *dict.fromkeys(problems)]))


def _problem(rows: Rows, doses: list[str], name: str, value) -> str:
    if name in rows.levels:
        return "" if value in rows.levels[name] else f"{name} has no level {value!r}; it has {', '.join(rows.levels[name])}"
    return "" if is_number(value) and (value >= 0 or name not in doses) else f"{name} cannot be {value!r}"


def _summary(draws: np.ndarray, prob: float) -> dict[str, float]:
    low, high = np.quantile(draws, [(1 - prob) / 2, (1 + prob) / 2])
    return {"mean": draws.mean(), "low": low, "high": high, "p_positive": (draws > 0).mean()}
