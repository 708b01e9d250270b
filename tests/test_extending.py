"""The shape that the page on extending adds to a copy of the package is one: the tests of the density hold for it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import stimdose as sd

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_density_of_the_added_shape_is_that_of_the_model_in_pymc(tmp_path, monkeypatch):
    page = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    blocks = [code for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "package" in code]
    monkeypatch.chdir(tmp_path)
    exec("\n".join(blocks), {"sd": sd})
    folders = os.pathsep.join(map(str, (tmp_path / "changed", ROOT / "tests")))
    run = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-k",
        "weibull",
        "-p",
        "no:cacheprovider",
        str(ROOT / "tests" / "test_density.py"),
    ]
    done = subprocess.run(run, cwd=ROOT, env=os.environ | {"PYTHONPATH": folders}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert re.search(r"[1-9]\d* passed", done.stdout), done.stdout
