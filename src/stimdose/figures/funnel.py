"""The funnel plot: effects by their standard errors, with contours of significance, or what is left of them after the dose."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from ..errors import FigureError
from . import panels, style

CONTOURS = ((0.1, 1.0), (0.05, 0.93), (0.01, 0.84))
"""Two-sided p values, and the grey of the effects that are at least so significant... up to the next (1 is white)."""
TRIALS = {"marker": "o", "markersize": 3.5, "markerfacecolor": panels.FACE, "markeredgecolor": panels.EDGE, "markeredgewidth": 0.5}
SAMPLING = {"color": style.GREY, "linewidth": 0.8, "linestyle": ":"}
SPREAD = {"color": style.GREY, "linewidth": 0.8, "linestyle": panels.DASHES}
TEXTS = (
    "p > 0.1",
    "p 0.05 to 0.1",
    "p 0.01 to 0.05",
    "p < 0.01",
    "Pooled effect",
    "{prob} of what sampling error alone leaves",
    "{prob} with the differences between trials",
    "Trials ({rows})",
    "{rows} row",
    "{rows} rows",
)
