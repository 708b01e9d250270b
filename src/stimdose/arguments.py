"""What arguments of functions must be: one rule for each name, and all faults of a call in one message."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, overload

import numpy as np
import xarray as xr

from .errors import StimdoseError
from .model import Model
from .priors import Prior
from .rows import Rows
from .sampling import Fit
from .trials import Trials


class Rule(NamedTuple):
    """Whether a value will do, and in words what will."""

    holds: Callable[[Any], bool]
    words: str

    def or_none(self) -> "Rule":
        """The same, where None stands for a default."""
        return Rule(lambda value: value is None or self.holds(value), self.words)

    def of_doses(self) -> "Rule":
        """The same for each value of a dict by dose."""
        return Rule(
            lambda value: isinstance(value, Mapping) and all(map(self.holds, value.values())),
            f"a dict by dose, each {self.words}",
        )


def are_numbers(value) -> bool:
    """Whether a number, or an array of them, none of which is missing; True and False are no numbers."""
    try:
        numbers = np.asarray(value)
    except ValueError:  # of a ragged list
        return False
    return numbers.dtype.kind in "iuf" and bool(np.isfinite(numbers).all())


def is_number(value) -> bool:
    """Whether one finite number."""
    return are_numbers(value) and np.ndim(value) == 0


def _increase(value) -> bool:
    return (
        are_numbers(value) and np.ndim(value) == 1 and len(value) > 0 and np.min(value) >= 0 and bool((np.diff(value) > 0).all())
    )


def _broadcast(value: Mapping) -> bool:
    try:
        np.broadcast_shapes(*map(np.shape, value.values()))
    except ValueError:
        return False
    return True


def _instance(kind, words: str) -> Rule:
    return Rule(lambda value: isinstance(value, kind), words)


def whole_from(least: int) -> Rule:
    """The rule of whole numbers."""
    return Rule(
        lambda value: isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(value >= least),
        f"a whole number from {least}",
    )


FIT = _instance(Fit, "a fit, as `fit` and `load_fit` return it")
TRIALS = _instance(Trials, "trials, as `read_trials` returns them")
WORD = _instance(str, "one name")
NUMBER = Rule(is_number, "a number")
POSITIVE = Rule(lambda value: is_number(value) and value > 0, "a number above 0")
NOT_NEGATIVE = Rule(lambda value: is_number(value) and value >= 0, "a number, 0 or more")
SHARE = Rule(lambda value: is_number(value) and 0 < value <= 1, "a number above 0, at most 1")
PROBABILITY = Rule(lambda value: is_number(value) and 0 < value < 1, "a number between 0 and 1, such as 0.95")
RANGE = Rule(lambda value: _increase(value) and len(value) == 2, "two doses of 0 or more, (low, high) with low < high")
GRID = Rule(_increase, "one row of increasing doses")
SIZES = Rule(
    lambda value: isinstance(value, tuple | list) and len(value) == 2 and all(map(whole_from(1).holds, value)),
    "two whole numbers from 1, one for each dose",
)
DICT = _instance(Mapping, "a dict by column")
NAMES = Rule(
    lambda value: isinstance(value, str) or (isinstance(value, tuple | list) and all(isinstance(name, str) for name in value)),
    "a name, or several",
)
NUMBERS_BY_DOSE = Rule(
    lambda value: isinstance(value, Mapping) and bool(value) and all(map(are_numbers, value.values())) and _broadcast(value),
    "a dict of numbers, or of arrays that broadcast against each other, by dose",
)
MODEL = _instance(Model, "a `Model`")
PRIOR = _instance(Prior, "a `Prior`")
CURVE = Rule(
    lambda value: isinstance(value, xr.DataArray) and {"chain", "draw"} <= set(value.dims), "a DataArray, as `curve` returns it"
)

RULES = {
    "fit": FIT,
    "trials": TRIALS,
    "source": _instance(Fit | Trials | Rows, f"{FIT.words}, or {TRIALS.words}"),
    "column": WORD,
    "by": WORD.or_none(),
    "group": WORD,
    "kind": Rule(lambda value: isinstance(value, str) and value in ("mean", "new study"), "'mean' or 'new study'"),
    "over": RANGE.or_none(),
    "grid": GRID.or_none(),
    "at": DICT.or_none(),
    "size": whole_from(1),
    "new_group": _instance(bool | np.bool_, "True or False"),
    "delta": POSITIVE.or_none(),
    "benefit": NUMBER.or_none(),
    "threshold": NUMBER,
    "cost": NOT_NEGATIVE,
    "duty": NUMBER.or_none(),
    "prob": PROBABILITY,
    "share": SHARE,
}
"""Rules of names that mean the same wherever they are used."""


@overload
def checked[F: Callable](function: F, /) -> F: ...
@overload
def checked[F: Callable](**own: Rule) -> Callable[[F], F]: ...
def checked(function: Any = None, /, **own: Rule) -> Any:
    """A function whose arguments are checked by RULES, or by rules of its `own`, before it is called.

    Raises StimdoseError that lists every argument that breaks its rule.
    """
    if function is None:
        return functools.partial(checked, **own)
    rules, signature = RULES | own, inspect.signature(function)
    more = next((p.name for p in signature.parameters.values() if p.kind is p.VAR_KEYWORD), None)

    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError:
            return function(*args, **kwargs)  # whose own message names the function
        given = given | (given.pop(more, {}) if more else {})
        faults = [
            f"{name} is {rules[name].words}, not {_shown(value)}"
            for name, value in given.items()
            if name in rules and not rules[name].holds(value)
        ]
        if faults:
            raise StimdoseError(
                faults[0] if len(faults) == 1 else "\n  - ".join([f"`{function.__name__}` cannot be called so:", *faults])
            )
        return function(*args, **kwargs)

    return wrapped


def _shown(value) -> str:
    """A value as a message shows it: plain values as they are, others by what they are."""
    if value is None or isinstance(value, str | int | float | list | tuple | dict | np.generic):
        text = repr(value.item() if isinstance(value, np.generic) else value)
        return text if len(text) <= 80 else f"{text[:80]}..."
    return f"an array of shape {value.shape}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"
