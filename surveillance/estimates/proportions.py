"""Proportions and their comparison: Wilson, Clopper-Pearson, Newcombe's hybrid score, Koopman's score.

Written out because the libraries' versions fail where this project lives, in sparse tables: statsmodels 0.15 solves a
wrong cubic for the score interval of a difference (its issue 10269) and divides by zero for a ratio with an empty cell.
"""

from __future__ import annotations

from math import exp, log, sqrt

from scipy.optimize import brentq
from scipy.stats import beta

from surveillance.estimates.estimate import LEVEL, Estimate, Z, not_estimable

EMPTY_STRATUM = "no infants"


def wilson(late: int, n: int) -> tuple[float, float]:
    """Wilson's score interval; (0, 1) for nobody."""
    if n == 0:
        return 0.0, 1.0
    p, half = late / n, Z * sqrt(late / n * (1 - late / n) / n + Z * Z / (4 * n * n))
    centre, scale = p + Z * Z / (2 * n), 1 + Z * Z / n
    # The score interval of none is from 0 and of all is to 1; rounding must not hide it.
    return (0.0 if late == 0 else (centre - half) / scale), (1.0 if late == n else (centre + half) / scale)


def clopper_pearson(late: int, n: int) -> tuple[float, float]:
    """The exact interval, for readers who ask for it."""
    tail = (1 - LEVEL) / 2
    low = 0.0 if late == 0 else float(beta.ppf(tail, late, n - late + 1))
    high = 1.0 if late == n else float(beta.ppf(1 - tail, late + 1, n - late))
    return low, high


def proportion(late: int, n: int, *, exact: bool = False) -> Estimate:
    """Late of all the matured, with Wilson's interval (or the exact one)."""
    if n == 0:
        return not_estimable("prop", "proportion", EMPTY_STRATUM)
    low, high = clopper_pearson(late, n) if exact else wilson(late, n)
    se = sqrt(late / n * (1 - late / n) / n)
    kind = "clopper-pearson" if exact else "wilson"
    return Estimate("prop", "proportion", late / n, low, high, kind, se)


def risk_difference(x: int, n_group: int, y: int, n_reference: int) -> Estimate:
    """Group minus reference (positive is adverse), Newcombe's hybrid score interval (his method 10)."""
    if n_group == 0 or n_reference == 0:
        return not_estimable("rd", "difference", EMPTY_STRATUM)
    p, q = x / n_group, y / n_reference
    (low_p, high_p), (low_q, high_q) = wilson(x, n_group), wilson(y, n_reference)
    low = p - q - sqrt((p - low_p) ** 2 + (high_q - q) ** 2)
    high = p - q + sqrt((high_p - p) ** 2 + (q - low_q) ** 2)
    se = sqrt(p * (1 - p) / n_group + q * (1 - q) / n_reference)
    return Estimate("rd", "difference", p - q, low, high, "newcombe", se)


def risk_ratio(x: int, n_group: int, y: int, n_reference: int, *, log_interval: bool = False) -> Estimate:
    """Group over reference, Koopman's score interval; no upper bound without anyone late in the reference.

    `log_interval` gives the normal interval on the log instead (Katz), which needs someone late in both.
    """
    if n_group == 0 or n_reference == 0:
        return not_estimable("rr", "ratio", EMPTY_STRATUM)
    if x == 0 and y == 0:
        return not_estimable("rr", "ratio", "nobody late in either group")
    ratio = (x / n_group) / (y / n_reference) if y else None
    log_se = sqrt(1 / x - 1 / n_group + 1 / y - 1 / n_reference) if x and y else None
    if log_interval:
        if ratio is None or log_se is None:
            return Estimate("rr", "ratio", ratio, reason="nobody late in one of the groups: no interval")
        bounds = ratio * exp(-Z * log_se), ratio * exp(Z * log_se)
        return Estimate("rr", "ratio", ratio, *bounds, "log normal", log_se)

    def excess(log_ratio: float) -> float:
        return _koopman(exp(log_ratio), x, n_group, y, n_reference) - Z * Z

    # The chi-squared falls to 0 at the estimate and rises from there; the estimate itself may be 0 or infinite.
    middle = 25.0 if not y else -25.0 if not x else log(ratio or 1.0)
    low = exp(brentq(excess, -25.0, middle, xtol=1e-12)) if x else 0.0
    high = exp(brentq(excess, middle, 25.0, xtol=1e-12)) if y else None
    reason = None if y else "nobody late in the reference: no ratio and no upper bound"
    return Estimate("rr", "ratio", ratio, low, high, "koopman", log_se, reason=reason)


def _koopman(ratio: float, x: int, n: int, y: int, m: int) -> float:
    """Koopman's chi-squared: both proportions at their constrained maximum likelihood under `ratio`."""
    a, b, c = (n + m) * ratio, -(n * ratio + x + m + y * ratio), x + y
    # The smaller root, in the form that doesn't cancel.
    q = min(2 * c / (-b + sqrt(max(b * b - 4 * a * c, 0.0))), 1.0, 1.0 / ratio)
    p = min(ratio * q, 1.0)
    return _squared_error(x, n, p) + _squared_error(y, m, q)


def _squared_error(x: int, n: int, p: float) -> float:
    variance = n * p * (1 - p)
    if variance <= 0:
        return 0.0 if abs(x - n * p) < 1e-6 * n else float("inf")
    return (x - n * p) ** 2 / variance
