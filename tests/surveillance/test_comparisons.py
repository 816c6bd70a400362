"""Stratified, adjusted and summary estimates against R, healthequal and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import nchypergeom_fisher
from scipy.stats.contingency import odds_ratio as scipy_odds_ratio

from surveillance.estimates.inequality import (
    INDICES,
    expected_variance_without_disparity,
    inequality,
)
from surveillance.estimates.logistic import firth_odds_ratio, standardised_difference
from surveillance.estimates.shrinkage import shrunk
from surveillance.estimates.stratified import (
    conditional_odds_ratio,
    mantel_haenszel_odds_ratio,
    mantel_haenszel_risk_difference,
)
from surveillance.estimates.unknown import difference_bounds, expected_difference

#: statistics.md section 3: the detector's worked example.
BLOCKS = [
    (2, 3, 3, 8), (1, 2, 2, 6), (3, 4, 2, 9), (0, 1, 4, 7), (2, 2, 1, 5), (4, 5, 3, 10), (3, 4, 2, 8), (2, 3, 1, 9),
]  # fmt: skip
#: healthequal's test data (statistics.md section 3).
POPULATION = [
    832, 931, 1468, 1021, 1039, 1515, 1138, 620, 794, 866, 1367, 1108, 1120, 1033, 833, 1536, 1149, 410, 1210, 858, 680,
    935, 692, 781, 812,
]  # fmt: skip
ESTIMATES = [
    61, 74, 58, 59, 72, 75, 74, 68, 75, 67, 73, 63, 66, 62, 60, 66, 71, 73, 71, 61, 74, 84, 55, 69, 60,
]  # fmt: skip


def test_stratified_odds_ratios_of_the_worked_example() -> None:
    found = mantel_haenszel_odds_ratio(BLOCKS)
    assert (found.value, found.low, found.high) == pytest.approx((5.451542, 1.954565, 15.205072), abs=2e-6)
    # Printed as 5.3656 = exp(1.68), the best point of a grid; the maximum itself is at exp(1.679).
    assert conditional_odds_ratio(BLOCKS).value == pytest.approx(5.3656, rel=2e-3)
    assert conditional_odds_ratio(BLOCKS).value == pytest.approx(_maximum_by_scipy(), rel=1e-5)


def _maximum_by_scipy() -> float:
    def loss(log_ratio: float) -> float:
        logs = (nchypergeom_fisher.logpmf(x, n + m, n, x + y, math.exp(log_ratio)) for x, n, y, m in BLOCKS)
        return -float(sum(logs))

    found = minimize_scalar(loss, bounds=(0, 3), method="bounded", options={"xatol": 1e-9})
    return math.exp(float(found.x))


def test_a_difference_of_tiny_groups_stays_among_differences() -> None:
    found = mantel_haenszel_risk_difference([(1, 1, 0, 2), (2, 2, 1, 2)])
    assert found.high == 1.0
    assert found.value is not None
    assert 0 < found.value < 1


def test_mantel_haenszel_difference_of_one_table_is_the_difference() -> None:
    found = mantel_haenszel_risk_difference([(12, 30, 10, 50)])
    assert found.value == pytest.approx(12 / 30 - 10 / 50)
    assert found.se == pytest.approx(math.sqrt(0.4 * 0.6 / 30 + 0.2 * 0.8 / 50), rel=0.02)


@pytest.mark.parametrize("tables", [[], [(0, 0, 1, 3)], [(0, 4, 0, 5)], [(4, 4, 0, 5)], [(4, 4, 5, 5)]])
def test_strata_that_say_nothing_have_a_reason(tables: list[tuple[int, int, int, int]]) -> None:
    for found in (mantel_haenszel_odds_ratio(tables), conditional_odds_ratio(tables)):
        assert found.value is None or found.reason


@pytest.mark.parametrize("shares", [(0.4,) * 5, (0.4, 0.5, 0.4, 0.45, 0.4)])
def test_intervals_of_indices_hold_the_truth_and_the_estimate(shares: tuple[float, ...]) -> None:
    """Small groups look unlike by chance: percentiles of a bootstrap alone hold the first truth never, 0."""
    rng, sizes, charts = np.random.default_rng(1), np.array([250, 80, 70, 50, 50]), 60
    truth = {name: float(index(sizes / sizes.sum(), np.array(shares))) for name, index in INDICES.items()}
    held = dict.fromkeys(truth, 0)
    for seed in range(charts):
        for found in inequality(rng.binomial(sizes, shares).tolist(), sizes.tolist(), seed=seed):
            if found.estimand in truth:
                assert found.value is not None
                assert found.low is not None
                assert found.high is not None
                assert found.low <= found.value <= found.high
                held[found.estimand] += found.low - 1e-9 <= truth[found.estimand] <= found.high + 1e-9
    assert min(held.values()) >= 0.85 * charts


@pytest.mark.filterwarnings("error")
def test_tables_at_an_extreme_are_solved_where_the_slope_vanishes() -> None:
    found = conditional_odds_ratio([(59, 60, 1, 60)] * 10)
    # Alike tables share the likeliest ratio of one.
    assert found.value == pytest.approx(scipy_odds_ratio(np.array([[59, 1], [1, 59]])).statistic)


@pytest.mark.parametrize("table", [(5, 10, 2, 20), (4, 4, 3, 9), (0, 6, 5, 8)])
def test_firth_logistic_of_one_table_adds_a_half_to_each_cell(table: tuple[int, int, int, int]) -> None:
    x, n, y, m = table
    late = np.array([True] * x + [False] * (n - x) + [True] * y + [False] * (m - y))
    group = np.array([1.0] * n + [0.0] * m)[:, None]
    found = firth_odds_ratio(late, group)
    assert found.value == pytest.approx((x + 0.5) * (m - y + 0.5) / ((n - x + 0.5) * (y + 0.5)), rel=1e-4)
    assert found.low is not None
    assert found.value is not None
    assert found.low < found.value


def test_standardisation_removes_a_difference_that_is_the_mix() -> None:
    rng = np.random.default_rng(3)
    slow_site = np.repeat([1.0, 0.0], 2000)
    group = np.concatenate([rng.random(2000) < 0.7, rng.random(2000) < 0.2])
    late = rng.random(4000) < np.where(slow_site == 1, 0.6, 0.2)
    crude = late[group].mean() - late[~group].mean()
    found = standardised_difference(late, group, slow_site[:, None])
    assert crude > 0.15
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.0 < found.high
    again = standardised_difference(late, group, slow_site[:, None])
    assert again == found


@pytest.mark.parametrize(
    ("name", "expected"),
    [("bgv", 46.198326), ("idisu", 8.7018175), ("idisw", 8.6178417), ("theil", 5.03598), ("mld", 5.05236)],
)
def test_indices_as_healthequal(name: str, expected: float) -> None:
    population = np.array(POPULATION, dtype=float)
    shares = population / population.sum()
    estimates = np.array(ESTIMATES, dtype=float)
    assert (shares * estimates).sum() == pytest.approx(67.706845, abs=5e-7)
    # healthequal gives the unweighted index of disparity against the weighted mean.
    assert float(INDICES[name](shares, estimates)) == pytest.approx(expected, rel=2e-6)


def test_chance_alone_gives_an_index() -> None:
    late, n = np.array([8.0] * 5), np.array([20.0] * 5)
    assert math.sqrt(expected_variance_without_disparity(late, n)) == pytest.approx(0.098, abs=5e-4)
    found = {estimate.estimand: estimate for estimate in inequality([8] * 5, [20] * 5, seed=1)}
    assert found["bgv"].value == pytest.approx(0)
    assert found["idisu"].null_expectation == pytest.approx(19.5, abs=1.5)


@pytest.mark.parametrize(("late", "n"), [([], []), ([3], [9]), ([0, 0], [4, 5]), ([0, 0], [0, 0]), ([4, 0], [4, 5])])
def test_indices_of_odd_groups_have_a_value_or_a_reason(late: list[int], n: list[int]) -> None:
    for found in inequality(late, n, seed=1):
        assert found.reason or (found.value is not None and math.isfinite(found.value))


def test_shrinkage_draws_small_groups_further_and_never_all_the_way() -> None:
    late, n = [3, 5, 9, 2, 14], [8, 20, 30, 4, 60]
    found = shrunk(late, n)
    values = [estimate.value or 0 for estimate in found]
    assert len({round(value, 4) for value in values}) == 5  # without a prior, all would be the pool
    assert all(e.low is not None and e.high is not None and e.low < (e.value or 0) < e.high for e in found)
    few, many, _ = shrunk([2, 20, 12], [4, 40, 60])
    assert few.value is not None
    assert many.value is not None
    assert few.value < many.value < 0.5  # both were half; four infants are drawn further than forty


def test_bounds_over_the_unknown_as_worked() -> None:
    # statistics.md 1.7: 20/40 v 48/120, 40 unknown of whom 18 late.
    found = difference_bounds((20, 40, 48, 120), 40, 18)
    assert found is not None
    low, high = found
    assert low.difference == pytest.approx(-0.156, abs=5e-4)
    assert (low.members, low.late) == (22, 0)
    assert high.difference == pytest.approx(0.317, abs=5e-4)
    assert (high.members, high.late) == (18, 18)
    # A quarter of the known are of the group, and so are 10 of the unknown and 4.5 of their late ones.
    assert expected_difference((20, 40, 48, 120), 40, 18) == pytest.approx(24.5 / 50 - 61.5 / 150)
    assert expected_difference((0, 0, 48, 120), 40, 18) is None
    some = difference_bounds((20, 40, 48, 120), 40, 18, members=(5, 15))
    assert some is not None
    assert (some[0].difference, some[1].difference) == pytest.approx((-0.092, 0.285), abs=5e-4)
