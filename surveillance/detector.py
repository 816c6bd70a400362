"""The weekly detector: a Shiryaev-Roberts e-detector on concurrent two-group comparisons. Pure.

A *block* is one week of one site and earlier-neurology status: `x` late of `n_group`, `y` late of `n_reference`. Given
the margins, the number late in the group is Fisher's noncentral hypergeometric with the odds ratio as its only
parameter, so its likelihood ratio against the central one is an e-value: its mean is exactly 1 when there is no
disparity, whatever the baseline, its season or drift. With R <- e (1 + R) and M the mean of R over the odds ratios in
`ODDS_RATIOS`, M_t - t is a martingale without a disparity, so that the mean time to a false signal at the limit A is at
least A weeks (Shin, Ramdas and Rinaldo, *E-detectors*). A = 52 K / B keeps a family of K charts to B false alerts a
year.

The confidence sequence for the odds ratio inverts the same likelihood against its mixture over a standard normal prior
on the log odds ratio (Robbins; Ville's inequality): it holds at all weeks together, however often one looks.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.special import gammaln, logsumexp

from surveillance.weeks import read_blocks

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

#: Odds ratios over which the detector is averaged.
ODDS_RATIOS = (1.5, 2.0, 3.0, 5.0)
#: Hazard ratios of the time-to-event version; below 1, since slower is adverse.
HAZARD_RATIOS = (0.8, 0.65, 0.5, 0.35)
#: The confidence sequence keeps an odds ratio while mixture / likelihood is below this: 1 / 0.05.
SEQUENCE_LIMIT = 20.0
WEEKS_A_YEAR = 52

# Log odds ratios at which the likelihood is kept. The trapezoid rule over the inner part errs by
# exp(-2 (pi s / 0.05)^2), where s is the width of the likelihood: nothing while s is over `_NARROW` (400 units of
# information on the log odds ratio, about 9,000 infants). The outer part only finds far-away bounds.
_SPACING, _NARROW = 0.05, 0.05
_INNER = np.linspace(-8.0, 8.0, 321)
_GRID: Floats = np.concatenate([np.arange(-40.0, -8.0, 0.5), _INNER, np.arange(8.5, 40.5, 0.5)])
_LOG_PRIOR: Floats = np.where(np.abs(_GRID) <= 8.0, -0.5 * _GRID**2 + np.log(_SPACING / np.sqrt(2 * np.pi)), -np.inf)
# exp() of more than this overflows; far beyond any limit.
_LARGEST_LOG = 700.0


class Block(NamedTuple):
    """`x` late of `n_group`, and `y` late of `n_reference`."""

    x: int
    n_group: int
    y: int
    n_reference: int

    @property
    def complete(self) -> bool:
        """Whether group and reference can be compared: the rule looks at counts, never at outcomes."""
        return self.n_group > 0 and self.n_reference > 0

    def plus(self, other: Block) -> Block:
        return Block(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


EMPTY = Block(0, 0, 0, 0)
Stratum = tuple[str, str]  # site, earlier neurology care


def log_partition(block: Block, log_ratios: Floats) -> Floats:
    """Log of the sum over the hypergeometric support of pmf(k) ratio^k, for each log ratio.

    In logs throughout: with a thousand infants in a block the terms under- and overflow.
    """
    late = block.x + block.y
    k = np.arange(max(0, late - block.n_reference), min(block.n_group, late) + 1)
    if len(k) == 1:  # nothing is left to chance: nobody late, or everybody
        alone: Floats = k[0] * log_ratios
        return alone
    log_pmf = _log_choose(block.n_group, k) + _log_choose(block.n_reference, late - k)
    log_pmf -= logsumexp(log_pmf)
    near = _near_mode(log_pmf, log_ratios)
    chosen = log_pmf[:, None] if near is None else log_pmf[near]
    terms: Floats = logsumexp(chosen + (k[:, None] if near is None else k[near]) * log_ratios[None, :], axis=0)
    return terms


def _near_mode(log_pmf: Floats, log_ratios: Floats) -> NDArray[np.int_] | None:
    """Positions of the terms that count, for each log ratio a column; None: all of them.

    The distribution is a sum of independent unlike coins, so that its variance is at most a quarter of the length of
    its support: 20 standard deviations to either side of the mode leave out less than e^-190.
    """
    reach = 10 * math.isqrt(len(log_pmf)) + 10
    if 2 * reach + 1 >= len(log_pmf):
        return None
    mode = np.searchsorted(-np.diff(log_pmf), log_ratios)  # log-concave: the steps only fall
    start = np.clip(mode - reach, 0, len(log_pmf) - 2 * reach - 1)
    return start[None, :] + np.arange(2 * reach + 1)[:, None]


def _log_choose(n: int, k: NDArray[np.int_]) -> Floats:
    chosen: Floats = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    return chosen


def log_e_values(block: Block, ratios: Sequence[float] = ODDS_RATIOS, *, margin: float = 1.0) -> Floats:
    """Log e-values of one block for each odds ratio; `margin` > 1 tests "at most that" instead of "none"."""
    return _log_e_values(block, tuple(ratios), margin)


@lru_cache(maxsize=200_000)
def _log_e_values(block: Block, ratios: tuple[float, ...], margin: float) -> Floats:
    log_ratios = np.log(np.array([*ratios, margin]))
    log_likelihood = block.x * log_ratios - log_partition(block, log_ratios)
    against_margin: Floats = log_likelihood[:-1] - log_likelihood[-1]
    return against_margin


def e_values(block: Block, ratios: Sequence[float] = ODDS_RATIOS, *, margin: float = 1.0) -> Floats:
    """E-values of one block: 1 for each ratio when the block says nothing."""
    return np.exp(np.minimum(log_e_values(block, ratios, margin=margin), _LARGEST_LOG))


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


def carry_forward(
    rows: Iterable[tuple[Stratum, Block]], carried: Mapping[Stratum, Block], *, min_reference: int = 1
) -> tuple[list[Block], dict[Stratum, Block]]:
    """One week's complete blocks, and what is carried into the next week within site and earlier neurology care."""
    held = dict(carried)
    for stratum, block in rows:
        held[stratum] = held.get(stratum, EMPTY).plus(block)
    complete = {s: b for s, b in sorted(held.items()) if b.complete and b.n_reference >= min_reference}
    return list(complete.values()), {s: b for s, b in sorted(held.items()) if s not in complete and b != EMPTY}


@dataclass(frozen=True)
class Week:
    """One step of a chart. `m` is the mean before a reset; `log_r` the state after it."""

    blocks: tuple[Block, ...]
    carried: dict[Stratum, Block] = field(repr=False)
    log_e: tuple[float, ...]
    log_r: tuple[float, ...]
    m: float
    limit: float
    signal: bool


def limit_of(charts: int, budget: float) -> float:
    """A = 52 K / B: the limit at which K charts raise at most B false alerts a year."""
    return WEEKS_A_YEAR * charts / budget


def shiryaev_roberts(log_e: Sequence[float], log_r: Sequence[float], limit: float) -> tuple[list[float], float, bool]:
    """One step: the next log R (minus infinity stands for 0), M before a reset, and whether it signals."""
    grown = [e + float(np.logaddexp(0.0, r)) for e, r in zip(log_e, log_r, strict=True)]
    m = float(np.exp(min(float(logsumexp(grown)) - np.log(len(grown)), _LARGEST_LOG)))
    signal = m >= limit
    return ([-np.inf] * len(grown) if signal else grown), m, signal


def run_chart(
    weeks: Sequence[Sequence[tuple[Stratum, Block]]],
    limits: Sequence[float],
    *,
    ratios: Sequence[float] = ODDS_RATIOS,
    margin: float = 1.0,
    min_reference: int = 1,
) -> list[Week]:
    """Run a chart over consecutive weeks of blocks, each week against its own limit."""
    carried: dict[Stratum, Block] = {}
    log_r: list[float] = [-np.inf] * len(ratios)
    steps = []
    for rows, limit in zip(weeks, limits, strict=True):
        blocks, carried = carry_forward(rows, carried, min_reference=min_reference)
        log_e = sum((log_e_values(block, ratios, margin=margin) for block in blocks), np.zeros(len(ratios)))
        log_r, m, signal = shiryaev_roberts(list(log_e), log_r, limit)
        steps.append(Week(tuple(blocks), carried, tuple(map(float, log_e)), tuple(log_r), m, limit, signal))
    return steps


def detect_frame(
    blocks: pd.DataFrame, *, charts: int = 1, budget: float = 1.0, margin: float = 1.0, min_reference: int = 1
) -> pd.DataFrame:
    """The detector over a table of blocks, one row a week from the first to the last.

    `blocks` has the columns `week, site, prior_neurology, x, n_group, y, n_reference`: late and all of the group, late
    and all of the reference. A week is a date (7 days apart), an ISO week (2024-W05) or a whole number. Weeks without
    rows are filled: e is 1 there and R still grows.

    Returns the columns `week, e_1.5, e_2, e_3, e_5, m, limit, signal, cs_low, cs_high`; `m` is the mean of R before a
    reset, and the bounds are 0 and infinity while the data set none.

    Raises `BlocksUnreadable`.
    """
    import pandas as pd

    limit = limit_of(charts, budget)
    axis, rows = read_blocks(blocks)
    weekly = [[((site, prior), Block(*counts)) for site, prior, *counts in rows.get(i, ())] for i in range(len(axis))]
    steps = run_chart(weekly, [limit] * len(weekly), margin=margin, min_reference=min_reference)
    low, high = confidence_sequence([step.blocks for step in steps])
    e = np.exp(np.minimum(np.array([step.log_e for step in steps]).reshape(len(steps), len(ODDS_RATIOS)), _LARGEST_LOG))
    return pd.DataFrame(
        {
            "week": axis.labels(),
            **{f"e_{ratio:g}": e[:, i] for i, ratio in enumerate(ODDS_RATIOS)},
            "m": [step.m for step in steps],
            "limit": limit,
            "signal": [step.signal for step in steps],
            "cs_low": low,
            "cs_high": high,
        }
    )
