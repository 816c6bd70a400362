"""What an alert can and can't see: false alerts and weeks to detection, simulated for a network's volume and shares.

The simulation: Poisson arrivals each week, a group and a reference of given shares, a late probability that is the same
in both until the difference begins. Detection is counted from that week on; the weeks that an outcome takes to mature
come on top.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np

from surveillance.detector import EMPTY, Block, log_e_values

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from surveillance.measures.registry import Chart

WEEKS_A_YEAR = 52


@dataclass(frozen=True)
class Scenario:
    """One chart's situation. Shares and probabilities from 0 to 1; `cases` a year over all groups, sites together."""

    cases: float
    group_share: float
    reference_share: float
    late: float = 0.40
    odds_ratio: float = 2.0
    sites: int = 1
    #: Late probability in a week, before any difference: season, drift, a common shift. None: `late`.
    baseline: Callable[[int], float] | None = None

    def late_in(self, week: int) -> float:
        return self.late if self.baseline is None else self.baseline(week)


@dataclass(frozen=True)
class Power:
    """`false_a_year`: false alerts a chart and year without a difference. `median_weeks` None: beyond the horizon."""

    scenario: Scenario
    limit: float
    false_a_year: float
    median_weeks: float | None
    detected: dict[int, float]  # weeks -> share of charts that have signalled by then
    charts: int


class _Chart:
    """One simulated chart: counts carried forward by site, the statistic, and its signals."""

    def __init__(self, scenario: Scenario) -> None:
        self.carried = [EMPTY] * scenario.sites
        self.log_r = np.full(4, -np.inf)

    def week(self, blocks: list[Block], limit: float) -> bool:
        log_e = np.zeros(4)
        for site, block in enumerate(blocks):
            held = self.carried[site].plus(block)
            if held.complete:
                log_e += log_e_values(held)
                held = EMPTY
            self.carried[site] = held
        self.log_r = log_e + np.logaddexp(0.0, self.log_r)
        top = self.log_r.max()
        m = float(np.exp(top) * np.exp(self.log_r - top).mean())
        if m >= limit:
            self.log_r[:] = -np.inf
            return True
        return False


def _draw(
    scenario: Scenario, weeks: int, charts: int, rng: np.random.Generator, odds_ratio: Callable[[int], float]
) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Counts x, n_group, y, n_reference by chart, week and site."""
    mean = scenario.cases / WEEKS_A_YEAR / scenario.sites
    size = (charts, weeks, scenario.sites)
    n_group, n_reference = (
        rng.poisson(mean * scenario.group_share, size),
        rng.poisson(mean * scenario.reference_share, size),
    )
    reference = np.array([scenario.late_in(week) for week in range(weeks)])
    odds = reference / (1 - reference) * np.array([odds_ratio(week) for week in range(weeks)])
    group = odds / (1 + odds)
    x = rng.binomial(n_group, group[None, :, None])
    y = rng.binomial(n_reference, reference[None, :, None])
    return np.stack([x, n_group, y, n_reference], axis=-1)


def signals(
    scenario: Scenario,
    limit: float,
    *,
    weeks: int,
    charts: int,
    seed: int,
    odds_ratio: Callable[[int], float] = lambda week: 1.0,
) -> list[list[int]]:
    """Weeks in which each of `charts` simulated charts signals."""
    counts = _draw(scenario, weeks, charts, np.random.default_rng(seed), odds_ratio)
    found = []
    for drawn in counts:
        chart = _Chart(scenario)
        rows = enumerate(drawn.tolist())
        found.append([week for week, sites in rows if chart.week([Block(*site) for site in sites], limit)])
    return found


def false_alerts(scenario: Scenario, limit: float, *, years: int = 10, charts: int = 200, seed: int = 1) -> float:
    """False alerts a chart and year, without any difference."""
    found = signals(scenario, limit, weeks=years * WEEKS_A_YEAR, charts=charts, seed=seed)
    return sum(len(chart) for chart in found) / (charts * years)


def weeks_to_detection(
    scenario: Scenario, limit: float, *, start: int = 130, horizon: int = 260, charts: int = 200, seed: int = 1
) -> list[float]:
    """Weeks from the beginning of the difference (week `start`) to the first signal; infinite beyond `horizon`."""
    found = signals(
        scenario,
        limit,
        weeks=start + horizon,
        charts=charts,
        seed=seed,
        odds_ratio=lambda week: scenario.odds_ratio if week >= start else 1.0,
    )
    after = [[week - start + 1 for week in chart if week >= start] for chart in found]
    return [float(min(weeks, default=np.inf)) for weeks in after]


def power(scenario: Scenario, limit: float, *, charts: int = 200, seed: int = 1) -> Power:
    """The chart's false alerts and weeks to detection at this limit. Same arguments, same figures."""
    waits = weeks_to_detection(scenario, limit, charts=charts, seed=seed)
    median = float(np.median(waits))
    return Power(
        scenario,
        limit,
        false_alerts(scenario, limit, charts=charts, seed=seed + 1),
        median if np.isfinite(median) else None,
        {weeks: sum(wait <= weeks for wait in waits) / charts for weeks in (26, 52, 104)},
        charts,
    )


def scenario_of(chart: Chart, frozen: pd.DataFrame, odds_ratio: float = 2.0) -> Scenario | None:
    """The network's volume and shares for a chart over the last year of frozen infants; None without both groups."""
    if frozen.empty:
        return None
    last = max(frozen["week"])
    year = frozen[frozen["week"] > last - timedelta(weeks=WEEKS_A_YEAR)]
    weeks = (last - min(year["week"])).days // 7 + 1
    groups = year[chart.dimension]
    shares = [float((groups == value).mean()) for value in (chart.group, chart.reference)]
    late = float((year.loc[groups == chart.reference, "late"] == "yes").mean()) if shares[1] else 0.0
    if 0.0 in shares or not 0 < late < 1:
        return None
    sites = int(year["source"].nunique()) if chart.scope == "within-site" else 1
    return Scenario(len(year) * WEEKS_A_YEAR / weeks, shares[0], shares[1], late, odds_ratio, sites)
