"""Opening the database."""

from __future__ import annotations

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from fhir_source.errors import SettingsError
from warehouse.errors import translated

CONNECT_TIMEOUT_SECONDS = 10


def open_engine(url: str) -> Engine:
    """An engine on a PostgreSQL database that answers; dispose of it when done.

    `postgresql://` and `postgres://` are taken to mean psycopg 3. Parameter values never appear in error messages, and
    sessions run in UTC. Raises SettingsError for what is no PostgreSQL URL, DatabaseUnreachable, RoleRefused.
    Migrations are checked by `warehouse.migrate.check`.
    """
    engine = create_engine(
        _psycopg(url),
        hide_parameters=True,
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT_SECONDS,
            "options": "-c TimeZone=UTC",
            "application_name": "iess",
        },
    )
    with translated(), engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    return engine


def _psycopg(url: str) -> str:
    try:
        parsed = make_url(url.replace("postgres://", "postgresql://", 1))
    except ArgumentError:
        parsed = None
    if parsed is None or parsed.get_backend_name() != "postgresql":
        # The URL itself may hold a password, so it is not quoted.
        raise SettingsError(
            "The database URL is not one of PostgreSQL", next_step="write it as postgresql+psycopg://user@host/database"
        )
    return parsed.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
