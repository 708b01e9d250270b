"""The compiled log density, its gradient and what it makes of a position, against the same model built in PyMC.

A standard deviation with half of a symmetric prior is sampled with a sign, x; PyMC samples log|x|. Of n of these,

    log density of PyMC = log density + n log 2 + sum log|x|

and where one multiplies standard normals (groups that differ by a factor) these change their sign with it.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytensor
import pytest
from conftest import make_table
from pytensor.compile.mode import Mode
from test_missing_dose import PROTOCOL_MODEL, PROTOCOLS
from test_participants import TABLES as PEOPLE
from test_unknowns import before_after, linked_table, rows_without_sds

import stimdose as sd
from stimdose.density import log_density
from stimdose.density import prior as prior_density
from stimdose.encoding import Layout, encode
from stimdose.nuts import natural_values
from stimdose.predictor import grouped_parameters, sampled_priors, variable_dims
from stimdose.program import FAMILIES, Program
from stimdose.pymc_model import build_rows
from stimdose.rows import Rows, prepare, rows_of
from stimdose.shapes import SHAPES

CONSTANTS = {"direction": "higher", "measure": "SMD", "comparator": "sham", "design": "parallel"}
POSITIONS = 3
AS_WRITTEN = Mode(linker="py", optimizer=None)
"""PyTensor without rewriting or compilation: what is cheapest for a few evaluations."""


def prepared(model: sd.Model, table, missing="error", allow_mixed=()) -> tuple[sd.Model, Rows]:
    if not isinstance(table, sd.Trials):
        table = sd.read_trials(table, **{name: word for name, word in CONSTANTS.items() if name not in table})
    model, table = prepare(model, table, missing, allow_mixed)
    return model, rows_of(model, table, missing == "impute")


# --- models and tables ---------------------------------------------------------------------------------------------------------------


def wide_table(studies: int = 7) -> pd.DataFrame:
    """Every column that the shipped models read, and an age."""
    table, rng = make_table(studies), np.random.default_rng(4)
    n = len(table)
    more = {"session_min": [5.0, 10, 20, 30], "pulses_per_session": [600.0, 1200, 1800], "therapy_hours": [5.0, 20, 40]}
    doses = rng.permutation([3.0, 5, 8, 10, 12, 15, 20, 24, 30, 40])
    more = {name: rng.choice(values, n) for name, values in more.items()}
    return table.assign(age=rng.uniform(40, 80, n), sessions=np.resize(doses, n), **more)


def model_of(*doses: sd.Dose, **fields) -> sd.Model:
    return sd.Model(**({"name": "m", "intercept": sd.Intercept(), "dose": doses} | fields))


def dose_of(shape: str, column: str = "sessions", **fields) -> sd.Dose:
    return sd.Dose(column=column, shape=shape, **fields)


def half(family: str) -> sd.Prior:
    return sd.Prior(family, **{"scale" if family == "halfcauchy" else "sigma": 0.4})


LOG = sd.Prior("lognormal", mu=-1.0, sigma=0.5)
LOG_T = sd.Prior("logt", nu=5, mu=-1.5, sigma=0.6)
INTERVALS = ["5-15", "≥20", "10", "<8", "30", "12-40", "10", "20-30"]


def shipped(name: str) -> Callable:
    return lambda: prepared(sd.load_model(name), wide_table())


def on_wide(model: sd.Model) -> Callable:
    return lambda: prepared(model, wide_table())


def on_sizes(model: sd.Model) -> Callable:
    def build():
        table = wide_table()
        return prepared(model, table.assign(n_active=np.arange(len(table)) + 9, n_control=20))

    return build


def on_intervals(shape: str, stratum: bool = False, **fields) -> Callable:
    """Sessions printed as intervals beside numbers; or as many rows that are strata, some of them with an interval."""

    def build():
        table = wide_table().astype({"sessions": object})
        table.loc[: len(INTERVALS) - 1, "sessions"] = INTERVALS
        if stratum:
            table["design"] = np.where(np.arange(len(table)) % 2, "stratum", "parallel")
        model = model_of(dose_of(shape, **fields))
        return prepared(model, table, allow_mixed=("design",))

    return build


def imputed(*doses: sd.Dose, table: Callable = lambda: PROTOCOLS, **fields) -> Callable:
    model = model_of(*doses, **fields)
    return lambda: prepared(model, table(), "impute")


def open_limits() -> pd.DataFrame:
    """Frequency, minutes and pulses all missing in one row, with a bound: limits that tie three latents."""
    table = {
        "study": list("ABCDE"),
        "frequency_hz": ["1", "5", "10", None, "<2"],
        "session_min": ["20", "10", "30", None, None],
        "pulses_per_session": ["1000", "1500", "1200", "≥3000", None],
        "effect": [0.1, 0.4, 0.2, 0.6, 0.3],
        "se": 0.2,
    }
    return pd.DataFrame(table)


def on_outcomes(levels: int, model: sd.Model, twice: bool = False) -> Callable:
    """Studies with one or two outcomes on the same people; or each outcome twice, in different people."""

    def build():
        table = wide_table()
        order = table.groupby("study").cumcount() + pd.factorize(table["study"])[0]
        table["outcome"] = np.array(["FMA-UE", "ARAT", "MAS"])[order % levels]
        if twice:
            again = table.assign(effect=table["effect"] + 0.1, sessions=table["sessions"] + 1)
            return prepared(model, pd.concat([table, again], ignore_index=True))
        return prepared(model, table.assign(sample="all", outcome_correlation=0.4))

    return build


def without_sds(measure: str) -> pd.DataFrame:
    rows = [row | {"measure": measure, "sessions": 5 + 5 * k} for k, row in enumerate(rows_without_sds())]
    other = [row | {"study": f"other {k}", "outcome": "ARAT", "sessions": 12} for k, row in enumerate(rows)]
    return pd.DataFrame(rows + other, dtype=object)


def unknown(table: Callable, **fields) -> Callable:
    model = model_of(dose_of("log-linear", by_study=False), **fields)
    return lambda: prepared(model, sd.read_trials(table(), missing="keep"), "impute", ("outcome", "score"))


def without_r() -> pd.DataFrame:
    rows = [before_after(k, mean) | {"sessions": 4 * k + 4} for k, mean in enumerate([1.0, 6.0, -2.0, 4.5])]
    return pd.DataFrame([*rows, rows[0] | {"study": "printed", "pre_post_r": 0.6}], dtype=object)


def without_anything() -> pd.DataFrame:
    """Rows that lack a dose, r, or a standard deviation."""
    rows = [*without_r().to_dict("records"), *without_sds("MD").to_dict("records")]
    rows = [row | {"study": f"{k}", "outcome": "FMA-UE"} for k, row in enumerate(rows)]
    for row in (rows[1], rows[2], rows[6]):
        row["sessions"] = "10-30" if row is rows[2] else None
    return pd.DataFrame(rows, dtype=object)


def linked(by_study: bool = True, **fields) -> Callable:
    def build():
        model = model_of(dose_of("emax", by_study=by_study), **fields)
        return prepared(model, linked_table())

    return build


CASES: dict[str, Callable] = {
    name: shipped(name) for name in ("frequency-bell", "hours-by-phase", "pooled", "sessions-by-phase", "stimulation")
}
for shape in SHAPES:
    CASES[f"{shape}, by phase"] = on_wide(model_of(dose_of(shape, by="phase")))
    if shape != "gaussian-process":  # which has no values beyond the printed doses
        CASES[f"{shape}, intervals by phase"] = on_intervals(shape, by="phase", by_study=False)
        CASES[f"{shape}, strata with intervals by site"] = on_intervals(shape, stratum=True, by="site")
ANCHORED = model_of(dose_of("emax", by="phase"), dose_of("log-linear", "session_min", by="site"), intercept=None)
CROSSED = "phase*site"
AGE = sd.Moderator(column="age", center=60, per=10)
CASES |= {
    "groups crossed": on_wide(model_of(dose_of("bell", by=CROSSED), intercept=sd.Intercept(by=CROSSED))),
    "groups added": on_wide(model_of(dose_of("emax", by=("phase", "site")), dose_of("linear", "session_min", by="phase:site"))),
    "groups crossed, intervals": on_intervals("emax", by=CROSSED),
    "known parameters": on_wide(
        model_of(dose_of("bell", fixed={"width": 0.6}), dose_of("emax", "session_min", fixed={"ed50": 9}))
    ),
    "a product": on_wide(model_of(dose_of("bell", "frequency_hz", times=dose_of("emax", "session_min")))),
    "a product by groups": on_wide(
        model_of(
            dose_of("quadratic", by="phase", times=dose_of("bell", "frequency_hz", by="site")), dose_of("bell", "session_min")
        )
    ),
    "a product and either dose alone": on_wide(
        model_of(
            dose_of("quadratic", by="phase", alone=("sessions", "frequency_hz"), times=dose_of("bell", "frequency_hz", by="site"))
        )
    ),
    "a freed product of positive shapes": on_wide(
        model_of(dose_of("bell", "frequency_hz", by="phase", times=dose_of("emax", "session_min"))).freed()
    ),
    "a freed product of fixed columns": on_wide(
        model_of(dose_of("linear", times=dose_of("log-linear", "session_min")), intercept=None).freed()
    ),
    "a product of fixed columns": on_wide(model_of(dose_of("linear", times=dose_of("log-linear", "session_min")))),
    "a product with an interval": on_intervals("log-linear", times=dose_of("bell", "frequency_hz")),
    "one effect for all": on_wide(model_of(dose_of("linear"))),
    "no slopes by study": on_wide(model_of(dose_of("quadratic", by_study=False))),
    "a Gaussian process on closed intervals": lambda: prepared(
        model_of(dose_of("gaussian-process")), wide_table().assign(sessions=["5-15", "10", "12-40", "30", "20"] * 2)
    ),
    "a surface": on_wide(model_of(dose_of("gaussian-process", waves=5, times=dose_of("gaussian-process", "session_min")))),
    "powers": on_intervals("fractional-polynomial", powers=(0, 0), priors={}),
    "intervals": on_intervals("log-linear", by_study=False),
    "strata with intervals": on_intervals("bell", stratum=True),
    "anchored": on_wide(ANCHORED),
    "an anchored model, freed": on_wide(ANCHORED.freed()),
    "moderators": on_wide(model_of(dose_of("bell"), moderator=[AGE, sd.Moderator(column="site")])),
    "a moderator by study": on_wide(
        model_of(
            dose_of("bell"), moderator=[sd.Moderator(column="age", center=50, per=10, by_study=True), sd.Moderator(column="site")]
        )
    ),
    "moderators by study, positive, log-normal spread": on_wide(
        model_of(
            dose_of("emax", by="phase"),
            moderator=[
                sd.Moderator(column="age", prior=LOG, by_study=True, between_study=LOG),
                sd.Moderator(column="therapy_hours", prior=sd.Prior("normal", mu=0.0, sigma=1.0), by_study=True),
            ],
        )
    ),
    "moderators without a dose": on_wide(model_of(moderator=[AGE, sd.Moderator(column="phase", spread=half("halfcauchy"))])),
    "intercept by group, log-normal spreads": on_wide(
        model_of(
            dose_of("emax", by="site", priors={"maximum_between_site": LOG, "ed50_between_site": LOG}),
            intercept=sd.Intercept(by="phase", spread=LOG),
        )
    ),
    "log-normal spreads by study": on_wide(model_of(dose_of("linear", priors={"slope_between_study": LOG}))),
    "log-normal heterogeneity": on_wide(model_of(dose_of("emax"), between_study=LOG, within_study=LOG)),
    "log-t heterogeneity and amplitude": on_wide(
        model_of(dose_of("bell", by="phase", priors={"amplitude": LOG_T}), between_study=LOG_T, within_study=half("halfnormal"))
    ),
    "half-Cauchy everywhere": on_wide(
        model_of(
            dose_of("emax", by="phase", priors={name: half("halfcauchy") for name in ("maximum", "ed50_between_phase")}),
            intercept=sd.Intercept(prior=half("halfcauchy"), by="site", spread=half("halfcauchy")),
            moderator=[sd.Moderator(column="age", prior=half("halfnormal"))],
            between_study=half("halfcauchy"),
            within_study=half("halfcauchy"),
        )
    ),
    "positive coefficients": on_wide(
        model_of(
            dose_of("quadratic", by="phase", priors={"slope": LOG, "curvature": half("halfnormal")}),
            intercept=sd.Intercept(prior=LOG),
            moderator=[sd.Moderator(column="age", prior=LOG)],
        )
    ),
    "a bell or a trough": on_wide(model_of(dose_of("bell", priors={"amplitude": sd.Prior("normal", mu=0.2, sigma=1)}))),
    "three doses of one shape": on_wide(
        model_of(dose_of("bell"), dose_of("bell", "session_min", by="phase"), dose_of("bell", "frequency_hz", by="site"))
    ),
    "a measure with units": lambda: prepared(
        model_of(dose_of("bell", by="phase"), outcome_sd=8.0, moderator=[AGE]),
        wide_table().assign(measure="MD").eval("effect = 8 * effect").eval("se = 8 * se"),
    ),
    "one row per study": lambda: prepared(model_of(dose_of("quadratic", by="site")), wide_table().drop_duplicates("study")),
    "one study": lambda: prepared(model_of(dose_of("bell")), wide_table().assign(study="A")),
    "one row": lambda: prepared(model_of(), wide_table(1)),
    "one row, an interval": lambda: prepared(model_of(dose_of("bell")), wide_table(1).assign(sessions="5-15")),
    "missing doses of protocols": lambda: prepared(PROTOCOL_MODEL, PROTOCOLS, "impute"),
    "missing doses, emax and bell": imputed(dose_of("emax", "session_min"), dose_of("bell", "total_pulses", by="modality")),
    "missing doses, log-normal spread": imputed(
        dose_of("quadratic", "pulses_per_session", priors={"spread": LOG}), dose_of("linear", "session_min", by="modality")
    ),
    "limits on several latents": imputed(
        dose_of("bell", "frequency_hz"),
        dose_of("emax", "session_min"),
        dose_of("log-linear", "pulses_per_session"),
        table=open_limits,
    ),
    "Student-t study effects": on_wide(model_of(dose_of("bell", by="phase"), study_effects="student-t")),
    "Student-t, one row per study": lambda: prepared(
        model_of(dose_of("emax"), study_effects="student-t", student_t_df=7.0), wide_table().drop_duplicates("study")
    ),
    "Student-t, shared controls and repeated times": linked(study_effects="student-t"),
    "heterogeneity by group": on_wide(model_of(dose_of("quadratic"), between_study_by="site")),
    "heterogeneity by group, one row per study": lambda: prepared(
        model_of(
            dose_of("linear"), between_study_by="phase", between_study=half("halfcauchy"), between_study_spread=half("halfcauchy")
        ),
        wide_table().drop_duplicates("study"),
    ),
    "Student-t study effects and heterogeneity by group": on_wide(
        model_of(dose_of("bell", by="site"), study_effects="student-t", between_study_by="site")
    ),
    "Student-t, everything missing": unknown(without_anything, outcome_sd=8.0, study_effects="student-t"),
    "two outcomes": on_outcomes(2, model_of(intercept=sd.Intercept(by="outcome"), between_study_by="outcome")),
    "two outcomes and slopes by study": on_outcomes(
        2,
        model_of(dose_of("emax"), dose_of("bell", "session_min"), between_study_by="outcome", intercept=sd.Intercept(by="site")),
    ),
    "three outcomes, log-normal spreads": on_outcomes(
        3,
        model_of(
            dose_of("bell", by="outcome"),
            between_study_by="outcome",
            between_study=LOG,
            between_study_spread=LOG,
            between_study_correlation=sd.Prior("correlation", mu=-0.2, sigma=0.4),
        ),
    ),
    "two outcomes, twice each": on_outcomes(
        2, model_of(dose_of("quadratic", by_study=False), between_study_by="outcome"), twice=True
    ),
    "PET by sizes": on_sizes(model_of(dose_of("bell"), small_study="pet")),
    "PEESE by sizes, positive": on_sizes(model_of(small_study="peese", small_study_effect=half("halfnormal"))),
    "PET by standard errors": lambda: prepared(
        model_of(dose_of("emax"), outcome_sd=8.0, small_study="pet"),
        wide_table().assign(measure="MD").eval("effect = 8 * effect").eval("se = 8 * se"),
    ),
    **{
        name: lambda name=name: prepared(
            model_of(dose_of("bell", "session_min", by="severity"), outcome_sd=1.3, residual_sd=LOG, moderator=[AGE]),
            sd.read_trials(PEOPLE[name].reset_index(drop=True)),
        )
        for name in PEOPLE
    },
    "nothing missing": imputed(dose_of("emax"), table=wide_table),
    "r": unknown(without_r, outcome_sd=8.0),
    "standard deviations, raw": unknown(lambda: without_sds("MD"), outcome_sd=8.0),
    "standard deviations, standardised": unknown(lambda: without_sds("SMD")),
    "everything missing": unknown(without_anything, outcome_sd=8.0),
    "shared controls and repeated times": linked(),
    "shared controls, no slopes": linked(by_study=False),
}


# --- the two densities ---------------------------------------------------------------------------------------------------------------


def density_at(position: np.ndarray, program: Program) -> tuple[float, np.ndarray]:
    gradient = np.empty(len(position))
    return log_density(position, program, gradient), gradient


def folded_of(program: Program) -> np.ndarray:
    return np.flatnonzero([FAMILIES[family].startswith("folded") for family in program.sampled.family])


def positions_of(program: Program) -> np.ndarray:
    """Random positions (POSITIONS, d); those of standard deviations are of both signs, and not tiny."""
    rng, folded = np.random.default_rng(1), folded_of(program)
    family, first, second = program.sampled[:3]
    middle = np.where(np.char.startswith(np.array(FAMILIES)[family], "half"), 0.0, first)
    found = middle + 0.7 * second * rng.standard_normal((POSITIONS, len(family)))
    sign = rng.choice([-1, 1], (POSITIONS, len(folded)))
    sign[0], sign[1] = 1, -1
    found[:, folded] = sign * first[folded] * rng.uniform(0.3, 1.5, (POSITIONS, len(folded)))
    return found


def upright(position: np.ndarray, program: Program) -> np.ndarray:
    """1 or -1 by parameter: what the standard normals of groups are multiplied with where their spread becomes positive."""
    sign, folded = np.ones(len(position)), folded_of(program)
    for _, spread, normal in program.sampled.grouped:
        sign[normal] = np.sign(position[spread]) if spread in folded else 1
    return sign


def name_of(value_name: str) -> str:
    """The name of a sampled variable, from that of its value variable in PyMC."""
    name = value_name.removesuffix("_log__").removesuffix("_interval__").removesuffix("_log")
    return name.removesuffix("_z") if name in ("pre_post_r_z", "between_study_correlation_z") else name


class InPymc:
    """The model of a table in PyMC, as one function of positions."""

    def __init__(self, model: sd.Model, rows: Rows, program: Program, layout: Layout):
        built = build_rows(model, rows)
        variables = built.continuous_value_vars
        self.program = program
        self.names = [variable.name for variable in variables]
        self.places = [layout.sampled[name_of(name)] for name in self.names]
        self.deterministics = [variable.name for variable in built.deterministics]
        logp = built.logp()
        outputs = [logp, *pytensor.grad(logp, variables), *built.replace_rvs_by_values(built.deterministics)]
        self.function = built.compile_fn(outputs, inputs=variables, mode=AS_WRITTEN, on_unused_input="ignore")

    def at(self, position: np.ndarray) -> tuple[float, np.ndarray, dict]:
        """Log density and gradient (d,) as the engine has them, and the deterministic variables."""
        folded, sign = folded_of(self.program), upright(position, self.program)
        x, moved = position[folded], position * sign
        moved[folded] = np.log(np.abs(x))
        logp, *found = self.function({name: moved[place] for name, place in zip(self.names, self.places, strict=True)})
        gradient, values = np.empty(len(position)), dict(zip(self.deterministics, found[len(self.names) :], strict=True))
        for place, slope in zip(self.places, found, strict=False):
            gradient[place] = slope
        gradient *= sign
        gradient[folded] = (gradient[folded] - 1) / x
        return float(logp) - len(x) * np.log(2) - np.log(np.abs(x)).sum(), gradient, values


ON_LOG_SCALE = [half("halfnormal"), half("halfcauchy"), LOG, LOG_T, LOG_T.scaled(8.0)]


@pytest.mark.parametrize("prior", ON_LOG_SCALE, ids=str)
def test_the_prior_of_a_logarithm_is_that_of_scipy_with_its_jacobian(prior):
    parameters = [*prior.parameters.values(), 0.0, 0.0][:3]
    x, step = np.array([-9.0, -2.0, -0.3, 0.4, 3.0]), 1e-6
    value, slope, density, gradient = np.transpose([prior_density(FAMILIES.index(prior.family), *parameters, at) for at in x])
    np.testing.assert_allclose(value, np.exp(x), rtol=1e-15)
    np.testing.assert_array_equal(slope, value)
    np.testing.assert_allclose(density, prior.distribution.logpdf(value) + x, rtol=1e-12)
    above, below = (prior.distribution.logpdf(np.exp(x + h)) + x + h for h in (step, -step))
    np.testing.assert_allclose(gradient, (above - below) / (2 * step), rtol=1e-6, atol=1e-7)


def marked(name: str):
    """Intervals go one way through every shape: three shapes show it in the default run."""
    rare = "intervals by" in name and not name.startswith(("bell", "emax", "monotone"))
    return pytest.param(name, marks=pytest.mark.slow) if rare else name


@pytest.fixture(params=map(marked, CASES), scope="module")
def case(request):
    model, rows = CASES[request.param]()
    return model, rows, *encode(model, rows)


def test_density_gradient_and_values_are_those_of_the_model_in_pymc(case):
    model, rows, program, layout = case
    in_pymc, found = InPymc(model, rows, program, layout), []
    assert sorted(place for places in in_pymc.places for place in places.ravel()) == list(range(len(program.sampled.family)))
    for position in positions_of(program):
        logp, gradient = density_at(position, program)
        expected, slopes, values = in_pymc.at(position)
        assert logp == pytest.approx(expected, rel=1e-9, abs=1e-8)
        np.testing.assert_allclose(gradient, slopes, rtol=1e-7, atol=1e-7 * np.abs(slopes).max())
        natural = natural_values(program, layout, position[None])
        for name, value in values.items():
            np.testing.assert_allclose(natural[name][0], value, rtol=1e-10, err_msg=name)
        found.append(logp)
    assert np.ptp(found) > 0.1


def test_the_gradient_is_that_of_finite_differences(case):
    *_, program, _ = case
    position = positions_of(program)[-1]
    _, gradient = density_at(position, program)
    step, numeric = 1e-5, np.empty(len(position))
    for k, shift in enumerate(step * np.eye(len(position))):
        numeric[k] = (density_at(position + shift, program)[0] - density_at(position - shift, program)[0]) / (2 * step)
    np.testing.assert_allclose(gradient, numeric, rtol=1e-4, atol=1e-5 * max(1.0, np.abs(gradient).max()))


def test_a_standard_deviation_has_no_sign(case):
    *_, program, layout = case
    folded = folded_of(program)
    assert len(folded)
    for position in positions_of(program):
        logp, gradient = density_at(position, program)
        values = natural_values(program, layout, position[None])
        for k in folded:
            sign = np.ones(len(position))
            sign[k] = -1
            sign[[normal for _, spread, normal in program.sampled.grouped if spread == k]] = -1
            mirrored, slopes = density_at(position * sign, program)
            assert mirrored == pytest.approx(logp, rel=1e-13)
            np.testing.assert_allclose(slopes * sign, gradient, rtol=1e-10, atol=1e-10 * np.abs(gradient).max())
            for name, value in natural_values(program, layout, (position * sign)[None]).items():
                np.testing.assert_allclose(np.abs(value), np.abs(values[name]), rtol=1e-13, err_msg=name)


def test_the_layout_is_complete(case):
    model, rows, program, layout = case
    assert set(sampled_priors(model, rows)) <= set(layout.sampled)
    places = np.concatenate([place.ravel() for place in layout.sampled.values()])
    np.testing.assert_array_equal(np.sort(places), np.arange(len(program.sampled.family)))
    values, coefficients = natural_values(program, layout, positions_of(program)), set()
    coefficients |= {"intercept", "small_study_effect"} | {
        f"{part.column}_{name}" for part in model.dose for name in part.coefficients
    }
    coefficients |= {grouped.variable for grouped in grouped_parameters(model) if not grouped.is_factor}
    coefficients |= {f"{moderator.column}_effect" for moderator in model.moderator}
    absent = {name for name in variable_dims(model, rows) if name not in values and not name.endswith("study_effect")}
    assert absent <= coefficients  # integrated out: drawn afterwards
    for name in sampled_priors(model, rows):
        assert (values[name] >= 0).all() or not sampled_priors(model, rows)[name].is_positive, name
