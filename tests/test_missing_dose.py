"""Missing doses as parameters: against quadrature and a written density, the identities of a protocol, and what is refused."""

import json

import numpy as np
import pandas as pd
import pytest
from conftest import benchmark_module
from scipy import stats
from scipy.special import expit

import stimdose as sd
from stimdose.latents import LEAST_SPREAD
from stimdose.posterior import draw_prior
from stimdose.predictive import _parts
from stimdose.rows import prepare, rows_of

DUTY_SLACK = 1e-9
TRUE = sd.Prior("lognormal", mu=np.log(12), sigma=0.7)


def read(table: pd.DataFrame) -> sd.Trials:
    constants = {"direction": "higher", "measure": "SMD", "comparator": "sham", "design": "parallel"}
    return sd.read_trials(table, **{name: word for name, word in constants.items() if name not in table})


def imputed_rows(model: sd.Model, table: pd.DataFrame):
    return rows_of(*prepare(model, read(table), "impute"), imputed=True)


def log_linear(*columns: str, intercept=True, **fields) -> sd.Model:
    doses = [sd.Dose(column=column, shape="log-linear", **({"by_study": False} | fields)) for column in columns]
    return sd.Model(name="m", intercept=sd.Intercept() if intercept else None, dose=doses)


# --- quadrature ----------------------------------------------------------------------------------------------------------------------

MU, SPREAD = np.log(12), 0.6
TINY_MODEL = sd.Model(
    name="tiny",
    intercept=sd.Intercept(prior=sd.Prior("normal", mu=0, sigma=1)),
    dose=[
        sd.Dose(
            column="sessions",
            shape="log-linear",
            by_study=False,
            priors={
                "slope": sd.Prior("normal", mu=0, sigma=1),
                "true": sd.Prior("lognormal", mu=MU, sigma=1e-3),
                "spread": sd.Prior("lognormal", mu=np.log(SPREAD), sigma=1e-3),
            },
        )
    ],
    between_study=sd.Prior("halfnormal", sigma=0.3),
)
TINY = pd.DataFrame(
    {
        "study": list("ABCDEFG"),
        "sessions": ["5", "10", None, "20", "30", "≥15", "40"],
        "effect": [0.2, 0.45, 0.95, 0.65, 0.85, 0.5, 1.1],
        "se": [0.15, 0.2, 0.15, 0.2, 0.15, 0.15, 0.2],
    }
)


def exact_tiny() -> dict[str, tuple[float, float]]:
    """Mean and sd by quadrature over tau and the two log doses; intercept and slope are integrated in closed form."""
    y, v = TINY["effect"].to_numpy(), TINY["se"].to_numpy() ** 2
    gain, sd_log = lambda dose: np.log2(1 + dose / 10), np.hypot(SPREAD, LEAST_SPREAD)
    tau = (np.arange(80) + 0.5) / 80 * 1.4
    log_c = MU + sd_log * 5 * ((np.arange(160) + 0.5) / 80 - 1)
    log_f = np.log(15) + (MU + 5 * sd_log - np.log(15)) * (np.arange(120) + 0.5) / 120
    at = [grid.ravel() for grid in np.meshgrid(tau, log_c, log_f, indexing="ij")]
    x = np.tile(gain(np.array([5, 10, 0, 20, 30, 0, 40.0])), (len(at[0]), 1))
    x[:, 2], x[:, 5] = gain(np.exp(at[1])), gain(np.exp(at[2]))
    w = 1 / (v + (at[0] ** 2)[:, None])
    p00, p01, p11 = 1 + w.sum(axis=1), (w * x).sum(axis=1), 1 + (w * x**2).sum(axis=1)
    h0, h1, det = w @ y, (w * x) @ y, p00 * p11 - p01**2
    b0, b1 = (p11 * h0 - p01 * h1) / det, (p00 * h1 - p01 * h0) / det
    log_weight = 0.5 * (np.log(w).sum(axis=1) - w @ y**2 + h0 * b0 + h1 * b1 - np.log(det))
    log_weight -= 0.5 * (at[0] / 0.3) ** 2 + 0.5 * (((at[1] - MU) / sd_log) ** 2 + ((at[2] - MU) / sd_log) ** 2)
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    known = {}
    for name, mean, extra in (("b0", b0, p11 / det), ("b1", b1, p00 / det), ("tau", at[0], 0), ("C", at[1], 0), ("F", at[2], 0)):
        centre = weight @ mean
        known[name] = float(centre), float(np.sqrt(weight @ (extra + (mean - centre) ** 2)))
    return known


@pytest.mark.parametrize("integrate", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_missing_dose_and_an_interval_agree_with_quadrature(integrate):
    fit = sd.fit(TINY_MODEL, read(TINY), seed=5, draws=2000, integrate=integrate, missing="impute", progress=False)
    values = fit.tree["posterior"]
    assert list(values["sessions_true_row"].values) == ["2", "5"]
    log_dose = np.log(values["sessions_true"])
    draws = {"b0": values["intercept"], "b1": values["sessions_slope"], "tau": values["between_study"]}
    draws |= {"C": log_dose[..., 0], "F": log_dose[..., 1]}
    import arviz as az

    for name, (mean, deviation) in exact_tiny().items():
        found = draws[name].values
        error = float(az.mcse(found))
        assert abs(found.mean() - mean) < 4.5 * error, (name, found.mean(), mean, error)
        assert found.std() == pytest.approx(deviation, rel=0.08), name
    assert values["sessions_true"][..., 1].min() >= 15


# --- the density ---------------------------------------------------------------------------------------------------------------------

PROTOCOLS = pd.DataFrame(
    {
        "study": list("ABCDEFGHIJJK"),
        "modality": ["rTMS"] * 8 + ["iTBS"] * 3 + ["rTMS"],
        "arm": [None] * 9 + ["active", "active", None],
        "outcome": ["ARAT"] * 9 + ["ARAT", "FMA-UE", "ARAT"],
        "frequency_hz": [10, 10, 15, 10, 10, 20, 5, 1, 50, 50, 50, 10],
        "session_min": [None, 10, 20, None, 20, None, 20, 15, 3, 3, 3, 30],
        "pulses_per_session": [1000, None, 1200, None, 1500, None, None, 900, 600, None, None, 3000],
        "sessions": [None, 10, 10, None, 10, 20, None, 5, 10, None, None, 15],
        "total_pulses": [None, None, 12000, None, 15000, 20000, 8000, 4500, 6000, None, None, 45000],
        "effect": [0.3, 0.5, 0.4, 0.2, 0.6, 0.5, 0.1, 0.0, 0.3, 0.4, 0.5, 0.9],
        "se": [0.2] * 12,
    }
)
PROTOCOL_MODEL = log_linear("session_min", "pulses_per_session", "total_pulses", intercept=False)


def log_densities(model: sd.Model, table: pd.DataFrame, points: list[dict]) -> np.ndarray:
    density = sd.build(model, read(table), missing="impute").compile_logp(mode="FAST_COMPILE", sum=False)
    return np.array([sum(np.sum(part) for part in density(point)) for point in points])


def random_points(model: sd.Model, table: pd.DataFrame) -> list[dict]:
    rng, start = np.random.default_rng(0), sd.build(model, read(table), missing="impute").initial_point()
    return [{name: value + rng.normal(0, 0.4, np.shape(value)) for name, value in start.items()} for _ in range(4)]


def test_the_density_is_that_of_the_hierarchical_prior_times_the_indicators():
    """Written out for printed doses, a free and two bounded latents, and checked up to a constant. 1000 pulses at 10 Hz take at least
    100 s; the third row prints an interval."""
    table = pd.DataFrame(
        {
            "study": list("ABCDE"),
            "modality": ["rTMS", "rTMS", "iTBS", "iTBS", "rTMS"],
            "session_min": ["10", None, "5-15", "30", None],
            "frequency_hz": [10, 10, 5, 5, None],
            "pulses_per_session": [1000, 1000, None, None, None],
            "effect": 0.0,
            "se": 1e3,
        }
    )
    model = log_linear("session_min", priors={"true": TRUE})
    points = random_points(model, table)
    assert points[0]["session_min_missing_z"].shape == (1,)
    written, group = [], np.array([1, 0])  # printed doses; modalities by alphabet: iTBS, rTMS
    spread_prior = model.priors()["session_min_spread"].distribution
    for point in points:
        spread, log_typical = np.exp(point["session_min_spread_log__"]), point["session_min_typical_log__"]
        scale, inside = np.hypot(spread, LEAST_SPREAD), expit(point["session_min_position_interval__"])
        printed = stats.norm(log_typical[group], scale).logpdf(np.log([10, 30])).sum()
        # row B lies above 100/60 minutes; its open upper end is cut far away
        high = imputed_rows(model, table).imputation.parts[0].log_bounds[1, 1]
        low, high = np.array([np.log(100 / 60), np.log(5)]), np.array([high, np.log(15)])
        within = low + (high - low) * inside
        latent = stats.norm(log_typical[[1, 0]], scale).logpdf(within).sum() + np.log((high - low) * inside * (1 - inside)).sum()
        prior = spread_prior.logpdf(spread) + np.log(spread) + stats.norm(np.log(12), 0.7).logpdf(log_typical).sum()
        rest = stats.norm.logpdf(point["session_min_missing_z"]).sum()
        tau = np.exp(point["between_study_log__"])
        rest += stats.halfnorm(scale=0.5).logpdf(tau) + np.log(tau)
        written.append(printed + latent + prior + rest)
    found = log_densities(model, table, points)
    np.testing.assert_allclose(found - found[0], np.array(written) - written[0], atol=2e-5)
    assert np.ptp(found) > 1


def test_the_order_of_rows_and_the_unit_of_a_dose_do_not_matter():
    """Pulses against thousands, and the table upside down: the same density at the same doses."""
    table = PROTOCOLS.drop(columns=["session_min", "sessions", "total_pulses", "frequency_hz"])
    table = table.rename(columns={"pulses_per_session": "pulses"})
    model = log_linear("pulses", reference=1000, usual=(200, 6000))
    points = random_points(model, table)
    one = log_densities(model, table, points)

    thousands = table.assign(thousands=table["pulses"] / 1000).drop(columns="pulses")
    moved = [{name.replace("pulses", "thousands"): value for name, value in point.items()} for point in points]
    for point in moved:
        point["thousands_typical_log__"] = point["thousands_typical_log__"] - np.log(1000)
    other = log_densities(log_linear("thousands", reference=1, usual=(0.2, 6)), thousands, moved)
    np.testing.assert_allclose(one, other, rtol=1e-8)

    moved = [point | {"pulses_missing_z": point["pulses_missing_z"][::-1]} for point in points]
    np.testing.assert_allclose(log_densities(model, table[::-1].reset_index(drop=True), moved), one, rtol=1e-8)
    assert np.ptp(one) > 0.5


# --- one fit of protocols ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def protocol_fit() -> sd.Fit:
    """Anchored, with a free intercept beside it; doses of the model are tied by duty cycle and by pulses x sessions = total."""
    return sd.fit(PROTOCOL_MODEL, read(PROTOCOLS), seed=3, missing="impute", progress=False)


def test_checks_put_no_drawn_dose_into_a_range(protocol_fit):
    """It follows the effect of its row, so that a right model would be called wrong."""
    ranges = {name: [] for name in protocol_fit.rows.points.doses}
    for of, _, part in _parts(protocol_fit, None, None):
        if of in ranges:
            ranges[of].append(part)
    for name, points in protocol_fit.rows.points.doses.items():
        printed = np.setdiff1d(np.arange(len(protocol_fit.rows.effect)), points.uncertain)
        np.testing.assert_array_equal(np.flatnonzero(np.sum(ranges[name], axis=0)), printed)


@pytest.mark.parametrize("group", ["posterior", "prior"])
def test_identities_hold_in_every_draw(protocol_fit, group):
    rows, values = protocol_fit.rows, protocol_fit.values(group)
    dose = {}
    for column, points in rows.points.doses.items():
        dose[column] = np.tile(points.values, (len(values["between_study"]), 1))
        dose[column][:, points.uncertain] = values[f"{column}_true"]
    minutes, pulses, total = dose.values()
    frequency = PROTOCOLS["frequency_hz"].to_numpy()
    is_duty = (PROTOCOLS["modality"] == "rTMS").to_numpy()
    assert (np.log(pulses) <= np.log(frequency * 60 * minutes) + DUTY_SLACK)[:, is_duty].all()
    sessions = total / pulses
    np.testing.assert_allclose(
        sessions[:, [1, 2, 4, 5, 7, 8, 11]], np.tile([10, 10, 10, 20, 5, 10, 15.0], (len(total), 1)), rtol=1e-9
    )
    np.testing.assert_allclose(pulses[:, 5], 1000, rtol=1e-9)
    np.testing.assert_array_equal(pulses[:, 9], pulses[:, 10])  # two outcomes of one arm
    np.testing.assert_array_equal(total[:, 9], total[:, 10])
    assert np.log(sessions[:, 0]).std() > 0.1
    assert np.log(pulses[:, 9]).std() > 0.1


def test_what_was_imputed_is_told(protocol_fit, tmp_path):
    table = protocol_fit.imputed()
    counts = table["column"].value_counts()
    assert dict(counts) == {"session_min": 3, "pulses_per_session": 5, "total_pulses": 5}  # row 5 follows at reading
    assert (table["low"] <= table["median"]).all()
    assert (table["median"] <= table["high"]).all()
    assert table["r_hat"].max() < 1.02
    assert {"sessions_typical", "sessions_spread", "pulses_per_session_typical"} <= set(protocol_fit.tree["posterior"].data_vars)
    assert protocol_fit.tree["posterior"]["sessions_typical"].dims == ("chain", "draw", "modality")
    priors = protocol_fit.prior_table()
    assert {"sessions_true", "sessions_spread", "session_min_true"} <= set(priors.index)
    assert priors.loc["sessions_spread", "why"].startswith("missing doses")
    label = sd.study_effects(protocol_fit)["dose"].iloc[0]
    assert label.startswith("~")
    assert " / 1000 / ~" in label

    again = sd.load_fit(protocol_fit.save(tmp_path / "fit.nc"))
    assert again.imputed().equals(table)
    assert again.trials.table["total_pulses"].isna().sum() == 5
    assert again.diagnosis.table.equals(protocol_fit.diagnosis.table)
    assert json.loads(again.tree.attrs["settings"])["missing"] == "impute"


def test_everything_downstream_works(protocol_fit):
    for column in ("session_min", "total_pulses"):
        curve = sd.curve(protocol_fit, column)
        assert np.isfinite(sd.curve(protocol_fit, column, kind="new study")).all()
        printed = PROTOCOLS[column].dropna()
        assert curve.attrs["observed"] == [printed.min(), printed.max()]
        assert np.isfinite(sd.curve(protocol_fit, column, group="prior")).all()
        points = sd.points(protocol_fit, column)
        assert points["imputed"].sum() == PROTOCOLS[column].isna().sum()
        assert points[["dose", "effect"]].notna().all().all()
        sd.figures.dose_response(curve, points=points)
    sd.figures.forest(sd.study_effects(protocol_fit))
    assert sd.optimum(protocol_fit, "session_min").verdict
    assert list(protocol_fit.more_is_better()["dose"]) == [dose.column for dose in PROTOCOL_MODEL.dose]
    assert "session_min_typical" in protocol_fit.tree["freed"]


# --- which latent stands for what ----------------------------------------------------------------------------------------------------


def latents_of(table: pd.DataFrame, *columns: str) -> dict[str, int]:
    return {part.column: len(part.group) for part in imputed_rows(log_linear(*columns), table).imputation.parts}


def test_the_missing_member_of_an_identity_is_the_latent():
    total = imputed_rows(log_linear("total_pulses"), PROTOCOLS)
    assert {part.column: len(part.group) for part in total.imputation.parts} == {
        "sessions": 1,  # row 0 prints pulses
        "pulses_per_session": 1,  # row 1 prints sessions
        "total_pulses": 2,  # row 3, and the arm of rows 9 and 10, print nothing of it
    }
    both = latents_of(PROTOCOLS, "sessions", "total_pulses")
    assert both == {"sessions": 3, "pulses_per_session": 4}  # total = pulses x sessions where neither is printed
    silent = PROTOCOLS.drop(columns="sessions")
    silent["total_pulses"] = silent["total_pulses"].where(silent["pulses_per_session"].isna())
    assert latents_of(silent, "total_pulses") == {"total_pulses": 9}  # sessions, printed or implied nowhere, teach nothing


def table_of(**columns) -> pd.DataFrame:
    size = max(len(values) for values in columns.values())
    base = {"study": [f"T{k}" for k in range(size)], "effect": 0.1 * np.arange(size), "se": 0.2}
    return pd.DataFrame(base | columns)


def duty_rows(modality: str) -> list[float]:
    table = table_of(
        sessions=[5, 10, 20],
        session_min=[None, 10, 20],
        frequency_hz=[10, 10, 10],
        pulses_per_session=[1200, 1200, 900],
        modality=[modality] * 3,
    )
    return np.exp(imputed_rows(log_linear("session_min"), table).imputation.parts[0].log_bounds[0, 0])


def test_the_duty_cycle_bounds_a_dose_except_of_patterned_stimulation():
    assert duty_rows("rTMS") == pytest.approx(2)
    assert duty_rows("TBS") == duty_rows("theta burst") == 0


def test_bounds_that_depend_on_another_missing_dose_can_always_be_kept():
    """Minutes, frequency and pulses are all missing; pulses are at least 3000. No draw has an empty interval."""
    table = table_of(
        frequency_hz=["1", "5", "10", None, "<2"],
        session_min=["20", "10", "30", None, None],
        pulses_per_session=["1000", "1500", "1200", "≥3000", None],
    )
    model = log_linear("pulses_per_session", "session_min", "frequency_hz")
    rows = imputed_rows(model, table)
    draws = draw_prior(model, rows, 4000, np.random.default_rng(0))
    log = {name: np.log(draws[f"{name}_true"]) for name in ("frequency_hz", "session_min", "pulses_per_session")}
    assert (log["pulses_per_session"] <= log["frequency_hz"] + log["session_min"] + np.log(60) + DUTY_SLACK).all()
    assert log["pulses_per_session"][:, 0].min() >= np.log(3000)
    assert log["frequency_hz"][:, 1].max() <= np.log(2)


def test_an_interval_of_one_column_bounds_the_latent_of_another():
    """Total pulses of 8000 to 12000 in 10 sessions are 800 to 1200 a session, whether the model has the total or the pulses."""
    table = table_of(
        pulses_per_session=["1000", "1500", None],
        sessions=["10", "20", "10"],
        total_pulses=["10000", "30000", "8000-12000"],
    )
    for column in ("pulses_per_session", "total_pulses"):
        (part,) = imputed_rows(log_linear(column), table).imputation.parts
        assert part.column == "pulses_per_session"
        np.testing.assert_allclose(np.exp(part.log_bounds), [[800, 1200]])


def test_rows_of_one_sample_or_arm_share_a_dose():
    table = pd.DataFrame(
        {
            "study": list("AAABBBCC"),
            "sample": ["x", "x", None, None, None, None, None, None],
            "arm": [None, None, None, "high", "high", "low", "one", "one"],
            "outcome": list("abcabcab"),
            "outcome_correlation": 0.5,
            "sessions": [None, None, None, None, None, "10", "20", None],
            "effect": np.arange(8) / 10,
            "se": 0.2,
        }
    )
    rows = imputed_rows(log_linear("sessions"), table)
    doses = rows.imputation.doses["sessions"]
    assert list(rows.labels[doses.rows]) == ["0", "1", "2", "3", "4"]
    assert doses.weights.argmax(axis=1).tolist() == [0, 0, 1, 2, 2]
    assert rows.points.doses["sessions"].values[-1] == 20  # printed in the other row of the arm
    (part,) = rows.imputation.parts
    np.testing.assert_allclose(np.exp(part.observed), [10, 20])  # each arm once


def test_what_is_known_before_the_effects_is_the_posterior_given_the_printed_doses():
    """Typical dose and spread against a two-dimensional grid; doses of 0 teach nothing."""
    table = table_of(sessions=[8.0, 10, 15, 20, 0, None])
    model = log_linear("sessions", priors={"true": TRUE, "spread": sd.Prior("halfnormal", sigma=0.75)})
    draws = draw_prior(model, imputed_rows(model, table), 40_000, np.random.default_rng(0))
    typical, spread = np.meshgrid(np.linspace(0, 5, 600), np.linspace(0.001, 4, 800), indexing="ij")
    log_weight = stats.norm(np.log(12), 0.7).logpdf(typical) + stats.halfnorm(scale=0.75).logpdf(spread)
    for dose in (8, 10, 15, 20):
        log_weight += stats.norm(typical, np.hypot(spread, LEAST_SPREAD)).logpdf(np.log(dose))
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    log_typical = np.log(draws["sessions_typical"][:, 0])
    assert log_typical.mean() == pytest.approx((weight * typical).sum(), abs=0.01)
    assert draws["sessions_spread"].mean() == pytest.approx((weight * spread).sum(), abs=0.01)
    missing = np.log(draws["sessions_true"][:, 0])
    variance = (weight * (spread**2 + LEAST_SPREAD**2 + typical**2)).sum() - (weight * typical).sum() ** 2
    assert missing.std() == pytest.approx(np.sqrt(variance), rel=0.03)


def test_only_imputation_changes_the_posterior():
    """Without missing="impute" an interval keeps the stated prior, and no new parameter appears."""
    names = {"error": set(), "impute": {"sessions_spread", "sessions_typical"}}
    table = table_of(sessions=["5", "10", "10-20", "30"])
    for missing, more in names.items():
        free = {v.name for v in sd.build(log_linear("sessions"), read(table), missing=missing).free_RVs}
        assert free == {"between_study", "sessions_position" if more else "sessions_true_position"} | more


# --- what is refused -----------------------------------------------------------------------------------------------------------------


def test_only_doses_of_single_trials_can_be_imputed():
    table = table_of(
        sessions=[5, None, 20, None], phase=["acute", None, "chronic", "acute"], design=["parallel"] * 3 + ["stratum"]
    ).assign(age=[60, 61, 62, np.nan])
    age = sd.Moderator(column="age", prior=sd.Prior("normal", mu=0, sigma=1))
    model = log_linear("sessions").replace(moderator=[sd.Moderator(column="phase"), age])
    with pytest.raises(sd.TrialsError, match="nothing else") as caught:
        prepare(model, read(table), "impute", ("design",))
    assert sorted((p.row, p.column) for p in caught.value.problems) == [(1, "phase"), (3, "age"), (3, "sessions")]


def test_there_must_be_something_to_learn_from():
    empty = table_of(sessions=[None, None, None], session_min=[5, 10, 20])
    with pytest.raises(sd.TrialsError, match="no row prints a dose"):
        imputed_rows(log_linear("sessions", "session_min"), empty)
    stated = sd.Model(
        name="stated",
        intercept=sd.Intercept(),
        dose=[sd.Dose(column="sessions", shape="linear", priors={"true": TRUE}), sd.Dose(column="session_min", shape="linear")],
    )
    rows = imputed_rows(stated, empty)
    assert len(rows.imputation.doses["sessions"].rows) == 3
    with pytest.raises(sd.TrialsError, match="no such column"):
        imputed_rows(log_linear("sessions", "session_min"), empty.drop(columns="sessions"))
    with pytest.raises(sd.ModelError, match="the same in every row"):
        imputed_rows(log_linear("sessions"), table_of(sessions=[10, None, 10]))


def test_protocols_that_contradict_themselves_are_named():
    table = table_of(session_min=["<1", "10", "20"], frequency_hz=[10, 10, 10], pulses_per_session=[6000, 1000, 900])
    with pytest.raises(sd.TrialsError, match=r"row 0, study 'T0', session_min: .*no dose possible"):
        imputed_rows(log_linear("session_min"), table)


# --- simulation ----------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def benchmark():
    return benchmark_module("missing_doses")


@pytest.mark.slow
def test_intervals_cover_with_doses_missing(benchmark):
    """Smaller than the run that the documentation quotes; no coverage below the 0.001 quantile of a binomial with probability
    0.95."""
    tables = 80
    for reason in ("at random, truth from the prior", "small effects"):
        found = benchmark.study(reason, tables, seed=2)
        print(json.dumps(found))
        least = stats.binom.ppf(0.001, tables, 0.95) / tables
        assert min(found["curve_covered"].values()) >= least
        assert found["slope_covered"]["imputed"] >= least
