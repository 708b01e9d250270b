"""Tables as files: CSV with every digit, LaTeX, and HTML to paste into a word processor."""

from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..doses import chance, short
from ..files import write_text
from .parts import Table, ended

EMPTY = "–"
OF_BEST = ["best_dose", "low", "high", "effect_at_best", "effect_low", "effect_high", "change", "in_sd"]
"""Columns that pages and papers leave empty where no best dose is identified; CSV has every number."""
LEAST = 1e-4
"""Smaller numbers are printed as below it."""
LATEX = {
    "\\": r"\textbackslash{}",
    **{char: f"\\{char}" for char in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "–": "--",
    "−": "$-$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "²": r"$^2$",
    "“": "``",
    "”": "''",
}
"""What stands for characters that LaTeX reads as commands, or that its plain fonts lack."""
WORD = "border-collapse: collapse; font-family: serif; font-size: 10pt"
RULES = {"head": "border-top: 1.5pt solid; border-bottom: 0.75pt solid", "last": "border-bottom: 1.5pt solid", "other": ""}
"""Rules above and below the heading and below the last line, as journals have them."""


def latex(text: str) -> str:
    """Text that LaTeX prints as it is."""
    return "".join(LATEX.get(char, char) for char in str(text))


def cell(value: Any, column: str) -> str:
    """A value as a page shows it: three significant digits, chances with two decimals and R-hat with three, EMPTY for what is not there."""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float | np.floating):
        if np.isnan(value):
            return EMPTY
        value = float(value)
        return f"{value:.3f}" if column == "r_hat" else chance(value) if _is_chance(column, value) else _number(value)
    return EMPTY if value is None or value is pd.NA or value == "" else str(value)


def _number(value: float) -> str:
    """Three significant digits; what is nearly nothing as a bound, and never with an exponent."""
    if 0 < abs(value) < LEAST:
        return f"< {LEAST:f}".rstrip("0") if value > 0 else f"> -{LEAST:f}".rstrip("0")
    return short(value + 0.0)


def _is_chance(column: str, value: float) -> bool:
    is_named = column in ("p", "probability_positive") or (column.startswith("p_") and column != "p_loo")
    return is_named and 0 <= value <= 1


def heading(column: str) -> str:
    """A column name as a heading."""
    return str(column).replace("_", " ")


def cells(table: Table) -> tuple[list[str], list[list[tuple[str, object]]], int]:
    """Headings, lines of (text, value) and the number of leading columns that label a line."""
    frame = table.frame if table.shown is None else table.frame[list(table.shown)]
    labels = [name for name in frame.index.names if name is not None]
    frame = frame.reset_index() if labels else frame
    empty = [name for name in labels if frame[name].astype(str).eq("").all()]
    frame = frame.drop(columns=empty)
    if {"verdict", "best_dose"} <= set(frame):
        is_named = frame["verdict"].eq("identified") & (not table.warning)
        frame = frame.astype(dict.fromkeys(frame.columns.intersection(OF_BEST), object))
        frame.loc[~is_named, frame.columns.intersection(OF_BEST)] = None
    columns = [frame[name].tolist() for name in frame]
    lines = [
        [(cell(value, str(name)), value) for name, value in zip(frame, line, strict=True)] for line in zip(*columns, strict=True)
    ]
    return [heading(name) for name in frame], lines, max(len(labels) - len(empty), 1)


def write(table: Table, folder: Path) -> list[Path]:
    """Write a table as CSV, LaTeX and HTML. Returns the paths, that of the CSV first."""
    path = folder / f"{table.name}.csv"
    frame = table.frame.assign(warning=table.warning) if table.warning else table.frame
    content = frame.to_csv(index=any(frame.index.names), lineterminator="\n")
    return [
        write_text(path, content),
        write_text(path.with_suffix(".tex"), as_latex(table)),
        write_text(path.with_suffix(".html"), as_html(table)),
    ]


def as_latex(table: Table) -> str:
    """A table environment with booktabs rules; long tables break over pages (longtable)."""
    headings, lines, _ = cells(table)
    texts = pd.DataFrame([[latex(text) for text, _ in line] for line in lines], columns=[latex(text) for text in headings])
    align = "".join("r" if _is_numeric([value for _, value in column]) else "l" for column in zip(*lines, strict=True))
    caption = latex(f"{ended(table.caption)} {ended(table.note)}".strip())
    name = latex(table.name).replace("\\_", "-")
    found = texts.to_latex(
        index=False,
        escape=False,
        column_format=align or "l" * len(headings),
        caption=caption,
        label=f"tab:{name}",
        longtable=len(texts) > 40,
    )
    return f"% needs \\usepackage{{booktabs}}{' and longtable' if len(texts) > 40 else ''}\n{found}"


def as_html(table: Table) -> str:
    """A page with one table whose rules a word processor keeps."""
    headings, lines, labels = cells(table)
    numeric = [_is_numeric([value for _, value in column]) for column in zip(*lines, strict=True)] or [False] * len(headings)

    def row(texts: list[str], tag: str, rule: str) -> str:
        parts = []
        for k, (text, is_number) in enumerate(zip(texts, numeric, strict=True)):
            scope = ' scope="col"' if tag == "th" else ' scope="row"' if k < labels else ""
            name = "th" if scope else "td"
            align, weight = "right" if is_number else "left", "bold" if tag == "th" else "normal"
            style = f"{RULES[rule]}; padding: 2pt 6pt; text-align: {align}; font-weight: {weight}"
            parts.append(f'<{name}{scope} style="{style.removeprefix("; ")}">{escape(text)}</{name}>')
        return f"<tr>{''.join(parts)}</tr>"

    body = [row([text for text, _ in line], "td", "last" if k == len(lines) - 1 else "other") for k, line in enumerate(lines)]
    caption = f'<caption style="text-align: left; padding: 4pt 0">{escape(table.caption)}</caption>'
    note = f"<p>{escape(ended(table.note))}</p>" if table.note else ""
    content = "\n".join([caption, "<thead>", row(headings, "th", "head"), "</thead>", "<tbody>", *body, "</tbody>"])
    head = f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{escape(table.caption)}</title></head>'
    return f'{head}\n<body>\n<table style="{WORD}">\n{content}\n</table>\n{note}\n</body>\n</html>\n'


def _is_numeric(values: list) -> bool:
    found = [value for value in values if value is not None and value != ""]
    return bool(found) and all(isinstance(value, int | float | np.number) and not isinstance(value, bool) for value in found)
