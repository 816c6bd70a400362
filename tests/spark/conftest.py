"""One Spark session for all tests here, on two cores; without PySpark none of them is collected (make test-spark)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import pytest

if not find_spec("pyspark"):
    collect_ignore_glob = ["test_*.py"]
# For every Java of these tests, executors too: they end before what the second compiler makes would pay.
os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")


@pytest.fixture(scope="session")
def session() -> Iterator[Any]:
    """A running session: the engine takes it, and leaves it running. Files are cut into many small blocks."""
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[2]")
    settings = {
        "spark.ui.enabled": "false",
        "spark.log.level": "ERROR",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.files.maxPartitionBytes": "65536",
        "spark.sql.session.timeZone": "Asia/Tokyo",  # not what the engine needs: it must see to that itself
    }
    for name, value in settings.items():
        builder = builder.config(name, value)
    running = builder.getOrCreate()
    yield running
    running.stop()
