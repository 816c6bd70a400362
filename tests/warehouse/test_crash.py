"""Killed anywhere and run again: the same warehouse. Two loads at once: one waits."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import date, timedelta

import pytest
from sqlalchemy import Engine, text

from tests.conftest import _database
from tests.warehouse.conftest import HASH_KEY, Pull, condition, patient, resource, stage, visit
from warehouse import load as load_module
from warehouse import state
from warehouse.copying import copy_rows
from warehouse.engine import open_engine
from warehouse.errors import DatabaseFull, DatabaseUnreachable, LoadLocked, WarehouseFailed, translated
from warehouse.fingerprint import warehouse_hash
from warehouse.load import LoadReport, load

pytestmark = pytest.mark.integration
KILLS = 25


def pulls() -> list[Pull]:
    """Five pulls of a site: new infants, visits that arrive later, corrections, a deletion."""
    made = []
    for n in range(5):
        day = date(2026, 1, 5) + timedelta(days=n)
        infants = [f"i{n}-{k}" for k in range(40)]
        brought = [item for infant in infants for item in (patient(infant), condition(infant))]
        brought += [visit(f"i{n - 1}-{k}", day.isoformat()) for k in range(30) if n]
        brought += [resource("Practitioner", f"p{k}", version=n + 1, updated=f"{day}T00:00:00Z") for k in range(10)]
        deleted = [("Condition", f"c-i{n - 2}-3")] if n > 1 else []
        made.append(Pull(f"{day:%Y%m%d}T000000Z", brought, deleted))
    return made


def load_all(url: str) -> None:
    """What a run of the pipeline does: every pull that is not loaded yet, in order."""
    engine = open_engine(url)
    loaded = state.loaded_pulls(engine, "north")
    for pull in pulls():
        if pull.pull_id not in loaded:
            stage(engine, pull)
            load(engine, pull.manifest(), hash_key=HASH_KEY)
    engine.dispose()


def hash_of(url: str) -> str:
    engine = open_engine(url)
    found = warehouse_hash(engine)
    engine.dispose()
    return found


@pytest.mark.slow
def test_killed_at_25_random_moments_the_warehouse_ends_the_same(postgres_uri: str, migrated_template: str) -> None:
    chance = random.Random(20260123)  # noqa: S311 - not for secrets
    with _database(postgres_uri, template=migrated_template) as url:
        began = time.monotonic()
        load_all(url)
        duration = time.monotonic() - began
        expected = hash_of(url)
    context = multiprocessing.get_context("fork")
    kills = 0
    while kills < KILLS:
        with _database(postgres_uri, template=migrated_template) as url:
            for _ in range(8):
                child = context.Process(target=load_all, args=(url,))
                child.start()
                child.join(timeout=chance.uniform(0, duration / 2))
                if child.is_alive() and child.pid is not None:
                    os.kill(child.pid, signal.SIGKILL)
                    kills += 1
                child.join()
            load_all(url)
            assert hash_of(url) == expected, f"after {kills} kills"


def test_a_second_load_waits_for_the_first(warehouse_engine: Engine) -> None:
    first = pulls()[0]
    stage(warehouse_engine, first)
    reports: list[LoadReport] = []
    thread = threading.Thread(
        target=lambda: reports.append(load(warehouse_engine, first.manifest(), hash_key=HASH_KEY))
    )
    with warehouse_engine.begin() as other:
        other.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('iess.warehouse', 0))"))
        thread.start()
        waiting = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        while other.execute(waiting).scalar_one() == 0:
            time.sleep(0.01)
        assert reports == []
    thread.join()
    assert reports[0].timelines_opened == 40


def test_a_load_that_waits_too_long_gives_up_and_may_be_tried_again(
    warehouse_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load_module, "LOCK_TIMEOUT", "50ms")
    first = pulls()[0]
    stage(warehouse_engine, first)
    with warehouse_engine.begin() as other:
        other.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('iess.warehouse', 0))"))
        with pytest.raises(LoadLocked) as caught:
            load(warehouse_engine, first.manifest(), hash_key=HASH_KEY)
    assert caught.value.retriable
    assert load(warehouse_engine, first.manifest(), hash_key=HASH_KEY).timelines_opened == 40


def test_the_same_pull_staged_and_loaded_by_two_at_once_is_loaded_once(warehouse_engine: Engine) -> None:
    first = pulls()[0]
    reports: list[LoadReport] = []

    stage(warehouse_engine, first)
    threads = [
        threading.Thread(target=lambda: reports.append(load(warehouse_engine, first.manifest(), hash_key=HASH_KEY)))
        for _ in range(2)
    ]
    with ExitStack() as stack:
        for thread in threads:
            thread.start()
            stack.callback(thread.join)
    assert reports[0] == reports[1]
    with warehouse_engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM ops.pull")).scalar_one() == 1


def test_a_connection_lost_in_the_middle_of_copy(warehouse_engine: Engine) -> None:
    """The staging transaction is gone with it; the error is retriable and holds no row."""

    def rows(pid: int) -> Iterator[tuple[str, ...]]:
        yield ("north", "p", "Secret", "id-1")
        with warehouse_engine.connect() as other:
            other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
        for n in range(100_000):
            yield ("north", "p", "Secret", f"id-{n + 2}")

    def copy() -> None:
        with translated("north"), warehouse_engine.begin() as connection:
            pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
            columns = ("source", "pull_id", "resource_type", "resource_id")
            copy_rows(connection, "clinical.stg_deletion", columns, rows(pid))

    with pytest.raises(DatabaseUnreachable) as caught:
        copy()
    assert caught.value.retriable
    assert "Secret" not in str(caught.value)
    assert caught.value.__suppress_context__
    with warehouse_engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM clinical.stg_deletion")).scalar_one() == 0


def test_a_full_disk_is_one_clear_error(warehouse_engine: Engine) -> None:
    with pytest.raises(DatabaseFull, match="53100"), translated(), warehouse_engine.begin() as connection:
        connection.execute(text("DO $$ BEGIN RAISE EXCEPTION 'Patient/secret' USING ERRCODE = '53100'; END $$"))


def test_a_value_never_gets_into_an_error(warehouse_engine: Engine) -> None:
    with (
        pytest.raises(WarehouseFailed, match="SQLSTATE 23505") as caught,
        translated("north"),
        warehouse_engine.begin() as connection,
    ):
        connection.execute(
            text("INSERT INTO clinical.stg_infant VALUES ('n', 'p', :id), ('n', 'p', :id)"),
            {"id": "secret-id"},
        )
    assert "secret-id" not in str(caught.value)
