library(brms)
fit <- brm(
  bf(effect | se(sqrt(variance), sigma = TRUE) ~ base + maximum * therapy_hours / (ed50 + therapy_hours),
     base ~ 1 + (1 | study), maximum ~ 1, ed50 ~ 1, nl = TRUE),
  data = read.csv("hours.csv"),
  prior = prior(normal(0, 1), nlpar = "base") + prior(normal(0, 1), nlpar = "maximum") +
    prior(lognormal(3, 1), nlpar = "ed50", lb = 0) +
    prior(normal(0, 0.5), class = "sd", nlpar = "base") + prior(normal(0, 0.5), class = "sigma"),
  chains = 4, iter = 5000, warmup = 1000, cores = 2, seed = 1, refresh = 0)
names <- c("b_base_Intercept", "b_maximum_Intercept", "b_ed50_Intercept", "sd_study__base_Intercept", "sigma")
round(t(sapply(as.data.frame(fit)[names], function(x) c(mean = mean(x), sd = sd(x)))), 2)
