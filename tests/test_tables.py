"""Reading tables: numbers and doses as printed, and files of every kind, sound or not."""

import csv
import datetime
import io

import numpy as np
import openpyxl
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stimdose as sd
from stimdose.doses import parse_dose, parse_number
from stimdose.tables import read_table

quick = settings(max_examples=100, deadline=None, derandomize=True)
INFINITY = float("inf")
HEADER = ["study", "direction", "measure", "comparator", "design", "effect", "se", "sessions"]
ROW = ["Ada 2003", "higher", "SMD", "sham", "parallel", "0.5", "0.2", "12-15"]
OTHER = ["Bo 2004", "lower", "SMD", "sham", "parallel", "-0.25", "0.3", "10"]


def text_of(*lines, separator=",", end="\n") -> str:
    out = io.StringIO()
    csv.writer(out, delimiter=separator, lineterminator=end).writerows(lines)
    return out.getvalue()


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def write_excel(path, *lines, sheets=("Sheet",)):
    book = openpyxl.Workbook()
    book.active.title = sheets[0]
    for name in sheets[1:]:
        book.create_sheet(name)
    for line in lines:
        book.active.append(line)
    book.save(path)
    return path


# Numbers and doses ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "low", "high"),
    [
        ("10", 10, 10),
        (" 10.5 ", 10.5, 10.5),
        (".5", 0.5, 0.5),
        ("7.", 7, 7),
        ("1e3", 1000, 1000),
        ("0", 0, 0),
        ("12-15", 12, 15),
        ("12 - 15", 12, 15),
        ("12–15", 12, 15),
        ("12—15", 12, 15),
        ("12‐15", 12, 15),
        ("12−15", 12, 15),
        ("12 to 15", 12, 15),
        ("0.5-1.5", 0.5, 1.5),
        ("≥21", 21, INFINITY),
        (">= 21", 21, INFINITY),
        (">21", 21, INFINITY),
        ("21+", 21, INFINITY),
        ("<5", 0, 5),
        ("≤ 5", 0, 5),
        ("<=5", 0, 5),
    ],
)
def test_doses_as_printed(cell, low, high):
    assert parse_dose(cell) == (low, high)


@pytest.mark.parametrize(
    ("cell", "rule"),
    [
        ("about 20", "is not a dose"),
        ("12,5", "is not a dose"),
        ("1,200", "is not a dose"),
        ("1/5/10", "is not a dose"),
        ("10 20", "is not a dose"),
        ("1_0", "is not a dose"),
        ("0x10", "is not a dose"),
        ("10 Hz", "is not a dose"),
        ("-5-10", "is not a dose"),
        ("inf", "is not a dose"),
        ("-", "is not a dose"),
        ("1e999", "is not a number"),
        ("15-12", "ends are not in order"),
        ("12-12", "ends are not in order"),
        ("<0", "holds no dose"),
        ("≥0", "holds every dose"),
        ("0+", "holds every dose"),
    ],
)
def test_what_is_not_a_dose_says_which_rule_it_breaks(cell, rule):
    with pytest.raises(ValueError, match=rule):
        parse_dose(cell)


DATES = ["12-Dec", "Dec-15", "15-Dec-24", "2024-12-15", "2024-12-15 00:00:00", "12/15/2024", "15.12.2024"]
DATES += [datetime.date(2024, 12, 15), datetime.datetime(2024, 12, 15, 3), pd.Timestamp("2024-12-15")]


@pytest.mark.parametrize("cell", DATES, ids=str)
def test_a_date_is_named_as_the_trap_of_spreadsheets(cell):
    for parse in (parse_dose, parse_number):
        with pytest.raises(ValueError, match="a spreadsheet turned"):
            parse(cell)


@pytest.mark.parametrize(("cell", "value"), [("-0.5", -0.5), ("−0.5", -0.5), ("+1", 1), ("1e-3", 0.001), ("-.5", -0.5), (2, 2)])
def test_numbers(cell, value):
    assert parse_number(cell) == value


@pytest.mark.parametrize("cell", ["", "0,5", "<0.1", "95%", "nan", "inf", "1e999", "1_0", "True", "0.5*", "(0.5)", "٣", "½"])
def test_what_is_not_a_number(cell):
    with pytest.raises(ValueError, match="is not a number"):
        parse_number(cell)


@quick
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_survives_print(value):
    assert parse_number(repr(value)) == value


@quick
@given(st.integers(0, 10**6), st.integers(1, 10**6), st.sampled_from(["-", " - ", "–", " to ", "—"]))
def test_intervals_of_any_size(low, width, dash):
    assert parse_dose(f"{low}{dash}{low + width}") == (low, low + width)
    assert parse_dose(f"≥{width}") == (width, INFINITY)
    assert parse_dose(f"<{width}") == (0, width)


# Files ------------------------------------------------------------------------------------------------------------------------


def read(source, **settings):
    return sd.read_trials(source, **settings)


def same_table(found: sd.Trials, other: sd.Trials, but: tuple[str, ...] = ("row",)) -> None:
    left, right = (trials.table.drop(columns=list(but)) for trials in (found, other))
    pd.testing.assert_frame_equal(left, right[list(left)], check_dtype=False, check_exact=True)


@pytest.fixture
def plain(tmp_path):
    return read(write(tmp_path / "plain.csv", text_of(HEADER, ROW, OTHER)))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(text_of(HEADER, ROW, OTHER, end="\r\n").encode(), id="Windows line ends"),
        pytest.param(text_of(HEADER, ROW, OTHER, end="\r").encode(), id="old Mac line ends"),
        pytest.param("\ufeff".encode() + text_of(HEADER, ROW, OTHER).encode(), id="byte order mark"),
        pytest.param("\ufeff".encode() + text_of(HEADER, ROW, OTHER, end="\r\n").encode(), id="as Excel writes it"),
        pytest.param(text_of(HEADER, ROW, OTHER).rstrip("\n").encode(), id="no last line end"),
        pytest.param(text_of([f" {name} " for name in HEADER], [f"  {cell} " for cell in ROW], OTHER).encode(), id="spaces"),
        pytest.param(text_of([*HEADER, ""], [*ROW, ""], [*OTHER, " "]).encode(), id="trailing commas"),
        pytest.param(text_of(HEADER, [cell.upper() if cell in ROW[1:5] else cell for cell in ROW], OTHER).encode(), id="case"),
    ],
)
def test_the_same_table_in_other_bytes(tmp_path, plain, content):
    found = read(write(tmp_path / "t.csv", content))
    same_table(found, plain)
    assert list(found.table["row"]) == [2, 3]


def test_empty_lines_are_passed_over_and_lines_keep_their_number(tmp_path, plain):
    lines = [[], HEADER, [], ROW, [""] * 8, [" ", "NA", *[""] * 6], OTHER, [], []]
    found = read(write(tmp_path / "t.csv", text_of(*lines)))
    same_table(found, plain)
    assert list(found.table["row"]) == [4, 7]
    excel = read(write_excel(tmp_path / "t.xlsx", *lines))
    same_table(excel, plain)
    assert list(excel.table["row"]) == [4, 7]


def test_a_cell_with_line_breaks_counts_as_its_lines(tmp_path):
    noted = [*HEADER, "note"], [*ROW, "one\ntwo\nthree"], [*OTHER[:6], "-1", "10", ""]
    with pytest.raises(sd.TrialsError) as caught:
        read(write(tmp_path / "t.csv", text_of(*noted)))
    assert [problem.row for problem in caught.value.problems] == [5]


def test_short_lines_end_in_empty_cells(tmp_path):
    """Excel leaves out the last commas of a line where nothing follows."""
    found = read(write(tmp_path / "t.csv", text_of(HEADER, ROW[:7], OTHER)))
    assert np.isnan(found.bounds("sessions")[0][0])
    assert [problem.row for problem in found.gaps(("sessions",))] == [2]


def test_names_in_any_script(tmp_path):
    names = ["Müller 2010", "Gómez-Núñez 2011", "李明 2019", "Şahin 2020", "O’Brien, J. 2001", "Иванов 2015"]
    lines = [[name, *ROW[1:]] for name in names]
    found = read(write(tmp_path / "t.csv", text_of(HEADER, *lines)))
    assert list(found.table["study"]) == names
    assert list(read(write_excel(tmp_path / "t.xlsx", HEADER, *lines)).table["study"]) == names


def test_one_name_in_two_encodings_of_its_accent_is_one_study(tmp_path):
    found = read(write(tmp_path / "t.csv", text_of(HEADER, ["M\u00fcller", *ROW[1:]], ["Mu\u0308ller", *OTHER[1:]])))
    assert found.table["study"].nunique() == 1


def test_a_space_that_does_not_break_is_a_space(tmp_path):
    found = read(write(tmp_path / "t.csv", text_of(HEADER, ["Ada\u00a02003", *ROW[1:]], ["Ada  2003", *OTHER[1:]])))
    assert list(found.table["study"]) == ["Ada 2003", "Ada 2003"]


def test_excel_numbers_text_and_formats(tmp_path, plain):
    typed = ["Ada 2003", "higher", "SMD", "sham", "parallel", 0.5, 0.2, "12-15"]
    other = ["Bo 2004", "lower", "SMD", "sham", "parallel", -0.25, 0.3, 10]
    same_table(read(write_excel(tmp_path / "t.xlsx", HEADER, typed, other)), plain)
    same_table(read(write_excel(tmp_path / "t.XLSX", HEADER, typed, other)), plain)


def test_excel_dates_in_dose_and_number_cells(tmp_path):
    typed = ["Ada 2003", "higher", "SMD", "sham", "parallel", datetime.datetime(2024, 12, 1), 0.2, datetime.date(2024, 12, 15)]
    with pytest.raises(sd.TrialsError) as caught:
        read(write_excel(tmp_path / "t.xlsx", HEADER, typed))
    assert [(problem.row, problem.column) for problem in caught.value.problems] == [(2, "effect"), (2, "sessions")]
    assert all("spreadsheet" in problem.rule for problem in caught.value.problems)


def test_excel_error_values_are_faults_and_not_empty_cells(tmp_path):
    typed = ["Ada 2003", "higher", "SMD", "sham", "parallel", "#DIV/0!", "#REF!", "#N/A"]
    with pytest.raises(sd.TrialsError) as caught:
        read(write_excel(tmp_path / "t.xlsx", HEADER, typed))
    assert [problem.column for problem in caught.value.problems] == ["effect", "se", "sessions"]


def test_excel_sheets_by_number_and_name(tmp_path, plain):
    book = openpyxl.Workbook()
    book.active.append(["read me"])
    page = book.create_sheet("Trials")
    for line in (HEADER, ROW, OTHER):
        page.append(line)
    book.save(tmp_path / "t.xlsx")
    same_table(read(tmp_path / "t.xlsx", sheet=1), plain)
    same_table(read(tmp_path / "t.xlsx", sheet="Trials"), plain)
    for sheet in ("Studies", 2, -1):
        with pytest.raises(sd.TrialsError, match=r"has no sheet .*there are Sheet, Trials"):
            read(tmp_path / "t.xlsx", sheet=sheet)


def test_a_frame_with_gaps_that_turned_whole_numbers_into_floats():
    frame = pd.DataFrame([ROW, OTHER], columns=HEADER).assign(study=[2019.0, 2020.0], arm=[1.0, np.nan])
    found = read(frame)
    assert list(found.table["study"]) == ["2019", "2020"]
    assert list(found.table["arm"]) == ["1", None]


@pytest.mark.parametrize(
    "empty", [None, np.nan, pd.NA, pd.NaT, np.float32("nan"), np.datetime64("NaT", "ns"), "", " ", "NA", "N/A", "nan"], ids=repr
)
def test_what_counts_as_an_empty_cell(empty):
    frame = pd.DataFrame([ROW, OTHER], columns=HEADER, dtype=object)
    frame.loc[0, "sessions"] = empty
    found = read(frame)
    assert [problem.row for problem in found.gaps(("sessions",))] == [0]


@pytest.mark.parametrize("word", ["None", "none", "NONE"])
def test_the_comparator_none_is_a_word(word):
    frame = pd.DataFrame([ROW], columns=HEADER).assign(comparator=word, design="within-group", cotherapy="None")
    found = read(frame)
    assert list(found.table["comparator"]) == ["none"]
    assert list(found.table["cotherapy"]) == ["None"]


@pytest.mark.parametrize("dtype", ["float32", "float64", "Float64", "string", "object", "category", "Int64"], ids=str)
def test_frames_of_any_dtype(dtype):
    frame = pd.DataFrame([OTHER], columns=HEADER)
    frame["sessions"] = pd.Series([10]).astype(dtype)
    assert list(read(frame).table["sessions"]) == [10.0]


def test_rows_of_a_frame_are_named_by_its_index():
    frame = pd.DataFrame([ROW, OTHER], columns=HEADER, index=["first", "second"]).assign(se=[-1, 0.2])
    with pytest.raises(sd.TrialsError, match="row first, study 'Ada 2003', se = '-1'"):
        read(frame)


def test_reading_leaves_the_frame_alone():
    frame = pd.DataFrame([ROW, OTHER], columns=HEADER)
    before = frame.copy(deep=True)
    read(frame, phase="acute")
    pd.testing.assert_frame_equal(frame, before)


def test_dates_in_other_columns_stay_as_text(tmp_path):
    lines = [*HEADER, "extracted on"], [*ROW, datetime.datetime(2024, 12, 15)]
    found = read(write_excel(tmp_path / "t.xlsx", *lines))
    assert list(found.table["extracted on"]) == ["2024-12-15 00:00:00"]


def test_labels_that_look_like_numbers_stay_labels():
    frame = pd.DataFrame([ROW, OTHER], columns=HEADER)
    frame["code"], frame["register"], frame["year"] = ["007", "7"], ["12345678901234567", "1"], ["2003", "2004"]
    found = read(frame).table
    assert list(found["code"]) == ["007", "7"]
    assert list(found["register"]) == ["12345678901234567", "1"]
    assert list(found["year"]) == [2003, 2004]


# Files that are no table ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"", "it has no rows"),
        ("t.csv", b"\n\n \n", "it has no rows"),
        ("t.csv", b"\xef\xbb\xbf", "it has no rows"),
        ("t.csv", text_of(HEADER), "it has no rows"),
        ("t.csv", text_of(HEADER, [""] * 8), "it has no rows"),
        ("t.csv", text_of(HEADER, ROW, separator=";"), "separated by semicolons; save it with commas"),
        ("t.csv", text_of(HEADER, ROW, separator=";").replace(".", ","), "separated by semicolons"),
        ("t.csv", "\r\n" + text_of(HEADER, ROW, separator=";", end="\r\n"), "separated by semicolons"),
        ("t.tsv", text_of(HEADER, ROW, separator="\t"), "separated by tabs"),
        ("t.csv", text_of(HEADER, ["王 2019", *ROW[1:]]).encode("gb18030"), "not UTF-8 text; save it as"),
        ("t.csv", text_of(HEADER, ["Müller", *ROW[1:]]).encode("latin-1"), "not UTF-8 text"),
        ("t.csv", text_of(HEADER, ROW).encode("utf-16"), "not UTF-8 text"),
        ("t.csv", bytes(range(256)) * 4, "not UTF-8 text"),
        ("t.csv", b"study,effect\n\x00\x01\x02,\x00\n", "it is not text"),
        ("t.csv", text_of(HEADER, ROW) + '"Bo 2004,higher\nand so on\n', "line 3: unexpected end of data"),
        ("t.xlsx", text_of(HEADER, ROW), "cannot be read as a table"),
        ("t.xlsx", b"", "cannot be read as a table"),
        ("t.xlsx", bytes(range(256)) * 4, "cannot be read as a table"),
        ("t.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "save it as .xlsx or as CSV"),
        ("t.ods", b"PK", "save it as .xlsx or as CSV"),
    ],
)
def test_a_file_that_is_no_table_says_why(tmp_path, name, content, message):
    with pytest.raises(sd.TrialsError, match=message):
        read(write(tmp_path / name, content))


def test_no_file_and_a_folder(tmp_path):
    for name in ("absent.csv", "absent.xlsx"):
        with pytest.raises(sd.TrialsError, match=f"there is no file .*{name}"):
            read(tmp_path / name)
        with pytest.raises(sd.TrialsError, match="there is no file"):
            read(str(tmp_path / name))
    with pytest.raises(sd.TrialsError, match="is a folder"):
        read(tmp_path)
    (tmp_path / "folder.xlsx").mkdir()
    with pytest.raises(sd.TrialsError, match="is a folder"):
        read(tmp_path / "folder.xlsx")


def test_an_excel_file_without_rows(tmp_path):
    for lines in ((), (HEADER,)):
        with pytest.raises(sd.TrialsError, match="it has no rows"):
            read(write_excel(tmp_path / "t.xlsx", *lines))


@pytest.mark.parametrize("frame", [pd.DataFrame(), pd.DataFrame(columns=HEADER), pd.DataFrame({"study": [None, ""]})])
def test_a_frame_without_rows(frame):
    with pytest.raises(sd.TrialsError, match="it has no rows"):
        read(frame)


def test_columns_that_stand_twice_are_named(tmp_path):
    lines = [[*HEADER, "se ", "Note", "Note"], [*ROW, "0.9", "a", "b"]]
    frame = pd.DataFrame([lines[1]], columns=lines[0])
    for source in (write(tmp_path / "t.csv", text_of(*lines)), write_excel(tmp_path / "t.xlsx", *lines), frame):
        with pytest.raises(sd.TrialsError, match="stands more than once") as caught:
            read(source)
        assert [problem.column for problem in caught.value.problems] == ["se", "Note"]


@pytest.mark.parametrize("name", ["row", "effect_reported", "sessions_low", "frequency_hz_high"])
def test_a_column_of_a_name_that_trials_adds_is_refused(name):
    """Silently overwritten, dropped or taken for the bounds of a dose otherwise."""
    with pytest.raises(sd.TrialsError, match=f"{name}: stimdose adds a column of this name"):
        read(pd.DataFrame([[*ROW, "3"]], columns=[*HEADER, name]))


def test_an_aligned_table_is_not_aligned_again(plain):
    with pytest.raises(sd.TrialsError, match="read the table as extracted"):
        read(plain.table)


def test_lines_that_are_too_long_are_all_named(tmp_path):
    """An unquoted comma shifts every cell after it."""
    lines = [[*HEADER], ROW, ["Bo", "2004", *OTHER[1:]], OTHER, [*OTHER, "", "x"]]
    with pytest.raises(sd.TrialsError, match="quote cells that hold commas") as caught:
        read(write(tmp_path / "t.csv", "\n".join(",".join(line) for line in lines)))
    assert [problem.row for problem in caught.value.problems] == [3, 5]


def test_a_column_without_a_name_is_kept(tmp_path):
    found = read(write(tmp_path / "t.csv", text_of(["", *HEADER], ["1", *ROW], ["2", *OTHER])))
    assert list(found.table["unnamed_1"]) == [1, 2]


def table_or_error(source):
    try:
        return read_table(source)
    except sd.TrialsError as error:
        return error


@quick
@given(st.binary(max_size=300), st.sampled_from([".csv", ".xlsx", ".txt", ""]))
def test_any_bytes_are_a_table_or_a_trials_error(tmp_path_factory, content, suffix):
    path = write(tmp_path_factory.getbasetemp() / f"any{suffix}", content)
    found = table_or_error(path)
    assert str(found) if isinstance(found, sd.TrialsError) else len(found)


@quick
@given(st.lists(st.lists(st.text(max_size=8), min_size=3, max_size=3), min_size=1, max_size=5))
def test_every_cell_of_a_quoted_file_arrives(tmp_path_factory, lines):
    """Whatever the cells hold: commas, quotes, line breaks, any script. Empty lines fall away, and nothing else."""
    path = tmp_path_factory.getbasetemp() / "cells.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([["a", "b", "c"], *lines])
    frame = pd.DataFrame(lines, columns=["a", "b", "c"])
    if any("\0" in cell for line in lines for cell in line):
        with pytest.raises(sd.TrialsError, match="not text"):
            read_table(path)
        return
    found, expected = table_or_error(path), table_or_error(frame)
    if isinstance(expected, sd.TrialsError):
        assert found.problems == expected.problems
    else:
        pd.testing.assert_frame_equal(found.drop(columns="row"), expected.drop(columns="row"))
