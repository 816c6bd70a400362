"""One pull of one source, of whatever kind, into the landing zone."""

from __future__ import annotations

import asyncio
import contextlib
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from fhir_source.bulk import BulkPull
from fhir_source.errors import LandingUnreachable
from fhir_source.folders import pull_folder
from fhir_source.search import SearchPull
from fhir_source.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from fhir_source.landing import LandingZone, Manifest
    from fhir_source.source import Source
    from fhir_source.writer import PullWriter

    Progress = Callable[[str, int], None]


def pull(
    source: Source,
    landing: LandingZone,
    *,
    pull_id: str,
    since: str | None,
    now: datetime,
    cohort_codes: Sequence[tuple[str, str]],
    known_infants: Sequence[str] = (),
    coded: Mapping[str, Sequence[tuple[str, str]]] = MappingProxyType({}),
    export: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> Manifest:
    """Pull a source and commit it. Idempotent: a pull of this id that is committed is returned as it is.

    `since` is the watermark that the warehouse holds (an instant of the server's clock), None for everything.
    `cohort_codes` are (system, code) pairs, `known_infants` ids of Patients, `coded` the codes by
    which each of `source.CODED_TYPES` is narrowed (without any it is not asked for); kind `search` only. `export` is
    what `start_export` returned, where that may have been on another machine. `progress` is told (type, rows) as they
    come. Raises a subclass of IessError; then there is no manifest, and the same call goes on
    with what is whole.
    """
    with _landing_errors(source):
        committed = landing.find(source.name, pull_id)
        if committed:
            return committed
        with landing.begin(source, pull_id) as writer:
            committed = landing.find(source.name, pull_id)  # by the process that held the folder until now
            if committed:
                return committed
            since, known = writer.terms(since, known_infants)
            if source.kind == "files":
                manifest = pull_folder(writer, source, since, now, progress)
            elif source.kind == "bulk":
                manifest = asyncio.run(_bulk(source, writer, since, export, progress))
            else:
                manifest = asyncio.run(_search(source, writer, since, now, cohort_codes, known, coded, progress))
            return writer.commit(manifest)


@contextlib.contextmanager
def _landing_errors(source: Source) -> Iterator[None]:
    """What the operating system says is about the landing zone: the other sides' errors have types of their own by
    now.
    """
    try:
        yield
    except OSError as error:
        raise LandingUnreachable(
            f"The landing zone can't be read or written ({error.strerror or type(error).__name__})",
            source=source.name,
            kept="the files that were whole",
            next_step="free the disk or mend the store, then run the pull again",
        ) from error


def start_export(
    source: Source,
    landing: LandingZone,
    *,
    pull_id: str,
    since: str | None,
    remembered: dict[str, Any] | None = None,
) -> dict[str, Any] | None:
    """Start the export of a `bulk` source, or attach to the one that this pull has started before; wait for nothing.

    Returns facts about the export (plain JSON, `status_url` among them) that can be kept elsewhere and given back as
    `remembered` by a later attempt; None when the pull is committed already. `pull` then goes on with this export.
    """
    if landing.find(source.name, pull_id):
        return None
    with _landing_errors(source), landing.begin(source, pull_id) as writer:
        since, _ = writer.terms(since, ())
        asyncio.run(_start(source, writer, since, remembered))
        return writer.units["export"].facts


def forget_export(source: Source, landing: LandingZone, *, pull_id: str) -> None:
    """Let the next attempt start a new export: this one failed, or the server no longer knows it."""
    with landing.begin(source, pull_id) as writer:
        writer.start_over()


async def _start(source: Source, writer: PullWriter, since: str | None, remembered: dict[str, Any] | None) -> None:
    async with Transport(source) as transport:
        await BulkPull(transport, writer, since=since, progress=None).start(remembered)


async def _bulk(
    source: Source, writer: PullWriter, since: str | None, export: dict[str, Any] | None, progress: Progress | None
) -> Manifest:
    async with Transport(source) as transport:
        return await BulkPull(transport, writer, since=since, progress=progress).run(export)


async def _search(
    source: Source,
    writer: PullWriter,
    since: str | None,
    now: datetime,
    cohort_codes: Sequence[tuple[str, str]],
    known_infants: Sequence[str],
    coded: Mapping[str, Sequence[tuple[str, str]]],
    progress: Progress | None,
) -> Manifest:
    async with Transport(source) as transport:
        search = SearchPull(
            transport,
            writer,
            since=since,
            now=now,
            cohort_codes=cohort_codes,
            known_infants=known_infants,
            coded=coded,
            progress=progress,
        )
        return await search.run()
