"""Predictive checks: against brute force from the draws, against refits, and with faults that were planted."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from conftest import make_table
from scipy import stats

import stimdose as sd
from stimdose.checks import _pit, _verdict
from stimdose.diagnosis import Diagnosis
from stimdose.influence import answers
from stimdose.outliers import against_others
from stimdose.posterior import fitted
from stimdose.predictive import _narrower, mean_effects, replicated, statistics
from stimdose.without_study import posteriors_without, silenced


@pytest.fixture(scope="module")
def left_out(bell_fit):
    return sd.leave_one_study_out(bell_fit)


@pytest.fixture(scope="module")
def bell_check(bell_fit, left_out):
    return sd.check(bell_fit, left_out=left_out)


def with_effects(fit, effects, seed=1, **more):
    return fit.refit(effects=xr.DataArray(effects, {"row": [str(label) for label in fit.rows.labels]}, "row"), seed=seed, **more)


def test_statistics_are_those_of_the_replicates(bell_fit):
    found = statistics(bell_fit, prob=0.9).set_index(["of", "level", "statistic"])
    rows, values = bell_fit.rows, bell_fit.values()
    draws = replicated(bell_fit.model, rows, values, np.random.default_rng([11, 8]))
    doses = rows.table["frequency_hz"].to_numpy(float)
    parts = {("all", ""): np.full(len(doses), True), ("phase", "acute"): (rows.table["phase"] == "acute").to_numpy()}
    parts |= {("frequency_hz", "10–20"): (doses >= 10) & (doses <= 20)}
    for key, part in parts.items():
        observed, new = [], []
        for effects in (rows.effect, *draws):
            means, weights = [], []
            for study in np.unique(rows.study[part]):
                own = part & (rows.study == study)
                weights.append((1 / rows.variance[own]).sum())
                means.append((effects[own] / rows.variance[own]).sum() / weights[-1])
            mean = np.average(means, weights=weights)
            sd_ = np.sqrt(np.average((np.array(means) - mean) ** 2, weights=weights))
            (new if effects is not rows.effect else observed).append([mean, sd_, min(means), max(means)])
        for k, name in enumerate(("mean", "sd", "lowest", "highest")):
            line, column = found.loc[(*key, name)], np.array(new)[:, k]
            if name == "mean":  # narrowed: the posterior follows the table
                weights = np.where(part, 1 / rows.variance, 0) / (1 / rows.variance[part]).sum()
                means = mean_effects(bell_fit.model, rows, values) @ weights
                share = (column.var() - 2 * means.var()) / column.var()
                column = np.median(column) + (column - np.median(column)) * np.sqrt(
                    max(share, 0.1 * (1 - means.var() / column.var()))
                )
            expected = [observed[0][k], *np.quantile(column, [0.5, 0.05, 0.95])]
            np.testing.assert_allclose(line[["reported", "replicated", "low", "high"]].astype(float), expected, rtol=1e-9)
            p = 2 * min((column >= observed[0][k]).mean(), (column <= observed[0][k]).mean())
            assert line["p"] == pytest.approx(min(1, p), abs=1e-3)
    assert (found["p_adjusted"] >= found["p"] - 0.02).all()


def test_replicates_are_of_new_studies(bell_fit):
    """Rows of a study vary together as the heterogeneity says, around the population's mean and not the study's own."""
    rows, values = bell_fit.rows, {name: draws[:1].repeat(20_000, 0) for name, draws in bell_fit.values().items()}
    draws = replicated(bell_fit.model, rows, values, np.random.default_rng(1))
    none = {name: np.zeros_like(draws) for name, draws in values.items() if name.endswith("study_effect")}
    np.testing.assert_allclose(draws.mean(axis=0), fitted(bell_fit.model, rows, values | none)[0], atol=0.02)
    same = rows.study[1:] == rows.study[:-1]
    covariance = np.cov(draws, rowvar=False)
    between = values["between_study"][0] ** 2
    assert (covariance[np.arange(len(same))[same], np.arange(1, len(same) + 1)[same]] > 0.8 * between).all()
    assert covariance[0].take(np.flatnonzero(rows.study != rows.study[0])) == pytest.approx(0, abs=0.01)


def test_means_are_compared_with_what_the_posterior_leaves_of_their_noise():
    """In a linear model, P(|reported - posterior mean| as large) is uniform only after the correction."""
    rng = np.random.default_rng(3)
    X, part = rng.normal(size=(30, 6)), np.zeros(30)
    part[:10] = 0.1
    posterior = np.linalg.inv(X.T @ X + np.eye(6))  # b ~ N(0, I), y ~ N(X b, I)
    root, z = np.linalg.cholesky(posterior), []
    for _ in range(2000):
        y = X @ rng.normal(size=6) + rng.normal(size=30)
        z.append(part @ (y - X @ posterior @ X.T @ y))
    expected = (X @ root @ rng.normal(size=(6, 20_000))).T
    new = expected + rng.normal(size=expected.shape)
    total = (new @ part).std()
    narrower = _narrower((new @ part)[:, None], (expected @ part)[:, None])[0]
    assert np.std(z) / total < 0.9  # what would be conservative
    assert np.std(z) == pytest.approx(narrower * total, rel=0.06)


@pytest.mark.parametrize("study", ["Trial 04", "Trial 07"])
def test_a_study_is_compared_with_what_the_others_predict(bell_fit, left_out, study):
    """The same by simulation: new effects of the study for every draw, one by one."""
    model, rows = bell_fit.model, bell_fit.rows
    number, _, values = next(one for one in posteriors_without(bell_fit, left_out) if one[1] == study)
    line, table = against_others(model, rows, number, values, prob=0.9)
    many = {name: np.tile(draws, (40,) + (1,) * (draws.ndim - 1)) for name, draws in values.items()}
    draws = replicated(model, rows, many, np.random.default_rng(2))[:, rows.study == number]
    reported = rows.effect[rows.study == number]
    np.testing.assert_allclose(table["pit"], (draws <= reported).mean(axis=0), atol=0.01)
    np.testing.assert_allclose(table[["low", "high"]].T, np.quantile(draws, [0.05, 0.95], axis=0), atol=0.03)
    whole = np.linalg.solve(np.cov(draws, rowvar=False).reshape(len(reported), -1), np.ones(len(reported)))
    pit = (draws @ whole <= reported @ whole).mean()
    assert line["pit"] == pytest.approx(pit, abs=0.01)
    assert line["residual"] == pytest.approx((reported @ whole - (draws @ whole).mean()) / (draws @ whole).std(), abs=0.03)
    if len(reported) == 1:
        assert line["p"] == pytest.approx(2 * min(pit, 1 - pit), abs=0.02)


def test_draws_without_a_study_are_those_of_a_refit(bell_fit, left_out):
    for study in ("Trial 07", "Trial 15"):
        _, _, values = next(one for one in posteriors_without(bell_fit, replace(left_out, refits={})) if one[1] == study)
        refit = bell_fit.refit(trials=bell_fit.trials.without_study(study), seed=1, draws=1000).values()
        for name in ("intercept", "frequency_hz_amplitude", "sessions_slope", "between_study", "within_study"):
            np.testing.assert_allclose(values[name].mean(), refit[name].mean(), atol=0.2 * refit[name].std(), err_msg=name)
            np.testing.assert_allclose(values[name].std(), refit[name].std(), rtol=0.15, err_msg=name)


def test_a_silenced_study_says_nothing(bell_fit):
    from stimdose.posterior import draw_coefficients

    fixed = {name: draws[:500] for name, draws in bell_fit.values().items() if "between" in name or name == "within_study"}
    fixed |= {
        name: bell_fit.values()[name][:500]
        for name in bell_fit.values()
        if name.startswith("frequency_hz") and "study" not in name
    }
    rows = silenced(bell_fit.rows, 7)
    drawn = [
        draw_coefficients(
            bell_fit.model, replace(rows, effect=rows.effect + shift * (rows.study == 7)), fixed, np.random.default_rng(1)
        )[0]
        for shift in (0.0, 100.0)
    ]
    np.testing.assert_allclose(drawn[0]["sessions_slope"], drawn[1]["sessions_slope"], atol=1e-6)
    others, _ = draw_coefficients(bell_fit.model, bell_fit.rows, fixed, np.random.default_rng(1))
    assert abs(others["sessions_slope"] - drawn[0]["sessions_slope"]).max() > 1e-3


def test_few_draws_leave_some_noise():
    draws = np.array([[-1.0, 0.0], [0.0, 1.0], [1.0, -1.0]])
    assert np.isfinite(_narrower(draws, 2 * draws)).all()


def test_without_any_change_the_answers_are_those_of_all_trials(bell_fit):
    best = sd.optimum(bell_fit, "frequency_hz", size=61)
    line = answers(bell_fit, "frequency_hz", 0.1).without(bell_fit.values()).iloc[0]
    assert (line["verdict"], line["verdict_all"], line["changes"]) == (best.verdict, best.verdict, False)
    assert line["change"] == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(line[["low", "best_dose", "high"]].astype(float), np.quantile(best.dose, [0.025, 0.5, 0.975]))


def test_a_verdict_that_falls_a_little_below_its_certainty_has_not_changed(bell_fit):
    """A flat posterior changes "identified"; the same with 15 % of flat curves does not."""
    asked, values = answers(bell_fit, "frequency_hz", 0.1), bell_fit.values()
    assert asked.verdicts() == {"": "identified"}
    for share, verdict, changes in ((0.15, "not identified", False), (0.5, "not identified", True)):
        flat = np.arange(4000) % 100 < 100 * share
        mixed = values | {"frequency_hz_amplitude": np.where(flat, 0.0, values["frequency_hz_amplitude"])}
        line = asked.without(mixed).iloc[0]
        assert (line["verdict"], line["changes"]) == (verdict, changes)


def test_prior_curves_say_which_are_implausible(bell_fit, bell_model, trials):
    found = sd.prior_curves(bell_fit, "frequency_hz", limit=1.5)
    assert found.sizes == {"chain": 1, "draw": 1000, "frequency_hz": 201}
    brute = [(abs(draw) > 1.5).any() for draw in found.values[0]]
    np.testing.assert_array_equal(found["implausible"].values[0], brute)
    assert found.attrs["share_implausible"] == pytest.approx(np.mean(brute))
    shares = [sd.prior_curves(bell_fit, "frequency_hz", limit=limit).attrs["share_implausible"] for limit in (0.5, 3, 10)]
    assert shares == sorted(shares, reverse=True)
    unfitted = sd.prior_curves((bell_model, trials), "sessions", by="phase")
    assert unfitted.sizes["phase"] == 3
    assert unfitted.attrs["limit"] == 3.0
    fitted_ = sd.prior_curves(bell_fit, "sessions", by="phase").attrs["share_implausible"]
    assert unfitted.attrs["share_implausible"] == pytest.approx(fitted_, abs=0.06)


def test_prior_effects_are_those_of_the_priors(bell_fit, bell_model, trials):
    """Of one row: the moments of intercept, dose effects, heterogeneity and sampling error, drawn one by one."""
    found = sd.prior_effects((bell_model, trials), prob=0.5)
    assert found["row"].tolist() == bell_fit.rows.labels.tolist()
    prior = {name: draws[:, 0] if draws.ndim > 1 else draws for name, draws in bell_fit.values("prior").items()}
    rng, row = np.random.default_rng(0), bell_fit.rows.table.iloc[0]
    mean = bell_fit.values("prior")["intercept_by_phase"][:, bell_fit.rows.points.groups["phase"][0]]
    bump = np.exp(-0.5 * (np.log(row["frequency_hz"] / prior["frequency_hz_peak"]) / prior["frequency_hz_width"]) ** 2)
    slope = bell_fit.values("prior")["sessions_slope_by_phase"][:, bell_fit.rows.points.groups["phase"][0]]
    shape = bell_model.doses[1].basis.columns(np.array([row["sessions"]]))[0]
    site = bell_fit.values("prior")["site_effect"][:, bell_fit.rows.points.groups["site"][0]]
    spread = np.hypot(np.hypot(prior["between_study"], prior["within_study"]), np.sqrt(bell_fit.rows.variance[0]))
    spread = np.hypot(spread, bump * prior["frequency_hz_amplitude_between_study"])
    spread = np.hypot(spread, shape * prior["sessions_slope_between_study"])
    draws = mean + prior["frequency_hz_amplitude"] * bump + slope * shape + site + spread * rng.standard_normal(1000)
    np.testing.assert_allclose(found.loc[0, ["low", "high"]].astype(float), np.quantile(draws, [0.25, 0.75]), atol=0.2)


def test_the_limit_is_the_range_of_the_scale_where_that_is_less():
    table = make_table().assign(measure="MD", outcome="MAS")
    trials = sd.read_trials(table)
    model = sd.Model(name="md", outcome_sd=4.0, intercept=sd.Intercept(), dose=[sd.Dose(column="sessions", shape="linear")])
    scale = sd.scales.scale_of("MAS")
    attrs = sd.prior_curves((model, trials), "sessions").attrs
    assert attrs["limit"] == scale.high - scale.low < 12
    assert scale.title in attrs["limit_words"]
    other = sd.prior_curves((model.replace(outcome_sd=1.0), trials), "sessions").attrs
    assert other["limit"] == 3.0


def test_the_tables_agree_with_each_other(bell_fit, bell_check):
    studies, rows = bell_check.tables["studies"], bell_check.tables["rows"]
    assert studies.index.tolist() == bell_fit.rows.studies.tolist()
    assert rows["row"].tolist() == bell_fit.rows.labels.tolist()
    np.testing.assert_allclose(rows["effect"], bell_fit.rows.effect)
    assert set(bell_check.table().index) == set(studies.index)
    assert bell_check.tables["optima"].loc[("frequency_hz", ""), "verdict"] == sd.optimum(bell_fit, "frequency_hz").verdict
    posterior, prior = (bell_fit.values(group)["sessions_slope"] for group in ("posterior", "prior"))
    contraction = bell_check.tables["parameters"].loc["sessions_slope", "contraction"]
    assert contraction == pytest.approx(1 - posterior.var() / prior.var())
    assert "sessions_slope_by_phase[acute]" in bell_check.tables["parameters"].index
    assert not bell_check.verdict.startswith(("does not", "did not"))


def test_the_share_of_studies_by_pit_has_a_simultaneous_band(bell_fit, bell_check):
    rng = np.random.default_rng(1)
    left = [
        ((found := _pit(rng.uniform(size=25), 0.95))["ecdf"] < found["low"]) | (found["ecdf"] > found["high"]) for _ in range(300)
    ]
    assert stats.binomtest(int(sum(one.any() for one in left)), 300, 0.05).pvalue > 0.001
    narrow = _pit(0.5 + 0.1 * rng.uniform(size=25), 0.95)
    assert ((narrow["ecdf"] < narrow["low"]) | (narrow["ecdf"] > narrow["high"])).any()
    verdicts = [_verdict(bell_fit, bell_check.tables | {"pit": pit}) for pit in (narrow, _pit(np.linspace(0.02, 0.98, 25), 0.95))]
    assert ["PIT outside its band" in verdict for verdict in verdicts] == [True, False]


def test_a_fit_that_did_not_converge_says_so_first_and_everywhere(bell_fit, left_out):
    table = bell_fit.diagnosis.table.assign(r_hat=1.3)
    lost = replace(bell_fit, diagnosis=Diagnosis(table, 0, 4000))
    found = sd.check(lost, left_out=left_out)
    assert found.verdict.startswith("did not converge")
    assert found.explanation.startswith("Warning: the fit did not converge")
    assert all(table.attrs["warning"] == "did not converge" for table in found.tables.values())
    for axes in (sd.figures.checks(found)[0], sd.figures.influence(found), sd.figures.influence(found, dose="frequency_hz")):
        assert "did not converge" in axes.figure.get_suptitle()


def test_what_cannot_be_checked_is_refused(bell_fit):
    with pytest.raises(sd.StimdoseError, match="no column 'protocol'"):
        statistics(bell_fit, by=("protocol",))
    with pytest.raises(sd.StimdoseError, match="limit"):
        sd.prior_curves(bell_fit, "sessions", limit=0)
    with pytest.raises(sd.StimdoseError, match=r"\(model, trials\)"):
        sd.prior_curves("a fit", "sessions")


def test_the_command_prints_the_verdict_and_writes_tables_and_figures(strata_fit, run, tmp_path):
    path = strata_fit.save(tmp_path / "fit.nc")
    code, printed, _ = run("check", str(path), "--cuts", "sessions=10", "-o", str(tmp_path / "out"))
    assert code == 0
    assert printed.splitlines()[0].split(":")[0].split(",")[0] in (
        "Reproduces these trials",
        "One study decides",
        "Single studies decide",
    )
    written = {file.name for file in (tmp_path / "out").iterdir()}
    assert {"check-studies.csv", "check-statistics.csv", "check.png", "influence.pdf", "influence-sessions-acute.png"} <= written
    levels = pd.read_csv(tmp_path / "out" / "check-statistics.csv").query("of == 'sessions'")["level"].unique()
    assert levels[0] == "5–10"


def drawn(ax, label):
    (line,) = [artist for artist in ax.get_children() if artist.get_label() == label]
    return line


def test_the_figure_shows_rows_sorted_by_what_is_predicted(bell_check):
    left, right = sd.figures.checks(bell_check)
    rows = bell_check.tables["rows"].sort_values(["predicted", "study"], kind="stable")
    np.testing.assert_allclose(drawn(left, "_reported").get_xdata(), rows["effect"])
    np.testing.assert_allclose(drawn(left, "_reported").get_ydata(), np.arange(len(rows)))
    ends = np.array([segment[:, 0] for segment in drawn(left, "_interval").get_segments()])
    np.testing.assert_allclose(ends, rows[["low", "high"]])
    assert [text.get_text() for text in left.get_yticklabels()] == rows["study"].tolist()
    np.testing.assert_allclose(drawn(right, "_ecdf").get_ydata(), bell_check.tables["pit"]["ecdf"])


def test_influence_is_drawn_sorted_with_the_verdict(bell_check):
    studies, moved = bell_check.tables["studies"], bell_check.tables["left_out"]
    studies = studies.assign(mean_change=np.where(studies.index == "Trial 03", 1.4, studies["mean_change"] / 2))
    moved = moved.assign(changes=(moved["study"] == "Trial 11") & (moved["dose"] == "frequency_hz"))
    moved.loc[moved["changes"], "verdict"] = "flat"
    found = replace(bell_check, tables=bell_check.tables | {"studies": studies, "left_out": moved})
    ax = sd.figures.influence(found)
    assert drawn(ax, "_odd").get_xdata().tolist() == [1.4]
    assert (np.diff(drawn(ax, "_study").get_xdata()) >= 0).all()
    assert ax.get_yticklabels()[-1].get_text() == "Trial 03"
    ax = sd.figures.influence(found, dose="frequency_hz")
    best = moved[moved["dose"] == "frequency_hz"].set_index("study")["best_dose"]
    assert drawn(ax, "_odd").get_xdata().tolist() == [best["Trial 11"]]
    assert ax.get_title().endswith("identified")
    assert [text.get_text() for text in ax.texts] == ["flat"]
    with pytest.raises(ValueError, match="state the group"):
        sd.figures.influence(found, dose="sessions")
    with pytest.raises(ValueError, match="frequency_hz"):
        sd.figures.influence(found, dose="session_min")


def test_of_many_studies_only_remarkable_ones_are_named(bell_check):
    rng, names = np.random.default_rng(1), [f"Author {k}" for k in range(150)]
    rows = pd.DataFrame(
        {"study": names, "effect": rng.normal(size=150), "predicted": rng.normal(size=150), "low": -2.0, "high": 2.0}
    )
    studies = pd.DataFrame({"p_adjusted": [0.01, 0.02, *[1.0] * 148], "mean_change": 0.0}, index=pd.Index(names, name="study"))
    found = replace(bell_check, tables=bell_check.tables | {"rows": rows, "studies": studies})
    ax = sd.figures.checks(found)[0]
    assert {text.get_text() for text in ax.get_yticklabels()} == {"Author 0", "Author 1"}
    assert ax.get_ylabel() == "150 rows"


@pytest.mark.slow
def test_the_order_of_rows_changes_nothing(bell_fit, bell_check):
    table = make_table().sample(frac=1, random_state=4)
    found = sd.check(bell_fit.refit(trials=sd.read_trials(table), seed=2, draws=1000))
    studies = found.tables["studies"].loc[bell_check.tables["studies"].index]
    np.testing.assert_allclose(studies["residual"], bell_check.tables["studies"]["residual"], atol=0.15)
    np.testing.assert_allclose(studies["pit"], bell_check.tables["studies"]["pit"], atol=0.05)
    key = ["of", "level", "statistic"]
    one, two = (each.tables["statistics"].set_index(key).sort_index() for each in (found, bell_check))
    np.testing.assert_allclose(one["reported"], two["reported"], rtol=1e-9)
    np.testing.assert_allclose(one["p"], two["p"], atol=0.1)


@pytest.mark.slow
def test_an_outlying_study_is_named(bell_fit):
    rows = bell_fit.rows
    shifted = np.where(rows.studies[rows.study] == "Trial 08", rows.effect + 3, rows.effect)
    found = sd.check(with_effects(bell_fit, shifted))
    assert found.verdict.startswith("does not reproduce these trials")
    assert "Trial 08" in found.verdict
    assert isinstance(found.flagged, dict)
    assert found.flagged["Trial 08"].startswith("reports more than the other studies predict")
    assert found.table().index[0] == "Trial 08"
    studies = found.tables["studies"]
    assert studies.index[studies["p_adjusted"] < 0.05].tolist() == ["Trial 08"]


@pytest.mark.slow
def test_heterogeneity_that_was_left_out_is_seen(bell_fit):
    rng, rows = np.random.default_rng(5), bell_fit.rows
    effects = mean_effects(bell_fit.model, rows, bell_fit.values()).mean(axis=0) + rng.normal(0, np.sqrt(rows.variance))
    effects += rng.normal(0, 0.6, len(rows.studies))[rows.study]
    names = ("between_study", "within_study", "frequency_hz_amplitude_between_study", "sessions_slope_between_study")
    none = {name: sd.Prior("halfnormal", sigma=0.01, why="left out") for name in names}
    found = sd.check(with_effects(bell_fit, effects, priors=none))
    odd = found.tables["statistics"].query("p_adjusted < 0.05")
    assert found.verdict.startswith("does not reproduce these trials")
    assert "sd" in set(odd["statistic"])


@pytest.mark.slow
def test_a_wrong_shape_is_seen_by_ranges_of_the_dose():
    table = make_table(studies=60, seed=8)
    model = sd.Model(name="line", intercept=sd.Intercept(), dose=[sd.Dose(column="frequency_hz", shape="log-linear")])
    found = sd.check(sd.fit(model, sd.read_trials(table), seed=1))
    odd = found.tables["statistics"].query("p_adjusted < 0.05 and statistic == 'mean'")
    assert found.verdict.startswith("does not reproduce these trials")
    assert "frequency_hz" in set(odd["of"])


@pytest.mark.slow
def test_tables_simulated_from_the_model_are_rarely_called_wrong(bell_fit):
    """docs/checks.md: 1 of 40."""
    values = {name: draws[::400] for name, draws in bell_fit.values().items()}
    tables = replicated(bell_fit.model, bell_fit.rows, values, np.random.default_rng(6))
    found = [sd.check(with_effects(bell_fit, effects, seed=k)) for k, effects in enumerate(tables)]
    wrong = sum(each.verdict.startswith("does not") for each in found)
    assert stats.binomtest(wrong, len(tables), 0.1, "greater").pvalue > 0.01
    p = np.concatenate([each.tables["studies"]["pit"] for each in found])
    assert stats.kstest(p, "uniform").pvalue > 0.001


def test_one_study_has_no_shape_of_its_pit():
    assert _pit(np.array([0.001]), 0.95).attrs["p"] == 1
