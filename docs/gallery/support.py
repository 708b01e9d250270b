"""Which combinations of frequency, minutes and pulses trials tried, and what physics allows."""

from shared import trials

import stimdose as sd

found = sd.support(trials, ("frequency_hz", "session_min", "pulses_per_session"))
axes = sd.figures.support(found, trials.table, duty_limit=True)
