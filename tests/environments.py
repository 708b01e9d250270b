"""The demo and the tests of the installed package, in a new environment and without the sources of the checkout.

    python tests/environments.py wheel|lowest|newest [--python PYTHON] [--folder FOLDER] [-- WORDS FOR PYTEST]

wheel   this Python, the versions of constraints.txt
lowest  Python 3.12, the lowest allowed version of every direct dependency
newest  Python 3.13, the newest allowed version of everything

An sdist is built of the checkout, and a wheel of the sdist. The wheel is installed; the sdist is unpacked without `src`, and the tests
run there. Needs a package index. FOLDER keeps what was made; by default it is a temporary one, and removed.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BIN = "Scripts" if os.name == "nt" else "bin"
ENVIRONMENTS = {
    "wheel": (sys.executable, ["--constraint", "constraints.txt"]),
    "lowest": ("python3.12", ["--resolution", "lowest-direct"]),
    "newest": ("python3.13", []),
}


def run(*command: str | Path, cwd: Path) -> None:
    print("$", *command, flush=True)
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    if code := subprocess.run(command, cwd=cwd, env=clean | {"UV_PYTHON_DOWNLOADS": "never"}).returncode:
        sys.exit(code)


def interpreter(name: str) -> str:
    """Path of a Python that runs: a name on PATH may be a shim of one that is not active."""
    if found := shutil.which(name):
        asked = subprocess.run([found, "-c", "import sys; print(sys.executable)"], capture_output=True, text=True)
        if asked.returncode == 0:
            return asked.stdout.strip()
    sys.exit(f"{name} was not found, or does not run; say where it is: --python PATH")


def unpacked(sdist: Path, folder: Path) -> Path:
    """An sdist without the sources of the package: what tests find must be the installed one."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, [m for m in archive if m.name.split("/")[1] != "src"], filter="data")
    return folder / sdist.name.removesuffix(".tar.gz")


def main(name: str, python: str, folder: Path, words: list[str]) -> None:
    tools, env, dist = folder / "tools", folder / "env", folder / "dist"
    venv.create(tools, with_pip=True, clear=True)
    run(tools / BIN / "python", "-m", "pip", "install", "--quiet", "uv", cwd=folder)
    uv = tools / BIN / "uv"
    run(uv, "build", "--quiet", "--python", python, "--out-dir", dist, ROOT, cwd=folder)  # the wheel from the sdist
    (sdist,), (wheel,) = dist.glob("*.tar.gz"), dist.glob("*.whl")
    tree = unpacked(sdist, folder)
    versions = folder / "versions.txt"
    resolve = [uv, "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--extra", "dev", *ENVIRONMENTS[name][1]]
    run(*resolve, "--python", python, "--output-file", versions, "pyproject.toml", cwd=tree)
    print(versions.read_text(encoding="utf-8"))
    run(uv, "venv", "--quiet", "--clear", "--python", python, env, cwd=folder)
    run(uv, "pip", "install", "--quiet", "--python", env, "--requirement", versions, cwd=folder)
    run(uv, "pip", "install", "--quiet", "--python", env, "--no-deps", wheel, cwd=folder)
    run(uv, "pip", "check", "--python", env, cwd=folder)
    run(env / BIN / "stimdose", "demo", "-o", "demo-output", cwd=tree)
    run(env / BIN / "python", "-m", "pytest", "-n", "2", "--dist", "loadfile", *words, cwd=tree)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("environment", choices=ENVIRONMENTS)
    parser.add_argument("--python", help="a Python on PATH, or its path")
    parser.add_argument("--folder", type=Path, help="a new or empty folder")
    end = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    asked = parser.parse_args(sys.argv[1:end])
    python = interpreter(asked.python or ENVIRONMENTS[asked.environment][0])
    with tempfile.TemporaryDirectory() as temporary:
        folder = (asked.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        main(asked.environment, python, folder, sys.argv[end + 1 :])
