"""How probable each frequency is to be within 0.1 of the best."""

from shared import fit

import stimdose as sd

axes = sd.figures.near_best(sd.optimum(fit(), "frequency_hz"))
