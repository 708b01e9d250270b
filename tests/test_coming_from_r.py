"""The page for people who come from R: its R code and numbers are those of the stored answers of other programs, and ours agree with them.

Where the model is the same on both sides (brms, MBNMAdose) posterior means and standard deviations agree within 4 Monte Carlo standard
errors. Elsewhere two steps say what the difference is: the likelihood that is written out here has its peak at the estimates of R (REML), so
table and model are the same; and our posterior is that likelihood, averaged over heterogeneity with the priors of the page (`Exact`,
quasi-Monte Carlo in numpy).
"""

import json
import operator
import re
from pathlib import Path

import arviz as az
import numpy as np
import pandas as pd
import pytest
from pages import PAGES, Block, blocks, run
from scipy import optimize, stats

import stimdose as sd
from stimdose.shapes import SHAPES

ORACLES = Path(__file__).parent / "oracles" / "r"
PAGE = PAGES["coming-from-r"].read_text(encoding="utf-8")
Z_MAX = 4.0
WRITTEN = 0.002
"""Relative error of what follows from tables that R wrote to three to five digits."""


def blocks_of(language: str) -> list[Block]:
    return [block for block in blocks(PAGE) if block.language == language]


def answers(script: str) -> dict:
    return json.loads((ORACLES / f"{script}.json").read_text(encoding="utf-8"))["answers"]


# --- the page ------------------------------------------------------------------------------------------------------------------------


SCRIPTS = ("random_effects", "multilevel", "two_outcomes", "trend", "nonlinear", "agent")


def test_the_r_code_of_the_page_is_what_was_run_and_printed():
    for block, script in zip(blocks_of("r"), SCRIPTS, strict=True):
        assert block.code == (ORACLES / f"{script}.R").read_text(encoding="utf-8")
        assert [line.rstrip() for line in block.printed.strip().splitlines()] == (ORACLES / f"{script}.txt").read_text(
            encoding="utf-8"
        ).strip().splitlines()


def test_the_tables_of_the_page_are_what_r_wrote():
    found = {block.file: block.code for block in blocks_of("csv")}
    assert found == {path.name: path.read_text(encoding="utf-8") for path in ORACLES.glob("*.csv")}


def test_the_page_names_the_versions_that_were_run():
    for script in SCRIPTS:
        for name, version in json.loads((ORACLES / f"{script}.json").read_text(encoding="utf-8"))["versions"].items():
            assert f"{name} {version}" in " ".join(PAGE.split())


def test_what_the_page_names_exists():
    text = "".join(PAGE.split("```")[::2])  # code is run below
    for name in set(re.findall(r"\bsd\.([A-Za-z_.]+)", text)):
        operator.attrgetter(name)(sd)
    assert set(re.findall(r'shape="(.*?)"', PAGE)) <= set(SHAPES)


class Page:
    """What the Python code of the page leaves behind: its blocks are run in order, as far as a test needs."""

    def __init__(self, folder: Path):
        self.names: dict = {}
        self.left = run(PAGES["coming-from-r"], folder, self.names)

    def __getitem__(self, name: str):
        while name not in self.names:
            next(self.left)
        return self.names[name]


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Page:
    return Page(tmp_path_factory.mktemp("page"))


BRMS = {
    "b_base_Intercept": "intercept",
    "b_maximum_Intercept": "therapy_hours_maximum",
    "b_ed50_Intercept": "therapy_hours_ed50",
    "sd_study__base_Intercept": "between_study",
    "sigma": "within_study",
}


def test_the_printed_numbers_of_the_same_model_are_those_of_r():
    """4000 draws: means within 0.07 standard deviations, which within 10 %, and rounding."""
    compared = {"emax_fit = ": (answers("nonlinear"), BRMS)}
    compared["common_fit = "] = answers("agent")["common"], {"emax[2]": "mg_maximum", "ed50[2]": "mg_ed50"}
    for code, (r, names) in compared.items():
        (text,) = (block.printed for block in blocks_of("python") if code in block.code)
        lines = [line.split() for line in text.splitlines()]
        for theirs, ours in names.items():
            mean, sd = next(map(float, line[1:]) for line in lines if line[0] == ours)
            assert mean == pytest.approx(abs(r[theirs]["mean"]), abs=0.07 * r[theirs]["sd"] + 0.005)
            assert sd == pytest.approx(r[theirs]["sd"], rel=0.1, abs=0.005)


def test_the_variance_of_an_smd_is_that_of_escalc():
    """metafor 3.8-1: escalc("SMD", vtype = "AV") is our default, vtype = "LS", its own, ours as printed."""
    arms = {"study": ["A", "B"], "mean_active": [5, 6], "sd_active": [2, 2], "n_active": [10, 20]}
    arms |= {"mean_control": [4, 4.5], "sd_control": [2, 2.1], "n_control": [12, 20]}
    rest = {"measure": "SMD", "score": "final", "direction": "higher", "comparator": "sham", "design": "parallel"}
    for choice, variances in {"mean": [0.192446, 0.105012], "printed": [0.188591, 0.106425]}.items():
        found = sd.read_trials(pd.DataFrame(arms), smd_variance=choice, **rest).table
        assert found["effect"].tolist() == pytest.approx([0.480972, 0.716941], abs=1e-6)
        assert found["variance"].tolist() == pytest.approx(variances, abs=1e-6)


# --- the same posteriors, without this package ----------------------------------------------------------------------------------------------


class Exact:
    """y_s ~ N(X_s beta, V_s) by study, with beta ~ N(0, sd^2) integrated out, at quasi-random points of what X and V depend on. Eight times the
    points move no mean or sd below by more than 0.002 of the sd.

    studies: (y, X, V) of each, X (points, rows, coefficients) and V (points, rows, rows), or without points. log_prior (points,): that of the
        points less the log density at which they were drawn. beta_sd: infinite for the restricted likelihood (REML).
    """

    def __init__(self, studies, log_prior, beta_sd=10.0):
        precision, weighted, self.log = 0.0, 0.0, np.array(log_prior, float)
        for y, X, V in studies:
            WX = np.linalg.solve(V, np.broadcast_to(X, (*V.shape[:-1], X.shape[-1])))
            precision = precision + np.swapaxes(np.broadcast_to(X, WX.shape), -1, -2) @ WX
            weighted = weighted + np.swapaxes(WX, -1, -2) @ y
            Wy = np.linalg.solve(V, np.broadcast_to(y, V.shape[:-1])[..., None])[..., 0]
            self.log = self.log - 0.5 * (Wy @ y + np.linalg.slogdet(V)[1])
        precision = precision + np.eye(precision.shape[-1]) / beta_sd**2
        self.covariance = np.linalg.inv(precision)
        self.mean = np.einsum("...ij,...j->...i", self.covariance, weighted)
        self.log = self.log + 0.5 * (np.sum(weighted * self.mean, axis=-1) - np.linalg.slogdet(precision)[1])

    @property
    def weight(self) -> np.ndarray:
        weight = np.exp(self.log - self.log.max())
        return weight / weight.sum()

    def moments(self, **at_points) -> dict[str, tuple[float, float]]:
        """Mean and sd of each coefficient, by number, and of functions of the points."""
        assert 1 / (self.weight**2).sum() > 500
        found = {}
        for k in range(self.mean.shape[-1]):
            mean = self.weight @ self.mean[:, k]
            found[k] = mean, np.sqrt(self.weight @ (self.covariance[:, k, k] + (self.mean[:, k] - mean) ** 2))
        for name, values in at_points.items():
            mean = self.weight @ values
            found[name] = mean, np.sqrt(self.weight @ (values - mean) ** 2)
        return found


def points(size: int, *distributions) -> tuple[np.ndarray, ...]:
    """Quasi-random points of independent distributions, 2^size of them."""
    uniform = stats.qmc.Sobol(len(distributions), seed=1).random_base2(size)
    return tuple(one.ppf(u) for one, u in zip(distributions, uniform.T, strict=True))


def spread(*taus):
    """tau (points,) to tau^2 (points, 1, 1)."""
    return [np.asarray(tau)[..., None, None] ** 2 for tau in taus]


def assert_is_the_peak(log_likelihood, estimate) -> None:
    """`estimate`, of R, is where the (restricted) likelihood is largest."""
    found = optimize.minimize(
        lambda x: -log_likelihood(np.abs(x)), estimate, method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-10}
    )
    np.testing.assert_allclose(np.abs(found.x), estimate, rtol=WRITTEN)


def assert_agrees(draws: np.ndarray, mean: float, sd: float, mcse_mean: float = 0.0, mcse_sd: float = 0.0) -> None:
    """Draws (chain, draw) and a mean and sd: exact, or with Monte Carlo errors of their own."""
    assert abs(draws.mean() - mean) < Z_MAX * np.hypot(float(az.mcse(draws, method="mean")), mcse_mean)
    assert abs(draws.std() - sd) < Z_MAX * np.hypot(float(az.mcse(draws, method="sd")), mcse_sd)


def draws_of(fit, name: str) -> np.ndarray:
    return fit.tree["posterior"][name].to_numpy()


HALF, ONE, WIDE = (stats.halfnorm(scale=scale) for scale in (0.5, 1.0, 5.0))
"""Priors of spreads on the page."""


def test_random_effects(page):
    table, r = page["bcg"], answers("random_effects")
    y, v = -table["effect"].to_numpy(), table["variance"].to_numpy()[:, None, None]

    def of(tau, keep=slice(None), log_prior=0.0, beta_sd=10.0):
        return Exact(
            [(y[k : k + 1], np.ones((1, 1)), v[k] + spread(tau)[0]) for k in np.arange(len(y))[keep]], log_prior, beta_sd
        )

    assert_is_the_peak(lambda tau: of(tau[0], beta_sd=np.inf).log, [r["tau"]])
    at = of(r["tau"], beta_sd=np.inf)
    assert [-at.mean[0], np.sqrt(at.covariance[0, 0])] == pytest.approx([r["estimate"], r["se"]], rel=WRITTEN)

    proposal = stats.halfcauchy(scale=0.7)
    (tau,) = points(12, proposal)
    log_prior = WIDE.logpdf(tau) - proposal.logpdf(tau)
    exact = of(tau, log_prior=log_prior)
    fit, known = page["bcg_fit"], exact.moments(tau=tau)
    assert_agrees(draws_of(fit, "intercept"), *known[0])
    assert_agrees(draws_of(fit, "between_study"), *known["tau"])
    sd_new = np.sqrt(exact.covariance[:, 0, 0] + tau**2)
    for end, share in zip(("low", "high"), (0.025, 0.975), strict=True):
        below = exact.weight @ stats.norm.cdf(page["effects"].attrs["prediction"][end], exact.mean[:, 0], sd_new)
        assert below == pytest.approx(share, abs=0.01)
    assert page["effects"].attrs["prediction"]["high"] > -r["prediction"][0]
    without = [of(tau, np.arange(len(y)) != k, log_prior).moments()[0][0] for k in range(len(y))]
    np.testing.assert_allclose(page["without"], without, atol=0.1 * r["se"])
    np.testing.assert_allclose(without, -np.array(r["without"]), atol=0.1 * r["se"])


def test_levels_and_a_slope(page):
    table, r = page["hours"].table, answers("multilevel")
    studies = [
        (own["effect"].to_numpy(), own["variance"].to_numpy(), own["therapy_hours"].to_numpy())
        for _, own in table.groupby("study")
    ]

    def of(between, within, log_prior=0.0, beta_sd=10.0):
        b, w = spread(between, within)
        parts = [
            (y, np.column_stack([np.ones(len(y)), np.log2(1 + x / 20)]), np.diag(v) + b + w * np.eye(len(y)))
            for y, v, x in studies
        ]
        return Exact(parts, log_prior, beta_sd)

    assert_is_the_peak(lambda tau: of(*tau, beta_sd=np.inf).log, r["tau"])
    at = of(*r["tau"], beta_sd=np.inf)
    assert at.mean == pytest.approx(r["estimate"], rel=WRITTEN)
    assert np.sqrt(np.diag(at.covariance)) == pytest.approx(r["se"], rel=WRITTEN)

    proposals = [stats.truncnorm(-tau / 0.04, np.inf, tau, 0.04) for tau in r["tau"]]
    tau = points(10, *proposals)
    exact = of(*tau, sum(WIDE.logpdf(one) - proposal.logpdf(one) for one, proposal in zip(tau, proposals, strict=True)))
    known = exact.moments(between=tau[0], within=tau[1])
    for name, key in (("intercept", 0), ("therapy_hours_slope", 1), ("between_study", "between"), ("within_study", "within")):
        assert_agrees(draws_of(page["hours_fit"], name), *known[key])
    assert [known[k][0] for k in (0, 1)] == pytest.approx(r["estimate"], abs=0.1 * min(r["se"]))


def test_two_outcomes(page):
    table, r = page["berkey"], answers("two_outcomes")
    studies = []
    for _, own in table.groupby("study"):
        own = own.sort_values("outcome")  # AL, PD
        se = np.sqrt(own["variance"].to_numpy())
        studies.append((own["effect"].to_numpy(), np.outer(se, se) * np.where(np.eye(2), 1, own["outcome_correlation"].iloc[0])))

    def of(first, second, rho, X, log_prior=0.0, beta_sd=10.0):
        shared = rho * first * second
        between = np.stack([np.stack([first**2, shared], -1), np.stack([shared, second**2], -1)], -1)
        return Exact([(y, X, V + between) for y, V in studies], log_prior, beta_sd)

    in_r = lambda x: of(*map(np.asarray, x), np.eye(2), beta_sd=np.inf)
    assert_is_the_peak(lambda x: in_r(x).log if x[2] < 1 else -np.inf, [*r["tau"], r["rho"]])
    at = in_r([*r["tau"], r["rho"]])
    assert at.mean == pytest.approx(r["estimate"], rel=WRITTEN)
    assert np.sqrt(np.diag(at.covariance)) == pytest.approx(r["se"], rel=WRITTEN)

    tau, ratio, first, second, z = points(15, HALF, HALF, stats.norm(), stats.norm(), stats.norm(0.5, 0.6))
    first, second, rho = tau * np.exp(ratio * first), tau * np.exp(ratio * second), np.tanh(z)  # priors are the proposals
    known = of(first, second, rho, np.array([[1.0, 0.0], [1.0, 1.0]]), np.zeros(len(tau))).moments(AL=first, PD=second, rho=rho)
    fit = page["berkey_fit"]
    by_outcome = fit.tree["posterior"]["between_study_by_outcome"]
    assert_agrees(draws_of(fit, "intercept"), *known[0])
    assert_agrees(draws_of(fit, "is_pd_effect"), *known[1])
    assert_agrees(draws_of(fit, "between_study_correlation"), *known["rho"])
    for outcome in ("AL", "PD"):
        assert_agrees(by_outcome.sel(outcome=outcome).to_numpy(), *known[outcome])


@pytest.mark.slow
def test_trends(page):
    table, r = page["alcohol"], answers("trend")
    V = [np.array(one) for one in r["covariance"]]
    owns = [own for _, own in table.groupby("study", sort=False)]
    found = page["cohorts"].covariance()
    for own, S in zip(owns, V, strict=True):  # Greenland and Longnecker's, from one share of each row
        np.testing.assert_allclose(found[np.ix_(own.index, own.index)], S, rtol=WRITTEN)
    assert np.count_nonzero(found) == sum(S.size for S in V)

    def of(powers, *taus, log_prior=0.0, beta_sd=10.0):
        parts = []
        for own, S in zip(owns, V, strict=True):
            Z = (own["grams"].to_numpy()[:, None] / 10) ** powers
            parts.append(
                (-own["effect"].to_numpy(), Z, S + sum(t * np.outer(z, z) for t, z in zip(spread(*taus), Z.T, strict=True)))
            )
        return Exact(parts, log_prior, beta_sd)

    for name, powers, terms in (("linear", [1], ["slope"]), ("diagonal", [1, 2], ["slope", "curvature"])):
        unit = 10.0 ** np.array(powers)
        estimate, se, tau = (np.atleast_1d(r[name][key]) * unit for key in ("estimate", "se", "tau"))
        assert_is_the_peak(lambda x, powers=powers: of(powers, *x, beta_sd=np.inf).log, tau)
        at = of(powers, *tau, beta_sd=np.inf)
        assert -at.mean == pytest.approx(estimate, rel=WRITTEN)
        assert np.sqrt(np.diag(at.covariance)) == pytest.approx(se, rel=WRITTEN)

        proposals = [stats.halfcauchy(scale=0.15 / 2.5**k) for k in range(len(powers))]
        taus = points(14, *proposals)
        log_prior = sum(ONE.logpdf(one) - proposal.logpdf(one) for one, proposal in zip(taus, proposals, strict=True))
        known = of(powers, *taus, log_prior=log_prior).moments(**dict(zip(terms, taus, strict=True)))
        fit = page["linear" if name == "linear" else "quadratic"]
        for k, term in enumerate(terms):
            assert_agrees(draws_of(fit, f"grams_{term}"), *known[k])
            assert_agrees(draws_of(fit, f"grams_{term}_between_study"), *known[term])


@pytest.mark.slow
def test_brms(page):
    r = answers("nonlinear")
    for theirs, ours in BRMS.items():
        assert r[theirs]["rhat"] < 1.01
        assert_agrees(draws_of(page["emax_fit"], ours), *(r[theirs][key] for key in ("mean", "sd", "mcse_mean", "mcse_sd")))


@pytest.mark.slow
def test_mbnmadose(page):
    rows, r = page["rows"], answers("agent")
    studies = []
    for _, own in rows.groupby("study"):
        V = np.diag(own["change_se_active"] ** 2) + own["change_se_control"].iloc[0] ** 2
        studies.append(((own["change_mean_control"] - own["change_mean_active"]).to_numpy(), own["mg"].to_numpy(), V))

    def of(ed50, heterogeneity, log_prior=0.0):
        parts = [(y, (x / (ed50[:, None] + x))[..., None], V + heterogeneity(np.eye(len(y)))) for y, x, V in studies]
        return Exact(parts, np.zeros(len(ed50)) + log_prior, beta_sd=1.0)

    prior = stats.lognorm(s=2**0.5, scale=np.e)
    (ed50,) = points(12, prior)
    common = of(ed50, lambda eye: np.zeros((len(ed50), 1, 1))).moments(ed50=ed50)
    wide = stats.halfcauchy(scale=0.2)
    ed50, tau = points(13, prior, wide)
    halves = of(ed50, lambda eye: spread(tau)[0] * (eye + 1) / 2, ONE.logpdf(tau) - wide.logpdf(tau)).moments(ed50=ed50, tau=tau)
    for theirs, known, names in ((r["common"], common, [0, "ed50"]), (r["random"], halves, [0, "ed50", "tau"])):
        for (mean, spread_of_it), one in zip((known[name] for name in names), theirs.values(), strict=True):
            assert abs(abs(one["mean"]) - mean) < Z_MAX * one["mcse_mean"]
            assert abs(one["sd"] - spread_of_it) < Z_MAX * one["mcse_sd"]

    small = wide, stats.halfcauchy(scale=0.03)
    ed50, between, within = points(14, prior, *small)
    log_prior = sum(ONE.logpdf(tau) - proposal.logpdf(tau) for tau, proposal in zip((between, within), small, strict=True))
    own = of(ed50, lambda eye: spread(between)[0] + spread(within)[0] * eye, log_prior)
    own = own.moments(ed50=ed50, between_study=between, within_study=within)
    assert_agrees(draws_of(page["common_fit"], "mg_maximum"), *common[0])
    assert_agrees(draws_of(page["common_fit"], "mg_ed50"), *common["ed50"])
    for name, key in (
        ("mg_maximum", 0),
        ("mg_ed50", "ed50"),
        ("between_study", "between_study"),
        ("within_study", "within_study"),
    ):
        assert_agrees(draws_of(page["random_fit"], name), *own[key])
