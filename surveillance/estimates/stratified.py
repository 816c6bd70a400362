"""One odds ratio, risk ratio or difference over several two-by-two tables (sites): Mantel-Haenszel, conditional."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log, sqrt

from scipy.stats import chi2

from surveillance.estimates.estimate import Estimate, Z, not_estimable
from surveillance.estimates.odds import Conditional, of_distribution
from surveillance.estimates.odds import Table as Table

_NOTHING = "no stratum holds both groups, and both outcomes"


def _informative(tables: Sequence[Table]) -> list[Table]:
    """Tables with infants in both groups; others say nothing of a difference within the stratum."""
    return [table for table in tables if table[1] and table[3]]


def mantel_haenszel_odds_ratio(tables: Sequence[Table]) -> Estimate:
    """Mantel-Haenszel odds ratio with the Robins-Breslow-Greenland interval; p of the Mantel-Haenszel test.

    The p-value is without continuity correction (R's mantelhaen.test(correct = FALSE)).
    """
    method = "mantel-haenszel"
    r = s = pr = ps_qr = qs = 0.0
    excess = variance = 0.0
    for x, n, y, m in _informative(tables):
        total = n + m
        a, b, c, d = x, n - x, y, m - y
        p, q = (a + d) / total, (b + c) / total
        ri, si = a * d / total, b * c / total
        r, s = r + ri, s + si
        pr, ps_qr, qs = pr + p * ri, ps_qr + p * si + q * ri, qs + q * si
        late = x + y
        excess += x - n * late / total
        if total > 1:
            variance += n * m * late * (total - late) / (total**2 * (total - 1))
    p_value = float(chi2.sf(excess**2 / variance, 1)) if variance else None
    if r == 0 or s == 0:
        reason = _NOTHING if r == s else "no odds ratio is finite: an outcome is missing in a group"
        return Estimate("or", method, 0.0 if s else None, p_value=p_value, reason=reason)
    log_se = sqrt(pr / (2 * r * r) + ps_qr / (2 * r * s) + qs / (2 * s * s))
    ratio = r / s
    low, high = exp(log(ratio) - Z * log_se), exp(log(ratio) + Z * log_se)
    return Estimate("or", method, ratio, low, high, "robins-breslow-greenland", log_se, p_value)


def mantel_haenszel_risk_difference(tables: Sequence[Table]) -> Estimate:
    """Mantel-Haenszel risk difference with Sato's interval (Greenland and Robins 1985; Sato 1989).

    The interval is normal, and passes the ends of what a difference can be when groups are tiny: it is cut at -1 and 1.
    """
    method = "mantel-haenszel"
    weight = weighted = p_sum = q_sum = 0.0
    for x, n, y, m in _informative(tables):
        total = n + m
        weight += n * m / total
        weighted += (x * m - y * n) / total
        p_sum += (n * n * y - m * m * x + n * m * (m - n) / 2) / total**2
        q_sum += (x * (m - y) + y * (n - x)) / (2 * total)
    if weight == 0:
        return not_estimable("rd", method, "no stratum holds both groups")
    difference = weighted / weight
    variance = (difference * p_sum + q_sum) / weight**2
    se = sqrt(max(variance, 0.0))
    return Estimate("rd", method, difference, max(difference - Z * se, -1.0), min(difference + Z * se, 1.0), "sato", se)


def mantel_haenszel_risk_ratio(tables: Sequence[Table]) -> Estimate:
    """Mantel-Haenszel risk ratio with the interval of Greenland and Robins (1985), on the log."""
    method = "mantel-haenszel"
    up = down = spread = 0.0
    for x, n, y, m in _informative(tables):
        total = n + m
        up, down = up + x * m / total, down + y * n / total
        spread += (n * m * (x + y) - x * y * total) / total**2
    if up == 0 or down == 0:
        reason = "nobody late in either group" if up == down else "nobody late in one of the groups: no interval"
        return Estimate("rr", method, 0.0 if down else None, reason=reason)
    log_se = sqrt(spread / (up * down))
    ratio = up / down
    low, high = exp(log(ratio) - Z * log_se), exp(log(ratio) + Z * log_se)
    return Estimate("rr", method, ratio, low, high, "greenland-robins", log_se)


def conditional_odds_ratio(tables: Sequence[Table], *, mid_p: bool = False) -> Estimate:
    """Over all tables, given the margins of each: maximum likelihood and exact interval (R's mantelhaen.test with
    `exact = TRUE`), or median-unbiased and mid-P. The detector uses the same likelihood."""
    method = f"{'mid-p median unbiased' if mid_p else 'conditional maximum likelihood'}, stratified"
    joint = Conditional(*_informative(tables))
    if len(joint.k) == 1:
        return not_estimable("or", method, _NOTHING)
    return of_distribution(joint, method, mid_p=mid_p)
