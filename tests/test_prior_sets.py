"""Sets of priors by role: every model has a role for every prior, and a set changes what it says and nothing else."""

import re

import numpy as np
import pandas as pd
import pytest

import stimdose as sd
from stimdose.roles import DOSE_ROLES, PARAMETER_ROLES, ROLES, roles
from stimdose.shapes import SHAPES

SETS = list(sd.prior_sets().index)
AGE = sd.Moderator(column="age", center=60, per=10, prior=sd.Prior("normal", mu=0, sigma=0.5))
SURFACE = {"column": "session_min", "shape": "gaussian-process"}


def of_shape(shape: str, **fields) -> sd.Model:
    dose = sd.Dose(column="sessions", shape=shape, by="phase")
    return sd.Model(**{"name": shape, "intercept": sd.Intercept(by="site"), "dose": [dose]} | fields)


MODELS = {name: sd.load_model(name) for name in sd.models().index} | {shape: of_shape(shape) for shape in SHAPES}
MODELS |= {
    "moderators": of_shape("emax", moderator=[AGE, sd.Moderator(column="modality")]),
    "a product": of_shape(
        "linear", dose=[{"column": "sessions", "shape": "linear", "times": SURFACE | {"shape": "bell", "by": "site"}}]
    ),
    "a surface": of_shape("linear", dose=[{"column": "sessions", "shape": "gaussian-process", "times": SURFACE}]),
    "another measure": of_shape("bell", outcome_sd=8.0),
    "robust": of_shape("linear", study_effects="student-t", between_study_by="phase", small_study="pet"),
    "selection": of_shape("linear", selection="step"),
    "anchored, two doses": of_shape(
        "linear", intercept=None, dose=[{"column": "sessions", "shape": "linear"}, SURFACE | {"shape": "emax"}]
    ),
}


@pytest.fixture(params=MODELS)
def model(request) -> sd.Model:
    return MODELS[request.param]


def own_priors(model: sd.Model) -> dict[str, sd.Prior]:
    """In units of `outcome_sd`, as sets state them."""
    return model.replace(outcome_sd=1.0).priors()


def test_every_prior_of_every_model_has_a_role_in_the_vocabulary(model):
    found = roles(model)
    assert list(found) == list(model.priors())
    assert {role for some in found.values() for role in some} <= set(ROLES)


def test_the_vocabulary_has_every_parameter_of_every_shape():
    names = {re.sub(r"_\d+$", "", name) for model in MODELS.values() for dose in model.doses for name in dose.nonlinear}
    assert names - {"amplitude"} == set(PARAMETER_ROLES)  # the amplitude of a process is an effect
    assert {"frequency_hz_peak", "sessions_ed50"} <= DOSE_ROLES


@pytest.mark.parametrize("name", SETS)
def test_a_shipped_set_serves_every_model(name, model):
    """It gives a valid model in which only what it names has changed."""
    chosen = sd.load_prior_set(name)
    found, before = chosen.for_model(model), own_priors(model)
    after = own_priors(model.with_priors(found))
    assert {key for key in before if after[key] != before[key]} <= set(found)
    assert {key: after[key] for key in found} == found
    applies = [key for key, some in roles(model).items() if set(some) & set(chosen.priors)]
    assert list(found) == applies
    assert all(len(prior.why) > 10 for prior in found.values())


def test_reference_is_the_model_itself(model):
    assert model.with_priors(sd.load_prior_set("reference").for_model(model)) == model


def test_every_prior_widened_by_one_is_the_model_itself(model):
    chosen = sd.PriorSet(name="same", priors={role: {"widen": 1.0} for role in ROLES})
    found = chosen.for_model(model)
    assert set(found) == set(model.priors())
    assert model.with_priors(found).priors() == model.priors()


@pytest.mark.parametrize("name", SETS)
def test_shipped_sets_are_described_named_as_their_files_and_survive_toml(name, tmp_path):
    found = sd.load_prior_set(name)
    assert found.name == name
    assert len(found.description) > 10
    assert all(len(entry.why) > 10 for entry in found.priors.values())
    found.save(tmp_path / "copy.toml")
    assert sd.load_prior_set(tmp_path / "copy.toml") == found
    assert set(found.priors) <= set(ROLES)  # no names that only some model has
    assert sd.prior_sets().loc[name, "description"] == found.description


def test_names_win_over_parameters_and_these_over_roles():
    priors = {
        "frequency_hz_peak": {"family": "lognormal", "mu": 1.0, "sigma": 0.1},
        "width": {"widen": 2.0},
        "nonlinear": {"widen": 3.0},
        "gain": {"widen": 0.5},
        "sessions_ed50": {"widen": 9.0},  # a dose that the model does not have
    }
    model = MODELS["frequency-bell"]
    found, own = sd.PriorSet(name="mine", priors=priors).for_model(model), own_priors(model)
    assert list(found) == ["frequency_hz_amplitude", "frequency_hz_peak", "frequency_hz_width"]
    assert found["frequency_hz_peak"].parameters == {"mu": 1.0, "sigma": 0.1}
    assert found["frequency_hz_width"].parameters["sigma"] == 2 * own["frequency_hz_width"].parameters["sigma"]
    assert found["frequency_hz_amplitude"].parameters["sigma"] == 0.375
    assert found["frequency_hz_amplitude"].why == own["frequency_hz_amplitude"].why


def test_half_a_standard_deviation_has_the_stated_probability():
    bell, line = MODELS["frequency-bell"], MODELS["sessions-by-phase"]
    of = lambda name, model, variable: sd.load_prior_set(name).for_model(model)[variable].distribution
    for model, variable in ((bell, "frequency_hz_amplitude"), (line, "sessions_slope")):
        assert of("sceptical", model, variable).sf(0.5) == pytest.approx(0.05)
        assert of("enthusiastic", model, variable).median() == pytest.approx(0.5)
        assert of("enthusiastic", model, variable).sf(1.0) == pytest.approx(0.05)
    assert of("sceptical", line, "sessions_slope").mean() == pytest.approx(0, abs=1e-12)
    assert of("enthusiastic", line, "sessions_slope").cdf(0.0) == pytest.approx(0.05)


def test_weak_has_twice_the_spread_of_effects():
    model = MODELS["frequency-bell"]
    found, own = sd.load_prior_set("weak").for_model(model), own_priors(model)
    for name in ("intercept", "frequency_hz_amplitude", "frequency_hz_amplitude_between_study", "within_study"):
        assert found[name].distribution.std() == pytest.approx(2 * own[name].distribution.std())


def test_the_mean_effect_is_the_intercept_without_a_dose_or_the_only_coefficient_of_an_anchored_one():
    of = {name: [key for key, some in roles(MODELS[name]).items() if "mean_effect" in some] for name in MODELS}
    assert of["pooled"] == ["intercept"]
    assert of["sessions-by-phase"] == ["sessions_slope"]
    assert of["frequency-bell"] == of["anchored, two doses"] == of["linear"] == []


def test_priors_in_units_of_the_effect_stay_in_them():
    """Log odds, whose standard deviation is 1.81: the prior of tau is that of the table whatever `outcome_sd` is."""
    turner = sd.load_prior_set("turner")
    for model in (MODELS["pooled"], MODELS["pooled"].replace(outcome_sd=1.81)):
        tau = model.with_priors(turner.for_model(model)).priors()["between_study"]
        assert tau.distribution.ppf([0.1, 0.9]) == pytest.approx(sd.heterogeneity_prior("logOR").distribution.ppf([0.1, 0.9]))
    peak = {"peak": sd.Prior("lognormal", mu=2, sigma=0.5, why="a dose has no such unit")}
    bell = MODELS["another measure"]
    assert sd.PriorSet(name="p", units="effect", priors=peak).for_model(bell)["sessions_peak"] == peak["peak"]


def test_numbers_that_are_not_printed_have_priors_by_name():
    prior = sd.Prior("correlation", mu=0.8, sigma=0.2)
    found = sd.PriorSet(name="r", priors={"pre_post_r": prior}).for_model(MODELS["pooled"])
    assert MODELS["pooled"].with_priors(found).pre_post_r == prior
    with pytest.raises(sd.ModelError, match="states no sd_spread"):
        sd.PriorSet(name="r", priors={"sd_spread": {"widen": 2}}).for_model(MODELS["pooled"])


@pytest.mark.parametrize(
    ("priors", "words"),
    [
        ({"betwen_study": {"widen": 2}}, "no role, and no prior of model 'pooled' .did you mean 'between_study'"),
        ({"frequency_hz_peek": {"widen": 2}}, "no role"),
        ({"between_study": {"family": "normal", "mu": 0, "sigma": 1}}, "'mine' does not suit(.|\n)*standard deviation"),
    ],
)
def test_what_a_model_cannot_take_is_refused(priors, words):
    with pytest.raises(sd.ModelError, match=words):
        sd.PriorSet(name="mine", priors=priors).for_model(MODELS["pooled"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[priors.gain]\nfamily = 'halfnormel'\nsigma = 1", "priors.gain.*did you mean 'halfnormal'"),
        ("[priors.gain]\nwiden = -1", "priors.gain.*greater than 0"),
        ("[priors.gain]\nwiden = 2\nsigma = 1", "priors.gain"),
        ("[priors]\ngain = 2", "an entry is a prior, or"),
        ("units = 'points'", "units.*outcome_sd"),
        ("prior = 3", "prior"),
        ("name =", "not valid TOML"),
    ],
)
def test_a_set_that_is_not_valid_is_refused(text, words, tmp_path):
    (tmp_path / "mine.toml").write_text(f"name = 'mine'\n{text}" if "name" not in text else text, encoding="utf-8")
    with pytest.raises(sd.ModelError, match=words):
        sd.load_prior_set(tmp_path / "mine.toml")


def test_an_unknown_set_is_refused_with_the_nearest_name(tmp_path):
    with pytest.raises(sd.ModelError, match=r"did you mean 'sceptical'.*there are enthusiastic"):
        sd.load_prior_set("skeptical")
    with pytest.raises(sd.ModelError, match="cannot read"):
        sd.load_prior_set(tmp_path / "nothing.toml")


# --- published pools -----------------------------------------------------------------------------------------------------------------


def test_a_pool_is_discounted_to_a_quarter_of_its_weight():
    """An estimate of 0.4 with standard error 0.1 counts as one of 0.2: four times the variance."""
    prior = sd.historical_prior(0.4, 0.4 - 1.959964 * 0.1, 0.4 + 1.959964 * 0.1)
    assert prior.parameters == pytest.approx({"mu": 0.4, "sigma": 0.2}, rel=1e-6)
    assert "25%" in prior.why
    assert "count twice" in prior.why
    whole = sd.historical_prior(0.4, 0.4 - 1.644854 * 0.1, 0.4 + 1.644854 * 0.1, level=0.9, weight=1.0)
    assert whole.parameters == pytest.approx({"mu": 0.4, "sigma": 0.1}, rel=1e-6)


def test_a_power_prior_is_the_likelihood_to_that_power():
    """The normal likelihood of the pool to the power 0.3, normalised on a grid: its mean and standard deviation."""
    se, grid = 0.15, np.linspace(-4, 4, 80_001)
    weight = np.exp(-0.5 * ((0.7 - grid) / se) ** 2) ** 0.3
    weight /= weight.sum()
    mean = weight @ grid
    prior = sd.historical_prior(0.7, 0.7 - 1.959964 * se, 0.7 + 1.959964 * se, weight=0.3)
    assert prior.parameters == pytest.approx({"mu": mean, "sigma": np.sqrt(weight @ (grid - mean) ** 2)}, rel=1e-5)


def test_heterogeneity_of_the_pool_is_added():
    pool = (0.4, 0.2, 0.6)
    se2 = (0.2 / 1.959964) ** 2
    assert sd.historical_prior(*pool, tau=0.3).parameters["sigma"] ** 2 == pytest.approx(4 * se2 + 0.09)
    # ten studies of sampling variance 0.05 and tau^2 0.05: se^2 is (0.05 + 0.05) / 10, and I^2 one half
    wide = 1.959964 * 0.1
    found = sd.historical_prior(0.4, 0.4 - wide, 0.4 + wide, i2=0.5, studies=10)
    assert found.parameters["sigma"] ** 2 == pytest.approx(4 * 0.01 + 0.05, rel=1e-6)


def test_a_lower_score_as_benefit_turns_the_sign():
    up, down = sd.historical_prior(0.4, 0.2, 0.6), sd.historical_prior(-0.4, -0.6, -0.2, direction="lower")
    assert up.parameters == pytest.approx(down.parameters)


def test_the_shipped_set_is_made_of_the_rows_it_names():
    lines = [2, 34, 66, 77]
    pools = pd.read_csv(sd.dataset_path("published_pools")).iloc[[line - 2 for line in lines]]
    assert list(pools["measure"]) == ["SMD"] * 4
    assert set(pools["outcome"]) == {"FMA-UE", "hand function"}
    estimates = pools[["estimate", "ci_low", "ci_high"]].to_numpy(float)
    shipped = sd.load_prior_set("historical").priors["mean_effect"]
    assert sd.historical_prior(*estimates.T).parameters == pytest.approx(shipped.parameters, abs=5e-5)
    assert shipped.parameters["sigma"] ** 2 > estimates[:, 0].var(ddof=1)
    for line, review in zip(lines, ("Liu", "Chen", "Lu", "09226028251394303"), strict=True):
        assert str(line) in shipped.why
        assert review in shipped.why


@pytest.mark.parametrize(
    ("arguments", "fields", "words"),
    [
        ((0.4, 0.5, 0.6), {}, "does not hold the estimate"),
        ((1.94, 0.61, 4.8), {}, "take logarithms of a ratio"),
        (([0.4, 0.5], [0.2], [0.6]), {}, "its own interval"),
        ((0.4, 0.2, 0.6), {"weight": 0}, "weight is above 0"),
        ((0.4, 0.2, 0.6), {"i2": 0.5}, "together with the number of studies"),
        ((0.4, 0.2, 0.6), {"i2": 50, "studies": 4}, "not in percent"),
        ((0.4, 0.2, 0.6), {"tau": 0.1, "i2": 0.5, "studies": 4}, "or neither"),
        ((0.4, 0.2, 0.6), {"direction": "down"}, "'higher' or 'lower'"),
    ],
)
def test_a_pool_that_makes_no_sense_is_refused(arguments, fields, words):
    with pytest.raises(sd.StimdoseError, match=words):
        sd.historical_prior(*arguments, **fields)
