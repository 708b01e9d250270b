"""Priors of whatever a spec leaves unstated, on effects in units of `outcome_sd`, each with its reason."""

from .priors import Prior

BETWEEN_STUDY = Prior(
    "halfnormal", sigma=0.5, why="heterogeneity of standardised effects between trials is rarely above 1 (Roever et al. 2021)"
)
WITHIN_STUDY = Prior("halfnormal", sigma=0.25, why="rows of one trial differ less than trials do")
RESIDUAL = Prior(
    "lognormal",
    interval=(0.3, 2.0),
    prob=0.95,
    why="changes of people have a standard deviation of sqrt(2 (1 - r)) of the outcome, 0.3 to 1.4 at a correlation r of before and "
    "after between 0.95 and 0; more where people respond differently",
)
CUTPOINT = Prior(
    "normal",
    mu=0.0,
    sigma=1.0,
    why="in their order: at a latent effect of 0 every division of people over the levels is as likely as any other, Dirichlet(1, ..., 1)",
)
BETWEEN_STUDY_SPREAD = Prior(
    "halfnormal", sigma=0.5, why="heterogeneity of groups rarely differs from that of all trials by more than a factor of three"
)
BETWEEN_STUDY_CORRELATION = Prior(
    "correlation",
    mu=0.5,
    sigma=0.6,
    why="trials in which one outcome does better than usual mostly do so in others, but not always: 95 % from -0.6 to 0.9",
)
SMALL_STUDY = Prior(
    "normal",
    mu=0.0,
    sigma=0.5,
    why="trials of 20 people in each arm err by less than one standard deviation of the outcome, either way",
)
PUBLICATION = Prior("beta", alpha=1.0, beta=1.0, why="any share of the trials without a significant benefit may be unpublished")
INTERCEPT = Prior("normal", mu=0.0, sigma=1.0, why="mean effect: 95 % within two standard deviations of the outcome, either sign")
SPREAD = Prior(
    "halfnormal", sigma=0.3, why="groups differ by less than the effect itself; with two or three groups this prior decides"
)
FACTOR_SPREAD = Prior(
    "halfnormal",
    sigma=1.0,
    why="positive effects of groups are rarely seven times those of all; a narrower prior lends an effect to groups without one",
)
FACTOR_CROSSED = Prior(
    "halfnormal", sigma=0.5, why="positive effects of crossed groups differ from the product of the two by less"
)
WAVE_SPREAD = Prior("halfnormal", sigma=0.5, why="curves of groups differ by less than the curve itself strays from its level")
CROSSED = Prior(
    "halfnormal", sigma=0.15, why="crossed groups differ from the sum of the two by less than these differ among themselves"
)
LOG_CROSSED = Prior("halfnormal", sigma=0.15, why="doses of crossed groups differ from the product of the two by less than these")
LOG_SPREAD = Prior(
    "halfnormal",
    sigma=0.3,
    why="groups' doses rarely differ by more than a factor of two; with two or three groups this prior decides",
)
DOSE_SPREAD = Prior(
    "halfnormal",
    sigma=0.75,
    why="missing doses: the log doses of a modality have a standard deviation of 0.5 to 1.2 in published tables, a factor of 1.6 to 3.3",
)
STUDY_SPREAD = Prior("halfnormal", sigma=0.25, why="dose effects of trials differ by less than the effect itself")
MODERATOR = Prior("normal", mu=0.0, sigma=0.5, why="effect of a moderator, 95 % within one standard deviation of the outcome")
