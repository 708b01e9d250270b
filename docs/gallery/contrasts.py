"""Differences of effect between protocols."""

from shared import fit

import stimdose as sd

pairs = [(10, 1), (20, 10), (50, 10)]
found = [sd.contrast(fit(), {"frequency_hz": one}, {"frequency_hz": other}) for one, other in pairs]
labels = {each.label: f"{one} Hz against {other} Hz" for each, (one, other) in zip(found, pairs, strict=True)}
axes = sd.figures.contrasts(found, labels=labels)
