"""Inputs that broke, or might break, a reader: bombs, nests, endless numbers, files of other kinds; and a little fuzzing of each reader."""

import io
import json
import time
import zipfile
from pathlib import Path

import openpyxl
import pandas as pd
import pytest
from conftest import benchmark_module

import stimdose as sd
from stimdose import workbooks
from stimdose.manifest import NAME, TABLE, read_manifest

HEADER = ["study", "direction", "measure", "comparator", "design", "effect", "se"]
ROW = ["A", "higher", "SMD", "sham", "parallel", 0.5, 0.2]


def workbook(*rows: list) -> bytes:
    book, out = openpyxl.Workbook(), io.BytesIO()
    for row in (HEADER, *rows):
        book.active.append(row)
    book.save(out)
    return out.getvalue()


def changed(content: bytes, part: str, change) -> bytes:
    """The zip file with one part changed."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as before, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as after:
        for name in before.namelist():
            after.writestr(name, change(before.read(name)) if name.endswith(part) else before.read(name))
    return out.getvalue()


SHEET = "sheet1.xml"
BOMBS = {
    "a part of 400 MB": (lambda part: part + b" " * 400_000_000, "unpacked it is larger than 256 MiB"),
    "a row far below the last": (
        lambda part: part.replace(b'<row r="2"', b'<row r="2000000000"'),
        "more than 5,000,000 cells or 1,048,576 rows",
    ),
    "wide rows": (
        lambda part: part.replace(b"</sheetData>", b'<row><c r="XFD3"><v>1</v></c></row>' * 400 + b"</sheetData>"),
        "more than 5,000,000 cells or 1,048,576 rows",
    ),
    "merged cells over everything": (
        lambda part: part.replace(b"</sheetData>", b'</sheetData><mergeCells><mergeCell ref="A1:XFD1048576"/></mergeCells>'),
        "lies under the merged cells A1:XFD1048576",
    ),
    "entities that grow": (
        lambda part: part.replace(
            b"<worksheet", b'<!DOCTYPE a [<!ENTITY a "x"><!ENTITY b "' + b"&a;" * 999 + b'">]><worksheet', 1
        ).replace(b"<t>A</t>", b"<t>" + b"&b;" * 99_999 + b"</t>"),
        "cannot be read as a table",
    ),
    "an entity of another file": (
        lambda part: part.replace(
            b"<worksheet", b'<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/hostname">]><worksheet', 1
        ).replace(b"<t>A</t>", b"<t>&a;</t>"),
        "cannot be read as a table",
    ),
    "coordinates that are none": (lambda part: part.replace(b'r="A2"', b'r="ZZZZZ99"'), "cannot be read as a table"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_workbooks_that_claim_too_much(tmp_path, monkeypatch, name):
    monkeypatch.setattr(workbooks, "MOST_ROWS", 2**20 if name != "a row far below the last" else 2**12)
    change, message = BOMBS[name]
    (tmp_path / "bomb.xlsx").write_bytes(changed(workbook(ROW), SHEET, change))
    with pytest.raises(sd.TrialsError) as caught:
        sd.read_trials(tmp_path / "bomb.xlsx")
    assert message.replace("1,048,576", f"{workbooks.MOST_ROWS:,}") in str(caught.value)


def test_a_zip_file_that_understates_its_size(tmp_path):
    """The size in its directory is what is unpacked, and no more."""
    content = bytearray(changed(workbook(ROW), SHEET, lambda part: part + b" " * 400_000_000))
    with zipfile.ZipFile(io.BytesIO(content)) as parts:
        size = next(part for part in parts.infolist() if part.filename.endswith(SHEET)).file_size
    (tmp_path / "bomb.xlsx").write_bytes(bytes(content).replace(size.to_bytes(4, "little"), (1000).to_bytes(4, "little")))
    with pytest.raises(sd.TrialsError, match="cannot be read as a table"):
        sd.read_trials(tmp_path / "bomb.xlsx")


@pytest.mark.parametrize("columns", [500, pytest.param(10_000, marks=pytest.mark.slow)])
def test_wide_tables(tmp_path, columns):
    """Columns that are none of ours pass through."""
    names = [f"column {k}" for k in range(columns)]
    text = ",".join([*HEADER, *names]) + "\n" + ",".join([*map(str, ROW), *["x"] * len(names)]) + "\n"
    (tmp_path / "wide.csv").write_text(text, encoding="utf-8")
    trials = sd.read_trials(tmp_path / "wide.csv")
    assert trials.table[names[-1]].tolist() == ["x"]
    (tmp_path / "wide.csv").write_text(text.replace(names[-1], names[1]), encoding="utf-8")
    with pytest.raises(sd.TrialsError, match="column 1: this column stands more than once"):
        sd.read_trials(tmp_path / "wide.csv")


@pytest.mark.parametrize("cell", ["1e400", "9" * 5000, "-1e308", "1e308", "nan", "-0", "1e-400", "0x1p3", "1_000", "٣"])
@pytest.mark.parametrize("column", ["effect", "se", "frequency_hz"])
def test_numbers_at_the_ends(tmp_path, cell, column):
    row = dict(zip(HEADER, map(str, ROW), strict=True)) | {"frequency_hz": "5", column: cell}
    (tmp_path / "t.csv").write_text(",".join(row) + "\n" + ",".join(row.values()) + "\n", encoding="utf-8")
    try:
        found = sd.read_trials(tmp_path / "t.csv", missing="keep").table
    except sd.TrialsError as error:
        assert len(str(error)) < 1000  # noqa: PT017
    else:
        assert cell in ("-1e308", "1e308", "nan", "-0", "1e-400")
        assert found[column].isna()[0] == (cell == "nan")


NESTS = [
    "[" * 100_000,
    '{"a":' * 100_000,
    '{"format": ' + "9" * 5000 + "}",
    "NaN",
    '{"format": "stimdose manifest 1"}',
    "\ufeff{}",
    "[]",
    '"\\ud800"',
]


@pytest.mark.parametrize("text", NESTS)
def test_manifests_that_are_none(tmp_path, text):
    (tmp_path / NAME).write_text(text, encoding="utf-8")
    (tmp_path / TABLE).write_text(text, encoding="utf-8")
    with pytest.raises(sd.FitError, match=r"manifest|damaged|edited"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("reader", ["toml", "priors", "csv", "xlsx"])
def test_some_fuzzing(monkeypatch, reader):
    found = smoke(monkeypatch, reader, 0.3)
    assert found["crashes"] == 0
    assert found["inputs"] == found["own_errors"] + found["accepted"] > 1


@pytest.mark.slow
@pytest.mark.parametrize("reader", ["toml", "priors", "csv", "xlsx", "manifest", "fit"])
def test_more_fuzzing(monkeypatch, reader):
    found = smoke(monkeypatch, reader, 60)
    assert found["crashes"] == 0, json.dumps(found)


def smoke(monkeypatch, reader: str, seconds: float) -> dict:
    """In this process, so that nothing is started."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    fuzz = benchmark_module("fuzz")
    one, spent, found = fuzz.READERS[reader], 0.0, {"inputs": 0, "own_errors": 0, "accepted": 0, "crashes": 0}
    seeds = one.seeds()
    while spent < seconds:
        draw = fuzz.source(3, reader, found["inputs"])
        content, began = one.make(draw, seeds), time.process_time()
        accepted, crash = fuzz.attempt(one, content, draw)
        spent += time.process_time() - began
        found["inputs"] += 1
        found["crashes" if crash else "accepted" if accepted else "own_errors"] += 1
    return found


LONG = [
    unit * (100_000 // len(unit))
    for unit in ("9", "*", ".", ",", "1,111,", "- ", "e1", "1.", "%", "a", "=", "1-", "\u2265", "<", "+", "'1", "5 ")
]


@pytest.mark.parametrize("column", ["sessions", "effect", "p_value", "my column"])
@pytest.mark.parametrize("decimal", [".", ","])
def test_endless_cells(column, decimal):
    """None takes longer than its length: with a rule that does, this would take hours."""
    row = dict(zip(HEADER, ROW, strict=True))
    table = pd.DataFrame([row | {"arm": str(k), column: f"{text}x"} for k, text in enumerate(LONG)])
    try:
        found = len(sd.read_trials(table, missing="keep", decimal=decimal))
    except sd.TrialsError as error:
        found = len({problem.row for problem in error.problems})
        assert len(str(error)) < 400 * len(LONG)  # noqa: PT017
    assert found == len(LONG) or column == "p_value"


def test_a_message_cuts_every_long_text():
    problem = sd.Problem(2, "A" * 5000, "c" * 5000, "v" * 5000, "is wrong")
    assert len(str(problem)) < 1000
    assert str(problem).count("...") == 3
