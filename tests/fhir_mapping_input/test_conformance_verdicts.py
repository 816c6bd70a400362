"""Verdicts of `fhir.resources`: paths, never values; the same whoever judges."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_mapping.conformance import verdicts
from fhir_mapping.model import Resource
from fhir_source.source import FhirVersion
from tests.fhir_mapping_input.input_folders import of, resource


def judged(body: dict[str, Any], version: FhirVersion = "R4") -> tuple[str, ...]:
    (verdict,) = verdicts([Resource(body["resourceType"], body["id"], "", "", body)], version)
    return verdict.paths


R4_VISIT = resource(
    "Encounter", "e", status="finished", subject=of("1"), period={"start": "2024-01-01"}, **{"class": {"code": "AMB"}}
)
R5_VISIT = resource(
    "Encounter",
    "e",
    status="completed",
    subject=of("1"),
    actualPeriod={"start": "2024-01-01"},
    **{"class": [{"coding": [{"code": "AMB"}]}]},
)


def test_each_release_is_judged_by_its_own_models() -> None:
    assert judged(R4_VISIT, "R4") == ()
    assert judged(R5_VISIT, "R5") == ()
    assert judged(R4_VISIT, "R5")
    assert judged(R5_VISIT, "R4")


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"birthDate": "Jane's birthday"}, "Patient.birthDate"),
        ({"nickname": "Jane"}, "Patient.nickname"),
        ({"name": [{"family": ["Doe"]}]}, "Patient.name.family"),
        ({"gender": 5}, "Patient.gender"),
    ],
)
def test_a_fault_is_named_by_its_path_and_not_by_its_value(change: dict[str, Any], path: str) -> None:
    found = judged({"resourceType": "Patient", "id": "1", **change})
    assert [fault.partition(":")[0] for fault in found] == [path]
    assert not any(word in fault for fault in found for word in ("Jane", "Doe"))


def test_a_type_that_the_release_does_not_have_is_a_fault_and_not_an_error() -> None:
    assert judged(resource("Transport", "t"), "R4") == ("Transport: type_unknown_to_R4",)


def test_workers_give_the_same_verdicts_in_the_same_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fhir_mapping.conformance._WORTH_A_WORKER", 1)
    monkeypatch.setattr("fhir_mapping.conformance._CHUNK", 3)
    bodies = [resource("Patient", str(n), **({"gender": n} if n % 3 == 0 else {})) for n in range(10)]
    resources = [Resource("Patient", body["id"], "", "", body) for body in bodies]
    assert verdicts(resources, "R4", workers=2) == verdicts(resources, "R4", workers=1)
