"""Local time with the offset of the day, as the records of a site have it."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthetic.calendar import instant_at_noon, local_time
from synthetic.iess_onset import birthday, completed_months, record_onset

ZONES = ("America/New_York", "America/Denver", "America/Phoenix", "Europe/Dublin", "Asia/Kolkata", "Pacific/Auckland")


@pytest.mark.parametrize(
    ("zone", "day", "minute", "expected"),
    [
        ("America/New_York", date(2024, 3, 9), 600, "2024-03-09T10:00:00-05:00"),
        ("America/New_York", date(2024, 3, 10), 600, "2024-03-10T10:00:00-04:00"),
        ("America/New_York", date(2024, 3, 10), 60, "2024-03-10T01:00:00-05:00"),
        ("America/New_York", date(2024, 3, 10), 150, "2024-03-10T03:30:00-04:00"),  # 02:30 does not exist
        ("America/New_York", date(2024, 11, 3), 600, "2024-11-03T10:00:00-05:00"),
        ("America/Phoenix", date(2024, 7, 1), 600, "2024-07-01T10:00:00-07:00"),
        ("Asia/Kolkata", date(2024, 7, 1), 1500, "2024-07-02T01:00:00+05:30"),
    ],
)
def test_offsets_follow_daylight_saving(zone: str, day: date, minute: int, expected: str) -> None:
    assert local_time(zone, day, minute) == expected


@given(st.sampled_from(ZONES), st.dates(date(2020, 1, 1), date(2030, 1, 1)), st.integers(0, 1439))
def test_both_ways_of_writing_are_one_instant_on_the_local_day(zone: str, day: date, minute: int) -> None:
    local = datetime.fromisoformat(local_time(zone, day, minute))
    utc = datetime.fromisoformat(local_time(zone, day, minute, utc=True))
    assert local == utc
    assert utc.astimezone(ZoneInfo(zone)).date() == day
    assert local.utcoffset() == local.astimezone(ZoneInfo(zone)).utcoffset()


@given(st.sampled_from(ZONES), st.dates(date(2020, 1, 1), date(2030, 1, 1)))
def test_records_are_touched_on_the_local_day(zone: str, day: date) -> None:
    assert datetime.fromisoformat(instant_at_noon(zone, day)).astimezone(ZoneInfo(zone)).date() == day


@given(st.dates(date(2022, 1, 1), date(2024, 12, 31)), st.integers(0, 700))
def test_recorded_onsets_hold_the_true_day(birth: date, age: int) -> None:
    onset = birth + timedelta(days=age)
    for form in ("exact", "month", "year", "age", "period"):
        _, low, high = record_onset(form, birth, onset)
        assert low is not None
        assert high is not None
        assert low <= onset <= high
    assert record_onset("missing", birth, onset) == (None, None, None)


def test_an_age_in_months_is_an_interval_of_days() -> None:
    elements, low, high = record_onset("age", date(2023, 10, 15), date(2024, 2, 20))
    assert elements is not None
    assert elements["onsetAge"]["value"] == 4
    assert (low, high) == (date(2024, 2, 15), date(2024, 3, 14))
    assert birthday(date(2023, 12, 31), 2) == date(2024, 2, 29)
    assert completed_months(date(2023, 12, 31), date(2024, 2, 29)) == 2
