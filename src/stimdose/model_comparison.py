"""`compare_models`: how models of the same trials predict studies left out, and what each says of the estimand."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import pandas as pd

from .caveats import fit_warnings, marked
from .errors import StimdoseError
from .estimands import Estimand, best_table, doses_of, effects_table, estimands
from .model import Model
from .optima import Optimum, default_delta
from .sampling import Fit
from .sampling import fit as fit_model
from .settings import checked_seed
from .stacking import require_same_data
from .study_scores import is_clear, score_table, study_scores, total, unreliable
from .trials import Trials

MEANING = (
    "A difference in elpd below 4, or within 2 standard errors, tells nothing, and none says how good a model is for the question: "
    "read what each says of the dose"
)


NO_DOSE = "has no dose"


@dataclass(frozen=True)
class ModelComparison:
    """Models of the same trials. fits: by name. scores: by model, a DataFrame by study: elpd (log predictive density of the study left
    out), p_loo, pareto_k. estimands: what each says of each dose that it has, by model and dose."""

    fits: dict[str, Fit]
    scores: dict[str, pd.DataFrame]
    estimands: dict[str, dict[str, Estimand]]

    @property
    def elpd(self) -> pd.DataFrame:
        """One line per model: elpd, difference to the highest, both with standard errors, effective parameters (p_loo), Pareto k; see
        `study_scores.score_table`. The order is that of the models: there is no ranking."""
        return marked(score_table(self.scores, "model"), self.fits, "model")

    @property
    def by_study(self) -> pd.DataFrame:
        """elpd of every study (lines) under every model (columns)."""
        return pd.DataFrame({name: table["elpd"] for name, table in self.scores.items()})

    @property
    def pairs(self) -> pd.DataFrame:
        """Every two models: elpd of the first less that of the second, its standard error over studies, and whether that tells them apart."""
        records, by_study = [], self.by_study
        for first, second in combinations(self.fits, 2):
            difference, error = total((by_study[first] - by_study[second]).to_numpy())
            better = int((by_study[first] > by_study[second]).sum())
            word = (
                "indistinguishable"
                if not is_clear(difference, error)
                else f"{first if difference > 0 else second} predicts better"
            )
            records.append((first, second, difference, error, better, len(by_study), word))
        names = ["first", "second", "difference", "se", "studies_better", "studies", "verdict"]
        return pd.DataFrame(records, columns=names).set_index(names[:2])

    @property
    def optima(self) -> dict[str, dict[str, Optimum]]:
        """The best dose as a posterior, with its verdict, by model and dose."""
        return {name: {column: each.optimum for column, each in own.items()} for name, own in self.estimands.items()}

    def table(self, prob: float = 0.95) -> pd.DataFrame:
        """What each model says of the best dose, led by the verdict: one line per model, dose and group, and one of a model without doses
        (verdict "has no dose", the dose is "")."""
        found = best_table(self.estimands, "model", prob)
        keys = [key for name in self.fits for key in [key for key in found.index if key[0] == name] or [(name, "", "")]]
        found = found.reindex(pd.MultiIndex.from_tuples(keys, names=found.index.names))
        found["verdict"] = found["verdict"].fillna(NO_DOSE)
        return marked(found, self.fits, "model")

    def effects(self, prob: float = 0.95) -> pd.DataFrame:
        """The mean effect at reference doses: one line per model, dose, group and reference dose (`at`)."""
        return marked(effects_table(self.estimands, "model", prob), self.fits, "model")

    @property
    def fit_warning(self) -> str:
        """The warnings of the fits that did not converge."""
        return fit_warnings(self.fits)

    @property
    def explanation(self) -> str:
        """What differs, in sentences."""
        lines = [self.fit_warning] * bool(self.fit_warning)
        for (first, second), line in self.pairs.iterrows():
            lines.append(
                f"{first} against {second}: {line['verdict']} (difference in elpd {line['difference']:+.1f}, se {line['se']:.1f}; "
                f"{line['studies_better']} of {line['studies']} studies are better predicted by {first})."
            )
        for name, line in self.elpd.iterrows():
            lines.append(f"{name}: {line['p_loo']:.1f} effective parameters.")
        verdicts = self.table()["verdict"]
        for (column, group), part in verdicts.groupby(["dose", "group"], sort=False):
            words = {str(name): word for (name, *_), word in part.items()}
            what = f"{column}{f', {group}' if group else ''}"
            if not column:
                lines.append(f"{', '.join(words)}: {NO_DOSE}.")
            elif len(words) < 2:
                lines.append(f"{what}: {'; '.join(f'{name}: {word}' for name, word in words.items())}.")
            elif len(set(words.values())) == 1:
                lines.append(f"{what}: the verdict is the same in all models: {next(iter(words.values()))}.")
            else:
                lines.append(
                    f"{what}: the verdict depends on the model: {'; '.join(f'{word} in {n}' for n, word in words.items())}."
                )
        return "\n".join([*lines, *(f"{remark}." for remark in (*unreliable(self.elpd), MEANING))])


def compare_models(
    models: Mapping | Iterable,
    trials: Trials | None = None,
    *,
    doses: Mapping | None = None,
    delta: float | None = None,
    exact: Literal["auto"] | bool = "auto",
    seed: int | None = None,
    progress: bool = False,
    **settings: Any,
) -> ModelComparison:
    """Compare models of the same trials by how well they predict studies left out, and by what they say of the dose.

    models: models or fits, by name or as a list (named by their models). trials: of the models; those of fits are their own. doses: reference
    doses by column, by default low, usual and high ones of the table. delta: as of `optimum`. exact: as of `leave_one_study_out`.
    settings: of `fit`, for what is not fitted yet.

    Raises StimdoseError for fewer than two models, for the same name twice, and where they were fitted to different rows, effects or
    variances: their elpd would not be of the same thing.
    """
    named, seed = named_models(models, Model, Fit), checked_seed(seed)
    lacking = [name for name, one in named.items() if isinstance(one, Model)]
    if lacking and trials is None:
        raise StimdoseError(f"state the trials: {', '.join(lacking)} {'is' if len(lacking) == 1 else 'are'} not fitted yet")
    for one in named.values() if delta is None else ():
        if getattr(one, "model", one).doses:
            default_delta(getattr(one, "model", one), getattr(one, "trials", trials))
    fits = {
        name: fit_model(one, trials, seed=seed, progress=progress, **settings) if isinstance(one, Model) else one
        for name, one in named.items()
    }
    require_same_data(fits, "compared")
    at = doses_of(fits, doses)
    scores = {name: study_scores(fit, exact) for name, fit in fits.items()}
    return ModelComparison(fits, scores, {name: estimands(fit, at, delta=delta) for name, fit in fits.items()})


def named_models(models: Mapping | Iterable, *kinds: type) -> dict:
    """Models or fits by name, named by their models where they are a list. Raises StimdoseError for fewer than two, for the same name twice,
    and for what is of none of the kinds."""
    if not isinstance(models, Mapping):
        listed = list(models) if isinstance(models, Iterable) and not isinstance(models, str | Model) else [models]
        names = [getattr(getattr(one, "model", one), "name", str(one)) for one in listed]
        if len(set(names)) < len(names):
            raise StimdoseError("some of these models have the same name: give a dict by name")
        models = dict(zip(names, listed, strict=True))
    if wrong := [str(name) for name, one in models.items() if not isinstance(one, kinds)]:
        what = " or ".join(f"{kind.__name__.lower()}s" for kind in kinds)
        raise StimdoseError(f"what is compared are {what}, which {', '.join(wrong)} is not")
    if len(models) < 2:
        raise StimdoseError(f"a comparison takes two or more, got {len(models)}")
    return {str(name): one for name, one in models.items()}
