"""Refits and batches of them: what they are given, that they agree with fits from scratch, and that nothing is lost."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import make_table

import stimdose as sd
from stimdose.storage import check_arrays, write_arrays

pytestmark = pytest.mark.filterwarnings("ignore::stimdose.ConvergenceWarning")  # of SHORT refits
SHORT = {"draws": 400, "tune": 400, "most_draws": 0}


def agree(one: sd.Fit, other: sd.Fit, names: list[str]) -> None:
    """Posterior means within 4.5 Monte Carlo errors of each other."""
    import arviz as az

    for name in names:
        draws = [fit.tree["posterior"][name] for fit in (one, other)]
        error = np.hypot(*(float(np.max(az.mcse(d))) for d in draws))
        gap = np.abs(draws[0].mean(("chain", "draw")) - draws[1].mean(("chain", "draw"))).max()
        assert gap < 4.5 * error, name


NAMES = ["frequency_hz_peak", "frequency_hz_width", "frequency_hz_amplitude", "between_study", "intercept", "sessions_slope"]


def test_a_refit_with_nothing_changed_has_the_posterior_of_the_fit(bell_fit):
    found = bell_fit.refit(seed=5)
    assert found.diagnosis.converged
    agree(found, bell_fit, NAMES)


def test_a_refit_with_another_prior_is_the_fit_of_that_model(bell_fit, bell_model, trials):
    prior = sd.Prior("lognormal", interval=(20, 40), why="high frequencies")
    found = bell_fit.refit(priors={"frequency_hz_peak": prior}, seed=5)
    scratch = sd.fit(bell_model.with_priors({"frequency_hz_peak": prior}), trials, seed=6)
    agree(found, scratch, NAMES)
    assert found.model.priors()["frequency_hz_peak"] == prior
    means = [float(fit.tree["posterior"]["frequency_hz_peak"].mean()) for fit in (found, bell_fit)]
    assert means[0] > means[1] + 2


def test_a_refit_without_a_study_is_the_fit_of_the_other_rows(bell_fit, bell_model, trials):
    others = trials.without_study("Trial 03")
    found = bell_fit.refit(trials=others, seed=5)
    agree(found, sd.fit(bell_model, others, seed=6), NAMES)
    assert "Trial 03" not in found.tree["posterior"]["study"]
    assert len(found.trials) == len(trials) - 2


def test_a_refit_to_simulated_effects_says_so(bell_fit):
    rng = np.random.default_rng(1)
    effects = bell_fit.trials.table["effect"].to_numpy() + rng.normal(0, 0.1, len(bell_fit.trials))
    found = bell_fit.refit(effects=effects, seed=5, **SHORT)
    assert np.array_equal(found.trials.table["effect"], effects)
    assert "effects are simulated" in found.trials.notes


def test_draws_of_replicated_effects_come_back_to_their_rows_whatever_the_order_of_the_table(bell_model):
    table = sd.read_trials(make_table().sample(frac=1, random_state=1))
    fit = sd.fit(bell_model, table, seed=1, draws=50, tune=200, progress=False)
    drawn = fit.tree["posterior_predictive"]["effect"][0, 0]
    by_row = dict(zip(drawn["row"].values, drawn.values, strict=True))
    found = fit.request(effects=drawn).trials.table
    assert found["effect"].tolist() == [by_row[str(row)] for row in found["row"]]
    with pytest.raises(sd.FitError, match="other rows"):
        fit.request(effects=drawn[1:])


def test_the_seed_decides_the_draws_and_the_cores_do_not(bell_fit):
    one, two, other = (bell_fit.refit(seed=seed, cores=cores, **SHORT) for seed, cores in ((5, 1), (5, 2), (6, 2)))
    draws = [fit.tree["posterior"]["frequency_hz_peak"].values for fit in (one, two, other)]
    assert np.array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])


def test_draws_are_doubled_until_the_chains_agree(bell_fit):
    found = bell_fit.refit(seed=5, draws=50, tune=200, most_draws=800)
    assert found.diagnosis.converged
    assert found.tree["posterior"].sizes["draw"] in (100, 200, 400, 800)
    assert json.loads(found.tree.attrs["settings"])["draws"] == found.tree["posterior"].sizes["draw"]


def test_a_saved_fit_can_be_fitted_again(bell_fit, tmp_path):
    loaded = sd.load_fit(bell_fit.save(tmp_path / "fit.nc"))
    one, other = (fit.refit(seed=5, **SHORT).tree["posterior"]["frequency_hz_peak"] for fit in (bell_fit, loaded))
    assert np.array_equal(one, other)


def test_unknown_changes_are_refused(bell_fit, trials):
    with pytest.raises(sd.ModelError, match=r"no prior 'frequency_hz_peek' \(did you mean 'frequency_hz_peak'"):
        bell_fit.refit(priors={"frequency_hz_peek": sd.Prior("lognormal", interval=(1, 10))})
    with pytest.raises(sd.ModelError, match="'peak' is positive"):
        bell_fit.refit(priors={"frequency_hz_peak": sd.Prior("normal", mu=0, sigma=1)})
    with pytest.raises(sd.FitError, match=r"no setting 'draw' \(did you mean 'draws'"):
        bell_fit.refit(draw=100)
    with pytest.raises(sd.FitError, match="not both"):
        bell_fit.refit(trials=trials, effects=np.zeros(len(trials)))
    with pytest.raises(sd.TrialsError, match="30 finite numbers"):
        bell_fit.refit(effects=np.zeros(3))
    with pytest.raises(sd.TrialsError, match="no study 'Trial 3'"):
        trials.without_study("Trial 3")


def test_what_nutpie_would_panic_at_is_refused(bell_fit):
    for name, value in {
        "draws": 0,
        "tune": 0,
        "chains": 0,
        "cores": -1,
        "target_accept": 1.5,
        "most_draws": None,
        "seed": 1.7,
    }.items():
        with pytest.raises(sd.FitError, match=name):
            bell_fit.request(**{name: value})
    assert bell_fit.request(seed=1, draws=np.int64(500)).key == bell_fit.request(seed=1).key
    with pytest.raises(sd.ModelError, match="is a Prior, not 3"):
        bell_fit.request(priors={"intercept": 3})
    with pytest.raises(sd.FitError, match="not a DataFrame"):
        bell_fit.request(trials=bell_fit.trials.table)
    for wrong in (bell_fit, [bell_fit]):
        with pytest.raises(sd.FitError, match="not a Fit"):
            sd.batch(wrong)
    with pytest.raises(sd.FitError, match="the sampler failed"):
        bell_fit.refit(effects=np.full(len(bell_fit.trials), 1e200), seed=1, **SHORT)


def test_the_file_of_a_batch_holds_the_whole_fit(bell_fit, tmp_path):
    write_arrays(tmp_path / "fit.npz", bell_fit.tree, bell_fit.trials)
    check_arrays(tmp_path / "fit.npz")
    loaded = sd.load_fit(tmp_path / "fit.npz")
    assert loaded.tree.equals(bell_fit.tree)
    assert loaded.tree.attrs == bell_fit.tree.attrs
    assert loaded.trials.fingerprint == bell_fit.trials.fingerprint
    content = bytearray((tmp_path / "fit.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "fit.npz").write_bytes(content)
    with pytest.raises(sd.FitError, match="damaged"):
        check_arrays(tmp_path / "fit.npz")


def requests_of(fit: sd.Fit, number: int = 3) -> list[sd.Request]:
    return [fit.request(seed=seed, **SHORT) for seed in range(number)]


def test_keys_follow_content(bell_fit, trials):
    one = bell_fit.request(seed=1)
    assert one.key == bell_fit.request(seed=1, cores=2).key
    others = [
        bell_fit.request(seed=2),
        bell_fit.request(seed=1, draws=100),
        bell_fit.request(seed=1, trials=trials.without_study("Trial 03")),
        bell_fit.request(seed=1, priors={"between_study": sd.Prior("halfnormal", sigma=0.1)}),
        bell_fit.request(seed=1, effects=np.zeros(len(trials))),
    ]
    assert len({one.key, *(request.key for request in others)}) == 6


def test_one_impossible_request_does_not_stop_the_others(bell_fit, trials):
    alike = sd.Trials(trials.table.assign(frequency_hz=10.0))
    requests = [bell_fit.request(seed=1, **SHORT), bell_fit.request(seed=1, trials=alike, **SHORT)]
    with pytest.raises(sd.BatchError, match="the same in every row") as caught:
        sd.batch(requests, progress=False)
    assert len(caught.value.results) == 1


def tuning_of(monkeypatch, refit) -> list[int]:
    """The tuning of every run of the sampler in a refit."""
    from stimdose import nuts

    found, sample = [], nuts.sample
    monkeypatch.setattr(nuts, "sample", lambda *args, **more: found.append(more["tune"]) or sample(*args, **more))
    refit()
    return found


def test_a_sampler_that_knows_nothing_tunes_as_in_a_fit(bell_fit, strata_fit, trials, monkeypatch):
    one_row_each = sd.Trials(trials.table.drop_duplicates("study").reset_index(drop=True))  # no level within studies
    assert tuning_of(monkeypatch, lambda: bell_fit.refit(seed=1, draws=100, most_draws=0)) == [100]
    assert tuning_of(monkeypatch, lambda: bell_fit.refit(trials=one_row_each, seed=1, draws=100, most_draws=0)) == [1000]
    assert tuning_of(monkeypatch, lambda: strata_fit.refit(seed=1, draws=100, most_draws=0)) == [
        100,
        1000,
    ]  # and a free intercept


def test_other_effects_are_positive_where_they_are_a_benefit(trials):
    lower = sd.Trials(trials.table.assign(direction="lower"))
    found = lower.with_effects(np.arange(30.0)).table
    assert np.array_equal(found["effect"], np.arange(30.0))
    assert np.array_equal(found["effect_reported"], -np.arange(30.0))


@pytest.mark.slow
def test_a_batch_in_a_pool_gives_the_fits_of_one_process_and_keeps_them(bell_fit, tmp_path):
    requests = requests_of(bell_fit)
    here = sd.batch(requests, progress=False)
    with sd.batches.pool(2) as executor:
        there = sd.batch(requests, folder=tmp_path, executor=executor, progress=False)
    assert len(list(tmp_path.glob("*.npz"))) == 3
    for one, other in zip(here, there, strict=True):
        assert np.array_equal(one.tree["posterior"]["frequency_hz_peak"], other.tree["posterior"]["frequency_hz_peak"])


@pytest.mark.slow
def test_a_batch_on_a_cluster_gives_the_fits_of_one_process(bell_fit):
    from distributed import Client, LocalCluster

    requests = requests_of(bell_fit, 2)
    here = sd.batch(requests, progress=False)
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        there = sd.batch(requests, executor=client.get_executor(pure=False), progress=False)
    for one, other in zip(here, there, strict=True):
        assert np.array_equal(one.tree["posterior"]["frequency_hz_peak"], other.tree["posterior"]["frequency_hz_peak"])


SCRIPT = """
import sys, stimdose as sd
if __name__ == "__main__":
    fit = sd.load_fit(sys.argv[1])
    requests = [fit.request(seed=seed, draws=400, tune=400, most_draws=0) for seed in range(12)]
    sd.batch(requests, folder=sys.argv[2])
"""


@pytest.mark.slow
def test_a_batch_that_is_killed_goes_on_where_it_was(bell_fit, tmp_path):
    saved, folder, script = tmp_path / "fit.nc", tmp_path / "batch", tmp_path / "script.py"
    bell_fit.save(saved)
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(saved), str(folder)]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, env=os.environ)
    while running.poll() is None and len(list(folder.glob("*.npz"))) < 2:
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    running.communicate()
    kept = {path: path.stat().st_mtime_ns for path in folder.glob("*.npz")}
    assert 2 <= len(kept) < 12
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"12 of 12 done ({len(kept)} found)" in done.stderr
    assert len(list(folder.glob("*.npz"))) == 12
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())
    fits = sd.batch([bell_fit.request(seed=seed, **SHORT) for seed in range(12)], folder=folder, progress=False)
    assert len({float(fit.tree["posterior"]["frequency_hz_peak"].mean()) for fit in fits}) == 12


def test_a_large_table_keeps_fewer_replicates(bell_fit, monkeypatch):
    from stimdose import results
    from stimdose.predictive import statistics

    monkeypatch.setattr(results, "REPLICATED", 30 * 4 * 100)
    found = bell_fit.refit(seed=5, **SHORT)
    assert found.tree["posterior_predictive"].sizes["draw"] == 100
    assert list(found.tree["posterior_predictive"]["draw"].values[:3]) == [0, 4, 8]
    assert len(statistics(found)) > 4
