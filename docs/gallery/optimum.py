"""The best frequency as a posterior, under the curve that it comes from."""

from shared import fit

import stimdose as sd

best = sd.optimum(fit(), "frequency_hz")
axes = sd.figures.optimum(best, points=sd.points(fit(), "frequency_hz"))
