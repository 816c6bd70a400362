"""The odds ratio of a two-by-two table, conditional on its margins: maximum likelihood, exact and mid-P intervals."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import gammaln
from scipy.stats import chi2

from surveillance.estimates.estimate import LEVEL, Estimate, not_estimable
from surveillance.estimates.proportions import EMPTY_STRATUM

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

# Log odds ratios beyond these are as good as 0 and infinity for any table of infants.
_FAR = 60.0
#: A slope below this has no step: the quotient would overflow, and the bracket is halved instead.
_FLAT = 1e-300
_STEPS, _CLOSE = 200, 1e-8  # the error after a Newton step of 1e-8 is its square
_TAIL = (1 - LEVEL) / 2
#: Of each bound: how much of P(X = x) its upper tail holds, and how large that tail is.
_TAILS = (
    ("exact low", 1.0, _TAIL),
    ("exact high", 0.0, 1 - _TAIL),
    ("mid-p low", 0.5, _TAIL),
    ("mid-p high", 0.5, 1 - _TAIL),
    ("mid-p median", 0.5, 0.5),
)


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

    def pmf(self, log_ratio: Floats) -> Floats:
        """Probabilities of `k` (last axis) under each log odds ratio."""
        log_weight = self._log_weight + self.k * np.asarray(log_ratio)[..., None]
        # scipy's logsumexp costs ten times this much on arrays of some tens.
        weight = np.exp(log_weight - log_weight.max(axis=-1, keepdims=True))
        probabilities: Floats = weight / weight.sum(axis=-1, keepdims=True)
        return probabilities

    def at_least(self, log_ratio: float, *, share_of_x: float) -> float:
        """P(X > x) plus `share_of_x` of P(X = x): 1 for the exact tail, 0.5 for mid-P."""
        pmf = self.pmf(np.array(log_ratio))
        return float(pmf[self.k > self.x].sum() + share_of_x * pmf[self.k == self.x].sum())

    @cached_property
    def roots(self) -> dict[str, float]:
        """Odds ratios at which the mean is x (`likeliest`), and at which the tails are what `_TAILS` says.

        Six increasing equations solved together by Newton's method, kept inside a shrinking bracket.
        """
        targets = np.array([self.x, *(probability for _, _, probability in _TAILS)], dtype=float)
        # Of X = x as much as the equation's tail holds, all of X > x; for the mean, k itself.
        values = np.vstack(
            [self.k, *((self.k > self.x) + share * (self.k == self.x) for _, share, _ in _TAILS)]
        ).astype(float)
        # At an end of the support the likeliest ratio and the bounds on that side are 0 or infinite: nothing to solve.
        finite = np.array([not (self.at_bottom or self.at_top), *self._finite_tails()])
        log_ratio = np.zeros(len(targets))
        low, high = np.full(len(targets), -_FAR), np.full(len(targets), _FAR)
        for _ in range(_STEPS):
            pmf = self.pmf(log_ratio)
            mean = (pmf * values).sum(axis=1)
            slope = (pmf * values * self.k).sum(axis=1) - mean * (pmf @ self.k)
            low, high = np.where(mean < targets, log_ratio, low), np.where(mean < targets, high, log_ratio)
            step = np.divide(targets - mean, slope, out=np.full(len(targets), np.inf), where=slope > _FLAT)
            ahead = log_ratio + step
            ahead = np.where((ahead > low) & (ahead < high), ahead, (low + high) / 2)
            moved = np.abs(ahead - log_ratio)[finite].max(initial=0.0)
            log_ratio = ahead
            if moved < _CLOSE:
                break
        names = ["likeliest", *(name for name, _, _ in _TAILS)]
        return dict(zip(names, np.exp(log_ratio).tolist(), strict=True))

    def _finite_tails(self) -> list[bool]:
        ends = {"low": self.at_bottom, "high": self.at_top, "median": self.at_bottom or self.at_top}
        return [not ends[name.split()[1]] for name, _, _ in _TAILS]

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


@lru_cache(maxsize=4096)
def _conditional(x: int, n_group: int, y: int, n_reference: int) -> Conditional:
    return Conditional((x, n_group, y, n_reference))


def odds_ratio(x: int, n_group: int, y: int, n_reference: int, *, mid_p: bool = False) -> Estimate:
    """Odds ratio of being late, group over reference.

    Conditional maximum likelihood with the exact interval (as R's fisher.test, but solved to the end), or the mid-P
    median-unbiased one (as epitools' oddsratio.midp). The p-value is Fisher's, or twice the smaller mid-P tail.
    """
    method = "mid-p median unbiased" if mid_p else "conditional maximum likelihood"
    if n_group == 0 or n_reference == 0:
        return not_estimable("or", method, EMPTY_STRATUM)
    table = _conditional(x, n_group, y, n_reference)
    if len(table.k) == 1:
        everyone = "everyone late in both groups" if x else "nobody late in either group"
        return not_estimable("or", method, everyone)
    return of_distribution(table, method, mid_p=mid_p)


def of_distribution(table: Conditional, method: str, *, mid_p: bool) -> Estimate:
    """Odds ratio with its interval and p-value from a distribution of more than one value."""
    kind = "mid-p" if mid_p else "exact"
    p_value = _mid_p_value(table) if mid_p else _fisher(table)
    low = 0.0 if table.at_bottom else table.roots[f"{kind} low"]
    high = None if table.at_top else table.roots[f"{kind} high"]
    if table.at_bottom:
        return Estimate("or", method, 0.0, low, high, kind, p_value=p_value)
    if table.at_top:
        reason = "no odds ratio is finite: a cell of the table is empty"
        return Estimate("or", method, None, low, high, kind, p_value=p_value, reason=reason)
    value = table.roots["mid-p median" if mid_p else "likeliest"]
    return Estimate("or", method, value, low, high, kind, p_value=p_value)


def _fisher(table: Conditional) -> float:
    pmf = table.pmf(np.array(0.0))
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
