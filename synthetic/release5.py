"""R4 resources as R5 has them: only the elements that the generator writes (clinical specification 1.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

Fhir = dict[str, Any]

_ENCOUNTER_STATUS = {"finished": "completed", "arrived": "in-progress", "triaged": "in-progress", "onleave": "on-hold"}


def to_r5(resource: Fhir) -> Fhir:
    """A new resource; the given one is left as it is."""
    convert = _CONVERTERS.get(resource["resourceType"])
    return convert(dict(resource)) if convert else resource


def _references(items: list[Fhir]) -> list[Fhir]:
    return [{"reference": item} for item in items]


def _concepts(items: list[Fhir]) -> list[Fhir]:
    return [{"concept": item} for item in items]


def _move(resource: Fhir, old: str, new: str, change: Callable[[Any], Any] = lambda value: value) -> None:
    if old in resource:
        resource[new] = change(resource.pop(old))


def _reasons(resource: Fhir) -> None:
    """reasonCode and reasonReference become one list of CodeableReference."""
    reasons = _concepts(resource.pop("reasonCode", [])) + _references(resource.pop("reasonReference", []))
    if reasons:
        resource["reason"] = reasons


def _medication(resource: Fhir) -> None:
    _move(resource, "medicationCodeableConcept", "medication", lambda code: {"concept": code})
    _move(resource, "medicationReference", "medication", lambda target: {"reference": target})


def _encounter(r: Fhir) -> Fhir:
    r["status"] = _ENCOUNTER_STATUS.get(r["status"], r["status"])
    if "class" in r:
        r["class"] = [{"coding": [r["class"]]}]
    _move(r, "period", "actualPeriod")
    _move(r, "serviceType", "serviceType", lambda service: [{"concept": service}])
    _move(r, "hospitalization", "admission")
    _move(r, "participant", "participant", lambda people: [_actor(person) for person in people])
    _move(r, "reasonCode", "reason", lambda codes: [{"value": _concepts(codes)}])
    return r


def _actor(participant: Fhir) -> Fhir:
    person = dict(participant)
    _move(person, "individual", "actor")
    return person


def _service_request(r: Fhir) -> Fhir:
    r["code"] = {"concept": r["code"]}
    _reasons(r)
    return r


def _condition(r: Fhir) -> Fhir:
    if "clinicalStatus" not in r:  # mandatory since R5
        r["clinicalStatus"] = {
            "coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": "unknown"}]
        }
    return r


def _coverage(r: Fhir) -> Fhir:
    r["kind"] = "insurance"
    _move(r, "payor", "insurer", lambda payors: payors[0])
    _move(r, "subscriberId", "subscriberId", lambda number: [{"value": number}])
    return r


def _procedure(r: Fhir) -> Fhir:
    _move(r, "performedPeriod", "occurrencePeriod")
    _move(r, "performedDateTime", "occurrenceDateTime")
    return r


def _medication_request(r: Fhir) -> Fhir:
    _medication(r)
    _reasons(r)
    return r


def _administration(r: Fhir) -> Fhir:
    _medication(r)
    _move(r, "context", "encounter")
    _move(r, "effectiveDateTime", "occurenceDateTime")  # R5 spells it with one r
    return r


def _dispense(r: Fhir) -> Fhir:
    _medication(r)
    _move(r, "context", "encounter")
    return r


def _appointment(r: Fhir) -> Fhir:
    _move(r, "serviceType", "serviceType", _concepts)
    _move(r, "cancelationReason", "cancellationReason")
    _reasons(r)
    return r


_CONVERTERS: dict[str, Callable[[Fhir], Fhir]] = {
    "Encounter": _encounter,
    "ServiceRequest": _service_request,
    "Condition": _condition,
    "Coverage": _coverage,
    "Procedure": _procedure,
    "MedicationRequest": _medication_request,
    "MedicationAdministration": _administration,
    "MedicationDispense": _dispense,
    "Appointment": _appointment,
}
