# Makes the expected values of tests/surveillance/test_against_r.py: Rscript oracles.R > /dev/null
# R >= 4.2 with survival, cmprsk, MASS and boot. Writes *.json beside itself; the tests need no R.
# Where R has no function (survRM2, logistf and coxphf are no Debian packages) the published formula is coded here, on
# purpose in another way than in surveillance/estimates: penalised likelihoods are maximised as they stand, intervals
# found by uniroot on the definition.
suppressMessages({library(survival); library(cmprsk); library(MASS)})
nodal <- boot::nodal
set.seed(20261123)
here <- dirname(sub("--file=", "", grep("--file=", commandArgs(FALSE), value = TRUE)))
Z <- qnorm(.975)

# JSON ------------------------------------------------------------------------------------------------------------
num <- function(x) ifelse(is.na(x), "null", ifelse(is.infinite(x), ifelse(x > 0, "\"inf\"", "\"-inf\""),
                                                 trimws(format(x, digits = 15, scientific = NA, trim = TRUE))))
json <- function(x) {
  if (is.null(x)) return("null")
  if (is.list(x)) {
    inner <- vapply(x, json, "")
    if (is.null(names(x))) return(paste0("[", paste(inner, collapse = ","), "]"))
    return(paste0("{", paste0("\"", names(x), "\":", inner, collapse = ","), "}"))
  }
  if (is.character(x)) { out <- paste0("\"", x, "\"") } else { out <- vapply(as.numeric(x), num, "") }
  if (length(x) == 1 && is.null(attr(x, "many"))) out else paste0("[", paste(out, collapse = ","), "]")
}
many <- function(x) { x <- as.vector(x); attr(x, "many") <- TRUE; x }
save_as <- function(name, x) {
  lines <- vapply(x, json, "")
  writeLines(c("[", paste0(lines, c(rep(",", length(lines) - 1), "")), "]"), file.path(here, name))
}

# Kaplan-Meier and restricted mean ----------------------------------------------------------------------------------
rmst <- function(fit, tau) {  # Uno et al. 2014, as survRM2's rmst1
  inside <- fit$time <= tau
  times <- sort(c(fit$time[inside], tau))
  area <- diff(c(0, times)) * c(1, fit$surv[inside])
  n <- fit$n.risk[inside]; d <- fit$n.event[inside]
  v <- c(ifelse(n - d == 0, 0, d / (n * (n - d))), 0)
  c(sum(area), sqrt(sum(cumsum(rev(area[-1]))^2 * rev(v)[-1])))
}
km <- function(name, time, status, entry = NULL) {
  if (is.null(entry)) s <- Surv(time, status) else s <- Surv(entry, time, status)
  fit <- survfit(s ~ 1, conf.type = "log-log")
  loglog <- summary(fit)$table[c("median", "0.95LCL", "0.95UCL")]
  plain <- summary(survfit(s ~ 1))$table[c("median", "0.95LCL", "0.95UCL")]
  days <- unique(c(7, 14, 28, quantile(time, c(.1, .25, .5, .75, .9), type = 1)))
  days <- days[days <= max(time)]
  at <- summary(fit, times = days)
  out <- list(name = name, time = many(time), status = many(status), entry = if (is.null(entry)) NULL else many(entry),
              median = many(loglog), median_log = many(plain), days = many(at$time), survival = many(at$surv), se = many(at$std.err),
              low = many(at$lower), high = many(at$upper))
  if (is.null(entry)) {
    taus <- unique(c(28, quantile(time, c(.3, .6, .9), type = 1), max(time)))
    taus <- taus[taus <= max(time) & taus > 0]
    both <- vapply(taus, function(tau) rmst(fit, tau), c(0, 0))
    out <- c(out, list(taus = many(taus), rmst = many(both[1, ]), rmst_se = many(both[2, ])))
  }
  out
}
random_waits <- function(n, shape, scale, censor) {
  wait <- floor(rweibull(n, shape, scale)); end <- floor(runif(n, 0, censor))
  list(time = pmin(wait, end), status = as.numeric(wait <= end))
}
kms <- list(
  km("lung", lung$time, lung$status - 1), km("lung sex 1", lung$time[lung$sex == 1], lung$status[lung$sex == 1] - 1),
  km("veteran", veteran$time, veteran$status), km("ovarian", ovarian$futime, ovarian$fustat),
  km("colon death", colon$time[colon$etype == 2], colon$status[colon$etype == 2]),
  km("pbc", pbc$time, as.numeric(pbc$status == 2)), km("kidney", kidney$time, kidney$status),
  km("bladder", bladder1$stop[bladder1$enum == 1], as.numeric(bladder1$status[bladder1$enum == 1] == 1)),
  km("aml maintained", aml$time[aml$x == "Maintained"], aml$status[aml$x == "Maintained"]),
  km("aml nonmaintained", aml$time[aml$x != "Maintained"], aml$status[aml$x != "Maintained"]),
  km("heart", heart$stop, heart$event, heart$start),
  km("all on day 0", rep(0, 6), rep(1, 6)), km("all censored", c(3, 9, 12, 30), rep(0, 4)),
  km("one", 5, 1), km("even without censoring", c(1, 2, 5, 9), rep(1, 4)), km("half, then censored", c(1, 2, 5, 9), c(1, 1, 0, 0)),
  km("all tied", rep(5, 8), rep(c(1, 0), 4)))
for (i in 1:25) {
  n <- sample(c(3, 5, 8, 12, 20, 40, 100), 1)
  w <- random_waits(n, runif(1, .5, 2), runif(1, 2, 30), sample(c(5, 15, 40, 200), 1))
  kms <- c(kms, list(km(paste("random", i), w$time, w$status)))
  late <- pmax(0, w$time - sample(1:10, n, TRUE)) * rbinom(n, 1, .5) - 1 * (w$time == 0)
  if (any(w$status == 1)) kms <- c(kms, list(km(paste("random, late entry", i), w$time, w$status, late)))
}
save_as("kaplan_meier.json", kms)

# Competing events --------------------------------------------------------------------------------------------------
competing <- function(name, time, kind) {
  fit <- cuminc(time, kind, cencode = 0)
  days <- unique(c(7, 28, quantile(time, c(.2, .5, .8), type = 1)))
  days <- days[days <= max(time)]
  at <- timepoints(fit, days)
  one <- function(k) {
    row <- grep(paste0(" ", k, "$"), rownames(at$est))
    if (length(row)) list(kind = k, est = many(at$est[row, ]), var = many(at$var[row, ])) else NULL
  }
  kinds <- Filter(Negate(is.null), lapply(sort(unique(kind[kind > 0])), one))
  list(name = name, time = many(time), kind = many(kind), days = many(sort(days)), kinds = kinds)
}
pcm <- with(mgus2, ifelse(pstat == 1, 1, ifelse(death == 1, 2, 0)))
ptime <- with(mgus2, ifelse(pstat == 1, ptime, futime))
aj <- list(competing("mgus2 female", ptime[mgus2$sex == "F"], pcm[mgus2$sex == "F"]),
           competing("mgus2 male", ptime[mgus2$sex == "M"], pcm[mgus2$sex == "M"]),
           competing("pbc", pbc$time, c(0, 2, 1)[pbc$status + 1]))
for (i in 1:15) {
  n <- sample(c(5, 10, 30, 120), 1)
  w <- random_waits(n, runif(1, .5, 2), runif(1, 3, 25), sample(c(10, 40, 200), 1))
  kind <- w$status * sample(1:3, n, TRUE, c(.6, .3, .1))
  if (any(kind > 0)) aj <- c(aj, list(competing(paste("random", i), w$time, kind)))
}
save_as("aalen_johansen.json", aj)

# Two-by-two tables: x of n in the group, y of m in the reference -----------------------------------------------------
noncentral <- function(x, n, y, m) {
  support <- max(0, x + y - m):min(n, x + y)
  base <- dhyper(support, n, m, x + y, log = TRUE)
  list(support = support, d = function(b) { w <- base + support * b; w <- exp(w - max(w)); w / sum(w) })
}
root <- function(f) exp(uniroot(f, c(-50, 50), tol = 1e-13)$root)
exact_or <- function(x, n, y, m) {
  nc <- noncentral(x, n, y, m); s <- nc$support; bottom <- x == min(s); top <- x == max(s)
  if (length(s) == 1) return(NULL)
  above <- function(b, share) { p <- nc$d(b); sum(p[s > x]) + share * p[s == x] }
  list(mle = if (bottom) 0 else if (top) Inf else root(function(b) sum(s * nc$d(b)) - x),
       exact = many(c(if (bottom) 0 else root(function(b) above(b, 1) - .025),
                      if (top) Inf else root(function(b) above(b, 0) - .975))),
       mid = many(c(if (bottom) 0 else root(function(b) above(b, .5) - .025),
                    if (top) Inf else root(function(b) above(b, .5) - .975))),
       median = if (bottom) 0 else if (top) Inf else root(function(b) above(b, .5) - .5),
       fisher = fisher.test(matrix(c(x, y, n - x, m - y), 2))$p.value)
}
koopman <- function(x, n, y, m) {  # Koopman 1984: score under the ratio, both proportions at their constrained maximum
  if (x + y == 0) return(c(NA, NA))
  score <- function(r) {
    loglik <- function(q) { p <- r * q; (if (x > 0) x * log(p) else 0) + (if (x < n) (n - x) * log1p(-p) else 0) +
                                        (if (y > 0) y * log(q) else 0) + (if (y < m) (m - y) * log1p(-q) else 0) }
    q <- optimize(loglik, c(1e-12, min(1, 1 / r) - 1e-12), maximum = TRUE, tol = 1e-14)$maximum
    p <- r * q
    (x - n * p)^2 / (n * p * (1 - p)) + (y - m * q)^2 / (m * q * (1 - q)) - qchisq(.95, 1)
  }
  middle <- (x / n) / (y / m)
  c(if (x == 0) 0 else uniroot(score, c(1e-8, if (y == 0) 1e6 else middle), tol = 1e-12)$root,
    if (y == 0) Inf else uniroot(score, c(max(middle, 1e-8), 1e8), tol = 1e-12)$root)
}
wilson <- function(x, n) as.numeric(prop.test(x, n, correct = FALSE)$conf.int)
two_by_two <- function(x, n, y, m) {
  p <- x / n; q <- y / m; wp <- suppressWarnings(wilson(x, n)); wq <- suppressWarnings(wilson(y, m))
  se <- sqrt(1 / x - 1 / n + 1 / y - 1 / m)
  list(table = many(c(x, n, y, m)), wilson = many(wp), clopper = many(as.numeric(binom.test(x, n)$conf.int)),
       newcombe = many(c(p - q, p - q - sqrt((p - wp[1])^2 + (wq[2] - q)^2), p - q + sqrt((wp[2] - p)^2 + (q - wq[1])^2))),
       rr_log = if (x > 0 && y > 0) many(c(p / q, exp(log(p / q) - Z * se), exp(log(p / q) + Z * se))) else NULL,
       koopman = if (all(c(x, y, n - x, m - y) > 0)) many(koopman(x, n, y, m)) else NULL,
       odds = exact_or(x, n, y, m),
       chi2 = suppressWarnings(chisq.test(matrix(c(x, y, n - x, m - y), 2), correct = FALSE)$p.value))
}
tables <- list(c(12, 19, 2, 11), c(36, 82, 8, 34), c(27, 49, 17, 69), c(36, 40, 16, 80), c(0, 6, 5, 8), c(4, 4, 3, 9),
               c(0, 5, 0, 7), c(5, 5, 7, 7), c(1, 1, 0, 1), c(31, 54, 35, 35), c(17, 24, 18, 62), c(150, 400, 320, 1200))
for (i in 1:40) { n <- sample(1:60, 1); m <- sample(1:120, 1); tables <- c(tables, list(c(rbinom(1, n, runif(1)), n, rbinom(1, m, runif(1)), m))) }
save_as("two_by_two.json", lapply(tables, function(t) two_by_two(t[1], t[2], t[3], t[4])))

# Several tables ----------------------------------------------------------------------------------------------------
pooled <- function(name, parts) {  # parts: rows x, n, y, m
  parts <- matrix(parts, ncol = 4, byrow = TRUE)
  a <- parts[, 1]; b <- parts[, 2] - a; c <- parts[, 3]; d <- parts[, 4] - c
  n1 <- a + b; n0 <- c + d; N <- n1 + n0
  cube <- array(rbind(a, c, b, d), c(2, 2, nrow(parts)))
  asymptotic <- mantelhaen.test(cube, correct = FALSE)
  exact <- mantelhaen.test(cube, exact = TRUE)
  # Sato 1989 for the difference; Greenland and Robins 1985 for it and for the ratio (Rothman, Modern Epidemiology 3, ch. 15).
  w <- n1 * n0 / N; rd <- sum(w * (a / n1 - c / n0)) / sum(w)
  sato <- (rd * sum((n1^2 * c - n0^2 * a + n1 * n0 * (n0 - n1) / 2) / N^2) + sum((a * d + b * c) / (2 * N))) / sum(w)^2
  gr <- sum((a * b * n0^3 + c * d * n1^3) / (n1 * n0 * N^2)) / sum(w)^2
  up <- sum(a * n0 / N); down <- sum(c * n1 / N)
  rr_var <- sum((n1 * n0 * (a + c) - a * c * N) / N^2) / (up * down)
  list(name = name, tables = lapply(seq_len(nrow(parts)), function(i) many(parts[i, ])),
       or = many(c(asymptotic$estimate, asymptotic$conf.int)), p = asymptotic$p.value,
       exact = many(c(exact$estimate, exact$conf.int)), exact_p = exact$p.value,
       rd = many(c(rd, sqrt(sato), sqrt(gr))), rr = many(c(up / down, sqrt(rr_var))))
}
ucb <- as.vector(vapply(1:6, function(k) { t <- UCBAdmissions[, , k]; c(t[1, 1], sum(t[, 1]), t[1, 2], sum(t[, 2])) }, numeric(4)))
inf <- as.vector(vapply(levels(infert$education), function(e) { s <- infert[infert$education == e, ]; g <- s$induced > 0
  c(sum(s$case[g]), sum(g), sum(s$case[!g]), sum(!g)) }, numeric(4)))
bw <- as.vector(vapply(1:3, function(r) { s <- birthwt[birthwt$race == r, ]; g <- s$smoke == 1
  c(sum(s$low[g]), sum(g), sum(s$low[!g]), sum(!g)) }, numeric(4)))
blocks <- c(2,3,3,8, 1,2,2,6, 3,4,2,9, 0,1,4,7, 2,2,1,5, 4,5,3,10, 3,4,2,8, 2,3,1,9)
mhs <- list(pooled("UCBAdmissions", ucb), pooled("infert by education", inf), pooled("birthwt by race", bw), pooled("worked blocks", blocks))
while (length(mhs) < 24) {
  k <- sample(2:8, 1); n <- sample(1:25, k, TRUE); m <- sample(1:50, k, TRUE)
  x <- rbinom(k, n, runif(1, .1, .7)); y <- rbinom(k, m, runif(1, .1, .7))
  found <- try(pooled(paste("random", length(mhs)), as.vector(rbind(x, n, y, m))), silent = TRUE)
  if (!inherits(found, "try-error") && all(is.finite(found$or))) mhs <- c(mhs, list(found))
}
save_as("mantel_haenszel.json", mhs)

# Cox, and Cox with Firth's penalty -----------------------------------------------------------------------------------
firth_cox <- function(s, x, strata, ties) {  # maximises coxph's own likelihood plus half the log determinant of its information
  loglik <- function(b) {
    fit <- suppressWarnings(coxph(s ~ x + strata(strata), init = b, ties = ties, control = coxph.control(iter.max = 0)))
    fit$loglik[length(fit$loglik)] - .5 * as.numeric(determinant(fit$var)$modulus)
  }
  p <- ncol(x); spread <- apply(x, 2, sd); scaled <- function(u) loglik(u / spread)
  best <- optim(rep(0, p), function(u) -scaled(u), method = "BFGS", control = list(reltol = 1e-15, maxit = 500))
  best <- optim(best$par, function(u) -scaled(u), method = "BFGS", control = list(reltol = 1e-16, maxit = 500))
  top <- -best$value
  profile <- function(b1) {
    if (p == 1) return(loglik(b1))
    inner <- function(u) -loglik(c(b1, u / spread[-1]))
    if (p == 2) return(-optimize(inner, best$par[2] + c(-4, 4), tol = 1e-10)$objective)
    first <- optim(best$par[-1], inner, method = "BFGS", control = list(reltol = 1e-14))
    -optim(first$par, inner, method = "BFGS", control = list(reltol = 1e-15))$value
  }
  b1 <- best$par[1] / spread[1]; drop <- function(b) top - profile(b) - qchisq(.95, 1) / 2
  step <- 1; while (drop(b1 - step) < 0) step <- step * 2; low <- uniroot(drop, c(b1 - step, b1), tol = 1e-9)$root
  step <- 1; while (drop(b1 + step) < 0) step <- step * 2; high <- uniroot(drop, c(b1, b1 + step), tol = 1e-9)$root
  list(coef = many(best$par / spread), ci = many(c(low, high)), p = pchisq(2 * (top - profile(0)), 1, lower.tail = FALSE))
}
cox <- function(name, time, status, x, strata = rep(1, length(time)), entry = NULL, firth = TRUE, plain = TRUE) {
  x <- as.matrix(x)
  s <- if (is.null(entry)) Surv(time, status) else Surv(entry, time, status)
  one <- function(ties) { fit <- coxph(s ~ x + strata(strata), ties = ties)
    list(coef = many(fit$coefficients), se = many(sqrt(diag(fit$var))), loglik = fit$loglik[2]) }
  c(list(name = name, time = many(time), status = many(status), x = lapply(seq_len(ncol(x)), function(j) many(x[, j])),
         strata = many(strata), entry = if (is.null(entry)) NULL else many(entry)),
    if (plain) list(efron = one("efron"), breslow = one("breslow")) else NULL,
    if (firth) list(firth_efron = firth_cox(s, x, strata, "efron"), firth_breslow = firth_cox(s, x, strata, "breslow")) else NULL)
}
l <- na.omit(lung[, c("time", "status", "age", "sex", "ph.ecog")])
v <- veteran; p <- na.omit(pbc[, c("time", "status", "trt", "age", "bili", "edema", "sex")])
ki <- kidney; co <- na.omit(colon[colon$etype == 2, c("time", "status", "rx", "age", "nodes", "sex")])
coxes <- list(
  cox("lung sex", l$time, l$status - 1, cbind(l$sex - 1)), cox("lung", l$time, l$status - 1, cbind(l$sex - 1, l$age, l$ph.ecog)),
  cox("veteran by cell type", v$time, v$status, cbind(v$trt - 1, v$karno), as.numeric(v$celltype)),
  cox("ovarian", ovarian$futime, ovarian$fustat, cbind(ovarian$rx - 1, ovarian$age)),
  cox("kidney by disease", ki$time, ki$status, cbind(ki$sex - 1, ki$age), as.numeric(ki$disease)),
  cox("pbc by sex", p$time, as.numeric(p$status == 2), cbind(p$trt - 1, p$age, log(p$bili)), as.numeric(p$sex), firth = FALSE),
  cox("colon", co$time, co$status, cbind(as.numeric(co$rx == "Lev+5FU"), co$age, co$nodes), co$sex, firth = FALSE),
  cox("aml", aml$time, aml$status, cbind(as.numeric(aml$x == "Maintained"))),
  cox("heart, late entry", heart$stop, heart$event, cbind(as.numeric(heart$transplant) - 1, heart$age, heart$surgery), entry = heart$start),
  cox("separated", c(3, 5, 8, 13, 21, 4, 6, 9, 12, 30), rep(c(0, 1), each = 5), cbind(rep(c(1, 0), each = 5)), plain = FALSE),
  cox("separated, tied, by site", c(3, 5, 5, 13, 21, 4, 6, 6, 6, 12, 12, 30), c(0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 0, 1),
      cbind(rep(c(1, 0), c(5, 7)), c(1, 4, 2, 6, 3, 2, 7, 4, 5, 3, 6, 1)), c(1, 1, 2, 2, 1, 1, 1, 2, 2, 1, 2, 2), plain = FALSE))
for (i in 1:10) {
  n <- sample(c(20, 40, 80), 1); g <- rbinom(n, 1, .4); site <- sample(1:3, n, TRUE); age <- round(rnorm(n, 7, 3), 1)
  w <- random_waits(n, 1, 15 * exp(.5 * g + .2 * site), sample(c(20, 90), 1)); late <- rbinom(n, 1, .3) * sample(0:5, n, TRUE) - 1
  late[late >= w$time] <- -1
  found <- try(cox(paste("random", i), w$time + 0, w$status, cbind(g, age), site, if (i %% 2) NULL else late), silent = TRUE)
  if (!inherits(found, "try-error")) coxes <- c(coxes, list(found))
}
save_as("cox.json", coxes)

# Firth's logistic regression and the standardised difference ---------------------------------------------------------
firth_logistic <- function(y, x) {
  x1 <- cbind(x, 1); spread <- c(apply(x, 2, sd), 1)
  loglik <- function(b) { eta <- as.numeric(x1 %*% b); p <- plogis(eta)
    sum(y * plogis(eta, log.p = TRUE) + (1 - y) * plogis(-eta, log.p = TRUE)) + .5 * as.numeric(determinant(crossprod(x1 * sqrt(p * (1 - p))))$modulus) }
  x1[, seq_len(ncol(x))] <- sweep(x1[, seq_len(ncol(x)), drop = FALSE], 2, c(0, colMeans(x)[-1]))  # changes the intercept only
  maximise <- function(f, start) { for (i in 1:4) start <- optim(start, function(u) -f(u), method = "BFGS", control = list(reltol = 1e-16, maxit = 1000))$par; start }
  best <- maximise(function(u) loglik(u / spread), rep(0, ncol(x1))); top <- loglik(best / spread); b1 <- best[1] / spread[1]
  profile <- function(b) { f <- function(u) loglik(c(b, u / spread[-1])); f(maximise(f, best[-1])) }
  drop <- function(b) top - profile(b) - qchisq(.95, 1) / 2
  low <- uniroot(drop, c(b1 - 8, b1), tol = 1e-8, extendInt = "downX")$root; high <- uniroot(drop, c(b1, b1 + 8), tol = 1e-8, extendInt = "upX")$root
  list(coef = b1, ci = many(c(low, high)), p = pchisq(2 * (top - profile(0)), 1, lower.tail = FALSE))
}
standardised <- function(y, g, z) {  # stacked estimating equations, derivatives by hand nowhere: numeric Jacobian
  data <- cbind(1, g, z); k <- ncol(data)
  equations <- function(theta) { b <- theta[1:k]; p <- plogis(as.numeric(data %*% b))
    p1 <- plogis(as.numeric(cbind(1, 1, z) %*% b)); p0 <- plogis(as.numeric(cbind(1, 0, z) %*% b))
    cbind(data * (y - p), p1 - theta[k + 1], p0 - theta[k + 2]) }
  fit <- glm(y ~ g + z, family = binomial, control = glm.control(epsilon = 1e-14, maxit = 100)); b <- coef(fit)
  theta <- c(b, mean(plogis(as.numeric(cbind(1, 1, z) %*% b))), mean(plogis(as.numeric(cbind(1, 0, z) %*% b))))
  h <- 1e-6; bread <- vapply(seq_along(theta), function(j) { e <- replace(numeric(length(theta)), j, h * max(1, abs(theta[j])))
    (colMeans(equations(theta + e)) - colMeans(equations(theta - e))) / (2 * e[j]) }, numeric(length(theta)))
  m <- equations(theta); meat <- crossprod(m) / length(y); v <- solve(bread, t(solve(bread, meat))) / length(y)
  contrast <- c(rep(0, k), 1, -1)
  list(rd = theta[k + 1] - theta[k + 2], se = sqrt(as.numeric(contrast %*% v %*% contrast)))
}
logistic <- function(name, y, x, standardise = TRUE) { x <- as.matrix(x); dimnames(x) <- NULL
  c(list(name = name, y = many(y), x = lapply(seq_len(ncol(x)), function(j) many(x[, j])), firth = firth_logistic(y, x)),
    if (standardise && ncol(x) > 1) list(standardised = standardised(y, x[, 1], x[, -1, drop = FALSE])) else NULL) }
logistics <- list(
  logistic("infert", infert$case, cbind(infert$induced > 0, infert$spontaneous, infert$age)),
  logistic("birthwt", birthwt$low, cbind(birthwt$smoke, birthwt$age, birthwt$race == 2, birthwt$race == 3)),
  logistic("nodal", as.numeric(as.character(nodal$r)), cbind(as.numeric(as.character(nodal$xray)), as.numeric(as.character(nodal$grade)), as.numeric(as.character(nodal$stage)))),
  logistic("separated", c(1, 1, 1, 1, 0, 0, 1, 0, 0, 1), cbind(rep(c(1, 0), c(4, 6)), c(2, 4, 3, 7, 1, 5, 6, 2, 4, 3)), FALSE))
for (i in 1:8) { n <- sample(c(15, 30, 80, 200), 1); g <- rbinom(n, 1, .3); z <- cbind(round(rnorm(n, 5, 2), 1), rbinom(n, 1, .4))
  y <- rbinom(n, 1, plogis(-1 + g + .1 * z[, 1])); if (length(unique(y)) == 2 && length(unique(g)) == 2 && sd(z[, 2]) > 0) {
    found <- try(logistic(paste("random", i), y, cbind(g, z), n > 20), silent = TRUE)
    if (!inherits(found, "try-error")) logistics <- c(logistics, list(found)) } }
save_as("logistic.json", logistics)

# Shrinkage: beta-binomial, mean uniform, log strength normal(log 20, 1) ----------------------------------------------
shrink <- function(x, n) {
  weight <- function(m, M) exp(outer(m, M, function(m, M) rowSums(vapply(seq_along(x), function(i) lbeta(m * M + x[i], (1 - m) * M + n[i] - x[i]) - lbeta(m * M, (1 - m) * M), numeric(length(m)))) ))
  m <- (seq_len(2000) - .5) / 2000; u <- seq(-5, 5, length.out = 201); M <- exp(log(20) + u)
  logw <- vapply(seq_along(M), function(j) { a <- m * M[j]; b <- (1 - m) * M[j]
    rowSums(vapply(seq_along(x), function(i) lbeta(a + x[i], b + n[i] - x[i]) - lbeta(a, b), numeric(2000))) + dnorm(u[j], log = TRUE) }, numeric(2000))
  w <- exp(logw - max(logw)); w <- w / sum(w)
  vapply(seq_along(x), function(i) { a <- outer(m, M); b <- outer(1 - m, M)
    mean_i <- sum(w * (a + x[i]) / (outer(rep(1, 2000), M) + n[i])); keep <- w > 1e-9
    cdf <- function(q) sum(w[keep] * pbeta(q, a[keep] + x[i], b[keep] + n[i] - x[i]))
    c(mean_i, uniroot(function(q) cdf(q) - .025, c(0, 1), tol = 1e-8)$root, uniroot(function(q) cdf(q) - .975, c(0, 1), tol = 1e-8)$root) }, numeric(3))
}
shrinks <- lapply(list(list(c(3, 5, 9, 2, 14), c(8, 20, 30, 4, 60)), list(c(0, 1), c(3, 5)), list(c(300, 420, 80), c(800, 1000, 260)), list(c(5, 0, 12), c(5, 7, 40))),
                  function(t) { s <- shrink(t[[1]], t[[2]]); list(late = many(t[[1]]), n = many(t[[2]]), value = many(s[1, ]), low = many(s[2, ]), high = many(s[3, ])) })
save_as("shrinkage.json", shrinks)

# Inequality over groups: WHO's handbook of health inequality monitoring, and HD*Calc's slope (weighted least squares) --
indices <- function(p, y, se) {
  mu <- sum(p * y); r <- pmax(y, 1e-6) / mu; J <- length(y); ridit <- cumsum(p) - p / 2
  ols <- lm(y ~ ridit, weights = p); logit <- suppressWarnings(glm(y ~ ridit, weights = p, family = binomial))
  ends <- data.frame(ridit = c(0, 1)); line <- predict(ols, ends); curve <- predict(logit, ends, type = "response")
  s2 <- sum(p^2 * se^2); s4 <- sum(p^4 * se^4)
  list(bgv = sum(p * (y - mu)^2), bgsd = sqrt(sum(p * (y - mu)^2)), cov = 100 * sqrt(sum(p * (y - mu)^2)) / mu,
       idisu = 100 / J * sum(abs(y - mu)) / mu, idisw = 100 * sum(p * abs(y - mu)) / mu,
       theil = 1000 * sum(p * r * log(r)), mld = -1000 * sum(p * log(r)),
       mdmu = mean(abs(y - mu)), mdmw = sum(p * abs(y - mu)), mdbu = mean(abs(y - min(y))), mdbw = sum(p * abs(y - min(y))),
       mdru = mean(abs(y - y[1])), mdrw = sum(p * abs(y - y[1])), par = min(y) - mu, paf = 100 * (min(y) - mu) / mu,
       aci = sum(p * (2 * ridit - 1) * y), rci = 2 / mu * sum(p * y * ridit) - 1,
       sii_linear = line[[2]] - line[[1]], rii_linear = line[[2]] / line[[1]], sii_logit = curve[[2]] - curve[[1]], rii_logit = curve[[2]] / curve[[1]],
       bgv_se = sqrt(4 * sum(p^2 * se^2 * (y - mu)^2) + 2 * (s2^2 - s4 + sum(p^2 * (1 - p)^2 * se^4))),
       theil_se = 1000 * sqrt(sum(p^2 * se^2 / mu^2 * (1 + log(r) - sum(p * r * (1 + log(r))))^2)),
       mld_se = 1000 * sqrt(sum(p^2 * se^2 / mu^2 * (1 - 1 / r)^2)), null_bgv = (J - 1) * mu * (1 - mu) / NA)
}
inequalities <- lapply(list(list(c(8, 5, 20, 11, 30), c(20, 25, 40, 15, 60)), list(c(3, 14, 9), c(10, 50, 22)), list(c(40, 55, 61, 80, 99), c(210, 190, 205, 200, 195)),
                            list(c(0, 4, 6), c(9, 10, 30))),
  function(t) { x <- t[[1]]; n <- t[[2]]; y <- x / n; mu <- sum(x) / sum(n)
    found <- indices(n / sum(n), y, sqrt(y * (1 - y) / n)); found$null_bgv <- (length(n) - 1) * mu * (1 - mu) / sum(n)
    c(list(late = many(x), n = many(n)), found) })
save_as("inequality.json", inequalities)

# A covariate whose coefficient is infinite: nobody with it, or everybody, was late, or had the event (first) ------------
# glm and coxph warn, stop far out, and have the group's coefficient right.
nuisance <- lapply(1:6, function(i) {
  set.seed(100 + i)
  n <- 70; g <- rep(c(1, 0, 0), length.out = n); rare <- rep(c(0, 0, 0, 0, 0, 0, 1, 0, 0, 0), length.out = n); age <- round(rnorm(n, 7, 3), 1)
  site <- rep(1:2, each = n / 2); late <- rbinom(n, 1, plogis(-.5 + .9 * g)); late[rare == 1] <- i %% 2
  w <- random_waits(n, 1, 12 * exp(.5 * g), 40); time <- w$time + 1; status <- w$status
  if (i %% 2) status[rare == 1] <- 0 else { status[rare == 1] <- 1; time[rare == 1] <- 1; status[rare == 0 & time == 1] <- 0 }
  x <- cbind(g, age, rare); logit <- suppressWarnings(glm(late ~ x, family = binomial, control = glm.control(epsilon = 1e-14, maxit = 60)))
  at <- function(group) plogis(as.numeric(cbind(1, group, age, rare) %*% coef(logit)))
  fit <- suppressWarnings(coxph(Surv(time, status) ~ g + rare + strata(site), control = coxph.control(eps = 1e-12, iter.max = 60)))
  list(name = paste("covariate", i), late = many(late), time = many(time), status = many(status), strata = many(site),
       x = lapply(1:3, function(j) many(x[, j])), rd = mean(at(1) - at(0)), hr = exp(coef(fit)[[1]]), se = sqrt(fit$var[1, 1]))
})
save_as("separated_covariate.json", nuisance)
