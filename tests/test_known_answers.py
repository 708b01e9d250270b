"""Posteriors against answers that were computed without this package: by bayesmeta and metafor, and by quadrature in numpy, below.

Criterion: every mean, standard deviation and quantile lies within 4 Monte Carlo standard errors of the exact value, and all of a fit's
quantities together do not miss theirs more than chance allows (Hotelling's T squared on batch means, p > 0.001).
"""

import functools
import json
from dataclasses import dataclass
from pathlib import Path

import arviz as az
import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

import stimdose as sd
from stimdose.grid import curve_draws
from stimdose.posterior import draw_coefficients, draw_prior
from stimdose.pymc_model import sampled_priors
from stimdose.rows import rows_of
from stimdose.shapes import SHAPES

ORACLES = Path(__file__).parent / "oracles"
STORED = json.loads((ORACLES / "known_answers.json").read_text(encoding="utf-8"))
QUANTILES = {"q2_5": 0.025, "median": 0.5, "q97_5": 0.975}
Z_MAX, P_MIN = 4.0, 1e-3


# --- Monte Carlo draws against known numbers -----------------------------------------------------------------------------------------


def deviations(x: np.ndarray, numbers: dict[str, float]) -> dict[str, np.ndarray]:
    """Functions of the draws (chain, draw) whose mean is zero if the known numbers are right; quantiles as probabilities."""
    found = {}
    for statistic, number in numbers.items():
        if statistic == "mean":
            found[statistic] = x - number
        elif statistic == "sd":
            found[statistic] = (x - numbers["mean"]) ** 2 - number**2
        else:
            found[statistic] = (x <= number) - QUANTILES[statistic]
    return found


def all_deviations(draws: dict[str, np.ndarray], known: dict[str, dict[str, float]]) -> dict[str, np.ndarray]:
    return {f"{name} {key}": x for name, numbers in known.items() for key, x in deviations(draws[name], numbers).items()}


def z_scores(draws: dict[str, np.ndarray], known: dict[str, dict[str, float]]) -> pd.Series:
    """(estimate - known) / Monte Carlo standard error, by quantity and statistic.

    A quantile is judged by the share of draws below its known value: the same question, with a steadier standard error.
    """
    return pd.Series({name: x.mean() / float(az.mcse(x, method="mean")) for name, x in all_deviations(draws, known).items()})


def joint_p_value(draws: dict[str, np.ndarray], known: dict[str, dict[str, float]], batches: int = 50) -> float:
    """P-value of all known numbers together: Hotelling's T squared on means of batches."""
    return hotelling_p_value(np.stack([batch_means(x, batches) for x in all_deviations(draws, known).values()], axis=-1))


def batch_means(x: np.ndarray, batches: int) -> np.ndarray:
    """Means of `batches` consecutive parts of each chain, one after the other."""
    return x.reshape(len(x) * batches, -1).mean(axis=1)


def hotelling_p_value(sample: np.ndarray) -> float:
    """P-value of the mean of a sample (n, columns) being zero; columns that depend on each other linearly count once."""
    n = len(sample)
    sample = sample / sample.std(axis=0)
    covariance = np.cov(sample.T)
    k = np.linalg.matrix_rank(covariance, rtol=1e-10, hermitian=True)
    t2 = n * sample.mean(axis=0) @ np.linalg.pinv(covariance, rtol=1e-10, hermitian=True) @ sample.mean(axis=0)
    return float(stats.f.sf(t2 * (n - k) / (k * (n - 1)), k, n - k))


def assert_agrees(what: str, draws: dict[str, np.ndarray], known: dict[str, dict[str, float]]) -> None:
    z, p = z_scores(draws, known), joint_p_value(draws, known)
    print(
        f"\n{what}: {len(z)} numbers, max |z| {z.abs().max():.2f} ({z.abs().idxmax()}), rms z {np.sqrt((z**2).mean()):.2f}, joint p {p:.3f}"
    )
    assert z.abs().max() < Z_MAX, z[z.abs() >= Z_MAX]
    assert p > P_MIN


# --- the exact posterior, by quadrature over the scales -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Exact:
    """Posterior of y_i = x_i'b + u_s + w_i + e_i on a grid over tau (of u) and omega (of w): a node's weight, and the normal of b there."""

    tau: np.ndarray
    omega: np.ndarray
    weight: np.ndarray
    mean: np.ndarray
    cov: np.ndarray

    def linear(self, a: np.ndarray, shift=0.0, variance=0.0) -> dict[str, float]:
        """Mean, sd and quantiles of a'b + shift + N(0, variance); a (k,) or (nodes, k)."""
        a = np.broadcast_to(a, self.mean.shape)
        mean = (self.mean * a).sum(axis=1) + shift
        return normal_mixture(self.weight, mean, np.sqrt(np.einsum("ni,nij,nj->n", a, self.cov, a) + variance))

    def scale(self, name: str) -> dict[str, float]:
        """Mean, sd and quantiles of tau or omega."""
        x, node = np.unique(getattr(self, name), return_inverse=True)
        return on_grid(x, np.bincount(node, self.weight))

    def true_effect(self, y: float, v: float, x: np.ndarray) -> dict[str, float]:
        """Mean, sd and quantiles of x'b + u of a study with one row: shrunken towards x'b."""
        share = self.tau**2 / (self.tau**2 + v)
        return self.linear((1 - share)[:, None] * x, share * y, share * v)


def normal_mixture(weight: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> dict[str, float]:
    use = weight > 1e-12
    weight, mean, sd = (
        weight[use] / weight[use].sum(),
        np.broadcast_to(mean, weight.shape)[use],
        np.broadcast_to(sd, weight.shape)[use],
    )
    centre = weight @ mean
    spread = np.sqrt(weight @ (sd**2 + (mean - centre) ** 2))
    found = {"mean": float(centre), "sd": float(spread)}
    for name, prob in QUANTILES.items():
        miss = lambda x, prob=prob: weight @ stats.norm.cdf((x - mean) / sd) - prob
        found[name] = float(optimize.brentq(miss, centre - 12 * spread, centre + 12 * spread, xtol=1e-10))
    return found


def on_grid(x: np.ndarray, weight: np.ndarray) -> dict[str, float]:
    """Mean, sd and quantiles of weights at the midpoints of equal cells."""
    centre, step = weight @ x, x[1] - x[0]
    edges, cumulative = np.concatenate([[x[0] - step / 2], x + step / 2]), np.concatenate([[0.0], np.cumsum(weight)])
    found = {"mean": float(centre), "sd": float(np.sqrt(weight @ (x - centre) ** 2))}
    return found | {name: float(np.interp(prob, cumulative, edges)) for name, prob in QUANTILES.items()}


def midpoints(top: float, cells: int) -> np.ndarray:
    return (np.arange(cells) + 0.5) * top / cells


def gls(y, v, X, study, tau, omega, b_sd=np.inf):
    """Of every node (tau, omega): precision of b, mean of b, and log density of y; dense blocks by study. A flat b (b_sd infinite) drops out."""
    nodes, p = len(tau), X.shape[1]
    precision, score = np.zeros((nodes, p, p)) + np.eye(p) / b_sd**2, np.zeros((nodes, p))
    quadratic, logdet = np.zeros(nodes), np.zeros(nodes)
    for s in np.unique(study):
        rows = np.flatnonzero(study == s)
        K = (tau**2)[:, None, None] + np.eye(len(rows)) * (v[rows] + (omega**2)[:, None])[:, None, :]
        inverse = np.linalg.inv(K)
        precision += np.einsum("ri,nrc,cj->nij", X[rows], inverse, X[rows])
        score += np.einsum("ri,nrc,c->ni", X[rows], inverse, y[rows])
        quadratic += np.einsum("r,nrc,c->n", y[rows], inverse, y[rows])
        logdet += np.linalg.slogdet(K)[1]
    mean = np.linalg.solve(precision, score[..., None])[..., 0]
    return precision, mean, -0.5 * (logdet + len(y) * np.log(2 * np.pi) + quadratic - (score * mean).sum(axis=1))


def exact(y, v, X, tau, tau_prior, *, study=None, omega=None, omega_prior=None, b_sd) -> Exact:
    """The posterior under b_j ~ N(0, b_sd_j^2); grids of midpoints for tau and omega, with scipy distributions as priors."""
    study = np.arange(len(y)) if study is None else study
    grid = np.array([(t, o) for t in tau for o in ([0.0] if omega is None else omega)])
    precision, mean, log_weight = gls(y, v, X, study, *grid.T, b_sd=np.asarray(b_sd))
    log_weight += tau_prior.logpdf(grid[:, 0]) - 0.5 * np.linalg.slogdet(precision)[1]
    log_weight += 0 if omega is None else omega_prior.logpdf(grid[:, 1])
    weight = np.exp(log_weight - log_weight.max())
    return Exact(*grid.T, weight / weight.sum(), mean, np.linalg.inv(precision))


# --- eight schools and BCG ----------------------------------------------------------------------------------------------------------


def eight_schools() -> pd.DataFrame:
    return pd.read_csv(ORACLES / "eight_schools.csv").rename(columns={"school": "study", "stderr": "se"})


def bcg() -> pd.DataFrame:
    table = pd.read_csv(ORACLES / "bcg.csv")
    return table.assign(study=table["trial"].astype(str), effect=table["yi"], variance=table["vi"])[
        ["study", "effect", "variance", "ablat"]
    ]


EIGHT_SCHOOLS_MODEL = sd.Model(
    name="eight schools",
    outcome_sd=1.0,
    intercept=sd.Intercept(prior=sd.Prior("normal", mu=0, sigma=50)),
    between_study=sd.Prior("halfcauchy", scale=25),
)


def bcg_model(sigma: float, by_latitude: bool = False) -> sd.Model:
    ten = sd.Prior("normal", mu=0, sigma=10)
    return sd.Model(
        name="bcg",
        outcome_sd=1.0,
        intercept=sd.Intercept(prior=ten),
        moderator=[sd.Moderator(column="ablat", center=33.46154, per=1, prior=ten)] if by_latitude else [],
        between_study=sd.Prior("halfnormal", sigma=sigma),
    )


def exact_eight_schools() -> Exact:
    table = eight_schools()
    ones = np.ones((len(table), 1))
    y, v = table["effect"].to_numpy(), table["se"].to_numpy() ** 2
    return exact(y, v, ones, midpoints(400, 40_000), stats.halfcauchy(scale=25), b_sd=50)


def exact_bcg(sigma: float, by_latitude: bool = False) -> Exact:
    table = bcg()
    X = np.column_stack([np.ones(len(table)), table["ablat"] - 33.46154][: 1 + by_latitude])
    return exact(
        table["effect"].to_numpy(), table["variance"].to_numpy(), X, midpoints(6, 6_000), stats.halfnorm(scale=sigma), b_sd=10
    )


def read(table: pd.DataFrame, measure: str = "SMD", **constants) -> sd.Trials:
    return sd.read_trials(
        table, **{"direction": "higher", "measure": measure, "comparator": "sham", "design": "parallel"} | constants
    )


def arrays(fit: sd.Fit) -> dict[str, np.ndarray]:
    """Posterior draws (chain, draw, ...) by name."""
    return {str(name): values.values for name, values in fit.tree["posterior"].to_dataset().items()}


def by_study(fit: sd.Fit) -> dict[str, np.ndarray]:
    """Study effects (chain, draw) by study."""
    effect = fit.tree["posterior"]["study_effect"]
    return {str(study): effect.sel(study=study).values for study in effect["study"].values}


def new_study(fit: sd.Fit, mean: np.ndarray) -> np.ndarray:
    return mean + fit.tree["posterior"]["between_study"].values * np.random.default_rng(0).standard_normal(mean.shape)


def bayesmeta(numbers: dict, name: str) -> dict[str, float]:
    """Mean, sd and quantiles of one quantity in the stored output of bayesmeta."""
    keys = {"mean": "mean", "sd": "sd", "q2_5": "q2.5", "median": "q50", "q97_5": "q97.5"}
    return {ours: numbers[f"{name}:{theirs}"] for ours, theirs in keys.items() if f"{name}:{theirs}" in numbers}


def test_the_quadrature_gives_the_stored_exact_answers():
    schools, two, one, slope = exact_eight_schools(), exact_bcg(0.5), exact_bcg(1.0), exact_bcg(0.5, by_latitude=True)
    stored = [STORED["eight_schools"]["oracle"]["exact (numpy)"], STORED["bcg"]["oracle"]["exact (numpy)"]]
    at = lambda latitude: np.array([1.0, latitude - 33.46154])
    pairs = []
    for mine, theirs in (
        (schools, stored[0]["mu~N(0,50) tau~HalfCauchy(25)"]),
        (two, stored[1]["mu~N(0,10) tau~HalfNormal(0.5)"]),
        (one, stored[1]["mu~N(0,10) tau~HalfNormal(1.0)"]),
    ):
        found = {"mu": mine.linear([1.0]), "tau": mine.scale("tau"), "theta_new": mine.linear([1.0], variance=mine.tau**2)}
        pairs += [(found[name], theirs[name]) for name in theirs]
    theirs = stored[1]["b0,b1~N(0,10) (ablat centred 33.46154) tau~HalfNormal(0.5)"]
    found = {"b0": slope.linear([1.0, 0.0]), "b1": slope.linear([0.0, 1.0]), "tau": slope.scale("tau")}
    found |= {f"mean@{latitude}": slope.linear(at(latitude)) for latitude in (10, 30, 50)}
    found |= {f"pred@{latitude}": slope.linear(at(latitude), variance=slope.tau**2) for latitude in (10, 30, 50)}
    pairs += [(found[name], theirs[name]) for name in theirs]
    for mine, theirs in pairs:
        assert mine == pytest.approx(theirs, rel=1e-4, abs=1e-5)


@pytest.fixture(scope="module")
def eight_schools_fit() -> sd.Fit:
    return sd.fit(EIGHT_SCHOOLS_MODEL, read(eight_schools(), "MD"), seed=1, draws=20_000)


def test_eight_schools(eight_schools_fit):
    draws, effects = arrays(eight_schools_fit), by_study(eight_schools_fit)
    draws = {"mu": draws["intercept"], "tau": draws["between_study"], "theta": new_study(eight_schools_fit, draws["intercept"])}
    draws |= {f"theta[{school}]": draws["mu"] + effects[school] for school in effects}
    answer, table = exact_eight_schools(), eight_schools()
    known = {"mu": answer.linear([1.0]), "tau": answer.scale("tau"), "theta": answer.linear([1.0], variance=answer.tau**2)}
    known |= {f"theta[{s}]": answer.true_effect(y, se**2, np.ones(1)) for s, y, se in table.itertuples(index=False)}
    assert_agrees("eight schools, quadrature", draws, known)

    stored = STORED["eight_schools"]["oracle"]["bayesmeta_3.4"]["mu~N(0,50) tau~HalfCauchy(25)"]
    assert_agrees("eight schools, bayesmeta", draws, {name: bayesmeta(stored, name) for name in draws if name != "theta"})


def test_the_same_seed_gives_the_same_draws(eight_schools_fit):
    again = sd.fit(EIGHT_SCHOOLS_MODEL, read(eight_schools(), "MD"), seed=1, draws=20_000)
    for group in ("posterior", "prior", "posterior_predictive", "log_likelihood"):
        for name, values in eight_schools_fit.tree[group].to_dataset().items():
            np.testing.assert_array_equal(values, again.tree[group][name], strict=True)


@pytest.mark.parametrize("sigma", [0.5, 1.0])
def test_bcg(sigma):
    fit = sd.fit(bcg_model(sigma), read(bcg(), "logRR"), seed=2, draws=5000)
    draws, effects = arrays(fit), by_study(fit)
    draws = {"mu": draws["intercept"], "tau": draws["between_study"], "theta": new_study(fit, draws["intercept"])}
    draws |= {f"theta[{trial}]": draws["mu"] + effects[trial] for trial in effects}
    answer = exact_bcg(sigma)
    known = {"mu": answer.linear([1.0]), "tau": answer.scale("tau"), "theta": answer.linear([1.0], variance=answer.tau**2)}
    known |= {f"theta[{row.study}]": answer.true_effect(row.effect, row.variance, np.ones(1)) for row in bcg().itertuples()}
    assert_agrees(f"bcg, half-normal({sigma}), quadrature", draws, known)
    stored = STORED["bcg"]["oracle"]["bayesmeta_3.4"][f"bayes mu~N(0,10) tau~HN{sigma:g}"]
    assert_agrees(
        f"bcg, half-normal({sigma}), bayesmeta", draws, {name: bayesmeta(stored, name) for name in draws if name != "theta"}
    )

    # what the package itself reports: shrunken effects, the pooled effect, and the prediction for a new study
    table = sd.study_effects(fit)
    shrunken = pd.Series([known[f"theta[{trial}]"]["mean"] for trial in bcg()["study"]])
    error = [float(az.mcse(draws[f"theta[{trial}]"], method="mean")) for trial in bcg()["study"]]
    assert ((table["shrunken"] - shrunken) / error).abs().max() < Z_MAX
    for name, reported in (("theta", table.attrs["prediction"]), ("mu", table.attrs["pooled"])):
        for end, statistic in (("low", "q2_5"), ("high", "q97_5")):
            error = float(az.mcse(draws[name], method="quantile", prob=QUANTILES[statistic]))
            assert abs(reported[end] - known[name][statistic]) < Z_MAX * error


def test_bcg_by_latitude():
    fit = sd.fit(bcg_model(0.5, by_latitude=True), read(bcg(), "logRR"), seed=3, draws=5000)
    found, effects, latitude = arrays(fit), by_study(fit), bcg()["ablat"].to_numpy() - 33.46154
    answer = exact_bcg(0.5, by_latitude=True)
    draws = {"b0": found["intercept"], "b1": found["ablat_effect"], "tau": found["between_study"]}
    known = {"b0": answer.linear([1.0, 0.0]), "b1": answer.linear([0.0, 1.0]), "tau": answer.scale("tau")}
    for at in (10, 30, 50):
        a = np.array([1.0, at - 33.46154])
        draws[f"mean@{at}"] = draws["b0"] + a[1] * draws["b1"]
        draws[f"pred@{at}"] = new_study(fit, draws[f"mean@{at}"])
        known |= {f"mean@{at}": answer.linear(a), f"pred@{at}": answer.linear(a, variance=answer.tau**2)}
    for row, x in zip(bcg().itertuples(), latitude, strict=True):
        draws[f"theta[{row.study}]"] = draws["b0"] + x * draws["b1"] + effects[row.study]
        known[f"theta[{row.study}]"] = answer.true_effect(row.effect, row.variance, np.array([1.0, x]))
    assert_agrees("bcg by latitude, quadrature", draws, known)
    stored = STORED["bcg"]["oracle"]["exact (numpy)"]["b0,b1~N(0,10) (ablat centred 33.46154) tau~HalfNormal(0.5)"]
    z = z_scores(draws, stored)
    assert z.abs().max() < Z_MAX, z


# --- SCOAR: dose of stroke therapy, 303 groups of 137 studies -----------------------------------------------------------------------

SCOAR_TERMS = {
    "m0": (),
    "m2": ("exp_c", "rtDPS_c"),
    "m5": ("exp_c", "rtDPS_c", "rtTIME_c", "age_c", "rtDPS_rtTIME"),
    "m5_3level": ("exp_c", "rtDPS_c", "rtTIME_c", "age_c", "rtDPS_rtTIME"),
}
B_SD = 10.0
"""Standard deviation of the coefficients' priors: flat, next to standard errors of 0.0005 to 0.05."""


def scoar(name: str) -> tuple[pd.DataFrame, np.ndarray]:
    """The rows as a trials table, and the design matrix. exp.c is +-1/2; the others are centred at the mean of the 303 groups."""
    raw = pd.read_csv(ORACLES / "scoar.csv")
    table = pd.DataFrame(
        {
            "study": raw["study_id" if name == "m5_3level" else "group_id"].astype(str),
            "arm": raw["group_id"].astype(str),
            "effect": raw["term_g"],
            "variance": raw["term_Vg"],
            "exp_c": (raw["group"] == "exp") - 0.5,
            "rtDPS_c": np.sqrt(raw["days_ps"]) - np.sqrt(raw["days_ps"]).mean(),
            "rtTIME_c": np.sqrt(raw["time_50"]) - np.sqrt(raw["time_50"]).mean(),
            "age_c": raw["age_base"] - raw["age_base"].mean(),
        }
    )
    table["rtDPS_rtTIME"] = table["rtDPS_c"] * table["rtTIME_c"]
    return table, np.column_stack([np.ones(len(table)), *(table[term] for term in SCOAR_TERMS[name])])


def stored_scoar(name: str) -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
    """Coefficients and standard errors of metafor's fit by maximum likelihood, and the rest."""
    numbers = STORED["scoar"]["oracle"]["metafor_3.8.1"][name]
    side = lambda kind: np.array([value for key, value in numbers.items() if key.startswith(kind)])
    return side("coef:"), side("se:"), numbers


def maximum_likelihood(name: str) -> tuple[np.ndarray, np.ndarray, float]:
    """Coefficients, variances (tau^2, or those of study and group) and log-likelihood, maximised in numpy."""
    table, X = scoar(name)
    y, v, study = table["effect"].to_numpy(), table["variance"].to_numpy(), table["study"].to_numpy()
    levels = 2 if name == "m5_3level" else 1
    at = lambda sds: gls(y, v, X, study, np.array([sds[0]]), np.array([sds[1] if levels == 2 else 0.0]))
    best = optimize.minimize(lambda sds: -at(sds)[2][0], [0.2, 0.1][:levels], bounds=[(0, 2)] * levels, tol=1e-12)
    return at(best.x)[1][0], best.x**2, -best.fun


@pytest.mark.parametrize("name", SCOAR_TERMS)
def test_numpy_reproduces_the_fits_of_metafor(name):
    """The predictors, the blocks and the likelihood below are those of the stored fits."""
    b, variances, log_likelihood = maximum_likelihood(name)
    stored_b, _, numbers = stored_scoar(name)
    np.testing.assert_allclose(b, stored_b, rtol=1e-4)
    stored = [numbers["tau2"]] if "tau2" in numbers else [numbers["sigma2:study"], numbers["sigma2:group"]]
    np.testing.assert_allclose(variances, stored, rtol=1e-3)
    assert log_likelihood == pytest.approx(numbers["logLik"], abs=1e-5)


@pytest.mark.parametrize(
    "name", [pytest.param("m0", marks=pytest.mark.slow), pytest.param("m2", marks=pytest.mark.slow), "m5", "m5_3level"]
)
def test_scoar(name):
    """Against quadrature exactly; against maximum likelihood loosely: the posterior averages over tau, the estimate sits at one tau.

    Between them lies the difference of the methods, not of the programs: under flat priors of the coefficients less than 0.15 standard errors.
    """
    (table, X), terms = scoar(name), SCOAR_TERMS[name]
    y, v, nested = table["effect"].to_numpy(), table["variance"].to_numpy(), name == "m5_3level"
    wide = sd.Prior("normal", mu=0, sigma=B_SD)
    model = sd.Model(
        name=name,
        intercept=sd.Intercept(prior=wide),
        moderator=[sd.Moderator(column=term, center=0, per=1, prior=wide) for term in terms],
        between_study=sd.Prior("halfnormal", sigma=0.5),
        within_study=sd.Prior("halfnormal", sigma=0.25),
    )
    fit = sd.fit(model, read(table, "SMCC", comparator="none", design="within-group"), seed=4, draws=1500, tune=500)
    found = arrays(fit)
    draws = {"b0": found["intercept"]} | {term: found[f"{term}_effect"] for term in terms} | {"tau": found["between_study"]}
    if nested:
        answer = exact(
            y, v, X, midpoints(0.4, 80), stats.halfnorm(scale=0.5),
            study=table["study"].to_numpy(), omega=midpoints(0.32, 80), omega_prior=stats.halfnorm(scale=0.25), b_sd=B_SD,
        )  # fmt: skip
        draws["omega"] = found["within_study"]
    else:
        answer = exact(y, v, X, midpoints(0.6, 1200), stats.halfnorm(scale=0.5), b_sd=B_SD)
    known = {coefficient: answer.linear(np.eye(X.shape[1])[k]) for k, coefficient in enumerate(("b0", *terms))}
    known |= {scale: answer.scale(scale) for scale in ("tau", "omega") if scale in draws}
    assert_agrees(f"scoar {name}, quadrature", draws, known)

    b, se, numbers = stored_scoar(name)
    off = (np.array([draws[term].mean() for term in ("b0", *terms)]) - b) / se
    print("posterior mean - maximum likelihood, in standard errors:", off.round(3))
    assert np.abs(off).max() < 0.15
    # the variances are inside the central 95 % of the posterior
    for scale, key in (("tau", "sigma2:study"), ("omega", "sigma2:group")) if nested else (("tau", "tau2"),):
        assert known[scale]["q2_5"] < np.sqrt(numbers[key]) < known[scale]["q97_5"]


# --- everything at once: the integrated and the explicit form -----------------------------------------------------------------------


def twin_table() -> pd.DataFrame:
    """12 studies, 20 rows, simulated here; two doses are printed as intervals. Rows are labelled a to t."""
    rng = np.random.default_rng(8)
    rows = []
    for study in range(12):
        shift = rng.normal(0, 0.2)
        for arm in range((1, 2, 1, 3, 2, 1)[study % 6]):
            frequency, minutes = rng.choice([1.0, 3, 5, 10, 20, 50]), rng.choice([5.0, 10, 15, 20, 30, 45])
            se = rng.uniform(0.15, 0.35)
            mean = 0.1 + 0.8 * np.exp(-0.5 * (np.log(frequency / 10) / 0.6) ** 2) + 0.3 * np.log2(1 + minutes / 20)
            rows.append(
                {
                    "study": f"S{study}",
                    "arm": "ABC"[arm],
                    "frequency_hz": frequency,
                    "session_min": f"{minutes:g}",
                    "phase": ("acute", "subacute", "chronic")[study % 3],
                    "site": ("nerve", "muscle")[study // 2 % 2],
                    "effect": mean + shift + rng.normal(0, 0.1) + rng.normal(0, se),
                    "se": se,
                }
            )
    table = pd.DataFrame(rows, index=list("abcdefghijklmnopqrst"))
    table.loc["c", "session_min"], table.loc["m", "session_min"] = "10-20", "≥20"
    return table


TWIN_MODEL = sd.Model(
    name="twin",
    intercept=sd.Intercept(by="phase"),
    dose=[sd.Dose(column="frequency_hz", shape="bell"), sd.Dose(column="session_min", shape="log-linear")],
    moderator=[sd.Moderator(column="site")],
)


def split(fit: sd.Fit) -> dict[str, np.ndarray]:
    """Every scalar of the posterior (chain, draw), by name and label: population parameters, groups, studies and uncertain doses."""
    found = {}
    for name, values in fit.tree["posterior"].to_dataset().items():
        flat = values.stack(part=values.dims[2:]).values if values.ndim > 2 else values.values[..., None]
        labels = values[values.dims[2]].values if values.ndim > 2 else [""]
        found |= {f"{name} {label}".strip(): flat[..., k] for k, label in enumerate(labels)}
    return found


def differences(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> pd.Series:
    """Differences of two posteriors in joint Monte Carlo standard errors: means, sds, and shares below their common quantiles."""
    found = {}
    for name, x in one.items():
        both = np.concatenate([x.ravel(), other[name].ravel()])
        numbers = {"mean": both.mean(), "sd": both.std()} | {key: np.quantile(both, prob) for key, prob in QUANTILES.items()}
        for key, a in deviations(x, numbers).items():
            b = deviations(other[name], numbers)[key]
            error = np.hypot(float(az.mcse(a, method="mean")), float(az.mcse(b, method="mean")))
            found[f"{name} {key}"] = (a.mean() - b.mean()) / error
    return pd.Series(found)


def assert_same_posterior(what: str, one: dict[str, np.ndarray], other: dict[str, np.ndarray], batches: int = 50) -> None:
    z = differences(one, other)
    population = [name for name in one if "study_effect" not in name]
    sides = [np.stack([batch_means(draws[name], batches) for name in population], axis=-1) for draws in (one, other)]
    p = hotelling_p_value(sides[0] - sides[1])
    print(
        f"\n{what}: {len(z)} numbers, max |z| {z.abs().max():.2f} ({z.abs().idxmax()}), rms z {np.sqrt((z**2).mean()):.2f}, joint p {p:.3f}"
    )
    assert z.abs().max() < Z_MAX, z[z.abs() >= Z_MAX]
    assert p > P_MIN


def reordered(table: pd.DataFrame) -> pd.DataFrame:
    """The same rows, shuffled so that the two uncertain doses change places."""
    shuffled = table.sample(frac=1, random_state=2)
    assert list(shuffled.index).index("m") < list(shuffled.index).index("c")
    return shuffled


def integrated_and_explicit(model: sd.Model, **settings) -> tuple[dict, dict]:
    """Posteriors of the twin table by the compiled density, and with its rows in another order by PyMC with everything explicit."""
    integrated = sd.fit(model, read(twin_table()), seed=5, draws=2500, **settings)
    explicit = sd.fit(model, read(reordered(twin_table())), seed=6, draws=2500, integrate=False, **settings)
    assert integrated.diagnosis.converged
    assert integrated.diagnosis.divergences <= 10  # one step in a thousand
    found = split(integrated), split(explicit)
    assert set(found[0]) == set(found[1])
    return found


@pytest.mark.slow
def test_integrated_and_explicit_posteriors_agree_whatever_the_order_of_rows():
    integrated, explicit = integrated_and_explicit(TWIN_MODEL)
    assert {"frequency_hz_amplitude_between_study", "session_min_slope_between_study", "within_study"} <= set(integrated)
    assert {"intercept_by_phase chronic", "site_effect nerve", "session_min_true c", "session_min_true m"} <= set(integrated)
    assert {"study_effect S3", "frequency_hz_amplitude_study_effect S3", "session_min_slope_study_effect S3"} <= set(integrated)
    assert_same_posterior("integrated and explicit", integrated, explicit)


@pytest.mark.slow
@pytest.mark.parametrize("by", [None, "phase"], ids=["no group", "by phase"])
@pytest.mark.parametrize("shape", SHAPES)
def test_integrated_and_explicit_posteriors_agree_for_every_shape(shape, by):
    """Takes about five minutes, most of it for compiling the explicit forms."""
    dose = sd.Dose(column="frequency_hz" if shape in ("bell", "gaussian-process") else "session_min", shape=shape, by=by)
    model = sd.Model(name=shape, intercept=sd.Intercept(), dose=[dose])
    forms = integrated_and_explicit(model, target_accept=0.98, progress=False)
    assert_same_posterior(f"{shape}, {by}", *forms)


# --- the whole model, written a second time -----------------------------------------------------------------------------------------

GROUPED_MODEL = sd.Model(
    name="grouped",
    intercept=sd.Intercept(),
    dose=[
        sd.Dose(column="frequency_hz", shape="bell", by="site"),
        sd.Dose(column="session_min", shape="emax", by="phase"),
    ],
)


def dense_log_density(model: sd.Model, table: pd.DataFrame, point: dict, levels: dict[str, list]) -> float:
    """Log density of a point of the sampler, up to a constant: priors, and one normal density with a dense covariance of all rows."""
    total, value = 0.0, {}
    for name, x in point.items():
        if name.endswith("_log__"):
            value[name[:-6]] = np.exp(x)
            total += model.priors()[name[:-6]].distribution.logpdf(np.exp(x)) + x
        elif name.endswith("_z"):
            value[name] = x
            total += stats.norm.logpdf(x).sum()
    # two doses are printed as 10-20 and 20-45: log-normal on log(dose), which is the share `inside` of the way through the interval
    inside = 1 / (1 + np.exp(-point["session_min_true_position_interval__"]))
    low, high = np.log([10, 20]), np.log([20, 45])
    log_true = low + (high - low) * inside
    true = model.priors()["session_min_true"].distribution
    total += (true.logpdf(np.exp(log_true)) + log_true + np.log(inside * (1 - inside))).sum()

    minutes = pd.to_numeric(table["session_min"], errors="coerce").to_numpy(copy=True)
    minutes[np.isnan(minutes)] = np.exp(log_true)
    same = {name: np.equal.outer(*[table[name].to_numpy()] * 2) for name in ("study", "phase", "site")}
    by = lambda name, group: value[f"{name}_by_{group}_z"][[levels[group].index(level) for level in table[group]]]
    peak, width, amplitude = (value[f"frequency_hz_{name}"] for name in ("peak", "width", "amplitude"))
    if model is TWIN_MODEL:
        gain, between_gain = np.log2(1 + minutes / 20), value["session_min_slope_between_study"]
    else:
        peak = peak * np.exp(value["frequency_hz_peak_between_site"] * by("frequency_hz_peak", "site"))
        width = width * np.exp(value["frequency_hz_width_between_site"] * by("frequency_hz_width", "site"))
        amplitude = amplitude * np.exp(value["frequency_hz_amplitude_between_site"] * by("frequency_hz_amplitude", "site"))
        ed50 = value["session_min_ed50"] * np.exp(value["session_min_ed50_between_phase"] * by("session_min_ed50", "phase"))
        gain, between_gain = minutes / (ed50 + minutes), value["session_min_maximum_between_study"]
    bell = np.exp(-0.5 * (np.log(table["frequency_hz"].to_numpy() / peak) / width) ** 2)

    K = 1.0 + np.outer(gain, gain) + np.diag(table["se"] ** 2 + value["within_study"] ** 2)
    K = K + same["study"] * value["between_study"] ** 2
    K = K + same["study"] * np.outer(gain, gain) * between_gain**2
    K = K + same["study"] * np.outer(bell, bell) * value["frequency_hz_amplitude_between_study"] ** 2
    if model is TWIN_MODEL:
        K = K + same["phase"] * value["intercept_between_phase"] ** 2 + same["site"] * value["between_site"] ** 2
    else:
        K = K + same["phase"] * np.outer(gain, gain) * value["session_min_maximum_between_phase"] ** 2
    return total + stats.multivariate_normal(amplitude * bell, K).logpdf(table["effect"])


@pytest.mark.parametrize("model", [TWIN_MODEL, GROUPED_MODEL], ids=lambda model: model.name)
def test_the_density_is_that_of_the_formula(model):
    table = twin_table().replace("≥20", "20-45")
    trials = read(table)
    points, levels = random_points(model, trials, integrate=True, number=20), sd.build(model, trials).coords
    built = log_densities(model, trials, points, integrate=True)
    written = np.array([dense_log_density(model, table, point, levels) for point in points])
    np.testing.assert_allclose(built - built.mean(), written - written.mean(), rtol=1e-7, atol=1e-7)
    assert np.ptp(built) > 1


# --- doses printed as intervals -----------------------------------------------------------------------------------------------------

TRUE_DOSE = sd.Prior("lognormal", interval=(3, 60))
INTERVAL_MODEL = sd.Model(
    name="intervals",
    intercept=sd.Intercept(prior=sd.Prior("normal", mu=0, sigma=1)),
    dose=[
        sd.Dose(
            column="session_min",
            shape="log-linear",
            by_study=False,
            reference=20,
            priors={"slope": sd.Prior("normal", mu=0, sigma=1), "true": TRUE_DOSE},
        )
    ],
    between_study=sd.Prior("halfnormal", sigma=0.3),
)


def interval_table() -> pd.DataFrame:
    """Ten studies; the third and the sixth print an interval, two strata an interval over their trials."""
    return pd.DataFrame(
        {
            "study": list("ABCDEFGHIJ"),
            "session_min": ["5", "10", "10-20", "20", "30", "≥20", "5-15", "<10", "40", "60"],
            "effect": [0.2, 0.45, 0.75, 0.65, 0.85, 1.5, 0.6, 0.05, 1.1, 1.4],
            "se": [0.15, 0.2, 0.15, 0.2, 0.15, 0.15, 0.2, 0.2, 0.2, 0.15],
            "design": ["parallel"] * 6 + ["stratum"] * 2 + ["parallel"] * 2,
        }
    )


@functools.cache
def exact_intervals() -> dict[str, dict[str, float]]:
    """Quadrature over tau and the two unknown doses; a stratum's column is the mean over the prior within its interval."""
    table, (mu, sigma) = interval_table(), ((np.log(3) + np.log(60)) / 2, (np.log(60) - np.log(3)) / 2 / stats.norm.ppf(0.975))
    y, v = table["effect"].to_numpy(), table["se"].to_numpy() ** 2
    gain = lambda dose: np.log2(1 + dose / 20)
    prior = stats.lognorm(s=sigma, scale=np.exp(mu))
    mean_gain = lambda low, high: prior.expect(gain, lb=low, ub=high, conditional=True)
    x = np.array([gain(5), gain(10), np.nan, gain(20), gain(30), np.nan, mean_gain(5, 15), mean_gain(0, 10), gain(40), gain(60)])

    tau = midpoints(1.5, 150)
    log_c = np.log(10) + midpoints(np.log(2), 20)
    log_f = np.log(20) + midpoints(mu + 6 * sigma - np.log(20), 150)
    at = [grid.ravel() for grid in np.meshgrid(tau, log_c, log_f, indexing="ij")]
    columns = np.broadcast_to(x, (len(at[0]), 10)).copy()
    columns[:, 2], columns[:, 5] = gain(np.exp(at[1])), gain(np.exp(at[2]))
    w = 1 / (v + (at[0] ** 2)[:, None])
    p00, p01, p11 = 1 + w.sum(axis=1), (w * columns).sum(axis=1), 1 + (w * columns**2).sum(axis=1)
    h0, h1, det = w @ y, (w * columns) @ y, p00 * p11 - p01**2
    b0, b1 = (p11 * h0 - p01 * h1) / det, (p00 * h1 - p01 * h0) / det
    log_weight = 0.5 * (np.log(w).sum(axis=1) - w @ y**2 + h0 * b0 + h1 * b1 - np.log(det))
    log_weight += stats.halfnorm(scale=0.3).logpdf(at[0]) - 0.5 * ((at[1] - mu) / sigma) ** 2 - 0.5 * ((at[2] - mu) / sigma) ** 2
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()

    known = {}
    for name, mean, variance in (("b0", b0, p11 / det), ("b1", b1, p00 / det)):
        centre = weight @ mean
        known[name] = {"mean": float(centre), "sd": float(np.sqrt(weight @ (variance + (mean - centre) ** 2)))}
    for name, grid, values in zip(("tau", "log dose C", "log dose F"), (tau, log_c, log_f), at, strict=True):
        known[name] = on_grid(grid, np.bincount(np.searchsorted(grid, values), weight))
    return known


@pytest.mark.parametrize("integrate", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_doses_printed_as_intervals(integrate):
    fit = sd.fit(INTERVAL_MODEL, read(interval_table()), seed=7, draws=5000, integrate=integrate, allow_mixed=("design",))
    true = fit.tree["posterior"]["session_min_true"]
    assert list(true["session_min_true_row"].values) == ["2", "5"]  # strata have no one dose
    found = arrays(fit)
    draws = {"b0": found["intercept"], "b1": found["session_min_slope"], "tau": found["between_study"]}
    draws |= {f"log dose {study}": np.log(true.values[..., k]) for k, study in enumerate("CF")}
    assert_agrees(f"intervals, {'integrated' if integrate else 'explicit'}, quadrature", draws, exact_intervals())


@pytest.mark.parametrize(
    ("cells", "ends", "tolerance"),
    [(("5-15", "12-40"), ((5, 15), (12, 40)), 1e-7), (("<10", "≥30"), ((0, 10), (30, np.inf)), 2e-3)],
)
def test_a_stratum_has_the_mean_of_the_curve_over_its_interval(cells, ends, tolerance):
    """Under the prior of a dose, by adaptive quadrature; open ends are cut where the prior leaves 0.0001, hence their tolerance."""
    table = interval_table().assign(
        design="stratum", session_min=["5", "10", cells[0], "20", "30", cells[1], "12", "15", "40", "60"]
    )
    dose = sd.Dose(column="session_min", shape="emax", by_study=False, priors={"true": TRUE_DOSE})
    model, trials = INTERVAL_MODEL.replace(dose=[dose]), read(table)
    points = random_points(model, trials, integrate=True, number=10)
    written = []
    for point in points:
        ed50, tau = (np.exp(point[f"{name}_log__"]) for name in ("session_min_ed50", "between_study"))
        curve = lambda dose, ed50=ed50: dose / (ed50 + dose)
        x = curve(pd.to_numeric(table["session_min"], errors="coerce").to_numpy(copy=True))
        x[[2, 5]] = [TRUE_DOSE.distribution.expect(curve, lb=low, ub=high, conditional=True) for low, high in ends]
        K = 1.0 + np.outer(x, x) + np.diag(table["se"] ** 2 + tau**2)
        prior = sum(model.priors()[name[:-6]].distribution.logpdf(np.exp(at)) + at for name, at in point.items())
        written.append(prior + stats.multivariate_normal(np.zeros(10), K).logpdf(table["effect"]))
    np.testing.assert_allclose(log_densities(model, trials, points, True), written, rtol=0, atol=tolerance)


# --- laws ---------------------------------------------------------------------------------------------------------------------------


def log_densities(model: sd.Model, trials: sd.Trials, points: list[dict], integrate: bool) -> np.ndarray:
    built = sd.build(model, trials, integrate=integrate)
    density = built.compile_logp(mode="FAST_COMPILE", sum=False)
    return np.array([sum(np.sum(part) for part in density(point)) for point in points])


def random_points(model: sd.Model, trials: sd.Trials, integrate: bool, number: int = 4) -> list[dict]:
    """Points in the unconstrained space of the sampler."""
    rng, start = np.random.default_rng(0), sd.build(model, trials, integrate=integrate).initial_point()
    return [{name: value + rng.normal(0, 0.5, np.shape(value)) for name, value in start.items()} for _ in range(number)]


@pytest.mark.parametrize("integrate", [True, False])
def test_the_order_of_rows_does_not_change_the_density(integrate):
    table = twin_table()
    shuffled = reordered(table)
    points = random_points(TWIN_MODEL, read(table), integrate)
    studies = [list(pd.unique(one["study"])) for one in (table, shuffled)]
    moved = [dict(point) for point in points]
    for point in moved:
        point["session_min_true_position_interval__"] = point["session_min_true_position_interval__"][::-1]
        for name in [name for name in point if name.endswith("study_effect_z")]:
            point[name] = point[name][[studies[0].index(study) for study in studies[1]]]
    one, other = (
        log_densities(TWIN_MODEL, read(table), points, integrate),
        log_densities(TWIN_MODEL, read(shuffled), moved, integrate),
    )
    np.testing.assert_allclose(one, other, rtol=1e-10)
    assert np.ptp(one) > 0.1


def unit_model(shape: str, column: str, unit: float) -> sd.Model:
    dose = sd.Dose(column=column, shape=shape, reference=10_000 / unit, usual=(1000 / unit, 50_000 / unit))
    return sd.Model(name=shape, intercept=sd.Intercept(), dose=[dose])


@pytest.mark.parametrize("shape", ["linear", "log-linear", "quadratic", "emax", "bell"])
def test_the_unit_of_a_dose_does_not_matter(shape):
    """The same trials in pulses and in thousands of pulses: the same density, the same draws of coefficients, the same curve."""
    table = twin_table().assign(pulses=np.geomspace(500, 40_000, 20).round(-2)).drop(columns=["session_min", "frequency_hz"])
    table["thousands"] = table["pulses"] / 1000
    in_pulses, in_thousands = unit_model(shape, "pulses", 1), unit_model(shape, "thousands", 1000)
    trials = read(table)
    points, moved = random_points(in_pulses, trials, integrate=True), []
    for point in points:
        moved.append({name.replace("pulses", "thousands"): value for name, value in point.items()})
        for name in {"thousands_ed50_log__", "thousands_peak_log__"} & set(moved[-1]):
            moved[-1][name] = moved[-1][name] - np.log(1000)
    one, other = log_densities(in_pulses, trials, points, True), log_densities(in_thousands, trials, moved, True)
    np.testing.assert_allclose(one, other, rtol=1e-8)

    rows = [rows_of(model, trials) for model in (in_pulses, in_thousands)]
    prior = draw_prior(in_pulses, rows[0], 50, np.random.default_rng(0))
    sampled = {name: value for name, value in prior.items() if name in sampled_priors(in_pulses, rows[0])}
    renamed = {
        name.replace("pulses", "thousands"): value / (1000 if name in ("pulses_ed50", "pulses_peak") else 1)
        for name, value in sampled.items()
    }
    curves = []
    for model, one_rows, values, unit in ((in_pulses, rows[0], sampled, 1), (in_thousands, rows[1], renamed, 1000)):
        column = model.dose[0].column
        drawn, _ = draw_coefficients(model, one_rows, values, np.random.default_rng(1))
        curves.append(curve_draws(model, one_rows, values | drawn, column, np.geomspace(500, 40_000, 30) / unit, None, {}))
    np.testing.assert_allclose(*curves, rtol=1e-6, atol=1e-9)
    assert curves[0].std() > 0.1
