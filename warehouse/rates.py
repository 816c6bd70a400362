"""Shares in whole percent, for groups whose counts are withheld, and which counts a reader can work out from them.

A share, its interval and the interval's formula are three equations in two unknowns: with enough decimals they give
both counts away. So the interval is not that of the group, but of the smallest group of its size band: all a reader
learns is the band and the share in whole percent, which is just what the attack of `warehouse.attack` is told. It is
wider than the group's own, by 1.4 times at most.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, inf, sqrt

#: Half a percentage point: what rounding to whole percent may move a share by.
HALF = 0.005
_Z = 1.959963984540054
_FIVE = 5
#: Steps of shares still waiting; a step holds 11 infants at least.
_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5)
#: A median is told from 22 infants on, and its interval from 44: 11 on either side, and in each quarter.
MEDIAN_FROM, MEDIAN_INTERVAL_FROM = 22, 44
#: Where size bands begin, besides. Narrower ones of small groups would tell so much that fewer shares could be shown.
_BANDS = (150, 320, 800, 1600)
#: From how many infants on something is told more finely than of fewer.
_FINER_FROM = sorted({11, MEDIAN_FROM, MEDIAN_INTERVAL_FROM, *(round(11 / step) for step in _STEPS), *_BANDS})


@dataclass(frozen=True)
class Rate:
    """A share in whole percent with a 95% interval (Wilson), rounded outward to fives: 38, 30 and 50."""

    share: int
    low: int
    high: int


def rate_of(late: int, n: int) -> Rate:
    """The share late of `n` infants (11 at least), rounded; its interval holds that of the counts."""
    share = floor(100 * late / n + 0.5)
    least, most = share_range(share)
    size = size_band(n)[0]
    low, high = _wilson(least, size)[0], _wilson(most, size)[1]
    return Rate(share, _FIVE * floor(100 * low / _FIVE + 1e-9), _FIVE * ceil(100 * high / _FIVE - 1e-9))


def share_range(share: int) -> tuple[float, float]:
    """The shares that are rounded to this percentage: from the first up to, but without, the second."""
    return max(0.0, share / 100 - HALF), min(1.0, share / 100 + HALF)


def _wilson(p: float, n: float) -> tuple[float, float]:
    centre, half = p + _Z * _Z / (2 * n), _Z * sqrt(p * (1 - p) / n + _Z * _Z / (4 * n * n))
    return max(0.0, (centre - half) / (1 + _Z * _Z / n)), min(1.0, (centre + half) / (1 + _Z * _Z / n))


def size_band(n: int) -> tuple[float, float]:
    """Numbers of infants, 11 and more, that are told apart from `n` by nothing but their shares."""
    low = max((edge for edge in _FINER_FROM if edge <= n), default=1)
    return low, min((edge - 1 for edge in _FINER_FROM if edge > n), default=inf)


def coarse(share: float, n: int) -> float:
    """A share rounded to steps that are 11 infants wide at least: 1, 2, 5, 10, 20, 25 or 50 percent, and 100."""
    step = next((s for s in _STEPS if s * n >= 11), 1.0)
    return round(floor(share / step + 0.5) * step, 2)
