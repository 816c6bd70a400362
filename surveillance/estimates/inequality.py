"""Summary indices of inequality over unordered groups, with what chance alone would give.

The formulas are healthequal's (they reproduce its test values), but for the intervals: it forgets a factor of 1000 in
the standard errors of Theil's index and the mean log deviation. With few infants every index is far above 0 without any
disparity, so that each comes with its expectation under none; none may raise an alert. Race, insurance, language and
site have no order: slope and concentration indices are not offered for them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from surveillance.estimates.estimate import LEVEL, Estimate, not_estimable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

#: A group in which nobody is late would have no logarithm.
_NEARLY_NONE = 1e-6
_DRAWS = 2_000


def _mean(shares: Floats, estimates: Floats) -> Floats:
    mean: Floats = (shares * estimates).sum(axis=-1, keepdims=True)
    return np.maximum(mean, _NEARLY_NONE)


def between_group_variance(shares: Floats, estimates: Floats) -> Floats:
    """Sum of p (y - mu)^2. Group on the last axis; shares add up to 1."""
    variance: Floats = (shares * (estimates - _mean(shares, estimates)) ** 2).sum(axis=-1)
    return variance


def between_group_sd(shares: Floats, estimates: Floats) -> Floats:
    """Its square root."""
    return np.sqrt(between_group_variance(shares, estimates))


def index_of_disparity_unweighted(shares: Floats, estimates: Floats) -> Floats:
    """Mean absolute difference from the mean, per cent of the mean: 100 / J sum |y - mu| / mu (healthequal's)."""
    mean = _mean(shares, estimates)
    index: Floats = 100 * (np.abs(estimates - mean) / mean).mean(axis=-1)
    return index


def index_of_disparity_weighted(shares: Floats, estimates: Floats) -> Floats:
    """The same, weighted by the groups' shares."""
    mean = _mean(shares, estimates)
    index: Floats = 100 * (shares * np.abs(estimates - mean) / mean).sum(axis=-1)
    return index


def theil(shares: Floats, estimates: Floats) -> Floats:
    """1000 sum p r ln r, with r = y / mu."""
    ratio = np.maximum(estimates, _NEARLY_NONE) / _mean(shares, estimates)
    index: Floats = 1000 * (shares * ratio * np.log(ratio)).sum(axis=-1)
    return index


def mean_log_deviation(shares: Floats, estimates: Floats) -> Floats:
    """-1000 sum p ln r."""
    ratio = np.maximum(estimates, _NEARLY_NONE) / _mean(shares, estimates)
    index: Floats = -1000 * (shares * np.log(ratio)).sum(axis=-1)
    return index


INDICES: dict[str, Callable[[Floats, Floats], Floats]] = {
    "bgv": between_group_variance,
    "bgsd": between_group_sd,
    "idisu": index_of_disparity_unweighted,
    "idisw": index_of_disparity_weighted,
    "theil": theil,
    "mld": mean_log_deviation,
}


def expected_variance_without_disparity(late: Floats, n: Floats) -> float:
    """Between-group variance that chance alone gives: (J - 1) mu (1 - mu) / N."""
    mean = float(late.sum() / n.sum())
    return (len(n) - 1) * mean * (1 - mean) / float(n.sum())


def inequality(late: list[int], n: list[int], *, seed: int) -> list[Estimate]:
    """Every index over the groups that have infants, with its parametric bootstrap interval and null expectation."""
    counts, sizes = np.array(late, dtype=float), np.array(n, dtype=float)
    counts, sizes = counts[sizes > 0], sizes[sizes > 0]
    method = "formula"
    if len(sizes) < 2:
        return [not_estimable(name, method, "fewer than two groups with infants") for name in INDICES]
    if counts.sum() == 0:
        return [not_estimable(name, method, "nobody late") for name in INDICES]
    rng = np.random.default_rng(seed)
    whole, shares = sizes.astype(int), sizes / sizes.sum()
    drawn = rng.binomial(whole, counts / sizes, size=(_DRAWS, len(sizes))) / sizes
    null = rng.binomial(whole, counts.sum() / sizes.sum(), size=(_DRAWS, len(sizes))) / sizes
    tail = (1 - LEVEL) / 2
    found = []
    for name, index in INDICES.items():
        low, high = np.quantile(index(shares, drawn), [tail, 1 - tail])
        chance = expected_variance_without_disparity(counts, sizes) if name == "bgv" else index(shares, null).mean()
        found.append(
            Estimate(
                name,
                method,
                float(index(shares, counts / sizes)),
                float(low),
                float(high),
                "parametric bootstrap",
                null_expectation=float(chance),
            )
        )
    return found
