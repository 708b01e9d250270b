"""The package as a whole: public names, the direction of imports, installation, the map."""

import ast
import importlib.metadata
import os
import pkgutil
import re
import subprocess
import sys
import tomllib
import types
import zipfile
from pathlib import Path

import pytest

import stimdose as sd

ROOT = Path(__file__).parents[1]
SOURCE = Path(sd.__file__).parent
ORDER = """
    errors files folders checklists columns scales protocol identities effects summaries doses workbooks tables audit arms estimates precision
    conversion
    covariance outcome_units trials participants protocol_classes reading completeness template shipped validity families priors
    shapes group_terms default_priors parts model specs roles named_priors evidence missing latents unknowns small_studies quadrature
    dose_points rows outcomes heterogeneity predictor selection ordinal grid machine algebra blocks integrate conditionals program
    encoding moving density starts nuts op pymc_model explicit engine posterior own_unknowns left_out chains importance diagnosis
    results storage batches settings simulation uniformity calibration sampling arguments dose_space curves categories derived
    caveats verdicts optima rescaling paths decisions leave_one_out stacking averaging log_densities reweighting study_scores
    estimands prior_influence prior_comparison model_comparison marginals model_odds surfaces joint_verdicts joint_optima ecology
    predictive funnels prior_checks without_study outliers influence checks assumptions theta_burst designs sentences figures manifest
    outputs reports reruns demo terminal options questions scrutiny comparisons report_commands cli __main__
""".split()
PUBLIC = {
    *(
        "COLUMNS",
        "Problem",
        "StimdoseError",
        "TrialsError",
        "ModelError",
        "FitError",
        "FigureError",
        "BatchError",
        "ConvergenceWarning",
        "StimdoseWarning",
    ),
    *("Trials", "read_trials", "datasets", "dataset_path", "load_dataset"),
    *("PriorSet", "prior_sets", "load_prior_set", "heterogeneity_prior", "historical_prior"),
    *("Prior", "Model", "Dose", "Intercept", "Moderator", "load_model", "models", "prior_table"),
    *(
        "build",
        "fit",
        "Fit",
        "Request",
        "batch",
        "batches",
        "load_fit",
        "curve",
        "band",
        "points",
        "optimum",
        "Optimum",
        "in_points",
        "contrast",
        "Contrast",
        "average",
        "Average",
        "leave_one_study_out",
        "LeaveOneOut",
        "study_effects",
        "residuals",
        "sensitivity",
        "vary_spread",
        "theta_burst_axes",
        "ThetaBurstAxes",
        "JointOptimum",
        "joint_optimum",
        "surface",
        "category_probabilities",
        "Check",
        "check",
        "prior_curves",
        "prior_effects",
        "WithinAcross",
        "within_across",
    ),
    *("simulate_trials", "SimulatedTrials", "calibrate", "Calibration", "design", "Design"),
    *("confounders", "support", "visited", "protocol_path", "optima_by_path"),
    *("compare_priors", "PriorComparison", "compare_models", "ModelComparison"),
    *("bayes_factors", "BayesFactors", "marginal_likelihood", "MarginalLikelihood"),
    *("report", "rerun", "Rerun"),
    *("columns", "effects", "figures", "protocol", "scales", "sentences", "shapes", "summaries"),
}


def test_public_names():
    assert set(sd.__all__) == PUBLIC


def test_public_functions_are_never_shadowed_by_modules():
    for module in pkgutil.iter_modules(sd.__path__):
        if module.name != "__main__":
            importlib.import_module(f"stimdose.{module.name}")
    for name in PUBLIC - {
        "batches",
        "columns",
        "effects",
        "figures",
        "protocol",
        "scales",
        "sentences",
        "shapes",
        "summaries",
        "COLUMNS",
    }:
        assert not isinstance(getattr(sd, name), types.ModuleType), name
        assert getattr(sd, name).__doc__, name


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            found |= {node.module.split(".")[0]} if node.module else {alias.name for alias in node.names}
    return found


def test_imports_run_one_way_and_every_module_is_on_the_map():
    modules = {path.stem for path in SOURCE.glob("*.py")} - {"__init__"} | {
        path.parent.name for path in SOURCE.glob("*/__init__.py")
    }
    assert modules == set(ORDER)
    for module in ORDER:
        path = SOURCE / f"{module}.py"
        if path.exists():
            later = imports_of(path) & set(ORDER[ORDER.index(module) :])
            assert not later, f"{module} imports {later}"
    map_ = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    assert not [module for module in ORDER if f"`{module}`" not in map_]


def test_machine_code_is_kept_under_a_hash_of_everything_it_is_made_of():
    from stimdose.machine import SOURCES

    compiled = [
        name for name in ORDER if (SOURCE / f"{name}.py").exists() and {"algebra", "machine"} & imports_of(SOURCE / f"{name}.py")
    ]
    read = set().union(*(imports_of(SOURCE / f"{name}.py") for name in compiled)) - {
        "encoding",
        "errors",
        "starts",
    }  # of which `nuts` takes types and plain functions
    assert read | set(compiled) == set(SOURCES)


def test_no_file_holds_two_ideas():
    long = {path.name: n for path in SOURCE.rglob("*.py") if (n := len(path.read_text(encoding="utf-8").splitlines())) > 400}
    assert not long


HEAVY = "numpy pandas scipy xarray pydantic openpyxl h5netcdf matplotlib arviz arviz_stats numba pytensor pymc nutpie".split()


def loaded(code: str) -> list[str]:
    """The heavy modules that a new process has loaded after some lines of code."""
    code = f"{code}\nimport sys; print('loaded', *(m for m in {HEAVY} if m in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ | {"MPLBACKEND": "Agg"}
    )
    return done.stdout.splitlines()[-1].split()[1:]


def test_import_loads_nothing_heavy():
    assert loaded("import stimdose, stimdose.cli") == []


@pytest.mark.parametrize("words", [["--help"], ["--version"]])
def test_help_loads_nothing_heavy(words):
    assert loaded(f"from stimdose.cli import app; app({words}, standalone_mode=False)") == []


def test_help_of_every_command_loads_nothing_heavy():
    code = "import typer; from stimdose.cli import app; [app([name, '--help'], standalone_mode=False)"
    found = loaded(f"{code} for name in typer.main.get_command(app).commands]")
    assert set(found) <= {"pydantic"}  # by typer itself, to check options


def test_reading_a_table_loads_no_more_than_it_uses(tmp_path):
    table = "study,arm,measure,direction,comparator,design,effect,se\nA,1,SMD,higher,sham,parallel,0.5,0.2\n"
    (tmp_path / "trials.csv").write_text(table, encoding="utf-8")
    found = loaded(
        f"import sys, stimdose as sd; sd.read_trials({str(tmp_path / 'trials.csv')!r}); assert 'scipy.stats' not in sys.modules"
    )
    assert found == ["numpy", "pandas", "scipy"]


def test_plotting_a_saved_fit_needs_no_sampler(bell_fit, tmp_path):
    path = bell_fit.save(tmp_path / "fit.nc")
    found = loaded(f"""
import stimdose as sd
fit = sd.load_fit({str(path)!r})
axes = sd.figures.dose_response(sd.curve(fit, "sessions"), points=sd.points(fit, "sessions"))
assert sd.optimum(fit, "frequency_hz").verdict
sd.figures.save(axes, {str(tmp_path / "figure")!r}, formats="png")
""")
    assert not {"pymc", "pytensor", "nutpie"} & set(found)


CHECK_INSTALLED = """
import stimdose, sys
assert sys.argv[1] in stimdose.__file__, stimdose.__file__
assert len(stimdose.prior_sets()) == 10 and stimdose.heterogeneity_prior("SMD").family == "logt"
assert len(stimdose.models()) == 12 and len(stimdose.datasets()) == 9
assert len(stimdose.load_dataset("stroke_therapy_hours")) == 303
"""


@pytest.mark.skipif(not (ROOT / "src").is_dir(), reason="builds a wheel of the checkout, and there is none")
def test_a_wheel_and_an_editable_install_find_models_and_data(tmp_path):
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), str(ROOT)], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"stimdose/py.typed", "stimdose/__init__.pyi"} <= set(names)
    assert {"stimdose/models/stimulation.toml", "stimdose/scales.toml", "stimdose/figures/paper.mplstyle"} <= set(names)
    assert "stimdose/data/stroke_therapy_hours/README.md" in names
    of_reports = ("page.html", "page.css", "sort.js", "references.toml", "items/barg.toml", "items/grade.toml")
    assert {f"stimdose/reports/{name}" for name in of_reports} <= set(names)
    target = tmp_path / "installed"
    subprocess.run([*pip, "install", "--no-deps", "--target", str(target), str(wheel)], check=True)
    for place, path in ((str(target), str(target)), (str(SOURCE), str(ROOT / "src"))):
        subprocess.run(
            [sys.executable, "-c", CHECK_INSTALLED, place], check=True, cwd=tmp_path, env=os.environ | {"PYTHONPATH": path}
        )


@pytest.mark.parametrize("name", sd.models().index)
def test_shipped_models_are_named_as_their_files(name):
    assert (ROOT / "models" / f"{name}.toml").is_file()


def test_the_version_is_the_same_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    stated = dict(re.findall(r"^([\w-]+): *\"?([^\n\">]+)", citation, re.MULTILINE))
    assert stated["version"] == project["version"] == sd.__version__ == importlib.metadata.version("stimdose")
    assert f"## {sd.__version__} " in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert (stated["license"], stated["type"], stated["cff-version"]) == (project["license"], "software", "1.2.0")


def test_dependencies_are_pinned_by_name_and_version_only():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").split()
    assert all(line.count("==") == 1 and "/" not in line for line in lines)
