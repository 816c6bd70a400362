"""The load: one transaction a pull, from staging to resources, timelines, intervals, ledger and watermark.

Killed at any moment, the database is as it was; run again, it ends as if nothing had happened. A load in three parts:
what becomes of each resource (`warehouse.resources`), the timelines and their history (`warehouse.history`), and here
the account of it all.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypedDict

from sqlalchemy import Connection, Engine, text

from fhir_mapping.newest import instant_of
from warehouse import history, keys, resources, staging, state
from warehouse.errors import ClockWentBack, ConservationViolated, SourceChanged, StagingStale, translated

if TYPE_CHECKING:
    from fhir_source.landing import Manifest

#: How long a load waits for another one.
LOCK_TIMEOUT = "10min"


class LedgerRow(TypedDict):
    """The conservation law of one resource type: received is the sum of the rest."""

    resource_type: str
    received: int
    loaded: int
    unchanged: int
    superseded: int
    deleted: int
    out_of_scope: int
    quarantined: int


@dataclass(frozen=True)
class LoadReport:
    """What a load did; the same again for a pull that was loaded before."""

    source: str
    pull_id: str
    attempt: int
    ledger: tuple[LedgerRow, ...]
    infants: int
    timelines_opened: int
    timelines_closed: int


def load(engine: Engine, manifest: Manifest, *, hash_key: bytes, replay: bool = False) -> LoadReport:
    """Load a staged and mapped pull; a pull that is loaded is left as it is, unless it is a replay.

    A replay (after a rule changed) loads the pull, staged anew, as a further attempt with a ledger of its own.
    Raises StagingStale when the pull isn't staged and mapped upon the source's last load, ConservationViolated when the
    counts don't add up, SourceChanged, ClockWentBack, LoadLocked when another load takes too long, HashKeyChanged,
    DatabaseUnreachable, DatabaseFull, RoleRefused.
    """
    source, pull_id = manifest.source, manifest.pull_id
    with translated(source), engine.begin() as connection:
        connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('iess.warehouse', 0))"))
        attempt = _attempts(connection, source, pull_id)
        if attempt and not replay:
            staging.clear(connection, source, pull_id)
            return _report(connection, source, pull_id)
        keys.require_same(connection, hash_key)
        _require_mapped(connection, source, pull_id)
        _require_same_zone(connection, source, pull_id)
        instant = staging.transaction_instant(manifest)
        _require_later_than_asked(manifest, instant)
        known_at = _known_at(connection, source, instant)
        touched = state.touched(connection, source, pull_id) | _mapped(connection, source, pull_id)
        fates = resources.load(connection, source, pull_id, instant)
        ledger = _ledger(connection, source, pull_id, fates)
        opened, closed = history.replace(connection, source, pull_id, touched, known_at, hash_key)
        history.extend(connection, source, pull_id)
        _record(connection, manifest, attempt + 1, known_at, ledger, (len(touched), opened, closed))
        staging.clear(connection, source, pull_id)
        return _report(connection, source, pull_id)


def _attempts(connection: Connection, source: str, pull_id: str) -> int:
    found = connection.execute(
        text("SELECT coalesce(max(attempt), 0) FROM ops.pull WHERE source = :source AND pull_id = :pull_id"),
        {"source": source, "pull_id": pull_id},
    )
    return int(found.scalar_one())


def _require_mapped(connection: Connection, source: str, pull_id: str) -> None:
    """Timelines that were mapped before another load of the source don't know what it brought."""
    fresh = connection.execute(
        text(
            "SELECT mapped_after IS NOT DISTINCT FROM (SELECT coalesce(max(sequence), 0) FROM ops.pull "
            "WHERE source = :source) FROM ops.stg_pull WHERE source = :source AND pull_id = :pull_id"
        ),
        {"source": source, "pull_id": pull_id},
    ).scalar_one_or_none()
    if not fresh:
        raise StagingStale(
            f"Pull {pull_id} is not staged and mapped upon the source's last load",
            source=source,
            kept="the landed pull; the warehouse is as it was",
            next_step="run `iess load` again, which selects, maps and loads it",
        )


def _require_same_zone(connection: Connection, source: str, pull_id: str) -> None:
    """Local dates of one source are all counted in one zone; only those of touched infants would be counted anew."""
    former = connection.execute(
        text(
            "SELECT p.timezone FROM ops.pull p JOIN ops.stg_pull s USING (source) "
            "WHERE p.source = :source AND s.pull_id = :pull_id AND p.timezone <> s.timezone LIMIT 1"
        ),
        {"source": source, "pull_id": pull_id},
    ).scalar_one_or_none()
    if former is not None:
        raise SourceChanged(
            f"The source's time zone is no longer {former}, in which its dates were counted so far",
            source=source,
            kept="the landed pull; the warehouse is as it was",
            next_step=f"set the time zone back to {former}, or load the site under a new source name",
        )


def _require_later_than_asked(manifest: Manifest, instant: datetime) -> None:
    """A server that answers from before the instant that it was asked about has had its clock put back.

    What changes until it is there again would be stamped before the watermark, and never asked for.
    """
    since = instant_of(manifest.since)
    if since is not None and since > instant:
        raise ClockWentBack(
            f"The source's clock went back: pull {manifest.pull_id} asked for changes since {manifest.since}, and its "
            f"server says that it is {manifest.transaction_time}",
            source=manifest.source,
            kept="the landed pull; the warehouse and its watermark are as they were",
            next_step="have the server's clock set right; what it stamped meanwhile comes with a pull of everything",
        )


def _known_at(connection: Connection, source: str, instant: datetime) -> datetime:
    """The pull's transaction time; not before an earlier load's, so that knowledge never runs backwards."""
    latest: datetime | None = connection.execute(
        text("SELECT max(known_at) FROM ops.pull WHERE source = :source"), {"source": source}
    ).scalar_one()
    return max(instant, latest.astimezone(UTC)) if latest else instant


def _mapped(connection: Connection, source: str, pull_id: str) -> frozenset[str]:
    rows = connection.execute(
        text("SELECT infant FROM clinical.stg_infant WHERE source = :source AND pull_id = :pull_id"),
        {"source": source, "pull_id": pull_id},
    )
    return frozenset(rows.scalars())


def _ledger(connection: Connection, source: str, pull_id: str, fates: dict[str, resources.Fates]) -> list[LedgerRow]:
    """The conservation law of each type. Raises ConservationViolated with the type whose counts don't add up."""
    staged = connection.execute(
        text(
            "SELECT resource_type, received, in_scope, out_of_scope, superseded, deleted, quarantined "
            "FROM ops.stg_ledger WHERE source = :source AND pull_id = :pull_id ORDER BY resource_type"
        ),
        {"source": source, "pull_id": pull_id},
    ).all()
    rows: list[LedgerRow] = []
    for line in staged:
        fate = fates.pop(line.resource_type, resources.Fates())
        row = LedgerRow(
            resource_type=line.resource_type,
            received=line.received,
            loaded=fate.loaded,
            unchanged=fate.unchanged,
            superseded=line.superseded + fate.superseded,
            deleted=line.deleted,
            out_of_scope=line.out_of_scope,
            quarantined=line.quarantined + fate.quarantined,
        )
        parts = [count for name, count in row.items() if name not in ("resource_type", "received")]
        if line.in_scope != fate.total or row["received"] != sum(parts):  # type: ignore[arg-type]
            raise _violated(source, pull_id, line.resource_type, line.received, line.in_scope, fate.total)
        rows.append(row)
    for kind, fate in sorted(fates.items()):
        raise _violated(source, pull_id, kind, 0, 0, fate.total)
    return rows


def _violated(source: str, pull_id: str, kind: str, received: int, in_scope: int, staged: int) -> ConservationViolated:
    return ConservationViolated(
        f"The ledger of pull {pull_id} does not add up for {kind or 'lines of no type'}: "
        f"{received} received, {in_scope} in scope, {staged} staged",
        source=source,
        kept="the landed pull; the warehouse is as it was",
        next_step="report it with these counts; `iess load` selects the pull anew",
    )


def _record(
    connection: Connection,
    manifest: Manifest,
    attempt: int,
    known_at: datetime,
    ledger: list[LedgerRow],
    counts: tuple[int, int, int],
) -> None:
    """Pull, ledger, quarantine and watermark."""
    key = {"source": manifest.source, "pull_id": manifest.pull_id, "attempt": attempt}
    connection.execute(
        text(
            "INSERT INTO ops.pull (source, pull_id, attempt, sequence, kind, since, transaction_time, known_at, "
            "fhir_version, timezone, complete, left_out, data_through, as_of, mapping_version, infants, "
            "timelines_opened, timelines_closed) "
            "SELECT :source, :pull_id, :attempt, (SELECT coalesce(max(sequence), 0) + 1 FROM ops.pull "
            "WHERE source = :source), :kind, :since, :transaction_time, :known_at, :fhir_version, timezone, "
            ":complete, :left_out, data_through, as_of, mapping_version, :infants, :opened, :closed FROM ops.stg_pull "
            "WHERE source = :source AND pull_id = :pull_id"
        ),
        {
            **key,
            "kind": manifest.kind,
            "since": manifest.since,
            "transaction_time": manifest.transaction_time,
            "known_at": known_at,
            "fhir_version": manifest.fhir_version,
            "complete": manifest.complete,
            "left_out": sorted(manifest.left_out),
            "infants": counts[0],
            "opened": counts[1],
            "closed": counts[2],
        },
    )
    if ledger:
        names = list(LedgerRow.__annotations__)
        connection.execute(
            text(
                f"INSERT INTO ops.ledger (source, pull_id, attempt, {', '.join(names)}) "  # noqa: S608 - our own names
                f"VALUES (:source, :pull_id, :attempt, {', '.join(f':{name}' for name in names)})"
            ),
            [{**key, **row} for row in ledger],
        )
    connection.execute(
        text(
            "INSERT INTO clinical.quarantine (source, pull_id, attempt, n, stage, file, line, resource_type, "
            "resource_id, infant, reason, path, message) "
            "SELECT source, pull_id, :attempt, row_number() OVER (ORDER BY stage DESC, n), stage, file, line, "
            "resource_type, resource_id, infant, reason, path, message FROM clinical.stg_quarantine "
            "WHERE source = :source AND pull_id = :pull_id"
        ),
        key,
    )
    connection.execute(
        text(
            "INSERT INTO ops.watermark AS w (source, transaction_time, instant, pull_id) "
            "VALUES (:source, :transaction_time, :instant, :pull_id) "
            "ON CONFLICT (source) DO UPDATE SET transaction_time = excluded.transaction_time, "
            "instant = excluded.instant, pull_id = excluded.pull_id WHERE w.instant < excluded.instant"
        ),
        {
            "source": manifest.source,
            "pull_id": manifest.pull_id,
            "transaction_time": manifest.transaction_time,
            "instant": staging.transaction_instant(manifest),
        },
    )


def _report(connection: Connection, source: str, pull_id: str) -> LoadReport:
    """What the last attempt at a pull did, from the rows that it left."""
    key = {"source": source, "pull_id": pull_id}
    pull = connection.execute(
        text(
            "SELECT attempt, infants, timelines_opened, timelines_closed FROM ops.pull "
            "WHERE source = :source AND pull_id = :pull_id ORDER BY attempt DESC LIMIT 1"
        ),
        key,
    ).one()
    names = list(LedgerRow.__annotations__)
    ledger = connection.execute(
        text(
            f"SELECT {', '.join(names)} FROM ops.ledger WHERE source = :source AND pull_id = :pull_id "  # noqa: S608
            "AND attempt = :attempt ORDER BY resource_type"
        ),
        {**key, "attempt": pull.attempt},
    )
    return LoadReport(
        source=source,
        pull_id=pull_id,
        attempt=pull.attempt,
        ledger=tuple(LedgerRow(**row) for row in ledger.mappings()),  # type: ignore[typeddict-item]
        infants=pull.infants,
        timelines_opened=pull.timelines_opened,
        timelines_closed=pull.timelines_closed,
    )
