"""What becomes of files when a process is killed or stopped, when two write at once, when a disk is full, when bytes are damaged;
whether anything leaves the machine, and whether seeds give the same bits in new processes. Linux only.

Prints one JSON line for each subject. Usage: python benchmarks/reliability.py [SUBJECT ...] [--times N] [--smoke]
"""

import argparse
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import xarray as xr
from common import say, show, timed
from tables import bell_numbers, trials_table

import stimdose as sd
from stimdose.files import STALE
from stimdose.manifest import posterior_sha256
from stimdose.storage import SEAL, write_arrays

HERE = Path(__file__)
DRAWS = ("--draws", "100", "--tune", "100", "--quiet")
WARNINGS = {"PYTHONWARNINGS": "ignore", "MPLBACKEND": "Agg"}


def make_inputs(folder: Path) -> dict[str, Path]:
    """A table, two models, and two fits of one."""
    table = trials_table(bell_numbers(8)).assign(direction="higher", measure="SMD", comparator="sham", design="parallel")
    table.to_csv(folder / "trials.csv", index=False)
    model = sd.Model(name="bell", intercept=sd.Intercept(), dose=[sd.Dose(column="frequency_hz", shape="bell")])
    model.save(folder / "model.toml")
    sd.Model(name="mean", intercept=sd.Intercept()).save(folder / "mean.toml")
    found = {"trials": folder / "trials.csv", "model": folder / "model.toml", "mean": folder / "mean.toml"}
    for seed in (1, 2):
        found[f"fit {seed}"] = sd.fit(model, sd.read_trials(table), seed=seed, progress=False).save(folder / f"{seed}.nc")
    return found


def fit_command(inputs: dict[str, Path], seed: int, out: Path) -> list[str]:
    words = ["fit", str(inputs["model"]), str(inputs["trials"]), "-o", str(out), "--seed", str(seed), *DRAWS]
    return [sys.executable, "-m", "stimdose", *words]


def short_fit_command(inputs: dict[str, Path], seed: int, out: Path) -> list[str]:
    """A fit with few figures, to be killed often."""
    return fit_command(inputs | {"model": inputs["mean"]}, seed, out)


def report_command(inputs: dict[str, Path], seed: int, out: Path) -> list[str]:
    quick = ("--no-check", "--no-priors", "--no-ecology", "--quiet")
    return [sys.executable, "-m", "stimdose", "report", str(inputs[f"fit {seed}"]), "-o", str(out), *quick]


def start(command: list[str], **more) -> subprocess.Popen:
    """A command in a process group of its own, which hears Ctrl-C even where this one was started in the background."""
    hear = lambda: signal.signal(signal.SIGINT, signal.default_int_handler)
    settings = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True, "env": os.environ | WARNINGS} | more
    return subprocess.Popen(command, start_new_session=True, preexec_fn=hear, **settings)


def finish(command: list[str]) -> float:
    """Seconds of a command that must succeed."""
    done, seconds = timed(start(command).communicate)
    if "Error" in done[1]:
        raise RuntimeError(done[1])
    return seconds


def snapshot(folder: Path) -> dict[str, bytes]:
    """Content by name of all files of a folder that users see."""
    files = [path for path in folder.rglob("*") if path.is_file() and ".stimdose" not in path.parts]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def state_of(folder: Path, old: dict[str, bytes], new: dict[str, bytes]) -> str:
    """Which of two sets of files a folder holds: "old", "new", "part of ..." where some are lacking, "mixed" where both are there."""
    found = snapshot(folder)
    for name, known in (("old", old), ("new", new)):
        if found == known:
            return name
        if found.items() <= known.items():
            return f"part of the {name} one"
    return "mixed"


def moments(life: float, count: int) -> list[tuple[str, float]]:
    """When to kill: half at any time of the life of the process; the others from when files are written: as they are, and as they
    are moved."""
    rng = random.Random(1)
    anywhere = [("any time", rng.uniform(0, life)) for _ in range(count // 2)]
    writing = [("writing", rng.uniform(0, 0.25 * life)) for _ in range(count // 4)]
    return anywhere + writing + [("moving", rng.uniform(0, 0.001)) for _ in range(count - count // 2 - count // 4)]


def wait_for(happened: Callable[[], bool], process: subprocess.Popen, pause: float) -> None:
    while process.poll() is None and not happened():
        time.sleep(pause)


def kill_at(process: subprocess.Popen, folder: Path, when: str, delay: float, how=signal.SIGKILL) -> None:
    book = folder / ".stimdose"
    listed = book / "files.json"
    before = listed.stat().st_mtime_ns if listed.exists() else 0
    if when == "writing":
        wait_for(lambda: any(book.glob("tmp*")), process, 0.005)
    if when == "moving":  # the list is written when old files are gone, before new ones come
        wait_for(lambda: listed.exists() and listed.stat().st_mtime_ns != before, process, 0.0001)
    end = time.perf_counter() + delay
    while process.poll() is None and time.perf_counter() < end:
        time.sleep(0.0001)
    if process.poll() is None:
        os.killpg(process.pid, how)


def killed(command: Callable, inputs: dict[str, Path], scratch: Path, kills: int) -> dict:
    """Kill a command that writes over an earlier result, and count what is there then."""
    old, new, folder = scratch / "old", scratch / "new", scratch / "out"
    finish(command(inputs, 1, old))
    life = finish(command(inputs, 2, new))
    states, leftovers, fell = Counter(), Counter(), Counter()
    for when, delay in moments(life, kills):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(old, folder)
        (folder / "notes.txt").write_text("the user's own")
        process = start(command(inputs, 2, folder))
        kill_at(process, folder, when, delay)
        process.communicate()
        if process.returncode != -signal.SIGKILL:
            fell["after the end"] += 1
        assert (folder / "notes.txt").read_text() == "the user's own"
        (folder / "notes.txt").unlink()
        state = state_of(folder, snapshot(old), snapshot(new))
        states[state] += 1
        stages = len(list((folder / ".stimdose").glob("tmp*")))
        leftovers[stages] += 1
        fell["while files were written or moved"] += bool(stages)
        if (folder / "fit.nc").read_bytes() not in ((old / "fit.nc").read_bytes(), (new / "fit.nc").read_bytes()):
            states["fit.nc neither old nor new"] += 1
        sd.load_fit(folder / "fit.nc")
        say(when, round(delay, 4), state)
    make_stale(folder)
    finish(command(inputs, 2, folder))
    return {
        "kills": kills,
        "life_s": round(life, 1),
        "fell": dict(fell),
        "found": dict(states),
        "temporary_folders_left": dict(leftovers),
        "then_run_again": state_of(folder, snapshot(old), snapshot(new)),
        "left_after_an_hour_and_a_run": len(list((folder / ".stimdose").glob("tmp*"))),
    }


def make_stale(folder: Path) -> None:
    """What was left looks as if an hour had passed."""
    for path in folder.rglob("*tmp*"):
        os.utime(path, (time.time() - 2 * STALE,) * 2)


def killed_saves(inputs: dict[str, Path], scratch: Path, kills: int) -> dict:
    """Kill a process that saves one of two fits after the other over the same file: every other time while it writes."""
    rng, path, found = random.Random(2), scratch / "saved" / "fit.nc", Counter()
    path.parent.mkdir()
    fits = [sd.load_fit(inputs[f"fit {seed}"]) for seed in (1, 2)]
    wholes = {inputs[f"fit {seed}"].read_bytes(): f"fit {seed}" for seed in (1, 2)}
    shutil.copy(inputs["fit 1"], path)
    temporary = lambda: set(path.parent.glob(".*.tmp"))
    for k in range(kills):
        before = temporary()
        child = os.fork()
        while child == 0:
            for fit in fits:
                fit.save(path)
        time.sleep(rng.uniform(0, 1))
        while k % 2 and not temporary() - before:
            time.sleep(0.0001)
        time.sleep(rng.uniform(0, 0.01))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        found["while the file was written"] += len(temporary() - before)
        found[wholes.get(path.read_bytes(), "neither")] += 1
        sd.load_fit(path)
    left = len(temporary())
    make_stale(path.parent)
    fits[0].save(path)
    return {"kills": kills, "found": dict(found), "temporary_files_left": left, "left_after_an_hour_and_a_save": len(temporary())}


BATCH = """
import sys, stimdose as sd
if __name__ == "__main__":
    fit = sd.load_fit(sys.argv[1])
    tasks = [fit.request(seed=seed, draws=200, tune=200, most_draws=0) for seed in range(int(sys.argv[3]))]
    if sys.argv[4] == "0":
        sd.batch(tasks, folder=sys.argv[2])
    else:
        with sd.batches.pool(int(sys.argv[4])) as executor:
            sd.batch(tasks, folder=sys.argv[2], executor=executor)
"""


def killed_batches(inputs: dict[str, Path], scratch: Path, kills: int, tasks: int = 12) -> dict:
    """Kill a batch, in one process and in a pool, go on, and compare with one that was never killed."""
    rng, script, counted = random.Random(3), scratch / "batch.py", Counter()
    script.write_text(BATCH)
    command = lambda folder, workers: [sys.executable, script, inputs["fit 1"], folder, tasks, workers]
    words = lambda folder, workers: list(map(str, command(folder, workers)))
    whole = scratch / "whole"
    life = finish(words(whole, 0))
    for k in range(kills):
        folder, workers = scratch / f"batch {k}", 2 * (k % 2)
        process = start(words(folder, workers))
        time.sleep(rng.uniform(0.2, 1) * life * (1 + workers))
        process.kill()
        process.communicate()
        counted["orphans"] += not ended(process.pid)
        kept = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.npz")}
        counted["finished when killed"] += len(kept)
        counted["temporary files left"] += len(list(folder.glob(".*.tmp")))
        finish(words(folder, 0))
        counted["computed again"] += sum(
            path.stat().st_mtime_ns != kept.get(path.name, path.stat().st_mtime_ns) for path in folder.glob("*.npz")
        )
        same = [draws_of(path) == draws_of(folder / path.name) for path in whole.glob("*.npz")]
        counted["batches with the same draws as one never killed"] += all(same) and len(same) == len(list(folder.glob("*.npz")))
    return {"kills": kills, "tasks": tasks} | counted


def ended(group: int, seconds: float = 10) -> bool:
    """Whether all processes of a group end within some seconds."""
    for _ in range(int(seconds / 0.05)):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    os.killpg(group, signal.SIGKILL)
    return False


def two_at_once(inputs: dict[str, Path], scratch: Path, rounds: int) -> dict:
    """Two fits, then two reports, written to one folder at once."""
    found = {}
    for name, command in (("fit", fit_command), ("report", report_command)):
        alone = [scratch / f"{name} {seed}" for seed in (1, 2)]
        for seed, folder in zip((1, 2), alone, strict=True):
            finish(command(inputs, seed, folder))
        states = Counter()
        for k in range(rounds):
            folder = scratch / f"both {name} {k}"
            pair = [start(command(inputs, seed, folder)) for seed in (1, 2)]
            states["both finished"] += all(
                "Error" not in process.communicate()[1] and process.returncode == 0 for process in pair
            )
            states[state_of(folder, *map(snapshot, alone)).replace("old", "of the first").replace("new", "of the second")] += 1
        found[name] = dict(states)
    return {"rounds": rounds} | found


def interrupted(inputs: dict[str, Path], scratch: Path, rounds: int) -> dict:
    """Ctrl-C at random moments of a fit, a report and a batch in a pool."""
    found = {}
    script = scratch / "batch.py"
    script.write_text(BATCH)
    for name, command in (("fit", fit_command), ("report", report_command)):
        old, new, folder = scratch / "old", scratch / "new", scratch / "out"
        for path in (old, new, folder):
            shutil.rmtree(path, ignore_errors=True)
        finish(command(inputs, 1, old))
        life, states = finish(command(inputs, 2, new)), Counter()
        rng = random.Random(4)
        for _ in range(rounds):
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(old, folder)
            process = start(command(inputs, 2, folder))
            time.sleep(rng.uniform(0.3, 1) * life)
            os.killpg(process.pid, signal.SIGINT)
            _, err = process.communicate()
            states["with a traceback"] += "Traceback" in err
            code = 130 if process.returncode == -signal.SIGINT else process.returncode  # as a shell sees it
            states[f"exit {code}" + (", said so" if "Stopped before it was done" in err else "")] += 1
            states["orphans"] += not ended(process.pid)
            states["temporary folders left"] += len(list((folder / ".stimdose").glob("tmp*")))
            if (kept := folder / "unfinished-fit.nc").exists():
                states["new fit kept as unfinished-fit.nc"] += sd.load_fit(kept) is not None
                kept.unlink()
            states[state_of(folder, snapshot(old), snapshot(new))] += 1
        found[name] = dict(states)
    states = Counter()
    for k in range(rounds):
        folder = scratch / f"stopped {k}"
        process = start([sys.executable, str(script), str(inputs["fit 1"]), str(folder), "12", str(2 * (k % 2))])
        wait_for(lambda folder=folder: len(list(folder.glob("*.npz"))) >= 2, process, 0.01)
        kept = len(list(folder.glob("*.npz")))
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate()
        states["said how to go on"] += "calling again with the same folder computes only what is missing" in err
        states["lost"] += max(0, kept - len(list(folder.glob("*.npz"))))
        states["orphans"] += not ended(process.pid)
        finish([sys.executable, str(script), str(inputs["fit 1"]), str(folder), "12", "0"])
        states["went on to the end"] += len(list(folder.glob("*.npz"))) == 12
    return {"rounds": rounds} | found | {"batch": dict(states)}


def draws_of(path: Path) -> str:
    """SHA-256 of the draws of a file, or what an error says."""
    try:
        return posterior_sha256(sd.load_fit(path))
    except sd.FitError:
        return "refused"


def damaged(inputs: dict[str, Path], scratch: Path, flips: int) -> dict:
    """Bits turned over at random places, and files cut off at random lengths; and what the checksum costs."""
    rng, found = random.Random(5), {}
    fit = sd.load_fit(inputs["fit 1"])
    sealed = fit.save(scratch / "sealed.nc")
    arrays = scratch / "batch.npz"
    write_arrays(arrays, fit.tree, fit.trials)
    bare = scratch / "bare.nc"
    bare.write_bytes(sealed.read_bytes().rpartition(SEAL)[0])
    for name, path in (("nc", sealed), ("npz of a batch", arrays)):
        whole, known, target = path.read_bytes(), draws_of(path), scratch / f"damaged{path.suffix}"
        for kind in ("flipped", "cut"):
            counted = Counter()
            for _ in range(flips):
                place = rng.randrange(len(whole))
                content = bytearray(whole[: place if kind == "cut" else None])
                if kind == "flipped":
                    content[place] ^= 1 << rng.randrange(8)
                target.write_bytes(content)
                draws = draws_of(target)
                counted[{"refused": "refused", known: "same draws"}.get(draws, "other draws")] += 1
            found[f"{name}, {kind}"] = dict(counted)
    found["without the checksum, flipped"] = in_a_child_each(bare, scratch / "child.nc", flips, rng)
    seconds = {"save_s": [], "load_s": [], "hash_s": []}
    content = sealed.read_bytes()
    for _ in range(15):
        seconds["save_s"].append(timed(fit.save, sealed)[1])
        seconds["load_s"].append(timed(sd.load_fit, sealed)[1])
        seconds["hash_s"].append(timed(hashlib.sha256, content)[1])
    costs = {name: round(float(np.median(values)), 4) for name, values in seconds.items()}
    return {"tries": flips, "mb": round(len(content) / 1e6, 1)} | found | costs


def in_a_child_each(path: Path, target: Path, flips: int, rng: random.Random) -> dict:
    """What netCDF makes of damage by itself: each file is read in a process that may crash."""

    def digest(name: Path) -> str:
        with xr.open_datatree(name, engine="h5netcdf") as tree:
            return hashlib.sha256(b"".join(v.values.tobytes() for v in tree["posterior"].load().data_vars.values())).hexdigest()

    whole, known, counted = path.read_bytes(), digest(path), Counter()
    for _ in range(flips):
        content = bytearray(whole)
        content[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        target.write_bytes(content)
        child = os.fork()
        if child == 0:
            signal.alarm(30)  # a reader that goes round in circles
            try:
                os._exit(0 if digest(target) == known else 3)
            except BaseException:
                os._exit(4)
        status = os.waitpid(child, 0)[1]
        counted[
            {0: "same draws", 3: "other draws, not noticed", 4: "an error"}.get(os.waitstatus_to_exitcode(status), "a crash")
        ] += 1
    return dict(counted)


def full_disk(inputs: dict[str, Path], scratch: Path, sizes: int) -> dict:
    """A fit over an earlier one on disks that are too small, each by another amount. Needs the right to mount one."""
    disk, states = scratch / "disk", Counter()
    disk.mkdir()
    earlier = scratch / "earlier"
    finish(fit_command(inputs, 1, earlier))
    new = scratch / "later"
    finish(fit_command(inputs, 2, new))
    room = sum(len(content) + 4096 for content in snapshot(earlier).values())
    for k in range(sizes):
        size = int(room * (1.1 + 1.1 * k / max(sizes - 1, 1)))  # from room for little more than the earlier one to room for both
        if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk], capture_output=True).returncode:
            return {"skipped": "no disk of a stated size can be mounted here"}
        try:
            folder = disk / "out"
            shutil.copytree(earlier, folder)
            process = start(fit_command(inputs, 2, folder))
            _, err = process.communicate()
            kept = folder / "unfinished-fit.nc"
            states["new fit kept as unfinished-fit.nc"] += kept.exists() and sd.load_fit(kept) is not None
            kept.unlink(missing_ok=True)
            states[f"exit {process.returncode}" + (", said so" if "No space left" in err else "")] += 1
            states["with a traceback"] += "Traceback" in err
            states[state_of(folder, snapshot(earlier), snapshot(new))] += 1
        finally:
            subprocess.run(["umount", "-l", disk], check=True)
    return {"sizes": sizes} | states


ASK = """
import socket
with socket.socket() as one:
    one.connect_ex(("127.0.0.1", 9))
"""
USE = """
import sys, warnings, stimdose as sd
warnings.simplefilter("ignore", sd.ConvergenceWarning)  # short fits
folder = sys.argv[1]
model, trials = sd.load_model(folder + "/model.toml"), sd.read_trials(folder + "/trials.csv")
fit = sd.load_fit(sd.fit(model, trials, seed=1, draws=100, tune=200, progress=False).save(folder + "/used.nc"))
sd.optimum(fit, "frequency_hz")
sd.figures.save(sd.figures.dose_response(sd.curve(fit, "frequency_hz")), folder + "/figure")
fit.refit(seed=2)
sd.report(fit, folder + "/report", priors=None, check=False, ecology=False)
"""


def network(inputs: dict[str, Path], scratch: Path, rounds: int = 1) -> dict:
    """Calls to the system that open, connect or use a socket of the internet."""
    if not shutil.which("strace"):
        return {"skipped": "strace is not installed"}
    folder, found = inputs["model"].parent, {}
    commands = {
        "a request to this machine, which must be seen": [sys.executable, "-c", ASK],
        "import, fit, save, load, figures, refit, report": [sys.executable, "-c", USE, str(folder)],
        "stimdose fit": fit_command(inputs, 1, scratch / "traced"),
        "stimdose report": report_command(inputs, 1, scratch / "traced report"),
    }
    for name, command in commands.items():
        log = scratch / "trace"
        finish(["strace", "-f", "-qq", "-e", "trace=%network", "-o", str(log), *command])
        lines = log.read_text().splitlines()
        found[name] = len([line for line in lines if re.search(r"\bAF_INET6?\b", line)])
    alone = subprocess.run(["unshare", "--net", sys.executable, "-c", USE, str(folder)], capture_output=True)
    return found | {"without any network": "works" if alone.returncode == 0 else alone.stderr.decode()[-300:]}


SEEDS = """
import hashlib, json, sys, warnings
from pathlib import Path
import numpy as np, stimdose as sd
from stimdose.manifest import posterior_sha256
warnings.simplefilter("ignore", sd.ConvergenceWarning)  # short fits

def of(values):
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()[:16]

def of_frame(frame):
    return hashlib.sha256(frame.to_csv().encode()).hexdigest()[:16]

if __name__ == "__main__":
    folder, out, cores, workers = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    model, trials = sd.load_model(folder + "/model.toml"), sd.read_trials(folder + "/trials.csv")
    fit = sd.fit(model, trials, seed=1, cores=cores, progress=False)
    found = {"fit": posterior_sha256(fit), "refit": posterior_sha256(fit.refit(seed=2, cores=cores))}
    tasks = [fit.request(seed=seed, draws=200, tune=200, most_draws=0) for seed in range(4)]
    if workers:
        with sd.batches.pool(workers) as executor:
            fits = sd.batch(tasks, executor=executor, progress=False)
    else:
        fits = sd.batch(tasks, progress=False)
    found["batch"] = [posterior_sha256(one) for one in fits]
    found["curve"] = of(sd.curve(fit, "frequency_hz", kind="new study"))
    found["optimum"] = of_frame(sd.optimum(fit, "frequency_hz").table())
    found["check"] = {name: of_frame(table) for name, table in sd.check(fit).tables.items()}
    sd.report(sd.load_fit(folder + "/1.nc"), out, check=False, ecology=False)
    found["report"] = {path.relative_to(out).as_posix(): of(np.frombuffer(path.read_bytes(), np.uint8))
                       for path in sorted(out.rglob("*")) if path.is_file() and ".stimdose" not in path.parts}
    print(json.dumps(found))
"""


def seeds(inputs: dict[str, Path], scratch: Path, rounds: int = 1) -> dict:
    """The same seeds in new processes that hash differently, on one core and on two, in one process and in a pool."""
    script, found = scratch / "seeds.py", []
    script.write_text(SEEDS)
    for k, (cores, workers) in enumerate(((1, 0), (2, 2), (2, 1))[: rounds + 1]):
        command = [
            sys.executable,
            str(script),
            str(inputs["model"].parent),
            str(scratch / f"seeds {k}"),
            str(cores),
            str(workers),
        ]
        environment = os.environ | WARNINGS | {"PYTHONHASHSEED": str(k + 1)}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        found.append(json.loads(done.stdout.splitlines()[-1]))
    differing = [name for name in found[0] if any(other[name] != found[0][name] for other in found)]
    files = {name for other in found for name in other["report"] if other["report"][name] != found[0]["report"].get(name)}
    return {
        "processes": len(found),
        "same_bits": [name for name in found[0] if name not in differing],
        "differ": differing,
        "files_of_the_report": len(found[0]["report"]),
        "files_that_differ": sorted(files),
    }


SUBJECTS = {
    "kills_fit": (lambda *given: killed(short_fit_command, *given), 100, 4),
    "kills_save": (killed_saves, 100, 3),
    "kills_report": (lambda *given: killed(report_command, *given), 30, 0),
    "kills_batch": (killed_batches, 20, 1),
    "two_at_once": (two_at_once, 10, 0),
    "interrupts": (interrupted, 10, 0),
    "damage": (damaged, 500, 50),
    "full_disk": (full_disk, 10, 0),
    "network": (network, 1, 0),
    "seeds": (seeds, 2, 0),
}
"""What is done, how often, and how often to try it out (0: not)."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("subjects", nargs="*", choices=[[], *SUBJECTS], metavar="SUBJECT", help=", ".join(SUBJECTS))
    parser.add_argument("--times", type=int, help="how often")
    parser.add_argument("--smoke", action="store_true", help="a minute")
    asked = parser.parse_args()
    warnings.filterwarnings("ignore", ".*fork", DeprecationWarning)  # children that are killed, or only read
    with tempfile.TemporaryDirectory() as folder:
        inputs = make_inputs(Path(folder))
        for name in asked.subjects or SUBJECTS:
            do, often, smoke = SUBJECTS[name]
            if times := asked.times or (smoke if asked.smoke else often):
                scratch = Path(folder) / name
                scratch.mkdir()
                found, seconds = timed(do, inputs, scratch, times)
                show({"benchmark": f"reliability {name}", "seconds": round(seconds)} | found)


if __name__ == "__main__":
    main()
