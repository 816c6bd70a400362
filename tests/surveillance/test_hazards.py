"""The time-to-event chart: cells by hand, e-values by scipy, validity and detection by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import hypergeom, nchypergeom_fisher

from surveillance.detector import Block, Row, log_e_values, run_chart
from surveillance.hazards import HAZARD_RATIOS, Waits, cells, complete_cells, merged, wait

GROUP, REFERENCE = True, False


def one(day: int, event: bool, group: bool) -> Waits:
    return wait(day, event=event, group=group)


def log_e_of(waits: list[Waits]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return sum((log_e_values(cell, HAZARD_RATIOS) for cell in cells(waits)), np.zeros(len(HAZARD_RATIOS)))


def test_cells_by_hand() -> None:
    waits = [
        one(0, True, GROUP),
        one(2, True, REFERENCE),
        one(2, False, GROUP),
        one(5, True, GROUP),
        one(5, False, REFERENCE),
    ]
    assert cells(waits) == [Block(1, 3, 0, 2), Block(0, 2, 1, 2), Block(1, 1, 0, 1)]
    assert cells([one(91, True, GROUP), one(99, True, REFERENCE)]) == []
    assert cells([]) == []


infants = st.lists(st.tuples(st.integers(0, 100), st.booleans(), st.booleans()), max_size=30)


@given(infants)
def test_merging_the_infants_of_a_day_changes_nothing(drawn: list[tuple[int, bool, bool]]) -> None:
    waits = [one(*infant) for infant in drawn]
    assert cells(merged(waits)) == cells(waits)
    assert sum(sum(day[1:]) for day in merged(waits)) == len(waits)


@given(infants, st.integers(1, 4))
def test_infants_wait_until_their_block_is_complete_and_are_in_one(
    drawn: list[tuple[int, bool, bool]], parts: int
) -> None:
    """However the weeks cut them up, every infant is in one block, which closes on who entered alone."""
    carried: list[Row] = []
    seen = 0
    for i in range(parts):
        rows: list[Row] = [(("a", "no"), one(*infant)) for infant in drawn[i::parts]]
        before = sum(sum(counts[1:]) for _, counts in [*carried, *rows])
        held = [*carried, *rows]
        group = sum(counts[1] + counts[2] for _, counts in held)
        done, carried = complete_cells(held)
        waiting = sum(sum(counts[1:]) for _, counts in carried)
        assert waiting in (0, before)
        assert (waiting == 0) == (before == 0 or (group >= 3 and group < before))
        if waiting and done:
            pytest.fail("cells of infants who still wait for their block")
        seen += before - waiting
    assert seen + sum(sum(counts[1:]) for _, counts in carried) == len(drawn)


def test_e_values_are_scipys() -> None:
    waits = [one(d, True, g) for d, g in [(1, False), (1, False), (3, True), (3, False), (9, True), (12, True)]]
    expected = np.zeros(len(HAZARD_RATIOS))
    for x, n, y, m in cells(waits):
        central = hypergeom.pmf(x, n + m, n, x + y)
        expected += np.log([nchypergeom_fisher.pmf(x, n + m, n, x + y, ratio) / central for ratio in HAZARD_RATIOS])
    np.testing.assert_allclose(log_e_of(waits), expected, rtol=1e-9)
    assert (log_e_of(waits) > 0).all()  # the group waited longer


def simulate(rng: np.random.Generator, weeks: int, hazard_ratio: float, cases: float) -> list[list[Row]]:
    """Weibull waits with shape 0.75 and 40% still waiting after 7 days in the reference."""
    scale = 7 / (-np.log(0.4)) ** (1 / 0.75)
    made = []
    for _ in range(weeks):
        entries: list[Row] = []
        for share, group in ((0.2, True), (0.6, False)):
            n = rng.poisson(cases / 52 * share)
            longer = hazard_ratio ** (-1 / 0.75) if group else 1.0
            days = np.floor(scale * longer * rng.weibull(0.75, n)).astype(int)
            entries += [(("a", "no"), one(int(min(d, 35)), bool(d < 35), group)) for d in days]
        made.append(entries)
    return made


def test_mean_of_e_without_a_difference_is_one() -> None:
    rng = np.random.default_rng(4)
    drawn = rng.integers(0, 20, (2500, 12))
    values = [np.exp(log_e_of([one(int(d), True, i < 4) for i, d in enumerate(days)])) for days in drawn]
    np.testing.assert_allclose(np.mean(values, axis=0), 1.0, atol=0.07)


def test_days_find_a_difference_sooner_than_late_or_not() -> None:
    # Table 3: hazard ratio 0.61 (odds ratio 2 at day 7), 2,000 cases a year, limit 1040: median 9 weeks, against 14.
    rng = np.random.default_rng(8)
    waits = []
    for _ in range(15):
        steps = run_chart(simulate(rng, 40, 0.61, 2000), [1040.0] * 40, gather=complete_cells, ratios=HAZARD_RATIOS)
        waits.append(min((i + 1 for i, week in enumerate(steps) if week.signal), default=99))
    assert np.median(waits) == pytest.approx(9, abs=3)


def test_weeks_without_entries_grow_the_statistic() -> None:
    steps = run_chart([[], [], []], [100.0] * 3, gather=complete_cells, ratios=HAZARD_RATIOS)
    assert [step.m for step in steps] == pytest.approx([1.0, 2.0, 3.0])
