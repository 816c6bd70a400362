"""Who pays, as of the first provider: Coverage by its period and order, its type checked against the payor's name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fhir_mapping.chart import words_of
from fhir_mapping.elements import date_at, obj, objs, status, text
from fhir_mapping.releases import names_of, payors

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fhir_mapping.chart import Chart
    from fhir_mapping.dates import DateRange
    from fhir_mapping.elements import Json
    from fhir_mapping.model import Resource

_NEVER_IN_FORCE = frozenset({"draft", "entered-in-error"})
SOPT = "https://nahdo.org/sopt"
_LAST_ORDER = 1_000_000
#: A payor's or plan's name that plainly says what it is.
_NAMES = (
    ("military", re.compile(r"tricare|champus|champva|veterans? (?:affairs|admin)", re.I)),
    (
        "public",
        re.compile(
            r"medicaid|medicare|\bs?chip\b|child(?:ren.?s)? health (?:insurance|plan|plus)|masshealth|medi-?cal\b"
            r"|indian health",
            re.I,
        ),
    ),
    ("self_pay", re.compile(r"self.?pay|uninsured|no insurance|charity", re.I)),
    (
        "private",
        re.compile(
            r"blue cross|blue shield|bcbs|aetna|cigna|united ?health|humana|anthem|kaiser|commercial|private|employer",
            re.I,
        ),
    ),
)


@dataclass(frozen=True, eq=False)
class Cover:
    """One Coverage in force at some time."""

    resource: Resource
    order: float
    start: DateRange | None
    end: DateRange | None
    payer: str
    conflict: bool
    ended: bool  # cancelled since; one that still stands comes first

    def holds_on(self, day: DateRange) -> bool:
        """Whether its period can hold the day; without a period it is taken to hold."""
        return (self.start is None or self.start.low <= day.high) and (self.end is None or day.low <= self.end.high)


def read_cover(resource: Resource, chart: Chart) -> Cover | None:
    """The Coverage when it was ever in force.

    Systems mark a plan that has ended as cancelled, and say when it did: it was in force until then. Without an end it
    was withdrawn.
    """
    body = resource.body
    period = obj(body.get("period"))
    written = status(body)
    if written in _NEVER_IN_FORCE or (written == "cancelled" and period.get("end") is None):
        return None
    order = body.get("order")
    payer, conflict = _payer(resource, chart)
    return Cover(
        resource,
        float(order) if isinstance(order, int) and not isinstance(order, bool) else _LAST_ORDER,
        date_at(period.get("start"), "Coverage.period.start", chart.timezone),
        _end(period, chart),
        payer,
        conflict,
        written == "cancelled",
    )


def _end(period: Json, chart: Chart) -> DateRange | None:
    return date_at(period.get("end"), "Coverage.period.end", chart.timezone)


def _payer(resource: Resource, chart: Chart) -> tuple[str, bool]:
    """(group, conflict). A type that says public against a plan that says private decides nothing (G37)."""
    body = resource.body
    kind = obj(body.get("type"))
    by_type, by_translation = _by_codes(kind, chart)
    if status(body, "kind") == "self-pay":
        return "self_pay", False
    by_name = _by_name(resource, kind, chart)
    if by_type is None:
        # "Managed care" or "a health plan" says nothing of who pays: a name that does, decides.
        plain = by_translation if by_translation != "undetermined" else None
        return plain or by_name or by_translation or "unknown", False
    if by_name == "private" and "managed_public" in chart.roles_of([kind]):
        by_name = None  # Medicaid that an insurer runs bears the insurer's name
    others = {group for group in (by_translation, by_name) if group in {"public", "private", "military", "self_pay"}}
    if by_type in {"public", "private", "military"} and others and by_type not in others:
        return "undetermined", True
    return by_type, False


def _by_codes(kind: Json, chart: Chart) -> tuple[str | None, str | None]:
    """Groups by the payment typology, and by any other code system."""
    first: str | None = None
    second: str | None = None
    for coding in objs(kind.get("coding")):
        system, code = text(coding.get("system")), text(coding.get("code"))
        for role in sorted(chart.codes.roles(system, code)):
            if not role.startswith("payer_"):
                continue
            if chart.codes.system(system) == SOPT:
                first = first or role.removeprefix("payer_")
            else:
                second = second or role.removeprefix("payer_")
    return first, second


def _by_name(resource: Resource, kind: Json, chart: Chart) -> str | None:
    words = [words_of([kind])]
    for reference in payors(resource.body):
        payor = chart.resolve(reference, resource, "Organization", "Patient", "RelatedPerson")
        if payor is not None and payor.type in {"Patient", "RelatedPerson"}:
            return "self_pay"
        words.append(names_of(payor.body) if payor is not None else "")
        words.append(text(reference.get("display")))
    words += [text(item.get("name")) for item in objs(resource.body.get("class"))]
    said = " ; ".join(words)
    return next((group for group, pattern in _NAMES if pattern.search(said)), None)


def payer_on(covers: Iterable[Cover], day: DateRange | None, chart: Chart) -> tuple[str, Cover | None]:
    """The payer group on a day: the lowest Coverage.order in force, one that still stands, the latest start (G38)."""
    if day is None:
        return "unknown", None
    in_force = [cover for cover in covers if cover.holds_on(day)]
    if not in_force:
        return "unknown", None
    chosen = min(
        in_force,
        key=lambda cover: (
            cover.order,
            cover.ended,
            -(cover.start.low.toordinal() if cover.start else 0),
            cover.resource.id,
        ),
    )
    if chosen.conflict:
        chart.flags.add("payer_conflict")
    return chosen.payer, chosen
