"""Every row against what the other studies predict of it, and how high studies lie in that."""

from shared import check

import stimdose as sd

axes = sd.figures.checks(check())
