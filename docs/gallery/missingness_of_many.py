"""The same of 50 synthetic trials of cortical stimulation."""

import stimdose as sd
from stimdose.completeness import reported

axes = sd.figures.missingness(reported(sd.load_dataset("synthetic_rtms_spasticity")))
