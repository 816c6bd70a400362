"""The warehouse's database: the one of the settings, or an embedded PostgreSQL under `home`."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from warehouse.embedded import embedded_server
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
