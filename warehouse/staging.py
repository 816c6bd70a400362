"""Staging: what a pull brought, beside the warehouse, until its load. Staging a pull again replaces what was there."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import TYPE_CHECKING

import orjson
from sqlalchemy import Connection, Engine, text

from fhir_mapping.model import Resource
from fhir_mapping.newest import instant_of
from fhir_source.errors import LandingDamaged
from warehouse import planner, resources, state
from warehouse.copying import copy_rows, copy_texts
from warehouse.errors import StagingStale, translated
from warehouse.schema.contract import content_names
from warehouse.staged_rows import RESOURCE_COLUMNS, clean, resource_row, timeline_row

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date, datetime

    from fhir_mapping.model import Conformance, MappedInfant, Quarantined
    from fhir_mapping.select import Selection
    from fhir_source.landing import Manifest

SELECTED = (
    "clinical.stg_resource",
    "clinical.stg_unchanged",
    "clinical.stg_deletion",
    "ops.stg_ledger",
    "ops.stg_pull",
)
MAPPED = ("clinical.stg_event", "clinical.stg_timeline", "clinical.stg_infant", "clinical.stg_conformance")
#: All of staging, in the order in which it is locked.
STAGED = (*SELECTED, *MAPPED, "clinical.stg_quarantine")
_EVENT_COLUMNS = (
    "infant",
    "milestone",
    "low",
    "high",
    "precision",
    "rule",
    "certainty",
    "resource_type",
    "resource_id",
    "version_id",
    "detail",
)
_LEDGER_COLUMNS = ("received", "in_scope", "out_of_scope", "superseded", "deleted", "quarantined")


def stage_selection(
    engine: Engine, manifest: Manifest, selection: Selection, *, mapping_version: str | None = None
) -> None:
    """Stage the selected resources, deletions, findings and counts of a pull, in one transaction.

    Of a resource that the warehouse holds just so, only the key is staged: a pull without a change costs little. What
    belongs to erased infants is not staged.
    `mapping_version` (`fhir_mapping.version`) says by which rules the pull is to be mapped: other rules than those of
    the source's last load touch every infant of the source.
    """
    key = (manifest.source, manifest.pull_id)
    with translated(manifest.source), engine.begin() as connection:
        _serialise(connection, *key)
        clear(connection, *key)
        changed = _set_unchanged_aside(connection, *key, selection.resources)
        copy_rows(connection, "clinical.stg_resource", RESOURCE_COLUMNS, (resource_row(*key, one) for one in changed))
        copy_rows(
            connection,
            "clinical.stg_deletion",
            ("source", "pull_id", "resource_type", "resource_id"),
            ((*key, kind, identity) for kind, identity in sorted(set(selection.deleted))),
        )
        _stage_quarantine(connection, key, "select", ((item, None) for item in selection.quarantined))
        copy_rows(
            connection,
            "ops.stg_ledger",
            ("source", "pull_id", "resource_type", *_LEDGER_COLUMNS),
            (
                (*key, kind, *(getattr(line, column) for column in _LEDGER_COLUMNS))
                for kind, line in sorted(selection.ledger.items())
            ),
        )
        resources.drop_erased(connection, *key)
        connection.execute(
            text(
                "INSERT INTO ops.stg_pull (source, pull_id, transaction_time, data_through, mapping_version) "
                "VALUES (:source, :pull_id, :instant, :data_through, :mapping_version)"
            ),
            {
                "source": key[0],
                "pull_id": key[1],
                "instant": transaction_instant(manifest),
                "data_through": _reached(selection.data_through, transaction_instant(manifest)),
                "mapping_version": mapping_version,
            },
        )
        planner.analyse(connection, SELECTED)


def _reached(data_through: date | None, instant: datetime) -> date | None:
    """A pull has no data of days after its time, in any time zone; records that say so have a wrong date."""
    asked, next_day = instant.astimezone(UTC).date(), timedelta(days=1)
    return asked + next_day if data_through is not None and data_through - next_day > asked else data_through


def stage_mapping(
    engine: Engine,
    source: str,
    pull_id: str,
    mapped: Iterable[MappedInfant],
    verdicts: Iterable[Conformance],
    *,
    timezone: str | None = None,
    as_of: date | None = None,
) -> None:
    """Stage milestones, timelines, exclusions and verdicts of a pull whose selection is staged, in one transaction.

    `timezone` is the IANA zone that local dates were counted in; the load refuses another than before. `as_of` is the
    local date up to which open waits were counted.
    Raises StagingStale when the pull isn't staged.
    """
    key = (source, pull_id)
    infants = sorted(mapped, key=lambda one: one.infant)
    with translated(source), engine.begin() as connection:
        _serialise(connection, *key)
        _delete(connection, MAPPED, *key)
        _delete(connection, ("clinical.stg_quarantine",), *key, extra="AND stage = 'map'")
        copy_rows(
            connection,
            "clinical.stg_event",
            ("source", "pull_id", "n", *_EVENT_COLUMNS),
            (
                (*key, n, *(getattr(event, column) for column in _EVENT_COLUMNS))
                for one in infants
                for n, event in enumerate(one.events, 1)
            ),
        )
        copy_rows(
            connection,
            "clinical.stg_timeline",
            ("source", "pull_id", "infant", "content_sha256", *content_names()),
            (timeline_row(*key, one, one.row) for one in infants if one.row is not None),
        )
        copy_rows(
            connection,
            "clinical.stg_infant",
            ("source", "pull_id", "infant", "excluded"),
            ((*key, one.infant, one.excluded) for one in infants),
        )
        copy_rows(
            connection,
            "clinical.stg_conformance",
            ("source", "pull_id", "resource_type", "resource_id", "paths"),
            ((*key, verdict.type, verdict.id, [clean(path) for path in verdict.paths]) for verdict in verdicts),
        )
        _stage_quarantine(connection, key, "map", ((item, one.infant) for one in infants for item in one.quarantined))
        updated = connection.execute(
            text(
                "UPDATE ops.stg_pull SET timezone = :timezone, as_of = :as_of, mapped_after = "
                "(SELECT coalesce(max(sequence), 0) FROM ops.pull WHERE source = :source) "
                "WHERE source = :source AND pull_id = :pull_id"
            ),
            {"source": source, "pull_id": pull_id, "timezone": timezone, "as_of": as_of},
        )
        if updated.rowcount == 0:
            raise StagingStale(
                f"Pull {pull_id} is not staged",
                source=source,
                kept="the warehouse is as it was",
                next_step="run `iess load` again, which selects, maps and loads it",
            )
        planner.analyse(connection, MAPPED)


def staged_resources(engine: Engine, source: str, pull_id: str) -> list[Resource]:
    """The staged resources of a pull that the warehouse does not hold just so, sorted by type and id.

    Those are left out that were deleted later than they were updated: a later pull, loaded before this one, may
    have told of the deletion.
    """
    with translated(source), engine.connect() as connection:
        rows = connection.execute(
            text(
                "SELECT s.resource_type, s.resource_id, s.version_id, s.last_updated, s.body::text, s.file, s.line, "
                "s.sha256 FROM clinical.stg_resource s JOIN ops.stg_pull p USING (source, pull_id) "
                "LEFT JOIN clinical.resource r ON r.source = s.source AND r.resource_type = s.resource_type "
                "AND r.resource_id = s.resource_id AND r.deleted "
                "AND r.updated_at >= coalesce(s.updated_at, p.transaction_time) "
                "WHERE s.source = :source AND s.pull_id = :pull_id AND r.source IS NULL "
                "ORDER BY s.resource_type, s.resource_id"
            ),
            {"source": source, "pull_id": pull_id},
        )
        return [
            Resource(kind, identity, version, updated, orjson.loads(body), file, line, sha256)
            for kind, identity, version, updated, body, file, line, sha256 in rows
        ]


def staged_deletions(engine: Engine, source: str, pull_id: str) -> frozenset[tuple[str, str]]:
    """(type, id) of the resources that a staged pull deletes, but those that are known to have been updated since."""
    with translated(source), engine.connect() as connection:
        rows = connection.execute(
            text(
                "SELECT d.resource_type, d.resource_id FROM clinical.stg_deletion d "
                "JOIN ops.stg_pull p USING (source, pull_id) "
                "LEFT JOIN clinical.resource r USING (source, resource_type, resource_id) "
                "WHERE d.source = :source AND d.pull_id = :pull_id "
                "AND coalesce(r.updated_at, r.seen_at, p.transaction_time) <= p.transaction_time"
            ),
            {"source": source, "pull_id": pull_id},
        )
        return frozenset((kind, identity) for kind, identity in rows)


def transaction_instant(manifest: Manifest) -> datetime:
    """The pull's transaction time as an instant. Raises LandingDamaged when it can't be read."""
    instant = instant_of(manifest.transaction_time)
    if instant is None:
        raise LandingDamaged(
            f"The manifest of pull {manifest.pull_id} has no readable transaction time", source=manifest.source
        )
    return instant


def touched_infants(engine: Engine, source: str, pull_id: str) -> frozenset[str]:
    """Patient ids whose timeline a staged pull may change, with all Patients that are linked to them.

    Those with a new or changed resource in the pull, those who lose one by a deletion, those who refer to a
    practitioner, organization, place or medicine that changed, and those who were still waiting when their data ended.
    All infants of the source when the rules are other ones than those of its last load.
    """
    with translated(source), engine.connect() as connection:
        return state.touched(connection, source, pull_id)


def _set_unchanged_aside(
    connection: Connection, source: str, pull_id: str, selected: Sequence[Resource]
) -> list[Resource]:
    """Stage by its key alone what is held with the same hash and could be read; gives the others.

    Compared in the database, from narrow rows: no body is moved or built for what has not changed.
    """
    key = {"source": source, "pull_id": pull_id}
    if not connection.execute(text("SELECT 1 FROM clinical.resource WHERE source = :source LIMIT 1"), key).first():
        return list(selected)
    connection.execute(
        text(
            "CREATE TEMPORARY TABLE arrived (n text, resource_type text, resource_id text, sha256 text) ON COMMIT DROP"
        )
    )
    copy_texts(
        connection,
        "pg_temp.arrived",
        ("n", "resource_type", "resource_id", "sha256"),
        ((str(n), one.type, one.id, one.sha256) for n, one in enumerate(selected)),
    )
    connection.execute(text("ANALYZE pg_temp.arrived"))
    connection.execute(
        text(
            "INSERT INTO clinical.stg_unchanged (source, pull_id, resource_type, resource_id, sha256, infant) "
            "SELECT r.source, :pull_id, r.resource_type, r.resource_id, r.sha256, r.infant FROM pg_temp.arrived a "
            "JOIN clinical.resource r USING (resource_type, resource_id, sha256) "
            "WHERE r.source = :source AND NOT r.deleted AND NOT r.quarantined"
        ),
        key,
    )
    changed = connection.execute(
        text(
            "SELECT a.n::integer FROM pg_temp.arrived a LEFT JOIN clinical.stg_unchanged u "
            "ON (u.source, u.pull_id, u.resource_type, u.resource_id) "
            "= (:source, :pull_id, a.resource_type, a.resource_id) WHERE u.source IS NULL ORDER BY 1"
        ),
        key,
    ).scalars()
    return [selected[n] for n in changed]


def clear(connection: Connection, source: str, pull_id: str) -> None:
    """Remove all that is staged of a pull."""
    _delete(connection, STAGED, source, pull_id)


def _delete(connection: Connection, tables: Iterable[str], source: str, pull_id: str, *, extra: str = "") -> None:
    for table in tables:
        connection.execute(
            text(f"DELETE FROM {table} WHERE source = :source AND pull_id = :pull_id {extra}"),  # noqa: S608
            {"source": source, "pull_id": pull_id},
        )


def _serialise(connection: Connection, source: str, pull_id: str) -> None:
    """Two processes that stage the same pull take turns; the last one's rows stay, and they are the same."""
    connection.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 1))"), {"name": f"stage {source} {pull_id}"}
    )


def _stage_quarantine(
    connection: Connection, key: tuple[str, str], stage: str, items: Iterable[tuple[Quarantined, str | None]]
) -> None:
    copy_rows(
        connection,
        "clinical.stg_quarantine",
        (
            *("source", "pull_id", "stage", "n", "file", "line", "resource_type", "resource_id", "infant"),
            *("reason", "path", "message"),
        ),
        (
            (
                *(*key, stage, n, item.file, item.line, clean(item.type), clean(item.id), infant),
                *(item.reason, clean(item.path), clean(item.message)),
            )
            for n, (item, infant) in enumerate(items, 1)
        ),
    )
