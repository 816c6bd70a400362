"""The index of lines: what selection needs to know of every resource, one narrow row each, in one engine.

Columns: `file` (position in the list of files), `line` (from 1), `part` (position in a Bundle, else -1), `nth` (0 for a
resource's first row; further rows when it has several owners), `type`, `id` (as JSON text), `owner` (`Patient/<id>`,
`?system|value` for an identifier, or null; see `lines.owners_of`; a PractitionerRole's is `Practitioner/<id>`), `mark`
(see `cohort`), `updated` (meta.lastUpdated in microseconds since 1970, or null).

Resources of types that are out of scope are only counted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

import ibis
import orjson
import pyarrow as pa

from fhir_mapping.engines import Engine

Key = tuple[str, str]  # (type, id)

SCHEMA = pa.schema(
    [
        ("file", pa.int32()),
        ("line", pa.int32()),
        ("part", pa.int32()),
        ("nth", pa.int16()),
        ("type", pa.string()),
        ("id", pa.string()),
        ("owner", pa.string()),
        ("mark", pa.int8()),
        ("updated", pa.int64()),
    ]
)


class Place(NamedTuple):
    """Where a resource stands: sorts by file name, line, and position in a Bundle."""

    file: int
    line: int
    part: int


#: By resource, where each of its versions stands, in order.
Places = dict[Key, list[Place]]


class LineIndex:
    """Questions to the index, as Ibis expressions that any engine answers."""

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self._table = ibis.table(ibis.Schema.from_pyarrow(SCHEMA), name=name)

    def counts(self) -> dict[str, tuple[int, int]]:
        """By type: how many resources there are, and how many different ones."""
        table = self._table.filter(self._table.nth == 0)
        grouped = table.group_by("type").agg(rows=table.count(), ids=table.id.nunique())
        return {kind: (rows, ids) for kind, rows, ids in self._engine.rows(grouped)}

    def last_updated(self) -> int | None:
        """The latest meta.lastUpdated, microseconds since 1970 UTC."""
        ((latest,),) = self._engine.rows(self._table.agg(latest=self._table.updated.max()))
        return None if latest is None else int(latest)

    def marked(self, mark: int, kind: str) -> Places:
        """The resources of the type with a version that has this mark."""
        return self._versions(self._table.filter((self._table.mark == mark) & (self._table.type == kind)))

    def owned(self, owners: Collection[str], kinds: Collection[str], owner_type: str = "Patient") -> Places:
        """The resources of these types with a version that belongs to one of the owners (ids or identifiers)."""
        if not owners:
            return {}
        columns = [owner if owner.startswith("?") else f"{owner_type}/{owner}" for owner in sorted(owners)]
        table = self._table.filter(self._table.type.isin(sorted(kinds)))
        return self._versions(table.semi_join(self._engine.memory({"owner": columns}), "owner"))

    def logical_owners(self) -> bool:
        """Whether any resource knows its owner by an identifier alone."""
        return bool(self._engine.rows(self._table.filter(self._table.owner.startswith("?")).select("type").limit(1)))

    def of_types(self, kinds: Collection[str]) -> Places:
        """Every resource of the types."""
        return self._places(self._table.filter(self._table.type.isin(sorted(kinds))))

    def with_ids(self, ids: Collection[str], kinds: Collection[str]) -> Places:
        """The resources of these types that have one of the ids."""
        if not ids:
            return {}
        table = self._table.filter(self._table.type.isin(sorted(kinds)))
        known = self._engine.memory({"id": [id_text(one) for one in sorted(ids)]})
        return self._places(table.semi_join(known, "id"))

    def places(self, keys: Iterable[Key]) -> Places:
        """These resources, as far as they are there."""
        wanted = sorted(keys)
        if not wanted:
            return {}
        columns = {"type": [kind for kind, _ in wanted], "id": [id_text(identity) for _, identity in wanted]}
        return self._places(self._table.semi_join(self._engine.memory(columns), ["type", "id"]))

    def _versions(self, some: Any) -> Places:
        """All versions of the resources of which there are some."""
        keys = some.select("type", "id").distinct()
        return self._places(self._table.semi_join(keys, ["type", "id"]))

    def _places(self, table: Any) -> Places:
        found: Places = {}
        rows = self._engine.rows(table.filter(table.nth == 0).select("type", "id", "file", "line", "part"))
        for kind, identity, *place in rows:
            found.setdefault((kind, orjson.loads(identity)), []).append(Place(*place))
        return {key: sorted(found[key]) for key in sorted(found)}


def id_text(identity: str) -> str:
    """An id as the index writes it. Lone surrogates can't come: no parser lets them pass."""
    return orjson.dumps(identity).decode()
