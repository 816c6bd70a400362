"""The weekly run: measure, detect, alert, publish, notify. Each step is one transaction, and may be run again.

A run is named by its caller and looks at one as-of day. The same data, settings and day give the same rows and the same
bytes; a step that has been done for a run is not done again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from surveillance import lags, registration, store
from surveillance.alerting import AlertReport, alert
from surveillance.blocks import chart_rows, newly_frozen, revisions
from surveillance.charts import ChartRow, grow
from surveillance.cohort import last_complete_week, measured
from surveillance.knowledge import known_on
from surveillance.measures.registry import measures as registry
from surveillance.outbox import Message, deliver_all
from surveillance.results import result_rows
from surveillance.worklist import waiting_infants
from warehouse.schema.measures import MetricResult

if TYPE_CHECKING:
    import pandas as pd
    from sqlalchemy import Engine

    from surveillance.settings import SurveillanceSettings

__all__ = [
    "AlertReport",
    "DetectReport",
    "MeasureReport",
    "alert",
    "detect",
    "measure",
    "notify",
    "publish",
    "worklist",
]

Progress = Callable[[str, int], None]


@dataclass(frozen=True)
class MeasureReport:
    """`results` rows for the run; `fresh` is False when they were there already."""

    run_id: str
    infants: int
    results: int
    fresh: bool


@dataclass(frozen=True)
class DetectReport:
    """Chart-weeks written, infants that entered blocks, corrections of earlier ones, and signals (chart, week)."""

    run_id: str
    weeks: int
    frozen: int
    revised: int
    signals: list[tuple[str, date]] = field(default_factory=list)


def measure(
    engine: Engine, settings: SurveillanceSettings, as_of: date, run_id: str, progress: Progress | None = None
) -> MeasureReport:
    """Estimate every measure as of a day, into `analytics.metric_result`."""
    with engine.begin() as connection:
        store.lock(connection)
        if store.has_results(connection, run_id):
            rows = select(func.count()).where(MetricResult.run_id == run_id)
            return MeasureReport(run_id, 0, connection.execute(rows).scalar_one(), fresh=False)
        read = known_on(connection, as_of)
        settings = lags.with_learned(settings, lags.learn(connection, as_of, run_id, settings))
        definitions = {name: m for name, m in registry().items() if not settings.measures or name in settings.measures}
        results = result_rows(
            read.known, definitions, as_of=as_of, settings=settings, through=read.through, progress=progress
        )
        store.write_definitions(connection, list(definitions.values()), settings)
        store.write_results(connection, run_id, results)
        store.write_run(connection, run_id, as_of, settings, read.through, len(read.known))
    return MeasureReport(run_id, len(read.known), len(results), fresh=True)


def detect(
    engine: Engine, settings: SurveillanceSettings, as_of: date, run_id: str, progress: Progress | None = None
) -> DetectReport:
    """Work through all weeks since the last one that are over on `as_of`: freeze outcomes, and grow every chart."""
    last_week = last_complete_week(as_of)
    frozen = revised = 0
    rows: list[ChartRow] = []
    with engine.begin() as connection:
        store.lock(connection)
        read = known_on(connection, as_of)
        settings = lags.with_learned(settings, lags.learn(connection, as_of, run_id, settings))
        family = registration.seed(connection, settings.charts, run_id)
        for done, metric_id in enumerate(sorted({chart.measure for chart in family.values()})):
            if progress:
                progress(f"charts of {metric_id}", done)
            definition = registry()[metric_id]
            charts = [chart for chart in family.values() if chart.measure == metric_id]
            stored = {chart.id: store.chart_weeks(connection, chart.id) for chart in charts}
            latest = max((weeks[-1].week for weeks in stored.values() if weeks), default=None)
            if latest is not None and latest >= last_week:
                continue
            infants = measured(read.known, definition, as_of=as_of, settings=settings, through=read.through)
            before = store.frozen(connection, metric_id)
            next_week = None if latest is None else latest + timedelta(weeks=1)
            fresh = newly_frozen(infants, before, next_week=next_week, last_week=last_week, lag=settings.lag)
            store.freeze(connection, definition, fresh, run_id)
            revised += store.revise(connection, definition, revisions(infants, before), as_of, run_id)
            frozen += len(fresh)
            for chart in charts:
                rows += grow(
                    chart,
                    stored[chart.id],
                    chart_rows(fresh, chart),
                    family=list(family.values()),
                    last_week=last_week,
                    budget=settings.budget,
                    run_id=run_id,
                )
        store.write_chart_weeks(connection, rows)
    signals = [(row.chart_id, row.week) for row in rows if row.signal]
    return DetectReport(run_id, len(rows), frozen, revised, signals)


def notify(engine: Engine, deliver: Callable[[Message], None], now: datetime) -> list[str]:
    """Deliver what waits in the outbox, each message once; returns the ids delivered. Raises `DeliveryFailed`."""
    return deliver_all(engine, deliver, now)


def worklist(engine: Engine, settings: SurveillanceSettings, as_of: date) -> pd.DataFrame:
    """Infants waiting now, for the clinical role: PHI."""
    with engine.connect() as connection:
        read = known_on(connection, as_of)
    return waiting_infants(read.known, as_of=as_of, settings=settings, through=read.through)


def publish(engine: Engine, settings: SurveillanceSettings, as_of: date, run_id: str, out_dir: Path) -> Path:
    """Write the run's report, one HTML file, and its suppressed results. Returns the file's path."""
    from surveillance.report.page import write_report

    return write_report(engine, settings, as_of, run_id, out_dir)
