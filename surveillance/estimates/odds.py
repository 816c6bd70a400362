"""The odds ratio of a two-by-two table, conditional on its margins: maximum likelihood, exact and mid-P intervals."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import brentq
from scipy.special import gammaln
from scipy.stats import chi2

from surveillance.estimates.estimate import LEVEL, Estimate, not_estimable
from surveillance.estimates.proportions import EMPTY_STRATUM

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

# Log odds ratios beyond these are as good as 0 and infinity for any table of infants.
_FAR = 60.0


#: x late of n_group, y late of n_reference.
Table = tuple[int, int, int, int]


class Conditional:
    """Fisher's noncentral hypergeometric distribution of the late in the group, given the margins.

    Of several tables (sites, blocks): of their late in the group together, under one odds ratio.
    """

    def __init__(self, *tables: Table) -> None:
        self.x = sum(x for x, _, _, _ in tables)
        low, log_weight = 0, np.zeros(1)
        for x, n_group, y, n_reference in tables:
            late = x + y
            k = np.arange(max(0, late - n_reference), min(n_group, late) + 1)
            weights = -(
                gammaln(k + 1) + gammaln(n_group - k + 1) + gammaln(late - k + 1) + gammaln(n_reference - late + k + 1)
            )
            low, log_weight = low + int(k[0]), _convolved(log_weight, weights)
        self.k = np.arange(low, low + len(log_weight))
        self._log_weight = log_weight

    def pmf(self, log_ratio: float) -> Floats:
        log_weight = self._log_weight + self.k * log_ratio
        # scipy's logsumexp costs ten times this much on arrays of some tens, and root finding asks 40,000 times a run.
        weight = np.exp(log_weight - log_weight.max())
        probabilities: Floats = weight / weight.sum()
        return probabilities

    def mean(self, log_ratio: float) -> float:
        return float(self.k @ self.pmf(log_ratio))

    def at_least(self, log_ratio: float, *, share_of_x: float = 1.0) -> float:
        """P(X > x) plus `share_of_x` of P(X = x): 1 for the exact tail, 0.5 for mid-P."""
        pmf = self.pmf(log_ratio)
        return float(pmf[self.k > self.x].sum() + share_of_x * pmf[self.k == self.x].sum())

    @property
    def at_bottom(self) -> bool:
        return self.x == int(self.k[0])

    @property
    def at_top(self) -> bool:
        return self.x == int(self.k[-1])


def _convolved(a: Floats, b: Floats) -> Floats:
    """Log weights of a sum; by the log, since the weights of thousands of infants overflow, and an FFT loses tails."""
    if len(a) == 1:
        return b + float(a[0])
    if len(b) > len(a):
        a, b = b, a
    total: Floats = np.full(len(a) + len(b) - 1, -np.inf)
    for shift, log_weight in enumerate(b):
        part = total[shift : shift + len(a)]
        np.logaddexp(part, a + log_weight, out=part)
    return total


def odds_ratio(x: int, n_group: int, y: int, n_reference: int, *, mid_p: bool = False) -> Estimate:
    """Odds ratio of being late, group over reference.

    Conditional maximum likelihood with the exact interval (as R's fisher.test, but solved to the end), or the mid-P
    median-unbiased one (as epitools' oddsratio.midp). The p-value is Fisher's, or twice the smaller mid-P tail.
    """
    method = "mid-p median unbiased" if mid_p else "conditional maximum likelihood"
    if n_group == 0 or n_reference == 0:
        return not_estimable("or", method, EMPTY_STRATUM)
    table = Conditional((x, n_group, y, n_reference))
    if len(table.k) == 1:
        everyone = "everyone late in both groups" if x else "nobody late in either group"
        return not_estimable("or", method, everyone)
    return of_distribution(table, method, mid_p=mid_p)


def of_distribution(table: Conditional, method: str, *, mid_p: bool) -> Estimate:
    """Odds ratio with its interval and p-value from a distribution of more than one value."""
    share, tail = (0.5, (1 - LEVEL) / 2) if mid_p else (1.0, (1 - LEVEL) / 2)
    low = None if table.at_bottom else _solve(lambda b: table.at_least(b, share_of_x=share) - tail)
    high = None if table.at_top else _solve(lambda b: table.at_least(b, share_of_x=1 - share) - (1 - tail))
    reason = None
    value: float | None
    if table.at_bottom or table.at_top:
        value = 0.0 if table.at_bottom else None
        reason = None if table.at_bottom else "no odds ratio is finite: a cell of the table is empty"
    elif mid_p:
        value = _solve(lambda b: table.at_least(b, share_of_x=0.5) - 0.5)
    else:
        value = _solve(lambda b: table.mean(b) - table.x)
    kind = "mid-p" if mid_p else "exact"
    p_value = _mid_p_value(table) if mid_p else _fisher(table)
    return Estimate("or", method, value, 0.0 if low is None else low, high, kind, p_value=p_value, reason=reason)


def _solve(excess: Callable[[float], float]) -> float:
    return float(np.exp(brentq(excess, -_FAR, _FAR, xtol=1e-12)))


def _fisher(table: Conditional) -> float:
    pmf = table.pmf(0.0)
    at_x = pmf[table.k == table.x][0]
    # R's tolerance for ties in probability.
    return min(1.0, float(pmf[pmf <= at_x * (1 + 1e-7)].sum()))


def _mid_p_value(table: Conditional) -> float:
    tail = table.at_least(0.0, share_of_x=0.5)
    return min(1.0, 2 * min(tail, 1 - tail))


def chi_squared(x: int, n_group: int, y: int, n_reference: int, *, yates: bool = False) -> float | None:
    """p of Pearson's chi-squared, for reproducing published tables; None where a margin is empty."""
    late, early = x + y, n_group + n_reference - x - y
    margins = n_group * n_reference * late * early
    if margins == 0:
        return None
    n = n_group + n_reference
    cross = float(abs(x * (n_reference - y) - y * (n_group - x)))
    if yates:
        cross = max(0.0, cross - n / 2)
    return float(chi2.sf(n * cross**2 / margins, 1))
