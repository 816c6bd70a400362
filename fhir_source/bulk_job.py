"""The job of a Bulk Data export on the server: kick-off, looks at its progress, its manifest, its end."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urljoin

from fhir_source.errors import (
    CredentialsRefused,
    IessError,
    PullIncomplete,
    SettingsError,
    SourceMisbehaved,
    SourceUnreachable,
)
from fhir_source.instants import iso, parse
from fhir_source.pacing import retry_after
from fhir_source.transport import Answer, Refused, Request, Transient

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import httpx

    from fhir_source.landing import Role
    from fhir_source.source import Source
    from fhir_source.transport import Transport

log = logging.getLogger(__name__)

_FIRST_WAIT = 1.0  # seconds between looks when the server doesn't say; doubled up to the longest
_LONGEST_WAIT_UNASKED = 60.0
_MANIFEST_PAGES = 1000
_LEAST_WAIT = 0.05
_ACCEPTED = 202
_KICK_OFF_ANSWERS = frozenset({_ACCEPTED, 400, 422})
_MOST_TEXT = 20_000  # bytes of an answer that refuses
_NEEDED = frozenset({"Patient", "Condition"})  # without these there is nothing to export
_SECTIONS: tuple[Role, ...] = ("output", "deleted", "error")


class ExportFailed(PullIncomplete):
    """The server gave up an export."""


class Gone(Exception):
    """The server no longer has the export, or one of its files."""


@dataclass(frozen=True)
class ExportFile:
    """An entry of the export's manifest."""

    url: str
    type: str  # of the resources; empty when the manifest doesn't say
    count: int | None
    role: Role

    @property
    def stem(self) -> str:
        """First part of the landed name."""
        if self.role == "output":
            return self.type if self.type.isalpha() else "mixed"
        return self.role


@dataclass(frozen=True)
class Pending:
    """An export that is still running: seconds to wait, as the server asks, and what it says of its progress."""

    wait: float | None
    progress: str


@dataclass
class Export:
    """The manifest of a finished export, all its pages together. `token` None: the manifest doesn't say."""

    transaction_time: str
    token: bool | None
    files: list[ExportFile] = field(default_factory=list)


def kick_off_url(transport: Transport, types: Sequence[str], since: str | None, filters: Sequence[str] = ()) -> str:
    """The URL that asks for the export. Raises SettingsError when a group is needed and not set."""
    source = transport.source
    if source.export_level == "group" and not source.group:
        raise SettingsError("An export of a group needs the group's id", source=source.name, next_step="set group")
    path = {"system": "$export", "patient": "Patient/$export", "group": f"Group/{source.group}/$export"}
    parameters = [("_outputFormat", "application/fhir+ndjson"), ("_type", ",".join(types))]
    if since:
        parameters.append(("_since", since))
    parameters += [("_typeFilter", value) for value in filters]
    return f"{transport.url(path[source.export_level])}?{urlencode(parameters)}"


async def kick_off(
    transport: Transport, types: Sequence[str], since: str | None, filters: Sequence[str] = ()
) -> tuple[str, list[str]]:
    """Ask for an export; its status URL, and the types that the server says it doesn't have, left out therefore.

    Asks for the scope of all types when that of each is not enough.
    """
    wanted = list(types)
    while True:
        url = kick_off_url(transport, wanted, since, filters)
        try:
            answer = await _ask_for_export(transport, url)
        except CredentialsRefused:
            # Some servers let only `system/*.read` export, whatever types are asked for.
            if not transport.authoriser.widen():
                raise
            answer = await _ask_for_export(transport, url)
        if answer.location:
            return answer.location, [name for name in types if name not in wanted]
        if answer.status == _ACCEPTED:
            raise SourceMisbehaved(
                "The server accepted the export and gave no status URL", source=transport.source.name
            )
        unknown = {name for name in wanted if re.search(rf"\b{name}\b", answer.text)}
        if not unknown or unknown & _NEEDED:  # a list of what there is, rather than of what there isn't
            raise SourceMisbehaved(
                f"The server refused the export ({answer.status})",
                source=transport.source.name,
                next_step="check export_level, types and type_filters against what the server can export",
            )
        wanted = [name for name in wanted if name not in unknown]


@dataclass(frozen=True)
class _KickedOff:
    """The answer to a kick-off. `text` may hold anything: it is searched for names of types, and shown nowhere."""

    status: int
    location: str | None
    text: str = ""


async def _ask_for_export(transport: Transport, url: str) -> _KickedOff:
    async def read(response: httpx.Response) -> _KickedOff:
        if response.status_code != _ACCEPTED:
            return _KickedOff(
                response.status_code, None, (await response.aread())[:_MOST_TEXT].decode(errors="replace")
            )
        # The body is not looked at: an answer that can't be read must not start a second export.
        target = response.headers.get("content-location") or response.headers.get("location")
        return _KickedOff(response.status_code, urljoin(url, target) if target else None)

    # The reference server for Bulk Data takes this very Accept, and no other.
    headers = {"Accept": "application/fhir+json", "Prefer": "respond-async"}
    request = Request(url, headers=headers, statuses=_KICK_OFF_ANSWERS, about="the export")
    return await transport.exchange(request, read)


async def look(transport: Transport, status_url: str) -> Pending | Answer:
    """One look at an export. Raises Gone when the server no longer knows it."""

    async def read(response: httpx.Response) -> Pending | Answer:
        if response.status_code == 202:
            wait = retry_after(
                response.headers.get("retry-after"), server_date=response.headers.get("date"), now=time.time()
            )
            said = response.headers.get("x-progress", "")[:100]
            return Pending(wait, "".join(sign for sign in said if sign.isprintable()))
        answer = await transport.answer(response)
        if not _is_manifest(answer.body):
            raise Transient("it answered with something else than the export's manifest", ends_as=SourceMisbehaved)
        return answer

    # 429 here means "you look too often": waited for like any other.
    request = Request(status_url, headers={"Accept": "application/json"}, statuses=frozenset({200, 202}))
    try:
        return await transport.exchange(request, read)
    except CredentialsRefused:
        if not transport.authoriser.widen():  # the process that kicked off had the wider scope
            raise
        return await transport.exchange(request, read)
    except Refused as refused:
        if refused.status in (404, 410):
            raise Gone from None
        raise


async def wait(transport: Transport, status_url: str, tell: Callable[[str, float], None] | None = None) -> Answer:
    """Look until the export is finished; its manifest. `tell` gets the server's progress and the seconds until the
    next look.

    Waits as long as the server asks, within bounds. Raises Gone when the export is no longer known, PullIncomplete
    when it failed (`ExportFailed`) or takes longer than `export_hours`.
    """
    source = transport.source
    started = time.monotonic()
    pause = _FIRST_WAIT
    while True:
        try:
            seen = await look(transport, status_url)
        except SourceUnreachable as error:
            if error.status != 500:
                raise
            raise ExportFailed(
                "The export failed on the server",
                source=source.name,
                next_step="run the pull again: it asks for a new export",
            ) from None
        if not isinstance(seen, Pending):
            return seen
        if time.monotonic() - started > source.export_hours * 3600:
            raise PullIncomplete(
                f"The export did not finish within {source.export_hours:g} hours",
                source=source.name,
                next_step="run the pull again: it goes on waiting for the same export",
            )
        seconds = bounded_wait(source, seen.wait, pause)
        # A short wait is nobody's concern; a long one must not look like a process that hangs.
        level = logging.INFO if seconds < _LONGEST_WAIT_UNASKED else logging.WARNING
        log.log(level, "source %s: the export is running; next look in %.0f s", source.name, seconds)
        if tell:
            tell(seen.progress, seconds)
        await asyncio.sleep(seconds)
        pause = min(pause * 2, _LONGEST_WAIT_UNASKED)


def bounded_wait(source: Source, asked: float | None, otherwise: float) -> float:
    """Seconds until the next look: as the server asks, never more than the source's settings allow."""
    return min(max(otherwise if asked is None else asked, _LEAST_WAIT), source.max_poll_seconds)


async def read_export(transport: Transport, first: Answer) -> Export:
    """The whole manifest, following its `next` pages. Raises SourceMisbehaved when it lacks what it must have."""
    source = transport.source.name
    when = first.body.get("transactionTime")
    instant = parse(when) if isinstance(when, str) else None
    if instant is None:
        raise SourceMisbehaved("The export's manifest has no transactionTime", source=source)
    token = first.body.get("requiresAccessToken")
    export = Export(iso(instant), token if isinstance(token, bool) else None)
    answer, seen = first, {first.url}
    for _ in range(_MANIFEST_PAGES):
        export.files += _entries(answer, source)
        following = _next_page(answer)
        if following is None:
            return export
        if following in seen:
            break
        seen.add(following)
        answer = await transport.json(Request(following, headers={"Accept": "application/json"}))
    raise SourceMisbehaved("The export's manifest has pages without end", source=source)


async def delete(transport: Transport, status_url: str) -> str | None:
    """DELETE the job: some servers run one export at a time and keep its files for a month. A remark if that fails."""
    request = Request(status_url, method="DELETE", statuses=frozenset({200, 202, 204, 404, 410}))

    async def nothing(_: httpx.Response) -> None:
        return None

    try:
        await transport.exchange(request, nothing)
    except IessError as error:
        return f"the finished export could not be deleted from the server ({type(error).__name__})"
    return None


def _entries(answer: Answer, source: str) -> list[ExportFile]:
    files = []
    for role in _SECTIONS:
        section = answer.body.get(role) or []
        if not isinstance(section, list):
            raise SourceMisbehaved(f"The export's manifest has a malformed {role} section", source=source)
        for entry in section:
            if not isinstance(entry, dict) or not isinstance(entry.get("url"), str):
                raise SourceMisbehaved(f"The export's manifest has an {role} entry without url", source=source)
            count = entry.get("count")
            kind = entry.get("type")
            files.append(
                ExportFile(
                    url=urljoin(answer.url, entry["url"]),
                    type=kind if isinstance(kind, str) else "",
                    count=count if isinstance(count, int) and not isinstance(count, bool) else None,
                    role=role,
                )
            )
    return files


def _is_manifest(body: dict[str, Any]) -> bool:
    return "resourceType" not in body and ("transactionTime" in body or "output" in body)


def _next_page(answer: Answer) -> str | None:
    links = answer.body.get("link")
    for link in links if isinstance(links, list) else []:
        if isinstance(link, dict) and link.get("relation") == "next" and isinstance(link.get("url"), str):
            return str(urljoin(answer.url, link["url"]))
    return None
