"""What is wrong with the parts of a model spec, in sentences: a `ModelError` in place of pydantic's ValidationError."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError

from .errors import ModelError, nearest

if TYPE_CHECKING:  # type checkers want names for these
    from pydantic._internal._model_construction import ModelMetaclass

    Several = Sequence
else:
    ModelMetaclass = type(BaseModel)

    class Several:
        """A field that takes any sequence, and holds a tuple."""

        def __class_getitem__(cls, item: Any) -> Any:
            return tuple[item, ...]


class _Readable(ModelMetaclass):
    """Calls of a class raise ModelError. Parts inside a spec are not called but validated, so their faults come together with its own."""

    positional: tuple[str, ...]

    def __call__(cls, /, *args: Any, **fields: Any) -> Any:
        places = len(cls.positional)
        fields = dict(zip(cls.positional, args, strict=False)) | fields
        try:
            return super().__call__(*args[places:], **fields)
        except ValidationError as error:
            lines = [_in_words(cls, item) for item in error.errors()]
        name = next((f" {value!r}" for value in (fields.get("name"), fields.get("column")) if value is not None), "")
        raise ModelError("\n  - ".join([f"{cls.__name__.lower()}{name} is not valid:", *lines]))


class Spec(BaseModel, metaclass=_Readable):
    """A frozen value, which says what is wrong with it.

    parts: the classes of fields that are specs themselves, by name. positional: fields that can be given without their names.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    parts: ClassVar[dict[str, type[BaseModel]]] = {}
    positional: ClassVar[tuple[str, ...]] = ()


def not_text(value: Any) -> Any:
    """A validator of fields that hold numbers: "5" and True are none."""
    items = value.values() if isinstance(value, dict) else value if isinstance(value, tuple | list) else [value]
    if any(isinstance(item, str | bool) for item in items):
        raise ValueError(f"numbers are wanted here, not {value!r}")
    return value


def _in_words(cls: Any, item: Mapping[str, Any]) -> str:
    where, (*inside, last) = ".".join(str(part) for part in item["loc"]), item["loc"] or ("",)
    if item["type"] == "extra_forbidden":
        known = cls.parts.get(inside[0], cls) if inside else cls
        return f"{where}: unknown entry{nearest(str(last), known.model_fields)}"
    message = item["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" if where else message
