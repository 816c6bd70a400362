"""Look at a source without pulling: what `iess doctor` and the connection's *Test* button show."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fhir_source import capability
from fhir_source.errors import IessError
from fhir_source.inputs import Folder
from fhir_source.instants import from_http
from fhir_source.transport import Request, Transport

if TYPE_CHECKING:
    from collections.abc import Callable

    from fhir_source.source import FhirVersion, Source

_PATIENCE = 15.0  # seconds; somebody is waiting in front of a screen
_ATTEMPTS = 2
_SKEW = 60.0  # seconds; a signed assertion lives for four minutes


@dataclass(frozen=True)
class ServerReport:
    """What was seen. `problems` is empty when a pull can be expected to work; each is one PHI-free sentence."""

    source: str
    kind: str
    reachable: bool = False
    fhir_version: FhirVersion | None = None
    software: str | None = None
    token: bool | None = None  # None: this source needs none
    scopes: str | None = None  # as granted
    clock_skew_seconds: float | None = None  # server minus here
    offered: tuple[str, ...] = ()  # types of the source's that can be searched, or exported
    left_out: tuple[str, ...] = ()  # and those that can't
    exports: bool = False  # declares Bulk Data $export
    files: int | None = None  # kind `files`
    problems: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.problems


def probe(source: Source, clock: Callable[[], float] = time.time) -> ServerReport:
    """Look at a source; `clock` gives epoch seconds. Never raises an IessError: what went wrong is in `problems`."""
    if source.kind == "files":
        return _folder(source)
    return asyncio.run(probe_server(source, clock))


async def probe_server(source: Source, clock: Callable[[], float] = time.time) -> ServerReport:
    """As `probe`, for callers with an event loop of their own."""
    quick = replace(
        source, attempts=_ATTEMPTS, timeout_seconds=min(source.timeout_seconds, _PATIENCE), max_wait_seconds=2.0
    )
    report = ServerReport(source.name, source.kind)
    try:
        async with Transport(quick) as transport:
            offer = await capability.ask(transport)
            report = _described(report, source, offer, clock())
            if source.auth.kind != "none":
                report = replace(report, token=False)
                await transport.authoriser.headers()
                report = replace(report, token=True, scopes=getattr(transport.authoriser, "granted", None))
            if source.kind == "search":
                await transport.json(Request(transport.url("Patient?_summary=count")))
    except IessError as error:
        return replace(report, problems=(*report.problems, str(error)))
    return report


def _described(report: ServerReport, source: Source, offer: capability.Capability, now: float) -> ServerReport:
    if source.kind == "bulk":
        left_out = tuple(offer.not_exported(source.types))
    else:
        left_out = tuple(name for name in source.types if not offer.obtainable(name))
    date = from_http(offer.date)
    skew = date.timestamp() - now if date else None
    problems = []
    if source.kind == "search":
        problems += [f"The server offers no search of {name}" for name in ("Patient", "Condition") if name in left_out]
    if skew is not None and abs(skew) > _SKEW:
        problems.append(f"The server's clock and this machine's differ by {abs(skew):.0f} s")
    return replace(
        report,
        reachable=True,
        fhir_version=offer.fhir_version,
        software=offer.software,
        clock_skew_seconds=skew,
        offered=tuple(name for name in source.types if name not in left_out),
        left_out=left_out,
        exports=offer.exports,
        problems=tuple(problems),
    )


def _folder(source: Source) -> ServerReport:
    report = ServerReport(source.name, source.kind, fhir_version=source.fhir_version or "R4")
    try:
        return replace(report, reachable=True, files=len(Folder(source).inputs()))
    except IessError as error:
        return replace(report, problems=(str(error),))
