"""The engines that the index of lines lives in: DuckDB on one machine, Spark on a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ibis
import pyarrow as pa

from fhir_source.errors import SettingsError

ENGINES = ("duckdb", "spark")


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


def create_table(connection: Any, name: str, rows: pa.Table) -> Any:
    """A table of the engine's own that holds these rows, as an Ibis table."""
    # connection.create_table() of Ibis 12 fails on Arrow tables with sqlglot 30 (it drops its view without a name).
    native = connection.con
    native.register("incoming", rows)
    native.execute(f'CREATE TABLE "{name}" AS SELECT * FROM incoming')  # noqa: S608 - a name of ours
    native.unregister("incoming")
    return connection.table(name)
