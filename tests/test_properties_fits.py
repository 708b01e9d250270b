"""A saved fit gives back its table: any names of columns, any text, any numbers; and its draws. The tree is made by hand."""

import numpy as np
import pandas as pd
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

import stimdose as sd
from stimdose.audit import Conversion
from stimdose.storage import dataset_to_trials, read_tree, table_to_dataset, write_arrays, write_tree

ANY = st.text(max_size=12)  # lone surrogates, NUL and all
LABEL = st.one_of(st.integers(-(2**53), 2**53), ANY)
COLUMN = st.sampled_from(["floats", "integers", "words", "booleans"])


@st.composite
def trials(draw) -> sd.Trials:
    rows = draw(st.integers(1, 4))
    columns = {
        "row": pd.Series(draw(st.lists(LABEL, min_size=rows, max_size=rows)), dtype=object),
        "study": pd.Series(draw(st.lists(ANY, min_size=rows, max_size=rows)), dtype=object),
    }
    for name in draw(st.lists(ANY, max_size=4, unique=True)):
        values = {
            "floats": st.floats(),
            "integers": st.integers(-(2**63), 2**63 - 1),
            "words": st.one_of(ANY, st.none()),
            "booleans": st.booleans(),
        }
        kind = draw(COLUMN)
        found = draw(st.lists(values[kind], min_size=rows, max_size=rows))
        columns.setdefault(
            name, pd.Series(found, dtype={"words": object, "floats": float, "integers": "int64", "booleans": bool}[kind])
        )
    lines = draw(st.lists(st.tuples(LABEL, *[ANY] * (len(Conversion._fields) - 1)), max_size=2))
    problems = draw(st.lists(st.tuples(LABEL, *[ANY] * 4), max_size=2))
    return sd.Trials(
        pd.DataFrame(columns),
        tuple(sd.Problem(*one) for one in problems),
        tuple(Conversion(*one) for one in lines),
        tuple(draw(st.lists(ANY, max_size=2))),
    )


def assert_same(found: sd.Trials, before: sd.Trials) -> None:
    pd.testing.assert_frame_equal(found.table, before.table, check_exact=True)
    for name in before.table:  # assert_frame_equal takes 1 for True
        assert list(map(type, found.table[name])) == list(map(type, before.table[name]))
    assert (found.dropped, found.conversions, found.remarks) == (before.dropped, before.conversions, before.remarks)
    assert found.fingerprint == before.fingerprint


@examples(60)
@given(trials())
def test_any_table_survives_as_json(before):
    assert_same(dataset_to_trials(table_to_dataset(before)), before)


@examples(6)
@given(trials(), st.lists(ANY, min_size=2, max_size=2, unique=True), st.lists(st.floats(), min_size=8, max_size=8))
def test_any_table_and_any_draws_survive_as_a_file(tmp_path_factory, before, levels, draws):
    folder = tmp_path_factory.getbasetemp()
    levels = [level.encode("utf-8", "ignore").decode().replace("\0", "") + str(k) for k, level in enumerate(levels)]
    values = np.array(draws).reshape(1, 4, 2)
    group = xr.Dataset({"effect": (("chain", "draw", "phase"), values)}, {"phase": levels})
    names = ("posterior", "prior", "posterior_predictive", "log_likelihood", "sample_stats")
    tree = xr.DataTree.from_dict(dict.fromkeys(names, group))
    tree.attrs |= {"model": "", "seed": 1, "trials_sha256": before.fingerprint}
    for path in (write_tree(folder / "law.nc", tree, before), write_arrays(folder / "law.npz", tree, before)):
        found, table = read_tree(path)
        assert_same(table, before)
        np.testing.assert_array_equal(found["posterior"]["effect"].to_numpy(), values)
        assert found["posterior"]["phase"].values.tolist() == levels
