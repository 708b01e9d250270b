"""The pages on shapes, groups, two doses, decisions and robustness: their code prints what they say, and their tables are the package's."""

import re
from pathlib import Path

import numpy as np
import pytest

import stimdose as sd
from stimdose.shapes import SHAPES

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```)?", re.DOTALL)
NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?")


def words_and_numbers(text: str) -> tuple[list[str], np.ndarray]:
    """The words of a text, and its numbers but those on lines of elpd, whose differences and weights are within their own error of 0."""
    numbers = [number for line in text.splitlines() if "elpd" not in line for number in NUMBER.findall(line)]
    return NUMBER.sub("", text).split(), np.array(numbers, float)


@pytest.mark.parametrize(
    "page",
    [
        "shapes",
        "priors",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("groups", "two-doses", "decisions", "checks", "robustness", "comparing", "cp-spasticity")
        ),
    ],
)
def test_the_code_of_a_page_prints_what_it_says(page, tmp_path, monkeypatch, capsys):
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    names = {}
    for code, printed in BLOCK.findall(text):
        exec(compile(code, page, "exec"), names)
        (found_words, found), (words, numbers) = map(words_and_numbers, (capsys.readouterr().out, printed))
        assert found_words == words
        np.testing.assert_allclose(found, numbers, rtol=0.1, atol=0.03)  # machines differ by the Monte Carlo error of draws
    drawn = {path.name for path in tmp_path.glob("*.png")}
    assert drawn
    assert drawn == {Path(name).name for name in re.findall(r"\(images/(.*?)\)", text)}


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


def test_the_dose_of_the_page_is_valid(tmp_path):
    (text,) = re.findall(r"```toml\n(.*?)```", (DOCS / "shapes.md").read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "m.toml").write_text(f'name = "page"\n{text}', encoding="utf-8")
    assert sd.load_model(tmp_path / "m.toml").dose[0].knots == (5, 10, 20, 30)
