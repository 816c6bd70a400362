"""Verdicts of `fhir.resources`: paths, never values; the same whoever judges."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fhir_mapping.conformance import paths_of_faults, verdicts
from fhir_mapping.fetch import LineReader
from fhir_mapping.files import find_files
from fhir_mapping.index import Place
from fhir_mapping.model import Resource
from fhir_source.source import FhirVersion
from tests.fhir_mapping.case_files import scenes
from tests.fhir_mapping.mangling import places, put
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


#: Values that look alike, some of which a model takes where it refuses others.
LOOK_ALIKES: list[Any] = [
    "2024-02-28", "2023-02-29", "2024-04-31", "2024-12-31", "2020-01-01", "2024-13-01", "2024-01", "0001-01-01",
    "2024-02-28T10:00:00Z", "2024-02-28T10:00:00.000+14:00", "2024-02-28T24:00:00Z", "2024-02-28T23:59:60Z",
    "2024-02-28T10:00:00", "2024-02-28T10:00Z", "a", "a b", " a", "a ", "", "x" * 64, "x" * 65, "ü", "a_b", "a\nb",
    "0", "07", "7", "7.5", "-7", "1e3", "555-0100", "Infinity", "NaN", 0, 7, 7.5, -7, 1e300, 2**40, True, None,
    "Patient/1", "Patient/a_b", "Patient/", "Encounter/1", "http://x/Patient/1", '"', "\\", '\\"id":"x', "<div>", [],
    {}, [None], ["a"], ["a", None], {"id": "x"}, {"reference": "Patient/1"}, {"text": "a"}, {"value": 7},
    {"value": "7"},
]  # fmt: skip
EXAMPLES = int(os.environ.get("IESS_FUZZ_EXAMPLES", "300")) // 6
BODIES = [body for scene in scenes() for body in scene.resources]


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.generate,),
)
@given(st.data())
def test_verdicts_by_likeness_are_the_verdicts_of_the_models(data: st.DataObject) -> None:
    body = data.draw(st.sampled_from(BODIES))
    place = data.draw(st.sampled_from([path for path in places(body) if path != ("resourceType",)]))
    alike = [copy.deepcopy(body) for _ in LOOK_ALIKES]
    for one, value in zip(alike, LOOK_ALIKES, strict=True):
        put(one, place, copy.deepcopy(value))
    resources = [Resource(one["resourceType"], str(n), "", "", one) for n, one in enumerate(alike)]
    for version in ("R4", "R5"):
        found = [verdict.paths for verdict in verdicts(resources, version)]
        assert found == [paths_of_faults(one["resourceType"], one, version) for one in alike]


def judged_bodies(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the resources that a model will be asked about."""
    asked: list[str] = []

    def counted(kind: str, body: dict[str, Any], version: FhirVersion) -> tuple[str, ...]:
        asked.append(body["id"])
        return paths_of_faults(kind, body, version)

    monkeypatch.setattr("fhir_mapping.conformance.paths_of_faults", counted)
    return asked


def test_like_resources_are_judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = judged_bodies(monkeypatch)
    visits = [{**R4_VISIT, "id": f"v{n}", "period": {"start": f"2024-01-{n:02}"}} for n in range(1, 32)]
    odd = {**R4_VISIT, "id": "odd", "period": {"start": "2024-01-32"}}
    found = verdicts([Resource("Encounter", body["id"], "", "", body) for body in [*visits, odd]], "R4")
    assert asked == ["v1", "odd"]
    assert [bool(verdict.paths) for verdict in found] == [False] * 31 + [True]


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_like_lines_are_judged_once_however_they_are_spaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, separators: tuple[str, str]
) -> None:
    visits = [{**R4_VISIT, "id": f"v{n}", "period": {"start": f"2024-01-{n:02}"}} for n in range(1, 9)]
    bodies = [*visits, {**R4_VISIT, "id": "odd", "period": {"start": "2024-01-32"}}, {**R4_VISIT, "id": "x y"}]
    (tmp_path / "a.ndjson").write_text("\n".join(json.dumps(body, separators=separators) for body in bodies))
    reader = LineReader(find_files(tmp_path), {})
    found = list(reader.fetch(Place(0, line, -1) for line in range(1, len(bodies) + 1)).resources.values())
    asked = judged_bodies(monkeypatch)
    expected = [paths_of_faults("Encounter", body, "R4") for body in bodies]
    assert [verdict.paths for verdict in verdicts(found, "R4")] == expected
    assert asked == ["v1", "odd", "x y"]
