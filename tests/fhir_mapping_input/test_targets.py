"""References found in the text of a resource are those of the walk through it; what is held is brought for itself."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fhir_mapping.codes import load
from fhir_mapping.model import MappingSettings
from fhir_mapping.references import Target, targets_in, targets_of
from fhir_mapping.select import find_files, select
from tests.fhir_mapping.case_files import scenes
from tests.fhir_mapping.mangling import places, put
from tests.fhir_mapping_input.input_folders import infant, of, resource, write

#: Those with an element to put a reference in.
BODIES = [body for scene in scenes() for body in scene.resources if body.keys() - {"resourceType", "id"}]
#: Forms of references, and what only looks like one.
FORMS: list[Any] = [
    of("1"),
    {"reference": " Patient/1 "},
    {"reference": ""},
    {"reference": 7},
    {"reference": "#x"},
    {"reference": "urn:uuid:1"},
    {"reference": "https://x.example.org/fhir/Patient/1/_history/2"},
    {"reference": "Patient?identifier=s|1"},
    {"reference": "Patient/é"},
    {"reference": 'Patient/"1'},
    {"reference": "a\\b"},
    {"reference": None, "identifier": {"value": "1"}},
    {"identifier": {"system": "s", "value": "1"}},
    {"identifier": [{"value": "1"}]},
    {"type": "Patient", "identifier": {"value": "1"}},
    '"reference":"Patient/2"',
    '\\"reference\\":\\"Patient/2\\"',
    {"resourceType": "Patient", "reference": "Patient/3"},
    [{"resourceType": "Practitioner", "id": "x", "link": of("4")}],
    {"reference": {"reference": "Patient/5"}},
    {'"reference': "Patient/7"},
    {"\\": of("8"), "\\\\": [of("9")], 'a\\"reference': "Patient/10"},
    'a\\","reference":"Patient/11',
    2**70,
    "Patient/6",
]


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck), phases=(Phase.generate,))
@given(st.data())
def test_the_text_tells_what_the_walk_finds(data: st.DataObject) -> None:
    body = copy.deepcopy(data.draw(st.sampled_from(BODIES)))
    for form in data.draw(st.lists(st.sampled_from(FORMS), max_size=3)):
        where = data.draw(st.sampled_from([path for path in places(body) if path[0] not in ("resourceType", "id")]))
        put(body, where, copy.deepcopy(form))
    assert targets_of(body) == frozenset(targets_in(body))


def test_what_a_warehouse_holds_is_brought_whomever_it_belongs_to(tmp_path: Path) -> None:
    """A changed practitioner, the role of one who is known, and a visit that turned out to be another's."""
    moved = resource("Encounter", "moved", status="finished", subject=of("stranger"))
    role = resource("PractitionerRole", "role", practitioner={"reference": "Practitioner/p"})
    named = resource("Practitioner", "q", identifier=[{"system": "npi", "value": "1"}])
    others = [resource("Practitioner", "p"), resource("Practitioner", "unknown"), resource("Patient", "stranger")]
    write(tmp_path, "a.ndjson", [*infant(), moved, role, named, *others])
    held = [Target("Encounter", "moved"), Target("Practitioner", "p"), Target("", "?npi|1"), Target("Location", "none")]

    def selected(beside: list[Target]) -> set[str]:
        found = select(find_files(tmp_path), MappingSettings("s"), load(), beside=beside)
        assert found.infants == {"p1"}
        assert sum(line.in_scope for line in found.ledger.values()) == len(found.resources)
        return {one.reference for one in found.resources}

    alone = selected([])
    assert alone == {"Patient/p1", "Condition/c-p1", "Encounter/e-p1"}
    assert selected(held) == alone | {"Encounter/moved", "Practitioner/p", "PractitionerRole/role", "Practitioner/q"}
