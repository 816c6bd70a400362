"""### iess_retention
Removes the raw files of loaded pulls and the findings in quarantine that are past the time that the settings'
`[retention]` gives them. Each removal is a row of `ops.purge`; the ledger's counts stay. Without a policy it removes
nothing.

* **When**: monthly, on the first at 04:00 UTC.
* **When it fails**: clear the task. What is removed is removed once, and recorded once.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pendulum
from airflow.sdk import CronTriggerTimetable, dag, task

from dags import calls


@dag(
    dag_id="iess_retention",
    schedule=CronTriggerTimetable("0 4 1 * *", timezone="UTC"),
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["iess", "retention"],
    doc_md=__doc__,
    default_args={"owner": "iess", "retries": 2, "retry_delay": timedelta(minutes=5)},
)
def iess_retention() -> None:
    @task
    def purge() -> dict[str, Any]:
        """Ids of pulls and counts of rows, no more."""
        from pipeline import retention

        return dict(calls.call(retention.purge, calls.settings(), calls.clock()))

    purge()


iess_retention()
