"""Bad tables: sound ones with faults planted at random, as frames, text files and Excel files. Every planted fault is named, and
no other cell; without faults, every value arrives."""

import csv
import datetime
import io
import time
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import openpyxl
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import stimdose as sd
from stimdose.columns import COLUMNS

many = settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
some = settings(many, max_examples=20)

NUMBERS = ("effect", "se", "baseline_severity", "n_active")
DOSES = ("frequency_hz", "session_min", "sessions", "total_pulses", "intensity_percent_rmt")
LEVELS = ("direction", "measure", "comparator", "design", "phase")
TEXTS = ("study", "site", "note", "my column")
OPTIONAL = ("baseline_severity", "n_active", *DOSES, "phase", "site", "note", "my column")

NO_NUMBERS = [
    "10 Hz",
    "20min",
    "95%",
    "120 %",
    "1,200 pulses",
    "1,200",
    "1 200",
    "1'200",
    "1\u00a0200",
    "0,5",
    "x",
    "😀",
    "½",
    "٣",
]
NO_NUMBERS += ["inf", "-inf", "Infinity", "1e999", "NAN", "n/a", "null", "None", "-", "?", "0.5*", "(0.5)", "0.5;0.6", "#DIV/0!"]
NO_NUMBERS += ["15-Dec", "Dec-15", "2024-12-15", "12/15/2024", "20. Okt", "True", "=1+1", "0x10", "1.2.3", "x" * 5000, "about 20"]
NO_DOSES = [*NO_NUMBERS, "15-12", "-5", "-5-10", "0-", "≥0", "<0", "12-15 min", "12,5-15"]
NO_LEVELS = ["highre", "5", "0,5", "😀", "shams", "higher lower", "2024-12-15", "sham;", "=A1", "x" * 5000]
OBJECTS = [b"10", [1, 2], (1,), {1: 2}, np.array([1.5]), True, float("inf"), -float("inf"), 1j, datetime.time(10, 20)]
DATES = [datetime.datetime(2024, 12, 15), datetime.datetime(2015, 12, 1)]
COLLECTIONS = [b"Ada", ["Ada"], ("Ada",), {"Ada"}, np.array(["Ada"])]
SPACES = ["", " ", "\u00a0", "\u200b", "\ufeff", "\t", "\u202f", "\u2060 "]
EMPTY = ["", " ", "NA", "N/A", "nan", "\u200b"]
NAMES = [
    "Müller",
    "李明",
    "O’Brien, J.",
    '"Ada"',
    "Ada; Bo",
    "😀",
    "Иванов\nПетров",
    "a" * 3000,
    "−5",
    "0,5",
    "1.200",
    "15-Dec",
    "95%",
]


@dataclass
class Planted:
    """A table as it is to be typed in, what is true of it, and the cells with faults in it."""

    cells: pd.DataFrame
    truth: pd.DataFrame
    faults: list[tuple[int, str]] = field(default_factory=list)
    decimal: str = "."


def printed(value: object, decimal: str) -> object:
    return value.replace(".", decimal) if isinstance(value, str) else value


@st.composite
def planted(draw, kind: str, decimal: str = ".") -> Planted:
    """kind: frame, text or excel. Cells are text, or numbers in frames and Excel files."""
    chosen = draw(st.lists(st.sampled_from(OPTIONAL), unique=True))
    names = draw(st.permutations(["study", *LEVELS[:4], "effect", "se", *chosen]))
    rows = draw(st.integers(1, 5))
    cells = pd.DataFrame(index=range(rows), columns=names, dtype=object)
    truth = cells.copy()
    for name in names:
        for k in range(rows):
            cells.at[k, name], truth.at[k, name] = draw(sound_cell(name, k, kind, decimal))
    faults = draw(st.lists(st.tuples(st.integers(0, rows - 1), st.sampled_from(names)), max_size=4, unique=True))
    faults = [(k, name) for k, name in faults if name not in TEXTS or kind == "frame"]
    for k, name in faults:
        cells.at[k, name] = draw(faulty_cell(name, kind, decimal))
    return Planted(cells, truth, faults, decimal)


@st.composite
def sound_cell(draw, name: str, k: int, kind: str, decimal: str) -> tuple[object, object]:
    """A cell, and what is read from it."""
    space, after = draw(st.sampled_from(SPACES)), draw(st.sampled_from(SPACES))
    if name in TEXTS:
        text = draw(st.sampled_from(NAMES)) + {"study": f" {k}", "my column": "x"}.get(name, "")
        return f"{space}{text}{after}", " ".join(text.split()) if name in COLUMNS else text
    if name in LEVELS:
        level = draw(
            st.sampled_from([level for level in COLUMNS[name].levels if level not in ("within-group", "participant", "none")])
        )
        return space + draw(st.sampled_from([level, level.upper(), level.lower()])) + after, level
    value = draw(st.integers(1, 9999)) / 100
    if name not in ("effect", "se") and draw(st.booleans()) and draw(st.booleans()):
        return draw(st.sampled_from(EMPTY)), None
    if name in DOSES and draw(st.booleans()):
        low, high = f"{value}", f"{value + 1:.2f}"
        text, truth = draw(
            st.sampled_from(
                [(f"{low}-{high}", (value, float(high))), (f"≥ {low}", (value, np.inf)), (f"<{low}", (0.0, value)), (low, value)]
            )
        )
        return space + printed(text, decimal) + after, truth
    if name == "n_active":
        value += 1
    as_number = kind != "text" and draw(st.booleans())
    return (value if as_number else space + printed(f"{value:.2f}", decimal) + after), round(value, 2) if not as_number else value


def faulty_cell(name: str, kind: str, decimal: str) -> st.SearchStrategy:
    if name in TEXTS:
        return st.sampled_from(COLLECTIONS)
    if name in LEVELS:
        return st.sampled_from(NO_LEVELS + (COLLECTIONS if kind == "frame" else []))
    wrong = NO_DOSES if name in DOSES else NO_NUMBERS
    if decimal == ",":  # these would be numbers
        wrong = [text for text in wrong if text not in ("0,5", "1,200", "12,5-15")] + ["0.5", "1.200", "-1.5", "1.200,5"]
    if COLUMNS[name].low == 0:
        wrong = [*wrong, "-1"]
    if name in ("session_min", "sessions", "frequency_hz", "intensity_percent_rmt"):
        wrong = [*wrong, "45580"]
    return st.sampled_from(wrong + (DATES if kind != "text" else []) + (OBJECTS if kind == "frame" else []))


def check(source, table: Planted, labels: list) -> None:
    """labels: of the rows, as problems name them."""
    found = read(source, table.decimal)
    if isinstance(found, sd.TrialsError):
        named = Counter((problem.row, problem.column) for problem in found.problems)
        assert named == Counter((labels[k], name) for k, name in table.faults)
        return
    assert table.faults == []
    assert list(found.table["row"]) == labels
    for name in table.truth:
        for k, truth in enumerate(table.truth[name]):
            assert value_of(found.table, k, name) == truth, (k, name)


def read(source, decimal: str = ".") -> sd.Trials | sd.TrialsError:
    """What is read, or the error, which can be printed."""
    try:
        return sd.read_trials(source, decimal=decimal)
    except sd.TrialsError as error:
        return error if str(error) else None


def value_of(found: pd.DataFrame, k: int, name: str) -> object:
    value = found["effect_reported" if name == "effect" else name][k]
    if pd.isna(value) and f"{name}_low" in found and not pd.isna(found[f"{name}_low"][k]):
        return found[f"{name}_low"][k], found[f"{name}_high"][k]
    return None if pd.isna(value) else value


@many
@given(st.data(), st.sampled_from([".", ","]))
def test_frames(data, decimal):
    table = data.draw(planted("frame", decimal))
    frame = table.cells.copy()
    labels = data.draw(st.sampled_from([list(range(len(frame))), [7] * len(frame), [f"r{k}" for k in range(len(frame))]]))
    frame.index = labels
    untouched = [name for name in frame if name not in {name for _, name in table.faults}]
    for name in untouched:
        texts = all(isinstance(cell, str) for cell in frame[name])
        dtypes = ["object", "string", "category", "string[pyarrow]"] if texts else ["object", "category"]
        dtypes += ["Float64", "float64"] if all(isinstance(cell, float) for cell in frame[name]) else []
        frame[name] = frame[name].astype(data.draw(st.sampled_from(dtypes)))
    before = frame.copy(deep=True)
    check(frame, table, labels if len(set(labels)) == len(labels) else list(range(len(frame))))
    assert all(frame[name].dtype == before[name].dtype for name in frame)


@many
@given(st.data(), st.sampled_from([".", ","]), st.sampled_from(",;\t"))
def test_text_files(tmp_path_factory, data, decimal, separator):
    table = data.draw(planted("text", decimal))
    end = data.draw(st.sampled_from(["\n", "\r\n", "\r"]))
    out = io.StringIO()
    # before Python 3.13 a line feed went unquoted where lines end otherwise
    quoting = csv.QUOTE_ALL if end == "\r" else csv.QUOTE_MINIMAL
    writer = csv.writer(out, delimiter=separator, lineterminator=end, quoting=quoting)
    declared, trailing = data.draw(st.booleans()), data.draw(st.integers(0, 2))
    blank = data.draw(st.lists(st.booleans(), min_size=len(table.cells) + 1, max_size=len(table.cells) + 1))
    if declared:
        out.write(f"sep={separator}{end}")
    line, labels = 1 + declared, []
    for is_blank, cells in zip(blank, [list(table.cells), *table.cells.to_numpy().tolist()], strict=True):
        if is_blank:
            writer.writerow(["", " "])
        writer.writerow([*cells, *[""] * trailing])
        labels.append(line + is_blank)
        line = labels[-1] + 1 + sum(cell.count("\n") for cell in cells)
    encoding = data.draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
    path = tmp_path_factory.getbasetemp() / "bad.csv"
    path.write_bytes(out.getvalue().encode(encoding))
    check(path, table, labels[1:])


@some
@given(st.data(), st.sampled_from([".", ","]))
def test_excel_files(tmp_path_factory, data, decimal):
    table = data.draw(planted("excel", decimal))
    book = openpyxl.Workbook()
    book.active.append(list(table.cells))
    for cells in table.cells.to_numpy().tolist():
        book.active.append(cells)
    rows = len(table.cells)
    name = data.draw(st.sampled_from([name for name in table.cells if name not in (*LEVELS, "effect")]))
    top = table.cells[name][0]
    if rows > 1 and data.draw(st.booleans()) and not (isinstance(top, str) and top.strip() == ""):
        column = table.cells.columns.get_loc(name) + 1
        book.active.merge_cells(start_row=2, end_row=rows + 1, start_column=column, end_column=column)
        table.faults = sorted({*table.faults, *((k, name) for k in range(1, rows))})
    path = tmp_path_factory.getbasetemp() / "bad.xlsx"
    book.save(path)
    check(path, table, list(range(2, rows + 2)))


HEADERS = [5, 0.5, "", "  ", None, np.nan, pd.NaT, True, datetime.date(2024, 1, 1), "x" * 5000, "😀", "a\nb", ("a", 1)]


@some
@given(st.lists(st.sampled_from(HEADERS), min_size=1, max_size=3), st.sampled_from([None, "x", 0.5]))
def test_names_of_columns_that_are_no_text(names, cell):
    frame = sound().astype(object)
    more = pd.DataFrame([[cell] * len(names)] * len(frame))
    frame = pd.concat([frame, more], axis=1)
    frame.columns = pd.Index([*sound().columns, *names], dtype=object, tupleize_cols=False)
    found = read(frame)
    if isinstance(found, sd.TrialsError):
        assert ("a", 1) in names or len({str(name) for name in names}) < len(names)
        assert all("more than once" in problem.rule or "is a tuple" in problem.rule for problem in found.problems)
    else:
        assert len(found) == len(frame)


def sound(rows: int = 3) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "study": [f"Trial {k}" for k in range(rows)],
            "direction": "higher",
            "measure": "SMD",
            "comparator": "sham",
            "design": "parallel",
            "effect": np.arange(rows) % 100 / 100,
            "se": 0.25,
            "frequency_hz": 10.0,
            "sessions": [["10", "12-15", "≥21"][k % 3] for k in range(rows)],
            "phase": "acute",
            "age": 64.5,
        }
    )


def contents() -> list[tuple[str, bytes]]:
    text, book = sound().to_csv(index=False), io.BytesIO()
    sound().to_excel(book, index=False)
    encodings = [text.encode(), text.encode("utf-16"), text.replace(",", ";").encode("utf-8-sig")]
    return [*[(".csv", content) for content in encodings], (".xlsx", book.getvalue())]


CONTENTS = contents()


@many
@given(
    st.sampled_from(CONTENTS),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 3), st.binary(max_size=4)), min_size=1, max_size=4),
    st.booleans(),
)
def test_damaged_files(tmp_path_factory, file, changes, cut):
    suffix, content = file
    for position, length, new in changes:
        position %= len(content)
        content = content[:position] + new + content[position + length :]
    path = tmp_path_factory.getbasetemp() / f"damaged{suffix}"
    path.write_bytes(content[: len(content) // 2] if cut else content)
    found = read(path)
    assert isinstance(found, sd.TrialsError) or len(found)


@pytest.fixture(scope="module")
def large() -> pd.DataFrame:
    return sound(10_000)


@pytest.mark.parametrize("suffix", [".csv", ".xlsx", None])
def test_ten_thousand_rows(tmp_path, large, suffix):
    path = tmp_path / f"large{suffix}"
    if suffix:
        large.to_csv(path, index=False) if suffix == ".csv" else large.to_excel(path, index=False)
    start = time.perf_counter()
    found = sd.read_trials(path if suffix else large)
    assert time.perf_counter() - start < 20  # a few seconds at most; quadratic work takes minutes
    np.testing.assert_array_equal(found.table["effect"], large["effect"])
    assert found.table["row"].iloc[-1] == (10_001 if suffix else 9_999)


@pytest.mark.parametrize(
    "column", [{"se": "x"}, {"sessions": "15-Dec"}, {"frequency_hz": 45580.0}, {"direction": "up"}, {"se": None}, {"se": -1}]
)
def test_ten_thousand_faults(large, column):
    start = time.perf_counter()
    with pytest.raises(sd.TrialsError) as caught:
        sd.read_trials(large.assign(**column))
    assert time.perf_counter() - start < 20
    assert len(caught.value.problems) == 10_000
    lines = str(caught.value).splitlines()
    assert len(lines) == 52
    assert lines[-1].startswith("  - and 9,950 more")
