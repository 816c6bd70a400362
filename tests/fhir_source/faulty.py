"""A faulty server, for tests: a proxy on loopback that breaks chosen answers of the real FHIR server behind it.

Speaks HTTP/1.1 on a raw socket, since half of the faults (a connection cut in the middle of a body, a drip, a wrong
gzip stream) are things that a web framework won't do. One request a connection.
"""

from __future__ import annotations

import asyncio
import gzip
import ssl
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import orjson

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


@dataclass
class Seen:
    """One request as it arrived."""

    method: str
    path: str  # with the query
    headers: dict[str, str]
    body: bytes = b""

    @property
    def token(self) -> str | None:
        return self.headers.get("authorization")

    @property
    def search(self) -> str:
        """Query and form together, for rules."""
        return f"{urlsplit(self.path).query}&{self.body.decode(errors='replace')}"


@dataclass
class Reply:
    """What goes out. `length` may lie; `cut` closes the connection after so many bytes; `pause` is per 64 bytes."""

    status: int
    headers: dict[str, str]
    body: bytes
    cut: int | None = None
    stall: bool = False  # when cut: keep silent instead of closing
    drip: float = 0.0

    @classmethod
    def outcome(cls, status: int, **headers: str) -> Reply:
        body = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "processing"}]}
        return cls(status, {"content-type": "application/fhir+json", **headers}, orjson.dumps(body))

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    def with_json(self, body: Any) -> Reply:
        return Reply(self.status, self.headers, orjson.dumps(body))


@dataclass
class Fault:
    """Breaks the answers to requests that match, `times` of them after the first `skip`."""

    matches: Callable[[Seen], bool]
    act: Callable[[Seen, Reply], Reply]
    times: int = 1
    skip: int = 0
    met: int = 0

    def applies(self, seen: Seen) -> bool:
        if not self.matches(seen):
            return False
        self.met += 1
        return self.skip < self.met <= self.skip + self.times


@dataclass
class FaultyServer:
    """`with FaultyServer(server.root_url) as faulty:`; pull from `faulty.base_url`. Faults may be added at any time."""

    upstream: str
    faults: list[Fault] = field(default_factory=list)
    ranges: bool = False  # answer Range requests and send an ETag, as file servers do
    seen: list[Seen] = field(default_factory=list)
    sent: list[tuple[str, int]] = field(default_factory=list)  # path and bytes of good answers that went out whole
    port: int = 0
    tls: ssl.SSLContext | None = None

    def __enter__(self) -> FaultyServer:
        started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(started)), daemon=True)
        self._thread.start()
        started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    @property
    def root_url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        return f"{self.root_url}/fhir"

    def requests(self, part: str = "") -> list[Seen]:
        return [seen for seen in self.seen if part in seen.path]

    async def _serve(self, started: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        async with httpx.AsyncClient(timeout=60, trust_env=False) as self._client:
            server = await asyncio.start_server(self._connection, "127.0.0.1", 0, ssl=self.tls)
            self.port = server.sockets[0].getsockname()[1]
            started.set()
            await self._stop.wait()
            server.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            seen = await _read(reader)
            self.seen.append(seen)
            reply = self._ranged(seen, await self._forward(seen))
            for fault in self.faults:
                if fault.applies(seen):
                    reply = fault.act(seen, reply)
            await self._write(seen, reply, writer)
        except (ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
            return  # the client went away: nothing to answer
        finally:
            writer.close()

    async def _forward(self, seen: Seen) -> Reply:
        headers = {name: value for name, value in seen.headers.items() if name not in ("host", "accept-encoding")}
        answer = await self._client.request(seen.method, self.upstream + seen.path, headers=headers, content=seen.body)
        kept = {
            name: value.replace(self.upstream, self.root_url)
            for name, value in answer.headers.items()
            if name not in ("content-length", "transfer-encoding", "connection", "content-encoding", "server")
        }
        return Reply(answer.status_code, kept, answer.content.replace(self.upstream.encode(), self.root_url.encode()))

    def _ranged(self, seen: Seen, reply: Reply) -> Reply:
        if not self.ranges or reply.status != 200:
            return reply
        reply.headers["etag"] = f'"{len(reply.body)}"'
        wanted = seen.headers.get("range", "")
        if not wanted.startswith("bytes="):
            return reply
        start = int(wanted[6:].split("-")[0])
        headers = {**reply.headers, "content-range": f"bytes {start}-{len(reply.body) - 1}/{len(reply.body)}"}
        return Reply(206, headers, reply.body[start:])

    async def _write(self, seen: Seen, reply: Reply, writer: asyncio.StreamWriter) -> None:
        head = {**reply.headers, "content-length": str(len(reply.body)), "connection": "close"}
        lines = [f"HTTP/1.1 {reply.status} x", *(f"{name}: {value}" for name, value in head.items()), "", ""]
        writer.write("\r\n".join(lines).encode())
        body = reply.body if reply.cut is None else reply.body[: reply.cut]
        step = 64 if reply.drip else max(1, len(body))
        for start in range(0, len(body), step):
            writer.write(body[start : start + step])
            await writer.drain()
            if reply.drip:
                await asyncio.sleep(reply.drip)
        await writer.drain()
        if reply.cut is None and reply.status < 300:
            self.sent.append((seen.path, len(body)))
        elif reply.cut is not None and reply.stall:
            await asyncio.wait_for(self._stop.wait(), 30)


async def _read(reader: asyncio.StreamReader) -> Seen:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = head[0].split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Seen(method, path, headers, body)


def at(part: str, method: str | None = None) -> Callable[[Seen], bool]:
    """Requests whose path has this part."""
    return lambda seen: part in seen.path and method in (None, seen.method)


def status(code: int, **headers: str) -> Callable[[Seen, Reply], Reply]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda seen, reply: Reply.outcome(code, **named)


def cut(share: float, *, stall: bool = False) -> Callable[[Seen, Reply], Reply]:
    """Stop after a share of the body: the connection drops, or stalls."""

    def act(seen: Seen, reply: Reply) -> Reply:
        return Reply(reply.status, reply.headers, reply.body, cut=int(len(reply.body) * share), stall=stall)

    return act


def packed(share: float = 1.0) -> Callable[[Seen, Reply], Reply]:
    """Send gzip, whole or truncated, with a Content-Length that fits what is sent."""

    def act(seen: Seen, reply: Reply) -> Reply:
        body = gzip.compress(reply.body)
        return Reply(reply.status, {**reply.headers, "content-encoding": "gzip"}, body[: int(len(body) * share)])

    return act


def rewrite(change: Callable[[Any], Any]) -> Callable[[Seen, Reply], Reply]:
    """Change the JSON of an answer."""
    return lambda seen, reply: reply.with_json(change(reply.json))


def redirect(url: Callable[[Seen], str], code: int = 307) -> Callable[[Seen, Reply], Reply]:
    return lambda seen, reply: Reply(code, {"location": url(seen)}, b"")
