"""Time to an event under censoring and left truncation: Kaplan-Meier, restricted mean, Aalen-Johansen.

One risk table serves all three. Written out because of what the libraries do (lifelines 0.30: the restricted mean's
"variance" isn't the estimator's, issues 1277 and 1682; Aalen-Johansen jitters ties; Kaplan-Meier raises when an early
risk set empties under left truncation). Conventions are those of R's survival: at risk at t are those with
entry < t <= exit; events come before censorings of the same day; day 0 is a time like any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from surveillance.estimates.estimate import Estimate, Z, not_estimable

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

#: Under left truncation the curve starts when at least this many are at risk: one or two dying early would end it at 0.
MIN_AT_RISK = 5
_NEVER_ENTERED_LATE = -1.0  # earlier than day 0
_TIE = np.sqrt(np.finfo(float).eps)  # R's tolerance for "exactly one half"


@dataclass(frozen=True)
class RiskTable:
    """At each distinct time with an event: how many were at risk, and how many had which event.

    `events[k]` counts events of kind k + 1. Where `start` is above 0 (left truncation), what follows from the table is
    conditional on waiting longer than that; it is infinite where no risk set is large enough.
    """

    times: Floats
    at_risk: Floats
    events: Floats  # (kinds, times)
    n: int
    last: float  # largest observed time; nan when nobody
    last_is_event: bool  # nobody is still waiting after the last time
    start: float = 0.0

    @property
    def any_event(self) -> Floats:
        total: Floats = self.events.sum(axis=0)
        return total


def risk_table(
    days: ArrayLike, kind: ArrayLike, *, entry: ArrayLike | None = None, min_at_risk: int = MIN_AT_RISK
) -> RiskTable:
    """Count risk sets. `kind` is 0 for censored, 1 for the event, 2 and up for competing ones.

    With `entry` (days, left truncation), records with entry >= exit are never at risk and drop out (a negative entry is
    none: the infant was watched from the start). While infants are still entering, event times up to the last one with
    fewer than `min_at_risk` at risk are left out: the curve is then conditional on waiting longer than `start`.
    """
    exits, kinds = np.asarray(days, dtype=float), np.asarray(kind, dtype=int)
    entries = np.full(len(exits), _NEVER_ENTERED_LATE) if entry is None else np.asarray(entry, dtype=float)
    observed = entries < exits
    exits, kinds, entries = exits[observed], kinds[observed], entries[observed]
    times = np.unique(exits[kinds > 0])
    at_risk = (
        np.searchsorted(np.sort(entries), times, side="left") - np.searchsorted(np.sort(exits), times, side="left")
    ).astype(float)
    highest = max(1, int(kinds.max(initial=1)))
    slot = np.searchsorted(times, exits)
    events = np.array(
        [np.bincount(slot[kinds == k], minlength=len(times)) for k in range(1, highest + 1)], dtype=float
    ).reshape(highest, len(times))
    start = 0.0
    too_few = np.flatnonzero(at_risk < min_at_risk)
    if len(too_few) and (entries >= 0).any():
        # Only the early risk sets that later entries will fill; one that has shrunk at the end is a fact of the data.
        late_entry = entries.max(initial=0.0)
        first = int((too_few[times[too_few] <= late_entry] + 1).max(initial=0))
        start = float(times[first - 1]) if 0 < first < len(times) else float("inf") if first else 0.0
        times, at_risk, events = times[first:], at_risk[first:], events[:, first:]
    last = float(exits.max()) if len(exits) else float("nan")
    waiting_at_last = np.count_nonzero((exits == last) & (kinds == 0)) if len(exits) else 0
    return RiskTable(times, at_risk, events, len(exits), last, len(exits) > 0 and waiting_at_last == 0, start)


@dataclass(frozen=True)
class Curve:
    """A Kaplan-Meier curve: right-continuous steps at `times`, Greenwood variance, pointwise band (nan at 0 and 1)."""

    table: RiskTable
    times: Floats
    survival: Floats
    hazard_variance: Floats  # Greenwood's sum d / (n (n - d)); infinite once the curve is at 0
    low: Floats
    high: Floats
    interval: str = "log-log"

    def at(self, day: float) -> tuple[float, float, float]:
        """Survival just after `day`, and its band; (1, nan, nan) before the first event."""
        i = int(np.searchsorted(self.times, day, side="right")) - 1
        if i < 0:
            return 1.0, float("nan"), float("nan")
        return float(self.survival[i]), float(self.low[i]), float(self.high[i])


def kaplan_meier(table: RiskTable, *, interval: Literal["log-log", "log"] = "log-log") -> Curve:
    """The product-limit estimate of not having had any event. `log` is R's default band, for comparison with it."""
    n, d = table.at_risk, table.any_event
    with np.errstate(divide="ignore", invalid="ignore"):
        survival: Floats = np.multiply.accumulate(np.asarray(1 - d / n, dtype=np.float64))
        variance = np.cumsum(np.where(n > d, d / (n * (n - d)), np.inf))
        inside = (survival > 0) & (survival < 1)
        half = Z * np.sqrt(variance)
        if interval == "log":
            below, above = survival * np.exp(-half), np.minimum(survival * np.exp(half), 1.0)
        else:
            below, above = survival ** np.exp(-half / np.log(survival)), survival ** np.exp(half / np.log(survival))
    low: Floats = np.where(inside, below, np.nan)
    high: Floats = np.where(inside, above, np.nan)
    return Curve(table, table.times, survival, variance, low, high, interval)


def survival_at(curve: Curve, day: float) -> Estimate:
    """Share still waiting after `day`, log-log interval."""
    estimand, method = f"surv_{day:g}", "kaplan-meier"
    table = curve.table
    if table.n == 0:
        return not_estimable(estimand, method, "no infants")
    if 0 < table.start >= day:
        return not_estimable(estimand, method, "too few at risk so early")
    if day > table.last and not table.last_is_event:
        return not_estimable(estimand, method, f"nobody was followed for {day:g} days")
    value, low, high = curve.at(day)
    if np.isnan(low):
        reason = "no interval: nobody had the event yet" if value == 1 else "no interval: nobody is still waiting"
        return Estimate(estimand, method, value, interval=curve.interval, reason=reason)
    i = int(np.searchsorted(curve.times, day, side="right")) - 1
    se = value * float(np.sqrt(curve.hazard_variance[i]))
    return Estimate(estimand, method, value, low, high, curve.interval, se).checked()


def median(curve: Curve) -> Estimate:
    """Median wait; bounds by inverting the log-log band (Brookmeyer and Crowley), as R's print.survfit."""
    method = "kaplan-meier"
    if curve.table.n == 0:
        return not_estimable("median", method, "no infants")
    if np.isinf(curve.table.start):
        return not_estimable("median", method, "too few at risk so early")
    value = _first_below(curve.times, curve.survival)
    low, high = _first_below(curve.times, curve.low), _first_below(curve.times, curve.high)
    reason = None
    if value is None:
        reason = "fewer than half had the event: the median is not reached"
    elif high is None:
        reason = "the upper bound of the median is not reached"
    return Estimate("median", method, value, low, high, curve.interval, reason=reason)


def _first_below(times: Floats, values: Floats, level: float = 0.5) -> float | None:
    """First time at or below `level`; the middle of the step where the curve lies exactly on it (R's rule)."""
    known = ~np.isnan(values)
    times, values = times[known], values[known]
    below = np.flatnonzero(values < level + _TIE)
    if not len(below):
        return None
    i = below[0]
    lower = np.flatnonzero(values < values[i])
    if abs(values[i] - level) < _TIE and len(lower):
        return float((times[i] + times[lower[0]]) / 2)
    return float(times[i])


def restricted_mean(curve: Curve, tau: float) -> Estimate:
    """Mean days waited in the first `tau` days: the area under the curve, with the estimator's own variance."""
    method = "kaplan-meier area"
    estimand = f"rmst_{tau:g}"
    table = curve.table
    if table.n == 0:
        return not_estimable(estimand, method, "no infants")
    if table.start > 0:
        return not_estimable(estimand, method, "too few at risk so early")
    if tau > table.last and not table.last_is_event:
        return not_estimable(estimand, method, f"nobody was followed for {tau:g} days")
    inside = curve.times < tau
    knots = np.concatenate([[0.0], curve.times[inside], [tau]])
    steps = np.concatenate([[1.0], curve.survival[inside]])
    areas = np.diff(knots) * steps
    value = float(areas.sum())
    # Area to the right of each event time, up to tau.
    beyond = np.cumsum(areas[::-1])[::-1][1:]
    n, d = table.at_risk[inside], table.any_event[inside]
    # Where all at risk had the event the area beyond is 0, and so is the term.
    terms = np.divide(d, n * (n - d), out=np.zeros_like(d), where=n > d)
    se = float(np.sqrt((beyond**2 * terms).sum()))
    return Estimate(estimand, method, value, value - Z * se, value + Z * se, "normal", se)


def restricted_mean_difference(group: Curve, reference: Curve, tau: float) -> Estimate:
    """Extra days waited in the first `tau` days, group minus reference."""
    return _compare(group, reference, tau, ratio=False)


def restricted_mean_ratio(group: Curve, reference: Curve, tau: float) -> Estimate:
    """Ratio of the restricted means, group over reference; interval by the delta method on the log."""
    return _compare(group, reference, tau, ratio=True)


def _compare(group: Curve, reference: Curve, tau: float, *, ratio: bool) -> Estimate:
    estimand = f"rmst_{'ratio' if ratio else 'diff'}_{tau:g}"
    a, b = restricted_mean(group, tau), restricted_mean(reference, tau)
    method = a.method
    reason = a.reason or b.reason
    if a.value is None or b.value is None or a.se is None or b.se is None:
        return not_estimable(estimand, method, reason or "not estimable")
    if not ratio:
        se = float(np.hypot(a.se, b.se))
        value = a.value - b.value
        return Estimate(estimand, method, value, value - Z * se, value + Z * se, "normal", se)
    if a.value <= 0 or b.value <= 0:
        return not_estimable(estimand, method, "nobody waited a day")
    log_se = float(np.hypot(a.se / a.value, b.se / b.value))
    value = a.value / b.value
    low, high = value * np.exp(-Z * log_se), value * np.exp(Z * log_se)
    return Estimate(estimand, method, value, float(low), float(high), "log normal", log_se)


def cumulative_incidence(table: RiskTable, kind: int, day: float) -> Estimate:
    """Aalen-Johansen: probability of event `kind` (1 upwards) by `day`; variance of R's cmprsk, log-log interval."""
    estimand, method = f"cif{kind}_{day:g}", "aalen-johansen"
    if table.n == 0:
        return not_estimable(estimand, method, "no infants")
    if table.start > 0:
        return not_estimable(estimand, method, "too few at risk so early")
    if day > table.last and not table.last_is_event:
        return not_estimable(estimand, method, f"nobody was followed for {day:g} days")
    until = table.times <= day
    n, d = table.at_risk[until], table.any_event[until]
    dk = table.events[kind - 1, until] if kind <= len(table.events) else np.zeros_like(d)
    after = np.cumprod(1 - d / n)
    before = np.concatenate([[1.0], after[:-1]]) if len(n) else np.empty(0)
    incidence = np.cumsum(before * dk / n)
    value = float(incidence[-1]) if len(incidence) else 0.0
    # How far one event of the kind, or of another, at each time moves the incidence at `day` (Gray's cmprsk).
    later = np.divide(value - incidence, after, out=np.zeros_like(d), where=after > 0)
    variance = float(((1 - later) ** 2 * _tied(before, n, dk) + later**2 * _tied(before, n, d - dk)).sum())
    se = float(np.sqrt(max(variance, 0.0)))
    if not 0 < value < 1 or se == 0:
        return Estimate(estimand, method, value, se=se, interval="log-log", reason="no interval at 0 or 1")
    half = Z * se / (value * np.log(value))
    low, high = value ** np.exp(-half), value ** np.exp(half)
    return Estimate(estimand, method, value, float(low), float(high), "log-log", se)


def _tied(before: Floats, n: Floats, d: Floats) -> Floats:
    """Variance of the step that `d` events of `n` at risk make, corrected for ties."""
    correction = np.divide(d - 1, n - 1, out=np.zeros_like(d), where=(n > 1) & (d > 1))
    steps: Floats = before**2 * d / n**2 * (1 - correction)
    return steps
