"""The effect over frequency and pulses, with the region and the ridge of the best combination."""

from shared import surface_fit, trials

import stimdose as sd

best = sd.joint_optimum(surface_fit(), "frequency_hz", "pulses_per_session", size=(21, 21))
axes = sd.figures.surface(best.surface, best, points=trials.table)
