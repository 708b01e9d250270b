"""The same trials under three shapes of the curve, side by side."""

from shared import models

import stimdose as sd

curves = {name: sd.curve(fit, "frequency_hz") for name, fit in models().fits.items()}
axes = sd.figures.curve_families(curves, points=sd.points(next(iter(models().fits.values())), "frequency_hz"))
