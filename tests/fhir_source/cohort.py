"""A small cohort as FHIR resources, for servers and folders; every reference leads somewhere."""

from __future__ import annotations

import gzip
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from pathlib import Path

ICD10 = "http://hl7.org/fhir/sid/icd-10-cm"
SPASMS = (ICD10, "G40.822")
COLIC = (ICD10, "R10.83")
INFANTS = 23  # of the cohort
OTHERS = 9  # infants with colic


def resources(infants: int = INFANTS, others: int = OTHERS) -> list[dict[str, Any]]:
    """Infants `i-000`... with spasms, `o-000`... with colic; five visits each, two practitioners among them."""
    rows: list[dict[str, Any]] = [
        {"resourceType": "Organization", "id": "hospital", "name": "A hospital"},
        {"resourceType": "Location", "id": "ward", "managingOrganization": {"reference": "Organization/hospital"}},
        {"resourceType": "Practitioner", "id": "neurologist", "active": True},
        {"resourceType": "Practitioner", "id": "nobody-refers-to", "active": True},
        {
            "resourceType": "PractitionerRole",
            "id": "role",
            "practitioner": {"reference": "Practitioner/neurologist"},
            "organization": {"reference": "Organization/hospital"},
        },
        {"resourceType": "Medication", "id": "vigabatrin", "status": "active"},
    ]
    for name, code in [
        *((f"i-{n:03d}", SPASMS) for n in range(infants)),
        *((f"o-{n:03d}", COLIC) for n in range(others)),
    ]:
        rows += _of_infant(name, code)
    return rows


def _of_infant(name: str, code: tuple[str, str]) -> list[dict[str, Any]]:
    patient = {"reference": f"Patient/{name}"}
    rows: list[dict[str, Any]] = [
        {"resourceType": "Patient", "id": name, "birthDate": "2026-01-15"},
        {
            "resourceType": "Condition",
            "id": f"{name}-c",
            "subject": patient,
            "code": {"coding": [{"system": code[0], "code": code[1]}]},
        },
        {
            "resourceType": "Coverage",
            "id": f"{name}-v",
            "status": "active",
            "beneficiary": patient,
            "payor": [{"reference": "Organization/hospital"}],
        },
        {
            "resourceType": "MedicationRequest",
            "id": f"{name}-m",
            "status": "active",
            "intent": "order",
            "subject": patient,
            "medicationReference": {"reference": "Medication/vigabatrin"},
        },
        {
            "resourceType": "ServiceRequest",
            "id": f"{name}-s",
            "status": "active",
            "intent": "order",
            "subject": patient,
            "requester": {"reference": "PractitionerRole/role"},
        },
    ]
    rows += [
        {
            "resourceType": "Encounter",
            "id": f"{name}-e{visit}",
            "status": "finished",
            "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
            "subject": patient,
            "period": {"start": f"2026-0{visit + 2}-01T08:00:00Z"},
            "location": [{"location": {"reference": "Location/ward"}}],
        }
        for visit in range(5)
    ]
    return rows


def write(folder: Path, rows: list[dict[str, Any]], *, packed: bool = False) -> Path:
    """NDJSON files by type."""
    by_type: dict[str, list[bytes]] = defaultdict(list)
    for row in rows:
        by_type[row["resourceType"]].append(orjson.dumps(row))
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in by_type.items():
        text = b"\n".join(lines) + b"\n"
        if packed:
            (folder / f"{name}.ndjson.gz").write_bytes(gzip.compress(text))
        else:
            (folder / f"{name}.ndjson").write_bytes(text)
    return folder


#: What a pull of the whole cohort brings.
EXPECTED = {
    "Condition": INFANTS,
    "Coverage": INFANTS,
    "Encounter": INFANTS * 5,
    "Location": 1,
    "Medication": 1,
    "MedicationRequest": INFANTS,
    "Organization": 1,
    "Patient": INFANTS,
    "Practitioner": 1,
    "PractitionerRole": 1,
    "ServiceRequest": INFANTS,
}
