"""Evidence that a difference has gone: the detector's likelihood ratio the other way round. Pure.

From the week after an alert's last signal on, each block gives an e-value against "the odds ratio is at least 1.25":
the conditional likelihood at a smaller odds ratio over that at 1.25. By the monotone likelihood ratio its mean is at
most 1 whatever larger odds ratio is true, so that the product, averaged over the alternatives, reaches 20 with a chance
of at most 5% while the difference persists, however often one looks (Ville's inequality; statistics.md, section 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from surveillance.detector import Block, log_e_values
from surveillance.estimates.stratified import conditional_odds_ratio

if TYPE_CHECKING:
    from datetime import date

    from surveillance.charts import ChartRow
    from surveillance.measures.registry import Chart

#: What still counts as a difference, and what is tested against it: odds ratios, and hazard ratios of days waited.
_STILL = {"binary": 1.25, "time-to-event": 1 / 1.25}
_GONE = {"binary": (1.0, 0.8), "time-to-event": (1.0, 1.25)}
#: The evidence at which an alert that somebody has looked at closes by itself.
REVERSE_LIMIT = 20.0
#: Weeks without a signal and with a small odds ratio after which a person may sign the alert off as improved.
QUIET_WEEKS = 26


@dataclass(frozen=True)
class Reverse:
    """Since the last signal: evidence that the difference has gone, weeks, and the ratio (None: none can be told)."""

    evidence: float
    weeks: int
    odds_ratio: float | None
    version: str = "binary"

    @property
    def reached(self) -> bool:
        return self.evidence >= REVERSE_LIMIT

    @property
    def quiet(self) -> bool:
        """Whether it may be signed off as improved: half a year with a small difference."""
        if self.odds_ratio is None or self.weeks < QUIET_WEEKS:
            return False
        still = _STILL[self.version]
        return self.odds_ratio < still if self.version == "binary" else self.odds_ratio > still


def reverse_evidence(chart: Chart, rows: Sequence[ChartRow], after: date) -> Reverse:
    """The reverse test over the chart's weeks later than `after`."""
    since = [row for row in rows if row.week > after]
    blocks = [tuple(block) for row in since for block in row.blocks]
    still, gone = _STILL[chart.version], _GONE[chart.version]
    log_e = np.zeros(len(gone))
    for block in blocks:
        log_e = log_e + log_e_values(Block(*block), gone, margin=still)
    evidence = float(np.exp(np.minimum(log_e, 700.0)).mean())
    return Reverse(evidence, len(since), conditional_odds_ratio(blocks).checked().value, chart.version)
