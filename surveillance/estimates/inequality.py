"""Summary indices of inequality over the groups of a dimension, with what chance alone would give.

The formulas are those of WHO's handbook and of R's healthequal (they reproduce its test values), but for its standard
errors of Theil's index and the mean log deviation, which forget a factor of 1000. With few infants every index is far
above 0 without any disparity, so that each comes with its expectation under none; none may raise an alert. Slope and
concentration indices need groups with an order (deprivation quintiles) and are refused for the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit

from surveillance.estimates.estimate import LEVEL, Estimate, not_estimable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Index = Callable[["Floats", "Floats"], "Floats"]

#: A group in which nobody is late would have no logarithm.
_NEARLY_NONE = 1e-6
_DRAWS = 2_000
_NEWTON_STEPS = 12


def _mean(shares: Floats, estimates: Floats) -> Floats:
    mean: Floats = (shares * estimates).sum(axis=-1, keepdims=True)
    return np.maximum(mean, _NEARLY_NONE)


def _apart(shares: Floats, estimates: Floats) -> Floats:
    return np.abs(estimates - _mean(shares, estimates))


def _ratio(shares: Floats, estimates: Floats) -> Floats:
    ratio: Floats = np.maximum(estimates, _NEARLY_NONE) / _mean(shares, estimates)
    return ratio


def _best(estimates: Floats) -> Floats:
    """The most favourable group; late is adverse, so the lowest."""
    best: Floats = estimates.min(axis=-1, keepdims=True)
    return best


def _relative(index: Index) -> Index:
    return lambda shares, estimates: 100 * index(shares, estimates) / _mean(shares, estimates)[..., 0]


def between_group_variance(shares: Floats, estimates: Floats) -> Floats:
    """Sum of p (y - mu)^2. Group on the last axis; shares add up to 1."""
    variance: Floats = (shares * _apart(shares, estimates) ** 2).sum(axis=-1)
    return variance


def between_group_sd(shares: Floats, estimates: Floats) -> Floats:
    """Its square root."""
    return np.sqrt(between_group_variance(shares, estimates))


def mean_difference_from_mean_unweighted(shares: Floats, estimates: Floats) -> Floats:
    """Sum of |y - mu| / J."""
    index: Floats = _apart(shares, estimates).mean(axis=-1)
    return index


def mean_difference_from_mean_weighted(shares: Floats, estimates: Floats) -> Floats:
    """Sum of p |y - mu|."""
    index: Floats = (shares * _apart(shares, estimates)).sum(axis=-1)
    return index


def mean_difference_from_best_unweighted(_: Floats, estimates: Floats) -> Floats:
    """Sum of |y - y_best| / J. The best of J groups is partly luck: for description only."""
    index: Floats = (estimates - _best(estimates)).mean(axis=-1)
    return index


def mean_difference_from_best_weighted(shares: Floats, estimates: Floats) -> Floats:
    """Sum of p |y - y_best|."""
    index: Floats = (shares * (estimates - _best(estimates))).sum(axis=-1)
    return index


def theil(shares: Floats, estimates: Floats) -> Floats:
    """1000 sum p r ln r, with r = y / mu."""
    ratio = _ratio(shares, estimates)
    index: Floats = 1000 * (shares * ratio * np.log(ratio)).sum(axis=-1)
    return index


def mean_log_deviation(shares: Floats, estimates: Floats) -> Floats:
    """-1000 sum p ln r."""
    index: Floats = -1000 * (shares * np.log(_ratio(shares, estimates))).sum(axis=-1)
    return index


def population_attributable_risk(shares: Floats, estimates: Floats) -> Floats:
    """y_best - mu: how much lower the whole would be were all groups as the best; 0 or below."""
    index: Floats = (_best(estimates) - _mean(shares, estimates))[..., 0]
    return index


#: Over groups without an order. Names are healthequal's in lower case; `idisu` divides by J and takes the mean as the
#: reference (others divide by J - 1 and take the best group).
INDICES: dict[str, Index] = {
    "bgv": between_group_variance,
    "bgsd": between_group_sd,
    "cov": _relative(between_group_sd),
    "idisu": _relative(mean_difference_from_mean_unweighted),
    "idisw": _relative(mean_difference_from_mean_weighted),
    "mdmu": mean_difference_from_mean_unweighted,
    "mdmw": mean_difference_from_mean_weighted,
    "mdbu": mean_difference_from_best_unweighted,
    "mdbw": mean_difference_from_best_weighted,
    "theil": theil,
    "mld": mean_log_deviation,
    "par": population_attributable_risk,
    "paf": _relative(population_attributable_risk),
}


def _ridits(shares: Floats) -> Floats:
    """Middle of each group's part of the population, groups in their order."""
    ridits: Floats = np.cumsum(shares, axis=-1) - shares / 2
    return ridits


def absolute_concentration(shares: Floats, estimates: Floats) -> Floats:
    """Sum of p (2 R - 1) y: above 0 where the last groups are later."""
    index: Floats = (shares * (2 * _ridits(shares) - 1) * estimates).sum(axis=-1)
    return index


def relative_concentration(shares: Floats, estimates: Floats) -> Floats:
    """The same, divided by the mean."""
    index: Floats = absolute_concentration(shares, estimates) / _mean(shares, estimates)[..., 0]
    return index


def _linear_ends(shares: Floats, estimates: Floats) -> tuple[Floats, Floats]:
    """Fitted at both ends of the rank by least squares weighted by the shares (HD*Calc's)."""
    ridits = _ridits(shares)
    middle = (shares * ridits).sum(axis=-1, keepdims=True)
    mean = (shares * estimates).sum(axis=-1, keepdims=True)
    slope = (shares * (ridits - middle) * (estimates - mean)).sum(axis=-1) / (shares * (ridits - middle) ** 2).sum(-1)
    first: Floats = mean[..., 0] - slope * middle[..., 0]
    return first, first + slope


def _logit_ends(shares: Floats, estimates: Floats) -> tuple[Floats, Floats]:
    """The same by logistic regression; each infant counts once (healthequal weights the population twice)."""
    ridits = np.broadcast_to(_ridits(shares), estimates.shape)
    mean = np.clip((shares * estimates).sum(axis=-1), 1e-9, 1 - 1e-9)
    level, slope = np.log(mean / (1 - mean)), np.zeros_like(mean)
    for _ in range(_NEWTON_STEPS):
        p = expit(level[..., None] + slope[..., None] * ridits)
        weight = np.maximum(shares * p * (1 - p), 1e-15)
        residual = shares * (estimates - p)
        a, b, c = weight.sum(-1), (weight * ridits).sum(-1), (weight * ridits**2).sum(-1)
        u, v = residual.sum(-1), (residual * ridits).sum(-1)
        determinant = a * c - b * b
        level = np.clip(level + np.clip((c * u - b * v) / determinant, -4, 4), -50, 50)
        slope = np.clip(slope + np.clip((a * v - b * u) / determinant, -4, 4), -50, 50)
    return expit(level), expit(level + slope)


def slope_index(shares: Floats, estimates: Floats) -> Floats:
    """SII by logistic regression: fitted at the last end of the rank minus at the first."""
    first, last = _logit_ends(shares, estimates)
    return last - first


def relative_index(shares: Floats, estimates: Floats) -> Floats:
    """RII by logistic regression: their ratio."""
    first, last = _logit_ends(shares, estimates)
    index: Floats = last / np.maximum(first, _NEARLY_NONE)
    return index


def slope_index_linear(shares: Floats, estimates: Floats) -> Floats:
    """SII by weighted least squares."""
    first, last = _linear_ends(shares, estimates)
    return last - first


def relative_index_linear(shares: Floats, estimates: Floats) -> Floats:
    """RII by weighted least squares; meaningless where the line falls to 0 at the first end."""
    first, last = _linear_ends(shares, estimates)
    index: Floats = last / np.maximum(first, _NEARLY_NONE)
    return index


#: Over groups with an order, from least to most deprived.
ORDERED_INDICES: dict[str, Index] = {
    "aci": absolute_concentration,
    "rci": relative_concentration,
    "sii": slope_index,
    "rii": relative_index,
    "sii_linear": slope_index_linear,
    "rii_linear": relative_index_linear,
}


def expected_variance_without_disparity(late: Floats, n: Floats) -> float:
    """Between-group variance that chance alone gives: (J - 1) mu (1 - mu) / N."""
    mean = float(late.sum() / n.sum())
    return (len(n) - 1) * mean * (1 - mean) / float(n.sum())


def between_group_variance_se(shares: Floats, estimates: Floats, errors: Floats) -> float:
    """Standard error of the between-group variance, from those of the groups."""
    p, se = shares, errors
    second, fourth = (p**2 * se**2).sum(), (p**4 * se**4).sum()
    apart = 4 * (p**2 * se**2 * _apart(p, estimates) ** 2).sum()
    return float(np.sqrt(apart + 2 * (second**2 - fourth + (p**2 * (1 - p) ** 2 * se**4).sum())))


def theil_se(shares: Floats, estimates: Floats, errors: Floats) -> float:
    """Standard error of Theil's index, on its scale."""
    mean, ratio = _mean(shares, estimates), _ratio(shares, estimates)
    pull = 1 + np.log(ratio) - (shares * ratio * (1 + np.log(ratio))).sum()
    return float(1000 * np.sqrt((shares**2 * errors**2 / mean**2 * pull**2).sum()))


def mean_log_deviation_se(shares: Floats, estimates: Floats, errors: Floats) -> float:
    """Standard error of the mean log deviation, on its scale."""
    mean, ratio = _mean(shares, estimates), _ratio(shares, estimates)
    return float(1000 * np.sqrt((shares**2 * errors**2 / mean**2 * (1 - 1 / ratio) ** 2).sum()))


_ERRORS: dict[str, Callable[[Floats, Floats, Floats], float]] = {
    "bgv": between_group_variance_se,
    "theil": theil_se,
    "mld": mean_log_deviation_se,
}


def _interval(value: float, drawn: Floats, by_chance: Floats, equal: float) -> tuple[float, float]:
    """Percentiles of the bootstrap, widened towards `equal` (the index of equal groups) for the bias of an index.

    Chance makes groups look unlike, so that the estimate is too far from `equal` on average, and draws from the groups'
    own shares are by as much again: the near end gives way by twice that. Where chance alone goes as far as the
    estimate it is `equal` itself. The percentiles alone would leave out 0 when nothing differs, and even the estimate
    when it is smaller than chance gives.
    """
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    bias = float(drawn.mean()) - value
    if bias > 0:
        low = min(low, max(equal, low - 2 * bias))
    else:
        high = max(high, min(equal, high - 2 * bias))
    within = abs(value - equal) <= np.quantile(np.abs(by_chance - equal), LEVEL)
    reached = (low, high, value, equal) if within else (low, high, value)
    return float(min(reached)), float(max(reached))


def inequality(late: Sequence[int], n: Sequence[int], *, seed: int, ordered: bool = False) -> list[Estimate]:
    """Every index over the groups that have infants, with its interval (`_interval`) and null expectation.

    With `ordered` (groups from least to most deprived) also those that need an order. The last, `bgv_corrected`, is the
    between-group variance less what chance gives, and at least 0.
    """
    counts, sizes = np.array(late, dtype=float), np.array(n, dtype=float)
    counts, sizes = counts[sizes > 0], sizes[sizes > 0]
    indices = INDICES | (ORDERED_INDICES if ordered else {})
    method = "formula"
    reason = "fewer than two groups with infants" if len(sizes) < 2 else "nobody late" if not counts.sum() else None
    if reason is not None:
        return [not_estimable(name, method, reason) for name in (*indices, "bgv_corrected")]
    rng = np.random.default_rng(seed)
    whole, shares, shown = sizes.astype(int), sizes / sizes.sum(), counts / sizes
    drawn = rng.binomial(whole, shown, size=(_DRAWS, len(sizes))) / sizes
    null = rng.binomial(whole, counts.sum() / sizes.sum(), size=(_DRAWS, len(sizes))) / sizes
    errors = np.sqrt(shown * (1 - shown) / sizes)
    chance = expected_variance_without_disparity(counts, sizes)
    found = []
    for name, index in indices.items():
        value, by_chance = float(index(shares, shown)), index(shares, null)
        expected = chance if name == "bgv" else float(by_chance.mean())
        se = _ERRORS[name](shares, shown, errors) if name in _ERRORS else None
        equal = float(index(shares, np.full(len(sizes), counts.sum() / sizes.sum())))
        low, high = _interval(value, index(shares, drawn), by_chance, equal)
        kind = "parametric bootstrap"
        found.append(Estimate(name, method, value, low, high, kind, se, None, expected).checked())
    corrected = max(0.0, float(between_group_variance(shares, shown)) - chance)
    reason = "no interval: a difference from what chance gives"
    return [*found, Estimate("bgv_corrected", method, corrected, null_expectation=0.0, reason=reason)]
