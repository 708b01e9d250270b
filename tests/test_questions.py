"""Commands that ask something of a saved fit: what they print and write is what the functions return."""

import json
import re
import warnings

import numpy as np
import pandas as pd
import pytest
from conftest import make_table

import stimdose as sd
from stimdose import outputs
from stimdose.options import fixed, pairs, ranges
from stimdose.terminal import print_table, show_upright


@pytest.fixture(scope="module")
def product_fit(trials) -> sd.Fit:
    """Two doses multiplied, by every combination of two groups."""
    dose = sd.Dose(
        column="frequency_hz", shape="bell", by="phase:site", times=sd.Dose(column="sessions", shape="emax"), by_study=False
    )
    model = sd.Model(name="product", intercept=sd.Intercept(), dose=[dose])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sd.ConvergenceWarning)  # it is short, and what is written of it says so
        return sd.fit(model, trials, seed=3, draws=200, tune=400, progress=False)


@pytest.fixture(scope="module")
def saved_product(product_fit, tmp_path_factory):
    return str(product_fit.save(tmp_path_factory.mktemp("product") / "fit.nc"))


def same(path, table: pd.DataFrame) -> None:
    """A CSV file holds a table, to the six digits it is written with."""
    found, wanted = pd.read_csv(path), table.reset_index()
    assert list(found) == list(wanted)
    for name in wanted:
        if pd.api.types.is_numeric_dtype(wanted[name]):
            np.testing.assert_allclose(found[name].astype(float), wanted[name].astype(float), rtol=1e-5, err_msg=name)
        else:
            assert found[name].astype(object).fillna("").astype(str).tolist() == wanted[name].astype(str).tolist()


def written(folder) -> set[str]:
    return {path.name for path in folder.glob("[!.]*")}


def figure(name: str) -> set[str]:
    return {f"{name}.pdf", f"{name}.png"}


def test_curve_prints_and_writes(run, saved, tmp_path):
    code, out, _ = run("curve", saved, "sessions", "--by", "phase", "--at", "site=nerve", "-o", str(tmp_path))
    assert code == 0
    assert "subacute" in out
    assert "site nerve" in out
    assert written(tmp_path) == {"curve-sessions.csv"} | figure("dose-response-sessions")


def test_optimum_leads_with_the_verdict_and_writes_what_it_returns(run, saved, bell_fit, tmp_path):
    words = ("--range", "2", "40", "--delta", "0.05", "--benefit", "0.6", "--cost", "0.01", "--at", "phase=chronic")
    code, out, err = run("optimum", saved, "frequency_hz", *words, "-o", str(tmp_path))
    assert code == 0, err
    best = sd.optimum(bell_fit, "frequency_hz", over=(2, 40), delta=0.05, benefit=0.6, cost=0.01, at={"phase": "chronic"})
    assert out.startswith(best.explanation.splitlines()[0])
    same(tmp_path / "optimum-frequency_hz.csv", best.table())
    chances = pd.read_csv(tmp_path / "near-best-frequency_hz.csv")
    for name, wanted in (
        ("near_best", best.near_best()),
        ("expected_loss", best.expected_loss()),
        ("benefit", best.p_benefit(0.6)),
    ):
        np.testing.assert_allclose(chances[name], wanted, rtol=1e-5)
    tables = {"optimum-frequency_hz.csv", "near-best-frequency_hz.csv"}
    drawn = figure("optimum-frequency_hz") | figure("near-best-frequency_hz") | figure("benefit-frequency_hz")
    assert written(tmp_path) == tables | drawn
    assert all(name in out for name in written(tmp_path))


def test_json_of_an_optimum_has_its_numbers_and_its_groups(run, saved, bell_fit, tmp_path):
    code, out, _ = run("optimum", saved, "frequency_hz", "--by", "phase", "--json", "-o", str(tmp_path))
    assert code == 0
    found, best = json.loads(out), sd.optimum(bell_fit, "frequency_hz", by="phase")
    assert found["text"] == [best.explanation]
    rows = pd.DataFrame(found["tables"]["optimum"]).set_index("group")
    pd.testing.assert_frame_equal(rows, best.table().rename_axis("group"), check_dtype=False, rtol=1e-12)
    assert {str(tmp_path / name) for name in written(tmp_path)} == set(found["files"])


def test_trials_beside_a_curve_of_one_group_are_those_of_the_group(bell_fit):
    shown = outputs.trials_shown(bell_fit, "sessions", at={"phase": "acute", "frequency_hz": 10.0})
    acute = bell_fit.trials.table[bell_fit.trials.table["phase"] == "acute"]
    assert sorted(shown["effect"]) == pytest.approx(sorted(acute["effect"]))


def test_optimum_of_a_new_group(run, saved, tmp_path):
    code, out, err = run("optimum", saved, "sessions", "--by", "phase", "--new-group", "-o", str(tmp_path))
    assert code == 0, err
    assert pd.read_csv(tmp_path / "optimum-sessions.csv")["group"].tolist() == ["acute", "subacute", "chronic", "new group"]
    assert "new group" in out


def test_optimum_along_a_path_is_that_of_the_path(run, saved, bell_fit, tmp_path):
    words = ("--fixed", "session_min=20", "--duty", "0.5", "--at", "sessions=15", "--range", "2", "40")
    code, out, err = run("optimum", saved, "frequency_hz", *words, "-o", str(tmp_path))
    assert code == 0, err
    path = sd.protocol_path(bell_fit, "frequency_hz", fixed={"session_min": 20}, duty=0.5, over=(2, 40), size=401)
    same(tmp_path / "optimum-frequency_hz.csv", sd.optimum(bell_fit, "frequency_hz", at=path.assign(sessions=15.0)).table())
    assert "session_min fixed at 20, pulses_per_session follows (duty 0.5)" in out


def test_paths_stand_side_by_side(run, saved, bell_fit, tmp_path):
    words = ("--at", "session_min=20", "--at", "pulses_per_session=1200", "--duty", "0.1")
    code, out, err = run("paths", saved, "frequency_hz", *words, "-o", str(tmp_path))
    assert code == 0, err
    found = sd.optima_by_path(bell_fit, "frequency_hz", at={"session_min": 20, "pulses_per_session": 1200}, duty=0.1)
    same(tmp_path / "optima-by-path-frequency_hz.csv", found.table())
    assert out.startswith("pulses_per_session fixed (")
    assert written(tmp_path) == {"optima-by-path-frequency_hz.csv"} | figure("curves-by-path-frequency_hz")


def test_contrast_leads_with_the_answer_and_turned_round_it_changes_sign(run, saved, bell_fit, tmp_path):
    high, low = ["frequency_hz=12", "phase=acute"], ["frequency_hz=1", "phase=acute"]

    def call(first, second, folder) -> pd.DataFrame:
        words = [word for side, items in (("--first", first), ("--second", second)) for item in items for word in (side, item)]
        code, out, err = run("contrast", saved, *words, "-o", str(folder))
        assert code == 0, err
        assert re.match(r"frequency_hz \d+, phase acute against frequency_hz \d+, phase acute: ", out)
        (path,) = folder.glob("*.csv")
        assert written(folder) == {path.name} | figure(path.stem)
        return pd.read_csv(path)

    one, other = call(high, low, tmp_path / "one"), call(low, high, tmp_path / "other")
    wanted = sd.contrast(bell_fit, {"frequency_hz": 12.0, "phase": "acute"}, {"frequency_hz": 1.0, "phase": "acute"})
    same(tmp_path / "one" / "contrast-frequency_hz-12-phase-acute-against-frequency_hz-1-phase-acute.csv", wanted.table())
    assert one["mean"][0] == -other["mean"][0] != 0
    assert one["low"][0] == -other["high"][0]


def test_surface_prints_and_writes_the_surface_and_its_optimum(run, saved_product, product_fit, tmp_path):
    words = ("--at", "phase=acute", "--range", "frequency_hz=2:40", "--given", "sessions=10", "--delta", "0.05")
    code, out, err = run("surface", saved_product, "frequency_hz", "sessions", *words, "-o", str(tmp_path))
    assert code == 0, err
    best = sd.joint_optimum(
        product_fit, "frequency_hz", "sessions", over={"frequency_hz": (2, 40)}, delta=0.05, at={"phase": "acute"}
    )
    assert out.startswith(best.explanation.splitlines()[0])
    assert "Best frequency_hz where sessions 10" in out
    same(tmp_path / "joint-optimum-frequency_hz-sessions.csv", best.table())
    cells = pd.read_csv(tmp_path / "surface-frequency_hz-sessions.csv")
    draws = sd.surface(product_fit, "frequency_hz", "sessions", over={"frequency_hz": (2, 40)}, at={"phase": "acute"})
    np.testing.assert_allclose(cells["mean"], draws.mean(("chain", "draw")).values.ravel(), rtol=1e-5)
    assert (cells["visited"] == draws["visited"].values.ravel()).all()
    assert (cells["in_region"] == best.region().values.ravel()).all()
    assert figure("surface-frequency_hz-sessions") < written(tmp_path)


def test_average_of_saved_fits(run, saved, bell_fit, trials, tmp_path):
    rising = sd.Model(name="rising", intercept=sd.Intercept(), dose=[sd.Dose(column="frequency_hz", shape="log-linear")])
    rising_fit = sd.fit(rising, trials, seed=3)
    other = str(rising_fit.save(tmp_path / "rising.nc"))
    code, out, err = run("average", saved, other, "frequency_hz", "--range", "1", "40", "-o", str(tmp_path))
    assert code == 0, err
    found = sd.average([bell_fit, rising_fit])
    assert out.startswith(found.optimum("frequency_hz", over=(1, 40)).explanation.splitlines()[0])
    same(tmp_path / "average-models.csv", found.elpd)
    same(tmp_path / "average-frequency_hz.csv", found.table("frequency_hz", over=(1, 40)))
    same(tmp_path / "average-optimum-frequency_hz.csv", found.optimum("frequency_hz", over=(1, 40)).table())
    assert figure("average-optimum-frequency_hz") | figure("average-curves-frequency_hz") < written(tmp_path)


def test_support_of_a_table_and_of_a_fit(run, saved, bell_fit, tmp_path):
    make_table().to_csv(tmp_path / "t.csv", index=False)
    wanted = sd.support(bell_fit)
    for source, folder in ((saved, tmp_path / "fit"), (str(tmp_path / "t.csv"), tmp_path / "table")):
        code, out, err = run("support", source, "frequency_hz", "sessions", "-o", str(folder))
        assert code == 0, err
        assert out.startswith("frequency_hz: 1 to 50, a number in 30 rows.")
        same(folder / "support.csv", wanted.region.assign(inflation=wanted.inflation))
        assert {"support.csv", "support-pairs.csv"} | figure("support") <= written(folder)


def test_a_dose_without_a_number_stays_out_of_the_figure_of_support(tmp_path):
    trials = sd.read_trials(make_table().assign(session_min=">=10", treatment_days=7))
    found = sd.support(trials, ("frequency_hz", "session_min", "treatment_days"))
    names = {path.name for path in outputs.write_support(found, tmp_path, trials)}
    assert names == {"support.csv", "support-pairs.csv"} | figure("support")
    found = sd.support(trials, ("frequency_hz", "session_min"))
    assert len(outputs.write_support(found, tmp_path, trials)) == 2


def test_within_across_says_whether_slopes_differ(run, tmp_path):
    make_table().to_csv(tmp_path / "t.csv", index=False)
    words = ("--seed", "2", "--tune", "500", "-q", "-o", str(tmp_path / "out"))
    code, out, err = run("within-across", "frequency-bell", str(tmp_path / "t.csv"), "frequency_hz", *words)
    assert code == 0, err
    assert re.search("^(did not converge|not clear|agree|differ): ", out, re.MULTILINE)
    table = pd.read_csv(tmp_path / "out" / "within-across-frequency_hz.csv").set_index("slope")
    assert table.loc["across", "mean"] - table.loc["within", "mean"] == pytest.approx(table.loc["difference", "mean"], abs=1e-5)
    fit = sd.load_fit(tmp_path / "out" / "within-across-frequency_hz.nc")
    slope = float(fit.tree["posterior"]["frequency_hz_slope"].mean())
    assert table.loc["within", "mean"] == pytest.approx(slope, rel=1e-5)


@pytest.mark.slow  # some forty figures; test_cli has a faster one
def test_a_fit_writes_what_it_names_and_no_name_has_a_colon(product_fit, tmp_path):
    paths, optima, joint = outputs.write_fit(product_fit, tmp_path)
    assert {path.name for path in paths} == written(tmp_path)
    assert len(paths) == len(set(paths))
    assert not any(set(':*"<>|?\\/') & set(path.name) for path in paths)
    assert [best.by for best in optima.values()] == ["phase:site"] * 2
    assert list(joint) == ["frequency_hz x sessions"]
    assert figure("surface-frequency_hz-sessions") | figure("optimum-sessions") | figure("support") < written(tmp_path)
    assert pd.read_csv(tmp_path / "optimum-frequency_hz.csv")["group"].nunique() == 6


@pytest.mark.parametrize("name", ["optimum-frequency_hz.csv", "optimum-frequency_hz.png"])
def test_a_file_that_cannot_be_written_is_named(run, saved, tmp_path, name):
    (tmp_path / name / "inside").mkdir(parents=True)
    code, _, err = run("optimum", saved, "frequency_hz", "-o", str(tmp_path))
    assert code == 1
    assert re.match("Error: cannot (write|move) .*optimum-frequency_hz", err)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("optimum", "FIT", "frequency"), "the model has no dose 'frequency'; it has frequency_hz, sessions"),
        (("optimum", "TABLE", "frequency_hz"), "is not a saved fit of stimdose: state the fit.nc that"),
        (("optimum", "FIT", "frequency_hz", "--by", "age"), "the model has no groups 'age'"),
        (("optimum", "FIT", "frequency_hz", "--at", "phase"), "write column=value, not 'phase'"),
        (("optimum", "FIT", "frequency_hz", "--at", "phase=old"), "phase has no level 'old'"),
        (("optimum", "FIT", "frequency_hz", "--at", "sessions=many"), "sessions cannot be held at 'many'"),
        (("optimum", "FIT", "frequency_hz", "--range", "9", "2"), "low < high"),
        (("optimum", "FIT", "frequency_hz", "--new-group"), "state by"),
        (("optimum", "FIT", "frequency_hz", "--duty", "0.5"), "state what is fixed"),
        (("optimum", "FIT", "frequency_hz", "--fixed", "session_min"), "no row prints session_min"),
        (("optimum", "FIT", "frequency_hz", "--fixed", "session_min=long"), "cannot be fixed at 'long'"),
        (("optimum", "FIT", "sessions", "--fixed", "session_min=20"), "a path moves frequency_hz"),
        (
            ("optimum", "FIT", "frequency_hz", "--fixed", "session_min=20", "--duty", "0.5", "--at", "session_min=10"),
            "session_min is of the path",
        ),
        (("paths", "FIT", "sessions"), "a path moves frequency_hz"),
        (("contrast", "FIT", "--first", "frequency_hz=10", "--second", "sessions=1"), "state it in both"),
        (("contrast", "FIT", "--first", "frequency_hz=fast", "--second", "frequency_hz=1"), "frequency_hz cannot be 'fast'"),
        (("contrast", "FIT", "--first", "frequency_hz", "--second", "=1"), "not 'frequency_hz'"),
        (("surface", "FIT", "frequency_hz", "frequency_hz"), "twice"),
        (("surface", "FIT", "frequency_hz", "sessions", "--range", "sessions=5-20"), "write dose=low:high"),
        (("surface", "FIT", "frequency_hz", "sessions", "--given", "phase=acute"), "not of 'phase'"),
        (("average", "FIT", "frequency_hz"), "two fits or more"),
        (("average", "FIT", "FIT", "frequency_hz"), "two fits or more"),
        (("average", "FIT", "STRATA", "sessions"), "only models of the same rows"),
        (("support", "TABLE", "frequency"), "the table has no dose 'frequency' (did you mean 'frequency_hz'?)"),
        (("support", "FIT", "--where", "phase=acute"), "a saved fit has its own"),
        (("support", "nothing.nc"), "there is no file nothing.nc"),
        (("within-across", "frequency-bell", "TABLE", "session"), "no dose 'session'"),
    ],
)
def test_what_is_wrong_is_one_message_and_exit_code_1(run, saved, strata_fit, tmp_path, words, message):
    places = {"FIT": saved, "TABLE": str(tmp_path / "t.csv"), "STRATA": str(tmp_path / "strata.nc")}
    if "TABLE" in words:
        make_table().to_csv(places["TABLE"], index=False)
    if "STRATA" in words:
        strata_fit.save(places["STRATA"])
    code, _, err = run(*(places.get(word, word) for word in words))
    assert (code, message in err) == (1, True), err
    assert err.startswith("Error: ")
    assert "Traceback" not in err


def test_words_of_a_user():
    assert pairs(["a=1", "b==", "c="]) == {"a": "1", "b": "=", "c": ""}
    assert fixed(["session_min", "pulses_per_session=1200"]) == {"session_min": None, "pulses_per_session": 1200.0}
    assert ranges(["sessions=5:20"]) == {"sessions": (5.0, 20.0)}
    with pytest.raises(
        sd.StimdoseError, match="write column=value, not 'a'; write column=value, not '=2'; b is stated more than once"
    ):
        pairs(["a", "=2", "b=1", "b=2"])


def test_a_probability_is_never_printed_as_certain(capsys):
    table = pd.DataFrame({"p_benefit": [0.9996], "p_gain": [1.0], "p_at_low_end": [0.0004], "best_dose": [1.0]}, index=["value"])
    show_upright(table, "Best dose", "optimum")
    printed = capsys.readouterr().out
    cells = dict(re.findall(r"│ (\w+) +│ (\S.*?) +│", printed))
    assert cells == {"p_benefit": "> 0.99", "p_gain": "> 0.99", "p_at_low_end": "< 0.01", "best_dose": "1"}
    print_table(pd.DataFrame({"slope": ["within"], "p_positive": [0.9999]}), "Slopes")
    assert "> 0.99" in capsys.readouterr().out
