"""Laws of reading, on random tables from the whole vocabulary: what must not change the trials, and what must be said."""

import io
import string

import numpy as np
import openpyxl
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

import stimdose as sd
from stimdose.columns import COLUMNS, DOSES

WRITINGS = ("se", "interval", "arms", "sizes", "nothing")
LETTERS = st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="=#")
TEXT = st.text(LETTERS, max_size=12)
NUMBER = st.integers(1, 9999).map(lambda n: n / 100)
DOSE = st.one_of(
    NUMBER,
    NUMBER.map(lambda n: f"{n}-{n + 2:.2f}"),
    NUMBER.map(lambda n: f"≥{n}"),
    NUMBER.map(lambda n: f"<{n}"),
    st.just(""),
)
MODERATORS = {
    "phase": st.sampled_from(["acute", "Subacute", "chronic", ""]),
    "site": TEXT,
    "modality": st.sampled_from(["rTMS", "rPMS", "iTBS", ""]),
    "baseline_severity": NUMBER,
    "note": TEXT,
    "my column": TEXT,
    "my number": NUMBER,
}


@st.composite
def tables(draw, writings=WRITINGS) -> pd.DataFrame:
    """A sound table as it is typed in. Rows print their effect in different ways; some may print none."""
    rows = draw(st.integers(1, 6))
    doses = draw(st.lists(st.sampled_from(["frequency_hz", "sessions", "session_min", "treatment_days"]), unique=True))
    others = draw(st.lists(st.sampled_from(list(MODERATORS)), unique=True))
    measure = draw(st.sampled_from(["SMD", "MD"]))
    found = []
    for k in range(rows):
        row = {"study": draw(st.sampled_from(["Ada", "Bo, 2019", "Čech; 李"])), "arm": f"arm {k}", "measure": measure}
        row |= {"direction": draw(st.sampled_from(["higher", "lower"])), "comparator": "sham", "design": "parallel"}
        row |= printed(draw, draw(st.sampled_from(writings)), measure)
        row |= {name: draw(DOSE) for name in doses} | {name: draw(MODERATORS[name]) for name in others}
        found.append(row)
    return pd.DataFrame(found).astype(object).where(lambda table: table.notna(), None)


def printed(draw, writing: str, measure: str) -> dict:
    effect, se = draw(st.integers(-150, 150)) / 100, draw(st.integers(10, 80)) / 100
    sizes = {"n_active": draw(st.integers(8, 60)), "n_control": draw(st.integers(8, 60))}
    arms = {name: draw(NUMBER) for name in ("mean_active", "sd_active", "mean_control", "sd_control")}
    return {
        "se": {"effect": effect, "se": se},
        "interval": {"effect": effect, "ci_low": effect - 1.96 * se, "ci_high": effect + 1.96 * se},
        "arms": sizes | arms,
        "sizes": {"effect": effect} | (sizes if measure == "SMD" else {"se": se}),
        "nothing": {"effect": effect},
    }[writing]


def same(one: sd.Trials, other: sd.Trials, rows: str = "as labelled") -> None:
    """Whether two tables are the same trials, in the same order, to rounding."""
    a, b = one.table, other.table
    assert set(a) == set(b)
    for name in a.columns if rows == "as labelled" else a.columns.drop("row"):
        left, right = a[name].reset_index(drop=True), b[name].reset_index(drop=True)
        if pd.api.types.is_float_dtype(left) and pd.api.types.is_float_dtype(right):
            np.testing.assert_allclose(left, right, rtol=1e-10, atol=1e-12, err_msg=name)
        else:
            assert [None if pd.isna(v) else v for v in left] == [None if pd.isna(v) else v for v in right], name


def read(source, **more) -> sd.Trials:
    return sd.read_trials(source, missing="keep", **more)


@examples(6)
@given(tables(), st.data())
def test_the_order_of_rows_and_columns_changes_nothing(table, data):
    order = data.draw(st.permutations(range(len(table))))
    columns = data.draw(st.permutations(list(table)))
    one, other = read(table), read(table.iloc[order][columns])
    back = other.table.set_index("row").loc[list(one.table["row"])].reset_index()
    same(one, sd.Trials(back))
    assert sorted(map(str, one.gaps())) == sorted(map(str, other.gaps()))
    lines = [sorted((str(c.row), c.column, c.formula) for c in found.conversions) for found in (one, other)]
    assert lines[0] == lines[1]


@examples(5)
@given(
    tables(), st.sampled_from(",;\t"), st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]), st.sampled_from(["\n", "\r\n", "\r"])
)
def test_a_table_that_was_written_as_text_is_the_same(tmp_path_factory, table, separator, encoding, end):
    path = tmp_path_factory.getbasetemp() / "law.csv"
    table.to_csv(path, index=False, sep=separator, encoding=encoding, lineterminator=end)
    same(read(table), read(path), rows="from the file")


@examples(4)
@given(tables())
def test_a_table_that_was_written_to_excel_is_the_same(tmp_path_factory, table):
    path = tmp_path_factory.getbasetemp() / "law.xlsx"
    table.to_excel(path, index=False)
    same(read(table), read(path), rows="from the file")


@examples(4)
@given(tables())
def test_what_was_read_can_be_written_and_read_again(tmp_path_factory, table):
    """The table of the trials as printed: effects before they were aligned, intervals of doses as intervals."""
    first = read(table)
    again = first.table.rename(columns={"effect": "aligned", "effect_reported": "effect", "variance": "at_mean"})
    again = again.rename(columns={"variance_reported": "variance"}).drop(
        columns=["row", "aligned", "at_mean", "ci_low", "ci_high"], errors="ignore"
    )
    for dose in [name for name in DOSES if f"{name}_low" in again]:
        low, high = again.pop(f"{dose}_low"), again.pop(f"{dose}_high")
        again[dose] = [
            number if pd.isna(a) else f"≥{a!r}" if np.isinf(b) else f"<{b!r}" if a == 0 else f"{a!r}-{b!r}"
            for number, a, b in zip(again[dose], low, high, strict=True)
        ]
    path = tmp_path_factory.getbasetemp() / "again.csv"
    again.drop(columns="se", errors="ignore").to_csv(path, index=False)
    second = read(path)
    np.testing.assert_allclose(second.table["effect"], first.table["effect"], rtol=1e-9)
    for dose in filter(first.table.columns.__contains__, DOSES):
        np.testing.assert_allclose(second.bounds(dose), first.bounds(dose), rtol=1e-12)


@examples(5)
@given(tables(["se", "interval", "arms"]), st.sampled_from([0.01, 2.54, 1000.0]))
def test_units_of_the_outcome(table, factor):
    """A mean difference and its standard error follow the unit of the outcome; a standardised one does not know it."""
    table = table.assign(comparator="sham")
    own = ["mean_active", "sd_active", "mean_control", "sd_control"]
    own += ["effect", "se", "ci_low", "ci_high"] if table["measure"][0] == "MD" else []
    scaled = table.copy()
    for name in filter(scaled.columns.__contains__, own):
        scaled[name] = [None if pd.isna(value) else value * factor for value in scaled[name]]
    times = factor if table["measure"][0] == "MD" else 1.0
    one, other = read(table).table, read(scaled).table
    np.testing.assert_allclose(other["effect"], one["effect"] * times, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(other["variance"], one["variance"] * times**2, rtol=1e-9)


@examples(5)
@given(tables())
def test_a_score_that_is_turned_is_the_same_benefit(table):
    turned = table.assign(direction=table["direction"].map({"higher": "lower", "lower": "higher"}))
    np.testing.assert_allclose(read(turned).table["effect"], -read(table).table["effect"])


@examples(6)
@given(tables(), st.data())
def test_rows_are_kept_or_named(table, data):
    empty = data.draw(
        st.lists(st.tuples(st.integers(0, len(table) - 1), st.sampled_from(["direction", "measure", "comparator"])))
    )
    for k, name in empty:
        table.at[k, name] = None
    try:
        kept = sd.read_trials(table, missing="drop")
    except sd.TrialsError as error:  # which names the cells of all rows
        problems = error.problems
    else:
        problems = None
    if problems is not None:
        assert set(range(len(table))) <= {problem.row for problem in problems}
        return
    named = {problem.row for problem in kept.dropped}
    assert set(kept.table["row"]) | named == set(range(len(table)))
    assert not set(kept.table["row"]) & named
    assert {k for k, _ in empty} <= named
    assert named == {problem.row for problem in read(table).gaps()}


CELLS = st.one_of(
    st.text(max_size=8),
    st.floats(),
    st.integers(-(10**40), 10**40),
    st.booleans(),
    st.none(),
    st.dates(),
    st.sampled_from(
        [
            "=1+1",
            "1,5",
            "12-15",
            "≥21",
            "15-Dec",
            "<0.05",
            "1e400",
            "-0",
            "1+",
            "\0",
            "\u202e",
            "NA",
            "0,001",
            "p < .05",
            "1.234,5",
        ]
    ),
    st.sampled_from([level for column in COLUMNS.values() for level in column.levels]),
)


@examples(12)
@given(
    st.lists(st.sampled_from([*COLUMNS, "my column"]), min_size=1, max_size=14, unique=True),
    st.integers(1, 3),
    st.sampled_from([".", ","]),
    st.data(),
)
def test_no_cell_of_any_column_breaks_the_reader(names, rows, decimal, data):
    table = {name: data.draw(st.lists(CELLS, min_size=rows, max_size=rows)) for name in names}
    frame = pd.DataFrame(table, dtype=object)
    stated = {"direction": "higher", "measure": "SMD", "comparator": "sham", "design": "parallel"}
    try:
        found = read(frame, decimal=decimal, **{name: value for name, value in stated.items() if data.draw(st.booleans())})
    except sd.TrialsError as error:
        found, refused = None, error
    if found is None:
        assert refused.problems or str(refused)
        assert all(problem.row in (None, *range(rows)) for problem in refused.problems)
        return
    blank = sum(all(cell is None or str(cell).strip() in ("", "NA", "nan") for cell in row) for row in frame.to_numpy().tolist())
    assert rows - blank <= len(found) <= rows
    assert len(found.audit()) >= len(found.conversions)


@examples(4)
@given(
    st.lists(
        st.lists(st.text(string.printable.replace("\x0b", "").replace("\x0c", ""), max_size=6), min_size=1, max_size=5),
        min_size=1,
        max_size=5,
    )
)
def test_any_sheet_is_a_table_or_an_error(tmp_path_factory, rows):
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    content = io.BytesIO()
    book.save(content)
    path = tmp_path_factory.getbasetemp() / "any.xlsx"
    path.write_bytes(content.getvalue())
    with pytest.raises(sd.TrialsError):  # none has a direction, a measure, a comparator and a design
        sd.read_trials(path)
