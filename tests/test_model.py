"""Model: the TOML form, the closed vocabulary, and what does not fit a table."""

import numpy as np
import pytest
from conftest import make_table

import stimdose as sd
from stimdose.rows import prepare

BELL = {"column": "frequency_hz", "shape": "bell"}
SESSIONS = {"column": "sessions", "shape": "linear"}


def bell(**fields) -> sd.Model:
    return sd.Model(**{"name": "m", "intercept": sd.Intercept(), "dose": [BELL]} | fields)


@pytest.mark.parametrize("name", sd.models().index)
def test_shipped_models_round_trip_and_give_every_prior_a_reason(name, tmp_path):
    model = sd.load_model(name)
    assert model.name == name
    assert model.description
    assert sd.prior_table(model)["why"].str.len().min() > 10
    model.save(tmp_path / "copy.toml")
    assert sd.load_model(tmp_path / "copy.toml") == model


def test_python_and_toml_are_the_same_object(tmp_path):
    text = """
    name = "frequency-bell-by-phase"
    [intercept]
    by = "phase"
    [[dose]]
    column = "frequency_hz"
    shape = "bell"
    by = "phase"
    [dose.priors]
    peak = { family = "lognormal", interval = [2.5, 40], prob = 0.95, why = "the protocols in use" }
    """
    (tmp_path / "m.toml").write_text(text)
    peak = sd.Prior("lognormal", interval=(2.5, 40), prob=0.95, why="the protocols in use")
    written = sd.Model(
        name="frequency-bell-by-phase",
        intercept=sd.Intercept(by="phase"),
        dose=[sd.Dose(column="frequency_hz", shape="bell", by="phase", priors={"peak": peak})],
    )
    assert sd.load_model(tmp_path / "m.toml") == written


def test_products_groups_and_options_round_trip(tmp_path):
    model = bell(
        dose=[
            BELL | {"by": "phase*site", "fixed": {"width": 0.5}, "times": SESSIONS | {"shape": "emax", "by": ["phase", "site"]}}
        ],
        intercept={"by": ("phase", "phase:site")},
    )
    priors = model.priors()
    assert "frequency_hz_width" not in priors
    assert "sessions_maximum" not in priors
    assert {"sessions_ed50_between_site", "frequency_hz_peak_between_phase:site", "intercept_between_phase:site"} <= set(priors)
    spline = bell(dose=[{"column": "sessions", "shape": "restricted-cubic-spline", "knots": [5, 10, 20]}])
    surface = bell(dose=[{"column": "sessions", "shape": "gaussian-process", "times": BELL | {"shape": "gaussian-process"}}])
    for spec in (model, spline, surface):
        spec.save(tmp_path / "m.toml")
        assert sd.load_model(tmp_path / "m.toml") == spec
    assert surface.dose[0].times.fixed == {"amplitude": 1.0}
    assert len(surface.dose[0].coefficients) == 36
    other = sd.Prior("lognormal", mu=2.0, sigma=0.5)
    assert model.with_priors({"sessions_ed50": other}).priors()["sessions_ed50"] == other


def test_what_a_table_tells_is_in_the_model_of_the_fit():
    """Knots by their number are placed, and stay where they are when the rows change."""
    model = bell(dose=[{"column": "sessions", "shape": "restricted-cubic-spline", "knots": 3}])
    trials = sd.read_trials(make_table(30).assign(sessions=np.resize([5.0, 8, 10, 12, 15, 20, 30], 45)))
    placed, _ = prepare(model, trials)
    assert placed.dose[0].knots == tuple(np.sort(placed.dose[0].knots))
    assert len(placed.dose[0].knots) == 3
    assert prepare(placed, trials.without_study("Trial 01"))[0] == placed
    with pytest.raises(sd.TrialsError, match="the gaussian-process shape has values between"):
        prepare(bell(dose=[{"column": "sessions", "shape": "gaussian-process", "between": [8, 20]}]), trials)


def test_the_level_within_studies_can_be_left_out_and_stays_out(tmp_path):
    model = bell(within_study=False)
    model.save(tmp_path / "m.toml")
    assert "within_study = false" in (tmp_path / "m.toml").read_text()
    assert sd.load_model(tmp_path / "m.toml") == model == model.replace()
    assert model.within_study is False
    assert "within_study" not in sd.prior_table(model).index
    assert "within_study" in sd.prior_table(bell()).index
    assert bell() != model


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"dose": [BELL | {"shape": "bel"}]}, r"unknown shape 'bel' \(did you mean 'bell'\?\)"),
        ({"dose": [BELL | {"priors": {"peek": {"family": "lognormal", "mu": 0, "sigma": 1}}}]}, r"'peek'.*did you mean 'peak'"),
        ({"dose": [BELL | {"priors": {"peak": {"family": "normal", "mu": 0, "sigma": 1}}}]}, "positive"),
        ({"dose": [BELL | {"priors": {"peak": {"family": "halfnormal", "sigma": 1}}}]}, "lognormal"),
        ({"dose": [BELL | {"colour": 1}]}, "unknown entry"),
        ({"dosse": []}, r"dosse.*unknown entry \(did you mean 'dose'\?\)"),
        ({"dose": [{"column": "coil_size", "shape": "linear"}]}, "reference"),
        ({"dose": [{"column": "phase", "shape": "linear"}]}, "not a dose"),
        ({"dose": [BELL, BELL]}, "more than once"),
        ({"intercept": None}, "no zero dose to anchor at"),
        (
            {"intercept": None, "dose": [{"column": "sessions", "shape": "linear"}], "moderator": [{"column": "site"}]},
            "anchored model is zero",
        ),
        ({"intercept": None, "dose": []}, "an intercept or a dose"),
        ({"between_study": {"family": "normal", "mu": 0, "sigma": 1}}, "its prior is halfnormal, halfcauchy, lognormal or logt"),
        ({"within_study": {"family": "normal", "mu": 0, "sigma": 1}}, "its prior is halfnormal, halfcauchy, lognormal or logt"),
        ({"within_study": {"family": "halfnormal"}}, "within_study: a halfnormal prior takes sigma"),
        ({"within_study": True}, "within_study: it is a prior, or false"),
        ({"within_study": None}, "within_study: it is a prior, or false"),
        ({"between_study": False}, "between_study"),
        ({"intercept": {"by": "within_study"}, "within_study": False}, "'within_study' cannot be the name"),
        ({"moderator": [{"column": "clinic"}]}, "state `prior` if it is numeric"),
        (
            {
                "moderator": [
                    {
                        "column": "site",
                        "prior": {"family": "normal", "mu": 0, "sigma": 1},
                        "spread": {"family": "halfnormal", "sigma": 1},
                    }
                ]
            },
            "spread",
        ),
        ({"dose": [BELL | {"by": "phase*phase"}]}, "names no groups"),
        ({"dose": [BELL | {"by": "phase:"}]}, "names no groups"),
        ({"dose": [BELL | {"by": "a:b:c"}]}, "two columns at most"),
        ({"dose": [BELL | {"by": ["phase", "study:site"]}]}, "'study' cannot be the name"),
        ({"dose": [BELL | {"knots": 3}]}, "knots: not of the shape bell"),
        ({"dose": [BELL | {"fixed": {"hill": 1.0}}]}, "'hill' is no non-linear parameter of bell; it has peak, width"),
        ({"dose": [BELL | {"fixed": {"peak": -1.0}}]}, "'peak' is positive"),
        (
            {"dose": [BELL | {"fixed": {"peak": 9.0}, "priors": {"peak": {"family": "lognormal", "mu": 0, "sigma": 1}}}]},
            "'peak' is fixed, and so has no prior",
        ),
        ({"dose": [BELL | {"times": BELL}]}, "frequency_hz cannot multiply itself"),
        ({"dose": [BELL | {"times": SESSIONS | {"shape": "quadratic"}}]}, "several coefficients, and cannot multiply"),
        ({"dose": [BELL | {"times": SESSIONS | {"times": {"column": "session_min", "shape": "linear"}}}]}, "a product is of two"),
        (
            {"dose": [BELL | {"times": SESSIONS | {"priors": {"slope": {"family": "normal", "mu": 0, "sigma": 1}}}}]},
            "a product has the coefficients of frequency_hz",
        ),
        ({"dose": [BELL | {"times": SESSIONS}, SESSIONS]}, "used more than once: sessions"),
        (
            {
                "dose": [
                    BELL
                    | {"shape": "gaussian-process", "times": SESSIONS | {"shape": "gaussian-process", "fixed": {"amplitude": 2}}}
                ]
            },
            "a surface has one amplitude",
        ),
        ({"dose": [{"column": "sessions", "shape": "gaussian-process", "by_study": True}]}, "cannot vary by study"),
        ({"outcome_sd": -1}, "greater than 0"),
        ({"intercept": {"by": "study"}}, "'study' cannot be the name"),
        ({"intercept": {"by": "draw"}}, "'draw' cannot be the name"),
        ({"intercept": {"by": "sham/control"}}, "rename the column"),
        ({"moderator": [{"column": "between_study", "spread": {"family": "halfnormal", "sigma": 1}}]}, "cannot be the name"),
        ({"intercept": {"spread": {"family": "normal", "mu": 0, "sigma": 1}}}, "standard deviation"),
        ({"dose": [{"column": "clinic", "shape": "linear", "reference": 1, "by": "clinic"}]}, "both as a number and as a group"),
    ],
)
def test_a_bad_spec_is_refused_with_what_and_where(fields, words):
    with pytest.raises(sd.ModelError, match=words):
        bell(**fields)


def test_all_faults_of_a_spec_come_at_once():
    with pytest.raises(sd.ModelError) as caught:
        bell(dose=[BELL | {"shape": "bel"}], outcome_sd=-1, extra=3)
    assert all(word in str(caught.value) for word in ("bel", "outcome_sd", "extra"))


@pytest.mark.parametrize(("text", "words"), [("name = ", "not valid TOML"), ("description = 'x'", "name: Field required")])
def test_a_bad_file(tmp_path, text, words):
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(sd.ModelError, match=words):
        sd.load_model(tmp_path / "bad.toml")


def test_an_unknown_shipped_model_names_the_nearest():
    with pytest.raises(sd.ModelError, match="did you mean 'sessions-by-phase'"):
        sd.load_model("session-by-phase")


def test_all_effect_priors_scale_with_the_outcome_and_no_dose_prior_does():
    one, ten = sd.load_model("stimulation"), sd.load_model("stimulation", outcome_sd=10)
    for name, prior in one.priors().items():
        is_dose = name.endswith(("_peak", "_width", "_ed50", "_true", "_spread"))
        assert ten.priors()[name].distribution.ppf(0.9) == pytest.approx((1 if is_dose else 10) * prior.distribution.ppf(0.9)), (
            name
        )


@pytest.mark.parametrize(
    ("change", "fields", "words"),
    [
        ({"measure": "MD"}, {}, "outcome_sd"),
        ({"comparator": "active"}, {"intercept": None, "dose": [{"column": "sessions", "shape": "linear"}]}, "sham or add-on"),
        ({}, {"moderator": [{"column": "site", "prior": {"family": "normal", "mu": 0, "sigma": 1}}]}, "holds words"),
        ({}, {"intercept": sd.Intercept(by="sessions")}, "numeric and cannot be a group"),
    ],
)
def test_a_model_that_does_not_fit_the_table(change, fields, words):
    with pytest.raises(sd.ModelError, match=words):
        prepare(bell(**fields), sd.read_trials(make_table().assign(**change)))


def test_missing_doses_and_groups_are_listed_or_dropped_by_name():
    table = make_table()
    table.loc[[2, 5], "frequency_hz"] = None
    table.loc[7, "phase"] = None
    trials, model = sd.read_trials(table), bell(intercept=sd.Intercept(by="phase"))
    with pytest.raises(sd.TrialsError) as caught:
        prepare(model, trials)
    assert [(p.row, p.column) for p in caught.value.problems] == [(2, "frequency_hz"), (5, "frequency_hz"), (7, "phase")]
    _, used = prepare(model, trials, missing="drop")
    assert len(used) == len(table) - 3
    assert {p.row for p in used.dropped} == {2, 5, 7}


def test_a_dose_that_is_the_same_everywhere_is_refused():
    with pytest.raises(sd.ModelError, match="frequency_hz: the same in every row"):
        prepare(bell(), sd.read_trials(make_table().assign(frequency_hz=10.0)))


def test_mixed_estimands_need_a_word():
    table = make_table()
    table.loc[:3, "comparator"] = "active"
    trials = sd.read_trials(table)
    with pytest.raises(sd.TrialsError, match="comparator"):
        prepare(bell(), trials)
    assert len(prepare(bell(), trials, allow_mixed=("comparator",))[1]) == len(table)


@pytest.mark.parametrize(
    ("make", "lines"),
    [
        (
            lambda: sd.Prior("halfnormal", mu=1.0),
            ["prior is not valid:", "  - a halfnormal prior takes sigma, or an interval or quantiles; it was given ['mu']"],
        ),
        (lambda: sd.Intercept(bye="phase"), ["intercept is not valid:", "  - bye: unknown entry (did you mean 'by'?)"]),
        (
            lambda: sd.Dose(column="sessions", shape="liner"),
            ["dose 'sessions' is not valid:", "  - unknown shape 'liner' (did you mean"],
        ),
        (
            lambda: sd.Moderator(column="age", per="10"),
            ["moderator 'age' is not valid:", "  - per: numbers are wanted here, not '10'"],
        ),
        (
            lambda: sd.Dose(column="sessions", shape="linear", refrence=5, by_study="perhaps"),
            ["dose 'sessions' is not valid:", "  - by_study: ", "  - refrence: unknown entry (did you mean 'reference'?)"],
        ),
    ],
)
def test_a_part_alone_says_what_is_wrong_as_a_model_does(make, lines):
    with pytest.raises(sd.ModelError) as caught:
        make()
    found = str(caught.value).splitlines()
    assert len(found) == len(lines)
    assert all(map(str.startswith, found, lines))


def test_a_model_gathers_the_faults_of_all_its_parts():
    with pytest.raises(sd.ModelError) as caught:
        sd.Model(
            name="m",
            outcome_sd="1",
            intercept={"bye": "phase"},
            dose=[BELL | {"shape": "bel"}, SESSIONS | {"priors": {"slope": {"family": "normal", "mu": 0}}}],
            between_study={"family": "halfnormal", "sgima": 1},
        )
    headline, *faults = str(caught.value).splitlines()
    assert headline == "model 'm' is not valid:"
    assert [fault.partition(":")[0].strip(" -") for fault in faults] == [
        "outcome_sd",
        "intercept.bye",
        "dose.0",
        "dose.1.priors.slope",
        "between_study.sgima",
    ]


@pytest.mark.parametrize(
    ("dose", "words"),
    [
        (SESSIONS | {"by": ("phase:site", "site:phase")}, "phase:site and site:phase are the same groups"),
        (SESSIONS | {"by": ("phase*site", "site:phase")}, "phase:site and site:phase are the same groups"),
        (SESSIONS | {"shape": "restricted-cubic-spline", "knots": "5"}, "knots: numbers are wanted here, not '5'"),
        (SESSIONS | {"shape": "restricted-cubic-spline", "knots": True}, "knots: numbers are wanted here, not True"),
        (SESSIONS | {"shape": "restricted-cubic-spline", "knots": (5, "10", 20)}, "knots: numbers are wanted here"),
        (SESSIONS | {"usual": (20, 5)}, "usual is the range of doses in use"),
        (BELL | {"fixed": {"peak": 1e4}}, "peak = 10000 is more than 10 times beyond the doses of frequency_hz in use, 1 to"),
        (
            SESSIONS | {"shape": "emax", "fixed": {"ed50": 1e-3}},
            "ed50 = 0.001 is more than 10 times beyond the doses of sessions",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(dose, words):
    with pytest.raises(sd.ModelError, match=words):
        sd.Dose(**dose)


def test_one_order_of_a_combination_in_the_whole_model():
    with pytest.raises(sd.ModelError, match="site:phase and phase:site are the same groups: name them in one order"):
        sd.Model(
            name="m", intercept=sd.Intercept(by="phase:site"), dose=[sd.Dose(column="sessions", shape="linear", by="site:phase")]
        )


def test_a_fixed_dose_may_lie_somewhat_beyond_the_usual_ones_and_far_beyond_if_these_are_stated():
    assert sd.Dose(column="frequency_hz", shape="bell", fixed={"peak": 100.0}).fixed == {"peak": 100.0}
    wide = sd.Dose(column="frequency_hz", shape="bell", usual=(100, 5000), fixed={"peak": 10000.0})
    assert wide.nonlinear == ("width",)
