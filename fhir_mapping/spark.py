"""Spark as the engine: for exports that outgrow one machine (docs/scaling.md). Needs PySpark and Java 17."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import ibis
import pyarrow as pa

from fhir_source.errors import IessError, SettingsError

#: Where the session runs, unless `spark-submit` or a running session says so.
MASTER = "IESS_SPARK_MASTER"
_START = {"spark.app.name": "iess-map", "spark.ui.showConsoleProgress": "false", "spark.log.level": "ERROR"}
#: What the same rows as with DuckDB depend on, whatever the cluster's defaults are.
_RULES = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.files.ignoreCorruptFiles": "false",
    "spark.sql.files.ignoreMissingFiles": "false",
}


class EngineFailed(IessError):
    """A Spark job could not be finished: executors were lost, or could not read what the driver reads."""

    retriable = True
    exit_code = 19


class Spark:
    """A session of our own in the Spark application that is running, or in one that is started and stopped with it.

    Raises SettingsError when PySpark or Java is missing; every question raises EngineFailed when its job fails.
    """

    def __init__(self) -> None:
        self._running, self._own = _running()
        # Names and settings of a session of our own are nobody else's; the executors are shared.
        self.session = self._running.newSession()
        for name, value in _RULES.items():
            self.session.conf.set(name, value)
        if not self.session.sparkContext.getConf().contains("spark.sql.shuffle.partitions"):
            # Spark's 200 are more than the cores of most clusters, and the index of lines is narrow.
            self.session.conf.set("spark.sql.shuffle.partitions", str(2 * self.session.sparkContext.defaultParallelism))
        self._tables = 0
        self._held: list[Any] = []

    def rows(self, expression: Any) -> list[tuple[Any, ...]]:
        return self.ask(self.sql(expression))

    def sql(self, expression: Any) -> str:
        return str(ibis.to_sql(expression, dialect="pyspark"))

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        with _finishing():
            return [tuple(row) for row in self.session.sql(query).collect()]

    def stream(self, query: str) -> Iterator[tuple[Any, ...]]:
        """The rows one partition at a time: for lines, which are long."""
        with _finishing():
            rows = self.session.sql(query).toLocalIterator()
        while True:
            with _finishing():
                row = next(rows, None)
            if row is None:
                return
            yield tuple(row)

    def lines(self, urls: Sequence[str], *columns: str) -> Any:
        """These columns of each line of the files, as a frame; `value` is the line, `_metadata` its file."""
        with _finishing():
            return self.session.read.option("lineSep", "\n").text(list(urls)).selectExpr(*columns)

    def memory(self, columns: Mapping[str, Sequence[str]]) -> Any:
        self._tables += 1
        name = f"memory_{self._tables}"
        self.create_table(name, pa.table({column: pa.array(values, pa.string()) for column, values in columns.items()}))
        return ibis.table(dict.fromkeys(columns, "string"), name=name)

    def create_table(self, name: str, rows: pa.Table) -> None:
        with warnings.catch_warnings(), _finishing():
            # PySpark warns of pandas 3 whenever it is installed; Arrow goes another way.
            warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
            self.session.createDataFrame(rows).createOrReplaceTempView(name)

    def hold(self, name: str, frame: Any, *, in_memory: bool) -> None:
        """Name a frame, and keep what it computes on the executors until the end: in memory if it fits, or on disk."""
        from pyspark import StorageLevel

        self._held.append(frame.persist(StorageLevel.MEMORY_AND_DISK if in_memory else StorageLevel.DISK_ONLY))
        frame.createOrReplaceTempView(name)

    def close(self) -> None:
        if self._own:
            self._running.stop()
            return
        for frame in self._held:
            frame.unpersist()


@contextmanager
def _finishing() -> Iterator[None]:
    """Spark's failures as one of ours. What Java says may hold what it read: only the kind of failure is told."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        yield
    except (Py4JError, PySparkException) as error:
        kind = (error.getCondition() if isinstance(error, PySparkException) else None) or type(error).__name__
        raise EngineFailed(
            f"Spark could not finish a job: {kind}",
            kept="nothing was written",
            next_step="see the executors' logs, and that each node sees the files under the driver's path",
        ) from None


def _running() -> tuple[Any, bool]:
    """The session that is active, or a new one, and whether it is ours to stop."""
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
    for name, value in _START.items():
        builder = builder.config(name, value)
    try:
        return builder.getOrCreate(), True
    except (PySparkException, Py4JError, RuntimeError, OSError) as error:
        raise SettingsError(
            "Spark does not start", next_step=f"see that Java 17 is installed and what {MASTER} names is there"
        ) from error
