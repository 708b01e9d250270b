"""The command line, as a user calls it."""

import re

import pandas as pd
import pytest
from conftest import make_table

from stimdose import cli


@pytest.fixture(scope="module")
def saved(bell_fit, tmp_path_factory):
    return str(bell_fit.save(tmp_path_factory.mktemp("fit") / "fit.nc"))


@pytest.fixture
def run(capsys, monkeypatch):
    """Call the command line; gives exit code, standard output and standard error."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["stimdose", *arguments])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        return stopped.value.code or 0, *capsys.readouterr()

    return call


def test_help_names_every_command(run):
    code, out, _ = run("--help")
    assert code == 0
    assert all(name in out for name in ("fit", "curve", "optimum", "check-table", "template", "datasets", "models", "demo"))


def test_lists(run):
    assert "stroke_therapy_hours" in run("datasets")[1]
    assert "CC BY-SA 4.0" in run("datasets", "stroke_therapy_hours")[1]
    assert "stimulation" in run("models")[1]
    out = run("models", "stimulation")[1]
    assert "frequency_hz_peak" in out
    assert "lognormal" in out


def test_optimum_leads_with_the_verdict(run, saved, tmp_path):
    code, out, _ = run("optimum", saved, "frequency_hz", "--range", "2", "40", "-o", str(tmp_path))
    assert code == 0
    assert out.startswith("identified: the best dose lies inside the range")
    table = pd.read_csv(tmp_path / "optimum-frequency_hz.csv")
    assert table.loc[0, ["from", "to"]].tolist() == [2, 40]


def test_curve_prints_and_writes(run, saved, tmp_path):
    code, out, _ = run("curve", saved, "sessions", "--by", "phase", "-o", str(tmp_path))
    assert code == 0
    assert "subacute" in out
    assert {path.name for path in tmp_path.iterdir()} == {
        "curve-sessions.csv",
        "dose-response-sessions.pdf",
        "dose-response-sessions.png",
    }


def test_check_table_of_a_good_table(run, tmp_path):
    make_table().drop(columns="direction").to_csv(tmp_path / "t.csv", index=False)
    code, out, _ = run("check-table", str(tmp_path / "t.csv"), "--set", "direction=higher")
    assert code == 0
    assert "30 rows of 20 studies" in out


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
    assert "effect: empty in" in out
    assert "frequency_hz: empty in 34 of 42 rows" in out
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
    names = {path.name for path in (tmp_path / "a" / "b").iterdir()}
    assert names == {"fit.nc", "parameters.csv", "priors.csv", "effects.csv", "forest.pdf", "forest.png"}
    assert "converged" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("fit", "pooled", "nothing.csv", "-o", "x"), "there is no file nothing.csv"),
        (("fit", "pooled", "no_such_table", "-o", "x"), "no dataset"),
        (("fit", "poold", "stroke_therapy_hours", "-o", "x"), "did you mean 'pooled'"),
        (("fit", "sessions-by-phase", "stroke_therapy_hours", "-o", "x"), "does not fit"),
        (("fit", "pooled", "rtms_upper_limb_strata", "--where", "site", "-o", "x"), "column=value"),
        (("fit", "pooled", "rtms_upper_limb_strata", "--where", "site=", "-o", "x"), "no row has"),
        (("optimum", "missing.nc", "sessions"), "there is no file missing.nc"),
        (("curve", "missing.nc", "sessions"), "there is no file missing.nc"),
    ],
)
def test_what_is_wrong_is_one_message_and_exit_code_1(run, arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(*arguments)
    assert code == 1
    assert words in err
    assert "Traceback" not in err
