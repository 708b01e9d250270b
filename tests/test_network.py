"""Nothing leaves the machine: no socket is opened, no name is looked up."""

import json
import subprocess
import sys

import pytest
from conftest import make_table

import stimdose as sd

EVENTS = ("socket.", "urllib.Request", "http.client.", "ftplib.", "smtplib.", "webbrowser.")
seen: list[str] | None = None
"""What was asked of the network while a test listened."""


def hear(event: str, arguments: tuple) -> None:
    if seen is not None and event.startswith(EVENTS):
        seen.append(event)


sys.addaudithook(hear)


@pytest.fixture
def asked():
    """What code asks of the network meanwhile."""
    global seen
    seen = []
    yield seen
    seen = None


def test_a_request_would_be_heard(asked):
    import socket

    with pytest.raises(OSError, match=r".*"), socket.socket() as one:
        one.connect(("127.0.0.1", 9))
    assert "socket.connect" in asked


@pytest.mark.filterwarnings("ignore::stimdose.ConvergenceWarning")  # a short fit
def test_fits_figures_and_commands_ask_nothing_of_the_network(bell_model, run, asked, tmp_path):
    make_table().to_csv(tmp_path / "t.csv", index=False)
    trials = sd.read_trials(tmp_path / "t.csv")
    fit = sd.fit(bell_model, trials, seed=1, draws=50, tune=200, progress=False)
    fit = sd.load_fit(fit.save(tmp_path / "fit.nc"))
    sd.batch([fit.request(seed=1, draws=50, most_draws=0)], folder=tmp_path / "batch", progress=False)
    sd.figures.save(sd.figures.dose_response(sd.curve(fit, "sessions")), tmp_path / "figure", ["png", "pdf", "svg"])
    for words in (["optimum", "frequency_hz"], ["curve", "sessions"]):
        assert run(words[0], str(tmp_path / "fit.nc"), words[1], "-o", str(tmp_path / "out"))[0] == 0
    assert run("check-table", str(tmp_path / "t.csv"))[0] == 0
    assert asked == []


IMPORTS = """
import json, sys
seen = []
sys.addaudithook(lambda event, given: event.startswith(("socket.connect", "socket.get", "socket.send", "urllib")) and seen.append(event))
import stimdose as sd, stimdose.cli
sd.read_trials, sd.load_model, sd.load_fit
print(json.dumps(seen))
"""


def test_an_import_asks_nothing_of_the_network():
    done = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
