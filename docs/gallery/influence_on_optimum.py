"""The best frequency without each study."""

from shared import check

import stimdose as sd

axes = sd.figures.influence(check(), dose="frequency_hz")
