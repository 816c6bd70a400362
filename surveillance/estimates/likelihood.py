"""Maximising a log likelihood by Newton's method, and the interval of its first coefficient by profile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import brentq
from scipy.stats import chi2

from surveillance.estimates.estimate import LEVEL

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

#: A coefficient of this many standard deviations of its column is as good as infinite: the data are separated.
FAR = 30.0
_ITERATIONS, _HALVINGS = 200, 40
_SMALL_STEP, _LONG_STEP = 1e-10, 2.0
_LIMIT = float(chi2.ppf(LEVEL, 1))


@dataclass(frozen=True)
class Point:
    """A log likelihood at some coefficients: its value, gradient (p) and information (p, p)."""

    value: float
    score: Floats
    information: Floats


Likelihood = Callable[["Floats"], Point]


class NotFound(ArithmeticError):
    """The likelihood has no maximum at finite coefficients, or its information is singular there."""


def maximise(likelihood: Likelihood, start: Floats, *, first_fixed: bool = False) -> tuple[Floats, Point]:
    """Coefficients at the maximum, from `start`; with `first_fixed` the first one stays. Raises `NotFound`."""
    free = slice(1 if first_fixed else 0, None)
    beta = np.array(start, dtype=float)
    at = likelihood(beta)
    for _ in range(_ITERATIONS):
        if not beta[free].size:
            return beta, at
        try:
            step = np.linalg.solve(at.information[free, free], at.score[free])
        except np.linalg.LinAlgError as error:
            raise NotFound("singular information") from error
        longest = max(float(np.abs(step).max()), _SMALL_STEP)
        shorter = np.asarray(step * min(1.0, _LONG_STEP / longest), dtype=np.float64)
        beta, at, moved = _climb(likelihood, beta, at, shorter, free)
        if moved <= _SMALL_STEP:
            return beta, at
        if np.abs(beta[free]).max() > FAR:
            raise NotFound("separated")
    raise NotFound("no convergence")


def _climb(likelihood: Likelihood, beta: Floats, at: Point, step: Floats, free: slice) -> tuple[Floats, Point, float]:
    """Go along `step`, halved until the likelihood doesn't fall; how far that was."""
    for _ in range(_HALVINGS):
        ahead = beta.copy()
        ahead[free] += step
        found = likelihood(ahead)
        if found.value >= at.value - 1e-12 * abs(at.value):
            return ahead, found, float(np.abs(step).max())
        step = step / 2
    return beta, at, 0.0


@dataclass(frozen=True)
class Profile:
    """First coefficient: where the log likelihood profiled over the others is highest, its interval, p of 0."""

    value: float
    low: float
    high: float
    p_value: float


def profile(likelihood: Likelihood, coefficients: int) -> Profile:
    """Profile-likelihood interval and likelihood-ratio test of the first coefficient. Raises `NotFound`."""
    best, top = maximise(likelihood, np.zeros(coefficients))
    others = {"at": best}

    def excess(first: float) -> float:
        start = np.concatenate([[first], others["at"][1:]])
        found, at = maximise(likelihood, start, first_fixed=True)
        others["at"] = found  # the next one asked for is near
        return 2 * (top.value - at.value) - _LIMIT

    value = float(best[0])
    bounds = []
    for side in (-1.0, 1.0):
        others["at"] = best
        reach = 1.0
        while excess(value + side * reach) < 0:
            reach *= 2
            if reach > 2 * FAR:
                raise NotFound("the profile stays flat")
        others["at"] = best
        bounds.append(float(brentq(lambda b: excess(b), *sorted((value, value + side * reach)), xtol=1e-9)))
    others["at"] = best
    return Profile(value, bounds[0], bounds[1], float(chi2.sf(excess(0.0) + _LIMIT, 1)))


def scaled(design: Floats) -> tuple[Floats, Floats]:
    """Columns centred and divided by their standard deviation, and those deviations; constant columns as they are."""
    spread: Floats = design.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    return (design - design.mean(axis=0)) / spread, spread
