"""### iess_worklist
Tells the clinical role, once a day, how many infants wait now: more than 72 hours from first contact without neurology,
or 7 days from diagnosis without treatment. Counts and a link, no patient data; nothing when nobody waits.

* **When it fails**: clear the task; a day's message is written once and leaves the outbox once.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.sdk import CronTriggerTimetable, dag, task

from dags import calls


@dag(
    dag_id="iess_worklist",
    schedule=CronTriggerTimetable("0 6 * * *", timezone="UTC"),
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["iess", "worklist"],
    doc_md=__doc__,
    default_args={"owner": "iess", "retries": 2, "retry_delay": timedelta(minutes=2)},
)
def iess_worklist() -> None:
    @task
    def write() -> dict[str, object]:
        """The day's message into the outbox, when anybody waits."""
        from pipeline import worklist

        written: dict[str, object] = calls.call(worklist.tell, calls.settings(), calls.clock())
        return written

    @task
    def notify() -> list[str]:
        """Deliver what waits in the outbox."""
        from dags.notifying import deliverer
        from pipeline import weekly

        settings = calls.settings()
        deliver = deliverer(settings.surveillance.notify, settings.outbox_dir)
        return list(calls.call(weekly.notify, settings, calls.clock(), deliver))

    write() >> notify()


iess_worklist()
