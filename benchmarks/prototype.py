"""What stimdose replaced: the bell model of vs_brms.py as a pm.Model around one Op, compiled for each table. For large.py.

    y = X(theta) beta + Z u + e,   beta ~ N(0, diag(s^2)),   u ~ N(0, tau^2 I) by study,   e ~ N(0, diag(1/w))

With H = X(theta) diag(s), y ~ N(0, 1/W + tau^2 ZZ' + HH'). `kernel` returns its log density and the gradient in H, tau and y by
Sherman-Morrison inside each study and Woodbury across the columns of H: O(N p^2) work and O(N p) memory, never an N x N matrix.
The amplitude is half-normal, and sampled. Intercept, minutes, phases and sites are integrated out and not drawn.

Prints one JSON line. Usage: python benchmarks/prototype.py [STUDIES]
"""

import sys

import numba
import numpy as np
import nutpie
import pandas as pd
import pymc as pm
import pytensor.tensor as pt
from common import peak_mib, show, smallest_ess, timed
from pytensor.gradient import disconnected_type
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch import numba_funcify
from tables import bell_numbers


@numba.njit(cache=True)
def kernel(H, tau, y, w, study, n_studies):
    n, p = H.shape
    t2 = tau * tau
    sw, zy, ZH, WH = np.zeros(n_studies), np.zeros(n_studies), np.zeros((n_studies, p)), np.empty((n, p))
    wy = w * y
    for i in range(n):
        s = study[i]
        sw[s] += w[i]
        zy[s] += wy[i]
        for j in range(p):
            WH[i, j] = w[i] * H[i, j]
            ZH[s, j] += WH[i, j]
    c = t2 / (1 + t2 * sw)
    A, b, yy, logdet = H.T @ WH, H.T @ wy, y @ wy, 0.0
    for s in range(n_studies):
        yy -= c[s] * zy[s] ** 2
        logdet += np.log1p(t2 * sw[s])
        for j in range(p):
            b[j] -= c[s] * ZH[s, j] * zy[s]
            for k in range(p):
                A[j, k] -= c[s] * ZH[s, j] * ZH[s, k]
    for j in range(p):
        A[j, j] += 1.0
    L, Ainv = np.linalg.cholesky(A), np.linalg.inv(A)
    m = Ainv @ b
    logdet += 2 * np.log(np.diag(L)).sum()
    logp = -0.5 * (yy - b @ m) - 0.5 * logdet
    resid = w * (y - H @ m)
    zr = np.zeros(n_studies)
    for i in range(n):
        zr[study[i]] += resid[i]
    alpha, BH, za, ZBH = np.empty(n), np.empty((n, p)), np.zeros(n_studies), np.zeros((n_studies, p))
    for i in range(n):
        s = study[i]
        alpha[i] = resid[i] - w[i] * c[s] * zr[s]
        za[s] += alpha[i]
        for j in range(p):
            BH[i, j] = w[i] * (H[i, j] - c[s] * ZH[s, j])
            ZBH[s, j] += BH[i, j]
    dH = np.outer(alpha, H.T @ alpha) - BH @ Ainv
    d_t2 = 0.0
    for s in range(n_studies):
        d_t2 += 0.5 * (za[s] ** 2 - sw[s] / (1 + t2 * sw[s]) + ZBH[s] @ Ainv @ ZBH[s])
    return logp, dH, 2 * tau * d_t2, -alpha


class IntegratedNormal(Op):
    """Log density (first output) with its own gradient as the other outputs."""

    __props__ = ("n_studies",)

    def __init__(self, n_studies):
        self.n_studies = n_studies

    def make_node(self, H, tau, y, w, study):
        inputs = [pt.as_tensor_variable(v) for v in (H, tau, y, w, study)]
        return Apply(self, inputs, [pt.dscalar(), pt.dmatrix(), pt.dscalar(), pt.dvector()])

    def perform(self, node, inputs, outputs):
        for storage, value in zip(outputs, kernel(*inputs, self.n_studies), strict=True):
            storage[0] = np.asarray(value)

    def pullback(self, inputs, outputs, cotangents):
        return [cotangents[0] * gradient for gradient in outputs[1:]] + [disconnected_type()] * 2

    L_op = pullback

    def connection_pattern(self, node):
        return [[True] * 4] * 3 + [[False] * 4] * 2


@numba_funcify.register(IntegratedNormal)
def _numba(op, node, **kwargs):
    n_studies = op.n_studies

    @numba.njit
    def call(H, tau, y, w, study):
        logp, dH, dtau, dy = kernel(H, tau.item(), y, w, study, n_studies)
        return np.asarray(logp), dH, np.asarray(dtau), dy

    return call


SETTINGS = {"draws": 1000, "tune": 1000, "chains": 4, "cores": 2, "target_accept": 0.9}


def model_of(numbers: pd.DataFrame) -> pm.Model:
    phase, site = np.eye(3)[numbers["phase"]], np.eye(2)[numbers["site"]]
    with pm.Model() as model:
        peak, width = pm.Normal("peak", 0, 1), pm.LogNormal("width", 0, 0.5)
        sd_phase, sd_site, tau = (pm.HalfNormal(name, 0.5) for name in ("sd_phase", "sd_site", "tau"))
        bump = pm.math.exp(-0.5 * ((numbers["x"].to_numpy() - peak) / width) ** 2)
        fixed = [np.full((len(numbers), 1), 0.5), 0.5 * numbers["zm"].to_numpy()[:, None], sd_phase * phase, sd_site * site]
        H, y = pt.concatenate(fixed, axis=1), numbers["y"].to_numpy() - pm.HalfNormal("amplitude", 1) * bump
        op = IntegratedNormal(int(numbers["study"].max()) + 1)
        pm.Potential("effects", op(H, tau, y, 1 / numbers["se"].to_numpy() ** 2, numbers["study"].to_numpy())[0])
    return model


def run(studies: int, seed: int = 1) -> dict:
    numbers = bell_numbers(studies)
    compiled, compile_s = timed(nutpie.compile_pymc_model, model_of(numbers))
    tree, sample_s = timed(nutpie.sample, compiled, seed=seed, progress_bar=False, **SETTINGS)
    posterior = tree["posterior"]
    log_f = np.log(numbers["freq"].to_numpy())
    draws = {
        "amplitude": posterior["amplitude"],
        "peak": np.exp(log_f.mean() + log_f.std() * posterior["peak"]),
        "width": log_f.std() * posterior["width"],
        "between_phase": posterior["sd_phase"],
        "between_site": posterior["sd_site"],
        "between_study": posterior["tau"],
    }
    ess, r_hat = smallest_ess(draws)
    return {
        "compile_s": round(compile_s, 2),
        "sample_s": round(sample_s, 2),
        "min_ess": round(ess),
        "max_rhat": round(r_hat, 4),
        "ess_per_s": round(ess / sample_s, 2),
        "divergences": int(tree["sample_stats"]["diverging"].sum()),
        "steps": int(tree["sample_stats"]["n_steps"].sum()),
        "means": {name: round(float(values.mean()), 3) for name, values in draws.items()},
        "peak_mib": peak_mib(),
    }


if __name__ == "__main__":
    studies = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
    show({"benchmark": "prototype", "studies": studies} | run(studies))
