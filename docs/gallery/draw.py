"""Run every script of the gallery, and write its picture to images/ and the page README.md: python docs/gallery/draw.py [NAME ...]."""

import runpy
import sys
from io import BytesIO
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

HERE = Path(__file__).parent
ORDER = """
    dose_response dose_response_by_group curve_families curve_families_together optimum optimum_by_group near_best surface contrasts
    forest funnel funnel_residual priors prior_curves prior_optima checks influence influence_on_optimum comparison calibration
    within_across support missingness missingness_of_many
""".split()
HEAD = """# Gallery

Every figure of the package, each with the script that draws it. Tables and models are the shipped ones, most of them synthetic; fits that
scripts share are in [shared.py](shared.py). `sd.figures.save(axes, "name")` writes a figure as PDF and PNG with 300 dpi and embedded fonts;
the pictures here have 100 dpi. `make gallery` draws them all anew, which takes some minutes.
"""


def draw(name: str) -> None:
    """Write the picture of one script, as large as it is printed."""
    axes = runpy.run_path(str(HERE / f"{name}.py"))["axes"]
    figure = np.ravel(axes)[0].figure
    large = BytesIO()
    figure.savefig(large, dpi=100, bbox_inches="tight", pad_inches=0.03)
    picture = Image.open(large).convert("RGB").quantize(64, dither=Image.Dither.NONE)
    picture.save(HERE / "images" / f"{name}.png", optimize=True, dpi=(100, 100))
    plt.close("all")


def page() -> str:
    """Every picture with its title and its script."""
    parts = [HEAD]
    for name in ORDER:
        code = (HERE / f"{name}.py").read_text(encoding="utf-8")
        title, code = code.split('"""\n', 1)
        says = title.removeprefix('"""')
        parts.append(
            f"## {name.replace('_', ' ').capitalize()}\n\n{says}\n\n![{says}](images/{name}.png)\n\n```python\n{code.strip()}\n```\n"
        )
    return "\n".join(parts)


if __name__ == "__main__":
    sys.path.insert(0, str(HERE))
    for each in sys.argv[1:] or ORDER:
        print(each, flush=True)
        draw(each)
    (HERE / "README.md").write_text(page(), encoding="utf-8")
