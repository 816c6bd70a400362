"""The embedded server: shared by processes, and started again after any kill."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from fhir_source.errors import UnreadableInput
from warehouse.embedded import embedded_server
from warehouse.engine import open_engine

pytestmark = [pytest.mark.integration, pytest.mark.slow]
SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not under pytest's own folder, which another test session may close to the server's user."""
    made = Path(tempfile.mkdtemp(prefix="iess-embedded-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


def note(data_dir: str, word: str) -> None:
    """Open the server, leave a word, and exit, which stops the server when no one else holds it."""
    with embedded_server(Path(data_dir)) as url:
        engine = open_engine(url)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE IF NOT EXISTS word (word text)"))
            connection.execute(text("INSERT INTO word VALUES (:word)"), {"word": word})
        engine.dispose()


def hold(data_dir: str) -> None:
    with embedded_server(Path(data_dir)):
        time.sleep(600)


def noted(data_dir: Path, word: str) -> None:
    process = SPAWN.Process(target=note, args=(str(data_dir), word))
    process.start()
    process.join()
    assert process.exitcode == 0


def server_pid(data_dir: Path) -> int | None:
    file = data_dir / "postmaster.pid"
    lines = file.read_text().splitlines() if file.exists() else []
    return int(lines[0]) if len(lines) == 8 and lines[7].strip() == "ready" else None


def wait_until_up(data_dir: Path) -> int:
    while (pid := server_pid(data_dir)) is None:
        time.sleep(0.02)
    return pid


def test_a_server_is_shared_stops_with_its_last_holder_and_survives_kills(folder: Path) -> None:
    data_dir = folder / "postgres"
    noted(data_dir, "first")
    assert server_pid(data_dir) is None, "the last holder stops it"

    holder = SPAWN.Process(target=hold, args=(str(data_dir),))
    holder.start()
    first = wait_until_up(data_dir)
    noted(data_dir, "beside another holder")
    assert server_pid(data_dir) == first, "it goes on for who still holds it"
    assert holder.pid is not None
    os.kill(holder.pid, signal.SIGKILL)
    holder.join()
    noted(data_dir, "after a killed holder")
    assert server_pid(data_dir) is None, "a killed holder does not keep it up for ever"

    holder = SPAWN.Process(target=hold, args=(str(data_dir),))
    holder.start()
    os.kill(wait_until_up(data_dir), signal.SIGKILL)
    os.kill(holder.pid or 0, signal.SIGKILL)
    holder.join()
    pid_file = data_dir / "postmaster.pid"
    pid_file.write_text("\n".join(pid_file.read_text().splitlines()[:5]))  # as if killed while it started
    noted(data_dir, "after a killed server")

    with embedded_server(data_dir) as url:
        engine = open_engine(url)
        with engine.connect() as connection:
            words = list(connection.execute(text("SELECT word FROM word")).scalars())
            collation = connection.execute(
                text("SELECT datcollate, pg_encoding_to_char(encoding) FROM pg_database WHERE datname = 'iess'")
            ).one()
            with pytest.raises(DBAPIError, match="secret-id"):
                connection.execute(text("SELECT CAST('secret-id' AS integer)"))
        engine.dispose()
        assert psutil.pid_exists(wait_until_up(data_dir))
    assert words == ["first", "beside another holder", "after a killed holder", "after a killed server"]
    assert tuple(collation) == ("C", "UTF8")
    log = (data_dir / "log").read_text()
    assert "ready to accept connections" in log
    assert "secret-id" not in log
    assert (data_dir / "postgresql.conf").read_text().count("log_error_verbosity = terse") == 1


def test_a_folder_of_something_else_is_left_alone(folder: Path) -> None:
    (folder / "thesis.txt").write_text("two years of work")
    with pytest.raises(UnreadableInput):
        embedded_server(folder).__enter__()
    assert (folder / "thesis.txt").read_text() == "two years of work"
    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]
    assert list(folder.parent.glob(f".{folder.name}*")) == []
