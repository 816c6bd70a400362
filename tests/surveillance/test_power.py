"""A short version of benchmarks/detector: the detector's promises by simulation."""

from __future__ import annotations

import numpy as np
import pytest

from surveillance.detector import Block
from surveillance.power import Scenario, false_alerts, power, signals, weeks_to_detection
from surveillance.sequence import confidence_sequence

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


def test_the_same_question_has_the_same_answer() -> None:
    scenario = Scenario(300, 0.3, 0.5)
    assert power(scenario, 416, charts=4, seed=1) == power(scenario, 416, charts=4, seed=1)
