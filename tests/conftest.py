"""Tables and one fitted model that tests share."""

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import stimdose as sd
from stimdose import cli

matplotlib.use("Agg")

CHECKOUT = Path(__file__).parents[1] / "src" / "stimdose"


def pytest_configure():
    """Tests of a checkout test that checkout; those of an sdist without sources, the installed package. No other runs in their place."""
    found = Path(sd.__file__).resolve().parent
    if CHECKOUT.is_dir() and found != CHECKOUT.resolve():
        pytest.exit(f"these tests are of {CHECKOUT}, and Python finds {found}: pip install -e .", returncode=4)
    if not CHECKOUT.is_dir() and not (found / "models").is_dir():  # where a wheel puts them
        pytest.exit(f"these tests are of an installed wheel, and Python finds {found}", returncode=4)


def pytest_report_header() -> str:
    return f"stimdose: {Path(sd.__file__).parent}"


def make_table(studies: int = 20, seed: int = 3) -> pd.DataFrame:
    """Trials with one or two rows, from a bell at 12 Hz and a gain with sessions; simulated here, not by the package."""
    rng = np.random.default_rng(seed)
    rows = []
    for study in range(studies):
        shift = rng.normal(0, 0.15)
        for arm in range(1 + study % 2):
            frequency, sessions = rng.choice([1.0, 3, 5, 10, 15, 20, 30, 50]), rng.choice([5.0, 10, 15, 20])
            se = rng.uniform(0.15, 0.35)
            mean = 0.1 + 0.9 * np.exp(-0.5 * (np.log(frequency / 12) / 0.6) ** 2) + 0.15 * np.log2(1 + sessions / 10)
            rows.append(
                {
                    "study": f"Trial {study:02d}",
                    "arm": "AB"[arm],
                    "direction": "higher",
                    "measure": "SMD",
                    "comparator": "sham",
                    "design": "parallel",
                    "effect": mean + shift + rng.normal(0, se),
                    "se": se,
                    "frequency_hz": frequency,
                    "sessions": sessions,
                    "phase": ["acute", "subacute", "chronic"][study % 3],
                    "site": ["nerve", "muscle"][(study // 2) % 2],
                }
            )
    return pd.DataFrame(rows)


def benchmark_module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[1] / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def trials() -> sd.Trials:
    return sd.read_trials(make_table())


@pytest.fixture(scope="session")
def bell_model() -> sd.Model:
    return sd.Model(
        name="test bell",
        intercept=sd.Intercept(by="phase"),
        dose=[sd.Dose(column="frequency_hz", shape="bell"), sd.Dose(column="sessions", shape="log-linear", by="phase")],
        moderator=[sd.Moderator(column="site")],
    )


@pytest.fixture(scope="session")
def bell_fit(bell_model, trials) -> sd.Fit:
    return sd.fit(bell_model, trials, seed=11)


@pytest.fixture(scope="session")
def strata_fit() -> sd.Fit:
    """An anchored fit, on published strata, one with an interval of sessions."""
    return sd.fit(
        sd.load_model("sessions-by-phase"), sd.load_dataset("rtms_upper_limb_strata").subset(stratified_by="sessions"), seed=11
    )


@pytest.fixture(scope="session")
def saved(bell_fit, tmp_path_factory):
    return str(bell_fit.save(tmp_path_factory.mktemp("fit") / "fit.nc"))


@pytest.fixture(scope="session")
def chromium():
    """The module that drives a browser, where there is one."""
    import chromium

    if chromium.executable() is None:
        stop = pytest.fail if os.environ.get("STIMDOSE_BROWSER") == "required" else pytest.skip
        stop("there is no Chromium on this machine: install it (Debian: apt-get install chromium), or name it in CHROMIUM")
    return chromium


@pytest.fixture
def run(capsys, monkeypatch):
    """Call the command line; gives exit code, standard output and standard error."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["stimdose", *arguments])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        return stopped.value.code or 0, *capsys.readouterr()

    return call


@pytest.fixture
def own_style():
    """Figures leave matplotlib's settings as they were; all are closed."""
    before = dict(matplotlib.rcParams)
    yield
    plt.close("all")
    assert dict(matplotlib.rcParams) == before
