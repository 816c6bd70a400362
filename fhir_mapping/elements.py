"""Reading JSON that may be anything: the elements of a resource, by the types that FHIR gives them.

Records come from many systems; a rule asks for what it needs and gets it, or nothing. Only an element that a rule
needs, that is present, and that can't be read raises (`Unreadable`): its resource is then quarantined.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhir_mapping.dates import DateRange, UnreadableDate, parse

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]


class Unreadable(Exception):
    """A needed element is present and can't be read. Says where (a FHIR path) and why, never the value."""

    def __init__(self, path: str, why: str) -> None:
        self.path = path
        self.why = why
        super().__init__(f"{path}: {why}")


def obj(value: object) -> Json:
    """The value as an object; an empty one when it is none."""
    return value if isinstance(value, dict) else {}


def objs(value: object) -> list[Json]:
    """The objects of a list. A single object where a list belongs (a common slip) counts as a list of one."""
    if value is None:
        return []
    if isinstance(value, list):
        for item in value:
            if not isinstance(item, dict):
                return [item for item in value if isinstance(item, dict)]
        return value  # as it is, not copied: rules ask this some 300 times an infant
    return [value] if isinstance(value, dict) else []


def text(value: object) -> str:
    """A string without surrounding white space; empty when it is none."""
    return value.strip() if isinstance(value, str) else ""


def number(value: object) -> float | None:
    """A finite number, also when written as a string."""
    if isinstance(value, bool):
        return None
    try:
        result = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return result if abs(result) < 1e12 else None


def status(body: Json, name: str = "status") -> str:
    return text(body.get(name)).lower()


def codings(concept: object) -> Iterator[tuple[str, str, str]]:
    """(system, code, display) of each coding of a CodeableConcept or CodeableReference."""
    for coding in objs(concept_of(concept).get("coding")):
        yield text(coding.get("system")), text(coding.get("code")), text(coding.get("display"))


def concept_of(value: object) -> Json:
    """A CodeableConcept, from itself or out of an R5 CodeableReference; a bare Coding is wrapped."""
    found = obj(value)
    if isinstance(found.get("concept"), dict):
        return obj(found["concept"])
    if "coding" not in found and isinstance(found.get("code"), str):
        return {"coding": [found]}
    return found


def reference_of(value: object) -> Json:
    """A Reference, from itself or out of an R5 CodeableReference."""
    found = obj(value)
    inner = found.get("reference")
    return inner if isinstance(inner, dict) else found


def extensions(body: Json, url: str) -> Iterator[Json]:
    """The extensions with that URL."""
    for extension in objs(body.get("extension")):
        if text(extension.get("url")).rstrip("/") == url:
            yield extension


def date_at(value: object, path: str, timezone: str) -> DateRange | None:
    """The date of an element; None when it is absent. Raises `Unreadable` when it is there and is no date."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise Unreadable(path, "not a date")
    try:
        return parse(value, timezone)
    except UnreadableDate as error:
        raise Unreadable(path, str(error)) from error


def start_of(body: Json, resource_type: str, names: tuple[str, ...], timezone: str) -> DateRange | None:
    """The start of a choice element: the first of `names` that the resource has, a dateTime, a Period or a Timing."""
    for name in names:
        told = _beginnings(body.get(name), f"{resource_type}.{name}")
        found = [when for value, path in told if (when := date_at(value, path, timezone)) is not None]
        if found:
            return min(found, key=lambda when: when.sort_key)
    return None


def _beginnings(value: object, path: str) -> list[tuple[object, str]]:
    """What tells when an element began, with its path: a Timing has its events, or the bounds of their repetition."""
    if not isinstance(value, dict):
        return [(value, path)]
    events = value.get("event")
    if isinstance(events, list) and events:
        return [(event, f"{path}.event") for event in events]
    bounds = obj(obj(value.get("repeat")).get("boundsPeriod"))
    if bounds:
        return [(bounds.get("start"), f"{path}.repeat.boundsPeriod.start")]
    return [(value.get("start"), f"{path}.start")]
