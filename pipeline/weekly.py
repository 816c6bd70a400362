"""The steps of the weekly run: measure, detect, alert, publish, notify. Each is idempotent for one run.

A run is named by what it looks at: the as-of date and the loads that the warehouse held. The same warehouse as of the
same day is the same run; once more has been loaded, it is another.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import text

from expectations import gate as gates
from expectations.arrivals import quality_page
from pipeline.database import database_url, open_warehouse
from pipeline.gating import record_all
from pipeline.notifying import deliverer
from pipeline.records import DelayByGroup, Gated, Weekly
from surveillance import weekly as surveillance
from surveillance.settings import SurveillanceSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection, Engine

    from pipeline.clock import Clock
    from pipeline.settings import Settings
    from surveillance.outbox import Message

    Progress = Callable[[str, int], None]

#: The name under which the gate's verdict on the estimates of all sources together is recorded.
NETWORK = "network"
#: Weeks that the data-quality page shows.
QUALITY_WEEKS = 52

_DELAYS = text(
    """
    SELECT p.metric_id AS measure, p.stratum_dimension AS dimension, p.stratum_value AS "group",
           p.n_matured AS infants, p.n_late AS late, p.estimate AS share_late, p.ci_low AS low, p.ci_high AS high,
           m.estimate AS median_days
      FROM analytics.metric_result p
      LEFT JOIN analytics.metric_result m
        ON (m.run_id, m.metric_id, m.scope, m.stratum_dimension, m.stratum_value, m.reference_value, m.window_kind)
         = (p.run_id, p.metric_id, p.scope, p.stratum_dimension, p.stratum_value, p.reference_value, p.window_kind)
       AND m.estimand = 'median'
     WHERE p.run_id = :run AND p.scope = 'network' AND p.window_kind = 'cumulative' AND p.reference_value = ''
       AND p.estimand = 'prop' AND p.metric_id IN ('I2', 'I6')
       AND p.stratum_dimension IN ('all', 'race_ethnicity', 'payer')
     ORDER BY p.metric_id, p.stratum_dimension, p.n_matured DESC, p.stratum_value
    """
)


@dataclass(frozen=True)
class Measured:
    """What was measured. `results`: estimates in the warehouse for this run."""

    run_id: str
    infants: int
    results: int


@dataclass(frozen=True)
class Detected:
    """What the detector did. `weeks`: chart-weeks worked through; `signals`: chart and Monday."""

    run_id: str
    weeks: int
    signals: list[str]


@dataclass(frozen=True)
class Alerted:
    """Alerts that this run raised or took up again, by id."""

    run_id: str
    alerts: list[str]


def options(settings: Settings) -> SurveillanceSettings:
    """The settings of the measures and the detector."""
    return SurveillanceSettings(
        budget=settings.surveillance.false_alerts_per_year,
        maturity_lag_days=settings.surveillance.maturity_lag_days,
        cohorts=settings.surveillance.cohorts,
        owner=settings.surveillance.owner,
        worklist_link=settings.surveillance.worklist_link,
        message_counts=settings.surveillance.message_counts,
        sources=tuple(sorted(settings.sources)),
    )


def run_id(engine: Engine, as_of: date) -> str:
    """`weekly-<what was loaded>-<as-of date>`."""
    with engine.connect() as connection:
        loads = connection.execute(text("SELECT source, pull_id, attempt FROM ops.pull ORDER BY 1, 2, 3")).all()
    digest = hashlib.sha256(repr([tuple(load) for load in loads]).encode()).hexdigest()[:8]
    return f"weekly-{digest}-{as_of.isoformat()}"


def measure(settings: Settings, as_of: date, *, progress: Progress | None = None) -> Measured:
    """Estimate every measure as of a day; the run's id goes to the steps after."""
    with open_warehouse(settings) as engine:
        report = surveillance.measure(engine, options(settings), as_of, run_id(engine, as_of), progress)
    return Measured(report.run_id, report.infants, report.results)


def check(settings: Settings, run: str, clock: Clock) -> Gated:
    """Judge the run's estimates, and how fresh each source is; `GateBlocked` when a critical rule fails."""
    with open_warehouse(settings) as engine, engine.connect() as connection:
        sources = list(connection.execute(text("SELECT source FROM ops.watermark ORDER BY source")).scalars())
    with database_url(settings) as url:
        own = settings.expectations.thresholds
        reports = [gates.run(url, "freshness", source=name, pull_id=clock.pull_id, overrides=own) for name in sources]
        reports.append(gates.run(url, "metrics", source=NETWORK, pull_id=run, overrides=own))
    with open_warehouse(settings) as engine:
        record_all(engine, reports)
    results = [result for report in reports for result in report.results]
    return Gated(
        source=NETWORK,
        pull_id=run,
        rules=len(results),
        failed={result.rule_id: result.failing_rows for result in results if result.status == "fail"},
    )


def detect(settings: Settings, run: str, *, progress: Progress | None = None) -> Detected:
    """Work through all weeks since the last run."""
    with open_warehouse(settings) as engine:
        report = surveillance.detect(engine, options(settings), as_of_of(run), run, progress)
    return Detected(run, report.weeks, [f"{chart} {week.isoformat()}" for chart, week in report.signals])


def alert(settings: Settings, run: str) -> Alerted:
    """Raise, hold or follow up alerts; at most one message goes into the outbox."""
    with open_warehouse(settings) as engine:
        report = surveillance.alert(engine, options(settings), as_of_of(run), run)
    return Alerted(run, report.alerts)


def publish(settings: Settings, run: str) -> str:
    """Write the report and, beside it, the data-quality page; returns the report's path."""
    as_of = as_of_of(run)
    with open_warehouse(settings) as engine:
        report = surveillance.publish(engine, options(settings), as_of, run, settings.report_dir)
        with engine.connect() as connection:
            sources = list(connection.execute(text("SELECT source FROM ops.watermark ORDER BY source")).scalars())
            page = quality_page(
                connection, sources=sources, first_week=as_of - timedelta(weeks=QUALITY_WEEKS), as_of=as_of
            )
    report.with_name(f"quality-{as_of.isoformat()}.html").write_text(page, encoding="utf-8")
    return str(report)


def notify(settings: Settings, clock: Clock, deliver: Callable[[Message], None] | None = None) -> list[str]:
    """Deliver what waits in the outbox; returns the ids of the messages.

    `deliver` None: by the settings. Where only Airflow can (Slack, Apprise), messages wait in the outbox for its DAGs.
    """
    chosen = deliver or deliverer(settings.surveillance.notify, settings.outbox_dir)
    if chosen is None:
        return []
    with open_warehouse(settings) as engine:
        return surveillance.notify(engine, chosen, clock.now)


def run(settings: Settings, as_of: date, clock: Clock, *, progress: Progress | None = None) -> Weekly:
    """All steps in order."""
    run = measure(settings, as_of, progress=progress).run_id
    check(settings, run, clock)
    detect(settings, run, progress=progress)
    alert(settings, run)
    publish(settings, run)
    notify(settings, clock)
    return summary(settings, run)


def latest_run(settings: Settings) -> str | None:
    """The run that was measured last, by its as-of date."""
    with open_warehouse(settings) as engine, engine.connect() as connection:
        found: str | None = connection.execute(
            text("SELECT run_id FROM ops.measure_run ORDER BY as_of DESC, run_id LIMIT 1")
        ).scalar_one_or_none()
    return found


def summary(settings: Settings, run: str) -> Weekly:
    """What a run found, for a person or a program: delays by group, the messages as sent, the report."""
    with open_warehouse(settings) as engine, engine.connect() as connection:
        weeks, charts, alerting, signals = connection.execute(
            text(
                "SELECT count(DISTINCT week), count(DISTINCT chart_id), "
                "count(DISTINCT chart_id) FILTER (WHERE role = 'alert'), count(*) FILTER (WHERE signal) "
                "FROM ops.chart_week JOIN ops.chart_registry USING (chart_id)"
            )
        ).one()
        report = settings.report_dir / f"{run}.html"
        return Weekly(
            run_id=run,
            as_of=as_of_of(run).isoformat(),
            weeks=weeks,
            charts=charts,
            alerting_charts=alerting,
            signals=signals,
            delays=[DelayByGroup(**row) for row in connection.execute(_DELAYS, {"run": run}).mappings()],
            alerts=_messages(connection, run),
            report=str(report) if report.exists() else None,
        )


def as_of_of(run: str) -> date:
    """The as-of date in a run's id."""
    return date.fromisoformat(run[-10:])


def _messages(connection: Connection, run: str) -> list[str]:
    rows = connection.execute(
        text(
            "SELECT subject, body FROM ops.outbox WHERE run_id = :run AND delivered_at IS NOT NULL ORDER BY message_id"
        ),
        {"run": run},
    )
    return [f"Subject: {subject}\n\n{body}" for subject, body in rows]
