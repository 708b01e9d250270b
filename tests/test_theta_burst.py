"""Theta burst on the axis of frequency: three places, and apart."""

import numpy as np
import pandas as pd
import pytest

import stimdose as sd

FREQUENCY = sd.Model(name="line", intercept=sd.Intercept(), dose=[sd.Dose(column="frequency_hz", shape="log-linear")])


def table(bursts: float, rows: int = 48, seed: int = 4) -> pd.DataFrame:
    """Trials of single pulses whose effect rises with the logarithm of the frequency up to 20 Hz, and of theta burst with the effect
    `bursts`; simulated here."""
    rng = np.random.default_rng(seed)
    modality = np.array(["rTMS", "rTMS", "rTMS", "iTBS"])[np.arange(rows) % 4]
    frequency = np.where(modality == "rTMS", rng.choice([1.0, 3, 5, 10, 20], rows), np.nan)
    mean = np.where(modality == "rTMS", 0.3 * np.log(np.nan_to_num(frequency, nan=1.0)), bursts)
    se = rng.uniform(0.1, 0.2, rows)
    cells = {"study": [f"S{k:02d}" for k in range(rows)], "effect": mean + rng.normal(0, se), "se": se}
    cells |= {"modality": modality, "frequency_hz": frequency, "phase": np.where(np.arange(rows) % 3, "chronic", "acute")}
    same = {"direction": "higher", "measure": "SMD", "comparator": "sham", "design": "parallel"}
    return pd.DataFrame(cells).assign(**same)


@pytest.fixture(scope="module")
def found() -> sd.ThetaBurstAxes:
    """Theta burst without an effect: below the line at 3 and 5 Hz, and at 50 Hz the end of a rise that turns into nothing."""
    return sd.theta_burst_axes(FREQUENCY, table(0.0), seed=1)


def test_theta_burst_stands_at_three_places_and_apart(found):
    placed = found.placed
    assert placed["theta_burst_hz"].to_dict() == {"apart": "", "burst": "5", "carrier": "50", "mean": "3.12"}
    assert placed["rows"].to_dict() == {"apart": 36, "burst": 48, "carrier": 48, "mean": 48}
    assert placed["theta_burst_studies"].to_dict() == {"apart": 0, "burst": 12, "carrier": 12, "mean": 12}
    assert found.table().loc["carrier", "to"].item() == 50
    assert found.table().loc["apart", "to"].item() == 20


def test_what_the_place_decides_is_said(found):
    """Conventional trials rise; theta burst without an effect at 50 Hz levels that rise, at 5 Hz it does not."""
    assert found.verdicts == {
        "apart": "still rising",
        "burst": "still rising",
        "carrier": "not identified",
        "mean": "still rising",
    }
    assert found.depends_on_axis
    assert found.explanation.startswith("The verdict on frequency_hz depends on where theta burst stands: apart: still rising;")
    assert "what moves most is the effect at 20 with theta burst at its carrier frequency: by -0.5" in found.explanation
    changes = found.changes()
    assert (changes.loc["apart", "change"] == 0).all()
    effects = found.effects()["effect"].unstack("theta_burst")
    expected = effects.sub(effects["apart"], axis=0).stack().reorder_levels(["theta_burst", "dose", "group", "at"])
    shown = changes["change"].rename(lambda quantity: quantity.replace("effect at ", ""), level="quantity")
    for (name, dose, group, at), value in expected.items():
        assert shown[name, dose, group, f"{at:g}"] == pytest.approx(value)


def test_apart_is_a_fit_without_theta_burst(found):
    """Nothing of theta burst is left in it: another effect of theta burst, the same fit."""
    conventional = table(0.0).query("modality == 'rTMS'")
    alone = sd.fit(FREQUENCY, sd.read_trials(conventional), seed=1, progress=False)
    np.testing.assert_array_equal(
        found.curves["apart"], sd.curve(alone, "frequency_hz", grid=found.curves["apart"]["frequency_hz"])
    )


def test_other_doses_are_held_as_in_the_conventional_trials():
    """Theta burst has other pulses than they, and a curve at its median would differ by that."""
    trials = table(0.3)
    trials["pulses_per_session"] = np.where(trials["modality"] == "rTMS", [1600.0, 1200] * 24, 600)
    pulses = sd.Dose(column="pulses_per_session", shape="log-linear")
    model = FREQUENCY.replace(dose=(*FREQUENCY.dose, pulses))
    found = sd.theta_burst_axes(model, trials, seed=1)
    held = {name: curve.attrs["held"] for name, curve in found.curves.items()}
    assert set(held.values()) == {sd.curve(found.fits["apart"], "frequency_hz").attrs["held"]}
    assert held["apart"] != sd.curve(found.fits["burst"], "frequency_hz").attrs["held"]


def test_groups_are_averaged_as_in_the_conventional_trials():
    """Of which two in three are acute, and do better; theta burst is chronic only, and a curve over its rows too would be lower by that."""
    trials = table(0.5)
    trials["phase"] = np.where(trials["modality"] == "rTMS", ["acute", "acute", "chronic", "-"] * 12, "chronic")
    trials["effect"] += np.where(trials["phase"] == "acute", 0.8, 0.0)
    found = sd.theta_burst_axes(FREQUENCY.replace(intercept=sd.Intercept(by="phase")), trials, seed=1)
    for name, fit in found.fits.items():
        grid = found.curves[name]["frequency_hz"]
        phases = sd.curve(fit, "frequency_hz", by="phase", grid=grid)
        shares = 2 / 3 * phases.sel(phase="acute") + 1 / 3 * phases.sel(phase="chronic")
        np.testing.assert_allclose(found.curves[name], shares, atol=1e-12)


def test_an_axis_is_a_fit_of_the_table_read_so(found):
    trials = sd.read_trials(table(0.0), tbs_frequency="carrier")
    own = sd.fit(FREQUENCY, trials, seed=1, progress=False)
    carrier = found.curves["carrier"]
    np.testing.assert_array_equal(carrier, sd.curve(own, "frequency_hz", grid=carrier["frequency_hz"]))


@pytest.mark.filterwarnings("ignore::stimdose.ConvergenceWarning")  # fits are short: that they are named is tested
def test_frequencies_that_are_printed_stay_and_are_named_as_are_fits_that_did_not_converge():
    printed = table(0.5)
    printed.loc[3, "frequency_hz"] = 5
    found = sd.theta_burst_axes(FREQUENCY, printed, seed=1, draws=100, tune=100)
    assert found.remarks == ("Theta burst stands where its frequency is printed, whatever the axis, in 1 row: 3.",)
    assert found.remarks[0] in found.explanation
    assert found.placed.loc["carrier", "theta_burst_hz"] == "5, 50"
    assert "carrier: Warning: the fit did not converge" in found.explanation
    assert found.table().attrs["warning"].startswith("did not converge: apart")
    assert not found.table()["converged"].any()


def test_calls_that_have_no_answer():
    own = table(0.5)
    with pytest.raises(sd.StimdoseError, match="every theta burst row prints its frequency"):
        sd.theta_burst_axes(FREQUENCY, own.assign(frequency_hz=own["frequency_hz"].fillna(5)))
    with pytest.raises(sd.StimdoseError, match="no theta burst row is in the table"):
        sd.theta_burst_axes(FREQUENCY, own[own["modality"] == "rTMS"])
    with pytest.raises(sd.StimdoseError, match="has no dose 'sessions'; it has frequency_hz"):
        sd.theta_burst_axes(FREQUENCY, own, dose="sessions")
    with pytest.raises(sd.StimdoseError, match="leave it out"):
        sd.theta_burst_axes(FREQUENCY, own, reading={"tbs_frequency": "mean"})
    with pytest.raises(sd.StimdoseError, match="source is a file or a DataFrame"):
        sd.theta_burst_axes(FREQUENCY, sd.read_trials(own))
    by_class = sd.Model(
        name="by", intercept=sd.Intercept(), dose=[sd.Dose(column="frequency_hz", shape="log-linear", by="protocol_class")]
    )
    with pytest.raises(sd.StimdoseError, match="protocol_class: iTBS has no conventional trial"):
        sd.theta_burst_axes(by_class, own)
    with pytest.raises(sd.StimdoseError, match="every row is theta burst"):
        sd.theta_burst_axes(FREQUENCY, own[own["modality"] == "iTBS"])


def test_what_matters_is_asked_for_before_anything_is_fitted(monkeypatch):
    monkeypatch.setattr("stimdose.theta_burst.fit", lambda *_, **__: pytest.fail("fitted"))
    with pytest.raises(sd.StimdoseError, match="state delta"):
        sd.theta_burst_axes(FREQUENCY.replace(outcome_sd=10.0), table(0.5).assign(measure="MD", outcome="FMA-UE"))
