"""The truth has the effect sizes that were asked for, within sampling error, and the mix of the literature."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import date
from itertools import islice
from math import exp, sqrt
from statistics import median
from typing import TYPE_CHECKING

import pytest

from synthetic import rates
from synthetic.course import IessCourse
from synthetic.generate import courses, generate, infants
from synthetic.options import Site, SynthOptions
from synthetic.waits import WaitModel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from synthetic.people import Person

MANY = SynthOptions(infants=9_000, iess_share=1.0, seed=11, group=("nh_black", "hispanic"))


def _iess(options: SynthOptions) -> list[tuple[Person, IessCourse]]:
    return [(person, course) for person, course in courses(options) if isinstance(course, IessCourse)]


def _observed(
    cohort: Iterable[tuple[Person, IessCourse]], chosen: Callable[[IessCourse], bool] = lambda course: True
) -> tuple[float, float]:
    """99% interval of the odds ratio of waiting over 7 days, exposed against others."""
    cells: Counter[tuple[bool, bool]] = Counter()
    for _, course in cohort:
        if course.wait is not None and chosen(course):
            cells[course.exposed, course.wait > 7] += 1
    ratio = cells[True, True] * cells[False, False] / (cells[True, False] * cells[False, True])
    spread = 2.6 * sqrt(sum(1 / count for count in cells.values()))
    return ratio * exp(-spread), ratio * exp(spread)


@pytest.mark.parametrize("asked", [1.0, 2.0, 4.98])
def test_the_odds_ratio_is_the_one_asked_for(asked: float) -> None:
    low, high = _observed(_iess(replace(MANY, odds_ratio=asked)))
    assert low < asked < high
    assert high / low < 1.6, "too few infants to tell"


def test_the_effect_starts_in_its_week() -> None:
    options = replace(MANY, odds_ratio=4.0, effect_from_week=52)
    cohort = _iess(options)
    turn = date(2024, 12, 30)  # 52 weeks after the start
    low, high = _observed(cohort, lambda course: course.provider < turn)
    assert low < 1.0 < high
    low, high = _observed(cohort, lambda course: course.provider >= turn)
    assert low < 4.0 < high
    assert {course.in_effect for _, course in cohort if course.provider < turn} == {False}


def test_a_common_shift_is_no_disparity() -> None:
    options = replace(MANY, common_odds_ratio=3.0, common_from_week=52)
    cohort = _iess(options)
    low, high = _observed(cohort)
    assert low < 1.0 < high
    late = [c.wait > 7 for _, c in cohort if c.wait is not None and c.provider >= date(2024, 12, 30)]
    assert sum(late) / len(late) == pytest.approx(2 / 3, abs=0.03)  # odds 2/3 times 3


def test_the_hazard_ratio_holds_on_every_day() -> None:
    options = replace(MANY, infants=100, hazard_ratio=0.5)
    model = WaitModel(options, rates.load())
    count = 40_000
    grid = [(i + 0.5) / count for i in range(count)]
    base = [model.days(u, exposed=False, site=0, week=0) for u in grid]
    slowed = [model.days(u, exposed=True, site=0, week=0) for u in grid]
    for day in (0, 2, 7, 14, 40):
        survival = sum(wait > day for wait in base) / count
        assert sum(wait > day for wait in slowed) / count == pytest.approx(survival**0.5, abs=0.002)


def test_sites_may_differ_without_a_disparity_within_them() -> None:
    options = replace(MANY, sites=(Site("fast"), Site("slow", late_odds_ratio=3.0)))
    cohort = _iess(options)
    late = {number: [c.wait > 7 for p, c in cohort if c.wait is not None and p.site == number] for number in (0, 1)}
    assert sum(late[0]) / len(late[0]) == pytest.approx(0.40, abs=0.025)
    assert sum(late[1]) / len(late[1]) == pytest.approx(0.667, abs=0.025)
    low, high = _observed(cohort)
    assert low < 1.0 < high


@pytest.mark.parametrize(("dimension", "group"), [("payer", ("public",)), ("language", ("es",))])
def test_other_groups_can_be_disadvantaged(dimension: str, group: tuple[str, ...]) -> None:
    cohort = _iess(replace(MANY, dimension=dimension, group=group, odds_ratio=3.0))
    assert {getattr(person, dimension) in group for person, course in cohort if course.exposed} == {True}
    low, high = _observed(cohort)
    assert low < 3.0 < high


def test_the_effect_moves_the_waits_of_the_exposed_only() -> None:
    calm = _iess(replace(MANY, infants=3000))
    planted = _iess(replace(MANY, infants=3000, odds_ratio=5.0))
    for (_, before), (_, after) in zip(calm, planted, strict=True):
        assert (before.provider, before.onset) == (after.provider, after.onset)
        if not before.exposed:
            assert before == after
        elif before.wait is not None and after.wait is not None:
            assert after.wait >= before.wait


def test_more_infants_do_not_change_the_first_ones() -> None:
    few = list(infants(replace(MANY, infants=50, iess_share=0.5)))
    more = list(islice(infants(replace(MANY, infants=500, iess_share=0.5)), 50))
    assert few == more


def test_the_mix_is_that_of_the_literature() -> None:
    cohort = _iess(MANY)
    waits = [course.wait for _, course in cohort if course.wait is not None]
    assert sum(wait > 7 for wait in waits) / len(waits) == pytest.approx(0.40, abs=0.015)
    leads = [(course.first_line - course.onset).days for _, course in cohort if course.first_line]
    assert 21 <= median(leads) <= 28  # Hussain 2017: 24.5 days
    standard = [course.first_treatment == course.first_line for _, course in cohort if course.first_treatment]
    assert sum(standard) / len(cohort) == pytest.approx(0.72, abs=0.015)  # Baumer 2022
    routes = Counter(course.route for _, course in cohort)
    assert routes["pre_existing_neurology"] / len(cohort) == pytest.approx(0.12, abs=0.01)
    ages = [(course.onset - course.birth).days / 30.44 for _, course in cohort]
    assert 5.5 < sum(ages) / len(ages) < 7.5
    assert all(14 <= (course.provider - course.birth).days < 730 for _, course in cohort)


def test_first_visits_are_spread_evenly_over_the_period() -> None:
    cohort = _iess(MANY)
    months = Counter((course.provider.year, course.provider.month) for _, course in cohort)
    assert len(months) == 24
    assert min(months.values()) > 0.8 * len(cohort) / 24


def test_events_come_in_their_order() -> None:
    for _, course in _iess(replace(MANY, infants=4000, odds_ratio=3.0)):
        assert course.birth < course.onset <= course.contact <= course.provider <= course.neurology
        assert course.provider <= course.eeg
        assert course.diagnosis >= course.eeg
        if course.referral and "referral_after_visit" not in course.traits:
            assert course.provider <= course.referral <= course.neurology
        if course.missed:
            assert course.booked is not None
            assert course.booked < course.missed < course.neurology
        if course.second_referral:
            assert course.referral is not None
            assert course.referral < course.second_referral < course.neurology
        if course.first_line:
            assert course.first_treatment is not None
            assert course.first_treatment <= course.first_line


def test_the_kinds_of_the_issue_are_all_there(tmp_path: Path) -> None:
    found = list(infants(SynthOptions(infants=3000, seed=3)))
    kinds = {infant.course.kind for infant in found}
    assert {"iess", "other_epilepsy", "reflux", "colic", "croup", "brue", "ruled_out", "neurology_follow_up"} <= kinds
    flags = {flag for infant in found for flag in infant.written.flags}
    assert {"re_referral", "referral_after_visit", "left_truncated", "race_text_mappable"} <= flags
    statuses = {r["status"] for infant in found for r in infant.resources if r["resourceType"] == "Appointment"}
    assert {"fulfilled", "noshow", "cancelled"} <= statuses
    records = {infant.person.race_record for infant in found}
    assert records == {"coded", "missing", "declined", "text_only", "unknown"}
    assert generate(tmp_path, SynthOptions(infants=12, seed=3)).iess == 2
