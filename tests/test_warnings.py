"""Warnings are errors in these tests (pyproject.toml), the deprecations of PyMC and ArviZ among them; every exception has its reason.

Ours are `ConvergenceWarning`s, where a test or a command says by itself whether a fit converged. Those of libraries stand in LIBRARIES.
"""

import re
import subprocess
import sys
import tomllib
import warnings
from pathlib import Path

import pytest

import stimdose as sd

ROOT = Path(__file__).parents[1]
SOURCE = Path(sd.__file__).parent
IGNORED = re.compile(r"""(?:filterwarnings|simplefilter)\(\s*"ignore|"-W", "ignore""")
LIBRARIES = {
    "test_fit.py": "arviz: Pareto shape above 0.7 of one study in twenty",
    "test_chains.py": "arviz: division by a variance of zero",
    "prior_influence.py": "arviz: few draws in the tails of what is weighted",
    "workbooks.py": "openpyxl: formats and drop-down lists that it does not know",
    "test_reliability.py": "Python: a process with threads that forks, into children that are killed",
    "style.py": "matplotlib: glyphs that a font lacks",
}
"""The warnings of libraries that are let pass, by the file that does; none is of a deprecation in PyMC or ArviZ."""
FORK = re.compile("fork.*DeprecationWarning")
ERRORS = ["-W", "error::DeprecationWarning", "-W", "error::FutureWarning"]


def exceptions() -> list[tuple[Path, int, str]]:
    folders = [SOURCE, *(ROOT / name for name in ("tests", "benchmarks", "docs"))]
    files = [path for folder in folders for path in sorted(folder.rglob("*.py")) if path != Path(__file__)]
    lines = [(path, k, line) for path in files for k, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)]
    return [found for found in lines if IGNORED.search(found[2])]


def test_every_warning_that_is_ignored_has_a_reason_and_none_is_a_deprecation():
    found = exceptions()
    assert len(found) > 20
    unexplained = [f"{path.name}:{k}" for path, k, line in found if "#" not in line]
    assert not unexplained, f"say on the line why these warnings do no harm: {unexplained}"
    of_libraries = {path.name for path, _, line in found if "ConvergenceWarning" not in line and "benchmarks" not in path.parts}
    assert of_libraries == set(LIBRARIES)
    assert not [line for _, _, line in found if re.search(r"""Deprecat|Future|Migration|"ignore"\)""", FORK.sub("", line))]


def test_the_settings_of_pytest_make_no_exception():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"]["ini_options"]
    assert settings["filterwarnings"] == ["error"]


def test_what_arviz_says_of_names_that_moved_is_an_error_here():
    import arviz as az

    assert issubclass(az.MigrationWarning, FutureWarning)
    with pytest.raises(az.MigrationWarning):
        warnings.warn("moved", az.MigrationWarning, stacklevel=1)


def run(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *ERRORS, "-m", "stimdose", *words], capture_output=True, text=True)


def test_a_command_uses_nothing_deprecated(saved, tmp_path):
    done = run("curve", saved, "sessions", "--by", "phase", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr


@pytest.mark.slow
def test_a_fit_and_its_report_use_nothing_deprecated(saved, tmp_path):
    done = run(
        "fit", "sessions-by-phase", "synthetic_rpms_dose_finding", "--seed", "1", "--draws", "200", "-o", str(tmp_path / "fit")
    )
    assert done.returncode == 0, done.stderr
    done = run("report", saved, "-o", str(tmp_path / "report"), "--no-priors")
    assert done.returncode == 0, done.stderr
