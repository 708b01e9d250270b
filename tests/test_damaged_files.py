"""Saved fits that are damaged, cut off, of another program or of a newer version: one clear error, never other draws."""

import random
from contextlib import suppress

import h5py
import numpy as np
import pytest
import xarray as xr

import stimdose as sd
from stimdose import storage
from stimdose.manifest import posterior_sha256
from stimdose.storage import SEAL, write_arrays


@pytest.fixture(scope="module")
def whole(saved) -> bytes:
    """The content of a saved fit."""
    with open(saved, "rb") as file:
        return file.read()


def refused(path, content: bytes, words: str = "is not a saved fit of stimdose|is damaged") -> None:
    path.write_bytes(content)
    with pytest.raises(sd.FitError, match=words) as caught:
        sd.load_fit(path)
    assert str(path) in str(caught.value)


def test_a_file_of_any_length_but_its_own_is_refused(whole, tmp_path):
    rng = random.Random(1)
    seal = len(SEAL) + 64
    lengths = {
        0,
        1,
        7,
        8,
        9,
        *(len(whole) - k for k in (1, 63, 64, 65, seal - 1, seal, seal + 1)),
        *rng.sample(range(len(whole)), 40),
    }
    for length in lengths:
        refused(tmp_path / "fit.nc", whole[:length])
    refused(tmp_path / "fit.nc", whole + b"x")


@pytest.mark.parametrize("suffix", [".nc", ".npz"])
def test_a_bit_that_is_flipped_anywhere_never_gives_other_draws(bell_fit, whole, suffix, tmp_path):
    path = tmp_path / f"fit{suffix}"
    if suffix == ".npz":
        whole = write_arrays(path, bell_fit.tree, bell_fit.trials).read_bytes()
    rng, known, loaded = random.Random(2), posterior_sha256(bell_fit), 0
    for place in rng.sample(range(len(whole)), 300 if suffix == ".nc" else 60):
        content = bytearray(whole)
        content[place] ^= 1 << rng.randrange(8)
        path.write_bytes(content)
        with suppress(sd.FitError):
            fit = sd.load_fit(path)
            loaded += 1
            assert posterior_sha256(fit) == known
            assert fit.model == bell_fit.model
    assert loaded == 0 or suffix == ".npz"  # a zip file has bytes that nothing is read from


def test_without_its_checksum_a_damaged_file_would_give_other_draws(bell_fit, whole, tmp_path):
    """Why there is one: netCDF reads it without a word."""
    draws = bell_fit.tree["posterior"]["frequency_hz_peak"].to_numpy()
    place = whole.index(draws[0].tobytes()[:64])
    content = bytearray(whole)
    content[place + 6] ^= 1
    refused(tmp_path / "fit.nc", bytes(content), "its bytes are not those that were written")
    (tmp_path / "bare.nc").write_bytes(content)
    with xr.open_datatree(tmp_path / "bare.nc", engine="h5netcdf") as tree:
        assert not np.array_equal(tree["posterior"]["frequency_hz_peak"], draws)


def test_other_programs_read_a_saved_fit(saved, bell_fit):
    with xr.open_datatree(saved, engine="h5netcdf") as tree:
        assert np.array_equal(tree["posterior"]["frequency_hz_peak"], bell_fit.tree["posterior"]["frequency_hz_peak"])
        assert tree.attrs["format"] == "stimdose fit 1"


def test_a_fit_comes_back_from_either_kind_of_file_the_same(saved, bell_fit, tmp_path):
    loaded = sd.load_fit(saved)
    again = sd.load_fit(write_arrays(tmp_path / "fit.npz", loaded.tree, loaded.trials))
    for fit in (loaded, again):
        assert fit.tree.identical(bell_fit.tree)
        assert {type(value) for value in fit.tree.attrs.values()} == {int, str}


def test_a_file_that_another_program_wrote_to_is_refused(whole, tmp_path):
    path = tmp_path / "fit.nc"
    path.write_bytes(whole)
    with h5py.File(path, "a") as file:
        file["posterior"]["frequency_hz_peak"][0, 0] = 99.0
    refused(path, path.read_bytes(), "its end is cut off, or another program wrote to it")  # which HDF5 cuts off
    refused(path, path.read_bytes() + whole[-len(SEAL) - 64 :], "its bytes are not those that were written")


def test_a_file_of_before_there_were_checksums_is_read(bell_fit, tmp_path):
    tree = storage._with_table(bell_fit.tree, bell_fit.trials)
    del tree.attrs["format"]
    tree.to_netcdf(tmp_path / "fit.nc", engine="h5netcdf")
    assert posterior_sha256(sd.load_fit(tmp_path / "fit.nc")) == posterior_sha256(bell_fit)


def of_another_sampler(path):
    xr.DataTree.from_dict({"posterior": xr.Dataset({"mu": (("chain", "draw"), np.zeros((4, 10)))})}).to_netcdf(path)


def of_hdf5(path):
    with h5py.File(path, "w") as file:
        file["x"] = [1, 2]


FOREIGN = {
    "ArviZ": of_another_sampler,
    "a dataset": lambda path: xr.Dataset({"a": ("x", [1, 2])}).to_netcdf(path, engine="h5netcdf"),
    "netCDF 3": lambda path: xr.Dataset({"a": ("x", [1, 2])}).to_netcdf(path, engine="scipy"),
    "HDF5": of_hdf5,
    "nothing": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("study,effect\nA,1\n"),
    "a folder": lambda path: path.mkdir(),
    "no file": lambda path: None,
}


@pytest.mark.parametrize("make", FOREIGN.values(), ids=FOREIGN)
def test_files_of_other_programs_are_told_in_one_sentence(make, run, tmp_path):
    path = tmp_path / "fit.nc"
    make(path)
    code, out, err = run("optimum", str(path), "sessions")
    assert (code, out) == (1, "")
    assert err.startswith(f"Error: {path} is ") or err == f"Error: there is no file {path}\n"
    assert err.count("\n") == 1
    assert "Error" not in err[6:]
    if make not in (FOREIGN["a folder"], FOREIGN["no file"]):
        assert "is not a saved fit of stimdose" in err
        assert "state the fit.nc" in err


@pytest.mark.parametrize("write", [storage.write_tree, storage.write_arrays])
def test_a_fit_of_a_newer_version_says_so(bell_fit, write, monkeypatch, tmp_path):
    path = tmp_path / ("fit.nc" if write is storage.write_tree else "fit.npz")
    monkeypatch.setattr(storage, "FORMAT", "stimdose fit 2")
    write(path, bell_fit.tree, bell_fit.trials)
    monkeypatch.undo()
    with pytest.raises(
        sd.FitError, match="is a stimdose fit 2, and this version of stimdose reads stimdose fit 1: use the version that"
    ):
        sd.load_fit(path)


def test_what_a_fit_lacks_is_named(bell_fit, tmp_path):
    tree = bell_fit.tree.copy()
    del tree["prior"]
    del tree.attrs["seed"]
    with pytest.raises(sd.FitError, match="is damaged: it lacks prior, seed"):
        sd.load_fit(storage.write_tree(tmp_path / "fit.nc", tree, bell_fit.trials))
