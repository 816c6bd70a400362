"""Spark as the engine: for exports that outgrow one machine (docs/scaling.md). Needs PySpark and Java 17."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import ibis
import pyarrow as pa

from fhir_source.errors import SettingsError

#: Where the session runs, unless `spark-submit` or a running session says so.
MASTER = "IESS_SPARK_MASTER"
_SETTINGS = {
    "spark.app.name": "iess-map",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.ui.showConsoleProgress": "false",
}


class Spark:
    """A Spark session: the one that is running, or one of our own that is stopped at the end.

    Raises SettingsError when PySpark or Java is missing.
    """

    def __init__(self) -> None:
        self.session, self._own = _session()
        self._views: list[str] = []
        self._held: list[Any] = []

    def rows(self, expression: Any) -> list[tuple[Any, ...]]:
        return self.ask(self.sql(expression))

    def sql(self, expression: Any) -> str:
        return str(ibis.to_sql(expression, dialect="pyspark"))

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self.session.sql(query).collect()]

    def stream(self, query: str) -> Iterator[tuple[Any, ...]]:
        """The rows one partition at a time: for lines, which are long."""
        return (tuple(row) for row in self.session.sql(query).toLocalIterator())

    def memory(self, columns: Mapping[str, Sequence[str]]) -> Any:
        name = f"memory_{len(self._views)}"
        self.create_table(name, pa.table({column: pa.array(values, pa.string()) for column, values in columns.items()}))
        return ibis.table(dict.fromkeys(columns, "string"), name=name)

    def create_table(self, name: str, rows: pa.Table) -> None:
        self.view(name, self.session.createDataFrame(rows))

    def view(self, name: str, frame: Any) -> None:
        """Name a frame, for queries."""
        frame.createOrReplaceTempView(name)
        self._views.append(name)

    def hold(self, frame: Any) -> Any:
        """Keep what a frame computes on the executors' disks, until the end."""
        from pyspark import StorageLevel

        self._held.append(frame.persist(StorageLevel.DISK_ONLY))
        return self._held[-1]

    def close(self) -> None:
        if self._own:
            self.session.stop()
            return
        for frame in self._held:
            frame.unpersist()
        for name in self._views:
            self.session.catalog.dropTempView(name)


def _session() -> tuple[Any, bool]:
    try:
        from py4j.protocol import Py4JError
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise SettingsError(
            "PySpark is not installed", next_step="install the extra: pip install 'iess-referral-watch[spark]'"
        ) from error
    running = SparkSession.getActiveSession()
    if running is not None:
        return running, False
    builder = SparkSession.builder
    if os.environ.get(MASTER):
        builder = builder.master(os.environ[MASTER])
    for name, value in _SETTINGS.items():
        builder = builder.config(name, value)
    try:
        session = builder.getOrCreate()
    except (PySparkException, Py4JError, RuntimeError, OSError) as error:
        raise SettingsError(
            "Spark does not start", next_step=f"see that Java 17 is installed and what {MASTER} names is there"
        ) from error
    session.sparkContext.setLogLevel("ERROR")
    return session, True
