"""What a batch, a refit or replaced effects cannot be given ends in one message that says what is right."""

from concurrent.futures import Executor

import numpy as np
import pytest
from conftest import make_table

import stimdose as sd


def test_a_batch_says_all_that_is_wrong_with_its_folder_and_executor(bell_fit):
    with pytest.raises(sd.FitError, match=r"the folder is a path, not 3; the executor is that of .*, not 2"):
        sd.batch([bell_fit.request(seed=1)], folder=3, executor=2)
    with pytest.raises(sd.FitError, match=r"not <class 'concurrent\.futures"):
        sd.batch([], executor=Executor)


@pytest.mark.parametrize("priors", [[], ["frequency_hz_peak"], sd.Prior("halfnormal", sigma=1.0)])
def test_priors_of_a_refit_are_a_dict(bell_fit, priors):
    with pytest.raises(sd.FitError, match="priors are a dict of `Prior` by posterior variable name"):
        bell_fit.refit(priors=priors)


def test_replaced_effects_say_whether_the_shape_or_a_number_is_wrong(trials):
    effects = trials.table["effect"].to_numpy().copy()
    with pytest.raises(sd.TrialsError, match=r"30 finite numbers, one a row, not an array of shape \(30, 1\)"):
        trials.with_effects(effects[:, None])
    with pytest.raises(sd.TrialsError, match="could not convert string to float"):
        trials.with_effects(["high"] * 30)
    effects[[4, 7]] = np.nan, np.inf
    with pytest.raises(sd.TrialsError) as caught:
        trials.with_effects(effects)
    rows = trials.table["row"].iloc[[4, 7]].tolist()
    assert [(problem.row, problem.value) for problem in caught.value.problems] == [(rows[0], "nan"), (rows[1], "inf")]


@pytest.mark.filterwarnings("ignore::stimdose.ConvergenceWarning")  # the fit is short: its file is the question
def test_a_damaged_fit_of_a_batch_is_named_once(bell_fit, tmp_path):
    request = bell_fit.request(seed=1, draws=50, chains=1, most_draws=0)
    path = tmp_path / f"{request.key}.npz"
    path.write_bytes(b"not a fit")
    for reason in ("File is not a zip file", "the checksum of .* is wrong"):
        with pytest.warns(UserWarning, match=reason) as caught:
            sd.batch([request], folder=tmp_path, progress=False)
        (message,) = [str(warning.message) for warning in caught]
        assert message.startswith(f"{path} is damaged and is computed again: ")
        assert message.count(path.name) == 1
        damage(path)


def damage(path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)


def test_a_file_that_is_no_zip_is_no_saved_fit(tmp_path):
    (tmp_path / "fit.npz").write_bytes(b"x")
    with pytest.raises(sd.FitError, match="it is not a zip file") as caught:
        sd.load_fit(tmp_path / "fit.npz")
    assert "pickle" not in str(caught.value)


CURVES = {
    "curve": lambda fit, **given: sd.curve(fit, "frequency_hz", **given),
    "optimum": lambda fit, **given: sd.optimum(fit, "frequency_hz", **given),
    "average": lambda fit, **given: sd.average({"one": fit, "other": fit}).optimum("frequency_hz", **given),
    "path": lambda fit, over: sd.protocol_path(fit, "frequency_hz", fixed={"session_min": 20}, duty=0.5, over=over),
    "paths": lambda fit, **given: sd.optima_by_path(fit, "frequency_hz", duty=0.5, **given),
}


@pytest.mark.parametrize(
    "over", [5, True, (), "ab", ("a", "b"), (1, 2, 3), (1, None), (np.nan, 2), (5, 1), (-1, 2), [[1, 2], [3, 4]]]
)
@pytest.mark.parametrize("call", CURVES.values(), ids=CURVES)
def test_a_range_is_two_doses(bell_fit, call, over):
    with pytest.raises(sd.StimdoseError, match=r"^over is two doses of 0 or more, \(low, high\) with low < high, not "):
        call(bell_fit, over=over)


@pytest.mark.parametrize("over", [5, (1, 2, 3), {"frequency_hz": 5}, {"frequency_hz": ("a", "b")}, {"sessions": (1, 2, 3)}])
@pytest.mark.parametrize("function", [sd.surface, sd.joint_optimum])
def test_ranges_of_a_surface_are_by_dose(bell_fit, function, over):
    with pytest.raises(sd.StimdoseError, match=r"^over is a dict by dose, each two doses of 0 or more"):
        function(bell_fit, "frequency_hz", "sessions", over=over)


def test_all_wrong_arguments_are_named_at_once(bell_fit):
    with pytest.raises(sd.StimdoseError) as caught:
        sd.optimum(bell_fit, "frequency_hz", delta="a", benefit="a", cost="a", at=5, size=1 / 2)
    assert str(caught.value).splitlines() == [
        "`optimum` cannot be called so:",
        "  - delta is a number above 0, not 'a'",
        "  - benefit is a number, not 'a'",
        "  - cost is a number, 0 or more, not 'a'",
        "  - at is a dict by column, not 5",
        "  - size is a whole number from 3, not 0.5",
    ]


FIT = ("curve", "optimum", "points", "confounders", "optima_by_path")


@pytest.mark.parametrize("name", FIT)
def test_a_fit_is_a_fit_and_a_name_one_name(bell_fit, trials, name):
    with pytest.raises(sd.StimdoseError, match=r"^fit is a fit, as `fit` and `load_fit` return it, not a Trials$"):
        getattr(sd, name)(trials, "frequency_hz")
    with pytest.raises(sd.StimdoseError, match=r"^column is one name, not \['frequency_hz'\]$"):
        getattr(sd, name)(bell_fit, ["frequency_hz"])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda fit: sd.contrast(fit, {"frequency_hz": 10}, {"frequency_hz": 1}, delta="a"),
            "delta is a number, 0 or more, not 'a'",
        ),
        (lambda fit: sd.contrast(fit, {"frequency_hz": True}, {"frequency_hz": 1}), "frequency_hz cannot be True"),
        (lambda fit: sd.contrast(fit.trials, {}, {}), "fit is a fit, as .*, not a Trials"),
        (lambda fit: sd.joint_optimum(fit, "frequency_hz", "sessions", size=5), "size is two whole numbers from 1"),
        (lambda fit: sd.surface(fit, "frequency_hz", "sessions", at=["phase"]), r"at is a dict by column, not \['phase'\]"),
        (
            lambda fit: sd.protocol_path(fit, "frequency_hz", fixed=5),
            "what is fixed is a dose, several, or doses by name.*, not 5",
        ),
        (lambda fit: sd.protocol_path(fit, "frequency_hz", fixed=[5]), "no path of frequency_hz: 5 cannot be fixed"),
        (lambda fit: sd.protocol_path(5, "frequency_hz", fixed="session_min"), "source is a fit, as .*, or trials, as .*, not 5"),
        (lambda fit: sd.support(fit.trials, 5), "columns is a name, or several, not 5"),
        (lambda fit: sd.visited(fit, {"frequency_hz": "a"}), "doses is a dict of numbers, or of arrays"),
        (
            lambda fit: sd.visited(fit, {"frequency_hz": [1, 2], "sessions": [1, 2, 3]}),
            "arrays that broadcast against each other",
        ),
        (lambda fit: sd.within_across(fit, fit.trials, "sessions"), "model is a `Model`, not a Fit"),
        (lambda fit: sd.within_across(fit.model, fit.trials, "sessions", difference=5), "difference is a `Prior`, not 5"),
        (lambda fit: sd.points(fit, "sessions", by="phse"), r"the table has no column 'phse' \(did you mean 'phase'\?\)"),
        (lambda fit: sd.points(fit, "session"), r"the model has no dose 'session' \(did you mean 'sessions'\?\)"),
        (lambda fit: sd.curve(fit, "sessions", grid=[1, "b"]), "grid is one row of increasing doses"),
        (lambda fit: sd.curve(fit, "sessions", grid=[[1], [2, 3]]), "grid is one row of increasing doses"),
        (lambda fit: sd.curve(fit, "sessions", by="phase", new_group="yes"), "new_group is True or False, not 'yes'"),
        (lambda fit: sd.band(fit), "draws is a DataArray, as `curve` returns it, not a Fit"),
        (lambda fit: sd.band(sd.curve(fit, "sessions", size=3), 95), "prob is a number between 0 and 1, such as 0.95, not 95"),
        (lambda fit: sd.optimum(fit, "sessions").table("a"), "prob is a number between 0 and 1"),
        (lambda fit: sd.optimum(fit, "sessions").p_benefit(None), "threshold is a number, not None"),
        (lambda fit: sd.study_effects(fit.trials), "fit is a fit"),
        (lambda fit: sd.check(fit.trials), "fit is a fit"),
        (lambda fit: sd.average(fit), "an average takes two fits or more"),
        (lambda fit: sd.figures.contrasts([]), "there are no contrasts to draw"),
        (lambda fit: sd.figures.contrasts([5]), "contrasts, or a DataFrame of them, are drawn, not 5"),
    ],
)
def test_arguments_of_the_wrong_kind_are_refused(bell_fit, call, message):
    with pytest.raises(sd.StimdoseError, match=message):
        call(bell_fit)


def test_numbers_of_numpy_and_pandas_are_numbers(bell_fit):
    plain = sd.optimum(bell_fit, "frequency_hz", delta=0.2, over=(2, 40), size=11)
    other = sd.optimum(bell_fit, "frequency_hz", delta=np.float64(0.2), over=np.array([2, 40]), size=np.int64(11))
    np.testing.assert_array_equal(plain.dose, other.dose)
    assert plain.verdict == other.verdict


def test_one_dose_is_as_good_as_a_list_of_one(trials):
    assert sd.support(trials, "frequency_hz").region.equals(sd.support(trials, ["frequency_hz"]).region)


def test_a_word_that_a_function_does_not_know_is_named_with_the_function(bell_fit):
    with pytest.raises(TypeError, match=r"curve\(\) got an unexpected keyword argument 'ovr'"):
        sd.curve(bell_fit, "sessions", ovr=(1, 2))


@pytest.mark.parametrize("wrong", [5, ["design", 5], "phase"])
def test_kinds_that_may_differ_are_named_in_every_call(bell_model, trials, wrong):
    for call in (
        lambda: sd.fit(bell_model, trials, allow_mixed=wrong),
        lambda: sd.within_across(bell_model, trials, "frequency_hz", allow_mixed=wrong),
        lambda: sd.simulate_trials(bell_model, trials, allow_mixed=wrong),
        lambda: sd.calibrate(bell_model, trials, allow_mixed=wrong),
    ):
        with pytest.raises(sd.TrialsError, match=r"allow_mixed takes measure, .*outcome, not (5|phase)"):
            call()


def test_a_wrong_constant_is_one_fault_however_many_rows_there_are():
    with pytest.raises(sd.TrialsError) as caught:
        sd.read_trials(make_table(), direction=5, pre_post_r="high", se=0.1)
    assert [(fault.row, fault.column, fault.value) for fault in caught.value.problems] == [
        (None, "direction", "5"),
        (None, "pre_post_r", "high"),
    ]


def test_a_table_in_the_place_of_a_fit_is_told_from_a_damaged_fit(tmp_path):
    make_table().to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(sd.FitError, match=r"t\.csv is not a saved fit of stimdose: state the fit\.nc that `stimdose fit"):
        sd.load_fit(tmp_path / "t.csv")
