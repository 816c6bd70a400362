"""### iess_pull
Brings each source's FHIR resources into the landing zone, once a day; one mapped task a source. While a Bulk Data
export runs, its task is deferred and takes no worker slot; a retry goes on with the export that is running.

* **When it fails**: the message says which source, what was kept and whether to run it again. A pull lands whole or
  not at all, so clearing the task is always safe. `iess doctor` checks servers and credentials.
* **Credentials**: the connection `fhir_<source>` (type `fhir`), else the settings.
* **Pools**: a source with `pool` in its settings runs in that pool of Airflow's, the others in the default pool.
* **Then**: each landed pull is an event of the asset `iess_landed`, which starts `iess_timeline`; a source that is down
  or slow holds up no other.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.sdk import Asset, CronTriggerTimetable, dag, task

from dags import calls
from dags.pulling import PullSource
from pipeline.settings import DEFAULT_POOL

LANDED = Asset(name="iess_landed", uri="iess://landing")


@task
def sources(pool: str) -> list[str]:
    """The sources of the settings that run in this pool, by name."""
    found: list[str] = calls.settings().pools()[pool]
    return found


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
    # Known when the file is parsed, since a pool can't be mapped; the sources in it are mapped, as all else.
    for pool in calls.settings().pools():
        suffix = "" if pool == DEFAULT_POOL else f"_{pool}"
        PullSource.partial(
            task_id=f"pull{suffix}",
            pool=pool,
            map_index_template="{{ task.source_name }}",
            max_active_tis_per_dagrun=4,
            execution_timeout=timedelta(hours=12),
            outlets=[LANDED],
        ).expand(source_name=sources.override(task_id=f"sources{suffix}")(pool))


iess_pull()
