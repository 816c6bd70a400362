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

import pandas as pd
from sqlalchemy import func, select

from surveillance import alerts, gates, lags, message, store
from surveillance.blocks import chart_blocks, newly_frozen, revisions
from surveillance.charts import ChartRow, grow
from surveillance.cohort import as_known, data_through, last_complete_week, measured
from surveillance.evidence import Facts, facts_of
from surveillance.measures.registry import Chart, check_charts
from surveillance.measures.registry import measures as registry
from surveillance.outbox import Message, deliver_all, enqueue, message_id, written
from surveillance.results import result_rows
from surveillance.worklist import waiting_infants
from warehouse.schema.measures import MetricResult
from warehouse.schema.ops import Pull
from warehouse.state import timelines

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from surveillance.settings import SurveillanceSettings

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


@dataclass(frozen=True)
class AlertReport:
    """Alerts that this call opened, held, reopened or strengthened, and the run's message, if it has one."""

    run_id: str
    alerts: list[str]
    message: Message | None


@dataclass(frozen=True)
class _Input:
    """What every step reads: timelines as known on the as-of day, and how far each source's data reach."""

    known: pd.DataFrame
    through: dict[str, date]


def _read(connection: Connection, as_of: date) -> _Input:
    rows = timelines(connection)
    reach = data_through(rows)
    loaded = select(Pull.source, func.max(Pull.data_through)).group_by(Pull.source)
    reach |= {source: day for source, day in connection.execute(loaded) if day is not None}
    return _Input(as_known(rows, as_of), {source: min(day, as_of) for source, day in sorted(reach.items())})


def measure(
    engine: Engine, settings: SurveillanceSettings, as_of: date, run_id: str, progress: Progress | None = None
) -> MeasureReport:
    """Estimate every measure as of a day, into `analytics.metric_result`."""
    with engine.begin() as connection:
        store.lock(connection)
        if store.has_results(connection, run_id):
            rows = select(func.count()).where(MetricResult.run_id == run_id)
            return MeasureReport(run_id, 0, connection.execute(rows).scalar_one(), fresh=False)
        read = _read(connection, as_of)
        settings = lags.with_learned(settings, lags.learn(connection, as_of, run_id))
        definitions = {name: m for name, m in registry().items() if not settings.measures or name in settings.measures}
        results = result_rows(
            read.known, definitions, as_of=as_of, settings=settings, through=read.through, progress=progress
        )
        store.write_definitions(connection, definitions.values(), settings)
        store.write_rows(connection, MetricResult, [{"run_id": run_id, **row} for row in results])
        store.write_run(connection, run_id, as_of, settings, read.through, len(read.known))
    return MeasureReport(run_id, len(read.known), len(results), fresh=True)


def detect(
    engine: Engine, settings: SurveillanceSettings, as_of: date, run_id: str, progress: Progress | None = None
) -> DetectReport:
    """Work through all weeks since the last one that are over on `as_of`: freeze outcomes, and grow every chart."""
    check_charts(settings.charts, registry())
    last_week = last_complete_week(as_of)
    frozen = revised = 0
    rows: list[ChartRow] = []
    with engine.begin() as connection:
        store.lock(connection)
        read = _read(connection, as_of)
        settings = lags.with_learned(settings, lags.learn(connection, as_of, run_id))
        family = store.register(connection, settings.charts, as_of, run_id)
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
            fresh = newly_frozen(infants, before, next_week=next_week, last_week=last_week)
            store.freeze(connection, definition, fresh, run_id)
            revised += store.revise(connection, definition, revisions(infants, before), as_of, run_id)
            frozen += len(fresh)
            for chart in charts:
                rows += grow(
                    chart,
                    stored[chart.id],
                    chart_blocks(fresh, chart),
                    family=list(family.values()),
                    last_week=last_week,
                    budget=settings.budget,
                    margin=settings.margin,
                    min_reference=settings.min_reference,
                    run_id=run_id,
                )
        store.write_chart_weeks(connection, rows)
    signals = [(row.chart_id, row.week) for row in rows if row.signal]
    return DetectReport(run_id, len(rows), frozen, revised, signals)


@dataclass
class _Evidence:
    """Frozen infants, measured infants and chart weeks, each read once."""

    connection: Connection
    read: _Input
    settings: SurveillanceSettings
    as_of: date
    recorded: pd.DataFrame
    frozen: dict[str, pd.DataFrame] = field(default_factory=dict)
    infants: dict[str, pd.DataFrame] = field(default_factory=dict)
    weeks: dict[str, list[ChartRow]] = field(default_factory=dict)

    def facts(self, chart: Chart, week: date | None = None) -> Facts:
        """Figures at a week (None: the last), with the gates' verdicts."""
        metric_id = chart.measure
        if metric_id not in self.frozen:
            self.frozen[metric_id] = store.frozen(self.connection, metric_id)
            self.infants[metric_id] = measured(
                self.read.known,
                registry()[metric_id],
                as_of=self.as_of,
                settings=self.settings,
                through=self.read.through,
            )
        if chart.id not in self.weeks:
            self.weeks[chart.id] = store.chart_weeks(self.connection, chart.id)
        rows = self.weeks[chart.id]
        at = len(rows) - 1 if week is None else (week - rows[0].week).days // 7
        frozen = self.frozen[metric_id]
        facts = facts_of(chart, rows, at, frozen, self.infants[metric_id], self.settings.horizon_days)
        revised = store.revised_outcomes(self.connection, metric_id)
        verdicts = gates.evaluate(
            chart,
            facts,
            rows,
            frozen,
            revised,
            through=self.read.through,
            as_of=self.as_of,
            group_lags=lags.group_lags(self.recorded, chart.dimension),
            allowed_lag=min((self.settings.lag(source) for source in self.read.through), default=0),
        )
        facts.gates.extend(verdict.as_json() for verdict in verdicts)
        return facts


def alert(engine: Engine, settings: SurveillanceSettings, as_of: date, run_id: str) -> AlertReport:
    """Turn signals that no alert knows of into alerts, follow up the live ones, and write one message at most."""
    with engine.begin() as connection:
        store.lock(connection)
        charts = store.registered(connection)
        read = _read(connection, as_of)
        settings = lags.with_learned(settings, lags.learn(connection, as_of, run_id))
        evidence = _Evidence(connection, read, settings, as_of, lags.recorded(connection, as_of))
        raised: dict[str, alerts.Raised] = {}
        for chart_id, week in alerts.unhandled_signals(connection):
            if charts[chart_id].role == "alert":
                facts = evidence.facts(charts[chart_id], week)
                raised[chart_id] = alerts.raise_alert(connection, charts[chart_id], facts, on=as_of, run_id=run_id)
        live = alerts.alerts(connection)
        quiet = [chart_id for chart_id, run in zip(live["chart_id"], live["run_id"], strict=True) if run != run_id]
        now = {chart_id: evidence.facts(charts[chart_id]) for chart_id in quiet}
        alerts.follow_up(connection, evidence.weeks, now, on=as_of, run_id=run_id)
        if raised:
            enqueue(connection, _message(raised, charts, read, settings, as_of, run_id), run_id)
        text = written(connection, message_id("alert", run_id))
    return AlertReport(run_id, [item.alert_id for item in raised.values()], text)


def _message(
    raised: dict[str, alerts.Raised],
    charts: dict[str, Chart],
    read: _Input,
    settings: SurveillanceSettings,
    as_of: date,
    run_id: str,
) -> Message:
    items = [
        message.Item(
            outcome.alert_id,
            outcome.status,
            outcome.kind,
            charts[chart_id],
            registry()[charts[chart_id].measure],
            outcome.facts,
            outcome.signals,
            outcome.due_on,
        )
        for chart_id, outcome in sorted(raised.items(), key=lambda pair: (pair[1].status == "held", pair[0]))
    ]
    listed = waiting_infants(read.known, as_of=as_of, settings=settings, through=read.through)
    waiting = listed.loc[~listed["long_past"].astype(bool), ["source", "infant"]].drop_duplicates().shape[0]
    body = message.body(items, as_of=as_of, through=read.through, waiting=waiting, settings=settings)
    return Message(
        message_id("alert", run_id), "alert", message.subject(items), body, tuple(item.alert_id for item in items)
    )


def notify(engine: Engine, deliver: Callable[[Message], None], now: datetime) -> list[str]:
    """Deliver what waits in the outbox, each message once; returns the ids delivered. Raises `DeliveryFailed`."""
    return deliver_all(engine, deliver, now)


def worklist(engine: Engine, settings: SurveillanceSettings, as_of: date) -> pd.DataFrame:
    """Infants waiting now, for the clinical role: PHI."""
    with engine.connect() as connection:
        read = _read(connection, as_of)
    return waiting_infants(read.known, as_of=as_of, settings=settings, through=read.through)


def publish(engine: Engine, settings: SurveillanceSettings, as_of: date, run_id: str, out_dir: Path) -> Path:
    """Write the run's report, one HTML file, and its suppressed results. Returns the file's path."""
    from surveillance.report.page import write_report

    return write_report(engine, settings, as_of, run_id, out_dir)
