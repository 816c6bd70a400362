"""One number with its interval, or the reason why there is none."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import NormalDist

#: Two-sided level of every fixed interval.
LEVEL = 0.95
Z = NormalDist().inv_cdf(0.5 + LEVEL / 2)


@dataclass(frozen=True)
class Estimate:
    """An estimate. A bound is None where the data set none; `reason` says why a value or a bound is missing.

    `interval` names the kind of interval (wilson, newcombe, log-log ...), `method` the estimator.
    """

    estimand: str
    method: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    interval: str | None = None
    se: float | None = None
    p_value: float | None = None
    null_expectation: float | None = None
    reason: str | None = None

    def checked(self) -> Estimate:
        """The same without infinities and NaN: no table may hold them."""
        low, high, se = finite(self.low), finite(self.high), finite(self.se)
        return replace(self, value=finite(self.value), low=low, high=high, se=se, p_value=finite(self.p_value))


def finite(number: float | None) -> float | None:
    """The number as a plain float, or None for NaN and infinity."""
    return float(number) if number is not None and math.isfinite(number) else None


def not_estimable(estimand: str, method: str, reason: str) -> Estimate:
    return Estimate(estimand, method, reason=reason)
