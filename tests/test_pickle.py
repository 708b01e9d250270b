"""Nothing that we read can run code: no pickle is loaded from any file, and no text of a file is evaluated.

Machine code that numba and PyTensor keep between runs is no file that one is given; docs/reliability.md says so.
"""

import ast
import io
import pickle
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from conftest import make_table

import stimdose as sd
from stimdose.storage import write_arrays

SOURCE = Path(sd.__file__).parent
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle"}
CALLS = {"eval", "exec", "compile", "read_pickle", "to_pickle", "unsafe_load", "read_hdf", "query"}


def suspicious(source: str) -> list[str]:
    """What in some source could load a pickle or evaluate text."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            found += [name for name in names if name.split(".")[0] in MODULES]
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            of = getattr(getattr(node.func, "value", None), "id", "")
            allowed = [word.value for word in node.keywords if word.arg == "allow_pickle"]
            safe = len(allowed) == 1 and getattr(allowed[0], "value", None) is False
            fixed = node.args and isinstance(node.args[0], ast.Constant)  # no text of a file
            if (name in CALLS and (of, name) != ("re", "compile") and not fixed) or (
                of in ("np", "numpy") and name == "load" and not safe
            ):
                found.append(ast.unparse(node))
    return found


def test_no_source_loads_a_pickle_or_evaluates_text():
    found = {path.name: lines for path in SOURCE.rglob("*.py") if (lines := suspicious(path.read_text(encoding="utf-8")))}
    assert not found


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=wanted)",
        "pd.read_pickle(path)",
        "eval(text)",
        "table.eval(text)",
        "table.query(text)",
    ],
)
def test_what_is_looked_for_is_found(source):
    assert suspicious(source)
    assert not suspicious("np.load(path, allow_pickle=False); re.compile(text); table.query('a > 1')")


class Malice:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.fixture
def mark(tmp_path) -> Path:
    return tmp_path / "mark"


@pytest.fixture
def malice(mark) -> bytes:
    """A pickle that leaves the mark; it does, if it is loaded."""
    content = pickle.dumps(Malice(mark))
    pickle.loads(content)
    assert mark.exists()
    mark.unlink()
    return content


READERS = {
    "fit.nc": sd.load_fit,
    "fit.npz": sd.load_fit,
    "fit.pkl": sd.load_fit,
    "trials.csv": sd.read_trials,
    "trials.xlsx": sd.read_trials,
    "trials.pkl": sd.read_trials,
    "model.toml": sd.load_model,
    "model.pkl": sd.load_model,
    "priors.toml": sd.load_prior_set,
    "manifest.json": lambda path: sd.rerun(path, path.with_name("again")),
}


@pytest.mark.parametrize("name", READERS)
def test_a_pickle_in_the_place_of_a_file_is_not_loaded(name, malice, mark, tmp_path):
    (tmp_path / name).write_bytes(malice)
    with pytest.raises(sd.StimdoseError):
        READERS[name](tmp_path / name)
    assert not mark.exists()


def in_every_array(fit: sd.Fit, path: Path, mark: Path) -> None:
    """The file of a batch whose arrays are objects, one after the other."""
    whole = write_arrays(path, fit.tree, fit.trials).read_bytes()
    evil = io.BytesIO()
    np.save(evil, np.array([Malice(mark)], dtype=object), allow_pickle=True)
    with zipfile.ZipFile(io.BytesIO(whole)) as before, zipfile.ZipFile(path, "w") as after:
        for name in before.namelist():
            after.writestr(name, before.read(name) if name == "header.npy" else evil.getvalue())


def in_the_header(fit: sd.Fit, path: Path, mark: Path) -> None:
    np.savez(path, header=np.array([Malice(mark)], dtype=object), allow_pickle=True)


def in_attributes(fit: sd.Fit, path: Path, mark: Path) -> None:
    fit.save(path)
    with h5py.File(path, "a") as file:
        file.attrs["model"] = np.void(pickle.dumps(Malice(mark)))
        file["posterior"].attrs["pickled"] = np.void(pickle.dumps(Malice(mark)))


def in_the_table(fit: sd.Fit, path: Path, mark: Path) -> None:
    fit.save(path)
    with h5py.File(path, "a") as file:
        del file["trials"]["json"]
        file["trials"]["json"] = np.void(pickle.dumps(Malice(mark)))


@pytest.mark.parametrize(
    ("plant", "name"),
    [(in_every_array, "fit.npz"), (in_the_header, "fit.npz"), (in_attributes, "fit.nc"), (in_the_table, "fit.nc")],
)
def test_a_pickle_inside_a_saved_fit_is_not_loaded(plant, name, bell_fit, malice, mark, tmp_path):
    plant(bell_fit, tmp_path / name, mark)
    with pytest.raises(sd.FitError):
        sd.load_fit(tmp_path / name)
    assert not mark.exists()


def test_a_pickle_in_the_folder_of_a_batch_is_not_loaded(bell_fit, malice, mark, tmp_path):
    request = bell_fit.request(seed=1, draws=50, most_draws=0)
    (tmp_path / f"{request.key}.npz").write_bytes(malice)
    with pytest.warns(UserWarning, match="is damaged and is computed again"):
        sd.batch([request], folder=tmp_path, progress=False)
    assert not mark.exists()


def test_text_of_a_table_is_not_evaluated(mark, tmp_path):
    """Formulas and expressions stay text, in a CSV file and as the names of columns."""
    code = f"__import__('pathlib').Path({str(mark)!r}).touch()"
    table = make_table(6)
    formulas = [f"={code}", f"@{code}", code, f"=cmd|' /C touch {mark}'!A0", "=1+1", "+1"]
    table["site"] = [formulas[k % 6] for k in range(len(table))]
    table[code] = "1"
    table.to_csv(tmp_path / "t.csv", index=False)
    trials = sd.read_trials(tmp_path / "t.csv")
    assert set(trials.table["site"]) == set(table["site"])
    trials.audit()
    assert trials.subset(site="=1+1").table["site"].unique().tolist() == ["=1+1"]
    pd.testing.assert_series_equal(trials.table["site"], table["site"], check_dtype=False)
    assert not mark.exists()
