"""The mean effect without each study."""

from shared import check

import stimdose as sd

axes = sd.figures.influence(check())
