"""What an alert can and can't see: false alerts and weeks to detection, simulated for a network's volume and shares.

The simulation: Poisson arrivals each week, a group and a reference of given shares, a late probability that is the same
in both until the difference begins. Waits in days are Weibull with shape 0.75, and as often late; the group's hazards
are in the ratio that gives the odds ratio at day 7 (0.61 for 2 at 40% late). Detection is counted from the week of the
change on; the weeks that an outcome takes to mature come on top.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

from surveillance.detector import Block, Gather, Row, complete_blocks, log_e_values, shiryaev_roberts
from surveillance.hazards import HAZARD_RATIOS, HORIZON_DAYS, Waits, complete_cells
from surveillance.measures.registry import ChartVersion

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from surveillance.measures.registry import Chart

    Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
    Counts = np.ndarray[tuple[int, ...], np.dtype[np.int64]]

WEEKS_A_YEAR = 52
#: Shape of the waits' Weibull distribution (statistics.md 1.0).
_SHAPE = 0.75
#: The first whole day that is late.
_LATE_FROM = 8


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
    version: ChartVersion = "binary"
    #: Standard deviation of the sites' log odds of being late; the group is the more there, the slower the site.
    site_spread: float = 0.0

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

    def __init__(self, version: ChartVersion) -> None:
        self.gather: Gather = complete_blocks if version == "binary" else complete_cells
        self.ratios = None if version == "binary" else HAZARD_RATIOS
        self.carried: list[Row] = []
        self.r = np.zeros(4)

    def week(self, rows: list[Row], limit: float) -> bool:
        log_e = np.zeros(4)
        if rows:
            blocks, self.carried = self.gather([*self.carried, *rows])
            for block in blocks:
                log_e += log_e_values(block) if self.ratios is None else log_e_values(block, self.ratios)
        self.r, _, signal = shiryaev_roberts(log_e, self.r, limit)
        return signal


def _arrivals(scenario: Scenario, weeks: int, rng: np.random.Generator) -> tuple[Counts, Counts]:
    """Infants of the group and of the reference, by week and site."""
    mean = scenario.cases / WEEKS_A_YEAR / scenario.sites
    # The group's share of a site's infants rises with the site's slowness, and keeps its mean over the sites.
    tilt = np.exp(_slowness(scenario))
    size = (weeks, scenario.sites)
    group = rng.poisson(mean * scenario.group_share * tilt / tilt.mean(), size)
    return group, rng.poisson(mean * scenario.reference_share, size)


def _slowness(scenario: Scenario) -> Floats:
    """Each site's log odds of being late against the average site's: evenly spaced normal quantiles."""
    places = (np.arange(scenario.sites) + 0.5) / scenario.sites
    return scenario.site_spread * ndtri(places) if scenario.site_spread else np.zeros(scenario.sites)


def _late(scenario: Scenario, weeks: int, odds_ratio: Callable[[int], float]) -> tuple[Floats, Floats]:
    """Late probability of the group and of the reference, by week and site."""
    late = np.array([scenario.late_in(week) for week in range(weeks)])
    reference = (late / (1 - late))[:, None] * np.exp(_slowness(scenario))[None, :]
    group = reference * np.array([odds_ratio(week) for week in range(weeks)])[:, None]
    return group / (1 + group), reference / (1 + reference)


def _blocks(
    scenario: Scenario, weeks: int, rng: np.random.Generator, odds_ratio: Callable[[int], float]
) -> Iterator[list[Row]]:
    """Week by week, the late and all of the group and of the reference by site."""
    n_group, n_reference = _arrivals(scenario, weeks, rng)
    group, reference = _late(scenario, weeks, odds_ratio)
    x, y = rng.binomial(n_group, group), rng.binomial(n_reference, reference)
    for drawn in np.stack([x, n_group, y, n_reference], axis=-1).tolist():
        yield [((str(site), ""), Block(*counts)) for site, counts in enumerate(drawn) if counts[1] or counts[3]]


def _waits(
    scenario: Scenario, weeks: int, rng: np.random.Generator, odds_ratio: Callable[[int], float]
) -> Iterator[list[Row]]:
    """Week by week, the days waited by site; beyond the horizon an infant is still waiting."""
    by_day = [
        rng.multinomial(n, _day_chances(late))
        for n, late in zip(_arrivals(scenario, weeks, rng), _late(scenario, weeks, odds_ratio), strict=True)
    ]
    last = HORIZON_DAYS + 1
    for group, reference in zip(*by_day, strict=True):
        rows: list[Row] = []
        for site, day in zip(*((a.tolist()) for a in np.nonzero(group + reference)), strict=True):
            g, r = int(group[site, day]), int(reference[site, day])
            rows.append(((str(site), ""), Waits(day, 0, g, 0, r) if day == last else Waits(day, g, 0, r, 0)))
        yield rows


def _day_chances(late: Floats) -> Floats:
    """Chance of the event on each day up to the horizon, and of none; by week and site."""
    days = np.arange(HORIZON_DAYS + 2)
    waiting = late[..., None] ** ((days / _LATE_FROM) ** _SHAPE)
    chances: Floats = np.concatenate([waiting[..., :-1] - waiting[..., 1:], waiting[..., -1:]], axis=-1)
    return chances


def signals(
    scenario: Scenario,
    limit: float,
    *,
    weeks: int,
    charts: int,
    seed: int,
    odds_ratio: Callable[[int], float] = lambda week: 1.0,
    until: int | None = None,
) -> list[list[int]]:
    """Weeks in which each of `charts` simulated charts signals; each is followed to its first from `until` on."""
    draw = _blocks if scenario.version == "binary" else _waits
    found = []
    for one in range(charts):
        chart, hits = _Chart(scenario.version), []
        for week, rows in enumerate(draw(scenario, weeks, np.random.default_rng([seed, one]), odds_ratio)):
            if chart.week(rows, limit):
                hits.append(week)
                if until is not None and week >= until:
                    break
        found.append(hits)
    return found


def false_alerts(scenario: Scenario, limit: float, *, years: int = 10, charts: int = 200, seed: int = 1) -> float:
    """False alerts a chart and year, without any difference."""
    found = signals(scenario, limit, weeks=years * WEEKS_A_YEAR, charts=charts, seed=seed)
    return sum(len(chart) for chart in found) / (charts * years)


def before_and_after(
    scenario: Scenario, limit: float, *, start: int = 130, horizon: int = 260, charts: int = 200, seed: int = 1
) -> tuple[float, list[float]]:
    """False alerts a chart and year before the difference begins in week `start`, and the weeks from then until each
    chart's first signal; infinite beyond `horizon`."""
    found = signals(
        scenario,
        limit,
        weeks=start + horizon,
        charts=charts,
        seed=seed,
        odds_ratio=lambda week: scenario.odds_ratio if week >= start else 1.0,
        until=start,
    )
    false = sum(week < start for chart in found for week in chart)
    after = [[week - start + 1 for week in chart if week >= start] for chart in found]
    return false / (charts * start / WEEKS_A_YEAR), [float(min(weeks, default=np.inf)) for weeks in after]


def weeks_to_detection(
    scenario: Scenario, limit: float, *, start: int = 130, horizon: int = 260, charts: int = 200, seed: int = 1
) -> list[float]:
    """Weeks from the beginning of the difference (week `start`) to the first signal; infinite beyond `horizon`."""
    return before_and_after(scenario, limit, start=start, horizon=horizon, charts=charts, seed=seed)[1]


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
    return Scenario(
        len(year) * WEEKS_A_YEAR / weeks, shares[0], shares[1], late, odds_ratio, sites, None, chart.version
    )
