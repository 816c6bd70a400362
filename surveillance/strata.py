"""Counts and estimates of one stratum, and of one stratum against another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from surveillance.cohort import CENSORED, COMPETING, EVENT
from surveillance.estimates.estimate import Estimate, not_estimable
from surveillance.estimates.odds import Table, odds_ratio
from surveillance.estimates.proportions import proportion, risk_difference, risk_ratio
from surveillance.estimates.survival import (
    Curve,
    RiskTable,
    cumulative_incidence,
    kaplan_meier,
    median,
    restricted_mean,
    restricted_mean_difference,
    risk_table,
    survival_at,
)

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from surveillance.settings import SurveillanceSettings

#: Days for which the share still waiting is given, and the incidence of competing events.
DAYS = (7, 14, 28)
_LATE_CODES = ("no", "yes", "indeterminate", "pending", "missing", "not_applicable", "excluded")
_NO, _YES, _INDETERMINATE, _PENDING, _MISSING, _NOT_APPLICABLE, _EXCLUDED = range(7)


@dataclass(frozen=True)
class Outcomes:
    """Infants' outcomes in one measure, as arrays: what strata are cut from."""

    late: NDArray[np.int8]
    matured: NDArray[np.bool_]
    days: NDArray[np.float64]
    entry: NDArray[np.float64]
    kind: NDArray[np.int8]
    left_truncated: NDArray[np.bool_]
    first_visit_unobserved: NDArray[np.bool_]
    curve: bool  # whether the measure gives waits, and not only whether they were long

    @classmethod
    def of(cls, infants: pd.DataFrame, *, curve: bool) -> Outcomes:
        """From what `surveillance.cohort.measured` gives."""
        return cls(
            np.array([_LATE_CODES.index(late) for late in infants["late"]], dtype=np.int8),
            infants["matured"].to_numpy(dtype=bool),
            infants["days"].to_numpy(dtype=float),
            infants["entry"].to_numpy(dtype=float),
            np.asarray(infants["kind"], dtype=np.int8),
            infants["left_truncated"].to_numpy(dtype=bool),
            infants["first_visit_unobserved"].to_numpy(dtype=bool),
            curve,
        )

    def at(self, where: NDArray[np.intp] | NDArray[np.bool_]) -> Outcomes:
        """Those of some infants."""
        return Outcomes(
            self.late[where],
            self.matured[where],
            self.days[where],
            self.entry[where],
            self.kind[where],
            self.left_truncated[where],
            self.first_visit_unobserved[where],
            self.curve,
        )

    @property
    def decided(self) -> NDArray[np.bool_]:
        """Matured, and late or not."""
        return np.asarray(self.matured & (self.late <= _YES))

    @property
    def is_late(self) -> NDArray[np.bool_]:
        return np.asarray(self.late == _YES)


@dataclass(frozen=True)
class Stratum:
    """One stratum's outcomes. Below `min_n` infants it has counts and a reason, and no estimate."""

    outcomes: Outcomes
    settings: SurveillanceSettings
    min_n: int

    @cached_property
    def counts(self) -> dict[str, int]:
        """The count columns of a result. Everyone counted is either matured and decided, pending or indeterminate."""
        here = self.outcomes
        counted = here.late <= _PENDING
        decided = here.decided
        undecided = here.matured & (here.late == _INDETERMINATE)
        return {
            "n_eligible": int(counted.sum()),
            "n_matured": int(decided.sum()),
            "n_late": int((decided & here.is_late).sum()),
            "n_indeterminate": int(undecided.sum()),
            "n_pending": int((counted & ~decided & ~undecided).sum()),
            "n_events": int((self._kinds == EVENT).sum()),
            "n_censored": int((self._kinds == CENSORED).sum()),
            "n_competing": int((self._kinds == COMPETING).sum()),
            "person_days": int((self._days - np.maximum(self._entries, 0)).sum()),
        }

    @cached_property
    def flags(self) -> str:
        """Who is left out and why, whose first visit was elsewhere, and from which day on a curve speaks."""
        here = self.outcomes
        found = {
            "missing_clock": int((here.late == _MISSING).sum()),
            "excluded": int((here.late == _EXCLUDED).sum()),
            "left_truncated": int(here.left_truncated.sum()),
            "first_visit_unobserved": int(here.first_visit_unobserved.sum()),
            "curve_from_day": self._curve_from,
        }
        return ";".join(f"{name}:{count}" for name, count in found.items() if count)

    @property
    def _curve_from(self) -> int:
        if not self._timed or len(self._days) < self.min_n or not np.isfinite(self.curve.table.start):
            return 0
        return int(self.curve.table.start)

    @cached_property
    def _waiting(self) -> NDArray[np.bool_]:
        # Only matured waits: one that is younger looks long because the record of its end is still on its way.
        return self.outcomes.matured & ~np.isnan(self.outcomes.days)

    @cached_property
    def _days(self) -> NDArray[np.float64]:
        return self.outcomes.days[self._waiting]

    @cached_property
    def _kinds(self) -> NDArray[np.int8]:
        return self.outcomes.kind[self._waiting]

    @cached_property
    def _entries(self) -> NDArray[np.float64]:
        return self.outcomes.entry[self._waiting]

    @property
    def _timed(self) -> bool:
        """Whether the measure is a wait, with days to speak of."""
        return self.outcomes.curve

    def _table(self, kinds: NDArray[np.int8]) -> RiskTable:
        entry = self._entries if (self._entries >= 0).any() else None
        return risk_table(self._days, kinds, entry=entry, min_at_risk=self.settings.min_at_risk)

    @cached_property
    def curve(self) -> Curve:
        """Kaplan-Meier of not yet having had the event, competing events censored."""
        return kaplan_meier(self._table((self._kinds == EVENT).astype(np.int8)))

    def table(self, reference: Stratum) -> Table:
        """Late and all of this stratum, late and all of the reference."""
        mine, theirs = self.counts, reference.counts
        return mine["n_late"], mine["n_matured"], theirs["n_late"], theirs["n_matured"]

    def estimates(self) -> Iterator[Estimate]:
        """Everything that is said of a stratum by itself."""
        counts, horizon = self.counts, self.settings.horizon_days
        yield self._guard(counts["n_matured"], "prop", "proportion") or _kind(
            proportion(counts["n_late"], counts["n_matured"])
        )
        if not self._timed:
            return
        n = len(self._days)
        names = ("median", *(f"surv_{day}" for day in DAYS))
        refused = [self._guard(n, name, "kaplan-meier") for name in names]
        if refused[0] is not None:
            yield from (estimate for estimate in refused if estimate is not None)
            yield not_estimable(f"rmst_{horizon}", "kaplan-meier area", refused[0].reason or "")
        else:
            yield _kind(median(self.curve))
            for day in DAYS:
                yield _kind(survival_at(self.curve, day))
            yield _kind(restricted_mean(self.curve, horizon))
        if counts["n_competing"]:
            yield from self._incidences(n)

    def _incidences(self, n: int) -> Iterator[Estimate]:
        for day in (DAYS[0], self.settings.horizon_days):
            for kind in (EVENT, COMPETING):
                yield self._guard(n, f"cif{kind}_{day}", "aalen-johansen") or _kind(
                    cumulative_incidence(self._table(self._kinds), kind, day)
                )

    def against(self, reference: Stratum) -> Iterator[Estimate]:
        """Everything that is said of a stratum against the reference: absolute first."""
        x, n, y, m = self.table(reference)
        horizon = self.settings.horizon_days
        ratios = (("rr", "ratio"), ("or", "conditional maximum likelihood"), ("or", "mid-p median unbiased"))
        refused = self._guard(min(n, m), "rd", "difference")
        yield refused or _kind(risk_difference(x, n, y, m))
        if self._timed:
            waits = min(len(self._days), len(reference._days))
            yield self._guard(waits, f"rmst_diff_{horizon}", "kaplan-meier area") or _kind(
                restricted_mean_difference(self.curve, reference.curve, horizon)
            )
        if refused is not None:
            yield from (not_estimable(name, method, refused.reason or "") for name, method in ratios)
            return
        yield _kind(risk_ratio(x, n, y, m))
        yield _kind(odds_ratio(x, n, y, m))
        yield _kind(odds_ratio(x, n, y, m, mid_p=True))

    def _guard(self, n: int, estimand: str, method: str) -> Estimate | None:
        """The reason instead of an estimate, with fewer infants than `min_n`."""
        return not_estimable(estimand, method, too_few(n, self.min_n)) if n < self.min_n else None


def too_few(n: int, min_n: int) -> str:
    """Why so few infants have no estimate."""
    return f"fewer than {min_n} infants" if n else "no infants"


def _kind(estimate: Estimate) -> Estimate:
    """Without NaN and infinity, its interval named as one that holds at this look alone."""
    return replace(estimate.checked(), interval=f"fixed:{estimate.interval}" if estimate.interval else None)
