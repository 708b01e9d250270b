"""The measurements of docs/reliability.md, a few of each: kills, stops, two at once, full disks, the network, seeds. In new processes."""

import shutil
import sys
from pathlib import Path

import pytest
from conftest import benchmark_module

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="processes are killed and traced as on Linux"),
    pytest.mark.filterwarnings("ignore::stimdose.ConvergenceWarning"),  # short fits
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),  # of children that are killed
]


@pytest.fixture(scope="module")
def reliability():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
        yield benchmark_module("reliability")


@pytest.fixture(scope="module")
def inputs(reliability, tmp_path_factory):
    return reliability.make_inputs(tmp_path_factory.mktemp("inputs"))


WHOLE = {"old", "new", "part of the old one", "part of the new one"}


@pytest.mark.parametrize("command", ["short_fit_command", "report_command"])
def test_a_command_that_is_killed_leaves_files_of_one_fit(reliability, inputs, command, tmp_path):
    found = reliability.killed(getattr(reliability, command), inputs, tmp_path, 8)
    assert set(found["found"]) <= WHOLE
    assert found["then_run_again"] == "new"
    assert found["left_after_an_hour_and_a_run"] == 0


def test_a_save_that_is_killed_leaves_one_of_the_fits(reliability, inputs, tmp_path):
    found = reliability.killed_saves(inputs, tmp_path, 10)
    assert "neither" not in found["found"]
    assert found["left_after_an_hour_and_a_save"] == 0


def test_a_batch_that_is_killed_goes_on(reliability, inputs, tmp_path):
    found = reliability.killed_batches(inputs, tmp_path, 4)
    assert found["orphans"] == found["computed again"] == 0
    assert found["batches with the same draws as one never killed"] == 4


def test_two_commands_at_once_leave_files_of_one(reliability, inputs, tmp_path):
    found = reliability.two_at_once(inputs, tmp_path, 2)
    for states in (found["fit"], found["report"]):
        assert states.pop("both finished") == 2
        assert set(states) <= {"of the first", "of the second"}


def test_ctrl_c_loses_nothing(reliability, inputs, tmp_path):
    found = reliability.interrupted(inputs, tmp_path, 3)
    for name in ("fit", "report"):
        assert found[name]["with a traceback"] == found[name]["orphans"] == found[name]["temporary folders left"] == 0
        assert not {"mixed", "part of the old one", "part of the new one"} & set(found[name])
    assert found["batch"] == {"said how to go on": 3, "lost": 0, "orphans": 0, "went on to the end": 3}


def test_a_full_disk_leaves_the_earlier_fit_or_has_the_new_one(reliability, inputs, tmp_path):
    found = reliability.full_disk(inputs, tmp_path, 3)
    if "skipped" in found:
        pytest.skip(found["skipped"])
    assert found["with a traceback"] == 0
    assert found.get("old", 0) + found.get("new", 0) == 3
    assert found["exit 1, said so"] >= 1


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
def test_the_system_sees_no_request(reliability, inputs, tmp_path):
    found = reliability.network(inputs, tmp_path)
    assert found.pop("without any network") == "works"
    assert found.pop("a request to this machine, which must be seen") > 0
    assert set(found.values()) == {0}


def test_seeds_give_the_same_bits_in_new_processes(reliability, inputs, tmp_path):
    found = reliability.seeds(inputs, tmp_path)
    assert found["differ"] == found["files_that_differ"] == []
