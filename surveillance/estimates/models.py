"""Adjusted comparisons: Cox, its Firth-penalised version where events are few, Firth logistic, standardised difference.

Adjust for clinical need only. Insurance, language, distance and site are ways in which a difference comes about; a
model that holds them is a second one, labelled as that.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import norm

from surveillance.estimates.estimate import LEVEL, Estimate, Z, not_estimable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

#: With fewer events than this for each coefficient, Cox's estimate is biased away from 1: Firth's penalty instead.
EVENTS_A_PARAMETER = 10
#: A log hazard ratio beyond this is as good as infinite.
_FAR = 15.0


def hazard_ratio(
    days: Floats, event: NDArray[np.bool_], design: Floats, strata: NDArray[np.int_], *, entry: Floats | None = None
) -> Estimate:
    """Hazard ratio of the first column of `design` (1 group, 0 reference): below 1 the group waits longer.

    Cox's partial likelihood with Efron's ties, baseline hazards by stratum, optional left truncation (`entry`, days;
    those with entry >= exit drop out). Day 0 is taken as half a day: only the order counts. Refused under
    `EVENTS_A_PARAMETER` events a coefficient, where `firth_hazard_ratio` is right.
    """
    from statsmodels.duration.hazard_regression import PHReg  # costs seconds to import

    estimand, method = "hr", "cox efron"
    if entry is not None:
        kept = entry < days
        days, event, design, strata, entry = days[kept], event[kept], design[kept], strata[kept], entry[kept]
    reason = _no_comparison(event, design[:, 0] == 1)
    if reason is None and event.sum() < EVENTS_A_PARAMETER * design.shape[1]:
        reason = f"fewer than {EVENTS_A_PARAMETER} events for each of {design.shape[1]} coefficients"
    # A stratum where nobody had the event says nothing of a ratio of hazards.
    telling = np.isin(strata, np.unique(strata[event]))
    if reason is not None:
        return not_estimable(estimand, method, reason)
    model = PHReg(
        np.where(days == 0, 0.5, days)[telling],
        design[telling],
        status=event[telling].astype(int),
        strata=strata[telling],
        entry=None if entry is None else entry[telling],
        ties="efron",
    )
    fitted = model.fit(disp=0)
    log_hr, se = float(fitted.params[0]), float(fitted.bse[0])
    if not np.isfinite(se) or abs(log_hr) > _FAR:
        return not_estimable(estimand, method, "the groups are separated: no hazard ratio is finite")
    p_value = float(2 * norm.sf(abs(log_hr) / se))
    low, high = np.exp(log_hr - Z * se), np.exp(log_hr + Z * se)
    return Estimate(estimand, method, float(np.exp(log_hr)), float(low), float(high), "wald", se, p_value)


def _no_comparison(event: NDArray[np.bool_], group: NDArray[np.bool_]) -> str | None:
    if not group.any() or group.all():
        return "one of the groups has no infants"
    if not event.any():
        return "no events"
    if not event[group].any() or not event[~group].any():
        return "one of the groups has no events"
    return None


def firth_hazard_ratio(days: Floats, event: NDArray[np.bool_], design: Floats) -> Estimate:
    """The same where events are few: Firth's penalty, Breslow's ties, no strata, profile likelihood interval."""
    from firthmodels import FirthCoxPH

    estimand, method = "hr", "cox breslow, firth"
    group = design[:, 0] == 1
    if not event.any() or not group.any() or group.all():
        return not_estimable(estimand, method, _no_comparison(event, group) or "no events")
    outcome = np.array(list(zip(event, days, strict=True)), dtype=[("event", bool), ("time", float)])
    return _penalised(estimand, method, FirthCoxPH(), design, outcome)


def firth_odds_ratio(late: NDArray[np.bool_], design: Floats) -> Estimate:
    """Odds ratio of the first column of `design` by Firth's logistic regression, profile likelihood interval."""
    from firthmodels import FirthLogisticRegression

    estimand, method = "or", "logistic, firth"
    group = design[:, 0] == 1
    if not group.any() or group.all():
        return not_estimable(estimand, method, "one of the groups has no infants")
    if late.all() or not late.any():
        return not_estimable(estimand, method, "everyone or nobody late")
    return _penalised(estimand, method, FirthLogisticRegression(), design, late.astype(int))


def _penalised(estimand: str, method: str, model: Any, design: Floats, outcome: Any) -> Estimate:
    """Fit one of firthmodels' estimators; its warnings about convergence become the reason."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            model.fit(design, outcome)
            model.lrt(features=[0])
            low, high = np.exp(model.conf_int(alpha=1 - LEVEL, method="pl", features=[0])[0])
        except (Warning, np.linalg.LinAlgError, ValueError) as problem:
            return not_estimable(estimand, method, f"the penalised model can't be fitted ({type(problem).__name__})")
    p_value = float(model.lrt_pvalues_[0])
    return Estimate(
        estimand, method, float(np.exp(model.coef_[0])), float(low), float(high), "profile", p_value=p_value
    )


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
