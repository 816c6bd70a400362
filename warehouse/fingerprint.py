"""One hash over what the warehouse holds, whatever the order of its rows and the time of its loads."""

from __future__ import annotations

import hashlib

from sqlalchemy import Connection, Engine, Table, inspect, text

from warehouse.errors import translated
from warehouse.schema.base import tables


def warehouse_hash(engine: Engine) -> str:
    """SHA-256, hex, over the rows of every table but staging, without columns of wall-clock time.

    Two warehouses that were filled from the same pulls in the same order have the same hash, however often the
    filling was interrupted.
    """
    with translated(), engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        return _combined(table_hashes(connection))


def table_hashes(connection: Connection) -> dict[str, str]:
    """Hash of each table by its name."""
    inspector = inspect(connection)
    return {
        table.fullname: _hash(connection, table)
        for table in sorted(tables(), key=lambda table: table.fullname)
        if not table.name.startswith("stg_")
        and not table.info.get("wall_clock")
        and inspector.has_table(table.name, schema=table.schema)
    }


def _combined(hashes: dict[str, str]) -> str:
    return hashlib.sha256("\n".join(f"{name} {value}" for name, value in hashes.items()).encode()).hexdigest()


def _hash(connection: Connection, table: Table) -> str:
    columns = ", ".join(f't."{column.name}"' for column in table.columns if not column.info.get("wall_clock"))
    found = connection.execute(
        text(
            f"SELECT encode(sha256(convert_to(coalesce(string_agg(h, '' ORDER BY h), ''), 'UTF8')), 'hex') "  # noqa: S608
            f"FROM (SELECT encode(sha256(convert_to(ROW({columns})::text, 'UTF8')), 'hex') AS h "
            f"FROM {table.fullname} t) rows"
        )
    )
    return str(found.scalar_one())
