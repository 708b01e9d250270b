"""The report: what it writes, that text stays text, what checklists answer for fits that differ, and a real browser."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from conftest import make_table
from markdown_it import MarkdownIt

import stimdose as sd
from stimdose.columns import COLUMNS
from stimdose.reports import answers, checklists, data, methods, page, parts, robustness, tables, writing
from stimdose.reports.findings import OFF, Options, findings, sets_as_values, sets_of_values
from stimdose.reports.parts import TITLES, Figure, Section, Table, Text
from stimdose.reports.replies import AUTHORS, NOT_DONE, REPLIES
from stimdose.verdicts import WORDS

SCRIPT, ODD = "<script>alert(1)</script>", "a_b & 100% *x* [y](z) `c` \\d $e$ #f ~ ^ {g} | <i>"


def off(**changes) -> Options:
    """Options with all that is slow turned off."""
    return replace(Options({}, False, False, None, None), **changes)


@pytest.fixture(scope="session")
def hostile_fit() -> sd.Fit:
    """A fit of trials whose names are code, one of them without its dose."""
    table = make_table(8)
    table["study"] = table["study"].replace({"Trial 01": SCRIPT, "Trial 02": ODD})
    table.loc[3, "sessions"] = np.nan
    table = table.assign(outcome="FMA-UE", risk_of_bias="high", modality="rTMS")
    dose = sd.Dose(column="sessions", shape="log-linear", by="site")
    model = sd.Model(name="m_<b>&", description=ODD, intercept=sd.Intercept(), dose=[dose])
    return sd.fit(model, sd.read_trials(table, missing="keep"), seed=1, missing="impute", progress=False)


@pytest.fixture(scope="session")
def hostile(hostile_fit):
    """Everything that a report says of it."""
    return findings(hostile_fit, Options(sets_as_values(["sceptical"]), True, True, None, None))


@pytest.fixture(scope="session")
def small_report(hostile, tmp_path_factory) -> Path:
    """The folder of its report, with figures in the format of the page alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "FORMATS", ("svg",))
        return writing.write(hostile, tmp_path_factory.mktemp("report")).parent


@pytest.fixture(scope="session")
def no_dose(trials):
    model = sd.Model(name="pool", intercept=sd.Intercept())
    return findings(sd.fit(model, trials, seed=5, draws=500, progress=False), off())


@pytest.fixture(scope="session")
def unconverged(bell_model, trials):
    with pytest.warns(sd.ConvergenceWarning):
        fit = sd.fit(bell_model, trials, seed=1, draws=30, tune=20, progress=False)
    return findings(fit, off())


@pytest.fixture(scope="session")
def bell(bell_fit):
    return findings(bell_fit, off(check=True))


# --- the page


class Elements(HTMLParser):
    """Every element of a page with its attributes, and the text of the page."""

    def __init__(self, content: str):
        super().__init__()
        self.found, self.text = [], ""
        self.feed(content)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def all(self, tag: str) -> list[dict]:
        return [attrs for name, attrs in self.found if name == tag]


@pytest.fixture(scope="session")
def elements(small_report) -> Elements:
    return Elements((small_report / "report.html").read_text(encoding="utf-8"))


def test_a_report_writes_what_it_says(small_report, hostile_fit):
    assert {path.name for path in small_report.glob("[!.]*")} == {
        *("report.html", "methods.md", "manifest.json", "table.json", "fit.nc", "figures", "tables"),
    }
    names = {path.stem for path in (small_report / "tables").glob("*.csv")}
    assert names - {"trials"} == {path.stem for path in (small_report / "tables").glob("*.tex")}
    assert names - {"trials"} == {path.stem for path in (small_report / "tables").glob("*.html")}
    effects = pd.read_csv(small_report / "tables" / "effects.csv")
    np.testing.assert_array_equal(effects["shrunken"], sd.study_effects(hostile_fit, group="site")["shrunken"])  # every digit
    manifest = json.loads((small_report / "manifest.json").read_text(encoding="utf-8"))
    for name, known in manifest["tables"].items():
        assert hashlib.sha256((small_report / name).read_bytes()).hexdigest() == known
    assert {f"tables/{name}.csv" for name in names} == set(manifest["tables"])


def test_the_page_needs_nothing_else(elements):
    sources = [attrs[name] for _, attrs in elements.found for name in ("src", "href") if name in attrs]
    assert sources
    assert all(source.startswith(("data:", "#")) for source in sources)
    assert elements.all("script") == [{}]
    assert "src" not in str(elements.all("link")[0].keys())
    (policy,) = (attrs["content"] for attrs in elements.all("meta") if "http-equiv" in attrs)
    content = page.source("script")
    assert base64.b64encode(hashlib.sha256(content.encode()).digest()).decode() in policy
    assert "default-src 'none'" in policy


def test_the_page_is_accessible(elements):
    assert elements.all("html") == [{"lang": "en"}]
    ids = [attrs["id"] for _, attrs in elements.found if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert set(TITLES) <= set(ids)
    links = [attrs["href"][1:] for attrs in elements.all("a")]
    assert set(links) <= set(ids)
    assert links[0] == "content"
    images = elements.all("img")
    assert len(images) >= 8
    assert all(re.search(r"\d", attrs["alt"]) for attrs in images)
    assert len(elements.all("caption")) == len(elements.all("table")) > 10
    assert all(attrs.get("scope") in ("col", "row") for attrs in elements.all("th"))


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2."""
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


@pytest.mark.parametrize(
    ("ink", "paper"),
    [(ink, paper) for ink in ("ink", "soft", "link", "alarm") for paper in ("paper", "shade", "alarm-paper")],
)
def test_every_text_has_a_contrast_of_at_least_4_5(ink, paper):
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", page.source("style")))
    light, dark = sorted((luminance(colours[ink]), luminance(colours[paper])), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.5
    assert not re.search(r"(?<!-)(?:color|background):\s*#", page.source("style").partition("}")[2])  # no other colours


# --- text stays text


def test_names_that_are_code_stay_text_on_the_page(small_report, elements):
    assert SCRIPT in elements.text
    assert ODD in elements.text
    assert not elements.all("b")
    assert not elements.all("i")


def test_names_that_are_code_stay_text_in_tables(small_report):
    found = Elements((small_report / "tables" / "effects.html").read_text(encoding="utf-8"))
    assert SCRIPT in found.text
    assert ODD in found.text
    assert not found.all("script")
    content = (small_report / "tables" / "effects.tex").read_text(encoding="utf-8")
    assert r"a\_b \& 100\% *x*" in content
    assert r"\textless{}script\textgreater{}" in content
    assert tables.latex("\\d $e$ #f ~ ^ {g}") == r"\textbackslash{}d \$e\$ \#f \textasciitilde{} \textasciicircum{} \{g\}"
    assert set(pd.read_csv(small_report / "tables" / "check-studies.csv")["study"]) >= {SCRIPT, ODD}


@pytest.mark.parametrize(
    "words", [SCRIPT, ODD, "# no heading", "1. no list", "- no list", "+ no list", "a\n\n    code", "&amp; <!-- no -->"]
)
def test_names_that_are_code_stay_text_in_markdown(words):
    (opened, inline, closed) = MarkdownIt("commonmark").parse(methods.markdown(words))
    assert (opened.type, closed.type) == ("paragraph_open", "paragraph_close")
    assert "".join(child.content for child in inline.children) == " ".join(words.split())
    assert {child.type for child in inline.children} <= {"text", "text_special"}


def test_the_methods_state_this_model(hostile_fit, small_report):
    content = (small_report / "methods.md").read_text(encoding="utf-8")
    said = "".join(token.content for token in MarkdownIt("commonmark").parse(content) if token.type == "inline").replace("\\", "")
    for name, prior in hostile_fit.prior_table().iterrows():
        assert f"{name}: {prior['prior']}" in said
        assert prior["why"] in said
    assert "sessions (1 value)" in said
    assert "seed 1" in said
    assert "sessions (log-linear)" in said
    assert "doi:10.1214/20-BA1221" in said
    assert "doi:10.1002/jrsm.1475" in said  # which the reason of a prior cites
    assert "R-hat was at most 1.01" in said
    assert "0.1 SMD, with a probability of at least 0.9" in said


def test_cells():
    shown = {0.12345: "0.123", 12345.6: "12346", float("nan"): "–", None: "–", True: "yes", "": "–", 7: "7"}
    assert [tables.cell(value, "x") for value in shown] == list(shown.values())
    assert tables.cell(1.0, "r_hat") == "1.000"
    assert (tables.cell(0.0001, "p"), tables.cell(0.999, "p_at_high_end"), tables.cell(6.2, "p_loo")) == (
        "< 0.01",
        "> 0.99",
        "6.2",
    )
    frame = pd.DataFrame({"group": ["", ""], "x": [1.0, 2.0]}, pd.Index(["a", "b"], name="dose")).set_index("group", append=True)
    headings, lines, labels = tables.cells(Table("t", frame, "c"))
    assert headings == ["dose", "x"]
    assert labels == 1
    assert lines[1] == [("b", "b"), ("2", 2.0)]


def test_files_have_names_of_their_own():
    frame = pd.DataFrame({"x": [1.0]})
    blocks = [Table("a/b", frame, ""), Table("a: b", frame, ""), Figure("a/b", print, "", ""), Table("A b", frame, "")]
    (named,) = writing.with_file_names([Section("answer", tuple(blocks))])
    assert [block.name for block in named.blocks] == ["a-b", "a-b-2", "a-b", "A-b-3"]


def test_lines_without_an_identified_dose_show_none():
    frame = pd.DataFrame({"verdict": ["identified", "flat"], "best_dose": [12.0, 20.0], "low": [8.0, 5.0], "from": 1.0})
    frame.index = pd.Index(["acute", "chronic"], name="phase")
    _, (first, second), _ = tables.cells(Table("t", frame, "c"))
    assert [text for text, _ in first] == ["acute", "identified", "12", "8", "1"]
    assert second[2:] == [("–", None), ("–", None), ("1", 1.0)]
    frame.attrs["warning"] = "did not converge"
    assert tables.cells(Table("t", frame, "c"))[1][0][2] == ("–", None)


def test_numbers_have_no_exponents():
    assert [tables.cell(value, "low") for value in (-4.9e-05, 4.9e-05, 0.0, -0.0, 0.000137)] == [
        "> -0.0001",
        "< 0.0001",
        "0",
        "0",
        "0.000137",
    ]


# --- what the table is


def said_by(found) -> list[Text]:
    return answers.about_table(found)


def with_trials(found, *remarks, **columns):
    """The findings, of a table with these remarks and columns."""
    trials = found.fit.trials
    trials = replace(trials, table=trials.table.assign(**columns), remarks=remarks)
    return replace(found, fit=replace(found.fit, trials=trials))


def test_an_invented_table_says_so_before_all_else(bell):
    assert "SYNTHETIC" not in writing.heading(bell)[1]
    assert not said_by(bell)
    found = with_trials(bell, "mine: 12 invented trials, to try the package on.")
    assert writing.heading(found)[1].startswith("SYNTHETIC DATA; ")
    first = answers.section(found).blocks[0]
    assert first.kind == "warning"
    assert first.paragraphs == (answers.SYNTHETIC, "mine: 12 invented trials, to try the package on.")
    assert methods.paragraphs(found)["Data"][0] == answers.SYNTHETIC
    named = with_trials(bell, study="Synthetic trial " + bell.table["study"])
    assert said_by(named)[0].kind == "warning"  # also of a table that was read from a file


def test_strata_and_changes_within_groups_are_called_that(bell):
    found = with_trials(bell, "subset: {'stratified_by': 'sessions'}", design="stratum")
    (first,) = said_by(found)
    assert first.kind == "note"
    assert "Every row is a stratum: the pooled effect of several trials" in first.paragraphs[0]
    assert first.paragraphs[1] == "subset: stratified_by: sessions."
    assert first.paragraphs[0] in methods.paragraphs(found)["Data"]
    assert "only across, never within trials" in REPLIES["ecological"](found).words

    rows = len(bell.table)
    some = with_trials(bell, design=["within-group"] * 2 + ["parallel"] * (rows - 2))
    assert said_by(some)[0].paragraphs[0].startswith("2 rows are a change without a comparison")
    said = [words for block in answers.section(some).blocks if isinstance(block, Text) for words in block.paragraphs]
    (mean,) = [words for words in said if words.startswith("Averaged over")]
    assert "an improvement" in mean
    assert "benefit" not in mean


def test_nothing_names_a_best_dose_unless_it_is_identified(bell):
    """Neither sentences nor tables of the page, captions or alternative texts; files hold every number."""
    best = bell.optima["frequency_hz"]
    for verdict in (word for word in WORDS if word != "identified"):
        blocks = answers.section(replace(bell, optima={"frequency_hz": replace(best, verdicts={"": verdict})})).blocks
        (table,) = [block for block in blocks if isinstance(block, Table) and block.name == "optimum-frequency_hz"]
        assert not {"best_dose", "low", "high", "effect_at_best"} & set(table.shown)
        assert "best_dose" in table.frame
        (figure,) = [block for block in blocks if isinstance(block, Figure) and block.name == "optimum-frequency_hz"]
        assert "no best dose is identified" in figure.alt
        assert "median" not in figure.alt
        assert any("near-best" in block.name for block in blocks if isinstance(block, Figure)) == (verdict == "flat")


def test_other_priors_name_no_best_dose_where_none_is_identified(hostile):
    verdicts = set(hostile.priors.table()["verdict"])
    assert "identified" not in verdicts
    blocks = robustness.priors(hostile).blocks
    (table,) = [block for block in blocks if getattr(block, "name", "") == "priors-verdicts"]
    assert "best_dose" not in table.shown
    assert "best_dose" in table.frame
    (figure,) = [block for block in blocks if getattr(block, "name", "") == "priors-optima-sessions"]
    assert "no best dose is identified" in figure.alt
    assert "median" not in figure.alt


def test_measures_are_spelled_out(bell):
    assert "SMD (positive = benefit): standardised mean difference, Hedges g." in methods.paragraphs(bell)["Data"][0]
    assert "standardised mean difference" in REPLIES["measures"](bell).words
    assert set(data.MEASURES) == set(COLUMNS["measure"].levels)
    assert "0.1 SMD do not matter" in REPLIES["rope"](bell).words


def test_a_message_of_many_faults_is_one_sentence():
    assert parts.first_of("doses must be numbers:\n  - row 2: is open\n  - row 3: is open.") == (
        "doses must be numbers: row 2: is open; and 1 more"
    )
    assert parts.first_of("turned off") == "turned off"


# --- checklists


def words_of(found) -> dict[str, str]:
    return {name: reply(found).words for name, reply in REPLIES.items()}


def test_every_item_has_a_reply_and_no_reply_is_idle():
    asked = [item["answer"] for name in checklists.NAMES for item in checklists.checklist(name)["item"]]
    assert set(asked) == set(REPLIES)
    numbers = {name: [item["number"] for item in checklists.checklist(name)["item"]] for name in checklists.NAMES}
    assert numbers["prisma"] == "12 13a 13b 13c 13d 13e 13f 14 20a 20b 20c 20d 21".split()
    assert len(numbers["robust"]) == 7
    assert numbers["grade"] == ["analysis", "confounding", "ecological bias", "consistency", "indirect evidence"]
    assert len(set(numbers["barg"])) == len(numbers["barg"])


APART = {"reporting_bias", "reporting_bias_results", "software", "versions"}
"""Replies on what none of these fits has, or all have, which are tested apart."""
FIXED = {"for_authors", "bayes_factors", "draws_file", "loss", "not_mcmc"}
"""Replies that are true of every report: what no fit holds, what no report computes, and what every folder holds."""


def test_replies_follow_the_fit(bell, no_dose, unconverged, hostile):
    replies = [words_of(found) for found in (bell, no_dose, unconverged, hostile)]
    assert {name for name in REPLIES if len({each[name] for each in replies}) == 1} <= FIXED | APART
    of_bell, of_pool, of_bad, of_imputed = replies

    assert of_bell["explored"] == "By 2 doses (frequency_hz and sessions), 2 groups (phase and site) and 1 moderator (site)."
    assert of_pool["explored"].startswith(NOT_DONE)
    assert of_pool["gradient"].startswith(NOT_DONE)
    assert of_pool["decision"] == of_pool["rope"] == "No decision is made: the model has no dose."

    assert "nothing was imputed" in of_bell["conversions"]
    assert "sessions (1 value)" in of_imputed["conversions"]
    assert "did not converge" in of_bad["convergence"]
    assert "did not converge" not in of_bell["convergence"]
    assert "did not converge" in of_bad["results"]
    assert "did not converge" in of_bad["estimates"]
    frame = checklists.table_of("barg", unconverged).frame
    assert "did not converge" in frame.attrs["warning"]
    assert "warning" not in checklists.table_of("barg", bell).frame.attrs

    for name in ("posterior_predictive", "prior_predictive", "consistency", "sensitivity", "sensitivity_results"):
        assert OFF in of_pool[name]
        assert OFF not in of_bell[name].partition("other priors")[0].partition("Other priors")[0]
    for name in ("prior_sensitivity", "default_priors", "verdict_sensitivity"):
        assert OFF in of_bell[name]
    assert f"{bell.check.verdict}." in of_bell["posterior_predictive"]


def test_replies_follow_the_table_and_the_model(bell, bell_fit):
    table = bell_fit.trials.table.assign(risk_of_bias=["low", "high"] * 15)
    trials = replace(bell_fit.trials, table=table)
    judged = replace(bell, fit=replace(bell_fit, trials=trials))
    assert "not reported by the tables" in words_of(bell)["characteristics"]
    studies = table.drop_duplicates("study")["risk_of_bias"].value_counts()
    assert words_of(judged)["characteristics"].endswith(f"low {studies['low']} and high {studies['high']}.")

    plain = SimpleNamespace(fit=SimpleNamespace(model=SimpleNamespace(small_study=None, selection=None)))
    pet = SimpleNamespace(fit=SimpleNamespace(model=SimpleNamespace(small_study="pet", selection=None)))
    assert REPLIES["reporting_bias"](plain).words.startswith(NOT_DONE)
    assert "pet" in REPLIES["reporting_bias"](pet).words
    lacking = bell.prior_table.assign(why="").index
    unexplained = SimpleNamespace(prior_table=bell.prior_table.assign(why=""))
    assert "no reason is stated for" in REPLIES["prior_reasons"](unexplained).words
    assert lacking[0] in REPLIES["prior_reasons"](unexplained).words
    assert AUTHORS in words_of(bell)["eligible"]
    attrs = {"versions": json.dumps({"stimdose": "9.9.9", "nutpie": "0.0.1"})}
    assert REPLIES["software"](SimpleNamespace(fit=SimpleNamespace(tree=SimpleNamespace(attrs=attrs)))).words.startswith(
        "stimdose 9.9.9 and"
    )


def test_what_is_turned_off_is_named(no_dose, unconverged):
    for found in (no_dose, unconverged):
        texts = [
            paragraph
            for make in writing.SECTIONS
            for block in make(found).blocks
            if not isinstance(block, Table) and hasattr(block, "paragraphs")
            for paragraph in block.paragraphs
        ]
        assert sum(OFF in text for text in texts) >= 3  # checks, single studies, priors
    first = writing.SECTIONS[0](unconverged).blocks[0]
    assert first.kind == "warning"
    assert "Nothing below is to be relied on" in first.paragraphs[0]


def test_whether_more_is_better_is_not_said_of_a_fit_that_did_not_converge(bell, unconverged):
    line = {"dose": "sessions", "group": "", "from": 5.0, "to": 20.0, "difference": 0.4, "low": -0.1, "high": 1.0}
    table = pd.DataFrame([line | {"probability_positive": 0.84}])
    for found, is_said in ((bell, True), (unconverged, False)):
        found = replace(found, optima={})
        found.__dict__["more_is_better"] = table
        said = [words for block in answers.section(found).blocks if isinstance(block, Text) for words in block.paragraphs]
        assert any("exceeds that at 5 sessions" in words for words in said) == is_said


def test_a_fit_that_did_not_converge_names_no_dose(unconverged):
    best = replace(unconverged.optima["frequency_hz"], verdicts={"": "identified"})
    assert best.fit_warning
    blocks = writing.SECTIONS[0](replace(unconverged, optima={"frequency_hz": best})).blocks
    title, said = blocks[1].paragraphs
    assert title == "Frequency: did not converge"
    assert not re.search(r"\d", said)


def test_sets_of_priors_survive_a_manifest():
    given = {"mine": {"intercept": sd.Prior("normal", mu=0.0, sigma=0.2, why="small")}, "weak": sd.load_prior_set("weak")}
    assert sets_of_values(json.loads(json.dumps(sets_as_values(given)))) == given
    assert sets_as_values(None) == sets_as_values([]) == {}


def test_a_raw_difference_needs_delta(tmp_path):
    table = make_table(6).assign(measure="MD", outcome="FMA-UE")
    model = sd.Model(name="raw", outcome_sd=10.0, intercept=sd.Intercept(), dose=[sd.Dose(column="sessions", shape="linear")])
    fit = sd.fit(model, sd.read_trials(table), seed=1, draws=500, progress=False)
    with pytest.raises(sd.StimdoseError, match="state delta"):
        sd.report(fit, tmp_path / "out")
    assert not (tmp_path / "out" / "report.html").exists()


@pytest.mark.slow
def test_a_whole_report_of_two_doses_in_all_formats(bell_fit, tmp_path):
    path = sd.report(bell_fit, tmp_path)
    images = {path.name for path in (tmp_path / "figures").iterdir()}
    names = {name.rpartition(".")[0] for name in images}
    assert images == {f"{name}.{ending}" for name in names for ending in ("pdf", "svg", "png")}
    assert len(names) >= 18
    assert all(name in path.read_text(encoding="utf-8") for name in names)


@pytest.mark.slow
def test_a_report_of_an_ordinal_fit(tmp_path):
    from test_ordinal import ashworth, model_of

    fit = sd.fit(model_of(), sd.read_trials(ashworth()), seed=1, draws=500, progress=False)
    path = sd.report(fit, tmp_path, priors=None)
    found = Elements(path.read_text(encoding="utf-8"))
    assert "not available for this fit: an ordinal fit has no check" in found.text
    assert "cumulative probit" in found.text


@pytest.mark.slow
def test_a_report_of_participants_and_one_of_two_doses_multiplied(tmp_path, trials):
    from test_participants import children

    dose = sd.Dose(column="session_min", shape="bell")
    people = sd.Model(name="people", outcome_sd=1.0, intercept=sd.Intercept(), dose=[dose])
    fit = sd.fit(people, sd.read_trials(children()), seed=1, progress=False)
    found = Elements(sd.report(fit, tmp_path / "people", delta=0.1, priors=None).read_text(encoding="utf-8"))
    assert "48 rows (48 of them are participants) of 6 studies" in found.text

    times = sd.Dose(column="sessions", shape="log-linear")
    product = sd.Model(name="product", intercept=sd.Intercept(), dose=[sd.Dose(column="frequency_hz", shape="bell", times=times)])
    fit = sd.fit(product, trials, seed=1, progress=False)
    sd.report(fit, tmp_path / "product", priors=None, check=False)
    assert (tmp_path / "product" / "figures" / "surface-frequency_hz-sessions.svg").exists()


# --- a real browser

ORDER = """(() => {
    const table = [...document.querySelectorAll("table")].find((one) => one.caption.textContent.startsWith("Priors, each"));
    const headings = [...table.tHead.rows[0].cells], column = headings.findIndex((one) => one.textContent.trim() === "high");
    headings[column].querySelector("button").click();
    return [headings[column].ariaSort, [...table.tBodies[0].rows].map((row) => Number(row.cells[column].dataset.sort))];
})()"""


def test_a_browser_shows_the_report(small_report, hostile_fit, tmp_path, chromium):
    """Figures show, tables sort, nothing is asked of the network, the console is silent, and the page fits a narrow screen and paper."""

    async def look(browser):
        await browser.open((small_report / "report.html").as_uri())
        widths = await browser.run("[...document.images].map((image) => image.naturalWidth)")
        orders = [await browser.run(ORDER) for _ in range(2)]
        await browser.screenshot(tmp_path / "narrow.png", 390, 844)
        narrow = await browser.run("document.documentElement.scrollWidth")
        await browser.screenshot(tmp_path / "wide.png", 1280)
        await browser.print(tmp_path / "report.pdf")
        return widths, orders, narrow, browser.events

    widths, orders, narrow, events = chromium.with_page(look)
    assert len(widths) >= 8
    assert min(widths) > 100
    highs = sorted(hostile_fit.prior_table()["high"])
    assert orders == [["ascending", highs], ["descending", highs[::-1]]]
    assert narrow <= 390
    asked = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    assert asked[0].startswith("file:")
    assert all(url.startswith("data:") for url in asked[1:])
    assert not [
        event for event in events if event["method"] in ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")
    ]
    pages = len(re.findall(rb"/Type\s*/Page\b", (tmp_path / "report.pdf").read_bytes()))
    assert 8 <= pages <= 40


def test_columns_of_text_are_sorted_by_the_number_they_begin_with_and_empty_cells_come_last(tmp_path, chromium):
    ascending = ["−2.5 [−3, −1]", "-1", "0.25", "0.5", "5–10", "13a", "13b", "≥ 21", "1,200", "Abe", "研究"]
    shuffled = [*ascending[::2], "", *ascending[1::2], None]
    table = Table("text", pd.DataFrame({"dose": shuffled}), "Text")
    path = tmp_path / "page.html"
    path.write_text(page.render("Text", "", [Section("answer", (table,))], {}), encoding="utf-8")

    async def look(shown):
        await shown.open(path.as_uri())
        rows = "[...document.querySelectorAll('tbody tr')].map((row) => row.textContent.trim())"
        clicked = f"document.querySelector('thead button').click(), {rows}"
        return [await shown.run(clicked) for _ in range(2)]

    assert chromium.with_page(look) == [[*ascending, "–", "–"], [*ascending[::-1], "–", "–"]]
