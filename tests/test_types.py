"""What users' type checkers are told: every public signature is annotated, and the wheel says so. `make lint` checks that it is true."""

import inspect
import types

from test_public_api import names_of

import stimdose as sd

UNTYPED = {"shapes"}
"""Formulas of shapes are compiled, and their sources name the cache of machine code."""


def signatures() -> dict[str, inspect.Signature]:
    found = {}
    for name in sd.__all__:
        thing = getattr(sd, name)
        if isinstance(thing, types.ModuleType):
            if name not in UNTYPED:
                found |= {f"{name}.{member}": getattr(thing, member) for member in names_of(thing)}
        else:
            found[name] = thing
    functions = {name: thing for name, thing in found.items() if inspect.isfunction(thing)}
    for name, thing in found.items():
        if inspect.isclass(thing):
            for member, method in vars(thing).items():
                method = getattr(method, "fget", None) or getattr(method, "func", None) or getattr(method, "__func__", method)
                if not member.startswith("_") and inspect.isfunction(method):
                    functions[f"{name}.{member}"] = method
    return {name: inspect.signature(function) for name, function in functions.items()}


def test_every_public_signature_is_annotated():
    lacking = []
    for name, signature in signatures().items():
        parameters = [p.name for p in signature.parameters.values() if p.annotation is p.empty and p.name not in ("self", "cls")]
        lacking += [f"{name}({parameter})" for parameter in parameters]
        lacking += [f"{name} ->"] if signature.return_annotation is signature.empty else []
    assert not lacking
