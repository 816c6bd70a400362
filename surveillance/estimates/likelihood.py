"""Maximising a log likelihood by Newton's method, and the interval of its first coefficient by profile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import chi2

from surveillance.estimates.estimate import LEVEL

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

#: A coefficient of this many standard deviations of its column is as good as infinite: the data are separated.
FAR = 30.0
_ITERATIONS, _HALVINGS = 200, 40
#: Steps by the information, before those by the curvature of the likelihood itself; and the latter's step.
_SCORINGS, _DIFFERENCE = 20, 1e-4
_SMALL_STEP, _LONG_STEP = 1e-10, 2.0
#: A step this long that gains so little leads to infinity; the first coefficient has settled when its part is so small.
_ENDLESS_STEP, _NO_GAIN, _SETTLED = 1e-2, 1e-5, 1e-8
#: A profile is asked for its value alone; under a penalty the last steps to its place are many, and gain nothing.
_SAME_VALUE = 1e-12
_BOUND_STEPS, _BOUND_CLOSE = 100, 1e-9
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
    """Coefficients at the maximum, from `start`; with `first_fixed` the first one stays. Raises `NotFound`.

    Where only others than the first go to infinity (nobody with a rare covariate had the event), the first one has a
    maximum all the same, and so has what is predicted: it stops once both have settled, as R's glm and coxph do.
    """
    free = slice(1 if first_fixed else 0, None)
    beta = np.array(start, dtype=float)
    at = likelihood(beta)
    for iteration in range(_ITERATIONS):
        if not beta[free].size:
            return beta, at
        information = at.information if iteration < _SCORINGS else _curvature(likelihood, beta, at)
        try:
            step = np.asarray(np.linalg.solve(information[free, free], at.score[free]), dtype=np.float64)
        except np.linalg.LinAlgError as error:
            raise NotFound("singular information") from error
        longest = max(float(np.abs(step).max()), _SMALL_STEP)
        gain = float(step @ at.score[free])
        if gain < _SAME_VALUE if first_fixed else _settled(step, gain):
            return beta, at
        shorter = np.asarray(step * min(1.0, _LONG_STEP / longest), dtype=np.float64)
        beta, at, moved = _climb(likelihood, beta, at, shorter, free)
        if moved <= _SMALL_STEP:
            return beta, at
        if np.abs(beta[free]).max() > FAR:
            raise NotFound("separated")
    raise NotFound("no convergence")


def _curvature(likelihood: Likelihood, beta: Floats, at: Point) -> Floats:
    """Minus the slope of the score, by central differences; the information where that isn't positive definite.

    A penalised likelihood is more curved than its information says, or less: with covariates that nearly repeat each
    other, steps by the information swing to and fro.
    """
    columns = []
    for j in range(len(beta)):
        ahead, behind = beta.copy(), beta.copy()
        ahead[j], behind[j] = beta[j] + _DIFFERENCE, beta[j] - _DIFFERENCE
        columns.append((likelihood(behind).score - likelihood(ahead).score) / (2 * _DIFFERENCE))
    slope = np.column_stack(columns)
    if not np.isfinite(slope).all():
        return at.information
    symmetric: Floats = (slope + slope.T) / 2
    return symmetric if np.linalg.eigvalsh(symmetric)[0] > 0 else at.information


def _settled(step: Floats, gain: float) -> bool:
    """Whether only coefficients after the first still move, without end and for nothing."""
    return bool(np.abs(step).max() > _ENDLESS_STEP and gain < _NO_GAIN and abs(step[0]) < _SETTLED)


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
    value, error = float(best[0]), _standard_error(top)
    bounds = [_bound(likelihood, best, top, side * error) for side in (-1.0, 1.0)]
    null = maximise(likelihood, np.concatenate([[0.0], best[1:]]), first_fixed=True)[1]
    return Profile(value, bounds[0], bounds[1], float(chi2.sf(max(2 * (top.value - null.value), 0.0), 1)))


def _bound(likelihood: Likelihood, best: Floats, top: Point, error: float) -> float:
    """Where the profile has fallen by the limit, on the side of `error`, a standard error with its sign.

    By Newton's method: the profile's slope is the score of the first coefficient. Kept inside a bracket, whose outer
    end is found by going further out, and begun near the bound: far out the profile is nearly flat.
    """
    inside, outside = float(best[0]), None
    first, others = inside + np.sqrt(_LIMIT) * error, best[1:]
    for _ in range(_BOUND_STEPS):
        found, at = maximise(likelihood, np.concatenate([[first], others]), first_fixed=True)
        others = found[1:]  # the next one asked for is near
        excess = 2 * (top.value - at.value) - _LIMIT
        inside, outside = (first, outside) if excess < 0 else (inside, first)
        slope = -2 * float(at.score[0])
        ahead = first - excess / slope if slope else inside
        if outside is None:
            ahead = max(ahead, first + error / 2, key=lambda b: b / error)
            ahead = min(ahead, first + 4 * error, key=lambda b: b / error)
        elif not min(inside, outside) < ahead < max(inside, outside):
            ahead = (inside + outside) / 2
        if abs(ahead - first) < _BOUND_CLOSE:
            return ahead
        if abs(ahead) > 2 * FAR:
            break
        first = ahead
    raise NotFound("the profile stays flat")


def _standard_error(top: Point) -> float:
    """Of the first coefficient, by the information at the maximum."""
    try:
        variance = float(np.linalg.inv(top.information)[0, 0])
    except np.linalg.LinAlgError as error:
        raise NotFound("singular information") from error
    return float(np.sqrt(variance)) if variance > 0 else 1.0


def scaled(design: Floats) -> tuple[Floats, Floats]:
    """Columns centred and divided by their standard deviation, and those deviations; constant columns as they are."""
    spread: Floats = design.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    return (design - design.mean(axis=0)) / spread, spread
