"""Search pulls against the real server, with faults in front of it."""

from __future__ import annotations

import dataclasses
import email.utils
import time
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from fhir_source.errors import CredentialsRefused, IessError, PullIncomplete, SourceMisbehaved, SourceUnreachable
from fhir_source.landing import LandingZone, Manifest, read_lines
from tests.fhir_source import cohort
from tests.fhir_source.cohort import EXPECTED, ICD10, INFANTS
from tests.fhir_source.conftest import PULL
from tests.fhir_source.faulty import Fault, FaultyServer, Reply, Seen, at, cut, packed, redirect, rewrite, status

if TYPE_CHECKING:
    from collections.abc import Callable

    from synthetic.fhir_server import FhirServer

pytestmark = pytest.mark.integration

Pulling = "Callable[..., Manifest]"


def rows(landing: LandingZone, manifest: Manifest, kind: str | None = None) -> list[dict[str, Any]]:
    return [
        orjson.loads(line)
        for file, path in landing.paths(manifest)
        if kind in (None, file.type)
        for line in read_lines(path)
    ]


def assert_whole(landing: LandingZone, manifest: Manifest) -> None:
    """Everything of the cohort, once, and nothing of the others."""
    landing.verify(manifest)
    assert manifest.counts == EXPECTED
    ids = [(row["resourceType"], row["id"]) for row in rows(landing, manifest)]
    assert len(ids) == len(set(ids)) == sum(EXPECTED.values())
    assert not any(identity.startswith("o-") for _, identity in ids)


def test_brings_the_cohort_whole_and_nobody_else(
    server: FhirServer, pulling: Callable[..., Manifest], landing: LandingZone
) -> None:
    told: list[tuple[str, int]] = []
    before = time.time() - 3  # a Date header has whole seconds, and servers keep it for a while
    manifest = pulling(server.base_url, progress=lambda kind, count: told.append((kind, count)))
    assert_whole(landing, manifest)
    assert manifest.fhir_version == "R4"
    assert manifest.left_out == ()
    assert sum(count for _, count in told) == sum(EXPECTED.values())
    stamp = time.mktime(time.strptime(manifest.transaction_time, "%Y-%m-%dT%H:%M:%SZ")) - time.timezone
    assert before <= stamp <= time.time()


def test_the_same_pull_again_asks_nothing(
    faulty: FaultyServer, pulling: Callable[..., Manifest], landing: LandingZone
) -> None:
    first = pulling(faulty.base_url)
    asked = len(faulty.seen)
    assert pulling(faulty.base_url) == first
    assert len(faulty.seen) == asked
    assert landing.pulls("site") == [first]


def test_same_rows_give_the_same_bytes(
    server: FhirServer, pulling: Callable[..., Manifest], landing: LandingZone
) -> None:
    one = pulling(server.base_url, pull_id="a", concurrency=1)
    four = pulling(server.base_url, pull_id="b", concurrency=4)
    assert [file.sha256 for file in one.files] == [file.sha256 for file in four.files]


def test_logs_hold_no_token_and_no_patient(
    faulty: FaultyServer,
    pulling: Callable[..., Manifest],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    from fhir_source.source import Auth

    faulty.faults += [
        Fault(at("_search", "POST"), status(405), times=99),
        Fault(at("/Encounter"), cut(0.5), times=2),
        Fault(at("/Coverage"), redirect(lambda seen: seen.path)),
    ]
    with caplog.at_level("DEBUG"):
        pulling(faulty.base_url, auth=Auth(kind="bearer", secret="s3cret-token"))
    out, err = capfd.readouterr()
    assert "attempt 2 follows" in caplog.text
    for leak in ("s3cret", "i-00", "G40"):
        assert leak not in caplog.text + out + err


def test_works_without_post_search(
    faulty: FaultyServer, pulling: Callable[..., Manifest], landing: LandingZone
) -> None:
    faulty.faults.append(Fault(at("_search", "POST"), status(405), times=99))
    assert_whole(landing, pulling(faulty.base_url))
    assert len([seen for seen in faulty.seen if seen.method == "POST"]) == 1  # tried once, remembered


def test_ids_of_patients_travel_in_bodies_not_in_urls(
    faulty: FaultyServer, pulling: Callable[..., Manifest], landing: LandingZone
) -> None:
    pulling(faulty.base_url, page_size=500)
    assert not faulty.requests("i-0")


def _in_seconds(seen: Seen, reply: Reply) -> Reply:
    return Reply.outcome(429, **{"retry-after": "0"})


def _as_date(seen: Seen, reply: Reply) -> Reply:
    return Reply.outcome(429, **{"retry-after": email.utils.formatdate(time.time() + 1, usegmt=True)})


def _as_milliseconds(seen: Seen, reply: Reply) -> Reply:
    return Reply.outcome(503, **{"retry-after": str(int((time.time() + 3600) * 1000))})


def _as_nonsense(seen: Seen, reply: Reply) -> Reply:
    return Reply.outcome(429, **{"retry-after": "in a while"})


def _bytes(body: bytes) -> Callable[[Seen, Reply], Reply]:
    return lambda seen, reply: Reply(200, reply.headers, body)


def _partial(body: Any) -> Any:
    issue = {"severity": "warning", "code": "incomplete"}
    outcome = {"resource": {"resourceType": "OperationOutcome", "issue": [issue]}, "search": {"mode": "outcome"}}
    return {**body, "entry": [*body.get("entry", [])[:-1], outcome]}


def _wrong_type(body: Any) -> Any:
    entry = {"resource": {"resourceType": "Observation", "id": "x"}, "search": {"mode": "match"}}
    return {**body, "entry": [entry]}


TRANSIENT: dict[str, Callable[[Seen, Reply], Reply]] = {
    "429 seconds": _in_seconds,
    "429 date": _as_date,
    "503 epoch milliseconds": _as_milliseconds,
    "429 nonsense": _as_nonsense,
    "500": status(500),
    "502": status(502),
    "503": status(503),
    "connection dropped in the page": cut(0.5),
    "connection stalled in the page": cut(0.5, stall=True),
    "gzip truncated": packed(0.6),
    "not JSON": _bytes(b"<html>gateway</html>"),
    "OperationOutcome with status 200": lambda seen, reply: dataclasses.replace(Reply.outcome(200)),
    "OperationOutcome inside, in part": rewrite(_partial),
    "page of the wrong type": rewrite(_wrong_type),
    "history Bundle": rewrite(lambda body: {**body, "type": "history"}),
    "a page that lost rows": rewrite(lambda body: {**body, "entry": body.get("entry", [])[:-2]}),
}


@pytest.mark.parametrize(
    ("fault", "where"),
    [
        *((fault, "Encounter") for fault in TRANSIENT),
        *((fault, "Condition") for fault in ("429 seconds", "connection dropped in the page", "a page that lost rows")),
    ],
)
def test_a_fault_that_passes_costs_nothing(
    fault: str, where: str, faulty: FaultyServer, pulling: Callable[..., Manifest], landing: LandingZone
) -> None:
    faulty.faults.append(Fault(at(f"/{where}"), TRANSIENT[fault], times=2, skip=1))
    assert_whole(landing, pulling(faulty.base_url))
    assert faulty.faults[0].met > 1


LASTING = {
    "500": (status(500), SourceUnreachable),
    "connection dropped": (cut(0.5), SourceUnreachable),
    "OperationOutcome with status 200": (TRANSIENT["OperationOutcome with status 200"], SourceMisbehaved),
    "in part": (rewrite(_partial), PullIncomplete),
    "wrong type": (rewrite(_wrong_type), SourceMisbehaved),
    "rows lost": (TRANSIENT["a page that lost rows"], PullIncomplete),
    "refused": (status(403), CredentialsRefused),
    "bad request": (status(400), SourceMisbehaved),
}


@pytest.mark.parametrize("fault", LASTING)
def test_a_fault_that_stays_leaves_no_pull_and_the_next_run_completes(
    fault: str, faulty: FaultyServer, pulling: Callable[..., Manifest], landing: LandingZone
) -> None:
    act, error = LASTING[fault]
    lasting = Fault(at("/Encounter"), act, times=10_000, skip=1)
    faulty.faults.append(lasting)
    with pytest.raises(error) as raised:
        pulling(faulty.base_url)
    assert landing.find("site", PULL) is None
    assert landing.pulls("site") == []
    assert not any(word in str(raised.value) for word in ("i-0", "G40", "Patient/", "patient="))
    whole = {path.name.split(".")[0] for path in landing.folder("site", PULL).glob("*.ndjson.gz")}
    faulty.faults.clear()
    faulty.seen.clear()
    assert_whole(landing, pulling(faulty.base_url))
    again = {seen.path.split("?")[0].rsplit("/_search", 1)[0].rsplit("/", 1)[-1] for seen in faulty.seen}
    assert "Encounter" in again
    assert not again & whole


def test_an_error_is_the_same_after_pickling() -> None:
    import pickle

    error = SourceUnreachable("The server is down", source="site", kept="all")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # noqa: S301 - our own bytes
    assert isinstance(error, IessError)


def test_next_links_that_loop_are_refused(faulty: FaultyServer, pulling: Callable[..., Manifest]) -> None:
    def loop(body: Any) -> Any:
        here = next(link["url"] for link in body["link"] if link["relation"] == "self")
        return {**body, "link": [{"relation": "self", "url": here}, {"relation": "next", "url": here}]}

    faulty.faults.append(Fault(at("/Encounter"), rewrite(loop), times=10_000))
    with pytest.raises(SourceMisbehaved, match="circle"):
        pulling(faulty.base_url)


def test_pages_that_repeat_for_ever_under_new_urls_are_refused(
    faulty: FaultyServer, pulling: Callable[..., Manifest]
) -> None:
    def turn(seen: Seen, reply: Reply) -> Reply:
        body = reply.json
        first = f"{faulty.base_url}/Encounter?patient=i-000&_count=1&n={len(faulty.seen)}"
        links = [link for link in body["link"] if link["relation"] == "self"] + [{"relation": "next", "url": first}]
        return reply.with_json({**body, "link": links})

    faulty.faults.append(Fault(at("/Encounter"), turn, times=10_000))
    with pytest.raises(SourceMisbehaved, match="circle"):
        pulling(faulty.base_url)


def test_a_page_that_comes_twice_is_taken_once(
    faulty: FaultyServer, pulling: Callable[..., Manifest], landing: LandingZone
) -> None:
    pages: list[Reply] = []

    def repeat(seen: Seen, reply: Reply) -> Reply:
        """The second page repeats the first's rows, and then goes on to itself: out of order, nothing lost."""
        pages.append(reply)
        if len(pages) != 2:
            return reply
        again = {**reply.json, "entry": pages[0].json["entry"]}
        again["link"] = [*again["link"][:1], {"relation": "next", "url": f"{faulty.root_url}{seen.path}&again=1"}]
        return reply.with_json(again)

    faulty.faults.append(Fault(at("/Encounter"), repeat, times=10_000))
    manifest = pulling(faulty.base_url)
    assert_whole(landing, manifest)
    assert any("came twice" in note for note in manifest.notes)


def test_a_filter_that_the_server_drops_is_noticed(
    faulty: FaultyServer, pulling: Callable[..., Manifest], landing: LandingZone
) -> None:
    """The real server drops what it doesn't know and answers with everything; here it doesn't know `patient`."""

    def unknown(seen: Seen, reply: Reply) -> Reply:
        import httpx

        everything = httpx.get(f"{faulty.upstream}/fhir/Encounter?unknown=1&_count=7", trust_env=False)
        return Reply(200, reply.headers, everything.content.replace(faulty.upstream.encode(), faulty.root_url.encode()))

    def by_patient(seen: Seen) -> bool:
        return "/Encounter" in seen.path and "patient" in seen.search  # the server's own next links forget it

    faulty.faults.append(Fault(by_patient, unknown, times=10_000))
    with pytest.raises(SourceMisbehaved, match="ignores the search parameter"):
        pulling(faulty.base_url)
    assert landing.find("site", PULL) is None


def test_a_link_to_another_port_is_refused_and_no_token_arrives(
    server: FhirServer, faulty: FaultyServer, pulling: Callable[..., Manifest]
) -> None:
    from fhir_source.source import Auth

    with FaultyServer(server.root_url) as thief:

        def elsewhere(body: Any) -> Any:
            return orjson.loads(orjson.dumps(body).replace(faulty.root_url.encode(), thief.root_url.encode()))

        secret = Auth(kind="bearer", secret="s3cret-token")
        faulty.faults.append(Fault(at("/Encounter"), rewrite(elsewhere), times=10_000))
        with pytest.raises(SourceMisbehaved, match="another origin") as raised:
            pulling(faulty.base_url, auth=secret)
        assert "s3cret" not in str(raised.value)
        faulty.faults[:] = [
            Fault(at("/Encounter"), redirect(lambda seen: thief.root_url + seen.path), times=10_000),
        ]
        with pytest.raises(SourceMisbehaved, match="another origin"):
            pulling(faulty.base_url, auth=secret)
        assert thief.seen == []
    assert faulty.seen[-1].token == "Bearer s3cret-token"


def test_a_redirect_within_the_origin_is_followed(
    faulty: FaultyServer, pulling: Callable[..., Manifest], landing: LandingZone
) -> None:
    faulty.faults.append(Fault(at("/Coverage"), redirect(lambda seen: seen.path), times=1))
    assert_whole(landing, pulling(faulty.base_url))


def test_redirects_without_end_are_refused(faulty: FaultyServer, pulling: Callable[..., Manifest]) -> None:
    faulty.faults.append(Fault(at("/Coverage"), redirect(lambda seen: seen.path), times=10_000))
    with pytest.raises(SourceMisbehaved, match="without end"):
        pulling(faulty.base_url)


def test_a_slow_drip_is_cut_off(faulty: FaultyServer, pulling: Callable[..., Manifest], landing: LandingZone) -> None:
    def drip(seen: Seen, reply: Reply) -> Reply:
        return dataclasses.replace(reply, drip=0.1)

    faulty.faults.append(Fault(at("/Encounter"), drip, times=1))
    assert_whole(landing, pulling(faulty.base_url, timeout_seconds=0.5))


def test_a_resource_of_40_mb_passes(
    faulty: FaultyServer, pulling: Callable[..., Manifest], landing: LandingZone
) -> None:
    def grow(body: Any) -> Any:
        body["entry"][0]["resource"]["text"] = {"status": "generated", "div": "x" * 40_000_000}
        return body

    faulty.faults.append(Fault(at("/Coverage"), rewrite(grow), times=1))
    manifest = pulling(faulty.base_url, timeout_seconds=20)
    assert_whole(landing, manifest)
    assert max(len(row.get("text", {}).get("div", "")) for row in rows(landing, manifest, "Coverage")) == 40_000_000


def test_fewer_requests_at_once_after_429(faulty: FaultyServer, pulling: Callable[..., Manifest]) -> None:
    """All answers are 429 as long as more than one request is under way: only a client that slows down gets through."""
    faulty.faults.append(Fault(lambda seen: "/Encounter" in seen.path, status(429, retry_after="0"), times=3))
    assert pulling(faulty.base_url, concurrency=8).counts == EXPECTED


def test_a_server_that_reads_a_list_as_one_value_loses_nothing(
    faulty: FaultyServer, pulling: Callable[..., Manifest], landing: LandingZone
) -> None:
    def one_value(seen: Seen, reply: Reply) -> Reply:
        empty = {"resourceType": "Bundle", "type": "searchset", "total": 0}
        return reply.with_json(empty)

    faulty.faults += [
        Fault(lambda seen: "_search" in seen.path, status(405), times=10_000),
        Fault(lambda seen: "%2C" in seen.path, one_value, times=10_000),
    ]
    manifest = pulling(faulty.base_url, cohort_codes=[cohort.SPASMS, (ICD10, "G40.821"), (ICD10, "G40.824")])
    assert_whole(landing, manifest)
    assert any("lists of values" in note for note in manifest.notes)


UNUSUAL: dict[str, Callable[[Any], Any]] = {
    "no total": lambda body: {name: value for name, value in body.items() if name != "total"},
    "no self link": lambda body: {**body, "link": [e for e in body["link"] if e["relation"] != "self"]},
    "relative next": lambda body: {
        **body,
        "link": [{**link, "url": link["url"].split("/fhir/")[1]} for link in body["link"]],
    },
    "no search mode": lambda body: {
        **body,
        "entry": [{"resource": entry["resource"]} for entry in body.get("entry", [])],
    },
    "entries without resource": lambda body: {**body, "entry": [*body.get("entry", []), {"fullUrl": "urn:x"}]},
    "empty entry list": lambda body: {**body, "entry": body.get("entry") or []},
    "included rows": lambda body: {
        **body,
        "entry": [
            *body.get("entry", []),
            {"resource": {"resourceType": "Observation", "id": "included"}, "search": {"mode": "include"}},
        ],
    },
    "a remark": lambda body: {
        **body,
        "entry": [
            *body.get("entry", []),
            {
                "resource": {
                    "resourceType": "OperationOutcome",
                    "issue": [{"severity": "information", "code": "informational"}],
                },
                "search": {"mode": "outcome"},
            },
        ],
    },
}


@pytest.mark.parametrize("way", UNUSUAL)
def test_servers_with_ways_of_their_own(
    way: str, faulty: FaultyServer, pulling: Callable[..., Manifest], landing: LandingZone
) -> None:
    def searches(seen: Seen) -> bool:
        return seen.path.startswith("/fhir/") and "metadata" not in seen.path

    faulty.faults.append(Fault(searches, rewrite(UNUSUAL[way]), times=10_000))
    assert_whole(landing, pulling(faulty.base_url))


def test_deletions_are_found_in_the_history(
    tmp_path: Any, pulling: Callable[..., Manifest], landing: LandingZone
) -> None:
    """The real server forgets `_since` in its next links: what was deleted before must not come again."""
    import httpx

    from synthetic.fhir_server import FhirServer

    with FhirServer(tmp_path / "server") as changing, httpx.Client(base_url=changing.base_url) as client:
        changing.load(cohort.write(tmp_path / "rows", cohort.resources(4, 0)))
        client.delete("/Encounter/i-000-e0")
        time.sleep(1.1)  # FHIR instants of the watermark have whole seconds
        first = pulling(changing.base_url, pull_id="1")
        time.sleep(1.1)
        client.delete("/Encounter/i-001-e1")
        client.delete("/Coverage/i-002-v")
        client.delete("/Patient/i-003")
        client.put("/Coverage/i-002-v", json=next(r for r in cohort.resources(4, 0) if r["id"] == "i-002-v"))
        second = pulling(
            changing.base_url,
            pull_id="2",
            since=first.transaction_time,
            overlap_seconds=0,
            known_infants=[f"i-00{n}" for n in range(4)],
        )
    assert landing.paths(first, role="deleted") == []
    gone = {
        orjson.loads(line)["entry"][0]["request"]["url"]
        for _, path in landing.paths(second, role="deleted")
        for line in read_lines(path)
    }
    assert gone == {"Encounter/i-001-e1", "Patient/i-003"}


def test_absolute_references(tmp_path: Any, pulling: Callable[..., Manifest], landing: LandingZone) -> None:
    from synthetic.fhir_server import FhirServer

    behaviour = {"server_behaviour": {"absolute_references": True}}
    with FhirServer(tmp_path / "server", extra=behaviour) as absolute:
        absolute.load(cohort.write(tmp_path / "rows", cohort.resources()))
        assert_whole(landing, pulling(absolute.base_url))


def test_the_parameter_is_used_that_the_server_offers(
    faulty: FaultyServer, pulling: Callable[..., Manifest], landing: LandingZone
) -> None:
    def without_patient(body: Any) -> Any:
        for resource in body["rest"][0]["resource"]:
            resource["searchParam"] = [p for p in resource["searchParam"] if p["name"] != "patient"]
        return body

    faulty.faults.append(Fault(at("/metadata"), rewrite(without_patient)))
    manifest = pulling(faulty.base_url)
    assert_whole(landing, manifest)
    assert "RelatedPerson" in manifest.left_out  # can only be searched by patient
    assert any("subject=Patient%2Fi-000" in seen.search for seen in faulty.requests("/Encounter"))


def test_both_records_of_a_merged_infant_are_brought(
    tmp_path: Any, pulling: Callable[..., Manifest], landing: LandingZone
) -> None:
    """The Condition hangs on the record that stays; the old record, and what hangs on it, is found by its link."""
    from synthetic.fhir_server import FhirServer

    rows = cohort.resources(2, 1)
    old = {
        "resourceType": "Patient",
        "id": "old",
        "active": False,
        "link": [{"other": {"reference": "Patient/i-000"}, "type": "replaced-by"}],
    }
    visit = next(row for row in rows if row["id"] == "i-000-e0")
    visit["subject"] = {"reference": "Patient/old"}
    with FhirServer(tmp_path / "server") as merged:
        merged.load(cohort.write(tmp_path / "rows", [*rows, old]))
        manifest = pulling(merged.base_url)
    assert manifest.counts["Patient"] == 3
    assert manifest.counts["Encounter"] == 2 * 5


def test_an_unoffered_type_is_left_out_and_said(
    faulty: FaultyServer, pulling: Callable[..., Manifest], landing: LandingZone
) -> None:
    def without(body: Any) -> Any:
        rest = body["rest"][0]
        rest["resource"] = [kind for kind in rest["resource"] if kind["type"] not in ("Coverage", "Location")]
        return body

    faulty.faults.append(Fault(at("/metadata"), rewrite(without)))
    manifest = pulling(faulty.base_url)
    assert manifest.left_out == ("Coverage", "Location")
    assert manifest.counts == {kind: count for kind, count in EXPECTED.items() if kind not in manifest.left_out}
    assert not faulty.requests("/Coverage")


@pytest.mark.parametrize("version", ["3.0.2", "1.0.2", ""])
def test_an_unknown_fhir_version_is_refused(
    version: str, faulty: FaultyServer, pulling: Callable[..., Manifest]
) -> None:
    faulty.faults.append(Fault(at("/metadata"), rewrite(lambda body: {**body, "fhirVersion": version})))
    with pytest.raises(SourceMisbehaved, match="neither FHIR R4 nor R5"):
        pulling(faulty.base_url)


def test_a_server_that_is_down_is_one_clear_error(pulling: Callable[..., Manifest]) -> None:
    with pytest.raises(SourceUnreachable) as raised:
        pulling("http://127.0.0.1:9/fhir")
    assert raised.value.retriable


def test_a_cohort_of_nobody_is_a_pull_of_nothing(
    server: FhirServer, pulling: Callable[..., Manifest], landing: LandingZone
) -> None:
    manifest = pulling(server.base_url, cohort_codes=[(ICD10, "G40.A01")])
    assert manifest.counts == {}
    assert manifest.files == ()
    assert landing.find("site", PULL) == manifest


def test_an_increment_asks_for_changes_of_known_infants_and_for_all_of_new_ones(
    faulty: FaultyServer, pulling: Callable[..., Manifest], landing: LandingZone
) -> None:
    known = [f"i-{n:03d}" for n in range(INFANTS - 3)]
    manifest = pulling(faulty.base_url, since="2099-01-01T00:00:00Z", known_infants=known)
    assert manifest.counts["Patient"] == INFANTS  # read each time: that is how merges and deletions are seen
    assert manifest.counts["Encounter"] == 3 * 5
    asked = [seen.search for seen in faulty.requests("/Encounter")]
    assert any("_lastUpdated=ge2098-12-31T23%3A55%3A00Z" in query for query in asked)
    assert any("300 s of overlap" in note for note in manifest.notes)


def test_since_that_is_not_honoured_is_said(
    faulty: FaultyServer, pulling: Callable[..., Manifest], landing: LandingZone
) -> None:
    def forget_since(seen: Seen, reply: Reply) -> Reply:
        import httpx

        everything = httpx.get(f"{faulty.upstream}/fhir/Coverage?patient=i-000&_count=7", trust_env=False)
        return Reply(200, reply.headers, everything.content)

    def dated(seen: Seen) -> bool:
        return "/Coverage" in seen.path and "_lastUpdated" in seen.search

    faulty.faults.append(Fault(dated, forget_since, times=10_000))
    manifest = pulling(faulty.base_url, since="2099-01-01T00:00:00Z", known_infants=["i-000"])
    assert "Coverage: _lastUpdated was not honoured by the server" in manifest.notes


def test_a_known_infant_who_is_gone_is_landed_as_deleted(
    server: FhirServer, pulling: Callable[..., Manifest], landing: LandingZone
) -> None:
    manifest = pulling(server.base_url, since="2099-01-01T00:00:00Z", known_infants=["i-000", "purged"])
    [(file, path)] = landing.paths(manifest, role="deleted")
    assert [orjson.loads(line)["entry"][0]["request"] for line in read_lines(path)] == [
        {"method": "DELETE", "url": "Patient/purged"}
    ]
    assert file.type == "Bundle"
    landing.verify(manifest)


def test_a_server_that_knows_none_of_our_infants_is_the_wrong_one(
    server: FhirServer, pulling: Callable[..., Manifest]
) -> None:
    with pytest.raises(SourceMisbehaved, match="none of the infants known"):
        pulling(
            server.base_url,
            since="2099-01-01T00:00:00Z",
            known_infants=["elsewhere-1", "elsewhere-2"],
            cohort_codes=[(ICD10, "G40.A01")],
        )
