library(dosresmeta)
data(alcohol_cvd)
linear <- dosresmeta(logrr ~ dose, id = id, type = type, cases = cases, n = n, se = se, data = alcohol_cvd)
quadratic <- update(linear, formula = logrr ~ dose + I(dose^2))
diagonal <- mixmeta(quadratic$bi, S = quadratic$Si, bscov = "diag")
table_of <- function(fit) cbind(estimate = coef(fit), se = sqrt(diag(vcov(fit))), tau = sqrt(diag(fit$Psi))) * 10^seq_along(coef(fit))
round(table_of(linear), 3)  # by 10 g a day
round(table_of(quadratic), 3)  # by 10 g, and by (10 g)^2
round(table_of(diagonal), 3)
share <- function(S) {  # the reference group's part of each variance
  r <- cov2cor(S)
  sapply(seq_along(r[1, ]), function(i) { o <- seq_along(r[1, ])[-i]; r[i, o[1]] * r[i, o[2]] / r[o[1], o[2]] })
}
rows <- subset(alcohol_cvd, dose > 0, c("author", "dose", "logrr", "se"))
rows$share <- unlist(lapply(linear$Slist, share))
rows[-1] <- signif(rows[-1], 4)
write.csv(rows, "alcohol.csv", row.names = FALSE, quote = FALSE)
