"""A second FHIR server for tests, small and odd: true to the specification, in ways that few clients meet.

Nothing is shared with the server behind `faulty`: rows in memory, a search of its own, paging of its own, an export of
its own. What it does is drawn from a seed (`Ways`), and so are the errors that it injects.
"""

from __future__ import annotations

import gzip
import json
import random
import threading
import time
from dataclasses import dataclass, field, fields
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from fhir_source.source import IN_SCOPE_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN_SECONDS = 2
_MODES = {"patient": "subject", "subject": "subject", "beneficiary": "beneficiary", "practitioner": "practitioner"}


@dataclass(frozen=True)
class Ways:
    """What this server does where the specification leaves a choice, or where servers stray."""

    next: str = (
        "absolute"  # absolute, relative, rooted, query, opaque (by an id alone, at the base), post (by POST only)
    )
    total: str = "exact"  # exact, absent, estimate (too high)
    empty: str = "no entry"  # of a search without rows: no entry, null, outcome
    content_type: str = "application/fhir+json"
    packed: bool = False  # gzip, although nobody need ask
    chunked: bool = False
    modes: bool = True  # search.mode, fullUrl and the self link are there
    cap: int = 1000  # rows a page at most, whatever _count says
    post: bool = True
    typed_ids: bool = False  # patient=Patient/1 alone, as many do
    status: str = "content-location"  # header of the kick-off, in this spelling
    relative: bool = False  # URLs of the status and of the export's files
    requires: object = True  # requiresAccessToken, possibly as a string, or absent (None)
    counts: bool = True  # in the export's manifest
    parts: int = 1  # files of a type
    retry: str = ""  # Retry-After of a running export
    auth: bool = True
    reference: bool = False  # as strict, and as short of words, as the SMART reference server for Bulk Data
    errors: float = 0.0  # share of answers that are broken

    @classmethod
    def drawn(cls, seed: int, *, errors: float = 0.0) -> Ways:
        dice = random.Random(seed)  # noqa: S311 - a reproducible test
        choices: dict[str, list[Any]] = {
            "next": ["absolute", "relative", "rooted", "query", "opaque", "post"],
            "total": ["exact", "absent", "estimate"],
            "empty": ["no entry", "null", "outcome"],
            "content_type": ["application/fhir+json", "application/json", "application/json;charset=utf-8"],
            "cap": [1000, 10],
            "status": ["Content-Location", "content-location", "LOCATION"],
            "requires": [True, False, "true", "false", None],
            "parts": [1, 3],
        }
        for part in fields(cls):
            if part.type == "bool" and part.name != "reference":
                choices[part.name] = [False, True]
        return cls(errors=errors, **{name: dice.choice(values) for name, values in sorted(choices.items())})


@dataclass
class OddServer:
    """`with OddServer(rows, ways) as odd:`; pull from `odd.base_url`."""

    rows: list[dict[str, Any]]
    ways: Ways
    seed: int = 0
    seen: list[tuple[str, str]] = field(default_factory=list)  # method and path of each request
    tokens: dict[str, float] = field(default_factory=dict)  # and when they end
    sessions: dict[str, tuple[str, list[tuple[str, str]], int]] = field(default_factory=dict)
    jobs: dict[str, int] = field(default_factory=dict)  # looks at each
    deleted: list[str] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)  # export files that went out whole
    issued: int = 0
    silent: bool = False  # about itself: no CapabilityStatement
    busy: str = ""  # Retry-After of a token endpoint that gives no token for now

    def __enter__(self) -> OddServer:
        self.dice = random.Random(self.seed)  # noqa: S311 - a reproducible test
        self.lock = threading.Lock()
        self._server = _Quiet(("127.0.0.1", 0), type("Handler", (_Handler,), {"odd": self}))
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def kinds(self) -> list[str]:
        """Types of which there are resources."""
        return sorted({row["resourceType"] for row in self.rows})

    @property
    def root_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def base_url(self) -> str:
        return f"{self.root_url}/api/fhir/r4"

    def found(self, kind: str, query: list[tuple[str, str]]) -> list[dict[str, Any]]:
        """The rows of a search, all parameters but those of the result."""
        found = [row for row in self.rows if row["resourceType"] == kind]
        for name, value in query:
            if not name.startswith("_") or name in ("_id", "_lastUpdated"):
                wanted = set(value.split(","))
                found = [row for row in found if self._answers(row, name, wanted)]
        return found

    def _answers(self, row: dict[str, Any], name: str, wanted: set[str]) -> bool:
        if name == "_id":
            return row["id"] in wanted
        if name == "_lastUpdated":
            return str(row.get("meta", {}).get("lastUpdated", "9")) >= next(iter(wanted)).removeprefix("ge")
        if name == "code":
            return any(f"{code['system']}|{code['code']}" in wanted for code in row.get("code", {}).get("coding", []))
        reference = str(row.get(_MODES.get(name, name), {}).get("reference", ""))
        return reference in wanted or (not self.ways.typed_ids and reference.rpartition("/")[2] in wanted)


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients hang up; a mistake of this server shows as an answer that never comes."""


class _Handler(BaseHTTPRequestHandler):
    odd: OddServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        return

    def do_GET(self) -> None:
        self._answer(b"")

    def do_DELETE(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("content-length", "0"))))

    def _answer(self, body: bytes) -> None:
        odd, ways = self.odd, self.odd.ways
        parts = urlsplit(self.path)
        path = parts.path.removeprefix("/api/fhir/r4").strip("/")
        with odd.lock:
            odd.seen.append((self.command, self.path))
            broken = odd.dice.random() < ways.errors and not path.startswith("$export")
            how = odd.dice.choice(("429", "429 date", "500", "502", "503", "drop", "half", "html")) if broken else ""
        if how == "drop":
            self.close_connection = True
            return None
        if how in ("429", "429 date", "500", "502", "503"):
            when = self.date_time_string() if how == "429 date" else "0"
            return self._send(int(how[:3]), b"", {"retry-after": when})
        if how == "html":
            return self._send(200, b"<html>be right back</html>", {"content-type": "text/html"})
        return self._route(path, parse_qsl(parts.query), body, half=how == "half")

    def _route(self, path: str, query: list[tuple[str, str]], body: bytes, *, half: bool) -> None:
        odd = self.odd
        if path == ".well-known/smart-configuration":
            return self._json(200, {"token_endpoint": f"{odd.root_url}/token"})
        if self.path == "/token":
            if odd.busy:
                return self._send(429, b"", {"Retry-After": odd.busy})
            asked = dict(parse_qsl(body.decode())).get("scope", "")
            if odd.ways.reference and any(f"/{kind}." in asked for kind in IN_SCOPE_TYPES if kind not in odd.kinds):
                return self._json(400, {"error": "invalid_scope"})
            with odd.lock:
                odd.issued += 1
                token = f"token-{odd.issued}"
                odd.tokens[token] = time.monotonic() + TOKEN_SECONDS
            if odd.issued == 2:
                return self._send(429, b"", {"Retry-After": "0"})
            return self._json(200, {"access_token": token, "token_type": "bearer", "expires_in": str(TOKEN_SECONDS)})
        if path == "metadata":
            return self._send(404, b"", {}) if odd.silent else self._json(200, self._statement())
        given = self.headers.get("authorization", "").removeprefix("Bearer ")
        wanted = odd.ways.auth and not (path.startswith("out/") and odd.ways.requires in (False, "false"))
        if wanted and odd.tokens.get(given, 0.0) < time.monotonic():
            return self._json(401, {"resourceType": "OperationOutcome", "issue": []})
        if path.split("/")[0] in ("$export", "jobs", "out"):
            return self._export(path, query, half=half)
        return self._search(path, [*query, *parse_qsl(body.decode())], half=half)

    def _statement(self) -> dict[str, Any]:
        if self.odd.ways.reference:
            declared: list[dict[str, Any]] = [{"type": "Patient"}, {"type": "Group"}, {"type": "OperationDefinition"}]
            return {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": [{"resource": declared}]}
        resources = [
            {"type": kind, "interaction": [{"code": "search-type"}, {"code": "read"}]} for kind in self.odd.kinds
        ]
        return {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": [{"resource": resources}]}

    def _search(self, path: str, query: list[tuple[str, str]], *, half: bool) -> None:
        odd, ways = self.odd, self.odd.ways
        kind, _, rest = path.partition("/")
        start = int(dict(query).get("_offset", "0"))
        if session := dict(query).get("_page"):
            kind, query, start = odd.sessions[session]
        elif rest == "_search":
            if self.command != "POST" or not ways.post:
                return self._send(405, b"", {})
        elif rest:
            row = next((row for row in odd.rows if row["resourceType"] == kind and row["id"] == rest), None)
            return self._json(200, row) if row else self._send(404, b"", {})
        if odd.silent and kind not in {row["resourceType"] for row in odd.rows}:
            return self._send(404, b"", {})
        found = odd.found(kind, query)
        if dict(query).get("_summary") == "count":
            return self._json(200, {"resourceType": "Bundle", "type": "searchset", "total": len(found)})
        size = min(int(dict(query).get("_count", "20")), ways.cap)
        page: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset", "link": []}
        page["entry"] = [self._entry(row) for row in found[start : start + size]]
        if ways.total != "absent":
            page["total"] = len(found) + (3 if ways.total == "estimate" and len(found) > size else 0)
        if ways.modes:
            page["link"].append({"relation": "self", "url": f"{odd.base_url}/{kind}?{urlencode(query)}"})
        if start + size < len(found):
            page["link"].append({"relation": "next", "url": self._next(kind, query, start + size, rest)})
        if not found:
            self._make_empty(page)
        return self._json(200, page, half=half)

    def _make_empty(self, page: dict[str, Any]) -> None:
        del page["entry"]
        if self.odd.ways.empty == "null":
            page["entry"] = None
        elif self.odd.ways.empty == "outcome":
            issue = [{"severity": "warning", "code": "not-found"}]
            page["entry"] = [{"resource": {"resourceType": "OperationOutcome", "issue": issue}}]

    def _entry(self, row: dict[str, Any]) -> dict[str, Any]:
        if not self.odd.ways.modes:
            return {"resource": row}
        url = f"{self.odd.base_url}/{row['resourceType']}/{row['id']}"
        return {"fullUrl": url, "resource": row, "search": {"mode": "match"}}

    def _next(self, kind: str, query: list[tuple[str, str]], start: int, rest: str) -> str:
        odd = self.odd
        plain = [pair for pair in query if pair[0] != "_offset"]
        offset = urlencode([*plain, ("_offset", str(start))])
        if odd.ways.next == "opaque":
            with odd.lock:
                name = f"s{len(odd.sessions)}"
                odd.sessions[name] = (kind, plain, start)
            return f"{odd.base_url}?_page={name}"
        if odd.ways.next == "post" and rest:
            return f"{odd.base_url}/{kind}/_search?_offset={start}"
        return {
            "relative": f"{kind}?{offset}",
            "rooted": f"/api/fhir/r4/{kind}?{offset}",
            "query": f"?{offset}" if not rest else f"{kind}?{offset}",
        }.get(odd.ways.next, f"{odd.base_url}/{kind}?{offset}")

    def _export(self, path: str, query: list[tuple[str, str]], *, half: bool) -> None:
        odd, ways = self.odd, self.odd.ways
        prefix = "" if ways.relative else f"{odd.root_url}"
        if path == "$export":
            unknown = [kind for kind in dict(query)["_type"].split(",") if kind not in odd.kinds]
            if ways.reference and self.headers["accept"] != "application/fhir+json":
                return self._json(400, {"issue": [{"diagnostics": "The Accept header must be application/fhir+json"}]})
            if ways.reference and unknown:
                return self._json(400, {"issue": [{"diagnostics": f'The type "{unknown[0]}" is not available here'}]})
            with odd.lock:
                job = f"j{len(odd.jobs)}"
                odd.jobs[job] = 0
            kinds = dict(query)["_type"].replace(",", "-")
            return self._send(202, b"", {ways.status: f"{prefix}/api/fhir/r4/jobs/{job}?kinds={kinds}"})
        if path.startswith("jobs/"):
            return self._job(path.removeprefix("jobs/"), query, prefix)
        _, kind, number = path.split("/")
        rows = [row for row in odd.rows if row["resourceType"] == kind][int(number) :: ways.parts]
        text = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
        self._send(200, text, {"content-type": "application/fhir+ndjson"}, half=half)
        if not half:
            odd.sent.append(path)
        return None

    def _job(self, job: str, query: list[tuple[str, str]], prefix: str) -> None:
        odd, ways = self.odd, self.odd.ways
        if self.command == "DELETE":
            odd.deleted.append(job)
            return self._send(202, b"", {})
        odd.jobs[job] += 1
        if odd.jobs[job] < 3:
            return self._send(202, b"", {"x-progress": "50%", **({"retry-after": ways.retry} if ways.retry else {})})
        output = []
        for kind in dict(query)["kinds"].split("-"):
            rows = [row for row in odd.rows if row["resourceType"] == kind]
            for number in range(ways.parts if rows else 0):
                url = f"{prefix}/api/fhir/r4/out/{kind}/{number}"
                count = {"count": len(rows[number :: ways.parts])} if ways.counts else {}
                output.append({"type": kind, "url": url, **count})
        body: dict[str, Any] = {"transactionTime": "2026-11-23T06:59:58.123+00:00", "request": "", "output": output}
        if ways.requires is not None:
            body["requiresAccessToken"] = ways.requires
        return self._json(200, {**body, "error": []})

    def _json(self, status: int, body: dict[str, Any], *, half: bool = False) -> None:
        self._send(status, json.dumps(body).encode(), {"content-type": self.odd.ways.content_type}, half=half)

    def _send(self, status: int, body: bytes, headers: dict[str, str], *, half: bool = False) -> None:
        ways = self.odd.ways
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if ways.packed and body and "gzip" in self.headers.get("accept-encoding", ""):
            body = gzip.compress(body)
            self.send_header("content-encoding", "gzip")
        if ways.chunked:
            self.send_header("transfer-encoding", "chunked")
        else:
            self.send_header("content-length", str(len(body)))
        self.end_headers()
        for piece in _pieces(body[: len(body) // 2] if half else body):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if ways.chunked else piece)
        if half:
            self.close_connection = True
        elif ways.chunked:
            self.wfile.write(b"0\r\n\r\n")


def _pieces(body: bytes) -> Iterator[bytes]:
    for start in range(0, len(body), 1000):
        yield body[start : start + 1000]
