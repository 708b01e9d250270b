"""The page: sections to one HTML file that needs nothing else."""

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from .parts import Figure, Section, Table, ended
from .tables import cells

HERE = Path(__file__).parent
FILES = {"style": "page.css", "script": "sort.js", "template": "page.html"}


@cache
def source(name: str) -> str:
    """The style, script or template of the page."""
    return (HERE / FILES[name]).read_text(encoding="utf-8")


def policy() -> str:
    """What the page may load: nothing but the images, the style and the script inside it, both known by their hash."""
    known = {name: base64.b64encode(hashlib.sha256(source(name).encode()).digest()).decode() for name in ("style", "script")}
    return f"default-src 'none'; img-src data:; style-src 'sha256-{known['style']}'; script-src 'sha256-{known['script']}'"


def render(title: str, lead: str, sections: list[Section], images: Mapping[str, Path]) -> str:
    """The page as HTML. images: by name of the figure, its file, PNG or SVG. Everything is escaped but what the template writes."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.tests |= {"figure": lambda block: isinstance(block, Figure), "table": lambda block: isinstance(block, Table)}
    environment.filters["ended"] = ended
    environment.globals |= {"cells": cells, "sort_key": sort_key, "image": lambda name: data_uri(images[str(name)])}
    return environment.from_string(source("template")).render(
        title=title, lead=lead, sections=sections, policy=policy(), style=source("style"), script=source("script")
    )


def sort_key(value: Any) -> str:
    """What a cell is sorted by: the number with all its digits, or nothing for text, which is sorted as it is shown."""
    is_number = isinstance(value, int | float | np.number) and not isinstance(value, bool | np.bool_)
    return repr(float(value)) if is_number and np.isfinite(value) else ""


def data_uri(path: Path) -> str:
    kind = {".png": "image/png", ".svg": "image/svg+xml"}[path.suffix]
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
