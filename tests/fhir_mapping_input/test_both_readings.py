"""The two ways to read a folder, and the order of arrival, make no difference (properties)."""

from __future__ import annotations

import gzip
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_mapping.assemble import infant_records
from fhir_mapping.codes import load
from fhir_mapping.ledger import balances
from fhir_mapping.model import MappingSettings, Resource
from fhir_mapping.newest import age_key, newest
from fhir_mapping.select import find_files, select
from tests.fhir_mapping_input.input_folders import concept, of

IDS = ["1", "2", "3", "a-b", "é", 'q"']
TYPES = ["Patient", "Condition", "Encounter", "Coverage", "Appointment", "PractitionerRole", "Observation", "Foo"]
REFERENCES = [
    "Patient/{}",
    "https://x.org/fhir/Patient/{}",
    "Patient/{}/_history/1",
    "urn:uuid:{}",
    "Patient/{} ",
    "Group/{}",
]
JUNK = [b"{", b"", b"  ", b"[]", b'{"resourceType":"Patient"}', b"\xff", b"\x00", b'{"id":"1"}', b'"x"']

identities = st.sampled_from(IDS)
references = st.builds(lambda form, one: {"reference": form.format(one)}, st.sampled_from(REFERENCES), identities)
logical = st.builds(lambda one: {"identifier": {"system": "s", "value": one}}, identities)
owners = st.one_of(references, logical, st.none(), st.just("Patient/1"))


@st.composite
def bodies(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(TYPES))
    body: dict[str, Any] = {"resourceType": kind, "id": draw(identities)}
    if draw(st.booleans()):
        versions = st.sampled_from(["2024-01-01T00:00:00Z", "2024-01-01T05:00:00+06:00", "2025-02-03", "x"])
        body["meta"] = {"lastUpdated": draw(versions), "versionId": draw(st.sampled_from(["1", "2", "10"]))}
    for name in ("subject", "patient", "beneficiary", "for"):
        owner = draw(owners) if draw(st.integers(0, 2)) == 0 or name == "subject" else None
        if owner is not None:
            body[name] = owner
    if kind == "Condition":
        body["code"] = concept(draw(st.sampled_from(["G40.822", "G40.409", "R56.9", "J05.0"])))
    if kind == "Patient":
        body["identifier"] = [{"system": "s", "value": draw(identities)}]
        if draw(st.integers(0, 3)) == 0:
            body["link"] = [{"type": draw(st.sampled_from(["replaced-by", "seealso"])), "other": of(draw(identities))}]
    if kind == "Appointment":
        body["participant"] = [{"actor": draw(references)} for _ in range(draw(st.integers(0, 2)))]
    return body


lines = st.one_of(bodies().map(orjson.dumps), bodies().map(orjson.dumps), st.sampled_from(JUNK))
files = st.lists(st.tuples(st.booleans(), st.booleans(), st.lists(lines, max_size=12)), min_size=1, max_size=3)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(files)
def test_typed_and_exact_reading_agree(folder: list[tuple[bool, bool, list[bytes]]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        for number, (compressed, ended, content) in enumerate(folder):
            raw = b"\n".join(content) + (b"\n" if ended else b"")
            path = Path(name) / f"f{number}.ndjson{'.gz' if compressed else ''}"
            path.write_bytes(gzip.compress(raw) if compressed else raw)
        found = find_files(Path(name))
        exact = select(found, MappingSettings("s"), load(), typed_from=10**9)
        assert select(found, MappingSettings("s"), load(), typed_from=0) == exact
        assert all(balances(line) for line in exact.ledger.values())
        received = sum(1 for _, _, content in folder for line in content if line.strip())
        assert sum(line.received for line in exact.ledger.values()) == received


@st.composite
def versions(draw: st.DrawFn) -> Resource:
    number = draw(st.integers(1, 4))
    identity = draw(st.sampled_from(["1", "2"]))
    kind = draw(st.sampled_from(["Condition", "Encounter"]))
    day = f"2024-01-0{number}T00:00:00Z"
    body = {"resourceType": kind, "id": identity, "n": number}
    return Resource(kind, identity, str(number), day, body)


@settings(max_examples=200, deadline=None)
@given(st.lists(versions(), max_size=20), st.data())
def test_newest_does_not_depend_on_the_order_of_arrival(arrived: list[Resource], data: st.DataObject) -> None:
    kept, superseded = newest(arrived)
    assert len(kept) + len(superseded) == len(arrived)
    for one in kept:
        rivals = [other for other in arrived if (other.type, other.id) == (one.type, one.id)]
        assert age_key(one.last_updated, one.version_id) == max(
            age_key(other.last_updated, other.version_id) for other in rivals
        )
    shuffled = data.draw(st.permutations(arrived))
    assert {one.reference: one.body for one in newest(shuffled)[0]} == {one.reference: one.body for one in kept}
    cut = data.draw(st.integers(0, len(arrived)))
    stored, _ = newest(arrived[:cut])
    merged, _ = newest([*stored, *arrived[cut:]])
    assert {one.reference: one.body for one in merged} == {one.reference: one.body for one in kept}


def test_a_copy_that_says_the_same_of_itself_is_won_by_the_later(tmp_path: Path) -> None:
    one = Resource("Patient", "1", "1", "", {"n": 1})
    kept, superseded = newest([one, replace(one, body={"n": 2})])
    assert [item.body["n"] for item in (*kept, *superseded)] == [2, 1]


@settings(max_examples=60, deadline=None)
@given(st.lists(bodies().filter(lambda body: body["resourceType"] != "Foo"), max_size=25), st.randoms())
def test_records_do_not_depend_on_order_and_share_no_patient(found: list[dict[str, Any]], random: Any) -> None:
    resources, _ = newest([Resource(body["resourceType"], body["id"], "", "", body) for body in found])
    records = infant_records(resources)
    random.shuffle(resources)
    assert infant_records(resources) == records
    people = [one.id for record in records for one in (record.patient, *record.merged)]
    assert sorted(people) == sorted({one.id for one in resources if one.type == "Patient"})
