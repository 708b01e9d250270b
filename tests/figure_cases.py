"""What the tests of figures share: arrays and tables made by hand, and what a figure shows."""

import itertools
from types import SimpleNamespace

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.text import Text

from stimdose import figures

GROUPS = ["acute", "chronic"]
DOSES = np.array([1.0, 2, 3, 5, 8, 10, 15, 20, 30, 40])


def make_curve(groups=None, dose="sessions", spread=0.0, **attrs):
    """Draws (2, 200) of a rising curve; observed from 3 to 30."""
    rng = np.random.default_rng(4)
    shape = (2, 200, 1, len(groups or [0]))
    draws = rng.normal(0.3, 0.05, shape) * np.log1p(DOSES)[:, None] / 2 + rng.normal(0, 0.02 + spread, shape)
    curve = xr.DataArray(draws, dims=("chain", "draw", dose, "phase"), coords={dose: DOSES, "phase": groups or [""]})
    curve = curve if groups else curve.isel(phase=0, drop=True)
    curve.attrs = {"dose": dose, "observed": [3.0, 30.0], "effect_label": "SMD, positive = benefit", "kind": "mean", "held": ""}
    curve.attrs |= {"log_axis": 0} | attrs
    return curve


def make_points(effects=(0.3, 0.5, 0.4), **columns):
    size = len(effects)
    table = {"dose": np.linspace(5, 20, size), "dose_low": np.nan, "dose_high": np.nan, "effect": effects}
    return pd.DataFrame(table | {"se": np.linspace(0.1, 0.4, size)} | columns)


def drawn(ax, label):
    """Artists of one kind, in the order they were drawn."""
    return [artist for artist in ax.get_children() if artist.get_label() == label]


def texts(figure):
    return [text.get_text() for text in figure.findobj(Text) if text.get_visible() and text.get_text()]


def legend_texts(ax):
    legend = ax.figure.legends[0] if ax.figure.legends else ax.get_legend()
    return [text.get_text() for text in legend.get_texts()]


def quantiles(curve, prob=0.95):
    return np.quantile(curve.values.reshape(-1, len(DOSES)), [(1 - prob) / 2, (1 + prob) / 2], axis=0)


def make_table(size=8, **attrs):
    effect, se = np.linspace(-0.2, 0.9, size), np.linspace(0.1, 0.4, size)
    table = pd.DataFrame({"label": [f"Trial {index}" for index in range(size)], "effect": effect})
    table = table.assign(low=effect - 1.96 * se, high=effect + 1.96 * se)
    table = table.assign(shrunken=(effect + 0.4) / 2, shrunken_low=(effect + 0.4) / 2 - se, shrunken_high=(effect + 0.4) / 2 + se)
    table.attrs = {
        "pooled": {"label": "Average dose", "mean": 0.4, "low": 0.25, "high": 0.55},
        "prediction": {"low": -0.1, "high": 0.9},
        "effect_label": "SMD, positive = benefit",
    } | attrs
    return table


def overlapping(figure):
    """Texts that lie on each other or beyond the figure, in the layout as it is drawn; without the numbers on axes."""
    figure.draw_without_rendering()
    ticks = {label for ax in figure.axes for axis in (ax.xaxis, ax.yaxis) for label in axis.get_ticklabels(which="both")}
    shown = [text for text in figure.findobj(Text) if text.get_text().strip() and text.get_visible() and text not in ticks]
    boxes, inside = [(text.get_text(), text.get_window_extent()) for text in shown], figure.bbox.padded(1)
    cut = [name for name, box in boxes if not (inside.contains(box.x0, box.y0) and inside.contains(box.x1, box.y1))]
    pairs = itertools.combinations(boxes, 2)
    return cut + [(one, other) for (one, box), (other, second) in pairs if box.padded(-1).overlaps(second.padded(-1))]


def make_families(groups=None):
    """Three curves that end at different heights; the second did not converge."""
    first = make_curve(groups)
    return {
        "Emax": first,
        "Bell": (first * 0.5).assign_attrs(first.attrs | {"warning": "did not converge"}),
        "Linear": first * 0.49,
    }


def drawn_bars(ax, label):
    (bars,) = [container for container in ax.containers if container.get_label() == label]
    return bars.patches


def make_best(groups=None, edge=0.0, warning="", **verdicts):
    """An optimum of which a share `edge` of the draws lies at the upper end, and the rest inside."""
    curves = make_curve(groups, log_axis=1)
    rng, shape = np.random.default_rng(5), curves.isel(sessions=0).shape
    inside = np.exp(rng.normal(np.log(8), 0.3, shape)).clip(1.01, 39)
    dose = curves.isel(sessions=0, drop=True).copy(data=np.where(rng.uniform(size=shape) < edge, 40.0, inside))
    prior = dose.copy(data=np.exp(rng.normal(np.log(8), 1.5, shape)).clip(1, 40))
    near = (curves >= curves.max("sessions") - 0.1).mean(("chain", "draw"))
    return SimpleNamespace(
        curves=curves,
        dose=dose,
        prior_dose=prior,
        delta=0.1,
        verdicts=verdicts or dict.fromkeys(groups or [""], "still rising"),
        fit_warning=warning,
        near_best=lambda: near,
    )


def make_surface(log=1, **attrs):
    """Draws (2, 50) over 12 frequencies and 9 session lengths, best near 6 Hz and 20 min."""
    rng = np.random.default_rng(6)
    frequency, minutes = np.geomspace(1, 50, 12), np.geomspace(5, 60, 9)
    effect = 0.6 * np.exp(-((np.log(frequency / 6)[:, None]) ** 2) - np.log(minutes / 20) ** 2)
    draws = effect * rng.normal(1, 0.2, (2, 50, 1, 1)) + rng.normal(0, 0.02, (2, 50, 12, 9))
    coords = {"frequency_hz": frequency, "session_min": minutes}
    surface = xr.DataArray(draws, dims=("chain", "draw", *coords), coords=coords)
    visited = (frequency[:, None] < 20) & (minutes > 6)
    attrs = {
        "doses": list(coords),
        "log_axes": [log, log],
        "effect_label": "SMD, positive = benefit",
        "held": "sessions 10",
    } | attrs
    return surface.assign_coords(visited=(tuple(coords), visited)).assign_attrs(attrs)


def make_joint(surface, region, verdict="identified", warning=""):
    found = surface.isel(chain=0, draw=0, drop=True).copy(data=region)
    return SimpleNamespace(
        region=lambda prob: found if prob == 0.9 else None,
        ridge=lambda given: surface.idxmax("session_min") if given == "frequency_hz" else None,
        verdict=verdict,
        fit_warning=warning,
    )


def make_contrasts(**attrs):
    label = [
        "10 Hz against 1 Hz",
        "20 sessions against 10",
        "1 Hz on the unaffected side for 20 minutes against 10 Hz on the affected side",
    ]
    table = pd.DataFrame({"label": label, "mean": [0.3, -0.1, 0.6], "low": [0.1, -0.4, 0.2], "high": [0.5, 0.2, 1.0]})
    table["p_positive"] = [0.97, 0.24, 0.999]
    table.attrs = {"effect_label": "SMD, positive = benefit"} | attrs
    return table


def make_support(names=("frequency_hz", "session_min", "pulses_per_session", "sessions"), warning=""):
    rng = np.random.default_rng(7)
    frequency, minutes = rng.choice([1.0, 5, 10, 20], 30), rng.choice([10.0, 20, 30], 30)
    doses = pd.DataFrame({"frequency_hz": frequency, "session_min": minutes, "sessions": rng.choice([0.0, 5, 10, 20], 30)})
    doses["pulses_per_session"] = frequency * 60 * minutes * rng.choice([0.1, 0.5, 1], 30)
    doses.loc[:3, "session_min"] = np.nan
    logs = np.log(doses[list(names)].where(doses > 0))
    printed = logs.notna().astype(int)
    return SimpleNamespace(correlation=logs.corr(), rows=printed.T @ printed, fit_warning=warning), doses


def make_slopes(verdict="not clear"):
    rng = np.random.default_rng(8)
    slopes = {"within": rng.normal(0.1, 0.1, (2, 400)), "across": rng.normal(0.4, 0.05, (2, 400))}
    draws = xr.Dataset({name: (("chain", "draw"), values) for name, values in slopes.items()})
    draws["difference"] = draws.across - draws.within
    p = float((draws.difference > 0).mean())
    return SimpleNamespace(
        draws=draws, p_differ=p, delta=0.1, verdict=verdict, column="sessions", reference=10.0, studies=20, several=6
    )


def make_residuals(size=40, **attrs):
    rng = np.random.default_rng(9)
    se, expected = rng.uniform(0.1, 0.4, size), rng.choice([0.2, 0.6], size)
    residual = rng.normal(0, np.hypot(se, 0.1))
    table = pd.DataFrame(
        {"study": [f"Trial {k}" for k in range(size)], "effect": expected + residual, "se": se, "expected": expected}
    )
    table = table.assign(residual=residual, spread=np.where(np.arange(size) % 2, 0.05, 0.15))
    table.attrs = {"effect_label": "SMD (positive = benefit)"} | attrs
    return table


def make_reported(studies=10, seed=2):
    """Fields that some, all and no studies report."""
    rng = np.random.default_rng(seed)
    names = ["effect", "se", "frequency_hz", "session_min", "sessions", "sd_active", "phase", "coil"]
    shares = [1, 0.9, 0.7, 0.5, 0.3, 0.2, 0.1, 0]
    cells = rng.uniform(size=(studies, 8)) < shares
    cells[0, :7] = True
    return pd.DataFrame(cells, index=[f"Trial {k}" for k in range(studies)], columns=names)


def make_parameters():
    """Draws of the prior and of the posterior: Datasets (chain, draw[, phase])."""
    rng, found = np.random.default_rng(3), []
    for draws, scale in ((10_000, 1.0), (4000, 0.3)):
        shape = (1, draws)
        parameters = {
            "intercept": (("chain", "draw"), rng.normal(0, scale, shape)),
            "frequency_hz_peak": (("chain", "draw"), np.exp(rng.normal(2, scale, shape))),
            "between_study": (("chain", "draw"), abs(rng.normal(0, scale, shape))),
            "intercept_by_phase": (("chain", "draw", "phase"), rng.normal(0, scale, (*shape, 2))),
        }
        found.append(xr.Dataset(parameters, coords={"phase": GROUPS}))
    return found


def make_check(warning=""):
    """A check of five studies, of which the last is outlying and decides the verdict."""
    names = [f"Trial {k}" for k in range(5)]
    rows = pd.DataFrame({"study": names, "effect": [0.1, 0.2, 0.3, 0.4, 2.0], "predicted": 0.5, "low": -0.5, "high": 1.5})
    studies = pd.DataFrame({"p_adjusted": [1, 1, 1, 1, 0.01], "mean_change": [-0.2, 0, 0.1, 0.2, 1.4]}, index=names)
    at = np.linspace(0, 1, 5)
    pit = pd.DataFrame({"pit": at, "ecdf": at, "low": np.clip(at - 0.3, 0, 1), "high": np.clip(at + 0.3, 0, 1)})
    best = pd.DataFrame({"study": names, "dose": "frequency_hz", "group": "acute", "best_dose": 10.0, "low": 5.0, "high": 30.0})
    best = best.assign(verdict=["identified"] * 4 + ["flat"], verdict_all="identified", changes=[False] * 4 + [True], change=0.1)
    optima = pd.DataFrame({"best_dose": [10.0]}, index=pd.MultiIndex.from_tuples([("frequency_hz", "acute")]))
    tables = {"rows": rows, "studies": studies, "pit": pit, "left_out": best, "optima": optima}
    return SimpleNamespace(tables=tables, fit_warning=warning, effect_label="SMD (positive = benefit)")


def make_comparison(warning=""):
    rng = np.random.default_rng(2)
    by_study = pd.DataFrame(rng.normal(size=(6, 3)), columns=["bell", "emax", "line"], index=[f"Trial {k}" for k in range(6)])
    index = pd.MultiIndex.from_tuples([("bell", "emax"), ("bell", "line"), ("emax", "line")])
    pairs = pd.DataFrame(
        {"difference": [1.0, 6, 5], "se": [1.0, 2, 2], "verdict": ["indistinguishable", "bell wins", "emax wins"]}, index
    )
    return SimpleNamespace(by_study=by_study, pairs=pairs, fit_warning=warning)


def make_calibration(warning=""):
    at, names = np.linspace(0.1, 0.9, 9), ["intercept", "spread"]
    curves = {"difference": (("position", "quantity"), np.column_stack([0 * at, 0.4 - 0 * at]))}
    curves |= {name: ("position", sign * 0.2 * np.ones(9)) for name, sign in (("low", -1), ("high", 1))}
    ecdf = xr.Dataset(curves, coords={"position": at, "quantity": names})
    table = pd.DataFrame({"p_adjusted": [1.0, 0.001]}, index=names)
    return SimpleNamespace(ecdf=lambda prob: ecdf, table=table, verdict="not calibrated", fit_warning=warning)


def make_prior_sets(warning=""):
    sets = {name: make_best(GROUPS, acute="identified", chronic="flat") for name in ("weak", "sceptical")}
    curves = {name: {"sessions": best.curves} for name, best in sets.items()}
    optima = {name: {"sessions": best} for name, best in sets.items()}
    return SimpleNamespace(curves=curves, prior_curves=curves, optima=optima, fit_warning=warning)


HZ = {"dose": "frequency_hz", "effect_label": "SMD (positive = benefit)", "held": "held words", "warning": "warning words"}
EFFECT = {"effect_label": "SMD (positive = benefit)", "warning": "warning words"}


def groups_table():
    """A forest plot with all that it can have."""
    attrs = {
        "prediction": {"low": -0.1, "high": 0.9},
        "pooled": {"label": "Average dose", "mean": 0.4, "low": 0.25, "high": 0.55},
    }
    own = {
        group: {"pooled": {"mean": 0.3, "low": 0.1, "high": 0.5}, "prediction": {"low": -0.2, "high": 0.8}} for group in GROUPS
    }
    said = {"by_group": own, "dose_label": "Frequency (Hz)", "directions": ("favours control", "favours treatment")}
    return make_table(4, **attrs, **EFFECT, **said).assign(group=[*GROUPS, "acute", None], dose=["5", "10", "20", "50"])


def warned_surface():
    surface, points = (
        make_surface(warning="warning words", **{"effect_label": "SMD (positive = benefit)"}),
        {"frequency_hz": [5.0, np.nan]},
    )
    best = make_joint(surface, np.ones(surface.shape[2:], bool), "still rising in frequency_hz, flat")
    return surface, best, pd.DataFrame(points | {"session_min": 20.0})


def slopes_of(unit):
    slopes = make_slopes()
    slopes.draws.attrs["effect_unit"] = unit
    return slopes


CASES = {
    "dose_response": lambda **more: figures.dose_response(
        make_curve(GROUPS, **HZ),
        new_study=make_curve(GROUPS, spread=0.2, **HZ),
        points=make_points(phase=[*GROUPS, "acute"]),
        **more,
    ),
    "curve_families": lambda **more: figures.curve_families(
        {"Emax": make_curve(**HZ), "Bell": make_curve(**HZ)}, points=make_points(), **more
    ),
    "curve_families together": lambda **more: figures.curve_families(
        {name: make_curve(**HZ) + k / 10 for k, name in enumerate("ABCDEFG")}, points=make_points(), together=True, **more
    ),
    "prior_curves": lambda **more: figures.prior_curves(make_prior_sets("warning words"), **more),
    "prior_optima": lambda **more: figures.prior_optima(make_prior_sets("warning words"), **more),
    "optimum": lambda **more: figures.optimum(
        make_best(GROUPS, 0.3, "warning words", acute="flat", chronic="identified"),
        points=make_points(phase=[*GROUPS, "acute"]),
        **more,
    ),
    "near_best": lambda **more: figures.near_best(make_best(warning="warning words"), **more),
    "surface": lambda **more: (lambda surface, best, points: figures.surface(surface, best, points=points, prob=0.9, **more))(
        *warned_surface()
    ),
    "contrasts": lambda **more: figures.contrasts(make_contrasts(delta=0.1, held="held words", **EFFECT), **more),
    "forest": lambda **more: figures.forest(groups_table(), **more),
    "funnel": lambda **more: figures.funnel(make_residuals(warning="warning words"), **more),
    "funnel of residuals": lambda **more: figures.funnel(make_residuals(warning="warning words"), of="residual", **more),
    "priors": lambda **more: figures.priors(*make_parameters(), units={"intercept": "SMD"}, warning="warning words", **more),
    "checks": lambda **more: figures.checks(make_check("warning words"), **more),
    "influence": lambda **more: figures.influence(make_check("warning words"), **more),
    "influence on optimum": lambda **more: figures.influence(
        make_check("warning words"), dose="frequency_hz", group="acute", **more
    ),
    "comparison": lambda **more: figures.comparison(make_comparison("warning words"), **more),
    "calibration": lambda **more: figures.calibration(make_calibration("warning words"), **more),
    "within_across": lambda **more: figures.within_across(slopes_of("SMD"), **more),
    "support": lambda **more: figures.support(*make_support(warning="warning words"), duty_limit=True, **more),
    "missingness": lambda **more: figures.missingness(make_reported(), **more),
}
"""Every figure, with everything that it can show."""
