"""The template that users fill in, and the data dictionary."""

import io
import subprocess
import sys
from pathlib import Path

import openpyxl
import pytest

import stimdose as sd
from stimdose.template import CORE, allowed, dictionary_page, template_csv, template_workbook

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def book() -> openpyxl.Workbook:
    return openpyxl.load_workbook(io.BytesIO(template_workbook()))


def header(sheet) -> list[str]:
    return [cell.value for cell in sheet[1]]


def test_the_short_template_has_what_a_fit_needs():
    assert set(CORE) <= set(sd.COLUMNS)
    assert len(set(CORE)) == len(CORE) < 50
    assert {name for name, column in sd.COLUMNS.items() if column.required} <= set(CORE)


def test_sheets(book):
    assert book.sheetnames == ["trials", "dictionary", "example"]
    assert header(book["trials"]) == header(book["example"]) == list(CORE)
    assert book["trials"].max_row == 1
    names = [row[0] for row in book["dictionary"].iter_rows(min_row=2, values_only=True)]
    assert names == list(sd.COLUMNS)
    assert header(openpyxl.load_workbook(io.BytesIO(template_workbook(every=True)))["trials"]) == list(sd.COLUMNS)


def test_closed_vocabularies_have_lists(book):
    sheet = book["trials"]
    lists = {str(choice.sqref).split(":")[0].rstrip("2"): choice.formula1 for choice in sheet.data_validations.dataValidation}
    for cell in sheet[1]:
        levels = sd.COLUMNS[cell.value].levels
        assert lists.get(cell.column_letter) == (f'"{",".join(levels)}"' if levels else None), cell.value
    assert all(len(formula) <= 255 for formula in lists.values())  # the limit of Excel
    assert not [level for column in sd.COLUMNS.values() for level in column.levels if "," in level]


def test_headers_explain_themselves_and_doses_are_text(book):
    sheet = book["trials"]
    by_name = {cell.value: cell for cell in sheet[1]}
    assert "Hz" in by_name["frequency_hz"].comment.text
    assert "required" in by_name["study"].comment.text
    assert by_name["study"].fill.fgColor.rgb != by_name["arm"].fill.fgColor.rgb
    formats = {name: sheet.column_dimensions[cell.column_letter].number_format for name, cell in by_name.items()}
    assert formats["sessions"] == formats["session_min"] == formats["study"] == formats["p_value"] == "@"
    assert formats["mean_active"] == formats["effect"] == "General"


def test_the_example_can_be_read_and_says_that_it_is_made_up(tmp_path):
    for every in (False, True):
        (tmp_path / "t.xlsx").write_bytes(template_workbook(every))
        trials = sd.read_trials(tmp_path / "t.xlsx", sheet="example")
        assert len(trials) == 3
        assert trials.table["study"].str.startswith("Synthetic").all()
        assert trials.table["note"].str.contains("synthetic").all()
        assert trials.table["effect"].between(0.1, 0.6).all()
        assert trials.bounds("sessions")[0].tolist() == [10, 12, 12]


def test_a_filled_in_template_can_be_read(tmp_path, book):
    row = dict.fromkeys(CORE) | {"study": "A", "direction": "higher", "measure": "MD", "comparator": "sham", "design": "parallel"}
    rows = [
        row
        | {
            "n_active": 10,
            "mean_active": 5,
            "sd_active": 2,
            "n_control": 10,
            "mean_control": 4,
            "sd_control": 2,
            "sessions": "10-20",
        },
        row | {"study": "B", "effect": 1.5, "se": 0.5, "sessions": 12, "frequency_hz": "≥20", "p_value": "<0.05"},
    ]
    for values in rows:
        book["trials"].append([values[name] for name in CORE])
    book.save(tmp_path / "t.xlsx")
    trials = sd.read_trials(tmp_path / "t.xlsx")
    assert trials.table["effect"].tolist() == [1.0, 1.5]
    assert trials.bounds("sessions")[1].tolist() == [20, 12]
    assert trials.table.loc[1, "p_value"] == "<0.05"


def test_an_empty_template_is_refused(tmp_path):
    (tmp_path / "t.xlsx").write_bytes(template_workbook())
    (tmp_path / "t.csv").write_text(template_csv(), encoding="utf-8")
    for name in ("t.xlsx", "t.csv"):
        with pytest.raises(sd.TrialsError, match="it has no rows"):
            sd.read_trials(tmp_path / name)


def test_csv_is_the_header():
    assert template_csv() == ",".join(CORE) + "\n"
    assert template_csv(every=True).strip().split(",") == list(sd.COLUMNS)


def test_through_the_shell(tmp_path):
    with (tmp_path / "x.xlsx").open("wb") as file:
        subprocess.run([sys.executable, "-m", "stimdose", "template"], stdout=file, check=True)
    assert openpyxl.load_workbook(tmp_path / "x.xlsx").sheetnames[0] == "trials"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("direction", "higher, lower"),
        ("sessions", "number, interval or open end, at least 0"),
        ("ci_level", "number, above 0 and below 1"),
        ("effect", "number"),
        ("p_value", "text"),
    ],
)
def test_allowed_values_in_words(name, words):
    assert allowed(sd.COLUMNS[name]) == words


def test_the_page_of_the_docs_is_up_to_date():
    page = (ROOT / "docs" / "data-dictionary.md").read_text(encoding="utf-8")
    assert page == dictionary_page(), "run: python -m stimdose.template > docs/data-dictionary.md"
    assert all(f"`{name}`" in page for name, column in sd.COLUMNS.items() if column.kind != "arm")
