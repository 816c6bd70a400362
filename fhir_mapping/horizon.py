"""Up to which day a folder of FHIR data reaches, when its resources don't say when they were last updated.

An infant who is still waiting is censored at the last day that the source can have told of (clinical.md, MC). That is
the latest `meta.lastUpdated`; some exports have none, and then it is the latest day on which something was recorded
or done. What is only planned, and dates that no record of today can hold, don't count.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from fhir_mapping.elements import status
from fhir_mapping.model import Resource
from fhir_mapping.newest import instant_of

_MOMENTS: dict[str, tuple[str, ...]] = {
    "Encounter": ("period.start", "period.end", "actualPeriod.start", "actualPeriod.end"),
    "Condition": ("recordedDate",),
    "ServiceRequest": ("authoredOn",),
    "Procedure": (
        "performedDateTime",
        "performedPeriod.start",
        "occurrenceDateTime",
        "occurrencePeriod.start",
        "recorded",
    ),
    "DiagnosticReport": ("issued", "effectiveDateTime", "effectivePeriod.start"),
    "DocumentReference": ("date",),
    "MedicationRequest": ("authoredOn",),
    "MedicationAdministration": (
        "effectiveDateTime",
        "effectivePeriod.start",
        "occurenceDateTime",
        "occurencePeriod.start",
        "recorded",
    ),
    "MedicationDispense": ("whenHandedOver", "whenPrepared", "recorded"),
    "Appointment": ("created",),
    "Task": ("authoredOn",),
}
_NOT_DONE = frozenset({"planned", "cancelled", "entered-in-error", "not-done", "preparation", "draft"})
_LAST_YEAR = 2100


def recorded_through(resources: Iterable[Resource], zone: ZoneInfo) -> date | None:
    """The latest local day on which one of the resources was recorded or done; None when none says so."""
    return max((day for resource in resources for day in _days(resource, zone)), default=None)


def _days(resource: Resource, zone: ZoneInfo) -> Iterator[date]:
    if status(resource.body) in _NOT_DONE:
        return
    for path in _MOMENTS.get(resource.type, ()):
        value: Any = resource.body
        for name in path.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        day = _local_day(value, zone)
        if day is not None and day.year < _LAST_YEAR:
            yield day


def _local_day(value: object, zone: ZoneInfo) -> date | None:
    moment = instant_of(value)
    if moment is None or not isinstance(value, str):
        return None
    # A date without a time is local already.
    return moment.date() if len(value.strip()) <= 10 or moment.year == 1 else moment.astimezone(zone).date()
