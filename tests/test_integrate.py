"""The integrated likelihood against dense scipy densities, complex steps and dense conditional normals."""

from decimal import Decimal, localcontext
from itertools import pairwise

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.gradient import DisconnectedInputError
from scipy.stats import multivariate_normal

from stimdose import conditionals, integrate
from stimdose.op import LogMarginal, integrated_normal

SHAPES = [  # rows by study, fixed columns, moving columns, slopes
    ([3, 1, 2], 2, 1, [-1]),
    ([1], 1, 0, [-1]),
    ([4], 2, 2, [-1, 1, 3]),
    ([1, 1, 1], 5, 4, [-1]),
    ([2, 5, 1, 3, 2], 0, 2, [-1, 0]),
    ([6, 6], 3, 1, [-1, 2, 0]),
]


def random_blocks(sizes, rng):
    """Correlation matrices of random sign for every other study, flat, with where each begins."""
    flat, block = [np.empty(0)], [0]
    for s, m in enumerate(sizes):
        A = rng.normal(size=(m, m + 3))
        C = A @ A.T / np.sqrt(np.outer((A**2).sum(1), (A**2).sum(1)))
        flat += [C.ravel()] if s % 2 == 0 else []
        block.append(block[-1] + (m * m if s % 2 == 0 else 0))
    return np.concatenate(flat), np.array(block)


def no_blocks(studies):
    return np.empty(0), np.zeros(studies + 1, int)


def make(sizes, p1, p2, slopes, seed=0, scale=1.0, blocks=True):
    rng = np.random.default_rng(seed)
    n, p = sum(sizes), p1 + p2
    sd = rng.uniform(0.1, 2, p)
    if p > 1:
        sd[-1] = 0.0  # a sampled coefficient
    correlation, block = random_blocks(sizes, np.random.default_rng(seed + 10)) if blocks else no_blocks(len(sizes))
    return {
        "y": rng.normal(size=n),
        "fixed": rng.normal(size=(p1, n)),
        "moving": rng.normal(size=(p2, n)),
        "mean": rng.normal(size=p),
        "sd": sd,
        "spread": rng.uniform(0.1, 1, len(slopes)) * scale,
        "slopes": np.array(slopes),
        "factor": np.random.default_rng(seed + 20).uniform(0.2, 3, len(sizes)) if seed % 2 else np.empty(0),
        "variance": rng.uniform(0.01, 1, n),
        "within": np.random.default_rng(seed + 30).uniform(0.1, 0.5, n),
        "start": np.concatenate([[0], np.cumsum(sizes)]),
        "correlation": correlation,
        "block": block,
        "statistics": np.empty(0),
        "by_row": True,
    }


def static(a):
    """The same model, as far as the static mode knows it."""
    a = a | {"spread": a["spread"][:1], "slopes": np.array([-1]), "within": np.empty(0), "by_row": False}
    a["correlation"], a["block"] = no_blocks(len(a["start"]) - 1)
    return a | {"statistics": integrate.statistics_of(a["y"], a["fixed"], a["variance"], a["start"])}


def general(a):
    return a | {"statistics": np.empty(0)}


def found_in(a):
    return dict(zip(("logp", *LogMarginal.gradients), integrate.log_marginal(**a), strict=True))


def design(a):
    """X (rows, p)."""
    return np.vstack([a["fixed"], a["moving"]]).T


def sampling_covariance(a):
    C = np.eye(len(a["y"]), dtype=a["variance"].dtype)
    for s, (first, last) in enumerate(pairwise(a["start"])):
        if a["block"][s + 1] > a["block"][s]:
            C[first:last, first:last] = a["correlation"][a["block"][s] : a["block"][s + 1]].reshape(last - first, last - first)
    sds = np.sqrt(a["variance"])
    return C * np.outer(sds, sds)


def dense(a):
    """Mean and covariance of y, written out."""
    X = design(a)
    K = sampling_covariance(a) + X @ np.diag(a["sd"] ** 2) @ X.T
    K = K + np.diag(a["within"]) if len(a["within"]) else K
    study = np.repeat(np.arange(len(a["start"]) - 1), np.diff(a["start"]))
    for spread, slope in zip(a["spread"], a["slopes"], strict=True):
        column = np.ones(len(X), X.dtype) if slope < 0 else X[:, slope]
        if slope < 0 and len(a["factor"]):
            column = a["factor"][study]
        K = K + spread**2 * np.outer(column, column) * (study[:, None] == study)
    return X @ a["mean"], K


def log_density(a):
    mean, K = dense(a)
    scale = np.sqrt(np.diag(K))
    return multivariate_normal(mean / scale, K / np.outer(scale, scale)).logpdf(a["y"] / scale) - np.log(scale).sum()


@pytest.mark.parametrize("blocks", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [1.0, 1e-9, 30.0])
def test_density_is_that_of_the_dense_normal(shape, scale, blocks):
    a = make(*shape, scale=scale, blocks=blocks)
    assert integrate.log_marginal(**a)[0] == pytest.approx(log_density(a), rel=1e-9)


@pytest.mark.parametrize("seed", range(40))
def test_density_of_random_shapes(seed):
    rng = np.random.default_rng(seed)
    sizes, p1, p2 = rng.integers(1, 7, rng.integers(1, 6)), *rng.integers(0, 6, 2)
    a = make(sizes, p1, p2, [-1, *range(min(p1 + p2, rng.integers(3)))], seed=seed, scale=rng.choice([0.0, 1.0]))
    a["within"] = a["within"] * rng.choice([0.0, 1.0])
    assert integrate.log_marginal(**a)[0] == pytest.approx(log_density(a), rel=1e-9)


def test_density_with_a_block_of_many_rows():
    a = make([150, 3, 150], 2, 1, [-1, 1])
    assert integrate.log_marginal(**a)[0] == pytest.approx(log_density(a), rel=1e-9)


@pytest.mark.parametrize("blocks", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_density_with_extreme_weights(shape, blocks):
    a = make(*shape, blocks=blocks)
    a["variance"] = a["variance"] * np.where(np.arange(len(a["y"])) % 2, 1e-6, 1e6)
    a["within"] = np.empty(0)
    assert integrate.log_marginal(**a)[0] == pytest.approx(log_density(a), rel=1e-7)


def inverse(K):
    """Inverse of a positive definite matrix of any type of number, by Gauss-Jordan elimination."""
    K = K.copy()
    for k in range(len(K)):
        pivot, row, column = K[k, k], K[k] / K[k, k], K[:, k].copy()
        K -= np.outer(column, row)
        K[k], K[:, k] = row, -column / pivot
        K[k, k] = 1 / pivot
    return K


def differentiated(a, name, index, numbers, change):
    """Mean and covariance of y where one number is changed."""
    moved = np.array(numbers[name])
    moved[index] += change
    return dense(a | numbers | {name: moved[()]})


def dense_gradients(a, decimal=False):
    """Gradients of the dense log density, from derivatives of its mean and covariance: complex steps, which lose no digits, and 64
    bits after the point; if `decimal`, central differences with 50 digits, for covariances that are nearly singular."""
    if decimal:
        to, step = np.vectorize(Decimal, otypes=[object]), Decimal("1e-20")
    else:
        to, step = (lambda value: np.asarray(value, np.clongdouble)), np.longdouble(1e-100)
    numbers = {name: to(a[name])[()] for name in a if np.asarray(a[name]).dtype == float and np.size(a[name])}
    mean, K = dense(a | numbers)
    K_inverse = inverse(K if decimal else K.real)
    alpha = K_inverse @ (numbers["y"] - mean if decimal else a["y"] - mean.real)
    weights = (np.outer(alpha, alpha) - K_inverse).ravel() / 2
    found = {"y": -alpha}
    for name in set(LogMarginal.gradients) - {"y"}:
        found[name] = np.empty(np.shape(a[name]))
        for index in np.ndindex(found[name].shape):
            if decimal:
                ends = zip(*(differentiated(a, name, index, numbers, change) for change in (step, -step)), strict=True)
                dmean, dK = ((high - low) / (2 * step) for high, low in ends)
            else:
                dmean, dK = (part.imag / step for part in differentiated(a, name, index, numbers, 1j * step))
            found[name][index] = alpha @ dmean + weights @ dK.ravel()
    return {name: np.asarray(value, float) for name, value in found.items()}


def assert_gradients(a, rtol=1e-9, atol=1e-9):
    found = found_in(a)
    for name, expected in dense_gradients(a).items():
        if (not a["by_row"] and name in ("y", "variance")) or (name in ("factor", "within") and not len(a[name])):
            assert found[name].shape == (0,)
        else:
            np.testing.assert_allclose(found[name], expected, rtol=rtol, atol=atol, err_msg=name)
    assert found["logp"] == pytest.approx(log_density(a), rel=1e-9)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("by_row", [False, True])
@pytest.mark.parametrize("blocks", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_are_those_of_the_dense_normal(shape, blocks, by_row, seed):
    assert_gradients(make(*shape, seed=seed, blocks=blocks) | {"by_row": by_row})


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("shape", SHAPES)
def test_static_gradients_are_those_of_the_dense_normal(shape, seed):
    assert_gradients(static(make(*shape, seed=seed)))


@pytest.mark.parametrize("shape", SHAPES)
def test_factors_of_one_change_nothing(shape):
    a = make(*shape)
    ones = a | {"factor": np.ones(len(shape[0]))}
    for name, found in found_in(ones).items():
        if name != "factor":
            np.testing.assert_allclose(found, found_in(a)[name], rtol=1e-12, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("seed", range(60))
def test_random_models(seed):
    """Shapes with more columns than rows and without columns, slopes of fixed and moving columns, scales of 0 and near it."""
    rng = np.random.default_rng(seed)
    sizes, p1, p2 = rng.integers(1, 7, rng.integers(1, 6)), *rng.integers(0, 6, 2)
    slopes = [-1, *rng.permutation(p1 + p2)[: rng.integers(3)]]
    a = make(sizes, p1, p2, slopes, seed=seed, blocks=rng.choice([False, True]))
    a["spread"] = a["spread"] * rng.choice([0, 1e-8, 1], len(slopes))
    a["sd"] = a["sd"] * rng.choice([0, 1e-8, 1], p1 + p2)
    a["within"] = (a["within"] * rng.choice([0, 1e-8, 1]))[: rng.choice([0, sum(sizes)])]
    a["by_row"] = bool(rng.choice([False, True]))
    assert_gradients(a)
    assert_gradients(static(a))


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("moving", [0, 3])
def test_static_mode_gives_what_the_general_one_gives_for_many_studies(moving, seed):
    a = static(make(np.random.default_rng(1).integers(1, 4, 700), 4, moving, [-1], seed=seed, blocks=False))
    a["moving"][:, :50] = 0.0
    for found, expected in zip(integrate.log_marginal(**a), integrate.log_marginal(**general(a)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("shuffled", [False, True])
def test_columns_of_groups(shuffled):
    """Columns that are zero but for the rows of one group, which is how groups enter."""
    rng, a = np.random.default_rng(3), make([2] * 24, 1, 6, [-1], blocks=False)
    group = np.repeat(np.arange(6), 8)
    a["moving"] *= (rng.permutation(group) if shuffled else group) == np.arange(6)[:, None]
    assert_gradients(a)
    assert_gradients(static(a))


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("variance", "tolerance"), [(1e-4, 1e-7), (1e-8, 1e-3)])
def test_small_variances_cost_few_digits(shape, variance, tolerance, seed):
    """ARCHITECTURE.md names the loss: none of note at 1e-4, up to 1 % at 1e-8."""
    a = make(*shape, seed=seed, blocks=False)
    a |= {"variance": a["variance"] * variance, "within": np.empty(0)}
    with localcontext(prec=50):
        for model in (a, static(a)):
            found, expected = found_in(model), dense_gradients(model, decimal=True)
            for name in ("moving", "mean", "sd", "spread", "factor"):
                scale = np.abs(expected[name]).max(initial=1.0)
                np.testing.assert_allclose(found[name] / scale, expected[name] / scale, rtol=0, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("name", ["y", "fixed", "moving", "mean", "sd", "spread", "factor", "variance"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("of", [general, static])
def test_bad_numbers_give_no_finite_density_and_no_error(name, bad, of):
    a = make([3, 1, 2], 2, 2, [-1], seed=1, blocks=False) | {"by_row": False}
    a[name] = a[name].copy()
    a[name].flat[0] = bad
    assert not np.isfinite(integrate.log_marginal(**of(a))[0])


@pytest.mark.parametrize("change", [{"variance": np.full(4, np.nan)}, {"correlation": np.array([1.0, 1.5, 1.5, 1.0])}])
def test_not_positive_definite_gives_nan_and_no_error(change):
    assert np.isnan(integrate.log_marginal(**make([2, 2], 1, 1, [-1]) | {"within": np.full(4, 0.01)} | change)[0])


@pytest.mark.parametrize("blocks", [False, True])
def test_variances_of_zero_give_no_finite_density_and_no_error(blocks):
    a = make([2, 2], 1, 1, [-1], blocks=blocks) | {"variance": np.zeros(4), "within": np.zeros(4)}
    assert not np.isfinite(integrate.log_marginal(**a)[0])


@pytest.mark.parametrize("blocks", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_rows_without_sampling_error_beside_rows_with_it(shape, blocks):
    """People among trials: every second row has no sampling error, and is independent of the others of its study."""
    a = make(*shape, blocks=blocks)
    people = np.arange(len(a["y"])) % 2 == 1
    a["variance"] = np.where(people, 0.0, a["variance"])
    for s, (first, last) in enumerate(pairwise(a["start"])):
        if a["block"][s + 1] > a["block"][s]:
            C = a["correlation"][a["block"][s] : a["block"][s + 1]].reshape(last - first, -1)
            of = people[first:last]
            C[of], C[:, of] = 0.0, 0.0
            C[of, of] = 1.0
    found, expected = found_in(a), dense_gradients(a)
    assert found["logp"] == pytest.approx(log_density(a), rel=1e-9)
    np.testing.assert_allclose(found["variance"][~people], expected["variance"][~people], rtol=1e-9, atol=1e-9)
    for name in set(expected) - {"variance"} - ({"factor"} if not len(a["factor"]) else set()):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-9, atol=1e-9, err_msg=name)


def identity_blocks(sizes):
    return np.concatenate([np.eye(m).ravel() for m in sizes]), np.concatenate([[0], np.cumsum(np.square(sizes))])


@pytest.mark.parametrize("shape", SHAPES)
def test_identity_blocks_change_nothing(shape):
    a = make(*shape, blocks=False)
    correlation, block = identity_blocks(shape[0])
    for found, expected in zip(
        integrate.log_marginal(**a | {"correlation": correlation, "block": block}), integrate.log_marginal(**a), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
def test_order_of_rows_within_a_study_does_not_matter(shape):
    a, rng = make(*shape), np.random.default_rng(7)
    order = np.concatenate([rng.permutation(np.arange(*ends)) for ends in pairwise(a["start"])])
    by_row = ("y", "fixed", "moving", "variance", "within")
    moved = a | {name: np.ascontiguousarray(a[name][..., order]) for name in by_row} | {"correlation": a["correlation"].copy()}
    for s, (first, last) in enumerate(pairwise(a["start"])):
        if a["block"][s + 1] > a["block"][s]:
            own, within_study = slice(*a["block"][s : s + 2]), order[first:last] - first
            C = a["correlation"][own].reshape(last - first, -1)
            moved["correlation"][own] = C[np.ix_(within_study, within_study)].ravel()
    names = ("logp", *LogMarginal.gradients)
    for name, found, expected in zip(names, integrate.log_marginal(**moved), integrate.log_marginal(**a), strict=True):
        np.testing.assert_allclose(
            found, expected[..., order] if name in by_row else expected, rtol=1e-9, atol=1e-9, err_msg=name
        )


@pytest.mark.slow
def test_op_gives_the_gradients_of_the_kernel():
    a = make(*SHAPES[0], seed=1)
    wanted = ("y", "spread", "factor", "variance")
    symbols = {name: pt.vector(name) for name in (*wanted, "correlation")}
    by_columns = a | {name: a[name].T for name in ("fixed", "moving")}
    logp = integrated_normal(*(symbols.get(name, by_columns[name]) for name in LogMarginal.inputs))[0]
    f = pytensor.function(list(symbols.values()), pt.grad(logp, [symbols[name] for name in wanted]), mode="NUMBA")
    expected = dict(zip(LogMarginal.gradients, integrate.log_marginal(**a)[1:], strict=True))
    for name, found in zip(wanted, f(*(a[name] for name in symbols)), strict=True):
        np.testing.assert_allclose(found, expected[name])
    with pytest.raises(DisconnectedInputError):
        pt.grad(logp, symbols["correlation"])


def own_spreads(a):
    """Spread of every effect of every study (studies, q)."""
    found = np.tile(a["spread"], (len(a["start"]) - 1, 1))
    if len(a["factor"]):
        found[:, 0] *= a["factor"]
    return found


@pytest.mark.parametrize("seed", [2, 5])
@pytest.mark.parametrize("shape", [SHAPES[0], SHAPES[2], SHAPES[4]])
def test_draws_have_the_mean_and_covariance_of_the_dense_conditional(shape, seed):
    a = make(*shape, seed=seed)
    rng, draws = np.random.default_rng(5), 40_000
    X = design(a)
    n, p = X.shape
    q, studies = len(a["slopes"]), len(a["start"]) - 1
    repeat = lambda value: np.broadcast_to(value, (draws, *np.shape(value))).copy()
    beta, u, _ = conditionals.draw(
        a["y"][None],
        np.broadcast_to(X, (draws, n, p)),
        repeat(a["mean"]),
        repeat(a["sd"]),
        repeat(a["spread"]),
        a["slopes"],
        repeat(a["factor"]),
        a["variance"][None],
        repeat(a["within"]),
        a["start"],
        a["correlation"],
        a["block"],
        rng.standard_normal((draws, p)),
        rng.standard_normal((draws, studies, q)),
    )
    drawn = np.hstack([beta, u.reshape(draws, -1)])

    study = np.repeat(np.arange(studies), np.diff(a["start"]))
    columns = [np.ones(n) if slope < 0 else X[:, slope] for slope in a["slopes"]]
    Z = np.stack([np.where(study == s, column, 0.0) for s in range(studies) for column in columns], axis=1)
    W, prior_sd = np.hstack([X, Z]), np.concatenate([a["sd"], own_spreads(a).ravel()])
    prior_mean = np.concatenate([a["mean"], np.zeros(Z.shape[1])])
    P = np.diag(prior_sd**2)
    gain = P @ W.T @ np.linalg.inv(W @ P @ W.T + sampling_covariance(a) + np.diag(a["within"]))
    mean, cov = prior_mean + gain @ (a["y"] - W @ prior_mean), P - gain @ W @ P

    free = prior_sd > 0
    z = (drawn.mean(0) - mean)[free] / np.sqrt(np.diag(cov)[free] / draws)
    assert np.abs(z).max() < 4.5
    se = np.sqrt((np.outer(np.diag(cov), np.diag(cov)) + cov**2) / draws)[np.ix_(free, free)]
    assert (np.abs(np.cov(drawn.T) - cov)[np.ix_(free, free)] / se).max() < 4.5
    assert np.ptp(drawn[:, ~free], axis=0) == pytest.approx(0)


def test_log_likelihood_by_study_is_that_of_the_dense_normal():
    a = make(*SHAPES[5], seed=3)
    X = design(a)
    p = X.shape[1]
    one = lambda value: np.asarray(value, float)[None]
    b = np.array([0.3, -0.2, 1.0, 0.5])
    beta, _, log_likelihood = conditionals.draw(
        a["y"][None],
        X[None],
        one(a["mean"]),
        one(a["sd"]),
        one(a["spread"]),
        a["slopes"],
        one(a["factor"]),
        a["variance"][None],
        one(a["within"]),
        a["start"],
        a["correlation"],
        a["block"],
        one(b),
        np.zeros((1, 2, 3)),
    )
    no_beta = a | {"mean": beta[0], "sd": np.zeros(p)}
    mean, K = dense(no_beta)
    for s, (first, last) in enumerate(zip(a["start"][:-1], a["start"][1:], strict=True)):
        rows = slice(first, last)
        assert log_likelihood[0, s] == pytest.approx(multivariate_normal(mean[rows], K[rows, rows]).logpdf(a["y"][rows]))


def test_effects_and_variances_may_differ_between_draws():
    a, draws, rng = make(*SHAPES[4], seed=4), 5, np.random.default_rng(6)
    n, p = len(a["y"]), len(a["mean"])
    q, studies = len(a["slopes"]), len(a["start"]) - 1
    sizes = [(draws, n), (draws, n, p), *[(draws, p)] * 2, (draws, q), (draws, studies), (draws, n), (draws, n)]
    each = [rng.uniform(0.2, 1, size) for size in sizes]
    normals = [rng.standard_normal((draws, p)), rng.standard_normal((draws, studies, q))]

    def run(which):
        y, X, mean, sd, spread, factor, variance, within = (np.ascontiguousarray(value[which]) for value in each)
        return conditionals.draw(
            *(y, X, mean, sd, spread, a["slopes"], factor, variance, within, a["start"], a["correlation"], a["block"]),
            *(z[which] for z in normals),
        )

    for together, apart in zip(run(slice(None)), zip(*(run(slice(d, d + 1)) for d in range(draws)), strict=True), strict=True):
        np.testing.assert_allclose(together, np.concatenate(apart), rtol=1e-12)


# --- Draws that are linear in the normals: unit vectors as "normals" give their exact covariance -------------------------------------


def errors_of(a):
    return a["start"], a["correlation"], a["block"]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("within", [0.0, 1.0])
def test_sampling_errors_have_the_covariance_of_the_rows(shape, within):
    a = make(*shape)
    n = len(a["y"])
    F = conditionals.sampling_errors(a["variance"][None], np.tile(within * a["within"], (n, 1)), *errors_of(a), np.eye(n))
    np.testing.assert_allclose(F.T @ F, sampling_covariance(a) + np.diag(within * a["within"]), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("within", "scale"), [(0.3, 1.0), (0.0, 1.0), (1e-14, 1.0), (1e3, 1.0), (0.3, 1e-12)])
def test_within_deviations_have_the_mean_and_covariance_of_the_dense_conditional(shape, within, scale):
    a = make(*shape)
    n, V = len(a["y"]), sampling_covariance(a) * scale
    variance = a["variance"][None] * scale
    mean = conditionals.within_deviations(a["y"][None], variance, np.array([within]), *errors_of(a), np.zeros((1, n)))[0]
    F = conditionals.within_deviations(np.zeros((n, n)), variance, np.full(n, within), *errors_of(a), np.eye(n))
    gain = np.linalg.inv(within * np.eye(n) + V)
    np.testing.assert_allclose(mean, within * gain @ a["y"], rtol=1e-8)
    np.testing.assert_allclose(F.T @ F, within * V @ gain, rtol=1e-8, atol=1e-10 * min(within, scale))
