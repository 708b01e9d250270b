"""`integrate.log_marginal` as a PyTensor Op with its gradient, compiled by numba."""

import numba
import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import disconnected_type
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch import numba_funcify

from .integrate import log_marginal


class LogMarginal(Op):
    """Inputs as `log_marginal`, but fixed and moving (rows, p); the log density first, and its gradients as further outputs."""

    __props__ = ()
    inputs = tuple("y fixed moving mean sd spread slopes factor variance within start correlation block".split())
    gradients = ("y", "moving", "mean", "sd", "spread", "factor", "variance", "within")

    def make_node(self, *inputs):
        inputs = [pt.as_tensor_variable(value) for value in inputs]
        types = [pt.dscalar, pt.dvector, pt.dmatrix, *[pt.dvector] * 6]
        return Apply(self, inputs, [of() for of in types])

    def perform(self, node, inputs, output_storage):
        for storage, value in zip(output_storage, by_columns(*inputs), strict=True):
            storage[0] = np.asarray(value)

    def pullback(self, inputs, outputs, cotangents):
        found = dict(zip(self.gradients, outputs[1:], strict=True))
        return [cotangents[0] * found[name] if name in found else disconnected_type() for name in self.inputs]

    L_op = pullback

    def connection_pattern(self, node):
        return [[name in self.gradients] * (1 + len(self.gradients)) for name in self.inputs]


@numba.njit
def by_columns(y, fixed, moving, mean, sd, spread, slopes, factor, variance, within, start, correlation, block):
    """`log_marginal` of columns (rows, p), with all gradients."""
    fixed, moving, nothing = np.ascontiguousarray(fixed.T), np.ascontiguousarray(moving.T), np.empty(0)
    logp, dy, dmoving, dmean, dsd, dspread, dfactor, dvariance, dwithin = log_marginal(
        y, fixed, moving, mean, sd, spread, slopes, factor, variance, within, start, correlation, block, nothing, True
    )
    return logp, dy, np.ascontiguousarray(dmoving.T), dmean, dsd, dspread, dfactor, dvariance, dwithin


@numba_funcify.register(LogMarginal)
def _compile(op, node, **kwargs):
    @numba.njit
    def call(y, fixed, moving, mean, sd, spread, slopes, factor, variance, within, start, correlation, block):
        given = mean, sd, spread, slopes, factor, variance, within, start, correlation, block
        logp, dy, dmoving, dmean, dsd, dspread, dfactor, dvariance, dwithin = by_columns(y, fixed, moving, *given)
        return np.asarray(logp), dy, dmoving, dmean, dsd, dspread, dfactor, dvariance, dwithin

    return call


integrated_normal = LogMarginal()
