"""Nothing that a record holds makes mapping fail: mangled resources give a row, a flag, a quarantine entry, or no row.

`IESS_FUZZ_EXAMPLES` sets how many records; the default takes a few seconds. The whole path, from lines to files, is
fuzzed for a minute in `tests/fhir_mapping_input/test_bad_input.py`.
"""

from __future__ import annotations

import copy
import os
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fhir_mapping import codes
from fhir_mapping.assemble import infant_records
from fhir_mapping.contract import COLUMNS, record_of
from fhir_mapping.explain import explain, meanings
from fhir_mapping.mapping import map_infant
from fhir_mapping.model import MappedInfant
from tests.fhir_mapping.case_files import Scene, as_resource, scenes
from tests.fhir_mapping.mangling import places, put

SCENES = scenes()
EXAMPLES = int(os.environ.get("IESS_FUZZ_EXAMPLES", "150"))
#: Records are too large to be shrunk in useful time.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)

#: What a broken sender puts in place of an element.
JUNK: list[Any] = [
    None, "", " ", "x", 0, -1, 1e300, float("nan"), True, False, [], {}, [[]], [None], [{}], {"x": {}}, "0001-01-01",
    "9999-12-31T23:59:59+14:00", "2024-02-30", "2024-03-01T23:59:60Z", "#", "Patient/", "/", "urn:uuid:", "?", "\u0000",
    {"reference": "#x"}, {"reference": 7}, {"coding": "x"}, {"coding": [None, 7, {"code": 7, "system": []}]},
    {"value": "NaN", "unit": 3}, {"start": 5}, {"start": "9999-12-31", "end": "0001-01-01"}, "2024" * 50,
]  # fmt: skip


@st.composite
def mangled(draw: st.DrawFn) -> tuple[Scene, list[dict[str, Any]]]:
    scene = draw(st.sampled_from(SCENES))
    bodies = [copy.deepcopy(body) for body in scene.resources]
    for _ in range(draw(st.integers(1, 4))):
        body = draw(st.sampled_from(bodies))
        elements = [path for path in places(body) if path[0] not in ("resourceType", "id")]
        if elements:
            put(body, draw(st.sampled_from(elements)), copy.deepcopy(JUNK[draw(st.integers(0, len(JUNK) - 1))]))
    return scene, draw(st.permutations(bodies))


def _check(mapped: MappedInfant) -> None:
    assert (mapped.row is None) != (mapped.excluded is None)
    if mapped.row is not None:
        record = record_of(mapped.row)
        assert list(record) == [column.name for column in COLUMNS]
        assert set(mapped.row.flags) <= set(meanings("flags"))
        for wait in mapped.row.waits.values():
            assert (wait.low is None) == (wait.high is None)
            assert wait.low is None or wait.high is None or 0 <= wait.low <= wait.high
    for item in mapped.quarantined:
        assert item.path
        assert item.reason == "unreadable_element"


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), phases=PHASES)
@given(mangled())
def test_no_record_breaks_the_mapping(given_record: tuple[Scene, list[dict[str, Any]]]) -> None:
    scene, bodies = given_record
    for record in infant_records(as_resource(body, line) for line, body in enumerate(bodies)):
        mapped = map_infant(record, scene.settings, codes.load())
        _check(mapped)
        assert explain(record, mapped)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck), phases=PHASES)
@given(st.sampled_from(SCENES), st.randoms(use_true_random=False))
def test_the_order_of_arrival_changes_nothing(scene: Scene, shuffled: Any) -> None:
    bodies = list(scene.resources)
    expected = [map_infant(record, scene.settings, codes.load()) for record in infant_records(map(as_resource, bodies))]
    shuffled.shuffle(bodies)
    found = [map_infant(record, scene.settings, codes.load()) for record in infant_records(map(as_resource, bodies))]
    assert [(item.row, item.excluded, item.events, item.links) for item in found] == [
        (item.row, item.excluded, item.events, item.links) for item in expected
    ]


def test_ten_thousand_codings_and_long_chains() -> None:
    base = next(scene for scene in SCENES if scene.label == "g16_re_referral:replaced:R4")
    bodies = [copy.deepcopy(body) for body in base.resources]
    condition = next(body for body in bodies if body["resourceType"] == "Condition")
    condition["code"]["coding"] = [{"system": "https://x.example.org", "code": str(n)} for n in range(10_000)] + list(
        condition["code"]["coding"]
    )
    request = {
        "resourceType": "ServiceRequest",
        "status": "active",
        "intent": "order",
        "subject": {"reference": "Patient/infant"},
    }
    code = {"coding": [{"system": "http://snomed.info/sct", "code": "306263000"}]}
    chain = [
        {
            **request,
            "id": f"c{n}",
            "code": code,
            "authoredOn": "2024-05-01",
            "replaces": [{"reference": f"ServiceRequest/c{n + 1}"}],
        }
        for n in range(3_000)
    ]
    chain[-1]["replaces"] = [{"reference": "ServiceRequest/c0"}]
    records = infant_records(as_resource(body) for body in [*bodies, *chain])
    mapped = map_infant(records[0], base.settings, codes.load())
    assert mapped.row is not None
    assert mapped.row.referral is not None
    assert mapped.row.referral.isoformat() == "2024-03-10"
