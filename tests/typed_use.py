"""What a type checker must know of the package from its public names alone: `make lint` runs mypy on this file, nothing else does."""

from pathlib import Path
from typing import assert_type

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

import stimdose as sd

trials = sd.read_trials("trials.csv", decimal=",")
assert_type(trials, sd.Trials)
prior = sd.Prior("lognormal", interval=[2.5, 40], prob=0.95, why="the protocols in use")
model = sd.Model(
    name="by hand",
    intercept=sd.Intercept(by=["phase"]),
    dose=[sd.Dose(column="frequency_hz", shape="bell", priors={"peak": prior})],
    moderator=[sd.Moderator(column="site")],
    within_study=False,
)
assert_type(sd.load_model("stimulation"), sd.Model)
fit = sd.fit(model, trials, seed=1)
assert_type(fit, sd.Fit)
assert_type(fit.tree, xr.DataTree)
assert_type(fit.refit(seed=2), sd.Fit)
assert_type(fit.save("fit.nc"), Path)
curve = sd.curve(fit, "frequency_hz", by="phase", grid=np.array([1.0, 10.0]))
assert_type(curve, xr.DataArray)
best = sd.optimum(fit, "frequency_hz")
assert_type(best, sd.Optimum)
assert_type(best.verdict, str)
assert_type(best.interval(0.9), xr.DataArray)
assert_type(sd.contrast(fit, {"frequency_hz": 10}, {"frequency_hz": 1}), sd.Contrast)
assert_type(sd.check(fit).verdict, str)
assert_type(sd.compare_priors(model, trials, ["weak", "sceptical"], seed=1), sd.PriorComparison)
assert_type(sd.compare_models([fit, fit]), sd.ModelComparison)
assert_type(sd.within_across(model, trials, "sessions"), sd.WithinAcross)
assert_type(sd.joint_optimum(fit, "frequency_hz", "session_min"), sd.JointOptimum)
assert_type(sd.report(fit, "report"), Path)
assert_type(sd.figures.forest(sd.study_effects(fit)), Axes)
assert_type(sd.figures.optimum(best), np.ndarray)
assert_type(sd.figures.save(sd.figures.optimum(best), "figure"), list[Path])
sd.curve(fit, 3)  # type: ignore[arg-type]  # a dose is named
sd.optimum(fit, "frequency_hz", deltas=0.1)  # type: ignore[call-arg]  # no such argument
