"""What real exports suffer from, added so that the truth stays what it was."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from random import Random
from typing import TYPE_CHECKING, Any
from zlib import crc32

import orjson

from synthetic.codings import ICD10, RXNORM, SNOMED, VERIFICATION, concept
from synthetic.medicines import dose, medication_request
from synthetic.visits import NEUROLOGY_SERVICE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from synthetic.chart import Chart, Fhir
    from synthetic.options import Dirt

#: An earlier version of a resource said this; whoever uses it instead of the newest gets other milestones.
_EARLIER: dict[str, dict[str, Any]] = {
    "Patient": {"active": False},
    "Encounter": {"status": "planned"},
    "Condition": {"verificationStatus": concept(VERIFICATION, "provisional")},
    "ServiceRequest": {"status": "draft"},
    "Coverage": {"status": "draft"},
    "Procedure": {"status": "not-done"},
    "DiagnosticReport": {"status": "registered"},
    "MedicationRequest": {"status": "draft"},
    "MedicationAdministration": {"status": "not-done"},
    "MedicationDispense": {"status": "preparation"},
    "Appointment": {"status": "proposed"},
}
_PATIENT_ELEMENTS = ("subject", "beneficiary", "patient")


def enter_in_error(chart: Chart, day: date, draw: Random) -> Fhir | None:
    """One resource that would move a milestone earlier, or make a case of no case; its status takes it back."""
    kind = draw.randrange(4)
    if kind == 0:
        return chart.condition(
            concept(ICD10, "G40.822", "Infantile spasms"), day, None, verification="entered-in-error", asserted=day
        )
    if kind == 1:
        return chart.encounter("AMB", day, by="neurologist-1", service=NEUROLOGY_SERVICE, status="entered-in-error")
    if kind == 2:
        return chart.service_request(
            concept(SNOMED, "306263000", "Referral to neurologist"), day, None, status="entered-in-error"
        )
    return medication_request(
        chart,
        {"medicationCodeableConcept": concept(RXNORM, "14851", "Vigabatrin")},
        day,
        None,
        status="entered-in-error",
        dose=dose("oral", 250, "mg", 2),
    )


def replace_patient(chart: Chart) -> None:
    """Hang about half of the record on a second Patient, since merged into the first."""
    old_id = f"{chart.patient_id}.old"
    old = {"reference": f"Patient/{old_id}"}
    survivor = next(r for r in chart.resources if r["resourceType"] == "Patient")
    for resource in chart.resources:
        for element in _PATIENT_ELEMENTS:
            if element in resource and crc32(resource["id"].encode()) % 2:
                resource[element] = old
    chart.resources.append(
        {
            "resourceType": "Patient",
            "id": old_id,
            "meta": survivor["meta"],
            "active": False,
            "name": survivor["name"],
            "gender": survivor["gender"],
            "birthDate": survivor["birthDate"],
            "identifier": survivor["identifier"],
            "link": [{"other": chart.subject, "type": "replaced-by"}],
        }
    )
    survivor["link"] = [{"other": old, "type": "replaces"}]


def lines(resource: Fhir, dirt: Dirt, seed: int, counts: Counter[str]) -> Iterator[bytes]:
    """The NDJSON lines, without line ends, that stand in the export for one resource."""
    if not (dirt.malformed_lines or dirt.nonconformant or dirt.duplicates or dirt.late_updates):
        yield orjson.dumps(resource)
        return
    # A stream a resource: what befalls one does not depend on the others.
    draw = Random(f"{seed}/{resource['resourceType']}/{resource['id']}")  # noqa: S311 - not cryptography
    earlier = None
    if draw.random() < dirt.late_updates and resource["resourceType"] in _EARLIER:
        earlier = _earlier_version(resource)
        version = int(resource["meta"]["versionId"])
        resource = {**resource, "meta": {**resource["meta"], "versionId": str(version + 1)}}
        counts["late_updates"] += 1
    if draw.random() < dirt.nonconformant:
        resource = _break(resource, draw)
        counts["nonconformant"] += 1
    line = orjson.dumps(resource)
    earlier_first = draw.random() < 0.5
    if earlier is not None and earlier_first:
        yield earlier
    yield line
    if earlier is not None and not earlier_first:
        yield earlier
    if draw.random() < dirt.duplicates:
        counts["duplicates"] += 1
        yield line
    if draw.random() < dirt.malformed_lines:
        counts["malformed_lines"] += 1
        yield line[: len(line) // 2]


def _earlier_version(resource: Fhir) -> bytes:
    updated = resource["meta"]["lastUpdated"]
    before = date.fromisoformat(updated[:10]) - timedelta(days=1)
    meta = {**resource["meta"], "lastUpdated": f"{before}{updated[10:]}"}
    return orjson.dumps({**resource, "meta": meta, **_EARLIER[resource["resourceType"]]})


def _break(resource: Fhir, draw: Random) -> Fhir:
    """Not FHIR any more, in a place that no milestone needs."""
    way = draw.randrange(3)
    if way == 0 and "extension" not in resource:
        return {**resource, "extension": [{"valueString": "HIS-7"}]}  # an extension without its url
    if way == 1:
        return {**resource, "text": {"status": "generated"}}  # a narrative without its div
    return {**resource, "localSource": "HIS-7"}  # an element that FHIR doesn't have
