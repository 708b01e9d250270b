# The bell model in brms, for vs_brms.py, which starts this script, sets its environment and checks the draws.
#
# Usage: Rscript brms_bell.R TABLE.csv DRAWS CORES SEED, then one seed a line on standard input
# Fits once (compiles and samples), then refits without compiling for every seed read. After each it writes the draws to the file
# DRAWS (doubles; iterations fastest, then chains, then variables in the order of `variables`) and prints one line:
# RESULT <seconds of the call> <divergences> <seconds of warm-up and sampling, summed over chains>
suppressMessages({library(rstan); library(brms)})
if (nzchar(Sys.getenv("BOOST_DIR"))) rstan_options(boost_lib = Sys.getenv("BOOST_DIR"))
if (nzchar(Sys.getenv("EIGEN_DIR"))) rstan_options(eigen_lib = Sys.getenv("EIGEN_DIR"))
arguments <- commandArgs(TRUE)
d <- read.csv(arguments[1])
cores <- as.integer(arguments[3])
control <- list(adapt_delta = 0.9)
variables <- c("b_b0_Intercept", "b_b0_zm", "b_top_Intercept", "b_opt_Intercept", "b_lw_Intercept",
               "sd_phase__b0_Intercept", "sd_site__b0_Intercept", "sd_study__b0_Intercept")

answer <- function(call) {
  started <- Sys.time()
  fit <- call()
  seconds <- as.numeric(Sys.time() - started, units = "secs")
  writeBin(as.double(as.array(fit, variable = variables)[, , variables]), arguments[2])
  nuts <- nuts_params(fit)
  divergences <- sum(nuts$Value[nuts$Parameter == "divergent__"])
  cat(sprintf("RESULT %.4f %d %.4f\n", seconds, as.integer(divergences), sum(get_elapsed_time(fit$fit))))
  flush(stdout())
  fit
}

fit <- answer(function() brm(
  bf(y | se(se) ~ b0 + top * exp(-0.5 * ((x - opt) / exp(lw))^2),
     b0 ~ 1 + zm + (1 | study) + (1 | phase) + (1 | site), top ~ 1, opt ~ 1, lw ~ 1, nl = TRUE),
  data = d, prior = c(
    prior(normal(0, 0.5), nlpar = "b0"), prior(normal(0, 1), nlpar = "top", lb = 0), prior(normal(0, 1), nlpar = "opt"),
    prior(normal(0, 0.5), nlpar = "lw"), prior(normal(0, 0.5), class = "sd", nlpar = "b0")),
  chains = 4, cores = cores, iter = 2000, warmup = 1000, control = control, seed = as.integer(arguments[4]), refresh = 0))

seeds <- file("stdin", "r")
while (length(seed <- readLines(seeds, n = 1)) > 0) {
  answer(function() update(fit, recompile = FALSE, chains = 4, cores = cores, iter = 2000, warmup = 1000, control = control,
                           seed = as.integer(seed), refresh = 0))
}
