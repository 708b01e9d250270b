hours <- read.csv("hours.csv")
res <- rma.mv(effect, variance, mods = ~ log2(1 + therapy_hours / 20), random = ~ 1 | study / group_id, data = hours)
round(cbind(estimate = coef(res), se = res$se), 3)
round(sqrt(res$sigma2), 3)
