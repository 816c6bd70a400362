"""Pull by FHIR search: who belongs to the cohort, then everything of theirs, then whom and what that refers to.

The work is cut into units (a type, a batch of infants), each of which ends in one landed file; an interrupted pull
goes on with the units that are missing. The plan is a pure function of what the first units found, so that both runs
agree on it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING

import orjson

from fhir_source import references
from fhir_source.bundles import deletion
from fhir_source.by_reference import ByReference
from fhir_source.capability import Capability, TypeOffer, ask
from fhir_source.deletions import deleted_since
from fhir_source.errors import PullIncomplete, SourceMisbehaved
from fhir_source.infants import INFANTS_A_FILE, Infants, chunks
from fhir_source.instants import earlier
from fhir_source.landing import Manifest, read_lines
from fhir_source.paging import Pager
from fhir_source.selection import Selection, Selector, by_patient, token
from fhir_source.source import CODED_TYPES, REFERENCED_TYPES
from fhir_source.transport import Refused, Transport
from fhir_source.units import Units

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from fhir_source.source import Source
    from fhir_source.writer import PullWriter, Unit

#: What may come along with a search of a type, where the server offers it (FHIR R4 and R5 search parameters).
_INCLUDES = {
    "MedicationRequest": ("MedicationRequest:medication",),
    "MedicationAdministration": ("MedicationAdministration:medication",),
    "MedicationDispense": ("MedicationDispense:medication",),
    "MedicationStatement": ("MedicationStatement:medication",),
}


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
        coded: Mapping[str, Sequence[tuple[str, str]]],
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
        self._coded = {
            name: ((CODED_TYPES[name], ",".join(sorted(map(token, pairs)))),) for name, pairs in coded.items() if pairs
        }
        # A type that is wanted for its codes only, and for which there are none, is not asked for.
        self._types = [name for name in self.source.types if name not in CODED_TYPES or name in self._coded]
        self._notes: set[str] = set()
        selector = Selector(Pager(transport, self.source.page_size), transport)
        self._units = Units(self.source, writer, selector, progress)

    async def run(self) -> Manifest:
        """Raises PullIncomplete when the server cuts a search short, and what Transport and Pager raise."""
        capability = await ask(self._transport)
        asked = [self._asked_since, self._codes, self._known, self._coded, self.source.types, self.source.url]
        self.writer.ask(["search", *asked])
        left_out = sorted(name for name in self._types if not capability.obtainable(name))
        for needed in ("Patient", "Condition"):
            if needed in left_out:
                raise SourceMisbehaved(f"The server offers no search of {needed}", source=self.source.name)
        infants = Infants(self._units, self._transport, self._known, self._notes)
        cohort = await infants.cohort(self._codes, capability, self._now)
        if not capability.offers:
            left_out = await self._not_there(cohort)
        patients = await infants.patients(cohort.facts["members"], capability)
        await self._everything_of(patients, cohort, capability, left_out)
        await ByReference(self._units, self._transport, capability, left_out, self._notes).land()
        if self._asked_since and self.source.look_for_deletions:
            await self._history(self._asked_since, capability, left_out)
        return self._manifest(cohort, capability, left_out)

    async def _not_there(self, cohort: Unit) -> list[str]:
        """Types of which a server that lists none says 404: it doesn't have them, and the others are pulled without."""
        missing = []
        for name in self._types:
            if name in (*REFERENCED_TYPES, "Patient", "Condition"):
                continue
            parameter = TypeOffer().by_patient(name)[0]
            tried = by_patient(name, parameter, cohort.facts["members"][:1], None, bare=cohort.facts["bare"])
            try:
                await self._units.selector.run(tried, lambda _: None)
            except Refused as refused:
                if refused.status != HTTPStatus.NOT_FOUND:
                    raise
                missing.append(name)
        return sorted(missing)

    async def _history(self, since: str, capability: Capability, left_out: list[str]) -> None:
        """Land what the server's history says was deleted; whose it was, only the warehouse knows."""
        if "history" in self.writer.units:
            return
        notes: list[str] = []
        with self.writer.spool("history", role="deleted") as spool:
            for name in self._types:
                if name in left_out or not capability.offers.get(name, TypeOffer()).history:
                    continue
                gone, remark = await deleted_since(self._transport, name, since)
                notes += [remark] if remark else []
                for identity in gone:
                    spool.write(deletion(f"{name}/{identity}"), 1)
            spool.finish("deleted.001.ndjson.gz", "Bundle", notes=notes)

    async def _everything_of(
        self, patients: list[str], cohort: Unit, capability: Capability, left_out: list[str]
    ) -> None:
        """All types of all infants: known ones since the last pull, new ones from the beginning."""
        known = set(self._known) if self._asked_since else set()
        fresh = [infant for infant in patients if infant not in known]
        groups = [
            *((None, chunk) for chunk in chunks(fresh, INFANTS_A_FILE)),
            *((self._asked_since, chunk) for chunk in chunks([p for p in patients if p in known], INFANTS_A_FILE)),
        ]
        plan: dict[str, list[tuple[str, Selection]]] = {}
        for name in self._types:
            if name in REFERENCED_TYPES or name in left_out or name == "Patient":
                continue
            also = self._coded.get(name, ())
            offer = capability.offers.get(name, TypeOffer())
            includes = tuple(value for value in _INCLUDES.get(name, ()) if value in offer.includes)
            for index, (since, chunk) in enumerate(groups):
                wanted, *others = (
                    replace(
                        by_patient(name, parameter, chunk, since, bare=cohort.facts["bare"], also=also),
                        includes=includes,
                    )
                    for parameter in offer.by_patient(name)
                )
                if not offer.parameters:  # not listed: which of them the server knows shows by what it finds
                    wanted = replace(wanted, otherwise=tuple(others))
                plan.setdefault(name, []).append((f"{name}/{index}", wanted))
        # First the type of which it is known already who has one.
        conditions = plan.pop("Condition", [])
        landed = await self._units.in_parallel(self._units.land(*unit) for unit in conditions)
        self._check_that_patients_are_found(set(cohort.facts["members"]) & set(fresh), landed)
        await self._units.in_parallel(self._units.land(*unit) for units in plan.values() for unit in units)

    def _check_that_patients_are_found(self, members: set[str], landed: list[Unit]) -> None:
        """A search by patient that a server reads in another way finds nothing, and looks like an empty record."""
        seen: set[str] = set()
        for unit in landed:
            if unit.file:
                for line in read_lines(self.writer.folder / unit.file.path):
                    seen |= references.to_type(orjson.loads(line).get("subject") or {}, "Patient")
        if members - seen:
            self.writer.start_over()
            raise PullIncomplete(
                f"A search by patient finds no Condition of {len(members - seen)} infants of whom a search by code did",
                source=self.source.name,
                next_step="run the pull again; if it stays so, this server's search by patient can't be relied on",
            )

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
