"""Whose resources are pulled: Patients with a Condition of the cohort, those known before, and their other records."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from fhir_source import references
from fhir_source.bundles import deletion
from fhir_source.capability import Capability, TypeOffer
from fhir_source.errors import PullIncomplete, SourceMisbehaved
from fhir_source.instants import from_http, iso
from fhir_source.selection import by_code, by_id, by_link, by_patient, linked
from fhir_source.transport import Refused, Request

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from fhir_source.transport import Transport
    from fhir_source.units import Units
    from fhir_source.writer import Unit

INFANTS_A_FILE = 200
_SAMPLE = 3  # of the cohort, to learn from
_MOST_ROUNDS = 6  # of links between Patients


class Infants:
    """Finds and lands Patients. `known` are ids that the warehouse holds; remarks go to `notes`."""

    def __init__(self, units: Units, transport: Transport, known: list[str], notes: set[str]) -> None:
        self._units = units
        self._transport = transport
        self._known = known
        self._notes = notes
        self.source = units.source
        self.writer = units.writer

    async def cohort(self, codes: list[tuple[str, str]], capability: Capability, now: datetime) -> Unit:
        """Ids of the Patients with a Condition of these codes; always of all time, so that nobody is missed.

        `now` is for a server that doesn't tell its own time. Facts: members, date, and how this server is to be asked.
        """
        selector = self._units.selector
        done = self.writer.units.get("cohort")
        if done:
            selector.pager.post = done.facts["post"]
            return done
        members: set[str] = set()
        orphans = 0

        def take(row: dict[str, Any]) -> None:
            nonlocal orphans
            if row.get("resourceType") == "Condition":
                patients = references.to_type(row.get("subject") or {}, "Patient")
                members.update(patients)
                orphans += not patients

        found = await self._units.whole(lambda: selector.run(by_code("Condition", codes), take))
        notes = set(found.notes)
        date = from_http(found.date)
        if orphans:
            notes.add("Condition: some with a code of the cohort refer to no Patient")
        if date is None:
            notes.add("the server sends no Date: the local clock gave the transaction time")
        return self.writer.record(
            "cohort",
            members=sorted(members),
            date=iso(date or now),
            post=selector.pager.post,
            bare=await self._takes_bare_ids(sorted(members), capability),
            notes=sorted(notes),
        )

    async def _takes_bare_ids(self, members: list[str], capability: Capability) -> bool:
        """Whether `patient=123` finds what is `Patient/123`'s. FHIR has servers take both; some find nothing by one."""
        parameter = capability.offers.get("Condition", TypeOffer()).by_patient("Condition")[0]
        selector = self._units.selector
        for bare in (True, False):
            for member in members[:_SAMPLE]:
                asked = by_patient("Condition", parameter, [member], None, bare=bare)
                if (await self._units.whole(functools.partial(selector.run, asked, lambda _: None))).rows:
                    return bare
        return True

    async def patients(self, members: Iterable[str], capability: Capability) -> list[str]:
        """Land the Patients of cohort and known infants, and those they are linked to (merged records), until no more
        come; their ids.
        """
        reverse = "link" in capability.offers.get("Patient", TypeOffer()).parameters
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
                for index, chunk in enumerate(chunks(fresh, INFANTS_A_FILE))
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
                    url = self._transport.url(f"Patient/{quote(infant, safe='')}")
                    await self._transport.json(Request(url, about="a read of a Patient"))
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


def chunks(values: list[str], size: int) -> list[list[str]]:
    """Parts of a list, in order."""
    return [values[start : start + size] for start in range(0, len(values), size)]
