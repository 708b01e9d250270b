"""The gallery: every figure has a short script and a small picture, and the page shows both."""

import importlib.util
import runpy
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes

from stimdose import figures

pytestmark = pytest.mark.usefixtures("own_style")

GALLERY = Path(__file__).parents[1] / "docs" / "gallery"
SPEC = importlib.util.spec_from_file_location("gallery_draw", GALLERY / "draw.py")
draw = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(draw)


def test_every_figure_has_a_script_a_picture_and_a_place_on_the_page():
    scripts = {path.stem for path in GALLERY.glob("*.py")} - {"draw", "shared"}
    assert scripts == set(draw.ORDER) == {path.stem for path in (GALLERY / "images").glob("*.png")}
    code = "".join((GALLERY / f"{name}.py").read_text(encoding="utf-8") for name in scripts)
    functions = {name for name in figures.__all__ if callable(getattr(figures, name)) and name != "save"}
    assert not {name for name in functions if f"figures.{name}(" not in code}
    assert (GALLERY / "README.md").read_text(encoding="utf-8") == draw.page()


@pytest.mark.parametrize("name", draw.ORDER)
def test_scripts_are_short_and_pictures_small(name):
    assert len((GALLERY / f"{name}.py").read_text(encoding="utf-8").splitlines()) <= 20
    assert (GALLERY / "images" / f"{name}.png").stat().st_size < 60_000


@pytest.mark.parametrize(
    "name",
    [
        name if name in ("missingness", "missingness_of_many", "support") else pytest.param(name, marks=pytest.mark.page)
        for name in draw.ORDER
    ],
)
def test_scripts_draw(name, monkeypatch):
    monkeypatch.syspath_prepend(GALLERY)
    axes = runpy.run_path(str(GALLERY / f"{name}.py"))["axes"]
    assert all(isinstance(ax, Axes) for ax in np.ravel(axes))
