"""Pull by Bulk Data export (FHIR Bulk Data Access 2.0): kick off, wait, download, check, delete the job.

The status URL is stored in the pull's folder before the first look at it: killed at any moment and run again, the pull
goes on with the same export. An export that expires before it is downloaded is asked for again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

from fhir_source import capability
from fhir_source.bulk_files import download
from fhir_source.bulk_job import (
    Export,
    ExportFailed,
    ExportFile,
    Gone,
    delete,
    kick_off,
    read_export,
    wait,
)
from fhir_source.errors import CredentialsRefused, PullIncomplete, SourceMisbehaved
from fhir_source.instants import earlier
from fhir_source.landing import Manifest
from fhir_source.pages import total_of
from fhir_source.source import CODED_TYPES
from fhir_source.transport import Refused, Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from fhir_source.source import FhirVersion, Source
    from fhir_source.transport import Transport
    from fhir_source.writer import PullWriter, Unit

_EXPORTS = 3  # asked for in one pull, when they expire


class BulkPull:
    """One export of one server. `run` leaves the files in the writer's folder and returns the manifest to commit."""

    def __init__(
        self,
        transport: Transport,
        writer: PullWriter,
        *,
        since: str | None,
        progress: Callable[[str, int], None] | None,
    ) -> None:
        self.source: Source = transport.source
        self.writer = writer
        self._transport = transport
        self._since = since
        # Servers compare instants as text, or take them before they write: a little is read again rather than lost.
        self._asked_since = earlier(since, self.source.overlap_seconds) if since else None
        self._progress = progress

    async def run(self, remembered: dict[str, Any] | None = None) -> Manifest:
        """`remembered`: see `start`. Raises PullIncomplete when the server reports errors or delivers less than it
        counted; see Transport.
        """
        for _ in range(_EXPORTS):
            status_url = await self.start(remembered)
            if "downloaded" not in self.writer.units:
                try:
                    export = await self._wait(status_url)
                    await self._download(export)
                except Gone:
                    remembered = None
                    self._start_over("an export expired before it was downloaded; it was asked for again")
                    continue
                remarks = await self._check_filters()
                self.writer.record("downloaded", transaction_time=export.transaction_time, notes=remarks)
            # What is recorded as downloaded no longer needs the job; a kill after this finds the job gone, and goes on.
            remark = await delete(self._transport, status_url)
            return self._manifest([remark] if remark else [])
        raise PullIncomplete(
            "The export expires faster than it can be downloaded",
            source=self.source.name,
            next_step="ask the server's operator how long its files stay",
        )

    async def start(self, remembered: dict[str, Any] | None = None) -> str:
        """The status URL of this pull's export: the one that is stored, or that of a new export.

        `remembered` are the facts of an export that was started before, from somewhere else than the pull's folder.
        """
        question = [list(self.source.types), self._asked_since, list(self.source.type_filters), self._transport.base]
        question += [self.source.export_level, self.source.group]
        self.writer.ask(["bulk", *question])
        if remembered and remembered["question"] == question and "export" not in self.writer.units:
            self.writer.record("export", **remembered)
        stored = self.writer.units.get("export")
        if stored:
            return str(stored.facts["status_url"])
        offer = await capability.ask(self._transport)
        left_out = offer.not_exported(self.source.types)
        filtered = {value.partition("?")[0] for value in self.source.type_filters}
        whole = sorted(name for name in self.source.types if name in CODED_TYPES and name not in filtered)
        types = [name for name in self.source.types if name not in {*left_out, *whole}]
        status_url, unknown = await kick_off(self._transport, types, self._asked_since, self.source.type_filters)
        self.writer.record(
            "export",
            question=question,
            status_url=status_url,
            left_out=sorted({*left_out, *unknown}),
            notes=[f"{name}: not asked for without a type filter" for name in whole],
            fhir_version=self.source.fhir_version or offer.fhir_version,
        )
        return status_url

    def _start_over(self, why: str) -> None:
        """Files of an export that is gone are not mixed with those of the next: they are of another instant."""
        earlier = [note for unit in self.writer.units.values() for note in unit.facts.get("again", ())]
        self.writer.start_over()
        self.writer.record("again", again=[*earlier, why], notes=[why])

    async def _wait(self, status_url: str) -> Export:
        def tell(_: str, seconds: float) -> None:
            if self._progress:
                self._progress("seconds of waiting for the export", round(seconds))

        try:
            return await read_export(self._transport, await wait(self._transport, status_url, tell))
        except (ExportFailed, SourceMisbehaved):
            self.writer.forget("export")  # the next run asks for a new one
            raise

    async def _download(self, export: Export) -> None:
        workers = asyncio.Semaphore(self.source.concurrency)
        numbers: Counter[str] = Counter()
        jobs = []
        for file in export.files:
            jobs.append(self._fetch(workers, file, f"{file.stem}.{numbers[file.stem]:03d}.ndjson.gz", export.token))
            numbers[file.stem] += 1
        try:
            async with asyncio.TaskGroup() as group:
                for job in jobs:
                    group.create_task(job)
        except BaseExceptionGroup as errors:
            raise (errors.subgroup(Gone) or errors).exceptions[0] from None

    async def _fetch(self, workers: asyncio.Semaphore, file: ExportFile, path: str, token: bool | None) -> Unit:
        name = f"{file.role}/{path}"
        done = self.writer.units.get(name)
        if done:
            return done
        if token is None:
            token = self._transport.may_have_token(file.url)
        async with workers:
            return await download(
                self._transport,
                self.writer,
                file,
                unit=name,
                path=path,
                token=token,
                since=self._asked_since,
                progress=self._progress,
            )

    async def _check_filters(self) -> list[str]:
        """A `_typeFilter` that a server doesn't know silently matches nothing on some: ask a search whether that is so.

        An error only where the two must agree; what can't be compared is a remark. (A group is a part of the server,
        and a search that leaves out `_lastUpdated` counts what did not change.)
        """
        rows: Counter[str] = Counter()
        for unit in self.writer.units.values():
            if unit.file and unit.file.role == "output":
                rows.update(unit.facts["types"])
        remarks = []
        for value in self.source.type_filters:
            kind = value.partition("?")[0]
            if rows[kind]:
                continue
            ever = await self._count(value)
            found = await self._count(value, f"_lastUpdated=ge{self._asked_since}") if self._asked_since else ever
            if not found:
                continue
            if self.source.export_level == "group" or (self._asked_since and found == ever):
                remarks.append(f"{kind}: its type filter gave no row, and a search of the whole server finds some")
                continue
            self.writer.start_over()
            raise SourceMisbehaved(
                f"The type filter of {kind} gave no row, and a search with the same filter does",
                source=self.source.name,
                next_step="take the filter out of type_filters: the server's export doesn't understand it",
            )
        return remarks

    async def _count(self, value: str, *more: str) -> int:
        """How many rows a search by a type filter has; 0 when the server doesn't say."""
        kind, _, query = value.partition("?")
        url = self._transport.url(f"{kind}?{'&'.join(filter(None, [query, *more, '_summary=count']))}")
        try:
            answer = await self._transport.json(Request(url, about="a search by a type filter"))
        except (Refused, CredentialsRefused):
            return 0  # no search here: there is nothing to compare with
        return total_of(answer.body) or 0

    def _manifest(self, remarks: list[str]) -> Manifest:
        units = self.writer.units
        files = tuple(sorted((unit.file for unit in units.values() if unit.file), key=lambda file: file.path))
        notes = {*remarks, *(note for unit in units.values() for note in unit.facts.get("notes", ()))}
        failed = sum(unit.facts.get("errors", 0) for unit in units.values())
        if failed and not self.source.tolerate_export_errors:
            self.writer.start_over()
            raise PullIncomplete(
                f"The server reports {failed} errors in its export",
                source=self.source.name,
                kept="the server's error files, in the pull's folder, until the next attempt",
                next_step="run the pull again (it asks for a new export), or set tolerate_export_errors",
            )
        if failed:
            notes.add(f"the server reports {failed} errors in its export, which the settings tolerate")
        left_out = tuple(units["export"].facts["left_out"])
        if self._asked_since:
            notes.add(f"_since asked from {self._asked_since}: {self.source.overlap_seconds} s of overlap")
        if left_out:
            notes.add(f"not offered by the server: {', '.join(left_out)}")
        counts: Counter[str] = Counter()
        for unit in units.values():
            if unit.file and unit.file.role == "output":
                counts.update(unit.facts["types"])
        version: FhirVersion = units["export"].facts["fhir_version"]
        return Manifest(
            source=self.source.name,
            pull_id=self.writer.pull_id,
            kind="bulk",
            since=self._since,
            transaction_time=units["downloaded"].facts["transaction_time"],
            fhir_version=version,
            complete=True,
            files=files,
            left_out=left_out,
            notes=tuple(sorted(notes)),
            counts=dict(sorted(counts.items())),
        )
