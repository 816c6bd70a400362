"""### iess_weekly_equity
Measures the delays, runs the weekly detector over every week since the last run, raises at most one alert message,
publishes the report, and delivers what waits in the outbox.

* **Parameter** `as_of` (YYYY-MM-DD): measure as of that day instead of the run's own.
* **When it fails**: clear the failed task. Results are keyed by the as-of date and are not written twice; a message
  leaves the outbox once.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.sdk import CronTriggerTimetable, Param, dag, task

from dags import calls


@dag(
    dag_id="iess_weekly_equity",
    schedule=CronTriggerTimetable("0 7 * * MON", timezone="UTC"),
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["iess", "equity"],
    doc_md=__doc__,
    params={"as_of": Param(None, type=["null", "string"], format="date", title="As of")},
    default_args={"owner": "iess", "retries": 2, "retry_delay": timedelta(minutes=2)},
)
def iess_weekly_equity() -> None:
    @task
    def measure() -> str:
        """Every estimate as of the day; the run's id goes to the tasks after."""
        from pipeline import weekly

        return str(calls.call(weekly.measure, calls.settings(), calls.as_of())["run_id"])

    @task
    def check(run: str) -> str:
        """Expectations over the estimates, and how fresh each source is."""
        from pipeline import weekly

        calls.call(weekly.check, calls.settings(), run, calls.clock())
        return run

    @task
    def detect(run: str) -> str:
        from pipeline import weekly

        calls.call(weekly.detect, calls.settings(), run)
        return run

    @task
    def alert(run: str) -> str:
        from pipeline import weekly

        calls.call(weekly.alert, calls.settings(), run)
        return run

    @task
    def publish(run: str) -> str:
        from pipeline import weekly

        return str(calls.call(weekly.publish, calls.settings(), run))

    @task
    def notify() -> list[str]:
        """Deliver what waits in the outbox, through the notifier that the settings name."""
        from dags.notifying import deliverer
        from pipeline import weekly

        settings = calls.settings()
        deliver = deliverer(settings.surveillance.notify, settings.outbox_dir)
        return list(calls.call(weekly.notify, settings, calls.clock(), deliver))

    publish(alert(detect(check(measure())))) >> notify()


iess_weekly_equity()
