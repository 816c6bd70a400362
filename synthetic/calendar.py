"""Local days and minutes of a site as FHIR writes them: with the offset of that day, daylight saving included."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo


@lru_cache(maxsize=200_000)
def _offset(zone: str, day: date, hour: int) -> int:
    """Minutes east of UTC at that local hour. The hour matters on the two days a year on which clocks change."""
    local = datetime(day.year, day.month, day.day, hour, tzinfo=ZoneInfo(zone))
    offset = local.utcoffset()
    return int(offset.total_seconds()) // 60 if offset is not None else 0


def local_time(zone: str, day: date, minute: int, *, utc: bool = False) -> str:
    """FHIR dateTime of `minute` after local midnight of `day` (1,440 and more is the next day).

    `utc` writes the same instant in UTC, where the date may be another one. Minutes that don't exist on the day when
    clocks go forward are moved an hour on.
    """
    while minute >= 1440:
        day, minute = day + timedelta(days=1), minute - 1440
    hour, rest = divmod(minute, 60)
    offset = _offset(zone, day, hour)
    if hour == 2 and _offset(zone, day, 1) < offset and _offset(zone, day, 3) == offset:
        hour += 1  # 02:30 does not exist on that day
    if utc:
        instant = datetime(day.year, day.month, day.day, hour, rest, tzinfo=UTC) - timedelta(minutes=offset)
        return instant.strftime("%Y-%m-%dT%H:%M:%SZ")
    sign = "-" if offset < 0 else "+"
    east = abs(offset)
    return f"{day}T{hour:02d}:{rest:02d}:00{sign}{east // 60:02d}:{east % 60:02d}"


@lru_cache(maxsize=200_000)
def instant_at_noon(zone: str, day: date) -> str:
    """Local noon as a FHIR instant in UTC, for meta.lastUpdated."""
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    return noon.strftime("%Y-%m-%dT%H:%M:%S.000Z")
