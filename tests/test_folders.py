"""What several files are when their writing is killed, fails or is not alone: files of one fit, and nothing of the user's own is lost."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import stimdose as sd
from stimdose import files, folders, outputs
from stimdose.files import write_text
from stimdose.folders import filling

OLD = {"fit.nc": "old", "manifest.json": "old", "both.csv": "old", "imputed.csv": "old", "figures/one.pdf": "old"}
NEW = {"fit.nc": "new", "manifest.json": "new", "both.csv": "new", "contrast.csv": "new", "figures/two.pdf": "new"}


def fill(folder: Path, files: dict[str, str]) -> None:
    with filling(folder, fit=files.get("fit.nc")) as stage:
        write(stage, files)


def write(folder: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content)


def content(folder: Path) -> dict[str, str]:
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_text() for name, path in found.items() if not name.startswith(".stimdose")}


def kept_in(folder: Path) -> Path:
    """The folder of what could not be moved."""
    (kept,) = folder.glob("unfinished-*")
    assert content(kept) == NEW
    return kept


def stages(folder: Path) -> list[Path]:
    return list((folder / ".stimdose").glob("tmp*"))


def test_another_fit_takes_the_place_of_all_that_came_with_the_earlier_one(tmp_path):
    fill(tmp_path, OLD)
    fill(tmp_path, {"curve.csv": "of the old fit, asked for later"})
    own = {"notes.txt": "mine", "figures/mine.pdf": "mine", "imputed.csv": "old, and edited by the user"}
    write(tmp_path, own)
    fill(tmp_path, NEW)
    assert content(tmp_path) == NEW | own
    fill(tmp_path, {"fit.nc": "new", "more.csv": "of the same fit"})  # nothing goes
    assert content(tmp_path) == NEW | own | {"more.csv": "of the same fit"}
    assert not stages(tmp_path)


def test_what_leaves_is_said_under_the_lock_and_may_be_refused(tmp_path):
    fill(tmp_path, OLD)

    def refuse():
        raise sd.FitError("methods.md was edited")

    with pytest.raises(sd.FitError, match=r"was edited.*; what was not moved is in"), filling(tmp_path, refuse) as stage:
        write(stage, NEW)
    shutil.rmtree(kept_in(tmp_path))
    assert content(tmp_path) == OLD
    with filling(tmp_path, lambda: {"both.csv": files.sha256(tmp_path / "both.csv")}) as stage:
        write(stage, {"one.csv": "of the same fit"})
    assert content(tmp_path) == {name: "old" for name in OLD if name != "both.csv"} | {"one.csv": "of the same fit"}


@pytest.mark.parametrize(
    "listed", ["{", "[]", '{"fit": "old"}', '{"fit": "old", "files": 3}', '{"fit": "old", "files": {"../outside.csv": "%s"}}']
)
def test_a_list_that_is_damaged_removes_nothing_that_is_not_known(listed, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    (tmp_path / "outside.csv").write_text("mine")
    fill(folder, OLD)
    known = files.sha256(tmp_path / "outside.csv")
    (folder / ".stimdose" / "files.json").write_text(listed.replace("%s", known))
    fill(folder, NEW)
    assert content(folder) == OLD | NEW
    assert (tmp_path / "outside.csv").exists()


def test_what_fails_before_the_end_changes_nothing(tmp_path):
    fill(tmp_path, OLD)
    with pytest.raises(OSError, match="No such file"), filling(tmp_path) as stage:
        write(stage, NEW | {"no/such/folder.csv": "new"})
    assert content(tmp_path) == OLD
    assert not stages(tmp_path)


def test_what_cannot_be_moved_is_kept_and_named(tmp_path, monkeypatch):
    fill(tmp_path, OLD)

    replace = os.replace

    def in_use(source, target):
        if target.suffix == ".csv":  # a spreadsheet on Windows
            raise PermissionError(13, "Permission denied", str(target))
        replace(source, target)

    monkeypatch.setattr("stimdose.folders.os.replace", in_use)
    with pytest.raises(sd.FitError, match=r"is one of them open elsewhere\?\); what was not moved is in .*unfinished-tmp"):
        fill(tmp_path, NEW)
    monkeypatch.undo()
    (kept,) = tmp_path.glob("unfinished-*")
    assert content(kept) == {name: "new" for name in NEW if name != "fit.nc"}
    assert content(tmp_path)["fit.nc"] == "new"


def test_a_folder_in_the_place_of_a_file_is_told_before_anything_goes(tmp_path):
    fill(tmp_path, OLD)
    (tmp_path / "contrast.csv").mkdir()
    with pytest.raises(sd.FitError, match=r"contrast\.csv is a folder"):
        fill(tmp_path, NEW)
    shutil.rmtree(kept_in(tmp_path))
    assert content(tmp_path) == OLD


def test_what_a_killed_process_left_goes_when_it_is_an_hour_old(tmp_path):
    for name in ("tmpold", "tmpnew"):
        write(tmp_path / ".stimdose" / name, {}) or (tmp_path / ".stimdose" / name).mkdir(parents=True)
    os.utime(tmp_path / ".stimdose" / "tmpold", (time.time() - 2 * files.STALE,) * 2)
    fill(tmp_path, OLD)
    assert [path.name for path in stages(tmp_path)] == ["tmpnew"]


def test_ctrl_c_waits_until_files_are_moved(tmp_path, monkeypatch):
    fill(tmp_path, OLD)
    replace = os.replace

    def stop_then_replace(*names):
        signal.raise_signal(signal.SIGINT)
        replace(*names)

    monkeypatch.setattr("stimdose.folders.os.replace", stop_then_replace)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            fill(tmp_path, NEW)
    finally:
        assert signal.signal(signal.SIGINT, before) is signal.default_int_handler
    assert content(tmp_path) == NEW


KILLED = """
import json, os, shutil, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_folders import NEW, OLD, content, fill, stages, write
from stimdose.files import write_text
import filelock
os.fsync = lambda handle: None  # which takes most of the time

def attempt(k, do):
    "Do something in a child that is killed before its k-th change of the disk; False if it came to its end."
    child = os.fork()
    if child == 0:
        seen = [0]
        def count(event, arguments):
            writes = event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            if writes or event in ("os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.chmod"):
                seen[0] += 1
                if seen[0] == k:
                    os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(count)
        do()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0

root, found = Path(sys.argv[2]), []
old = root / "old"
old.mkdir()
fill(old, OLD)
write(old, {"mine.txt": "mine"})
k = 1
while True:
    folder = root / str(k)
    shutil.copytree(old, folder)
    was_killed = attempt(k, lambda: fill(folder, NEW))
    record = {"folder": content(folder), "left": len(stages(folder)), "killed": was_killed}
    fill(folder, NEW)
    record["again"] = content(folder)
    single = folder / "mine.txt"
    attempt(k, lambda: write_text(single, "mine, changed"))
    record["single"] = single.read_text()
    found.append(record)
    if not was_killed:
        break
    k += 1
print(json.dumps(found))
"""


def test_a_kill_before_any_change_of_the_disk_leaves_files_of_one_fit(tmp_path):
    """Every moment at which a process can be killed between two operations on files, one after the other."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(Path(__file__).parent), str(tmp_path)], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found) > 20
    states = []
    for record in found:
        folder = record["folder"]
        assert folder.pop("mine.txt") == "mine"
        assert len(set(folder.values())) == 1  # never files of two fits
        assert folder["fit.nc"] in ("old", "new")
        complete = folder in (OLD, NEW)
        states.append((folder["fit.nc"], complete))
        if folder.get("manifest.json") == "new":
            assert complete
        assert record["again"] == NEW | {"mine.txt": "mine"}  # the next run puts everything right
        assert record["left"] <= 1
        assert record["single"] in ("mine", "mine, changed")
    assert states[0] == ("old", True)
    assert states[-1] == ("new", True)
    assert {("old", False), ("new", False)} <= set(states)  # the test saw the moments between


TWO = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_folders import content, fill
import filelock
os.fsync = lambda handle: None  # which takes most of the time
root = Path(sys.argv[2])
for k in range(int(sys.argv[3])):
    folder, wrote = root / str(k), {}
    folder.mkdir()
    for name in ("one", "other", "third"):
        wrote[name] = {"fit.nc": name, f"{name}.csv": name, **{f"{i}.csv": name for i in range(8)}}
    children = []
    for files in wrote.values():
        if (child := os.fork()) == 0:
            for _ in range(2):
                fill(folder, files)
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    assert content(folder) in wrote.values(), content(folder)
print("whole")
"""


def test_processes_that_write_to_one_folder_at_once_leave_files_of_one(tmp_path):
    command = [sys.executable, "-c", TWO, str(Path(__file__).parent), str(tmp_path), "3"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "whole\n"


def test_a_lock_of_a_killed_process_holds_nobody_up(tmp_path):
    fill(tmp_path, OLD)
    script = "import sys; from pathlib import Path; from stimdose.folders import _locked\n"
    script += "with _locked(Path(sys.argv[1])): print('in', flush=True); input()"
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "in\n"
    holder.kill()
    holder.communicate()
    started = time.monotonic()
    fill(tmp_path, NEW)
    assert time.monotonic() - started < folders.PATIENCE / 2
    assert content(tmp_path) == NEW


def test_a_process_that_hangs_while_it_moves_files_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "PATIENCE", 0.1)
    fill(tmp_path, OLD)
    with folders._locked(tmp_path), pytest.raises(sd.FitError, match=r"could not be acquired.*what was not moved is in"):
        fill(tmp_path, NEW)
    assert kept_in(tmp_path)


def test_a_fit_in_the_folder_of_another_leaves_nothing_of_it(bell_fit, monkeypatch, tmp_path):
    fill(tmp_path, {"fit.nc": "another", "parameters.csv": "of it", "imputed.csv": "of it", "report.html": "of it"})
    (tmp_path / "notes.txt").write_text("mine")
    monkeypatch.setattr(
        outputs, "_write_answers", lambda fit, folder, delta: ([write_text(folder / "parameters.csv", "new")], {}, {})
    )
    written, *_ = outputs.write_fit(bell_fit, tmp_path)
    assert written == [tmp_path / "fit.nc", tmp_path / "parameters.csv"]
    written += outputs.write_audit(bell_fit.trials, tmp_path)  # what is asked later comes with the fit
    names = {path.name for path in tmp_path.glob("[!.]*")}
    assert names == {"notes.txt", *(path.name for path in written)}
    assert (tmp_path / "parameters.csv").read_text() == "new"
    assert sd.load_fit(tmp_path / "fit.nc").tree.equals(bell_fit.tree)
    listed = json.loads((tmp_path / ".stimdose" / "files.json").read_text())
    assert listed["files"] == {name: files.sha256(tmp_path / name) for name in names - {"notes.txt"}}


@pytest.mark.parametrize("error", [sd.StimdoseError("cannot write the figure: No space left on device"), KeyboardInterrupt()])
def test_a_fit_whose_figures_fail_is_kept_beside_the_earlier_one(bell_fit, error, monkeypatch, tmp_path):
    earlier = {"fit.nc": "another", "parameters.csv": "of it"}
    fill(tmp_path, earlier)

    def fail(*given):
        raise error

    monkeypatch.setattr(outputs, "_write_answers", fail)
    with pytest.raises(type(error)) as caught:
        outputs.write_fit(bell_fit, tmp_path)
    kept = tmp_path / "unfinished-fit.nc"
    assert caught.value.__notes__ == [f"The fit itself is kept as {kept}"]
    assert {name: (tmp_path / name).read_text() for name in earlier} == earlier
    assert sd.load_fit(kept).tree.equals(bell_fit.tree)
    monkeypatch.setattr(outputs, "_write_answers", lambda *given: ([], {}, {}))
    outputs.write_fit(bell_fit, tmp_path)
    assert [path.name for path in tmp_path.glob("[!.]*")] == ["fit.nc"]


def test_a_command_that_is_stopped_leaves_what_was_there(saved, run, monkeypatch, tmp_path):
    fill(tmp_path, {"curve-sessions.csv": "earlier"})

    def stop(*given, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr(outputs.figures, "dose_response", stop)
    code, _, err = run("curve", saved, "sessions", "-o", str(tmp_path))
    assert code == 130
    assert "Stopped before it was done. Every file that exists is whole." in err
    assert "Traceback" not in err
    assert content(tmp_path) == {"curve-sessions.csv": "earlier"}
    assert not stages(tmp_path)
