"""What a reader of an answer must know of the fit behind it: convergence, doses that go together, groups with few studies."""

from collections.abc import Mapping

import pandas as pd

from .dose_space import CORRELATED, Confounder
from .doses import short
from .grid import observed_range
from .sampling import Fit

FEW_GROUPS = 3
"""Up to so many groups, the prior of the spread between them outweighs what they say of it."""


def fit_warning(fit: Fit) -> str:
    """The warning that every result of a fit that did not converge carries; "" if it did."""
    return "" if fit.diagnosis.converged else f"Warning: the fit {fit.diagnosis.message}."


def fit_warnings(fits: Mapping[str, Fit]) -> str:
    """The warnings of fits by name, one a line; "" if all converged."""
    found = {name: fit_warning(fit) for name, fit in fits.items()}
    return "\n".join(f"{name}: {warning}" for name, warning in found.items() if warning)


def marked(table: pd.DataFrame, fits: Mapping[str, Fit], level: str) -> pd.DataFrame:
    """A table of several fits with a column `converged`, and attrs["warning"] where any did not; level: of its index, their names."""
    converged = {name: fit.diagnosis.converged for name, fit in fits.items()}
    found = table.assign(converged=[converged[name] for name in table.index.get_level_values(level)])
    if not all(converged.values()):
        found.attrs["warning"] = f"did not converge: {', '.join(name for name, ok in converged.items() if not ok)}"
    return found


def about_rivals(column: str, rivals: tuple[Confounder, ...]) -> list[str]:
    """One remark for each dose that goes with `column` across trials, as a rival or less."""
    found = []
    for rival in rivals:
        less = abs(rival.r) < CORRELATED
        if rival.in_model:
            what = "and is in the model too: how the effect is divided between the two owes something to their priors"
        else:
            what = f"and is not in the model, which books {'some of ' if less else ''}its effect as that of {column}: add it to the model"
        how = " to some extent" if less else ""
        found.append(
            f"{rival.column} goes with {column} across trials{how} (r = {rival.r:.2f} of the logarithms, {rival.rows} rows) {what}"
        )
    return found


def about_knots(fit: Fit, column: str) -> list[str]:
    """A remark on knots beyond the doses of the table, where nothing but a prior says how the curve bends."""
    dose = next(dose for dose in fit.model.doses if dose.column == column)
    low, high = observed_range(fit.rows, column)
    lowest = min(low, *(dose.between or (low,)))  # a monotone curve may rise from a dose below those tried
    knots = dose.knots if isinstance(dose.knots, tuple) else ()
    beyond = [short(knot) for knot in knots if not lowest <= knot <= high]
    if not beyond:
        return []
    are = f"Knots of {column} at {', '.join(beyond)} lie" if len(beyond) > 1 else f"The knot of {column} at {beyond[0]} lies"
    return [f"{are} beyond the doses of the table, {short(low)} to {short(high)}: only a prior says how the curve bends there"]


def about_groups(fit: Fit, column: str, by: str | None, groups: list[str]) -> list[str]:
    """Remarks on the groups of a dose effect: those with one study or none, and how far a prior decides how they differ."""
    if by is None:
        return []
    named = [str(name).partition("_between_") for name in fit.tree["posterior"] if name.startswith(f"{column}_")]
    spreads = ["".join(name) for name in named if by == name[2] or by in name[2].split(":")]
    if not spreads:
        return [f"The model has one effect of {column} for all groups of {by}: they do not differ in it"]
    table, found = fit.rows.table, []
    studies = table["study"].groupby(table[by].astype(str)).nunique()
    for group in groups:
        if studies.get(group, 0) == 0:
            few = f", and with {len(studies)} of them a prior decides how far it may lie from these" * (
                len(studies) <= FEW_GROUPS
            )
            found.append(f"{group}: no study; its curve is predicted from the other groups{few}")
        elif studies[group] == 1:
            found.append(f"{group}: one study; its curve leans on the other groups")
    if len(studies) <= FEW_GROUPS:
        found.append(
            f"{len(studies)} groups cannot tell how far groups differ, so the prior of the spread between them decides how much they share: "
            f"vary it (sd.vary_spread; {', '.join(spreads)})"
        )
    return found
