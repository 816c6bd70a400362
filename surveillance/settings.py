"""What a weekly run may be told. All of it is part of its input: same data, same settings, same bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from surveillance.measures.registry import Chart, default_charts


@dataclass(frozen=True)
class SurveillanceSettings:
    """Defaults suit a network of a few hospitals. Days are whole days."""

    #: False alerts a year that the network tolerates over all alerting charts together (B).
    budget: float = 1.0
    #: The charts that a warehouse without any begins with; from then on its registry stands.
    charts: tuple[Chart, ...] = field(default_factory=default_charts)
    #: How sure the diagnosis must be for an infant to be measured; `("definite",)` is the strict choice.
    cohorts: tuple[str, ...] = ("definite", "probable")
    #: Ids of the measures to estimate; empty: all of the registry.
    measures: tuple[str, ...] = ()
    #: Days from an event until it can be relied on to be in the warehouse.
    maturity_lag_days: int = 14
    #: The same where a source needs another; wins over `maturity_lag_days`.
    lag_days_by_source: Mapping[str, int] = field(default_factory=dict)
    #: Below this a stratum has its counts reported, and no estimate.
    min_n: int = 5
    #: A curve under left truncation starts when this many are at risk.
    min_at_risk: int = 5
    #: Horizon of the restricted mean: "days waited in the first 28 days".
    horizon_days: int = 28
    #: Weeks of the rolling window beside the cumulative one.
    window_weeks: int = 52
    #: Hours from first contact after which an infant without neurology is on the work list.
    waiting_hours: int = 72
    #: Whether the report and releases pass disclosure control; off for those who may see single infants.
    suppression: bool = True
    #: Days between releases into `published`.
    release_days: int = 91
    #: Simulated charts behind the report's weeks to detection; 0 leaves them out.
    power_charts: int = 30
    #: Who answers for alerts, as named in every message.
    owner: str = "the network's quality lead"
    #: Whether messages hold the counts behind an alert; off where they go beyond those who answer for it.
    message_counts: bool = True
    #: Where those who may see infants find them; no PHI, no identifier.
    worklist_link: str = ""
    #: Sources that should send something; one that never did is missing.
    sources: tuple[str, ...] = ()
    code_version: str = "0.1.0"

    def lag(self, source: str) -> int:
        return self.lag_days_by_source.get(source, self.maturity_lag_days)

    def lag_range(self, sources: Sequence[str]) -> str:
        """The lags of these sources in words: `14`, or `14 to 21`."""
        days = sorted({self.lag(source) for source in sources}) or [self.maturity_lag_days]
        return f"{days[0]}" if len(days) == 1 else f"{days[0]} to {days[-1]}"

    def fingerprint(self) -> str:
        """Hash of all settings, as every result carries it."""
        text = json.dumps(asdict(self), sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
