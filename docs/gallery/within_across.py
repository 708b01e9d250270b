"""The slope of pulses within trials beside that across trials."""

from shared import trials

import stimdose as sd

axes = sd.figures.within_across(sd.within_across(sd.load_model("stimulation"), trials, "pulses_per_session", seed=1))
