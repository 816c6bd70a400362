"""Counts and estimates of one stratum, and of one stratum against another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from surveillance.cohort import CENSORED, COMPETING, EVENT
from surveillance.estimates.estimate import Estimate
from surveillance.estimates.odds import odds_ratio
from surveillance.estimates.proportions import proportion, risk_difference, risk_ratio
from surveillance.estimates.survival import (
    Curve,
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

#: Days for which the share still waiting is given.
DAYS = (7, 14, 28)


@dataclass(frozen=True)
class Stratum:
    """The infants of one measure in one stratum, as `surveillance.cohort.measured` gives them."""

    infants: pd.DataFrame
    min_n: int
    min_at_risk: int
    horizon: int

    @cached_property
    def counts(self) -> dict[str, int]:
        """The count columns of a result. Everyone counted is either matured and decided, pending or indeterminate."""
        late, matured = self.infants["late"].to_numpy(), self.infants["matured"].to_numpy(dtype=bool)
        counted = (late != "missing") & (late != "not_applicable")
        decided = matured & ((late == "yes") | (late == "no"))
        undecided = matured & (late == "indeterminate")
        days, kind = self._waits
        return {
            "n_eligible": int(counted.sum()),
            "n_matured": int(decided.sum()),
            "n_late": int((decided & (late == "yes")).sum()),
            "n_indeterminate": int(undecided.sum()),
            "n_pending": int((counted & ~decided & ~undecided).sum()),
            "n_events": int((kind == EVENT).sum()),
            "n_censored": int((kind == CENSORED).sum()),
            "n_competing": int((kind == COMPETING).sum()),
            "person_days": int(days.sum()),
        }

    @cached_property
    def flags(self) -> str:
        """Infants without the milestone that starts the clock, and those whose first visit may have been elsewhere."""
        missing = int((self.infants["late"] == "missing").sum())
        truncated = int(self.infants["left_truncated"].sum())
        counts = {"missing_clock": missing, "left_truncated": truncated}
        return ";".join(f"{name}:{count}" for name, count in counts.items() if count)

    @cached_property
    def _waits(self) -> tuple[NDArray[np.float64], NDArray[np.int_]]:
        # Only matured waits: one that is younger looks long because the record of its end is still on its way.
        days = self.infants["days"].to_numpy(dtype=float)
        counted = self.infants["matured"].to_numpy(dtype=bool) & ~np.isnan(days)
        return days[counted], self.infants["kind"].to_numpy(dtype=int)[counted]

    @property
    def _timed(self) -> bool:
        """Whether the measure is a wait, with days to speak of."""
        return bool(self.infants["days"].notna().any())

    @cached_property
    def curve(self) -> Curve:
        """Kaplan-Meier of not yet having had the event, competing events censored."""
        days, kind = self._waits
        return kaplan_meier(risk_table(days, kind == EVENT, min_at_risk=self.min_at_risk))

    def estimates(self) -> Iterator[Estimate]:
        """Everything that is said of a stratum by itself."""
        counts = self.counts
        yield self._guard(proportion(counts["n_late"], counts["n_matured"]), counts["n_matured"])
        if self._timed:
            n = len(self._waits[0])
            yield self._guard(median(self.curve), n)
            for day in DAYS:
                yield self._guard(survival_at(self.curve, day), n)
            yield self._guard(restricted_mean(self.curve, self.horizon), n)
            if counts["n_competing"]:
                table = risk_table(*self._waits)
                yield self._guard(cumulative_incidence(table, EVENT, self.horizon), n)
                yield self._guard(cumulative_incidence(table, COMPETING, self.horizon), n)

    def against(self, reference: Stratum) -> Iterator[Estimate]:
        """Everything that is said of a stratum against the reference: absolute first."""
        mine, theirs = self.counts, reference.counts
        table = (mine["n_late"], mine["n_matured"], theirs["n_late"], theirs["n_matured"])
        smaller = min(mine["n_matured"], theirs["n_matured"])
        yield self._guard(risk_difference(*table), smaller)
        if self._timed:
            waits = min(len(self._waits[0]), len(reference._waits[0]))
            yield self._guard(restricted_mean_difference(self.curve, reference.curve, self.horizon), waits)
        yield self._guard(risk_ratio(*table), smaller)
        yield self._guard(odds_ratio(*table), smaller)
        yield self._guard(odds_ratio(*table, mid_p=True), smaller)

    def _guard(self, estimate: Estimate, n: int) -> Estimate:
        """The estimate, unless there are fewer infants than `min_n`: then its reason."""
        if 0 < n < self.min_n:
            return Estimate(estimate.estimand, estimate.method, reason=f"fewer than {self.min_n} infants")
        return replace(estimate.checked(), interval=f"fixed:{estimate.interval}" if estimate.interval else None)
