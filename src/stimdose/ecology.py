"""The dose slope within trials beside the slope across trials: do they differ (ecological bias)?"""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr

from .arguments import MODEL, PRIOR, checked
from .columns import COLUMNS
from .curves import effect_unit
from .diagnosis import Diagnosis, diagnose
from .doses import dose_text, short
from .errors import ModelError, Problem, StimdoseError, TrialsError
from .model import Dose, Model, Moderator
from .optima import default_delta
from .predictor import terms
from .priors import Prior
from .rows import prepare
from .sampling import Fit, fit
from .trials import Trials
from .verdicts import CERTAINTY

STRAIGHT = ("linear", "log-linear")
"""Shapes with one coefficient and no other parameter: only there is a slope the same within and across trials."""
DIFFERENCE = Prior(
    "normal", mu=0.0, sigma=1.0, why="slopes within and across trials may differ by as much as an effect itself, either way"
)
WORDS = {
    "did not converge": "the chains disagree about the slopes; sample longer before reading anything below",
    "differ": "comparing trials is not comparing doses within a trial (ecological bias); the slope within trials is the safer one",
    "agree": "the slopes within and across trials differ by less than {delta:g}",
    "not clear": "these trials do not tell whether the slopes within and across trials differ",
}


@dataclass(frozen=True)
class WithinAcross:
    """The dose slope within and across trials.

    draws: Dataset (chain, draw) of `within`, `across` and `difference` (across - within), effects of one reference dose on the scale
        of the `shape`. delta: the smallest difference that matters (effect units). studies, several: number of studies, and of those
        with several doses. diagnosis: convergence of the three slopes. fit: the fit that they come from. remarks: what a reader
        must know.
    """

    column: str
    shape: str
    reference: float
    draws: xr.Dataset
    delta: float
    studies: int
    several: int
    diagnosis: Diagnosis
    fit: Fit
    remarks: tuple[str, ...]

    @property
    def p_differ(self) -> float:
        """Probability that the difference has the sign it seems to have; 0.5 where nothing is known, never less."""
        above = float((self.draws["difference"] > 0).mean())
        return max(above, 1 - above)

    @property
    def p_beyond_delta(self) -> float:
        """P(|difference| > delta). High also where nothing is known, because the prior is wide: read it beside `p_differ`."""
        return float((abs(self.draws["difference"]) > self.delta).mean())

    @property
    def verdict(self) -> str:
        """ "did not converge"; "differ" if P(difference > delta) or P(difference < -delta) >= 0.9; "agree" if P(|difference| <=
        delta) >= 0.9; else "not clear"."""
        if self.diagnosis.failing or not self.fit.diagnosis.converged:
            return "did not converge"
        difference = self.draws["difference"]
        if max((difference > self.delta).mean(), (difference < -self.delta).mean()) >= CERTAINTY:
            return "differ"
        return "agree" if 1 - self.p_beyond_delta >= CERTAINTY else "not clear"

    @property
    def explanation(self) -> str:
        """Verdict and numbers in sentences."""
        table, unit = self.table(), COLUMNS[self.column].unit if self.column in COLUMNS else self.column
        slopes = [f"{name} {line['mean']:.2f} [{line['low']:.2f}, {line['high']:.2f}]" for name, line in table.iterrows()]
        lines = [f"{self.verdict}: {WORDS[self.verdict].format(delta=self.delta)}."]
        if not self.fit.diagnosis.converged:
            lines.insert(0, f"Warning: the fit {self.fit.diagnosis.message}.")
        lines += [
            f"Effect of {short(self.reference)} {unit} ({self.column}, {self.shape}), 95 % intervals: {', '.join(slopes)}.",
            f"The difference is {'above' if table.loc['difference', 'mean'] > 0 else 'below'} zero with probability "
            f"{self.p_differ:.2f} and beyond ±{self.delta:g} with probability {self.p_beyond_delta:.2f}.",
            f"{self.several} of {self.studies} studies have several doses.",
        ]
        return "\n".join(lines + [f"{remark}." for remark in self.remarks])

    @checked
    def table(self, prob: float = 0.95) -> pd.DataFrame:
        """One line each for the slope within trials, across trials, and their difference: mean, sd, equal-tailed interval of
        probability `prob` (effect of one reference dose), P(> 0), R-hat and ESS."""
        records = []
        for name, values in self.draws.items():
            low, high = np.quantile(values, [(1 - prob) / 2, (1 + prob) / 2])
            check = self.diagnosis.table.loc[name]
            records.append(
                {
                    "slope": name,
                    "mean": float(values.mean()),
                    "sd": float(values.std()),
                    "low": low,
                    "high": high,
                    "p_positive": float((values > 0).mean()),
                    "r_hat": check["r_hat"],
                    "ess": check["ess_bulk"],
                }
            )
        return pd.DataFrame(records).set_index("slope")


@checked(model=MODEL, difference=PRIOR)
def within_across(
    model: Model,
    trials: Trials,
    column: str,
    *,
    delta: float | None = None,
    difference: Prior = DIFFERENCE,
    missing: Literal["error", "drop"] = "error",
    seed: int | None = None,
    **settings: Any,
) -> WithinAcross:
    """The slope of a dose within trials (arms of one trial with different doses) beside the slope across trials.

    The model is fitted with the study's mean of the dose beside the dose itself (Mundlak 1978, Econometrica 46:69-85):

        effect = slope * h(dose) + difference * mean of h(dose) over the rows of the study + what else the model has

    so `slope` is the slope within trials and slope + difference that across them. h is the model's shape of the dose if that is linear
    or log-linear, else log-linear; a remark says so. An anchored model gets its free intercept: across trials, no arm has dose zero.

    delta: the smallest difference of slopes that matters (effect units), 0.1 by default for standardised effects.
    difference: normal prior of the difference, in units of the model's `outcome_sd`, for one reference dose.
    missing: "error" lists rows whose dose is not a number (intervals too: they have no study mean), "drop" leaves them out.
    settings: of `fit`.

    With `by` in the model, the slope is the average of the groups, weighted by their rows.

    Raises StimdoseError where no study has several doses (nothing is known within trials) or all studies have the same mean dose.
    """
    if difference.family != "normal":
        raise StimdoseError(f"the prior of the difference is normal, not {difference.family}")
    mean = f"{column}_study_mean"
    model, remarks = _straight(model, column)
    if missing not in ("error", "drop"):
        raise StimdoseError(f"missing is 'error' or 'drop' here, not {missing!r}: a study's mean needs doses that are numbers")
    if mean in trials.table:
        raise StimdoseError(f"the table has a column {mean!r}, which is what this adds; rename it")
    model, trials = prepare(model, trials, missing, settings.get("allow_mixed", ()))
    delta = default_delta(model, trials) if delta is None else delta
    trials = _with_numbers(trials, column, missing)

    (dose,) = (dose for dose in model.dose if dose.column == column)
    (h,) = dose.basis.columns(trials.table[column].to_numpy(float))
    by_study = pd.Series(h).groupby(trials.table["study"].to_numpy())
    means, several = by_study.transform("mean").to_numpy(), int((by_study.nunique() > 1).sum())
    _check_informed(column, several, by_study.mean())
    if several == 1:
        remarks.append("One study has several doses: the slope within trials is that of a single trial")

    noted = (*trials.remarks, f"{mean}: mean over the rows of the study of {column} on the {dose.shape} scale")
    table = trials.table.assign(**{mean: means})
    trials = replace(trials, table=table, remarks=noted)
    moderator = Moderator(column=mean, prior=difference, center=float(means.mean()), per=1.0)
    found = fit(model.replace(moderator=(*model.moderator, moderator)), trials, seed=seed, **settings)
    posterior = found.tree["posterior"].to_dataset()
    (slope,) = (
        term for term in terms(found.model, found.rows, found.rows.points, found.values()) if term.name == f"{column}_slope"
    )
    by_row = replace(slope, column=1.0).contribution(found.values())  # that of the groups of each row
    within = posterior[slope.name].copy(data=by_row.mean(axis=-1).reshape(posterior[slope.name].shape))
    if dose.groups:
        remarks.append(f"The slope within trials is the average over {' and '.join(dose.groups)}, weighted by rows")
    apart = posterior[f"{mean}_effect"]
    draws = xr.Dataset(
        {"within": within, "across": within + apart, "difference": apart}, attrs={"effect_unit": effect_unit(found)}
    )
    diagnosis = diagnose(draws, found.diagnosis.divergences)
    return WithinAcross(
        column, dose.shape, dose.reference, draws, float(delta), by_study.ngroups, several, diagnosis, found, tuple(remarks)
    )


def _straight(model: Model, column: str) -> tuple[Model, list[str]]:
    """The model with an intercept and with one slope for the dose, and what was changed."""
    doses = {dose.column: dose for dose in model.dose}
    if column not in doses:
        raise StimdoseError(f"the model has no dose {column!r} of its own; it has {', '.join(doses) or 'none'}")
    if doses[column].times:
        raise StimdoseError(f"{column} is multiplied by {doses[column].times.column} in this model: it has no single slope")
    dose, remarks = doses[column], []
    if dose.shape not in STRAIGHT:
        remarks.append(f"The model's {dose.shape} shape has no single slope: log-linear stands for it, with its default priors")
        fields = {name: getattr(dose, name) for name in ("column", "by", "by_study", "reference", "usual")}
        doses[column] = Dose(shape="log-linear", **fields)
    if model.is_anchored:
        remarks.append("The model is tied to zero at dose zero; here its intercept is free")
        model = model.freed()
    return model.replace(dose=tuple(doses.values())), remarks


def _with_numbers(trials: Trials, column: str, missing: str) -> Trials:
    """The trials whose dose is a number. Raises TrialsError that lists the others, unless they are to be dropped."""
    low, high = trials.bounds(column)
    interval = low != high
    lines = zip(trials.table["row"][interval], trials.table["study"][interval], low[interval], high[interval], strict=True)
    rule = "is an interval: the mean dose of its study is not known"
    problems = [Problem(row, study, column, dose_text(*ends), rule) for row, study, *ends in lines]
    if not problems:
        return trials
    if missing != "drop" or interval.all():
        raise TrialsError(
            "slopes within and across trials need doses that are numbers; give them, or leave rows out with missing='drop':",
            problems,
        )
    return replace(trials, table=trials.table[~interval].reset_index(drop=True), dropped=(*trials.dropped, *problems))


def _check_informed(column: str, several: int, means: pd.Series) -> None:
    problems = []
    if not several:
        problems.append(f"no study has several doses of {column}: the slope within trials would be that of the prior")
    if np.ptp(means) <= 1e-9 * abs(means).max():
        problems.append(f"all studies have the same mean {column}: the slope across trials would be that of the prior")
    if problems:
        raise ModelError("\n  - ".join(["these trials cannot compare slopes within and across trials:", *problems]))
