"""Adjusted comparisons: Cox, its Firth-penalised version where events are few, Firth logistic, standardised difference.

Adjust for clinical need only. Insurance, language, distance and site are ways in which a difference comes about; a
model that holds them is a second one, labelled as that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import brentq, minimize
from scipy.stats import chi2, norm

from surveillance.estimates.estimate import LEVEL, Estimate, Z, not_estimable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

#: With fewer events than this for each coefficient, Cox's estimate is biased away from 1: Firth's penalty instead.
EVENTS_A_PARAMETER = 10
#: A log hazard or odds ratio beyond this is as good as infinite.
_FAR = 15.0
_NO_LIKELIHOOD = 1e10
_CRITICAL = float(chi2.ppf(LEVEL, 1)) / 2


def hazard_ratio(
    days: Floats, event: NDArray[np.bool_], design: Floats, strata: NDArray[np.int_], *, entry: Floats | None = None
) -> Estimate:
    """Hazard ratio of the first column of `design` (1 group, 0 reference): below 1 the group waits longer.

    Cox's partial likelihood with Efron's ties, baseline hazards by stratum, optional left truncation (`entry`, days;
    those with entry >= exit drop out). Day 0 is taken as half a day: only the order counts. Under `EVENTS_A_PARAMETER`
    events a coefficient, Firth's penalty and its profile interval.
    """
    estimand, method = "hr", "cox efron"
    if entry is not None:
        kept = entry < days
        days, event, design, strata, entry = days[kept], event[kept], design[kept], strata[kept], entry[kept]
    group = design[:, 0] == 1
    if not group.any() or group.all():
        return not_estimable(estimand, method, "one of the groups has no infants")
    if not event.any():
        return not_estimable(estimand, method, "no events")
    model = _phreg(days, event, design, strata, entry)
    if event.sum() < EVENTS_A_PARAMETER * design.shape[1]:
        return _firth_cox(model, design.shape[1])
    fitted = model.fit(disp=0)
    log_hr, se = float(fitted.params[0]), float(fitted.bse[0])
    if not np.isfinite(se) or abs(log_hr) > _FAR:
        return _firth_cox(model, design.shape[1])
    p_value = float(2 * norm.sf(abs(log_hr) / se))
    low, high = np.exp(log_hr - Z * se), np.exp(log_hr + Z * se)
    return Estimate(estimand, method, float(np.exp(log_hr)), float(low), float(high), "wald", se, p_value)


class _Phreg:
    """What is used of statsmodels' proportional hazards model."""

    loglike: Callable[[Floats], float]
    hessian: Callable[[Floats], Floats]
    fit: Callable[..., _Phreg]
    params: Floats
    bse: Floats


def _phreg(
    days: Floats, event: NDArray[np.bool_], design: Floats, strata: NDArray[np.int_], entry: Floats | None
) -> _Phreg:
    from statsmodels.duration.hazard_regression import PHReg  # costs seconds to import

    model: _Phreg = PHReg(
        np.where(days == 0, 0.5, days), design, status=event.astype(int), strata=strata, entry=entry, ties="efron"
    )
    return model


def _firth_cox(model: _Phreg, size: int) -> Estimate:
    method = "cox efron, firth"

    def penalised(beta: Floats) -> float:
        sign, log_det = np.linalg.slogdet(-model.hessian(beta))
        return float(model.loglike(beta) + log_det / 2) if sign > 0 else -np.inf

    return _profile("hr", method, penalised, size)


def _profile(estimand: str, method: str, penalised: Callable[[Floats], float], size: int) -> Estimate:
    """Maximum of a penalised likelihood, its first coefficient's profile interval and likelihood ratio test."""

    def best(fixed: float | None) -> tuple[float, Floats]:
        if fixed is not None and size == 1:
            return penalised(np.array([fixed])), np.array([fixed])

        def loss(free: Floats) -> float:
            value = penalised(free if fixed is None else np.concatenate([[fixed], free]))
            return -value if np.isfinite(value) else _NO_LIKELIHOOD

        found = minimize(loss, np.zeros(size if fixed is None else size - 1), method="BFGS", options={"gtol": 1e-7})
        return -float(found.fun), found.x

    top, beta = best(None)
    centre = float(beta[0])
    if top <= -_NO_LIKELIHOOD or best(centre)[0] < top - _CRITICAL:
        return not_estimable(estimand, method, "the model can't be fitted to so few infants")

    def drop(value: float) -> float:
        return top - best(value)[0] - _CRITICAL

    low = float(np.exp(brentq(drop, centre - _FAR, centre, xtol=1e-8))) if drop(centre - _FAR) > 0 else None
    high = float(np.exp(brentq(drop, centre, centre + _FAR, xtol=1e-8))) if drop(centre + _FAR) > 0 else None
    p_value = float(chi2.sf(max(0.0, 2 * (top - best(0.0)[0])), 1))
    reason = None if low is not None and high is not None else "the profile doesn't bound it"
    return Estimate(estimand, method, float(np.exp(centre)), low, high, "profile", p_value=p_value, reason=reason)


def firth_odds_ratio(late: NDArray[np.bool_], design: Floats) -> Estimate:
    """Odds ratio of the first column of `design` by Firth's logistic regression; an intercept is added."""
    method = "logistic, firth"
    with_intercept = np.column_stack([design, np.ones(len(design))])
    group = design[:, 0] == 1
    if not group.any() or group.all():
        return not_estimable("or", method, "one of the groups has no infants")

    def penalised(beta: Floats) -> float:
        linear = with_intercept @ beta
        log_likelihood = float((late * linear - np.logaddexp(0, linear)).sum())
        p = 1 / (1 + np.exp(-linear))
        information = (with_intercept * (p * (1 - p))[:, None]).T @ with_intercept
        sign, log_det = np.linalg.slogdet(information)
        return float(log_likelihood + log_det / 2) if sign > 0 else -np.inf

    return _profile("or", method, penalised, with_intercept.shape[1])


def standardised_difference(
    late: NDArray[np.bool_],
    group: NDArray[np.bool_],
    covariates: Floats,
    *,
    seed: int,
    resamples: int = 200,
) -> Estimate:
    """Risk difference had group and reference the same `covariates`: g-computation over those of both.

    Logistic regression with the group and the covariates, predictions averaged with everyone in the group and with
    everyone in the reference. Percentile bootstrap within group and reference, with a fixed seed.
    """
    estimand, method = "rd_standardised", "g-computation, logistic"
    if not group.any() or group.all():
        return not_estimable(estimand, method, "one of the groups has no infants")
    if late.all() or not late.any():
        return not_estimable(estimand, method, "everyone or nobody late")
    rng = np.random.default_rng(seed)
    members, others = np.flatnonzero(group), np.flatnonzero(~group)
    draws = []
    for _ in range(resamples):
        sample = np.concatenate([rng.choice(members, len(members)), rng.choice(others, len(others))])
        draws.append(_g_computation(late[sample], group[sample], covariates[sample]))
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    value = _g_computation(late, group, covariates)
    se = float(np.std(draws, ddof=1))
    return Estimate(estimand, method, value, float(low), float(high), "bootstrap percentile", se)


def _g_computation(late: NDArray[np.bool_], group: NDArray[np.bool_], covariates: Floats) -> float:
    ones = np.ones((len(late), 1))
    design = np.column_stack([group.astype(float), covariates, ones])
    beta = _logistic(late.astype(float), design)
    everyone_in, nobody_in = design.copy(), design.copy()
    everyone_in[:, 0], nobody_in[:, 0] = 1.0, 0.0
    difference = _expit(everyone_in @ beta) - _expit(nobody_in @ beta)
    return float(difference.mean())


def _expit(linear: Floats) -> Floats:
    probability: Floats = 1 / (1 + np.exp(-np.clip(linear, -30, 30)))
    return probability


def _logistic(y: Floats, design: Floats) -> Floats:
    """Newton's method; a ridge of 1e-6 keeps resamples with a constant covariate or separation finite."""
    beta: Floats = np.zeros(design.shape[1])
    ridge = 1e-6 * np.eye(design.shape[1])
    for _ in range(30):
        p = _expit(design @ beta)
        information = (design * (p * (1 - p))[:, None]).T @ design + ridge
        step = np.linalg.solve(information, design.T @ (y - p) - ridge @ beta)
        beta = beta + np.clip(step, -5, 5)
        if np.abs(step).max() < 1e-9:
            break
    return beta
