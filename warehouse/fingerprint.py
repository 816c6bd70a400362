"""One hash over what the warehouse holds, whatever the order of its rows and the time of its loads."""

from __future__ import annotations

import hashlib

from sqlalchemy import Connection, Engine, Table, inspect, text

from warehouse.errors import translated
from warehouse.schema.base import tables

#: Columns that hold the FHIR server's own time, or hash it, and what to hash of them instead (None: nothing). A server
#: stamps a resource anew whenever it is written: two servers that were given the same resources differ in these alone.
_SERVER_CLOCK: dict[str, dict[str, str | None]] = {
    "clinical.resource": {
        "last_updated": None,
        "updated_at": None,
        "seen_at": None,
        "sha256": None,
        "body": "(t.body::jsonb - 'meta')",
    },
    "clinical.referral_timeline": {"valid_from": None, "valid_to": None},
    "ops.pull": {"transaction_time": None, "known_at": None, "data_through": None, "as_of": None},
    "ops.watermark": {"transaction_time": None, "instant": None},
}


def warehouse_hash(engine: Engine, *, server_clock: bool = True) -> str:
    """SHA-256, hex, over the rows of every table but staging, without columns of wall-clock time.

    Two warehouses that were filled from the same pulls in the same order have the same hash, however often the
    filling was interrupted. Without `server_clock` the time stamps that the FHIR servers gave are left out too: two
    servers that were given the same resources then lead to the same hash.
    """
    with translated(), engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        return _combined(table_hashes(connection, server_clock=server_clock))


def table_hashes(connection: Connection, *, server_clock: bool = True) -> dict[str, str]:
    """Hash of each table by its name."""
    inspector = inspect(connection)
    return {
        table.fullname: _hash(connection, table, {} if server_clock else _SERVER_CLOCK.get(table.fullname, {}))
        for table in sorted(tables(), key=lambda table: table.fullname)
        if not table.name.startswith("stg_")
        and not table.info.get("wall_clock")
        and inspector.has_table(table.name, schema=table.schema)
    }


def _combined(hashes: dict[str, str]) -> str:
    return hashlib.sha256("\n".join(f"{name} {value}" for name, value in hashes.items()).encode()).hexdigest()


def _hash(connection: Connection, table: Table, instead: dict[str, str | None]) -> str:
    hashed = (
        instead.get(column.name, f't."{column.name}"') for column in table.columns if not column.info.get("wall_clock")
    )
    columns = ", ".join(expression for expression in hashed if expression is not None)
    found = connection.execute(
        text(
            f"SELECT encode(sha256(convert_to(coalesce(string_agg(h, '' ORDER BY h), ''), 'UTF8')), 'hex') "  # noqa: S608
            f"FROM (SELECT encode(sha256(convert_to(ROW({columns})::text, 'UTF8')), 'hex') AS h "
            f"FROM {table.fullname} t) rows"
        )
    )
    return str(found.scalar_one())
