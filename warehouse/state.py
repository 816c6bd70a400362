"""What the warehouse holds: the cohort, its resources, its timelines, how far each source is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pandas as pd
from sqlalchemy import Connection, Engine, text

from fhir_mapping.contract import COLUMNS, INTERVALS
from fhir_mapping.model import Resource
from fhir_mapping.references import Target
from fhir_source.source import REFERENCED_TYPES
from warehouse.attributes import AREA, ATTRIBUTES
from warehouse.errors import translated
from warehouse.views import TIMELINE_COLUMNS, TIMELINE_SELECT

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date, datetime

#: Who was still waiting on the last day that was counted to, and so has waited longer since; and those of whom
#: something is recorded for a later day, which may have come by now.
_WAITING = f"""
    SELECT t.infant FROM clinical.referral_timeline t
     WHERE t.source = :source AND t.valid_to IS NULL
       AND ('censored' IN ({", ".join(f"t.status_{interval.name}" for interval in INTERVALS)})
            AND t.censored_on >= (SELECT max(coalesce(p.as_of, p.data_through)) FROM ops.pull p
                                   WHERE p.source = :source)
            OR 'date_after_horizon' = ANY(string_to_array(t.flags, ';')))
"""  # noqa: S608 - our own names
_INTEGERS = [
    *(column.name for column in COLUMNS if column.type == "int"),
    *(attribute.name for attribute in ATTRIBUTES if attribute.type == "int"),
    "deprivation_quintile",
]


#: Every way in which others refer to a shared resource `r`: by type and id, by a bare id (`urn:uuid:`), and by each of
#: its identifiers, with its type or without.
_KNOWN_BY = """LATERAL (
    SELECT r.resource_type || '/' || r.resource_id AS key
    UNION ALL SELECT '?/' || r.resource_id
    UNION ALL SELECT unnest(ARRAY[own, substr(own, length(r.resource_type) + 1)])
      FROM unnest(r.reference_keys) AS own WHERE starts_with(own, r.resource_type || '?')) AS known"""
_STAGED_PATIENTS = """
    UNION ALL
    SELECT resource_id, reference_keys FROM clinical.stg_resource
     WHERE source = :source AND resource_type = 'Patient'"""


def known_infants(engine: Engine, source: str) -> frozenset[str]:
    """Patient ids of the cohort, those linked to them and those who left it included: their record may change back.

    A resource that turned out to be another patient's makes no infant of them.
    """
    with translated(source), engine.connect() as connection:
        rows = connection.execute(
            text(
                "SELECT DISTINCT infant FROM clinical.resource WHERE source = :source AND infant IS NOT NULL "
                "AND resource_type IN ('Patient', 'Condition') AND NOT deleted"
            ),
            {"source": source},
        )
        return linked(connection, source, rows.scalars(), staged=False)


def known_targets(engine: Engine, source: str) -> frozenset[Target]:
    """What later pulls may tell anew: every resource that is held, and the shared ones that these refer to."""
    with translated(source), engine.connect() as connection:
        held = connection.execute(
            text("SELECT resource_type, resource_id FROM clinical.resource WHERE source = :source AND NOT deleted"),
            {"source": source},
        ).all()
        keys = connection.execute(
            text(
                "SELECT DISTINCT key FROM clinical.resource, unnest(reference_keys) AS key "
                "WHERE source = :source AND NOT deleted AND NOT starts_with(key, 'Patient') "
                # A shared resource is known by its own identifiers, too.
                "AND NOT (resource_type = ANY(:shared) AND position('?' in key) > 0)"
            ),
            {"source": source, "shared": list(REFERENCED_TYPES)},
        ).scalars()
        return frozenset({*(Target(kind, identity) for kind, identity in held), *map(_target, keys)})


def _target(key: str) -> Target:
    """What a reference key of `warehouse.staged_rows` stands for."""
    kind, mark, rest = key.partition("?")
    if not mark:
        return Target(*key.split("/", 1))
    return Target(kind, rest[1:] if rest.startswith("/") else f"?{rest}")


def current_resources(engine: Engine, source: str, infants: Iterable[str], *, staged: bool = True) -> list[Resource]:
    """The current resources of these Patients and of all linked with them, and all shared ones; by type and id.

    Deleted resources are not among them. `staged`: links that are only staged count too, as a load needs it; the
    clinical role may not read staging.
    """
    with translated(source), engine.connect() as connection:
        members = sorted(linked(connection, source, infants, staged=staged))
        rows = connection.execute(
            text(
                f"""
                WITH patient AS (
                    SELECT resource_id, reference_keys FROM clinical.resource
                     WHERE source = :source AND resource_type = 'Patient'
                    {_STAGED_PATIENTS if staged else ""}
                ), member AS (
                    SELECT unnest(CAST(:members AS text[])) AS id
                ), known_by AS (
                    SELECT 'Patient/' || id AS key FROM member
                    UNION
                    SELECT key FROM patient JOIN member ON patient.resource_id = member.id,
                           unnest(patient.reference_keys) AS key
                     WHERE starts_with(key, 'Patient?')
                ), own AS (
                    SELECT r.resource_type, r.resource_id FROM clinical.resource r
                      JOIN member ON r.infant = member.id WHERE r.source = :source
                    UNION
                    SELECT resource_type, resource_id FROM clinical.resource
                     WHERE source = :source AND reference_keys && (SELECT array_agg(key) FROM known_by)
                       AND resource_type <> 'Patient'
                    UNION
                    SELECT resource_type, resource_id FROM clinical.resource
                     WHERE source = :source AND resource_type = ANY(:shared)
                )
                SELECT r.resource_type, r.resource_id, r.version_id, r.last_updated, r.body::text, r.sha256
                  FROM clinical.resource r JOIN own USING (resource_type, resource_id)
                 WHERE r.source = :source AND NOT r.deleted
                 ORDER BY r.resource_type, r.resource_id
                """  # noqa: S608 - our own SQL
            ),
            {"source": source, "members": members, "shared": list(REFERENCED_TYPES)},
        )
        return [
            Resource(kind, identity, version, updated, orjson.loads(body), sha256=sha256)
            for kind, identity, version, updated, body, sha256 in rows
        ]


def linked(connection: Connection, source: str, infants: Iterable[str], *, staged: bool = True) -> frozenset[str]:
    """These Patient ids with all that Patient.link joins them to, in stored and, unless told not to, staged ones."""
    rows = connection.execute(
        text(
            f"""
            WITH RECURSIVE edge AS (
                SELECT resource_id AS one, split_part(key, '/', 2) AS other
                  FROM (SELECT resource_id, reference_keys FROM clinical.resource
                         WHERE source = :source AND resource_type = 'Patient'
                        {_STAGED_PATIENTS if staged else ""}) patient,
                       unnest(reference_keys) AS key
                 WHERE starts_with(key, 'Patient/') OR starts_with(key, '?/')
            ), both_ways AS (
                SELECT one, other FROM edge UNION SELECT other, one FROM edge
            ), member AS (
                SELECT unnest(CAST(:infants AS text[])) AS id
                UNION
                SELECT b.other FROM member m JOIN both_ways b ON b.one = m.id
            )
            SELECT id FROM member
            """  # noqa: S608 - our own SQL
        ),
        {"source": source, "infants": sorted(infants)},
    )
    return frozenset(rows.scalars())


def touched(connection: Connection, source: str, pull_id: str) -> frozenset[str]:
    """See `warehouse.staging.touched_infants`."""
    rows = connection.execute(
        text(
            f"""
            WITH arrived AS (
                SELECT s.resource_type, s.resource_id, s.infant, s.reference_keys
                  FROM clinical.stg_resource s
                 WHERE s.source = :source AND s.pull_id = :pull_id
            ), lost AS (
                SELECT r.resource_type, r.resource_id, r.infant, r.reference_keys
                  FROM clinical.resource r JOIN clinical.stg_deletion d USING (source, resource_type, resource_id)
                 WHERE d.source = :source AND d.pull_id = :pull_id
                UNION ALL
                -- Whose it was until now: a record may be moved to another patient.
                SELECT r.resource_type, r.resource_id, r.infant, r.reference_keys
                  FROM arrived a JOIN clinical.resource r ON (r.source, r.resource_type, r.resource_id)
                     = (:source, a.resource_type, a.resource_id)
                 WHERE NOT r.resource_type = ANY(:shared)
            ), changed_shared AS (
                SELECT a.resource_type, a.resource_id, a.reference_keys FROM arrived a
                  LEFT JOIN clinical.resource r
                    ON (r.source, r.resource_type, r.resource_id) = (:source, a.resource_type, a.resource_id)
                  LEFT JOIN clinical.stg_resource s
                    ON (s.source, s.pull_id, s.resource_type, s.resource_id)
                     = (:source, :pull_id, a.resource_type, a.resource_id)
                 WHERE a.resource_type = ANY(:shared) AND r.sha256 IS DISTINCT FROM s.sha256
                UNION ALL
                SELECT resource_type, resource_id, reference_keys FROM lost WHERE resource_type = ANY(:shared)
            ), near AS (
                -- A role belongs to its practitioner: who refers to the practitioner is concerned too.
                SELECT ARRAY(
                    SELECT key FROM changed_shared r, {_KNOWN_BY}
                    UNION SELECT unnest(reference_keys) FROM changed_shared WHERE resource_type = 'PractitionerRole'
                ) AS keys
            ), far AS (
                SELECT near.keys || ARRAY(
                    SELECT key FROM clinical.resource r, {_KNOWN_BY}
                     WHERE r.source = :source AND r.resource_type = ANY(:shared) AND r.reference_keys && near.keys
                    UNION
                    SELECT key FROM unnest(near.keys) AS named
                      JOIN clinical.resource r ON (r.source, r.resource_type, r.resource_id)
                         = (:source, split_part(named, '/', 1), split_part(named, '/', 2)), {_KNOWN_BY}
                ) AS keys FROM near
            ), owner_keys AS (
                SELECT unnest(reference_keys) AS key FROM arrived WHERE NOT resource_type = ANY(:shared)
                UNION
                SELECT unnest(reference_keys) FROM lost WHERE NOT resource_type = ANY(:shared)
            )
            SELECT infant FROM arrived WHERE infant IS NOT NULL
            UNION
            SELECT r.infant FROM clinical.resource r
              JOIN ops.stg_pull s ON s.source = :source AND s.pull_id = :pull_id
             WHERE r.source = :source AND r.infant IS NOT NULL AND s.mapping_version IS DISTINCT FROM
                   (SELECT p.mapping_version FROM ops.pull p WHERE p.source = :source ORDER BY p.sequence DESC LIMIT 1)
            UNION
            SELECT infant FROM lost WHERE infant IS NOT NULL
            UNION
            SELECT substr(key, 9) FROM owner_keys WHERE starts_with(key, 'Patient/')
            UNION
            SELECT p.resource_id FROM clinical.resource p
             WHERE p.source = :source AND p.resource_type = 'Patient'
               AND p.reference_keys && ARRAY(SELECT key FROM owner_keys WHERE starts_with(key, 'Patient?'))
            UNION
            SELECT r.infant FROM clinical.resource r, far
             WHERE r.source = :source AND r.infant IS NOT NULL AND NOT r.deleted
               AND cardinality(far.keys) > 0 AND r.reference_keys && far.keys
            UNION
            """  # noqa: S608 - our own SQL
            + _WAITING
        ),
        {"source": source, "pull_id": pull_id, "shared": list(REFERENCED_TYPES)},
    )
    return linked(connection, source, rows.scalars())


def watermark(engine: Engine, source: str) -> str | None:
    """The server's instant from which the next pull asks, as the server wrote it; None before the first load."""
    with translated(source), engine.connect() as connection:
        found: str | None = connection.execute(
            text("SELECT transaction_time FROM ops.watermark WHERE source = :source"), {"source": source}
        ).scalar_one_or_none()
        return found


def data_through(engine: Engine, source: str) -> date | None:
    """The last local date that the loaded pulls of the source have data for."""
    with translated(source), engine.connect() as connection:
        found: date | None = connection.execute(
            text("SELECT max(data_through) FROM ops.pull WHERE source = :source"), {"source": source}
        ).scalar_one_or_none()
        return found


def loaded_pulls(engine: Engine, source: str) -> frozenset[str]:
    """Ids of the pulls that are loaded."""
    with translated(source), engine.connect() as connection:
        rows = connection.execute(text("SELECT pull_id FROM ops.pull WHERE source = :source"), {"source": source})
        return frozenset(rows.scalars())


def timelines(connection: Connection, *, as_known: datetime | None = None) -> pd.DataFrame:
    """Referral timelines, one row an infant, sorted by source and infant: current ones, or those known at `as_known`.

    Columns: the contract's in its order, then every attribute of `fhir_mapping/attributes.csv` by its name (spd15,
    caregiver_race_ethnicity, etiology, gestational_weeks ...), then `deprivation_quintile` (1 least, 5 most deprived;
    by the table that is loaded now). Dates are `datetime.date`, missing values None; numbers are `Int64`; `evidence`
    is a dict.
    """
    if as_known is None:
        rows = connection.execute(
            text(f"SELECT {', '.join(TIMELINE_COLUMNS)} FROM clinical.v_timeline ORDER BY source, infant")  # noqa: S608
        )
    else:
        rows = connection.execute(
            text(
                f"SELECT {TIMELINE_SELECT} FROM clinical.timeline_as_of(:as_known) t {AREA} "  # noqa: S608
                "ORDER BY t.source, t.infant"
            ),
            {"as_known": as_known},
        )
    frame = pd.DataFrame(rows.all(), columns=list(TIMELINE_COLUMNS), dtype=object)
    return frame.astype(dict.fromkeys(_INTEGERS, "Int64"))


def ledgers(engine: Engine, source: str | None = None) -> pd.DataFrame:
    """The ledger of each loaded pull's last attempt: source, pull_id, attempt, resource_type and counts; sorted."""
    with translated(source), engine.connect() as connection:
        rows = connection.execute(
            text(
                "SELECT source, pull_id, attempt, resource_type, received, loaded, unchanged, superseded, deleted, "
                "out_of_scope, quarantined FROM ops.v_ledger "
                "WHERE CAST(:source AS text) IS NULL OR source = :source ORDER BY source, pull_id, resource_type"
            ),
            {"source": source},
        )
        return pd.DataFrame(rows.all(), columns=list(rows.keys()))
