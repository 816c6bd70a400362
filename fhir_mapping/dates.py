"""Dates as intervals: what a FHIR date says, never more.

A `DateRange` holds the first and the last local calendar day that a recorded date can mean. Day precision is a range of
one day; `2024-03` is 1 to 31 March; nothing is padded with `-01`. A dateTime with an offset is turned into the
site's time zone before its date is taken; a date alone is local as it stands (clinical.md 2, rulings 1 to 3).
"""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fhir_source.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fhir_mapping.model import Precision

_DATE_TIME = re.compile(
    r"(?P<year>\d{4})(?:-(?P<month>\d{2})(?:-(?P<day>\d{2})"
    r"(?:[T ](?P<hour>\d{2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:\.\d+)?)?"
    r"\s?(?P<offset>[Zz]|[+-]\d{2}:?\d{2})?)?)?)?"
)
_LARGEST_OFFSET = timedelta(hours=14)


@dataclass(frozen=True, slots=True)
class DateRange:
    """The days `low` to `high` (both possible) that a recorded date can mean; `instant` when the time is known too."""

    low: date
    high: date
    precision: Precision = "day"
    instant: datetime | None = None  # aware, UTC; only with day precision

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("a date range ends before it begins")

    @property
    def exact(self) -> bool:
        return self.low == self.high

    @property
    def day(self) -> date | None:
        """The day, when there is only one that it can be."""
        return self.low if self.low == self.high else None

    @property
    def sort_key(self) -> tuple[date, date]:
        return (self.low, self.high)

    def surely_before(self, other: DateRange) -> bool:
        """Every day of this range is before every day of the other."""
        return self.high < other.low

    @staticmethod
    def of(day: date) -> DateRange:
        return DateRange(day, day)


class UnreadableDate(ValueError):
    """The text is no FHIR date, dateTime or instant. Carries no value."""


@lru_cache(maxsize=32)
def zone(name: str) -> ZoneInfo:
    """The site's time zone. Raises `SettingsError` for a name that the time zone database doesn't know."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise SettingsError(
            "the site's time zone is not an IANA name", next_step="write it like America/New_York"
        ) from error


@lru_cache(maxsize=65536)
def parse(text: str, timezone_name: str) -> DateRange:
    """What a FHIR date, dateTime or instant says, as days of the site's calendar.

    Reads years, months, days, and times with or without offset (without one the time is local: invalid FHIR, but
    seen). A leap second (`:60`) and a time of 24:00 are read. Raises `UnreadableDate` for anything else.
    """
    found = _DATE_TIME.fullmatch(text.strip())
    if found is None:
        raise UnreadableDate("not a FHIR date")
    year, month, day = (int(found[name]) if found[name] else 0 for name in ("year", "month", "day"))
    try:
        if not month:
            return DateRange(date(year, 1, 1), date(year, 12, 31), "year")
        if not day:
            return DateRange(date(year, month, 1), date(year, month, calendar.monthrange(year, month)[1]), "month")
        written = date(year, month, day)
    except ValueError as error:
        raise UnreadableDate("no such day") from error
    if found["hour"] is None:
        return DateRange.of(written)
    return _local_day(written, found, timezone_name)


def _local_day(written: date, found: re.Match[str], timezone_name: str) -> DateRange:
    hour, minute, second = int(found["hour"]), int(found["minute"]), int(found["second"] or 0)
    if hour > 24 or minute > 59 or second > 60 or (hour == 24 and (minute or second)):
        raise UnreadableDate("no such time")
    site = zone(timezone_name)
    time_of_day = timedelta(hours=hour, minutes=minute, seconds=min(second, 59))
    try:
        moment = (
            datetime(written.year, written.month, written.day, tzinfo=_offset(found["offset"]) or site) + time_of_day
        )
        instant = moment.astimezone(UTC)
        local = instant.astimezone(site).date()
    except OverflowError:
        # The first and the last day of the calendar can't be moved between zones; neither is a plausible date.
        return DateRange.of(written)
    return DateRange(local, local, "day", instant)


def _offset(text: str | None) -> timezone | None:
    if text is None:
        return None
    if text in {"Z", "z"}:
        return UTC
    hours, minutes = int(text[1:3]), int(text[-2:])
    size = timedelta(hours=hours, minutes=minutes)
    if size > _LARGEST_OFFSET or minutes > 59:
        raise UnreadableDate("no such offset")
    return timezone(-size if text[0] == "-" else size)


def add_months(day: date, months: int) -> date:
    """The same day of a later month, or that month's last day. Raises `OverflowError` past the year 9999."""
    index = day.year * 12 + day.month - 1 + months
    year, month = divmod(index, 12)
    if not date.min.year <= year <= date.max.year:
        raise OverflowError("date out of range")
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def earliest(ranges: Iterable[DateRange]) -> DateRange | None:
    """The range of the first of several dates: it can be no earlier than any low and no later than any high."""
    known = sorted(ranges, key=lambda item: item.sort_key)
    if not known:
        return None
    first = known[0]
    high = min(item.high for item in known)
    if high == first.high:
        return first
    return DateRange(first.low, high, "day" if high == first.low else "interval")
