"""Cox regression for a ratio of hazards, and Firth's penalty where events are few.

Written out so that one likelihood serves both (Efron's or Breslow's ties, baseline hazards by stratum, late entry):
statsmodels has no penalty, firthmodels neither Efron's ties nor strata nor entry times. It gives what R's
survival::coxph gives, and what coxphf gives with `ties="breslow"`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.stats import norm

from surveillance.estimates.estimate import Estimate, Z, not_estimable
from surveillance.estimates.likelihood import Likelihood, NotFound, Point, maximise, profile, scaled

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]
    Ties = Literal["efron", "breslow"]

#: With fewer events than this for each coefficient, Cox's estimate is biased away from 1: Firth's penalty instead.
EVENTS_A_PARAMETER = 10


@dataclass(frozen=True)
class CoxData:
    """Who is at risk when. Arrays by infant, but `design` (infants, coefficients)."""

    days: Floats
    event: NDArray[np.bool_]
    design: Floats
    strata: NDArray[np.int_]
    entry: Floats | None = None

    @property
    def group(self) -> NDArray[np.bool_]:
        return np.asarray(self.design[:, 0] == 1)


def cox_data(
    days: ArrayLike,
    event: ArrayLike,
    design: ArrayLike,
    *,
    strata: ArrayLike | None = None,
    entry: ArrayLike | None = None,
) -> CoxData:
    """Check and arrange. `design` is one column or a matrix; with `entry`, those with entry >= days drop out (as in R).

    Strata in which nobody had the event are left out: they say nothing of a ratio of hazards.
    """
    waits, events = np.asarray(days, dtype=float), np.asarray(event, dtype=bool)
    columns = np.asarray(design, dtype=float).reshape(len(waits), -1)
    groups = np.zeros(len(waits), dtype=int)
    if strata is not None:
        groups = np.unique(np.asarray(strata), return_inverse=True)[1].reshape(-1)
    entries = None if entry is None else np.asarray(entry, dtype=float)
    kept = np.ones(len(waits), dtype=bool) if entries is None else entries < waits
    kept &= np.isin(groups, np.unique(groups[events & kept]))
    return CoxData(waits[kept], events[kept], columns[kept], groups[kept], None if entries is None else entries[kept])


class _RiskSets:
    """The sums over risk sets that the partial likelihood is made of, for any coefficients."""

    def __init__(self, data: CoxData, design: Floats, ties: Ties) -> None:
        self.design = design
        self.event = data.event
        self._last_first = np.lexsort((-data.days, data.strata))
        strata, days = data.strata, data.days
        deaths = np.unique(np.column_stack([strata[data.event], days[data.event]]), axis=0)
        sorted_strata, sorted_days = strata[self._last_first], days[self._last_first]
        before = np.searchsorted(sorted_strata, deaths[:, 0])
        self._from = before
        self._to = np.array(
            [
                start + int((sorted_days[(sorted_strata == s)] >= t).sum())
                for start, (s, t) in zip(before, deaths, strict=True)
            ],
            dtype=int,
        )
        self._entry_order: NDArray[np.int_] | None = None
        if data.entry is not None:
            self._entry_order = np.lexsort((-data.entry, strata))
            entries = data.entry[self._entry_order]
            entry_strata = strata[self._entry_order]
            self._not_in = np.array(
                [
                    start + int((entries[entry_strata == s] >= t).sum())
                    for start, (s, t) in zip(before, deaths, strict=True)
                ],
                dtype=int,
            )
        where = {(s, t): k for k, (s, t) in enumerate(map(tuple, deaths))}
        self._death_at = np.array([where[s, t] for s, t in zip(strata[self.event], days[self.event], strict=True)])
        counts = np.bincount(self._death_at, minlength=len(deaths))
        self._step = np.repeat(np.arange(len(deaths)), counts)
        # Efron: the l-th of d tied deaths leaves l/d of all of them in the past. Breslow: none.
        rank = np.concatenate([np.arange(d) for d in counts]) if len(counts) else np.empty(0)
        self._gone = rank / counts[self._step] if ties == "efron" else np.zeros(len(self._step))
        self._first, self._past = _deaths_at_risk(data, deaths)

    def moments(self, beta: Floats, order: int) -> tuple[float, list[Floats]]:
        """Sum of the deaths' linear predictors less the shift of the weights, and, at every death, the weighted sums of
        the powers 0 .. `order` of the covariates over those at risk."""
        x = self.design
        linear = x @ beta
        shift = float(linear.max(initial=0.0))
        weight = np.exp(linear - shift)
        power, sums = weight[:, None], []
        for k in range(order + 1):
            if k:
                power = (power[:, :, None] * x[:, None, :]).reshape(len(x), -1)
            sums.append(self._over_risk_sets(power))
        return float((linear[self.event] - shift).sum()), sums

    def pooled_second(self, beta: Floats, total: Floats) -> Floats:
        """Sum over the deaths of the weighted mean of x x' over those at risk: one product, not one a death.

        `total` is the sum of weights at each death, from `moments`.
        """
        linear = self.design @ beta
        weight = np.exp(linear - float(linear.max(initial=0.0)))
        deaths = len(self._to)
        share = np.bincount(self._step, weights=1 / total, minlength=deaths)
        gone = np.bincount(self._step, weights=self._gone / total, minlength=deaths)
        upto = np.concatenate([[0.0], np.cumsum(share)])
        times_at_risk = upto[self._past] - upto[self._first]
        times_at_risk[self.event] -= gone[self._death_at]
        product: Floats = (self.design * (weight * times_at_risk)[:, None]).T @ self.design
        return product

    def _over_risk_sets(self, values: Floats) -> Floats:
        def upto(order: NDArray[np.int_], ends: NDArray[np.int_]) -> Floats:
            total = np.vstack([np.zeros(values.shape[1]), np.cumsum(values[order], axis=0)])
            difference: Floats = total[ends] - total[self._from]
            return difference

        at_risk = upto(self._last_first, self._to)
        if self._entry_order is not None:
            at_risk = at_risk - upto(self._entry_order, self._not_in)
        dying = np.zeros_like(at_risk)
        np.add.at(dying, self._death_at, values[self.event])
        steps: Floats = at_risk[self._step] - self._gone[:, None] * dying[self._step]
        return steps


def _deaths_at_risk(data: CoxData, deaths: Floats) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """Of each infant, the first of `deaths` (stratum, day; sorted) at which it is at risk, and the first one after."""
    first, past = np.zeros(len(data.days), dtype=int), np.zeros(len(data.days), dtype=int)
    for stratum in np.unique(data.strata):
        here, start = data.strata == stratum, int(np.searchsorted(deaths[:, 0], stratum))
        days = deaths[deaths[:, 0] == stratum, 1]
        past[here] = start + np.searchsorted(days, data.days[here], side="right")
        first[here] = start + (0 if data.entry is None else np.searchsorted(days, data.entry[here], side="right"))
    return first, past


def _partial_likelihood(data: CoxData, design: Floats, ties: Ties, *, firth: bool) -> Likelihood:
    sets = _RiskSets(data, design, ties)
    p = design.shape[1]
    observed = design[data.event].sum(axis=0)

    def at(beta: Floats) -> Point:
        linear, sums = sets.moments(beta, 3 if firth else 1)
        total = sums[0]
        mean = sums[1] / total
        information = sets.pooled_second(beta, total[:, 0]) - mean.T @ mean
        value = linear - float(np.log(total).sum())
        score = observed - mean.sum(axis=0)
        if not firth:
            return Point(value, score, information)
        second = (sums[2] / total).reshape(-1, p, p)
        sign, log_determinant = np.linalg.slogdet(information)
        if sign <= 0:
            return Point(-np.inf, score, information)
        third = (sums[3] / total).reshape(-1, p, p, p)
        mixed = mean[:, :, None, None] * second[:, None, :, :]
        central = third - mixed - np.swapaxes(mixed, 1, 2) - np.moveaxis(mixed, 1, 3)
        central += 2 * mean[:, :, None, None] * mean[:, None, :, None] * mean[:, None, None, :]
        slope = np.einsum("ab,abc->c", np.linalg.inv(information), central.sum(axis=0))
        return Point(value + log_determinant / 2, score + slope / 2, information)

    return at


def cox_coefficients(data: CoxData, *, ties: Ties = "efron", firth: bool = False) -> tuple[Floats, Floats]:
    """Log hazard ratios of all columns of the design, and their standard errors. Raises `likelihood.NotFound`."""
    design, spread = scaled(data.design)
    beta, at = maximise(_partial_likelihood(data, design, ties, firth=firth), np.zeros(design.shape[1]))
    try:
        variance = np.diag(np.linalg.inv(at.information))
    except np.linalg.LinAlgError as error:
        raise NotFound("singular information") from error
    if not (variance > 0).all():
        raise NotFound("singular information")
    return beta / spread, np.sqrt(variance) / spread


def hazard_ratio(data: CoxData, *, ties: Ties = "efron") -> Estimate:
    """Hazard ratio of the first column of the design (1 group, 0 reference): below 1 the group waits longer.

    Wald interval and test, as R's summary(coxph). Refused with fewer than `EVENTS_A_PARAMETER` events a coefficient,
    where `firth_hazard_ratio` is right.
    """
    estimand, method = "hr", f"cox {ties}"
    reason = _no_comparison(data)
    columns = data.design.shape[1]
    if reason is None and data.event.sum() < EVENTS_A_PARAMETER * columns:
        reason = f"fewer than {EVENTS_A_PARAMETER} events for each of {columns} coefficients"
    if reason is not None:
        return not_estimable(estimand, method, reason)
    try:
        coefficients, errors = cox_coefficients(data, ties=ties)
    except NotFound:
        return not_estimable(estimand, method, "the groups are separated: no hazard ratio is finite")
    log_hr, se = float(coefficients[0]), float(errors[0])
    low, high = np.exp(log_hr - Z * se), np.exp(log_hr + Z * se)
    p_value = float(2 * norm.sf(abs(log_hr) / se))
    # As for every ratio here, `se` is that of the logarithm.
    return Estimate(estimand, method, float(np.exp(log_hr)), float(low), float(high), "wald", se, p_value)


def firth_hazard_ratio(data: CoxData, *, ties: Ties = "efron") -> Estimate:
    """The same with Firth's penalty (half the log determinant of the information): finite where a group has no event.

    Profile interval and likelihood-ratio test, as coxphf (whose ties are Breslow's).
    """
    estimand, method = "hr", f"cox {ties}, firth"
    reason = _no_comparison(data, without_events=True)
    if reason is not None:
        return not_estimable(estimand, method, reason)
    design, spread = scaled(data.design)
    try:
        found = profile(_partial_likelihood(data, design, ties, firth=True), design.shape[1])
    except NotFound as problem:
        return not_estimable(estimand, method, f"the penalised model can't be fitted: {problem}")
    value, low, high = (float(np.exp(b / spread[0])) for b in (found.value, found.low, found.high))
    return Estimate(estimand, method, value, low, high, "profile", p_value=found.p_value).checked()


def _no_comparison(data: CoxData, *, without_events: bool = False) -> str | None:
    group, event = data.group, data.event
    if not event.any():
        return "no events"
    if not group.any() or group.all():
        return "one of the groups has no infants"
    if not without_events and (not event[group].any() or not event[~group].any()):
        return "one of the groups has no events"
    both = {int(s) for s in np.unique(data.strata[group])} & {int(s) for s in np.unique(data.strata[~group])}
    return None if both else "no stratum holds both groups"
