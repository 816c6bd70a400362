"""The environment in which this project's DAGs run on one machine: Airflow's home, metadata database and connections.

Airflow itself is not imported here: it reads its configuration from the environment when it is first imported, so it
always runs as a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql
from sqlalchemy import make_url

from fhir_source.errors import IessError

if TYPE_CHECKING:
    from pipeline.settings import Settings


class AirflowFailed(IessError):
    """A process of Airflow ended with an error."""

    exit_code = 50


def dags_folder() -> Path:
    """Where the DAG files are installed."""
    spec = find_spec("dags")
    if spec is None or spec.origin is None:
        raise AirflowFailed("The package `dags` is not installed", next_step="run make")
    return Path(spec.origin).parent


def environment(settings: Settings, config: Path, warehouse_url: str, *, port: int = 8080) -> dict[str, str]:
    """Variables for a process of Airflow, over those of this process.

    The metadata database is `airflow` on the warehouse's own server. Credentials of the sources are handed over as
    connections (`AIRFLOW_CONN_FHIR_<NAME>`), the key in `password`, which Airflow always masks.
    """
    metadata = make_url(warehouse_url).set(database="airflow")
    url = metadata.render_as_string(hide_password=False)
    variables = {
        "AIRFLOW_HOME": str((settings.home / "airflow").resolve()),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags_folder()),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        # Each worker is forked at start and holds about 170 MB; three run a network of a few hospitals.
        "AIRFLOW__CORE__PARALLELISM": "3",
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url,
        # Airflow would derive an asyncpg URL; psycopg speaks both, and is what is installed.
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": metadata.set(
            drivername="postgresql+psycopg_async"
        ).render_as_string(hide_password=False),
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "60",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str((settings.home / "airflow" / "logs").resolve()),
        "IESS_CONFIG": str(config.resolve()),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
    }
    return {**os.environ, **variables, **_connections(settings)}


def create_metadata_database(warehouse_url: str) -> None:
    """Create the database `airflow` beside the warehouse's, when it is not there."""
    dsn = make_url(warehouse_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(dsn, autocommit=True) as connection:
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = 'airflow'").fetchone()
        if found is None:
            connection.execute(sql.SQL("CREATE DATABASE airflow"))


def run_airflow(arguments: list[str], variables: dict[str, str], log: Path) -> None:
    """Run one command of Airflow to its end, its output into `log`. Raises `AirflowFailed`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        done = subprocess.run(  # noqa: S603 - our own interpreter, arguments of our own
            [sys.executable, "-m", *arguments], env=variables, stdout=output, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode:
        raise AirflowFailed(
            f"`{' '.join(arguments)}` ended with {done.returncode}", file=str(log), next_step="read that log"
        )


def _connections(settings: Settings) -> dict[str, str]:
    connections = {}
    for name in sorted(settings.sources):
        source = settings.source(name)
        if source.kind == "files" or source.auth.kind == "none":
            continue
        fields = {
            "conn_type": "fhir",
            "host": source.url,
            "login": source.auth.client_id or source.auth.username,
            "password": source.auth.private_key or source.auth.secret,
            "extra": {"auth": source.auth.kind, "token_url": source.auth.token_url, "key_id": source.auth.key_id},
        }
        connections[f"AIRFLOW_CONN_FHIR_{name.upper().replace('-', '_')}"] = json.dumps(fields)
    return connections
