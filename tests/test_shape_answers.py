"""Known answers of other programs, from the columns of the shapes by least squares: metafor, R's nls and lm, dosresmeta."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.linalg import block_diag
from scipy.optimize import least_squares

from stimdose.shapes import SHAPES

ORACLES = Path(__file__).parent / "oracles" / "shapes"
EXPECTED = json.loads((ORACLES / "expected.json").read_text(encoding="utf-8"))


def table(name: str) -> pd.DataFrame:
    return pd.read_csv(ORACLES / f"{name}.csv")


def shape(name: str, reference: float, **options):
    return SHAPES[name](reference, (1.0, 50.0), **options)


def generalised(y, V, *columns):
    """Coefficients and standard errors of generalised least squares."""
    X, W = np.column_stack(columns), np.linalg.inv(V)
    covariance = np.linalg.inv(X.T @ W @ X)
    return covariance @ X.T @ W @ y, np.sqrt(np.diag(covariance))


def test_spline_of_obrien_2003():
    """Pre-eclampsia by body mass index less the mean of its study: moved up by 20 here, because doses are positive, and in units of 5, in
    which the spline's columns are too."""
    data, expected, moved, reference = table("obrien2003"), EXPECTED["obrien2003"], 20.0, 5.0
    dose = data["bmicent"].to_numpy() + moved
    knots = shape("restricted-cubic-spline", reference, knots=4).place(dose)["knots"]
    assert np.array(knots) - moved == pytest.approx([expected[f"knot{k}"] for k in (1, 2, 3, 4)], abs=1e-9)
    slope, *bends = shape("restricted-cubic-spline", reference, knots=knots).columns(dose)
    study = data["study"].to_numpy()
    V = np.diag(data["vi"] + expected["sigma2:2"]) + expected["sigma2:1"] * (study[:, None] == study)
    found, se = generalised(data["yi"], V, np.ones(len(data)), slope - moved / reference, *bends)
    unit = np.array([1, reference, reference, reference])
    names = ("intrcpt", "bmicent", "s1", "s2")
    assert found / unit == pytest.approx([expected[f"coef:{name}"] for name in names], abs=5e-5)
    assert se / unit == pytest.approx([expected[f"se:{name}"] for name in names], abs=5e-5)


def test_plateau_of_raudenbush_1985():
    """Weeks of contact with a pupil, beyond three of which nothing changes: the slope a week is a third of the plateau."""
    data, expected = table("raudenbush1985"), EXPECTED["raudenbush1985"]
    (column,) = shape("plateau", 10.0).columns(data["weeks"].to_numpy(), plateau=3.0)
    found, se = generalised(data["yi"], np.diag(data["vi"] + expected["tau2"]), np.ones(len(data)), column)
    unit = np.array([1, 3])
    assert found / unit == pytest.approx([expected["coef:intrcpt"], expected["coef:weeks.c"]], abs=5e-5)
    assert se / unit == pytest.approx([expected["se:intrcpt"], expected["se:weeks.c"]], abs=5e-5)


def test_quadratic_of_alcohol_and_cardiovascular_disease():
    """Columns less those at the reference dose of each study, with slopes that vary by study; in units of 20 g a day."""
    data, covariance, expected, reference = table("alcohol_cvd"), table("alcohol_cvd_covariance"), EXPECTED["alcohol_cvd"], 20.0
    unit = np.array([reference, reference**2])
    columns = np.column_stack(shape("quadratic", reference).columns(data["dose"].to_numpy()))
    psi = np.array([[expected["Psi:11"], expected["Psi:12"]], [expected["Psi:12"], expected["Psi:22"]]]) * np.outer(unit, unit)
    is_reference = data["se"].isna().to_numpy()
    y, X, V = [], [], []
    for study, own in data.groupby("id").groups.items():
        others = own[~is_reference[own]]
        Z = columns[others] - columns[own[is_reference[own]]]
        S = covariance[covariance["id"] == study].pivot(index="row", columns="col", values="value").to_numpy()
        y.append(data["logrr"][others])
        X.append(Z)
        V.append(S + Z @ psi @ Z.T)
    found, se = generalised(np.concatenate(y), block_diag(*V), np.concatenate(X))
    names = ("dose", "I(dose^2)")
    assert found / unit == pytest.approx([expected[f"coef:{name}"] for name in names], rel=1e-4)
    assert se / unit == pytest.approx([expected[f"se:{name}"] for name in names], rel=1e-4)
    assert found / unit == pytest.approx([-0.0302, 0.00075], abs=5e-5)
    assert se / unit == pytest.approx([0.0132, 0.00049], abs=5e-5)


LOG = "log(dose + 0.01)"


@pytest.mark.parametrize(
    ("name", "stored", "reference", "coefficients", "nonlinear", "start"),
    [
        ("linear", "linear", 0.5, {"dose": 0.5}, {}, [0, 0]),
        ("quadratic", "quadratic", 0.5, {"dose": 0.5, "I(dose^2)": 0.25}, {}, [0, 0, 0]),
        ("emax", "emax", 0.5, {"eMax": 1}, {"ed50": "ed50"}, [0, 1, 0.3]),
        ("sigmoid-emax", "sigEmax", 0.5, {"eMax": 1}, {"ed50": "ed50", "hill": "h"}, [0, 1, 0.3, 1]),
        ("log-linear", "linlog_off0.01", 0.01, {LOG: np.log(2)}, {}, [0, 0]),
    ],
)
def test_one_trial_of_five_doses(name, stored, reference, coefficients, nonlinear, start):
    """Least squares of the table biom; standard errors from the slopes of the shape. `coefficients` says what one of ours is in units of
    the stored ones."""
    data, expected, curve = table("biom"), EXPECTED["biom"][stored], shape(name, reference)
    dose, y, n = data["dose"].to_numpy(), data["resp"].to_numpy(), len(coefficients)

    def columns(values):
        return np.column_stack(curve.columns(dose, **dict(zip(curve.nonlinear, values[1 + n :], strict=True))))

    def residuals(values):
        return values[0] + columns(values) @ values[1 : 1 + n] - y

    def jacobian(values):
        slopes = np.empty((len(dose), n, 1 + len(nonlinear)))
        for x, found in zip(curve.scaled(dose), slopes, strict=True):
            curve.slopes(x, values[1 + n :], curve.constants, found)
        return np.column_stack([np.ones(len(dose)), columns(values), np.einsum("ikp,k->ip", slopes[:, :, 1:], values[1 : 1 + n])])

    lowest = [-np.inf] * (1 + n) + [0.0] * len(nonlinear)
    found = least_squares(residuals, start, jacobian, bounds=(lowest, np.inf), xtol=1e-15, ftol=1e-15, gtol=1e-15)
    rss, unit = 2 * found.cost, np.array([1, *coefficients.values(), *(1 for _ in nonlinear)])
    se = np.sqrt(np.diag(np.linalg.inv(found.jac.T @ found.jac)) * rss / (len(y) - len(start)))
    names = [*coefficients, *nonlinear.values()]
    level = expected["coef:e0"] if nonlinear else expected["coef:(Intercept)"]
    if LOG in coefficients:
        level += np.log(0.01) * expected[f"coef:{LOG}"]
    assert rss == pytest.approx(expected["RSS"], rel=1e-6)
    assert found.x / unit == pytest.approx([level, *(expected[f"coef:{name}"] for name in names)], rel=1e-4)
    assert (se / unit)[1:] == pytest.approx([expected[f"se:{name}"] for name in names], rel=1e-4)
