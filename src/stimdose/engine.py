"""Draws of what is sampled, by whichever engine: the compiled density of all models, or the explicit form in PyMC."""

import os
import sys
import threading

from .model import Model
from .rows import Rows

NOTICE_AFTER = 5.0
EXPLICIT_NOTICE = "stimdose samples the coefficients too, in PyMC: with selection, or of levels, they cannot be integrated out"
NOTICE = "stimdose loads the density that all models share; the first time on a machine it is compiled, which takes about half a minute"


def sample(model: Model, rows: Rows, seed: int, settings: dict, progress: bool, geometry=None) -> tuple[dict, dict]:
    """Draws (draws, ...) of what is sampled, by posterior variable name, and statistics (chain, draw) of the sampler; among these,
    as `position`, the unconstrained parameters. Without a geometry that fits (see `nuts`), tuning takes `tune_from_nothing` draws."""
    longer = max(settings["tune"], settings.get("tune_from_nothing", 0))
    run = {name: settings[name] for name in ("draws", "tune", "chains", "target_accept")}
    run["cores"] = settings["cores"] or min(settings["chains"], os.cpu_count() or 1)
    if model.is_explicit and progress:
        print(EXPLICIT_NOTICE, file=sys.stderr, flush=True)
    if model.is_explicit or not settings["integrate"]:
        from .explicit import sample_explicit

        return sample_explicit(model, rows, seed, run | {"tune": longer}, progress, _may_have_modes(model))
    nuts = _engine(progress)
    from .encoding import encode

    program, layout = encode(model, rows)
    geometry = geometry and geometry.on(program)
    run |= {} if geometry else {"tune": longer}
    found = nuts.sample(program, seed=seed, progress=progress, has_modes=_may_have_modes(model), geometry=geometry, **run)
    values = nuts.natural_values(program, layout, found.positions.reshape(-1, found.positions.shape[-1]))
    return values, found.statistics | {"position": found.positions}


def _engine(progress: bool):
    """The module `nuts`; says what takes so long the first time."""
    notice = threading.Timer(NOTICE_AFTER, print, [NOTICE], {"file": sys.stderr, "flush": True})
    if progress:
        notice.start()
    try:
        from . import nuts
    finally:
        notice.cancel()
    return nuts


def _may_have_modes(model: Model) -> bool:
    """Shapes with a peak that is to be found may have several modes: another place, or a trough where coefficients may be negative."""
    return any(dose.basis.can_peak and dose.nonlinear for dose in model.doses)
