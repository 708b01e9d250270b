"""How three shapes predict studies left out."""

from shared import models

import stimdose as sd

axes = sd.figures.comparison(models())
