"""Shares drawn towards the whole: beta-binomial, for display of small groups and sites only, never for an alert.

The strength M of the drawing has a prior, log M ~ N(log 20, 1): without one, groups that happen to differ less than
chance would make M infinite and every group the same. Posterior by quadrature over (mean, M).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import brentq
from scipy.special import betainc, betaln

from surveillance.estimates.estimate import LEVEL, Estimate, not_estimable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_LOG_20 = np.log(20)
#: Points of the quadrature: logit of the mean, log of the strength.
_POINTS = 60
#: Quadrature points that carry less than this of the weight don't matter.
_NEGLIGIBLE = 1e-7


def shrunk(late: list[int], n: list[int]) -> list[Estimate]:
    """Posterior mean and central 95% interval of each group's share, in order."""
    estimand, method = "prop_shrunk", "beta-binomial, prior on the strength"
    x, sizes = np.array(late, dtype=float), np.array(n, dtype=float)
    if not sizes.sum():
        return [not_estimable(estimand, method, "no infants") for _ in n]
    a, b, weight = _quadrature(x, sizes)
    tail = (1 - LEVEL) / 2
    found = []
    for xi, ni in zip(x, sizes, strict=True):
        value = float((weight * (a + xi) / (a + b + ni)).sum())

        def below(p: float, xi: float = xi, ni: float = ni) -> float:
            return float((weight * betainc(a + xi, b + ni - xi, p)).sum())

        low, high = (float(brentq(lambda p, t=t: below(p) - t, 0.0, 1.0, xtol=1e-9)) for t in (tail, 1 - tail))
        found.append(Estimate(estimand, method, value, low, high, "posterior"))
    return found


def _quadrature(x: Floats, sizes: Floats) -> tuple[Floats, Floats, Floats]:
    """Parameters of the beta distributions of the groups' shares, and their posterior weights.

    First over all of it, then over where the weight is: with thousands of infants the mean is known to a hundredth.
    """
    means, strengths = (-9.0, 9.0), (_LOG_20 - 5, _LOG_20 + 5)
    for _ in range(3):
        logits, logs = np.linspace(*means, _POINTS), np.linspace(*strengths, _POINTS)
        logit, log_strength = (grid.ravel() for grid in np.meshgrid(logits, logs, indexing="ij"))
        mean, strength = 1 / (1 + np.exp(-logit)), np.exp(log_strength)
        a, b = mean * strength, (1 - mean) * strength
        # The mean is uniform, so that its logit has the density mean (1 - mean).
        log_weight = np.log(mean) + np.log1p(-mean) - 0.5 * (log_strength - _LOG_20) ** 2
        log_weight += sum(betaln(a + xi, b + ni - xi) - betaln(a, b) for xi, ni in zip(x, sizes, strict=True))
        weight = np.exp(log_weight - log_weight.max())
        weight /= weight.sum()
        kept = weight > _NEGLIGIBLE
        means, strengths = _around(logit[kept], logits), _around(log_strength[kept], logs)
    return a[kept], b[kept], weight[kept] / weight[kept].sum()


def _around(held: Floats, grid: Floats) -> tuple[float, float]:
    """The range that the points with weight span, and one step more on each side, within the grid."""
    step = float(grid[1] - grid[0])
    return max(float(held.min()) - step, float(grid[0])), min(float(held.max()) + step, float(grid[-1]))
