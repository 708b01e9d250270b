"""Disks that are full, folders that cannot be written to, names that no disk takes: a clear message, and nothing of the old is lost.

Root may write where nobody else may, so folders are read-only here because they are mounted so.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import stimdose as sd
from stimdose import outputs
from stimdose.files import write_text
from stimdose.folders import filling


@pytest.fixture
def mounted(tmp_path):
    """Mount something at a new folder; skips the test where that is not allowed."""
    folder = tmp_path / "disk"
    folder.mkdir()
    count = 0

    def mount(*words: str) -> Path:
        nonlocal count
        if sys.platform != "linux" or os.geteuid() != 0:
            pytest.skip("only root can mount a disk, on Linux")
        done = subprocess.run(["mount", *words, str(folder)], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"a disk cannot be mounted here: {done.stderr.strip()}")
        count += 1
        return folder

    yield mount
    for _ in range(count):
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def small_disk(mounted, saved):
    """A disk on which one saved fit has room, and not two."""
    return mounted("-t", "tmpfs", "-o", f"size={int(1.5 * os.path.getsize(saved))}", "tmpfs")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_full_disk_keeps_the_saved_fit_that_is_there(bell_fit, small_disk):
    path = bell_fit.save(small_disk / "fit.nc")
    before = contents(small_disk)
    for _ in range(2):  # HDF5 crashed at the second
        with pytest.raises(sd.FitError, match=r"cannot write .*fit\.nc: No space left on device"):
            bell_fit.save(path)
    assert contents(small_disk) == before
    assert sd.load_fit(path).tree.equals(bell_fit.tree)


def test_a_full_disk_keeps_the_folder_of_a_fit(bell_fit, small_disk):
    with filling(small_disk) as stage:
        bell_fit.save(stage / "fit.nc")
        write_text(stage / "parameters.csv", "earlier")
    before = contents(small_disk)
    with pytest.raises(sd.FitError, match="No space left on device"):
        outputs.write_fit(bell_fit, small_disk)
    assert contents(small_disk) == before


@pytest.mark.slow
def test_a_full_disk_keeps_what_a_batch_has_finished(bell_fit, small_disk):
    requests = [bell_fit.request(seed=seed, draws=300, chains=2, most_draws=0) for seed in range(12)]
    with pytest.raises(sd.FitError, match="No space left on device") as caught:
        sd.batch(requests, folder=small_disk, progress=False)
    kept = list(small_disk.iterdir())
    assert 0 < len(kept) < 12
    assert all(path.suffix == ".npz" and len(path.stem) == 64 for path in kept)
    assert caught.value.__notes__ == [
        f"{len(kept)} results are kept in {small_disk}; calling again with the same folder computes only what is missing"
    ]
    subprocess.run(["mount", "-o", "remount,size=100m", str(small_disk)], check=True)
    times = {path: path.stat().st_mtime_ns for path in kept}
    assert len(sd.batch(requests, folder=small_disk, progress=False)) == 12
    assert {path: path.stat().st_mtime_ns for path in kept} == times


LIMITED = """
import resource, sys, stimdose as sd
fit = sd.load_fit(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))
for _ in range(2):
    try:
        fit.save(sys.argv[1])
    except sd.FitError as error:
        print(error)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit to the size of files")
def test_a_limit_to_the_size_of_files_keeps_the_saved_fit_that_is_there(bell_fit, tmp_path):
    path = bell_fit.save(tmp_path / "fit.nc")
    done = subprocess.run([sys.executable, "-c", LIMITED, str(path)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == 2 * f"cannot write {path}: File too large\n"
    assert list(tmp_path.iterdir()) == [path]
    assert sd.load_fit(path).tree.equals(bell_fit.tree)


@pytest.mark.parametrize("make", ["curve", "optimum", "check"])
def test_commands_say_that_a_folder_is_read_only_before_they_compute(saved, mounted, run, make):
    folder = mounted("-t", "tmpfs", "-o", "ro", "tmpfs")
    given = [] if make == "check" else ["sessions"]
    code, out, err = run(make, saved, *given, "-o", str(folder))
    assert (code, out) == (1, "")
    assert err == f"Error: cannot write to the folder {folder}: Read-only file system\n"


def test_a_file_in_a_folder_that_is_read_only(bell_fit, bell_model, mounted):
    folder = mounted("-t", "tmpfs", "-o", "ro", "tmpfs")
    for write in (bell_fit.save, bell_model.save, sd.load_prior_set("weak").save):
        with pytest.raises(sd.StimdoseError, match=r"cannot write .*file\.x: Read-only file system"):
            write(folder / "file.x")
    with pytest.raises(sd.StimdoseError, match="cannot write to the folder"):
        sd.report(bell_fit, folder)


def test_a_template_is_whole_or_not_there(mounted, run, tmp_path):
    folder = mounted("-t", "tmpfs", "-o", "size=8k", "tmpfs")
    code, _, err = run("template", "-o", str(folder / "trials.xlsx"))
    assert code == 1
    assert err == f"Error: cannot write {folder / 'trials.xlsx'}: No space left on device\n"
    assert list(folder.iterdir()) == []


PLACES = {
    "below a file": ("file/fit.nc", "Not a directory"),
    "in no folder": ("none/fit.nc", "No such file or directory"),
    "a folder": ("folder", "Is a directory"),
    "too long": ("a" * 253 + ".nc", "File name too long"),
    "no name": ("a\0b.nc", "null"),
}


@pytest.mark.parametrize(("name", "reason"), PLACES.values(), ids=PLACES)
def test_places_where_no_file_can_be(bell_fit, bell_model, name, reason, tmp_path):
    (tmp_path / "folder").mkdir()
    write_text(tmp_path / "file", "mine")
    for write in (bell_fit.save, bell_model.save):
        with pytest.raises(sd.FitError, match=rf"(?s)cannot write .*{reason}"):
            write(tmp_path / name)
    with pytest.raises(sd.FitError, match=r"there is no file|is a folder"):
        sd.load_fit(tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("name", ["a" * 252 + ".nc", "量" * 84 + ".nc", "[a-z]*.nc"])
def test_names_that_a_disk_just_takes(bell_model, name, tmp_path):
    bell_model.save(tmp_path / name)
    bell_model.save(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("out", ["file", "file/out", "a" * 300])
def test_folders_that_cannot_be_made_are_told_in_one_sentence(saved, out, run, tmp_path):
    write_text(tmp_path / "file", "mine")
    code, printed, err = run("curve", saved, "sessions", "-o", str(tmp_path / out))
    assert (code, printed) == (1, "")
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    assert str(tmp_path / out) in err
