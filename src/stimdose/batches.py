"""Many tasks through one function: in-process, in a pool of processes or on a cluster; every finished one on disk by its key.

The process that computes a result also makes the file of it, in a temporary folder of its own; the bytes come back, and only the
coordinating process writes to the folder of the batch. So the folder need not be shared between machines, and what is slow in
saving is done in parallel: a fit of 4.5 MB takes 0.4 s to save, and 5 ms to send and write.
"""

import multiprocessing
import os
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, ProcessPoolExecutor, wait
from contextlib import suppress
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.live import Live
from rich.text import Text

from .errors import BatchError, Failure, FitError, StimdoseError
from .files import stale_in, write_bytes

LINE_EVERY, LOG_EVERY = 0.2, 60.0
"""Seconds between two states of the line of progress: on a terminal, where it is drawn anew, and in a log, where it is added."""
WORKERS = 64
"""Workers of an executor that does not say how many it has."""


class Task(Protocol):
    """What a batch needs to know of a request."""

    @property
    def key(self) -> str:
        """Hexadecimal hash of everything that the result depends on: the name of its file."""

    @property
    def label(self) -> str:
        """How messages name it."""


class Results(Sequence):
    """Results in the order of the tasks, loaded from the folder of the batch on each access; `keys` are those of the tasks.

    A slice is a `Results`. Without a folder the results are in memory.
    """

    def __init__(self, keys: Iterable[str], get: Callable[[str], Any]):
        self.keys, self._get = tuple(keys), get

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, place):
        return Results(self.keys[place], self._get) if isinstance(place, slice) else self._get(self.keys[place])

    def __iter__(self) -> Iterator:
        return map(self._get, self.keys)

    def __repr__(self) -> str:
        return f"<Results of {len(self)} tasks>"


def pool(workers: int) -> ProcessPoolExecutor:
    """Worker processes of this machine, to be used in a `with` block; a script needs `if __name__ == "__main__":` around it.

    They start afresh ("spawn"), because a fork of a process with threads may hang, and end with this process even if that is killed:
    those of a plain pool would stay for good.
    """
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=_end_with_parent)


def _end_with_parent() -> None:
    def watch() -> None:
        if parent := multiprocessing.parent_process():
            parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def run(
    function: Callable[[Any], Any],
    tasks: Sequence[Task],
    *,
    folder: str | Path | None = None,
    executor: Executor | None = None,
    progress: bool = True,
    save: Callable[[Any, Path], Any],
    load: Callable[[Path], Any],
    suffix: str,
    check: Callable[[Path], Any] | None = None,
) -> Results:
    """Compute function(task) for every task. Tasks with the same key are computed once.

    folder: where results are kept, as <key><suffix>; those that are there are not computed again. save(result, path), load(path)
        and check(path), which raises if a file is damaged, say how; check is `load` if not stated. A damaged file is named in
        a warning and computed again. Without a folder results are kept in memory.
    executor: a `pool`, or any other `concurrent.futures.Executor`; without one tasks run in this process. Elsewhere function, tasks
        and save must be picklable (functions at the top of a module), and a task should use one core. No more tasks are submitted
        at a time than keep the workers busy.
    progress: a line on standard error; in a log, one line a minute.

    Raises BatchError at the end if tasks failed, with all of them and everything that finished, and at once if the executor broke,
    as when a worker was killed. Raises FitError for a folder or an executor that is none, and for a folder that
    cannot be written to. An interrupt (Ctrl-C) cancels what was not started. In each case every result that came back is on disk.
    """
    faults: list[str] = [] if isinstance(folder, str | Path | None) else [f"the folder is a path, not {folder!r}"]
    if not isinstance(executor, Executor | None):
        faults.append(f"the executor is that of `concurrent.futures`, as `batches.pool(2)`, not {executor!r}")
    if faults:
        raise FitError("; ".join(faults))
    keys, first = [], dict[str, Task]()
    for task in tasks:
        keys.append(task.key)
        first.setdefault(keys[-1], task)
    store = _Memory() if folder is None else _Folder(Path(folder), save, load, suffix, check or load)
    with _Progress(len(first), progress) as line:
        batch = _Batch(function, store, _InProcess() if executor is None else executor, line)
        try:
            broken = batch.compute(batch.missing(first))
        except BaseException as error:
            error.add_note(store.remedy(len(batch.done)))
            raise
    results = Results([key for key in keys if key in batch.done], store.get)
    undone = f"{len(first) - len(batch.done)} of {len(first)} tasks"
    if broken is not None:
        headline = f"{undone} are not done, because a worker or its connection was lost: {_describe(broken)}"
        raise BatchError(headline, batch.failures, results, store.remedy(len(batch.done), "with a new executor and")) from broken
    if batch.failures:
        raise BatchError(f"{undone} failed:", batch.failures, results, store.remedy(len(batch.done)))
    return results


class _Batch:
    """The tasks of one call. done: the keys of those that have a result."""

    def __init__(self, function: Callable, store: "_Memory | _Folder", executor: Executor, line: "_Progress"):
        self.function, self.store, self.executor, self.line = function, store, executor, line
        self.done: set[str] = set()
        self.failures: list[Failure] = []
        self.running: dict[Future, Task] = {}

    def missing(self, tasks: dict[str, Task]) -> list[Task]:
        """The tasks whose results are not there yet."""
        for key in tasks:
            if self.store.holds(key):
                self.done.add(key)
                self.line.update(found=1)
        return [task for key, task in tasks.items() if key not in self.done]

    def compute(self, tasks: list[Task]) -> Exception | None:
        """Compute the tasks and keep their results. Returns what broke the executor, if it broke."""
        waiting = iter(tasks)
        self.line.start()
        try:
            while True:
                for task in islice(waiting, max(0, _window(self.executor) - len(self.running))):
                    self.running[self.executor.submit(_attempt, self.function, task, self.store.save, self.store.suffix)] = task
                if not self.running:
                    return None
                for future in wait(self.running, timeout=1.0, return_when=FIRST_COMPLETED).done:
                    self._settle(future)
                self.line.update()
        except BaseException as error:
            self._stop()
            if isinstance(error, BrokenExecutor | CancelledError):
                return error
            raise

    def _settle(self, future: Future) -> None:
        """Keep a result, or note why there is none. Raises what broke the executor, and FitError if the result cannot be kept."""
        task, error = self.running[future], future.exception()
        if isinstance(error, BrokenExecutor) or not isinstance(error, Exception | None):
            raise error
        content: Any
        content, failure = (None, _failure(task, error)) if error else future.result()
        if failure:
            self.failures.append(failure)
        else:
            self.store.put(task.key, content)
            self.done.add(task.key)
        del self.running[future]
        self.line.update(failed=1) if failure else self.line.update(done=1)

    def _stop(self) -> None:
        """Cancel what has not finished, and keep what has."""
        for future in [future for future in self.running if not future.cancel() and future.done()]:
            with suppress(Exception):  # what stopped the batch is raised; what cannot be kept is named below
                self._settle(future)
        self.failures += [Failure(task.label, "was running, or waiting to run") for task in self.running.values()]


def _attempt(function: Callable, task: Task, save: Callable | None, suffix: str) -> tuple[Any, Failure | None]:
    """What a worker does: a result, or the content of its file where it is to be saved. An error comes back as text, because
    an exception that cannot be unpickled breaks a pool."""
    try:
        result = function(task)
        if save is None:
            return result, None
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"result{suffix}"
            save(result, path)
            return path.read_bytes(), None
    except Exception as error:
        return None, _failure(task, error)


def _failure(task: Task, error: BaseException) -> Failure:
    return Failure(task.label, _describe(error), "".join(traceback.format_exception(error)))


def _describe(error: BaseException) -> str:
    return str(error) if isinstance(error, StimdoseError) else f"{type(error).__name__}: {error}".removesuffix(": ")


class _InProcess(Executor):
    """Runs a task where and when it is submitted."""

    _max_workers = 1

    def submit(self, function: Callable, /, *arguments: Any, **options: Any) -> Future:
        future: Future = Future()
        future.set_result(function(*arguments, **options))
        return future


def _window(executor: Executor) -> int:
    """How many tasks an executor holds at a time. A pool: one a worker, because a queued one could not be cancelled. A cluster,
    which can cancel: two a worker, so that none waits for its next one; and it may grow."""
    client = getattr(executor, "_client", None)  # neither kind of executor has a public name for its workers
    if client is not None:
        return 2 * max(sum(client.nthreads().values()), 1)
    return getattr(executor, "_max_workers", WORKERS)


class _Memory:
    """Results of a batch without a folder."""

    save, suffix = None, ""

    def __init__(self):
        self.results: dict[str, Any] = {}

    def holds(self, key: str) -> bool:
        return False

    def put(self, key: str, result: Any) -> None:
        self.results[key] = result

    def get(self, key: str) -> Any:
        return self.results[key]

    def remedy(self, done: int, how: str = "with") -> str:
        return f"{done} results were computed, none is on disk; in a folder, calling again {how} the same folder computes only what is missing"


class _Folder:
    """Results of a batch as files <key><suffix>."""

    def __init__(self, folder: Path, save: Callable, load: Callable, suffix: str, check: Callable):
        self.folder, self.save, self.load, self.suffix, self.check = folder, save, load, suffix, check
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.names = set(os.listdir(folder))
        except OSError as error:
            raise FitError(f"cannot use the folder {folder}: {error}") from None
        for stale in stale_in(folder, f".*{suffix}.*.tmp"):
            with suppress(OSError):  # another process may have been faster
                stale.unlink()

    def path(self, key: str) -> Path:
        return self.folder / f"{key}{self.suffix}"

    def holds(self, key: str) -> bool:
        if self.path(key).name not in self.names:
            return False
        try:
            self.check(self.path(key))
        except Exception as error:  # whatever a reader raises at bytes that are not what it expects
            why = _describe(error).removeprefix(f"{self.path(key)} is damaged: ")
            warnings.warn(f"{self.path(key)} is damaged and is computed again: {why}", stacklevel=4)
            return False
        return True

    def put(self, key: str, content: bytes) -> None:
        write_bytes(self.path(key), content)

    def get(self, key: str) -> Any:
        return self.load(self.path(key))

    def remedy(self, done: int, how: str = "with") -> str:
        return f"{done} results are kept in {self.folder}; calling again {how} the same folder computes only what is missing"


class _Progress:
    """One line: how many are done, how many of them were found, the time gone and the time left.

    Nothing runs in the background: a pool may fork this process, and a thread that holds a lock is then a deadlock.
    """

    def __init__(self, total: int, shown: bool):
        self.total, self.found, self.done, self.failed = total, 0, 0, 0
        console = Console(stderr=True, force_jupyter=False, highlight=False)
        self.console = console if shown and total else None
        self.live = (
            Live(console=console, auto_refresh=False, redirect_stdout=False) if self.console and console.is_terminal else None
        )
        self.started = self.drawn = time.monotonic()
        self.drawn_text = ""

    def __enter__(self) -> "_Progress":
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *_) -> None:
        if self.console:
            self._draw()
        if self.live:
            self.live.stop()

    def start(self) -> None:
        """The clock starts when what is on disk has been checked."""
        self.started = time.monotonic()

    def update(self, found: int = 0, done: int = 0, failed: int = 0) -> None:
        self.found, self.done, self.failed = self.found + found, self.done + done, self.failed + failed
        if self.console and time.monotonic() - self.drawn > (LINE_EVERY if self.live else LOG_EVERY):
            self._draw()

    def text(self) -> str:
        elapsed, computed = time.monotonic() - self.started, self.done + self.failed
        left = self.total - self.found - computed
        parts = [f"{self.found + self.done:,} of {self.total:,} done" + (f" ({self.found:,} found)" if self.found else "")]
        parts += [f"{self.failed:,} failed"] if self.failed else []
        parts.append(f"{_clock(elapsed)} elapsed")
        parts += [f"{_clock(elapsed / computed * left)} left"] if computed and left else []
        return ", ".join(parts)

    def _draw(self) -> None:
        self.drawn, before, self.drawn_text = time.monotonic(), self.drawn_text, self.text()
        if self.live:
            self.live.update(Text(self.drawn_text), refresh=True)
        elif self.console and self.drawn_text != before:
            self.console.print(self.drawn_text, soft_wrap=True)


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
