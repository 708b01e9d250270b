"""The best frequency under three sets of priors, each with its verdict."""

from shared import prior_sets

import stimdose as sd

axes = sd.figures.prior_optima(prior_sets())
