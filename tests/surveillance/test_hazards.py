"""The time-to-event detector: e-values by scipy, its null, and weeks to detection."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest
from scipy.stats import hypergeom, nchypergeom_fisher

from surveillance.detector import HAZARD_RATIOS, Block
from surveillance.hazards import Wait, cells, log_e_of, run

START = date(2024, 1, 1)


def test_cells_count_those_still_waiting() -> None:
    waits = [
        Wait(0, True, True),
        Wait(2, True, False),
        Wait(2, False, True),
        Wait(5, True, True),
        Wait(5, False, False),
    ]
    assert cells(waits) == [Block(1, 3, 0, 2), Block(0, 2, 1, 2), Block(1, 1, 0, 1)]
    assert cells([Wait(40, True, True), Wait(41, True, False)]) == []
    assert cells([]) == []


def test_e_values_are_scipys() -> None:
    waits = [Wait(d, True, g) for d, g in [(1, False), (1, False), (3, True), (3, False), (9, True), (12, True)]]
    expected = np.zeros(len(HAZARD_RATIOS))
    for x, n, y, m in cells(waits):
        central = hypergeom.pmf(x, n + m, n, x + y)
        expected += np.log([nchypergeom_fisher.pmf(x, n + m, n, x + y, ratio) / central for ratio in HAZARD_RATIOS])
    np.testing.assert_allclose(log_e_of(waits), expected, rtol=1e-9)
    assert (log_e_of(waits) > 0).all()  # the group waited longer


def simulate(
    rng: np.random.Generator, weeks: int, hazard_ratio: float, cases: float
) -> list[tuple[date, list[tuple[str, Wait]]]]:
    """Weibull waits with shape 0.75 and 40% still waiting after 7 days in the reference."""
    scale = 7 / (-np.log(0.4)) ** (1 / 0.75)
    made = []
    for week in range(weeks):
        entries = []
        for share, group in ((0.2, True), (0.6, False)):
            n = rng.poisson(cases / 52 * share)
            longer = hazard_ratio ** (-1 / 0.75) if group else 1.0
            days = np.floor(scale * longer * rng.weibull(0.75, n)).astype(int)
            entries += [("a", Wait(int(min(d, 35)), d < 35, group)) for d in days]
        made.append((START + timedelta(weeks=week), entries))
    return made


def test_mean_of_e_without_a_difference_is_one() -> None:
    rng = np.random.default_rng(4)
    drawn = rng.integers(0, 20, (2500, 12))
    values = [np.exp(log_e_of([Wait(int(d), True, i < 4) for i, d in enumerate(days)])) for days in drawn]
    np.testing.assert_allclose(np.mean(values, axis=0), 1.0, atol=0.07)


def test_days_find_a_difference_sooner_than_late_or_not() -> None:
    # Table 3: hazard ratio 0.61 (odds ratio 2 at day 7), 2,000 cases a year, limit 1040: median 9 weeks, against 14.
    rng = np.random.default_rng(8)
    waits = []
    for _ in range(15):
        signals = [i + 1 for i, week in enumerate(run(simulate(rng, 40, 0.61, 2000), 1040)) if week.signal]
        waits.append(min(signals, default=99))
    assert np.median(waits) == pytest.approx(9, abs=3)


def test_weeks_without_entries_grow_the_statistic() -> None:
    steps = run([(START + timedelta(weeks=i), []) for i in range(3)], 100)
    assert [step.m for step in steps] == pytest.approx([1.0, 2.0, 3.0])
