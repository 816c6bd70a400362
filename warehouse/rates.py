"""Shares in whole percent, for groups whose counts are withheld, and which counts a reader can work out from them.

A share, its interval and the interval's formula are three equations in two unknowns: with enough decimals they give
both counts away. With the share in whole percent, and the interval rounded outward to fives (in whole percent it still
tells 61 infants from 65), many pairs of counts look the same; which ones is found here by trying them all, and the
attack of `warehouse.attack` is told.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import ceil, floor, inf

import numpy as np

#: Half a percentage point: what rounding to whole percent may move a share by.
HALF = 0.005
_Z = 1.959963984540054
_FIVE = 5
#: Steps of shares still waiting; a step holds 11 infants at least.
_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5)
#: A median is told from 22 infants on, and its interval from 44: 11 on either side, and in each quarter.
MEDIAN_FROM, MEDIAN_INTERVAL_FROM = 22, 44
#: From how many infants on something is told more finely than of fewer.
_FINER_FROM = (11, MEDIAN_FROM, MEDIAN_INTERVAL_FROM, *(round(11 / step) for step in reversed(_STEPS)))
#: Numbers of infants that are tried go up to this multiple of the group's own; none fits beyond it but by no limit.
_REACH = 8


@dataclass(frozen=True)
class Rate:
    """A share in whole percent with its 95% interval (Wilson), rounded outward to fives: 38, 30 and 50."""

    share: int
    low: int
    high: int


@dataclass(frozen=True)
class Possible:
    """What a reader knows of a group from its rate: bounds of the number of infants, and of the share."""

    least: int
    most: float
    low: float
    high: float


def rate_of(late: int, n: int) -> Rate:
    """The share late of `n` infants (1 at least), rounded."""
    low, high = _wilson(np.array([late]), np.array([n]))
    return Rate(*(int(part[0]) for part in _rounded(np.array([late / n]), low, high)))


@lru_cache(maxsize=4096)
def possible(rate: Rate, n: int) -> Possible:
    """All numbers of infants that would be published as this rate; `n` is the true one, and says where to look."""
    reach = _REACH * n + 100
    numbers = np.arange(1, reach + 1)
    fits = np.zeros(reach, dtype=bool)
    first = np.ceil((rate.share / 100 - HALF) * numbers - 1e-9).astype(int)
    for step in range(ceil(2 * HALF * reach) + 2):
        late = first + step
        inside = (late >= 0) & (late <= numbers)
        low, high = _wilson(np.clip(late, 0, numbers), numbers)
        share, down, up = _rounded(late / numbers, low, high)
        fits |= inside & (share == rate.share) & (down == rate.low) & (up == rate.high)
    found = numbers[fits]
    most = inf if found[-1] == reach else float(found[-1])
    return Possible(int(found[0]), most, max(0.0, rate.share / 100 - HALF), min(1.0, rate.share / 100 + HALF))


def _wilson(late: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    p, scale = late / n, 1 + _Z * _Z / n
    centre, half = p + _Z * _Z / (2 * n), _Z * np.sqrt(p * (1 - p) / n + _Z * _Z / (4 * n * n))
    return np.where(late == 0, 0.0, (centre - half) / scale), np.where(late == n, 1.0, (centre + half) / scale)


def _rounded(share: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return (
        np.floor(100 * share + 0.5 + 1e-9).astype(int),
        _FIVE * np.floor(100 * low / _FIVE + 1e-9).astype(int),
        _FIVE * np.ceil(100 * high / _FIVE - 1e-9).astype(int),
    )


def size_band(n: int) -> tuple[float, float]:
    """Numbers of infants, 11 and more, whose days and shares still waiting are told as finely as those of `n`."""
    low = max((edge for edge in _FINER_FROM if edge <= n), default=1)
    return low, min((edge - 1 for edge in _FINER_FROM if edge > n), default=inf)


def coarse(share: float, n: int) -> float:
    """A share rounded to steps that are 11 infants wide at least: 1, 2, 5, 10, 20, 25 or 50 percent, and 100."""
    step = next((s for s in _STEPS if s * n >= 11), 1.0)
    return round(floor(share / step + 0.5) * step, 2)
