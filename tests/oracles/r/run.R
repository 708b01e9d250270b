# The R scripts of the page docs/coming-from-r.md, run in its order; they stand beside this file. Usage: Rscript run.R [script ...]
# For each script, what it prints goes to <script>.txt, the tables it writes (*.csv) and what it found in full (<script>.json) beside it.
# Needs metafor, dosresmeta, brms, MBNMAdose and JAGS. Where a system strips Boost and Eigen from the R packages that rstan compiles with, say where
# they are in BOOST_DIR and EIGEN_DIR.
here <- dirname(normalizePath(sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE))))
scripts <- commandArgs(TRUE)
if (!length(scripts)) scripts <- c("random_effects", "multilevel", "two_outcomes", "trend", "nonlinear", "agent")
scratch <- tempfile(); dir.create(scratch); setwd(scratch)
file.copy(file.path(here, "../../../data/stroke_therapy_hours/trials.csv"), "hours.csv")
options(width = 100, mc.cores = 2)
if (nzchar(Sys.getenv("BOOST_DIR"))) rstan::rstan_options(boost_lib = Sys.getenv("BOOST_DIR"))
if (nzchar(Sys.getenv("EIGEN_DIR"))) rstan::rstan_options(eigen_lib = Sys.getenv("EIGEN_DIR"))

estimates <- function(fit, tau) list(estimate = unname(coef(fit)), se = unname(sqrt(diag(vcov(fit)))), tau = unname(tau))
draws <- function(array, names) {
  found <- posterior::summarise_draws(posterior::as_draws_array(array[, , names]), "mean", "sd", "mcse_mean", "mcse_sd", "rhat")
  setNames(lapply(seq_along(names), function(k) as.list(found[k, -1])), names)
}
answers <- list(
  random_effects = function(e) c(
    estimates(e$res, sqrt(e$res$tau2)),
    list(prediction = with(predict(e$res), c(pi.lb, pi.ub)), without = leave1out(e$res)$estimate)),
  multilevel = function(e) estimates(e$res, sqrt(e$res$sigma2)),
  two_outcomes = function(e) c(estimates(e$res, sqrt(e$res$tau2)), rho = e$res$rho),
  trend = function(e) c(
    lapply(list(linear = e$linear, quadratic = e$quadratic, diagonal = e$diagonal), function(fit) estimates(fit, sqrt(diag(fit$Psi)))),
    list(covariance = lapply(unname(e$linear$Slist), unname))),
  nonlinear = function(e) c(draws(as.array(e$fit), e$names), sampling_s = sum(rstan::get_elapsed_time(e$fit$fit)) / 2),
  agent = function(e) list(
    common = draws(e$common$BUGSoutput$sims.array, c("emax[2]", "ed50[2]")),
    random = draws(e$random$BUGSoutput$sims.array, c("emax[2]", "ed50[2]", "sd"))))
versions <- function(packages) lapply(setNames(packages, packages), function(name) as.character(packageVersion(name)))
packages <- list(random_effects = "metafor", multilevel = "metafor", two_outcomes = c("metafor", "metadat"), trend = c("dosresmeta", "mixmeta"),
                 nonlinear = c("brms", "rstan"), agent = c("MBNMAdose", "rjags"))

if (any(c("multilevel", "two_outcomes") %in% scripts)) library(metafor)
for (name in scripts) {
  e <- new.env()
  seconds <- system.time(printed <- capture.output(source(file.path(here, paste0(name, ".R")), local = e, print.eval = TRUE)))[["elapsed"]]
  writeLines(sub(" +$", "", printed), file.path(here, paste0(name, ".txt")))
  found <- list(answers = answers[[name]](e), seconds = seconds, versions = c(R = as.character(getRversion()), versions(packages[[name]])))
  jsonlite::write_json(found, file.path(here, paste0(name, ".json")), auto_unbox = TRUE, digits = NA, pretty = TRUE)
}
file.copy(setdiff(list.files(pattern = "csv$"), "hours.csv"), here, overwrite = TRUE)
