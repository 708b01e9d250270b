"""The means of three shapes in one panel, named at their ends."""

from shared import models

import stimdose as sd

curves = {name: sd.curve(fit, "frequency_hz") for name, fit in models().fits.items()}
points = sd.points(next(iter(models().fits.values())), "frequency_hz")
axes = sd.figures.curve_families(curves, points=points, together=True)
