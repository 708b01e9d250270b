dat <- dat.berkey1998
V <- vcalc(vi = 1, cluster = trial, rvars = c(v1i, v2i), data = dat)
res <- rma.mv(yi, V, mods = ~ outcome - 1, random = ~ outcome | trial, struct = "UN", data = dat)
round(cbind(estimate = coef(res), se = res$se, tau = sqrt(res$tau2)), 2)
round(res$rho, 2)
odd <- seq(1, 9, 2)
dat$r <- rep(round(cov2cor(V)[cbind(odd, odd + 1)], 3), each = 2)
write.csv(dat[c("trial", "outcome", "yi", "vi", "r")], "berkey.csv", row.names = FALSE, quote = FALSE)
