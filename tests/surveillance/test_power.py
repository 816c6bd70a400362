"""A short version of benchmarks/detector: the detector's promises by simulation."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pytest

from surveillance.detector import Block, complete_blocks, run_chart
from surveillance.hazards import HAZARD_RATIOS, HORIZON_DAYS, Waits, complete_cells
from surveillance.power import Scenario, drawn, false_alerts, power, run_together, signals, weeks_to_detection
from surveillance.sequence import confidence_sequence

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from surveillance.detector import Row

LIMIT = 1040.0


@pytest.mark.parametrize(
    "scenario",
    [
        Scenario(500, 0.20, 0.60),
        Scenario(500, 0.05, 0.60),
        Scenario(2000, 0.20, 0.60, baseline=lambda week: 0.55 if week >= 260 else 0.40),
        Scenario(500, 0.20, 0.60, sites=5, baseline=lambda week: 0.35 + 0.1 * np.sin(week / 8.3)),
    ],
    ids=["steady", "small group", "common shift", "sites and season"],
)
def test_false_alerts_stay_under_the_bound(scenario: Scenario) -> None:
    # 400 chart-years at a bound of 0.05 a year: 20 expected at most, and 32 with a chance of 0.5%.
    assert false_alerts(scenario, LIMIT, charts=40, seed=2) * 400 < 32


@pytest.mark.parametrize(("cases", "ratio", "table_3"), [(2000, 2.0, 14), (2000, 4.98, 5), (500, 4.98, 13)])
def test_weeks_to_detection_are_those_of_table_3(cases: int, ratio: float, table_3: int) -> None:
    waits = weeks_to_detection(Scenario(cases, 0.2, 0.6, odds_ratio=ratio), LIMIT, charts=60, horizon=120, start=60)
    assert np.median(waits) == pytest.approx(table_3, abs=max(2, 0.15 * table_3))


def test_a_reverse_difference_raises_nothing() -> None:
    found = signals(Scenario(2000, 0.2, 0.6), LIMIT, weeks=260, charts=20, seed=3, odds_ratio=lambda week: 0.6)
    assert sum(map(len, found)) == 0


def test_the_confidence_sequence_covers_at_every_week() -> None:
    rng = np.random.default_rng(5)
    missed, charts = 0, 40
    for _ in range(charts):
        n, m = rng.poisson(1.9, 156), rng.poisson(5.8, 156)
        x, y = rng.binomial(n, 4 / 7), rng.binomial(m, 0.4)  # odds ratio 2
        rows = np.stack([x, n, y, m], axis=1).tolist()
        low, high = confidence_sequence([[Block(*row)] if row[1] and row[3] else [] for row in rows])
        missed += bool(((low > 2) | (high < 2)).any())
    assert missed <= 6  # 5% of 40 are 2; more than 6 with a chance of 0.3%


@pytest.mark.parametrize(
    "scenario",
    [
        Scenario(300, 0.15, 0.5, sites=12, odds_ratio=5, site_spread=0.5),
        Scenario(500, 0.2, 0.6, sites=2, odds_ratio=5, margin=1.2, min_reference=3),
        Scenario(300, 0.15, 0.5, sites=3, odds_ratio=5, version="time-to-event"),
    ],
    ids=["binary", "with a margin", "days waited"],
)
def test_charts_simulated_together_are_each_the_detectors(scenario: Scenario) -> None:
    weeks, limit = 120, 20.0
    counts = np.stack([drawn(scenario, weeks, np.random.default_rng([4, i]), lambda week: 5.0) for i in range(6)])
    found = run_together(scenario, counts, limit)
    assert sum(map(len, found)) > 6
    for chart, signalled in zip(counts, found, strict=True):
        weekly = [[row for site, one in enumerate(week) for row in _rows(str(site), one)] for week in chart]
        if scenario.version == "binary":
            gather = partial(complete_blocks, min_reference=scenario.min_reference)
            steps = run_chart(weekly, [limit] * weeks, gather=gather, margin=scenario.margin)
        else:
            steps = run_chart(weekly, [limit] * weeks, gather=complete_cells, ratios=HAZARD_RATIOS)
        assert [week for week, step in enumerate(steps) if step.signal] == signalled
    first = run_together(scenario, counts, limit, until=40)
    assert first == [
        [week for week in chart if week <= min((w for w in chart if w >= 40), default=weeks)] for chart in found
    ]


def _rows(site: str, counts: NDArray[np.int64]) -> list[Row]:
    """Counts of one site and week, as `drawn`, as the detector reads them."""
    if counts.ndim == 1:
        return [((site, ""), tuple(counts.tolist()))]
    days = enumerate(counts.T.tolist())
    waits = [Waits(day, 0, g, 0, r) if day > HORIZON_DAYS else Waits(day, g, 0, r, 0) for day, (g, r) in days if g or r]
    return [((site, ""), one) for one in waits]


def test_the_same_question_has_the_same_answer() -> None:
    scenario = Scenario(300, 0.3, 0.5)
    assert power(scenario, 416, charts=4, seed=1) == power(scenario, 416, charts=4, seed=1)
