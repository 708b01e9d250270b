"""Seconds of one gradient of the compiled log density, called in a compiled loop."""

import numba
import numpy as np
from common import timed

import stimdose as sd
from stimdose.density import log_density
from stimdose.encoding import encode
from stimdose.nuts import start_of
from stimdose.rows import prepare, rows_of


@numba.njit(cache=True)
def _repeated(positions, program, times):
    gradient, total = np.empty(positions.shape[1]), 0.0
    for k in range(times):
        total += log_density(positions[k % len(positions)], program, gradient) + gradient[0]
    return total


def seconds_a_gradient(model: sd.Model, trials: sd.Trials, at_least: float = 0.3, repeats: int = 5) -> tuple[float, dict]:
    """Seconds of one log density with its gradient, the least of `repeats` runs of `at_least` seconds each, and the sizes.

    At 16 positions around the middle of the prior, so that no branch is favoured.
    """
    rows = rows_of(*prepare(model, trials))
    program, _ = encode(model, rows)
    start = start_of(program, False)
    positions = np.array([start(seed) for seed in range(16)])
    _repeated(positions, program, 1)
    times, seconds = 16, 0.0
    while (seconds := timed(_repeated, positions, program, times)[1]) < at_least / 2:
        times = int(times * np.clip(at_least / max(seconds, 1e-6), 2, 100))
    times = max(1, int(times * at_least / seconds))
    least = min(timed(_repeated, positions, program, times)[1] for _ in range(repeats)) / times
    sizes = {"rows": len(rows.effect), "studies": len(rows.studies), "columns": len(program.likelihood.mean)}
    return least, sizes | {"parameters": positions.shape[1]}
