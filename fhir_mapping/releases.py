"""Where FHIR R4 and R5 differ, in one place: the rules ask here and see one shape.

Each function reads either release by the shape of the resource, since servers mix them (an R5 element in an R4
resource is a common slip). Source: the R4B and R5 models of fhir.resources 8 and hl7.org/fhir/R5/diff.html.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhir_mapping.elements import concept_of, obj, objs, reference_of, status, text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fhir_mapping.elements import Json

#: R5 Encounter.status by the R4 status that it replaced (R5 EncounterStatus, map 5to4).
_ENCOUNTER_STATUS = {
    "completed": "finished",
    "discharged": "finished",
    "discontinued": "cancelled",
    "on-hold": "onleave",
}

PROCEDURE_DATES = ("performedDateTime", "performedPeriod", "occurrenceDateTime", "occurrencePeriod", "occurrenceTiming")
REPORT_DATES = ("effectiveDateTime", "effectivePeriod")
NOTE_DATES = ("period", "date")
REQUEST_OCCURRENCE = ("occurrenceDateTime", "occurrencePeriod", "occurrenceTiming")
#: R5 spells MedicationAdministration.occurence[x] with one r; both spellings are read.
ADMINISTRATION_DATES = (
    "effectiveDateTime",
    "effectivePeriod",
    "occurenceDateTime",
    "occurencePeriod",
    "occurenceTiming",
    "occurrenceDateTime",
    "occurrencePeriod",
    "occurrenceTiming",
)
STATEMENT_DATES = ("effectiveDateTime", "effectivePeriod", "effectiveTiming")


def encounter_status(body: Json) -> str:
    """Encounter.status in the words of R4."""
    written = status(body)
    return _ENCOUNTER_STATUS.get(written, written)


def encounter_period(body: Json) -> tuple[Json, str]:
    """(Period, its path): R4 `period`, R5 `actualPeriod`."""
    name = "actualPeriod" if isinstance(body.get("actualPeriod"), dict) else "period"
    return obj(body.get(name)), f"Encounter.{name}"


def encounter_classes(body: Json) -> list[Json]:
    """Every class as a CodeableConcept: R4 has one Coding, R5 a list of CodeableConcepts."""
    items = objs(body.get("class"))
    return [item if "coding" in item or "text" in item else {"coding": [item]} for item in items]


def encounter_participants(body: Json) -> Iterator[tuple[Json, Json]]:
    """(participant, Reference to its actor): R4 `individual`, R5 `actor`."""
    for participant in objs(body.get("participant")):
        yield participant, obj(participant.get("individual") or participant.get("actor"))


def service_types(body: Json) -> list[tuple[Json, Json]]:
    """(concept, Reference to a HealthcareService) of Encounter or Appointment; R5 has CodeableReferences."""
    return [(concept_of(item), reference_of(item)) for item in objs(body.get("serviceType"))]


def encounter_diagnoses(body: Json) -> Iterator[Json]:
    """References to the Conditions of an encounter; R5 has a list of CodeableReferences in each diagnosis."""
    for diagnosis in objs(body.get("diagnosis")):
        for item in objs(diagnosis.get("condition")):
            yield reference_of(item)


def encounter_diagnosis_concepts(body: Json) -> Iterator[Json]:
    """Diagnoses given as concepts: R5 only."""
    for diagnosis in objs(body.get("diagnosis")):
        for item in objs(diagnosis.get("condition")):
            if isinstance(item.get("concept"), dict):
                yield obj(item["concept"])


def admission(body: Json) -> Json:
    """R4 Encounter.hospitalization, R5 Encounter.admission."""
    return obj(body.get("hospitalization") or body.get("admission"))


def reasons(body: Json) -> tuple[list[Json], list[Json]]:
    """(concepts, References) of why: R4 reasonCode and reasonReference, R5 reason (in Encounter: reason.value)."""
    concepts = [concept_of(item) for item in objs(body.get("reasonCode"))]
    references = objs(body.get("reasonReference"))
    for item in objs(body.get("reason")):
        for value in objs(item.get("value")) or [item]:
            if isinstance(value.get("concept"), dict):
                concepts.append(obj(value["concept"]))
            elif "reference" not in value and ("coding" in value or "text" in value):
                concepts.append(value)  # Appointment.reason of DSTU2 and STU3
            if "reference" in value:
                references.append(reference_of(value))
    return concepts, references


def request_code(body: Json) -> Json:
    """ServiceRequest.code: a CodeableConcept in R4, a CodeableReference in R5."""
    return concept_of(body.get("code"))


def order_details(body: Json) -> Iterator[Json]:
    """ServiceRequest.orderDetail as concepts: R4 has CodeableConcepts, R5 parameters."""
    for detail in objs(body.get("orderDetail")):
        if "coding" in detail or "text" in detail:
            yield detail
        for parameter in objs(detail.get("parameter")):
            if isinstance(parameter.get("valueCodeableConcept"), dict):
                yield obj(parameter["valueCodeableConcept"])


def task_performers(body: Json) -> tuple[list[Json], list[Json]]:
    """(kinds of performer, References) of a Task: R4 performerType, R5 requestedPerformer, and the owner of both."""
    asked = objs(body.get("requestedPerformer"))
    concepts = [obj(item["concept"]) for item in asked if "concept" in item]
    actors = [reference_of(item) for item in asked if "reference" in item]
    return objs(body.get("performerType")) + concepts, actors + objs(body.get("owner"))


def payors(body: Json) -> list[Json]:
    """References to who pays: R4 Coverage.payor, R5 Coverage.insurer and paymentBy."""
    named = objs(body.get("payor")) + objs(body.get("insurer"))
    return named + [obj(item.get("party")) for item in objs(body.get("paymentBy"))]


def medication(body: Json) -> tuple[Json, Json]:
    """(concept, Reference) of the medicine: R4 medication[x], R5 CodeableReference."""
    both = obj(body.get("medication"))
    concept = obj(body.get("medicationCodeableConcept")) or concept_of(both)
    return concept, obj(body.get("medicationReference")) or reference_of(both)


def medication_dosages(body: Json) -> list[Json]:
    """Dosage instructions of a request or dispense, or the one dosage of an administration."""
    return objs(body.get("dosageInstruction")) or objs(body.get("dosage"))


def encounter_reference(body: Json) -> Json:
    """The encounter a resource belongs to: `encounter`, or `context` of R4 medication resources."""
    return obj(body.get("encounter") or body.get("context"))


def note_time(body: Json) -> Json:
    """A DocumentReference's `period` of what it tells of and its `date` of writing: R4 has the first in `context`."""
    return {"period": body.get("period") or obj(body.get("context")).get("period"), "date": body.get("date")}


def names_of(body: Json) -> str:
    """Name and alias of an Organization, Location or HealthcareService, as one text."""
    aliases = body.get("alias")
    return (
        " ".join([text(body.get("name")), *(text(alias) for alias in aliases if isinstance(aliases, list))])
        if (isinstance(aliases, list))
        else text(body.get("name"))
    )
