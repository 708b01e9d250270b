"""Manifests: what they hold, what is refused, and that a report comes out again to the last digit."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import stimdose as sd
from stimdose.folders import filling
from stimdose.manifest import check_room, differences, posterior_sha256, read_manifest, write_manifest, write_table
from stimdose.reports import writing


@pytest.fixture(scope="module")
def pool_fit(trials) -> sd.Fit:
    """A fit of the mean effect alone."""
    return sd.fit(sd.Model(name="pool", intercept=sd.Intercept()), trials, seed=5, draws=500, progress=False)


@pytest.fixture
def folder(bell_fit, tmp_path) -> Path:
    """A manifest of a fit, with its table."""
    write_table(bell_fit.trials, tmp_path)
    write_manifest(bell_fit, tmp_path, {}, [])
    return tmp_path


def edited(folder: Path, **changes) -> Path:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")
    return path


def test_a_manifest_holds_all_that_a_fit_depends_on(bell_fit, folder):
    found = read_manifest(folder / "manifest.json")
    assert found.model == bell_fit.model
    assert found.trials.fingerprint == bell_fit.trials.fingerprint
    pd.testing.assert_frame_equal(found.trials.table, bell_fit.trials.table)
    assert found.trials.conversions == bell_fit.trials.conversions
    assert found.trials.dropped == bell_fit.trials.dropped
    request = found.request()
    assert (request.seed, request.settings["draws"], request.geometry) == (11, 1000, None)
    assert found.started == "from nothing"
    assert found.posterior == posterior_sha256(bell_fit)
    assert read_manifest(folder).model == bell_fit.model


def test_the_hash_of_draws_tells_draws_apart(bell_fit, pool_fit):
    assert posterior_sha256(bell_fit) == posterior_sha256(bell_fit) != posterior_sha256(pool_fit)


def test_a_refit_says_that_it_started_from_a_fit(bell_fit, tmp_path):
    again = bell_fit.refit(seed=2, draws=500)
    write_table(again.trials, tmp_path)
    write_manifest(again, tmp_path, {}, [])
    assert read_manifest(tmp_path).started == "from another fit"


def test_an_edited_table_is_refused(folder):
    table = folder / "table.json"
    table.write_text(table.read_text(encoding="utf-8").replace("Trial 00", "Trial 99"), encoding="utf-8")
    with pytest.raises(sd.FitError, match=r"table\.json is not the table that was fitted"):
        read_manifest(folder)


def test_a_lost_table_is_named(folder):
    (folder / "table.json").unlink()
    with pytest.raises(sd.FitError, match="copy both from the folder of the report"):
        read_manifest(folder)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"format": "stimdose manif', "is cut off"),
        ("", "is cut off"),
        ('{"name": "package.json"}', "is not the manifest of a report"),
        ("[1, 2]", "is not the manifest of a report"),
        ('{"format": "stimdose manifest 9"}', "use the version that wrote it"),
        ('{"format": "stimdose manifest 1"}', r"edited, or is damaged:\n  - model: Field required\n  - table: Field required"),
    ],
)
def test_what_is_no_manifest_is_refused(content, words, tmp_path):
    path = tmp_path / "manifest.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(sd.FitError, match=words):
        read_manifest(path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(sd.FitError, match="cannot read the manifest"):
        read_manifest(tmp_path / "manifest.json")


SETTINGS = {
    "draws": 1000,
    "tune": 1000,
    "chains": 4,
    "target_accept": 0.95,
    "integrate": True,
    "missing": "error",
    "allow_mixed": [],
}


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "name = 1"},
        {"model": 5},
        {"table": "table.json"},
        {"table": {}},
        {"table": {"file": "../../etc/passwd", "sha256": ""}},
        {"settings": SETTINGS},
        {"settings": SETTINGS | {"cores": None, "missing": "x"}},
        {"seed": "one"},
        {"versions": []},
        {"tables": ["tables/parameters.csv"]},
    ],
)
def test_an_edited_manifest_is_refused(folder, changes):
    with pytest.raises(sd.StimdoseError, match=r"edited|not valid"):
        read_manifest(edited(folder, **changes))


OPTIONS = {"priors": {}, "check": False, "ecology": False, "delta": None, "title": None}


@pytest.mark.parametrize(
    "report",
    [
        {"check": False},
        OPTIONS | {"check": "no"},
        OPTIONS | {"delta": "big"},
        OPTIONS | {"title": ["a"]},
        OPTIONS | {"colour": "red"},
        OPTIONS | {"priors": "weak"},
        OPTIONS | {"priors": {"weak": {"name": "weak"}}},
        OPTIONS | {"priors": {"weak": {"set": {"name": "weak", "priors": {"peak": {"family": "none"}}}}}},
    ],
)
def test_edited_options_are_refused(report, folder, tmp_path):
    with pytest.raises(sd.FitError, match="the options of the report are not its own"):
        sd.rerun(edited(folder, report=report), tmp_path / "again")
    with pytest.raises(sd.FitError, match="the seed is a whole number"):
        read_manifest(edited(folder, seed=-1)).request()
    assert not (tmp_path / "again").exists()


def test_a_new_report_leaves_no_figure_or_table_of_an_earlier_one(bell_fit, tmp_path):
    out, inside = tmp_path, tmp_path / "report"
    inside.mkdir()
    names = ("figures/old.svg", "tables/old.csv", "tables/edited.csv", "../outside.csv")
    for name in names:
        (inside / name).parent.mkdir(exist_ok=True)
        (inside / name).write_text("1", encoding="utf-8")
    write_table(bell_fit.trials, inside)
    write_manifest(bell_fit, inside, {}, [inside / name for name in names[1:3]], [inside / names[0]])
    (inside / "tables/edited.csv").write_text("2", encoding="utf-8")
    found = json.loads((inside / "manifest.json").read_text(encoding="utf-8"))
    edited(inside, files=found["files"] | {"../outside.csv": found["tables"]["tables/old.csv"]})
    (inside / "figures/mine.svg").write_text("1", encoding="utf-8")
    for _ in range(2):  # nothing is left to remove
        with filling(inside, lambda: check_room(inside)):
            pass
    assert sorted(path.name for path in out.rglob("*") if path.is_file() and ".stimdose" not in path.parts) == [
        "edited.csv",
        "mine.svg",
        "outside.csv",
        "table.json",
    ]
    (inside / "manifest.json").write_text("{", encoding="utf-8")
    with pytest.raises(sd.FitError, match="so name another folder"):
        sd.report(bell_fit, inside)


def test_a_methods_text_that_was_edited_is_not_written_over(bell_fit, tmp_path):
    text = tmp_path / "methods.md"
    text.write_text("as written", encoding="utf-8")
    write_table(bell_fit.trials, tmp_path)
    write_manifest(bell_fit, tmp_path, {}, [], [text])
    check_room(tmp_path)
    text.write_text("as edited", encoding="utf-8")
    with pytest.raises(sd.FitError, match="was edited, and would be lost: move it"):
        sd.report(bell_fit, tmp_path)
    (tmp_path / "manifest.json").unlink()  # a text of the user's own
    with pytest.raises(sd.FitError, match="was edited, and would be lost: move it"):
        check_room(tmp_path)
    text.unlink()
    check_room(tmp_path)


def test_differences_of_tables(tmp_path):
    one, other = tmp_path / "one.csv", tmp_path / "other.csv"
    table = pd.DataFrame({"name": ["a", "b", None], "x": [10.0, -2.0, np.nan], "y": [1.0, 2.0, 3.0]})
    table.to_csv(one, index=False)
    assert differences(one, one) == (0.0, "")
    table.assign(x=[10.0, -1.9, np.nan], y=[1.0, 2.0, 3.003]).to_csv(other, index=False)
    assert differences(one, other) == (pytest.approx(0.01), "x")  # 0.1 of 10, which is more than 0.003 of 3
    for changed in (table.assign(name=["a", "c", None]), table.assign(x=[10.0, np.nan, np.nan]), table[:2], table[["x", "y"]]):
        changed.to_csv(other, index=False)
        assert differences(one, other)[0] == np.inf


def test_a_report_comes_out_again_to_the_last_digit(pool_fit, tmp_path, run, monkeypatch):
    monkeypatch.setattr(writing, "FORMATS", ("svg",))
    first, again = tmp_path / "first", tmp_path / "again"
    fit = str(pool_fit.save(tmp_path / "fit.nc"))
    code, out, _ = run("report", fit, "-o", str(first), "--sets", "sceptical", "--no-check", "--quiet")
    assert code == 0
    assert f"Wrote to {first}: report.html" in out
    for name in ("fit.nc", "report.html"):
        (first / name).unlink()  # the manifest and the table are enough
    code, out, _ = run("rerun", str(first / "manifest.json"), "-o", str(again), "--quiet")
    assert code == 0
    assert "Every number agrees" in out
    with pytest.raises(sd.StimdoseError, match="would be lost"):
        sd.rerun(first, first)

    edited(first, seed=6, machine="Plan 9 m68k", versions={"numpy": "1.0"})
    code, out, _ = run("rerun", str(first / "manifest.json"), "-o", str(again), "--quiet")
    assert code == 1
    assert "The draws are not the same" in out
    assert "numpy was 1.0, and is" in out
    assert "Plan 9" in out
    assert "tables/parameters.csv: differs by up to" in out

    shutil.rmtree(first / "tables")
    found = sd.rerun(first, again)
    assert not found.agrees
    assert "by how much cannot be said" in found.explanation
    assert found.tables.loc["tables/trials.csv", "result"] == "the same to the last digit"


def test_sets_are_not_named_where_none_are_compared(saved, run):
    code, _, err = run("report", saved, "-o", "nowhere", "--sets", "weak", "--no-priors")
    assert code == 1
    assert "leave one of them out" in err
