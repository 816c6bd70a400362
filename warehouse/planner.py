"""What PostgreSQL's planner remembers of tables: how large they are, and samples of what their columns hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Connection, text

if TYPE_CHECKING:
    from collections.abc import Iterable

#: ANALYZE leaves what is remembered of a table that is empty now. PostgreSQL has a way to say so from 18 on.
_CLEARED_FROM = 180000
_VERSION = text("SELECT current_setting('server_version_num')::integer")
_CLEAR = text(
    "SELECT pg_clear_attribute_stats(n.nspname, c.relname, a.attname, parts_too) FROM "
    "(SELECT CAST(:table AS regclass) AS oid UNION SELECT relid FROM pg_partition_tree(:table)) whole_or_part "
    "JOIN pg_class c USING (oid) JOIN pg_namespace n ON n.oid = c.relnamespace "
    "JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
    "CROSS JOIN (VALUES (false), (true)) AS of (parts_too)"
)


def analyse(connection: Connection, tables: Iterable[str]) -> None:
    """Tell the planner what the tables hold now.

    Where the loader may not (before PostgreSQL 17 only owners may), the server warns and goes on.
    """
    for table in tables:
        connection.execute(text(f"ANALYZE {table}"))


def forget(connection: Connection, tables: Iterable[str]) -> None:
    """Have no sample of the tables' columns hold what was deleted from them in this transaction, or before.

    Before PostgreSQL 18, samples of a table that is empty stay until it is filled again.
    """
    clears = connection.execute(_VERSION).scalar_one() >= _CLEARED_FROM
    for table in tables:
        if clears:
            connection.execute(_CLEAR, {"table": table})
        analyse(connection, [table])
