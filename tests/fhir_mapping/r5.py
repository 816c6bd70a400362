"""Rewrites the R4 resources of the cases as R5, so that one case tests both releases."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

Json = dict[str, Any]

_ENCOUNTER_STATUS = {"finished": "completed", "onleave": "on-hold", "arrived": "in-progress", "triaged": "in-progress"}


def to_r5(resource: Json) -> Json:
    """The same resource in R5, by the differences of hl7.org/fhir/R5/diff.html that the rules meet."""
    body = deepcopy(resource)
    rewrite = _REWRITES.get(str(body.get("resourceType")))
    if rewrite:
        rewrite(body)
    return body


def _move(body: Json, old: str, new: str) -> None:
    if old in body:
        body[new] = body.pop(old)


def _reasons(body: Json) -> list[Json]:
    concepts = [{"concept": item} for item in body.pop("reasonCode", [])]
    return concepts + [{"reference": item} for item in body.pop("reasonReference", [])]


def _wrapped(concept: Json) -> Json:
    """A CodeableReference, unless the case has written one."""
    return concept if "reference" in concept or "concept" in concept else {"concept": concept}


def _encounter(body: Json) -> None:
    if "actualPeriod" in body:
        return  # written as R5 in the case itself
    if isinstance(body.get("class"), dict):
        body["class"] = [{"coding": [body["class"]]}]
    _move(body, "period", "actualPeriod")
    _move(body, "hospitalization", "admission")
    body["status"] = _ENCOUNTER_STATUS.get(body.get("status", ""), body.get("status"))
    for participant in body.get("participant", []):
        _move(participant, "individual", "actor")
    if "serviceType" in body:
        body["serviceType"] = [{"concept": body["serviceType"]}]
    reasons = _reasons(body)
    if reasons:
        body["reason"] = [{"value": reasons}]
    for diagnosis in body.get("diagnosis", []):
        if "condition" in diagnosis:
            diagnosis["condition"] = [{"reference": diagnosis["condition"]}]


def _request(body: Json) -> None:
    if "code" in body:
        body["code"] = _wrapped(body["code"])
    reasons = _reasons(body)
    if reasons:
        body["reason"] = reasons
    if "orderDetail" in body:
        body["orderDetail"] = [{"parameter": [{"valueCodeableConcept": item}]} for item in body["orderDetail"]]
    if "locationReference" in body:
        body["location"] = [{"reference": item} for item in body.pop("locationReference")]


def _coverage(body: Json) -> None:
    body.setdefault("kind", "insurance")
    payors = body.pop("payor", [])
    if payors:
        body["insurer"] = payors[0]


def _procedure(body: Json) -> None:
    _move(body, "performedDateTime", "occurrenceDateTime")
    _move(body, "performedPeriod", "occurrencePeriod")
    reasons = _reasons(body)
    if reasons:
        body["reason"] = reasons


def _medication(body: Json) -> None:
    if "medicationCodeableConcept" in body:
        body["medication"] = {"concept": body.pop("medicationCodeableConcept")}
    if "medicationReference" in body:
        body["medication"] = {"reference": body.pop("medicationReference")}
    _move(body, "context", "encounter")
    reasons = _reasons(body)
    if reasons:
        body["reason"] = reasons


def _administration(body: Json) -> None:
    _medication(body)
    _move(body, "effectiveDateTime", "occurenceDateTime")
    _move(body, "effectivePeriod", "occurencePeriod")


def _appointment(body: Json) -> None:
    if "serviceType" in body:
        body["serviceType"] = [_wrapped(item) for item in body["serviceType"]]
    reasons = _reasons(body)
    if reasons:
        body["reason"] = reasons


def _task(body: Json) -> None:
    kinds = body.pop("performerType", [])
    if kinds:
        body["requestedPerformer"] = [{"concept": kind} for kind in kinds]


_REWRITES = {
    "Encounter": _encounter,
    "ServiceRequest": _request,
    "Coverage": _coverage,
    "Procedure": _procedure,
    "MedicationRequest": _medication,
    "MedicationDispense": _medication,
    "MedicationAdministration": _administration,
    "Appointment": _appointment,
    "Task": _task,
}
