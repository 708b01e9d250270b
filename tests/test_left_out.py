"""The density of a study given the others: against dense normals of scipy, brute force over what is unknown in the study alone, laws."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import make_table
from scipy.stats import gamma, multivariate_normal, norm
from test_unknowns import BASE, before_after

import stimdose as sd
from stimdose.heterogeneity import study_effects
from stimdose.latents import LEAST_SPREAD
from stimdose.left_out import log_predictive
from stimdose.posterior import draw_prior, observed
from stimdose.predictor import linear_system, prior_constants, terms
from stimdose.rows import Rows, prepare, rows_of

DRAWS = 2


def rows_and_draws(model: sd.Model, table: pd.DataFrame, missing="error", draws=DRAWS) -> tuple[sd.Model, Rows, dict]:
    """What a fit would have, without one: draws are of the prior."""
    model, trials = prepare(model, sd.read_trials(table, missing="keep"), missing)
    rows = rows_of(model, trials, missing == "impute")
    return model, rows, draw_prior(model, rows, draws, np.random.default_rng(5))


def _factor(model: sd.Model, rows: Rows, values: dict, column: str | None, d: int) -> np.ndarray:
    """By how much the spread of effects of studies differs in the study of each row; only that of their level does."""
    found = np.ones(len(rows.effect))
    if column is None and model.between_study_by:
        found *= values["between_study_by_phase"][d][rows.points.groups["phase"]] / values["between_study"][d]
    if column is None and model.study_effects == "student-t":
        found /= np.sqrt(values["study_weight"][d][rows.study])
    return found


def dense(model: sd.Model, rows: Rows, values: dict, s: int) -> tuple[np.ndarray, np.ndarray]:
    """log p(y_s | the others) and log p(a copy of y_s | all), by the densities of all effects at once."""
    draws = len(values["between_study"])
    values = values | {name: np.full(draws, value) for name, value in prior_constants(model, rows).items()}
    system = linear_system(terms(model, rows, rows.points, values), rows, values)
    effect, variance, jacobian = (np.broadcast_to(part, (draws, len(rows.effect))) for part in observed(rows, values))
    same = rows.study[:, None] == rows.study
    correlation = np.eye(len(rows.effect))
    for k, (first, last) in enumerate(zip(rows.block[:-1], rows.block[1:], strict=True)):
        at = np.flatnonzero(rows.study == k)
        if last > first:
            correlation[np.ix_(at, at)] = rows.correlation[first:last].reshape(len(at), len(at))
    own, found = np.flatnonzero(rows.study == s), []
    for d in range(draws):
        of_draw = lambda value, d=d: np.broadcast_to(value, (draws, *np.shape(value)[1:]))[d] if np.ndim(value) else value
        column = {c.name: np.broadcast_to(c.column, (draws, len(effect[0])))[d] for c in system if c.group is None} | {
            None: np.ones(len(effect[0]))
        }
        X = np.stack([np.broadcast_to(c.column, (draws, len(effect[0])))[d] for c in system], axis=-1)
        mean, coefficient = X @ [of_draw(c.mean) for c in system], (X * [of_draw(c.sd) for c in system])
        noise = correlation * np.sqrt(np.outer(variance[d], variance[d]))
        noise = noise + (values["within_study"][d] ** 2 if rows.has_within_study else 0) * np.eye(len(mean))
        for name, spread in study_effects(model, rows).values():
            noise = (
                noise
                + same * np.outer(column[name], column[name]) * (values[spread][d] * _factor(model, rows, values, name, d)) ** 2
            )
        shared = coefficient @ coefficient.T
        whole, others = noise + shared, rows.study != s
        joint = multivariate_normal.logpdf(effect[d], mean, whole)
        rest = multivariate_normal.logpdf(effect[d][others], mean[others], whole[np.ix_(others, others)])
        gain = np.linalg.solve(whole, shared[:, own]).T
        copy = multivariate_normal.logpdf(
            effect[d][own], mean[own] + gain @ (effect[d] - mean), whole[np.ix_(own, own)] - gain @ shared[:, own]
        )
        found.append((joint - rest + jacobian[d, own].sum(), copy + jacobian[d, own].sum()))
    return tuple(np.array(found).T)


def agrees(model, rows, values, studies=None, atol=1e-8):
    without, within = log_predictive(model, rows, values)
    for s in range(len(rows.studies)) if studies is None else studies:
        np.testing.assert_allclose((without[:, s], within[:, s]), dense(model, rows, values, s), rtol=0, atol=atol)


# --- everything that is Gaussian -------------------------------------------------------------------------------------------------------

BELL = sd.Dose(column="frequency_hz", shape="bell", by="phase")
LINE = sd.Dose(column="sessions", shape="log-linear", by="phase")
MODELS = {
    "intercept": sd.Model(name="m", intercept=sd.Intercept()),
    "groups and moderators": sd.Model(
        name="m",
        intercept=sd.Intercept(by="phase"),
        dose=[LINE],
        moderator=[sd.Moderator(column="site"), sd.Moderator(column="frequency_hz")],
    ),
    "positive, by group": sd.Model(name="m", intercept=sd.Intercept(), dose=[BELL]),
    "anchored": sd.Model(name="m", dose=[LINE.model_copy(update={"by_study": False})]),
    "crossed groups": sd.Model(
        name="m", intercept=sd.Intercept(by="phase*site"), dose=[sd.Dose(column="sessions", shape="emax")]
    ),
    "nothing Gaussian": sd.Model(
        name="m",
        dose=[sd.Dose(column="sessions", shape="emax", by_study=False, priors={"maximum": sd.Prior("halfnormal", sigma=1.0)})],
    ),
    "heterogeneity by group": sd.Model(name="m", intercept=sd.Intercept(by="phase"), dose=[LINE], between_study_by="phase"),
    "a moderator by study": sd.Model(
        name="m",
        intercept=sd.Intercept(),
        dose=[LINE],
        moderator=[sd.Moderator(column="frequency_hz", center=10, per=5, by_study=True)],
    ),
    "small studies": sd.Model(name="m", intercept=sd.Intercept(), small_study="pet"),
    "no level within studies": sd.Model(name="m", intercept=sd.Intercept(by="site"), within_study=False),
}


def lone_group() -> pd.DataFrame:
    """The shared table, with one study that is alone in its phase."""
    table = make_table(9)
    table = table.assign(n_active=np.arange(len(table)) + 10, n_control=15)
    return table.assign(phase=table["phase"].where(table["study"] != "Trial 04", "mixed"))


@pytest.mark.parametrize("name", MODELS)
def test_dense_normals(name):
    agrees(*rows_and_draws(MODELS[name], lone_group()))


def test_correlated_sampling_errors_and_slopes_by_study():
    model, rows, values = rows_and_draws(sd.Model(name="m", intercept=sd.Intercept(), dose=[LINE]), lone_group())
    assert rows.slopes == ("sessions",)
    sizes = np.diff(rows.start)
    blocks = [np.full((n, n), 0.6) + 0.4 * np.eye(n) if n > 1 else np.empty((0, 0)) for n in sizes]
    correlation = np.concatenate([block.ravel() for block in blocks])
    block = np.concatenate([[0], np.cumsum([block.size for block in blocks])])
    agrees(model, replace(rows, correlation=correlation, block=block), values)


def test_averages_over_the_interval_of_a_stratum():
    table = lone_group().assign(
        design="stratum", sessions=lambda t: ["5-20" if k % 3 else f"{x:.0f}" for k, x in enumerate(t["sessions"])]
    )
    model, rows, values = rows_and_draws(MODELS["anchored"], table)
    assert len(rows.points.doses["sessions"].nodes)
    agrees(model, rows, values)


def test_a_correlation_that_several_studies_lack_is_no_unknown_of_any():
    model = sd.Model(name="m", outcome_sd=8.0, intercept=sd.Intercept())
    table = pd.DataFrame([before_after(k, mean) for k, mean in enumerate([1.0, 6.0, -2.0])], dtype=object)
    agrees(*rows_and_draws(model, table, "impute"))


def test_the_order_of_rows_changes_nothing():
    table = lone_group()
    model, rows, values = rows_and_draws(MODELS["groups and moderators"], table)
    without, _ = log_predictive(model, rows, values)
    _, shuffled, _ = rows_and_draws(model, table.sample(frac=1, random_state=1))
    again, _ = log_predictive(model, shuffled, values)
    order = [list(shuffled.studies).index(study) for study in rows.studies]
    np.testing.assert_allclose(again[:, order], without, rtol=0, atol=1e-10)


def test_only_the_studies_that_are_asked_for():
    model, rows, values = rows_and_draws(MODELS["anchored"], lone_group())
    without, _ = log_predictive(model, rows, values)
    np.testing.assert_array_equal(log_predictive(model, rows, values, [7, 2])[0], without[:, [7, 2]])


# --- what is unknown in a study alone --------------------------------------------------------------------------------------------------


def brute_force(model, rows, values, s: int, name: str, place, grid: np.ndarray, log_density: np.ndarray) -> np.ndarray:
    """log p(y_s | the others), an unknown (`values[name][:, place]`) integrated over a grid (points,) with its log density (draws, points)."""
    found = []
    for d in range(DRAWS):
        many = {key: np.repeat(value[d : d + 1], len(grid), axis=0) for key, value in values.items()}
        many[name] = many[name].copy()
        many[name][(slice(None), *place)] = grid
        weight = log_density[d] - np.logaddexp.reduce(log_density[d])
        found.append(np.logaddexp.reduce(weight + dense(model, rows, many, s)[0]))
    return np.array(found)


def only(table: pd.DataFrame, study: str, **cells) -> pd.DataFrame:
    table = table.astype(dict.fromkeys(cells, object))
    for column, cell in cells.items():
        table.loc[table["study"] == study, column] = cell
    return table


@pytest.mark.parametrize("between_study_by", [None, "phase"])
def test_the_weight_of_a_student_t_study_is_its_own(between_study_by):
    model = sd.Model(
        name="m", intercept=sd.Intercept(), dose=[LINE], study_effects="student-t", between_study_by=between_study_by
    )
    model, rows, values = rows_and_draws(model, lone_group())
    log_weight = np.linspace(-12, 4, 800)
    density = np.broadcast_to(gamma.logpdf(np.exp(log_weight), 2, scale=1 / 2) + log_weight, (DRAWS, 800))
    expected = brute_force(model, rows, values, 3, "study_weight", (3,), np.exp(log_weight), density)
    np.testing.assert_allclose(log_predictive(model, rows, values)[0][:, 3], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("printed", ["4-25", ">=15"])
@pytest.mark.parametrize("name", ["positive, by group", "anchored"])
def test_an_interval_of_one_study(name, printed):
    column = {"positive, by group": "frequency_hz", "anchored": "sessions"}[name]
    model, rows, values = rows_and_draws(MODELS[name], only(lone_group(), "Trial 02", **{column: printed}))
    (low, high), prior = rows.points.doses[column].log_bounds[0], model.dose[0].prior("true").parameters
    log_dose = low + (high - low) * (np.arange(400) + 0.5) / 400
    density = np.broadcast_to(norm.logpdf(log_dose, prior["mu"], prior["sigma"]), (DRAWS, 400))
    expected = brute_force(model, rows, values, 2, f"{column}_true", (0,), np.exp(log_dose), density)
    np.testing.assert_allclose(log_predictive(model, rows, values)[0][:, 2], expected, rtol=0, atol=1e-5)
    agrees(model, rows, values, studies=[0, 1, 3])


@pytest.mark.parametrize("cells", [{"sessions": None}, {"sessions": "4-25"}])
def test_a_dose_that_one_study_does_not_print(cells):
    model, rows, values = rows_and_draws(MODELS["anchored"], only(lone_group(), "Trial 02", **cells), "impute")
    (part,) = rows.imputation.parts
    low, high = part.log_bounds[0]
    mean, spread = np.log(values["sessions_typical"][:, 0]), np.hypot(values["sessions_spread"], LEAST_SPREAD)
    z = 8 * ((np.arange(400) + 0.5) / 200 - 1)
    log_dose = mean.mean() + spread.max() * z if cells["sessions"] is None else low + (high - low) * (z + 8) / 16
    density = norm.logpdf(log_dose, mean[:, None], spread[:, None])
    expected = brute_force(model, rows, values, 2, "sessions_true", (0,), np.exp(log_dose), density)
    np.testing.assert_allclose(log_predictive(model, rows, values)[0][:, 2], expected, rtol=0, atol=1e-5)


def test_doses_that_bound_each_other():
    """Two unknowns: minutes and pulses <= frequency x 60 x minutes, against a grid over both."""
    table = make_table(9).drop(columns="sessions").assign(session_min=lambda t: 10.0 * (1 + np.arange(len(t)) % 3))
    table["pulses_per_session"] = 30 * table["session_min"] * (1 + np.arange(len(table)) % 2)
    table = only(table, "Trial 02", session_min=None, pulses_per_session=None)
    doses = [sd.Dose(column=column, shape="log-linear", by_study=False) for column in ("session_min", "pulses_per_session")]
    model, rows, values = rows_and_draws(sd.Model(name="m", intercept=sd.Intercept(), dose=doses), table, "impute")
    minutes, pulses = rows.imputation.parts
    assert (len(minutes.group), len(pulses.group), len(pulses.limit)) == (1, 1, 1)
    per_minute = 60 * table.loc[table["study"] == "Trial 02", "frequency_hz"].iloc[0]
    found, size = log_predictive(model, rows, values)[0][:, 2], 40
    for d in range(DRAWS):
        grids, densities = [], []
        for part in (minutes, pulses):
            mean, spread = (
                np.log(values[f"{part.column}_typical"][d, 0]),
                np.hypot(values[f"{part.column}_spread"][d], LEAST_SPREAD),
            )
            low, high = np.clip(part.log_bounds[0], mean - 7 * spread, mean + 7 * spread)
            grids.append(low + (high - low) * (np.arange(size) + 0.5) / size)
            densities.append(norm.logpdf(grids[-1], mean, spread))
        one, other = (axis.ravel() for axis in np.meshgrid(*grids, indexing="ij"))
        weight = np.add.outer(*densities).ravel()[other <= one + np.log(per_minute)]
        one, other = (axis[other <= one + np.log(per_minute)] for axis in (one, other))
        many = {key: np.repeat(value[d : d + 1], len(one), axis=0) for key, value in values.items()}
        many |= {"session_min_true": np.exp(one)[:, None], "pulses_per_session_true": np.exp(other)[:, None]}
        weight -= np.logaddexp.reduce(weight)
        assert found[d] == pytest.approx(np.logaddexp.reduce(weight + dense(model, rows, many, 2)[0]), abs=0.02)


def unprinted(rows: list[dict]) -> pd.DataFrame:
    cells = {"measure": "MD", "n_active": 14, "n_control": 15, "mean_control": 20.0}
    return pd.DataFrame([BASE | cells | {"study": f"S{k}"} | row for k, row in enumerate(rows)], dtype=object)


@pytest.mark.parametrize("measure", ["MD", "SMD"])
def test_a_standard_deviation_that_one_study_lacks(measure):
    """Given the spread, and the SD of another study that lacks it, log SD is normal around the mean of all others."""
    printed = [
        {"mean_active": mean, "sd_active": sd_, "sd_control": sd_} for mean, sd_ in ((24.0, 6.0), (26.0, 9.0), (21.0, 7.0))
    ]
    table = unprinted([*printed, {"mean_active": 25.0}, {"mean_active": 22.0}]).assign(measure=measure)
    model, rows, values = rows_and_draws(
        sd.Model(name="m", outcome_sd=8.0 if measure == "MD" else 1.0, intercept=sd.Intercept()), table, "impute"
    )
    center, spread = rows.unknowns.center[0] * 3, values["sd_spread"][:, None]
    mean = (center + np.log(values["sd_true"][:, 1])) / 4
    log_sd = np.linspace(-5, 9, 1000)
    density = norm.logpdf(log_sd, mean[:, None], spread * np.sqrt(1 + 1 / 4))
    expected = brute_force(model, rows, values, 3, "sd_true", (0,), np.exp(log_sd), density)
    np.testing.assert_allclose(log_predictive(model, rows, values)[0][:, 3], expected, rtol=0, atol=1e-5)


def test_a_correlation_that_one_study_lacks():
    model = sd.Model(name="m", outcome_sd=8.0, intercept=sd.Intercept())
    rows = [before_after(k, mean, r) for k, (mean, r) in enumerate([(1.0, 0.5), (6.0, None), (-2.0, 0.7)])]
    model, rows, values = rows_and_draws(model, pd.DataFrame(rows, dtype=object), "impute")
    prior = rows.unknowns.r_prior.parameters
    z = prior["mu"] + prior["sigma"] * np.linspace(-8, 8, 400)
    density = np.broadcast_to(norm.logpdf(z, prior["mu"], prior["sigma"]), (DRAWS, len(z)))
    expected = brute_force(model, rows, values, 1, "pre_post_r", (), np.tanh(z), density)
    np.testing.assert_allclose(log_predictive(model, rows, values)[0][:, 1], expected, rtol=0, atol=1e-6)
