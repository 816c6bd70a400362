"""Erasing an infant, and purging what policy does not let us keep. Both leave a record; neither touches the ledger."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, text

from warehouse import keys, planner, staging, state
from warehouse.errors import InfantUnknown, translated
from warehouse.schema.base import tables

if TYPE_CHECKING:
    from datetime import datetime

_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('iess.warehouse', 0))")


@dataclass(frozen=True)
class Erasure:
    """What an erasure removed: rows by table, and how many Patient records were one person."""

    patients: int
    rows: dict[str, int]


@dataclass(frozen=True)
class Person:
    """How an infant is known in a source: `patients` by id; `owners` as owners of resources; `resources` by type/id."""

    patients: frozenset[str]
    owners: frozenset[str]  # Patient/id, Patient?system|value
    resources: frozenset[str]  # Type/id, Patients included


def person(engine: Engine, source: str, infant: str) -> Person:
    """The infant with all records merged into them, before they are erased.

    Of who was erased before, only the Patient is known: later pulls land them again. Raises InfantUnknown.
    """
    with translated(source), engine.connect() as connection:
        members = sorted(state.linked(connection, source, [infant]))
        owners = _owner_keys(connection, source, members)
        resources = frozenset(_names(connection, source, members, owners))
        if not resources and _erased_before(connection, source, infant):
            resources = frozenset([f"Patient/{infant}"])
    if not resources:
        raise _unknown(source)
    return Person(frozenset(members), frozenset(owners), resources)


def _unknown(source: str) -> InfantUnknown:
    return InfantUnknown(
        "The warehouse holds nothing of this infant", source=source, next_step="check the source and the Patient id"
    )


def _erased_before(connection: Connection, source: str, infant: str) -> bool:
    found = connection.execute(
        text(
            "SELECT 1 FROM ops.erasure WHERE source = :source "
            "AND owner_hash = encode(sha256(convert_to(salt || :name, 'UTF8')), 'hex')"
        ),
        {"source": source, "name": f"Patient/{infant}"},
    )
    return found.first() is not None


def erase(engine: Engine, source: str, infant: str, *, hash_key: bytes, at: datetime, reason: str) -> Erasure:
    """Remove an infant, with all records merged into them, from every table, and keep them from coming back.

    What is staged of the source goes as a whole, to be staged again without the infant. Counts in the ledger and in
    published aggregates stay. Landed files are another matter (`pipeline.erasure`).
    `reason` must hold no PHI. Who was erased before is left as erased. Raises InfantUnknown.
    """
    with translated(source), engine.begin() as connection:
        connection.execute(_LOCK)
        keys.require_same(connection, hash_key)
        members = sorted(state.linked(connection, source, [infant]))
        owners = _owner_keys(connection, source, members)
        names = sorted({*owners, *_names(connection, source, members, owners)})
        deleted = _delete(connection, source, members, owners)
        if not sum(deleted.values()):
            if _erased_before(connection, source, infant):
                return Erasure(0, {})
            raise _unknown(source)
        # A salt that can't be guessed without the key; the hashes under it need the key no more.
        salt = hmac.new(hash_key, f"salt\0{owners[0]}".encode(), "sha256").hexdigest()[:32]
        connection.execute(
            text(
                "INSERT INTO ops.erasure (source, owner_hash, salt, erased_at, reason, rows_deleted) "
                "VALUES (:source, :owner_hash, :salt, :at, :reason, :rows) ON CONFLICT DO NOTHING"
            ),
            [
                {
                    "source": source,
                    "at": at,
                    "reason": reason,
                    "rows": sum(deleted.values()),
                    "salt": salt,
                    "owner_hash": hashlib.sha256(f"{salt}{name}".encode()).hexdigest(),
                }
                for name in names
            ],
        )
        return Erasure(len(members), {table: count for table, count in sorted(deleted.items()) if count})


def _owner_keys(connection: Connection, source: str, members: list[str]) -> list[str]:
    """What resources of these Patients say of whom they belong to: ids, and the identifiers of the Patients."""
    identified = connection.execute(
        text(
            "SELECT DISTINCT key FROM clinical.resource, unnest(reference_keys) AS key WHERE source = :source "
            "AND resource_type = 'Patient' AND resource_id = ANY(:members) AND starts_with(key, 'Patient?')"
        ),
        {"source": source, "members": members},
    ).scalars()
    return sorted({*identified, *(f"Patient/{member}" for member in members)})


def _names(connection: Connection, source: str, members: list[str], owners: list[str]) -> list[str]:
    """Type/id of each resource of these Patients, by which a later pull may name it: to tell that it was deleted."""
    found = connection.execute(
        text(
            "SELECT resource_type || '/' || resource_id FROM clinical.resource WHERE source = :source "
            "AND (infant = ANY(:members) OR reference_keys && CAST(:owners AS text[]))"
        ),
        {"source": source, "members": members, "owners": owners},
    )
    return list(found.scalars())


def _delete(connection: Connection, source: str, members: list[str], owners: list[str]) -> dict[str, int]:
    """Delete by key from every table that has one; gives the rows by table."""
    resources = connection.execute(
        text(
            "SELECT resource_id FROM clinical.resource WHERE source = :source "
            "AND (infant = ANY(:members) OR reference_keys && CAST(:owners AS text[])) "
            "UNION SELECT unnest(CAST(:members AS text[]))"
        ),
        {"source": source, "members": members, "owners": owners},
    ).scalars()
    ids = sorted(resources)
    hashed = connection.execute(
        text("SELECT infant_key FROM clinical.infant_key WHERE source = :source AND infant = ANY(:members)"),
        {"source": source, "members": members},
    ).scalars()
    given = {"source": source, "members": members, "owners": owners, "ids": ids, "hashed": list(hashed)}
    deleted: dict[str, int] = {}
    for table in tables():
        if table.name.startswith("stg_"):
            connection.execute(text(f"DELETE FROM {table.fullname} WHERE source = :source"), {"source": source})  # noqa: S608
            continue
        ways = []
        if table.schema == "analytics" and "infant_key" in table.columns:
            ways.append("infant_key = ANY(:hashed)")
        if {"source", "infant"} <= set(table.columns.keys()):
            ways.append("source = :source AND infant = ANY(:members)")
        if {"source", "reference_keys"} <= set(table.columns.keys()):
            ways.append("source = :source AND reference_keys && CAST(:owners AS text[])")
        if table.fullname == "clinical.quarantine":
            ways.append("source = :source AND resource_id = ANY(:ids)")
        if table.fullname == "clinical.gate_failure":
            ways.append("source = :source AND key && CAST(:ids AS text[])")
        if ways:
            condition = " OR ".join(f"({way})" for way in ways)
            result = connection.execute(text(f"DELETE FROM {table.fullname} WHERE {condition}"), given)  # noqa: S608
            deleted[table.fullname] = result.rowcount
    # Staging first, and in its own order: a pull that is staged at the same time waits, and both go on.
    planner.forget(connection, (*staging.STAGED, *deleted))
    return deleted


def purge(engine: Engine, *, before: datetime, at: datetime, reason: str, dry_run: bool = False) -> dict[str, int]:
    """Remove findings, keys of failed rows, and abandoned staging of pulls from before an instant; rows by table.

    `reason` names the policy. Resources, timelines, ledger and results of the expectations stay. A `dry_run` only
    counts.
    """
    old = "(source, pull_id) IN (SELECT source, pull_id FROM ops.pull WHERE known_at < :before)"
    staged = "(source, pull_id) IN (SELECT source, pull_id FROM ops.stg_pull WHERE transaction_time < :before)"
    removed: dict[str, int] = {}
    with translated(), engine.begin() as connection:
        connection.execute(_LOCK)
        for table in tables():
            if table.name in ("quarantine", "gate_failure"):
                condition = old
            elif table.name.startswith("stg_") and table.name != "stg_pull":
                condition = staged
            else:
                continue
            result = connection.execute(
                text(f"DELETE FROM {table.fullname} WHERE {condition}"),  # noqa: S608 - our own names
                {"before": before},
            )
            removed[table.fullname] = result.rowcount
        result = connection.execute(
            text("DELETE FROM ops.stg_pull WHERE transaction_time < :before"), {"before": before}
        )
        removed["ops.stg_pull"] = result.rowcount
        removed = {table: count for table, count in sorted(removed.items()) if count}
        if dry_run:
            connection.rollback()
            return removed
        planner.forget(connection, (*staging.STAGED, *(table for table in removed if table not in staging.STAGED)))
        for what, count in removed.items():
            _record_purge(connection, what, before, at, reason, count)
    return removed


def landed(source: str, pull_id: str) -> str:
    """How the record of a purge names the raw files of a pull."""
    return f"landing:{source}/{pull_id}"


def record_purge(engine: Engine, *, what: str, before: datetime, at: datetime, reason: str, count: int) -> None:
    """Record what is about to be purged outside the database (`landed`); once, however often it is tried."""
    with translated(), engine.begin() as connection:
        if not connection.execute(text("SELECT 1 FROM ops.purge WHERE what = :what"), {"what": what}).first():
            _record_purge(connection, what, before, at, reason, count)


def purged_pulls(engine: Engine, source: str) -> dict[str, tuple[datetime, str]]:
    """Pulls of a source whose raw files were removed: when, and by which policy."""
    with translated(source), engine.connect() as connection:
        rows = connection.execute(
            text("SELECT what, purged_at, reason FROM ops.purge WHERE starts_with(what, :prefix)"),
            {"prefix": landed(source, "")},
        )
        return {what.rpartition("/")[2]: (at, reason) for what, at, reason in rows}


def _record_purge(connection: Connection, what: str, before: datetime, at: datetime, reason: str, count: int) -> None:
    connection.execute(
        text(
            "INSERT INTO ops.purge (purged_at, what, before, rows_deleted, reason) "
            "VALUES (:at, :what, :before, :count, :reason) ON CONFLICT (purged_at, what) DO NOTHING"
        ),
        {"at": at, "what": what, "before": before, "count": count, "reason": reason},
    )
