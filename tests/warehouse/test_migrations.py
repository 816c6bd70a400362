"""Migrations: from nothing and back with data, all or nothing, and what the models say is what the database has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, text

from fhir_source.errors import SettingsError
from tests.warehouse.conftest import Pull, condition, patient, visit
from warehouse import migrate
from warehouse.engine import open_engine
from warehouse.errors import DatabaseUnreachable, NotMigrated, RoleRefused, SchemaNewer, WarehouseFailed
from warehouse.fingerprint import warehouse_hash
from warehouse.load import LoadReport
from warehouse.schema.analytics import PARTITIONS
from warehouse.schema.base import SCHEMAS, Base, tables

pytestmark = pytest.mark.integration
REVISIONS = list(migrate.revisions())


@pytest.fixture
def empty(database_url: str) -> Any:
    engine = open_engine(database_url)
    yield engine
    engine.dispose()


def test_the_database_is_what_the_models_say(warehouse_engine: Engine) -> None:
    def ours(name: str | None, kind: str, parents: object) -> bool:
        partition = kind == "table" and name in PARTITIONS.values()
        return name in SCHEMAS if kind == "schema" else not partition

    with warehouse_engine.connect() as connection:
        options = {"version_table_schema": "ops", "include_schemas": True, "include_name": ours, "compare_type": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, Base.metadata) == []


def test_every_table_view_function_and_column_has_a_comment(warehouse_engine: Engine) -> None:
    with warehouse_engine.connect() as connection:
        bare = connection.execute(
            text(
                """
                SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                 WHERE n.nspname = ANY(:schemas) AND c.relkind IN ('r', 'v', 'p') AND NOT c.relispartition
                   AND obj_description(c.oid, 'pg_class') IS NULL AND c.relname <> 'alembic_version'
                UNION ALL
                SELECT n.nspname || '.' || c.relname || '.' || a.attname FROM pg_class c
                  JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
                 WHERE n.nspname = ANY(:schemas) AND c.relkind IN ('r', 'p') AND NOT c.relispartition
                   AND a.attnum > 0 AND NOT a.attisdropped AND col_description(c.oid, a.attnum) IS NULL
                   AND c.relname <> 'alembic_version'
                """
            ),
            {"schemas": list(SCHEMAS)},
        ).scalars()
        assert list(bare) == []


def test_a_table_says_its_grain() -> None:
    assert [table.fullname for table in tables() if "Grain: " not in (table.comment or "")] == []


@pytest.mark.parametrize("revision", [*REVISIONS[:-1], "base"])
def test_down_and_up_again_keeps_the_data_of_earlier_revisions(
    revision: str, run: Callable[..., LoadReport], warehouse_engine: Engine
) -> None:
    pull = Pull("20260105T000000Z", [patient("a"), condition("a"), visit("a", "2026-01-04")])
    run(pull)
    if revision != "base":
        with warehouse_engine.begin() as connection:  # what only later revisions have can't come back
            connection.execute(text("UPDATE ops.pull SET as_of = NULL"))
    before = warehouse_hash(warehouse_engine)
    migrate.downgrade(warehouse_engine, revision)
    with pytest.raises(NotMigrated):
        migrate.check(warehouse_engine)
    migrate.upgrade(warehouse_engine)
    migrate.check(warehouse_engine)
    if revision == "base":
        run(pull)
    assert warehouse_hash(warehouse_engine) == before


@pytest.mark.parametrize("revision", REVISIONS)
def test_from_every_revision_to_the_newest(revision: str, empty: Engine) -> None:
    migrate.upgrade(empty, revision)
    assert migrate.current(empty) == revision
    migrate.upgrade(empty)
    migrate.check(empty)


def test_upgrading_twice_changes_nothing(warehouse_engine: Engine) -> None:
    with warehouse_engine.connect() as connection:
        before = connection.execute(text("SELECT max(oid::bigint) FROM pg_class")).scalar_one()
    migrate.upgrade(warehouse_engine)
    with warehouse_engine.connect() as connection:
        assert connection.execute(text("SELECT max(oid::bigint) FROM pg_class")).scalar_one() == before


def test_an_empty_database_is_not_migrated(empty: Engine) -> None:
    with pytest.raises(NotMigrated, match="iess db upgrade"):
        migrate.check(empty)


def test_a_newer_schema_is_left_alone(warehouse_engine: Engine) -> None:
    with warehouse_engine.begin() as connection:
        connection.execute(text("UPDATE ops.alembic_version SET version_num = '9999'"))
    for step in (migrate.check, migrate.upgrade):
        with pytest.raises(SchemaNewer, match="9999"):
            step(warehouse_engine)


def test_a_migration_that_fails_half_way_leaves_nothing(empty: Engine) -> None:
    with empty.begin() as connection:
        connection.execute(text("CREATE SCHEMA clinical"))
        connection.execute(text("CREATE TABLE clinical.stg_timeline (in_the_way int)"))
    with pytest.raises(WarehouseFailed, match="42P07"):
        migrate.upgrade(empty)
    assert migrate.current(empty) is None
    with empty.connect() as connection:
        found = connection.execute(
            text("SELECT count(*) FROM pg_tables WHERE schemaname = ANY(:schemas)"), {"schemas": list(SCHEMAS)}
        ).scalar_one()
    assert found == 1


def test_a_login_without_rights_can_not_migrate(empty: Engine, database_url: str) -> None:
    with empty.begin() as connection:
        connection.execute(text("CREATE ROLE t_powerless LOGIN"))
    try:
        powerless = open_engine(database_url.replace("postgres:@", "t_powerless:@"))
        with pytest.raises(RoleRefused):
            migrate.upgrade(powerless)
        powerless.dispose()
    finally:
        with empty.begin() as connection:
            connection.execute(text("DROP ROLE t_powerless"))


def test_a_database_that_is_down_is_retriable(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnreachable) as caught:
        open_engine(f"postgresql+psycopg://someone:secret@/iess?host={tmp_path}")
    assert caught.value.retriable
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["sqlite:///secret.db", "not a url secret", "duckdb:///secret"])
def test_another_kind_of_database_is_refused(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        open_engine(url)
    assert "secret" not in str(caught.value)
