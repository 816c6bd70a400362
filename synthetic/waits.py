"""How long an infant waits from the first provider to the neurologist, with the effect sizes that were asked for."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate
from math import log
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from synthetic.options import SynthOptions
    from synthetic.rates import Rates

LATE_AFTER_DAYS = 7  # 8 is late, 7 is not
LONGEST_DAYS = 150
_ON_TIME = (26, 17, 13, 11, 9, 9, 8, 7)  # weights of 0 to 7 days


@dataclass(frozen=True)
class WaitModel:
    """Draws waits by turning one uniform number around: the same infant waits longer under a stronger effect."""

    options: SynthOptions
    rates: Rates

    def late_probability(self, *, exposed: bool, site: int, week: int) -> float:
        """Of more than 7 days, by the odds ratios (before any hazard ratio)."""
        options = self.options
        odds = self.rates["late_share"] / (1 - self.rates["late_share"]) if self.rates["late_share"] < 1 else 1e9
        odds *= options.sites[site].late_odds_ratio
        if week >= options.common_from_week:
            odds *= options.common_odds_ratio
        if exposed and week >= options.effect_from_week:
            odds *= options.odds_ratio
        return odds / (1 + odds)

    def days(self, uniform: float, *, exposed: bool, site: int, week: int) -> int:
        """The wait whose survival probability is `uniform`: P(wait > t) = P(uniform < S(t))."""
        survival = max(uniform, 1e-12)
        if exposed and week >= self.options.effect_from_week:
            survival **= 1 / self.options.hazard_ratio  # S(t) ** hazard ratio, turned around
        late = self.late_probability(exposed=exposed, site=site, week=week)
        if survival < late:
            extra = -self.rates["late_mean_extra_days"] * log(survival / late)
            return min(LATE_AFTER_DAYS + 1 + int(extra), LONGEST_DAYS)
        return bisect_left(_ON_TIME_REACHED, (1 - survival) / (1 - late))


_ON_TIME_REACHED = tuple(reached / sum(_ON_TIME) for reached in accumulate(_ON_TIME))
