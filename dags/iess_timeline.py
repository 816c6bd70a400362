"""### iess_timeline
Takes landed pulls into the warehouse: selection, mapping, expectations, one load transaction a pull.

* **When a gate blocks**: the task `gate` names the rules; the warehouse is unchanged. Mend the source or the mapping
  and clear the task group.
* **When anything else fails**: clear the failed task; staging is replaced and a load is one transaction.
* A source that has several landed pulls is caught up in order before its newest is shown as tasks.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.sdk import Asset, dag, task, task_group

from dags import calls

LANDED = Asset(name="iess_landed", uri="iess://landing")
LOADED = Asset(name="iess_loaded", uri="iess://warehouse/clinical")


@dag(
    dag_id="iess_timeline",
    schedule=[LANDED],
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["iess", "timeline"],
    doc_md=__doc__,
    default_args={"owner": "iess", "retries": 2, "retry_delay": timedelta(minutes=2)},
)
def iess_timeline() -> None:
    @task
    def backlog() -> list[dict[str, str]]:
        """The newest landed pull of each source that is not loaded; older ones are processed here, in order."""
        from pipeline import steps

        newest = []
        for name in sorted(calls.settings().sources):
            waiting = calls.call(steps.pending, calls.settings(), name)
            for pull_id in waiting[:-1]:
                calls.call(steps.process, calls.settings(), calls.settings().source(name), pull_id, calls.clock())
            if waiting:
                newest.append({"source": name, "pull_id": waiting[-1]})
        return newest

    @task(map_index_template="{{ source_name }}")
    def select(one: dict[str, str]) -> dict[str, str]:
        from pipeline import steps

        calls.name_map_index(one["source"])
        calls.call(steps.select_pull, calls.settings(), calls.settings().source(one["source"]), one["pull_id"])
        return one

    @task(map_index_template="{{ source_name }}")
    def map_(one: dict[str, str]) -> dict[str, str]:
        from pipeline import steps

        calls.name_map_index(one["source"])
        source = calls.settings().source(one["source"])
        calls.call(steps.map_pull, calls.settings(), source, one["pull_id"], calls.clock())
        return one

    @task(map_index_template="{{ source_name }}", retries=0)
    def gate(one: dict[str, str]) -> dict[str, str]:
        from pipeline import steps

        calls.name_map_index(one["source"])
        calls.call(steps.gate_pull, calls.settings(), one["source"], one["pull_id"])
        return one

    @task(map_index_template="{{ source_name }}", outlets=[LOADED])
    def load(one: dict[str, str]) -> dict[str, object]:
        from pipeline import steps

        calls.name_map_index(one["source"])
        loaded: dict[str, object] = calls.call(steps.load_pull, calls.settings(), one["source"], one["pull_id"])
        return loaded

    @task_group
    def one_pull(one: dict[str, str]) -> None:
        load(gate(map_(select(one))))

    one_pull.expand(one=backlog())


iess_timeline()
