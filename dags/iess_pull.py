"""### iess_pull
Brings each source's FHIR resources into the landing zone, once a day; one mapped task a source.

* **When it fails**: the message says which source, what was kept and whether to run it again. A pull lands whole or
  not at all, so clearing the task is always safe. `iess doctor` checks servers and credentials.
* **Credentials**: the connection `fhir_<source>` (type `fhir`), else the settings.
* **Then**: the asset `iess_landed` starts `iess_timeline`.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.sdk import Asset, CronTriggerTimetable, dag, task

from dags import calls

LANDED = Asset(name="iess_landed", uri="iess://landing")


@dag(
    dag_id="iess_pull",
    schedule=CronTriggerTimetable("0 3 * * *", timezone="UTC"),
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["iess", "pull"],
    doc_md=__doc__,
    default_args={
        "owner": "iess",
        "retries": 3,
        "retry_delay": timedelta(minutes=2),
        "retry_exponential_backoff": True,
        "max_retry_delay": timedelta(minutes=30),
    },
)
def iess_pull() -> None:
    @task
    def sources() -> list[str]:
        """The sources of the settings, by name."""
        return sorted(calls.settings().sources)

    @task(map_index_template="{{ source }}", max_active_tis_per_dagrun=4, execution_timeout=timedelta(hours=12))
    def pull(source: str) -> dict[str, object]:
        """One source's pull, landed whole."""
        from pipeline import steps

        pulled: dict[str, object] = calls.call(steps.pull, calls.settings(), calls.source(source), calls.clock())
        return pulled

    @task(outlets=[LANDED])
    def land(pulled: list[dict[str, object]]) -> list[str]:
        """Say that pulls have landed: the asset's event starts the timeline."""
        return [f"{one['source']}/{one['pull_id']}" for one in list(pulled)]

    land(pull.expand(source=sources()))


iess_pull()
