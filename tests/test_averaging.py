"""Averages: stacking weights against closed forms and the conditions of an optimum, mixtures by counting, laws on two fits."""

import dataclasses

import arviz as az
import numpy as np
import pytest
import xarray as xr

import stimdose as sd
from stimdose.averaging import Average
from stimdose.diagnosis import diagnose
from stimdose.stacking import mixture, stacking_weights


@pytest.mark.parametrize(("for_first", "for_second", "ratio"), [(12, 8, 3.0), (15, 5, 10.0), (10, 10, 2.0), (19, 1, 1.5)])
def test_weights_of_two_models_have_a_closed_form(for_first, for_second, ratio):
    """n1 studies are r times as likely under the first, n2 under the second: w = (n1 - n2/r) / ((1 - 1/r)(n1 + n2)), if it is below 1."""
    elpd = np.zeros((for_first + for_second, 2))
    elpd[:for_first, 0] = elpd[for_first:, 1] = np.log(ratio)
    weight = (for_first - for_second / ratio) / ((1 - 1 / ratio) * (for_first + for_second))
    np.testing.assert_allclose(stacking_weights(elpd), [min(weight, 1), max(1 - weight, 0)], atol=1e-5)


@pytest.mark.parametrize("spread", [0.01, 0.3, 3.0])
@pytest.mark.parametrize("seed", range(4))
def test_weights_meet_the_conditions_of_the_maximum(spread, seed):
    """The log score is concave: w is its maximum if and only if no model gains from more weight (Karush, Kuhn and Tucker)."""
    elpd = np.random.default_rng(seed).normal(-2, spread, (25, 5))
    weights = stacking_weights(elpd)
    density = np.exp(elpd)
    slope = (density / (density @ weights)[:, None]).mean(axis=0)
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()
    assert slope.max() <= 1 + 1e-5
    np.testing.assert_allclose(slope[weights > 0], 1, atol=1e-4)


def test_weights_do_not_depend_on_units_and_order_nor_underflow():
    elpd = np.random.default_rng(0).normal(-2, 1, (30, 3))
    weights = stacking_weights(elpd)
    np.testing.assert_allclose(stacking_weights(elpd - 2000 - np.arange(30)[:, None]), weights, atol=1e-6)
    np.testing.assert_allclose(stacking_weights(elpd[::-1, ::-1])[::-1], weights, atol=1e-5)
    np.testing.assert_allclose(stacking_weights(np.zeros((30, 4))), 0.25)


@pytest.mark.parametrize("weights", [(0.5, 0.5), (0.7, 0.3), (0.998, 0.002), (1.0, 0.0), (0.2, 0.3)])
def test_a_mixture_has_draws_in_proportion_to_the_weights(weights):
    weights = np.array([*weights, 1 - sum(weights)])
    parts = [
        xr.DataArray(1000.0 * k + np.tile(np.arange(n), (4, 1)), dims=("chain", "draw")) for k, n in enumerate((500, 800, 400))
    ]
    mixed = mixture(parts, weights)
    size = mixed.sizes["draw"]
    assert size <= 800
    for chain in mixed.values:
        assert len(set(chain)) == size  # no draw twice
        counts = np.bincount((chain // 1000).astype(int), minlength=3)
        assert (abs(counts - weights * size) <= 1).all()
        for k, count in enumerate(counts):
            if count > 1:
                gaps = np.diff(chain[chain // 1000 == k])
                assert gaps.min() > 0
                assert np.ptp(gaps) <= 1  # evenly spaced
                places = np.flatnonzero(chain // 1000 == k)
                assert abs(places.mean() / (size - 1) - 0.5) < 0.05  # from start to end of the chain


def test_a_mixture_of_one_model_is_that_model():
    part = xr.DataArray(np.random.default_rng(0).normal(size=(4, 300, 5)), dims=("chain", "draw", "sessions"))
    np.testing.assert_array_equal(mixture([part, part + 1], np.array([1.0, 0.0])), part)


@pytest.fixture(scope="module")
def rising_fit(bell_model, trials) -> sd.Fit:
    doses = [sd.Dose(column="frequency_hz", shape="log-linear"), bell_model.dose[1]]
    return sd.fit(bell_model.replace(name="rising", dose=doses), trials, seed=12, progress=False)


@pytest.fixture(scope="module")
def both(bell_fit, rising_fit) -> Average:
    return sd.average([bell_fit, rising_fit])


def with_weights(found: Average, *weights: float) -> Average:
    return dataclasses.replace(found, elpd=found.elpd.assign(weight=weights))


def test_scores_are_those_of_left_out_studies_with_their_differences(both, bell_fit, rising_fit):
    one, two = (sd.leave_one_study_out(fit) for fit in (bell_fit, rising_fit))
    assert both.elpd.index.tolist() == ["test bell", "rising"]
    np.testing.assert_allclose(both.elpd["elpd"], [one.elpd, two.elpd])
    np.testing.assert_allclose(both.elpd["elpd_se"], [one.se, two.se])
    compared = az.compare({"one": one.elpd_data(), "two": two.elpd_data()}, round_to="none")
    assert abs(both.elpd["difference"].min()) == pytest.approx(abs(compared["elpd_diff"]).max())
    assert both.elpd["difference_se"].max() == pytest.approx(compared["dse"].max() * np.sqrt(20 / 19))  # arviz divides by n
    assert both.elpd["difference"].max() == 0
    assert both.weights.sum() == pytest.approx(1)
    assert both.elpd["unreliable"].tolist() == [0, 0]
    assert both.elpd["refitted"].tolist() == [len(one.refits), len(two.refits)]
    assert "do not rank" in both.explanation


def test_studies_that_weigh_much_are_refitted_or_told(bell_fit, rising_fit, monkeypatch):
    monkeypatch.setattr("stimdose.leave_one_out.PARETO_K_MAX", -1.0)
    kept = sd.average([bell_fit, rising_fit], exact=False)
    assert (kept.elpd["unreliable"] > 0).all()
    assert "test bell: Pareto k is above -1.0 for Trial" in kept.explanation


def test_an_averaged_curve_lies_between_its_models(both, bell_fit, rising_fit):
    average = with_weights(both, 0.7, 0.3)
    mixed = average.curve("frequency_hz", size=31)
    one, two = (sd.curve(fit, "frequency_hz", size=31) for fit in (bell_fit, rising_fit))
    assert mixed.dims == one.dims
    assert mixed.attrs["averaged"] == "test bell, rising"
    over = ("chain", "draw")
    error = np.sqrt((0.7 * one.var(over) + 0.3 * two.var(over)) / 400)  # a tenth of the draws counts, at the least
    assert (abs(mixed.mean(over) - 0.7 * one.mean(over) - 0.3 * two.mean(over)) < 4 * error).all()
    np.testing.assert_array_equal(with_weights(both, 1, 0).curve("frequency_hz", size=31), one)


def test_the_optimum_of_an_average_is_that_of_the_mixture(both, bell_fit, rising_fit):
    alone = sd.optimum(bell_fit, "frequency_hz")
    same = with_weights(both, 1, 0).optimum("frequency_hz")
    np.testing.assert_array_equal(same.dose, alone.dose)
    np.testing.assert_array_equal(same.prior_dose, alone.prior_dose)
    assert same.verdict == alone.verdict == "identified"
    half = with_weights(both, 0.5, 0.5).optimum("frequency_hz")
    assert half.verdict == "not identified"
    at_end = [float(best.at_edge["high"]) for best in (alone, sd.optimum(rising_fit, "frequency_hz"))]
    assert float(half.at_edge["high"]) == pytest.approx(sum(at_end) / 2, abs=4 * np.sqrt(0.25 / 1000))
    assert "do not rank" in half.explanation


def test_the_table_leads_each_model_and_the_average_with_a_verdict(both):
    table = with_weights(both, 0.6, 0.4).table("frequency_hz", prob=0.9)
    assert table.index.tolist() == ["test bell", "rising", "average"]
    assert table["verdict"].tolist() == ["identified", "still rising", "not identified"]
    assert table["weight"].tolist() == [0.6, 0.4, 1.0]
    assert (table["low"] <= table["best_dose"]).all()
    by = both.table("sessions", by="phase")
    assert by["group"].tolist() == ["acute", "subacute", "chronic"] * 3


def test_what_only_some_models_have_is_held_in_these(both, bell_model, trials, bell_fit):
    held = both.curve("frequency_hz", at={"sessions": 20.0}, size=11)
    expected = with_weights(both, 1, 0).curve("frequency_hz", at={"sessions": 20.0}, size=11)
    np.testing.assert_array_equal(expected, sd.curve(bell_fit, "frequency_hz", at={"sessions": 20.0}, size=11))
    assert "sessions 20" in held.attrs["held"]
    with pytest.raises(sd.StimdoseError, match="no model can hold 'minutes'"):
        both.curve("frequency_hz", at={"minutes": 20.0})


def test_an_average_moves_along_a_path(both):
    path = sd.protocol_path(both.fits["rising"], "frequency_hz", fixed={"session_min": 20}, over=(2, 30), size=401, duty=0.5)
    average = with_weights(both, 0.5, 0.5)
    along, plain = average.optimum("frequency_hz", at=path), average.optimum("frequency_hz", over=(2, 30))
    np.testing.assert_allclose(along.dose, plain.dose)
    assert average.table("frequency_hz", at=path).loc["average", "verdict"] == along.verdict


def test_a_product_among_the_models_cannot_show_that_more_is_better(bell_fit, trials):
    """In whatever order the models are given."""
    dose = sd.Dose(column="frequency_hz", shape="bell", times=sd.Dose(column="sessions", shape="linear"), by_study=False)
    product = sd.fit(sd.Model(name="product", intercept=sd.Intercept(), dose=[dose]), trials, seed=1, progress=False)
    for fits in ([bell_fit, product], [product, bell_fit]):
        found = sd.average(fits)
        assert found.curve("sessions", size=5).attrs["tied"] == 1
        assert found.curve("frequency_hz", size=5).attrs["tied"] == 0
        assert found.optimum("sessions").verdict != "still rising"


def changed(fit: sd.Fit, **columns) -> sd.Fit:
    return sd.Fit(fit.model, sd.Trials(fit.trials.table.assign(**columns)), fit.tree, fit.diagnosis)


def test_models_of_other_data_are_refused_all_at_once(bell_fit, rising_fit):
    table = rising_fit.trials.table
    fits = {
        "bell": bell_fit,
        "other effect": changed(rising_fit, effect=table["effect"] + (table.index == 3)),
        "other variance": changed(rising_fit, variance=2 * table["variance"]),
        "fewer": sd.Fit(rising_fit.model, sd.Trials(table[3:]), rising_fit.tree, rising_fit.diagnosis),
        "other study": changed(rising_fit, study=table["study"].replace("Trial 00", "Trial 99")),
        "fine": rising_fit,
    }
    with pytest.raises(sd.StimdoseError) as error:
        sd.average(fits)
    message = str(error.value)
    assert "other effect differs from bell in the effect of 1 rows" in message
    assert f"other variance differs from bell in the variance of {len(table)} rows" in message
    assert f"fewer has {len(table) - 3} rows, bell has {len(table)}" in message
    assert "other study and bell have rows of different studies" in message
    assert "fine" not in message


def test_the_order_of_rows_is_no_difference(bell_fit, rising_fit, both):
    turned = sd.Trials(bell_fit.trials.table[::-1])
    posterior = rising_fit.tree["log_likelihood"].to_dataset().isel(study=slice(None, None, -1))
    tree = rising_fit.tree.copy()
    tree["log_likelihood"] = xr.DataTree(posterior)
    fit = sd.Fit(rising_fit.model, turned, tree, rising_fit.diagnosis)
    found = sd.average([bell_fit, fit])
    np.testing.assert_allclose(found.elpd["elpd"], both.elpd["elpd"])
    np.testing.assert_allclose(found.elpd["difference_se"], both.elpd["difference_se"])


@pytest.mark.parametrize(
    ("fits", "words"),
    [
        (lambda fit: [fit], "two fits or more"),
        (lambda fit: [fit, fit], "the same name"),
        (lambda fit: {"a": fit, "b": "fit.nc"}, "b is not"),
        (lambda fit: [], "two fits or more"),
        (lambda fit: fit, "two fits or more"),
        (lambda fit: "fit.nc", "what is averaged are fits"),
    ],
)
def test_what_cannot_be_averaged(bell_fit, fits, words):
    with pytest.raises(sd.StimdoseError, match=words):
        sd.average(fits(bell_fit))


def test_questions_that_not_every_model_can_answer(both):
    with pytest.raises(sd.StimdoseError, match=r"test bell has no dose 'session_min'\n.*rising has no dose"):
        both.curve("session_min")
    with pytest.raises(sd.StimdoseError, match="test bell has no groups as sex"):
        both.optimum("frequency_hz", by="sex")
    lacking = both.fits["rising"].model.replace(intercept=sd.Intercept(), dose=[both.fits["rising"].model.dose[0]])
    other = sd.Fit(lacking, both.fits["rising"].trials, both.fits["rising"].tree, both.fits["rising"].diagnosis)
    mixed = dataclasses.replace(both, fits=both.fits | {"rising": other})
    with pytest.raises(
        sd.StimdoseError, match=r"test bell has acute, subacute, chronic as phase\n.*rising has no groups as phase"
    ):
        mixed.table("frequency_hz", by="phase")


def test_an_average_with_an_unconverged_fit_says_so(bell_fit, rising_fit):
    apart = np.random.default_rng(0).normal(size=(4, 500)) + np.arange(4)[:, None]
    diagnosis = diagnose(xr.Dataset({"x": (("chain", "draw"), apart)}), 0)
    bad = sd.Fit(rising_fit.model, rising_fit.trials, rising_fit.tree, diagnosis)
    found = sd.average([bell_fit, bad])
    assert found.explanation.startswith("rising: Warning: the fit did not converge")
    assert found.curve("frequency_hz", size=5).attrs["warning"]
    assert "did not converge" in found.optimum("frequency_hz").explanation
