"""Student-t study effects, heterogeneity by group, small-study effects: quadrature, known truths, and what does not fit."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad
from scipy.special import roots_genlaguerre
from scipy.stats import chi2, gamma, kstest, multivariate_normal, norm
from scipy.stats import t as student_t

import stimdose as sd
from stimdose.curves import held_in_words
from stimdose.grid import NewStudy, curve_draws, held_values
from stimdose.heterogeneity import study_spread
from stimdose.posterior import draw_coefficients, draw_prior
from stimdose.predictive import _pooled
from stimdose.rows import prepare, rows_of
from stimdose.small_studies import smallness
from stimdose.without_study import posteriors_without

PLAIN = sd.Model(name="m", intercept=sd.Intercept())
HALF = sd.Prior("halfnormal", sigma=0.2)


def table_of(effect, se=0.2, **columns) -> pd.DataFrame:
    constants = {"measure": "SMD", "direction": "higher", "comparator": "sham", "design": "parallel"}
    study = [f"Trial {k:02d}" for k in range(len(effect))]
    return pd.DataFrame({"study": study, "effect": effect, "se": se} | constants | columns)


def trials_of(effect, se=0.2, **columns) -> sd.Trials:
    return sd.read_trials(table_of(effect, se, **columns))


def rows_for(model: sd.Model, trials: sd.Trials):
    return rows_of(*prepare(model, trials))


def draws_of(fit: sd.Fit, name: str) -> np.ndarray:
    return fit.values()[name]


# --- the spec ------------------------------------------------------------------------------------------------------------------------


FIELDS = [
    {"study_effects": "student-t", "student_t_df": 6.0},
    {"between_study_by": "phase", "between_study_spread": HALF},
    {"small_study": "pet", "small_study_effect": sd.Prior("normal", mu=0.0, sigma=0.3)},
    {"small_study": "peese"},
    {"selection": "step", "publication_probability": sd.Prior("beta", alpha=2.0, beta=3.0, why="half of them")},
]


@pytest.mark.parametrize("fields", FIELDS)
def test_each_round_trips_and_gives_every_prior_a_reason(fields, tmp_path):
    model = PLAIN.replace(**fields)
    model.save(tmp_path / "m.toml")
    assert sd.load_model(tmp_path / "m.toml") == model
    defaults = PLAIN.replace(**{name: value for name, value in fields.items() if isinstance(value, str)})
    assert sd.prior_table(defaults)["why"].str.len().min() > 10


def test_priors_by_name_are_those_of_the_spec():
    model = PLAIN.replace(between_study_by="phase", small_study="pet", selection="step", outcome_sd=10.0)
    other = {
        "between_study_between_phase": HALF,
        "small_study_effect": sd.Prior("normal", mu=0.0, sigma=0.1),
        "publication_probability": sd.Prior("beta", alpha=2.0, beta=2.0),
    }
    found = model.with_priors(other).priors()
    assert found["between_study_between_phase"] == HALF  # of logarithms: no unit
    assert found["small_study_effect"].parameters["sigma"] == pytest.approx(1.0)
    assert found["publication_probability"].distribution.mean() == pytest.approx(0.5)
    assert model.with_priors(other).with_priors({}) == model.with_priors(other)
    with pytest.raises(sd.ModelError, match="did you mean 'small_study_effect'"):
        model.with_priors({"small_study_efect": HALF})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"study_effects": "students"}, "study_effects: Input should be 'normal' or 'student-t'"),
        ({"student_t_df": 0.5}, "student_t_df"),
        ({"small_study": "egger"}, "small_study: Input should be 'pet' or 'peese'"),
        ({"selection": True}, "selection"),
        ({"small_studies": "pet"}, r"unknown entry \(did you mean 'small_study'\?\)"),
        ({"between_study_spread": HALF}, "state between_study_by, or leave the prior out"),
        ({"small_study_effect": HALF}, "state small_study, or"),
        ({"publication_probability": sd.Prior("beta", alpha=1.0, beta=1.0)}, "state selection, or"),
        ({"between_study_by": "phase:site"}, "cannot be the name of a group"),
        ({"between_study_by": "study"}, "cannot be the name of a group"),
        ({"between_study_by": "phase", "between_study_spread": sd.Prior("normal", mu=0.0, sigma=1.0)}, "standard deviation"),
        ({"selection": "step", "publication_probability": HALF}, "its prior is beta"),
        ({"selection": "step", "study_effects": "student-t"}, "normal study effects"),
        ({"intercept": {"prior": sd.Prior("beta", alpha=1.0, beta=1.0)}}, "intercept is no probability"),
    ],
)
def test_a_bad_spec_is_refused_with_what_and_where(fields, words):
    with pytest.raises(sd.ModelError, match=words):
        PLAIN.replace(**fields) if "small_studies" not in fields else sd.Model(name="m", intercept=sd.Intercept(), **fields)


def test_a_beta_prior_takes_its_parameters():
    with pytest.raises(sd.ModelError, match="alpha and beta, not an interval"):
        sd.Prior("beta", interval=(0.1, 0.9))
    assert str(sd.Prior("beta", alpha=1.0, beta=2.0)) == "beta(alpha=1, beta=2)"


def test_groups_that_differ_within_student_t_studies_are_refused_by_name():
    tables = [table_of(np.zeros(4), phase="acute", arm="A"), table_of(np.zeros(2), phase=["acute", "chronic"], arm="B")]
    table = pd.concat(tables, ignore_index=True)
    with pytest.raises(sd.ModelError, match=r"one phase each; rows differ in it in Trial 01$"):
        prepare(PLAIN.replace(between_study_by="phase", study_effects="student-t"), sd.read_trials(table))
    table.iloc[0, table.columns.get_loc("phase")] = None
    with pytest.raises(sd.TrialsError, match="phase"):
        prepare(PLAIN.replace(between_study_by="phase"), sd.read_trials(table))


# --- Student-t study effects ---------------------------------------------------------------------------------------------------------


OUTLIER = 5
WITH_OUTLIER = np.array([0.31, 0.52, 0.18, 0.44, 0.36, 2.1, 0.27, 0.61, 0.4, 0.33, 0.49, 0.22])


@pytest.fixture(scope="module")
def student_fit() -> sd.Fit:
    return sd.fit(PLAIN.replace(study_effects="student-t"), trials_of(WITH_OUTLIER), seed=1, progress=False)


def test_an_outlier_moves_the_mean_less_and_has_the_lowest_weight(student_fit):
    without = np.delete(WITH_OUTLIER, OUTLIER).mean()
    normal = sd.fit(PLAIN, trials_of(WITH_OUTLIER), seed=1, progress=False)
    moved = [abs(draws_of(fit, "intercept").mean() - without) for fit in (student_fit, normal)]
    assert moved[0] < 0.5 * moved[1]
    weights = student_fit.tree["posterior"]["study_weight"].mean(("chain", "draw"))
    assert weights.idxmin("study") == f"Trial {OUTLIER:02d}"
    assert weights.min() < 0.3 * np.sort(weights.values)[1]
    assert "study_weight" not in student_fit.summary().index  # of single studies


def quadrature_moments(y, se, df, size=400):
    """E and E of squares of mean and between_study, and E of the first weight, by quadrature over both and over each weight."""
    mu, tau = np.linspace(-1.5, 2.5, size), (np.arange(size) + 0.5) / size * 2.5
    node, share = roots_genlaguerre(120, df / 2 - 1)
    weight, share = node / (df / 2), share / share.sum()
    log_p = norm(0, 1).logpdf(mu)[:, None] + norm(0, 0.5).logpdf(tau)
    first = None
    for value, error in zip(y, se, strict=True):
        sd_ = np.sqrt(error**2 + tau[:, None] ** 2 / weight)
        at = norm.pdf(value, mu[:, None, None], sd_[None]) * share
        log_p = log_p + np.log(at.sum(-1))
        if first is None:
            first = (at * weight).sum(-1) / at.sum(-1)
    p = np.exp(log_p - log_p.max())
    p /= p.sum()
    by_mu, by_tau = p.sum(1), p.sum(0)
    return np.array([by_mu @ mu, by_tau @ tau, by_mu @ mu**2, by_tau @ tau**2, (p * first).sum()])


def assert_joint(draws: np.ndarray, expected: np.ndarray, chains: int = 4):
    """Means of draws (draws, k) equal the expected ones jointly, within what 4 standard errors of one would be; the Monte Carlo
    covariance from batches of draws."""
    batches = draws.reshape(chains * 20, -1, draws.shape[1]).mean(axis=1)
    away = batches.mean(axis=0) - expected
    distance = away @ np.linalg.solve(np.cov(batches.T) / len(batches), away)
    assert distance < chi2(len(expected)).isf(2 * norm.sf(4)), (batches.mean(axis=0), expected)


def test_student_t_agrees_with_quadrature():
    y, se = np.array([1.4, 0.1, 0.3, -0.1, 0.25]), np.array([0.15, 0.2, 0.1, 0.25, 0.15])
    model = PLAIN.replace(study_effects="student-t", student_t_df=3.0)
    trials = trials_of(y, se)
    np.testing.assert_allclose(trials.table["variance"], se**2)
    fit = sd.fit(model, trials, seed=2, draws=3000, target_accept=0.95, progress=False)
    mean, between = draws_of(fit, "intercept"), draws_of(fit, "between_study")
    draws = np.column_stack([mean, between, mean**2, between**2, draws_of(fit, "study_weight")[:, 0]])
    assert_joint(draws, quadrature_moments(y, se, 3.0))


def test_the_log_likelihood_of_a_study_is_over_its_weight():
    """So that a study that is left out is not judged with the weight that it gave itself. Two rows of one study, then one row."""
    exact = sd.Prior("normal", mu=0.2, sigma=1e-9)
    table = table_of([0.9, 1.3, -0.2], [0.2, 0.3, 0.25], arm=["A", "B", "A"]).assign(study=["X", "X", "Y"])
    model = PLAIN.replace(study_effects="student-t", student_t_df=3.0, intercept=sd.Intercept(prior=exact), within_study=False)
    rows = rows_for(model, sd.read_trials(table))
    values = {"between_study": np.full(2, 0.3), "study_weight": np.tile([0.1, 7.0], (2, 1))}
    _, found = draw_coefficients(model, rows, values, np.random.default_rng(1))

    def at(weight, own) -> float:
        covariance = np.diag(rows.variance[own]) + 0.3**2 / weight
        return multivariate_normal(np.full(len(own), 0.2), covariance).pdf(rows.effect[own]) * gamma(1.5, scale=1 / 1.5).pdf(
            weight
        )

    expected = [np.log(quad(at, 0, np.inf, args=(own,), epsabs=1e-12)[0]) for own in ([0, 1], [2])]
    np.testing.assert_allclose(found, np.tile(expected, (2, 1)), atol=1e-5)


def test_it_is_saved_and_refitted(student_fit, tmp_path):
    loaded = sd.load_fit(student_fit.save(tmp_path / "fit.nc"))
    assert loaded.model == student_fit.model
    np.testing.assert_array_equal(draws_of(loaded, "study_weight"), draws_of(student_fit, "study_weight"))
    narrow = sd.Prior("halfnormal", sigma=0.01)
    requests = [
        loaded.request(priors={"between_study": narrow}, seed=3),
        loaded.request(effects=np.zeros(len(WITH_OUTLIER)), seed=3),
    ]
    tight, moved = sd.batch(requests, progress=False)
    assert draws_of(tight, "between_study").mean() < 0.05
    assert abs(draws_of(moved, "intercept").mean()) < 0.1


# --- heterogeneity by group ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def grouped_fit() -> sd.Fit:
    rng, phase = np.random.default_rng(5), np.repeat(["acute", "chronic"], 40)
    effect = 0.4 + rng.normal(0, np.hypot(0.15, np.where(phase == "acute", 0.08, 0.6)))
    model = PLAIN.replace(between_study_by="phase", between_study_spread=sd.Prior("halfnormal", sigma=1.0))
    return sd.fit(model, trials_of(effect, 0.15, phase=phase), seed=1, draws=3000, progress=False)


@pytest.mark.slow
def test_two_groups_have_the_spreads_of_two_fits(grouped_fit):
    found = draws_of(grouped_fit, "between_study_by_phase")
    assert (found[:, 1] > 2 * found[:, 0]).mean() > 0.99
    for k, phase in enumerate(["acute", "chronic"]):
        alone = sd.fit(PLAIN, grouped_fit.trials.subset(phase=phase), seed=1, progress=False)
        own = draws_of(alone, "between_study")
        assert found[:, k].mean() == pytest.approx(own.mean(), abs=0.5 * own.std())
    assert {"between_study", "between_study_between_phase", "between_study_by_phase[acute]"} <= set(grouped_fit.summary().index)


def test_a_narrow_spread_gives_the_groups_one_heterogeneity(grouped_fit):
    narrow = grouped_fit.refit(priors={"between_study_between_phase": sd.Prior("halfnormal", sigma=1e-3)}, seed=2)
    found, common = draws_of(narrow, "between_study_by_phase"), draws_of(narrow, "between_study")
    np.testing.assert_allclose(found, np.broadcast_to(common[:, None], found.shape), rtol=0.01)
    plain = sd.fit(PLAIN, grouped_fit.trials, seed=2, progress=False)
    assert common.mean() == pytest.approx(draws_of(plain, "between_study").mean(), abs=0.01)


# --- new studies, with draws made by hand ------------------------------------------------------------------------------------------


DRAWS = 20_000
DOSE = sd.Dose(column="sessions", shape="linear", by_study=False)


def by_hand(**fields):
    """A model, its rows (a quarter of them acute), and draws of a posterior without uncertainty."""
    model = PLAIN.replace(dose=(DOSE,), **fields)
    phase = np.repeat(["acute", "chronic"], [3, 9])
    rows = rows_for(model, trials_of(np.zeros(12), sessions=np.arange(12) + 5.0, phase=phase, n_active=20, n_control=20))
    constant = {"intercept": 0.5, "sessions_slope": 0.0, "between_study": 0.3, "small_study_effect": 9.0, "study_effect": 0.0}
    values = {name: np.full(DRAWS, value) for name, value in constant.items()}
    values["between_study_by_phase"] = np.tile([0.1, 0.5], (DRAWS, 1))
    values["study_effect"] = np.zeros((DRAWS, 12))
    return model, rows, values


def new_study(model, rows, values, by=None, at=None, seed=1):
    held = held_values(model, rows, "sessions", by, at or {})
    return curve_draws(
        model, rows, values, "sessions", np.array([5.0, 20.0]), by, held, NewStudy.drawn(model, rows, DRAWS, [seed])
    )


def test_a_new_study_is_student_t():
    model, rows, values = by_hand(study_effects="student-t", student_t_df=3.0)
    found = new_study(model, rows, values)[:, :, 0]
    np.testing.assert_allclose(found[:, 0], found[:, 1])  # one study at all doses
    assert kstest((found[:, 0] - 0.5) / 0.3, student_t(3).cdf).pvalue > 1e-3
    _, pooled = _pooled(SimpleNamespace(model=model, rows=rows, values=lambda: values), slice(None), np.random.default_rng(2))
    assert kstest((pooled - 0.5) / 0.3, student_t(3).cdf).pvalue > 1e-3


def test_a_new_study_has_the_spread_of_its_group():
    model, rows, values = by_hand(between_study_by="phase")
    by_phase = new_study(model, rows, values, by="phase")[:, 0].std(axis=0)
    np.testing.assert_allclose(by_phase, [0.1, 0.5], rtol=0.03)
    assert new_study(model, rows, values, at={"phase": "acute"})[:, 0].std() == pytest.approx(0.1, rel=0.03)
    weighted = 0.25 * 0.1 + 0.75 * 0.5  # as the rows have the groups
    assert new_study(model, rows, values)[:, 0].std() == pytest.approx(weighted, rel=0.03)
    _, pooled = _pooled(SimpleNamespace(model=model, rows=rows, values=lambda: values), slice(None), np.random.default_rng(2))
    assert pooled.std() == pytest.approx(weighted, rel=0.03)


def test_a_new_student_t_study_has_one_weight_in_all_groups():
    model, rows, values = by_hand(study_effects="student-t", between_study_by="phase")
    found = new_study(model, rows, values, by="phase")[:, 0] - 0.5
    np.testing.assert_allclose(found[:, 1], 5 * found[:, 0])


def test_the_spread_of_a_seen_study_is_that_of_its_group_over_the_root_of_its_weight():
    model, rows, values = by_hand(study_effects="student-t", between_study_by="phase")
    values["study_weight"] = np.full((DRAWS, 12), 4.0)
    np.testing.assert_allclose(study_spread(model, rows, values)[0], np.repeat([0.05, 0.25], [3, 9]))
    np.testing.assert_allclose(study_spread(PLAIN, rows, values), np.full((DRAWS, 12), 0.3))


def test_the_prior_has_all_of_it():
    model, rows, _ = by_hand(study_effects="student-t", between_study_by="phase", small_study="pet")
    prior = draw_prior(model, rows, 4000, np.random.default_rng(1))
    assert prior["study_weight"].mean() == pytest.approx(1.0, rel=0.03)
    ratio = np.log(prior["between_study_by_phase"] / prior["between_study"][:, None])
    assert ratio.std() == pytest.approx(0.5, rel=0.1)
    assert prior["small_study_effect"].std() == pytest.approx(0.5, rel=0.05)


# --- small-study effects -------------------------------------------------------------------------------------------------------------


def small(model: sd.Model, **columns) -> np.ndarray:
    trials = trials_of(np.zeros(len(next(iter(columns.values())))), **columns)
    rows = rows_for(model, trials)
    return smallness(model, rows.table, rows.variance)


def test_smallness_is_that_of_a_trial_with_20_people_in_each_arm():
    pet, peese = (PLAIN.replace(small_study=name) for name in ("pet", "peese"))
    n = {"n_active": [20, 10, 40, 10**8], "n_control": [20, 10, 40, 10**8]}
    np.testing.assert_allclose(small(pet, **n), [1, np.sqrt(2), np.sqrt(0.5), 0], atol=1e-3)
    np.testing.assert_allclose(small(peese, **n), [1, 2, 0.5, 0], atol=1e-3)
    clusters = {"n_active": [20, 20], "n_control": [20, 20], "cluster_size": [np.nan, 11], "icc": [np.nan, 0.1]}
    np.testing.assert_allclose(small(peese, **clusters), [1, 2])
    twice = {"n_active": [20, 20], "n_control": [np.nan, 20], "design": ["crossover", "parallel"]}
    table = sd.read_trials(table_of(np.zeros(2), **twice))
    rows = rows_of(*prepare(peese, table, allow_mixed=("design",)))
    np.testing.assert_allclose(rows.points.small_study, [0.5, 1])
    units = PLAIN.replace(small_study="pet", outcome_sd=8.0)
    np.testing.assert_allclose(small(units, measure=["MD"] * 2, se=8 * np.sqrt([0.1, 0.4])), [1, 2])


def test_sizes_that_lack_are_listed():
    trials = trials_of(np.zeros(4), n_active=[20, np.nan, 20, np.nan], n_control=[20, 20, np.nan, np.nan])
    with pytest.raises(sd.TrialsError) as caught:
        prepare(PLAIN.replace(small_study="pet"), trials)
    lacks = [(1, "n_active"), (2, "n_control"), (3, "n_active"), (3, "n_control")]
    assert [(problem.row, problem.column) for problem in caught.value.problems] == lacks


def test_the_term_is_a_moderator_that_is_zero_in_curves():
    rng = np.random.default_rng(3)
    n = rng.integers(6, 60, 30).astype(float)
    x, sessions = np.sqrt(2 / n * 10), rng.uniform(5, 30, 30)
    se = np.sqrt(2 / n)
    effect = 0.2 + 0.4 * x + rng.normal(0, se)
    trials = trials_of(effect, se, n_active=n, n_control=n, sessions=sessions, smallness=x)
    prior = sd.Prior("normal", mu=0.0, sigma=0.5)
    pet = PLAIN.replace(dose=(DOSE,), small_study="pet")
    moderated = PLAIN.replace(dose=(DOSE,), moderator=(sd.Moderator(column="smallness", prior=prior, center=0.0, per=1.0),))
    fits = [sd.fit(model, trials, seed=1, progress=False) for model in (pet, moderated)]
    # the same density, summed in another order: chains may part by a rounding error, and are then other draws of the same posterior
    terms = [draws_of(fits[0], "small_study_effect"), draws_of(fits[1], "smallness_effect")]
    assert terms[0].mean() == pytest.approx(terms[1].mean(), abs=0.1 * terms[1].std())
    curves = [sd.curve(fits[0], "sessions"), sd.curve(fits[1], "sessions", at={"smallness": 0.0})]
    means, spread = [curve.mean(("chain", "draw")) for curve in curves], curves[0].std(("chain", "draw"))
    assert (abs(means[0] - means[1]) < 0.1 * spread).all()
    assert "study infinitely large" in curves[0].attrs["held"]
    low, high = np.quantile(draws_of(fits[0], "small_study_effect"), [0.025, 0.975])
    assert low < 0.4 < high
    large = sd.study_effects(fits[0]).attrs["pooled"]["mean"]
    assert sd.study_effects(fits[0]).attrs["pooled"]["label"] == "Mean over the rows, large study"
    assert large == pytest.approx(
        (draws_of(fits[0], "intercept") + draws_of(fits[0], "sessions_slope") * sessions.mean() / 10).mean()
    )
    assert "study" not in held_in_words(held_values(moderated, fits[1].rows, "sessions", None, {}), {})


def unbiased_table(rng, studies: int = 60) -> pd.DataFrame:
    """Trials of an effect of 0.8, give or take 0.3, with the summaries of two arms; nothing depends on their size."""
    records = []
    for study in range(studies):
        n = int(np.exp(rng.uniform(np.log(8), np.log(30))))
        active, control = rng.normal(0.8 + rng.normal(0, 0.3), 1, n), rng.normal(0, 1, n)
        summary = {"n_active": n, "n_control": n, "mean_active": active.mean(), "mean_control": control.mean()}
        summary |= {"sd_active": active.std(ddof=1), "sd_control": control.std(ddof=1)}
        records.append({"study": f"Trial {study:02d}"} | summary)
    constants = {"measure": "SMD", "direction": "higher", "comparator": "sham", "design": "parallel"}
    return pd.DataFrame(records).assign(**constants)


@pytest.mark.slow
def test_pet_by_sizes_finds_nothing_where_there_is_nothing():
    """The printed standard error, as a moderator, cries wolf in the same tables."""
    rng = np.random.default_rng(8)
    tables = [unbiased_table(rng) for _ in range(60)]
    wide = sd.Prior("normal", mu=0.0, sigma=5.0)
    pet = PLAIN.replace(small_study="pet", small_study_effect=wide)
    first = sd.fit(pet, sd.read_trials(tables[0]), seed=1, progress=False)
    requests = [first.request(trials=sd.read_trials(table), seed=k) for k, table in enumerate(tables)]

    def false_positives(fits, name) -> float:
        ends = [np.quantile(draws_of(fit, name), [0.025, 0.975]) for fit in fits]
        return float(np.mean([low > 0 or high < 0 for low, high in ends]))

    printed = [sd.read_trials(table, smd_variance="printed") for table in tables]
    for trials in printed:
        trials.table["printed_se"] = np.sqrt(trials.table["variance_reported"])
    by_se = PLAIN.replace(moderator=(sd.Moderator(column="printed_se", prior=wide, center=0.0, per=0.316),))
    second = sd.fit(by_se, printed[0], seed=1, progress=False)
    others = [second.request(trials=trials, seed=k) for k, trials in enumerate(printed)]
    by_sizes = false_positives(sd.batch(requests, progress=False), "small_study_effect")
    by_errors = false_positives(sd.batch(others, progress=False), "printed_se_effect")
    print(by_sizes, by_errors)
    assert by_sizes <= 0.15  # 5 % +- 2.8 %, three and a half standard errors
    assert by_errors >= 0.2


def test_without_a_study_its_weight_is_that_of_any_study():
    effect = np.r_[np.random.default_rng(1).normal(0.3, 0.2, 15), 2.5]
    fit = sd.fit(PLAIN.replace(study_effects="student-t"), trials_of(effect), seed=1)
    left_out = sd.leave_one_study_out(fit, exact=False)
    number, _, values = list(posteriors_without(fit, left_out))[-1]
    df = fit.model.student_t_df
    assert fit.values()["study_weight"][:, number].mean() < 0.5
    assert kstest(values["study_weight"][:, number], gamma(df / 2, scale=2 / df).cdf).pvalue > 1e-3
