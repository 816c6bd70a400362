"""One infant's chart: R4 resources in US Core 6.1 shapes, each builder one resource type."""

from __future__ import annotations

from collections import Counter
from datetime import date
from typing import Any

from synthetic.calendar import instant_at_noon, local_time
from synthetic.codings import (
    ACT,
    CATEGORY,
    CLINICAL_STATUS,
    CORE,
    CPT,
    PARTICIPATION,
    US_CORE,
    VERIFICATION,
    coding,
    concept,
)
from synthetic.directory import reference

Fhir = dict[str, Any]

_VISIT_CODES = {"AMB": "99213", "EMER": "99284", "IMP": "99222", "VR": "99442"}
#: Resource type -> what its ids begin with.
_SHORT = {
    "RelatedPerson": "r",
    "Coverage": "v",
    "Encounter": "e",
    "Condition": "c",
    "ServiceRequest": "s",
    "Appointment": "a",
    "Procedure": "p",
    "DiagnosticReport": "d",
    "MedicationRequest": "m",
    "MedicationAdministration": "g",
    "MedicationDispense": "h",
    "Observation": "o",
    "Immunization": "i",
}
_ACTIVE, _RESOLVED = concept(CLINICAL_STATUS, "active"), concept(CLINICAL_STATUS, "resolved")


class Chart:
    """Collects what is written about one infant up to `stop`; days after it write nothing.

    `resources` are plain dicts in the order in which they were written.
    """

    def __init__(self, patient_id: str, prefix: str, zone: str, stop: date, *, utc: bool = False) -> None:
        self.patient_id = patient_id
        self.prefix = prefix
        self.zone = zone
        self.stop = stop
        self.utc = utc
        self.resources: list[Fhir] = []
        self._numbers: Counter[str] = Counter()
        self.subject = {"reference": f"Patient/{patient_id}"}

    def time(self, day: date, minute: int) -> str:
        return local_time(self.zone, day, minute, utc=self.utc)

    def add(
        self,
        kind: str,
        day: date,
        body: Fhir,
        profile: str | None = None,
        *,
        changed: date | None = None,
    ) -> Fhir:
        """Append a resource written on `day`.

        `changed` is the day on which it became what it is now, when that came later: its second version.
        """
        meta: Fhir = {"versionId": "1", "lastUpdated": instant_at_noon(self.zone, day)}
        if changed is not None and changed > day:
            meta = {"versionId": "2", "lastUpdated": instant_at_noon(self.zone, changed)}
        if profile:
            meta["profile"] = [f"{US_CORE}{profile}|6.1.0"]
        resource = {"resourceType": kind, "id": self._identity(kind, day), "meta": meta, **body}
        self.resources.append(resource)
        return resource

    def _identity(self, kind: str, day: date) -> str:
        """An id that does not depend on what is written later: by type, day, and how many there were before."""
        if kind == "Patient":
            return self.patient_id
        key = f"{_SHORT[kind]}{day.toordinal():x}"
        self._numbers[key] += 1
        return f"{self.patient_id}.{key}.{self._numbers[key]}"

    def encounter(
        self,
        kind: str,
        day: date,
        minute: int = 600,
        length: int = 30,
        *,
        by: str = "pediatrician-1",
        role: bool = False,
        text: str = "Office visit",
        service: Fhir | None = None,
        place: str | None = None,
        provider: str | None = None,
        reason: Fhir | None = None,
        part_of: Fhir | None = None,
        hospitalization: Fhir | None = None,
        status: str = "finished",
        interpreter: Fhir | None = None,
    ) -> Fhir | None:
        """A visit of class `kind`, from `minute` after midnight for `length` minutes; None when it is after `stop`."""
        if day > self.stop:
            return None
        who = reference("PractitionerRole", self.prefix, f"role-{by}") if role else self.practitioner(by)
        body: Fhir = {
            "status": status,
            "class": coding(ACT, kind),
            "type": [concept(CPT, _VISIT_CODES[kind], text)],
            "subject": self.subject,
            "participant": [{"type": [concept(PARTICIPATION, "ATND")], "individual": who}],
            "period": {"start": self.time(day, minute), "end": self.time(day, minute + length)},
            "serviceProvider": reference("Organization", self.prefix, provider or "hospital"),
        }
        if service:
            body["serviceType"] = service
        if place:
            body["location"] = [{"location": reference("Location", self.prefix, place)}]
        if reason:
            body["reasonCode"] = [reason]
        if part_of:
            body["partOf"] = refer(part_of)
        if hospitalization:
            body["hospitalization"] = hospitalization
        if interpreter:
            body["extension"] = [interpreter]
        return self.add("Encounter", day, body, "us-core-encounter")

    def condition(
        self,
        code: Fhir,
        day: date,
        encounter: Fhir | None,
        *,
        category: str = "encounter-diagnosis",
        verification: str | None = "confirmed",
        asserted: date | None = None,
        onset: Fhir | None = None,
        resolved: bool = False,
    ) -> Fhir | None:
        if day > self.stop:
            return None
        body: Fhir = {"category": [concept(CATEGORY, category)], "code": code, "subject": self.subject}
        if verification != "entered-in-error":
            body["clinicalStatus"] = _RESOLVED if resolved else _ACTIVE
        if verification:
            body["verificationStatus"] = concept(VERIFICATION, verification)
        if encounter:
            body["encounter"] = refer(encounter)
        if asserted:
            body["extension"] = [{"url": CORE + "condition-assertedDate", "valueDateTime": asserted.isoformat()}]
        if onset:
            body.update(onset)
        body["recordedDate"] = day.isoformat()
        profile = "us-core-condition-" + (
            "encounter-diagnosis" if category == "encounter-diagnosis" else "problems-health-concerns"
        )
        return self.add("Condition", day, body, profile)

    def service_request(
        self,
        code: Fhir,
        day: date,
        encounter: Fhir | None,
        *,
        status: str = "active",
        intent: str = "order",
        dated: bool = True,
        performer_type: Fhir | None = None,
        performer: Fhir | None = None,
        reason: Fhir | None = None,
        replaces: Fhir | None = None,
        based_on: Fhir | None = None,
        category: Fhir | None = None,
        wanted: date | None = None,
        changed: date | None = None,
        by: str = "pediatrician-1",
    ) -> Fhir | None:
        if day > self.stop:
            return None
        body: Fhir = {"status": status, "intent": intent, "code": code, "subject": self.subject}
        if category:
            body["category"] = [category]
        if encounter:
            body["encounter"] = refer(encounter)
        if dated:
            body["authoredOn"] = self.time(day, 660)
        if wanted:
            body["occurrenceDateTime"] = wanted.isoformat()
        body["requester"] = self.practitioner(by)
        if performer_type:
            body["performerType"] = performer_type
        if performer:
            body["performer"] = [performer]
        if reason:
            body["reasonCode"] = [reason]
        if replaces:
            body["replaces"] = [refer(replaces)]
        if based_on:
            body["basedOn"] = [refer(based_on)]
        return self.add("ServiceRequest", day, body, "us-core-servicerequest", changed=changed)

    def appointment(
        self, made: date, start: date, status: str, service: Fhir, order: Fhir | None, reason: Fhir | None = None
    ) -> Fhir | None:
        if made > self.stop:
            return None
        attended = {"fulfilled": "accepted", "booked": "accepted"}.get(status, "declined")
        body: Fhir = {
            "status": status,
            "serviceType": [service],
            "created": made.isoformat(),
            "start": local_time(self.zone, start, 540),  # instants need a zone, whatever the site's habit
            "end": local_time(self.zone, start, 600),
            "participant": [{"actor": self.subject, "status": attended}],
        }
        if order:
            body["basedOn"] = [refer(order)]
        if reason and status == "cancelled":
            body["cancelationReason"] = reason
        return self.add("Appointment", made, body, changed=start if start <= self.stop else None)

    def procedure(self, code: Fhir, day: date, encounter: Fhir | None, minute: int = 780) -> Fhir | None:
        if day > self.stop:
            return None
        body: Fhir = {"status": "completed", "code": code, "subject": self.subject}
        if encounter:
            body["encounter"] = refer(encounter)
        body["performedPeriod"] = {"start": self.time(day, minute), "end": self.time(day, minute + 60)}
        return self.add("Procedure", day, body, "us-core-procedure")

    def report(self, code: Fhir, day: date, encounter: Fhir | None, by: str) -> Fhir | None:
        if day > self.stop:
            return None
        body: Fhir = {
            "status": "final",
            "category": [concept("http://loinc.org", "LP29708-2", "Neurophysiology")],
            "code": code,
            "subject": self.subject,
            "effectiveDateTime": self.time(day, 780),
            "issued": local_time(self.zone, day, 960),
            "resultsInterpreter": [self.practitioner(by)],
        }
        if encounter:
            body["encounter"] = refer(encounter)
        return self.add("DiagnosticReport", day, body, "us-core-diagnosticreport-note")

    def practitioner(self, name: str) -> Fhir:
        return reference("Practitioner", self.prefix, name)


def refer(resource: Fhir) -> Fhir:
    return {"reference": f"{resource['resourceType']}/{resource['id']}"}
