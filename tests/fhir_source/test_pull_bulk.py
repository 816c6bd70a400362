"""Bulk Data exports of the real server, with faults in front of it."""

from __future__ import annotations

import dataclasses
import gzip
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from fhir_source.errors import (
    CredentialsRefused,
    IessError,
    PullIncomplete,
    SettingsError,
    SourceMisbehaved,
    SourceUnreachable,
)
from fhir_source.landing import LandingZone, Manifest, read_lines
from fhir_source.source import Auth
from tests.fhir_source import cohort
from tests.fhir_source.conftest import PULL
from tests.fhir_source.faulty import Fault, FaultyServer, Reply, Seen, at, cut, packed, redirect, rewrite, status

if TYPE_CHECKING:
    from collections.abc import Callable

    from synthetic.fhir_server import FhirServer

pytestmark = pytest.mark.integration

EVERYTHING = dict(sorted(Counter(row["resourceType"] for row in cohort.resources()).items()))
FILES, STATUS, KICK_OFF = at("/bulk-files/"), at("/bulk-status/", "GET"), at("$export")


@pytest.fixture
def exporting(pulling: Callable[..., Manifest]) -> Callable[..., Manifest]:
    """A bulk pull that looks often."""

    def run(url: str, **given: Any) -> Manifest:
        return pulling(url, kind="bulk", **{"max_poll_seconds": 0.1, **given})

    return run


def assert_whole(landing: LandingZone, manifest: Manifest) -> None:
    landing.verify(manifest)
    assert manifest.counts == EVERYTHING
    lines = [line for _, path in landing.paths(manifest) for line in read_lines(path)]
    ids = {orjson.loads(line)["id"] for line in lines if line.strip()}
    assert len(ids) == sum(EVERYTHING.values())


def _expired(seen: Seen, reply: Reply) -> Reply:
    return Reply.outcome(410)


def _outcome(seen: Seen, reply: Reply) -> Reply:
    return dataclasses.replace(Reply.outcome(200))


def _short(seen: Seen, reply: Reply) -> Reply:
    return Reply(200, reply.headers, b"\n".join(reply.body.split(b"\n")[:-3]) + b"\n")


def _other_type(seen: Seen, reply: Reply) -> Reply:
    return Reply(200, reply.headers, b'{"resourceType":"Observation","id":"1"}\n' + reply.body)


def _soon(seen: Seen, reply: Reply) -> Reply:
    return Reply(202, {"retry-after": str(int((time.time() + 3600) * 1000)), "x-progress": "half"}, b"half way")


def _cut_in_a_line(seen: Seen, reply: Reply) -> Reply:
    """As many lines as were counted, the last of them not whole, and a length that fits."""
    return Reply(200, reply.headers, reply.body.rstrip()[:-9])


def _a_page_of_html(seen: Seen, reply: Reply) -> Reply:
    return Reply(200, {"content-type": "text/html"}, b"<html>\n<body>Sign in</body>\n</html>\n")


PASSING = {
    "kick-off 429": Fault(KICK_OFF, status(429, retry_after="0"), times=2),
    "kick-off 503": Fault(KICK_OFF, status(503), times=2),
    "poll 500": Fault(STATUS, status(500), times=2),
    "poll 429": Fault(STATUS, status(429, retry_after="0"), times=2),
    "poll says later, in epoch milliseconds": Fault(STATUS, _soon, times=2),
    "poll answers an OperationOutcome": Fault(STATUS, _outcome, times=1, skip=1),
    "file 500": Fault(FILES, status(500), times=3),
    "file dropped": Fault(at("/Encounter.ndjson"), cut(0.7), times=2),
    "file stalled": Fault(at("/Encounter.ndjson"), cut(0.7, stall=True)),
    "file is an OperationOutcome": Fault(at("/Encounter.ndjson"), _outcome, times=2),
    "file shorter than counted": Fault(at("/Encounter.ndjson"), _short, times=2),
    "file of another type": Fault(at("/Encounter.ndjson"), _other_type, times=2),
    "file of a line cut short": Fault(at("/Encounter.ndjson"), _cut_in_a_line, times=2),
    "file of HTML": Fault(at("/Encounter.ndjson"), _a_page_of_html, times=2),
    "file packed": Fault(FILES, packed(), times=99),
    "file packed and cut": Fault(at("/Encounter.ndjson"), packed(0.5), times=2),
    "file not there yet": Fault(at("/Encounter.ndjson"), status(404)),
    "file expired": Fault(at("/Encounter.ndjson"), _expired),
    "job forgotten": Fault(STATUS, status(404)),
    "redirected within the origin": Fault(FILES, redirect(lambda seen: seen.path + "?again")),
    "job can't be deleted": Fault(at("/bulk-status/", "DELETE"), status(403), times=99),
}


@pytest.mark.parametrize(
    ("name", "ranges"),
    [*((name, False) for name in PASSING), *((name, True) for name in PASSING if name.startswith("file"))],
)
def test_a_fault_that_passes_costs_nothing(
    name: str, ranges: bool, faulty: FaultyServer, exporting: Callable[..., Manifest], landing: LandingZone
) -> None:
    fault = dataclasses.replace(PASSING[name])
    faulty.faults.append(fault)
    faulty.ranges = ranges
    manifest = exporting(faulty.base_url)
    assert fault.met > 0
    assert_whole(landing, manifest)
    whole = Counter(path for path, _ in faulty.sent if path.endswith(".ndjson"))
    assert name.startswith(("file is", "file short", "file of", "file packed")) or max(whole.values()) == 1


def test_brings_what_the_server_counted_and_deletes_the_job(
    faulty: FaultyServer, exporting: Callable[..., Manifest], landing: LandingZone
) -> None:
    manifest = exporting(faulty.base_url)
    assert_whole(landing, manifest)
    assert {file.origin for file in manifest.files} >= {"Encounter.ndjson", "Patient.ndjson"}
    assert [seen.method for seen in faulty.requests("/bulk-status/")][-1] == "DELETE"
    [asked] = faulty.requests("$export")
    assert asked.headers["prefer"] == "respond-async"
    assert exporting(faulty.base_url) == manifest
    assert len(faulty.requests("$export")) == 1


@pytest.mark.parametrize(("level", "group"), [("system", None), ("patient", None), ("group", "cohort")])
def test_levels(
    level: str, group: str | None, server: FhirServer, exporting: Callable[..., Manifest], tmp_path: Any
) -> None:
    members = [{"entity": {"reference": f"Patient/i-{n:03d}"}} for n in range(3)]
    row = {"resourceType": "Group", "id": "cohort", "type": "person", "actual": True, "member": members}
    server.load(cohort.write(tmp_path / "group", [row]))
    manifest = exporting(server.base_url, export_level=level, group=group)
    assert manifest.counts["Patient"] == (3 if group else cohort.INFANTS + cohort.OTHERS)


def test_a_group_export_needs_a_group(server: FhirServer, exporting: Callable[..., Manifest]) -> None:
    with pytest.raises(SettingsError, match="group"):
        exporting(server.base_url, export_level="group")


def test_an_increment_asks_since_the_watermark(faulty: FaultyServer, exporting: Callable[..., Manifest]) -> None:
    manifest = exporting(faulty.base_url, since="2099-01-01T00:00:00Z")
    assert manifest.counts == {}
    assert "_since=2098-12-31T23%3A55%3A00Z" in faulty.requests("$export")[0].path


def test_since_that_is_not_honoured_is_said(faulty: FaultyServer, exporting: Callable[..., Manifest]) -> None:
    import httpx

    def forgetful(seen: Seen, reply: Reply) -> Reply:
        url = f"{faulty.upstream}{seen.path}".replace("_since=2098", "_since=1998")
        answer = httpx.get(url, headers={"Prefer": "respond-async"}, trust_env=False)
        return Reply(202, {"content-location": answer.headers["content-location"]}, b"")

    faulty.faults.append(Fault(KICK_OFF, forgetful))
    manifest = exporting(faulty.base_url, since="2099-01-01T00:00:00Z", token_origins=(faulty.upstream,))
    assert manifest.counts == EVERYTHING
    assert any("_since was not honoured" in note for note in manifest.notes)


def test_a_retry_goes_on_with_the_same_export(
    faulty: FaultyServer, exporting: Callable[..., Manifest], landing: LandingZone
) -> None:
    faulty.faults.append(Fault(at("/Encounter.ndjson"), status(503), times=10_000))
    with pytest.raises(SourceUnreachable):
        exporting(faulty.base_url)
    assert landing.find("site", PULL) is None
    faulty.faults.clear()
    whole = {path for path, _ in faulty.sent if path.endswith(".ndjson")}
    faulty.sent.clear()
    assert_whole(landing, exporting(faulty.base_url))
    assert len(faulty.requests("$export")) == 1
    assert not whole & {path for path, _ in faulty.sent}


def test_a_broken_download_goes_on_where_it_broke(
    faulty: FaultyServer, exporting: Callable[..., Manifest], landing: LandingZone
) -> None:
    faulty.ranges = True
    faulty.faults.append(Fault(at("/Encounter.ndjson"), cut(0.7), times=1))
    assert_whole(landing, exporting(faulty.base_url))
    first, second = faulty.requests("/Encounter.ndjson")
    assert "range" not in first.headers
    assert int(second.headers["range"].removeprefix("bytes=").removesuffix("-")) > 0
    assert second.headers["if-range"]


def test_a_resource_of_40_mb_passes(
    faulty: FaultyServer, exporting: Callable[..., Manifest], landing: LandingZone
) -> None:
    def grow(seen: Seen, reply: Reply) -> Reply:
        first, rest = reply.body.split(b"\n", 1)
        text = b',"text":{"status":"generated","div":"' + b"x" * 40_000_000 + b'"}}'
        return Reply(200, reply.headers, first[:-1] + text + b"\n" + rest)

    faulty.faults.append(Fault(at("/Coverage.ndjson"), grow))
    manifest = exporting(faulty.base_url, timeout_seconds=20)
    assert_whole(landing, manifest)
    [(file, path)] = [pair for pair in landing.paths(manifest) if pair[0].type == "Coverage"]
    assert file.rows == EVERYTHING["Coverage"]
    assert max(len(line) for line in read_lines(path)) > 40_000_000


def _members(body: bytes) -> bytes:
    return b"".join(gzip.compress(line + b"\n") for line in body.splitlines())


WAYS_TO_WRITE: dict[str, Callable[[bytes], bytes]] = {
    "stored packed": gzip.compress,
    "packed in several members": _members,
    "byte order mark": lambda body: b"\xef\xbb\xbf" + body,
    "packed, byte order mark": lambda body: gzip.compress(b"\xef\xbb\xbf" + body),
    "line ends of Windows": lambda body: body.replace(b"\n", b"\r\n"),
    "blank lines": lambda body: b"\n" + body.replace(b"\n", b"\n\n  \n"),
    "no last line end": lambda body: body.rstrip(),
}


@pytest.mark.parametrize("transfer", [False, True], ids=["", "packed again"])
@pytest.mark.parametrize("way", WAYS_TO_WRITE)
def test_files_are_written_in_many_ways(
    way: str, transfer: bool, faulty: FaultyServer, exporting: Callable[..., Manifest], landing: LandingZone
) -> None:
    faulty.faults.append(
        Fault(FILES, lambda seen, reply: Reply(200, reply.headers, WAYS_TO_WRITE[way](reply.body)), times=99)
    )
    if transfer:
        faulty.faults.append(Fault(FILES, packed(), times=99))
    assert_whole(landing, exporting(faulty.base_url))
    assert max(Counter(path for path, _ in faulty.sent if path.endswith(".ndjson")).values()) == 1


def test_a_file_that_stays_short_is_incomplete(
    faulty: FaultyServer, exporting: Callable[..., Manifest], landing: LandingZone
) -> None:
    faulty.faults.append(Fault(at("/Encounter.ndjson"), _short, times=10_000))
    with pytest.raises(PullIncomplete, match="rows of"):
        exporting(faulty.base_url)
    assert landing.find("site", PULL) is None


def test_files_that_always_expire_end_the_pull(faulty: FaultyServer, exporting: Callable[..., Manifest]) -> None:
    faulty.faults.append(Fault(FILES, status(410), times=10_000))
    with pytest.raises(PullIncomplete, match="expires faster"):
        exporting(faulty.base_url)
    assert len(faulty.requests("$export")) == 3


def test_an_export_that_failed_is_asked_for_anew_by_the_next_run(
    faulty: FaultyServer, exporting: Callable[..., Manifest], landing: LandingZone
) -> None:
    faulty.faults.append(Fault(STATUS, status(500), times=10_000))
    with pytest.raises(PullIncomplete, match="failed on the server"):
        exporting(faulty.base_url)
    faulty.faults.clear()
    assert_whole(landing, exporting(faulty.base_url))
    assert len(faulty.requests("$export")) == 2


def _with_error(severity: str) -> Callable[[Seen, Reply], Reply]:
    def act(seen: Seen, reply: Reply) -> Reply:
        if reply.status != 200:
            return reply
        body = reply.json
        output = [entry for entry in body["output"] if entry["type"] != "Coverage"]
        url = output[0]["url"].rsplit("/", 1)[0] + f"/{severity}.ndjson"
        error = {"type": "OperationOutcome", "url": url}
        return reply.with_json({**body, "output": output, "error": [error]})

    return act


def _error_file(severity: str) -> Callable[[Seen, Reply], Reply]:
    issue = {"severity": severity, "code": "exception", "diagnostics": "Patient/i-001 could not be read"}
    line = orjson.dumps({"resourceType": "OperationOutcome", "issue": [issue]}) + b"\n"
    return lambda seen, reply: Reply(200, {}, line)


def test_errors_in_the_export_make_it_incomplete(
    faulty: FaultyServer, exporting: Callable[..., Manifest], landing: LandingZone
) -> None:
    faulty.faults += [
        Fault(STATUS, _with_error("error"), times=99),
        Fault(at("/error.ndjson"), _error_file("error"), times=99),
    ]
    with pytest.raises(PullIncomplete, match="reports 1 errors") as raised:
        exporting(faulty.base_url)
    assert "i-001" not in str(raised.value)
    assert landing.find("site", PULL) is None
    manifest = exporting(faulty.base_url, tolerate_export_errors=True)
    assert any("reports 1 errors" in note for note in manifest.notes)
    assert [file.rows for file, _ in landing.paths(manifest, role="error")] == [1]


def test_remarks_of_the_server_are_landed_and_do_no_harm(
    faulty: FaultyServer, exporting: Callable[..., Manifest], landing: LandingZone
) -> None:
    faulty.faults += [
        Fault(STATUS, _with_error("information"), times=99),
        Fault(at("/information.ndjson"), _error_file("information")),
    ]
    manifest = exporting(faulty.base_url)
    assert len(landing.paths(manifest, role="error")) == 1
    assert "OperationOutcome" not in manifest.counts


def test_deletions_and_pages_of_the_manifest_are_read(
    faulty: FaultyServer, exporting: Callable[..., Manifest], landing: LandingZone
) -> None:
    def first(seen: Seen, reply: Reply) -> Reply:
        if reply.status != 200:
            return reply
        body = reply.json
        page, rest = body["output"][:2], body["output"][2:]
        if "page=2" in seen.path:
            url = rest[0]["url"].rsplit("/", 1)[0] + "/gone.ndjson"
            return reply.with_json({**body, "output": rest, "deleted": [{"type": "Bundle", "url": url, "count": 1}]})
        link = {"relation": "next", "url": f"{faulty.root_url}{seen.path}?page=2"}
        return reply.with_json({**body, "output": page, "link": [link]})

    entry = {"request": {"method": "DELETE", "url": "Patient/i-404"}}
    gone = orjson.dumps({"resourceType": "Bundle", "type": "transaction", "entry": [entry]}) + b"\n"
    faulty.faults += [
        Fault(STATUS, first, times=99),
        Fault(at("/gone.ndjson"), lambda seen, reply: Reply(200, {}, gone)),
    ]
    manifest = exporting(faulty.base_url)
    assert_whole(landing, manifest)
    [(_, path)] = landing.paths(manifest, role="deleted")
    assert list(read_lines(path)) == [gone]
    assert "Bundle" not in manifest.counts


def _files_elsewhere(host: FaultyServer, *, token: bool) -> Callable[[Seen, Reply], Reply]:
    def act(seen: Seen, reply: Reply) -> Reply:
        if reply.status != 200:
            return reply
        body = {**reply.json, "requiresAccessToken": token}
        for entry in body["output"]:
            entry["url"] = host.root_url + entry["url"].split("/", 3)[3].join(["/", ""])
        return reply.with_json(body)

    return act


def test_the_token_goes_to_no_other_origin(
    server: FhirServer, faulty: FaultyServer, exporting: Callable[..., Manifest], landing: LandingZone
) -> None:
    auth = Auth(kind="bearer", secret="s3cret-token")
    with FaultyServer(server.root_url) as host:
        faulty.faults[:] = [Fault(STATUS, _files_elsewhere(host, token=True), times=99)]
        with pytest.raises(SourceMisbehaved, match="another origin"):
            exporting(faulty.base_url, auth=auth, pull_id="refused")
        assert host.seen == []
        faulty.faults[:] = [Fault(STATUS, _files_elsewhere(host, token=False), times=99)]
        assert_whole(landing, exporting(faulty.base_url, auth=auth, pull_id="without"))
        assert host.seen
        assert {seen.token for seen in host.seen} == {None}
        faulty.faults[:] = [Fault(STATUS, _files_elsewhere(host, token=True), times=99)]
        assert_whole(landing, exporting(faulty.base_url, auth=auth, pull_id="trusted", token_origins=(host.root_url,)))
        assert host.seen[-1].token == "Bearer s3cret-token"


@pytest.mark.parametrize("where", ["status", "redirected status", "next page of the manifest"])
def test_no_link_of_the_job_takes_the_token_to_another_origin(
    where: str, server: FhirServer, faulty: FaultyServer, exporting: Callable[..., Manifest]
) -> None:
    with FaultyServer(server.root_url) as thief:

        def status_elsewhere(seen: Seen, reply: Reply) -> Reply:
            url = reply.headers["content-location"].replace(faulty.root_url, thief.root_url)
            return Reply(reply.status, {**reply.headers, "content-location": url}, reply.body)

        def next_elsewhere(seen: Seen, reply: Reply) -> Reply:
            link = {"relation": "next", "url": f"{thief.root_url}{seen.path}?page=2"}
            return reply.with_json({**reply.json, "link": [link]}) if reply.status == 200 else reply

        faulty.faults.append(
            {
                "status": Fault(KICK_OFF, status_elsewhere, times=99),
                "redirected status": Fault(STATUS, redirect(lambda seen: thief.root_url + seen.path), times=99),
                "next page of the manifest": Fault(STATUS, next_elsewhere, times=99),
            }[where]
        )
        with pytest.raises(SourceMisbehaved, match="another origin"):
            exporting(faulty.base_url, auth=Auth(kind="bearer", secret="s3cret-token"))
        assert thief.seen == []


def test_a_file_host_that_redirects_gets_no_token(
    server: FhirServer, faulty: FaultyServer, exporting: Callable[..., Manifest], landing: LandingZone
) -> None:
    with FaultyServer(server.root_url) as store:
        faulty.faults += [
            Fault(STATUS, rewrite(lambda body: {**body, "requiresAccessToken": False}), times=99, skip=1),
            Fault(FILES, redirect(lambda seen: store.root_url + seen.path), times=99),
        ]
        assert_whole(landing, exporting(faulty.base_url, auth=Auth(kind="bearer", secret="s3cret-token")))
        assert {seen.token for seen in store.seen} == {None}


def test_files_that_want_the_token_although_the_manifest_denies_it_get_it_on_our_own_origin(
    faulty: FaultyServer, exporting: Callable[..., Manifest], landing: LandingZone
) -> None:
    def want(seen: Seen, reply: Reply) -> Reply:
        return reply if seen.token else Reply.outcome(401)

    faulty.faults += [Fault(FILES, want, times=10_000)]
    assert_whole(landing, exporting(faulty.base_url, auth=Auth(kind="bearer", secret="token")))


def test_an_export_that_nobody_may_have_is_refused(faulty: FaultyServer, exporting: Callable[..., Manifest]) -> None:
    faulty.faults.append(Fault(KICK_OFF, status(403), times=10_000))
    with pytest.raises(CredentialsRefused):
        exporting(faulty.base_url)


def test_a_type_filter_narrows_the_export(server: FhirServer, exporting: Callable[..., Manifest]) -> None:
    manifest = exporting(server.base_url, type_filters=("Condition?code=http://hl7.org/fhir/sid/icd-10-cm|G40.822",))
    assert manifest.counts["Condition"] == cohort.INFANTS


@pytest.mark.parametrize("since", [None, "2020-01-01T00:00:00Z"], ids=["full", "increment"])
@pytest.mark.parametrize("way", ["no file", "an empty file"])
def test_a_type_filter_that_silently_matches_nothing_is_noticed(
    way: str, since: str | None, faulty: FaultyServer, exporting: Callable[..., Manifest], landing: LandingZone
) -> None:
    def without(seen: Seen, reply: Reply) -> Reply:
        if reply.status != 200:
            return reply
        body = reply.json
        if way == "no file":
            output = [e for e in body["output"] if e["type"] != "Condition"]
        else:
            output = [{**e, "count": 0} if e["type"] == "Condition" else e for e in body["output"]]
        return reply.with_json({**body, "output": output})

    changed = rewrite(lambda body: {**body, "total": 1})  # since then; and more of all time
    faulty.faults += [
        Fault(STATUS, without, times=99),
        Fault(at("/Condition.ndjson"), lambda seen, reply: Reply(200, reply.headers, b""), times=99),
        Fault(at("_lastUpdated"), changed, times=99),
    ]
    only = ("Condition?code=http://hl7.org/fhir/sid/icd-10-cm|G40.822",)
    with pytest.raises(SourceMisbehaved, match="type filter of Condition gave no row"):
        exporting(faulty.base_url, type_filters=only, since=since)
    assert landing.find("site", PULL) is None
    if since:
        faulty.faults.pop()  # a search that doesn't narrow by date proves nothing
        manifest = exporting(faulty.base_url, type_filters=only, since=since, pull_id="remark")
        assert any("type filter gave no row" in note for note in manifest.notes)


def test_an_export_that_takes_too_long_is_given_up_and_taken_up_again(
    faulty: FaultyServer, exporting: Callable[..., Manifest], landing: LandingZone
) -> None:
    faulty.faults.append(Fault(STATUS, lambda seen, reply: Reply(202, {}, b""), times=10_000))
    with pytest.raises(PullIncomplete, match="did not finish") as raised:
        exporting(faulty.base_url, export_hours=0.0001)
    assert isinstance(raised.value, IessError)
    assert raised.value.retriable
    faulty.faults.clear()
    assert_whole(landing, exporting(faulty.base_url))
    assert len(faulty.requests("$export")) == 1
