"""The effect along frequency: mean, its interval, that of a new study, and the trials."""

from shared import fit

import stimdose as sd

mean, new_study = (sd.curve(fit(), "frequency_hz", kind=kind) for kind in ("mean", "new study"))
axes = sd.figures.dose_response(mean, new_study=new_study, points=sd.points(fit(), "frequency_hz"))
