"""The anytime-valid confidence sequence for the odds ratio (or, of a chart of days waited, the hazard ratio). Pure.

It inverts the conditional likelihood of the blocks against its mixture over a standard normal prior on the log ratio
(Robbins; Ville's inequality): it holds at all weeks together, however often one looks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.special import logsumexp

from surveillance.detector import Block, log_partition

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

#: The confidence sequence keeps an odds ratio while mixture / likelihood is below this: 1 / 0.05.
SEQUENCE_LIMIT = 20.0
# Log odds ratios at which the likelihood is kept. The trapezoid rule over the inner part errs by
# exp(-2 (pi s / 0.05)^2), where s is the width of the likelihood: nothing while s is over `_NARROW` (400 units of
# information on the log odds ratio, about 9,000 infants). The outer part only finds far-away bounds.
_SPACING, _NARROW = 0.05, 0.05
_INNER = np.linspace(-8.0, 8.0, 321)
_GRID: Floats = np.concatenate([np.arange(-40.0, -8.0, 0.5), _INNER, np.arange(8.5, 40.5, 0.5)])
_LOG_PRIOR: Floats = np.where(np.abs(_GRID) <= 8.0, -0.5 * _GRID**2 + np.log(_SPACING / np.sqrt(2 * np.pi)), -np.inf)


@lru_cache(maxsize=20_000)
def _log_likelihood(block: Block) -> Floats:
    """Conditional log likelihood of the odds ratio on `_GRID`, up to a constant."""
    log_likelihood: Floats = block.x * _GRID - log_partition(block, _GRID)
    return log_likelihood


def confidence_sequence(weekly: Sequence[Sequence[Block]]) -> tuple[Floats, Floats]:
    """Lower and upper 95% bound of the odds ratio after each week; 0 and infinity while the data set no bound.

    Exact to about 1e-6 between e^-8 and e^8.
    """
    steps = np.array([sum((_log_likelihood(block) for block in blocks), np.zeros_like(_GRID)) for blocks in weekly])
    if not len(steps):
        return np.empty(0), np.empty(0)
    log_likelihood = np.cumsum(steps, axis=0)
    low, high = _bounds(_GRID, log_likelihood, _LOG_PRIOR)
    for week in np.flatnonzero(_width(log_likelihood) < _NARROW):
        low[week], high[week] = _narrow_bounds(log_likelihood[week])
    return low, high


def _width(log_likelihood: Floats) -> Floats:
    """Standard deviation of each likelihood on the log odds ratio, by its curvature at its peak; infinite at an end."""
    peak = log_likelihood.argmax(axis=1)
    inside = np.abs(_GRID[peak]) < 8.0
    at = np.where(inside, peak, _GRID.size // 2)
    rows = np.arange(len(at))
    bend = 2 * log_likelihood[rows, at] - log_likelihood[rows, at - 1] - log_likelihood[rows, at + 1]
    with np.errstate(divide="ignore"):
        return np.where(inside & (bend > 0), _SPACING / np.sqrt(np.maximum(bend, 0.0)), np.inf)


def _narrow_bounds(log_likelihood: Floats) -> tuple[float, float]:
    """The same on a grid of its own around the peak: a likelihood this narrow falls between the points of `_GRID`."""
    spline = CubicSpline(_GRID, log_likelihood)
    centre = _GRID[log_likelihood.argmax()]
    near = np.linspace(centre - 2 * _SPACING, centre + 2 * _SPACING, 4001)
    values = spline(near)
    width = 1 / math.sqrt(max(float(-spline(near[values.argmax()], 2)), 1.0))
    grid = near[values.argmax()] + width * np.linspace(-15, 15, 301)
    prior = -0.5 * grid**2 + np.log(width * 0.1 / np.sqrt(2 * np.pi))
    low, high = _bounds(grid, spline(grid)[None, :], prior)
    return float(low[0]), float(high[0])


def _bounds(grid: Floats, log_likelihood: Floats, log_prior: Floats) -> tuple[Floats, Floats]:
    """Bounds of each row's odds ratio; 0 and infinity where the interval reaches an end of the grid."""
    threshold = logsumexp(log_likelihood + log_prior, axis=1) - np.log(SEQUENCE_LIMIT)
    excess = log_likelihood - threshold[:, None]
    kept = excess > 0
    first, last = kept.argmax(axis=1), len(grid) - 1 - kept[:, ::-1].argmax(axis=1)
    pieces = CubicSpline(grid, excess, axis=1).c  # (4, intervals, rows)
    rows = np.arange(len(excess))
    left, right = np.maximum(first - 1, 0), np.minimum(last, len(grid) - 2)
    low = np.exp(_root(pieces[:, left, rows], grid[left], grid[first]))
    high = np.exp(_root(pieces[:, right, rows], grid[right], grid[right + 1]))
    return np.where(first == 0, 0.0, low), np.where(last == len(grid) - 1, np.inf, high)


def _root(cubic: Floats, left: Floats, right: Floats) -> Floats:
    """Where each cubic piece (coefficients from the third power down, in the distance from `left`) crosses zero."""
    width = right - left
    rising = cubic[3] < 0
    low, high = np.zeros_like(width), width.copy()
    for _ in range(50):
        middle = (low + high) / 2
        value = ((cubic[0] * middle + cubic[1]) * middle + cubic[2]) * middle + cubic[3]
        below = (value < 0) == rising
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return left + (low + high) / 2
