"""Views, functions, grants and policies: made anew, in one transaction, whenever their SQL changes."""

from __future__ import annotations

import hashlib
from functools import cache

from sqlalchemy import Connection, inspect, text

from warehouse import roles, views


@cache
def _statements() -> tuple[str, ...]:
    return (*views.statements(), *roles.statements())


@cache
def _sha256() -> str:
    return hashlib.sha256("\0".join(_statements()).encode()).hexdigest()


def in_place(connection: Connection) -> bool:
    """True when what is in the database was made from the same SQL."""
    if not inspect(connection).has_table("schema_state", schema="ops"):
        return False
    found = connection.execute(text("SELECT sha256 FROM ops.schema_state")).scalar_one_or_none()
    return found == _sha256() and roles.database_in_place(connection)


def apply(connection: Connection) -> None:
    """Make views, functions, grants and policies."""
    for statement in _statements():
        connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
    connection.execute(text("DELETE FROM ops.schema_state"))
    connection.execute(text("INSERT INTO ops.schema_state (singleton, sha256) VALUES (true, :sha)"), {"sha": _sha256()})


def remove(connection: Connection) -> None:
    """Drop our views, functions and policies, so that a migration can change the tables under them."""
    for statement in views.removal():
        connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
    if inspect(connection).has_table("schema_state", schema="ops"):
        connection.execute(text("DELETE FROM ops.schema_state"))
