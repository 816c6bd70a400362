"""Download one file of an export, checking it on the way into the landing zone.

Nothing is believed: the answer may be an OperationOutcome with status 200, another type than the manifest says, fewer
rows than it counted, or a gzip stream that was cut. A dropped connection goes on where it broke when the server can
do that.
"""

from __future__ import annotations

import asyncio
import re
import zlib
from collections import Counter
from typing import TYPE_CHECKING

import orjson

from fhir_source.bulk_job import ExportFile, Gone
from fhir_source.errors import CredentialsRefused, PullIncomplete, SourceMisbehaved
from fhir_source.instants import parse
from fhir_source.lines import resource_type
from fhir_source.pacing import Pace
from fhir_source.transport import Refused, Request, Transient
from fhir_source.unpacking import Unpacker

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    import httpx

    from fhir_source.transport import Transport
    from fhir_source.writer import PullWriter, Spool, Unit

_NDJSON = "application/fhir+ndjson"
_STATUSES = frozenset({200, 206})
_NOT_THERE, _EXPIRED = 404, 410
_A_MOMENT = 2.0  # seconds
_LAST_UPDATED = re.compile(rb'"lastUpdated"\s*:\s*"([^"]{20,40})"')
_SEVERE = ("fatal", "error")


async def download(
    transport: Transport,
    writer: PullWriter,
    file: ExportFile,
    *,
    unit: str,
    path: str,
    token: bool,
    since: str | None,
    progress: Callable[[str, int], None] | None,
) -> Unit:
    """Land one file. Raises Gone when it has expired, PullIncomplete when it stays shorter than was counted."""
    origin_name = file.url.split("?")[0].rsplit("/", 1)[-1]
    with writer.spool(unit, role=file.role, origin=origin_name) as spool:
        lines = _Lines(spool, parse(since) if file.role == "output" else None, errors=file.role == "error")
        reader = _Reader(file, lines, transport.source.timeout_seconds)
        await _unless_gone(transport, reader, token=token)
        if progress:
            progress(file.type or "unknown", spool.rows)
        notes = []
        if lines.older:
            notes.append(f"{file.type}: rows older than _since: history of new members, or _since was not honoured")
        if file.role == "deleted" and file.count not in (None, lines.types.total()):
            notes.append("a file of deletions has another number of lines than the manifest counts")
        kind = file.type if file.type and set(lines.types) <= {file.type} else None
        return spool.finish(path, kind, errors=lines.errors, types=dict(lines.types), notes=notes)


async def _unless_gone(transport: Transport, reader: _Reader, *, token: bool) -> None:
    """A file that is not there is asked for once more before it is given up, and with it all that was downloaded:
    object stores give 404 for a moment.
    """
    for last in (False, True):
        try:
            return await _through(transport, reader, token=token)
        except Refused as refused:
            if refused.status == _EXPIRED or (refused.status == _NOT_THERE and last):
                raise Gone from None
            if refused.status != _NOT_THERE:
                raise
        await asyncio.sleep(min(_A_MOMENT, transport.source.max_wait_seconds))
    return None


async def _through(transport: Transport, reader: _Reader, *, token: bool) -> None:
    """With the token if the manifest wants it; and with it, too, where a file turns out to need it after all."""
    request = Request(reader.file.url, headers=reader.headers, statuses=_STATUSES, token=token)
    try:
        await transport.exchange(request, reader.read)
    except CredentialsRefused:
        if not token and transport.may_have_token(request.url):
            again = Request(request.url, headers=reader.headers, statuses=_STATUSES, token=True)
        elif token and transport.authoriser.widen():
            again = request
        else:
            raise
        await transport.exchange(again, reader.read)


class _Lines:
    """Takes the bytes of a file as they come, writes whole lines, counts what they are."""

    def __init__(self, spool: Spool, since: datetime | None, *, errors: bool) -> None:
        self.types: Counter[str] = Counter()
        self.received = 0  # bytes of the body as transferred, to go on from
        self.errors = 0  # issues of severity error or fatal, in a file of errors
        self.older = False  # a row was last updated before `since`
        self._spool = spool
        self._since = since
        self._read_errors = errors
        self._rest = bytearray()
        self._unpacker = Unpacker(packed=False)

    def restart(self, *, packed: bool) -> None:
        self.types.clear()
        self.received = 0
        self.errors = 0
        self._rest = bytearray()
        self._spool.restart()
        self._unpacker = Unpacker(packed=packed)

    def feed(self, chunk: bytes) -> None:
        """Raises Transient when a packed stream is damaged."""
        self.received += len(chunk)
        try:
            self._take(self._unpacker.feed(chunk))
        except zlib.error:
            raise Transient("a file's gzip stream is damaged", ends_as=PullIncomplete) from None

    def close(self) -> None:
        """Raises Transient when a packed stream or the last line was cut short."""
        try:
            self._take(self._unpacker.close())
        except (EOFError, zlib.error):
            raise Transient("a file ended in the middle of its gzip stream", ends_as=PullIncomplete) from None
        if self._rest:
            if not _is_json(self._rest):
                raise Transient("a file ended in the middle of a line", ends_as=PullIncomplete)
            self._take(b"\n")

    def _take(self, data: bytes) -> None:
        end = data.rfind(b"\n") + 1  # in what is new only: a resource of 40 MB comes in hundreds of pieces
        if not end:
            self._rest += data
            return
        block = bytes(self._rest) + data[:end]
        self._rest = bytearray(data[end:])
        lines = [line for line in block.split(b"\n") if line.strip()]
        self.types.update(resource_type(line) or "unknown" for line in lines)
        self._spool.write(block, len(lines))
        if self._read_errors:
            self.errors += sum(_severe_issues(line) for line in lines)
        if self._since and not self.older:
            self.older = any(_before(stamp, self._since) for stamp in _LAST_UPDATED.findall(block))


class _Reader:
    """Reads a file through as many connections as it takes."""

    def __init__(self, file: ExportFile, lines: _Lines, patience: float) -> None:
        self.file = file
        self._lines = lines
        self._patience = patience
        self._validator: str | None = None  # the version of the file that has been read in part

    def headers(self) -> dict[str, str]:
        wanted = {"Accept": _NDJSON, "Accept-Encoding": "gzip"}
        if self._validator and self._lines.received:
            return {**wanted, "Range": f"bytes={self._lines.received}-", "If-Range": self._validator}
        return wanted

    async def read(self, response: httpx.Response) -> None:
        """Raises Transient for whatever is wrong; the next attempt goes on or starts anew."""
        if response.status_code == 206:
            self._must_continue(response)
        else:
            self._start(response)
        pace = Pace(self._patience)
        async for chunk in response.aiter_raw():
            # Packing is most of the work and leaves the interpreter's lock: other files go on meanwhile.
            await asyncio.to_thread(self._lines.feed, chunk)
            if pace.too_slow(len(chunk)):
                raise Transient("a file drips in too slowly")
        await asyncio.to_thread(self._lines.close)
        fault = self._fault()
        if fault:
            self._validator = None  # what is wrong may be anywhere in the file
            raise fault

    def _start(self, response: httpx.Response) -> None:
        encoding = response.headers.get("content-encoding", "identity").lower()
        if encoding not in ("identity", "gzip", "x-gzip"):
            raise Transient("a file comes in an encoding that was not asked for", ends_as=SourceMisbehaved)
        packed = encoding != "identity"
        self._lines.restart(packed=packed)
        etag = response.headers.get("etag")
        strong = etag if etag and not etag.startswith("W/") else None
        # A packed transfer starts anew: servers give the packed and the plain file the same validator.
        self._validator = None if packed else strong or response.headers.get("last-modified")

    def _must_continue(self, response: httpx.Response) -> None:
        if not response.headers.get("content-range", "").startswith(f"bytes {self._lines.received}-"):
            self._validator = None
            raise Transient("a file did not go on where it broke off")

    def _fault(self) -> Transient | None:
        types, wanted = self._lines.types, self.file.type
        if self.file.role != "error" and types["OperationOutcome"] and wanted != "OperationOutcome":
            return Transient("an OperationOutcome came instead of resources", ends_as=PullIncomplete)
        if self.file.role == "output" and wanted and set(types) - {wanted, "unknown"}:
            return Transient(f"a file of {wanted} holds another type", ends_as=SourceMisbehaved)
        if self.file.role != "error" and 0 < types.total() == types["unknown"]:
            return Transient("something came that is no FHIR resource", ends_as=PullIncomplete)
        # In a file of deletions some servers count resources, some Bundles: a difference is a remark.
        if self.file.count is not None and types.total() != self.file.count and self.file.role != "deleted":
            what = f"a file of {wanted or self.file.role} has {types.total()} rows of {self.file.count}"
            return Transient(what, ends_as=PullIncomplete)
        return None


def _is_json(line: bytearray) -> bool:
    if not line.strip():
        return True
    try:
        orjson.loads(line)
    except ValueError:
        return False
    return True


def _severe_issues(line: bytes) -> int:
    try:
        outcome = orjson.loads(line)
    except ValueError:
        return 1
    issues = outcome.get("issue") if isinstance(outcome, dict) else None
    if not isinstance(issues, list):
        return 1
    return sum(isinstance(issue, dict) and issue.get("severity") in _SEVERE for issue in issues)


def _before(stamp: bytes, since: datetime) -> bool:
    when = parse(stamp.decode(errors="replace"))
    return when is not None and when < since
