"""Counts and estimates of one stratum, and of one stratum against another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

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
        late, matured = self.infants["late"], self.infants["matured"]
        counted = ~late.isin(["missing", "not_applicable"])
        decided = matured & late.isin(["yes", "no"])
        undecided = matured & (late == "indeterminate")
        waits = self._waits
        return {
            "n_eligible": int(counted.sum()),
            "n_matured": int(decided.sum()),
            "n_late": int((decided & (late == "yes")).sum()),
            "n_indeterminate": int(undecided.sum()),
            "n_pending": int((counted & ~decided & ~undecided).sum()),
            "n_events": int((waits["kind"] == EVENT).sum()),
            "n_censored": int((waits["kind"] == CENSORED).sum()),
            "n_competing": int((waits["kind"] == COMPETING).sum()),
            "person_days": int(waits["days"].sum()),
        }

    @property
    def missing(self) -> int:
        """Infants of the population without the milestone that starts the clock."""
        return int((self.infants["late"] == "missing").sum())

    @property
    def left_truncated(self) -> int:
        """Infants whose true first provider visit may have been elsewhere, before the data begin."""
        flags = self.infants["flags"].astype(object)
        return int(flags.where(flags.notna(), "").str.split(";").map(lambda kept: "left_truncated" in kept).sum())

    @cached_property
    def _waits(self) -> pd.DataFrame:
        # Only matured waits: one that is younger looks long because the record of its end is still on its way.
        return self.infants[self.infants["matured"] & self.infants["days"].notna()]

    @cached_property
    def curve(self) -> Curve:
        """Kaplan-Meier of not yet having had the event, competing events censored."""
        waits = self._waits
        return kaplan_meier(
            risk_table(waits["days"].to_numpy(), (waits["kind"] == EVENT).to_numpy(), min_at_risk=self.min_at_risk)
        )

    def estimates(self) -> Iterator[Estimate]:
        """Everything that is said of a stratum by itself."""
        counts = self.counts
        yield self._guard(proportion(counts["n_late"], counts["n_matured"]), counts["n_matured"])
        if self.infants["days"].notna().any():
            n = len(self._waits)
            yield self._guard(median(self.curve), n)
            for day in DAYS:
                yield self._guard(survival_at(self.curve, day), n)
            yield self._guard(restricted_mean(self.curve, self.horizon), n)
            if counts["n_competing"]:
                table = risk_table(self._waits["days"].to_numpy(), self._waits["kind"].to_numpy())
                yield self._guard(cumulative_incidence(table, EVENT, self.horizon), n)
                yield self._guard(cumulative_incidence(table, COMPETING, self.horizon), n)

    def against(self, reference: Stratum) -> Iterator[Estimate]:
        """Everything that is said of a stratum against the reference: absolute first."""
        mine, theirs = self.counts, reference.counts
        table = (mine["n_late"], mine["n_matured"], theirs["n_late"], theirs["n_matured"])
        smaller = min(mine["n_matured"], theirs["n_matured"])
        yield self._guard(risk_difference(*table), smaller)
        if self.infants["days"].notna().any():
            waits = min(len(self._waits), len(reference._waits))
            yield self._guard(restricted_mean_difference(self.curve, reference.curve, self.horizon), waits)
        yield self._guard(risk_ratio(*table), smaller)
        yield self._guard(odds_ratio(*table), smaller)
        yield self._guard(odds_ratio(*table, mid_p=True), smaller)

    def _guard(self, estimate: Estimate, n: int) -> Estimate:
        """The estimate, unless there are fewer infants than `min_n`: then its reason."""
        if 0 < n < self.min_n:
            return Estimate(estimate.estimand, estimate.method, reason=f"fewer than {self.min_n} infants")
        return replace(estimate.checked(), interval=f"fixed:{estimate.interval}" if estimate.interval else None)
