"""The report of a fit: its parts as data, and one page made from them."""

from .writing import report

__all__ = ["report"]
