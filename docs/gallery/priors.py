"""Prior and posterior of every parameter."""

from shared import fit

import stimdose as sd

tree = fit().tree
effects = (
    "intercept",
    "intercept_by_phase",
    "frequency_hz_amplitude",
    "between_study",
    "within_study",
    "intercept_between_phase",
    "frequency_hz_amplitude_between_study",
)
axes = sd.figures.priors(tree["prior"], tree["posterior"], units=dict.fromkeys(effects, "SMD"))
