"""FHIR instants and HTTP dates as UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime


def parse(text: str | None) -> datetime | None:
    """An ISO 8601 instant with its offset, in UTC; None when it is not one."""
    try:
        when = datetime.fromisoformat(text or "")
        return when.astimezone(UTC) if when.tzinfo else None
    except (ValueError, OverflowError):  # the first and the last day of the calendar may lie beyond it in UTC
        return None


def from_http(text: str | None) -> datetime | None:
    """An HTTP-date in UTC; None when it is not one."""
    try:
        when = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)


def iso(when: datetime) -> str:
    """`2026-11-23T07:00:00Z`, seconds, in UTC."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def earlier(text: str, seconds: int) -> str | None:
    """An instant `seconds` before the one given, None when it can't be read."""
    when = parse(text)
    return iso(when - timedelta(seconds=seconds)) if when else None
