"""The best number of sessions in each phase."""

from shared import by_phase

import stimdose as sd

best = sd.optimum(by_phase(), "sessions", by="phase")
axes = sd.figures.optimum(best, points=sd.points(by_phase(), "sessions", by="phase"))
