"""Sets of priors by role: one set for every model, as a value with a TOML form."""

from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
import tomli_w
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from . import shipped
from .errors import ModelError, nearest
from .files import write_text
from .model import OF_TABLES, Model
from .priors import Prior
from .roles import DOSE_ROLES, EFFECT_ROLES, ROLES, roles
from .specs import entries, text_of


class Widened(BaseModel):
    """An entry of a set: the model's own prior, with `widen` times its spread (below 1: narrower); see `Prior.widened`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    widen: float = Field(gt=0)
    why: str = ""

    def __str__(self) -> str:
        return f"the model's own, {self.widen:g} times as wide"

    def of(self, prior: Prior) -> Prior:
        return prior.widened(self.widen).model_copy(update={"why": self.why or prior.why})

    def as_dict(self) -> dict:
        return {"widen": self.widen} | ({"why": self.why} if self.why else {})


def _entry(value: Any) -> Any:
    if isinstance(value, dict):
        try:
            return Widened(**value) if "widen" in value else Prior(**value)
        except ModelError as error:  # pydantic knows where the entry stands
            raise ValueError("; ".join(str(error).split("\n  - ")[1:])) from None
    if not isinstance(value, Prior | Widened):
        raise ValueError("an entry is a prior, or { widen = factor } of the model's own")
    return value


class PriorSet(BaseModel):
    """Priors by role (`roles.ROLES`), by `<dose column>_<parameter>`, or by posterior variable name, which wins over roles.

    units: of the priors of effects: "outcome_sd", standard deviations of the outcome as in a model; or "effect", the units of the table,
        such as log odds.

    measures: of effects that the priors are meant for; `compare_priors` remarks on others. Any, if not stated.

    Raises ModelError that lists what is not valid.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    description: str = ""
    units: Literal["outcome_sd", "effect"] = "outcome_sd"
    measures: tuple[str, ...] = ()
    priors: dict[str, Annotated[Prior | Widened, BeforeValidator(_entry)]] = {}

    def __init__(self, /, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            where = [".".join(str(part) for part in item["loc"] if part not in ("Prior", "Widened")) for item in error.errors()]
            texts = [item["msg"].removeprefix("Value error, ") for item in error.errors()]
            lines = dict.fromkeys(f"{place}: {text}" for place, text in zip(where, texts, strict=True))
            raise ModelError("\n  - ".join([f"prior set {fields.get('name', '')!r} is not valid:", *lines])) from None

    def for_model(self, model: Model) -> dict[str, Prior]:
        """The priors that this set changes, by posterior variable name, as `Model.with_priors` takes them.

        A role that the model does not have is passed over. Raises ModelError for names that are neither roles nor of the model, and
        where a prior does not suit its parameter.
        """
        own, of, more = model.replace(outcome_sd=1.0).priors(), roles(model), OF_TABLES
        known = [*own, *more, *ROLES]
        if unknown := [name for name in self.priors if name not in known and name not in DOSE_ROLES]:
            lines = [f"{name!r} is no role, and no prior of model {model.name!r}{nearest(name, known)}" for name in unknown]
            raise ModelError("\n  - ".join([f"prior set {self.name!r}:", *lines, f"roles are {', '.join(ROLES)}"]))
        found = {}
        for name, prior in own.items():
            entry = next((self.priors[key] for key in (name, *of[name]) if key in self.priors), None)
            if isinstance(entry, Widened):
                found[name] = entry.of(prior)
            elif entry:
                in_effect_units = self.units == "effect" and of[name][-1] in EFFECT_ROLES
                found[name] = entry.scaled(1 / (model.outcome_sd or 1.0)) if in_effect_units else entry
        for name in filter(self.priors.get, more):
            entry, prior = self.priors[name], getattr(model, name)
            if isinstance(entry, Widened) and prior is None:
                raise ModelError(f"prior set {self.name!r}: model {model.name!r} states no {name} that could be widened")
            found[name] = entry.of(prior) if isinstance(entry, Widened) else entry
        try:
            model.with_priors(found)
        except ModelError as error:
            raise ModelError(f"prior set {self.name!r} does not suit the model. {error}") from None
        return found

    def to_toml(self) -> str:
        """The set as TOML; `load_prior_set` of it gives an equal one."""
        fields = self.model_dump(exclude={"priors"}, exclude_defaults=True)
        return tomli_w.dumps(fields | {"priors": {name: entry.as_dict() for name, entry in self.priors.items()}})

    def save(self, path: str | Path) -> None:
        write_text(Path(path), self.to_toml())


def _paths() -> dict[str, Path]:
    return {path.stem: path for path in sorted((shipped.folder("models") / "priors").glob("*.toml"))}


def prior_sets() -> pd.DataFrame:
    """The shipped sets of priors: name, description, and the roles for which they state a prior."""
    found = [load_prior_set(path) for path in _paths().values()]
    return pd.DataFrame(
        {
            "name": [one.name for one in found],
            "description": [one.description for one in found],
            "roles": [", ".join(one.priors) for one in found],
        }
    ).set_index("name")


def load_prior_set(name_or_path: str | Path) -> PriorSet:
    """A shipped set of priors by name, or a TOML file by path.

    Raises ModelError if there is no such set, or the file is not a valid one.
    """
    path, paths = Path(name_or_path), _paths()
    if path.suffix != ".toml":
        if str(name_or_path) not in paths:
            raise ModelError(
                f"no prior set {str(name_or_path)!r}{nearest(str(name_or_path), paths)}; "
                f"there are {', '.join(paths)}, or give the path of a .toml file"
            )
        path = paths[str(name_or_path)]
    return PriorSet(**entries(text_of(path, "the prior set"), str(path)))
