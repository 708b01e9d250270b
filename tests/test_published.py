"""Published pools: those that follow from their subgroups are reproduced, by closed form and by our own fits; the others are declared."""

from pathlib import Path

import arviz as az
import numpy as np
import pandas as pd
import pytest
from conftest import benchmark_module
from scipy.stats import norm

import stimdose as sd

published = benchmark_module("published")
PAGE = Path(__file__).parents[1] / "docs" / "published.md"
BY_PHASE = np.array([[0.27, -0.02, 0.56], [0.69, 0.22, 1.16], [0.38, 0.07, 0.69]])
"""Hand function in acute, subacute and chronic stroke: estimate and 95 % interval (Chen G 2022)."""
PRINTED = np.array([0.38, 0.19, 0.58])


@pytest.fixture(scope="module")
def splits() -> pd.DataFrame:
    return published.splits()


def phases() -> sd.Trials:
    """The three phases as strata, as the table of pools prints them."""
    rows = published.rows_of(
        published.pools(),
        published.CHEN,
        tuple(("hand function", f"stage: {phase}") for phase in ("acute", "subacute", "chronic")),
    )
    same = {"direction": "higher", "measure": "SMD", "comparator": "sham or add-on", "design": "stratum"}
    cells = rows[["subgroup", "estimate", "ci_low", "ci_high"]].rename(columns={"subgroup": "study", "estimate": "effect"})
    return sd.read_trials(cells.assign(**same))


def pooled(between_study: float) -> sd.Model:
    """The shipped model with a prior of the mean that is flat over all of these effects."""
    spread = sd.Prior("halfnormal", sigma=between_study, why="stated by the test")
    flat = sd.Prior("normal", mu=0.0, sigma=10.0, why="flat")
    return sd.load_model("pooled").with_priors({"intercept": flat, "between_study": spread})


def is_close(draws: np.ndarray, mean: float, spread: float) -> bool:
    """Draws (chain, draw) have this mean and SD, within 4 Monte Carlo errors."""
    return abs(draws.mean() - mean) < 4 * az.mcse(draws, method="mean") and abs(draws.std() - spread) < 4 * az.mcse(
        draws, method="sd"
    )


def test_hand_function_from_its_phases():
    np.testing.assert_array_equal(published.numbers(published.pools().loc[33:35]), BY_PHASE)
    se = (BY_PHASE[:, 2] - BY_PHASE[:, 1]) / (2 * norm.ppf(0.975))
    mean, spread = np.average(BY_PHASE[:, 0], weights=se**-2), (se**-2).sum() ** -0.5
    ends = norm.ppf([0.5, 0.025, 0.975], mean, spread)
    np.testing.assert_array_equal(ends.round(2), PRINTED)
    np.testing.assert_allclose(published.common_effect(BY_PHASE), ends, rtol=1e-6)
    fit = sd.fit(pooled(1e-6), phases(), seed=1, progress=False)
    draws = fit.tree["posterior"]["intercept"].values
    assert is_close(draws, mean, spread)
    np.testing.assert_allclose([draws.mean(), *np.quantile(draws, [0.025, 0.975])], PRINTED, atol=published.ROUNDING)


def test_hand_function_with_a_spread_between_phases():
    """Three phases hardly tell how far they differ: the interval is wider than printed, and that of quadrature over the spread."""
    fit = sd.fit(pooled(0.5), phases(), seed=1, progress=False)
    draws = fit.tree["posterior"]["intercept"].values
    se = (BY_PHASE[:, 2] - BY_PHASE[:, 1]) / (2 * norm.ppf(0.975))
    tau = np.linspace(0, 3, 3001)[:, None]
    variance = se**2 + tau**2
    weight = (1 / variance).sum(axis=1)
    mean = (BY_PHASE[:, 0] / variance).sum(axis=1) / weight
    fits = norm.logpdf(BY_PHASE[:, 0], mean[:, None], np.sqrt(variance)).sum(axis=1) - np.log(weight) / 2
    density = np.exp(fits + norm.logpdf(tau[:, 0], 0, 0.5))
    density /= density.sum()
    total = density @ mean
    assert is_close(draws, total, np.sqrt(density @ (1 / weight + mean**2) - total**2))
    low, high = np.quantile(draws, [0.025, 0.975])
    assert low < PRINTED[1] - published.ROUNDING
    assert high > PRINTED[2] + published.ROUNDING


def test_random_effects_of_parts_that_agree_are_a_common_effect_and_else_wider():
    """Two parts of one variance v: tau^2 = (y1 - y2)^2 / 2 - v, and the variance of the mean is (v + tau^2) / 2."""
    agree, apart = (np.array([[y, y - published.Z, y + published.Z] for y in pair]) for pair in ((0.0, 0.5), (0.0, 4.0)))
    np.testing.assert_allclose(published.random_effects(agree), published.common_effect(agree))
    half = published.Z * np.sqrt((1 + 4**2 / 2 - 1) / 2)
    np.testing.assert_allclose(published.random_effects(apart), [2, 2 - half, 2 + half])


def test_only_what_follows_is_called_reproduced(splits):
    yes = splits[splits["verdict"] == "yes"]
    assert yes[["outcome", "by"]].to_numpy().tolist() == [["hand function", "phase"]]
    for line in splits[splits["common"].notna() & (splits["verdict"] != "yes")].itertuples():
        assert (abs(line.common - line.printed) > published.ROUNDING).any()
        assert (abs(line.random - line.printed) > published.ROUNDING).any()
    assert (splits["verdict"].eq("yes") | splits["verdict"].str.startswith("no: ")).all()


def test_every_pool_is_declared(splits):
    """Each of the 129 rows is a pool that is declared once, a part of a split, or no effect."""
    table, rest = published.pools(), published.undivided()
    of_splits = {*splits["pool"], *(row for parts in splits["parts"] for row in parts)}
    no_effect = table.index[table["subgroup"].str.contains(published.NO_EFFECT)]
    assert not of_splits & set(no_effect)
    declared = sum(map(len, rest.values()))
    assert len(of_splits) + len(no_effect) + declared == len(table) == 129
    assert len({name for names in rest.values() for name in names}) == declared
    words = r"slope|beta|EDmax range|max effective dose \(total pulses\)|dose range|"
    assert table.loc[no_effect, "measure"].str.fullmatch(words).all()


def test_the_page_is_what_the_code_prints():
    assert PAGE.read_text(encoding="utf-8") == published.page(), "run: python benchmarks/published.py > docs/published.md"


def test_a_prior_from_the_pool_is_one_from_its_phases():
    """The printed pool at full weight, and the phases pooled, are the same prior within rounding; at weight w the variance is 1 / w of it."""
    low, high = PRINTED[1:]
    own, half = (sd.historical_prior(PRINTED[0], low, high, weight=weight) for weight in (1.0, 0.5))
    of_parts = sd.historical_prior(*published.common_effect(BY_PHASE), weight=1.0)
    assert own.mu == pytest.approx(of_parts.mu, abs=published.ROUNDING)
    assert own.sigma == pytest.approx(of_parts.sigma, abs=published.ROUNDING / 2)
    assert own.sigma == pytest.approx((high - low) / (2 * norm.ppf(0.975)))
    assert half.sigma == pytest.approx(own.sigma * np.sqrt(2))
