"""What a batch, a refit or replaced effects cannot be given ends in one message that says what is right."""

from concurrent.futures import Executor

import numpy as np
import pytest

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


@pytest.mark.filterwarnings("ignore::stimdose.ConvergenceWarning")
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
