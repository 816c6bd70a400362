"""Estimates against R, epitools, survRM2 and published tables (statistics.md section 3), and against odd data."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as example_settings
from hypothesis import strategies as st
from lifelines import KaplanMeierFitter
from lifelines.datasets import load_lung
from scipy.stats.contingency import odds_ratio as scipy_odds_ratio

from surveillance.estimates.estimate import Estimate
from surveillance.estimates.odds import chi_squared, odds_ratio
from surveillance.estimates.proportions import clopper_pearson, proportion, risk_difference, risk_ratio, wilson
from surveillance.estimates.survival import (
    Curve,
    cumulative_incidence,
    kaplan_meier,
    median,
    restricted_mean,
    restricted_mean_difference,
    restricted_mean_ratio,
    risk_table,
    survival_at,
)

tables = st.tuples(st.integers(0, 30), st.floats(0, 1), st.integers(0, 30), st.floats(0, 1)).map(
    lambda t: (round(t[0] * t[1]), t[0], round(t[2] * t[3]), t[2])
)


def lung(sex: int | None = None, interval: str = "log-log") -> Curve:
    data = load_lung()
    data = data if sex is None else data[data["sex"] == sex]
    return kaplan_meier(risk_table(data["time"], data["status"]), interval=interval)  # type: ignore[arg-type]


@pytest.mark.parametrize(("sex", "expected"), [(None, (310, 285, 363)), (1, (270, 212, 310)), (2, (426, 348, 550))])
def test_medians_of_lung_as_r_prints_them(sex: int | None, expected: tuple[float, float, float]) -> None:
    found = median(lung(sex, "log"))  # R's default band is on the log
    assert (found.value, found.low, found.high) == expected


@pytest.mark.parametrize(("sex", "expected"), [(1, (0.848, 0.644, 0.336)), (2, (0.933, 0.842, 0.526))])
def test_survival_of_lung(sex: int, expected: tuple[float, ...]) -> None:
    assert [survival_at(lung(sex), day).value for day in (90, 180, 365)] == pytest.approx(expected, abs=5e-4)


def test_log_log_band_is_the_one_of_lifelines() -> None:
    data = load_lung()
    fitted = KaplanMeierFitter().fit(data["time"], data["status"])
    band = fitted.confidence_interval_survival_function_.loc[180]
    found = survival_at(lung(), 180)
    assert (found.low, found.high) == pytest.approx(tuple(sorted(band)), rel=1e-6)


@pytest.mark.parametrize(("sex", "value", "se"), [(1, 241.4951, 10.35823), (2, 297.4654, 10.79132)])
def test_restricted_mean_of_lung_as_survrm2(sex: int, value: float, se: float) -> None:
    found = restricted_mean(lung(sex), 365)
    assert found.value == pytest.approx(value, abs=5e-5)
    assert found.se == pytest.approx(se, abs=5e-6)  # lifelines' "variance" would give 120.5 and 100.2


def test_restricted_mean_difference_and_ratio() -> None:
    difference = restricted_mean_difference(lung(2), lung(1), 365)
    assert difference.value == pytest.approx(297.4654 - 241.4951, abs=1e-3)
    assert difference.se == pytest.approx(math.hypot(10.35823, 10.79132), abs=1e-4)
    ratio = restricted_mean_ratio(lung(2), lung(1), 365)
    assert ratio.value == pytest.approx(297.4654 / 241.4951, abs=1e-5)


def test_median_lies_in_the_middle_of_a_step_on_one_half() -> None:
    assert median(kaplan_meier(risk_table([1, 2, 5, 9], [1, 1, 1, 1]))).value == 3.5


def test_competing_events_by_hand() -> None:
    # At risk 4, 3, 2, 1: F1 = 1/4 + (3/4)(0) + (1/2)(1/2) ; F2 = (3/4)(1/3)
    table = risk_table([1, 2, 3, 4], [1, 2, 1, 0])
    assert cumulative_incidence(table, 1, 3).value == pytest.approx(0.5)
    assert cumulative_incidence(table, 2, 3).value == pytest.approx(0.25)
    assert survival_at(kaplan_meier(table), 3).value == pytest.approx(0.25)


def test_one_kind_of_event_is_kaplan_meier() -> None:
    data = load_lung()
    table = risk_table(data["time"], data["status"])
    for day in (90, 365):
        incidence, survival = cumulative_incidence(table, 1, day), survival_at(kaplan_meier(table), day)
        assert incidence.value == pytest.approx(1 - (survival.value or 0))
        assert incidence.se == pytest.approx(survival.se, rel=0.01)  # Aalen's variance and Greenwood's


def test_left_truncation_counts_as_r_does() -> None:
    # entry < t <= exit: the one who enters on day 3 is not at risk for the event of day 3.
    table = risk_table([3, 5, 6, 8, 9], [1, 1, 1, 0, 1], entry=[0, 0, 3, 1, 4], min_at_risk=1)
    assert table.at_risk.tolist() == [3, 4, 3, 1]


def test_left_truncation_starts_where_enough_are_at_risk() -> None:
    days, entry = [2, 10, 11, 12, 13, 14, 15], [0, 5, 5, 5, 5, 5, 5]
    table = risk_table(days, [1] * 7, entry=entry)
    assert table.start == 2  # one infant alone at risk on day 2 doesn't end the curve at 0
    assert survival_at(kaplan_meier(table), 2).reason == "too few at risk so early"
    assert survival_at(kaplan_meier(table), 12).value == pytest.approx(0.5)


def _odd_curves() -> dict[str, Curve]:
    return {
        "nobody": kaplan_meier(risk_table([], [])),
        "all censored": kaplan_meier(risk_table([3, 4, 9], [0, 0, 0])),
        "all on day 0": kaplan_meier(risk_table([0, 0, 0], [1, 1, 1])),
        "all tied": kaplan_meier(risk_table([5, 5, 5, 5], [1, 1, 0, 0])),
        "one infant": kaplan_meier(risk_table([2], [1])),
    }


@pytest.mark.parametrize("name", list(_odd_curves()))
def test_odd_strata_give_a_value_or_a_reason(name: str) -> None:
    curve = _odd_curves()[name]
    found = [survival_at(curve, 7), survival_at(curve, 28), median(curve), restricted_mean(curve, 28)]
    found += [cumulative_incidence(curve.table, kind, 7) for kind in (1, 2)]
    found += [restricted_mean_difference(curve, curve, 28), restricted_mean_ratio(curve, curve, 28)]
    for estimate in found:
        assert_value_or_reason(estimate)
    if name == "all on day 0":
        assert median(curve).value == 0
        assert restricted_mean(curve, 28).value == 0


def assert_value_or_reason(estimate: Estimate) -> None:
    numbers = [estimate.value, estimate.low, estimate.high, estimate.se]
    assert all(number is None or math.isfinite(number) for number in numbers), estimate
    assert (None not in (estimate.value, estimate.low, estimate.high)) or estimate.reason, estimate


@example_settings(deadline=None)
@given(tables)
def test_two_by_two_tables_give_a_value_or_a_reason(table: tuple[int, int, int, int]) -> None:
    for estimate in (risk_difference(*table), risk_ratio(*table), odds_ratio(*table), odds_ratio(*table, mid_p=True)):
        assert_value_or_reason(estimate)
        if estimate.value is not None and estimate.low is not None:
            assert estimate.low <= estimate.value + 1e-9
            assert estimate.high is None or estimate.value <= estimate.high + 1e-9


@example_settings(deadline=None)
@given(tables)
def test_exchanging_the_groups_turns_the_difference_round(table: tuple[int, int, int, int]) -> None:
    x, n, y, m = table
    there, back = risk_difference(x, n, y, m), risk_difference(y, m, x, n)
    if there.value is not None and back.value is not None and there.low is not None and back.high is not None:
        assert (there.value, there.low) == pytest.approx((-back.value, -back.high))


def test_wilson_and_clopper_pearson_as_published() -> None:
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert clopper_pearson(5, 100) == pytest.approx((0.01643188, 0.1128349), abs=1e-7)
    assert (proportion(0, 9).low, proportion(9, 9).high) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ((56, 70, 48, 80), (0.0524, 0.3339)),
        ((9, 10, 3, 10), (0.1705, 0.8090)),
        ((6, 7, 2, 7), (0.0582, 0.8062)),
        ((5, 56, 0, 29), (-0.0381, 0.1926)),
    ],
)
def test_newcombe_as_published(table: tuple[int, int, int, int], expected: tuple[float, float]) -> None:
    found = risk_difference(*table)
    assert (found.low, found.high) == pytest.approx(expected, abs=5e-5)


def test_odds_ratio_as_epitools() -> None:
    exact, mid_p = odds_ratio(12, 19, 2, 11), odds_ratio(12, 19, 2, 11, mid_p=True)
    assert exact.value == pytest.approx(7.166131, rel=1e-5)
    assert exact.p_value == pytest.approx(0.02588706, abs=1e-7)
    assert (mid_p.value, mid_p.low, mid_p.high) == pytest.approx((6.880701, 1.276258, 60.722), rel=2e-5)
    assert mid_p.p_value == pytest.approx(0.02332167, abs=1e-7)


@example_settings(deadline=None)
@given(tables)
def test_exact_odds_ratio_is_the_one_of_scipy(table: tuple[int, int, int, int]) -> None:
    x, n, y, m = table
    found = odds_ratio(x, n, y, m)
    if found.value is None or not found.value > 0 or found.high is None:
        return
    other = scipy_odds_ratio(np.array([[x, n - x], [y, m - y]]))
    interval = other.confidence_interval(0.95)
    assert (found.value, found.low, found.high) == pytest.approx(
        (other.statistic, interval.low, interval.high), rel=1e-4
    )


def test_koopman_is_symmetric_when_everyone_is_late() -> None:
    found, turned = risk_ratio(3, 3, 5, 5), risk_ratio(5, 5, 3, 3)
    assert found.low is not None
    assert turned.high == pytest.approx(1 / found.low)


def test_published_p_values_of_second_treatment() -> None:
    # Knupp 2016b, 36/82 v 8/34: the published .040 is chi-squared without correction (clinical.md section 4).
    assert chi_squared(36, 82, 8, 34) == pytest.approx(0.0395, abs=5e-5)
    assert chi_squared(36, 82, 8, 34, yates=True) == pytest.approx(0.065, abs=5e-4)
    assert odds_ratio(36, 82, 8, 34).p_value == pytest.approx(0.058, abs=5e-4)
