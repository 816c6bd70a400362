"""Logistic regression: Firth's penalised odds ratio, and g-computation (a difference standardised over covariates)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from surveillance.estimates.estimate import Estimate, Z, not_estimable
from surveillance.estimates.likelihood import Likelihood, NotFound, Point, maximise, profile, scaled

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

#: A variance robust to clusters is too small with fewer of them than this (statistics.md 1.1).
MIN_CLUSTERS = 20


def _expit(linear: Floats) -> Floats:
    probability: Floats = 0.5 * (1 + np.tanh(linear / 2))
    return probability


def _likelihood(late: Floats, design: Floats, *, firth: bool) -> Likelihood:
    def at(beta: Floats) -> Point:
        linear = design @ beta
        p = _expit(linear)
        value = float((late * linear - np.logaddexp(0, linear)).sum())
        weighted = design * (p * (1 - p))[:, None]
        information = weighted.T @ design
        residual = late - p
        if firth:
            sign, log_determinant = np.linalg.slogdet(information)
            if sign <= 0:
                return Point(-np.inf, design.T @ residual, information)
            leverage = np.einsum("ij,ji->i", weighted, np.linalg.solve(information, design.T))
            value += log_determinant / 2
            residual = residual + leverage * (0.5 - p)
        return Point(value, design.T @ residual, information)

    return at


def _refused(late: NDArray[np.bool_], group: NDArray[np.bool_]) -> str | None:
    if not group.any() or group.all():
        return "one of the groups has no infants"
    if late.all() or not late.any():
        return "everyone or nobody late"
    return None


def firth_odds_ratio(late: ArrayLike, design: ArrayLike) -> Estimate:
    """Odds ratio of the first column of `design` (1 group, 0 reference) by Firth's logistic regression.

    The intercept is added. Profile interval and likelihood-ratio test, as logistf.
    """
    estimand, method = "or", "logistic, firth"
    outcome = np.asarray(late, dtype=bool)
    columns = np.asarray(design, dtype=float).reshape(len(outcome), -1)
    reason = _refused(outcome, columns[:, 0] == 1)
    if reason is not None:
        return not_estimable(estimand, method, reason)
    centred, spread = scaled(columns)
    with_intercept = np.column_stack([centred, np.ones(len(outcome))])
    try:
        found = profile(_likelihood(outcome.astype(float), with_intercept, firth=True), with_intercept.shape[1])
    except NotFound as problem:
        return not_estimable(estimand, method, f"the penalised model can't be fitted: {problem}")
    value, low, high = (float(np.exp(b / spread[0])) for b in (found.value, found.low, found.high))
    return Estimate(estimand, method, value, low, high, "profile", p_value=found.p_value).checked()


def standardised_difference(
    late: ArrayLike, group: ArrayLike, covariates: ArrayLike, *, clusters: ArrayLike | None = None
) -> Estimate:
    """Risk difference had group and reference the same `covariates`: g-computation over those of both.

    Logistic regression with the group and the covariates; predictions averaged with everyone in the group and with
    everyone in the reference. Normal interval by the sandwich of the stacked equations (as R's stdReg), which
    counts the covariates as drawn too, cut at -1 and 1; robust to clusters where there are `MIN_CLUSTERS` of them.
    """
    estimand, method = "rd_standardised", "g-computation, logistic"
    outcome, member = np.asarray(late, dtype=bool), np.asarray(group, dtype=bool)
    reason = _refused(outcome, member)
    if reason is None and any(len(np.unique(outcome[side])) == 1 for side in (member, ~member)):
        reason = "everyone or nobody of one group late: the model is separated"
    if reason is not None:
        return not_estimable(estimand, method, reason)
    n = len(outcome)
    others = scaled(np.asarray(covariates, dtype=float).reshape(n, -1))[0]
    design = np.column_stack([member.astype(float), others, np.ones(n)])
    try:
        beta, at = maximise(_likelihood(outcome.astype(float), design, firth=False), np.zeros(design.shape[1]))
        bread = np.linalg.inv(at.information)
    except (NotFound, np.linalg.LinAlgError):
        return not_estimable(estimand, method, "the model is separated, or a covariate repeats another")
    inside, outside = design.copy(), design.copy()
    inside[:, 0], outside[:, 0] = 1.0, 0.0
    p, p_in, p_out = (_expit(x @ beta) for x in (design, inside, outside))
    value = float((p_in - p_out).mean())
    slope = (inside * (p_in * (1 - p_in))[:, None] - outside * (p_out * (1 - p_out))[:, None]).mean(axis=0)
    influence = p_in - p_out - value + n * (design * (outcome - p)[:, None]) @ bread @ slope
    kind = "sandwich"
    if clusters is not None:
        index = np.unique(np.asarray(clusters), return_inverse=True)[1].reshape(-1)
        if index.max() + 1 >= MIN_CLUSTERS:
            influence, kind = np.bincount(index, weights=influence), "sandwich by cluster"
    se = float(np.sqrt((influence**2).sum())) / n
    return Estimate(estimand, method, value, max(value - Z * se, -1.0), min(value + Z * se, 1.0), kind, se).checked()
