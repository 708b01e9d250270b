"""Slopes within and across trials: weighted least squares by hand, known truths, laws, refusals."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

import stimdose as sd
from stimdose.diagnosis import diagnose

STATED = {"direction": "higher", "measure": "SMD", "comparator": "sham", "design": "parallel"}
MODEL = sd.Model(name="gain", dose=[sd.Dose(column="sessions", shape="log-linear")])


def make_rows(seed: int, within: float, across: float, studies: int = 30, spread: float = 0.15) -> pd.DataFrame:
    """Every second study has two doses; effects of studies follow their mean dose, effects of arms the dose within the study."""
    rng, rows = np.random.default_rng(seed), []
    for study in range(studies):
        low = rng.choice([5.0, 10, 15, 20])
        doses = np.array([low] if study % 2 else [low, 2 * low])
        h = np.log2(1 + doses / 10)
        mean = within * (h - h.mean()) + across * h.mean() + rng.normal(0, spread)
        se = rng.uniform(0.1, 0.25, len(doses))
        effect = mean + rng.normal(0, np.hypot(se, spread / 2))
        rows += [
            {"arm": f"{d:g}", "study": f"T{study}", "sessions": d, "effect": e, "se": s}
            for d, e, s in zip(doses, effect, se, strict=True)
        ]
    return pd.DataFrame(rows)


def read(rows: pd.DataFrame) -> sd.Trials:
    return sd.read_trials(rows, **STATED)


def compare(rows: pd.DataFrame, model: sd.Model = MODEL, column: str = "sessions", **more) -> sd.WithinAcross:
    return sd.within_across(model, read(rows), column, seed=1, progress=False, **more)


@pytest.fixture(scope="module")
def different() -> sd.WithinAcross:
    return compare(make_rows(1, 0.3, 1.2))


def test_without_heterogeneity_the_slopes_are_those_of_weighted_least_squares():
    flat = sd.Prior("normal", mu=0, sigma=100)
    model = sd.Model(
        name="exact",
        intercept=sd.Intercept(prior=flat),
        dose=[sd.Dose(column="sessions", shape="log-linear", by_study=False, priors={"slope": flat})],
        between_study=sd.Prior("halfnormal", sigma=1e-6),
        within_study=False,
    )
    rows = make_rows(2, 0.3, 0.5)
    found = compare(rows, model, difference=flat, draws=2500)
    h = np.log2(1 + rows["sessions"] / 10)
    means = h.groupby(rows["study"]).transform("mean")
    X, weight = np.column_stack([np.ones(len(h)), h, means]), 1 / rows["se"] ** 2
    covariance = np.linalg.inv(X.T @ (X * weight.to_numpy()[:, None]))
    _, slope, apart = covariance @ X.T @ (weight * rows["effect"])
    sd_within, sd_apart = np.sqrt(np.diag(covariance)[1:])
    sd_across = np.sqrt(covariance[1:, 1:].sum())
    truth = {"within": (slope, sd_within), "across": (slope + apart, sd_across), "difference": (apart, sd_apart)}
    for name, (mean, spread) in truth.items():
        line = found.table().loc[name]
        assert abs(line["mean"] - mean) < 4 * spread / np.sqrt(line["ess"])
        assert abs(line["sd"] / spread - 1) < 4 / np.sqrt(2 * line["ess"])


def test_slopes_that_differ_are_found_to_differ(different):
    assert different.verdict == "differ"
    assert different.p_differ > 0.99
    assert (different.studies, different.several) == (30, 15)
    table = different.table()
    for name, truth in {"within": 0.3, "across": 1.2, "difference": 0.9}.items():
        assert abs(table.loc[name, "mean"] - truth) < 3 * table.loc[name, "sd"]
    assert "ecological bias" in different.explanation
    assert "Effect of 10 sessions" in different.explanation
    assert "intercept is free" in different.explanation


@pytest.mark.slow
@pytest.mark.parametrize("across", [0.3, 0.9])
def test_slopes_are_recovered_over_many_tables(across):
    truth = {"within": 0.3, "across": across, "difference": across - 0.3}
    tables = [compare(make_rows(100 + k, 0.3, across)) for k in range(30)]
    for name, value in truth.items():
        z = [(value - one.table().loc[name, "mean"]) / one.table().loc[name, "sd"] for one in tables]
        assert 0.001 < stats.chi2.cdf(np.sum(np.square(z)), len(z)) < 0.999, name
        assert abs(np.sum(z)) < 4 * np.sqrt(len(z)), name
    differ = sum(one.verdict == "differ" for one in tables)
    assert differ >= 27 if across == 0.9 else differ <= 2


def test_the_mean_of_a_study_is_taken_over_its_rows(different):
    table = different.fit.trials.table
    h = np.log2(1 + table["sessions"] / 10)
    np.testing.assert_allclose(table["sessions_study_mean"], h.groupby(table["study"]).transform("mean"))
    assert different.fit.model.moderator[0].center == pytest.approx(table["sessions_study_mean"].mean())
    np.testing.assert_allclose(different.draws["across"] - different.draws["within"], different.draws["difference"], atol=1e-12)


def test_units_of_the_dose_do_not_matter():
    rows = make_rows(3, 0.3, 0.6).rename(columns={"sessions": "amount"})
    found = []
    for factor in (1, 1000):
        model = sd.Model(name="amounts", dose=[sd.Dose(column="amount", shape="linear", reference=10 * factor)])
        found.append(compare(rows.assign(amount=rows["amount"] * factor), model, "amount").draws)
    xr.testing.assert_allclose(*found, rtol=1e-6, atol=1e-9)


def test_a_shape_that_is_no_line_is_replaced_and_groups_are_averaged(trials, bell_model):
    found = sd.within_across(bell_model, trials, "frequency_hz", seed=2, progress=False)
    assert found.shape == "log-linear"
    assert "bell shape has no single slope" in found.explanation
    grouped = sd.within_across(bell_model, trials, "sessions", seed=2, progress=False)
    share = trials.table["phase"].value_counts(normalize=True)
    slopes = grouped.fit.tree["posterior"]["sessions_slope_by_phase"]
    by_hand = sum(share[level] * slopes.sel(phase=level) for level in ("acute", "subacute", "chronic"))
    np.testing.assert_allclose(grouped.draws["within"], by_hand.values)
    assert "average over phase" in grouped.explanation


def test_positive_slopes_of_crossed_groups_are_averaged_as_the_rows_have_them():
    rows = make_rows(3, 0.3, 0.3)
    words = {"phase": ["acute", "chronic", "chronic"], "site": ["nerve", "muscle"]}
    rows = rows.assign(**{name: np.resize(levels, len(rows)) for name, levels in words.items()})
    positive = {"slope": sd.Prior("lognormal", mu=-1.5, sigma=0.5)}
    dose = sd.Dose(column="sessions", shape="log-linear", by=("phase", "site"), priors=positive)
    model = sd.Model(name="positive", intercept=sd.Intercept(), dose=[dose])
    found = compare(rows, model)
    values, table = found.fit.values(), found.fit.rows.table
    one = values["sessions_slope"]
    by_hand = np.zeros(len(one))
    for phase, site in zip(table["phase"], table["site"], strict=True):
        own = values["sessions_slope_by_phase"][:, found.fit.rows.levels["phase"].index(phase)]
        other = values["sessions_slope_by_site"][:, found.fit.rows.levels["site"].index(site)]
        by_hand += own * other / one / len(table)
    np.testing.assert_allclose(found.draws["within"].values.ravel(), by_hand, rtol=1e-10)
    assert (found.draws["within"] > 0).all()


def made(difference: np.ndarray, failing: bool = False) -> sd.WithinAcross:
    values = difference.reshape(4, -1) + (np.arange(4)[:, None] if failing else 0)
    parts = {"within": 0 * values, "across": values, "difference": values}
    draws = xr.Dataset({name: (("chain", "draw"), part) for name, part in parts.items()})
    fit = SimpleNamespace(diagnosis=SimpleNamespace(converged=True))
    return sd.WithinAcross("sessions", "log-linear", 10.0, draws, 0.1, 30, 15, diagnose(draws, 0), fit, ())


@pytest.mark.parametrize(
    ("mean", "spread", "verdict"),
    [(0.5, 0.1, "differ"), (-0.5, 0.1, "differ"), (0, 0.03, "agree"), (0.1, 0.2, "not clear"), (0, 1, "not clear")],
)
def test_verdicts_and_probabilities_on_normal_draws(mean, spread, verdict):
    normal = stats.norm(mean, spread)
    draws = normal.ppf((np.arange(4000) + 0.5) / 4000)
    np.random.default_rng(0).shuffle(draws)
    found = made(draws)
    assert found.verdict == verdict
    assert found.p_differ == pytest.approx(max(normal.cdf(0), normal.sf(0)), abs=1e-3)
    assert found.p_beyond_delta == pytest.approx(normal.cdf(-0.1) + normal.sf(0.1), abs=1e-3)
    assert made(draws, failing=True).verdict == "did not converge"


def test_rows_without_a_number_are_named_or_dropped_on_request():
    rows = make_rows(4, 0.3, 0.3).astype({"sessions": object})
    rows.loc[0, "sessions"] = "12-15"
    with pytest.raises(sd.TrialsError, match=r"study 'T0', sessions = '12.15': is an interval"):
        compare(rows)
    kept = compare(rows, missing="drop")
    assert len(kept.fit.trials) == len(rows) - 1
    assert [problem.study for problem in kept.fit.trials.dropped] == ["T0"]
    own = kept.fit.trials.table.set_index("study").loc["T0"]
    assert own["sessions_study_mean"] == pytest.approx(np.log2(1 + own["sessions"] / 10))
    assert kept.several == 14
    with pytest.raises(sd.StimdoseError, match="'error' or 'drop'"):
        compare(rows, missing="impute")


def test_questions_that_have_no_answer():
    rows = make_rows(5, 0.3, 0.3)
    single = rows.drop_duplicates("study")
    with pytest.raises(sd.StimdoseError, match="no study has several doses"):
        compare(single)
    same = pd.concat([single.assign(sessions=dose) for dose in (5.0, 20.0)])
    with pytest.raises(sd.StimdoseError, match="same mean sessions"):
        compare(same)
    with pytest.raises(sd.StimdoseError, match="no dose 'minutes'"):
        compare(rows, column="minutes")
    with pytest.raises(sd.StimdoseError, match="delta is a number above 0"):
        compare(rows, delta=-1)
    with pytest.raises(sd.StimdoseError, match="is normal, not halfnormal"):
        compare(rows, difference=sd.Prior("halfnormal", sigma=1))
    with pytest.raises(sd.StimdoseError, match="rename it"):
        compare(rows.assign(sessions_study_mean=1.0))


def test_a_single_study_with_several_doses_is_said():
    rows = make_rows(6, 0.3, 0.3)
    first = rows["study"] == "T0"
    found = compare(pd.concat([rows[first], rows[~first].drop_duplicates("study")]))
    assert found.several == 1
    assert "One study has several doses" in found.explanation
