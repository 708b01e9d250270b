"""What each of 32 trials of peripheral stimulation reports."""

import stimdose as sd
from stimdose.completeness import reported

axes = sd.figures.missingness(reported(sd.load_dataset("rpms_stroke_partial")))
