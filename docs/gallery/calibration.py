"""Ranks of the truth in 60 simulated tables: inside the band the sampler gives back what was put in."""

from shared import trials

import stimdose as sd

axes = sd.figures.calibration(sd.calibrate(sd.load_model("pooled"), trials, simulations=60, seed=1))
