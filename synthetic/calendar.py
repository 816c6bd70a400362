"""Local days and minutes of a site as FHIR writes them: with the offset of that day, daylight saving included."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo


@lru_cache(maxsize=200_000)
def _clock(zone: str, day: date, hour: int) -> tuple[int, int]:
    """The hour that clocks show, and minutes east of UTC then. An hour that clocks skip becomes the next."""
    there = ZoneInfo(zone)
    local = datetime(day.year, day.month, day.day, hour, tzinfo=there).astimezone(UTC).astimezone(there)
    offset = local.utcoffset() or timedelta()
    return local.hour, int(offset.total_seconds()) // 60


def local_time(zone: str, day: date, minute: int, *, utc: bool = False) -> str:
    """FHIR dateTime of `minute` after local midnight of `day` (1,440 and more is the next day).

    `utc` writes the same instant in UTC, where the date may be another one.
    """
    day, minute = day + timedelta(days=minute // 1440), minute % 1440
    hour, offset = _clock(zone, day, minute // 60)
    if utc:
        instant = datetime(day.year, day.month, day.day, hour, minute % 60, tzinfo=UTC) - timedelta(minutes=offset)
        return instant.strftime("%Y-%m-%dT%H:%M:%SZ")
    sign = "-" if offset < 0 else "+"
    east = abs(offset)
    return f"{day}T{hour:02d}:{minute % 60:02d}:00{sign}{east // 60:02d}:{east % 60:02d}"


@lru_cache(maxsize=200_000)
def instant_at_noon(zone: str, day: date) -> str:
    """Local noon as a FHIR instant in UTC, for meta.lastUpdated."""
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    return noon.strftime("%Y-%m-%dT%H:%M:%S.000Z")
