"""A clean pull, as data, and how to stage it, or a version of it in which one thing is wrong."""

from __future__ import annotations

import copy
import hashlib
import json
from collections import Counter
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import sqlalchemy
from psycopg import sql

from expectations.rules import TABLES
from fhir_mapping.contract import INTERVALS
from warehouse.schema.base import SCHEMAS, Base, tables

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from sqlalchemy.engine import Engine

    Rows = dict[str, list[dict[str, Any]]]
    Stage = Callable[..., None]

PULL = "20261123T070000Z"
_TEXT_DEFAULTS: dict[type, Any] = {str: "", int: 0, bool: False, list: [], dict: {}, float: 0.0}
_DERIVED = ("ledger", "conformance", "infant")
HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def staging(postgres_uri: str) -> Iterator[Engine]:
    """A database with the warehouse's tables, shared by tests that use sources of their own."""
    name = "t_expectations"
    with psycopg.connect(postgres_uri, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    head, _, query = postgres_uri.partition("?")
    url = f"{head.rsplit('/', 1)[0]}/{name}?{query}".replace("postgresql://", "postgresql+psycopg://", 1)
    yield _with_tables(url)
    with psycopg.connect(postgres_uri, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def own_staging(database_url: str) -> Engine:
    """The same in a database of the test's own, to break."""
    return _with_tables(database_url)


@pytest.fixture
def admin(postgres_uri: str) -> Iterator[psycopg.Connection]:
    """Connected to the server's own database, in autocommit."""
    with psycopg.connect(postgres_uri, autocommit=True) as connection:
        yield connection


def _with_tables(url: str) -> Engine:
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    with engine.begin() as connection:
        for schema in SCHEMAS:
            connection.execute(sqlalchemy.schema.CreateSchema(schema))
        Base.metadata.create_all(connection, tables())
        # Results written before migration 0007 hold what these checks refuse now (they are NOT VALID for what was
        # there): the rules judge such a run, too, so that its violations are staged as they were written.
        checks = connection.exec_driver_sql(
            "SELECT conname FROM pg_constraint WHERE conrelid = 'analytics.metric_result'::regclass AND contype = 'c'"
        )
        for name in checks.scalars().all():
            connection.exec_driver_sql(f"ALTER TABLE analytics.metric_result DROP CONSTRAINT {name}")
    return engine


@pytest.fixture(scope="session")
def stage() -> Stage:
    return stage_rows


@pytest.fixture(scope="session")
def insert() -> Callable[..., None]:
    """Inserts one row into a table of the warehouse, with something empty wherever a value must be."""

    def into(engine: Engine, relation: str, source: str, **row: Any) -> None:
        model = Base.metadata.tables[relation]
        with engine.begin() as connection:
            connection.execute(sqlalchemy.insert(model), _filled(model, row, source, ""))

    return into


def clean_rows() -> Rows:
    rows: Rows = json.loads((HERE / "clean_pull.json").read_text(encoding="utf-8"))
    return rows


def stage_rows(
    engine: Engine,
    source: str,
    run_id: str,
    *,
    violation: dict[str, Any] | None = None,
    only: Collection[str] = tuple(TABLES),
) -> None:
    """Stages the clean pull as `source` (and its results as `run_id`), changed by `violation` when there is one.

    `only` names the tables that are filled, as rules know them.

    The ledger, the mapped infants and the verdicts follow from the resources and timelines, as they do in real
    staging, so that a violation in one table is not one in another.
    """
    rows = clean_rows()
    table = violation["table"] if violation else ""
    if violation and table not in _DERIVED:
        _violate(rows[table], violation, table)
    _derive(rows)
    if violation and table in _DERIVED:
        _violate(rows[table], violation, table)
    with engine.begin() as connection:
        for name in rows.keys() & set(only):
            model = Base.metadata.tables[TABLES[name].relation]
            if rows[name]:
                filled = [_filled(model, row, source, run_id) for row in rows[name]]
                connection.execute(sqlalchemy.insert(model), filled)


def _violate(rows: list[dict[str, Any]], violation: dict[str, Any], table: str) -> None:
    where, changes = violation.get("where", {}), violation.get("set", {})
    chosen = [row for row in rows if where.items() <= row.items()]
    if "population" in violation:
        rows[:] = [
            _changed(row, changes) if not (violation.get("mixed") and index % 2) else row
            for index, row in enumerate(_population(rows[0], violation["population"]))
        ]
        return
    if violation.get("delete"):
        rows[:] = [row for row in rows if row not in chosen]
        return
    if not violation.get("every"):
        chosen = chosen[:1]
    for row in chosen:
        row.update(_changed(row, changes))
    rows.extend(_copied(chosen[0], number, table) for number in range(1, violation.get("copies", 1)))


def _changed(row: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    changed = row | {column: value for column, value in changes.items() if column != "body"}
    if "body" in changes:
        body = row["body"] | changes["body"]
        changed["body"] = {name: value for name, value in body.items() if value is not None}
    return changed


def _copied(row: dict[str, Any], number: int, table: str) -> dict[str, Any]:
    """The same row under another key."""
    twin = copy.deepcopy(row)
    if table == "resource":
        twin["resource_id"] = f"{row['resource_id']}-{number}"
        if twin["body"].get("id"):
            twin["body"]["id"] = twin["resource_id"]
    elif table == "event":
        twin["n"] = row["n"] + number
    else:
        twin["infant"] = f"{row['infant']}-{number}"
    return twin


def _population(row: dict[str, Any], size: int) -> list[dict[str, Any]]:
    """Infants of two groups, two payers and both sexes; every second pair waits 15 days for neurology instead of 5."""
    slow: dict[str, Any] = {"neurology": "2026-03-18", "delayed_provider_to_neurology": "yes"}
    slow |= {"delayed_referral_to_neurology": "yes"}
    for interval, days in (
        ("provider_to_neurology", 15),
        ("referral_to_neurology", 14),
        ("neurology_to_first_line", 0),
    ):
        slow |= {f"days_{interval}_low": days, f"days_{interval}_high": days}
    other = {"sex": "male", "race_ethnicity": "nh_white", "bipoc": "no", "payer": "private"}
    return [
        row | {"infant": f"i{index}"} | (other if index % 2 else {}) | (slow if index // 2 % 2 else {})
        for index in range(size)
    ]


def _derive(rows: Rows) -> None:
    for row in rows["resource"]:
        row["body"] = {"resourceType": row["resource_type"], "id": row["resource_id"]} | row["body"]
        row.setdefault("sha256", hashlib.sha256(row["resource_id"].encode()).hexdigest())
        row.setdefault("last_updated", "2026-11-20T00:00:00Z")
        row.setdefault("file", "a.ndjson.gz")
        row.setdefault("line", 1)
    counts = Counter(row["resource_type"] for name in ("resource", "unchanged") for row in rows[name])
    rows["ledger"] = [{"resource_type": kind, "received": n, "in_scope": n} for kind, n in counts.items()]
    rows["conformance"] = [
        {"resource_type": row["resource_type"], "resource_id": row["resource_id"], "paths": []}
        for row in rows["resource"]
    ]
    rows["infant"] = rows.get("infant", []) + [{"infant": row["infant"]} for row in rows["timeline"]]
    for row in rows["timeline"]:
        for interval in INTERVALS:
            row.setdefault(f"status_{interval.name}", "event")
    for row in rows["metric"]:
        row.setdefault("metric_id", "I2")
        row.setdefault("scope", "network")
        row.setdefault("window_kind", "cumulative")
        row.setdefault("as_of", "2026-11-23")
        row.setdefault("window_end", "2026-11-20")
        row.setdefault("ci_level", 0.95)
        row.setdefault("ci_kind", "fixed:wilson")


def _filled(model: sqlalchemy.Table, row: dict[str, Any], source: str, run_id: str) -> dict[str, Any]:
    """The row with its scope, values as the columns' types, and something empty wherever a value must be."""
    scope = {"source": source, "pull_id": PULL, "run_id": run_id}
    filled: dict[str, Any] = {}
    for column in model.columns:
        python_type = column.type.python_type
        value = row.get(column.name, scope.get(column.name))
        if isinstance(value, str) and python_type is date:
            value = date.fromisoformat(value)
        elif isinstance(value, str) and python_type is datetime:
            value = datetime.fromisoformat(value)
        if value is None and not column.nullable and column.server_default is None:
            value = (
                datetime.fromisoformat("2026-11-23T00:00:00Z")
                if python_type is datetime
                else _TEXT_DEFAULTS[python_type]
            )
        if value is not None or column.server_default is None:
            filled[column.name] = value
    return filled
