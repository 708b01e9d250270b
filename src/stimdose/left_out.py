"""The density of one study given all others and what is sampled, everything Gaussian and everything of that study alone integrated out.

    y_s = offset_s + X_s b + Z_s u_s + w + e      b ~ N(0, I)      u_s ~ N(0, I)      B_s = cov(Z_s u_s + w + e)

Coefficients and study effects are in units of their standard deviations. With A = I + sum_s X_s' B_s^-1 X_s = L L', the posterior of b is
N(b_all, A^-1). Let W_s = X_s L'^-1 and f_s = y_s - offset_s - X_s b_all. Without study s it is that of a downdate of A (Woodbury), and

    y_s | others ~ N(mean, B_s + W_s W_s' + H R^-1 H')      y_s - mean = f_s + H R^-1 f_s      H = W_s W_s'      R = B_s - H

Where the study has unknowns of its own, its X, B and y move with them, and H is their W times W_s'. R, W_s and f_s stay at the draw,
whatever it is there: they only take out again what the study itself said of b.
"""

from collections.abc import Sequence

import numpy as np

from .heterogeneity import row_variance, spread_at, study_columns
from .model import Model
from .own_unknowns import OwnUnknowns, own_unknowns
from .posterior import draw_coefficients, observed
from .predictor import linear_system, prior_constants, terms
from .rows import Points, Rows

CHUNK = 10_000_000
"""Numbers of X held at once; bounds memory at any number of rows and draws."""


def log_predictive(
    model: Model, rows: Rows, values: dict[str, np.ndarray], studies: Sequence[int] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Log densities (draws, studies) of the effects of studies, given draws of what is sampled and the effects of the others; and given
    those of all studies, itself included.

    values: (draws, ...) by posterior variable name. studies: numbers of those wanted, else all. Of each, what is unknown in it
    alone is integrated over its distribution given the draw: see `own_unknowns`.
    """
    studies = range(len(rows.studies)) if studies is None else studies
    if model.is_explicit:  # every coefficient is sampled, so that studies are independent
        _, density = draw_coefficients(model, rows, values, np.random.default_rng(0))
        return density[:, list(studies)], density[:, list(studies)]
    own = [own_unknowns(model, rows, s) for s in studies]
    draws = len(values["between_study"])
    values = values | prior_constants(model, rows)
    chunk = max(1, CHUNK // (len(rows.effect) * (2 + len(model.priors()))))
    parts = [_chunk(model, rows, _slice(values, slice(k, k + chunk)), studies, own) for k in range(0, draws, chunk)]
    without, within = (np.concatenate(side) for side in zip(*parts, strict=True))
    return without, within


def _slice(values: dict, which: slice) -> dict:
    return {name: value[which] if np.ndim(value) else value for name, value in values.items()}


def _chunk(model: Model, rows: Rows, values: dict, studies: Sequence[int], own: list[OwnUnknowns]) -> tuple:
    offset, X, Z = standard_form(model, rows, rows.points, rows.study, values)
    effect, variance, jacobian = observed(rows, values)
    residual, p = (effect - offset)[..., None], X.shape[-1]
    of_study = [slice(*rows.start[s : s + 2]) for s in range(len(rows.studies))]
    B = [study_covariance(rows, s, Z[:, at], variance[:, at], values) for s, at in enumerate(of_study)]
    gram = np.zeros((len(X), p, p + 1))
    for B_s, at in zip(B, of_study, strict=True):
        gram += _t(X[:, at]) @ np.linalg.solve(B_s, np.concatenate([X[:, at], residual[:, at]], axis=-1))
    root = np.linalg.inv(np.linalg.cholesky(np.eye(p) + gram[..., :p]))
    b = _t(root) @ (root @ gram[..., p:])
    W, f = X @ _t(root), residual - X @ b
    without, within = np.empty((2, len(X), len(studies)))
    for k, (s, unknown) in enumerate(zip(studies, own, strict=True)):
        at = of_study[s]
        W_s, f_s = W[:, at], f[:, at]
        inverse = np.linalg.inv(B[s] - W_s @ _t(W_s))
        here = W_s, f_s, B[s], jacobian[:, at]
        scores, log_weights = unknown.nodes()
        found = np.empty((3, len(scores), len(X)))
        for n, score in enumerate(scores):
            mass = 0.0
            if unknown.size:
                here, mass = _at_score(model, rows, s, unknown, values, score, root, b)
            W_n, f_n, B_n, jacobian_n = here
            H, spread = W_n @ _t(W_s), B_n + W_n @ _t(W_n)
            shift = H @ (inverse @ np.concatenate([_t(H), f_s], axis=-1))
            found[0, n] = log_weights[n] + mass
            found[1, n] = _log_normal(f_n + shift[..., -1:], spread + shift[..., :-1]) + jacobian_n.sum(axis=-1)
            found[2, n] = _log_normal(f_n, spread) + jacobian_n.sum(axis=-1)
        log_weight = found[0] - np.logaddexp.reduce(found[0])
        without[:, k], within[:, k] = (np.logaddexp.reduce(log_weight + density) for density in found[1:])
    return without, within


def _at_score(model: Model, rows: Rows, s: int, unknown: OwnUnknowns, values: dict, score, root, b) -> tuple:
    """W, f, B and the log Jacobian of a study with its unknowns at a score, and the log weight of that."""
    values, mass = unknown.values(values, score)
    at = slice(*rows.start[s : s + 2])
    offset, X, Z = standard_form(model, rows, unknown.points, rows.study[at], values)
    effect, variance, jacobian = (part[:, at] for part in observed(rows, values))
    B = study_covariance(rows, s, Z, variance, values)
    return (X @ _t(root), (effect - offset)[..., None] - X @ b, B, jacobian), mass


def standard_form(
    model: Model, rows: Rows, points: Points, study: np.ndarray, values: dict
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """offset (draws, rows), X (draws, rows, p) and Z (draws, rows, q) at some points of the table, of the studies `study` (rows,)."""
    found = linear_system(terms(model, rows, points, values), rows, values)
    draws, shape = len(values["between_study"]), (len(values["between_study"]), points.size)
    by_draw = lambda value: np.broadcast_to(value, draws)[:, None]
    offset = np.zeros(shape)
    for part in found:
        offset += by_draw(part.mean) * part.column
    integrated = [part for part in found if np.any(part.sd)]  # a coefficient with sd 0 is known
    X = np.zeros((*shape, len(integrated)))
    for k, part in enumerate(integrated):
        X[..., k] = by_draw(part.sd) * part.column
    columns = {part.name: part.column for part in found if part.group is None}
    effects = study_columns(model, rows, points.groups, spread_at(model, points.groups, study, values), columns, values)
    Z = np.empty((*shape, len(effects)))
    for k, column in enumerate(effects):
        Z[..., k] = column
    return offset, X, Z


def study_covariance(rows: Rows, s: int, Z: np.ndarray, variance: np.ndarray, values: dict) -> np.ndarray:
    """B_s (draws, n, n): how the n effects of study `s` spread around the population mean, from Z (draws, n, q) of its effects, the
    variance (draws or 1, n) of its sampling errors, and what differs within studies."""
    size, first, last = Z.shape[1], *rows.block[s : s + 2]
    correlation = rows.correlation[first:last].reshape(size, size) if last > first else np.eye(size)
    error = np.sqrt(variance)
    B = Z @ _t(Z) + correlation * error[:, :, None] * error[:, None, :]
    own = slice(*rows.start[s : s + 2])
    return B + np.atleast_2d(row_variance(rows, values))[:, None, own] * np.eye(size)


def _log_normal(residual: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Log density (draws,) of residuals (draws, n, 1)."""
    root = np.linalg.cholesky(covariance)
    z = np.linalg.solve(root, residual)[..., 0]
    logdet = 2 * np.log(np.diagonal(root, axis1=-2, axis2=-1)).sum(axis=-1)
    return -0.5 * ((z**2).sum(axis=-1) + logdet + residual.shape[1] * np.log(2 * np.pi))


def _t(matrices: np.ndarray) -> np.ndarray:
    return matrices.swapaxes(-1, -2)
