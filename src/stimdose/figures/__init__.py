"""Figures for papers. Each function takes computed arrays, draws on Axes and returns them; only `save` writes files."""

from .calibration import calibration
from .checks import checks
from .comparison import comparison
from .contrasts import contrasts
from .curve_families import curve_families
from .dose_response import dose_response
from .forest import forest
from .funnel import funnel
from .influence import influence
from .missingness import missingness
from .near_best import near_best
from .optimum import optimum
from .prior_curves import prior_curves
from .prior_optima import prior_optima
from .priors import priors
from .style import DOUBLE, PAPER, SINGLE, save
from .support import support
from .surface import surface
from .within_across import within_across

__all__ = [
    "DOUBLE",
    "PAPER",
    "SINGLE",
    "calibration",
    "checks",
    "comparison",
    "contrasts",
    "curve_families",
    "dose_response",
    "forest",
    "funnel",
    "influence",
    "missingness",
    "near_best",
    "optimum",
    "prior_curves",
    "prior_optima",
    "priors",
    "save",
    "support",
    "surface",
    "within_across",
]
