"""Checks and comparisons of priors take every robust model."""

import numpy as np
import pytest
from conftest import make_table

import stimdose as sd

MODELS = {
    "student-t": {"study_effects": "student-t"},
    "groups": {"between_study_by": "phase"},
    "both": {"study_effects": "student-t", "between_study_by": "phase"},
    "pet": {"small_study": "pet"},
    "peese": {"small_study": "peese"},
    "selection": {"selection": "step"},
}


SLOW = pytest.param("selection", marks=pytest.mark.slow)  # is sampled in PyMC


@pytest.fixture(scope="module", params=[*(name for name in MODELS if name != "selection"), SLOW])
def robust_fit(request) -> sd.Fit:
    table = make_table(12).drop_duplicates("study").assign(n_active=20, n_control=np.arange(20, 32))
    dose = sd.Dose(column="sessions", shape="log-linear")
    model = sd.Model(name=request.param, intercept=sd.Intercept(), dose=[dose], **MODELS[request.param])
    return sd.fit(model, sd.read_trials(table), seed=1, draws=250, tune=300, chains=2, target_accept=0.95)


@pytest.mark.filterwarnings("ignore::stimdose.ConvergenceWarning")  # of short fits: results carry it
def test_it_is_checked(robust_fit):
    found = sd.check(robust_fit)
    assert list(found.tables["studies"].index) == list(robust_fit.rows.studies)
    assert np.isfinite(found.tables["studies"][["residual", "p", "elpd", "mean_without"]]).all(axis=None)
    assert found.explanation
    assert bool(found.fit_warning) == (not robust_fit.diagnosis.converged)


@pytest.mark.filterwarnings("ignore::stimdose.ConvergenceWarning")  # of short fits: results carry it
def test_its_priors_are_compared(robust_fit):
    found = sd.compare_priors(robust_fit, sets=["sceptical"], seed=2, draws=250, tune=300, chains=2, most_draws=0)
    assert list(found.fits) == ["reference", "sceptical"]
    verdicts = found.table()["verdict"]
    assert verdicts.index.get_level_values("set").tolist() == ["reference", "sceptical"]
    assert np.isfinite(found.elpd["elpd"]).all()
    assert found.explanation
