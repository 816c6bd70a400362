"""Patient.link: which Patient records are one person, and which of them survives (FHIR R4 Patient.link.type).

`replaced-by`, `replaces` and `refer` join records; `refer` points to the main source of information. `seealso`
only points to another record of the same person elsewhere, and joins nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fhir_mapping.references import target_of

Json = dict[str, Any]


def links_of(patient: Json) -> list[tuple[str, str]]:
    """(replaced id, surviving id) pairs that one Patient states."""
    pairs = []
    links = patient.get("link")
    for link in links if isinstance(links, list) else []:
        if not isinstance(link, dict) or not isinstance(link.get("other"), dict):
            continue
        target = target_of(link["other"].get("reference"))
        if target is None or target.type not in ("Patient", "") or target.id == patient["id"]:
            continue
        if link.get("type") in ("replaced-by", "refer"):
            pairs.append((patient["id"], target.id))
        elif link.get("type") == "replaces":
            pairs.append((target.id, patient["id"]))
    return pairs


class Merges:
    """Groups of Patient ids that are one person, with the id that survives in each."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._parent: dict[str, str] = {}
        self._replaced: set[str] = set()
        for replaced, surviving in pairs:
            self._replaced.add(replaced)
            one, other = self._root(replaced), self._root(surviving)
            self._parent[max(one, other)] = min(one, other)

    def _root(self, identity: str) -> str:
        root = identity
        while self._parent.setdefault(root, root) != root:
            root = self._parent[root]
        while self._parent[identity] != root:
            self._parent[identity], identity = root, self._parent[identity]
        return root

    def groups(self, ids: Iterable[str]) -> dict[str, list[str]]:
        """By group (named by its smallest id): the sorted ids, given and linked ones alike, that belong to it."""
        roots = {self._root(identity) for identity in ids}
        members: dict[str, list[str]] = {root: [] for root in roots}
        for identity in sorted(self._parent):
            root = self._root(identity)
            if root in members:
                members[root].append(identity)
        return dict(sorted(members.items()))

    def closure(self, ids: Iterable[str]) -> set[str]:
        """The ids and all that are one person with them."""
        return {member for members in self.groups(ids).values() for member in members}

    def survivor(self, members: Iterable[str], patients: Mapping[str, Json]) -> str | None:
        """The surviving id among the members that have a Patient resource; None when none has.

        A record that nothing replaces, then an active one, then the smallest id: so a loop of links ends too.
        """
        present = [identity for identity in members if identity in patients]
        if not present:
            return None
        return min(
            present,
            key=lambda identity: (
                identity in self._replaced,
                patients[identity].get("active") is False,
                identity,
            ),
        )
