"""Migrations: Alembic, configured in code.

Tables are versioned; views, grants and policies are made anew whenever they change (`warehouse.repeatable`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect, text

from warehouse import repeatable
from warehouse.errors import NotMigrated, SchemaNewer, translated

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Holds off a second migration, and loads, while one runs.
LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('iess.warehouse', 0))"


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the database to `revision` in one transaction: all of it, or nothing.

    Costs a few milliseconds when there is nothing to do. Raises SchemaNewer, DatabaseUnreachable, RoleRefused (the
    login must own the database, and may need CREATEROLE the first time), WarehouseFailed.
    """
    config = _config()
    with translated(), engine.begin() as connection:
        found = _revision(connection)
        _refuse_newer(found)
        head = ScriptDirectory.from_config(config).get_current_head()
        if found == head and revision in ("head", head) and repeatable.in_place(connection):
            return
        connection.execute(text(LOCK))
        connection.execute(text("CREATE SCHEMA IF NOT EXISTS ops"))
        repeatable.remove(connection)
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        if _revision(connection) == head:
            repeatable.apply(connection)


def downgrade(engine: Engine, revision: str) -> None:
    """Take the database back to `revision` (`base`: to nothing), in one transaction."""
    config = _config()
    with translated(), engine.begin() as connection:
        _refuse_newer(_revision(connection))
        connection.execute(text(LOCK))
        repeatable.remove(connection)
        config.attributes["connection"] = connection
        command.downgrade(config, revision)


def check(engine: Engine) -> None:
    """Raises NotMigrated or SchemaNewer unless the database is at the revision that this code was written for."""
    with translated(), engine.connect() as connection:
        found = _revision(connection)
        _refuse_newer(found)
        head = ScriptDirectory.from_config(_config()).get_current_head()
        if found != head or not repeatable.in_place(connection):
            at = f"revision {found}" if found else "no revision"
            raise NotMigrated(
                f"The database is at {at}, and this code needs {head}"
                if found != head
                else f"The database is at {at}, as this code needs it, but its views or grants are of other code",
                kept="all data; nothing was read or written",
                next_step="run `iess db upgrade` as the database's owner",
            )


def current(engine: Engine) -> str | None:
    """The database's revision, None before the first migration."""
    with translated(), engine.connect() as connection:
        return _revision(connection)


def revisions() -> Iterator[str]:
    """The known revisions, oldest first."""
    script = ScriptDirectory.from_config(_config())
    return reversed([step.revision for step in script.walk_revisions()])


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version", schema="ops"):
        return None
    return MigrationContext.configure(connection, opts={"version_table_schema": "ops"}).get_current_revision()


def _refuse_newer(found: str | None) -> None:
    if found is not None and found not in set(revisions()):
        raise SchemaNewer(
            f"The database is at revision {found}, which this code does not know: newer code migrated it",
            kept="all data; nothing was read or written",
            next_step="install the newer version of iess-referral-watch",
        )
