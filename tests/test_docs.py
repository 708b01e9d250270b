"""Every block of every page runs and prints what the page says; the tables of pages are the package's; the site is complete."""

import re
from pathlib import Path

import numpy as np
import pytest
from pages import DOCS, MADE, PAGES, RUN, SHOWN, blocks, compare, run

import stimdose as sd
from stimdose.shapes import SHAPES

QUICK = ("your-table",)
"""Pages whose code takes a few seconds; that of the others is run by `make docs`."""
BY_HAND = re.compile(r"((\.venv/bin/)?(pip|python3?)|make|pytest|git|pre-commit|bash \.ci/run)\b")
"""Commands that set things up, in `console` blocks: CI runs them itself."""
PROGRAMS = [
    name for name, path in PAGES.items() if any(block.language in RUN for block in blocks(path.read_text(encoding="utf-8")))
]


@pytest.mark.parametrize("name", PAGES)
def test_every_block_of_a_page_is_of_a_kind_that_is_checked(name):
    for block in blocks(PAGES[name].read_text(encoding="utf-8")):
        if block.language == "console":
            assert all(BY_HAND.match(line) for line in block.code.splitlines()), block
        else:
            assert block.language in RUN + SHOWN, block
        assert bool(block.file) == (block.language in ("toml", "csv") or block.language == "{include}"), block


@pytest.mark.parametrize("name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.page) for name in PROGRAMS])
def test_the_code_of_a_page_prints_what_it_says(name, tmp_path):
    for block, printed in run(PAGES[name], tmp_path):
        if block.language == "python" or (block.language == "sh" and block.printed):
            compare(printed, block.printed, f"{name}, line {block.line}")
    drawn = {path.name for path in tmp_path.glob("*.png")}
    shown = {Path(image).name for image in re.findall(r"\((?:docs/)?images/(.*?)\)", PAGES[name].read_text(encoding="utf-8"))}
    assert drawn == shown


def test_every_page_has_a_place_in_the_site():
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    listed = [
        line for block in re.findall(r"```{toctree}\n(.*?)```", index, re.DOTALL) for line in block.split("\n\n")[1].split()
    ]
    pages = {path.stem for path in DOCS.glob("*.md")} - {"index"} | {"gallery/README", MADE}
    assert sorted(listed) == sorted(pages)


def test_the_reference_has_every_public_name():
    text = "".join(path.read_text(encoding="utf-8") for path in DOCS.glob("reference-*.md"))
    named = re.findall(r"auto(?:class|function|module):: (?:stimdose\.)?(\w+)", text)
    assert sorted(named) == sorted(set(sd.__all__) - {"COLUMNS", "columns"})  # whose reference is the data dictionary


def rows_of(section: str) -> dict[str, list[str]]:
    """The other cells of each shape in the table of a section of the page on shapes."""
    (text,) = re.findall(rf"^## {section}\n(.*?)^## ", (DOCS / "shapes.md").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| `")]
    return {name.strip("`"): rest for name, *rest in lines}


def test_the_page_says_of_every_shape_when_to_use_it():
    rows = rows_of(r"Which one\?")
    assert set(rows) == set(SHAPES)
    for name, (when, peak) in rows.items():
        assert when == SHAPES[name].when
        can_peak = SHAPES[name](10.0, (3.0, 40.0)).can_peak
        assert peak == ("with two powers" if name == "fractional-polynomial" else "yes" if can_peak else "no")
    assert SHAPES["fractional-polynomial"](10.0, (3.0, 40.0), powers=(0.5, 1)).can_peak


def prior_in_words(name: str, prior: sd.Prior) -> str:
    if name == "lengthscale":
        return "see below"
    if prior.family in ("normal", "halfnormal"):
        return f"N(0, {prior.sigma:g})" if prior.family == "normal" else f"half-N({prior.sigma:g})"
    ends = {"10": "low/3", "30": "low", "3000": "high"}
    low, high = (f"{float(f'{end:.2g}'):g}" for end in prior.distribution.ppf([0.025, 0.975]))
    return f"{ends.get(low, low)} to {ends.get(high, high)}"


def test_the_page_states_the_default_priors():
    rows = rows_of("Formulas and default priors")
    assert set(rows) == set(SHAPES)
    for name, (_, stated) in rows.items():
        priors = SHAPES[name](100.0, (30.0, 3000.0)).default_priors()
        lines = [f"{re.sub(r'_\d+$', 's', key)} {prior_in_words(key, prior)}" for key, prior in priors.items()]
        assert stated.removesuffix(", see below") == ", ".join(dict.fromkeys(lines))


def test_the_formulas_of_the_page_are_those_of_the_code():
    checked = set()
    for name, (cell, _) in rows_of("Formulas and default priors").items():
        for number, formula in enumerate(text for text in re.findall(r"`(.*?)`", cell) if "*" in text):
            powers = {"powers": (0.5, 2.0)[: 1 + number]} if name == "fractional-polynomial" else {}
            basis = sd.Dose(column="sessions", shape=name, **powers).basis
            p = {key: 1.3 * basis.default_priors()[key].distribution.median() for key in basis.nonlinear}
            coefficients = dict(zip(basis.coefficients, (0.7, -0.2), strict=False))
            known = {"exp": np.exp, "log": np.log, "min": min, "p": 0.5, "q": 2.0, **p, **coefficients}
            for dose in (0.5, 8.0, 17.0, 60.0):
                expected = eval(formula.replace("^", "**"), known | {"dose": dose, "d": dose / 10})
                found = sum(b * column for b, column in zip(coefficients.values(), basis.columns(dose, **p), strict=True))
                assert found == pytest.approx(expected, rel=1e-6), (name, dose)
            checked.add(name)
    assert set(SHAPES) - checked == {"monotone", "restricted-cubic-spline", "gaussian-process"}


def test_the_page_names_every_option_of_a_shape():
    rows = rows_of("Options")
    for option in {option for shape in SHAPES.values() for option in shape.options}:
        assert set(re.findall(r"`(.*?)`", rows[option][0])) == {name for name, shape in SHAPES.items() if option in shape.options}
