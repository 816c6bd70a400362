"""What goes wrong around the warehouse: one clear error each, and the database as it was.

Also elsewhere: a clock that goes back and a time zone that changes (test_load.py), a schema newer than the code
(test_migrations.py), a connection lost in COPY (test_crash.py), a wrong role (test_roles.py).
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import psutil
import pytest
from sqlalchemy import Engine, text

from fhir_source.errors import IessError, LandingUnreachable
from fhir_source.landing import LandingZone
from fhir_source.pull import pull as land
from fhir_source.source import Source
from tests.warehouse.conftest import HASH_KEY, Pull, condition, patient, resource, stage, visit
from warehouse import migrate
from warehouse.engine import open_engine
from warehouse.errors import DatabaseFull, RoleRefused, SchemaNewer, WarehouseFailed
from warehouse.fingerprint import warehouse_hash
from warehouse.load import LoadReport, load
from warehouse.schema.base import SCHEMAS

pytestmark = pytest.mark.integration
FIRST = Pull("20260105T000000Z", [patient("a"), condition("a"), visit("a", "2026-01-04")])
#: What a disk of 1 MB has no room for, however it is packed.
LARGE = Pull(
    "20260106T000000Z",
    [
        patient("b"),
        *(
            resource(
                "Condition", f"c{n:03}", subject={"reference": "Patient/b"}, note=[{"text": os.urandom(4096).hex()}]
            )
            for n in range(400)
        ),
    ],
)


def content(engine: Engine) -> dict[str, str]:
    """A hash of each table's rows, whatever the revision; of staging too."""
    with engine.connect() as connection:
        tables = connection.execute(
            text(
                "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables "
                "WHERE schemaname = ANY(:schemas) AND tablename <> 'schema_state' ORDER BY 1"
            ),
            {"schemas": list(SCHEMAS)},
        ).scalars()
        return {
            table: connection.execute(
                text(f"SELECT coalesce(md5(string_agg(t::text, '|' ORDER BY t::text)), '') FROM {table} t")
            ).scalar_one()
            for table in tables.all()
        }


@pytest.mark.parametrize("revision", ["0003", "0005"])
def test_a_migration_that_fails_half_way_leaves_the_data_as_they_were(
    revision: str, run: Callable[..., LoadReport], warehouse_engine: Engine
) -> None:
    """The chain is one transaction: what its first revisions had done is undone with the one that fails."""
    run(FIRST)
    migrate.downgrade(warehouse_engine, revision)
    in_the_way = "ALTER TABLE analytics.metric_result ADD CONSTRAINT ck_metric_result_finite CHECK (true)"
    with warehouse_engine.begin() as connection:
        connection.execute(text(in_the_way))
    before = content(warehouse_engine)
    with pytest.raises(WarehouseFailed, match="42710") as caught:  # duplicate_object, in revision 0007
        migrate.upgrade(warehouse_engine)
    assert caught.value.exit_code == 29
    assert migrate.current(warehouse_engine) == revision
    assert content(warehouse_engine) == before
    with warehouse_engine.begin() as connection:
        connection.execute(text("ALTER TABLE analytics.metric_result DROP CONSTRAINT ck_metric_result_finite"))
    migrate.upgrade(warehouse_engine)
    migrate.check(warehouse_engine)


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Callable[[int], None]]:
    """A file system of a few megabytes; what it gives makes it larger."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0777", "tmpfs", folder],
        check=False,
        capture_output=True,
    )
    if mounted.returncode:
        pytest.skip("this machine lets nobody mount a small file system")

    def grow(to: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={to}m", folder], check=True)

    try:
        yield grow
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def small_tablespace(
    warehouse_engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., None]]:
    """Puts a table on a disk of 1 MB; with a number, that disk gets so many."""
    with warehouse_engine.connect() as connection:
        server = psutil.Process(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())
        name = f"small_{server.pid}"
    # Below the server's own folder, which its user can reach whoever runs the tests.
    folder = Path(server.cwd()).with_name(f"{name}.disk")
    folder.mkdir()
    owner = Path(server.cwd()).stat()
    moved: list[str] = []
    with small_disk(folder, 1) as grow:
        (folder / "space").mkdir(mode=0o700)
        os.chown(folder / "space", owner.st_uid, owner.st_gid)
        with warehouse_engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(f"CREATE TABLESPACE {name} LOCATION '{folder / 'space'}'"))

        def move(table: str | None = None, *, megabytes: int | None = None) -> None:
            if megabytes is not None:
                grow(megabytes)
            if table is not None:
                moved.append(table)
                with warehouse_engine.begin() as connection:
                    connection.execute(text(f"ALTER TABLE {table} SET TABLESPACE {name}"))

        yield move
        with warehouse_engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for table in moved:
                connection.execute(text(f"ALTER TABLE {table} SET TABLESPACE pg_default"))
            connection.execute(text(f"DROP TABLESPACE {name}"))
    folder.rmdir()


@pytest.mark.parametrize("table", ["clinical.stg_resource", "clinical.resource"])
def test_a_disk_that_fills_up_in_staging_or_in_the_load(
    table: str,
    run: Callable[..., LoadReport],
    warehouse_engine: Engine,
    small_tablespace: Callable[..., None],
    new_warehouse: Callable[[], AbstractContextManager[str]],
) -> None:
    """From a file system that is full: PostgreSQL's class 53100. With room again, it goes on as if there had been."""
    run(FIRST)
    small_tablespace(table)
    step: Callable[[], object] = partial(stage, warehouse_engine, LARGE)
    if table == "clinical.resource":
        step()
        step = partial(load, warehouse_engine, LARGE.manifest(), hash_key=HASH_KEY)
    before = content(warehouse_engine)
    with pytest.raises(DatabaseFull, match="53100") as caught:
        step()
    assert (caught.value.exit_code, caught.value.retriable) == (27, True)
    assert content(warehouse_engine) == before
    small_tablespace(megabytes=64)
    assert run(LARGE).ledger[0]["loaded"] == 400
    with new_warehouse() as url:
        never_full = open_engine(url)
        for pull in (FIRST, LARGE):
            stage(never_full, pull)
            load(never_full, pull.manifest(), hash_key=HASH_KEY)
        assert warehouse_hash(never_full) == warehouse_hash(warehouse_engine)
        never_full.dispose()


def test_a_landing_zone_whose_disk_fills_up(tmp_path: Path) -> None:
    folder, disk = tmp_path / "export", tmp_path / "disk"
    folder.mkdir()
    disk.mkdir()
    line = b'{"resourceType": "Patient", "id": "%d", "text": {"div": "%s"}}\n'
    (folder / "Patient.ndjson").write_bytes(b"".join(line % (n, os.urandom(400).hex().encode()) for n in range(4000)))
    source = Source(name="site", kind="files", url=str(folder))

    def landed() -> int:
        manifest = land(
            source,
            LandingZone(str(disk / "landing")),
            pull_id="20260105T000000Z",
            since=None,
            now=datetime(2026, 1, 5, tzinfo=UTC),
            cohort_codes=(),
        )
        return manifest.counts["Patient"]

    with small_disk(disk, 1) as grow:
        with pytest.raises(LandingUnreachable, match="No space left on device") as caught:
            landed()
        assert (caught.value.exit_code, caught.value.retriable) == (18, True)
        assert LandingZone(str(disk / "landing")).pulls("site") == []
        grow(16)
        assert landed() == 4000


def test_what_the_operator_is_told_to_do(warehouse_engine: Engine, logins: dict[str, Engine]) -> None:
    """Each error says what is safe and what to do next, and holds nothing of a record."""
    stage(warehouse_engine, FIRST)
    failed: list[IessError] = []
    before = content(warehouse_engine)
    with pytest.raises(RoleRefused) as refused:
        load(logins["iess_analyst"], FIRST.manifest(), hash_key=HASH_KEY)
    failed.append(refused.value)
    with pytest.raises(RoleRefused) as refused:
        migrate.downgrade(logins["iess_loader"], "0007")
    failed.append(refused.value)
    assert content(warehouse_engine) == before
    with warehouse_engine.begin() as connection:
        connection.execute(text("UPDATE ops.alembic_version SET version_num = '9999'"))
    before = content(warehouse_engine)
    with pytest.raises(SchemaNewer) as newer:
        migrate.upgrade(warehouse_engine)
    failed.append(newer.value)
    assert content(warehouse_engine) == before
    assert [error.exit_code for error in failed] == [28, 28, 22]
    assert all("Kept: " in str(error) and "Next: " in str(error) for error in failed)
