"""What is left of the effects after the dose, with limits around zero."""

from shared import fit

import stimdose as sd

axes = sd.figures.funnel(sd.residuals(fit()), of="residual")
