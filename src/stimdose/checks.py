"""`check`: does the model reproduce its trials, and do single studies decide its answers?"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from .arguments import DICT, NAMES, checked
from .caveats import fit_warning
from .curves import effect_label
from .diagnosis import elements
from .doses import short
from .errors import StimdoseError
from .influence import answers, mean_change
from .leave_one_out import LeaveOneOut, leave_one_study_out
from .optima import default_delta, optimum
from .outliers import against_others
from .predictive import mean_effects, statistics
from .prior_checks import prior_curves
from .results import population
from .sampling import Fit
from .uniformity import band, ecdf, holm, p_values, points_of
from .without_study import posteriors_without

ALPHA = 0.05
"""What is flagged has an adjusted p below this."""
INFLUENTIAL = 1.0
"""A study that moves an answer by more posterior standard deviations than this is influential: the cut of DFBETAS for small data sets
(Belsley, Kuh and Welsch 1980; Viechtbauer and Cheung 2010, Res Synth Methods 1:112)."""
IMPLAUSIBLE = 0.05
"""Share of implausible prior curves from which it is worth a remark."""
FEW = 10
"""Fewer studies show little."""
NAMED = 4
"""A sentence names so many studies or statistics."""


@dataclass(frozen=True)
class Check:
    """What checking a fit found.

    verdict: one sentence, which starts with "did not converge", "does not reproduce these trials", "one study decides" (or "single
        studies decide") or "reproduces these trials".
    tables: by name. convergence: R-hat and ESS by quantity. parameters: posterior beside prior, with contraction (1 - posterior / prior
        variance), and optima: the same of each best dose, with its verdict. prior_curves: by dose, the share of curves from the prior that
        are implausible. statistics: see `predictive.statistics`. rows, studies: see `outliers.against_others`; studies also with
        p_adjusted (Holm), pareto_k, elpd, method, mean_all, mean_without and mean_change (see `influence.mean_change`), and flag, what
        is remarkable in words. left_out: by study, see `influence.Answers.without`. pit: the share of studies up to each value, `ecdf`,
        with the simultaneous band (low, high) in which it stays with probability 0.95 if the model is right (`uniformity`).
    effect_label: of the effects. fit_warning: set if the fit did not converge. remarks: what one must know to read the rest.
    """

    verdict: str
    tables: dict[str, pd.DataFrame]
    effect_label: str
    fit_warning: str
    remarks: tuple[str, ...]

    @property
    def explanation(self) -> str:
        """The verdict and the remarks in sentences."""
        lines = [f"{self.verdict[0].upper()}{self.verdict[1:]}.", *(f"{remark}." for remark in self.remarks)]
        return "\n".join([self.fit_warning] * bool(self.fit_warning) + lines)

    @property
    def flagged(self) -> dict[str, str]:
        """What is remarkable about a study, in words, by study."""
        return {str(name): flag for name, flag in self.tables["studies"]["flag"].items() if flag}

    def table(self) -> pd.DataFrame:
        """One line per study, the most remarkable first; attrs: `warning` where the fit did not converge."""
        studies = self.tables["studies"]
        order = np.lexsort([studies["p"], studies["p_adjusted"], studies["flag"] == ""])
        return studies.iloc[order]


@checked(by=NAMES.or_none(), cuts=DICT.or_none())
def check(
    fit: Fit,
    *,
    by: str | tuple[str, ...] | None = None,
    cuts: Mapping[str, list[float]] | None = None,
    delta: float | None = None,
    left_out: LeaveOneOut | None = None,
    prob: float = 0.95,
) -> Check:
    """Check a fit: convergence, what its priors allow, whether trials like these come out like these, and what hangs on single studies.

    by, cuts: groups and ranges of doses of which statistics are compared, see `predictive.statistics`. delta: the smallest difference
    that matters, as in `optimum`. left_out: from `leave_one_study_out(fit)`, which is called where nothing is given.

    The model does not reproduce its trials if a statistic has a p, adjusted for the number of statistics, below 0.05; if a study has one
    against what the other studies predict, adjusted for the number of studies; or if the PIT of the studies leaves its band. A study is
    influential if the mean effect or a best dose moves by more than one posterior standard deviation without it; it decides if a verdict
    changes without it.

    Raises StimdoseError where delta must be stated, for columns that the table does not have, and for an ordinal fit.
    """
    if fit.rows.scores:
        raise StimdoseError(
            "an ordinal fit has no check of this kind, which compares changes with normal predictions. In its place: the share of people at "
            "each score, seen and replicated (fit.tree['posterior_predictive'], as on the page cp-spasticity of the docs); "
            "leave_one_study_out(fit), for centres that stand apart; or the check of a fit of the same people with likelihood = 'normal'"
        )
    delta = default_delta(fit.model, fit.trials) if delta is None and fit.model.doses else delta
    left_out = leave_one_study_out(fit) if left_out is None else left_out
    studies, rows, moved = _study_by_study(fit, left_out, delta, prob)
    tables = {
        "convergence": fit.diagnosis.table.copy(),
        "parameters": _contraction(fit, prob),
        "optima": _optima(fit, delta, prob),
        "prior_curves": _prior_curves(fit),
        "statistics": statistics(fit, by=by, cuts=cuts, prob=prob),
        "rows": rows,
        "studies": studies,
        "left_out": moved,
        "pit": _pit(studies["pit"].to_numpy(), 1 - ALPHA),
    }
    warning = fit_warning(fit)
    if warning:
        for table in tables.values():
            table.attrs["warning"] = "did not converge"
    remarks = (*_remarks(tables), *left_out.remarks)
    return Check(_verdict(fit, tables), tables, effect_label(fit), warning, remarks)


def _study_by_study(fit: Fit, left_out: LeaveOneOut, delta: float | None, prob: float) -> tuple[pd.DataFrame, ...]:
    """The tables of studies, of rows, and of what changes without each study."""
    means = mean_effects(fit.model, fit.rows, fit.values())
    asked = [answers(fit, dose.column, delta) for dose in fit.model.doses]
    lines, rows, moved = {}, [], [pd.DataFrame(columns=["study", "changes"])]
    for number, name, values in posteriors_without(fit, left_out):
        line, of_rows = against_others(fit.model, fit.rows, number, values, prob)
        lines[name] = line | mean_change(fit, number, means, values)
        rows.append(of_rows)
        moved += [each.without(values, prob).assign(study=name) for each in asked]
    studies = pd.DataFrame.from_dict(lines, orient="index").rename_axis("study")
    studies.insert(list(studies).index("p") + 1, "p_adjusted", holm(studies["p"].to_numpy()))
    moved = pd.concat(moved[1:] or moved, ignore_index=True)
    moved.insert(0, "study", moved.pop("study"))
    studies = studies.join(left_out.table[["pareto_k", "elpd", "method"]])
    studies["flag"] = ["; ".join(_flags(line, moved[moved["study"] == line.Index])) for line in studies.itertuples()]
    return studies, pd.concat(rows, ignore_index=True), moved


def _flags(study, moved: pd.DataFrame) -> list[str]:
    """What is remarkable about a study."""
    found = []
    if study.p_adjusted < ALPHA:
        side = "has rows unlike" if abs(study.residual) < 1 else f"reports {'more' if study.residual > 0 else 'less'} than"
        found.append(f"{side} the other studies predict (p {'< 0.001' if study.p < 0.001 else f'= {study.p:.3f}'})")
    if abs(study.mean_change) > INFLUENTIAL:
        found.append(f"without it the mean effect is {study.mean_without:.2f}, not {study.mean_all:.2f}")
    for line in moved.itertuples():
        where = _dose(line)
        if line.changes:
            found.append(f"without it the best {where} is {_quoted(line.verdict)}, not {_quoted(line.verdict_all)}")
        elif abs(line.change) > INFLUENTIAL:
            interval = f"{short(line.best_dose)} [{short(line.low)}, {short(line.high)}]"
            found.append(f"without it the best {where} is {interval}, and {_quoted(line.verdict)} as with it")
    return found


def _dose(line) -> str:
    """A dose, and the group that it is of."""
    return f"{line.dose}, {line.group}" if line.group else line.dose


def _quoted(words: str) -> str:
    return f"“{words}”"


def _verdict(fit: Fit, tables: dict[str, pd.DataFrame]) -> str:
    """The sentence: the first of these that holds."""
    if not fit.diagnosis.converged:
        return f"did not converge: {_listed(list(fit.diagnosis.failing))}, so nothing below is to be relied on"
    statistics, studies, moved = (tables[name] for name in ("statistics", "studies", "left_out"))
    looks = [table["p_adjusted"].min() if len(table) else 1.0 for table in (statistics, studies)]
    of_statistics, of_studies, of_pit = holm(np.array([*looks, tables["pit"].attrs["p"]])) < ALPHA  # 5 % for all three together
    faults, odd = [], statistics[of_statistics & (statistics["p_adjusted"] < ALPHA)]
    if of_studies and len(outlying := studies.index[studies["p_adjusted"] < ALPHA]):
        faults.append(f"{_listed(list(outlying))} {'is' if len(outlying) == 1 else 'are'} not what the other studies predict")
        odd = odd[odd["statistic"].isin(["mean", "sd"])]  # the lowest and the highest study have been named
    if of_pit:
        faults.append("how far studies lie from what the others predict is not as the model says (PIT outside its band)")
    faults += [_statistic(line) for line in odd.sort_values("p_adjusted", kind="stable").head(NAMED).itertuples()]
    if faults:
        return f"does not reproduce these trials: {'; '.join(faults)}"
    decisive = moved[moved["changes"]] if len(moved) else moved
    for line in decisive.head(1).itertuples():
        names = list(decisive["study"].unique())
        who = "one study decides" if len(names) == 1 else "single studies decide"
        change = f"the verdict on {_dose(line)} changes from {_quoted(line.verdict_all)} to {_quoted(line.verdict)}"
        more = " (and others change)" if len(decisive) > len(names) else ""
        return f"{who}: without {_listed(names, 'or')} {change}{more}"
    return "reproduces these trials, and no single study decides a verdict"


def _statistic(line) -> str:
    """An odd statistic in words."""
    names = {
        "mean": "the mean effect",
        "sd": "the SD between studies",
        "lowest": "the lowest study",
        "highest": "the highest study",
    }
    where = "" if line.of == "all" else f" of {line.of} {line.level}"
    interval = f"{line.replicated:.2f} [{line.low:.2f}, {line.high:.2f}]"
    return f"{names[line.statistic]}{where} is {line.reported:.2f}, expected {interval}"


def _listed(names: list[str], last: str = "and") -> str:
    """Names in words, NAMED of them."""
    shown = names if len(names) <= NAMED else [*names[: NAMED - 1], f"{len(names) - NAMED + 1} others"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} {last} {shown[-1]}"


def _remarks(tables: dict[str, pd.DataFrame]) -> list[str]:
    studies = len(tables["studies"])
    found = [f"{studies} {'studies' if studies > 1 else 'study'} can show little of what is wrong with a model"] * (studies < FEW)
    for line in tables["prior_curves"].itertuples():
        if line.share_implausible > IMPLAUSIBLE:
            limit = f"{short(line.limit)} ({line.limit_words})"
            found.append(f"{line.share_implausible:.0%} of the curves that the priors allow along {line.Index} exceed {limit}")
    return found


def _pit(values: np.ndarray, prob: float) -> pd.DataFrame:
    """The ECDF of PIT values (studies,) and its band."""
    low, high = band(len(values), prob)
    found = pd.DataFrame({"pit": points_of(len(values)), "ecdf": ecdf(values[:, None])[:, 0], "low": low, "high": high})
    found.attrs["p"] = float(p_values(values[:, None])[0])
    return found


def _contraction(fit: Fit, prob: float) -> pd.DataFrame:
    """Every population parameter with its interval in posterior and prior, and its contraction."""
    posterior, prior = population(fit.tree["posterior"].to_dataset(), fit.model), fit.tree["prior"].to_dataset()
    shared = [name for name in posterior if name in prior]
    (labels, after), (_, before) = (elements(part[shared]) for part in (posterior, prior))
    ends, records = [(1 - prob) / 2, (1 + prob) / 2], {}
    for label, a, b in zip(labels, after, before, strict=True):
        contraction = 1 - a.var() / b.var() if b.var() > 0 else np.nan
        records[label] = (a.mean(), *np.quantile(a, ends), *np.quantile(b, ends), contraction)
    names = ["mean", "low", "high", "prior_low", "prior_high", "contraction"]
    return pd.DataFrame.from_dict(records, orient="index", columns=names).rename_axis("parameter")


def _optima(fit: Fit, delta: float | None, prob: float) -> pd.DataFrame:
    """Every best dose, with its verdict, prior and contraction."""
    names = ["verdict", "best_dose", "low", "high", "prior_low", "prior_high", "contraction", "r_hat", "ess"]
    found = {
        dose.column: optimum(fit, dose.column, by=fit.model.shown_by(dose.column), delta=delta).table(prob)[names]
        for dose in fit.model.doses
    }
    return pd.concat(found, names=["dose", "group"]) if found else pd.DataFrame(columns=names)


def _prior_curves(fit: Fit) -> pd.DataFrame:
    names, records = ["limit", "limit_words", "share_implausible"], {}
    for dose in fit.model.doses:
        attrs = prior_curves(fit, dose.column, by=fit.model.shown_by(dose.column)).attrs
        records[dose.column] = [attrs[name] for name in names]
    return pd.DataFrame.from_dict(records, orient="index", columns=names).rename_axis("dose")
