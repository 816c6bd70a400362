"""The newest version of each resource wins.

Order: `meta.lastUpdated` as an instant, then a numeric `meta.versionId`, then the later position. A version that does
not say when it was updated is older than one that does.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from fhir_mapping.model import Resource

_NO_INSTANT = datetime.min.replace(tzinfo=UTC)


def instant_of(text: object) -> datetime | None:
    """An instant in UTC; None when it can't be read. A date or a time without offset is taken as UTC."""
    if not isinstance(text, str):
        return None
    try:
        parsed = datetime.fromisoformat(text.strip())
        return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def version_number(text: object) -> int:
    """The number of a numeric versionId (`3`, `W/"3"`), or -1."""
    if not isinstance(text, str):
        return -1
    digits = text.strip().removeprefix("W/").strip('"')
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 18 else -1


def age_key(last_updated: str, version_id: str) -> tuple[datetime, int]:
    """Sorts the versions of one resource from oldest to newest; equal keys are decided by position."""
    return instant_of(last_updated) or _NO_INSTANT, version_number(version_id)


def newest(resources: Iterable[Resource]) -> tuple[list[Resource], list[Resource]]:
    """Split into the newest version of each (type, id) and the superseded ones, each in the order given.

    Among versions that say the same of themselves, the one given later wins; so put what is stored before what
    has just arrived.
    """
    ordered = list(resources)
    best: dict[tuple[str, str], tuple[tuple[datetime, int], int]] = {}
    for position, resource in enumerate(ordered):
        key = (resource.type, resource.id)
        rank = (age_key(resource.last_updated, resource.version_id), position)
        if key not in best or rank > best[key]:
            best[key] = rank
    winners = {position for _, position in best.values()}
    kept = [resource for position, resource in enumerate(ordered) if position in winners]
    superseded = [resource for position, resource in enumerate(ordered) if position not in winners]
    return kept, superseded
