"""Pull by FHIR search: who belongs to the cohort, then everything of theirs, then whom and what that refers to.

The work is cut into units (a type, a batch of infants), each of which ends in one landed file; an interrupted pull
goes on with the units that are missing. The plan is a pure function of what the first units found, so that both runs
agree on it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from typing import TYPE_CHECKING, Any

import orjson

from fhir_source import references
from fhir_source.capability import Capability, TypeOffer, ask
from fhir_source.errors import PullIncomplete, SourceMisbehaved
from fhir_source.instants import earlier, from_http, iso
from fhir_source.landing import LandedFile, Manifest, read_lines
from fhir_source.paging import Found, Pager, Query, ShortSearch, batches, escape
from fhir_source.source import REFERENCED_TYPES
from fhir_source.transport import Refused, Request, Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from fhir_source.source import Source
    from fhir_source.writer import PullWriter, Spool, Unit

_INFANTS_A_FILE = 200
_REFERENCES_A_FILE = 1000
_MOST_ROUNDS = 6  # of links between Patients, and of references between referenced types
_TRIES = 3  # of a search that comes up short


class SearchPull:
    """One pull of one server. `run` leaves the files in the writer's folder and returns the manifest to commit."""

    def __init__(
        self,
        transport: Transport,
        writer: PullWriter,
        *,
        since: str | None,
        now: datetime,
        cohort_codes: Sequence[tuple[str, str]],
        known_infants: Sequence[str],
        progress: Callable[[str, int], None] | None,
    ) -> None:
        self.source: Source = transport.source
        self.writer = writer
        self._transport = transport
        self._since = since
        self._asked_since = earlier(since, self.source.overlap_seconds) if since else None
        self._now = now
        self._codes = sorted(set(cohort_codes))
        self._known = sorted({infant.rsplit("/", 1)[-1] for infant in known_infants})
        self._progress = progress
        self._notes: set[str] = set()
        self._workers = asyncio.Semaphore(self.source.concurrency)
        self._files: Counter[str] = Counter()  # landed names given out, by type

    async def run(self) -> Manifest:
        """Raises PullIncomplete when the server cuts a search short, and what Transport and Pager raise."""
        capability = await ask(self._transport)
        self._start_over_if_asked_otherwise()
        left_out = sorted(name for name in self.source.types if not capability.searchable(name))
        for needed in ("Patient", "Condition"):
            if needed in left_out:
                raise SourceMisbehaved(f"The server offers no search of {needed}", source=self.source.name)
        cohort = await self._cohort()
        self._pager = Pager(self._transport, self.source.page_size, post=cohort.facts["post"])
        patients = await self._patients(cohort.facts["members"])
        await self._everything_of(patients, capability, left_out)
        await self._referenced(left_out)
        return self._manifest(cohort, capability, left_out)

    def _start_over_if_asked_otherwise(self) -> None:
        """Units of an interrupted run serve only the very same question."""
        question = [self._asked_since, self._codes, self._known, self.source.types, self.source.url]
        asked = hashlib.sha256(orjson.dumps(question)).hexdigest()
        plan = self.writer.units.get("plan")
        if plan and plan.facts["asked"] != asked:
            self.writer.forget(*list(self.writer.units))
        self.writer.record("plan", asked=asked)

    async def _cohort(self) -> Unit:
        """Ids of the Patients with a Condition of the cohort's codes; always of all time, so that nobody is missed."""
        done = self.writer.units.get("cohort")
        if done:
            return done
        pager = Pager(self._transport, self.source.page_size)
        members: set[str] = set()
        orphans = 0
        date: datetime | None = None
        wanted = set(self._codes)

        def belongs(row: dict[str, Any]) -> bool:
            return bool(_codings(row) & wanted)

        def take(row: dict[str, Any]) -> None:
            nonlocal orphans
            if row.get("resourceType") != "Condition":
                return
            subject = row.get("subject")
            patients = references.to_type(subject, "Patient") if isinstance(subject, dict) else set()
            members.update(patients)
            orphans += not patients

        pairs = [f"{escape(system)}|{escape(code)}" for system, code in self._codes]
        for batch in batches(pairs, pager.room):
            query = Query("Condition", (("code", ",".join(batch)),), belongs)
            found = await self._whole(pager, query, take)
            self._notes |= found.notes
            date = date or from_http(found.date)
        if orphans:
            self._notes.add(f"Condition: {orphans} with a code of the cohort refer to no Patient")
        if date is None:
            self._notes.add("the server sends no Date: the local clock gave the transaction time")
        return self.writer.record(
            "cohort", members=sorted(members), date=iso(date or self._now), post=pager.post, notes=sorted(self._notes)
        )

    async def _patients(self, members: Iterable[str]) -> list[str]:
        """Land the Patients of cohort and known infants, and those they are linked to (merged records), until no
        more come.
        """
        asked: set[str] = set()
        present: set[str] = set()
        wanted = {*members, *self._known}
        for round_number in range(_MOST_ROUNDS):
            fresh = sorted(wanted - asked)
            if not fresh:
                break
            asked.update(fresh)
            units = await self._in_parallel(
                self._unit(f"Patient/{round_number}/{index}", "Patient", [("_id", "", chunk)], _facts_of_patients)
                for index, chunk in enumerate(_chunks(fresh, _INFANTS_A_FILE))
            )
            for unit in units:
                present.update(unit.facts["ids"])
                wanted.update(unit.facts["links"])
        gone = sorted(set(self._known) - present)
        if gone:
            await self._deleted(gone, present)
        absent = len(asked - present - set(gone))
        if absent:
            self._notes.add(f"Patient: {absent} that others refer to are not on the server")
        return sorted(present)

    async def _deleted(self, gone: list[str], present: set[str]) -> None:
        """Known infants whom no search finds: land their deletion, but only when reading them says so too."""
        if not present and len(gone) > 1:
            raise SourceMisbehaved(
                "The server has none of the infants known from it",
                source=self.source.name,
                next_step="check the url and the scopes; the known infants were not taken as deleted",
            )
        if "deleted" in self.writer.units:
            return
        with self.writer.spool("deleted", role="deleted") as spool:
            for infant in gone:
                try:
                    await self._transport.json(Request(self._transport.url(f"Patient/{infant}")))
                except Refused as refused:
                    if refused.status not in (404, 410):
                        raise
                else:
                    raise PullIncomplete(
                        "A known Patient can be read, and yet no search finds it", source=self.source.name
                    )
                entry = {"request": {"method": "DELETE", "url": f"Patient/{infant}"}}
                spool.write(
                    orjson.dumps({"resourceType": "Bundle", "type": "transaction", "entry": [entry]}) + b"\n", 1
                )
            spool.finish("deleted.000.ndjson.gz", "Bundle")

    async def _everything_of(self, patients: list[str], capability: Capability, left_out: list[str]) -> None:
        """All types of all infants: known ones since the last pull, new ones from the beginning."""
        known = set(self._known) if self._asked_since else set()
        groups = [
            *((None, chunk) for chunk in _chunks([p for p in patients if p not in known], _INFANTS_A_FILE)),
            *((self._asked_since, chunk) for chunk in _chunks([p for p in patients if p in known], _INFANTS_A_FILE)),
        ]
        jobs = []
        for name in self.source.types:
            if name in REFERENCED_TYPES or name in left_out or name == "Patient":
                continue
            parameters = capability.offers.get(name, TypeOffer()).by_patient(name)
            for index, (since, chunk) in enumerate(groups):
                jobs.append(self._unit(f"{name}/{index}", name, [(parameters[0], since or "", chunk)]))
        await self._in_parallel(jobs)

    async def _referenced(self, left_out: list[str]) -> None:
        """Practitioners, roles, organisations, locations, medications: by id, as far as references lead."""
        wanted_types = [name for name in REFERENCED_TYPES if name in self.source.types and name not in left_out]
        asked: dict[str, set[str]] = {name: set() for name in wanted_types}
        read: set[str] = set()
        for round_number in range(_MOST_ROUNDS):
            targets = self._targets(wanted_types, read)
            jobs = []
            for name in wanted_types:
                fresh = sorted(targets[name] - asked[name])
                asked[name].update(fresh)
                for index, chunk in enumerate(_chunks(fresh, _REFERENCES_A_FILE)):
                    jobs.append(self._unit(f"{name}/by-id/{round_number}/{index}", name, [("_id", "", chunk)]))
            if not jobs:
                return
            await self._in_parallel(jobs)

    def _targets(self, wanted_types: list[str], read: set[str]) -> dict[str, set[str]]:
        """Ids referred to in landed files that were not looked through yet."""
        targets: dict[str, set[str]] = {name: set() for name in wanted_types}
        for file in self._landed():
            if file.path in read or file.role != "output":
                continue
            read.add(file.path)
            for line in read_lines(self.writer.folder / file.path):
                for reference in references.walk(orjson.loads(line)):
                    target = references.literal(reference, self._transport.base)
                    if target and target[0] in targets:
                        targets[target[0]].add(target[1])
        return targets

    async def _unit(
        self,
        name: str,
        resource_type: str,
        selections: list[tuple[str, str, list[str]]],
        facts: Callable[[list[dict[str, Any]]], dict[str, Any]] | None = None,
    ) -> Unit:
        """Land one file: rows of a type selected by ids through a parameter (`_id`, `patient` ...)."""
        path = f"{resource_type}.{self._files[resource_type]:03d}.ndjson.gz"
        self._files[resource_type] += 1
        done = self.writer.units.get(name)
        if done:
            return done
        async with self._workers:
            with self.writer.spool(name) as spool:
                for attempt in range(_TRIES):
                    try:
                        return await self._fill(spool, path, resource_type, selections, facts)
                    except ShortSearch as short:
                        spool.restart()
                        if attempt == _TRIES - 1:
                            raise self._incomplete(short) from None
        raise AssertionError("unreachable")

    async def _fill(
        self,
        spool: Spool,
        path: str,
        resource_type: str,
        selections: list[tuple[str, str, list[str]]],
        facts: Callable[[list[dict[str, Any]]], dict[str, Any]] | None,
    ) -> Unit:
        kept: list[dict[str, Any]] = []
        notes: set[str] = set()
        repeated = 0

        def take(row: dict[str, Any]) -> None:
            if row.get("resourceType") != resource_type:
                return  # included without being asked for; its own search brings it
            spool.write(orjson.dumps(row) + b"\n", 1)
            if facts:
                kept.append(row)

        for parameter, since, ids in selections:
            for batch in batches(ids, self._pager.room):
                query = Query(
                    resource_type, ((parameter, ",".join(batch)),), _belongs(parameter, set(batch)), since or None
                )
                found = await self._pager.run(query, take)
                notes |= found.notes
                repeated += found.repeated
                if self._progress and found.rows:
                    self._progress(resource_type, found.rows)
        if repeated:
            notes.add(f"{resource_type}: {repeated} rows came twice in a search and were taken once")
        return spool.finish(path, resource_type, notes=sorted(notes), **(facts(kept) if facts else {}))

    async def _whole(self, pager: Pager, query: Query, take: Callable[[dict[str, Any]], None]) -> Found:
        for _ in range(_TRIES - 1):
            try:
                return await pager.run(query, take)
            except ShortSearch:
                continue
        try:
            return await pager.run(query, take)
        except ShortSearch as short:
            raise self._incomplete(short) from None

    def _incomplete(self, short: ShortSearch) -> PullIncomplete:
        return PullIncomplete(
            f"The server cut the pull short: {short.what}",
            source=self.source.name,
            kept="the files that were whole, for the next attempt",
            next_step="run the pull again with the same id",
        )

    async def _in_parallel(self, jobs: Iterable[Any]) -> list[Unit]:
        """Run units, a bounded number at once; the first error ends all."""
        tasks: list[asyncio.Task[Unit]] = []
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(job) for job in jobs]
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return [task.result() for task in tasks]

    def _landed(self) -> list[LandedFile]:
        return sorted((unit.file for unit in self.writer.units.values() if unit.file), key=lambda file: file.path)

    def _manifest(self, cohort: Unit, capability: Capability, left_out: list[str]) -> Manifest:
        files = self._landed()
        counts: Counter[str] = Counter()
        for file in files:
            if file.role == "output" and file.type:
                counts[file.type] += file.rows
        notes = {*self._notes, *(note for unit in self.writer.units.values() for note in unit.facts.get("notes", ()))}
        if self._since:
            notes.add(f"_lastUpdated asked from {self._asked_since}: {self.source.overlap_seconds} s of overlap")
        if left_out:
            notes.add(f"not offered by the server: {', '.join(left_out)}")
        return Manifest(
            source=self.source.name,
            pull_id=self.writer.pull_id,
            kind="search",
            since=self._since,
            transaction_time=cohort.facts["date"],
            fhir_version=self.source.fhir_version or capability.fhir_version,
            complete=True,
            files=tuple(files),
            left_out=tuple(left_out),
            notes=tuple(sorted(notes)),
            counts=dict(sorted(counts.items())),
        )


def _belongs(parameter: str, ids: set[str]) -> Callable[[dict[str, Any]], bool]:
    if parameter == "_id":
        return lambda row: row.get("id") in ids

    def of_these_patients(row: dict[str, Any]) -> bool:
        patients = references.to_type(row, "Patient")
        return not patients or bool(patients & ids)

    return of_these_patients


def _facts_of_patients(rows: list[dict[str, Any]]) -> dict[str, Any]:
    links: set[str] = set()
    for row in rows:
        for link in row.get("link") or []:
            if isinstance(link, dict) and isinstance(link.get("other"), dict):
                links |= references.to_type(link["other"], "Patient")
    return {"ids": sorted({str(row["id"]) for row in rows if row.get("id")}), "links": sorted(links)}


def _codings(row: dict[str, Any]) -> set[tuple[str, str]]:
    code = row.get("code")
    codings = code.get("coding") if isinstance(code, dict) else None
    if not isinstance(codings, list):
        return set()
    return {(str(coding.get("system")), str(coding.get("code"))) for coding in codings if isinstance(coding, dict)}


def _chunks(values: list[str], size: int) -> list[list[str]]:
    return [values[start : start + size] for start in range(0, len(values), size)]
