"""One infant's record as the rules read it: references resolved, dates in range, problems collected."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from fhir_mapping.dates import DateRange, add_months
from fhir_mapping.elements import Unreadable, date_at, obj, objs, text
from fhir_mapping.model import Quarantined, Resource
from fhir_mapping.references import Identified, reference_target, type_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fhir_mapping.codes import Codes
    from fhir_mapping.elements import Json
    from fhir_mapping.model import InfantRecord, MappingSettings

Fact = TypeVar("Fact")

#: A visit that ends on this side of birth (prenatal neurology, a mistyped year) is no visit of the infant.
_EARLIEST_AGE = timedelta(days=1)


@dataclass(frozen=True)
class Milestone:
    """When a milestone was reached, by which rule, from which resource."""

    when: DateRange
    resource: Resource
    rule: str
    certainty: str = "coded"
    detail: str = ""


class Chart:
    """An `InfantRecord` with what every rule needs beside it. Collects flags and quarantine entries as it is read."""

    def __init__(self, record: InfantRecord, settings: MappingSettings, codes: Codes) -> None:
        self.record = record
        self.settings = settings
        self.codes = codes
        self.timezone = settings.timezone
        self.flags: set[str] = set()
        self.future_visits: set[str] = set()  # ids of encounters after the horizon
        self.quarantined: dict[tuple[str, str], Quarantined] = {}
        self.patients: tuple[Resource, ...] = (record.patient, *record.merged)
        self.specialties: dict[int, tuple[Resource, Any]] = {}  # by identity; see `neurology`
        self.birth = self._birth()

    def _birth(self) -> DateRange | None:
        """The birth date of the surviving record, or of one merged into it; unreadable everywhere: quarantine."""
        problems: list[tuple[Resource, Unreadable]] = []
        for patient in self.patients:
            try:
                found = date_at(patient.body.get("birthDate"), "Patient.birthDate", self.timezone)
            except Unreadable as error:
                problems.append((patient, error))
                continue
            if found is not None:
                return found
        for patient, problem in problems:
            self.quarantine(patient, problem)
        return None

    @property
    def horizon(self) -> date | None:
        """The last day that is known of: the as-of date, or the reach of the data, which the run puts there."""
        return self.settings.as_of

    @cached_property
    def counts_from(self) -> date | None:
        """The first day on which something can belong to IESS: before it, it is the newborn's own episode."""
        if self.birth is None:
            return None
        try:
            return self.birth.low + timedelta(days=self.settings.min_age_days)
        except OverflowError:
            return None

    @cached_property
    def second_birthday(self) -> date | None:
        if self.birth is None:
            return None
        try:
            return add_months(self.birth.low, 24)
        except OverflowError:
            return None

    def quarantine(self, resource: Resource, error: Unreadable) -> None:
        key = (resource.type, resource.id)
        self.quarantined.setdefault(
            key,
            Quarantined(
                resource.file,
                resource.line,
                resource.type,
                resource.id,
                "unreadable_element",
                error.path,
                f"{error.path} is needed and can't be read: {error.why}",
            ),
        )

    def read(self, resource_type: str, reader: Callable[[Resource, Chart], Fact | None]) -> list[Fact]:
        """What the reader makes of each resource of a type; one that it can't read goes to quarantine."""
        facts: list[Fact] = []
        for resource in self.record.of(resource_type):
            try:
                fact = reader(resource, self)
            except Unreadable as error:
                self.quarantine(resource, error)
            else:
                if fact is not None:
                    facts.append(fact)
        return facts

    def after_horizon(self, when: DateRange | None) -> bool:
        return when is not None and self.horizon is not None and when.low > self.horizon

    def plausible(self, when: DateRange | None) -> DateRange | None:
        """The date when it lies between birth and the horizon; else None, and a flag says which way it is off."""
        if when is None:
            return None
        if self.birth is not None and self.birth.low - when.high > _EARLIEST_AGE:
            self.flags.add("date_before_birth")
            return None
        if self.after_horizon(when):
            self.flags.add("date_after_horizon")
            return None
        if when.high.year >= 9000 or when.low.year < 1900:
            self.flags.add("date_implausible")
            return None
        return when

    # References ----------------------------------------------------------------------------------------------

    @cached_property
    def _by_key(self) -> dict[tuple[str, str], Resource]:
        own = (item for items in self.record.resources.values() for item in items)
        return {(item.type, item.id): item for item in (*self.patients, *own)}

    def holds(self, resource_type: str, identity: str) -> bool:
        """Whether the infant's record has the resource, whatever the rules make of it."""
        return (resource_type, identity) in self._by_key

    @cached_property
    def _identified(self) -> Identified:
        held = (*self._by_key.values(), *self.record.references.values())
        return Identified((one.type, one.id, one.body.get("identifier")) for one in held)

    @cached_property
    def roles_by_practitioner(self) -> dict[str, list[Resource]]:
        """PractitionerRoles by the id of their Practitioner, who need not be here."""
        found: dict[str, list[Resource]] = {}
        for _, role in sorted(self.record.references.items()):
            if role.type == "PractitionerRole":
                practitioner = role.body.get("practitioner")
                person = self.resolve(practitioner, role, "Practitioner")
                known_as = person.id if person is not None else practitioner_named(practitioner)
                if known_as:
                    found.setdefault(known_as, []).append(role)
        return found

    def resolve(self, reference: object, holder: Resource, *types: str) -> Resource | None:
        """The resource that a Reference points to: literal in any form, contained, conditional, or by identifier.

        `types` are those that the element allows, tried in turn when the reference doesn't say.
        """
        element = obj(reference)
        literal = text(element.get("reference"))
        if literal.startswith("#"):
            return self._contained(literal[1:], holder)
        target = reference_target(element)
        if target is None:
            return None
        kinds = [target.type] if target.type else [type_of(element), *types]
        if target.id.startswith("?"):
            named = next(self._identified.find(target, kinds), None)
            return self._held(*named) if named else None
        return next((found for kind in kinds if (found := self._held(kind, target.id))), None)

    def _held(self, kind: str, identity: str) -> Resource | None:
        return self._by_key.get((kind, identity)) or self.record.references.get(f"{kind}/{identity}")

    def _contained(self, contained_id: str, holder: Resource) -> Resource | None:
        for body in objs(holder.body.get("contained")):
            if text(body.get("id")) == contained_id and text(body.get("resourceType")):
                return Resource(
                    text(body["resourceType"]), contained_id, holder.version_id, holder.last_updated, body, holder.file
                )
        return None

    def same_target(self, reference: object, *types: str) -> tuple[str, str] | None:
        """(type, id) that a reference names, here or not; by an identifier, what of these types the record has."""
        target = reference_target(obj(reference))
        if target is not None and target.id.startswith("?"):
            target = next(self._identified.find(target, types), None)
        return (target.type, target.id) if target else None

    # Codes ---------------------------------------------------------------------------------------------------

    def roles_of(self, concepts: Iterable[Json]) -> frozenset[str]:
        """The roles of every coding of the concepts."""
        found: frozenset[str] = frozenset()
        for concept in concepts:
            for coding in objs(concept.get("coding")):
                found |= self.codes.roles(text(coding.get("system")), text(coding.get("code")))
        return found

    def knows_a_system_of(self, concept: Json) -> bool:
        """Whether a coding of the concept is in a system that the value sets know: its words don't stand alone."""
        return any(self.codes.system(text(coding.get("system"))) for coding in objs(concept.get("coding")))


def practitioner_named(reference: object) -> str:
    """The id by which a reference names a Practitioner, whether or not the resource is here; "" for another type."""
    element = obj(reference)
    target = reference_target(element)
    return target.id if target and (target.type or type_of(element)) in {"Practitioner", ""} else ""


def words_of(concepts: Iterable[Json], *, displays: bool = True) -> str:
    """The text of concepts, and their codings' displays, as one lower-case text."""
    parts: list[str] = []
    for concept in concepts:
        parts.append(text(concept.get("text")))
        if displays:
            parts += [text(coding.get("display")) for coding in objs(concept.get("coding"))]
    return " ; ".join(part for part in parts if part).lower()
