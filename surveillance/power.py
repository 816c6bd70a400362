"""What an alert can and can't see: false alerts and weeks to detection, simulated for a network's volume and shares.

The simulation: Poisson arrivals each week, a group and a reference of given shares, a late probability that is the same
in both until the difference begins. Waits in days are Weibull with shape 0.75, and as often late; the group's hazards
are in the ratio that gives the odds ratio at day 7 (0.61 for 2 at 40% late). Detection is counted from the week of the
change on; the weeks that an outcome takes to mature come on top.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

from surveillance.detector import ODDS_RATIOS, Block, log_e_values, shiryaev_roberts
from surveillance.hazards import HAZARD_RATIOS, HORIZON_DAYS, MIN_ENTRIES
from surveillance.measures.registry import ChartVersion

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from surveillance.measures.registry import Chart

    Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
    Counts = np.ndarray[tuple[int, ...], np.dtype[np.int64]]
    Flags = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]

WEEKS_A_YEAR = 52
#: Shape of the waits' Weibull distribution (statistics.md 1.0).
_SHAPE = 0.75
#: The first whole day that is late.
_LATE_FROM = 8
#: Charts simulated together are those whose counts are about so many.
_COUNTS_TOGETHER = 2_000_000


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
    #: As the chart is registered: the ratio that it tolerates, and the reference that a block waits for.
    margin: float = 1.0
    min_reference: int = 1

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


def drawn(scenario: Scenario, weeks: int, rng: np.random.Generator, odds_ratio: Callable[[int], float]) -> Counts:
    """One chart's counts, of shape (weeks, sites, 4): late and all of the group, late and all of the reference.

    Of the time-to-event version (weeks, sites, 2, days): of the group and of the reference those whose wait ended on
    each day up to the horizon, and, last, those who wait still.
    """
    entered = _arrivals(scenario, weeks, rng)
    chances = _late(scenario, weeks, odds_ratio)
    if scenario.version == "binary":
        late = [rng.binomial(n, p) for n, p in zip(entered, chances, strict=True)]
        return np.stack([late[0], entered[0], late[1], entered[1]], axis=-1)
    days = [rng.multinomial(n, _day_chances(p)) for n, p in zip(entered, chances, strict=True)]
    return np.stack(days, axis=-2)


def _day_chances(late: Floats) -> Floats:
    """Chance of the event on each day up to the horizon, and of none; by week and site."""
    days = np.arange(HORIZON_DAYS + 2)
    waiting = late[..., None] ** ((days / _LATE_FROM) ** _SHAPE)
    chances: Floats = np.concatenate([waiting[..., :-1] - waiting[..., 1:], waiting[..., -1:]], axis=-1)
    return chances


def _complete(scenario: Scenario, held: Counts) -> Flags:
    """Which of the counts held, by chart and site, make a block: the rules of `complete_blocks`, `complete_cells`."""
    if scenario.version == "binary":
        return np.asarray((held[..., 1] > 0) & (held[..., 3] >= scenario.min_reference))
    entered = held.sum(axis=-1)
    return np.asarray((entered[..., 0] >= MIN_ENTRIES) & (entered[..., 1] > 0))


def _cells(held: Counts) -> tuple[Counts, Counts]:
    """Cells (k, 4) of completed blocks (n, 2, days), and the block of each: the rule of `hazards.cells`."""
    at_risk = held[..., ::-1].cumsum(axis=-1)[..., ::-1]
    both = np.stack([held[:, 0], at_risk[:, 0], held[:, 1], at_risk[:, 1]], axis=-1)[:, :-1]
    which, day = np.nonzero(both[..., 0] + both[..., 2])
    return both[which, day], which


def _log_e(scenario: Scenario, held: Counts) -> Floats:
    """Log e-values of a week, by chart; the counts held, by chart and site, that it takes are 0 afterwards."""
    ratios = ODDS_RATIOS if scenario.version == "binary" else HAZARD_RATIOS
    chart, site = np.nonzero(_complete(scenario, held))
    blocks, of = held[chart, site], chart
    if scenario.version == "time-to-event":
        blocks, which = _cells(blocks)
        of = chart[which]
    held[chart, site] = 0
    log_e = np.zeros((len(held), len(ratios)))
    for one, block in zip(of.tolist(), blocks.tolist(), strict=True):
        log_e[one] += log_e_values(Block(*block), ratios, margin=scenario.margin)
    return log_e


def run_together(scenario: Scenario, counts: Counts, limit: float, *, until: int | None = None) -> list[list[int]]:
    """Weeks in which each chart signals. `counts` (charts, weeks, ...) as `drawn`; all go through a week together."""
    following, weeks = np.arange(counts.shape[0]), counts.shape[1]
    held, r = np.zeros_like(counts[:, 0]), np.zeros((len(following), 4))
    found: list[list[int]] = [[] for _ in following]
    for week in range(weeks):
        held += counts[following, week]
        r, _, signal = shiryaev_roberts(_log_e(scenario, held), r, limit)
        for chart in following[signal].tolist():
            found[chart].append(week)
        if until is not None and week >= until:
            following, held, r = following[~signal], held[~signal], r[~signal]
    return found


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
    found: list[list[int]] = []
    days = 1 if scenario.version == "binary" else HORIZON_DAYS
    together = max(1, _COUNTS_TOGETHER // (weeks * scenario.sites * days))
    for first in range(0, charts, together):
        seeds = [[seed, one] for one in range(first, min(first + together, charts))]
        counts = np.stack([drawn(scenario, weeks, np.random.default_rng(one), odds_ratio) for one in seeds])
        found += run_together(scenario, counts, limit, until=until)
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
        len(year) * WEEKS_A_YEAR / weeks,
        shares[0],
        shares[1],
        late,
        odds_ratio,
        sites,
        version=chart.version,
        margin=chart.margin,
        min_reference=chart.min_reference,
    )
