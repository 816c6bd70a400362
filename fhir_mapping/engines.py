"""The engines that hold the index of lines and answer its Ibis expressions: DuckDB here, Spark on a cluster."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from typing import Any, Protocol

import duckdb
import ibis
import pyarrow as pa

from fhir_mapping.spark import Spark
from fhir_source.errors import SettingsError

ENGINES = ("duckdb", "spark")
#: DuckDB keeps to this and spills the rest: the whole process stays under 1 GB whatever the input.
_MEMORY_LIMIT = "500MB"


class Engine(Protocol):
    """What an index needs of its engine."""

    def rows(self, expression: Any) -> list[tuple[Any, ...]]:
        """The rows of an Ibis expression over tables of this engine."""

    def memory(self, columns: Mapping[str, Sequence[str]]) -> Any:
        """A small table of text columns, as an Ibis table."""

    def close(self) -> None:
        """Let go of everything."""


class DuckDB:
    """A DuckDB of our own, in memory, spilling to a temporary folder that is removed with it."""

    def __init__(self) -> None:
        self._spill = tempfile.TemporaryDirectory(prefix="iess-map-")
        self.native = duckdb.connect(
            ":memory:",
            config={
                "memory_limit": _MEMORY_LIMIT,
                "temp_directory": self._spill.name,
                # Nothing is fetched from the network, and without ICU a time without offset is UTC everywhere.
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
            },
        )
        self._tables = 0

    def cursor(self) -> DuckDB:
        """Another connection to the same database, for another thread. Not to be closed."""
        other = copy(self)
        other.native = self.native.cursor()
        return other

    def rows(self, expression: Any) -> list[tuple[Any, ...]]:
        return self.ask(self.sql(expression))

    def sql(self, expression: Any) -> str:
        return str(ibis.to_sql(expression, dialect="duckdb"))

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = self.native.execute(query).fetchall()
        return rows

    def memory(self, columns: Mapping[str, Sequence[str]]) -> Any:
        self._tables += 1
        name = f"memory_{self._tables}"
        table = pa.table({column: pa.array(values, pa.string()) for column, values in columns.items()})
        self.native.register(name, table)
        return ibis.table(dict.fromkeys(columns, "string"), name=name)

    def create_table(self, name: str, rows: pa.Table) -> None:
        self.native.register("incoming", rows)
        self.native.execute(f'CREATE TABLE "{name}" AS SELECT * FROM incoming')  # noqa: S608 - a name of ours
        self.native.unregister("incoming")

    def set_threads(self, threads: int) -> None:
        """How many threads one query may use."""
        self.native.execute(f"SET threads TO {threads}")

    def close(self) -> None:
        self.native.close()
        self._spill.cleanup()


@contextmanager
def connect(engine: str) -> Iterator[DuckDB | Spark]:
    """An engine of our own, closed at the end. Raises SettingsError for one that isn't there."""
    if engine not in ENGINES:
        raise SettingsError(f"There is no engine {engine}", next_step=f"choose one of {', '.join(ENGINES)}")
    opened = Spark() if engine == "spark" else DuckDB()
    try:
        yield opened
    finally:
        opened.close()
