"""Dates as intervals, and the arithmetic of waiting: properties that hold for every input."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_mapping.dates import DateRange, UnreadableDate, add_months, earliest, parse, zone
from fhir_mapping.waits import delayed, is_negative, wait_between
from fhir_source.errors import SettingsError

ZONES = ["UTC", "America/New_York", "America/Phoenix", "Pacific/Kiritimati", "Pacific/Auckland", "Asia/Kathmandu"]
DAYS = st.dates(date(1990, 1, 1), date(2060, 12, 31))


@st.composite
def ranges(draw: st.DrawFn) -> DateRange:
    low = draw(DAYS)
    return DateRange(low, low + timedelta(days=draw(st.integers(0, 400))))


@st.composite
def narrowed(draw: st.DrawFn, outer: DateRange) -> DateRange:
    width = (outer.high - outer.low).days
    first = draw(st.integers(0, width))
    last = draw(st.integers(first, width))
    return DateRange(outer.low + timedelta(days=first), outer.low + timedelta(days=last))


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("2024", "2024-01-01", "2024-12-31"),
        ("2024-02", "2024-02-01", "2024-02-29"),
        ("2023-02", "2023-02-01", "2023-02-28"),
        ("2024-03-01", "2024-03-01", "2024-03-01"),
        ("2024-03-01T23:30:00-05:00", "2024-03-01", "2024-03-01"),
        ("2024-03-02T04:59:59.999999999Z", "2024-03-01", "2024-03-01"),
        ("2024-03-02T05:00:00Z", "2024-03-02", "2024-03-02"),
        ("2024-03-02T18:30:00+14:00", "2024-03-01", "2024-03-01"),
        ("2024-03-01T12:00:60Z", "2024-03-01", "2024-03-01"),
        ("2024-03-01T24:00:00-05:00", "2024-03-02", "2024-03-02"),
        ("0001-01-01T00:00:00+14:00", "0001-01-01", "0001-01-01"),
        ("9999-12-31T23:59:59-12:00", "9999-12-31", "9999-12-31"),
    ],
)
def test_what_a_date_says(text: str, low: str, high: str) -> None:
    found = parse(text, "America/New_York")
    assert (found.low.isoformat(), found.high.isoformat()) == (low, high)


@pytest.mark.parametrize(
    "text",
    [
        *("", "soon", "2024-13", "2024-02-30", "24-01-01", "2024-1-1", "01/02/2024", "20240301", "0000-01-01"),
        *("-2024-01-01", "2024-03-01T25:00:00Z", "2024-03-01T10:61:00Z", "2024-03-01T10:00:00+15:00"),
        "2024-03-01T10:00:00+05:99",
    ],
)
def test_what_is_no_date(text: str) -> None:
    with pytest.raises(UnreadableDate):
        parse(text, "America/New_York")


@given(st.text(max_size=30), st.sampled_from(ZONES))
def test_any_text_is_a_date_or_unreadable(text: str, name: str) -> None:
    try:
        found = parse(text, name)
    except UnreadableDate:
        return
    assert found.low <= found.high


def test_an_unknown_time_zone_is_an_error_of_the_settings() -> None:
    with pytest.raises(SettingsError):
        zone("Mars/Olympus")


@given(DAYS, st.sampled_from(ZONES))
def test_a_date_alone_never_moves(day: date, name: str) -> None:
    assert parse(day.isoformat(), name) == DateRange.of(day)


@given(st.datetimes(datetime(1990, 1, 1), datetime(2060, 1, 1)), st.integers(-14 * 60, 14 * 60), st.sampled_from(ZONES))  # noqa: DTZ001
def test_the_day_is_that_of_the_site_whatever_the_offset(moment: datetime, offset: int, name: str) -> None:
    instant = moment.replace(tzinfo=UTC, microsecond=0)
    sign, size = ("-" if offset < 0 else "+"), abs(offset)
    written = (instant + timedelta(minutes=offset)).strftime("%Y-%m-%dT%H:%M:%S")
    found = parse(f"{written}{sign}{size // 60:02}:{size % 60:02}", name)
    assert found.day == instant.astimezone(ZoneInfo(name)).date()
    assert found.instant == instant


@given(st.datetimes(datetime(1990, 1, 1), datetime(2060, 1, 1)), st.integers(0, 10**7), st.sampled_from(ZONES))  # noqa: DTZ001
def test_later_instants_are_never_earlier_days(moment: datetime, later: int, name: str) -> None:
    first, second = moment.replace(microsecond=0), (moment + timedelta(seconds=later)).replace(microsecond=0)
    assert parse(f"{first.isoformat()}Z", name).low <= parse(f"{second.isoformat()}Z", name).low


@given(DAYS, st.integers(0, 60))
def test_months_never_overshoot(day: date, months: int) -> None:
    found = add_months(day, months)
    assert (found.year * 12 + found.month) - (day.year * 12 + day.month) == months
    assert found.day <= day.day


@given(st.lists(ranges(), min_size=1, max_size=5), st.data())
def test_the_first_of_several_holds_every_possible_first(items: list[DateRange], data: st.DataObject) -> None:
    found = earliest(items)
    assert found is not None
    actual = [data.draw(st.dates(item.low, item.high)) for item in items]
    assert found.low <= min(actual) <= found.high
    # No wider than that: some choice of days reaches each end.
    assert (found.low, found.high) == (min(item.low for item in items), min(item.high for item in items))


def test_a_range_can_not_end_before_it_begins() -> None:
    with pytest.raises(ValueError, match="ends before it begins"):
        DateRange(date(2024, 3, 2), date(2024, 3, 1))


def test_the_first_of_none_is_none() -> None:
    assert earliest([]) is None


# Waits -----------------------------------------------------------------------------------------------------------


@given(ranges(), ranges(), st.booleans())
def test_a_wait_is_never_negative(start: DateRange, stop: DateRange, zero: bool) -> None:
    wait = wait_between(start, stop, None, negative_is_zero=zero)
    if wait.status == "event":
        assert wait.low is not None
        assert wait.high is not None
        assert 0 <= wait.low <= wait.high


@given(st.data(), ranges(), ranges())
def test_a_narrower_date_contradicts_nothing(data: st.DataObject, start: DateRange, stop: DateRange) -> None:
    wide = wait_between(start, stop, None)
    narrow = wait_between(data.draw(narrowed(start)), data.draw(narrowed(stop)), None)
    if narrow.status != "event" or wide.status != "event":
        assert wide.status == "event" or narrow.status == wide.status
        return
    assert wide.low is not None
    assert narrow.low is not None
    assert wide.high is not None
    assert narrow.high is not None
    assert wide.low <= narrow.low <= narrow.high <= wide.high
    if wide.delayed != "indeterminate":
        assert narrow.delayed == wide.delayed


@given(DAYS, st.integers(0, 800), st.integers(0, 800))
def test_a_later_visit_is_never_a_shorter_wait(start: date, first: int, more: int) -> None:
    early = wait_between(DateRange.of(start), DateRange.of(start + timedelta(days=first)), None)
    late = wait_between(DateRange.of(start), DateRange.of(start + timedelta(days=first + more)), None)
    assert early.low is not None
    assert late.low is not None
    assert early.low <= late.low
    assert not (early.delayed == "yes" and late.delayed == "no")


@given(DAYS, st.integers(0, 800), st.integers(0, 800))
def test_waiting_longer_never_takes_a_delay_back(start: date, first: int, more: int) -> None:
    early = wait_between(DateRange.of(start), None, start + timedelta(days=first))
    late = wait_between(DateRange.of(start), None, start + timedelta(days=first + more))
    assert (early.status, late.status) == ("censored", "censored")
    assert not (early.delayed == "yes" and late.delayed != "yes")


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(7, 7, "no"), (8, 8, "yes"), (7, 8, "indeterminate"), (0, 7, "no"), (8, 30, "yes")]
)
def test_more_than_seven_days(low: int, high: int, expected: str) -> None:
    assert delayed("event", low, high) == expected


@given(DAYS, st.integers(1, 800))
def test_a_stop_before_the_start_is_an_error_or_no_wait(start: date, before: int) -> None:
    first, stop = DateRange.of(start), DateRange.of(start - timedelta(days=before))
    assert is_negative(first, stop)
    assert not is_negative(first, first)
    assert not is_negative(None, stop)
    assert not is_negative(first, None)
    assert wait_between(first, stop, None).status == "missing"
    zero = wait_between(first, stop, None, negative_is_zero=True)
    assert (zero.status, zero.low, zero.high, zero.delayed) == ("event", 0, 0, "no")


def test_a_wait_of_no_day_yet() -> None:
    today = DateRange.of(date(2024, 3, 1))
    wait = wait_between(today, None, date(2024, 3, 1))
    assert (wait.status, wait.low, wait.high, wait.delayed) == ("censored", 0, 0, "pending")
    unsure = DateRange(date(2024, 3, 1), date(2024, 3, 31))
    assert wait_between(unsure, None, date(2024, 3, 11)).low == 0


def test_a_stop_after_the_end_of_observation_is_not_known() -> None:
    start, stop = DateRange.of(date(2024, 3, 1)), DateRange.of(date(2024, 3, 20))
    wait = wait_between(start, stop, date(2024, 3, 11))
    assert (wait.status, wait.low, wait.delayed) == ("censored", 10, "yes")
    assert wait_between(start, stop, date(2024, 3, 20)).status == "event"
    assert wait_between(start, None, date(2024, 3, 5), died=True).delayed == "not_applicable"
    assert wait_between(start, None, date(2024, 3, 9), died=True).delayed == "yes"
    assert wait_between(None, stop, date(2024, 3, 11)).status == "missing"
    assert wait_between(start, None, date(2024, 2, 1)).status == "missing"
