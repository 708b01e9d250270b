"""The public interface is what tests/public_api.txt lists: names and signatures, fields and methods, commands and their options.

After a change that is meant: `python tests/test_public_api.py`, and a line in CHANGELOG.md.
"""

import dataclasses
import difflib
import functools
import inspect
import types
import typing
from pathlib import Path
from typing import Any

import pydantic
import typer
from pydantic_core import PydanticUndefined

import stimdose as sd
from stimdose.cli import app

STORED = Path(__file__).parent / "public_api.txt"


def typed(annotation: Any) -> str:
    """A type in words that are the same under every version of Python."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if isinstance(annotation, str):
        return annotation
    if isinstance(annotation, list):
        return f"[{', '.join(map(typed, annotation))}]"
    if annotation is ...:
        return "..."
    if isinstance(annotation, typing.ForwardRef):
        return annotation.__forward_arg__
    if origin is typing.Annotated:
        return typed(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return " | ".join(map(typed, arguments))
    if origin is typing.Literal:
        return f"Literal[{', '.join(map(repr, arguments))}]"
    if origin:
        return f"{typed(origin)}[{', '.join(map(typed, arguments))}]"
    return "None" if annotation is type(None) else getattr(annotation, "__qualname__", str(annotation))


def value(default: Any) -> str:
    if isinstance(default, pydantic.BaseModel):
        given = default.model_dump(exclude_unset=True, exclude={"why"})
        return f"{type(default).__name__}({', '.join(f'{name}={item!r}' for name, item in given.items())})"
    if isinstance(default, Path):
        return f"Path({str(default)!r})"
    return getattr(default, "__qualname__", None) or repr(default)


def signature(thing: Any) -> str:
    found = inspect.signature(thing)
    words, kind = [], None
    for parameter in found.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and kind not in (parameter.KEYWORD_ONLY, parameter.VAR_POSITIONAL):
            words.append("*")
        stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(kind := parameter.kind, "")
        annotation = "" if parameter.annotation is parameter.empty else f": {typed(parameter.annotation)}"
        default = "" if parameter.default is parameter.empty else f" = {value(parameter.default)}"
        words.append(f"{stars}{parameter.name}{annotation}{default}")
    returned = "" if found.return_annotation is found.empty else f" -> {typed(found.return_annotation)}"
    return f"({', '.join(words)}){returned}"


def fields(cls: type) -> list[str]:
    """The fields of a dataclass or a spec, in their order."""
    if dataclasses.is_dataclass(cls):
        found = [(field.name, field.type, field.default, field.default_factory) for field in dataclasses.fields(cls)]
        lacking = dataclasses.MISSING
    else:
        found = [(name, f.annotation, f.default, f.default_factory) for name, f in getattr(cls, "model_fields", {}).items()]
        lacking = PydanticUndefined
    lines = []
    for name, annotation, default, factory in found:
        given = (
            f" = {value(default)}"
            if default is not lacking
            else f" = {value(factory)}()"
            if factory not in (None, lacking)
            else ""
        )
        lines.append(f"{name}: {typed(annotation)}{given}")
    return [line for line in lines if not line.startswith("_")]


def members(cls: type) -> list[str]:
    """Properties and methods that a class, or one of ours above it, defines."""
    lines = []
    for name in sorted({name for base in cls.__mro__ if base.__module__.startswith("stimdose") for name in vars(base)}):
        thing = inspect.getattr_static(cls, name)
        if name.startswith("_") or name == "model_config":
            continue
        if isinstance(thing, classmethod | staticmethod):
            lines.append(f"{name}{signature(getattr(cls, name))}, of the class")
        elif isinstance(thing, types.FunctionType):
            lines.append(f"{name}{signature(thing)}")
        elif isinstance(thing, property | functools.cached_property):
            getter = thing.fget if isinstance(thing, property) else thing.func
            lines.append(f"{name} (computed){signature(getter).removeprefix('(self)').replace(' ->', ':')}")
    return lines


def entry(name: str, thing: Any) -> list[str]:
    if isinstance(thing, type):
        bases = ", ".join(base.__name__ for base in thing.__bases__ if base is not object)
        head = f"class {name}({bases})" if bases else f"class {name}"
        return [head, *(f"    {line}" for line in fields(thing) + members(thing))]
    if callable(thing):
        return [f"{name}{signature(thing)}"]
    return [f"{name}: {'Path' if isinstance(thing, Path) else type(thing).__name__}"]


def names_of(module: types.ModuleType) -> list[str]:
    """`__all__`, or what the module itself defines."""
    listed = getattr(module, "__all__", None) or [
        name
        for name, thing in vars(module).items()
        if not name.startswith("_") and not isinstance(thing, types.ModuleType)
        if not callable(thing) or getattr(thing, "__module__", None) == module.__name__
    ]
    return sorted(listed)


def commands() -> list[str]:
    lines = []
    for name, command in sorted(typer.main.get_command(app).commands.items()):
        lines.append(f"stimdose {name}")
        for parameter in command.params:
            words = [*parameter.opts, *parameter.secondary_opts]
            kind = "" if parameter.param_type_name == "option" else " (a word)"
            default = ", required" if parameter.required else "" if parameter.default is None else f", {value(parameter.default)}"
            lines.append(f"    {' '.join(words)}{kind}{default}")
    return lines


def interface() -> str:
    lines = ["# The public interface; see test_public_api.py", "", "# stimdose"]
    modules = {}
    for name in sorted(sd.__all__):
        thing = getattr(sd, name)
        if isinstance(thing, types.ModuleType):
            modules[name] = thing
        else:
            lines += entry(name, thing)
    for name, module in modules.items():
        lines += ["", f"# stimdose.{name}"]
        for member in names_of(module):
            lines += entry(member, getattr(module, member))
    return "\n".join([*lines, "", "# the command line", *commands(), ""])


def test_the_public_interface_is_the_stored_one():
    found, stored = interface().splitlines(), STORED.read_text(encoding="utf-8").splitlines()
    changes = "\n".join(difflib.unified_diff(stored, found, "stored", "found", lineterm="", n=0))
    assert not changes, (
        f"the public interface changed:\n{changes}\nIf that is meant, write it into CHANGELOG.md and run: python {__file__}"
    )


if __name__ == "__main__":
    STORED.write_text(interface(), encoding="utf-8")
