"""Effects against their standard errors, over contours of significance."""

from shared import fit

import stimdose as sd

axes = sd.figures.funnel(sd.residuals(fit()))
