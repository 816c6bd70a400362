"""Bring whom and what the infants' resources refer to: practitioners, roles, organisations, places, medications.

By id, by identifier (a conditional or logical reference), and, for roles, by their practitioner: the role tells the
specialty, and it is the role that refers to the person, so that no reference leads to it. As far as references lead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from fhir_source import references
from fhir_source.capability import Capability, TypeOffer
from fhir_source.infants import chunks
from fhir_source.landing import read_lines
from fhir_source.paging import FilterIgnored
from fhir_source.selection import by_id, by_identifier, by_practitioner
from fhir_source.source import REFERENCED_TYPES
from fhir_source.transport import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from fhir_source.transport import Transport
    from fhir_source.units import Units
    from fhir_source.writer import Unit

    Jobs = list[Coroutine[Any, Any, Unit]]

_A_FILE = 1000
_MOST_ROUNDS = 6  # of references between referenced types


class ByReference:
    """Lands what is referred to, round by round: each looks through what the one before has landed."""

    def __init__(
        self, units: Units, transport: Transport, capability: Capability, left_out: list[str], notes: set[str]
    ) -> None:
        wanted = [name for name in REFERENCED_TYPES if name in transport.source.types and name not in left_out]
        self._types = wanted
        self._units = units
        self._base = transport.base
        self._capability = capability
        self._notes = notes
        self._takes_practitioner = False
        self._asked: set[tuple[str, str]] = set()  # (type, id), and (type, system|value)
        self._named: dict[str, set[str]] = {name: set() for name in wanted}
        self._identified: dict[str, set[tuple[str, str]]] = {name: set() for name in wanted}
        self._have: dict[str, set[str]] = {name: set() for name in wanted}  # ids that are landed
        self._read: set[str] = set()  # files looked through

    async def land(self) -> None:
        """Until nothing new is referred to."""
        for name in self._types:
            offer = self._capability.offers.get(name, TypeOffer())
            if not offer.search:
                self._units.selector.read_only.add(name)
        if "PractitionerRole" in self._types:
            self._takes_practitioner = await self._finds_roles()
        for round_number in range(_MOST_ROUNDS):
            self._look_through()
            found = False
            for way in (self._by_id, self._by_identifier, self._roles):
                jobs = way(round_number)
                found = found or bool(jobs)
                await self._units.in_parallel(jobs)
                self._look_through()
            if not found:
                return

    def _by_id(self, round_number: int) -> Jobs:
        jobs: Jobs = []
        for name in self._types:
            fresh = self._fresh(name, self._named[name] - self._have[name])
            for index, chunk in enumerate(chunks(fresh, _A_FILE)):
                given = [row for identity in chunk if (row := self._units.included.pop((name, identity), None))]
                ids = {row["id"] for row in given}
                missing = by_id(name, [identity for identity in chunk if identity not in ids])
                jobs.append(self._units.land(f"{name}/by-id/{round_number}/{index}", missing, given=given))
        return jobs

    def _by_identifier(self, round_number: int) -> Jobs:
        jobs: Jobs = []
        for name in self._types:
            if not self._searches(name, "identifier"):
                continue
            pairs = {f"{system}|{value}": (system, value) for system, value in self._identified[name]}
            for index, chunk in enumerate(chunks(self._fresh(name, pairs), _A_FILE)):
                wanted = by_identifier(name, [pairs[one] for one in chunk])
                unit = f"{name}/by-identifier/{round_number}/{index}"
                jobs.append(self._units.land(unit, wanted, keep=self._is_new(name)))
        return jobs

    def _roles(self, round_number: int) -> Jobs:
        if not self._takes_practitioner:
            return []
        people = self._fresh("role of", self._have.get("Practitioner", ()))
        keep = self._is_new("PractitionerRole")
        return [
            self._units.land(f"PractitionerRole/of/{round_number}/{index}", by_practitioner(chunk), keep=keep)
            for index, chunk in enumerate(chunks(people, _A_FILE))
        ]

    async def _finds_roles(self) -> bool:
        """Whether roles are searched by practitioner. A server that lists no parameters is tried with nobody's id."""
        offer = self._capability.offers.get("PractitionerRole", TypeOffer())
        able = offer.search and "practitioner" in offer.parameters
        if offer.search and not offer.parameters:
            try:
                await self._units.selector.run(by_practitioner(["0"]), lambda _: None)
                able = True
            except (Refused, FilterIgnored):
                able = False
        if not able:
            self._notes.add(
                "PractitionerRole: the server doesn't search it by practitioner; only roles that are referred to were "
                "read, and a specialty that another role tells isn't seen"
            )
        return able

    def _fresh(self, name: str, keys: Iterable[str]) -> list[str]:
        fresh = sorted(key for key in keys if (name, key) not in self._asked)
        self._asked.update((name, key) for key in fresh)
        return fresh

    def _searches(self, name: str, parameter: str) -> bool:
        """Whether the server says that it searches a type so. (One that drops the parameter would give everything.)"""
        offer = self._capability.offers.get(name)
        return offer is not None and offer.search and parameter in offer.parameters

    def _is_new(self, name: str) -> Callable[[dict[str, Any]], bool]:
        have = frozenset(self._have[name])
        return lambda row: row.get("id") not in have

    def _look_through(self) -> None:
        """Collect what is referred to in landed files that were not looked through yet."""
        for file in self._units.landed():
            if file.path in self._read or file.role != "output":
                continue
            self._read.add(file.path)
            for line in read_lines(self._units.writer.folder / file.path):
                row = orjson.loads(line)
                if file.type in self._have:
                    self._have[file.type].add(str(row.get("id")))
                for reference in references.nodes(row):
                    self._note(reference)

    def _note(self, reference: dict[str, Any]) -> None:
        target = references.literal(str(reference.get("reference", "")), self._base)
        if target:
            if target[0] in self._named:
                self._named[target[0]].add(target[1])
            return
        name, pair = references.identified(reference)
        if name in self._identified and pair:
            self._identified[name].add(pair)
