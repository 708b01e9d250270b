"""Pages of the documentation as programs: their blocks are run in order, and must print what the page says.

`python` blocks share their names; `sh` blocks are run by bash; `toml` and `csv` blocks become the file that the word after the language names.
All of it happens in one folder. A `text` block is what the block before it prints. `python tests/pages.py NAME ...` writes anew what
pages print, and leaves the pictures that they draw in docs/images.
"""

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
MADE = "commands"
"""The page that the site writes itself."""
PAGES = {
    path.stem: path for path in (*sorted(DOCS.glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md") if path.stem != MADE
}
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
    assert found_words == words, f"{where} prints\n{printed}"
    np.testing.assert_allclose(found, numbers, rtol=0.1, atol=0.03, err_msg=where)


def run(path: Path, folder: Path, names: dict | None = None) -> Iterator[tuple[Block, str]]:
    """Run a page in an empty folder, block by block: each, and what it prints. names: gathers what Python blocks define."""
    names = {} if names is None else names
    names["__name__"] = "__main__"
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "120"}
    for block in blocks(path.read_text(encoding="utf-8")):
        where = f"{path.name}, line {block.line}"
        printed = io.StringIO()
        if block.language in ("toml", "csv"):
            (folder / block.file).write_text(block.code, encoding="utf-8")
        elif block.language == "python":
            with contextlib.chdir(folder), contextlib.redirect_stdout(printed):
                exec(compile(block.code, where, "exec"), names)
        elif block.language == "sh":
            shell = ["bash", "-euo", "pipefail", "-c", block.code]
            done = subprocess.run(shell, cwd=folder, env=environment, capture_output=True, text=True)
            assert done.returncode == 0, f"{where}: {done.stdout}{done.stderr}"
            printed.write(done.stdout)
        yield block, printed.getvalue()


def rewrite(path: Path) -> None:
    """Put what the blocks of a page print into the `text` blocks after them, where there are such."""
    text = path.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        for block, printed in run(path, Path(folder)):
            if block.printed:
                before, after = text.split(block.code, 1)
                text = before + block.code + after.replace(block.printed, printed, 1)
        for picture in Path(folder).glob("*.png"):
            shutil.copy(picture, DOCS / "images")
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    for name in sys.argv[1:]:
        rewrite(PAGES[name])
