"""Pull by FHIR search: who belongs to the cohort, then everything of theirs, then whom and what that refers to.

The work is cut into units (a type, a batch of infants), each of which ends in one landed file; an interrupted pull
goes on with the units that are missing. The plan is a pure function of what the first units found, so that both runs
agree on it.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import orjson

from fhir_source import references
from fhir_source.bundles import deletion
from fhir_source.capability import Capability, TypeOffer, ask
from fhir_source.deletions import deleted_since
from fhir_source.errors import PullIncomplete, SourceMisbehaved
from fhir_source.instants import earlier, from_http, iso
from fhir_source.landing import Manifest, read_lines
from fhir_source.paging import Pager
from fhir_source.selection import Selector, by_code, by_id, by_link, by_patient, linked
from fhir_source.source import REFERENCED_TYPES
from fhir_source.transport import Refused, Request, Transport
from fhir_source.units import Units

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from fhir_source.source import Source
    from fhir_source.writer import PullWriter, Unit

_INFANTS_A_FILE = 200
_REFERENCES_A_FILE = 1000
_MOST_ROUNDS = 6  # of links between Patients, and of references between referenced types


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
        self._notes: set[str] = set()
        selector = Selector(Pager(transport, self.source.page_size))
        self._units = Units(self.source, writer, selector, progress)

    async def run(self) -> Manifest:
        """Raises PullIncomplete when the server cuts a search short, and what Transport and Pager raise."""
        capability = await ask(self._transport)
        self.writer.ask(["search", self._asked_since, self._codes, self._known, self.source.types, self.source.url])
        left_out = sorted(name for name in self.source.types if not capability.searchable(name))
        for needed in ("Patient", "Condition"):
            if needed in left_out:
                raise SourceMisbehaved(f"The server offers no search of {needed}", source=self.source.name)
        cohort = await self._cohort()
        self._units.selector.pager.post = cohort.facts["post"]
        reverse = "link" in capability.offers.get("Patient", TypeOffer()).parameters
        patients = await self._patients(cohort.facts["members"], reverse=reverse)
        await self._everything_of(patients, capability, left_out)
        await self._referenced(left_out)
        if self._asked_since and self.source.look_for_deletions:
            await self._history(self._asked_since, capability, left_out)
        return self._manifest(cohort, capability, left_out)

    async def _cohort(self) -> Unit:
        """Ids of the Patients with a Condition of the cohort's codes; always of all time, so that nobody is missed."""
        done = self.writer.units.get("cohort")
        if done:
            return done
        selector = self._units.selector
        members: set[str] = set()
        orphans = 0

        def take(row: dict[str, Any]) -> None:
            nonlocal orphans
            if row.get("resourceType") == "Condition":
                patients = references.to_type(row.get("subject") or {}, "Patient")
                members.update(patients)
                orphans += not patients

        found = await self._units.whole(lambda: selector.run(by_code("Condition", self._codes), take))
        notes = set(found.notes)
        date = from_http(found.date)
        if orphans:
            notes.add("Condition: some with a code of the cohort refer to no Patient")
        if date is None:
            notes.add("the server sends no Date: the local clock gave the transaction time")
        post = selector.pager.post
        return self.writer.record(
            "cohort", members=sorted(members), date=iso(date or self._now), post=post, notes=sorted(notes)
        )

    async def _patients(self, members: Iterable[str], *, reverse: bool) -> list[str]:
        """Land the Patients of cohort and known infants, and those they are linked to (merged records), until no more
        come. `reverse`: the server can be asked who links to a Patient.
        """
        asked: set[str] = set()
        present: set[str] = set()
        wanted = {*members, *self._known}
        for round_number in range(_MOST_ROUNDS):
            fresh = sorted(wanted - asked)
            if not fresh:
                break
            asked.update(fresh)
            units = await self._units.in_parallel(
                self._patient_unit(f"Patient/{round_number}/{index}", chunk, reverse=reverse)
                for index, chunk in enumerate(_chunks(fresh, _INFANTS_A_FILE))
            )
            for unit in units:
                present.update(unit.facts["ids"])
                wanted.update(unit.facts["links"])
        gone = sorted(set(self._known) - present)
        if gone:
            await self._deleted(gone, present)
        if asked - present - set(gone):
            self._notes.add("Patient: some that others refer to are not on the server")
        return sorted(present)

    async def _patient_unit(self, name: str, ids: list[str], *, reverse: bool) -> Unit:
        found: set[str] = set()
        links: set[str] = set()

        def look(row: dict[str, Any]) -> None:
            found.add(str(row.get("id")))
            links.update(linked(row))

        async def facts() -> dict[str, Any]:
            if reverse:
                selector = self._units.selector
                await self._units.whole(lambda: selector.run(by_link(ids), lambda row: links.add(str(row.get("id")))))
            return {"ids": sorted(found), "links": sorted(links)}

        return await self._units.land(name, by_id("Patient", ids), look, facts)

    async def _deleted(self, gone: list[str], present: set[str]) -> None:
        """Known infants whom no search finds: land their deletion, but only when reading them says so too."""
        if not present and len(gone) > 1:
            self.writer.start_over()  # the next run must ask for the Patients again
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
                    await self._transport.json(Request(self._transport.url(f"Patient/{quote(infant, safe='')}")))
                except Refused as refused:
                    if refused.status not in (404, 410):
                        raise
                else:
                    self.writer.start_over()
                    raise PullIncomplete(
                        "A known Patient can be read, and yet no search finds it",
                        source=self.source.name,
                        next_step="run the pull again; it asks for everything anew",
                    )
                spool.write(deletion(f"Patient/{infant}"), 1)
            spool.finish("deleted.000.ndjson.gz", "Bundle")

    async def _history(self, since: str, capability: Capability, left_out: list[str]) -> None:
        """Land what the server's history says was deleted; whose it was, only the warehouse knows."""
        if "history" in self.writer.units:
            return
        notes: list[str] = []
        with self.writer.spool("history", role="deleted") as spool:
            for name in self.source.types:
                if name in left_out or not capability.offers.get(name, TypeOffer()).history:
                    continue
                gone, remark = await deleted_since(self._transport, name, since)
                notes += [remark] if remark else []
                for identity in gone:
                    spool.write(deletion(f"{name}/{identity}"), 1)
            spool.finish("deleted.001.ndjson.gz", "Bundle", notes=notes)

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
            parameter = capability.offers.get(name, TypeOffer()).by_patient(name)[0]
            for index, (since, chunk) in enumerate(groups):
                jobs.append(self._units.land(f"{name}/{index}", by_patient(name, parameter, chunk, since)))
        await self._units.in_parallel(jobs)

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
                    jobs.append(self._units.land(f"{name}/by-id/{round_number}/{index}", by_id(name, chunk)))
            if not jobs:
                return
            await self._units.in_parallel(jobs)

    def _targets(self, wanted_types: list[str], read: set[str]) -> dict[str, set[str]]:
        """Ids referred to in landed files that were not looked through yet."""
        targets: dict[str, set[str]] = {name: set() for name in wanted_types}
        for file in self._units.landed():
            if file.path in read or file.role != "output":
                continue
            read.add(file.path)
            for line in read_lines(self.writer.folder / file.path):
                for reference in references.walk(orjson.loads(line)):
                    target = references.literal(reference, self._transport.base)
                    if target and target[0] in targets:
                        targets[target[0]].add(target[1])
        return targets

    def _manifest(self, cohort: Unit, capability: Capability, left_out: list[str]) -> Manifest:
        files = self._units.landed()
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


def _chunks(values: list[str], size: int) -> list[list[str]]:
    return [values[start : start + size] for start in range(0, len(values), size)]
