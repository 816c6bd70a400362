"""The warehouse's database: the one of the settings, or an embedded PostgreSQL under `home`."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from psycopg.pq import Conninfo
from sqlalchemy.engine import make_url

from warehouse.embedded import client_programs, embedded_server
from warehouse.engine import open_engine
from warehouse.migrate import check, upgrade

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

    from pipeline.settings import Settings


@contextmanager
def database_url(settings: Settings) -> Iterator[str]:
    """SQLAlchemy URL of the warehouse; an embedded server runs for as long as the block does."""
    if settings.database_url is not None:
        yield settings.database_url.get_secret_value()
        return
    with embedded_server(settings.home / "postgres") as url:
        yield url


@contextmanager
def open_warehouse(settings: Settings) -> Iterator[Engine]:
    """An engine on a warehouse whose migrations fit this code.

    The embedded database is migrated when it is opened, since nobody else looks after it; any other database is
    only checked (`NotMigrated`, `SchemaNewer`): its owner runs `iess db upgrade`.
    """
    with database_url(settings) as url:
        engine = open_engine(url)
        try:
            if settings.database_url is None:
                upgrade(engine)
            else:
                check(engine)
            yield engine
        finally:
            engine.dispose()


@contextmanager
def client_environment(settings: Settings, *, role: str | None = None) -> Iterator[dict[str, str]]:
    """The environment in which psql, pg_dump and their like reach the warehouse, as member of `role` when given.

    Credentials stand in `PGPASSWORD`, never on a command line. The embedded server's own programs come first on `PATH`
    for it, since pg_dump refuses a server that is newer than itself; for any other server they come last.
    """
    with database_url(settings) as url:
        uri = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        named = {
            option.envvar.decode(): option.val.decode()
            for option in Conninfo.parse(uri.encode())
            if option.envvar and option.val
        }
        if role is not None:
            named["PGOPTIONS"] = f"{named.get('PGOPTIONS', '')} -c role={role}".strip()
        path = [os.environ.get("PATH", os.defpath), str(client_programs())]
        if settings.database_url is None:
            path.reverse()
        yield {**os.environ, **named, "PATH": os.pathsep.join(path)}
