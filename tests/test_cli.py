"""The command line, as a user calls it."""

import json
import re
import shlex
import warnings
from pathlib import Path

import pandas as pd
import pytest
import typer
from conftest import make_table

import stimdose as sd
from stimdose import cli, options, shipped, terminal
from stimdose.shapes import SHAPES

COMMANDS = typer.main.get_command(cli.app).commands


def test_help_names_every_command(run):
    code, out, _ = run("--help")
    assert code == 0
    assert len(COMMANDS) == 22
    assert all(re.search(rf"^│ {name} ", out, re.MULTILINE) for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_has_an_example(run, command):
    code, out, _ = run(command, "--help")
    assert code == 0
    assert re.search(rf"Examples?: stimdose {command}", out)


@pytest.mark.parametrize("command", COMMANDS)
def test_examples_are_commands_that_exist(command):
    lines = COMMANDS[command].epilog.split(":", 1)[1].split("\n\n")
    for line in lines:
        program, name, *words = shlex.split(line)
        assert (program, name) == ("stimdose", command)
        COMMANDS[command].make_context(name, words)


def test_lists(run):
    assert "stroke_therapy_hours" in run("datasets")[1]
    assert "CC BY-SA 4.0" in run("datasets", "stroke_therapy_hours")[1]
    assert "stimulation" in run("models")[1]
    out = run("models", "stimulation")[1]
    assert "frequency_hz_peak" in out
    assert "lognormal" in out


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_is_printed_with_its_formula_and_every_prior(run, name):
    code, out, _ = run("shapes", name, "--dose", "frequency_hz")
    assert code == 0
    shape = SHAPES[name](10.0, (1.0, 50.0))
    assert out.startswith(f"{name}: {shape.when}\n\n{SHAPES[name].__doc__.splitlines()[0]}")
    assert all(f"│ {parameter} " in out for parameter in (*shape.coefficients, *shape.nonlinear))
    assert f'shape = "{name}"' in out


def test_the_list_of_shapes_says_when_to_use_each(run):
    out = " ".join(run("shapes")[1].replace("│", " ").split())
    assert all(f"{name} {shape.when[:30]}" in out for name, shape in SHAPES.items())


def test_a_shape_or_dose_that_does_not_exist_has_its_nearest_name(run):
    code, _, err = run("shapes", "emx", "--dose", "frequency")
    assert code == 1
    assert "did you mean 'emax'" in err
    assert "did you mean 'frequency_hz'" in err


def test_check_table_of_a_good_table(run, tmp_path):
    make_table().drop(columns="direction").to_csv(tmp_path / "t.csv", index=False)
    code, out, _ = run("check-table", str(tmp_path / "t.csv"), "--set", "direction=higher")
    assert code == 0
    assert "30 rows of 20 studies" in out
    assert "Note: direction: filled in where it was empty (stated for the whole table): 30 rows" in out
    assert "30 rows have everything, all doses included" in out


CHANGES = (
    "study;direction;measure;comparator;design;n_active;baseline_mean_active;baseline_sd_active;mean_active;sd_active;pre_post_r"
)
HALF = 25 / 20
"""Variance of a mean change of 20 people: 5^2 + 5^2 - 2 r 5 5 = 25 at r = 0.5."""


def test_a_table_with_decimal_commas_and_a_stated_correlation(run, tmp_path):
    row = "higher;MC;none;within-group;20;30,5;5,0;33,25;5,0"
    (tmp_path / "t.csv").write_text(f"{CHANGES}\nA;{row};\nB;{row};0,8\n", encoding="utf-8")
    code, out, err = run("check-table", str(tmp_path / "t.csv"), "--decimal", ",")
    assert code == 1
    assert "variance: is empty: state pre_post_r" in out
    assert "cells that every fit needs are empty: 1" in err
    arguments = ("--decimal", ",", "--set", "pre_post_r=0.5", "-o", str(tmp_path / "out"))
    code, out, _ = run("check-table", str(tmp_path / "t.csv"), *arguments)
    assert code == 0
    audit = pd.read_csv(tmp_path / "out" / "audit.csv")
    assert audit["computed"][audit["column"] == "effect"].astype(float).tolist() == [2.75, 2.75]
    assert audit["computed"][audit["column"] == "variance"].astype(float).tolist() == pytest.approx([HALF, 0.4 * HALF])
    assert audit["assumption"][audit["column"] == "variance"].tolist() == ["r = 0.5", "r = 0.8"]


def test_reading_options_reach_the_table(run, tmp_path):
    table = make_table().head(4).assign(n_active=20, n_control=20, modality="iTBS", frequency_hz=None, se=None)
    with pd.ExcelWriter(tmp_path / "t.xlsx") as book:
        pd.DataFrame({"study": ["nothing"]}).to_excel(book, sheet_name="first", index=False)
        table.to_excel(book, sheet_name="second", index=False)

    def audit(*options: str) -> pd.DataFrame:
        code, _, err = run("check-table", str(tmp_path / "t.xlsx"), "--sheet", "second", "-o", str(tmp_path), *options)
        assert code == 0, err
        return pd.read_csv(tmp_path / "audit.csv")

    def hertz(found: pd.DataFrame) -> set[float]:
        return set(found["computed"][found["column"] == "frequency_hz"].astype(float))

    found = audit()
    assert hertz(found) == {5.0}
    assert found["formula"].str.contains("evaluated at the mean effect").sum() == 4
    found = audit("--tbs-frequency", "carrier", "--smd-variance", "printed")
    assert hertz(found) == {50.0}
    assert not found["formula"].str.contains("evaluated at the mean effect").any()
    code, _, err = run("check-table", str(tmp_path / "t.xlsx"), "--sheet", "third")
    assert code == 1
    assert "has no sheet 'third'; there are first, second" in err


def test_shipped_tables_are_read_as_they_are_and_their_file_is_named(run):
    code, _, err = run("check-table", "rtms_pain", "--smd-variance", "printed", "--set", "time_correlation=0.5")
    assert code == 1
    assert "for time_correlation, smd_variance, give the file itself: " in err
    code, out, _ = run("check-table", err.split()[-1], "--set", "time_correlation=0.5")
    assert "time_correlation: is empty" not in out


def test_points_of_several_outcomes_are_put_on_one_scale():
    given = {"missing": "error", "delta": 0.1, "allow_mixed": None}
    name = "synthetic_rtms_spasticity"
    units = ["FMA-UE=10", "MAS=0.8", "MBI=20"]
    _, table = options.model_and_table("rtms-spasticity", name, None, None, None, unit=units, **given)
    expected = sd.load_dataset(name).in_units({"FMA-UE": 10, "MAS": 0.8, "MBI": 20})
    pd.testing.assert_frame_equal(table.table, expected.table)
    with pytest.raises(sd.StimdoseError, match="write outcome=points, not 'MAS'"):
        options.model_and_table("rtms-spasticity", name, None, None, None, unit=["MAS"], **given)


def test_many_notes_are_cut_and_the_rest_is_in_the_audit(run, tmp_path):
    table = make_table().assign(n_active=range(20, 50), n_control=20, outcome=[f"scale {k}" for k in range(30)], se=None)
    table.to_csv(tmp_path / "t.csv", index=False)
    code, out, _ = run("check-table", str(tmp_path / "t.csv"), "-o", str(tmp_path))
    assert code == 0
    assert out.count("Note: ") == terminal.LISTED
    (more,) = re.findall(r"and (\d+) more in .*audit\.csv", out)
    assert int(more) + terminal.LISTED == 1 + 1 + 30  # outcomes taken as different people; variances from sizes; 30 mean effects
    assert len(pd.read_csv(tmp_path / "audit.csv")) == 1 + 30 + 30
    assert "and 7 more with -o DIR, in DIR/audit.csv" in run("check-table", str(tmp_path / "t.csv"))[1]


def test_check_table_lists_every_fault_at_once(run, tmp_path):
    table = make_table().astype({"frequency_hz": object})
    table.loc[0, "se"], table.loc[4, "frequency_hz"], table.loc[6, "phase"] = -1, "fast", "old"
    table.to_csv(tmp_path / "t.csv", index=False)
    code, _, err = run("check-table", str(tmp_path / "t.csv"))
    assert code == 1
    assert re.search(r"row 2.*se = '-1.0'", err)
    assert re.search(r"row 6.*frequency_hz = 'fast'", err)
    assert re.search(r"row 8.*phase = 'old'", err)


def test_check_table_of_a_partial_extraction_says_what_is_missing(run):
    code, out, err = run("check-table", "rpms_stroke_partial")
    assert code == 1
    assert "\ndirection: is empty (16 rows: 21, 24, 25, 27, 29 to 32, 35, 36, 38 to 43)\n" in out
    assert "\nfrequency_hz: is empty (34 rows: 2 to 8, " in out
    assert "\neffect: is empty: give it, " in out
    assert (
        "\ntime_correlation: is empty: rows on the same people at several time points need it; state 0 for independence (5 rows: "
        in out
    )
    assert "cells that every fit needs are empty" in err


def test_check_table_counts_what_studies_report(run, tmp_path):
    code, out, _ = run("check-table", "rtms_pain", "-o", str(tmp_path / "a" / "b"))
    assert code == 1  # the gaps are an error, and the counts are written all the same
    assert re.search(r"dose: frequency_hz 23, pulses_per_session 22", out)
    assert re.search(r"Reported by no study: .*coil_type", out)
    counts = pd.read_csv(tmp_path / "a" / "b" / "completeness.csv").set_index("field")
    assert counts.loc["frequency_hz", ["item", "studies", "rows"]].tolist() == ["TIDieR 8", 23, 40]
    flags = pd.read_csv(tmp_path / "a" / "b" / "reported.csv").set_index("study")
    assert flags["frequency_hz"].sum() == 23
    audit = pd.read_csv(tmp_path / "a" / "b" / "audit.csv")
    assert list(audit) == ["row", "study", "column", "printed", "computed", "formula", "assumption", "source"]
    assert (audit["column"] == "on_time_s").sum() == 31
    assert all(f"{name}.csv" in out for name in ("audit", "completeness", "reported"))


def test_template_writes_a_new_file_and_never_over_one(run, tmp_path):
    for name in ("trials.xlsx", "trials.csv"):
        path = tmp_path / name
        assert run("template", "-o", str(path))[0] == 0
        content = path.read_bytes()
        code, _, err = run("template", "-o", str(path), "--all")
        assert code == 1
        assert "exists already" in err
        assert path.read_bytes() == content


def test_template_to_standard_output(run, monkeypatch):
    code, out, _ = run("template", "--csv", "--all")
    assert code == 0
    assert out.startswith("study,outcome,arm,")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    code, out, err = run("template")
    assert (code, out) == (1, "")
    assert "-o trials.xlsx" in err


@pytest.mark.parametrize("arguments", [("-o", "trials.ods"), ("-o", "trials.xlsx", "--csv"), ("-o", "no/such/folder/t.csv")])
def test_template_says_what_is_wrong_with_a_name(run, arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = run("template", *arguments)
    assert code == 1
    assert "must end in" in err or "cannot write" in err
    assert not list(tmp_path.iterdir())


def test_fit_writes_everything_it_names(run, tmp_path):
    code, out, _ = run(
        "fit",
        "pooled",
        "rtms_upper_limb_strata",
        "--where",
        "stratified_by=site",
        "-o",
        str(tmp_path / "a" / "b"),
        "--seed",
        "1",
        "-q",
    )
    assert code == 0, out
    names = {path.name for path in (tmp_path / "a" / "b").glob("[!.]*")}
    assert names == {"fit.nc", "parameters.csv", "priors.csv", "effects.csv", "audit.csv", "forest.pdf", "forest.png"}
    assert "converged" in out
    (written,) = re.findall(r"^Wrote to .*: (.*)$", out, re.MULTILINE)
    assert set(written.split(", ")) == names


def test_fit_with_missing_doses(run, tmp_path):
    table = make_table()
    table.loc[[2, 9], "sessions"] = None
    arms = {"effect": None, "se": None, "mean_active": 30.0, "mean_control": 28.0, "n_active": 20, "n_control": 20}
    for row, spread in ((5, None), (6, 7.5), (7, 9.0)):
        for name, value in (arms | {"sd_active": spread, "sd_control": spread}).items():
            table.loc[row, name] = value
    table.to_csv(tmp_path / "t.csv", index=False)
    (tmp_path / "m.toml").write_text(
        'name = "m"\n[intercept]\n[[dose]]\ncolumn = "sessions"\nshape = "linear"\n', encoding="utf-8"
    )
    arguments = ("fit", str(tmp_path / "m.toml"), str(tmp_path / "t.csv"), "-o", str(tmp_path / "out"), "-q")
    code, _, err = run(*arguments)
    assert code == 1
    assert re.search(r"row 4, .*sessions: is empty\n(.*\n)*.*row 11, .*sessions: is empty", err)
    assert "no standard deviation is printed" in err
    code, out, err = run(*arguments, "--missing", "impute", "--seed", "1", "--draws", "200", "--tune", "300", "--chains", "2")
    assert code == 0, err
    imputed = pd.read_csv(tmp_path / "out" / "imputed.csv")
    assert list(zip(imputed["row"], imputed["column"], strict=True)) == [(4, "sessions"), (11, "sessions"), (7, "sd")]
    assert (imputed["low"] < imputed["median"]).all()
    assert (imputed["median"] < imputed["high"]).all()
    assert "imputed.csv" in out
    assert "audit.csv" in out


@pytest.mark.parametrize("column", ["measure", "direction"])
@pytest.mark.parametrize("command", [("fit", "-o", "x", "frequency-bell"), ("within-across", "frequency-bell")])
def test_what_a_table_lacks_is_said_before_delta_is_asked_for(run, tmp_path, monkeypatch, command, column):
    monkeypatch.chdir(tmp_path)
    make_table().drop(columns=column).to_csv("t.csv", index=False)
    code, _, err = run(*command, "t.csv", *["sessions"] * (command[0] == "within-across"))
    assert code == 1
    assert re.search(rf"row 2, study 'Trial 00', {column}: is empty", err)
    assert "delta" not in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("fit", "pooled", "nothing.csv", "-o", "x"), "there is no file nothing.csv"),
        (("fit", "pooled", "no_such_table", "-o", "x"), "no dataset"),
        (("fit", "poold", "stroke_therapy_hours", "-o", "x"), "did you mean 'pooled'"),
        (("fit", "sessions-by-phase", "stroke_therapy_hours", "-o", "x"), "does not fit"),
        (("fit", "pooled", "rtms_upper_limb_strata", "--where", "site", "-o", "x"), "column=value"),
        (("fit", "pooled", "rtms_upper_limb_strata", "--where", "site=", "-o", "x"), "no row has"),
        (
            ("fit", "pooled", "rtms_upper_limb_strata", "--where", "a=1", "--where", "a=2", "-o", "x"),
            "a is stated more than once",
        ),
        (("optimum", "missing.nc", "sessions"), "there is no file missing.nc"),
        (("curve", "missing.nc", "sessions", "-o", "x"), "there is no file missing.nc"),
        (
            ("fit", "pooled", "rtms_upper_limb_strata", "--outcome-sd", "0", "-o", "x"),
            "outcome_sd: Input should be greater than 0",
        ),
        (("curve", ".", "sessions", "-o", "x"), "state the fit.nc in it"),
    ],
)
def test_what_is_wrong_is_one_message_and_exit_code_1(run, arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(*arguments)
    assert code == 1
    assert words in err
    assert "Traceback" not in err
    assert not Path("x").exists()


def test_a_folder_that_takes_no_file_is_refused_before_anything_is_sampled(run, tmp_path, monkeypatch):
    def sampled(*arguments, **options):
        raise AssertionError("sampled")

    monkeypatch.setattr("stimdose.sampling.fit", sampled)
    (tmp_path / "file").write_text("", encoding="utf-8")
    arguments = ("fit", "pooled", "rtms_upper_limb_strata", "--where", "stratified_by=site", "-o", str(tmp_path / "file"))
    assert "is a file: name a folder" in run(*arguments)[2]

    def refuses(**options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuses)
    code, _, err = run(*arguments[:-1], str(tmp_path / "out"))
    assert code == 1
    assert f"cannot write to the folder {tmp_path / 'out'}: Permission denied" in err


def test_a_folder_of_results_named_like_a_table_does_not_hide_the_table(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("rtms_pain").mkdir()
    code, out, _ = run("check-table", "rtms_pain")
    assert "rows of" in out, code


def test_a_table_is_written_whole_or_not_at_all(run, tmp_path, monkeypatch):
    make_table().to_csv(tmp_path / "t.csv", index=False)
    arguments = ("check-table", str(tmp_path / "t.csv"), "-o", str(tmp_path / "out"))
    assert run(*arguments)[0] == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").glob("[!.]*")}

    def is_full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", is_full)
    code, _, err = run(*arguments, "--where", "site=nerve")
    assert code == 1
    assert "audit.csv: No space left on device" in err
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").glob("[!.]*")} == before


ANSWERS = ("datasets", "models", "models frequency-bell", "priors", "priors sceptical", "shapes", "shapes bell")


@pytest.mark.parametrize("words", ANSWERS)
def test_json_is_one_document_whose_tables_are_the_printed_ones(run, words):
    code, out, err = run(*words.split(), "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert list(found) == ["text", "tables", "notes", "files", "warnings", "error"]
    assert found["error"] is None
    printed = run(*words.split())[1]
    ((_, rows),) = found["tables"].items()
    assert all(str(next(iter(row.values())))[:10] in printed for row in rows)


def test_json_of_a_table_with_faults_holds_the_message(run, tmp_path):
    make_table().assign(se=-1.0).to_csv(tmp_path / "t.csv", index=False)
    code, out, err = run("check-table", str(tmp_path / "t.csv"), "--json")
    assert code == 1
    assert "se" in json.loads(out)["error"]
    assert err.startswith("Error: ")


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        (OSError(28, "No space left on device"), 1, "No space left on device"),
        (ZeroDivisionError("of the program"), 70, "ZeroDivisionError: of the program"),
        (KeyboardInterrupt(), 130, "KeyboardInterrupt"),
    ],
)
def test_json_holds_whatever_ended_the_command(run, monkeypatch, fault, code, words):
    def fails():
        raise fault

    monkeypatch.setattr("stimdose.shipped.datasets", fails)
    found, out, _ = run("datasets", "--json")
    assert found == code
    assert words in json.loads(out)["error"]


def test_json_survives_a_terminal_of_another_encoding(run, tmp_path):
    code, out, _ = run("check-table", str(tmp_path / "研究.csv"), "--json")
    assert code == 1
    assert out.isascii()
    assert json.loads(out)["error"].endswith("研究.csv")


def test_warnings_of_this_package_are_sentences_said_once_and_in_the_json(run, monkeypatch):
    listed = shipped.datasets

    def warns():
        for _ in range(2):
            with warnings.catch_warnings():
                warnings.simplefilter("always")
                warnings.warn("no font has 研究", sd.StimdoseWarning, stacklevel=1)
        return listed()

    monkeypatch.setattr("stimdose.shipped.datasets", warns)
    code, out, err = run("datasets", "--json")
    assert code == 0
    assert err == "Warning: no font has 研究\n"
    assert json.loads(out)["warnings"] == ["no font has 研究"]


@pytest.mark.parametrize(
    "words", ["curve FIT frequency_hz", "optimum FIT frequency_hz", "contrast FIT --first frequency_hz=1 --second frequency_hz=9"]
)
def test_warnings_of_the_json_name_a_fit_that_did_not_converge(run, saved, monkeypatch, words):
    arguments = words.replace("FIT", saved).split()
    assert json.loads(run(*arguments, "--json")[1])["warnings"] == []
    monkeypatch.setattr("stimdose.diagnosis.RHAT_MAX", 0.9)
    code, out, _ = run(*arguments, "--json")
    assert code == 0
    assert any("the fit did not converge" in line for line in json.loads(out)["warnings"])


def test_every_command_but_those_that_write_a_file_or_a_demo_has_json(run):
    lacking = {name for name, command in COMMANDS.items() if "json" not in {each.name for each in command.params}}
    assert lacking == {"template", "demo"}


def test_a_fault_of_the_program_says_that_it_is_one(run, monkeypatch):
    def fails():
        raise ZeroDivisionError("of the program")

    monkeypatch.setattr("stimdose.shipped.datasets", fails)
    code, _, err = run("datasets")
    assert code == 70
    assert "ZeroDivisionError: of the program" in err
    assert "this is a fault of stimdose, and not of your table" in err


def test_a_full_disk_is_no_fault_of_the_program(run, monkeypatch):
    def fails():
        raise OSError(28, "No space left on device", "audit.csv")

    monkeypatch.setattr("stimdose.shipped.datasets", fails)
    code, _, err = run("datasets")
    assert code == 1
    assert err.startswith("Error: audit.csv: No space left on device")


def test_a_command_that_is_stopped_says_so(run, monkeypatch):
    def stops():
        raise KeyboardInterrupt

    monkeypatch.setattr("stimdose.shipped.datasets", stops)
    code, _, err = run("datasets")
    assert code == 130
    assert "Stopped before it was done." in err


def test_probabilities_are_printed_as_such_and_effective_parameters_are_not(capsys):
    frame = pd.DataFrame({"model": ["bell"], "p_loo": [1.3], "p_value": [0.9999]})
    terminal.print_table(frame, "How well studies left out are predicted")
    line = capsys.readouterr().out.splitlines()[-2]
    assert "1.3" in line
    assert line.count("> 0.99") == 1


def test_the_page_on_the_terminal_names_every_command_and_what_json_holds(run):
    page = (Path(__file__).parents[1] / "docs" / "command-line.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z-]+)`", page))
    assert set(COMMANDS) <= named
    assert list(json.loads(run("datasets", "--json")[1])) == re.findall(
        r"^\| `(\w+)` \| (?!answers)", page.split("## For scripts")[1], re.M
    )


def test_what_takes_a_while_is_said_to_people_alone(capsys):
    with terminal.working("Thinking"):
        pass
    with terminal.working("Thinking", quiet=True), terminal.as_json(), terminal.working("Thinking"):
        pass
    out = capsys.readouterr().out
    assert out.startswith("Thinking ...\n{")
    assert out.count("Thinking") == 1
