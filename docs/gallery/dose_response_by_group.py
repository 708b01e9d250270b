"""One curve for each phase after a stroke, of published strata; horizontal bars are doses printed as ranges."""

from shared import by_phase

import stimdose as sd

curve = sd.curve(by_phase(), "sessions", by="phase")
axes = sd.figures.dose_response(curve, points=sd.points(by_phase(), "sessions", by="phase"))
