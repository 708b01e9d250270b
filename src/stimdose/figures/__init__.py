"""Figures for papers. Each function takes computed arrays, draws on Axes and returns them; only `save` writes files."""

from .dose_response import dose_response
from .forest import forest
from .style import save

__all__ = ["dose_response", "forest", "save"]
