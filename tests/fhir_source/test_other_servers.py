"""Servers that do less than the real one, or do it in another way: a search pull is whole all the same, or says not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import orjson
import pytest

from fhir_source.errors import PullIncomplete, SourceUnreachable
from fhir_source.landing import LandingZone, Manifest, read_lines
from tests.fhir_source import cohort
from tests.fhir_source.cohort import EXPECTED, INFANTS
from tests.fhir_source.faulty import Fault, FaultyServer, Reply, Seen, at, rewrite, status
from tests.fhir_source.test_pull_search import assert_whole, rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.integration

PATIENT: dict[str, Any] = {"timeout_seconds": 20}  # where the proxy asks the server again itself

ALWAYS = 1_000_000
NOTHING = {"resourceType": "Bundle", "type": "searchset"}


def _search(part: str) -> Callable[[Seen], bool]:
    """Searches that have this in query or form."""
    return lambda seen: "metadata" not in seen.path and part in seen.search


def _offers(change: Callable[[dict[str, Any]], None]) -> Fault:
    """A CapabilityStatement with each resource's entry changed."""

    def act(body: Any) -> Any:
        for resource in body["rest"][0]["resource"]:
            change(resource)
        return body

    return Fault(at("/metadata"), rewrite(act), times=ALWAYS)


def _next(body: Any, change: Callable[[str], str]) -> Any:
    links = [
        {**link, "url": change(link["url"])} if link["relation"] == "next" else link for link in body.get("link", [])
    ]
    return {**body, "link": links}


def _without_next(body: Any) -> Any:
    return {**body, "link": [link for link in body["link"] if link["relation"] != "next"]}


def _without_total(body: Any) -> Any:
    return {name: value for name, value in body.items() if name != "total" or "entry" not in body}


def _offset_paging(faulty: FaultyServer) -> Fault:
    """`next` as an offset into what was asked by POST, absolute or relative."""

    def act(seen: Seen, reply: Reply) -> Reply:
        asked = {**parse_qs(urlsplit(seen.path).query), **parse_qs(seen.body.decode())}
        kind = seen.path.split("?")[0].split("/")[2]
        start = int(asked.pop("_offset", ["0"])[0])
        asked["_count"] = ["1000"]
        query = [(name, value) for name, values in asked.items() for value in values]
        body = httpx.get(f"{faulty.upstream}/fhir/{kind}?{urlencode(query)}", trust_env=False).json()
        body["link"] = []
        entries = body.get("entry", [])
        if start + 7 < len(entries):
            again = urlencode([*query, ("_offset", str(start + 7))])
            body["link"] = [{"relation": "next", "url": f"{kind}?{again}"}]
        return Reply(200, reply.headers, orjson.dumps({**body, "entry": entries[start : start + 7]}))

    return Fault(lambda seen: "metadata" not in seen.path and seen.path.count("/") <= 3, act, times=ALWAYS)


PAGING: dict[str, Callable[[FaultyServer], Fault]] = {
    "offset": _offset_paging,
    "host in capitals": lambda _: Fault(
        _search(""), rewrite(lambda body: _next(body, lambda url: url.replace("http://", "HTTP://"))), times=ALWAYS
    ),
    "path without host": lambda _: Fault(
        _search(""), rewrite(lambda body: _next(body, lambda url: "/" + url.split("/", 3)[3])), times=ALWAYS
    ),
    "no next links": lambda _: Fault(_search(""), rewrite(_without_next), times=ALWAYS),
    "no total": lambda _: Fault(_search(""), rewrite(_without_total), times=ALWAYS),
}


@pytest.mark.parametrize("way", PAGING)
def test_ways_of_paging(way: str, faulty: FaultyServer, pulling: Callable[..., Manifest], landing: LandingZone) -> None:
    faulty.faults.append(PAGING[way](faulty))
    assert_whole(landing, pulling(faulty.base_url, **PATIENT))


def test_a_search_cut_short_without_a_total_is_noticed_by_counting(
    faulty: FaultyServer, pulling: Callable[..., Manifest], landing: LandingZone
) -> None:
    faulty.faults.append(
        Fault(at("/Encounter"), rewrite(lambda body: _without_total(_without_next(body))), times=ALWAYS)
    )
    manifest = pulling(faulty.base_url)  # asked for all at once, it gives all
    assert_whole(landing, manifest)
    assert any("no next links" in note for note in manifest.notes)

    def seven(body: Any) -> Any:
        return _without_total({**body, "entry": body["entry"][:7]} if "entry" in body else body)

    faulty.faults[:] = [Fault(at("/Encounter"), rewrite(lambda body: _without_next(seven(body))), times=ALWAYS)]
    with pytest.raises(PullIncomplete, match="announced"):
        pulling(faulty.base_url, pull_id="short")


def test_a_paging_session_that_expired_is_begun_anew(
    faulty: FaultyServer, pulling: Callable[..., Manifest], landing: LandingZone
) -> None:
    expired = Fault(lambda seen: "/Encounter?" in seen.path and seen.method == "GET", status(410), skip=3)
    faulty.faults.append(expired)
    assert_whole(landing, pulling(faulty.base_url))
    assert expired.met > 4
    expired.times = ALWAYS
    with pytest.raises(PullIncomplete, match="410"):
        pulling(faulty.base_url, pull_id="never")


POST: dict[str, Callable[[Seen, Reply], Reply]] = {
    "breaks": status(500),
    "finds nothing": rewrite(lambda _: NOTHING),
    "is taken for a create": lambda seen, reply: Reply(201, reply.headers, b'{"resourceType":"Condition","id":"x"}'),
}


@pytest.mark.parametrize("way", POST)
def test_post_search_that_does_not_work(
    way: str, faulty: FaultyServer, pulling: Callable[..., Manifest], landing: LandingZone
) -> None:
    faulty.faults.append(Fault(at("_search", "POST"), POST[way], times=ALWAYS))
    assert_whole(landing, pulling(faulty.base_url))


def test_a_server_that_takes_only_typed_ids_of_patients(
    faulty: FaultyServer, pulling: Callable[..., Manifest], landing: LandingZone
) -> None:
    faulty.faults.append(Fault(_search("patient=i-"), rewrite(lambda _: NOTHING), times=ALWAYS))
    assert_whole(landing, pulling(faulty.base_url))


def test_a_search_by_patient_that_finds_nothing_is_no_empty_record(
    faulty: FaultyServer, pulling: Callable[..., Manifest], landing: LandingZone
) -> None:
    faulty.faults.append(Fault(_search("patient="), rewrite(lambda _: {**NOTHING, "total": 0}), times=ALWAYS))
    with pytest.raises(PullIncomplete, match=f"no Condition of {INFANTS} infants") as raised:
        pulling(faulty.base_url)
    assert "i-0" not in str(raised.value)
    faulty.faults.clear()
    assert_whole(landing, pulling(faulty.base_url))


def test_types_that_can_only_be_read(
    faulty: FaultyServer, pulling: Callable[..., Manifest], landing: LandingZone
) -> None:
    """As Medication at some vendors: no search; `_include` brings it, or it is read by its id."""

    def read_only(resource: dict[str, Any]) -> None:
        if resource["type"] in ("Medication", "Practitioner"):
            resource["interaction"] = [{"code": "read"}]

    faulty.faults += [_offers(read_only), Fault(at("/Practitioner/_search"), status(404), times=ALWAYS)]
    manifest = pulling(faulty.base_url)
    assert_whole(landing, manifest)
    assert manifest.left_out == ()
    assert [seen.method for seen in faulty.requests("/Practitioner/neurologist")] == ["GET"]
    assert not faulty.requests("/Medication/")  # it came with the requests


def test_roles_that_can_not_be_searched_by_practitioner_are_told_of(
    faulty: FaultyServer, pulling: Callable[..., Manifest]
) -> None:
    def without(resource: dict[str, Any]) -> None:
        if resource["type"] == "PractitionerRole":
            resource["searchParam"] = [one for one in resource["searchParam"] if one["name"] != "practitioner"]

    faulty.faults.append(_offers(without))
    notes = pulling(faulty.base_url).notes
    assert any(note.startswith("PractitionerRole: the server doesn't search it by practitioner") for note in notes)


@pytest.mark.parametrize("fault", ["refused", "ignored"])
def test_a_search_by_id_that_does_not_work(
    fault: str, faulty: FaultyServer, pulling: Callable[..., Manifest], landing: LandingZone
) -> None:
    def everything(seen: Seen, reply: Reply) -> Reply:
        kind = seen.path.split("/")[2].split("?")[0]
        found = httpx.get(f"{faulty.upstream}/fhir/{kind}?_count=7", trust_env=False)
        return Reply(200, reply.headers, found.content.replace(faulty.upstream.encode(), faulty.root_url.encode()))

    def by_id(seen: Seen) -> bool:
        return any(name in seen.path for name in ("/Practitioner", "/Patient")) and "_id=" in seen.search

    faulty.faults.append(Fault(by_id, status(400) if fault == "refused" else everything, times=ALWAYS))
    manifest = pulling(faulty.base_url, **PATIENT)
    assert_whole(landing, manifest)
    assert "Patient: the server doesn't search by id; each was read on its own" in manifest.notes


def test_include_that_is_refused_or_miscounted_is_done_without(
    faulty: FaultyServer, pulling: Callable[..., Manifest], landing: LandingZone
) -> None:
    faulty.faults.append(Fault(_search("_include"), status(400), times=ALWAYS))
    assert_whole(landing, pulling(faulty.base_url, pull_id="refused"))
    faulty.faults[:] = [
        Fault(_search("_include"), rewrite(lambda body: {**body, "total": body["total"] + 1}), times=ALWAYS)
    ]
    assert_whole(landing, pulling(faulty.base_url, pull_id="miscounted"))
    faulty.faults[:] = [_offers(lambda resource: resource.pop("searchInclude", None))]
    faulty.seen.clear()
    assert_whole(landing, pulling(faulty.base_url, pull_id="absent"))
    assert not any("_include" in seen.search for seen in faulty.seen)


def test_last_updated_that_is_refused_is_done_without(
    faulty: FaultyServer, pulling: Callable[..., Manifest], landing: LandingZone
) -> None:
    faulty.faults.append(Fault(_search("_lastUpdated"), status(400), times=ALWAYS))
    known = [f"i-{n:03d}" for n in range(INFANTS)]
    manifest = pulling(faulty.base_url, since="2099-01-01T00:00:00Z", known_infants=known)
    assert manifest.counts["Encounter"] == EXPECTED["Encounter"]
    assert "Encounter: the server refuses _lastUpdated: everything was asked for" in manifest.notes


def test_a_refusal_names_the_type(faulty: FaultyServer, pulling: Callable[..., Manifest]) -> None:
    faulty.faults.append(Fault(at("/Coverage"), status(500), times=ALWAYS))
    with pytest.raises(SourceUnreachable, match="a search of Coverage"):
        pulling(faulty.base_url)


def test_codes_are_found_without_regard_to_case(
    faulty: FaultyServer, pulling: Callable[..., Manifest], landing: LandingZone
) -> None:
    def lower(seen: Seen, reply: Reply) -> Reply:
        found = httpx.get(f"{faulty.upstream}/fhir/Condition?code=G40.822&_count=100", trust_env=False)
        return Reply(200, reply.headers, found.content)

    faulty.faults.append(Fault(_search("g40.822"), lower, times=ALWAYS))
    assert_whole(landing, pulling(faulty.base_url, cohort_codes=[(cohort.ICD10, "g40.822")], **PATIENT))


def test_references_by_identifier_and_roles_that_nobody_refers_to(
    tmp_path: Path, pulling: Callable[..., Manifest], landing: LandingZone
) -> None:
    from synthetic.fhir_server import FhirServer

    npi = "http://hl7.org/fhir/sid/us-npi"
    people = [
        {"resourceType": "Practitioner", "id": name, "identifier": [{"system": npi, "value": value}]}
        for name, value in (("conditional", "1"), ("logical", "2"), ("neither", "3"))
    ]
    role = {"resourceType": "PractitionerRole", "id": "r2", "practitioner": {"reference": "Practitioner/logical"}}
    made = cohort.resources(2, 0)
    requests = [row for row in made if row["resourceType"] == "ServiceRequest"]
    requests[0]["requester"] = {"reference": f"Practitioner?identifier={npi}|1"}
    requests[1]["requester"] = {"type": "Practitioner", "identifier": {"system": npi, "value": "2"}}
    with FhirServer(tmp_path / "server") as server:
        server.load(cohort.write(tmp_path / "rows", [*made, *people, role]))
        manifest = pulling(server.base_url)
    assert {row["id"] for row in rows(landing, manifest, "Practitioner")} == {"conditional", "logical"}
    assert {row["id"] for row in rows(landing, manifest, "PractitionerRole")} == {"r2"}


def test_observations_are_asked_for_by_code_alone(
    tmp_path: Path, pulling: Callable[..., Manifest], landing: LandingZone
) -> None:
    from synthetic.fhir_server import FhirServer

    loinc = "http://loinc.org"
    vitals = [
        {
            "resourceType": "Observation",
            "id": f"o{code}",
            "status": "final",
            "subject": {"reference": "Patient/i-000"},
            "code": {"coding": [{"system": loinc, "code": code}]},
        }
        for code in ("54588-9", "8867-4")
    ]
    with FhirServer(tmp_path / "server") as server:
        server.load(cohort.write(tmp_path / "rows", [*cohort.resources(2, 0), *vitals]))
        manifest = pulling(server.base_url, coded={"Observation": [(loinc, "54588-9")]})
        assert [row["id"] for row in rows(landing, manifest, "Observation")] == ["o54588-9"]
        exported = pulling(server.base_url, kind="bulk", pull_id="bulk", max_poll_seconds=0.1)
        assert "Observation" not in exported.counts
        assert "Observation: not asked for without a type filter" in exported.notes
    assert all(line.strip() for _, path in landing.paths(exported) for line in read_lines(path))
