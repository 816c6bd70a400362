"""Selects the cohort: which infants, all of their resources in the newest version, and an account of every line.

Every line of the files is read once into an index (`scan`); the cohort is found in the index; only the lines of the
cohort, and what they refer to, are then brought into Python (`fetch`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from fhir_mapping import cohort
from fhir_mapping.build import build_index
from fhir_mapping.codes import Codes
from fhir_mapping.collecting import no_cycles
from fhir_mapping.elements import obj
from fhir_mapping.engines import connect
from fhir_mapping.fetch import Fetched, LineReader
from fhir_mapping.files import InputFile, find_files
from fhir_mapping.horizon import recorded_through
from fhir_mapping.index import Key, LineIndex, Place, Places
from fhir_mapping.merges import Merges, links_of
from fhir_mapping.model import LedgerLine, MappingSettings, Quarantined, Resource
from fhir_mapping.newest import age_key, instant_of
from fhir_mapping.observations import is_read
from fhir_mapping.references import Identified, Target, identifier_keys, target_of
from fhir_mapping.scan import Scan
from fhir_mapping.typed_scan import LARGE
from fhir_source.errors import UnreadableInput
from fhir_source.source import CODED_TYPES, IN_SCOPE_TYPES, PATIENT_TYPES, REFERENCED_TYPES

__all__ = ["InputFile", "Progress", "Selection", "find_files", "select"]

Progress = Callable[[str, int], None]
_COMPARTMENT = tuple(kind for kind in PATIENT_TYPES if kind != "Patient")


@dataclass(frozen=True)
class Selection:
    """What was selected. `resources` are sorted by type and id, and hold each in its newest version.

    `infants` are the ids of all Patients of the cohort that the files speak of, merged-away ones included.
    `deleted` are the resources of in-scope types that the server says it deleted. `data_through` is the site's local
    date of the latest `meta.lastUpdated`; when no resource has one, the latest day of the cohort's records (`horizon`).
    `past_infancy` counts the people who were left out since an ambiguous code came only after their second birthday.
    """

    resources: list[Resource]
    ledger: dict[str, LedgerLine]
    quarantined: list[Quarantined]
    deleted: list[Key]
    data_through: date | None
    infants: frozenset[str]
    past_infancy: int = 0


def select(
    files: Sequence[InputFile],
    settings: MappingSettings,
    codes: Codes,
    *,
    known_infants: frozenset[str] = frozenset(),
    only_known: bool = False,
    beside: Collection[Target] = (),
    engine: str = "duckdb",
    progress: Progress | None = None,
    typed_from: int = LARGE,
) -> Selection:
    """Select the cohort's resources from the files, in the order given.

    Infants of `known_infants` (Patient ids) belong to the cohort whatever these files say of them; with `only_known`
    no others are looked for. Resources of `beside` are brought whomever they belong to: what a warehouse holds of the
    cohort, and the shared ones that it knows to be referred to. Files of at least `typed_from` bytes are read through
    typed columns (`typed_scan`), smaller ones line by line; the outcome is the same. Raises UnreadableInput when a
    file can't be read to its end.
    """
    scan = Scan()
    with no_cycles(), connect(engine) as opened:
        reader, index = build_index(opened, files, cohort.patterns(codes), scan, typed_from)
        selecting = _Selecting(reader, index, scan, codes, _deletions(files, scan))
        if progress:
            progress("lines read", sum(scan.tally.rows.values()) + sum(scan.tally.never_in_scope.values()))
        members = selecting.cohort(known_infants, find=not only_known)
        return selecting.close(members, beside, ZoneInfo(settings.timezone))


def _deletions(files: Sequence[InputFile], scan: Scan) -> dict[Key, list[str]]:
    """When each resource was deleted, as far as that is told ("" when it isn't)."""
    found: dict[Key, list[str]] = {}
    for file, deletion in scan.deletions:
        found.setdefault((deletion.type, deletion.id), []).append(deletion.when or files[file].told_at)
    return found


def shared_targets(resources: Iterable[Resource]) -> set[Target]:
    """The practitioners, organizations, places and medicines that the resources refer to."""
    return {
        target
        for resource in resources
        for target in resource.targets
        if not target.type or target.type in REFERENCED_TYPES
    }


def _last(versions: Sequence[Resource]) -> Resource:
    """The newest of the versions of a resource; of equals the one that stands last."""
    ages = [(age_key(one.last_updated, one.version_id), position) for position, one in enumerate(versions)]
    return versions[max(ages)[1]]


class _Selecting:
    """One selection under way: an index, and the resources that have been brought so far."""

    def __init__(
        self, reader: LineReader, index: LineIndex, scan: Scan, codes: Codes, deletions: dict[Key, list[str]]
    ) -> None:
        self._reader = reader
        self._index = index
        self._scan = scan
        self._codes = codes
        self._deletions = deletions
        self._identified: dict[str, Identified] = {}  # by type
        self._past_infancy = 0
        self._newest: dict[Key, Resource | None] = {}  # None: deleted, or no version can be read
        for kind, (rows, different) in index.counts().items():
            scan.tally.rows[kind] += rows
            scan.tally.different[kind] += different

    # -- bringing resources ---------------------------------------------------------------------------------------

    def _bring(self, places: Places) -> list[Resource]:
        """The newest versions of these resources, those deleted and unreadable left out, sorted by type and id."""
        new = {key: versions for key, versions in places.items() if key not in self._newest}
        fetched = self._reader.fetch([place for versions in new.values() for place in versions])
        for key, versions in new.items():
            self._newest[key] = self._newest_of(key, versions, fetched)
        found = (self._newest[key] for key in sorted(places))
        return [resource for resource in found if resource is not None]

    def _bring_keys(self, keys: Iterable[Key]) -> list[Resource]:
        """The same by type and id, as far as they are there."""
        wanted = set(keys)
        known = {key: resource for key in wanted if (resource := self._newest.get(key)) is not None}
        known |= {(one.type, one.id): one for one in self._bring(self._index.places(wanted - self._newest.keys()))}
        return [known[key] for key in sorted(known)]

    def _newest_of(self, key: Key, versions: Sequence[Place], fetched: Fetched) -> Resource | None:
        readable = [fetched.resources[place] for place in versions if place in fetched.resources]
        if any((one.type, one.id) != key for one in readable):
            raise UnreadableInput("The files changed while they were read", kept="nothing was written")
        for place in versions:
            if place in fetched.faults:
                self._scan.tally.rows[key[0]] -= 1
                self._scan.note_fault(*fetched.faults[place])
        if not readable:
            self._scan.tally.different[key[0]] -= 1
            return None
        last = readable[0] if len(readable) == 1 else _last(readable)
        if self._is_deleted(last):
            self._scan.tally.deleted[key[0]] += 1
            return None
        return last

    def _is_deleted(self, resource: Resource) -> bool:
        """A resource that was updated after its deletion has been made again, and stays."""
        told = self._deletions.get((resource.type, resource.id))
        if not told:
            return False
        updated = instant_of(resource.last_updated)
        return any(when is None or updated is None or updated <= when for when in map(instant_of, told))

    # -- finding the cohort ---------------------------------------------------------------------------------------

    def cohort(self, known: frozenset[str], *, find: bool) -> set[str]:
        """Ids of the cohort's Patients and of all records merged with them."""
        self._bring_keys(self._deletions)
        owners, older = set(known), set[str]()
        if find:
            sure, ambiguous = self._candidates()
            owners |= sure
            infants, older = self._by_age(ambiguous, owners)
            owners |= infants
        linked = self._bring(self._index.marked(cohort.LINKED, "Patient"))
        merges = Merges(pair for patient in linked for pair in links_of(patient.body))
        members = merges.closure(self._patients_of(owners))
        self._past_infancy = len(merges.groups(older - members))
        return members

    def _candidates(self) -> tuple[set[str], list[Resource]]:
        """Owners of a Condition that selects by itself, and the Conditions that select an infant."""
        owners: set[str] = set()
        ambiguous: list[Resource] = []
        for condition in self._bring(self._index.marked(cohort.CANDIDATE, "Condition")):
            strength = cohort.strength_of(condition.body, self._codes)
            if strength == "sure":
                owners.update(condition.owners)
            elif strength == "ambiguous":
                ambiguous.append(condition)
        return owners, ambiguous

    def _by_age(self, conditions: Iterable[Resource], known: Collection[str]) -> tuple[set[str], set[str]]:
        """Owners of these Conditions, but for the known: who can have been under 24 months then, and who can't."""
        undecided = [
            (owner, condition.body) for condition in conditions for owner in condition.owners if owner not in known
        ]
        owners = {owner for owner, _ in undecided}
        patients = {patient.id: patient.body for patient in self._bring_keys(("Patient", owner) for owner in owners)}
        infants = {owner for owner, body in undecided if cohort.may_be_infant(body, patients.get(owner))}
        later = [(owner, body) for owner, body in undecided if owner not in infants]
        named = [target_of(obj(body.get("encounter")).get("reference")) for _, body in later]
        visits = self._bring_keys(("Encounter", target.id) for target in named if target)
        encounters = {visit.id: visit.body for visit in visits}
        for (owner, body), target in zip(later, named, strict=True):
            if target and cohort.may_be_infant(body, patients.get(owner), encounters.get(target.id)):
                infants.add(owner)
        return infants, owners - infants

    def _patients_of(self, owners: set[str]) -> set[str]:
        """Patient ids instead of identifiers, as far as the Patients are there."""
        logical = {owner for owner in owners if owner.startswith("?")}
        if not logical:
            return owners
        found = {
            patient.id
            for patient in self._bring(self._index.of_types(["Patient"]))
            if any(f"?{key}" in logical for key in identifier_keys(patient.body.get("identifier")))
        }
        return (owners - logical) | found

    # -- everything of the cohort ---------------------------------------------------------------------------------

    def close(self, members: set[str], beside: Collection[Target], zone: ZoneInfo) -> Selection:
        """The selection of these Patients: their resources, what they refer to, those beside, and the ledger."""
        patients = self._bring_keys(("Patient", member) for member in members)
        owners = set(members)
        if self._index.logical_owners():
            owners |= {f"?{key}" for patient in patients for key in identifier_keys(patient.body.get("identifier"))}
        own = [
            resource
            for resource in self._bring(self._index.owned(owners, _COMPARTMENT))
            if self._is_read(resource) and owners.intersection(resource.owners)
        ]
        others = self._bring_keys(self._keys_of(beside) | self._roles_of(beside))
        chosen = {(resource.type, resource.id): resource for resource in (*patients, *own, *others)}
        chosen |= {(resource.type, resource.id): resource for resource in self._referenced(list(chosen.values()))}
        for kind, _ in chosen:
            self._scan.tally.in_scope[kind] += 1
        touched = {owner for resource in own for owner in resource.owners} & members
        return Selection(
            resources=[chosen[key] for key in sorted(chosen)],
            ledger=self._scan.tally.close(),
            quarantined=sorted(self._scan.quarantined, key=lambda item: (item.file, item.line, item.type, item.id)),
            deleted=self._deleted(),
            data_through=self._data_through(zone) or recorded_through(chosen.values(), zone),
            infants=frozenset(touched | {patient.id for patient in patients}),
            past_infancy=self._past_infancy,
        )

    def _is_read(self, resource: Resource) -> bool:
        """See `observations.is_read`; the body is parsed for no other type than those."""
        if resource.type not in CODED_TYPES:
            return True
        read = is_read(resource.body, self._codes)
        if read:
            _ = resource.owners, resource.targets  # while the body is there
        resource.release()
        return read

    def _referenced(self, resources: Sequence[Resource]) -> list[Resource]:
        """Practitioners, their roles, organizations, places and medicines that the resources lead to."""
        found: dict[Key, Resource] = {}
        frontier = list(resources)
        while frontier:
            reached = self._bring_keys(self._targets(frontier) - found.keys())
            frontier = [resource for resource in reached if (resource.type, resource.id) not in found]
            found |= {(resource.type, resource.id): resource for resource in frontier}
        return list(found.values())

    def _targets(self, resources: Sequence[Resource]) -> set[Key]:
        named = shared_targets(resources)
        practitioners = [resource for resource in resources if resource.type == "Practitioner"]
        keys = (key for one in practitioners for key in identifier_keys(one.body.get("identifier")))
        known_as = {*(one.id for one in practitioners), *(f"?{key}" for key in keys)}
        people = {*named, *(Target("Practitioner", identity) for identity in known_as)}
        return self._keys_of(named) | self._roles_of(people)  # roles of those who aren't here, too

    def _keys_of(self, targets: Collection[Target]) -> set[Key]:
        """Types and ids; of what is known by its id alone, or by an identifier, as far as it is a shared resource."""
        logical = {target for target in targets if target.id.startswith("?")}
        nameless = {target.id for target in targets if not target.type and target not in logical}
        return {
            *(target for target in targets if target.type and target not in logical),
            *self._index.with_ids(nameless, REFERENCED_TYPES),
            *self._with_identifier(logical),
        }

    def _with_identifier(self, targets: Collection[Target]) -> Iterator[Key]:
        """The shared resources that are referred to by identifier; those of a type are read when one is."""
        wanted = {kind for target in targets for kind in ([target.type] if target.type else REFERENCED_TYPES)}
        for kind in wanted - self._identified.keys():
            self._identified[kind] = Identified(
                (one.type, one.id, one.body.get("identifier")) for one in self._bring(self._index.of_types([kind]))
            )
        for target in targets:
            for kind in [target.type] if target.type else REFERENCED_TYPES:
                yield from self._identified[kind].find(target, [kind])

    def _roles_of(self, targets: Iterable[Target]) -> set[Key]:
        """The roles of the practitioners among these."""
        owners = {target.id for target in targets if target.type in ("Practitioner", "")}
        return set(self._index.owned(owners, ["PractitionerRole"], "Practitioner"))

    def _deleted(self) -> list[Key]:
        """Deletions that hold: not those of resources that were made again."""
        return sorted(key for key in self._deletions if key[0] in IN_SCOPE_TYPES and self._newest.get(key) is None)

    def _data_through(self, zone: ZoneInfo) -> date | None:
        latest = max(
            (moment for moment in (self._scan.updated, self._index.last_updated()) if moment is not None), default=None
        )
        if latest is None:
            return None
        return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=latest)).astimezone(zone).date()
