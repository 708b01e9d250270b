"""Sampling with everything explicit, through PyMC: slow, and written independently of `density`, so that one checks the other."""

import numpy as np

from .heterogeneity import scaled_effects, study_effects
from .model import Model
from .pymc_model import build_rows
from .rows import Rows


def sample_explicit(model: Model, rows: Rows, seed: int, settings: dict, progress: bool, spread_out: bool) -> tuple[dict, dict]:
    """Draws (draws, ...) of every parameter, coefficient and study effect, and statistics (chain, draw) of the sampler.

    settings: draws, tune, chains, cores and target_accept of nutpie. spread_out: start from draws of the prior.
    """
    import nutpie

    compiled = nutpie.compile_pymc_model(
        build_rows(model, rows, integrate=False), default_initialization_strategy="prior" if spread_out else "support_point"
    )
    raw = nutpie.sample(compiled, seed=seed, progress_bar=progress, **settings)
    values = {str(name): np.asarray(v, float).reshape(-1, *v.shape[2:]) for name, v in raw["posterior"].items()}
    if not model.selection:  # which integrates them out
        normals = {name: values[f"{name}_z"] for name in study_effects(model, rows)}
        values |= scaled_effects(model, rows, normals, values)
    names = ("diverging", "depth", "n_steps", "step_size", "energy", "logp")
    return values, {name: raw["sample_stats"][name].to_numpy() for name in names}
