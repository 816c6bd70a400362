"""Encounters: which count, what class they are, whether neurology took part, and which form one episode."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from fhir_mapping import neurology
from fhir_mapping.chart import words_of
from fhir_mapping.conditions import contained_reasons
from fhir_mapping.elements import Unreadable, date_at, obj, objs, reference_of, text
from fhir_mapping.releases import (
    admission,
    encounter_classes,
    encounter_diagnoses,
    encounter_diagnosis_concepts,
    encounter_participants,
    encounter_period,
    encounter_status,
    reasons,
    service_types,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

    from fhir_mapping.chart import Chart
    from fhir_mapping.dates import DateRange
    from fhir_mapping.elements import Json
    from fhir_mapping.model import Resource

COUNTED = frozenset({"finished", "in-progress", "arrived", "triaged", "onleave"})
#: Classes at which a first provider can be met (clinical.md 2, M1); ACUTE and NONAC are kinds of IMP in v3-ActCode.
FIRST_PROVIDER_CLASSES = frozenset({"AMB", "EMER", "IMP", "ACUTE", "NONAC", "VR"})
HOSPITAL_CLASSES = frozenset({"EMER", "IMP", "ACUTE", "NONAC", "OBSENC", "SS"})
_INPATIENT = HOSPITAL_CLASSES - {"EMER"}
_KNOWN_CLASSES = frozenset(
    {"AMB", "EMER", "IMP", "ACUTE", "NONAC", "OBSENC", "PRENC", "SS", "VR", "HH", "FLD"}  # v3-ActCode
)
#: Local class codes and texts that plainly say one of them.
_CLASS_WORDS = (
    ("emergency", "EMER"),
    ("inpatient", "IMP"),
    ("observation", "OBSENC"),
    ("virtual", "VR"),
    ("telehealth", "VR"),
    ("telemedicine", "VR"),
    ("ambulatory", "AMB"),
    ("outpatient", "AMB"),
    ("home health", "HH"),
)
#: Sources of admission outside this hospital (HL7 admit-source); `emd` is our own emergency department.
_ADMITTED_FROM_ELSEWHERE = frozenset({"hosp-trans", "nursing", "psych", "rehab"})
_LEFT_FOR_ELSEWHERE = frozenset({"other-hcf"})
#: A participant of these types took no part in the care: who referred (v3-ParticipationType: referrer, referred by).
_REFERRER = frozenset({"REF", "REFB"})
EPISODE_GAP = timedelta(hours=24)
LONG_STAY = timedelta(days=14)


@dataclass(frozen=True, slots=True)
class Contact:
    """Why a visit is a neurology contact: rule id, how sure, and the day that neurology was there."""

    rule: str
    certainty: str
    when: DateRange


@dataclass(frozen=True, eq=False)
class Visit:
    """An Encounter that took place."""

    resource: Resource
    when: DateRange
    end: DateRange | None
    classes: frozenset[str]
    concepts: tuple[Json, ...] = field(repr=False)  # reasons and diagnoses given as concepts
    diagnoses: frozenset[tuple[str, str]]  # (type, id) of the Conditions it points to
    contact: Contact | None
    from_elsewhere: bool
    to_elsewhere: bool

    @property
    def eligible(self) -> bool:
        """Whether a first provider can be met here; a class that can't be told is not held against the visit."""
        return not self.classes or bool(self.classes & FIRST_PROVIDER_CLASSES)

    @property
    def hospital(self) -> bool:
        return bool(self.classes & HOSPITAL_CLASSES)

    def day_of(self, recorded: DateRange | None, counts_from: date | None) -> DateRange:
        """The day of what was recorded at this visit: its start, but in a long stay the day on which it was recorded.

        An infant may be in hospital since birth, and the first spasm come in the third month of that stay. Long is a
        stay that began before the age from which spasms count, or over two weeks before the day of the record.
        """
        if recorded is None or not self.hospital or not self._holds(recorded):
            return self.when
        since_birth = counts_from is not None and self.when.high < counts_from <= recorded.low
        return recorded if since_birth or recorded.low - self.when.high > LONG_STAY else self.when

    def _holds(self, day: DateRange) -> bool:
        last = self.end.high if self.end else None
        under_way = last is None and encounter_status(self.resource.body) != "finished"
        return self.when.low <= day.low and (under_way or (last is not None and day.high <= last))


@dataclass(frozen=True, eq=False)
class Episode:
    """Visits that belong together: an emergency visit and the admission that follows it, or one visit."""

    visits: tuple[Visit, ...]  # in order of their start

    @property
    def first(self) -> Visit:
        return self.visits[0]

    @property
    def eligible(self) -> bool:
        return any(visit.eligible for visit in self.visits)


def read_visit(resource: Resource, chart: Chart) -> Visit | None:
    """The Encounter as a visit; None when it did not take place or has no start."""
    body = resource.body
    written = encounter_status(body)
    if written not in COUNTED:
        if written in {"", "unknown"}:
            chart.flags.add("encounter_status_unknown")
        return None
    period, path = encounter_period(body)
    when = date_at(period.get("start"), f"{path}.start", chart.timezone)
    if when is None:
        chart.flags.add("encounter_undated")
        return None
    if chart.after_horizon(when):
        chart.future_visits.add(resource.id)
    when = chart.plausible(when)
    if when is None:
        return None
    concepts, references = reasons(body)
    references += encounter_diagnoses(body)
    targets = [chart.same_target(reference, "Condition") for reference in references]
    classes = _classes(body)
    if not classes:
        chart.flags.add("encounter_class_unknown")
    stay = admission(body)
    return Visit(
        resource,
        when,
        _end(period, path, when, chart),
        classes,
        (*concepts, *encounter_diagnosis_concepts(body), *contained_reasons(references, resource, chart)),
        frozenset(target for target in targets if target),
        _contact(resource, when, chart),
        bool(stay) and _from_elsewhere(stay),
        bool(stay) and bool(_codes(stay.get("dischargeDisposition")) & _LEFT_FOR_ELSEWHERE),
    )


def _end(period: Json, path: str, when: DateRange, chart: Chart) -> DateRange | None:
    """The end, when it can be one: read, not before the start, and no placeholder of the year 9999."""
    try:
        end = date_at(period.get("end"), f"{path}.end", chart.timezone)
    except Unreadable:
        return None  # only the gap to the next stay needs it, and the start serves there
    if end is None or end.low < when.low or end.high.year >= 9000:
        return None
    return end


def _codes(concept: object) -> frozenset[str]:
    return frozenset(text(coding.get("code")).lower() for coding in objs(obj(concept).get("coding")))


def _from_elsewhere(stay: Json) -> bool:
    source = obj(stay.get("admitSource"))
    return (
        bool(_codes(source) & _ADMITTED_FROM_ELSEWHERE)
        or "transfer" in words_of([source])
        or bool(obj(stay.get("origin")))
    )


def _classes(body: Json) -> frozenset[str]:
    found: set[str] = set()
    for concept in encounter_classes(body):
        known = {text(coding.get("code")).upper() for coding in objs(concept.get("coding"))} & _KNOWN_CLASSES
        if not known:
            words = words_of([concept])
            known = {name for word, name in _CLASS_WORDS if word in words}
        found |= known
    return frozenset(found)


# Neurology -----------------------------------------------------------------------------------------------------


def _contact(resource: Resource, when: DateRange, chart: Chart) -> Contact | None:
    """The first evidence, in the order of clinical.md 1.5, that neurology saw the infant in this encounter."""
    body = resource.body
    kinds = objs(body.get("type"))
    services = service_types(body)
    about = words_of([*kinds, *(concept for concept, _ in services)])
    roles = chart.roles_of(kinds)
    if ("eeg" in roles or neurology.names_eeg(about)) and not neurology.about_a_person(about):
        return None  # an EEG, or its interpretation, is no visit
    ambiguous = False
    for participant, actor in encounter_participants(body):
        if _absent(participant):
            continue
        found = neurology.of_actor(actor, resource, chart)
        if found.verdict == "neurology" or (found.verdict == "ambiguous" and chart.settings.ambiguous_specialty):
            return Contact("M5.1", found.certainty, _consult_day(participant, when, chart))
        ambiguous = ambiguous or found.verdict == "ambiguous"
    certainty = _service(services, resource, chart) or _place(resource, chart)
    if certainty:
        return Contact(certainty[0], certainty[1], when)
    if roles & {"admission_neurology", "specialty_neurology"}:
        return Contact("M5.4", "coded", when)
    if neurology.names_neurology(words_of(kinds)):
        return Contact("M5.4", "text", when)
    if ambiguous:
        chart.flags.add("ambiguous_specialty")
    return None


def _absent(participant: Json) -> bool:
    codes = {text(c.get("code")).upper() for kind in objs(participant.get("type")) for c in objs(kind.get("coding"))}
    return bool(codes) and codes <= _REFERRER


def _consult_day(participant: Json, when: DateRange, chart: Chart) -> DateRange:
    """When neurology joined an admission, if that is recorded; else the start of the encounter."""
    try:
        joined = date_at(obj(participant.get("period")).get("start"), "Encounter.participant.period", chart.timezone)
    except Unreadable:
        return when
    return joined if joined is not None and chart.plausible(joined) and joined.low >= when.low else when


def _service(services: list[tuple[Json, Json]], resource: Resource, chart: Chart) -> tuple[str, str] | None:
    for concept, reference in services:
        found = neurology.of_concepts([concept], chart)
        if found.verdict != "neurology" and reference:
            found = neurology.of_name(chart.resolve(reference, resource, "HealthcareService"), chart)
        if found.verdict == "neurology":
            return "M5.2", found.certainty
    return None


def _place(resource: Resource, chart: Chart) -> tuple[str, str] | None:
    """Location, organization or service provider, by name or type."""
    body = resource.body
    places = [obj(item.get("location")) for item in objs(body.get("location"))]
    for reference in (*places, obj(body.get("serviceProvider"))):
        found = neurology.of_name(chart.resolve(reference, resource, "Location", "Organization"), chart)
        shown = text(reference.get("display"))
        if found.verdict == "neurology":
            return "M5.3", found.certainty
        if found.verdict == "unknown" and neurology.names_neurology(shown) and not neurology.names_eeg(shown):
            return "M5.3", "text"
    return None


# Episodes ------------------------------------------------------------------------------------------------------


def episodes(visits: Iterable[Visit]) -> list[Episode]:
    """Group hospital visits that are part of one stay: `partOf`, or an admission within 24 h of an emergency visit.

    Sorted by start. Chains of `partOf` may be cyclic or dangling. Visits outside hospital classes stand alone.
    """
    ordered = sorted(visits, key=lambda visit: (*_moment(visit), visit.resource.id))
    leader = list(range(len(ordered)))

    def find(index: int) -> int:
        while leader[index] != index:
            leader[index] = leader[leader[index]]
            index = leader[index]
        return index

    position = {visit.resource.id: index for index, visit in enumerate(ordered)}
    for index, visit in enumerate(ordered):
        parent = position.get(_part_of(visit))
        if parent is not None and visit.hospital and ordered[parent].hospital:
            leader[find(index)] = find(parent)
        if "EMER" in visit.classes:
            for later in range(index + 1, len(ordered)):
                if (ordered[later].when.low - (visit.end or visit.when).high).days > 2:
                    break
                if ordered[later].classes & _INPATIENT and _within_a_day(visit, ordered[later]):
                    leader[find(later)] = find(index)
    groups: dict[int, list[Visit]] = {}
    for index, visit in enumerate(ordered):
        groups.setdefault(find(index), []).append(visit)
    return sorted((Episode(tuple(group)) for group in groups.values()), key=lambda item: _moment(item.first))


def _moment(visit: Visit) -> tuple[object, ...]:
    instant = visit.when.instant
    return (visit.when.low, visit.when.high, instant.isoformat() if instant else "")


def _part_of(visit: Visit) -> str:
    literal = text(reference_of(visit.resource.body.get("partOf")).get("reference"))
    return literal.partition("/_history")[0].rpartition("/")[2].removeprefix("urn:uuid:")


def _within_a_day(emergency: Visit, stay: Visit) -> bool:
    before = emergency.end or emergency.when
    if before.instant is not None and stay.when.instant is not None:
        return stay.when.instant - before.instant <= EPISODE_GAP
    return stay.when.low - before.high <= timedelta(days=1)
