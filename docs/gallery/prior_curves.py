"""The curve under three sets of priors, over what the priors alone allow."""

from shared import fit, prior_sets

import stimdose as sd

axes = sd.figures.prior_curves(prior_sets(), points=sd.points(fit(), "frequency_hz"))
