"""Reading tables: numbers and doses as printed, and files of every kind, sound or not."""

import csv
import datetime
import io
import re
import zipfile

import numpy as np
import openpyxl
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stimdose as sd
from stimdose import tables
from stimdose.doses import parse_dose, parse_number, with_decimal_point
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
        ("12,5", r"has a decimal comma: write 12\.5, or read the table with decimal=','$"),
        ("12,5-15", r"has a decimal comma: write 12\.5-15"),
        ("≥2,5", r"has a decimal comma: write ≥2\.5"),
        ("0,125", r"has a decimal comma: write 0\.125"),
        ("1,200", r"may be of thousands or of decimals: write 1200 or 1\.200"),
        ("1,200-1,500", r"may be of thousands or of decimals: write 1200-1500 or 1\.200-1\.500"),
        ("1,200,000", "has a separator of thousands: write 1200000"),
        ("1,200.5", r"has a separator of thousands: write 1200\.5"),
        ("1 200", "has a separator of thousands: write 1200"),
        ("1\u202f200", "has a separator of thousands: write 1200"),
        ("1'200", "has a separator of thousands: write 1200"),
        ("1’200", "has a separator of thousands: write 1200"),
        ("10-1 200", "has a separator of thousands: write 10-1200"),
        ("1/5/10", "is not a dose"),
        ("10 20", "is not a dose"),
        ("1_0", "is not a dose"),
        ("0x10", "is not a number alone"),
        ("10 Hz", "is not a number alone: write it without words, in the unit of the column"),
        ("20min", "is not a number alone"),
        ("10-20 Hz", "is not a number alone"),
        ("≥20 min", "is not a number alone"),
        ("1,200 pulses", "is not a number alone"),
        ("90% RMT", "is not a number alone"),
        ("120%", "is not a number alone"),
        ("90-120 %", "is not a number alone"),
        ("=1+1", "is a formula, and formulas are not evaluated: enter its value"),
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
DATES += ["Dec-15", "Dec-2015", "15. Dez", "Dez 15", "15-déc.", "15/12/2024", " 15-dec ", "1-Dec-15"]
DATES += [datetime.date(2024, 12, 15), datetime.datetime(2024, 12, 15, 3), pd.Timestamp("2024-12-15")]


@pytest.mark.parametrize("cell", DATES, ids=str)
def test_a_date_is_named_as_the_trap_of_spreadsheets(cell):
    for parse in (parse_dose, parse_number):
        with pytest.raises(ValueError, match="a spreadsheet turned"):
            parse(cell)


@pytest.mark.parametrize(("cell", "value"), [("-0.5", -0.5), ("−0.5", -0.5), ("+1", 1), ("1e-3", 0.001), ("-.5", -0.5), (2, 2)])
def test_numbers(cell, value):
    assert parse_number(cell) == value


@pytest.mark.parametrize("cell", ["", "<0.1", "95%", "nan", "inf", "1e999", "1_0", "True", "0.5*", "(0.5)", "٣", "½"])
def test_what_is_not_a_number(cell):
    with pytest.raises(ValueError, match="is not a number"):
        parse_number(cell)


@pytest.mark.parametrize("cell", ["1+", "1 +", "1\uff0b"])
def test_the_grade_between_1_and_2_is_entered_as_a_number(cell):
    with pytest.raises(ValueError, match=r"lies between 1 and 2, is entered as 1\.5"):
        parse_number(cell)
    assert parse_dose("1+") == (1, np.inf)


@pytest.mark.parametrize(
    ("cell", "dose", "number"),
    [
        ("15-Dec", "12-15", "15.12"),
        ("Dec-15", "12-15", "15.12"),
        ("Dec-2015", "12-15", "15.12"),
        ("20. Okt", "10-20", "20.10"),
        ("2024-12-15", "12-15", "15.12"),
        ("12/15/2024", "12-15", "15.12"),
        (datetime.datetime(2024, 10, 20), "10-20", "20.10"),
        (datetime.date(2015, 12, 1), "12-15 or 1-12", "12.15 or 1.12"),
        ("12/1/2015", "12-15 or 1-12", "12.15 or 1.12"),
        (datetime.date(2024, 5, 7), "5-7 or 7.5", "7.5"),
    ],
    ids=str,
)
def test_what_was_typed_where_a_date_stands(cell, dose, number):
    for parse, typed in ((parse_dose, dose), (parse_number, number)):
        with pytest.raises(ValueError, match=f"what was typed, probably {re.escape(typed)}, into one; enter it as text"):
            parse(cell)


def test_a_date_that_no_interval_makes_is_not_explained():
    with pytest.raises(ValueError, match="turned what was typed, into one"):
        parse_dose("10-Oct")


@pytest.mark.parametrize(
    ("cell", "point"),
    [
        ("0,5", "0.5"),
        ("-0,50", "-0.50"),
        ("−0,5", "-0.5"),
        (",5", ".5"),
        ("1,5e-3", "1.5e-3"),
        ("12,5-15", "12.5-15"),
        ("≥2,5", "≥2.5"),
        ("1,200", "1.200"),
        ("12-15", "12-15"),
        ("7", "7"),
        ("a, b", "a, b"),
        ("7,5 min", "7,5 min"),
        ("1,2,3", "1,2,3"),
        ("15.12.2024", "15.12.2024"),
    ],
)
def test_decimal_commas(cell, point):
    assert with_decimal_point(cell) == point


@pytest.mark.parametrize(
    ("cell", "rule"),
    [
        ("0.5", "has a decimal point: write 0,5, as in the rest of the table"),
        ("12.5-15", "has a decimal point: write 12,5-15"),
        ("1.200", "has a point that may be of thousands or of decimals: write 1200 or 1,200"),
        ("1.200,5", "has a separator of thousands: write 1200,5"),
        ("1.200.000", "has a separator of thousands: write 1200000"),
        ("1 200,5", "has a separator of thousands: write 1200,5"),
    ],
)
def test_points_among_decimal_commas(cell, rule):
    with pytest.raises(ValueError, match=rule):
        with_decimal_point(cell)


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
        pytest.param(text_of(HEADER, ROW, OTHER).encode("utf-16"), id="Unicode text"),
        pytest.param("\ufeff".encode("utf-16-be") + text_of(HEADER, ROW, OTHER).encode("utf-16-be"), id="UTF-16, big end first"),
        pytest.param(text_of(HEADER, ROW, OTHER, separator="\t").encode("utf-16"), id="Unicode text as Excel writes it"),
        pytest.param(text_of(HEADER, ROW, OTHER, separator=";").encode(), id="semicolons"),
        pytest.param(text_of(HEADER, ROW, OTHER, separator="\t", end="\r\n").encode(), id="tabs"),
        pytest.param(text_of([*HEADER, ""], [*ROW, ""], [*OTHER, ""], separator=";").encode(), id="trailing semicolons"),
        pytest.param(text_of(HEADER, ROW, OTHER).rstrip("\n").encode(), id="no last line end"),
        pytest.param(
            text_of(HEADER, [f"{cell}\u200b" for cell in ROW], [f"\u00a0{cell}" for cell in OTHER]).encode(), id="unseen"
        ),
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


# Decimal commas and separators -------------------------------------------------------------------------------------------------


def typed_cells(source, **settings) -> tuple[pd.DataFrame, list[sd.Problem]]:
    cells = read_table(source, **settings)
    faults = tables.Faults(cells)
    return tables.typed(cells, faults), faults.sorted()


EUROPEAN = ["Müller, A. 2010", "higher", "SMD", "sham", "parallel", "0,50", ",2", "12,5-15", "1,5 und 2,5", "64,5", "1,5"]
EUROPEAN_HEADER = [*HEADER, "note", "age", "code"]


@pytest.mark.parametrize("separator", [";", "\t", ","])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_decimal_commas_in_files(tmp_path, separator, encoding):
    lines = EUROPEAN_HEADER, EUROPEAN, ["Bo", *EUROPEAN[1:5], "1e-3", "0,25", "≥2,5", "", "70", "b"]
    path = write(tmp_path / "t.csv", text_of(*lines, separator=separator).encode(encoding))
    cells = read_table(path, decimal=",")
    assert list(cells["effect"]) == ["0.50", "1e-3"]
    np.testing.assert_allclose(tables.last_digit(cells, "effect"), [0.01, 0.001])
    found, problems = typed_cells(path, decimal=",")
    assert [(problem.row, problem.column) for problem in problems] == []
    np.testing.assert_array_equal(found["se"], [0.2, 0.25])
    np.testing.assert_array_equal(found["sessions_low"], [12.5, 2.5])
    np.testing.assert_array_equal(found["age"], [64.5, 70])
    assert list(found["study"]) == ["Müller, A. 2010", "Bo"]
    assert list(found["note"]) == ["1,5 und 2,5", None]
    assert list(found["code"]) == ["1,5", "b"]


def test_a_number_is_not_read_two_ways(tmp_path):
    lines = EUROPEAN_HEADER, EUROPEAN, ["Bo", *EUROPEAN[1:5], "0.5", "1.200", "2.5-3", "1.5", "70.5", "1.5"]
    path = write(tmp_path / "t.csv", text_of(*lines, separator=";"))
    found, problems = typed_cells(path, decimal=",")
    assert [(problem.row, problem.column, problem.value) for problem in problems] == [
        (3, "effect", "0.5"),
        (3, "se", "1.200"),
        (3, "sessions", "2.5-3"),
        (3, "age", "70.5"),
        (3, "code", "1.5"),
    ]
    assert found.loc[1, ["effect", "se", "sessions", "age"]].isna().all()
    assert found["note"][1] == "1.5"
    _, problems = typed_cells(path)
    assert [(problem.row, problem.column) for problem in problems][:2] == [(2, "effect"), (2, "se")]
    assert "read the table with decimal=','" in problems[0].rule


def test_numbers_that_are_numbers_need_no_decimal_mark(tmp_path):
    numbers = ["Ada 2003", "higher", "SMD", "sham", "parallel", 0.5, "0,25", 12.5]
    frame = pd.DataFrame([numbers], columns=HEADER)
    for source in (write_excel(tmp_path / "t.xlsx", HEADER, numbers), frame):
        found, problems = typed_cells(source, decimal=",")
        assert problems == []
        assert found[["effect", "se", "sessions"]].to_numpy().tolist() == [[0.5, 0.25, 12.5]]


@pytest.mark.parametrize("decimal", ["", ";", None, ",."])
def test_an_unknown_decimal_mark(decimal):
    with pytest.raises(sd.TrialsError, match=r"decimal is '\.' or ','"):
        read_table(pd.DataFrame([ROW], columns=HEADER), decimal=decimal)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("quote", ["", '"'])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_declared_separator_is_followed_and_its_line_counts(tmp_path, plain, separator, quote, end):
    text = f"{quote}sep={separator}{quote}{end}" + text_of(HEADER, ROW, [], OTHER, separator=separator, end=end)
    found = read(write(tmp_path / "t.csv", text))
    same_table(found, plain)
    assert list(found.table["row"]) == [3, 5]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_the_header_shows_the_separator(tmp_path, separator):
    """Names and cells may hold the other marks, in quotes or not."""
    lines = [*HEADER, "place; town, land\tstreet", "a;b;c;d;e;f;g;h;i;j;k"], [*ROW, "x;y,z", ";,"]
    found = read(write(tmp_path / "t.csv", "\n\n" + text_of(*lines, separator=separator)))
    assert list(found.table["row"]) == [4]
    assert found.table["place; town, land street"][0] == "x;y,z"


def test_a_file_of_one_column(tmp_path):
    cells = read_table(write(tmp_path / "t.csv", "study\nAda 2003\n\nBo 2004\n"))
    assert cells.to_numpy().tolist() == [[2, "Ada 2003"], [4, "Bo 2004"]]


# Traps of spreadsheets --------------------------------------------------------------------------------------------------------


def excel_problems(path, *lines, change=None, **settings):
    book = openpyxl.Workbook()
    for line in (HEADER, *lines):
        book.active.append(line)
    if change:
        change(book.active)
    book.save(path)
    with pytest.raises(sd.TrialsError) as caught:
        read(path, **settings)
    return [(problem.row, problem.column, problem.value, problem.rule) for problem in caught.value.problems]


SOUND = ["Ada 2003", "higher", "SMD", "sham", "parallel", 0.5, 0.2, 10]


def test_the_number_of_a_date_is_named_as_a_likely_date():
    frame = pd.DataFrame([SOUND, ["Bo", *SOUND[1:]]], columns=HEADER).assign(
        sessions=[45580, 10], total_pulses=[45580, 1e4], session_min=["42339", "20"], n_active=45580
    )
    with pytest.raises(sd.TrialsError) as caught:
        read(frame)
    assert [(problem.row, problem.column) for problem in caught.value.problems] == [(0, "sessions"), (0, "session_min")]
    assert [problem.rule for problem in caught.value.problems] == [
        "is likely a date, 2024-10-15, as a spreadsheet stores it, made of what was typed, probably 10-15; enter it as text",
        "is likely a date, 2015-12-01, as a spreadsheet stores it, made of what was typed, probably 12-15 or 1-12; enter it as text",
    ]


def test_a_formula_without_a_stored_value_is_no_empty_cell(tmp_path):
    line = ["=A9", *SOUND[1:5], "=1+1", 0.2, "=SUM(1,2)"]
    found = excel_problems(tmp_path / "t.xlsx", ["Bo", *SOUND[1:]], line)
    assert [found[:3] for found in found] == [(3, "study", "=A9"), (3, "effect", "=1+1"), (3, "sessions", "=SUM(1,2)")]
    assert {rule for *_, rule in found} == {
        "holds a formula without a stored value: open and save the file in the spreadsheet, or paste values"
    }
    found = excel_problems(tmp_path / "t.xlsx", SOUND, change=lambda page: page.cell(1, 9, "=A1"))
    assert "it has no rows" not in str(found)


def stored(path, **formulas):
    """Give formulas of the file the stored value that a spreadsheet would have written: cell="<c ...>...</c>"."""
    with zipfile.ZipFile(path) as book:
        parts = {name: book.read(name) for name in book.namelist()}
    page = parts["xl/worksheets/sheet1.xml"].decode()
    for cell, (kind, value) in formulas.items():
        page, count = re.subn(
            rf'<c r="{cell}"[^>]*><f>(.*?)</f><v ?/?>(</v>)?</c>', rf'<c r="{cell}"{kind}><f>\1</f><v>{value}</v></c>', page
        )
        assert count == 1
    parts["xl/worksheets/sheet1.xml"] = page.encode()
    with zipfile.ZipFile(path, "w") as book:
        for name, content in parts.items():
            book.writestr(name, content)
    return path


def test_a_formula_is_read_by_its_stored_value(tmp_path):
    path = write_excel(tmp_path / "t.xlsx", [*HEADER, "note"], ["=A9", *SOUND[1:5], "=1/2", 0.2, "=5*2", "=IF(1,1,1)"])
    text = ' t="str"'
    found = read(stored(path, A2=(text, "Ada 2003"), F2=("", "0.5"), H2=("", "10"), I2=(text, "")))
    assert found.table.loc[0, ["study", "effect", "sessions"]].tolist() == ["Ada 2003", 0.5, 10]
    assert found.table["note"].isna().all()


def test_merged_cells_are_named_with_their_range(tmp_path):
    lines = [SOUND, ["Bo", *SOUND[1:]], ["Cy", *SOUND[1:]]]
    found = excel_problems(tmp_path / "t.xlsx", *lines, change=lambda page: page.merge_cells("B2:B4"))
    assert [(row, column) for row, column, *_ in found] == [(3, "direction"), (4, "direction")]
    assert {rule for *_, rule in found} == {"lies under the merged cells B2:B4: unmerge them, and fill in each cell"}
    found = excel_problems(tmp_path / "t.xlsx", *lines, change=lambda page: page.merge_cells("F2:G2"))
    assert [(row, column) for row, column, *_ in found] == [(2, "se")]
    found = excel_problems(tmp_path / "t.xlsx", *lines, change=lambda page: page.merge_cells("F1:G1"))
    assert [column for _, column, *_ in found] == ["unnamed_7"]
    assert "merged cells F1:G1" in found[0][3]


def test_merged_cells_that_hold_nothing_do_no_harm(tmp_path):
    book = openpyxl.load_workbook(write_excel(tmp_path / "t.xlsx", HEADER, SOUND))
    book.active.merge_cells("K2:M3")
    book.save(tmp_path / "t.xlsx")
    assert len(read(tmp_path / "t.xlsx")) == 1


def test_a_percentage_is_stored_as_a_hundredth(tmp_path):
    lines = [*HEADER, "intensity_percent_rmt", "ci_level"], [*SOUND, 0.9, 0.95]
    book = openpyxl.load_workbook(write_excel(tmp_path / "t.xlsx", *lines))
    book.active["I2"].number_format = book.active["J2"].number_format = "0%"
    book.save(tmp_path / "t.xlsx")
    with pytest.raises(sd.TrialsError, match=r"is stored as 0\.9 and shown as a percentage: enter the number") as caught:
        read(tmp_path / "t.xlsx")
    (problem,) = caught.value.problems
    assert (problem.row, problem.column, problem.value) == (2, "intensity_percent_rmt", "90%")


def test_errors_of_a_spreadsheet_are_no_words(tmp_path):
    (found,) = excel_problems(tmp_path / "t.xlsx", ["#REF!", *SOUND[1:]])
    assert found == (2, "study", "#REF!", "is an error of the spreadsheet: mend its formula, or empty the cell")


def test_hidden_rows_and_columns_are_read(tmp_path, plain):
    book = openpyxl.load_workbook(write_excel(tmp_path / "t.xlsx", HEADER, ROW, OTHER))
    book.active.row_dimensions[3].hidden = True
    book.active.column_dimensions["H"].hidden = True
    book.save(tmp_path / "t.xlsx")
    same_table(read(tmp_path / "t.xlsx"), plain)


def test_a_stray_cell_far_below_costs_nothing(tmp_path):
    book = openpyxl.load_workbook(write_excel(tmp_path / "t.xlsx", HEADER, SOUND))
    book.active.cell(200_000, 1, " ")
    book.save(tmp_path / "t.xlsx")
    assert list(read(tmp_path / "t.xlsx").table["row"]) == [2]


@pytest.mark.parametrize("cell", [b"0.5", [0.5], (0.5,), {0.5}, {"a": 1}, np.array([0.5]), range(2)], ids=repr)
@pytest.mark.parametrize("column", ["effect", "sessions", "study", "phase", "extra"])
def test_collections_are_no_cells(cell, column):
    frame = pd.DataFrame([SOUND, ["Bo", *SOUND[1:]]], columns=HEADER, dtype=object).assign(phase="acute", extra="x")
    frame[column] = pd.Series([cell, frame[column][1]], dtype=object)
    with pytest.raises(sd.TrialsError, match=f"is a {type(cell).__name__}: a cell holds text, a number or a date") as caught:
        read(frame)
    assert [(problem.row, problem.column) for problem in caught.value.problems] == [(0, column)]


def test_columns_of_several_levels_are_named_as_such():
    frame = pd.DataFrame([SOUND], columns=pd.MultiIndex.from_product([["a"], HEADER]))
    with pytest.raises(sd.TrialsError, match="its columns have several levels; give each a single name"):
        read(frame)


def test_a_long_message_is_cut_and_the_problems_are_not():
    frame = pd.DataFrame([SOUND] * 60, columns=HEADER).assign(study=[f"Study {k}" for k in range(60)], se="x" * 1000)
    with pytest.raises(sd.TrialsError) as caught:
        read(frame)
    lines = str(caught.value).splitlines()
    assert len(caught.value.problems) == 60
    assert len(lines) == 52
    assert lines[-1] == "  - and 10 more (all are in the `problems` of this error)"
    assert max(map(len, lines)) < 300


# Files that are no table ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"", "it has no rows"),
        ("t.csv", b"\n\n \n", "it has no rows"),
        ("t.csv", b"\xef\xbb\xbf", "it has no rows"),
        ("t.csv", text_of(HEADER), "it has no rows"),
        ("t.csv", text_of(HEADER, [""] * 8), "it has no rows"),
        (
            "t.csv",
            text_of(HEADER, ["王 2019", *ROW[1:]]).encode("gb18030"),
            r"line 2 is not UTF-8 text \(byte 0xcd\); save it as",
        ),
        ("t.csv", text_of(HEADER, ["Müller", *ROW[1:]]).encode("latin-1"), r"line 2 is not UTF-8 text \(byte 0xfc\)"),
        ("t.csv", text_of(HEADER, ROW, ["Müller", *ROW[1:]], end="\r").encode("cp1252"), "line 3 is not UTF-8 text"),
        ("t.csv", text_of(HEADER, ROW).encode("utf-16-le"), "it is not text"),
        ("t.csv", text_of(HEADER, ROW).encode("utf-16") + b"x", "it is not UTF-16 text"),
        ("t.csv", text_of(HEADER, ROW).encode("utf-32"), "it is not text"),
        ("t.csv", bytes(range(256)) * 4, "line 3 is not UTF-8 text"),
        ("t.csv", b"study,effect\n\x00\x01\x02,\x00\n", "it is not text"),
        ("t.csv", text_of(HEADER, ROW) + '"Bo 2004,higher\nand so on\n', "line 3: unexpected end of data; a quote is not closed"),
        ("t.csv", text_of(HEADER, ROW, ["x" * 200_000, *ROW[1:]]), "line 3: field larger than field limit"),
        ("t.csv", "sep=;\n", "it has no rows"),
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
    with pytest.raises(sd.TrialsError, match="quote cells that hold the separator") as caught:
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
