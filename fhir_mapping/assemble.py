"""From resources to infants: each infant's own record, merged Patients and their resources included."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from fhir_mapping.merges import Merges, links_of
from fhir_mapping.model import InfantRecord, Resource
from fhir_mapping.references import Identified, Target, identifier_keys
from fhir_source.source import REFERENCED_TYPES

_HOPS = 3  # Encounter -> PractitionerRole -> Organization -> parent Organization


def infant_records(resources: Iterable[Resource]) -> list[InfantRecord]:
    """One record a person who has a Patient resource, sorted by the surviving id.

    Takes the newest version of each resource only (`newest.newest`). Resources of people without a Patient resource
    belong to no record.
    """
    ordered = sorted(resources, key=lambda resource: (resource.type, resource.id))
    patients = {resource.id: resource for resource in ordered if resource.type == "Patient"}
    merges = Merges(pair for patient in patients.values() for pair in links_of(patient.body))
    shared = _Shared(ordered)
    owned = _by_owner(ordered, patients)
    bodies = {identity: patient.body for identity, patient in patients.items()}
    records = []
    for members in merges.groups(patients).values():
        infant = merges.survivor(members, bodies)
        if infant is None:
            continue
        merged = tuple(patients[member] for member in members if member in patients and member != infant)
        own = {(resource.type, resource.id): resource for member in members for resource in owned.get(member, ())}
        records.append(_record(patients[infant], merged, [own[key] for key in sorted(own)], shared))
    return sorted(records, key=lambda record: record.infant)


def _by_owner(ordered: Iterable[Resource], patients: dict[str, Resource]) -> dict[str, list[Resource]]:
    """Resources by the Patient id that they belong to; an identifier is looked up among the Patients."""
    identified: dict[str, set[str]] = defaultdict(set)
    for patient in patients.values():
        for key in identifier_keys(patient.body.get("identifier")):
            identified[f"?{key}"].add(patient.id)
    owned: dict[str, list[Resource]] = defaultdict(list)
    for resource in ordered:
        if resource.type == "Patient" or resource.type in REFERENCED_TYPES:
            continue
        for owner in resource.owners:
            # An identifier that two Patients share points to neither.
            matches = identified.get(owner, set()) if owner.startswith("?") else {owner}
            if len(matches) == 1:
                owned[next(iter(matches))].append(resource)
    return owned


class _Shared:
    """Practitioners, organizations, places and medicines, which belong to no one infant."""

    def __init__(self, ordered: Iterable[Resource]) -> None:
        shared = [resource for resource in ordered if resource.type in REFERENCED_TYPES]
        self.by_reference = {resource.reference: resource for resource in shared}
        self._identified = Identified((one.type, one.id, one.body.get("identifier")) for one in shared)
        self._by_id: dict[str, list[Resource]] = defaultdict(list)
        self._roles: dict[str, list[Resource]] = defaultdict(list)
        for resource in shared:
            self._by_id[resource.id].append(resource)
            if resource.type == "PractitionerRole":
                for owner in resource.owners:
                    for practitioner in self._practitioners(owner):
                        self._roles[practitioner].append(resource)

    def needed_by(self, own: Sequence[Resource]) -> dict[str, Resource]:
        """Those that the resources refer to, directly or through others, with the roles of each practitioner."""
        found: dict[str, Resource] = {}
        frontier = list(own)
        for _ in range(_HOPS):
            reached = [
                target for resource in frontier for target in self._targets(resource) if target.reference not in found
            ]
            found.update({target.reference: target for target in reached})
            frontier = reached
        return dict(sorted(found.items()))

    def _targets(self, resource: Resource) -> list[Resource]:
        targets = []
        for target in resource.targets:
            if target.id.startswith("?"):
                targets += self._with_identifier(target)
            elif target.type:
                known = self.by_reference.get(f"{target.type}/{target.id}")
                targets += [known] if known else []
            else:
                targets += self._by_id.get(target.id, [])
            if target.type in ("Practitioner", ""):
                targets += self._roles.get(target.id, [])
        if resource.type == "Practitioner":
            targets += self._roles.get(resource.id, [])
        return targets

    def _practitioners(self, owner: str) -> list[str]:
        """The id of the Practitioner whose role it is, who need not be here."""
        if not owner.startswith("?"):
            return [owner]
        return [found.id for found in self._with_identifier(Target("Practitioner", owner))] or [owner]

    def _with_identifier(self, target: Target) -> list[Resource]:
        found = self._identified.find(target, REFERENCED_TYPES)
        return [self.by_reference[f"{kind}/{identity}"] for kind, identity in found]


def _record(patient: Resource, merged: tuple[Resource, ...], own: list[Resource], shared: _Shared) -> InfantRecord:
    by_type: dict[str, list[Resource]] = defaultdict(list)
    for resource in own:
        by_type[resource.type].append(resource)
    return InfantRecord(
        infant=patient.id,
        patient=patient,
        merged=merged,
        resources={kind: tuple(resources) for kind, resources in sorted(by_type.items())},
        references=shared.needed_by([patient, *merged, *own]),
    )
