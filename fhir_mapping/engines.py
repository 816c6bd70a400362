"""The engines that the index of lines lives in: DuckDB on one machine, Spark on a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import ibis
import pyarrow as pa

from fhir_mapping.index import SCHEMA
from fhir_source.errors import SettingsError

ENGINES = ("duckdb", "spark")
_COLUMNS = ", ".join(SCHEMA.names)


@contextmanager
def connect(engine: str) -> Iterator[Any]:
    """An Ibis connection of our own, closed at the end. Raises SettingsError for an engine that isn't there."""
    if engine == "duckdb":
        connection = ibis.duckdb.connect(":memory:")
        connection.raw_sql("SET TimeZone = 'UTC'")
        try:
            yield connection
        finally:
            connection.disconnect()
        return
    raise SettingsError(f"There is no engine {engine}", next_step=f"choose one of {', '.join(ENGINES)}")


def create_table(connection: Any, name: str, rows: pa.Table) -> None:
    """A table of the engine's own that holds these rows."""
    # connection.create_table() of Ibis 12 fails on Arrow tables with sqlglot 30 (it drops its view without a name).
    native = connection.con
    native.register("incoming", rows)
    native.execute(f'CREATE TABLE "{name}" AS SELECT * FROM incoming')  # noqa: S608 - a name of ours
    native.unregister("incoming")


def union(connection: Any, name: str, tables: Sequence[str]) -> Any:
    """A view of the rows of several tables whose mark is not negative, as an Ibis table."""
    parts = (f'SELECT {_COLUMNS} FROM "{table}" WHERE mark >= 0' for table in tables)  # noqa: S608 - names of ours
    connection.raw_sql(f'CREATE VIEW "{name}" AS {" UNION ALL ".join(parts)}')
    return ibis.table(ibis.Schema.from_pyarrow(SCHEMA), name=name)
