"""The compiled log density in nutpie's hands: NUTS calls machine code that is the same for every model and table.

nutpie takes the address of a C function and of its data. The data are the arrays of a `Program`, as (address, lines, columns) of each
field in the order of its definition.
"""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numba
import numpy as np
import nutpie
import pyarrow
from numba import types
from nutpie import _lib
from nutpie.sample import CompiledModel

from .algebra import compiled
from .density import log_density, natural
from .encoding import Layout
from .errors import FitError
from .machine import kept
from .program import FAMILIES, Intervals, Levels, Likelihood, Missing, Moving, Program, Sampled, Unprinted
from .starts import FEW_SEARCHES, MANY_ROWS, SEARCHES, around_peaks

DOUBLES, INTEGERS = types.CPointer(types.float64), types.CPointer(types.int64)
NOT_FINITE = 4
"""Return code that nutpie takes for a divergence."""


def _pointer_to(kind):
    @numba.extending.intrinsic
    def pointer(typing_context, address):
        def build(context, builder, signature, arguments):
            return builder.inttoptr(arguments[0], context.get_value_type(kind))

        return kind(types.int64), build

    return pointer


_doubles, _integers = _pointer_to(DOUBLES), _pointer_to(INTEGERS)


@kept(numba.njit(types.float64[::1](types.int64[::1], types.int64), cache=True))
def _vector(data, k):
    return numba.carray(_doubles(data[3 * k]), (data[3 * k + 1],))


@kept(numba.njit(types.float64[:, ::1](types.int64[::1], types.int64), cache=True))
def _matrix(data, k):
    return numba.carray(_doubles(data[3 * k]), (data[3 * k + 1], data[3 * k + 2]))


@kept(numba.njit(types.int64[::1](types.int64[::1], types.int64), cache=True))
def _numbers(data, k):
    return numba.carray(_integers(data[3 * k]), (data[3 * k + 1],))


@kept(numba.njit(types.int64[:, ::1](types.int64[::1], types.int64), cache=True))
def _table(data, k):
    return numba.carray(_integers(data[3 * k]), (data[3 * k + 1], data[3 * k + 2]))


@compiled
def _program(data):
    """The Program whose arrays stand at `data`."""
    return Program(
        Sampled(_numbers(data, 0), _vector(data, 1), _vector(data, 2), _vector(data, 3), _table(data, 4), _vector(data, 5)),
        Likelihood(
            _vector(data, 6),
            _vector(data, 7),
            _matrix(data, 8),
            _numbers(data, 9),
            _numbers(data, 10),
            _numbers(data, 11),
            _numbers(data, 12),
            _numbers(data, 13),
            _numbers(data, 14),
            _numbers(data, 15),
            _numbers(data, 16),
            _vector(data, 17),
            _numbers(data, 18),
            _vector(data, 19),
        ),
        Moving(
            _numbers(data, 20),
            _numbers(data, 21),
            _numbers(data, 22),
            _vector(data, 23),
            _numbers(data, 24),
            _numbers(data, 25),
            _vector(data, 26),
            _vector(data, 27),
            _numbers(data, 28),
            _numbers(data, 29),
            _table(data, 30),
            _numbers(data, 31),
            _table(data, 32),
            _table(data, 33),
            _table(data, 34),
        ),
        Levels(_numbers(data, 35), _numbers(data, 36), _numbers(data, 37)),
        Intervals(_numbers(data, 38), _vector(data, 39), _vector(data, 40), _vector(data, 41), _vector(data, 42)),
        Missing(
            _numbers(data, 43),
            _numbers(data, 44),
            _numbers(data, 45),
            _numbers(data, 46),
            _vector(data, 47),
            _vector(data, 48),
            _numbers(data, 49),
            _numbers(data, 50),
            _vector(data, 51),
            _matrix(data, 52),
            _vector(data, 53),
            _numbers(data, 54),
            _numbers(data, 55),
            _vector(data, 56),
            _matrix(data, 57),
        ),
        Unprinted(
            _numbers(data, 58),
            _numbers(data, 59),
            _matrix(data, 60),
            _numbers(data, 61),
            _vector(data, 62),
            _vector(data, 63),
            _vector(data, 64),
            _numbers(data, 65),
            _numbers(data, 66),
            _numbers(data, 67),
            _matrix(data, 68),
        ),
    )


FIELDS = sum(len(part._fields) for part in (Sampled, Likelihood, Moving, Levels, Intervals, Missing, Unprinted))
CENTER, FACTOR = FIELDS, FIELDS + 1
"""Where the affine map stands, behind the fields of the program: position = center + factor @ what NUTS sees."""


@compiled
def _position(seen, center, factor):
    """factor: (d, d) lower triangular, or (1, d) a diagonal."""
    position = center.copy()
    for i in range(len(seen)):
        if len(factor) < len(seen):
            position[i] += factor[0, i] * seen[i]
        else:
            for j in range(i + 1):
                position[i] += factor[i, j] * seen[j]
    return position


@compiled
def _seen_gradient(gradient, factor):
    found = np.zeros(len(gradient))
    for i in range(len(gradient)):
        if len(factor) < len(gradient):
            found[i] = factor[0, i] * gradient[i]
        else:
            for j in range(i + 1):
                found[j] += factor[i, j] * gradient[i]
    return found


@kept(numba.cfunc(types.int64(types.uint64, DOUBLES, DOUBLES, DOUBLES, types.voidptr), cache=True))
def _log_density(size, seen, gradient, value, data):
    data = numba.carray(data, (3 * (FIELDS + 2),), np.int64)
    factor, slope = _matrix(data, FACTOR), np.empty(size)
    position = _position(numba.carray(seen, (size,)), _vector(data, CENTER), factor)
    found = log_density(position, _program(data), slope)
    slope = _seen_gradient(slope, factor)
    numba.carray(gradient, (size,))[:] = slope
    numba.carray(value, (1,))[0] = found
    return 0 if np.isfinite(found) and np.isfinite(slope.sum()) else NOT_FINITE


@kept(numba.cfunc(types.int64(types.uint64, types.uint64, DOUBLES, DOUBLES, types.voidptr), cache=True))
def _expand(size, size_out, seen, position, data):
    data = numba.carray(data, (3 * (FIELDS + 2),), np.int64)
    found = _position(numba.carray(seen, (size,)), _vector(data, CENTER), _matrix(data, FACTOR))
    numba.carray(position, (size,))[:] = found
    return 0


MOST_CORRELATED = 100
"""With more parameters than these, a product with a full factor would take longer than the density."""


@dataclass(frozen=True)
class Geometry:
    """What a sampler knows of a posterior before it starts: center (d,), and a factor of its covariance, (d, d) lower triangular or
    (1, d) diagonal. is_folded (d,): which parameters were sampled with a sign."""

    center: np.ndarray
    factor: np.ndarray
    is_folded: np.ndarray

    @classmethod
    def of(cls, program: Program, positions: np.ndarray) -> "Geometry":
        """From draws (draws, d) of the posterior of a like program; of folded ones, only one side."""
        draws, size = positions.shape
        positions = np.where(_is_folded(program), np.abs(positions), positions)
        scale = positions.std(axis=0)
        scale[~(scale > 0)] = 1.0
        factor = scale[None]
        if size <= MOST_CORRELATED and draws >= 10 * size:
            correlation = np.cov(((positions - positions.mean(axis=0)) / scale).T).reshape(size, size)
            factor = np.ascontiguousarray(scale[:, None] * np.linalg.cholesky(correlation + 1e-6 * np.eye(size)))
        return cls(positions.mean(axis=0), factor, _is_folded(program))

    def on(self, program: Program) -> "Geometry | None":
        """The same for a program with priors of other families: a spread that is sampled with a sign in one and as a logarithm in the
        other is taken over to first order. None where the program has other unknowns."""
        now, before = _is_folded(program), self.is_folded
        if len(now) != len(before):
            return None
        to_log, from_log = before & ~now, now & ~before
        center = self.center.copy()
        center[to_log], center[from_log] = np.log(center[to_log]), np.exp(center[from_log])
        slope = np.ones(len(now))
        slope[to_log], slope[from_log] = 1 / self.center[to_log], center[from_log]
        return Geometry(center, self.factor * (slope if len(self.factor) == 1 else slope[:, None]), now)


def _is_folded(program: Program) -> np.ndarray:
    return np.array([FAMILIES[family].startswith("folded") for family in program.sampled.family])


@dataclass(frozen=True)
class Target(CompiledModel):
    """A density as nutpie takes it. start: from a seed to a position (d,)."""

    program: Program
    start: Callable[[int], np.ndarray]
    geometry: Geometry

    @cached_property
    def data(self) -> np.ndarray:
        """Address, lines and columns of every array."""
        arrays = [array for part in self.program for array in part] + [self.geometry.center, self.geometry.factor]
        table = [(array.ctypes.data, *array.shape, *[0] * (2 - array.ndim)) for array in arrays]
        return np.array(table, np.int64).ravel()

    @property
    def n_dim(self) -> int:
        return len(self.program.sampled.family)

    @property
    def shapes(self) -> dict:
        return {"position": (self.n_dim,)}

    @property
    def coords(self) -> dict:
        return {}

    def density(self, seen: np.ndarray) -> tuple[float, np.ndarray]:
        """Log density and gradient (d,)."""
        gradient, value = np.empty(self.n_dim), np.empty(1)
        numbers = [
            array.ctypes.data_as(ctypes.POINTER(ctypes.c_double)) for array in (np.ascontiguousarray(seen), gradient, value)
        ]
        failed = _log_density.ctypes(self.n_dim, *numbers, self.data.ctypes.data)
        return (-np.inf if failed else value[0]), gradient

    def _make_model(self, init_mean):
        size, address, dims = self.n_dim, self.data.ctypes.data, {"parameter": self.n_dim}
        density = _lib.LogpFunc(_log_density.address, address, self)
        expand = _lib.ExpandFunc(size, size, _expand.address, address, self)
        variables = _lib.PyVariable.new_variables(["position"], ["float64"], [(size,)], dims, self.dims)
        return _lib.PyMcModel(density, expand, variables, size, dims, {}, self.start, None)

    def _make_sampler(self, settings, init_mean, cores, *others):
        return _lib.PySampler.from_pymc(settings, cores, self._make_model(init_mean), *others)


STATISTICS = ("diverging", "depth", "n_steps", "step_size", "energy", "logp")


@dataclass(frozen=True)
class Draws:
    """positions (chains, draws, d), unconstrained; statistics (chains, draws) of the sampler by name."""

    positions: np.ndarray
    statistics: dict[str, np.ndarray]


def start_of(program: Program, spread_out: bool) -> Callable[[int], np.ndarray]:
    """From a seed to a position near the middle of the prior, or to a draw from it if `spread_out`."""
    family, first, second = program.sampled[:3]
    is_half, is_folded = np.isin(family, [FAMILIES.index(name) for name in ("halfnormal", "halfcauchy")]), _is_folded(program)
    middle = np.where(is_half, np.log(np.abs(first) + 1e-300), first)
    scale = np.where(is_half, 1.0, np.where(is_folded, first / 2, second))
    is_gamma = family == FAMILIES.index("gamma")
    is_cut = family == FAMILIES.index("correlation above")
    above = np.maximum(first[is_cut] - np.arctanh(program.sampled.third[is_cut]), second[is_cut])
    middle[is_cut], scale[is_cut] = np.log(above), second[is_cut] / above
    middle[is_gamma], scale[is_gamma] = np.log(first[is_gamma] / second[is_gamma]), first[is_gamma] ** -0.5

    def start(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        jump = rng.standard_normal(len(family)) if spread_out else rng.uniform(-1, 1, len(family))
        return middle + scale * jump

    return start


def sample(
    program: Program,
    *,
    seed: int,
    draws: int,
    tune: int,
    chains: int,
    cores: int,
    target_accept: float,
    progress: bool,
    has_modes: bool = False,
    geometry: Geometry | None = None,
) -> Draws:
    """Draws of the posterior. With the geometry of a posterior that is like it, a short tuning is enough; without one, and if there may
    be several modes, chains start from these (see `starts`)."""
    size, start = len(program.sampled.family), start_of(program, False)
    target = Target(
        {"position": ("parameter",)}, program, start, Geometry(np.zeros(size), np.ones((1, size)), _is_folded(program))
    )
    if geometry is not None:
        target = replace(target, geometry=geometry, start=lambda seed: np.random.default_rng(seed).standard_normal(size))
    elif has_modes and size <= MOST_CORRELATED:
        searches = SEARCHES if len(program.likelihood.effect) < MANY_ROWS else FEW_SEARCHES
        begin = np.stack([start_of(program, True)(seed + k) for k in range(searches)])
        target = replace(target, start=around_peaks(target.density, begin))
    try:
        trace = nutpie.sample(
            target,
            seed=seed,
            draws=draws,
            tune=tune,
            chains=chains,
            cores=cores,
            target_accept=target_accept,
            progress_bar=progress,
            return_raw_trace=True,
        )
    except BaseException as error:
        if not (isinstance(error, RuntimeError) or type(error).__name__ == "PanicException"):  # of Rust, not an Exception
            raise
        reason = str(error).split("\n")[0]
        raise FitError(
            f"the sampler failed ({reason}): are effects, variances and doses in units that suit the priors?"
        ) from error
    found, statistics = trace.get_arrow_trace()
    if any(batch.num_rows < tune + draws for batch in found):
        raise KeyboardInterrupt
    column = lambda batch, name: pyarrow.array(batch.column(name))
    positions = [column(batch, "position").flatten().to_numpy().reshape(tune + draws, size)[tune:] for batch in found]
    by_name = {name: [column(batch, name).to_numpy(False)[tune:] for batch in statistics] for name in STATISTICS}
    return Draws(np.stack(positions), {name: np.stack(part) for name, part in by_name.items()})


def natural_values(program: Program, layout: Layout, positions: np.ndarray) -> dict[str, np.ndarray]:
    """Draws (draws, ...) of every sampled variable on its own scale, by posterior variable name, from positions (draws, d)."""
    registers, log_doses, sds = natural(np.ascontiguousarray(positions), program)
    folded = np.flatnonzero(_is_folded(program))
    registers[:, folded] = np.abs(registers[:, folded])
    found = {name: registers[:, places] for name, places in (layout.sampled | layout.grouped).items()}
    found |= {name: np.exp(log_doses[:, numbers]) for name, numbers in layout.log_doses.items()}
    return found | ({"sd_true": sds} if sds.shape[1] else {})
