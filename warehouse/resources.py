"""Loading resources: an older version never overwrites a newer one, whatever the order of the pulls."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Connection, text

from warehouse.errors import StagingStale

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True)
class Fates:
    """What became of the staged resources of one type, counts."""

    loaded: int = 0
    unchanged: int = 0
    superseded: int = 0
    quarantined: int = 0

    @property
    def total(self) -> int:
        return self.loaded + self.unchanged + self.superseded + self.quarantined


def drop_erased(connection: Connection, source: str, pull_id: str) -> None:
    """Take what belongs to erased infants out of a pull as it is staged, before anything looks at it.

    Their resources are counted as out of scope. What only names one of them (its deletion, a finding) is counted as it
    was, and not kept.
    """
    key = {"source": source, "pull_id": pull_id}
    if not connection.execute(text("SELECT 1 FROM ops.erasure WHERE source = :source LIMIT 1"), key).first():
        return
    connection.execute(text(_ERASED), key)
    connection.execute(
        text(
            """
            WITH removed AS (
                DELETE FROM clinical.stg_resource s
                 WHERE s.source = :source AND s.pull_id = :pull_id
                   AND s.reference_keys || ('Patient/' || coalesce(s.infant, ''))
                       && ARRAY(SELECT key FROM pg_temp.erased)
                RETURNING s.resource_type
            ), deletion AS (
                DELETE FROM clinical.stg_deletion WHERE source = :source AND pull_id = :pull_id
                   AND resource_type || '/' || resource_id IN (SELECT key FROM pg_temp.erased)
            ), finding AS (
                DELETE FROM clinical.stg_quarantine WHERE source = :source AND pull_id = :pull_id
                   AND resource_type || '/' || resource_id IN (SELECT key FROM pg_temp.erased)
            )
            UPDATE ops.stg_ledger l SET in_scope = in_scope - gone.lines, out_of_scope = out_of_scope + gone.lines
              FROM (SELECT resource_type, count(*) AS lines FROM removed GROUP BY resource_type) gone
             WHERE l.source = :source AND l.pull_id = :pull_id AND l.resource_type = gone.resource_type
            """
        ),
        key,
    )
    connection.execute(text("DROP TABLE pg_temp.erased"))


#: Which of the owners, deletions and findings of a staged pull are erased infants and their resources. Each person has
#: a salt of their own.
_ERASED = """
    CREATE TEMPORARY TABLE erased AS
    WITH named AS (
        SELECT key FROM clinical.stg_resource s,
               unnest(s.reference_keys || ('Patient/' || coalesce(s.infant, ''))) AS key
         WHERE s.source = :source AND s.pull_id = :pull_id AND starts_with(key, 'Patient')
        UNION
        SELECT resource_type || '/' || resource_id FROM clinical.stg_deletion
         WHERE source = :source AND pull_id = :pull_id
        UNION
        SELECT resource_type || '/' || resource_id FROM clinical.stg_quarantine
         WHERE source = :source AND pull_id = :pull_id
    )
    SELECT DISTINCT n.key FROM named n
     CROSS JOIN (SELECT DISTINCT salt FROM ops.erasure WHERE source = :source) person
      JOIN ops.erasure e
        ON e.source = :source AND e.owner_hash = encode(sha256(convert_to(person.salt || n.key, 'UTF8')), 'hex')
"""


def load(connection: Connection, source: str, pull_id: str, instant: datetime) -> dict[str, Fates]:
    """Upsert the staged resources and deletions; gives what became of the resources, by type.

    `instant` is the pull's own transaction time: what it says was so then, and deletions happened by then.
    A staged resource is `unchanged` when what is held has the same hash; else it is `loaded` when it is newer by
    (meta.lastUpdated, numeric versionId, time of the pull), a resource without lastUpdated being the older one
    (`fhir_mapping.newest`); else it is `superseded`. One that the mapping could not read is stored just so, since a
    later rule may read it, but counted as `quarantined`.
    """
    key = {"source": source, "pull_id": pull_id, "instant": instant}
    connection.execute(text("DROP TABLE IF EXISTS pg_temp.fate"))
    connection.execute(
        text(
            """
            CREATE TEMPORARY TABLE fate ON COMMIT DROP AS
            WITH unreadable AS (
                SELECT DISTINCT resource_type, resource_id FROM clinical.stg_quarantine
                 WHERE source = :source AND pull_id = :pull_id AND stage = 'map'
            )
            SELECT s.resource_type, s.resource_id, u.resource_id IS NOT NULL AS quarantined,
                   CASE WHEN r.source IS NULL THEN 'loaded'
                        WHEN r.deleted AND coalesce(s.updated_at, CAST(:instant AS timestamptz)) > r.updated_at
                             THEN 'loaded'
                        WHEN r.deleted THEN 'superseded'
                        WHEN r.sha256 = s.sha256 AND r.quarantined = (u.resource_id IS NOT NULL) THEN 'unchanged'
                        WHEN r.sha256 = s.sha256 THEN 'loaded'
                        WHEN (coalesce(s.updated_at, '-infinity'), s.version_number, CAST(:instant AS timestamptz))
                           > (coalesce(r.updated_at, '-infinity'), r.version_number, r.seen_at) THEN 'loaded'
                        ELSE 'superseded' END AS fate
              FROM clinical.stg_resource s
              LEFT JOIN clinical.resource r USING (source, resource_type, resource_id)
              LEFT JOIN unreadable u USING (resource_type, resource_id)
             WHERE s.source = :source AND s.pull_id = :pull_id
            """
        ),
        key,
    )
    # Without statistics the planner takes either side of the next join for a row or two, and compares all with all.
    connection.execute(text("CREATE UNIQUE INDEX ON pg_temp.fate (resource_type, resource_id)"))
    connection.execute(text("ANALYZE pg_temp.fate"))
    connection.execute(
        text(
            """
            INSERT INTO clinical.resource (source, resource_type, resource_id, version_id, last_updated, updated_at,
                   version_number, seen_at, sha256, pull_id, deleted, quarantined, infant, reference_keys,
                   nonconformant_paths, body)
            SELECT s.source, s.resource_type, s.resource_id, s.version_id, s.last_updated, s.updated_at,
                   s.version_number, :instant, s.sha256, s.pull_id, false, f.quarantined, s.infant, s.reference_keys,
                   c.paths, s.body
              FROM clinical.stg_resource s
              JOIN fate f USING (resource_type, resource_id)
              LEFT JOIN clinical.stg_conformance c USING (source, pull_id, resource_type, resource_id)
             WHERE s.source = :source AND s.pull_id = :pull_id AND f.fate = 'loaded'
            ON CONFLICT (source, resource_type, resource_id) DO UPDATE SET
                   version_id = excluded.version_id, last_updated = excluded.last_updated,
                   updated_at = excluded.updated_at, version_number = excluded.version_number,
                   seen_at = excluded.seen_at, sha256 = excluded.sha256, pull_id = excluded.pull_id,
                   deleted = false, quarantined = excluded.quarantined, infant = excluded.infant,
                   reference_keys = excluded.reference_keys, nonconformant_paths = excluded.nonconformant_paths,
                   body = excluded.body
            """
        ),
        key,
    )
    connection.execute(
        text(
            """
            INSERT INTO clinical.resource AS r (source, resource_type, resource_id, version_id, last_updated,
                   updated_at, version_number, seen_at, sha256, pull_id, deleted, quarantined, infant,
                   reference_keys)
            SELECT source, resource_type, resource_id, '', '', :instant, -1, :instant, '', pull_id, true, false, NULL,
                   '{}'
              FROM clinical.stg_deletion WHERE source = :source AND pull_id = :pull_id
            ON CONFLICT (source, resource_type, resource_id) DO UPDATE SET
                   version_id = '', last_updated = '', updated_at = excluded.updated_at, version_number = -1,
                   seen_at = excluded.seen_at, sha256 = '', pull_id = excluded.pull_id,
                   deleted = true, quarantined = false, nonconformant_paths = NULL, body = NULL
             WHERE NOT r.deleted AND coalesce(r.updated_at, r.seen_at) <= excluded.updated_at
            """
        ),
        key,
    )
    rows = connection.execute(
        text(
            "SELECT resource_type, CASE WHEN quarantined AND fate <> 'superseded' THEN 'quarantined' ELSE fate END, "
            "count(*) FROM fate GROUP BY 1, 2"
        )
    )
    counts: dict[str, Counter[str]] = {}
    for kind, fate, count in [*rows, *_unchanged(connection, source, pull_id)]:
        counts.setdefault(kind, Counter())[fate] += count
    return {kind: Fates(**fates) for kind, fates in counts.items()}


def _unchanged(connection: Connection, source: str, pull_id: str) -> list[tuple[str, str, int]]:
    """(type, "unchanged", count) of what was staged by its key alone; it must still be held just so."""
    rows = connection.execute(
        text(
            "SELECT s.resource_type, count(*), count(r.source) FROM clinical.stg_unchanged s "
            "LEFT JOIN clinical.resource r ON (r.source, r.resource_type, r.resource_id, r.sha256) "
            "= (s.source, s.resource_type, s.resource_id, s.sha256) "
            "WHERE s.source = :source AND s.pull_id = :pull_id GROUP BY s.resource_type"
        ),
        {"source": source, "pull_id": pull_id},
    ).all()
    if any(staged != held for _, staged, held in rows):
        raise StagingStale(
            f"What pull {pull_id} was compared with has changed since it was staged",
            source=source,
            kept="the landed pull; the warehouse is as it was",
            next_step="run `iess load` again, which selects, maps and loads it",
        )
    return [(kind, "unchanged", staged) for kind, staged, _ in rows]
