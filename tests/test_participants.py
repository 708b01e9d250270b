"""Rows that are people, alone and beside trial summaries: reading, the density against a dense normal, a known truth."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import multivariate_normal, norm

import stimdose as sd
from stimdose.calibration import log_likelihood
from stimdose.density import log_density, registers_of
from stimdose.dose_points import DosePoints, dose_points, spread_of
from stimdose.encoding import encode
from stimdose.left_out import log_predictive
from stimdose.posterior import draw_coefficients, draw_prior, fitted, replicate, true_effects
from stimdose.predictor import dose_columns, mean_effect, terms
from stimdose.rows import Points, left_to_model, prepare, rows_of
from stimdose.shapes import SHAPES
from stimdose.without_study import silenced

PEAK, WIDTH, HEIGHT, BETWEEN, RESIDUAL = 20.0, 0.5, 0.8, 0.15, 0.5


AT = {"peak": 20.0, "ed50": 20.0, "scale": 20.0, "plateau": 20.0, "hill": 3.0, "steepness": 3.0}
"""Non-linear parameters by name; others are 0.6."""


def bell(minutes):
    return HEIGHT * np.exp(-0.5 * (np.log(minutes / PEAK) / WIDTH) ** 2)


def children(centres: int = 6, size: int = 8, seed: int = 1) -> pd.DataFrame:
    """Children with cerebral palsy: muscle tone (lower is better) falls with a bell in minutes. Simulated here."""
    rng, rows = np.random.default_rng(seed), []
    for centre in range(centres):
        shift = rng.normal(0, BETWEEN)
        for child in range(size):
            minutes, age = rng.choice([5.0, 10, 15, 20, 30, 45]), rng.uniform(3, 15)
            benefit = bell(minutes) + 0.03 * (age - 9) + shift + rng.normal(0, RESIDUAL)
            before = rng.choice([2.0, 3.0, 4.0])
            rows.append(
                {"study": f"Centre {centre}", "participant": f"{child}", "design": "participant", "direction": "lower"}
                | {"outcome": "tone", "score_before": before, "score_after": before - benefit}
                | {"session_min": minutes, "age": age, "severity": rng.choice(["mild", "severe"])}
            )
    return pd.DataFrame(rows)


def arms(
    trials: int = 10, per_trial: int = 1, n: int = 15, cv: float = 0.0, seed: int = 2, between: float = BETWEEN
) -> pd.DataFrame:
    """Arms of trials whose people had doses with coefficient of variation `cv`: mean changes within groups."""
    rng, rows = np.random.default_rng(seed), []
    for trial in range(trials):
        shift = rng.normal(0, between)
        for arm in range(per_trial):
            mean = rng.choice([5.0, 10, 15, 20, 30, 45])
            sigma = np.sqrt(np.log1p(cv**2))
            minutes = mean * np.exp(sigma * rng.standard_normal(n) - sigma**2 / 2)
            benefit = bell(minutes) + shift + rng.normal(0, RESIDUAL, n)
            rows.append(
                {"study": f"Trial {trial}", "arm": f"{arm}", "design": "within-group", "direction": "lower", "measure": "MC"}
                | {"comparator": "none", "outcome": "tone", "change_mean_active": -benefit.mean()}
                | {"change_sd_active": benefit.std(ddof=1), "n_active": n, "session_min": mean, "session_min_sd": cv * mean}
                | {"age": 9.0, "severity": "mild"}
            )
    return pd.DataFrame(rows)


def model_of(**fields) -> sd.Model:
    given = {
        "name": "children",
        "outcome_sd": 1.0,
        "intercept": sd.Intercept(),
        "dose": [sd.Dose(column="session_min", shape="bell", by_study=False)],
    }
    return sd.Model(**(given | fields))


def prepared(model: sd.Model, table: pd.DataFrame):
    model, trials = prepare(model, sd.read_trials(table))
    return model, rows_of(model, trials)


# --- reading -------------------------------------------------------------------------------------------------------------------------


def test_a_participant_is_a_change_without_sampling_error():
    table = children().drop(columns=["participant"])
    trials = sd.read_trials(table)
    np.testing.assert_allclose(trials.table["effect"], table["score_before"] - table["score_after"])
    np.testing.assert_allclose(trials.table["effect_reported"], table["score_after"] - table["score_before"])
    assert (trials.table["variance"] == 0).all()
    assert set(trials.table["measure"]) == {"MC"}
    assert set(trials.table["comparator"]) == {"none"}
    of_first = trials.audit().query("row == '2' or row == 2")
    assert {"measure", "comparator", "effect"} <= set(of_first["column"])


def test_a_participant_without_change_has_an_effect_of_zero():
    """Not of -0.0, which prints as "-0.0"; neither has an arm."""
    table = pd.concat([children(1, 2), arms(1)]).assign(change_mean_active=[np.nan, np.nan, 0])
    table["score_after"] = table["score_before"]
    assert not np.signbit(sd.read_trials(table).table["effect"]).any()


@pytest.mark.parametrize("design", [None, "child"])
def test_scores_without_a_design_are_one_fault(design):
    """What follows from the design (measure, comparator, effect, variance) is not empty for another reason."""
    with pytest.raises(sd.TrialsError) as caught:
        sd.read_trials(children(1, 3).assign(design=["participant", design, design]))
    assert [problem.column for problem in caught.value.problems] == ["design"] * 2
    assert all("participant" in problem.rule for problem in caught.value.problems)


@pytest.mark.parametrize(
    ("change", "column", "words"),
    [
        ({"score_before": None}, "score_before", "needs both"),
        ({"score_after": None}, "score_after", "needs both"),
        ({"score_after": None, "score_before": None}, "effect", "give score_before and score_after"),
        ({"score_after": 7, "outcome": "MAS"}, "score_after", "outside the range of MAS, 0 to 4"),
        ({"measure": "SMD"}, "measure", "is 'MC' for a participant"),
        ({"comparator": "sham"}, "comparator", "is 'none' for a participant"),
        ({"effect": -1.0}, "effect", "is of a group"),
        ({"se": 0.2}, "se", "is of a group"),
        ({"n_active": 12}, "n_active", "is of a group"),
        ({"sample": "A"}, "sample", "is of a group"),
        ({"session_min_sd": 3}, "session_min_sd", "is of a group"),
        ({"design": "within-group", "measure": "MC", "comparator": "none", "effect": 1, "se": 1}, "score_after", "of one person"),
        ({"participant": "1"}, "study", "repeats row"),
        ({"score_before": "1+"}, "score_before", "the grade 1+, which lies between 1 and 2, is entered as 1.5"),
    ],
)
def test_faults_of_participants(change, column, words):
    table = children(1, 4).astype(object)
    table.loc[2, ["session_min", "participant"]] = [table.loc[1, "session_min"], "x"]
    for name, value in change.items():
        table.loc[2, name] = value
    with pytest.raises(sd.TrialsError) as caught:
        sd.read_trials(table)
    assert any(problem.row == 2 and problem.column == column and words in problem.rule for problem in caught.value.problems)


def test_participants_go_with_arms_and_not_with_contrasts():
    both = pd.concat([children(), arms()], ignore_index=True)
    assert sd.read_trials(both).mixtures() == {}
    contrast = {"study": "T", "design": "parallel", "measure": "SMD", "comparator": "sham", "direction": "lower", "effect": -0.4}
    table = pd.concat([children(), pd.DataFrame([contrast | {"se": 0.2, "session_min": 20, "outcome": "tone"}])])
    with pytest.raises(sd.TrialsError, match="give each arm of the trials beside them as a row"):
        prepare(model_of(), sd.read_trials(table.reset_index(drop=True)))


def test_one_row_of_each_participant():
    table = pd.concat([children(2).assign(timepoint="end"), children(2).assign(timepoint="later")], ignore_index=True)
    trials = sd.read_trials(table)
    with pytest.raises(sd.ModelError, match=r"0 \(Centre 0\).*and others have several"):
        prepare(model_of(), trials)
    assert len(prepare(model_of(), trials.subset(timepoint="end"))[1]) == 16


def test_residual_sd_stays_away_from_zero():
    with pytest.raises(sd.ModelError, match="must stay away from zero"):
        model_of(residual_sd=sd.Prior("halfnormal", sigma=1.0))
    model = model_of(outcome_sd=8.0)
    assert model.residual_prior()["residual_sd"].distribution.median() == pytest.approx(8 * np.sqrt(0.3 * 2.0))
    own = model.with_priors({"residual_sd": sd.Prior("lognormal", mu=0.0, sigma=0.1)})
    assert own.residual_prior()["residual_sd"].distribution.median() == pytest.approx(8.0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"session_min": None}, "needs the mean of session_min"),
        ({"session_min": "10-20"}, "needs the mean of session_min"),
        ({"session_min": 0}, "is above 0"),
    ],
)
def test_a_spread_of_doses_goes_with_their_mean(change, words):
    table = arms(cv=0.3).astype(object)
    table.loc[0, list(change)] = list(change.values())
    with pytest.raises(sd.TrialsError, match=words):
        sd.read_trials(table)


# --- the likelihood ------------------------------------------------------------------------------------------------------------------

TABLES = {
    "people": children(),
    "people and arms": pd.concat([children(), arms(cv=0.5)], ignore_index=True),
    "people and trials of several arms, mixed": pd.concat(
        [children(), arms(5, 3), arms(5, 2)[1:3].assign(study="Centre 0", arm="c")]
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_density_is_that_of_a_linear_mixed_model(name):
    """Given the bell, everything is one multivariate normal, written out here from the table."""
    model, rows = prepared(model_of(moderator=[sd.Moderator(column="age", center=9, per=1)]), TABLES[name].reset_index(drop=True))
    program, layout = encode(model, rows)
    assert "residual_sd" in layout.sampled
    assert ("within_study" in layout.sampled) == (name != "people" and rows.has_within_study)
    rng = np.random.default_rng(3)
    position = rng.normal(0, 0.3, len(program.sampled.family))
    registers, _, log_prior, _ = registers_of(position, program.sampled)
    value = {key: registers[place] for key, place in layout.sampled.items()}

    table, x = rows.table, rows.table["session_min"].to_numpy(float)
    curve = lambda dose: np.exp(-0.5 * (np.log(dose / value["session_min_peak"]) / value["session_min_width"]) ** 2)
    shape, spread = curve(x), spread_of("session_min", table)
    for row in np.flatnonzero(spread):  # many draws of the doses of its people, by quantiles
        sigma = np.sqrt(np.log1p((spread[row] / x[row]) ** 2))
        z = np.linspace(-7, 7, 4001)
        shape[row] = np.average(curve(x[row] * np.exp(sigma * z - sigma**2 / 2)), weights=np.exp(-0.5 * z**2))
    people = (table["design"] == "participant").to_numpy()
    K = np.where(people, value["residual_sd"] ** 2, table["variance"] + value.get("within_study", 0.0) ** 2) * np.eye(len(x))
    K += value["between_study"] ** 2 * (rows.study[:, None] == rows.study)
    for column, prior in ((np.ones(len(x)), "intercept"), (table["age"].to_numpy(float) - 9, "age_effect")):
        K += model.priors()[prior].parameters["sigma"] ** 2 * np.outer(column, column)
    expected = multivariate_normal(value["session_min_amplitude"] * shape, K).logpdf(rows.effect)
    assert log_density(position, program, np.empty(len(position))) - log_prior == pytest.approx(expected, rel=2e-6)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("cv", [0.3, 0.8])
def test_every_shape_is_averaged_over_the_people_of_a_row(shape, cv):
    """Against a fine sum over a log-normal distribution of doses with the printed mean and standard deviation."""
    sigma, z = np.sqrt(np.log1p(cv**2)), np.linspace(-8, 8, 8001)
    weight, spread = norm.pdf(z) / norm.pdf(z).sum(), sigma * z - sigma**2 / 2
    assert weight @ np.exp(spread) == pytest.approx(1)
    assert weight @ np.exp(2 * spread) - 1 == pytest.approx(cv**2)
    means = np.array([4.0, 15.0, 50.0])
    ends = {"session_min": np.concatenate([means * np.exp(9 * sigma * side) for side in (-1, 1)])}
    knots = {"knots": (5, 15, 40)} if shape == "restricted-cubic-spline" else {}
    dose = sd.Dose(column="session_min", shape=shape, by_study=False, **knots).placed(ends)
    points = dose_points(dose, means, means, np.zeros(3, bool), cv * means)
    values = {f"session_min_{name}": np.array([AT.get(name, 0.6)]) for name in dose.nonlinear}
    with_spread = dose_columns(dose, Points(3, {"session_min": points}, {}, {}), values)
    fine = (means[:, None] * np.exp(spread)).ravel()
    by_person = dose_columns(dose, Points(fine.size, {"session_min": DosePoints(fine)}, {}, {}), values)
    for found, each in zip(with_spread, by_person, strict=True):
        expected = each.reshape(3, -1) @ weight
        np.testing.assert_allclose(found.ravel(), expected, rtol=5e-3, atol=1e-3)


@pytest.mark.parametrize("shape", ["linear", "bell"])
def test_a_mean_change_says_what_its_people_say(shape):
    """With one dose in a trial and a known spread of people, their mean is sufficient: over curves and spreads between studies, the densities
    of rows of people, of summaries, and of half of each, differ by a constant."""
    rng, people, sd_of_people = np.random.default_rng(6), [], 0.5
    for k in range(8):
        minutes, shift = [8.0, 15, 25, 40][k % 4], rng.normal(0, 0.2)
        for child, noise in enumerate(rng.normal(0, sd_of_people, 5 + k)):
            cells = {
                "study": f"S{k}",
                "participant": str(child),
                "design": "participant",
                "direction": "lower",
                "outcome": "tone",
            }
            people.append(cells | {"score_before": 3.0, "score_after": 3 - bell(minutes) - shift - noise, "session_min": minutes})
    people = pd.DataFrame(people)
    found = people.groupby("study").agg(
        after=("score_after", "mean"), n_active=("score_after", "size"), session_min=("session_min", "mean")
    )
    same = {"design": "within-group", "measure": "MC", "comparator": "none", "direction": "lower", "outcome": "tone"}
    summaries = found.reset_index().assign(
        change_mean_active=found["after"].to_numpy() - 3, change_sd_active=sd_of_people, **same
    )
    summaries = summaries.drop(columns="after")
    half = [people[people["study"] < "S4"], summaries[summaries["study"] >= "S4"]]
    tables = [people, summaries, pd.concat(half, ignore_index=True)]
    dose = sd.Dose(column="session_min", shape=shape, by_study=False)
    model, rows = prepared(model_of(dose=[dose]), tables[0])
    values = draw_prior(model, rows, 30, np.random.default_rng(1)) | {"residual_sd": np.full(30, sd_of_people)}
    density = [log_likelihood(*prepared(model_of(dose=[dose]), table), values) for table in tables]
    for other in density[1:]:
        np.testing.assert_allclose(np.ptp(density[0] - other), 0, atol=1e-8)


def test_drawn_coefficients_and_studies_agree_with_the_others():
    """log p(y_s | coefficients), replicates and shrunken effects of people and of arms."""
    model, rows = prepared(model_of(), pd.concat([children(4, 5), arms(4, 2)], ignore_index=True))
    values, rng = draw_prior(model, rows, 4000, np.random.default_rng(1)), np.random.default_rng(2)
    one = {name: np.repeat(value[:1], 4000, axis=0) for name, value in values.items()}
    sampled = {name: one[name] for name in one if name != "intercept"}
    drawn, log_likelihood = draw_coefficients(model, rows, sampled, rng)
    first = {name: value[:1] for name, value in (sampled | drawn).items()}
    mean = mean_effect(terms(model, rows, rows.points, first), first)[0]
    noise = np.where(rows.is_participant, first["residual_sd"] ** 2, rows.variance + first["within_study"] ** 2)
    for s in range(len(rows.studies)):
        own = slice(*rows.start[s : s + 2])
        K = np.diag(noise[own]) + first["between_study"][0] ** 2
        assert log_likelihood[0, s] == pytest.approx(multivariate_normal(mean[own], K).logpdf(rows.effect[own]))
    fixed = {name: np.repeat(value, 4000, axis=0) for name, value in first.items()}
    replicated, expected = replicate(model, rows, fixed, rng), fitted(model, rows, fixed)[0]
    np.testing.assert_allclose(replicated.mean(axis=0), expected, atol=5 * np.sqrt(noise.max() / 4000))
    np.testing.assert_allclose(replicated.var(axis=0), noise, rtol=0.15)
    shrunken = true_effects(model, rows, fixed, rng)
    np.testing.assert_array_equal(shrunken[:, rows.is_participant], np.tile(expected[rows.is_participant], (4000, 1)))
    within = first["within_study"][0] ** 2
    share = within / (within + rows.variance)
    means = (expected + share * (rows.effect - expected))[~rows.is_participant]
    np.testing.assert_allclose(shrunken[:, ~rows.is_participant].mean(axis=0), means, atol=5 * np.sqrt(within / 4000))


def test_density_of_a_centre_given_the_others():
    """log p(y_s | others) by the ratio of two densities of dense normals."""
    model, rows = prepared(model_of(), pd.concat([children(3, 4), arms(3, 2)], ignore_index=True))
    values = draw_prior(model, rows, 2, np.random.default_rng(5))
    sampled = {name: value for name, value in values.items() if name != "intercept"}
    without, _ = log_predictive(model, rows, sampled)
    for d in range(2):
        one = {name: value[d] for name, value in values.items()}
        x = rows.table["session_min"].to_numpy(float)
        mean = one["session_min_amplitude"] * np.exp(-0.5 * (np.log(x / one["session_min_peak"]) / one["session_min_width"]) ** 2)
        K = np.diag(np.where(rows.is_participant, one["residual_sd"] ** 2, rows.variance + one["within_study"] ** 2)) + 1.0
        K += one["between_study"] ** 2 * (rows.study[:, None] == rows.study)
        density = lambda at, K=K, mean=mean: multivariate_normal(mean[at], K[np.ix_(at, at)]).logpdf(rows.effect[at])
        for s in range(len(rows.studies)):
            others = np.flatnonzero(rows.study != s)
            assert without[d, s] == pytest.approx(density(np.arange(len(x))) - density(others))


def test_a_silenced_centre_says_nothing():
    """Coefficients given the rows of which one centre is silenced are those given the other rows."""
    table = pd.concat([children(3, 4), arms(3, 2)], ignore_index=True)
    (model, rows), (_, others) = prepared(model_of(), table), prepared(model_of(), table[table["study"] != "Centre 0"])
    sampled = {k: np.repeat(v, 20_000, axis=0) for k, v in draw_prior(model, rows, 1, np.random.default_rng(5)).items()}
    sampled.pop("intercept")
    silent, absent = (
        draw_coefficients(model, of, sampled, np.random.default_rng(1))[0]["intercept"] for of in (silenced(rows, 0), others)
    )
    assert silent.mean() == pytest.approx(absent.mean(), abs=5 * absent.std() / 100)
    assert silent.std() == pytest.approx(absent.std(), rel=0.03)


def test_the_scale_may_be_turned():
    """Scores where higher is better give the same rows."""
    table = children()
    turned = table.assign(direction="higher", score_before=4 - table["score_before"], score_after=4 - table["score_after"])
    np.testing.assert_allclose(sd.read_trials(table).table["effect"], sd.read_trials(turned).table["effect"], atol=1e-12)


def test_the_audit_says_what_is_averaged():
    _, rows = prepared(model_of(), arms(cv=0.4))
    lines = [line for line in left_to_model(rows) if line.column == "session_min"]
    assert len(lines) == len(rows.effect)
    assert all("averaged over the doses of its people" in line.formula and "session_min_sd = " in line.printed for line in lines)


def test_simulated_participants_keep_their_scores_consistent():
    trials = sd.read_trials(pd.concat([children(3, 4), arms(3)], ignore_index=True))
    table = sd.simulate_trials(model_of(), trials, seed=3).trials.table
    people = table["design"] == "participant"
    np.testing.assert_allclose(table["effect"][people], (table["score_before"] - table["score_after"])[people])
    assert table["score_after"][~people].isna().all()


# --- fits ----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_people_and_trials_together_know_more_and_recover_the_truth():
    people, trials = children(8, 25), arms(12, 2, n=30, cv=0.6)
    model = model_of(intercept=sd.Intercept(prior=sd.Prior("normal", mu=0, sigma=0.3)))
    tables = {"people": people, "trials": trials, "both": pd.concat([people, trials], ignore_index=True)}
    fits = {name: sd.fit(model, sd.read_trials(table), seed=1, progress=False) for name, table in tables.items()}
    draws = {name: fit.values() for name, fit in fits.items()}
    for name in ("session_min_peak", "session_min_width", "session_min_amplitude"):
        sds = {key: np.log(value[name]).std() for key, value in draws.items()}
        assert sds["both"] < min(sds["people"], sds["trials"])
    for name, truth in {"session_min_peak": PEAK, "session_min_width": WIDTH, "residual_sd": RESIDUAL}.items():
        low, high = np.quantile(draws["both"][name], [0.005, 0.995])
        assert low < truth < high
    assert "residual_sd" not in draws["trials"]
    assert sd.leave_one_study_out(fits["both"]).table["elpd"].notna().all()
    assert sd.check(fits["both"], delta=0.1).verdict.startswith("reproduces these trials")


@pytest.mark.slow
def test_spread_out_doses_flatten_a_curve_at_the_mean_dose():
    """Trials whose people differ widely in dose: taken at the mean dose the bell comes out too wide and too low."""
    table = arms(60, 1, n=400, cv=0.8, seed=4, between=0.03)
    dose = sd.Dose(column="session_min", shape="bell", by_study=False, fixed={"peak": PEAK})
    model = model_of(intercept=sd.Intercept(prior=sd.Prior("normal", mu=0, sigma=0.05)), dose=[dose])
    averaged, at_mean = (
        sd.fit(model, sd.read_trials(part), seed=2, draws=2000, progress=False).values()
        for part in (table, table.drop(columns="session_min_sd"))
    )
    for name, value in {"session_min_width": WIDTH, "session_min_amplitude": HEIGHT}.items():
        low, high = np.quantile(averaged[name], [0.005, 0.995])
        assert low < value < high
    assert np.quantile(at_mean["session_min_width"], 0.025) > WIDTH
    assert np.quantile(at_mean["session_min_amplitude"], 0.975) < HEIGHT
