"""Sentences on results: words for probabilities, and that no verdict but "identified" can be read as advice."""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import stimdose as sd
from stimdose import sentences
from stimdose.dose_space import Confounder
from stimdose.joint_verdicts import WORDS as JOINT_WORDS
from stimdose.optima import optimum_of
from stimdose.verdicts import WORDS

ADVICE = re.compile(
    r"\b(optim\w+|recommend\w*|should|must|advis\w+|choose|prefer\w*|use|best|treat\w*|effective)\b", re.IGNORECASE
)
DOSES = np.geomspace(1.0, 50.0, 41)
SHAPES = {
    "identified": lambda x, draw: np.exp(-0.5 * (np.log(x / 12.34) / 0.4) ** 2) + 0.02 * draw,
    "still rising": lambda x, draw: np.log(x) / 4 + 0.02 * draw,
    "still falling": lambda x, draw: -np.log(x) / 4 + 0.02 * draw,
    "flat": lambda x, draw: 0.001 * np.log(x) + 0.1 * draw,
    "not identified": lambda x, draw: 0.3 * draw * np.log(x),
}


def curves(shape, seed: int = 1, shift=0.0) -> xr.DataArray:
    """Draws (chain, draw, dose) of a curve; shift (chains,) moves the logarithm of the dose of each chain."""
    noise = np.random.default_rng(seed).standard_normal((4, 500, 1))
    x = DOSES * np.exp(-np.broadcast_to(shift, 4))[:, None, None]
    attrs = {"dose": "frequency_hz", "observed": [1.0, 50.0], "effect_label": "SMD (positive = benefit)", "log_axis": 1}
    coords = {"chain": range(4), "draw": range(500), "frequency_hz": DOSES}
    return xr.DataArray(shape(x, noise), coords, ("chain", "draw", "frequency_hz"), attrs=attrs)


def optimum(verdict: str, **changes) -> sd.Optimum:
    """An optimum with this verdict, from draws that give it."""
    prior, more = curves(SHAPES["not identified"], seed=2), {}
    if verdict == "confounded":
        shape, more = SHAPES["still rising"], {"rivals": (Confounder("pulses_per_session", 0.9, 30, False),)}
    elif verdict == "did not converge":
        shape, more = SHAPES["identified"], {"shift": np.array([-1.0, 0.0, 0.5, 1.0])}
    else:
        shape = SHAPES[verdict]
    found = optimum_of(curves(shape, shift=more.pop("shift", 0.0)), prior, delta=0.1, **more, **changes)
    assert found.verdict == verdict
    return found


@pytest.mark.parametrize("verdict", WORDS)
def test_only_an_identified_dose_is_named(verdict):
    (words,) = sentences.about_best_dose(optimum(verdict)).values()
    numbers = set(re.findall(r"\d+(?:\.\d+)?", words))
    if verdict == "identified":
        assert float(re.search(r"about ([\d.]+) Hz", words)[1]) == pytest.approx(
            12.34, rel=0.03
        )  # parabola through points of the grid
        assert {"95", "1", "50"} <= numbers
        assert "is not advice on treatment" in words
    else:
        assert numbers <= {"1", "50", "0.1"}  # the range that was tried, and the difference that matters
        assert not ADVICE.search(words.replace(sentences.NO_ADVICE, ""))
        assert (sentences.NO_ADVICE in words) == (verdict in ("still rising", "still falling"))


def test_a_fit_that_did_not_converge_names_no_dose_whatever_its_verdict():
    (words,) = sentences.about_best_dose(optimum("identified", fit_warning="Warning: the fit did not converge.")).values()
    assert words.startswith("The computation did not converge")
    assert not re.search(r"\d", words)


@pytest.mark.parametrize("word", JOINT_WORDS)
def test_only_an_identified_combination_is_named(word):
    verdict = word if word in ("identified", "flat", "not identified", "did not converge") else f"{word} in session_min"
    columns = ["best_dose", "effect_at_best", "effect_low", "effect_high"]
    table = pd.DataFrame([[12.0, 0.5, 0.2, 0.8], [20.0, 0.5, 0.2, 0.8]], ["frequency_hz", "session_min"], columns)
    best = SimpleNamespace(
        verdict=verdict,
        fit_warning="",
        doses=["frequency_hz", "session_min"],
        delta=0.1,
        surface=SimpleNamespace(attrs={"effect_label": "SMD (positive = benefit)"}),
        table=lambda prob: table,
    )
    words = sentences.about_best_combination(best)
    if word == "identified":
        assert "12 Hz and 20 min" in words
    else:
        assert set(re.findall(r"\d+(?:\.\d+)?", words)) <= {"0.1"}
        assert not ADVICE.search(words.replace(sentences.NO_ADVICE, ""))
    assert words.count(sentences.NO_ADVICE) == (word in ("identified", "still rising", "still falling"))
    best.fit_warning = "Warning"
    assert sentences.about_best_combination(best).startswith("The computation did not converge")


def test_words_for_probabilities_are_these():
    words = {p: sentences.chance_words(p) for p in (0.0, 0.02, 0.1, 0.3, 0.5, 0.7, 0.87, 0.96, 0.999)}
    assert words == {
        0.0: "almost excluded (< 0.01)",
        0.02: "very unlikely (0.02)",
        0.1: "unlikely (0.10)",
        0.3: "less likely than not (0.30)",
        0.5: "about as likely as not (0.50)",
        0.7: "more likely than not (0.70)",
        0.87: "likely (0.87)",
        0.96: "very likely (0.96)",
        0.999: "almost certain (> 0.99)",
    }


def test_words_are_those_of_the_number_as_it_is_printed():
    for p in np.linspace(0, 1, 2001):
        words, number = re.fullmatch(r"(.+) \((.+)\)", sentences.chance_words(p)).groups()
        printed = {"< 0.01": 0.0, "> 0.99": 1.0}.get(number)
        printed = float(number) if printed is None else printed
        assert words == next(known for least, known in sentences.CHANCES if printed >= least)


def test_whether_more_is_better_is_no_advice():
    line = {"dose": "sessions", "group": "acute", "from": 5.0, "to": 20.0, "difference": 0.456, "low": -0.1, "high": 1.0}
    one, note = sentences.about_more_is_better(pd.DataFrame([line | {"probability_positive": 0.84}]), "SMD")
    assert one == (
        "acute: It is likely (0.84) that the effect at 20 sessions exceeds that at 5 sessions; "
        "the difference is 0.46 SMD [-0.10 to 1.00]."
    )
    assert note.endswith(sentences.NO_ADVICE)


def test_words_for_probabilities_mirror_each_other():
    bounds = [least for least, _ in sentences.CHANCES]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[-1] == 0
    assert np.allclose([1 - bound for bound in bounds[:-1]], bounds[-2::-1])


def test_curves_in_numbers_are_those_of_the_draws():
    draws = curves(SHAPES["still rising"])
    middle = draws.isel(frequency_hz=20).values
    low, high = np.quantile(middle, [0.025, 0.975])
    assert f"{middle.mean():.2f} [{low:.2f} to {high:.2f}] at {DOSES[20]:.3g} Hz" in sentences.curve_in_numbers(draws)


def test_curves_in_numbers_keep_to_the_doses_that_were_tried():
    draws = curves(SHAPES["still rising"]).assign_attrs(observed=[5.0, 20.0])
    said = sentences.curve_in_numbers(draws)
    doses = [float(dose) for dose in re.findall(r"at ([\d.]+) Hz", said)]
    assert doses == pytest.approx([5, 10, 20], rel=0.06)  # to the next dose of the grid
    groups = xr.concat([draws, draws], xr.DataArray(["acute", "chronic"], dims="phase", name="phase"))
    groups.attrs |= {"observed": [1.0, 50.0], "observed_by_group": '{"acute": [1, 5]}'}
    acute, chronic = sentences.curve_in_numbers(groups).split("; ")
    assert (max(map(float, re.findall(r"at ([\d.]+) Hz", acute))), "50 Hz" in chronic) == (pytest.approx(5, rel=0.06), True)


def test_what_moves_a_verdict_is_named():
    index = pd.MultiIndex.from_product([["reference", "weak", "sceptical"], ["sessions"], [""]], names=["set", "dose", "group"])
    table = pd.DataFrame({"verdict": ["still rising", "not identified", "still rising"]}, index)
    found = SimpleNamespace(table=lambda: table, reference="reference")
    assert sentences.about_other_priors(found, "sessions").endswith("not identified under weak.")
    table["verdict"] = "flat"
    assert "the same under the other priors that were compared (weak, sceptical)" in sentences.about_other_priors(
        found, "sessions"
    )
    moved = pd.DataFrame(
        {"study": ["A", "B"], "dose": "sessions", "group": "", "verdict": ["flat", "identified"], "changes": [True, False]}
    )
    check = SimpleNamespace(tables={"left_out": moved})
    assert sentences.about_single_studies(check, "sessions") == "The verdict hangs on single studies: flat without A."


def test_the_mean_effect_of_a_fit(bell_fit):
    effects = sd.study_effects(bell_fit)
    words = sentences.about_mean_effect(effects)
    pooled = effects.attrs["pooled"]
    assert f"{pooled['mean']:.2f} SMD [{pooled['low']:.2f} to {pooled['high']:.2f}]" in words
    assert "compatible with a benefit." in words
    effects.attrs["pooled"] = pooled | {"low": -0.1}
    assert "a benefit, none, or a harm" in sentences.about_mean_effect(effects)
    changes = sentences.about_mean_effect(effects, compared=False)  # within groups nothing is a benefit of treatment
    assert "an improvement, none, or a worsening" in changes
    assert "benefit" not in changes


def test_the_page_on_reports_has_the_words_for_probabilities():
    page = (Path(__file__).parents[1] / "docs" / "report.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.*?) \| (.*?) \|$", page.split("| probability | words |")[1].split("\n\n")[0], re.M)
    found = [(0.0 if least == "less" else float(least.split()[0]), words) for least, words in rows]
    assert found == list(sentences.CHANCES)
