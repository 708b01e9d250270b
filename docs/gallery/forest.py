"""Reported and shrunken effects by phase, with the mean of each phase and the interval of a new study."""

from shared import trials

import stimdose as sd

some = trials.subset(site="nerve")
table = sd.study_effects(sd.fit(sd.load_model("frequency-bell"), some, seed=1), group="phase")
table.attrs["directions"] = ("favours control", "favours stimulation")
axes = sd.figures.forest(table)
