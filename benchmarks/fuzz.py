"""Every reader, given files changed at random (`mutations`, `mutated_files`): it ends in an answer or an error of stimdose, and in nothing else.

Each input has a time and a memory limit, and any warning that is not of stimdose counts as a crash. Inputs follow from the seed, the reader and
their number: `--only NUMBER` reads one of them again. Readers work in processes of their own, so that one that dies is counted too.
What is accepted is used: a spec goes through TOML and back, a table is audited, a fit is summed up.

Prints one JSON line. Usage: python benchmarks/fuzz.py [--seconds 60] [--seed 1] [--reader toml|priors|csv|xlsx|manifest|fit] [--smoke]
--seconds: of the processor, in reading, for each reader: how busy the machine is does not matter. --smoke: 12 s for all of them, and 10 s
or so to start their processes.
"""

import argparse
import faulthandler
import hashlib
import multiprocessing
import os
import resource
import signal
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import mutated_files
import mutations
from common import peak_mib, say, show

import stimdose as sd
from stimdose.completeness import completeness
from stimdose.manifest import NAME, TABLE, read_manifest
from stimdose.specs import model_from_toml
from stimdose.storage import check_arrays, write_arrays
from stimdose.tables import read_table

ROOT = Path(__file__).parents[1]
LIMIT_S, WAIT_S, LIMIT_MIB = 20.0, 600.0, 3000
"""For one input: seconds of the processor; seconds on the wall, at whatever priority this runs; memory beyond what was taken before."""
LONGEST = 20_000
"""Characters of a message: more is no message."""


@dataclass(frozen=True)
class Reader:
    """seeds: sound inputs, made once in each process. make: an input from them. read: writes it into a folder and reads it; True if it
    was accepted."""

    seeds: Callable[[], object]
    make: Callable[[Random, object], object]
    read: Callable[[Path, object, Random], bool]


def read_spec(folder: Path, content: bytes, _) -> bool:
    (folder / "model.toml").write_bytes(content)
    model = sd.load_model(folder / "model.toml")
    again = model_from_toml(model.to_toml())
    assert again == model
    sd.prior_table(model)
    return True


def read_priors(folder: Path, content: bytes, random: Random) -> bool:
    (folder / "set.toml").write_bytes(content)
    found = sd.load_prior_set(folder / "set.toml")
    found.save(folder / "again.toml")
    assert sd.load_prior_set(folder / "again.toml") == found
    model = sd.load_model(random.choice(["frequency-bell", "sessions-by-phase", "stimulation"]))
    model.with_priors(found.for_model(model))
    return True


def read_csv(folder: Path, content: bytes, random: Random, name: str = "table.csv") -> bool:
    """Rows that are read are rows of the table, and no row is lost."""
    path, decimal = folder / name, random.choice("..,")
    path.write_bytes(content)
    stated = (
        {"direction": "higher", "measure": "SMD", "comparator": "sham", "design": "parallel"} if random.random() < 0.5 else {}
    )
    trials = sd.read_trials(path, missing="keep", decimal=decimal, **stated)
    assert list(trials.table["row"]) == list(read_table(path, decimal=decimal)["row"])
    str(trials.gaps()), trials.audit().to_csv(), completeness(trials), trials.notes, repr(trials)
    try:
        whole = sd.read_trials(path, missing="drop", decimal=decimal, **stated)
    except sd.TrialsError:  # nothing is left
        return True
    left_out = {problem.row for problem in whole.dropped}
    assert set(whole.table["row"]) | left_out == set(trials.table["row"])
    assert not set(whole.table["row"]) & left_out
    return True


def read_excel(folder: Path, content: bytes, random: Random) -> bool:
    return read_csv(folder, content, random, "table.xlsx")


def read_report(folder: Path, content: tuple[bytes, bytes], _) -> bool:
    (folder / NAME).write_bytes(content[0])
    (folder / TABLE).write_bytes(content[1])
    read_manifest(folder).request()
    return True


def read_fit(folder: Path, content: tuple[str, bytes], _) -> bool:
    path = folder / content[0]
    path.write_bytes(content[1])
    if path.suffix == ".npz":
        check_arrays(path)
    fit = sd.load_fit(path)
    fit.summary(), fit.diagnosis.message, fit.trials.notes
    return True


def specs() -> list[str]:
    return [path.read_text(encoding="utf-8") for path in sorted((ROOT / "models").glob("*.toml"))]


def prior_sets() -> list[str]:
    return [path.read_text(encoding="utf-8") for path in sorted((ROOT / "models" / "priors").glob("*.toml"))]


def tables() -> tuple[list[list[list[str]]], list[str]]:
    """The shipped tables as lists of cells, and all names of columns."""
    import csv

    found = []
    for path in sorted((ROOT / "data").glob("*/trials.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            found.append(list(csv.reader(file)))
    return found, [*sd.COLUMNS, "my column", "Study", "effect ", "", *mutations.TEXTS]


def small_fit() -> sd.Fit:
    """A fit of a few draws, to have a file of every part."""
    trials = sd.load_dataset("rtms_upper_limb_strata").subset(stratified_by="sessions")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sd.ConvergenceWarning)  # a fit of a few draws
        return sd.fit(sd.load_model("sessions-by-phase"), trials, seed=1, draws=4, tune=10, chains=2, cores=1, progress=False)


def fits() -> list[tuple[str, bytes]]:
    """The same fit as it is saved, and as a batch keeps it."""
    fit = small_fit()
    with tempfile.TemporaryDirectory() as folder:
        files = fit.save(Path(folder) / "fit.nc"), write_arrays(Path(folder) / "fit.npz", fit.tree, fit.trials)
        return [(path.name, path.read_bytes()) for path in files]


def changed_fit(random: Random, seeds: list[tuple[str, bytes]]) -> tuple[str, bytes]:
    name, content = random.choice(seeds)
    change = mutated_files.netcdf_file if name.endswith(".nc") else mutated_files.arrays_file
    return name, change(random, content)


def reports() -> tuple[bytes, bytes]:
    from stimdose.manifest import write_manifest, write_table

    fit = small_fit()
    with tempfile.TemporaryDirectory() as name:
        table = write_table(fit.trials, Path(name))
        manifest = write_manifest(fit, Path(name), {"priors": []}, [])
        return manifest.read_bytes(), table.read_bytes()


def changed_report(random: Random, seeds: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    """One of the two files changed; if it is the table, mostly with the sum that the manifest states."""
    manifest, table = seeds
    if random.random() < 0.5:
        return mutations.json_file(random, manifest), table
    new = mutations.json_file(random, table)
    sums = [hashlib.sha256(content).hexdigest().encode() for content in (table, new)]
    return manifest.replace(*sums) if random.random() < 0.95 else manifest, new


READERS = {
    "toml": Reader(specs, mutations.toml, read_spec),
    "priors": Reader(prior_sets, mutations.toml, read_priors),
    "csv": Reader(tables, lambda random, seeds: mutations.csv_file(random, *seeds), read_csv),
    "xlsx": Reader(tables, lambda random, seeds: mutated_files.excel_file(random, *seeds), read_excel),
    "manifest": Reader(reports, changed_report, read_report),
    "fit": Reader(fits, changed_fit, read_fit),
}


def source(seed: int, reader: str, number: int) -> Random:
    return Random(f"{seed} {reader} {number}")


def attempt(reader: Reader, content: object, random: Random) -> tuple[bool, str]:
    """Whether an input is accepted, and how it crashed, or nothing."""
    before = peak_mib()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", sd.StimdoseWarning)  # remarks on what is read are answers
        try:
            accepted, crash = reader.read(Path(folder), content, random), ""
        except sd.StimdoseError as error:
            text = str(error)
            crash = "a message without words" if not text.strip() else ""
            accepted, crash = False, f"a message of {len(text)} characters: {text[:200]}" if len(text) > LONGEST else crash
        except Exception:
            accepted, crash = False, "".join(traceback.format_exc().splitlines(keepends=True)[-14:])
    if (more := peak_mib() - before) > LIMIT_MIB:
        crash = f"{crash}took {more:.0f} MiB"
    return accepted, crash


def work(name: str, seed: int, first: int, seconds: float, state, crashes) -> None:
    """Read inputs from number `first` on, until the seconds are spent. state: number, when it was begun, accepted, own errors, seconds of
    the slowest, its number, MiB at most, seconds spent."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (2**33, 2**33))  # so that nothing else on the machine suffers
    faulthandler.register(signal.SIGPROF, chain=True)  # says where it hangs, and ends it
    reader = READERS[name]
    seeds, number = reader.seeds(), first
    while state[7] < seconds:
        state[0], draw = number, source(seed, name, number)
        content = reader.make(draw, seeds)
        state[1], started = time.monotonic(), time.process_time()
        signal.setitimer(signal.ITIMER_PROF, LIMIT_S)
        accepted, crash = attempt(reader, content, draw)
        signal.setitimer(signal.ITIMER_PROF, 0)
        state[1], taken = 0.0, time.process_time() - started
        state[2 if accepted else 3] += not crash
        state[7] += taken
        if taken > state[4]:
            state[4], state[5] = taken, number
        state[6], number = peak_mib(), number + 1
        if crash:
            crashes.put((number - 1, crash))
    state[0] = number


def fuzz(name: str, seed: int, seconds: float) -> dict:
    """What becomes of the inputs of one reader."""
    context = multiprocessing.get_context("spawn")
    state, crashes, failures, number = context.Array("d", 8, lock=False), context.SimpleQueue(), [], 0
    while state[7] < seconds:
        process = context.Process(target=work, args=(name, seed, number, seconds, state, crashes), daemon=True)
        process.start()
        while process.is_alive():
            process.join(0.2)
            if state[1] > 0 and time.monotonic() - state[1] > WAIT_S:
                os.kill(process.pid, signal.SIGPROF)
            while not crashes.empty():
                failures.append(crashes.get())
        while not crashes.empty():
            failures.append(crashes.get())
        number = int(state[0])
        if process.exitcode == 1:
            raise SystemExit(f"{name}: no input could be made after number {number}")
        if process.exitcode:
            hangs = process.exitcode == -signal.SIGPROF
            failures.append(
                (number, f"no answer within {LIMIT_S:g} s" if hangs else f"the process ended with {process.exitcode}")
            )
            number, state[1], state[7] = number + 1, 0.0, state[7] + 1.0
    for failed, crash in failures[:20]:
        say(f"{name} {failed}: {crash}")
    return {
        "inputs": number,
        "own_errors": int(state[3]),
        "accepted": int(state[2]),
        "crashes": len(failures),
        "crashed": [failed for failed, _ in failures[:50]],
        "slowest_s": round(state[4], 3),
        "slowest": int(state[5]),
        "peak_mib": state[6],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="for each reader")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--reader", choices=READERS, action="append", help="one or more; all if not stated")
    parser.add_argument(
        "--only", type=int, metavar="NUMBER", help="read this input alone, in this process, and keep it in fuzz-input"
    )
    parser.add_argument("--smoke", action="store_true", help="12 s for all readers")
    asked = parser.parse_args()
    names = asked.reader or list(READERS)
    if asked.only is not None:
        return only(names[0], asked.seed, asked.only)
    seconds = 12.0 / len(names) if asked.smoke else asked.seconds
    found = {name: fuzz(name, asked.seed, seconds) for name in names}
    crashes = sum(one["crashes"] for one in found.values())
    show({"benchmark": "fuzz", "seconds_each": round(seconds, 1), "seed": asked.seed, "crashes": crashes, "readers": found})
    raise SystemExit(1 if crashes else 0)


def only(name: str, seed: int, number: int) -> None:
    reader, draw = READERS[name], source(seed, name, number)
    content = reader.make(draw, reader.seeds())
    for k, part in enumerate(content if isinstance(content, tuple) else [content]):
        Path(f"fuzz-input-{k}").write_bytes(part.encode() if isinstance(part, str) else part)
    accepted, crash = attempt(reader, content, draw)
    show({"benchmark": "fuzz", "reader": name, "number": number, "accepted": accepted, "crash": crash})


if __name__ == "__main__":
    main()
