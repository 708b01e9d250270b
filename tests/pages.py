"""Pages of the documentation as programs: their blocks are run in order, and must print what the page says.

`python` blocks share their names; `sh` blocks are run by bash; `toml` and `csv` blocks become the file that the word after the language names.
All of it happens in one folder. A `text` block is what the block before it prints.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = {path.stem: path for path in (*sorted(DOCS.glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md")}
FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
RUN = ("python", "sh", "toml", "csv")
SHOWN = ("text", "r", "{eval-rst}", "{toctree}", "{include}")
"""Blocks that are not run: what a block prints, R (held to stored answers by tests/test_coming_from_r.py), and directives of the site."""
NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?")


class Block(NamedTuple):
    language: str
    file: str
    code: str
    printed: str
    line: int


def blocks(text: str) -> list[Block]:
    found = []
    for match in FENCE.finditer(text):
        language, _, file = match[1].strip().partition(" ")
        if language == "text" and found:
            found[-1] = found[-1]._replace(printed=match[2])
        else:
            found.append(Block(language, file, match[2], "", text[: match.start()].count("\n") + 2))
    return found


def words_and_numbers(text: str) -> tuple[list[str], np.ndarray]:
    """The words of a text, and its numbers but those on lines of elpd, whose differences and weights are within their own error of 0."""
    numbers = [number for line in text.splitlines() if "elpd" not in line for number in NUMBER.findall(line)]
    return NUMBER.sub("", text).split(), np.array(numbers, float)


def compare(printed: str, expected: str, where: str) -> None:
    """The same words, and numbers within the Monte Carlo error by which machines differ."""
    (found_words, found), (words, numbers) = map(words_and_numbers, (printed, expected))
    assert found_words == words, where
    np.testing.assert_allclose(found, numbers, rtol=0.1, atol=0.03, err_msg=where)


def run(path: Path, folder: Path, captured) -> None:
    """Run a page in an empty folder, the current one. captured: pytest's capsys."""
    names: dict = {}
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "120"}
    for block in blocks(path.read_text(encoding="utf-8")):
        where = f"{path.name}, line {block.line}"
        if block.language in ("toml", "csv"):
            (folder / block.file).write_text(block.code, encoding="utf-8")
        elif block.language == "python":
            exec(compile(block.code, where, "exec"), names)
            compare(captured.readouterr().out, block.printed, where)
        elif block.language == "sh":
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", block.code], cwd=folder, env=environment, capture_output=True, text=True
            )
            assert done.returncode == 0, f"{where}: {done.stdout}{done.stderr}"
            if block.printed:
                compare(done.stdout, block.printed, where)
