"""Tables and fits that several scripts of the gallery draw, each made once."""

from functools import cache

import stimdose as sd

trials = sd.load_dataset("synthetic_rpms_dose_finding")
"""40 synthetic trials."""


@cache
def fit() -> sd.Fit:
    return sd.fit(sd.load_model("frequency-bell"), trials, seed=1)


@cache
def by_phase() -> sd.Fit:
    """Published strata of sessions, with a curve for each phase after a stroke."""
    strata = sd.load_dataset("rtms_upper_limb_strata").subset(stratified_by="sessions")
    return sd.fit(sd.load_model("sessions-by-phase"), strata, seed=1)


@cache
def surface_fit() -> sd.Fit:
    """A smooth surface over frequency and pulses."""
    second = sd.Dose(column="pulses_per_session", shape="gaussian-process")
    surface = sd.Dose(column="frequency_hz", shape="gaussian-process", times=second)
    return sd.fit(sd.Model(name="surface", intercept=sd.Intercept(by="phase"), dose=[surface]), trials, seed=1)


@cache
def check() -> sd.Check:
    return sd.check(fit())


@cache
def models() -> sd.ModelComparison:
    """Three shapes of the curve along frequency."""
    shapes = {
        name: fit().model.replace(name=name, dose=[sd.Dose(column="frequency_hz", shape=name)]) for name in ("emax", "log-linear")
    }
    return sd.compare_models({"bell": fit()} | shapes, trials, seed=1)


@cache
def prior_sets() -> sd.PriorComparison:
    return sd.compare_priors(fit().model, trials, {"weak": "weak", "sceptical": "sceptical"}, seed=1)
