"""The weekly detector: a Shiryaev-Roberts e-detector on concurrent two-group comparisons. Pure.

A *block* is one week of one site and earlier-neurology status: `x` late of `n_group`, `y` late of `n_reference`. Given
the margins, the number late in the group is Fisher's noncentral hypergeometric with the odds ratio as its only
parameter, so its likelihood ratio against the central one is an e-value: its mean is exactly 1 when there is no
disparity, whatever the baseline, its season or drift. With R <- e (1 + R) and M the mean of R over the odds ratios in
`ODDS_RATIOS`, M_t - t is a martingale without a disparity, so that the mean time to a false signal at the limit A is at
least A weeks (Shin, Ramdas and Rinaldo, *E-detectors*). A = 52 K / B keeps a family of K charts to B false alerts a
year.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
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
WEEKS_A_YEAR = 52

# exp() of more than _LARGEST_LOG overflows, and so does the mean of four numbers beyond _LARGEST; far above any limit.
_LARGEST_LOG, _LARGEST = 700.0, 1e300


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
Row = tuple[Stratum, tuple[int, ...]]  # counts of a stratum: a `Block`, or whatever a chart makes blocks of


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


class Gather(Protocol):
    """How a chart makes blocks of counts: the complete ones of a week, and what waits for the weeks to come."""

    def __call__(self, rows: Iterable[Row]) -> tuple[list[Block], list[Row]]: ...


def complete_blocks(rows: Iterable[Row], *, min_reference: int = 1) -> tuple[list[Block], list[Row]]:
    """Complete blocks, and the counts that wait, within site and earlier neurology care. `rows` hold four counts."""
    held: dict[Stratum, Block] = {}
    for stratum, counts in rows:
        held[stratum] = held.get(stratum, EMPTY).plus(Block(*counts))
    complete = {s: b for s, b in sorted(held.items()) if b.complete and b.n_reference >= min_reference}
    return list(complete.values()), [(s, b) for s, b in sorted(held.items()) if s not in complete and b != EMPTY]


@dataclass(frozen=True)
class Week:
    """One step of a chart. `m` is the mean before a reset; `r` the state after it."""

    blocks: tuple[Block, ...]
    carried: list[Row] = field(repr=False)
    log_e: tuple[float, ...]
    r: tuple[float, ...]
    m: float
    limit: float
    signal: bool


def limit_of(charts: int, budget: float) -> float:
    """A = 52 K / B: the limit at which K charts raise at most B false alerts a year."""
    return WEEKS_A_YEAR * charts / budget


def shiryaev_roberts(log_e: Floats, r: Floats, limit: float) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """One step: the next R, M before a reset, and whether it signals; of shape (ratios), or (charts, ratios).

    R is no logarithm: through weeks that say nothing it grows by exactly 1 each, and a limit that is a whole number is
    reached in the week that it says.
    """
    with np.errstate(over="ignore"):
        grown: Floats = np.minimum(np.exp(np.minimum(log_e, _LARGEST_LOG)) * (1.0 + r), _LARGEST)
    m = np.asarray(grown.mean(axis=-1))
    signal = np.asarray(m >= limit)
    return np.where(signal[..., None], 0.0, grown), m, signal


def run_chart(
    weeks: Sequence[Sequence[Row]],
    limits: Sequence[float],
    *,
    gather: Gather = complete_blocks,
    ratios: Sequence[float] = ODDS_RATIOS,
    margin: float = 1.0,
) -> list[Week]:
    """Run a chart over consecutive weeks of counts, each week against its own limit."""
    carried: list[Row] = []
    r = np.zeros(len(ratios))
    steps = []
    for rows, limit in zip(weeks, limits, strict=True):
        blocks, carried = gather([*carried, *rows])
        log_e = sum((log_e_values(block, ratios, margin=margin) for block in blocks), np.zeros(len(ratios)))
        r, m, signal = shiryaev_roberts(log_e, r, limit)
        steps.append(
            Week(tuple(blocks), carried, tuple(log_e.tolist()), tuple(r.tolist()), float(m), limit, bool(signal))
        )
    return steps


def detect_frame(
    blocks: pd.DataFrame, *, charts: int = 1, budget: float = 1.0, margin: float = 1.0, min_reference: int = 1
) -> pd.DataFrame:
    """The detector over a table of blocks, one row a week from the first to the last.

    `blocks` has the columns `week, site, prior_neurology, x, n_group, y, n_reference`: late and all of the group, late
    and all of the reference. A week is a date (7 days apart), an ISO week (2024-W05, 202405) or a whole number. Weeks
    without rows are filled: e is 1 there and R still grows.

    Returns the columns `week, e_1.5, e_2, e_3, e_5, m, limit, signal, cs_low, cs_high`; `m` is the mean of R before a
    reset, and the bounds are 0 and infinity while the data set none.

    Raises `BlocksUnreadable`.
    """
    import pandas as pd

    from surveillance.sequence import confidence_sequence

    limit = limit_of(charts, budget)
    axis, rows = read_blocks(blocks)
    weekly = [[((site, prior), Block(*counts)) for site, prior, *counts in rows.get(i, ())] for i in range(len(axis))]
    gather = partial(complete_blocks, min_reference=min_reference)
    steps = run_chart(weekly, [limit] * len(weekly), gather=gather, margin=margin)
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
