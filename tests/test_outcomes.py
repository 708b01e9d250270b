"""Study effects of several outcomes: formulas, quadrature over both spreads and their correlation, dense normals, and laws."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import logsumexp
from scipy.stats import halfnorm, multivariate_normal, norm

import stimdose as sd
from stimdose import outcomes
from stimdose.calibration import log_likelihood
from stimdose.density import log_density
from stimdose.density import prior as prior_density
from stimdose.encoding import encode
from stimdose.grid import NewStudy, curve_draws, held_values
from stimdose.left_out import log_predictive
from stimdose.outliers import moments
from stimdose.posterior import draw_coefficients, draw_prior, fitted, new_study_effects
from stimdose.program import FAMILIES
from stimdose.roles import roles
from stimdose.rows import Rows, prepare, rows_of

ORACLES = Path(__file__).parent / "oracles" / "covariance"
PLAIN = sd.Model(name="m", intercept=sd.Intercept(by="outcome"), between_study_by="outcome")
RHO = sd.Prior("correlation", mu=0.3, sigma=0.4, why="much alike")


def table_of(levels: int = 2, studies: int = 9, seed: int = 4) -> pd.DataFrame:
    """Studies with one outcome or more, on the same people."""
    rng, rows = np.random.default_rng(seed), []
    for k in range(studies):
        shared = 0.3 * rng.standard_normal()
        for j in range(1 + k % levels):
            effect = 0.2 + 0.3 * ((j + k) % levels) + shared + 0.2 * rng.standard_normal()
            rows.append((f"Trial {k}", "ABC"[(j + k) % levels], effect, rng.uniform(0.1, 0.3)))
    table = pd.DataFrame(rows, columns=["study", "outcome", "effect", "se"])
    constants = {"measure": "SMD", "direction": "higher", "comparator": "sham", "design": "parallel"}
    return table.assign(sample="all", outcome_correlation=0.4, **constants)


def rows_for(model: sd.Model, table: pd.DataFrame) -> tuple[sd.Model, Rows]:
    model, trials = prepare(model, sd.read_trials(table))
    return model, rows_of(model, trials)


def with_draws(model: sd.Model, table: pd.DataFrame, draws: int = 3) -> tuple[sd.Model, Rows, dict]:
    model, rows = rows_for(model, table)
    return model, rows, draw_prior(model, rows, draws, np.random.default_rng(5))


# --- the spec ------------------------------------------------------------------------------------------------------------------------


def test_it_round_trips_and_its_prior_has_a_name_a_role_and_a_reason(tmp_path):
    model = PLAIN.replace(between_study_correlation=RHO, outcome_sd=10.0)
    model.save(tmp_path / "m.toml")
    assert sd.load_model(tmp_path / "m.toml") == model
    assert model.priors()["between_study_correlation"] == RHO
    assert PLAIN.with_priors({"between_study_correlation": RHO}).priors()["between_study_correlation"] == RHO
    assert sd.prior_table(PLAIN).loc["between_study_correlation", "why"]
    assert roles(PLAIN)["between_study_correlation"] == ("between_study_correlation",)
    own = sd.PriorSet(name="alike", priors={"between_study_correlation": {"widen": 0.5}}).for_model(PLAIN)
    assert own["between_study_correlation"].parameters["sigma"] == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"between_study_correlation": RHO, "between_study_by": None}, "state between_study_by, or leave the prior out"),
        ({"between_study_correlation": sd.Prior("halfnormal", sigma=1.0)}, "its prior is of that family, not halfnormal"),
    ],
)
def test_a_bad_spec_is_refused(model, words):
    with pytest.raises(sd.ModelError, match=words):
        PLAIN.replace(**model)


@pytest.mark.parametrize(
    ("fields", "words"), [({"study_effects": "student-t"}, "one outcome each"), ({"selection": "step"}, "one for each")]
)
def test_what_it_does_not_go_with_is_refused_by_name(fields, words):
    with pytest.raises(sd.ModelError, match=f"{words}.*Trial 1, Trial 3"):
        rows_for(PLAIN.replace(**fields), table_of())


def test_studies_of_one_outcome_each_have_no_correlation():
    model, rows = rows_for(PLAIN, table_of().drop_duplicates("study"))
    assert not rows.has_levels
    assert "between_study_correlation" not in draw_prior(model, rows, 2, np.random.default_rng(0))


def test_rows_of_two_outcomes_are_no_replicates():
    _, rows = rows_for(PLAIN, table_of())
    assert rows.has_levels
    assert not rows.has_within_study
    twice = pd.concat([table_of(), table_of().assign(sample="others")], ignore_index=True)
    _, rows = rows_for(PLAIN, twice)
    assert rows.has_levels
    assert rows.has_within_study


# --- formulas --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [2, 3, 5])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.98])
def test_the_root_of_the_correlation(levels, share):
    lowest = outcomes.lowest_correlation(levels)
    rho = lowest + share * (1 - lowest)
    R = (1 - rho) * np.eye(levels) + rho
    own, shared = outcomes.half(rho, levels)
    root = own * np.eye(levels) + shared
    np.testing.assert_allclose(root @ root, R, atol=1e-14)
    step = 1e-6 * (1 - share) * share
    numeric = [
        (a - b) / (2 * step) for a, b in zip(outcomes.half(rho + step, levels), outcomes.half(rho - step, levels), strict=True)
    ]
    np.testing.assert_allclose(outcomes.half_slopes(rho, levels), numeric, rtol=1e-4)
    assert np.linalg.eigvalsh((1 - lowest) * np.eye(levels) + lowest).min() == pytest.approx(0, abs=1e-12)

    spreads, level = np.array([[0.2, 0.5, 0.3, 0.1, 0.4][:levels]]), np.arange(levels)
    Z = np.stack(outcomes.columns(spreads, level, np.array([rho]), levels), axis=-1)[0]
    np.testing.assert_allclose(Z @ Z.T, R * np.outer(spreads, spreads), atol=1e-14)
    normals = np.eye(levels)[None]  # each in the place of a study
    np.testing.assert_allclose(outcomes.effects(normals, spreads, np.array([rho]))[0].T, Z, atol=1e-14)


def test_a_prior_that_is_cut_is_normalised():
    prior = RHO.above(-0.5)
    x = np.array([-6.0, -1.0, 0.0, 0.7])
    value, slope, density, _ = np.transpose([prior_density(FAMILIES.index("correlation above"), 0.3, 0.4, -0.5, at) for at in x])
    assert (value > -0.5).all()
    np.testing.assert_allclose(density, prior.distribution.logpdf(value) + np.log(slope), rtol=1e-9)
    r = np.linspace(-0.5, 1, 200_001)[1:-1]
    assert np.trapezoid(prior.distribution.pdf(r), r) == pytest.approx(1, abs=1e-5)
    assert prior.distribution.cdf(prior.distribution.ppf(0.3)) == pytest.approx(0.3)
    assert prior.above(-0.8) == prior
    with pytest.raises(sd.ModelError, match="no `lower` end"):
        sd.Prior("normal", mu=0.0, sigma=1.0, lower=0.0)


# --- against dense normals ------------------------------------------------------------------------------------------------------------


def dense(rows: Rows, values: dict, d: int) -> np.ndarray:
    """Covariance (rows, rows) of the effects given every parameter, from nothing but its definition."""
    level, n = rows.points.groups["outcome"], len(rows.effect)
    tau, rho, found = values["between_study_by_outcome"][d], values["between_study_correlation"][d], np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            if rows.study[i] == rows.study[j]:
                alike = 1 if level[i] == level[j] else rho
                sampling = np.sqrt(rows.variance[i] * rows.variance[j]) * (1 if i == j else 0.4)
                found[i, j] = tau[level[i]] * tau[level[j]] * alike + sampling
    return found


@pytest.mark.parametrize("levels", [2, 3])
def test_what_is_integrated_out_is_the_dense_normal(levels):
    model, rows, values = with_draws(PLAIN, table_of(levels))
    mean = values["intercept_by_outcome"][:, rows.points.groups["outcome"]]
    expected = [multivariate_normal.logpdf(rows.effect, mean[d], dense(rows, values, d)) for d in range(3)]
    np.testing.assert_allclose(log_likelihood(model, rows, values), expected, rtol=1e-10)
    seen = moments(model, rows, values)
    for s in range(len(rows.studies)):
        own = slice(*rows.start[s : s + 2])
        for d in range(3):
            np.testing.assert_allclose(seen.covariance(rows, s)[d], dense(rows, values, d)[own, own], rtol=1e-10)


@pytest.mark.parametrize("levels", [2, 3])
def test_a_study_given_the_others(levels):
    model, rows, values = with_draws(PLAIN, table_of(levels))
    without, _ = log_predictive(model, rows, values)
    level = rows.points.groups["outcome"]
    design = np.column_stack([np.ones(len(level)), *(level == k for k in range(levels))])
    for d in range(3):
        shared = design * [1.0, *[values["intercept_between_outcome"][d]] * levels]
        whole = dense(rows, values, d) + shared @ shared.T
        for s in range(len(rows.studies)):
            rest = rows.study != s
            joint = multivariate_normal.logpdf(rows.effect, cov=whole)
            others = multivariate_normal.logpdf(rows.effect[rest], cov=whole[np.ix_(rest, rest)])
            assert without[d, s] == pytest.approx(joint - others, abs=1e-8)


def test_draws_of_study_effects_are_those_of_the_conditional_normal():
    draws = 40_000
    model, rows, values = with_draws(PLAIN, table_of(3), 1)
    for name in ("intercept", "intercept_by_outcome"):
        del values[name]
    values = {name: np.repeat(value, draws, axis=0) for name, value in values.items()}
    drawn, log_density_of = draw_coefficients(model, rows, values, np.random.default_rng(2))
    np.testing.assert_allclose(log_density_of.sum(axis=1)[:50], log_likelihood(model, rows, values | drawn)[:50], rtol=1e-9)
    level, K = rows.points.groups["outcome"], 3
    tau, rho = values["between_study_by_outcome"][0], values["between_study_correlation"][0]
    of_study = np.outer(tau, tau) * ((1 - rho) * np.eye(K) + rho)
    design = np.column_stack([np.ones(len(level)), *(level == k for k in range(K))])
    shared = design * [1.0, *[values["intercept_between_outcome"][0]] * K]
    precise = np.linalg.inv(dense(rows, values, 0) + shared @ shared.T)
    for s in (0, 2, 5):
        gain = np.where(rows.study == s, of_study[:, level], 0.0) @ precise
        mean, covariance = gain @ rows.effect, of_study - gain @ np.where(rows.study == s, of_study[:, level], 0.0).T
        u = drawn["study_effect"][:, s]
        np.testing.assert_allclose(u.mean(axis=0), mean, atol=5 * np.sqrt(np.diag(covariance) / draws).max())
        np.testing.assert_allclose(np.cov(u.T), covariance, atol=0.03 * covariance.max())
    total = fitted(model, rows, values | drawn)
    own = drawn["study_effect"][:, rows.study, level] + drawn["intercept_by_outcome"][:, level]
    np.testing.assert_allclose(total, own, atol=1e-12)


def test_slopes_by_study_come_beside_them():
    table = table_of(3).assign(age=lambda t: 40.0 + 10.0 * (t.index % 4))
    by_age = sd.Moderator(column="age", center=40, per=10, by_study=True)
    model, rows, values = with_draws(PLAIN.replace(moderator=[by_age]), table, 20_000)
    assert rows.slopes == ("age",)
    values = {name: np.repeat(value[:1], len(value), axis=0) for name, value in values.items()}
    sampled = {name: value for name, value in values.items() if name not in ("intercept", "intercept_by_outcome", "age_effect")}
    drawn, by_study = draw_coefficients(model, rows, sampled, np.random.default_rng(2))
    np.testing.assert_allclose(by_study.sum(axis=1)[:50], log_likelihood(model, rows, sampled | drawn)[:50], rtol=1e-9)
    assert drawn["age_effect_study_effect"].shape == (20_000, 9)
    residual = rows.effect - fitted(model, rows, sampled | drawn)  # of which the sampling errors are
    level, x = rows.points.groups["outcome"], rows.points.moderators["age"]
    slope = values["age_effect_between_study"][0] ** 2 * np.outer(x, x) * (rows.study[:, None] == rows.study)
    design = np.column_stack([np.ones(len(level)), *(level == k for k in range(3)), x])
    shared = design * [1.0, *[values["intercept_between_outcome"][0]] * 3, 0.5]
    whole, sampling = (
        dense(rows, values, 0) + slope + shared @ shared.T,
        dense(rows, values | {"between_study_by_outcome": np.zeros((1, 3))}, 0),
    )
    expected = sampling @ np.linalg.solve(whole, rows.effect)
    np.testing.assert_allclose(residual.mean(axis=0), expected, atol=5 * np.sqrt(np.diag(sampling).max() / 20_000))


def test_arms_with_one_control_and_two_outcomes():
    """Trials of two arms, one control and two outcomes, slopes in the dose and deviations of rows: V from the means of people, everything
    else from its definition."""
    deviation, people, r = {"A": 8.0, "B": 0.7}, {"low": 18, "high": 25, "control": 30}, 0.45
    rng, cells = np.random.default_rng(0), []
    for k in range(4):
        for arm in ("low", "high")[: 2 - k % 2]:
            for name in "AB"[: 1 + (k < 3)]:
                mean = deviation[name] * rng.normal(0.5, 0.5)
                cells.append(
                    (f"T{k}", arm, arm, name, mean, deviation[name], deviation[name], people[arm], 15.0 - 10 * (arm == "low"))
                )
    names = ["study", "arm", "sample", "outcome", "mean_active", "sd_active", "sd_control", "n_active", "sessions"]
    table = pd.DataFrame(cells, columns=names)
    constants = {"measure": "MD", "direction": "higher", "comparator": "sham", "design": "parallel", "score": "final"}
    table = table.assign(mean_control=0.0, n_control=people["control"], control_group="c", outcome_correlation=r, **constants)
    trials = sd.read_trials(table).in_units(deviation)
    dose = sd.Dose(column="sessions", shape="linear", reference=10)
    model, trials = prepare(PLAIN.replace(dose=[dose], outcome_sd=1.0), trials)
    rows = rows_of(model, trials)
    assert (rows.slopes, rows.has_levels, rows.has_within_study) == (("sessions",), True, True)

    same, arm, level = rows.study[:, None] == rows.study, table["arm"].to_numpy(), rows.points.groups["outcome"]
    both = np.where(level[:, None] == level, 1.0, r)
    in_arm = (arm[:, None] == arm) / table["n_active"].to_numpy()
    sampling, x = same * both * (in_arm + 1 / people["control"]), table["sessions"].to_numpy() / 10
    values = draw_prior(model, rows, 3, np.random.default_rng(1))
    sampled = {k: v for k, v in values.items() if k not in ("intercept", "intercept_by_outcome", "sessions_slope")}
    without, _ = log_predictive(model, rows, sampled)
    for d in range(3):
        one = {name: value[d] for name, value in values.items()}
        tau, rho = one["between_study_by_outcome"], one["between_study_correlation"]
        of_study = np.outer(tau[level], tau[level]) * np.where(level[:, None] == level, 1, rho)
        K = sampling + same * (of_study + one["sessions_slope_between_study"] ** 2 * np.outer(x, x))
        K += one["within_study"] ** 2 * np.eye(len(x))
        mean = one["intercept_by_outcome"][level] + one["sessions_slope"] * x
        given = log_likelihood(model, rows, {name: value[d : d + 1] for name, value in values.items()})
        assert given[0] == pytest.approx(multivariate_normal.logpdf(rows.effect, mean, K))
        K += 1.0 + one["intercept_between_outcome"] ** 2 * (level[:, None] == level)
        K += model.priors()["sessions_slope"].parameters["sigma"] ** 2 * np.outer(x, x)
        density = lambda at, K=K: multivariate_normal.logpdf(rows.effect[at], cov=K[np.ix_(at, at)])
        for s in range(4):
            others = np.flatnonzero(rows.study != s)
            assert without[d, s] == pytest.approx(density(np.arange(len(x))) - density(others), abs=1e-8)


def test_new_studies_have_the_stated_covariance():
    model, rows, values = with_draws(PLAIN, table_of(3), 1)
    many = {name: np.repeat(value, 40_000, axis=0) for name, value in values.items()}
    u = new_study_effects(model, rows, many, np.random.default_rng(1))["study_effect"]
    tau, rho = values["between_study_by_outcome"][0], values["between_study_correlation"][0]
    expected = np.outer(tau, tau) * ((1 - rho) * np.eye(3) + rho)
    np.testing.assert_allclose(np.cov(u[:, 4].T), expected, atol=0.04 * expected.max())


def test_curves_of_a_new_study_by_outcome():
    table = table_of(3).assign(sessions=lambda t: 5.0 + 5 * (t.index % 4))
    dose = sd.Dose(column="sessions", shape="linear", by_study=False)
    model, rows, values = with_draws(PLAIN.replace(dose=[dose]), table)
    held = held_values(model, rows, "sessions", "outcome", {})
    at = lambda new=None: curve_draws(model, rows, values, "sessions", np.array([5.0, 10.0]), "outcome", held, new)
    moved = np.stack([at(NewStudy(one, 0)) - at() for one in np.eye(4)[..., None, None]])  # (normals, draws, doses, outcomes)
    assert not moved[-1].any()  # nothing differs within studies
    tau, rho = values["between_study_by_outcome"], values["between_study_correlation"][:, None, None]
    expected = tau[:, :, None] * tau[:, None, :] * ((1 - rho) * np.eye(3) + rho)
    np.testing.assert_allclose(np.einsum("zdgk,zdgl->dkl", moved[:, :, :1], moved[:, :, :1]), expected, atol=1e-12)
    np.testing.assert_allclose(moved[:, :, 0], moved[:, :, 1], atol=1e-12)


# --- laws ------------------------------------------------------------------------------------------------------------------------------


def density_of(model: sd.Model, table: pd.DataFrame, position: np.ndarray) -> float:
    program, _ = encode(*rows_for(model, table))
    return log_density(position, program, np.empty(len(position)))


def test_the_order_of_rows_and_the_names_of_outcomes_change_nothing():
    table, (program, layout) = table_of(3), encode(*rows_for(PLAIN, table_of(3)))
    position = np.random.default_rng(0).normal(0.3, 0.3, len(program.sampled.family))
    expected = density_of(PLAIN, table, position)
    assert density_of(PLAIN, table.sample(frac=1, random_state=3), position) == pytest.approx(expected, rel=1e-12)
    renamed, moved = table.assign(outcome=table["outcome"].map({"A": "C", "B": "A", "C": "B"})), position.copy()
    place = layout.sampled["between_study_by_outcome_z"]
    moved[place] = position[place][[1, 2, 0]]
    assert density_of(PLAIN, renamed, moved) == pytest.approx(expected, rel=1e-12)


def test_without_correlation_outcomes_are_apart():
    """With rho = 0 and independent samples, the density of both is the sum of that of each."""
    table = table_of().assign(sample=None, outcome_correlation=None)
    model, rows, values = with_draws(PLAIN, table)
    values["between_study_correlation"][:] = 0.0
    both, parts = log_likelihood(model, rows, values), 0.0
    for k, outcome in enumerate("AB"):
        own, of = rows_for(sd.Model(name="one", intercept=sd.Intercept()), table[table["outcome"] == outcome])
        parts = parts + log_likelihood(
            own,
            of,
            {"intercept": values["intercept_by_outcome"][:, k], "between_study": values["between_study_by_outcome"][:, k]},
        )
    np.testing.assert_allclose(both, parts, rtol=1e-10)


# --- Berkey and others 1998: against quadrature, and against maximum likelihood ---------------------------------------------------------

PRIORS = {
    "between_study": sd.Prior("lognormal", mu=np.log(0.15), sigma=0.5),
    "between_study_spread": sd.Prior("halfnormal", sigma=0.5),
    "between_study_correlation": sd.Prior("correlation", mu=0.5, sigma=0.6),
}
ONE = sd.Prior("normal", mu=0.0, sigma=1.0)
BERKEY = sd.Model(
    name="berkey",
    outcome_sd=1.0,
    intercept=sd.Intercept(prior=ONE),
    moderator=[sd.Moderator(column="is_depth", prior=ONE, center=0, per=1)],
    between_study_by="outcome",
    **PRIORS,
)


def berkey() -> pd.DataFrame:
    """Two outcomes of five trials (attachment level AL, probing depth PD), their covariances known trial by trial."""
    table = pd.read_csv(ORACLES / "berkey1998.csv")
    depth = table["outcome"] == "PD"
    first, second = table.groupby("trial")["vi"].transform("first"), table.groupby("trial")["vi"].transform("last")
    covariance = np.where(depth, table["v2i"], table["v1i"])
    found = {
        "study": "Trial " + table["trial"].astype(str),
        "outcome": table["outcome"],
        "effect": table["yi"],
        "variance": table["vi"],
        "is_depth": depth.astype(float),
        "sample": "all",
        "outcome_correlation": covariance / np.sqrt(first * second),
    }
    return pd.DataFrame(found).assign(measure="MD", direction="higher", comparator="sham", design="parallel")


class Exact:
    """The posterior of `BERKEY` on a grid of log tau of AL and PD, and Fisher's z of their correlation."""

    def __init__(self, table: pd.DataFrame, size: int = 45):
        logs, z = np.linspace(np.log(0.005), np.log(2.5), size), np.linspace(-2.0, 3.2, size)
        self.grid = np.stack(np.meshgrid(logs, logs, z, indexing="ij"), axis=-1).reshape(-1, 3)
        tau, rho = np.exp(self.grid[:, :2]), np.tanh(self.grid[:, 2])
        precision, weighted, log = np.eye(2) + np.zeros((len(rho), 2, 2)), np.zeros((len(rho), 2)), np.zeros(len(rho))
        for _, own in table.groupby("study"):
            k = own["is_depth"].to_numpy().astype(int)
            y, v, n = own["effect"].to_numpy(), own["variance"].to_numpy(), len(own)
            r = np.where(np.eye(n), 1, own["outcome_correlation"].iloc[0]) * np.sqrt(np.outer(v, v))
            B = tau[:, k, None] * tau[:, None, k] * np.where(np.equal.outer(k, k), 1, rho[:, None, None]) + r
            X, inverse = np.column_stack([np.ones(n), k]), np.linalg.inv(B)
            precision = precision + X.T @ inverse @ X
            weighted += np.einsum("ij,gjk,k->gi", X.T, inverse, y)
            log += -0.5 * (np.einsum("j,gjk,k->g", y, inverse, y) + np.linalg.slogdet(B)[1] + n * np.log(2 * np.pi))
        self.covariance = np.linalg.inv(precision)
        self.mean = np.einsum("gij,gj->gi", self.covariance, weighted)
        log += 0.5 * (np.einsum("gi,gi->g", weighted, self.mean) - np.linalg.slogdet(precision)[1])
        log += norm.logpdf(self.grid[:, 2], 0.5, 0.6) + self.log_prior(self.grid[:, :2], logs[1] - logs[0])
        self.evidence = logsumexp(log) + np.log((logs[1] - logs[0]) ** 2 * (z[1] - z[0]))
        self.weight = np.exp(log - logsumexp(log))

    @staticmethod
    def log_prior(logs: np.ndarray, step: float) -> np.ndarray:
        """Of log tau by outcome: normal around that of both, given the spread, which is summed over. The density of their difference is infinite
        at 0, and so averaged over a step of the grid."""
        spread = (np.arange(200) + 0.5) / 200 * 2.5
        away = logs - np.log(0.15)
        total, difference = away.sum(axis=1)[:, None], (away[:, 0] - away[:, 1])[:, None]
        ends = [norm.cdf((difference + side * step / 2) / (np.sqrt(2) * spread)) for side in (-1, 1)]
        with np.errstate(divide="ignore"):
            density = np.log((ends[1] - ends[0]) / step) + norm.logpdf(total, 0, np.sqrt(1 + 2 * spread**2)) + np.log(2)
        return logsumexp(density + halfnorm.logpdf(spread, scale=0.5), axis=1) + np.log(spread[1] - spread[0])

    def moments(self) -> dict[str, tuple[float, float]]:
        """Mean and standard deviation of the effects on both outcomes, log tau and z."""
        turn = np.array([[1.0, 0.0], [1.0, 1.0]])  # AL, PD
        mean, variance = self.mean @ turn.T, np.einsum("ki,gij,kj->gk", turn, self.covariance, turn)
        values = np.column_stack([mean, self.grid])
        first = self.weight @ values
        second = self.weight @ (values**2 + np.column_stack([variance, np.zeros((len(variance), 3))]))
        names = ["AL", "PD", "log tau AL", "log tau PD", "z"]
        return dict(zip(names, zip(first, np.sqrt(second - first**2), strict=True), strict=True))


def quantities(fit: sd.Fit) -> dict[str, np.ndarray]:
    """(chain, draw) of what `Exact.moments` has."""
    posterior = fit.tree["posterior"]
    tau = np.log(posterior["between_study_by_outcome"])
    found = {"AL": posterior["intercept"], "PD": posterior["intercept"] + posterior["is_depth_effect"]}
    found |= {f"log tau {name}": tau.sel(outcome=name) for name in ("AL", "PD")}
    return found | {"z": np.arctanh(posterior["between_study_correlation"])}


def assert_is(fit: sd.Fit, exact: Exact) -> None:
    import arviz as az

    for name, (mean, deviation) in exact.moments().items():
        draws = quantities(fit)[name]
        error = deviation / np.sqrt(float(az.ess(draws.to_numpy())))
        assert float(draws.mean()) == pytest.approx(mean, abs=4 * error), name
        assert float(draws.std()) == pytest.approx(deviation, rel=0.08), name


SETTINGS = {"seed": 3, "draws": 2000, "progress": False, "allow_mixed": ("outcome",)}


@pytest.fixture(scope="module")
def exact() -> Exact:
    return Exact(berkey())


@pytest.fixture(scope="module")
def berkey_fit() -> sd.Fit:
    return sd.fit(BERKEY, sd.read_trials(berkey()), **SETTINGS)


def test_berkey_agrees_with_quadrature(berkey_fit, exact):
    assert berkey_fit.diagnosis.converged
    assert_is(berkey_fit, exact)
    found = sd.marginal_likelihood(berkey_fit)
    assert found.log == pytest.approx(exact.evidence, abs=4 * found.error + 0.005)


def test_berkey_is_near_maximum_likelihood(exact):
    """REML of metafor. The means are within a fifth of their standard errors. Five trials tell so little of spreads and their correlation
    that the posterior is mostly the prior's: that of 0.15 for both spreads draws them together, and rho towards 0.46."""
    known = json.loads((ORACLES / "expected.json").read_text())["berkey1998"]
    moments = exact.moments()
    covariance = np.array(known["heterogeneity"])
    tau = np.sqrt(np.diag(covariance))
    for k, name in enumerate(("AL", "PD")):
        assert moments[name][0] == pytest.approx(known["coefficients"][k], abs=0.2 * known["se"][k])
        assert 0.7 < moments[name][1] / known["se"][k] < 1.4
        assert abs(moments[f"log tau {name}"][0] - np.log(tau[k])) < moments[f"log tau {name}"][1]
    assert abs(moments["z"][0] - np.arctanh(covariance[0, 1] / tau.prod())) < moments["z"][1]


@pytest.mark.slow
def test_leaving_a_trial_out_agrees_with_quadrature(berkey_fit, exact):
    table, found = berkey(), sd.leave_one_study_out(berkey_fit)
    for study, line in found.table.iterrows():
        assert line["elpd"] == pytest.approx(exact.evidence - Exact(table[table["study"] != study]).evidence, abs=0.1), study


def test_everything_that_reads_a_fit(berkey_fit, tmp_path):
    assert berkey_fit.tree["posterior"]["study_effect"].dims == ("chain", "draw", "study", "outcome")
    table = sd.study_effects(berkey_fit)
    assert len(table) == 10
    assert table.attrs["prediction"]["low"] < table.attrs["pooled"]["low"]
    berkey_fit.save(tmp_path / "fit.nc")
    again = sd.load_fit(tmp_path / "fit.nc")
    assert again.tree["posterior"]["study_effect"].equals(berkey_fit.tree["posterior"]["study_effect"])
    assert len(sd.check(berkey_fit).tables["studies"]) == 5
    assert "between_study_correlation" in berkey_fit.summary().index


def test_an_outcome_that_half_of_the_trials_lack_borrows_from_the_other():
    table = berkey()
    lacking = table["study"].isin(["Trial 1", "Trial 4"]) & (table["outcome"] == "PD")
    exact = Exact(table[~lacking])
    fit = sd.fit(BERKEY, sd.read_trials(table[~lacking]), **SETTINGS)
    assert_is(fit, exact)
    other = fit.tree["posterior"]["study_effect"].sel(study="Trial 4", outcome=["AL", "PD"])
    assert np.corrcoef(other.stack(sample=("chain", "draw")))[0, 1] > 0.2  # of a trial without PD


# --- simulation --------------------------------------------------------------------------------------------------------------------------


def test_simulated_trials_take_and_give_effects_by_outcome():
    trials = sd.read_trials(table_of(2))
    truth = {"intercept": 0.3, "intercept_by_outcome": [0.2, 0.5], "between_study_by_outcome": [0.3, 0.2]}
    truth |= {"between_study_correlation": 0.8}
    found = sd.simulate_trials(PLAIN, trials, truth, seed=1)
    assert found.truth["study_effect"].dims == ("study", "outcome")
    again = sd.simulate_trials(PLAIN, trials, truth | {"study_effect": found.truth["study_effect"]}, seed=2)
    np.testing.assert_array_equal(again.truth["study_effect"], found.truth["study_effect"])
    with pytest.raises(sd.StimdoseError, match="study_effect is 18 numbers"):
        sd.simulate_trials(PLAIN, trials, truth | {"study_effect": [0.1]}, seed=2)


@pytest.mark.slow
def test_the_correlation_is_recovered():
    """Of 60 trials with both outcomes, in eight tables of each correlation: 90 % intervals hold it, and posterior means lie around it, a
    little towards the prior's 0.5."""
    rows = [(f"Trial {k}", name, 0.0, 0.2) for k in range(60) for name in "AB"]
    table = pd.DataFrame(rows, columns=["study", "outcome", "effect", "se"])
    table = table.assign(
        measure="SMD", direction="higher", comparator="sham", design="parallel", sample="all", outcome_correlation=0.5
    )
    trials, model = sd.read_trials(table), PLAIN.replace(**PRIORS)
    first = sd.fit(model, sd.simulate_trials(model, trials, seed=0).trials, seed=0, progress=False)
    for rho in (-0.3, 0.8):
        truth = {"intercept_by_outcome": [0.2, 0.5], "between_study_by_outcome": [0.4, 0.25], "between_study_correlation": rho}
        inside, distances = 0, []
        for seed in range(8):
            effects = sd.simulate_trials(model, trials, truth, seed=10 * seed + (rho > 0)).trials.table["effect"]
            draws = first.refit(effects=effects.to_numpy(), seed=seed).values()["between_study_correlation"]
            low, high = np.quantile(draws, [0.05, 0.95])
            inside += low < rho < high
            distances.append((draws.mean() - rho) / draws.std())
        assert inside >= 6
        assert abs(np.mean(distances)) < 0.75


@pytest.mark.slow
def test_the_explicit_form_has_the_same_posterior(berkey_fit, exact):
    explicit = sd.fit(BERKEY, sd.read_trials(berkey()), **SETTINGS, integrate=False)
    assert_is(explicit, exact)
    both = [fit.tree["posterior"]["study_effect"].mean(("chain", "draw")) for fit in (explicit, berkey_fit)]
    np.testing.assert_allclose(*both, atol=0.02)
