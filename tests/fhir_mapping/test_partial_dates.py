"""Dates known to the month only, through the whole mapping: nothing is said that the day itself would contradict."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_mapping import codes
from fhir_mapping.assemble import infant_records
from fhir_mapping.contract import INTERVALS, TimelineRow
from fhir_mapping.mapping import map_infant
from fhir_mapping.model import MappingSettings
from tests.fhir_mapping.case_files import as_resource

CODES = codes.load()
SETTINGS = MappingSettings(source="case", timezone="America/Chicago", as_of=date(2025, 6, 30))
BIRTH = date(2024, 1, 10)
SUBJECT = {"reference": "Patient/infant"}
ICD, RXNORM = "http://hl7.org/fhir/sid/icd-10-cm", "http://www.nlm.nih.gov/research/umls/rxnorm"
#: What is dated, in the order of care.
STEPS = ("onset", "concern", "referral", "visit", "eeg", "diagnosis", "treatment")


def concept(system: str, code: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}]}


def infant(said: dict[str, str]) -> list[dict[str, Any]]:
    """An infant's record with these dates as they are written."""
    actual = {"status": "finished", "class": {"code": "AMB"}, "subject": SUBJECT}
    return [
        {"resourceType": "Patient", "id": "infant", "birthDate": BIRTH.isoformat()},
        {
            "resourceType": "Encounter",
            "id": "c",
            "period": {"start": said["concern"]},
            "reasonCode": [concept(ICD, "R25.8")],
            **actual,
        },
        {
            "resourceType": "Encounter",
            "id": "n",
            "period": {"start": said["visit"]},
            **actual,
            "serviceType": concept("http://terminology.hl7.org/CodeSystem/service-type", "202"),
        },
        {
            "resourceType": "ServiceRequest",
            "id": "r",
            "status": "active",
            "intent": "order",
            "subject": SUBJECT,
            "code": concept("http://snomed.info/sct", "306263000"),
            "authoredOn": said["referral"],
        },
        {
            "resourceType": "Procedure",
            "id": "e",
            "status": "completed",
            "subject": SUBJECT,
            "code": concept("http://www.ama-assn.org/go/cpt", "95816"),
            "performedDateTime": said["eeg"],
        },
        {
            "resourceType": "Condition",
            "id": "d",
            "subject": SUBJECT,
            "code": concept(ICD, "G40.822"),
            "recordedDate": said["diagnosis"],
            "onsetDateTime": said["onset"],
        },
        {
            "resourceType": "MedicationAdministration",
            "id": "m",
            "status": "completed",
            "subject": SUBJECT,
            "medicationCodeableConcept": concept(RXNORM, "14851"),
            "effectiveDateTime": said["treatment"],
        },
    ]


def row_of(said: dict[str, str]) -> TimelineRow:
    (record,) = infant_records([as_resource(body) for body in infant(said)])
    row = map_infant(record, SETTINGS, CODES).row
    assert row is not None
    return row


@given(
    st.integers(30, 200),
    st.lists(st.integers(0, 40), min_size=len(STEPS) - 1, max_size=len(STEPS) - 1),
    st.sets(st.sampled_from(STEPS), min_size=1),
)
@settings(max_examples=100, deadline=None)
def test_a_month_is_never_contradicted_by_its_day(first: int, gaps: list[int], blurred: set[str]) -> None:
    days = {name: BIRTH + timedelta(days=first + sum(gaps[:index])) for index, name in enumerate(STEPS)}
    exact = {name: day.isoformat() for name, day in days.items()}
    narrow = row_of(exact)
    wide = row_of({name: text[:7] if name in blurred else text for name, text in exact.items()})
    for interval in INTERVALS:
        known, told = narrow.waits[interval.name], wide.waits[interval.name]
        context = (interval.label, exact, sorted(blurred), known, told)
        assert told.status == known.status == "event", context
        assert told.low is not None, context
        assert told.high is not None, context
        assert known.low is not None, context
        assert known.high is not None, context
        assert told.low <= known.low <= known.high <= told.high, context
        assert told.delayed in {known.delayed, "indeterminate"}, context
