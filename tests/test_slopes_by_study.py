"""Effects of moderators that vary by study: the spec, and a small table against quadrature over the scales."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import logsumexp
from scipy.stats import halfnorm, multivariate_normal

import stimdose as sd
from stimdose.grid import NewStudy, curve_draws, held_values
from stimdose.left_out import log_predictive
from stimdose.posterior import draw_prior
from stimdose.roles import roles
from stimdose.rows import prepare, rows_of

HALF = sd.Prior("halfnormal", sigma=0.1, why="drift over a month")
TIME = sd.Moderator(column="followup_days", center=0, per=30, by_study=True)
MODEL = sd.Model(name="m", intercept=sd.Intercept(), moderator=[TIME], within_study=False)


def table_of(effect, study, days, se=0.15) -> pd.DataFrame:
    constants = {"measure": "SMD", "direction": "higher", "comparator": "sham", "design": "parallel"}
    return pd.DataFrame({"study": study, "effect": effect, "se": se, "followup_days": days} | constants)


def follow_ups() -> pd.DataFrame:
    """Seven studies at up to three times, whose slopes differ."""
    rng, rows = np.random.default_rng(3), []
    for k in range(7):
        level, slope = 0.4 + 0.3 * rng.standard_normal(), -0.1 + 0.25 * rng.standard_normal()
        for days in (0, 30, 90)[: 1 + k % 3 if k else 3]:
            rows.append((level + slope * days / 30 + 0.15 * rng.standard_normal(), f"Trial {k}", days))
    return table_of(*zip(*rows, strict=True))


# --- the spec ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prior", [None, HALF])
def test_it_round_trips_and_its_prior_has_a_name_a_unit_a_role_and_a_reason(prior, tmp_path):
    model = MODEL.replace(moderator=[TIME.model_copy(update={"between_study": prior})], outcome_sd=10.0)
    model.save(tmp_path / "m.toml")
    assert sd.load_model(tmp_path / "m.toml") == model
    name = "followup_days_effect_between_study"
    assert model.priors()[name].parameters["sigma"] == pytest.approx(10 * (0.1 if prior else 0.25))
    assert sd.prior_table(model).loc[name, "why"]
    assert model.with_priors({name: HALF}).priors()[name].parameters["sigma"] == pytest.approx(1.0)
    assert roles(model)[name] == ("slope_between_study",)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"column": "site", "by_study": True}, "'site' holds words"),
        ({"column": "followup_days", "between_study": HALF}, "state that"),
        ({"column": "followup_days", "by_study": True, "between_study": sd.Prior("normal", mu=0, sigma=1)}, "standard deviation"),
    ],
)
def test_a_bad_spec_is_refused(fields, words):
    with pytest.raises(sd.ModelError, match=words):
        sd.Moderator(**fields)


def test_where_no_study_has_several_values_there_is_no_such_parameter():
    table = follow_ups().drop_duplicates("study", keep="last")
    model, trials = prepare(MODEL, sd.read_trials(table))
    rows = rows_of(model, trials)
    assert rows.slopes == ()
    assert "followup_days_effect_between_study" not in draw_prior(model, rows, 2, np.random.default_rng(0))


# --- against quadrature ----------------------------------------------------------------------------------------------------------------


def exact(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, float]:
    """Grid (points, 2) of the spreads, weights, mean (points, 2) and covariance of the coefficients, and the log evidence."""
    y, x = table["effect"].to_numpy(), table["followup_days"].to_numpy() / 30
    same = table["study"].to_numpy()[:, None] == table["study"].to_numpy()
    X, prior = np.column_stack([np.ones(len(y)), x]), np.diag([1.0, 0.25])
    ends = [3.0, 1.5]
    axes = [(np.arange(60) + 0.5) / 60 * end for end in ends]
    grid = np.array([(a, b) for a in axes[0] for b in axes[1]])
    logs, means, covariances = [], [], []
    for tau, omega in grid:
        noise = np.diag(table["se"] ** 2) + same * (tau**2 + omega**2 * np.outer(x, x))
        total = noise + X @ prior @ X.T
        gain = np.linalg.solve(total, X @ prior).T
        logs.append(multivariate_normal.logpdf(y, cov=total))
        means.append(gain @ y)
        covariances.append(prior - gain @ X @ prior)
    logs = np.array(logs) + halfnorm.logpdf(grid, scale=[0.5, 0.25]).sum(axis=1)
    evidence = logsumexp(logs) + np.log(np.prod(ends) / len(grid))
    return grid, np.exp(logs - logsumexp(logs)), np.array(means), np.array(covariances), evidence


@pytest.fixture(scope="module")
def fitted() -> sd.Fit:
    return sd.fit(MODEL, sd.read_trials(follow_ups()), seed=2, draws=2000, progress=False)


def test_the_posterior_is_that_of_quadrature(fitted):
    grid, weight, means, covariances, _ = exact(follow_ups())
    values = fitted.values()
    middle = weight @ means
    variance = weight @ (means**2 + np.diagonal(covariances, axis1=1, axis2=2)) - middle**2
    spread = weight @ grid
    of_spread = np.sqrt(weight @ grid**2 - spread**2)
    names = ["intercept", "followup_days_effect", "between_study", "followup_days_effect_between_study"]
    summary = fitted.summary()
    for name, mean, deviation in zip(names, [*middle, *spread], [*np.sqrt(variance), *of_spread], strict=True):
        error = deviation / np.sqrt(summary.loc[name, "ess_bulk"])
        assert values[name].mean() == pytest.approx(mean, abs=4 * error), name
        assert values[name].std() == pytest.approx(deviation, rel=0.1), name
    assert fitted.tree["posterior"]["followup_days_effect_study_effect"].dims == ("chain", "draw", "study")


def test_arms_over_time_with_one_control():
    """Two arms at up to four times: sampling errors that fade with time, a shared control, a slope in time of each study, deviations of
    rows; from the definitions."""
    rng, lines = np.random.default_rng(8), []
    for k in range(5):
        for arm in "ab"[: 1 + k % 2]:
            lines += [(f"Trial {k}", arm, days, rng.normal(0.4, 0.3)) for days in (0, 14, 30, 90)[: 4 - k % 3]]
    table = pd.DataFrame(lines, columns=["study", "arm", "followup_days", "effect"])
    table = table_of(table["effect"], table["study"], table["followup_days"], rng.uniform(0.2, 0.4, len(table))).assign(
        arm=table["arm"],
        sample=table["arm"],
        control_group="c",
        control_correlation=0.5,
        time_correlation=0.7,
        time_correlation_days=30,
    )
    model, trials = prepare(MODEL.replace(within_study=HALF), sd.read_trials(table))
    rows = rows_of(model, trials)
    days, se, arm = table["followup_days"].to_numpy(), table["se"].to_numpy(), table["arm"].to_numpy()
    same = rows.study[:, None] == rows.study
    alike = np.where(arm[:, None] == arm, 1.0, 0.5) * 0.7 ** (np.abs(days[:, None] - days) / 30)
    values = draw_prior(model, rows, 3, np.random.default_rng(1))
    values = {name: value for name, value in values.items() if name not in ("intercept", "followup_days_effect")}
    without, _ = log_predictive(model, rows, values)
    x = days / 30
    for d in range(3):
        one = {name: value[d] for name, value in values.items()}
        slopes = one["followup_days_effect_between_study"] ** 2 * np.outer(x, x)
        K = same * (alike * np.outer(se, se) + one["between_study"] ** 2 + slopes) + one["within_study"] ** 2 * np.eye(len(x))
        K += 1.0 + 0.25 * np.outer(x, x)
        density = lambda at, K=K: multivariate_normal.logpdf(rows.effect[at], cov=K[np.ix_(at, at)])
        for s in range(5):
            others = np.flatnonzero(rows.study != s)
            assert without[d, s] == pytest.approx(density(np.arange(len(x))) - density(others), abs=1e-8)


@pytest.mark.slow
def test_leaving_a_study_out_agrees_with_quadrature(fitted):
    table, found = follow_ups(), sd.leave_one_study_out(fitted)
    whole = exact(table)[-1]
    for study, line in found.table.iterrows():
        assert line["elpd"] == pytest.approx(whole - exact(table[table["study"] != study])[-1], abs=0.06), study


# --- a study not seen --------------------------------------------------------------------------------------------------------------------


def test_the_slope_of_a_new_study_is_around_the_centre():
    table = follow_ups().assign(sessions=lambda t: 5.0 + 5 * (t.index % 4))
    dose = sd.Dose(column="sessions", shape="linear", by_study=False)
    model, trials = prepare(MODEL.replace(dose=[dose]), sd.read_trials(table))
    rows = rows_of(model, trials)
    values, grid = draw_prior(model, rows, 50, np.random.default_rng(1)), np.array([5.0, 10.0])
    names = ["between_study", "followup_days_effect_between_study"]
    for days in (0, 60):
        held = held_values(model, rows, "sessions", None, {"followup_days": days})
        mean = curve_draws(model, rows, values, "sessions", grid, None, held)
        for name, normal, factor in zip(names, np.eye(3)[..., None, None], [1, days / 30], strict=False):
            found = curve_draws(model, rows, values, "sessions", grid, None, held, NewStudy(normal, 0))
            np.testing.assert_allclose((found - mean)[:, :, 0], np.outer(values[name] * factor, [1, 1]), atol=1e-12)


def test_a_time_that_no_trial_has_is_remarked_on():
    table = follow_ups().assign(sessions=lambda t: 5.0 + t.index % 4 * 5)
    model = MODEL.replace(dose=[sd.Dose(column="sessions", shape="linear")])
    fit = sd.fit(model, sd.read_trials(table), seed=1, draws=1000, progress=False)
    last = table["followup_days"].max()
    assert "remarks" not in sd.curve(fit, "sessions", at={"followup_days": last}).attrs
    found = sd.optimum(fit, "sessions", at={"followup_days": 400}, delta=0.1)
    assert (
        f"followup_days is held at 400, beyond the {table['followup_days'].min():g} to {last:g} of the trials"
        in found.explanation
    )
