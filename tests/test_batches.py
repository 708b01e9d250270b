"""Batches: what is computed, kept, computed again and said, in this process, in a pool and on a cluster; and when killed."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import types
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

import stimdose as sd
from stimdose import batches, files

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Request:
    """A fake fit: `number` squared after `seconds`; leaves a marker for every time it runs."""

    number: int
    markers: str
    does: str = ""
    seconds: float = 0.0

    @property
    def key(self) -> str:
        return hashlib.sha256(str(self.number).encode()).hexdigest()

    @property
    def label(self) -> str:
        return f"number {self.number}"


class Unpicklable(Exception):
    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


def compute(request: Request) -> dict:
    (Path(request.markers) / f"{request.number}-{time.time_ns()}").touch()
    time.sleep(request.seconds)
    if request.does == "fail":
        raise sd.FitError(f"{request.number} cannot be fitted")
    if request.does == "fail oddly":
        raise Unpicklable("this", "that")
    if request.does == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    return {"number": request.number, "square": request.number**2}


def save(result: dict, path: Path) -> None:
    path.write_text(json.dumps(result), encoding="utf-8")


def load(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def run(tasks, folder=None, executor=None, **changed):
    settings = {"progress": False, "save": save, "load": load, "suffix": ".json"} | changed
    return batches.run(compute, tasks, folder=folder, executor=executor, **settings)


def squares(results) -> list[int]:
    return [result["square"] for result in results]


@pytest.fixture
def markers(tmp_path):
    folder = tmp_path / "markers"
    folder.mkdir()
    return folder


def ran(markers: Path) -> list[int]:
    """The numbers that were computed, once for each time."""
    return sorted(int(path.name.split("-")[0]) for path in markers.iterdir())


def requests(markers: Path, numbers, **settings) -> list[Request]:
    return [Request(number, str(markers), **settings) for number in numbers]


@pytest.fixture(scope="module")
def pool():
    with batches.pool(2) as executor:
        yield executor


@pytest.mark.parametrize("on_disk", [True, False])
def test_results_come_in_the_order_of_the_tasks_and_equal_ones_are_computed_once(on_disk, markers, tmp_path):
    tasks = requests(markers, [3, 1, 3, 2])
    results = run(tasks, tmp_path / "new" / "batch" if on_disk else None)
    assert squares(results) == [9, 1, 9, 4]
    assert (len(results), results[-1]["number"], squares(results[1:3])) == (4, 2, [1, 9])
    assert list(results.keys) == [task.key for task in tasks]
    assert ran(markers) == [1, 2, 3]
    assert squares(run([], tmp_path)) == []


def test_results_are_files_named_by_key_read_on_access_and_not_computed_again(markers, tmp_path):
    folder, tasks = tmp_path / "batch", requests(markers, [1, 2])
    results = run(tasks[:1], folder)
    assert load(folder / f"{tasks[0].key}.json") == {"number": 1, "square": 1}
    assert [path.name for path in folder.iterdir()] == [f"{tasks[0].key}.json"]
    save({"square": 7}, folder / f"{tasks[0].key}.json")
    assert results[0] == {"square": 7}
    assert squares(run(tasks, folder)) == [7, 4]
    assert ran(markers) == [1, 2]


def test_a_damaged_file_is_named_and_computed_again(markers, tmp_path):
    tasks = requests(markers, [1, 2])
    run(tasks, tmp_path)
    (tmp_path / f"{tasks[1].key}.json").write_text('{"number": 2, "squ')
    with pytest.warns(UserWarning, match=rf"{tasks[1].key}\.json is damaged and is computed again") as caught:
        assert squares(run(tasks, tmp_path)) == [1, 4]
    assert len(caught) == 1
    assert ran(markers) == [1, 2, 2]


def test_what_is_damaged_may_be_decided_without_loading(markers, tmp_path):
    tasks, checked = requests(markers, [1, 2]), []
    run(tasks, tmp_path)
    assert len(run(tasks, tmp_path, check=checked.append, load=None)) == 2
    assert [path.stem for path in checked] == [task.key for task in tasks]


def test_temporary_files_of_a_killed_process_are_no_results_and_go(markers, tmp_path):
    (task,) = requests(markers, [5])
    stale, recent = (tmp_path / f".{task.key}.json.{name}.tmp" for name in ("stale", "recent"))
    for path in (stale, recent):
        path.write_text('{"squ')
    os.utime(stale, (time.time() - 2 * files.STALE,) * 2)
    assert squares(run([task], tmp_path)) == [25]
    assert not stale.exists()
    assert recent.exists()  # it may be of a process that is writing


@pytest.mark.parametrize("where", ["here", "pool"])
def test_a_task_that_fails_does_not_lose_the_others(where, markers, tmp_path, request):
    executor = request.getfixturevalue("pool") if where == "pool" else None
    tasks = requests(markers, [1, 4]) + requests(markers, [2], does="fail") + requests(markers, [3], does="fail oddly")
    with pytest.raises(sd.BatchError) as caught:
        run([tasks[2], tasks[0], tasks[3], tasks[1]], tmp_path, executor)
    error = caught.value
    assert str(error).startswith("2 of 4 tasks failed:\n  - number ")
    assert {str(failure) for failure in error.failures} == {
        "number 2: 2 cannot be fitted",
        "number 3: Unpicklable: this and that",
    }
    assert f"2 results are kept in {tmp_path}; calling again with the same folder computes only what is missing" in str(error)
    assert "in compute" in error.failures[0].traceback
    assert squares(error.results) == [1, 16]
    assert squares(run(requests(markers, [1, 2, 3, 4]), tmp_path, executor)) == [1, 4, 9, 16]
    assert ran(markers) == [1, 2, 2, 3, 3, 4]


def test_without_a_folder_the_error_holds_what_was_computed(markers):
    with pytest.raises(
        sd.BatchError, match="in a folder, calling again with the same folder computes only what is missing"
    ) as caught:
        run(requests(markers, [1]) + requests(markers, [2], does="fail") + requests(markers, [3]))
    assert squares(caught.value.results) == [1, 9]


def test_a_message_lists_the_first_fifty_failures(markers):
    with pytest.raises(sd.BatchError, match="and 3 more") as caught:
        run(requests(markers, range(53), does="fail"))
    assert str(caught.value).count("cannot be fitted") == 50
    assert len(caught.value.failures) == 53


def test_a_killed_worker_is_explained_and_the_batch_resumes(markers, tmp_path):
    tasks = requests(markers, [1, 2, 3]) + requests(markers, [4], does="die") + requests(markers, [5, 6])
    with batches.pool(1) as executor, pytest.raises(sd.BatchError) as caught:
        run(tasks, tmp_path, executor)
    message = str(caught.value)
    assert message.startswith("3 of 6 tasks are not done, because a worker or its connection was lost: BrokenProcessPool")
    assert "number 4: was running, or waiting to run" in message
    assert f"3 results are kept in {tmp_path}; calling again with a new executor and the same folder" in message
    assert squares(caught.value.results) == [1, 4, 9]
    assert squares(run(requests(markers, range(1, 7)), tmp_path)) == [1, 4, 9, 16, 25, 36]
    assert ran(markers) == [1, 2, 3, 4, 4, 5, 6]


def test_a_full_disk_ends_the_batch_and_keeps_what_was_written(markers, tmp_path, monkeypatch):
    def full(_):
        if len(list(tmp_path.glob("*.json"))) == 2:
            raise OSError(28, "no space left")

    monkeypatch.setattr("stimdose.files.os.fsync", full)
    with pytest.raises(sd.FitError, match=r"cannot write .* no space") as caught:
        run(requests(markers, range(9)), tmp_path)
    assert f"2 results are kept in {tmp_path}" in caught.value.__notes__[0]
    assert ran(markers) == [0, 1, 2]
    assert len(list(tmp_path.glob("*.json"))) == 2
    assert not list(tmp_path.glob(".*.tmp"))


def test_a_folder_that_is_a_file_is_refused(markers, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(sd.FitError, match="cannot use the folder"):
        run(requests(markers, [1]), tmp_path / "file")


def test_only_as_many_tasks_are_submitted_as_there_are_workers(markers):
    class Counting(ThreadPoolExecutor):
        futures, most = [], 0

        def submit(self, *arguments):
            self.futures.append(super().submit(*arguments))
            self.most = max(self.most, sum(not future.done() for future in self.futures))
            return self.futures[-1]

    with Counting(3) as executor:
        assert squares(run(requests(markers, range(40), seconds=0.005), executor=executor)) == [n * n for n in range(40)]
    assert executor.most == 3


def test_a_pool_and_a_cluster_give_the_same_files_as_this_process(pool, markers, tmp_path):
    distributed = pytest.importorskip("distributed")
    tasks = requests(markers, range(12), seconds=0.01)
    here, there, cluster = tmp_path / "here", tmp_path / "pool", tmp_path / "cluster"
    run(tasks, here)
    run(tasks, there, pool)
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as machines,
        distributed.Client(machines) as client,
    ):
        executor = client.get_executor(pure=False)
        assert squares(run(tasks, cluster, executor)) == [n * n for n in range(12)]
        assert ran(markers) == sorted(3 * list(range(12)))
        with pytest.raises(sd.BatchError, match="number 20: 20 cannot be fitted") as caught:
            run(requests(markers, [20], does="fail") + tasks + requests(markers, [13]), cluster, executor)
        assert squares(caught.value.results) == [n * n for n in (*range(12), 13)]
        assert ran(markers) == sorted([*(3 * list(range(12))), 13, 20])
        assert squares(run(requests(markers, [4, 3]), executor=executor)) == [16, 9]
    contents = [{path.name: path.read_bytes() for path in folder.iterdir()} for folder in (here, there, cluster)]
    contents[2].pop(f"{requests(markers, [13])[0].key}.json")
    assert contents[0] == contents[1] == contents[2]
    assert len(contents[0]) == 12


SCRIPT = """
import signal
import sys
from pathlib import Path

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what runs in the background with SIGINT ignored
sys.path.insert(0, sys.argv[1])
from test_batches import batches, requests, run
markers, folder = Path(sys.argv[2]), Path(sys.argv[3])
tasks = requests(markers, range(3), seconds=0.05) + requests(markers, range(3, 8), seconds=float(sys.argv[5]))
if sys.argv[4] == "pool":
    with batches.pool(2) as executor:
        run(tasks, folder, executor)
else:
    run(tasks, folder)
"""


def start(markers: Path, folder: Path, where: str, seconds: float) -> subprocess.Popen:
    """A batch of 8 tasks in another process, whose last 5 take so long; returns when at least 3 are on disk."""
    arguments = [sys.executable, "-c", SCRIPT, str(HERE), str(markers), str(folder), where, str(seconds)]
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, start_new_session=True)
    for _ in range(2000):
        if len(list(folder.glob("*.json"))) >= 3 and len(list(markers.iterdir())) > 3:
            return process
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    raise AssertionError("the batch did not get on")


def is_alive(group: int) -> bool:
    """Whether any process of a group lives."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("where", ["here", "pool"])
def test_a_batch_that_is_killed_computes_only_what_is_missing(where, markers, tmp_path):
    folder, undisturbed = tmp_path / "batch", tmp_path / "undisturbed"
    process = start(markers, folder, where, seconds=0.3)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stderr.close()
    finished = {path.name: path.read_bytes() for path in folder.glob("*.json")}
    assert 3 <= len(finished) < 8
    for _ in range(300):  # workers end with the process that started them
        if not is_alive(process.pid):
            break
        time.sleep(0.01)
    else:
        os.killpg(process.pid, signal.SIGKILL)
        raise AssertionError("workers outlive a killed batch")
    for marker in markers.iterdir():
        marker.unlink()
    tasks = requests(markers, range(8))
    results = run(tasks, folder)
    assert ran(markers) == [task.number for task in tasks if f"{task.key}.json" not in finished]
    assert list(results) == list(run(tasks, undisturbed))
    assert {path.name: path.read_bytes() for path in folder.glob("*.json")} == {
        path.name: path.read_bytes() for path in undisturbed.iterdir()
    }


@pytest.mark.parametrize("where", ["here", "pool"])
def test_ctrl_c_ends_a_batch_promptly_and_says_how_to_go_on(where, markers, tmp_path):
    folder = tmp_path / "batch"
    process = start(markers, folder, where, seconds=60)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal sends it
    try:
        _, message = process.communicate(timeout=5)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert process.returncode != 0
    assert "KeyboardInterrupt" in message
    assert f"3 results are kept in {folder}; calling again with the same folder computes only what is missing" in message
    assert len(list(folder.iterdir())) == 3
    assert len(ran(markers)) in ((4,) if where == "here" else (4, 5))


@pytest.fixture
def clock(monkeypatch):
    """A clock that only tasks move."""
    now = [1000.0]
    monkeypatch.setattr(batches, "time", types.SimpleNamespace(monotonic=lambda: now[0], time=time.time))
    return now


def test_progress_tells_found_failed_elapsed_and_left(clock, markers, tmp_path, capsys):
    def slow(request):
        clock[0] += 45
        return compute(request)

    settings = {"save": save, "load": load, "suffix": ".json", "folder": tmp_path}
    run(requests(markers, [0]), tmp_path)
    assert capsys.readouterr().err == ""
    tasks = requests(markers, [0, 1]) + requests(markers, [2], does="fail") + requests(markers, [3, 4])
    with pytest.raises(sd.BatchError):
        batches.run(slow, tasks, **settings)
    assert capsys.readouterr().err.splitlines() == [
        "2 of 5 done (1 found), 1 failed, 0:01:30 elapsed, 0:01:30 left",  # a log has at most one line a minute
        "4 of 5 done (1 found), 1 failed, 0:03:00 elapsed",
    ]
    batches.run(compute, requests(markers, [0, 1]), **settings)
    assert capsys.readouterr().err == "2 of 2 done (2 found), 0:00:00 elapsed\n"


def test_on_a_terminal_the_line_is_drawn_anew(clock, markers, monkeypatch, capsys):
    def slow(request):
        clock[0] += 1
        return compute(request)

    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    batches.run(slow, requests(markers, range(3)), save=save, load=load, suffix=".json")
    out, err = capsys.readouterr()
    assert out == ""
    assert "1 of 3 done, 0:00:01 elapsed, 0:00:02 left" in err
    assert "\x1b[2K" in err  # the line is erased
    assert err.count("\n") == 1
