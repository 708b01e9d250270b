"""Tables and specs whose text is code: nothing executes it, no file is broken by it, and where it would mislead it is said."""

import io
import re
import warnings
from dataclasses import replace

import openpyxl
import pandas as pd
import pytest
from conftest import make_table
from markdown_it import MarkdownIt
from test_report import Elements, off

import stimdose as sd
from stimdose.columns import COLUMNS
from stimdose.reports import methods, page, tables, writing
from stimdose.reports.findings import findings
from stimdose.reports.parts import Figure, Table
from stimdose.reports.writing import SECTIONS, with_file_names
from stimdose.template import template_workbook

HOSTILE = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>' onmouseover='alert(1)",
    "javascript:alert(1)//]]></style></script><!--",
    "{{ 7 * 7 }}{% raw %}{{ self }}",
    "&lt;b&gt; &amp;#60; <b",
    "\\input{/etc/passwd} $x$ % # _ ^ ~ {",
    "$\\frac{1}{$ unbalanced $",
    '=HYPERLINK("http://x") | [a](javascript:x) ![b](c) `',
    "مرحبا <i>עברית</i> 李明 é 😀",
]
TEXTS = [name for name, column in COLUMNS.items() if column.kind != "dose" and not column.is_numeric and not column.levels]
FREE = [name for name in TEXTS if name not in ("study", "outcome", "p_value", "sample", "control_group", "participant")]


def table(hostile: bool) -> pd.DataFrame:
    """The same trials, with every cell of text plain, or code."""
    found, said = make_table(9), iter(range(10**6))
    text = (lambda word: f"{HOSTILE[next(said) % len(HOSTILE)]} {word}") if hostile else (lambda word: word)
    names = {name: text(name) for name in found["study"].unique()}
    sites = {name: text(name) for name in found["site"].unique()}
    found["site"], found["study"] = found["site"].map(sites), found["study"].map(names)
    found["outcome"], found["my column"] = text("score"), [text("mine") for _ in range(len(found))]
    for name in FREE:
        if name not in ("site", "arm"):
            found[name] = (
                [text(name)] * len(found) if name in ("modality", "population") else [text(name) for _ in range(len(found))]
            )
    found["arm"] = [text(arm) for arm in found["arm"]]
    return found


@pytest.fixture(scope="module")
def found():
    """What a report says of the two, whose fits are alike."""
    both = []
    for hostile in (False, True):
        name, words = ("m", "words") if not hostile else (HOSTILE[0], " ".join(HOSTILE))
        groups = sd.Moderator(column="my group", spread=sd.Prior("halfnormal", sigma=0.3, why=words))
        read = sd.read_trials(table(hostile).assign(**{"my group": lambda t: t["site"]}))
        dose = sd.Dose(column="sessions", shape="log-linear", by="site")
        model = sd.Model(name=name, description=words, intercept=sd.Intercept(), dose=[dose], moderator=[groups])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", sd.ConvergenceWarning)  # a short fit: what is written is what counts
            fit = sd.fit(model, read, seed=1, draws=100, tune=200, chains=2, progress=False)
        both.append(findings(fit, replace(off(), title=words)))
    return both


@pytest.fixture(scope="module")
def sections(found):
    return [with_file_names([make(one) for make in SECTIONS]) for one in found]


@pytest.fixture(scope="module")
def pages(found, sections):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "data_uri", lambda path: "data:image/png;base64,")
        made = []
        for one, parts in zip(found, sections, strict=True):
            images = dict.fromkeys([block.name for part in parts for block in part.blocks if isinstance(block, Figure)])
            made.append(Elements(page.render(*writing.heading(one), parts, images)))
    return made


def kinds(elements: Elements) -> set:
    """Every kind of element with the names of its attributes."""
    return {(tag, tuple(sorted(attrs))) for tag, attrs in elements.found}


def test_the_page_has_no_element_that_a_clean_one_lacks(pages):
    clean, hostile = pages
    assert kinds(hostile) <= kinds(clean)
    assert len(hostile.all("script")) == len(clean.all("script"))
    for _, attrs in hostile.found:
        assert not [name for name in attrs if name.startswith("on")]
        assert not str(attrs.get("href", "#")).lower().lstrip().startswith("javascript")
        assert str(attrs.get("src", "data:")).startswith("data:")
    for text in HOSTILE:
        assert text in hostile.text


def test_tables_to_paste_have_no_element_that_clean_ones_lack(sections):
    clean, hostile = ([block for part in parts for block in part.blocks if isinstance(block, Table)] for parts in sections)
    known = set.union(*(kinds(Elements(tables.as_html(block))) for block in clean))
    for block in hostile:
        assert kinds(Elements(tables.as_html(block))) <= known
        body = tables.as_latex(block)
        bare = re.sub(r"\\(?:[&%$#_{}]|text\w+\{\}|begin\{[^}]*\}|end\{[^}]*\}|\w+)|\$[^$]{1,8}\$", "", body)
        assert not re.search(r"\\input|(?<!\\)\$", bare.split("\\midrule")[-1])


def test_the_methods_are_text(found):
    parsed = MarkdownIt("commonmark").parse(methods.as_markdown(found[1]))
    inline = [child for token in parsed if token.type == "inline" for child in token.children]
    assert {child.type for child in inline} <= {
        "text",
        "text_special",
        "softbreak",
        "strong_open",
        "strong_close",
        "em_open",
        "em_close",
    }
    assert not [token for token in parsed if token.type.startswith(("html", "fence", "code"))]


@pytest.mark.slow
def test_figures_and_files_of_such_a_table_are_drawn(found, tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "FORMATS", ("svg",))
    made = writing.write(found[1], tmp_path)
    for path in made.parent.rglob("*.svg"):
        assert "<script" not in path.read_text(encoding="utf-8")


INJECTIONS = ["=cmd|'/c calc'!A1", '=HYPERLINK("http://x";"y")', "@SUM(1)", "+1+1", "-2+3", "=1+1"]


def sound(**columns) -> pd.DataFrame:
    """Two rows, and other columns in place of theirs or besides."""
    base = {
        "study": ["A", "B"],
        "direction": "higher",
        "measure": "SMD",
        "comparator": "sham",
        "design": "parallel",
        "effect": [0.1, 0.2],
        "se": 0.2,
    }
    return pd.DataFrame({name: pd.Series(cells, range(2), dtype=object) for name, cells in (base | columns).items()})


@pytest.mark.parametrize("text", INJECTIONS)
def test_formulas_in_text_stay_text_and_are_remarked_on(tmp_path, text):
    path = tmp_path / "t.csv"
    sound(study=[text, "B"], note=[text, ""]).to_csv(path, index=False)
    trials = sd.read_trials(path)
    assert trials.table["study"][0] == trials.table["note"][0] == text
    assert [remark for remark in trials.remarks if "'study' begins like a formula in 1 row (the first is row 2)" in remark]
    assert "begins like a formula" in trials.audit().to_csv()
    trials.table.to_csv(path, index=False)
    assert pd.read_csv(path)["study"][0] == text  # as it stands: a prefix would make it another study


@pytest.mark.parametrize("text", ["-2", "+1", "- 5", "−2", "a=b", "5 Hz (+ 1)"])
def test_what_is_no_formula_is_not_remarked_on(text):
    assert not sd.read_trials(sound(study=[text, "B"])).remarks


@pytest.mark.parametrize("text", INJECTIONS)
def test_formulas_in_numbers_are_faults(tmp_path, text):
    for column in ("effect", "se", "sessions"):
        with pytest.raises(sd.TrialsError) as caught:
            sd.read_trials(sound(**{column: [text, 0.1]}))
        assert [problem.column for problem in caught.value.problems] == [column]


def test_the_workbook_that_we_write_has_no_formula():
    book = openpyxl.load_workbook(io.BytesIO(template_workbook(every=True)))
    cells = [cell for sheet in book for row in sheet.iter_rows() for cell in row]
    assert {cell.data_type for cell in cells} <= {"s", "n", "inlineStr"}
    assert not [cell for cell in cells if str(cell.value or "").startswith(("=", "+", "@"))]


@pytest.mark.parametrize(
    ("text", "code"), [("\x1b[2J", "001B"), ("a\x07", "0007"), ("\ud800", "D800"), ("b\x7f", "007F"), ("\x9b31m", "009B")]
)
def test_control_characters_are_faults(text, code):
    with pytest.raises(sd.TrialsError, match=rf"study = .*holds the control character U\+{code}: delete it") as caught:
        sd.read_trials(sound(study=[text, "B"]))
    assert str(caught.value).encode("utf-8")
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", str(caught.value))
    if code != "D800":  # which no name of a column can have
        with pytest.raises(sd.TrialsError, match=rf"U\+{code}"):
            sd.read_trials(sound(**{f"x{text}": 1}))


def test_marks_of_direction_are_left_out():
    """An override would show the rest of a line in another order."""
    trials = sd.read_trials(sound(study=["\u202eAdb\u202c 2019", "\u2067שלום\u2069"]))
    assert list(trials.table["study"]) == ["Adb 2019", "שלום"]


def test_composed_and_decomposed_letters_are_one_study():
    trials = sd.read_trials(sound(study=["Cafe\u0301 Ångström", "Caf\u00e9 A\u030angstro\u0308m"], arm=["a", "b"]))
    assert trials.table["study"].nunique() == 1
    wide = sd.read_trials(sound(study=["ＡＢ", "AB"]))  # another width is another name
    assert wide.table["study"].nunique() == 2


@pytest.mark.parametrize(
    "name",
    ["C:\\data\\trials.csv", "..\\trials.xlsx", "con", "aux.csv", "trials.csv.", "nul.xlsx", "a\0b.csv", "x" * 300 + ".csv"],
)
def test_paths_that_are_not_there(name, run):
    with pytest.raises(sd.TrialsError, match=r"there is no file|cannot be read"):
        sd.read_trials(name)
    code, _, err = run("check-table", name)
    assert code == 1
    assert "Traceback" not in err
    assert len(err.splitlines()) <= 3


MARKS = [
    ("1.234,5", ".", "point|comma|thousands|number"),
    ("1 234", ".", "has a separator of thousands: write 1234"),
    ("1,234", ".", "may be of thousands or of decimals: write 1234 or 1.234"),
    ("0,5", ".", "has a decimal comma: write 0.5, or read the table with decimal=','"),
    ("1.234", ",", "may be of thousands or of decimals: write 1234 or 1,234"),
    ("1.234,5", ",", "has a separator of thousands: write 1234,5"),
]


@pytest.mark.parametrize(("cell", "decimal", "rule"), MARKS)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_marks_of_numbers_in_python_and_at_the_terminal(tmp_path, run, cell, decimal, rule, end):
    path, table = (
        tmp_path / "trials.csv",
        sound(study=["Müller", "李"], se=[cell, "0.2".replace(".", decimal)]).assign(effect=["0", "1"]),
    )
    path.write_bytes(table.to_csv(index=False, sep=";", lineterminator=end).encode("utf-8-sig"))
    with pytest.raises(sd.TrialsError, match=rule) as caught:
        sd.read_trials(path, decimal=decimal)
    (problem,) = caught.value.problems
    assert (problem.row, problem.study, problem.column, problem.value) == (2, "Müller", "se", cell)
    if end == "\r\n":
        code, out, err = run("check-table", str(path), "--decimal", decimal)
        assert code == 1
        assert "Traceback" not in out + err
        assert "row 2, study 'Müller', se" in " ".join((out + err).split())


def test_a_table_of_another_code_page_says_which_line(tmp_path, run):
    (tmp_path / "t.csv").write_bytes(sound(study=["Ada", "Müller"]).to_csv(index=False, lineterminator="\r\n").encode("cp1252"))
    code, _, err = run("check-table", str(tmp_path / "t.csv"))
    assert code == 1
    assert "line 3 is not UTF-8 text (byte 0xfc); save it as 'CSV UTF-8' or .xlsx" in " ".join(err.split())
