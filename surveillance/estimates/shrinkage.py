"""Shares drawn towards the whole: beta-binomial, for display of small groups and sites only, never for an alert.

The strength M of the drawing has a prior, log M ~ N(log 20, 1): without one, groups that happen to differ less than
chance would make M infinite and every group the same. Posterior by quadrature over (mean, M).
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq
from scipy.special import betaln
from scipy.stats import beta

from surveillance.estimates.estimate import LEVEL, Estimate, not_estimable

_MEANS = (np.arange(60) + 0.5) / 60
_STRENGTHS = np.exp(np.log(20) + np.linspace(-3, 3, 31))
_LOG_PRIOR = -0.5 * np.linspace(-3, 3, 31) ** 2
#: Quadrature points that carry less than this of the weight don't matter.
_NEGLIGIBLE = 1e-6


def shrunk(late: list[int], n: list[int]) -> list[Estimate]:
    """Posterior mean and central 95% interval of each group's share, in order."""
    estimand, method = "prop_shrunk", "beta-binomial, prior on the strength"
    x, sizes = np.array(late, dtype=float), np.array(n, dtype=float)
    if not sizes.sum():
        return [not_estimable(estimand, method, "no infants") for _ in n]
    mean, strength = (grid.ravel() for grid in np.meshgrid(_MEANS, _STRENGTHS, indexing="ij"))
    a, b = mean * strength, (1 - mean) * strength
    log_weight = np.tile(_LOG_PRIOR, len(_MEANS)) + sum(
        betaln(a + xi, b + ni - xi) - betaln(a, b) for xi, ni in zip(x, sizes, strict=True)
    )
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    kept = weight > _NEGLIGIBLE
    a, b, weight = a[kept], b[kept], weight[kept] / weight[kept].sum()
    tail = (1 - LEVEL) / 2
    found = []
    for xi, ni in zip(x, sizes, strict=True):
        posterior = beta(a + xi, b + ni - xi)
        value = float((weight * posterior.mean()).sum())

        def below(p: float, posterior: object = posterior) -> float:
            return float((weight * posterior.cdf(p)).sum())  # type: ignore[attr-defined]

        low, high = (float(brentq(lambda p, t=t: below(p) - t, 0.0, 1.0, xtol=1e-9)) for t in (tail, 1 - tail))
        found.append(Estimate(estimand, method, value, low, high, "posterior"))
    return found
