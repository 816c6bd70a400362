"""The DAG files as Airflow parses them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

DESCRIBE = """
import json
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization as Serialized
def parsed():
    bag = DagBag(dag_folder={folder!r})
    assert not bag.import_errors, bag.import_errors
    return bag
bag = parsed()
print("JSON" + json.dumps({{
    dag_id: {{
        "doc": dag.doc_md, "tags": sorted(dag.tags), "max_active_runs": dag.max_active_runs, "catchup": dag.catchup,
        "tasks": {{task.task_id: task.retries for task in dag.tasks}},
        "serialized": json.dumps(Serialized.to_dict(dag), sort_keys=True, default=str)
        == json.dumps(Serialized.to_dict(parsed().dags[dag_id]), sort_keys=True, default=str),
    }} for dag_id, dag in bag.dags.items()
}}))
"""


@pytest.fixture(scope="module")
def dags(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The DAGs, described by a process of its own: Airflow reads its configuration once, when it is imported."""
    folder = Path(__file__).parents[2] / "dags"
    done = subprocess.run(
        [sys.executable, "-c", DESCRIBE.format(folder=str(folder))],
        env={**os.environ, "AIRFLOW_HOME": str(tmp_path_factory.mktemp("airflow"))},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    found = [line for line in done.stdout.splitlines() if line.startswith("JSON")]
    assert found, done.stderr[-2000:]
    described: dict[str, Any] = json.loads(found[0].removeprefix("JSON"))
    return described


def test_every_dag_file_is_there_and_nothing_else(dags: dict[str, Any]) -> None:
    files = {path.stem for path in (Path(__file__).parents[2] / "dags").glob("iess_*.py")}
    assert set(dags) == files


def test_each_has_documentation_tags_and_one_run_at_a_time(dags: dict[str, Any]) -> None:
    for dag_id, dag in dags.items():
        assert f"### {dag_id}" in dag["doc"]
        assert "When" in dag["doc"] or "fails" in dag["doc"]
        assert "iess" in dag["tags"]
        assert dag["max_active_runs"] == 1
        assert dag["catchup"] is False


def test_network_tasks_are_retried_and_a_gate_is_not(dags: dict[str, Any]) -> None:
    assert dags["iess_pull"]["tasks"]["pull"] >= 3
    assert dags["iess_timeline"]["tasks"]["one_pull.gate"] == 0


def test_two_parses_are_the_same_dag(dags: dict[str, Any]) -> None:
    """Otherwise every parse makes a new DAG version."""
    assert all(dag["serialized"] for dag in dags.values())
